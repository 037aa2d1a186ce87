/* Products of truths: AND, and OR over what is summed. */
#include "lang/lower.h"

#define CHAIN_WEIGHT 400
/* Counts of witnesses stay below the largest F32, and so never become inf or NaN. */
#define MOST_WITNESSES ((double)1e37)

static struct fuse_term *both(struct fuse_lowering *l, struct fuse_term *a, struct fuse_term *b) {
    return fuse_settle(l, a ? fuse_term_op(l, FUSE_SCALAR_AND, a, b, NULL) : b, CHAIN_WEIGHT);
}

/* How many witnesses there may be. */
static double witnesses(const struct fuse_lowering *l, uint64_t set) {
    double n = 1;
    for (int k = 0; k < FUSE_MAX_INDICES; k++)
        if (set & FUSE_BIT(k))
            n *= (double)l->extent[k];
    return n;
}

/* Witnesses are counted, and there is one when the count is positive: sums of products of 0 and 1 are 0 in F32 only when
 * every product is, however many there are. So matrix kernels do the work. */
static struct fuse_term *count_witnesses(struct fuse_lowering *l, struct fuse_term *const *factor, int factors,
                                         uint64_t sum) {
    struct fuse_term **load = FUSE_NEW_ARRAY(l->c->arena, struct fuse_term *, factors);
    for (int k = 0; k < factors; k++)
        load[k] = fuse_is_load(factor[k]) ? factor[k] : fuse_materialise(l, factor[k]);
    if (l->failed)
        return fuse_term_bool(l, false);
    enum fuse_dtype dtype = witnesses(l, sum) < MOST_WITNESSES ? FUSE_F32 : FUSE_F64;
    return fuse_term_cast(l, fuse_emit_einsum(l, load, factors, sum, dtype), FUSE_BOOL);
}

struct fuse_term *fuse_lower_conjunction(struct fuse_lowering *l, const struct fuse_node *node, enum fuse_dtype want) {
    struct fuse_term **factor = FUSE_NEW_ARRAY(l->c->arena, struct fuse_term *, node->n);
    struct fuse_term *all = NULL, *rest = NULL;
    uint64_t axes = 0;
    int factors = 0, relation = fuse_choose_factor(l, node);
    for (int k = 0; k < node->n; k++) {
        struct fuse_term *term = k == relation ? fuse_term_cast(l, fuse_lower_factor(l, node->arg[k]), FUSE_BOOL)
                                               : fuse_lower_truth(l, node->arg[k], want);
        if (term->axes & node->sum) {
            factor[factors++] = term;
            axes |= term->axes;
        } else {
            rest = both(l, rest, term);
        }
    }
    if (rest && rest->relation && relation >= 0)
        rest = fuse_materialise(l, rest);
    if (!node->sum)
        return rest;
    /* One factor that spans everything is read whole anyway. */
    bool one_sweep = (node->sum & ~axes) != 0;
    for (int k = 0; k < factors; k++)
        one_sweep |= factor[k]->axes == axes;
    if (one_sweep) {
        for (int k = 0; k < factors; k++)
            all = both(l, all, factor[k]);
        all = fuse_project(l, all ? all : fuse_term_bool(l, true), node->sum, FUSE_REDUCE_OR);
    } else {
        all = count_witnesses(l, factor, factors, node->sum);
    }
    return rest ? both(l, all, rest) : all;
}
