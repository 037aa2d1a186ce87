/* Which indices does each construct take? language.md sections 5.2 and 10: axis=, the default axes, reduce().
 *
 * A name that a reduction takes is a name of that operand only. What a reduction without axis= takes depends on what
 * stands elsewhere in the equation, and what stands elsewhere depends on what other reductions take; so the sets are
 * found by iteration, from the largest downwards: mean(A[i]) / mean(B[i]) takes both i, mean(A[i]) B[i] none. */
#include "lang/axes.h"

#include <string.h>

int fuse_name_number(struct fuse_checker *c, struct fuse_equation *eq, const char *name, struct fuse_span span) {
    for (int k = 0; k < eq->names; k++)
        if (strcmp(eq->name[k], name) == 0)
            return k;
    if (eq->names == FUSE_MAX_INDICES) {
        if (!eq->too_many)
            fuse_complain(c, span, "this equation has more than %d index names", FUSE_MAX_INDICES);
        eq->too_many = eq->bad = true;
        return -1;
    }
    eq->name[eq->names] = name;
    return eq->names++;
}

bool fuse_index_is_name(const struct fuse_checker *c, const struct fuse_equation *eq, const struct fuse_index *index) {
    if (index->kind == FUSE_INDEX_SLICE || index->kind == FUSE_INDEX_STEP)
        return true;
    if (index->kind != FUSE_INDEX_NAME)
        return false;
    const struct fuse_symbol *symbol = fuse_find_symbol(c, eq->block, index->name);
    return !symbol || symbol->kind != FUSE_SYMBOL_CONST;
}

int fuse_reference_indices(const struct fuse_expr *expr, const struct fuse_index **index) {
    *index = expr->kind == FUSE_EXPR_REF ? expr->ref.index : expr->apply.index;
    return expr->kind == FUSE_EXPR_REF ? expr->ref.n : expr->apply.indices;
}

const char *fuse_index_argument(const struct fuse_expr *call, struct fuse_span *span) {
    if (call->apply.is_ref) {
        const struct fuse_index *index = call->apply.index;
        if (call->apply.indices != 1 || index->kind != FUSE_INDEX_NAME || index->offset != 0 || index->dotted)
            return NULL;
        *span = index->span;
        return index->name;
    }
    if (call->apply.arguments != 1 || call->apply.argument[0].name)
        return NULL;
    const struct fuse_expr *value = call->apply.argument[0].value;
    if (value->kind != FUSE_EXPR_REF || value->ref.has_brackets)
        return NULL;
    *span = value->span;
    return value->ref.name;
}

const struct fuse_argument *fuse_named_argument(const struct fuse_expr *call, const char *name) {
    for (int k = 0; k < call->apply.arguments; k++)
        if (call->apply.argument[k].name && strcmp(call->apply.argument[k].name, name) == 0)
            return &call->apply.argument[k];
    return NULL;
}

const struct fuse_builtin *fuse_called_builtin(const struct fuse_checker *c, const struct fuse_equation *eq,
                                               const struct fuse_expr *expr) {
    if (expr->kind != FUSE_EXPR_APPLY || (!expr->apply.macro && fuse_find_symbol(c, eq->block, expr->apply.name)))
        return NULL;
    return fuse_builtin_find(expr->apply.name);
}

bool fuse_is_reference(const struct fuse_checker *c, const struct fuse_equation *eq, const struct fuse_expr *expr) {
    if (expr->kind == FUSE_EXPR_REF)
        return true;
    if (expr->kind != FUSE_EXPR_APPLY || expr->apply.macro || !expr->apply.is_ref)
        return false;
    const struct fuse_symbol *symbol = fuse_find_symbol(c, eq->block, expr->apply.name);
    return symbol && symbol->kind == FUSE_SYMBOL_TENSOR;
}

int fuse_expr_children(struct fuse_checker *c, struct fuse_expr ***out, const struct fuse_expr *expr) {
    FUSE_VEC(struct fuse_expr *) list = {0};
    const struct fuse_expr *at;
    int depth = 0;
    if (expr->kind == FUSE_EXPR_BINARY) {
        for (at = expr; at->kind == FUSE_EXPR_BINARY; at = at->binary.left)
            depth++;
        *out = FUSE_NEW_ARRAY(c->arena, struct fuse_expr *, depth + 1);
        at = expr;
        for (int k = depth; k > 0; k--, at = at->binary.left) {
            (*out)[k] = at->binary.right;
            (*out)[0] = at->binary.left;
        }
        return depth + 1;
    }
    for (int k = 0; k < fuse_expr_parts(expr); k++) {
        const char *name = expr->kind == FUSE_EXPR_APPLY ? expr->apply.argument[k].name : NULL;
        if (!name || strcmp(name, "axis") != 0)
            fuse_vec_push(c->arena, &list, fuse_expr_part(expr, k));
    }
    *out = list.at;
    return list.n;
}

