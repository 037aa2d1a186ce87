/* Rules as bytes. Every field of the structs of core/rules.h stands here; a test looks for them. What is read is looked at by
 * fuse_rules_verify before anybody uses it. */
#include "ir/ir_pack.h"

#include <limits.h>

enum { MOST = INT_MAX - 1 };

static void pack_relation(struct fuse_pack *pack, struct fuse_rule_relation *relation) {
    fuse_pack_string(pack, &relation->name);
    FUSE_PACK(pack, relation->columns, 0, FUSE_MAX_AXES);
    for (int c = 0; c < relation->columns; c++)
        fuse_pack_range(pack, &relation->extent[c], 0, FUSE_MAX_EXTENT);
    FUSE_PACK(pack, relation->dtype, 0, FUSE_DTYPES - 1);
    FUSE_PACK(pack, relation->combine, 0, FUSE_REDUCE_AND);
    fuse_pack_bool(pack, &relation->mean);
    FUSE_PACK(pack, relation->stratum, -1, MOST);
    FUSE_PACK(pack, relation->asks, 0, MOST);
    fuse_pack_uint64(pack, &relation->asked_columns);
    for (int c = 0; c < relation->columns; c++)
        FUSE_PACK(pack, relation->table[c], 0, MOST);
}

static void pack_terms(struct fuse_pack *pack, struct fuse_rule_term **term, int columns) {
    FUSE_PACK_ARRAY(pack, *term, struct fuse_rule_term, columns);
    for (int c = 0; c < columns; c++) {
        FUSE_PACK(pack, (*term)[c].variable, -1, FUSE_RULE_VARIABLES - 1);
        fuse_pack_int64(pack, &(*term)[c].offset);
    }
}

static void pack_variable(struct fuse_pack *pack, struct fuse_rule_variable *variable) {
    fuse_pack_string(pack, &variable->name);
    fuse_pack_range(pack, &variable->extent, 0, FUSE_MAX_EXTENT);
    fuse_pack_bool(pack, &variable->is_free);
}

static int columns_of(const struct fuse_pack *pack, const struct fuse_rules *rules, int relation) {
    return pack->has_failed ? 0 : rules->relation[relation].columns;
}

static void pack_atom(struct fuse_pack *pack, struct fuse_rule_atom *atom, const struct fuse_rules *rules) {
    FUSE_PACK(pack, atom->relation, 0, rules->relations - 1);
    pack_terms(pack, &atom->term, columns_of(pack, rules, atom->relation));
    fuse_pack_bool(pack, &atom->is_negated);
    fuse_pack_bool(pack, &atom->is_support);
}

static void pack_rule(struct fuse_pack *pack, struct fuse_rule *rule, const struct fuse_rules *rules) {
    fuse_span_pack(pack, &rule->span);
    FUSE_PACK(pack, rule->head, 0, rules->relations - 1);
    pack_terms(pack, &rule->term, columns_of(pack, rules, rule->head));
    fuse_pack_count(pack, &rule->variables, FUSE_RULE_VARIABLES, 2);
    FUSE_PACK_ARRAY(pack, rule->variable, struct fuse_rule_variable, rule->variables);
    for (int v = 0; v < rule->variables; v++)
        pack_variable(pack, &rule->variable[v]);
    fuse_pack_count(pack, &rule->atoms, FUSE_RULE_ATOMS, 2);
    FUSE_PACK_ARRAY(pack, rule->atom, struct fuse_rule_atom, rule->atoms);
    for (int a = 0; a < rule->atoms; a++)
        pack_atom(pack, &rule->atom[a], rules);
    fuse_scalar_pack(pack, &rule->guard);
    fuse_scalar_pack(pack, &rule->value);
}

void fuse_rules_pack(struct fuse_pack *pack, const struct fuse_rules **rules) {
    bool is_there = *rules != NULL;
    fuse_pack_bool(pack, &is_there);
    if (!is_there)
        return;
    struct fuse_rules *one = FUSE_NEW(pack->arena, struct fuse_rules);
    if (!pack->is_reading)
        *one = **rules;
    fuse_pack_count(pack, &one->relations, MOST, 5);
    fuse_pack_count(pack, &one->rules, MOST, 5);
    FUSE_PACK(pack, one->strata, 0, MOST);
    FUSE_PACK_ARRAY(pack, one->relation, struct fuse_rule_relation, one->relations);
    for (int r = 0; r < one->relations; r++)
        pack_relation(pack, &one->relation[r]);
    FUSE_PACK_ARRAY(pack, one->rule, struct fuse_rule, one->rules);
    for (int r = 0; r < one->rules && !pack->has_failed; r++)
        pack_rule(pack, &one->rule[r], one);
    *rules = one;
}
