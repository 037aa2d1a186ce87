#include "ir/ir.h"

#include "ir/rewrite.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const kind_name[] = {"source", "literal", "einsum", "map",      "join", "sparsify",
                                        "rules",  "derived", "carry",  "fixpoint", "sink", "attention"};

/* Which operation is being looked at, for the messages. */
struct verifier {
    const struct fuse_ir *ir;
    const struct fuse_op *op;
    int number;
    struct fuse_error *err;
};

__attribute__((format(printf, 2, 3))) static enum fuse_status broken(struct verifier *v, const char *format, ...) {
    char what[256];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return fuse_fail_at(v->err, FUSE_EBUG, v->op->span, "ir: operation %d (%s): %s", v->number,
                        (unsigned)v->op->kind <= FUSE_OP_ATTENTION ? kind_name[v->op->kind] : "unknown kind", what);
}

static bool is_resident(enum fuse_dtype dtype) {
    return (unsigned)dtype < FUSE_DTYPES && fuse_dtype_resident(dtype) == dtype;
}

static enum fuse_status verify_values(const struct fuse_ir *ir, struct fuse_error *err) {
    for (int v = 0; v < ir->values.n; v++) {
        const struct fuse_value *value = &ir->values.at[v];
        if (!is_resident(value->dtype))
            return fuse_fail_at(err, FUSE_EBUG, value->span, "ir: value %d has a dtype that exists in files only", v);
        if ((unsigned)value->storage > FUSE_STORAGE_RELATION)
            return fuse_fail_at(err, FUSE_EBUG, value->span, "ir: value %d has an unknown storage", v);
        if (value->rank < 0 || value->rank > FUSE_MAX_AXES)
            return fuse_fail_at(err, FUSE_EBUG, value->span, "ir: value %d has rank %d", v, value->rank);
        for (int a = 0; a < value->rank; a++)
            if (value->extent[a] < 0 || value->extent[a] > FUSE_MAX_COORDINATE)
                return fuse_fail_at(err, FUSE_EBUG, value->span, "ir: axis %d of value %d has extent %" PRId64, a, v,
                                    value->extent[a]);
        if (value->op < 0 || value->op >= ir->ops.n || ir->ops.at[value->op]->out != v)
            return fuse_fail_at(err, FUSE_EBUG, value->span, "ir: value %d is not made by operation %d", v, value->op);
    }
    return FUSE_OK;
}

static enum fuse_status verify_indices(struct verifier *v) {
    const struct fuse_op *op = v->op;
    if (op->indices < 0 || op->indices > FUSE_MAX_AXES)
        return broken(v, "%d indices", op->indices);
    for (int x = 0; x < op->indices; x++) {
        if (op->extent[x] < 0 || op->extent[x] > FUSE_MAX_COORDINATE)
            return broken(v, "index %d has extent %" PRId64, x, op->extent[x]);
        for (int y = 0; y < x; y++)
            if (op->index_name[x] && op->index_name[y] && strcmp(op->index_name[x], op->index_name[y]) == 0)
                return broken(v, "two indices are called %s", op->index_name[x]);
    }
    return FUSE_OK;
}

/* One index that reads two neighbouring axes whole: the first by its quotient, the second by its remainder. */
static bool is_half_of_pair(const struct fuse_op *op, const struct fuse_access *access, const struct fuse_value *value,
                            int axis) {
    int first = access->at[axis].divide > 0 ? axis : axis - 1;
    if (first < 0 || first + 1 >= access->rank)
        return false;
    const struct fuse_access_axis *quotient = &access->at[first], *remainder = &access->at[first + 1];
    int64_t width = value->extent[first + 1], all;
    return quotient->index == remainder->index && quotient->stride == 1 && remainder->stride == 1 &&
           quotient->offset == 0 && remainder->offset == 0 && quotient->divide == width && quotient->modulo == 0 &&
           remainder->divide == 0 && remainder->modulo == width &&
           !__builtin_mul_overflow(value->extent[first], width, &all) && op->extent[quotient->index] == all;
}

