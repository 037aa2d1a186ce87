/* A box of a chunked array, cut into blocks that consist of whole chunks (but at the border of the box and the array):
 * neighbouring chunks together while they are small, so that a block is worth a transfer. Every chunk is in one block.
 * Local and pure. */
#ifndef FUSE_IO_CHUNK_BLOCKS_H
#define FUSE_IO_CHUNK_BLOCKS_H

#include "core/box.h"

struct fuse_chunk_blocks {
    struct fuse_box box;
    int64_t step[FUSE_MAX_AXES];  /* extents of a block, multiples of the chunk's */
    int64_t first[FUSE_MAX_AXES]; /* number of the first block that meets the box, per axis */
    int64_t count[FUSE_MAX_AXES]; /* and how many do */
    int64_t blocks;               /* in all; saturating */
    int64_t most_elems;           /* of the largest, within the box */
};

/* Blocks of about `elems` elements, larger where a single chunk is. Chunks have no extent of 0. */
void fuse_chunk_blocks_init(struct fuse_chunk_blocks *out, const struct fuse_box *box, const int64_t *chunk,
                            int64_t elems);
/* Block n, in C order, within the box. */
struct fuse_box fuse_chunk_block(const struct fuse_chunk_blocks *blocks, int64_t n);

#endif
