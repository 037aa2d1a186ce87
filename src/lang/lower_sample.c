/* Monte-Carlo projection. A sum over a set of indices, K points in all, is estimated from N of them that are drawn uniformly and
 * with replacement: K / N times the sum over the drawn points, whose mean is the sum itself. Points are a relation with one row
 * a point, (n, i, j, ..), so a factor at the drawn points is a join that picks N of its rows, and a product of such factors is
 * contracted over n: nothing runs over all K points. Integers are summed exactly, and so is what a relation keeps sparse. */
#include "lang/lower.h"

/* Of the drawn points; no equation that is sampled has so many of its own. */
#define POINT (FUSE_MAX_INDICES - 1)

int64_t fuse_index_points(const struct fuse_lowering *l, uint64_t set) {
    int64_t n = 1;
    for (int k = 0; k < FUSE_MAX_INDICES; k++)
        if (set & FUSE_BIT(k))
            n = fuse_sat_mul(n, l->extent[k]);
    return n;
}

static bool is_sampled(const struct fuse_lowering *l, uint64_t set, enum fuse_dtype dtype) {
    int64_t samples = l->c->settings.samples;
    return samples > 0 && (dtype == FUSE_F32 || dtype == FUSE_F64) && fuse_index_points(l, set) > samples && l->eq &&
           l->eq->indices < FUSE_MAX_AXES && !l->driver;
}

/* Of this sum of this equation, whatever the ranks and whatever else is computed. */
static int64_t draw_seed(struct fuse_lowering *l) {
    int64_t seed = l->c->settings.seed;
    uint64_t sum = ((uint64_t)l->eq->number << 20) + (uint64_t)++l->draws;
    return (int64_t)(((uint64_t)seed + 1) * 0x9e3779b97f4a7c15ULL ^ sum * 0xd1342543de82ef95ULL);
}

/* The drawn points along some of the summed indices, `all`: a load of the relation. */
static struct fuse_term *draw_points(struct fuse_lowering *l, uint64_t set, uint64_t all, int64_t seed) {
    struct fuse_draw *draw = FUSE_NEW(l->c->arena, struct fuse_draw);
    struct fuse_access access = {.rank = 1, .at = {{.index = POINT, .stride = 1}}};
    int64_t extent[FUSE_MAX_AXES] = {l->c->settings.samples};
    *draw = (struct fuse_draw){.rows = l->c->settings.samples, .seed = seed};
    for (int k = 0, number = 0; k < FUSE_MAX_INDICES; k++) {
        if (!(all & FUSE_BIT(k)))
            continue;
        if (set & FUSE_BIT(k)) {
            draw->number[draw->indices] = number;
            draw->extent[draw->indices++] = l->extent[k];
            extent[access.rank] = l->extent[k];
            access.at[access.rank++] = (struct fuse_access_axis){.index = k, .stride = 1};
        }
        number++;
    }
    struct fuse_op op = {.kind = FUSE_OP_LITERAL, .span = l->span, .draw = draw, .reduce = FUSE_REDUCE_OR};
    op.probe.tally = fuse_draw_tally(draw, l->c->arena);
    op.out = fuse_ir_add_value(l->c->ir, NULL, l->span, FUSE_BOOL, access.rank, extent);
    l->c->ir->values.at[op.out].storage = FUSE_STORAGE_RELATION;
    fuse_ir_add_op(l->c->ir, &op);
    l->extent[POINT] = l->c->settings.samples;
    l->name[POINT] = "sample";
    return fuse_term_load(l, op.out, &access);
}

/* The term at the drawn points, summed over `set`. */
static struct fuse_term *sum_at(struct fuse_lowering *l, struct fuse_term *term, struct fuse_term *points,
                                uint64_t set) {
    struct fuse_term *at = FUSE_NEW(l->c->arena, struct fuse_term);
    *at = *term;
    at->epoch = 0;
    at->relation = points->use;
    at->axes |= points->axes;
    return fuse_project(l, at, set, FUSE_REDUCE_SUM);
}

static struct fuse_term *scale(struct fuse_lowering *l, struct fuse_term *sum, uint64_t set) {
    double factor = (double)fuse_index_points(l, set) / (double)l->c->settings.samples;
    return fuse_term_op(l, FUSE_SCALAR_MUL, sum, fuse_term_real(l, sum->node.dtype, factor), NULL);
}

struct fuse_term *fuse_sum_term(struct fuse_lowering *l, struct fuse_term *term, uint64_t set) {
    if (!is_sampled(l, set, term->node.dtype) || term->relation || (set & ~term->axes))
        return fuse_project(l, term, set, FUSE_REDUCE_SUM);
    struct fuse_term *points = draw_points(l, set, set, draw_seed(l));
    return scale(l, sum_at(l, term, points, set | FUSE_BIT(POINT)), set);
}

struct fuse_term *fuse_sum_product(struct fuse_lowering *l, struct fuse_term *const *factor, int factors, uint64_t set,
                                   enum fuse_dtype dtype) {
    bool sampled = is_sampled(l, set, dtype);
    for (int k = 0; k < factors; k++)
        sampled &= !factor[k]->relation;
    if (!sampled)
        return fuse_emit_einsum(l, factor, factors, set, dtype);
    struct fuse_term **picked = FUSE_NEW_ARRAY(l->c->arena, struct fuse_term *, factors);
    int64_t seed = draw_seed(l);
    for (int k = 0; k < factors; k++) {
        uint64_t own = factor[k]->axes & set;
        picked[k] = factor[k];
        if (own)
            picked[k] = sum_at(l, fuse_term_cast(l, factor[k], dtype), draw_points(l, own, set, seed), own);
    }
    return l->failed ? picked[0] : scale(l, fuse_emit_einsum(l, picked, factors, FUSE_BIT(POINT), dtype), set);
}
