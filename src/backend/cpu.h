/* The parts of the cpu back end. Local. */
#ifndef FUSE_BACKEND_CPU_H
#define FUSE_BACKEND_CPU_H

#include "backend/cpu_tile.h"
#include "backend/cpu_words.h"
#include "backend/host_memory.h"

/* Bytes of a line of the caches. */
#define FUSE_CPU_LINE 64
/* Working memory of one thread: tile buffers of a map, packed panels of a contraction. Made once at open, so that a run
 * allocates nothing of a tensor's size. */
#define FUSE_CPU_SCRATCH ((size_t)4 << 20)
/* The end of it is for products in strips. */
#define FUSE_CPU_PANELS (FUSE_CPU_SCRATCH - FUSE_TILE_PRODUCT_ROOM)
/* Of a deterministic back end besides: partial sums of products. */
#define FUSE_CPU_SLOTS ((size_t)8 << 20)
/* Tile buffers of maps that run while a product's panels are in use. */
#define FUSE_CPU_EPILOGUE ((size_t)256 << 10)
/* Partial results of a reduction that is cut in chunks, shared by the threads. */
#define FUSE_CPU_PARTIALS ((size_t)1 << 20)
/* Below so many elementary steps another thread costs more than it helps. */
#define FUSE_CPU_GRAIN 32768

struct fuse_cpu_backend {
    struct fuse_backend base;
    int threads;
    bool deterministic;
    const struct fuse_tile_table *tile;
    struct fuse_word_table words;
    struct fuse_tile_table exact; /* when deterministic: what tile points to */
    char *scratch;                /* [threads][FUSE_CPU_SCRATCH] */
    char *partials;               /* [FUSE_CPU_PARTIALS] */
    char *epilogue;               /* [threads][FUSE_CPU_EPILOGUE] */
    char *slots;                  /* [threads][FUSE_CPU_SLOTS], or NULL */
};

/* What a kernel reports besides its results. */
struct fuse_cpu_counts {
    int64_t blas_calls, packed_bytes, epilogue_bytes;
    bool overflow;
};

/* Threads that are worth using for `parts` independent parts of `steps` elementary steps in all. */
int fuse_cpu_threads(const struct fuse_cpu_backend *cpu, int64_t parts, int64_t steps);

/* The kernels: arguments have passed the checks of call_check.h. */
enum fuse_status fuse_cpu_run_map(struct fuse_cpu_backend *cpu, const struct fuse_map_call *call,
                                  struct fuse_cpu_counts *counts, struct fuse_error *err) FUSE_CHECKED;
enum fuse_status fuse_cpu_run_maps(struct fuse_cpu_backend *cpu, const struct fuse_map_call *call, int calls,
                                   const int *row, struct fuse_cpu_counts *counts, struct fuse_error *err) FUSE_CHECKED;
/* then: what goes over the result's parts, or NULL; begun where the kernel does so. */
struct fuse_epilogue;
enum fuse_status fuse_cpu_run_contract(struct fuse_cpu_backend *cpu, const struct fuse_contract *call,
                                       struct fuse_epilogue *then, struct fuse_cpu_counts *counts,
                                       struct fuse_error *err) FUSE_CHECKED;
/* cpu_semiring.c: false when the call is no product over a semiring, or has to be run as a map after all. */
bool fuse_cpu_run_semiring(struct fuse_cpu_backend *cpu, const struct fuse_map_call *call,
                           struct fuse_cpu_counts *counts);
enum fuse_status fuse_cpu_run_join(struct fuse_cpu_backend *cpu, const struct fuse_join_call *call,
                                   struct fuse_cpu_counts *counts, struct fuse_error *err) FUSE_CHECKED;
enum fuse_status fuse_cpu_run_attention(struct fuse_cpu_backend *cpu, const struct fuse_attention_call *call,
                                        struct fuse_error *err) FUSE_CHECKED;
void fuse_cpu_run_copy(struct fuse_cpu_backend *cpu, const struct fuse_view *to, const struct fuse_view *from,
                       int64_t whole_bytes);
void fuse_cpu_run_clear(struct fuse_cpu_backend *cpu, const struct fuse_view *to);
enum fuse_status fuse_cpu_run_combine(struct fuse_cpu_backend *cpu, enum fuse_reduce op, const struct fuse_view *to,
                                      const struct fuse_view *from, struct fuse_cpu_counts *counts,
                                      struct fuse_error *err) FUSE_CHECKED;

#endif
