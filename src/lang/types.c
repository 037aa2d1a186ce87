/* Element types. Literals are weak: they take the type of what they meet. */
#include "lang/check.h"

static bool is_real(struct fuse_type type) {
    return fuse_dtype_class(type.dtype) == FUSE_CLASS_REAL;
}

static const struct fuse_type boolean = {FUSE_BOOL, false}, integer = {FUSE_I64, false}, weak_real = {FUSE_F32, true};

/* Two reals: a weak one gives way; of two halves of different kinds neither holds the other. */
static struct fuse_type join_reals(struct fuse_type a, struct fuse_type b) {
    if (a.weak != b.weak)
        return a.weak ? b : a;
    if (a.dtype == b.dtype)
        return a;
    return (struct fuse_type){a.dtype == FUSE_F64 || b.dtype == FUSE_F64 ? FUSE_F64 : FUSE_F32, a.weak};
}

/* The type in which two operands of arithmetic meet: never BOOL, never a small integer. */
struct fuse_type fuse_join(struct fuse_type a, struct fuse_type b) {
    if (is_real(a) && is_real(b))
        return join_reals(a, b);
    if (is_real(a) || is_real(b))
        return is_real(a) ? a : b;
    return (struct fuse_type){FUSE_I64, a.weak && b.weak};
}

static struct fuse_type as_number(struct fuse_type type) {
    return is_real(type) ? type : (struct fuse_type){FUSE_I64, type.weak};
}

static struct fuse_type as_real(struct fuse_type type) {
    return is_real(type) ? type : weak_real;
}

/* Of the arguments from `first` on, `step` apart. */
static struct fuse_type join_arguments(const struct fuse_node *node, int first, int step) {
    struct fuse_type type = {FUSE_I64, true};
    for (int k = first; k < node->n; k += step)
        if (node->arg[k])
            type = fuse_join(type, node->arg[k]->type);
    return type;
}

static struct fuse_type power_type(const struct fuse_node *node) {
    const struct fuse_node *exponent = node->arg[1];
    bool whole = exponent->kind == FUSE_NODE_NUMBER && exponent->number.dtype != FUSE_F64;
    struct fuse_type base = as_number(node->arg[0]->type);
    if (whole)
        return is_real(base) || exponent->number.integer >= 0 ? base : weak_real;
    return as_real(fuse_join(base, exponent->type));
}

/* The common type of values of which one is chosen, step apart; equal types stay as they are. */
static struct fuse_type value_type(const struct fuse_node *node, int first, int step) {
    struct fuse_type type = node->arg[node->n - 1]->type;
    for (int k = first; k < node->n; k += step) {
        struct fuse_type other = node->arg[k]->type;
        type = type.dtype == other.dtype && type.weak == other.weak ? type : fuse_join(type, other);
    }
    return type;
}

static struct fuse_type builtin_type(const struct fuse_node *node) {
    switch (node->builtin->type) {
    case FUSE_RESULT_REAL:
        if (node->kind == FUSE_NODE_LEFT)
            return weak_real;
        if (node->builtin->code == FUSE_BUILTIN_SIG && node->arg[1]->kind == FUSE_NODE_NUMBER &&
            node->arg[1]->number.real == 0)
            return boolean;
        if (node->builtin->code == FUSE_BUILTIN_MASKED_SOFTMAX || node->builtin->code == FUSE_BUILTIN_ROPE)
            return as_real(node->arg[0]->type);
        if (node->builtin->code == FUSE_BUILTIN_ATTENTION)
            return as_real(fuse_join(fuse_join(node->arg[0]->type, node->arg[1]->type), node->arg[2]->type));
        return as_real(join_arguments(node, 0, 1));
    case FUSE_RESULT_NUMBER:
    case FUSE_RESULT_VALUE: return as_number(join_arguments(node, 0, 1));
    case FUSE_RESULT_I64: return integer;
    case FUSE_RESULT_BOOL: return boolean;
    case FUSE_RESULT_F32: return (struct fuse_type){FUSE_F32, false};
    case FUSE_RESULT_NAMED: break;
    }
    return (struct fuse_type){node->cast, false};
}

static struct fuse_type product_type(const struct fuse_node *node) {
    struct fuse_type type = join_arguments(node, 0, 1);
    for (int k = 0; k < node->n; k++)
        if (node->inverse[k])
            return as_real(type);
    return type;
}

