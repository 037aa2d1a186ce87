/* Syntax trees become nodes, index names become numbers, and what they say about domains is noted. */
#include "lang/resolve.h"

#include <string.h>

/* Positions and offsets beyond this cannot be meant, and sums of a few stay far from overflow. */
#define MAX_OFFSET ((int64_t)1 << 48)
/* Files of rows have none that are longer. */
#define MAX_SYMBOL_BYTES 4096

void fuse_add_fact(struct fuse_resolver *r, struct fuse_fact fact) {
    fact.equation = r->eq->number;
    fuse_vec_push(r->c->arena, &r->c->facts, fact);
}

static void fail(struct fuse_resolver *r) {
    r->eq->bad = true;
}

/* ---- indices -------------------------------------------------------------------------------------------------- */

/* A declared axis fixes the extent of the index of its name and of its primed forms that are not declared themselves. */
static const struct fuse_axis *declared_axis(const struct fuse_checker *c, int file, const char *name) {
    const struct fuse_axis *axis = fuse_find_axis(c, file, name);
    size_t plain = strcspn(name, "'");
    return axis || !name[plain] ? axis : fuse_find_axis(c, file, fuse_arena_strndup(c->arena, name, plain));
}

int fuse_new_index(struct fuse_resolver *r, const char *name, struct fuse_span span, bool sliced) {
    struct fuse_equation *eq = r->eq;
    if (eq->indices == FUSE_MAX_INDICES) {
        if (!eq->too_many)
            fuse_complain(r->c, span, "this equation has more than %d indices", FUSE_MAX_INDICES);
        eq->too_many = eq->bad = true;
        return -1;
    }
    int k = eq->indices++;
    if ((k & (k - 1)) == 0) /* room for 1, 2, 4, .. */
        eq->index = fuse_arena_grow(r->c->arena, eq->index, (size_t)k, k ? 2 * (size_t)k : 1, sizeof *eq->index);
    eq->index[k] =
        (struct fuse_equation_index){.name = name, .span = span, .domain = fuse_new_domain(r->c), .sliced = sliced};
    /* Formal and local indices of a fn are not meant. */
    const struct fuse_axis *axis = sliced || eq->instance ? NULL : declared_axis(r->c, eq->item->span.file, name);
    if (axis && axis->bad)
        r->c->domains.at[eq->index[k].domain].tainted = true;
    else if (axis && axis->names)
        fuse_add_fact(r, (struct fuse_fact){.kind = FUSE_FACT_NAMES,
                                            .a = eq->index[k].domain,
                                            .position_text = axis->names,
                                            .span = axis->span,
                                            .from = fuse_arena_printf(r->c->arena, "axis %s", axis->name),
                                            .index_name = name,
                                            .tensor = -1});
    else if (axis && axis->extent >= 0)
        fuse_add_fact(r, (struct fuse_fact){.kind = FUSE_FACT_EXTENT,
                                            .a = eq->index[k].domain,
                                            .number = axis->extent,
                                            .span = axis->span,
                                            .from = fuse_arena_printf(r->c->arena, "axis %s", axis->name),
                                            .index_name = name,
                                            .tensor = -1});
    return k;
}

int fuse_find_index(struct fuse_resolver *r, const struct fuse_scope *scope, const char *name, struct fuse_span span,
                    bool sliced) {
    int number = fuse_name_number(r->c, r->eq, name, span);
    if (number < 0)
        return -1;
    for (; scope; scope = scope->outer)
        for (int k = 0; k < scope->n; k++)
            if (scope->at[k].name == number)
                return scope->at[k].index;
    int *at = &r->eq->index_of_name[number];
    if (*at < 0)
        *at = fuse_new_index(r, name, span, sliced);
    return *at;
}

static bool const_position(struct fuse_resolver *r, int64_t *out, const char *name, struct fuse_span span) {
    struct fuse_number number;
    struct fuse_symbol *symbol = fuse_find_symbol(r->c, r->eq->block, name);
    if (!symbol || symbol->kind != FUSE_SYMBOL_CONST) {
        fuse_complain(r->c, span, "'%s' is no const or param", name);
        return false;
    }
    if (!fuse_symbol_number(r->c, &number, symbol))
        return false;
    if (number.dtype == FUSE_F64 || number.integer > MAX_OFFSET || number.integer < -MAX_OFFSET) {
        fuse_complain(r->c, span, "'%s' is %.17g and cannot be a position", name, number.real);
        return false;
    }
    *out = number.integer;
    return true;
}

static bool in_reach(struct fuse_resolver *r, int64_t number, struct fuse_span span) {
    if (number >= -MAX_OFFSET && number <= MAX_OFFSET)
        return true;
    fuse_complain(r->c, span, "no tensor is that long");
    return false;
}