static enum fuse_status verify_access(struct verifier *v, int input) {
    const struct fuse_use *use = &v->op->input[input];
    if (use->value < 0 || use->value >= v->ir->values.n)
        return broken(v, "input %d is value %d of %d", input, use->value, v->ir->values.n);
    const struct fuse_value *value = &v->ir->values.at[use->value];
    if (value->op >= v->number)
        return broken(v, "input %d is made by operation %d, which does not come earlier", input, value->op);
    if (use->access.rank != value->rank)
        return broken(v, "input %d of rank %d is read through %d axes", input, value->rank, use->access.rank);
    for (int a = 0; a < value->rank; a++) {
        int index = use->access.at[a].index;
        int64_t offset = use->access.at[a].offset, last;
        if (index < -1 || index >= v->op->indices)
            return broken(v, "axis %d of input %d is read through index %d of %d", a, input, index, v->op->indices);
        if (offset < -FUSE_MAX_COORDINATE || offset > FUSE_MAX_COORDINATE)
            return broken(v, "axis %d of input %d is read at offset %" PRId64, a, input, offset);
        if (index >= 0 && v->op->extent[index] > 0 &&
            (__builtin_mul_overflow(use->access.at[a].stride, v->op->extent[index] - 1, &last) ||
             last < -FUSE_MAX_COORDINATE || last > FUSE_MAX_COORDINATE))
            return broken(v, "axis %d of input %d is read at stride %" PRId64, a, input, use->access.at[a].stride);
        if (fuse_access_is_paired(&use->access.at[a]) && !is_half_of_pair(v->op, &use->access, value, a))
            return broken(v, "axis %d of input %d is no half of a pair of axes", a, input);
    }
    return FUSE_OK;
}

/* Every axis of the output is one distinct index, and the rest is projected exactly when there is an operator for it. */
static enum fuse_status verify_projection(struct verifier *v) {
    const struct fuse_op *op = v->op;
    const struct fuse_value *out = &v->ir->values.at[op->out];
    uint32_t seen = 0;
    for (int a = 0; a < out->rank; a++) {
        int index = op->out_index[a];
        if (index < 0 || index >= op->indices)
            return broken(v, "axis %d of the output is index %d of %d", a, index, op->indices);
        if (seen >> index & 1)
            return broken(v, "index %d is two axes of the output", index);
        if (op->extent[index] != out->extent[a])
            return broken(v, "axis %d of the output has extent %" PRId64 ", its index %" PRId64, a, out->extent[a],
                          op->extent[index]);
        seen |= (uint32_t)1 << index;
    }
    if ((unsigned)op->reduce > FUSE_REDUCE_AND)
        return broken(v, "unknown reduction %d", (int)op->reduce);
    bool reduces = op->reduce != FUSE_REDUCE_NONE;
    if (op->kind == FUSE_OP_JOIN ? !reduces : reduces != (out->rank != op->indices))
        return broken(v, "reduction %s with %d projected indices", fuse_reduce_name(op->reduce),
                      op->indices - out->rank);
    return FUSE_OK;
}

static enum fuse_status verify_einsum(struct verifier *v) {
    enum fuse_dtype dtype = v->ir->values.at[v->op->out].dtype;
    if (v->op->inputs < 1)
        return broken(v, "a product of nothing");
    if (dtype != fuse_dtype_compute(dtype))
        return broken(v, "an accumulator of type %s", fuse_dtype_name(dtype));
    for (int k = 0; dtype == FUSE_BOOL && k < v->op->inputs; k++)
        if (v->ir->values.at[v->op->input[k].value].dtype != FUSE_BOOL)
            return broken(v, "a truth from input %d, which is none", k);
    if (v->op->reduce != FUSE_REDUCE_NONE && v->op->reduce != fuse_product_reduce(dtype))
        return broken(v, "reduction %s", fuse_reduce_name(v->op->reduce));
    return FUSE_OK;
}

