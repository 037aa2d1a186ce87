/* A proof from stages (why_stages.c): of the rules that derive a fact, the first one whose premises have less height, and so on down. Of
 * all facts only those of the proof, and what else derives them, are looked at. */
#include "exec/why_internal.h"

/* Heights of facts [first, end). */
static void look_up(struct fuse_why *why, int first, int end) {
    for (int r = 0; r < why->relations; r++) {
        const struct fuse_why_relation *relation = &why->relation[r];
        const int columns = relation->rule->columns;
        struct fuse_run ids = {.words = columns + 1};
        struct fuse_arena_mark mark = fuse_arena_mark(why->scratch);
        int64_t n = 0;
        for (int f = first; f < end; f++)
            n += why->facts.at[f].relation == r;
        if (n == 0)
            continue;
        int64_t *height = FUSE_NEW_ARRAY(why->scratch, int64_t, n);
        if (relation->staged) {
            if (!fuse_run_reserve(&ids, &why->ledger, n))
                fuse_comm_abort(why->comm, FUSE_EMEMORY); /* peers look for the same */
            for (int f = first; f < end; f++)
                if (why->facts.at[f].relation == r)
                    memcpy(fuse_run_row(&ids, ids.n++), &why->id.at[why->facts.at[f].ids],
                           (size_t)columns * sizeof(int64_t));
            fuse_why_look_stages(why, r, &ids, height);
        } else
            for (int64_t i = 0; i < n; i++)
                height[i] = fuse_why_is_leaf(relation->rule) ? 0 : -1;
        for (int f = first, k = 0; f < end; f++)
            if (why->facts.at[f].relation == r) {
                why->facts.at[f].height = (int)height[k++];
                why->facts.at[f].is_given = why->facts.at[f].height == 0;
            }
        fuse_run_close(&ids, &why->ledger);
        fuse_arena_rewind(why->scratch, mark);
    }
}

/* Takes the first of a fact's instances whose premises have less height. */
static void choose(struct fuse_why *why, int f) {
    struct fuse_why_fact *fact = &why->facts.at[f];
    for (int i = fact->instance; i >= 0; i = why->instances.at[i].next)
        if (fuse_why_is_below(why, &why->instances.at[i], fact->height) &&
            (fact->chosen < 0 || fuse_why_is_before(why, i, fact->chosen)))
            fact->chosen = i;
}

static bool is_open(const struct fuse_why *why, const struct fuse_why_rule *rule, int f) {
    const struct fuse_why_fact *fact = &why->facts.at[f];
    return fact->relation == rule->first_relation + rule->rule->head && fact->height > 0 && fact->chosen < 0;
}

/* Of some facts those that the rule derives get their instance. Earlier rules come first. */
static void apply(struct fuse_why *why, int number, const int *fact, int n) {
    const struct fuse_why_rule *rule = &why->rule[number];
    const bool is_square = why->relation[rule->first_relation + rule->rule->head].square == number;
    const int before = why->facts.n;
    struct fuse_run bindings = {.words = rule->width};
    for (int k = 0; k < n; k++)
        if (is_open(why, rule, fact[k])) {
            if (!is_square)
                (void)fuse_why_unify(why, rule, &why->id.at[why->facts.at[fact[k]].ids], (uint64_t)fact[k], &bindings);
            else if (why->facts.at[fact[k]].instance < 0)
                fuse_why_cut_path(why, number, fact[k]);
        }
    fuse_why_join(why, number, fuse_why_head_variables(why, rule), &bindings);
    for (int64_t i = 0; i < bindings.n; i++)
        fuse_why_add_instance(why, number, fuse_run_row(&bindings, i));
    fuse_run_close(&bindings, &why->ledger);
    look_up(why, before, why->facts.n);
    for (int k = 0; k < n; k++)
        if (is_open(why, rule, fact[k]))
            choose(why, fact[k]);
}

static void show(struct fuse_why *why, int f) {
    if (why->facts.at[f].is_shown)
        return;
    why->facts.at[f].is_shown = true;
    fuse_vec_push(why->arena, &why->paths, f);
}

enum fuse_status fuse_why_trace(bool *found, struct fuse_why *why, int goal, struct fuse_error *err) {
    why->paths.n = 0; /* of facts that the search would cut; here: those of the proof */
    show(why, goal);
    look_up(why, goal, why->facts.n);
    *found = why->facts.at[goal].height >= 0;
    for (int first = 0, end; *found && first < why->paths.n; first = end) {
        end = why->paths.n;
        for (int k = 0; k < why->rules; k++)
            apply(why, k, why->paths.at + first, end - first);
        int64_t failed = why->status != FUSE_OK;
        FUSE_TRY(why->comm->ops->reduce_int64(why->comm, FUSE_REDUCE_MAX, &failed, 1, err));
        if (failed) {
            *err = why->error;
            return fuse_agree(why->comm, why->status, err);
        }
        for (int k = first; k < end; k++) {
            const struct fuse_why_fact *fact = &why->facts.at[why->paths.at[k]];
            if (fact->height == 0)
                continue;
            if (fact->chosen < 0) { /* only where there was too much to look at */
                *found = false;
                return FUSE_OK;
            }
            const struct fuse_why_instance *chosen = &why->instances.at[fact->chosen];
            for (int p = 0; p < why->rule[chosen->rule].positives; p++)
                show(why, why->premise.at[chosen->premises + p]);
        }
    }
    return FUSE_OK;
}
