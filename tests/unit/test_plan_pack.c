/* Plans of random programs are written and read: what is read must be the same to the last byte when it is written again,
 * and pass the checks that stand between a file and the executor. Then bytes are changed, and nothing may crash: a plan
 * that still passes must be replayed, or refused, without touching memory that is not there (run it under asan). */
#include "ir/ir.h"
#include "ir/ir_pack.h"
#include "plan/plan_pack.h"
#include "tests/unit/random_ir.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct written {
    struct fuse_arena *arena;
    struct fuse_ir ir;
    struct fuse_plan *plan;
    struct fuse_probed probed;
    struct fuse_pack pack;
};

static void write_one(struct written *w, struct random_state *state, const struct fuse_plan_request *request) {
    struct fuse_error err = {0};
    *w = (struct written){.arena = fuse_arena_open(NULL)};
    w->ir.arena = w->arena;
    random_program(&w->ir, state, true);
    assert_int_equal(fuse_ir_simplify(&w->ir, &err), FUSE_OK);
    w->probed.probe = FUSE_NEW_ARRAY(w->arena, const struct fuse_probe *, w->ir.ops.n + 1);
    for (int o = 0; o < w->ir.ops.n; o++)
        if (w->ir.ops.at[o]->kind == FUSE_OP_SOURCE)
            w->probed.probe[w->probed.n++] = &w->ir.ops.at[o]->probe;
    w->pack = fuse_pack_writer(w->arena);
    if (fuse_plan_make(&w->plan, w->arena, &w->ir, request, &err) != FUSE_OK)
        return;
    fuse_ir_pack(&w->pack, &w->ir, &w->probed);
    fuse_plan_pack(&w->pack, w->plan);
    assert_true(fuse_pack_is_done(&w->pack));
}

/* NULL when it is refused. */
static struct fuse_plan *read_one(struct fuse_arena *arena, const struct written *w, const void *at, size_t bytes) {
    struct fuse_error err = {0};
    struct fuse_pack pack = fuse_pack_reader(arena, at, bytes);
    struct fuse_ir *ir = FUSE_NEW(arena, struct fuse_ir);
    struct fuse_plan *plan = FUSE_NEW(arena, struct fuse_plan);
    ir->arena = plan->arena = arena;
    fuse_ir_pack(&pack, ir, &w->probed);
    if (pack.has_failed || fuse_ir_verify(ir, &err) != FUSE_OK)
        return NULL;
    plan->ir = ir;
    fuse_plan_pack(&pack, plan);
    if (!fuse_pack_is_done(&pack))
        return NULL;
    enum fuse_status st = fuse_plan_check(plan, &err);
    if (st != FUSE_OK && at == w->pack.at)
        print_error("%s\n", err.message);
    return st == FUSE_OK ? plan : NULL;
}

static void check_equal(struct written *w) {
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_plan *plan = read_one(arena, w, w->pack.at, w->pack.bytes);
    assert_non_null(plan);
    assert_true(plan->hash == w->plan->hash);
    struct fuse_pack again = fuse_pack_writer(arena);
    fuse_ir_pack(&again, (struct fuse_ir *)plan->ir, &w->probed);
    fuse_plan_pack(&again, plan);
    assert_int_equal(again.bytes, w->pack.bytes);
    assert_memory_equal(again.at, w->pack.at, again.bytes);
    struct fuse_text before = {.arena = arena}, after = {.arena = arena};
    fuse_ir_print(&before, &w->ir);
    fuse_plan_print(&before, w->plan);
    fuse_ir_print(&after, plan->ir);
    fuse_plan_print(&after, plan);
    assert_string_equal(before.at, after.at);
    fuse_arena_close(arena);
}

/* As many of the changed plans as pass the checks are asked what the executor asks. */
static int change(const struct written *w, struct random_state *state, int tries) {
    int passed = 0;
    for (int i = 0; i < tries; i++) {
        struct fuse_arena *arena = fuse_arena_open(NULL);
        size_t bytes = w->pack.bytes;
        unsigned char *at = malloc(bytes);
        memcpy(at, w->pack.at, bytes);
        if (random_below(state, 8) == 0)
            bytes = (size_t)random_below(state, (int64_t)bytes);
        for (int64_t k = random_below(state, 3); k >= 0 && bytes > 0; k--)
            at[random_below(state, (int64_t)bytes)] = (unsigned char)random_below(state, 256);
        struct fuse_plan *plan = read_one(arena, w, at, bytes);
        for (int s = 0; plan && s < plan->steps.n; s++) {
            const struct fuse_step *step = &plan->steps.at[s];
            struct fuse_box box[FUSE_MAX_RANGE_BOXES];
            for (int rank = 0; rank < plan->mesh.ranks && rank < 4; rank++) {
                if (step->have.value >= 0)
                    fuse_holding_boxes(box, plan, &step->have, rank, 0);
                if (step->need.value >= 0)
                    fuse_holding_boxes(box, plan, &step->need, rank, 0);
            }
        }
        passed += plan != NULL;
        free(at);
        fuse_arena_close(arena);
    }
    return passed;
}

