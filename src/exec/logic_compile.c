/* From the rules of a stratum to flows: in which order atoms are joined, and where bindings have to travel between two of them. A
 * function of the rules and of numbers that all ranks have. */
#include "exec/logic_internal.h"

/* Relations of at most so many bytes may be copied to every rank, unless there is a limit of which it would be more than an eighth. */
#define EVERYWHERE ((int64_t)256 << 20)

static uint64_t bit(int k) {
    return (uint64_t)1 << k;
}

/* ---- guards ---- */

struct conjunct {
    struct fuse_pipeline_test test;
    uint64_t variables, atoms;
    bool is_done;
};

static void read_by(const struct fuse_scalar *scalar, uint64_t *variables, uint64_t *atoms) {
    for (int i = 0; i < scalar->n; i++)
        if (scalar->node[i].op == FUSE_SCALAR_IOTA)
            *variables |= bit(scalar->node[i].arg);
        else if (scalar->node[i].op == FUSE_SCALAR_LOAD)
            *atoms |= bit(scalar->node[i].arg);
}

/* The part of an expression below one of its nodes. */
static const struct fuse_scalar *extract(struct fuse_arena *arena, const struct fuse_scalar *scalar, int root) {
    bool *is_used = FUSE_NEW_ARRAY(arena, bool, scalar->n);
    int *moved = FUSE_NEW_ARRAY(arena, int, scalar->n);
    struct fuse_scalar *part = FUSE_NEW(arena, struct fuse_scalar);
    part->node = FUSE_NEW_ARRAY(arena, struct fuse_scalar_node, root + 1);
    is_used[root] = true;
    for (int i = root; i >= 0; i--) {
        const int argument[] = {scalar->node[i].a, scalar->node[i].b, scalar->node[i].c};
        for (int k = 0; is_used[i] && k < 3; k++)
            if (argument[k] >= 0)
                is_used[argument[k]] = true;
    }
    for (int i = 0; i <= root; i++) {
        if (!is_used[i])
            continue;
        struct fuse_scalar_node node = scalar->node[i];
        node.a = node.a < 0 ? -1 : moved[node.a];
        node.b = node.b < 0 ? -1 : moved[node.b];
        node.c = node.c < 0 ? -1 : moved[node.c];
        moved[i] = part->n;
        part->node[part->n++] = node;
    }
    return part;
}

/* A comparison of ids needs no expression. */
static void simplify_test(struct fuse_pipeline_test *test) {
    const struct fuse_scalar_node *node = test->scalar->node;
    if (test->scalar->n != 3 || node[2].a != 0 || node[2].b != 1 || node[0].op != FUSE_SCALAR_IOTA ||
        node[0].dtype != FUSE_I64 || node[1].dtype != FUSE_I64)
        return;
    const bool is_constant = node[1].op == FUSE_SCALAR_CONST;
    if ((!is_constant && node[1].op != FUSE_SCALAR_IOTA) ||
        (node[2].op != FUSE_SCALAR_LT && node[2].op != FUSE_SCALAR_LE && node[2].op != FUSE_SCALAR_EQ &&
         node[2].op != FUSE_SCALAR_NE))
        return;
    *test = (struct fuse_pipeline_test){.op = node[2].op,
                                        .a = node[0].arg,
                                        .b = is_constant ? -1 : node[1].arg,
                                        .constant = is_constant ? node[1].integer : 0};
}

static int split_guard(struct fuse_arena *arena, const struct fuse_scalar *guard, int root, struct conjunct *part,
                       int n, bool *was_seen) {
    if (was_seen[root])
        return n;
    was_seen[root] = true;
    if (guard->node[root].op == FUSE_SCALAR_AND) {
        n = split_guard(arena, guard, guard->node[root].a, part, n, was_seen);
        return split_guard(arena, guard, guard->node[root].b, part, n, was_seen);
    }
    part[n] = (struct conjunct){.test.scalar = extract(arena, guard, root)};
    read_by(part[n].test.scalar, &part[n].variables, &part[n].atoms);
    simplify_test(&part[n].test);
    return n + 1;
}