uint64_t fuse_add_name(struct fuse_checker *c, struct fuse_equation *eq, const char *name, struct fuse_span span) {
    int number = fuse_name_number(c, eq, name, span);
    return number < 0 ? 0 : FUSE_BIT(number);
}

/* Names that stand in the expression itself; *leaf when there is nothing else to look at. */
static uint64_t own_names(struct fuse_checker *c, struct fuse_equation *eq, const struct fuse_expr *expr, bool *leaf) {
    uint64_t set = 0;
    *leaf = fuse_is_reference(c, eq, expr);
    if (*leaf) {
        const struct fuse_index *index;
        int n = fuse_reference_indices(expr, &index);
        for (int k = 0; k < n; k++)
            if (fuse_index_is_name(c, eq, &index[k]))
                set |= fuse_add_name(c, eq, index[k].name, index[k].span);
        return set;
    }
    const struct fuse_builtin *builtin = fuse_called_builtin(c, eq, expr);
    if (builtin && builtin->group == FUSE_GROUP_INDEX) {
        struct fuse_span span;
        const char *name = fuse_index_argument(expr, &span);
        *leaf = true;
        return name ? fuse_add_name(c, eq, name, span) : 0;
    }
    return 0;
}

const struct fuse_expr *fuse_call_argument(const struct fuse_expr *call, const char *name, int place) {
    const struct fuse_argument *named = fuse_named_argument(call, name);
    if (named)
        return named->value;
    for (int k = 0; k < call->apply.arguments; k++)
        if (!call->apply.argument[k].name && place-- == 0)
            return call->apply.argument[k].value;
    return NULL;
}

/* What a reduction or a normaliser works over: its first formal, x save for softmax_grad's y. */
static const struct fuse_expr *first_argument(const struct fuse_expr *call) {
    const struct fuse_builtin *builtin = fuse_builtin_find(call->apply.name);
    bool y = builtin && builtin->code == FUSE_BUILTIN_SOFTMAX_GRAD;
    return fuse_call_argument(call, y ? "y" : "x", 0);
}

/* ---- order of first appearance -------------------------------------------------------------------------------- */

struct order {
    struct fuse_checker *c;
    struct fuse_equation *eq;
    int *out, n;
    uint64_t seen, made; /* made: axes that calls make come after all others */
};

static bool takes_axes_away(const struct fuse_builtin *builtin) {
    return builtin && (builtin->group == FUSE_GROUP_REDUCTION || builtin->group == FUSE_GROUP_RANKING);
}

static void add_number(struct order *o, int number, uint64_t hidden) {
    if (number >= 0 && !((hidden | o->seen) & FUSE_BIT(number))) {
        o->seen |= FUSE_BIT(number);
        o->out[o->n++] = number;
    }
}

static void add_in_order(struct order *o, const struct fuse_expr *expr, uint64_t hidden) {
    bool leaf;
    own_names(o->c, o->eq, expr, &leaf);
    if (leaf) {
        const struct fuse_index *index;
        const char *name;
        struct fuse_span span;
        bool ref = fuse_is_reference(o->c, o->eq, expr);
        int n = ref ? fuse_reference_indices(expr, &index) : 1;
        for (int k = 0; k < n; k++) {
            name = ref ? index[k].name : fuse_index_argument(expr, &span);
            if (!name || (ref && !fuse_index_is_name(o->c, o->eq, &index[k])))
                continue;
            add_number(o, fuse_name_number(o->c, o->eq, name, expr->span), hidden);
        }
        return;
    }
    const struct fuse_builtin *builtin = fuse_called_builtin(o->c, o->eq, expr);
    uint64_t made = o->c->made[expr->id] & ~hidden;
    if (expr->kind == FUSE_EXPR_REDUCE || takes_axes_away(builtin))
        hidden |= o->c->taken[expr->id];
    struct fuse_expr **child;
    int n = fuse_expr_children(o->c, &child, expr);
    for (int k = 0; k < n; k++)
        add_in_order(o, child[k], hidden | o->c->inner[child[k]->id]);
    o->made |= made;
    const struct fuse_item *fn = fuse_called_fn(o->c, o->eq, expr);
    for (int a = 0; fn && o->c->result[expr->id] && a < fn->lhs.n; a++)
        add_number(o, o->c->result[expr->id][a], hidden);
}

