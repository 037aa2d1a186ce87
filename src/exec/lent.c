#include "exec/internal.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What a thread reads of a peer at a time, from the first byte to the last: it counts as resident here as well, whole huge pages. */
#define NEAR_BYTES ((int64_t)2 << 20)

/* NULL, or why nothing is to be lent; the same on every rank. */
static const char *reason_to_keep(const struct fuse_exec *exec) {
    const struct fuse_plan *plan = exec->plan;
    int64_t received = 0;
    for (int p = 0; p < FUSE_PHASES; p++)
        received += plan->received_bytes_total[p];
    if (exec->comm->size == 1)
        return "there is one rank";
    if (exec->request->share_bytes == 0)
        return "the run wants no shared memory";
    if (exec->request->backend->memory_open_shared == NULL)
        return "tensors live in device memory";
    if (received == 0 || plan->arena_bytes[FUSE_MEM_HOST] < exec->request->share_bytes)
        return "there is too little to exchange";
    return NULL;
}

enum fuse_status fuse_exec_map_arena(struct fuse_exec *exec, struct fuse_error *err) {
    const size_t bytes = (size_t)exec->plan->arena_bytes[FUSE_MEM_HOST];
    const struct fuse_backend_ops *ops = exec->backend->ops;
    void **base = &exec->base[FUSE_MEM_HOST];
    if (reason_to_keep(exec) == NULL) {
        const char *why = ops->memory_open_shared(exec->backend, base, &exec->arena_file, bytes);
        if (why == NULL)
            return FUSE_OK;
        snprintf(exec->why_own, sizeof exec->why_own, "%s", why);
    }
    return ops->memory_open(exec->backend, base, FUSE_MEM_HOST, bytes, err);
}

static void close_arena_file(struct fuse_exec *exec) {
    if (exec->arena_file >= 0)
        close(exec->arena_file);
    exec->arena_file = -1;
}

enum fuse_status fuse_exec_lend(struct fuse_exec *exec, struct fuse_exec_report *report, struct fuse_error *err) {
    const char *reason = reason_to_keep(exec);
    enum fuse_status status = FUSE_OK;
    if (reason == NULL) {
        const size_t bytes = (size_t)exec->plan->arena_bytes[FUSE_MEM_HOST];
        status = fuse_comm_lend(&exec->peers, exec->comm, exec->arena_file, bytes, exec->why_own, err);
        reason = exec->peers.why[0] ? exec->peers.why : NULL;
    }
    close_arena_file(exec);
    snprintf(report->node_memory, sizeof report->node_memory, reason ? "own: %s" : "shared", reason);
    return status;
}

void fuse_exec_return(struct fuse_exec *exec) {
    close_arena_file(exec);
    fuse_comm_return(&exec->peers);
}

bool fuse_exec_may_lend(const struct fuse_exec *exec, const struct fuse_step *step, int peer) {
    const struct fuse_buffer *from = &exec->plan->buffers.at[step->from];
    return from->kind == FUSE_MEM_HOST && (from->resident < 0 || from->is_shared) &&
           fuse_comm_lender(&exec->peers, peer) != NULL;
}

bool fuse_exec_is_lent(const struct fuse_exec *exec, const struct fuse_step *step, int peer, size_t bytes) {
    return (bytes >= (size_t)exec->request->share_bytes || bytes > (size_t)step->piece_bytes) &&
           fuse_exec_may_lend(exec, step, peer);
}

struct fuse_view fuse_exec_view_of_peer(const struct fuse_exec *exec, int peer, int buffer, const struct fuse_box *part,
                                        int64_t turn) {
    const struct fuse_buffer *b = &exec->plan->buffers.at[buffer];
    const char *data = fuse_comm_lender(&exec->peers, peer) + b->offset + (b->doubled ? turn % 2 * (b->bytes / 2) : 0);
    return fuse_exec_view_in((char *)(uintptr_t)data, exec->plan, &b->holding, peer, turn, part);
}

/* From the first byte of a view to its last; strides are not negative. */
static int64_t span_bytes(const struct fuse_view *view) {
    int64_t elems = 1;
    for (int a = 0; a < view->rank; a++)
        elems += (view->extent[a] - 1) * view->stride[a];
    return elems * (int64_t)fuse_dtype_bytes(view->dtype);
}

/* Before bytes of a peer are read: what was read last goes, unless they are among it. */
static void come_near(struct fuse_exec *exec, const char *at, int64_t bytes) {
    struct fuse_exec_near *near = &exec->near;
    const char *begin = at - (uintptr_t)at % NEAR_BYTES, *end = at + bytes;
    end += (NEAR_BYTES - (intptr_t)((uintptr_t)end % NEAR_BYTES)) % NEAR_BYTES;
    if (near->at && begin >= near->at && end <= near->at + near->bytes)
        return;
    if (near->at)
        fuse_comm_let_go(near->at, near->bytes);
    *near = (struct fuse_exec_near){.at = begin, .bytes = (size_t)(end - begin)};
}

void fuse_exec_read_peer(struct fuse_exec *exec, const struct fuse_view *to, const struct fuse_view *from,
                         void (*part)(void *context, const struct fuse_view *to, const struct fuse_view *from),
                         void *context) {
    const int64_t span = span_bytes(from), most = NEAR_BYTES * exec->request->threads;
    int axis = -1;
    for (int a = 0; a < from->rank; a++)
        if (from->extent[a] > 1 && (axis < 0 || from->stride[a] > from->stride[axis]))
            axis = a;
    if (span <= most || axis < 0) {
        come_near(exec, from->data, span);
        part(context, to, from);
        return;
    }
    const int64_t n = from->extent[axis], wanted = (span + most - 1) / most, parts = wanted < n ? wanted : n;
    for (int64_t p = 0; p < parts; p++) {
        struct fuse_view sub_to = *to, sub_from = *from;
        const int64_t begin = n * p / parts, size = (int64_t)fuse_dtype_bytes(from->dtype);
        sub_to.extent[axis] = sub_from.extent[axis] = n * (p + 1) / parts - begin;
        sub_to.data = (char *)to->data + begin * to->stride[axis] * size;
        sub_from.data = (char *)from->data + begin * from->stride[axis] * size;
        fuse_exec_read_peer(exec, &sub_to, &sub_from, part, context);
    }
}
