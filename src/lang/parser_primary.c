#include "lang/parser_internal.h"

#include <string.h>

static int max_height(int a, int b) {
    return a > b ? a : b;
}

/* ---- literals ------------------------------------------------------------------------------------------------- */

static struct fuse_expr *parse_number(struct fuse_parser *p) {
    struct fuse_token token = p->token;
    fuse_advance(p);
    struct fuse_expr *expr = fuse_new_expr(p, FUSE_EXPR_NUMBER, token.begin, 0);
    expr->number.is_integer = token.is_integer;
    expr->number.integer = token.integer;
    expr->number.real = token.real;
    return expr;
}

static struct fuse_expr *parse_string(struct fuse_parser *p) {
    const char *text = fuse_lexer_string(&p->lexer, &p->token);
    uint32_t begin = p->token.begin;
    fuse_advance(p);
    struct fuse_expr *expr = fuse_new_expr(p, FUSE_EXPR_STRING, begin, 0);
    expr->string.text = text;
    return expr;
}

static struct fuse_expr *parse_boolean(struct fuse_parser *p) {
    bool value = p->token.kind == FUSE_TOKEN_TRUE;
    uint32_t begin = p->token.begin;
    fuse_advance(p);
    struct fuse_expr *expr = fuse_new_expr(p, FUSE_EXPR_BOOL, begin, 0);
    expr->boolean.value = value;
    return expr;
}

/* Collects a list of plain numbers up to and with the ']'. Returns false, with nothing used up, when it is another list;
 * such a list is read a second time from its start, and since this stops at the first bracket inside, no text is read
 * more than twice. */
static bool read_numbers(struct fuse_parser *p, bool *all_integers) {
    struct fuse_place start = fuse_save_place(p);
    p->reals.n = p->integers.n = 0;
    *all_integers = true;
    while (!fuse_accept(p, FUSE_TOKEN_RBRACKET)) {
        bool negative = fuse_accept(p, FUSE_TOKEN_MINUS);
        struct fuse_token token = p->token;
        bool number = fuse_accept(p, FUSE_TOKEN_NUMBER);
        if (!number || (!fuse_accept(p, FUSE_TOKEN_COMMA) && fuse_peek(p) != FUSE_TOKEN_RBRACKET)) {
            fuse_restore_place(p, &start);
            return false;
        }
        *all_integers &= token.is_integer;
        fuse_vec_push(p->arena, &p->reals, negative ? -token.real : token.real);
        if (*all_integers)
            fuse_vec_push(p->arena, &p->integers, negative ? -token.integer : token.integer);
    }
    return true;
}

/* list := '[' [expr {',' expr} [',']] ']' */
static struct fuse_expr *parse_list(struct fuse_parser *p) {
    uint32_t begin = p->token.begin;
    int base = p->exprs.n, height = 0;
    bool all_integers;
    fuse_advance(p);
    if (read_numbers(p, &all_integers)) {
        struct fuse_expr *expr = fuse_new_expr(p, FUSE_EXPR_LIST, begin, 0);
        size_t n = (size_t)p->reals.n;
        expr->list.n = p->reals.n;
        expr->list.real = FUSE_NEW_ARRAY(p->arena, double, n);
        if (n)
            memcpy(expr->list.real, p->reals.at, n * sizeof(double));
        if (all_integers) {
            expr->list.integer = FUSE_NEW_ARRAY(p->arena, int64_t, n);
            if (n)
                memcpy(expr->list.integer, p->integers.at, n * sizeof(int64_t));
        }
        return expr;
    }
    while (!fuse_accept(p, FUSE_TOKEN_RBRACKET)) {
        struct fuse_expr *item = fuse_parse_expr(p);
        if (!item)
            return NULL;
        fuse_vec_push(p->arena, &p->exprs, item);
        height = max_height(height, p->height);
        if (fuse_accept(p, FUSE_TOKEN_COMMA))
            continue;
        if (!fuse_close_bracket(p, FUSE_TOKEN_RBRACKET, begin, "',' or ']'"))
            return NULL;
        break;
    }
    struct fuse_expr *expr = fuse_new_expr(p, FUSE_EXPR_LIST, begin, height);
    if (!expr)
        return NULL;
    expr->list.n = p->exprs.n - base;
    expr->list.item = fuse_take_stack(p, exprs, base);
    return expr;
}

/* ---- references and calls ------------------------------------------------------------------------------------- */