static void test_plans(void **context) {
    (void)context;
    static const int ranks[] = {1, 2, 3, 4, 6, 8, 13, 16};
    struct random_state state;
    int plans = 0, loops = 0, joins = 0, passed = 0;
    for (int64_t seed = 0; seed < 300; seed++) {
        random_seed(&state, seed);
        struct fuse_plan_request request = {.ranks = ranks[seed % 8],
                                            .machine = fuse_machine_default(),
                                            .replicate_below = seed % 3 ? 1 : 400,
                                            .file_unit_bytes = seed % 3 ? 4 : 64,
                                            .panels = seed % 5 == 1 ? 3 : 0,
                                            .slab_bytes = seed % 5 == 2 ? 64 : 0};
        request.machine.ranks_per_node = seed % 4 == 0 ? 2 : 0;
        request.machine.kind = seed % 2 ? FUSE_MEM_HOST : FUSE_MEM_DEVICE;
        if (seed % 7 < 4)
            request.workspace_bytes = 64 + 500 * (seed % 7);
        if (seed % 11 > 5)
            request.memory_bytes = FUSE_PLAN_BASE_BYTES + (1 + seed % 40) * 16 * 1024;
        struct written w;
        write_one(&w, &state, &request);
        if (w.plan) {
            check_equal(&w);
            passed += change(&w, &state, 40);
            plans++;
            for (int i = 0; i < w.plan->regions.n; i++)
                loops += w.plan->regions.at[i].kind == FUSE_REGION_LOOP;
            for (int i = 0; i < w.plan->steps.n; i++)
                joins += w.plan->steps.at[i].kind == FUSE_STEP_TUPLES;
        }
        fuse_arena_close(w.arena);
    }
    /* An empty test proves nothing. */
    print_message("%d plans, %d loops, %d joins; %d changed ones passed\n", plans, loops, joins, passed);
    assert_true(plans > 200 && loops > 50 && joins > 50);
}

/* ---- the pack itself ---- */

static void test_numbers(void **context) {
    (void)context;
    static const int64_t number[] = {0, 1, -1, 63, 64, -64, -65, 8191, INT_MAX, INT_MIN, INT64_MAX, INT64_MIN};
    enum { N = sizeof number / sizeof *number };
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_pack out = fuse_pack_writer(arena);
    const char *text[] = {NULL, "", "a\nb"}, *read;
    double real = -0.0;
    for (int i = 0; i < N; i++) {
        int64_t value = number[i];
        fuse_pack_int64(&out, &value);
    }
    for (int i = 0; i < 3; i++)
        fuse_pack_string(&out, &text[i]);
    fuse_pack_double(&out, &real);
    struct fuse_pack in = fuse_pack_reader(arena, out.at, out.bytes);
    for (int i = 0; i < N; i++) {
        int64_t value;
        fuse_pack_int64(&in, &value);
        assert_true(value == number[i]);
    }
    for (int i = 0; i < 3; i++) {
        fuse_pack_string(&in, &read);
        assert_true(text[i] ? read && strcmp(read, text[i]) == 0 : !read);
    }
    real = 1;
    fuse_pack_double(&in, &real);
    assert_true(real == 0 && 1 / real < 0);
    assert_true(fuse_pack_is_done(&in));
    fuse_arena_close(arena);
}

static void expect_failure(const char *bytes, size_t n, void (*read)(struct fuse_pack *)) {
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_pack in = fuse_pack_reader(arena, bytes, n);
    read(&in);
    assert_false(fuse_pack_is_done(&in));
    fuse_arena_close(arena);
}

static void read_number(struct fuse_pack *pack) {
    int64_t value;
    fuse_pack_int64(pack, &value);
}

static void read_small(struct fuse_pack *pack) {
    int64_t value;
    fuse_pack_range(pack, &value, 0, 3);
    assert_true(value >= 0 && value <= 3);
}

static void read_count(struct fuse_pack *pack) {
    int count;
    fuse_pack_count(pack, &count, INT_MAX, 4);
    assert_int_equal(count, 0);
}

static void read_text(struct fuse_pack *pack) {
    const char *text;
    fuse_pack_string(pack, &text);
    assert_null(text);
}

static void test_bad_bytes(void **context) {
    (void)context;
    expect_failure("", 0, read_number);
    expect_failure("\x80", 1, read_number);
    expect_failure("\x80\x00", 2, read_number);                                  /* zero in two bytes */
    expect_failure("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 10, read_number); /* more than 64 bits */
    expect_failure("\x08", 1, read_small);
    expect_failure("\x01", 1, read_small);
    expect_failure("\x01\x01", 2, read_number);        /* a byte too many */
    expect_failure("\x04\x01\x01\x01", 4, read_count); /* two things of four bytes in three bytes */
    expect_failure("\x02\x05"
                   "ab",
                   4, read_text);
    expect_failure("\x02\x03"
                   "a\0b",
                   5, read_text); /* NUL in a text */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_bad_bytes),
        cmocka_unit_test(test_plans),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
