/* An array in chunks: numbers of chunks and what lies in them. Chunks at the upper borders reach beyond the array. Local and
 * pure. */
#ifndef FUSE_IO_CHUNK_GRID_H
#define FUSE_IO_CHUNK_GRID_H

#include "core/box.h"

struct fuse_chunk_grid {
    int rank;
    int64_t extent[FUSE_MAX_AXES], chunk[FUSE_MAX_AXES]; /* in elements; chunks have no extent of 0 */
    int64_t count[FUSE_MAX_AXES];                        /* of chunks along an axis */
    int64_t chunks, chunk_elems;                         /* saturating */
};

/* A chunk: its place among the others, and its number in C order of places. */
struct fuse_chunk {
    int64_t place[FUSE_MAX_AXES], number;
};

void fuse_chunk_grid_init(struct fuse_chunk_grid *out, int rank, const int64_t *extent, const int64_t *chunk);
/* The chunks that a box meets, as a box of places; n of them has fuse_box_elems. */
struct fuse_box fuse_chunk_grid_meets(const struct fuse_chunk_grid *grid, const struct fuse_box *box);
/* Chunk n of a box of places, in C order. */
struct fuse_chunk fuse_chunk_grid_nth(const struct fuse_chunk_grid *grid, const struct fuse_box *places, int64_t n);
/* What of `box`, whose elements are `view`, lies in a chunk that it meets: as a box within the chunk, and its elements. */
void fuse_chunk_grid_part(struct fuse_box *within, struct fuse_view *part, const struct fuse_chunk_grid *grid,
                          const struct fuse_chunk *chunk, const struct fuse_box *box, const struct fuse_view *view);

#endif
