#include "lang/parser_internal.h"

#include <string.h>

static bool parse_statements(struct fuse_parser *p, bool in_block, uint32_t opened);

/* '{' { [statement] end } '}' */
static bool parse_block(struct fuse_parser *p, struct fuse_item *item, const char *hint) {
    uint32_t opened = p->token.begin;
    int base = p->items.n, forgiven = p->forgiven;
    if (fuse_peek(p) != FUSE_TOKEN_LBRACE)
        return fuse_expected(p, "'{'", hint);
    if (!fuse_enter(p))
        return false;
    fuse_advance(p);
    p->forgiven = 0;
    bool closed = parse_statements(p, true, opened);
    p->forgiven = forgiven;
    if (!closed)
        return false;
    p->depth--;
    item->bodies = p->items.n - base;
    item->body = fuse_take_stack(p, items, base);
    return true;
}

/* lhs := QNAME ['[' [index {',' index}] ']' | '(' [index {',' index}] ')'] */
static bool parse_lhs(struct fuse_parser *p, struct fuse_lhs *lhs) {
    uint32_t begin = p->token.begin;
    *lhs = (struct fuse_lhs){0};
    lhs->name = fuse_parse_name(p, true, false, "the name of a tensor", &lhs->name_span);
    if (!lhs->name)
        return false;
    uint32_t opened = p->token.begin;
    enum fuse_token_kind kind = fuse_peek(p);
    if (kind == FUSE_TOKEN_LBRACKET || kind == FUSE_TOKEN_LPAREN) {
        lhs->boolean = kind == FUSE_TOKEN_LPAREN;
        lhs->has_brackets = true;
        fuse_advance(p);
        if (!fuse_parse_indices(p, lhs->boolean ? FUSE_TOKEN_RPAREN : FUSE_TOKEN_RBRACKET, opened, &lhs->index,
                                &lhs->n))
            return false;
    }
    lhs->span = fuse_span_from(p, begin);
    return true;
}

/* op := '=' | '+=' | 'max=' | 'min=' | 'prod=' | 'avg=' */
static bool parse_assign(struct fuse_parser *p, struct fuse_item *item, const char *what) {
    static const struct {
        const char *word;
        enum fuse_assign assign;
    } words[] = {
        {"max", FUSE_ASSIGN_MAX}, {"min", FUSE_ASSIGN_MIN}, {"prod", FUSE_ASSIGN_PROD}, {"avg", FUSE_ASSIGN_AVG}};
    static const char operators[] = "the operators are = += max= min= prod= avg=";
    uint32_t begin = p->token.begin;
    enum fuse_token_kind kind = fuse_peek(p), second;
    bool newline;
    switch (kind) {
    case FUSE_TOKEN_ASSIGN: item->assign = FUSE_ASSIGN_SUM; break;
    case FUSE_TOKEN_PLUS_ASSIGN: item->assign = FUSE_ASSIGN_ADD; break;
    case FUSE_TOKEN_EQUAL: return fuse_expected(p, what, "'=' gives a tensor its value; '==' compares");
    case FUSE_TOKEN_NAME: {
        size_t k = 0, count = sizeof words / sizeof *words;
        while (k < count && !fuse_token_is(p, words[k].word))
            k++;
        if (!fuse_at_word_assign(p)) {
            second = fuse_peek_second(p, &newline);
            return fuse_expected(p, what,
                                 k < count && second == FUSE_TOKEN_ASSIGN
                                     ? "the operator is one word: write 'max=' and not 'max ='"
                                     : NULL);
        }
        if (k == count) {
            struct fuse_span span = fuse_token_span(p);
            span.end++;
            return fuse_syntax_error(p, span, operators, "there is no operator '%.*s'", (int)(span.end - span.begin),
                                     p->lexer.text + begin);
        }
        item->assign = words[k].assign;
        fuse_advance(p);
        break;
    }
    case FUSE_TOKEN_COLON:
        if (p->lexer.text[p->token.end] == '-')
            return fuse_expected(p, what, "a rule is an equation: Aunt(x,z) = Sister(x,y) Parent(y,z)");
        return fuse_expected(p, what, operators);
    case FUSE_TOKEN_MINUS:
    case FUSE_TOKEN_STAR:
    case FUSE_TOKEN_SLASH:
    case FUSE_TOKEN_POWER:
    case FUSE_TOKEN_LESS:
    case FUSE_TOKEN_GREATER:
    case FUSE_TOKEN_ARROW: return fuse_expected(p, what, operators);
    case FUSE_TOKEN_WHEN:
        return fuse_expected(p, what, item->guard ? "a statement has one guard; join conditions with '&&'" : NULL);
    default:
        if (!item->guard && p->previous == FUSE_TOKEN_RPAREN)
            return fuse_expected(p, what, "a statement is an equation, Y[i] = f(X[i]); a fact too: Parent(0,1) = true");
        return fuse_expected(p, what, item->guard ? "a guarded equation is Y[i] when G(i) = X[i]" : NULL);
    }
    fuse_advance(p);
    item->assign_span = fuse_span_from(p, begin);
    return true;
}

