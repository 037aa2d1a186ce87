/* Strata and turns. */
#include "exec/logic_internal.h"

#include <inttypes.h>
#include <stdlib.h>

void fuse_logic_fail(struct fuse_logic *logic, enum fuse_status status, const struct fuse_error *err) {
    if (logic->status != FUSE_OK || status == FUSE_OK)
        return;
    logic->status = status;
    logic->error = *err;
}

void fuse_logic_refuse(struct fuse_logic *logic, int relation) {
    struct fuse_error err = {0};
    const struct fuse_logic_relation *r = &logic->relation[relation];
    struct fuse_text text = {.arena = logic->scratch};
    if (logic->status != FUSE_OK)
        return;
    fuse_text_add_size(&text, logic->ledger.used);
    if (logic->ledger.most > 0) {
        fuse_text_add(&text, " of ");
        fuse_text_add_size(&text, logic->ledger.most);
    }
    const int64_t held = r->is_finished ? r->rows.n : r->set.n + r->collected.n + r->given.n;
    fuse_fail(&err, FUSE_EMEMORY,
              "not enough memory for relation '%s': a rank has %" PRId64 " of its tuples, and %s in use", r->rule->name,
              held, text.at);
    fuse_hint(&err, "run on more ranks, or give each rank more memory");
    fuse_logic_fail(logic, FUSE_EMEMORY, &err);
}

enum fuse_status fuse_logic_agree(struct fuse_logic *logic, struct fuse_error *err) {
    struct fuse_error local = logic->error;
    enum fuse_status status = fuse_agree(logic->comm, logic->status, &local);
    if (status != FUSE_OK) {
        logic->status = status;
        logic->error = local;
        *err = local;
    }
    return status;
}

/* ---- open, add, close ---- */

static void open_relations(struct fuse_logic *logic, int first) {
    for (int r = 0; r < logic->rules->relations; r++) {
        struct fuse_logic_relation *relation = &logic->relation[r];
        relation->rule = &logic->rules->relation[r];
        if (r < first)
            continue;
        relation->packing = fuse_rule_pack(relation->rule->columns, relation->rule->extent);
        relation->values = relation->rule->dtype != FUSE_BOOL;
        relation->given.words = fuse_logic_row_words(relation);
    }
}

enum fuse_status fuse_logic_open(struct fuse_logic **out, const struct fuse_logic_request *request,
                                 struct fuse_error *err) {
    const int ranks = request->comm->size;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_arena *scratch = fuse_arena_open(NULL);
    if (!arena || !scratch) {
        if (arena)
            fuse_arena_close(arena);
        if (scratch)
            fuse_arena_close(scratch);
        return fuse_fail(err, FUSE_EMEMORY, "not enough memory to evaluate rules");
    }
    struct fuse_logic *logic = FUSE_NEW(arena, struct fuse_logic);
    logic->request = *request;
    logic->rules = request->rules;
    logic->asked = logic->rules->relations;
    logic->comm = request->comm;
    logic->arena = arena;
    logic->scratch = scratch;
    logic->ledger.most = request->memory_bytes;
    logic->relation = FUSE_NEW_ARRAY(arena, struct fuse_logic_relation, logic->rules->relations + 1);
    logic->arrived = FUSE_NEW_ARRAY(arena, struct fuse_block, FUSE_RULE_ATOMS + 2);
    logic->filled = FUSE_NEW_ARRAY(arena, int64_t, ranks);
    logic->headers = FUSE_NEW_ARRAY(arena, int64_t, 4 * (int64_t)ranks);
    logic->message = FUSE_NEW_ARRAY(arena, struct fuse_message, 2 * (int64_t)ranks);
    open_relations(logic, 0);
    *out = logic;
    return FUSE_OK;
}

