/* Why a fact does not hold: how far its rules get. */
#include "exec/why_internal.h"

#define MOST ((int64_t)1 << 23) /* bindings of a rule */

/* The binding with the first ids of variables. */
static const uint64_t *first_of(const struct fuse_why_rule *rule, const struct fuse_run *bindings) {
    const uint64_t *first = fuse_run_row(bindings, 0);
    for (int64_t i = 1; i < bindings->n; i++) {
        const uint64_t *other = fuse_run_row(bindings, i);
        for (int v = 0; v < rule->rule->variables; v++) {
            const uint64_t a = other[fuse_why_variable(v)], b = first[fuse_why_variable(v)];
            if (a < b)
                first = other;
            if (a != b)
                break;
        }
    }
    return first;
}

/* A rule on its way, for a fact that does not hold. */
struct pursuit {
    struct fuse_why *why;
    struct fuse_why_lack *best;
    const struct fuse_why_rule *rule;
    int holds;
    uint64_t bound;
    struct fuse_run bindings;
};

static void add(struct fuse_why *why, struct fuse_run *to, const uint64_t *binding) {
    if (!fuse_run_reserve(to, &why->ledger, 1))
        fuse_comm_abort(why->comm, FUSE_EMEMORY);
    memcpy(fuse_run_row(to, to->n++), binding, (size_t)to->words * 8);
}

/* Of a negated atom that has facts, the first one. */
static void find_witness(struct pursuit *p, int atom) {
    struct fuse_run one = {.words = p->rule->width}, found = {.words = p->rule->width};
    add(p->why, &one, p->best->binding);
    fuse_why_extend(p->why, p->rule, atom, p->bound, &one, &found);
    if (found.n > 0) {
        memcpy(p->best->binding, first_of(p->rule, &found), (size_t)p->rule->width * 8);
        p->best->bound |= fuse_rule_atom_variables(p->rule->rules, &p->rule->rule->atom[atom]);
    }
    fuse_run_close(&one, &p->why->ledger);
    fuse_run_close(&found, &p->why->ledger);
}

static void note(struct pursuit *p, int atom) {
    struct fuse_why_lack *best = p->best;
    if (best->rule >= 0 && p->holds <= best->holds)
        return;
    *best = (struct fuse_why_lack){
        .rule = (int)(p->rule - p->why->rule), .holds = p->holds, .atom = atom, .bound = p->bound};
    best->binding = FUSE_NEW_ARRAY(p->why->arena, uint64_t, p->rule->width);
    memcpy(best->binding, first_of(p->rule, &p->bindings), (size_t)p->rule->width * 8);
    if (atom >= 0 && p->rule->rule->atom[atom].is_negated)
        find_witness(p, atom);
}

/* `left` are the bindings that a part of the rule leaves; false: there are none. */
static bool go_on(struct pursuit *p, int atom, struct fuse_run *left) {
    struct fuse_error err = {0};
    if (left->n == 0)
        note(p, atom);
    fuse_run_close(&p->bindings, &p->why->ledger);
    p->bindings = *left;
    p->holds++;
    if (left->n > MOST) {
        fuse_fail(&err, FUSE_EFAILED, "a rule has more than %lld ways to a part of it", (long long)MOST);
        fuse_hint(&err, "ask about what the rule starts from");
        err.rank = -1;
        fuse_why_fail(p->why, FUSE_EFAILED, &err);
    }
    return left->n > 0 && left->n <= MOST;
}

static bool pass_atom(struct pursuit *p, int atom) {
    struct fuse_run left = {.words = p->rule->width};
    fuse_why_extend(p->why, p->rule, atom, p->bound, &p->bindings, &left);
    const bool goes_on = go_on(p, atom, &left);
    p->bound |= goes_on ? fuse_rule_atom_variables(p->rule->rules, &p->rule->rule->atom[atom]) : 0;
    return goes_on;
}

static bool pass_guard(struct pursuit *p) {
    const struct fuse_rule *rule = p->rule->rule;
    struct fuse_run left = {.words = p->rule->width};
    fuse_why_enumerate(p->why, p->rule, p->bound, &p->bindings);
    for (int v = 0; v < rule->variables; v++)
        p->bound |= rule->variable[v].is_free ? (uint64_t)1 << v : 0;
    if (!rule->guard || p->bindings.n == 0)
        return p->bindings.n > 0;
    for (int64_t i = 0; i < p->bindings.n; i++)
        if (fuse_why_evaluate(p->why, p->rule, rule->guard, fuse_run_row(&p->bindings, i)).integer)
            add(p->why, &left, fuse_run_row(&p->bindings, i));
    return go_on(p, -1, &left);
}

static bool pass_negated(struct pursuit *p, int atom) {
    struct fuse_arena_mark mark = fuse_arena_mark(p->why->scratch);
    int64_t *found = FUSE_NEW_ARRAY(p->why->scratch, int64_t, p->bindings.n);
    struct fuse_run left = {.words = p->rule->width};
    fuse_why_has(p->why, p->rule, atom, p->bound, &p->bindings, found);
    for (int64_t i = 0; i < p->bindings.n; i++)
        if (!found[i])
            add(p->why, &left, fuse_run_row(&p->bindings, i));
    fuse_arena_rewind(p->why->scratch, mark);
    return go_on(p, atom, &left);
}

/* Atoms in the order of the program, then the guard, then negated atoms. */
static void pursue(struct pursuit *p, const int64_t *id) {
    const struct fuse_rule *rule = p->rule->rule;
    bool goes_on = fuse_why_unify(p->why, p->rule, id, 0, &p->bindings);
    for (int a = 0; a < rule->atoms && goes_on; a++)
        if (!rule->atom[a].is_negated)
            goes_on = pass_atom(p, a);
    goes_on = goes_on && pass_guard(p);
    for (int a = 0; a < rule->atoms && goes_on; a++)
        if (rule->atom[a].is_negated)
            goes_on = pass_negated(p, a);
    fuse_run_close(&p->bindings, &p->why->ledger);
}

enum fuse_status fuse_why_find_lack(struct fuse_why_lack *out, struct fuse_why *why, int relation, const int64_t *id,
                                    struct fuse_error *err) {
    *out = (struct fuse_why_lack){.rule = -1, .atom = -1};
    for (int k = 0; k < why->rules; k++) {
        const struct fuse_why_rule *rule = &why->rule[k];
        struct pursuit p = {.why = why,
                            .best = out,
                            .rule = rule,
                            .bound = fuse_why_head_variables(why, rule),
                            .bindings = {.words = rule->width}};
        if (rule->first_relation + rule->rule->head == relation)
            pursue(&p, id);
    }
    *err = why->error;
    return fuse_agree(why->comm, why->status, err);
}
