/* What the two halves of the resolve pass share: expressions (resolve.c) and calls and literals (resolve_calls.c). */
#ifndef FUSE_LANG_RESOLVE_H
#define FUSE_LANG_RESOLVE_H

#include "lang/check.h"

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
    uint64_t named_right; /* names that are free on the right side */
    bool logical;         /* what is being resolved is a truth: the terms and factors of a Boolean equation */
    int makers;           /* left indices that calls such as one_hot have taken so far */
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

struct fuse_node *fuse_new_node(struct fuse_resolver *r, enum fuse_node_kind kind, struct fuse_span span, int n);
struct fuse_node *fuse_number_node(struct fuse_resolver *r, const struct fuse_number *number, struct fuse_span span);
/* Unites the arguments' uses into the node's; NULL when a needed argument is NULL. */
struct fuse_node *fuse_finish_node(struct fuse_resolver *r, struct fuse_node *node);
/* A fresh index, with the extent that a declared axis of its name has; -1 beyond FUSE_MAX_INDICES. */
int fuse_new_index(struct fuse_resolver *r, const char *name, struct fuse_span span, bool sliced);
/* The index that a name means in a scope. */
int fuse_find_index(struct fuse_resolver *r, const struct fuse_scope *scope, const char *name, struct fuse_span span,
                    bool sliced);
void fuse_add_fact(struct fuse_resolver *r, struct fuse_fact fact);

#endif
