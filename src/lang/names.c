#include "lang/check.h"

#include <string.h>

/* ---- symbols -------------------------------------------------------------------------------------------------- */

static const char *symbol_key(const struct fuse_checker *c, int block, const char *name) {
    return block == 0 ? name : fuse_arena_printf(c->arena, "%d#%s", block, name);
}

struct fuse_symbol *fuse_find_symbol(const struct fuse_checker *c, int block, const char *name) {
    int64_t at;
    for (; block >= 0; block = c->block_parent.at[block])
        if (fuse_map_get(&c->symbol_of, symbol_key(c, block, name), &at))
            return &c->symbols.at[at];
    return NULL;
}

static struct fuse_symbol *add_symbol(struct fuse_checker *c, int block, enum fuse_symbol_kind kind, const char *name,
                                      struct fuse_span span, const struct fuse_item *item) {
    struct fuse_symbol symbol = {.kind = kind, .name = name, .span = span, .item = item};
    fuse_vec_push(c->arena, &c->symbols, symbol);
    fuse_map_put(&c->symbol_of, symbol_key(c, block, name), c->symbols.n - 1);
    return &c->symbols.at[c->symbols.n - 1];
}

static const char *symbol_kind_text(const struct fuse_symbol *symbol) {
    if (symbol->kind == FUSE_SYMBOL_FN)
        return "a function";
    if (symbol->kind == FUSE_SYMBOL_TENSOR)
        return "a tensor";
    return symbol->item->kind == FUSE_ITEM_PARAM ? "a param" : "a const";
}

static void complain_taken(struct fuse_checker *c, struct fuse_span span, struct fuse_symbol *symbol) {
    symbol->disputed = true;
    fuse_point_to(fuse_complain(c, span, "'%s' is already %s", symbol->name, symbol_kind_text(symbol)), symbol->span,
                  "defined here");
}

/* Constants, functions and files' names share one space; a second definition is an error. */
static void define_global(struct fuse_checker *c, const struct fuse_item *item, enum fuse_symbol_kind kind) {
    struct fuse_symbol *old = fuse_find_symbol(c, 0, item->name);
    if (old) {
        complain_taken(c, item->name_span, old);
        return;
    }
    struct fuse_symbol *symbol = add_symbol(c, 0, kind, item->name, item->name_span, item);
    symbol->disputed = kind == FUSE_SYMBOL_FN && !fuse_is_well_formed(c, item);
}

/* A `let` of some block has this name. */
static bool is_local_somewhere(const struct fuse_checker *c, const char *name) {
    for (int block = 1; block < c->block_parent.n && fuse_may_suggest(c); block++)
        if (fuse_is_declared(c, block, name))
            return true;
    return false;
}

void fuse_suggest_tensor(struct fuse_checker *c, struct fuse_diagnostic *diagnostic, const char *name) {
    struct fuse_nearest nearest = {.wanted = name};
    for (int s = 0; s < c->symbols.n && fuse_may_suggest(c); s++)
        if (!strchr(c->symbols.at[s].name, '@')) /* a let of an imported file, which is not to be seen here */
            fuse_nearest_try(&nearest, c->symbols.at[s].name);
    if (is_local_somewhere(c, name))
        fuse_advise(c, diagnostic, "a `let` or a fn defines '%s', for its own block only", name);
    else if (nearest.best)
        fuse_advise(c, diagnostic, "did you mean '%s'?", nearest.best);
}

/* ---- tensors -------------------------------------------------------------------------------------------------- */

bool fuse_is_declared(const struct fuse_checker *c, int block, const char *name) {
    int64_t at;
    return fuse_map_get(&c->symbol_of, symbol_key(c, block, name), &at);
}