enum fuse_status fuse_logic_add(struct fuse_logic *logic, int relation, const struct fuse_logic_rows *rows,
                                struct fuse_error *err) {
    struct fuse_logic_relation *r = &logic->relation[relation];
    const struct fuse_rule_packing *packing = &r->packing;
    if (!fuse_run_reserve(&r->given, &logic->ledger, rows->n)) {
        fuse_logic_refuse(logic, relation);
        *err = logic->error;
        return logic->status;
    }
    for (int64_t i = 0; i < rows->n; i++) {
        uint64_t *to = fuse_run_row(&r->given, r->given.n + i);
        for (int w = 0; w < packing->words; w++)
            to[w] = 0;
        for (int c = 0; c < packing->columns; c++) {
            const int64_t id = rows->id[c][i];
            if (id < 0 || id >= r->rule->extent[c])
                return fuse_fail(err, FUSE_EBUG, "an id of relation '%s' is %" PRId64 ", and its column has %" PRId64,
                                 r->rule->name, id, r->rule->extent[c]);
            to[packing->word[c]] |= (uint64_t)id << packing->shift[c];
        }
        if (r->values)
            to[packing->words] = ((const uint64_t *)rows->value)[i];
    }
    r->given.n += rows->n;
    return FUSE_OK;
}

static void close_relation(struct fuse_logic *logic, struct fuse_logic_relation *relation) {
    struct fuse_run *run[] = {&relation->given, &relation->fresh, &relation->delta, &relation->collected,
                              &relation->rows};
    for (size_t k = 0; k < sizeof run / sizeof *run; k++)
        fuse_run_close(run[k], &logic->ledger);
    fuse_set_close(&relation->set, &logic->ledger);
    fuse_logic_close_reach(logic, relation);
}

static void close_indexes(struct fuse_logic *logic) {
    for (struct fuse_logic_index *index = logic->index; index; index = index->next) {
        fuse_index_close(&index->index, &logic->ledger);
        if (index->feed.run)
            fuse_run_close(index->feed.run, &logic->ledger);
    }
    logic->index = NULL;
    logic->version = NULL;
}

static void close_buffers(struct fuse_logic *logic) {
    bool given = fuse_block_resize(&logic->send, &logic->ledger, 0);
    while (logic->depths > 0)
        given &= fuse_block_resize(&logic->arrived[--logic->depths], &logic->ledger, 0);
    logic->piece = 0;
    (void)given;
}

void fuse_logic_drop(struct fuse_logic *logic, int relation) {
    close_relation(logic, &logic->relation[relation]);
}

void fuse_logic_close(struct fuse_logic *logic) {
    if (!logic)
        return;
    close_indexes(logic);
    close_buffers(logic);
    for (int r = 0; r < logic->rules->relations; r++)
        close_relation(logic, &logic->relation[r]);
    struct fuse_arena *arena = logic->arena;
    fuse_arena_close(logic->scratch);
    fuse_arena_close(arena);
}

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
    if (rule->columns == 2 && keys == 1)
        fuse_set_expect_rows(&relation->set, rule->extent[0], rule->extent[1], relation->packing.shift[0]);
}

