/* Vector kernels over tiles: short dense runs of elements that stay in the first-level cache.
 *
 * One table per instruction set, made from cpu_tile.inc; cpu.c picks one when it opens. Every lane of a tile goes through
 * the same vector code, so an element's value does not depend on its place in the tile. Local and pure. */
#ifndef FUSE_BACKEND_CPU_TILE_H
#define FUSE_BACKEND_CPU_TILE_H

#include "backend/cpu_attend.h"
#include "backend/cpu_math.h"

#include "core/dtype.h"
#include "core/reduce.h"
#include "core/scalar.h"

/* Most elements of a tile. Lengths given to ops and accumulators are multiples of FUSE_TILE_LANES; what lies between
 * the real length and the next multiple must be valid values (the last one repeated). */
#define FUSE_TILE 512
#define FUSE_TILE_LANES 16
#define FUSE_TILE_PACING 8
#define FUSE_TILE_DTYPES (FUSE_F64 + 1)
#define FUSE_TILE_REDUCES (FUSE_REDUCE_AND + 1)

/* The compute dtypes, densely numbered. */
enum fuse_tile_class { FUSE_TILE_BOOL, FUSE_TILE_I64, FUSE_TILE_F32, FUSE_TILE_F64, FUSE_TILE_CLASSES };

enum fuse_tile_class fuse_tile_class(enum fuse_dtype compute);
enum fuse_dtype fuse_tile_dtype(enum fuse_tile_class class);

struct fuse_tile_args {
    void *out;
    const void *a, *b, *c;
    int64_t n;          /* a multiple of FUSE_TILE_LANES */
    int64_t integer;    /* the seed of UNIFORM and NORMAL */
    bool overflow;      /* set, never cleared */
    double constant[5]; /* of gelu and gelu_erf */
    /* For operations among `pacing` of the table: as many bytes from fetch[] (NULL: nothing) as a has are fetched meanwhile; stream:
     * out, aligned to 64 bytes, is written past the caches, and fuse_stream_fence comes before others read it. */
    bool stream;
    const void *fetch[2];
};

typedef void fuse_tile_op(struct fuse_tile_args *args);
/* to[i] = from[i * stride] converted, i < n (any n). */
typedef void fuse_tile_load(void *to, const void *from, int64_t stride, int64_t n);
/* to[i * stride] = from[i] converted, i < n (any n). */
typedef void fuse_tile_store(void *to, int64_t stride, const void *from, int64_t n);
/* acc[i] = op(acc[i], x[r * stride + i]), i < n (any n), r < rows, one r after the other. */
typedef void fuse_tile_accumulate(void *acc, const void *x, int64_t stride, int64_t rows, int64_t n, bool *overflow);
/* *acc = op(*acc, x[0], .., x[n - 1]), any n; the order depends on n only. */
typedef void fuse_tile_fold(void *acc, const void *x, int64_t n, bool *overflow);
/* The same of the products x[i] y[i] of reals, in double as their sum. */
typedef void fuse_tile_fold_products(void *acc, const void *x, const void *y, int64_t n);

/* sum[i] += value[t] * x[row[t] * stride + i], i < width (any), t < n, one t after the other. value NULL: 1; row NULL: every
 * t reads x. row may be read up to `readable` >= n, to fetch early. */
typedef void fuse_tile_add_rows(double *sum, int64_t width, const void *x, int64_t stride, const uint32_t *row,
                                const void *value, int64_t n, int64_t readable);

/* c[i * ldc + j] (+)= sum over k of a[i * a_row + k * a_column] * b[k * b_row + j * b_column], i < m, j < n, k < depth, all >= 1;
 * strides in elements. The sum over k is sequential, by FMA where the processor has it. room: FUSE_TILE_PRODUCT_ROOM bytes,
 * aligned to 64. */
#define FUSE_TILE_PRODUCT_ROOM ((size_t)512 << 10)
typedef void fuse_tile_product(int64_t m, int64_t n, int64_t depth, const void *a, int64_t a_row, int64_t a_column,
                               const void *b, int64_t b_row, int64_t b_column, void *c, int64_t ldc, bool add,
                               void *room);

