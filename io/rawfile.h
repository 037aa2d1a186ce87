/* Regular files: complete reads and writes at an offset. Local. */
#ifndef FUSE_IO_RAWFILE_H
#define FUSE_IO_RAWFILE_H

#include "core/error.h"

#include <stddef.h>
#include <stdint.h>

/* Opens for reading and tells the size. INPUT when the path is missing, unreadable, or anything but a regular file (a
 * FIFO or a device could block or have side effects). Close with close(). */
enum fuse_status fuse_rawfile_open(int *out, int64_t *bytes, const char *path, struct fuse_error *err) FUSE_CHECKED;

/* Interrupted and partial transfers are continued. IO when it fails half-way; `path` is for the message only. */
enum fuse_status fuse_rawfile_read(int fd, void *to, size_t bytes, int64_t offset, const char *path,
                                   struct fuse_error *err) FUSE_CHECKED;
enum fuse_status fuse_rawfile_write(int fd, const void *from, size_t bytes, int64_t offset, const char *path,
                                    struct fuse_error *err) FUSE_CHECKED;
/* Sets the hint of a recorded error whose cause, `code` of errno, is that there is no room: a full disk or a quota. */
void fuse_rawfile_hint_room(int code, struct fuse_error *err);

/* Bytes that this process has read with fuse_rawfile_read so far, and others for it. */
int64_t fuse_rawfile_bytes_read(void);
void fuse_rawfile_count_read(int64_t bytes);

#endif
