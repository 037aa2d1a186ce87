/* Contraction order: products become pairs, and what a pair need not do leaves it.
 *
 *   1. An index of one operand alone is summed in that operand first.
 *   2. A product that projects nothing is a MAP, whatever its number of operands (fuse_ir_fuse can then take it in).
 *   3. The rest is split into pairs: the exact optimum up to EXACT_INPUTS operands, greedily beyond.
 *   4. A pair with a relation is a JOIN; its work is that of the tuples.
 *
 * An iteration has at most FUSE_MAX_AXES indices and every intermediate's axes are some of them, so no order can need a
 * tensor of too many axes. Integer products that overflow in one order may not in another: like a sum's, an overflow is
 * that of the order taken. */
#include "ir/ir.h"

#include "ir/rewrite.h"

#include <string.h>

#define EXACT_INPUTS 12
/* A multiplication in a JOIN counts as so many of a matrix product's. */
#define JOIN_WORK 8
/* Orders whose work differs by at most one part in so many: how they read memory tells which is faster. */
#define NEARLY 128
/* Rows of an operand that lie a multiple of so many bytes apart fall on one another in the caches: several at a time are read slowly. */
#define ALIAS (64 << 10)
/* An element of an intermediate, which is written, kept and read, counts as so many of an operand whose rows fall on one another. */
#define KEPT 4
/* Most terms of a sum that is better read in rows. */
#define SHORT_SUM 64
/* Repeating a summand is a multiplication up to here, where every count is exact in F32. */
#define MAX_FACTOR ((int64_t)1 << 24)

struct operand {
    int value;
    struct fuse_access access; /* in the indices of the whole product */
    uint32_t mask;             /* those that it uses */
    int64_t tuples;            /* of a relation, at most; -1: it is dense */
};

struct product {
    struct fuse_ir *ir;
    struct fuse_op *op; /* the operation that is split; it becomes the last step */
    struct fuse_body *body;
    enum fuse_dtype dtype;
    uint32_t out;
    int n;
    struct operand *operand;
};

static int64_t points(const struct fuse_op *op, uint32_t mask) {
    int64_t product = 1;
    for (int x = 0; x < op->indices; x++)
        if (mask >> x & 1)
            product = fuse_sat_mul(product, op->extent[x]);
    return product;
}

static uint32_t union_of(const struct product *p) {
    uint32_t mask = 0;
    for (int i = 0; i < p->n; i++)
        mask |= p->operand[i].mask;
    return mask;
}

/* Indices that exactly one operand uses and the output does not. */
static uint32_t private_indices(const struct product *p) {
    uint32_t once = 0, twice = 0;
    for (int i = 0; i < p->n; i++) {
        twice |= once & p->operand[i].mask;
        once |= p->operand[i].mask;
    }
    return once & ~twice & ~p->out;
}

/* Body of a MAP: factor times the product of `n` inputs, in the output's dtype. */
static const struct fuse_scalar *product_body(struct product *p, const struct operand *operand, int n, int64_t factor) {
    const enum fuse_scalar_op times = p->dtype == FUSE_BOOL ? FUSE_SCALAR_AND : FUSE_SCALAR_MUL;
    int root = -1;
    fuse_body_reset(p->body);
    for (int i = 0; i < n; i++) {
        enum fuse_dtype dtype = fuse_dtype_compute(p->ir->values.at[operand[i].value].dtype);
        int load = fuse_body_load(p->body, i, dtype);
        int term = fuse_body_unary(p->body, FUSE_SCALAR_CAST, p->dtype, load);
        root = i == 0 ? term : fuse_body_binary(p->body, times, p->dtype, root, term);
    }
    if (factor != 1)
        root = fuse_body_binary(p->body, FUSE_SCALAR_MUL, p->dtype, root, fuse_body_integer(p->body, p->dtype, factor));
    return fuse_body_finish(p->body, root);
}

