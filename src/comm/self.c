#include "comm/comm.h"
#include "comm/transport.h"

#include <stdlib.h>
#include <string.h>

/* With one rank every valid exchange is empty, so it is complete as soon as it has started. */
static enum fuse_status start(struct fuse_comm *comm, int slot, struct fuse_queue *queue,
                              const struct fuse_message *send, int sends, const struct fuse_message *receive,
                              int receives, struct fuse_error *err) {
    FUSE_TRY(fuse_comm_check_messages(comm, slot, send, sends, err));
    FUSE_TRY(fuse_comm_check_messages(comm, slot, receive, receives, err));
    return fuse_comm_drain(queue, err);
}

static enum fuse_status test(struct fuse_comm *comm, int slot, bool *done, struct fuse_error *err) {
    (void)comm, (void)slot, (void)err;
    *done = true;
    return FUSE_OK;
}

static enum fuse_status wait(struct fuse_comm *comm, int slot, struct fuse_error *err) {
    (void)comm, (void)slot, (void)err;
    return FUSE_OK;
}

static enum fuse_status broadcast(struct fuse_comm *comm, void *data, size_t bytes, int root, struct fuse_error *err) {
    (void)comm, (void)data, (void)bytes;
    return root == 0 ? FUSE_OK : fuse_fail(err, FUSE_EBUG, "broadcast from rank %d of 1", root);
}

static enum fuse_status reduce_int64(struct fuse_comm *comm, enum fuse_reduce op, int64_t *values, int count,
                                     struct fuse_error *err) {
    (void)comm, (void)values, (void)count;
    if (op == FUSE_REDUCE_SUM || op == FUSE_REDUCE_MIN || op == FUSE_REDUCE_MAX)
        return FUSE_OK;
    return fuse_fail(err, FUSE_EBUG, "no reduction by '%s' over ranks", fuse_reduce_name(op));
}

static enum fuse_status barrier(struct fuse_comm *comm, struct fuse_error *err) {
    (void)comm, (void)err;
    return FUSE_OK;
}

static enum fuse_status node(struct fuse_comm *comm, int *local_rank, int *local_size, struct fuse_error *err) {
    (void)comm, (void)err;
    *local_rank = 0;
    *local_size = 1;
    return FUSE_OK;
}

static enum fuse_status gather_node(struct fuse_comm *comm, const void *mine, void *all, size_t bytes,
                                    struct fuse_error *err) {
    (void)comm, (void)err;
    memcpy(all, mine, bytes);
    return FUSE_OK;
}

static enum fuse_status share(struct fuse_comm *comm, struct fuse_comm_shared *out, size_t bytes,
                              struct fuse_error *err) {
    (void)comm;
    void *at = bytes > 0 ? aligned_alloc(64, (bytes + 63) / 64 * 64) : NULL;
    if (bytes > 0 && at == NULL)
        return fuse_fail(err, FUSE_EMEMORY, "no memory for %zu bytes that ranks of a node share", bytes);
    if (bytes > 0)
        memset(at, 0, bytes);
    *out = (struct fuse_comm_shared){.at = at, .bytes = bytes, .local_ranks = 1};
    return FUSE_OK;
}

static void unshare(struct fuse_comm *comm, struct fuse_comm_shared *shared) {
    (void)comm;
    free(shared->at);
}

static void abort_job(struct fuse_comm *comm, int status) {
    (void)comm;
    _Exit(status);
}

static void close_self(struct fuse_comm *comm) {
    free(comm);
}

static const struct fuse_comm_ops self_ops = {
    .name = "self",
    .exchange_start = start,
    .exchange_test = test,
    .exchange_wait = wait,
    .broadcast = broadcast,
    .reduce_int64 = reduce_int64,
    .barrier = barrier,
    .node = node,
    .gather_node = gather_node,
    .share = share,
    .unshare = unshare,
    .abort = abort_job,
    .close = close_self,
};

enum fuse_status fuse_comm_open_self(struct fuse_comm **out, struct fuse_error *err) {
    struct fuse_comm *comm = calloc(1, sizeof *comm);
    if (!comm)
        return fuse_fail(err, FUSE_EMEMORY, "no memory for the communicator");
    comm->ops = &self_ops;
    comm->size = 1;
    *out = comm;
    return FUSE_OK;
}
