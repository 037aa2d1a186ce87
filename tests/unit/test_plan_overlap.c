/* What passes at the side of something slower is not counted: panels beside kernels, files beside the loop that reads them. */
#include "plan/cost.h"
#include "plan/plan.h"
#include "tests/unit/ir_interpret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static struct fuse_plan *product(struct fuse_arena *arena, struct fuse_ir *ir, const struct fuse_plan_request *request,
                                 int64_t m, int64_t n, int64_t k) {
    *ir = (struct fuse_ir){.arena = arena};
    int a = build_source(ir, "a", FUSE_F32, 2, (int64_t[]){m, k});
    int b = build_source(ir, "b", FUSE_F32, 2, (int64_t[]){k, n});
    int c =
        build_product(ir, FUSE_F32, "ij", "ijk", (int64_t[]){m, n, k}, 2, (struct build_use[]){{a, "ik"}, {b, "kj"}});
    build_sink(ir, "c", c);
    struct fuse_plan *made;
    struct fuse_error err = {0};
    if (fuse_plan_make(&made, arena, ir, request, &err) != FUSE_OK)
        fail_msg("%s", err.message);
    return made;
}

/* Times of the steps in loops of panels, and of all steps of a phase. */
struct times {
    int64_t moves, kernels, hidden, all, turns;
};

static struct times times_of(const struct fuse_plan *plan) {
    struct times t = {0};
    for (int s = 0; s < plan->steps.n; s++) {
        const struct fuse_step *step = &plan->steps.at[s];
        assert_true(step->hidden_ps >= 0 && step->hidden_ps <= step->time_ps);
        t.hidden += step->hidden_ps;
        t.all += step->time_ps;
        if (step->phase != FUSE_PHASE_RUN || step->loop < 0)
            continue;
        t.turns = plan->regions.at[step->loop].turns;
        *(step->kind == FUSE_STEP_MOVE ? &t.moves : &t.kernels) += step->time_ps;
    }
    assert_int_equal(plan->time_ps, t.all - t.hidden);
    return t;
}

/* Fails when a plan counts both of what happens at once, hides more than there is to hide behind, or hides messages of one node,
 * which the processor copies. */
static void test_panels(void **unused) {
    (void)unused;
    static const int64_t slow[] = {400, 400000, 40000000}; /* of a network, beside kernels: faster, as fast, slower */
    int looped = 0;
    for (int s = 0; s < 3; s++)
        for (int one_node = 0; one_node < 2; one_node++) {
            struct fuse_arena *arena = fuse_arena_open(NULL);
            struct fuse_ir ir;
            struct fuse_plan_request request = {.ranks = 2, .machine = fuse_machine_default()};
            request.machine.node_ps_per_kib = request.machine.network_ps_per_kib = slow[s];
            request.machine.copy_ps_per_kib = slow[s] / 100;
            request.machine.ranks_per_node = one_node ? 2 : 1;
            struct times t = times_of(product(arena, &ir, &request, 8192, 8192, 8192));
            if (one_node || t.turns == 0) {
                assert_int_equal(t.hidden, 0);
            } else {
                looped++;
                assert_true(t.turns > 1 && t.moves > 0);
                int64_t less = t.moves < t.kernels ? t.moves : t.kernels, busy = t.kernels + t.moves / 100;
                int64_t takes = (t.moves > busy ? t.moves : busy) + (t.moves > busy ? busy : t.moves) / t.turns;
                /* a hundredth for messages, whose latency is not the processor's, and for rounding */
                assert_true(llabs(t.moves + t.kernels - t.hidden - takes) <= t.moves / 100 + 1000);
                assert_true(t.hidden > less / 3 && t.hidden <= less);
            }
            fuse_arena_close(arena);
        }
    assert_int_equal(looped, 3);
}

/* More panels leave less of the first one to wait for, until messages cost more than that. */
static void test_turns(void **unused) {
    (void)unused;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_ir ir;
    struct fuse_plan_request request = {.ranks = 2, .machine = fuse_machine_default()};
    request.machine.ranks_per_node = 1;
    int64_t quick = times_of(product(arena, &ir, &request, 4096, 4096, 8192)).turns;
    request.machine.latency_ps = 2000000000;
    int64_t late = times_of(product(arena, &ir, &request, 4096, 4096, 8192)).turns;
    print_message("%lld turns, %lld where messages are late\n", (long long)quick, (long long)late);
    assert_true(quick > 2 * late);
    fuse_arena_close(arena);
}

/* Files that a loop reads and writes pass beside what it computes. */
static void test_files(void **unused) {
    (void)unused;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_ir ir = {.arena = arena};
    struct build_body body = {.arena = arena};
    int a = build_source(&ir, "a", FUSE_F32, 2, (int64_t[]){65536, 1024});
    body_op(&body, FUSE_SCALAR_EXP, FUSE_F32, body_load(&body, 0, FUSE_F32), -1, -1);
    int e = build_map(&ir, FUSE_F32, "ij", "ij", (int64_t[]){65536, 1024}, 1, (struct build_use[]){{a, "ij"}},
                      FUSE_REDUCE_NONE, body_end(&body));
    build_sink(&ir, "e", e);
    struct fuse_plan_request request = {.ranks = 2, .machine = fuse_machine_default(), .stream_bytes = 1 << 20};
    struct fuse_plan *plan;
    struct fuse_error err = {0};
    if (fuse_plan_make(&plan, arena, &ir, &request, &err) != FUSE_OK)
        fail_msg("%s", err.message);
    assert_true(plan->streams.n > 0);
    assert_true(times_of(plan).hidden > 0);
    fuse_arena_close(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_panels), cmocka_unit_test(test_turns),
                                       cmocka_unit_test(test_files)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
