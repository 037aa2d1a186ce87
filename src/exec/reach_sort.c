#include "exec/reach_internal.h"

#include "core/box.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Of a row on its way: bits, or ids, whichever takes less. */
static int64_t row_bytes(const struct fuse_reach *reach, int64_t class) {
    return 8 * (fuse_reach_is_bits(reach, class) ? fuse_closure_row_words(reach->closure)
                                                 : (reach->row_count[class] + 1) / 2);
}

/* Marks the classes of the rows that a rank has after the sort. */
static void mark_rows(bool *marked, const struct fuse_reach *reach, int rank) {
    const int64_t begin = fuse_split_begin(reach->count, reach->request.comm->size, rank),
                  end = fuse_split_begin(reach->count, reach->request.comm->size, rank + 1);
    memset(marked, 0, (size_t)fuse_closure_classes(reach->closure) * sizeof *marked);
    for (int64_t x = fuse_reach_x_at(reach, begin); x < reach->request.rows && reach->first[x] < end; x++) {
        const int64_t class = fuse_closure_class_of(reach->closure, x);
        if (class >= 0)
            marked[class] = true;
    }
}

static int64_t marked_bytes(const struct fuse_reach *reach, const bool *marked, int owner) {
    int64_t bytes = 0;
    for (int64_t k = 0; k < fuse_closure_classes(reach->closure); k++)
        if (marked[k] && fuse_reach_owner(reach, k) == owner)
            bytes += row_bytes(reach, k);
    return bytes;
}

static void pack_rows(char *to, const struct fuse_reach *reach, const bool *marked) {
    const int64_t words = fuse_closure_row_words(reach->closure);
    for (int64_t k = 0; k < fuse_closure_classes(reach->closure); k++) {
        if (!marked[k] || fuse_reach_owner(reach, k) != reach->request.comm->rank)
            continue;
        const struct fuse_closure_row row = fuse_closure_row_of_class(reach->result, k);
        if (fuse_reach_is_bits(reach, k) && row.bits != NULL)
            memcpy(to, row.bits, (size_t)words * 8);
        else if (!fuse_reach_is_bits(reach, k) && row.id != NULL)
            memcpy(to, row.id, (size_t)row.n * 4);
        else if (row.id != NULL) {
            memset(to, 0, (size_t)words * 8);
            for (int64_t i = 0; i < row.n; i++)
                ((uint64_t *)to)[row.id[i] >> 6] |= (uint64_t)1 << (row.id[i] & 63);
        } else {
            uint32_t *id = (uint32_t *)to;
            for (int64_t p = 0; p < words; p++)
                for (uint64_t bits = row.bits[p]; bits != 0; bits &= bits - 1)
                    *id++ = (uint32_t)(p << 6) | (uint32_t)__builtin_ctzll(bits);
        }
        to += row_bytes(reach, k);
    }
}

/* Where each row is among those that have arrived from its owner. */
static void find_rows(struct fuse_reach *reach, const bool *marked, int owner) {
    const char *at = reach->arrived[owner];
    for (int64_t k = 0; k < fuse_closure_classes(reach->closure); k++)
        if (marked[k] && fuse_reach_owner(reach, k) == owner) {
            reach->row_at[k] = at;
            at += row_bytes(reach, k);
        }
}

/* One peer to send to and one to receive from at a time: a rank has one peer's rows twice at most. */
static enum fuse_status exchange_rows(struct fuse_reach *reach, bool *marked, int64_t room, struct fuse_error *err) {
    struct fuse_comm *comm = reach->request.comm;
    for (int turn = 1; turn < comm->size; turn++) {
        const int to = (comm->rank + turn) % comm->size, from = (comm->rank + comm->size - turn) % comm->size;
        mark_rows(marked, reach, to);
        const int64_t send = marked_bytes(reach, marked, comm->rank);
        char *packed = reach->arrived_bytes + send > room ? NULL : malloc((size_t)send + 8);
        if (packed != NULL)
            pack_rows(packed, reach, marked);
        mark_rows(marked, reach, comm->rank);
        const int64_t receive = marked_bytes(reach, marked, from);
        if (reach->arrived_bytes + send + receive <= room)
            reach->arrived[from] = malloc((size_t)receive + 8);
        enum fuse_status status = FUSE_OK;
        if (packed == NULL || reach->arrived[from] == NULL)
            status =
                fuse_fail(err, FUSE_EMEMORY, "not enough memory to sort %" PRId64 " pairs of a closure", reach->count);
        status = fuse_agree(comm, status, err);
        if (status == FUSE_OK) {
            const struct fuse_message out = {.peer = to, .data = packed, .bytes = (size_t)send},
                                      in = {.peer = from, .data = reach->arrived[from], .bytes = (size_t)receive};
            status = comm->ops->exchange_start(comm, 0, NULL, &out, 1, &in, 1, err);
            if (status == FUSE_EMEMORY || status == FUSE_EBUG)
                fuse_comm_abort(comm, (int)status);
            const enum fuse_status waited = comm->ops->exchange_wait(comm, 0, err);
            reach->arrived_bytes += receive;
            find_rows(reach, marked, from);
            status = fuse_agree(comm, status != FUSE_OK ? status : waited, err);
        }
        free(packed);
        FUSE_TRY(status);
    }
    return FUSE_OK;
}

enum fuse_status fuse_reach_sort(struct fuse_reach *reach, struct fuse_error *err) {
    struct fuse_comm *comm = reach->request.comm;
    const int64_t limit = reach->request.memory_bytes > 0 ? reach->request.memory_bytes : INT64_MAX;
    if (comm->size == 1 || reach->closure == NULL)
        return FUSE_OK;
    bool *marked = malloc(((size_t)fuse_closure_classes(reach->closure) + 1) * sizeof *marked);
    enum fuse_status status = FUSE_OK;
    if (!marked || fuse_reach_bytes(reach) > limit)
        status = fuse_fail(err, FUSE_EMEMORY, "not enough memory to sort %" PRId64 " pairs of a closure", reach->count);
    FUSE_TRY_GOTO(status, fuse_agree(comm, status, err), free_marked);
    FUSE_TRY_GOTO(status, fuse_reach_sum(comm, reach->row_count, fuse_closure_classes(reach->closure), err),
                  free_marked);
    fuse_reach_place(reach);
    reach->begin = fuse_split_begin(reach->count, comm->size, comm->rank);
    reach->end = fuse_split_begin(reach->count, comm->size, comm->rank + 1);
    reach->next = -1;
    status = exchange_rows(reach, marked, limit - fuse_reach_bytes(reach), err);
free_marked:
    free(marked);
    return status;
}