/* The same, and whoever calls is told of rows [row, row + rows) by columns [column, column + columns) of c that are complete: some at
 * a time, of at least `points` elements but for the last rows, all of them once. */
struct fuse_tile_done {
    void (*run)(const struct fuse_tile_done *done, int64_t row, int64_t rows, int64_t column, int64_t columns);
    int64_t points;
};
typedef void fuse_tile_product_done(int64_t m, int64_t n, int64_t depth, const void *a, int64_t a_row, int64_t a_column,
                                    const void *b, int64_t b_row, int64_t b_column, void *c, int64_t ldc, bool add,
                                    void *room, const struct fuse_tile_done *done);

/* A few rows of a matrix product: c[c_row[i] + c_column[j]] (+)= sum over k of a[i * a_row + k * a_column] * b(k, j). b comes in
 * strips of the table's strip_bytes; b(k, j) is element k * b_row + j % width of the strip of column j, which begins at
 * b[j / width * b_strip], or at b[b_column[j]] where that is not NULL. Of the last strip as many whole vectors, of strip_bytes / 2,
 * are read as have a column. Offsets and strides in elements. */
struct fuse_tile_block {
    int64_t rows, first, end,
        depth; /* rows: at most the table's block_rows; columns first .. end - 1, from a strip's first on */
    const void *a, *b;
    int64_t a_row, a_column, b_row, b_strip;
    const int64_t *b_column; /* [end] */
    void *c;
    const int64_t *c_row, *c_column; /* [rows], [end] */
    int64_t c_run;                   /* so many columns are dense in c, from each multiple of it on */
    bool c_turned;                   /* c_run is 1, and all rows follow each other in c */
    bool a_ahead; /* further rows of a follow with the same stride and are needed next: fetched early */
    bool add;
};
typedef void fuse_tile_block_product(const struct fuse_tile_block *x);

/* c[i * c_row + j * c_column] (+)= sum over k of a[i * a_row + k] * b[j * b_row + k], i < m, j < n, k < depth, all >= 1. Sums are of
 * vectors, whose lanes are added at the end. For few rows of a or of b. */
typedef void fuse_tile_dots(int64_t m, int64_t n, int64_t depth, const void *a, int64_t a_row, const void *b,
                            int64_t b_row, void *c, int64_t c_row, int64_t c_column, bool add);

/* to[target[j] + i] = from[source[i] + j], i < n, j < lanes, both at most FUSE_TILE_TURN; elements of 32 or 64 bits, offsets in
 * elements. No other memory is touched. */
#define FUSE_TILE_TURN 16
typedef void fuse_tile_turn(void *to, const int64_t *target, const void *from, const int64_t *source, int64_t n,
                            int64_t lanes);

/* to[k * to_step + i] = from[source[i] + k], i < n, at most FUSE_TILE_TURN, k < depth; elements of 32 bits, offsets in elements.
 * What is at later[i], unless that is NULL, will be turned next. */
typedef void fuse_tile_turn_lanes(void *to, int64_t to_step, const void *from, const int64_t *source,
                                  const int64_t *later, int64_t n, int64_t depth);

/* to[r * row_to + c] = from[r + c * column_from], c < FUSE_TILE_TURN, r < rows, a multiple of it; elements of 32 bits. Every row of
 * the target is an aligned line, written past the caches: fuse_stream_fence before others read it. */
typedef void fuse_tile_turn_lines(void *to, int64_t row_to, const void *from, int64_t column_from, int64_t rows);

/* Rows of n elements, row q at from[offset[q] ..], dealt out to strips of `width` lanes, from lane `first` of all on: lane p of row
 * q comes to to[p / width * width * others + q * width + p % width]. Elements of 4 or 8 bytes. */
struct fuse_tile_deal {
    void *to;
    const void *from;
    const int64_t *offset; /* [others] */
    int64_t width, others, first, n, bytes;
};
typedef void fuse_tile_deal_rows(const struct fuse_tile_deal *x);

