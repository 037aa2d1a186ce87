#include "lang/parser_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void *fuse_stack_copy(struct fuse_arena *arena, const void *stack, int base, size_t size, int *n) {
    size_t count = (size_t)(*n - base);
    *n = base;
    if (count == 0)
        return NULL;
    void *copy = fuse_arena_array(arena, count, size);
    memcpy(copy, (const char *)stack + (size_t)base * size, count * size);
    return copy;
}

/* ---- tokens --------------------------------------------------------------------------------------------------- */

static char innermost(const struct fuse_parser *p) {
    return p->brackets.n ? p->brackets.at[p->brackets.n - 1] : '{';
}

enum fuse_token_kind fuse_peek(const struct fuse_parser *p) {
    if (p->token.newline_before && !fuse_token_continues(p->previous) && innermost(p) != '(' && innermost(p) != '[')
        return p->token.kind == FUSE_TOKEN_FILE_END ? FUSE_TOKEN_FILE_END : FUSE_TOKEN_LINE_END;
    return p->token.kind;
}

enum fuse_token_kind fuse_peek_second(const struct fuse_parser *p, bool *newline_before) {
    struct fuse_lexer lexer = p->lexer;
    struct fuse_token token;
    fuse_lexer_next(&lexer, &token);
    *newline_before = token.newline_before;
    return token.kind;
}

/* Closing brackets close what they can: a wrong one is an error before it gets here, or is passed over after one. */
static void track_brackets(struct fuse_parser *p) {
    char bracket = '\0';
    switch (p->token.kind) {
    case FUSE_TOKEN_LPAREN: bracket = '('; break;
    case FUSE_TOKEN_LBRACKET: bracket = '['; break;
    case FUSE_TOKEN_LBRACE: bracket = p->previous == FUSE_TOKEN_CASE ? 'c' : '{'; break;
    case FUSE_TOKEN_RPAREN:
    case FUSE_TOKEN_RBRACKET:
        if (p->brackets.n && (innermost(p) == '(' || innermost(p) == '['))
            p->brackets.n--;
        return;
    case FUSE_TOKEN_RBRACE:
        if (p->brackets.n)
            p->brackets.n--;
        return;
    default: return;
    }
    fuse_vec_push(p->arena, &p->brackets, bracket);
}

void fuse_advance(struct fuse_parser *p) {
    track_brackets(p);
    p->previous = p->token.kind;
    p->previous_end = p->token.end;
    fuse_lexer_next(&p->lexer, &p->token);
}

bool fuse_accept(struct fuse_parser *p, enum fuse_token_kind kind) {
    if (fuse_peek(p) != kind)
        return false;
    fuse_advance(p);
    return true;
}

bool fuse_at_statement_end(const struct fuse_parser *p) {
    enum fuse_token_kind kind = fuse_peek(p);
    return kind == FUSE_TOKEN_LINE_END || kind == FUSE_TOKEN_SEMICOLON || kind == FUSE_TOKEN_RBRACE ||
           kind == FUSE_TOKEN_FILE_END;
}

bool fuse_token_is(const struct fuse_parser *p, const char *text) {
    size_t bytes = strlen(text);
    return p->token.end - p->token.begin == bytes && memcmp(p->lexer.text + p->token.begin, text, bytes) == 0;
}

bool fuse_at_word_assign(const struct fuse_parser *p) {
    const char *behind = p->lexer.text + p->token.end;
    return fuse_peek(p) == FUSE_TOKEN_NAME && behind[0] == '=' && behind[1] != '=';
}

struct fuse_span fuse_span_from(const struct fuse_parser *p, uint32_t begin) {
    return (struct fuse_span){.file = p->file, .begin = begin, .end = p->previous_end};
}

struct fuse_span fuse_token_span(const struct fuse_parser *p) {
    return (struct fuse_span){.file = p->file, .begin = p->token.begin, .end = p->token.end};
}

struct fuse_levels fuse_save_levels(const struct fuse_parser *p) {
    return (struct fuse_levels){.depth = p->depth,
                                .in_arguments = p->in_arguments,
                                .guard_level = p->guard_level,
                                .indices = p->indices.n,
                                .exprs = p->exprs.n,
                                .arguments = p->arguments.n,
                                .entries = p->entries.n,
                                .items = p->items.n,
                                .formals = p->formals.n};
}

