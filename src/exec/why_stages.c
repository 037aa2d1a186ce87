/* Stages: the turn in which each fact came about. The rules are evaluated once more, from what they were given, all in one stratum: what
 * is negated, summed, or the value of a minimum or maximum is finished already. So a fact comes about in the turn that is the least
 * height of its proofs, whatever strata they go through.
 *
 *     R(x, z) = E(x, z)                       staged R(x, z) = E(x, z)
 *     R(x, z) = R(x, y) E(y, z)          ->   staged R(x, z) = staged R(x, y) E(y, z)
 *     D[y] min= D[x] + W[x, y]                staged D(y) = staged D(x) D[x] W[x, y] D[y] when D[x] + W[x, y] == D[y]
 *
 * For one fact, only what its proofs can have is looked at, which is found from the fact down, again by rules:
 *
 *     asked R(x, y) = asked R(x, z) R(x, y) E(y, z)
 *
 * where each rule has one such atom. Of rules with two, all instances would be joined for that: as much as it takes to do without. */
#include "exec/why_internal.h"

#define ROWS 1024 /* given at a time */

struct staging {
    struct fuse_why *why;
    struct fuse_arena *arena;
    bool is_for_one;
    FUSE_VEC(struct fuse_rule_relation) relation;
    FUSE_VEC(int) source; /* of each: the relation that its tuples are from, -1: rules */
    FUSE_VEC(enum fuse_why_part) part;
    FUSE_VEC(struct fuse_rule) rule;
    /* [relations] of canonical ones; -1: none yet */
    int *finished, *given, *staged, *asked;
    bool *is_wanted; /* [relations] proofs can have facts of it */
};

static int canonical_of(const struct staging *s, const struct fuse_why_rule *rule, int atom) {
    return fuse_why_of_atom(s->why, rule, atom)->canonical;
}

static bool is_proved(const struct staging *s, int relation) {
    return !fuse_why_is_leaf(s->why->relation[relation].rule);
}

/* ---- relations ---- */

static int add_relation(struct staging *s, int like, const char *what, int stratum, int source,
                        enum fuse_why_part part) {
    struct fuse_rule_relation made = *s->why->relation[like].rule;
    made.name = fuse_arena_printf(s->arena, "%s%s", what, made.name);
    made.stratum = stratum;
    made.asks = 0;
    made.asked_columns = 0;
    made.mean = false;
    if (stratum >= 0) {
        made.dtype = FUSE_BOOL;
        made.combine = FUSE_REDUCE_OR;
    }
    fuse_vec_push(s->arena, &s->relation, made);
    fuse_vec_push(s->arena, &s->source, source);
    fuse_vec_push(s->arena, &s->part, part);
    return s->relation.n - 1;
}

/* All tuples of a relation; -1: it has no rows, which only its own rules read. */
static int finished_of(struct staging *s, int canonical) {
    const struct fuse_why *why = s->why;
    for (int r = 0; r < why->relations && s->finished[canonical] < 0; r++)
        if (why->relation[r].canonical == canonical && fuse_why_has_rows(&why->relation[r]))
            s->finished[canonical] = add_relation(s, r, "", -1, r, FUSE_WHY_ALL);
    return s->finished[canonical];
}

static int staged_of(struct staging *s, int canonical) {
    if (s->staged[canonical] < 0)
        s->staged[canonical] = add_relation(s, canonical, "stages of ", s->is_for_one, -1, FUSE_WHY_ALL);
    return s->staged[canonical];
}

static int asked_of(struct staging *s, int canonical) {
    if (s->asked[canonical] < 0)
        s->asked[canonical] = add_relation(s, canonical, "asked of ", 0, -1, FUSE_WHY_ALL);
    return s->asked[canonical];
}

/* ---- rules ---- */

static int add_atom(struct fuse_rule *made, int relation, const struct fuse_rule_atom *like) {
    made->atom[made->atoms] = *like;
    made->atom[made->atoms].relation = relation;
    return made->atoms++;
}

static int add_head(struct fuse_rule *made, int relation, const struct fuse_rule *rule) {
    const struct fuse_rule_atom atom = {.term = rule->term};
    return add_atom(made, relation, &atom);
}

