/* What a file of rows holds, found by all ranks at once: each scans the lines that begin in its range of bytes, and then the
 * ranks add up what they counted. */
#ifndef FUSE_IO_TSV_SCAN_H
#define FUSE_IO_TSV_SCAN_H

#include "comm/comm.h"
#include "core/arena.h"
#include "core/relation.h"
#include "io/bytes.h"

/* Collective, and the same result and status on every rank; the tally lives in the arena. INPUT with "path:line:column:
 * reason" for the first thing that is wrong whatever the columns are taken as: a row of another width than the first, an empty
 * field, one that is no text, a blank line in front of a row. Blank lines at the end are none. */
enum fuse_status fuse_tsv_scan(const struct fuse_tally **out, struct fuse_arena *arena, struct fuse_comm *comm,
                               struct fuse_bytes *file, int64_t file_bytes, char separator, const char *path,
                               struct fuse_error *err) FUSE_CHECKED;

/* What a rank found in its range of lines. */
struct fuse_tsv_verdict {
    int64_t rows;
    bool is_blank, more; /* blank lines stand behind the rows; something stands behind those */
    const char *reason;  /* of the line behind the rows, NULL: nothing is wrong with it */
    int64_t column;
};

/* Collective: INPUT for the first fault of the file, with a hint that says how such a file looks. *before: the rows of the
 * ranks below this one. */
enum fuse_status fuse_tsv_judge(int64_t *before, const struct fuse_tsv_verdict *found, struct fuse_comm *comm,
                                const char *hint, const char *path, struct fuse_error *err) FUSE_CHECKED;
/* How a file with this separator looks; a line feed: one of symbols only. */
const char *fuse_tsv_hint(char separator);

#endif
