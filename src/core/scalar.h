/* Scalar expressions: what a map computes at one point of its iteration space.
 *
 * A list of nodes in evaluation order; the last one is the result. Each node has one compute dtype: BOOL, I64, F32 or
 * F64 (core/dtype.h). Rules, checked by fuse_scalar_verify: arguments come earlier in the list; arithmetic has the
 * arguments' dtype; comparisons and tests give BOOL from two arguments of one dtype; SELECT's a is BOOL, b and c have
 * the result's dtype; CAST converts between any two; I64 never appears under DIV, EXP and the other real functions.
 * Built by lowering, rewritten by ir, run by the back ends. Local and pure. */
#ifndef FUSE_CORE_SCALAR_H
#define FUSE_CORE_SCALAR_H

#include "core/arena.h"
#include "core/dtype.h"
#include "core/error.h"
#include "core/text.h"

enum fuse_scalar_op {
#define FUSE_SCALAR(NAME, args, text, doc) FUSE_SCALAR_##NAME,
#include "core/scalar.def"
#undef FUSE_SCALAR
    FUSE_SCALAR_OPS
};

struct fuse_scalar_node {
    enum fuse_scalar_op op;
    enum fuse_dtype dtype; /* BOOL, I64, F32 or F64 */
    int a, b, c;           /* argument nodes; unused ones are -1 */
    int arg;               /* LOAD: operand, IOTA: iteration index, NARROW: dtype */
    int64_t integer;       /* CONST of BOOL or I64; UNIFORM, NORMAL: seed */
    double real;           /* CONST of F32 or F64 */
};

struct fuse_scalar {
    int n;
    struct fuse_scalar_node *node;
};

int fuse_scalar_arity(enum fuse_scalar_op op);

/* A function of the mathematical library: many times as slow as an addition, and with reals its last bit depends on the
 * processor. */
bool fuse_scalar_is_transcendental(enum fuse_scalar_op op);
const char *fuse_scalar_name(enum fuse_scalar_op op);

/* BUG when a rule above is broken; operands and indices are the numbers of valid LOAD and IOTA arguments. */
enum fuse_status fuse_scalar_verify(const struct fuse_scalar *scalar, int operands, int indices,
                                    struct fuse_error *err) FUSE_CHECKED;
/* A body that is -inf where index `key` is above index `row` + *shift, and at other points perhaps: scores of an attention
 * in which queries see keys up to a position of their own. The result is a SELECT, and its test says so or, unless it is all of it
 * (*alone), one side of the AND that it is. */
bool fuse_scalar_is_causal(const struct fuse_scalar *scalar, int key, int row, int64_t *shift, bool *alone);
/* "add(load(0), const(1))", shared nodes written again. */
void fuse_scalar_print(struct fuse_text *text, const struct fuse_scalar *scalar);

/* One value of a node, the slow way: the definition that every back end must match. args are the arguments' values. */
union fuse_scalar_value {
    int64_t integer; /* BOOL (0 or 1) and I64 */
    double real;     /* F64, and F32 rounded to float */
};
/* Evaluates every op but LOAD and IOTA. *overflow is set (never cleared) when an I64 operation overflows. */
union fuse_scalar_value fuse_scalar_eval(const struct fuse_scalar_node *node, enum fuse_dtype argument_dtype,
                                         union fuse_scalar_value a, union fuse_scalar_value b,
                                         union fuse_scalar_value c, bool *overflow);

/* Philox 4x32-10 (Salmon et al., SC 2011): counter {low, high, 0, 0}, key {low, high of seed}. */
void fuse_philox(uint32_t out[4], uint64_t counter, uint64_t seed);

#endif