static bool reads_value(const struct fuse_scalar *scalar, int atom) {
    for (int i = 0; scalar && i < scalar->n; i++)
        if (scalar->node[i].op == FUSE_SCALAR_LOAD && scalar->node[i].arg == atom)
            return true;
    return false;
}

/* Appends an expression whose atoms have got other numbers; the node of its result. An atom that is left out is of facts. */
static int add_scalar(struct fuse_scalar *to, const struct fuse_scalar *from, const int *place) {
    const int first = to->n;
    for (int i = 0; i < from->n; i++) {
        struct fuse_scalar_node *node = &to->node[to->n++];
        *node = from->node[i];
        node->a += node->a >= 0 ? first : 0;
        node->b += node->b >= 0 ? first : 0;
        node->c += node->c >= 0 ? first : 0;
        if (node->op != FUSE_SCALAR_LOAD)
            continue;
        if (place[node->arg] < 0)
            *node = (struct fuse_scalar_node){
                .op = FUSE_SCALAR_CONST, .dtype = node->dtype, .a = -1, .b = -1, .c = -1, .integer = 1, .real = 1};
        else
            node->arg = place[node->arg];
    }
    return to->n - 1;
}

static int add_node(struct fuse_scalar *to, enum fuse_scalar_op op, enum fuse_dtype dtype, int a, int b, int arg) {
    to->node[to->n] = (struct fuse_scalar_node){.op = op, .dtype = dtype, .a = a, .b = b, .c = -1, .arg = arg};
    return to->n++;
}

/* The rule's guard, and that its value is the one that the head has. */
static const struct fuse_scalar *guard_of(struct staging *s, const struct fuse_rule *rule, const int *place, int head) {
    const int nodes = (rule->guard ? rule->guard->n : 0) + (rule->value ? rule->value->n : 0) + 3;
    struct fuse_scalar *guard = FUSE_NEW(s->arena, struct fuse_scalar);
    int result = -1;
    guard->node = FUSE_NEW_ARRAY(s->arena, struct fuse_scalar_node, nodes);
    if (rule->guard)
        result = add_scalar(guard, rule->guard, place);
    if (rule->value) {
        const int value = add_scalar(guard, rule->value, place);
        const int has = add_node(guard, FUSE_SCALAR_LOAD, guard->node[value].dtype, -1, -1, head);
        const int same = add_node(guard, FUSE_SCALAR_EQ, FUSE_BOOL, value, has, 0);
        if (result >= 0)
            add_node(guard, FUSE_SCALAR_AND, FUSE_BOOL, result, same, 0);
    }
    return guard->n > 0 ? guard : NULL;
}

static struct fuse_rules view(const struct staging *s) {
    return (struct fuse_rules){
        .relations = s->relation.n, .relation = s->relation.at, .rules = s->rule.n, .rule = s->rule.at, .strata = 2};
}

/* Variables that only left atoms had take all ids. */
static void free_variables(struct staging *s, struct fuse_rule *made, const struct fuse_why_rule *of) {
    const struct fuse_rules rules = view(s);
    const uint64_t before = fuse_rule_bound_variables(of->rules, of->rule),
                   bound = fuse_rule_bound_variables(&rules, made);
    made->variable = FUSE_NEW_ARRAY(s->arena, struct fuse_rule_variable, made->variables + 1);
    for (int v = 0; v < made->variables; v++) {
        made->variable[v] = of->rule->variable[v];
        made->variable[v].is_free = !(bound >> v & 1) && (made->variable[v].is_free || (before >> v & 1));
    }
}

