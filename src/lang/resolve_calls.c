/* Calls, reduce() and literal lists become nodes. */
#include "lang/resolve.h"

#include <stdlib.h>
#include <string.h>

static void fail(struct fuse_resolver *r) {
    r->eq->bad = true;
}

/* ---- arguments ------------------------------------------------------------------------------------------------ */

void fuse_complain_call(struct fuse_resolver *r, struct fuse_span span, const struct fuse_builtin *builtin,
                        const char *message) {
    struct fuse_diagnostic *d = fuse_complain(r->c, span, "%s", message);
    fuse_advise(r->c, d, "%s(%s): %s", builtin->name, builtin->signature, builtin->doc);
    fail(r);
}

/* Arguments meet formals: in order, or by name. axis= is always named, and read by the axes pass. */
static bool match(struct fuse_resolver *r, struct fuse_arguments *out, const struct fuse_expr *expr,
                  const struct fuse_builtin *builtin) {
    struct fuse_arena *arena = r->c->arena;
    *out = (struct fuse_arguments){.n = 0};
    out->n = fuse_builtin_formals(out->formal, builtin, arena);
    int places = out->n > 0 && strcmp(out->formal[out->n - 1].name, "axis") == 0 ? out->n - 1 : out->n, next = 0;
    bool good = true;
    if (!expr->apply.is_call) {
        fuse_complain_call(r, expr->span, builtin,
                           fuse_arena_printf(arena, "these are no arguments of %s", builtin->name));
        return false;
    }
    for (int k = 0; k < expr->apply.arguments; k++) {
        const struct fuse_argument *argument = &expr->apply.argument[k];
        int at = -1;
        if (!argument->name) {
            at = next++;
            if (at >= places) {
                fuse_complain_call(
                    r, argument->value->span, builtin,
                    fuse_arena_printf(arena, "%s takes %d argument%s", builtin->name, places, places == 1 ? "" : "s"));
                return false;
            }
        } else {
            struct fuse_nearest nearest = {.wanted = argument->name};
            for (int f = 0; f < out->n; f++) {
                if (strcmp(out->formal[f].name, argument->name) == 0)
                    at = f;
                fuse_nearest_try(&nearest, out->formal[f].name);
            }
            if (at < 0) {
                fuse_complain_call(
                    r, argument->name_span, builtin,
                    nearest.best ? fuse_arena_printf(arena, "%s has no argument '%s'; did you mean '%s'?",
                                                     builtin->name, argument->name, nearest.best)
                                 : fuse_arena_printf(arena, "%s has no argument '%s'", builtin->name, argument->name));
                good = false;
                continue;
            }
        }
        if (out->value[at]) {
            fuse_complain_call(
                r, argument->name ? argument->name_span : argument->value->span, builtin,
                fuse_arena_printf(arena, "argument '%s' of %s is given twice", out->formal[at].name, builtin->name));
            good = false;
        }
        out->value[at] = argument->value;
    }
    for (int f = 0; good && f < out->n; f++)
        if (!out->formal[f].optional && !out->value[f]) {
            fuse_complain_call(
                r, expr->span, builtin,
                fuse_arena_printf(arena, "%s lacks its argument '%s'", builtin->name, out->formal[f].name));
            good = false;
        }
    return good;
}

/* The argument as a node; one that is left out takes its preset, or is NULL. */
struct fuse_node *fuse_argument_node(struct fuse_resolver *r, const struct fuse_arguments *arguments, int k,
                                     const struct fuse_expr *call, const struct fuse_scope *scope) {
    if (arguments->value[k])
        return fuse_resolve_number(r, arguments->value[k], scope);
    const char *preset = arguments->formal[k].preset;
    if (!preset[0])
        return NULL;
    struct fuse_number number = {.dtype = FUSE_F64, .real = strtod(preset, NULL)};
    if (!strpbrk(preset, ".e")) {
        number.dtype = FUSE_I64;
        number.integer = (int64_t)number.real;
    }
    return fuse_number_node(r, &number, call->span);
}

/* ---- what carries the left side's positions ------------------------------------------------------------------- */

