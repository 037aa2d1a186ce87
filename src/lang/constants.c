/* Numbers that are known before the program runs: const, param, extents, literals. */
#include "lang/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct fuse_number from_real(double real) {
    return (struct fuse_number){.dtype = FUSE_F64, .real = real};
}

static struct fuse_number from_integer(int64_t integer) {
    return (struct fuse_number){.dtype = FUSE_I64, .integer = integer, .real = (double)integer};
}

static struct fuse_number from_bool(bool value) {
    return (struct fuse_number){.dtype = FUSE_BOOL, .integer = value, .real = value};
}

static bool is_true(const struct fuse_number *number) {
    return number->real > 0;
}

static bool combine(struct fuse_checker *c, struct fuse_number *out, enum fuse_binary_op op,
                    const struct fuse_number *a, const struct fuse_number *b, struct fuse_span span) {
    bool integers = a->dtype != FUSE_F64 && b->dtype != FUSE_F64, overflow = false;
    int64_t result = 0;
    switch (op) {
    case FUSE_BINARY_LT: *out = from_bool(a->real < b->real); return true;
    case FUSE_BINARY_LE: *out = from_bool(a->real <= b->real); return true;
    case FUSE_BINARY_GT: *out = from_bool(a->real > b->real); return true;
    case FUSE_BINARY_GE: *out = from_bool(a->real >= b->real); return true;
    case FUSE_BINARY_EQ: *out = from_bool(integers ? a->integer == b->integer : a->real == b->real); return true;
    case FUSE_BINARY_NE: *out = from_bool(integers ? a->integer != b->integer : a->real != b->real); return true;
    case FUSE_BINARY_AND: *out = from_bool(is_true(a) && is_true(b)); return true;
    case FUSE_BINARY_OR: *out = from_bool(is_true(a) || is_true(b)); return true;
    case FUSE_BINARY_DIV: *out = from_real(a->real / b->real); return true;
    case FUSE_BINARY_POW:
        if (!integers || b->integer < 0) {
            *out = from_real(pow(a->real, b->real));
            return true;
        } else {
            struct fuse_scalar_node node = {.op = FUSE_SCALAR_POW, .dtype = FUSE_I64};
            union fuse_scalar_value x = {.integer = a->integer}, y = {.integer = b->integer};
            result = fuse_scalar_eval(&node, FUSE_I64, x, y, y, &overflow).integer;
        }
        break;
    case FUSE_BINARY_ADD: overflow = __builtin_add_overflow(a->integer, b->integer, &result); break;
    case FUSE_BINARY_SUB: overflow = __builtin_sub_overflow(a->integer, b->integer, &result); break;
    case FUSE_BINARY_MUL: overflow = __builtin_mul_overflow(a->integer, b->integer, &result); break;
    }
    if (!integers) {
        double x = a->real, y = b->real;
        *out = from_real(op == FUSE_BINARY_ADD ? x + y : op == FUSE_BINARY_SUB ? x - y : x * y);
        return true;
    }
    if (overflow) {
        fuse_complain(c, span, "this is beyond 64-bit integers");
        return false;
    }
    *out = from_integer(result);
    return true;
}

/* One-argument builtins of one scalar operation. */
static bool call(struct fuse_checker *c, struct fuse_number *out, const struct fuse_expr *expr) {
    const struct fuse_builtin *builtin = fuse_builtin_find(expr->apply.name);
    bool overflow = false;
    struct fuse_number a, b = {0};
    if (!expr->apply.is_call || !builtin || builtin->scalar == FUSE_SCALAR_OPS ||
        fuse_find_symbol(c, 0, expr->apply.name) || expr->apply.arguments != fuse_scalar_arity(builtin->scalar)) {
        fuse_complain(c, expr->span,
                      "this is not known before the program runs: only numbers, consts, params and "
                      "functions of them are");
        return false;
    }
    if (!fuse_constant(c, &a, expr->apply.argument[0].value) ||
        (expr->apply.arguments > 1 && !fuse_constant(c, &b, expr->apply.argument[1].value)))
        return false;
    bool whole = builtin->type == FUSE_RESULT_NUMBER && a.dtype != FUSE_F64 &&
                 (expr->apply.arguments < 2 || b.dtype != FUSE_F64);
    if (whole && (builtin->scalar == FUSE_SCALAR_FLOOR || builtin->scalar == FUSE_SCALAR_CEIL ||
                  builtin->scalar == FUSE_SCALAR_ROUND)) {
        *out = a;
        return true;
    }
    struct fuse_scalar_node node = {.op = builtin->scalar, .dtype = whole ? FUSE_I64 : FUSE_F64};
    union fuse_scalar_value x = {0}, y = {0};
    if (whole) {
        x.integer = a.integer;
        y.integer = b.integer;
    } else {
        x.real = a.real;
        y.real = b.real;
    }
    union fuse_scalar_value value = fuse_scalar_eval(&node, node.dtype, x, y, y, &overflow);
    if (overflow)
        fuse_complain(c, expr->span, "this is beyond 64-bit integers");
    *out = whole ? from_integer(value.integer) : from_real(value.real);
    return !overflow;
}