struct fuse_tensor *fuse_add_tensor(struct fuse_checker *c, int block, const struct fuse_lhs *lhs, int rank) {
    struct fuse_tensor *tensor = FUSE_NEW(c->arena, struct fuse_tensor);
    tensor->name = lhs->name;
    tensor->span = lhs->name_span;
    tensor->rank = rank;
    tensor->value = -1;
    if (tensor->rank > FUSE_MAX_AXES) {
        fuse_complain(c, lhs->span, "'%s' has %d axes; %d are the most", lhs->name, rank, FUSE_MAX_AXES);
        tensor->bad = tensor->disputed = true;
        tensor->rank = FUSE_MAX_AXES;
    }
    for (int a = 0; a < tensor->rank; a++)
        tensor->domain[a] = fuse_new_domain(c);
    fuse_vec_push(c->arena, &c->tensors, tensor);
    struct fuse_symbol *symbol = add_symbol(c, block, FUSE_SYMBOL_TENSOR, lhs->name, lhs->name_span, NULL);
    symbol->tensor = c->tensors.n - 1;
    const struct fuse_builtin *builtin = fuse_builtin_find(lhs->name);
    if (builtin)
        fuse_report(c->diagnostics, FUSE_SEVERITY_NOTE, lhs->name_span, "tensor '%s' hides the builtin %s(%s)%s",
                    lhs->name, builtin->name, builtin->signature,
                    strcmp(builtin->name, lhs->name) == 0 ? "" : " under this spelling");
    return tensor;
}

struct fuse_equation *fuse_add_equation(struct fuse_checker *c, const struct fuse_item *item, int block,
                                        enum fuse_equation_kind kind) {
    struct fuse_equation *eq = FUSE_NEW(c->arena, struct fuse_equation);
    eq->item = item;
    eq->kind = kind;
    eq->block = block;
    eq->number = c->equations.n;
    eq->tensor = -1;
    for (int k = 0; k < FUSE_MAX_INDICES; k++)
        eq->index_of_name[k] = -1;
    fuse_vec_push(c->arena, &c->equations, eq);
    return eq;
}

static const struct fuse_source_request *find_source(const struct fuse_checker *c, const char *text) {
    for (int s = 0; s < c->sources->list.n; s++)
        if (strcmp(c->sources->list.at[s].text, text) == 0)
            return &c->sources->list.at[s];
    return NULL;
}

static bool same_source(const struct fuse_item *a, const struct fuse_item *b) {
    if (strcmp(a->text, b->text) != 0 || a->lhs.n != b->lhs.n || a->assign != b->assign)
        return false;
    for (int k = 0; k < a->lhs.n; k++) {
        const char *x = a->lhs.index[k].name, *y = b->lhs.index[k].name;
        if (!x || !y || strcmp(x, y) != 0)
            return false;
    }
    return true;
}

enum fuse_relation_kind fuse_source_relation(const struct fuse_equation *eq) {
    const struct fuse_tally *tally = eq->source && eq->source->probed ? eq->source->probe.tally : NULL;
    if (!tally)
        return FUSE_NO_RELATION;
    if (tally->columns == 0) /* of no rows, nothing is known */
        return eq->item->lhs.boolean ? FUSE_FACTS : FUSE_NUMERIC;
    return tally->columns == eq->item->lhs.n ? FUSE_FACTS : FUSE_NUMERIC;
}

enum fuse_relation_kind fuse_tensor_relation(const struct fuse_checker *c, const struct fuse_tensor *tensor) {
    enum fuse_relation_kind kind = FUSE_NO_RELATION;
    for (int k = 0; k < tensor->contributions.n; k++) {
        const struct fuse_equation *eq = c->equations.at[tensor->contributions.at[k]];
        enum fuse_relation_kind this = eq->kind == FUSE_EQUATION_SOURCE ? fuse_source_relation(eq) : FUSE_NO_RELATION;
        if (this == FUSE_NO_RELATION || (k > 0 && this != kind))
            return FUSE_NO_RELATION;
        kind = this;
    }
    return kind;
}

static void check_columns(struct fuse_checker *c, struct fuse_equation *eq, struct fuse_tensor *tensor) {
    const struct fuse_item *item = eq->item;
    int columns = eq->source->probe.tally->columns, n = item->lhs.n;
    if (columns == 0 || columns == n || (columns == n + 1 && !item->lhs.boolean))
        return;
    struct fuse_diagnostic *d =
        fuse_complain(c, item->lhs.span, "\"%s\" has %d column%s, the left side has %d %s", item->text, columns,
                      columns == 1 ? "" : "s", n, n == 1 ? "index" : "indices");
    fuse_point_to(d, item->text_span, "the source");
    if (columns == n + 1)
        fuse_advise(c, d, "a relation with a column of values is written with brackets: %s[..]", item->lhs.name);
    else
        fuse_advise(c, d,
                    "facts have an index for each column, numeric relations for each column but the last, the value");
    eq->bad = tensor->disputed = true;
}