/* Gives the node the left side's positions in order; with fewer axes than positions, those that are not fixed. */
static bool attach_left(struct fuse_resolver *r, struct fuse_node *node, int rank, const char *what,
                        const struct fuse_scope *scope) {
    const struct fuse_equation *eq = r->eq;
    struct fuse_position *at = FUSE_NEW_ARRAY(r->c->arena, struct fuse_position, FUSE_MAX_AXES);
    int n = 0, all = eq->lefts - eq->carried;
    if (eq->kind == FUSE_EQUATION_SINK && rank != 0) {
        struct fuse_diagnostic *d =
            fuse_complain(r->c, node->span, "the axes of %s have no names here: a sink has no left side", what);
        fuse_advise(r->c, d, "give it a name first: X[i] = .., then write X[i]");
        fail(r);
        return false;
    }
    for (int a = eq->carried; a < eq->lefts; a++) {
        if (eq->left[a].index < 0 && rank != all)
            continue;
        if (eq->left[a].symbol) {
            struct fuse_diagnostic *d = fuse_complain(r->c, node->span, "the axes of %s have no symbols", what);
            fuse_point_to(d, eq->left[a].span, "this is one");
            fuse_advise(r->c, d, "leave the axis of the symbol out on the right side");
            fail(r);
            return false;
        }
        at[n] = (struct fuse_position){.index = -1, .offset = eq->left[a].offset, .step = 1, .span = node->span};
        if (eq->left[a].index >= 0) {
            const char *name = eq->index[eq->left[a].index].name;
            at[n].index = fuse_find_index(r, scope, name, node->span, false);
            at[n].offset = 0;
            node->uses |= FUSE_BIT(at[n].index);
        }
        n++;
    }
    if (n != rank && !eq->bad) {
        struct fuse_diagnostic *d = fuse_complain(r->c, node->span, "%s has rank %d, the left side has %d %s", what,
                                                  rank, all, all == 1 ? "position" : "positions");
        fuse_point_to(d, eq->item->lhs.span, "its axes are the left side's in order");
        if (node->builtin && n > rank)
            fuse_advise(r->c, d, "give it an equation of its own, %s = %s(..), and use that here",
                        rank == 1   ? "M[i]"
                        : rank == 2 ? "M[i,j]"
                                    : "M[i,j,..]",
                        what);
        fail(r);
    }
    node->at = at;
    node->positions = rank;
    return n == rank;
}

void fuse_note_extent(struct fuse_resolver *r, const struct fuse_position *at, int64_t extent, struct fuse_span span,
                      const char *from) {
    if (at->index >= 0)
        fuse_add_fact(r, (struct fuse_fact){.kind = FUSE_FACT_EXTENT,
                                            .a = r->eq->index[at->index].domain,
                                            .number = extent,
                                            .span = span,
                                            .from = from,
                                            .index_name = r->eq->index[at->index].name,
                                            .tensor = -1});
    else if (at->offset >= extent || at->offset < -extent) {
        fuse_complain(r->c, span, "the left side writes position %lld, but %s has only %lld", (long long)at->offset,
                      from, (long long)extent);
        fail(r);
    }
}

struct literal {
    struct fuse_resolver *r;
    int rank;
    int64_t extent[FUSE_MAX_AXES];
    FUSE_VEC(double) real;
    FUSE_VEC(int64_t) integer;
    bool integers, bools;
};

static void add_number(struct literal *l, const struct fuse_number *number) {
    fuse_vec_push(l->r->c->arena, &l->real, number->real);
    l->integers &= number->dtype != FUSE_F64;
    l->bools &= number->dtype == FUSE_BOOL;
    if (l->integers)
        fuse_vec_push(l->r->c->arena, &l->integer, number->integer);
}

static bool fill(struct literal *l, const struct fuse_expr *expr, int depth) {
    struct fuse_number number;
    if (depth == l->rank || expr->kind != FUSE_EXPR_LIST) {
        if (expr->kind == FUSE_EXPR_LIST || depth != l->rank) {
            fuse_complain(l->r->c, expr->span, "the lists of a literal must all be equally deep");
            return false;
        }
        if (!fuse_constant(l->r->c, &number, expr))
            return false;
        add_number(l, &number);
        return true;
    }
    if (expr->list.n != l->extent[depth]) {
        fuse_complain(l->r->c, expr->span, "this list has %d %s, the first one beside it %lld", expr->list.n,
                      expr->list.n == 1 ? "item" : "items", (long long)l->extent[depth]);
        return false;
    }
    bool good = true;
    for (int k = 0; good && k < expr->list.n; k++) {
        if (expr->list.item) {
            good = fill(l, expr->list.item[k], depth + 1);
            continue;
        }
        if (depth + 1 != l->rank) {
            fuse_complain(l->r->c, expr->span, "the lists of a literal must all be equally deep");
            return false;
        }
        number.dtype = expr->list.integer ? FUSE_I64 : FUSE_F64;
        number.integer = expr->list.integer ? expr->list.integer[k] : 0;
        number.real = expr->list.real[k];
        add_number(l, &number);
    }
    return good;
}

