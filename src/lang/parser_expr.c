#include "lang/parser_internal.h"

struct fuse_expr *fuse_new_expr(struct fuse_parser *p, enum fuse_expr_kind kind, uint32_t begin, int below) {
    if (below >= FUSE_MAX_HEIGHT) {
        fuse_syntax_error(p, fuse_span_from(p, p->previous_end), "split it into several equations",
                          "an expression of more than %d levels", FUSE_MAX_HEIGHT);
        return NULL;
    }
    p->height = below + 1;
    struct fuse_expr *expr = FUSE_NEW(p->arena, struct fuse_expr);
    expr->kind = kind;
    expr->span = fuse_span_from(p, begin);
    expr->id = p->ast->exprs++;
    return expr;
}

/* What is known of the left operand when the operator is read. */
struct left {
    struct fuse_expr *expr;
    uint32_t begin;
    int height;
};

/* Reads the right operand and joins the two; false on failure. */
static bool join(struct fuse_parser *p, struct left *left, enum fuse_binary_op op, struct fuse_span op_span,
                 struct fuse_expr *(*parse_right)(struct fuse_parser *)) {
    struct fuse_expr *right = parse_right(p);
    if (!right)
        return false;
    struct fuse_expr *expr =
        fuse_new_expr(p, FUSE_EXPR_BINARY, left->begin, left->height > p->height ? left->height : p->height);
    if (!expr)
        return false;
    expr->binary.op = op;
    expr->binary.op_span = op_span;
    expr->binary.left = left->expr;
    expr->binary.right = right;
    left->expr = expr;
    left->height = p->height;
    return true;
}

static bool begin_left(struct fuse_parser *p, struct left *left, struct fuse_expr *(*parse)(struct fuse_parser *)) {
    left->begin = p->token.begin;
    left->expr = parse(p);
    left->height = p->height;
    return left->expr != NULL;
}

static struct fuse_span take_operator(struct fuse_parser *p) {
    struct fuse_span span = fuse_token_span(p);
    fuse_advance(p);
    return span;
}

/* factor := reduce | unary          unary := ('-'|'!') (reduce | unary) | power
 * power := primary ['**' unary] */
static struct fuse_expr *parse_unary(struct fuse_parser *p) {
    uint32_t begin = p->token.begin;
    enum fuse_token_kind kind = fuse_peek(p);
    if (kind == FUSE_TOKEN_MINUS || kind == FUSE_TOKEN_NOT) {
        if (!fuse_enter(p))
            return NULL;
        fuse_advance(p);
        struct fuse_expr *operand = parse_unary(p);
        struct fuse_expr *expr = operand ? fuse_new_expr(p, FUSE_EXPR_UNARY, begin, p->height) : NULL;
        p->depth--;
        if (expr) {
            expr->unary.op = kind == FUSE_TOKEN_MINUS ? FUSE_UNARY_NEG : FUSE_UNARY_NOT;
            expr->unary.operand = operand;
        }
        return expr;
    }
    if (kind == FUSE_TOKEN_REDUCE)
        return fuse_parse_primary(p);
    struct left left;
    if (!begin_left(p, &left, fuse_parse_primary))
        return NULL;
    if (fuse_peek(p) != FUSE_TOKEN_POWER)
        return left.expr;
    if (!fuse_enter(p))
        return NULL;
    struct fuse_span op = take_operator(p);
    if (fuse_peek(p) == FUSE_TOKEN_REDUCE) {
        fuse_expected(p, "an exponent", "put it in parentheses: x ** (reduce(sum, i) ...)");
        return NULL;
    }
    bool ok = join(p, &left, FUSE_BINARY_POW, op, parse_unary);
    p->depth--;
    return ok ? left.expr : NULL;
}

bool fuse_starts_operand(const struct fuse_parser *p) {
    /* Brackets that are still open when the next statement starts. */
    if (p->token.newline_before && !p->quiet && fuse_line_is_fresh(p))
        return false;
    switch (fuse_peek(p)) {
    case FUSE_TOKEN_NUMBER:
    case FUSE_TOKEN_STRING:
    case FUSE_TOKEN_LPAREN:
    case FUSE_TOKEN_LBRACKET:
    case FUSE_TOKEN_AT:
    case FUSE_TOKEN_TRUE:
    case FUSE_TOKEN_FALSE:
    case FUSE_TOKEN_NONE:
    case FUSE_TOKEN_CASE:
    case FUSE_TOKEN_CONST:
    case FUSE_TOKEN_REDUCE:
    case FUSE_TOKEN_SELECT: return true;
    case FUSE_TOKEN_NAME:
        /* Y[i] when G(i) max= X[i] */
        return !(p->guard_level == p->brackets.n && fuse_at_word_assign(p) &&
                 (fuse_token_is(p, "max") || fuse_token_is(p, "min") || fuse_token_is(p, "prod") ||
                  fuse_token_is(p, "avg")));
    default: return false;
    }
}

