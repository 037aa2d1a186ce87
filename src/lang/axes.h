/* What the two halves of the axes pass share: axes.c, and axes_structure.c for calls with rules of their own. */
#ifndef FUSE_LANG_AXES_H
#define FUSE_LANG_AXES_H

#include "lang/check.h"

/* One equation's sets while they are found. */
struct fuse_taking {
    struct fuse_checker *c;
    struct fuse_equation *eq;
    bool report; /* the last round: complain */
    bool changed;
    uint64_t named;   /* names that the right side names, as the round before found them */
    uint64_t guarded; /* .. that the guard names: it may speak of the axes that calls on the right make */
    int makers;       /* left indices that calls have made axes of so far in this round */
    int takers;       /* reductions around the expression in hand */
    int actuals;      /* arguments of fns around the expression in hand: what is made there has a name of its own */
};

/* The bit of a name in the equation; 0 beyond FUSE_MAX_INDICES. */
uint64_t fuse_add_name(struct fuse_checker *c, struct fuse_equation *eq, const char *name, struct fuse_span span);
/* axis= as a position: true when it is a constant integer. */
bool fuse_axis_as_position(struct fuse_taking *t, const struct fuse_expr *value, int64_t *out);
uint64_t fuse_axis_by_position(struct fuse_taking *t, const struct fuse_expr *call, const struct fuse_expr *argument,
                               int64_t position, struct fuse_span span);
/* What a call takes away from its arguments (c->inner) and makes, by rules of its own; returns what it makes. */
uint64_t fuse_structure_axes(struct fuse_taking *t, const struct fuse_expr *call, const struct fuse_builtin *builtin);

/* The name of the next axis that a call makes: a left index that nothing on the right names; in an argument of a fn one
 * of its own, told apart by `number`. 0: there is none. */
uint64_t fuse_next_made(struct fuse_taking *t, const struct fuse_expr *call, int number);
/* What a call of a fn takes in each argument (c->inner) and the names of its result's axes; returns those. The arguments
 * have been walked. */
uint64_t fuse_fn_axes(struct fuse_taking *t, const struct fuse_expr *call, const struct fuse_item *fn);

#endif
