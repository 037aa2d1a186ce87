/* What the parts of the resolve pass share: expressions (resolve.c), calls and literals (resolve_calls.c), calls that
 * rearrange axes (resolve_structure.c). */
#ifndef FUSE_LANG_RESOLVE_H
#define FUSE_LANG_RESOLVE_H

#include "lang/check.h"

/* Each of the k first of a ranking is two passes over the data: what needs more is a sort. */
#define FUSE_MAX_TOPK 1024
/* A hundred operations a vector and axis. */
#define FUSE_MAX_TUCKER_RANK 64

/* Names that a construct has taken, innermost first. */
struct fuse_scope {
    const struct fuse_scope *outer;
    int n;
    struct {
        int name, index;
    } at[FUSE_MAX_INDICES];
};

struct fuse_resolver {
    struct fuse_checker *c;
    struct fuse_equation *eq;
    bool logical; /* what is being resolved is a truth: the terms and factors of a Boolean equation */
};

/* NULL when an error was reported; the equation is then bad. */
struct fuse_node *fuse_resolve_expr(struct fuse_resolver *r, const struct fuse_expr *expr,
                                    const struct fuse_scope *scope);
/* The same for what is computed as a number wherever it stands: arguments, conditions, sides of comparisons. */
struct fuse_node *fuse_resolve_number(struct fuse_resolver *r, const struct fuse_expr *expr,
                                      const struct fuse_scope *scope);
struct fuse_node *fuse_resolve_call(struct fuse_resolver *r, const struct fuse_expr *expr,
                                    const struct fuse_builtin *builtin, const struct fuse_scope *scope);
struct fuse_node *fuse_resolve_list(struct fuse_resolver *r, const struct fuse_expr *expr,
                                    const struct fuse_scope *scope);

/* The arguments of a call, matched with its formals. */
struct fuse_arguments {
    struct fuse_formal formal[FUSE_MAX_FORMALS];
    const struct fuse_expr *value[FUSE_MAX_FORMALS]; /* NULL: left out */
    int n;
};

/* concat and stack, which take any number of arguments. */
struct fuse_node *fuse_resolve_joined(struct fuse_resolver *r, const struct fuse_expr *expr,
                                      const struct fuse_builtin *builtin, const struct fuse_scope *scope);
/* one_hot, topk, attention, tucker_dense. */
struct fuse_node *fuse_resolve_structure(struct fuse_resolver *r, const struct fuse_expr *expr,
                                         const struct fuse_builtin *builtin, const struct fuse_arguments *arguments,
                                         const struct fuse_scope *scope);
/* Reports the message with the builtin's signature as hint; the equation is then bad. */
void fuse_complain_call(struct fuse_resolver *r, struct fuse_span span, const struct fuse_builtin *builtin,
                        const char *message);
/* The argument as a node; one that is left out takes its preset, or is NULL. */
struct fuse_node *fuse_argument_node(struct fuse_resolver *r, const struct fuse_arguments *arguments, int k,
                                     const struct fuse_expr *call, const struct fuse_scope *scope);
/* A constant integer that is not negative; reports and returns false for anything else. */
bool fuse_size_argument(struct fuse_resolver *r, int64_t *out, const struct fuse_expr *value);
/* The extent of an index, or a check of a fixed position against it. */
void fuse_note_extent(struct fuse_resolver *r, const struct fuse_position *at, int64_t extent, struct fuse_span span,
                      const char *from);
/* A scope in which the names are new indices; returns their set. */
uint64_t fuse_open_scope(struct fuse_resolver *r, struct fuse_scope *inner, const struct fuse_scope *outer,
                         uint64_t names, struct fuse_span span);

struct fuse_node *fuse_new_node(struct fuse_resolver *r, enum fuse_node_kind kind, struct fuse_span span, int n);
struct fuse_node *fuse_number_node(struct fuse_resolver *r, const struct fuse_number *number, struct fuse_span span);
/* Unites the arguments' uses into the node's; NULL when a needed argument is NULL. */
struct fuse_node *fuse_finish_node(struct fuse_resolver *r, struct fuse_node *node);
/* A fresh index, with the extent that a declared axis of its name has; -1 beyond FUSE_MAX_INDICES. */
int fuse_new_index(struct fuse_resolver *r, const char *name, struct fuse_span span, bool sliced);
/* The index that a name means in a scope. */
int fuse_find_index(struct fuse_resolver *r, const struct fuse_scope *scope, const char *name, struct fuse_span span,
                    bool sliced);
/* A call of a fn: a reference to its result. */
struct fuse_node *fuse_resolve_fn(struct fuse_resolver *r, const struct fuse_expr *call, const struct fuse_item *fn,
                                  const struct fuse_scope *scope);
/* What reading axis `axis` of a tensor at this position says about its domain. */
void fuse_note_position(struct fuse_resolver *r, struct fuse_position *at, int tensor, int axis);
void fuse_add_fact(struct fuse_resolver *r, struct fuse_fact fact);

#endif