/* Before any reference is looked at, so that the rank is not what those are blamed for. */
static void check_source_rank(struct fuse_checker *c, struct fuse_equation *eq, struct fuse_tensor *tensor) {
    const struct fuse_item *item = eq->item;
    if (eq->bad || !eq->source || !eq->source->probed)
        return;
    if (eq->source->probe.tally) {
        check_columns(c, eq, tensor);
        return;
    }
    if (eq->source->probe.rank == item->lhs.n)
        return;
    fuse_point_to(fuse_complain(c, item->lhs.span, "\"%s\" has rank %d, the left side has %d %s", item->text,
                                eq->source->probe.rank, item->lhs.n, item->lhs.n == 1 ? "index" : "indices"),
                  item->text_span, "the source");
    eq->bad = tensor->disputed = true;
}

static bool is_fixed(const struct fuse_checker *c, const struct fuse_index *index) {
    const struct fuse_symbol *symbol = index->kind == FUSE_INDEX_NAME ? fuse_find_symbol(c, 0, index->name) : NULL;
    return index->kind == FUSE_INDEX_FIXED || index->kind == FUSE_INDEX_SYMBOL ||
           (symbol && symbol->kind == FUSE_SYMBOL_CONST);
}

/* The file is the tensor, or a part of it that is alone in it. */
static bool is_plain_source(const struct fuse_checker *c, const struct fuse_item *item,
                            const struct fuse_tensor *tensor) {
    const struct fuse_lhs *lhs = &item->lhs;
    if (item->guard || tensor->carried > 0)
        return false;
    for (int k = 0; k < lhs->n; k++) {
        if (is_fixed(c, &lhs->index[k]) || lhs->index[k].kind != FUSE_INDEX_NAME || lhs->index[k].offset != 0)
            return false;
        for (int j = 0; j < k; j++)
            if (strcmp(lhs->index[j].name, lhs->index[k].name) == 0)
                return false;
    }
    return true;
}

static bool one_row(const struct fuse_source_request *request, int axis) {
    return request && request->probed && !request->probe.tally && axis < request->probe.rank &&
           request->probe.extent[axis] == 1;
}

/* The indices through which such a left side reads its file: all in order or, in a file of fewer axes, each name once. */
static struct fuse_lhs file_indices(struct fuse_checker *c, const struct fuse_item *item, int rank,
                                    const struct fuse_source_request *request) {
    struct fuse_lhs lhs = item->lhs;
    lhs.index = FUSE_NEW_ARRAY(c->arena, struct fuse_index, item->lhs.n);
    lhs.n = 0;
    for (int k = 0; k < item->lhs.n; k++) {
        struct fuse_index index = item->lhs.index[k];
        bool repeated = false;
        for (int j = 0; j < k && !repeated && index.name; j++)
            repeated = item->lhs.index[j].name && strcmp(item->lhs.index[j].name, index.name) == 0;
        if (rank != item->lhs.n && (repeated || is_fixed(c, &index)))
            continue;
        index.offset = 0;
        index.dotted = false;
        if (one_row(request, k) && is_fixed(c, &index)) /* the only row of the file is the one that is written */
            index = (struct fuse_index){.kind = FUSE_INDEX_FIXED, .span = index.span};
        lhs.index[lhs.n++] = index;
    }
    return lhs;
}

/* The file's own left side: a name for each axis. */
static struct fuse_lhs file_left(struct fuse_checker *c, struct fuse_lhs lhs) {
    struct fuse_index *index = FUSE_NEW_ARRAY(c->arena, struct fuse_index, lhs.n);
    for (int k = 0; k < lhs.n; k++)
        index[k] = (struct fuse_index){
            .kind = FUSE_INDEX_NAME, .span = lhs.index[k].span, .name = fuse_arena_printf(c->arena, "axis %d", k)};
    lhs.index = index;
    lhs.boolean = false;
    return lhs;
}

