/* Tensors whose values come from where the user says, and exports that become files: both as if the program said so. */
#include "api/program.h"

#include <string.h>

/* ---- what the program knows of a tensor ---- */

struct survey {
    struct fuse_arena *arena;
    struct fuse_wanted *wanted; /* what is looked for, or NULL: names are offered */
    struct fuse_map number;     /* .. by name */
    const char *looked_for, *nearest;
    int distance;
};

enum { NEAR = 3 };

static void see_name(struct survey *survey, const char *name) {
    int limit = ((int)strlen(survey->looked_for) + 2) / 3;
    int distance = fuse_text_distance(survey->looked_for, name, limit < NEAR ? limit : NEAR);
    if (distance <= limit && distance < survey->distance) {
        survey->distance = distance;
        survey->nearest = name;
    }
}

static struct fuse_wanted *find_wanted(const struct survey *survey, const char *name) {
    int64_t number;
    return survey->wanted && fuse_map_get(&survey->number, name, &number) ? &survey->wanted[number] : NULL;
}

static void see_use(struct survey *survey, const char *name, struct fuse_span span, int axes, bool is_boolean) {
    struct fuse_wanted *wanted = find_wanted(survey, name);
    if (!wanted)
        return;
    if (wanted->is_used) {
        wanted->is_boolean &= is_boolean; /* parentheses may also mean the support of a numeric relation */
        return;
    }
    wanted->is_used = true;
    wanted->is_boolean = is_boolean;
    wanted->axes = axes;
    wanted->use = span;
}

static void see_expr(struct survey *survey, const struct fuse_expr *expr) {
    if (!expr)
        return;
    if (expr->kind == FUSE_EXPR_REF)
        see_use(survey, expr->ref.name, expr->span, expr->ref.n, false);
    else if (expr->kind == FUSE_EXPR_APPLY && expr->apply.is_ref && !expr->apply.macro)
        see_use(survey, expr->apply.name, expr->span, expr->apply.indices, true);
    for (int k = 0; k < fuse_expr_parts(expr); k++)
        see_expr(survey, fuse_expr_part(expr, k));
}

/* Tensors of a fn are its own. */
static void see_items(struct survey *survey, struct fuse_item *const *item, int items) {
    for (int i = 0; i < items; i++) {
        bool is_source = item[i]->kind == FUSE_ITEM_SOURCE;
        bool is_equation = item[i]->kind == FUSE_ITEM_EQUATION || item[i]->kind == FUSE_ITEM_LET;
        if (item[i]->kind == FUSE_ITEM_BLOCK)
            see_items(survey, item[i]->body, item[i]->bodies);
        if (item[i]->kind == FUSE_ITEM_FN)
            continue;
        struct fuse_wanted *wanted = is_source || is_equation ? find_wanted(survey, item[i]->lhs.name) : NULL;
        if (!survey->wanted && is_source)
            see_name(survey, item[i]->lhs.name);
        if (wanted) {
            wanted->sources += is_source;
            wanted->equations += is_equation;
            if (is_source && !wanted->source)
                wanted->source = item[i];
        }
        see_expr(survey, item[i]->guard);
        if (is_equation || item[i]->kind == FUSE_ITEM_SINK)
            see_expr(survey, item[i]->value);
        for (int k = 0; item[i]->kind == FUSE_ITEM_EXPORT && k < item[i]->exports; k++) {
            wanted = find_wanted(survey, item[i]->exported[k]);
            if (wanted && !wanted->is_used)
                wanted->use = item[i]->exported_span[k];
        }
    }
}

void fuse_api_survey(struct fuse_dist_program *program, struct fuse_wanted *wanted, int n) {
    struct survey survey = {.arena = program->arena, .wanted = wanted, .number = {.arena = program->arena}};
    for (int i = 0; i < n; i++) {
        wanted[i].use = FUSE_NO_SPAN;
        fuse_map_put(&survey.number, wanted[i].name, i);
    }
    see_items(&survey, program->ast.item, program->ast.items);
}

/* ---- inputs ---- */

static struct fuse_diagnostic *refuse(struct fuse_dist_program *program, struct fuse_span span, const char *name,
                                      const char *why) {
    struct fuse_diagnostic *d =
        fuse_report(&program->diagnostics, FUSE_SEVERITY_ERROR, span, "--input %s: %s", name, why);
    if (d)
        d->status = FUSE_EUSAGE;
    return d;
}

static void refuse_unknown(struct fuse_dist_program *program, const char *name) {
    struct survey survey = {.arena = program->arena, .looked_for = name, .distance = NEAR + 1};
    see_items(&survey, program->ast.item, program->ast.items);
    struct fuse_diagnostic *d = refuse(program, FUSE_NO_SPAN, name, "the program has no tensor of that name");
    if (d)
        d->hint = survey.nearest ? fuse_arena_printf(program->arena, "did you mean '%s'?", survey.nearest)
                                 : "an input is a tensor that has a source, or is used and not defined";
}

