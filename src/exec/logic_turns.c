/* One stratum: turns, and how its tuples are distributed. */
#include "exec/logic_internal.h"

#include <inttypes.h>
#include <stdlib.h>

#define LOOKED_AT_ABOVE ((int64_t)1 << 19) /* tuples */

/* ---- relations ---- */

static bool is_of_total(const struct fuse_rule_relation *rule) {
    return rule->combine == FUSE_REDUCE_SUM && rule->dtype == FUSE_I64;
}

static void open_set(struct fuse_logic *logic, struct fuse_logic_relation *relation) {
    const struct fuse_rule_relation *rule = relation->rule;
    const int keys = relation->packing.words;
    enum fuse_set_kind kind = rule->combine == FUSE_REDUCE_MIN   ? FUSE_SET_MIN
                              : rule->combine == FUSE_REDUCE_MAX ? FUSE_SET_MAX
                              : is_of_total(rule)                ? FUSE_SET_TOTAL
                                                                 : FUSE_SET_FACTS;
    relation->collects = kind == FUSE_SET_FACTS && rule->dtype != FUSE_BOOL;
    relation->fresh.words = keys;
    relation->delta.words = relation->collected.words = fuse_logic_row_words(relation);
    fuse_set_open(&relation->set, kind, rule->dtype, keys,
                  logic->request.keeps_stages && kind != FUSE_SET_TOTAL && !relation->collects);
    if (rule->columns == 2 && keys == 1) {
        const bool is_share = relation->home == 2; /* of the second column */
        fuse_set_expect_rows(&relation->set, rule->extent[0], rule->extent[1], relation->packing.shift[0],
                             is_share ? logic->comm->size : 1, is_share ? logic->comm->rank : 0);
    }
}

/* Relations whose contributions are all there after a turn, and then stay where they are. */
static bool keeps_place(const struct fuse_logic *logic, int relation) {
    const struct fuse_logic_relation *r = &logic->relation[relation];
    return r->collects || is_of_total(r->rule);
}

/* Everybody's given tuples of a relation go home. */
static void bring_home(struct fuse_logic *logic, int relation,
                       bool (*arrive)(struct fuse_flow *, const uint64_t *, int64_t), struct fuse_run *run) {
    struct fuse_logic_relation *r = &logic->relation[relation];
    struct fuse_flow flow = {.relation = relation, .arrive = arrive, .run = run};
    struct fuse_route route = fuse_logic_home_route(logic, relation, logic->scratch);
    fuse_flow_open_move(&flow, logic, logic->scratch, r->given.words, &route);
    fuse_flow_pass(&flow, r->given.block.at, r->given.n);
    if (logic->request.keeps_given && r->rule->stratum >= 0 && !r->is_kept) {
        r->kept = r->given;
        r->given = (struct fuse_run){.words = r->kept.words};
        r->is_kept = true;
    }
    fuse_run_close(&r->given, &logic->ledger);
}

static void fail_overflow(struct fuse_logic *logic, int relation) {
    struct fuse_error err = {0};
    const char *name = logic->rules->relation[relation].name;
    for (int k = 0; k < logic->rules->rules; k++)
        if (logic->rules->rule[k].head == relation) {
            fuse_fail_at(&err, FUSE_EFAILED, logic->rules->rule[k].span,
                         "integer overflow in '%s': a value beyond 64 bits", name);
            break;
        }
    fuse_fail(&err, FUSE_EFAILED, "integer overflow in '%s': a value beyond 64 bits", name);
    fuse_logic_fail(logic, FUSE_EFAILED, &err);
}

/* Contributions become tuples. */
static void unite(struct fuse_logic *logic, int relation, struct fuse_run *run) {
    struct fuse_logic_relation *r = &logic->relation[relation];
    bool overflow = false;
    if (!fuse_run_sort(run, &logic->ledger, run->words)) {
        fuse_logic_refuse(logic, relation);
        return;
    }
    fuse_run_unite(run, r->packing.words, r->rule->dtype, r->rule->combine, r->rule->mean, &overflow);
    if (overflow)
        fail_overflow(logic, relation);
}

