/* The printer's text, and one planted violation of every rule that fuse_ir_verify checks. */
#include "ir_interpret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

/* X f32[4,3], Y f32[3,5]; value 2 = X Y, value 3 = max over i of relu of it plus IOTA, value 4 a literal. */
static struct fuse_ir sample(struct fuse_arena *arena) {
    struct fuse_ir ir = {.arena = arena};
    static const float numbers[3] = {1, 0.1f, -2e30f};
    int x = build_source(&ir, "X", FUSE_F32, 2, (int64_t[]){4, 3});
    int y = build_source(&ir, "Y", FUSE_F32, 2, (int64_t[]){3, 5});
    int p =
        build_product(&ir, FUSE_F32, "ij", "ijk", (int64_t[]){4, 5, 3}, 2, (struct build_use[]){{x, "ik"}, {y, "kj"}});
    struct build_body b = {.arena = arena};
    int load = body_load(&b, 0, FUSE_F32);
    int relu = body_op(&b, FUSE_SCALAR_MAXIMUM, FUSE_F32, load, body_real(&b, FUSE_F32, 0), -1);
    int cast = body_op(&b, FUSE_SCALAR_CAST, FUSE_F32, body_iota(&b, 1), -1, -1);
    body_op(&b, FUSE_SCALAR_ADD, FUSE_F32, relu, cast, -1);
    int m = build_map(&ir, FUSE_F32, "j", "ij", (int64_t[]){4, 5}, 1, (struct build_use[]){{p, "ij"}}, FUSE_REDUCE_MAX,
                      body_end(&b));
    build_literal(&ir, FUSE_F32, 1, (int64_t[]){3}, numbers);
    ir.ops.at[3]->input[0].access.at[1].stride = -1;
    ir.ops.at[3]->input[0].access.at[1].offset = 4;
    build_sink(&ir, "m.npy", m);
    return ir;
}

static void prints_one_line_an_operation(void **state) {
    (void)state;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_ir ir = sample(arena);
    struct fuse_text text = {.arena = arena};
    struct fuse_error err = {0};
    assert_int_equal(fuse_ir_verify(&ir, &err), FUSE_OK);
    ir.ops.at[2]->input[1].access.at[1] = (struct fuse_access_axis){.index = -1, .offset = 2};
    ir.ops.at[2]->input[0].access.at[0].stride = 2;
    ir.ops.at[2]->input[0].access.at[0].offset = -1;
    fuse_ir_print(&text, &ir);
    assert_string_equal(text.at, "X f32[4,3] = source \"X\"\n"
                                 "Y f32[3,5] = source \"Y\"\n"
                                 "%2 f32[4,5] = einsum [i:4 j:5 | k:3] X[2*i-1,k] Y[k,2]\n"
                                 "%3 f32[5] = map max [j:5 | i:4] %2[i,-j+4] : "
                                 "add(maximum(load(0), const(0.0)), cast(f32, iota(1)))\n"
                                 "%4 f32[3] = literal 1 0.1 -2e+30\n"
                                 "sink \"m.npy\" %3\n");
    fuse_arena_close(arena);
}

static void prints_scalars_and_long_literals(void **state) {
    (void)state;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_ir ir = {.arena = arena};
    static const int32_t numbers[10] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    int x = build_source(&ir, "X", FUSE_F64, 1, (int64_t[]){4});
    ir.ops.at[0]->path = "a\"b.h5";
    ir.ops.at[0]->part = "/g/x";
    build_product(&ir, FUSE_F64, "", "i", (int64_t[]){4}, 1, (struct build_use[]){{x, "i"}});
    build_literal(&ir, FUSE_I32, 1, (int64_t[]){10}, numbers);
    struct build_body b = {.arena = arena};
    body_int(&b, FUSE_BOOL, 1);
    build_map(&ir, FUSE_BOOL, "", "", NULL, 0, NULL, FUSE_REDUCE_NONE, body_end(&b));
    struct fuse_text text = {.arena = arena};
    fuse_ir_print(&text, &ir);
    assert_string_equal(text.at, "X f64[4] = source \"a\\\"b.h5\":\"/g/x\"\n"
                                 "%1 f64[] = einsum [| i:4] X[i]\n"
                                 "%2 i32[10] = literal 0 1 2 3 4 5 6 7 ..\n"
                                 "%3 bool[] = map [] : const(true)\n");
    fuse_arena_close(arena);
}

