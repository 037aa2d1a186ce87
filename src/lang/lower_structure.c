/* Calls that glue, merge, select and shift along axes, as maps and contractions: no operation needs a whole axis in one
 * place, and every rank reads what its own part of the result is made of.
 *
 *   concat     each argument is read at an offset, and which of them counts depends on the position
 *   concat(x)  one index reads two axes: its quotient and its remainder (core/box.h)
 *   cumsum     doubles the reach of a sum, log2(n) times: each pass adds what lies 1, 2, 4, .. positions before
 *   topk       the largest of what comes after the one before, k times: the order is by value, then by position
 *   rope       the element half an axis away, turned by an angle in double precision
 *   attention  two contractions and a normalised map between them */
#include "lang/lower.h"

#include <math.h>

#define REUSE_WEIGHT 12
#define CHAIN_WEIGHT 400
/* Positions of NaN are counted from here on: they rank after everything else. */
#define NAN_BASE ((int64_t)1 << 61)

#define OP1(op, a) fuse_term_op(l, FUSE_SCALAR_##op, (a), NULL, NULL)
#define OP2(op, a, b) fuse_term_op(l, FUSE_SCALAR_##op, (a), (b), NULL)
#define SELECT(c, a, b) fuse_term_op(l, FUSE_SCALAR_SELECT, (c), (a), (b))
#define INTEGER(value) fuse_term_integer(l, (value))

/* The term with index `from` replaced by `to`, and `shift` positions before it. */
static struct fuse_term *shifted(struct fuse_lowering *l, struct fuse_term *term, int from, int to, int64_t shift) {
    int map[FUSE_MAX_INDICES];
    int64_t by[FUSE_MAX_INDICES] = {0};
    for (int k = 0; k < FUSE_MAX_INDICES; k++)
        map[k] = k;
    map[from] = to;
    by[from] = shift;
    return fuse_term_move(l, term, map, by);
}

static int only_index(uint64_t set) {
    return __builtin_ctzll(set);
}

/* ---- concat and stack ------------------------------------------------------------------------------------------- */

/* Outside of its part an argument is computed too, from zeros, and not used: integers could overflow there. */
static struct fuse_term *safe_outside(struct fuse_lowering *l, struct fuse_term *x) {
    return x->node.dtype == FUSE_I64 ? fuse_materialise(l, x) : fuse_settle(l, x, REUSE_WEIGHT);
}

static struct fuse_term *concat(struct fuse_lowering *l, const struct fuse_node *node, enum fuse_dtype want) {
    enum fuse_dtype dtype = fuse_compute_type(node->inner, want);
    struct fuse_term *place = fuse_term_iota(l, node->index), *result = NULL;
    int64_t end = l->extent[node->index];
    for (int k = node->n - 1; k >= 0; k--) {
        int glued = only_index(node->own[k]);
        struct fuse_term *x = safe_outside(l, fuse_lower_argument(l, node, k, dtype, want));
        int64_t begin = end - l->extent[glued];
        x = shifted(l, x, glued, node->index, begin);
        result = result ? SELECT(OP2(LT, place, INTEGER(end)), x, result) : x;
        result = fuse_settle(l, result, CHAIN_WEIGHT);
        end = begin;
    }
    return result;
}

static struct fuse_term *stack(struct fuse_lowering *l, const struct fuse_node *node, enum fuse_dtype want) {
    enum fuse_dtype dtype = fuse_compute_type(node->inner, want);
    struct fuse_term *place = fuse_term_iota(l, node->index), *result = NULL;
    for (int k = node->n - 1; k >= 0; k--) {
        struct fuse_term *x = fuse_lower_argument(l, node, k, dtype, want);
        result = result ? SELECT(OP2(EQ, place, INTEGER(k)), x, result) : x;
        result = fuse_settle(l, result, CHAIN_WEIGHT);
    }
    return result;
}