/* ---- versions ---- */

/* A version that is being made, level by level. */
struct work {
    struct fuse_logic *logic;
    struct fuse_arena *arena;
    const struct fuse_rule *rule;
    int first; /* the relation that is read */
    struct fuse_flow *flow;
    struct fuse_pipeline *pipeline;  /* of the last segment */
    uint64_t bound, joined, negated; /* variables; positive atoms; negated atoms that were looked at */
    uint64_t
        binds[FUSE_RULE_ATOMS + FUSE_RULE_VARIABLES + 2]; /* variables that each level of the segment binds first */
    int places, place[FUSE_MAX_AXES]; /* variables by whose hash bindings lie on ranks; places < 0: anywhere */
    int conjuncts;
    struct conjunct *conjunct;
    uint64_t value_variables, value_atoms;
};

static void open_segment(struct work *w) {
    const int most = w->rule->atoms + w->rule->variables + 2;
    struct fuse_flow_segment *segment = &w->flow->segment[w->flow->segments++];
    segment->rule = w->rule;
    w->pipeline = &segment->pipeline;
    w->pipeline->level = FUSE_NEW_ARRAY(w->arena, struct fuse_pipeline_level, most);
    for (int c = 0; c < w->conjuncts; c++) {
        const struct fuse_scalar *scalar = w->conjunct[c].test.scalar;
        if (scalar && scalar->n > w->pipeline->scalar_nodes)
            w->pipeline->scalar_nodes = scalar->n;
    }
    if (w->rule->value && w->rule->value->n > w->pipeline->scalar_nodes)
        w->pipeline->scalar_nodes = w->rule->value->n;
}

static struct fuse_pipeline_level *add_level(struct work *w, enum fuse_pipeline_kind kind, uint64_t binds) {
    struct fuse_pipeline_level *level = &w->pipeline->level[w->pipeline->levels];
    level->kind = kind;
    w->binds[w->pipeline->levels++] = binds & ~w->bound;
    w->bound |= binds;
    return level;
}

/* Tests that can be made behind the last level. */
static void add_tests(struct work *w) {
    struct fuse_pipeline_level *level = &w->pipeline->level[w->pipeline->levels - 1];
    level->test = FUSE_NEW_ARRAY(w->arena, struct fuse_pipeline_test, w->conjuncts);
    for (int c = 0; c < w->conjuncts; c++) {
        struct conjunct *part = &w->conjunct[c];
        if (part->is_done || (part->variables & ~w->bound) || (part->atoms & ~w->joined))
            continue;
        part->is_done = true;
        level->test[level->tests++] = part->test;
    }
}

/* How an id in a row binds the term's variable. */
static struct fuse_pipeline_take take_of(const struct work *w, const struct fuse_rule_term *term, int64_t extent,
                                         const struct fuse_rule_packing *packing, int k, bool is_test) {
    struct fuse_pipeline_take take = {.word = packing->word[k],
                                      .shift = packing->shift[k],
                                      .mask = packing->mask[k],
                                      .variable = term->variable,
                                      .offset = term->offset,
                                      .is_test = is_test};
    if (term->variable >= 0) {
        take.extent = w->rule->variable[term->variable].extent;
        take.is_sure = term->offset == 0 && take.extent >= extent;
    }
    return take;
}

static bool loads_value(const struct work *w, int a) {
    const struct fuse_rule_atom *atom = &w->rule->atom[a];
    if (atom->is_support || w->logic->relation[atom->relation].values == 0)
        return false;
    if (w->value_atoms >> a & 1)
        return true;
    for (int c = 0; c < w->conjuncts; c++)
        if (w->conjunct[c].atoms >> a & 1)
            return true;
    return false;
}

static void take_value(struct work *w, struct fuse_pipeline_level *level, int a, int word) {
    level->value = FUSE_NEW(w->arena, struct fuse_pipeline_value);
    *level->value = (struct fuse_pipeline_value){word, a, w->logic->relation[w->rule->atom[a].relation].rule->dtype};
    level->values = 1;
}