/* Everybody's given tuples of a relation go home. */
static void bring_home(struct fuse_logic *logic, int relation,
                       bool (*arrive)(struct fuse_flow *, const uint64_t *, int64_t), struct fuse_run *run) {
    struct fuse_logic_relation *r = &logic->relation[relation];
    struct fuse_flow flow = {.relation = relation, .arrive = arrive, .run = run};
    struct fuse_route route = fuse_logic_home_route(logic, relation, logic->scratch);
    fuse_flow_open_move(&flow, logic, logic->scratch, r->given.words, &route);
    fuse_flow_pass(&flow, r->given.block.at, r->given.n);
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

static void take_input(struct fuse_logic *logic, int relation) {
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
static enum fuse_status count_tuples(struct fuse_logic *logic, int stratum, struct fuse_error *err) {
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
    }
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

/* The base of a linear recursion, then all of it at once. Where that is refused turns can be taken, from the base. */
static enum fuse_status skip_turns(bool *done, struct fuse_logic *logic, const struct fuse_linear *linear,
                                   struct fuse_error *err) {
    struct fuse_logic_relation *r = &logic->relation[linear->relation];
    bool overflow = false;
    for (const struct fuse_logic_version *version = logic->version; version; version = version->next)
        if (!version->is_delta)
            evaluate(logic, version, true);
    logic->derived = 0;
    r->fresh.n = r->delta.n = 0;
    if (logic->status == FUSE_OK && !fuse_set_dump(&r->set, &logic->ledger, &r->delta, false, &overflow))
        fuse_logic_refuse(logic, linear->relation);
    FUSE_TRY(fuse_logic_agree(logic, err));
    FUSE_TRY(fuse_logic_take_linear(done, logic, linear, &r->delta, err));
    r->delta_total = r->delta.n;
    if (!*done)
        return logic->comm->ops->reduce_int64(logic->comm, FUSE_REDUCE_SUM, &r->delta_total, 1, err);
    close_indexes(logic);
    fuse_run_close(&r->fresh, &logic->ledger);
    fuse_run_close(&r->delta, &logic->ledger);
    fuse_set_close(&r->set, &logic->ledger);
    return FUSE_OK;
}

static enum fuse_status run_stratum(struct fuse_logic *logic, struct fuse_error *err) {
    const struct fuse_rules *rules = logic->rules;
    struct fuse_logic_turn before = {0};
    struct fuse_linear linear;
    bool done = false;
    int segments = 1;
    const bool is_linear = fuse_logic_is_linear(&linear, logic);
    if (is_linear)
        FUSE_TRY(fuse_logic_take_linear(&done, logic, &linear, NULL, err));
    if (done)
        return FUSE_OK;
    for (int r = 0; r < rules->relations; r++)
        if (rules->relation[r].stratum == logic->stratum) {
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
    if (is_linear)
        FUSE_TRY(skip_turns(&done, logic, &linear, err));
    if (done)
        return FUSE_OK;
    FUSE_TRY(take_turns(logic, err));
    close_indexes(logic);
    for (int r = 0; r < rules->relations; r++)
        if (rules->relation[r].stratum == logic->stratum && r < logic->asked)
            finish(logic, r);
        else if (rules->relation[r].stratum == logic->stratum)
            close_relation(logic, &logic->relation[r]);
    FUSE_TRY(fuse_logic_agree(logic, err));
    return count_tuples(logic, logic->stratum, err);
}

/* Now that sizes are known. The numbers of what was asked for stay. */
static void split_rules(struct fuse_logic *logic) {
    const int before = logic->rules->relations;
    int64_t *sizes = FUSE_NEW_ARRAY(logic->arena, int64_t, before + 1), largest = 1;
    if (logic->request.is_naive)
        return;
    for (int r = 0; r < before; r++) {
        sizes[r] = logic->relation[r].total;
        largest = sizes[r] > largest ? sizes[r] : largest;
    }
    for (int r = 0; r < before; r++)
        if (logic->rules->relation[r].stratum >= 0)
            sizes[r] = largest;
    logic->rules = fuse_rules_split(logic->arena, logic->rules, sizes);
    logic->relation = fuse_arena_grow(logic->arena, logic->relation, (size_t)before,
                                      (size_t)logic->rules->relations + 1, sizeof *logic->relation);
    open_relations(logic, before);
    fuse_logic_choose_homes(logic);
}

static enum fuse_status run_strata(struct fuse_logic *logic, struct fuse_error *err) {
    fuse_logic_choose_homes(logic);
    for (int r = 0; r < logic->rules->relations; r++)
        logic->given_rows += logic->relation[r].given.n;
    if (!fuse_flow_reserve(logic, 1) && logic->rules->relations > 0)
        fuse_logic_refuse(logic, 0);
    FUSE_TRY(fuse_logic_agree(logic, err));
    FUSE_TRY(logic->comm->ops->reduce_int64(logic->comm, FUSE_REDUCE_SUM, &logic->given_rows, 1, err));
    for (int r = 0; r < logic->rules->relations; r++)
        if (logic->relation[r].rule->stratum < 0)
            take_input(logic, r);
    FUSE_TRY(fuse_logic_agree(logic, err));
    FUSE_TRY(count_tuples(logic, -1, err));
    split_rules(logic);
    for (logic->stratum = 0; logic->stratum < logic->rules->strata; logic->stratum++) {
        struct fuse_arena_mark mark = fuse_arena_mark(logic->scratch);
        FUSE_TRY(run_stratum(logic, err));
        fuse_arena_rewind(logic->scratch, mark);
    }
    return FUSE_OK;
}

enum fuse_status fuse_logic_run(struct fuse_logic *logic, struct fuse_logic_report *report, struct fuse_error *err) {
    enum fuse_status status = run_strata(logic, err);
    close_indexes(logic);
    close_buffers(logic);
    FUSE_TRY(status);
    logic->report.peak_bytes = logic->ledger.peak;
    FUSE_TRY(logic->comm->ops->reduce_int64(logic->comm, FUSE_REDUCE_MAX, &logic->report.peak_bytes, 1, err));
    *report = logic->report;
    return FUSE_OK;
}
