/* Equations become rules over relations (core/rules.h). What is not a tuple of a relation is computed before, as a dense value, and
 * its true cells are a relation too: the rules know nothing else. */
#include "lang/lower.h"

#include <string.h>

/* The rules of one level in the making. */
struct logic {
    struct fuse_checker *c;
    FUSE_VEC(struct fuse_rule_relation) relation;
    FUSE_VEC(int) value; /* [relations] that they are, -1: none outside of the rules */
    FUSE_VEC(struct fuse_rule) rule;
    FUSE_VEC(struct fuse_use) input;
    FUSE_VEC(int) feed;          /* [inputs] */
    FUSE_VEC(int) dense, sparse; /* values, and the relations that hold their cells */
    int strata;
};

/* A rule in the making. */
struct draft {
    struct logic *logic;
    struct fuse_lowering *l;
    struct fuse_clause clause;
    int variable_of[FUSE_MAX_INDICES]; /* -1: the index is none yet */
    FUSE_VEC(struct fuse_rule_variable) variable;
    uint64_t bound, local; /* variables that positive atoms have, that one negated atom has for itself */
    FUSE_VEC(struct fuse_rule_atom) atom;
    FUSE_VEC(struct fuse_use) use; /* [atoms] what a load of it reads */
    struct fuse_term *guard;       /* NULL: true */
    bool is_subtracted;            /* the value */
};

static void fail(struct fuse_lowering *l) {
    l->failed = true;
}

/* ---- relations ---- */

static int add_relation(struct logic *logic, const char *name, int value, enum fuse_reduce combine) {
    const struct fuse_value *v = &logic->c->ir->values.at[value];
    struct fuse_rule_relation relation = {.name = name ? name : fuse_arena_printf(logic->c->arena, "%%%d", value),
                                          .columns = v->rank,
                                          .dtype = v->dtype,
                                          .stratum = -1};
    relation.combine = v->dtype == FUSE_BOOL ? FUSE_REDUCE_OR : combine;
    memcpy(relation.extent, v->extent, sizeof relation.extent);
    fuse_vec_push(logic->c->arena, &logic->relation, relation);
    fuse_vec_push(logic->c->arena, &logic->value, value);
    return logic->relation.n - 1;
}

static void add_input(struct logic *logic, int value, int relation) {
    struct fuse_use use = {.value = value, .access = {.rank = logic->c->ir->values.at[value].rank}};
    for (int a = 0; a < use.access.rank; a++)
        use.access.at[a].index = -1;
    fuse_vec_push(logic->c->arena, &logic->input, use);
    fuse_vec_push(logic->c->arena, &logic->feed, relation);
}

/* The relation of the cells of a dense value: the true ones, or all with their numbers. */
static int sparsify(struct logic *logic, int dense) {
    struct fuse_checker *c = logic->c;
    for (int k = 0; k < logic->dense.n; k++)
        if (logic->dense.at[k] == dense)
            return logic->sparse.at[k];
    const struct fuse_value v = c->ir->values.at[dense];
    struct fuse_use use = {.value = dense, .access = fuse_access_identity(v.rank)};
    struct fuse_op op = {
        .kind = FUSE_OP_SPARSIFY, .span = v.span, .inputs = 1, .input = &use, .indices = v.rank, .owner = v.name};
    for (int a = 0; a < v.rank; a++) {
        op.extent[a] = v.extent[a];
        op.out_index[a] = a;
    }
    op.out = fuse_ir_add_value(c->ir, NULL, v.span, fuse_dtype_compute(v.dtype), v.rank, v.extent);
    c->ir->values.at[op.out].storage = FUSE_STORAGE_RELATION;
    fuse_ir_add_op(c->ir, &op);
    fuse_vec_push(c->arena, &logic->dense, dense);
    fuse_vec_push(c->arena, &logic->sparse, op.out);
    return op.out;
}

/* The rules' own number of a value, whose tuples come from outside unless rules derive them. */
static int relation_of(struct logic *logic, int value) {
    const struct fuse_ir *ir = logic->c->ir;
    const char *name = ir->values.at[value].name;
    if (!fuse_is_relation(ir, value))
        value = sparsify(logic, value);
    for (int r = 0; r < logic->relation.n; r++)
        if (logic->value.at[r] == value)
            return r;
    /* One that is not made yet belongs to these rules, and has its number. */
    const struct fuse_op *op = ir->ops.at[ir->values.at[value].op];
    enum fuse_reduce combine = FUSE_REDUCE_SUM;
    if (op->kind == FUSE_OP_SOURCE)
        combine = op->reduce;
    else if (op->kind == FUSE_OP_DERIVED)
        combine = ir->ops.at[ir->values.at[op->input[0].value].op]->rules->relation[op->derived].combine;
    int r = add_relation(logic, name, value, combine);
    logic->relation.at[r].mean = op->kind == FUSE_OP_SOURCE && op->mean;
    add_input(logic, value, r);
    return r;
}

