/* Calls of a fn in the axes pass: what the formals take of the actuals, and what the result's axes are called. */
#include "lang/axes.h"

#include <string.h>

/* Names that two factors of some product in the expression have. */
static uint64_t shared_by_factors(struct fuse_taking *t, const struct fuse_expr *expr) {
    struct fuse_expr **child;
    uint64_t shared = 0, seen = 0;
    if (fuse_is_reference(t->c, t->eq, expr))
        return 0;
    bool product =
        expr->kind == FUSE_EXPR_BINARY && (expr->binary.op == FUSE_BINARY_MUL || expr->binary.op == FUSE_BINARY_DIV);
    int n = fuse_expr_children(t->c, &child, expr);
    for (int k = 0; k < n; k++) {
        uint64_t mine = t->c->free_names[child[k]->id];
        shared |= shared_by_factors(t, child[k]) | (product ? seen & mine : 0);
        seen |= mine;
    }
    return shared;
}

/* The last axes of an actual are bound to the formal's; of the others, what is nowhere else and shared by factors of a
 * product is summed in it. */
static uint64_t bound_names(struct fuse_taking *t, const struct fuse_expr *actual, const struct fuse_item *fn,
                            const struct fuse_lhs *formal, uint64_t elsewhere) {
    struct fuse_checker *c = t->c;
    int order[FUSE_MAX_INDICES], n = fuse_names_in_order(c, t->eq, actual, order), leading = n - formal->n;
    uint64_t set = 0;
    if (leading < 0 && t->report && !t->eq->bad) {
        struct fuse_diagnostic *d =
            fuse_complain(c, actual->span, "argument '%s' of %s has %d %s, and its last %d are wanted", formal->name,
                          fn->name, n, n == 1 ? "axis" : "axes", formal->n);
        fuse_point_to(d, formal->span, "as it stands here");
        t->eq->bad = true;
    }
    for (int k = leading < 0 ? 0 : leading; k < n; k++)
        set |= FUSE_BIT(order[k]);
    uint64_t shared = shared_by_factors(t, actual);
    for (int k = 0; k < leading; k++)
        if (FUSE_BIT(order[k]) & shared & ~elsewhere)
            set |= FUSE_BIT(order[k]);
    return set;
}

/* The index of the actuals that an index of the formals stands for, out of a set of indices; 0: none. */
static uint64_t bound_to(struct fuse_taking *t, const struct fuse_expr *call, const struct fuse_item *fn,
                         const char *name, uint64_t among) {
    for (int k = 0; k < call->apply.arguments; k++) {
        int f = fuse_formal_of(fn, call, k), order[FUSE_MAX_INDICES];
        int n = fuse_names_in_order(t->c, t->eq, call->apply.argument[k].value, order);
        for (int a = 0; f >= 0 && a < fn->formal[f].n && n >= fn->formal[f].n; a++) {
            uint64_t bit = FUSE_BIT(order[n - fn->formal[f].n + a]);
            if (strcmp(fn->formal[f].index[a].name, name) == 0 && bit & among)
                return bit;
        }
    }
    return 0;
}

static int left_for_makers(const struct fuse_taking *t) {
    uint64_t set = t->eq->left_names & ~t->named;
    for (int a = 0; a < t->eq->carried; a++)
        set &= ~FUSE_BIT(a); /* their names come first */
    return __builtin_popcountll(set) - t->makers;
}

/* Left indices in order; when there are too few of them, those that the result has in common with the actuals. In an
 * argument of another call there is no left side, and in one of a reduction it is not meant: the latter come first. What is
 * left of them in a joint equation is projected at the end. */
static uint64_t result_names(struct fuse_taking *t, const struct fuse_expr *call, const struct fuse_item *fn) {
    int *name = FUSE_NEW_ARRAY(t->c->arena, int, fn->lhs.n);
    bool inside = t->actuals > 0 || t->takers > 0;
    bool in_order = !inside && left_for_makers(t) >= fn->lhs.n;
    uint64_t set = 0,
             visible = inside || fuse_is_joint(t->c, t->eq) ? ~(uint64_t)0 : t->named | t->guarded | t->eq->left_names;
    for (int a = 0; a < fn->lhs.n; a++) {
        uint64_t bit = 0;
        name[a] = -1;
        if (t->eq->kind == FUSE_EQUATION_SINK && !inside)
            continue;
        if (!in_order && fn->lhs.index[a].name)
            bit = bound_to(t, call, fn, fn->lhs.index[a].name, visible & ~set);
        if (!bit)
            bit = fuse_next_made(t, call, a);
        if (bit)
            name[a] = __builtin_ctzll(bit);
        else if (t->report && !t->eq->bad) {
            struct fuse_diagnostic *d = fuse_complain(t->c, call->span,
                                                      "the result of %s has %d %s, and there are not as many "
                                                      "left indices that nothing on the right names",
                                                      fn->name, fn->lhs.n, fn->lhs.n == 1 ? "axis" : "axes");
            fuse_point_to(d, t->eq->item->lhs.span, "add an index for it here");
            t->eq->bad = true;
        }
        set |= bit;
    }
    t->c->result[call->id] = name;
    return set;
}

uint64_t fuse_fn_axes(struct fuse_taking *t, const struct fuse_expr *call, const struct fuse_item *fn) {
    struct fuse_checker *c = t->c;
    for (int k = 0; k < call->apply.arguments; k++) {
        const struct fuse_expr *actual = call->apply.argument[k].value;
        int f = fuse_formal_of(fn, call, k);
        uint64_t elsewhere = t->eq->left_names | c->outside[call->id];
        for (int j = 0; j < call->apply.arguments; j++) {
            int other = call->apply.argument[j].value->id;
            elsewhere |= j != k ? c->free_names[other] & ~c->inner[other] : 0;
        }
        uint64_t bound = f < 0 ? c->free_names[actual->id] : bound_names(t, actual, fn, &fn->formal[f], elsewhere);
        t->changed |= c->inner[actual->id] != bound;
        c->inner[actual->id] = bound;
    }
    return result_names(t, call, fn);
}
