/* A device that is none, for tests on machines without one. It keeps the rules that a real one enforces and ordinary
 * memory does not: its memory can be touched by queued work only, and work runs when somebody waits for it, not when it
 * is asked for. The kernels are those of the cpu back end. */
#include "backend/call_check.h"
#include "backend/host_memory.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* So many operations may wait; the next one makes them run. */
#define MOST_WAITING 4096

struct region {
    char *base;
    size_t bytes;
};

struct fake_backend {
    struct fuse_backend base;
    struct fuse_backend *cpu;
    struct fuse_queue *queue; /* of cpu */
    int regions, region_cap;
    struct region *region; /* open device memory */
};

enum work_kind {
    WORK_CONTRACT,
    WORK_MAP,
    WORK_JOIN,
    WORK_ATTENTION,
    WORK_COPY,
    WORK_COMBINE,
    WORK_CLEAR,
    WORK_TRANSFER
};

struct work {
    enum work_kind kind;
    union {
        struct fuse_contract contract;
        struct {
            struct fuse_map_call call;
            struct fuse_operand_view *operand; /* owned */
        } map;
        struct {
            struct fuse_join_call call;
            struct fuse_operand_view *operand; /* owned */
        } join;
        struct {
            struct fuse_attention_call call;
            struct fuse_operand_view *operand; /* owned */
        } attention;
        struct {
            enum fuse_reduce op;
            struct fuse_view to, from;
        } view;
        struct {
            void *to;
            const void *from;
            size_t bytes;
        } transfer;
    } as;
};

struct fake_queue {
    struct fuse_queue base;
    struct fake_backend *backend;
    struct fuse_error failure;
    uint64_t asked, done; /* operations since open */
    struct work *work;    /* [done .. asked) at index 0 .. */
    size_t cap;
};

static void close_backend(struct fuse_backend *backend) {
    struct fake_backend *fake = (struct fake_backend *)backend;
    if (fake->queue != NULL)
        fake->queue->ops->close(fake->queue);
    if (fake->cpu != NULL)
        fuse_backend_cpu.close(fake->cpu);
    free(fake->region);
    free(fake);
}

static enum fuse_status open_backend(struct fuse_backend **out, const struct fuse_backend_options *options,
                                     struct fuse_error *err) {
    struct fake_backend *fake = calloc(1, sizeof *fake);
    if (fake == NULL)
        return fuse_fail(err, FUSE_EMEMORY, "no memory for a back end");
    fake->base.ops = &fuse_backend_fakedev;
    enum fuse_status status = options->deterministic ? fuse_fail(err, FUSE_EUSAGE, "only back end cpu is deterministic")
                                                     : fuse_backend_cpu.open(&fake->cpu, options, err);
    if (status == FUSE_OK)
        status = fuse_backend_cpu.queue_open(fake->cpu, &fake->queue, err);
    if (status != FUSE_OK) {
        close_backend(&fake->base);
        return status;
    }
    *out = &fake->base;
    return FUSE_OK;
}

static enum fuse_status open_memory(struct fuse_backend *backend, void **base, enum fuse_memkind kind, size_t bytes,
                                    struct fuse_error *err) {
    struct fake_backend *fake = (struct fake_backend *)backend;
    if (kind != FUSE_MEM_DEVICE || bytes == 0)
        return fuse_backend_cpu.memory_open(fake->cpu, base, FUSE_MEM_HOST, bytes, err);
    if (fake->regions == fake->region_cap) {
        int cap = fake->region_cap ? 2 * fake->region_cap : 8;
        struct region *region = realloc(fake->region, (size_t)cap * sizeof *region);
        if (region == NULL)
            return fuse_fail(err, FUSE_EMEMORY, "no memory for a list of mappings");
        fake->region = region;
        fake->region_cap = cap;
    }
    FUSE_TRY(fuse_backend_cpu.memory_open(fake->cpu, base, FUSE_MEM_HOST, bytes, err));
    fake->region[fake->regions++] = (struct region){.base = *base, .bytes = fuse_host_mapped_bytes(bytes)};
    mprotect(*base, fuse_host_mapped_bytes(bytes), PROT_NONE);
    return FUSE_OK;
}

static void close_memory(struct fuse_backend *backend, void *base, enum fuse_memkind kind, size_t bytes) {
    struct fake_backend *fake = (struct fake_backend *)backend;
    (void)kind;
    for (int r = 0; r < fake->regions; r++)
        if (fake->region[r].base == base && base != NULL) {
            fake->region[r] = fake->region[--fake->regions];
            break;
        }
    fuse_backend_cpu.memory_close(fake->cpu, base, FUSE_MEM_HOST, bytes);
}

static void protect(const struct fake_backend *fake, int access) {
    for (int r = 0; r < fake->regions; r++)
        mprotect(fake->region[r].base, fake->region[r].bytes, access);
}

