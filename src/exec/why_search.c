/* The search for a proof of minimal height: backwards from the fact, a wave of facts at a time, all rules that have them as heads;
 * after some waves heights are counted forwards from the sources. When d waves were looked at, all proofs of height d have been seen,
 * so that a proof which is no higher is minimal, and nothing beyond it was looked at. */
#include "exec/why_internal.h"

#include <stdlib.h>

/* ---- facts ---- */

static int columns_of(const struct fuse_why *why, int relation) {
    return why->relation[relation].rule->columns;
}

static int *slot_of(const struct fuse_why *why, int relation, const int64_t *id) {
    uint64_t hash = fuse_mix((uint64_t)relation + 1, 0x9e3779b97f4a7c15u);
    for (int c = 0; c < columns_of(why, relation); c++)
        hash = fuse_mix(hash ^ (uint64_t)id[c] ^ 0x9e3779b97f4a7c15u, 0xd6e8feb86659fd93u);
    return &why->head[hash & (uint64_t)(why->heads - 1)];
}

static void grow_table(struct fuse_why *why) {
    const int heads = why->heads ? 4 * why->heads : 1024;
    why->head = FUSE_NEW_ARRAY(why->arena, int, heads);
    why->heads = heads;
    for (int k = 0; k < heads; k++)
        why->head[k] = -1;
    for (int f = 0; f < why->facts.n; f++) {
        int *slot = slot_of(why, why->facts.at[f].relation, &why->id.at[why->facts.at[f].ids]);
        why->facts.at[f].next = *slot;
        *slot = f;
    }
}

int fuse_why_fact(struct fuse_why *why, int relation, const int64_t *id) {
    const int columns = columns_of(why, relation);
    if (why->facts.n >= why->heads)
        grow_table(why);
    int *slot = slot_of(why, relation, id);
    for (int f = *slot; f >= 0; f = why->facts.at[f].next)
        if (why->facts.at[f].relation == relation &&
            memcmp(&why->id.at[why->facts.at[f].ids], id, (size_t)columns * sizeof *id) == 0)
            return f;
    const struct fuse_why_fact fact = {
        .relation = relation, .ids = why->id.n, .height = -1, .instance = -1, .chosen = -1, .next = *slot};
    for (int c = 0; c < columns; c++)
        fuse_vec_push(why->arena, &why->id, id[c]);
    fuse_vec_push(why->arena, &why->facts, fact);
    return *slot = why->facts.n - 1;
}

int fuse_why_ask(struct fuse_why *why, int relation, const int64_t *id) {
    const int fact = fuse_why_fact(why, relation, id);
    if (why->relation[relation].square >= 0 && !why->facts.at[fact].is_asked) {
        why->facts.at[fact].is_asked = true;
        fuse_vec_push(why->arena, &why->paths, fact);
    }
    return fact;
}

/* ---- instances ---- */

/* The fact of a positive atom; what the atom read of it goes along. */
static int premise_of(struct fuse_why *why, const struct fuse_why_rule *rule, int a, const uint64_t *binding) {
    const struct fuse_why_relation *relation = fuse_why_of_atom(why, rule, a);
    const struct fuse_rule_term *term = rule->rule->atom[a].term;
    int64_t id[FUSE_MAX_AXES];
    for (int c = 0; c < relation->rule->columns; c++)
        id[c] = term[c].offset + (term[c].variable >= 0 ? (int64_t)binding[fuse_why_variable(term[c].variable)] : 0);
    const int fact = fuse_why_ask(why, relation->canonical, id);
    if (relation->at_work->values)
        why->facts.at[fact].value = (int64_t)binding[fuse_why_value(rule->rule, a)];
    return fact;
}

void fuse_why_add_instance(struct fuse_why *why, int number, const uint64_t *binding) {
    const struct fuse_why_rule *rule = &why->rule[number];
    struct fuse_why_instance instance = {
        .rule = number, .fact = (int)binding[0], .premises = why->premise.n, .bindings = why->binding.n};
    for (int a = 0; a < rule->rule->atoms; a++)
        if (!rule->rule->atom[a].is_negated) {
            const int fact = premise_of(why, rule, a, binding);
            fuse_vec_push(why->arena, &why->premise, fact);
        }
    for (int v = 0; v < rule->rule->variables; v++)
        fuse_vec_push(why->arena, &why->binding, (int64_t)binding[fuse_why_variable(v)]);
    instance.next = why->facts.at[instance.fact].instance;
    why->facts.at[instance.fact].instance = why->instances.n;
    fuse_vec_push(why->arena, &why->instances, instance);
}

