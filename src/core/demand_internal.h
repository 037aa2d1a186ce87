/* What the files of demand share. */
#ifndef FUSE_CORE_DEMAND_INTERNAL_H
#define FUSE_CORE_DEMAND_INTERNAL_H

#include "core/demand.h"
#include "core/linear.h"

/* Rules in the making: copies that may grow. */
struct fuse_demand_draft {
    struct fuse_arena *arena;
    const struct fuse_demand *demand;
    FUSE_VEC(struct fuse_rule_relation) relation;
    FUSE_VEC(struct fuse_rule) rule;
    FUSE_VEC(bool) is_given;
    FUSE_VEC(bool) is_kept;     /* to be whole */
    FUSE_VEC(bool) is_asked;    /* by anybody */
    FUSE_VEC(uint64_t) columns; /* by which it is asked; 0: whole */
    int *given;                 /* of fuse_rules_demand */
};

static inline uint64_t fuse_demand_bit(int k) {
    return (uint64_t)1 << k;
}
/* The rules as they are now; borrowed until the next change. */
struct fuse_rules fuse_demand_view(const struct fuse_demand_draft *d);
/* Returns the number of a new relation, which nobody asks for yet. */
int fuse_demand_add_relation(struct fuse_demand_draft *d, const struct fuse_rule_relation *relation, bool is_given);
/* All columns of a relation as the variables 0, 1, .. */
struct fuse_rule_term *fuse_demand_plain_terms(struct fuse_demand_draft *d, int columns);

/* Turns linear recursions towards the column by which they are asked. */
void fuse_demand_turn_round(struct fuse_demand_draft *d);

#endif
