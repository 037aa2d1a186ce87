/* Linear recursions that are asked by one column. With R(x, z) = B(x, z) + S(x, y) R(y, z) asked by x, the rule asks R for every y
 * that x reaches, and so for all pairs of what is reached; but
 *
 *     M(x, x)    M(x, z) = M(x, y) S(y, z)    R(x, z) = M(x, y) B(y, z)
 *
 * is the same R, and asks M by x alone. Where B is the steps themselves the turned rule does, R(x, z) = R(x, y) S(y, z). */
#include "core/demand_internal.h"

/* A recursion on its way. */
struct turning {
    struct fuse_demand_draft *d;
    struct fuse_linear linear;
    int column; /* by which it is asked */
    struct fuse_span span;
};

static struct fuse_rule_variable *new_variables(struct fuse_demand_draft *d, int n, int64_t extent) {
    static const char *const name[] = {"x", "y", "z"};
    struct fuse_rule_variable *variable = FUSE_NEW_ARRAY(d->arena, struct fuse_rule_variable, n);
    for (int v = 0; v < n; v++)
        variable[v] = (struct fuse_rule_variable){.name = name[v], .extent = extent};
    return variable;
}

static struct fuse_rule_term *pair(struct fuse_demand_draft *d, int first, int second) {
    struct fuse_rule_term *term = fuse_demand_plain_terms(d, 2);
    term[0].variable = first;
    term[1].variable = second;
    return term;
}

static void remove_recursion(struct fuse_demand_draft *d, int head) {
    const struct fuse_rules rules = fuse_demand_view(d);
    int kept = 0;
    for (int k = 0; k < d->rule.n; k++)
        if (d->rule.at[k].head != head || !fuse_rule_is_recursive(&rules, &d->rule.at[k]))
            d->rule.at[kept++] = d->rule.at[k];
    d->rule.n = kept;
}

/* head(x, z) = head(x, y) S(y, z), or head(x, z) = S(x, y) head(y, z) when asked by z. A step of a recursion that goes the other
 * way leads from the column that was the head's to the one that was joined. */
static void add_recursion(struct turning *t, int head, const struct fuse_linear_step *step, bool is_turned) {
    struct fuse_demand_draft *d = t->d;
    const struct fuse_rule_relation *relation = &d->relation.at[head];
    const int64_t inner = relation->extent[1 - t->column];
    const bool first_is_joined = (step->joined == 0) != is_turned;
    struct fuse_rule rule = {.span = t->span, .head = head, .variables = 3, .atoms = 2};
    rule.variable = new_variables(d, 3, inner);
    rule.term = pair(d, 0, 2);
    rule.atom = FUSE_NEW_ARRAY(d->arena, struct fuse_rule_atom, 2);
    if (t->column == 0) {
        rule.variable[0].extent = relation->extent[0];
        rule.atom[0] = (struct fuse_rule_atom){.relation = head, .term = pair(d, 0, 1)};
        rule.atom[1] = (struct fuse_rule_atom){.relation = step->relation,
                                               .term = first_is_joined ? pair(d, 1, 2) : pair(d, 2, 1)};
    } else {
        rule.variable[2].extent = relation->extent[1];
        rule.atom[0] = (struct fuse_rule_atom){.relation = step->relation,
                                               .term = first_is_joined ? pair(d, 1, 0) : pair(d, 0, 1)};
        rule.atom[1] = (struct fuse_rule_atom){.relation = head, .term = pair(d, 1, 2)};
    }
    rule.atom[t->column == 0 ? 1 : 0].is_support = d->relation.at[step->relation].dtype != FUSE_BOOL;
    fuse_vec_push(d->arena, &d->rule, rule);
}

/* A relation of its own for all that the recursion begins with. Recursive rules are gone already. */
static int name_base(struct turning *t) {
    struct fuse_demand_draft *d = t->d;
    const int r = t->linear.relation;
    struct fuse_rule_relation relation = d->relation.at[r];
    struct fuse_rule rule = {.span = t->span, .head = r, .variables = 2, .atoms = 1, .term = pair(d, 0, 1)};
    relation.name = fuse_arena_printf(d->arena, "base of %s", relation.name);
    relation.stratum = -1;
    const int base = fuse_demand_add_relation(d, &relation, d->is_given.at[r]);
    for (int k = 0; k < d->rule.n; k++)
        if (d->rule.at[k].head == r) {
            d->rule.at[k].head = base;
            d->relation.at[base].stratum = d->relation.at[r].stratum;
        }
    rule.variable = new_variables(d, 2, relation.extent[0]);
    rule.variable[1].extent = relation.extent[1];
    rule.atom = FUSE_NEW(d->arena, struct fuse_rule_atom);
    *rule.atom = (struct fuse_rule_atom){.relation = base, .term = rule.term};
    fuse_vec_push(d->arena, &d->rule, rule);
    if (d->is_given.at[r])
        d->given[r] = base;
    d->is_given.at[r] = false;
    return base;
}