static enum fuse_status verify_map(struct verifier *v) {
    const struct fuse_scalar *body = v->op->body;
    if (!body || body->n < 1)
        return broken(v, "no body");
    enum fuse_status st = fuse_scalar_verify(body, v->op->inputs, v->op->indices, v->err);
    if (st != FUSE_OK) {
        fuse_note(v->err, "in the body of operation %d", v->number);
        return st;
    }
    for (int i = 0; i < body->n; i++) {
        if (body->node[i].op != FUSE_SCALAR_LOAD)
            continue;
        enum fuse_dtype dtype = v->ir->values.at[v->op->input[body->node[i].arg].value].dtype;
        if (body->node[i].dtype != fuse_dtype_compute(dtype))
            return broken(v, "input %d of type %s is loaded as %s", body->node[i].arg, fuse_dtype_name(dtype),
                          fuse_dtype_name(body->node[i].dtype));
    }
    bool is_bool = body->node[body->n - 1].dtype == FUSE_BOOL;
    if (v->op->kind == FUSE_OP_JOIN && v->ir->values.at[v->op->out].dtype != body->node[body->n - 1].dtype)
        return broken(v, "an output of another type than the body");
    for (int i = 0; v->op->kind == FUSE_OP_JOIN && i < body->n; i++)
        if (body->node[i].op == FUSE_SCALAR_IOTA)
            return broken(v, "an index in the body");
    bool wants_bool = v->op->reduce == FUSE_REDUCE_OR || v->op->reduce == FUSE_REDUCE_AND;
    if (v->op->reduce != FUSE_REDUCE_NONE && is_bool != wants_bool)
        return broken(v, "reduction %s of %s", fuse_reduce_name(v->op->reduce),
                      fuse_dtype_name(body->node[body->n - 1].dtype));
    return FUSE_OK;
}

static bool reads(const struct fuse_use *use, int index) {
    for (int a = 0; a < use->access.rank; a++)
        if (use->access.at[a].index == index)
            return true;
    return false;
}

/* What projects two indices, keys and depth, and whose operands are of one type. */
static enum fuse_status verify_attention(struct verifier *v) {
    const struct fuse_op *op = v->op;
    const enum fuse_dtype dtype = v->ir->values.at[op->out].dtype;
    if (op->inputs < 3 || op->reduce != FUSE_REDUCE_SUM || (dtype != FUSE_F32 && dtype != FUSE_F64) ||
        op->body->node[op->body->n - 1].dtype != dtype)
        return broken(v, "no queries, keys and values");
    for (int k = 0; k < 3; k++)
        if (v->ir->values.at[op->input[k].value].dtype != dtype)
            return broken(v, "input %d has another type", k);
    for (int i = 0; i < op->body->n; i++)
        if (op->body->node[i].op == FUSE_SCALAR_LOAD && (op->body->node[i].arg == 1 || op->body->node[i].arg == 2))
            return broken(v, "keys or values in the body");
    int key, depth;
    if (!fuse_attention_indices(v->ir, op, &key, &depth))
        return broken(v, "no indices of keys and of depth");
    for (int k = 0; k < op->inputs; k++)
        if ((k == 0 && reads(&op->input[k], key)) || (k > 1 && reads(&op->input[k], depth)))
            return broken(v, "input %d is read along an index that it cannot have", k);
    for (int i = 0; i < op->body->n; i++)
        if (op->body->node[i].op == FUSE_SCALAR_IOTA && op->body->node[i].arg == depth)
            return broken(v, "the depth in the body");
    return FUSE_OK;
}

