#include "io/tsv.h"

#include "io/tsv_names.h"
#include "io/tsv_rows.h"

#include <math.h>
#include <string.h>

/* Ids of 19 digits at most, each with a separator behind it; a raw line is shorter. */
enum { LINE_BYTES = 20 * FUSE_MAX_AXES + FUSE_DECIMAL_BYTES + 1 };

/* All bits 0: most cells of a sparse tensor. */
static bool is_clear(const unsigned char *element, size_t bytes) {
    unsigned char set = 0;
    for (size_t k = 0; k < bytes; k++)
        set |= element[k];
    return set == 0;
}

/* The first of elements [i, count) that is not all 0. */
static int64_t skip_clear(const unsigned char *from, int64_t i, int64_t count, size_t bytes) {
    uint64_t word;
    int64_t step = (int64_t)(sizeof word / bytes);
    for (; i + step <= count; i += step) {
        memcpy(&word, from + (size_t)i * bytes, sizeof word);
        if (word != 0)
            break;
    }
    while (i < count && is_clear(from + (size_t)i * bytes, bytes))
        i++;
    return i;
}

/* The value of an element, with its length; 0 where there is none to write. */
static size_t write_value(char to[FUSE_DECIMAL_BYTES], enum fuse_dtype dtype, const void *from, double absent) {
    double real;
    const char *word;
    if (fuse_dtype_class(dtype) != FUSE_CLASS_REAL)
        return fuse_text_number(to, dtype, dtype, from);
    fuse_dtype_convert(&real, FUSE_F64, from, dtype, 1);
    if (real == absent) /* 0 of either sign */
        return 0;
    if (isfinite(real))
        return fuse_text_number(to, dtype, dtype, from);
    word = isnan(real) ? "nan" : real > 0 ? "inf" : "-inf";
    memcpy(to, word, strlen(word));
    return strlen(word);
}

static void find_position(int64_t *id, const struct fuse_text_shape *shape, int64_t n) {
    for (int a = 0; a < shape->member->rank; a++) {
        int64_t inner = a + 1 < shape->member->rank ? shape->inner[a + 1] : 1;
        id[a] = n / inner;
        n %= inner;
    }
}

/* Where axes have symbols a line is made when the names are known. */
static enum fuse_status append_line(struct fuse_text_runs *text, const struct fuse_tsv_form *form, const int64_t *id,
                                    int ids, const char *value, size_t digits, struct fuse_error *err) {
    char line[LINE_BYTES];
    size_t bytes = 0;
    if (form->is_raw)
        return fuse_text_runs_append(text, line, fuse_tsv_write_raw(line, id, ids, value, digits), err);
    for (int a = 0; a < ids; a++) {
        if (a > 0)
            line[bytes++] = form->separator;
        bytes += fuse_decimal_write_i64(line + bytes, id[a]);
    }
    if (digits > 0 && bytes > 0)
        line[bytes++] = form->separator;
    memcpy(line + bytes, value, digits);
    bytes += digits;
    line[bytes++] = '\n';
    return fuse_text_runs_append(text, line, bytes, err);
}

static enum fuse_status write_rows(struct fuse_text_runs *text, const struct fuse_text_shape *shape, const void *form,
                                   const void *from, int64_t first, int64_t count, struct fuse_error *err) {
    enum fuse_dtype dtype = shape->member->dtype;
    size_t size = fuse_dtype_bytes(dtype), digits = 0;
    bool has_value = dtype != FUSE_BOOL;
    const unsigned char *element = from;
    const double absent = shape->member->absent;
    for (int64_t i = 0; (i = absent == 0 ? skip_clear(element, i, count, size) : i) < count; i++) {
        char value[FUSE_DECIMAL_BYTES];
        int64_t id[FUSE_MAX_AXES];
        if (has_value && (digits = write_value(value, dtype, element + (size_t)i * size, absent)) == 0)
            continue;
        find_position(id, shape, first + i);
        FUSE_TRY(append_line(text, form, id, shape->member->rank, value, digits, err));
    }
    return FUSE_OK;
}

/* Every tuple has a line, one whose value is 0 too. */
static enum fuse_status write_tuples(struct fuse_text_runs *text, const struct fuse_text_shape *shape, const void *form,
                                     const struct fuse_tuple_rows *rows, struct fuse_error *err) {
    enum fuse_dtype dtype = shape->member->dtype;
    for (int64_t i = 0; i < rows->n; i++) {
        char value[FUSE_DECIMAL_BYTES];
        int64_t id[FUSE_MAX_AXES];
        size_t digits = 0;
        for (int a = 0; a < shape->member->rank; a++)
            id[a] = rows->id[a][i];
        if (rows->value) {
            const char *at = (const char *)rows->value + (size_t)i * fuse_dtype_bytes(dtype);
            digits = write_value(value, dtype, at, 0);
            if (digits == 0)
                digits = fuse_text_number(value, dtype, dtype, at);
        }
        FUSE_TRY(append_line(text, form, id, shape->member->rank, value, digits, err));
    }
    return FUSE_OK;
}

static enum fuse_status check_member(const struct fuse_sink_member *member, const char *path, struct fuse_error *err) {
    if (member->rank == 0 && member->dtype == FUSE_BOOL) {
        enum fuse_status st =
            fuse_fail(err, FUSE_EOUTPUT, "cannot write %s: a truth value without an index has no ids to write", path);
        fuse_hint(err, "write a .json file");
        return st;
    }
    return FUSE_OK;
}

static const struct fuse_tsv_form tabs = {'\t', false}, commas = {',', false};
static const struct fuse_tsv_form named_tabs = {'\t', true}, named_commas = {',', true};
static const struct fuse_text_layout layouts[2][2] = {
    {{.form = &tabs, .elements = write_rows, .tuples = write_tuples},
     {.form = &commas, .elements = write_rows, .tuples = write_tuples}},
    {{.form = &named_tabs, .elements = write_rows, .tuples = write_tuples, .complete = fuse_tsv_name_rows},
     {.form = &named_commas, .elements = write_rows, .tuples = write_tuples, .complete = fuse_tsv_name_rows}},
};

enum fuse_status fuse_tsv_sink_open(struct fuse_sink **out, struct fuse_comm *comm, const struct fuse_sink_file *want,
                                    struct fuse_error *err) {
    bool has_names = false;
    for (int a = 0; a < want->member->rank; a++)
        has_names |= want->member->table[a] > 0;
    const struct fuse_text_layout *layout = &layouts[has_names][fuse_tsv_separator(want->path) == ','];
    return fuse_text_sink_open(out, comm, check_member(want->member, want->path, err), want, layout, err);
}