/* ref := QNAME ['[' [index {',' index}] ']']     # A(...) is parse_apply's */
static struct fuse_expr *parse_ref(struct fuse_parser *p, const char *name, struct fuse_span span) {
    struct fuse_index *index = NULL;
    int n = 0;
    uint32_t opened = p->token.begin;
    bool brackets = fuse_accept(p, FUSE_TOKEN_LBRACKET);
    if (brackets && !fuse_parse_indices(p, FUSE_TOKEN_RBRACKET, opened, &index, &n))
        return NULL;
    struct fuse_expr *expr = fuse_new_expr(p, FUSE_EXPR_REF, span.begin, 0);
    expr->ref.name = name;
    expr->ref.name_span = span;
    expr->ref.has_brackets = brackets;
    expr->ref.index = index;
    expr->ref.n = n;
    return expr;
}

/* arg := [NAME '='] expr */
static bool parse_argument(struct fuse_parser *p, struct fuse_argument *argument) {
    enum fuse_token_kind kind = fuse_peek(p);
    bool newline;
    *argument = (struct fuse_argument){.name_span = FUSE_NO_SPAN};
    if ((kind == FUSE_TOKEN_NAME || fuse_token_is_reserved(kind)) &&
        fuse_peek_second(p, &newline) == FUSE_TOKEN_ASSIGN) {
        if (kind == FUSE_TOKEN_NAME) {
            argument->name = fuse_parse_name(p, false, false, "the name of an argument", &argument->name_span);
            if (!argument->name)
                return false;
        } else if (kind >= FUSE_TOKEN_EXPORT) {
            argument->name = fuse_lexer_name(&p->lexer, &p->token);
            argument->name_span = fuse_token_span(p);
            fuse_advance(p);
        } else {
            return fuse_expected(p, "the name of an argument", NULL);
        }
        fuse_advance(p);
    }
    argument->value = fuse_parse_expr(p);
    return argument->value != NULL;
}

/* [arg {',' arg} [',']] ')'     # call := QNAME '(' ... */
static bool parse_arguments(struct fuse_parser *p, uint32_t opened, struct fuse_argument **argument, int *n,
                            int *height) {
    int base = p->arguments.n;
    *height = 0;
    p->in_arguments++;
    while (!fuse_accept(p, FUSE_TOKEN_RPAREN)) {
        struct fuse_argument next;
        if (!parse_argument(p, &next))
            return false;
        fuse_vec_push(p->arena, &p->arguments, next);
        *height = max_height(*height, p->height);
        if (fuse_accept(p, FUSE_TOKEN_COMMA))
            continue;
        if (!fuse_close_bracket(p, FUSE_TOKEN_RPAREN, opened, "',' or ')'"))
            return false;
        break;
    }
    p->in_arguments--;
    *n = p->arguments.n - base;
    *argument = fuse_take_stack(p, arguments, base);
    return true;
}

/* Both readings of what stands in the parentheses, as far as the text allows them. An index list holds no bracket, so
 * the attempt to read one ends at the first bracket inside: each token is read as an index once at most. */
static bool parse_readings(struct fuse_parser *p, uint32_t opened, struct fuse_expr *expr, int *height) {
    struct fuse_place start = fuse_save_place(p);
    p->quiet++;
    expr->apply.is_ref = fuse_parse_indices(p, FUSE_TOKEN_RPAREN, opened, &expr->apply.index, &expr->apply.indices);
    if (!expr->apply.is_ref) {
        p->quiet--;
        fuse_restore_place(p, &start);
        if (!p->quiet) {
            p->index_start = start;
            p->index_from = opened + 1;
            p->index_to = p->quiet_at;
        }
        expr->apply.is_call = true;
        return parse_arguments(p, opened, &expr->apply.argument, &expr->apply.arguments, height);
    }
    struct fuse_place end = fuse_save_place(p);
    fuse_restore_place(p, &start);
    p->too_deep = false;
    expr->apply.is_call = parse_arguments(p, opened, &expr->apply.argument, &expr->apply.arguments, height);
    p->quiet--;
    if (p->too_deep) {
        /* Not another reading, but an error to report. */
        fuse_restore_place(p, &start);
        return parse_arguments(p, opened, &expr->apply.argument, &expr->apply.arguments, height);
    }
    if (!expr->apply.is_call) {
        fuse_restore_place(p, &end);
        expr->apply.argument = NULL;
        expr->apply.arguments = 0;
        *height = 0;
    }
    return true;
}

