/* The syntax tree of a program: language.md section 3, nothing resolved yet. Everything lives in the program's arena and
 * carries the byte range it was read from. Built by parser*.c, printed by ast_dump.c, read by the checker. */
#ifndef FUSE_LANG_AST_H
#define FUSE_LANG_AST_H

#include "core/arena.h"
#include "core/error.h"

#include <stdbool.h>
#include <stdint.h>

/* ---- indices -------------------------------------------------------------------------------------------------- */

enum fuse_index_kind {
    FUSE_INDEX_NAME,   /* i  p'  i+1  q.   (a bare name may also be a const or a param: the checker decides; a
                        * qualified one, a::k, can be nothing else and has no offset) */
    FUSE_INDEX_STEP,   /* *t  *t+1 */
    FUSE_INDEX_FIXED,  /* 0  -1 */
    FUSE_INDEX_SYMBOL, /* "ann" */
    FUSE_INDEX_SLICE   /* a:b:c  i=a:b  : */
};

/* One bound of a slice: absent, a (signed) integer or a name (const or param). bound := ['-'] INT | ['-'] QNAME */
struct fuse_bound {
    enum { FUSE_BOUND_NONE, FUSE_BOUND_INTEGER, FUSE_BOUND_NAME } kind;
    bool negative;   /* a '-' stood before it */
    int64_t integer; /* without the sign */
    const char *name;
    struct fuse_span span;
};

struct fuse_index {
    enum fuse_index_kind kind;
    struct fuse_span span;
    const char *name;                    /* NAME, STEP; SLICE: the name before '=' or the slice's text without blanks */
    bool named_slice;                    /* SLICE written with '=' */
    bool dotted;                         /* q. */
    int64_t offset;                      /* NAME, STEP */
    int64_t position;                    /* FIXED, signed */
    const char *symbol;                  /* SYMBOL, escapes resolved */
    struct fuse_bound start, stop, step; /* SLICE */
};

/* ---- expressions ---------------------------------------------------------------------------------------------- */

enum fuse_expr_kind {
    FUSE_EXPR_NUMBER,
    FUSE_EXPR_STRING,
    FUSE_EXPR_BOOL,
    FUSE_EXPR_LIST,
    FUSE_EXPR_REF,   /* A  A[i,j]  A[] */
    FUSE_EXPR_APPLY, /* NAME(...): a Boolean tensor or a call; the checker decides by what NAME is */
    FUSE_EXPR_UNARY,
    FUSE_EXPR_BINARY,
    FUSE_EXPR_TERNARY, /* c ? a : b */
    FUSE_EXPR_REDUCE,
    FUSE_EXPR_CASE /* case { c -> v ... default -> d } */
};

enum fuse_unary_op { FUSE_UNARY_NEG, FUSE_UNARY_NOT };

enum fuse_binary_op {
    FUSE_BINARY_ADD,
    FUSE_BINARY_SUB,
    FUSE_BINARY_MUL, /* '*' or juxtaposition */
    FUSE_BINARY_DIV,
    FUSE_BINARY_POW,
    FUSE_BINARY_LT,
    FUSE_BINARY_LE,
    FUSE_BINARY_GT,
    FUSE_BINARY_GE,
    FUSE_BINARY_EQ,
    FUSE_BINARY_NE,
    FUSE_BINARY_AND,
    FUSE_BINARY_OR
};

enum fuse_reduce_word { /* the OP of reduce(OP, i) */
                        FUSE_WORD_SUM,
                        FUSE_WORD_MAX,
                        FUSE_WORD_MIN,
                        FUSE_WORD_PROD,
                        FUSE_WORD_MEAN,
                        FUSE_WORD_ANY,
                        FUSE_WORD_ALL
};

struct fuse_argument {
    const char *name; /* NULL: positional */
    struct fuse_span name_span;
    struct fuse_expr *value;
};

struct fuse_case_entry {
    struct fuse_expr *condition, *value;
};

