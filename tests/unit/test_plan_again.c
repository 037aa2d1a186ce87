/* Tensors that are computed again where they are needed: when the model says so and not otherwise, on random programs that share
 * them in every way, replayed on element numbers. */
#include "plan/cost.h"
#include "plan/plan.h"
#include "tests/unit/ir_interpret.h"
#include "tests/unit/random_ir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
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

static int64_t extent_of(struct random_state *state) {
    static const int64_t sizes[] = {1, 2, 3, 5, 8, 13, 16, 31, 40};
    return sizes[random_below(state, sizeof sizes / sizeof *sizes)];
}

static const struct fuse_scalar *sum_of(struct fuse_arena *arena, int inputs) {
    struct build_body body = {.arena = arena};
    int sum = body_real(&body, FUSE_F32, 2);
    for (int k = 0; k < inputs; k++)
        sum = body_op(&body, FUSE_SCALAR_ADD, FUSE_F32, sum, body_load(&body, k, FUSE_F32), -1);
    return body_end(&body);
}

/* Maps of less than they are, some of another such one, and operations that read them in all ways. */
static void random_shared(struct fuse_ir *ir, struct random_state *state) {
    const int64_t extent[4] = {extent_of(state), extent_of(state), extent_of(state), extent_of(state)};
    static const char *const letter[] = {"i", "j", "k", "l"};
    int source[4], made[3], mades = 0, last = -1;
    for (int a = 0; a < 4; a++)
        source[a] = build_source(ir, letter[a], FUSE_F32, 1, &extent[a]);
    int full = build_source(ir, "f", FUSE_F32, 2, (int64_t[]){extent[1], extent[2]});
    for (int m = 0, n = 1 + (int)random_below(state, 3); m < n; m++) {
        struct build_use use[3];
        int uses = 0;
        for (int a = 0; a < 2; a++)
            if (random_below(state, 2))
                use[uses++] = (struct build_use){source[a], letter[a]};
        bool wide = random_below(state, 2);
        if (mades > 0 && wide && random_below(state, 2) && ir->values.at[made[0]].rank == 2)
            use[uses++] = (struct build_use){made[0], "ij"};
        made[mades++] = build_map(ir, FUSE_F32,
                                  wide                     ? "ijk"
                                  : random_below(state, 2) ? "ij"
                                                           : "ji",
                                  wide ? "ijk" : "ij", extent, uses, use, FUSE_REDUCE_NONE, sum_of(ir->arena, uses));
    }
    for (int o = 0, n = 2 + (int)random_below(state, 4); o < n; o++) {
        int v = made[random_below(state, mades)];
        bool wide = ir->values.at[v].rank == 3;
        bool turned = !wide && ir->values.at[v].extent[0] != extent[0];
        const char *at = wide ? "ijk" : turned ? "ji" : "ij";
        int64_t rest[4] = {extent[0], extent[1], extent[2], extent[3]};
        switch (random_below(state, 5)) {
        case 0:
            last = build_product(ir, FUSE_F32, wide ? "ij" : "ik", "ijkl", rest, 2,
                                 (struct build_use[]){{v, at}, {full, "jk"}});
            break;
        case 1:
            last = build_product(ir, FUSE_F32, "lj", "ijkl", rest, 2, (struct build_use[]){{v, at}, {source[3], "l"}});
            break;
        case 2:
            last = build_map(ir, FUSE_F32, wide ? "kij" : "ij", wide ? "ijk" : "ij", rest, 2,
                             (struct build_use[]){{v, at}, {source[1], "j"}}, FUSE_REDUCE_NONE, sum_of(ir->arena, 2));
            break;
        case 3: /* a chain, around what is as large as three axes make it */
            last = build_map(ir, FUSE_F32, "ijl", wide ? "ijkl" : "ijl",
                             wide ? rest : (int64_t[]){rest[0], rest[1], rest[3]}, 2,
                             (struct build_use[]){{source[3], "l"}, {v, at}}, wide ? FUSE_REDUCE_SUM : FUSE_REDUCE_NONE,
                             sum_of(ir->arena, 2));
            v = made[random_below(state, mades)];
            wide = ir->values.at[v].rank == 3;
            at = wide ? "ijk" : ir->values.at[v].extent[0] != extent[0] ? "ji" : "ij";
            last = build_map(ir, FUSE_F32, "ij", wide ? "ijkl" : "ijl",
                             wide ? rest : (int64_t[]){rest[0], rest[1], rest[3]}, 2,
                             (struct build_use[]){{last, "ijl"}, {v, at}}, FUSE_REDUCE_SUM, sum_of(ir->arena, 2));
            break;
        case 4:
            last = build_map(ir, FUSE_F32, "j", wide ? "ijk" : "ij", rest, 1, (struct build_use[]){{v, at}},
                             FUSE_REDUCE_SUM, sum_of(ir->arena, 1));
            break;
        }
        build_sink(ir, fuse_arena_printf(ir->arena, "y%d", last), last);
    }
    if (random_below(state, 4) == 0)
        build_sink(ir, "m", made[0]);
}

/* Fails when a plan that computes something again does not hold together. */
static void test_random(void **unused) {
    (void)unused;
    int plans = 0, with = 0, looped = 0, chained = 0, refused = 0, from = 0;
    for (int seed = 0; seed < 70; seed++) {
        struct random_state state;
        random_seed(&state, 31000 + seed);
        struct fuse_arena *arena = fuse_arena_open(NULL);
        struct fuse_ir ir = {.arena = arena};
        struct fuse_error err = {0};
        if (random_below(&state, 3) > 0)
            random_shared(&ir, &state);
        else
            random_program(&ir, &state, true);
        if (fuse_ir_verify(&ir, &err) != FUSE_OK)
            complain(&ir, NULL, &err);
        struct fuse_plan_request request =
            request_of(2 + (int)random_below(&state, 90), 100000000, 1 + random_below(&state, 2) * 3000000);
        request.replicate_below = random_below(&state, 4) == 0 ? 400 : 1;
        request.slab_bytes = random_below(&state, 3) == 0 ? 100 + random_below(&state, 3000) : 0;
        request.panels = random_below(&state, 3) == 0 ? 1 + random_below(&state, 5) : 0;
        request.chunk = random_below(&state, 4) == 0 ? 1 + random_below(&state, 4) : 0;
        request.memory_bytes =
            random_below(&state, 2) == 0 ? 0 : FUSE_PLAN_BASE_BYTES + (1 + random_below(&state, 60)) * 1024;
        const struct fuse_plan *plan = make(&ir, &request, true);
        refused += plan == NULL;
        if (plan) {
            plans++;
            with += count_again(plan) > 0;
            for (int s = 0; s < plan->steps.n; s++) {
                const struct fuse_step *step = &plan->steps.at[s];
                if (!is_again(step))
                    continue;
                looped += step->loop >= 0;
                chained += plan->chain[step->need.op] >= 0;
                from += ir.ops.at[step->op]->inputs > 0;
            }
        }
        fuse_arena_close(arena);
    }
    print_message("%d plans, %d compute something again, %d times in a loop, %d in a chain, %d from other tensors; %d "
                  "refused\n",
                  plans, with, looped, chained, from, refused);
    assert_true(with > plans / 6 && looped > 5 && from > plans / 10 && refused < plans / 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_model_decides), cmocka_unit_test(test_memory),
                                       cmocka_unit_test(test_random)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
