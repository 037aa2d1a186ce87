/* Common sub-expressions: operations that are equal up to the names of their indices become one. */
#include "ir/ir.h"

#include "core/hash.h"
#include "ir/rewrite.h"

#include <string.h>

/* Numbers the indices of an operation by what they do: axes of the output in order, then projected ones in the order in
 * which the inputs and the body use them, then unused ones by extent. Operations that differ in names only are then equal
 * field by field. */
static void number_indices(int number[FUSE_MAX_AXES], const struct fuse_ir *ir, const struct fuse_op *op) {
    int next = 0;
    for (int x = 0; x < op->indices; x++)
        number[x] = -1;
    for (int a = 0; a < ir->values.at[op->out].rank; a++)
        number[op->out_index[a]] = next++;
    for (int i = 0; i < op->inputs; i++) {
        const struct fuse_access *access = &op->input[i].access;
        for (int a = 0; a < access->rank; a++)
            if (access->at[a].index >= 0 && number[access->at[a].index] < 0)
                number[access->at[a].index] = next++;
    }
    for (int i = 0; op->body && i < op->body->n; i++)
        if (op->body->node[i].op == FUSE_SCALAR_IOTA && number[op->body->node[i].arg] < 0)
            number[op->body->node[i].arg] = next++;
    while (next < op->indices) {
        int smallest = -1;
        for (int x = 0; x < op->indices; x++)
            if (number[x] < 0 && (smallest < 0 || op->extent[x] < op->extent[smallest]))
                smallest = x;
        number[smallest] = next++;
    }
}

static const struct fuse_scalar *renumber_body(struct fuse_ir *ir, const struct fuse_scalar *body, const int *number) {
    struct fuse_scalar *copy = FUSE_NEW(ir->arena, struct fuse_scalar);
    copy->n = body->n;
    copy->node = FUSE_NEW_ARRAY(ir->arena, struct fuse_scalar_node, body->n);
    for (int i = 0; i < body->n; i++) {
        copy->node[i] = body->node[i];
        if (body->node[i].op == FUSE_SCALAR_IOTA)
            copy->node[i].arg = number[body->node[i].arg];
    }
    return copy;
}

static void canonicalise(struct fuse_ir *ir, struct fuse_op *op) {
    int number[FUSE_MAX_AXES];
    bool moved = false;
    number_indices(number, ir, op);
    for (int i = 0; i < op->inputs; i++) {
        struct fuse_access *access = &op->input[i].access;
        for (int a = 0; a < access->rank; a++) {
            if (access->at[a].index >= 0)
                access->at[a].index = number[access->at[a].index];
            else
                access->at[a].stride = 0;
        }
    }
    for (int x = 0; x < op->indices; x++)
        moved |= number[x] != x;
    if (!moved)
        return;
    int64_t extent[FUSE_MAX_AXES];
    const char *name[FUSE_MAX_AXES];
    memcpy(extent, op->extent, sizeof extent);
    memcpy(name, op->index_name, sizeof name);
    for (int x = 0; x < op->indices; x++) {
        op->extent[number[x]] = extent[x];
        op->index_name[number[x]] = name[x];
    }
    for (int a = 0; a < ir->values.at[op->out].rank; a++)
        op->out_index[a] = a;
    if (op->body)
        op->body = renumber_body(ir, op->body, number);
}

static uint64_t hash_int(uint64_t hash, int64_t value) {
    hash = (hash ^ (uint64_t)value) * 0x9e3779b97f4a7c15ULL;
    return hash ^ hash >> 32;
}

static uint64_t hash_op(const struct fuse_ir *ir, const struct fuse_op *op) {
    const struct fuse_value *out = &ir->values.at[op->out];
    uint64_t hash = hash_int(FUSE_HASH_SEED, (int64_t)op->kind << 16 | (int64_t)out->dtype << 8 | (int64_t)op->reduce);
    for (int a = 0; a < out->rank; a++)
        hash = hash_int(hash, out->extent[a]);
    for (int x = out->rank; x < op->indices; x++)
        hash = hash_int(hash, op->extent[x]);
    for (int i = 0; i < op->inputs; i++) {
        const struct fuse_access *access = &op->input[i].access;
        hash = hash_int(hash, op->input[i].value);
        for (int a = 0; a < access->rank; a++) {
            hash = hash_int(hash, access->at[a].index);
            hash = hash_int(hash, access->at[a].stride);
            hash = hash_int(hash, access->at[a].offset);
            hash = hash_int(hash, access->at[a].divide);
            hash = hash_int(hash, access->at[a].modulo);
        }
    }
    if (op->kind == FUSE_OP_MAP || op->kind == FUSE_OP_JOIN) {
        for (int i = 0; i < op->body->n; i++) {
            const struct fuse_scalar_node *node = &op->body->node[i];
            uint64_t real;
            memcpy(&real, &node->real, sizeof real);
            hash = hash_int(hash, (int64_t)node->op << 32 | node->arg);
            hash = hash_int(hash, node->integer);
            hash = hash_int(hash, (int64_t)real);
        }
    } else if (op->kind == FUSE_OP_SOURCE) {
        hash = fuse_hash_string(hash, op->path);
    } else if (op->kind == FUSE_OP_LITERAL && op->draw) {
        hash = hash_int(hash, op->draw->seed);
    } else if (op->kind == FUSE_OP_LITERAL) {
        hash = fuse_hash_bytes(hash, op->data, (size_t)fuse_value_bytes(out));
    }
    return hash;
}

