/* Tuples of relations: what a JOIN needs of them on a rank, and the step that brings it. */
#include "plan/build_internal.h"

#include <string.h>

/* The indices through which the relation of a JOIN is read, in increasing order. */
static int relation_indices(int index[FUSE_MAX_AXES], const struct fuse_op *op) {
    int n = 0;
    for (int i = 0; i < op->indices; i++)
        if (fuse_build_reads_index(&op->input[0], i))
            index[n++] = i;
    return n;
}

static int64_t round_up(int64_t n, int64_t unit) {
    return fuse_sat_mul(fuse_sat_add(n, unit - 1) / unit, unit);
}

struct fuse_tuples fuse_plan_tuples(const struct fuse_plan *plan, int number, const struct fuse_layout *partition) {
    const struct fuse_op *op = plan->ir->ops.at[number];
    const struct fuse_value *relation = &plan->ir->values.at[op->input[0].value];
    const struct fuse_box whole = fuse_box_full(relation->rank, relation->extent);
    struct fuse_tuples t = {.rows = 1, .dtype = relation->dtype};
    t.indices = relation_indices(t.index, op);
    for (int rank = 0; rank < plan->mesh.used; rank++) {
        struct fuse_box box = fuse_iteration_box(plan, number, partition, -1, -1, rank, 0);
        if (fuse_box_is_empty(&box))
            continue;
        struct fuse_box read = fuse_access_box(&op->input[0].access, &box);
        int64_t most =
            fuse_box_intersect(&read, &read, &whole) ? fuse_relation_most(plan->ir, op->input[0].value, &read) : 0;
        int64_t rows = t.indices > 0 ? box.hi[t.index[0]] - box.lo[t.index[0]] : 1;
        t.most = most > t.most ? most : t.most;
        t.rows = rows > t.rows ? rows : t.rows;
    }
    int64_t at = round_up(fuse_sat_mul(t.rows + 1, sizeof(uint32_t)), 64);
    for (int k = 1; k < t.indices; k++) {
        t.column_offset[k] = at;
        at = fuse_sat_add(at, round_up(fuse_sat_mul(t.most, sizeof(uint32_t)), 64));
    }
    t.value_offset = at;
    if (t.dtype != FUSE_BOOL)
        at = fuse_sat_add(at, round_up(fuse_sat_mul(t.most, (int64_t)fuse_dtype_bytes(t.dtype)), 64));
    t.bytes = at;
    int64_t words = t.indices + (t.dtype != FUSE_BOOL);
    t.row_bytes = 8 * (words > 0 ? words : 1);
    return t;
}

/* Ranks read the relation through the same indices in the same blocks. */
static bool same_tuples(const struct fuse_plan *plan, const struct fuse_step *have, int number) {
    const struct fuse_op *p = plan->ir->ops.at[have->op], *q = plan->ir->ops.at[number];
    if (p->input[0].value != q->input[0].value)
        return false;
    int a[FUSE_MAX_AXES], b[FUSE_MAX_AXES], indices = relation_indices(a, p);
    if (relation_indices(b, q) != indices)
        return false;
    const struct fuse_access *f = &p->input[0].access, *g = &q->input[0].access;
    for (int axis = 0; axis < f->rank; axis++) {
        int i = 0, j = 0;
        while (i < indices && a[i] != f->at[axis].index)
            i++;
        while (j < indices && b[j] != g->at[axis].index)
            j++;
        if (i != j || f->at[axis].stride != g->at[axis].stride || f->at[axis].offset != g->at[axis].offset)
            return false;
    }
    for (int rank = 0; rank < plan->mesh.used; rank++) {
        struct fuse_box x = fuse_iteration_box(plan, have->op, &have->partition, -1, -1, rank, 0);
        struct fuse_box y = fuse_iteration_box(plan, number, &plan->partition[number], -1, -1, rank, 0);
        if (fuse_box_is_empty(&x) || fuse_box_is_empty(&y))
            return false;
        for (int k = 0; k < indices; k++)
            if (x.lo[a[k]] != y.lo[b[k]] || x.hi[a[k]] != y.hi[b[k]])
                return false;
    }
    return true;
}

static int tuples_before(const struct build *b, int number) {
    for (int i = 0; i < b->plan->steps.n; i++) {
        const struct fuse_step *step = &b->plan->steps.at[i];
        if (step->kind == FUSE_STEP_TUPLES && same_tuples(b->plan, step, number))
            return step->to;
    }
    return -1;
}

int fuse_build_tuples(struct build *b, int number) {
    int before = tuples_before(b, number);
    if (before >= 0)
        return before;
    struct fuse_plan *plan = b->plan;
    struct fuse_tuples t = fuse_plan_tuples(plan, number, &plan->partition[number]);
    bool device = fuse_build_tensor_kind(b) == FUSE_MEM_DEVICE;
    struct fuse_step step = fuse_build_new_step(b, FUSE_STEP_TUPLES, FUSE_PHASE_LOAD, number);
    step.partition = plan->partition[number];
    /* Every rank may send every other so many bytes at a time. */
    step.piece_bytes = b->effort->workspace_bytes / plan->mesh.ranks / t.row_bytes * t.row_bytes;
    if (step.piece_bytes < t.row_bytes)
        step.piece_bytes = t.row_bytes;
    int64_t messages = fuse_sat_mul(2 * (int64_t)plan->mesh.ranks, fuse_sat_add(step.piece_bytes, sizeof(int64_t)));
    int64_t unsorted = fuse_sat_mul(t.most, t.row_bytes + (int64_t)sizeof(uint32_t));
    step.staging = fuse_build_add_bytes(b, 's', device ? FUSE_MEM_PINNED : FUSE_MEM_HOST,
                                        fuse_sat_add(round_up(messages, 64), unsorted));
    if (device)
        step.pinned = fuse_build_add_bytes(b, 's', FUSE_MEM_PINNED, t.bytes);
    step.to = fuse_build_add_bytes(b, 't', fuse_build_tensor_kind(b), t.bytes);
    fuse_build_add_step(b, &step);
    return step.to;
}
