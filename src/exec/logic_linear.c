/* Strata that are linear recursions (core/linear.h): rows of bits or ids instead of turns of joins. */
#include "exec/logic_internal.h"

#include <stdlib.h>

#define ROWS 4096 /* at a time */

/* Columns of pairs, filled in from rows. */
struct pairs {
    struct fuse_block from, to;
    int64_t n;
};

static bool reserve(struct pairs *pairs, struct fuse_ledger *ledger, int64_t n) {
    const size_t bytes = (size_t)(n > 0 ? n : 1) * sizeof(int64_t);
    return fuse_block_resize(&pairs->from, ledger, bytes) && fuse_block_resize(&pairs->to, ledger, bytes);
}

static void close_pairs(struct pairs *pairs, struct fuse_ledger *ledger) {
    const bool from = fuse_block_resize(&pairs->from, ledger, 0), to = fuse_block_resize(&pairs->to, ledger, 0);
    (void)from, (void)to; /* what is given back always is */
}

/* Rows of a relation of two columns, `first` being the one to start from. There is room. */
static void add_pairs(struct pairs *pairs, const struct fuse_logic_relation *relation, const struct fuse_run *run,
                      int first) {
    int64_t *from = (int64_t *)pairs->from.at + pairs->n, *to = (int64_t *)pairs->to.at + pairs->n;
    for (int64_t i = 0; i < run->n; i++) {
        from[i] = fuse_rule_unpack_id(&relation->packing, fuse_run_row(run, i), first);
        to[i] = fuse_rule_unpack_id(&relation->packing, fuse_run_row(run, i), 1 - first);
    }
    pairs->n += run->n;
}

/* Column of R that passes through, or by which R is kept. */
static int passing(const struct fuse_linear *linear) {
    return linear->kind == FUSE_LINEAR_RIGHT ? 1 : 0;
}

static bool collect_step(struct pairs *step, struct fuse_logic *logic, const struct fuse_linear *linear,
                         const struct fuse_run *base) {
    int64_t n = linear->base_is_a_step ? base->n : 0;
    for (int s = 0; s < linear->steps; s++)
        n += logic->relation[linear->step[s].relation].rows.n;
    if (!reserve(step, &logic->ledger, n))
        return false;
    for (int s = 0; s < linear->steps; s++) {
        const struct fuse_logic_relation *relation = &logic->relation[linear->step[s].relation];
        add_pairs(step, relation, &relation->rows, linear->step[s].joined);
    }
    if (linear->base_is_a_step)
        add_pairs(step, &logic->relation[linear->relation], base, passing(linear));
    return true;
}

/* The pairs of one relation, from a column to the other one. */
static bool collect_relation(struct pairs *pairs, struct fuse_logic *logic, int number, int first) {
    const struct fuse_logic_relation *relation = &logic->relation[number];
    if (!reserve(pairs, &logic->ledger, relation->rows.n))
        return false;
    add_pairs(pairs, relation, &relation->rows, first);
    return true;
}

static bool is_read_by_rules(const struct fuse_logic *logic, int relation) {
    for (int k = 0; k < logic->rules->rules; k++)
        for (int a = 0; a < logic->rules->rule[k].atoms; a++)
            if (logic->rules->rule[k].atom[a].relation == relation &&
                logic->rules->relation[logic->rules->rule[k].head].stratum != logic->stratum)
                return true;
    return false;
}

static void put_row(struct fuse_run *rows, const struct fuse_logic_relation *r, int64_t first_id, int64_t second_id) {
    uint64_t *row = fuse_run_row(rows, rows->n++);
    memset(row, 0, (size_t)rows->words * sizeof *row);
    row[r->packing.word[0]] |= (uint64_t)first_id << r->packing.shift[0];
    row[r->packing.word[1]] |= (uint64_t)second_id << r->packing.shift[1];
}

/* Collective unless on one rank. Rows become the relation's, where its tuples belong. */
static void deliver(struct fuse_logic *logic, int relation, struct fuse_run *rows) {
    struct fuse_logic_relation *r = &logic->relation[relation];
    if (logic->comm->size == 1) {
        r->rows = *rows;
        return;
    }
    struct fuse_flow flow = {.relation = relation, .arrive = fuse_logic_arrive_in_run, .run = &r->rows};
    struct fuse_route route = fuse_logic_home_route(logic, relation, logic->scratch);
    r->rows.words = rows->words;
    fuse_flow_open_move(&flow, logic, logic->scratch, rows->words, &route);
    fuse_flow_pass(&flow, rows->block.at, logic->status == FUSE_OK ? rows->n : 0);
    fuse_run_close(rows, &logic->ledger);
}