/* NAME[NAME.0, NAME.1, ..] = "FILE" at the end of the program, with indices that no program can write. */
static void add_source(struct fuse_dist_program *program, const struct fuse_wanted *wanted, const char *file) {
    struct fuse_arena *arena = program->arena;
    struct fuse_item *item = FUSE_NEW(arena, struct fuse_item);
    struct fuse_index *index = FUSE_NEW_ARRAY(arena, struct fuse_index, wanted->axes);
    for (int a = 0; a < wanted->axes; a++)
        index[a] = (struct fuse_index){
            .kind = FUSE_INDEX_NAME, .span = wanted->use, .name = fuse_arena_printf(arena, "%s.%d", wanted->name, a)};
    *item = (struct fuse_item){
        .kind = FUSE_ITEM_SOURCE,
        .span = wanted->use,
        .text = file,
        .text_span = wanted->use,
        .assign = FUSE_ASSIGN_SUM,
        .assign_span = wanted->use,
        .lhs = {.name = wanted->name,
                .span = wanted->use,
                .name_span = wanted->use,
                .boolean = wanted->is_boolean,
                .has_brackets = wanted->axes > 0,
                .index = index,
                .n = wanted->axes},
    };
    struct fuse_item **items = FUSE_NEW_ARRAY(arena, struct fuse_item *, program->ast.items + 1);
    if (program->ast.items > 0)
        memcpy(items, program->ast.item, (size_t)program->ast.items * sizeof(struct fuse_item *));
    items[program->ast.items++] = item;
    program->ast.item = items;
}

void fuse_api_take_inputs(struct fuse_dist_program *program) {
    for (int i = 0; i < program->options.inputs; i++) {
        const struct fuse_dist_define *input = &program->options.input[i];
        struct fuse_wanted wanted = {.name = input->name};
        fuse_api_survey(program, &wanted, 1);
        struct fuse_diagnostic *d = NULL;
        if (wanted.sources > 1) {
            d = refuse(program, wanted.source->text_span, input->name, "the tensor has several sources");
            if (d)
                d->hint = "leave one of them, or name the parts differently";
        } else if (wanted.sources == 1) {
            wanted.source->text = input->value;
        } else if (wanted.equations > 0) {
            d = refuse(program, FUSE_NO_SPAN, input->name, "the program computes this tensor");
            if (d)
                d->hint = "an input is a tensor that has a source, or is used and not defined";
        } else if (wanted.is_used) {
            add_source(program, &wanted, input->value);
        } else {
            refuse_unknown(program, input->name);
        }
    }
}

/* ---- queries ---- */

/* Axes of the program mean in a query what they mean in the program. */
static void import_program(struct fuse_dist_program *program, int file) {
    struct fuse_ast *ast = &program->ast;
    struct fuse_file_import *import = FUSE_NEW_ARRAY(program->arena, struct fuse_file_import, ast->imports + 1);
    if (ast->imports > 0)
        memcpy(import, ast->import, (size_t)ast->imports * sizeof *import);
    import[ast->imports++] = (struct fuse_file_import){.file = file, .imported = 0};
    ast->import = import;
}

static void take_question(struct fuse_dist_program *program, int k) {
    const struct fuse_dist_question *asked = &program->options.question[k];
    struct fuse_program_file file = {
        .path = asked->why_not ? "--why-not" : "--why", .text = asked->fact, .bytes = strlen(asked->fact)};
    int number = program->files.list.n;
    fuse_vec_push(program->arena, &program->files.list, file);
    program->question[k].expr =
        fuse_parse_fact(&program->ast, program->arena, &program->files, number, &program->diagnostics);
}

void fuse_api_take_queries(struct fuse_dist_program *program) {
    program->first_query = program->files.list.n;
    for (int i = 0; i < program->options.queries; i++) {
        const char *text = program->options.query[i];
        struct fuse_program_file file = {.path = "--query", .text = text, .bytes = strlen(text)};
        bool is_repeated = false;
        for (int k = 0; k < i && !is_repeated; k++)
            is_repeated = strcmp(program->options.query[k], text) == 0; /* twice is once */
        if (is_repeated)
            continue;
        int number = program->files.list.n;
        fuse_vec_push(program->arena, &program->files.list, file);
        if (fuse_parse_query(&program->ast, program->arena, &program->files, number, &program->diagnostics))
            import_program(program, number);
    }
    program->question = FUSE_NEW_ARRAY(program->arena, struct fuse_asked, program->options.questions);
    for (int k = 0; k < program->options.questions; k++)
        take_question(program, k);
    program->end_query = program->files.list.n;
}

/* ---- exports to a file ---- */

/* Counts and answers are printed all the same. */
static bool is_export(const struct fuse_op *op) {
    return op->kind == FUSE_OP_SINK && !op->path && !op->counts && op->asks == 0;
}

static int count_exports(const struct fuse_dist_program *program) {
    int n = 0;
    for (int o = 0; o < program->ir.ops.n; o++)
        n += is_export(program->ir.ops.at[o]);
    return n;
}

enum fuse_status fuse_api_export_to_file(struct fuse_dist_program *program, struct fuse_error *err) {
    const char *out = program->options.out, *path, *part;
    if (!out)
        return FUSE_OK;
    int exports = count_exports(program);
    if (exports == 0) {
        fuse_fail(err, FUSE_EUSAGE, "--out %s: the program exports nothing", out);
        fuse_hint(err, "name the tensors to write: export Y");
        return FUSE_EUSAGE;
    }
    fuse_api_split_place(&path, &part, program->arena, out);
    const struct fuse_format *format = fuse_format_find(path);
    bool has_members = format && format->has_parts;
    if (exports > 1 && (!has_members || part)) {
        fuse_fail(err, FUSE_EUSAGE, "--out %s: the program exports %d tensors, and there is room for one", out,
                  exports);
        fuse_hint(err, "an .npz file holds several, each under its name: --out FILE.npz");
        return FUSE_EUSAGE;
    }
    for (int o = 0; o < program->ir.ops.n; o++) {
        struct fuse_op *op = program->ir.ops.at[o];
        if (!is_export(op))
            continue;
        const char *place = has_members && !part ? fuse_arena_printf(program->arena, "%s:%s", path, op->part) : out;
        FUSE_TRY(fuse_api_check_out(program, place, err));
        op->path = place;
    }
    return FUSE_OK;
}
