#include "io/tally_join.h"

#include <string.h>

static enum fuse_status join_widths(struct fuse_tally_part *part, struct fuse_comm *comm, struct fuse_error *err) {
    int64_t shift[FUSE_MAX_AXES + 2];
    for (int c = 0; c < part->columns; c++)
        shift[c] = part->shift[c];
    for (int c = 0; c < 2; c++)
        shift[part->columns + c] = part->pair_shift[c];
    FUSE_TRY(comm->ops->reduce_int64(comm, FUSE_REDUCE_MAX, shift, part->columns + 2, err));
    for (int c = 0; c < part->columns; c++)
        fuse_tally_widen(part, c, (int)shift[c]);
    for (int c = 0; c < 2; c++)
        fuse_tally_widen_pair(part, c, (int)shift[part->columns + c]);
    return FUSE_OK;
}

/* The largest ids, and the first row of the file that has each. */
static enum fuse_status join_largest(struct fuse_tally_part *part, int64_t rows_before, struct fuse_comm *comm,
                                     struct fuse_error *err) {
    int64_t mine[FUSE_MAX_AXES];
    size_t bytes = (size_t)part->columns * sizeof *mine;
    memcpy(mine, part->largest, bytes);
    FUSE_TRY(comm->ops->reduce_int64(comm, FUSE_REDUCE_MAX, part->largest, part->columns, err));
    for (int c = 0; c < part->columns; c++) {
        bool has_it = mine[c] >= 0 && mine[c] == part->largest[c];
        part->largest_row[c] = has_it ? part->largest_row[c] + rows_before : INT64_MAX;
    }
    FUSE_TRY(comm->ops->reduce_int64(comm, FUSE_REDUCE_MIN, part->largest_row, part->columns, err));
    for (int c = 0; c < part->columns; c++)
        if (part->largest[c] < 0)
            part->largest_row[c] = -1;
    return FUSE_OK;
}

enum fuse_status fuse_tally_join(struct fuse_tally_part *part, int64_t rows_before, struct fuse_comm *comm,
                                 struct fuse_error *err) {
    FUSE_TRY(join_widths(part, comm, err));
    FUSE_TRY(join_largest(part, rows_before, comm, err));
    for (int c = 0; c < part->columns; c++)
        FUSE_TRY(comm->ops->reduce_int64(comm, FUSE_REDUCE_SUM, part->bin[c], FUSE_TALLY_BINS, err));
    if (part->pair)
        FUSE_TRY(comm->ops->reduce_int64(comm, FUSE_REDUCE_SUM, part->pair, FUSE_TALLY_PAIR_BINS * FUSE_TALLY_PAIR_BINS,
                                         err));
    return comm->ops->reduce_int64(comm, FUSE_REDUCE_SUM, &part->rows, 1, err);
}
