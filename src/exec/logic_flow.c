/* Flows of rows: pipelines on each rank, exchanges of bounded size between them. The deepest segment that has something to do on
 * any rank comes first, so that what has been sent is used up before more is made. */
#include "exec/logic_internal.h"

#include <stdlib.h>

#define SEND_WORDS ((int64_t)1 << 19) /* of one rank at a time, to all others together */

static int64_t rank_of(const struct fuse_logic *logic, struct fuse_route *route, const uint64_t *row) {
    const int64_t ranks = logic->comm->size;
    if (route->kind == FUSE_ROUTE_KEYS) {
        int64_t low = 0, high = ranks - 1; /* splitters that are <= the row */
        while (low < high) {
            int64_t middle = (low + high) / 2;
            const uint64_t *splitter = route->splitter + middle * route->keys;
            int order = 0;
            for (int k = 0; k < route->keys && order == 0; k++)
                order = (splitter[k] > row[k]) - (splitter[k] < row[k]);
            if (order <= 0)
                low = middle + 1;
            else
                high = middle;
        }
        return low;
    }
    if (route->kind == FUSE_ROUTE_PLACES) {
        int64_t place = route->place++;
        int64_t rank = (int64_t)(((__int128)place * ranks + ranks - 1) / route->of);
        while (rank > 0 && fuse_split_begin(route->of, ranks, rank) > place)
            rank--;
        while (rank + 1 < ranks && fuse_split_begin(route->of, ranks, rank + 1) <= place)
            rank++;
        return rank;
    }
    uint64_t hash = 0x2545f4914f6cdd1du;
    for (int i = 0; i < route->ids; i++) {
        const struct fuse_route_id *id = &route->id[i];
        int64_t value = id->offset;
        if (!id->is_constant)
            value += (int64_t)(row[id->word] >> id->shift & id->mask);
        if (route->ids == 1)
            return fuse_share_of((uint64_t)value, ranks);
        hash = fuse_mix(hash ^ (uint64_t)value, 0xa0761d6478bd642fu);
    }
    return (int64_t)((unsigned __int128)hash * (uint64_t)ranks >> 64);
}

static void put(struct fuse_logic *logic, int64_t rank, const uint64_t *row, int words) {
    uint64_t *to = (uint64_t *)logic->send.at + rank * logic->piece + logic->filled[rank];
    for (int w = 0; w < words; w++)
        to[w] = row[w];
    logic->filled[rank] += words;
}

/* The sink of a segment whose rows travel. */
static enum fuse_pipeline_end send_rows(void *context, const uint64_t *rows, int64_t n) {
    struct fuse_flow_segment *segment = context;
    struct fuse_logic *logic = segment->flow->logic;
    const int words = segment->pipeline.words;
    const int64_t most = logic->piece - (int64_t)words * FUSE_PIPELINE_BATCH;
    bool full = false;
    for (int64_t i = 0; i < n; i++) {
        const uint64_t *row = rows + i * words;
        if (segment->route.kind == FUSE_ROUTE_ALL) {
            for (int r = 0; r < logic->comm->size; r++)
                put(logic, r, row, words);
            full |= logic->filled[0] > most;
        } else {
            int64_t rank = rank_of(logic, &segment->route, row);
            put(logic, rank, row, words);
            full |= logic->filled[rank] > most;
        }
    }
    return full ? FUSE_PIPELINE_FULL : FUSE_PIPELINE_DONE;
}

/* The sink of a segment whose rows stay. */
static enum fuse_pipeline_end keep_rows(void *context, const uint64_t *rows, int64_t n) {
    struct fuse_flow_segment *segment = context;
    return segment->flow->arrive(segment->flow, rows, n) ? FUSE_PIPELINE_DONE : FUSE_PIPELINE_FAILED;
}

void fuse_flow_open(struct fuse_flow *flow, struct fuse_logic *logic, struct fuse_arena *arena) {
    flow->logic = logic;
    flow->is_local = true;
    for (int s = 0; s < flow->segments; s++) {
        struct fuse_flow_segment *segment = &flow->segment[s];
        if (logic->comm->size == 1)
            segment->route.kind = FUSE_ROUTE_HERE;
        segment->flow = flow;
        fuse_pipeline_open(&segment->run, &segment->pipeline, arena);
        segment->run.sink = segment->route.kind == FUSE_ROUTE_HERE ? keep_rows : send_rows;
        segment->run.context = segment;
        flow->is_local &= segment->route.kind == FUSE_ROUTE_HERE;
    }
}

