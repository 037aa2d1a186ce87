#include "core/chunks.h"

void fuse_chunks_make(struct fuse_chunks *out, int indices, const int64_t *extent, uint32_t summed, int64_t points) {
    int longest = -1;
    out->levels = 0;
    for (int i = 0; i < indices; i++)
        if ((summed >> i & 1) && (longest < 0 || extent[i] > extent[longest]))
            longest = i;
    if (longest >= 0)
        out->index[out->levels++] = longest;
    for (int i = 0; i < indices; i++)
        if ((summed >> i & 1) && i != longest)
            out->index[out->levels++] = i;
    for (int l = out->levels - 1; l >= 0; l--) {
        int64_t n = extent[out->index[l]], most = points > 1 ? points : 1;
        out->block[l] = n < most ? (n > 0 ? n : 1) : most;
        out->leaves[l] = (n + out->block[l] - 1) / out->block[l];
        points = out->block[l] < n ? 1 : points / out->block[l];
    }
}

void fuse_chunks_part(int64_t *lo, int64_t *hi, int64_t parts, int64_t part) {
    while (parts > 1) {
        int64_t middle = *lo + fuse_chunks_half(*hi - *lo), first = fuse_chunks_half(parts);
        if (part < first) {
            *hi = middle;
            parts = first;
        } else {
            *lo = middle;
            part -= first;
            parts -= first;
        }
    }
}

int64_t fuse_chunks_largest(int64_t n, int64_t parts) {
    if (parts <= 1 || n == 0)
        return n;
    int64_t first = fuse_chunks_largest(fuse_chunks_half(n), fuse_chunks_half(parts)),
            rest = fuse_chunks_largest(n / 2, parts / 2);
    return first > rest ? first : rest;
}

int64_t fuse_chunks_smallest(int64_t n, int64_t parts) {
    if (parts <= 1 || n == 0)
        return n;
    int64_t first = fuse_chunks_smallest(fuse_chunks_half(n), fuse_chunks_half(parts)),
            rest = fuse_chunks_smallest(n / 2, parts / 2);
    return first < rest ? first : rest;
}

int fuse_chunks_depth(const struct fuse_chunks *chunks) {
    int depth = 1;
    for (int l = 0; l < chunks->levels; l++)
        for (int64_t n = chunks->leaves[l]; n > 1; n = fuse_chunks_half(n))
            depth++;
    return depth;
}
