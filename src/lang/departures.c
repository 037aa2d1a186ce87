/* Where the older surfaces of the language were read otherwise: a note for each kind, at the first place in the program. */
#include "lang/check.h"

#include <string.h>

enum departure { ALIGNED_BY_NAME, SUBTRACTED, MINUS_OF_POWER, FIRST_CASE, DEPARTURES };

struct departures {
    struct fuse_checker *c;
    bool told[DEPARTURES];
    int left; /* kinds that are not told yet */
};

static void tell(struct departures *d, enum departure kind, struct fuse_span span, const char *what, const char *hint) {
    if (d->told[kind])
        return;
    d->told[kind] = true;
    d->left--;
    fuse_advise(d->c, fuse_report(d->c->diagnostics, FUSE_SEVERITY_NOTE, span, "%s", what), "%s", hint);
}

/* "X -1": a blank before the sign and none behind it. */
static bool looks_like_sign(const struct fuse_checker *c, struct fuse_span op) {
    const struct fuse_program_file *file = &c->files->list.at[op.file];
    if (op.begin == 0 || op.end >= file->bytes)
        return false;
    return strchr(" \t", file->text[op.begin - 1]) && !strchr(" \t\r\n", file->text[op.end]);
}

static bool is_odd(const struct fuse_expr *exponent) {
    return exponent->kind == FUSE_EXPR_NUMBER && exponent->number.is_integer && exponent->number.integer % 2 == 1;
}

/* Two comparisons that cannot both be true: of the same with the same (x < 0, x > 0), or == with two integers. */
static bool exclude_each_other(const struct fuse_checker *c, const struct fuse_expr *a, const struct fuse_expr *b) {
    static const unsigned lt = 1, eq = 2, gt = 4;
    static const unsigned truth[FUSE_BINARY_OR + 1] = {
        [FUSE_BINARY_LT] = lt,      [FUSE_BINARY_EQ] = eq,      [FUSE_BINARY_GT] = gt,
        [FUSE_BINARY_LE] = lt | eq, [FUSE_BINARY_NE] = lt | gt, [FUSE_BINARY_GE] = gt | eq};
    if (a->kind != FUSE_EXPR_BINARY || b->kind != FUSE_EXPR_BINARY || !truth[a->binary.op] || !truth[b->binary.op])
        return false;
    const struct fuse_expr *x = a->binary.right, *y = b->binary.right;
    const char *left = fuse_excerpt(c, a->binary.left->span), *other = fuse_excerpt(c, b->binary.left->span);
    if (!left || !other || strcmp(left, other) != 0)
        return false;
    left = fuse_excerpt(c, x->span);
    other = fuse_excerpt(c, y->span);
    if (left && other && strcmp(left, other) == 0)
        return !(truth[a->binary.op] & truth[b->binary.op]);
    return x->kind == FUSE_EXPR_NUMBER && y->kind == FUSE_EXPR_NUMBER && x->number.real != y->number.real &&
           a->binary.op == FUSE_BINARY_EQ && b->binary.op == FUSE_BINARY_EQ;
}

static const struct fuse_expr *condition(const struct fuse_expr *expr, int k) {
    return expr->kind == FUSE_EXPR_CASE ? expr->cases.entry[k].condition : expr->apply.argument[2 * k].value;
}

/* Several conditions of the case{..} or case(..) may be true at once. */
static bool may_overlap(const struct fuse_checker *c, const struct fuse_expr *expr) {
    bool call = expr->kind == FUSE_EXPR_APPLY && expr->apply.is_call && strcmp(expr->apply.name, "case") == 0;
    int n = expr->kind == FUSE_EXPR_CASE ? expr->cases.n : call ? expr->apply.arguments / 2 : 0;
    for (int k = 1; k < n; k++)
        for (int j = 0; j < k; j++)
            if (!exclude_each_other(c, condition(expr, j), condition(expr, k)))
                return true;
    return false;
}

static void look_at(struct departures *d, const struct fuse_expr *expr) {
    const struct fuse_expr *operand = expr->kind == FUSE_EXPR_UNARY ? expr->unary.operand : NULL;
    if (expr->kind == FUSE_EXPR_BINARY && expr->binary.op == FUSE_BINARY_SUB &&
        looks_like_sign(d->c, expr->binary.op_span))
        tell(d, SUBTRACTED, expr->binary.op_span, "a '-' between two operands subtracts, whatever the blanks around it",
             "a product with a negative number is written * (-1)");
    if (operand && expr->unary.op == FUSE_UNARY_NEG && operand->kind == FUSE_EXPR_BINARY &&
        operand->binary.op == FUSE_BINARY_POW && !operand->binary.parenthesised && !is_odd(operand->binary.right))
        tell(d, MINUS_OF_POWER, expr->span, "'-x ** 2' is -(x ** 2)", "write (-x) ** 2 for the power of -x");
    if (!d->told[FIRST_CASE] && may_overlap(d->c, expr))
        tell(d, FIRST_CASE, expr->span, "where several conditions are true, the first one counts",
             "put the narrower conditions first");
}