/* Whether the next token is a string that ends the statement: the file of a source, the symbols of an axis. */
static bool at_file_name(const struct fuse_parser *p) {
    if (fuse_peek(p) != FUSE_TOKEN_STRING)
        return false;
    bool newline;
    enum fuse_token_kind second = fuse_peek_second(p, &newline);
    return newline || second == FUSE_TOKEN_SEMICOLON || second == FUSE_TOKEN_RBRACE || second == FUSE_TOKEN_FILE_END;
}

static void take_text(struct fuse_parser *p, struct fuse_item *item) {
    item->text = fuse_lexer_string(&p->lexer, &p->token);
    item->text_span = fuse_token_span(p);
    fuse_advance(p);
}

/* lhs ['when' expr] op expr | lhs ['when' expr] op STRING */
static bool parse_equation(struct fuse_parser *p, struct fuse_item *item) {
    if (!parse_lhs(p, &item->lhs))
        return false;
    const char *what = "'=' or another operator";
    if (fuse_accept(p, FUSE_TOKEN_WHEN)) {
        what = "'=' or another operator after the guard";
        p->guard_level = p->brackets.n;
        item->guard = fuse_parse_expr(p);
        p->guard_level = -1;
        if (!item->guard)
            return false;
    }
    if (!parse_assign(p, item, what))
        return false;
    if (item->kind == FUSE_ITEM_EQUATION && at_file_name(p)) {
        item->kind = FUSE_ITEM_SOURCE;
        take_text(p, item);
        return true;
    }
    item->value = fuse_parse_expr(p);
    return item->value != NULL;
}

/* STRING '=' expr */
static bool parse_sink(struct fuse_parser *p, struct fuse_item *item) {
    take_text(p, item);
    if (fuse_peek(p) != FUSE_TOKEN_ASSIGN)
        return fuse_expected(p, "'='", "a sink is written \"file\" = Y[i]");
    item->assign_span = fuse_token_span(p);
    fuse_advance(p);
    item->value = fuse_parse_expr(p);
    return item->value != NULL;
}

/* 'import' STRING ['as' NAME] */
static bool parse_import(struct fuse_parser *p, struct fuse_item *item) {
    fuse_advance(p);
    if (fuse_peek(p) != FUSE_TOKEN_STRING)
        return fuse_expected(p, "the name of a file in quotes", NULL);
    take_text(p, item);
    if (!fuse_accept(p, FUSE_TOKEN_AS))
        return true;
    item->name = fuse_parse_name(p, false, false, "a name for the imported file", &item->name_span);
    return item->name != NULL;
}

/* 'export' QNAME {',' QNAME} */
static bool parse_export(struct fuse_parser *p, struct fuse_item *item) {
    FUSE_VEC(const char *) names = {0};
    FUSE_VEC(struct fuse_span) spans = {0};
    fuse_advance(p);
    do {
        struct fuse_span span;
        const char *name = fuse_parse_name(p, true, false, "the name of a tensor", &span);
        if (!name)
            return false;
        fuse_vec_push(p->arena, &names, name);
        fuse_vec_push(p->arena, &spans, span);
    } while (fuse_accept(p, FUSE_TOKEN_COMMA));
    item->exported = names.at;
    item->exported_span = spans.at;
    item->exports = names.n;
    return true;
}

/* 'axis' INDEX ['=' expr | '=' STRING] */
static bool parse_axis(struct fuse_parser *p, struct fuse_item *item) {
    fuse_advance(p);
    item->name = fuse_parse_name(p, false, true, "the name of an index", &item->name_span);
    if (!item->name)
        return false;
    if (!fuse_accept(p, FUSE_TOKEN_ASSIGN))
        return true;
    if (at_file_name(p)) {
        take_text(p, item);
        return true;
    }
    item->value = fuse_parse_expr(p);
    return item->value != NULL;
}

