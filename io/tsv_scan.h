/* What a file of rows holds, found by all ranks at once: each scans the lines that begin in its range of bytes, and then the
 * ranks add up what they counted. */
#ifndef FUSE_IO_TSV_SCAN_H
#define FUSE_IO_TSV_SCAN_H

#include "comm/comm.h"
#include "core/arena.h"
#include "core/relation.h"
#include "io/bytes.h"

/* Collective, and the same result and status on every rank; the tally lives in the arena. INPUT with "path:line:column:
 * reason" for the first thing that is wrong: a row of another width than the first, a field that is no id (the last one: no
 * number), a blank line in front of a row. Blank lines at the end are none. */
enum fuse_status fuse_tsv_scan(const struct fuse_tally **out, struct fuse_arena *arena, struct fuse_comm *comm,
                               struct fuse_bytes *file, int64_t file_bytes, char separator, const char *path,
                               struct fuse_error *err) FUSE_CHECKED;

#endif
