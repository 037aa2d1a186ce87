/* Looking into relations that are finished: rows by some of their ids, on this rank and on all. */
#include "exec/why_internal.h"

#include <stdlib.h>

#define COPIED \
    ((int64_t)1 << 19) /* words of rows that every rank may have, so that looking into them needs no messages */
#define SCANS 3        /* of all rows, before there is an index */

void fuse_why_fail(struct fuse_why *why, enum fuse_status status, const struct fuse_error *err) {
    if (why->status != FUSE_OK || status == FUSE_OK)
        return;
    why->status = status;
    why->error = *err;
}

static void refuse(struct fuse_why *why) {
    struct fuse_error err = {0};
    fuse_fail(&err, FUSE_EMEMORY, "not enough memory to look for a proof");
    fuse_why_fail(why, FUSE_EMEMORY, &err);
}

/* ---- rows of this rank ---- */

static const struct fuse_run *rows_of(const struct fuse_why_relation *relation, enum fuse_why_part part) {
    if (relation->copy[part].is_there)
        return &relation->copy[part].rows;
    return part == FUSE_WHY_GIVEN    ? &relation->at_work->kept
           : part == FUSE_WHY_STAGED ? &relation->staged->rows
                                     : &relation->at_work->rows;
}

static bool is_sorted(const struct fuse_why_relation *relation, enum fuse_why_part part) {
    return relation->copy[part].is_there || part == FUSE_WHY_STAGED ||
           (part == FUSE_WHY_ALL && relation->at_work->is_sorted);
}

/* Whether rows in the order of their ids can be found by these columns. */
static bool is_prefix(uint64_t columns) {
    return !(columns & (columns + 1));
}

static struct fuse_why_index *index_of(struct fuse_why *why, struct fuse_why_relation *relation, uint64_t columns,
                                       enum fuse_why_part part) {
    struct fuse_why_index *index = relation->index;
    for (; index; index = index->next)
        if (index->columns == columns && index->part == part)
            return index;
    index = FUSE_NEW(why->whole, struct fuse_why_index);
    *index = (struct fuse_why_index){.next = relation->index, .columns = columns, .part = part};
    relation->index = index;
    return index;
}

static void make_index(struct fuse_why *why, const struct fuse_why_relation *relation, struct fuse_why_index *index) {
    const struct fuse_rule_packing *packing = &relation->at_work->packing;
    const struct fuse_run *rows = rows_of(relation, index->part);
    struct fuse_run keys = {0};
    int64_t extent[FUSE_MAX_AXES], bits = 0;
    int column[FUSE_MAX_AXES], n = 0;
    for (int c = 0; c < packing->columns; c++)
        if (index->columns >> c & 1) {
            column[n] = c;
            extent[n++] = relation->rule->extent[c];
            bits += __builtin_popcountll(packing->mask[c]);
        }
    index->packing = fuse_rule_pack(n, extent);
    keys.words = index->packing.words + 1;
    const bool is_dense = index->packing.words == 1 && bits < 40 && (int64_t)1 << bits <= 4 * rows->n + 1024;
    fuse_index_open(&index->index, index->packing.words, 1, rows->n < UINT32_MAX, is_dense ? (int64_t)1 << bits : 0);
    index->is_made = true;
    index->of = rows->block.at;
    index->of_sorted = is_sorted(relation, index->part);
    if (!fuse_run_reserve(&keys, &why->ledger, rows->n)) {
        refuse(why);
        return;
    }
    for (keys.n = 0; keys.n < rows->n; keys.n++) {
        const uint64_t *row = fuse_run_row(rows, keys.n);
        uint64_t *key = fuse_run_row(&keys, keys.n);
        for (int w = 0; w < index->packing.words; w++)
            key[w] = 0;
        for (int k = 0; k < n; k++)
            key[index->packing.word[k]] |= (uint64_t)fuse_rule_unpack_id(packing, row, column[k])
                                           << index->packing.shift[k];
        key[index->packing.words] = (uint64_t)keys.n;
    }
    if (!fuse_index_build(&index->index, &why->ledger, keys.block.at, keys.n))
        refuse(why);
    fuse_run_close(&keys, &why->ledger);
}

