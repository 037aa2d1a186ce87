/* The tile kernels of every instruction set that this processor has: the same bits from all of them where the operation
 * is exact, and at most 4 ulp from the true value where it is not. */
#include "testbed.h"

#include "backend/cpu_tile.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct fuse_tile_table *tables[3];
static int table_count;

static int find_tables(void **state) {
    (void)state;
    static const char *const names[] = {"baseline", "avx2", "avx512"};
    for (int i = 0; i < 3; i++) {
        const struct fuse_tile_table *table = fuse_tile_choose(names[i]);
        if (table)
            tables[table_count++] = table;
        assert_true(!table || strcmp(table->isa, names[i]) == 0);
    }
    assert_ptr_equal(fuse_tile_choose(NULL), tables[table_count - 1]);
    assert_null(fuse_tile_choose("sse9"));
    return 0;
}

/* Functions of one real, the range they are sampled in and what they should be, in a wider type. */
static long double rsqrt_l(long double x) {
    return 1 / sqrtl(x);
}
static long double sigmoid_l(long double x) {
    return 1 / (1 + expl(-x));
}

static const struct {
    enum fuse_scalar_op op;
    double low, high;
    long double (*function)(long double);
} functions[] = {
    {FUSE_SCALAR_EXP, -87, 88, expl},          {FUSE_SCALAR_EXP, -1, 1, expl},
    {FUSE_SCALAR_LOG, 1e-30, 10, logl},        {FUSE_SCALAR_LOG, 0.9, 1.1, logl},
    {FUSE_SCALAR_LOG, 1, 1e30, logl},          {FUSE_SCALAR_LOG1P, -0.99, 1, log1pl},
    {FUSE_SCALAR_LOG1P, -1e-3, 1e-3, log1pl},  {FUSE_SCALAR_SQRT, 0, 1e10, sqrtl},
    {FUSE_SCALAR_RSQRT, 1e-10, 1e10, rsqrt_l}, {FUSE_SCALAR_SIN, -3, 3, sinl},
    {FUSE_SCALAR_SIN, -1e4, 1e4, sinl},        {FUSE_SCALAR_COS, -3, 3, cosl},
    {FUSE_SCALAR_COS, -1e4, 1e4, cosl},        {FUSE_SCALAR_TANH, -10, 10, tanhl},
    {FUSE_SCALAR_TANH, -1e-3, 1e-3, tanhl},    {FUSE_SCALAR_ERF, -5, 5, erfl},
    {FUSE_SCALAR_ERF, -1e-3, 1e-3, erfl},      {FUSE_SCALAR_SIGMOID, -80, 80, sigmoid_l},
    {FUSE_SCALAR_SIGMOID, -4, 4, sigmoid_l},
};

/* Distance from the true value in units of the last place of the rounded true value. */
static double ulps(long double truth, double got, bool wide) {
    int digits = wide ? 53 : 24, exponent;
    frexp((double)truth, &exponent);
    return fabs((double)(((long double)got - truth) / ldexpl(1, exponent - digits)));
}

static double worst(const struct fuse_tile_table *table, size_t f, bool wide) {
    const enum fuse_tile_class class = wide ? FUSE_TILE_F64 : FUSE_TILE_F32;
    struct rng rng = {.state = f};
    double most = 0;
    for (int tile = 0; tile < 200; tile++) {
        double in64[FUSE_TILE], out64[FUSE_TILE];
        float in32[FUSE_TILE], out32[FUSE_TILE];
        for (int i = 0; i < FUSE_TILE; i++) {
            in64[i] = rng_real(&rng, functions[f].low, functions[f].high);
            in32[i] = (float)in64[i];
        }
        struct fuse_tile_args args = {
            .out = wide ? (void *)out64 : (void *)out32, .a = wide ? (void *)in64 : (void *)in32, .n = FUSE_TILE};
        table->op[functions[f].op][class](&args);
        for (int i = 0; i < FUSE_TILE; i++) {
            long double x = wide ? in64[i] : in32[i];
            double error = ulps(functions[f].function(x), wide ? out64[i] : (double)out32[i], wide);
            most = error > most ? error : most;
        }
    }
    return most;
}

