/* Recursion on both sides of a relation, on rows of bits:
 *
 *     R(x, y) = B(x, y) + U(x, u) R(u, v) D(v, y)
 *
 * such as same generation. The rows are taken in the order in which they depend on each other by U, so that one outside of cycles
 * is made once, from whole rows: H(x) is the union of the rows R(u), and R(x) that of the rows D(v) of all v in H(x), and B(x).
 * In a component of U with cycles only what is new in a row goes on. Memory is a bit for each pair of ids, and two more for those
 * of rows in the largest component. Local. */
#ifndef FUSE_BACKEND_TWO_SIDED_H
#define FUSE_BACKEND_TWO_SIDED_H

#include "backend/closure.h"

struct fuse_two_sided_question {
    const struct fuse_adjacency *base; /* B: x by y */
    const struct fuse_adjacency *up;   /* U: x by x */
    const struct fuse_adjacency *down; /* D: y by y */
};

/* Bit y of row x is bit y % 64 of row[x * words + y / 64]. */
struct fuse_two_sided {
    int64_t rows, columns, count; /* count: of pairs */
    size_t words, bytes;
    uint64_t *row;
};

/* A most of the bytes that are taken, the result included, apart from the relations. */
size_t fuse_two_sided_bytes(const struct fuse_two_sided_question *question);
/* Computes R, which the caller closes. MEMORY when it would take more than budget_bytes (0: no bound), or there is too little. */
enum fuse_status fuse_two_sided_open(struct fuse_two_sided *out, const struct fuse_two_sided_question *question,
                                     size_t budget_bytes, struct fuse_error *err) FUSE_CHECKED;
void fuse_two_sided_close(struct fuse_two_sided *result);

static inline bool fuse_two_sided_has(const struct fuse_two_sided *result, int64_t x, int64_t y) {
    return result->row[(size_t)x * result->words + (size_t)y / 64] >> (y & 63) & 1;
}

#endif
