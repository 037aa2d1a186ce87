/* Recursion on both sides of a relation, on rows of bits:
 *
 *     R(x, y) = B(x, y) + U(x, u) R(u, v) D(v, y)
 *
 * such as same generation. The rows are taken in the order in which they depend on each other by U, so that one outside of cycles
 * is made once, from whole rows: H(x) is the union of the rows R(u), and R(x) that of the rows D(v) of all v in H(x), and B(x).
 * In a component of U with cycles only what is new in a row goes on. Memory is a bit for each pair of ids, and two more for those
 * of rows in the largest component.
 *
 *     prepare -> make -> close        each member of a team; open: all of it, alone
 *
 * A level is what depends on none of its own: its rows and components are dealt to the members of a team as they come, which then meet. */
#ifndef FUSE_BACKEND_TWO_SIDED_H
#define FUSE_BACKEND_TWO_SIDED_H

#include "backend/closure.h"

struct fuse_two_sided_question {
    const struct fuse_adjacency *base; /* B: x by y */
    const struct fuse_adjacency *up;   /* U: x by x */
    const struct fuse_adjacency *down; /* D: y by y */
};

/* Bit y of row x, first <= x < end, is bit y % 64 of row[(x - first) * words + y / 64]. */
struct fuse_two_sided {
    int64_t rows, columns, count; /* count: of pairs */
    int64_t first, end;           /* the rows that are here */
    size_t words, bytes;          /* bytes: to be given back by close */
    uint64_t *row;
    const int64_t *row_count; /* [rows]; NULL: not here */
};

/* Those that make the rows, all of them at once, in memory that they share. */
struct fuse_two_sided_team {
    int members;
    bool is_first; /* of them: has what is too little to be dealt */
    /* Returns when all members have called it, and see what the others wrote. */
    enum fuse_status (*meet)(void *context, struct fuse_error *err);
    void *context;
};

struct fuse_two_sided_work; /* the order of rows, and what a member needs for itself */

/* A most of the bytes that one alone takes, the result included, apart from the relations. */
size_t fuse_two_sided_bytes(const struct fuse_two_sided_question *question);
/* Borrows the question. */
enum fuse_status fuse_two_sided_prepare(struct fuse_two_sided_work **out,
                                        const struct fuse_two_sided_question *question,
                                        struct fuse_error *err) FUSE_CHECKED;
void fuse_two_sided_work_close(struct fuse_two_sided_work *work);
/* Bytes that a member has taken, and that rows are made in, which the team shares. */
size_t fuse_two_sided_own_bytes(const struct fuse_two_sided_work *work);
size_t fuse_two_sided_shared_bytes(const struct fuse_two_sided_work *work);
/* Collective over the team (NULL: alone); nothing fails but meeting. memory: zeroed, 8-byte aligned; the result is there, and nothing is
 * to be given back. */
enum fuse_status fuse_two_sided_make(struct fuse_two_sided *out, struct fuse_two_sided_work *work, void *memory,
                                     const struct fuse_two_sided_team *team, struct fuse_error *err) FUSE_CHECKED;
/* A copy of the rows from `first` to `end` - 1. */
enum fuse_status fuse_two_sided_copy(struct fuse_two_sided *out, const struct fuse_two_sided *from, int64_t first,
                                     int64_t end, struct fuse_error *err) FUSE_CHECKED;
/* Computes R, which the caller closes. MEMORY when it would take more than budget_bytes (0: no bound), or there is too little. */
enum fuse_status fuse_two_sided_open(struct fuse_two_sided *out, const struct fuse_two_sided_question *question,
                                     size_t budget_bytes, struct fuse_error *err) FUSE_CHECKED;
void fuse_two_sided_close(struct fuse_two_sided *result);

static inline const uint64_t *fuse_two_sided_row(const struct fuse_two_sided *result, int64_t x) {
    return result->row + (size_t)(x - result->first) * result->words;
}

static inline bool fuse_two_sided_has(const struct fuse_two_sided *result, int64_t x, int64_t y) {
    return fuse_two_sided_row(result, x)[(size_t)y / 64] >> (y & 63) & 1;
}

#endif
