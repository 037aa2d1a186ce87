/* Sums in a fixed order (core/chunks.h), which `chunk` in the request asks for: sums and products of reals in EINSUM,
 * MAP and JOIN operations. Of their projected indices only the outermost of the chunks is split between ranks, at nodes of its
 * tree, and no loop cuts any of them. For all other operations these say what balanced splits are. Local and pure. */
#ifndef FUSE_PLAN_ORDERED_H
#define FUSE_PLAN_ORDERED_H

#include "core/chunks.h"
#include "plan/plan.h"

/* PROGRAM for what has no such order: rules that sum reals, or round them as the processor does. */
enum fuse_status fuse_ordered_check(const struct fuse_ir *ir, struct fuse_error *err) FUSE_CHECKED;
bool fuse_sum_is_ordered(const struct fuse_plan *plan, int op);
/* true for a projected index of such an operation: no loop may cut it. */
bool fuse_index_is_ordered(const struct fuse_plan *plan, int op, int index);
void fuse_sum_chunks(struct fuse_chunks *out, const struct fuse_plan *plan, int op);
/* Most parts that an index may be split into. */
int64_t fuse_index_units(const struct fuse_plan *plan, int op, int index);
/* The positions of an index that a rank below mesh.used has under a partition, and the most that any rank has. */
void fuse_index_part(int64_t *lo, int64_t *hi, const struct fuse_plan *plan, int op,
                     const struct fuse_layout *partition, int index, const int *coordinate);
int64_t fuse_index_largest(const struct fuse_plan *plan, int op, const struct fuse_layout *partition, int index);
bool fuse_index_has_no_empty_part(const struct fuse_plan *plan, int op, const struct fuse_layout *partition, int index);
/* Leaves of the tree that the ranks along mesh dimension `dim`, on a shared index, have together: the rank's and theirs. */
int64_t fuse_sum_node(const struct fuse_plan *plan, int op, const struct fuse_layout *partition, int dim,
                      const int *coordinate);
/* Adds what distinguishes the splits of operations that are otherwise alike to words of a class (plan/memo.h): at most four. */
int fuse_ordered_words(int64_t *word, int n, const struct fuse_plan *plan, int op);

#endif
