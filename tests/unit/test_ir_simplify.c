/* Random programs through fuse_ir_simplify: valid, the same numbers, nothing left to do; and its speed. */
#include "ir_interpret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

static uint64_t random_state;

static int draw(int below) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (int)((random_state >> 1) % (uint64_t)below);
}

static int pairs; /* of axes that were read as one */

static enum fuse_dtype draw_dtype(void) {
    static const enum fuse_dtype dtypes[] = {FUSE_F64,  FUSE_F64, FUSE_F64, FUSE_F32,
                                             FUSE_BF16, FUSE_I64, FUSE_I8,  FUSE_BOOL};
    return dtypes[draw(8)];
}

/* Some index that is as long as two neighbouring axes together may read them as one. */
static void draw_pairs(struct fuse_access *access, const struct fuse_value *value, const struct fuse_op *op) {
    for (int a = 0; a + 1 < value->rank; a++)
        for (int x = 0; x < op->indices; x++)
            if (value->extent[a + 1] > 0 && op->extent[x] == value->extent[a] * value->extent[a + 1] && draw(2)) {
                access->at[a] = (struct fuse_access_axis){.index = x, .stride = 1, .divide = value->extent[a + 1]};
                access->at[++a] = (struct fuse_access_axis){.index = x, .stride = 1, .modulo = value->extent[a]};
                pairs++;
                break;
            }
}

/* Any index map, inside the operand or not. */
static void draw_access(struct fuse_access *access, const struct fuse_value *value, const struct fuse_op *op) {
    bool plain = draw(2);
    access->rank = value->rank;
    for (int a = 0; a < value->rank; a++) {
        struct fuse_access_axis *axis = &access->at[a];
        *axis = (struct fuse_access_axis){.index = -1};
        axis->offset = value->extent[a] > 0 ? draw((int)value->extent[a]) : 0;
        if (op->indices == 0 || (!plain && draw(5) == 0))
            continue;
        axis->index = draw(op->indices);
        for (int tries = 0; op->extent[axis->index] != value->extent[a] && tries < 8; tries++)
            axis->index = draw(op->indices);
        axis->stride = 1;
        axis->offset = 0;
        if (!plain || op->extent[axis->index] > value->extent[a]) {
            axis->stride = draw(4) == 0 ? -1 : 1 + (draw(4) == 0);
            axis->offset = draw(4) == 0 ? draw(5) - 2 : axis->stride < 0 ? op->extent[axis->index] - 1 : 0;
        }
    }
    draw_pairs(access, value, op);
}

static void draw_iteration(struct fuse_op *op, bool may_reduce) {
    op->indices = draw(4);
    for (int x = 0; x < op->indices; x++)
        op->extent[x] = draw(12) == 0 ? draw(2) : 2 + draw(3);
    int order[FUSE_MAX_AXES], rank = op->indices;
    for (int x = 0; x < op->indices; x++)
        order[x] = x;
    for (int x = op->indices - 1; x > 0; x--) {
        int y = draw(x + 1), keep = order[x];
        order[x] = order[y];
        order[y] = keep;
    }
    if (may_reduce && draw(3) == 0 && rank > 0)
        rank -= 1 + draw(rank);
    op->out = rank; /* until the value is there */
    memcpy(op->out_index, order, sizeof op->out_index);
}

static void finish(struct fuse_ir *ir, struct fuse_op *op, enum fuse_dtype dtype) {
    int64_t extent[FUSE_MAX_AXES];
    int rank = op->out;
    for (int a = 0; a < rank; a++)
        extent[a] = op->extent[op->out_index[a]];
    op->span = FUSE_NO_SPAN;
    op->out = fuse_ir_add_value(ir, draw(3) ? NULL : "T", FUSE_NO_SPAN, dtype, rank, extent);
    fuse_ir_add_op(ir, op);
}

static void draw_inputs(struct fuse_ir *ir, struct fuse_op *op, int inputs) {
    op->inputs = inputs;
    op->input = FUSE_NEW_ARRAY(ir->arena, struct fuse_use, inputs);
    for (int k = 0; k < inputs; k++) {
        int n = ir->values.n, recent = n < 6 ? n : 6;
        op->input[k].value = draw(3) ? n - 1 - draw(recent) : draw(n);
        draw_access(&op->input[k].access, &ir->values.at[op->input[k].value], op);
    }
}

