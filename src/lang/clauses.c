/* Truths as alternatives of conjunctions. Negation moves inwards; it stops where something is projected below it. */
#include "lang/check.h"

#define MOST_CLAUSES 256

struct expansion {
    const struct fuse_checker *c;
    bool too_many;
};

typedef struct fuse_clauses clauses;

static clauses expand(struct expansion *x, const struct fuse_node *node, bool negated);

static clauses always(struct expansion *x, bool truth) {
    clauses result = {0};
    if (truth)
        fuse_vec_push(x->c->arena, &result.list, ((struct fuse_clause){0}));
    return result;
}

static clauses lone(struct expansion *x, const struct fuse_node *node, bool negated) {
    clauses result = always(x, true);
    fuse_vec_push(x->c->arena, &result.list.at[0].literals, ((struct fuse_literal){node, negated}));
    return result;
}

static clauses either(struct expansion *x, clauses a, clauses b) {
    for (int k = 0; k < b.list.n; k++)
        fuse_vec_push(x->c->arena, &a.list, b.list.at[k]);
    x->too_many |= a.list.n > MOST_CLAUSES;
    return a;
}

static clauses both(struct expansion *x, clauses a, clauses b) {
    clauses result = {0};
    x->too_many |= a.list.n * b.list.n > MOST_CLAUSES;
    for (int i = 0; i < a.list.n && !x->too_many; i++)
        for (int j = 0; j < b.list.n; j++) {
            struct fuse_clause clause = {0};
            for (int k = 0; k < a.list.at[i].literals.n; k++)
                fuse_vec_push(x->c->arena, &clause.literals, a.list.at[i].literals.at[k]);
            for (int k = 0; k < b.list.at[j].literals.n; k++)
                fuse_vec_push(x->c->arena, &clause.literals, b.list.at[j].literals.at[k]);
            fuse_vec_push(x->c->arena, &result.list, clause);
        }
    return result;
}

bool fuse_is_truth(const struct fuse_checker *c, const struct fuse_node *node) {
    switch (node->kind) {
    case FUSE_NODE_COMPARE:
    case FUSE_NODE_AND:
    case FUSE_NODE_OR:
    case FUSE_NODE_NOT:
    case FUSE_NODE_TRUTH:
    case FUSE_NODE_GUARD: return true;
    case FUSE_NODE_NUMBER: return node->number.dtype == FUSE_BOOL;
    case FUSE_NODE_SUM:
    case FUSE_NODE_PRODUCT: return node->logical;
    case FUSE_NODE_REF:
        return c->tensors.at[node->tensor]->boolean ||
               fuse_tensor_relation(c, c->tensors.at[node->tensor]) == FUSE_FACTS;
    default: return false;
    }
}

/* A chain that is positive when one of its truths, or all of them, are. */
static bool is_of_truths(const struct expansion *x, const struct fuse_node *node) {
    bool all = true;
    for (int k = 0; k < node->n && all; k++)
        all = (!node->inverse || !node->inverse[k]) && (node->logical || fuse_is_truth(x->c, node->arg[k]));
    return all;
}

static clauses combine(struct expansion *x, const struct fuse_node *node, bool negated, bool conjunction) {
    clauses result = always(x, conjunction);
    for (int k = 0; k < node->n && !x->too_many; k++) {
        clauses one = expand(x, node->arg[k], negated);
        result = conjunction ? both(x, result, one) : either(x, result, one);
    }
    return result;
}

/* The first condition that holds decides. */
static clauses choose(struct expansion *x, const struct fuse_node *node, bool negated) {
    clauses result = {0}, before = always(x, true);
    for (int k = 0; k + 1 < node->n && !x->too_many; k += 2) {
        clauses here = both(x, before, expand(x, node->arg[k], false));
        result = either(x, result, both(x, here, expand(x, node->arg[k + 1], negated)));
        before = both(x, before, expand(x, node->arg[k], true));
    }
    return either(x, result, both(x, before, expand(x, node->arg[node->n - 1], negated)));
}

static clauses expand_reduce(struct expansion *x, const struct fuse_node *node, bool negated) {
    switch (node->builtin->code) {
    case FUSE_BUILTIN_ALL:
        if (negated)
            return expand(x, node->arg[0], true);
        break;
    case FUSE_BUILTIN_SUM:
    case FUSE_BUILTIN_MAX:
    case FUSE_BUILTIN_AMAX:
        if (!fuse_is_truth(x->c, node->arg[0]))
            break;
        /* fall through */
    case FUSE_BUILTIN_ANY:
        if (!negated)
            return expand(x, node->arg[0], false);
        break;
    default: break;
    }
    return lone(x, node, negated);
}

static clauses expand(struct expansion *x, const struct fuse_node *node, bool negated) {
    if (x->too_many || (negated && node->sum))
        return lone(x, node, negated);
    switch (node->kind) {
    case FUSE_NODE_GUARD: return expand(x, node->arg[0], negated);
    case FUSE_NODE_NOT: return expand(x, node->arg[0], !negated);
    case FUSE_NODE_NUMBER: return always(x, (node->number.real > 0) != negated);
    case FUSE_NODE_SUM:
    case FUSE_NODE_OR:
        return is_of_truths(x, node) || node->kind == FUSE_NODE_OR ? combine(x, node, negated, negated)
                                                                   : lone(x, node, negated);
    case FUSE_NODE_PRODUCT:
    case FUSE_NODE_AND:
        return is_of_truths(x, node) || node->kind == FUSE_NODE_AND ? combine(x, node, negated, !negated)
                                                                    : lone(x, node, negated);
    case FUSE_NODE_CHOICE: return choose(x, node, negated);
    case FUSE_NODE_REDUCE: return expand_reduce(x, node, negated);
    default: return lone(x, node, negated);
    }
}

struct fuse_clauses fuse_find_clauses(const struct fuse_checker *c, const struct fuse_node *node, bool negated) {
    struct expansion x = {.c = c};
    clauses result = expand(&x, node, negated);
    result.too_many = x.too_many;
    return result;
}

const struct fuse_node *fuse_literal_reference(const struct fuse_literal *literal) {
    const struct fuse_node *node = literal->node;
    if (node->kind == FUSE_NODE_TRUTH)
        node = node->arg[0];
    return node->kind == FUSE_NODE_REF ? node : NULL;
}
