/* What can be said about the elements of a tensor in bounded space: extremes, mean, NaN. Each rank adds its own elements;
 * summaries are joined element by element, sums by SUM and extremes by MIN, so that reduce_int64 can do it. The sum is
 * exact (a fixed-point number as wide as the range of doubles), so nothing depends on who added what, or when. Local. */
#ifndef FUSE_EXEC_SUMMARY_H
#define FUSE_EXEC_SUMMARY_H

#include "core/dtype.h"

enum { FUSE_SUMMARY_LIMBS = 70 };

struct fuse_summary {
    struct fuse_summary_sums {
        int64_t limb[FUSE_SUMMARY_LIMBS]; /* sum of the finite elements: limb[k] * 2^(32 k - 1074) */
        int64_t count;                    /* elements that are numbers, infinities too */
        int64_t nan, above, below;        /* NaN, +inf, -inf */
    } sums;
    struct fuse_summary_extremes {
        int64_t least, not_most; /* in an order of integers; ~ of the largest */
    } extremes;
    int64_t added; /* since carries were last passed on */
};

void fuse_summary_init(struct fuse_summary *summary);
/* Densely packed elements of a dtype that tensors have in memory. */
void fuse_summary_add(struct fuse_summary *summary, enum fuse_dtype dtype, const void *at, size_t count);
/* Makes the summary ready for joining with those of up to 2^30 others. */
void fuse_summary_settle(struct fuse_summary *summary);
/* Of the elements that are numbers: at least one. inf - inf is NaN. */
double fuse_summary_mean(const struct fuse_summary *summary);
/* Into a double for real dtypes, an int64_t for others. */
void fuse_summary_extremes(void *least, void *most, const struct fuse_summary *summary, enum fuse_dtype dtype);

#endif
