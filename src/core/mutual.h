/* Which strata of rules are linear recursions of several relations of two columns that pass the same column on:
 *
 *     P(x, z) = Q(x, y) S(y, z)        Q(x, z) = P(x, y) T(y, z) + P(x, z)
 *
 * or, all of them, P(x, z) = S(x, y) Q(y, z). Together they are one closure (backend/closure.h), over ids of which each relation has
 * its own: from those of Q to those of P there are the pairs of S, from those of P to those of Q those of T, and the same id again.
 * The base is everything else that the relations have. Local and pure. */
#ifndef FUSE_CORE_MUTUAL_H
#define FUSE_CORE_MUTUAL_H

#include "core/rules.h"

#define FUSE_MUTUAL_RELATIONS 8
#define FUSE_MUTUAL_STEPS 32

struct fuse_mutual_step {
    int from, to; /* places among the relations */
    int relation; /* S; -1: the same ids */
    int joined;   /* its column, 0 or 1, that is shared with the relation `from` */
};

struct fuse_mutual {
    int passing; /* the column that is passed on */
    int relations, relation[FUSE_MUTUAL_RELATIONS];
    int steps;
    struct fuse_mutual_step step[FUSE_MUTUAL_STEPS];
};

/* Whether the stratum is one, and nothing else: at least two relations of facts, whose recursive rules have one atom of the stratum
 * each, and neither guards, constants, offsets nor negation, and whose ids all fit. */
bool fuse_rules_find_mutual(struct fuse_mutual *out, const struct fuse_rules *rules, int stratum);

#endif