/* Which inputs may be relations, and how they are read. */
static enum fuse_status verify_relations(struct verifier *v) {
    const struct fuse_op *op = v->op;
    bool whole = op->kind == FUSE_OP_SOURCE || op->kind == FUSE_OP_RULES || op->kind == FUSE_OP_DERIVED;
    bool may = whole || op->kind == FUSE_OP_JOIN || op->kind == FUSE_OP_EINSUM;
    for (int k = 0; k < op->inputs; k++) {
        int value = op->input[k].value;
        bool is_relation = fuse_is_relation(v->ir, value);
        bool is_stored = op->kind == FUSE_OP_SINK && is_relation && fuse_is_derived(v->ir, value);
        if (is_relation && !is_stored && (!may || (k > 0 && !whole)))
            return broken(v, "input %d is a relation", k);
        if (!is_relation && (whole || (k == 0 && op->kind == FUSE_OP_JOIN)))
            return broken(v, "input %d is no relation", k);
        if ((v->ir->ops.at[v->ir->values.at[value].op]->kind == FUSE_OP_RULES) != (op->kind == FUSE_OP_DERIVED))
            return broken(v, "input %d is rules, or should be", k);
        for (int a = 0; is_relation && a < op->input[k].access.rank; a++) {
            const struct fuse_access_axis *at = &op->input[k].access.at[a];
            if (fuse_access_is_paired(at) || (at->index >= 0 && at->stride == 0))
                return broken(v, "axis %d of a relation is read through no index of its own", a);
        }
    }
    return op->kind == FUSE_OP_JOIN && op->inputs == 0 ? broken(v, "no relation") : FUSE_OK;
}

static enum fuse_status verify_source(struct verifier *v) {
    const struct fuse_value *out = &v->ir->values.at[v->op->out];
    const struct fuse_probe *probe = &v->op->probe;
    if (!v->op->path)
        return broken(v, "no path");
    if ((out->storage == FUSE_STORAGE_RELATION) != (probe->tally != NULL))
        return broken(v, "rows in an array, or the reverse");
    if (probe->tally) {
        int columns = probe->tally->columns;
        if (columns != 0 && columns != out->rank && columns != out->rank + 1)
            return broken(v, "%d columns for a relation of rank %d", columns, out->rank);
        if (out->dtype != FUSE_BOOL && (out->dtype != FUSE_F32 && out->dtype != FUSE_F64))
            return broken(v, "a relation of type %s", fuse_dtype_name(out->dtype));
        return FUSE_OK;
    }
    if (probe->rank != out->rank || (unsigned)probe->file_dtype >= FUSE_DTYPES ||
        fuse_dtype_resident(probe->file_dtype) != out->dtype)
        return broken(v, "the probe's rank or dtype is not the value's");
    for (int a = 0; a < out->rank; a++)
        if (v->op->begin[a] < 0 || out->extent[a] > probe->extent[a] - v->op->begin[a])
            return broken(v, "axis %d is %" PRId64 " elements from %" PRId64 " on, of %" PRId64 " in the file", a,
                          out->extent[a], v->op->begin[a], probe->extent[a]);
    return FUSE_OK;
}

static bool is_identity(const struct fuse_op *op, const struct fuse_value *value) {
    const struct fuse_access *access = &op->input[0].access;
    bool is = op->inputs == 1 && op->indices == value->rank;
    for (int a = 0; is && a < value->rank; a++)
        is = access->at[a].index == a && access->at[a].stride == 1 && access->at[a].offset == 0 &&
             op->extent[a] == value->extent[a];
    return is;
}

static enum fuse_status verify_sink(struct verifier *v) {
    const struct fuse_op *op = v->op;
    if (!op->path && !op->part)
        return broken(v, "no path and no name");
    if (op->out != -1 || op->inputs != 1)
        return broken(v, "output %d, %d inputs", op->out, op->inputs);
    const struct fuse_use *use = &op->input[0];
    const struct fuse_value *value = &v->ir->values.at[use->value];
    if (op->indices != value->rank)
        return broken(v, "%d indices for a value of rank %d", op->indices, value->rank);
    if (op->ranking && (value->rank < 2 || value->extent[value->rank - 1] != 2 ||
                        (value->dtype != FUSE_F64 && value->dtype != FUSE_I64)))
        return broken(v, "a ranking that is no list of pairs");
    if (op->reduce != FUSE_REDUCE_NONE && ((op->reduce != FUSE_REDUCE_MIN && op->reduce != FUSE_REDUCE_MAX) ||
                                           fuse_dtype_class(value->dtype) != FUSE_CLASS_REAL))
        return broken(v, "cells that are absent in a type without infinities, or of another reduction");
    return is_identity(op, value) ? FUSE_OK : broken(v, "it does not read its input through the identity");
}