/* Chains of operators are as long as programs, brackets are as deep as the parser lets them be. */
static void visit(struct departures *d, const struct fuse_expr *expr) {
    struct fuse_expr **child;
    for (; expr->kind == FUSE_EXPR_BINARY; expr = expr->binary.left) {
        look_at(d, expr);
        visit(d, expr->binary.right);
    }
    look_at(d, expr);
    int n = fuse_expr_children(d->c, &child, expr);
    for (int k = 0; k < n; k++)
        visit(d, child[k]);
}

/* The indices of the left side in another order: a transposition. */
static bool is_permuted(const struct fuse_lhs *lhs, const struct fuse_expr *expr) {
    bool moved = false;
    if (expr->kind != FUSE_EXPR_REF || expr->ref.n != lhs->n)
        return false;
    for (int k = 0; k < lhs->n; k++) {
        int at = -1, times = 0;
        for (int j = 0; j < lhs->n; j++)
            if (lhs->index[k].kind == FUSE_INDEX_NAME && expr->ref.index[j].kind == FUSE_INDEX_NAME &&
                strcmp(lhs->index[k].name, expr->ref.index[j].name) == 0) {
                at = j;
                times++;
            }
        if (times != 1)
            return false;
        moved |= at != k;
    }
    return moved;
}

static void look_at_terms(struct departures *d, const struct fuse_lhs *lhs, const struct fuse_expr *expr) {
    for (; expr->kind == FUSE_EXPR_BINARY; expr = expr->binary.left) {
        if (expr->binary.op != FUSE_BINARY_ADD && expr->binary.op != FUSE_BINARY_SUB)
            return;
        if (is_permuted(lhs, expr->binary.right))
            tell(d, ALIGNED_BY_NAME, expr->binary.right->span, "axes are aligned by name: this is a transposition",
                 "write the indices in the order of the left side to take the axes in order");
    }
    if (is_permuted(lhs, expr))
        tell(d, ALIGNED_BY_NAME, expr->span, "axes are aligned by name: this is a transposition",
             "write the indices in the order of the left side to take the axes in order");
}

static void visit_items(struct departures *d, struct fuse_item *const *item, int items) {
    for (int i = 0; i < items && d->left > 0; i++) {
        if (item[i]->guard)
            visit(d, item[i]->guard);
        if (item[i]->value)
            visit(d, item[i]->value);
        if (item[i]->value && (item[i]->kind == FUSE_ITEM_EQUATION || item[i]->kind == FUSE_ITEM_LET))
            look_at_terms(d, &item[i]->lhs, item[i]->value);
        visit_items(d, item[i]->body, item[i]->bodies);
    }
}

/* ---- equal equations -------------------------------------------------------------------------------------------- */

/* The text of an equation without blanks; NULL when it goes over several lines or is long. */
static const char *bare_text(struct fuse_checker *c, const struct fuse_equation *eq) {
    const char *text = eq->kind == FUSE_EQUATION_EXPR && !eq->instance ? fuse_excerpt(c, eq->item->span) : NULL;
    if (!text)
        return NULL;
    struct fuse_text bare = {.arena = c->arena};
    for (; *text; text++)
        if (*text != ' ' && *text != '\t')
            fuse_text_add_bytes(&bare, text, 1);
    return bare.at;
}

static bool counts_twice(struct fuse_checker *c, const struct fuse_tensor *tensor) {
    struct fuse_map seen = {.arena = c->arena};
    for (int k = 0; k < tensor->contributions.n; k++) {
        const struct fuse_equation *eq = c->equations.at[tensor->contributions.at[k]];
        const char *text = bare_text(c, eq);
        int64_t first;
        if (text && fuse_map_get(&seen, text, &first)) {
            struct fuse_diagnostic *d = fuse_report(c->diagnostics, FUSE_SEVERITY_NOTE, eq->item->span,
                                                    "this equation stands here twice, and counts twice");
            fuse_point_to(d, c->equations.at[first]->item->span, "the same equation");
            fuse_advise(c, d, "delete one of the two, or write a factor 2");
            return true;
        }
        if (text)
            fuse_map_put(&seen, text, eq->number);
    }
    return false;
}

void fuse_note_departures(struct fuse_checker *c) {
    struct departures d = {.c = c, .left = DEPARTURES};
    visit_items(&d, c->ast->item, c->ast->items);
    for (int t = 0; t < c->tensors.n; t++) {
        const struct fuse_tensor *tensor = c->tensors.at[t];
        if (tensor->contributions.n > 1 && tensor->assign == FUSE_ASSIGN_SUM && !tensor->boolean &&
            counts_twice(c, tensor))
            return;
    }
}
