/* Exchanges in two stages, between nodes and then within (plan.h): random programs on several nodes replayed on element numbers, the
 * model against messages counted one by one, and the least that a node can be brought. */
#include "plan/cost.h"
#include "plan/plan.h"
#include "tests/unit/ir_interpret.h"
#include "tests/unit/random_ir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct { int plans, staged, loads, panels, values, caught, perturbed; } seen;

static void count(const struct fuse_plan *plan) {
    bool any = false, loads = false, panels = false, values = false;
    for (int i = 0; i < plan->steps.n; i++) {
        const struct fuse_step *step = &plan->steps.at[i];
        if (!fuse_plan_collects(step) || step->received_bytes_total == 0)
            continue;
        any = true;
        loads |= step->phase == FUSE_PHASE_LOAD;
        panels |= plan->buffers.at[step->to].is_shared;
        values |= step->phase == FUSE_PHASE_RUN && step->need.kind == FUSE_HOLDING_LAYOUT;
    }
    seen.plans++;
    seen.staged += any;
    seen.loads += loads;
    seen.panels += panels;
    seen.values += values;
}

/* Bytes that a rank receives in a step from other nodes. */
static int64_t far_bytes(const struct fuse_plan *plan, const struct fuse_step *step, int to) {
    const int ranks_per_node = plan->request.machine.ranks_per_node;
    const int64_t turns = step->loop >= 0 ? plan->regions.at[step->loop].turns : 1;
    const int64_t size = (int64_t)fuse_dtype_bytes(plan->ir->values.at[step->have.value].dtype);
    int64_t bytes = 0;
    for (int from = 0; from < plan->mesh.ranks; from++)
        for (int64_t turn = 0; turn < turns && from / ranks_per_node != to / ranks_per_node; turn++) {
            struct fuse_pieces walk = {.plan = plan, .step = step, .sender = from, .receiver = to, .turn = turn};
            struct fuse_piece piece;
            while (fuse_pieces_next(&piece, &walk))
                bytes += size * fuse_box_elems(&piece.box);
        }
    return bytes;
}

/* What comes from other nodes in each step, in the model and message by message. */
static void check_far(const struct fuse_plan *plan) {
    for (int i = 0; i < plan->steps.n; i++) {
        const struct fuse_step *step = &plan->steps.at[i];
        int64_t most = 0, total = 0;
        if (step->kind != FUSE_STEP_MOVE && step->kind != FUSE_STEP_REDUCE)
            continue;
        for (int rank = 0; rank < plan->mesh.ranks; rank++) {
            const int64_t bytes = far_bytes(plan, step, rank);
            most = bytes > most ? bytes : most;
            total += bytes;
        }
        const struct fuse_cost_far far = fuse_cost_from_other_nodes(plan, step);
        if (plan->mesh.used % plan->request.machine.ranks_per_node == 0 &&
            (far.bytes_max != most || far.bytes_total != total)) {
            struct fuse_text text = {.arena = plan->arena};
            fuse_plan_print(&text, plan);
            print_error("%sstep %d: %lld bytes (all ranks %lld) come from other nodes, planned %lld (%lld)\n", text.at,
                        i, (long long)most, (long long)total, (long long)far.bytes_max, (long long)far.bytes_total);
            fail();
        }
    }
}

/* The same plan with one box of its first exchange made wrong must not pass. */
static void check_perturbed(struct fuse_plan *plan) {
    struct fuse_error err = {0};
    if (plan->received_bytes_total[0] + plan->received_bytes_total[1] + plan->received_bytes_total[2] == 0)
        return;
    plan->request.perturb = true;
    seen.perturbed++;
    seen.caught += fuse_plan_replay(plan, &err) == FUSE_EVERIFY;
}

static void check(const struct fuse_ir *ir, const struct fuse_plan_request *request, int seed) {
    struct fuse_plan *plan = NULL;
    struct fuse_error err = {0};
    enum fuse_status status = fuse_plan_make(&plan, ir->arena, ir, request, &err);
    if (status == FUSE_EMEMORY && request->memory_bytes > 0)
        return;
    if (status == FUSE_OK)
        status = fuse_plan_replay(plan, &err);
    if (status != FUSE_OK) {
        struct fuse_text text = {.arena = ir->arena};
        fuse_ir_print(&text, ir);
        if (plan)
            fuse_plan_print(&text, plan);
        print_error("seed %d\n%s\n%s\n%s\n", seed, text.at, err.message, err.note);
        fail();
    }
    count(plan);
    check_far(plan);
    check_perturbed(plan);
}