/* The rule as one of stages, or, `atom` >= 0, as one that asks for that atom's facts. */
static void add_rule(struct staging *s, int number, int atom) {
    const struct fuse_why_rule *of = &s->why->rule[number];
    const struct fuse_rule *rule = of->rule;
    const int head = of->first_relation + rule->head;
    struct fuse_rule made = *rule;
    int place[FUSE_RULE_ATOMS], head_at = -1;
    made.atom = FUSE_NEW_ARRAY(s->arena, struct fuse_rule_atom, 2 * rule->atoms + 2);
    made.atoms = 0;
    for (int a = 0; a < rule->atoms; a++) {
        const int c = canonical_of(s, of, a);
        const bool is_staged = atom < 0 && !rule->atom[a].is_negated && is_proved(s, c);
        const bool has_value = s->why->relation[c].rule->dtype != FUSE_BOOL && !rule->atom[a].is_support &&
                               (reads_value(rule->guard, a) || reads_value(rule->value, a));
        struct fuse_rule_atom plain = rule->atom[a];
        place[a] = -1;
        if (is_staged) {
            plain.is_support = false;
            place[a] = add_atom(&made, staged_of(s, c), &plain);
        }
        if ((!is_staged || has_value) && finished_of(s, c) >= 0)
            place[a] = add_atom(&made, finished_of(s, c), &rule->atom[a]);
    }
    if (rule->value)
        head_at = add_head(&made, finished_of(s, head), rule);
    if (s->is_for_one)
        add_head(&made, asked_of(s, head), rule);
    made.guard = guard_of(s, rule, place, head_at);
    made.value = NULL;
    made.head = atom < 0 ? staged_of(s, head) : asked_of(s, canonical_of(s, of, atom));
    if (atom >= 0)
        made.term = rule->atom[atom].term;
    free_variables(s, &made, of);
    fuse_vec_push(s->arena, &s->rule, made);
}

/* Values that were given are as good a proof as a source where they are the best. Facts that were given are told to stages directly. */
static void add_given(struct staging *s, int c) {
    const struct fuse_rule_relation *relation = s->why->relation[c].rule;
    struct fuse_rule made = {.head = staged_of(s, c), .variables = relation->columns, .atoms = 2};
    s->given[c] = add_relation(s, c, "given ", -1, c, FUSE_WHY_GIVEN);
    for (int k = 0; k < s->why->rules; k++)
        if (s->why->rule[k].first_relation + s->why->rule[k].rule->head == c)
            made.span = s->why->rule[k].rule->span;
    made.term = FUSE_NEW_ARRAY(s->arena, struct fuse_rule_term, relation->columns + 1);
    made.variable = FUSE_NEW_ARRAY(s->arena, struct fuse_rule_variable, relation->columns + 1);
    made.atom = FUSE_NEW_ARRAY(s->arena, struct fuse_rule_atom, 2);
    for (int v = 0; v < relation->columns; v++) {
        made.term[v] = (struct fuse_rule_term){.variable = v};
        made.variable[v] = (struct fuse_rule_variable){.extent = relation->extent[v]};
    }
    made.atom[0] = (struct fuse_rule_atom){.relation = s->given[c], .term = made.term};
    made.atom[1] = (struct fuse_rule_atom){.relation = finished_of(s, c), .term = made.term};
    struct fuse_scalar *guard = FUSE_NEW(s->arena, struct fuse_scalar);
    guard->node = FUSE_NEW_ARRAY(s->arena, struct fuse_scalar_node, 3);
    add_node(guard, FUSE_SCALAR_LOAD, relation->dtype, -1, -1, 0);
    add_node(guard, FUSE_SCALAR_LOAD, relation->dtype, -1, -1, 1);
    add_node(guard, FUSE_SCALAR_EQ, FUSE_BOOL, 0, 1, 0);
    made.guard = guard;
    fuse_vec_push(s->arena, &s->rule, made);
}

/* The relations that proofs of some can have facts of. */
static void find_wanted(struct staging *s, int relation) {
    const struct fuse_why *why = s->why;
    for (int r = 0; r < why->relations; r++)
        s->is_wanted[r] = why->relation[r].canonical == r && is_proved(s, r) && (relation < 0 || r == relation);
    for (bool changed = relation >= 0; changed;) {
        changed = false;
        for (int k = 0; k < why->rules; k++)
            for (int a = 0;
                 a < why->rule[k].rule->atoms && s->is_wanted[why->rule[k].first_relation + why->rule[k].rule->head];
                 a++) {
                const int c = canonical_of(s, &why->rule[k], a);
                if (why->rule[k].rule->atom[a].is_negated || !is_proved(s, c) || s->is_wanted[c])
                    continue;
                s->is_wanted[c] = changed = true;
            }
    }
}

