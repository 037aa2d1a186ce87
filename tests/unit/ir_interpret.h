/* For the tests of the IR: building programs by hand and running them the obvious way, one element at a time. */
#ifndef FUSE_TESTS_IR_INTERPRET_H
#define FUSE_TESTS_IR_INTERPRET_H

#include "ir/ir.h"

/* Operations and values with as little text as possible. Extents and accesses are given as lists. */
int build_source(struct fuse_ir *ir, const char *name, enum fuse_dtype dtype, int rank, const int64_t *extent);
int build_literal(struct fuse_ir *ir, enum fuse_dtype dtype, int rank, const int64_t *extent, const void *data);
int build_sink(struct fuse_ir *ir, const char *path, int value);
/* indices "ijk" with their extents; out "ji"; inputs as value and index letters, such as 3, "ik"; '.' is position 0. */
struct build_use {
    int value;
    const char *at;
};
int build_product(struct fuse_ir *ir, enum fuse_dtype dtype, const char *out, const char *indices,
                  const int64_t *extent, int inputs, const struct build_use *input);
int build_map(struct fuse_ir *ir, enum fuse_dtype dtype, const char *out, const char *indices, const int64_t *extent,
              int inputs, const struct build_use *input, enum fuse_reduce reduce, const struct fuse_scalar *body);

/* Bodies: nodes appended to a list that starts zeroed. */
struct build_body {
    struct fuse_arena *arena;
    FUSE_VEC(struct fuse_scalar_node) nodes;
};
int body_load(struct build_body *body, int input, enum fuse_dtype dtype);
int body_iota(struct build_body *body, int index);
int body_int(struct build_body *body, enum fuse_dtype dtype, int64_t integer);
int body_real(struct build_body *body, enum fuse_dtype dtype, double real);
int body_op(struct build_body *body, enum fuse_scalar_op op, enum fuse_dtype dtype, int a, int b, int c);
const struct fuse_scalar *body_end(struct build_body *body);

/* A CARRY that begins with 0; what each turn moves it by at most; and the FIXPOINT that `after` leads it to. */
int build_carry(struct fuse_ir *ir, enum fuse_dtype dtype, int rank, const int64_t *extent);
int build_moves(struct fuse_ir *ir, int before, int after, const char *indices);
int build_fixpoint(struct fuse_ir *ir, int before, int after, int moves);

/* Runs a program; sources hold numbers that depend on their path and position only. sink[k] points to the elements, in
 * C order, of the k-th sink's input. Returns false when an integer operation overflowed. */
struct interpreted {
    int sinks;
    const void **sink;
    const struct fuse_value **value;
};
bool interpret(struct interpreted *out, struct fuse_arena *arena, const struct fuse_ir *ir);
/* Reals may differ by this part of the larger magnitude (and this much near 0); all else must be equal. */
bool interpreted_equal(const struct interpreted *a, const struct interpreted *b, double tolerance);

#endif