/* Fails when a part that ranks of a node share comes to no rank or to two, when the others do not get it, when bytes are not those
 * of the model, and when exchanges of some kind are never in two stages. */
static void test_random_programs(void **unused) {
    (void)unused;
    for (int seed = 0; seed < 90; seed++) {
        struct random_state state;
        random_seed(&state, 880000 + seed);
        struct fuse_arena *arena = fuse_arena_open(NULL);
        struct fuse_ir ir = {.arena = arena};
        random_program(&ir, &state, true);
        const int ranks_per_node = 2 + (int)random_below(&state, 5), nodes = 2 + (int)random_below(&state, 4);
        struct fuse_plan_request request = {.ranks = nodes * ranks_per_node + (random_below(&state, 8) == 0),
                                            .machine = fuse_machine_default(),
                                            .replicate_below = random_below(&state, 3) == 0 ? 400 : 1,
                                            .file_unit_bytes = random_below(&state, 2) ? 64 : 4};
        request.machine.ranks_per_node = ranks_per_node;
        request.machine.latency_ps = random_below(&state, 3) * 1000;
        request.machine.network_ps_per_kib = 4000000;
        request.machine.kind = random_below(&state, 4) == 0 ? FUSE_MEM_DEVICE : FUSE_MEM_HOST;
        request.workspace_bytes = random_below(&state, 2) ? 64 + random_below(&state, 4000) : 0;
        request.chunk = random_below(&state, 4) == 0 ? 1 + random_below(&state, 4) : 0;
        request.panels = random_below(&state, 2) == 0 ? 1 + random_below(&state, 5) : 0;
        check(&ir, &request, seed);
        request.panels = 0;
        request.memory_bytes = FUSE_PLAN_BASE_BYTES + (1 + random_below(&state, 40)) * 1024;
        check(&ir, &request, seed);
        fuse_arena_close(arena);
    }
    print_message(
        "%d plans, %d in two stages: %d load, %d have panels, %d whole values; %d of %d planted faults caught\n",
        seen.plans, seen.staged, seen.loads, seen.panels, seen.values, seen.caught, seen.perturbed);
    assert_true(seen.staged > 50 && seen.loads > 20 && seen.values > 2);
    assert_int_equal(seen.caught, seen.perturbed);
}

static struct fuse_plan_request nodes_of(int nodes, int ranks_per_node) {
    struct fuse_plan_request request = {.ranks = nodes * ranks_per_node,
                                        .machine = {.node_ps_per_kib = 100,
                                                    .network_ps_per_kib = 400000,
                                                    .f32_ps_per_kflop = 1 << 20,
                                                    .ranks_per_node = ranks_per_node},
                                        .replicate_below = 0,
                                        .file_unit_bytes = 4};
    return request;
}

/* C[i,j] = A[i,k] B[k,j], where i is long. */
static void build_tall_product(struct fuse_ir *ir, struct fuse_arena *arena, int64_t m, int64_t n, int64_t k) {
    *ir = (struct fuse_ir){.arena = arena};
    int a = build_source(ir, "a", FUSE_F32, 2, (int64_t[]){m, k}),
        b = build_source(ir, "b", FUSE_F32, 2, (int64_t[]){k, n});
    int c =
        build_product(ir, FUSE_F32, "ij", "ijk", (int64_t[]){m, n, k}, 2, (struct build_use[]){{a, "ik"}, {b, "kj"}});
    build_sink(ir, "c", c);
}

/* Fails when ranks of a node are not at the same panel, or read one that has not come. */
static void test_panels(void **unused) {
    (void)unused;
    memset(&seen, 0, sizeof seen);
    for (int seed = 0; seed < 60; seed++) {
        struct random_state state;
        random_seed(&state, 990000 + seed);
        struct fuse_arena *arena = fuse_arena_open(NULL);
        struct fuse_ir ir;
        const int64_t n = 2 + random_below(&state, 6), k = 12 + random_below(&state, 20),
                      m = 400 + random_below(&state, 300);
        build_tall_product(&ir, arena, m, n, k);
        struct fuse_plan_request request = nodes_of(2 + (int)random_below(&state, 3), 2 + (int)random_below(&state, 4));
        request.panels = 2 + random_below(&state, 8);
        request.machine.kind = random_below(&state, 3) == 0 ? FUSE_MEM_DEVICE : FUSE_MEM_HOST;
        request.workspace_bytes = random_below(&state, 2) ? 64 + random_below(&state, 400) : 0;
        check(&ir, &request, seed);
        fuse_arena_close(arena);
    }
    print_message("%d plans, %d in two stages, %d have panels; %d of %d planted faults caught\n", seen.plans,
                  seen.staged, seen.panels, seen.caught, seen.perturbed);
    assert_true(seen.panels > 20);
    assert_int_equal(seen.caught, seen.perturbed);
}