/* In `to`, with the relation, if there is one, before the others. Returns whether there is. */
static bool sort_operands(struct operand *to, const struct operand *operand, int n) {
    int relation = -1, next = 0;
    for (int i = 0; i < n && relation < 0; i++)
        relation = operand[i].tuples >= 0 ? i : -1;
    if (relation >= 0)
        to[next++] = operand[relation];
    for (int i = 0; i < n; i++)
        if (i != relation)
            to[next++] = operand[i];
    return relation >= 0;
}

/* The step that multiplies `n` operands over the indices `over`, first those of `axis[0 .. rank)`, the output's, then
 * projected ones. A JOIN when one of them is a relation, a MAP when there is one operand or nothing is projected. */
static struct fuse_op *make_step(struct product *p, const struct operand *unsorted, int n, const int *axis, int rank,
                                 uint32_t over, int64_t factor) {
    struct operand *operand = FUSE_NEW_ARRAY(p->ir->arena, struct operand, n + 1);
    bool joins = sort_operands(operand, unsorted, n);
    const struct fuse_op *op = p->op;
    struct fuse_op *step = FUSE_NEW(p->ir->arena, struct fuse_op);
    int number[FUSE_MAX_AXES] = {0};
    step->span = op->span;
    for (int a = 0; a < rank; a++) {
        number[axis[a]] = step->indices;
        step->out_index[a] = step->indices++;
        over &= ~((uint32_t)1 << axis[a]);
    }
    for (int x = 0; x < op->indices; x++)
        if (over >> x & 1)
            number[x] = step->indices++;
    for (int a = 0; a < rank; a++) {
        step->extent[number[axis[a]]] = op->extent[axis[a]];
        step->index_name[number[axis[a]]] = op->index_name[axis[a]];
    }
    for (int x = 0; x < op->indices; x++)
        if (over >> x & 1) {
            step->extent[number[x]] = op->extent[x];
            step->index_name[number[x]] = op->index_name[x];
        }

    step->inputs = n;
    step->input = FUSE_NEW_ARRAY(p->ir->arena, struct fuse_use, n);
    for (int i = 0; i < n; i++) {
        step->input[i].value = operand[i].value;
        step->input[i].access = operand[i].access;
        for (int a = 0; a < operand[i].access.rank; a++)
            if (operand[i].access.at[a].index >= 0)
                step->input[i].access.at[a].index = number[operand[i].access.at[a].index];
    }
    const enum fuse_reduce sum = fuse_product_reduce(p->dtype);
    step->reduce = over ? sum : FUSE_REDUCE_NONE;
    step->kind = n == 1 || !over || factor != 1 ? FUSE_OP_MAP : FUSE_OP_EINSUM;
    if (joins) {
        step->kind = FUSE_OP_JOIN;
        step->reduce = sum;
    }
    if (step->kind != FUSE_OP_EINSUM && n > 0)
        step->body = product_body(p, operand, n, factor);
    return step;
}

/* A step whose output is a new intermediate with the axes `axis`. */
static struct operand add_intermediate(struct product *p, const struct operand *operand, int n, const int *axis,
                                       int rank, uint32_t over, int64_t factor) {
    int64_t extent[FUSE_MAX_AXES];
    struct operand result = {.access = fuse_access_identity(rank), .tuples = -1};
    for (int a = 0; a < rank; a++) {
        extent[a] = p->op->extent[axis[a]];
        result.access.at[a].index = axis[a];
        result.mask |= (uint32_t)1 << axis[a];
    }
    struct fuse_op *step = make_step(p, operand, n, axis, rank, over, factor);
    result.value = fuse_ir_add_value(p->ir, NULL, p->op->span, p->dtype, rank, extent);
    step->out = result.value;
    fuse_ir_push_op(p->ir, step);
    return result;
}