static bool slice_bound(struct fuse_resolver *r, bool *has, int64_t *out, const struct fuse_bound *bound) {
    *has = bound->kind != FUSE_BOUND_NONE;
    if (!*has)
        return true;
    *out = bound->integer;
    if (bound->kind == FUSE_BOUND_NAME && !const_position(r, out, bound->name, bound->span))
        return false;
    if (bound->negative)
        *out = -*out;
    return in_reach(r, *out, bound->span);
}

static bool slice_position(struct fuse_resolver *r, struct fuse_position *at, const struct fuse_index *index,
                           const struct fuse_scope *scope) {
    bool has_step;
    if (!slice_bound(r, &at->has_start, &at->start, &index->start) ||
        !slice_bound(r, &at->has_stop, &at->stop, &index->stop) || !slice_bound(r, &has_step, &at->step, &index->step))
        return false;
    if (!has_step)
        at->step = 1;
    if (at->step == 0) {
        fuse_complain(r->c, index->step.span, "the step of a slice cannot be 0");
        return false;
    }
    at->slice = true;
    at->index = fuse_find_index(r, scope, index->name, index->span, !index->named_slice);
    return at->index >= 0;
}

static bool symbol_position(struct fuse_resolver *r, struct fuse_position *at, const struct fuse_index *index) {
    const char *text = index->symbol;
    size_t bytes = strlen(text);
    bool is_symbol = bytes > 0 && bytes <= MAX_SYMBOL_BYTES && text[0] != ' ' && text[bytes - 1] != ' ';
    for (size_t k = 0; k < bytes; k++)
        is_symbol &= (unsigned char)text[k] >= ' ';
    if (!is_symbol) {
        struct fuse_diagnostic *d = fuse_complain(r->c, index->span, "this string is no symbol");
        fuse_advise(r->c, d, "a symbol is text of 1 to %d bytes on one line, without blanks around it",
                    MAX_SYMBOL_BYTES);
    }
    at->symbol = text;
    return is_symbol;
}

/* One index of a reference or a left side; false when it is wrong or cannot be run yet. */
static bool resolve_position(struct fuse_resolver *r, struct fuse_position *at, const struct fuse_index *index,
                             const struct fuse_scope *scope, bool left) {
    *at = (struct fuse_position){.index = -1, .step = 1, .span = index->span};
    switch (index->kind) {
    case FUSE_INDEX_FIXED: at->offset = index->position; return in_reach(r, at->offset, index->span);
    case FUSE_INDEX_STEP: fuse_later(r->c, index->span, "a step axis is"); return false;
    case FUSE_INDEX_SYMBOL: return symbol_position(r, at, index);
    case FUSE_INDEX_SLICE:
        if (!left)
            return slice_position(r, at, index, scope);
        at->index = fuse_find_index(r, scope, index->name, index->span, true);
        return at->index >= 0;
    case FUSE_INDEX_NAME: break;
    }
    if (!in_reach(r, index->offset, index->span))
        return false;
    if (index->dotted && !left) {
        fuse_complain(r->c, index->span, "a dotted index stands on the left side only");
        return false;
    }
    at->offset = index->offset;
    at->dotted = index->dotted;
    if (!fuse_index_is_name(r->c, r->eq, index)) {
        int64_t value;
        if (index->dotted) {
            fuse_complain(r->c, index->span, "'%s' is a fixed position and cannot be dotted", index->name);
            return false;
        }
        if (!const_position(r, &value, index->name, index->span))
            return false;
        at->offset += value;
        return true;
    }
    at->index = fuse_find_index(r, scope, index->name, index->span, false);
    return at->index >= 0;
}

/* What reaching axis `axis` of a tensor at this position says about its domain. */
static void note_position(struct fuse_resolver *r, struct fuse_position *at, int tensor, int axis, bool left) {
    const struct fuse_tensor *t = r->c->tensors.at[tensor];
    struct fuse_fact fact = {.a = t->domain[axis], .span = at->span, .tensor = tensor, .axis = axis};
    if (at->symbol) {
        fact.kind = FUSE_FACT_SYMBOL;
        fact.position = at;
    } else if (at->index < 0) {
        fact.kind = left ? FUSE_FACT_ID : FUSE_FACT_INSIDE;
        fact.number = at->offset;
    } else {
        fact.kind = at->slice ? FUSE_FACT_SLICE : FUSE_FACT_SAME;
        fact.b = r->eq->index[at->index].domain;
        fact.position = at;
        fact.index_name = r->eq->index[at->index].name;
    }
    fuse_add_fact(r, fact);
}

void fuse_note_position(struct fuse_resolver *r, struct fuse_position *at, int tensor, int axis) {
    note_position(r, at, tensor, axis, false);
}

/* ---- left sides ----------------------------------------------------------------------------------------------- */