/* Bindings lie where the tuples of these columns of an atom do. */
static void place_by(struct work *w, const struct fuse_rule_term *term, int columns, uint64_t at) {
    w->places = 0;
    for (int c = 0; c < columns; c++) {
        if (!(at >> c & 1))
            continue;
        if (term[c].variable < 0 || term[c].offset != 0) {
            w->places = -1;
            return;
        }
        w->place[w->places++] = term[c].variable;
    }
}

/* Whether rows that lie by these columns are where the bindings are. */
static bool is_placed_by(const struct work *w, const struct fuse_rule_term *term, int columns, uint64_t at) {
    int n = 0;
    for (int c = 0; c < columns; c++)
        if (at >> c & 1) {
            if (n >= w->places || term[c].variable != w->place[n] || term[c].offset != 0)
                return false;
            n++;
        }
    return n == w->places;
}

/* Columns of an atom that have, in their order, the variables by which bindings lie; 0: there are none. */
static uint64_t columns_in_place(const struct work *w, const struct fuse_rule_term *term, uint64_t key) {
    uint64_t at = 0;
    int c = 0;
    for (int p = 0; p < w->places; p++, c++) {
        while (c < FUSE_MAX_AXES && !((key >> c & 1) && term[c].variable == w->place[p] && term[c].offset == 0))
            c++;
        if (c == FUSE_MAX_AXES)
            return 0;
        at |= bit(c);
    }
    return at;
}

static void read_first(struct work *w, int a, bool is_delta) {
    const struct fuse_rule_atom *atom = &w->rule->atom[a];
    const struct fuse_logic_relation *relation = &w->logic->relation[atom->relation];
    w->first = atom->relation;
    struct fuse_pipeline_level *level =
        add_level(w, FUSE_PIPELINE_ROWS, fuse_rule_atom_variables(w->logic->rules, atom));
    uint64_t taken = 0;
    level->words = is_delta ? fuse_logic_row_words(relation) : relation->rows.words;
    level->take = FUSE_NEW_ARRAY(w->arena, struct fuse_pipeline_take, relation->rule->columns + 1);
    for (int c = 0; c < relation->rule->columns; c++) {
        const struct fuse_rule_term *term = &atom->term[c];
        bool is_test = term->variable >= 0 && (taken >> term->variable & 1);
        taken |= term->variable >= 0 ? bit(term->variable) : 0;
        level->take[level->takes++] = take_of(w, term, relation->rule->extent[c], &relation->packing, c, is_test);
    }
    if (loads_value(w, a))
        take_value(w, level, a, relation->packing.words);
    w->joined |= bit(a);
    place_by(w, atom->term, relation->rule->columns, relation->home);
    add_tests(w);
}

/* What later levels and the head want to know. */
static void needed_later(const struct work *w, uint64_t *variables, uint64_t *atoms) {
    const struct fuse_rules *rules = w->logic->rules;
    *variables = w->value_variables;
    *atoms = w->value_atoms;
    for (int c = 0; c < rules->relation[w->rule->head].columns; c++)
        if (w->rule->term[c].variable >= 0)
            *variables |= bit(w->rule->term[c].variable);
    for (int c = 0; c < w->conjuncts; c++)
        if (!w->conjunct[c].is_done) {
            *variables |= w->conjunct[c].variables;
            *atoms |= w->conjunct[c].atoms;
        }
    for (int a = 0; a < w->rule->atoms; a++)
        if (!((w->joined | w->negated) >> a & 1))
            *variables |= fuse_rule_atom_variables(rules, &w->rule->atom[a]);
    *variables &= w->bound;
    *atoms &= w->joined;
}

