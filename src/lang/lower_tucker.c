/* tucker_dense: for each axis of x the subspace of the `rank` largest singular vectors of its unfolding; x is projected on
 * all of them (truncated HOSVD) and compared with the threshold.
 *
 * The vectors come one after the other from the Gram matrix G of an axis, n x n in double precision, by contractions that are
 * distributed like all others: G^(2^SQUARINGS), scaled to trace 1 as it grows, is the projector on the largest eigenvalue's
 * space, whose heaviest column is an eigenvector v; G then goes on as (1 - vv') G (1 - vv'). Eigenvalues that agree to
 * 1e-8 of each other are one space; which of its vectors come first matters only if the rank cuts it. No rank holds an
 * unfolding; one needs n^2 elements of several n x n matrices at the most. The price is 2 SQUARINGS n^3 operations a
 * vector. */
#include "lang/lower.h"

#define SQUARINGS 30
/* What is left of G's trace below this is rounding. */
#define NOTHING_LEFT 1e-13
/* A vector that orthogonalisation takes this much of was none of its own. */
#define NOT_NEW 1e-6

#define OP1(op, a) fuse_term_op(l, FUSE_SCALAR_##op, (a), NULL, NULL)
#define OP2(op, a, b) fuse_term_op(l, FUSE_SCALAR_##op, (a), (b), NULL)
#define SELECT(c, a, b) fuse_term_op(l, FUSE_SCALAR_SELECT, (c), (a), (b))
#define REAL(value) fuse_term_real(l, FUSE_F64, (value))
#define SUM(term, index) fuse_project(l, (term), FUSE_BIT(index), FUSE_REDUCE_SUM)

/* Rows, columns and the index between two matrices, beside the equation's own. */
enum { ROW = FUSE_MAX_INDICES - 3, COLUMN, BETWEEN };

/* The value that a load reads, through other indices. What stands in for an operation that failed stays as it is. */
static struct fuse_term *at(struct fuse_lowering *l, struct fuse_term *load, int a, int b) {
    if (!fuse_is_load(load))
        return load;
    struct fuse_access access = fuse_access_identity(load->use->access.rank);
    access.at[0].index = a;
    if (access.rank > 1)
        access.at[1].index = b;
    return fuse_term_load(l, load->use->value, &access);
}

static struct fuse_term *product(struct fuse_lowering *l, struct fuse_term *a, struct fuse_term *b, uint64_t set) {
    if (!fuse_is_load(a) || !fuse_is_load(b))
        return REAL(0);
    struct fuse_term *const factor[2] = {a, b};
    return fuse_emit_einsum(l, factor, 2, set, FUSE_F64);
}

/* The tensor with one of its indices called otherwise. */
static struct fuse_term *renamed(struct fuse_lowering *l, struct fuse_term *load, int from, int to) {
    if (!fuse_is_load(load))
        return load;
    struct fuse_access access = load->use->access;
    for (int a = 0; a < access.rank; a++)
        if (access.at[a].index == from)
            access.at[a].index = to;
    return fuse_term_load(l, load->use->value, &access);
}

static struct fuse_term *trace(struct fuse_lowering *l, struct fuse_term *matrix) {
    return SUM(at(l, matrix, ROW, ROW), ROW);
}

/* 0 where the divisor is. */
static struct fuse_term *quotient(struct fuse_lowering *l, struct fuse_term *a, struct fuse_term *b) {
    return fuse_materialise(l, SELECT(OP2(LT, REAL(0), b), OP2(DIV, a, b), REAL(0)));
}

static struct fuse_term *dominant_projector(struct fuse_lowering *l, struct fuse_term *gram) {
    struct fuse_term *power = quotient(l, at(l, gram, ROW, COLUMN), trace(l, gram));
    for (int k = 0; k < SQUARINGS && !l->failed; k++) {
        power = product(l, at(l, power, ROW, BETWEEN), at(l, power, BETWEEN, COLUMN), FUSE_BIT(BETWEEN));
        power = quotient(l, power, trace(l, power));
    }
    return power;
}

/* The column of the largest diagonal element, orthogonal to what `found` projects on and of length 1; 0 when there is no
 * further one. */
