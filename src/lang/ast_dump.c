#include "lang/parser.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_expr(struct fuse_text *text, const struct fuse_expr *expr);

/* ---- literals ------------------------------------------------------------------------------------------------- */

/* The fewest digits that read back equal, always with a point or an exponent. */
static void add_real(struct fuse_text *text, double value) {
    char digits[40];
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(digits, sizeof digits, "%.*g", precision, value);
        if (strtod(digits, NULL) == value)
            break;
    }
    /* The process may have set a locale with another decimal point. */
    for (char *c = digits; *c; c++)
        if (!strchr("0123456789+-einf", *c))
            *c = '.';
    fuse_text_add(text, "%s%s", digits, strpbrk(digits, ".ein") ? "" : ".0");
}

static void add_number_list(struct fuse_text *text, const struct fuse_expr *expr) {
    fuse_text_add(text, "[");
    for (int k = 0; k < expr->list.n; k++) {
        if (k)
            fuse_text_add(text, " ");
        if (expr->list.integer)
            fuse_text_add(text, "%lld", (long long)expr->list.integer[k]);
        else
            add_real(text, expr->list.real[k]);
    }
    fuse_text_add(text, "]");
}

/* ---- indices -------------------------------------------------------------------------------------------------- */

static void add_bound(struct fuse_text *text, const struct fuse_bound *bound) {
    if (bound->negative)
        fuse_text_add(text, "-");
    if (bound->kind == FUSE_BOUND_INTEGER)
        fuse_text_add(text, "%lld", (long long)bound->integer);
    else if (bound->kind == FUSE_BOUND_NAME)
        fuse_text_add(text, "%s", bound->name);
}

static void add_index(struct fuse_text *text, const struct fuse_index *index) {
    switch (index->kind) {
    case FUSE_INDEX_NAME:
    case FUSE_INDEX_STEP:
        fuse_text_add(text, "%s%s", index->kind == FUSE_INDEX_STEP ? "*" : "", index->name);
        if (index->offset)
            fuse_text_add(text, "%+lld", (long long)index->offset);
        if (index->dotted)
            fuse_text_add(text, ".");
        break;
    case FUSE_INDEX_FIXED: fuse_text_add(text, "%lld", (long long)index->position); break;
    case FUSE_INDEX_SYMBOL: fuse_text_add_json_string(text, index->symbol); break;
    case FUSE_INDEX_SLICE:
        fuse_text_add(text, "(%s %s ", index->named_slice ? "slice-as" : "slice", index->name);
        add_bound(text, &index->start);
        fuse_text_add(text, ":");
        add_bound(text, &index->stop);
        fuse_text_add(text, ":");
        add_bound(text, &index->step);
        fuse_text_add(text, ")");
        break;
    }
}

static void add_indices(struct fuse_text *text, const struct fuse_index *index, int n, const char *brackets) {
    fuse_text_add(text, "%c", brackets[0]);
    for (int k = 0; k < n; k++) {
        if (k)
            fuse_text_add(text, " ");
        add_index(text, &index[k]);
    }
    fuse_text_add(text, "%c", brackets[1]);
}

/* ---- expressions ---------------------------------------------------------------------------------------------- */

static void add_apply(struct fuse_text *text, const struct fuse_expr *expr) {
    fuse_text_add(text, "(%s %s", expr->apply.macro ? "macro" : "apply", expr->apply.name);
    if (expr->apply.is_ref) {
        fuse_text_add(text, " (ref ");
        add_indices(text, expr->apply.index, expr->apply.indices, "()");
        fuse_text_add(text, ")");
    }
    if (expr->apply.is_call) {
        fuse_text_add(text, " (call");
        for (int k = 0; k < expr->apply.arguments; k++) {
            const struct fuse_argument *argument = &expr->apply.argument[k];
            fuse_text_add(text, " ");
            if (argument->name)
                fuse_text_add(text, "%s=", argument->name);
            add_expr(text, argument->value);
        }
        fuse_text_add(text, ")");
    }
    fuse_text_add(text, ")");
}

