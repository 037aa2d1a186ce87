/* The text of an array, made by many ranks: each appends the text of the runs of elements that it has, in any order, and in
 * the end every run finds its place in one file. For formats whose elements have no fixed width.
 *
 * What a rank has made lies in a buffer of 1 MiB and behind that in an unnamed file in the target's folder, which vanishes
 * with the process. The table of runs, 24 bytes each, is gathered by all ranks; runs that continue each other are one, so
 * that it has an entry a rank when ranks hold contiguous ranges, and one per 64 KiB of elements at worst. */
#ifndef FUSE_IO_TEXT_RUNS_H
#define FUSE_IO_TEXT_RUNS_H

#include "comm/comm.h"
#include "core/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fuse_text_runs;

/* Local. `path` is the target's; outlives it. */
enum fuse_status fuse_text_runs_open(struct fuse_text_runs **out, const char *path,
                                     struct fuse_error *err) FUSE_CHECKED;
/* NULL is fine. */
void fuse_text_runs_close(struct fuse_text_runs *runs);

/* Local. Elements [first, first + count) are what is appended until the next call. */
enum fuse_status fuse_text_runs_begin(struct fuse_text_runs *runs, int64_t first, int64_t count,
                                      struct fuse_error *err) FUSE_CHECKED;
enum fuse_status fuse_text_runs_append(struct fuse_text_runs *runs, const char *text, size_t bytes,
                                       struct fuse_error *err) FUSE_CHECKED;

/* Local. What this rank has appended, run by run: the next *bytes of its text are elements [*first, *first + *count).
 * false when there is no run number i. */
bool fuse_text_runs_run(const struct fuse_text_runs *runs, int64_t i, int64_t *first, int64_t *count, int64_t *bytes);
enum fuse_status fuse_text_runs_read(const struct fuse_text_runs *runs, void *to, size_t bytes, int64_t from,
                                     struct fuse_error *err) FUSE_CHECKED;

/* Collective. Writes this rank's runs to where they belong in fd, the first at offset `begin`; the runs of all ranks must be
 * elements [0, elems), each once (BUG). Every rank takes part in the messages whatever fails; statuses may differ. */
enum fuse_status fuse_text_runs_place(struct fuse_text_runs *runs, struct fuse_comm *comm, int fd, int64_t begin,
                                      int64_t elems, struct fuse_error *err) FUSE_CHECKED;

#endif
