/* What was derived, in the order of its ids: a sort by samples, then every rank gets its exact part. */
#include "exec/logic_internal.h"

#include <stdlib.h>

#define SAMPLES 64 /* of each rank */

enum fuse_status fuse_logic_count(int64_t *count, struct fuse_logic *logic, int relation, struct fuse_error *err) {
    const struct fuse_logic_relation *r = &logic->relation[relation];
    int64_t n = r->rows.n;
    if (r->reach) {
        *count = fuse_reach_count(r->reach);
        return FUSE_OK;
    }
    FUSE_TRY(logic->comm->ops->reduce_int64(logic->comm, FUSE_REDUCE_SUM, &n, 1, err));
    *count = n;
    return FUSE_OK;
}

static void sort_here(struct fuse_logic *logic, int relation) {
    struct fuse_logic_relation *r = &logic->relation[relation];
    if (logic->status != FUSE_OK || r->is_sorted)
        return;
    if (!fuse_run_sort(&r->rows, &logic->ledger, r->packing.words))
        fuse_logic_refuse(logic, relation);
    r->is_sorted = true;
}

/* Every rank sends its samples to every rank, and all choose the same splitters. */
static enum fuse_status choose_splitters(struct fuse_logic *logic, int relation, uint64_t *splitter,
                                         struct fuse_error *err) {
    const struct fuse_logic_relation *r = &logic->relation[relation];
    const int ranks = logic->comm->size, me = logic->comm->rank, keys = r->packing.words, words = keys + 1;
    const int64_t part = (int64_t)SAMPLES * words;
    struct fuse_run all = {.words = words};
    int n = 0;
    if (!fuse_run_reserve(&all, &logic->ledger, (int64_t)SAMPLES * ranks))
        fuse_logic_refuse(logic, relation);
    FUSE_TRY(fuse_logic_agree(logic, err));
    uint64_t *sample = all.block.at;
    /* A sample's last word says whether there is one: ranks without rows have none. */
    for (int64_t k = 0; k < SAMPLES; k++) {
        uint64_t *to = sample + me * part + k * words;
        to[keys] = r->rows.n > 0;
        if (r->rows.n > 0)
            memcpy(to, fuse_run_row(&r->rows, fuse_split_begin(r->rows.n, SAMPLES, k)), (size_t)keys * 8);
    }
    for (int p = 0; p < ranks; p++) {
        if (p == me)
            continue;
        logic->message[n] = (struct fuse_message){.peer = p, .data = sample + me * part, .bytes = (size_t)part * 8};
        logic->message[ranks + n] =
            (struct fuse_message){.peer = p, .data = sample + p * part, .bytes = (size_t)part * 8};
        n++;
    }
    enum fuse_status status =
        logic->comm->ops->exchange_start(logic->comm, 0, NULL, logic->message, n, logic->message + ranks, n, err);
    if (status == FUSE_EMEMORY || status == FUSE_EBUG)
        fuse_comm_abort(logic->comm, (int)status);
    enum fuse_status waited = logic->comm->ops->exchange_wait(logic->comm, 0, err);
    fuse_logic_fail(logic, status != FUSE_OK ? status : waited, err);
    int64_t there = 0;
    for (int64_t k = 0; k < (int64_t)SAMPLES * ranks; k++)
        if (sample[k * words + keys] != 0)
            memmove(sample + there++ * words, sample + k * words, (size_t)words * 8);
    all.n = there;
    if (logic->status == FUSE_OK && !fuse_run_sort(&all, &logic->ledger, keys))
        fuse_logic_refuse(logic, relation);
    for (int p = 1; p < ranks && there > 0; p++)
        memcpy(splitter + (int64_t)(p - 1) * keys, fuse_run_row(&all, fuse_split_begin(there, ranks, p)),
               (size_t)keys * 8);
    fuse_run_close(&all, &logic->ledger);
    return fuse_logic_agree(logic, err);
}

/* Rows go by a route, and are sorted where they arrive. */
static enum fuse_status send_sorted(struct fuse_logic *logic, int relation, const struct fuse_route *route,
                                    struct fuse_error *err) {
    struct fuse_logic_relation *r = &logic->relation[relation];
    struct fuse_run arrived = {.words = r->rows.words};
    struct fuse_flow flow = {.relation = relation, .arrive = fuse_logic_arrive_in_run, .run = &arrived};
    fuse_flow_open_move(&flow, logic, logic->scratch, r->rows.words, route);
    fuse_flow_pass(&flow, r->rows.block.at, r->rows.n);
    fuse_run_close(&r->rows, &logic->ledger);
    r->rows = arrived;
    r->is_sorted = false;
    sort_here(logic, relation);
    return fuse_logic_agree(logic, err);
}

static enum fuse_status sort_everywhere(struct fuse_logic *logic, int relation, struct fuse_error *err) {
    const int ranks = logic->comm->size, keys = logic->relation[relation].packing.words;
    uint64_t *splitter = FUSE_NEW_ARRAY(logic->scratch, uint64_t, (int64_t)keys * ranks);
    if (!fuse_flow_reserve(logic, 1))
        fuse_logic_refuse(logic, relation);
    sort_here(logic, relation);
    FUSE_TRY(fuse_logic_agree(logic, err));
    if (ranks == 1)
        return FUSE_OK;
    FUSE_TRY(choose_splitters(logic, relation, splitter, err));
    struct fuse_route route = {.kind = FUSE_ROUTE_KEYS, .keys = keys, .splitter = splitter};
    FUSE_TRY(send_sorted(logic, relation, &route, err));
    route = (struct fuse_route){.kind = FUSE_ROUTE_PLACES};
    FUSE_TRY(fuse_sum_before(&route.place, &route.of, logic->comm, logic->relation[relation].rows.n, err));
    return send_sorted(logic, relation, &route, err);
}

enum fuse_status fuse_logic_sort(struct fuse_logic *logic, int relation, struct fuse_error *err) {
    if (logic->relation[relation].reach)
        return fuse_logic_sort_reach(logic, &logic->relation[relation], err);
    struct fuse_arena_mark mark = fuse_arena_mark(logic->scratch);
    enum fuse_status status = sort_everywhere(logic, relation, err);
    fuse_arena_rewind(logic->scratch, mark);
    return status;
}

int64_t fuse_logic_held(const struct fuse_logic *logic, int relation) {
    const struct fuse_logic_relation *r = &logic->relation[relation];
    return r->reach ? fuse_reach_held(r->reach) : r->rows.n;
}

void fuse_logic_read(const struct fuse_logic *logic, int relation, int64_t begin, int64_t n, int64_t *const id[],
                     void *value, int64_t *stage) {
    const struct fuse_logic_relation *r = &logic->relation[relation];
    if (r->reach) {
        fuse_reach_read(r->reach, begin, n, id[0], id[1]);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        const uint64_t *row = fuse_run_row(&r->rows, begin + i);
        for (int c = 0; c < r->packing.columns; c++)
            id[c][i] = fuse_rule_unpack_id(&r->packing, row, c);
        if (value && r->values)
            memcpy((char *)value + i * 8, row + r->packing.words, 8);
        if (stage)
            stage[i] = logic->request.keeps_stages ? (int64_t)row[r->rows.words - 1] - 1 : 0;
    }
}
