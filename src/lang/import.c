/* import: the files of a program become one list of items, with every name as it is called there.
 *
 * Each file under each prefix is a unit. Its names are what it and what it imports define; a name that it does not know
 * is the importing file's. Units are parsed one by one, since items are changed in place. */
#include "lang/import.h"

#include "lang/builtins.h"
#include "lang/parser.h"

#include <string.h>

enum { NAME = 1, NUMBER = 2, PRIVATE = 4 }; /* NUMBER: a const or param; PRIVATE: a let at file level */

struct unit {
    int file;
    const char *prefix; /* "ns::", or "" */
    struct unit *importer;
    struct fuse_ast ast;
    struct unit **child; /* per item: the unit that an import adds, NULL: none */
    struct fuse_map names;
    FUSE_VEC(const char *) list; /* the keys of names */
};

struct linker {
    struct fuse_arena *arena;
    struct fuse_files *files;
    const struct fuse_loader *loader;
    struct fuse_diagnostics *diagnostics;
    struct fuse_map taken; /* "file|prefix" */
    FUSE_VEC(struct unit *) units;
    FUSE_VEC(struct fuse_file_import) imports;
    int exprs;
    bool good;
};

/* ---- what a unit defines -------------------------------------------------------------------------------------------- */

static void define(struct linker *l, struct unit *unit, const char *name, int kind) {
    int64_t old = 0;
    if (!fuse_map_get(&unit->names, name, &old))
        fuse_vec_push(l->arena, &unit->list, name);
    /* What others see of a name wins over what only this file does. */
    fuse_map_put(&unit->names, name, old & NAME && kind & PRIVATE ? old : kind);
}

static void define_items(struct linker *l, struct unit *unit, struct fuse_item *const *item, int items, bool in_block) {
    for (int i = 0; i < items; i++)
        switch (item[i]->kind) {
        case FUSE_ITEM_EQUATION:
        case FUSE_ITEM_SOURCE: define(l, unit, item[i]->lhs.name, NAME); break;
        case FUSE_ITEM_LET:
            if (!in_block)
                define(l, unit, item[i]->lhs.name, NAME | PRIVATE);
            break;
        case FUSE_ITEM_CONST:
        case FUSE_ITEM_PARAM: define(l, unit, item[i]->name, NAME | NUMBER); break;
        case FUSE_ITEM_FN: define(l, unit, item[i]->name, NAME); break;
        case FUSE_ITEM_BLOCK: define_items(l, unit, item[i]->body, item[i]->bodies, true); break;
        default: break;
        }
}

/* What an import brings, under the name that it has here. */
static void define_imported(struct linker *l, struct unit *unit, const struct unit *child, const char *as) {
    for (int k = 0; k < child->list.n; k++) {
        int64_t kind = 0;
        fuse_map_get(&child->names, child->list.at[k], &kind);
        if (!(kind & PRIVATE))
            define(l, unit, as ? fuse_arena_printf(l->arena, "%s::%s", as, child->list.at[k]) : child->list.at[k],
                   (int)kind);
    }
}

/* ---- reading -------------------------------------------------------------------------------------------------------- */

static void complain_import(struct linker *l, const struct fuse_item *item, enum fuse_status status,
                            const char *message) {
    struct fuse_diagnostic *d = fuse_report(l->diagnostics, FUSE_SEVERITY_ERROR, item->text_span, "%s", message);
    if (d) {
        d->status = status;
        d->hint =
            "imports are looked up beside the importing file, then in the folders of -I, and may not go in circles";
    }
    l->good = false;
}

static const char *cycle_of(struct linker *l, const struct unit *unit, int file) {
    struct fuse_text text = {.arena = l->arena};
    const struct unit *at = unit;
    fuse_text_add(&text, "%s", l->files->list.at[file].path);
    for (; at->file != file; at = at->importer)
        fuse_text_add(&text, " <- %s", l->files->list.at[at->file].path);
    fuse_text_add(&text, " <- %s", l->files->list.at[file].path);
    return text.at;
}

static enum fuse_status read_unit(struct linker *l, struct unit **out, int file, const char *prefix,
                                  struct unit *importer, struct fuse_error *err);

static enum fuse_status read_import(struct linker *l, struct unit *unit, int number, struct fuse_error *err) {
    const struct fuse_item *item = unit->ast.item[number];
    int file;
    FUSE_TRY(l->loader->find(l->loader->context, &file, item->text, unit->file, err));
    if (file < 0) {
        complain_import(l, item, FUSE_EINPUT,
                        fuse_arena_printf(l->arena, "there is no file \"%s\" to import", item->text));
        return FUSE_OK;
    }
    for (const struct unit *at = unit; at; at = at->importer)
        if (at->file == file) {
            complain_import(
                l, item, FUSE_EPROGRAM,
                fuse_arena_printf(l->arena, "\"%s\" imports itself (%s)", item->text, cycle_of(l, unit, file)));
            return FUSE_OK;
        }
    struct fuse_file_import link = {.file = unit->file, .imported = file};
    fuse_vec_push(l->arena, &l->imports, link);
    const char *prefix = item->name ? fuse_arena_printf(l->arena, "%s%s::", unit->prefix, item->name) : unit->prefix;
    const char *key = fuse_arena_printf(l->arena, "%d|%s", file, prefix);
    int64_t at;
    struct unit *child;
    if (fuse_map_get(&l->taken, key, &at)) {
        child = l->units.at[at];
    } else {
        FUSE_TRY(read_unit(l, &child, file, prefix, unit, err));
        unit->child[number] = child;
    }
    define_imported(l, unit, child, item->name);
    return FUSE_OK;
}

