/* Sinks of tuples; see coo.h. Each rank appends the tuples of the elements that it is given, as sinks of text do, ids and
 * values apart; where they go is known when all have. */
#include "io/coo.h"

#include "io/array.h"
#include "io/npy_header.h"
#include "io/output_file.h"
#include "io/text_runs.h"

#include <stdlib.h>
#include <string.h>

struct coo_sink {
    struct fuse_bytes bytes;
    struct fuse_output_file *file;
    struct fuse_text_runs *ids, *values; /* values: NULL for a set */
    struct fuse_array array;
    enum fuse_dtype dtype;
    int rank;
    int64_t elems, inner[FUSE_MAX_AXES]; /* elements at one position of axis a and those before */
    int64_t rows;                        /* of this rank */
    struct fuse_arena *arena;
};

static enum fuse_status append_tuple(struct coo_sink *sink, int64_t n, const void *value, struct fuse_error *err) {
    int64_t id[FUSE_MAX_AXES];
    for (int a = 0; a < sink->rank; a++) {
        id[a] = n / sink->inner[a];
        n %= sink->inner[a];
    }
    sink->rows++;
    FUSE_TRY(fuse_text_runs_append(sink->ids, (const char *)id, (size_t)sink->rank * sizeof *id, err));
    return sink->values ? fuse_text_runs_append(sink->values, value, fuse_dtype_bytes(sink->dtype), err) : FUSE_OK;
}

/* Elements [offset, ..) of the array, packed, in file order. */
static enum fuse_status write_elements(struct fuse_bytes *self, const void *from, size_t bytes, int64_t offset,
                                       struct fuse_error *err) {
    struct coo_sink *sink = (struct coo_sink *)self;
    size_t size = fuse_dtype_bytes(sink->dtype);
    int64_t first = offset / (int64_t)size, count = (int64_t)(bytes / size);
    FUSE_TRY(fuse_text_runs_begin(sink->ids, first, count, err));
    if (sink->values)
        FUSE_TRY(fuse_text_runs_begin(sink->values, first, count, err));
    for (int64_t i = 0; i < count; i++) {
        const char *element = (const char *)from + (size_t)i * size;
        bool is_set;
        if (!fuse_dtype_convert(&is_set, FUSE_BOOL, element, sink->dtype, 1))
            return fuse_fail(err, FUSE_EBUG, "%s: a type that no tensor has", sink->file->path);
        if (is_set)
            FUSE_TRY(append_tuple(sink, first + i, element, err));
    }
    return FUSE_OK;
}

static void free_sink(struct coo_sink *sink) {
    if (!sink)
        return;
    fuse_array_close(&sink->array);
    fuse_text_runs_close(sink->ids);
    fuse_text_runs_close(sink->values);
    fuse_arena_close(sink->arena);
    free(sink);
}

static enum fuse_status check_member(const struct fuse_sink_file *want, struct fuse_error *err) {
    char header[FUSE_NPY_WRITE_BYTES];
    int64_t header_bytes, bytes, none = 0;
    if (want->members != 1)
        return fuse_fail(err, FUSE_EBUG, "%s: one relation a file", want->path);
    if (want->member->rank == 0) {
        fuse_fail(err, FUSE_EOUTPUT, "cannot write %s: what has no index has no ids to write", want->path);
        fuse_hint(err, "leave ':coo' out");
        return FUSE_EOUTPUT;
    }
    /* Whether npy has the dtype. */
    return fuse_npy_layout(header, &header_bytes, &bytes, want->member->dtype, 1, &none, want->path, err);
}

static enum fuse_status prepare(struct coo_sink **out, const struct fuse_sink_file *want, struct fuse_error *err) {
    const struct fuse_sink_member *member = want->member;
    FUSE_TRY(check_member(want, err));
    struct coo_sink *sink = calloc(1, sizeof *sink);
    if (sink)
        sink->arena = fuse_arena_open(NULL);
    if (!sink || !sink->arena) {
        free(sink);
        return fuse_fail(err, FUSE_EMEMORY, "no memory to open %s", want->path);
    }
    sink->bytes.write = write_elements;
    sink->dtype = member->dtype;
    sink->rank = member->rank;
    sink->elems = 1;
    for (int a = member->rank - 1; a >= 0; a--) {
        sink->inner[a] = sink->elems > 0 ? sink->elems : 1;
        sink->elems = fuse_sat_mul(sink->elems, member->extent[a]);
    }
    enum fuse_status st = FUSE_OK;
    if (member->is_tuples)
        sink->elems = 0;
    else
        st = fuse_array_open(&sink->array, member->dtype, member->rank, member->extent, 0, &sink->bytes, NULL, err);
    if (st == FUSE_OK)
        *out = sink;
    else
        free_sink(sink);
    return st;
}

