/* sig(Score, Temp): the bare name of a tensor, as an argument of a builtin, stands for the tensor with the indices of its
 * first left side. x != y: the bare name of an index of the equation, in a comparison, stands for iota of it. They are written
 * into the syntax tree, so that no later pass knows of it. */
#include "lang/check.h"

#include <string.h>

/* Every index of the left side is a name of its own. */
static bool has_plain_names(const struct fuse_checker *c, const struct fuse_equation *eq, const struct fuse_lhs *lhs) {
    for (int k = 0; k < lhs->n; k++) {
        if (lhs->index[k].kind != FUSE_INDEX_NAME || lhs->index[k].offset != 0 ||
            !fuse_index_is_name(c, eq, &lhs->index[k]))
            return false;
        for (int j = 0; j < k; j++)
            if (strcmp(lhs->index[j].name, lhs->index[k].name) == 0)
                return false;
    }
    return true;
}

static void spell_out(struct fuse_checker *c, const struct fuse_equation *eq, struct fuse_expr *expr) {
    if (expr->kind != FUSE_EXPR_REF || expr->ref.has_brackets)
        return;
    const struct fuse_symbol *symbol = fuse_find_symbol(c, eq->block, expr->ref.name);
    if (!symbol || symbol->kind != FUSE_SYMBOL_TENSOR)
        return;
    const struct fuse_tensor *tensor = c->tensors.at[symbol->tensor];
    if (tensor->rank == 0 || tensor->disputed || tensor->contributions.n == 0)
        return;
    const struct fuse_equation *first = c->equations.at[tensor->contributions.at[0]];
    const struct fuse_lhs *lhs = &first->item->lhs;
    if (!has_plain_names(c, first, lhs))
        return;
    expr->ref.index = FUSE_NEW_ARRAY(c->arena, struct fuse_index, lhs->n);
    expr->ref.n = lhs->n;
    for (int k = 0; k < lhs->n; k++)
        expr->ref.index[k] =
            (struct fuse_index){.kind = FUSE_INDEX_NAME, .span = expr->span, .name = lhs->index[k].name};
}

/* ---- indices in comparisons ---- */

static bool stands_in(struct fuse_checker *c, const struct fuse_expr *expr, const char *name) {
    struct fuse_expr **child;
    const struct fuse_index *index = NULL;
    int n = 0;
    if (expr->kind == FUSE_EXPR_REF || (expr->kind == FUSE_EXPR_APPLY && expr->apply.is_ref))
        n = fuse_reference_indices(expr, &index);
    for (int k = 0; k < n; k++)
        if (index[k].name && strcmp(index[k].name, name) == 0)
            return true;
    n = fuse_expr_children(c, &child, expr);
    for (int k = 0; k < n; k++)
        if (stands_in(c, child[k], name))
            return true;
    return false;
}

static bool is_index(struct fuse_checker *c, const struct fuse_equation *eq, const char *name) {
    for (int k = 0; k < eq->item->lhs.n; k++)
        if (eq->item->lhs.index[k].name && strcmp(eq->item->lhs.index[k].name, name) == 0)
            return true;
    return (eq->item->value && stands_in(c, eq->item->value, name)) ||
           (eq->item->guard && stands_in(c, eq->item->guard, name));
}

static bool is_arithmetic(const struct fuse_expr *expr) {
    return (expr->kind == FUSE_EXPR_UNARY && expr->unary.op == FUSE_UNARY_NEG) ||
           (expr->kind == FUSE_EXPR_BINARY && expr->binary.op <= FUSE_BINARY_POW);
}

/* An operand of a comparison, or of arithmetic in it. */
static void count_index(struct fuse_checker *c, const struct fuse_equation *eq, struct fuse_expr *expr) {
    struct fuse_expr **child;
    if (is_arithmetic(expr)) {
        int n = fuse_expr_children(c, &child, expr);
        for (int k = 0; k < n; k++)
            count_index(c, eq, child[k]);
        return;
    }
    if (expr->kind != FUSE_EXPR_REF || expr->ref.has_brackets || fuse_find_symbol(c, eq->block, expr->ref.name) ||
        !is_index(c, eq, expr->ref.name))
        return;
    struct fuse_expr *name = FUSE_NEW(c->arena, struct fuse_expr), call = {.kind = FUSE_EXPR_APPLY};
    *name = *expr;
    name->id = c->ast->exprs;
    call.span = expr->span;
    call.id = expr->id;
    call.apply.name = "iota";
    call.apply.name_span = expr->span;
    call.apply.macro = call.apply.is_call = true;
    call.apply.argument = FUSE_NEW(c->arena, struct fuse_argument);
    call.apply.argument->value = name;
    call.apply.arguments = 1;
    *expr = call;
}

static bool is_comparison(const struct fuse_expr *expr) {
    return expr->kind == FUSE_EXPR_BINARY && expr->binary.op >= FUSE_BINARY_LT && expr->binary.op <= FUSE_BINARY_NE;
}

/* ---- equations ---- */

static void visit(struct fuse_checker *c, const struct fuse_equation *eq, struct fuse_expr *expr) {
    struct fuse_expr **child;
    for (; expr->kind == FUSE_EXPR_BINARY;
         expr = expr->binary.left) { /* chains are long, and have other operators in them */
        if (is_comparison(expr)) {
            count_index(c, eq, expr->binary.left);
            count_index(c, eq, expr->binary.right);
        }
        visit(c, eq, expr->binary.right);
    }
    bool builtin = fuse_called_builtin(c, eq, expr) != NULL;
    int n = fuse_expr_children(c, &child, expr);
    for (int k = 0; k < n; k++) {
        if (builtin)
            spell_out(c, eq, child[k]);
        visit(c, eq, child[k]);
    }
}

void fuse_spell_out_names(struct fuse_checker *c) {
    for (int e = 0; e < c->equations.n; e++) {
        const struct fuse_equation *eq = c->equations.at[e];
        if (eq->item->guard)
            visit(c, eq, eq->item->guard);
        if (eq->item->value)
            visit(c, eq, eq->item->value);
    }
}