static void add_case(struct fuse_text *text, const struct fuse_expr *expr) {
    fuse_text_add(text, "(case");
    for (int k = 0; k < expr->cases.n; k++) {
        fuse_text_add(text, " (");
        add_expr(text, expr->cases.entry[k].condition);
        fuse_text_add(text, " -> ");
        add_expr(text, expr->cases.entry[k].value);
        fuse_text_add(text, ")");
    }
    if (expr->cases.otherwise) {
        fuse_text_add(text, " (default -> ");
        add_expr(text, expr->cases.otherwise);
        fuse_text_add(text, ")");
    }
    fuse_text_add(text, ")");
}

static const char *binary_text(enum fuse_binary_op op) {
    static const char *const texts[] = {
        [FUSE_BINARY_ADD] = "+",  [FUSE_BINARY_SUB] = "-", [FUSE_BINARY_MUL] = "*", [FUSE_BINARY_DIV] = "/",
        [FUSE_BINARY_POW] = "**", [FUSE_BINARY_LT] = "<",  [FUSE_BINARY_LE] = "<=", [FUSE_BINARY_GT] = ">",
        [FUSE_BINARY_GE] = ">=",  [FUSE_BINARY_EQ] = "==", [FUSE_BINARY_NE] = "!=", [FUSE_BINARY_AND] = "&&",
        [FUSE_BINARY_OR] = "||",
    };
    return texts[op];
}

static const char *reduce_text(enum fuse_reduce_word op) {
    static const char *const texts[] = {
        [FUSE_WORD_SUM] = "sum",   [FUSE_WORD_MAX] = "max", [FUSE_WORD_MIN] = "min", [FUSE_WORD_PROD] = "prod",
        [FUSE_WORD_MEAN] = "mean", [FUSE_WORD_ANY] = "any", [FUSE_WORD_ALL] = "all",
    };
    return texts[op];
}

static void add_expr(struct fuse_text *text, const struct fuse_expr *expr) {
    switch (expr->kind) {
    case FUSE_EXPR_NUMBER:
        if (expr->number.is_integer)
            fuse_text_add(text, "%lld", (long long)expr->number.integer);
        else
            add_real(text, expr->number.real);
        return;
    case FUSE_EXPR_STRING: fuse_text_add_json_string(text, expr->string.text); return;
    case FUSE_EXPR_BOOL: fuse_text_add(text, "%s", expr->boolean.value ? "true" : "false"); return;
    case FUSE_EXPR_LIST:
        if (!expr->list.item) {
            add_number_list(text, expr);
            return;
        }
        fuse_text_add(text, "(list");
        for (int k = 0; k < expr->list.n; k++) {
            fuse_text_add(text, " ");
            add_expr(text, expr->list.item[k]);
        }
        break;
    case FUSE_EXPR_REF:
        fuse_text_add(text, "(ref %s", expr->ref.name);
        if (expr->ref.has_brackets) {
            fuse_text_add(text, " ");
            add_indices(text, expr->ref.index, expr->ref.n, "[]");
        }
        break;
    case FUSE_EXPR_APPLY: add_apply(text, expr); return;
    case FUSE_EXPR_UNARY:
        fuse_text_add(text, "(%s ", expr->unary.op == FUSE_UNARY_NEG ? "neg" : "not");
        add_expr(text, expr->unary.operand);
        break;
    case FUSE_EXPR_BINARY:
        fuse_text_add(text, "(%s ", binary_text(expr->binary.op));
        add_expr(text, expr->binary.left);
        fuse_text_add(text, " ");
        add_expr(text, expr->binary.right);
        break;
    case FUSE_EXPR_TERNARY:
        fuse_text_add(text, "(? ");
        add_expr(text, expr->ternary.condition);
        fuse_text_add(text, " ");
        add_expr(text, expr->ternary.then);
        fuse_text_add(text, " ");
        add_expr(text, expr->ternary.otherwise);
        break;
    case FUSE_EXPR_REDUCE:
        fuse_text_add(text, "(reduce %s ", reduce_text(expr->reduce.op));
        add_indices(text, expr->reduce.index, expr->reduce.n, "[]");
        fuse_text_add(text, " ");
        add_expr(text, expr->reduce.body);
        break;
    case FUSE_EXPR_CASE: add_case(text, expr); return;
    }
    fuse_text_add(text, ")");
}