/* Facts are facts after the first witness. */
static void set_resume(struct work *w) {
    struct fuse_pipeline *pipeline = w->pipeline;
    uint64_t put_out = 0;
    pipeline->resume = pipeline->levels - 1;
    if (w->logic->rules->relation[w->rule->head].dtype != FUSE_BOOL)
        return;
    for (int p = 0; p < pipeline->parts; p++)
        put_out |= pipeline->part[p].variable >= 0 ? bit(pipeline->part[p].variable) : 0;
    while (pipeline->resume > 0 && !(w->binds[pipeline->resume] & put_out))
        pipeline->resume--;
}

/* Bindings travel to the ranks that have an atom's rows, by these of its columns; 0: to all. */
static void send_bindings(struct work *w, const struct fuse_rule_atom *atom, uint64_t at) {
    const int columns = w->logic->rules->relation[atom->relation].columns;
    uint64_t variables, atoms;
    int64_t extent[FUSE_RULE_VARIABLES];
    int slot[FUSE_RULE_VARIABLES], n = 0;
    needed_later(w, &variables, &atoms);
    for (int v = 0; v < w->rule->variables; v++)
        if (variables >> v & 1) {
            extent[n] = w->rule->variable[v].extent;
            slot[v] = n++;
        }
    /* More ids than a tuple may have columns go in several parts. */
    struct fuse_rule_packing packing[FUSE_RULE_VARIABLES / FUSE_MAX_AXES + 1];
    int first_word[FUSE_RULE_VARIABLES / FUSE_MAX_AXES + 1], words = 0;
    for (int k = 0; k == 0 || k * FUSE_MAX_AXES < n; k++) {
        const int part = n - k * FUSE_MAX_AXES < FUSE_MAX_AXES ? n - k * FUSE_MAX_AXES : FUSE_MAX_AXES;
        packing[k] = fuse_rule_pack(part, extent + k * FUSE_MAX_AXES);
        first_word[k] = words;
        words += packing[k].words;
    }
    struct fuse_flow_segment *from = &w->flow->segment[w->flow->segments - 1];
    struct fuse_pipeline *out = w->pipeline;
    out->part = FUSE_NEW_ARRAY(w->arena, struct fuse_pipeline_part, n + 1);
    out->output = FUSE_NEW_ARRAY(w->arena, struct fuse_pipeline_output, w->rule->atoms);
    open_segment(w);
    struct fuse_pipeline_level *level = &w->pipeline->level[0];
    level->take = FUSE_NEW_ARRAY(w->arena, struct fuse_pipeline_take, n + 1);
    level->value = FUSE_NEW_ARRAY(w->arena, struct fuse_pipeline_value, w->rule->atoms);
    for (int v = 0; v < w->rule->variables; v++) {
        if (!(variables >> v & 1))
            continue;
        const int k = slot[v] / FUSE_MAX_AXES, c = slot[v] % FUSE_MAX_AXES;
        const int word = first_word[k] + packing[k].word[c];
        out->part[out->parts++] = (struct fuse_pipeline_part){
            .word = word, .shift = packing[k].shift[c], .variable = v, .extent = w->rule->variable[v].extent};
        level->take[level->takes++] = (struct fuse_pipeline_take){.word = word,
                                                                  .shift = packing[k].shift[c],
                                                                  .mask = packing[k].mask[c],
                                                                  .variable = v,
                                                                  .extent = w->rule->variable[v].extent,
                                                                  .is_sure = true};
    }
    for (int a = 0; a < w->rule->atoms; a++)
        if ((atoms >> a & 1) && loads_value(w, a)) {
            out->output[out->values++] = (struct fuse_pipeline_output){words, a, NULL};
            level->value[level->values++] =
                (struct fuse_pipeline_value){words++, a, w->logic->relation[w->rule->atom[a].relation].rule->dtype};
        }
    level->words = out->words = words;
    from->route = (struct fuse_route){.kind = at ? FUSE_ROUTE_HASH : FUSE_ROUTE_ALL,
                                      .id = FUSE_NEW_ARRAY(w->arena, struct fuse_route_id, columns + 1)};
    for (int c = 0; c < columns; c++) {
        if (!(at >> c & 1))
            continue;
        const struct fuse_rule_term term = atom->term[c];
        struct fuse_route_id id = {.is_constant = term.variable < 0, .offset = term.offset};
        if (term.variable >= 0) {
            const int k = slot[term.variable] / FUSE_MAX_AXES, s = slot[term.variable] % FUSE_MAX_AXES;
            id.word = first_word[k] + packing[k].word[s];
            id.shift = packing[k].shift[s];
            id.mask = packing[k].mask[s];
        }
        from->route.id[from->route.ids++] = id;
    }
    struct fuse_pipeline *next = w->pipeline;
    w->pipeline = out;
    set_resume(w);
    w->pipeline = next;
    w->pipeline->levels = 1;
    level->kind = FUSE_PIPELINE_ROWS;
    w->binds[0] = w->bound;
    place_by(w, atom->term, columns, at);
    w->places = at ? w->places : -1;
}

