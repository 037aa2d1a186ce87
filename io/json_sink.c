#include "io/json.h"

#include "io/array.h"
#include "io/decimal.h"
#include "io/output_file.h"
#include "io/text_runs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Elements come in file order as bytes of an array, and leave as text. */
struct json_sink {
    struct fuse_bytes bytes;
    struct fuse_output_file *file;
    struct fuse_text_runs *text;
    struct fuse_array array;
    const struct fuse_json_layout *layout;
    struct fuse_sink_member member;
    struct fuse_json_shape shape;
};

enum { ELEMENT_BYTES = 2 * FUSE_JSON_AROUND_BYTES + FUSE_DECIMAL_BYTES };

/* What stands in front of element n: lists that end and begin there, each list of lists on lines of its own.
 *   [[1, 2],
 *    [3, 4]]       */
static size_t write_gap(char *to, const struct fuse_json_shape *shape, int64_t n) {
    int rank = shape->member->rank, ended = 0;
    size_t bytes = 0;
    if (n == 0) {
        memset(to, '[', (size_t)rank);
        return (size_t)rank;
    }
    while (ended < rank && n % shape->inner[rank - 1 - ended] == 0)
        ended++;
    memset(to, ']', (size_t)ended);
    bytes += (size_t)ended;
    to[bytes++] = ',';
    to[bytes++] = ended > 0 ? '\n' : ' ';
    if (ended > 0) {
        memset(to + bytes, ' ', (size_t)(rank - ended));
        bytes += (size_t)(rank - ended);
    }
    memset(to + bytes, '[', (size_t)ended);
    return bytes + (size_t)ended;
}

static size_t write_end(char *to, const struct fuse_json_shape *shape, int64_t n) {
    int rank = shape->member->rank;
    if (n + 1 < shape->elems)
        return 0;
    memset(to, ']', (size_t)rank);
    to[rank] = '\n';
    return (size_t)rank + 1;
}

static enum fuse_status fail_element(const struct json_sink *sink, int64_t n, double value, struct fuse_error *err) {
    char place[FUSE_MAX_AXES * 22 + 1] = "";
    size_t bytes = 0;
    for (int a = 0; a < sink->array.rank; a++) {
        int64_t inner = sink->shape.inner[a] / sink->array.extent[a];
        bytes += (size_t)snprintf(place + bytes, sizeof place - bytes, "%s%lld", a ? ", " : "",
                                  (long long)(n / inner % sink->array.extent[a]));
    }
    enum fuse_status st = fuse_fail(
        err, FUSE_EOUTPUT, "cannot write %s: element [%s] is %s, which JSON has no number for", sink->file->path, place,
        isnan(value) ? "NaN"
        : value > 0  ? "infinity"
                     : "-infinity");
    fuse_hint(err, "write a .npy file, or replace such values first");
    return st;
}

/* One element as a number of type `shown`; false for a number that JSON has not. */
static bool write_element(char *to, size_t *bytes, double *real, enum fuse_dtype shown, enum fuse_dtype dtype,
                          const void *from) {
    int64_t integer;
    float single;
    switch (fuse_dtype_class(shown)) {
    case FUSE_CLASS_BOOL:
        *bytes = *(const uint8_t *)from ? 4 : 5;
        memcpy(to, *(const uint8_t *)from ? "true" : "false", *bytes);
        return true;
    case FUSE_CLASS_INT:
    case FUSE_CLASS_UINT:
        fuse_dtype_convert(&integer, FUSE_I64, from, dtype, 1);
        *bytes = fuse_decimal_write_i64(to, integer);
        return true;
    case FUSE_CLASS_REAL:
        fuse_dtype_convert(real, FUSE_F64, from, dtype, 1);
        if (!isfinite(*real))
            return false;
        single = (float)*real;
        *bytes = shown == FUSE_F64 ? fuse_decimal_write_f64(to, *real) : fuse_decimal_write_f32(to, single);
        return true;
    }
    return false;
}

static enum fuse_status write_values(struct fuse_bytes *self, const void *from, size_t bytes, int64_t offset,
                                     struct fuse_error *err) {
    struct json_sink *sink = (struct json_sink *)self;
    enum fuse_dtype dtype = sink->array.dtype;
    size_t size = fuse_dtype_bytes(dtype);
    int64_t first = offset / (int64_t)size, count = (int64_t)(bytes / size);
    FUSE_TRY(fuse_text_runs_begin(sink->text, first, count, err));
    for (int64_t i = 0; i < count; i++) {
        char text[ELEMENT_BYTES];
        double real;
        const struct fuse_json_shape *shape = &sink->shape;
        size_t length = sink->layout->before(text, shape, first + i), own;
        enum fuse_dtype shown = sink->layout->shown(shape, first + i);
        if (!write_element(text + length, &own, &real, shown, dtype, (const char *)from + i * (int64_t)size))
            return fail_element(sink, first + i, real, err);
        length += own;
        length += sink->layout->behind(text + length, shape, first + i);
        FUSE_TRY(fuse_text_runs_append(sink->text, text, length, err));
    }
    return FUSE_OK;
}

static void free_sink(struct json_sink *sink) {
    if (!sink)
        return;
    fuse_text_runs_close(sink->text);
    fuse_array_close(&sink->array);
    free(sink);
}

