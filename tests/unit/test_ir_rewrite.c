/* Each rewrite on small programs: what it must do, what it must leave, and the same numbers before and after. */
#include "ir_interpret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <string.h>

struct fixture {
    struct fuse_arena *arena;
    struct fuse_ir ir;
    struct interpreted before;
};

static int set_up(void **state) {
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fixture *f = FUSE_NEW(arena, struct fixture);
    f->arena = arena;
    f->ir.arena = arena;
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    fuse_arena_close(((struct fixture *)*state)->arena);
    return 0;
}

static void remember(struct fixture *f) {
    struct fuse_error err = {0};
    if (fuse_ir_verify(&f->ir, &err) != FUSE_OK)
        fail_msg("%s", err.message);
    assert_true(interpret(&f->before, f->arena, &f->ir));
}

/* The program is valid, computes what it did, and prints as `text` without its sources and sinks. */
static void expect(struct fixture *f, const char *expected) {
    struct fuse_error err = {0};
    struct interpreted after;
    struct fuse_text text = {.arena = f->arena};
    fuse_ir_sweep(&f->ir);
    fuse_text_add(&text, "%s", "");
    for (int i = 0; i < f->ir.ops.n; i++) {
        if (f->ir.ops.at[i]->kind == FUSE_OP_SOURCE || f->ir.ops.at[i]->kind == FUSE_OP_SINK)
            continue;
        fuse_ir_print_op(&text, &f->ir, i);
        fuse_text_add(&text, "\n");
    }
    assert_string_equal(text.at, expected);
    if (fuse_ir_verify(&f->ir, &err) != FUSE_OK)
        fail_msg("%s", err.message);
    assert_true(interpret(&after, f->arena, &f->ir));
    assert_true(interpreted_equal(&f->before, &after, 1e-12));
}

static struct build_body body(struct fixture *f) {
    return (struct build_body){.arena = f->arena};
}

/* out[i] = f(X[i]) with X of the dtype and 6 elements; the body's first node is the load. */
static void map_of_x(struct fixture *f, enum fuse_dtype x, enum fuse_dtype out, struct build_body *b) {
    int source = build_source(&f->ir, "X", x, 1, (int64_t[]){6});
    int map = build_map(&f->ir, out, "i", "i", (int64_t[]){6}, 1, (struct build_use[]){{source, "i"}}, FUSE_REDUCE_NONE,
                        body_end(b));
    build_sink(&f->ir, "out", map);
    remember(f);
}

static void folds_constants(void **state) {
    struct fixture *f = *state;
    struct build_body b = body(f);
    int x = body_load(&b, 0, FUSE_F32);
    int two = body_op(&b, FUSE_SCALAR_ADD, FUSE_F32, body_real(&b, FUSE_F32, 0.5), body_real(&b, FUSE_F32, 1.5), -1);
    int half = body_op(&b, FUSE_SCALAR_DIV, FUSE_F32, x, two, -1);
    int dead = body_op(&b, FUSE_SCALAR_EXP, FUSE_F32, x, -1, -1);
    (void)dead;
    body_op(&b, FUSE_SCALAR_MUL, FUSE_F32, body_real(&b, FUSE_F32, 1), half, -1);
    map_of_x(f, FUSE_F32, FUSE_F32, &b);
    fuse_ir_fold(&f->ir);
    expect(f, "%1 f32[6] = map [i:6] X[i] : mul(load(0), const(0.5))\n");
}

/* Rounds through the dtype: 0.1 + 0.2 in F32 is not 0.3 in F64. */
static void folds_in_the_dtype(void **state) {
    struct fixture *f = *state;
    struct build_body b = body(f);
    int sum = body_op(&b, FUSE_SCALAR_ADD, FUSE_F32, body_real(&b, FUSE_F32, (double)0.1f),
                      body_real(&b, FUSE_F32, (double)0.2f), -1);
    int wide = body_op(&b, FUSE_SCALAR_CAST, FUSE_F64, sum, -1, -1);
    body_op(&b, FUSE_SCALAR_ADD, FUSE_F64, body_load(&b, 0, FUSE_F64), wide, -1);
    map_of_x(f, FUSE_F64, FUSE_F64, &b);
    fuse_ir_fold(&f->ir);
    expect(f, "%1 f64[6] = map [i:6] X[i] : add(load(0), const(0.30000001192092896))\n");
}