int64_t fuse_logic_copied_bytes(const struct fuse_logic *logic) {
    if (logic->request.copied_bytes != 0)
        return logic->request.copied_bytes < 0 ? 1 : logic->request.copied_bytes;
    return logic->ledger.most > 0 ? logic->ledger.most / 8 : EVERYWHERE;
}

bool fuse_logic_may_copy(const struct fuse_logic *logic, int relation) {
    const struct fuse_logic_relation *r = &logic->relation[relation];
    if (r->rule->stratum == logic->stratum)
        return logic->copies_parts && relation >= logic->asked;
    return fuse_sat_mul(r->total, 16 * fuse_logic_row_words(r)) <= fuse_logic_copied_bytes(logic);
}

/* Whether one rank would get much more than its share of an index, because of a key that many rows have. */
static bool is_skewed(const struct fuse_logic *logic, const struct fuse_logic_index *index) {
    const struct fuse_logic_relation *r = &logic->relation[index->relation];
    if (index->key == 0 || index->rest == 0)
        return false;
    if (r->is_spread && r->rule->stratum == logic->stratum)
        return true;
    if (!r->is_weighed)
        return false;
    for (int c = 0; c < r->rule->columns; c++)
        if ((index->key >> c & 1) && r->heaviest[c] <= r->total / (2 * logic->comm->size))
            return false;
    return true;
}

/* Every rank has some of the rows, and sees all bindings; those that are left are where the rows are. */
static void meet_everywhere(struct work *w, const struct fuse_rule_atom *atom, const struct fuse_logic_index *index) {
    send_bindings(w, atom, 0);
    place_by(w, atom->term, w->logic->relation[atom->relation].rule->columns, index->at);
}

/* Says where the rows of an index have to be for the bindings, and moves the bindings if that is what it takes. */
static void meet(struct work *w, const struct fuse_rule_atom *atom, struct fuse_logic_index *index) {
    const struct fuse_logic_relation *relation = &w->logic->relation[atom->relation];
    const int columns = relation->rule->columns;
    index->at = relation->home;
    if (w->logic->comm->size == 1)
        return;
    if (is_skewed(w->logic, index)) {
        meet_everywhere(w, atom, index);
        return;
    }
    if (!(relation->home & ~index->key) && w->places >= 0 && is_placed_by(w, atom->term, columns, relation->home))
        return;
    /* Parts of rules are few and go to all ranks, so that what they are joined with stays. */
    if (w->first >= w->logic->asked && w->logic->copies_parts && relation->rule->stratum == w->logic->stratum) {
        meet_everywhere(w, atom, index);
        return;
    }
    uint64_t in_place = w->places > 0 ? columns_in_place(w, atom->term, index->key) : 0;
    if (in_place != 0) {
        index->at = in_place;
        return;
    }
    if (fuse_logic_may_copy(w->logic, atom->relation) || (atom->is_negated && index->key == 0)) {
        index->is_everywhere = true;
        index->at = 0;
        return;
    }
    if (index->key == 0)
        send_bindings(w, atom, 0); /* a product: each rank has its rows */
    else {
        index->at = (relation->home & ~index->key) || relation->home == 0 ? index->key : relation->home;
        send_bindings(w, atom, index->at);
    }
}

