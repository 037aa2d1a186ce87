/* Sums in the order of core/chunks.h: the same bits however results, threads and ranks are shared out, and on every
 * processor. Local. */
#ifndef FUSE_BACKEND_CPU_ORDERED_H
#define FUSE_BACKEND_CPU_ORDERED_H

#include "backend/cpu.h"
#include "core/chunks.h"

/* Walks the tree over the leaves of `chunks`, of which the first level has [0, leaves[0]): make computes the sum of a run of leaves
 * of the last level that has more than one, at most `run` of them, into slot `slot`; join adds slot + 1 to it. */
struct fuse_ordered_walk {
    const struct fuse_chunks *chunks;
    int last; /* the last level with several leaves, or 0 */
    int64_t run;
    void (*make)(struct fuse_ordered_walk *walk, int slot, const int64_t *leaf, int64_t leaves);
    void (*join)(struct fuse_ordered_walk *walk, int slot);
    /* NULL, or both at once: adds what `make` would compute into slot + 1 to `slot`. */
    void (*add)(struct fuse_ordered_walk *walk, int slot, const int64_t *leaf, int64_t leaves);
    int64_t at[FUSE_MAX_AXES]; /* the leaf of every level, while the tree is walked */
};

void fuse_ordered_open(struct fuse_ordered_walk *walk, const struct fuse_chunks *chunks, int64_t run);
void fuse_ordered_sum(struct fuse_ordered_walk *walk);

/* Contractions of reals with call->order: fused multiplications and additions, one after the other within a chunk, where both
 * operands have an index of their own in the result; else as maps. */
enum fuse_status fuse_cpu_run_ordered_contract(struct fuse_cpu_backend *cpu, const struct fuse_contract *call,
                                               struct fuse_cpu_counts *counts, struct fuse_error *err) FUSE_CHECKED;
/* Maps with call->order, which reduce reals by SUM or PROD: within a chunk in FUSE_ORDERED_LANES interleaved parts, of which
 * those of F32 are of F64, joined like the leaves of a tree. */
enum fuse_status fuse_cpu_run_ordered_map(struct fuse_cpu_backend *cpu, const struct fuse_map_call *call,
                                          struct fuse_cpu_counts *counts, struct fuse_error *err) FUSE_CHECKED;
#define FUSE_ORDERED_LANES 16
/* Of the zeros that a MIN or MAX of reals may find, which one it returns is a matter of order: its result becomes +0. */
enum fuse_status fuse_cpu_drop_zero_signs(struct fuse_cpu_backend *cpu, const struct fuse_map_call *call,
                                          struct fuse_cpu_counts *counts, struct fuse_error *err) FUSE_CHECKED;

/* A table like another, in which functions of reals give the same bits on every processor. */
void fuse_ordered_table(struct fuse_tile_table *out, const struct fuse_tile_table *tile);

#endif