/* A node of the dtype that reads an earlier one. */
static int as(struct build_body *b, int node, enum fuse_dtype dtype) {
    return b->nodes.at[node].dtype == dtype ? node : body_op(b, FUSE_SCALAR_CAST, dtype, node, -1, -1);
}

/* Makes no infinities: those would make the order of a product visible. */
static void draw_node(struct build_body *b) {
    static const enum fuse_scalar_op real2[] = {FUSE_SCALAR_ADD, FUSE_SCALAR_SUB, FUSE_SCALAR_MUL, FUSE_SCALAR_MINIMUM,
                                                FUSE_SCALAR_MAXIMUM};
    static const enum fuse_scalar_op real1[] = {FUSE_SCALAR_NEG,   FUSE_SCALAR_ABS,  FUSE_SCALAR_SIGN,
                                                FUSE_SCALAR_FLOOR, FUSE_SCALAR_TANH, FUSE_SCALAR_SIGMOID};
    static const enum fuse_scalar_op compares[] = {FUSE_SCALAR_LT, FUSE_SCALAR_LE, FUSE_SCALAR_EQ, FUSE_SCALAR_NE};
    int a = draw(b->nodes.n), c = draw(b->nodes.n);
    enum fuse_dtype dtype = draw(3) ? FUSE_F64 : draw(2) ? FUSE_F32 : FUSE_I64;
    switch (draw(8)) {
    case 0: body_op(b, real1[draw(3)], dtype, as(b, a, dtype), -1, -1); break;
    case 1: body_op(b, real1[draw(6)], FUSE_F64, as(b, a, FUSE_F64), -1, -1); break;
    case 2: {
        int x = as(b, a, dtype), y = as(b, c, dtype);
        body_op(b, FUSE_SCALAR_SELECT, dtype, as(b, draw(b->nodes.n), FUSE_BOOL), x, y);
        break;
    }
    case 3: {
        int x = as(b, a, dtype), y = as(b, c, dtype);
        body_op(b, compares[draw(4)], FUSE_BOOL, x, y, -1);
        break;
    }
    case 4: {
        int x = as(b, a, FUSE_BOOL), y = as(b, c, FUSE_BOOL);
        if (draw(2))
            body_op(b, draw(2) ? FUSE_SCALAR_AND : FUSE_SCALAR_OR, FUSE_BOOL, x, y, -1);
        else
            body_op(b, FUSE_SCALAR_NOT, FUSE_BOOL, x, -1, -1);
        break;
    }
    case 5: {
        int two =
            dtype == FUSE_I64 ? body_int(b, dtype, draw(5) - 1) : body_real(b, dtype, draw(2) ? draw(2) + 1 : -0.5);
        if (dtype == FUSE_I64 || draw(3))
            body_op(b, real2[draw(5)], dtype, as(b, a, dtype), two, -1);
        else
            body_op(b, FUSE_SCALAR_DIV, dtype, as(b, a, dtype), two, -1);
        break;
    }
    default: {
        int x = as(b, a, dtype), y = as(b, c, dtype);
        body_op(b, real2[draw(5)], dtype, x, y, -1);
    }
    }
}

static void add_map(struct fuse_ir *ir) {
    struct fuse_op op = {.kind = FUSE_OP_MAP};
    struct build_body b = {.arena = ir->arena};
    draw_iteration(&op, true);
    int rank = op.out;
    bool copies = draw(4) == 0;
    draw_inputs(ir, &op, copies ? 1 : draw(4));
    for (int k = 0; k < op.inputs; k++)
        body_load(&b, k, fuse_dtype_compute(ir->values.at[op.input[k].value].dtype));
    enum fuse_dtype dtype = copies ? ir->values.at[op.input[0].value].dtype : draw_dtype();
    if (!copies) {
        if (op.indices > 0 && draw(3) == 0)
            body_iota(&b, draw(op.indices));
        if (b.nodes.n == 0 || draw(3) == 0)
            body_real(&b, FUSE_F64, draw(5) * 0.25);
        for (int n = draw(6); n > 0; n--)
            draw_node(&b);
    }
    if (rank < op.indices) {
        static const enum fuse_reduce reduces[] = {FUSE_REDUCE_SUM, FUSE_REDUCE_MIN, FUSE_REDUCE_MAX};
        bool empty = false;
        for (int x = 0; x < op.indices; x++)
            empty |= op.extent[x] == 0;
        if (b.nodes.at[b.nodes.n - 1].dtype == FUSE_BOOL)
            op.reduce = draw(2) ? FUSE_REDUCE_OR : FUSE_REDUCE_AND;
        else
            op.reduce = empty ? FUSE_REDUCE_SUM : reduces[draw(3)];
    }
    op.body = body_end(&b);
    finish(ir, &op, dtype);
}

