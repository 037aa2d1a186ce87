/* Dead code: what no sink needs goes, the rest is numbered anew. */
#include "ir/ir.h"

#include "ir/rewrite.h"

void fuse_ir_sweep(struct fuse_ir *ir) {
    int ops = ir->ops.n;
    struct fuse_op **op = ir->ops.at;
    struct fuse_value *value = ir->values.at;
    bool *needed = FUSE_NEW_ARRAY(ir->arena, bool, ir->values.n);
    int *number = FUSE_NEW_ARRAY(ir->arena, int, ir->values.n);

    for (int i = ops - 1; i >= 0; i--)
        if (op[i]->out < 0 || needed[op[i]->out])
            for (int k = 0; k < op[i]->inputs; k++)
                needed[op[i]->input[k].value] = true;

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