/* Whether the rule derives the value that the fact has. */
static bool gives_value(const struct fuse_why *why, const struct fuse_why_rule *rule, const uint64_t *binding) {
    if (!rule->rule->value || why->takes_all_values)
        return true;
    const union fuse_scalar_value got = fuse_why_evaluate(why, rule, rule->rule->value, binding);
    union fuse_scalar_value has = {.integer = why->facts.at[(int)binding[0]].value};
    const enum fuse_dtype dtype = rule->rule->value->node[rule->rule->value->n - 1].dtype;
    return dtype == FUSE_I64 ? got.integer == has.integer : got.real == has.real;
}

static void keep_fitting(struct fuse_why *why, const struct fuse_why_rule *rule, struct fuse_run *bindings) {
    int64_t kept = 0;
    for (int64_t i = 0; i < bindings->n; i++) {
        uint64_t *binding = fuse_run_row(bindings, i);
        if ((rule->rule->guard && !fuse_why_evaluate(why, rule, rule->rule->guard, binding).integer) ||
            !gives_value(why, rule, binding))
            continue;
        memmove(fuse_run_row(bindings, kept++), binding, (size_t)rule->width * 8);
    }
    bindings->n = kept;
}

static void drop_negated(struct fuse_why *why, const struct fuse_why_rule *rule, int a, struct fuse_run *bindings) {
    struct fuse_arena_mark mark = fuse_arena_mark(why->scratch);
    int64_t *found = FUSE_NEW_ARRAY(why->scratch, int64_t, bindings->n), kept = 0;
    uint64_t bound = fuse_rule_bound_variables(rule->rules, rule->rule);
    for (int v = 0; v < rule->rule->variables; v++)
        bound |= rule->rule->variable[v].is_free ? (uint64_t)1 << v : 0;
    fuse_why_has(why, rule, a, bound, bindings, found);
    for (int64_t i = 0; i < bindings->n; i++)
        if (!found[i])
            memmove(fuse_run_row(bindings, kept++), fuse_run_row(bindings, i), (size_t)rule->width * 8);
    bindings->n = kept;
    fuse_arena_rewind(why->scratch, mark);
}

static bool is_all_bound(const struct fuse_why_rule *rule, int a, uint64_t bound) {
    return !(fuse_rule_atom_variables(rule->rules, &rule->rule->atom[a]) & ~bound);
}

/* The same on every rank, since all of them have the same facts. */
static bool is_too_much(struct fuse_why *why, int64_t more) {
    why->is_beyond |= (int64_t)why->facts.n + why->instances.n + more > why->most;
    return why->is_beyond;
}

void fuse_why_join(struct fuse_why *why, int number, uint64_t bound, struct fuse_run *bindings) {
    const struct fuse_why_rule *rule = &why->rule[number];
    for (int k = 0; k < rule->positives && bindings->n > 0; k++) {
        const int a = rule->order[k];
        struct fuse_run longer = {.words = rule->width};
        if (!fuse_why_is_readable(why, fuse_why_of_atom(why, rule, a)) && is_all_bound(rule, a, bound))
            continue; /* whether it holds is found out in its turn */
        fuse_why_extend(why, rule, a, bound, bindings, &longer);
        bound |= fuse_rule_atom_variables(rule->rules, &rule->rule->atom[a]);
        fuse_run_close(bindings, &why->ledger);
        *bindings = longer;
        if (is_too_much(why, bindings->n))
            bindings->n = 0;
    }
    if (bindings->n > 0)
        fuse_why_enumerate(why, rule, bound, bindings);
    keep_fitting(why, rule, bindings);
    for (int a = 0; a < rule->rule->atoms && bindings->n > 0; a++)
        if (rule->rule->atom[a].is_negated)
            drop_negated(why, rule, a, bindings);
}

/* All instances of a rule whose heads are facts [first, end). */
static void apply(struct fuse_why *why, int number, int first, int end) {
    const struct fuse_why_rule *rule = &why->rule[number];
    const int head = rule->first_relation + rule->rule->head;
    struct fuse_run bindings = {.words = rule->width};
    for (int f = first; f < end; f++)
        if (why->facts.at[f].relation == head && !why->facts.at[f].is_given)
            (void)fuse_why_unify(why, rule, &why->id.at[why->facts.at[f].ids], (uint64_t)f, &bindings);
    fuse_why_join(why, number, fuse_why_head_variables(why, rule), &bindings);
    for (int64_t i = 0; i < bindings.n; i++)
        fuse_why_add_instance(why, number, fuse_run_row(&bindings, i));
    fuse_run_close(&bindings, &why->ledger);
}

