#include "lang/lower.h"

#include <math.h>

#define MAX_WEIGHT 100000

static struct fuse_term *new_term(struct fuse_lowering *l, enum fuse_scalar_op op, enum fuse_dtype dtype) {
    struct fuse_term *term = FUSE_NEW(l->c->arena, struct fuse_term);
    term->node.op = op;
    term->node.dtype = dtype;
    term->node.a = term->node.b = term->node.c = -1;
    return term;
}

struct fuse_term *fuse_term_integer(struct fuse_lowering *l, int64_t value) {
    struct fuse_term *term = new_term(l, FUSE_SCALAR_CONST, FUSE_I64);
    term->node.integer = value;
    return term;
}

struct fuse_term *fuse_term_bool(struct fuse_lowering *l, bool value) {
    struct fuse_term *term = new_term(l, FUSE_SCALAR_CONST, FUSE_BOOL);
    term->node.integer = value;
    return term;
}

struct fuse_term *fuse_term_real(struct fuse_lowering *l, enum fuse_dtype dtype, double value) {
    struct fuse_term *term = new_term(l, FUSE_SCALAR_CONST, dtype);
    term->node.real = dtype == FUSE_F32 ? (double)(float)value : value;
    return term;
}

struct fuse_term *fuse_term_iota(struct fuse_lowering *l, int index) {
    struct fuse_term *term = new_term(l, FUSE_SCALAR_IOTA, FUSE_I64);
    term->node.arg = index;
    term->axes = FUSE_BIT(index);
    term->weight = 1;
    return term;
}

struct fuse_term *fuse_term_load(struct fuse_lowering *l, int value, const struct fuse_access *access) {
    struct fuse_term *term = new_term(l, FUSE_SCALAR_LOAD, fuse_dtype_compute(l->c->ir->values.at[value].dtype));
    struct fuse_use *use = FUSE_NEW(l->c->arena, struct fuse_use);
    use->value = value;
    use->access = *access;
    term->use = use;
    for (int a = 0; a < access->rank; a++)
        if (access->at[a].index >= 0)
            term->axes |= FUSE_BIT(access->at[a].index);
    term->weight = 1;
    if (fuse_is_relation(l->c->ir, value))
        term->relation = use;
    return term;
}

static int cost_of(enum fuse_scalar_op op) {
    if (fuse_scalar_is_transcendental(op) || op == FUSE_SCALAR_UNIFORM)
        return 8;
    return op == FUSE_SCALAR_DIV || op == FUSE_SCALAR_SQRT ? 4 : 1;
}

/* An operation on constants is one. */
static struct fuse_term *finish(struct fuse_lowering *l, struct fuse_term *term) {
    struct fuse_term *const argument[3] = {term->a, term->b, term->c};
    union fuse_scalar_value value[3] = {{0}, {0}, {0}};
    int arity = fuse_scalar_arity(term->node.op);
    bool constant = true, overflow = false;
    term->weight = cost_of(term->node.op);
    for (int k = 0; k < arity; k++) {
        term->axes |= argument[k]->axes;
        term->weight += argument[k]->weight;
        if (!term->relation)
            term->relation = argument[k]->relation;
        if (argument[k]->node.op != FUSE_SCALAR_CONST)
            constant = false;
        else if (argument[k]->node.dtype == FUSE_BOOL || argument[k]->node.dtype == FUSE_I64)
            value[k].integer = argument[k]->node.integer;
        else
            value[k].real = argument[k]->node.real;
    }
    if (term->weight > MAX_WEIGHT)
        term->weight = MAX_WEIGHT;
    if (!constant || arity == 0 || term->relation)
        return term;
    union fuse_scalar_value result =
        fuse_scalar_eval(&term->node, term->a->node.dtype, value[0], value[1], value[2], &overflow);
    if (overflow && !l->failed) {
        fuse_complain(l->c, l->here, "this is beyond 64-bit integers");
        l->failed = true;
    }
    switch (term->node.dtype) {
    case FUSE_BOOL: return fuse_term_bool(l, result.integer != 0);
    case FUSE_I64: return fuse_term_integer(l, result.integer);
    default: return fuse_term_real(l, term->node.dtype, result.real);
    }
}

