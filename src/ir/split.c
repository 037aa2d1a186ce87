/* MAPs that read very many tensors become several: a kernel keeps one stream an input, and a step names each operand. The
 * largest sub-expressions that fit are computed first, as tensors over just the indices that they need. */
#include "ir/ir.h"

#include "ir/rewrite.h"

#include <string.h>

/* Which inputs each node of a body needs, as bits. */
struct needs {
    int words;
    uint64_t *bits; /* [node * words] */
};

static int count_bits(const uint64_t *bits, int words) {
    int n = 0;
    for (int w = 0; w < words; w++)
        n += __builtin_popcountll(bits[w]);
    return n;
}

static struct needs find_needs(struct fuse_arena *arena, const struct fuse_op *op) {
    struct needs needs = {.words = (op->inputs + 63) / 64};
    needs.bits = FUSE_NEW_ARRAY(arena, uint64_t, (int64_t)op->body->n * needs.words);
    for (int i = 0; i < op->body->n; i++) {
        const struct fuse_scalar_node *node = &op->body->node[i];
        uint64_t *bits = needs.bits + (size_t)i * (size_t)needs.words;
        const int argument[3] = {node->a, node->b, node->c};
        for (int k = 0; k < fuse_scalar_arity(node->op); k++)
            for (int w = 0; w < needs.words; w++)
                bits[w] |= needs.bits[(size_t)argument[k] * (size_t)needs.words + (size_t)w];
        if (node->op == FUSE_SCALAR_LOAD)
            bits[node->arg / 64] |= (uint64_t)1 << node->arg % 64;
    }
    return needs;
}

/* The node with the most inputs that one MAP may have. There is one with two or more: a node above it has at most three
 * arguments. */
static int choose_node(const struct fuse_op *op, const struct needs *needs) {
    int best = -1, most = 1;
    for (int i = 0; i < op->body->n; i++) {
        int n = count_bits(needs->bits + (size_t)i * (size_t)needs->words, needs->words);
        if (n > most && n <= FUSE_FUSED_INPUTS) {
            most = n;
            best = i;
        }
    }
    return best;
}

/* Copies into `to` the nodes of op's body that `root` needs; node `cut` (or -1) becomes a LOAD of input `cut_input`.
 * input[k] and index[x] say what LOAD and IOTA of the old numbers are called; unused ones are -1 and get the next
 * number, counted in *inputs and *indices. */
static int copy_nodes(struct fuse_body *to, const struct fuse_op *op, int root, int cut, int cut_input, int *input,
                      int *inputs, int *index, int *indices, struct fuse_arena *arena) {
    bool *wanted = FUSE_NEW_ARRAY(arena, bool, root + 1);
    int *copy = FUSE_NEW_ARRAY(arena, int, root + 1);
    wanted[root] = true;
    for (int i = root; i >= 0; i--) {
        const struct fuse_scalar_node *node = &op->body->node[i];
        const int argument[3] = {node->a, node->b, node->c};
        for (int k = 0; wanted[i] && i != cut && k < fuse_scalar_arity(node->op); k++)
            wanted[argument[k]] = true;
    }
    for (int i = 0; i <= root; i++) {
        if (!wanted[i])
            continue;
        struct fuse_scalar_node node = op->body->node[i];
        if (i == cut) {
            copy[i] = fuse_body_load(to, cut_input, node.dtype);
            continue;
        }
        int arity = fuse_scalar_arity(node.op);
        node.a = arity > 0 ? copy[node.a] : -1;
        node.b = arity > 1 ? copy[node.b] : -1;
        node.c = arity > 2 ? copy[node.c] : -1;
        if (node.op == FUSE_SCALAR_LOAD) {
            if (input[node.arg] < 0)
                input[node.arg] = (*inputs)++;
            node.arg = input[node.arg];
        } else if (node.op == FUSE_SCALAR_IOTA) {
            if (index[node.arg] < 0)
                index[node.arg] = (*indices)++;
            node.arg = index[node.arg];
        }
        copy[i] = fuse_body_add(to, node);
    }
    return copy[root];
}

