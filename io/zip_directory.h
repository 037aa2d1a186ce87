/* The directory of a zip file (which is what npz is): found, checked without trusting any of it, and written. Local; pure
 * but for what reads.
 *
 *   [local header, data] .. [local header, data]  [central directory]  [zip64 end, locator]  end record
 *    member 0                member n-1            a record a member    where 32 bits are too few
 *
 * Members that overlap each other or the directory, sizes and offsets beyond the file, archives in several files and
 * bytes behind the end are refused: such files make two programs see two contents. */
#ifndef FUSE_IO_ZIP_DIRECTORY_H
#define FUSE_IO_ZIP_DIRECTORY_H

#include "core/arena.h"
#include "core/error.h"
#include "io/bytes.h"

#include <stdbool.h>

/* The directory is held whole while a member is looked for; a larger one is not read. */
#define FUSE_ZIP_MAX_DIRECTORY ((int64_t)16 << 20)

enum fuse_zip_method { FUSE_ZIP_STORED = 0, FUSE_ZIP_DEFLATED = 8 };

struct fuse_zip_member {
    const char *name; /* in the archive, "w.npy" */
    uint32_t crc;
    int flags, method;
    int64_t packed_bytes, bytes; /* in the file, and unpacked */
    int64_t header;              /* offset of the local header */
    int64_t data;                /* offset of the packed bytes; set by fuse_zip_locate */
    int64_t limit;               /* where the next member or the directory begins */
};

struct fuse_zip_directory {
    struct fuse_zip_member *member; /* in the directory's order */
    int members;
};

/* Reads and checks the directory; its memory is the arena's. INPUT when anything is wrong with it. */
enum fuse_status fuse_zip_read(struct fuse_zip_directory *out, struct fuse_arena *arena, struct fuse_bytes *file,
                               int64_t file_bytes, const char *path, struct fuse_error *err) FUSE_CHECKED;
/* Checks that a member can be unpacked here, compares its local header with the directory, and finds its data. INPUT. */
enum fuse_status fuse_zip_locate(struct fuse_zip_member *member, struct fuse_bytes *file, const char *path,
                                 struct fuse_error *err) FUSE_CHECKED;

/* ---- writing: stored members, one behind the other ---- */

/* Bytes of the local header of a member with this name (of at most FUSE_ZIP_MAX_NAME bytes) and size. */
int64_t fuse_zip_header_bytes(const char *name, int64_t bytes);
/* Bytes of the central directory and what follows; header offsets must be set. `begin`: where it begins. */
int64_t fuse_zip_directory_bytes(const struct fuse_zip_directory *directory, int64_t begin);
/* Write exactly as many bytes as the functions above say. All fields but data and limit are used. Times are those of
 * 1980-01-01, so that equal contents make equal files. */
void fuse_zip_write_header(void *to, const struct fuse_zip_member *member);
void fuse_zip_write_directory(void *to, const struct fuse_zip_directory *directory, int64_t begin);

#define FUSE_ZIP_MAX_NAME 4096

#endif