/* How many indices a file has: one of rows as many as the left side if it can. */
static int file_rank(const struct fuse_item *item, const struct fuse_source_request *request) {
    if (!request || !request->probed)
        return item->lhs.n;
    const struct fuse_tally *tally = request->probe.tally;
    if (!tally)
        return request->probe.rank;
    return tally->columns == 0 || tally->columns == item->lhs.n + 1 ? item->lhs.n : tally->columns;
}

/* X[0,i+1] when G[i] = "f.npy" is F[i] = "f.npy" and X[0,i+1] when G[i] = F[i]. */
static const struct fuse_item *name_file(struct fuse_checker *c, const struct fuse_item *item) {
    struct fuse_item *source = FUSE_NEW(c->arena, struct fuse_item), *equation = FUSE_NEW(c->arena, struct fuse_item);
    struct fuse_expr *value = FUSE_NEW(c->arena, struct fuse_expr);
    const struct fuse_source_request *request = find_source(c, item->text);
    *source = *equation = *item;
    source->lhs = file_indices(c, item, file_rank(item, request), request);
    source->lhs.name = fuse_arena_printf(c->arena, "\"%s\"@%d", item->text, c->equations.n);
    const struct fuse_lhs read = source->lhs;
    source->lhs = file_left(c, read);
    source->guard = NULL;
    source->assign = FUSE_ASSIGN_SUM;
    *value = (struct fuse_expr){.kind = FUSE_EXPR_REF, .span = item->text_span, .id = c->ast->exprs};
    value->ref.name = source->lhs.name;
    value->ref.name_span = item->text_span;
    value->ref.has_brackets = true;
    value->ref.index = read.index;
    value->ref.n = read.n;
    equation->kind = FUSE_ITEM_EQUATION;
    equation->value = value;
    struct fuse_tensor *file = fuse_add_tensor(c, 0, &source->lhs, source->lhs.n);
    file->carried_name = FUSE_NEW(c->arena, const char *);
    struct fuse_equation *eq = fuse_add_equation(c, source, 0, FUSE_EQUATION_SOURCE);
    eq->tensor = c->tensors.n - 1;
    eq->source = request;
    check_source_rank(c, eq, file);
    fuse_vec_push(c->arena, &file->contributions, eq->number);
    return equation;
}

static void contribute(struct fuse_checker *c, const struct fuse_item *item, int block) {
    const struct fuse_lhs *lhs = &item->lhs;
    struct fuse_symbol *symbol = fuse_find_symbol(c, block, lhs->name);
    bool from_file = false;
    if (item->kind == FUSE_ITEM_SOURCE && (!symbol || symbol->kind == FUSE_SYMBOL_TENSOR)) {
        struct fuse_tensor none = {.carried = 0};
        from_file = !is_plain_source(c, item, symbol ? c->tensors.at[symbol->tensor] : &none);
        if (from_file)
            item = name_file(c, item);
        symbol = fuse_find_symbol(c, block, lhs->name);
    }
    struct fuse_equation *eq =
        fuse_add_equation(c, item, block, item->kind == FUSE_ITEM_SOURCE ? FUSE_EQUATION_SOURCE : FUSE_EQUATION_EXPR);
    eq->from_file = from_file;
    if (symbol && symbol->kind != FUSE_SYMBOL_TENSOR) {
        complain_taken(c, lhs->name_span, symbol);
        eq->bad = true;
        return;
    }
    struct fuse_tensor *tensor = symbol ? c->tensors.at[symbol->tensor] : fuse_add_tensor(c, 0, lhs, lhs->n);
    eq->tensor = symbol ? symbol->tensor : c->tensors.n - 1;
    if (tensor->rank - tensor->carried != lhs->n && !tensor->bad) {
        fuse_point_to(fuse_complain(c, lhs->span, "'%s' has rank %d here but rank %d elsewhere", lhs->name, lhs->n,
                                    tensor->rank - tensor->carried),
                      tensor->span, "first defined here");
        eq->bad = tensor->disputed = true;
    }
    if (eq->kind == FUSE_EQUATION_SOURCE) {
        eq->source = find_source(c, item->text);
        check_source_rank(c, eq, tensor);
        for (int k = 0; k < tensor->contributions.n; k++) {
            const struct fuse_equation *other = c->equations.at[tensor->contributions.at[k]];
            if (other->kind == FUSE_EQUATION_SOURCE && same_source(other->item, item)) {
                fuse_point_to(fuse_complain(c, item->span, "'%s' reads \"%s\" twice", lhs->name, item->text),
                              other->item->span, "the same source");
                eq->bad = true;
                break;
            }
        }
    }
    tensor->boolean |= lhs->boolean;
    fuse_vec_push(c->arena, &tensor->contributions, eq->number);
}