/* Columns whose ids are known: constants and bound variables. */
static uint64_t known_columns(const struct work *w, const struct fuse_rule_atom *atom) {
    uint64_t key = 0;
    for (int c = 0; c < w->logic->rules->relation[atom->relation].columns; c++)
        if (atom->term[c].variable < 0 || (w->bound >> atom->term[c].variable & 1))
            key |= bit(c);
    return key;
}

static void write_key(struct work *w, struct fuse_pipeline_level *level, const struct fuse_rule_atom *atom,
                      const struct fuse_logic_index *index) {
    const struct fuse_rule_relation *relation = &w->logic->rules->relation[atom->relation];
    level->index = &index->index;
    level->part = FUSE_NEW_ARRAY(w->arena, struct fuse_pipeline_part, relation->columns + 1);
    for (int c = 0; c < relation->columns; c++)
        if (index->key >> c & 1) {
            const int k = fuse_logic_place_in(index->key, c);
            level->part[level->parts++] = (struct fuse_pipeline_part){.word = index->key_packing.word[k],
                                                                      .shift = index->key_packing.shift[k],
                                                                      .variable = atom->term[c].variable,
                                                                      .offset = atom->term[c].offset,
                                                                      .extent = relation->extent[c]};
        }
}

static void join_atom(struct work *w, int a) {
    const struct fuse_rule_atom *atom = &w->rule->atom[a];
    const struct fuse_rule_relation *relation = &w->logic->rules->relation[atom->relation];
    struct fuse_logic_index wanted = {
        .relation = atom->relation, .key = known_columns(w, atom), .has_value = loads_value(w, a)};
    wanted.rest = (bit(relation->columns) - 1) & ~wanted.key;
    meet(w, atom, &wanted);
    const struct fuse_logic_index *index = fuse_logic_need_index(w->logic, &wanted);
    uint64_t taken = w->bound;
    struct fuse_pipeline_level *level =
        add_level(w, FUSE_PIPELINE_FIND, fuse_rule_atom_variables(w->logic->rules, atom));
    write_key(w, level, atom, index);
    level->take = FUSE_NEW_ARRAY(w->arena, struct fuse_pipeline_take, relation->columns + 1);
    for (int c = 0; c < relation->columns; c++)
        if (index->rest >> c & 1) {
            const struct fuse_rule_term *term = &atom->term[c];
            level->take[level->takes++] = take_of(w, term, relation->extent[c], &index->rest_packing,
                                                  fuse_logic_place_in(index->rest, c), taken >> term->variable & 1);
            taken |= bit(term->variable);
        }
    if (wanted.has_value)
        take_value(w, level, a, index->index.words - 1);
    w->joined |= bit(a);
    add_tests(w);
}

/* Whether a negated atom's own variables say more than that there is some id. */
static bool is_choosy(const struct work *w, const struct fuse_rule_atom *atom, uint64_t key) {
    const struct fuse_rule_relation *relation = &w->logic->rules->relation[atom->relation];
    uint64_t seen = 0;
    for (int c = 0; c < relation->columns; c++) {
        if (key >> c & 1)
            continue;
        const struct fuse_rule_term *term = &atom->term[c];
        if (term->offset != 0 || (seen >> term->variable & 1) ||
            w->rule->variable[term->variable].extent < relation->extent[c])
            return true;
        seen |= bit(term->variable);
    }
    return false;
}