void fuse_restore_levels(struct fuse_parser *p, const struct fuse_levels *levels) {
    p->depth = levels->depth;
    p->in_arguments = levels->in_arguments;
    p->guard_level = levels->guard_level;
    p->indices.n = levels->indices;
    p->exprs.n = levels->exprs;
    p->arguments.n = levels->arguments;
    p->entries.n = levels->entries;
    p->items.n = levels->items;
    p->formals.n = levels->formals;
}

struct fuse_place fuse_save_place(const struct fuse_parser *p) {
    return (struct fuse_place){.lexer = p->lexer,
                               .token = p->token,
                               .previous = p->previous,
                               .previous_end = p->previous_end,
                               .brackets = p->brackets.n,
                               .next_id = p->ast->exprs,
                               .levels = fuse_save_levels(p)};
}

void fuse_restore_place(struct fuse_parser *p, const struct fuse_place *place) {
    p->lexer = place->lexer;
    p->token = place->token;
    p->previous = place->previous;
    p->previous_end = place->previous_end;
    p->brackets.n = place->brackets;
    p->ast->exprs = place->next_id;
    fuse_restore_levels(p, &place->levels);
}

/* ---- errors --------------------------------------------------------------------------------------------------- */

bool fuse_syntax_error(struct fuse_parser *p, struct fuse_span span, const char *hint, const char *format, ...) {
    if (p->quiet) {
        p->quiet_at = span.begin;
        return false;
    }
    /* One error a line: what is wrong behind the first is mostly its consequence. */
    uint32_t last = p->last_error, from = span.begin < last ? span.begin : last,
             to = span.begin < last ? last : span.begin;
    if (p->failed && !memchr(p->lexer.text + from, '\n', to - from))
        return false;
    p->failed = true;
    p->last_error = span.begin;
    va_list args;
    va_start(args, format);
    char message[512];
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    struct fuse_diagnostic *diagnostic = fuse_report(p->diagnostics, FUSE_SEVERITY_ERROR, span, "%s", message);
    diagnostic->hint = hint;
    return false;
}

static bool ends_operand(enum fuse_token_kind kind) {
    return kind == FUSE_TOKEN_NAME || kind == FUSE_TOKEN_NUMBER || kind == FUSE_TOKEN_STRING ||
           kind == FUSE_TOKEN_RPAREN || kind == FUSE_TOKEN_RBRACKET || kind == FUSE_TOKEN_RBRACE ||
           kind == FUSE_TOKEN_TRUE || kind == FUSE_TOKEN_FALSE;
}

/* The usual slips, by what stands where something else was expected. */
static const char *usual_hint(const struct fuse_parser *p, enum fuse_token_kind found) {
    bool adjacent = p->previous_end == p->token.begin, after_operand = ends_operand(p->previous);
    if (fuse_token_is_reserved(found) && !(found == FUSE_TOKEN_WHEN && after_operand))
        return "a reserved word names nothing else; choose another name";
    switch (found) {
    case FUSE_TOKEN_LBRACKET:
        if (innermost(p) != '[' || p->previous != FUSE_TOKEN_NAME)
            return NULL;
        return "an index is not computed; a look-up is a sum: for E[I[n],d] write E[w,d] Is(n,w), Is(n,w) = "
               "one_hot(I[n], ..)";
    case FUSE_TOKEN_COMMA:
        return p->brackets.n || p->previous != FUSE_TOKEN_RPAREN ? NULL : "'and' is a product: Sister(x,y) Parent(y,z)";
    case FUSE_TOKEN_WHEN: return "a guard stands before the operator: Y[i] when G(i) = X[i]";
    case FUSE_TOKEN_ASSIGN:
        if (p->previous == FUSE_TOKEN_COLON && adjacent)
            return "a tensor gets its value with '='";
        if (p->lexer.text[p->token.end] == '>' || p->lexer.text[p->token.end] == '<')
            return "the comparisons are < <= > >= == !=";
        return !after_operand || innermost(p) == '[' ? NULL : "'==' compares; '=' gives a tensor its value";
    case FUSE_TOKEN_SLASH: return p->previous == FUSE_TOKEN_SLASH && adjacent ? "comments start with '#'" : NULL;
    case FUSE_TOKEN_GREATER: return adjacent && p->previous == FUSE_TOKEN_LESS ? "'!=' is 'not equal'" : NULL;
    case FUSE_TOKEN_SEMICOLON: return p->brackets.n ? "';' ends a statement, and a bracket is still open" : NULL;
    case FUSE_TOKEN_ARROW: return "'->' stands between a condition and its value in case { }, and in the head of a fn";
    case FUSE_TOKEN_DOT: return "a dot belongs to an index on a left side: Y[i,q.]";
    default: return NULL;
    }
}