/* ---- which facts are leaves ---- */

static void look_up(struct fuse_why *why, int relation, int first, int end) {
    const int columns = columns_of(why, relation);
    struct fuse_run ids = {.words = columns + 1};
    struct fuse_arena_mark mark = fuse_arena_mark(why->scratch);
    struct fuse_why_lookup *seen = FUSE_NEW_ARRAY(why->scratch, struct fuse_why_lookup, end - first);
    if (!fuse_run_reserve(&ids, &why->ledger, end - first))
        fuse_comm_abort(why->comm, FUSE_EMEMORY);
    for (int f = first; f < end; f++)
        if (why->facts.at[f].relation == relation)
            memcpy(fuse_run_row(&ids, ids.n++), &why->id.at[why->facts.at[f].ids], (size_t)columns * sizeof(int64_t));
    fuse_why_look(why, relation, &ids, seen);
    for (int f = first, k = 0; f < end; f++)
        if (why->facts.at[f].relation == relation)
            why->facts.at[f].is_given = seen[k++].is_given;
    fuse_arena_rewind(why->scratch, mark);
    fuse_run_close(&ids, &why->ledger);
}

static void mark_leaves(struct fuse_why *why, int first, int end) {
    struct fuse_arena_mark mark = fuse_arena_mark(why->scratch);
    bool *asked = FUSE_NEW_ARRAY(why->scratch, bool, why->relations);
    for (int f = first; f < end; f++) {
        struct fuse_why_fact *fact = &why->facts.at[f];
        const struct fuse_why_relation *relation = &why->relation[fact->relation];
        if (fuse_why_is_leaf(relation->rule))
            fact->is_given = true;
        else if (relation->given > 0)
            asked[fact->relation] = true;
    }
    for (int r = 0; r < why->relations; r++)
        if (asked[r])
            look_up(why, r, first, end);
    fuse_arena_rewind(why->scratch, mark);
}

/* ---- heights ---- */

struct users {
    int *first; /* [facts + 1] in instance */
    int *instance;
};

static struct users list_users(struct fuse_why *why) {
    struct users users = {FUSE_NEW_ARRAY(why->scratch, int, why->facts.n + 2),
                          FUSE_NEW_ARRAY(why->scratch, int, why->premise.n + 1)};
    for (int p = 0; p < why->premise.n; p++)
        users.first[why->premise.at[p] + 2]++;
    for (int f = 0; f < why->facts.n; f++)
        users.first[f + 2] += users.first[f + 1];
    for (int i = 0; i < why->instances.n; i++) {
        const struct fuse_why_instance *instance = &why->instances.at[i];
        for (int k = 0; k < why->rule[instance->rule].positives; k++)
            users.instance[users.first[why->premise.at[instance->premises + k] + 1]++] = i;
    }
    return users;
}

/* Facts in the order of their heights: each has the height at which the first of its instances is complete. */
static void count_heights(struct fuse_why *why) {
    struct fuse_arena_mark mark = fuse_arena_mark(why->scratch);
    const struct users users = list_users(why);
    int *missing = FUSE_NEW_ARRAY(why->scratch, int, why->instances.n + 1);
    int *queue = FUSE_NEW_ARRAY(why->scratch, int, why->facts.n + 1), n = 0;
    for (int f = 0; f < why->facts.n; f++) {
        why->facts.at[f].height = why->facts.at[f].is_given ? 0 : -1;
        if (why->facts.at[f].is_given)
            queue[n++] = f;
    }
    for (int i = 0; i < why->instances.n; i++) {
        struct fuse_why_fact *fact = &why->facts.at[why->instances.at[i].fact];
        missing[i] = why->rule[why->instances.at[i].rule].positives;
        if (missing[i] == 0 && fact->height < 0) {
            fact->height = 1;
            queue[n++] = why->instances.at[i].fact;
        }
    }
    for (int q = 0; q < n; q++)
        for (int u = users.first[queue[q]]; u < users.first[queue[q] + 1]; u++) {
            const int i = users.instance[u];
            struct fuse_why_fact *fact = &why->facts.at[why->instances.at[i].fact];
            if (--missing[i] > 0 || fact->height >= 0)
                continue;
            fact->height = why->facts.at[queue[q]].height + 1;
            queue[n++] = why->instances.at[i].fact;
        }
    fuse_arena_rewind(why->scratch, mark);
}

