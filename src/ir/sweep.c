/* Dead code: what no sink needs goes, the rest is numbered anew. */
#include "ir/ir.h"

#include "ir/rewrite.h"

static bool is_fixpoint_of(const struct fuse_ir *ir, int number, int until) {
    return number >= 0 && number < ir->ops.n && ir->ops.at[number]->kind == FUSE_OP_FIXPOINT &&
           ir->ops.at[number]->until == until;
}

/* The tensors of a recursion need each other: its FIXPOINTs, which are neighbours, live and die together. */
static bool is_needed(const struct fuse_ir *ir, const bool *needed, int number) {
    const struct fuse_op *op = ir->ops.at[number];
    bool is = op->out < 0 || needed[op->out];
    if (op->kind != FUSE_OP_FIXPOINT)
        return is;
    while (is_fixpoint_of(ir, number - 1, op->until))
        number--;
    for (; is_fixpoint_of(ir, number, op->until) && !is; number++)
        is = needed[ir->ops.at[number]->out];
    return is;
}

void fuse_ir_sweep(struct fuse_ir *ir) {
    int ops = ir->ops.n;
    struct fuse_op **op = ir->ops.at;
    struct fuse_value *value = ir->values.at;
    bool *needed = FUSE_NEW_ARRAY(ir->arena, bool, ir->values.n);
    int *number = FUSE_NEW_ARRAY(ir->arena, int, ir->values.n);

    for (int i = ops - 1; i >= 0; i--)
        if (is_needed(ir, needed, i)) {
            if (op[i]->out >= 0)
                needed[op[i]->out] = true;
            for (int k = 0; k < op[i]->inputs; k++)
                needed[op[i]->input[k].value] = true;
        }

    struct fuse_ir kept = {.arena = ir->arena};
    for (int i = 0; i < ops; i++) {
        if (op[i]->out >= 0 && !needed[op[i]->out])
            continue;
        for (int k = 0; k < op[i]->inputs; k++)
            op[i]->input[k].value = number[op[i]->input[k].value];
        if (op[i]->out >= 0) {
            fuse_vec_push(ir->arena, &kept.values, value[op[i]->out]);
            number[op[i]->out] = kept.values.n - 1;
            op[i]->out = kept.values.n - 1;
        }
        fuse_ir_push_op(&kept, op[i]);
    }
    *ir = kept;
}
