/* What the rewrites of this folder share. Nobody else includes this. */
#ifndef FUSE_IR_REWRITE_H
#define FUSE_IR_REWRITE_H

#include "ir/ir.h"

/* Coordinates stay below this, so that the arithmetic of boxes and of composed index maps cannot wrap. */
#define FUSE_MAX_COORDINATE ((int64_t)1 << 60)
/* What a fused body may grow to: kernels keep one stream an input and one tile a node. */
#define FUSE_FUSED_INPUTS 12
#define FUSE_FUSED_NODES 64

/* Appends an operation that already lives in the IR's arena, without a copy. */
int fuse_ir_push_op(struct fuse_ir *ir, struct fuse_op *op);

bool fuse_access_equal(const struct fuse_access *a, const struct fuse_access *b);
/* *out = the index map by which a user that reads the output of `producer` (a MAP without reduction) through `outer`
 * would read the operand that the producer reads through `inner`. Says nothing about coordinates outside the output.
 * false when the coefficients do not fit, or when one reads a pair of axes as one, unless `user` is a
 * MAP that walks all of what the other reads. */
bool fuse_access_compose(struct fuse_access *out, const struct fuse_op *user, const struct fuse_access *outer,
                         const struct fuse_op *producer, const struct fuse_access *inner);

/* A scalar expression under construction. Equal nodes are one node, and every node is simplified as it is added, by
 * identities that keep each bit of the result (signed zeros and NaN included, the payload of a NaN excepted). Integer
 * operations that would overflow stay, so that they fail when they run. Reusable: one builder serves a whole pass. */
struct fuse_body {
    struct fuse_arena *arena;
    FUSE_VEC(struct fuse_scalar_node) nodes;
    int32_t *slots; /* open addressing; node number + 1 */
    int slot_count;
};

void fuse_body_reset(struct fuse_body *body);
/* Arguments are numbers that earlier calls returned. Returns the number of a node of the same value. */
int fuse_body_add(struct fuse_body *body, struct fuse_scalar_node node);
int fuse_body_integer(struct fuse_body *body, enum fuse_dtype dtype, int64_t integer);
int fuse_body_unary(struct fuse_body *body, enum fuse_scalar_op op, enum fuse_dtype dtype, int a);
int fuse_body_binary(struct fuse_body *body, enum fuse_scalar_op op, enum fuse_dtype dtype, int a, int b);
int fuse_body_load(struct fuse_body *body, int input, enum fuse_dtype dtype);
/* A constant node from an element of type `from` in memory, as a LOAD would read it. */
int fuse_body_element(struct fuse_body *body, const void *at, enum fuse_dtype from);
/* The nodes that `root` needs, in the order in which they were added. */
const struct fuse_scalar *fuse_body_finish(struct fuse_body *body, int root);

/* Dead constants, repeated and unused inputs of one MAP; part of fuse_ir_fold. */
void fuse_ir_fold_map(struct fuse_ir *ir, struct fuse_op *op, struct fuse_body *body);

#endif
