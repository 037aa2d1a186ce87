/* A file of text, plain or packed by gzip (.gz), as bytes that can be read from any place. */
#ifndef FUSE_IO_TEXT_FILE_H
#define FUSE_IO_TEXT_FILE_H

#include "comm/comm.h"
#include "core/arena.h"
#include "core/probe.h"
#include "io/bytes.h"
#include "io/gunzip.h"

struct fuse_text_file {
    int fd; /* -1: not open */
    struct fuse_bytes *bytes;
    int64_t size; /* of the text */
    struct fuse_file_bytes plain;
    struct fuse_gunzip *packed; /* NULL: plain */
};

/* Local. By its suffix. */
bool fuse_text_file_is_packed(const char *path);
/* Local, O(1). The size of the file as it lies on the disk. INPUT when it cannot be read, or is not packed as it says. */
enum fuse_status fuse_text_file_probe(int64_t *file_bytes, const char *path, struct fuse_error *err) FUSE_CHECKED;
/* The same as a format's probe, of files that hold facts until a scan says more; they have no parts. */
enum fuse_status fuse_text_file_probe_rows(struct fuse_probe *out, const char *path, const char *part,
                                           struct fuse_error *err) FUSE_CHECKED;
/* Collective, the same status on every rank. A packed file is unpacked once, by rank 0, and probe->packing is set (in the
 * arena); a plain one needs nothing. */
enum fuse_status fuse_text_file_scan(struct fuse_probe *probe, struct fuse_arena *arena, struct fuse_comm *comm,
                                     const char *path, struct fuse_error *err) FUSE_CHECKED;
/* Bytes of the text that a file holds; a packed one has been scanned. */
int64_t fuse_text_file_bytes(const struct fuse_probe *probe);
/* Local. INPUT when it has changed since (size). `path` outlives the file, which may not be moved; close it also after a
 * failure. */
enum fuse_status fuse_text_file_open(struct fuse_text_file *file, const char *path, const struct fuse_probe *probe,
                                     struct fuse_error *err) FUSE_CHECKED;
/* One of zeros with fd -1 is fine. */
void fuse_text_file_close(struct fuse_text_file *file);

#endif