static void resolve_left(struct fuse_resolver *r) {
    struct fuse_equation *eq = r->eq;
    const struct fuse_lhs *lhs = &eq->item->lhs;
    const struct fuse_tensor *tensor = r->c->tensors.at[eq->tensor];
    bool good = true;
    eq->plain_left = true;
    eq->left = FUSE_NEW_ARRAY(r->c->arena, struct fuse_position, eq->carried + lhs->n);
    for (int a = 0; a < eq->carried + lhs->n && a < FUSE_MAX_AXES; a++) {
        struct fuse_position *at = &eq->left[a];
        struct fuse_index through = {.kind = FUSE_INDEX_NAME, .span = lhs->span};
        if (a < eq->carried)
            through.name = eq->carried_name[a];
        bool fine = resolve_position(r, at, a < eq->carried ? &through : &lhs->index[a - eq->carried], NULL, true);
        good &= fine;
        if (!fine)
            continue;
        if (at->index < 0 || at->offset != 0 || at->index != a)
            eq->plain_left = false;
        if (at->index >= 0) {
            eq->left_set |= FUSE_BIT(at->index);
            eq->left_names |= FUSE_BIT(fuse_name_number(r->c, eq, eq->index[at->index].name, at->span));
        }
        if (at->dotted && eq->dotted_names) {
            fuse_complain(r->c, at->span, "only one index of a left side is dotted");
            good = false;
        } else if (at->dotted) {
            eq->dotted_names |= FUSE_BIT(fuse_name_number(r->c, eq, eq->index[at->index].name, at->span));
        }
    }
    eq->lefts = eq->carried + lhs->n < FUSE_MAX_AXES ? eq->carried + lhs->n : FUSE_MAX_AXES;
    if (!good)
        fail(r);
    if (eq->bad)
        return;
    for (int a = 0; a < eq->lefts && a < tensor->rank; a++)
        note_position(r, &eq->left[a], eq->tensor, a, true);
}

/* What a file of rows says about its columns. */
static void resolve_rows(struct fuse_resolver *r, const struct fuse_tally *tally) {
    struct fuse_equation *eq = r->eq;
    const struct fuse_item *item = eq->item;
    if (tally->columns > eq->lefts && tally->refused[eq->lefts]) {
        struct fuse_diagnostic *d = fuse_complain(r->c, item->text_span, "%s", tally->refused[eq->lefts]);
        if (d)
            d->status = FUSE_EINPUT;
        fuse_advise(r->c, d, "the last column holds values here: it is more than '%s' has indices", item->lhs.name);
        fail(r);
        return;
    }
    for (int a = 0; a < eq->lefts; a++)
        fuse_add_fact(r, (struct fuse_fact){.kind = FUSE_FACT_ROWS,
                                            .a = r->c->tensors.at[eq->tensor]->domain[a],
                                            .number = tally->columns ? tally->largest[a] : -1,
                                            .span = item->text_span,
                                            .from = fuse_arena_printf(r->c->arena, "\"%s\"", item->text),
                                            .index_name = eq->index[eq->left[a].index].name,
                                            .tensor = eq->tensor,
                                            .axis = a});
}

static void resolve_source(struct fuse_resolver *r) {
    struct fuse_equation *eq = r->eq;
    struct fuse_checker *c = r->c;
    const struct fuse_item *item = eq->item;
    if (eq->source && eq->source->failed) {
        fail(r);
    } else if (!eq->source || !eq->source->probed) {
        struct fuse_diagnostic *d = fuse_complain(c, item->text_span, "nothing is known about \"%s\"", item->text);
        if (d)
            d->status = FUSE_EINPUT;
        fail(r);
    }
    resolve_left(r);
    if (eq->bad)
        return;
    const struct fuse_probe *probe = &eq->source->probe;
    if (probe->tally) {
        resolve_rows(r, probe->tally);
        return;
    }
    for (int a = 0; a < probe->rank; a++)
        fuse_add_fact(r, (struct fuse_fact){.kind = FUSE_FACT_EXTENT,
                                            .a = c->tensors.at[eq->tensor]->domain[a],
                                            .number = probe->extent[a],
                                            .span = item->text_span,
                                            .from = fuse_arena_printf(c->arena, "\"%s\"", item->text),
                                            .index_name = eq->index[eq->left[a].index].name,
                                            .tensor = eq->tensor,
                                            .axis = a});
}

/* ---- nodes ---------------------------------------------------------------------------------------------------- */

struct fuse_node *fuse_new_node(struct fuse_resolver *r, enum fuse_node_kind kind, struct fuse_span span, int n) {
    struct fuse_node *node = FUSE_NEW(r->c->arena, struct fuse_node);
    node->kind = kind;
    node->span = span;
    node->n = n;
    node->arg = FUSE_NEW_ARRAY(r->c->arena, struct fuse_node *, n);
    node->index = -1;
    return node;
}

struct fuse_node *fuse_number_node(struct fuse_resolver *r, const struct fuse_number *number, struct fuse_span span) {
    struct fuse_node *node = fuse_new_node(r, FUSE_NODE_NUMBER, span, 0);
    node->number = *number;
    return node;
}

