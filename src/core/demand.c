#include "core/demand_internal.h"

#define SMALL 16 /* a relation may say where to begin when it has so many times fewer tuples than there are ids */

static uint64_t bit(int k) {
    return fuse_demand_bit(k);
}

struct fuse_rules fuse_demand_view(const struct fuse_demand_draft *d) {
    return (struct fuse_rules){d->relation.n, d->rule.n, d->demand->rules->strata, d->relation.at, d->rule.at};
}

int fuse_demand_add_relation(struct fuse_demand_draft *d, const struct fuse_rule_relation *relation, bool is_given) {
    fuse_vec_push(d->arena, &d->relation, *relation);
    fuse_vec_push(d->arena, &d->is_given, is_given);
    fuse_vec_push(d->arena, &d->is_kept, false);
    fuse_vec_push(d->arena, &d->is_asked, false);
    fuse_vec_push(d->arena, &d->columns, (uint64_t)0);
    return d->relation.n - 1;
}

struct fuse_rule_term *fuse_demand_plain_terms(struct fuse_demand_draft *d, int columns) {
    struct fuse_rule_term *term = FUSE_NEW_ARRAY(d->arena, struct fuse_rule_term, columns + 1);
    for (int c = 0; c < columns; c++)
        term[c] = (struct fuse_rule_term){.variable = c};
    return term;
}

/* ---- how bindings pass from atom to atom ---- */

struct passing {
    uint64_t known[FUSE_RULE_ATOMS];  /* columns of an atom whose ids are known when it is its turn */
    uint32_t before[FUSE_RULE_ATOMS]; /* positive atoms that were joined before it, from which they are known */
};

static uint64_t known_columns(const struct fuse_rule_term *term, int columns, uint64_t bound) {
    uint64_t known = 0;
    for (int c = 0; c < columns; c++)
        if (term[c].variable < 0 || (bound >> term[c].variable & 1))
            known |= bit(c);
    return known;
}

static bool is_derived(const struct fuse_demand_draft *d, int relation) {
    return d->relation.at[relation].stratum >= 0;
}

/* Whether to begin at all tuples of an atom. */
static bool is_small(const struct fuse_demand_draft *d, const struct fuse_rule *rule,
                     const struct fuse_rule_atom *atom) {
    const struct fuse_rule_relation *relation = &d->relation.at[atom->relation];
    if (is_derived(d, atom->relation) || atom->relation >= d->demand->rules->relations ||
        d->demand->most[atom->relation] > INT64_MAX / SMALL)
        return false;
    for (int c = 0; c < relation->columns; c++)
        if (atom->term[c].variable >= 0 &&
            d->demand->most[atom->relation] * SMALL > rule->variable[atom->term[c].variable].extent)
            return false;
    return true;
}

/* The next atom that shares something known, or that is small: those that are there before others, and of more known columns. */
static int next_atom(const struct fuse_demand_draft *d, const struct fuse_rule *rule, uint32_t done, uint64_t bound) {
    int best = -1, most = -1;
    for (int a = 0; a < rule->atoms; a++) {
        const struct fuse_rule_atom *atom = &rule->atom[a];
        const int columns = d->relation.at[atom->relation].columns;
        const uint64_t known = known_columns(atom->term, columns, bound);
        if (atom->is_negated || (done >> a & 1) || (known == 0 && columns > 0 && !is_small(d, rule, atom)))
            continue;
        const int worth = __builtin_popcountll(known) + (is_derived(d, atom->relation) ? 0 : FUSE_MAX_AXES + 1);
        if (worth > most) {
            best = a;
            most = worth;
        }
    }
    return best;
}

static void pass(struct passing *p, const struct fuse_demand_draft *d, const struct fuse_rule *rule) {
    const struct fuse_rules rules = fuse_demand_view(d);
    uint64_t bound = 0;
    uint32_t done = 0;
    *p = (struct passing){{0}, {0}};
    for (int c = 0; c < d->relation.at[rule->head].columns; c++)
        if ((d->columns.at[rule->head] >> c & 1) && rule->term[c].variable >= 0)
            bound |= bit(rule->term[c].variable);
    for (int a; (a = next_atom(d, rule, done, bound)) >= 0;) {
        const struct fuse_rule_atom *atom = &rule->atom[a];
        p->known[a] = known_columns(atom->term, d->relation.at[atom->relation].columns, bound);
        p->before[a] = done;
        done |= (uint32_t)1 << a;
        bound |= fuse_rule_atom_variables(&rules, atom);
    }
    for (int a = 0; a < rule->atoms; a++)
        if (rule->atom[a].is_negated) {
            p->known[a] = known_columns(rule->atom[a].term, d->relation.at[rule->atom[a].relation].columns, bound);
            p->before[a] = done;
        }
}