/* to[r * to_step + i * to_stride] = from[r * from_step + i * from_stride], i < run, 1 .. FUSE_TILE_RUN, r < runs; strides in elements.
 * No other memory is touched, and `to` and `from` share none. */
#define FUSE_TILE_RUN 128
typedef void fuse_tile_runs(void *to, int64_t to_stride, int64_t to_step, const void *from, int64_t from_stride,
                            int64_t from_step, int64_t run, int64_t runs);

/* What stands for the sum and the product in a matrix product. */
enum fuse_semiring {
    FUSE_SUM_TIMES,
    FUSE_MIN_PLUS,
    FUSE_MAX_PLUS,
    FUSE_MIN_TIMES,
    FUSE_MAX_TIMES,
    FUSE_MIN_MAX,
    FUSE_MAX_MIN,
    FUSE_SEMIRINGS
};

/* What x[0 .. n) holds beside finite numbers: bits of FUSE_TILE_NAN, .. */
enum { FUSE_TILE_NAN = 1, FUSE_TILE_INFINITE = 2, FUSE_TILE_MINUS_INFINITE = 4 };
typedef int fuse_tile_specials(const void *x, int64_t n);

/* Those of the tables, compiled by themselves. */
/* Adds and compares F32 in registers, so many rounds; returns what nobody needs, so that it is not left out. */
typedef double fuse_tile_add_min(int64_t rounds, double *operations);
#define FUSE_STRIPS(isa)                                                                                      \
    extern fuse_tile_product fuse_strip_##isa##_f32, fuse_strip_##isa##_f64, fuse_strip_##isa##_f32_min_plus, \
        fuse_strip_##isa##_f64_min_plus, fuse_strip_##isa##_f32_max_plus, fuse_strip_##isa##_f64_max_plus,    \
        fuse_strip_##isa##_f32_min_times, fuse_strip_##isa##_f64_min_times, fuse_strip_##isa##_f32_max_times, \
        fuse_strip_##isa##_f64_max_times, fuse_strip_##isa##_f32_min_max, fuse_strip_##isa##_f64_min_max,     \
        fuse_strip_##isa##_f32_max_min, fuse_strip_##isa##_f64_max_min;                                       \
    extern fuse_tile_product_done fuse_strip_##isa##_f32_done, fuse_strip_##isa##_f64_done;                   \
    extern fuse_tile_dots fuse_strip_##isa##_f32_dots, fuse_strip_##isa##_f64_dots;                           \
    extern fuse_tile_add_min fuse_strip_##isa##_f32_add_min;
FUSE_STRIPS(base)
extern fuse_tile_turn fuse_turn_base_32, fuse_turn_base_64;
extern fuse_tile_turn_lines fuse_turn_base_lines;
extern fuse_tile_deal_rows fuse_turn_base_deal;
extern fuse_tile_turn_lanes fuse_turn_base_lanes_32;
extern fuse_tile_runs fuse_turn_base_runs_8, fuse_turn_base_runs_32, fuse_turn_base_runs_64;
#if defined(__x86_64__)
FUSE_STRIPS(avx2)
FUSE_STRIPS(avx512)
extern fuse_tile_block_product fuse_micro_avx2_f32, fuse_micro_avx2_f64, fuse_micro_avx512_f32, fuse_micro_avx512_f64;
extern fuse_tile_turn fuse_turn_avx2_32, fuse_turn_avx2_64, fuse_turn_avx512_32, fuse_turn_avx512_64;
extern fuse_tile_turn_lines fuse_turn_avx2_lines, fuse_turn_avx512_lines;
extern fuse_tile_deal_rows fuse_turn_avx2_deal, fuse_turn_avx512_deal;
extern fuse_tile_turn_lanes fuse_turn_avx2_lanes_32, fuse_turn_avx512_lanes_32;
extern fuse_tile_runs fuse_turn_avx2_runs_8, fuse_turn_avx2_runs_32, fuse_turn_avx2_runs_64, fuse_turn_avx512_runs_8,
    fuse_turn_avx512_runs_32, fuse_turn_avx512_runs_64;
