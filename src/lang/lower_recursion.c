/* Tensors that depend on themselves through sums: what they are when a turn begins is carried, their contributions make of it
 * what they become, and of both is seen how far they are from the end (language.md 6). */
#include "lang/lower.h"

#include <float.h>
#include <math.h>

#define TOLERANCE 1e-6

/* ---- types ---- */

/* References to members take part in their types: from the narrowest on until nothing changes. */
static void find_types(struct fuse_checker *c, const int *member, int members) {
    bool changed = true;
    for (int m = 0; m < members; m++)
        c->tensors.at[member[m]]->type = (struct fuse_type){FUSE_I64, true};
    /* A type has three wider ones at most. */
    for (int round = 0; changed && round <= 4 * members; round++) {
        changed = false;
        for (int m = 0; m < members; m++) {
            struct fuse_tensor *tensor = c->tensors.at[member[m]];
            struct fuse_type before = tensor->type;
            fuse_type_tensor(c, tensor);
            changed |= tensor->type.dtype != before.dtype || tensor->type.weak != before.weak;
        }
    }
}

/* ---- the turn ---- */

static void open_member(struct fuse_lowering *l, struct fuse_checker *c, const struct fuse_tensor *tensor) {
    const struct fuse_equation *first = c->equations.at[tensor->contributions.at[0]];
    *l = (struct fuse_lowering){.c = c, .span = first->item->span, .here = tensor->span, .owner = tensor->name};
    for (int a = 0; a < tensor->rank; a++) {
        int index = first->left[a].index;
        l->extent[a] = fuse_domain_of(c, tensor->domain[a])->extent;
        l->name[a] = index >= 0 ? first->index[index].name : fuse_arena_printf(c->arena, "axis%d", a);
    }
}

static struct fuse_term *load(struct fuse_lowering *l, int value) {
    struct fuse_access whole = fuse_access_identity(l->c->ir->values.at[value].rank);
    return fuse_term_load(l, value, &whole);
}

static int carry(struct fuse_lowering *l, const struct fuse_tensor *tensor, int until) {
    int axes[FUSE_MAX_AXES];
    enum fuse_dtype compute = fuse_dtype_compute(tensor->type.dtype);
    for (int a = 0; a < tensor->rank; a++)
        axes[a] = a;
    struct fuse_term *zero = fuse_term_cast(l, fuse_term_integer(l, 0), compute);
    const char *name = fuse_arena_printf(l->c->arena, "%s before", tensor->name);
    int value = fuse_emit_map(l, zero, axes, tensor->rank, 0, FUSE_REDUCE_NONE, tensor->type.dtype, name);
    if (value >= 0) {
        struct fuse_op *op = l->c->ir->ops.at[l->c->ir->values.at[value].op];
        op->kind = FUSE_OP_CARRY;
        op->until = until;
    }
    return value;
}

static struct fuse_term *op2(struct fuse_lowering *l, enum fuse_scalar_op op, struct fuse_term *a,
                             struct fuse_term *b) {
    return fuse_term_op(l, op, a, b, NULL);
}

static struct fuse_term *choose(struct fuse_lowering *l, struct fuse_term *when, struct fuse_term *a,
                                struct fuse_term *b) {
    return fuse_term_op(l, FUSE_SCALAR_SELECT, when, a, b);
}

static struct fuse_term *f64(struct fuse_lowering *l, double real) {
    return fuse_term_real(l, FUSE_F64, real);
}

static struct fuse_term *is_infinite(struct fuse_lowering *l, struct fuse_term *x) {
    return op2(l, FUSE_SCALAR_EQ, fuse_term_op(l, FUSE_SCALAR_ABS, x, NULL, NULL), f64(l, INFINITY));
}

/* How far cells still move, as input[2] of a FIXPOINT says it. A number that was 0 may become infinite: with data that are so
 * it does. */
