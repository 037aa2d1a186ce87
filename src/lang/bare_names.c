/* sig(Score, Temp): the bare name of a tensor, as an argument of a builtin, stands for the tensor with the indices of its
 * first left side. They are written into the syntax tree, so that no later pass knows of it. */
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

static void visit(struct fuse_checker *c, const struct fuse_equation *eq, struct fuse_expr *expr) {
    struct fuse_expr **child;
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
