/* Products on several nodes, on a machine in which only what travels between nodes costs: the words that a rank receives from other
 * nodes, counted message by message, against the least of all grids over nodes and over the ranks of a node. */
#include "plan/cost.h"
#include "plan/plan.h"
#include "tests/unit/ir_interpret.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct fuse_plan *plan(struct fuse_arena *arena, struct fuse_ir *ir, const int64_t shape[3], int nodes,
                              int ranks_per_node) {
    *ir = (struct fuse_ir){.arena = arena};
    int64_t m = shape[0], n = shape[1], k = shape[2];
    int a = build_source(ir, "a", FUSE_F32, 2, (int64_t[]){m, k});
    int b = build_source(ir, "b", FUSE_F32, 2, (int64_t[]){k, n});
    int c =
        build_product(ir, FUSE_F32, "ij", "ijk", (int64_t[]){m, n, k}, 2, (struct build_use[]){{a, "ik"}, {b, "kj"}});
    build_sink(ir, "c", c);
    struct fuse_plan_request request = {
        .ranks = nodes * ranks_per_node,
        .machine = {.node_ps_per_kib = 1, .network_ps_per_kib = 400000, .ranks_per_node = ranks_per_node},
        .replicate_below = 0};
    struct fuse_plan *made;
    struct fuse_error err = {0};
    if (fuse_plan_make(&made, arena, ir, &request, &err) != FUSE_OK)
        fail_msg("%s", err.message);
    return made;
}

/* What the busiest rank receives from ranks of other nodes while the product runs. */
static int64_t counted_words(const struct fuse_plan *plan, int ranks_per_node) {
    int64_t most = 0;
    for (int to = 0; to < plan->mesh.ranks; to++) {
        int64_t words = 0;
        for (int i = 0; i < plan->steps.n; i++) {
            const struct fuse_step *step = &plan->steps.at[i];
            if (step->phase != FUSE_PHASE_RUN || (step->kind != FUSE_STEP_MOVE && step->kind != FUSE_STEP_REDUCE))
                continue;
            int64_t turns = step->loop >= 0 ? plan->regions.at[step->loop].turns : 1;
            for (int from = 0; from < plan->mesh.ranks; from++)
                for (int64_t turn = 0; turn < turns && from / ranks_per_node != to / ranks_per_node; turn++) {
                    struct fuse_pieces walk = {
                        .plan = plan, .step = step, .sender = from, .receiver = to, .turn = turn};
                    struct fuse_piece piece;
                    while (fuse_pieces_next(&piece, &walk))
                        words += fuse_box_elems(&piece.box);
                }
        }
        most = words > most ? words : most;
    }
    return most;
}

/* The same of a grid: parts over nodes and parts over the ranks of a node, of i, j and k. Blocks of A and B lie cut among the ranks
 * that need them; terms of C are added up within nodes first. */
static double grid_words(const int64_t shape[3], const int node[3], const int rank[3]) {
    double i = (double)shape[0] / (node[0] * rank[0]), j = (double)shape[1] / (node[1] * rank[1]),
           k = (double)shape[2] / (node[2] * rank[2]);
    return i * k * (1 - 1.0 / node[1]) + k * j * (1 - 1.0 / node[0]) + i * j / rank[2] * (1 - 1.0 / node[2]);
}

static double best_words(const int64_t shape[3], int nodes, int ranks_per_node) {
    double best = INFINITY;
    for (int a = 1; a <= nodes; a++)
        for (int b = 1; b <= nodes; b++)
            for (int c = 1; c <= ranks_per_node; c++)
                for (int d = 1; d <= ranks_per_node; d++) {
                    if (nodes % (a * b) != 0 || ranks_per_node % (c * d) != 0)
                        continue;
                    const int node[3] = {a, b, nodes / a / b}, rank[3] = {c, d, ranks_per_node / c / d};
                    best = fmin(best, grid_words(shape, node, rank));
                }
    return best;
}

/* Fails when bytes between nodes are priced like others, when what a node holds is not reckoned with, or when terms are added up
 * between nodes before they are within. */
