/* Copies: a MAP that only re-reads one input dissolves into the index maps of its users. */
#include "ir/ir.h"

#include "ir/rewrite.h"

bool fuse_access_equal(const struct fuse_access *a, const struct fuse_access *b) {
    if (a->rank != b->rank)
        return false;
    for (int i = 0; i < a->rank; i++)
        if (a->at[i].index != b->at[i].index || a->at[i].offset != b->at[i].offset ||
            (a->at[i].index >= 0 && a->at[i].stride != b->at[i].stride) ||
            fuse_access_is_paired(&a->at[i]) != fuse_access_is_paired(&b->at[i]) ||
            (fuse_access_is_paired(&a->at[i]) &&
             (a->at[i].divide != b->at[i].divide || a->at[i].modulo != b->at[i].modulo)))
            return false;
    return true;
}

/* Which axis of the output each index is. */
static void find_axes(int axis[FUSE_MAX_AXES], const struct fuse_op *op) {
    for (int a = 0; a < op->indices; a++)
        axis[op->out_index[a]] = a;
}

bool fuse_access_compose(struct fuse_access *out, const struct fuse_op *user, const struct fuse_access *outer,
                         const struct fuse_op *producer, const struct fuse_access *inner) {
    int axis[FUSE_MAX_AXES];
    find_axes(axis, producer);
    struct fuse_access result = {.rank = inner->rank};
    for (int a = 0; a < inner->rank; a++) {
        if (fuse_access_is_paired(&inner->at[a])) {
            int walked = inner->at[a].index;
            const struct fuse_access_axis *at = &outer->at[axis[walked]];
            if (user->kind != FUSE_OP_MAP || at->index < 0 || at->stride != 1 || at->offset != 0 ||
                fuse_access_is_paired(at) || user->extent[at->index] != producer->extent[walked])
                return false;
            result.at[a] = inner->at[a];
            result.at[a].index = at->index;
            continue;
        }
        if ((inner->at[a].index >= 0 && fuse_access_is_paired(&outer->at[axis[inner->at[a].index]])))
            return false;
        int64_t stride = inner->at[a].stride, shift;
        result.at[a].index = -1;
        result.at[a].offset = inner->at[a].offset;
        if (inner->at[a].index < 0)
            continue;
        int through = axis[inner->at[a].index];
        if (__builtin_mul_overflow(stride, outer->at[through].offset, &shift) ||
            __builtin_add_overflow(shift, inner->at[a].offset, &result.at[a].offset) ||
            result.at[a].offset < -FUSE_MAX_COORDINATE || result.at[a].offset > FUSE_MAX_COORDINATE)
            return false;
        if (outer->at[through].index < 0)
            continue;
        if (__builtin_mul_overflow(stride, outer->at[through].stride, &result.at[a].stride))
            return false;
        if (result.at[a].stride != 0)
            result.at[a].index = outer->at[through].index;
    }
    *out = result;
    return true;
}

bool fuse_op_is_copy(const struct fuse_ir *ir, const struct fuse_op *op) {
    return op->kind == FUSE_OP_MAP && op->reduce == FUSE_REDUCE_NONE && op->inputs == 1 && op->body->n == 1 &&
           op->body->node[0].op == FUSE_SCALAR_LOAD &&
           ir->values.at[op->input[0].value].dtype == ir->values.at[op->out].dtype && fuse_use_in_bounds(ir, op, 0);
}

/* true when the coordinate just outside the copy, and with it every one beyond (index maps are monotone), is outside the
 * copied value too, on some axis: what the user reads there is 0 either way. */
static bool stays_outside(const struct fuse_ir *ir, const struct fuse_op *copy, int index, int64_t coordinate) {
    const struct fuse_use *use = &copy->input[0];
    const struct fuse_value *value = &ir->values.at[use->value];
    for (int a = 0; a < value->rank; a++) {
        int64_t stride = use->access.at[a].stride, at;
        if (use->access.at[a].index != index || stride == 0)
            continue;
        if (__builtin_mul_overflow(stride, coordinate, &at) ||
            __builtin_add_overflow(at, use->access.at[a].offset, &at))
            continue;
        /* Beyond the high end a rising map must be past the value's end, a falling one before its start. */
        bool rising = (stride > 0) == (coordinate >= 0);
        if (rising ? at >= value->extent[a] : at < 0)
            return true;
    }
    return false;
}

/* true when reading through the copy and reading through the composed index map give 0 at the same points. */
static bool keeps_padding(const struct fuse_ir *ir, const struct fuse_op *user, const struct fuse_access *access,
                          const struct fuse_op *copy) {
    const struct fuse_value *value = &ir->values.at[copy->out];
    struct fuse_box iteration = fuse_box_full(user->indices, user->extent);
    struct fuse_box read = fuse_access_box(access, &iteration);
    if (fuse_box_is_empty(&iteration))
        return true;
    for (int a = 0; a < value->rank; a++) {
        if (value->extent[a] == 0)
            return false;
        if (read.lo[a] < 0 && !stays_outside(ir, copy, copy->out_index[a], -1))
            return false;
        if (read.hi[a] > value->extent[a] && !stays_outside(ir, copy, copy->out_index[a], value->extent[a]))
            return false;
    }
    return true;
}

void fuse_ir_forward(struct fuse_ir *ir) {
    bool *copied = FUSE_NEW_ARRAY(ir->arena, bool, ir->values.n);
    for (int i = 0; i < ir->ops.n; i++) {
        struct fuse_op *op = ir->ops.at[i];
        /* A sink reads what it writes as it lies, rules their dense inputs, and a recursion what its tensors become, which is
         * there until all of them have been replaced: these stay tensors of their own. */
        bool reads_whole = op->kind == FUSE_OP_SINK || op->kind == FUSE_OP_SPARSIFY || op->kind == FUSE_OP_FIXPOINT;
        for (int k = 0; !reads_whole && k < op->inputs; k++) {
            struct fuse_use *use = &op->input[k];
            if (!copied[use->value])
                continue;
            /* The copy's own input was forwarded when the copy was visited, so one step is enough. */
            const struct fuse_op *copy = ir->ops.at[ir->values.at[use->value].op];
            struct fuse_access composed;
            if (!keeps_padding(ir, op, &use->access, copy) ||
                !fuse_access_compose(&composed, op, &use->access, copy, &copy->input[0].access))
                continue;
            use->value = copy->input[0].value;
            use->access = composed;
        }
        if (op->out >= 0)
            copied[op->out] = fuse_op_is_copy(ir, op) && ir->values.at[op->out].pin == 0;
    }
}
