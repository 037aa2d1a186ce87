/* Blocks on all ranks. The first rank of each node gets all pairs of what is given and prepares the blocks in memory that the ranks of
 * its node share. A node has its ranks' share of the blocks, and deals them to its ranks as they come: a counter in shared memory,
 * which needs nobody to answer. */
#include "exec/reach_internal.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct board {
    _Atomic int64_t next; /* of the node's blocks */
    int64_t first_rank;
};

/* What a rank knows of the nodes while it computes. */
struct nodes {
    struct fuse_comm_shared shared; /* the board */
    struct board own;               /* where nothing can be shared */
    struct board *board;
    int64_t *first_rank; /* [ranks]: the first rank of each one's node */
    bool *is_first;      /* [ranks] */
    int *member;         /* the ranks of this node */
    int members;
    bool has_several; /* some node has several ranks */
};

/* Bytes that the first rank of a node takes before there is a block; SIZE_MAX: beyond what this way can do. */
static size_t bytes_before(const struct fuse_reach_request *q, int64_t base, int64_t step) {
    if (q->rows >= UINT32_MAX || q->columns >= UINT32_MAX)
        return SIZE_MAX;
    const int64_t most = base > step ? base : step;
    return fuse_adjacency_bytes(q->columns, step) + fuse_adjacency_bytes(q->base_is_step ? 0 : q->rows, base) +
           (size_t)most * 16 + fuse_closure_open_bytes(q->rows, q->columns, q->base_is_step ? step : base, step);
}

int fuse_reach_owner(const struct fuse_reach *reach, int64_t class) {
    return (int)reach->owner[class / FUSE_CLOSURE_BLOCK] - 1;
}

void fuse_reach_place(struct fuse_reach *reach) {
    for (int64_t x = 0; x < reach->request.rows; x++) {
        const int64_t class = fuse_closure_class_of(reach->closure, x);
        reach->first[x + 1] = reach->first[x] + (class < 0 ? 0 : reach->row_count[class]);
    }
}

/* What this rank has is what its blocks have. */
static enum fuse_status place_own_rows(struct fuse_reach *reach, struct fuse_error *err) {
    const size_t classes = (size_t)fuse_closure_classes(reach->closure) + 1;
    reach->row_count = calloc(classes, sizeof *reach->row_count);
    reach->first = calloc((size_t)reach->request.rows + 1, sizeof *reach->first);
    reach->row_at = calloc(classes, sizeof *reach->row_at);
    reach->arrived = calloc((size_t)reach->request.comm->size, sizeof *reach->arrived);
    if (!reach->row_count || !reach->first || !reach->row_at || !reach->arrived)
        return fuse_fail(err, FUSE_EMEMORY, "no memory for the rows of a closure");
    for (int64_t k = 0; k < fuse_closure_classes(reach->closure); k++)
        if (fuse_reach_owner(reach, k) == reach->request.comm->rank)
            reach->row_count[k] = fuse_closure_row_of_class(reach->result, k).n;
    fuse_reach_place(reach);
    reach->end = reach->first[reach->request.rows];
    reach->next = -1;
    return FUSE_OK;
}

/* ---- nodes ----------------------------------------------------------------------------------------------------------- */

static enum fuse_status open_board(struct nodes *nodes, struct fuse_comm *comm, struct fuse_error *err) {
    struct fuse_error ignored = {0};
    const enum fuse_status status = fuse_comm_share(&nodes->shared, comm, sizeof *nodes->board, &ignored);
    if (status != FUSE_OK && status != FUSE_EMEMORY) {
        *err = ignored;
        return status;
    }
    nodes->board = status == FUSE_OK ? nodes->shared.at : &nodes->own;
    if (nodes->shared.local_rank == 0)
        nodes->board->first_rank = comm->rank;
    return fuse_comm_sync(comm, err);
}

static enum fuse_status open_nodes(struct nodes *nodes, struct fuse_comm *comm, struct fuse_error *err) {
    nodes->first_rank = calloc((size_t)comm->size, sizeof *nodes->first_rank);
    nodes->is_first = calloc((size_t)comm->size, sizeof *nodes->is_first);
    nodes->member = calloc((size_t)comm->size, sizeof *nodes->member);
    enum fuse_status status = FUSE_OK;
    if (!nodes->first_rank || !nodes->is_first || !nodes->member)
        status = fuse_fail(err, FUSE_EMEMORY, "no memory for the ranks of a job");
    FUSE_TRY(fuse_agree(comm, status, err));
    FUSE_TRY(open_board(nodes, comm, err));
    nodes->first_rank[comm->rank] = nodes->board->first_rank;
    FUSE_TRY(fuse_reach_sum(comm, nodes->first_rank, comm->size, err));
    for (int r = 0; r < comm->size; r++) {
        nodes->is_first[r] = nodes->first_rank[r] == r;
        nodes->has_several |= !nodes->is_first[r];
        if (nodes->first_rank[r] == nodes->first_rank[comm->rank])
            nodes->member[nodes->members++] = r;
    }
    return FUSE_OK;
}

