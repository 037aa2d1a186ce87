/* Which tensors rules derive, so that they are relations: those of recursions over truths, min= and max=; truths of two and
 * more indices, or of several relations, that relations bind; and sinks of tuples. And in which order: rules of one level are
 * evaluated together. */
#include "lang/check.h"

#include <string.h>
#include <strings.h>

bool fuse_is_sparse(const struct fuse_checker *c, int tensor) {
    const struct fuse_tensor *t = c->tensors.at[tensor];
    return t->derived || fuse_tensor_relation(c, t) != FUSE_NO_RELATION;
}

/* ---- truths that relations bind ---- */

/* The relation that a literal is a tuple of, or NULL. */
static const struct fuse_node *sparse_reference(const struct fuse_checker *c, const struct fuse_literal *literal) {
    const struct fuse_node *ref = fuse_literal_reference(literal);
    if (!ref || !fuse_is_sparse(c, ref->tensor))
        return NULL;
    /* Where a value of min= or max= is absent it is infinite, which may be true. */
    return c->tensors.at[ref->tensor]->derived && !c->tensors.at[ref->tensor]->boolean ? NULL : ref;
}

static bool mentions_tensor(const struct fuse_node *node) {
    bool mentions = node->kind == FUSE_NODE_REF;
    for (int k = 0; k < node->n && !mentions; k++)
        mentions = node->arg[k] && mentions_tensor(node->arg[k]);
    return mentions;
}

static bool has_slice(const struct fuse_node *ref) {
    for (int a = 0; a < ref->positions; a++)
        if (ref->at[a].slice)
            return true;
    return false;
}

/* true when relations have all indices that the clause needs; *relations: how many it has. */
static bool is_bound(const struct fuse_checker *c, const struct fuse_clause *clause, uint64_t left, int *relations) {
    uint64_t bound = 0, needed = left;
    int binding = 0;
    *relations = 0;
    for (int k = 0; k < clause->literals.n; k++) {
        const struct fuse_literal *literal = &clause->literals.at[k];
        const struct fuse_node *ref = sparse_reference(c, literal);
        if (ref && has_slice(ref))
            return false;
        *relations += ref != NULL;
        if (ref && !literal->negated) {
            bound |= ref->uses;
            binding++;
        } else if (literal->negated || !mentions_tensor(literal->node)) {
            needed |= literal->node->axes;
        }
    }
    return binding > 0 && !(needed & ~bound);
}

static bool are_bound(const struct fuse_checker *c, const struct fuse_equation *eq, uint64_t left, int *most) {
    struct fuse_clauses clauses = fuse_find_clauses(c, eq->root, false);
    int relations;
    bool bound = !clauses.too_many;
    for (int k = 0; k < clauses.list.n && bound; k++) {
        bound = is_bound(c, &clauses.list.at[k], left, &relations);
        *most = relations > *most ? relations : *most;
    }
    return bound && clauses.list.n > 0;
}

static bool is_derived(const struct fuse_checker *c, const struct fuse_tensor *tensor) {
    int most = 0;
    if (tensor->recursive)
        return tensor->boolean || tensor->assign == FUSE_ASSIGN_MIN || tensor->assign == FUSE_ASSIGN_MAX;
    if (!tensor->boolean || fuse_tensor_relation(c, tensor) != FUSE_NO_RELATION)
        return false;
    for (int k = 0; k < tensor->contributions.n; k++) {
        const struct fuse_equation *eq = c->equations.at[tensor->contributions.at[k]];
        if (eq->kind == FUSE_EQUATION_SOURCE ? fuse_source_relation(eq) != FUSE_FACTS
                                             : !are_bound(c, eq, eq->left_set, &most))
            return false;
    }
    /* Whoever asks about facts wants to see through all of them. */
    return tensor->rank > 1 || most > 1 || c->questions.n > 0;
}

/* ---- sinks ---- */

static bool ends_in(const char *text, const char *end) {
    size_t bytes = strlen(text), tail = strlen(end);
    return bytes >= tail && strcasecmp(text + bytes - tail, end) == 0;
}

