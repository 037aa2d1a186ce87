/* What the files of the parser share: the state, tokens, errors, and the parse functions that call each other.
 *
 * parser.c items and statements; parser_expr.c operators; parser_primary.c operands; parser_index.c indices;
 * parser_state.c tokens, errors and recovery. A parse function that fails has reported why and returns false or NULL;
 * its callers pass that on up to a list of statements or case entries, which goes on at the next line. Local. */
#ifndef FUSE_LANG_PARSER_INTERNAL_H
#define FUSE_LANG_PARSER_INTERNAL_H

#include "lang/lexer.h"
#include "lang/parser.h"

#define FUSE_MAX_NESTING 200
/* Of a syntax tree, so that its readers may recurse: a chain a + b + c + ... nests to the left, one level an operator. */
#define FUSE_MAX_HEIGHT 1000
#define FUSE_MAX_BYTES ((size_t)1 << 30)

/* What has to be as it was before, once an error has cut parse functions short. */
struct fuse_levels {
    int depth, in_arguments, guard_level;
    int indices, exprs, arguments, entries, items, formals; /* heights of the stacks */
};

/* A place to return to, for looking ahead and second readings. */
struct fuse_place {
    struct fuse_lexer lexer;
    struct fuse_token token;
    enum fuse_token_kind previous;
    uint32_t previous_end;
    int brackets, next_id;
    struct fuse_levels levels;
};

struct fuse_parser {
    struct fuse_arena *arena;
    struct fuse_diagnostics *diagnostics;
    struct fuse_ast *ast;
    int file;
    bool is_argument; /* the text is one of the command line, no file */
    bool failed;      /* something was reported, last at last_error */
    uint32_t last_error;
    bool cut_short; /* the file ended too early, and that was reported */

    struct fuse_lexer lexer;
    struct fuse_token token;       /* the next one, not used up */
    enum fuse_token_kind previous; /* the one before it */
    uint32_t previous_end;
    FUSE_VEC(char) brackets; /* open: '(' '[' '{', and 'c' for the '{' of a case */

    uint32_t indent;   /* column of the statement that is read */
    bool at_fresh;     /* the last error was found at a line that starts another statement */
    int depth;         /* nesting of constructs */
    bool too_deep;     /* a limit of nesting was met, perhaps in a quiet attempt */
    int height;        /* of the expression that was returned last */
    int quiet;         /* > 0: an attempt whose errors are not reported */
    uint32_t quiet_at; /* where the last one failed */
    int in_arguments;  /* > 0: an index with primes may stand as an operand (axis=p') */
    int guard_level;   /* open brackets at the start of the guard that is read, or -1: there 'max=' is an operator */
    int forgiven;      /* '{' of erroneous lines whose '}' will come */

    /* While arguments are read that are no index list: where the list starts and where it stops being one. An error of
     * the arguments before that place is told as an error of the index list, which got further. */
    struct fuse_place index_start;
    uint32_t index_from, index_to;

    /* Stacks that lists are collected on, copied at their exact length. */
    FUSE_VEC(struct fuse_index) indices;
    FUSE_VEC(struct fuse_expr *) exprs;
    FUSE_VEC(struct fuse_argument) arguments;
    FUSE_VEC(struct fuse_case_entry) entries;
    FUSE_VEC(struct fuse_item *) items;
    FUSE_VEC(struct fuse_lhs) formals;
    FUSE_VEC(double) reals;
    FUSE_VEC(int64_t) integers;
};

/* The elements of a stack from `base` on as an array of their own; the stack is cut back. NULL when there are none. */
#define fuse_take_stack(p, stack, base) \
    fuse_stack_copy((p)->arena, (p)->stack.at, base, sizeof *(p)->stack.at, &(p)->stack.n)
void *fuse_stack_copy(struct fuse_arena *arena, const void *stack, int base, size_t size, int *n);

/* ---- parser_state.c: tokens ----------------------------------------------------------------------------------- */