static bool reference(struct fuse_checker *c, struct fuse_number *out, const struct fuse_expr *expr) {
    struct fuse_symbol *symbol = fuse_find_symbol(c, 0, expr->ref.name);
    if (symbol && symbol->kind == FUSE_SYMBOL_CONST && expr->ref.n == 0)
        return fuse_symbol_number(c, out, symbol);
    struct fuse_diagnostic *d =
        fuse_complain(c, expr->span, "'%s' is not known before the program runs: only numbers, consts and params are",
                      expr->ref.name);
    if (!symbol)
        fuse_suggest_tensor(c, d, expr->ref.name);
    return false;
}

static bool binary(struct fuse_checker *c, struct fuse_number *out, const struct fuse_expr *expr) {
    int depth = 0;
    const struct fuse_expr *at = expr;
    for (; at->kind == FUSE_EXPR_BINARY; at = at->binary.left)
        depth++;
    if (!fuse_constant(c, out, at))
        return false;
    const struct fuse_expr **spine = FUSE_NEW_ARRAY(c->arena, const struct fuse_expr *, depth);
    for (at = expr; at->kind == FUSE_EXPR_BINARY; at = at->binary.left)
        spine[--depth] = at;
    for (int k = 0;; k++) {
        struct fuse_number a = *out, b;
        if (!fuse_constant(c, &b, spine[k]->binary.right) ||
            !combine(c, out, spine[k]->binary.op, &a, &b, spine[k]->span))
            return false;
        if (spine[k] == expr)
            return true;
    }
}

bool fuse_constant(struct fuse_checker *c, struct fuse_number *out, const struct fuse_expr *expr) {
    struct fuse_number a;
    switch (expr->kind) {
    case FUSE_EXPR_NUMBER:
        *out = expr->number.is_integer ? from_integer(expr->number.integer) : from_real(expr->number.real);
        return true;
    case FUSE_EXPR_BOOL: *out = from_bool(expr->boolean.value); return true;
    case FUSE_EXPR_REF: return reference(c, out, expr);
    case FUSE_EXPR_BINARY: return binary(c, out, expr);
    case FUSE_EXPR_APPLY: return call(c, out, expr);
    case FUSE_EXPR_UNARY:
        if (!fuse_constant(c, &a, expr->unary.operand))
            return false;
        if (expr->unary.op == FUSE_UNARY_NOT)
            *out = from_bool(!is_true(&a));
        else if (a.dtype == FUSE_F64)
            *out = from_real(-a.real);
        else if (a.integer == INT64_MIN)
            return combine(c, out, FUSE_BINARY_SUB, &(struct fuse_number){.dtype = FUSE_I64}, &a, expr->span);
        else
            *out = from_integer(-a.integer);
        return true;
    case FUSE_EXPR_TERNARY:
        return fuse_constant(c, &a, expr->ternary.condition) &&
               fuse_constant(c, out, is_true(&a) ? expr->ternary.then : expr->ternary.otherwise);
    default: fuse_complain(c, expr->span, "a number is wanted that is known before the program runs"); return false;
    }
}

bool fuse_constant_integer(struct fuse_checker *c, int64_t *out, const struct fuse_expr *expr, const char *what) {
    struct fuse_number number;
    if (!fuse_constant(c, &number, expr))
        return false;
    if (number.dtype == FUSE_F64) {
        fuse_complain(c, expr->span, "%s must be an integer", what);
        return false;
    }
    *out = number.integer;
    return true;
}

/* ---- const and param ------------------------------------------------------------------------------------------ */

