/* Linear recursion on all ranks, with an index that passes through (backend/closure.h): R(x, z) = B(x, z) + R(x, y) E(y, z); or on
 * both sides (backend/two_sided.h): R(x, z) = B(x, z) + E(x, u) R(u, v) D(v, z).
 *
 * What is given is small beside R: every node has all of it, in memory that its ranks share. With an index that passes through each node
 * prepares the same blocks; these are dealt to the nodes in turn, to the ranks of a node as they come, and computed without a
 * word between them, and no rank has more than its blocks of R, as rows of bits or of ids. On both sides each node makes a bit for
 * each x and z, where that is the smallest form: its ranks share the memory and the work, row by row, and each one keeps its part of the
 * rows. The pairs in the order of x, then z, and what is counted, are the same on any number of ranks.
 */
#ifndef FUSE_EXEC_REACH_H
#define FUSE_EXEC_REACH_H

#include "comm/comm.h"

struct fuse_reach; /* R, on this rank */

/* A part of a relation, duplicates allowed: (from[i], to[i]), i < n. */
struct fuse_reach_pairs {
    int64_t n;
    const int64_t *from, *to;
};

struct fuse_reach_request {
    struct fuse_comm *comm;
    int64_t rows, columns;              /* extents of x, and of y and z; on both sides of x and u, and of v and z */
    struct fuse_reach_pairs base, step; /* of this rank, whose union over all ranks is B and E */
    bool base_is_step;                  /* B is E, and `base` does not count */
    bool is_two_sided;
    struct fuse_reach_pairs down; /* on both sides: D */
    int64_t bits_bytes;           /* on both sides: what a bit for each x and z may take; 0: no limit */
    int threads;                  /* of this rank, >= 1 */
    int64_t memory_bytes;         /* that this rank may take, apart from the parts given; 0: no limit */
};

/* Collective; every rank's status is the same. Computes R. *out is NULL where this is not a way to R: extents beyond what ids
 * can have, too little memory on some rank for what is given or for its part of R, or bits for too few pairs. */
enum fuse_status fuse_reach_open(struct fuse_reach **out, const struct fuse_reach_request *request,
                                 struct fuse_error *err) FUSE_CHECKED;
void fuse_reach_close(struct fuse_reach *reach);

/* Local: pairs on all ranks, and bytes that this one holds. */
int64_t fuse_reach_count(const struct fuse_reach *reach);
int64_t fuse_reach_bytes(const struct fuse_reach *reach);

/* Collective, once. Gives each rank the rows of its part in the order of x, then z: rank r of P then has the pairs
 * [floor(n r / P), floor(n (r + 1) / P)) of all n. MEMORY when they do not fit. */
enum fuse_status fuse_reach_sort(struct fuse_reach *reach, struct fuse_error *err) FUSE_CHECKED;
/* Local: how many pairs this rank has (before the sort those of its blocks, also in the order of x, then z), and the pairs
 * [begin, begin + n) of them. Quickest when each call begins where the last one ended. */
int64_t fuse_reach_held(const struct fuse_reach *reach);
void fuse_reach_read(struct fuse_reach *reach, int64_t begin, int64_t n, int64_t *x, int64_t *z);

#endif