struct fuse_node *fuse_finish_node(struct fuse_resolver *r, struct fuse_node *node) {
    for (int k = 0; k < node->n; k++)
        if (node->arg[k])
            node->uses |= node->arg[k]->uses;
    return r->eq->bad ? NULL : node;
}

/* Two unnamed slices of one reference with one text would be a diagonal that nobody meant. */
static bool slice_name_repeats(struct fuse_resolver *r, const struct fuse_node *node, const struct fuse_index *index,
                               int k) {
    int carried = r->c->tensors.at[node->tensor]->carried;
    if (index[k].kind != FUSE_INDEX_SLICE || index[k].named_slice)
        return false;
    for (int b = 0; b < k; b++) {
        if (index[b].kind != FUSE_INDEX_SLICE || index[b].named_slice ||
            node->at[carried + b].index != node->at[carried + k].index)
            continue;
        struct fuse_diagnostic *d =
            fuse_complain(r->c, index[k].span, "two slices of one reference are both called '%s'", index[k].name);
        fuse_advise(r->c, d, "name one of them: i=%s", index[k].name);
        return true;
    }
    return false;
}

static struct fuse_node *resolve_reference(struct fuse_resolver *r, const struct fuse_expr *expr, int tensor,
                                           const struct fuse_scope *scope) {
    struct fuse_checker *c = r->c;
    struct fuse_tensor *t = c->tensors.at[tensor];
    const struct fuse_index *index;
    int n = fuse_reference_indices(expr, &index);
    bool good = true;
    t->mentioned = true;
    if (t->boolean && expr->kind == FUSE_EXPR_REF && expr->ref.has_brackets)
        fuse_tell_brackets(c, t, expr->span);
    fuse_vec_push(c->arena, &r->eq->mentions, tensor);
    int rank = t->rank - t->carried;
    if (n != rank && t->disputed) {
        fail(r);
        return NULL;
    }
    if (n != rank) {
        bool bare = expr->kind == FUSE_EXPR_REF && !expr->ref.has_brackets;
        struct fuse_diagnostic *d = fuse_complain(c, expr->span, "'%s' has rank %d, but %d %s given", t->name, rank, n,
                                                  n == 1 ? "index is" : "indices are");
        fuse_point_to(d, t->span, "defined here");
        if (bare)
            fuse_advise(c, d, "write %s[..] with %d %s", t->name, rank, rank == 1 ? "index" : "indices");
        else if (expr->kind == FUSE_EXPR_APPLY && rank == 0)
            fuse_advise(c, d, "a product is written %s * (..)", t->name);
        fail(r);
        return NULL;
    }
    struct fuse_node *node = fuse_new_node(r, FUSE_NODE_REF, expr->span, 0);
    node->tensor = tensor;
    node->at = FUSE_NEW_ARRAY(c->arena, struct fuse_position, t->rank);
    node->positions = t->rank;
    for (int a = 0; a < t->rank; a++) {
        struct fuse_position *at = &node->at[a];
        if (a < t->carried) {
            *at = (struct fuse_position){.step = 1, .span = expr->span};
            at->index = fuse_find_index(r, scope, t->carried_name[a], expr->span, false);
        }
        if (a < t->carried ? at->index < 0 : !resolve_position(r, at, &index[a - t->carried], scope, false)) {
            good = false;
            continue;
        }
        if (a >= t->carried && slice_name_repeats(r, node, index, a - t->carried))
            good = false;
        at->domain = t->domain[a];
        if (at->index >= 0)
            node->uses |= FUSE_BIT(at->index);
        note_position(r, at, tensor, a, false);
    }
    if (!good)
        fail(r);
    return good ? node : NULL;
}

/* A reference to a numeric tensor that is written with parentheses reads its truth; of a numeric relation, its support. */
static struct fuse_node *resolve_truth(struct fuse_resolver *r, const struct fuse_expr *expr, int tensor,
                                       const struct fuse_scope *scope) {
    struct fuse_node *ref = resolve_reference(r, expr, tensor, scope);
    if (!ref || r->c->tensors.at[tensor]->boolean)
        return ref;
    if (fuse_tensor_relation(r->c, r->c->tensors.at[tensor]) != FUSE_NUMERIC) {
        struct fuse_diagnostic *d =
            fuse_report(r->c->diagnostics, FUSE_SEVERITY_WARNING, expr->apply.name_span,
                        "'%s' is numeric: parentheses read it as true where it is > 0", expr->apply.name);
        fuse_advise(r->c, d, "write %s[..] for its numbers", expr->apply.name);
    }
    struct fuse_node *node = fuse_new_node(r, FUSE_NODE_TRUTH, expr->span, 1);
    node->arg[0] = ref;
    return fuse_finish_node(r, node);
}

