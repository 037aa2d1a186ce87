/* .h5, .hdf5 as sinks. Rank 0 lays out the file with libhdf5, then every rank writes its elements in place, like an npy
 * file's. So are chunks that are not packed, one behind the other. What is to be packed lies in the same way in an unnamed
 * file first, from which each rank takes a share of the chunks when all is there: only then their sizes, and so their
 * places, are known. */
#include "io/hdf5_sink.h"

#include "io/hdf5_filters.h"
#include "io/hdf5_write.h"
#include "io/output_file.h"
#include "core/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char default_set[] = "/data";
enum {
    NAME_BYTES = 1024,
    ALIGNMENT = 4096,      /* of the first chunk */
    MOST_CHUNKS = 1 << 24, /* of a member: rank 0 keeps 4 bytes for each, and libhdf5 takes microseconds */
};

struct hdf5_member {
    struct fuse_file_bytes bytes;
    struct fuse_array array;
    bool is_chunked;
    struct fuse_hdf5_chunked chunked; /* if so */
};

struct hdf5_sink {
    struct fuse_output_file *file;
    struct fuse_output_file
        *spool; /* elements of members that are to be packed; without a name; NULL: there are none */
    struct fuse_arena *arena;
    struct hdf5_member *member;
    int members, chunked;
    int64_t *
        offset; /* [members + 2] of element 0, in its file; then the end of what libhdf5 laid out, and of all but what is packed */
    int64_t bytes, raw_bytes, spool_bytes; /* of all; in chunks that are not packed; in those that are, before */
};

/* ---- names ---- */

const char *fuse_hdf5_sink_part(struct fuse_arena *arena, const char *part, struct fuse_error *err) {
    struct fuse_text name = {.arena = arena};
    bool is_fine = true;
    if (!part)
        return default_set;
    for (const char *at = part; *at && is_fine;) {
        size_t skipped = strspn(at, "/"), bytes = strcspn(at + skipped, "/");
        const char *step = at + skipped;
        is_fine = !(bytes == 2 && memcmp(step, "..", 2) == 0) && name.bytes + bytes < NAME_BYTES;
        for (size_t i = 0; i < bytes && is_fine; i++)
            is_fine = (unsigned char)step[i] >= ' ' && step[i] != 127;
        if (is_fine && bytes > 0 && !(bytes == 1 && step[0] == '.'))
            fuse_text_add(&name, "/%.*s", (int)bytes, step);
        at = step + bytes;
    }
    if (is_fine && name.bytes > 0)
        return name.at;
    fuse_fail(err, FUSE_EOUTPUT, "'%.60s' cannot be the name of an HDF5 dataset", part);
    fuse_hint(err, "names are paths like /group/set, without '..' and control characters");
    return NULL;
}

/* A dataset cannot also be a group that holds another. */
static enum fuse_status check_names(const struct fuse_sink_file *want, struct fuse_error *err) {
    for (int a = 0; a < want->members; a++) {
        const char *outer = want->member[a].part ? want->member[a].part : default_set;
        if (fuse_format_is_relation(outer)) {
            fuse_fail(err, FUSE_EOUTPUT, "cannot write %s: it would hold dense tensors and relations (':coo')",
                      want->path);
            fuse_hint(err, "write them to files of their own");
            return FUSE_EOUTPUT;
        }
        size_t bytes = strlen(outer);
        for (int b = 0; b < want->members; b++) {
            const char *inner = want->member[b].part ? want->member[b].part : default_set;
            if (strncmp(inner, outer, bytes) != 0 || inner[bytes] != '/')
                continue;
            fuse_fail(err, FUSE_EOUTPUT, "cannot write %s: '%s' would be a dataset and the group of '%s'", want->path,
                      outer, inner);
            fuse_hint(err, "give one of them another name");
            return FUSE_EOUTPUT;
        }
    }
    return FUSE_OK;
}

/* ---- opening ---- */