/* Pointers of a map call moved since it was copied. */
static enum fuse_status run_map(struct fuse_queue *queue, const struct work *work, struct fuse_error *err) {
    struct fuse_map_call call = work->as.map.call;
    call.operand = work->as.map.operand;
    return fuse_backend_cpu.map(queue, &call, err);
}

static enum fuse_status run_join(struct fuse_queue *queue, const struct work *work, struct fuse_error *err) {
    struct fuse_join_call call = work->as.join.call;
    call.at.operand = work->as.join.operand;
    return fuse_backend_cpu.join(queue, &call, err);
}

static enum fuse_status run_attention(struct fuse_queue *queue, const struct work *work, struct fuse_error *err) {
    struct fuse_attention_call call = work->as.attention.call;
    call.at.operand = work->as.attention.operand;
    return fuse_backend_cpu.attention(queue, &call, err);
}

static enum fuse_status run_work(struct fuse_queue *queue, const struct work *work, struct fuse_error *err) {
    switch (work->kind) {
    case WORK_CONTRACT: return fuse_backend_cpu.contract(queue, &work->as.contract, err);
    case WORK_MAP: return run_map(queue, work, err);
    case WORK_JOIN: return run_join(queue, work, err);
    case WORK_ATTENTION: return run_attention(queue, work, err);
    case WORK_COPY: return fuse_backend_cpu.copy(queue, &work->as.view.to, &work->as.view.from, 0, err);
    case WORK_COMBINE:
        return fuse_backend_cpu.combine(queue, work->as.view.op, &work->as.view.to, &work->as.view.from, err);
    case WORK_CLEAR: return fuse_backend_cpu.clear(queue, &work->as.view.to, err);
    default: memmove(work->as.transfer.to, work->as.transfer.from, work->as.transfer.bytes); return FUSE_OK;
    }
}

static void free_work(struct work *work) {
    if (work->kind == WORK_MAP)
        free(work->as.map.operand);
    if (work->kind == WORK_JOIN)
        free(work->as.join.operand);
    if (work->kind == WORK_ATTENTION)
        free(work->as.attention.operand);
}

/* Runs the operations up to a ticket. The first failure is kept for wait. */
static void run_until(struct fake_queue *queue, uint64_t ticket) {
    struct fake_backend *fake = queue->backend;
    if (ticket > queue->asked)
        ticket = queue->asked;
    if (ticket <= queue->done)
        return;
    size_t n = (size_t)(ticket - queue->done), all = (size_t)(queue->asked - queue->done);
    protect(fake, PROT_READ | PROT_WRITE);
    for (size_t i = 0; i < n; i++) {
        run_work(fake->queue, &queue->work[i], &queue->failure);
        fake->queue->ops->wait(fake->queue, FUSE_QUEUE_ALL, &queue->failure);
        free_work(&queue->work[i]);
    }
    protect(fake, PROT_NONE);
    memmove(queue->work, queue->work + n, (all - n) * sizeof *queue->work);
    queue->done = ticket;
    fake->base.contract_flops = fake->cpu->contract_flops;
    fake->base.blas_calls = fake->cpu->blas_calls;
    fake->base.packed_bytes = fake->cpu->packed_bytes;
    fake->base.kernel_calls = fake->cpu->kernel_calls;
    fake->base.scores = fake->cpu->scores;
}

static uint64_t signal_asked(struct fuse_queue *queue) {
    return ((struct fake_queue *)queue)->asked;
}

static enum fuse_status wait_ticket(struct fuse_queue *base, uint64_t ticket, struct fuse_error *err) {
    struct fake_queue *queue = (struct fake_queue *)base;
    run_until(queue, ticket);
    enum fuse_status status = queue->failure.status;
    if (status != FUSE_OK) {
        fuse_fail(err, status, "%s", queue->failure.message);
        memset(&queue->failure, 0, sizeof queue->failure);
    }
    return status;
}

/* Work that nobody waited for is dropped: who needed it has a bug that should show. */
static void close_queue(struct fuse_queue *base) {
    struct fake_queue *queue = (struct fake_queue *)base;
    for (size_t i = 0; i < (size_t)(queue->asked - queue->done); i++)
        free_work(&queue->work[i]);
    free(queue->work);
    free(queue);
}

static const struct fuse_queue_ops queue_ops = {.signal = signal_asked, .wait = wait_ticket, .close = close_queue};

static enum fuse_status open_queue(struct fuse_backend *backend, struct fuse_queue **out, struct fuse_error *err) {
    struct fake_queue *queue = calloc(1, sizeof *queue);
    if (queue == NULL)
        return fuse_fail(err, FUSE_EMEMORY, "no memory for a queue");
    queue->base.ops = &queue_ops;
    queue->backend = (struct fake_backend *)backend;
    *out = &queue->base;
    return FUSE_OK;
}