static void close_nodes(struct nodes *nodes, struct fuse_comm *comm) {
    fuse_comm_unshare(&nodes->shared, comm);
    free(nodes->first_rank);
    free(nodes->is_first);
    free(nodes->member);
}

/* ---- blocks prepared -------------------------------------------------------------------------------------------------- */

/* Where there is no memory that can be shared: every rank gets what the first one of its node has prepared. */
static enum fuse_status send_closure(struct fuse_reach *reach, const struct nodes *nodes, void **packed, int64_t bytes,
                                     bool *fits, struct fuse_error *err) {
    struct fuse_comm *comm = reach->request.comm;
    const bool is_first = nodes->is_first[comm->rank];
    struct fuse_message *message = calloc((size_t)nodes->members, sizeof *message);
    *packed = malloc((size_t)bytes + 64);
    FUSE_TRY(fuse_reach_fits(fits, reach, message && *packed ? FUSE_OK : FUSE_EMEMORY, err));
    if (!*fits) {
        free(message);
        return FUSE_OK;
    }
    if (is_first)
        fuse_closure_pack(*packed, reach->closure);
    for (int k = 1; k < nodes->members && is_first; k++)
        message[k] = (struct fuse_message){.peer = nodes->member[k], .data = *packed, .bytes = (size_t)bytes};
    if (!is_first)
        message[0] = (struct fuse_message){.peer = nodes->member[0], .data = *packed, .bytes = (size_t)bytes};
    enum fuse_status status = comm->ops->exchange_start(comm, 0, NULL, message + 1, is_first ? nodes->members - 1 : 0,
                                                        message, is_first ? 0 : 1, err);
    if (status == FUSE_EMEMORY || status == FUSE_EBUG)
        fuse_comm_abort(comm, (int)status);
    const enum fuse_status waited = comm->ops->exchange_wait(comm, 0, err);
    free(message);
    return fuse_agree(comm, status != FUSE_OK ? status : waited, err);
}

/* From the first rank of each node to the others. `memory` is where it is, or *packed. */
static enum fuse_status share_closure(struct fuse_reach *reach, const struct nodes *nodes,
                                      struct fuse_comm_shared *memory, void **packed, bool *fits,
                                      struct fuse_error *err) {
    struct fuse_comm *comm = reach->request.comm;
    struct fuse_error ignored = {0};
    const bool is_first = nodes->is_first[comm->rank];
    const int64_t bytes = is_first ? (int64_t)fuse_closure_packed_bytes(reach->closure) : 0;
    enum fuse_status status = fuse_comm_share(memory, comm, (size_t)bytes, &ignored);
    if (status == FUSE_OK) {
        if (is_first)
            fuse_closure_pack(memory->at, reach->closure);
        FUSE_TRY(fuse_comm_sync(comm, err));
    } else if (status == FUSE_EMEMORY) {
        int64_t most = bytes;
        FUSE_TRY(comm->ops->reduce_int64(comm, FUSE_REDUCE_MAX, &most, 1, err));
        FUSE_TRY(send_closure(reach, nodes, packed, most, fits, err));
        if (!*fits)
            return FUSE_OK;
    } else {
        *err = ignored;
        return status;
    }
    if (is_first)
        fuse_closure_close(reach->closure);
    reach->closure = NULL;
    return fuse_reach_fits(fits, reach, fuse_closure_open_packed(&reach->closure, *packed ? *packed : memory->at, err),
                           err);
}

static enum fuse_status prepare(struct fuse_reach *reach, const struct nodes *nodes, bool *fits,
                                struct fuse_error *err) {
    const struct fuse_reach_request *q = &reach->request;
    struct fuse_adjacency base = {0}, step = {0};
    enum fuse_status status =
        fuse_reach_gather(&step, reach, nodes->is_first, &q->step, q->columns, q->columns, fits, err);
    if (status == FUSE_OK && *fits && !q->base_is_step)
        status = fuse_reach_gather(&base, reach, nodes->is_first, &q->base, q->rows, q->columns, fits, err);
    if (status == FUSE_OK && *fits) {
        const struct fuse_closure_question question = {.step = &step, .base = q->base_is_step ? NULL : &base};
        if (nodes->is_first[q->comm->rank])
            status = fuse_closure_open(&reach->closure, &question, err);
        status = fuse_reach_fits(fits, reach, status, err);
    }
    fuse_adjacency_close(&base);
    fuse_adjacency_close(&step);
    return status;
}

