#include "lang/lower.h"

#include <string.h>

/* Bytes of one value. */
#define MAX_BYTES ((int64_t)1 << 62)

bool fuse_is_load(const struct fuse_term *term) {
    return term->node.op == FUSE_SCALAR_LOAD;
}

static int set_to_list(uint64_t set, int out[FUSE_MAX_INDICES]) {
    int n = 0;
    for (int k = 0; k < FUSE_MAX_INDICES; k++)
        if (set & FUSE_BIT(k))
            out[n++] = k;
    return n;
}

/* Names are unique in an operation: an index that a reduction took may be called like one outside. */
static const char *unique_name(struct fuse_lowering *l, const struct fuse_op *op, int indices, const char *name) {
    if (!name)
        return NULL;
    for (int k = 0; k < indices; k++)
        if (op->index_name[k] && strcmp(op->index_name[k], name) == 0)
            return unique_name(l, op, indices, fuse_arena_printf(l->c->arena, "%s'", name));
    return name;
}

/* Fills the iteration space; local[k] is where index k of the equation went. */
static bool open_space(struct fuse_lowering *l, struct fuse_op *op, const int *out, int rank, uint64_t reduced,
                       int local[FUSE_MAX_INDICES]) {
    int list[2 * FUSE_MAX_INDICES], n = rank;
    if (rank > 0)
        memcpy(list, out, (size_t)rank * sizeof *out);
    n += set_to_list(reduced, list + rank);
    if (n > FUSE_MAX_AXES) {
        if (!l->failed)
            fuse_complain(l->c, l->here, "%d indices meet here; %d are the most", n, FUSE_MAX_AXES);
        l->failed = true;
        return false;
    }
    for (int k = 0; k < FUSE_MAX_INDICES; k++)
        local[k] = -1;
    for (int k = 0; k < n; k++) {
        local[list[k]] = k;
        op->extent[k] = l->extent[list[k]];
        op->index_name[k] = unique_name(l, op, k, l->name[list[k]]);
        if (k < rank)
            op->out_index[k] = k;
    }
    op->indices = n;
    return true;
}

static int add_output(struct fuse_lowering *l, const struct fuse_op *op, int rank, enum fuse_dtype dtype,
                      const char *name) {
    int64_t bytes = (int64_t)fuse_dtype_bytes(dtype);
    bool empty = false;
    for (int a = 0; a < rank; a++) {
        bytes = fuse_sat_mul(bytes, op->extent[a]);
        empty |= op->extent[a] == 0;
    }
    if (bytes > MAX_BYTES && !empty && !l->failed) {
        fuse_complain(l->c, l->here, "an intermediate of this size cannot be addressed");
        l->failed = true;
    }
    return fuse_ir_add_value(l->c->ir, name, l->span, dtype, rank, op->extent);
}

static struct fuse_access local_access(const struct fuse_access *access, const int local[FUSE_MAX_INDICES]) {
    struct fuse_access result = *access;
    for (int a = 0; a < access->rank; a++)
        if (access->at[a].index >= 0)
            result.at[a].index = local[access->at[a].index];
    return result;
}

bool fuse_same_access(const struct fuse_access *a, const struct fuse_access *b) {
    for (int k = 0; k < a->rank; k++)
        if (a->at[k].index != b->at[k].index || a->at[k].stride != b->at[k].stride ||
            a->at[k].offset != b->at[k].offset)
            return false;
    return a->rank == b->rank;
}

/* ---- MAP ------------------------------------------------------------------------------------------------------- */

struct body {
    struct fuse_lowering *l;
    const int *local;
    const struct fuse_use *counted; /* of a JOIN, per index of the equation: a value that holds the index itself */
    FUSE_VEC(struct fuse_scalar_node) node;
    FUSE_VEC(struct fuse_use) input;
};

static int add_input(struct body *body, const struct fuse_use *use) {
    struct fuse_use mine = {.value = use->value, .access = local_access(&use->access, body->local)};
    for (int k = 0; k < body->input.n; k++)
        if (body->input.at[k].value == mine.value && fuse_same_access(&body->input.at[k].access, &mine.access))
            return k;
    fuse_vec_push(body->l->c->arena, &body->input, mine);
    return body->input.n - 1;
}

