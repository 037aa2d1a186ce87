/* Element-wise maps behind a contraction, such as a bias and an activation: a back end that can runs them over each part of the result
 * as soon as its last terms are added. The plan has them as steps of their own; here it is found out which of them may go along. */
#include "exec/internal.h"

static int step_of(const struct fuse_plan *plan, int region) {
    return plan->regions.at[region].kind == FUSE_REGION_STEP ? plan->regions.at[region].step : -1;
}

void fuse_exec_note_order(struct fuse_exec *exec) {
    const struct fuse_plan *plan = exec->plan;
    for (int s = 0; s < plan->steps.n; s++)
        exec->following[s] = -1;
    for (int r = 0; r < plan->regions.n; r++) {
        const struct fuse_region *region = &plan->regions.at[r];
        for (int i = 0; region->kind != FUSE_REGION_STEP && i + 1 < region->count; i++) {
            const int number = plan->child.at[region->first + i];
            const struct fuse_region *child = &plan->regions.at[number];
            int last = step_of(plan, number);
            if (child->kind == FUSE_REGION_LOOP && child->loop == FUSE_LOOP_PANEL && child->count > 0)
                last = step_of(plan, plan->child.at[child->first + child->count - 1]);
            if (last >= 0)
                exec->following[last] = step_of(plan, plan->child.at[region->first + i + 1]);
        }
    }
}

/* Whether the map, which runs over the box, reads the product's result nowhere but at its own point. */
static bool reads_in_step(const struct fuse_exec *exec, const struct fuse_step *product,
                          const struct fuse_box *iteration, const struct fuse_exec_member *map) {
    const struct fuse_op *op = exec->plan->ir->ops.at[product->op];
    bool reads = false;
    for (int k = 0; k < map->op->inputs; k++) {
        const struct fuse_access *access = &map->op->input[k].access;
        if (map->step->in[k] != product->to) {
            if (fuse_exec_overlap(exec, map->step->in[k], product->to))
                return false;
            continue;
        }
        uint32_t seen = 0;
        reads = true;
        if (access->rank != map->op->indices)
            return false;
        for (int a = 0; a < access->rank; a++) {
            const struct fuse_access_axis *at = &access->at[a];
            const int x = op->out_index[a];
            if (at->index < 0 || at->stride != 1 || at->offset != 0 || fuse_access_is_paired(at) ||
                (seen >> at->index & 1) || map->iteration.lo[at->index] != iteration->lo[x] ||
                map->iteration.hi[at->index] != iteration->hi[x] ||
                (map->step->to == product->to && map->op->out_index[a] != at->index))
                return false;
            seen |= UINT32_C(1) << at->index;
        }
    }
    return reads;
}

/* Whether writing part after part spoils nothing that the product, or a map before this one, reads later. */
static bool writes_apart(const struct fuse_exec *exec, const struct fuse_step *product,
                         const struct fuse_exec_member *map, int before) {
    const int to = map[before].step->to;
    bool apart = to == product->to || !fuse_exec_overlap(exec, to, product->to);
    for (int k = 0; k < 2; k++)
        apart = apart && !fuse_exec_overlap(exec, to, product->in[k]) &&
                !fuse_exec_overlap(exec, to, fuse_exec_reads(exec, product->in[k]));
    for (int m = 0; m < before; m++) {
        apart = apart && !fuse_exec_overlap(exec, to, map[m].step->to);
        for (int k = 0; k < map[m].op->inputs; k++)
            apart = apart && (map[m].step->in[k] == product->to ||
                              !fuse_exec_overlap(exec, to, fuse_exec_reads(exec, map[m].step->in[k])));
        for (int k = 0; k < map[before].op->inputs; k++)
            apart = apart && !fuse_exec_overlap(exec, map[m].step->to, map[before].step->in[k]);
    }
    return apart;
}

/* Whether the product's result is complete when the kernel of this turn has run. */
static bool is_complete(const struct fuse_exec *exec, const struct fuse_step *product, const struct fuse_step *step) {
    if (product->loop == step->loop)
        return !product->accumulate;
    return product->accumulate && exec->turn + 1 == exec->plan->regions.at[product->loop].turns;
}

int fuse_exec_find_epilogue(struct fuse_exec_member *out, const struct fuse_exec *exec, const struct fuse_step *product,
                            int half) {
    const struct fuse_plan *plan = exec->plan;
    const int number = (int)(product - plan->steps.at);
    int n = 0;
    if (product->kind != FUSE_STEP_CONTRACT || !exec->backend->ops->contract_maps)
        return 0;
    const struct fuse_box iteration = fuse_iteration_box(plan, product->op, &product->partition, product->loop,
                                                         product->cut, exec->comm->rank, exec->turn, half);
    for (int s = exec->following[number]; s >= 0 && n < FUSE_CONTRACT_MAPS; s = exec->following[s], n++) {
        const struct fuse_step *step = &plan->steps.at[s];
        const struct fuse_op *op = plan->ir->ops.at[step->op];
        if (step->kind != FUSE_STEP_MAP || op->reduce != FUSE_REDUCE_NONE || !is_complete(exec, product, step) ||
            fuse_layout_halves(&step->partition) != fuse_layout_halves(&product->partition) ||
            !fuse_exec_may_join_maps(exec, step))
            break;
        const int64_t turn = step->loop == product->loop ? exec->turn : 0;
        out[n] = (struct fuse_exec_member){.step = step, .op = op, .row = -1};
        out[n].iteration =
            fuse_iteration_box(plan, step->op, &step->partition, step->loop, step->cut, exec->comm->rank, turn, half);
        if (!reads_in_step(exec, product, &iteration, &out[n]) || !writes_apart(exec, product, out, n))
            break;
        if (step->to == product->to)
            return n + 1;
    }
    return n;
}