static enum fuse_status enqueue(struct fuse_queue *base, const struct work *work, struct fuse_error *err) {
    struct fake_queue *queue = (struct fake_queue *)base;
    if (queue->asked - queue->done >= MOST_WAITING)
        run_until(queue, queue->asked);
    size_t n = (size_t)(queue->asked - queue->done);
    if (n == queue->cap) {
        size_t cap = queue->cap ? 2 * queue->cap : 16;
        struct work *grown = realloc(queue->work, cap * sizeof *grown);
        if (grown == NULL)
            return fuse_fail(err, FUSE_EMEMORY, "no memory for queued work");
        queue->work = grown;
        queue->cap = cap;
    }
    queue->work[n] = *work;
    queue->asked++;
    return FUSE_OK;
}

static bool is_device(const struct fake_backend *fake, const char *from, const char *end) {
    for (int r = 0; r < fake->regions; r++)
        if (from >= fake->region[r].base && end <= fake->region[r].base + fake->region[r].bytes)
            return true;
    return false;
}

/* Kernels reach device memory only: BUG when some element of a view lies elsewhere. */
static enum fuse_status check_memory(struct fuse_queue *queue, const char *what, const void *data,
                                     enum fuse_dtype dtype, int indices, const int64_t *extent, const int64_t *stride,
                                     uint32_t mask, struct fuse_error *err) {
    if (fuse_points(indices, extent, UINT32_MAX) == 0)
        return FUSE_OK;
    int64_t low = 0, high = 0, bytes = (int64_t)fuse_dtype_bytes(dtype);
    for (int x = 0; x < indices; x++) {
        int64_t reach = mask >> x & 1 ? (extent[x] - 1) * stride[x] : 0;
        low += reach < 0 ? reach : 0;
        high += reach > 0 ? reach : 0;
    }
    const char *at = data;
    if (!is_device(((struct fake_queue *)queue)->backend, at + low * bytes, at + (high + 1) * bytes))
        return fuse_fail(err, FUSE_EBUG, "%s: a view lies outside the device's memory", what);
    return FUSE_OK;
}

static enum fuse_status check_view(struct fuse_queue *queue, const char *what, const struct fuse_view *v,
                                   struct fuse_error *err) {
    return check_memory(queue, what, v->data, v->dtype, v->rank, v->extent, v->stride, UINT32_MAX, err);
}

static enum fuse_status contract(struct fuse_queue *queue, const struct fuse_contract *call, struct fuse_error *err) {
    FUSE_TRY(fuse_contract_check(call, err));
    const struct fuse_operand_view *view[3] = {&call->a, &call->b, &call->c};
    const uint32_t in[3] = {call->in_a, call->in_b, call->in_c};
    for (int o = 0; o < 3; o++)
        FUSE_TRY(check_memory(queue, "contract", view[o]->data, view[o]->dtype, call->indices, call->extent,
                              view[o]->stride, in[o], err));
    struct work work = {.kind = WORK_CONTRACT, .as.contract = *call};
    return enqueue(queue, &work, err);
}

static enum fuse_status map(struct fuse_queue *queue, const struct fuse_map_call *call, struct fuse_error *err) {
    FUSE_TRY(fuse_map_check(call, err));
    for (int o = 0; o < call->operands; o++)
        FUSE_TRY(check_memory(queue, "map", call->operand[o].data, call->operand[o].dtype, call->indices, call->extent,
                              call->operand[o].stride, UINT32_MAX, err));
    FUSE_TRY(check_memory(queue, "map", call->out.data, call->out.dtype, call->indices, call->extent, call->out.stride,
                          call->in_out, err));
    struct work work = {.kind = WORK_MAP, .as.map.call = *call};
    if (call->operands > 0) {
        size_t bytes = (size_t)call->operands * sizeof *call->operand;
        work.as.map.operand = malloc(bytes);
        if (work.as.map.operand == NULL)
            return fuse_fail(err, FUSE_EMEMORY, "no memory for queued work");
        memcpy(work.as.map.operand, call->operand, bytes);
    }
    enum fuse_status status = enqueue(queue, &work, err);
    if (status != FUSE_OK)
        free_work(&work);
    return status;
}