/* Collective unless on one rank. The pairs as rows of the relation. */
static void expand(struct fuse_logic *logic, struct fuse_reach *reach, int relation, int first) {
    struct fuse_logic_relation *r = &logic->relation[relation];
    struct fuse_run rows = {.words = r->packing.words};
    int64_t from[ROWS], to[ROWS];
    const int64_t held = fuse_reach_held(reach);
    if (!fuse_run_reserve(&rows, &logic->ledger, held))
        fuse_logic_refuse(logic, relation);
    for (int64_t begin = 0; begin < held && logic->status == FUSE_OK; begin += ROWS) {
        const int64_t some = held - begin < ROWS ? held - begin : ROWS;
        fuse_reach_read(reach, begin, some, from, to);
        for (int64_t i = 0; i < some; i++)
            put_row(&rows, r, first == 0 ? from[i] : to[i], first == 0 ? to[i] : from[i]);
    }
    deliver(logic, relation, &rows);
}

static void count_held(struct fuse_logic *logic, struct fuse_logic_relation *r, int64_t bytes) {
    logic->ledger.used += bytes - r->reach_bytes;
    if (logic->ledger.used > logic->ledger.peak)
        logic->ledger.peak = logic->ledger.used;
    r->reach_bytes = bytes;
}

void fuse_logic_close_reach(struct fuse_logic *logic, struct fuse_logic_relation *r) {
    if (!r->reach)
        return;
    count_held(logic, r, 0);
    fuse_reach_close(r->reach);
    r->reach = NULL;
}

static enum fuse_status open_reach(struct fuse_reach **out, struct fuse_logic *logic, const struct fuse_linear *linear,
                                   bool base_is_step, const struct fuse_run *base, struct fuse_error *err) {
    const struct fuse_logic_relation *r = &logic->relation[linear->relation];
    const bool is_two_sided = linear->kind == FUSE_LINEAR_TWO_SIDED;
    struct pairs b = {0}, e = {0}, d = {0};
    const int first = passing(linear);
    bool had = base_is_step || reserve(&b, &logic->ledger, base->n);
    if (had && !base_is_step)
        add_pairs(&b, r, base, first);
    if (is_two_sided)
        had = had && collect_relation(&e, logic, linear->up.relation, 1 - linear->up.joined) &&
              collect_relation(&d, logic, linear->down.relation, linear->down.joined);
    else
        had = had && collect_step(&e, logic, linear, base);
    int64_t lacks = !had;
    enum fuse_status status = logic->comm->ops->reduce_int64(logic->comm, FUSE_REDUCE_SUM, &lacks, 1, err);
    if (status == FUSE_OK && lacks == 0) {
        const struct fuse_reach_request request = {
            .comm = logic->comm,
            .rows = r->rule->extent[first],
            .columns = r->rule->extent[1 - first],
            .base = {b.n, b.from.at, b.to.at},
            .step = {e.n, e.from.at, e.to.at},
            .base_is_step = base_is_step,
            .is_two_sided = is_two_sided,
            .down = {d.n, d.from.at, d.to.at},
            .bits_bytes = logic->comm->size > 1 ? fuse_logic_copied_bytes(logic) : 0,
            .threads = logic->request.threads > 0 ? logic->request.threads : 1,
            .memory_bytes = logic->ledger.most > 0 ? logic->ledger.most - logic->ledger.used : 0};
        status = fuse_reach_open(out, &request, err);
    }
    close_pairs(&b, &logic->ledger);
    close_pairs(&e, &logic->ledger);
    close_pairs(&d, &logic->ledger);
    return status;
}

/* Turns would be `most` at most: a lower limit is there to be met. */
static bool may_skip_turns(const struct fuse_logic *logic, int64_t most) {
    const struct fuse_logic_request *request = &logic->request;
    return !request->takes_turns && !request->is_naive && !request->keeps_stages && !request->may_stop_early &&
           (request->max_turns == 0 || request->max_turns > most);
}

/* As many turns as ids, and one; on both sides as pairs of ids. */
bool fuse_logic_is_linear(struct fuse_linear *linear, const struct fuse_logic *logic) {
    if (!fuse_rules_find_linear(linear, logic->rules, logic->stratum))
        return false;
    const int64_t *extent = logic->rules->relation[linear->relation].extent;
    return may_skip_turns(logic, linear->kind == FUSE_LINEAR_TWO_SIDED ? fuse_sat_mul(extent[0], extent[1])
                                                                       : fuse_sat_add(extent[0], extent[1]));
}

bool fuse_logic_is_mutual(struct fuse_mutual *mutual, const struct fuse_logic *logic) {
    int64_t most = 1;
    if (!fuse_rules_find_mutual(mutual, logic->rules, logic->stratum))
        return false;
    for (int k = 0; k < mutual->relations; k++)
        most = fuse_sat_add(most, logic->rules->relation[mutual->relation[k]].extent[1 - mutual->passing]);
    return may_skip_turns(logic, most);
}