/* A last word for the stage. */
static void add_stage(struct fuse_logic *logic, int relation, struct fuse_run *run, int64_t stage) {
    struct fuse_run wider = {.words = run->words + 1};
    if (!fuse_run_reserve(&wider, &logic->ledger, run->n)) {
        fuse_logic_refuse(logic, relation);
        return;
    }
    for (int64_t i = 0; i < run->n; i++) {
        memcpy(fuse_run_row(&wider, i), fuse_run_row(run, i), (size_t)run->words * 8);
        fuse_run_row(&wider, i)[run->words] = (uint64_t)stage + 1;
    }
    wider.n = run->n;
    fuse_run_close(run, &logic->ledger);
    *run = wider;
}

void fuse_logic_take_input(struct fuse_logic *logic, int relation) {
    struct fuse_logic_relation *r = &logic->relation[relation];
    r->rows.words = r->given.words;
    if (logic->comm->size == 1) {
        r->rows = r->given;
        r->given = (struct fuse_run){.words = r->rows.words};
    } else
        bring_home(logic, relation, fuse_logic_arrive_in_run, &r->rows);
    unite(logic, relation, &r->rows);
    r->is_sorted = true;
    if (logic->request.keeps_stages)
        add_stage(logic, relation, &r->rows, 0);
    r->is_finished = true;
}

static void finish(struct fuse_logic *logic, int relation) {
    struct fuse_logic_relation *r = &logic->relation[relation];
    const bool stages = logic->request.keeps_stages;
    r->rows.words = fuse_logic_row_words(r);
    fuse_run_close(&r->fresh, &logic->ledger);
    fuse_run_close(&r->delta, &logic->ledger);
    if (logic->status != FUSE_OK)
        return;
    if (r->collects) {
        r->rows = r->collected;
        r->collected = (struct fuse_run){.words = r->rows.words};
        unite(logic, relation, &r->rows);
    } else {
        bool overflow = false;
        r->rows.words += r->set.is_marked && stages;
        if (!fuse_set_dump(&r->set, &logic->ledger, &r->rows, r->set.is_marked && stages, &overflow))
            fuse_logic_refuse(logic, relation);
        if (overflow)
            fail_overflow(logic, relation);
        fuse_set_close(&r->set, &logic->ledger);
    }
    /* Sums are whole after the stratum's first turn. */
    if (stages && !r->set.is_marked)
        add_stage(logic, relation, &r->rows, logic->first_turn);
    r->is_finished = true;
}

/* Collective: totals of relations of a stratum. */
enum fuse_status fuse_logic_count_tuples(struct fuse_logic *logic, int stratum, struct fuse_error *err) {
    int64_t *total = FUSE_NEW_ARRAY(logic->scratch, int64_t, logic->rules->relations + 1);
    for (int r = 0; r < logic->rules->relations; r++)
        total[r] = logic->relation[r].rule->stratum == stratum ? logic->relation[r].rows.n : 0;
    FUSE_TRY(logic->comm->ops->reduce_int64(logic->comm, FUSE_REDUCE_SUM, total, logic->rules->relations, err));
    for (int r = 0; r < logic->rules->relations; r++)
        if (logic->relation[r].rule->stratum == stratum)
            logic->relation[r].total = total[r];
    return FUSE_OK;
}

/* ---- turns ---- */

/* What a turn brought becomes what the next one starts from. */
static void turn_over(struct fuse_logic *logic, int relation) {
    struct fuse_logic_relation *r = &logic->relation[relation];
    bool overflow = false, done = true;
    r->delta.n = 0;
    if (logic->status != FUSE_OK)
        return;
    if (logic->request.is_naive) {
        done = fuse_set_dump(&r->set, &logic->ledger, &r->delta, false, &overflow);
    } else if (r->values == 0) {
        struct fuse_run swap = r->delta;
        r->delta = r->fresh;
        r->fresh = swap;
        /* Only for speed: what is next to each other is then joined with the same rows. */
        (void)fuse_run_sort(&r->delta, &logic->ledger, r->packing.words);
    } else {
        const int keys = r->packing.words;
        done = fuse_run_reserve(&r->delta, &logic->ledger, r->fresh.n);
        for (int64_t i = 0; done && i < r->fresh.n; i++) {
            const uint64_t *key = fuse_run_row(&r->fresh, i);
            uint64_t *to = fuse_run_row(&r->delta, r->delta.n++);
            memcpy(to, key, (size_t)keys * 8);
            to[keys] = fuse_set_value(&r->set, key);
        }
    }
    r->fresh.n = 0;
    if (!done)
        fuse_logic_refuse(logic, relation);
}

/* Collective: what the relations of the stratum from `first` to `end` - 1 got becomes what is joined next; what all ranks have, and
 * whether one has failed. */
