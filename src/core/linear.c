#include "core/linear.h"

/* The variable of a plain term; -1: it is a constant or moved. */
static int plain(const struct fuse_rule_term *term) {
    return term->offset == 0 ? term->variable : -1;
}

static bool is_pair_of_facts(const struct fuse_rules *rules, const struct fuse_rule_atom *atom) {
    const struct fuse_rule_relation *relation = &rules->relation[atom->relation];
    return !atom->is_negated && relation->columns == 2 && (relation->dtype == FUSE_BOOL || atom->is_support) &&
           plain(&atom->term[0]) >= 0 && plain(&atom->term[1]) >= 0 && plain(&atom->term[0]) != plain(&atom->term[1]);
}

/* The column of the atom with this variable, -1: none. */
static int column_of(const struct fuse_rule_atom *atom, int variable) {
    return plain(&atom->term[0]) == variable ? 0 : plain(&atom->term[1]) == variable ? 1 : -1;
}

/* An atom with `shared` in one column and `other` in the other one, each column as wide as the variable. */
static bool find_step(struct fuse_linear_step *step, const struct fuse_rules *rules, const struct fuse_rule *rule,
                      const struct fuse_rule_atom *atom, int shared, int other) {
    const int64_t *extent = rules->relation[atom->relation].extent;
    const int joined = column_of(atom, shared);
    if (joined < 0 || column_of(atom, other) != 1 - joined)
        return false;
    *step = (struct fuse_linear_step){.relation = atom->relation, .joined = joined};
    return extent[joined] == rule->variable[shared].extent && extent[1 - joined] == rule->variable[other].extent;
}

static bool same_step(const struct fuse_linear_step *a, const struct fuse_linear_step *b) {
    return a->relation == b->relation && a->joined == b->joined;
}

static bool add_step(struct fuse_linear *linear, const struct fuse_linear_step *step) {
    for (int s = 0; s < linear->steps; s++)
        if (same_step(&linear->step[s], step))
            return true;
    if (linear->steps == FUSE_LINEAR_STEPS)
        return false;
    linear->step[linear->steps++] = *step;
    return true;
}

/* What the recursive rules seen so far have been. */
struct seen {
    bool left, right, two_sided;
};

/* R(x, z) = R(x, y) S(y, z), R(x, z) = S(x, y) R(y, z), or R(x, z) = R(x, y) R(y, z); the atom `own` is of R. */
static bool take_pair(struct fuse_linear *linear, struct seen *seen, const struct fuse_rules *rules,
                      const struct fuse_rule *rule, int own) {
    const struct fuse_rule_atom *r = &rule->atom[own], *s = &rule->atom[1 - own];
    const int x = plain(&rule->term[0]), z = plain(&rule->term[1]), first = plain(&r->term[0]),
              second = plain(&r->term[1]);
    const bool is_left = first == x;
    if (is_left ? second == z : second != z)
        return false;
    struct fuse_linear_step step;
    if (!find_step(&step, rules, rule, s, is_left ? second : first, is_left ? z : x))
        return false;
    if (s->relation == linear->relation) {
        linear->base_is_a_step = true;
        return step.joined == (is_left ? 0 : 1); /* not R(x, y) R(z, y) */
    }
    seen->left |= is_left;
    seen->right |= !is_left;
    return add_step(linear, &step);
}

/* R(x, y) = U(x, u) R(u, v) D(v, y). */
static bool take_triple(struct fuse_linear *linear, struct seen *seen, const struct fuse_rules *rules,
                        const struct fuse_rule *rule, int own) {
    const struct fuse_rule_atom *r = &rule->atom[own], *a = &rule->atom[(own + 1) % 3], *b = &rule->atom[(own + 2) % 3];
    const int x = plain(&rule->term[0]), y = plain(&rule->term[1]), u = plain(&r->term[0]), v = plain(&r->term[1]);
    if (seen->two_sided || a->relation == linear->relation || b->relation == linear->relation || u == x || v == y ||
        u == y || v == x)
        return false;
    seen->two_sided = true;
    const struct fuse_rule_atom *up = column_of(a, x) >= 0 ? a : b;
    return find_step(&linear->up, rules, rule, up, u, x) &&
           find_step(&linear->down, rules, rule, up == a ? b : a, v, y);
}

