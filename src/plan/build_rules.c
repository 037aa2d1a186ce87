/* Rules: what feeds them, the step that evaluates them, and where what they derive goes. */
#include "plan/build_internal.h"

static bool is_dense(const struct build *b, int value) {
    return b->plan->ir->ops.at[b->plan->ir->values.at[value].op]->kind == FUSE_OP_SPARSIFY;
}

static bool is_of_rules(const struct build *b, int value) {
    return fuse_is_derived(b->plan->ir, value);
}

void fuse_build_sparsify(struct build *b, int number) {
    const struct fuse_ir *ir = b->plan->ir;
    const struct fuse_op *op = ir->ops.at[number];
    int dense = op->input[0].value;
    fuse_build_load_value(b, dense);
    for (int o = number + 1; o < ir->ops.n; o++)
        for (int k = 0; ir->ops.at[o]->kind == FUSE_OP_RULES && k < ir->ops.at[o]->inputs; k++) {
            if (ir->ops.at[o]->input[k].value != op->out)
                continue;
            struct fuse_step step = fuse_build_new_step(b, FUSE_STEP_FEED, FUSE_PHASE_RUN, o);
            step.input = k;
            step.from = b->value_buffer[dense];
            step.have = fuse_build_layout_holding(dense, &b->plan->layout[dense]);
            fuse_build_add_file_staging(b, &step, step.from);
            fuse_build_add_step(b, &step);
        }
}

void fuse_build_rules(struct build *b, int number) {
    const struct fuse_op *op = b->plan->ir->ops.at[number];
    for (int from_rules = 0; from_rules < 2; from_rules++)
        for (int k = 0; k < op->inputs; k++) {
            int value = op->input[k].value;
            if (is_dense(b, value) || is_of_rules(b, value) != from_rules)
                continue;
            struct fuse_step step =
                fuse_build_new_step(b, FUSE_STEP_FEED, from_rules ? FUSE_PHASE_RUN : FUSE_PHASE_LOAD, number);
            step.input = k;
            fuse_build_add_step(b, &step);
        }
    struct fuse_step step = fuse_build_new_step(b, FUSE_STEP_RULES, FUSE_PHASE_RUN, number);
    fuse_build_add_step(b, &step);
}

void fuse_build_list(struct build *b, int number) {
    struct fuse_step step = fuse_build_new_step(b, FUSE_STEP_LIST, FUSE_PHASE_STORE, number);
    fuse_build_add_step(b, &step);
}