/* libmvec promises 4 ulp. */
static void functions_are_accurate(void **state) {
    (void)state;
    for (int t = 0; t < table_count; t++)
        for (size_t f = 0; f < sizeof functions / sizeof *functions; f++)
            for (int wide = 0; wide < 2; wide++) {
                double most = worst(tables[t], f, wide);
                if (!(most <= 4))
                    fail_msg("%s: %s (%s) on [%g, %g] is off by %g ulp", tables[t]->isa,
                             fuse_scalar_name(functions[f].op), wide ? "f64" : "f32", functions[f].low,
                             functions[f].high, most);
            }
}

static void powers_are_accurate(void **state) {
    (void)state;
    for (int t = 0; t < table_count; t++)
        for (int wide = 0; wide < 2; wide++) {
            struct rng rng = {.state = 1};
            double most = 0, a64[FUSE_TILE], b64[FUSE_TILE], out64[FUSE_TILE];
            float a32[FUSE_TILE], b32[FUSE_TILE], out32[FUSE_TILE];
            for (int i = 0; i < FUSE_TILE; i++) {
                a32[i] = (float)(a64[i] = rng_real(&rng, 0.01, 10));
                b32[i] = (float)(b64[i] = rng_real(&rng, -10, 10));
            }
            struct fuse_tile_args args = {.out = wide ? (void *)out64 : (void *)out32,
                                          .a = wide ? (void *)a64 : (void *)a32,
                                          .b = wide ? (void *)b64 : (void *)b32,
                                          .n = FUSE_TILE};
            tables[t]->op[FUSE_SCALAR_POW][wide ? FUSE_TILE_F64 : FUSE_TILE_F32](&args);
            for (int i = 0; i < FUSE_TILE; i++) {
                long double truth = wide ? powl(a64[i], b64[i]) : powl(a32[i], b32[i]);
                double error = ulps(truth, wide ? out64[i] : (double)out32[i], wide);
                most = error > most ? error : most;
            }
            assert_true(most <= 4);
        }
}

static bool is_rounded(int op) {
    return (op >= FUSE_SCALAR_EXP && op <= FUSE_SCALAR_SIGMOID && op != FUSE_SCALAR_SQRT && op != FUSE_SCALAR_RSQRT) ||
           op == FUSE_SCALAR_POW || op == FUSE_SCALAR_NORMAL;
}

/* Everything that is not a transcendental function gives the same bits on every instruction set. */
static void instruction_sets_agree(void **state) {
    (void)state;
    static const size_t size[] = {1, 8, 4, 8};
    for (int op = 0; op < FUSE_SCALAR_OPS; op++)
        for (int class = 0; class < FUSE_TILE_CLASSES; class ++) {
            if (fuse_tile_base.op[op][class] == NULL || is_rounded(op))
                continue;
            double a[FUSE_TILE], b[FUSE_TILE], c[FUSE_TILE], first[FUSE_TILE], out[FUSE_TILE];
            struct rng rng = {.state = (uint64_t)op};
            const enum fuse_dtype type = fuse_tile_dtype((enum fuse_tile_class) class);
            fill_whole(&rng, a,
                       op == FUSE_SCALAR_SELECT    ? FUSE_BOOL
                       : op >= FUSE_SCALAR_UNIFORM ? FUSE_I64
                                                   : type,
                       FUSE_TILE, 20);
            fill_whole(&rng, b, type, FUSE_TILE, 20);
            fill_whole(&rng, c, type, FUSE_TILE, 20);
            if (op == FUSE_SCALAR_POW)
                fill_whole(&rng, b, FUSE_U8, sizeof b, 0);
            for (int t = 0; t < table_count; t++) {
                memset(out, 0, sizeof out);
                struct fuse_tile_args args = {.out = out, .a = a, .b = b, .c = c, .n = FUSE_TILE, .integer = 42};
                tables[t]->op[op][class](&args);
                if (t == 0)
                    memcpy(first, out, sizeof out);
                if (memcmp(first, out, FUSE_TILE * size[class]) != 0)
                    fail_msg("%s of class %d differs on %s", fuse_scalar_name((enum fuse_scalar_op)op), class,
                             tables[t]->isa);
            }
        }
}

/* The order of a fold depends on its length only. */
static void folds_agree(void **state) {
    (void)state;
    for (int wide = 0; wide < 2; wide++)
        for (int n = 0; n < 100; n++) {
            double in64[100], first = 0;
            float in32[100];
            struct rng rng = {.state = (uint64_t)n};
            for (int i = 0; i < 100; i++)
                in32[i] = (float)(in64[i] = rng_real(&rng, -1, 1));
            for (int t = 0; t < table_count; t++) {
                double sum = 0;
                bool overflow = false;
                tables[t]->fold[FUSE_REDUCE_SUM][wide ? FUSE_TILE_F64 : FUSE_TILE_F32](
                    &sum, wide ? (void *)in64 : (void *)in32, n, &overflow);
                if (t == 0)
                    first = sum;
                assert_true(sum == first);
            }
        }
}

