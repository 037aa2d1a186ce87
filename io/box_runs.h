/* A box of a stored array as contiguous runs of its file, and as blocks of runs that are worth one transfer.
 *
 *   file (C order)   ........[run 0]....gap....[run 1]....gap....[run 2].......
 *                            <-------- span of a block of three runs -------->
 *
 * Positions, strides and spans count elements: in the file from element 0 of the array, in memory from the box's first
 * element. A block always fits into a buffer of the given size, laid out as in the file. Local and pure. */
#ifndef FUSE_IO_BOX_RUNS_H
#define FUSE_IO_BOX_RUNS_H

#include "core/box.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fuse_run_axis {
    int64_t extent, file, memory; /* strides */
};

/* Axes from the slowest to the fastest in the file; those of extent 1 are gone and neighbours that are one run both in
 * the file and in memory are joined, but at least one axis remains. */
struct fuse_box_runs {
    int axes;
    struct fuse_run_axis axis[FUSE_MAX_AXES];
    int64_t file_begin;
};

/* The box must lie in the array and not be empty; view: its elements in memory, with the box's extents. */
void fuse_box_runs_init(struct fuse_box_runs *out, const int64_t *extent, bool reversed, const struct fuse_box *box,
                        const struct fuse_view *view);

/* Elements of the innermost run when it is contiguous in memory too, else 0. */
int64_t fuse_box_runs_direct(const struct fuse_box_runs *runs);

/* A walk over the blocks of a box, in file order. A block holds axes [level, axes), of axis `level` at most `step`
 * coordinates. */
struct fuse_run_blocks {
    const struct fuse_box_runs *runs;
    int level;
    int64_t step;
    int64_t longest; /* span of a full block */
    int64_t index[FUSE_MAX_AXES];
    bool is_done;
    /* The current block. */
    int axes;
    struct fuse_run_axis axis[FUSE_MAX_AXES];
    int64_t file, span, memory;
};

/* Blocks of at most `room` elements of span (>= 1). Without `gaps` every block is one run of the file; with it, a block
 * may cover elements outside the box where that is cheaper than another transfer. */
void fuse_run_blocks_begin(struct fuse_run_blocks *out, const struct fuse_box_runs *runs, size_t elem_bytes,
                           int64_t room, bool gaps);
/* Blocks of exactly one innermost run each, of any length: for transfers that need no buffer. */
void fuse_run_blocks_begin_single(struct fuse_run_blocks *out, const struct fuse_box_runs *runs);
/* false at the end. */
bool fuse_run_blocks_next(struct fuse_run_blocks *blocks);

/* Moves the current block from a buffer that holds its span to memory, whose first byte is the box's first element.
 * Swaps bytes and converts from `file` to `resident`; false when a value does not fit (see fuse_dtype_convert). */
bool fuse_run_block_load(const struct fuse_run_blocks *blocks, void *memory, enum fuse_dtype resident,
                         const void *buffer, enum fuse_dtype file, bool swap);
/* Moves the current block from memory to a buffer. */
void fuse_run_block_store(const struct fuse_run_blocks *blocks, const void *memory, void *buffer, size_t elem_bytes);

/* Reverses the bytes of each of `count` packed elements in place. */
void fuse_swap_bytes(void *at, size_t elem_bytes, size_t count);

#endif