#endif

struct fuse_tile_table {
    const char *isa;
    fuse_tile_load *load[FUSE_TILE_DTYPES][FUSE_TILE_CLASSES];
    fuse_tile_store *store[FUSE_TILE_CLASSES][FUSE_TILE_DTYPES];
    /* By op and class of the first argument; UNIFORM, NORMAL and SELECT by class of the result. */
    fuse_tile_op *op[FUSE_SCALAR_OPS][FUSE_TILE_CLASSES];
    fuse_tile_op *cast[FUSE_TILE_CLASSES][FUSE_TILE_CLASSES];  /* [from][to] */
    fuse_tile_op *narrow[FUSE_TILE_DTYPES][FUSE_TILE_CLASSES]; /* [through][class] */
    fuse_tile_op *square[FUSE_TILE_CLASSES];                   /* a ** 2 */
    /* (a c0) (tanh((a c1) ((a a) c2 + c3)) + 1), which is not nothing where tanh is nearly -1, and (a c0) (erf(a c1) + c4). */
    fuse_tile_op *gelu[FUSE_TILE_CLASSES], *gelu_erf[FUSE_TILE_CLASSES];
    /* Sums of F32 have an F64 accumulator, everything else one of its own class. */
    fuse_tile_accumulate *accumulate[FUSE_TILE_REDUCES][FUSE_TILE_CLASSES];
    fuse_tile_fold *fold[FUSE_TILE_REDUCES][FUSE_TILE_CLASSES];
    fuse_tile_fold_products *fold_products[FUSE_TILE_CLASSES]; /* NULL: of integers and truths */
    /* to[i] = first + i * step, i < n. */
    void (*ramp)(int64_t *to, int64_t first, int64_t step, int64_t n);
    /* The largest magnitude of x[0 .. n), as an unsigned number; 0 for n == 0. */
    uint64_t (*magnitude)(const int64_t *x, int64_t n);
    /* y[i] += a * x[i] in two's complement: the caller has shown that nothing overflows. */
    void (*axpy)(int64_t *y, int64_t a, const int64_t *x, int64_t n);
    /* Bytes of a row of a strip of b as the products read it without copying. */
    int64_t strip_bytes;
    bool has_fma; /* else BLAS is always faster on packed operands */
    /* [semiring][F32 or F64]. Other semirings than the first want numbers only, and sums and products of them that are numbers. */
    fuse_tile_product *product[FUSE_SEMIRINGS][2];
    fuse_tile_product_done *product_done[2]; /* F32 or F64, the first semiring */
    fuse_tile_block_product *block[2];       /* F32, F64; NULL: BLAS is faster */
    int64_t block_rows;
    bool block_first;                /* they are faster than BLAS also where it reads operands as they lie */
    fuse_tile_dots *dots[2];         /* F32, F64 */
    fuse_tile_specials *specials[2]; /* F32, F64 */
    fuse_tile_add_min *add_min;
    fuse_tile_turn *turn_32, *turn_64;
    fuse_tile_turn_lines *turn_lines;
    fuse_tile_deal_rows *deal;
    fuse_tile_turn_lanes *turn_lanes;
    fuse_tile_runs *runs[FUSE_TILE_CLASSES];         /* of elements as long as that class's */
    fuse_tile_add_rows *add_rows_f32, *add_rows_f64; /* by the type of x and value */
    const struct fuse_math_rows *rows[2];            /* F32, F64 */
    fuse_math_stream *stream;
    fuse_tile_op *pacing[FUSE_TILE_PACING];
    const struct fuse_attend_kernels *attend_f32, *attend_f64;
};

extern const struct fuse_tile_table fuse_tile_base;
#if defined(__x86_64__)
extern const struct fuse_tile_table fuse_tile_avx2, fuse_tile_avx512;
#endif
/* The table of that name, NULL: the best one for this processor. NULL when there is none that runs here. */
const struct fuse_tile_table *fuse_tile_choose(const char *isa);

#endif
