/* Proofs that go through values which were bettered later: where f is flat, as in D[1] min= maximum(D[0], 5), a cell may get its last value
 * from one of another cell that is no result, and no proof from results alone has a beginning.
 *
 * All instances of rules that the fact can rest on are looked at, whatever their values are; then rounds are made from the sources on:
 * what a cell has after h rounds is the best that proofs of height h give. A fact at a level, which is a round in which it became
 * better, is proved by the levels that its premises had a round before, so that no proof rests on itself. Values of other strata
 * than the head's must be the last ones, since rules read nothing else. */
#include "exec/why_internal.h"

/* A fact from a round on. */
struct level {
    int fact, height;
    int instance; /* -1: it was given */
    int before;   /* the level that it bettered, -1 */
    int shown;    /* the fact that stands for it in the proof, -1 */
    int64_t value;
};

struct history {
    struct fuse_why *why;
    FUSE_VEC(struct level) level;
    int *current;          /* [facts] level, -1: none yet */
    int *first, *user;     /* [facts + 1]: instances that have a fact as premise */
    int *candidate;        /* [facts] instance of this round, -1 */
    int64_t *value;        /* [facts] what it gives */
    FUSE_VEC(int) touched; /* facts with candidates */
    uint64_t binding[1 + FUSE_RULE_VARIABLES + FUSE_RULE_ATOMS];
};

/* ---- values ---- */

static const struct fuse_rule_relation *relation_of(const struct history *h, int fact) {
    return h->why->relation[h->why->facts.at[fact].relation].rule;
}

static bool is_better(const struct fuse_rule_relation *rule, int64_t a, int64_t b) {
    const bool is_min = rule->combine == FUSE_REDUCE_MIN;
    double x, y;
    if (rule->dtype == FUSE_I64)
        return is_min ? a < b : a > b;
    memcpy(&x, &a, sizeof x);
    memcpy(&y, &b, sizeof y);
    return is_min ? x < y : x > y;
}

static bool is_last(const struct history *h, const struct level *level) {
    const struct fuse_rule_relation *rule = relation_of(h, level->fact);
    const int64_t last = h->why->facts.at[level->fact].value;
    return rule->dtype == FUSE_BOOL || (!is_better(rule, level->value, last) && !is_better(rule, last, level->value));
}

/* Whether the rule reads the atom while its values still change. */
static bool is_of_same_stratum(const struct fuse_why *why, const struct fuse_why_rule *rule, int atom) {
    const struct fuse_why_relation *relation = fuse_why_of_atom(why, rule, atom);
    return relation->rule->stratum == rule->rules->relation[rule->rule->head].stratum;
}

/* What an instance gives now; false: a premise is missing. */
static bool evaluate(struct history *h, int number, int64_t *value) {
    struct fuse_why *why = h->why;
    const struct fuse_why_instance *instance = &why->instances.at[number];
    const struct fuse_why_rule *rule = &why->rule[instance->rule];
    int p = instance->premises;
    for (int a = 0; a < rule->rule->atoms; a++) {
        if (rule->rule->atom[a].is_negated)
            continue;
        const int at = h->current[why->premise.at[p++]];
        if (at < 0 || (!is_of_same_stratum(why, rule, a) && !is_last(h, &h->level.at[at])))
            return false;
        h->binding[fuse_why_value(rule->rule, a)] = (uint64_t)h->level.at[at].value;
    }
    *value = 0;
    if (!rule->rule->value)
        return true;
    for (int v = 0; v < rule->rule->variables; v++)
        h->binding[fuse_why_variable(v)] = (uint64_t)why->binding.at[instance->bindings + v];
    const union fuse_scalar_value got = fuse_why_evaluate(why, rule, rule->rule->value, h->binding);
    *value = got.integer;
    return true;
}

/* ---- rounds ---- */