/* ---- operators ------------------------------------------------------------------------------------------------ */

static enum fuse_assign family(enum fuse_assign assign) {
    return assign == FUSE_ASSIGN_ADD ? FUSE_ASSIGN_SUM : assign;
}

static const char *assign_text(enum fuse_assign assign) {
    static const char *const text[] = {
        [FUSE_ASSIGN_SUM] = "=",    [FUSE_ASSIGN_ADD] = "+=",     [FUSE_ASSIGN_MAX] = "max=",
        [FUSE_ASSIGN_MIN] = "min=", [FUSE_ASSIGN_PROD] = "prod=", [FUSE_ASSIGN_AVG] = "avg="};
    return text[assign];
}

/* A source that is written with `=` takes the operator of the others. */
static bool takes_any(const struct fuse_equation *eq) {
    return (eq->kind == FUSE_EQUATION_SOURCE || eq->from_file) && eq->item->assign == FUSE_ASSIGN_SUM;
}

void fuse_tell_brackets(struct fuse_checker *c, struct fuse_tensor *tensor, struct fuse_span span) {
    if (tensor->told_brackets)
        return;
    tensor->told_brackets = true;
    struct fuse_diagnostic *d =
        fuse_report(c->diagnostics, FUSE_SEVERITY_WARNING, span,
                    "'%s' is Boolean: brackets mean the same as parentheses here", tensor->name);
    fuse_advise(c, d, "write %s(..)", tensor->name);
}

/* Truths are only ever ORed. */
static void settle_boolean(struct fuse_checker *c, struct fuse_tensor *tensor) {
    tensor->assign = FUSE_ASSIGN_SUM;
    for (int k = 0; k < tensor->contributions.n; k++) {
        struct fuse_equation *eq = c->equations.at[tensor->contributions.at[k]];
        enum fuse_assign assign = family(eq->item->assign);
        if (!eq->item->lhs.boolean && eq->item->lhs.has_brackets)
            fuse_tell_brackets(c, tensor, eq->item->lhs.span);
        if (assign == FUSE_ASSIGN_SUM || assign == FUSE_ASSIGN_MAX)
            continue;
        struct fuse_diagnostic *d =
            fuse_complain(c, eq->item->assign_span, "'%s' is Boolean and takes =, += or max=, not %s", tensor->name,
                          assign_text(eq->item->assign));
        fuse_advise(c, d, "for what holds for every y write %s(..) = reduce(all, y) ..", tensor->name);
        eq->bad = true;
    }
}

/* All contributions of a tensor combine with one operator. */
void fuse_settle_operator(struct fuse_checker *c, struct fuse_tensor *tensor) {
    const struct fuse_equation *first = NULL;
    if (tensor->boolean) {
        settle_boolean(c, tensor);
        return;
    }
    for (int k = 0; k < tensor->contributions.n; k++) {
        struct fuse_equation *eq = c->equations.at[tensor->contributions.at[k]];
        if (takes_any(eq))
            continue;
        if (!first) {
            first = eq;
            tensor->assign = family(eq->item->assign);
        } else if (family(eq->item->assign) != tensor->assign) {
            fuse_point_to(fuse_complain(c, eq->item->assign_span, "'%s' is defined with %s here but with %s elsewhere",
                                        tensor->name, assign_text(eq->item->assign), assign_text(first->item->assign)),
                          first->item->assign_span, "all equations for a tensor take one operator");
            eq->bad = true;
        }
    }
    if (tensor->assign != FUSE_ASSIGN_AVG || tensor->contributions.n < 2)
        return;
    struct fuse_equation *second = c->equations.at[tensor->contributions.at[1]];
    if (second->bad)
        return;
    fuse_point_to(
        fuse_complain(c, second->item->assign_span, "'%s' is a mean and has a second contribution", tensor->name),
        c->equations.at[tensor->contributions.at[0]]->item->span, "the first one");
    second->bad = true;
}