/* The kind of the next token; LINE_END at a newline that ends a statement or case entry here. */
enum fuse_token_kind fuse_peek(const struct fuse_parser *p);
/* The kind of the token after the next one, and whether a newline lies before it. */
enum fuse_token_kind fuse_peek_second(const struct fuse_parser *p, bool *newline_before);
void fuse_advance(struct fuse_parser *p);
/* Uses up the next token if it is of that kind. */
bool fuse_accept(struct fuse_parser *p, enum fuse_token_kind kind);
bool fuse_at_statement_end(const struct fuse_parser *p);
/* The next token is a name with '=' right behind it, such as "max=". */
bool fuse_at_word_assign(const struct fuse_parser *p);
bool fuse_token_is(const struct fuse_parser *p, const char *text);

struct fuse_span fuse_span_from(const struct fuse_parser *p, uint32_t begin); /* to the end of what was used up */
struct fuse_span fuse_token_span(const struct fuse_parser *p);                /* of the next token */

struct fuse_levels fuse_save_levels(const struct fuse_parser *p);
void fuse_restore_levels(struct fuse_parser *p, const struct fuse_levels *levels);
struct fuse_place fuse_save_place(const struct fuse_parser *p);
void fuse_restore_place(struct fuse_parser *p, const struct fuse_place *place);

/* ---- parser_state.c: errors ----------------------------------------------------------------------------------- */

/* Reports an error (or notes its place in a quiet attempt); returns false. */
bool fuse_syntax_error(struct fuse_parser *p, struct fuse_span span, const char *hint, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* "expected WHAT, found ..." at the next token; a hint for usual slips when none is given. Returns false. */
bool fuse_expected(struct fuse_parser *p, const char *what, const char *hint);
/* Uses up a token of that kind or reports "expected WHAT". */
bool fuse_require(struct fuse_parser *p, enum fuse_token_kind kind, const char *what);
/* The same for a closing bracket: the error shows the opening one if it is on another line. */
bool fuse_close_bracket(struct fuse_parser *p, enum fuse_token_kind kind, uint32_t opened, const char *what);
/* One level of nesting more; false when that is too many. Paired with p->depth-- unless a failure is passed on. */
bool fuse_enter(struct fuse_parser *p);

/* After a reported error: goes to the start of the next line and closes the brackets beyond `level`. Lines that only
 * continue the brackets of the erroneous one are passed over. Stops at a '}' that closes level's own construct. */
void fuse_recover(struct fuse_parser *p, int level);
/* Whether the next token starts a line that looks like a statement: as one is written and indented no deeper than the
 * statement at hand. For the places where no correct program has such a line. Uses nothing up. */
bool fuse_line_is_fresh(const struct fuse_parser *p);

/* ---- names ---------------------------------------------------------------------------------------------------- */

/* Reads a name (QNAME if `qualified`, INDEX if `primes`), or reports "expected WHAT". */
const char *fuse_parse_name(struct fuse_parser *p, bool qualified, bool primes, const char *what,
                            struct fuse_span *span);

/* ---- parser_index.c ------------------------------------------------------------------------------------------- */

/* The indices up to `close`, which is used up; `opened` is where the bracket stands. */
bool fuse_parse_indices(struct fuse_parser *p, enum fuse_token_kind close, uint32_t opened, struct fuse_index **index,
                        int *n);
/* A plain INDEX. */
bool fuse_parse_index_name(struct fuse_parser *p, struct fuse_index *index);

/* ---- parser_expr.c, parser_primary.c -------------------------------------------------------------------------- */

struct fuse_expr *fuse_parse_expr(struct fuse_parser *p);
struct fuse_expr *fuse_parse_mul(struct fuse_parser *p);
struct fuse_expr *fuse_parse_primary(struct fuse_parser *p);
/* A token that an operand without a sign can start with. */
bool fuse_starts_operand(const struct fuse_parser *p);
/* A new node from `begin` to the end of what was used up, one higher than `below`. */
struct fuse_expr *fuse_new_expr(struct fuse_parser *p, enum fuse_expr_kind kind, uint32_t begin, int below);

#endif
