#include "comm/comm.h"
#include "comm/transport.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum fuse_status fuse_agree(struct fuse_comm *comm, enum fuse_status local, struct fuse_error *err) {
    if (local != FUSE_OK)
        local = fuse_fail(err, local, "%s", fuse_status_text(local)); /* keeps the cause when one was recorded */
    int64_t lowest = local == FUSE_OK ? comm->size : comm->rank;
    FUSE_TRY(comm->ops->reduce_int64(comm, FUSE_REDUCE_MIN, &lowest, 1, err));
    if (lowest == comm->size)
        return FUSE_OK;

    struct fuse_error shared = *err;
    shared.rank = comm->rank;
    if (gethostname(shared.host, sizeof shared.host - 1) != 0)
        strcpy(shared.host, "an unknown host");
    FUSE_TRY(comm->ops->broadcast(comm, &shared, sizeof shared, (int)lowest, err));
    *err = shared;
    return err->status;
}

enum fuse_status fuse_sum_before(int64_t *before, int64_t *total, struct fuse_comm *comm, int64_t mine,
                                 struct fuse_error *err) {
    int64_t *all = calloc((size_t)comm->size, sizeof *all);
    enum fuse_status st = all ? FUSE_OK : fuse_fail(err, FUSE_EMEMORY, "no memory for a number from each rank");
    FUSE_TRY_GOTO(st, fuse_agree(comm, st, err), free_all);
    all[comm->rank] = mine;
    FUSE_TRY_GOTO(st, comm->ops->reduce_int64(comm, FUSE_REDUCE_SUM, all, comm->size, err), free_all);
    *before = *total = 0;
    for (int r = 0; r < comm->size; r++) {
        *before += r < comm->rank ? all[r] : 0;
        *total += all[r];
    }
free_all:
    free(all);
    return st;
}

enum fuse_status fuse_comm_node(struct fuse_comm *comm, int *local_rank, int *local_size, struct fuse_error *err) {
    return comm->ops->node(comm, local_rank, local_size, err);
}

enum fuse_status fuse_comm_share(struct fuse_comm_shared *out, struct fuse_comm *comm, size_t bytes,
                                 struct fuse_error *err) {
    return comm->ops->share(comm, out, bytes, err);
}

enum fuse_status fuse_comm_sync(struct fuse_comm *comm, struct fuse_error *err) {
    atomic_thread_fence(memory_order_seq_cst);
    const enum fuse_status status = comm->ops->barrier(comm, err);
    atomic_thread_fence(memory_order_seq_cst);
    return status;
}

void fuse_comm_unshare(struct fuse_comm_shared *shared, struct fuse_comm *comm) {
    if (shared->local_ranks > 0)
        comm->ops->unshare(comm, shared);
    *shared = (struct fuse_comm_shared){0};
}

void fuse_comm_abort(struct fuse_comm *comm, int status) {
    comm->ops->abort(comm, status);
    _Exit(status);
}

enum fuse_status fuse_comm_drain(struct fuse_queue *queue, struct fuse_error *err) {
    return queue ? queue->ops->wait(queue, FUSE_QUEUE_ALL, err) : FUSE_OK;
}

enum fuse_status fuse_comm_check_messages(const struct fuse_comm *comm, int slot, const struct fuse_message *message,
                                          int messages, struct fuse_error *err) {
    if (slot < 0 || slot >= FUSE_COMM_SLOTS)
        return fuse_fail(err, FUSE_EBUG, "exchange slot %d does not exist", slot);
    for (int i = 0; i < messages; i++) {
        if (message[i].bytes == 0)
            continue;
        if (message[i].peer < 0 || message[i].peer >= comm->size || message[i].peer == comm->rank)
            return fuse_fail(err, FUSE_EBUG, "rank %d of %d exchanges %zu bytes with rank %d", comm->rank, comm->size,
                             message[i].bytes, message[i].peer);
    }
    return FUSE_OK;
}
