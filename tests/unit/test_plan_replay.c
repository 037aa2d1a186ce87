/* Random programs are planned for many numbers of ranks and memory limits, and every plan is replayed on element numbers:
 * wrong boxes, lost partials, stale panels, overlapping buffers and miscounted bytes all fail here. */
#include "ir/ir.h"
#include "plan/plan.h"
#include "tests/unit/ir_interpret.h"
#include "tests/unit/random_stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What the plans of a test contain, so that an empty test cannot pass. */
static struct {
    int plans, moving, reducing, panels, slabs, chains, summed, joining, refused, caught, perturbed, streams, written;
} seen;

static void count(const struct fuse_plan *plan) {
    bool moving = false, reducing = false, panels = false, slabs = false, joining = false;
    for (int i = 0; i < plan->steps.n; i++) {
        moving |= plan->steps.at[i].kind == FUSE_STEP_MOVE && plan->steps.at[i].received_bytes_total > 0;
        reducing |= plan->steps.at[i].kind == FUSE_STEP_REDUCE;
        joining |= plan->steps.at[i].kind == FUSE_STEP_TUPLES;
    }
    for (int i = 0; i < plan->regions.n; i++) {
        bool loop = plan->regions.at[i].kind == FUSE_REGION_LOOP;
        panels |= loop && plan->regions.at[i].loop == FUSE_LOOP_PANEL;
        slabs |= loop && plan->regions.at[i].loop == FUSE_LOOP_SLAB;
    }
    bool streams = false, written = false;
    for (int i = 0; i < plan->steps.n; i++) {
        streams |= plan->steps.at[i].kind == FUSE_STEP_READ && plan->steps.at[i].phase == FUSE_PHASE_RUN;
        written |= plan->steps.at[i].kind == FUSE_STEP_WRITE && plan->steps.at[i].phase == FUSE_PHASE_RUN;
    }
    seen.streams += streams;
    seen.written += written;
    seen.plans++;
    seen.moving += moving;
    seen.reducing += reducing;
    seen.joining += joining;
    seen.panels += panels;
    seen.slabs += slabs;
    seen.chains += plan->chains.n > 0;
    for (int i = 0; i < plan->steps.n; i++)
        if (plan->steps.at[i].loop >= 0 && plan->steps.at[i].accumulate && plan->chain[plan->steps.at[i].op] >= 0) {
            seen.summed++;
            break;
        }
}

/* The same plan with one box of its first exchange made wrong must not pass. */
static void check_perturbed(struct fuse_plan *plan) {
    struct fuse_error err = {0};
    int64_t bytes = 0;
    for (int p = 0; p < FUSE_PHASES; p++)
        bytes += plan->received_bytes_total[p];
    if (bytes == 0)
        return;
    plan->request.perturb = true;
    seen.perturbed++;
    seen.caught += fuse_plan_replay(plan, &err) == FUSE_EVERIFY;
    plan->request.perturb = false;
}

/* Every pinned value lies as its pin says: counted from the pin, not by the planner's own function. */
static void check_pins(const struct fuse_plan *plan) {
    const struct fuse_plan_request *request = &plan->request;
    for (int v = 0; v < plan->ir->values.n; v++) {
        const struct fuse_value *value = &plan->ir->values.at[v];
        int64_t parts[FUSE_MAX_AXES];
        if (value->pin == 0)
            continue;
        const struct fuse_plan_pin *pin = &request->pin[value->pin - 1];
        for (int a = 0; a < value->rank; a++)
            parts[a] = a == pin->all ? plan->mesh.used : 1;
        for (int k = 0; pin->all < 0 && k < pin->splits; k++)
            parts[pin->split[k].axis] *= request->mesh_size[pin->split[k].dim];
        for (int a = 0; a < value->rank; a++)
            assert_int_equal(fuse_layout_parts(&plan->layout[v], &plan->mesh, a), parts[a]);
        assert_int_equal(fuse_layout_parts(&plan->layout[v], &plan->mesh, FUSE_PARTIAL), 1);
    }
}

