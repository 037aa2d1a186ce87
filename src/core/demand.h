/* Demand: rules that derive no more than what is asked for ("magic sets").
 *
 *     Path(x, z) = Edge(x, z)                      asked Path(3) =
 *     Path(x, z) = Path(x, y) Edge(y, z)    ->     Path(x, z) = Edge(x, z) asked Path(x)
 *     Path(3, y) is asked for                      Path(x, z) = Path(x, y) Edge(y, z)
 *
 * A relation is asked by some of its columns: those whose ids are known wherever it is used, as constants or from atoms joined
 * before. Then it gets only tuples whose ids there are in a relation of its own, "asked ..", which rules derive from where it is
 * used. Linear recursions (core/linear.h) that would have to be explored from everything that is reached are turned round first,
 * so that only what is asked for is a start. A relation is whole where somebody wants all of it, where its demand would make
 * a negation, a sum or a minimum depend on itself, or would join two strata that were apart. Local and pure. */
#ifndef FUSE_CORE_DEMAND_H
#define FUSE_CORE_DEMAND_H

#include "core/rules.h"

/* What somebody outside of the rules reads: all tuples with these ids in these columns. */
struct fuse_demand_question {
    int relation;
    uint64_t columns;          /* bits; 0: all tuples */
    int64_t id[FUSE_MAX_AXES]; /* of those columns */
};

struct fuse_demand {
    const struct fuse_rules *rules;
    const struct fuse_demand_question *question;
    int questions;
    const bool *is_given; /* [relations] whether tuples are given from outside */
    const int64_t *most;  /* [relations] tuples at most; INT64_MAX: nobody knows */
};

/* Rules with the same relations, and others behind them, that derive of each relation what is asked for at least. Relations
 * that nobody asks for have no rules any more. given[r], [relations]: which relation gets the tuples that were given to r. The rules
 * themselves when there is nothing to gain. Verified if they were. */
const struct fuse_rules *fuse_rules_demand(struct fuse_arena *arena, const struct fuse_demand *demand, int *given);

#endif
