/* Tensors that are computed again where they are needed: when the model says so and not otherwise, on random programs that share
 * them in every way, replayed on element numbers. */
#include "plan/cost.h"
#include "plan/plan.h"
#include "tests/unit/ir_interpret.h"
#include "tests/unit/random_shared.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void complain(const struct fuse_ir *ir, const struct fuse_plan *plan, const struct fuse_error *err) {
    struct fuse_text text = {.arena = ir->arena};
    fuse_ir_print(&text, ir);
    if (plan)
        fuse_plan_print(&text, plan);
    print_error("%s\n%s\n%s\n", text.at, err->message, err->note);
    fail();
}

static struct fuse_plan *make(const struct fuse_ir *ir, const struct fuse_plan_request *request, bool replays) {
    struct fuse_plan *plan = NULL;
    struct fuse_error err = {0};
    enum fuse_status status = fuse_plan_make(&plan, ir->arena, ir, request, &err);
    if (status == FUSE_EMEMORY)
        return NULL;
    if (status == FUSE_OK && replays)
        status = fuse_plan_replay(plan, &err);
    if (status != FUSE_OK)
        complain(ir, plan, &err);
    return plan;
}

static bool is_again(const struct fuse_step *step) {
    return step->kind == FUSE_STEP_MAP && step->need.value >= 0;
}

static int count_again(const struct fuse_plan *plan) {
    int n = 0;
    for (int s = 0; s < plan->steps.n; s++)
        n += is_again(&plan->steps.at[s]);
    return n;
}

static bool says(const struct fuse_plan *plan, const char *what) {
    struct fuse_text text = {.arena = plan->arena};
    fuse_plan_print(&text, plan);
    return strstr(text.at, what) != NULL;
}

/* ---- two products that share a broadcast ---------------------------------------------------------------------- */

#define SIDE 8192
#define WIDTH 4096

/* n[i,j] = x[i] + y[j]; c = n a, d = n' b. */
static int build_shared(struct fuse_ir *ir, bool stores) {
    struct build_body body = {.arena = ir->arena};
    const int64_t two[] = {SIDE, SIDE}, wide[] = {SIDE, WIDTH}, three[] = {SIDE, WIDTH, SIDE};
    int a = build_source(ir, "a", FUSE_F32, 2, wide), b = build_source(ir, "b", FUSE_F32, 2, wide);
    int x = build_source(ir, "x", FUSE_F32, 1, two), y = build_source(ir, "y", FUSE_F32, 1, two);
    body_op(&body, FUSE_SCALAR_ADD, FUSE_F32, body_load(&body, 0, FUSE_F32), body_load(&body, 1, FUSE_F32), -1);
    int n = build_map(ir, FUSE_F32, "ij", "ij", two, 2, (struct build_use[]){{x, "i"}, {y, "j"}}, FUSE_REDUCE_NONE,
                      body_end(&body));
    int c = build_product(ir, FUSE_F32, "ik", "ikj", three, 2, (struct build_use[]){{n, "ij"}, {a, "jk"}});
    int d = build_product(ir, FUSE_F32, "jk", "jki", three, 2, (struct build_use[]){{n, "ij"}, {b, "ik"}});
    build_sink(ir, "c", c);
    build_sink(ir, "d", d);
    if (stores)
        build_sink(ir, "n", n);
    return n;
}

static struct fuse_plan_request request_of(int ranks, int64_t message_ps, int64_t map_ps) {
    struct fuse_plan_request request = {.ranks = ranks, .machine = fuse_machine_default(), .file_unit_bytes = 64};
    request.machine.latency_ps = message_ps / 1000;
    request.machine.node_ps_per_kib = message_ps;
    request.machine.map_ps_per_kib = request.machine.map_ps_per_kflop = map_ps;
    return request;
}

static int64_t received_of(const struct fuse_plan *plan, int value) {
    int64_t bytes = 0;
    for (int s = 0; s < plan->steps.n; s++)
        if (plan->steps.at[s].phase == FUSE_PHASE_RUN && plan->steps.at[s].have.value == value)
            bytes += plan->steps.at[s].received_bytes_total;
    return bytes;
}

/* Fails when what is cheap to compute travels, when what is dear to compute is computed twice, when a tensor is kept that nobody
 * reads from where it would lie, or when what comes in panels is computed before them, which takes more memory. */
static void test_model_decides(void **unused) {
    (void)unused;
    for (int stores = 0; stores < 2; stores++) {
        struct fuse_arena *arena = fuse_arena_open(NULL);
        struct fuse_ir ir = {.arena = arena};
        int n = build_shared(&ir, stores);
        struct fuse_plan_request request = {.ranks = 64, .machine = fuse_machine_default()};
        struct fuse_plan *plan = make(&ir, &request, false);
        assert_int_equal(received_of(plan, n), 0);
        assert_int_equal(count_again(plan), 2);
        for (int s = 0; s < plan->steps.n; s++)
            assert_true(!is_again(&plan->steps.at[s]) || plan->steps.at[s].loop >= 0);
        assert_true(says(plan, "again, for"));
        assert_int_equal(says(plan, "computed where it is needed"), !stores);
        request.machine.map_ps_per_kib *= 100;
        request.machine.map_ps_per_kflop *= 100;
        plan = make(&ir, &request, false);
        assert_int_equal(count_again(plan), 0);
        assert_true(received_of(plan, n) > 0);
        fuse_arena_close(arena);
    }
}

