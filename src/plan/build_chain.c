/* A chain of operations (plan/chain.h) as one loop over slabs. */
#include "plan/build_internal.h"
#include "plan/chain.h"
#include "plan/cost.h"

/* What a rank would hold of all that exists as slabs, if it were whole. */
static int64_t slab_bytes(const struct build *b, int first, int last) {
    const struct fuse_plan *plan = b->plan;
    int64_t bytes = 0;
    for (int at = first; at <= last; at++) {
        int number = plan->order[at], value = plan->ir->ops.at[number]->out;
        if (plan->inner[value] && !fuse_build_ends_in_place(b, number))
            bytes = fuse_sat_add(bytes, fuse_cost_block_bytes(plan, value, &plan->layout[value]));
        if ((plan->inner[value] && fuse_build_operand_to_overwrite(b, number) < 0) ||
            (plan->slab_axis[value] >= 0 && !fuse_build_ends_in_place(b, number)))
            bytes = fuse_sat_add(bytes, fuse_cost_block_bytes(plan, value, &b->choice[number].natural));
    }
    return bytes;
}

void fuse_build_emit_chain(struct build *b, int first, int last) {
    struct fuse_plan *plan = b->plan;
    int members = last - first + 1;
    int *gathered = FUSE_NEW_ARRAY(plan->arena, int, members *FUSE_MAX_INPUTS);
    int *result = FUSE_NEW_ARRAY(plan->arena, int, members);
    for (int at = first; at <= last; at++)
        for (int k = 0; k < plan->ir->ops.at[plan->order[at]]->inputs; k++) {
            int v = plan->ir->ops.at[plan->order[at]]->input[k].value;
            if (plan->chain[plan->ir->values.at[v].op] != plan->chain[plan->order[first]])
                fuse_build_load_value(b, v);
        }
    /* What does not change from slab to slab is gathered once. */
    for (int at = first; at <= last; at++) {
        int number = plan->order[at];
        const struct fuse_op *op = plan->ir->ops.at[number];
        for (int k = 0; k < op->inputs; k++) {
            int *to = &gathered[(at - first) * FUSE_MAX_INPUTS + k];
            *to = -1;
            if (!fuse_build_reads_index(&op->input[k], plan->slab_index[number]) &&
                fuse_build_needs_gather(plan, number, k))
                *to = fuse_build_gather_input(b, number, k, -1, -1);
        }
        /* A result that all slabs are summed into */
        result[at - first] = plan->slab_axis[op->out] < 0 ? fuse_build_add_result_buffer(b, number) : -1;
    }
    struct fuse_region loop = {.loop = FUSE_LOOP_SLAB, .skew_input = -1};
    loop.op = plan->order[first];
    loop.index = plan->slab_index[loop.op];
    loop.partition = plan->partition[loop.op];
    loop.turns = fuse_plan_chain_turns(plan, plan->chain[loop.op], slab_bytes(b, first, last), b->effort->budget_bytes);
    int region = fuse_build_open_loop(b, loop);
    b->chain = plan->chain[loop.op];
    for (int at = first; at <= last; at++) {
        int number = plan->order[at], *to = &result[at - first], index = plan->slab_index[number];
        const struct fuse_op *op = plan->ir->ops.at[number];
        struct fuse_step step = fuse_build_compute_step(b, number, *to);
        for (int k = 0; k < op->inputs; k++) {
            int once = gathered[(at - first) * FUSE_MAX_INPUTS + k];
            if (once >= 0)
                step.in[k] = once;
            else if (fuse_build_needs_gather(plan, number, k))
                step.in[k] = fuse_build_gather_input(b, number, k, region, index);
        }
        step.cut = index;
        step.accumulate = *to >= 0;
        if (*to < 0)
            step.to = fuse_build_add_result_buffer(b, number);
        fuse_build_add_step(b, &step);
        if (*to < 0)
            fuse_build_finish(b, number, step.to);
    }
    b->chain = -1;
    fuse_build_close_loop(b);
    for (int at = first; at <= last; at++)
        if (result[at - first] >= 0)
            fuse_build_finish(b, plan->order[at], result[at - first]);
}