/* The operation that computes node `root` of `op` as a tensor; *use is how `op` then reads it. */
static struct fuse_op *split_off(struct fuse_ir *ir, const struct fuse_op *op, int root, struct fuse_body *body,
                                 struct fuse_use *use) {
    struct fuse_op *part = FUSE_NEW(ir->arena, struct fuse_op);
    int *input = FUSE_NEW_ARRAY(ir->arena, int, op->inputs), index[FUSE_MAX_AXES];
    memset(input, -1, sizeof *input * (size_t)op->inputs);
    memset(index, -1, sizeof index);
    part->kind = FUSE_OP_MAP;
    part->span = op->span;
    fuse_body_reset(body);
    int result = copy_nodes(body, op, root, -1, -1, input, &part->inputs, index, &part->indices, ir->arena);
    part->body = fuse_body_finish(body, result);
    part->input = FUSE_NEW_ARRAY(ir->arena, struct fuse_use, part->inputs);
    for (int k = 0; k < op->inputs; k++) {
        if (input[k] < 0)
            continue;
        struct fuse_use *read = &part->input[input[k]];
        *read = op->input[k];
        for (int a = 0; a < read->access.rank; a++) {
            int x = read->access.at[a].index;
            if (x >= 0 && index[x] < 0)
                index[x] = part->indices++;
            read->access.at[a].index = x < 0 ? -1 : index[x];
        }
    }
    use->access = fuse_access_identity(part->indices);
    for (int x = 0; x < op->indices; x++)
        if (index[x] >= 0) {
            part->extent[index[x]] = op->extent[x];
            part->index_name[index[x]] = op->index_name[x];
            part->out_index[index[x]] = index[x];
            use->access.at[index[x]].index = x;
        }
    part->out = use->value =
        fuse_ir_add_value(ir, NULL, op->span, op->body->node[root].dtype, part->indices, part->extent);
    return part;
}

static void narrow(struct fuse_ir *ir, struct fuse_op *op, struct fuse_body *body) {
    while (op->inputs > FUSE_FUSED_INPUTS) {
        struct needs needs = find_needs(ir->arena, op);
        int node = choose_node(op, &needs);
        struct fuse_use *input = FUSE_NEW_ARRAY(ir->arena, struct fuse_use, op->inputs + 1);
        fuse_ir_push_op(ir, split_off(ir, op, node, body, &input[0]));
        int *number = FUSE_NEW_ARRAY(ir->arena, int, op->inputs), index[FUSE_MAX_AXES], inputs = 1, indices = 0;
        memset(number, -1, sizeof *number * (size_t)op->inputs);
        for (int x = 0; x < FUSE_MAX_AXES; x++)
            index[x] = x;
        fuse_body_reset(body);
        int result = copy_nodes(body, op, op->body->n - 1, node, 0, number, &inputs, index, &indices, ir->arena);
        op->body = fuse_body_finish(body, result);
        for (int k = 0; k < op->inputs; k++)
            if (number[k] >= 0)
                input[number[k]] = op->input[k];
        op->input = input;
        op->inputs = inputs;
    }
}

void fuse_ir_split(struct fuse_ir *ir) {
    struct fuse_body body = {.arena = ir->arena};
    int n = ir->ops.n;
    bool wide = false;
    for (int i = 0; i < n; i++)
        wide |= ir->ops.at[i]->kind == FUSE_OP_MAP && ir->ops.at[i]->inputs > FUSE_FUSED_INPUTS;
    if (!wide)
        return;
    struct fuse_op **old = FUSE_NEW_ARRAY(ir->arena, struct fuse_op *, n);
    memcpy(old, ir->ops.at, sizeof *old * (size_t)n);
    ir->ops.n = 0;
    for (int i = 0; i < n; i++) {
        if (old[i]->kind == FUSE_OP_MAP)
            narrow(ir, old[i], &body);
        fuse_ir_push_op(ir, old[i]);
    }
}