static struct fuse_scalar_node *map_node(struct fuse_ir *ir, int node) {
    return &ir->ops.at[3]->body->node[node];
}

static void plant(struct fuse_ir *ir, int fault) {
    struct fuse_op *product = ir->ops.at[2], *map = ir->ops.at[3], *sink = ir->ops.at[5];
    switch (fault) {
    case 0: ir->values.at[0].dtype = FUSE_U16; break;
    case 1: ir->values.at[2].rank = FUSE_MAX_AXES + 1; break;
    case 2: ir->values.at[2].extent[0] = -1; break;
    case 3: ir->values.at[2].op = 1; break;
    case 4: ir->values.at[2].op = -1; break;
    case 5: product->kind = (enum fuse_op_kind)17; break;
    case 6: product->indices = FUSE_MAX_AXES + 1; break;
    case 7: product->extent[2] = -3; break;
    case 8: product->index_name[1] = "i"; break;
    case 9: product->input[0].value = 3; break; /* made later */
    case 10: product->input[0].value = 99; break;
    case 11: product->input[0].access.rank = 1; break;
    case 12: product->input[0].access.at[1].index = 3; break;
    case 13: product->input[0].access.at[1].index = -2; break;
    case 14: product->input[0].access.at[1].stride = INT64_MAX; break;
    case 15: product->input[0].access.at[1].offset = INT64_MIN; break;
    case 16: product->out_index[1] = 0; break; /* twice, and the wrong extent */
    case 17: product->out_index[1] = 2; break; /* the wrong extent */
    case 18: product->out_index[1] = 5; break;
    case 19: product->reduce = FUSE_REDUCE_NONE; break;
    case 20: product->reduce = FUSE_REDUCE_MAX; break;
    case 21: product->inputs = 0; break;
    case 22: ir->values.at[2].dtype = FUSE_F16; break;
    case 23: map->body = NULL; break;
    case 24: map_node(ir, 0)->dtype = FUSE_F64; break; /* breaks the body's own rules */
    case 25: ir->values.at[2].dtype = FUSE_F64; break; /* loaded as f32 */
    case 26: map_node(ir, 0)->arg = 1; break;
    case 27: map_node(ir, 3)->arg = 2; break;
    case 28: map->reduce = FUSE_REDUCE_OR; break; /* of reals */
    case 29: map->reduce = (enum fuse_reduce)40; break;
    case 30: sink->input[0].access.at[0].offset = 1; break;
    case 31: sink->extent[0] = 4; break;
    case 32: sink->out = 0; break;
    case 33: sink->inputs = 0; break;
    case 34: sink->path = NULL; break;
    case 35: ir->ops.at[0]->path = NULL; break;
    case 36: ir->ops.at[0]->probe.extent[1] = 1; break; /* more than the file has */
    case 37: ir->ops.at[0]->probe.file_dtype = FUSE_F64; break;
    case 38: ir->ops.at[4]->data = NULL; break;
    case 39: ir->ops.at[4]->indices = 1; break;
    case 40: product->out = 0; break;
    case 41: product->out = -1; break;
    case 42: ir->values.at[2].storage = (enum fuse_storage)9; break;
    case 43: product->inputs = -1; break;
    case 44: product->input[0].access.at[0].divide = 3; break; /* half of a pair without the other */
    case 45: product->input[0].access.at[1].modulo = 3; break;
    case 46: sink->ranking = true; break; /* no pairs */
    case 47: ir->ops.at[0]->begin[1] = -1; break;
    case 48: ir->ops.at[0]->begin[1] = 1; break; /* behind the end of the file */
    default: fail();
    }
}

#define FAULTS 49

