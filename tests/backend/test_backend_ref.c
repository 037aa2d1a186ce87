/* The oracle against values computed by hand or by a formula, through the interface that the others have too; so the
 * same cases run on cpu and fakedev. */
#include "testbed.h"

#include <math.h>
#include <string.h>

static const char *const names[] = {"ref", "cpu", "fakedev"};
#define BEDS 3

static struct bed beds[BEDS];

static int open_beds(void **state) {
    (void)state;
    for (int i = 0; i < BEDS; i++)
        beds[i] = bed_open(names[i], 2, 1 << 20);
    return 0;
}

static int close_beds(void **state) {
    (void)state;
    for (int i = 0; i < BEDS; i++)
        bed_close(&beds[i]);
    return 0;
}

static void ok(enum fuse_status status) {
    assert_int_equal(status, FUSE_OK);
}

#define AT(image, field) ((void *)((char *)&(image).field - (char *)&(image)))

static void names_are_found(void **state) {
    (void)state;
    assert_ptr_equal(fuse_backend_find("ref"), &fuse_backend_ref);
    assert_ptr_equal(fuse_backend_find("cpu"), &fuse_backend_cpu);
    assert_ptr_equal(fuse_backend_find("fakedev"), &fuse_backend_fakedev);
    assert_null(fuse_backend_find("gpu"));
}

static void a_product_by_hand(void **state) {
    (void)state;
    struct {
        float a[6], b[6], c[4];
    } image, start = {{1, 2, 3, 4, 5, 6}, {7, 8, 9, 10, 11, 12}, {1, 1, 1, 1}};
    const float expected[4] = {58, 64, 139, 154};
    struct call call = {.kind = CALL_CONTRACT};
    call.contract = (struct fuse_contract){.indices = 3, .extent = {2, 2, 3}, .in_a = 5, .in_b = 6, .in_c = 3};
    call.contract.a = (struct fuse_operand_view){.data = AT(image, a), .dtype = FUSE_F32, .stride = {3, 0, 1}};
    call.contract.b = (struct fuse_operand_view){.data = AT(image, b), .dtype = FUSE_F32, .stride = {0, 1, 2}};
    call.contract.c = (struct fuse_operand_view){.data = AT(image, c), .dtype = FUSE_F32, .stride = {2, 1}};
    for (int accumulate = 0; accumulate < 2; accumulate++)
        for (int i = 0; i < BEDS; i++) {
            struct fuse_error err = {0};
            image = start;
            call.contract.accumulate = accumulate;
            ok(bed_run(&beds[i], &call, (char *)&image, sizeof image, &err));
            for (int x = 0; x < 4; x++)
                assert_true(image.c[x] == expected[x] + (float)accumulate);
        }
}

/* c[j, i] = sum over k, q of a[i, k] b[k, j, q] with a = i + k and b = k - j for each of 5 q:
 * 5 (sum (i + k)(k - j)) = 5 (K2 + (i - j) K1 - i j K), K = 40, K1 = 780, K2 = 20540. */
static void a_product_by_formula(void **state) {
    (void)state;
    enum { M = 7, N = 9, K = 40, Q = 5 };
    static struct { int64_t a[M * K], b[K * N * Q], c[N * M]; } image;
    struct call call = {.kind = CALL_CONTRACT};
    call.contract = (struct fuse_contract){.indices = 4, .extent = {M, N, K, Q}, .in_a = 5, .in_b = 14, .in_c = 3};
    call.contract.a = (struct fuse_operand_view){.data = AT(image, a), .dtype = FUSE_I64, .stride = {K, 0, 1}};
    call.contract.b = (struct fuse_operand_view){.data = AT(image, b), .dtype = FUSE_I64, .stride = {0, Q, N * Q, 1}};
    call.contract.c = (struct fuse_operand_view){.data = AT(image, c), .dtype = FUSE_I64, .stride = {1, M}};
    for (int bed = 0; bed < BEDS; bed++) {
        struct fuse_error err = {0};
        for (int i = 0; i < M; i++)
            for (int k = 0; k < K; k++)
                image.a[i * K + k] = i + k;
        for (int k = 0; k < K; k++)
            for (int j = 0; j < N; j++)
                for (int q = 0; q < Q; q++)
                    image.b[(k * N + j) * Q + q] = k - j;
        ok(bed_run(&beds[bed], &call, (char *)&image, sizeof image, &err));
        for (int i = 0; i < M; i++)
            for (int j = 0; j < N; j++)
                assert_int_equal(image.c[j * M + i], 5 * (20540 + (i - j) * 780 - i * j * K));
    }
}