/* ---- variables and atoms ---- */

static int new_variable(struct draft *d, int index) {
    struct fuse_rule_variable variable = {.name = d->l->name[index], .extent = d->l->extent[index]};
    fuse_vec_push(d->l->c->arena, &d->variable, variable);
    return d->variable.n - 1;
}

static int variable_of(struct draft *d, int index) {
    if (d->variable_of[index] < 0)
        d->variable_of[index] = new_variable(d, index);
    return d->variable_of[index];
}

static void add_guard(struct draft *d, struct fuse_term *term) {
    d->guard = d->guard ? fuse_term_op(d->l, FUSE_SCALAR_AND, d->guard, term, NULL) : term;
}

/* An index that is shorter than the axis that it moves along stays inside of its own extent. */
static void keep_inside(struct draft *d, const struct fuse_access_axis *at, int64_t axis_extent) {
    int64_t extent = d->l->extent[at->index];
    struct fuse_term *here = fuse_term_iota(d->l, at->index);
    if (at->offset > 0)
        add_guard(d, fuse_term_op(d->l, FUSE_SCALAR_LE, fuse_term_integer(d->l, 0), here, NULL));
    if (axis_extent - at->offset > extent)
        add_guard(d, fuse_term_op(d->l, FUSE_SCALAR_LT, here, fuse_term_integer(d->l, extent), NULL));
}

static bool same_use(const struct fuse_use *a, const struct fuse_use *b) {
    return a->value == b->value && fuse_same_access(&a->access, &b->access);
}

static int find_atom(const struct draft *d, const struct fuse_use *use) {
    for (int k = 0; k < d->atom.n; k++)
        if (!d->atom.at[k].is_negated && same_use(&d->use.at[k], use))
            return k;
    return -1;
}

/* `local`: indices that are the atom's own. */
static int add_atom(struct draft *d, const struct fuse_use *use, bool negated, uint64_t local) {
    struct fuse_checker *c = d->l->c;
    int before = negated ? -1 : find_atom(d, use);
    if (before >= 0)
        return before;
    int rank = use->access.rank, own[FUSE_MAX_INDICES];
    struct fuse_rule_atom atom = {.relation = relation_of(d->logic, use->value), .is_negated = negated};
    atom.term = FUSE_NEW_ARRAY(c->arena, struct fuse_rule_term, rank);
    for (int k = 0; k < FUSE_MAX_INDICES; k++)
        own[k] = -1;
    for (int a = 0; a < rank; a++) {
        const struct fuse_access_axis *at = &use->access.at[a];
        atom.term[a] = (struct fuse_rule_term){.variable = -1, .offset = at->offset};
        if (at->index < 0)
            continue;
        if (at->stride != 1 && !d->l->failed) {
            fuse_complain(c, d->l->here, "a slice with a step cannot be a part of a rule");
            fail(d->l);
        }
        fuse_name_column(c, &d->logic->relation.at[atom.relation], a, d->l->eq->index[at->index].domain);
        if (local & FUSE_BIT(at->index)) {
            if (own[at->index] < 0)
                own[at->index] = new_variable(d, at->index);
            atom.term[a].variable = own[at->index];
            d->local |= own[at->index] < FUSE_RULE_VARIABLES ? FUSE_BIT(own[at->index]) : 0;
            continue;
        }
        int v = atom.term[a].variable = variable_of(d, at->index);
        if (!negated && v < FUSE_RULE_VARIABLES) {
            d->bound |= FUSE_BIT(v);
            keep_inside(d, at, c->ir->values.at[use->value].extent[a]);
        }
    }
    fuse_vec_push(c->arena, &d->atom, atom);
    fuse_vec_push(c->arena, &d->use, *use);
    return d->atom.n - 1;
}

/* ---- terms ---- */

static bool has_load(const struct fuse_term *term) {
    return term && (term->use || has_load(term->a) || has_load(term->b) || has_load(term->c));
}

/* What a term reads is joined. */
static void join_loads(struct draft *d, const struct fuse_term *term) {
    if (!term)
        return;
    if (term->use)
        (void)add_atom(d, term->use, false, 0);
    join_loads(d, term->a);
    join_loads(d, term->b);
    join_loads(d, term->c);
}

struct scalar {
    struct draft *d;
    FUSE_VEC(struct fuse_scalar_node) node;
};

static int add_node(struct scalar *s, struct fuse_term *term) {
    struct fuse_lowering *l = s->d->l;
    if (term->epoch == l->epoch)
        return term->slot;
    struct fuse_scalar_node node = term->node;
    node.a = term->a ? add_node(s, term->a) : -1;
    node.b = term->b ? add_node(s, term->b) : -1;
    node.c = term->c ? add_node(s, term->c) : -1;
    if (node.op == FUSE_SCALAR_LOAD)
        node.arg = find_atom(s->d, term->use);
    else if (node.op == FUSE_SCALAR_IOTA)
        node.arg = variable_of(s->d, node.arg);
    fuse_vec_push(l->c->arena, &s->node, node);
    term->epoch = l->epoch;
    return term->slot = s->node.n - 1;
}

