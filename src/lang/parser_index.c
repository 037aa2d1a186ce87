#include "lang/parser_internal.h"

#include <string.h>

static const char index_forms[] = "an index is a name, i+1, a number, a string, a slice a:b or a step *t";

bool fuse_parse_index_name(struct fuse_parser *p, struct fuse_index *index) {
    *index = (struct fuse_index){.kind = FUSE_INDEX_NAME};
    index->name = fuse_parse_name(p, false, true, "the name of an index", &index->span);
    return index->name != NULL;
}

/* INT */
static bool parse_integer(struct fuse_parser *p, const char *what, int64_t *value) {
    if (fuse_peek(p) != FUSE_TOKEN_NUMBER)
        return fuse_expected(p, what, NULL);
    if (!p->token.is_integer)
        return fuse_syntax_error(p, fuse_token_span(p), "an index moves by whole elements: X[i+1]", "%s is an integer",
                                 what);
    *value = p->token.integer;
    fuse_advance(p);
    return true;
}

/* bound := ['-'] INT | ['-'] NAME */
static bool parse_bound(struct fuse_parser *p, struct fuse_bound *bound) {
    uint32_t begin = p->token.begin;
    *bound = (struct fuse_bound){.kind = FUSE_BOUND_NONE};
    bound->negative = fuse_accept(p, FUSE_TOKEN_MINUS);
    enum fuse_token_kind kind = fuse_peek(p);
    if (kind == FUSE_TOKEN_NAME) {
        struct fuse_span span;
        bound->kind = FUSE_BOUND_NAME;
        bound->name = fuse_parse_name(p, true, false, "a bound", &span);
        if (!bound->name)
            return false;
    } else if (kind == FUSE_TOKEN_NUMBER || bound->negative) {
        bound->kind = FUSE_BOUND_INTEGER;
        if (!parse_integer(p, "a position", &bound->integer))
            return false;
    }
    bound->span = fuse_span_from(p, begin);
    if (bound->kind == FUSE_BOUND_NONE)
        bound->span.begin = bound->span.end;
    return true;
}

/* The text of a slice without blanks and comments: the name of its axis. */
static const char *slice_name(const struct fuse_parser *p, uint32_t begin) {
    char *name = fuse_arena_strndup(p->arena, p->lexer.text + begin, p->previous_end - begin), *to = name;
    for (const char *c = name; *c; c++) {
        if (*c == '#')
            c += strcspn(c, "\n");
        if (!strchr(" \t\r\n", *c))
            *to++ = *c;
    }
    *to = '\0';
    return name;
}

/* slice := [INDEX '='] [bound] ':' [bound] [':' [bound]]     # from the first ':' on */
static bool parse_slice(struct fuse_parser *p, struct fuse_index *index, uint32_t begin) {
    index->kind = FUSE_INDEX_SLICE;
    index->stop.span = index->step.span = fuse_span_from(p, p->previous_end);
    if (fuse_accept(p, FUSE_TOKEN_COLONS)) {
        if (!parse_bound(p, &index->step))
            return false;
    } else {
        if (!fuse_require(p, FUSE_TOKEN_COLON, "':'") || !parse_bound(p, &index->stop))
            return false;
        if (fuse_accept(p, FUSE_TOKEN_COLON) && !parse_bound(p, &index->step))
            return false;
    }
    if (!index->named_slice)
        index->name = slice_name(p, begin);
    return true;
}

/* [('+'|'-') INT] ['.']     # the dot not for a step */
static bool parse_offset(struct fuse_parser *p, struct fuse_index *index) {
    enum fuse_token_kind sign = fuse_peek(p);
    bool dot_read = false;
    if (sign == FUSE_TOKEN_PLUS || sign == FUSE_TOKEN_MINUS) {
        fuse_advance(p);
        /* In q+1. the lexer takes the dot for a decimal point. */
        uint32_t bytes = p->token.end - p->token.begin;
        const char *text = p->lexer.text + p->token.begin;
        if (fuse_peek(p) == FUSE_TOKEN_NUMBER && index->kind == FUSE_INDEX_NAME && bytes >= 2 && bytes <= 16 &&
            strspn(text, "0123456789") == bytes - 1 && text[bytes - 1] == '.') {
            index->offset = (int64_t)p->token.real;
            index->dotted = dot_read = true;
            fuse_advance(p);
        } else if (!parse_integer(p, "an offset", &index->offset)) {
            return false;
        }
        if (sign == FUSE_TOKEN_MINUS)
            index->offset = -index->offset;
    }
    if (index->kind == FUSE_INDEX_NAME && !dot_read)
        index->dotted = fuse_accept(p, FUSE_TOKEN_DOT);
    return true;
}