static void add_product(struct fuse_ir *ir) {
    static const enum fuse_dtype dtypes[] = {FUSE_F64, FUSE_F64, FUSE_I64};
    struct fuse_op op = {.kind = FUSE_OP_EINSUM};
    draw_iteration(&op, true);
    op.reduce = op.out < op.indices ? FUSE_REDUCE_SUM : FUSE_REDUCE_NONE;
    draw_inputs(ir, &op, 1 + draw(4));
    /* A sum of reals that is rounded to an integer would depend on its order. */
    bool integers = true;
    for (int k = 0; k < op.inputs; k++)
        integers &= fuse_dtype_compute(ir->values.at[op.input[k].value].dtype) == FUSE_I64;
    finish(ir, &op, integers ? dtypes[draw(3)] : FUSE_F64);
}

static struct fuse_ir draw_program(struct fuse_arena *arena, int ops) {
    struct fuse_ir ir = {.arena = arena};
    for (int k = 0; k < 3; k++) {
        int64_t extent[3] = {2 + draw(3), 2 + draw(3), 2 + draw(3)};
        build_source(&ir, fuse_arena_printf(arena, "S%d", draw(4)), draw_dtype(), draw(4), extent);
    }
    double *number = FUSE_NEW(arena, double);
    *number = draw(5) - 1;
    build_literal(&ir, FUSE_F64, 0, NULL, number);
    for (int k = 0; k < ops; k++) {
        if (draw(3))
            add_map(&ir);
        else
            add_product(&ir);
    }
    for (int k = 0; k < 3; k++)
        build_sink(&ir, "out", k == 0 ? ir.values.n - 1 : draw(ir.values.n));
    return ir;
}

static const char *print(struct fuse_ir *ir) {
    struct fuse_text text = {.arena = ir->arena};
    fuse_ir_print(&text, ir);
    return text.at;
}

/* One program; prints it when something is wrong. */
static void check_program(uint64_t seed) {
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_error err = {0};
    struct interpreted before, after;
    random_state = seed * 0x9e3779b97f4a7c15u + 1;
    struct fuse_ir ir = draw_program(arena, 3 + draw(12));
    const char *written = print(&ir);
    if (fuse_ir_verify(&ir, &err) != FUSE_OK)
        fail_msg("seed %d: %s\n%s", (int)seed, err.message, written);
    bool runs = interpret(&before, arena, &ir);
    if (fuse_ir_simplify(&ir, &err) != FUSE_OK)
        fail_msg("seed %d: %s %s\n%s", (int)seed, err.message, err.note, written);
    const char *simple = print(&ir);
    if (runs && !interpret(&after, arena, &ir))
        fail_msg("seed %d overflows now\n%s\n%s", (int)seed, written, simple);
    if (runs && !interpreted_equal(&before, &after, 1e-7))
        fail_msg("seed %d gives other numbers\n%s\n%s", (int)seed, written, simple);
    assert_int_equal(fuse_ir_simplify(&ir, &err), FUSE_OK);
    if (strcmp(simple, print(&ir)) != 0)
        fail_msg("seed %d is not simple yet\n%s\n%s\n%s", (int)seed, written, simple, print(&ir));
    fuse_arena_close(arena);
}

static void random_programs_keep_their_meaning(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 3000; seed++)
        check_program(seed);
    assert_true(pairs > 300);
}