static const struct fuse_scalar *make_scalar(struct draft *d, struct fuse_term *term) {
    struct scalar s = {.d = d};
    d->l->epoch++;
    add_node(&s, term);
    struct fuse_scalar *scalar = FUSE_NEW(d->l->c->arena, struct fuse_scalar);
    *scalar = (struct fuse_scalar){.n = s.node.n, .node = s.node.at};
    return scalar;
}

/* The value of a dense term, in the type of its tuples, through its own indices. */
static struct fuse_use dense_use(struct fuse_lowering *l, struct fuse_term *term) {
    const struct fuse_clause *clause = l->clause;
    l->clause = NULL;
    term = fuse_materialise(l, term);
    l->clause = clause;
    if (l->failed || !term->use) /* a constant stands in after a failure */
        fail(l);
    return term->use ? *term->use : (struct fuse_use){.value = 0};
}

/* ---- references in values and guards ---- */

/* true when the clause says that the reference's tuple is there. */
static bool is_present(const struct fuse_clause *clause, const struct fuse_node *ref) {
    for (int k = 0; k < clause->literals.n; k++) {
        const struct fuse_literal *literal = &clause->literals.at[k];
        const struct fuse_node *other = fuse_literal_reference(literal);
        if (other && !literal->negated && fuse_is_same_place(other, ref))
            return true;
    }
    return false;
}

static bool is_shifted(const struct fuse_access *access) {
    for (int a = 0; a < access->rank; a++)
        if (access->at[a].index >= 0 && (access->at[a].stride != 1 || access->at[a].offset != 0))
            return true;
    return false;
}

static struct fuse_term *load_through(struct fuse_lowering *l, const struct fuse_node *ref, int value) {
    struct fuse_access access = fuse_reference_access(l, ref, value);
    return fuse_term_load(l, value, &access);
}

/* Numbers outside of a dense tensor are 0, and count. */
static struct fuse_term *lower_dense_number(struct fuse_lowering *l, const struct fuse_node *ref, int value) {
    struct fuse_term *load = load_through(l, ref, value);
    if (load->node.dtype == FUSE_BOOL)
        load = fuse_term_cast(l, load, FUSE_I64);
    else if (!is_shifted(&load->use->access))
        return load;
    struct fuse_use use = dense_use(
        l, fuse_term_op(l, FUSE_SCALAR_ADD, load,
                        load->node.dtype == FUSE_I64 ? fuse_term_integer(l, 0) : fuse_term_real(l, load->node.dtype, 0),
                        NULL));
    return l->failed ? fuse_term_integer(l, 0) : fuse_term_load(l, use.value, &use.access);
}

struct fuse_term *fuse_lower_rule_reference(struct fuse_lowering *l, const struct fuse_node *ref, bool support) {
    struct fuse_tensor *tensor = l->c->tensors.at[ref->tensor];
    bool is_sparse = fuse_is_relation(l->c->ir, tensor->value);
    bool is_truth = support || (is_sparse && l->c->ir->values.at[tensor->value].dtype == FUSE_BOOL);
    if (is_truth && is_present(l->clause, ref))
        return fuse_term_bool(l, true);
    if (is_truth && is_sparse) {
        struct fuse_diagnostic *d = fuse_complain(
            l->c, ref->span,
            "'%s' is a relation of facts and stands as a number in a recursion with min= or max=", tensor->name);
        fuse_advise(l->c, d, "where its facts are wanted only, say so in a guard: D[y] when %s(x,y) min= ..",
                    tensor->name);
        fail(l);
        return fuse_term_integer(l, 0);
    }
    /* Where min= has not reached a cell it is infinite, which in a rule of max= would count. */
    const struct fuse_tensor *head = l->eq->tensor >= 0 ? l->c->tensors.at[l->eq->tensor] : tensor;
    if (tensor->derived && tensor->assign != head->assign)
        return lower_dense_number(l, ref, fuse_lower_cells(l, tensor));
    return is_sparse ? load_through(l, ref, tensor->value) : lower_dense_number(l, ref, tensor->value);
}

/* ---- literals ---- */

static void add_literal(struct draft *d, const struct fuse_literal *literal);
static void add_rules(struct logic *logic, struct fuse_lowering *l, int head,
                      const struct fuse_rule_term *(*terms)(struct draft *d, const void *of), const void *of,
                      const struct fuse_node *truth, const struct fuse_node *value, enum fuse_dtype dtype);

/* The indices of a set in order, as the head of a relation that is made for a part of an equation. */
static const struct fuse_rule_term *part_terms(struct draft *d, const void *of) {
    uint64_t set = *(const uint64_t *)of;
    struct fuse_rule_term *term = FUSE_NEW_ARRAY(d->l->c->arena, struct fuse_rule_term, FUSE_MAX_INDICES);
    int n = 0;
    for (int k = 0; k < FUSE_MAX_INDICES; k++)
        if (set & FUSE_BIT(k))
            term[n++] = (struct fuse_rule_term){.variable = variable_of(d, k)};
    return term;
}