/* The last step, into the output itself. */
static void add_last(struct product *p, const struct operand *operand, int n, uint32_t over) {
    int rank = p->ir->values.at[p->op->out].rank;
    uint32_t read = 0;
    for (int i = 0; i < n; i++)
        read |= operand[i].mask;
    struct operand whole;
    if (n > 1 && (over & ~p->out) && (p->out & ~read)) {
        /* No operand of the contraction has this axis of the output: contract first, then repeat. */
        int axis[FUSE_MAX_AXES], axes = 0;
        for (int a = 0; a < rank; a++)
            if (read >> p->op->out_index[a] & 1)
                axis[axes++] = p->op->out_index[a];
        whole = add_intermediate(p, operand, n, axis, axes, over & (read | ~p->out), 1);
        operand = &whole;
        n = 1;
        over = 0;
    }
    struct fuse_op *step = make_step(p, operand, n, p->op->out_index, rank, over | p->out, 1);
    step->out = p->op->out;
    *p->op = *step;
    fuse_ir_push_op(p->ir, p->op);
}

static void add_zeros(struct product *p) {
    struct fuse_op *step = make_step(p, NULL, 0, p->op->out_index, p->ir->values.at[p->op->out].rank, p->out, 1);
    fuse_body_reset(p->body);
    step->body = fuse_body_finish(p->body, fuse_body_integer(p->body, p->dtype, 0));
    step->out = p->op->out;
    *p->op = *step;
    fuse_ir_push_op(p->ir, p->op);
}

/* Whether the step that sums `summed` finds it between other axes, though it had better find it in rows: the sum is short, and
 * the result has the other indices, `rest`, side by side. Many flat products would take the place of a large one. */
static bool wants_rows(const struct product *p, const int *axis, int rank, uint32_t summed, uint32_t rest) {
    const uint32_t lowest = rest & -rest;
    int changes = 0;
    for (int a = 1; a < rank; a++)
        changes += (summed >> axis[a] & 1) != (summed >> axis[a - 1] & 1);
    return changes > 1 && (rest & (rest + lowest)) == 0 && points(p->op, summed) <= SHORT_SUM;
}

static int add_axes(int *axis, int rank, const struct fuse_op *op, uint32_t mask) {
    for (int x = 0; x < op->indices; x++)
        if (mask >> x & 1)
            axis[rank++] = x;
    return rank;
}

/* Those of `mask` in the order in which the operand has them, so that its runs are runs of the result. */
static int add_axes_of(int *axis, int rank, const struct fuse_op *op, const struct operand *operand, uint32_t mask) {
    for (int a = 0; a < operand->access.rank; a++) {
        const int x = operand->access.at[a].index;
        if (x < 0 || !(mask >> x & 1))
            continue;
        axis[rank++] = x;
        mask &= ~((uint32_t)1 << x);
    }
    return add_axes(axis, rank, op, mask);
}

/* Whether both operands have one of `shared` as their last axis: their element-wise product is then read and written along it. */
static bool end_in(const struct operand *a, const struct operand *b, uint32_t shared) {
    if (a->access.rank == 0 || b->access.rank == 0)
        return false;
    const int at = a->access.at[a->access.rank - 1].index, bt = b->access.at[b->access.rank - 1].index;
    return at >= 0 && bt >= 0 && (shared >> at & 1) && (shared >> bt & 1);
}

/* Multiplies two operands and keeps the indices `keep`, of which the next step keeps `later`. Axes: shared ones, then those of a,
 * then those of b, which is what a batched matrix product writes without a transpose; those of an operand as they lie there, so that
 * it is read and written in long runs. Or rows of what the next step sums. Where nothing is summed (a Khatri-Rao product) the shared
 * ones come last if they do so in both. */
static struct operand add_pair(struct product *p, const struct operand *a, const struct operand *b, uint32_t keep,
                               uint32_t later) {
    const struct operand pair[2] = {*a, *b};
    const uint32_t shared = a->mask & b->mask & keep, own[2] = {a->mask & ~b->mask & keep, b->mask & ~a->mask & keep};
    const bool last = keep == (a->mask | b->mask) && end_in(a, b, shared);
    int axis[FUSE_MAX_AXES], rank = 0;
    for (int i = 0; i < 3; i++)
        rank = add_axes(axis, rank, p->op, i == 0 ? shared : own[i - 1]);
    if (!last && wants_rows(p, axis, rank, keep & ~later, later)) {
        rank = add_axes(axis, add_axes(axis, 0, p->op, later), p->op, keep & ~later);
    } else {
        rank = last ? 0 : add_axes(axis, 0, p->op, shared);
        for (int i = 0; i < 2; i++)
            rank = add_axes_of(axis, rank, p->op, &pair[i], own[i]);
        rank = last ? add_axes(axis, rank, p->op, shared) : rank;
    }
    return add_intermediate(p, pair, 2, axis, rank, a->mask | b->mask, 1);
}

