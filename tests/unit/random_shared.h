/* Random programs whose tensors are cheap to compute and read several times in different ways: sums of vectors, masks, formulas,
 * random numbers, some of them from each other; products, sums and maps that read them, chains, and turns of a recursion. */
#ifndef FUSE_TESTS_RANDOM_SHARED_H
#define FUSE_TESTS_RANDOM_SHARED_H

#include "tests/unit/random_ir.h"

/* Sources are called "i.npy", ..; sinks "y0.npy", ... */
void random_shared_program(struct fuse_ir *ir, struct random_state *state);
/* The same within a recursion, and of what its turns make. */
void random_shared_recursion(struct fuse_ir *ir, struct random_state *state);
/* For slab_bytes: as much as a rank has of the largest tensor, or an eighth of it, so that chains form around that one alone. */
int64_t random_slab_bytes(const struct fuse_ir *ir, int ranks, struct random_state *state);

#endif
