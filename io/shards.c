#include "io/shards.h"

#include "core/hash.h"

#include <stdlib.h>
#include <string.h>

/* ---- one tensor of many files ---- */

static enum fuse_status check_shard(const struct fuse_shards *shards, int k, struct fuse_error *err) {
    const struct fuse_probe *first = &shards->at[0].probe, *probe = &shards->at[k].probe;
    const char *path = shards->at[k].path;
    if (probe->tally)
        return fuse_fail(err, FUSE_EINPUT, "%s holds rows, and a shard is a part of an array", path);
    if (shards->axis >= probe->rank)
        return fuse_fail(err, FUSE_EINPUT, "%s has rank %d: no axis %d along which shards could follow each other",
                         path, probe->rank, shards->axis);
    if (probe->rank != first->rank)
        return fuse_fail(err, FUSE_EINPUT, "%s has rank %d, the first shard %d", path, probe->rank, first->rank);
    if (fuse_dtype_resident(probe->file_dtype) != fuse_dtype_resident(first->file_dtype))
        return fuse_fail(err, FUSE_EINPUT, "%s holds %s, the first shard %s", path, fuse_dtype_name(probe->file_dtype),
                         fuse_dtype_name(first->file_dtype));
    for (int a = 0; a < probe->rank; a++)
        if (a != shards->axis && probe->extent[a] != first->extent[a])
            return fuse_fail(err, FUSE_EINPUT, "%s has extent %lld on axis %d, the first shard %lld", path,
                             (long long)probe->extent[a], a, (long long)first->extent[a]);
    return FUSE_OK;
}

enum fuse_status fuse_shards_join(struct fuse_probe *out, int *wrong, struct fuse_shards *shards,
                                  struct fuse_error *err) {
    const struct fuse_probe *first = &shards->at[0].probe;
    struct fuse_probe whole = {
        .rank = first->rank, .file_dtype = first->file_dtype, .reversed = true, .digest = FUSE_HASH_SEED};
    int64_t length = 0;
    for (int k = 0; k < shards->n; k++) {
        const struct fuse_probe *probe = &shards->at[k].probe;
        *wrong = k;
        FUSE_TRY(check_shard(shards, k, err));
        shards->at[k].begin = length;
        length = fuse_sat_add(length, probe->extent[shards->axis]);
        whole.reversed &= probe->reversed;
        whole.file_bytes = fuse_sat_add(whole.file_bytes, probe->file_bytes);
        whole.digest = fuse_hash_int(fuse_hash_int(whole.digest, probe->file_bytes), probe->data_offset);
        whole.digest = fuse_hash_int(whole.digest, (int64_t)probe->digest);
    }
    memcpy(whole.extent, first->extent, sizeof whole.extent);
    whole.extent[shards->axis] = length;
    whole.shards = shards;
    *out = whole;
    return FUSE_OK;
}

/* ---- reading ---- */

enum { MOST_OPEN = 64 }; /* of those that may be closed again */

struct open_shard {
    const struct fuse_format *format;
    struct fuse_source *source; /* NULL: not open */
};

struct sharded_source {
    const struct fuse_shards *shards;
    struct open_shard *at;
    int recent[MOST_OPEN], opened; /* the last ones, as a ring */
};

static void close_sharded(struct fuse_source *handle) {
    struct sharded_source *source = (struct sharded_source *)handle;
    if (!source)
        return;
    for (int k = 0; source->at && k < source->shards->n; k++)
        if (source->at[k].source)
            source->at[k].format->source_close(source->at[k].source);
    free(source->at);
    free(source);
}

static enum fuse_status open_shard(struct sharded_source *source, int k, struct fuse_error *err) {
    const struct fuse_shard *shard = &source->shards->at[k];
    struct open_shard *open = &source->at[k];
    if (open->source)
        return FUSE_OK;
    FUSE_TRY(open->format->source_open(&open->source, shard->path, shard->part, &shard->probe, err));
    if (open->format->source_finish)
        return FUSE_OK;
    int *slot = &source->recent[source->opened % MOST_OPEN];
    if (source->opened >= MOST_OPEN) {
        source->at[*slot].format->source_close(source->at[*slot].source);
        source->at[*slot].source = NULL;
    }
    *slot = k;
    source->opened++;
    return FUSE_OK;
}

static enum fuse_status open_sharded(struct fuse_source **out, const char *path, const char *part,
                                     const struct fuse_probe *probe, struct fuse_error *err) {
    (void)part;
    const struct fuse_shards *shards = probe->shards;
    struct sharded_source *source = calloc(1, sizeof *source);
    enum fuse_status st = FUSE_OK;
    if (!source)
        return fuse_fail(err, FUSE_EMEMORY, "no memory to open %s", path);
    source->shards = shards;
    source->at = calloc((size_t)shards->n, sizeof *source->at);
    if (!source->at)
        st = fuse_fail(err, FUSE_EMEMORY, "no memory to open %s", path);
    for (int k = 0; k < shards->n && st == FUSE_OK; k++) {
        source->at[k].format = fuse_format_find(shards->at[k].path);
        if (!source->at[k].format)
            st = fuse_fail(err, FUSE_EBUG, "%s: no format reads this", shards->at[k].path);
        else if (source->at[k].format->source_finish)
            st = open_shard(source, k, err);
    }
    if (st == FUSE_OK)
        *out = (struct fuse_source *)source;
    else
        close_sharded((struct fuse_source *)source);
    return st;
}

static enum fuse_status read_sharded(struct fuse_source *handle, const struct fuse_box *box, const struct fuse_view *to,
                                     struct fuse_error *err) {
    struct sharded_source *source = (struct sharded_source *)handle;
    int axis = source->shards->axis;
    if (fuse_box_is_empty(box))
        return FUSE_OK;
    for (int k = 0; k < source->shards->n; k++) {
        const struct fuse_shard *shard = &source->shards->at[k];
        struct fuse_box part = *box;
        struct fuse_view view = *to;
        int64_t end = shard->begin + shard->probe.extent[axis];
        part.lo[axis] = box->lo[axis] > shard->begin ? box->lo[axis] : shard->begin;
        part.hi[axis] = box->hi[axis] < end ? box->hi[axis] : end;
        if (part.lo[axis] >= part.hi[axis])
            continue;
        view.extent[axis] = part.hi[axis] - part.lo[axis];
        view.data = (char *)to->data +
                    (part.lo[axis] - box->lo[axis]) * to->stride[axis] * (int64_t)fuse_dtype_bytes(to->dtype);
        part.lo[axis] -= shard->begin;
        part.hi[axis] -= shard->begin;
        FUSE_TRY(open_shard(source, k, err));
        FUSE_TRY(source->at[k].format->source_read(source->at[k].source, &part, &view, err));
    }
    return FUSE_OK;
}

static enum fuse_status finish_sharded(struct fuse_source *handle, struct fuse_comm *comm, struct fuse_error *err) {
    struct sharded_source *source = (struct sharded_source *)handle;
    enum fuse_status status = FUSE_OK;
    for (int k = 0; k < source->shards->n; k++) {
        if (!source->at[k].format->source_finish)
            continue;
        struct fuse_error mine = {0};
        enum fuse_status st = source->at[k].format->source_finish(source->at[k].source, comm, &mine);
        if (status == FUSE_OK && st != FUSE_OK) {
            status = st;
            *err = mine;
        }
    }
    return status;
}

const struct fuse_format fuse_format_shards = {
    .name = "shards",
    .source_open = open_sharded,
    .source_read = read_sharded,
    .source_finish = finish_sharded,
    .source_close = close_sharded,
};
