#include "lang/ast.h"

#include <stddef.h>

int fuse_expr_parts(const struct fuse_expr *expr) {
    switch (expr->kind) {
    case FUSE_EXPR_NUMBER:
    case FUSE_EXPR_STRING:
    case FUSE_EXPR_BOOL:
    case FUSE_EXPR_REF: return 0;
    case FUSE_EXPR_LIST: return expr->list.item ? expr->list.n : 0;
    case FUSE_EXPR_APPLY: return expr->apply.is_call ? expr->apply.arguments : 0;
    case FUSE_EXPR_UNARY:
    case FUSE_EXPR_REDUCE: return 1;
    case FUSE_EXPR_BINARY: return 2;
    case FUSE_EXPR_TERNARY: return 3;
    case FUSE_EXPR_CASE: return 2 * expr->cases.n + (expr->cases.otherwise ? 1 : 0);
    }
    return 0;
}

struct fuse_expr *fuse_expr_part(const struct fuse_expr *expr, int k) {
    switch (expr->kind) {
    case FUSE_EXPR_NUMBER:
    case FUSE_EXPR_STRING:
    case FUSE_EXPR_BOOL:
    case FUSE_EXPR_REF: return NULL;
    case FUSE_EXPR_LIST: return expr->list.item[k];
    case FUSE_EXPR_APPLY: return expr->apply.argument[k].value;
    case FUSE_EXPR_UNARY: return expr->unary.operand;
    case FUSE_EXPR_REDUCE: return expr->reduce.body;
    case FUSE_EXPR_BINARY: return k == 0 ? expr->binary.left : expr->binary.right;
    case FUSE_EXPR_TERNARY:
        return k == 0 ? expr->ternary.condition : k == 1 ? expr->ternary.then : expr->ternary.otherwise;
    case FUSE_EXPR_CASE:
        if (k == 2 * expr->cases.n)
            return expr->cases.otherwise;
        return k % 2 == 0 ? expr->cases.entry[k / 2].condition : expr->cases.entry[k / 2].value;
    }
    return NULL;
}
