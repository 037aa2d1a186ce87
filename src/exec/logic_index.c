/* Where tuples are: which rank a tuple belongs to, and which indexes there are. */
#include "exec/logic_internal.h"

#define PASSES 4 /* weight of a column that rules pass on, against one that they join */

static uint64_t bit(int k) {
    return (uint64_t)1 << k;
}

/* ---- homes ---- */

static void vote(const struct fuse_rules *rules, const struct fuse_rule *rule, int a, int relation,
                 int64_t votes[FUSE_MAX_AXES]) {
    const struct fuse_rule_atom *atom = &rule->atom[a];
    if (atom->relation != relation || atom->is_negated)
        return;
    uint64_t others = 0;
    for (int b = 0; b < rule->atoms; b++)
        if (b != a && !rule->atom[b].is_negated)
            others |= fuse_rule_atom_variables(rules, &rule->atom[b]);
    for (int c = 0; c < rules->relation[relation].columns; c++) {
        const struct fuse_rule_term term = atom->term[c];
        if (term.variable < 0 || term.offset != 0)
            continue;
        votes[c] += (others >> term.variable & 1) != 0;
        if (rule->head == relation && rule->term[c].variable == term.variable && rule->term[c].offset == 0)
            votes[c] += PASSES;
    }
}

/* Columns of a part of a rule that say where it is derived: the variable by which the relation lies that it is derived from. 0: none. */
static uint64_t home_of_part(const struct fuse_logic *logic, int part) {
    const struct fuse_rules *rules = logic->rules;
    const struct fuse_rule *rule = NULL;
    for (int k = 0; k < rules->rules; k++)
        if (rules->rule[k].head == part)
            rule = &rules->rule[k];
    for (int a = 0; rule && a < rule->atoms; a++) {
        const struct fuse_rule_atom *atom = &rule->atom[a];
        const uint64_t home = logic->relation[atom->relation].home;
        if (rules->relation[atom->relation].stratum != rules->relation[part].stratum || __builtin_popcountll(home) != 1)
            continue;
        const struct fuse_rule_term term = atom->term[__builtin_ctzll(home)];
        for (int c = 0; c < rules->relation[part].columns; c++)
            if (term.variable >= 0 && term.offset == 0 && rule->term[c].variable == term.variable)
                return bit(c);
    }
    return 0;
}

void fuse_logic_choose_homes(struct fuse_logic *logic) {
    const struct fuse_rules *rules = logic->rules;
    for (int r = 0; r < rules->relations; r++) {
        const int columns = rules->relation[r].columns;
        int64_t votes[FUSE_MAX_AXES] = {0};
        int best = -1;
        for (int k = 0; k < rules->rules; k++)
            for (int a = 0; a < rules->rule[k].atoms; a++)
                vote(rules, &rules->rule[k], a, r, votes);
        for (int c = 0; c < columns; c++)
            if (votes[c] > (best < 0 ? 0 : votes[best]))
                best = c;
        /* What is given may have ids that most tuples share: all columns together spread it. */
        if (logic->relation[r].is_finished)
            continue;
        const bool is_by_one = best >= 0 && rules->relation[r].stratum >= 0 && !logic->relation[r].is_spread;
        logic->relation[r].home = is_by_one ? bit(best) : bit(columns) - 1;
        const uint64_t home = logic->copies_parts && r >= logic->asked ? home_of_part(logic, r) : 0;
        if (home)
            logic->relation[r].home = home;
    }
}

/* Of ids that are packed in rows, those of some columns. */
static struct fuse_route route_by(const struct fuse_rule_packing *packing, uint64_t columns, int first_word,
                                  struct fuse_arena *arena) {
    struct fuse_route route = {.kind = FUSE_ROUTE_HASH};
    route.id = FUSE_NEW_ARRAY(arena, struct fuse_route_id, packing->columns + 1);
    for (int c = 0; c < packing->columns; c++)
        if (columns >> c & 1)
            route.id[route.ids++] = (struct fuse_route_id){
                .word = first_word + packing->word[c], .shift = packing->shift[c], .mask = packing->mask[c]};
    return route;
}

struct fuse_route fuse_logic_home_route(const struct fuse_logic *logic, int relation, struct fuse_arena *arena) {
    return route_by(&logic->relation[relation].packing, logic->relation[relation].home, 0, arena);
}

/* ---- indexes ---- */

static bool arrive_in_index(struct fuse_flow *flow, const uint64_t *rows, int64_t n) {
    if (fuse_index_add(flow->index, &flow->logic->ledger, rows, n))
        return true;
    fuse_logic_refuse(flow->logic, flow->relation);
    return false;
}

/* Rows wait until all are there, and then take no more room than they need. */
bool fuse_logic_arrive_in_run(struct fuse_flow *flow, const uint64_t *rows, int64_t n) {
    struct fuse_run *run = flow->run;
    if (!fuse_run_reserve(run, &flow->logic->ledger, n)) {
        fuse_logic_refuse(flow->logic, flow->relation);
        return false;
    }
    if (n > 0)
        memcpy(fuse_run_row(run, run->n), rows, (size_t)n * (size_t)run->words * 8);
    run->n += n;
    return true;
}

static struct fuse_rule_packing pack_columns(const struct fuse_rule_relation *relation, uint64_t columns) {
    int64_t extent[FUSE_MAX_AXES];
    int n = 0;
    for (int c = 0; c < relation->columns; c++)
        if (columns >> c & 1)
            extent[n++] = relation->extent[c];
    return fuse_rule_pack(n, extent);
}

static bool fits_narrow(const struct fuse_rule_packing *packing) {
    if (packing->words != 1)
        return false;
    for (int c = 0; c < packing->columns; c++)
        if (packing->mask[c] << packing->shift[c] > UINT32_MAX)
            return false;
    return true;
}