static void draws_are_philox(void **state) {
    (void)state;
    for (int t = 0; t < table_count; t++) {
        int64_t counter[FUSE_TILE];
        float out[FUSE_TILE];
        struct rng rng = {.state = 8};
        for (int i = 0; i < FUSE_TILE; i++)
            counter[i] = (int64_t)rng_next(&rng);
        struct fuse_tile_args args = {.out = out, .a = counter, .n = FUSE_TILE, .integer = -77};
        tables[t]->op[FUSE_SCALAR_UNIFORM][FUSE_TILE_F32](&args);
        for (int i = 0; i < FUSE_TILE; i++) {
            uint32_t x[4];
            fuse_philox(x, (uint64_t)counter[i], (uint64_t)-77);
            assert_true(out[i] == (float)(x[0] >> 8) * 0x1p-24f);
        }
    }
}

/* ---- products in strips ---- */

#define GUARD 1e30

static double element(const void *at, int64_t i, bool wide) {
    return wide ? ((const double *)at)[i] : (double)((const float *)at)[i];
}

static void set_element(void *at, int64_t i, double x, bool wide) {
    if (wide)
        ((double *)at)[i] = x;
    else
        ((float *)at)[i] = (float)x;
}

/* Operands of small integers: sums are exact in any order, and so must results be. What lies around the result stays, and
 * what lies around the operands is NaN, which would show. */
static void check_product(const struct fuse_tile_table *table, bool wide, const int64_t size[3], int layout, bool add,
                          bool by_rows) {
    const int64_t m = size[0], n = size[1], depth = size[2];
    const bool a_turned = layout & 1, b_turned = layout & 2;
    const int64_t pad = layout & 4 ? 3 : 0, lda = (a_turned ? m : depth) + pad, ldb = (b_turned ? depth : n) + pad,
                  ldc = n + pad;
    const int64_t count[3] = {lda * (a_turned ? depth : m), ldb * (b_turned ? n : depth), ldc * m};
    const int64_t a_row = a_turned ? 1 : lda, a_column = a_turned ? lda : 1, b_row = b_turned ? 1 : ldb,
                  b_column = b_turned ? ldb : 1;
    char *at[3];
    void *room;
    struct rng rng = {.state = (uint64_t)(m + 100 * n + 10000 * depth)};
    assert_int_equal(posix_memalign(&room, 64, FUSE_TILE_PRODUCT_ROOM), 0);
    memset(room, 0xff, FUSE_TILE_PRODUCT_ROOM); /* NaN */
    for (int o = 0; o < 3; o++) {
        at[o] = malloc((size_t)count[o] * 8);
        for (int64_t i = 0; i < count[o]; i++)
            set_element(at[o], i, o == 2 ? GUARD : NAN, wide);
    }
    for (int64_t i = 0; i < m; i++)
        for (int64_t k = 0; k < depth; k++)
            set_element(at[0], i * a_row + k * a_column, rng_below(&rng, 7) - 3, wide);
    for (int64_t k = 0; k < depth; k++)
        for (int64_t j = 0; j < n; j++)
            set_element(at[1], k * b_row + j * b_column, rng_below(&rng, 7) - 3, wide);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++)
            set_element(at[2], i * ldc + j, add ? 5 : NAN, wide);
    if (by_rows)
        table->dots[wide](m, n, depth, at[0], a_row, at[1], b_column, at[2], ldc, 1, add);
    else
        table->product[FUSE_SUM_TIMES][wide](m, n, depth, at[0], a_row, a_column, at[1], b_row, b_column, at[2], ldc,
                                             add, room);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < ldc; j++) {
            double want = add ? 5 : 0;
            for (int64_t k = 0; k < depth && j < n; k++)
                want += element(at[0], i * a_row + k * a_column, wide) * element(at[1], k * b_row + j * b_column, wide);
            if (j >= n)
                want = (double)(wide ? GUARD : (float)GUARD);
            if (element(at[2], i * ldc + j, wide) != want)
                fail_msg("%s f%d: %lld x %lld x %lld, layout %d, add %d, by rows %d: element %lld,%lld is %g, not %g",
                         table->isa, wide ? 64 : 32, (long long)m, (long long)n, (long long)depth, layout, add, by_rows,
                         (long long)i, (long long)j, element(at[2], i * ldc + j, wide), want);
        }
    for (int o = 0; o < 3; o++)
        free(at[o]);
    free(room);
}