/* Whether no rule has two atoms that are proved. */
static bool is_linear(const struct staging *s) {
    for (int k = 0; k < s->why->rules; k++) {
        const struct fuse_why_rule *rule = &s->why->rule[k];
        int proved = 0;
        for (int a = 0; a < rule->rule->atoms; a++)
            proved += !rule->rule->atom[a].is_negated && is_proved(s, canonical_of(s, rule, a));
        if (proved > 1 && s->is_wanted[rule->first_relation + rule->rule->head])
            return false;
    }
    return true;
}

static void add_question(struct staging *s, int relation, const int64_t *id) {
    const int columns = s->why->relation[relation].rule->columns;
    struct fuse_rule made = {.head = asked_of(s, relation)};
    made.term = FUSE_NEW_ARRAY(s->arena, struct fuse_rule_term, columns + 1);
    for (int c = 0; c < columns; c++)
        made.term[c] = (struct fuse_rule_term){.variable = -1, .offset = id[c]};
    made.atom = FUSE_NEW_ARRAY(s->arena, struct fuse_rule_atom, 1);
    made.variable = FUSE_NEW_ARRAY(s->arena, struct fuse_rule_variable, 1);
    fuse_vec_push(s->arena, &s->rule, made);
}

static void make_rules(struct staging *s, int relation, const int64_t *id) {
    const struct fuse_why *why = s->why;
    find_wanted(s, relation);
    s->is_for_one = relation >= 0 && is_linear(s);
    if (s->is_for_one)
        add_question(s, relation, id);
    for (int r = 0; r < why->relations; r++)
        if (s->is_wanted[r]) {
            (void)staged_of(s, r);
            if (why->relation[r].given > 0 && why->relation[r].rule->dtype != FUSE_BOOL)
                add_given(s, r);
        }
    for (int k = 0; k < why->rules; k++) {
        const struct fuse_rule *rule = why->rule[k].rule;
        if (!s->is_wanted[why->rule[k].first_relation + rule->head])
            continue;
        add_rule(s, k, -1);
        for (int a = 0; a < rule->atoms && s->is_for_one; a++)
            if (!rule->atom[a].is_negated && is_proved(s, canonical_of(s, &why->rule[k], a)))
                add_rule(s, k, a);
    }
}

/* ---- tuples ---- */

/* This rank's rows of a relation that are finished, or were given to it, for relation `to`. */
static enum fuse_status give(struct fuse_why *why, struct fuse_logic *logic, int to, int from, enum fuse_why_part part,
                             struct fuse_error *err) {
    const struct fuse_logic_relation *r = why->relation[from].at_work;
    const struct fuse_run *run = part == FUSE_WHY_GIVEN ? &r->kept : &r->rows;
    struct fuse_arena_mark mark = fuse_arena_mark(why->scratch);
    struct fuse_logic_rows rows = {0};
    int64_t *id[FUSE_MAX_AXES];
    uint64_t *value = FUSE_NEW_ARRAY(why->scratch, uint64_t, ROWS);
    enum fuse_status status = FUSE_OK;
    for (int c = 0; c < r->packing.columns; c++)
        rows.id[c] = id[c] = FUSE_NEW_ARRAY(why->scratch, int64_t, ROWS);
    rows.value = value;
    for (int64_t first = 0; first < run->n && status == FUSE_OK; first += ROWS) {
        rows.n = run->n - first < ROWS ? run->n - first : ROWS;
        for (int64_t i = 0; i < rows.n; i++) {
            const uint64_t *row = fuse_run_row(run, first + i);
            for (int c = 0; c < r->packing.columns; c++)
                id[c][i] = fuse_rule_unpack_id(&r->packing, row, c);
            if (r->values)
                value[i] = row[r->packing.words];
        }
        status = fuse_logic_add(logic, to, &rows, err);
    }
    fuse_arena_rewind(why->scratch, mark);
    return status;
}