static void leaves_what_overflows(void **state) {
    struct fixture *f = *state;
    struct build_body b = body(f);
    int big = body_op(&b, FUSE_SCALAR_MUL, FUSE_I64, body_int(&b, FUSE_I64, INT64_MAX), body_int(&b, FUSE_I64, 2), -1);
    body_op(&b, FUSE_SCALAR_MINIMUM, FUSE_I64, body_load(&b, 0, FUSE_I64), big, -1);
    int source = build_source(&f->ir, "X", FUSE_I64, 1, (int64_t[]){6});
    build_sink(&f->ir, "out",
               build_map(&f->ir, FUSE_I64, "i", "i", (int64_t[]){6}, 1, (struct build_use[]){{source, "i"}},
                         FUSE_REDUCE_NONE, body_end(&b)));
    fuse_ir_fold(&f->ir);
    struct interpreted out;
    assert_false(interpret(&out, f->arena, &f->ir));
}

static void keeps_signed_zeros(void **state) {
    struct fixture *f = *state;
    struct build_body b = body(f);
    int x = body_load(&b, 0, FUSE_F32);
    int plus = body_op(&b, FUSE_SCALAR_ADD, FUSE_F32, x, body_real(&b, FUSE_F32, 0), -1);     /* -0 + 0 is +0: stays */
    int minus = body_op(&b, FUSE_SCALAR_SUB, FUSE_F32, plus, body_real(&b, FUSE_F32, 0), -1); /* goes */
    body_op(&b, FUSE_SCALAR_MUL, FUSE_F32, minus, body_real(&b, FUSE_F32, 0), -1);            /* inf * 0: stays */
    map_of_x(f, FUSE_F32, FUSE_F32, &b);
    fuse_ir_fold(&f->ir);
    expect(f, "%1 f32[6] = map [i:6] X[i] : mul(add(load(0), const(0.0)), const(0.0))\n");
}

static void simplifies_integers_and_logic(void **state) {
    struct fixture *f = *state;
    struct build_body b = body(f);
    int x = body_load(&b, 0, FUSE_I64);
    int same = body_op(&b, FUSE_SCALAR_ADD, FUSE_I64, body_int(&b, FUSE_I64, 0), x, -1);
    int square = body_op(&b, FUSE_SCALAR_POW, FUSE_I64, same, body_int(&b, FUSE_I64, 2), -1);
    int differ = body_op(&b, FUSE_SCALAR_NOT, FUSE_BOOL, body_op(&b, FUSE_SCALAR_EQ, FUSE_BOOL, x, square, -1), -1, -1);
    int both = body_op(&b, FUSE_SCALAR_AND, FUSE_BOOL, body_int(&b, FUSE_BOOL, 1), differ, -1);
    int pick = body_op(&b, FUSE_SCALAR_SELECT, FUSE_I64, body_int(&b, FUSE_BOOL, 0), x, square);
    int first = body_op(&b, FUSE_SCALAR_NOT, FUSE_BOOL, both, -1, -1);
    body_op(&b, FUSE_SCALAR_SELECT, FUSE_I64, first, pick, x);
    map_of_x(f, FUSE_I32, FUSE_I64, &b);
    fuse_ir_fold(&f->ir);
    expect(f,
           "%1 i64[6] = map [i:6] X[i] : select(eq(load(0), mul(load(0), load(0))), mul(load(0), load(0)), load(0))\n");
}

static void simplifies_casts(void **state) {
    struct fixture *f = *state;
    struct build_body b = body(f);
    int x = body_load(&b, 0, FUSE_F32);
    int wide = body_op(&b, FUSE_SCALAR_CAST, FUSE_F64, x, -1, -1);
    int back = body_op(&b, FUSE_SCALAR_CAST, FUSE_F32, wide, -1, -1);
    int whole = body_op(&b, FUSE_SCALAR_CAST, FUSE_I64, back, -1, -1); /* loses the fraction: stays */
    body_op(&b, FUSE_SCALAR_CAST, FUSE_F32, whole, -1, -1);
    map_of_x(f, FUSE_F32, FUSE_F32, &b);
    fuse_ir_fold(&f->ir);
    expect(f, "%1 f32[6] = map [i:6] X[i] : cast(f32, cast(i64, load(0)))\n");
}

