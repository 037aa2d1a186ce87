#include "backend/closure_internal.h"

struct fuse_closure_row fuse_closure_row_of_class(const struct fuse_closure_result *r, int64_t class) {
    const struct fuse_closure_kept *b = r->block[class / FUSE_CLOSURE_BLOCK];
    if (b == NULL)
        return (struct fuse_closure_row){0};
    const uint64_t j = (uint64_t) class % FUSE_CLOSURE_BLOCK;
    struct fuse_closure_row row = {.n = (int64_t)(b->begin[j + 1] - b->begin[j])};
    if (b->bits != NULL)
        row.bits = b->bits + j * r->words;
    else if (b->id != NULL)
        row.id = b->id + b->begin[j];
    return row;
}

static struct fuse_closure_row row_of(const struct fuse_closure_result *r, int64_t x) {
    if (x < 0 || x >= r->closure->rows || r->closure->class_of[x] == FUSE_CLOSURE_NONE)
        return (struct fuse_closure_row){0};
    return fuse_closure_row_of_class(r, r->closure->class_of[x]);
}

int64_t fuse_closure_row_count(const struct fuse_closure_result *r, int64_t x) {
    return row_of(r, x).n;
}

bool fuse_closure_has(const struct fuse_closure_result *r, int64_t x, int64_t z) {
    const struct fuse_closure_row row = row_of(r, x);
    if (z < 0 || z >= r->closure->columns)
        return false;
    if (row.bits != NULL)
        return row.bits[z / 64] >> (z & 63) & 1;
    int64_t low = 0, high = row.id != NULL ? row.n : 0;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (row.id[middle] < z)
            low = middle + 1;
        else
            high = middle;
    }
    return row.id != NULL && low < row.n && row.id[low] == z;
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

int64_t fuse_closure_row_read(int64_t *z, uint64_t *at, struct fuse_closure_row row, int64_t words, int64_t most) {
    if (row.bits != NULL)
        return read_bits(z, at, row.bits, (size_t)words, most);
    int64_t n = 0;
    while (row.id != NULL && n < most && *at < (uint64_t)row.n)
        z[n++] = row.id[(*at)++];
    return n;
}

void fuse_closure_row_skip(uint64_t *at, struct fuse_closure_row row, int64_t words, int64_t ids) {
    *at = (uint64_t)ids;
    if (row.bits == NULL)
        return;
    size_t p = 0;
    for (; p < (size_t)words && ids >= __builtin_popcountll(row.bits[p]); p++)
        ids -= __builtin_popcountll(row.bits[p]);
    uint64_t bits = p < (size_t)words ? row.bits[p] : 0;
    for (; ids > 0; ids--)
        bits &= bits - 1;
    *at = p << 6 | (bits != 0 ? (uint64_t)__builtin_ctzll(bits) : 0);
}

int64_t fuse_closure_next(struct fuse_closure_cursor *cursor, int64_t *x, int64_t *z, int64_t most) {
    const struct fuse_closure_result *r = cursor->result;
    int64_t n = 0;
    for (; cursor->x < cursor->last_x; cursor->x++, cursor->at = 0) {
        const struct fuse_closure_row row = row_of(r, cursor->x);
        const int64_t got = fuse_closure_row_read(z + n, &cursor->at, row, (int64_t)r->words, most - n);
        for (int64_t i = 0; i < got; i++)
            x[n + i] = cursor->x;
        n += got;
        if (n == most)
            return n;
    }
    return n;
}