/* A relation of its own for what is negated as a whole. */
static void add_negated_part(struct draft *d, const struct fuse_literal *literal) {
    struct logic *logic = d->logic;
    struct fuse_lowering part = *d->l;
    const struct fuse_node *node = literal->node;
    struct fuse_rule_relation relation = {.name = fuse_arena_printf(logic->c->arena, "part %d", logic->relation.n),
                                          .dtype = FUSE_BOOL,
                                          .combine = FUSE_REDUCE_OR,
                                          .stratum = -1};
    struct fuse_use use = {.value = -1};
    for (int k = 0; k < FUSE_MAX_INDICES; k++)
        if (node->axes & FUSE_BIT(k)) {
            fuse_name_column(logic->c, &relation, relation.columns, d->l->eq->index[k].domain);
            relation.extent[relation.columns++] = d->l->extent[k];
        }
    fuse_vec_push(logic->c->arena, &logic->relation, relation);
    fuse_vec_push(logic->c->arena, &logic->value, -1);
    int number = logic->relation.n - 1;
    part.clause = NULL;
    add_rules(logic, &part, number, part_terms, &node->axes, node, NULL, FUSE_BOOL);
    d->l->failed |= part.failed;
    d->l->epoch = part.epoch;
    logic->relation.at[number].stratum = logic->strata++;
    struct fuse_rule_atom atom = {.relation = number, .is_negated = true};
    atom.term = (struct fuse_rule_term *)part_terms(d, &node->axes);
    fuse_vec_push(logic->c->arena, &d->atom, atom);
    fuse_vec_push(logic->c->arena, &d->use, use);
}

static struct fuse_term *positive(struct fuse_lowering *l, struct fuse_term *number) {
    return fuse_term_cast(l, number, FUSE_BOOL);
}

/* A tuple of a relation, or none. */
static void add_reference(struct draft *d, const struct fuse_literal *literal, const struct fuse_node *ref) {
    struct fuse_lowering *l = d->l;
    const struct fuse_tensor *tensor = l->c->tensors.at[ref->tensor];
    bool is_truth = l->c->ir->values.at[tensor->value].dtype == FUSE_BOOL || literal->node->kind == FUSE_NODE_TRUTH;
    struct fuse_term *load = load_through(l, ref, tensor->value);
    if (literal->negated && !is_truth) {
        add_negated_part(d, literal);
        return;
    }
    (void)add_atom(d, load->use, literal->negated, literal->negated ? literal->node->sum : 0);
    if (!is_truth)
        add_guard(d, positive(l, load));
}

static bool is_numeric_relation(const struct fuse_lowering *l, const struct fuse_node *node) {
    return fuse_reads_numbers(l, node) && l->c->ir->values.at[l->c->tensors.at[node->tensor]->value].dtype != FUSE_BOOL;
}

/* false when some relation that the node mentions has no values, or is not known to have its tuple. */
static bool all_present(const struct draft *d, const struct fuse_node *node, bool known) {
    bool all =
        !fuse_reads_numbers(d->l, node) || (is_numeric_relation(d->l, node) && (known || is_present(&d->clause, node)));
    if (fuse_hides_driver(node) || node->kind == FUSE_NODE_TRUTH)
        return false;
    for (int k = 0; k < node->n && all; k++)
        all = !node->arg[k] || all_present(d, node->arg[k], known);
    return all;
}

static bool mentions_relation(const struct fuse_lowering *l, const struct fuse_node *node) {
    bool mentions = fuse_reads_numbers(l, node);
    for (int k = 0; k < node->n && !mentions; k++)
        mentions = node->arg[k] && mentions_relation(l, node->arg[k]);
    return mentions;
}

/* A relation's value against a number, and 0 would not do: the tuple must be there. */
static bool needs_tuple(const struct fuse_lowering *l, const struct fuse_node *node) {
    if (node->kind != FUSE_NODE_COMPARE)
        return false;
    bool swapped = node->arg[0]->kind == FUSE_NODE_NUMBER;
    const struct fuse_node *ref = node->arg[swapped], *number = node->arg[!swapped];
    double x = number->number.real;
    if (number->kind != FUSE_NODE_NUMBER || !is_numeric_relation(l, ref) || ref->sum)
        return false;
    switch (node->compare) {
    case FUSE_BINARY_LT: return swapped ? !(x < 0) : !(0 < x);
    case FUSE_BINARY_LE: return swapped ? !(x <= 0) : !(0 <= x);
    case FUSE_BINARY_GT: return swapped ? !(x > 0) : !(0 > x);
    case FUSE_BINARY_GE: return swapped ? !(x >= 0) : !(0 >= x);
    case FUSE_BINARY_EQ: return x != 0;
    default: return x == 0;
    }
}

