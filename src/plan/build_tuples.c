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

static int bits_of(int64_t n) {
    int bits = 0;
    while (bits < 63 && (int64_t)1 << bits < n)
        bits++;
    return bits;
}

/* Packs the positions in boxes of these extents into as few words as their order allows. */
static void lay_out_key(struct fuse_tuples *t, const int64_t *extent) {
    t->words = 1;
    for (int k = 0; k < t->indices; k++) {
        t->width[k] = bits_of(extent[k]);
        if (t->bits[t->words - 1] + t->width[k] > 64)
            t->words++;
        t->word[k] = t->words - 1;
        t->bits[t->words - 1] += t->width[k];
    }
    int below[FUSE_MAX_AXES] = {0};
    for (int k = t->indices - 1; k >= 0; k--) {
        t->shift[k] = t->width[k] > 0 ? below[t->word[k]] : 0;
        below[t->word[k]] += t->width[k];
    }
    t->row_bytes = 8 * (t->words + (t->dtype != FUSE_BOOL));
}

/* Few rows are one block, sorted through another one; of many each bucket may leave a block half full, and so may each part of a
 * bucket that is split, over and over. */
static void lay_out_buckets(struct fuse_tuples *t) {
    enum { BLOCK_ROWS = 256, BUCKET_BITS = 10 };
    t->block_rows = t->spare_rows = t->most;
    t->blocks = 1;
    t->bucket_bits = 0;
    if (t->most > FUSE_TUPLE_BUCKET_ROWS) {
        int splits = t->dtype != FUSE_BOOL ? 64 / FUSE_TUPLE_SPLIT_BITS + 1 : 0;
        for (int w = 0; w < t->words; w++)
            splits += t->bits[w] / FUSE_TUPLE_SPLIT_BITS + 1;
        t->bucket_bits = t->bits[0] < BUCKET_BITS ? t->bits[0] : BUCKET_BITS;
        t->block_rows = BLOCK_ROWS;
        t->blocks = t->most / BLOCK_ROWS + (1 << t->bucket_bits) + ((int64_t)splits << FUSE_TUPLE_SPLIT_BITS) + 1;
        t->spare_rows = 2 * FUSE_TUPLE_BUCKET_ROWS;
    }
    t->unsorted_bytes = fuse_sat_mul(fuse_sat_add(fuse_sat_mul(t->blocks, t->block_rows), t->spare_rows), t->row_bytes);
    t->unsorted_bytes = fuse_sat_add(t->unsorted_bytes, fuse_sat_mul(t->blocks, sizeof(uint32_t)));
}

struct fuse_tuples fuse_plan_tuples(const struct fuse_plan *plan, int number, const struct fuse_layout *partition) {
    const struct fuse_op *op = plan->ir->ops.at[number];
    const struct fuse_value *relation = &plan->ir->values.at[op->input[0].value];
    const struct fuse_box whole = fuse_box_full(relation->rank, relation->extent);
    struct fuse_tuples t = {.rows = 1, .dtype = relation->dtype};
    int64_t extent[FUSE_MAX_AXES] = {0};
    t.indices = relation_indices(t.index, op);
    for (int rank = 0; rank < plan->mesh.used; rank++) {
        /* Tuples and rows are there also where an index that is not the relation's has no positions. */
        struct fuse_box box = fuse_iteration_box(plan, number, partition, -1, -1, rank, 0, 0), own = box;
        for (int i = 0, k = 0; i < op->indices; i++) {
            for (k = 0; k < t.indices && t.index[k] != i;)
                k++;
            if (k == t.indices) {
                own.lo[i] = 0;
                own.hi[i] = 1;
            }
        }
        struct fuse_box read = fuse_access_box(&op->input[0].access, &own);
        int64_t most =
            fuse_box_intersect(&read, &read, &whole) ? fuse_relation_most(plan->ir, op->input[0].value, &read) : 0;
        int64_t rows = t.indices > 0 ? box.hi[t.index[0]] - box.lo[t.index[0]] : 1;
        t.most = most > t.most ? most : t.most;
        t.rows = rows > t.rows ? rows : t.rows;
        for (int k = 0; k < t.indices; k++) {
            int64_t n = box.hi[t.index[k]] - box.lo[t.index[k]];
            extent[k] = n > extent[k] ? n : extent[k];
        }
    }
    lay_out_key(&t, extent);
    fuse_tuples_place(&t);
    return t;
}

void fuse_tuples_place(struct fuse_tuples *t) {
    int64_t at = round_up(fuse_sat_mul(t->rows + 1, sizeof(uint32_t)), 64);
    for (int k = 1; k < t->indices; k++) {
        t->column_offset[k] = at;
        at = fuse_sat_add(at, round_up(fuse_sat_mul(t->most, sizeof(uint32_t)), 64));
    }
    t->value_offset = at;
    if (t->dtype != FUSE_BOOL)
        at = fuse_sat_add(at, round_up(fuse_sat_mul(t->most, (int64_t)fuse_dtype_bytes(t->dtype)), 64));
    t->bytes = at;
    lay_out_buckets(t);
}

int64_t fuse_plan_relation_bytes(const struct fuse_plan *plan) {
    int64_t left = plan->request.memory_bytes - FUSE_PLAN_BASE_BYTES - plan->peak_bytes;
    if (plan->request.memory_bytes <= 0)
        return 0;
    return left > 1 ? left : 1;
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
        struct fuse_box x = fuse_iteration_box(plan, have->op, &have->partition, -1, -1, rank, 0, 0);
        struct fuse_box y = fuse_iteration_box(plan, number, &plan->partition[number], -1, -1, rank, 0, 0);
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
    bool hoisted = fuse_build_hoist(b, true);
    struct fuse_tuples t = fuse_plan_tuples(plan, number, &plan->partition[number]);
    bool device = fuse_build_tensor_kind(b) == FUSE_MEM_DEVICE;
    bool derived = fuse_is_derived(plan->ir, plan->ir->ops.at[number]->input[0].value);
    struct fuse_step step =
        fuse_build_new_step(b, FUSE_STEP_TUPLES, derived ? FUSE_PHASE_RUN : FUSE_PHASE_LOAD, number);
    step.partition = plan->partition[number];
    /* Every rank may send every other so many bytes at a time. */
    step.piece_bytes = b->effort->workspace_bytes / plan->mesh.ranks / t.row_bytes * t.row_bytes;
    if (step.piece_bytes < t.row_bytes)
        step.piece_bytes = t.row_bytes;
    int64_t messages = fuse_sat_mul(2 * (int64_t)plan->mesh.ranks, fuse_sat_add(step.piece_bytes, sizeof(int64_t)));
    if (derived)
        t.bytes = t.unsorted_bytes = 0;
    step.staging = fuse_build_add_bytes(b, 's', device ? FUSE_MEM_PINNED : FUSE_MEM_HOST,
                                        fuse_sat_add(round_up(messages, 64), t.unsorted_bytes));
    if (device && !derived)
        step.pinned = fuse_build_add_bytes(b, 's', FUSE_MEM_PINNED, t.bytes);
    step.to = fuse_build_add_bytes(b, 't', fuse_build_tensor_kind(b), t.bytes);
    fuse_build_add_step(b, &step);
    (void)fuse_build_hoist(b, hoisted);
    return step.to;
}