static void check(const struct fuse_ir *ir, const struct fuse_plan_request *request) {
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_plan *plan = NULL;
    struct fuse_error err = {0};
    enum fuse_status status = fuse_plan_make(&plan, arena, ir, request, &err);
    if (status == FUSE_EMEMORY) {
        seen.refused++;
        assert_true(request->memory_bytes > 0);
    } else {
        if (status == FUSE_OK && request->memory_bytes > 0)
            assert_true(plan->peak_bytes + FUSE_PLAN_BASE_BYTES <= request->memory_bytes);
        if (status == FUSE_OK)
            status = fuse_plan_replay(plan, &err);
        if (status != FUSE_OK) {
            struct fuse_text text = {.arena = arena};
            fuse_ir_print(&text, ir);
            if (plan)
                fuse_plan_print(&text, plan);
            print_error("%s\n%s\n%s\n", text.at, err.message, err.note);
            fail();
        }
        count(plan);
        check_pins(plan);
        check_perturbed(plan);
    }
    fuse_arena_close(arena);
}

static void random_programs(int programs, bool device, bool pinned, int most_chunk) {
    memset(&seen, 0, sizeof seen);
    int pins = 0;
    for (int seed = 0; seed < programs; seed++) {
        struct random_state state;
        random_seed(&state, seed);
        struct fuse_arena *arena = fuse_arena_open(NULL);
        struct fuse_ir ir = {.arena = arena};
        random_program(&ir, &state, true);
        struct fuse_error err = {0};
        if (fuse_ir_verify(&ir, &err) != FUSE_OK) {
            struct fuse_text text = {.arena = arena};
            fuse_ir_print(&text, &ir);
            print_error("%s\n%s\n", text.at, err.message);
            fail();
        }
        struct fuse_plan_request request = {.ranks = 1 + (int)random_below(&state, 16),
                                            .machine = fuse_machine_default(),
                                            .replicate_below = random_below(&state, 4) == 0 ? 400 : 1,
                                            .file_unit_bytes = random_below(&state, 2) ? 64 : 4};
        request.workspace_bytes = random_below(&state, 2) ? 64 + random_below(&state, 4000) : 0;
        request.slab_bytes = random_below(&state, 2) ? 1 + random_below(&state, 300) : 0;
        if (device)
            request.machine.kind = FUSE_MEM_DEVICE;
        request.chunk = most_chunk > 0 ? 1 + random_below(&state, most_chunk) : 0;
        if (pinned)
            pins += random_pins(&ir, &request, &state);
        check(&ir, &request);
        request.panels = random_below(&state, 3) == 0 ? 1 + random_below(&state, 5) : 0;
        request.memory_bytes = FUSE_PLAN_BASE_BYTES + (1 + random_below(&state, 40)) * 16 * 1024;
        check(&ir, &request);
        fuse_arena_close(arena);
    }
    print_message("%d plans: %d move, %d reduce, %d have panels, %d slabs, %d chains, %d that sum slabs, %d join, %d "
                  "stream sources, "
                  "%d sinks; %d refused; %d of %d planted faults caught\n",
                  seen.plans, seen.moving, seen.reducing, seen.panels, seen.slabs, seen.chains, seen.summed,
                  seen.joining, seen.streams, seen.written, seen.refused, seen.caught, seen.perturbed);
    assert_true(seen.moving > programs / 4 && seen.reducing > programs / 8 && seen.panels > programs / 20);
    assert_true(seen.slabs > 0 && seen.refused > 0 && seen.joining > programs / 8);
    assert_true(seen.chains > programs / (pinned || most_chunk > 0 ? 40 : 10));
    assert_true(most_chunk > 0 || seen.summed > programs / (pinned ? 400 : 40));
    assert_true(!pinned || pins > programs);
    assert_int_equal(seen.caught, seen.perturbed);
}

/* Fails when partial sums of a chain with fewer slabs than ranks are scattered along its slabs, where a turn would have to
 * hold other positions than it made: y[a] = sum over b of m[b,a] m[b+1,a], m[b,a] = 2 x[a,b], slabs along a. */