/* Files that hold tuples. */
static bool holds_tuples(const char *path) {
    return ends_in(path, ".tsv") || ends_in(path, ".csv") || ends_in(path, ":coo");
}

/* A sink of something that is not all of one tensor: a tensor of the sink's axes. */
static void make_whole(struct fuse_checker *c, struct fuse_equation *sink) {
    struct fuse_tensor *tensor = FUSE_NEW(c->arena, struct fuse_tensor);
    struct fuse_equation *eq = fuse_add_equation(c, sink->item, sink->block, FUSE_EQUATION_EXPR);
    int number = eq->number;
    *eq = *sink;
    eq->number = number;
    eq->kind = FUSE_EQUATION_EXPR;
    eq->tensor = c->tensors.n;
    eq->left = FUSE_NEW_ARRAY(c->arena, struct fuse_position, sink->indices);
    *tensor = (struct fuse_tensor){.name = sink->item->text, .span = sink->item->span, .value = -1, .boolean = true};
    tensor->component = -1;
    tensor->derived = true;
    if (!sink->logical) {
        tensor->boolean = false;
        tensor->assign = c->tensors.at[sink->root->tensor]->assign;
    }
    for (int k = 0; k < sink->indices; k++)
        if (sink->root->axes & FUSE_BIT(k)) {
            eq->left[eq->lefts++] = (struct fuse_position){
                .index = k, .step = 1, .domain = sink->index[k].domain, .span = sink->index[k].span};
            eq->left_set |= FUSE_BIT(k);
            tensor->domain[tensor->rank++] = sink->index[k].domain;
        }
    tensor->mentioned = true;
    fuse_vec_push(c->arena, &tensor->contributions, number);
    fuse_vec_push(c->arena, &c->tensors, tensor);
    fuse_vec_push(c->arena, &c->order, eq->tensor);
    sink->whole = 1 + eq->tensor;
    sink->mentions.n = 0;
    sink->mentions.at = NULL;
    sink->mentions.cap = 0;
    fuse_vec_push(c->arena, &sink->mentions, eq->tensor);
}

/* All of a tensor, its axes in order. */
static bool is_whole(const struct fuse_node *root) {
    bool whole = root->kind == FUSE_NODE_REF;
    for (int a = 0; whole && a < root->positions; a++) {
        const struct fuse_position *at = &root->at[a];
        whole = at->index >= 0 && at->offset == 0 && !at->slice;
        for (int b = 0; whole && b < a; b++) /* indices are numbered in the order of their first appearance */
            whole = root->at[b].index < at->index;
    }
    return whole;
}

bool fuse_reads_cells_alone(const struct fuse_node *node) {
    bool alone = node->kind == FUSE_NODE_REF;
    for (int a = 0; alone && a < node->positions; a++)
        alone = !node->at[a].slice && (node->at[a].index < 0 || node->at[a].offset == 0);
    return alone;
}

/* Some of the tuples with values that rules have got. */
static bool is_part_of_values(const struct fuse_checker *c, const struct fuse_node *root) {
    return fuse_reads_cells_alone(root) && c->tensors.at[root->tensor]->derived &&
           !c->tensors.at[root->tensor]->boolean;
}

static bool is_list(const struct fuse_equation *eq) {
    return eq->kind == FUSE_EQUATION_SINK && !eq->bad && eq->whole == 0 && !eq->item->query &&
           holds_tuples(eq->item->text) && eq->root->axes != 0;
}

static void look_at_sink(struct fuse_checker *c, struct fuse_equation *eq) {
    int most = 0;
    if (!is_list(eq))
        return;
    if (is_whole(eq->root) && c->tensors.at[eq->root->tensor]->derived) {
        eq->whole = 1 + eq->root->tensor;
        return;
    }
    /* Rules that look into a recursion make rows of it; questions are answered faster from what it was computed as. */
    if (c->questions.n > 0 && eq->logical && fuse_reads_cells_alone(eq->root) &&
        c->tensors.at[eq->root->tensor]->derived && c->tensors.at[eq->root->tensor]->recursive)
        return;
    const bool is_bound = eq->logical ? are_bound(c, eq, eq->root->axes, &most) : is_part_of_values(c, eq->root);
    if (is_bound && __builtin_popcountll(eq->root->axes) <= FUSE_MAX_AXES)
        make_whole(c, eq);
}