struct fuse_node *fuse_resolve_list(struct fuse_resolver *r, const struct fuse_expr *expr,
                                    const struct fuse_scope *scope) {
    struct literal l = {.r = r, .integers = true, .bools = true};
    for (const struct fuse_expr *at = expr; at && at->kind == FUSE_EXPR_LIST;
         at = at->list.item && at->list.n > 0 ? at->list.item[0] : NULL) {
        if (l.rank == FUSE_MAX_AXES) {
            fuse_complain(r->c, expr->span, "a literal has at most %d axes", FUSE_MAX_AXES);
            fail(r);
            return NULL;
        }
        l.extent[l.rank++] = at->list.n;
    }
    struct fuse_node *node = fuse_new_node(r, FUSE_NODE_LIST, expr->span, 0);
    if (!fill(&l, expr, 0))
        fail(r);
    if (r->eq->bad || !attach_left(r, node, l.rank, "this literal", scope))
        return NULL;
    node->rank = l.rank;
    memcpy(node->extent, l.extent, sizeof node->extent);
    node->real = l.real.at ? l.real.at : FUSE_NEW(r->c->arena, double);
    if (l.integers)
        node->integer = l.integer.at ? l.integer.at : FUSE_NEW(r->c->arena, int64_t);
    node->cast = !l.integers ? FUSE_F64 : l.bools && l.real.n > 0 ? FUSE_BOOL : FUSE_I64;
    for (int a = 0; a < l.rank; a++) {
        if (node->at[a].index < 0 && l.extent[a] == 1) /* W[1,h] = [[..]]: the only row is the one that is written */
            node->at[a].offset = 0;
        fuse_note_extent(r, &node->at[a], l.extent[a], expr->span, "this literal");
    }
    return fuse_finish_node(r, node);
}

bool fuse_size_argument(struct fuse_resolver *r, int64_t *out, const struct fuse_expr *value) {
    if (!fuse_constant_integer(r->c, out, value, "an extent")) {
        fail(r);
        return false;
    }
    if (*out >= 0)
        return true;
    fuse_complain(r->c, value->span, "an extent cannot be negative");
    fail(r);
    return false;
}

/* zeros, ones, eye, causal_mask: sizes that are given fix extents. */
static struct fuse_node *sized(struct fuse_resolver *r, const struct fuse_expr *expr,
                               const struct fuse_builtin *builtin, const struct fuse_arguments *arguments,
                               const struct fuse_scope *scope) {
    bool constant = builtin->code == FUSE_BUILTIN_ZEROS || builtin->code == FUSE_BUILTIN_ONES;
    int64_t size[FUSE_MAX_FORMALS];
    int sizes = 0;
    for (int k = 0; k < arguments->n && arguments->value[k]; k++)
        if (!fuse_size_argument(r, &size[sizes++], arguments->value[k]))
            return NULL;
    int rank = constant ? sizes : 2;
    if (!constant && sizes == 1)
        size[sizes++] = size[0];
    struct fuse_node *node = fuse_new_node(r, FUSE_NODE_LEFT, expr->span, 0);
    node->builtin = builtin;
    if ((rank > 0 || !constant) && !attach_left(r, node, rank, builtin->name, scope))
        return NULL;
    for (int a = 0; a < sizes; a++)
        fuse_note_extent(r, &node->at[a], size[a], expr->span, fuse_arena_printf(r->c->arena, "%s(..)", builtin->name));
    if (constant) {
        struct fuse_number number = {.dtype = FUSE_F64, .real = builtin->code == FUSE_BUILTIN_ONES};
        node = fuse_number_node(r, &number, expr->span);
    }
    return fuse_finish_node(r, node);
}