static void free_sink(struct hdf5_sink *sink) {
    if (!sink)
        return;
    for (int m = 0; m < sink->members; m++)
        fuse_array_close(&sink->member[m].array);
    fuse_output_file_discard(sink->spool);
    fuse_arena_close(sink->arena);
    free(sink);
}

static enum fuse_status fail_chunk(const struct fuse_hdf5_chunked *chunked, const char *path, struct fuse_error *err) {
    if (chunked->grid.chunks > MOST_CHUNKS) {
        fuse_fail(err, FUSE_EOUTPUT, "cannot write %s:%s: it would have more than %d chunks", path, chunked->part,
                  MOST_CHUNKS);
        fuse_hint(err, "larger chunks are better; 1 MiB is a good size");
    } else {
        fuse_fail(err, FUSE_EOUTPUT, "cannot write %s:%s: a chunk of %lld bytes is larger than HDF5 allows", path,
                  chunked->part, (long long)chunked->chunk_bytes);
        fuse_hint(err, "chunks are below 4 GiB; 1 MiB is a good size");
    }
    return FUSE_EOUTPUT;
}

/* Chunks lie one behind the other, in the file or the spool; `offset` counts from the first of all of them there. */
static enum fuse_status prepare_chunks(struct hdf5_sink *sink, struct hdf5_member *member, const int64_t *chunk,
                                       const struct fuse_sink_member *wanted, const char *path,
                                       struct fuse_error *err) {
    struct fuse_hdf5_chunked *chunked = &member->chunked;
    const char *part = wanted->part ? wanted->part : default_set;
    int64_t *all = wanted->storage.gzip > 0 ? &sink->spool_bytes : &sink->raw_bytes;
    chunked->part = fuse_arena_strndup(sink->arena, part, strlen(part));
    chunked->gzip = wanted->storage.gzip;
    chunked->elem_bytes = fuse_dtype_bytes(wanted->dtype);
    fuse_chunk_grid_init(&chunked->grid, wanted->rank, wanted->extent, chunk);
    int64_t bytes = fuse_sat_mul(chunked->grid.chunk_elems, (int64_t)chunked->elem_bytes);
    chunked->chunk_bytes = (size_t)bytes;
    if (chunked->grid.chunks > MOST_CHUNKS || bytes > UINT32_MAX || fuse_hdf5_most_packed((size_t)bytes) > UINT32_MAX)
        return fail_chunk(chunked, path, err);
    member->is_chunked = true;
    sink->chunked++;
    chunked->offset = *all;
    *all += chunked->grid.chunks * bytes;
    return FUSE_OK;
}

static enum fuse_status prepare_member(struct hdf5_sink *sink, int m, const struct fuse_sink_file *want,
                                       struct fuse_error *err) {
    const struct fuse_sink_member *wanted = &want->member[m];
    struct hdf5_member *member = &sink->member[m];
    struct fuse_box full = fuse_box_full(wanted->rank, wanted->extent);
    int64_t chunk[FUSE_MAX_AXES];
    int64_t bytes = fuse_sat_mul(fuse_box_elems(&full), (int64_t)fuse_dtype_bytes(wanted->dtype));
    sink->bytes = fuse_sat_add(sink->bytes, bytes);
    if (sink->bytes > FUSE_MAX_EXTENT)
        return fuse_fail(err, FUSE_EOUTPUT, "cannot write %s: it would have more than 2^60 bytes", want->path);
    if (fuse_hdf5_chunks(chunk, wanted))
        FUSE_TRY(prepare_chunks(sink, member, chunk, wanted, want->path, err));
    const int64_t *extent = member->is_chunked ? member->chunked.grid.chunk : wanted->extent;
    return fuse_array_open(&member->array, wanted->dtype, wanted->rank, extent, 0, &member->bytes.bytes, NULL, err);
}