static enum fuse_status end_phase(struct fuse_logic *logic, int first, int end, struct fuse_logic_turn *turn,
                                  struct fuse_error *err) {
    const struct fuse_rules *rules = logic->rules;
    enum { DERIVED, FRESH, FAILED, COUNTERS };
    struct fuse_arena_mark mark = fuse_arena_mark(logic->scratch);
    int64_t *sum = FUSE_NEW_ARRAY(logic->scratch, int64_t, COUNTERS + rules->relations);
    sum[DERIVED] = logic->derived;
    for (int r = first; r < end; r++)
        if (rules->relation[r].stratum == logic->stratum) {
            sum[FRESH] += logic->relation[r].fresh.n;
            turn_over(logic, r);
            sum[COUNTERS + r - first] = logic->relation[r].delta.n;
        }
    sum[FAILED] = logic->status != FUSE_OK;
    FUSE_TRY(logic->comm->ops->reduce_int64(logic->comm, FUSE_REDUCE_SUM, sum, COUNTERS + end - first, err));
    if (sum[FAILED] > 0)
        return fuse_logic_agree(logic, err);
    for (int r = first; r < end; r++)
        if (rules->relation[r].stratum == logic->stratum)
            logic->relation[r].delta_total = sum[COUNTERS + r - first];
    turn->derived += sum[DERIVED];
    turn->fresh = sum[FRESH];
    fuse_arena_rewind(logic->scratch, mark);
    logic->derived = 0;
    return FUSE_OK;
}

static void evaluate(struct fuse_logic *logic, const struct fuse_logic_version *version, bool is_first) {
    const struct fuse_rule *rule = version->rule;
    struct fuse_flow *flow = (struct fuse_flow *)&version->flow;
    if (version->first < 0) {
        if (is_first)
            fuse_flow_pass(flow, NULL, version->is_shared || logic->comm->rank == 0);
        return;
    }
    struct fuse_logic_relation *relation = &logic->relation[rule->atom[version->first].relation];
    if (version->is_delta && relation->delta_total > 0)
        fuse_flow_pass(flow, relation->delta.block.at, relation->delta.n);
    else if (!version->is_delta && is_first)
        fuse_flow_pass(flow, relation->rows.block.at, relation->rows.n);
}

/* Indexes of relations from `first` to `end` - 1. */
static void feed_indexes(struct fuse_logic *logic, bool growing, int first, int end) {
    for (struct fuse_logic_index *index = logic->index; index; index = index->next) {
        if (index->is_growing != growing || index->relation < first || index->relation >= end)
            continue;
        struct fuse_logic_relation *relation = &logic->relation[index->relation];
        if (growing && relation->delta_total == 0)
            continue;
        if (growing && logic->request.is_naive)
            fuse_index_close(&index->index, &logic->ledger); /* everything comes again */
        struct fuse_run *rows = growing ? &relation->delta : &relation->rows;
        fuse_flow_pass(&index->feed, rows->block.at, rows->n);
        if (index->feed.run) {
            struct fuse_run *run = index->feed.run;
            if (logic->status == FUSE_OK && !fuse_index_build(&index->index, &logic->ledger, run->block.at, run->n))
                fuse_logic_refuse(logic, index->relation);
            fuse_run_close(run, &logic->ledger);
        }
    }
}

static enum fuse_status stop_early(struct fuse_logic *logic, int64_t turns, struct fuse_error *err) {
    int most = -1;
    if (logic->request.may_stop_early) {
        logic->report.stopped_early = true;
        return FUSE_OK;
    }
    for (int r = 0; r < logic->rules->relations; r++)
        if (logic->rules->relation[r].stratum == logic->stratum &&
            (most < 0 || logic->relation[r].delta_total > logic->relation[most].delta_total))
            most = r;
    const char *name = logic->rules->relation[most].name;
    for (int k = 0; k < logic->rules->rules; k++)
        if (logic->rules->rule[k].head == most && fuse_rule_is_recursive(logic->rules, &logic->rules->rule[k])) {
            fuse_fail_at(err, FUSE_EDIVERGED, logic->rules->rule[k].span,
                         "'%s' has not converged: %" PRId64 " tuples changed in turn %" PRId64, name,
                         logic->relation[most].delta_total, turns);
            break;
        }
    fuse_fail(err, FUSE_EDIVERGED, "'%s' has not converged: %" PRId64 " tuples changed in turn %" PRId64, name,
              logic->relation[most].delta_total, turns);
    err->rank = -1;
    return err->status;
}