static enum fuse_status read_unit(struct linker *l, struct unit **out, int file, const char *prefix,
                                  struct unit *importer, struct fuse_error *err) {
    struct unit *unit = *out = FUSE_NEW(l->arena, struct unit);
    *unit = (struct unit){.file = file, .prefix = prefix, .importer = importer, .names = {.arena = l->arena}};
    fuse_map_put(&l->taken, fuse_arena_printf(l->arena, "%d|%s", file, prefix), l->units.n);
    fuse_vec_push(l->arena, &l->units, unit);
    unit->ast.exprs = l->exprs;
    l->good &= fuse_parse(&unit->ast, l->arena, l->files, file, l->diagnostics);
    l->exprs = unit->ast.exprs;
    unit->child = FUSE_NEW_ARRAY(l->arena, struct unit *, unit->ast.items);
    define_items(l, unit, unit->ast.item, unit->ast.items, false);
    for (int i = 0; i < unit->ast.items; i++)
        if (unit->ast.item[i]->kind == FUSE_ITEM_IMPORT)
            FUSE_TRY(read_import(l, unit, i, err));
    return FUSE_OK;
}

/* ---- names ---------------------------------------------------------------------------------------------------------- */

/* Names of a fn's formals and locals, and of a block's lets, mean those. */
struct scope {
    const struct scope *outer;
    const struct fuse_item *item;
};

struct renamer {
    struct linker *l;
    const struct unit *unit;
};

static bool writes(struct fuse_item *const *item, int items, const char *name, bool lets_only) {
    for (int i = 0; i < items; i++) {
        bool left = item[i]->kind == FUSE_ITEM_LET ||
                    (!lets_only && (item[i]->kind == FUSE_ITEM_EQUATION || item[i]->kind == FUSE_ITEM_SOURCE));
        if (left && strcmp(item[i]->lhs.name, name) == 0)
            return true;
        if (!lets_only && item[i]->kind == FUSE_ITEM_BLOCK && writes(item[i]->body, item[i]->bodies, name, false))
            return true;
    }
    return false;
}

static bool is_local(const struct scope *scope, const char *name) {
    for (; scope; scope = scope->outer) {
        const struct fuse_item *item = scope->item;
        for (int f = 0; f < item->formals; f++)
            if (strcmp(item->formal[f].name, name) == 0)
                return true;
        if (writes(item->body, item->bodies, name, item->kind == FUSE_ITEM_BLOCK))
            return true;
    }
    return false;
}

/* The name as it is called in the whole program. numbers: only consts and params are meant. */
static const char *called(const struct renamer *r, const char *name, const struct scope *scope, bool numbers) {
    if (!name || is_local(scope, name))
        return name;
    for (const struct unit *unit = r->unit; unit; unit = unit->importer) {
        int64_t kind;
        if (!fuse_map_get(&unit->names, name, &kind) || (kind & PRIVATE && unit != r->unit) ||
            (numbers && !(kind & NUMBER)))
            continue;
        if (kind & PRIVATE && unit->importer)
            return fuse_arena_printf(r->l->arena, "%s%s@%d", unit->prefix, name, unit->file);
        return unit->prefix[0] ? fuse_arena_printf(r->l->arena, "%s%s", unit->prefix, name) : name;
    }
    return name;
}

static void rename_indices(const struct renamer *r, struct fuse_index *index, int n, const struct scope *scope) {
    for (int k = 0; k < n; k++) {
        if (index[k].kind == FUSE_INDEX_NAME)
            index[k].name = called(r, index[k].name, scope, true);
        struct fuse_bound *const bound[] = {&index[k].start, &index[k].stop, &index[k].step};
        for (int b = 0; b < 3; b++)
            if (bound[b]->kind == FUSE_BOUND_NAME)
                bound[b]->name = called(r, bound[b]->name, scope, true);
    }
}

static void rename_expr(const struct renamer *r, struct fuse_expr *expr, const struct scope *scope);

/* The argument of iota(i), and axis=i, name indices: a tensor of that name is not meant. */
static void rename_index_argument(const struct renamer *r, struct fuse_expr *expr, const struct scope *scope) {
    if (expr->kind == FUSE_EXPR_REF && !expr->ref.has_brackets)
        expr->ref.name = called(r, expr->ref.name, scope, true);
    else if (expr->kind == FUSE_EXPR_LIST && expr->list.item)
        for (int k = 0; k < expr->list.n; k++)
            rename_index_argument(r, expr->list.item[k], scope);
    else
        rename_expr(r, expr, scope);
}