/* The rewrites one by one, so that none relies on another. */
static void each_rewrite_stands_alone(void **state) {
    (void)state;
    static void (*const rewrite[])(struct fuse_ir *) = {fuse_ir_fold,   fuse_ir_forward, fuse_ir_share,
                                                        fuse_ir_shrink, fuse_ir_fuse,    fuse_ir_sweep};
    for (int seed = 1; seed <= 1000; seed++) {
        for (int k = 0; k < 7; k++) {
            struct fuse_arena *arena = fuse_arena_open(NULL);
            struct fuse_error err = {0};
            struct interpreted before, after;
            random_state = (uint64_t)seed * 77777777777u;
            struct fuse_ir ir = draw_program(arena, 8);
            bool runs = interpret(&before, arena, &ir);
            const char *written = print(&ir);
            if (k < 6)
                rewrite[k](&ir);
            else
                assert_int_equal(fuse_ir_order(&ir, &err), FUSE_OK);
            if (fuse_ir_verify(&ir, &err) != FUSE_OK)
                fail_msg("rewrite %d, seed %d: %s\n%s\n%s", k, seed, err.message, written, print(&ir));
            if (runs && (!interpret(&after, arena, &ir) || !interpreted_equal(&before, &after, 1e-7)))
                fail_msg("rewrite %d, seed %d gives other numbers\n%s\n%s", k, seed, written, print(&ir));
            fuse_arena_close(arena);
        }
    }
}

/* Layers of a network with their bias and activation: what lowering gives for a thousand equations. */
static void a_thousand_operations_take_milliseconds(void **state) {
    (void)state;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_ir ir = {.arena = arena};
    struct fuse_error err = {0};
    int64_t square[3] = {64, 64, 64};
    int x = build_source(&ir, "X", FUSE_F32, 2, square);
    while (ir.ops.n < 1000) {
        struct build_body bias = {.arena = arena}, active = {.arena = arena}, copy = {.arena = arena};
        int w = build_source(&ir, fuse_arena_printf(arena, "W%d", ir.ops.n), FUSE_F32, 2, square);
        int b = build_source(&ir, fuse_arena_printf(arena, "B%d", ir.ops.n), FUSE_F32, 1, square);
        body_load(&copy, 0, FUSE_F32);
        int t = build_map(&ir, FUSE_F32, "ij", "ij", square, 1, (struct build_use[]){{w, "ji"}}, FUSE_REDUCE_NONE,
                          body_end(&copy));
        int p = build_product(&ir, FUSE_F32, "ij", "ijk", square, 2, (struct build_use[]){{x, "ik"}, {t, "kj"}});
        body_op(&bias, FUSE_SCALAR_ADD, FUSE_F32, body_load(&bias, 0, FUSE_F32), body_load(&bias, 1, FUSE_F32), -1);
        int s = build_map(&ir, FUSE_F32, "ij", "ij", square, 2, (struct build_use[]){{p, "ij"}, {b, "j"}},
                          FUSE_REDUCE_NONE, body_end(&bias));
        body_op(&active, FUSE_SCALAR_TANH, FUSE_F32, body_load(&active, 0, FUSE_F32), -1, -1);
        x = build_map(&ir, FUSE_F32, "ij", "ij", square, 1, (struct build_use[]){{s, "ij"}}, FUSE_REDUCE_NONE,
                      body_end(&active));
    }
    build_sink(&ir, "out", x);
    struct timespec start, end;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
    assert_int_equal(fuse_ir_simplify(&ir, &err), FUSE_OK);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
    double seconds = (double)(end.tv_sec - start.tv_sec) + 1e-9 * (double)(end.tv_nsec - start.tv_nsec);
    print_message("%.1f ms, %.1f MiB\n", 1e3 * seconds, (double)fuse_arena_bytes(arena) / 1048576);
#ifndef __SANITIZE_ADDRESS__
    assert_true(seconds < 0.05);
#endif
    assert_int_equal(ir.ops.n, 2 + 167 * 4); /* two sources, the product and one map a layer */
    fuse_arena_close(arena);
}

/* A sum of sixty tensors, some of them vectors, reduced along one axis: more inputs than a kernel has streams. */
static void wide_maps_are_split(void **state) {
    (void)state;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_ir ir = {.arena = arena};
    struct fuse_error err = {0};
    struct build_body sum = {.arena = arena};
    struct build_use use[60];
    int64_t extent[2] = {5, 7};
    int last = -1;
    for (int k = 0; k < 60; k++) {
        bool vector = k % 3 == 0;
        use[k].value = build_source(&ir, fuse_arena_printf(arena, "S%d", k), FUSE_F64, vector ? 1 : 2,
                                    vector ? extent + 1 : extent);
        use[k].at = vector ? "j" : "ij";
        int load = body_load(&sum, k, FUSE_F64);
        last = last < 0 ? load : body_op(&sum, FUSE_SCALAR_ADD, FUSE_F64, last, load, -1);
    }
    body_op(&sum, FUSE_SCALAR_MUL, FUSE_F64, last,
            body_op(&sum, FUSE_SCALAR_CAST, FUSE_F64, body_iota(&sum, 0), -1, -1), -1);
    build_sink(&ir, "out", build_map(&ir, FUSE_F64, "j", "ij", extent, 60, use, FUSE_REDUCE_SUM, body_end(&sum)));
    struct interpreted before, after;
    assert_true(interpret(&before, arena, &ir));
    assert_int_equal(fuse_ir_simplify(&ir, &err), FUSE_OK);
    for (int o = 0; o < ir.ops.n; o++)
        assert_true(ir.ops.at[o]->inputs <= 12);
    assert_true(interpret(&after, arena, &ir));
    assert_true(interpreted_equal(&before, &after, 1e-14));
    fuse_arena_close(arena);
}

