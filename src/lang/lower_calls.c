/* Builtins as terms and operations. No operation needs a whole axis in one place: normalisers are reductions, whose
 * results are broadcast again. */
#include "lang/lower.h"

#include <math.h>

/* What is used more than once is stored when it is more than a few loads and operations. */
#define REUSE_WEIGHT 12
#define NORMALISED_WEIGHT 4 /* a normaliser uses its argument three times, and may write over it */

#define OP1(op, a) fuse_term_op(l, FUSE_SCALAR_##op, (a), NULL, NULL)
#define OP2(op, a, b) fuse_term_op(l, FUSE_SCALAR_##op, (a), (b), NULL)
#define REAL(value) fuse_term_real(l, dtype, (value))

static struct fuse_term *zero(struct fuse_lowering *l, enum fuse_dtype dtype) {
    return dtype == FUSE_I64 ? fuse_term_integer(l, 0) : fuse_term_real(l, dtype, 0);
}

/* ---- element-wise ---------------------------------------------------------------------------------------------- */

/* sqrt(2/pi) (x + 0.044715 x^3) */
static struct fuse_term *gelu_inside(struct fuse_lowering *l, struct fuse_term *x, enum fuse_dtype dtype) {
    struct fuse_term *square = OP2(MUL, x, x);
    struct fuse_term *cubic = OP2(ADD, REAL(1), OP2(MUL, REAL(0.044715), square));
    return OP2(MUL, OP2(MUL, REAL(0.79788456080286535588), x), cubic);
}

static struct fuse_term *gelu(struct fuse_lowering *l, struct fuse_term *x, enum fuse_dtype dtype) {
    return OP2(MUL, OP2(MUL, REAL(0.5), x), OP2(ADD, REAL(1), OP1(TANH, gelu_inside(l, x, dtype))));
}

/* 0.5 (1 + t) + 0.5 x (1 - t^2) sqrt(2/pi) (1 + 3 0.044715 x^2), t the tanh of gelu */
static struct fuse_term *gelu_grad(struct fuse_lowering *l, struct fuse_term *x, enum fuse_dtype dtype) {
    struct fuse_term *t = OP1(TANH, gelu_inside(l, x, dtype));
    struct fuse_term *slope =
        OP2(MUL, REAL(0.79788456080286535588), OP2(ADD, REAL(1), OP2(MUL, REAL(0.134145), OP2(MUL, x, x))));
    struct fuse_term *bend = OP2(MUL, OP2(SUB, REAL(1), OP2(MUL, t, t)), slope);
    return OP2(MUL, REAL(0.5), OP2(ADD, OP2(ADD, REAL(1), t), OP2(MUL, x, bend)));
}

/* T = 0 is the step, also where only the run knows T. */
static struct fuse_term *sig(struct fuse_lowering *l, const struct fuse_node *node, enum fuse_dtype want) {
    if (node->inner.dtype == FUSE_BOOL)
        return fuse_lower_truth(l, node->arg[0], want);
    enum fuse_dtype dtype = fuse_compute_type(node->inner, want);
    struct fuse_term *x = fuse_lower_argument(l, node, 0, dtype, want),
                     *t = fuse_lower_argument(l, node, 1, dtype, want);
    struct fuse_term *smooth = OP1(SIGMOID, OP2(DIV, x, t));
    if (t->node.op == FUSE_SCALAR_CONST)
        return smooth;
    struct fuse_term *step = fuse_term_cast(l, fuse_term_cast(l, x, FUSE_BOOL), dtype);
    return fuse_term_op(l, FUSE_SCALAR_SELECT, OP2(EQ, t, REAL(0)), step, smooth);
}