/* ---- levels ---- */

/* Anything that is not a tuple of a relation in a rule is there before the rules are evaluated. */
static int level_of(const struct fuse_checker *c, const struct fuse_tensor *tensor, const struct fuse_node *node,
                    bool is_dense) {
    int level = 0;
    if (node->kind == FUSE_NODE_REF) {
        const struct fuse_tensor *other = c->tensors.at[node->tensor];
        bool within = tensor->recursive && other->component == tensor->component;
        level = within ? 0 : other->level + (is_dense && other->derived);
    }
    for (int k = 0; k < node->n; k++) {
        int below = node->arg[k] ? level_of(c, tensor, node->arg[k], is_dense) : 0;
        level = below > level ? below : level;
    }
    return level;
}

static int clauses_level(const struct fuse_checker *c, const struct fuse_tensor *tensor, const struct fuse_node *node);

static int literal_level(const struct fuse_checker *c, const struct fuse_tensor *tensor,
                         const struct fuse_literal *literal) {
    /* What is negated as a whole becomes rules, too. */
    if (literal->negated && literal->node->sum && !fuse_literal_reference(literal))
        return clauses_level(c, tensor, literal->node);
    return level_of(c, tensor, literal->node, sparse_reference(c, literal) == NULL);
}

static int clauses_level(const struct fuse_checker *c, const struct fuse_tensor *tensor, const struct fuse_node *node) {
    struct fuse_clauses clauses = fuse_find_clauses(c, node, false);
    int level = clauses.too_many ? level_of(c, tensor, node, true) : 0;
    for (int k = 0; k < clauses.list.n; k++)
        for (int j = 0; j < clauses.list.at[k].literals.n; j++) {
            int one = literal_level(c, tensor, &clauses.list.at[k].literals.at[j]);
            level = one > level ? one : level;
        }
    return level;
}

static void find_level(struct fuse_checker *c, struct fuse_tensor *tensor) {
    for (int k = 0; k < tensor->contributions.n; k++) {
        const struct fuse_equation *eq = c->equations.at[tensor->contributions.at[k]];
        int level = 0;
        if (eq->bad || eq->kind != FUSE_EQUATION_EXPR)
            continue;
        if (!tensor->derived)
            level = level_of(c, tensor, eq->root, true);
        else if (tensor->boolean)
            level = clauses_level(c, tensor, eq->root);
        else
            level = level_of(c, tensor, eq->root, true);
        if (eq->guard) {
            int guard = tensor->derived ? clauses_level(c, tensor, eq->guard) : level_of(c, tensor, eq->guard, true);
            level = guard > level ? guard : level;
        }
        tensor->level = level > tensor->level ? level : tensor->level;
    }
}

/* Members of a component have one level. */
static void find_levels(struct fuse_checker *c) {
    for (int k = 0; k < c->order.n;) {
        int end = k, level = 0;
        const struct fuse_tensor *first = c->tensors.at[c->order.at[k]];
        do {
            struct fuse_tensor *tensor = c->tensors.at[c->order.at[end]];
            find_level(c, tensor);
            level = tensor->level > level ? tensor->level : level;
            end++;
        } while (first->recursive && end < c->order.n &&
                 c->tensors.at[c->order.at[end]]->component == first->component);
        for (; k < end; k++)
            c->tensors.at[c->order.at[k]]->level = level;
    }
}

