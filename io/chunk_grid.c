#include "io/chunk_grid.h"

void fuse_chunk_grid_init(struct fuse_chunk_grid *out, int rank, const int64_t *extent, const int64_t *chunk) {
    *out = (struct fuse_chunk_grid){.rank = rank, .chunks = 1, .chunk_elems = 1};
    for (int a = 0; a < rank; a++) {
        out->extent[a] = extent[a];
        out->chunk[a] = chunk[a];
        out->count[a] = extent[a] / chunk[a] + (extent[a] % chunk[a] != 0);
        out->chunks = fuse_sat_mul(out->chunks, out->count[a]);
        out->chunk_elems = fuse_sat_mul(out->chunk_elems, chunk[a]);
    }
}

struct fuse_box fuse_chunk_grid_meets(const struct fuse_chunk_grid *grid, const struct fuse_box *box) {
    struct fuse_box places = {.rank = grid->rank};
    for (int a = 0; a < grid->rank; a++) {
        bool is_empty = box->hi[a] <= box->lo[a];
        places.lo[a] = box->lo[a] / grid->chunk[a];
        places.hi[a] = is_empty ? places.lo[a] : (box->hi[a] - 1) / grid->chunk[a] + 1;
    }
    return places;
}

struct fuse_chunk fuse_chunk_grid_nth(const struct fuse_chunk_grid *grid, const struct fuse_box *places, int64_t n) {
    struct fuse_chunk chunk = {.number = 0};
    for (int a = grid->rank - 1; a >= 0; a--) {
        int64_t count = places->hi[a] - places->lo[a];
        chunk.place[a] = places->lo[a] + n % count;
        n /= count;
    }
    for (int a = 0; a < grid->rank; a++)
        chunk.number = chunk.number * grid->count[a] + chunk.place[a];
    return chunk;
}

void fuse_chunk_grid_part(struct fuse_box *within, struct fuse_view *part, const struct fuse_chunk_grid *grid,
                          const struct fuse_chunk *chunk, const struct fuse_box *box, const struct fuse_view *view) {
    struct fuse_box whole = {.rank = grid->rank};
    int64_t first = 0;
    for (int a = 0; a < grid->rank; a++) {
        whole.lo[a] = chunk->place[a] * grid->chunk[a];
        whole.hi[a] = fuse_sat_add(whole.lo[a], grid->chunk[a]);
    }
    *part = *view;
    fuse_box_intersect(within, &whole, box);
    for (int a = 0; a < grid->rank; a++) {
        first += (within->lo[a] - box->lo[a]) * view->stride[a];
        part->extent[a] = within->hi[a] - within->lo[a];
        within->lo[a] -= whole.lo[a];
        within->hi[a] -= whole.lo[a];
    }
    part->data = (char *)view->data + first * (int64_t)fuse_dtype_bytes(view->dtype);
}