static int add_node(struct body *body, struct fuse_term *term) {
    if (term->epoch == body->l->epoch)
        return term->slot;
    struct fuse_scalar_node node = term->node;
    node.a = term->a ? add_node(body, term->a) : -1;
    node.b = term->b ? add_node(body, term->b) : -1;
    node.c = term->c ? add_node(body, term->c) : -1;
    if (node.op == FUSE_SCALAR_LOAD)
        node.arg = add_input(body, term->use);
    else if (node.op == FUSE_SCALAR_IOTA && body->counted) {
        node.op = FUSE_SCALAR_LOAD;
        node.arg = add_input(body, &body->counted[node.arg]);
    } else if (node.op == FUSE_SCALAR_IOTA)
        node.arg = body->local[node.arg];
    fuse_vec_push(body->l->c->arena, &body->node, node);
    term->epoch = body->l->epoch;
    return term->slot = body->node.n - 1;
}

static uint64_t counted_indices(struct fuse_lowering *l, struct fuse_term *term) {
    if (!term || term->epoch == l->epoch)
        return 0;
    term->epoch = l->epoch;
    uint64_t own = term->node.op == FUSE_SCALAR_IOTA ? FUSE_BIT(term->node.arg) : 0;
    return own | counted_indices(l, term->a) | counted_indices(l, term->b) | counted_indices(l, term->c);
}

/* Tuples have no index that counts: those that the term uses become values. */
static const struct fuse_use *count_indices(struct fuse_lowering *l, struct fuse_term *term) {
    struct fuse_use *use = FUSE_NEW_ARRAY(l->c->arena, struct fuse_use, FUSE_MAX_INDICES);
    l->epoch++;
    uint64_t set = counted_indices(l, term);
    for (int k = 0; k < FUSE_MAX_INDICES; k++)
        if (set & FUSE_BIT(k)) {
            use[k].value = fuse_emit_map(l, fuse_term_iota(l, k), &k, 1, 0, FUSE_REDUCE_NONE, FUSE_I64, NULL);
            use[k].access = fuse_access_identity(1);
            use[k].access.at[0].index = k;
        }
    return use;
}

int fuse_emit_map(struct fuse_lowering *l, struct fuse_term *term, const int *out, int rank, uint64_t reduced,
                  enum fuse_reduce reduce, enum fuse_dtype dtype, const char *name) {
    struct fuse_op op = {
        .kind = FUSE_OP_MAP, .span = l->span, .owner = l->owner, .reduce = reduced ? reduce : FUSE_REDUCE_NONE};
    int local[FUSE_MAX_INDICES];
    if (!open_space(l, &op, out, rank, reduced, local))
        return -1;
    struct body body = {.l = l, .local = local};
    if (term->relation) {
        op.kind = FUSE_OP_JOIN;
        op.reduce = reduce != FUSE_REDUCE_NONE      ? reduce
                    : term->node.dtype == FUSE_BOOL ? FUSE_REDUCE_OR
                                                    : FUSE_REDUCE_SUM;
        dtype = term->node.dtype;
        body.counted = count_indices(l, term);
        add_input(&body, term->relation);
    }
    l->epoch++;
    add_node(&body, term);
    struct fuse_scalar *scalar = FUSE_NEW(l->c->arena, struct fuse_scalar);
    scalar->n = body.node.n;
    scalar->node = body.node.at;
    op.body = scalar;
    op.inputs = body.input.n;
    op.input = body.input.at;
    op.out = add_output(l, &op, rank, dtype, name);
    fuse_ir_add_op(l->c->ir, &op);
    return op.out;
}

/* ---- values and their loads ------------------------------------------------------------------------------------ */

static struct fuse_term *load_axes(struct fuse_lowering *l, int value, const int *axes, int rank) {
    struct fuse_access access = fuse_access_identity(rank);
    for (int a = 0; a < rank; a++)
        access.at[a].index = axes[a];
    return fuse_term_load(l, value, &access);
}

/* Something to go on with after a failure that was reported. */
static struct fuse_term *stand_in(struct fuse_lowering *l, enum fuse_dtype dtype) {
    if (dtype == FUSE_BOOL)
        return fuse_term_bool(l, false);
    return dtype == FUSE_I64 ? fuse_term_integer(l, 0) : fuse_term_real(l, dtype, 0);
}