/* Extents of many sets of indices: the product over a set from those over its bytes. */
struct extents {
    int64_t of_byte[4][256];
};

static void fill_extents(struct extents *extents, const struct fuse_op *op) {
    for (int byte = 0; byte < 4; byte++) {
        int64_t *product = extents->of_byte[byte];
        product[0] = 1;
        for (uint32_t set = 1; set < 256; set++) {
            int index = 8 * byte + __builtin_ctz(set);
            product[set] = fuse_sat_mul(product[set & (set - 1)], index < op->indices ? op->extent[index] : 1);
        }
    }
}

static int64_t points_of(const struct extents *extents, uint32_t mask) {
    int64_t low = fuse_sat_mul(extents->of_byte[0][mask & 255], extents->of_byte[1][mask >> 8 & 255]);
    int64_t high = fuse_sat_mul(extents->of_byte[2][mask >> 16 & 255], extents->of_byte[3][mask >> 24]);
    return fuse_sat_mul(low, high);
}

struct best {
    uint32_t mask; /* indices of the product of this subset */
    int split;     /* one half of the subset */
    int64_t flops, elems;
    int64_t in_rows; /* elements of large operands that are read along their last axis, which is summed */
    int64_t aliased; /* and those of them whose rows fall on one another */
};

/* Of multiplying two subsets over the indices `over`. */
static int64_t work_of(const struct product *p, const struct extents *extents, int half, int other, uint32_t over,
                       bool sums) {
    for (int i = 0; i < p->n; i++)
        if (p->operand[i].tuples >= 0 && (half == 1 << i || other == 1 << i))
            return fuse_sat_mul(fuse_sat_mul(points_of(extents, over & ~p->operand[i].mask), p->operand[i].tuples),
                                JOIN_WORK);
    return sums ? fuse_sat_mul(points_of(extents, over), 2) : points_of(extents, over);
}

/* Elements of an operand that is larger than the result and summed along its last axis: rows by columns need no transpose. 0 for
 * products of several. */
static int64_t rows_of(const struct product *p, int half, uint32_t over, uint32_t keep) {
    if ((half & (half - 1)) != 0)
        return 0;
    const struct operand *operand = &p->operand[__builtin_ctz((unsigned)half)];
    const int rank = operand->access.rank, last = rank > 0 ? operand->access.at[rank - 1].index : -1;
    const int64_t elems = points(p->op, operand->mask);
    return last >= 0 && (over & ~keep) >> last & 1 && elems > points(p->op, keep) ? elems : 0;
}

/* Whether the rows of an operand, which are summed, lie a multiple of ALIAS bytes apart: those that the last axis that is kept counts. */
static bool has_aliased_rows(const struct product *p, int half, uint32_t keep) {
    const struct operand *operand = &p->operand[__builtin_ctz((unsigned)half)];
    int64_t apart = (int64_t)fuse_dtype_bytes(p->ir->values.at[operand->value].dtype);
    for (int a = operand->access.rank - 1; a >= 0; a--) {
        const int index = operand->access.at[a].index;
        if (index >= 0 && (keep >> index & 1))
            return apart % ALIAS == 0;
        apart = index >= 0 ? fuse_sat_mul(apart, p->op->extent[index]) : apart;
    }
    return false;
}

/* What one half of a subset is read like by the multiplication with the other. */
static void add_reads(struct best *next, const struct product *p, int half, uint32_t over) {
    const int64_t rows = rows_of(p, half, over, next->mask);
    next->in_rows = fuse_sat_add(next->in_rows, rows);
    if (rows > 0 && has_aliased_rows(p, half, next->mask))
        next->aliased = fuse_sat_add(next->aliased, rows);
}

