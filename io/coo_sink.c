/* Sinks of tuples; see coo.h. Each rank appends the tuples of the elements that it is given, as sinks of text do, ids and
 * values apart; where they go is known when all have. */
#include "io/coo.h"

#include "io/coo_runs.h"
#include "io/npy_header.h"
#include "io/output_file.h"

#include <stdlib.h>
#include <string.h>

struct coo_sink {
    struct fuse_output_file *file;
    struct fuse_coo_runs runs;
    struct fuse_arena *arena;
};

static void free_sink(struct coo_sink *sink) {
    if (!sink)
        return;
    fuse_coo_runs_close(&sink->runs);
    fuse_arena_close(sink->arena);
    free(sink);
}

static enum fuse_status check_member(const struct fuse_sink_file *want, struct fuse_error *err) {
    if (want->members != 1)
        return fuse_fail(err, FUSE_EBUG, "%s: one relation a file", want->path);
    return fuse_npy_holds(want->member->dtype, want->path, err);
}

static enum fuse_status prepare(struct coo_sink **out, const struct fuse_sink_file *want, struct fuse_error *err) {
    FUSE_TRY(check_member(want, err));
    struct coo_sink *sink = calloc(1, sizeof *sink);
    if (sink)
        sink->arena = fuse_arena_open(NULL);
    if (!sink || !sink->arena) {
        free(sink);
        return fuse_fail(err, FUSE_EMEMORY, "no memory to open %s", want->path);
    }
    enum fuse_status st = fuse_coo_runs_open(&sink->runs, want->member, fuse_coo_file(sink->arena, want->path), err);
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
    *out = (struct fuse_sink *)sink;
    return FUSE_OK;
}

enum fuse_status fuse_coo_sink_write(struct fuse_sink *handle, int member, const struct fuse_box *box,
                                     const struct fuse_view *from, struct fuse_error *err) {
    (void)member;
    return fuse_array_write(&((struct coo_sink *)handle)->runs.array, box, from, err);
}

enum fuse_status fuse_coo_sink_tuples(struct fuse_sink *handle, int member, int64_t first, int64_t total,
                                      const struct fuse_tuple_rows *rows, struct fuse_error *err) {
    (void)member;
    return fuse_coo_runs_add(&((struct coo_sink *)handle)->runs, first, total, rows, err);
}

/* Collective: an array behind `*at`, its header by rank 0; *at becomes its end. */
static enum fuse_status place_array(int64_t *at, struct coo_sink *sink, struct fuse_text_runs *runs,
                                    enum fuse_dtype dtype, int rank, int64_t rows, struct fuse_comm *comm,
                                    struct fuse_error *err) {
    char header[FUSE_NPY_WRITE_BYTES];
    int64_t extent[2] = {rows, sink->runs.rank}, header_bytes = 0, bytes = 0;
    enum fuse_status st = fuse_npy_layout(header, &header_bytes, &bytes, dtype, rank, extent, sink->file->path, err);
    struct fuse_file_bytes file = fuse_file_bytes(sink->file->fd, *at, sink->file->path);
    if (st == FUSE_OK && comm->rank == 0)
        st = file.bytes.write(&file.bytes, header, (size_t)header_bytes, 0, err);
    enum fuse_status placed =
        fuse_text_runs_place(runs, comm, sink->file->fd, *at + header_bytes, sink->runs.elems, err);
    *at += bytes;
    return st == FUSE_OK ? placed : st;
}

enum fuse_status fuse_coo_sink_finish(struct fuse_sink *handle, struct fuse_comm *comm, struct fuse_error *err) {
    struct coo_sink *sink = (struct coo_sink *)handle;
    int64_t rows = sink->runs.rows, at = 0;
    enum fuse_status st = comm->ops->reduce_int64(comm, FUSE_REDUCE_SUM, &rows, 1, err), more = FUSE_OK;
    if (st == FUSE_OK)
        st = place_array(&at, sink, sink->runs.ids, FUSE_I64, 2, rows, comm, err);
    if (sink->runs.values)
        more = place_array(&at, sink, sink->runs.values, sink->runs.dtype, 1, rows, comm, err);
    enum fuse_status closed = fuse_output_file_finish(sink->file, err);
    return st != FUSE_OK ? st : more != FUSE_OK ? more : closed;
}

struct fuse_output_file *fuse_coo_sink_release(struct fuse_sink *handle) {
    struct coo_sink *sink = (struct coo_sink *)handle;
    struct fuse_output_file *file = sink ? sink->file : NULL;
    free_sink(sink);
    return file;
}
