/* Kernels of attention for one instruction set and one type, made from cpu_attend_tile.inc; run by cpu_attend.c. A panel is
 * a matrix of `lanes` columns, dense in memory. Local and pure. */
#ifndef FUSE_BACKEND_CPU_ATTEND_H
#define FUSE_BACKEND_CPU_ATTEND_H

#include <stdbool.h>
#include <stdint.h>

/* Rows of scores that are worked on together, and of them those whose sums stay in registers. */
#define FUSE_ATTEND_ROWS 48
#define FUSE_ATTEND_GROUP 6

/* Rows of scores on their way to weights. Everything is of the kernels' type. */
struct fuse_attend_rows {
    int64_t rows;        /* <= FUSE_ATTEND_ROWS */
    void *score;         /* [rows][stride], in place */
    int64_t stride;      /* a multiple of 16 */
    const int64_t *seen; /* [rows] scores that count; weights behind them, up to fill, become 0 */
    int64_t fill;        /* <= stride */
    double scale;        /* of the scores, > 0 */
    void *most, *sum;    /* [rows] largest score so far, [rows][16] lanes of the sum of weights */
    void *fade;          /* [FUSE_ATTEND_ROWS + 16] out: what weights so far are multiplied with */
};

struct fuse_attend_kernels {
    int lanes; /* of a panel */
    /* Panels of from[lane * lane_stride + k * depth_stride], lane < n, k < depth; the last one is filled up with zeros. */
    void (*pack)(void *to, const void *from, int64_t n, int64_t lane_stride, int64_t depth, int64_t depth_stride);
    /* c[r * ldc + lane] = fade ? fade[r] * c + sum : sum, of a[r * a_row + k * a_depth] * b[k * lanes + lane]. */
    void (*product)(int64_t rows, int64_t depth, const void *a, int64_t a_row, int64_t a_depth, const void *b, void *c,
                    int64_t ldc, const void *fade);
    void (*weigh)(const struct fuse_attend_rows *rows);
    /* to[r * row + i * column] = value[r * stride + i] / sum of sum[r][16]; `guarded`: 0 where that is 0. */
    void (*finish)(void *to, int64_t row, int64_t column, const void *value, int64_t stride, const void *sum,
                   int64_t rows, int64_t n, bool guarded);
};

extern const struct fuse_attend_kernels fuse_attend_base_f32, fuse_attend_base_f64;
#if defined(__x86_64__)
extern const struct fuse_attend_kernels fuse_attend_avx2_f32, fuse_attend_avx2_f64, fuse_attend_avx512_f32,
    fuse_attend_avx512_f64;
#endif

#endif