/* ---- the proof ---- */

bool fuse_why_is_before(const struct fuse_why *why, int a, int b) {
    const struct fuse_why_instance *x = &why->instances.at[a], *y = &why->instances.at[b];
    if (x->rule != y->rule)
        return x->rule < y->rule;
    for (int v = 0; v < why->rule[x->rule].rule->variables; v++)
        if (why->binding.at[x->bindings + v] != why->binding.at[y->bindings + v])
            return why->binding.at[x->bindings + v] < why->binding.at[y->bindings + v];
    return false;
}

bool fuse_why_is_below(const struct fuse_why *why, const struct fuse_why_instance *instance, int height) {
    for (int k = 0; k < why->rule[instance->rule].positives; k++) {
        const int below = why->facts.at[why->premise.at[instance->premises + k]].height;
        if (below < 0 || below >= height)
            return false;
    }
    return true;
}

static void choose(struct fuse_why *why, int goal) {
    FUSE_VEC(int) open = {0};
    fuse_vec_push(why->arena, &open, goal);
    for (int k = 0; k < open.n; k++) {
        struct fuse_why_fact *fact = &why->facts.at[open.at[k]];
        if (fact->is_shown)
            continue;
        fact->is_shown = true;
        if (fact->height == 0)
            continue;
        for (int i = fact->instance; i >= 0; i = why->instances.at[i].next)
            if (fuse_why_is_below(why, &why->instances.at[i], fact->height) &&
                (fact->chosen < 0 || fuse_why_is_before(why, i, fact->chosen)))
                fact->chosen = i;
        const struct fuse_why_instance *chosen = &why->instances.at[fact->chosen];
        for (int p = 0; p < why->rule[chosen->rule].positives; p++)
            fuse_vec_push(why->arena, &open, why->premise.at[chosen->premises + p]);
    }
}

/* Collective. Makes the failure of one rank everybody's. */
static enum fuse_status agree(struct fuse_why *why, struct fuse_error *err) {
    int64_t failed = why->status != FUSE_OK;
    FUSE_TRY(why->comm->ops->reduce_int64(why->comm, FUSE_REDUCE_MAX, &failed, 1, err));
    if (!failed)
        return FUSE_OK;
    *err = why->error;
    return fuse_agree(why->comm, why->status, err);
}

enum fuse_status fuse_why_reach(struct fuse_why *why, struct fuse_error *err) {
    for (int first = 0, end; first < why->facts.n && !why->is_beyond; first = end) {
        end = why->facts.n;
        for (int f = first; f < end; f++)
            why->facts.at[f].is_given = fuse_why_is_leaf(why->relation[why->facts.at[f].relation].rule);
        for (int k = 0; k < why->rules; k++)
            apply(why, k, first, end);
        FUSE_TRY(agree(why, err));
    }
    return FUSE_OK;
}

enum fuse_status fuse_why_prove(bool *found, struct fuse_why *why, int goal, struct fuse_error *err) {
    int first = goal, waves = 0, next_count = 1, paths = 0;
    mark_leaves(why, goal, why->facts.n);
    *found = false;
    for (;;) {
        const int end = why->facts.n;
        for (int k = 0; k < why->rules; k++)
            if (why->relation[why->rule[k].first_relation + why->rule[k].rule->head].square != k)
                apply(why, k, first, end);
        for (; paths < why->paths.n; paths++)
            fuse_why_cut_path(why, why->relation[why->facts.at[why->paths.at[paths]].relation].square,
                              why->paths.at[paths]);
        mark_leaves(why, end, why->facts.n);
        FUSE_TRY(agree(why, err));
        if (why->is_beyond)
            return FUSE_OK;
        waves++;
        const bool is_last = why->facts.n == end;
        if (waves >= next_count || is_last) {
            count_heights(why);
            next_count = waves + 1 + waves / 8;
            const int height = why->facts.at[goal].height;
            *found = height >= 0 && (height <= waves || is_last);
            if (*found || is_last)
                break;
        }
        first = end;
    }
    if (*found)
        choose(why, goal);
    return FUSE_OK;
}