/* Other functions may differ in the last bit between processors, and all ranks must fold alike. */
static void leaves_library_functions(void **state) {
    struct fixture *f = *state;
    struct build_body b = body(f);
    int e = body_op(&b, FUSE_SCALAR_EXP, FUSE_F64, body_real(&b, FUSE_F64, 1), -1, -1);
    body_op(&b, FUSE_SCALAR_MUL, FUSE_F64, body_load(&b, 0, FUSE_F64), e, -1);
    map_of_x(f, FUSE_F64, FUSE_F64, &b);
    fuse_ir_fold(&f->ir);
    expect(f, "%1 f64[6] = map [i:6] X[i] : mul(load(0), exp(const(1.0)))\n");
}

static void takes_literals_into_bodies(void **state) {
    struct fixture *f = *state;
    static const int8_t three = 3;
    static const double table[2][3] = {{0.25, 0.5, 1}, {8, 16, 32}};
    int x = build_source(&f->ir, "X", FUSE_F64, 1, (int64_t[]){6});
    int scalar = build_literal(&f->ir, FUSE_I8, 0, NULL, &three);
    int matrix = build_literal(&f->ir, FUSE_F64, 2, (int64_t[]){2, 3}, table);
    struct build_body b = body(f);
    int cast = body_op(&b, FUSE_SCALAR_CAST, FUSE_F64, body_load(&b, 1, FUSE_I64), -1, -1);
    int sum = body_op(&b, FUSE_SCALAR_ADD, FUSE_F64, cast, body_load(&b, 2, FUSE_F64), -1);
    int more = body_op(&b, FUSE_SCALAR_ADD, FUSE_F64, sum, body_load(&b, 3, FUSE_F64), -1);
    body_op(&b, FUSE_SCALAR_MUL, FUSE_F64, body_load(&b, 0, FUSE_F64), more, -1);
    int map = build_map(&f->ir, FUSE_F64, "i", "i", (int64_t[]){6}, 4,
                        (struct build_use[]){{x, "i"}, {scalar, ""}, {matrix, ".."}, {matrix, ".."}}, FUSE_REDUCE_NONE,
                        body_end(&b));
    struct fuse_op *op = f->ir.ops.at[f->ir.values.at[map].op];
    op->input[2].access.at[0].offset = 1;
    op->input[3].access.at[1].offset = 3; /* outside: 0 */
    build_sink(&f->ir, "out", map);
    remember(f);
    fuse_ir_fold(&f->ir);
    expect(f, "%1 f64[6] = map [i:6] X[i] : mul(load(0), const(11.0))\n");
}

static void folds_a_scalar_to_a_literal(void **state) {
    struct fixture *f = *state;
    struct build_body b = body(f);
    body_op(&b, FUSE_SCALAR_ADD, FUSE_F64, body_real(&b, FUSE_F64, 1), body_real(&b, FUSE_F64, 0.5), -1);
    int map = build_map(&f->ir, FUSE_F16, "", "", NULL, 0, NULL, FUSE_REDUCE_NONE, body_end(&b));
    build_sink(&f->ir, "out", map);
    remember(f);
    fuse_ir_fold(&f->ir);
    expect(f, "%0 f16[] = literal 1.5\n");
}

/* A[i,j] = X[j,i], then reads of A. */
static int transpose_of_x(struct fixture *f, int64_t rows, int64_t columns) {
    struct build_body b = body(f);
    int x = build_source(&f->ir, "X", FUSE_F32, 2, (int64_t[]){columns, rows});
    body_load(&b, 0, FUSE_F32);
    return build_map(&f->ir, FUSE_F32, "ij", "ij", (int64_t[]){rows, columns}, 1, (struct build_use[]){{x, "ji"}},
                     FUSE_REDUCE_NONE, body_end(&b));
}

