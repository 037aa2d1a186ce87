/* Tensors are put together from their contributions, sinks from their expressions. */
#include "lang/lower.h"

#include <string.h>

#define SUM_WEIGHT 400

static void open_equation(struct fuse_lowering *l, struct fuse_checker *c, struct fuse_equation *eq) {
    *l = (struct fuse_lowering){.c = c, .eq = eq, .span = eq->item->span, .here = eq->item->span};
    for (int k = 0; k < eq->indices; k++) {
        l->extent[k] = fuse_domain_of(c, eq->index[k].domain)->extent;
        l->name[k] = eq->index[k].name;
    }
    /* Terms are marked with epochs; no two lowerings of one term may share one. */
    l->epoch = 0;
}

static enum fuse_dtype wanted(const struct fuse_type *type) {
    return type->dtype == FUSE_F64 ? FUSE_F64 : FUSE_F32;
}

static bool is_identity(const struct fuse_lowering *l, const struct fuse_term *term, int rank) {
    if (fuse_whole_value(l, term) < 0 || term->use.access.rank != rank)
        return false;
    for (int a = 0; a < rank; a++)
        if (term->use.access.at[a].index != a)
            return false;
    return true;
}

/* ---- where a contribution lands --------------------------------------------------------------------------------- */

static struct fuse_term *both(struct fuse_lowering *l, struct fuse_term *a, struct fuse_term *b) {
    return a ? fuse_term_op(l, FUSE_SCALAR_AND, a, b, NULL) : b;
}

/* From the indices of the equation to the axes of the tensor, which `to` stands for. Cells that the left side does not
 * reach hold 0: outside of fixed positions, off the diagonal, before and after a shifted index. */
static struct fuse_term *place_term(struct fuse_lowering *to, const struct fuse_lowering *from,
                                    struct fuse_term *term) {
    const struct fuse_equation *eq = from->eq;
    int map[FUSE_MAX_INDICES];
    int64_t shift[FUSE_MAX_INDICES] = {0};
    struct fuse_term *reached = NULL;
    for (int k = 0; k < FUSE_MAX_INDICES; k++)
        map[k] = -1;
    for (int a = 0; a < eq->lefts; a++) {
        const struct fuse_position *at = &eq->left[a];
        struct fuse_term *here = fuse_term_iota(to, a);
        if (at->index < 0) {
            int64_t fixed = at->offset < 0 ? at->offset + to->extent[a] : at->offset;
            reached = both(to, reached, fuse_term_op(to, FUSE_SCALAR_EQ, here, fuse_term_integer(to, fixed), NULL));
            continue;
        }
        if (at->offset) /* the equation's index at this place */
            here = fuse_term_op(to, FUSE_SCALAR_SUB, here, fuse_term_integer(to, at->offset), NULL);
        if (map[at->index] < 0) {
            map[at->index] = a;
            shift[at->index] = at->offset;
            if (at->offset > 0)
                reached = both(to, reached, fuse_term_op(to, FUSE_SCALAR_LE, fuse_term_integer(to, 0), here, NULL));
            if (at->offset < 0)
                reached =
                    both(to, reached,
                         fuse_term_op(to, FUSE_SCALAR_LT, here, fuse_term_integer(to, from->extent[at->index]), NULL));
            continue;
        }
        struct fuse_term *first = fuse_term_iota(to, map[at->index]);
        if (shift[at->index])
            first = fuse_term_op(to, FUSE_SCALAR_SUB, first, fuse_term_integer(to, shift[at->index]), NULL);
        reached = both(to, reached, fuse_term_op(to, FUSE_SCALAR_EQ, here, first, NULL));
    }
    struct fuse_term *moved = fuse_term_move(to, term, map, shift);
    enum fuse_dtype dtype = moved->node.dtype;
    struct fuse_term *nothing = dtype == FUSE_BOOL  ? fuse_term_bool(to, false)
                                : dtype == FUSE_I64 ? fuse_term_integer(to, 0)
                                                    : fuse_term_real(to, dtype, 0);
    return reached ? fuse_term_op(to, FUSE_SCALAR_SELECT, reached, moved, nothing) : moved;
}

/* ---- tensors ---------------------------------------------------------------------------------------------------- */

static int emit_source(struct fuse_lowering *l, const struct fuse_tensor *tensor, bool alone) {
    const struct fuse_equation *eq = l->eq;
    const struct fuse_probe *probe = &eq->source->probe;
    struct fuse_op op = {.kind = FUSE_OP_SOURCE, .span = eq->item->span, .path = eq->item->text, .probe = *probe};
    op.out = fuse_ir_add_value(l->c->ir, alone ? tensor->name : NULL, tensor->span,
                               fuse_dtype_resident(probe->file_dtype), probe->rank, probe->extent);
    fuse_ir_add_op(l->c->ir, &op);
    return op.out;
}

static struct fuse_term *lower_contribution(struct fuse_lowering *l, const struct fuse_tensor *tensor, bool alone) {
    if (l->eq->kind == FUSE_EQUATION_SOURCE) {
        int value = emit_source(l, tensor, alone);
        struct fuse_access access = fuse_access_identity(tensor->rank);
        return fuse_term_load(l, value, &access);
    }
    return fuse_lower_node(l, l->eq->root, wanted(&tensor->type));
}

