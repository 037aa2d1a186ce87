#include "core/mutual.h"

/* The variable of a plain term; -1: it is a constant or moved. */
static int plain(const struct fuse_rule_term *term) {
    return term->offset == 0 ? term->variable : -1;
}

/* A pair of two plain variables, each as wide as its column. */
static bool is_plain_pair(const struct fuse_rules *rules, const struct fuse_rule *rule, int relation,
                          const struct fuse_rule_term *term) {
    for (int c = 0; c < 2; c++)
        if (plain(&term[c]) < 0 || rule->variable[term[c].variable].extent != rules->relation[relation].extent[c])
            return false;
    return term[0].variable != term[1].variable;
}

static bool is_pair_of_facts(const struct fuse_rules *rules, const struct fuse_rule *rule,
                             const struct fuse_rule_atom *atom) {
    const struct fuse_rule_relation *relation = &rules->relation[atom->relation];
    return !atom->is_negated && relation->columns == 2 && (relation->dtype == FUSE_BOOL || atom->is_support) &&
           is_plain_pair(rules, rule, atom->relation, atom->term);
}

static int place_of(const struct fuse_mutual *mutual, int relation) {
    for (int k = 0; k < mutual->relations; k++)
        if (mutual->relation[k] == relation)
            return k;
    return -1;
}

/* The step of a recursive rule when column `passing` is passed on; false: it is none. */
static bool find_step(struct fuse_mutual_step *step, const struct fuse_mutual *mutual, const struct fuse_rule *rule,
                      int passing) {
    int own = -1;
    for (int a = 0; a < rule->atoms; a++)
        if (place_of(mutual, rule->atom[a].relation) >= 0) {
            if (own >= 0)
                return false;
            own = a;
        }
    const struct fuse_rule_term *from = rule->atom[own].term;
    const int kept = rule->term[passing].variable, reached = rule->term[1 - passing].variable;
    if (from[passing].variable != kept)
        return false;
    *step = (struct fuse_mutual_step){
        .from = place_of(mutual, rule->atom[own].relation), .to = place_of(mutual, rule->head), .relation = -1};
    if (rule->atoms == 1)
        return from[1 - passing].variable == reached;
    const struct fuse_rule_atom *other = &rule->atom[1 - own];
    const int shared = from[1 - passing].variable;
    step->relation = other->relation;
    step->joined = other->term[0].variable == shared ? 0 : 1;
    return shared != reached && other->term[step->joined].variable == shared &&
           other->term[1 - step->joined].variable == reached;
}

static bool take(struct fuse_mutual *mutual, const struct fuse_rules *rules, const struct fuse_rule *rule,
                 bool can_pass[2]) {
    struct fuse_mutual_step step[2];
    if (rule->guard != NULL || rule->atoms < 1 || rule->atoms > 2 || mutual->steps == FUSE_MUTUAL_STEPS ||
        !is_plain_pair(rules, rule, rule->head, rule->term))
        return false;
    for (int a = 0; a < rule->atoms; a++)
        if (!is_pair_of_facts(rules, rule, &rule->atom[a]))
            return false;
    for (int c = 0; c < 2; c++)
        can_pass[c] = can_pass[c] && find_step(&step[c], mutual, rule, c);
    if (!can_pass[0] && !can_pass[1])
        return false;
    mutual->step[mutual->steps++] = step[can_pass[0] ? 0 : 1];
    return true;
}

bool fuse_rules_find_mutual(struct fuse_mutual *out, const struct fuse_rules *rules, int stratum) {
    struct fuse_mutual mutual = {0};
    for (int r = 0; r < rules->relations; r++) {
        const struct fuse_rule_relation *relation = &rules->relation[r];
        if (relation->stratum != stratum)
            continue;
        if (mutual.relations == FUSE_MUTUAL_RELATIONS || relation->columns != 2 || relation->dtype != FUSE_BOOL)
            return false;
        mutual.relation[mutual.relations++] = r;
    }
    bool can_pass[2] = {true, true};
    for (int k = 0; k < rules->rules; k++)
        if (rules->relation[rules->rule[k].head].stratum == stratum && fuse_rule_is_recursive(rules, &rules->rule[k]) &&
            !take(&mutual, rules, &rules->rule[k], can_pass))
            return false;
    if (mutual.relations < 2 || mutual.steps == 0)
        return false;
    mutual.passing = can_pass[0] ? 0 : 1;
    const int64_t rows = rules->relation[mutual.relation[0]].extent[mutual.passing];
    for (int k = 1; k < mutual.relations; k++)
        if (rules->relation[mutual.relation[k]].extent[mutual.passing] != rows)
            return false;
    *out = mutual;
    return true;
}
