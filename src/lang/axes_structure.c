/* Axes that calls make, glue and contract by rules of their own: language.md section 10, concat, stack, attention. */
#include "lang/axes.h"

uint64_t fuse_next_made(struct fuse_taking *t, const struct fuse_expr *call, int number) {
    uint64_t seen = 0;
    int skip = t->makers;
    if (t->actuals > 0)
        return fuse_add_name(
            t->c, t->eq, fuse_arena_printf(t->c->arena, "%s.%d.%d", call->apply.name, call->id, number), call->span);
    for (int a = t->eq->carried; a < t->eq->lefts; a++) {
        int index = t->eq->left[a].index;
        if (index < 0)
            continue;
        uint64_t bit = fuse_add_name(t->c, t->eq, t->eq->index[index].name, t->eq->left[a].span);
        if (!(bit & (seen | t->named)) && skip-- == 0) {
            t->makers++;
            return bit;
        }
        seen |= bit;
    }
    return 0;
}

/* In a sink the new axis has no name that anything else could use. */
static uint64_t made_axis(struct fuse_taking *t, const struct fuse_expr *call, const struct fuse_builtin *builtin) {
    if (t->eq->kind == FUSE_EQUATION_SINK && t->actuals == 0)
        return 0;
    uint64_t made = fuse_next_made(t, call, 0);
    if (!made && t->report && !t->eq->bad) {
        struct fuse_diagnostic *d = fuse_complain(t->c, call->span,
                                                  "%s makes a new axis, but every left index stands on "
                                                  "the right side already",
                                                  builtin->name);
        fuse_point_to(d, t->eq->item->lhs.span, "add an index for it here");
        t->eq->bad = true;
    }
    return made;
}

static void complain_here(struct fuse_taking *t, struct fuse_span span, const char *message) {
    if (t->report && !t->eq->bad)
        fuse_advise(t->c, fuse_complain(t->c, span, "%s", message),
                    "docs/builtins.md says which indices a function takes");
    if (t->report)
        t->eq->bad = true;
}

/* The name that axis= of concat gives, 0 without one. It may be the result's alone. */
static uint64_t named_axis(struct fuse_taking *t, const struct fuse_expr *call) {
    const struct fuse_argument *axis = fuse_named_argument(call, "axis");
    int64_t position;
    if (!axis)
        return 0;
    if (fuse_axis_as_position(t, axis->value, &position))
        return fuse_axis_by_position(t, call, fuse_call_argument(call, "", 0), position, axis->value->span);
    if (axis->value->kind == FUSE_EXPR_REF && !axis->value->ref.has_brackets)
        return fuse_add_name(t->c, t->eq, axis->value->ref.name, axis->value->span);
    complain_here(t, axis->value->span, "axis= of concat takes an index name or a position");
    return 0;
}

/* concat(a, b, .., axis=): what is glued in each argument is the argument's own. Returns the result's index: axis= if no
 * argument has it, else a left index that nothing names, else the glued index of the first argument, as a new axis. */
static uint64_t glue(struct fuse_taking *t, const struct fuse_expr *call) {
    struct fuse_checker *c = t->c;
    uint64_t axis = named_axis(t, call), first = 0, had = 0;
    int order[FUSE_MAX_INDICES], given = 0;
    for (int k = 0; k < call->apply.arguments; k++)
        given += call->apply.argument[k].name == NULL;
    for (int k = 0; k < call->apply.arguments; k++) {
        const struct fuse_expr *argument = call->apply.argument[k].value;
        if (call->apply.argument[k].name)
            continue;
        int n = fuse_argument_order(c, t->eq, argument, order);
        uint64_t set = 0, glued;
        for (int a = 0; a < n; a++)
            set |= FUSE_BIT(order[a]);
        uint64_t lacking = t->eq->kind == FUSE_EQUATION_SINK ? 0 : set & ~t->eq->left_names;
        had |= set;
        if (given == 1 && n >= 2)
            glued = FUSE_BIT(order[n - 1]) | FUSE_BIT(order[n - 2]);
        else if (axis & set)
            glued = axis;
        else if (lacking && !(lacking & (lacking - 1)))
            glued = lacking;
        else
            glued = n > 0 ? FUSE_BIT(order[n - 1]) : 0;
        if (given == 1 && n < 2)
            complain_here(t, argument->span, "concat of one argument merges its last two axes: it has fewer");
        else if (n == 0)
            complain_here(t, argument->span, "this argument of concat has no index along which it could be glued");
        c->inner[argument->id] = glued;
        if (!first && n > 0)
            first = FUSE_BIT(order[n - 1]) & glued ? FUSE_BIT(order[n - 1]) : glued;
    }
    if (axis && !(axis & had))
        return axis;
    uint64_t made = t->eq->kind == FUSE_EQUATION_SINK || t->actuals > 0 ? 0 : fuse_next_made(t, call, 0);
    return made ? made : first;
}

/* attention(q, k, v, mask=): the last index of q and k, the second last of k and v; the mask calls the latter as k does,
 * or, when q has an index of that name itself, has it last. */
static void take_attention(struct fuse_taking *t, const struct fuse_expr *call) {
    static const char *const name[] = {"q", "k", "v"};
    struct fuse_checker *c = t->c;
    const struct fuse_expr *mask = fuse_call_argument(call, "mask", 3);
    int order[FUSE_MAX_INDICES];
    uint64_t key = 0, query = 0;
    for (int k = 0; k < 3; k++) {
        const struct fuse_expr *argument = fuse_call_argument(call, name[k], k);
        if (!argument)
            return; /* that it lacks one will be said */
        int n = fuse_argument_order(c, t->eq, argument, order);
        if (n < (k == 0 ? 1 : 2)) {
            complain_here(t, argument->span,
                          k == 0 ? "q of attention has no index to contract with k"
                                 : "k and v of attention need two indices or more");
            continue;
        }
        uint64_t last = FUSE_BIT(order[n - 1]), second = n > 1 ? FUSE_BIT(order[n - 2]) : 0;
        c->inner[argument->id] = k == 0 ? last : k == 1 ? last | second : second;
        if (k == 0)
            query = c->free_names[argument->id] & ~last;
        if (k == 1)
            key = second;
    }
    if (!mask)
        return;
    int n = fuse_argument_order(c, t->eq, mask, order);
    c->inner[mask->id] = !(key & query) ? key & c->free_names[mask->id] : n > 0 ? FUSE_BIT(order[n - 1]) : 0;
}

uint64_t fuse_structure_axes(struct fuse_taking *t, const struct fuse_expr *call, const struct fuse_builtin *builtin) {
    switch (builtin->code) {
    case FUSE_BUILTIN_ONE_HOT:
    case FUSE_BUILTIN_STACK:
    case FUSE_BUILTIN_TOPK:
    case FUSE_BUILTIN_TOPK_INDEX: return made_axis(t, call, builtin);
    case FUSE_BUILTIN_CONCAT: return glue(t, call);
    case FUSE_BUILTIN_ATTENTION: take_attention(t, call); return 0;
    default: return 0;
    }
}