/* The words of a row that has these ids, and which of their bits count. */
struct pattern {
    int words;
    uint64_t wanted[FUSE_RULE_WORDS], care[FUSE_RULE_WORDS];
};

static struct pattern pattern_of(const struct fuse_rule_packing *packing, uint64_t columns, const int64_t *id) {
    struct pattern p = {.words = packing->words};
    for (int c = 0; c < packing->columns; c++)
        if (columns >> c & 1) {
            p.wanted[packing->word[c]] |= (uint64_t)id[c] << packing->shift[c];
            p.care[packing->word[c]] |= packing->mask[c] << packing->shift[c];
        }
    return p;
}

static bool fits(const struct pattern *p, const uint64_t *row) {
    for (int w = 0; w < p->words; w++)
        if ((row[w] & p->care[w]) != p->wanted[w])
            return false;
    return true;
}

/* Rows in the order of their ids, of which the first columns are known. */
static void find_sorted(const struct fuse_run *rows, const struct pattern *p,
                        bool (*visit)(void *context, const uint64_t *row), void *context) {
    int64_t low = 0, high = rows->n;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        const uint64_t *row = fuse_run_row(rows, middle);
        int w = 0;
        while (w < p->words && (row[w] & p->care[w]) == p->wanted[w])
            w++;
        if (w < p->words && (row[w] & p->care[w]) < p->wanted[w])
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < rows->n && fits(p, fuse_run_row(rows, low)); low++)
        if (!visit(context, fuse_run_row(rows, low)))
            return;
}

static void scan(const struct fuse_run *rows, const struct pattern *p,
                 bool (*visit)(void *context, const uint64_t *row), void *context) {
    for (int64_t i = 0; i < rows->n; i++)
        if (fits(p, fuse_run_row(rows, i)) && !visit(context, fuse_run_row(rows, i)))
            return;
}

static void find_indexed(const struct fuse_why_relation *relation, const struct fuse_why_index *index,
                         const int64_t *id, bool (*visit)(void *context, const uint64_t *row), void *context) {
    const struct fuse_run *rows = rows_of(relation, index->part);
    uint64_t key[FUSE_RULE_WORDS] = {0};
    for (int c = 0, k = 0; c < relation->rule->columns; c++)
        if (index->columns >> c & 1) {
            key[index->packing.word[k]] |= (uint64_t)id[c] << index->packing.shift[k];
            k++;
        }
    const struct fuse_list list = fuse_index_find(&index->index, key);
    for (int64_t i = 0; i < list.n; i++) {
        const int64_t row =
            index->index.is_narrow ? ((const uint32_t *)list.at)[i] : (int64_t)((const uint64_t *)list.at)[i];
        if (!visit(context, fuse_run_row(rows, row)))
            return;
    }
}

void fuse_why_find(struct fuse_why *why, int number, uint64_t columns, enum fuse_why_part part, const int64_t *id,
                   bool (*visit)(void *context, const uint64_t *row), void *context) {
    struct fuse_why_relation *relation = &why->relation[number];
    const struct fuse_run *rows = rows_of(relation, part);
    for (int c = 0; c < relation->rule->columns; c++)
        if ((columns >> c & 1) && (id[c] < 0 || id[c] >= relation->rule->extent[c]))
            return;
    const struct pattern p = pattern_of(&relation->at_work->packing, columns, id);
    if (is_sorted(relation, part) && is_prefix(columns)) {
        find_sorted(rows, &p, visit, context);
        return;
    }
    struct fuse_why_index *index = columns == 0 || rows->n < 32 ? NULL : index_of(why, relation, columns, part);
    if (!index || index->scans < SCANS) {
        if (index)
            index->scans++;
        scan(rows, &p, visit, context);
        return;
    }
    if (index->is_made && (index->of != rows->block.at || index->of_sorted != is_sorted(relation, part))) {
        fuse_index_close(&index->index, &why->ledger); /* a sink has brought them in order */
        index->is_made = false;
    }
    if (!index->is_made)
        make_index(why, relation, index);
    if (why->status == FUSE_OK)
        find_indexed(relation, index, id, visit, context);
}

