/* Files in slabs: which axis of a tensor its file can be read or written along while a chain runs, and how a slab is shared out.
 *
 *   slowest axis   a slab is one contiguous range of the file; each rank has a part of it
 *   another axis   a slab is many runs of the file, and its turns stay so few that a run has 64 KiB; ranks have the runs
 *                  of different positions of the slowest axis
 *
 * Local and pure. */
#ifndef FUSE_PLAN_STREAM_H
#define FUSE_PLAN_STREAM_H

#include "plan/plan.h"

/* true when positions of the axis are contiguous ranges of the file, one behind the other. reversed: Fortran order. */
bool fuse_stream_is_slowest(const struct fuse_plan *plan, int value, int axis, bool reversed);
/* true when there are at least two slabs along the axis that a file is worth reading or writing in. */
bool fuse_stream_is_possible(const struct fuse_plan *plan, int value, int axis, bool reversed);
/* The most turns that leave runs of the file long enough, when the chain splits the axis `parts`-fold. At least 1. */
int64_t fuse_stream_most_turns(const struct fuse_plan *plan, int value, int axis, bool reversed, int64_t parts);
/* What each rank reads or writes of a value's file at a turn of the loop of a chain; loop -1: what it would without. */
struct fuse_holding fuse_stream_slab(const struct fuse_plan *plan, int value, int axis, bool reversed, int chain,
                                     int loop);
/* The axis along which a chain streams a source; -1: it does not. */
int fuse_stream_axis(const struct fuse_plan *plan, int chain, int value);

static inline bool fuse_stream_is_reversed(const struct fuse_plan *plan, int value) {
    const struct fuse_op *op = plan->ir->ops.at[plan->ir->values.at[value].op];
    return op->kind == FUSE_OP_SOURCE && op->probe.reversed;
}

#endif