static struct fuse_term *cast(struct fuse_lowering *l, const struct fuse_node *node, enum fuse_dtype want) {
    static const struct {
        int64_t low, high;
    } range[] = {[FUSE_U8] = {0, UINT8_MAX},
                 [FUSE_I8] = {INT8_MIN, INT8_MAX},
                 [FUSE_I16] = {INT16_MIN, INT16_MAX},
                 [FUSE_I32] = {INT32_MIN, INT32_MAX}};
    enum fuse_dtype to = node->cast, from = fuse_compute_type(node->arg[0]->type, want);
    struct fuse_term *x = fuse_lower_node(l, node->arg[0], to == FUSE_F64 ? FUSE_F64 : want);
    if (to == FUSE_BOOL)
        return fuse_term_cast(l, x, FUSE_BOOL);
    if (to == FUSE_F64)
        return fuse_term_cast(l, x, FUSE_F64);
    if (fuse_dtype_class(to) == FUSE_CLASS_REAL) {
        if (from == FUSE_F64 && to != FUSE_F32)
            x = fuse_term_narrow(l, x, to);
        x = fuse_term_cast(l, x, FUSE_F32);
        return to == FUSE_F32 ? x : fuse_term_narrow(l, x, to);
    }
    x = fuse_term_cast(l, x, FUSE_I64);
    if (to == FUSE_I64)
        return x;
    x = OP2(MAXIMUM, x, fuse_term_integer(l, range[to].low));
    return OP2(MINIMUM, x, fuse_term_integer(l, range[to].high));
}

static struct fuse_term *element(struct fuse_lowering *l, const struct fuse_node *node, enum fuse_dtype want) {
    enum fuse_dtype dtype = fuse_compute_type(node->inner, want);
    enum fuse_builtin_code code = node->builtin->code;
    if (code == FUSE_BUILTIN_SIG)
        return sig(l, node, want);
    if (code == FUSE_BUILTIN_TUCKER_DENSE)
        return fuse_lower_tucker(l, node, want);
    if (code == FUSE_BUILTIN_CAST)
        return cast(l, node, want);
    if (code == FUSE_BUILTIN_STEP)
        return fuse_lower_truth(l, node->arg[0], want);
    if (code == FUSE_BUILTIN_ISNAN) {
        struct fuse_term *x = fuse_lower_node(l, node->arg[0], want);
        bool real = x->node.dtype == FUSE_F32 || x->node.dtype == FUSE_F64;
        return OP1(ISNAN, real ? x : fuse_term_cast(l, x, FUSE_F64));
    }

    struct fuse_term *x = fuse_lower_argument(l, node, 0, dtype, want);
    bool whole = dtype == FUSE_I64;
    switch (code) {
    case FUSE_BUILTIN_RELU: return OP2(MAXIMUM, x, zero(l, dtype));
    case FUSE_BUILTIN_SILU: x = fuse_settle(l, x, REUSE_WEIGHT); return OP2(MUL, x, OP1(SIGMOID, x));
    case FUSE_BUILTIN_GELU: return gelu(l, fuse_settle(l, x, REUSE_WEIGHT), dtype);
    case FUSE_BUILTIN_GELU_GRAD: return gelu_grad(l, fuse_settle(l, x, REUSE_WEIGHT), dtype);
    case FUSE_BUILTIN_GELU_ERF:
        x = fuse_settle(l, x, REUSE_WEIGHT);
        return OP2(MUL, OP2(MUL, REAL(0.5), x), OP2(ADD, REAL(1), OP1(ERF, OP2(MUL, x, REAL(0.70710678118654752440)))));
    case FUSE_BUILTIN_FLOOR:
    case FUSE_BUILTIN_CEIL:
    case FUSE_BUILTIN_ROUND: return whole ? x : fuse_term_op(l, node->builtin->scalar, x, NULL, NULL);
    case FUSE_BUILTIN_CLIP:
        if (node->arg[1])
            x = OP2(MAXIMUM, x, fuse_lower_argument(l, node, 1, dtype, want));
        return node->arg[2] ? OP2(MINIMUM, x, fuse_lower_argument(l, node, 2, dtype, want)) : x;
    default: break;
    }
    bool two = fuse_scalar_arity(node->builtin->scalar) == 2;
    return fuse_term_op(l, node->builtin->scalar, x, two ? fuse_lower_argument(l, node, 1, dtype, want) : NULL, NULL);
}

/* ---- reductions ------------------------------------------------------------------------------------------------ */

static struct fuse_term *extents(struct fuse_lowering *l, uint64_t set, enum fuse_dtype dtype) {
    double n = 1;
    for (int k = 0; k < FUSE_MAX_INDICES; k++)
        if (set & FUSE_BIT(k))
            n *= (double)l->extent[k];
    return REAL(n);
}

