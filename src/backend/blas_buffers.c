/* A sequential OpenBLAS keeps a table of packing buffers and hands them out without a lock: two threads can get the same
 * one, and then compute wrong products. Its threaded builds are safe, but map a buffer for every core of the machine when
 * they are loaded. So the sequential build is linked statically, its blas_memory_alloc and blas_memory_free are replaced
 * by the linker (--wrap) with a table that threads can share. */
#include "backend/blas_buffers.h"

#include <cblas.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>

#ifdef FUSE_OPENBLAS_STATIC

/* What OpenBLAS calls BUFFER_SIZE on x86-64 and arm64; it touches as much as the blocking of its kernels needs. */
#define BUFFER_BYTES ((size_t)128 << 20)

/* More threads than this share a rank's memory nowhere. A buffer that was mapped stays, for whoever comes next: teams of
 * threads shrink and grow between kernels. */
#define BUFFERS 1024

static struct {
    atomic_flag used;
    void *at;
} buffer[BUFFERS];

static bool map_buffer(int i) {
    if (buffer[i].at)
        return true;
    void *at = mmap(NULL, BUFFER_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    buffer[i].at = at == MAP_FAILED ? NULL : at;
    return buffer[i].at != NULL;
}

void *__wrap_blas_memory_alloc(int purpose);
void __wrap_blas_memory_free(void *at);

void *__wrap_blas_memory_alloc(int purpose) {
    (void)purpose;
    for (int i = 0;; i = (i + 1) % BUFFERS) {
        if (atomic_flag_test_and_set(&buffer[i].used))
            continue;
        if (map_buffer(i))
            return buffer[i].at;
        atomic_flag_clear(&buffer[i].used); /* try those of others again: BLAS cannot go on without */
    }
}

void __wrap_blas_memory_free(void *at) {
    for (int i = 0; i < BUFFERS; i++)
        if (buffer[i].at == at) {
            atomic_flag_clear(&buffer[i].used);
            return;
        }
}

bool fuse_blas_is_concurrent(void) {
    return true;
}

enum fuse_status fuse_blas_buffers_open(int threads, struct fuse_error *err) {
    for (int i = 0; i < threads && i < BUFFERS; i++)
        if (!map_buffer(i))
            return fuse_fail(err, FUSE_EMEMORY,
                             "no memory for the packing buffers of %d thread%s (%zu MiB of address space each)",
                             threads, threads == 1 ? "" : "s", BUFFER_BYTES >> 20);
    return FUSE_OK;
}

#else

bool fuse_blas_is_concurrent(void) {
    return openblas_get_parallel() != OPENBLAS_SEQUENTIAL;
}

enum fuse_status fuse_blas_buffers_open(int threads, struct fuse_error *err) {
    (void)threads;
    (void)err;
    return FUSE_OK;
}

#endif
