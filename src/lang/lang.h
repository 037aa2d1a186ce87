/* The front end as the rest of the program sees it: text -> AST -> checked -> IR. Local and pure: sources are probed by
 * the caller between the two halves, on rank 0; symbols are numbered by the caller too, once it is known which belong together. */
#ifndef FUSE_LANG_LANG_H
#define FUSE_LANG_LANG_H

#include "core/probe.h"
#include "ir/ir.h"
#include "lang/ast.h"
#include "lang/diagnostics.h"

/* A file that a program reads, in program order, each distinct string once. */
struct fuse_source_request {
    const char *text; /* as written: "x.npy", "f.h5:/a" */
    struct fuse_span span;
    bool probed;
    bool failed;             /* not probed, and somebody has said why: what depends on it is wrong without a word */
    struct fuse_probe probe; /* set by the caller before fuse_check when probed */
};

struct fuse_define { /* -D name=value */
    const char *name, *value;
};

/* ---- symbols ---- */

/* The symbols of some positions that are one domain; in the order in which symbols get their ids: names, uses, strings. */
struct fuse_symbol_list {
    const char *names; /* the file that lists them, as written; NULL: any */
    struct fuse_span span;
    int64_t count, given; /* set; given: ids below it are those of vocabularies, 0: there are none */
};
/* A source as one statement reads it. */
struct fuse_symbol_use {
    const struct fuse_source_request *source;
    int equation; /* the checker's own */
    int columns;  /* without that of values */
    bool has_value;
    int table[FUSE_MAX_AXES]; /* number of the list, -1: its fields are ids */
    struct fuse_probe
        probe; /* that of the source; set: with the tally of the ids, and whatever its rows are read from */
};
struct fuse_symbol_string {
    const char *text;
    int table;
    int64_t id;      /* set */
    bool is_outside; /* set: the list has names, and this is none of them */
};
struct fuse_symbol_demand {
    struct fuse_symbol_list *list;
    struct fuse_symbol_use *use;
    struct fuse_symbol_string *string;
    int lists, uses, strings;
};
/* Where ids of symbols come from. Called at most once, on every rank with the same demand; false when they cannot be had, and
 * then the caller of fuse_check knows why. May be collective. */
struct fuse_symbol_loader {
    bool (*load)(void *context, struct fuse_symbol_demand *demand);
    /* After load: the symbol of a table that is spelt most like a text, NULL: none is near. May be collective. */
    const char *(*nearest)(void *context, int table, const char *text);
    void *context;
};

/* The tensor `weight`, [out,in], stands for weight + factor b a in every product that sums one of its axes; `a` is
 * [rank,in], `b` [out,rank]. Used elsewhere it is an error. */
struct fuse_adapter {
    const char *weight, *a, *b;
    double factor;
};

/* A fact that is asked about: a tensor with positions, Path("a", 3). What became of the arguments is in the sink that asks. */
struct fuse_asked {
    const struct fuse_expr *expr;
    int64_t id[FUSE_MAX_AXES]; /* set */
};

/* What the command line and the policy say about a program. */
struct fuse_settings {
    const struct fuse_define *define;
    int defines;
    const struct fuse_symbol_loader *symbols; /* NULL: programs with symbols are not good */
    const struct fuse_adapter *adapter;
    int adapters;
    bool has_precision;
    const char *const *count; /* names of tensors whose true cells are counted and the number printed */
    int counts;
    struct fuse_asked *question; /* each becomes a sink that asks */
    int questions;
    bool demand; /* queries are computed, sinks and exports of the program are not */
    /* Monte-Carlo projection: real sums over more points than this are estimated from so many; 0: all are exact. */
    int64_t samples, seed;
    /* A recursion of sums is at its end when no cell x moves by more than tolerance + relative |x| in a turn; without, both are
     * 1e-6. */
    bool has_tolerance;
    double tolerance, relative;
    bool finite; /* infinities and NaN in a tensor or sink are errors of the run */
    enum fuse_dtype
        precision; /* of all reals: F16, BF16, F32 or F64; without, files keep theirs and literals are F32 */
};

struct fuse_sources {
    FUSE_VEC(struct fuse_source_request) list;
};

/* Lists the sources of a parsed program. */
void fuse_list_sources(struct fuse_sources *sources, struct fuse_arena *arena, const struct fuse_ast *ast);

/* Names, domains, extents, dtypes; then lowering. Returns true and fills *ir (ir->arena set by the caller) when there was
 * no error; every error is reported. What is in the language and cannot be run yet is an error that says so at its place.
 * settings may be NULL. An unknown or malformed define is reported with status USAGE and no place. */
bool fuse_check(struct fuse_ir *ir, struct fuse_arena *arena, const struct fuse_ast *ast,
                const struct fuse_sources *sources, const struct fuse_settings *settings,
                const struct fuse_files *files, struct fuse_diagnostics *diagnostics);

#endif