static int emit_moves(struct fuse_lowering *l, const struct fuse_tensor *tensor, int before, int after) {
    const struct fuse_settings *settings = &l->c->settings;
    double tolerance = settings->has_tolerance ? settings->tolerance : TOLERANCE;
    double relative = settings->has_tolerance ? settings->relative : TOLERANCE;
    struct fuse_term *old = load(l, before), *new = load(l, after);
    if (tensor->type.dtype == FUSE_BOOL) { /* truths compare as numbers */
        old = fuse_term_cast(l, old, FUSE_I64);
        new = fuse_term_cast(l, new, FUSE_I64);
    }
    struct fuse_term *settled = op2(l, FUSE_SCALAR_EQ, new, old);
    bool is_real = fuse_dtype_class(tensor->type.dtype) == FUSE_CLASS_REAL;
    struct fuse_term *y = fuse_term_cast(l, new, FUSE_F64), *x = fuse_term_cast(l, old, FUSE_F64);
    struct fuse_term *moved = fuse_term_op(l, FUSE_SCALAR_ABS, op2(l, FUSE_SCALAR_SUB, y, x), NULL, NULL);
    struct fuse_term *size = fuse_term_op(l, FUSE_SCALAR_ABS, y, NULL, NULL);
    struct fuse_term *allowed =
        op2(l, FUSE_SCALAR_ADD, f64(l, tolerance), op2(l, FUSE_SCALAR_MUL, f64(l, relative), size));
    struct fuse_term *result = choose(l, op2(l, FUSE_SCALAR_LE, moved, allowed), f64(l, 0), moved);
    if (is_real) {
        struct fuse_term *from_infinite = is_infinite(l, x);
        struct fuse_term *from_data = op2(l, FUSE_SCALAR_OR, from_infinite, op2(l, FUSE_SCALAR_EQ, x, f64(l, 0)));
        struct fuse_term *overflow = choose(l, from_data, f64(l, DBL_MAX / 2), f64(l, FUSE_UNTIL_OVERFLOW));
        result = choose(l, from_infinite, f64(l, DBL_MAX / 2), result);
        result = choose(l, is_infinite(l, y), overflow, result);
        result = choose(l, fuse_term_op(l, FUSE_SCALAR_ISNAN, y, NULL, NULL), f64(l, INFINITY), result);
    }
    result = choose(l, settled, f64(l, 0), result);
    uint64_t all = 0;
    for (int a = 0; a < tensor->rank; a++)
        all |= FUSE_BIT(a);
    return fuse_emit_map(l, result, NULL, 0, all, FUSE_REDUCE_MAX, FUSE_F64,
                         fuse_arena_printf(l->c->arena, "%s moves", tensor->name));
}

static int emit_fixpoint(struct fuse_lowering *l, const struct fuse_tensor *tensor, int until, const int input[3]) {
    struct fuse_ir *ir = l->c->ir;
    const struct fuse_value like = ir->values.at[input[0]];
    struct fuse_use use[3];
    struct fuse_op op = *ir->ops.at[like.op];
    for (int k = 0; k < 3; k++)
        use[k] = (struct fuse_use){input[k], fuse_access_identity(k < 2 ? tensor->rank : 0)};
    op.kind = FUSE_OP_FIXPOINT;
    op.until = until;
    op.body = NULL;
    op.inputs = 3;
    op.input = use;
    op.out = fuse_ir_add_value(ir, tensor->name, tensor->span, like.dtype, like.rank, like.extent);
    fuse_ir_add_op(ir, &op);
    return op.out;
}

/* ---- members ---- */

/* A tensor of the recursion. What a call of a fn defines is a part of the expression that calls it: it is not carried, but
 * computed when it is read, unless it depends on itself without any other. */
struct member {
    struct fuse_tensor *tensor;
    bool is_carried;
    enum { UNSEEN, OPEN, DONE } state;
    int input[3]; /* of its FIXPOINT */
};