static bool is_same_body(const struct fuse_scalar *a, const struct fuse_scalar *b) {
    if (a->n != b->n)
        return false;
    for (int i = 0; i < a->n; i++) {
        const struct fuse_scalar_node *x = &a->node[i], *y = &b->node[i];
        if (x->op != y->op || x->dtype != y->dtype || x->a != y->a || x->b != y->b || x->c != y->c ||
            x->arg != y->arg || x->integer != y->integer || memcmp(&x->real, &y->real, sizeof x->real) != 0)
            return false;
    }
    return true;
}

static bool is_same_text(const char *a, const char *b) {
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool is_same_source(const struct fuse_op *a, const struct fuse_op *b) {
    const struct fuse_probe *p = &a->probe, *q = &b->probe;
    return is_same_text(a->path, b->path) && is_same_text(a->part, b->part) && p->rank == q->rank &&
           memcmp(p->extent, q->extent, (size_t)p->rank * sizeof *p->extent) == 0 &&
           memcmp(a->begin, b->begin, (size_t)p->rank * sizeof *a->begin) == 0 && p->file_dtype == q->file_dtype &&
           p->big_endian == q->big_endian && p->reversed == q->reversed && p->data_offset == q->data_offset &&
           p->file_bytes == q->file_bytes && p->digest == q->digest && p->index == q->index && p->tally == q->tally;
}

static bool is_same_op(const struct fuse_ir *ir, const struct fuse_op *a, const struct fuse_op *b) {
    const struct fuse_value *x = &ir->values.at[a->out], *y = &ir->values.at[b->out];
    if (a->kind != b->kind || x->dtype != y->dtype || x->rank != y->rank || a->indices != b->indices ||
        a->inputs != b->inputs || a->reduce != b->reduce || a->mean != b->mean ||
        memcmp(x->extent, y->extent, (size_t)x->rank * sizeof *x->extent) != 0 ||
        memcmp(a->extent, b->extent, (size_t)a->indices * sizeof *a->extent) != 0)
        return false;
    for (int i = 0; i < a->inputs; i++)
        if (a->input[i].value != b->input[i].value || !fuse_access_equal(&a->input[i].access, &b->input[i].access))
            return false;
    switch (a->kind) {
    case FUSE_OP_SOURCE: return is_same_source(a, b);
    case FUSE_OP_LITERAL:
        if (a->draw || b->draw)
            return a->draw && b->draw && memcmp(a->draw, b->draw, sizeof *a->draw) == 0;
        return memcmp(a->data, b->data, (size_t)fuse_value_bytes(x)) == 0;
    case FUSE_OP_MAP:
    case FUSE_OP_JOIN: return is_same_body(a->body, b->body);
    case FUSE_OP_EINSUM:
    case FUSE_OP_SPARSIFY: return true;
    case FUSE_OP_DERIVED: return a->derived == b->derived;
    case FUSE_OP_ATTENTION: /* made when nothing is left to share */
    case FUSE_OP_RULES:
    case FUSE_OP_CARRY:
    case FUSE_OP_FIXPOINT:
    case FUSE_OP_SINK: break;
    }
    return false;
}

/* Two values about whose layouts something is said stay two. */
static bool may_be_one(const struct fuse_ir *ir, int first, int second) {
    return ir->values.at[first].pin == 0 || ir->values.at[second].pin == 0;
}

void fuse_ir_share(struct fuse_ir *ir) {
    int slots = 64;
    while (slots < 2 * ir->ops.n)
        slots *= 2;
    int *table = FUSE_NEW_ARRAY(ir->arena, int, slots); /* operation + 1 */
    uint64_t *hashes = FUSE_NEW_ARRAY(ir->arena, uint64_t, slots);
    int *same = FUSE_NEW_ARRAY(ir->arena, int, ir->values.n);

    for (int i = 0; i < ir->ops.n; i++) {
        struct fuse_op *op = ir->ops.at[i];
        for (int k = 0; k < op->inputs; k++)
            op->input[k].value = same[op->input[k].value];
        if (op->kind == FUSE_OP_SINK)
            continue;
        if (op->kind == FUSE_OP_EINSUM || op->kind == FUSE_OP_MAP || op->kind == FUSE_OP_JOIN)
            canonicalise(ir, op);
        uint64_t hash = hash_op(ir, op);
        int at = (int)(hash & (uint64_t)(slots - 1));
        while (table[at] && (hashes[at] != hash || !is_same_op(ir, ir->ops.at[table[at] - 1], op) ||
                             !may_be_one(ir, ir->ops.at[table[at] - 1]->out, op->out)))
            at = (at + 1) & (slots - 1);
        if (table[at]) {
            struct fuse_value *first = &ir->values.at[ir->ops.at[table[at] - 1]->out];
            const struct fuse_value *second = &ir->values.at[op->out];
            same[op->out] = ir->ops.at[table[at] - 1]->out;
            if ((!first->name && second->name) || second->pin > 0) {
                first->name = second->name;
                first->span = second->span;
            }
            if (second->pin > 0)
                first->pin = second->pin;
            continue;
        }
        table[at] = i + 1;
        hashes[at] = hash;
        same[op->out] = op->out;
    }
}