/* The argument is stored with the two axes last, so that they are one in memory too. */
static struct fuse_term *merge(struct fuse_lowering *l, const struct fuse_node *node, enum fuse_dtype want) {
    struct fuse_term *x = fuse_lower_node(l, node->arg[0], want);
    int axes[FUSE_MAX_INDICES], rank = 0;
    for (int k = 0; k < FUSE_MAX_INDICES; k++)
        if (x->axes & ~node->own[0] & FUSE_BIT(k))
            axes[rank++] = k;
    axes[rank] = node->pair[0];
    axes[rank + 1] = node->pair[1];
    int64_t width = l->extent[node->pair[1]];
    int value = fuse_whole_value(l, x);
    struct fuse_access access = fuse_access_identity(rank + 2);
    for (int a = 0; a < rank + 2; a++) {
        if (value >= 0 && (x->use->access.rank != rank + 2 || x->use->access.at[a].index != axes[a]))
            value = -1;
        access.at[a].index = axes[a];
    }
    if (value < 0)
        value = fuse_emit_map(l, x, axes, rank + 2, 0, FUSE_REDUCE_NONE, x->node.dtype, NULL);
    if (value < 0 || width == 0)
        return fuse_term_cast(l, INTEGER(0), x->node.dtype);
    access.at[rank] = (struct fuse_access_axis){.index = node->index, .stride = 1, .divide = width};
    access.at[rank + 1] = (struct fuse_access_axis){.index = node->index, .stride = 1, .modulo = width};
    return fuse_term_load(l, value, &access);
}

/* ---- cumsum and rope -------------------------------------------------------------------------------------------- */

/* A term may have lost an axis on the way (x ** 0 is 1 everywhere): what does not change along it adds up by counting. */
struct fuse_term *fuse_lower_cumsum(struct fuse_lowering *l, struct fuse_term *x, uint64_t set) {
    for (; set; set &= set - 1) {
        int index = only_index(set);
        if (!(x->axes & FUSE_BIT(index))) {
            struct fuse_term *count = OP2(ADD, fuse_term_iota(l, index), INTEGER(1));
            x = OP2(MUL, x, fuse_term_cast(l, count, x->node.dtype));
            continue;
        }
        for (int64_t reach = 1; reach < l->extent[index]; reach *= 2) {
            x = fuse_materialise(l, x);
            x = OP2(ADD, x, shifted(l, x, index, index, reach));
        }
    }
    return x;
}

/* Element k of the first half and its partner in the second turn by pos base^(-2 k / d): (a cos - b sin, b cos + a sin). */
struct fuse_term *fuse_lower_rope(struct fuse_lowering *l, const struct fuse_node *node, struct fuse_term *x,
                                  enum fuse_dtype want) {
    enum fuse_dtype dtype = x->node.dtype;
    int index = only_index(node->taken);
    int64_t n = l->extent[index], half = n / 2;
    if (n % 2 != 0) {
        if (!l->failed)
            fuse_complain(l->c, node->span,
                          "rope turns pairs (k, k + d/2): index '%s' has %lld elements, an odd number", l->name[index],
                          (long long)n);
        l->failed = true;
        return x;
    }
    struct fuse_term *place = fuse_term_iota(l, index), *low = OP2(LT, place, INTEGER(half));
    struct fuse_term *pair = SELECT(low, place, OP2(SUB, place, INTEGER(half)));
    struct fuse_term *power =
        OP2(MUL, fuse_term_cast(l, pair, FUSE_F64), fuse_term_real(l, FUSE_F64, -2.0 / (double)n));
    struct fuse_term *base = fuse_lower_argument(l, node, 2, FUSE_F64, FUSE_F64);
    struct fuse_term *angle = OP2(MUL, fuse_lower_argument(l, node, 1, FUSE_F64, FUSE_F64), OP2(POW, base, power));
    angle = fuse_settle(l, angle, REUSE_WEIGHT);
    struct fuse_term *cosine = fuse_settle(l, fuse_term_cast(l, OP1(COS, angle), dtype), REUSE_WEIGHT);
    struct fuse_term *sine = fuse_settle(l, fuse_term_cast(l, OP1(SIN, angle), dtype), REUSE_WEIGHT);
    struct fuse_term *after = shifted(l, x, index, index, -half), *before = shifted(l, x, index, index, half);
    struct fuse_term *partner = SELECT(low, OP1(NEG, after), before);
    (void)want;
    return OP2(ADD, OP2(MUL, x, cosine), OP2(MUL, partner, sine));
}