/* Words that other languages reserve or define. */
static const char *foreign_word(const char *name) {
    static const struct {
        const char *word, *hint;
    } words[] = {
        {"and", "'&&' is the logical and; so is a product of truths"},
        {"or", "'||' is the logical or"},
        {"not", "'!' is the logical not"},
        {"if", "a choice is c ? a : b; a condition on a whole equation: Y[i] when C(i) = .."},
        {"then", "a choice is c ? a : b"},
        {"else", "a choice is c ? a : b"},
        {"mod", "what is left of a division by n is x - n floor(x / n)"},
        {"pi", "declare it: const pi = 3.141592653589793"},
    };
    for (size_t k = 0; k < sizeof words / sizeof *words; k++)
        if (strcmp(words[k].word, name) == 0)
            return words[k].hint;
    return NULL;
}

static struct fuse_node *unknown_name(struct fuse_resolver *r, const struct fuse_expr *expr) {
    const char *name = expr->ref.name;
    fail(r);
    struct fuse_diagnostic *d = fuse_complain(r->c, expr->ref.name_span, "there is no tensor '%s'", name);
    for (int k = 0; k < r->eq->names; k++)
        if (strcmp(r->eq->name[k], name) == 0 && expr->ref.n == 0) {
            fuse_advise(r->c, d, "to compute with an index write iota(%s)", name);
            return NULL;
        }
    const struct fuse_builtin *builtin = fuse_builtin_find(name);
    const char *foreign = foreign_word(name);
    if (foreign)
        fuse_advise(r->c, d, "%s", foreign);
    else if (builtin)
        fuse_advise(r->c, d, "%s is a builtin: %s(%s)", name, builtin->name, builtin->signature);
    else
        fuse_suggest_tensor(r->c, d, name);
    return NULL;
}

static struct fuse_node *resolve_name(struct fuse_resolver *r, const struct fuse_expr *expr,
                                      const struct fuse_scope *scope) {
    struct fuse_symbol *symbol = fuse_find_symbol(r->c, r->eq->block, expr->ref.name);
    struct fuse_number number;
    if (!symbol)
        return unknown_name(r, expr);
    switch (symbol->kind) {
    case FUSE_SYMBOL_TENSOR: return resolve_reference(r, expr, symbol->tensor, scope);
    case FUSE_SYMBOL_CONST:
        if (symbol->item->value && symbol->item->value->kind == FUSE_EXPR_LIST && expr->ref.n == 0)
            return fuse_resolve_list(r, symbol->item->value, scope);
        if (expr->ref.n > 0 && !symbol->disputed)
            fuse_complain(r->c, expr->span, "'%s' is a single number and has no axes", expr->ref.name);
        else if (expr->ref.n == 0 && fuse_symbol_number(r->c, &number, symbol))
            return fuse_number_node(r, &number, expr->span);
        break;
    case FUSE_SYMBOL_FN: {
        struct fuse_diagnostic *d = fuse_complain(r->c, expr->span, "'%s' is a function", expr->ref.name);
        fuse_point_to(d, symbol->span, "defined here");
        fuse_advise(r->c, d, "call it: %s(..)", expr->ref.name);
    }
    }
    fail(r);
    return NULL;
}

static void unknown_function(struct fuse_resolver *r, const struct fuse_expr *expr, const struct fuse_symbol *symbol) {
    struct fuse_checker *c = r->c;
    const char *name = expr->apply.name;
    if (symbol) {
        if (symbol->kind == FUSE_SYMBOL_FN) {
            struct fuse_diagnostic *d = fuse_complain(c, expr->span, "these are no arguments of %s", name);
            fuse_point_to(d, symbol->span, "defined here");
            return;
        }
        struct fuse_diagnostic *d = fuse_complain(c, expr->apply.name_span, "'%s' is a %s, not a function", name,
                                                  symbol->kind == FUSE_SYMBOL_CONST ? "number" : "tensor");
        fuse_advise(c, d, "a product is written %s * (..)", name);
        return;
    }
    struct fuse_diagnostic *d = fuse_complain(c, expr->apply.name_span, "there is no function or tensor '%s'", name);
    struct fuse_nearest nearest = {.wanted = name};
    for (int b = 0; b < FUSE_BUILTINS; b++)
        fuse_nearest_try(&nearest, fuse_builtin_at(b)->name);
    for (int s = 0; s < c->symbols.n && fuse_may_suggest(c); s++)
        fuse_nearest_try(&nearest, c->symbols.at[s].name);
    const struct fuse_builtin *builtin = nearest.best ? fuse_builtin_find(nearest.best) : NULL;
    if (builtin)
        fuse_advise(c, d, "did you mean %s(%s)?", builtin->name, builtin->signature);
    else if (nearest.best)
        fuse_advise(c, d, "did you mean '%s'?", nearest.best);
}

