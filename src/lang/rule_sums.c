/* Sums, bests and means over joined relations that are better relations themselves: `Paths[x,z] = E(x,y) E(y,z)` over a million ids.
 * All terms are products of relations, of numbers and of dense tensors whose indices the relations have, so that what they
 * do not reach holds what the operator begins with; and some relation, or the result, has more cells than anybody would want. */
#include "lang/lower.h"

#define MANY_CELLS ((int64_t)1 << 20)

struct look {
    struct fuse_checker *c;
    const struct fuse_tensor *tensor;
    uint64_t bound, needed; /* indices that relations have, and that something has */
    int relations;
    int64_t largest, second; /* cells of the two largest relations */
};

static int64_t cells_of(struct fuse_checker *c, const struct fuse_tensor *tensor) {
    int64_t cells = 1;
    for (int a = 0; a < tensor->rank; a++)
        cells = fuse_sat_mul(cells, fuse_domain_of(c, tensor->domain[a])->extent);
    return cells;
}

bool fuse_is_sum_of_tuples(const struct fuse_tensor *tensor) {
    return tensor->derived && !tensor->boolean && !tensor->recursive && tensor->assign == FUSE_ASSIGN_SUM;
}

/* An index or a fixed position on every axis. */
static bool is_plain(const struct fuse_node *ref) {
    for (int a = 0; a < ref->positions; a++)
        if (ref->at[a].slice)
            return false;
    return true;
}

/* A tuple that is not there contributes nothing. */
static bool is_tuple(const struct look *look, const struct fuse_tensor *tensor, bool joint) {
    if (tensor->derived && !tensor->boolean)
        return joint ? tensor->assign == look->tensor->assign : fuse_is_sum_of_tuples(tensor);
    return tensor->derived || fuse_tensor_relation(look->c, tensor) != FUSE_NO_RELATION;
}

static bool is_facts(const struct look *look, const struct fuse_tensor *tensor) {
    return tensor->boolean || fuse_tensor_relation(look->c, tensor) == FUSE_FACTS;
}

static void note(struct look *look, const struct fuse_node *ref) {
    int64_t cells = cells_of(look->c, look->c->tensors.at[ref->tensor]);
    look->bound |= ref->uses;
    look->relations++;
    if (cells > look->largest) {
        look->second = look->largest;
        look->largest = cells;
    } else if (cells > look->second)
        look->second = cells;
}

static bool look_at_dense(struct look *look, const struct fuse_node *ref);

/* The clause has the tuple that a numeric relation's value is read from. */
static bool is_read(const struct fuse_clause *clause, const struct fuse_node *ref) {
    bool read = false;
    for (int k = 0; k < clause->literals.n && !read; k++) {
        const struct fuse_node *other = fuse_literal_reference(&clause->literals.at[k]);
        read = other && !clause->literals.at[k].negated && fuse_is_same_place(other, ref);
    }
    return read;
}

/* A condition on indices, on dense tensors, and on values of tuples that are there, or without which the cell is left out. */
static bool look_at_condition(struct look *look, const struct fuse_clause *clause, bool leaves_out,
                              const struct fuse_node *node) {
    if (node->kind == FUSE_NODE_REF) {
        const struct fuse_tensor *tensor = look->c->tensors.at[node->tensor];
        if (!is_tuple(look, tensor, leaves_out))
            return look_at_dense(look, node);
        if (leaves_out)
            note(look, node);
        return !is_facts(look, tensor) && is_plain(node) && (leaves_out || is_read(clause, node));
    }
    bool fine = !fuse_hides_driver(node) && node->kind != FUSE_NODE_TRUTH;
    for (int k = 0; k < node->n && fine; k++)
        fine = !node->arg[k] || look_at_condition(look, clause, leaves_out, node->arg[k]);
    return fine;
}

/* A conjunction of relations, negated ones, and conditions. */
static bool look_at_clause(struct look *look, const struct fuse_clause *clause, bool joint) {
    for (int k = 0; k < clause->literals.n; k++) {
        const struct fuse_literal *literal = &clause->literals.at[k];
        const struct fuse_node *ref = fuse_literal_reference(literal);
        const struct fuse_tensor *tensor = ref ? look->c->tensors.at[ref->tensor] : NULL;
        const bool is_fact = tensor && is_tuple(look, tensor, false) && is_plain(ref) &&
                             (is_facts(look, tensor) || literal->node->kind == FUSE_NODE_TRUTH);
        if (literal->node->sum ||
            (!is_fact && !look_at_condition(look, clause, joint && !literal->negated, literal->node)))
            return false;
        look->needed |= literal->node->axes;
        if (is_fact && !literal->negated)
            note(look, ref);
    }
    return true;
}

/* Several clauses may make it true at once where that changes nothing. */
static bool look_at_guard(struct look *look, const struct fuse_node *guard, bool joint) {
    const bool may_repeat = look->tensor->assign == FUSE_ASSIGN_MIN || look->tensor->assign == FUSE_ASSIGN_MAX;
    struct fuse_clauses clauses = fuse_find_clauses(look->c, guard, false);
    const uint64_t outside = look->bound;
    uint64_t bound = ~(uint64_t)0; /* by every clause */
    bool fine = !clauses.too_many && clauses.list.n > 0 && (clauses.list.n == 1 || may_repeat);
    for (int k = 0; k < clauses.list.n && fine; k++) {
        look->bound = outside;
        fine = look_at_clause(look, &clauses.list.at[k], joint);
        bound &= look->bound;
    }
    look->bound = bound;
    return fine;
}

static bool look_at_dense(struct look *look, const struct fuse_node *ref) {
    look->needed |= ref->uses;
    return !look->c->tensors.at[ref->tensor]->derived && is_plain(ref);
}