/* Anything else that is true or not: a guard where it is made of indices and of values of tuples that are there, else the true
 * cells of a dense value. */
static void add_other(struct draft *d, const struct fuse_literal *literal) {
    struct fuse_lowering *l = d->l;
    /* max= and its kin leave a cell out where a relation that the guard mentions is absent. */
    const bool leaves_out = !literal->negated && l->eq->tensor >= 0 && fuse_is_joint(l->c, l->eq);
    bool of_tuples = mentions_relation(l, literal->node) && (all_present(d, literal->node, leaves_out) ||
                                                             (!literal->negated && needs_tuple(l, literal->node)));
    l->clause = of_tuples ? &d->clause : NULL;
    struct fuse_term *term = fuse_lower_truth(l, literal->node, FUSE_F32);
    l->clause = NULL;
    if (l->failed)
        return;
    if (of_tuples || !has_load(term)) {
        join_loads(d, term);
        add_guard(d, literal->negated ? fuse_term_op(l, FUSE_SCALAR_NOT, term, NULL, NULL) : term);
        return;
    }
    struct fuse_use use = dense_use(l, term);
    if (!l->failed)
        (void)add_atom(d, &use, literal->negated, 0);
}

static void add_literal(struct draft *d, const struct fuse_literal *literal) {
    const struct fuse_node *ref = fuse_literal_reference(literal);
    struct fuse_lowering *l = d->l;
    l->here = literal->node->span;
    if (ref) {
        const struct fuse_tensor *tensor = l->c->tensors.at[ref->tensor];
        bool is_truth = l->c->ir->values.at[tensor->value].dtype == FUSE_BOOL;
        if (is_truth || fuse_reads_numbers(l, ref)) {
            add_reference(d, literal, ref);
            return;
        }
    }
    if (literal->negated && literal->node->sum)
        add_negated_part(d, literal);
    else
        add_other(d, literal);
}

/* ---- rules ---- */

static bool is_too_large(const struct draft *d) {
    return d->atom.n > FUSE_RULE_ATOMS || d->variable.n > FUSE_RULE_VARIABLES;
}

/* One clause as a rule. */
static void add_rule(struct draft *d, int head, const struct fuse_rule_term *term, const struct fuse_node *value,
                     enum fuse_dtype dtype) {
    struct fuse_lowering *l = d->l;
    struct fuse_rule rule = {.span = l->span, .head = head};
    struct fuse_term *result = NULL;
    for (int k = 0; k < d->clause.literals.n && !l->failed && !is_too_large(d); k++)
        add_literal(d, &d->clause.literals.at[k]);
    if (value && !l->failed && !is_too_large(d)) {
        l->clause = &d->clause;
        result = fuse_term_cast(l, fuse_lower_node(l, value, dtype), dtype);
        l->clause = NULL;
        if (d->is_subtracted)
            result = fuse_term_op(l, FUSE_SCALAR_NEG, result, NULL, NULL);
        join_loads(d, result);
    }
    if (is_too_large(d) && !l->failed) {
        fuse_complain(l->c, l->span, "a rule has more than %d relations or %d variables", FUSE_RULE_ATOMS,
                      FUSE_RULE_VARIABLES);
        fail(l);
    }
    if (l->failed)
        return;
    if (d->guard)
        rule.guard = make_scalar(d, d->guard);
    if (result)
        rule.value = make_scalar(d, result);
    for (int v = 0; v < d->variable.n; v++)
        d->variable.at[v].is_free = !((d->bound | d->local) & FUSE_BIT(v));
    rule.term = (struct fuse_rule_term *)term;
    rule.variables = d->variable.n;
    rule.variable = d->variable.at;
    rule.atoms = d->atom.n;
    rule.atom = d->atom.at;
    fuse_vec_push(l->c->arena, &d->logic->rule, rule);
}

/* truth: NULL: always. */
static void add_rules(struct logic *logic, struct fuse_lowering *l, int head,
                      const struct fuse_rule_term *(*terms)(struct draft *d, const void *of), const void *of,
                      const struct fuse_node *truth, const struct fuse_node *value, enum fuse_dtype dtype) {
    struct fuse_clauses clauses = {0};
    if (truth)
        clauses = fuse_find_clauses(l->c, truth, false);
    else
        fuse_vec_push(l->c->arena, &clauses.list, ((struct fuse_clause){0}));
    if (clauses.too_many) {
        fuse_complain(l->c, l->span, "this equation has too many alternatives to be rules");
        fail(l);
    }
    for (int k = 0; k < clauses.list.n && !l->failed; k++) {
        struct draft d = {.logic = logic, .l = l, .clause = clauses.list.at[k]};
        for (int i = 0; i < FUSE_MAX_INDICES; i++)
            d.variable_of[i] = -1;
        const struct fuse_rule_term *term = terms(&d, of);
        add_rule(&d, head, term, value, dtype);
    }
}