enum fuse_status fuse_coo_sink_open(struct fuse_sink **out, struct fuse_comm *comm, const struct fuse_sink_file *want,
                                    struct fuse_error *err) {
    struct coo_sink *sink = NULL;
    struct fuse_output_file *file;
    enum fuse_status st = prepare(&sink, want, err);
    const char *path = sink ? fuse_coo_file(sink->arena, want->path) : want->path;
    st = fuse_output_file_open(&file, comm, st, path, NULL, 0, 0, err);
    if (st != FUSE_OK) {
        free_sink(sink);
        return st;
    }
    sink->file = file;
    sink->array.name = file->path;
    st = fuse_text_runs_open(&sink->ids, file->path, err);
    if (st == FUSE_OK && sink->dtype != FUSE_BOOL)
        st = fuse_text_runs_open(&sink->values, file->path, err);
    st = fuse_agree(comm, st, err);
    if (st != FUSE_OK)
        fuse_output_file_discard(fuse_coo_sink_release((struct fuse_sink *)sink));
    else
        *out = (struct fuse_sink *)sink;
    return st;
}

enum fuse_status fuse_coo_sink_write(struct fuse_sink *handle, int member, const struct fuse_box *box,
                                     const struct fuse_view *from, struct fuse_error *err) {
    (void)member;
    return fuse_array_write(&((struct coo_sink *)handle)->array, box, from, err);
}

enum fuse_status fuse_coo_sink_tuples(struct fuse_sink *handle, int64_t first, int64_t total,
                                      const struct fuse_tuple_rows *rows, struct fuse_error *err) {
    struct coo_sink *sink = (struct coo_sink *)handle;
    sink->elems = total;
    if (rows->n == 0)
        return FUSE_OK;
    FUSE_TRY(fuse_text_runs_begin(sink->ids, first, rows->n, err));
    if (sink->values)
        FUSE_TRY(fuse_text_runs_begin(sink->values, first, rows->n, err));
    sink->rows += rows->n;
    for (int64_t i = 0; i < rows->n; i++) {
        int64_t id[FUSE_MAX_AXES];
        for (int a = 0; a < sink->rank; a++)
            id[a] = rows->id[a][i];
        FUSE_TRY(fuse_text_runs_append(sink->ids, (const char *)id, (size_t)sink->rank * sizeof *id, err));
    }
    size_t bytes = (size_t)rows->n * fuse_dtype_bytes(sink->dtype);
    return sink->values ? fuse_text_runs_append(sink->values, rows->value, bytes, err) : FUSE_OK;
}

/* Collective: an array behind `*at`, its header by rank 0; *at becomes its end. */
static enum fuse_status place_array(int64_t *at, struct coo_sink *sink, struct fuse_text_runs *runs,
                                    enum fuse_dtype dtype, int rank, int64_t rows, struct fuse_comm *comm,
                                    struct fuse_error *err) {
    char header[FUSE_NPY_WRITE_BYTES];
    int64_t extent[2] = {rows, sink->rank}, header_bytes = 0, bytes = 0;
    enum fuse_status st = fuse_npy_layout(header, &header_bytes, &bytes, dtype, rank, extent, sink->file->path, err);
    struct fuse_file_bytes file = fuse_file_bytes(sink->file->fd, *at, sink->file->path);
    if (st == FUSE_OK && comm->rank == 0)
        st = file.bytes.write(&file.bytes, header, (size_t)header_bytes, 0, err);
    enum fuse_status placed = fuse_text_runs_place(runs, comm, sink->file->fd, *at + header_bytes, sink->elems, err);
    *at += bytes;
    return st == FUSE_OK ? placed : st;
}

enum fuse_status fuse_coo_sink_finish(struct fuse_sink *handle, struct fuse_comm *comm, struct fuse_error *err) {
    struct coo_sink *sink = (struct coo_sink *)handle;
    int64_t rows = sink->rows, at = 0;
    enum fuse_status st = comm->ops->reduce_int64(comm, FUSE_REDUCE_SUM, &rows, 1, err), more = FUSE_OK;
    if (st == FUSE_OK)
        st = place_array(&at, sink, sink->ids, FUSE_I64, 2, rows, comm, err);
    if (sink->values)
        more = place_array(&at, sink, sink->values, sink->dtype, 1, rows, comm, err);
    enum fuse_status closed = fuse_output_file_finish(sink->file, err);
    return st != FUSE_OK ? st : more != FUSE_OK ? more : closed;
}

struct fuse_output_file *fuse_coo_sink_release(struct fuse_sink *handle) {
    struct coo_sink *sink = (struct coo_sink *)handle;
    struct fuse_output_file *file = sink ? sink->file : NULL;
    free_sink(sink);
    return file;
}