/* Every node is brought what it has not of B, which all of its ranks need, and nothing else and nothing twice: with panels and
 * without. Fails when ranks of a node fetch the same, and would without two stages. */
static void test_least(void **unused) {
    (void)unused;
    static const int machines[][2] = {{2, 2}, {2, 3}, {3, 2}, {4, 4}, {2, 8}, {5, 3}};
    int staged = 0;
    for (size_t x = 0; x < sizeof machines / sizeof *machines; x++)
        for (int64_t panels = 0; panels < 6; panels += 5) {
            struct fuse_arena *arena = fuse_arena_open(NULL);
            struct fuse_ir ir;
            struct fuse_plan *plan;
            struct fuse_error err = {0};
            const int nodes = machines[x][0], ranks_per_node = machines[x][1];
            const int64_t n = 5, k = 480, all = 4 * n * k;
            build_tall_product(&ir, arena, 100000, n, k);
            struct fuse_plan_request request = nodes_of(nodes, ranks_per_node);
            request.panels = panels;
            assert_int_equal(fuse_plan_make(&plan, arena, &ir, &request, &err), FUSE_OK);
            int shares = 0;
            for (int node = 0; node < nodes; node++) {
                int64_t bytes = 0;
                for (int i = 0; i < plan->steps.n; i++) {
                    const struct fuse_step *step = &plan->steps.at[i];
                    if (step->kind != FUSE_STEP_MOVE)
                        continue;
                    shares += fuse_plan_shares(step);
                    for (int rank = node * ranks_per_node; rank < (node + 1) * ranks_per_node; rank++) {
                        const int64_t far = far_bytes(plan, step, rank);
                        assert_true(far == 0 || !fuse_plan_collects(step));
                        bytes += far;
                    }
                }
                assert_int_equal(bytes, all - all / nodes);
            }
            staged += shares > 0; /* else ranks of a node share out j */
            fuse_arena_close(arena);
        }
    assert_true(staged > 6);
}

/* A layout of two axes: dimension d, from the first or from the last one on, goes to where digit d of `number` says. */
static struct fuse_layout layout_of(const struct fuse_mesh *mesh, int number, bool backwards) {
    struct fuse_layout layout = fuse_layout_replicated();
    for (int i = 0; i < mesh->dims; i++, number /= 3) {
        int d = backwards ? mesh->dims - 1 - i : i;
        if (number % 3 > 0)
            fuse_layout_split(&layout, mesh, d, number % 3 - 1);
    }
    return layout;
}

/* The most that a rank of the model's groups receives from other nodes: those that differ from one of its samples in what is dealt. */
static int64_t most_far_bytes(const struct fuse_plan *plan, const struct fuse_step *step) {
    int64_t most = 0;
    for (int i = 0; i < plan->samples.n; i++)
        for (int rank = 0; rank < plan->mesh.used; rank++) {
            int coordinate[FUSE_MESH_MAX];
            bool is_alike = true;
            fuse_mesh_coordinates(coordinate, &plan->mesh, rank);
            for (int d = 0; d < plan->mesh.dims; d++)
                is_alike &= coordinate[d] == plan->samples.coordinate[i][d] || fuse_holding_deals(plan, &step->need, d);
            const int64_t bytes = is_alike ? far_bytes(plan, step, rank) : 0;
            most = bytes > most ? bytes : most;
        }
    return most;
}

