#include "backend/closure_internal.h"

/* The row of x: its block and number there; NULL: it has no pairs, or they are not here. */
static const struct fuse_closure_kept *row_of(const struct fuse_closure_result *r, int64_t x, uint32_t *row) {
    if (x < 0 || x >= r->closure->rows || r->closure->class_of[x] == FUSE_CLOSURE_NONE)
        return NULL;
    *row = r->closure->class_of[x] % FUSE_CLOSURE_BLOCK;
    return r->block[r->closure->class_of[x] / FUSE_CLOSURE_BLOCK];
}

int64_t fuse_closure_row_count(const struct fuse_closure_result *r, int64_t x) {
    uint32_t j;
    const struct fuse_closure_kept *b = row_of(r, x, &j);
    return b == NULL ? 0 : (int64_t)(b->begin[j + 1] - b->begin[j]);
}

bool fuse_closure_has(const struct fuse_closure_result *r, int64_t x, int64_t z) {
    uint32_t j;
    const struct fuse_closure_kept *b = row_of(r, x, &j);
    if (b == NULL || z < 0 || z >= r->closure->columns)
        return false;
    if (b->bits != NULL)
        return b->bits[j * r->words + (uint64_t)z / 64] >> (z & 63) & 1;
    if (b->id == NULL)
        return false;
    uint64_t low = b->begin[j], high = b->begin[j + 1];
    while (low < high) {
        const uint64_t middle = low + (high - low) / 2;
        if (b->id[middle] < z)
            low = middle + 1;
        else
            high = middle;
    }
    return low < b->begin[j + 1] && b->id[low] == z;
}

/* The ids of bits from *at on, which moves behind the last one given. */
static int64_t read_bits(int64_t *z, uint64_t *at, const uint64_t *bits, size_t words, int64_t most) {
    int64_t n = 0;
    size_t p = *at >> 6;
    for (uint64_t some = p < words ? bits[p] & ~(uint64_t)0 << (*at & 63) : 0; p < words;) {
        for (; some != 0; some &= some - 1) {
            if (n == most)
                return n;
            z[n++] = (int64_t)(p << 6 | (size_t)__builtin_ctzll(some));
            *at = (uint64_t)z[n - 1] + 1;
        }
        if (++p < words)
            some = bits[p];
    }
    *at = (uint64_t)words << 6;
    return n;
}

static int64_t read_ids(int64_t *z, uint64_t *at, const uint32_t *id, uint64_t ids, int64_t most) {
    int64_t n = 0;
    while (n < most && *at < ids)
        z[n++] = id[(*at)++];
    return n;
}

int64_t fuse_closure_next(struct fuse_closure_cursor *cursor, int64_t *x, int64_t *z, int64_t most) {
    const struct fuse_closure_result *r = cursor->result;
    int64_t n = 0;
    for (; cursor->x < cursor->last_x; cursor->x++, cursor->at = 0) {
        uint32_t j;
        const struct fuse_closure_kept *b = row_of(r, cursor->x, &j);
        int64_t got = 0;
        if (b != NULL && b->bits != NULL)
            got = read_bits(z + n, &cursor->at, b->bits + j * r->words, r->words, most - n);
        else if (b != NULL && b->id != NULL)
            got = read_ids(z + n, &cursor->at, b->id + b->begin[j], b->begin[j + 1] - b->begin[j], most - n);
        for (int64_t i = 0; i < got; i++)
            x[n + i] = cursor->x;
        n += got;
        if (n == most)
            return n;
    }
    return n;
}