/* With less memory than a rank's part of the tensor for both products takes, and with as little as there can be. */
static void test_memory(void **unused) {
    (void)unused;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_ir ir = {.arena = arena};
    (void)build_shared(&ir, false);
    struct fuse_plan_request request = {.ranks = 64, .machine = fuse_machine_default()};
    int64_t most = make(&ir, &request, false)->peak_bytes;
    int fitted = 0;
    for (int64_t bytes = most; bytes > 0; bytes = bytes / 8 * 7) {
        request.memory_bytes = bytes + FUSE_PLAN_BASE_BYTES;
        const struct fuse_plan *plan = make(&ir, &request, false);
        if (!plan)
            break;
        assert_true(plan->peak_bytes <= bytes);
        fitted++;
    }
    assert_true(fitted > 2);
    fuse_arena_close(arena);
}

/* ---- random programs ------------------------------------------------------------------------------------------ */

/* Plans of random programs, and what is computed again in them. */
static struct { int plans, with, looped, chained, from, turned, pinned, refused; } seen;

static void count(const struct fuse_plan *plan, bool is_pinned) {
    const int with = count_again(plan);
    seen.plans++;
    seen.with += with > 0;
    seen.pinned += with > 0 && is_pinned;
    for (int s = 0; s < plan->steps.n; s++) {
        const struct fuse_step *step = &plan->steps.at[s];
        if (!is_again(step))
            continue;
        seen.looped += step->loop >= 0;
        seen.chained += plan->chain[step->need.op] >= 0;
        seen.turned += plan->recursion[step->need.op] >= 0;
        seen.from += plan->ir->ops.at[step->op]->inputs > 0;
    }
}

static void random_shared_or_other(struct fuse_ir *ir, struct random_state *state) {
    switch (random_below(state, 5)) {
    case 0: random_program(ir, state, true); break;
    case 1: random_shared_recursion(ir, state); break;
    default: random_shared_program(ir, state);
    }
}

/* Fails when a plan that computes something again does not hold together: in loops of panels, in chains, in turns of a recursion,
 * where layouts are pinned, with much memory and with little. PROGRAMS=500 in the environment takes more of them than 90. */
static void test_random(void **unused) {
    (void)unused;
    const int programs = getenv("PROGRAMS") ? atoi(getenv("PROGRAMS")) : 90;
    for (int seed = 0; seed < programs; seed++) {
        struct random_state state;
        random_seed(&state, 31000 + seed);
        struct fuse_arena *arena = fuse_arena_open(NULL);
        struct fuse_ir ir = {.arena = arena};
        struct fuse_error err = {0};
        random_shared_or_other(&ir, &state);
        if (fuse_ir_verify(&ir, &err) != FUSE_OK)
            complain(&ir, NULL, &err);
        struct fuse_plan_request request =
            request_of(1 + (int)random_below(&state, 64), 100000000, random_below(&state, 4) == 0 ? 3000000 : 1);
        request.replicate_below = random_below(&state, 4) == 0 ? 400 : 1;
        request.slab_bytes = random_below(&state, 2) ? random_slab_bytes(&ir, request.ranks, &state) : 0;
        request.panels = random_below(&state, 3) == 0 ? 1 + random_below(&state, 5) : 0;
        request.chunk = random_below(&state, 4) == 0 ? 1 + random_below(&state, 4) : 0;
        request.machine.kind = random_below(&state, 5) == 0 ? FUSE_MEM_DEVICE : FUSE_MEM_HOST;
        const bool is_pinned = random_below(&state, 3) == 0 && random_pins(&ir, &request, &state) > 0;
        for (int limited = 0; limited < 2; limited++) {
            request.memory_bytes = limited ? FUSE_PLAN_BASE_BYTES + (1 + random_below(&state, 60)) * 1024 : 0;
            const struct fuse_plan *plan = make(&ir, &request, true);
            seen.refused += plan == NULL;
            if (plan)
                count(plan, is_pinned);
        }
        fuse_arena_close(arena);
    }
    print_message(
        "%d plans, %d compute something again, %d of these with pins, %d times in a loop, %d in a chain, %d in a "
        "recursion, %d from other tensors; %d refused\n",
        seen.plans, seen.with, seen.pinned, seen.looped, seen.chained, seen.turned, seen.from, seen.refused);
    assert_true(seen.with > seen.plans / 6 && seen.looped > programs / 8 && seen.from > seen.plans / 10);
    assert_true(seen.chained > programs / 60 && seen.turned > programs / 20 && seen.pinned > 0);
    assert_true(seen.refused < programs / 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_model_decides), cmocka_unit_test(test_memory),
                                       cmocka_unit_test(test_random)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
