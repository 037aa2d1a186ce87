/* Products of truths: AND, and OR over what is summed. */
#include "lang/lower.h"

#define CHAIN_WEIGHT 400

static struct fuse_term *both(struct fuse_lowering *l, struct fuse_term *a, struct fuse_term *b) {
    return fuse_settle(l, a ? fuse_term_op(l, FUSE_SCALAR_AND, a, b, NULL) : b, CHAIN_WEIGHT);
}

/* A product of matrices over AND and OR. */
static struct fuse_term *join(struct fuse_lowering *l, struct fuse_term *const *factor, int factors, uint64_t sum) {
    struct fuse_term **load = FUSE_NEW_ARRAY(l->c->arena, struct fuse_term *, factors);
    for (int k = 0; k < factors; k++)
        load[k] = fuse_is_load(factor[k]) ? factor[k] : fuse_materialise(l, factor[k]);
    return l->failed ? fuse_term_bool(l, false) : fuse_emit_einsum(l, load, factors, sum, FUSE_BOOL);
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
        all = join(l, factor, factors, node->sum);
    }
    return rest ? both(l, all, rest) : all;
}
