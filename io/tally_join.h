/* Tallies of parts of a file, one on each rank, made one. */
#ifndef FUSE_IO_TALLY_JOIN_H
#define FUSE_IO_TALLY_JOIN_H

#include "comm/comm.h"
#include "core/relation.h"

/* Collective, and the same result and status on every rank: the part of each rank, whose rows are numbered from 0 and stand
 * behind `rows_before` rows of the file, becomes the whole. The same number of columns on every rank. */
enum fuse_status fuse_tally_join(struct fuse_tally_part *part, int64_t rows_before, struct fuse_comm *comm,
                                 struct fuse_error *err) FUSE_CHECKED;

#endif