/* call := QNAME '(' [arg {',' arg} [',']] ')'     ref := QNAME '(' [index {',' index}] ')' */
static struct fuse_expr *parse_apply(struct fuse_parser *p, const char *name, struct fuse_span span, uint32_t begin,
                                     bool call_only) {
    struct fuse_expr readings = {.kind = FUSE_EXPR_APPLY};
    uint32_t opened = p->token.begin;
    int height;
    fuse_advance(p);
    if (call_only) {
        readings.apply.is_call = true;
        if (!parse_arguments(p, opened, &readings.apply.argument, &readings.apply.arguments, &height))
            return NULL;
    } else if (!parse_readings(p, opened, &readings, &height)) {
        return NULL;
    }
    struct fuse_expr *expr = fuse_new_expr(p, FUSE_EXPR_APPLY, begin, height);
    if (!expr)
        return NULL;
    expr->apply = readings.apply;
    expr->apply.name = name;
    expr->apply.name_span = span;
    expr->apply.macro = begin != span.begin;
    return expr;
}

static struct fuse_expr *parse_named(struct fuse_parser *p) {
    struct fuse_span span;
    bool primed = p->token.primed;
    const char *name = fuse_parse_name(p, true, p->in_arguments > 0, "a name", &span);
    if (!name)
        return NULL;
    enum fuse_token_kind next = fuse_peek(p);
    if (primed && (next == FUSE_TOKEN_LPAREN || next == FUSE_TOKEN_LBRACKET)) {
        fuse_syntax_error(p, span, "give the tensor or function a name of its own, such as X2",
                          "only the name of an index has primes");
        return NULL;
    }
    if (next == FUSE_TOKEN_LPAREN)
        return parse_apply(p, name, span, span.begin, false);
    return parse_ref(p, name, span);
}

/* '@' call */
static struct fuse_expr *parse_macro(struct fuse_parser *p) {
    uint32_t begin = p->token.begin;
    struct fuse_span span;
    fuse_advance(p);
    const char *name = fuse_parse_name(p, true, false, "the name of a function", &span);
    if (!name)
        return NULL;
    if (fuse_peek(p) != FUSE_TOKEN_LPAREN) {
        fuse_expected(p, "'('", "'@' stands before a call: @softmax(X[i])");
        return NULL;
    }
    return parse_apply(p, name, span, begin, true);
}

/* ---- reduce --------------------------------------------------------------------------------------------------- */

static bool parse_reduce_word(struct fuse_parser *p, enum fuse_reduce_word *op) {
    static const char *const words[] = {
        [FUSE_WORD_SUM] = "sum",   [FUSE_WORD_MAX] = "max", [FUSE_WORD_MIN] = "min", [FUSE_WORD_PROD] = "prod",
        [FUSE_WORD_MEAN] = "mean", [FUSE_WORD_ANY] = "any", [FUSE_WORD_ALL] = "all",
    };
    if (fuse_peek(p) == FUSE_TOKEN_NAME)
        for (size_t k = 0; k < sizeof words / sizeof *words; k++)
            if (fuse_token_is(p, words[k])) {
                *op = (enum fuse_reduce_word)k;
                fuse_advance(p);
                return true;
            }
    return fuse_expected(p, "'sum', 'max', 'min', 'prod', 'mean', 'any' or 'all'",
                         "the operation stands first: reduce(sum, i) X[i,j]");
}

/* reduce := 'reduce' '(' OP ',' INDEX {',' INDEX} ')' mul */
static struct fuse_expr *parse_reduce(struct fuse_parser *p) {
    uint32_t begin = p->token.begin, opened;
    enum fuse_reduce_word op = FUSE_WORD_SUM;
    int base = p->indices.n;
    if (!fuse_enter(p))
        return NULL;
    fuse_advance(p);
    opened = p->token.begin;
    if (fuse_peek(p) != FUSE_TOKEN_LPAREN) {
        fuse_expected(p, "'(' after 'reduce'", "reduce(sum, i) X[i,j]");
        return NULL;
    }
    fuse_advance(p);
    if (!parse_reduce_word(p, &op))
        return NULL;
    if (fuse_peek(p) == FUSE_TOKEN_RPAREN) {
        fuse_expected(p, "',' and an index", "say which indices are projected: reduce(sum, i) X[i,j]");
        return NULL;
    }
    if (!fuse_require(p, FUSE_TOKEN_COMMA, "','"))
        return NULL;
    do {
        struct fuse_index index;
        if (!fuse_parse_index_name(p, &index))
            return NULL;
        fuse_vec_push(p->arena, &p->indices, index);
    } while (fuse_accept(p, FUSE_TOKEN_COMMA));
    if (!fuse_close_bracket(p, FUSE_TOKEN_RPAREN, opened, "',' or ')'"))
        return NULL;
    int n = p->indices.n - base;
    struct fuse_index *index = fuse_take_stack(p, indices, base);
    struct fuse_expr *body = fuse_parse_mul(p);
    if (!body)
        return NULL;
    p->depth--;
    struct fuse_expr *expr = fuse_new_expr(p, FUSE_EXPR_REDUCE, begin, p->height);
    if (!expr)
        return NULL;
    expr->reduce.op = op;
    expr->reduce.index = index;
    expr->reduce.n = n;
    expr->reduce.body = body;
    return expr;
}