/* This rank's share of opening. */
static enum fuse_status prepare_sink(struct hdf5_sink **out, const struct fuse_sink_file *want,
                                     struct fuse_error *err) {
    FUSE_TRY(check_names(want, err));
    struct hdf5_sink *sink = calloc(1, sizeof *sink);
    struct fuse_arena *arena = fuse_arena_open(NULL);
    if (!sink || !arena) {
        free(sink);
        fuse_arena_close(arena);
        return fuse_fail(err, FUSE_EMEMORY, "no memory to open %s", want->path);
    }
    sink->arena = arena;
    sink->members = want->members;
    sink->member = FUSE_NEW_ARRAY(arena, struct hdf5_member, want->members);
    sink->offset = FUSE_NEW_ARRAY(arena, int64_t, want->members + 2);
    enum fuse_status st = FUSE_OK;
    for (int m = 0; m < want->members && st == FUSE_OK; m++)
        st = prepare_member(sink, m, want, err);
    if (st == FUSE_OK)
        *out = sink;
    else
        free_sink(sink);
    return st;
}

/* On rank 0. */
static enum fuse_status lay_out(struct hdf5_sink *sink, const struct fuse_sink_file *want, struct fuse_error *err) {
    struct stat info;
    FUSE_TRY(fuse_hdf5_lay_out(sink->offset, sink->file->temporary, want, err));
    if (fstat(sink->file->fd, &info) != 0)
        return fuse_fail(err, FUSE_EOUTPUT, "cannot write %s: its temporary file is gone", want->path);
    int64_t begin = sink->chunked > 0 ? (info.st_size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT : info.st_size;
    int64_t end = begin + sink->raw_bytes, most = end + sink->spool_bytes;
    sink->offset[want->members] = begin;
    sink->offset[want->members + 1] = end;
    /* Also what is to come, for a moment: a file that may not grow so far shows now, not when all was computed. */
    FUSE_TRY(fuse_output_file_reserve(sink->file, most, err));
    if (most > end && ftruncate(sink->file->fd, end) != 0)
        return fuse_fail(err, FUSE_EOUTPUT, "cannot write %s: its size cannot be set", want->path);
    return FUSE_OK;
}

static void point_members(struct hdf5_sink *sink) {
    for (int m = 0; m < sink->members; m++) {
        struct hdf5_member *member = &sink->member[m];
        bool is_packed = member->is_chunked && member->chunked.gzip > 0;
        if (member->is_chunked && !is_packed)
            member->chunked.offset += sink->offset[sink->members];
        member->bytes = fuse_file_bytes(is_packed ? sink->spool->fd : sink->file->fd, 0, sink->file->path);
        member->array.offset = sink->offset[m];
        member->array.name = sink->file->path;
    }
}

enum fuse_status fuse_hdf5_sink_open(struct fuse_sink **out, struct fuse_comm *comm, const struct fuse_sink_file *want,
                                     struct fuse_error *err) {
    struct hdf5_sink *sink = NULL;
    enum fuse_status st = prepare_sink(&sink, want, err);
    struct fuse_output_file *file;
    st = fuse_output_file_open(&file, comm, st, want->path, NULL, 0, 0, err);
    if (st != FUSE_OK) {
        free_sink(sink);
        return st;
    }
    sink->file = file;
    if (comm->rank == 0)
        st = lay_out(sink, want, err);
    enum fuse_status sent =
        comm->ops->broadcast(comm, sink->offset, (size_t)(want->members + 2) * sizeof *sink->offset, 0, err);
    st = fuse_agree(comm, st == FUSE_OK ? sent : st, err);
    if (st == FUSE_OK && sink->spool_bytes > 0) {
        st = fuse_output_file_open(&sink->spool, comm, st, want->path, NULL, 0, sink->spool_bytes, err);
        if (st == FUSE_OK)
            fuse_output_file_forget(sink->spool);
    }
    if (st != FUSE_OK) {
        fuse_output_file_discard(fuse_hdf5_sink_release((struct fuse_sink *)sink));
        return st;
    }
    point_members(sink);
    *out = (struct fuse_sink *)sink;
    return FUSE_OK;
}

/* ---- writing ---- */

static enum fuse_status write_chunks(const struct hdf5_member *member, const struct fuse_box *box,
                                     const struct fuse_view *from, struct fuse_error *err) {
    const struct fuse_hdf5_chunked *chunked = &member->chunked;
    struct fuse_box full = fuse_box_full(chunked->grid.rank, chunked->grid.extent);
    if (box->rank != full.rank || !fuse_box_contains(&full, box))
        return fuse_fail(err, FUSE_EBUG, "a box does not fit %s", member->array.name);
    struct fuse_box places = fuse_chunk_grid_meets(&chunked->grid, box);
    struct fuse_array array = member->array;
    int64_t chunks = fuse_box_elems(&places);
    for (int64_t n = 0; n < chunks; n++) {
        struct fuse_chunk chunk = fuse_chunk_grid_nth(&chunked->grid, &places, n);
        struct fuse_box within;
        struct fuse_view part;
        fuse_chunk_grid_part(&within, &part, &chunked->grid, &chunk, box, from);
        array.offset = chunked->offset + chunk.number * (int64_t)chunked->chunk_bytes;
        FUSE_TRY(fuse_array_write(&array, &within, &part, err));
    }
    return FUSE_OK;
}

enum fuse_status fuse_hdf5_sink_write(struct fuse_sink *handle, int member, const struct fuse_box *box,
                                      const struct fuse_view *from, struct fuse_error *err) {
    const struct hdf5_member *to = &((struct hdf5_sink *)handle)->member[member];
    return to->is_chunked ? write_chunks(to, box, from, err) : fuse_array_write(&to->array, box, from, err);
}

/* Chunks are numbered in the file in the order in which they lie there: those that are not packed come first. */
static enum fuse_status finish_chunks(struct hdf5_sink *sink, struct fuse_comm *comm, struct fuse_error *err) {
    struct fuse_hdf5_chunked *chunked = FUSE_NEW_ARRAY(sink->arena, struct fuse_hdf5_chunked, sink->chunked);
    int64_t begin = sink->offset[sink->members], end = sink->offset[sink->members + 1];
    int n = 0;
    enum fuse_status st = FUSE_OK;
    for (int is_packed = 0; is_packed < 2; is_packed++)
        for (int m = 0; m < sink->members; m++)
            if (sink->member[m].is_chunked && (sink->member[m].chunked.gzip > 0) == is_packed)
                chunked[n++] = sink->member[m].chunked;
    for (int m = 0; m < n && st == FUSE_OK; m++)
        if (chunked[m].gzip > 0)
            st = fuse_hdf5_pack_member(sink->file, sink->spool->fd, comm, &chunked[m], &end, err);
    if (st == FUSE_OK && comm->rank == 0)
        st = fuse_hdf5_index_chunks(sink->file, chunked, n, begin, end, err);
    for (int m = 0; m < n; m++)
        free(chunked[m].packed);
    return fuse_agree(comm, st, err);
}

enum fuse_status fuse_hdf5_sink_finish(struct fuse_sink *handle, struct fuse_comm *comm, struct fuse_error *err) {
    struct hdf5_sink *sink = (struct hdf5_sink *)handle;
    enum fuse_status written = FUSE_OK;
    if (sink->chunked > 0)
        written = finish_chunks(sink, comm, err);
    enum fuse_status closed = fuse_output_file_finish(sink->file, err);
    return written == FUSE_OK ? closed : written;
}

/* ---- ending ---- */

struct fuse_output_file *fuse_hdf5_sink_release(struct fuse_sink *handle) {
    struct hdf5_sink *sink = (struct hdf5_sink *)handle;
    struct fuse_output_file *file = sink ? sink->file : NULL;
    free_sink(sink);
    return file;
}