/* An index that starts with a name. A qualified one can only be a const or a param. */
static bool parse_named_index(struct fuse_parser *p, struct fuse_index *index, uint32_t begin) {
    struct fuse_token token = p->token;
    struct fuse_span span;
    index->name = fuse_parse_name(p, true, true, "an index", &span);
    if (!index->name)
        return false;
    enum fuse_token_kind next = fuse_peek(p);
    if (next == FUSE_TOKEN_COLON || next == FUSE_TOKEN_COLONS) {
        if (token.primed)
            return fuse_syntax_error(p, span, NULL, "a bound of a slice is a number, a const or a param");
        index->start = (struct fuse_bound){.kind = FUSE_BOUND_NAME, .name = index->name, .span = span};
        return parse_slice(p, index, begin);
    }
    if (next == FUSE_TOKEN_ASSIGN && !token.qualified) {
        fuse_advance(p);
        index->named_slice = true;
        if (!parse_bound(p, &index->start))
            return false;
        next = fuse_peek(p);
        if (next != FUSE_TOKEN_COLON && next != FUSE_TOKEN_COLONS)
            return fuse_expected(p, "':'", "an index with '=' names a slice: i=a:b");
        return parse_slice(p, index, begin);
    }
    index->kind = FUSE_INDEX_NAME;
    return token.qualified || parse_offset(p, index);
}

/* index := INDEX [('+'|'-') INT] ['.'] | '*' INDEX [('+'|'-') INT] | ['-'] INT | STRING
 *        | [INDEX '='] [bound] ':' [bound] [':' [bound]] */
static bool parse_index(struct fuse_parser *p, struct fuse_index *index) {
    uint32_t begin = p->token.begin;
    *index = (struct fuse_index){.kind = FUSE_INDEX_NAME};
    switch (fuse_peek(p)) {
    case FUSE_TOKEN_NAME:
        if (!parse_named_index(p, index, begin))
            return false;
        break;
    case FUSE_TOKEN_STAR:
        fuse_advance(p);
        if (!fuse_parse_index_name(p, index))
            return false;
        index->kind = FUSE_INDEX_STEP;
        if (!parse_offset(p, index))
            return false;
        break;
    case FUSE_TOKEN_STRING:
        index->kind = FUSE_INDEX_SYMBOL;
        index->symbol = fuse_lexer_string(&p->lexer, &p->token);
        fuse_advance(p);
        break;
    case FUSE_TOKEN_NUMBER:
    case FUSE_TOKEN_MINUS:
    case FUSE_TOKEN_COLON:
    case FUSE_TOKEN_COLONS:
        if (!parse_bound(p, &index->start))
            return false;
        if (fuse_peek(p) == FUSE_TOKEN_COLON || fuse_peek(p) == FUSE_TOKEN_COLONS) {
            if (!parse_slice(p, index, begin))
                return false;
        } else if (index->start.kind == FUSE_BOUND_NAME) {
            return fuse_syntax_error(p, index->start.span, "a negative position is a number, such as -1",
                                     "an index has no sign");
        } else {
            index->kind = FUSE_INDEX_FIXED;
            index->position = index->start.negative ? -index->start.integer : index->start.integer;
            index->start = (struct fuse_bound){.kind = FUSE_BOUND_NONE};
        }
        break;
    case FUSE_TOKEN_RPAREN:
    case FUSE_TOKEN_RBRACKET:
        return fuse_expected(p, "an index",
                             p->previous == FUSE_TOKEN_COMMA ? "there is no comma after the last index" : NULL);
    default: return fuse_expected(p, "an index", fuse_token_is_reserved(p->token.kind) ? NULL : index_forms);
    }
    index->span = fuse_span_from(p, begin);
    return true;
}

/* [index {',' index}] and the closing bracket */
bool fuse_parse_indices(struct fuse_parser *p, enum fuse_token_kind close, uint32_t opened, struct fuse_index **index,
                        int *n) {
    int base = p->indices.n;
    if (!fuse_accept(p, close)) {
        for (;;) {
            struct fuse_index next;
            if (!parse_index(p, &next))
                return false;
            fuse_vec_push(p->arena, &p->indices, next);
            if (fuse_accept(p, FUSE_TOKEN_COMMA))
                continue;
            if (!fuse_close_bracket(p, close, opened, close == FUSE_TOKEN_RPAREN ? "',' or ')'" : "',' or ']'"))
                return false;
            break;
        }
    }
    *n = p->indices.n - base;
    *index = fuse_take_stack(p, indices, base);
    return true;
}
