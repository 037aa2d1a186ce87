/* Transposition of one plane that stays within the caches' reach. Local. */
#ifndef FUSE_BACKEND_CPU_TRANSPOSE_H
#define FUSE_BACKEND_CPU_TRANSPOSE_H

#include <stdbool.h>
#include <stdint.h>

/* Most rows of one call. */
#define FUSE_TRANSPOSE_ROWS 256

/* to[r * row_to + c * column_to] = from[r * row_from + c * column_from], strides in elements of 1, 2, 4 or 8 bytes, the
 * source denser along rows than along columns. `stream` writes whole lines of the target past the caches; it needs
 * column_to == 1, and fuse_stream_fence (cpu_stream.h) by the same thread before others read the target. */
void fuse_cpu_transpose(int64_t bytes, char *to, const char *from, int64_t rows, int64_t columns, int64_t row_to,
                        int64_t column_to, int64_t row_from, int64_t column_from, bool stream);

#endif