static struct fuse_node *resolve_apply(struct fuse_resolver *r, const struct fuse_expr *expr,
                                       const struct fuse_scope *scope) {
    struct fuse_symbol *symbol = fuse_find_symbol(r->c, r->eq->block, expr->apply.name);
    if (expr->apply.macro && symbol && symbol->kind != FUSE_SYMBOL_FN)
        symbol = NULL;
    if (symbol && symbol->kind == FUSE_SYMBOL_TENSOR && expr->apply.is_ref)
        return resolve_truth(r, expr, symbol->tensor, scope);
    const struct fuse_builtin *builtin = symbol ? NULL : fuse_builtin_find(expr->apply.name);
    if (builtin)
        return fuse_resolve_call(r, expr, builtin, scope);
    const struct fuse_item *fn = fuse_called_fn(r->c, r->eq, expr);
    if (fn)
        return fuse_resolve_fn(r, expr, fn, scope);
    if (!symbol || symbol->kind != FUSE_SYMBOL_FN || !symbol->disputed)
        unknown_function(r, expr, symbol);
    fail(r);
    return NULL;
}

/* ---- operators ------------------------------------------------------------------------------------------------ */

enum family { TERMS, FACTORS, ANDS, ORS, LONE };

static enum family family_of(enum fuse_binary_op op) {
    switch (op) {
    case FUSE_BINARY_ADD:
    case FUSE_BINARY_SUB: return TERMS;
    case FUSE_BINARY_MUL:
    case FUSE_BINARY_DIV: return FACTORS;
    case FUSE_BINARY_AND: return ANDS;
    case FUSE_BINARY_OR: return ORS;
    default: return LONE;
    }
}

static bool is_pure_product(const struct fuse_expr *expr) {
    for (; expr->kind == FUSE_EXPR_BINARY && family_of(expr->binary.op) == FACTORS; expr = expr->binary.left) {
        if (expr->binary.op == FUSE_BINARY_DIV)
            return false;
        if (expr->binary.left->kind != FUSE_EXPR_BINARY || family_of(expr->binary.left->binary.op) != FACTORS)
            return true;
    }
    return false;
}

/* The operands of a chain of one family, in order; a product in parentheses is part of the chain around it. */
struct chain {
    FUSE_VEC(const struct fuse_expr *) operand;
    FUSE_VEC(bool) inverse;
    FUSE_VEC(struct fuse_span) whole;
};

static void add_operand(struct fuse_checker *c, struct chain *chain, const struct fuse_expr *operand, bool inverse,
                        struct fuse_span whole) {
    fuse_vec_push(c->arena, &chain->operand, operand);
    fuse_vec_push(c->arena, &chain->inverse, inverse);
    fuse_vec_push(c->arena, &chain->whole, whole);
}

static void collect_chain(struct fuse_checker *c, struct chain *chain, const struct fuse_expr *expr,
                          enum family family) {
    int depth = 0;
    const struct fuse_expr *at = expr;
    for (; at->kind == FUSE_EXPR_BINARY && family_of(at->binary.op) == family; at = at->binary.left)
        depth++;
    const struct fuse_expr **spine = FUSE_NEW_ARRAY(c->arena, const struct fuse_expr *, depth + 1);
    at = expr;
    for (int k = depth; k > 0; k--, at = at->binary.left)
        spine[k] = at;
    add_operand(c, chain, at, false, at->span);
    for (int k = 1; k <= depth; k++) {
        const struct fuse_expr *right = spine[k]->binary.right;
        bool inverse = spine[k]->binary.op == FUSE_BINARY_SUB || spine[k]->binary.op == FUSE_BINARY_DIV;
        if (family == FACTORS && !inverse && is_pure_product(right))
            collect_chain(c, chain, right, family);
        else
            add_operand(c, chain, right, inverse, spine[k]->span);
    }
}

/* Truths are not subtracted, divided or raised. */
static void refuse_number(struct fuse_resolver *r, struct fuse_span span, const char *operator) {
    if (!r->logical)
        return;
    struct fuse_diagnostic *d = fuse_complain(r->c, span, "`%s` has no meaning between truths", operator);
    fuse_advise(r->c, d, "write `!` for \"not\"; numbers stand in comparisons, conditions and arguments of functions");
    fail(r);
}

/* x != y: symbols of different tables could not be told apart by their positions. */
static void note_comparison(struct fuse_resolver *r, const struct fuse_node *node) {
    const struct fuse_node *a = node->arg[0], *b = node->arg[1];
    if (node->kind != FUSE_NODE_COMPARE || !a || !b || a->kind != FUSE_NODE_INDEX || b->kind != FUSE_NODE_INDEX)
        return;
    fuse_add_fact(r, (struct fuse_fact){.kind = FUSE_FACT_COMPARED,
                                        .a = r->eq->index[a->index].domain,
                                        .b = r->eq->index[b->index].domain,
                                        .span = node->span,
                                        .tensor = -1,
                                        .axis = -1});
}