static struct fuse_node *generator(struct fuse_resolver *r, const struct fuse_expr *expr,
                                   const struct fuse_builtin *builtin, const struct fuse_arguments *arguments,
                                   const struct fuse_scope *scope) {
    struct fuse_node *node = fuse_new_node(r, FUSE_NODE_LEFT, expr->span, 2);
    node->builtin = builtin;
    if (r->eq->kind == FUSE_EQUATION_SINK) {
        struct fuse_diagnostic *d =
            fuse_complain(r->c, expr->span, "%s takes its axes from a left side, and a sink has none", builtin->name);
        fuse_advise(r->c, d, "give it a name first: X[i] = %s(..), then write X[i]", builtin->name);
        fail(r);
        return NULL;
    }
    if (!attach_left(r, node, r->eq->lefts - r->eq->carried, builtin->name, scope))
        return NULL;
    int next = 0;
    for (int k = 0; k < arguments->n; k++) {
        if (strcmp(arguments->formal[k].name, "seed") != 0) {
            node->arg[next++] = fuse_argument_node(r, arguments, k, expr, scope);
            continue;
        }
        node->number = (struct fuse_number){.dtype = FUSE_I64};
        if (arguments->value[k] && !fuse_constant_integer(r->c, &node->number.integer, arguments->value[k], "a seed"))
            fail(r);
    }
    return fuse_finish_node(r, node);
}

static struct fuse_node *left_call(struct fuse_resolver *r, const struct fuse_expr *expr,
                                   const struct fuse_builtin *builtin, const struct fuse_arguments *arguments,
                                   const struct fuse_scope *scope) {
    struct fuse_number number;
    switch (builtin->code) {
    case FUSE_BUILTIN_CONST:
        if (arguments->value[0]->kind == FUSE_EXPR_LIST)
            return fuse_resolve_list(r, arguments->value[0], scope);
        if (fuse_constant(r->c, &number, arguments->value[0]))
            return fuse_number_node(r, &number, expr->span);
        fail(r);
        return NULL;
    case FUSE_BUILTIN_UNIFORM:
    case FUSE_BUILTIN_NORMAL:
    case FUSE_BUILTIN_BERNOULLI: return generator(r, expr, builtin, arguments, scope);
    default: return sized(r, expr, builtin, arguments, scope);
    }
}

/* ---- reductions and normalisers ------------------------------------------------------------------------------- */

static bool shared_in_product(const struct fuse_node *node, uint64_t set) {
    if (!node)
        return false;
    uint64_t seen = 0;
    for (int k = 0; k < node->n; k++) {
        if (!node->arg[k])
            continue;
        if (node->kind == FUSE_NODE_PRODUCT && seen & node->arg[k]->uses & set)
            return true;
        seen |= node->arg[k]->uses;
        if (shared_in_product(node->arg[k], set))
            return true;
    }
    return false;
}

/* A scope in which the taken names are new indices. */
uint64_t fuse_open_scope(struct fuse_resolver *r, struct fuse_scope *inner, const struct fuse_scope *outer,
                         uint64_t names, struct fuse_span span) {
    uint64_t set = 0;
    inner->outer = outer;
    inner->n = 0;
    for (int k = 0; k < r->eq->names; k++) {
        if (!(names & FUSE_BIT(k)))
            continue;
        int index = fuse_new_index(r, r->eq->name[k], span, strchr(r->eq->name[k], ':') != NULL);
        if (index < 0)
            continue;
        inner->at[inner->n].name = k;
        inner->at[inner->n++].index = index;
        set |= FUSE_BIT(index);
    }
    return set;
}

static struct fuse_node *reduction(struct fuse_resolver *r, const struct fuse_expr *expr,
                                   const struct fuse_builtin *builtin, const struct fuse_expr *body,
                                   const struct fuse_scope *scope, bool by_default) {
    struct fuse_scope *inner = FUSE_NEW(r->c->arena, struct fuse_scope);
    struct fuse_node *node = fuse_new_node(r, FUSE_NODE_REDUCE, expr->span, 1);
    node->builtin = builtin;
    node->by_default = by_default;
    node->taken = fuse_open_scope(r, inner, scope, r->c->taken[expr->id], expr->span);
    node->arg[0] = fuse_resolve_number(r, body, inner);
    if (!node->arg[0] || r->eq->bad)
        return NULL;
    bool position = builtin->code == FUSE_BUILTIN_ARGMAX || builtin->code == FUSE_BUILTIN_ARGMIN;
    if (position && __builtin_popcountll(node->taken) != 1) {
        fuse_complain_call(r, expr->span, builtin,
                           fuse_arena_printf(r->c->arena, "%s works over exactly one index, not over %s", builtin->name,
                                             fuse_quote_indices(r->c, r->eq, node->taken)));
        return NULL;
    }
    if (by_default && builtin->code != FUSE_BUILTIN_SUM && shared_in_product(node->arg[0], node->taken)) {
        fuse_complain_call(r, expr->span, builtin,
                           fuse_arena_printf(r->c->arena,
                                             "%s over a product: say with axis= which of %s it works over; what is "
                                             "not named is summed in the product",
                                             builtin->name, fuse_quote_indices(r->c, r->eq, node->taken)));
        return NULL;
    }
    fuse_finish_node(r, node);
    node->uses &= ~node->taken;
    return node;
}