/* ---- blocks computed -------------------------------------------------------------------------------------------------- */

struct deal {
    struct fuse_reach *reach;
    const struct nodes *nodes;
    int64_t blocks;
};

/* Blocks are dealt to all ranks in turn, and a node has those of its ranks: its k-th one is this. */
static int64_t next_block(void *context) {
    const struct deal *deal = context;
    const struct fuse_comm *comm = deal->reach->request.comm;
    const int64_t k = atomic_fetch_add(&deal->nodes->board->next, 1);
    const int64_t block = k / deal->nodes->members * comm->size + deal->nodes->member[k % deal->nodes->members];
    if (block >= deal->blocks)
        return -1;
    deal->reach->owner[block] = comm->rank + 1;
    return block;
}

static enum fuse_status compute(struct fuse_reach *reach, const struct nodes *nodes, size_t before,
                                struct fuse_error *err) {
    const struct fuse_reach_request *q = &reach->request;
    struct deal deal = {reach, nodes, fuse_closure_blocks(reach->closure)};
    const size_t taken = before + (size_t)fuse_reach_table_bytes(reach);
    if (q->memory_bytes > 0 && taken >= (size_t)q->memory_bytes)
        return FUSE_EMEMORY;
    const struct fuse_closure_options options = {
        .threads = q->threads, .budget_bytes = q->memory_bytes > 0 ? (size_t)q->memory_bytes - taken : 0};
    reach->owner = calloc((size_t)deal.blocks + 1, sizeof *reach->owner);
    if (!reach->owner)
        return fuse_fail(err, FUSE_EMEMORY, "no memory for the blocks of a closure");
    FUSE_TRY(fuse_closure_result_open(&reach->result, reach->closure, &options, err));
    FUSE_TRY(fuse_closure_compute_dealt(reach->result, next_block, &deal, err));
    fuse_closure_result_finish(reach->result);
    return fuse_closure_trim(reach->closure, err);
}

static enum fuse_status open_on_nodes(struct fuse_reach *reach, const struct nodes *nodes, size_t before, bool *fits,
                                      struct fuse_error *err) {
    struct fuse_comm *comm = reach->request.comm;
    struct fuse_comm_shared memory = {0};
    void *packed = NULL;
    enum fuse_status status = prepare(reach, nodes, fits, err);
    if (status == FUSE_OK && *fits && nodes->has_several)
        status = share_closure(reach, nodes, &memory, &packed, fits, err);
    if (status == FUSE_OK && *fits)
        status = fuse_reach_fits(fits, reach, compute(reach, nodes, before, err), err);
    fuse_comm_unshare(&memory, comm);
    free(packed);
    if (status == FUSE_OK && *fits)
        status = fuse_reach_sum(comm, reach->owner, fuse_closure_blocks(reach->closure), err);
    return status;
}

enum fuse_status fuse_reach_open_blocks(struct fuse_reach *reach, bool *fits, struct fuse_error *err) {
    const struct fuse_reach_request *q = &reach->request;
    struct nodes nodes = {.board = NULL};
    int64_t n[2] = {q->base_is_step ? 0 : q->base.n, q->step.n};
    FUSE_TRY(q->comm->ops->reduce_int64(q->comm, FUSE_REDUCE_SUM, n, 2, err));
    enum fuse_status status = open_nodes(&nodes, q->comm, err);
    size_t before = 0;
    if (status == FUSE_OK) {
        before = bytes_before(q, n[0], n[1]);
        const bool cannot = before == SIZE_MAX;
        before = nodes.is_first[q->comm->rank] ? before : 0;
        const bool lacks = cannot || (q->memory_bytes > 0 && before >= (size_t)q->memory_bytes);
        status = fuse_reach_fits(fits, reach, lacks ? FUSE_EMEMORY : FUSE_OK, err);
    }
    if (status == FUSE_OK && *fits)
        status = open_on_nodes(reach, &nodes, before, fits, err);
    close_nodes(&nodes, q->comm);
    if (status != FUSE_OK || !*fits)
        return status;
    FUSE_TRY(fuse_reach_fits(fits, reach, place_own_rows(reach, err), err));
    reach->count = fuse_closure_count(reach->result);
    return q->comm->ops->reduce_int64(q->comm, FUSE_REDUCE_SUM, &reach->count, 1, err);
}
