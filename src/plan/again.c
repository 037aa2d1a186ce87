#include "plan/again.h"

#include "plan/ordered.h"

static const struct fuse_op *producer(const struct fuse_plan *plan, int op, int input) {
    return plan->ir->ops.at[plan->ir->values.at[plan->ir->ops.at[op]->input[input].value].op];
}

/* Every axis is walked by an index of its own, position by position and from end to end: blocks of the indices are then blocks of
 * the tensor. */
static bool is_walked_whole(const struct fuse_plan *plan, const struct fuse_op *op, const struct fuse_use *use) {
    const struct fuse_value *value = &plan->ir->values.at[use->value];
    for (int a = 0; a < value->rank; a++) {
        const struct fuse_access_axis *at = &use->access.at[a];
        if (at->index < 0 || at->stride != 1 || at->offset != 0 || fuse_access_is_paired(at) ||
            op->extent[at->index] != value->extent[a])
            return false;
        for (int other = 0; other < a; other++)
            if (use->access.at[other].index == at->index)
                return false;
    }
    return true;
}

bool fuse_again_is_possible(const struct fuse_plan *plan, int number, int input) {
    const struct fuse_op *op = plan->ir->ops.at[number];
    if (op->kind != FUSE_OP_EINSUM && op->kind != FUSE_OP_MAP && op->kind != FUSE_OP_JOIN &&
        op->kind != FUSE_OP_ATTENTION)
        return false;
    const struct fuse_use *use = &op->input[input];
    const struct fuse_value *value = &plan->ir->values.at[use->value];
    const struct fuse_op *maker = plan->ir->ops.at[value->op];
    /* A policy says where the tensor lies, or where its copy does. What a turn has made is gone when the next one begins. */
    if (maker->kind != FUSE_OP_MAP || maker->reduce != FUSE_REDUCE_NONE || value->pin > 0 ||
        plan->chain[value->op] >= 0 || fuse_op_is_copy(plan->ir, op) ||
        (plan->recursion[value->op] >= 0 && plan->recursion[value->op] != plan->recursion[number]))
        return false;
    /* To bring what is as large takes as long. */
    for (int k = 0; k < maker->inputs; k++)
        if (plan->streamed[maker->input[k].value] ||
            fuse_sat_mul(2, fuse_value_bytes(&plan->ir->values.at[maker->input[k].value])) > fuse_value_bytes(value))
            return false;
    return is_walked_whole(plan, op, use);
}

int fuse_again_index(const struct fuse_plan *plan, int op, int input, int index) {
    const struct fuse_access *access = &plan->ir->ops.at[op]->input[input].access;
    for (int a = 0; a < access->rank; a++)
        if (access->at[a].index == index)
            return producer(plan, op, input)->out_index[a];
    return -1;
}

bool fuse_again_partition(struct fuse_layout *out, const struct fuse_plan *plan, int number, int input,
                          const struct fuse_layout *partition) {
    const struct fuse_op *op = plan->ir->ops.at[number];
    int made[FUSE_MAX_AXES]; /* by it is walked which index of the producer */
    *out = fuse_layout_replicated();
    for (int i = 0; i < op->indices; i++) {
        made[i] = fuse_again_index(plan, number, input, i);
        if (!fuse_index_has_no_empty_part(plan, number, partition, i) ||
            (made[i] >= 0 && (partition->zigzag == i + 1 || fuse_index_is_ordered(plan, number, i))))
            return false;
    }
    for (int d = 0; d < plan->mesh.dims; d++)
        if (partition->axis[d] >= 0 && made[partition->axis[d]] >= 0) {
            out->axis[d] = (int8_t)made[partition->axis[d]];
            out->level[d] = partition->level[d];
        }
    return true;
}

bool *fuse_again_only(const struct fuse_plan *plan, struct fuse_arena *arena) {
    bool *only = FUSE_NEW_ARRAY(arena, bool, plan->ir->values.n + 1);
    for (int s = 0; s < plan->steps.n; s++)
        if (plan->steps.at[s].kind == FUSE_STEP_MAP && plan->steps.at[s].need.value >= 0)
            only[plan->steps.at[s].need.value] = true;
    for (int s = 0; s < plan->steps.n; s++)
        if (plan->steps.at[s].kind == FUSE_STEP_MAP && plan->steps.at[s].need.value < 0)
            only[plan->ir->ops.at[plan->steps.at[s].op]->out] = false;
    return only;
}