int fuse_names_in_order(struct fuse_checker *c, struct fuse_equation *eq, const struct fuse_expr *expr,
                        int out[FUSE_MAX_INDICES]) {
    struct order order = {.c = c, .eq = eq, .out = out};
    add_in_order(&order, expr, 0);
    for (int k = 0; k < eq->names; k++)
        if (order.made & ~order.seen & FUSE_BIT(k))
            out[order.n++] = k;
    return order.n;
}

static uint64_t free_in(const struct fuse_checker *c, const struct fuse_expr *expr) {
    uint64_t set = 0;
    for (; expr->kind == FUSE_EXPR_BINARY; expr = expr->binary.left) /* only its operands have sets of their own */
        set |= c->free_names[expr->binary.right->id];
    return set | c->free_names[expr->id];
}

static bool is_product(const struct fuse_expr *expr) {
    return expr->kind == FUSE_EXPR_BINARY && (expr->binary.op == FUSE_BINARY_MUL || expr->binary.op == FUSE_BINARY_DIV);
}

/* Names that two factors of a product share. */
static uint64_t shared_names(const struct fuse_checker *c, const struct fuse_expr *expr) {
    uint64_t shared = 0;
    for (; expr->kind == FUSE_EXPR_BINARY; expr = expr->binary.left) {
        shared |= shared_names(c, expr->binary.right);
        uint64_t factor = c->free_names[expr->binary.right->id];
        for (const struct fuse_expr *at = expr; is_product(at); at = at->binary.left)
            shared |= factor & (is_product(at->binary.left) ? c->free_names[at->binary.left->binary.right->id]
                                                            : free_in(c, at->binary.left));
    }
    return expr->kind == FUSE_EXPR_UNARY ? shared | shared_names(c, expr->unary.operand) : shared;
}

int fuse_argument_order(struct fuse_checker *c, struct fuse_equation *eq, const struct fuse_expr *expr,
                        int out[FUSE_MAX_INDICES]) {
    uint64_t summed = eq->kind == FUSE_EQUATION_SINK ? 0 : shared_names(c, expr) & ~eq->left_names;
    int n = 0, all = fuse_names_in_order(c, eq, expr, out);
    for (int k = 0; k < all; k++)
        if (!(summed & FUSE_BIT(out[k])))
            out[n++] = out[k];
    return n;
}

/* ---- axis= ---------------------------------------------------------------------------------------------------- */

static const char *quote_names(struct fuse_taking *t, uint64_t set) {
    struct fuse_text text = {.arena = t->c->arena};
    for (int k = 0; k < t->eq->names; k++)
        if (set & FUSE_BIT(k))
            fuse_text_add(&text, "%s'%s'", text.at ? ", " : "", t->eq->name[k]);
    return text.at ? text.at : "none";
}

static uint64_t axis_by_name(struct fuse_taking *t, const struct fuse_expr *call, const char *name,
                             struct fuse_span span, uint64_t available) {
    uint64_t bit = fuse_add_name(t->c, t->eq, name, span);
    if (t->report && bit && !(bit & available)) {
        struct fuse_diagnostic *d =
            fuse_complain(t->c, span, "the argument of %s has no index '%s'", call->apply.name, name);
        fuse_advise(t->c, d, "its indices: %s", quote_names(t, available));
        t->eq->bad = true;
    }
    return bit & available;
}

uint64_t fuse_axis_by_position(struct fuse_taking *t, const struct fuse_expr *call, const struct fuse_expr *argument,
                               int64_t position, struct fuse_span span) {
    struct fuse_checker *c = t->c;
    if (!argument)
        return 0;
    const struct fuse_index *index = NULL;
    int order[FUSE_MAX_INDICES];
    bool reference = fuse_is_reference(c, t->eq, argument);
    int n = reference ? fuse_reference_indices(argument, &index) : fuse_names_in_order(c, t->eq, argument, order);
    int64_t at = position < 0 ? position + n : position;
    if (at < 0 || at >= n) {
        if (t->report) {
            fuse_complain(c, span, "axis=%lld: the argument of %s has %d axes", (long long)position, call->apply.name,
                          n);
            t->eq->bad = true;
        }
        return 0;
    }
    if (!reference)
        return FUSE_BIT(order[at]);
    if (!fuse_index_is_name(c, t->eq, &index[at])) {
        if (t->report) {
            fuse_complain(c, span, "axis=%lld: position %lld of the argument is fixed", (long long)position,
                          (long long)at);
            t->eq->bad = true;
        }
        return 0;
    }
    return fuse_add_name(c, t->eq, index[at].name, index[at].span);
}

