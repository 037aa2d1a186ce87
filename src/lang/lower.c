/* Nodes become terms: references, operators, choices. Calls are in lower_calls.c, products in lower_product.c. */
#include "lang/lower.h"

/* A chain of operators is cut into operations of about this size, so that no body and no recursion grows without end. */
#define CHAIN_WEIGHT 400

enum fuse_dtype fuse_compute_type(struct fuse_type type, enum fuse_dtype want) {
    return type.weak && fuse_dtype_class(type.dtype) == FUSE_CLASS_REAL ? want : fuse_dtype_compute(type.dtype);
}

/* What weak reals inside the node become. */
static enum fuse_dtype wanted_inside(struct fuse_type type, enum fuse_dtype want) {
    enum fuse_dtype dtype = fuse_compute_type(type, want);
    return dtype == FUSE_F32 || dtype == FUSE_F64 ? dtype : want;
}

struct fuse_term *fuse_lower_argument(struct fuse_lowering *l, const struct fuse_node *node, int k,
                                      enum fuse_dtype dtype, enum fuse_dtype want) {
    return fuse_term_cast(l, fuse_lower_node(l, node->arg[k], want), dtype);
}

struct fuse_term *fuse_lower_truth(struct fuse_lowering *l, const struct fuse_node *node, enum fuse_dtype want) {
    return fuse_term_cast(l, fuse_lower_node(l, node, want), FUSE_BOOL);
}

/* ---- leaves ---------------------------------------------------------------------------------------------------- */

static struct fuse_access_axis access_axis(const struct fuse_position *at, int64_t extent) {
    struct fuse_access_axis axis = {.index = at->index, .stride = 1, .offset = at->offset};
    int64_t count;
    if (at->slice) {
        fuse_slice_range(at, extent, &axis.offset, &axis.stride, &count);
        /* An empty slice reads nothing; keep its map inside. */
        if (count == 0)
            axis.offset = 0;
    } else if (at->index < 0 && at->offset < 0) {
        axis.offset += extent;
    }
    return axis;
}

struct fuse_access fuse_reference_access(const struct fuse_lowering *l, const struct fuse_node *ref, int value) {
    struct fuse_access access = {.rank = ref->positions};
    for (int a = 0; a < ref->positions; a++)
        access.at[a] = access_axis(&ref->at[a], l->c->ir->values.at[value].extent[a]);
    return access;
}

static struct fuse_term *lower_reference(struct fuse_lowering *l, const struct fuse_node *node) {
    struct fuse_tensor *tensor = l->c->tensors.at[node->tensor];
    int value = tensor->value;
    if (l->clause)
        return fuse_lower_rule_reference(l, node, false);
    if (fuse_reads_relation(l, node))
        return fuse_lower_relation(l, node, false);
    if (tensor->derived)
        value = fuse_lower_cells(l, tensor);
    struct fuse_access access = fuse_reference_access(l, node, value);
    return fuse_term_load(l, value, &access);
}

static void *literal_data(struct fuse_lowering *l, const struct fuse_node *node, int64_t elems, enum fuse_dtype dtype) {
    size_t count = (size_t)elems;
    void *data = fuse_arena_array(l->c->arena, count ? count : 1, fuse_dtype_bytes(dtype));
    if (node->integer)
        (void)fuse_dtype_convert(data, dtype, node->integer, FUSE_I64, count);
    else
        (void)fuse_dtype_convert(data, dtype, node->real, FUSE_F64, count);
    return data;
}

static struct fuse_term *lower_list(struct fuse_lowering *l, const struct fuse_node *node, enum fuse_dtype want) {
    struct fuse_op op = {.kind = FUSE_OP_LITERAL, .span = node->span};
    struct fuse_access access = {.rank = node->positions};
    enum fuse_dtype dtype = fuse_compute_type(node->inner, want);
    int64_t elems = 1;
    for (int a = 0; a < node->rank; a++)
        elems *= node->extent[a];
    for (int a = 0; a < node->positions; a++)
        access.at[a] = access_axis(&node->at[a], node->extent[a]);
    op.data = literal_data(l, node, elems, dtype);
    op.out = fuse_ir_add_value(l->c->ir, NULL, node->span, dtype, node->rank, node->extent);
    fuse_ir_add_op(l->c->ir, &op);
    return fuse_term_load(l, op.out, &access);
}

static struct fuse_term *lower_number(struct fuse_lowering *l, const struct fuse_node *node, enum fuse_dtype want) {
    switch (node->number.dtype) {
    case FUSE_BOOL: return fuse_term_bool(l, node->number.integer != 0);
    case FUSE_I64: return fuse_term_integer(l, node->number.integer);
    default: return fuse_term_real(l, want, node->number.real);
    }
}