/* ---- who is asked by what ---- */

static bool ask(struct fuse_demand_draft *d, int relation, uint64_t columns) {
    if (!is_derived(d, relation))
        return false;
    columns = d->is_kept.at[relation] ? 0 : columns;
    if (d->is_asked.at[relation])
        columns &= d->columns.at[relation];
    const bool is_new = !d->is_asked.at[relation] || columns != d->columns.at[relation];
    d->is_asked.at[relation] = true;
    d->columns.at[relation] = columns;
    return is_new;
}

/* Columns only get fewer, so that this ends. */
static void find_columns(struct fuse_demand_draft *d) {
    const struct fuse_demand *demand = d->demand;
    for (int r = 0; r < d->relation.n; r++) {
        d->is_asked.at[r] = false;
        d->columns.at[r] = 0;
    }
    for (int q = 0; q < demand->questions; q++)
        (void)ask(d, demand->question[q].relation, demand->question[q].columns);
    for (bool changed = true; changed;) {
        changed = false;
        for (int k = 0; k < d->rule.n; k++) {
            struct passing p;
            if (!d->is_asked.at[d->rule.at[k].head])
                continue;
            pass(&p, d, &d->rule.at[k]);
            for (int a = 0; a < d->rule.at[k].atoms; a++)
                changed |= ask(d, d->rule.at[k].atom[a].relation, p.known[a]);
        }
    }
}

/* ---- rules under demand ---- */

struct rewriting {
    struct fuse_demand_draft *d;
    int *asked;    /* [relations before] the relation that says where another one is asked, -1: it is whole */
    bool overflow; /* a rule has no room for one more atom; its head is kept */
    FUSE_VEC(struct fuse_rule) made;
};

static void add_asked_relation(struct rewriting *w, int relation) {
    struct fuse_demand_draft *d = w->d;
    const struct fuse_rule_relation *of = &d->relation.at[relation];
    struct fuse_rule_relation asked = {.name = fuse_arena_printf(d->arena, "asked %s", of->name),
                                       .dtype = FUSE_BOOL,
                                       .combine = FUSE_REDUCE_OR,
                                       .stratum = of->stratum,
                                       .asks = 1 + relation,
                                       .asked_columns = d->columns.at[relation]};
    for (int c = 0; c < of->columns; c++)
        if (d->columns.at[relation] >> c & 1)
            asked.extent[asked.columns++] = of->extent[c];
    w->asked[relation] = fuse_demand_add_relation(d, &asked, false);
}

/* "asked R" for the terms of an atom or a head of R. */
static struct fuse_rule_atom asked_atom(struct rewriting *w, int relation, const struct fuse_rule_term *term) {
    struct fuse_rule_atom atom = {.relation = w->asked[relation], .term = fuse_demand_plain_terms(w->d, FUSE_MAX_AXES)};
    int n = 0;
    for (int c = 0; c < w->d->relation.at[relation].columns; c++)
        if (w->d->columns.at[relation] >> c & 1)
            atom.term[n++] = term[c];
    return atom;
}

static bool same_terms(const struct fuse_rule_term *a, const struct fuse_rule_term *b, int columns) {
    for (int c = 0; c < columns; c++)
        if (a[c].variable != b[c].variable || a[c].offset != b[c].offset)
            return false;
    return true;
}

/* Whether a positive atom is of the same relation with the same ids where it is asked. */
static bool is_asked_anyway(struct rewriting *w, const struct fuse_rule *rule) {
    const struct fuse_rule_atom head = asked_atom(w, rule->head, rule->term);
    const int columns = w->d->relation.at[head.relation].columns;
    for (int a = 0; a < rule->atoms; a++) {
        const struct fuse_rule_atom *atom = &rule->atom[a];
        if (!atom->is_negated && atom->relation == rule->head &&
            same_terms(asked_atom(w, rule->head, atom->term).term, head.term, columns))
            return true;
    }
    return false;
}