static enum fuse_dtype result_type(enum fuse_scalar_op op, const struct fuse_term *a, const struct fuse_term *b) {
    switch (op) {
    case FUSE_SCALAR_LT:
    case FUSE_SCALAR_LE:
    case FUSE_SCALAR_EQ:
    case FUSE_SCALAR_NE:
    case FUSE_SCALAR_ISNAN: return FUSE_BOOL;
    case FUSE_SCALAR_SELECT: return b->node.dtype;
    default: return a->node.dtype;
    }
}

struct fuse_term *fuse_term_op(struct fuse_lowering *l, enum fuse_scalar_op op, struct fuse_term *a,
                               struct fuse_term *b, struct fuse_term *c) {
    struct fuse_term *term = new_term(l, op, result_type(op, a, b));
    term->a = a;
    term->b = b;
    term->c = c;
    return finish(l, term);
}

struct fuse_term *fuse_term_cast(struct fuse_lowering *l, struct fuse_term *term, enum fuse_dtype dtype) {
    if (term->node.dtype == dtype)
        return term;
    struct fuse_term *cast = new_term(l, FUSE_SCALAR_CAST, dtype);
    cast->a = term;
    return finish(l, cast);
}

struct fuse_term *fuse_term_narrow(struct fuse_lowering *l, struct fuse_term *term, enum fuse_dtype through) {
    struct fuse_term *narrow = new_term(l, FUSE_SCALAR_NARROW, term->node.dtype);
    narrow->node.arg = (int)through;
    narrow->a = term;
    return finish(l, narrow);
}

struct fuse_term *fuse_term_random(struct fuse_lowering *l, enum fuse_scalar_op op, int64_t seed,
                                   struct fuse_term *counter) {
    struct fuse_term *term = new_term(l, op, FUSE_F32);
    term->node.integer = seed;
    term->a = counter;
    return finish(l, term);
}

/* ---- other indices --------------------------------------------------------------------------------------------- */

static struct fuse_term *moved(struct fuse_lowering *l, struct fuse_term *term, const int *map, const int64_t *shift,
                               struct fuse_term ***list, int *listed);

static struct fuse_term *moved_leaf(struct fuse_lowering *l, struct fuse_term *term, const int *map,
                                    const int64_t *shift) {
    if (term->node.op == FUSE_SCALAR_IOTA) {
        int index = term->node.arg;
        struct fuse_term *iota = fuse_term_iota(l, map[index]);
        return shift[index] ? fuse_term_op(l, FUSE_SCALAR_SUB, iota, fuse_term_integer(l, shift[index]), NULL) : iota;
    }
    if (term->node.op != FUSE_SCALAR_LOAD)
        return term;
    struct fuse_access access = term->use->access;
    for (int a = 0; a < access.rank; a++) {
        int index = access.at[a].index;
        if (index < 0)
            continue;
        access.at[a].index = map[index];
        access.at[a].offset -= access.at[a].stride * shift[index];
    }
    return fuse_term_load(l, term->use->value, &access);
}

/* Shared terms stay shared: slot is the place of the copy in the list. */
static struct fuse_term *moved(struct fuse_lowering *l, struct fuse_term *term, const int *map, const int64_t *shift,
                               struct fuse_term ***list, int *listed) {
    if (term->epoch == l->epoch)
        return (*list)[term->slot];
    struct fuse_term *copy;
    if (fuse_scalar_arity(term->node.op) == 0) {
        copy = moved_leaf(l, term, map, shift);
    } else {
        copy = FUSE_NEW(l->c->arena, struct fuse_term);
        copy->node = term->node;
        copy->weight = term->weight;
        struct fuse_term *const from[3] = {term->a, term->b, term->c};
        struct fuse_term **to[3] = {&copy->a, &copy->b, &copy->c};
        for (int k = 0; k < 3; k++)
            if (from[k]) {
                *to[k] = moved(l, from[k], map, shift, list, listed);
                copy->axes |= (*to[k])->axes;
            }
    }
    if ((*listed & (*listed - 1)) == 0)
        *list = fuse_arena_grow(l->c->arena, *list, (size_t)*listed, *listed ? 2 * (size_t)*listed : 1, sizeof **list);
    (*list)[*listed] = copy;
    term->epoch = l->epoch;
    term->slot = (*listed)++;
    return copy;
}

struct fuse_term *fuse_term_move(struct fuse_lowering *l, struct fuse_term *term, const int *map,
                                 const int64_t *shift) {
    struct fuse_term **list = NULL;
    int listed = 0;
    l->epoch++;
    return moved(l, term, map, shift, &list, &listed);
}
