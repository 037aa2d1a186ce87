/* What a JSON file of nested lists holds, found by all ranks at once.
 *
 *   [[1, 2, 3], [4, 5, 6]]      boundaries between values have a level: how many lists end (and begin) there
 *     0  1  2 ^1 3  4  5        level 1 before value 3 only: lists of 3, so extents 2 x 3
 *
 * Each rank reads a range of bytes and notes, for every level, where the boundaries are and whether their distances are
 * equal. Sums and minima over the ranks give the extents, and then each rank knows whether its boundaries are those of a
 * regular array. A file that is not is read once more by rank 0, in order, to say what is wrong and where. */
#ifndef FUSE_IO_JSON_SCAN_H
#define FUSE_IO_JSON_SCAN_H

#include "comm/comm.h"
#include "core/arena.h"
#include "core/probe.h"
#include "io/json_tokens.h"

/* A sparse index: the number of values that begin before byte k * chunk_bytes. At most 2^16 chunks. */
struct fuse_json_index {
    int64_t chunk_bytes;
    int64_t chunks;
    int64_t values;        /* in the whole file */
    const int64_t *before; /* [chunks] */
};

/* The chunks of a file of this size. */
int64_t fuse_json_chunk_bytes(int64_t file_bytes);

/* Collective, and the same result and status on every rank. Fills *out, whose index (in the arena) is a
 * struct fuse_json_index. INPUT with "path:line:column: reason" when the file is not an array. */
enum fuse_status fuse_json_scan(struct fuse_probe *out, struct fuse_arena *arena, struct fuse_comm *comm,
                                struct fuse_bytes *file, int64_t file_bytes, int64_t chunk_bytes, const char *path,
                                struct fuse_error *err) FUSE_CHECKED;

/* Local. Reads the file in order and reports the first thing that keeps it from being an array: INPUT. OK when nothing
 * does. */
enum fuse_status fuse_json_explain(struct fuse_bytes *file, int64_t file_bytes, const char *path,
                                   struct fuse_error *err) FUSE_CHECKED;

#endif
