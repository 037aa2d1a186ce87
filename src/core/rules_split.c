/* Long recursive rules in two steps. Where a rule joins two atoms that are both derived with further ones, as in
 *
 *     Pt(y, w) = Load(y, x) Pt(x, z) Pt(z, w)
 *
 * starting from the second means to join what belongs to the first again and again, for every y and z that has a witness x. A
 * relation of its own keeps each (y, z) once. */
#include "core/rules.h"

#include <string.h>

struct split {
    struct fuse_arena *arena;
    const struct fuse_rules *from;
    const int64_t *sizes;
    FUSE_VEC(struct fuse_rule_relation) relation;
    FUSE_VEC(struct fuse_rule) rule;
};

static bool loads_values(const struct fuse_rule *rule) {
    for (int i = 0; rule->guard && i < rule->guard->n; i++)
        if (rule->guard->node[i].op == FUSE_SCALAR_LOAD)
            return true;
    return false;
}

static bool is_derived(const struct fuse_rules *rules, const struct fuse_rule *rule, int a) {
    return !rule->atom[a].is_negated &&
           rules->relation[rule->atom[a].relation].stratum == rules->relation[rule->head].stratum;
}

/* Variables that are wanted when atoms a and b have been joined. */
static uint64_t wanted_after(const struct fuse_rules *rules, const struct fuse_rule *rule, int a, int b) {
    uint64_t wanted = 0;
    for (int c = 0; c < rules->relation[rule->head].columns; c++)
        if (rule->term[c].variable >= 0)
            wanted |= (uint64_t)1 << rule->term[c].variable;
    for (int i = 0; rule->guard && i < rule->guard->n; i++)
        if (rule->guard->node[i].op == FUSE_SCALAR_IOTA)
            wanted |= (uint64_t)1 << rule->guard->node[i].arg;
    for (int k = 0; k < rule->atoms; k++)
        if (k != a && k != b)
            wanted |= fuse_rule_atom_variables(rules, &rule->atom[k]);
    return wanted;
}

/* Tuples that the join of two atoms is expected to have. */
static double expected(const struct split *s, const struct fuse_rule *rule, int a, int b, uint64_t shared) {
    double tuples = (double)s->sizes[rule->atom[a].relation] * (double)s->sizes[rule->atom[b].relation];
    for (int v = 0; v < rule->variables; v++)
        if ((shared >> v & 1) && rule->variable[v].extent > 1)
            tuples /= (double)rule->variable[v].extent;
    return tuples;
}

/* The two atoms that are best kept joined; false: none are. */
static bool choose_pair(const struct split *s, const struct fuse_rule *rule, int *first, int *second) {
    const struct fuse_rules *rules = s->from;
    int positive = 0, derived = 0;
    double least = -1;
    for (int a = 0; a < rule->atoms; a++) {
        positive += !rule->atom[a].is_negated;
        derived += is_derived(rules, rule, a);
    }
    if (rules->relation[rule->head].dtype != FUSE_BOOL || positive < 3 || derived < 2 || loads_values(rule))
        return false;
    for (int a = 0; a < rule->atoms; a++)
        for (int b = a + 1; b < rule->atoms; b++) {
            if (rule->atom[a].is_negated || rule->atom[b].is_negated ||
                is_derived(rules, rule, a) == is_derived(rules, rule, b))
                continue;
            const uint64_t of_a = fuse_rule_atom_variables(rules, &rule->atom[a]),
                           of_b = fuse_rule_atom_variables(rules, &rule->atom[b]),
                           wanted = wanted_after(rules, rule, a, b), kept = (of_a | of_b) & wanted;
            if (!(of_a & of_b) || kept == (of_a | of_b) || __builtin_popcountll(kept) > 2)
                continue;
            const double tuples = expected(s, rule, a, b, of_a & of_b);
            if (least < 0 || tuples < least) {
                least = tuples;
                *first = a;
                *second = b;
            }
        }
    return least >= 0;
}

static void split_rule(struct split *s, const struct fuse_rule *rule, int a, int b) {
    const struct fuse_rules *rules = s->from;
    const struct fuse_rule_relation *head = &rules->relation[rule->head];
    const uint64_t kept =
        (fuse_rule_atom_variables(rules, &rule->atom[a]) | fuse_rule_atom_variables(rules, &rule->atom[b])) &
        wanted_after(rules, rule, a, b);
    struct fuse_rule_relation relation = {.dtype = FUSE_BOOL, .combine = FUSE_REDUCE_OR, .stratum = head->stratum};
    struct fuse_rule part = *rule, rest = *rule;
    relation.name = fuse_arena_printf(s->arena, "a part of a rule of %s", head->name);
    part.term = FUSE_NEW_ARRAY(s->arena, struct fuse_rule_term, FUSE_RULE_VARIABLES);
    for (int v = 0; v < rule->variables; v++)
        if (kept >> v & 1) {
            relation.extent[relation.columns] = rule->variable[v].extent;
            part.term[relation.columns++].variable = v;
        }
    part.head = s->relation.n;
    part.guard = part.value = NULL;
    part.atoms = 2;
    part.atom = FUSE_NEW_ARRAY(s->arena, struct fuse_rule_atom, 2);
    part.atom[0] = rule->atom[a];
    part.atom[1] = rule->atom[b];
    /* Each rule's variables are free for itself. */
    part.variable = FUSE_NEW_ARRAY(s->arena, struct fuse_rule_variable, rule->variables);
    for (int v = 0; v < rule->variables; v++) {
        part.variable[v] = rule->variable[v];
        part.variable[v].is_free = false;
    }
    rest.atom = FUSE_NEW_ARRAY(s->arena, struct fuse_rule_atom, rule->atoms);
    rest.atoms = 1;
    rest.atom[0] = (struct fuse_rule_atom){.relation = part.head, .term = part.term};
    for (int k = 0; k < rule->atoms; k++)
        if (k != a && k != b)
            rest.atom[rest.atoms++] = rule->atom[k];
    fuse_vec_push(s->arena, &s->relation, relation);
    fuse_vec_push(s->arena, &s->rule, part);
    fuse_vec_push(s->arena, &s->rule, rest);
}

struct fuse_rules *fuse_rules_split(struct fuse_arena *arena, const struct fuse_rules *rules, const int64_t *sizes) {
    struct split s = {.arena = arena, .from = rules, .sizes = sizes};
    struct fuse_rules *made = FUSE_NEW(arena, struct fuse_rules);
    for (int r = 0; r < rules->relations; r++)
        fuse_vec_push(arena, &s.relation, rules->relation[r]);
    for (int k = 0; k < rules->rules; k++) {
        int a = 0, b = 0;
        if (choose_pair(&s, &rules->rule[k], &a, &b))
            split_rule(&s, &rules->rule[k], a, b);
        else
            fuse_vec_push(arena, &s.rule, rules->rule[k]);
    }
    *made = (struct fuse_rules){s.relation.n, s.rule.n, rules->strata, s.relation.at, s.rule.at};
    return made;
}