/* Parts of rules come before the rules that use them, so that turns and stages are those of the rules as they were written. */
static enum fuse_status take_turn(struct fuse_logic *logic, struct fuse_logic_turn *turn, struct fuse_error *err) {
    const int asked = logic->asked, all = logic->rules->relations;
    const int64_t sent = logic->comm->counters.sent_bytes;
    const struct fuse_logic_version *version;
    bool has_parts = false;
    feed_indexes(logic, true, 0, asked);
    for (version = logic->version; version; version = version->next)
        if (version->rule->head >= asked) {
            evaluate(logic, version, turn->turn == 1);
            has_parts = true;
        }
    if (has_parts) {
        FUSE_TRY(end_phase(logic, asked, all, turn, err));
        feed_indexes(logic, true, asked, all);
    }
    for (version = logic->version; version; version = version->next)
        if (version->rule->head < asked)
            evaluate(logic, version, turn->turn == 1);
    FUSE_TRY(end_phase(logic, 0, asked, turn, err));
    turn->sent_bytes = logic->comm->counters.sent_bytes - sent;
    return logic->comm->ops->reduce_int64(logic->comm, FUSE_REDUCE_SUM, &turn->sent_bytes, 1, err);
}

/* The most frequent ids of finished relations that are to be distributed by them. Without memory to count here, others' counts do. */
static enum fuse_status weigh(struct fuse_logic *logic, struct fuse_error *err) {
    const struct fuse_arena_mark mark = fuse_arena_mark(logic->scratch);
    for (int r = 0; r < logic->rules->relations; r++) {
        struct fuse_logic_relation *relation = &logic->relation[r];
        if (!relation->is_finished || relation->is_weighed || logic->comm->size == 1 || fuse_logic_may_copy(logic, r))
            continue;
        for (int c = 0; c < relation->rule->columns; c++) {
            struct fuse_run ids = {.words = 1};
            int64_t most = 0;
            if (fuse_run_reserve(&ids, &logic->ledger, relation->rows.n)) {
                for (; ids.n < relation->rows.n; ids.n++)
                    *fuse_run_row(&ids, ids.n) =
                        (uint64_t)fuse_rule_unpack_id(&relation->packing, fuse_run_row(&relation->rows, ids.n), c);
                if (fuse_run_sort(&ids, &logic->ledger, 1))
                    for (int64_t i = 0, first = 0; i < ids.n; i++) {
                        if (*fuse_run_row(&ids, i) != *fuse_run_row(&ids, first))
                            first = i;
                        most = i - first + 1 > most ? i - first + 1 : most;
                    }
            }
            fuse_run_close(&ids, &logic->ledger);
            relation->heaviest[c] = relation->home == (uint64_t)1 << c ? most : fuse_sat_mul(most, logic->comm->size);
        }
        FUSE_TRY(logic->comm->ops->reduce_int64(logic->comm, FUSE_REDUCE_MAX, relation->heaviest,
                                                relation->rule->columns, err));
        relation->is_weighed = true;
    }
    fuse_arena_rewind(logic->scratch, mark);
    return FUSE_OK;
}

/* A stratum that may have a faster way than turns. */
struct shortcut {
    bool is_linear, is_mutual;
    struct fuse_linear linear;
    struct fuse_mutual mutual;
};

/* What the relations have without recursion becomes what is joined next. */
static enum fuse_status derive_bases(struct fuse_logic *logic, struct fuse_error *err) {
    bool overflow = false;
    for (const struct fuse_logic_version *version = logic->version; version; version = version->next)
        if (!version->is_delta)
            evaluate(logic, version, true);
    logic->derived = 0;
    for (int k = 0; k < logic->rules->relations; k++) {
        struct fuse_logic_relation *r = &logic->relation[k];
        if (r->rule->stratum != logic->stratum)
            continue;
        r->fresh.n = r->delta.n = 0;
        if (logic->status == FUSE_OK && !fuse_set_dump(&r->set, &logic->ledger, &r->delta, false, &overflow))
            fuse_logic_refuse(logic, k);
    }
    return fuse_logic_agree(logic, err);
}

