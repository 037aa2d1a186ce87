#include "api/policy_program.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

struct walk {
    struct fuse_policy_program *program;
    int tensor; /* whose equation it is, or -1 */
    /* Setting temperatures: */
    struct fuse_ast *ast;
    const double *const *temperature;
};

static int number_of(struct fuse_policy_program *program, const char *name) {
    int64_t number;
    if (fuse_map_get(&program->number_of, name, &number))
        return (int)number;
    fuse_map_put(&program->number_of, name, program->tensors.n);
    fuse_vec_push(program->arena, &program->tensors, ((struct fuse_policy_tensor){.name = name, .rank = -1}));
    return program->tensors.n - 1;
}

static void take_axes(struct fuse_policy_tensor *tensor, const struct fuse_index *index, int n) {
    tensor->rank = n < FUSE_MAX_AXES ? n : FUSE_MAX_AXES;
    for (int a = 0; a < tensor->rank; a++) {
        enum fuse_index_kind kind = index[a].kind;
        tensor->axis[a] = kind == FUSE_INDEX_NAME || kind == FUSE_INDEX_STEP ? index[a].name : NULL;
    }
}

/* What nothing writes is a tensor (a weight) if it is used with brackets: a bare name may be an index, one in parentheses a
 * builtin. */
static void see_use(struct walk *walk, const char *name, bool has_brackets, const struct fuse_index *index, int n) {
    int64_t known;
    if (!has_brackets && !fuse_map_get(&walk->program->number_of, name, &known))
        return;
    int number = number_of(walk->program, name);
    struct fuse_policy_tensor *tensor = &walk->program->tensors.at[number];
    if (tensor->rank < 0)
        take_axes(tensor, index, n);
    if (walk->tensor >= 0)
        fuse_vec_push(walk->program->arena, &walk->program->tensors.at[walk->tensor].uses, number);
}

/* ---- calls of sig ---- */

static bool is_cold(const struct walk *walk, const struct fuse_expr *expr) {
    if (!expr->apply.is_call || strcasecmp(expr->apply.name, "sig") != 0 || walk->program->hides_sig ||
        expr->apply.arguments != 1)
        return false;
    return !expr->apply.argument[0].name || strcmp(expr->apply.argument[0].name, "T") != 0;
}

/* sig(x) becomes sig(x, T=0.5). */
static void warm(struct walk *walk, struct fuse_expr *call, double temperature) {
    struct fuse_arena *arena = walk->program->arena;
    struct fuse_argument *argument = FUSE_NEW_ARRAY(arena, struct fuse_argument, 2);
    struct fuse_expr *number = FUSE_NEW(arena, struct fuse_expr);
    *number = (struct fuse_expr){.kind = FUSE_EXPR_NUMBER, .span = call->span, .id = walk->ast->exprs++};
    number->number.real = temperature;
    argument[0] = call->apply.argument[0];
    argument[1] = (struct fuse_argument){.name = "T", .name_span = call->span, .value = number};
    call->apply.argument = argument;
    call->apply.arguments = 2;
}

static void see_call(struct walk *walk, struct fuse_expr *expr) {
    if (walk->tensor < 0 || !is_cold(walk, expr))
        return;
    if (!walk->ast)
        walk->program->tensors.at[walk->tensor].cold_calls++;
    else if (walk->temperature[walk->tensor])
        warm(walk, expr, *walk->temperature[walk->tensor]);
}

/* ---- the tree ---- */

static void see_expr(struct walk *walk, struct fuse_expr *expr) {
    if (!expr)
        return;
    if (!walk->ast && expr->kind == FUSE_EXPR_REF)
        see_use(walk, expr->ref.name, expr->ref.has_brackets, expr->ref.index, expr->ref.n);
    if (!walk->ast && expr->kind == FUSE_EXPR_APPLY && expr->apply.is_ref && !expr->apply.macro)
        see_use(walk, expr->apply.name, false, expr->apply.index, expr->apply.indices);
    if (expr->kind == FUSE_EXPR_APPLY)
        see_call(walk, expr);
    for (int k = 0; k < fuse_expr_parts(expr); k++)
        see_expr(walk, fuse_expr_part(expr, k));
}

static bool writes(const struct fuse_item *item) {
    return item->kind == FUSE_ITEM_EQUATION || item->kind == FUSE_ITEM_LET || item->kind == FUSE_ITEM_SOURCE;
}