static void test_products(void **state) {
    (void)state;
    /* Around the rows of a tile, the lanes of vectors and strips, the depth of a block, and the room for b. */
    static const int64_t sizes[][3] = {
        {1, 1, 1},       {2, 3, 5},      {4, 16, 7},     {5, 17, 4},    {6, 8, 9},     {12, 32, 64},  {13, 33, 31},
        {23, 31, 16},    {25, 48, 33},   {29, 15, 255},  {11, 64, 256}, {50, 70, 257}, {3, 100, 513}, {30, 9, 1000},
        {14, 1100, 130}, {13, 33, 8200}, {12, 37, 2100}, {1, 50, 20},   {70, 1, 20},   {16, 16, 16},  {8, 8, 8}};
    for (int t = 0; t < table_count; t++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            for (int layout = 0; layout < 8; layout++)
                for (int flags = 0; flags < 4; flags++)
                    for (int by_rows = 0; by_rows <= ((layout & 3) == 2); by_rows++) /* both summed along dense rows */
                        check_product(tables[t], flags & 1, sizes[s], layout, flags & 2, by_rows);
}

/* Runs of every length, dense, repeated and strided on either side; what lies between them stays, and `from` is as large as it
 * must be. */
static void runs_are_moved(void **state) {
    (void)state;
    enum { RUNS = 5, ROOM = 4 * 3 * FUSE_TILE_RUN * RUNS };
    static const enum fuse_tile_class classes[] = {FUSE_TILE_BOOL, FUSE_TILE_F32, FUSE_TILE_F64};
    static const int64_t strides[][2] = {{1, 1}, {1, 0}, {1, 3}, {2, 1}, {3, 2}};
    unsigned char *want = malloc((size_t)ROOM * 8), *to = malloc((size_t)ROOM * 8);
    for (int t = 0; t < table_count; t++)
        for (int c = 0; c < 3; c++)
            for (int s = 0; s < 5; s++)
                for (int64_t run = 1; run <= FUSE_TILE_RUN; run++)
                    for (int gap = 0; gap < 3; gap++) {
                        const size_t size = classes[c] == FUSE_TILE_BOOL ? 1 : classes[c] == FUSE_TILE_F32 ? 4 : 8;
                        const int64_t to_step = run * strides[s][0] + gap,
                                      from_step = gap == 2 ? 0 : run * strides[s][1] + gap;
                        const size_t last = (size_t)((RUNS - 1) * from_step + (run - 1) * strides[s][1] + 1);
                        unsigned char *from = malloc(last * size); /* the sanitizer sees a read beyond it */
                        struct rng rng = {.state = (uint64_t)run};
                        for (size_t i = 0; i < last * size; i++)
                            from[i] = (unsigned char)rng_below(&rng, 256);
                        memset(want, 0xab, (size_t)ROOM * 8);
                        memset(to, 0xab, (size_t)ROOM * 8);
                        for (int64_t r = 0; r < RUNS; r++)
                            for (int64_t i = 0; i < run; i++)
                                memcpy(want + (size_t)(r * to_step + i * strides[s][0]) * size,
                                       from + (size_t)(r * from_step + i * strides[s][1]) * size, size);
                        tables[t]->runs[classes[c]](to, strides[s][0], to_step, from, strides[s][1], from_step, run,
                                                    RUNS);
                        if (memcmp(to, want, (size_t)ROOM * 8) != 0)
                            fail_msg("%s: runs of %lld elements of %d bytes, strides %lld and %lld", tables[t]->isa,
                                     (long long)run, (int)size, (long long)strides[s][0], (long long)strides[s][1]);
                        free(from);
                    }
    free(want);
    free(to);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products),       cmocka_unit_test(functions_are_accurate),
        cmocka_unit_test(powers_are_accurate), cmocka_unit_test(instruction_sets_agree),
        cmocka_unit_test(folds_agree),         cmocka_unit_test(draws_are_philox),
        cmocka_unit_test(runs_are_moved),
    };
    return cmocka_run_group_tests(tests, find_tables, NULL);
}