/* ---- case ----------------------------------------------------------------------------------------------------- */

/* expr '->' expr, or 'default' '->' expr with *is_default */
static bool parse_entry(struct fuse_parser *p, struct fuse_case_entry *entry, bool *is_default, int *height) {
    *entry = (struct fuse_case_entry){0};
    *is_default = fuse_accept(p, FUSE_TOKEN_DEFAULT);
    if (!*is_default) {
        entry->condition = fuse_parse_expr(p);
        if (!entry->condition)
            return false;
        *height = max_height(*height, p->height);
    }
    if (!fuse_accept(p, FUSE_TOKEN_ARROW))
        return fuse_expected(p, "'->' and a value", "the entries of a case are c -> a and default -> b");
    entry->value = fuse_parse_expr(p);
    if (!entry->value)
        return false;
    *height = max_height(*height, p->height);
    if (!fuse_at_statement_end(p))
        return fuse_expected(p, "the end of the entry", "entries are separated by new lines or ';'");
    return true;
}

/* The rest of a case from behind its '{'. Errors in entries are dealt with here, except when the line looks like a
 * statement: then the '}' is missing, and the caller goes on with statements. */
static bool parse_entries(struct fuse_parser *p, uint32_t opened, struct fuse_expr **otherwise, int *height) {
    int level = p->brackets.n;
    struct fuse_levels levels = fuse_save_levels(p);
    *otherwise = NULL;
    for (;;) {
        enum fuse_token_kind kind = p->token.kind;
        if (kind == FUSE_TOKEN_SEMICOLON) {
            fuse_advance(p);
            continue;
        }
        if (kind == FUSE_TOKEN_RBRACE) {
            fuse_advance(p);
            if (p->forgiven == 0)
                return true;
            p->forgiven--;
            p->brackets.n = level;
            continue;
        }
        if (kind == FUSE_TOKEN_FILE_END)
            return fuse_close_bracket(p, FUSE_TOKEN_RBRACE, opened, "'}' at the end of the case");
        bool new_line = p->token.newline_before;
        p->token.newline_before = false;
        struct fuse_place start = fuse_save_place(p);
        struct fuse_case_entry entry;
        bool is_default, ok = true;
        int reported = p->diagnostics->list.n;
        if (*otherwise) {
            ok = kind == FUSE_TOKEN_DEFAULT ? fuse_expected(p, "'}'", "a case has one default")
                                            : fuse_expected(p, "'}'", "the default is the last entry");
        }
        if (ok && parse_entry(p, &entry, &is_default, height)) {
            if (is_default)
                *otherwise = entry.value;
            else
                fuse_vec_push(p->arena, &p->entries, entry);
            levels.entries = p->entries.n;
            continue;
        }
        struct fuse_place stopped = fuse_save_place(p);
        fuse_restore_place(p, &start);
        p->token.newline_before = new_line;
        bool fresh = fuse_line_is_fresh(p);
        fuse_restore_place(p, &stopped);
        if (fresh) {
            if (p->diagnostics->list.n > reported) {
                struct fuse_diagnostic *diagnostic = &p->diagnostics->list.at[reported];
                diagnostic->hint = "a '}' before this line may be missing";
                diagnostic->other = (struct fuse_span){.file = p->file, .begin = opened, .end = opened + 1};
                diagnostic->other_message = "the '{' was opened here";
            }
            return false;
        }
        fuse_restore_levels(p, &levels);
        fuse_recover(p, level);
    }
}