/* A value is what the rules say of their relation. */
static bool is_of(const struct fuse_value *value, const struct fuse_rule_relation *relation) {
    bool is = value->dtype == relation->dtype && value->rank == relation->columns;
    for (int a = 0; is && a < value->rank; a++)
        is = value->extent[a] == relation->extent[a];
    return is;
}

static enum fuse_status verify_sparsify(struct verifier *v) {
    const struct fuse_value *out = &v->ir->values.at[v->op->out];
    if (v->op->inputs != 1 || fuse_is_relation(v->ir, v->op->input[0].value) || !fuse_is_relation(v->ir, v->op->out))
        return broken(v, "it makes a relation of one dense value");
    const struct fuse_value *in = &v->ir->values.at[v->op->input[0].value];
    if (!is_identity(v->op, in) || out->rank != in->rank || out->dtype != fuse_dtype_compute(in->dtype))
        return broken(v, "a relation of another form than the value");
    for (int a = 0; a < in->rank; a++)
        if (in->extent[a] != out->extent[a] || v->op->out_index[a] != a)
            return broken(v, "axis %d is another one", a);
    return FUSE_OK;
}

static enum fuse_status verify_rules(struct verifier *v) {
    const struct fuse_op *op = v->op;
    const struct fuse_value *out = &v->ir->values.at[op->out];
    if (!op->rules || out->rank != 0 || out->storage != FUSE_STORAGE_RELATION || out->dtype != FUSE_BOOL)
        return broken(v, "no rules, or a value that cannot stand for them");
    for (int k = 0; k < op->inputs; k++)
        if (op->feed[k] < 0 || op->feed[k] >= op->rules->relations)
            return broken(v, "input %d is relation %d of %d", k, op->feed[k], op->rules->relations);
        else if (!is_of(&v->ir->values.at[op->input[k].value], &op->rules->relation[op->feed[k]]))
            return broken(v, "input %d is another relation than '%s'", k, op->rules->relation[op->feed[k]].name);
    return fuse_rules_verify(op->rules, v->err);
}

static enum fuse_status verify_derived(struct verifier *v) {
    const struct fuse_op *op = v->op;
    if (op->inputs != 1 || !fuse_is_relation(v->ir, op->out))
        return broken(v, "it is one relation of some rules");
    const struct fuse_rules *rules = v->ir->ops.at[v->ir->values.at[op->input[0].value].op]->rules;
    if (op->derived < 0 || op->derived >= rules->relations)
        return broken(v, "relation %d of %d", op->derived, rules->relations);
    return is_of(&v->ir->values.at[op->out], &rules->relation[op->derived]) ? FUSE_OK : broken(v, "another relation");
}

/* Input `input` is read through the identity, and is like the output. */
static bool is_like_output(const struct verifier *v, int input) {
    const struct fuse_op *op = v->op;
    const struct fuse_use *use = &op->input[input];
    const struct fuse_value *in = &v->ir->values.at[use->value], *out = &v->ir->values.at[op->out];
    bool is = in->dtype == out->dtype && in->rank == out->rank && use->access.rank == out->rank;
    for (int a = 0; is && a < out->rank; a++)
        is = use->access.at[a].index == a && use->access.at[a].stride == 1 && use->access.at[a].offset == 0 &&
             in->extent[a] == out->extent[a];
    return is;
}