void fuse_flow_open_move(struct fuse_flow *flow, struct fuse_logic *logic, struct fuse_arena *arena, int words,
                         const struct fuse_route *route) {
    flow->segments = 1;
    flow->segment = FUSE_NEW(arena, struct fuse_flow_segment);
    struct fuse_pipeline *pipeline = &flow->segment->pipeline;
    pipeline->levels = 1;
    pipeline->level = FUSE_NEW(arena, struct fuse_pipeline_level);
    pipeline->level->kind = FUSE_PIPELINE_ROWS;
    pipeline->level->words = words;
    pipeline->words = words;
    pipeline->moves = true;
    flow->segment->route = *route;
    fuse_flow_open(flow, logic, arena);
}

bool fuse_flow_reserve(struct fuse_logic *logic, int segments) {
    const int64_t ranks = logic->comm->size;
    if (ranks == 1)
        return true;
    if (logic->piece == 0) {
        int64_t piece = SEND_WORDS / ranks, least = (int64_t)2 * FUSE_PIPELINE_BATCH * (FUSE_RULE_WORDS + 4);
        piece = piece < least ? least : piece;
        if (!fuse_block_resize(&logic->send, &logic->ledger, (size_t)(ranks * piece) * 8))
            return false;
        logic->piece = piece;
    }
    while (logic->depths < segments) {
        if (!fuse_block_resize(&logic->arrived[logic->depths], &logic->ledger, (size_t)(ranks * logic->piece) * 8))
            return false;
        logic->depths++;
    }
    return true;
}

/* ---- exchange ---- */

enum { HEADER_WORDS, HEADER_STATE, HEADER };
enum { STATE_FAILED = 1, STATE_SENT = 2, STATE_PENDING = 4 };

/* A local failure to start leaves peers waiting, so it ends the job. */
static void swap(struct fuse_logic *logic, int sends, int receives) {
    struct fuse_error err = {0};
    enum fuse_status status = logic->comm->ops->exchange_start(logic->comm, 0, NULL, logic->message, sends,
                                                               logic->message + logic->comm->size, receives, &err);
    if (status == FUSE_EMEMORY || status == FUSE_EBUG)
        fuse_comm_abort(logic->comm, (int)status);
    if (status != FUSE_OK)
        fuse_logic_fail(logic, status, &err);
    err = (struct fuse_error){0};
    status = logic->comm->ops->exchange_wait(logic->comm, 0, &err);
    if (status != FUSE_OK)
        fuse_logic_fail(logic, status, &err);
}

/* What everybody knows after an exchange. */
struct news {
    bool failed, sent;
    int deepest; /* segment with something to do, -1: none; apart from what has just arrived */
};

static struct news swap_headers(struct fuse_logic *logic, int64_t state) {
    const int ranks = logic->comm->size, me = logic->comm->rank;
    int64_t *mine = logic->headers, *theirs = logic->headers + (int64_t)HEADER * ranks;
    int n = 0;
    for (int r = 0; r < ranks; r++)
        if (logic->filled[r] > 0)
            state |= STATE_SENT;
    for (int r = 0; r < ranks; r++) {
        mine[r * HEADER + HEADER_WORDS] = logic->filled[r];
        mine[r * HEADER + HEADER_STATE] = state;
        if (r == me)
            continue;
        logic->message[n] =
            (struct fuse_message){.peer = r, .data = mine + r * HEADER, .bytes = HEADER * sizeof(int64_t)};
        logic->message[ranks + n] =
            (struct fuse_message){.peer = r, .data = theirs + r * HEADER, .bytes = HEADER * sizeof(int64_t)};
        n++;
    }
    memcpy(theirs + me * HEADER, mine + me * HEADER, HEADER * sizeof(int64_t));
    swap(logic, n, n);
    struct news news = {.deepest = -1};
    for (int r = 0; r < ranks; r++) {
        int64_t said = theirs[r * HEADER + HEADER_STATE];
        int pending = (int)(said / STATE_PENDING) - 1;
        news.failed |= (said & STATE_FAILED) != 0;
        news.sent |= (said & STATE_SENT) != 0;
        news.deepest = pending > news.deepest ? pending : news.deepest;
    }
    return news;
}