/* 'param' NAME [':' NAME] ['=' expr] */
static bool parse_param(struct fuse_parser *p, struct fuse_item *item) {
    struct fuse_span span;
    fuse_advance(p);
    item->name = fuse_parse_name(p, false, false, "the name of a param", &item->name_span);
    if (!item->name)
        return false;
    if (fuse_accept(p, FUSE_TOKEN_COLON)) {
        item->type = fuse_parse_name(p, false, false, "the type of the param", &span);
        if (!item->type)
            return false;
    }
    if (!fuse_accept(p, FUSE_TOKEN_ASSIGN))
        return true;
    item->value = fuse_parse_expr(p);
    return item->value != NULL;
}

/* 'const' NAME '=' expr */
static bool parse_const(struct fuse_parser *p, struct fuse_item *item) {
    fuse_advance(p);
    item->name = fuse_parse_name(p, false, false, "the name of a const", &item->name_span);
    if (!item->name || !fuse_require(p, FUSE_TOKEN_ASSIGN, "'='"))
        return false;
    item->value = fuse_parse_expr(p);
    return item->value != NULL;
}

/* 'fn' QNAME '(' lhs {',' lhs} ')' '->' lhs block */
static bool parse_fn(struct fuse_parser *p, struct fuse_item *item) {
    static const char form[] = "fn f(X[i], G(i)) -> Y[i] { Y[i] = X[i] }";
    int base = p->formals.n;
    fuse_advance(p);
    item->name = fuse_parse_name(p, true, false, "the name of a fn", &item->name_span);
    if (!item->name)
        return false;
    uint32_t opened = p->token.begin;
    if (fuse_peek(p) != FUSE_TOKEN_LPAREN)
        return fuse_expected(p, "'('", form);
    fuse_advance(p);
    do {
        struct fuse_lhs formal;
        if (!parse_lhs(p, &formal))
            return false;
        fuse_vec_push(p->arena, &p->formals, formal);
    } while (fuse_accept(p, FUSE_TOKEN_COMMA));
    if (!fuse_close_bracket(p, FUSE_TOKEN_RPAREN, opened, "',' or ')'"))
        return false;
    item->formals = p->formals.n - base;
    item->formal = fuse_take_stack(p, formals, base);
    if (fuse_peek(p) != FUSE_TOKEN_ARROW)
        return fuse_expected(p, "'->' and the result", form);
    fuse_advance(p);
    return parse_lhs(p, &item->lhs) && parse_block(p, item, "the '{' of a fn stands on the line of its result");
}

/* item      := import | export | axis | param | const | fn | statement
 * statement := equation | source | sink | 'let' equation | block */
static bool parse_item(struct fuse_parser *p, struct fuse_item *item, bool in_block) {
    static const struct {
        enum fuse_token_kind token;
        enum fuse_item_kind kind;
        bool (*parse)(struct fuse_parser *, struct fuse_item *);
    } declarations[] = {
        {FUSE_TOKEN_IMPORT, FUSE_ITEM_IMPORT, parse_import}, {FUSE_TOKEN_EXPORT, FUSE_ITEM_EXPORT, parse_export},
        {FUSE_TOKEN_AXIS, FUSE_ITEM_AXIS, parse_axis},       {FUSE_TOKEN_PARAM, FUSE_ITEM_PARAM, parse_param},
        {FUSE_TOKEN_CONST, FUSE_ITEM_CONST, parse_const},    {FUSE_TOKEN_FN, FUSE_ITEM_FN, parse_fn},
    };
    enum fuse_token_kind kind = fuse_peek(p);
    switch (kind) {
    case FUSE_TOKEN_NAME: item->kind = FUSE_ITEM_EQUATION; return parse_equation(p, item);
    case FUSE_TOKEN_STRING: item->kind = FUSE_ITEM_SINK; return parse_sink(p, item);
    case FUSE_TOKEN_LET:
        fuse_advance(p);
        item->kind = FUSE_ITEM_LET;
        return parse_equation(p, item);
    case FUSE_TOKEN_LBRACE: item->kind = FUSE_ITEM_BLOCK; return parse_block(p, item, NULL);
    default: break;
    }
    for (size_t k = 0; k < sizeof declarations / sizeof *declarations; k++) {
        if (declarations[k].token != kind)
            continue;
        if (in_block)
            return fuse_syntax_error(p, fuse_token_span(p), "move it out of the block", "%s belongs at file level",
                                     fuse_token_text(kind));
        item->kind = declarations[k].kind;
        return declarations[k].parse(p, item);
    }
    if (kind == FUSE_TOKEN_RBRACE)
        return fuse_syntax_error(p, fuse_token_span(p), "delete it, or look for a '{' that is missing above",
                                 "this '}' closes nothing");
    const char *hint = "a statement starts with the name of a tensor, a file in quotes, 'let' or '{'";
    if (fuse_token_is_reserved(kind))
        hint = "a reserved word names no tensor; choose another name";
    else if (kind >= FUSE_TOKEN_COLON)
        hint = "a line that starts with an operator does not go on with the one before; end that one in the operator";
    return fuse_expected(p, "a statement", hint);
}

