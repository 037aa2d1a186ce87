/* Facts of R(x, z) = R(x, y) R(y, z): of all ways to cut a path in two, many have the least height, and there are as many facts on the
 * way as pairs of vertices. Where all other rules of R derive it from sources, their facts have the height 1, and a proof of least
 * height is a shortest path that is cut in the middle, again and again. */
#include "exec/why_internal.h"

/* ---- where it is so ---- */

static bool is_plain(const struct fuse_rule_term *term) {
    return term->variable >= 0 && term->offset == 0;
}

static bool is_square(const struct fuse_rule *rule) {
    const struct fuse_rule_term *head = rule->term;
    if (rule->atoms != 2 || rule->guard || rule->value)
        return false;
    for (int a = 0; a < 2; a++) {
        const struct fuse_rule_term *left = rule->atom[a].term, *right = rule->atom[1 - a].term;
        if (rule->atom[0].relation != rule->head || rule->atom[1].relation != rule->head || rule->atom[a].is_negated)
            return false;
        if (is_plain(&head[0]) && is_plain(&head[1]) && is_plain(&left[0]) && is_plain(&left[1]) &&
            is_plain(&right[0]) && is_plain(&right[1]) && head[0].variable == left[0].variable &&
            left[1].variable == right[0].variable && right[1].variable == head[1].variable &&
            head[0].variable != head[1].variable && left[1].variable != head[0].variable &&
            left[1].variable != head[1].variable)
            return true;
    }
    return false;
}

static bool is_from_sources(const struct fuse_why *why, const struct fuse_why_rule *rule) {
    bool any = false;
    for (int a = 0; a < rule->rule->atoms; a++) {
        const struct fuse_why_relation *relation = fuse_why_of_atom(why, rule, a);
        if (rule->rule->atom[a].is_negated)
            continue;
        any = true;
        if (why->relation[relation->canonical].rule->stratum >= 0)
            return false;
    }
    return any;
}

int fuse_why_find_square(const struct fuse_why *why, int relation) {
    int square = -1;
    if (why->relation[relation].rule->columns != 2 || why->relation[relation].rule->dtype != FUSE_BOOL ||
        why->relation[relation].given > 0)
        return -1;
    for (int k = 0; k < why->rules; k++) {
        const struct fuse_why_rule *rule = &why->rule[k];
        if (rule->first_relation + rule->rule->head != relation)
            continue;
        if (square < 0 && is_square(rule->rule))
            square = k;
        else if (!is_from_sources(why, rule))
            return -1;
    }
    return square;
}

/* ---- the shortest path ---- */

/* Of vertices from which the end is reached, the next one on the way. */
struct ways {
    struct fuse_arena *arena;
    int64_t *from, *to, *steps; /* [slots], from -1: free; steps to the end */
    int64_t slots, n;
};

static int64_t find_slot(const struct ways *ways, int64_t from) {
    int64_t slot = (int64_t)(fuse_mix((uint64_t)from + 1, 0x9e3779b97f4a7c15u) & (uint64_t)(ways->slots - 1));
    while (ways->from[slot] >= 0 && ways->from[slot] != from)
        slot = (slot + 1) & (ways->slots - 1);
    return slot;
}

static void grow(struct ways *ways) {
    const struct ways old = *ways;
    ways->slots = old.slots ? 4 * old.slots : 1024;
    ways->from = FUSE_NEW_ARRAY(ways->arena, int64_t, ways->slots);
    ways->to = FUSE_NEW_ARRAY(ways->arena, int64_t, ways->slots);
    ways->steps = FUSE_NEW_ARRAY(ways->arena, int64_t, ways->slots);
    for (int64_t k = 0; k < ways->slots; k++)
        ways->from[k] = -1;
    for (int64_t k = 0; k < old.slots; k++)
        if (old.from[k] >= 0) {
            const int64_t slot = find_slot(ways, old.from[k]);
            ways->from[slot] = old.from[k];
            ways->to[slot] = old.to[k];
            ways->steps[slot] = old.steps[k];
        }
}

/* Facts R(u, v) of a rule without recursion, for each v of the wave. */
static void step_back(struct fuse_why *why, int number, const int64_t *wave, int n, struct fuse_run *pairs) {
    const struct fuse_why_rule *rule = &why->rule[number];
    const struct fuse_rule_term *head = rule->rule->term;
    struct fuse_run bindings = {.words = rule->width};
    const uint64_t bound = head[1].variable >= 0 ? (uint64_t)1 << head[1].variable : 0;
    for (int i = 0; i < n; i++) {
        const int64_t id = wave[i] - head[1].offset;
        if (head[1].variable < 0 ? id != 0 : id < 0 || id >= rule->rule->variable[head[1].variable].extent)
            continue;
        if (!fuse_run_reserve(&bindings, &why->ledger, 1))
            fuse_comm_abort(why->comm, FUSE_EMEMORY); /* peers look for the same */
        uint64_t *to = fuse_run_row(&bindings, bindings.n++);
        memset(to, 0, (size_t)rule->width * 8);
        to[0] = (uint64_t)wave[i];
        if (head[1].variable >= 0)
            to[fuse_why_variable(head[1].variable)] = (uint64_t)id;
    }
    fuse_why_join(why, number, bound, &bindings);
    if (!fuse_run_reserve(pairs, &why->ledger, bindings.n))
        fuse_comm_abort(why->comm, FUSE_EMEMORY);
    for (int64_t i = 0; i < bindings.n; i++) {
        const uint64_t *binding = fuse_run_row(&bindings, i);
        uint64_t *to = fuse_run_row(pairs, pairs->n++);
        to[0] = (uint64_t)head[0].offset + (head[0].variable >= 0 ? binding[fuse_why_variable(head[0].variable)] : 0);
        to[1] = binding[0];
    }
    fuse_run_close(&bindings, &why->ledger);
}