static struct fuse_node *normaliser(struct fuse_resolver *r, const struct fuse_expr *expr,
                                    const struct fuse_builtin *builtin, const struct fuse_arguments *arguments,
                                    const struct fuse_scope *scope) {
    uint64_t axis = r->c->taken[expr->id];
    struct fuse_node *node = fuse_new_node(r, FUSE_NODE_NORMALISE, expr->span, FUSE_MAX_FORMALS);
    node->builtin = builtin;
    for (int k = 0; k < arguments->n; k++) {
        if (strcmp(arguments->formal[k].name, "axis") == 0)
            continue;
        node->arg[k] = fuse_argument_node(r, arguments, k, expr, scope);
    }
    if (!axis || r->eq->bad) {
        fail(r);
        return NULL;
    }
    for (int k = 0; k < r->eq->names; k++)
        if (axis & FUSE_BIT(k)) {
            int index = fuse_find_index(r, scope, r->eq->name[k], expr->span, false);
            node->taken |= index < 0 ? 0 : FUSE_BIT(index);
        }
    return fuse_finish_node(r, node);
}

static struct fuse_node *reduce_word(struct fuse_resolver *r, const struct fuse_expr *expr,
                                     const struct fuse_scope *scope) {
    static const enum fuse_builtin_code code[] = {
        [FUSE_WORD_SUM] = FUSE_BUILTIN_SUM,   [FUSE_WORD_MAX] = FUSE_BUILTIN_MAX,   [FUSE_WORD_MIN] = FUSE_BUILTIN_MIN,
        [FUSE_WORD_PROD] = FUSE_BUILTIN_PROD, [FUSE_WORD_MEAN] = FUSE_BUILTIN_MEAN, [FUSE_WORD_ANY] = FUSE_BUILTIN_ANY,
        [FUSE_WORD_ALL] = FUSE_BUILTIN_ALL};
    return reduction(r, expr, fuse_builtin_at((int)code[expr->reduce.op]), expr->reduce.body, scope, false);
}

/* ---- the rest ------------------------------------------------------------------------------------------------- */

static struct fuse_node *index_call(struct fuse_resolver *r, const struct fuse_expr *expr,
                                    const struct fuse_builtin *builtin, const struct fuse_scope *scope) {
    struct fuse_span span = expr->span;
    const char *name = fuse_index_argument(expr, &span);
    const struct fuse_symbol *symbol = name ? fuse_find_symbol(r->c, r->eq->block, name) : NULL;
    if (!name || (symbol && symbol->kind == FUSE_SYMBOL_CONST)) {
        fuse_complain_call(r, expr->span, builtin,
                           fuse_arena_printf(r->c->arena, "%s takes the name of an index", builtin->name));
        return NULL;
    }
    struct fuse_node *node = fuse_new_node(r, FUSE_NODE_INDEX, expr->span, 0);
    node->builtin = builtin;
    node->index = fuse_find_index(r, scope, name, span, false);
    if (node->index < 0)
        return NULL;
    node->uses = FUSE_BIT(node->index);
    return fuse_finish_node(r, node);
}