/* The base of a linear recursion, then all of it at once. Where that is refused turns can be taken, from the base. */
static enum fuse_status skip_turns(bool *done, struct fuse_logic *logic, const struct shortcut *shortcut,
                                   struct fuse_error *err) {
    FUSE_TRY(derive_bases(logic, err));
    if (shortcut->is_linear)
        FUSE_TRY(fuse_logic_take_linear(done, logic, &shortcut->linear,
                                        &logic->relation[shortcut->linear.relation].delta, err));
    else
        FUSE_TRY(fuse_logic_take_mutual(done, logic, &shortcut->mutual, err));
    if (*done)
        fuse_logic_close_indexes(logic);
    for (int k = 0; k < logic->rules->relations; k++) {
        struct fuse_logic_relation *r = &logic->relation[k];
        if (r->rule->stratum != logic->stratum)
            continue;
        if (*done) {
            fuse_run_close(&r->fresh, &logic->ledger);
            fuse_run_close(&r->delta, &logic->ledger);
            fuse_set_close(&r->set, &logic->ledger);
            continue;
        }
        r->delta_total = r->delta.n;
        FUSE_TRY(logic->comm->ops->reduce_int64(logic->comm, FUSE_REDUCE_SUM, &r->delta_total, 1, err));
    }
    return FUSE_OK;
}

/* Given tuples go where they belong and are what is joined next; versions and indexes are made. */
static enum fuse_status begin_turns(struct fuse_logic *logic, bool is_again, struct fuse_error *err) {
    const struct fuse_rules *rules = logic->rules;
    struct fuse_logic_turn before = {0};
    int segments = 1;
    fuse_logic_choose_homes(logic);
    for (int r = 0; r < rules->relations; r++)
        if (rules->relation[r].stratum == logic->stratum && !(is_again && keeps_place(logic, r))) {
            open_set(logic, &logic->relation[r]);
            bring_home(logic, r, fuse_logic_arrive_in_set, NULL);
        }
    FUSE_TRY(end_phase(logic, 0, rules->relations, &before, err));
    FUSE_TRY(weigh(logic, err));
    fuse_logic_compile(logic);
    for (const struct fuse_logic_version *version = logic->version; version; version = version->next)
        segments = version->flow.segments > segments ? version->flow.segments : segments;
    if (!fuse_flow_reserve(logic, segments))
        fuse_logic_refuse(logic, logic->version->rule->head);
    FUSE_TRY(fuse_logic_agree(logic, err));
    feed_indexes(logic, false, 0, rules->relations);
    return FUSE_OK;
}

/* ---- another distribution ---- */

static int64_t least_tuples(const struct fuse_logic *logic) {
    return logic->request.looked_at_above > 0 ? logic->request.looked_at_above : LOOKED_AT_ABOVE;
}

/* Whether a border between turns is one to look at how tuples lie: as often as their number has doubled. */
static bool is_due(struct fuse_logic *logic, const struct fuse_logic_turn *told) {
    const struct fuse_logic_request *request = &logic->request;
    logic->grown += told->fresh;
    if (logic->comm->size == 1 || request->keeps_stages || request->is_naive || logic->grown < least_tuples(logic) ||
        logic->grown < 2 * logic->looked_at)
        return false;
    logic->looked_at = logic->grown;
    return true;
}

/* Collective: whether tuples are to be distributed otherwise from now on. Parts of rules that have become too large to be on every rank
 * are not copied any more; relations of which one rank has half as much again as its share are spread by all columns. */
static enum fuse_status find_faults(bool *found, struct fuse_logic *logic, struct fuse_error *err) {
    enum { BYTES, SHORT, COUNTERS };
    const int relations = logic->rules->relations;
    const struct fuse_arena_mark mark = fuse_arena_mark(logic->scratch);
    int64_t *sum = FUSE_NEW_ARRAY(logic->scratch, int64_t, COUNTERS + relations);
    int64_t *most = FUSE_NEW_ARRAY(logic->scratch, int64_t, relations + 1);
    sum[SHORT] = logic->ledger.most > 0 && logic->ledger.used > logic->ledger.most / 2; /* no room for two of each */
    for (int r = 0; r < relations; r++)
        if (logic->relation[r].rule->stratum == logic->stratum) {
            sum[COUNTERS + r] = most[r] = logic->relation[r].set.n;
            if (r >= logic->asked)
                sum[BYTES] += 16 * fuse_logic_row_words(&logic->relation[r]) * logic->relation[r].set.n;
        }
    FUSE_TRY(logic->comm->ops->reduce_int64(logic->comm, FUSE_REDUCE_SUM, sum, COUNTERS + relations, err));
    FUSE_TRY(logic->comm->ops->reduce_int64(logic->comm, FUSE_REDUCE_MAX, most, relations, err));
    *found = false;
    if (sum[SHORT] == 0 && logic->copies_parts && sum[BYTES] > fuse_logic_copied_bytes(logic)) {
        logic->copies_parts = false;
        *found = true;
    }
    for (int r = 0; r < logic->asked && sum[SHORT] == 0; r++)
        if (!keeps_place(logic, r) && logic->relation[r].rule->columns > 1 && !logic->relation[r].is_spread &&
            sum[COUNTERS + r] >= least_tuples(logic) &&
            most[r] > fuse_sat_mul(3, sum[COUNTERS + r]) / (2 * logic->comm->size)) {
            logic->relation[r].is_spread = true;
            *found = true;
        }
    fuse_arena_rewind(logic->scratch, mark);
    return FUSE_OK;
}