static void rename_call(const struct renamer *r, struct fuse_expr *expr, const struct scope *scope) {
    const char *name = expr->apply.name;
    expr->apply.name = called(r, name, scope, false);
    const struct fuse_builtin *builtin = expr->apply.name == name ? fuse_builtin_find(name) : NULL;
    bool index = builtin && builtin->group == FUSE_GROUP_INDEX;
    for (int k = 0; k < expr->apply.arguments; k++) {
        const struct fuse_argument *argument = &expr->apply.argument[k];
        if (index || (argument->name && strcmp(argument->name, "axis") == 0))
            rename_index_argument(r, argument->value, scope);
        else
            rename_expr(r, argument->value, scope);
    }
    rename_indices(r, expr->apply.index, expr->apply.indices, scope);
}

static void rename_expr(const struct renamer *r, struct fuse_expr *expr, const struct scope *scope) {
    if (expr->kind == FUSE_EXPR_APPLY) {
        rename_call(r, expr, scope);
        return;
    }
    if (expr->kind == FUSE_EXPR_REF) {
        expr->ref.name = called(r, expr->ref.name, scope, false);
        rename_indices(r, expr->ref.index, expr->ref.n, scope);
    }
    if (expr->kind == FUSE_EXPR_REDUCE)
        rename_indices(r, expr->reduce.index, expr->reduce.n, scope);
    for (int k = 0; k < fuse_expr_parts(expr); k++)
        rename_expr(r, fuse_expr_part(expr, k), scope);
}

static void rename_item(const struct renamer *r, struct fuse_item *item, const struct scope *scope) {
    struct scope inner = {.outer = scope, .item = item};
    switch (item->kind) {
    case FUSE_ITEM_CONST:
    case FUSE_ITEM_PARAM:
    case FUSE_ITEM_FN: item->name = called(r, item->name, scope, false); break;
    case FUSE_ITEM_EQUATION:
    case FUSE_ITEM_SOURCE:
    case FUSE_ITEM_LET:
        item->lhs.name = called(r, item->lhs.name, scope, false);
        rename_indices(r, item->lhs.index, item->lhs.n, scope);
        break;
    case FUSE_ITEM_EXPORT:
        for (int k = 0; k < item->exports; k++)
            item->exported[k] = called(r, item->exported[k], scope, false);
        break;
    default: break;
    }
    if (item->guard)
        rename_expr(r, item->guard, scope);
    if (item->value)
        rename_expr(r, item->value, scope);
    for (int k = 0; k < item->bodies; k++)
        rename_item(r, item->body[k], &inner);
}

/* ---- one list ------------------------------------------------------------------------------------------------------- */

struct items {
    FUSE_VEC(struct fuse_item *) list;
};

static bool stays_behind(const struct fuse_item *item) {
    return item->kind == FUSE_ITEM_SINK || item->kind == FUSE_ITEM_EXPORT;
}

/* Sinks and exports of an imported file do not come with it. */
static void drop_sinks(struct fuse_item *item) {
    int kept = 0;
    for (int k = 0; k < item->bodies; k++)
        if (!stays_behind(item->body[k])) {
            drop_sinks(item->body[k]);
            item->body[kept++] = item->body[k];
        }
    item->bodies = kept;
}

static void append(struct linker *l, struct items *items, struct unit *unit) {
    struct renamer r = {.l = l, .unit = unit};
    for (int i = 0; i < unit->ast.items; i++) {
        struct fuse_item *item = unit->ast.item[i];
        if (item->kind == FUSE_ITEM_IMPORT) {
            if (unit->child[i])
                append(l, items, unit->child[i]);
            continue;
        }
        if (unit->importer && stays_behind(item))
            continue;
        if (unit->importer && item->kind == FUSE_ITEM_BLOCK)
            drop_sinks(item);
        rename_item(&r, item, NULL);
        fuse_vec_push(l->arena, &items->list, item);
    }
}

enum fuse_status fuse_parse_program(struct fuse_ast *ast, bool *good, struct fuse_arena *arena,
                                    struct fuse_files *files, const struct fuse_loader *loader,
                                    struct fuse_diagnostics *diagnostics, struct fuse_error *err) {
    struct linker l = {.arena = arena,
                       .files = files,
                       .loader = loader,
                       .diagnostics = diagnostics,
                       .taken = {.arena = arena},
                       .good = true};
    struct unit *program;
    struct items items = {0};
    FUSE_TRY(read_unit(&l, &program, 0, "", NULL, err));
    if (l.good && l.units.n == 1) {
        *ast = program->ast;
    } else {
        append(&l, &items, program);
        *ast = (struct fuse_ast){.item = items.list.at,
                                 .items = items.list.n,
                                 .exprs = l.exprs,
                                 .import = l.imports.at,
                                 .imports = l.imports.n};
    }
    *good = l.good;
    return FUSE_OK;
}