/* Backwards from z; each vertex keeps the way with the first next vertex. */
static bool find_ways(struct fuse_why *why, int square, int64_t x, int64_t z, struct ways *ways) {
    const int relation = why->rule[square].first_relation + why->rule[square].rule->head;
    FUSE_VEC(int64_t) wave = {0};
    fuse_vec_push(why->arena, &wave, z);
    for (int first = 0, end = 1, steps = 1; first < end; first = end, end = wave.n, steps++) {
        struct fuse_run pairs = {.words = 2};
        for (int k = 0; k < why->rules; k++)
            if (k != square && why->rule[k].first_relation + why->rule[k].rule->head == relation)
                step_back(why, k, wave.at + first, end - first, &pairs);
        for (int64_t i = 0; i < pairs.n; i++) {
            const int64_t u = (int64_t)fuse_run_row(&pairs, i)[0], v = (int64_t)fuse_run_row(&pairs, i)[1];
            if (2 * ways->n >= ways->slots)
                grow(ways);
            const int64_t slot = find_slot(ways, u);
            if (ways->from[slot] < 0) {
                ways->from[slot] = u;
                ways->to[slot] = v;
                ways->steps[slot] = steps;
                ways->n++;
                fuse_vec_push(why->arena, &wave, u);
            } else if (ways->steps[slot] == steps && v < ways->to[slot])
                ways->to[slot] = v;
        }
        fuse_run_close(&pairs, &why->ledger);
        if (ways->slots > 0 && ways->from[find_slot(ways, x)] == x)
            return true;
    }
    return false;
}

/* ---- the proof ---- */

static int path_fact(struct fuse_why *why, int relation, const int64_t *vertex, int begin, int end) {
    const int64_t id[2] = {vertex[begin], vertex[end]};
    return fuse_why_fact(why, relation, id);
}

/* Instances of the square that cut a path of so many vertices in the middle, until its parts are single steps. */
static void cut(struct fuse_why *why, int square, const int64_t *vertex, int vertices) {
    const struct fuse_why_rule *rule = &why->rule[square];
    const struct fuse_rule_atom *first = &rule->rule->atom[0];
    const int relation = rule->first_relation + rule->rule->head, middle_of_first = first->term[1].variable;
    /* The atom that has the head's first variable is the left one. */
    const bool is_left_first = first->term[0].variable == rule->rule->term[0].variable;
    const int middle_variable = is_left_first ? middle_of_first : first->term[0].variable;
    FUSE_VEC(int) open = {0}; /* pairs of ends */
    fuse_vec_push(why->arena, &open, 0);
    fuse_vec_push(why->arena, &open, vertices - 1);
    while (open.n > 0) {
        const int end = open.at[--open.n], begin = open.at[--open.n], middle = begin + (end - begin) / 2;
        const int fact = path_fact(why, relation, vertex, begin, end);
        if (end - begin < 2)
            continue;
        const int left = path_fact(why, relation, vertex, begin, middle),
                  right = path_fact(why, relation, vertex, middle, end);
        struct fuse_why_instance instance = {.rule = square,
                                             .fact = fact,
                                             .next = why->facts.at[fact].instance,
                                             .premises = why->premise.n,
                                             .bindings = why->binding.n};
        fuse_vec_push(why->arena, &why->premise, is_left_first ? left : right);
        fuse_vec_push(why->arena, &why->premise, is_left_first ? right : left);
        for (int v = 0; v < rule->rule->variables; v++) {
            const int64_t id = v == rule->rule->term[0].variable   ? vertex[begin]
                               : v == rule->rule->term[1].variable ? vertex[end]
                               : v == middle_variable              ? vertex[middle]
                                                                   : 0;
            fuse_vec_push(why->arena, &why->binding, id);
        }
        why->facts.at[fact].instance = why->instances.n;
        fuse_vec_push(why->arena, &why->instances, instance);
        fuse_vec_push(why->arena, &open, begin);
        fuse_vec_push(why->arena, &open, middle);
        fuse_vec_push(why->arena, &open, middle);
        fuse_vec_push(why->arena, &open, end);
    }
}

void fuse_why_cut_path(struct fuse_why *why, int square, int fact) {
    const int64_t x = why->id.at[why->facts.at[fact].ids], z = why->id.at[why->facts.at[fact].ids + 1];
    struct ways ways = {.arena = why->arena};
    FUSE_VEC(int64_t) vertex = {0};
    if (find_ways(why, square, x, z, &ways)) {
        fuse_vec_push(why->arena, &vertex, x);
        do {
            const int64_t next = ways.to[find_slot(&ways, vertex.at[vertex.n - 1])];
            fuse_vec_push(why->arena, &vertex, next);
        } while (vertex.at[vertex.n - 1] != z);
        cut(why, square, vertex.at, vertex.n);
    }
}
