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

static enum fuse_status place_rows(struct fuse_reach *reach, struct fuse_error *err) {
    const struct fuse_comm *comm = reach->request.comm;
    reach->first = calloc((size_t)reach->request.rows + 1, sizeof *reach->first);
    if (!reach->first)
        return fuse_fail(err, FUSE_EMEMORY, "no memory for the rows of a recursion");
    for (int64_t x = 0; x < reach->request.rows; x++) {
        const uint64_t *row = reach->sides.row + (size_t)x * reach->sides.words;
        reach->first[x + 1] = reach->first[x];
        for (size_t p = 0; p < reach->sides.words; p++)
            reach->first[x + 1] += __builtin_popcountll(row[p]);
    }
    reach->count = reach->sides.count;
    reach->begin = fuse_split_begin(reach->count, comm->size, comm->rank);
    reach->end = fuse_split_begin(reach->count, comm->size, comm->rank + 1);
    reach->next = -1;
    return FUSE_OK;
}

static enum fuse_status compute(struct fuse_reach *reach, const struct fuse_two_sided_question *question,
                                struct fuse_error *err) {
    const struct fuse_reach_request *q = &reach->request;
    const struct fuse_adjacency *given[] = {question->base, question->up, question->down};
    size_t taken = (size_t)fuse_reach_table_bytes(reach);
    for (int k = 0; k < 3; k++)
        taken += fuse_adjacency_bytes(given[k]->rows, (int64_t)given[k]->first[given[k]->rows]);
    if (q->memory_bytes > 0 && taken + fuse_two_sided_bytes(question) > (size_t)q->memory_bytes)
        return FUSE_EMEMORY;
    FUSE_TRY(fuse_two_sided_open(&reach->sides, question, 0, err));
    return place_rows(reach, err);
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
        status = fuse_reach_fits(fits, reach, compute(reach, &question, err), err);
    }
    for (int k = 0; k < 3; k++)
        fuse_adjacency_close(&given[k]);
    return status;
}
