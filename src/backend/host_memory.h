/* What every back end in ordinary memory shares: mappings, byte copies, and a queue that runs each call at once. Local. */
#ifndef FUSE_BACKEND_HOST_MEMORY_H
#define FUSE_BACKEND_HOST_MEMORY_H

#include "backend/backend.h"

#define FUSE_HUGE_PAGE ((size_t)2 << 20)

/* A zeroed mapping of at least `bytes`, 2 MiB aligned, huge pages asked for, every page touched by `threads` threads in
 * equal contiguous parts. NULL in *base when bytes is 0. MEMORY when it cannot be had. */
enum fuse_status fuse_host_map(void **base, size_t bytes, int threads, struct fuse_error *err) FUSE_CHECKED;
/* The same in a file, a memfd of random name, that other processes may map; *file is the caller's to close. NULL, or why not, in words
 * for a report: also where it would be worse than memory of one's own. */
const char *fuse_host_map_shared(void **base, int *file, size_t bytes, int threads);
void fuse_host_unmap(void *base, size_t bytes);
/* Bytes that fuse_host_map reserves for a request. */
size_t fuse_host_mapped_bytes(size_t bytes);

/* A private mapping that begins with a huge page, untouched; rounded: as of fuse_host_mapped_bytes, protection: as of mmap. NULL when it
 * cannot be had; to be unmapped by munmap. */
void *fuse_host_reserve(size_t rounded, int protection);

/* A queue whose work is done when the call returns; it only keeps the first failure for wait, which hands it out once. */
struct fuse_host_queue {
    struct fuse_queue base;
    struct fuse_backend *backend;
    struct fuse_error failure;
    uint64_t calls;
};

enum fuse_status fuse_host_queue_open(struct fuse_backend *backend, struct fuse_queue **out, struct fuse_error *err);

/* Moves bytes between kinds that the processor reaches (all but DEVICE, which is a BUG here). */
enum fuse_status fuse_host_transfer(struct fuse_queue *queue, void *to, enum fuse_memkind to_kind, const void *from,
                                    enum fuse_memkind from_kind, size_t bytes, struct fuse_error *err);

#endif