static void dtypes_are_converted(void **state) {
    (void)state;
    struct {
        double c[1];
        uint16_t a[4];
        int8_t b[4];
    } image = {{0}, {0x3c00, 0x4000, 0xb800, 0}, {3, -4, 8, 100}}; /* 1 2 -0.5 0 */
    struct call call = {.kind = CALL_CONTRACT};
    call.contract = (struct fuse_contract){.indices = 1, .extent = {4}, .in_a = 1, .in_b = 1};
    call.contract.a = (struct fuse_operand_view){.data = AT(image, a), .dtype = FUSE_F16, .stride = {1}};
    call.contract.b = (struct fuse_operand_view){.data = AT(image, b), .dtype = FUSE_I8, .stride = {1}};
    call.contract.c = (struct fuse_operand_view){.data = AT(image, c), .dtype = FUSE_F64};
    for (int bed = 0; bed < BEDS; bed++) {
        struct fuse_error err = {0};
        ok(bed_run(&beds[bed], &call, (char *)&image, sizeof image, &err));
        assert_true(image.c[0] == 3 - 8 - 4);
    }
}

/* out[i] op= over j of (i + 10) * x[j], x = 1 .. 5 */
static void reductions_by_hand(void **state) {
    (void)state;
    static const struct {
        enum fuse_reduce op;
        int64_t of_row[3];
    } cases[] = {{FUSE_REDUCE_SUM, {150, 165, 180}},
                 {FUSE_REDUCE_PROD, {INT64_C(12000000), INT64_C(19326120), INT64_C(29859840)}},
                 {FUSE_REDUCE_MIN, {10, 11, 12}},
                 {FUSE_REDUCE_MAX, {50, 55, 60}}};
    struct {
        int64_t x[5], out[3];
    } image;
    struct fuse_scalar_node node[3] = {op_node(FUSE_SCALAR_IOTA, FUSE_I64, -1, -1, -1), load_node(0, FUSE_I64),
                                       op_node(FUSE_SCALAR_MUL, FUSE_I64, 0, 1, -1)};
    struct fuse_scalar body = {.n = 3, .node = node};
    struct call call = {.kind = CALL_MAP};
    call.map = (struct fuse_map_call){
        .indices = 2, .extent = {3, 5}, .origin = {10, 77}, .in_out = 1, .operands = 1, .body = &body};
    call.operand[0] = (struct fuse_operand_view){.data = AT(image, x), .dtype = FUSE_I64, .stride = {0, 1}};
    call.map.out = (struct fuse_operand_view){.data = AT(image, out), .dtype = FUSE_I64, .stride = {1}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (int accumulate = 0; accumulate < 2; accumulate++)
            for (int bed = 0; bed < BEDS; bed++) {
                struct fuse_error err = {0};
                for (int j = 0; j < 5; j++)
                    image.x[j] = j + 1;
                for (int i = 0; i < 3; i++)
                    image.out[i] = 30;
                call.map.reduce = cases[c].op;
                call.map.accumulate = accumulate;
                ok(bed_run(&beds[bed], &call, (char *)&image, sizeof image, &err));
                for (int i = 0; i < 3; i++) {
                    int64_t e = cases[c].of_row[i];
                    if (accumulate)
                        e = cases[c].op == FUSE_REDUCE_SUM    ? e + 30
                            : cases[c].op == FUSE_REDUCE_PROD ? e * 30
                            : cases[c].op == FUSE_REDUCE_MIN  ? (e < 30 ? e : 30)
                                                              : (e > 30 ? e : 30);
                    assert_int_equal(image.out[i], e);
                }
            }
}

/* 1 + 2^-30 summed 2^10 times in F32 would be 2^10; F64 accumulators keep the rest, which one rounding then keeps. */
static void sums_are_rounded_once(void **state) {
    (void)state;
    static struct { float x[1025], out[1]; } image;
    struct fuse_scalar_node node[1] = {load_node(0, FUSE_F32)};
    struct fuse_scalar body = {.n = 1, .node = node};
    struct call call = {.kind = CALL_MAP};
    call.map =
        (struct fuse_map_call){.indices = 1, .extent = {1025}, .operands = 1, .body = &body, .reduce = FUSE_REDUCE_SUM};
    call.operand[0] = (struct fuse_operand_view){.data = AT(image, x), .dtype = FUSE_F32, .stride = {1}};
    call.map.out = (struct fuse_operand_view){.data = AT(image, out), .dtype = FUSE_F32};
    for (int bed = 0; bed < BEDS; bed++) {
        struct fuse_error err = {0};
        image.x[0] = 1;
        for (int i = 1; i < 1025; i++)
            image.x[i] = 0x1p-30f;
        ok(bed_run(&beds[bed], &call, (char *)&image, sizeof image, &err));
        assert_true(image.out[0] == 1 + 0x1p-20f);
    }
}

/* A transposed, reversed, masked copy through a map: out[j, i] = i < j ? x[3 - i, j] : -1. */
static void a_map_by_hand(void **state) {
    (void)state;
    struct {
        int16_t x[4][3];
        float out[3][4];
    } image;
    struct fuse_scalar_node node[6] = {op_node(FUSE_SCALAR_IOTA, FUSE_I64, -1, -1, -1),
                                       op_node(FUSE_SCALAR_IOTA, FUSE_I64, -1, -1, -1),
                                       op_node(FUSE_SCALAR_LT, FUSE_BOOL, 0, 1, -1),
                                       load_node(0, FUSE_F32),
                                       const_node(FUSE_F32, -1),
                                       op_node(FUSE_SCALAR_SELECT, FUSE_F32, 2, 3, 4)};
    node[0].arg = 0;
    node[1].arg = 1;
    struct fuse_scalar body = {.n = 6, .node = node};
    struct call call = {.kind = CALL_MAP};
    call.map = (struct fuse_map_call){.indices = 2, .extent = {4, 3}, .in_out = 3, .operands = 1, .body = &body};
    call.operand[0] = (struct fuse_operand_view){.data = AT(image, x[3]), .dtype = FUSE_I16, .stride = {-3, 1}};
    call.map.out = (struct fuse_operand_view){.data = AT(image, out), .dtype = FUSE_F32, .stride = {1, 4}};
    for (int bed = 0; bed < BEDS; bed++) {
        struct fuse_error err = {0};
        for (int i = 0; i < 4; i++)
            for (int j = 0; j < 3; j++)
                image.x[i][j] = (int16_t)(10 * i + j);
        ok(bed_run(&beds[bed], &call, (char *)&image, sizeof image, &err));
        for (int i = 0; i < 4; i++)
            for (int j = 0; j < 3; j++)
                assert_true(image.out[j][i] == (i < j ? (float)(10 * (3 - i) + j) : -1));
    }
}

static void views_by_hand(void **state) {
    (void)state;
    struct {
        double from[6], to[6];
    } image;
    struct call call = {.kind = CALL_COPY};
    call.from =
        (struct fuse_view){.data = AT(image, from), .dtype = FUSE_F64, .rank = 2, .extent = {3, 2}, .stride = {2, 1}};
    call.to =
        (struct fuse_view){.data = AT(image, to), .dtype = FUSE_F64, .rank = 2, .extent = {3, 2}, .stride = {1, 3}};
    const double copied[6] = {0, 2, 4, 1, 3, 5}, product[6] = {0, -2, -4, -1, -3, -5};
    for (int bed = 0; bed < BEDS; bed++) {
        struct fuse_error err = {0};
        for (int i = 0; i < 6; i++) {
            image.from[i] = i;
            image.to[i] = -1;
        }
        call.kind = CALL_COMBINE;
        call.op = FUSE_REDUCE_PROD;
        ok(bed_run(&beds[bed], &call, (char *)&image, sizeof image, &err));
        assert_memory_equal(image.to + 1, product + 1, 5 * sizeof(double));
        call.kind = CALL_COPY;
        ok(bed_run(&beds[bed], &call, (char *)&image, sizeof image, &err));
        assert_memory_equal(image.to, copied, sizeof copied);
        call.kind = CALL_CLEAR;
        call.to.extent[0] = 2;
        ok(bed_run(&beds[bed], &call, (char *)&image, sizeof image, &err));
        assert_true(image.to[0] == 0 && image.to[1] == 0 && image.to[2] == 4 && image.to[3] == 0 && image.to[5] == 5);
        call.to.extent[0] = 3;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_found),      cmocka_unit_test(a_product_by_hand),
        cmocka_unit_test(a_product_by_formula), cmocka_unit_test(dtypes_are_converted),
        cmocka_unit_test(reductions_by_hand),   cmocka_unit_test(sums_are_rounded_once),
        cmocka_unit_test(a_map_by_hand),        cmocka_unit_test(views_by_hand),
    };
    return cmocka_run_group_tests(tests, open_beds, close_beds);
}