static void add_limited(struct rewriting *w, const struct fuse_rule *rule) {
    struct fuse_demand_draft *d = w->d;
    struct fuse_rule limited = *rule;
    if (w->asked[rule->head] < 0 || is_asked_anyway(w, rule)) {
        fuse_vec_push(d->arena, &w->made, limited);
        return;
    }
    if (rule->atoms == FUSE_RULE_ATOMS) {
        d->is_kept.at[rule->head] = true;
        w->overflow = true;
        return;
    }
    limited.atom = FUSE_NEW_ARRAY(d->arena, struct fuse_rule_atom, rule->atoms + 1);
    limited.variable = FUSE_NEW_ARRAY(d->arena, struct fuse_rule_variable, rule->variables);
    for (int a = 0; a < rule->atoms; a++)
        limited.atom[a] = rule->atom[a];
    for (int v = 0; v < rule->variables; v++)
        limited.variable[v] = rule->variable[v];
    const struct fuse_rule_atom asked = asked_atom(w, rule->head, rule->term);
    for (int c = 0; c < d->relation.at[asked.relation].columns; c++)
        if (asked.term[c].variable >= 0)
            limited.variable[asked.term[c].variable].is_free = false;
    limited.atom[limited.atoms++] = asked;
    fuse_vec_push(d->arena, &w->made, limited);
}

/* Where a rule asks one of its atoms. */
static void add_asking(struct rewriting *w, const struct fuse_rule *rule, const struct passing *p, int a) {
    struct fuse_demand_draft *d = w->d;
    const struct fuse_rule_atom head = asked_atom(w, rule->atom[a].relation, rule->atom[a].term);
    struct fuse_rule asking = {
        .span = rule->span, .head = head.relation, .term = head.term, .variables = rule->variables};
    asking.atom = FUSE_NEW_ARRAY(d->arena, struct fuse_rule_atom, rule->atoms + 1);
    asking.variable = FUSE_NEW_ARRAY(d->arena, struct fuse_rule_variable, rule->variables);
    for (int v = 0; v < rule->variables; v++) {
        asking.variable[v] = rule->variable[v];
        asking.variable[v].is_free = false;
    }
    if (w->asked[rule->head] >= 0) {
        asking.atom[asking.atoms++] = asked_atom(w, rule->head, rule->term);
        if (asking.atom[0].relation == head.relation &&
            same_terms(asking.atom[0].term, head.term, d->relation.at[head.relation].columns))
            return; /* what is asked already */
    }
    for (int b = 0; b < rule->atoms; b++)
        if (p->before[a] >> b & 1) {
            asking.atom[asking.atoms] = rule->atom[b];
            asking.atom[asking.atoms++].is_support = d->relation.at[rule->atom[b].relation].dtype != FUSE_BOOL;
        }
    fuse_vec_push(d->arena, &w->made, asking);
}

static void add_questions(struct rewriting *w) {
    struct fuse_demand_draft *d = w->d;
    for (int q = 0; q < d->demand->questions; q++) {
        const struct fuse_demand_question *question = &d->demand->question[q];
        if (!is_derived(d, question->relation) || w->asked[question->relation] < 0)
            continue;
        struct fuse_rule_term *term = fuse_demand_plain_terms(d, FUSE_MAX_AXES);
        for (int c = 0; c < d->relation.at[question->relation].columns; c++)
            term[c] = (struct fuse_rule_term){.variable = -1, .offset = question->id[c]};
        const struct fuse_rule_atom asked = asked_atom(w, question->relation, term);
        struct fuse_rule fact = {.head = asked.relation, .term = asked.term};
        for (int k = 0; k < d->rule.n; k++)
            if (d->rule.at[k].head == question->relation)
                fact.span = d->rule.at[k].span;
        fact.atom = FUSE_NEW_ARRAY(d->arena, struct fuse_rule_atom, 1);
        fact.variable = FUSE_NEW_ARRAY(d->arena, struct fuse_rule_variable, 1);
        fuse_vec_push(d->arena, &w->made, fact);
    }
}

/* Tuples from outside count where they are asked for, so they come as a relation of their own. */
static void add_given(struct rewriting *w, int r) {
    struct fuse_demand_draft *d = w->d;
    struct fuse_rule_relation given = d->relation.at[r];
    given.name = fuse_arena_printf(d->arena, "given %s", given.name);
    given.stratum = -1;
    const int number = fuse_demand_add_relation(d, &given, true);
    struct fuse_rule rule = {.head = r, .variables = given.columns, .atoms = 2};
    for (int k = 0; k < d->rule.n; k++)
        if (d->rule.at[k].head == r)
            rule.span = d->rule.at[k].span;
    rule.term = fuse_demand_plain_terms(d, given.columns);
    rule.variable = FUSE_NEW_ARRAY(d->arena, struct fuse_rule_variable, given.columns);
    for (int c = 0; c < given.columns; c++)
        rule.variable[c].extent = given.extent[c];
    rule.atom = FUSE_NEW_ARRAY(d->arena, struct fuse_rule_atom, 2);
    rule.atom[0] = (struct fuse_rule_atom){.relation = number, .term = rule.term};
    rule.atom[1] = asked_atom(w, r, rule.term);
    if (given.dtype != FUSE_BOOL) {
        struct fuse_scalar *load = FUSE_NEW(d->arena, struct fuse_scalar);
        *load = (struct fuse_scalar){.n = 1, .node = FUSE_NEW(d->arena, struct fuse_scalar_node)};
        load->node[0] =
            (struct fuse_scalar_node){.op = FUSE_SCALAR_LOAD, .dtype = given.dtype, .a = -1, .b = -1, .c = -1};
        rule.value = load;
    }
    fuse_vec_push(d->arena, &w->made, rule);
    d->is_given.at[r] = false;
    for (int k = 0; k < d->demand->rules->relations; k++)
        if (d->given[k] == r)
            d->given[k] = number;
}