struct fuse_expr {
    enum fuse_expr_kind kind;
    struct fuse_span span; /* the whole expression */
    int id;                /* 0, 1, .. in parse order, unique in the program: for side tables */
    union {
        struct {
            bool is_integer;
            int64_t integer; /* valid when is_integer; a literal beyond int64 is a syntax error */
            double real;     /* always set */
        } number;
        struct {
            const char *text; /* escapes resolved; NUL inside is a syntax error */
        } string;
        struct {
            bool value;
        } boolean;
        struct {
            struct fuse_expr **item;
            int n;
            /* A list whose items are all numbers is kept here instead (item == NULL): literals of 10^6 numbers. */
            double *real;
            int64_t *integer; /* set only when every number is an integer */
        } list;
        struct {
            const char *name; /* qualified names as written, "a::b" */
            struct fuse_span name_span;
            bool has_brackets; /* A[] and A differ for messages only */
            struct fuse_index *index;
            int n;
        } ref;
        struct {
            const char *name;
            struct fuse_span name_span;
            bool macro;                     /* written with '@': always a call */
            bool is_call, is_ref;           /* which readings the text allows; at least one */
            struct fuse_argument *argument; /* the reading as a call */
            int arguments;
            struct fuse_index *index; /* the reading as a Boolean reference */
            int indices;
        } apply;
        struct {
            enum fuse_unary_op op;
            struct fuse_expr *operand;
        } unary;
        struct {
            enum fuse_binary_op op;
            struct fuse_span op_span; /* empty for juxtaposition */
            bool parenthesised;       /* the expression stood in ( ): for printing and messages */
            struct fuse_expr *left, *right;
        } binary;
        struct {
            struct fuse_expr *condition, *then, *otherwise;
        } ternary;
        struct {
            enum fuse_reduce_word op;
            struct fuse_index *index; /* plain names */
            int n;
            struct fuse_expr *body;
        } reduce;
        struct {
            struct fuse_case_entry *entry;
            int n;
            struct fuse_expr *otherwise; /* NULL: 0 */
        } cases;
    };
};

/* The expressions that stand directly in one, in the order of the text: elements of a list (none when all are numbers),
 * arguments of a call, operands, branches. */
int fuse_expr_parts(const struct fuse_expr *expr);
struct fuse_expr *fuse_expr_part(const struct fuse_expr *expr, int k);

/* ---- statements and items ------------------------------------------------------------------------------------- */

enum fuse_assign {
    FUSE_ASSIGN_SUM,
    FUSE_ASSIGN_ADD,
    FUSE_ASSIGN_MAX,
    FUSE_ASSIGN_MIN,
    FUSE_ASSIGN_PROD,
    FUSE_ASSIGN_AVG
};
/* FUSE_ASSIGN_SUM is '=', FUSE_ASSIGN_ADD is '+='. */

struct fuse_lhs {
    const char *name;
    struct fuse_span span, name_span;
    bool boolean; /* written with ( ) */
    bool has_brackets;
    struct fuse_index *index;
    int n;
};

enum fuse_item_kind {
    FUSE_ITEM_IMPORT,
    FUSE_ITEM_EXPORT,
    FUSE_ITEM_AXIS,
    FUSE_ITEM_PARAM,
    FUSE_ITEM_CONST,
    FUSE_ITEM_FN,
    FUSE_ITEM_EQUATION, /* lhs ['when' guard] op expr */
    FUSE_ITEM_SOURCE,   /* lhs ['when' guard] op STRING */
    FUSE_ITEM_SINK,     /* STRING = expr */
    FUSE_ITEM_LET,      /* let lhs ['when' guard] op expr */
    FUSE_ITEM_BLOCK
};

struct fuse_item {
    enum fuse_item_kind kind;
    struct fuse_span span;
    const char *name; /* AXIS: index name, PARAM, CONST, FN: name; IMPORT: the `as` name or NULL */
    struct fuse_span name_span;
    const char *text; /* IMPORT, SOURCE, SINK: the file; AXIS with a string */
    struct fuse_span text_span;
    const char *type;        /* PARAM: the NAME after ':', or NULL */
    struct fuse_lhs lhs;     /* EQUATION, SOURCE, LET; FN: the result */
    struct fuse_lhs *formal; /* FN */
    int formals;
    struct fuse_expr *guard; /* NULL without `when` */
    enum fuse_assign assign;
    struct fuse_span assign_span;
    struct fuse_expr *value; /* EQUATION, SINK, LET; AXIS, PARAM, CONST (NULL when there is none) */
    const char **exported;   /* EXPORT: qualified names */
    struct fuse_span *exported_span;
    int exports;
    bool query;              /* SINK, EXPORT: asked for from outside of the program; SINK: text is what was asked for */
    struct fuse_item **body; /* FN, BLOCK */
    int bodies;
};

struct fuse_file_import {
    int file, imported; /* numbers of files */
};

struct fuse_ast {
    struct fuse_item **item;
    int items;
    int exprs;                             /* one more than the largest expression id */
    const struct fuse_file_import *import; /* which files import which; declared axes follow it */
    int imports;
};

#endif
