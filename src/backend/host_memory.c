#include "backend/host_memory.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

/* Of Linux 5.14 and 6.1, which the headers may be older than. */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

size_t fuse_host_mapped_bytes(size_t bytes) {
    return (bytes + FUSE_HUGE_PAGE - 1) / FUSE_HUGE_PAGE * FUSE_HUGE_PAGE;
}

void *fuse_host_reserve(size_t rounded, int protection) {
    char *map = mmap(NULL, rounded + FUSE_HUGE_PAGE, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return NULL;
    size_t head = (FUSE_HUGE_PAGE - (uintptr_t)map % FUSE_HUGE_PAGE) % FUSE_HUGE_PAGE;
    if (head > 0)
        munmap(map, head);
    munmap(map + head + rounded, FUSE_HUGE_PAGE - head);
    return map + head;
}

enum fuse_status fuse_host_map(void **base, size_t bytes, int threads, struct fuse_error *err) {
    if (bytes == 0) {
        *base = NULL;
        return FUSE_OK;
    }
    if (bytes > SIZE_MAX / 2)
        return fuse_fail(err, FUSE_EMEMORY, "cannot map %zu bytes", bytes);
    size_t rounded = fuse_host_mapped_bytes(bytes);
    char *start = fuse_host_reserve(rounded, PROT_READ | PROT_WRITE);
    if (start == NULL)
        return fuse_fail(err, FUSE_EMEMORY, "cannot map %zu bytes", bytes);
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

/* ---- memory that other processes map too ---- */

/* A file that grows beyond a limit of files ends the process; peers need as much address space again. */
static bool is_limited(int resource) {
    struct rlimit limit;
    return getrlimit(resource, &limit) != 0 || limit.rlim_cur != RLIM_INFINITY;
}

/* A memfd of random name, so that whoever finds it knows that it is the right one. */
static int make_file(size_t bytes) {
    unsigned char random[16];
    char name[64] = "fuse-dist-";
    size_t length = strlen(name);
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return -1;
    for (size_t i = 0; i < sizeof random; i++, length += 2)
        snprintf(name + length, sizeof name - length, "%02x", random[i]);
    const int file = memfd_create(name, MFD_CLOEXEC);
    if (file >= 0 && ftruncate(file, (off_t)bytes) != 0) {
        close(file);
        return -1;
    }
    return file;
}

/* 0, or the number of an error. Files in memory get huge pages where they are collapsed: one small page of each is there, the others
 * are not, and nothing but zeros has to be written. What there is no huge page for gets small ones. */
static int populate(char *start, size_t bytes) {
    for (size_t at = 0; at < bytes; at += FUSE_HUGE_PAGE)
        if (madvise(start + at, 4096, MADV_POPULATE_WRITE) != 0)
            return errno;
    if (madvise(start, bytes, MADV_COLLAPSE) != 0 && errno == EINVAL)
        return EINVAL;
    return madvise(start, bytes, MADV_POPULATE_WRITE) == 0 ? 0 : errno;
}

static int populate_all(char *start, size_t bytes, int threads) {
    const int64_t blocks = (int64_t)(bytes / FUSE_HUGE_PAGE);
    int failure = 0;
#pragma omp parallel for num_threads(threads) schedule(static) reduction(max : failure)
    for (int t = 0; t < threads; t++) {
        const int64_t begin = blocks * t / threads, end = blocks * (t + 1) / threads;
        if (end > begin)
            failure = populate(start + (size_t)begin * FUSE_HUGE_PAGE, (size_t)(end - begin) * FUSE_HUGE_PAGE);
    }
    return failure;
}

const char *fuse_host_map_shared(void **base, int *file, size_t bytes, int threads) {
    if (bytes == 0 || bytes > SIZE_MAX / 2)
        return "there is nothing to share";
    if (is_limited(RLIMIT_AS) || is_limited(RLIMIT_FSIZE))
        return "address space or the size of files is limited (ulimit -v, -f)";
    const size_t rounded = fuse_host_mapped_bytes(bytes);
    const int memory = make_file(rounded);
    if (memory < 0)
        return "the system makes no files in memory";
    char *start = fuse_host_reserve(rounded, PROT_NONE);
    int failure = ENOMEM;
    if (start != NULL && mmap(start, rounded, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, memory, 0) != MAP_FAILED)
        failure = populate_all(start, rounded, threads);
    if (failure == 0) {
        *base = start;
        *file = memory;
        return NULL;
    }
    fuse_host_unmap(start, bytes);
    close(memory);
    return failure == EINVAL ? "the system has no huge pages for files in memory"
                             : "not enough memory that can be shared";
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