/* even: 2 floor(i / 2) == i has no integer division to use; the halves are exact in F64 below 2^53. */
static struct fuse_term *lower_index(struct fuse_lowering *l, const struct fuse_node *node) {
    struct fuse_term *iota = fuse_term_iota(l, node->index);
    if (node->builtin->code == FUSE_BUILTIN_IOTA)
        return iota;
    struct fuse_term *half =
        fuse_term_op(l, FUSE_SCALAR_MUL, fuse_term_cast(l, iota, FUSE_F64), fuse_term_real(l, FUSE_F64, 0.5), NULL);
    struct fuse_term *whole = fuse_term_op(l, FUSE_SCALAR_FLOOR, half, NULL, NULL);
    return fuse_term_op(l, node->builtin->code == FUSE_BUILTIN_EVEN ? FUSE_SCALAR_EQ : FUSE_SCALAR_NE, half, whole,
                        NULL);
}

/* ---- operators ------------------------------------------------------------------------------------------------- */

static struct fuse_term *lower_logic(struct fuse_lowering *l, const struct fuse_node *node, enum fuse_dtype want) {
    struct fuse_term *all = NULL;
    for (int k = 0; k < node->n; k++) {
        struct fuse_term *term = fuse_lower_truth(l, node->arg[k], want);
        if (all)
            term = fuse_term_op(l, node->kind == FUSE_NODE_AND ? FUSE_SCALAR_AND : FUSE_SCALAR_OR, all, term, NULL);
        all = fuse_settle(l, term, CHAIN_WEIGHT);
    }
    return all;
}

static struct fuse_term *lower_sum(struct fuse_lowering *l, const struct fuse_node *node, enum fuse_dtype want) {
    enum fuse_dtype dtype = fuse_compute_type(node->inner, want);
    struct fuse_term *sum = NULL;
    if (node->logical)
        return lower_logic(l, node, want);
    for (int k = 0; k < node->n; k++) {
        struct fuse_term *term = fuse_lower_argument(l, node, k, dtype, want);
        if (!sum)
            sum = node->inverse[k] ? fuse_term_op(l, FUSE_SCALAR_NEG, term, NULL, NULL) : term;
        else
            sum = fuse_term_op(l, node->inverse[k] ? FUSE_SCALAR_SUB : FUSE_SCALAR_ADD, sum, term, NULL);
        sum = fuse_settle(l, sum, CHAIN_WEIGHT);
    }
    return sum;
}

/* x ** n for a small whole n is n factors: faster, and exact where pow is not. */
static struct fuse_term *small_power(struct fuse_lowering *l, struct fuse_term *base, int64_t n,
                                     enum fuse_dtype dtype) {
    struct fuse_term *one = dtype == FUSE_I64 ? fuse_term_integer(l, 1) : fuse_term_real(l, dtype, 1);
    int64_t size = n < 0 ? -n : n;
    if (size == 0)
        return one;
    base = fuse_settle(l, base, CHAIN_WEIGHT / 4);
    struct fuse_term *power = base;
    if (size >= 2)
        power = fuse_term_op(l, FUSE_SCALAR_MUL, base, base, NULL);
    if (size == 3)
        power = fuse_term_op(l, FUSE_SCALAR_MUL, power, base, NULL);
    if (size == 4)
        power = fuse_term_op(l, FUSE_SCALAR_MUL, power, power, NULL);
    return n < 0 ? fuse_term_op(l, FUSE_SCALAR_DIV, one, power, NULL) : power;
}

static struct fuse_term *lower_power(struct fuse_lowering *l, const struct fuse_node *node, enum fuse_dtype want) {
    enum fuse_dtype dtype = fuse_compute_type(node->inner, want);
    const struct fuse_node *exponent = node->arg[1];
    struct fuse_term *base = fuse_lower_argument(l, node, 0, dtype, want);
    if (exponent->kind == FUSE_NODE_NUMBER && exponent->number.dtype != FUSE_F64 && exponent->number.integer >= -4 &&
        exponent->number.integer <= 4)
        return small_power(l, base, exponent->number.integer, dtype);
    return fuse_term_op(l, FUSE_SCALAR_POW, base, fuse_lower_argument(l, node, 1, dtype, want), NULL);
}

static struct fuse_term *lower_compare(struct fuse_lowering *l, const struct fuse_node *node, enum fuse_dtype want) {
    struct fuse_type type = fuse_join(node->arg[0]->type, node->arg[1]->type);
    /* Integers against a real literal: F64 holds both. */
    enum fuse_dtype dtype = fuse_compute_type(type, FUSE_F64);
    struct fuse_term *a = fuse_lower_argument(l, node, 0, dtype, wanted_inside(type, FUSE_F64));
    struct fuse_term *b = fuse_lower_argument(l, node, 1, dtype, wanted_inside(type, FUSE_F64));
    (void)want;
    switch (node->compare) {
    case FUSE_BINARY_LT: return fuse_term_op(l, FUSE_SCALAR_LT, a, b, NULL);
    case FUSE_BINARY_LE: return fuse_term_op(l, FUSE_SCALAR_LE, a, b, NULL);
    case FUSE_BINARY_GT: return fuse_term_op(l, FUSE_SCALAR_LT, b, a, NULL);
    case FUSE_BINARY_GE: return fuse_term_op(l, FUSE_SCALAR_LE, b, a, NULL);
    case FUSE_BINARY_EQ: return fuse_term_op(l, FUSE_SCALAR_EQ, a, b, NULL);
    default: return fuse_term_op(l, FUSE_SCALAR_NE, a, b, NULL);
    }
}

