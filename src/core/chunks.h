/* Sums whose rounding does not depend on who computes them. What is summed is cut in chunks of at most FUSE_CHUNK points, which
 * are boxes; inside a chunk the order is fixed, and the sums of chunks combine in a fixed binary tree:
 *
 *   leaves of an index     0   1   2   3   4         n leaves: the first ceil(n / 2) and the rest, each halved likewise
 *                           \ /   |    \ /
 *                            +    |     +
 *                             \  /     /
 *                               +     /
 *                                \   /
 *                                  +
 *
 * With several summed indices the trees nest: a leaf of an outer index is the tree over the next one. Ranks share a sum only
 * along the outermost index, and each gets one node of its tree. Local and pure. */
#ifndef FUSE_CORE_CHUNKS_H
#define FUSE_CORE_CHUNKS_H

#include "core/box.h"

#define FUSE_CHUNK 256

/* Levels from the outermost index on: the longest summed one, then the others as they are numbered. */
struct fuse_chunks {
    int levels, index[FUSE_MAX_AXES];
    int64_t block[FUSE_MAX_AXES];  /* positions of a leaf, >= 1; all but one are 1 or the whole extent */
    int64_t leaves[FUSE_MAX_AXES]; /* ceil(extent / block) */
};

/* For the indices with a bit in `summed`; a box of `points` at most is a chunk. */
void fuse_chunks_make(struct fuse_chunks *out, int indices, const int64_t *extent, uint32_t summed, int64_t points);

/* The node of part `part` when the node [*lo, *hi) of a tree is shared by `parts`: subtrees, each twice as large as another at
 * most. Parts are in order; some are empty where there are fewer leaves than parts. */
void fuse_chunks_part(int64_t *lo, int64_t *hi, int64_t parts, int64_t part);
/* Where a node, or a number of parts, is halved: what the first half has. */
static inline int64_t fuse_chunks_half(int64_t n) {
    return n - n / 2;
}
/* Leaves of the largest and of the smallest of the parts of a node of n leaves. */
int64_t fuse_chunks_largest(int64_t n, int64_t parts);
int64_t fuse_chunks_smallest(int64_t n, int64_t parts);
/* Partial sums that are kept at the same time while the tree is computed. */
int fuse_chunks_depth(const struct fuse_chunks *chunks);

#endif