static enum fuse_status prepare(struct json_sink **out, const char *path, const struct fuse_sink_member *member,
                                int members, const struct fuse_json_layout *layout, struct fuse_error *err) {
    if (members != 1 || member->part)
        return fuse_fail(err, FUSE_EBUG, "%s: a json file holds one array", path);
    struct json_sink *sink = calloc(1, sizeof *sink);
    if (!sink)
        return fuse_fail(err, FUSE_EMEMORY, "no memory to open %s", path);
    sink->bytes.write = write_values;
    sink->layout = layout;
    sink->member = *member;
    sink->shape = (struct fuse_json_shape){.member = &sink->member, .elems = 1};
    for (int a = member->rank - 1; a >= 0; a--)
        sink->shape.inner[a] = sink->shape.elems = fuse_sat_mul(sink->shape.elems, member->extent[a]);
    enum fuse_status st =
        fuse_array_open(&sink->array, member->dtype, member->rank, member->extent, 0, &sink->bytes, NULL, err);
    if (st == FUSE_OK)
        *out = sink;
    else
        free_sink(sink);
    return st;
}

enum fuse_status fuse_json_sink_open_as(struct fuse_sink **out, struct fuse_comm *comm, const char *path,
                                        const struct fuse_sink_member *member, int members,
                                        const struct fuse_json_layout *layout, struct fuse_error *err) {
    struct json_sink *sink = NULL;
    struct fuse_output_file *file;
    enum fuse_status st = prepare(&sink, path, member, members, layout, err);
    st = fuse_output_file_open(&file, comm, st, path, NULL, 0, 0, err);
    if (st != FUSE_OK) {
        free_sink(sink);
        return st;
    }
    sink->file = file;
    sink->array.name = file->path;
    st = fuse_agree(comm, fuse_text_runs_open(&sink->text, file->path, err), err);
    if (st != FUSE_OK)
        fuse_json_sink_discard((struct fuse_sink *)sink);
    else
        *out = (struct fuse_sink *)sink;
    return st;
}

enum fuse_status fuse_json_sink_write(struct fuse_sink *handle, int member, const struct fuse_box *box,
                                      const struct fuse_view *from, struct fuse_error *err) {
    (void)member;
    return fuse_array_write(&((struct json_sink *)handle)->array, box, from, err);
}

/* Lists around nothing. */
static enum fuse_status write_empty(struct fuse_text_runs *text, const struct fuse_json_shape *shape,
                                    struct fuse_error *err) {
    /* As an array of empty lists, which are its elements. */
    struct fuse_sink_member outer = {.rank = 0};
    struct fuse_json_shape around = {.member = &outer, .elems = 1};
    while (shape->member->extent[outer.rank] > 0) {
        outer.extent[outer.rank] = shape->member->extent[outer.rank];
        around.elems = fuse_sat_mul(around.elems, outer.extent[outer.rank++]);
    }
    int64_t inner = 1;
    for (int a = outer.rank - 1; a >= 0; a--)
        around.inner[a] = inner = inner * outer.extent[a];
    for (int64_t n = 0; n < around.elems; n++) {
        char line[ELEMENT_BYTES];
        size_t length = write_gap(line, &around, n);
        line[length++] = '[';
        line[length++] = ']';
        length += write_end(line + length, &around, n);
        FUSE_TRY(fuse_text_runs_append(text, line, length, err));
    }
    return FUSE_OK;
}

static enum fuse_dtype shown_as_it_is(const struct fuse_json_shape *shape, int64_t n) {
    (void)n;
    return shape->member->dtype;
}

static const struct fuse_json_layout lists = {
    .before = write_gap, .behind = write_end, .shown = shown_as_it_is, .nothing = write_empty};

enum fuse_status fuse_json_sink_open(struct fuse_sink **out, struct fuse_comm *comm, const char *path,
                                     const struct fuse_sink_member *member, int members, struct fuse_error *err) {
    return fuse_json_sink_open_as(out, comm, path, member, members, &lists, err);
}

/* Nothing was written of an array without elements: rank 0 does. */
static enum fuse_status write_nothing(struct json_sink *sink, struct fuse_error *err) {
    FUSE_TRY(fuse_text_runs_begin(sink->text, 0, 0, err));
    return sink->layout->nothing(sink->text, &sink->shape, err);
}

enum fuse_status fuse_json_sink_finish(struct fuse_sink *handle, struct fuse_comm *comm, struct fuse_error *err) {
    struct json_sink *sink = (struct json_sink *)handle;
    enum fuse_status local = FUSE_OK;
    if (sink->shape.elems == 0 && comm->rank == 0)
        local = write_nothing(sink, err);
    enum fuse_status placed = fuse_text_runs_place(sink->text, comm, sink->file->fd, sink->shape.elems, err);
    enum fuse_status closed = fuse_output_file_finish(sink->file, err);
    return local != FUSE_OK ? local : placed != FUSE_OK ? placed : closed;
}

enum fuse_status fuse_json_sink_commit(struct fuse_sink *handle, struct fuse_error *err) {
    struct json_sink *sink = (struct json_sink *)handle;
    struct fuse_output_file *file = sink->file;
    free_sink(sink);
    return fuse_output_file_commit(file, err);
}

const char *fuse_json_sink_temporary(const struct fuse_sink *handle) {
    return ((const struct json_sink *)handle)->file->temporary;
}

void fuse_json_sink_discard(struct fuse_sink *handle) {
    struct json_sink *sink = (struct json_sink *)handle;
    if (!sink)
        return;
    fuse_output_file_discard(sink->file);
    free_sink(sink);
}