/* Negated atoms whose variables are bound, but for their own. */
static void look_at_negated(struct work *w, bool is_end) {
    const uint64_t positive = fuse_rule_bound_variables(w->logic->rules, w->rule);
    for (int a = 0; a < w->rule->atoms; a++) {
        const struct fuse_rule_atom *atom = &w->rule->atom[a];
        if (!atom->is_negated || (w->negated >> a & 1))
            continue;
        uint64_t to_bind = 0;
        for (int v = 0; v < w->rule->variables; v++)
            if (w->rule->variable[v].is_free || (positive >> v & 1))
                to_bind |= bit(v);
        if (to_bind & fuse_rule_atom_variables(w->logic->rules, atom) & ~w->bound)
            continue;
        /* On many ranks the lookup may cost a journey: rather of the few bindings that are left at the end. */
        if (!is_end && w->logic->comm->size > 1 && !fuse_logic_may_copy(w->logic, atom->relation))
            continue;
        struct fuse_logic_index wanted = {.relation = atom->relation, .key = known_columns(w, atom)};
        if (is_choosy(w, atom, wanted.key))
            wanted.only = atom, wanted.variable = w->rule->variable;
        meet(w, atom, &wanted);
        const struct fuse_logic_index *index = fuse_logic_need_index(w->logic, &wanted);
        struct fuse_pipeline_level *level = add_level(w, FUSE_PIPELINE_ABSENT, 0);
        write_key(w, level, atom, index);
        w->negated |= bit(a);
        add_tests(w);
    }
}

/* Whether ranks share the ids of the first one. */
static bool enumerate_free(struct work *w, bool is_shared) {
    bool was_shared = false;
    for (int v = 0; v < w->rule->variables; v++) {
        if (!w->rule->variable[v].is_free || (w->bound >> v & 1))
            continue;
        struct fuse_pipeline_level *level = add_level(w, FUSE_PIPELINE_IDS, bit(v));
        const int64_t extent = w->rule->variable[v].extent;
        level->variable = v;
        level->end = extent;
        if (is_shared) { /* each rank has its part */
            level->begin = fuse_split_begin(extent, w->logic->comm->size, w->logic->comm->rank);
            level->end = fuse_split_begin(extent, w->logic->comm->size, w->logic->comm->rank + 1);
            was_shared = true;
            is_shared = false;
        }
        add_tests(w);
        look_at_negated(w, false);
    }
    return was_shared;
}

bool fuse_logic_arrive_in_set(struct fuse_flow *flow, const uint64_t *rows, int64_t n) {
    struct fuse_logic *logic = flow->logic;
    struct fuse_logic_relation *relation = &logic->relation[flow->relation];
    bool nan = false;
    logic->derived += n;
    if (relation->collects) {
        flow->run = &relation->collected;
        return fuse_logic_arrive_in_run(flow, rows, n);
    }
    if (!fuse_set_add(&relation->set, &logic->ledger, rows, fuse_logic_row_words(relation), n,
                      (uint64_t)logic->turn + 1, relation->set.kind == FUSE_SET_TOTAL ? NULL : &relation->fresh,
                      &nan)) {
        fuse_logic_refuse(logic, flow->relation);
        return false;
    }
    if (nan) {
        struct fuse_error err = {0};
        const char *name = relation->rule->name;
        if (flow->segment[0].rule)
            fuse_fail_at(&err, FUSE_EFAILED, flow->segment[0].rule->span, "NaN in '%s'", name);
        else
            fuse_fail(&err, FUSE_EFAILED, "NaN in '%s'", name);
        fuse_hint(&err, "values that are compared for the smallest or largest must be numbers");
        fuse_logic_fail(logic, FUSE_EFAILED, &err);
        return false;
    }
    return true;
}