/* false: something must be kept whole, and it is marked. */
static bool rewrite(struct fuse_demand_draft *d) {
    struct rewriting w = {.d = d};
    const int before = d->relation.n;
    w.asked = FUSE_NEW_ARRAY(d->arena, int, 2 * before + 1);
    for (int r = 0; r < before; r++) {
        w.asked[r] = -1;
        if (is_derived(d, r) && d->is_asked.at[r] && d->columns.at[r] != 0)
            add_asked_relation(&w, r);
    }
    add_questions(&w);
    for (int r = 0; r < before; r++)
        if (w.asked[r] >= 0 && d->is_given.at[r])
            add_given(&w, r);
    for (int k = 0; k < d->rule.n; k++) {
        struct passing p;
        const struct fuse_rule *rule = &d->rule.at[k];
        if (!d->is_asked.at[rule->head])
            continue;
        pass(&p, d, rule);
        add_limited(&w, rule);
        for (int a = 0; a < rule->atoms; a++)
            if (w.asked[rule->atom[a].relation] >= 0)
                add_asking(&w, rule, &p, a);
    }
    d->rule.n = w.made.n;
    d->rule.at = w.made.at;
    d->rule.cap = w.made.cap;
    return !w.overflow;
}

/* ---- strata ---- */

struct strata {
    const struct fuse_demand_draft *d;
    int *first_rule, *next_rule; /* of a head; -1 */
    int *number, *low, *stack, *component;
    int visited, height, components;
};

static void visit(struct strata *s, int r) {
    s->number[r] = s->low[r] = ++s->visited;
    s->stack[s->height++] = r;
    for (int k = s->first_rule[r]; k >= 0; k = s->next_rule[k])
        for (int a = 0; a < s->d->rule.at[k].atoms; a++) {
            const int other = s->d->rule.at[k].atom[a].relation;
            if (s->first_rule[other] < 0 || s->component[other] >= 0)
                continue;
            if (s->number[other] == 0)
                visit(s, other);
            s->low[r] = s->low[other] < s->low[r] ? s->low[other] : s->low[r];
        }
    if (s->low[r] != s->number[r])
        return;
    int member;
    do {
        member = s->stack[--s->height];
        s->component[member] = s->components;
    } while (member != r);
    s->components++;
}

/* Components come out behind those that they depend on. */
static const int *find_components(struct fuse_demand_draft *d, int *components) {
    struct strata s = {.d = d};
    const int n = d->relation.n;
    s.first_rule = FUSE_NEW_ARRAY(d->arena, int, n + 1);
    s.next_rule = FUSE_NEW_ARRAY(d->arena, int, d->rule.n + 1);
    s.number = FUSE_NEW_ARRAY(d->arena, int, n + 1);
    s.low = FUSE_NEW_ARRAY(d->arena, int, n + 1);
    s.stack = FUSE_NEW_ARRAY(d->arena, int, n + 1);
    s.component = FUSE_NEW_ARRAY(d->arena, int, n + 1);
    for (int r = 0; r < n; r++)
        s.first_rule[r] = s.component[r] = -1;
    for (int k = d->rule.n - 1; k >= 0; k--) {
        s.next_rule[k] = s.first_rule[d->rule.at[k].head];
        s.first_rule[d->rule.at[k].head] = k;
    }
    for (int r = 0; r < n; r++)
        if (s.first_rule[r] >= 0 && s.component[r] < 0)
            visit(&s, r);
    *components = s.components;
    return s.component;
}

/* What a relation, also one that was added, is there for. */
static int original(const struct fuse_demand_draft *d, int relation) {
    while (d->relation.at[relation].asks > 0)
        relation = d->relation.at[relation].asks - 1;
    return relation;
}

static bool is_value(const struct fuse_demand_draft *d, int relation) {
    return d->relation.at[relation].dtype != FUSE_BOOL;
}