/* A copy, a map with one user and two equal products would all dissolve. Those that are pinned stay, under the name that
 * the pin is about; where only one of two equal ones is pinned, they become that one. */
static void pinned_values_stay(void **state) {
    (void)state;
    for (int pinned = 0; pinned < 16; pinned++) {
        struct fuse_arena *arena = fuse_arena_open(NULL);
        struct fuse_ir ir = {.arena = arena};
        struct fuse_error err = {0};
        struct interpreted before, after;
        struct build_body copy = {.arena = arena}, active = {.arena = arena}, sum = {.arena = arena};
        int64_t extent[3] = {4, 5, 6};
        int x = build_source(&ir, "X", FUSE_F64, 2, extent), w = build_source(&ir, "W", FUSE_F64, 2, extent);
        body_load(&copy, 0, FUSE_F64);
        int t = build_map(&ir, FUSE_F64, "ji", "ij", extent, 1, (struct build_use[]){{x, "ij"}}, FUSE_REDUCE_NONE,
                          body_end(&copy));
        body_op(&active, FUSE_SCALAR_ABS, FUSE_F64, body_load(&active, 0, FUSE_F64), -1, -1);
        int a = build_map(&ir, FUSE_F64, "ji", "ji", extent, 1, (struct build_use[]){{t, "ji"}}, FUSE_REDUCE_NONE,
                          body_end(&active));
        struct build_use factor[] = {{a, "ji"}, {w, "ik"}};
        int64_t space[] = {4, 5, 5};
        int p = build_product(&ir, FUSE_F64, "jk", "ijk", space, 2, factor);
        int q = build_product(&ir, FUSE_F64, "jk", "ijk", space, 2, factor);
        body_op(&sum, FUSE_SCALAR_SUB, FUSE_F64, body_load(&sum, 0, FUSE_F64), body_load(&sum, 1, FUSE_F64), -1);
        int y = build_map(&ir, FUSE_F64, "jk", "jk", (int64_t[]){5, 5}, 2, (struct build_use[]){{p, "jk"}, {q, "jk"}},
                          FUSE_REDUCE_NONE, body_end(&sum));
        build_sink(&ir, "out", y);
        const int value[] = {t, a, p, q};
        static const char *const name[] = {"T", "A", "P", "Q"};
        for (int k = 0; k < 4; k++)
            if (pinned >> k & 1) {
                ir.values.at[value[k]].name = name[k];
                ir.values.at[value[k]].pin = k + 1;
            }
        assert_true(interpret(&before, arena, &ir));
        assert_int_equal(fuse_ir_simplify(&ir, &err), FUSE_OK);
        assert_true(interpret(&after, arena, &ir));
        assert_true(interpreted_equal(&before, &after, 1e-14));
        int there = 0, products = 0;
        for (int v = 0; v < ir.values.n; v++) {
            int pin = ir.values.at[v].pin;
            there |= pin > 0 ? 1 << (pin - 1) : 0;
            if (pin > 0)
                assert_string_equal(ir.values.at[v].name, name[pin - 1]);
        }
        for (int o = 0; o < ir.ops.n; o++)
            products += ir.ops.at[o]->kind == FUSE_OP_EINSUM;
        assert_int_equal(there, pinned);
        assert_int_equal(products, pinned >> 2 == 3 ? 2 : 1);
        fuse_arena_close(arena);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pinned_values_stay),
        cmocka_unit_test(wide_maps_are_split),
        cmocka_unit_test(random_programs_keep_their_meaning),
        cmocka_unit_test(each_rewrite_stands_alone),
        cmocka_unit_test(a_thousand_operations_take_milliseconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