static void test_words_between_nodes(void **state) {
    (void)state;
    static const int64_t shapes[][3] = {{1024, 1024, 1024}, {256, 256, 65536}, {4096, 64, 512},   {96, 4096, 96},
                                        {2048, 2048, 64},   {64, 64, 1 << 20}, {512, 2048, 128},  {1000, 300, 3000},
                                        {8192, 128, 256},   {700, 700, 2800},  {3000, 1500, 750}, {2048, 1024, 1024},
                                        {1024, 2048, 1024}};
    static const int machines[][2] = {{2, 2}, {2, 4}, {4, 2}, {4, 4}, {2, 8}, {8, 2}, {8, 8}};
    int worse = 0;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (size_t x = 0; x < sizeof machines / sizeof *machines; x++) {
            struct fuse_arena *arena = fuse_arena_open(NULL);
            struct fuse_ir ir;
            int nodes = machines[x][0], ranks_per_node = machines[x][1];
            struct fuse_plan *made = plan(arena, &ir, shapes[s], nodes, ranks_per_node);
            double best = best_words(shapes[s], nodes, ranks_per_node);
            int64_t words = counted_words(made, ranks_per_node);
            if ((double)words > 1.02 * best + 1)
                print_error("%lld x %lld x %lld on %d x %d: %lld words, best grid %.0f\n", (long long)shapes[s][0],
                            (long long)shapes[s][1], (long long)shapes[s][2], nodes, ranks_per_node, (long long)words,
                            best);
            worse += (double)words > 1.02 * best + 1;
            fuse_arena_close(arena);
        }
    assert_int_equal(worse, 0);
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

/* What a rank receives from other nodes when a value goes from one layout to another, in the model and message by message. */
static void test_network_of_a_relayout(void **state) {
    (void)state;
    const int64_t shape[3] = {12, 10, 10};
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_ir ir;
    struct fuse_plan *made = plan(arena, &ir, shape, 2, 4);
    int differ = 0, near = 0;
    for (int x = 0; x < 27 * 2; x++)
        for (int y = 0; y < 27; y++) {
            struct fuse_layout have = layout_of(&made->mesh, x / 2, x % 2), need = layout_of(&made->mesh, y, false);
            struct fuse_traffic model = fuse_cost_relayout(made, 0, &have, &need, false).all;
            struct fuse_step step = {.kind = FUSE_STEP_MOVE, .loop = -1, .piece_bytes = 1 << 20};
            step.have = (struct fuse_holding){.kind = FUSE_HOLDING_LAYOUT, .layout = have, .loop = -1};
            step.need = (struct fuse_holding){.kind = FUSE_HOLDING_LAYOUT, .layout = need, .loop = -1};
            int64_t most = 0;
            for (int i = 0; i < made->samples.n; i++) {
                int64_t bytes = 0;
                for (int from = 0; from < 8; from++) {
                    struct fuse_pieces walk = {
                        .plan = made, .step = &step, .sender = from, .receiver = made->samples.rank[i]};
                    struct fuse_piece piece;
                    while (from / 4 != made->samples.rank[i] / 4 && fuse_pieces_next(&piece, &walk))
                        bytes += 4 * fuse_box_elems(&piece.box);
                }
                most = bytes > most ? bytes : most;
            }
            differ += model.network != most;
            near += most < model.bytes;
        }
    assert_int_equal(differ, 0);
    assert_true(near > 500);
    fuse_arena_close(arena);
}

static void test_node_dimension(void **state) {
    (void)state;
    struct fuse_mesh mesh = fuse_mesh_make(24, 24, 4);
    assert_int_equal(fuse_mesh_node_dim(&mesh, 4), mesh.dims - 2);
    assert_int_equal(fuse_mesh_node_dim(&mesh, 0), 0);
    assert_int_equal(fuse_mesh_node_dim(&mesh, 24), 0);
    assert_int_equal(fuse_mesh_node_dim(&mesh, 1), mesh.dims);
    mesh = fuse_mesh_make(26, 26, 4); /* 26 = 13 * 2 is not a number of nodes of four */
    assert_int_equal(fuse_mesh_node_dim(&mesh, 4), mesh.dims);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_node_dimension),
        cmocka_unit_test(test_network_of_a_relayout),
        cmocka_unit_test(test_words_between_nodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