/* Collective. All tuples so far are given again, and the next turn joins them all. What it then has is what it would have had. */
static enum fuse_status distribute_again(struct fuse_logic *logic, struct fuse_error *err) {
    bool overflow = false;
    for (int r = 0; r < logic->rules->relations; r++) {
        struct fuse_logic_relation *relation = &logic->relation[r];
        if (relation->rule->stratum != logic->stratum || keeps_place(logic, r))
            continue;
        if (r < logic->asked && logic->status == FUSE_OK &&
            !fuse_set_dump(&relation->set, &logic->ledger, &relation->given, false, &overflow))
            fuse_logic_refuse(logic, r);
        fuse_set_close(&relation->set, &logic->ledger);
        fuse_run_close(&relation->fresh, &logic->ledger);
        fuse_run_close(&relation->delta, &logic->ledger);
    }
    fuse_logic_close_indexes(logic);
    FUSE_TRY(fuse_logic_agree(logic, err));
    return begin_turns(logic, true, err);
}

static enum fuse_status take_turns(struct fuse_logic *logic, struct fuse_error *err) {
    bool is_recursive = false;
    logic->first_turn = logic->turn + 1;
    for (const struct fuse_logic_version *version = logic->version; version; version = version->next)
        is_recursive |= version->is_delta;
    for (int64_t turn = 1;; turn++) {
        struct fuse_logic_turn told = {.stratum = logic->stratum, .turn = turn};
        logic->turn++;
        FUSE_TRY(take_turn(logic, &told, err));
        logic->report.turns++;
        logic->report.derived += told.derived;
        logic->report.sent_bytes += told.sent_bytes;
        if (logic->request.turn)
            logic->request.turn(logic->request.context, &told);
        if (!is_recursive || told.fresh == 0)
            return FUSE_OK;
        if (turn == logic->request.max_turns)
            return stop_early(logic, turn, err);
        if (is_due(logic, &told)) {
            bool found;
            FUSE_TRY(find_faults(&found, logic, err));
            if (found)
                FUSE_TRY(distribute_again(logic, err));
        }
    }
}

enum fuse_status fuse_logic_run_stratum(struct fuse_logic *logic, struct fuse_error *err) {
    const struct fuse_rules *rules = logic->rules;
    struct shortcut shortcut;
    bool done = false;
    shortcut.is_linear = fuse_logic_is_linear(&shortcut.linear, logic);
    shortcut.is_mutual = !shortcut.is_linear && fuse_logic_is_mutual(&shortcut.mutual, logic);
    if (shortcut.is_linear)
        FUSE_TRY(fuse_logic_take_linear(&done, logic, &shortcut.linear, NULL, err));
    if (done)
        return FUSE_OK;
    logic->copies_parts = logic->comm->size > 1 && logic->request.copied_bytes >= 0;
    logic->grown = logic->looked_at = 0;
    FUSE_TRY(begin_turns(logic, false, err));
    if (shortcut.is_linear || shortcut.is_mutual)
        FUSE_TRY(skip_turns(&done, logic, &shortcut, err));
    if (done)
        return FUSE_OK;
    FUSE_TRY(take_turns(logic, err));
    fuse_logic_close_indexes(logic);
    for (int r = 0; r < rules->relations; r++)
        if (rules->relation[r].stratum == logic->stratum && r < logic->asked)
            finish(logic, r);
        else if (rules->relation[r].stratum == logic->stratum)
            fuse_logic_close_relation(logic, &logic->relation[r]);
    FUSE_TRY(fuse_logic_agree(logic, err));
    return fuse_logic_count_tuples(logic, logic->stratum, err);
}