static struct fuse_term *next_vector(struct fuse_lowering *l, struct fuse_term *gram, struct fuse_term *found,
                                     struct fuse_term *first_trace) {
    struct fuse_term *power = dominant_projector(l, gram), *diagonal = at(l, power, COLUMN, COLUMN);
    struct fuse_term *largest = fuse_project(l, diagonal, FUSE_BIT(COLUMN), FUSE_REDUCE_MAX);
    struct fuse_term *here = fuse_term_iota(l, COLUMN);
    struct fuse_term *place = fuse_project(l, SELECT(OP2(EQ, diagonal, largest), here, fuse_term_integer(l, INT64_MAX)),
                                           FUSE_BIT(COLUMN), FUSE_REDUCE_MIN);
    struct fuse_term *v = SUM(SELECT(OP2(EQ, here, place), at(l, power, ROW, COLUMN), REAL(0)), COLUMN);
    v = quotient(l, v, OP1(SQRT, SUM(OP2(MUL, v, v), ROW)));
    for (int pass = 0; found && pass < 2; pass++) {
        struct fuse_term *old = product(l, at(l, found, ROW, COLUMN), at(l, v, COLUMN, 0), FUSE_BIT(COLUMN));
        v = fuse_materialise(l, OP2(SUB, v, old));
        struct fuse_term *length = OP1(SQRT, SUM(OP2(MUL, v, v), ROW));
        v = quotient(l, v, SELECT(OP2(LT, REAL(NOT_NEW), length), length, REAL(0)));
    }
    struct fuse_term *left = OP2(LT, OP2(MUL, REAL(NOTHING_LEFT), first_trace), trace(l, gram));
    return fuse_materialise(l, SELECT(left, v, REAL(0)));
}

/* (1 - vv') G (1 - vv') */
static struct fuse_term *without(struct fuse_lowering *l, struct fuse_term *gram, struct fuse_term *v) {
    struct fuse_term *w = product(l, at(l, gram, ROW, COLUMN), at(l, v, COLUMN, 0), FUSE_BIT(COLUMN));
    struct fuse_term *value = SUM(OP2(MUL, v, w), ROW);
    struct fuse_term *vc = at(l, v, COLUMN, 0), *wc = at(l, w, COLUMN, 0);
    struct fuse_term *mixed = OP2(ADD, OP2(MUL, v, wc), OP2(MUL, w, vc));
    struct fuse_term *rest = OP2(SUB, at(l, gram, ROW, COLUMN), mixed);
    return fuse_materialise(l, OP2(ADD, rest, OP2(MUL, value, OP2(MUL, v, vc))));
}

/* The projector, rows by columns, on the `rank` directions of the index in which x is largest. */
static struct fuse_term *projector(struct fuse_lowering *l, struct fuse_term *x, int index, int64_t rank) {
    for (int k = ROW; k <= BETWEEN; k++)
        l->extent[k] = l->extent[index];
    struct fuse_term *gram =
        product(l, renamed(l, x, index, ROW), renamed(l, x, index, COLUMN), x->axes & ~FUSE_BIT(index));
    struct fuse_term *all = trace(l, gram), *found = NULL;
    for (int64_t k = 0; k < rank && !l->failed; k++) {
        struct fuse_term *v = next_vector(l, gram, found, all);
        struct fuse_term *own = OP2(MUL, v, at(l, v, COLUMN, 0));
        found = fuse_materialise(l, found ? OP2(ADD, at(l, found, ROW, COLUMN), own) : own);
        if (k + 1 < rank)
            gram = without(l, gram, v);
    }
    return found;
}

struct fuse_term *fuse_lower_tucker(struct fuse_lowering *l, const struct fuse_node *node, enum fuse_dtype want) {
    struct fuse_term *x = fuse_lower_argument(l, node, 0, FUSE_F64, want);
    struct fuse_term *threshold = fuse_lower_argument(l, node, 1, FUSE_F64, FUSE_F64);
    if (l->eq->indices > ROW) {
        fuse_complain(l->c, node->span, "tucker_dense has no room for its own indices: the equation has more than %d",
                      ROW);
        l->failed = true;
        return OP2(LT, threshold, x);
    }
    static const char *const names[] = {"row", "column", "between"};
    for (int k = ROW; k <= BETWEEN; k++)
        l->name[k] = names[k - ROW];
    x = fuse_materialise(l, x);
    struct fuse_term *near = x, *largest = fuse_project(l, OP1(ABS, x), x->axes, FUSE_REDUCE_MAX);
    struct fuse_term *scaled = quotient(l, x, largest); /* squares of what is scaled cannot leave the range */
    for (int index = 0; index < ROW; index++) {
        if (!(x->axes & FUSE_BIT(index)) || node->number.integer >= l->extent[index])
            continue;
        struct fuse_term *onto = projector(l, scaled, index, node->number.integer);
        if (l->failed)
            break;
        near = product(l, renamed(l, near, index, BETWEEN), at(l, onto, index, BETWEEN), FUSE_BIT(BETWEEN));
    }
    return OP2(LT, threshold, near);
}
