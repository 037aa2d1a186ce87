/* The plans of products, whose best traffic is known in closed form. */
#include "plan/plan.h"
#include "tests/unit/ir_interpret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define MIB ((int64_t)1 << 20)

static void product(struct fuse_ir *ir, struct fuse_arena *arena, int64_t m, int64_t n, int64_t k) {
    *ir = (struct fuse_ir){.arena = arena};
    int a = build_source(ir, "a", FUSE_F32, 2, (int64_t[]){m, k});
    int b = build_source(ir, "b", FUSE_F32, 2, (int64_t[]){k, n});
    int c =
        build_product(ir, FUSE_F32, "ij", "ijk", (int64_t[]){m, n, k}, 2, (struct build_use[]){{a, "ik"}, {b, "kj"}});
    build_sink(ir, "c", c);
}

static struct fuse_plan *plan(struct fuse_arena *arena, const struct fuse_ir *ir, int ranks, int64_t memory) {
    struct fuse_plan_request request = {
        .ranks = ranks, .memory_bytes = memory, .machine = fuse_machine_default(), .replicate_below = -1};
    struct fuse_plan *made;
    struct fuse_error err = {0};
    enum fuse_status status = fuse_plan_make(&made, arena, ir, &request, &err);
    if (status != FUSE_OK)
        print_message("%s\n%s\n%s\n", err.message, err.note, err.hint);
    else if (getenv("SHOW_PLANS")) {
        struct fuse_text text = {.arena = arena};
        fuse_plan_print(&text, made);
        print_message("%s\n", text.at);
    }
    return status == FUSE_OK ? made : NULL;
}

static void test_memory_limits(void **unused) {
    (void)unused;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_ir ir;
    product(&ir, arena, 8192, 8192, 8192);
    assert_non_null(plan(arena, &ir, 8, 0));
    struct fuse_plan *wide = plan(arena, &ir, 8, 220 * MIB);
    assert_non_null(wide);
    assert_true(wide->peak_bytes + FUSE_PLAN_BASE_BYTES <= 220 * MIB);
    assert_true(wide->received_bytes_max[FUSE_PHASE_RUN] <= 96 * MIB);
    struct fuse_plan *narrow = plan(arena, &ir, 8, 140 * MIB);
    assert_non_null(narrow);
    assert_true(narrow->peak_bytes + FUSE_PLAN_BASE_BYTES <= 140 * MIB);
    assert_true(narrow->received_bytes_max[FUSE_PHASE_RUN] <= 128 * MIB);
    assert_null(plan(arena, &ir, 8, 60 * MIB));
    fuse_arena_close(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_memory_limits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