bool fuse_is_joint(const struct fuse_checker *c, const struct fuse_equation *eq) {
    return eq->tensor >= 0 && c->tensors.at[eq->tensor]->assign != FUSE_ASSIGN_SUM;
}

/* ---- items ---------------------------------------------------------------------------------------------------- */

int fuse_open_block(struct fuse_checker *c, int parent) {
    fuse_vec_push(c->arena, &c->block_parent, parent);
    return c->block_parent.n - 1;
}

/* The local names of a block, before anything in it is looked up: a name holds in its whole block. */
static void declare_locals(struct fuse_checker *c, struct fuse_item *const *item, int items, int block) {
    for (int i = 0; i < items; i++) {
        const struct fuse_lhs *lhs = &item[i]->lhs;
        if (item[i]->kind == FUSE_ITEM_LET && !fuse_is_declared(c, block, lhs->name))
            fuse_add_tensor(c, block, lhs, lhs->n);
    }
}

void fuse_collect_statements(struct fuse_checker *c, struct fuse_item *const *item, int items, int block) {
    for (int i = 0; i < items; i++)
        switch (item[i]->kind) {
        case FUSE_ITEM_EQUATION:
        case FUSE_ITEM_SOURCE:
        case FUSE_ITEM_LET: contribute(c, item[i], block); break;
        case FUSE_ITEM_SINK: fuse_add_equation(c, item[i], block, FUSE_EQUATION_SINK); break;
        case FUSE_ITEM_BLOCK: {
            int inner = fuse_open_block(c, block);
            declare_locals(c, item[i]->body, item[i]->bodies, inner);
            fuse_collect_statements(c, item[i]->body, item[i]->bodies, inner);
            break;
        }
        default: break;
        }
}

static const struct fuse_axis *own_axis(const struct fuse_checker *c, int file, const char *name) {
    int64_t at;
    return fuse_map_get(&c->axis_of, fuse_arena_printf(c->arena, "%d#%s", file, name), &at) ? &c->axes.at[at] : NULL;
}

/* Imports are never cyclic. */
const struct fuse_axis *fuse_find_axis(const struct fuse_checker *c, int file, const char *name) {
    const struct fuse_axis *axis = c->axes.n > 0 ? own_axis(c, file, name) : NULL;
    for (int k = 0; k < c->ast->imports && !axis && c->axes.n > 0; k++)
        if (c->ast->import[k].file == file)
            axis = fuse_find_axis(c, c->ast->import[k].imported, name);
    return axis;
}

/* An axis with a mistake is there all the same, lest its index be said to lack an extent. */
static void collect_axis(struct fuse_checker *c, const struct fuse_item *item) {
    struct fuse_axis axis = {.name = item->name, .span = item->span, .extent = -1};
    const struct fuse_axis *old = own_axis(c, item->span.file, item->name);
    struct fuse_symbol *symbol = fuse_find_symbol(c, 0, item->name);
    if (old) {
        fuse_point_to(fuse_complain(c, item->name_span, "axis '%s' is declared twice", item->name), old->span,
                      "first declared here");
        return;
    }
    if (symbol && symbol->kind == FUSE_SYMBOL_CONST) {
        fuse_point_to(fuse_complain(c, item->name_span, "'%s' is %s and cannot be an index too", item->name,
                                    symbol_kind_text(symbol)),
                      symbol->span, "defined here");
        symbol->disputed = true;
        return;
    }
    if (item->text) {
        axis.names = item->text;
        axis.span = item->text_span;
    } else if (item->value && !fuse_constant_integer(c, &axis.extent, item->value, "an extent")) {
        axis.bad = true;
    } else if (item->value && axis.extent < 0) {
        fuse_complain(c, item->value->span, "an extent cannot be negative");
        axis.bad = true;
    } else if (axis.extent > FUSE_MAX_EXTENT) {
        fuse_complain(c, item->value->span, "an axis of %lld elements is longer than any tensor can be",
                      (long long)axis.extent);
        axis.bad = true;
    }
    fuse_map_put(&c->axis_of, fuse_arena_printf(c->arena, "%d#%s", item->span.file, axis.name), c->axes.n);
    fuse_vec_push(c->arena, &c->axes, axis);
}