static void list_users(struct history *h) {
    struct fuse_why *why = h->why;
    h->first = FUSE_NEW_ARRAY(why->arena, int, why->facts.n + 2);
    h->user = FUSE_NEW_ARRAY(why->arena, int, why->premise.n + 1);
    for (int p = 0; p < why->premise.n; p++)
        h->first[why->premise.at[p] + 2]++;
    for (int f = 0; f < why->facts.n; f++)
        h->first[f + 2] += h->first[f + 1];
    for (int i = 0; i < why->instances.n; i++)
        for (int k = 0; k < why->rule[why->instances.at[i].rule].positives; k++)
            h->user[h->first[why->premise.at[why->instances.at[i].premises + k] + 1]++] = i;
}

/* A better value becomes the fact's candidate; of equal ones that of the first instance. */
static void offer(struct history *h, int number) {
    const int f = h->why->instances.at[number].fact, now = h->current[f];
    const struct fuse_rule_relation *rule = relation_of(h, f);
    int64_t value;
    if (!evaluate(h, number, &value) || (now >= 0 && rule->dtype == FUSE_BOOL) ||
        (now >= 0 && !is_better(rule, value, h->level.at[now].value)))
        return;
    if (h->candidate[f] < 0)
        fuse_vec_push(h->why->arena, &h->touched, f);
    else if (rule->dtype != FUSE_BOOL && is_better(rule, h->value[f], value))
        return;
    else if ((rule->dtype == FUSE_BOOL || !is_better(rule, value, h->value[f])) &&
             !fuse_why_is_before(h->why, number, h->candidate[f]))
        return;
    h->candidate[f] = number;
    h->value[f] = value;
}

static void add_level(struct history *h, int fact, int height, int instance, int64_t value) {
    const struct level level = {fact, height, instance, h->current[fact], -1, value};
    fuse_vec_push(h->why->arena, &h->level, level);
    h->current[fact] = h->level.n - 1;
}

/* Until the fact has its last value, or nothing gets better. */
static bool make_rounds(struct history *h, int goal) {
    struct fuse_why *why = h->why;
    for (int height = 1, first = 0;; height++) {
        const int end = h->level.n;
        h->touched.n = 0;
        for (int i = 0; height == 1 && i < why->instances.n; i++)
            if (why->rule[why->instances.at[i].rule].positives == 0)
                offer(h, i);
        for (int l = first; l < end; l++)
            for (int u = h->first[h->level.at[l].fact]; u < h->first[h->level.at[l].fact + 1]; u++)
                offer(h, h->user[u]);
        for (int k = 0; k < h->touched.n; k++) {
            const int f = h->touched.at[k];
            add_level(h, f, height, h->candidate[f], h->value[f]);
            h->candidate[f] = -1;
        }
        if (h->current[goal] >= 0 && is_last(h, &h->level.at[h->current[goal]]))
            return true;
        if (h->touched.n == 0 || h->level.n > why->most)
            return false;
        first = end;
    }
}

/* ---- where it begins ---- */

static bool take_given(void *context, const uint64_t *row) {
    uint64_t *best = context; /* whether there is one, its value, the relation */
    const struct fuse_why_relation *relation = (const struct fuse_why_relation *)(uintptr_t)best[2];
    const int64_t value = relation->at_work->values ? (int64_t)row[relation->at_work->packing.words] : 0;
    if (best[0] == 0 || is_better(relation->rule, value, (int64_t)best[1]))
        best[1] = (uint64_t)value;
    best[0] = 1;
    return true;
}