static enum fuse_status give_all(struct staging *s, struct fuse_logic *logic, struct fuse_error *err) {
    for (int r = 0; r < s->relation.n; r++)
        if (s->source.at[r] >= 0)
            FUSE_TRY(give(s->why, logic, r, s->source.at[r], s->part.at[r], err));
    for (int c = 0; c < s->why->relations; c++)
        if (s->staged[c] >= 0 && s->given[c] < 0)
            FUSE_TRY(give(s->why, logic, s->staged[c], c, FUSE_WHY_GIVEN, err));
    return FUSE_OK;
}

/* What relations leave of this rank's memory; 0: there is no limit. */
static int64_t room_of(const struct fuse_exec *exec) {
    const int64_t room = fuse_exec_relation_room(exec);
    return room == INT64_MAX ? 0 : room;
}

/* ---- all of it ---- */

static int *numbers(struct staging *s) {
    int *number = FUSE_NEW_ARRAY(s->arena, int, s->why->relations + 1);
    for (int r = 0; r < s->why->relations; r++)
        number[r] = -1;
    return number;
}

/* Only stages are kept, in the order of their ids, so that facts are found in them. */
static enum fuse_status keep(struct staging *s, struct fuse_logic *logic, struct fuse_error *err) {
    struct fuse_why *why = s->why;
    for (int r = 0; r < s->relation.n; r++)
        if (s->source.at[r] >= 0 || (s->is_for_one && s->relation.at[r].stratum == 0))
            fuse_logic_drop(logic, r);
    for (int c = 0; c < why->relations; c++) {
        if (s->staged[c] < 0)
            continue;
        struct fuse_logic_relation *staged = &logic->relation[s->staged[c]];
        if (!fuse_run_sort(&staged->rows, &logic->ledger, staged->packing.words))
            fuse_logic_refuse(logic, s->staged[c]);
        staged->is_sorted = true;
        why->relation[c].staged = staged;
    }
    why->before_stages = logic->first_turn - 1;
    return fuse_logic_agree(logic, err);
}

enum fuse_status fuse_why_count_stages(struct fuse_why *why, int relation, const int64_t *id, struct fuse_error *err) {
    struct staging s = {.why = why, .arena = why->whole};
    struct fuse_logic_report report;
    s.finished = numbers(&s);
    s.given = numbers(&s);
    s.staged = numbers(&s);
    s.asked = numbers(&s);
    s.is_wanted = FUSE_NEW_ARRAY(s.arena, bool, why->relations + 1);
    make_rules(&s, relation, id);
    struct fuse_rules *rules = FUSE_NEW(s.arena, struct fuse_rules);
    *rules = view(&s);
    rules->strata = 1 + s.is_for_one;
    FUSE_TRY(fuse_rules_verify(rules, err));
    const struct fuse_logic_request request = {.rules = rules,
                                               .comm = why->comm,
                                               .memory_bytes = room_of(why->exec),
                                               .threads = why->exec->request->threads,
                                               .takes_turns = true,
                                               .keeps_stages = true};
    enum fuse_status status = fuse_logic_open(&why->stages, &request, err);
    if (status == FUSE_OK)
        status = give_all(&s, why->stages, err);
    FUSE_TRY(fuse_agree(why->comm, status, err));
    FUSE_TRY(fuse_logic_run(why->stages, &report, err));
    return keep(&s, why->stages, err);
}

void fuse_why_forget_stages(struct fuse_why *why) {
    fuse_logic_close(why->stages);
    why->stages = NULL;
    for (int r = 0; r < why->relations; r++) {
        struct fuse_why_copy *copy = &why->relation[r].copy[FUSE_WHY_STAGED];
        fuse_run_close(&copy->rows, &why->ledger);
        copy->is_there = false;
        why->relation[r].staged = NULL;
        for (struct fuse_why_index *index = why->relation[r].index; index; index = index->next)
            if (index->part == FUSE_WHY_STAGED && index->is_made) {
                fuse_index_close(&index->index, &why->ledger);
                index->is_made = false;
            }
    }
}
