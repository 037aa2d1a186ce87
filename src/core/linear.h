/* Which strata of rules are linear recursions of a relation of two columns, which have faster ways to their fixpoint than turns of
 * joins (backend/closure.h, backend/two_sided.h):
 *
 *     LEFT       R(x, z) = R(x, y) S(y, z)
 *     RIGHT      R(x, z) = S(x, y) R(y, z)
 *     TWO_SIDED  R(x, y) = U(x, u) R(u, v) D(v, y)
 *
 * with S, U and D of lower strata, their columns in either order, and the atoms in any. LEFT and RIGHT may have several such rules,
 * S being united, and R(x, z) = R(x, y) R(y, z) beside them or alone: then the base is a step, too. The base is everything else that
 * R has: what is given, and what the rules without recursion derive. Local and pure. */
#ifndef FUSE_CORE_LINEAR_H
#define FUSE_CORE_LINEAR_H

#include "core/rules.h"

#define FUSE_LINEAR_STEPS 8

enum fuse_linear_kind { FUSE_LINEAR_LEFT, FUSE_LINEAR_RIGHT, FUSE_LINEAR_TWO_SIDED };

struct fuse_linear_step {
    int relation;
    int joined; /* its column, 0 or 1, that is shared with R; the other one is the head's */
};

struct fuse_linear {
    enum fuse_linear_kind kind;
    int relation; /* R */
    int steps;    /* LEFT and RIGHT */
    struct fuse_linear_step step[FUSE_LINEAR_STEPS];
    bool base_is_a_step;
    /* LEFT and RIGHT: the rules derive as base exactly the pairs of the steps, in the same order of columns. When nothing is given,
     * both kinds are the closure of the steps. */
    bool derives_steps;
    struct fuse_linear_step up, down; /* TWO_SIDED */
};

/* Whether the stratum is one, and nothing else: one relation of facts, whose recursive rules have neither guards, constants,
 * offsets nor negation, and whose ids all fit. */
bool fuse_rules_find_linear(struct fuse_linear *out, const struct fuse_rules *rules, int stratum);

#endif