/* What is wanted, where nothing is known about the slip. */
static const char *form_hint(const char *what) {
    static const struct {
        const char *word, *hint;
    } forms[] = {
        {"an offset", "an index moves by a number of elements: X[i+1]"},
        {"at the end of the case", "a case is { c -> a; default -> b }"},
        {"the name of an index", "an index is a name such as i or p'"},
        {"the name of a file", "strings stand in double quotes: import \"file.fuse\""},
        {"the name of a param", "param rate = 0.1, or param rate: f32 = 0.1"},
        {"the type of the param", "param rate: f32 = 0.1"},
        {"the name of a const", "const n = 3"},
        {"the name of a fn", "fn norm(X[i]) -> Y { Y = sqrt(X[i] X[i]) }"},
        {"the name of an argument", "an argument is relu(x) or clip(x, min=0)"},
        {"the end of the statement",
         "a statement ends with its line or with ';'; operators and brackets may be missing"},
        {"an operand", "an operand is a number, a tensor such as X[i], a call or something in parentheses"},
        {"an index", "an index is i, i+1, 0, a:b or i=a:b"},
        {"a bound", "a bound of a slice is a number, a const or a param"},
        {"at the end of the block", "a block is { .. }, its '}' on a line of its own"},
        {"'{'", "a body stands in braces: { Y[i] = X[i] }"},
        {"'='", "a tensor, a const or a sink gets its value with '='"},
        {"',' or", "a comma separates two of them, a bracket of the same kind closes the list"},
        {"')'", "each '(' needs a ')'"},
        {"name", "a name is made of letters, digits and '_', and begins with no digit"},
    };
    for (size_t k = 0; k < sizeof forms / sizeof *forms; k++)
        if (strstr(what, forms[k].word))
            return forms[k].hint;
    return NULL;
}

bool fuse_expected(struct fuse_parser *p, const char *what, const char *hint) {
    enum fuse_token_kind found = fuse_peek(p);
    struct fuse_span span = fuse_token_span(p);
    bool next_line = !p->quiet && p->token.newline_before && found != FUSE_TOKEN_LINE_END &&
                     found != FUSE_TOKEN_FILE_END && (found == FUSE_TOKEN_RBRACE || fuse_line_is_fresh(p));
    uint32_t from = p->index_from, to = p->index_to;
    if (!p->quiet && !next_line && from < to && p->token.begin >= from && p->token.begin < to) {
        p->index_from = p->index_to = 0;
        fuse_restore_place(p, &p->index_start);
        struct fuse_index *index;
        int n;
        if (!fuse_parse_indices(p, FUSE_TOKEN_RPAREN, from - 1, &index, &n))
            return false;
    }
    if (found == FUSE_TOKEN_BAD) {
        span.begin = p->lexer.problem_begin;
        span.end = p->lexer.problem_end;
        return fuse_syntax_error(p, span, p->lexer.hint, "%s", p->lexer.message);
    }
    if (next_line) {
        /* What is missing is missed on the line before. */
        p->at_fresh = true;
        found = FUSE_TOKEN_LINE_END;
        if (fuse_token_continues(p->previous))
            hint = "a line that ends in an operator or a comma goes on in the next one";
    }
    if (!hint && !p->quiet)
        hint = usual_hint(p, found);
    if (!hint)
        hint = form_hint(what);
    if (found == FUSE_TOKEN_FILE_END && !p->quiet) {
        /* Everything that is still open misses its end; once is enough. */
        if (p->cut_short)
            return false;
        p->cut_short = true;
    }
    if (found == FUSE_TOKEN_LINE_END || found == FUSE_TOKEN_FILE_END)
        span.begin = span.end = p->previous_end;
    if (found == FUSE_TOKEN_NAME || found == FUSE_TOKEN_NUMBER) {
        int length = (int)(span.end - span.begin);
        return fuse_syntax_error(p, span, hint, "expected %s, found '%.*s%s'", what, length > 60 ? 57 : length,
                                 p->lexer.text + span.begin, length > 60 ? "..." : "");
    }
    if (found == FUSE_TOKEN_FILE_END && p->is_argument)
        return fuse_syntax_error(p, span, hint, "expected %s, found its end", what);
    return fuse_syntax_error(p, span, hint, "expected %s, found %s%s", what,
                             fuse_token_is_reserved(found) ? "the reserved word " : "", fuse_token_text(found));
}