/* The names of the tensor's axes, for printing: the first left side's. */
static void open_tensor(struct fuse_lowering *l, struct fuse_checker *c, const struct fuse_tensor *tensor) {
    const struct fuse_equation *first = c->equations.at[tensor->contributions.at[0]];
    *l = (struct fuse_lowering){.c = c, .span = first->item->span, .here = tensor->span};
    for (int a = 0; a < tensor->rank; a++) {
        int index = first->left[a].index;
        l->extent[a] = fuse_domain_of(c, tensor->domain[a])->extent;
        l->name[a] = index >= 0 ? first->index[index].name : fuse_arena_printf(c->arena, "axis%d", a);
    }
}

static bool lower_tensor(struct fuse_checker *c, struct fuse_tensor *tensor) {
    struct fuse_lowering whole, part;
    struct fuse_term *sum = NULL;
    enum fuse_dtype compute = fuse_dtype_compute(tensor->type.dtype);
    bool alone = tensor->contributions.n == 1;
    int first_value = c->ir->values.n, axes[FUSE_MAX_AXES];
    open_tensor(&whole, c, tensor);
    for (int k = 0; k < tensor->contributions.n; k++) {
        struct fuse_equation *eq = c->equations.at[tensor->contributions.at[k]];
        open_equation(&part, c, eq);
        part.epoch = whole.epoch;
        struct fuse_term *term = lower_contribution(&part, tensor, alone);
        whole.epoch = part.epoch;
        if (part.failed) {
            eq->bad = true;
            return false;
        }
        if (!eq->plain_left)
            term = place_term(&whole, &part, term);
        term = fuse_term_cast(&whole, term, compute);
        sum = sum ? fuse_settle(&whole, fuse_term_op(&whole, FUSE_SCALAR_ADD, sum, term, NULL), SUM_WEIGHT) : term;
    }
    for (int a = 0; a < tensor->rank; a++)
        axes[a] = a;

    /* A value that was made for this tensor alone is the tensor. */
    struct fuse_value *value = fuse_is_load(sum) ? &c->ir->values.at[sum->use.value] : NULL;
    bool made_here = value && sum->use.value >= first_value && (!value->name || alone);
    if (made_here && value->dtype == tensor->type.dtype && is_identity(&whole, sum, tensor->rank)) {
        value->name = tensor->name;
        value->span = tensor->span;
        tensor->value = sum->use.value;
    } else {
        tensor->value =
            fuse_emit_map(&whole, sum, axes, tensor->rank, 0, FUSE_REDUCE_NONE, tensor->type.dtype, tensor->name);
    }
    return !whole.failed;
}

/* ---- sinks ------------------------------------------------------------------------------------------------------ */

static void lower_sink(struct fuse_checker *c, struct fuse_equation *eq) {
    struct fuse_lowering l;
    fuse_type_equation(c, eq);
    open_equation(&l, c, eq);
    struct fuse_type type = eq->root->type;
    struct fuse_term *term = fuse_lower_node(&l, eq->root, wanted(&type));
    if (l.failed)
        return;
    int axes[FUSE_MAX_INDICES], rank = 0;
    for (int k = 0; k < eq->indices; k++)
        if (eq->root->axes & FUSE_BIT(k))
            axes[rank++] = k;
    int value = fuse_whole_value(&l, term);
    if (value < 0 || c->ir->values.at[value].dtype != type.dtype || c->ir->values.at[value].rank != rank)
        value = fuse_emit_map(&l, fuse_term_cast(&l, term, fuse_dtype_compute(type.dtype)), axes, rank, 0,
                              FUSE_REDUCE_NONE, type.dtype, NULL);
    if (value >= 0 && !l.failed)
        fuse_emit_sink(&l, value, eq->item->text, NULL, axes);
}

static void lower_exports(struct fuse_checker *c) {
    for (int k = 0; k < c->exports.n; k++) {
        const struct fuse_tensor *tensor = c->tensors.at[c->exports.at[k].tensor];
        struct fuse_lowering l;
        int axes[FUSE_MAX_AXES];
        if (tensor->bad || tensor->value < 0)
            continue;
        open_tensor(&l, c, tensor);
        l.span = c->exports.at[k].span;
        for (int a = 0; a < tensor->rank; a++)
            axes[a] = a;
        fuse_emit_sink(&l, tensor->value, NULL, tensor->name, axes);
    }
}

/* Types and operations of the tensors that are needed, or of the others. */
static void lower_tensors(struct fuse_checker *c, bool needed) {
    for (int k = 0; k < c->order.n; k++) {
        struct fuse_tensor *tensor = c->tensors.at[c->order.at[k]];
        if (tensor->needed != needed || tensor->bad)
            continue;
        for (int e = 0; e < tensor->contributions.n; e++) {
            const struct fuse_equation *eq = c->equations.at[tensor->contributions.at[e]];
            for (int m = 0; m < eq->mentions.n; m++)
                tensor->bad |= c->tensors.at[eq->mentions.at[m]]->bad;
        }
        if (tensor->bad)
            continue;
        fuse_type_tensor(c, tensor);
        if (!lower_tensor(c, tensor))
            tensor->bad = true;
    }
}

void fuse_lower(struct fuse_checker *c) {
    lower_tensors(c, true);
    fuse_spread_bad(c);
    for (int e = 0; e < c->equations.n; e++)
        if (c->equations.at[e]->kind == FUSE_EQUATION_SINK && !c->equations.at[e]->bad)
            lower_sink(c, c->equations.at[e]);
    lower_exports(c);
    /* What nothing needs does not run, but what is wrong with it is said: lower it and drop the result. */
    int values = c->ir->values.n, ops = c->ir->ops.n;
    lower_tensors(c, false);
    c->ir->values.n = values;
    c->ir->ops.n = ops;
}