bool fuse_axis_as_position(struct fuse_taking *t, const struct fuse_expr *value, int64_t *out) {
    bool negative = value->kind == FUSE_EXPR_UNARY && value->unary.op == FUSE_UNARY_NEG;
    const struct fuse_expr *number = negative ? value->unary.operand : value;
    if (number->kind == FUSE_EXPR_NUMBER && number->number.is_integer) {
        *out = negative ? -number->number.integer : number->number.integer;
        return true;
    }
    if (number->kind == FUSE_EXPR_REF && !number->ref.has_brackets) {
        struct fuse_symbol *symbol = fuse_find_symbol(t->c, t->eq->block, number->ref.name);
        struct fuse_number constant;
        if (symbol && symbol->kind == FUSE_SYMBOL_CONST && fuse_symbol_number(t->c, &constant, symbol) &&
            constant.dtype == FUSE_I64 && constant.integer > -1000 && constant.integer < 1000) {
            *out = negative ? -constant.integer : constant.integer;
            return true;
        }
    }
    return false;
}

static uint64_t explicit_axes(struct fuse_taking *t, const struct fuse_expr *call, const struct fuse_expr *value,
                              uint64_t available) {
    int64_t position;
    if (fuse_axis_as_position(t, value, &position))
        return fuse_axis_by_position(t, call, first_argument(call), position, value->span);
    if (value->kind == FUSE_EXPR_REF && !value->ref.has_brackets)
        return axis_by_name(t, call, value->ref.name, value->span, available);
    if (value->kind == FUSE_EXPR_LIST && value->list.n > 0) {
        uint64_t set = 0;
        if (!value->list.item && value->list.integer) {
            for (int k = 0; k < value->list.n; k++)
                set |= fuse_axis_by_position(t, call, first_argument(call), value->list.integer[k], value->span);
            return set;
        }
        bool good = value->list.item != NULL;
        for (int k = 0; good && k < value->list.n; k++) {
            good = value->list.item[k]->kind != FUSE_EXPR_LIST;
            if (good)
                set |= explicit_axes(t, call, value->list.item[k], available);
        }
        if (good)
            return set;
    }
    if (t->report) {
        fuse_complain(t->c, value->span, "axis= takes an index name, a list of them or a position");
        t->eq->bad = true;
    }
    return 0;
}

/* ---- what each construct takes -------------------------------------------------------------------------------- */

/* sum(Y) for a Y of rank 1: that Y lacks its index is what will be said. */
static bool has_wrong_rank(const struct fuse_taking *t, const struct fuse_expr *expr) {
    if (!expr || !fuse_is_reference(t->c, t->eq, expr))
        return false;
    const struct fuse_index *index;
    const struct fuse_symbol *symbol =
        fuse_find_symbol(t->c, t->eq->block, expr->kind == FUSE_EXPR_REF ? expr->ref.name : expr->apply.name);
    int n = fuse_reference_indices(expr, &index);
    return !symbol || symbol->kind != FUSE_SYMBOL_TENSOR || t->c->tensors.at[symbol->tensor]->rank != n;
}

static uint64_t reduction_axes(struct fuse_taking *t, const struct fuse_expr *call, uint64_t available) {
    const struct fuse_argument *axis = fuse_named_argument(call, "axis");
    if (axis)
        return explicit_axes(t, call, axis->value, available);
    if (available & t->eq->dotted_names)
        return available & t->eq->dotted_names;
    uint64_t set = available & ~t->eq->left_names & ~t->c->outside[call->id];
    if (t->report && !set && !t->eq->bad && !has_wrong_rank(t, first_argument(call))) {
        struct fuse_diagnostic *d =
            fuse_complain(t->c, call->span, "%s has no index to work over: %s", call->apply.name,
                          available ? "all indices of its argument stand elsewhere in the "
                                      "equation too"
                                    : "its argument has none");
        if (available)
            fuse_advise(t->c, d, "name it: %s(.., axis=%s)", call->apply.name, t->eq->name[__builtin_ctzll(available)]);
        t->eq->bad = true;
    }
    return set;
}