/* The sum of the argument; a product has summed the taken indices itself. */
static struct fuse_term *sum_argument(struct fuse_lowering *l, const struct fuse_node *node, enum fuse_dtype want) {
    const struct fuse_node *arg = node->arg[0];
    struct fuse_term *x = fuse_lower_node(l, arg, want);
    uint64_t left = arg->kind == FUSE_NODE_PRODUCT ? node->taken & ~arg->taken : node->taken;
    return left ? fuse_sum_term(l, x, left) : x;
}

static struct fuse_term *argmax(struct fuse_lowering *l, const struct fuse_node *node, enum fuse_reduce best,
                                enum fuse_dtype want) {
    struct fuse_term *x = fuse_lower_node(l, node->arg[0], want);
    if (x->node.dtype == FUSE_BOOL)
        x = fuse_term_cast(l, x, FUSE_I64);
    x = fuse_settle(l, x, REUSE_WEIGHT);
    struct fuse_term *top = fuse_project(l, x, node->taken, best);
    struct fuse_term *hit = OP2(EQ, x, top);
    if (x->node.dtype != FUSE_I64)
        hit = OP2(OR, hit, OP1(ISNAN, x));
    struct fuse_term *place = fuse_term_iota(l, __builtin_ctzll(node->taken));
    place = fuse_term_op(l, FUSE_SCALAR_SELECT, hit, place, fuse_term_integer(l, INT64_MAX));
    return fuse_project(l, place, node->taken, FUSE_REDUCE_MIN);
}

static struct fuse_term *logsumexp(struct fuse_lowering *l, struct fuse_term *x, uint64_t set, enum fuse_dtype dtype) {
    x = fuse_settle(l, x, REUSE_WEIGHT);
    struct fuse_term *top = fuse_project(l, x, set, FUSE_REDUCE_MAX);
    /* Infinite maxima would make inf - inf. */
    struct fuse_term *shift = fuse_term_op(l, FUSE_SCALAR_SELECT, OP2(LT, OP1(ABS, top), REAL(INFINITY)), top, REAL(0));
    struct fuse_term *sum = fuse_project(l, OP1(EXP, OP2(SUB, x, shift)), set, FUSE_REDUCE_SUM);
    return OP2(ADD, OP1(LOG, sum), shift);
}

static struct fuse_term *reduction(struct fuse_lowering *l, const struct fuse_node *node, enum fuse_dtype want) {
    enum fuse_dtype dtype = fuse_compute_type(node->inner, want);
    uint64_t set = node->taken;
    switch (node->builtin->code) {
    case FUSE_BUILTIN_SUM: return fuse_term_cast(l, sum_argument(l, node, want), dtype);
    case FUSE_BUILTIN_MEAN:
    case FUSE_BUILTIN_AVG:
        return OP2(DIV, fuse_term_cast(l, sum_argument(l, node, want), dtype), extents(l, set, dtype));
    case FUSE_BUILTIN_ANY: return fuse_project(l, fuse_lower_truth(l, node->arg[0], want), set, FUSE_REDUCE_OR);
    case FUSE_BUILTIN_ALL: return fuse_project(l, fuse_lower_truth(l, node->arg[0], want), set, FUSE_REDUCE_AND);
    case FUSE_BUILTIN_ARGMAX: return argmax(l, node, FUSE_REDUCE_MAX, want);
    case FUSE_BUILTIN_ARGMIN: return argmax(l, node, FUSE_REDUCE_MIN, want);
    default: break;
    }
    struct fuse_term *x = fuse_lower_argument(l, node, 0, dtype, want);
    switch (node->builtin->code) {
    case FUSE_BUILTIN_MAX:
    case FUSE_BUILTIN_AMAX: return fuse_project(l, x, set, FUSE_REDUCE_MAX);
    case FUSE_BUILTIN_MIN:
    case FUSE_BUILTIN_AMIN: return fuse_project(l, x, set, FUSE_REDUCE_MIN);
    case FUSE_BUILTIN_PROD: return fuse_project(l, x, set, FUSE_REDUCE_PROD);
    case FUSE_BUILTIN_LOGSUMEXP: return logsumexp(l, x, set, dtype);
    default: break;
    }
    x = fuse_settle(l, x, REUSE_WEIGHT);
    return OP1(SQRT, fuse_project(l, OP2(MUL, x, x), set, FUSE_REDUCE_SUM)); /* norm */
}