static bool is_exported(const struct fuse_checker *c, int tensor, bool query) {
    for (int k = 0; k < c->exports.n; k++)
        if (c->exports.at[k].tensor == tensor && c->exports.at[k].query == query)
            return true;
    return false;
}

static void collect_exports(struct fuse_checker *c, const struct fuse_item *item) {
    for (int k = 0; k < item->exports; k++) {
        struct fuse_symbol *symbol = fuse_find_symbol(c, 0, item->exported[k]);
        if (symbol && symbol->kind == FUSE_SYMBOL_TENSOR) {
            struct fuse_export export = {
                .tensor = symbol->tensor, .query = item->query, .span = item->exported_span[k]};
            if (!is_exported(c, symbol->tensor, item->query)) /* twice is once */
                fuse_vec_push(c->arena, &c->exports, export);
        } else if (symbol) {
            fuse_complain(c, item->exported_span[k], "'%s' is %s; only tensors are exported", symbol->name,
                          symbol_kind_text(symbol));
        } else {
            struct fuse_diagnostic *d =
                fuse_complain(c, item->exported_span[k], "there is no tensor '%s' to export", item->exported[k]);
            fuse_suggest_tensor(c, d, item->exported[k]);
        }
    }
}

static void collect_counts(struct fuse_checker *c) {
    for (int k = 0; k < c->settings.counts; k++) {
        const char *name = c->settings.count[k];
        struct fuse_symbol *symbol = fuse_find_symbol(c, 0, name);
        struct fuse_diagnostic *d = NULL;
        if (symbol && symbol->kind == FUSE_SYMBOL_TENSOR) {
            c->tensors.at[symbol->tensor]->mentioned = true;
            fuse_vec_push(c->arena, &c->counts, symbol->tensor);
        } else if (symbol) {
            d = fuse_complain(c, FUSE_NO_SPAN, "--count %s: it is no tensor", name);
            fuse_advise(c, d, "count what a left side of the program writes");
        } else {
            d = fuse_complain(c, FUSE_NO_SPAN, "--count %s: there is no tensor of that name", name);
            fuse_advise(c, d, "count what a left side of the program writes");
            fuse_suggest_tensor(c, d, name);
        }
        if (d)
            d->status = FUSE_EUSAGE;
    }
}

void fuse_collect_names(struct fuse_checker *c) {
    struct fuse_item *const *item = c->ast->item;
    int items = c->ast->items;
    fuse_open_block(c, -1);
    for (int i = 0; i < items; i++)
        switch (item[i]->kind) {
        case FUSE_ITEM_FN: define_global(c, item[i], FUSE_SYMBOL_FN); break;
        case FUSE_ITEM_PARAM:
        case FUSE_ITEM_CONST: define_global(c, item[i], FUSE_SYMBOL_CONST); break;
        default: break;
        }
    fuse_apply_defines(c);
    for (int s = 0; s < c->symbols.n; s++) {
        struct fuse_number number;
        bool list = c->symbols.at[s].kind == FUSE_SYMBOL_CONST && c->symbols.at[s].item->value &&
                    c->symbols.at[s].item->value->kind == FUSE_EXPR_LIST;
        if (c->symbols.at[s].kind == FUSE_SYMBOL_CONST && !list)
            fuse_symbol_number(c, &number, &c->symbols.at[s]);
    }
    fuse_collect_statements(c, item, items, 0);
    for (int t = 0; t < c->tensors.n; t++)
        fuse_settle_operator(c, c->tensors.at[t]);
    collect_counts(c);
    for (int i = 0; i < items; i++) {
        if (item[i]->kind == FUSE_ITEM_AXIS)
            collect_axis(c, item[i]);
        if (item[i]->kind == FUSE_ITEM_EXPORT)
            collect_exports(c, item[i]);
    }
}
