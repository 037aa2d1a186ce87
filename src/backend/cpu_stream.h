/* Copies that are larger than the caches that they would displace. Local. */
#ifndef FUSE_BACKEND_CPU_STREAM_H
#define FUSE_BACKEND_CPU_STREAM_H

#include <stdint.h>

/* Rows of fewer bytes are not worth it. */
#define FUSE_STREAM_ROW_BYTES 1024

/* rows of `bytes` bytes, row_to and row_from bytes apart, at any alignment; whole lines of the target are written past the caches.
 * fuse_stream_fence by the same thread before others read them. */
void fuse_stream_rows(char *to, const char *from, int64_t rows, int64_t bytes, int64_t row_to, int64_t row_from);
void fuse_stream_fence(void);

#endif