/* What an order's operands and intermediates cost to read and to keep, in elements of an operand whose rows fall on one another. */
static int64_t memory_of(const struct best *way) {
    return fuse_sat_add(way->aliased, fuse_sat_mul(way->elems, KEPT));
}

/* Whether `a` is to take the place of `b`: it has less work, or as much and less memory, or as much of both and reads more in rows. Of
 * nearly the same work, it reads fewer rows that fall on one another. */
static bool is_better(const struct best *a, const struct best *b) {
    if (b->split == 0)
        return true;
    const int64_t less = a->flops < b->flops ? a->flops : b->flops, more = a->flops < b->flops ? b->flops : a->flops;
    if (a->aliased != b->aliased && memory_of(a) != memory_of(b) && more - less <= less / NEARLY)
        return memory_of(a) < memory_of(b);
    if (a->flops != b->flops)
        return a->flops < b->flops;
    return a->elems != b->elems ? a->elems < b->elems : a->in_rows > b->in_rows;
}

/* Chooses the last multiplication of every subset, smallest subsets first. */
static void find_best(struct best *best, const struct product *p, const struct extents *extents) {
    int full = (1 << p->n) - 1;
    for (int subset = 1; subset <= full; subset++) {
        uint32_t inside = 0, outside = p->out;
        for (int i = 0; i < p->n; i++)
            *(subset >> i & 1 ? &inside : &outside) |= p->operand[i].mask;
        best[subset].mask = inside & outside;
        best[subset].flops = best[subset].elems = INT64_MAX;
        best[subset].in_rows = best[subset].aliased = best[subset].split = 0;
        if ((subset & (subset - 1)) == 0) {
            best[subset].flops = best[subset].elems = 0;
            best[subset].mask = inside;
            continue;
        }
        int64_t elems = subset == full ? 0 : points_of(extents, best[subset].mask);
        /* Halves with the lowest operand, in increasing order: every split once, ties to the first. */
        int lowest = subset & -subset;
        for (int half = lowest; half < subset; half = (half - subset) & subset) {
            if (!(half & lowest))
                continue;
            const struct best *a = &best[half], *b = &best[subset ^ half];
            uint32_t over = a->mask | b->mask;
            int64_t work = work_of(p, extents, half, subset ^ half, over, (over & ~best[subset].mask) != 0);
            struct best next = {.mask = best[subset].mask, .split = half};
            next.flops = fuse_sat_add(work, fuse_sat_add(a->flops, b->flops));
            next.elems = fuse_sat_add(elems, fuse_sat_add(a->elems, b->elems));
            next.in_rows = fuse_sat_add(a->in_rows, b->in_rows);
            next.aliased = fuse_sat_add(a->aliased, b->aliased);
            add_reads(&next, p, half, over);
            add_reads(&next, p, subset ^ half, over);
            if (is_better(&next, &best[subset]))
                best[subset] = next;
        }
    }
}

/* later: indices that the step keeps which takes this product in. */
static struct operand add_subset(struct product *p, const struct best *best, int subset, uint32_t later) {
    if ((subset & (subset - 1)) == 0)
        return p->operand[__builtin_ctz((unsigned)subset)];
    const uint32_t keep = best[subset].mask;
    struct operand a = add_subset(p, best, best[subset].split, keep);
    struct operand b = add_subset(p, best, subset ^ best[subset].split, keep);
    return add_pair(p, &a, &b, keep, keep & later);
}

static void order_exactly(struct product *p, const struct extents *extents) {
    int full = (1 << p->n) - 1;
    struct best *best = FUSE_NEW_ARRAY(p->ir->arena, struct best, full + 1);
    find_best(best, p, extents);
    struct operand last[2] = {add_subset(p, best, best[full].split, p->out),
                              add_subset(p, best, full ^ best[full].split, p->out)};
    add_last(p, last, 2, last[0].mask | last[1].mask);
}

/* Greedy state: for each operand its best partner among the later ones. Merging two operands changes what other pairs
 * would keep in no way (an index of theirs is still used elsewhere), so only rows that met one of the two are redone. */
