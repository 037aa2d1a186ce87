#include "exec/reach_internal.h"

#include "core/box.h"

#include <stdlib.h>

/* Rows of bits are the smallest form while there are enough pairs: not where each one that is given would pay for more than so
 * many bytes of them. What is small anyhow may be empty. */
#define BYTES_A_PAIR 1024
#define SMALL ((size_t)1 << 20)

static bool is_worth_it(const struct fuse_reach *reach, const int64_t pairs[3]) {
    const struct fuse_reach_request *q = &reach->request;
    if (q->rows >= UINT32_MAX || q->columns >= UINT32_MAX)
        return false;
    const size_t bits = (size_t)q->rows * (((size_t)q->columns + 63) / 64) * sizeof(uint64_t);
    const size_t given = (size_t)(pairs[0] + pairs[1] + pairs[2]);
    return (q->bits_bytes <= 0 || bits <= (size_t)q->bits_bytes) && (bits <= SMALL || bits <= given * BYTES_A_PAIR);
}

/* The places of rows, and which of them this rank is to have. */
static enum fuse_status place_rows(struct fuse_reach *reach, const struct fuse_two_sided *all, struct fuse_error *err) {
    const struct fuse_comm *comm = reach->request.comm;
    reach->first = calloc((size_t)reach->request.rows + 1, sizeof *reach->first);
    if (!reach->first)
        return fuse_fail(err, FUSE_EMEMORY, "no memory for the rows of a recursion");
    for (int64_t x = 0; x < reach->request.rows; x++)
        reach->first[x + 1] = reach->first[x] + all->row_count[x];
    reach->count = all->count;
    reach->begin = fuse_split_begin(reach->count, comm->size, comm->rank);
    reach->end = fuse_split_begin(reach->count, comm->size, comm->rank + 1);
    reach->next = -1;
    return FUSE_OK;
}

/* Out of memory that is shared. */
static enum fuse_status keep_own_rows(struct fuse_reach *reach, const struct fuse_two_sided *all, size_t taken,
                                      struct fuse_error *err) {
    const size_t most = (size_t)reach->request.memory_bytes;
    FUSE_TRY(place_rows(reach, all, err));
    const int64_t first = reach->begin < reach->end ? fuse_reach_x_at(reach, reach->begin) : 0,
                  end = reach->begin < reach->end ? fuse_reach_x_at(reach, reach->end - 1) + 1 : 0;
    if (most > 0 && taken + (size_t)(end - first) * all->words * sizeof *all->row > most)
        return FUSE_EMEMORY;
    return fuse_two_sided_copy(&reach->sides, all, first, end, err);
}

static enum fuse_status meet(void *context, struct fuse_error *err) {
    return fuse_comm_sync(context, err);
}

/* Collective. The ranks of each node make all rows, together, and each one keeps its part. *fits false: this memory is not to be had. */
static enum fuse_status make_together(struct fuse_reach *reach, struct fuse_two_sided_work *work, size_t taken,
                                      bool *fits, struct fuse_error *err) {
    struct fuse_comm *comm = reach->request.comm;
    struct fuse_comm_shared memory = {0};
    struct fuse_two_sided all = {0};
    const size_t bytes = fuse_two_sided_shared_bytes(work), most = (size_t)reach->request.memory_bytes;
    int local_rank, local_ranks;
    FUSE_TRY(fuse_comm_node(comm, &local_rank, &local_ranks, err));
    taken += bytes / (size_t)local_ranks;
    FUSE_TRY(fuse_reach_fits(fits, reach, most > 0 && taken > most ? FUSE_EMEMORY : FUSE_OK, err));
    if (!*fits)
        return FUSE_OK;
    enum fuse_status status = fuse_comm_share(&memory, comm, bytes, err);
    if (status != FUSE_OK)
        return fuse_reach_fits(fits, reach, status, err);
    const struct fuse_two_sided_team team = {
        .members = comm->size, .is_first = memory.local_rank == 0, .meet = meet, .context = comm};
    status = fuse_two_sided_make(&all, work, memory.at, &team, err);
    if (status == FUSE_OK)
        status = fuse_reach_fits(fits, reach, keep_own_rows(reach, &all, taken, err), err);
    fuse_comm_unshare(&memory, comm);
    return status;
}

/* Local. */
static enum fuse_status make_alone(struct fuse_reach *reach, const struct fuse_two_sided_question *question,
                                   size_t taken, struct fuse_error *err) {
    const size_t most = (size_t)reach->request.memory_bytes;
    if (most > 0 && taken + fuse_two_sided_bytes(question) > most)
        return FUSE_EMEMORY;
    FUSE_TRY(fuse_two_sided_open(&reach->sides, question, 0, err));
    return place_rows(reach, &reach->sides, err);
}

/* Collective. Where a node has no memory that can be shared each rank makes all of it. */
static enum fuse_status compute(struct fuse_reach *reach, const struct fuse_two_sided_question *question, bool *fits,
                                struct fuse_error *err) {
    const struct fuse_reach_request *q = &reach->request;
    const struct fuse_adjacency *given[] = {question->base, question->up, question->down};
    size_t taken = (size_t)fuse_reach_table_bytes(reach);
    for (int k = 0; k < 3; k++)
        taken += fuse_adjacency_bytes(given[k]->rows, (int64_t)given[k]->first[given[k]->rows]);
    *fits = false;
    if (q->comm->size > 1) {
        struct fuse_two_sided_work *work = NULL;
        enum fuse_status status = fuse_reach_fits(fits, reach, fuse_two_sided_prepare(&work, question, err), err);
        if (status == FUSE_OK && *fits)
            status = make_together(reach, work, taken + fuse_two_sided_own_bytes(work), fits, err);
        fuse_two_sided_work_close(work);
        if (status != FUSE_OK || *fits)
            return status;
        free(reach->first);
        reach->first = NULL;
        fuse_two_sided_close(&reach->sides);
    }
    return fuse_reach_fits(fits, reach, make_alone(reach, question, taken, err), err);
}

enum fuse_status fuse_reach_open_sides(struct fuse_reach *reach, bool *fits, struct fuse_error *err) {
    const struct fuse_reach_request *q = &reach->request;
    const struct fuse_reach_pairs *part[] = {&q->base, &q->step, &q->down};
    const int64_t rows[] = {q->rows, q->rows, q->columns}, columns[] = {q->columns, q->rows, q->columns};
    struct fuse_adjacency given[3] = {{0}};
    int64_t pairs[] = {q->base.n, q->step.n, q->down.n}, most = 0;
    FUSE_TRY(q->comm->ops->reduce_int64(q->comm, FUSE_REDUCE_SUM, pairs, 3, err));
    for (int k = 0; k < 3; k++)
        most = pairs[k] > most ? pairs[k] : most;
    const bool worth = is_worth_it(reach, pairs), has_room = q->memory_bytes <= 0 || most * 16 <= q->memory_bytes;
    enum fuse_status status = fuse_reach_fits(fits, reach, worth && has_room ? FUSE_OK : FUSE_EMEMORY, err);
    for (int k = 0; k < 3 && status == FUSE_OK && *fits; k++)
        status = fuse_reach_gather(&given[k], reach, NULL, part[k], rows[k], columns[k], fits, err);
    if (status == FUSE_OK && *fits) {
        const struct fuse_two_sided_question question = {.base = &given[0], .up = &given[1], .down = &given[2]};
        status = compute(reach, &question, fits, err);
    }
    for (int k = 0; k < 3; k++)
        fuse_adjacency_close(&given[k]);
    return status;
}