/* Every rule without recursion begins at what the asked ones reach, by way of `walk`. */
static void add_walk(struct turning *t, int walk) {
    struct fuse_demand_draft *d = t->d;
    const int r = t->linear.relation, c = t->column;
    for (int k = 0; k < d->rule.n; k++) {
        struct fuse_rule *rule = &d->rule.at[k];
        if (rule->head != r)
            continue;
        struct fuse_rule_variable *variable = FUSE_NEW_ARRAY(d->arena, struct fuse_rule_variable, rule->variables + 1);
        struct fuse_rule_atom *atom = FUSE_NEW_ARRAY(d->arena, struct fuse_rule_atom, rule->atoms + 1);
        struct fuse_rule_term *term = fuse_demand_plain_terms(d, 2);
        struct fuse_rule_term *over = pair(d, rule->variables, rule->variables);
        for (int v = 0; v < rule->variables; v++)
            variable[v] = rule->variable[v];
        variable[rule->variables] =
            (struct fuse_rule_variable){.name = c == 0 ? "from" : "to", .extent = d->relation.at[r].extent[c]};
        over[1 - c] = rule->term[c];
        term[c] = (struct fuse_rule_term){.variable = rule->variables};
        term[1 - c] = rule->term[1 - c];
        for (int a = 0; a < rule->atoms; a++)
            atom[a] = rule->atom[a];
        atom[rule->atoms] = (struct fuse_rule_atom){.relation = walk, .term = over};
        if (rule->term[c].variable >= 0)
            variable[rule->term[c].variable].is_free = false;
        rule->variable = variable;
        rule->variables++;
        rule->atom = atom;
        rule->atoms++;
        rule->term = term;
    }
}

/* M: pairs, from each to itself, and along the steps. */
static int add_walk_relation(struct turning *t) {
    struct fuse_demand_draft *d = t->d;
    const struct fuse_rule_relation *r = &d->relation.at[t->linear.relation];
    const int64_t extent = r->extent[t->column];
    struct fuse_rule_relation relation = {.name = fuse_arena_printf(d->arena, "steps of %s", r->name),
                                          .columns = 2,
                                          .extent = {extent, extent},
                                          .dtype = FUSE_BOOL,
                                          .combine = FUSE_REDUCE_OR,
                                          .stratum = r->stratum};
    const int walk = fuse_demand_add_relation(d, &relation, false);
    struct fuse_rule self = {
        .span = t->span, .head = walk, .variables = 1, .variable = new_variables(d, 1, extent), .term = pair(d, 0, 0)};
    self.variable->is_free = true;
    fuse_vec_push(d->arena, &d->rule, self);
    return walk;
}

static bool has_room(const struct turning *t) {
    for (int k = 0; k < t->d->rule.n; k++) {
        const struct fuse_rule *rule = &t->d->rule.at[k];
        if (rule->head == t->linear.relation &&
            (rule->variables == FUSE_RULE_VARIABLES || rule->atoms + 1 >= FUSE_RULE_ATOMS))
            return false;
    }
    return true;
}

static void turn(struct turning *t) {
    struct fuse_demand_draft *d = t->d;
    const struct fuse_linear *linear = &t->linear;
    const int r = linear->relation, passes = linear->kind == FUSE_LINEAR_LEFT ? 0 : 1;
    const bool is_closure = linear->derives_steps && !d->is_given.at[r];
    const bool is_either_way = linear->steps == 0 || is_closure;
    const bool is_turned = passes != t->column, base_is_a_step = linear->base_is_a_step && !is_closure;
    const int64_t *extent = d->relation.at[r].extent;
    struct fuse_linear_step step[FUSE_LINEAR_STEPS + 1];
    int steps = 0, head = r;
    if ((!is_turned && !linear->base_is_a_step) || !has_room(t) || extent[0] != extent[1])
        return;
    for (; steps < linear->steps; steps++)
        step[steps] = linear->step[steps];
    remove_recursion(d, r);
    if (base_is_a_step || (is_turned && !is_either_way && d->is_given.at[r])) {
        const int base = name_base(t);
        const int goes_to = linear->steps > 0 ? passes : t->column;
        if (base_is_a_step)
            step[steps++] = (struct fuse_linear_step){.relation = base, .joined = goes_to};
    }
    if (is_turned && !is_either_way) {
        head = add_walk_relation(t);
        add_walk(t, head);
    }
    for (int s = 0; s < steps; s++)
        add_recursion(t, head, &step[s], is_turned && linear->steps > 0);
}

void fuse_demand_turn_round(struct fuse_demand_draft *d) {
    const int strata = d->demand->rules->strata;
    for (int s = 0; s < strata; s++) {
        struct turning t = {.d = d};
        const struct fuse_rules rules = fuse_demand_view(d);
        if (!fuse_rules_find_linear(&t.linear, &rules, s) || t.linear.kind == FUSE_LINEAR_TWO_SIDED)
            continue;
        const int r = t.linear.relation;
        if (!d->is_asked.at[r] || __builtin_popcountll(d->columns.at[r]) != 1)
            continue;
        t.column = __builtin_ctzll(d->columns.at[r]);
        for (int k = 0; k < d->rule.n; k++)
            if (d->rule.at[k].head == r)
                t.span = d->rule.at[k].span;
        turn(&t);
    }
}