static void copies_dissolve_into_index_maps(void **state) {
    struct fixture *f = *state;
    int a = transpose_of_x(f, 4, 4);
    int p =
        build_product(&f->ir, FUSE_F32, "i", "ik", (int64_t[]){4, 4}, 2, (struct build_use[]){{a, "ik"}, {a, "kk"}});
    f->ir.ops.at[2]->input[0].access.at[1].stride = -1;
    f->ir.ops.at[2]->input[0].access.at[1].offset = 3;
    build_sink(&f->ir, "out", p);
    remember(f);
    fuse_ir_forward(&f->ir);
    expect(f, "%1 f32[4] = einsum [i:4 | k:4] X[-k+3,i] X[k,k]\n");
}

/* Reads beyond the copy are 0 beyond X too: the copy goes. */
static void padding_of_a_whole_copy_is_kept(void **state) {
    struct fixture *f = *state;
    int a = transpose_of_x(f, 4, 3);
    struct build_body b = body(f);
    body_op(&b, FUSE_SCALAR_NEG, FUSE_F32, body_load(&b, 0, FUSE_F32), -1, -1);
    int m = build_map(&f->ir, FUSE_F32, "ij", "ij", (int64_t[]){7, 4}, 1, (struct build_use[]){{a, "ij"}},
                      FUSE_REDUCE_NONE, body_end(&b));
    f->ir.ops.at[2]->input[0].access.at[0].offset = -2;
    build_sink(&f->ir, "out", m);
    remember(f);
    fuse_ir_forward(&f->ir);
    expect(f, "%1 f32[7,4] = map [i:7 j:4] X[j,i-2] : neg(load(0))\n");
}

/* A = X[1..4]; reading A at -1 must give 0, where X has a number: the copy stays. */
static void padding_of_a_slice_stays_zero(void **state) {
    struct fixture *f = *state;
    for (int side = 0; side < 2; side++) {
        f->ir = (struct fuse_ir){.arena = f->arena};
        struct build_body copy = body(f), b = body(f);
        int x = build_source(&f->ir, "X", FUSE_F32, 1, (int64_t[]){6});
        body_load(&copy, 0, FUSE_F32);
        int a = build_map(&f->ir, FUSE_F32, "i", "i", (int64_t[]){4}, 1, (struct build_use[]){{x, "i"}},
                          FUSE_REDUCE_NONE, body_end(&copy));
        f->ir.ops.at[1]->input[0].access.at[0].offset = 1;
        body_op(&b, FUSE_SCALAR_NEG, FUSE_F32, body_load(&b, 0, FUSE_F32), -1, -1);
        int m = build_map(&f->ir, FUSE_F32, "i", "i", (int64_t[]){5}, 1, (struct build_use[]){{a, "i"}},
                          FUSE_REDUCE_NONE, body_end(&b));
        f->ir.ops.at[2]->input[0].access.at[0].offset = side == 0 ? -1 : 0;
        build_sink(&f->ir, "out", m);
        remember(f);
        fuse_ir_forward(&f->ir);
        fuse_ir_fuse(&f->ir);
        expect(f, side == 0 ? "%1 f32[4] = map [i:4] X[i+1] : load(0)\n%2 f32[5] = map [i:5] %1[i-1] : neg(load(0))\n"
                            : "%1 f32[4] = map [i:4] X[i+1] : load(0)\n%2 f32[5] = map [i:5] %1[i] : neg(load(0))\n");
    }
}

static void sinks_keep_their_tensor(void **state) {
    struct fixture *f = *state;
    build_sink(&f->ir, "out", transpose_of_x(f, 4, 3));
    remember(f);
    struct fuse_error err = {0};
    assert_int_equal(fuse_ir_simplify(&f->ir, &err), FUSE_OK);
    expect(f, "%1 f32[4,3] = map [i:4 j:3] X[j,i] : load(0)\n");
}