static bool fits_type(struct fuse_checker *c, const struct fuse_item *item, struct fuse_number *number) {
    enum fuse_dtype dtype;
    const char *type = item->type;
    if (!type)
        return true;
    if (strcmp(type, "int") == 0)
        type = "i64";
    if (strcmp(type, "float") == 0 || strcmp(type, "real") == 0)
        type = "f64";
    if (!fuse_dtype_parse(&dtype, type)) {
        fuse_complain(c, item->name_span,
                      "param '%s' has an unknown type '%s'; known are int, real, bool and the types of "
                      "elements such as f32",
                      item->name, type);
        return false;
    }
    if (fuse_dtype_class(dtype) == FUSE_CLASS_REAL)
        *number = from_real(number->real);
    else if (number->dtype == FUSE_F64) {
        fuse_complain(c, item->name_span, "param '%s' is declared as %s, its value %g is not one", item->name,
                      item->type, number->real);
        return false;
    } else if (fuse_dtype_class(dtype) == FUSE_CLASS_BOOL)
        *number = from_bool(is_true(number));
    return true;
}

bool fuse_symbol_number(struct fuse_checker *c, struct fuse_number *out, struct fuse_symbol *symbol) {
    const struct fuse_item *item = symbol->item;
    if (symbol->state == FUSE_BUSY) {
        fuse_complain(c, symbol->span, "'%s' is defined by itself", symbol->name);
        symbol->state = FUSE_WRONG;
    }
    if (symbol->state == FUSE_UNKNOWN) {
        symbol->state = FUSE_BUSY;
        bool known = false;
        struct fuse_number number;
        if (!item->value) {
            struct fuse_diagnostic *d = fuse_complain(c, item->name_span, "param '%s' has no value", item->name);
            fuse_advise(c, d, "set it with -D %s=..., or write `param %s = ...`", item->name, item->name);
        } else if (item->value->kind == FUSE_EXPR_LIST) {
            fuse_complain(c, item->value->span, "'%s' is a list, and a number is wanted", symbol->name);
        } else {
            known = fuse_constant(c, &number, item->value) && fits_type(c, item, &number);
        }
        if (symbol->state == FUSE_BUSY)
            symbol->state = known ? FUSE_KNOWN : FUSE_WRONG;
        if (symbol->state == FUSE_KNOWN)
            symbol->number = number;
    }
    if (symbol->state == FUSE_KNOWN)
        *out = symbol->number;
    return symbol->state == FUSE_KNOWN;
}

static bool parse_value(struct fuse_number *out, const char *text) {
    char *end;
    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0) {
        *out = from_bool(text[0] == 't');
        return true;
    }
    /* The language's own numbers, with a sign; strtod alone would take hexadecimals, inf and nan. */
    if (text[0] == '\0' || text[0] == '+' || strspn(text, "+-.0123456789eE") != strlen(text))
        return false;
    if (strspn(text + (text[0] == '-'), "0123456789") == strlen(text) - (text[0] == '-') &&
        text[strlen(text) - 1] != '-') {
        int64_t value = 0;
        for (const char *at = text + (text[0] == '-'); *at; at++)
            if (__builtin_mul_overflow(value, 10, &value) || __builtin_sub_overflow(value, *at - '0', &value))
                return false;
        if (text[0] != '-' && value == INT64_MIN)
            return false;
        *out = from_integer(text[0] == '-' ? value : -value);
        return true;
    }
    double real = strtod(text, &end);
    *out = from_real(real);
    return *end == '\0' && isfinite(real);
}

void fuse_apply_defines(struct fuse_checker *c) {
    for (int k = 0; k < c->settings.defines; k++) {
        const struct fuse_define *define = &c->settings.define[k];
        struct fuse_symbol *symbol = fuse_find_symbol(c, 0, define->name);
        struct fuse_diagnostic *d = NULL;
        if (!symbol || symbol->kind != FUSE_SYMBOL_CONST || symbol->item->kind != FUSE_ITEM_PARAM) {
            struct fuse_nearest nearest = {.wanted = define->name};
            d = fuse_complain(c, FUSE_NO_SPAN, "-D %s=%s: the program has no param '%s'", define->name, define->value,
                              define->name);
            for (int s = 0; s < c->symbols.n; s++)
                if (c->symbols.at[s].kind == FUSE_SYMBOL_CONST && c->symbols.at[s].item->kind == FUSE_ITEM_PARAM)
                    fuse_nearest_try(&nearest, c->symbols.at[s].name);
            if (nearest.best)
                fuse_advise(c, d, "did you mean '%s'?", nearest.best);
        } else if (!parse_value(&symbol->number, define->value)) {
            d = fuse_complain(c, FUSE_NO_SPAN, "-D %s=%s: the value is no number", define->name, define->value);
            symbol->state = FUSE_WRONG;
        } else {
            symbol->state = fits_type(c, symbol->item, &symbol->number) ? FUSE_KNOWN : FUSE_WRONG;
        }
        if (d)
            d->status = FUSE_EUSAGE;
    }
}
