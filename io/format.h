/* Files as sources and sinks: one table of formats.
 *
 * A source is read, and a sink written, by boxes: every rank asks for the boxes that the plan gives it, and a format
 * turns a box into contiguous runs of its file. Nothing here holds a whole tensor. Paths are already resolved (root,
 * output root) by the caller; `part` is what follows the file name in "file.h5:/group/set", or NULL.
 * INPUT: a source is missing or bad. OUTPUT: a sink cannot be created. IO: reading or writing failed half-way. */
#ifndef FUSE_IO_FORMAT_H
#define FUSE_IO_FORMAT_H

#include "comm/comm.h"
#include "core/box.h"
#include "core/error.h"
#include "core/probe.h"

struct fuse_source; /* an open source */
struct fuse_sink;   /* an open sink */

struct fuse_format {
    const char *name;
    const char *const *suffixes; /* ".npy", NULL-terminated */
    /* Local, O(1) in the file's size: header facts, every field bounded and checked against the file's size. */
    enum fuse_status (*probe)(struct fuse_probe *out, const char *path, const char *part, struct fuse_error *err);
    /* Local. The probe is the one that rank 0 made: a file that has changed since (size, header) is INPUT. */
    enum fuse_status (*source_open)(struct fuse_source **out, const char *path, const char *part,
                                    const struct fuse_probe *probe, struct fuse_error *err);
    /* Local. Reads the elements of `box` (in the tensor's axes) into `to`, whose extents are the box's and whose dtype is
     * fuse_dtype_resident(probe.file_dtype); converts byte order and file-only dtypes (a U64 beyond I64: INPUT). Host
     * memory, any strides. One pread per contiguous run, straight into `to` where it is contiguous there too; runs
     * shorter than 64 KiB are gathered into larger reads where the file order allows it. */
    enum fuse_status (*source_read)(struct fuse_source *source, const struct fuse_box *box, const struct fuse_view *to,
                                    struct fuse_error *err);
    void (*source_close)(struct fuse_source *source);

    /* Collective. Rank 0 creates a temporary file beside `path`, of full size and with its header, then all open it. */
    enum fuse_status (*sink_open)(struct fuse_sink **out, struct fuse_comm *comm, const char *path, const char *part,
                                  enum fuse_dtype dtype, int rank, const int64_t *extent, struct fuse_error *err);
    /* Local. Boxes of different calls and ranks do not overlap. */
    enum fuse_status (*sink_write)(struct fuse_sink *sink, const struct fuse_box *box, const struct fuse_view *from,
                                   struct fuse_error *err);
    /* Local. Flushes and closes; after it only commit or discard. */
    enum fuse_status (*sink_finish)(struct fuse_sink *sink, struct fuse_error *err);
    /* Local; does something on rank 0 only: renames to the final name. Call when all ranks finished well. Frees. */
    enum fuse_status (*sink_commit)(struct fuse_sink *sink, struct fuse_error *err);
    /* Local. The name under which the sink lies until it is committed, the same on every rank; lives as long as the sink. */
    const char *(*sink_temporary)(const struct fuse_sink *sink);
    /* Local; rank 0 removes the temporary file. Frees. NULL is fine. */
    void (*sink_discard)(struct fuse_sink *sink);
};

extern const struct fuse_format fuse_format_npy;

/* The format for a path by its suffix (case-insensitive), NULL when there is none. */
const struct fuse_format *fuse_format_find(const char *path);

#endif
