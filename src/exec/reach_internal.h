/* What the files of linear recursions on all ranks share. */
#ifndef FUSE_EXEC_REACH_INTERNAL_H
#define FUSE_EXEC_REACH_INTERNAL_H

#include "backend/two_sided.h"
#include "exec/reach.h"

struct fuse_reach {
    struct fuse_reach_request request;
    /* R(x, z) = R(x, y) E(y, z): blocks, dealt to ranks. */
    struct fuse_closure *closure;
    struct fuse_closure_result *result;
    int64_t *owner; /* [blocks]: 1 + the rank that has computed it */
    /* R(x, y) = U(x, u) R(u, v) D(v, y): the rows of this rank's pairs. Without a closure it is this. */
    struct fuse_two_sided sides;
    int64_t count; /* on all ranks */
    /* Before the sort of this rank's blocks, then of all. */
    int64_t *row_count;  /* [classes] */
    int64_t *first;      /* [rows + 1]: the place of each x's first pair */
    int64_t begin, end;  /* the places that this rank has */
    char **arrived;      /* [ranks]: rows of each rank's blocks, one behind the other */
    const char **row_at; /* [classes]: there; NULL: in a block of this rank, or of no use */
    int64_t arrived_bytes;
    int64_t next, x; /* the place that the last read ended at, in the row of x */
    uint64_t at;     /* in the row: a bit or an id */
};

/* Collective. A status of MEMORY is a reason to give up this way, and no failure. */
enum fuse_status fuse_reach_fits(bool *fits, struct fuse_reach *reach, enum fuse_status status,
                                 struct fuse_error *err) FUSE_CHECKED;
/* Collective. All ranks' pairs as a relation of rows by columns, on ranks that take it, unless it does not fit.
 * takes: [ranks]; NULL: all do. */
enum fuse_status fuse_reach_gather(struct fuse_adjacency *out, struct fuse_reach *reach, const bool *takes,
                                   const struct fuse_reach_pairs *mine, int64_t rows, int64_t columns, bool *fits,
                                   struct fuse_error *err) FUSE_CHECKED;
/* Collective. Sums of any number of numbers. */
enum fuse_status fuse_reach_sum(struct fuse_comm *comm, int64_t *values, int64_t n,
                                struct fuse_error *err) FUSE_CHECKED;
/* Collective; reach_blocks.c, reach_sides.c. Computes and counts R unless it does not fit. */
enum fuse_status fuse_reach_open_blocks(struct fuse_reach *reach, bool *fits, struct fuse_error *err) FUSE_CHECKED;
enum fuse_status fuse_reach_open_sides(struct fuse_reach *reach, bool *fits, struct fuse_error *err) FUSE_CHECKED;

/* Local. The rank that has the block of a class. */
int fuse_reach_owner(const struct fuse_reach *reach, int64_t class);
int64_t fuse_reach_table_bytes(const struct fuse_reach *reach);
/* Places of rows from their counts. */
void fuse_reach_place(struct fuse_reach *reach);
/* The last x whose first pair is at `place` or before. */
int64_t fuse_reach_x_at(const struct fuse_reach *reach, int64_t place);
/* Whether the row of a class travels as bits, else as ids: whichever takes less. */
bool fuse_reach_is_bits(const struct fuse_reach *reach, int64_t class);

#endif