static void equal_operations_become_one(void **state) {
    struct fixture *f = *state;
    int x = build_source(&f->ir, "X", FUSE_F32, 2, (int64_t[]){3, 4});
    int y = build_source(&f->ir, "Y", FUSE_F32, 2, (int64_t[]){4, 3});
    int y2 = build_source(&f->ir, "Y", FUSE_F32, 2, (int64_t[]){4, 3});
    int p = build_product(&f->ir, FUSE_F32, "ij", "ijk", (int64_t[]){3, 3, 4}, 2,
                          (struct build_use[]){{x, "ik"}, {y, "kj"}});
    int q = build_product(&f->ir, FUSE_F32, "ba", "abc", (int64_t[]){3, 3, 4}, 2,
                          (struct build_use[]){{x, "bc"}, {y2, "ca"}});
    int r = build_product(&f->ir, FUSE_F32, "ji", "ijk", (int64_t[]){3, 3, 4}, 2,
                          (struct build_use[]){{x, "ik"}, {y, "kj"}});
    f->ir.values.at[q].name = "Q";
    build_sink(&f->ir, "p", p);
    build_sink(&f->ir, "q", q);
    build_sink(&f->ir, "r", r);
    remember(f);
    fuse_ir_share(&f->ir);
    expect(f, "Q f32[3,3] = einsum [i:3 j:3 | k:4] X[i,k] Y[k,j]\n"
              "%3 f32[3,3] = einsum [j:3 i:3 | k:4] X[i,k] Y[k,j]\n");
}

/* Fails when different seeds, constants, literals, probes or dtypes are taken for the same. */
static void different_operations_stay_two(void **state) {
    struct fixture *f = *state;
    static const double plus = 0.0, minus = -0.0;
    int64_t extent[1] = {5};
    for (int k = 0; k < 2; k++) {
        struct build_body draw = body(f), constant = body(f);
        int u = body_op(&draw, FUSE_SCALAR_UNIFORM, FUSE_F64, body_iota(&draw, 0), -1, -1);
        draw.nodes.at[u].integer = k;
        build_sink(&f->ir, "u",
                   build_map(&f->ir, FUSE_F64, "i", "i", extent, 0, NULL, FUSE_REDUCE_NONE, body_end(&draw)));
        body_real(&constant, FUSE_F64, k);
        build_sink(&f->ir, "c",
                   build_map(&f->ir, FUSE_F64, "i", "i", extent, 0, NULL, FUSE_REDUCE_NONE, body_end(&constant)));
        build_sink(&f->ir, "l", build_literal(&f->ir, FUSE_F64, 0, NULL, k ? &minus : &plus));
        int source = build_source(&f->ir, "X", FUSE_F64, 1, extent);
        f->ir.ops.at[f->ir.values.at[source].op]->probe.data_offset = k;
        build_sink(&f->ir, "s", source);
    }
    remember(f);
    int values = f->ir.values.n;
    fuse_ir_share(&f->ir);
    fuse_ir_sweep(&f->ir);
    assert_int_equal(f->ir.values.n, values);
}

/* Fails when functions of the same nodes are taken for one: (x - y) * x and (x - y) * y, and casts through i64 and f32. */
static void different_functions_stay_two(void **state) {
    struct fixture *f = *state;
    int64_t extent[1] = {5};
    int x = build_source(&f->ir, "X", FUSE_F64, 1, extent), y = build_source(&f->ir, "Y", FUSE_F64, 1, extent);
    for (int k = 0; k < 2; k++) {
        struct build_body product = body(f), cast = body(f);
        int first = body_load(&product, 0, FUSE_F64), second = body_load(&product, 1, FUSE_F64);
        int difference = body_op(&product, FUSE_SCALAR_SUB, FUSE_F64, first, second, -1);
        body_op(&product, FUSE_SCALAR_MUL, FUSE_F64, difference, k ? second : first, -1);
        build_sink(&f->ir, "p",
                   build_map(&f->ir, FUSE_F64, "i", "i", extent, 2, (struct build_use[]){{x, "i"}, {y, "i"}},
                             FUSE_REDUCE_NONE, body_end(&product)));
        int narrow = body_op(&cast, FUSE_SCALAR_CAST, k ? FUSE_I64 : FUSE_F32, body_load(&cast, 0, FUSE_F64), -1, -1);
        body_op(&cast, FUSE_SCALAR_CAST, FUSE_F64, narrow, -1, -1);
        build_sink(&f->ir, "c",
                   build_map(&f->ir, FUSE_F64, "i", "i", extent, 1, (struct build_use[]){{x, "i"}}, FUSE_REDUCE_NONE,
                             body_end(&cast)));
    }
    remember(f);
    int values = f->ir.values.n;
    fuse_ir_share(&f->ir);
    fuse_ir_sweep(&f->ir);
    assert_int_equal(f->ir.values.n, values);
}

