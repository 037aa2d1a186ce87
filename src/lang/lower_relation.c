/* Relations in expressions. Their tuples stay tuples where an absent one contributes nothing: as one factor of a product, as
 * what is summed, in the joint equations of max= and its kin, in guards. Anywhere else the cells are made, once. */
#include "lang/lower.h"

/* Larger ones are told about. */
#define QUIET_CELLS ((int64_t)1 << 20)

static enum fuse_reduce combine_rows(const struct fuse_tensor *tensor, bool facts) {
    switch (facts ? FUSE_ASSIGN_SUM : tensor->assign) {
    case FUSE_ASSIGN_MAX: return FUSE_REDUCE_MAX;
    case FUSE_ASSIGN_MIN: return FUSE_REDUCE_MIN;
    case FUSE_ASSIGN_PROD: return FUSE_REDUCE_PROD;
    default: return facts ? FUSE_REDUCE_OR : FUSE_REDUCE_SUM;
    }
}

int fuse_lower_file(struct fuse_checker *c, const struct fuse_tensor *tensor, const struct fuse_equation *source,
                    enum fuse_dtype dtype) {
    int64_t extent[FUSE_MAX_AXES];
    for (int a = 0; a < tensor->rank; a++)
        extent[a] = fuse_domain_of(c, tensor->domain[a])->extent;
    struct fuse_op op = {.kind = FUSE_OP_SOURCE,
                         .span = source->item->span,
                         .path = source->item->text,
                         .probe = source->source->probe,
                         .reduce = combine_rows(tensor, dtype == FUSE_BOOL),
                         .mean = tensor->assign == FUSE_ASSIGN_AVG && dtype != FUSE_BOOL};
    op.out = fuse_ir_add_value(c->ir, NULL, tensor->span, dtype, tensor->rank, extent);
    c->ir->values.at[op.out].storage = FUSE_STORAGE_RELATION;
    fuse_ir_add_op(c->ir, &op);
    return op.out;
}

/* The files of a relation, each a source that takes in the one before. */
static int emit_files(struct fuse_checker *c, const struct fuse_tensor *tensor, enum fuse_dtype dtype,
                      const char *name) {
    struct fuse_use *before = FUSE_NEW(c->arena, struct fuse_use);
    before->access.rank = tensor->rank;
    for (int a = 0; a < tensor->rank; a++)
        before->access.at[a].index = -1;
    for (int k = 0; k < tensor->contributions.n; k++) {
        int value = fuse_lower_file(c, tensor, c->equations.at[tensor->contributions.at[k]], dtype);
        if (k > 0) {
            struct fuse_op *op = c->ir->ops.at[c->ir->values.at[value].op];
            op->inputs = 1;
            op->input = FUSE_NEW(c->arena, struct fuse_use);
            *op->input = *before;
        }
        before->value = value;
    }
    c->ir->values.at[before->value].name = name;
    return before->value;
}

void fuse_lower_files(struct fuse_checker *c, struct fuse_tensor *tensor) {
    tensor->value = emit_files(c, tensor, fuse_dtype_compute(tensor->type.dtype), tensor->name);
}

static int support_of(struct fuse_checker *c, struct fuse_tensor *tensor) {
    if (c->ir->values.at[tensor->value].dtype == FUSE_BOOL)
        return tensor->value;
    if (!tensor->support)
        tensor->support = 1 + emit_files(c, tensor, FUSE_BOOL, fuse_arena_printf(c->arena, "%s()", tensor->name));
    return tensor->support - 1;
}

static void tell_cells(struct fuse_lowering *l, const struct fuse_tensor *tensor, int64_t cells) {
    if (cells <= QUIET_CELLS)
        return;
    struct fuse_diagnostic *d =
        fuse_report(l->c->diagnostics, FUSE_SEVERITY_NOTE, l->here,
                    "here the relation '%s' is needed with all of its %lld cells", tensor->name, (long long)cells);
    fuse_advise(l->c, d, "it stays sparse as one factor of a product or a sum, and in max= min= prod= avg= and guards");
}

/* What a tensor's operator begins with, as the reduction that has it; NONE: 0. */
static enum fuse_reduce begin_of(const struct fuse_tensor *tensor) {
    switch (tensor->boolean ? FUSE_ASSIGN_SUM : tensor->assign) {
    case FUSE_ASSIGN_MIN: return FUSE_REDUCE_MIN;
    case FUSE_ASSIGN_MAX: return FUSE_REDUCE_MAX;
    case FUSE_ASSIGN_PROD: return FUSE_REDUCE_PROD;
    default: return FUSE_REDUCE_NONE;
    }
}

