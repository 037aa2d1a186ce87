/* Bytes at offsets, wherever they come from and go to: a range of a file, a compressed stream, memory in tests. Local.
 * What a whole array is made of lies here one element behind the other, in file order. */
#ifndef FUSE_IO_BYTES_H
#define FUSE_IO_BYTES_H

#include "core/error.h"

#include <stddef.h>
#include <stdint.h>

struct fuse_bytes {
    /* All `bytes` bytes from `offset` on, or a failure. Cheapest in ascending order. */
    enum fuse_status (*read)(struct fuse_bytes *self, void *to, size_t bytes, int64_t offset, struct fuse_error *err);
    /* No byte is written twice. */
    enum fuse_status (*write)(struct fuse_bytes *self, const void *from, size_t bytes, int64_t offset,
                              struct fuse_error *err);
};

/* A range of an open file that begins at `begin`; the caller keeps fd and path. */
struct fuse_file_bytes {
    struct fuse_bytes bytes;
    int fd;
    int64_t begin;
    const char *path; /* for messages */
};

struct fuse_file_bytes fuse_file_bytes(int fd, int64_t begin, const char *path);

#endif
