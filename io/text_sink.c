#include "io/text_sink.h"

#include "io/array.h"
#include "io/output_file.h"

#include <stdio.h>
#include <stdlib.h>

/* Elements come in file order as bytes of an array, and leave as text. */
struct text_sink {
    struct fuse_bytes bytes;
    struct fuse_output_file *file;
    struct fuse_text_runs *text;
    struct fuse_array array;
    const struct fuse_text_layout *layout;
    struct fuse_sink_member member;
    struct fuse_text_shape shape;
};

size_t fuse_text_number(char to[FUSE_DECIMAL_BYTES], enum fuse_dtype shown, enum fuse_dtype dtype, const void *from) {
    int64_t integer;
    double real;
    if (fuse_dtype_class(shown) != FUSE_CLASS_REAL) {
        fuse_dtype_convert(&integer, FUSE_I64, from, dtype, 1);
        return fuse_decimal_write_i64(to, integer);
    }
    fuse_dtype_convert(&real, FUSE_F64, from, dtype, 1);
    return shown == FUSE_F64 ? fuse_decimal_write_f64(to, real) : fuse_decimal_write_f32(to, (float)real);
}

char *fuse_text_place(char to[22 * FUSE_MAX_AXES + 1], const struct fuse_text_shape *shape, int64_t n) {
    size_t bytes = 0;
    to[0] = '\0';
    for (int a = 0; a < shape->member->rank; a++) {
        int64_t extent = shape->member->extent[a], inner = shape->inner[a] / extent;
        bytes += (size_t)sprintf(to + bytes, "%s%lld", a ? ", " : "", (long long)(n / inner % extent));
    }
    return to;
}

static enum fuse_status write_elements(struct fuse_bytes *self, const void *from, size_t bytes, int64_t offset,
                                       struct fuse_error *err) {
    struct text_sink *sink = (struct text_sink *)self;
    size_t size = fuse_dtype_bytes(sink->array.dtype);
    int64_t first = offset / (int64_t)size, count = (int64_t)(bytes / size);
    FUSE_TRY(fuse_text_runs_begin(sink->text, first, count, err));
    return sink->layout->elements(sink->text, &sink->shape, sink->layout->form, from, first, count, err);
}

static void free_sink(struct text_sink *sink) {
    if (!sink)
        return;
    fuse_text_runs_close(sink->text);
    fuse_array_close(&sink->array);
    free(sink);
}

static enum fuse_status prepare(struct text_sink **out, const struct fuse_sink_file *want,
                                const struct fuse_text_layout *layout, struct fuse_error *err) {
    const char *path = want->path;
    const struct fuse_sink_member *member = want->member;
    if (want->members != 1 || member->part)
        return fuse_fail(err, FUSE_EBUG, "%s: a text file holds one array", path);
    struct text_sink *sink = calloc(1, sizeof *sink);
    if (!sink)
        return fuse_fail(err, FUSE_EMEMORY, "no memory to open %s", path);
    sink->bytes.write = write_elements;
    sink->layout = layout;
    sink->member = *member;
    sink->shape = (struct fuse_text_shape){.member = &sink->member, .elems = 1};
    for (int a = member->rank - 1; a >= 0; a--)
        sink->shape.inner[a] = sink->shape.elems = fuse_sat_mul(sink->shape.elems, member->extent[a]);
    enum fuse_status st = FUSE_OK;
    if (member->is_tuples)
        sink->shape.elems = 0;
    else
        st = fuse_array_open(&sink->array, member->dtype, member->rank, member->extent, 0, &sink->bytes, NULL, err);
    if (st == FUSE_OK)
        *out = sink;
    else
        free_sink(sink);
    return st;
}

enum fuse_status fuse_text_sink_open(struct fuse_sink **out, struct fuse_comm *comm, enum fuse_status local,
                                     const struct fuse_sink_file *want, const struct fuse_text_layout *layout,
                                     struct fuse_error *err) {
    struct text_sink *sink = NULL;
    struct fuse_output_file *file;
    enum fuse_status st = local == FUSE_OK ? prepare(&sink, want, layout, err) : local;
    st = fuse_output_file_open(&file, comm, st, want->path, NULL, 0, 0, err);
    if (st != FUSE_OK) {
        free_sink(sink);
        return st;
    }
    sink->file = file;
    sink->array.name = sink->shape.path = file->path;
    st = fuse_agree(comm, fuse_text_runs_open(&sink->text, file->path, err), err);
    if (st != FUSE_OK)
        fuse_output_file_discard(fuse_text_sink_release((struct fuse_sink *)sink));
    else
        *out = (struct fuse_sink *)sink;
    return st;
}

enum fuse_status fuse_text_sink_write(struct fuse_sink *handle, int member, const struct fuse_box *box,
                                      const struct fuse_view *from, struct fuse_error *err) {
    (void)member;
    return fuse_array_write(&((struct text_sink *)handle)->array, box, from, err);
}

enum fuse_status fuse_text_sink_tuples(struct fuse_sink *handle, int member, int64_t first, int64_t total,
                                       const struct fuse_tuple_rows *rows, struct fuse_error *err) {
    (void)member;
    struct text_sink *sink = (struct text_sink *)handle;
    sink->shape.elems = total;
    if (rows->n == 0)
        return FUSE_OK;
    FUSE_TRY(fuse_text_runs_begin(sink->text, first, rows->n, err));
    return sink->layout->tuples(sink->text, &sink->shape, sink->layout->form, rows, err);
}

/* Nothing was written of an array without elements: rank 0 does. */
static enum fuse_status write_nothing(struct text_sink *sink, struct fuse_error *err) {
    if (!sink->layout->nothing)
        return FUSE_OK;
    FUSE_TRY(fuse_text_runs_begin(sink->text, 0, 0, err));
    return sink->layout->nothing(sink->text, &sink->shape, err);
}

/* Collective. */
static enum fuse_status complete(struct text_sink *sink, struct fuse_comm *comm, struct fuse_error *err) {
    struct fuse_text_runs *text = NULL;
    FUSE_TRY(fuse_agree(comm, fuse_text_runs_open(&text, sink->file->path, err), err));
    enum fuse_status st = sink->layout->complete(text, sink->text, &sink->shape, sink->layout->form, comm, err);
    fuse_text_runs_close(sink->text);
    sink->text = text;
    return st;
}

enum fuse_status fuse_text_sink_finish(struct fuse_sink *handle, struct fuse_comm *comm, struct fuse_error *err) {
    struct text_sink *sink = (struct text_sink *)handle;
    enum fuse_status local = FUSE_OK;
    if (sink->shape.elems == 0 && comm->rank == 0)
        local = write_nothing(sink, err);
    if (sink->layout->complete) {
        enum fuse_status completed = complete(sink, comm, err);
        local = local != FUSE_OK ? local : completed;
    }
    enum fuse_status placed = fuse_text_runs_place(sink->text, comm, sink->file->fd, 0, sink->shape.elems, err);
    enum fuse_status closed = fuse_output_file_finish(sink->file, err);
    return local != FUSE_OK ? local : placed != FUSE_OK ? placed : closed;
}

struct fuse_output_file *fuse_text_sink_release(struct fuse_sink *handle) {
    struct text_sink *sink = (struct text_sink *)handle;
    struct fuse_output_file *file = sink ? sink->file : NULL;
    free_sink(sink);
    return file;
}
