#include "io/chunk_blocks.h"

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

void fuse_chunk_blocks_init(struct fuse_chunk_blocks *out, const struct fuse_box *box, const int64_t *chunk,
                            int64_t elems) {
    int64_t now = 1;
    *out = (struct fuse_chunk_blocks){.box = *box, .blocks = fuse_box_is_empty(box) ? 0 : 1, .most_elems = 1};
    for (int a = 0; a < box->rank; a++) {
        out->step[a] = chunk[a];
        now = fuse_sat_mul(now, least(chunk[a], box->hi[a] - box->lo[a]));
    }
    /* The last axis first: what lies behind one another in the file is read together. */
    for (int a = box->rank - 1; a >= 0 && out->blocks > 0; a--) {
        int64_t begin = box->lo[a] / chunk[a], chunks = (box->hi[a] - 1) / chunk[a] + 1 - begin;
        int64_t times = least(chunks, elems / now > 1 ? elems / now : 1);
        out->step[a] = fuse_sat_mul(chunk[a], times);
        now = fuse_sat_mul(now, times);
        out->first[a] = box->lo[a] / out->step[a];
        out->count[a] = (box->hi[a] - 1) / out->step[a] + 1 - out->first[a];
        out->blocks = fuse_sat_mul(out->blocks, out->count[a]);
        out->most_elems = fuse_sat_mul(out->most_elems, least(out->step[a], box->hi[a] - box->lo[a]));
    }
}

struct fuse_box fuse_chunk_block(const struct fuse_chunk_blocks *blocks, int64_t n) {
    struct fuse_box block = {.rank = blocks->box.rank};
    for (int a = block.rank - 1; a >= 0; a--) {
        int64_t number = blocks->first[a] + n % blocks->count[a];
        n /= blocks->count[a];
        block.lo[a] = number * blocks->step[a];
        block.hi[a] = fuse_sat_add(block.lo[a], blocks->step[a]);
    }
    fuse_box_intersect(&block, &block, &blocks->box);
    return block;
}
