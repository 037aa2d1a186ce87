/* Tensors that ranks compute again where they need them, when that takes less time than to bring them: results of a MAP that
 * projects nothing, such as masks, random numbers and broadcasts. Local and pure. */
#ifndef FUSE_PLAN_AGAIN_H
#define FUSE_PLAN_AGAIN_H

#include "plan/plan.h"

/* Whatever the partition: the input of an operation could be computed again for it. */
bool fuse_again_is_possible(const struct fuse_plan *plan, int op, int input);
/* The partition under which the producer of that input computes for each rank just what it needs of it when `partition` splits
 * the operation. false: there is none. */
bool fuse_again_partition(struct fuse_layout *out, const struct fuse_plan *plan, int op, int input,
                          const struct fuse_layout *partition);
/* The index of the producer that goes along with index `index` of the operation, or -1. */
int fuse_again_index(const struct fuse_plan *plan, int op, int input, int index);
/* [values] of the plan's steps: true when the tensor lies nowhere but where it is computed again. In the arena. */
bool *fuse_again_only(const struct fuse_plan *plan, struct fuse_arena *arena);

#endif