/* case(c1, v1, .., d), select and where: conditions and values, then what holds otherwise. */
static struct fuse_node *choice(struct fuse_resolver *r, const struct fuse_expr *expr,
                                const struct fuse_builtin *builtin, const struct fuse_scope *scope) {
    int given = expr->apply.arguments, n = given % 2 ? given : given + 1;
    struct fuse_number zero = {.dtype = FUSE_I64};
    if (given < 2 || (builtin->code != FUSE_BUILTIN_CASE && given != 3)) {
        fuse_complain_call(r, expr->span, builtin,
                           fuse_arena_printf(r->c->arena, "%s takes conditions and values", builtin->name));
        return NULL;
    }
    struct fuse_node *node = fuse_new_node(r, FUSE_NODE_CHOICE, expr->span, n);
    for (int k = 0; k < given; k++) {
        if (expr->apply.argument[k].name) {
            fuse_complain_call(r, expr->apply.argument[k].name_span, builtin,
                               fuse_arena_printf(r->c->arena, "%s takes no named arguments", builtin->name));
            return NULL;
        }
        bool condition = k % 2 == 0 && k + 1 < n;
        node->arg[k] = (condition ? fuse_resolve_number : fuse_resolve_expr)(r, expr->apply.argument[k].value, scope);
    }
    if (given % 2 == 0)
        node->arg[given] = fuse_number_node(r, &zero, expr->span);
    return fuse_finish_node(r, node);
}

static struct fuse_node *element(struct fuse_resolver *r, const struct fuse_expr *expr,
                                 const struct fuse_builtin *builtin, const struct fuse_arguments *arguments,
                                 const struct fuse_scope *scope) {
    bool power = builtin->code == FUSE_BUILTIN_POW;
    struct fuse_node *node =
        fuse_new_node(r, power ? FUSE_NODE_POWER : FUSE_NODE_ELEMENT, expr->span, power ? 2 : arguments->n);
    node->builtin = power ? NULL : builtin;
    if (builtin->code == FUSE_BUILTIN_CAST) {
        const struct fuse_expr *type = arguments->value[1];
        node->n = 1;
        if (type->kind != FUSE_EXPR_STRING || !fuse_dtype_parse(&node->cast, type->string.text) ||
            fuse_dtype_resident(node->cast) != node->cast) {
            fuse_complain_call(r, type->span, builtin, "this is no type of elements");
            return NULL;
        }
    }
    for (int k = 0; k < node->n; k++)
        node->arg[k] = fuse_argument_node(r, arguments, k, expr, scope);
    return fuse_finish_node(r, node);
}

static void resolve_arguments_only(struct fuse_resolver *r, const struct fuse_expr *expr,
                                   const struct fuse_scope *scope) {
    for (int k = 0; k < expr->apply.arguments; k++)
        if (!expr->apply.argument[k].name)
            (void)fuse_resolve_number(r, expr->apply.argument[k].value, scope);
}

struct fuse_node *fuse_resolve_call(struct fuse_resolver *r, const struct fuse_expr *expr,
                                    const struct fuse_builtin *builtin, const struct fuse_scope *scope) {
    if (expr->kind == FUSE_EXPR_REDUCE)
        return reduce_word(r, expr, scope);
    if (!builtin->runs) {
        fuse_later(r->c, expr->apply.name_span, fuse_arena_printf(r->c->arena, "%s is", builtin->name));
        fail(r);
        resolve_arguments_only(r, expr, scope);
        return NULL;
    }
    if (builtin->group == FUSE_GROUP_INDEX)
        return index_call(r, expr, builtin, scope);
    if (builtin->group == FUSE_GROUP_CHOICE)
        return choice(r, expr, builtin, scope);
    if (builtin->code == FUSE_BUILTIN_CONCAT || builtin->code == FUSE_BUILTIN_STACK)
        return fuse_resolve_joined(r, expr, builtin, scope);
    struct fuse_arguments arguments;
    if (!match(r, &arguments, expr, builtin))
        return NULL;
    switch (builtin->group) {
    case FUSE_GROUP_ELEMENT: return element(r, expr, builtin, &arguments, scope);
    case FUSE_GROUP_REDUCTION:
        return reduction(r, expr, builtin, arguments.value[0], scope, !fuse_named_argument(expr, "axis"));
    case FUSE_GROUP_NORMALISER: return normaliser(r, expr, builtin, &arguments, scope);
    case FUSE_GROUP_MAKER:
    case FUSE_GROUP_RANKING:
    case FUSE_GROUP_FACTOR:
    case FUSE_GROUP_ATTENTION: return fuse_resolve_structure(r, expr, builtin, &arguments, scope);
    default: return left_call(r, expr, builtin, &arguments, scope);
    }
}
