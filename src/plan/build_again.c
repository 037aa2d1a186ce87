/* Inputs that are computed again where an operation needs them (plan/again.h). */
#include "plan/again.h"
#include "plan/build_internal.h"
#include "plan/cost.h"

bool fuse_build_is_again(const struct build *b, int number, int k) {
    return k < FUSE_MAX_INPUTS && b->choice[number].again >> k & 1;
}

static int maker_of(const struct build *b, int number, int k) {
    const struct fuse_ir *ir = b->plan->ir;
    return ir->values.at[ir->ops.at[number]->input[k].value].op;
}

/* What it is computed from stays until the operation, or all turns of its recursion, have been, and is not written over there. */
static void keep_operands(struct build *b, int number, int k) {
    const struct fuse_plan *plan = b->plan;
    const struct fuse_op *maker = plan->ir->ops.at[maker_of(b, number, k)];
    int at = plan->position[number], end = plan->recursion[number] >= 0 ? fuse_plan_recursion_end(plan, at) : at;
    for (int i = 0; i < maker->inputs; i++)
        if (b->last[maker->input[i].value] <= end)
            b->last[maker->input[i].value] = end + 1;
}

void fuse_build_mark_again(struct build *b) {
    const struct fuse_ir *ir = b->plan->ir;
    bool *read = FUSE_NEW_ARRAY(b->plan->arena, bool, ir->values.n + 1); /* from where it lies */
    b->nowhere = FUSE_NEW_ARRAY(b->plan->arena, bool, ir->values.n + 1);
    for (int o = 0; o < ir->ops.n; o++)
        for (int k = 0; k < ir->ops.at[o]->inputs; k++) {
            int v = ir->ops.at[o]->input[k].value;
            if (!fuse_build_is_again(b, o, k)) {
                read[v] = true;
                continue;
            }
            b->nowhere[v] = true;
            keep_operands(b, o, k);
            const struct fuse_op *maker = ir->ops.at[ir->values.at[v].op];
            for (int i = 0; i < maker->inputs; i++)
                read[maker->input[i].value] = true;
        }
    for (int v = 0; v < ir->values.n; v++)
        b->nowhere[v] = b->nowhere[v] && !read[v];
}

static struct fuse_step begin(struct build *b, int number, int k) {
    const struct fuse_plan *plan = b->plan;
    const int maker = maker_of(b, number, k);
    const struct fuse_op *op = plan->ir->ops.at[maker];
    struct fuse_step step = fuse_build_new_step(b, FUSE_STEP_MAP, FUSE_PHASE_RUN, maker);
    (void)fuse_again_partition(&step.partition, plan, number, k, &plan->partition[number]);
    for (int i = 0; i < op->inputs; i++) {
        int v = op->input[i].value;
        fuse_build_load_value(b, v);
        step.in[i] = fuse_cost_needs_gather(plan, maker, i, &step.partition, &plan->layout[v])
                         ? fuse_build_bring_input(b, maker, i, &step.partition, -1, -1)
                         : b->value_buffer[v];
    }
    return step;
}

void fuse_build_prepare_again(struct build *b, int number, int k) {
    struct fuse_step step = begin(b, number, k);
    fuse_vec_push(b->plan->arena, &b->again, ((struct build_again){number, k, step}));
}

int fuse_build_compute_again(struct build *b, int number, int k, const struct fuse_holding *need) {
    struct fuse_step step;
    if (need->loop < 0) {
        step = begin(b, number, k);
    } else {
        int i = b->again.n - 1;
        while (b->again.at[i].op != number || b->again.at[i].input != k)
            i--;
        step = b->again.at[i].step;
        step.loop = need->loop;
        step.cut = fuse_again_index(b->plan, number, k, need->cut);
    }
    step.need = *need;
    step.to = fuse_build_add_buffer(b, 'g', need);
    fuse_build_add_step(b, &step);
    return step.to;
}
