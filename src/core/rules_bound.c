/* How many tuples relations can have at most, before there is one.
 *
 * A column of a relation has no more different ids than the places that they come from: constants, columns of relations that are
 * known before, or, passed on in a recursion, other columns of the recursion. A relation has no more tuples than the product of
 * its columns, and, when no rule of it is recursive, than the tuples of atoms that have all variables of the head. */
#include "core/rules.h"

struct bound {
    const struct fuse_rules *rules;
    const int64_t *most;
    int64_t *tuples;               /* [relations] */
    int64_t (*ids)[FUSE_MAX_AXES]; /* [relations] different ids of a column */
};

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

struct place {
    int relation, column;
    int64_t offset; /* what is added to the ids there */
};

/* Different ids of a variable, from atoms of lower strata than the head; -1: there is none. */
static int64_t find_known(struct place *out, const struct bound *b, const struct fuse_rule *rule, int v) {
    const int stratum = b->rules->relation[rule->head].stratum;
    int64_t ids = -1;
    for (int a = 0; a < rule->atoms; a++) {
        const struct fuse_rule_atom *atom = &rule->atom[a];
        const struct fuse_rule_relation *relation = &b->rules->relation[atom->relation];
        for (int c = 0; c < relation->columns && !atom->is_negated && relation->stratum < stratum; c++)
            if (atom->term[c].variable == v && (ids < 0 || b->ids[atom->relation][c] < ids)) {
                ids = b->ids[atom->relation][c];
                *out = (struct place){atom->relation, c, -atom->term[c].offset};
            }
    }
    return ids;
}

static int64_t known_ids(const struct bound *b, const struct fuse_rule *rule, int v) {
    struct place place;
    return find_known(&place, b, rule, v);
}

/* A place of the recursion from which a variable is passed on as it is, best the one it goes to. */
static bool find_place(const struct bound *b, const struct fuse_rule *rule, int column, int *relation, int *from) {
    const struct fuse_rule_term *term = &rule->term[column];
    bool found = false;
    for (int a = 0; a < rule->atoms && term->offset == 0; a++) {
        const struct fuse_rule_atom *atom = &rule->atom[a];
        const struct fuse_rule_relation *r = &b->rules->relation[atom->relation];
        for (int c = 0; c < r->columns; c++) {
            if (atom->is_negated || r->stratum != b->rules->relation[rule->head].stratum ||
                atom->term[c].variable != term->variable || atom->term[c].offset != 0)
                continue;
            const bool is_same = atom->relation == rule->head && c == column;
            if (found && !is_same)
                continue;
            *relation = atom->relation;
            *from = c;
            found = true;
            if (is_same)
                return true;
        }
    }
    return found;
}

/* Whether a place is seen for the first time. */
static bool see(bool *was_seen, struct place place) {
    bool *seen = &was_seen[place.relation * FUSE_MAX_AXES + place.column];
    const bool is_new = !*seen;
    *seen = true;
    return is_new;
}

/* Adds what the rules of one place bring from before, and appends the places that it passes on. */
static int64_t follow(const struct bound *b, struct place at, struct place *list, int *n, bool *was_seen) {
    int64_t ids = b->most[at.relation];
    for (int k = 0; k < b->rules->rules; k++) {
        const struct fuse_rule *rule = &b->rules->rule[k];
        struct place known = {0}, passed = {0};
        if (rule->head != at.relation)
            continue;
        const int v = rule->term[at.column].variable;
        const int64_t from = v < 0 ? 1 : find_known(&known, b, rule, v);
        const bool is_passed = v >= 0 && find_place(b, rule, at.column, &passed.relation, &passed.column);
        if (is_passed && (from < 0 || (passed.relation == at.relation && passed.column == at.column))) {
            if (see(was_seen, passed))
                list[(*n)++] = passed;
        } else if (v < 0 || from < 0)
            ids = fuse_sat_add(ids, v < 0 ? 1 : rule->variable[v].extent);
        else if (known.offset + rule->term[at.column].offset != 0 || see(was_seen, known))
            ids = fuse_sat_add(ids, from);
    }
    return ids;
}

