/* Chains: operations whose intermediates are too large to keep, run one slab of a common axis at a time. Softmax attention
 * is one (scores, their maxima, exponentials and sums, the weighted values: slabs of the query axis), any row-wise
 * function of a product another. Local and pure. */
#ifndef FUSE_PLAN_CHAIN_H
#define FUSE_PLAN_CHAIN_H

#include "plan/plan.h"

/* Finds the chains around intermediates of which a rank would hold more than large_bytes, and the execution order: fills
 * chains, chain, slab_index, slab_axis, inner, order and position. With `worth_it`, a chain must also keep four times as
 * many bytes from being stored as go in and come out, or as many if it unpacks what is stored in fewer bytes.
 * large_bytes < 0: no chains, the order of the program. Each chain's axis is split over the outermost `dims` mesh
 * dimensions, or as many of them as it is long enough for. */
void fuse_plan_find_chains(struct fuse_plan *plan, int64_t large_bytes, bool worth_it, int dims);

/* Turns of a chain's loop, when `bytes` is what a rank would hold of everything that exists as slabs. */
int64_t fuse_plan_chain_turns(const struct fuse_plan *plan, int chain, int64_t bytes, int64_t budget_bytes);

#endif