bool fuse_require(struct fuse_parser *p, enum fuse_token_kind kind, const char *what) {
    return fuse_accept(p, kind) || fuse_expected(p, what, NULL);
}

bool fuse_close_bracket(struct fuse_parser *p, enum fuse_token_kind kind, uint32_t opened, const char *what) {
    if (fuse_accept(p, kind))
        return true;
    int before = p->diagnostics->list.n;
    fuse_expected(p, what, NULL);
    if (p->quiet || p->diagnostics->list.n == before)
        return false;
    struct fuse_diagnostic *diagnostic = &p->diagnostics->list.at[before];
    /* On one line both are seen anyway. */
    if (diagnostic->span.begin > opened && memchr(p->lexer.text + opened, '\n', diagnostic->span.begin - opened)) {
        diagnostic->other = (struct fuse_span){.file = p->file, .begin = opened, .end = opened + 1};
        diagnostic->other_message = fuse_arena_printf(p->arena, "the '%c' was opened here", p->lexer.text[opened]);
        diagnostic->hint = "close it, or take it away";
    }
    return false;
}

bool fuse_enter(struct fuse_parser *p) {
    if (p->depth == FUSE_MAX_NESTING) {
        p->too_deep = true;
        return fuse_syntax_error(p, fuse_token_span(p), "give the inner part an equation of its own",
                                 "more than %d levels of nesting", FUSE_MAX_NESTING);
    }
    p->depth++;
    return true;
}

/* ---- recovery ------------------------------------------------------------------------------------------------- */

/* Y[..] = ..., Y[..] when ..., Y max= ..., "file" = ...: the tokens up to the operator, which is not used up. */
static bool looks_like_statement(struct fuse_lexer *lexer, struct fuse_token *token) {
    enum fuse_token_kind first = token->kind;
    int depth = 0, tokens = 0;
    fuse_lexer_next(lexer, token);
    if (first == FUSE_TOKEN_NAME && (token->kind == FUSE_TOKEN_LPAREN || token->kind == FUSE_TOKEN_LBRACKET)) {
        do {
            depth += token->kind == FUSE_TOKEN_LPAREN || token->kind == FUSE_TOKEN_LBRACKET;
            depth -= token->kind == FUSE_TOKEN_RPAREN || token->kind == FUSE_TOKEN_RBRACKET;
            fuse_lexer_next(lexer, token);
        } while (depth > 0 && !token->newline_before && token->kind != FUSE_TOKEN_FILE_END && ++tokens < 1000);
    }
    if (token->newline_before)
        return false;
    if (token->kind == FUSE_TOKEN_ASSIGN)
        return true;
    if (first != FUSE_TOKEN_NAME)
        return false;
    return token->kind == FUSE_TOKEN_PLUS_ASSIGN || token->kind == FUSE_TOKEN_WHEN ||
           (token->kind == FUSE_TOKEN_NAME && lexer->text[token->end] == '=' && lexer->text[token->end + 1] != '=');
}

bool fuse_line_is_fresh(const struct fuse_parser *p) {
    struct fuse_lexer lexer = p->lexer;
    struct fuse_token token = p->token;
    enum fuse_token_kind first = token.kind, last;
    bool newline;
    int depth = 0, tokens = 0;
    if (!token.newline_before || token.column > p->indent)
        return false;
    if (first >= FUSE_TOKEN_EXPORT && first <= FUSE_TOKEN_LET && first != FUSE_TOKEN_AS) {
        enum fuse_token_kind second = fuse_peek_second(p, &newline);
        return !newline && (second == FUSE_TOKEN_NAME || second == FUSE_TOKEN_STRING);
    }
    if ((first != FUSE_TOKEN_NAME && first != FUSE_TOKEN_STRING) || !looks_like_statement(&lexer, &token))
        return false;
    /* Not the argument of a call that an earlier line began: `axis=i,` or `axis=i)`. */
    do {
        depth += token.kind == FUSE_TOKEN_LPAREN || token.kind == FUSE_TOKEN_LBRACKET;
        if ((token.kind == FUSE_TOKEN_RPAREN || token.kind == FUSE_TOKEN_RBRACKET) && depth-- == 0)
            return false;
        last = token.kind;
        fuse_lexer_next(&lexer, &token);
        /* Enough is seen of a line of megabytes, which many levels may ask about. */
    } while (!token.newline_before && token.kind != FUSE_TOKEN_FILE_END && ++tokens < 1000);
    return last != FUSE_TOKEN_COMMA || depth > 0;
}