/* { [item] end } up to the end of the file, or { [statement] end } '}' of a block that was opened at `opened`. The items
 * stay on the stack; errors are dealt with here. Returns false when the '}' is missing. */
static bool parse_statements(struct fuse_parser *p, bool in_block, uint32_t opened) {
    int level = p->brackets.n;
    struct fuse_levels levels = fuse_save_levels(p);
    for (;;) {
        if (p->token.kind == FUSE_TOKEN_FILE_END)
            return !in_block || fuse_close_bracket(p, FUSE_TOKEN_RBRACE, opened, "'}' at the end of the block");
        /* The newline before it has ended the last statement and is no part of the next. */
        p->token.newline_before = false;
        if (p->token.kind == FUSE_TOKEN_SEMICOLON) {
            fuse_advance(p);
            continue;
        }
        if (p->token.kind == FUSE_TOKEN_RBRACE && (in_block || p->forgiven)) {
            fuse_advance(p);
            if (p->forgiven == 0)
                return true;
            p->forgiven--;
            p->brackets.n = level;
            continue;
        }
        struct fuse_item *item = FUSE_NEW(p->arena, struct fuse_item);
        uint32_t begin = p->token.begin, indent = p->token.column;
        p->indent = indent;
        bool ok = parse_item(p, item, in_block);
        if (ok) {
            item->span = fuse_span_from(p, begin);
            if (fuse_at_statement_end(p)) {
                fuse_vec_push(p->arena, &p->items, item);
                levels.items = p->items.n;
                continue;
            }
            fuse_expected(p, "the end of the statement", NULL);
        }
        fuse_restore_levels(p, &levels);
        p->index_from = p->index_to = 0;
        p->indent = indent;
        fuse_recover(p, level);
    }
}

static void append_items(struct fuse_ast *ast, struct fuse_arena *arena, struct fuse_item *const *more, int n) {
    struct fuse_item **item = FUSE_NEW_ARRAY(arena, struct fuse_item *, ast->items + n);
    if (ast->items)
        memcpy(item, ast->item, (size_t)ast->items * sizeof *item);
    if (n)
        memcpy(item + ast->items, more, (size_t)n * sizeof *item);
    ast->item = item;
    ast->items += n;
}

static struct fuse_parser open_parser(struct fuse_ast *ast, struct fuse_arena *arena, int file,
                                      struct fuse_diagnostics *diagnostics) {
    return (struct fuse_parser){.arena = arena,
                                .diagnostics = diagnostics,
                                .ast = ast,
                                .file = file,
                                .guard_level = -1,
                                .previous = FUSE_TOKEN_SEMICOLON};
}

bool fuse_parse(struct fuse_ast *ast, struct fuse_arena *arena, const struct fuse_files *files, int file,
                struct fuse_diagnostics *diagnostics) {
    const struct fuse_program_file *text = &files->list.at[file];
    struct fuse_parser p = open_parser(ast, arena, file, diagnostics);
    if (text->bytes > FUSE_MAX_BYTES)
        return fuse_syntax_error(&p, (struct fuse_span){.file = file}, NULL, "a program of more than 1 GiB");
    struct fuse_span span = {.file = file};
    if (fuse_find_no_text(&span.begin, &span.end, text->text, (uint32_t)text->bytes)) {
        /* A fault of the file as a whole: the lines that follow would say the same. */
        const char *hint = "a program is UTF-8 text";
        if (text->text[span.begin])
            return fuse_syntax_error(&p, span, hint, "this is not UTF-8 text");
        return fuse_syntax_error(&p, span, hint, "a NUL byte in the program");
    }
    fuse_lexer_open(&p.lexer, arena, text->text, text->bytes);
    fuse_lexer_next(&p.lexer, &p.token);
    parse_statements(&p, false, 0);
    fuse_lexer_close(&p.lexer);
    append_items(ast, arena, p.items.at, p.items.n);
    return !p.failed;
}