struct greedy {
    const struct product *p;
    const struct extents *extents;
    int uses[FUSE_MAX_AXES];
    bool *gone;
    int *partner;
    int64_t *gain; /* elements added by the merge; smallest first */
};

static uint32_t kept_by(const struct greedy *g, int i, int j) {
    uint32_t a = g->p->operand[i].mask, b = g->p->operand[j].mask, keep = 0;
    for (int x = 0; x < g->p->op->indices; x++) {
        int inside = (int)(a >> x & 1) + (int)(b >> x & 1);
        if (inside > 0 && ((g->p->out >> x & 1) || g->uses[x] > inside))
            keep |= (uint32_t)1 << x;
    }
    return keep;
}

static int64_t gain_of(const struct greedy *g, int i, int j) {
    int64_t a = points_of(g->extents, g->p->operand[i].mask), b = points_of(g->extents, g->p->operand[j].mask);
    return points_of(g->extents, kept_by(g, i, j)) - fuse_sat_add(a, b);
}

static void find_partner(struct greedy *g, int i) {
    g->partner[i] = -1;
    for (int j = i + 1; j < g->p->n; j++) {
        if (g->gone[j])
            continue;
        int64_t gain = gain_of(g, i, j);
        if (g->partner[i] < 0 || gain < g->gain[i]) {
            g->partner[i] = j;
            g->gain[i] = gain;
        }
    }
}

static void count_uses(struct greedy *g, uint32_t mask, int change) {
    for (int x = 0; x < g->p->op->indices; x++)
        if (mask >> x & 1)
            g->uses[x] += change;
}

static void order_greedily(struct product *p, const struct extents *extents) {
    struct fuse_arena *arena = p->ir->arena;
    struct greedy g = {.p = p, .extents = extents};
    g.gone = FUSE_NEW_ARRAY(arena, bool, p->n);
    g.partner = FUSE_NEW_ARRAY(arena, int, p->n);
    g.gain = FUSE_NEW_ARRAY(arena, int64_t, p->n);
    for (int i = 0; i < p->n; i++)
        count_uses(&g, p->operand[i].mask, 1);
    for (int i = 0; i < p->n; i++)
        find_partner(&g, i);
    for (int left = p->n; left > 1; left--) {
        int i = -1;
        for (int k = 0; k < p->n; k++)
            if (!g.gone[k] && g.partner[k] >= 0 && (i < 0 || g.gain[k] < g.gain[i]))
                i = k;
        int j = g.partner[i];
        if (left == 2) {
            const struct operand last[2] = {p->operand[i], p->operand[j]};
            add_last(p, last, 2, last[0].mask | last[1].mask);
            return;
        }
        uint32_t keep = kept_by(&g, i, j);
        count_uses(&g, p->operand[i].mask, -1);
        count_uses(&g, p->operand[j].mask, -1);
        p->operand[i] = add_pair(p, &p->operand[i], &p->operand[j], keep, keep);
        count_uses(&g, p->operand[i].mask, 1);
        g.gone[j] = true;
        find_partner(&g, i);
        for (int k = 0; k < j; k++) {
            if (g.gone[k] || k == i)
                continue;
            if (g.partner[k] == i || g.partner[k] == j) {
                find_partner(&g, k);
            } else if (k < i) {
                int64_t gain = gain_of(&g, k, i);
                if (gain < g.gain[k] || (gain == g.gain[k] && i < g.partner[k])) {
                    g.partner[k] = i;
                    g.gain[k] = gain;
                }
            }
        }
    }
}

static struct operand read_operand(const struct fuse_ir *ir, const struct fuse_use *use) {
    struct operand operand = {.value = use->value, .access = use->access, .tuples = -1};
    const struct fuse_value *value = &ir->values.at[use->value];
    if (fuse_is_relation(ir, use->value)) {
        struct fuse_box all = fuse_box_full(value->rank, value->extent);
        operand.tuples = fuse_relation_most(ir, use->value, &all);
    }
    for (int a = 0; a < use->access.rank; a++) {
        if (use->access.at[a].stride == 0)
            operand.access.at[a].index = -1;
        if (operand.access.at[a].index >= 0)
            operand.mask |= (uint32_t)1 << use->access.at[a].index;
    }
    return operand;
}