/* ---- all ranks ---- */

void fuse_why_gather(struct fuse_why *why, struct fuse_run *rows) {
    struct fuse_comm *comm = why->comm;
    const int ranks = comm->size, me = comm->rank;
    struct fuse_error err = {0};
    if (ranks == 1)
        return;
    struct fuse_arena_mark mark = fuse_arena_mark(why->scratch);
    int64_t *count = FUSE_NEW_ARRAY(why->scratch, int64_t, ranks), total = 0;
    struct fuse_message *message = FUSE_NEW_ARRAY(why->scratch, struct fuse_message, 2 * (int64_t)ranks);
    struct fuse_run all = {.words = rows->words};
    count[me] = rows->n;
    enum fuse_status status = comm->ops->reduce_int64(comm, FUSE_REDUCE_SUM, count, ranks, &err);
    for (int p = 0; p < ranks; p++)
        total += count[p];
    if (status == FUSE_OK && total > 0) {
        if (!fuse_run_reserve(&all, &why->ledger, total))
            fuse_comm_abort(comm, FUSE_EMEMORY); /* peers wait for this rank's rows */
        int n = 0;
        int64_t first = 0;
        for (int p = 0; p < ranks; p++) {
            if (p == me)
                memcpy(fuse_run_row(&all, first), rows->block.at, (size_t)rows->n * (size_t)rows->words * 8);
            else {
                message[n] = (struct fuse_message){
                    .peer = p, .data = rows->block.at, .bytes = (size_t)(rows->n * rows->words) * 8};
                message[ranks + n] = (struct fuse_message){
                    .peer = p, .data = fuse_run_row(&all, first), .bytes = (size_t)(count[p] * rows->words) * 8};
                n++;
            }
            first += count[p];
        }
        status = comm->ops->exchange_start(comm, 0, NULL, message, n, message + ranks, n, &err);
        if (status == FUSE_EMEMORY || status == FUSE_EBUG)
            fuse_comm_abort(comm, (int)status);
        enum fuse_status waited = comm->ops->exchange_wait(comm, 0, &err);
        status = status != FUSE_OK ? status : waited;
        all.n = total;
        fuse_run_close(rows, &why->ledger);
        *rows = all;
    }
    fuse_why_fail(why, status, &err);
    fuse_arena_rewind(why->scratch, mark);
}

/* Collective, and after the first time local. Whether every rank has these rows, so that what is found there needs no other rank. */
static bool is_everywhere(struct fuse_why *why, int number, enum fuse_why_part part) {
    struct fuse_why_relation *relation = &why->relation[number];
    struct fuse_why_copy *copy = &relation->copy[part];
    const int words = relation->at_work->packing.words;
    const int64_t all = part == FUSE_WHY_GIVEN    ? relation->given
                        : part == FUSE_WHY_STAGED ? relation->staged->total
                                                  : relation->total;
    if (why->comm->size == 1 || copy->is_there)
        return true;
    if ((part == FUSE_WHY_ALL && !fuse_why_has_rows(relation)) || all * (words + 1) > COPIED)
        return false;
    const struct fuse_run *rows = rows_of(relation, part);
    copy->rows = (struct fuse_run){.words = words + (part == FUSE_WHY_STAGED ? 1 : relation->at_work->values)};
    if (!fuse_run_reserve(&copy->rows, &why->ledger, rows->n))
        fuse_comm_abort(why->comm, FUSE_EMEMORY); /* peers copy */
    for (; copy->rows.n < rows->n; copy->rows.n++)
        memcpy(fuse_run_row(&copy->rows, copy->rows.n), fuse_run_row(rows, copy->rows.n), (size_t)copy->rows.words * 8);
    fuse_why_gather(why, &copy->rows);
    if (!fuse_run_sort(&copy->rows, &why->ledger, copy->rows.words))
        fuse_comm_abort(why->comm, FUSE_EMEMORY);
    copy->is_there = true;
    return true;
}