static void tell(struct fuse_logic *logic, int64_t tuples, int64_t sent_bytes) {
    const struct fuse_logic_turn told = {
        .stratum = logic->stratum, .turn = 1, .derived = tuples, .fresh = tuples, .sent_bytes = sent_bytes};
    logic->turn++;
    logic->report.turns++;
    logic->report.derived += told.derived;
    logic->report.sent_bytes += told.sent_bytes;
    if (logic->request.turn)
        logic->request.turn(logic->request.context, &told);
}

enum fuse_status fuse_logic_take_linear(bool *done, struct fuse_logic *logic, const struct fuse_linear *given,
                                        const struct fuse_run *base, struct fuse_error *err) {
    struct fuse_linear linear = *given;
    struct fuse_logic_relation *r = &logic->relation[linear.relation];
    int64_t sent = logic->comm->counters.sent_bytes;
    struct fuse_reach *reach = NULL;
    const bool base_is_step = base == NULL;
    *done = false;
    if (base_is_step) {
        int64_t others = r->given.n;
        FUSE_TRY(logic->comm->ops->reduce_int64(logic->comm, FUSE_REDUCE_SUM, &others, 1, err));
        if (!linear.derives_steps || others > 0)
            return FUSE_OK;
    }
    /* The closure of the steps alone is the same both ways, and this one comes out in order. */
    if (base_is_step && linear.kind == FUSE_LINEAR_RIGHT) {
        linear.kind = FUSE_LINEAR_LEFT;
        for (int s = 0; s < linear.steps; s++)
            linear.step[s].joined = 1 - linear.step[s].joined;
    }
    linear.base_is_a_step = linear.base_is_a_step && !base_is_step;
    FUSE_TRY(open_reach(&reach, logic, &linear, base_is_step, base, err));
    *done = reach != NULL;
    if (reach == NULL)
        return FUSE_OK;
    r->total = fuse_reach_count(reach);
    r->reach = reach;
    count_held(logic, r, fuse_reach_bytes(reach));
    const bool is_looked_into = logic->request.keeps_rows || (logic->request.keeps_given && given->base_is_a_step);
    if (passing(&linear) != 0 || is_looked_into || is_read_by_rules(logic, linear.relation)) {
        expand(logic, reach, linear.relation, passing(&linear));
        fuse_logic_close_reach(logic, r);
        FUSE_TRY(fuse_logic_agree(logic, err));
    }
    r->is_finished = true;
    sent = logic->comm->counters.sent_bytes - sent;
    FUSE_TRY(logic->comm->ops->reduce_int64(logic->comm, FUSE_REDUCE_SUM, &sent, 1, err));
    tell(logic, r->total, sent);
    return FUSE_OK;
}

/* ---- several relations ---- */

/* Pairs that this rank has of the steps; where each relation's ids begin is in `first`. */
static bool collect_mutual(struct pairs *step, struct fuse_logic *logic, const struct fuse_mutual *mutual,
                           const int64_t *first) {
    const struct fuse_comm *comm = logic->comm;
    int64_t n = 0;
    for (int s = 0; s < mutual->steps; s++)
        n += mutual->step[s].relation >= 0 ? logic->relation[mutual->step[s].relation].rows.n
                                           : first[mutual->step[s].from + 1] - first[mutual->step[s].from];
    if (!reserve(step, &logic->ledger, n))
        return false;
    for (int s = 0; s < mutual->steps; s++) {
        const struct fuse_mutual_step *of = &mutual->step[s];
        const int64_t begin = step->n, ids = first[of->from + 1] - first[of->from];
        if (of->relation >= 0)
            add_pairs(step, &logic->relation[of->relation], &logic->relation[of->relation].rows, of->joined);
        int64_t *from = step->from.at, *to = step->to.at;
        const int64_t last = fuse_split_begin(ids, comm->size, comm->rank + 1);
        for (int64_t id = fuse_split_begin(ids, comm->size, comm->rank); of->relation < 0 && id < last; id++) {
            from[step->n] = to[step->n] = id;
            step->n++;
        }
        for (int64_t i = begin; i < step->n; i++) {
            from[i] += first[of->from];
            to[i] += first[of->to];
        }
    }
    return true;
}

/* The tuples that the relations have so far. */
static bool collect_bases(struct pairs *base, struct fuse_logic *logic, const struct fuse_mutual *mutual,
                          const int64_t *first) {
    int64_t n = 0;
    for (int k = 0; k < mutual->relations; k++)
        n += logic->relation[mutual->relation[k]].delta.n;
    if (!reserve(base, &logic->ledger, n))
        return false;
    for (int k = 0; k < mutual->relations; k++) {
        const struct fuse_logic_relation *r = &logic->relation[mutual->relation[k]];
        const int64_t begin = base->n;
        add_pairs(base, r, &r->delta, mutual->passing);
        for (int64_t i = begin; i < base->n; i++)
            ((int64_t *)base->to.at)[i] += first[k];
    }
    return true;
}