/* mul := factor { ['*'|'/'] factor }     # a juxtaposed factor may start with '!', not with '-' */
struct fuse_expr *fuse_parse_mul(struct fuse_parser *p) {
    struct left left;
    if (!begin_left(p, &left, parse_unary))
        return NULL;
    for (;;) {
        enum fuse_token_kind kind = fuse_peek(p);
        struct fuse_span op = {.file = p->file, .begin = p->token.begin, .end = p->token.begin};
        if (kind == FUSE_TOKEN_STAR || kind == FUSE_TOKEN_SLASH)
            op = take_operator(p);
        else if (kind != FUSE_TOKEN_NOT && !fuse_starts_operand(p))
            return left.expr;
        if (!join(p, &left, kind == FUSE_TOKEN_SLASH ? FUSE_BINARY_DIV : FUSE_BINARY_MUL, op, parse_unary))
            return NULL;
    }
}

/* add := mul {('+'|'-') mul} */
static struct fuse_expr *parse_add(struct fuse_parser *p) {
    struct left left;
    if (!begin_left(p, &left, fuse_parse_mul))
        return NULL;
    for (;;) {
        enum fuse_token_kind kind = fuse_peek(p);
        if (kind != FUSE_TOKEN_PLUS && kind != FUSE_TOKEN_MINUS)
            return left.expr;
        struct fuse_span op = take_operator(p);
        if (!join(p, &left, kind == FUSE_TOKEN_PLUS ? FUSE_BINARY_ADD : FUSE_BINARY_SUB, op, fuse_parse_mul))
            return NULL;
    }
}

static bool is_comparison(enum fuse_token_kind kind, enum fuse_binary_op *op) {
    switch (kind) {
    case FUSE_TOKEN_LESS: *op = FUSE_BINARY_LT; return true;
    case FUSE_TOKEN_LESS_EQUAL: *op = FUSE_BINARY_LE; return true;
    case FUSE_TOKEN_GREATER: *op = FUSE_BINARY_GT; return true;
    case FUSE_TOKEN_GREATER_EQUAL: *op = FUSE_BINARY_GE; return true;
    case FUSE_TOKEN_EQUAL: *op = FUSE_BINARY_EQ; return true;
    case FUSE_TOKEN_NOT_EQUAL: *op = FUSE_BINARY_NE; return true;
    default: return false;
    }
}

/* cmp := add [('<'|'<='|'>'|'>='|'=='|'!=') add]     # comparisons do not chain */
static struct fuse_expr *parse_cmp(struct fuse_parser *p) {
    struct left left;
    enum fuse_binary_op op;
    if (!begin_left(p, &left, parse_add))
        return NULL;
    if (!is_comparison(fuse_peek(p), &op))
        return left.expr;
    struct fuse_span span = take_operator(p);
    if (!join(p, &left, op, span, parse_add))
        return NULL;
    if (is_comparison(fuse_peek(p), &op)) {
        fuse_syntax_error(p, fuse_token_span(p), "write a < b && b < c, or put one of them in parentheses",
                          "comparisons do not chain");
        return NULL;
    }
    return left.expr;
}

/* and := cmp {'&&' cmp} */
static struct fuse_expr *parse_and(struct fuse_parser *p) {
    struct left left;
    if (!begin_left(p, &left, parse_cmp))
        return NULL;
    while (fuse_peek(p) == FUSE_TOKEN_AND) {
        struct fuse_span op = take_operator(p);
        if (!join(p, &left, FUSE_BINARY_AND, op, parse_cmp))
            return NULL;
    }
    return left.expr;
}

/* or := and {'||' and} */
static struct fuse_expr *parse_or(struct fuse_parser *p) {
    struct left left;
    if (!begin_left(p, &left, parse_and))
        return NULL;
    while (fuse_peek(p) == FUSE_TOKEN_OR) {
        struct fuse_span op = take_operator(p);
        if (!join(p, &left, FUSE_BINARY_OR, op, parse_and))
            return NULL;
    }
    return left.expr;
}

/* ['?' expr ':' expr], from the '?' on */
static struct fuse_expr *parse_ternary(struct fuse_parser *p, uint32_t begin, struct fuse_expr *condition) {
    int height = p->height;
    fuse_advance(p);
    struct fuse_expr *then = fuse_parse_expr(p);
    if (!then)
        return NULL;
    height = p->height > height ? p->height : height;
    if (fuse_peek(p) != FUSE_TOKEN_COLON) {
        fuse_expected(p, "':'", "a condition has both branches: c ? a : b");
        return NULL;
    }
    fuse_advance(p);
    struct fuse_expr *otherwise = fuse_parse_expr(p);
    if (!otherwise)
        return NULL;
    struct fuse_expr *expr = fuse_new_expr(p, FUSE_EXPR_TERNARY, begin, p->height > height ? p->height : height);
    if (!expr)
        return NULL;
    expr->ternary.condition = condition;
    expr->ternary.then = then;
    expr->ternary.otherwise = otherwise;
    return expr;
}

/* expr := or ['?' expr ':' expr] */
struct fuse_expr *fuse_parse_expr(struct fuse_parser *p) {
    uint32_t begin = p->token.begin;
    if (!fuse_enter(p))
        return NULL;
    struct fuse_expr *expr = parse_or(p);
    if (expr && fuse_peek(p) == FUSE_TOKEN_QUESTION)
        expr = parse_ternary(p, begin, expr);
    p->depth--;
    return expr;
}