struct recursion {
    struct fuse_checker *c;
    int until;
    struct member *member;
    int members;
    int *number; /* [tensors] one more than that of a member, 0: none */
};

static bool lower_member(struct recursion *r, struct member *m);

/* The members that it is computed from come first; with `lowers`, as operations. false when one has failed, or when, without,
 * one had to become carried. */
static bool visit(struct recursion *r, struct member *m, bool lowers) {
    const struct fuse_checker *c = r->c;
    m->state = OPEN;
    for (int e = 0; e < m->tensor->contributions.n; e++) {
        const struct fuse_equation *eq = c->equations.at[m->tensor->contributions.at[e]];
        for (int k = 0; k < eq->mentions.n; k++) {
            int number = r->number[eq->mentions.at[k]];
            struct member *other = number > 0 ? &r->member[number - 1] : NULL;
            if (!other || other->is_carried || other->state == DONE)
                continue;
            if (other->state == OPEN) {
                other->is_carried = true;
                return false;
            }
            if (!visit(r, other, lowers))
                return false;
        }
    }
    m->state = DONE;
    return !lowers || lower_member(r, m);
}

static bool visit_all(struct recursion *r, bool lowers) {
    for (int m = 0; m < r->members; m++)
        r->member[m].state = UNSEEN;
    for (int m = 0; m < r->members; m++)
        if (r->member[m].state == UNSEEN && !visit(r, &r->member[m], lowers))
            return false;
    return true;
}

static bool lower_member(struct recursion *r, struct member *m) {
    struct fuse_lowering l;
    struct fuse_checker *c = r->c;
    bool is_good = fuse_lower_tensor(c, m->tensor) && m->tensor->value >= 0;
    if (!is_good || !m->is_carried)
        return is_good;
    m->input[1] = m->tensor->value;
    m->tensor->value = m->input[0]; /* members that come later mean what it was, too */
    if (c->ir->values.at[m->input[1]].name == m->tensor->name)
        c->ir->values.at[m->input[1]].name = fuse_arena_printf(c->arena, "%s after", m->tensor->name);
    open_member(&l, c, m->tensor);
    m->input[2] = emit_moves(&l, m->tensor, m->input[0], m->input[1]);
    return !l.failed && m->input[2] >= 0;
}

static bool lower_members(struct recursion *r) {
    struct fuse_lowering l;
    for (int k = 0; k < r->members; k++) {
        struct member *m = &r->member[k];
        if (!m->is_carried)
            continue;
        open_member(&l, r->c, m->tensor);
        m->tensor->value = m->input[0] = carry(&l, m->tensor, r->until);
        if (l.failed || m->tensor->value < 0)
            return false;
    }
    if (!visit_all(r, true))
        return false;
    for (int k = 0; k < r->members; k++) {
        struct member *m = &r->member[k];
        if (!m->is_carried)
            continue;
        open_member(&l, r->c, m->tensor);
        m->tensor->value = emit_fixpoint(&l, m->tensor, r->until, m->input);
    }
    return true;
}

void fuse_lower_recursion(struct fuse_checker *c, const int *member, int members, bool bad) {
    /* Components have numbers; those of this kind are recursions of the IR. */
    struct recursion r = {.c = c, .until = c->tensors.at[member[0]]->component, .members = members};
    r.member = FUSE_NEW_ARRAY(c->arena, struct member, members);
    r.number = FUSE_NEW_ARRAY(c->arena, int, c->tensors.n + 1);
    for (int m = 0; m < members; m++) {
        r.member[m].tensor = c->tensors.at[member[m]];
        r.member[m].is_carried = !c->tensors.at[member[m]]->local;
        r.number[member[m]] = 1 + m;
    }
    if (!bad) {
        find_types(c, member, members);
        while (!visit_all(&r, false))
            continue;
        bad = !lower_members(&r);
    }
    for (int m = 0; m < members; m++)
        c->tensors.at[member[m]]->bad |= bad;
}