/* Level by level, dense tensors before rules, else as it was. */
static void sort_by_level(struct fuse_checker *c) {
    FUSE_VEC(int) sorted = {0};
    int last = 0;
    for (int k = 0; k < c->order.n; k++)
        last = c->tensors.at[c->order.at[k]]->level > last ? c->tensors.at[c->order.at[k]]->level : last;
    for (int level = 0; level <= last; level++)
        for (int derived = 0; derived < 2; derived++)
            for (int k = 0; k < c->order.n; k++) {
                const struct fuse_tensor *tensor = c->tensors.at[c->order.at[k]];
                if (tensor->level == level && tensor->derived == derived)
                    fuse_vec_push(c->arena, &sorted, c->order.at[k]);
            }
    for (int k = 0; k < sorted.n; k++)
        c->order.at[k] = sorted.at[k];
}

/* Those whose tuples are counted, or listed where a cell that no tuple reaches holds what a tuple might bring. */
static bool *find_listed(struct fuse_checker *c) {
    bool *listed = FUSE_NEW_ARRAY(c->arena, bool, c->tensors.n + 1);
    for (int k = 0; k < c->counts.n; k++)
        listed[c->counts.at[k]] = true;
    for (int e = 0; e < c->equations.n; e++) {
        const struct fuse_equation *eq = c->equations.at[e];
        if (!is_list(eq) || !fuse_reads_cells_alone(eq->root))
            continue;
        const enum fuse_assign assign = c->tensors.at[eq->root->tensor]->assign;
        listed[eq->root->tensor] |= assign == FUSE_ASSIGN_PROD || assign == FUSE_ASSIGN_AVG;
    }
    return listed;
}

static void check_counts(struct fuse_checker *c) {
    for (int k = 0; k < c->counts.n; k++) {
        const struct fuse_tensor *tensor = c->tensors.at[c->counts.at[k]];
        if (tensor->bad || tensor->boolean || fuse_is_sparse(c, c->counts.at[k]) || fuse_is_copy_of_facts(c, tensor))
            continue;
        struct fuse_diagnostic *d =
            fuse_complain(c, FUSE_NO_SPAN, "--count %s: it is dense, and only tuples are counted", tensor->name);
        fuse_advise(c, d, "write a Boolean tensor of what is to be counted: Large(x) = X[x] > 3");
        d->status = FUSE_EUSAGE;
    }
}

void fuse_choose_sums(struct fuse_checker *c) {
    const bool *listed = find_listed(c);
    const int equations = c->equations.n;
    bool any = false;
    for (int k = 0; k < c->order.n; k++) { /* what they are made of comes before */
        struct fuse_tensor *tensor = c->tensors.at[c->order.at[k]];
        if (tensor->bad || !fuse_is_better_tuples(c, tensor, listed[c->order.at[k]]))
            continue;
        tensor->derived = any = true;
        for (int e = 0; e < tensor->contributions.n && tensor->assign == FUSE_ASSIGN_AVG; e++) {
            struct fuse_equation *eq = c->equations.at[tensor->contributions.at[e]];
            eq->root = fuse_open_sum(c, eq->root); /* tuples are counted, where a dense product would be summed */
        }
    }
    check_counts(c);
    if (!any)
        return;
    for (int e = 0; e < equations; e++)
        if (c->equations.at[e]->kind == FUSE_EQUATION_SINK && !c->equations.at[e]->logical)
            look_at_sink(c, c->equations.at[e]);
    find_levels(c);
    sort_by_level(c);
}

void fuse_choose_rules(struct fuse_checker *c) {
    bool any = false;
    int sinks = c->equations.n;
    for (int k = 0; k < c->order.n; k++) {
        struct fuse_tensor *tensor = c->tensors.at[c->order.at[k]];
        tensor->derived = !tensor->bad && is_derived(c, tensor);
        any |= tensor->derived;
    }
    for (int e = 0; e < sinks; e++) {
        struct fuse_equation *eq = c->equations.at[e];
        if (eq->kind == FUSE_EQUATION_SINK) {
            look_at_sink(c, eq);
            any |= eq->whole > 0;
        }
    }
    if (!any)
        return;
    find_levels(c);
    sort_by_level(c);
}
