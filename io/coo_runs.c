#include "io/coo_runs.h"

static enum fuse_status append_tuple(struct fuse_coo_runs *runs, int64_t n, const void *value, struct fuse_error *err) {
    int64_t id[FUSE_MAX_AXES];
    for (int a = 0; a < runs->rank; a++) {
        id[a] = n / runs->inner[a];
        n %= runs->inner[a];
    }
    runs->rows++;
    FUSE_TRY(fuse_text_runs_append(runs->ids, (const char *)id, (size_t)runs->rank * sizeof *id, err));
    return runs->values ? fuse_text_runs_append(runs->values, value, fuse_dtype_bytes(runs->dtype), err) : FUSE_OK;
}

/* Elements [offset, ..) of the array, packed, in file order. */
static enum fuse_status write_elements(struct fuse_bytes *self, const void *from, size_t bytes, int64_t offset,
                                       struct fuse_error *err) {
    struct fuse_coo_runs *runs = (struct fuse_coo_runs *)self;
    size_t size = fuse_dtype_bytes(runs->dtype);
    int64_t first = offset / (int64_t)size, count = (int64_t)(bytes / size);
    FUSE_TRY(fuse_text_runs_begin(runs->ids, first, count, err));
    if (runs->values)
        FUSE_TRY(fuse_text_runs_begin(runs->values, first, count, err));
    for (int64_t i = 0; i < count; i++) {
        const char *element = (const char *)from + (size_t)i * size;
        bool is_set;
        double real = 0;
        if (!fuse_dtype_convert(&is_set, FUSE_BOOL, element, runs->dtype, 1))
            return fuse_fail(err, FUSE_EBUG, "%s: a type that no tensor has", runs->array.name);
        if (runs->absent != 0)
            is_set = fuse_dtype_convert(&real, FUSE_F64, element, runs->dtype, 1) && real != runs->absent;
        if (is_set)
            FUSE_TRY(append_tuple(runs, first + i, element, err));
    }
    return FUSE_OK;
}

enum fuse_status fuse_coo_runs_open(struct fuse_coo_runs *runs, const struct fuse_sink_member *member, const char *path,
                                    struct fuse_error *err) {
    *runs = (struct fuse_coo_runs){.bytes.write = write_elements,
                                   .dtype = member->dtype,
                                   .rank = member->rank,
                                   .elems = 1,
                                   .absent = member->absent};
    if (member->rank == 0) {
        fuse_fail(err, FUSE_EOUTPUT, "cannot write %s: what has no index has no ids to write", path);
        fuse_hint(err, "leave ':coo' out");
        return FUSE_EOUTPUT;
    }
    for (int a = member->rank - 1; a >= 0; a--) {
        runs->inner[a] = runs->elems > 0 ? runs->elems : 1;
        runs->elems = fuse_sat_mul(runs->elems, member->extent[a]);
    }
    if (member->is_tuples)
        runs->elems = 0;
    else
        FUSE_TRY(
            fuse_array_open(&runs->array, member->dtype, member->rank, member->extent, 0, &runs->bytes, path, err));
    FUSE_TRY(fuse_text_runs_open(&runs->ids, path, err));
    return runs->dtype == FUSE_BOOL ? FUSE_OK : fuse_text_runs_open(&runs->values, path, err);
}

enum fuse_status fuse_coo_runs_add(struct fuse_coo_runs *runs, int64_t first, int64_t total,
                                   const struct fuse_tuple_rows *rows, struct fuse_error *err) {
    runs->elems = total;
    if (rows->n == 0)
        return FUSE_OK;
    FUSE_TRY(fuse_text_runs_begin(runs->ids, first, rows->n, err));
    if (runs->values)
        FUSE_TRY(fuse_text_runs_begin(runs->values, first, rows->n, err));
    runs->rows += rows->n;
    for (int64_t i = 0; i < rows->n; i++) {
        int64_t id[FUSE_MAX_AXES];
        for (int a = 0; a < runs->rank; a++)
            id[a] = rows->id[a][i];
        FUSE_TRY(fuse_text_runs_append(runs->ids, (const char *)id, (size_t)runs->rank * sizeof *id, err));
    }
    size_t bytes = (size_t)rows->n * fuse_dtype_bytes(runs->dtype);
    return runs->values ? fuse_text_runs_append(runs->values, rows->value, bytes, err) : FUSE_OK;
}

void fuse_coo_runs_close(struct fuse_coo_runs *runs) {
    fuse_array_close(&runs->array);
    fuse_text_runs_close(runs->ids);
    fuse_text_runs_close(runs->values);
    *runs = (struct fuse_coo_runs){0};
}