static uint64_t normaliser_axis(struct fuse_taking *t, const struct fuse_expr *call, uint64_t available) {
    const struct fuse_argument *axis = fuse_named_argument(call, "axis");
    const struct fuse_builtin *builtin = fuse_builtin_find(call->apply.name);
    if (axis)
        return explicit_axes(t, call, axis->value, available);
    if (available & t->eq->dotted_names && builtin->code != FUSE_BUILTIN_ROPE)
        return available & t->eq->dotted_names;
    const struct fuse_expr *argument = first_argument(call);
    if (argument && fuse_is_reference(t->c, t->eq, argument)) {
        const struct fuse_index *index;
        for (int k = fuse_reference_indices(argument, &index) - 1; k >= 0; k--)
            if (fuse_index_is_name(t->c, t->eq, &index[k]))
                return fuse_add_name(t->c, t->eq, index[k].name, index[k].span);
    }
    if (t->eq->kind == FUSE_EQUATION_SINK) { /* its left side is the order in which its indices appear */
        int order[FUSE_MAX_INDICES];
        for (int k = fuse_names_in_order(t->c, t->eq, t->eq->item->value, order) - 1; k >= 0; k--)
            if (available & FUSE_BIT(order[k]))
                return FUSE_BIT(order[k]);
    } else if (available & t->eq->left_names) {
        return FUSE_BIT(63 - __builtin_clzll(available & t->eq->left_names));
    }
    if (t->report && !t->eq->bad) {
        struct fuse_diagnostic *d = fuse_complain(t->c, call->span,
                                                  "%s has no axis to work over: its argument has no "
                                                  "index of the left side",
                                                  call->apply.name);
        if (available)
            fuse_advise(t->c, d, "name it: %s(.., axis=%s)", call->apply.name, t->eq->name[__builtin_ctzll(available)]);
        t->eq->bad = true;
    }
    return 0;
}

static uint64_t reduce_indices(struct fuse_taking *t, const struct fuse_expr *expr, uint64_t available) {
    uint64_t set = 0;
    for (int k = 0; k < expr->reduce.n; k++) {
        const struct fuse_index *index = &expr->reduce.index[k];
        uint64_t bit = 0;
        if (index->kind == FUSE_INDEX_NAME)
            bit = fuse_add_name(t->c, t->eq, index->name, index->span);
        if (t->report && !fuse_index_is_name(t->c, t->eq, index)) {
            fuse_complain(t->c, index->span, "'%s' is a constant, not an index", index->name ? index->name : "this");
            t->eq->bad = true;
        } else if (t->report && bit & t->eq->left_names) {
            struct fuse_diagnostic *d =
                fuse_complain(t->c, index->span, "index '%s' of reduce is on the left side too", index->name);
            fuse_advise(t->c, d, "reduce takes its index away; call it something else inside, such as '%s2'",
                        index->name);
            t->eq->bad = true;
        } else if (t->report && bit && !(bit & available)) {
            fuse_complain(t->c, index->span, "the body of reduce has no index '%s'", index->name);
            t->eq->bad = true;
        }
        set |= bit & available;
    }
    return set;
}

/* ---- up and down ----------------------------------------------------------------------------------------------- */

/* Bottom-up: what is free in the expression and what it takes, given what reaches it from outside. */
static uint64_t walk_up(struct fuse_taking *t, const struct fuse_expr *expr) {
    struct fuse_checker *c = t->c;
    bool leaf;
    uint64_t set = own_names(c, t->eq, expr, &leaf), named = set, taken = 0, made = 0;
    if (!leaf) {
        struct fuse_expr **child;
        int n = fuse_expr_children(c, &child, expr);
        const struct fuse_builtin *builtin = fuse_called_builtin(c, t->eq, expr);
        const struct fuse_item *fn = fuse_called_fn(c, t->eq, expr);
        bool takes = expr->kind == FUSE_EXPR_REDUCE || takes_axes_away(builtin);
        t->actuals += fn != NULL;
        t->takers += takes;
        for (int k = 0; k < n; k++) {
            walk_up(t, child[k]);
            named |= fn ? 0 : c->named[child[k]->id];
        }
        t->actuals -= fn != NULL;
        t->takers -= takes;
        if (builtin && expr->apply.is_call)
            made = fuse_structure_axes(t, expr, builtin);
        if (fn)
            made = fuse_fn_axes(t, expr, fn);
        for (int k = 0; k < n && fn; k++)
            named |= c->named[child[k]->id] & ~c->inner[child[k]->id];
        named |= t->actuals > 0 ? made : 0;
        for (int k = 0; k < n; k++)
            set |= c->free_names[child[k]->id] & ~c->inner[child[k]->id];
        if (expr->kind == FUSE_EXPR_REDUCE) {
            taken = reduce_indices(t, expr, set);
        } else if (builtin && (builtin->group == FUSE_GROUP_NORMALISER || takes_axes_away(builtin))) {
            const struct fuse_expr *argument = first_argument(expr);
            uint64_t available = argument ? c->free_names[argument->id] : 0;
            taken = builtin->group == FUSE_GROUP_REDUCTION ? reduction_axes(t, expr, available)
                                                           : normaliser_axis(t, expr, available);
        }
        if (expr->kind == FUSE_EXPR_REDUCE || takes_axes_away(builtin)) {
            set &= ~taken;
            named &= ~taken;
        }
        set |= made;
    }
    t->changed |= c->taken[expr->id] != taken || c->free_names[expr->id] != set || c->made[expr->id] != made;
    c->taken[expr->id] = taken;
    c->named[expr->id] = named;
    c->made[expr->id] = made;
    return c->free_names[expr->id] = set;
}

