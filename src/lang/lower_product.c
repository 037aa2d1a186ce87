/* A chain of * and / with the sums that land at it. */
#include "lang/lower.h"

#define CHAIN_WEIGHT 400
/* Loads and a scalar operation or two: computed again for every element of the product rather than stored. */
#define CHEAP_WEIGHT 4

struct product {
    struct fuse_lowering *l;
    enum fuse_dtype dtype; /* of the whole product */
    uint64_t sum;
    int n;
    struct fuse_term **factor;
    bool *inverse;
};

static bool is_integer(const struct fuse_term *term) {
    return term->node.dtype == FUSE_BOOL || term->node.dtype == FUSE_I64;
}

/* One step of a product: integers stay integers until a real or a division comes. */
static struct fuse_term *multiply(struct product *p, struct fuse_term *a, struct fuse_term *b, bool divide) {
    enum fuse_dtype dtype = !divide && is_integer(a) && is_integer(b) ? FUSE_I64 : p->dtype;
    a = fuse_term_cast(p->l, a, dtype);
    b = fuse_term_cast(p->l, b, dtype);
    return fuse_settle(p->l, fuse_term_op(p->l, divide ? FUSE_SCALAR_DIV : FUSE_SCALAR_MUL, a, b, NULL), CHAIN_WEIGHT);
}

static struct fuse_term *one(struct product *p) {
    return fuse_term_integer(p->l, 1);
}

/* The factors from the list that `take` allows, in order; NULL when there is none. */
static struct fuse_term *multiply_all(struct product *p, struct fuse_term *start, const bool *take) {
    struct fuse_term *result = start;
    for (int k = 0; k < p->n; k++) {
        if (!take[k])
            continue;
        if (!result)
            result = p->inverse[k] ? multiply(p, one(p), p->factor[k], true) : p->factor[k];
        else
            result = multiply(p, result, p->factor[k], p->inverse[k]);
    }
    return result;
}

/* A divisor over a summed index joins a factor that has all its indices: then what is left is a pure product. Returns
 * false when there is a divisor for which no factor will do. Beside a relation it becomes a factor: the tuples' own values
 * stay what they are. */
static bool absorb_divisors(struct product *p, bool *summed, bool joins) {
    bool pure = true;
    for (int d = 0; d < p->n; d++) {
        if (!p->inverse[d] || !(p->factor[d]->axes & p->sum))
            continue;
        int host = -1;
        for (int k = 0; k < p->n; k++)
            if (!p->inverse[k] && summed[k] && !p->factor[k]->relation && !(p->factor[d]->axes & ~p->factor[k]->axes) &&
                (host < 0 || k < d))
                host = k;
        if (host < 0 && joins) {
            p->factor[d] = fuse_settle(p->l, multiply(p, one(p), p->factor[d], true), CHEAP_WEIGHT);
            p->inverse[d] = false;
            continue;
        }
        if (host < 0) {
            pure = false;
            continue;
        }
        p->factor[host] = multiply(p, p->factor[host], p->factor[d], true);
        summed[d] = false;
        p->factor[d] = NULL;
    }
    return pure;
}

/* A load as it is, without the conversion that a product does by itself; NULL for anything else. */
static struct fuse_term *bare_load(struct fuse_term *term) {
    while (term->node.op == FUSE_SCALAR_CAST && term->node.dtype != FUSE_BOOL && is_integer(term->a))
        term = term->a;
    return fuse_is_load(term) ? term : NULL;
}

/* true when a factor that must be computed spans the whole product: then nothing is gained by storing it. */
static bool is_one_sweep(const struct product *p, const bool *summed) {
    uint64_t all = 0;
    int factors = 0;
    for (int k = 0; k < p->n; k++)
        if (summed[k]) {
            all |= p->factor[k]->axes;
            factors++;
        }
    for (int k = 0; k < p->n; k++)
        if (summed[k] && p->factor[k]->axes == all && (factors == 1 || !bare_load(p->factor[k])))
            return true;
    return false;
}

static struct fuse_term *sum_in_one_sweep(struct product *p, const bool *summed) {
    uint64_t all = 0;
    for (int k = 0; k < p->n; k++)
        all |= summed[k] ? p->factor[k]->axes : 0;
    for (int k = 0; k < p->n; k++)
        if (summed[k] && p->factor[k]->axes != all)
            p->factor[k] = fuse_settle(p->l, p->factor[k], CHEAP_WEIGHT);
    return fuse_sum_term(p->l, multiply_all(p, NULL, summed), p->sum);
}

static struct fuse_term *sum_by_einsum(struct product *p, const bool *summed) {
    struct fuse_term **load = FUSE_NEW_ARRAY(p->l->c->arena, struct fuse_term *, p->n);
    enum fuse_dtype dtype = FUSE_I64;
    int loads = 0;
    for (int k = 0; k < p->n; k++) {
        if (!summed[k])
            continue;
        if (!is_integer(p->factor[k]))
            dtype = p->dtype;
        struct fuse_term *bare = bare_load(p->factor[k]);
        load[loads++] = bare ? bare : fuse_materialise(p->l, p->factor[k]);
    }
    if (p->l->failed)
        return fuse_term_cast(p->l, fuse_term_integer(p->l, 0), dtype);
    return fuse_sum_product(p->l, load, loads, p->sum, dtype);
}

struct fuse_term *fuse_lower_product(struct fuse_lowering *l, const struct fuse_node *node, enum fuse_dtype want) {
    struct product p = {.l = l, .dtype = fuse_compute_type(node->inner, want), .sum = node->sum, .n = node->n};
    bool *summed = FUSE_NEW_ARRAY(l->c->arena, bool, node->n), *rest = FUSE_NEW_ARRAY(l->c->arena, bool, node->n);
    p.factor = FUSE_NEW_ARRAY(l->c->arena, struct fuse_term *, node->n);
    p.inverse = FUSE_NEW_ARRAY(l->c->arena, bool, node->n);
    int relation = fuse_choose_factor(l, node);
    for (int k = 0; k < node->n; k++) {
        p.inverse[k] = node->inverse[k];
        p.factor[k] = k == relation ? fuse_lower_factor(l, node->arg[k]) : fuse_lower_node(l, node->arg[k], want);
        rest[k] = true;
    }
    enum fuse_dtype result = fuse_compute_type(node->type, want);
    if (!p.sum) {
        struct fuse_term *product = fuse_term_cast(l, multiply_all(&p, NULL, rest), result);
        return relation >= 0 ? fuse_materialise(l, product) : product;
    }

    /* X[j] ** 0 is the constant 1: its sum still counts. */
    uint64_t present = 0;
    for (int k = 0; k < node->n; k++)
        present |= p.factor[k]->axes;
    if (p.sum & ~present)
        return fuse_term_cast(l, fuse_project(l, multiply_all(&p, NULL, rest), p.sum, FUSE_REDUCE_SUM), result);

    /* Scalars, and divisors that lack every summed index, wait until the sum is done. */
    for (int k = 0; k < node->n; k++) {
        uint64_t axes = p.factor[k]->axes;
        summed[k] = p.inverse[k] ? (axes & p.sum) != 0 : axes != 0;
        rest[k] = !summed[k];
    }
    bool pure = absorb_divisors(&p, summed, relation >= 0);
    struct fuse_term *sum =
        !pure || is_one_sweep(&p, summed) ? sum_in_one_sweep(&p, summed) : sum_by_einsum(&p, summed);
    return fuse_term_cast(l, multiply_all(&p, sum, rest), result);
}
