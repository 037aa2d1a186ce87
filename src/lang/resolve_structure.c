/* Calls that make, glue, merge and select along axes become nodes. Which names they take and make was found by the axes
 * pass; here those become indices, and what is known about their extents is noted. */
#include "lang/resolve.h"

#include <stdlib.h>
#include <string.h>

static void fail(struct fuse_resolver *r) {
    r->eq->bad = true;
}

/* The index of the axis that a call makes: a left index, concat's own, or in a sink a new one after all others. */
static int made_index(struct fuse_resolver *r, const struct fuse_expr *expr, const struct fuse_builtin *builtin,
                      const struct fuse_scope *scope) {
    uint64_t made = r->c->made[expr->id];
    if (made)
        return fuse_find_index(r, scope, r->eq->name[__builtin_ctzll(made)], expr->span, false);
    if (r->eq->kind == FUSE_EQUATION_SINK)
        return fuse_new_index(r, builtin->name, expr->span, true);
    fail(r); /* that there is no index left was said */
    return -1;
}

static struct fuse_node *finish(struct fuse_resolver *r, struct fuse_node *node) {
    if (!fuse_finish_node(r, node))
        return NULL;
    for (int k = 0; node->own && k < node->n; k++)
        node->uses &= ~node->own[k];
    if (node->kind != FUSE_NODE_ATTENTION)
        node->uses |= FUSE_BIT(node->index);
    return node;
}

static int domain_of(const struct fuse_resolver *r, uint64_t index) {
    return r->eq->index[__builtin_ctzll(index)].domain;
}

/* ---- concat and stack ------------------------------------------------------------------------------------------- */

static struct fuse_node *glue_argument(struct fuse_resolver *r, struct fuse_node *node, int k,
                                       const struct fuse_expr *argument, const struct fuse_scope *scope) {
    struct fuse_scope *inner = FUSE_NEW(r->c->arena, struct fuse_scope);
    node->own[k] = fuse_open_scope(r, inner, scope, r->c->inner[argument->id], argument->span);
    return fuse_resolve_number(r, argument, inner);
}

/* The two indices of concat(x) in the order in which x has them. */
static bool merged_indices(struct fuse_resolver *r, struct fuse_node *node, const struct fuse_expr *argument) {
    int order[FUSE_MAX_INDICES], n = fuse_argument_order(r->c, r->eq, argument, order);
    int low = __builtin_ctzll(node->own[0]), high = 63 - __builtin_clzll(node->own[0]);
    if (n < 2 || low == high)
        return false;
    /* New indices were numbered in the order of the names' numbers. */
    bool turned = order[n - 2] > order[n - 1];
    node->pair[0] = turned ? high : low;
    node->pair[1] = turned ? low : high;
    return true;
}

static void complain_name(struct fuse_resolver *r, const struct fuse_argument *argument,
                          const struct fuse_builtin *builtin) {
    struct fuse_nearest nearest = {.wanted = argument->name};
    if (builtin->code == FUSE_BUILTIN_CONCAT)
        fuse_nearest_try(&nearest, "axis");
    const char *advice = nearest.best ? "; did you mean 'axis'?" : "";
    fuse_complain_call(
        r, argument->name_span, builtin,
        fuse_arena_printf(r->c->arena, "%s has no argument '%s'%s", builtin->name, argument->name, advice));
}

struct fuse_node *fuse_resolve_joined(struct fuse_resolver *r, const struct fuse_expr *expr,
                                      const struct fuse_builtin *builtin, const struct fuse_scope *scope) {
    struct fuse_arena *arena = r->c->arena;
    bool glues = builtin->code == FUSE_BUILTIN_CONCAT;
    int n = 0;
    for (int k = 0; k < expr->apply.arguments; k++) {
        const struct fuse_argument *argument = &expr->apply.argument[k];
        if (!argument->name)
            n++;
        else if (!glues || strcmp(argument->name, "axis") != 0)
            complain_name(r, argument, builtin);
    }
    if (n == 0 || !expr->apply.is_call)
        fuse_complain_call(r, expr->span, builtin,
                           fuse_arena_printf(arena, "%s needs an argument or more", builtin->name));
    if (r->eq->bad)
        return NULL;
    enum fuse_node_kind kind = !glues ? FUSE_NODE_STACK : n == 1 ? FUSE_NODE_MERGE : FUSE_NODE_CONCAT;
    struct fuse_node *node = fuse_new_node(r, kind, expr->span, n);
    node->builtin = builtin;
    node->own = FUSE_NEW_ARRAY(arena, uint64_t, n);
    for (int k = 0, at = 0; k < expr->apply.arguments; k++) {
        const struct fuse_expr *argument = expr->apply.argument[k].value;
        if (expr->apply.argument[k].name)
            continue;
        node->arg[at] = glues ? glue_argument(r, node, at, argument, scope) : fuse_resolve_number(r, argument, scope);
        if (!r->eq->bad && kind == FUSE_NODE_MERGE && !merged_indices(r, node, argument))
            fail(r);
        at++;
    }
    node->index = r->eq->bad ? -1 : made_index(r, expr, builtin, scope);
    if (r->eq->bad || node->index < 0)
        return NULL;
    struct fuse_position at = {.index = node->index};
    if (!glues) {
        fuse_note_extent(r, &at, n, expr->span, "stack");
        return finish(r, node);
    }
    int *part = FUSE_NEW_ARRAY(arena, int, n + 1);
    for (int k = 0; k < n; k++)
        part[k] = domain_of(r, node->own[k]);
    if (kind == FUSE_NODE_MERGE)
        for (int k = 0; k < 2; k++)
            part[k] = r->eq->index[node->pair[k]].domain;
    fuse_add_fact(r, (struct fuse_fact){.kind = FUSE_FACT_JOIN,
                                        .a = r->eq->index[node->index].domain,
                                        .part = part,
                                        .parts = kind == FUSE_NODE_MERGE ? 2 : n,
                                        .product = kind == FUSE_NODE_MERGE,
                                        .span = expr->span,
                                        .index_name = r->eq->index[node->index].name,
                                        .tensor = -1});
    return finish(r, node);
}