/* What each rank found of facts, of all ranks. */
static void reduce_found(struct fuse_why *why, enum fuse_reduce how, int64_t *word, int64_t n) {
    struct fuse_error err = {0};
    for (int64_t i = 0; i < n; i += 65536) {
        const int64_t some = n - i < 65536 ? n - i : 65536;
        fuse_why_fail(why, why->comm->ops->reduce_int64(why->comm, how, word + i, (int)some, &err), &err);
    }
}

/* ---- atoms ---- */

struct visit {
    struct fuse_why *why;
    const struct fuse_why_rule *rule;
    const struct fuse_rule_atom *atom;
    const struct fuse_why_relation *relation;
    int number, at; /* of the atom; of the relation that is looked into */
    enum fuse_why_part part;
    uint64_t bound;
    const uint64_t *binding;
    struct fuse_run *out; /* NULL: whether there is one */
    bool found;
};

/* The ids of an atom that are known, as bits of columns. */
static uint64_t known_ids(const struct fuse_rule_atom *atom, int columns, uint64_t bound, const uint64_t *binding,
                          int64_t *id) {
    uint64_t known = 0;
    for (int c = 0; c < columns; c++) {
        const struct fuse_rule_term *term = &atom->term[c];
        if (term->variable >= 0 && !(bound >> term->variable & 1))
            continue;
        id[c] = term->offset + (term->variable >= 0 ? (int64_t)binding[fuse_why_variable(term->variable)] : 0);
        known |= (uint64_t)1 << c;
    }
    return known;
}

/* Writes the variables that a row gives ids to; false: it does not match. */
static bool bind_row(const struct visit *v, const uint64_t *row, uint64_t *binding) {
    uint64_t bound = v->bound;
    for (int c = 0; c < v->relation->rule->columns; c++) {
        const struct fuse_rule_term *term = &v->atom->term[c];
        if (term->variable < 0 || (v->bound >> term->variable & 1))
            continue;
        const int64_t id = fuse_rule_unpack_id(&v->relation->at_work->packing, row, c) - term->offset;
        uint64_t *at = &binding[fuse_why_variable(term->variable)];
        if (id < 0 || id >= v->rule->rule->variable[term->variable].extent ||
            ((bound >> term->variable & 1) && *at != (uint64_t)id))
            return false;
        *at = (uint64_t)id;
        bound |= (uint64_t)1 << term->variable;
    }
    return true;
}

/* Stages belong to a trace, whose bindings begin with the fact: what came about no earlier than that is no premise of it. */
static bool is_too_late(const struct visit *v, const uint64_t *row) {
    return v->part == FUSE_WHY_STAGED &&
           (int64_t)row[v->relation->at_work->packing.words] - 1 - v->why->before_stages >=
               v->why->facts.at[v->binding[0]].height;
}

static bool take_match(void *context, const uint64_t *row) {
    struct visit *v = context;
    if (is_too_late(v, row))
        return true;
    if (!v->out) {
        uint64_t scratch[1 + FUSE_RULE_VARIABLES + FUSE_RULE_ATOMS];
        v->found |= bind_row(v, row, scratch);
        return !v->found;
    }
    if (!fuse_run_reserve(v->out, &v->why->ledger, 1)) {
        refuse(v->why);
        return false;
    }
    uint64_t *to = fuse_run_row(v->out, v->out->n);
    memcpy(to, v->binding, (size_t)v->rule->width * 8);
    if (!bind_row(v, row, to))
        return true;
    if (v->relation->at_work->values)
        to[fuse_why_value(v->rule->rule, v->number)] = row[v->relation->at_work->packing.words];
    v->out->n++;
    return true;
}

