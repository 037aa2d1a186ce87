/* What fuse_plan_tuples promises about the tuples of every rank, against rows counted one by one; and that evenly spread rows
 * take less memory on more ranks. A wrong inverse of an access, a box without its last position, or a partition whose
 * levels are taken in the wrong order fails here. */
#include "ir/ir.h"
#include "plan/plan.h"
#include "tests/unit/random_ir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MAX_ROWS 3000

struct relation {
    int rank, rows;
    int64_t extent[3], id[MAX_ROWS][3];
};

static void draw(struct relation *r, struct random_state *state, int rows) {
    static const int64_t extents[] = {1, 2, 7, 60, 500, 5000, 300000};
    bool skewed = random_below(state, 2);
    r->rank = 1 + (int)random_below(state, 3);
    r->rows = rows;
    for (int a = 0; a < r->rank; a++)
        r->extent[a] = extents[random_below(state, 7)];
    for (int i = 0; i < rows; i++)
        for (int a = 0; a < r->rank; a++) {
            int64_t id = random_below(state, r->extent[a]);
            r->id[i][a] = skewed ? random_below(state, id + 1) : id;
        }
}

static int add_source(struct fuse_ir *ir, const struct relation *r) {
    struct fuse_tally_part part;
    struct fuse_op op = {.kind = FUSE_OP_SOURCE, .span = FUSE_NO_SPAN, .path = "r.tsv", .reduce = FUSE_REDUCE_OR};
    fuse_tally_open(&part, ir->arena, r->rank);
    for (int i = 0; i < r->rows; i++)
        fuse_tally_add(&part, r->id[i], i);
    op.probe.tally = fuse_tally_finish(&part, ir->arena, (enum fuse_column_kind[FUSE_MAX_AXES]){FUSE_COLUMN_IDS}, -1);
    op.out = fuse_ir_add_value(ir, NULL, FUSE_NO_SPAN, FUSE_BOOL, r->rank, r->extent);
    ir->values.at[op.out].storage = FUSE_STORAGE_RELATION;
    fuse_ir_add_op(ir, &op);
    return op.out;
}

/* A fixed position, an offset, a slice of either direction, or a diagonal with an axis before. */
static struct fuse_access_axis draw_access(struct fuse_op *op, struct random_state *state, int64_t extent) {
    static const char *const names[] = {"i", "j", "k", "l"};
    if (random_below(state, 6) == 0)
        return (struct fuse_access_axis){.index = -1, .offset = random_below(state, extent)};
    struct fuse_access_axis at = {.index = op->indices, .stride = 1};
    int64_t n = extent;
    switch (random_below(state, 4)) {
    case 0: at.offset = random_below(state, 5) - 2; break;
    case 1:
        at.stride = 1 + random_below(state, 3);
        at.offset = random_below(state, extent);
        n = (extent - at.offset + at.stride - 1) / at.stride;
        if (random_below(state, 2)) {
            at.offset += at.stride * (n - 1);
            at.stride = -at.stride;
        }
        break;
    default: break;
    }
    if (op->indices > 0 && random_below(state, 3) == 0) {
        at.index = (int)random_below(state, op->indices);
        return at;
    }
    op->extent[op->indices] = n;
    op->index_name[op->indices] = names[op->indices];
    op->indices++;
    return at;
}

static int add_join(struct fuse_ir *ir, struct random_state *state, const struct relation *r, int relation,
                    bool plain) {
    struct fuse_op op = {.kind = FUSE_OP_JOIN, .span = FUSE_NO_SPAN, .reduce = FUSE_REDUCE_OR, .inputs = 1};
    static const struct fuse_scalar_node load = {FUSE_SCALAR_LOAD, FUSE_BOOL, -1, -1, -1, 0, 0, 0};
    struct fuse_scalar *body = FUSE_NEW(ir->arena, struct fuse_scalar);
    body->node = FUSE_NEW(ir->arena, struct fuse_scalar_node);
    *body->node = load;
    body->n = 1;
    op.body = body;
    op.input = FUSE_NEW(ir->arena, struct fuse_use);
    op.input->value = relation;
    op.input->access = fuse_access_identity(r->rank);
    for (int a = 0; a < r->rank && !plain; a++)
        op.input->access.at[a] = draw_access(&op, state, r->extent[a]);
    for (int a = 0; a < r->rank && plain; a++) {
        op.extent[op.indices] = r->extent[a];
        op.index_name[op.indices++] = (const char *[]){"i", "j", "k"}[a];
    }
    op.extent[op.indices] = 12; /* one that the relation lacks */
    op.index_name[op.indices++] = "d";
    int64_t extent[FUSE_MAX_AXES];
    int rank = 0;
    for (int i = 0; i < op.indices; i++)
        if (random_below(state, 2)) {
            extent[rank] = op.extent[i];
            op.out_index[rank++] = i;
        }
    op.out = fuse_ir_add_value(ir, NULL, FUSE_NO_SPAN, FUSE_BOOL, rank, extent);
    fuse_ir_add_op(ir, &op);
    return ir->values.at[op.out].op;
}

static struct fuse_layout draw_partition(struct random_state *state, const struct fuse_mesh *mesh, int indices) {
    struct fuse_layout layout = fuse_layout_replicated();
    for (int d = 0; d < mesh->dims; d++) {
        int index = (int)random_below(state, indices + 1) - 1;
        if (index >= 0)
            fuse_layout_split(&layout, mesh, d, index);
    }
    return layout;
}