/* The left side of an equation. */
static const struct fuse_rule_term *left_terms(struct draft *d, const void *of) {
    const struct fuse_tensor *tensor = of;
    const struct fuse_equation *eq = d->l->eq;
    struct fuse_rule_term *term = FUSE_NEW_ARRAY(d->l->c->arena, struct fuse_rule_term, eq->lefts);
    for (int a = 0; a < eq->lefts; a++) {
        const struct fuse_position *at = &eq->left[a];
        term[a] = (struct fuse_rule_term){.variable = -1, .offset = at->offset};
        if (at->index >= 0)
            term[a].variable = variable_of(d, at->index);
        else if (at->offset < 0)
            term[a].offset += fuse_domain_of(d->l->c, tensor->domain[a])->extent;
    }
    return term;
}

/* ---- sums ---- */

/* What a term multiplies besides guards, and what must be there for it. */
static const struct fuse_node *open_term(struct fuse_clause *clause, struct fuse_lowering *l,
                                         const struct fuse_node *term) {
    struct fuse_arena *arena = l->c->arena;
    const bool is_product = term->kind == FUSE_NODE_PRODUCT;
    struct fuse_node *open = FUSE_NEW(arena, struct fuse_node), *self = FUSE_NEW(arena, struct fuse_node);
    *open = *self = *term;
    self->sum = open->sum = 0;
    self->type = open->type = open->inner;
    open->n = 0;
    open->arg = FUSE_NEW_ARRAY(arena, struct fuse_node *, term->n + 1);
    open->inverse = FUSE_NEW_ARRAY(arena, bool, term->n + 1);
    for (int k = 0; k < (is_product ? term->n : 1); k++) {
        struct fuse_node *factor = is_product ? term->arg[k] : self;
        const struct fuse_node *ref = factor->kind == FUSE_NODE_TRUTH ? factor->arg[0] : factor;
        if (factor->kind == FUSE_NODE_GUARD) {
            struct fuse_clauses clauses = fuse_find_clauses(l->c, factor, false);
            for (int i = 0; i < clauses.list.at[0].literals.n; i++)
                fuse_vec_push(arena, &clause->literals, clauses.list.at[0].literals.at[i]);
            continue;
        }
        if (ref->kind == FUSE_NODE_REF && (factor != ref || l->c->tensors.at[ref->tensor]->boolean ||
                                           fuse_tensor_relation(l->c, l->c->tensors.at[ref->tensor]) == FUSE_FACTS))
            fuse_vec_push(arena, &clause->literals, ((struct fuse_literal){factor, false}));
        open->inverse[open->n] = is_product && term->inverse[k];
        open->arg[open->n++] = factor;
    }
    return is_product ? open : self;
}

static struct fuse_scalar_node load_of(enum fuse_dtype dtype) {
    return (struct fuse_scalar_node){.op = FUSE_SCALAR_LOAD, .dtype = dtype, .a = -1, .b = -1, .c = -1};
}

/* A sum that comes to 0 is no tuple. */
static void leave_zeros_out(struct logic *logic, int head, int all, struct fuse_span span) {
    struct fuse_arena *arena = logic->c->arena;
    const struct fuse_rule_relation *relation = &logic->relation.at[head];
    struct fuse_rule rule = {.span = span, .head = head, .variables = relation->columns, .atoms = 1};
    struct fuse_scalar *value = FUSE_NEW(arena, struct fuse_scalar), *guard = FUSE_NEW(arena, struct fuse_scalar);
    rule.term = FUSE_NEW_ARRAY(arena, struct fuse_rule_term, relation->columns);
    rule.variable = FUSE_NEW_ARRAY(arena, struct fuse_rule_variable, relation->columns);
    for (int a = 0; a < relation->columns; a++) {
        rule.term[a].variable = a;
        rule.variable[a].extent = relation->extent[a];
    }
    rule.atom = FUSE_NEW(arena, struct fuse_rule_atom);
    *rule.atom = (struct fuse_rule_atom){.relation = all, .term = rule.term};
    *value = (struct fuse_scalar){.n = 1, .node = FUSE_NEW(arena, struct fuse_scalar_node)};
    value->node[0] = load_of(relation->dtype);
    *guard = (struct fuse_scalar){.n = 3, .node = FUSE_NEW_ARRAY(arena, struct fuse_scalar_node, 3)};
    guard->node[0] = load_of(relation->dtype);
    guard->node[1] =
        (struct fuse_scalar_node){.op = FUSE_SCALAR_CONST, .dtype = relation->dtype, .a = -1, .b = -1, .c = -1};
    guard->node[2] = (struct fuse_scalar_node){.op = FUSE_SCALAR_NE, .dtype = FUSE_BOOL, .a = 0, .b = 1, .c = -1};
    rule.value = value;
    rule.guard = guard;
    fuse_vec_push(arena, &logic->rule, rule);
}