/* ---- one_hot, topk ---------------------------------------------------------------------------------------------- */

static struct fuse_node *one_hot(struct fuse_resolver *r, const struct fuse_expr *expr,
                                 const struct fuse_builtin *builtin, const struct fuse_arguments *arguments,
                                 const struct fuse_scope *scope) {
    struct fuse_node *node = fuse_new_node(r, FUSE_NODE_ONE_HOT, expr->span, 1);
    int64_t extent;
    node->builtin = builtin;
    node->arg[0] = fuse_argument_node(r, arguments, 0, expr, scope);
    if (!fuse_size_argument(r, &extent, arguments->value[1]))
        return NULL;
    node->index = made_index(r, expr, builtin, scope);
    if (node->index < 0)
        return NULL;
    struct fuse_position at = {.index = node->index};
    fuse_note_extent(r, &at, extent, arguments->value[1]->span, "one_hot");
    return finish(r, node);
}

/* The new axis is the slice :k of the one that is ranked. */
static struct fuse_node *topk(struct fuse_resolver *r, const struct fuse_expr *expr, const struct fuse_builtin *builtin,
                              const struct fuse_arguments *arguments, const struct fuse_scope *scope) {
    struct fuse_scope *inner = FUSE_NEW(r->c->arena, struct fuse_scope);
    struct fuse_node *node = fuse_new_node(r, FUSE_NODE_TOPK, expr->span, 1);
    int64_t k = strtoll(arguments->formal[1].preset, NULL, 10);
    node->builtin = builtin;
    node->own = FUSE_NEW(r->c->arena, uint64_t);
    node->own[0] = fuse_open_scope(r, inner, scope, r->c->taken[expr->id], expr->span);
    node->arg[0] = fuse_resolve_number(r, arguments->value[0], inner);
    if (arguments->value[1] && !fuse_constant_integer(r->c, &k, arguments->value[1], "the k of topk"))
        fail(r);
    if (r->eq->bad)
        return NULL;
    if (__builtin_popcountll(node->own[0]) != 1)
        fuse_complain_call(r, expr->span, builtin,
                           fuse_arena_printf(r->c->arena, "%s works over exactly one index, not over %s", builtin->name,
                                             fuse_quote_indices(r->c, r->eq, node->own[0])));
    else if (k < 1 || k > FUSE_MAX_TOPK)
        fuse_complain_call(r, arguments->value[1]->span, builtin,
                           fuse_arena_printf(r->c->arena, "k of %s is from 1 to %d", builtin->name, FUSE_MAX_TOPK));
    node->index = r->eq->bad ? -1 : made_index(r, expr, builtin, scope);
    if (node->index < 0)
        return NULL;
    struct fuse_position *first = FUSE_NEW(r->c->arena, struct fuse_position);
    *first = (struct fuse_position){.index = node->index, .slice = true, .has_stop = true, .stop = k, .step = 1};
    fuse_add_fact(r, (struct fuse_fact){.kind = FUSE_FACT_SLICE,
                                        .a = domain_of(r, node->own[0]),
                                        .b = r->eq->index[node->index].domain,
                                        .position = first,
                                        .span = expr->span,
                                        .index_name = r->eq->index[node->index].name,
                                        .tensor = -1});
    return finish(r, node);
}

/* ---- attention -------------------------------------------------------------------------------------------------- */

static void bind(struct fuse_scope *scope, int name, int index) {
    scope->at[scope->n].name = name;
    scope->at[scope->n++].index = index;
}