/* Y = f(X), Z = sum over i of Y[i,j] * V[j]. */
static void chain(struct fixture *f, enum fuse_scalar_op op, enum fuse_dtype middle, enum fuse_dtype loaded) {
    struct build_body b = body(f), c = body(f);
    int x = build_source(&f->ir, "X", FUSE_F32, 2, (int64_t[]){4, 5});
    int v = build_source(&f->ir, "V", FUSE_F32, 1, (int64_t[]){4});
    body_op(&b, op, FUSE_F32, body_load(&b, 0, FUSE_F32), -1, -1);
    int y = build_map(&f->ir, middle, "ij", "ij", (int64_t[]){4, 5}, 1, (struct build_use[]){{x, "ij"}},
                      FUSE_REDUCE_NONE, body_end(&b));
    int cast = body_op(&c, FUSE_SCALAR_CAST, FUSE_F32, body_load(&c, 0, loaded), -1, -1);
    body_op(&c, FUSE_SCALAR_MUL, FUSE_F32, cast, body_load(&c, 1, FUSE_F32), -1);
    int z = build_map(&f->ir, FUSE_F32, "j", "ij", (int64_t[]){4, 5}, 2, (struct build_use[]){{y, "ij"}, {v, "i"}},
                      FUSE_REDUCE_SUM, body_end(&c));
    build_sink(&f->ir, "out", z);
    remember(f);
    fuse_ir_fuse(&f->ir);
}

static void maps_fuse_into_a_reduction(void **state) {
    struct fixture *f = *state;
    chain(f, FUSE_SCALAR_EXP, FUSE_F32, FUSE_F32);
    expect(f, "%2 f32[5] = map sum [j:5 | i:4] V[i] X[i,j] : mul(load(0), exp(load(1)))\n");
}

static void fusing_keeps_the_rounding_of_the_store(void **state) {
    struct fixture *f = *state;
    chain(f, FUSE_SCALAR_EXP, FUSE_BF16, FUSE_F32);
    expect(f, "%2 f32[5] = map sum [j:5 | i:4] V[i] X[i,j] : mul(load(0), narrow(bf16, exp(load(1))))\n");
}

/* "not zero" is what a store to bool means; a cast would ask for positive. */
static void fusing_through_bool_asks_for_not_zero(void **state) {
    struct fixture *f = *state;
    chain(f, FUSE_SCALAR_NEG, FUSE_BOOL, FUSE_BOOL);
    expect(f, "%2 f32[5] = map sum [j:5 | i:4] V[i] X[i,j] : mul(load(0), cast(f32, ne(neg(load(1)), const(0.0))))\n");
}

static void narrow_integers_do_not_fuse(void **state) {
    struct fixture *f = *state;
    chain(f, FUSE_SCALAR_NEG, FUSE_I8, FUSE_I64);
    expect(f, "%2 i8[4,5] = map [i:4 j:5] X[i,j] : neg(load(0))\n"
              "%3 f32[5] = map sum [j:5 | i:4] %2[i,j] V[i] : mul(cast(f32, load(0)), load(1))\n");
}

