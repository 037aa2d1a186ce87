/* max= min= prod= avg=: one expression over all axes, projected at the end; and which cells of a tensor that takes. */
#include "lang/lower.h"

#include <math.h>

static const struct {
    enum fuse_scalar_op combine;
    enum fuse_reduce reduce;
} operators[] = {[FUSE_ASSIGN_SUM] = {FUSE_SCALAR_ADD, FUSE_REDUCE_SUM},
                 [FUSE_ASSIGN_ADD] = {FUSE_SCALAR_ADD, FUSE_REDUCE_SUM},
                 [FUSE_ASSIGN_MAX] = {FUSE_SCALAR_MAXIMUM, FUSE_REDUCE_MAX},
                 [FUSE_ASSIGN_MIN] = {FUSE_SCALAR_MINIMUM, FUSE_REDUCE_MIN},
                 [FUSE_ASSIGN_PROD] = {FUSE_SCALAR_MUL, FUSE_REDUCE_PROD},
                 [FUSE_ASSIGN_AVG] = {FUSE_SCALAR_ADD, FUSE_REDUCE_SUM}};

enum fuse_scalar_op fuse_assign_combine(enum fuse_assign assign) {
    return operators[assign].combine;
}

struct fuse_term *fuse_assign_neutral(struct fuse_lowering *l, enum fuse_assign assign, enum fuse_dtype dtype) {
    double real = assign == FUSE_ASSIGN_MAX    ? -INFINITY
                  : assign == FUSE_ASSIGN_MIN  ? INFINITY
                  : assign == FUSE_ASSIGN_PROD ? 1
                                               : 0;
    if (dtype == FUSE_BOOL)
        return fuse_term_bool(l, false);
    if (dtype != FUSE_I64)
        return fuse_term_real(l, dtype, real);
    return fuse_term_integer(l, isinf(real) ? real < 0 ? INT64_MIN : INT64_MAX : (int64_t)real);
}

static struct fuse_term *number(struct fuse_lowering *l, enum fuse_dtype dtype, int64_t value) {
    return dtype == FUSE_I64 ? fuse_term_integer(l, value) : fuse_term_real(l, dtype, (double)value);
}

static struct fuse_term *choose(struct fuse_lowering *l, struct fuse_term *guard, struct fuse_term *value,
                                struct fuse_term *otherwise) {
    bool always = !guard || (guard->node.op == FUSE_SCALAR_CONST && guard->node.integer);
    return always ? value : fuse_term_op(l, FUSE_SCALAR_SELECT, guard, value, otherwise);
}

/* At the tuples of the driver, if there is one. */
static struct fuse_term *project(struct fuse_lowering *l, struct fuse_term *term, uint64_t set,
                                 enum fuse_reduce reduce) {
    term = fuse_at_tuples(l, term);
    return set || term->relation ? fuse_project(l, term, set, reduce) : term;
}

/* The mean over the cells that the guard leaves; where it leaves none, no contribution was made: 0. */
static struct fuse_term *average(struct fuse_lowering *l, struct fuse_term *guard, enum fuse_dtype dtype,
                                 enum fuse_dtype want) {
    const struct fuse_equation *eq = l->eq;
    uint64_t set = eq->projected;
    struct fuse_term *value = fuse_lower_node(l, eq->root, want), *zero = number(l, dtype, 0);
    value = choose(l, guard, value, number(l, value->node.dtype, 0));
    struct fuse_term *sum = value;
    if (!eq->root->sum) /* else the product is summed already, tuple by tuple if it can be */
        sum = l->driver || !set ? project(l, value, set, FUSE_REDUCE_SUM) : fuse_sum_term(l, value, set);
    else if (set & ~eq->root->sum)
        sum = fuse_project(l, value, set & ~eq->root->sum, FUSE_REDUCE_SUM);
    sum = fuse_term_cast(l, sum, dtype);
    if (!guard) {
        int64_t n = fuse_index_points(l, set);
        return n == 0 ? zero : n == 1 ? sum : fuse_term_op(l, FUSE_SCALAR_DIV, sum, number(l, dtype, n), NULL);
    }
    guard = fuse_at_tuples(l, fuse_term_cast(l, guard, FUSE_I64));
    uint64_t counted = set & guard->axes;
    struct fuse_term *count = project(l, guard, counted, FUSE_REDUCE_SUM);
    count = fuse_term_cast(l, count, dtype);
    if (fuse_index_points(l, set & ~counted) != 1)
        count = fuse_term_op(l, FUSE_SCALAR_MUL, count, number(l, dtype, fuse_index_points(l, set & ~counted)), NULL);
    struct fuse_term *some = fuse_term_op(l, FUSE_SCALAR_LT, zero, count, NULL);
    return choose(l, some, fuse_term_op(l, FUSE_SCALAR_DIV, sum, count, NULL), zero);
}

struct fuse_node *fuse_open_sum(struct fuse_checker *c, const struct fuse_node *root) {
    struct fuse_node *open = FUSE_NEW(c->arena, struct fuse_node);
    *open = *root;
    open->axes |= open->sum;
    open->sum = 0;
    return open;
}