/* true when some position of the box reads the row. */
static bool lies_in(const struct fuse_op *op, const struct fuse_box *box, const int64_t *id) {
    int64_t position[FUSE_MAX_AXES];
    memset(position, -1, sizeof position);
    for (int a = 0; a < op->input[0].access.rank; a++) {
        const struct fuse_access_axis *at = &op->input[0].access.at[a];
        int64_t steps = id[a] - at->offset;
        if (at->index < 0) {
            if (steps != 0)
                return false;
            continue;
        }
        int64_t p = steps / at->stride;
        if (p * at->stride != steps || p < box->lo[at->index] || p >= box->hi[at->index] ||
            (position[at->index] >= 0 && position[at->index] != p))
            return false;
        position[at->index] = p;
    }
    return true;
}

static void bounds_hold(int ranks, int cases, int rows) {
    int64_t bound = 0, exact = 0;
    static struct relation r;
    for (int seed = 0; seed < cases; seed++) {
        struct random_state state;
        struct fuse_arena *arena = fuse_arena_open(NULL);
        struct fuse_ir ir = {.arena = arena};
        random_seed(&state, 1000 * ranks + seed);
        draw(&r, &state, rows);
        int number = add_join(&ir, &state, &r, add_source(&ir, &r), false);
        struct fuse_error err = {0};
        if (fuse_ir_verify(&ir, &err) != FUSE_OK)
            fail_msg("%s", err.message);
        const struct fuse_op *op = ir.ops.at[number];
        struct fuse_plan plan = {.arena = arena, .ir = &ir, .mesh = fuse_mesh_make(ranks, ranks, 0)};
        struct fuse_layout partition = draw_partition(&state, &plan.mesh, op->indices);
        struct fuse_tuples t = fuse_plan_tuples(&plan, number, &partition);
        int64_t most = 0;
        for (int rank = 0; rank < ranks; rank++) {
            struct fuse_box box = fuse_iteration_box(&plan, number, &partition, -1, -1, rank, 0, 0);
            int64_t n = 0;
            if (fuse_box_is_empty(&box))
                continue;
            for (int i = 0; i < r.rows; i++)
                n += lies_in(op, &box, r.id[i]);
            if (t.indices > 0)
                assert_true(box.hi[t.index[0]] - box.lo[t.index[0]] <= t.rows);
            if (n > t.most)
                fail_msg("%d ranks, case %d: rank %d has %lld tuples, at most %lld were promised", ranks, seed, rank,
                         (long long)n, (long long)t.most);
            most = n > most ? n : most;
        }
        assert_true(t.most <= rows);
        assert_true(t.bytes >= 4 * (t.rows + 1) + 4 * (t.indices > 0 ? t.indices - 1 : 0) * t.most);
        bound += t.most;
        exact += most;
        fuse_arena_close(arena);
    }
    print_message("%d ranks: %lld tuples promised for the fullest ranks, %lld there\n", ranks, (long long)bound,
                  (long long)exact);
    assert_true(exact > 0);
}

static void tuples_are_bounded(void **unused) {
    (void)unused;
    for (int ranks = 1; ranks <= 13; ranks++)
        bounds_hold(ranks, 60, 1000);
    bounds_hold(64, 60, 1000);
    bounds_hold(4096, 12, 300);
}

/* 3,000 rows over 300,000 x 300,000, divided by rows alone and by both indices: each rank's memory comes near its share. */
static void memory_shrinks_with_ranks(void **unused) {
    (void)unused;
    static struct relation r = {.rank = 2, .rows = MAX_ROWS, .extent = {300000, 300000}};
    struct random_state state;
    random_seed(&state, 5);
    for (int i = 0; i < r.rows; i++)
        for (int a = 0; a < 2; a++)
            r.id[i][a] = random_below(&state, r.extent[a]);
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_ir ir = {.arena = arena};
    int number = add_join(&ir, &state, &r, add_source(&ir, &r), true);
    for (int both = 0; both < 2; both++)
        for (int ranks = 1; ranks <= 4096; ranks *= 4) {
            struct fuse_plan plan = {.arena = arena, .ir = &ir, .mesh = fuse_mesh_make(ranks, ranks, 0)};
            struct fuse_layout partition = fuse_layout_replicated();
            for (int d = 0; d < plan.mesh.dims; d++)
                fuse_layout_split(&partition, &plan.mesh, d, both ? d % 2 : 0);
            struct fuse_tuples t = fuse_plan_tuples(&plan, number, &partition);
            int64_t parts = both ? 1 : ranks;
            while (both && parts * parts < ranks)
                parts *= 2;
            /* A box meets whole bins, of 128 ids, or for pairs 8,192, and one more; 6 standard deviations for chance. */
            int64_t bin = both ? 8192 : 128, met = (300000 / parts / bin + 2) * bin, slack = 6;
            int64_t share = (both ? MAX_ROWS * met / 300000 * met : MAX_ROWS * met) / 300000 + 1;
            while (slack * slack < 36 * share)
                slack++;
            if (t.most > share + slack || t.rows > 300000 / parts + 1)
                fail_msg("%d ranks, both %d: at most %lld tuples in %lld rows", ranks, both, (long long)t.most,
                         (long long)t.rows);
        }
    fuse_arena_close(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tuples_are_bounded),
        cmocka_unit_test(memory_shrinks_with_ranks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