static void test_fewer_slabs_than_ranks(void **unused) {
    (void)unused;
    memset(&seen, 0, sizeof seen);
    for (int64_t b = 16; b <= 256; b *= 2)
        for (int ranks = 1; ranks <= 16; ranks++) {
            struct fuse_arena *arena = fuse_arena_open(NULL);
            struct fuse_ir ir = {.arena = arena};
            struct build_body body = {.arena = arena};
            int x = build_source(&ir, "x", FUSE_F32, 2, (int64_t[]){3, b});
            int load = body_load(&body, 0, FUSE_F32);
            body_op(&body, FUSE_SCALAR_ADD, FUSE_F32, load, load, -1);
            int m = build_map(&ir, FUSE_F32, "ba", "ba", (int64_t[]){b, 3}, 1, (struct build_use[]){{x, "ab"}},
                              FUSE_REDUCE_NONE, body_end(&body));
            int y = build_product(&ir, FUSE_F32, "a", "ab", (int64_t[]){3, b}, 2,
                                  (struct build_use[]){{m, "ba"}, {m, "ba"}});
            ir.ops.at[ir.values.at[y].op]->input[1].access.at[0].offset = 1;
            build_sink(&ir, "y", y);
            struct fuse_plan_request request = {.ranks = ranks,
                                                .machine = fuse_machine_default(),
                                                .replicate_below = 1,
                                                .file_unit_bytes = 4,
                                                .slab_bytes = 1};
            check(&ir, &request);
            fuse_arena_close(arena);
        }
    assert_true(seen.chains == seen.plans);
}

static void test_random_programs(void **unused) {
    (void)unused;
    random_programs(240, false, false, 0);
}

static void test_random_programs_on_a_device(void **unused) {
    (void)unused;
    random_programs(150, true, false, 0);
}

/* Fails when nodes of a sum's tree are not what the ranks' boxes are, or when a loop cuts what is summed. */
static void test_sums_in_order(void **unused) {
    (void)unused;
    random_programs(100, false, false, 4);
}

/* Fails when the planner puts a pinned value elsewhere, or when what follows from it does not hold together. */
static void test_random_programs_with_pinned_values(void **unused) {
    (void)unused;
    random_programs(80, false, true, 0);
}

/* Fails when a turn reads or writes what is not its own, when halves of buffers are used while files still need them, or when
 * programs of such a kind are not streamed. */
static void streamed_programs(int programs, bool device) {
    memset(&seen, 0, sizeof seen);
    for (int seed = 0; seed < programs; seed++) {
        struct random_state state;
        random_seed(&state, seed);
        struct fuse_arena *arena = fuse_arena_open(NULL);
        struct fuse_ir ir = {.arena = arena};
        random_stream_program(&ir, &state);
        struct fuse_plan_request request = {.ranks = 1 + (int)random_below(&state, 11),
                                            .machine = fuse_machine_default(),
                                            .replicate_below = 1,
                                            .file_unit_bytes = random_below(&state, 2) ? 64 : 4,
                                            .stream_bytes = 1 + random_below(&state, 60)};
        request.workspace_bytes = random_below(&state, 2) ? 64 + random_below(&state, 4000) : 0;
        request.slab_bytes = random_below(&state, 2) ? 1 + random_below(&state, 300) : 0;
        request.machine.kind = device ? FUSE_MEM_DEVICE : FUSE_MEM_HOST;
        check(&ir, &request);
        request.stream_bytes = request.slab_bytes = 0;
        request.memory_bytes = FUSE_PLAN_BASE_BYTES + 256 + random_below(&state, 12000);
        check(&ir, &request);
        fuse_arena_close(arena);
    }
    print_message(
        "%d plans: %d move, %d reduce, %d stream sources, %d sinks, %d sum slabs; %d refused; %d of %d planted "
        "faults caught\n",
        seen.plans, seen.moving, seen.reducing, seen.streams, seen.written, seen.summed, seen.refused, seen.caught,
        seen.perturbed);
    assert_true(seen.streams > programs / 3 && seen.written > programs / 8 && seen.summed > programs / 8);
    assert_int_equal(seen.caught, seen.perturbed);
}

static void test_streamed_programs(void **unused) {
    (void)unused;
    streamed_programs(150, false);
}

static void test_streamed_programs_on_a_device(void **unused) {
    (void)unused;
    streamed_programs(50, true);
}