/* A relation of all sums, also those that are 0. */
static int add_sums(struct logic *logic, int head) {
    struct fuse_rule_relation all = logic->relation.at[head];
    all.name = fuse_arena_printf(logic->c->arena, "all of %s", all.name);
    fuse_vec_push(logic->c->arena, &logic->relation, all);
    fuse_vec_push(logic->c->arena, &logic->value, -1);
    return logic->relation.n - 1;
}

/* A rule for each term. */
static void add_terms(struct logic *logic, struct fuse_lowering *l, int head, const struct fuse_tensor *tensor,
                      const struct fuse_node *root, enum fuse_dtype dtype) {
    const bool many = root->kind == FUSE_NODE_SUM;
    for (int k = 0; k < (many ? root->n : 1) && !l->failed; k++) {
        struct draft d = {.logic = logic, .l = l, .is_subtracted = many && root->inverse[k]};
        for (int i = 0; i < FUSE_MAX_INDICES; i++)
            d.variable_of[i] = -1;
        const struct fuse_node *value = open_term(&d.clause, l, many ? root->arg[k] : root);
        const struct fuse_rule_term *term = left_terms(&d, tensor);
        add_rule(&d, head, term, value, dtype);
    }
}

/* ---- tensors ---- */

/* Every source is a contribution. */
static void add_source(struct logic *logic, struct fuse_lowering *l, struct fuse_tensor *tensor, int head) {
    struct fuse_checker *c = l->c;
    enum fuse_dtype dtype = logic->relation.at[head].dtype;
    if (l->eq->source->probe.tally && dtype != FUSE_BOOL && fuse_source_relation(l->eq) == FUSE_FACTS) {
        struct fuse_diagnostic *d =
            fuse_complain(c, l->eq->item->text_span, "\"%s\" has no values for '%s'", l->eq->item->text, tensor->name);
        fuse_advise(c, d, "read it as facts, F(x) = \"%s\", and write %s[x] when F(x) %s ..", l->eq->item->text,
                    tensor->name, tensor->assign == FUSE_ASSIGN_MIN ? "min=" : "max=");
        fail(l);
        return;
    }
    if (l->eq->source->probe.tally) {
        add_input(logic, fuse_lower_file(c, tensor, l->eq, dtype), head);
        return;
    }
    struct fuse_access access = fuse_access_identity(tensor->rank);
    struct fuse_term *load = fuse_term_load(l, fuse_lower_source(l, tensor, false), &access);
    struct fuse_use use = dense_use(l, fuse_term_cast(l, load, dtype));
    if (!l->failed)
        add_input(logic, sparsify(logic, use.value), head);
}

static void add_tensor(struct logic *logic, struct fuse_tensor *tensor, int head) {
    struct fuse_checker *c = logic->c;
    enum fuse_dtype dtype = logic->relation.at[head].dtype;
    const bool is_sum = fuse_is_sum_of_tuples(tensor);
    const int sums = is_sum ? add_sums(logic, head) : -1;
    for (int k = 0; k < tensor->contributions.n; k++) {
        struct fuse_equation *eq = c->equations.at[tensor->contributions.at[k]];
        struct fuse_lowering l;
        fuse_open_equation(&l, c, eq);
        if (eq->kind == FUSE_EQUATION_SOURCE)
            add_source(logic, &l, tensor, head);
        else if (tensor->boolean)
            add_rules(logic, &l, head, left_terms, tensor, eq->root, NULL, dtype);
        else if (is_sum)
            add_terms(logic, &l, sums, tensor, eq->root, dtype);
        else
            add_rules(logic, &l, head, left_terms, tensor, eq->guard, eq->root, dtype);
        if (l.failed)
            eq->bad = tensor->bad = true;
    }
    if (is_sum) {
        logic->relation.at[sums].stratum = logic->strata++;
        leave_zeros_out(logic, head, sums, tensor->span);
    }
}

/* ---- the rules of a level ---- */

static int add_head(struct logic *logic, struct fuse_tensor *tensor) {
    struct fuse_checker *c = logic->c;
    int64_t extent[FUSE_MAX_AXES];
    for (int a = 0; a < tensor->rank; a++)
        extent[a] = fuse_domain_of(c, tensor->domain[a])->extent;
    tensor->value = fuse_ir_add_value(c->ir, tensor->name, tensor->span, fuse_dtype_compute(tensor->type.dtype),
                                      tensor->rank, extent);
    c->ir->values.at[tensor->value].storage = FUSE_STORAGE_RELATION;
    const int head = add_relation(logic, tensor->name, tensor->value,
                                  tensor->assign == FUSE_ASSIGN_MIN    ? FUSE_REDUCE_MIN
                                  : tensor->assign == FUSE_ASSIGN_MAX  ? FUSE_REDUCE_MAX
                                  : tensor->assign == FUSE_ASSIGN_PROD ? FUSE_REDUCE_PROD
                                                                       : FUSE_REDUCE_SUM);
    logic->relation.at[head].mean = tensor->assign == FUSE_ASSIGN_AVG && !tensor->boolean;
    fuse_name_columns(c, &logic->relation.at[head], tensor);
    return head;
}

