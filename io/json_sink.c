#include "io/json.h"

#include <math.h>
#include <string.h>

enum { ELEMENT_BYTES = 2 * FUSE_JSON_AROUND_BYTES + FUSE_DECIMAL_BYTES };

/* What stands in front of element n: lists that end and begin there, each list of lists on lines of its own.
 *   [[1, 2],
 *    [3, 4]]       */
static size_t write_gap(char *to, const struct fuse_text_shape *shape, int64_t n) {
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

static size_t write_end(char *to, const struct fuse_text_shape *shape, int64_t n) {
    int rank = shape->member->rank;
    if (n + 1 < shape->elems)
        return 0;
    memset(to, ']', (size_t)rank);
    to[rank] = '\n';
    return (size_t)rank + 1;
}

static enum fuse_status fail_element(const struct fuse_text_shape *shape, int64_t n, double value,
                                     struct fuse_error *err) {
    char place[22 * FUSE_MAX_AXES + 1];
    enum fuse_status st =
        fuse_fail(err, FUSE_EOUTPUT, "cannot write %s: element [%s] is %s, which JSON has no number for", shape->path,
                  fuse_text_place(place, shape, n),
                  isnan(value) ? "NaN"
                  : value > 0  ? "infinity"
                               : "-infinity");
    fuse_hint(err, "write a .npy file, or replace such values first");
    return st;
}

/* One element as a number of type `shown`; false for a number that JSON has not. */
static bool write_element(char *to, size_t *bytes, double *real, enum fuse_dtype shown, enum fuse_dtype dtype,
                          const void *from) {
    if (shown == FUSE_BOOL) {
        *bytes = *(const uint8_t *)from ? 4 : 5;
        memcpy(to, *(const uint8_t *)from ? "true" : "false", *bytes);
        return true;
    }
    if (fuse_dtype_class(shown) == FUSE_CLASS_REAL) {
        fuse_dtype_convert(real, FUSE_F64, from, dtype, 1);
        if (!isfinite(*real))
            return false;
    }
    *bytes = fuse_text_number(to, shown, dtype, from);
    return true;
}

enum fuse_status fuse_json_elements(struct fuse_text_runs *text, const struct fuse_text_shape *shape, const void *form,
                                    const void *from, int64_t first, int64_t count, struct fuse_error *err) {
    const struct fuse_json_form *json = form;
    enum fuse_dtype dtype = shape->member->dtype;
    int64_t size = (int64_t)fuse_dtype_bytes(dtype);
    for (int64_t i = 0; i < count; i++) {
        char line[ELEMENT_BYTES];
        double real;
        size_t length = json->before(line, shape, first + i), own;
        enum fuse_dtype shown = json->shown(shape, first + i);
        if (!write_element(line + length, &own, &real, shown, dtype, (const char *)from + i * size))
            return fail_element(shape, first + i, real, err);
        length += own;
        length += json->behind(line + length, shape, first + i);
        FUSE_TRY(fuse_text_runs_append(text, line, length, err));
    }
    return FUSE_OK;
}

/* Lists around nothing. */
static enum fuse_status write_empty(struct fuse_text_runs *text, const struct fuse_text_shape *shape,
                                    struct fuse_error *err) {
    /* As an array of empty lists, which are its elements. */
    struct fuse_sink_member outer = {.rank = 0};
    struct fuse_text_shape around = {.member = &outer, .elems = 1};
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

static enum fuse_dtype shown_as_it_is(const struct fuse_text_shape *shape, int64_t n) {
    (void)n;
    return shape->member->dtype;
}

static const struct fuse_json_form form = {.before = write_gap, .behind = write_end, .shown = shown_as_it_is};
static const struct fuse_text_layout lists = {.form = &form, .elements = fuse_json_elements, .nothing = write_empty};

enum fuse_status fuse_json_sink_open(struct fuse_sink **out, struct fuse_comm *comm, const struct fuse_sink_file *want,
                                     struct fuse_error *err) {
    return fuse_text_sink_open(out, comm, FUSE_OK, want, &lists, err);
}