static enum fuse_status verify_recursion(struct verifier *v) {
    const struct fuse_op *op = v->op;
    const struct fuse_value *out = &v->ir->values.at[op->out];
    bool is_carry = op->kind == FUSE_OP_CARRY;
    if (op->until < 0 || op->inputs != (is_carry ? 0 : 3) || op->indices != out->rank ||
        out->storage != FUSE_STORAGE_DENSE)
        return broken(v, "recursion %d, %d inputs, %d indices", op->until, op->inputs, op->indices);
    FUSE_TRY(verify_projection(v));
    for (int a = 0; a < out->rank; a++)
        if (op->out_index[a] != a)
            return broken(v, "axis %d is another one", a);
    if (is_carry)
        return verify_map(v);
    for (int o = 0; o < v->number - 1; o++) {
        const struct fuse_op *other = v->ir->ops.at[o], *next = v->ir->ops.at[o + 1];
        if (other->kind == FUSE_OP_FIXPOINT && other->until == op->until &&
            (next->kind != FUSE_OP_FIXPOINT || next->until != op->until))
            return broken(v, "it stands apart from another one of its recursion");
    }
    const struct fuse_op *carry = v->ir->ops.at[v->ir->values.at[op->input[0].value].op];
    const struct fuse_value *moves = &v->ir->values.at[op->input[2].value];
    if (carry->kind != FUSE_OP_CARRY || carry->until != op->until)
        return broken(v, "what it begins with is not carried");
    if (!is_like_output(v, 0) || !is_like_output(v, 1) || moves->rank != 0 || moves->dtype != FUSE_F64)
        return broken(v, "inputs of another form");
    return FUSE_OK;
}

static enum fuse_status verify_op(struct verifier *v) {
    const struct fuse_op *op = v->op;
    if ((unsigned)op->kind > FUSE_OP_ATTENTION)
        return broken(v, "kind %d", (int)op->kind);
    FUSE_TRY(verify_indices(v));
    if (op->inputs < 0)
        return broken(v, "%d inputs", op->inputs);
    for (int i = 0; i < op->inputs; i++)
        FUSE_TRY(verify_access(v, i));
    FUSE_TRY(verify_relations(v));
    if (op->kind == FUSE_OP_SINK)
        return verify_sink(v);

    if (op->out < 0 || op->out >= v->ir->values.n || v->ir->values.at[op->out].op != v->number)
        return broken(v, "output %d is not a value that names it as its operation", op->out);
    if (op->kind == FUSE_OP_SOURCE || op->kind == FUSE_OP_LITERAL) {
        if ((op->inputs != 0 && !op->probe.tally) || op->indices != 0)
            return broken(v, "%d inputs and %d indices", op->inputs, op->indices);
        if (op->kind == FUSE_OP_SOURCE)
            return verify_source(v);
        if ((v->ir->values.at[op->out].storage == FUSE_STORAGE_RELATION) != (op->draw != NULL) ||
            (op->draw && (!op->probe.tally || op->draw->indices + 1 != v->ir->values.at[op->out].rank)))
            return broken(v, "drawn points in an array, or the reverse");
        return op->data || op->draw ? FUSE_OK : broken(v, "no data");
    }
    switch (op->kind) {
    case FUSE_OP_SPARSIFY: return verify_sparsify(v);
    case FUSE_OP_RULES: return verify_rules(v);
    case FUSE_OP_DERIVED: return verify_derived(v);
    case FUSE_OP_CARRY:
    case FUSE_OP_FIXPOINT: return verify_recursion(v);
    default: break;
    }
    FUSE_TRY(verify_projection(v));
    if (op->kind == FUSE_OP_EINSUM)
        return verify_einsum(v);
    FUSE_TRY(verify_map(v));
    return op->kind == FUSE_OP_ATTENTION ? verify_attention(v) : FUSE_OK;
}

enum fuse_status fuse_ir_verify(const struct fuse_ir *ir, struct fuse_error *err) {
    FUSE_TRY(verify_values(ir, err));
    for (int i = 0; i < ir->ops.n; i++) {
        struct verifier v = {.ir = ir, .op = ir->ops.at[i], .number = i, .err = err};
        FUSE_TRY(verify_op(&v));
    }
    return FUSE_OK;
}