/* One operation for the rules, and one for each tensor that they derive. */
static void emit(struct logic *logic, const int *member, const int *head, int members) {
    struct fuse_checker *c = logic->c;
    struct fuse_rules *rules = FUSE_NEW(c->arena, struct fuse_rules);
    *rules = (struct fuse_rules){.relations = logic->relation.n,
                                 .rules = logic->rule.n,
                                 .strata = logic->strata,
                                 .relation = logic->relation.at,
                                 .rule = logic->rule.at};
    struct fuse_op op = {.kind = FUSE_OP_RULES,
                         .span = c->tensors.at[member[0]]->span,
                         .inputs = logic->input.n,
                         .input = logic->input.at,
                         .rules = rules,
                         .feed = logic->feed.at};
    op.out = fuse_ir_add_value(c->ir, NULL, op.span, FUSE_BOOL, 0, NULL);
    c->ir->values.at[op.out].storage = FUSE_STORAGE_RELATION;
    fuse_ir_add_op(c->ir, &op);
    struct fuse_error err = {0};
    if (fuse_rules_verify(rules, &err) == FUSE_EPROGRAM) {
        struct fuse_diagnostic *d = fuse_complain(c, err.has_span ? err.span : op.span, "%s", err.message);
        fuse_advise(c, d, "%s", err.hint);
    }
    for (int k = 0; k < members; k++) {
        const struct fuse_tensor *tensor = c->tensors.at[member[k]];
        struct fuse_use use = {.value = op.out};
        struct fuse_op derived = {.kind = FUSE_OP_DERIVED,
                                  .span = tensor->span,
                                  .out = tensor->value,
                                  .inputs = 1,
                                  .input = &use,
                                  .owner = tensor->name,
                                  .derived = head[k]};
        fuse_ir_add_op(c->ir, &derived);
    }
}

int fuse_lower_counted(struct fuse_checker *c, const struct fuse_tensor *tensor) {
    struct logic logic = {.c = c};
    if (fuse_is_relation(c->ir, tensor->value) && fuse_is_derived(c->ir, tensor->value))
        return tensor->value;
    int relation = relation_of(&logic, tensor->value);
    fuse_name_columns(c, &logic.relation.at[relation], tensor);
    const struct fuse_value v = c->ir->values.at[logic.value.at[relation]];
    struct fuse_rules *rules = FUSE_NEW(c->arena, struct fuse_rules);
    *rules = (struct fuse_rules){.relations = 1, .relation = logic.relation.at};
    struct fuse_op op = {.kind = FUSE_OP_RULES,
                         .span = v.span,
                         .inputs = 1,
                         .input = logic.input.at,
                         .rules = rules,
                         .feed = logic.feed.at};
    op.out = fuse_ir_add_value(c->ir, NULL, op.span, FUSE_BOOL, 0, NULL);
    c->ir->values.at[op.out].storage = FUSE_STORAGE_RELATION;
    fuse_ir_add_op(c->ir, &op);
    struct fuse_use use = {.value = op.out};
    struct fuse_op derived = {.kind = FUSE_OP_DERIVED, .span = v.span, .inputs = 1, .input = &use, .owner = v.name};
    derived.out = fuse_ir_add_value(c->ir, NULL, v.span, v.dtype, v.rank, v.extent);
    c->ir->values.at[derived.out].storage = FUSE_STORAGE_RELATION;
    fuse_ir_add_op(c->ir, &derived);
    return derived.out;
}

void fuse_lower_rules(struct fuse_checker *c, int level, bool needed) {
    struct logic logic = {.c = c};
    FUSE_VEC(int) member = {0};
    for (int k = 0; k < c->order.n; k++) {
        const struct fuse_tensor *tensor = c->tensors.at[c->order.at[k]];
        if (tensor->derived && tensor->level == level && tensor->needed == needed && !tensor->bad)
            fuse_vec_push(c->arena, &member, c->order.at[k]);
    }
    if (member.n == 0)
        return;
    int *head = FUSE_NEW_ARRAY(c->arena, int, member.n);
    for (int k = 0, end; k < member.n; k = end) {
        const struct fuse_tensor *first = c->tensors.at[member.at[k]];
        for (end = k + 1;
             first->recursive && end < member.n && c->tensors.at[member.at[end]]->component == first->component;)
            end++;
        if (fuse_is_sum_of_tuples(first))
            fuse_type_tensor(c, c->tensors.at[member.at[k]]);
        else
            fuse_type_component(c, member.at + k, end - k);
        for (int m = k; m < end; m++)
            head[m] = add_head(&logic, c->tensors.at[member.at[m]]);
        for (int m = k; m < end; m++)
            add_tensor(&logic, c->tensors.at[member.at[m]], head[m]);
        for (int m = k; m < end; m++)
            logic.relation.at[head[m]].stratum = logic.strata;
        logic.strata++;
    }
    emit(&logic, member.at, head, member.n);
}