/* ---- normalisers ----------------------------------------------------------------------------------------------- */

static struct fuse_term *softmax(struct fuse_lowering *l, struct fuse_term *x, uint64_t set, bool logarithm) {
    struct fuse_term *top = fuse_project(l, x, set, FUSE_REDUCE_MAX);
    struct fuse_term *down = OP2(SUB, x, top);
    struct fuse_term *sum = fuse_project(l, OP1(EXP, down), set, FUSE_REDUCE_SUM);
    return logarithm ? OP2(SUB, down, OP1(LOG, sum)) : OP2(DIV, OP1(EXP, down), sum);
}

static struct fuse_term *masked_softmax(struct fuse_lowering *l, struct fuse_term *x, struct fuse_term *mask,
                                        uint64_t set, enum fuse_dtype dtype) {
    struct fuse_term *seen = fuse_term_op(l, FUSE_SCALAR_SELECT, mask, x, REAL(-INFINITY));
    struct fuse_term *top = fuse_project(l, seen, set, FUSE_REDUCE_MAX);
    struct fuse_term *power = OP1(EXP, OP2(SUB, x, top));
    struct fuse_term *sum =
        fuse_project(l, fuse_term_op(l, FUSE_SCALAR_SELECT, mask, power, REAL(0)), set, FUSE_REDUCE_SUM);
    return fuse_term_op(l, FUSE_SCALAR_SELECT, mask, OP2(DIV, power, sum), REAL(0));
}

static struct fuse_term *mean_of(struct fuse_lowering *l, struct fuse_term *x, uint64_t set, enum fuse_dtype dtype) {
    return OP2(DIV, fuse_project(l, x, set, FUSE_REDUCE_SUM), extents(l, set, dtype));
}

/* layernorm(x, eps, weight, bias), rmsnorm(x, eps, weight) */
static struct fuse_term *scale_norm(struct fuse_lowering *l, const struct fuse_node *node, struct fuse_term *x,
                                    bool centre, uint64_t set, enum fuse_dtype want) {
    enum fuse_dtype dtype = fuse_compute_type(node->inner, want);
    if (centre)
        x = OP2(SUB, x, mean_of(l, x, set, dtype));
    struct fuse_term *variance = mean_of(l, OP2(MUL, x, x), set, dtype);
    variance = OP2(ADD, variance, fuse_lower_argument(l, node, 1, dtype, want));
    x = OP2(DIV, x, OP1(SQRT, variance));
    if (node->arg[2])
        x = OP2(MUL, x, fuse_lower_argument(l, node, 2, dtype, want));
    if (centre && node->arg[3])
        x = OP2(ADD, x, fuse_lower_argument(l, node, 3, dtype, want));
    return x;
}

static struct fuse_term *normaliser(struct fuse_lowering *l, const struct fuse_node *node, enum fuse_dtype want) {
    enum fuse_dtype dtype = fuse_compute_type(node->inner, want);
    uint64_t set = node->taken;
    struct fuse_term *x = fuse_settle(l, fuse_lower_argument(l, node, 0, dtype, want), NORMALISED_WEIGHT);
    switch (node->builtin->code) {
    case FUSE_BUILTIN_CUMSUM: return fuse_lower_cumsum(l, x, set);
    case FUSE_BUILTIN_ROPE: return fuse_lower_rope(l, node, x, want);
    case FUSE_BUILTIN_SOFTMAX: return softmax(l, x, set, false);
    case FUSE_BUILTIN_LOG_SOFTMAX: return softmax(l, x, set, true);
    case FUSE_BUILTIN_MASKED_SOFTMAX: {
        struct fuse_term *mask = fuse_settle(l, fuse_lower_truth(l, node->arg[1], want), REUSE_WEIGHT);
        return masked_softmax(l, x, mask, set, dtype);
    }
    case FUSE_BUILTIN_SOFTMAX_GRAD: {
        struct fuse_term *g = fuse_settle(l, fuse_lower_argument(l, node, 1, dtype, want), REUSE_WEIGHT);
        return OP2(MUL, x, OP2(SUB, g, fuse_project(l, OP2(MUL, x, g), set, FUSE_REDUCE_SUM)));
    }
    case FUSE_BUILTIN_RMSNORM: return scale_norm(l, node, x, false, set, want);
    default: return scale_norm(l, node, x, true, set, want);
    }
}