/* Y[i] = f(X[i]); Z[i,j] = Y[i] - W[j]: f would run 5 times an element. */
static void broadcast_fuses_only_when_cheap(void **state) {
    struct fixture *f = *state;
    for (int expensive = 0; expensive < 2; expensive++) {
        f->ir = (struct fuse_ir){.arena = f->arena};
        struct build_body b = body(f), c = body(f);
        int x = build_source(&f->ir, "X", FUSE_F32, 1, (int64_t[]){4});
        int w = build_source(&f->ir, "W", FUSE_F32, 1, (int64_t[]){5});
        body_op(&b, expensive ? FUSE_SCALAR_TANH : FUSE_SCALAR_ABS, FUSE_F32, body_load(&b, 0, FUSE_F32), -1, -1);
        int y = build_map(&f->ir, FUSE_F32, "i", "i", (int64_t[]){4}, 1, (struct build_use[]){{x, "i"}},
                          FUSE_REDUCE_NONE, body_end(&b));
        body_op(&c, FUSE_SCALAR_SUB, FUSE_F32, body_load(&c, 0, FUSE_F32), body_load(&c, 1, FUSE_F32), -1);
        int z = build_map(&f->ir, FUSE_F32, "ij", "ij", (int64_t[]){4, 5}, 2, (struct build_use[]){{y, "i"}, {w, "j"}},
                          FUSE_REDUCE_NONE, body_end(&c));
        build_sink(&f->ir, "out", z);
        remember(f);
        fuse_ir_fuse(&f->ir);
        expect(f, expensive ? "%2 f32[4] = map [i:4] X[i] : tanh(load(0))\n"
                              "%3 f32[4,5] = map [i:4 j:5] %2[i] W[j] : sub(load(0), load(1))\n"
                            : "%2 f32[4,5] = map [i:4 j:5] W[j] X[i] : sub(abs(load(1)), load(0))\n");
    }
}

static void a_value_with_a_sink_stays(void **state) {
    struct fixture *f = *state;
    struct build_body b = body(f), c = body(f);
    int x = build_source(&f->ir, "X", FUSE_F32, 1, (int64_t[]){4});
    body_op(&b, FUSE_SCALAR_EXP, FUSE_F32, body_load(&b, 0, FUSE_F32), -1, -1);
    int y = build_map(&f->ir, FUSE_F32, "i", "i", (int64_t[]){4}, 1, (struct build_use[]){{x, "i"}}, FUSE_REDUCE_NONE,
                      body_end(&b));
    body_op(&c, FUSE_SCALAR_NEG, FUSE_F32, body_load(&c, 0, FUSE_F32), -1, -1);
    int z = build_map(&f->ir, FUSE_F32, "i", "i", (int64_t[]){4}, 1, (struct build_use[]){{y, "i"}}, FUSE_REDUCE_NONE,
                      body_end(&c));
    build_sink(&f->ir, "y", y);
    build_sink(&f->ir, "z", z);
    remember(f);
    fuse_ir_fuse(&f->ir);
    expect(f, "%1 f32[4] = map [i:4] X[i] : exp(load(0))\n%2 f32[4] = map [i:4] %1[i] : neg(load(0))\n");
}

/* A mask made of coordinates, read by two maps through different index maps. */
static void cheap_generators_fuse_everywhere(void **state) {
    struct fixture *f = *state;
    struct build_body g = body(f);
    int x = build_source(&f->ir, "X", FUSE_F32, 2, (int64_t[]){4, 4});
    body_op(&g, FUSE_SCALAR_LE, FUSE_BOOL, body_iota(&g, 1), body_iota(&g, 0), -1);
    int mask = build_map(&f->ir, FUSE_BOOL, "ij", "ij", (int64_t[]){4, 4}, 0, NULL, FUSE_REDUCE_NONE, body_end(&g));
    for (int k = 0; k < 2; k++) {
        struct build_body b = body(f);
        body_op(&b, FUSE_SCALAR_SELECT, FUSE_F32, body_load(&b, 1, FUSE_BOOL), body_load(&b, 0, FUSE_F32),
                body_real(&b, FUSE_F32, -1));
        int m = build_map(&f->ir, FUSE_F32, "ab", "ab", (int64_t[]){4, 4}, 2,
                          (struct build_use[]){{x, "ab"}, {mask, k ? "ba" : "ab"}}, FUSE_REDUCE_NONE, body_end(&b));
        if (k) {
            struct fuse_access *access = &f->ir.ops.at[f->ir.values.at[m].op]->input[1].access;
            access->at[0].stride = -1;
            access->at[0].offset = 3;
        }
        build_sink(&f->ir, k ? "k1" : "k0", m);
    }
    remember(f);
    fuse_ir_fuse(&f->ir);
    expect(f, "%1 f32[4,4] = map [a:4 b:4] X[a,b] : select(le(iota(1), iota(0)), load(0), const(-1.0))\n"
              "%2 f32[4,4] = map [a:4 b:4] X[a,b] : "
              "select(le(iota(0), add(neg(iota(1)), const(3))), load(0), const(-1.0))\n");
}

