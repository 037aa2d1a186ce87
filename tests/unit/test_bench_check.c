/* The checks of `fuse-dist bench`: they accept what is right, and one wrong element among few is seen. */
#include "api/bench.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct fuse_bench_verdict verdict_of(const struct fuse_bench_case *c) {
    struct fuse_bench_verdict verdict = {0};
    c->check(&verdict, c);
    return verdict;
}

static void expect_seen(struct fuse_bench_case *c, float *out, int n) {
    struct fuse_bench_verdict right = verdict_of(c);
    assert_int_equal(right.wrong, 0);
    assert_int_equal(right.checked, n);
    for (int i = 0; i < n; i++) {
        const float wrong[] = {out[i] + 1e-3f, NAN, INFINITY};
        const float kept = out[i];
        for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++) {
            out[i] = wrong[k];
            assert_int_equal(verdict_of(c).wrong, 1);
        }
        out[i] = kept;
    }
}

static void test_products(void **state) {
    (void)state;
    /* ab,bc->ca, by hand */
    const float a[] = {1, 2, 3, 4, 5, 6}, b[] = {1, -1, 0.5f, 2, -3, 4};
    float out[4];
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++)
            out[j * 2 + i] = a[i * 3] * b[j] + a[i * 3 + 1] * b[2 + j] + a[i * 3 + 2] * b[4 + j];
    struct fuse_bench_case c = {.operands = 2,
                                .operand = {{.axes = "ab", .rank = 2, .extent = {2, 3}, .dtype = FUSE_F32, .data = a},
                                            {.axes = "bc", .rank = 2, .extent = {3, 2}, .dtype = FUSE_F32, .data = b}},
                                .out = {.axes = "ca", .rank = 2, .extent = {2, 2}, .dtype = FUSE_F32, .data = out},
                                .check = fuse_bench_check_einsum};
    expect_seen(&c, out, 4);
    /* The diagonal of aab summed over b. */
    const float x[] = {1, 2, 3, 4, 5, 6, 7, 8};
    float trace[] = {1 + 2, 7 + 8};
    struct fuse_bench_case d = {
        .operands = 1,
        .operand = {{.axes = "aab", .rank = 3, .extent = {2, 2, 2}, .dtype = FUSE_F32, .data = x}},
        .out = {.axes = "a", .rank = 1, .extent = {2}, .dtype = FUSE_F32, .data = trace},
        .check = fuse_bench_check_einsum};
    expect_seen(&d, trace, 2);
}

static void test_sums_and_copies(void **state) {
    (void)state;
    const float x[] = {1, 2, 3, 4, 5, 6};
    float sum[] = {5, 7, 9}, copy[] = {1, 2, 3, 4, 5, 6};
    struct fuse_bench_case c = {.operands = 1,
                                .operand = {{.axes = "ij", .rank = 2, .extent = {2, 3}, .dtype = FUSE_F32, .data = x}},
                                .out = {.axes = "j", .rank = 1, .extent = {3}, .dtype = FUSE_F32, .data = sum},
                                .check = fuse_bench_check_sums};
    expect_seen(&c, sum, 3);
    c.out = (struct fuse_bench_tensor){.axes = "ij", .rank = 2, .extent = {2, 3}, .dtype = FUSE_F32, .data = copy};
    c.check = fuse_bench_check_equal;
    expect_seen(&c, copy, 6);
}

static void test_attention(void **state) {
    (void)state;
    /* One head, two positions: the first sees itself only, the second both, with weights 1 / (1 + exp(s)). */
    const float q[] = {1, 0, 0, 1}, k[] = {2, 0, 0, 2}, v[] = {1, 2, 3, 4};
    const double s = 2 / sqrt(2), w = 1 / (1 + exp(s));
    float out[] = {1, 2, (float)(w * 1 + (1 - w) * 3), (float)(w * 2 + (1 - w) * 4)};
    struct fuse_bench_case c = {
        .what = "causal",
        .operands = 3,
        .operand = {{.axes = "hpd", .rank = 3, .extent = {1, 2, 2}, .dtype = FUSE_F32, .data = q},
                    {.axes = "hqd", .rank = 3, .extent = {1, 2, 2}, .dtype = FUSE_F32, .data = k},
                    {.axes = "hqe", .rank = 3, .extent = {1, 2, 2}, .dtype = FUSE_F32, .data = v}},
        .out = {.axes = "hpe", .rank = 3, .extent = {1, 2, 2}, .dtype = FUSE_F32, .data = out},
        .check = fuse_bench_check_attention};
    expect_seen(&c, out, 4);
}

static void test_maps(void **state) {
    (void)state;
    float x[] = {-0.5f, 0.25f, 1.5f, 0.125f}, b[] = {0.5f, 1, -0.25f, 2};
    for (int m = 0; m < fuse_bench_map_count; m++) {
        const struct fuse_bench_map *map = &fuse_bench_maps[m];
        float out[4];
        double want[4], allowed[4], wide[4] = {x[0], x[1], x[2], x[3]};
        for (int i = 0; i < 4 && map->element; i++)
            want[i] = map->element(x[i], b[i], &allowed[i]);
        if (map->row)
            map->row(want, allowed, wide, 4);
        for (int i = 0; i < 4; i++)
            out[i] = (float)want[i];
        struct fuse_bench_tensor t = {
            .axes = "ij", .dtype = FUSE_F32, .rank = map->rank, .extent = {map->rank == 2 ? 1 : 4, 4}};
        struct fuse_bench_case c = {.operands = map->operands, .context = map, .check = fuse_bench_check_map};
        c.operand[0] = c.operand[1] = c.out = t;
        c.operand[0].data = x;
        c.operand[1].data = b;
        c.out.data = out;
        expect_seen(&c, out, 4);
    }
}

static void test_numbers(void **state) {
    (void)state;
    int64_t n;
    assert_true(fuse_bench_number(&n, "64") && n == 64);
    assert_true(fuse_bench_number(&n, "3K") && n == 3072);
    assert_true(fuse_bench_number(&n, "2G") && n == INT64_C(2) << 30);
    const char *const wrong[] = {"", "0", "-1", "a", "1k", "1KB", "99999999999999", "2000000000G", "1.5"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(fuse_bench_number(&n, wrong[i]));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products), cmocka_unit_test(test_sums_and_copies), cmocka_unit_test(test_attention),
        cmocka_unit_test(test_maps),     cmocka_unit_test(test_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