static bool take_recursive(struct fuse_linear *linear, struct seen *seen, const struct fuse_rules *rules,
                           const struct fuse_rule *rule) {
    const struct fuse_rule_relation *relation = &rules->relation[linear->relation];
    if (rule->guard != NULL || rule->atoms < 2 || rule->atoms > 3)
        return false;
    for (int c = 0; c < 2; c++)
        if (plain(&rule->term[c]) < 0 || rule->variable[rule->term[c].variable].extent != relation->extent[c])
            return false;
    if (rule->term[0].variable == rule->term[1].variable)
        return false;
    int own = -1;
    for (int a = rule->atoms; a-- > 0;) {
        if (!is_pair_of_facts(rules, &rule->atom[a]))
            return false;
        if (rule->atom[a].relation == linear->relation)
            own = a;
    }
    for (int c = 0; c < 2; c++)
        if (rule->variable[rule->atom[own].term[c].variable].extent != relation->extent[c])
            return false;
    return rule->atoms == 2 ? take_pair(linear, seen, rules, rule, own) : take_triple(linear, seen, rules, rule, own);
}

/* R(x, z) = S(x, z) with a step S turned as it is there. */
static bool copies_step(bool *copied, const struct fuse_linear *linear, const struct fuse_rules *rules,
                        const struct fuse_rule *rule) {
    const int x = plain(&rule->term[0]), z = plain(&rule->term[1]);
    if (rule->guard != NULL || rule->atoms != 1 || x < 0 || z < 0 || !is_pair_of_facts(rules, &rule->atom[0]))
        return false;
    struct fuse_linear_step step;
    const bool left = linear->kind == FUSE_LINEAR_LEFT;
    if (!find_step(&step, rules, rule, &rule->atom[0], left ? x : z, left ? z : x))
        return false;
    for (int s = 0; s < linear->steps; s++)
        if (same_step(&step, &linear->step[s])) {
            copied[s] = true;
            return true;
        }
    return false;
}

static bool derives_steps(const struct fuse_linear *linear, const struct fuse_rules *rules) {
    bool copied[FUSE_LINEAR_STEPS] = {false}, all = linear->steps > 0;
    for (int k = 0; k < rules->rules; k++)
        if (rules->rule[k].head == linear->relation && !fuse_rule_is_recursive(rules, &rules->rule[k]))
            all = all && copies_step(copied, linear, rules, &rules->rule[k]);
    for (int s = 0; s < linear->steps; s++)
        all = all && copied[s];
    return all;
}

bool fuse_rules_find_linear(struct fuse_linear *out, const struct fuse_rules *rules, int stratum) {
    struct fuse_linear linear = {.relation = -1};
    for (int r = 0; r < rules->relations; r++)
        if (rules->relation[r].stratum == stratum) {
            if (linear.relation >= 0)
                return false;
            linear.relation = r;
        }
    if (linear.relation < 0)
        return false;
    const struct fuse_rule_relation *relation = &rules->relation[linear.relation];
    if (relation->columns != 2 || relation->dtype != FUSE_BOOL)
        return false;
    struct seen seen = {false, false, false};
    bool any = false;
    for (int k = 0; k < rules->rules; k++) {
        const struct fuse_rule *rule = &rules->rule[k];
        if (rule->head != linear.relation || !fuse_rule_is_recursive(rules, rule))
            continue;
        any = true;
        if (!take_recursive(&linear, &seen, rules, rule))
            return false;
    }
    if (!any || seen.left + seen.right + seen.two_sided > 1 || (seen.two_sided && linear.base_is_a_step))
        return false;
    linear.kind = seen.two_sided ? FUSE_LINEAR_TWO_SIDED : seen.right ? FUSE_LINEAR_RIGHT : FUSE_LINEAR_LEFT;
    linear.derives_steps = linear.kind != FUSE_LINEAR_TWO_SIDED && derives_steps(&linear, rules);
    *out = linear;
    return true;
}