static struct fuse_node *resolve_binary(struct fuse_resolver *r, const struct fuse_expr *expr,
                                        const struct fuse_scope *scope) {
    static const enum fuse_node_kind kinds[] = {
        [TERMS] = FUSE_NODE_SUM, [FACTORS] = FUSE_NODE_PRODUCT, [ANDS] = FUSE_NODE_AND, [ORS] = FUSE_NODE_OR};
    enum family family = family_of(expr->binary.op);
    struct fuse_node *node;
    if (family == LONE) {
        node =
            fuse_new_node(r, expr->binary.op == FUSE_BINARY_POW ? FUSE_NODE_POWER : FUSE_NODE_COMPARE, expr->span, 2);
        node->compare = expr->binary.op;
        if (node->kind == FUSE_NODE_POWER)
            refuse_number(r, expr->binary.op_span, "**");
        node->arg[0] = fuse_resolve_number(r, expr->binary.left, scope);
        node->arg[1] = fuse_resolve_number(r, expr->binary.right, scope);
        note_comparison(r, node);
        return fuse_finish_node(r, node);
    }
    struct chain chain = {0};
    collect_chain(r->c, &chain, expr, family);
    node = fuse_new_node(r, kinds[family], expr->span, chain.operand.n);
    node->inverse = chain.inverse.at;
    node->whole = chain.whole.at;
    node->logical = r->logical;
    for (int k = 0; k < node->n; k++) {
        if (node->inverse[k])
            refuse_number(r, chain.whole.at[k], family == TERMS ? "-" : "/");
        node->arg[k] = fuse_resolve_expr(r, chain.operand.at[k], scope);
    }
    return fuse_finish_node(r, node);
}

static struct fuse_node *resolve_unary(struct fuse_resolver *r, const struct fuse_expr *expr,
                                       const struct fuse_scope *scope) {
    bool negative = expr->unary.op == FUSE_UNARY_NEG;
    if (negative)
        refuse_number(r, expr->span, "-");
    struct fuse_node *node = fuse_new_node(r, negative ? FUSE_NODE_SUM : FUSE_NODE_NOT, expr->span, 1);
    node->arg[0] = fuse_resolve_expr(r, expr->unary.operand, scope);
    if (negative) {
        node->inverse = FUSE_NEW(r->c->arena, bool);
        node->inverse[0] = true;
        /* A negative literal is a literal: exponents and defaults look for one. */
        if (node->arg[0] && node->arg[0]->kind == FUSE_NODE_NUMBER) {
            struct fuse_number number;
            if (fuse_constant(r->c, &number, expr))
                return fuse_number_node(r, &number, expr->span);
            fail(r);
        }
    }
    return fuse_finish_node(r, node);
}

static struct fuse_node *resolve_cases(struct fuse_resolver *r, const struct fuse_expr *expr,
                                       const struct fuse_scope *scope) {
    struct fuse_node *node = fuse_new_node(r, FUSE_NODE_CHOICE, expr->span, 2 * expr->cases.n + 1);
    struct fuse_number zero = {.dtype = FUSE_I64};
    for (int k = 0; k < expr->cases.n; k++) {
        node->arg[2 * k] = fuse_resolve_number(r, expr->cases.entry[k].condition, scope);
        node->arg[2 * k + 1] = fuse_resolve_expr(r, expr->cases.entry[k].value, scope);
    }
    node->arg[node->n - 1] = expr->cases.otherwise ? fuse_resolve_expr(r, expr->cases.otherwise, scope)
                                                   : fuse_number_node(r, &zero, expr->span);
    return fuse_finish_node(r, node);
}

struct fuse_node *fuse_resolve_expr(struct fuse_resolver *r, const struct fuse_expr *expr,
                                    const struct fuse_scope *scope) {
    struct fuse_number number;
    switch (expr->kind) {
    case FUSE_EXPR_NUMBER:
    case FUSE_EXPR_BOOL: fuse_constant(r->c, &number, expr); return fuse_number_node(r, &number, expr->span);
    case FUSE_EXPR_STRING:
        fuse_complain(r->c, expr->span, "a string is no number");
        fail(r);
        return NULL;
    case FUSE_EXPR_LIST: return fuse_resolve_list(r, expr, scope);
    case FUSE_EXPR_REF: return resolve_name(r, expr, scope);
    case FUSE_EXPR_APPLY: return resolve_apply(r, expr, scope);
    case FUSE_EXPR_UNARY: return resolve_unary(r, expr, scope);
    case FUSE_EXPR_BINARY: return resolve_binary(r, expr, scope);
    case FUSE_EXPR_CASE: return resolve_cases(r, expr, scope);
    case FUSE_EXPR_REDUCE: return fuse_resolve_call(r, expr, NULL, scope);
    case FUSE_EXPR_TERNARY: break;
    }
    struct fuse_node *node = fuse_new_node(r, FUSE_NODE_CHOICE, expr->span, 3);
    node->arg[0] = fuse_resolve_number(r, expr->ternary.condition, scope);
    node->arg[1] = fuse_resolve_expr(r, expr->ternary.then, scope);
    node->arg[2] = fuse_resolve_expr(r, expr->ternary.otherwise, scope);
    return fuse_finish_node(r, node);
}

