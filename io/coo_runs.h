/* The tuples of a tensor that is written, as a rank gets them: ids and values apart, in runs that find their place when all are
 * there (text_runs.h). Ids are i64, a tuple behind the other; values are as in memory, and only of what is not Boolean. */
#ifndef FUSE_IO_COO_RUNS_H
#define FUSE_IO_COO_RUNS_H

#include "io/array.h"
#include "io/format.h"
#include "io/text_runs.h"

struct fuse_coo_runs {
    struct fuse_bytes bytes;
    struct fuse_array array;             /* boxes are written to it */
    struct fuse_text_runs *ids, *values; /* values: NULL for a set */
    enum fuse_dtype dtype;
    int rank;
    int64_t elems, inner[FUSE_MAX_AXES]; /* elements at one position of axis a and those before */
    int64_t rows;                        /* of this rank */
    double absent;                       /* as in struct fuse_sink_member */
};

/* Local. May not be moved; `path` is the target's and outlives it. Close it also after a failure. OUTPUT for a tensor without an
 * index. */
enum fuse_status fuse_coo_runs_open(struct fuse_coo_runs *runs, const struct fuse_sink_member *member, const char *path,
                                    struct fuse_error *err) FUSE_CHECKED;
/* Local, in the place of boxes for a member that is_tuples: as sink_tuples of struct fuse_format. */
enum fuse_status fuse_coo_runs_add(struct fuse_coo_runs *runs, int64_t first, int64_t total,
                                   const struct fuse_tuple_rows *rows, struct fuse_error *err) FUSE_CHECKED;
/* One that was zeroed is fine. */
void fuse_coo_runs_close(struct fuse_coo_runs *runs);

#endif