/* Whether an atom may be of the component of its rule's head. */
static bool may_recur(const struct fuse_demand_draft *d, const struct fuse_rule *rule,
                      const struct fuse_rule_atom *atom) {
    const int head = rule->head, other = atom->relation;
    const enum fuse_reduce of_head = d->relation.at[head].combine, of_other = d->relation.at[other].combine;
    if (atom->is_negated || of_head == FUSE_REDUCE_SUM || of_head == FUSE_REDUCE_PROD || of_other == FUSE_REDUCE_SUM ||
        of_other == FUSE_REDUCE_PROD)
        return false;
    /* Strata that were apart stay apart, and so do values and where they are asked for. */
    return is_value(d, head) == is_value(d, other) &&
           d->relation.at[original(d, head)].stratum == d->relation.at[original(d, other)].stratum;
}

/* false: something must be kept whole, and it is marked. */
static bool stratify(struct fuse_demand_draft *d, bool *is_kept, int *strata) {
    const int *component = find_components(d, strata);
    bool may_stay = true;
    for (int k = 0; k < d->rule.n; k++)
        for (int a = 0; a < d->rule.at[k].atoms; a++) {
            const struct fuse_rule *rule = &d->rule.at[k];
            const int head = rule->head, other = rule->atom[a].relation;
            if (component[other] < 0 || component[head] != component[other] || may_recur(d, rule, &rule->atom[a]))
                continue;
            const int first = original(d, head), second = original(d, other);
            const int kept = d->relation.at[first].stratum < d->relation.at[second].stratum ? first : second;
            const bool is_new = !d->is_kept.at[kept];
            is_kept[kept] = true;
            may_stay = false;
            for (int r = 0; !is_new && r < d->relation.n; r++) /* then it is another one that brings them together */
                if (component[r] == component[head] && d->relation.at[r].asks > 0)
                    is_kept[original(d, r)] = true;
        }
    for (int r = 0; may_stay && r < d->relation.n; r++)
        d->relation.at[r].stratum = component[r];
    return may_stay;
}

/* ---- all of it ---- */

static void open_draft(struct fuse_demand_draft *d, struct fuse_arena *arena, const struct fuse_demand *demand,
                       const bool *is_kept, int *given) {
    const struct fuse_rules *rules = demand->rules;
    *d = (struct fuse_demand_draft){.arena = arena, .demand = demand, .given = given};
    for (int r = 0; r < rules->relations; r++) {
        (void)fuse_demand_add_relation(d, &rules->relation[r], demand->is_given[r]);
        d->is_kept.at[r] = is_kept[r];
        given[r] = r;
    }
    for (int k = 0; k < rules->rules; k++)
        fuse_vec_push(arena, &d->rule, rules->rule[k]);
}

/* Relations of the rules that are kept, among those that were added; what is new stands for the recursion that it is of. */
static void keep(const struct fuse_demand_draft *d, bool *is_kept, const bool *found) {
    for (int r = 0; r < d->relation.n; r++) {
        if (!found[r])
            continue;
        if (r < d->demand->rules->relations)
            is_kept[r] = true;
        else
            for (int k = 0; k < d->demand->rules->relations; k++)
                is_kept[k] |= d->relation.at[k].stratum == d->relation.at[r].stratum;
    }
}

const struct fuse_rules *fuse_rules_demand(struct fuse_arena *arena, const struct fuse_demand *demand, int *given) {
    const struct fuse_rules *rules = demand->rules;
    bool *is_kept = FUSE_NEW_ARRAY(arena, bool, rules->relations + 1);
    for (int r = 0; r < rules->relations; r++)
        is_kept[r] = demand->is_given[r] && rules->relation[r].mean; /* a mean of means is another one */
    for (;;) {
        struct fuse_demand_draft d;
        bool any = false;
        int strata = 0;
        open_draft(&d, arena, demand, is_kept, given);
        find_columns(&d);
        fuse_demand_turn_round(&d);
        find_columns(&d);
        for (int r = 0; r < d.relation.n; r++)
            any |= d.columns.at[r] != 0;
        if (!any) {
            for (int r = 0; r < rules->relations; r++)
                given[r] = r;
            return rules;
        }
        bool done = rewrite(&d);
        bool *found = FUSE_NEW_ARRAY(arena, bool, d.relation.n + 1);
        for (int r = 0; r < d.relation.n; r++)
            found[r] = d.is_kept.at[r];
        done = done && stratify(&d, found, &strata);
        if (!done) {
            keep(&d, is_kept, found);
            continue;
        }
        struct fuse_rules *made = FUSE_NEW(arena, struct fuse_rules);
        *made = fuse_demand_view(&d);
        made->strata = strata;
        return made;
    }
}