struct fuse_node *fuse_resolve_number(struct fuse_resolver *r, const struct fuse_expr *expr,
                                      const struct fuse_scope *scope) {
    bool outer = r->logical;
    r->logical = false;
    struct fuse_node *node = fuse_resolve_expr(r, expr, scope);
    r->logical = outer;
    return node;
}

/* ---- equations ------------------------------------------------------------------------------------------------ */

/* A guard is a factor of every top-level term. */
static struct fuse_node *guard_terms(struct fuse_resolver *r, struct fuse_node *node, struct fuse_node *guard) {
    if (node->kind == FUSE_NODE_SUM) {
        for (int k = 0; k < node->n; k++)
            node->arg[k] = guard_terms(r, node->arg[k], guard);
        node->uses |= guard->uses;
        return node;
    }
    bool chain = node->kind == FUSE_NODE_PRODUCT;
    int n = chain ? node->n : 1;
    struct fuse_node *product = fuse_new_node(r, FUSE_NODE_PRODUCT, node->span, n + 1);
    product->logical = r->eq->logical;
    product->inverse = FUSE_NEW_ARRAY(r->c->arena, bool, n + 1);
    product->whole = FUSE_NEW_ARRAY(r->c->arena, struct fuse_span, n + 1);
    for (int k = 0; k < n; k++) {
        product->arg[k] = chain ? node->arg[k] : node;
        product->inverse[k] = chain && node->inverse[k];
        product->whole[k] = chain ? node->whole[k] : node->span;
    }
    product->arg[n] = guard;
    product->whole[n] = guard->span;
    return fuse_finish_node(r, product);
}

/* Relations under products, + and ! && || are a relation. */
static bool is_relation(const struct fuse_checker *c, const struct fuse_equation *eq, const struct fuse_expr *expr) {
    for (; expr->kind == FUSE_EXPR_BINARY; expr = expr->binary.left)
        switch (expr->binary.op) {
        case FUSE_BINARY_AND:
        case FUSE_BINARY_OR:
        case FUSE_BINARY_ADD:
        case FUSE_BINARY_MUL:
            if (!is_relation(c, eq, expr->binary.right))
                return false;
            break;
        default: return false;
        }
    if (expr->kind == FUSE_EXPR_UNARY)
        return expr->unary.op == FUSE_UNARY_NOT && is_relation(c, eq, expr->unary.operand);
    if (expr->kind != FUSE_EXPR_REF && (expr->kind != FUSE_EXPR_APPLY || expr->apply.macro))
        return false;
    const struct fuse_symbol *symbol =
        fuse_find_symbol(c, eq->block, expr->kind == FUSE_EXPR_REF ? expr->ref.name : expr->apply.name);
    return symbol && symbol->kind == FUSE_SYMBOL_TENSOR &&
           (c->tensors.at[symbol->tensor]->boolean || expr->kind == FUSE_EXPR_APPLY);
}

void fuse_resolve(struct fuse_checker *c, struct fuse_equation *eq) {
    struct fuse_resolver r = {.c = c, .eq = eq};
    if (eq->kind == FUSE_EQUATION_SOURCE) {
        if (!eq->bad)
            resolve_source(&r);
        return;
    }
    if (eq->tensor >= 0)
        resolve_left(&r);
    fuse_take_axes(c, eq);
    if (eq->kind == FUSE_EQUATION_SINK) {
        int order[FUSE_MAX_INDICES], n = fuse_names_in_order(c, eq, eq->item->value, order);
        for (int k = 0; k < n; k++)
            fuse_find_index(&r, NULL, eq->name[order[k]], eq->item->value->span,
                            strchr(eq->name[order[k]], ':') != NULL);
    }
    eq->logical = eq->tensor >= 0 ? c->tensors.at[eq->tensor]->boolean : is_relation(c, eq, eq->item->value);
    struct fuse_node *guard = eq->item->guard ? fuse_resolve_expr(&r, eq->item->guard, NULL) : NULL;
    r.logical = eq->logical;
    struct fuse_node *root = fuse_resolve_expr(&r, eq->item->value, NULL);
    if (root && guard && !eq->bad) {
        struct fuse_node *truth = fuse_new_node(&r, FUSE_NODE_GUARD, guard->span, 1);
        truth->arg[0] = guard;
        truth = fuse_finish_node(&r, truth);
        if (fuse_is_joint(c, eq))
            eq->guard = truth;
        else
            root = guard_terms(&r, root, truth);
    }
    eq->root = eq->bad ? NULL : root;
}
