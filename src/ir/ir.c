#include "ir/ir.h"

#include "ir/rewrite.h"

#include <string.h>

int fuse_ir_add_value(struct fuse_ir *ir, const char *name, struct fuse_span span, enum fuse_dtype dtype, int rank,
                      const int64_t *extent) {
    struct fuse_value value = {.name = name, .span = span, .dtype = dtype, .rank = rank, .op = -1};
    if (rank > 0)
        memcpy(value.extent, extent, (size_t)rank * sizeof *extent);
    fuse_vec_push(ir->arena, &ir->values, value);
    return ir->values.n - 1;
}

int fuse_ir_push_op(struct fuse_ir *ir, struct fuse_op *op) {
    fuse_vec_push(ir->arena, &ir->ops, op);
    if (op->out >= 0)
        ir->values.at[op->out].op = ir->ops.n - 1;
    return ir->ops.n - 1;
}

int fuse_ir_add_op(struct fuse_ir *ir, const struct fuse_op *op) {
    struct fuse_op *copy = FUSE_NEW(ir->arena, struct fuse_op);
    *copy = *op;
    copy->input = FUSE_NEW_ARRAY(ir->arena, struct fuse_use, op->inputs);
    if (op->inputs > 0)
        memcpy(copy->input, op->input, (size_t)op->inputs * sizeof *op->input);
    if (op->kind == FUSE_OP_SINK) {
        copy->out = -1;
        if (op->inputs == 1 && op->indices == 0) {
            const struct fuse_value *value = &ir->values.at[op->input[0].value];
            copy->indices = value->rank;
            memcpy(copy->extent, value->extent, sizeof copy->extent);
        }
    }
    return fuse_ir_push_op(ir, copy);
}

/* Bodies, texts and data are never written to. */
void fuse_ir_copy(struct fuse_ir *out, const struct fuse_ir *ir) {
    for (int v = 0; v < ir->values.n; v++)
        fuse_vec_push(out->arena, &out->values, ir->values.at[v]);
    for (int o = 0; o < ir->ops.n; o++)
        (void)fuse_ir_add_op(out, ir->ops.at[o]);
}

/* fuse_box_elems, but saturating. */
static int64_t box_room(const struct fuse_box *box) {
    int64_t room = 1;
    for (int a = 0; a < box->rank; a++)
        room = fuse_sat_mul(room, box->hi[a] > box->lo[a] ? box->hi[a] - box->lo[a] : 0);
    return room;
}

int64_t fuse_relation_most(const struct fuse_ir *ir, int value, const struct fuse_box *box) {
    const struct fuse_op *source = ir->ops.at[ir->values.at[value].op];
    if (!source->probe.tally)
        return box_room(box);
    int64_t most = fuse_tally_most(source->probe.tally, box);
    for (int k = 0; k < source->inputs; k++)
        most = fuse_sat_add(most, fuse_relation_most(ir, source->input[k].value, box));
    return most;
}

int *fuse_ir_recursions(const struct fuse_ir *ir, struct fuse_arena *arena) {
    int *of = FUSE_NEW_ARRAY(arena, int, ir->ops.n + 1);
    for (int o = 0; o < ir->ops.n; o++) {
        const struct fuse_op *op = ir->ops.at[o];
        of[o] = op->kind == FUSE_OP_CARRY || op->kind == FUSE_OP_FIXPOINT ? op->until : -1;
        for (int k = 0; k < op->inputs && of[o] < 0; k++) {
            int maker = ir->values.at[op->input[k].value].op;
            of[o] = ir->ops.at[maker]->kind == FUSE_OP_FIXPOINT ? -1 : of[maker];
        }
    }
    return of;
}

int64_t fuse_value_elems(const struct fuse_value *value) {
    int64_t elems = 1;
    for (int a = 0; a < value->rank; a++)
        elems = fuse_sat_mul(elems, value->extent[a]);
    return elems;
}

int64_t fuse_value_bytes(const struct fuse_value *value) {
    return fuse_sat_mul(fuse_value_elems(value), (int64_t)fuse_dtype_bytes(value->dtype));
}

bool fuse_use_in_bounds(const struct fuse_ir *ir, const struct fuse_op *op, int input) {
    const struct fuse_use *use = &op->input[input];
    const struct fuse_value *value = &ir->values.at[use->value];
    struct fuse_box iteration = fuse_box_full(op->indices, op->extent);
    struct fuse_box read = fuse_access_box(&use->access, &iteration);
    struct fuse_box whole = fuse_box_full(value->rank, value->extent);
    return fuse_box_contains(&whole, &read);
}

bool fuse_source_is_whole(const struct fuse_ir *ir, const struct fuse_op *source) {
    const struct fuse_value *value = &ir->values.at[source->out];
    for (int a = 0; a < value->rank; a++)
        if (value->extent[a] != source->probe.extent[a])
            return false;
    return true;
}

bool fuse_attention_indices(const struct fuse_ir *ir, const struct fuse_op *op, int *key, int *depth) {
    *key = *depth = -1;
    for (int x = 0; x < op->indices; x++) {
        bool kept = false, of_values = false;
        for (int a = 0; a < ir->values.at[op->out].rank; a++)
            kept |= op->out_index[a] == x;
        for (int a = 0; a < op->input[2].access.rank; a++)
            of_values |= op->input[2].access.at[a].index == x;
        int *index = of_values ? key : depth;
        if (kept)
            continue;
        if (*index >= 0)
            return false;
        *index = x;
    }
    return *key >= 0 && *depth >= 0;
}

bool fuse_attention_scores_have(const struct fuse_op *op, int index) {
    for (int k = 0; k < op->inputs; k++)
        for (int a = 0; a < op->input[k].access.rank; a++)
            if (k != 2 && op->input[k].access.at[a].index == index)
                return true;
    return false;
}

static bool is_read_plainly(const struct fuse_op *op, int index) {
    for (int k = 0; k < op->inputs; k++)
        for (int a = 0; a < op->input[k].access.rank; a++) {
            const struct fuse_access_axis *at = &op->input[k].access.at[a];
            if (at->index == index &&
                (k == 1 || k == 2 || at->stride != 1 || at->offset != 0 || fuse_access_is_paired(at)))
                return false;
        }
    return true;
}

int fuse_attention_row(const struct fuse_ir *ir, const struct fuse_op *op, int64_t *shift) {
    int key, depth;
    bool alone;
    if (op->kind != FUSE_OP_ATTENTION || !fuse_attention_indices(ir, op, &key, &depth))
        return -1;
    for (int a = 0; a < ir->values.at[op->out].rank; a++) {
        int x = op->out_index[a];
        if (is_read_plainly(op, x) && fuse_scalar_is_causal(op->body, key, x, shift, &alone))
            return x;
    }
    return -1;
}