/* 'case' '{' {[expr '->' expr] end} ['default' '->' expr {end}] '}' */
static struct fuse_expr *parse_case(struct fuse_parser *p) {
    uint32_t begin = p->token.begin, opened;
    int base = p->entries.n, height = 0;
    struct fuse_expr *otherwise;
    struct fuse_span span = fuse_token_span(p);
    const char *name = fuse_lexer_name(&p->lexer, &p->token);
    fuse_advance(p);
    opened = p->token.begin;
    if (fuse_peek(p) == FUSE_TOKEN_LPAREN)
        return parse_apply(p, name, span, begin, true);
    if (fuse_peek(p) != FUSE_TOKEN_LBRACE) {
        fuse_expected(p, "'{' or '('", "case { c -> a; default -> b } or case(c, a, b)");
        return NULL;
    }
    if (!fuse_enter(p))
        return NULL;
    fuse_advance(p);
    int forgiven = p->forgiven;
    p->forgiven = 0;
    bool closed = parse_entries(p, opened, &otherwise, &height);
    p->forgiven = forgiven;
    if (!closed)
        return NULL;
    p->depth--;
    struct fuse_expr *expr = fuse_new_expr(p, FUSE_EXPR_CASE, begin, height);
    if (!expr)
        return NULL;
    expr->cases.n = p->entries.n - base;
    expr->cases.entry = fuse_take_stack(p, entries, base);
    expr->cases.otherwise = otherwise;
    return expr;
}

/* ---- primary -------------------------------------------------------------------------------------------------- */

/* '(' expr ')' */
static struct fuse_expr *parse_parenthesised(struct fuse_parser *p) {
    uint32_t begin = p->token.begin;
    fuse_advance(p);
    struct fuse_expr *expr = fuse_parse_expr(p);
    if (!expr || !fuse_close_bracket(p, FUSE_TOKEN_RPAREN, begin, "')'"))
        return NULL;
    expr->span = fuse_span_from(p, begin);
    if (expr->kind == FUSE_EXPR_BINARY)
        expr->binary.parenthesised = true;
    return expr;
}

static struct fuse_expr *fail_primary(struct fuse_parser *p) {
    enum fuse_token_kind kind = fuse_peek(p);
    const char *hint = NULL;
    if (kind == FUSE_TOKEN_NONE)
        hint = "there is no missing value; a cell that nothing reaches is 0 or false";
    else if (kind == FUSE_TOKEN_CONST || kind == FUSE_TOKEN_SELECT)
        hint = kind == FUSE_TOKEN_CONST ? "as an operand const is a call: const(1.0)"
                                        : "as an operand select is a call: select(c, a, b)";
    else if (kind == FUSE_TOKEN_WHEN)
        hint = p->previous == FUSE_TOKEN_ASSIGN ? "a guard stands before the operator: Y[i] when G(i) = X[i]" : NULL;
    else if (kind == FUSE_TOKEN_PLUS)
        hint = "there is no unary '+'";
    else if (kind == FUSE_TOKEN_ASSIGN && p->previous == FUSE_TOKEN_EQUAL)
        hint = "'==' compares";
    fuse_expected(p, "an operand", hint);
    return NULL;
}

/* primary := NUMBER | STRING | 'true' | 'false' | list | ref | call | '@' call | '(' expr ')' | case
 * and reduce, which stands where a factor may. */
struct fuse_expr *fuse_parse_primary(struct fuse_parser *p) {
    bool newline;
    /* Only a guard, and only on its own level of brackets, can go on in a line with an operator. */
    if (p->token.newline_before && p->guard_level != p->brackets.n && !p->quiet && fuse_line_is_fresh(p)) {
        fuse_expected(p, "an operand", NULL);
        return NULL;
    }
    switch (fuse_peek(p)) {
    case FUSE_TOKEN_NUMBER: return parse_number(p);
    case FUSE_TOKEN_STRING: return parse_string(p);
    case FUSE_TOKEN_TRUE:
    case FUSE_TOKEN_FALSE: return parse_boolean(p);
    case FUSE_TOKEN_LBRACKET: return parse_list(p);
    case FUSE_TOKEN_LPAREN: return parse_parenthesised(p);
    case FUSE_TOKEN_AT: return parse_macro(p);
    case FUSE_TOKEN_NAME: return parse_named(p);
    case FUSE_TOKEN_REDUCE: return parse_reduce(p);
    case FUSE_TOKEN_CASE: return parse_case(p);
    case FUSE_TOKEN_CONST:
    case FUSE_TOKEN_SELECT:
        if (fuse_peek_second(p, &newline) == FUSE_TOKEN_LPAREN) {
            struct fuse_span span = fuse_token_span(p);
            const char *name = fuse_lexer_name(&p->lexer, &p->token);
            fuse_advance(p);
            return parse_apply(p, name, span, span.begin, true);
        }
        return fail_primary(p);
    default: return fail_primary(p);
    }
}