static bool look_at_factor(struct look *look, const struct fuse_node *node) {
    const struct fuse_node *ref = node->kind == FUSE_NODE_TRUTH ? node->arg[0] : node;
    look->needed |= node->axes;
    switch (node->kind) {
    case FUSE_NODE_NUMBER:
    case FUSE_NODE_INDEX: return true;
    case FUSE_NODE_GUARD: return look_at_guard(look, node, false);
    case FUSE_NODE_REF:
    case FUSE_NODE_TRUTH:
        if (ref->kind != FUSE_NODE_REF || !is_plain(ref))
            return false;
        if (!is_tuple(look, look->c->tensors.at[ref->tensor], false))
            return node->kind == FUSE_NODE_REF && look_at_dense(look, ref);
        note(look, ref);
        return true;
    default: return false;
    }
}

static bool look_at_term(struct look *look, const struct fuse_node *term, uint64_t left) {
    bool fine = term->sum == (term->uses & ~left) && !term->any;
    look->needed |= term->uses;
    if (term->kind != FUSE_NODE_PRODUCT)
        return fine && look_at_factor(look, term);
    for (int k = 0; k < term->n && fine; k++)
        fine = !term->logical && term->arg[k]->sum == 0 && look_at_factor(look, term->arg[k]) &&
               (!term->inverse[k] || term->arg[k]->kind == FUSE_NODE_NUMBER);
    return fine;
}

/* max= min= prod= avg=: one expression, whose numeric relations leave out what they lack. */
static bool look_at_joint(struct look *look, const struct fuse_node *node) {
    if (node->kind == FUSE_NODE_REF && is_tuple(look, look->c->tensors.at[node->tensor], true)) {
        note(look, node);
        return node->sum == 0 && is_plain(node) && !is_facts(look, look->c->tensors.at[node->tensor]);
    }
    look->needed |= node->uses;
    if (node->kind == FUSE_NODE_REF)
        return node->sum == 0 && look_at_dense(look, node);
    bool fine = !fuse_hides_driver(node) && node->kind != FUSE_NODE_TRUTH && node->kind != FUSE_NODE_LEFT;
    for (int k = 0; k < node->n && fine; k++)
        fine = !node->arg[k] || look_at_joint(look, node->arg[k]);
    return fine;
}

static bool look_at_equation(struct look *look, const struct fuse_equation *eq, int *most) {
    const bool joint = fuse_is_joint(look->c, eq), many = !joint && eq->root->kind == FUSE_NODE_SUM;
    const struct fuse_node *root = joint ? fuse_open_sum(look->c, eq->root) : eq->root;
    bool fine = joint || !root->logical;
    for (int k = 0; k < (many ? root->n : 1) && fine; k++) {
        look->bound = 0;
        look->needed = eq->left_set;
        look->relations = 0;
        if (joint)
            fine = look_at_joint(look, root) && (!eq->guard || look_at_guard(look, eq->guard, true));
        else
            fine = look_at_term(look, many ? root->arg[k] : root, eq->left_set);
        fine = fine && look->relations > 0 && !(look->needed & ~look->bound);
        *most = look->relations > *most ? look->relations : *most;
    }
    return fine;
}

/* Rows with values beside the equations of max= and its kin. */
static bool is_joint_source(const struct fuse_equation *eq, const struct fuse_tensor *tensor) {
    return tensor->assign != FUSE_ASSIGN_SUM && eq->source->probe.tally && fuse_source_relation(eq) != FUSE_FACTS;
}

/* Whether relations reach all of its cells that anything reaches. *most: relations in an equation. */
static bool may_be_tuples(struct look *look, const struct fuse_tensor *tensor, int *most) {
    struct fuse_checker *c = look->c;
    if (tensor->derived || tensor->boolean || tensor->recursive || tensor->rank == 0 || tensor->carried > 0 ||
        tensor->contributions.n == 0)
        return false;
    for (int k = 0; k < tensor->contributions.n; k++) {
        const struct fuse_equation *eq = c->equations.at[tensor->contributions.at[k]];
        if (eq->bad ||
            (eq->kind == FUSE_EQUATION_SOURCE ? !is_joint_source(eq, tensor)
                                              : eq->kind != FUSE_EQUATION_EXPR || !look_at_equation(look, eq, most)))
            return false;
    }
    return true;
}

bool fuse_is_copy_of_facts(const struct fuse_checker *c, const struct fuse_tensor *tensor) {
    if (tensor->assign != FUSE_ASSIGN_SUM || tensor->contributions.n != 1)
        return false;
    const struct fuse_equation *eq = c->equations.at[tensor->contributions.at[0]];
    const struct fuse_node *root = eq->kind == FUSE_EQUATION_EXPR ? eq->root : NULL;
    if (!root || root->sum || root->any)
        return false;
    return root->kind == FUSE_NODE_TRUTH || (root->kind == FUSE_NODE_REF && c->tensors.at[root->tensor]->boolean);
}

bool fuse_is_better_tuples(struct fuse_checker *c, const struct fuse_tensor *tensor, bool listed) {
    struct look look = {.c = c, .tensor = tensor};
    int most = 0;
    if (fuse_is_copy_of_facts(c, tensor) || !may_be_tuples(&look, tensor, &most))
        return false;
    return listed || (most > 1 && (look.second > MANY_CELLS || cells_of(c, tensor) > MANY_CELLS));
}

bool fuse_is_best_of_tuples(struct fuse_checker *c, const struct fuse_tensor *tensor) {
    struct look look = {.c = c, .tensor = tensor};
    int most = 0;
    return !tensor->boolean && (tensor->assign == FUSE_ASSIGN_MIN || tensor->assign == FUSE_ASSIGN_MAX) &&
           (tensor->derived || may_be_tuples(&look, tensor, &most));
}