/* Where tuples of an atom are looked for. Those with stages are in order, and there when the relation has no rows. */
static int place_of(enum fuse_why_part *part, const struct fuse_why *why, const struct fuse_why_relation *relation) {
    const bool is_staged =
        why->relation[relation->canonical].staged != NULL && relation->at_work->values == 0 && !why->takes_all_values;
    *part = is_staged ? FUSE_WHY_STAGED : FUSE_WHY_ALL;
    return is_staged ? relation->canonical : (int)(relation - why->relation);
}

static struct visit open_visit(struct fuse_why *why, const struct fuse_why_rule *rule, int atom, uint64_t bound) {
    struct visit v = {.why = why,
                      .rule = rule,
                      .atom = &rule->rule->atom[atom],
                      .relation = fuse_why_of_atom(why, rule, atom),
                      .number = atom,
                      .bound = bound};
    v.at = place_of(&v.part, why, v.relation);
    return v;
}

void fuse_why_extend(struct fuse_why *why, const struct fuse_why_rule *rule, int atom, uint64_t bound,
                     const struct fuse_run *bindings, struct fuse_run *out) {
    struct visit v = open_visit(why, rule, atom, bound);
    int64_t id[FUSE_MAX_AXES];
    const bool is_local = is_everywhere(why, v.at, v.part);
    v.out = out;
    for (int64_t i = 0; i < bindings->n && why->status == FUSE_OK; i++) {
        v.binding = fuse_run_row(bindings, i);
        const uint64_t columns = known_ids(v.atom, v.relation->rule->columns, bound, v.binding, id);
        fuse_why_find(why, v.at, columns, v.part, id, take_match, &v);
    }
    if (!is_local)
        fuse_why_gather(why, out);
}

void fuse_why_has(struct fuse_why *why, const struct fuse_why_rule *rule, int atom, uint64_t bound,
                  const struct fuse_run *bindings, int64_t *found) {
    struct visit v = open_visit(why, rule, atom, bound);
    int64_t id[FUSE_MAX_AXES];
    v.at = (int)(v.relation - why->relation);
    v.part = FUSE_WHY_ALL; /* also what no proof of the fact can have */
    const bool is_local = is_everywhere(why, v.at, v.part);
    for (int64_t i = 0; i < bindings->n; i++) {
        v.binding = fuse_run_row(bindings, i);
        v.found = false;
        const uint64_t columns = known_ids(v.atom, v.relation->rule->columns, bound, v.binding, id);
        fuse_why_find(why, v.at, columns, v.part, id, take_match, &v);
        found[i] = v.found;
    }
    if (!is_local)
        reduce_found(why, FUSE_REDUCE_MAX, found, bindings->n);
}

/* ---- facts ---- */

struct sight {
    const struct fuse_logic_relation *relation;
    bool is_there, must_equal;
    uint64_t value;
};

static bool see(void *context, const uint64_t *row) {
    struct sight *s = context;
    const uint64_t value = s->relation->values ? row[s->relation->packing.words] : 0;
    if (s->must_equal && value != s->value)
        return true;
    s->is_there = true;
    s->value = value;
    return false;
}