static struct fuse_type inner_type(const struct fuse_checker *c, const struct fuse_node *node) {
    switch (node->kind) {
    case FUSE_NODE_NUMBER:
        if (node->number.dtype == FUSE_BOOL)
            return boolean;
        return node->number.dtype == FUSE_I64 ? (struct fuse_type){FUSE_I64, true} : weak_real;
    case FUSE_NODE_LIST:
        if (node->cast == FUSE_BOOL)
            return boolean;
        return node->cast == FUSE_I64 ? (struct fuse_type){FUSE_I64, true} : weak_real;
    case FUSE_NODE_REF: return c->tensors.at[node->tensor]->type;
    case FUSE_NODE_SUM: return node->logical ? boolean : join_arguments(node, 0, 1);
    case FUSE_NODE_PRODUCT: return node->logical ? boolean : product_type(node);
    case FUSE_NODE_POWER: return power_type(node);
    case FUSE_NODE_CHOICE: return value_type(node, 1, 2);
    case FUSE_NODE_CONCAT:
    case FUSE_NODE_MERGE:
    case FUSE_NODE_STACK: return value_type(node, 0, 1);
    case FUSE_NODE_COMPARE:
    case FUSE_NODE_AND:
    case FUSE_NODE_OR:
    case FUSE_NODE_NOT:
    case FUSE_NODE_TRUTH:
    case FUSE_NODE_GUARD:
    case FUSE_NODE_ONE_HOT: return boolean;
    case FUSE_NODE_INDEX:
    case FUSE_NODE_ELEMENT:
    case FUSE_NODE_REDUCE:
    case FUSE_NODE_NORMALISE:
    case FUSE_NODE_TOPK:
    case FUSE_NODE_ATTENTION:
    case FUSE_NODE_LEFT: return builtin_type(node);
    }
    return weak_real;
}

static void infer(const struct fuse_checker *c, struct fuse_node *node) {
    for (int k = 0; k < node->n; k++)
        if (node->arg[k])
            infer(c, node->arg[k]);
    node->inner = inner_type(c, node);
    node->type = node->any ? boolean : node->sum ? as_number(node->inner) : node->inner;
}

void fuse_type_equation(struct fuse_checker *c, struct fuse_equation *eq) {
    infer(c, eq->root);
    if (eq->logical)
        eq->root->type = boolean;
    if (eq->guard)
        infer(c, eq->guard);
}

struct fuse_type fuse_kept_type(const struct fuse_checker *c, struct fuse_type type) {
    return c->settings.has_precision && is_real(type) ? (struct fuse_type){c->settings.precision, false} : type;
}

/* Values of rows are real, and F64 if everything in them is integer. */
static struct fuse_type source_type(const struct fuse_equation *eq) {
    const struct fuse_probe *probe = &eq->source->probe;
    switch (fuse_source_relation(eq)) {
    case FUSE_FACTS: return boolean;
    case FUSE_NUMERIC: return (struct fuse_type){probe->tally->last == FUSE_COLUMN_REALS ? FUSE_F32 : FUSE_F64, false};
    case FUSE_NO_RELATION: break;
    }
    return (struct fuse_type){fuse_dtype_resident(probe->file_dtype), false};
}

void fuse_type_tensor(struct fuse_checker *c, struct fuse_tensor *tensor) {
    for (int k = 0; k < tensor->contributions.n; k++) {
        struct fuse_equation *eq = c->equations.at[tensor->contributions.at[k]];
        struct fuse_type type;
        if (eq->kind == FUSE_EQUATION_SOURCE) {
            type = source_type(eq);
        } else {
            fuse_type_equation(c, eq);
            type = eq->root->type;
        }
        if (tensor->assign == FUSE_ASSIGN_AVG)
            type = as_real(type);
        else if (tensor->assign != FUSE_ASSIGN_SUM && (eq->projected || type.dtype == FUSE_BOOL))
            type = as_number(type);
        tensor->type = k == 0 ? type : fuse_join(tensor->type, type);
    }
    if (tensor->boolean)
        tensor->type = boolean;
    tensor->type = fuse_kept_type(c, tensor->type);
    tensor->type.weak = false;
}

void fuse_type_component(struct fuse_checker *c, const int *member, int members) {
    for (int k = 0; k < members; k++)
        c->tensors.at[member[k]]->type =
            (struct fuse_type){c->tensors.at[member[k]]->boolean ? FUSE_BOOL : FUSE_I64, true};
    /* What one has, all that depend on it get. */
    for (int sweep = 0; sweep <= members; sweep++)
        for (int k = 0; k < members; k++)
            fuse_type_tensor(c, c->tensors.at[member[k]]);
    for (int k = 0; k < members; k++) {
        struct fuse_tensor *tensor = c->tensors.at[member[k]];
        if (!tensor->boolean && fuse_dtype_class(tensor->type.dtype) != FUSE_CLASS_REAL)
            tensor->type = fuse_kept_type(c, (struct fuse_type){FUSE_F64, false});
    }
    for (int k = 0; k < members; k++)
        for (int e = 0; e < c->tensors.at[member[k]]->contributions.n; e++) {
            struct fuse_equation *eq = c->equations.at[c->tensors.at[member[k]]->contributions.at[e]];
            if (eq->kind == FUSE_EQUATION_EXPR)
                fuse_type_equation(c, eq);
        }
}