/* x = m x + b, y[i,j] = f(m[j,i], x[i + 1], y[j,i]), one member or both, before and behind other operations. */
static void recursive_program(struct fuse_ir *ir, struct random_state *state) {
    int64_t n = 2 + random_below(state, 30), square[2] = {n, n};
    bool two = random_below(state, 2), turned = random_below(state, 2);
    int m = build_source(ir, "m", FUSE_F64, 2, square), b = build_source(ir, "b", FUSE_F64, 1, square);
    struct build_body sum = {.arena = ir->arena}, three = {.arena = ir->arena};
    body_op(&sum, FUSE_SCALAR_ADD, FUSE_F64, body_load(&sum, 0, FUSE_F64), body_load(&sum, 1, FUSE_F64), -1);
    int product =
        body_op(&three, FUSE_SCALAR_MUL, FUSE_F64, body_load(&three, 0, FUSE_F64), body_load(&three, 1, FUSE_F64), -1);
    body_op(&three, FUSE_SCALAR_ADD, FUSE_F64, product, body_load(&three, 2, FUSE_F64), -1);
    if (random_below(state, 2))
        m = build_product(ir, FUSE_F64, "ij", "ijk", (int64_t[]){n, n, n}, 2,
                          (struct build_use[]){{m, "ik"}, {m, "kj"}});
    int x = build_carry(ir, FUSE_F64, 1, square), y = two ? build_carry(ir, FUSE_F64, 2, square) : -1;
    int mx =
        build_product(ir, FUSE_F64, "i", "ij", square, 2, (struct build_use[]){{m, turned ? "ji" : "ij"}, {x, "j"}});
    int next = build_map(ir, FUSE_F64, "i", "i", square, 2, (struct build_use[]){{mx, "i"}, {b, "i"}}, FUSE_REDUCE_NONE,
                         body_end(&sum));
    int moves = build_moves(ir, x, next, "c"), later = -1, later_moves = -1;
    if (two) {
        later = build_map(ir, FUSE_F64, "ij", "ij", square, 3, (struct build_use[]){{m, "ji"}, {x, "i"}, {y, "ji"}},
                          FUSE_REDUCE_NONE, body_end(&three));
        ir->ops.at[ir->values.at[later].op]->input[1].access.at[0].offset = 1;
        later_moves = build_moves(ir, y, later, "bc");
    }
    x = build_fixpoint(ir, x, next, moves);
    if (two)
        build_sink(ir, "y", build_fixpoint(ir, y, later, later_moves));
    build_sink(ir, "x", x);
    build_sink(ir, "z", build_product(ir, FUSE_F64, "i", "ij", square, 2, (struct build_use[]){{m, "ij"}, {x, "j"}}));
}

/* Fails when a turn does not begin with what the one before has left, or finds something gone that was there before. */
static void test_recursions(void **unused) {
    (void)unused;
    memset(&seen, 0, sizeof seen);
    for (int seed = 0; seed < 120; seed++) {
        struct random_state state;
        random_seed(&state, seed);
        struct fuse_arena *arena = fuse_arena_open(NULL);
        struct fuse_ir ir = {.arena = arena};
        struct fuse_error err = {0};
        recursive_program(&ir, &state);
        assert_int_equal(fuse_ir_verify(&ir, &err), FUSE_OK);
        struct fuse_plan_request request = {.ranks = 1 + (int)random_below(&state, 12),
                                            .machine = fuse_machine_default(),
                                            .replicate_below = random_below(&state, 4) == 0 ? 400 : 1,
                                            .file_unit_bytes = random_below(&state, 2) ? 64 : 4};
        request.workspace_bytes = random_below(&state, 2) ? 64 + random_below(&state, 4000) : 0;
        request.machine.kind = random_below(&state, 4) == 0 ? FUSE_MEM_DEVICE : FUSE_MEM_HOST;
        request.panels = random_below(&state, 3) == 0 ? 1 + random_below(&state, 5) : 0;
        check(&ir, &request);
        request.memory_bytes = FUSE_PLAN_BASE_BYTES + (1 + random_below(&state, 40)) * 256;
        check(&ir, &request);
        fuse_arena_close(arena);
    }
    print_message("%d plans: %d move, %d reduce, %d have panels; %d refused; %d of %d planted faults caught\n",
                  seen.plans, seen.moving, seen.reducing, seen.panels, seen.refused, seen.caught, seen.perturbed);
    assert_true(seen.moving > 60 && seen.reducing > 60 && seen.panels > 10 && seen.refused > 0);
    assert_int_equal(seen.caught, seen.perturbed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recursions),
        cmocka_unit_test(test_fewer_slabs_than_ranks),
        cmocka_unit_test(test_random_programs),
        cmocka_unit_test(test_sums_in_order),
        cmocka_unit_test(test_random_programs_on_a_device),
        cmocka_unit_test(test_random_programs_with_pinned_values),
        cmocka_unit_test(test_streamed_programs),
        cmocka_unit_test(test_streamed_programs_on_a_device),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