/* ---- queries ---------------------------------------------------------------------------------------------------- */

/* The axes of equal slices stay different ones: X[:,:] is all of X. */
static void part_slices(struct fuse_arena *arena, struct fuse_index *index, int n) {
    for (int k = 0; k < n; k++) {
        if (index[k].kind != FUSE_INDEX_SLICE || index[k].named_slice)
            continue;
        for (int j = 0; j < k; j++)
            if (index[j].kind == FUSE_INDEX_SLICE && strcmp(index[j].name, index[k].name) == 0) {
                index[k].name = fuse_arena_printf(arena, "%s (axis %d)", index[k].name, k);
                break;
            }
    }
}

/* A tensor with positions; NULL when it is something else, which is reported. */
static struct fuse_expr *parse_reference(struct fuse_parser *p, const char *form) {
    if (fuse_peek(p) != FUSE_TOKEN_NAME) {
        fuse_expected(p, "the name of a tensor", form);
        return NULL;
    }
    struct fuse_expr *expr = fuse_parse_primary(p);
    if (expr && expr->kind != FUSE_EXPR_REF && !(expr->kind == FUSE_EXPR_APPLY && expr->apply.is_ref)) {
        fuse_syntax_error(p, expr->span, form, "this is not a tensor with positions");
        return NULL;
    }
    p->token.newline_before = false;
    return expr;
}

static bool parse_query(struct fuse_parser *p, struct fuse_item *item) {
    static const char form[] = "a query is a tensor with positions, X[3,:], or its name";
    struct fuse_expr *expr = parse_reference(p, form);
    if (!expr)
        return false;
    if (p->token.kind != FUSE_TOKEN_FILE_END)
        return fuse_expected(p, "the end of the query", form);
    *item = (struct fuse_item){.kind = FUSE_ITEM_SINK, .span = expr->span, .query = true, .value = expr};
    item->text = fuse_arena_strndup(p->arena, p->lexer.text + expr->span.begin, expr->span.end - expr->span.begin);
    item->text_span = expr->span;
    if (expr->kind == FUSE_EXPR_APPLY)
        part_slices(p->arena, expr->apply.index, expr->apply.indices);
    else if (expr->ref.has_brackets)
        part_slices(p->arena, expr->ref.index, expr->ref.n);
    else {
        item->kind = FUSE_ITEM_EXPORT;
        item->exported = &expr->ref.name;
        item->exported_span = &expr->ref.name_span;
        item->exports = 1;
    }
    return true;
}

static void open_text(struct fuse_parser *p, struct fuse_arena *arena, const struct fuse_program_file *text) {
    fuse_lexer_open(&p->lexer, arena, text->text, text->bytes);
    fuse_lexer_next(&p->lexer, &p->token);
    p->token.newline_before = false;
    p->is_argument = true;
}

bool fuse_parse_query(struct fuse_ast *ast, struct fuse_arena *arena, const struct fuse_files *files, int file,
                      struct fuse_diagnostics *diagnostics) {
    struct fuse_parser p = open_parser(ast, arena, file, diagnostics);
    struct fuse_item *item = FUSE_NEW(arena, struct fuse_item);
    open_text(&p, arena, &files->list.at[file]);
    bool good = parse_query(&p, item);
    fuse_lexer_close(&p.lexer);
    if (good)
        append_items(ast, arena, &item, 1);
    return good && !p.failed;
}

const struct fuse_expr *fuse_parse_fact(struct fuse_ast *ast, struct fuse_arena *arena, const struct fuse_files *files,
                                        int file, struct fuse_diagnostics *diagnostics) {
    static const char form[] = "a fact is a relation with ids or symbols: Path(3, \"ann\")";
    struct fuse_parser p = open_parser(ast, arena, file, diagnostics);
    open_text(&p, arena, &files->list.at[file]);
    const struct fuse_expr *expr = parse_reference(&p, form);
    if (expr && p.token.kind != FUSE_TOKEN_FILE_END)
        fuse_expected(&p, "the end of the fact", form);
    fuse_lexer_close(&p.lexer);
    return p.failed ? NULL : expr;
}