/* Left sides first: what a name means is said there. */
static void see_left_sides(struct walk *walk, struct fuse_item *const *item, int items) {
    struct fuse_policy_program *program = walk->program;
    for (int i = 0; i < items; i++) {
        if (item[i]->kind == FUSE_ITEM_BLOCK || item[i]->kind == FUSE_ITEM_FN)
            see_left_sides(walk, item[i]->body, item[i]->bodies);
        for (int k = 0; item[i]->kind == FUSE_ITEM_FN && k < item[i]->formals; k++) {
            int formal = number_of(program, item[i]->formal[k].name);
            program->tensors.at[formal].is_formal = true;
        }
        if (item[i]->kind == FUSE_ITEM_FN)
            program->hides_sig |= strcasecmp(item[i]->name, "sig") == 0;
        if (!writes(item[i]))
            continue;
        const struct fuse_lhs *lhs = &item[i]->lhs;
        int number = number_of(program, lhs->name); /* may move the list */
        struct fuse_policy_tensor *tensor = &program->tensors.at[number];
        if (!tensor->is_defined)
            take_axes(tensor, lhs->index, lhs->n);
        tensor->is_defined = true;
        for (int a = 0; a < lhs->n; a++)
            tensor->has_steps |= lhs->index[a].kind == FUSE_INDEX_STEP;
        program->hides_sig |= strcmp(lhs->name, "sig") == 0;
    }
}

static void see_items(struct walk *walk, struct fuse_item *const *item, int items) {
    for (int i = 0; i < items; i++) {
        if (item[i]->kind == FUSE_ITEM_BLOCK || item[i]->kind == FUSE_ITEM_FN)
            see_items(walk, item[i]->body, item[i]->bodies);
        walk->tensor = writes(item[i]) ? number_of(walk->program, item[i]->lhs.name) : -1;
        see_expr(walk, item[i]->guard);
        if (item[i]->kind == FUSE_ITEM_EQUATION || item[i]->kind == FUSE_ITEM_LET || item[i]->kind == FUSE_ITEM_SINK)
            see_expr(walk, item[i]->value);
    }
}

void fuse_policy_survey(struct fuse_policy_program *out, struct fuse_arena *arena, const struct fuse_ast *ast) {
    *out = (struct fuse_policy_program){.arena = arena, .number_of.arena = arena};
    struct walk walk = {.program = out, .tensor = -1};
    see_left_sides(&walk, ast->item, ast->items);
    see_items(&walk, ast->item, ast->items);
}

void fuse_policy_set_temperatures(const struct fuse_policy_program *program, struct fuse_ast *ast,
                                  const double *const *temperature) {
    struct fuse_policy_program copy = *program;
    struct walk walk = {.program = &copy, .tensor = -1, .ast = ast, .temperature = temperature};
    see_items(&walk, ast->item, ast->items);
}

/* ---- questions ---- */

bool fuse_policy_lays_out(const char *pattern, const struct fuse_policy_tensor *tensor) {
    return fuse_policy_is_tensor(tensor) && fuse_policy_fit(pattern, tensor->name) > 0 &&
           (tensor->rank > 0 || strcmp(pattern, tensor->name) == 0);
}

bool fuse_policy_has_turns(const struct fuse_policy_program *program, int tensor) {
    int n = program->tensors.n, at = 0, end = 0;
    bool *seen = FUSE_NEW_ARRAY(program->arena, bool, n + 1);
    int *queue = FUSE_NEW_ARRAY(program->arena, int, n + 1);
    if (program->tensors.at[tensor].has_steps)
        return true;
    for (queue[end++] = tensor; at < end; at++)
        for (int u = 0; u < program->tensors.at[queue[at]].uses.n; u++) {
            int used = program->tensors.at[queue[at]].uses.at[u];
            if (used == tensor)
                return true;
            if (!seen[used])
                queue[end++] = used;
            seen[used] = true;
        }
    return false;
}

int fuse_policy_axis(const struct fuse_policy_tensor *tensor, const char *axis) {
    char digits[16];
    for (int a = 0; a < tensor->rank; a++)
        if (tensor->axis[a] && strcmp(tensor->axis[a], axis) == 0)
            return a;
    for (int a = 0; a < tensor->rank; a++) {
        snprintf(digits, sizeof digits, "%d", a);
        if (strcmp(digits, axis) == 0)
            return a;
    }
    return -1;
}
