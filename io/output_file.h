/* A file that appears under its name only when it is complete, written by all ranks.
 *
 * Rank 0 creates `.NAME.TOKEN.part` in the same folder, of full size, so that a full disk shows before the work is done;
 * commit renames it. An older file of that name stays as it was until then; a symbolic link is replaced, not followed.
 * Nothing forces the data to the disk: fdatasync made writing 256 MiB take 2.6 times as long, and guards only against a
 * power cut just after the run. */
#ifndef FUSE_IO_OUTPUT_FILE_H
#define FUSE_IO_OUTPUT_FILE_H

#include "comm/comm.h"
#include "core/error.h"

#include <stddef.h>
#include <stdint.h>

struct fuse_output_file {
    int fd;
    char *path, *temporary;
    bool is_creator; /* rank 0 */
    bool is_created; /* there is a temporary file to remove */
};

/* `told` is called on every rank with the temporary name of each file, before there is one: whoever survives rank 0 can
 * remove it. NULL: nobody is told. Local, and one for the process, as signals are. */
void fuse_output_file_announce(void (*told)(void *context, const char *temporary), void *context);

/* Local. OUTPUT when the path names no file, or something that a file may not replace: a folder, a device, a pipe. */
enum fuse_status fuse_output_file_check(const char *path, struct fuse_error *err) FUSE_CHECKED;

/* Collective. `local` is what this rank did before: a failure becomes everybody's here. head[0 .. head_bytes) is written
 * at the start of the file and `bytes` is its full size. On failure nothing is left and all ranks return the same status:
 * OUTPUT when the file cannot be created. */
enum fuse_status fuse_output_file_open(struct fuse_output_file **out, struct fuse_comm *comm, enum fuse_status local,
                                       const char *path, const void *head, size_t head_bytes, int64_t bytes,
                                       struct fuse_error *err) FUSE_CHECKED;
/* Local, on rank 0: gives the file its size and its room on the disk, for formats that know them only when it exists. */
enum fuse_status fuse_output_file_reserve(const struct fuse_output_file *file, int64_t bytes,
                                          struct fuse_error *err) FUSE_CHECKED;
/* Local, on every rank after open: the file has no name from now on and ends with the last descriptor; then only discard. */
void fuse_output_file_forget(struct fuse_output_file *file);
/* Local. Closes; IO when the system reports a late write error. */
enum fuse_status fuse_output_file_finish(struct fuse_output_file *file, struct fuse_error *err) FUSE_CHECKED;
/* Local, after finish. Rank 0 renames. Frees, also on failure (OUTPUT). */
enum fuse_status fuse_output_file_commit(struct fuse_output_file *file, struct fuse_error *err) FUSE_CHECKED;
/* Local. Rank 0 removes the temporary file. Frees; NULL is fine. */
void fuse_output_file_discard(struct fuse_output_file *file);

#endif