static void put_out_head(struct work *w) {
    struct fuse_logic_relation *head = &w->logic->relation[w->rule->head];
    const int columns = head->rule->columns;
    struct fuse_pipeline *pipeline = w->pipeline;
    pipeline->words = fuse_logic_row_words(head);
    pipeline->part = FUSE_NEW_ARRAY(w->arena, struct fuse_pipeline_part, columns + 1);
    for (int c = 0; c < columns; c++)
        pipeline->part[pipeline->parts++] = (struct fuse_pipeline_part){.word = head->packing.word[c],
                                                                        .shift = head->packing.shift[c],
                                                                        .variable = w->rule->term[c].variable,
                                                                        .offset = w->rule->term[c].offset,
                                                                        .extent = head->rule->extent[c]};
    if (head->values > 0) {
        pipeline->output = FUSE_NEW(w->arena, struct fuse_pipeline_output);
        *pipeline->output = (struct fuse_pipeline_output){head->packing.words, -1, w->rule->value};
        pipeline->values = 1;
    }
    set_resume(w);
    struct fuse_flow_segment *last = &w->flow->segment[w->flow->segments - 1];
    if (w->places < 0 || !is_placed_by(w, w->rule->term, columns, head->home))
        last->route = fuse_logic_home_route(w->logic, w->rule->head, w->arena);
    w->flow->relation = w->rule->head;
    w->flow->arrive = fuse_logic_arrive_in_set;
    fuse_flow_open(w->flow, w->logic, w->arena);
}

static void compile_version(struct fuse_logic *logic, const struct fuse_rule *rule, int first, bool is_delta,
                            const int64_t *sizes) {
    struct fuse_logic_version *version = FUSE_NEW(logic->scratch, struct fuse_logic_version), **end = &logic->version;
    int order[FUSE_RULE_ATOMS];
    const int n = fuse_rule_order(order, logic->rules, rule, first, sizes);
    *version = (struct fuse_logic_version){.rule = rule, .first = n > 0 ? order[0] : -1, .is_delta = is_delta};
    while (*end)
        end = &(*end)->next;
    *end = version;
    struct work w = {
        .logic = logic, .arena = logic->scratch, .rule = rule, .flow = &version->flow, .first = -1, .places = -1};
    version->flow.segment = FUSE_NEW_ARRAY(w.arena, struct fuse_flow_segment, rule->atoms + 2);
    if (rule->guard) {
        w.conjunct = FUSE_NEW_ARRAY(w.arena, struct conjunct, rule->guard->n + 1);
        w.conjuncts = split_guard(w.arena, rule->guard, rule->guard->n - 1, w.conjunct, 0,
                                  FUSE_NEW_ARRAY(w.arena, bool, rule->guard->n));
    }
    if (rule->value)
        read_by(rule->value, &w.value_variables, &w.value_atoms);
    open_segment(&w);
    if (n == 0) {
        add_level(&w, FUSE_PIPELINE_ONCE, 0);
        add_tests(&w);
    } else
        read_first(&w, order[0], is_delta);
    look_at_negated(&w, false);
    for (int k = 1; k < n; k++) {
        join_atom(&w, order[k]);
        look_at_negated(&w, false);
    }
    version->is_shared = enumerate_free(&w, n == 0);
    look_at_negated(&w, true);
    put_out_head(&w);
}

void fuse_logic_compile(struct fuse_logic *logic) {
    const struct fuse_rules *rules = logic->rules;
    int64_t *sizes = FUSE_NEW_ARRAY(logic->scratch, int64_t, rules->relations + 1), largest = 1;
    for (int r = 0; r < rules->relations; r++)
        if (rules->relation[r].stratum < logic->stratum) {
            sizes[r] = logic->relation[r].total;
            largest = sizes[r] > largest ? sizes[r] : largest;
        }
    for (int r = 0; r < rules->relations; r++)
        if (rules->relation[r].stratum >= logic->stratum)
            sizes[r] = largest;
    for (int k = 0; k < rules->rules; k++) {
        const struct fuse_rule *rule = &rules->rule[k];
        if (rules->relation[rule->head].stratum != logic->stratum)
            continue;
        if (!fuse_rule_is_recursive(rules, rule)) {
            compile_version(logic, rule, -1, false, sizes);
            continue;
        }
        for (int a = 0; a < rule->atoms; a++)
            if (!rule->atom[a].is_negated && rules->relation[rule->atom[a].relation].stratum == logic->stratum) {
                compile_version(logic, rule, a, true, sizes);
                if (logic->request.is_naive)
                    break;
            }
    }
}