/* ---- topk ------------------------------------------------------------------------------------------------------- */

/* The one that ranks next: its value, and its position, from NAN_BASE on for NaN. */
struct ranked {
    struct fuse_term *value, *place;
};

static struct ranked next_ranked(struct fuse_lowering *l, struct fuse_term *x, int index, const struct ranked *last) {
    bool real = x->node.dtype != FUSE_I64;
    uint64_t set = FUSE_BIT(index);
    struct fuse_term *here = fuse_term_iota(l, index), *nan = real ? OP1(ISNAN, x) : NULL, *left = NULL;
    if (last)
        left = OP2(OR, OP2(LT, x, last->value), OP2(AND, OP2(EQ, x, last->value), OP2(LT, last->place, here)));
    else if (real)
        left = OP1(NOT, nan);
    struct fuse_term *lowest = real ? fuse_term_real(l, x->node.dtype, -INFINITY) : INTEGER(INT64_MIN);
    struct fuse_term *top = fuse_project(l, left ? SELECT(left, x, lowest) : x, set, FUSE_REDUCE_MAX);
    struct fuse_term *hit = OP2(EQ, x, top), *otherwise = INTEGER(INT64_MAX);
    if (left)
        hit = OP2(AND, left, hit);
    if (real) {
        struct fuse_term *late = OP2(ADD, here, INTEGER(NAN_BASE));
        otherwise = SELECT(last ? OP2(AND, nan, OP2(LT, last->place, late)) : nan, late, otherwise);
    }
    struct ranked next = {top, fuse_project(l, SELECT(hit, here, otherwise), set, FUSE_REDUCE_MIN)};
    if (real)
        next.value = fuse_settle(
            l, SELECT(OP2(LT, next.place, INTEGER(NAN_BASE)), top, fuse_term_real(l, x->node.dtype, NAN)), 1);
    return next;
}

/* All that rank, along the node's new index: their values and their positions. */
static void rank_all(struct fuse_lowering *l, const struct fuse_node *node, enum fuse_dtype want,
                     struct fuse_term **values, struct fuse_term **places) {
    int index = only_index(node->own[0]);
    struct fuse_term *x = fuse_lower_node(l, node->arg[0], want), *rank = fuse_term_iota(l, node->index);
    if (x->node.dtype == FUSE_BOOL)
        x = fuse_term_cast(l, x, FUSE_I64);
    x = fuse_settle(l, x, REUSE_WEIGHT);
    *values = fuse_term_cast(l, INTEGER(0), x->node.dtype);
    *places = INTEGER(0);
    struct ranked last;
    for (int64_t k = 0; k < l->extent[node->index]; k++) {
        last = next_ranked(l, x, index, k > 0 ? &last : NULL);
        struct fuse_term *before = OP2(LT, rank, INTEGER(k)), *place = last.place;
        place = SELECT(OP2(LT, place, INTEGER(NAN_BASE)), place, OP2(SUB, place, INTEGER(NAN_BASE)));
        *values = k > 0 ? fuse_settle(l, SELECT(before, *values, last.value), CHAIN_WEIGHT) : last.value;
        *places = k > 0 ? fuse_settle(l, SELECT(before, *places, place), CHAIN_WEIGHT) : place;
    }
}

static struct fuse_term *topk(struct fuse_lowering *l, const struct fuse_node *node, enum fuse_dtype want) {
    struct fuse_term *values, *places;
    rank_all(l, node, want, &values, &places);
    return node->builtin->code == FUSE_BUILTIN_TOPK_INDEX ? places : values;
}