/* Collective. The best values that were given to facts of relations that rules derive. */
static void find_given(struct history *h) {
    struct fuse_why *why = h->why;
    struct fuse_run found = {.words = 2};
    for (int f = 0; f < why->facts.n; f++) {
        const struct fuse_why_relation *relation = &why->relation[why->facts.at[f].relation];
        uint64_t best[3] = {0, 0, (uint64_t)(uintptr_t)relation};
        if (relation->given == 0 || fuse_why_is_leaf(relation->rule))
            continue;
        fuse_why_find(why, why->facts.at[f].relation, ((uint64_t)1 << relation->rule->columns) - 1, FUSE_WHY_GIVEN,
                      &why->id.at[why->facts.at[f].ids], take_given, best);
        if (best[0] == 0)
            continue;
        if (!fuse_run_reserve(&found, &why->ledger, 1))
            fuse_comm_abort(why->comm, FUSE_EMEMORY); /* peers wait for what was found */
        uint64_t *to = fuse_run_row(&found, found.n++);
        to[0] = (uint64_t)f;
        to[1] = best[1];
    }
    fuse_why_gather(why, &found); /* what every rank has comes as often as there are ranks */
    for (int64_t i = 0; i < found.n; i++) {
        const uint64_t *row = fuse_run_row(&found, i);
        const int f = (int)row[0], now = h->current[f];
        if (now < 0)
            add_level(h, f, 0, -1, (int64_t)row[1]);
        else if (is_better(relation_of(h, f), (int64_t)row[1], h->level.at[now].value))
            h->level.at[now].value = (int64_t)row[1];
    }
    fuse_run_close(&found, &why->ledger);
}

static void begin(struct history *h) {
    struct fuse_why *why = h->why;
    h->current = FUSE_NEW_ARRAY(why->arena, int, why->facts.n + 1);
    h->candidate = FUSE_NEW_ARRAY(why->arena, int, why->facts.n + 1);
    h->value = FUSE_NEW_ARRAY(why->arena, int64_t, why->facts.n + 1);
    for (int f = 0; f < why->facts.n; f++)
        h->current[f] = h->candidate[f] = -1;
    for (int f = 0; f < why->facts.n; f++)
        if (fuse_why_is_leaf(relation_of(h, f)))
            add_level(h, f, 0, -1, why->facts.at[f].value);
    find_given(h);
    list_users(h);
}

/* ---- the proof ---- */

static int show(struct history *h, int number) {
    struct fuse_why *why = h->why;
    struct level *level = &h->level.at[number];
    if (level->shown >= 0)
        return level->shown;
    struct fuse_why_fact fact = why->facts.at[level->fact];
    fact.is_bettered = !is_last(h, level);
    fact.value = level->value;
    fact.height = level->height;
    fact.is_given = level->instance < 0;
    fact.instance = fact.chosen = -1;
    fact.is_shown = true;
    fuse_vec_push(why->arena, &why->facts, fact);
    level->shown = why->facts.n - 1;
    fuse_vec_push(why->arena, &why->paths, number);
    return level->shown;
}

/* What a premise had a round before. */
static int level_below(const struct history *h, int fact, int height) {
    int l = h->current[fact];
    while (h->level.at[l].height >= height)
        l = h->level.at[l].before;
    return l;
}

static int build(struct history *h, int goal) {
    struct fuse_why *why = h->why;
    why->paths.n = 0;
    const int top = show(h, h->current[goal]);
    for (int k = 0; k < why->paths.n; k++) {
        const struct level level = h->level.at[why->paths.at[k]];
        if (level.instance < 0)
            continue;
        struct fuse_why_instance made = why->instances.at[level.instance];
        const int from = made.premises;
        made.premises = why->premise.n;
        made.fact = level.shown;
        for (int p = 0; p < why->rule[made.rule].positives; p++) {
            const int below = show(h, level_below(h, why->premise.at[from + p], level.height));
            fuse_vec_push(why->arena, &why->premise, below);
        }
        why->facts.at[level.shown].chosen = why->instances.n;
        fuse_vec_push(why->arena, &why->instances, made);
    }
    return top;
}

enum fuse_status fuse_why_replay(int *fact, struct fuse_why *why, struct fuse_error *err) {
    struct history h = {.why = why};
    const int goal = *fact;
    *fact = -1;
    FUSE_TRY(fuse_why_reach(why, err));
    if (why->is_beyond)
        return FUSE_OK;
    begin(&h);
    if (make_rounds(&h, goal))
        *fact = build(&h, goal);
    *err = why->error;
    return fuse_agree(why->comm, why->status, err);
}