static struct fuse_term *lower_choice(struct fuse_lowering *l, const struct fuse_node *node, enum fuse_dtype want) {
    enum fuse_dtype dtype = fuse_compute_type(node->inner, want);
    struct fuse_term *chosen = fuse_lower_argument(l, node, node->n - 1, dtype, want);
    for (int k = node->n - 3; k >= 0; k -= 2) {
        struct fuse_term *condition = fuse_lower_truth(l, node->arg[k], want);
        struct fuse_term *value = fuse_lower_argument(l, node, k + 1, dtype, want);
        chosen = fuse_settle(l, fuse_term_op(l, FUSE_SCALAR_SELECT, condition, value, chosen), CHAIN_WEIGHT);
    }
    return chosen;
}

/* ---- nodes ----------------------------------------------------------------------------------------------------- */

static struct fuse_term *lower_inner(struct fuse_lowering *l, const struct fuse_node *node, enum fuse_dtype want) {
    switch (node->kind) {
    case FUSE_NODE_NUMBER: return lower_number(l, node, want);
    case FUSE_NODE_LIST: return lower_list(l, node, want);
    case FUSE_NODE_REF: return lower_reference(l, node);
    case FUSE_NODE_INDEX: return lower_index(l, node);
    case FUSE_NODE_SUM: return lower_sum(l, node, want);
    case FUSE_NODE_POWER: return lower_power(l, node, want);
    case FUSE_NODE_COMPARE: return lower_compare(l, node, want);
    case FUSE_NODE_AND:
    case FUSE_NODE_OR: return lower_logic(l, node, want);
    case FUSE_NODE_NOT: return fuse_term_op(l, FUSE_SCALAR_NOT, fuse_lower_truth(l, node->arg[0], want), NULL, NULL);
    case FUSE_NODE_TRUTH:
        if (l->clause)
            return fuse_lower_rule_reference(l, node->arg[0], true);
        if (fuse_reads_relation(l, node->arg[0]))
            return fuse_lower_relation(l, node->arg[0], true);
        return fuse_lower_truth(l, node->arg[0], want);
    case FUSE_NODE_GUARD: return fuse_lower_truth(l, node->arg[0], want);
    case FUSE_NODE_CHOICE: return lower_choice(l, node, want);
    case FUSE_NODE_LEFT: return fuse_lower_left(l, node, want);
    case FUSE_NODE_PRODUCT: /* sums by itself */
    case FUSE_NODE_ELEMENT:
    case FUSE_NODE_REDUCE:
    case FUSE_NODE_NORMALISE:
    case FUSE_NODE_ONE_HOT: break;
    case FUSE_NODE_CONCAT:
    case FUSE_NODE_MERGE:
    case FUSE_NODE_STACK:
    case FUSE_NODE_TOPK:
    case FUSE_NODE_ATTENTION: return fuse_lower_structure(l, node, want);
    }
    return fuse_lower_builtin(l, node, want);
}

/* What is summed of a bare reference to a relation are its tuples. */
static struct fuse_term *sum_relation(struct fuse_lowering *l, const struct fuse_node *node) {
    struct fuse_node open = *node;
    open.sum = 0;
    struct fuse_term *term = fuse_lower_factor(l, &open);
    if (node->any)
        return fuse_project(l, fuse_term_cast(l, term, FUSE_BOOL), node->sum, FUSE_REDUCE_OR);
    return fuse_project(l, term, node->sum, FUSE_REDUCE_SUM);
}

struct fuse_term *fuse_lower_node(struct fuse_lowering *l, const struct fuse_node *node, enum fuse_dtype want) {
    struct fuse_span outer = l->here;
    const struct fuse_node *driver = l->driver;
    const struct fuse_clause *clause = l->clause;
    l->here = node->span;
    if (fuse_hides_driver(node)) {
        l->driver = NULL;
        l->clause = NULL;
    }
    enum fuse_dtype inside = wanted_inside(node->inner, want);
    struct fuse_term *term;
    if (node->sum &&
        (fuse_reads_numbers(l, node) || (node->kind == FUSE_NODE_TRUTH && fuse_reads_relation(l, node->arg[0])))) {
        term = sum_relation(l, node);
    } else if (node->kind == FUSE_NODE_PRODUCT && node->logical) {
        term = fuse_lower_conjunction(l, node, want);
    } else if (node->any) {
        struct fuse_node open = *node;
        open.sum = 0;
        open.any = false;
        open.type = open.inner;
        term = fuse_project(l, fuse_lower_truth(l, &open, want), node->sum, FUSE_REDUCE_OR);
    } else if (node->kind == FUSE_NODE_PRODUCT) {
        term = fuse_lower_product(l, node, inside);
    } else {
        term = lower_inner(l, node, inside);
        if (node->sum)
            term = fuse_sum_term(l, term, node->sum);
    }
    l->here = outer;
    l->driver = driver;
    l->clause = clause;
    return term;
}