/* From rows of the relation to key, rest and value. */
static void compile_feed(struct fuse_logic *logic, struct fuse_logic_index *index) {
    struct fuse_arena *arena = logic->scratch;
    const struct fuse_logic_relation *relation = &logic->relation[index->relation];
    const struct fuse_rule_relation *rule = relation->rule;
    const int key_words = index->key_packing.words, rest_words = index->rest ? index->rest_packing.words : 0;
    struct fuse_flow *flow = &index->feed;
    flow->segments = 1;
    flow->segment = FUSE_NEW(arena, struct fuse_flow_segment);
    struct fuse_pipeline *pipeline = &flow->segment->pipeline;
    struct fuse_pipeline_level *level = FUSE_NEW(arena, struct fuse_pipeline_level);
    *pipeline = (struct fuse_pipeline){.levels = 1,
                                       .level = level,
                                       .words = key_words + rest_words + index->has_value,
                                       .part = FUSE_NEW_ARRAY(arena, struct fuse_pipeline_part, rule->columns + 1)};
    *level =
        (struct fuse_pipeline_level){.words = index->is_growing ? fuse_logic_row_words(relation) : relation->rows.words,
                                     .take = FUSE_NEW_ARRAY(arena, struct fuse_pipeline_take, rule->columns + 1)};
    uint64_t taken = 0;
    for (int c = 0; c < rule->columns; c++) {
        struct fuse_pipeline_take take = {.word = relation->packing.word[c],
                                          .shift = relation->packing.shift[c],
                                          .mask = relation->packing.mask[c],
                                          .variable = c,
                                          .extent = rule->extent[c]};
        const bool is_rest = index->rest >> c & 1;
        if (is_rest || (index->key >> c & 1)) {
            const struct fuse_rule_packing *to = is_rest ? &index->rest_packing : &index->key_packing;
            const int k = fuse_logic_place_in(is_rest ? index->rest : index->key, c);
            pipeline->part[pipeline->parts++] =
                (struct fuse_pipeline_part){.word = to->word[k] + (is_rest ? key_words : 0),
                                            .shift = to->shift[k],
                                            .variable = c,
                                            .extent = rule->extent[c]};
        } else if (index->only) {
            /* A variable of its own; where it was first stands for it. */
            const struct fuse_rule_term term = index->only->term[c];
            int first = 0;
            while (index->only->term[first].variable != term.variable)
                first++;
            take.variable = first;
            take.offset = term.offset;
            take.is_test = taken >> first & 1;
            take.extent = index->variable[term.variable].extent;
            taken |= bit(first);
        } else
            continue;
        level->take[level->takes++] = take;
    }
    if (index->has_value) {
        level->values = pipeline->values = 1;
        level->value = FUSE_NEW(arena, struct fuse_pipeline_value);
        *level->value = (struct fuse_pipeline_value){relation->packing.words, 0, rule->dtype};
        pipeline->output = FUSE_NEW(arena, struct fuse_pipeline_output);
        *pipeline->output = (struct fuse_pipeline_output){key_words + rest_words, 0, NULL};
    }
    if (index->is_everywhere)
        flow->segment->route.kind = FUSE_ROUTE_ALL;
    else if (index->at != relation->home) {
        uint64_t at = 0;
        for (int c = 0; c < rule->columns; c++)
            if (index->at >> c & 1)
                at |= bit(fuse_logic_place_in(index->key, c));
        flow->segment->route = route_by(&index->key_packing, at, 0, arena);
    }
    flow->relation = index->relation;
    flow->index = &index->index;
    flow->arrive = arrive_in_index;
    if (!index->is_growing && pipeline->words > key_words) {
        flow->arrive = fuse_logic_arrive_in_run;
        flow->run = FUSE_NEW(arena, struct fuse_run);
        flow->run->words = pipeline->words;
    }
    fuse_flow_open(flow, logic, arena);
}

static int64_t dense_keys(const struct fuse_logic *logic, const struct fuse_logic_index *index) {
    const struct fuse_rule_packing *packing = &index->key_packing;
    int64_t keys = 1;
    if (packing->words != 1)
        return 0;
    for (int c = 0; c < packing->columns; c++)
        keys = fuse_sat_mul(keys, (int64_t)packing->mask[c] + 1);
    const int64_t rows = logic->relation[index->relation].total + logic->given_rows;
    return keys <= fuse_sat_add(1024, fuse_sat_mul(4, rows)) ? keys : 0;
}

const struct fuse_logic_index *fuse_logic_need_index(struct fuse_logic *logic, const struct fuse_logic_index *wanted) {
    struct fuse_logic_index **at = &logic->index;
    for (; *at; at = &(*at)->next) {
        const struct fuse_logic_index *have = *at;
        if (have->relation == wanted->relation && have->only == wanted->only && have->key == wanted->key &&
            have->rest == wanted->rest && have->has_value == wanted->has_value &&
            have->is_everywhere == wanted->is_everywhere && have->at == wanted->at)
            return have;
    }
    struct fuse_logic_index *index = *at = FUSE_NEW(logic->scratch, struct fuse_logic_index);
    const struct fuse_rule_relation *rule = logic->relation[wanted->relation].rule;
    *index = *wanted;
    index->next = NULL;
    index->is_growing = rule->stratum == logic->stratum;
    index->key_packing = pack_columns(rule, index->key);
    index->rest_packing = pack_columns(rule, index->rest);
    const int words = (index->rest ? index->rest_packing.words : 0) + index->has_value;
    fuse_index_open(&index->index, index->key_packing.words, words,
                    words == 1 && !index->has_value && fits_narrow(&index->rest_packing), dense_keys(logic, index));
    compile_feed(logic, index);
    return index;
}