static enum fuse_status open_mutual(struct fuse_reach **out, struct fuse_logic *logic, const struct fuse_mutual *mutual,
                                    const int64_t *first, struct fuse_error *err) {
    struct pairs base = {0}, step = {0};
    int64_t lacks = !collect_bases(&base, logic, mutual, first) || !collect_mutual(&step, logic, mutual, first);
    enum fuse_status status = logic->comm->ops->reduce_int64(logic->comm, FUSE_REDUCE_SUM, &lacks, 1, err);
    if (status == FUSE_OK && lacks == 0) {
        const struct fuse_reach_request request = {
            .comm = logic->comm,
            .rows = logic->relation[mutual->relation[0]].rule->extent[mutual->passing],
            .columns = first[mutual->relations],
            .base = {base.n, base.from.at, base.to.at},
            .step = {step.n, step.from.at, step.to.at},
            .threads = logic->request.threads > 0 ? logic->request.threads : 1,
            .memory_bytes = logic->ledger.most > 0 ? logic->ledger.most - logic->ledger.used : 0};
        status = fuse_reach_open(out, &request, err);
    }
    close_pairs(&base, &logic->ledger);
    close_pairs(&step, &logic->ledger);
    return status;
}

/* Each relation's pairs become its rows. */
static void expand_mutual(struct fuse_logic *logic, struct fuse_reach *reach, const struct fuse_mutual *mutual,
                          const int64_t *first) {
    struct fuse_run rows[FUSE_MUTUAL_RELATIONS] = {{0}};
    int64_t x[ROWS], z[ROWS];
    const int64_t held = fuse_reach_held(reach);
    for (int k = 0; k < mutual->relations; k++)
        rows[k].words = logic->relation[mutual->relation[k]].packing.words;
    for (int64_t begin = 0; begin < held && logic->status == FUSE_OK; begin += ROWS) {
        const int64_t some = held - begin < ROWS ? held - begin : ROWS;
        for (int k = 0; k < mutual->relations; k++)
            if (!fuse_run_reserve(&rows[k], &logic->ledger, some))
                fuse_logic_refuse(logic, mutual->relation[k]);
        if (logic->status != FUSE_OK)
            break;
        fuse_reach_read(reach, begin, some, x, z);
        for (int64_t i = 0; i < some; i++) {
            int k = 0;
            while (z[i] >= first[k + 1])
                k++;
            const int64_t id = z[i] - first[k];
            put_row(&rows[k], &logic->relation[mutual->relation[k]], mutual->passing == 0 ? x[i] : id,
                    mutual->passing == 0 ? id : x[i]);
        }
    }
    for (int k = 0; k < mutual->relations; k++)
        deliver(logic, mutual->relation[k], &rows[k]);
}

enum fuse_status fuse_logic_take_mutual(bool *done, struct fuse_logic *logic, const struct fuse_mutual *mutual,
                                        struct fuse_error *err) {
    int64_t first[FUSE_MUTUAL_RELATIONS + 1] = {0}, sent = logic->comm->counters.sent_bytes;
    struct fuse_reach *reach = NULL;
    *done = false;
    for (int k = 0; k < mutual->relations; k++)
        first[k + 1] = fuse_sat_add(first[k], logic->relation[mutual->relation[k]].rule->extent[1 - mutual->passing]);
    FUSE_TRY(open_mutual(&reach, logic, mutual, first, err));
    if (reach == NULL)
        return FUSE_OK;
    const int64_t tuples = fuse_reach_count(reach), bytes = fuse_reach_bytes(reach);
    logic->ledger.used += bytes;
    expand_mutual(logic, reach, mutual, first);
    logic->ledger.used -= bytes;
    fuse_reach_close(reach);
    FUSE_TRY(fuse_logic_agree(logic, err));
    for (int k = 0; k < mutual->relations; k++)
        logic->relation[mutual->relation[k]].is_finished = true;
    *done = true;
    sent = logic->comm->counters.sent_bytes - sent;
    FUSE_TRY(logic->comm->ops->reduce_int64(logic->comm, FUSE_REDUCE_SUM, &sent, 1, err));
    tell(logic, tuples, sent);
    return fuse_logic_count_tuples(logic, logic->stratum, err);
}

/* ---- order ---- */

enum fuse_status fuse_logic_sort_reach(struct fuse_logic *logic, struct fuse_logic_relation *r,
                                       struct fuse_error *err) {
    if (r->is_sorted)
        return FUSE_OK;
    enum fuse_status status = fuse_reach_sort(r->reach, err);
    count_held(logic, r, fuse_reach_bytes(r->reach));
    r->is_sorted = status == FUSE_OK;
    return status;
}