void fuse_why_look(struct fuse_why *why, int number, const struct fuse_run *ids, struct fuse_why_lookup *out) {
    const struct fuse_why_relation *relation = &why->relation[number];
    enum { THERE, VALUE, WORDS };
    struct fuse_arena_mark mark = fuse_arena_mark(why->scratch);
    int64_t *word = FUSE_NEW_ARRAY(why->scratch, int64_t, WORDS * ids->n);
    int64_t *given = FUSE_NEW_ARRAY(why->scratch, int64_t, ids->n);
    const uint64_t all = ((uint64_t)1 << relation->rule->columns) - 1;
    const bool is_derived = relation->rule->stratum >= 0;
    const bool is_local = is_everywhere(why, number, FUSE_WHY_ALL);
    for (int64_t i = 0; i < ids->n && fuse_why_has_rows(relation); i++) {
        struct sight s = {.relation = relation->at_work};
        fuse_why_find(why, number, all, FUSE_WHY_ALL, (const int64_t *)fuse_run_row(ids, i), see, &s);
        word[WORDS * i + THERE] = s.is_there;
        word[WORDS * i + VALUE] = (int64_t)s.value;
    }
    if (!is_local)
        reduce_found(why, FUSE_REDUCE_SUM, word, WORDS * ids->n); /* one rank has it */
    const bool is_given_local = !is_derived || is_everywhere(why, number, FUSE_WHY_GIVEN);
    for (int64_t i = 0; i < ids->n; i++) {
        struct sight s = {.relation = relation->at_work,
                          .is_there = !is_derived && word[WORDS * i + THERE] > 0,
                          .must_equal = relation->at_work->values > 0,
                          .value = (uint64_t)word[WORDS * i + VALUE]};
        if (is_derived)
            fuse_why_find(why, number, all, FUSE_WHY_GIVEN, (const int64_t *)fuse_run_row(ids, i), see, &s);
        given[i] = s.is_there;
    }
    if (!is_given_local)
        reduce_found(why, FUSE_REDUCE_MAX, given, ids->n);
    for (int64_t i = 0; i < ids->n; i++)
        out[i] = (struct fuse_why_lookup){
            .is_there = word[WORDS * i + THERE] > 0, .value = word[WORDS * i + VALUE], .is_given = given[i] > 0};
    fuse_arena_rewind(why->scratch, mark);
}

static bool see_stage(void *context, const uint64_t *row) {
    *(const uint64_t **)context = row;
    return false;
}

void fuse_why_look_stages(struct fuse_why *why, int number, const struct fuse_run *ids, int64_t *height) {
    const struct fuse_why_relation *relation = &why->relation[number];
    const uint64_t all = ((uint64_t)1 << relation->rule->columns) - 1;
    const bool is_local = is_everywhere(why, number, FUSE_WHY_STAGED);
    for (int64_t i = 0; i < ids->n; i++) {
        const uint64_t *row = NULL;
        fuse_why_find(why, number, all, FUSE_WHY_STAGED, (const int64_t *)fuse_run_row(ids, i), see_stage, &row);
        height[i] = row ? (int64_t)row[relation->at_work->packing.words] - 1 - why->before_stages : -1;
    }
    if (!is_local)
        reduce_found(why, FUSE_REDUCE_MAX, height, ids->n);
}

/* ---- rules ---- */

void fuse_why_prepare(struct fuse_why *why) {
    for (int k = 0; k < why->rules; k++) {
        const struct fuse_why_rule *rule = &why->rule[k];
        uint64_t bound = fuse_why_head_variables(why, rule);
        for (int p = 0; p < rule->positives && why->status == FUSE_OK; p++) {
            const struct fuse_rule_atom *atom = &rule->rule->atom[rule->order[p]];
            enum fuse_why_part part;
            struct fuse_why_relation *relation =
                &why->relation[place_of(&part, why, fuse_why_of_atom(why, rule, rule->order[p]))];
            uint64_t columns = 0;
            for (int c = 0; c < relation->rule->columns; c++)
                if (atom->term[c].variable < 0 || (bound >> atom->term[c].variable & 1))
                    columns |= (uint64_t)1 << c;
            bound |= fuse_rule_atom_variables(rule->rules, atom);
            if (columns == 0 || (part == FUSE_WHY_ALL && !fuse_why_has_rows(relation)) ||
                (is_sorted(relation, part) && is_prefix(columns)))
                continue;
            struct fuse_why_index *index = index_of(why, relation, columns, part);
            index->scans = SCANS;
            if (!index->is_made)
                make_index(why, relation, index);
        }
    }
}

uint64_t fuse_why_head_variables(const struct fuse_why *why, const struct fuse_why_rule *rule) {
    const struct fuse_rule_relation *head = why->relation[rule->first_relation + rule->rule->head].rule;
    uint64_t set = 0;
    for (int c = 0; c < head->columns; c++)
        if (rule->rule->term[c].variable >= 0)
            set |= (uint64_t)1 << rule->rule->term[c].variable;
    return set;
}

