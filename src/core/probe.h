/* What a look at a source tells, at its header or at all of it: the facts that planning needs, the same on every rank. */
#ifndef FUSE_CORE_PROBE_H
#define FUSE_CORE_PROBE_H

#include "core/box.h"
#include "core/dtype.h"
#include "core/relation.h"

struct fuse_shards;
struct fuse_vocabulary;

struct fuse_probe {
    int rank;
    int64_t extent[FUSE_MAX_AXES];
    enum fuse_dtype file_dtype; /* as stored; in memory it is fuse_dtype_resident(file_dtype) */
    bool big_endian;            /* elements are stored in the other byte order than x86's */
    bool reversed;              /* Fortran order: the first axis is the fastest */
    int64_t data_offset;        /* bytes from the start of the file (or of what is unpacked from it) to element 0 */
    int64_t file_bytes;
    uint64_t digest; /* of whatever else must not change until the source is opened */
    /* A file of rows: what a scan counted; rank, extents and dtype are then for its user to decide. NULL: an array. */
    const struct fuse_tally *tally;
    const void *packing; /* a packed file: how it is unpacked from some places on; not compared */
    const void *index;   /* what a scan found out about where elements lie, in the format's own terms; not compared */
    const struct fuse_vocabulary *vocabulary; /* ids of symbols before any row is read; NULL: none; not compared */
    const struct fuse_shards *shards;         /* NULL: the tensor is one array of one file */
};

/* A tensor in several files, one behind the other along an axis; at least one, none of them in shards itself. */
struct fuse_shard {
    const char *path, *part; /* resolved */
    struct fuse_probe probe;
    int64_t begin; /* its first position along the axis */
};

struct fuse_shards {
    int n, axis;
    struct fuse_shard *at;
};

#endif