/* Fails when a program with one broken rule passes. */
static void catches_every_planted_fault(void **state) {
    (void)state;
    for (int fault = 0; fault < FAULTS; fault++) {
        struct fuse_arena *arena = fuse_arena_open(NULL);
        struct fuse_ir ir = sample(arena);
        struct fuse_error err = {0};
        assert_int_equal(fuse_ir_verify(&ir, &err), FUSE_OK);
        plant(&ir, fault);
        if (fuse_ir_verify(&ir, &err) != FUSE_EBUG)
            fail_msg("fault %d was not seen", fault);
        assert_true(strlen(err.message) > 0);
        fuse_arena_close(arena);
    }
}

static void simplify_refuses_a_broken_program(void **state) {
    (void)state;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_ir ir = sample(arena);
    struct fuse_error err = {0};
    plant(&ir, 16);
    assert_int_equal(fuse_ir_simplify(&ir, &err), FUSE_EBUG);
    assert_non_null(strstr(err.note, "lowering"));
    fuse_arena_close(arena);
}

/* X f32[2,3] read by one index of 6: the axes must be neighbours, read whole, and be what the quotient and remainder say. */
static void knows_pairs_of_axes(void **state) {
    (void)state;
    for (int fault = 0; fault <= 7; fault++) {
        struct fuse_arena *arena = fuse_arena_open(NULL);
        struct fuse_ir ir = {.arena = arena};
        struct fuse_error err = {0};
        int x = build_source(&ir, "X", FUSE_F32, 2, (int64_t[]){2, 3});
        struct build_body b = {.arena = arena};
        body_load(&b, 0, FUSE_F32);
        build_map(&ir, FUSE_F32, "m", "m", (int64_t[]){fault == 1 ? 5 : 6}, 1, (struct build_use[]){{x, "mm"}},
                  FUSE_REDUCE_NONE, body_end(&b));
        struct fuse_access *access = &ir.ops.at[1]->input[0].access;
        access->at[0] = (struct fuse_access_axis){.index = 0, .stride = 1, .divide = fault == 2 ? 2 : 3};
        access->at[1] = (struct fuse_access_axis){.index = 0, .stride = 1, .modulo = fault == 3 ? 2 : 3};
        if (fault == 4)
            access->at[0].offset = 1;
        if (fault == 5)
            access->at[1].stride = -1;
        if (fault == 6)
            access->at[1] = (struct fuse_access_axis){.index = -1};
        if (fault == 7)
            access->at[0].modulo = 3;
        assert_int_equal(fuse_ir_verify(&ir, &err), fault == 0 ? FUSE_OK : FUSE_EBUG);
        struct fuse_text text = {.arena = arena};
        fuse_ir_print_op(&text, &ir, 1);
        assert_true(fault != 0 || strcmp(text.at, "%1 f32[6] = map [m:6] X[m/3,m%3] : load(0)") == 0);
        fuse_arena_close(arena);
    }
}

static void knows_reads_in_bounds(void **state) {
    (void)state;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_ir ir = sample(arena);
    assert_true(fuse_use_in_bounds(&ir, ir.ops.at[2], 0));
    assert_true(fuse_use_in_bounds(&ir, ir.ops.at[3], 0));
    ir.ops.at[3]->input[0].access.at[1].offset = 3;
    assert_false(fuse_use_in_bounds(&ir, ir.ops.at[3], 0));
    ir.ops.at[3]->extent[0] = 0; /* nothing is read */
    assert_true(fuse_use_in_bounds(&ir, ir.ops.at[3], 0));
    assert_int_equal(fuse_value_bytes(&ir.values.at[0]), 48);
    ir.values.at[0].extent[0] = ir.values.at[0].extent[1] = INT64_C(1) << 40;
    assert_int_equal(fuse_value_bytes(&ir.values.at[0]), INT64_MAX);
    fuse_arena_close(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prints_one_line_an_operation), cmocka_unit_test(prints_scalars_and_long_literals),
        cmocka_unit_test(catches_every_planted_fault),  cmocka_unit_test(simplify_refuses_a_broken_program),
        cmocka_unit_test(knows_pairs_of_axes),          cmocka_unit_test(knows_reads_in_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