/* ---- items ---------------------------------------------------------------------------------------------------- */

static void add_lhs(struct fuse_text *text, const struct fuse_lhs *lhs) {
    fuse_text_add(text, "(lhs %s", lhs->name);
    if (lhs->has_brackets) {
        fuse_text_add(text, " ");
        add_indices(text, lhs->index, lhs->n, lhs->boolean ? "()" : "[]");
    }
    fuse_text_add(text, ")");
}

static void add_equation(struct fuse_text *text, const struct fuse_item *item, const char *kind) {
    static const char *const operators[] = {
        [FUSE_ASSIGN_SUM] = "=",    [FUSE_ASSIGN_ADD] = "+=",     [FUSE_ASSIGN_MAX] = "max=",
        [FUSE_ASSIGN_MIN] = "min=", [FUSE_ASSIGN_PROD] = "prod=", [FUSE_ASSIGN_AVG] = "avg=",
    };
    fuse_text_add(text, "(%s ", kind);
    add_lhs(text, &item->lhs);
    if (item->guard) {
        fuse_text_add(text, " (when ");
        add_expr(text, item->guard);
        fuse_text_add(text, ")");
    }
    fuse_text_add(text, " %s ", operators[item->assign]);
}

static void add_name(struct fuse_text *text, const char *before, const char *name) {
    if (name)
        fuse_text_add(text, "%s%s", before, name);
}

static void add_string(struct fuse_text *text, const char *before, const char *string) {
    if (!string)
        return;
    fuse_text_add(text, "%s", before);
    fuse_text_add_json_string(text, string);
}

static void add_value(struct fuse_text *text, const char *before, const struct fuse_expr *value) {
    if (!value)
        return;
    fuse_text_add(text, "%s", before);
    add_expr(text, value);
}

static void add_item(struct fuse_text *text, const struct fuse_item *item, int indent) {
    fuse_text_add(text, "%*s", indent, "");
    switch (item->kind) {
    case FUSE_ITEM_IMPORT:
        add_string(text, "(import ", item->text);
        add_name(text, " as ", item->name);
        break;
    case FUSE_ITEM_EXPORT:
        fuse_text_add(text, "(export");
        for (int k = 0; k < item->exports; k++)
            add_name(text, " ", item->exported[k]);
        break;
    case FUSE_ITEM_AXIS:
        fuse_text_add(text, "(axis %s", item->name);
        add_string(text, " ", item->text);
        add_value(text, " ", item->value);
        break;
    case FUSE_ITEM_PARAM:
        fuse_text_add(text, "(param %s", item->name);
        add_name(text, " : ", item->type);
        add_value(text, " = ", item->value);
        break;
    case FUSE_ITEM_CONST:
        fuse_text_add(text, "(const %s", item->name);
        add_value(text, " ", item->value);
        break;
    case FUSE_ITEM_FN:
        fuse_text_add(text, "(fn %s (", item->name);
        for (int k = 0; k < item->formals; k++) {
            if (k)
                fuse_text_add(text, " ");
            add_lhs(text, &item->formal[k]);
        }
        fuse_text_add(text, ") -> ");
        add_lhs(text, &item->lhs);
        break;
    case FUSE_ITEM_EQUATION: add_equation(text, item, "equation"); break;
    case FUSE_ITEM_SOURCE:
        add_equation(text, item, "source");
        add_string(text, "", item->text);
        break;
    case FUSE_ITEM_SINK:
        add_string(text, "(sink ", item->text);
        fuse_text_add(text, " ");
        break;
    case FUSE_ITEM_LET: add_equation(text, item, "let"); break;
    case FUSE_ITEM_BLOCK: fuse_text_add(text, "(block"); break;
    }
    if (item->kind >= FUSE_ITEM_EQUATION)
        add_value(text, "", item->value);
    for (int k = 0; k < item->bodies; k++) {
        fuse_text_add(text, "\n");
        add_item(text, item->body[k], indent + 2);
    }
    fuse_text_add(text, ")");
}

void fuse_ast_print(struct fuse_text *text, const struct fuse_ast *ast) {
    for (int k = 0; k < ast->items; k++) {
        add_item(text, ast->item[k], 0);
        fuse_text_add(text, "\n");
    }
}
