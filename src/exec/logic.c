/* Rules from open to close, stratum by stratum. */
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
    if (logic->ledger.refused > 0) {
        fuse_text_add(&text, " and needs ");
        fuse_text_add_size(&text, logic->ledger.refused);
        fuse_text_add(&text, " more");
    }
    const int64_t held = r->is_finished ? r->rows.n : r->set.n + r->collected.n + r->given.n;
    fuse_fail(&err, FUSE_EMEMORY, "not enough memory for relation '%s': a rank has %" PRId64 " of its tuples, uses %s",
              r->rule->name, held, text.at);
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

void fuse_logic_close_relation(struct fuse_logic *logic, struct fuse_logic_relation *relation) {
    struct fuse_run *run[] = {&relation->given, &relation->kept,      &relation->fresh,
                              &relation->delta, &relation->collected, &relation->rows};
    for (size_t k = 0; k < sizeof run / sizeof *run; k++)
        fuse_run_close(run[k], &logic->ledger);
    fuse_set_close(&relation->set, &logic->ledger);
    fuse_logic_close_reach(logic, relation);
}

void fuse_logic_close_indexes(struct fuse_logic *logic) {
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
    fuse_logic_close_relation(logic, &logic->relation[relation]);
}

int64_t fuse_logic_bytes(const struct fuse_logic *logic) {
    return logic->ledger.used;
}

void fuse_logic_close(struct fuse_logic *logic) {
    if (!logic)
        return;
    fuse_logic_close_indexes(logic);
    close_buffers(logic);
    for (int r = 0; r < logic->rules->relations; r++)
        fuse_logic_close_relation(logic, &logic->relation[r]);
    struct fuse_arena *arena = logic->arena;
    fuse_arena_close(logic->scratch);
    fuse_arena_close(arena);
}

/* ---- run ---- */

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
            fuse_logic_take_input(logic, r);
    FUSE_TRY(fuse_logic_agree(logic, err));
    FUSE_TRY(fuse_logic_count_tuples(logic, -1, err));
    split_rules(logic);
    for (logic->stratum = 0; logic->stratum < logic->rules->strata; logic->stratum++) {
        struct fuse_arena_mark mark = fuse_arena_mark(logic->scratch);
        FUSE_TRY(fuse_logic_run_stratum(logic, err));
        fuse_arena_rewind(logic->scratch, mark);
    }
    return FUSE_OK;
}

enum fuse_status fuse_logic_run(struct fuse_logic *logic, struct fuse_logic_report *report, struct fuse_error *err) {
    enum fuse_status status = run_strata(logic, err);
    fuse_logic_close_indexes(logic);
    close_buffers(logic);
    FUSE_TRY(status);
    logic->report.peak_bytes = logic->ledger.peak;
    FUSE_TRY(logic->comm->ops->reduce_int64(logic->comm, FUSE_REDUCE_MAX, &logic->report.peak_bytes, 1, err));
    *report = logic->report;
    return FUSE_OK;
}