/* All cells of a relation as a dense value; those that are absent hold what `begin` does. */
static int emit_cells(struct fuse_lowering *l, const struct fuse_tensor *tensor, int relation, enum fuse_reduce begin) {
    const struct fuse_value *value = &l->c->ir->values.at[relation];
    struct fuse_lowering whole = {.c = l->c, .span = tensor->span, .here = l->here, .owner = tensor->name};
    int axes[FUSE_MAX_AXES];
    for (int a = 0; a < value->rank; a++) {
        whole.extent[a] = value->extent[a];
        axes[a] = a;
    }
    tell_cells(l, tensor, fuse_value_elems(value));
    struct fuse_access access = fuse_access_identity(value->rank);
    enum fuse_dtype dtype = value->dtype;
    int cells = fuse_emit_map(&whole, fuse_term_load(&whole, relation, &access), axes, value->rank, 0, begin, dtype,
                              fuse_arena_printf(l->c->arena, "%s[..]", l->c->ir->values.at[relation].name));
    l->failed |= whole.failed;
    return cells;
}

int fuse_lower_cells(struct fuse_lowering *l, struct fuse_tensor *tensor) {
    if (!tensor->cells)
        tensor->cells = 1 + emit_cells(l, tensor, tensor->value, tensor->derived ? begin_of(tensor) : FUSE_REDUCE_NONE);
    return tensor->cells - 1;
}

int fuse_lower_contributed_cells(struct fuse_lowering *l, const struct fuse_tensor *tensor) {
    const bool is_facts = l->c->ir->values.at[tensor->value].dtype == FUSE_BOOL;
    return emit_cells(l, tensor, tensor->value, is_facts ? FUSE_REDUCE_NONE : begin_of(tensor));
}

static int lower_support_cells(struct fuse_lowering *l, struct fuse_tensor *tensor) {
    int support = support_of(l->c, tensor);
    if (support == tensor->value)
        return fuse_lower_cells(l, tensor);
    if (!tensor->support_cells)
        tensor->support_cells = 1 + emit_cells(l, tensor, support, FUSE_REDUCE_NONE);
    return tensor->support_cells - 1;
}

/* ---- references ---- */

static struct fuse_term *load_through(struct fuse_lowering *l, const struct fuse_node *ref, int value) {
    struct fuse_access access = fuse_reference_access(l, ref, value);
    return fuse_term_load(l, value, &access);
}

bool fuse_is_same_place(const struct fuse_node *a, const struct fuse_node *b) {
    if (a->tensor != b->tensor)
        return false;
    for (int k = 0; k < a->positions; k++) {
        const struct fuse_position *x = &a->at[k], *y = &b->at[k];
        if (x->index != y->index || x->offset != y->offset || x->slice != y->slice || x->has_start != y->has_start ||
            x->has_stop != y->has_stop || x->start != y->start || x->stop != y->stop || x->step != y->step)
            return false;
    }
    return true;
}

bool fuse_reads_relation(const struct fuse_lowering *l, const struct fuse_node *node) {
    const struct fuse_tensor *tensor = node->kind == FUSE_NODE_REF ? l->c->tensors.at[node->tensor] : NULL;
    return tensor && tensor->value >= 0 && fuse_is_relation(l->c->ir, tensor->value) &&
           (tensor->boolean || !tensor->derived);
}

bool fuse_reads_numbers(const struct fuse_lowering *l, const struct fuse_node *node) {
    return fuse_reads_relation(l, node) ||
           (node->kind == FUSE_NODE_REF && fuse_is_sum_of_tuples(l->c->tensors.at[node->tensor]));
}

struct fuse_term *fuse_lower_relation(struct fuse_lowering *l, const struct fuse_node *ref, bool support) {
    struct fuse_tensor *tensor = l->c->tensors.at[ref->tensor];
    bool is_numeric = l->c->ir->values.at[tensor->value].dtype != FUSE_BOOL;
    if (l->driver && fuse_is_same_place(l->driver, ref))
        return support || !is_numeric ? fuse_term_bool(l, true) : load_through(l, ref, tensor->value);
    return load_through(l, ref, support ? lower_support_cells(l, tensor) : fuse_lower_cells(l, tensor));
}

/* The reference in a factor that is 0 or false wherever the relation is absent, or NULL. */
static const struct fuse_node *factor_reference(const struct fuse_lowering *l, const struct fuse_node *node,
                                                bool *support) {
    *support = false;
    if (node->kind == FUSE_NODE_GUARD && !node->sum)
        node = node->arg[0];
    if (node->kind == FUSE_NODE_TRUTH && !node->sum && fuse_reads_relation(l, node->arg[0])) {
        *support = true;
        node = node->arg[0];
    }
    return fuse_reads_numbers(l, node) && !node->sum ? node : NULL;
}