/* What two stages of a relayout receive, and from other nodes, in the model and message by message. */
static void test_model(void **unused) {
    (void)unused;
    int staged = 0;
    for (int nodes = 2; nodes <= 4; nodes++) {
        struct fuse_arena *arena = fuse_arena_open(NULL);
        struct fuse_ir ir;
        struct fuse_plan *plan;
        struct fuse_error err = {0};
        build_tall_product(&ir, arena, 13, 10, 11);
        struct fuse_plan_request request = nodes_of(nodes, 4);
        assert_int_equal(fuse_plan_make(&plan, arena, &ir, &request, &err), FUSE_OK);
        int layouts = 1;
        for (int d = 0; d < plan->mesh.dims; d++)
            layouts *= 3;
        for (int x = 0; x < layouts * 2; x++)
            for (int y = 0; y < layouts; y++) {
                struct fuse_layout have = layout_of(&plan->mesh, x / 2, x % 2), need = layout_of(&plan->mesh, y, false);
                const struct fuse_cost_way way = fuse_cost_relayout(plan, 0, &have, &need, true);
                struct fuse_step move = {.kind = FUSE_STEP_MOVE, .loop = -1, .piece_bytes = 1 << 20}, first, second;
                move.have = (struct fuse_holding){.kind = FUSE_HOLDING_LAYOUT, .layout = have, .loop = -1};
                move.need = (struct fuse_holding){.kind = FUSE_HOLDING_LAYOUT, .layout = need, .loop = -1};
                if (way.dealt == 0)
                    continue;
                staged++;
                fuse_cost_split_stages(&first, &second, plan, &move, way.dealt);
                assert_int_equal(way.all.network, most_far_bytes(plan, &first));
                assert_int_equal(most_far_bytes(plan, &second), 0);
                assert_true(way.all.network < fuse_cost_relayout(plan, 0, &have, &need, false).all.network);
            }
        fuse_arena_close(arena);
    }
    print_message("%d relayouts in two stages\n", staged);
    assert_true(staged > 300);
}

/* A training step: W to all ranks, an all-reduce of its gradient, and V to all. Every node is brought its part of W, terms of its part
 * of G and the other parts of V, once: fails when terms are added up between nodes first, or when V is made elsewhere than G ends,
 * which takes hardly longer than all the rest. */
static void test_all_reduce(void **unused) {
    (void)unused;
    static const int machines[][2] = {{2, 2}, {2, 3}, {2, 4}, {4, 2}};
    for (size_t x = 0; x < sizeof machines / sizeof *machines; x++) {
        struct fuse_arena *arena = fuse_arena_open(NULL);
        struct fuse_ir ir = {.arena = arena};
        struct build_body body = {.arena = arena};
        struct fuse_plan *plan;
        struct fuse_error err = {0};
        const int64_t b = 65536, n = 768, product[3] = {b, n, n}, gradient[3] = {n, n, b}, square[2] = {n, n};
        const int nodes = machines[x][0], ranks_per_node = machines[x][1];
        int xs = build_source(&ir, "x", FUSE_F32, 2, (int64_t[]){b, n}),
            w = build_source(&ir, "w", FUSE_F32, 2, square);
        int y = build_product(&ir, FUSE_F32, "be", "bed", product, 2, (struct build_use[]){{xs, "bd"}, {w, "de"}});
        int g = build_product(&ir, FUSE_F32, "de", "deb", gradient, 2, (struct build_use[]){{xs, "bd"}, {y, "be"}});
        body_op(&body, FUSE_SCALAR_SUB, FUSE_F32, body_load(&body, 0, FUSE_F32), body_load(&body, 1, FUSE_F32), -1);
        int v = build_map(&ir, FUSE_F32, "de", "de", square, 2, (struct build_use[]){{w, "de"}, {g, "de"}},
                          FUSE_REDUCE_NONE, body_end(&body));
        int z = build_product(&ir, FUSE_F32, "be", "bed", product, 2, (struct build_use[]){{xs, "bd"}, {v, "de"}});
        build_sink(&ir, "z", z);
        struct fuse_plan_request request = {
            .ranks = nodes * ranks_per_node, .machine = fuse_machine_default(), .replicate_below = 0};
        request.machine.ranks_per_node = ranks_per_node;
        assert_int_equal(fuse_plan_make(&plan, arena, &ir, &request, &err), FUSE_OK);
        int64_t bytes = 0;
        for (int i = 0; i < plan->steps.n; i++) {
            const struct fuse_step *step = &plan->steps.at[i];
            if (step->phase == FUSE_PHASE_RUN && (step->kind == FUSE_STEP_MOVE || step->kind == FUSE_STEP_REDUCE))
                for (int rank = 0; rank < plan->mesh.used; rank++)
                    bytes += far_bytes(plan, step, rank);
        }
        assert_int_equal(bytes, 3 * 4 * n * n * (nodes - 1));
        fuse_arena_close(arena);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),  cmocka_unit_test(test_least),           cmocka_unit_test(test_all_reduce),
        cmocka_unit_test(test_panels), cmocka_unit_test(test_random_programs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
