#include "lang/check.h"

#include <string.h>

/* ---- sources ---------------------------------------------------------------------------------------------------- */

static void add_source(struct fuse_sources *sources, struct fuse_arena *arena, struct fuse_map *seen,
                       const struct fuse_item *item) {
    int64_t at;
    if (fuse_map_get(seen, item->text, &at))
        return;
    struct fuse_source_request request = {.text = item->text, .span = item->text_span};
    fuse_map_put(seen, item->text, sources->list.n);
    fuse_vec_push(arena, &sources->list, request);
}

static void list_sources(struct fuse_sources *sources, struct fuse_arena *arena, struct fuse_map *seen,
                         struct fuse_item *const *item, int items) {
    for (int i = 0; i < items; i++) {
        if (item[i]->kind == FUSE_ITEM_SOURCE)
            add_source(sources, arena, seen, item[i]);
        else if (item[i]->kind == FUSE_ITEM_BLOCK || item[i]->kind == FUSE_ITEM_FN)
            list_sources(sources, arena, seen, item[i]->body, item[i]->bodies);
    }
}

void fuse_list_sources(struct fuse_sources *sources, struct fuse_arena *arena, const struct fuse_ast *ast) {
    struct fuse_map seen = {.arena = arena};
    list_sources(sources, arena, &seen, ast->item, ast->items);
}

static bool is_before(const struct fuse_diagnostic *a, const struct fuse_diagnostic *b) {
    return a->span.file != b->span.file ? a->span.file < b->span.file : a->span.begin <= b->span.begin;
}

/* Passes report in their own order; people read from top to bottom. */
static void sort_reports(struct fuse_arena *arena, struct fuse_diagnostic *at, int n) {
    int half = n / 2, a = 0, b = half;
    if (n < 2)
        return;
    sort_reports(arena, at, half);
    sort_reports(arena, at + half, n - half);
    if (is_before(&at[half - 1], &at[half]))
        return;
    struct fuse_diagnostic *merged = FUSE_NEW_ARRAY(arena, struct fuse_diagnostic, n);
    for (int k = 0; k < n; k++)
        merged[k] = b == n || (a < half && is_before(&at[a], &at[b])) ? at[a++] : at[b++];
    memcpy(at, merged, (size_t)n * sizeof *at);
}

static bool is_same(const struct fuse_diagnostic *a, const struct fuse_diagnostic *b) {
    return a->severity == b->severity && a->span.file == b->span.file && a->span.begin == b->span.begin &&
           a->span.end == b->span.end && strcmp(a->message, b->message) == 0;
}

/* The body of a fn is looked at once for every call: what is wrong with it is said once. */
static void say_once(struct fuse_diagnostics *diagnostics, int first) {
    int kept = first;
    for (int k = first; k < diagnostics->list.n; k++) {
        const struct fuse_diagnostic *d = &diagnostics->list.at[k];
        bool repeated = false;
        for (int j = kept - 1; j >= first && diagnostics->list.at[j].span.begin == d->span.begin && !repeated; j--)
            repeated = is_same(&diagnostics->list.at[j], d);
        if (!repeated)
            diagnostics->list.at[kept++] = *d;
        else if (d->severity == FUSE_SEVERITY_ERROR)
            diagnostics->errors--;
        else if (d->severity == FUSE_SEVERITY_WARNING)
            diagnostics->warnings--;
    }
    diagnostics->list.n = kept;
}

/* ---- the passes ------------------------------------------------------------------------------------------------- */

bool fuse_check(struct fuse_ir *ir, struct fuse_arena *arena, const struct fuse_ast *ast,
                const struct fuse_sources *sources, const struct fuse_settings *settings,
                const struct fuse_files *files, struct fuse_diagnostics *diagnostics) {
    struct fuse_checker c = {.arena = arena,
                             .ir = ir,
                             .ast = ast,
                             .sources = sources,
                             .settings = settings ? *settings : (struct fuse_settings){0},
                             .files = files,
                             .diagnostics = diagnostics,
                             .symbol_of = {.arena = arena},
                             .axis_of = {.arena = arena}};
    int errors = diagnostics->errors, first = diagnostics->list.n;
    size_t exprs = (size_t)ast->exprs + 1; /* the last one is that of references which sources become */
    c.taken = fuse_arena_array(arena, exprs, sizeof *c.taken);
    c.free_names = fuse_arena_array(arena, exprs, sizeof *c.free_names);
    c.result = fuse_arena_array(arena, exprs, sizeof *c.result);
    c.outside = fuse_arena_array(arena, exprs, sizeof *c.outside);
    c.inner = fuse_arena_array(arena, exprs, sizeof *c.inner);
    c.made = fuse_arena_array(arena, exprs, sizeof *c.made);
    c.named = fuse_arena_array(arena, exprs, sizeof *c.named);

    fuse_collect_names(&c);
    fuse_collect_questions(&c);
    fuse_note_departures(&c);
    fuse_spell_out_names(&c);
    for (int e = 0; e < c.equations.n; e++)
        fuse_resolve(&c, c.equations.at[e]);
    int uncalled = c.equations.n;
    fuse_resolve_uncalled(&c);
    for (int e = uncalled; e < c.equations.n; e++)
        fuse_resolve(&c, c.equations.at[e]);
    fuse_spread_bad(&c);
    for (int e = 0; e < c.equations.n; e++)
        if (c.equations.at[e]->root)
            fuse_place_sums(&c, c.equations.at[e]);
    fuse_apply_adapters(&c);
    fuse_order_tensors(&c);
    fuse_check_recursion(&c);
    fuse_spread_bad(&c);
    fuse_choose_rules(&c);
    fuse_check_questions(&c);
    fuse_solve_domains(&c);
    fuse_check_arguments(&c);
    fuse_warn_of_broadcasts(&c);
    fuse_mark_needed(&c);
    fuse_lower(&c);
    if (diagnostics->list.n > first)
        sort_reports(arena, diagnostics->list.at + first, diagnostics->list.n - first);
    if (c.calls > 0)
        say_once(diagnostics, first);
    return diagnostics->errors == errors && !c.no_symbols;
}