/* Words that arrived in the area of a depth. */
static int64_t swap_rows(struct fuse_logic *logic, int depth) {
    const int ranks = logic->comm->size, me = logic->comm->rank;
    const int64_t *theirs = logic->headers + (int64_t)HEADER * ranks;
    uint64_t *send = logic->send.at, *area = logic->arrived[depth].at;
    int64_t words = 0;
    int sends = 0, receives = 0;
    for (int r = 0; r < ranks; r++) {
        const int64_t in = theirs[r * HEADER + HEADER_WORDS], out = logic->filled[r];
        if (r == me)
            memcpy(area + words, send + r * logic->piece, (size_t)out * 8);
        else {
            if (out > 0)
                logic->message[sends++] =
                    (struct fuse_message){.peer = r, .data = send + r * logic->piece, .bytes = (size_t)out * 8};
            if (in > 0)
                logic->message[ranks + receives++] =
                    (struct fuse_message){.peer = r, .data = area + words, .bytes = (size_t)in * 8};
        }
        words += in;
        logic->filled[r] = 0;
    }
    swap(logic, sends, receives);
    return words;
}

/* ---- passing ---- */

static void work(struct fuse_flow *flow, int s) {
    struct fuse_flow_segment *segment = &flow->segment[s];
    struct fuse_logic *logic = flow->logic;
    if (logic->status != FUSE_OK)
        return;
    /* Failures are recorded where they happen. */
    fuse_pipeline_work(&segment->run);
    if (segment->run.overflow) {
        struct fuse_error err = {0};
        const struct fuse_rule *rule = segment->rule;
        fuse_fail_at(&err, FUSE_EFAILED, rule->span, "integer overflow in '%s': a value beyond 64 bits",
                     logic->rules->relation[rule->head].name);
        fuse_logic_fail(logic, FUSE_EFAILED, &err);
    }
}

static void feed(struct fuse_flow *flow, int s, const uint64_t *rows, int64_t words) {
    int wide = flow->segment[s].pipeline.level[0].words;
    fuse_pipeline_feed(&flow->segment[s].run, rows, wide > 0 ? words / wide : words);
}

static int deepest_pending(const struct fuse_flow *flow) {
    int s = flow->segments - 1;
    while (s >= 0 && !fuse_pipeline_is_pending(&flow->segment[s].run))
        s--;
    return s;
}

/* What segment s has put out goes to where it belongs. */
static struct news exchange(struct fuse_flow *flow, int s) {
    struct fuse_logic *logic = flow->logic;
    const bool is_last = s == flow->segments - 1;
    int64_t state =
        (int64_t)(deepest_pending(flow) + 1) * STATE_PENDING + (logic->status != FUSE_OK ? STATE_FAILED : 0);
    struct news news = swap_headers(logic, state);
    if (!news.sent || news.failed) {
        for (int r = 0; r < logic->comm->size; r++)
            logic->filled[r] = 0;
        return news;
    }
    int64_t words = swap_rows(logic, s);
    const uint64_t *rows = logic->arrived[s].at;
    if (logic->status != FUSE_OK)
        return news;
    if (is_last)
        flow->arrive(flow, rows, words / flow->segment[s].pipeline.words);
    else {
        feed(flow, s + 1, rows, words);
        if (flow->segment[s + 1].route.kind == FUSE_ROUTE_HERE)
            work(flow, s + 1);
        else
            news.deepest = s + 1;
    }
    return news;
}

void fuse_flow_pass(struct fuse_flow *flow, const uint64_t *rows, int64_t n) {
    struct fuse_logic *logic = flow->logic;
    for (int s = 0; s < flow->segments; s++)
        flow->segment[s].run.level = -1;
    if (logic->status == FUSE_OK)
        fuse_pipeline_feed(&flow->segment[0].run, rows, n);
    if (flow->is_local) {
        work(flow, 0);
        return;
    }
    for (int s = 0; s >= 0;) {
        work(flow, s);
        struct news news = exchange(flow, s);
        if (news.failed)
            break;
        s = news.deepest;
    }
    for (int s = 0; s < flow->segments; s++)
        flow->segment[s].run.level = -1;
}