struct fuse_term *fuse_lower_factor(struct fuse_lowering *l, const struct fuse_node *node) {
    bool support;
    const struct fuse_node *ref = factor_reference(l, node, &support);
    struct fuse_tensor *tensor = l->c->tensors.at[ref->tensor];
    struct fuse_term *load = load_through(l, ref, support ? support_of(l->c, tensor) : tensor->value);
    return node->kind == FUSE_NODE_GUARD ? fuse_term_cast(l, load, FUSE_BOOL) : load;
}

int fuse_choose_factor(const struct fuse_lowering *l, const struct fuse_node *product) {
    int best = -1;
    int64_t most = -1;
    bool support;
    for (int k = 0; k < product->n && !l->driver && !l->clause; k++) {
        const struct fuse_node *ref = factor_reference(l, product->arg[k], &support);
        if (!ref || (product->inverse && product->inverse[k]))
            continue;
        int64_t cells = fuse_value_elems(&l->c->ir->values.at[l->c->tensors.at[ref->tensor]->value]);
        if (cells > most) {
            most = cells;
            best = k;
        }
    }
    return best;
}

/* ---- joint equations ---- */

bool fuse_hides_driver(const struct fuse_node *node) {
    switch (node->kind) {
    case FUSE_NODE_REDUCE:
    case FUSE_NODE_NORMALISE:
    case FUSE_NODE_ONE_HOT:
    case FUSE_NODE_CONCAT:
    case FUSE_NODE_MERGE:
    case FUSE_NODE_STACK:
    case FUSE_NODE_TOPK:
    case FUSE_NODE_ATTENTION:
    case FUSE_NODE_NOT: return true;
    default: return node->sum != 0;
    }
}

/* Calls back for every reference to a numeric relation whose absence leaves a cell out. */
static void each_numeric(struct fuse_lowering *l, const struct fuse_node *node,
                         void (*see)(struct fuse_lowering *l, const struct fuse_node *ref, void *context),
                         void *context) {
    if (!node || fuse_hides_driver(node) || node->kind == FUSE_NODE_TRUTH)
        return;
    if (fuse_reads_relation(l, node) && l->c->ir->values.at[l->c->tensors.at[node->tensor]->value].dtype != FUSE_BOOL)
        see(l, node, context);
    for (int k = 0; k < node->n; k++)
        each_numeric(l, node->arg[k], see, context);
}

static void take_first(struct fuse_lowering *l, const struct fuse_node *ref, void *context) {
    const struct fuse_node **first = context;
    (void)l;
    if (!*first)
        *first = ref;
}

/* A guard that is false where the relation is absent: the relation, or a conjunction with it. */
static const struct fuse_node *find_in_guard(const struct fuse_lowering *l, const struct fuse_node *node) {
    bool support;
    const struct fuse_node *ref = factor_reference(l, node, &support);
    bool conjunction = node->kind == FUSE_NODE_GUARD || node->kind == FUSE_NODE_AND || node->kind == FUSE_NODE_PRODUCT;
    for (int k = 0; !ref && conjunction && !node->sum && k < node->n; k++)
        if (!node->inverse || !node->inverse[k])
            ref = find_in_guard(l, node->arg[k]);
    return ref;
}

const struct fuse_node *fuse_find_driver(struct fuse_lowering *l, const struct fuse_equation *eq) {
    const struct fuse_node *ref = NULL;
    each_numeric(l, eq->root, take_first, &ref);
    if (eq->guard)
        each_numeric(l, eq->guard, take_first, &ref);
    return ref || !eq->guard ? ref : find_in_guard(l, eq->guard);
}

static void also_present(struct fuse_lowering *l, const struct fuse_node *ref, void *context) {
    struct fuse_term **guard = context;
    if (fuse_is_same_place(l->driver, ref))
        return;
    struct fuse_term *present = fuse_lower_relation(l, ref, true);
    *guard = *guard ? fuse_term_op(l, FUSE_SCALAR_AND, *guard, present, NULL) : present;
}

struct fuse_term *fuse_guard_others(struct fuse_lowering *l, struct fuse_term *guard, const struct fuse_equation *eq) {
    each_numeric(l, eq->root, also_present, &guard);
    if (eq->guard)
        each_numeric(l, eq->guard, also_present, &guard);
    return guard;
}

struct fuse_term *fuse_at_tuples(struct fuse_lowering *l, struct fuse_term *term) {
    if (!l->driver || term->relation)
        return term;
    struct fuse_term *at = FUSE_NEW(l->c->arena, struct fuse_term);
    struct fuse_term *load = load_through(l, l->driver, l->c->tensors.at[l->driver->tensor]->value);
    *at = *term;
    at->epoch = 0;
    at->relation = load->use;
    at->axes |= load->axes;
    return at;
}