/* Top-down: what stands elsewhere. An index that a construct is told to take counts as standing there. */
static void walk_down(struct fuse_taking *t, const struct fuse_expr *expr, uint64_t outside) {
    struct fuse_checker *c = t->c;
    struct fuse_expr **child;
    bool leaf;
    c->outside[expr->id] = outside;
    own_names(c, t->eq, expr, &leaf);
    if (leaf)
        return;
    const struct fuse_builtin *builtin = fuse_called_builtin(c, t->eq, expr);
    if (expr->kind == FUSE_EXPR_REDUCE)
        outside |= c->taken[expr->id];
    else if (builtin && builtin->group == FUSE_GROUP_REDUCTION && fuse_named_argument(expr, "axis"))
        outside |= c->taken[expr->id];
    else if (builtin && builtin->group == FUSE_GROUP_REDUCTION)
        outside &= ~c->taken[expr->id];
    else if (builtin && (builtin->group == FUSE_GROUP_NORMALISER || takes_axes_away(builtin)))
        outside |= c->taken[expr->id];

    int n = fuse_expr_children(c, &child, expr);
    uint64_t *after = FUSE_NEW_ARRAY(c->arena, uint64_t, n + 1), before = 0;
    for (int k = n - 1; k >= 0; k--)
        after[k] = after[k + 1] | (c->free_names[child[k]->id] & ~c->inner[child[k]->id]);
    for (int k = 0; k < n; k++) {
        uint64_t inner = c->inner[child[k]->id];
        walk_down(t, child[k], outside | before | after[k + 1] | inner);
        before |= c->free_names[child[k]->id] & ~inner;
    }
}

/* The body of a fn, and an argument of one, belong to several equations. */
static void forget(struct fuse_checker *c, const struct fuse_expr *expr) {
    struct fuse_expr **child;
    int id = expr->id;
    c->taken[id] = c->free_names[id] = c->inner[id] = c->outside[id] = c->made[id] = c->named[id] = 0;
    c->result[id] = NULL;
    int n = fuse_expr_children(c, &child, expr);
    for (int k = 0; k < n; k++)
        forget(c, child[k]);
}

/* One round upwards; what is named decides in the next round which left indices calls make axes of. */
static void go_up(struct fuse_taking *t) {
    const struct fuse_expr *guard = t->eq->item->guard, *value = t->eq->item->value;
    t->makers = 0;
    if (guard)
        walk_up(t, guard);
    walk_up(t, value);
    uint64_t named = t->c->named[value->id], guarded = guard ? t->c->named[guard->id] : 0;
    t->changed |= named != t->named || guarded != t->guarded;
    t->named = named;
    t->guarded = guarded;
}

void fuse_take_axes(struct fuse_checker *c, struct fuse_equation *eq) {
    struct fuse_taking t = {.c = c, .eq = eq, .named = ~(uint64_t)0};
    const struct fuse_expr *guard = eq->item->guard, *value = eq->item->value;
    if (c->calls > 0)
        forget(c, value);
    if (c->calls > 0 && guard)
        forget(c, guard);
    for (int round = 0; round <= 2 * FUSE_MAX_INDICES; round++) {
        t.changed = round == 0;
        go_up(&t);
        if (!t.changed || eq->bad)
            break;
        if (guard)
            walk_down(&t, guard, c->free_names[value->id]);
        walk_down(&t, value, guard ? c->free_names[guard->id] : 0);
    }
    t.report = true;
    go_up(&t);
}