static void fusion_has_a_bound(void **state) {
    struct fixture *f = *state;
    int64_t extent[1] = {3};
    int sum = -1;
    for (int k = 0; k < 40; k++) {
        struct build_body b = body(f);
        int x = build_source(&f->ir, fuse_arena_printf(f->arena, "X%d", k), FUSE_F64, 1, extent);
        int t = body_op(&b, FUSE_SCALAR_TANH, FUSE_F64, body_load(&b, 0, FUSE_F64), -1, -1);
        if (sum >= 0)
            body_op(&b, FUSE_SCALAR_ADD, FUSE_F64, t, body_load(&b, 1, FUSE_F64), -1);
        sum = build_map(&f->ir, FUSE_F64, "i", "i", extent, sum >= 0 ? 2 : 1,
                        (struct build_use[]){{x, "i"}, {sum, "i"}}, FUSE_REDUCE_NONE, body_end(&b));
    }
    build_sink(&f->ir, "out", sum);
    remember(f);
    fuse_ir_fuse(&f->ir);
    fuse_ir_sweep(&f->ir);
    int maps = 0;
    for (int i = 0; i < f->ir.ops.n; i++) {
        maps += f->ir.ops.at[i]->kind == FUSE_OP_MAP;
        assert_true(f->ir.ops.at[i]->inputs <= 12);
    }
    assert_in_range(maps, 4, 5);
    struct interpreted after;
    assert_true(interpret(&after, f->arena, &f->ir));
    assert_true(interpreted_equal(&f->before, &after, 0));
}

static void sweep_drops_what_no_sink_needs(void **state) {
    struct fixture *f = *state;
    int x = build_source(&f->ir, "X", FUSE_F32, 1, (int64_t[]){4});
    build_product(&f->ir, FUSE_F32, "", "i", (int64_t[]){4}, 2, (struct build_use[]){{x, "i"}, {x, "i"}});
    build_source(&f->ir, "dead", FUSE_F32, 1, (int64_t[]){4});
    build_sink(&f->ir, "out",
               build_product(&f->ir, FUSE_F32, "", "i", (int64_t[]){4}, 1, (struct build_use[]){{x, "i"}}));
    remember(f);
    expect(f, "%1 f32[] = einsum [| i:4] X[i]\n");
    assert_int_equal(f->ir.values.n, 2);
}

#define REWRITE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        REWRITE_TEST(folds_constants),
        REWRITE_TEST(folds_in_the_dtype),
        REWRITE_TEST(leaves_what_overflows),
        REWRITE_TEST(keeps_signed_zeros),
        REWRITE_TEST(simplifies_integers_and_logic),
        REWRITE_TEST(simplifies_casts),
        REWRITE_TEST(leaves_library_functions),
        REWRITE_TEST(takes_literals_into_bodies),
        REWRITE_TEST(folds_a_scalar_to_a_literal),
        REWRITE_TEST(copies_dissolve_into_index_maps),
        REWRITE_TEST(padding_of_a_whole_copy_is_kept),
        REWRITE_TEST(padding_of_a_slice_stays_zero),
        REWRITE_TEST(sinks_keep_their_tensor),
        REWRITE_TEST(equal_operations_become_one),
        REWRITE_TEST(different_operations_stay_two),
        REWRITE_TEST(different_functions_stay_two),
        REWRITE_TEST(maps_fuse_into_a_reduction),
        REWRITE_TEST(fusing_keeps_the_rounding_of_the_store),
        REWRITE_TEST(fusing_through_bool_asks_for_not_zero),
        REWRITE_TEST(narrow_integers_do_not_fuse),
        REWRITE_TEST(broadcast_fuses_only_when_cheap),
        REWRITE_TEST(a_value_with_a_sink_stays),
        REWRITE_TEST(cheap_generators_fuse_everywhere),
        REWRITE_TEST(fusion_has_a_bound),
        REWRITE_TEST(sweep_drops_what_no_sink_needs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