bool fuse_why_unify(struct fuse_why *why, const struct fuse_why_rule *rule, const int64_t *id, uint64_t number,
                    struct fuse_run *bindings) {
    const struct fuse_rule_relation *head = why->relation[rule->first_relation + rule->rule->head].rule;
    uint64_t bound = 0;
    if (!fuse_run_reserve(bindings, &why->ledger, 1)) {
        refuse(why);
        return false;
    }
    uint64_t *to = fuse_run_row(bindings, bindings->n);
    memset(to, 0, (size_t)rule->width * 8);
    to[0] = number;
    for (int c = 0; c < head->columns; c++) {
        const struct fuse_rule_term *term = &rule->rule->term[c];
        const int64_t x = id[c] - term->offset;
        if (term->variable < 0) {
            if (x != 0)
                return false;
            continue;
        }
        uint64_t *at = &to[fuse_why_variable(term->variable)];
        if (x < 0 || x >= rule->rule->variable[term->variable].extent ||
            ((bound >> term->variable & 1) && *at != (uint64_t)x))
            return false;
        *at = (uint64_t)x;
        bound |= (uint64_t)1 << term->variable;
    }
    bindings->n++;
    return true;
}

void fuse_why_enumerate(struct fuse_why *why, const struct fuse_why_rule *rule, uint64_t bound,
                        struct fuse_run *bindings) {
    for (int v = 0; v < rule->rule->variables; v++) {
        const struct fuse_rule_variable *variable = &rule->rule->variable[v];
        struct fuse_run all = {.words = bindings->words};
        if (!variable->is_free || (bound >> v & 1))
            continue;
        for (int64_t i = 0; i < bindings->n; i++)
            for (int64_t id = 0; id < variable->extent; id++) {
                if (!fuse_run_reserve(&all, &why->ledger, 1)) {
                    refuse(why);
                    break;
                }
                uint64_t *to = fuse_run_row(&all, all.n++);
                memcpy(to, fuse_run_row(bindings, i), (size_t)rule->width * 8);
                to[fuse_why_variable(v)] = (uint64_t)id;
            }
        fuse_run_close(bindings, &why->ledger);
        *bindings = all;
    }
}

union fuse_scalar_value fuse_why_evaluate(const struct fuse_why *why, const struct fuse_why_rule *rule,
                                          const struct fuse_scalar *scalar, const uint64_t *binding) {
    union fuse_scalar_value small[64], *at = small, result;
    const union fuse_scalar_value none = {0};
    bool overflow = false;
    struct fuse_arena_mark mark = fuse_arena_mark(why->scratch);
    if (scalar->n > 64)
        at = FUSE_NEW_ARRAY(why->scratch, union fuse_scalar_value, scalar->n);
    for (int i = 0; i < scalar->n; i++) {
        const struct fuse_scalar_node *node = &scalar->node[i];
        const int a = node->a, b = node->b, c = node->c;
        if (node->op == FUSE_SCALAR_LOAD) {
            const struct fuse_rule_relation *from = fuse_why_of_atom(why, rule, node->arg)->rule;
            const bool is_truth = from->dtype == FUSE_BOOL || rule->rule->atom[node->arg].is_support;
            at[i].integer = is_truth ? 1 : (int64_t)binding[fuse_why_value(rule->rule, node->arg)];
            const enum fuse_dtype dtype = is_truth ? FUSE_BOOL : from->dtype;
            const struct fuse_scalar_node cast = {.op = FUSE_SCALAR_CAST, .dtype = node->dtype};
            if (dtype != node->dtype)
                at[i] = fuse_scalar_eval(&cast, dtype, at[i], at[i], at[i], &overflow);
        } else if (node->op == FUSE_SCALAR_IOTA)
            at[i].integer = (int64_t)binding[fuse_why_variable(node->arg)];
        else
            at[i] = fuse_scalar_eval(node, a >= 0 ? scalar->node[a].dtype : node->dtype, a >= 0 ? at[a] : none,
                                     b >= 0 ? at[b] : none, c >= 0 ? at[c] : none, &overflow);
    }
    result = at[scalar->n - 1];
    fuse_arena_rewind(why->scratch, mark);
    return result;
}