/* Passes over the rest of a line. Returns false at a '}' that closes the construct of `level`. Counts the '{' of blocks
 * that it passes and that stay open. */
static bool skip_line(struct fuse_parser *p, int level, int *blocks) {
    do {
        bool opens_block = p->token.kind == FUSE_TOKEN_LBRACE && p->previous != FUSE_TOKEN_CASE;
        if (p->token.kind == FUSE_TOKEN_RBRACE) {
            while (p->brackets.n > level && (innermost(p) == '(' || innermost(p) == '['))
                p->brackets.n--;
            if (p->brackets.n == level && level > 0)
                return false;
            *blocks -= p->brackets.n > level && innermost(p) == '{';
        }
        fuse_advance(p);
        *blocks += opens_block;
    } while (!p->token.newline_before && p->token.kind != FUSE_TOKEN_FILE_END);
    return true;
}

/* A line with '->' outside brackets, when it is a case that is recovered and only parentheses are open in it. */
static bool line_is_entry(const struct fuse_parser *p, int level) {
    struct fuse_lexer lexer = p->lexer;
    struct fuse_token token = p->token;
    int depth = 0, tokens = 0;
    if (level == 0 || p->brackets.at[level - 1] != 'c' ||
        memchr(p->brackets.at + level, 'c', (size_t)(p->brackets.n - level)))
        return false;
    do {
        if (token.kind == FUSE_TOKEN_ARROW)
            return depth == 0;
        depth += token.kind == FUSE_TOKEN_LPAREN || token.kind == FUSE_TOKEN_LBRACKET;
        depth -= token.kind == FUSE_TOKEN_RPAREN || token.kind == FUSE_TOKEN_RBRACKET;
        fuse_lexer_next(&lexer, &token);
    } while (depth >= 0 && !token.newline_before && token.kind != FUSE_TOKEN_FILE_END && ++tokens < 1000);
    return false;
}

void fuse_recover(struct fuse_parser *p, int level) {
    /* An error at the end of a line has left the next one alone. */
    enum fuse_token_kind kind = fuse_peek(p);
    bool done = kind == FUSE_TOKEN_LINE_END || kind == FUSE_TOKEN_FILE_END || p->at_fresh;
    p->at_fresh = false;
    int blocks = 0;
    while (!done && skip_line(p, level, &blocks))
        done = blocks > 0 || p->brackets.n <= level || p->token.kind == FUSE_TOKEN_FILE_END || fuse_line_is_fresh(p) ||
               line_is_entry(p, level);
    /* What stands in a block is statements wherever it stands: they are read, and the '}' passes. */
    p->forgiven += blocks;
    p->brackets.n = level;
    p->previous = FUSE_TOKEN_SEMICOLON;
}

/* ---- names ---------------------------------------------------------------------------------------------------- */

const char *fuse_parse_name(struct fuse_parser *p, bool qualified, bool primes, const char *what,
                            struct fuse_span *span) {
    if (fuse_peek(p) != FUSE_TOKEN_NAME) {
        fuse_expected(p, what, NULL);
        return NULL;
    }
    *span = fuse_token_span(p);
    if (p->token.qualified && !qualified) {
        fuse_syntax_error(p, *span, "only tensors and functions have qualified names: ns::f",
                          "%s is written without '::'", what);
        return NULL;
    }
    if (p->token.primed && (!primes || p->token.qualified)) {
        fuse_syntax_error(p, *span, "give the tensor or function a name of its own, such as X2",
                          "only the name of an index has primes");
        return NULL;
    }
    const char *name = fuse_lexer_name(&p->lexer, &p->token);
    fuse_advance(p);
    return name;
}
