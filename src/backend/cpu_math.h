/* Functions of reals on vectors, for one instruction set and one type each, made from cpu_math.inc: at most 2.3 ulp from the true
 * value, special values as in C. Local and pure. */
#ifndef FUSE_BACKEND_CPU_MATH_H
#define FUSE_BACKEND_CPU_MATH_H

#include <stdbool.h>
#include <stdint.h>

struct fuse_tile_args;

/* What rows of a softmax go through: x[i], then exp(x[i] - most), then that times a factor. Elements are of the kernels' type, n
 * is any. */
struct fuse_math_rows {
    /* The largest element, -inf for n == 0; NaN may be passed over. */
    double (*most)(const void *x, int64_t n);
    /* to[i] = exp(x[i] - shift); returns their sum. to may be x. As many elements are fetched from next meanwhile. */
    double (*exp_sum)(void *to, const void *x, int64_t n, double shift, const void *next);
    /* The same of whole lines, and what `to` held before goes to lines past the caches: scaled[i] = to[i] * factor. fuse_stream_fence
     * as of `scale`. */
    double (*exp_sum_beside)(void *to, const void *x, int64_t n, double shift, const void *next, void *scaled,
                             double factor);
    /* to[i] = from[i] * factor. stream: lines are written past the caches, and fuse_stream_fence comes before others read them. */
    void (*scale)(void *to, const void *from, int64_t n, double factor, bool stream);
};

/* Tile operations (cpu_tile.h) that heed `fetch` and `stream` of their arguments. gelu is (2 c0 x) / (1 + exp(-2 (x c1) ((x x) c2 + c3))), with the constants of the call. */
#define FUSE_MATH_FUNCTIONS(isa, type)                             \
    void fuse_math_##isa##_exp_##type(struct fuse_tile_args *),    \
        fuse_math_##isa##_tanh_##type(struct fuse_tile_args *),    \
        fuse_math_##isa##_sigmoid_##type(struct fuse_tile_args *), \
        fuse_math_##isa##_gelu_##type(struct fuse_tile_args *);    \
    extern const struct fuse_math_rows fuse_math_##isa##_rows_##type;
/* to = from, past the caches; any alignment. fuse_stream_fence comes before others read it. As many bytes from fetch[] are fetched
 * meanwhile; NULL: nothing. */
typedef void fuse_math_stream(void *to, const void *from, int64_t bytes, const void *const fetch[2]);

FUSE_MATH_FUNCTIONS(base, f32)
FUSE_MATH_FUNCTIONS(base, f64)
extern fuse_math_stream fuse_math_base_stream;
#if defined(__x86_64__)
FUSE_MATH_FUNCTIONS(avx2, f32)
FUSE_MATH_FUNCTIONS(avx2, f64)
FUSE_MATH_FUNCTIONS(avx512, f32)
FUSE_MATH_FUNCTIONS(avx512, f64)
extern fuse_math_stream fuse_math_avx2_stream, fuse_math_avx512_stream;
#endif

#endif