static int64_t count_ids(const struct bound *b, struct fuse_arena *arena, int relation, int column) {
    const int places = b->rules->relations * FUSE_MAX_AXES;
    struct fuse_arena_mark mark = fuse_arena_mark(arena);
    bool *was_seen = FUSE_NEW_ARRAY(arena, bool, places);
    struct place *list = FUSE_NEW_ARRAY(arena, struct place, places);
    int64_t ids = 0;
    int n = 1;
    list[0] = (struct place){relation, column, 0};
    was_seen[relation * FUSE_MAX_AXES + column] = true;
    for (int i = 0; i < n; i++)
        ids = fuse_sat_add(ids, follow(b, list[i], list, &n, was_seen));
    fuse_arena_rewind(arena, mark);
    return least(ids, b->rules->relation[relation].extent[column]);
}

/* Tuples of the head that a rule without recursion derives: of the smallest atoms that have its variables. */
static int64_t count_heads(const struct bound *b, const struct fuse_rule *rule) {
    const struct fuse_rule_relation *head = &b->rules->relation[rule->head];
    uint64_t wanted = 0;
    int64_t tuples = 1;
    for (int c = 0; c < head->columns; c++)
        if (rule->term[c].variable >= 0)
            wanted |= (uint64_t)1 << rule->term[c].variable;
    while (wanted) {
        const int v = __builtin_ctzll(wanted);
        const int64_t known = known_ids(b, rule, v);
        int64_t fewest = known < 0 ? rule->variable[v].extent : known;
        uint64_t has = (uint64_t)1 << v;
        for (int a = 0; a < rule->atoms; a++) {
            const uint64_t here = fuse_rule_atom_variables(b->rules, &rule->atom[a]) & wanted;
            int64_t apart = 1;
            for (int w = 0; w < rule->variables; w++)
                if (here >> w & 1) {
                    const int64_t ids = known_ids(b, rule, w);
                    apart = fuse_sat_mul(apart, ids < 0 ? rule->variable[w].extent : ids);
                }
            if (rule->atom[a].is_negated || !(here >> v & 1) || b->tuples[rule->atom[a].relation] > apart ||
                (here == has && b->tuples[rule->atom[a].relation] >= fewest))
                continue;
            fewest = b->tuples[rule->atom[a].relation];
            has = here;
        }
        tuples = fuse_sat_mul(tuples, fewest);
        wanted &= ~has;
    }
    return tuples;
}

static int64_t count_tuples(const struct bound *b, int relation) {
    const struct fuse_rule_relation *r = &b->rules->relation[relation];
    int64_t product = 1, sum = b->most[relation];
    for (int c = 0; c < r->columns; c++)
        product = fuse_sat_mul(product, b->ids[relation][c]);
    for (int k = 0; k < b->rules->rules; k++)
        if (b->rules->rule[k].head == relation) {
            if (fuse_rule_is_recursive(b->rules, &b->rules->rule[k]))
                return product;
            sum = fuse_sat_add(sum, count_heads(b, &b->rules->rule[k]));
        }
    return least(product, sum);
}

const int64_t *fuse_rules_bound(struct fuse_arena *arena, const struct fuse_rules *rules, const int64_t *most) {
    struct bound b = {.rules = rules, .most = most};
    b.tuples = FUSE_NEW_ARRAY(arena, int64_t, rules->relations + 1);
    b.ids = fuse_arena_array(arena, (size_t)rules->relations + 1, sizeof *b.ids);
    for (int s = -1; s < rules->strata; s++) {
        for (int r = 0; r < rules->relations; r++)
            for (int c = 0; rules->relation[r].stratum == s && c < rules->relation[r].columns; c++)
                b.ids[r][c] = count_ids(&b, arena, r, c);
        for (int r = 0; r < rules->relations; r++)
            if (rules->relation[r].stratum == s)
                b.tuples[r] = count_tuples(&b, r);
    }
    return b.tuples;
}