/* The relation that the equation runs over. A mean counts its tuples, so that a product below it is no sum of its own then. */
static const struct fuse_node *take_driver(struct fuse_lowering *l) {
    struct fuse_equation *eq = FUSE_NEW(l->c->arena, struct fuse_equation);
    *eq = *l->eq;
    eq->root = fuse_open_sum(l->c, eq->root);
    const struct fuse_node *driver = fuse_find_driver(l, eq);
    if (driver)
        l->eq = eq;
    return driver;
}

struct fuse_cells fuse_lower_joint(struct fuse_lowering *l, const struct fuse_tensor *tensor, enum fuse_dtype dtype,
                                   enum fuse_dtype want) {
    struct fuse_cells cells = {0};
    l->driver = take_driver(l);
    const struct fuse_equation *eq = l->eq;
    struct fuse_term *guard = eq->guard ? fuse_settle(l, fuse_lower_truth(l, eq->guard, want), 12) : NULL;
    if (l->driver)
        guard = fuse_guard_others(l, guard ? guard : fuse_term_bool(l, true), eq);
    if (tensor->assign == FUSE_ASSIGN_AVG) {
        cells.value = average(l, guard, dtype, want);
        return cells;
    }
    struct fuse_term *value = fuse_term_cast(l, fuse_lower_node(l, eq->root, want), dtype);
    value = choose(l, guard, value, fuse_assign_neutral(l, tensor->assign, dtype));
    cells.value = project(l, value, eq->projected, operators[tensor->assign].reduce);
    if (guard)
        cells.reached = project(l, guard, eq->projected & fuse_at_tuples(l, guard)->axes, FUSE_REDUCE_OR);
    if (fuse_index_points(l, eq->projected) == 0)
        cells.reached = fuse_term_bool(l, false);
    return cells;
}

/* ---- which cells are certainly written ---------------------------------------------------------------------------- */

/* The smallest box around what an equation writes, false when that is nothing; *exact when it writes all of it. */
static bool written_box(struct fuse_checker *c, const struct fuse_equation *eq, const struct fuse_box *whole,
                        struct fuse_box *box, bool *exact) {
    uint64_t seen = 0;
    *box = *whole;
    *exact = !eq->guard;
    for (int k = 0; k < eq->indices; k++)
        if (eq->projected & FUSE_BIT(k) && fuse_domain_of(c, eq->index[k].domain)->extent == 0)
            return false;
    for (int a = 0; a < eq->lefts; a++) {
        const struct fuse_position *at = &eq->left[a];
        int64_t n = whole->hi[a];
        if (at->index < 0) {
            box->lo[a] = at->offset < 0 ? at->offset + n : at->offset;
            box->hi[a] = box->lo[a] + 1;
        } else {
            box->lo[a] = at->offset;
            box->hi[a] = at->offset + fuse_domain_of(c, eq->index[at->index].domain)->extent;
            *exact &= !(seen & FUSE_BIT(at->index));
            seen |= FUSE_BIT(at->index);
        }
    }
    return fuse_box_intersect(box, box, whole);
}

struct boxes {
    FUSE_VEC(struct fuse_box) list;
};

/* Takes a box out of disjoint boxes: slabs before and after the common part remain, axis by axis. */
static void subtract(struct boxes *boxes, struct fuse_arena *arena, const struct fuse_box *gone) {
    struct boxes left = {0};
    for (int k = 0; k < boxes->list.n; k++) {
        struct fuse_box box = boxes->list.at[k], common;
        if (!fuse_box_intersect(&common, &box, gone)) {
            fuse_vec_push(arena, &left.list, box);
            continue;
        }
        for (int a = 0; a < box.rank; a++) {
            struct fuse_box before = box, after = box;
            before.hi[a] = common.lo[a];
            after.lo[a] = common.hi[a];
            if (!fuse_box_is_empty(&before))
                fuse_vec_push(arena, &left.list, before);
            if (!fuse_box_is_empty(&after))
                fuse_vec_push(arena, &left.list, after);
            box.lo[a] = common.lo[a];
            box.hi[a] = common.hi[a];
        }
    }
    *boxes = left;
}

enum fuse_coverage fuse_tensor_coverage(struct fuse_checker *c, const struct fuse_tensor *tensor) {
    int64_t extent[FUSE_MAX_AXES];
    for (int a = 0; a < tensor->rank; a++)
        extent[a] = fuse_domain_of(c, tensor->domain[a])->extent;
    struct fuse_box whole = fuse_box_full(tensor->rank, extent), box;
    struct boxes surely = {0}, perhaps = {0};
    if (fuse_box_is_empty(&whole))
        return FUSE_COVERED;
    fuse_vec_push(c->arena, &surely.list, whole);
    fuse_vec_push(c->arena, &perhaps.list, whole);
    for (int k = 0; k < tensor->contributions.n; k++) {
        bool exact;
        if (!written_box(c, c->equations.at[tensor->contributions.at[k]], &whole, &box, &exact))
            continue;
        if (exact)
            subtract(&surely, c->arena, &box);
        subtract(&perhaps, c->arena, &box);
    }
    return surely.list.n == 0 ? FUSE_COVERED : perhaps.list.n == 0 ? FUSE_PERHAPS_COVERED : FUSE_NOT_COVERED;
}
