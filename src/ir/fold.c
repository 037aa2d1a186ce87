/* Constants: inside bodies, from literals into bodies, and from bodies back to literals. */
#include "ir/ir.h"

#include "ir/rewrite.h"

#include <string.h>

/* The element of a literal that an input reads at every point: a node, or -1 when there is no such thing. */
static int constant_input(const struct fuse_ir *ir, const struct fuse_use *use, struct fuse_body *body) {
    const struct fuse_value *value = &ir->values.at[use->value];
    const struct fuse_op *op = ir->ops.at[value->op];
    int64_t position = 0;
    if (op->kind != FUSE_OP_LITERAL || op->draw)
        return -1;
    for (int a = 0; a < value->rank; a++) {
        int64_t offset = use->access.at[a].offset;
        if (use->access.at[a].index >= 0)
            return -1;
        if (offset < 0 || offset >= value->extent[a])
            return fuse_body_integer(body, fuse_dtype_compute(value->dtype), 0);
        position = position * value->extent[a] + offset;
    }
    const char *data = op->data;
    return fuse_body_element(body, data + (size_t)position * fuse_dtype_bytes(value->dtype), value->dtype);
}

/* For each input a node that stands for it: a constant, or a LOAD of the first input that reads the same. */
static void add_inputs(const struct fuse_ir *ir, const struct fuse_op *op, struct fuse_body *body, int *node) {
    for (int i = 0; i < op->inputs; i++) {
        int same = 0;
        while (op->input[same].value != op->input[i].value ||
               !fuse_access_equal(&op->input[same].access, &op->input[i].access))
            same++;
        node[i] = constant_input(ir, &op->input[i], body);
        if (node[i] < 0)
            node[i] = fuse_body_load(body, same, fuse_dtype_compute(ir->values.at[op->input[i].value].dtype));
    }
}

static void drop_unused_inputs(struct fuse_ir *ir, struct fuse_op *op, const struct fuse_scalar *body) {
    int *number = FUSE_NEW_ARRAY(ir->arena, int, op->inputs);
    for (int i = 0; i < body->n; i++)
        if (body->node[i].op == FUSE_SCALAR_LOAD)
            number[body->node[i].arg] = 1;
    int kept = 0;
    for (int i = 0; i < op->inputs; i++) {
        if (!number[i])
            continue;
        number[i] = kept;
        op->input[kept++] = op->input[i];
    }
    op->inputs = kept;
    for (int i = 0; i < body->n; i++)
        if (body->node[i].op == FUSE_SCALAR_LOAD)
            body->node[i].arg = number[body->node[i].arg];
}

void fuse_ir_fold_map(struct fuse_ir *ir, struct fuse_op *op, struct fuse_body *body) {
    int *input = FUSE_NEW_ARRAY(ir->arena, int, op->inputs);
    int *number = FUSE_NEW_ARRAY(ir->arena, int, op->body->n);
    fuse_body_reset(body);
    add_inputs(ir, op, body, input);
    for (int i = 0; i < op->body->n; i++) {
        struct fuse_scalar_node node = op->body->node[i];
        if (node.op == FUSE_SCALAR_LOAD) {
            number[i] = input[node.arg];
            continue;
        }
        if (node.op == FUSE_SCALAR_IOTA && op->extent[node.arg] == 1) {
            number[i] = fuse_body_integer(body, FUSE_I64, 0);
            continue;
        }
        int *argument[3] = {&node.a, &node.b, &node.c};
        for (int k = 0; k < fuse_scalar_arity(node.op); k++)
            *argument[k] = number[*argument[k]];
        number[i] = fuse_body_add(body, node);
    }
    const struct fuse_scalar *folded = fuse_body_finish(body, number[op->body->n - 1]);
    drop_unused_inputs(ir, op, folded);
    op->body = folded;
}

/* One number, computed from nothing. */
static void make_literal(struct fuse_ir *ir, struct fuse_op *op) {
    const struct fuse_scalar_node *node = &op->body->node[0];
    if (op->indices != 0 || op->body->n != 1 || node->op != FUSE_SCALAR_CONST)
        return;
    enum fuse_dtype dtype = ir->values.at[op->out].dtype;
    void *data = fuse_arena_alloc(ir->arena, fuse_dtype_bytes(dtype));
    if (node->dtype == FUSE_F32 || node->dtype == FUSE_F64)
        (void)fuse_dtype_convert(data, dtype, &node->real, FUSE_F64, 1);
    else
        (void)fuse_dtype_convert(data, dtype, &node->integer, FUSE_I64, 1);
    op->kind = FUSE_OP_LITERAL;
    op->body = NULL;
    op->data = data;
}

void fuse_ir_fold(struct fuse_ir *ir) {
    struct fuse_body body = {.arena = ir->arena};
    for (int i = 0; i < ir->ops.n; i++) {
        struct fuse_op *op = ir->ops.at[i];
        if (op->kind != FUSE_OP_MAP)
            continue;
        fuse_ir_fold_map(ir, op, &body);
        make_literal(ir, op);
    }
}
