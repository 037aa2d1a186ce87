/* Chains: operations whose intermediates are too large to keep, run one slab of a common axis at a time. Softmax attention
 * is one (scores, their maxima, exponentials and sums, the weighted values: slabs of the query axis), any row-wise
 * function of a product another. Local and pure. */
#ifndef FUSE_PLAN_CHAIN_H
#define FUSE_PLAN_CHAIN_H

#include "plan/plan.h"

struct fuse_chain_limits {
    int64_t large_bytes;  /* intermediates of which a rank would hold so much are to be inner; < 0: none */
    int64_t stream_bytes; /* sources of which it would are to be streamed, and sinks written by slabs; < 0: none */
    bool
        worth_it; /* a chain around an intermediate must keep four times as many bytes from being stored as go in and come out, or as many if it unpacks what is stored in fewer bytes */
    int dims; /* outermost mesh dimensions that split each chain's axis, or as many of them as it is long enough for */
    bool repeats_scores; /* slabs may cut rows of values of an attention */
};

/* Finds the chains and the execution order: fills chains, chain, slab_index, slab_axis, inner, streamed, streams, whole_value,
 * whole_op, order and position. Without chains that is the order of the program. */
void fuse_plan_find_chains(struct fuse_plan *plan, const struct fuse_chain_limits *limits);

/* Turns of a chain's loop, when `bytes` is what a rank would hold of everything that exists as slabs. */
int64_t fuse_plan_chain_turns(const struct fuse_plan *plan, int chain, int64_t bytes, int64_t budget_bytes);

#endif
