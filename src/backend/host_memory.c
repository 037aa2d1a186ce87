#include "backend/host_memory.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

size_t fuse_host_mapped_bytes(size_t bytes) {
    return (bytes + FUSE_HUGE_PAGE - 1) / FUSE_HUGE_PAGE * FUSE_HUGE_PAGE;
}

enum fuse_status fuse_host_map(void **base, size_t bytes, int threads, struct fuse_error *err) {
    if (bytes == 0) {
        *base = NULL;
        return FUSE_OK;
    }
    if (bytes > SIZE_MAX / 2)
        return fuse_fail(err, FUSE_EMEMORY, "cannot map %zu bytes", bytes);
    size_t rounded = fuse_host_mapped_bytes(bytes);
    char *map = mmap(NULL, rounded + FUSE_HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return fuse_fail(err, FUSE_EMEMORY, "cannot map %zu bytes", bytes);
    size_t head = (FUSE_HUGE_PAGE - (uintptr_t)map % FUSE_HUGE_PAGE) % FUSE_HUGE_PAGE;
    char *start = map + head;
    if (head > 0)
        munmap(map, head);
    munmap(start + rounded, FUSE_HUGE_PAGE - head);
    madvise(start, rounded, MADV_HUGEPAGE);

    /* Pages land next to the thread that touches them first; a 4 KiB step also covers kernels without huge pages. */
    int64_t blocks = (int64_t)(rounded / FUSE_HUGE_PAGE);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t block = 0; block < blocks; block++) {
        volatile char *page = start + (size_t)block * FUSE_HUGE_PAGE;
        for (size_t at = 0; at < FUSE_HUGE_PAGE; at += 4096)
            page[at] = 0;
    }
    *base = start;
    return FUSE_OK;
}

void fuse_host_unmap(void *base, size_t bytes) {
    if (base != NULL)
        munmap(base, fuse_host_mapped_bytes(bytes));
}

static uint64_t signal_done(struct fuse_queue *queue) {
    return ((struct fuse_host_queue *)queue)->calls;
}

static enum fuse_status wait_done(struct fuse_queue *queue, uint64_t ticket, struct fuse_error *err) {
    struct fuse_host_queue *host = (struct fuse_host_queue *)queue;
    (void)ticket;
    if (host->failure.status == FUSE_OK)
        return FUSE_OK;
    enum fuse_status status = host->failure.status;
    fuse_fail(err, status, "%s", host->failure.message);
    memset(&host->failure, 0, sizeof host->failure);
    return status;
}

static void close_queue(struct fuse_queue *queue) {
    free(queue);
}

static const struct fuse_queue_ops queue_ops = {.signal = signal_done, .wait = wait_done, .close = close_queue};

enum fuse_status fuse_host_queue_open(struct fuse_backend *backend, struct fuse_queue **out, struct fuse_error *err) {
    struct fuse_host_queue *queue = calloc(1, sizeof *queue);
    if (queue == NULL)
        return fuse_fail(err, FUSE_EMEMORY, "no memory for a queue");
    queue->base.ops = &queue_ops;
    queue->backend = backend;
    *out = &queue->base;
    return FUSE_OK;
}

enum fuse_status fuse_host_transfer(struct fuse_queue *queue, void *to, enum fuse_memkind to_kind, const void *from,
                                    enum fuse_memkind from_kind, size_t bytes, struct fuse_error *err) {
    if (to_kind == FUSE_MEM_DEVICE || from_kind == FUSE_MEM_DEVICE)
        return fuse_fail(err, FUSE_EBUG, "this back end has no device memory");
    ((struct fuse_host_queue *)queue)->calls++;
    if (bytes > 0)
        memmove(to, from, bytes);
    return FUSE_OK;
}