/* Positions are exact in F64 below 2^53, which is more elements than an axis of reals can have in memory. */
struct fuse_term *fuse_lower_ranking(struct fuse_lowering *l, const struct fuse_node *node, int pair,
                                     enum fuse_dtype want) {
    struct fuse_term *values, *places;
    rank_all(l, node, want, &values, &places);
    enum fuse_dtype dtype = values->node.dtype == FUSE_I64 ? FUSE_I64 : FUSE_F64;
    return SELECT(OP2(EQ, fuse_term_iota(l, pair), INTEGER(0)), fuse_term_cast(l, places, dtype),
                  fuse_term_cast(l, values, dtype));
}

/* ---- attention -------------------------------------------------------------------------------------------------- */

static struct fuse_term *contract(struct fuse_lowering *l, struct fuse_term *a, struct fuse_term *b, int index,
                                  enum fuse_dtype dtype) {
    struct fuse_term *factor[2] = {a, b};
    for (int k = 0; k < 2; k++)
        factor[k] = fuse_is_load(factor[k]) ? factor[k] : fuse_materialise(l, factor[k]);
    if (l->failed)
        return fuse_term_real(l, dtype, 0);
    return fuse_emit_einsum(l, factor, 2, FUSE_BIT(index), dtype);
}

/* Which keys a query sees; NULL: all. */
static struct fuse_term *seen_keys(struct fuse_lowering *l, const struct fuse_node *node, enum fuse_dtype want) {
    struct fuse_term *seen = node->arg[3] ? fuse_lower_truth(l, node->arg[3], want) : NULL;
    if (node->number.real > 0) {
        struct fuse_term *past = OP2(LE, fuse_term_iota(l, node->pair[1]), fuse_term_iota(l, node->index));
        seen = seen ? OP2(AND, seen, past) : past;
    }
    return seen ? fuse_settle(l, seen, REUSE_WEIGHT) : NULL;
}

static struct fuse_term *attention(struct fuse_lowering *l, const struct fuse_node *node, enum fuse_dtype want) {
    enum fuse_dtype dtype = fuse_compute_type(node->inner, want);
    int width = node->pair[0], key = node->pair[1];
    struct fuse_term *argument[3];
    for (int k = 0; k < 3; k++)
        argument[k] = fuse_lower_argument(l, node, k, dtype, want);
    struct fuse_term *scale = node->arg[4] ? fuse_lower_argument(l, node, 4, dtype, want)
                                           : fuse_term_real(l, dtype, 1 / sqrt((double)l->extent[width]));
    struct fuse_term *score = OP2(MUL, contract(l, argument[0], argument[1], width, dtype), scale);
    struct fuse_term *seen = seen_keys(l, node, want), *zero = fuse_term_real(l, dtype, 0);
    if (seen)
        score = SELECT(seen, score, fuse_term_real(l, dtype, -INFINITY));
    struct fuse_term *top = fuse_project(l, score, FUSE_BIT(key), FUSE_REDUCE_MAX);
    struct fuse_term *weight = OP1(EXP, OP2(SUB, score, top));
    if (seen)
        weight = SELECT(seen, weight, zero);
    weight = fuse_materialise(l, weight);
    struct fuse_term *total = fuse_project(l, weight, FUSE_BIT(key), FUSE_REDUCE_SUM);
    struct fuse_term *mean = OP2(DIV, contract(l, weight, argument[2], key, dtype), total);
    return seen || l->extent[key] == 0 ? SELECT(OP2(EQ, total, zero), zero, mean) : mean;
}

struct fuse_term *fuse_lower_structure(struct fuse_lowering *l, const struct fuse_node *node, enum fuse_dtype want) {
    switch (node->kind) {
    case FUSE_NODE_CONCAT: return concat(l, node, want);
    case FUSE_NODE_MERGE: return merge(l, node, want);
    case FUSE_NODE_STACK: return stack(l, node, want);
    case FUSE_NODE_TOPK: return topk(l, node, want);
    default: return attention(l, node, want);
    }
}