static enum fuse_status join(struct fuse_queue *queue, const struct fuse_join_call *call, struct fuse_error *err) {
    const struct fuse_map_call *at = &call->at;
    FUSE_TRY(fuse_join_check(call, err));
    for (int o = 1; o < at->operands; o++)
        FUSE_TRY(check_memory(queue, "join", at->operand[o].data, at->operand[o].dtype, at->indices, at->extent,
                              at->operand[o].stride, UINT32_MAX, err));
    FUSE_TRY(check_memory(queue, "join", at->out.data, at->out.dtype, at->indices, at->extent, at->out.stride,
                          at->in_out, err));
    const char *rows = (const char *)call->row_begin;
    if (!is_device(((struct fake_queue *)queue)->backend, rows, rows + sizeof(uint32_t)))
        return fuse_fail(err, FUSE_EBUG, "join: tuples lie outside the device's memory");
    struct work work = {.kind = WORK_JOIN, .as.join.call = *call};
    work.as.join.operand = malloc((size_t)at->operands * sizeof *at->operand);
    if (work.as.join.operand == NULL)
        return fuse_fail(err, FUSE_EMEMORY, "no memory for queued work");
    memcpy(work.as.join.operand, at->operand, (size_t)at->operands * sizeof *at->operand);
    enum fuse_status status = enqueue(queue, &work, err);
    if (status != FUSE_OK)
        free_work(&work);
    return status;
}

static enum fuse_status attention(struct fuse_queue *queue, const struct fuse_attention_call *call,
                                  struct fuse_error *err) {
    const struct fuse_map_call *at = &call->at;
    FUSE_TRY(fuse_attention_check(call, err));
    for (int o = 0; o < at->operands; o++)
        FUSE_TRY(check_memory(queue, "attention", at->operand[o].data, at->operand[o].dtype, at->indices, at->extent,
                              at->operand[o].stride, UINT32_MAX, err));
    FUSE_TRY(check_memory(queue, "attention", at->out.data, at->out.dtype, at->indices, at->extent, at->out.stride,
                          at->in_out, err));
    struct work work = {.kind = WORK_ATTENTION, .as.attention.call = *call};
    work.as.attention.operand = malloc((size_t)at->operands * sizeof *at->operand);
    if (work.as.attention.operand == NULL)
        return fuse_fail(err, FUSE_EMEMORY, "no memory for queued work");
    memcpy(work.as.attention.operand, at->operand, (size_t)at->operands * sizeof *at->operand);
    enum fuse_status status = enqueue(queue, &work, err);
    if (status != FUSE_OK)
        free_work(&work);
    return status;
}

static enum fuse_status copy(struct fuse_queue *queue, const struct fuse_view *to, const struct fuse_view *from,
                             int64_t whole_bytes, struct fuse_error *err) {
    (void)whole_bytes;
    FUSE_TRY(fuse_view_check(to, from, err));
    FUSE_TRY(check_view(queue, "copy", to, err));
    FUSE_TRY(check_view(queue, "copy", from, err));
    struct work work = {.kind = WORK_COPY, .as.view = {.to = *to, .from = *from}};
    return enqueue(queue, &work, err);
}

static enum fuse_status combine(struct fuse_queue *queue, enum fuse_reduce op, const struct fuse_view *to,
                                const struct fuse_view *from, struct fuse_error *err) {
    FUSE_TRY(fuse_combine_check(op, to, from, err));
    FUSE_TRY(check_view(queue, "combine", to, err));
    FUSE_TRY(check_view(queue, "combine", from, err));
    struct work work = {.kind = WORK_COMBINE, .as.view = {.op = op, .to = *to, .from = *from}};
    return enqueue(queue, &work, err);
}

static enum fuse_status clear(struct fuse_queue *queue, const struct fuse_view *to, struct fuse_error *err) {
    FUSE_TRY(fuse_view_check(to, NULL, err));
    FUSE_TRY(check_view(queue, "clear", to, err));
    struct work work = {.kind = WORK_CLEAR, .as.view = {.to = *to}};
    return enqueue(queue, &work, err);
}

static enum fuse_status transfer(struct fuse_queue *queue, void *to, enum fuse_memkind to_kind, const void *from,
                                 enum fuse_memkind from_kind, size_t bytes, struct fuse_error *err) {
    const struct fake_backend *fake = ((struct fake_queue *)queue)->backend;
    if (bytes > 0 && (is_device(fake, to, (char *)to + bytes) != (to_kind == FUSE_MEM_DEVICE) ||
                      is_device(fake, from, (const char *)from + bytes) != (from_kind == FUSE_MEM_DEVICE)))
        return fuse_fail(err, FUSE_EBUG, "transfer: memory is not of the kind that the call says");
    struct work work = {.kind = WORK_TRANSFER, .as.transfer = {.to = to, .from = from, .bytes = bytes}};
    return enqueue(queue, &work, err);
}

const struct fuse_backend_ops fuse_backend_fakedev = {
    .name = "fakedev",
    .kind = FUSE_MEM_DEVICE,
    .open = open_backend,
    .close = close_backend,
    .memory_open = open_memory,
    .memory_close = close_memory,
    .queue_open = open_queue,
    .contract = contract,
    .map = map,
    .join = join,
    .attention = attention,
    .copy = copy,
    .combine = combine,
    .clear = clear,
    .transfer = transfer,
};
