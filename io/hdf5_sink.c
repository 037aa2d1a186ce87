/* .h5, .hdf5 as sinks. Rank 0 lays out the file with libhdf5, then every rank writes its elements in place, like an npy
 * file's. What is to be compressed goes to an unnamed file first, from which each rank takes whole chunks when all is there:
 * boxes come from ranks in an order of their own, chunks are written in calls of all ranks. */
#include "io/hdf5_sink.h"

#include "io/hdf5_write.h"
#include "io/output_file.h"
#include "core/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char default_set[] = "/data";
enum { NAME_BYTES = 1024 };

struct hdf5_member {
    const char *part;
    struct fuse_file_bytes bytes;
    struct fuse_array array;
    bool is_chunked;
    int64_t chunk[FUSE_MAX_AXES];
};

struct hdf5_sink {
    struct fuse_output_file *file;
    struct fuse_output_file *spool; /* elements of members in chunks; without a name; NULL: there are none */
    struct fuse_arena *arena;
    struct hdf5_member *member;
    int members, chunked;
    int64_t *offset; /* [members] of element 0, in its file; -1: has none */
    int64_t bytes, spool_bytes;
    char note[256];
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

static enum fuse_status prepare_member(struct hdf5_sink *sink, int m, const struct fuse_sink_file *want,
                                       struct fuse_error *err) {
    const struct fuse_sink_member *wanted = &want->member[m];
    struct hdf5_member *member = &sink->member[m];
    struct fuse_box full = fuse_box_full(wanted->rank, wanted->extent);
    int64_t elem_bytes = (int64_t)fuse_dtype_bytes(wanted->dtype), chunk_bytes = elem_bytes;
    int64_t bytes = fuse_sat_mul(fuse_box_elems(&full), elem_bytes);
    const char *part = wanted->part ? wanted->part : default_set;
    member->part = fuse_arena_strndup(sink->arena, part, strlen(part));
    member->is_chunked = fuse_hdf5_chunks(member->chunk, wanted);
    sink->bytes = fuse_sat_add(sink->bytes, bytes);
    if (sink->bytes == INT64_MAX)
        return fuse_fail(err, FUSE_EOUTPUT, "cannot write %s: it would have more than 2^63 bytes", want->path);
    for (int a = 0; a < wanted->rank && member->is_chunked; a++)
        chunk_bytes = fuse_sat_mul(chunk_bytes, member->chunk[a]);
    if (chunk_bytes > UINT32_MAX) {
        fuse_fail(err, FUSE_EOUTPUT, "cannot write %s:%s: a chunk of %lld bytes is larger than HDF5 allows", want->path,
                  part, (long long)chunk_bytes);
        fuse_hint(err, "chunks are below 4 GiB; 1 MiB is a good size");
        return FUSE_EOUTPUT;
    }
    if (member->is_chunked) {
        sink->chunked++;
        sink->offset[m] = sink->spool_bytes;
        sink->spool_bytes += bytes;
    }
    return fuse_array_open(&member->array, wanted->dtype, wanted->rank, wanted->extent, 0, &member->bytes.bytes, NULL,
                           err);
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
    sink->offset = FUSE_NEW_ARRAY(arena, int64_t, want->members);
    enum fuse_status st = FUSE_OK;
    for (int m = 0; m < want->members && st == FUSE_OK; m++)
        st = prepare_member(sink, m, want, err);
    if (st == FUSE_OK)
        *out = sink;
    else
        free_sink(sink);
    return st;
}

/* On rank 0. Elements in chunks keep their place in the spool. */
static enum fuse_status lay_out(struct hdf5_sink *sink, const struct fuse_sink_file *want, struct fuse_error *err) {
    int64_t *offset = FUSE_NEW_ARRAY(sink->arena, int64_t, want->members);
    struct stat info;
    FUSE_TRY(fuse_hdf5_lay_out(offset, sink->file->temporary, want, err));
    for (int m = 0; m < want->members; m++)
        if (!sink->member[m].is_chunked)
            sink->offset[m] = offset[m];
    if (fstat(sink->file->fd, &info) != 0)
        return fuse_fail(err, FUSE_EOUTPUT, "cannot write %s: its temporary file is gone", want->path);
    /* Also what is to come, for a moment: a file that may not grow so far shows now, not inside of libhdf5. */
    int64_t most = fuse_sat_add(info.st_size, sink->spool_bytes + sink->spool_bytes / 16);
    FUSE_TRY(fuse_output_file_reserve(sink->file, most, err));
    if (most > info.st_size && ftruncate(sink->file->fd, info.st_size) != 0)
        return fuse_fail(err, FUSE_EOUTPUT, "cannot write %s: its size cannot be set", want->path);
    return FUSE_OK;
}

static void point_members(struct hdf5_sink *sink) {
    for (int m = 0; m < sink->members; m++) {
        struct hdf5_member *member = &sink->member[m];
        const struct fuse_output_file *file = member->is_chunked ? sink->spool : sink->file;
        member->bytes = fuse_file_bytes(file->fd, 0, sink->file->path);
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
        comm->ops->broadcast(comm, sink->offset, (size_t)want->members * sizeof *sink->offset, 0, err);
    st = fuse_agree(comm, st == FUSE_OK ? sent : st, err);
    if (st == FUSE_OK && sink->chunked > 0) {
        st = fuse_output_file_open(&sink->spool, comm, st, want->path, NULL, 0, sink->spool_bytes, err);
        if (st == FUSE_OK)
            fuse_output_file_forget(sink->spool);
    }
    if (st != FUSE_OK) {
        fuse_hdf5_sink_discard((struct fuse_sink *)sink);
        return st;
    }
    point_members(sink);
    *out = (struct fuse_sink *)sink;
    return FUSE_OK;
}

/* ---- writing ---- */

enum fuse_status fuse_hdf5_sink_write(struct fuse_sink *handle, int member, const struct fuse_box *box,
                                      const struct fuse_view *from, struct fuse_error *err) {
    return fuse_array_write(&((struct hdf5_sink *)handle)->member[member].array, box, from, err);
}

/* What reads elements as they are: of types that files alone have, another of the same size. */
static enum fuse_dtype same_size(enum fuse_dtype dtype) {
    return dtype == FUSE_U16 ? FUSE_I16 : dtype == FUSE_U32 ? FUSE_I32 : dtype == FUSE_U64 ? FUSE_I64 : dtype;
}

static enum fuse_status write_chunks(struct hdf5_sink *sink, struct fuse_comm *comm, struct fuse_error *err) {
    struct fuse_hdf5_chunked *chunked = FUSE_NEW_ARRAY(sink->arena, struct fuse_hdf5_chunked, sink->chunked);
    int n = 0;
    for (int m = 0; m < sink->members; m++) {
        if (!sink->member[m].is_chunked)
            continue;
        chunked[n].part = sink->member[m].part;
        chunked[n].elements = &sink->member[m].array;
        chunked[n].elements->dtype = same_size(chunked[n].elements->dtype);
        memcpy(chunked[n].chunk, sink->member[m].chunk, sizeof chunked[n].chunk);
        n++;
    }
    enum fuse_status st = fuse_hdf5_write_chunks(sink->file, comm, chunked, n, sink->note, sizeof sink->note, err);
    if (comm->rank == 0)
        fuse_output_file_release(sink->file);
    return st;
}

enum fuse_status fuse_hdf5_sink_finish(struct fuse_sink *handle, struct fuse_comm *comm, struct fuse_error *err) {
    struct hdf5_sink *sink = (struct hdf5_sink *)handle;
    enum fuse_status written = FUSE_OK;
    if (sink->chunked > 0)
        written = write_chunks(sink, comm, err);
    enum fuse_status closed = fuse_output_file_finish(sink->file, err);
    return written == FUSE_OK ? closed : written;
}

const char *fuse_hdf5_sink_note(const struct fuse_sink *handle) {
    const char *note = ((const struct hdf5_sink *)handle)->note;
    return note[0] ? note : NULL;
}

/* ---- ending ---- */

enum fuse_status fuse_hdf5_sink_commit(struct fuse_sink *handle, struct fuse_error *err) {
    struct hdf5_sink *sink = (struct hdf5_sink *)handle;
    struct fuse_output_file *file = sink->file;
    free_sink(sink);
    return fuse_output_file_commit(file, err);
}

void fuse_hdf5_sink_discard(struct fuse_sink *handle) {
    struct hdf5_sink *sink = (struct hdf5_sink *)handle;
    if (!sink)
        return;
    fuse_output_file_discard(sink->file);
    free_sink(sink);
}