/* An argument of attention with some of its names bound: their indices are node->pair. */
static struct fuse_node *bound_argument(struct fuse_resolver *r, struct fuse_node *node, int k,
                                        const struct fuse_expr *argument, const struct fuse_scope *outer) {
    struct fuse_scope *scope = FUSE_NEW(r->c->arena, struct fuse_scope);
    int order[FUSE_MAX_INDICES], n = fuse_argument_order(r->c, r->eq, argument, order);
    scope->outer = outer;
    if (k < 2)
        bind(scope, order[n - 1], node->pair[0]);
    if (k == 1 || k == 2)
        bind(scope, order[n - 2], node->pair[1]);
    if (k == 3 && r->c->inner[argument->id])
        bind(scope, __builtin_ctzll(r->c->inner[argument->id]), node->pair[1]);
    if (k == 0 && n > 1)
        node->index = fuse_find_index(r, outer, r->eq->name[order[n - 2]], argument->span, false);
    for (int b = 0; b < scope->n; b++)
        node->own[k] |= FUSE_BIT(scope->at[b].index);
    return fuse_resolve_number(r, argument, scope);
}

/* Arguments q, k, v, mask, scale; causal is known before the program runs. */
static struct fuse_node *attention(struct fuse_resolver *r, const struct fuse_expr *expr,
                                   const struct fuse_builtin *builtin, const struct fuse_arguments *arguments,
                                   const struct fuse_scope *scope) {
    struct fuse_node *node = fuse_new_node(r, FUSE_NODE_ATTENTION, expr->span, 5);
    int order[FUSE_MAX_INDICES];
    node->builtin = builtin;
    node->own = FUSE_NEW_ARRAY(r->c->arena, uint64_t, 5);
    if (r->eq->bad)
        return NULL;
    int n = fuse_argument_order(r->c, r->eq, arguments->value[1], order);
    for (int k = 0; k < 2; k++) {
        const char *name = r->eq->name[order[n - 1 - k]];
        node->pair[k] = fuse_new_index(r, name, arguments->value[1]->span, strchr(name, ':') != NULL);
        if (node->pair[k] < 0)
            return NULL;
    }
    for (int k = 0; k < 4; k++)
        if (arguments->value[k])
            node->arg[k] = bound_argument(r, node, k, arguments->value[k], scope);
    node->arg[4] = fuse_argument_node(r, arguments, 4, expr, scope);
    node->number = (struct fuse_number){.dtype = FUSE_BOOL};
    if (arguments->value[5] && !fuse_constant(r->c, &node->number, arguments->value[5]))
        fail(r);
    if (!r->eq->bad && node->number.real > 0 && node->index < 0)
        fuse_complain_call(r, arguments->value[5]->span, builtin,
                           "causal attention needs positions: q has no index beside the one that is contracted");
    return r->eq->bad ? NULL : finish(r, node);
}

/* ---- tucker_dense ----------------------------------------------------------------------------------------------- */

static struct fuse_node *tucker_dense(struct fuse_resolver *r, const struct fuse_expr *expr,
                                      const struct fuse_builtin *builtin, const struct fuse_arguments *arguments,
                                      const struct fuse_scope *scope) {
    struct fuse_node *node = fuse_new_node(r, FUSE_NODE_ELEMENT, expr->span, 2);
    node->builtin = builtin;
    node->arg[0] = fuse_argument_node(r, arguments, 0, expr, scope);
    node->arg[1] = fuse_argument_node(r, arguments, 2, expr, scope);
    node->number = (struct fuse_number){.dtype = FUSE_I64, .integer = INT64_MAX}; /* nothing is cut off */
    if (arguments->value[1] &&
        !fuse_constant_integer(r->c, &node->number.integer, arguments->value[1], "the rank of tucker_dense"))
        fail(r);
    else if (arguments->value[1] && (node->number.integer < 1 || node->number.integer > FUSE_MAX_TUCKER_RANK))
        fuse_complain_call(
            r, arguments->value[1]->span, builtin,
            fuse_arena_printf(r->c->arena, "rank of tucker_dense is from 1 to %d", FUSE_MAX_TUCKER_RANK));
    return fuse_finish_node(r, node);
}

struct fuse_node *fuse_resolve_structure(struct fuse_resolver *r, const struct fuse_expr *expr,
                                         const struct fuse_builtin *builtin, const struct fuse_arguments *arguments,
                                         const struct fuse_scope *scope) {
    switch (builtin->code) {
    case FUSE_BUILTIN_ONE_HOT: return one_hot(r, expr, builtin, arguments, scope);
    case FUSE_BUILTIN_TUCKER_DENSE: return tucker_dense(r, expr, builtin, arguments, scope);
    case FUSE_BUILTIN_ATTENTION: return attention(r, expr, builtin, arguments, scope);
    default: return topk(r, expr, builtin, arguments, scope);
    }
}