/* Sums what only one operand has, scaled for projected indices that none has; true when that made a new operand. */
static bool sum_privately(struct product *p, int i, uint32_t projected, int64_t factor) {
    int axis[FUSE_MAX_AXES], rank = 0;
    if (!projected && factor == 1)
        return false;
    for (int x = 0; x < p->op->indices; x++)
        if ((p->operand[i].mask & ~projected) >> x & 1)
            axis[rank++] = x;
    p->operand[i] = add_intermediate(p, &p->operand[i], 1, axis, rank, p->operand[i].mask | projected, factor);
    return true;
}

static int smallest_operand(const struct product *p) {
    int smallest = 0;
    for (int i = 1; i < p->n; i++)
        if (points(p->op, p->operand[i].mask) < points(p->op, p->operand[smallest].mask))
            smallest = i;
    return smallest;
}

static void order_product(struct product *p) {
    const struct fuse_op *op = p->op;
    uint32_t all = op->indices == 32 ? UINT32_MAX : ((uint32_t)1 << op->indices) - 1;
    uint32_t unread = all & ~p->out & ~union_of(p), own = private_indices(p);
    int64_t factor = points(op, unread);
    if (p->dtype == FUSE_BOOL && factor > 1) /* true however often */
        factor = 1;
    bool countable = factor >= 1 && factor <= MAX_FACTOR;
    bool changed = false;

    /* An empty sum is 0 whatever its terms; summing some of the operands first would make that 0 times the others. */
    if (points(op, all & ~p->out) == 0) {
        add_zeros(p);
        return;
    }
    /* One operand: its whole reduction is the last step itself. */
    if (p->n == 1 && unread == 0) {
        add_last(p, p->operand, 1, all);
        return;
    }
    int scaled = unread ? smallest_operand(p) : -1;
    for (int i = 0; i < p->n; i++) {
        uint32_t projected = p->n == 1 ? 0 : p->operand[i].mask & own;
        if (i == scaled && !countable)
            projected |= unread;
        changed |= sum_privately(p, i, projected, i == scaled && countable ? factor : 1);
    }
    uint32_t over = union_of(p);
    if (p->n == 1 || (!(over & ~p->out) && p->n <= FUSE_FUSED_INPUTS) || (p->n == 2 && (changed || (p->out & ~over)))) {
        add_last(p, p->operand, p->n, over);
    } else if (p->n == 2 && p->operand[0].tuples < 0) {
        fuse_ir_push_op(p->ir, p->op);
    } else if (p->n == 2) {
        add_last(p, p->operand, 2, over);
    } else {
        struct extents *extents = FUSE_NEW(p->ir->arena, struct extents);
        fill_extents(extents, op);
        if (p->n <= EXACT_INPUTS)
            order_exactly(p, extents);
        else
            order_greedily(p, extents);
    }
}

enum fuse_status fuse_ir_order(struct fuse_ir *ir, struct fuse_error *err) {
    (void)err;
    int ops = ir->ops.n;
    struct fuse_op **old = ir->ops.at;
    struct fuse_body body = {.arena = ir->arena};
    ir->ops.at = NULL;
    ir->ops.n = ir->ops.cap = 0;
    for (int i = 0; i < ops; i++) {
        struct fuse_op *op = old[i];
        if (op->kind != FUSE_OP_EINSUM) {
            fuse_ir_push_op(ir, op);
            continue;
        }
        struct product p = {.ir = ir, .op = op, .body = &body, .dtype = ir->values.at[op->out].dtype, .n = op->inputs};
        p.operand = FUSE_NEW_ARRAY(ir->arena, struct operand, op->inputs);
        for (int k = 0; k < op->inputs; k++)
            p.operand[k] = read_operand(ir, &op->input[k]);
        for (int a = 0; a < ir->values.at[op->out].rank; a++)
            p.out |= (uint32_t)1 << op->out_index[a];
        order_product(&p);
    }
    return FUSE_OK;
}