/* ---- the left side's positions --------------------------------------------------------------------------------- */

/* A position of the left side as a number; one that is fixed counts from the final extent when it is negative. */
static struct fuse_term *coordinate(struct fuse_lowering *l, const struct fuse_node *node, int k) {
    const struct fuse_position *at = &node->at[k];
    if (at->index >= 0)
        return fuse_term_iota(l, at->index);
    const struct fuse_tensor *tensor = l->c->tensors.at[l->eq->tensor];
    int first = l->eq->carried;
    int64_t n = node->positions == tensor->rank - first ? fuse_domain_of(l->c, tensor->domain[first + k])->extent : 0;
    return fuse_term_integer(l, at->offset < 0 ? at->offset + n : at->offset);
}

/* The element's number in C order. */
static struct fuse_term *counter(struct fuse_lowering *l, const struct fuse_node *node) {
    const struct fuse_tensor *tensor = l->c->tensors.at[l->eq->tensor];
    struct fuse_term *number = fuse_term_integer(l, 0);
    for (int a = 0; a < node->positions; a++) {
        int64_t n = fuse_domain_of(l->c, tensor->domain[l->eq->carried + a])->extent;
        if (a > 0)
            number = OP2(MUL, number, fuse_term_integer(l, n));
        number = a > 0 ? OP2(ADD, number, coordinate(l, node, a)) : coordinate(l, node, a);
    }
    return number;
}

static bool is_constant(const struct fuse_term *term, double value) {
    return term->node.op == FUSE_SCALAR_CONST && term->node.real == value;
}

struct fuse_term *fuse_lower_left(struct fuse_lowering *l, const struct fuse_node *node, enum fuse_dtype want) {
    enum fuse_dtype dtype = FUSE_F32;
    struct fuse_term *draw, *low, *high;
    switch (node->builtin->code) {
    case FUSE_BUILTIN_CAUSAL_MASK: return OP2(LE, coordinate(l, node, 1), coordinate(l, node, 0));
    case FUSE_BUILTIN_EYE:
        dtype = fuse_compute_type(node->inner, want);
        return fuse_term_op(l, FUSE_SCALAR_SELECT, OP2(EQ, coordinate(l, node, 0), coordinate(l, node, 1)), REAL(1),
                            REAL(0));
    case FUSE_BUILTIN_BERNOULLI:
        draw = fuse_term_random(l, FUSE_SCALAR_UNIFORM, node->number.integer, counter(l, node));
        return OP2(LT, draw, fuse_lower_argument(l, node, 0, dtype, dtype));
    default: break;
    }
    bool normal = node->builtin->code == FUSE_BUILTIN_NORMAL;
    draw =
        fuse_term_random(l, normal ? FUSE_SCALAR_NORMAL : FUSE_SCALAR_UNIFORM, node->number.integer, counter(l, node));
    low = fuse_lower_argument(l, node, 0, dtype, dtype);
    high = fuse_lower_argument(l, node, 1, dtype, dtype);
    if (is_constant(low, 0) && is_constant(high, 1))
        return draw;
    return OP2(ADD, low, OP2(MUL, draw, normal ? high : OP2(SUB, high, low)));
}

static struct fuse_term *one_hot(struct fuse_lowering *l, const struct fuse_node *node, enum fuse_dtype want) {
    struct fuse_term *x = fuse_lower_node(l, node->arg[0], want), *place = fuse_term_iota(l, node->index);
    if (x->node.dtype == FUSE_BOOL)
        x = fuse_term_cast(l, x, FUSE_I64);
    return OP2(EQ, x, fuse_term_cast(l, place, x->node.dtype));
}

struct fuse_term *fuse_lower_builtin(struct fuse_lowering *l, const struct fuse_node *node, enum fuse_dtype want) {
    switch (node->kind) {
    case FUSE_NODE_ELEMENT: return element(l, node, want);
    case FUSE_NODE_REDUCE: return reduction(l, node, want);
    case FUSE_NODE_NORMALISE: return normaliser(l, node, want);
    default: return one_hot(l, node, want);
    }
}
