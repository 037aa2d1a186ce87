/* Numbers as decimal text, the same in every locale. Local and pure. */
#ifndef FUSE_IO_DECIMAL_H
#define FUSE_IO_DECIMAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Room for every number that the writers make. */
#define FUSE_DECIMAL_BYTES 32
/* A longer number is not read. */
#define FUSE_DECIMAL_MAX_BYTES 1024

/* The fewest digits that read back equal (of those the nearest), with a point or an exponent so that it reads back as a
 * real: "0.1", "3.0", "1e-07", "3.4028235e+38". Finite numbers only. Return the length; no NUL. */
size_t fuse_decimal_write_f32(char out[FUSE_DECIMAL_BYTES], float value);
size_t fuse_decimal_write_f64(char out[FUSE_DECIMAL_BYTES], double value);
size_t fuse_decimal_write_i64(char out[FUSE_DECIMAL_BYTES], int64_t value);

/* Of a number in JSON's grammar with at most FUSE_DECIMAL_MAX_BYTES bytes: correctly rounded; infinite when it is too
 * large. A sign '+', ".5" and "5." are fine too. */
float fuse_decimal_read_f32(const char *text, size_t bytes);
double fuse_decimal_read_f64(const char *text, size_t bytes);
/* Of digits with an optional minus: false when it is beyond 2^53 (2^53 itself is fine). */
bool fuse_decimal_read_i53(int64_t *out, const char *text, size_t bytes);

#endif