int fuse_whole_value(const struct fuse_lowering *l, const struct fuse_term *term) {
    if (!fuse_is_load(term) || term->relation)
        return -1;
    const struct fuse_access *access = &term->use->access;
    for (int a = 0; a < access->rank; a++) {
        int index = access->at[a].index;
        if (index < 0 || access->at[a].stride != 1 || access->at[a].offset != 0 ||
            l->extent[index] != l->c->ir->values.at[term->use->value].extent[a] ||
            (a > 0 && index <= access->at[a - 1].index))
            return -1;
    }
    return term->use->value;
}

struct fuse_term *fuse_materialise(struct fuse_lowering *l, struct fuse_term *term) {
    int axes[FUSE_MAX_INDICES], rank = set_to_list(term->axes, axes);
    if (fuse_whole_value(l, term) >= 0)
        return term;
    int value = fuse_emit_map(l, term, axes, rank, 0, FUSE_REDUCE_NONE, term->node.dtype, NULL);
    return value < 0 ? stand_in(l, term->node.dtype) : load_axes(l, value, axes, rank);
}

struct fuse_term *fuse_settle(struct fuse_lowering *l, struct fuse_term *term, int weight) {
    /* A term that counts at tuples only is no value of its own, nor is a part of a rule. */
    return term->weight > weight && !term->relation && !l->clause ? fuse_materialise(l, term) : term;
}

struct fuse_term *fuse_project(struct fuse_lowering *l, struct fuse_term *term, uint64_t set, enum fuse_reduce reduce) {
    int axes[FUSE_MAX_INDICES], rank = set_to_list(term->axes & ~set, axes);
    if (term->node.dtype == FUSE_BOOL && reduce != FUSE_REDUCE_OR && reduce != FUSE_REDUCE_AND)
        term = fuse_term_cast(l, term, FUSE_I64);
    int value = fuse_emit_map(l, term, axes, rank, set, reduce, term->node.dtype, NULL);
    return value < 0 ? stand_in(l, term->node.dtype) : load_axes(l, value, axes, rank);
}

/* ---- EINSUM ---------------------------------------------------------------------------------------------------- */

struct fuse_term *fuse_emit_einsum(struct fuse_lowering *l, struct fuse_term *const *factor, int factors, uint64_t set,
                                   enum fuse_dtype dtype) {
    uint64_t all = 0;
    int axes[FUSE_MAX_INDICES], local[FUSE_MAX_INDICES];
    struct fuse_op op = {.kind = FUSE_OP_EINSUM,
                         .span = l->span,
                         .owner = l->owner,
                         .reduce = set ? fuse_product_reduce(dtype) : FUSE_REDUCE_NONE};
    for (int k = 0; k < factors; k++)
        all |= factor[k]->axes;
    int rank = set_to_list(all & ~set, axes);
    if (!open_space(l, &op, axes, rank, set, local))
        return stand_in(l, dtype);
    op.inputs = factors;
    op.input = FUSE_NEW_ARRAY(l->c->arena, struct fuse_use, factors);
    for (int k = 0; k < factors; k++) {
        op.input[k] =
            (struct fuse_use){.value = factor[k]->use->value, .access = local_access(&factor[k]->use->access, local)};
        if (k > 0 && factor[k]->relation) { /* the relation stands first */
            struct fuse_use first = op.input[k];
            op.input[k] = op.input[0];
            op.input[0] = first;
        }
    }
    op.out = add_output(l, &op, rank, dtype, NULL);
    fuse_ir_add_op(l->c->ir, &op);
    return load_axes(l, op.out, axes, rank);
}

struct fuse_op *fuse_emit_sink(struct fuse_lowering *l, int value, const char *path, const char *part,
                               const int *axes) {
    struct fuse_op op = {.kind = FUSE_OP_SINK, .span = l->span, .out = -1, .inputs = 1, .path = path, .part = part};
    const struct fuse_value *v = &l->c->ir->values.at[value];
    struct fuse_use use = {.value = value, .access = fuse_access_identity(v->rank)};
    op.input = &use;
    op.indices = v->rank;
    memcpy(op.extent, v->extent, sizeof op.extent);
    for (int a = 0; axes && a < v->rank; a++)
        op.index_name[a] = unique_name(l, &op, a, l->name[axes[a]]);
    int number = fuse_ir_add_op(l->c->ir, &op); /* may move the list */
    return l->c->ir->ops.at[number];
}
