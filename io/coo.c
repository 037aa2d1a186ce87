/* Sources of tuples; see coo.h. */
#include "io/coo.h"

#include "io/array.h"
#include "io/hdf5_coo.h"
#include "io/npy_header.h"
#include "io/rawfile.h"
#include "io/tally_join.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PIECE = 4096, SUFFIX_BYTES = 4 }; /* tuples read at a time; ":coo" */

const char *fuse_coo_file(struct fuse_arena *arena, const char *path) {
    return fuse_arena_strndup(arena, path, strlen(path) - SUFFIX_BYTES);
}

/* The arrays of an open file. */
struct tuples {
    int fd;
    int64_t file_bytes, rows;
    int arity;
    bool has_value;
    struct fuse_arena *arena;
    struct fuse_probe id_facts, value_facts;
    struct fuse_file_bytes id_bytes, value_bytes;
    struct fuse_array ids, values;
    struct fuse_source *id_source, *value_source; /* of an HDF5 file, in the place of arrays */
    char *raw;                                    /* a piece as it is stored */
    int64_t *id;                                  /* [PIECE][arity] */
};

static void close_tuples(struct tuples *t) {
    if (!t)
        return;
    if (t->fd >= 0)
        close(t->fd);
    fuse_format_hdf5.source_close(t->id_source);
    fuse_format_hdf5.source_close(t->value_source);
    fuse_array_close(&t->ids);
    fuse_array_close(&t->values);
    fuse_arena_close(t->arena);
    free(t->raw);
    free(t->id);
    free(t);
}

static enum fuse_status check_shapes(struct tuples *t, const char *path, struct fuse_error *err) {
    const struct fuse_probe *ids = &t->id_facts, *values = &t->value_facts;
    enum fuse_dtype_class kind = fuse_dtype_class(ids->file_dtype);
    enum fuse_status st = FUSE_OK;
    if (ids->rank != 2 || (kind != FUSE_CLASS_INT && kind != FUSE_CLASS_UINT)) {
        st = fuse_fail(err, FUSE_EINPUT, "%s does not begin with a matrix of integers, a row a tuple of ids", path);
        fuse_hint(err, "leave ':coo' out to read a dense array");
    } else if (ids->extent[1] < 1 || ids->extent[1] + t->has_value > FUSE_MAX_AXES) {
        st = fuse_fail(err, FUSE_EINPUT, "%s has tuples of %" PRId64 " ids; a relation has 1 to %d columns", path,
                       ids->extent[1], FUSE_MAX_AXES);
        fuse_hint(err, "an array of n tuples of k ids has the shape (n, k)");
    } else if (t->has_value && (values->rank != 1 || values->extent[0] != ids->extent[0])) {
        st = fuse_fail(err, FUSE_EINPUT, "%s: its second array holds no value for each of the %" PRId64 " tuples", path,
                       ids->extent[0]);
        fuse_hint(err, "it has one axis, as long as the first array's first one");
    }
    return st;
}

static enum fuse_status read_headers(struct tuples *t, const char *path, struct fuse_error *err) {
    int64_t end;
    const char *file = fuse_coo_file(t->arena, path);
    const char *name = fuse_arena_strndup(t->arena, path, strlen(path));
    FUSE_TRY(fuse_rawfile_open(&t->fd, &t->file_bytes, file, err));
    t->id_bytes = fuse_file_bytes(t->fd, 0, name);
    FUSE_TRY(fuse_npy_header_read_first(&t->id_facts, &end, &t->id_bytes.bytes, t->file_bytes, path, err));
    t->has_value = end < t->file_bytes;
    t->value_bytes = fuse_file_bytes(t->fd, end, name);
    if (t->has_value)
        FUSE_TRY(fuse_npy_header_read(&t->value_facts, &t->value_bytes.bytes, t->file_bytes - end, path, err));
    FUSE_TRY(check_shapes(t, path, err));
    t->rows = t->id_facts.extent[0];
    t->arity = (int)t->id_facts.extent[1];
    FUSE_TRY(fuse_array_open_probed(&t->ids, &t->id_facts, &t->id_bytes.bytes, name, err));
    return t->has_value ? fuse_array_open_probed(&t->values, &t->value_facts, &t->value_bytes.bytes, name, err)
                        : FUSE_OK;
}

/* Whether the file has the dataset, which may be broken. */
static enum fuse_status has_set(bool *out, struct tuples *t, const char *path, const char *set,
                                struct fuse_error *err) {
    struct fuse_contents contents = {0};
    FUSE_TRY(fuse_format_hdf5.list_parts(&contents, t->arena, path, err));
    *out = false;
    for (int k = 0; k < contents.parts.n && !*out; k++) {
        const char *name = contents.parts.at[k].name;
        *out = strcmp(name + (name[0] == '/'), set + 1) == 0;
    }
    return FUSE_OK;
}

/* `known`: the probe, which says whether there are values; NULL: it is to be found out. */
static enum fuse_status open_sets(struct tuples *t, const char *path, const char *part, const struct fuse_probe *known,
                                  struct fuse_error *err) {
    const struct fuse_format *hdf5 = &fuse_format_hdf5;
    const char *set = fuse_hdf5_coo_set(t->arena, part, err);
    if (!set) {
        err->status = FUSE_EINPUT;
        return FUSE_EINPUT;
    }
    const char *values = fuse_hdf5_coo_values(t->arena, set);
    FUSE_TRY(hdf5->probe(&t->id_facts, path, set, err));
    t->file_bytes = t->id_facts.file_bytes;
    if (known)
        t->has_value = known->extent[0] > 0;
    else
        FUSE_TRY(has_set(&t->has_value, t, path, values, err));
    if (t->has_value)
        FUSE_TRY(hdf5->probe(&t->value_facts, path, values, err));
    FUSE_TRY(check_shapes(t, fuse_arena_printf(t->arena, "%s:%s", path, set), err));
    t->rows = t->id_facts.extent[0];
    t->arity = (int)t->id_facts.extent[1];
    FUSE_TRY(hdf5->source_open(&t->id_source, path, set, &t->id_facts, err));
    return t->has_value ? hdf5->source_open(&t->value_source, path, values, &t->value_facts, err) : FUSE_OK;
}

static enum fuse_status open_tuples(struct tuples **out, const char *path, const char *part,
                                    const struct fuse_probe *known, struct fuse_error *err) {
    struct tuples *t = calloc(1, sizeof *t);
    enum fuse_status st = FUSE_OK;
    if (t) {
        t->fd = -1;
        t->arena = fuse_arena_open(NULL);
        t->raw = malloc(PIECE * FUSE_MAX_AXES * sizeof(int64_t));
        t->id = malloc(PIECE * FUSE_MAX_AXES * sizeof(int64_t));
    }
    if (!t || !t->arena || !t->raw || !t->id)
        st = fuse_fail(err, FUSE_EMEMORY, "no memory to open %s", path);
    if (st == FUSE_OK)
        st = part ? open_sets(t, path, part, known, err) : read_headers(t, path, err);
    if (st == FUSE_OK)
        *out = t;
    else
        close_tuples(t);
    return st;
}

static enum fuse_status read_piece(struct tuples *t, bool is_value, void *to, enum fuse_dtype dtype,
                                   const struct fuse_box *box, struct fuse_error *err) {
    enum fuse_dtype resident = fuse_dtype_resident((is_value ? &t->value_facts : &t->id_facts)->file_dtype);
    struct fuse_view view = fuse_box_view(t->raw, resident, box, false, box);
    struct fuse_source *source = is_value ? t->value_source : t->id_source;
    if (source)
        FUSE_TRY(fuse_format_hdf5.source_read(source, box, &view, err));
    else
        FUSE_TRY(fuse_array_read(is_value ? &t->values : &t->ids, box, &view, err));
    fuse_dtype_convert(to, dtype, t->raw, resident, (size_t)fuse_box_elems(box));
    return FUSE_OK;
}

/* Tuples [first, first + n), n <= PIECE, to t->id; INPUT for what is no id. */
static enum fuse_status read_ids(struct tuples *t, int64_t first, int64_t n, const char *path, struct fuse_error *err) {
    struct fuse_box box = {.rank = 2, .lo = {first, 0}, .hi = {first + n, t->arity}};
    FUSE_TRY(read_piece(t, false, t->id, FUSE_I64, &box, err));
    for (int64_t k = 0; k < n * t->arity; k++)
        if (t->id[k] < 0 || t->id[k] >= FUSE_MAX_EXTENT) {
            fuse_fail(err, FUSE_EINPUT, "%s: column %" PRId64 " of tuple %" PRId64 " is %" PRId64 ", which is no id",
                      path, k % t->arity, first + k / t->arity, t->id[k]);
            fuse_hint(err, "ids count from 0");
            return FUSE_EINPUT;
        }
    return FUSE_OK;
}

static enum fuse_status probe_coo(struct fuse_probe *out, const char *path, const char *part, struct fuse_error *err) {
    struct tuples *t;
    FUSE_TRY(open_tuples(&t, path, part, NULL, err));
    *out = (struct fuse_probe){.file_dtype = FUSE_BOOL, .file_bytes = t->file_bytes, .extent = {t->has_value}};
    close_tuples(t);
    return FUSE_OK;
}

static enum fuse_status fail_changed(const char *path, struct fuse_error *err) {
    fuse_fail(err, FUSE_EINPUT, "%s changed after it was probed", path);
    fuse_hint(err, "a source must stay as it is while the program runs");
    return FUSE_EINPUT;
}

static enum fuse_status open_probed(struct tuples **out, const char *path, const char *part,
                                    const struct fuse_probe *probe, struct fuse_error *err) {
    struct tuples *t;
    FUSE_TRY(open_tuples(&t, path, part, probe, err));
    if (t->file_bytes != probe->file_bytes) {
        close_tuples(t);
        return fail_changed(path, err);
    }
    *out = t;
    return FUSE_OK;
}

static enum fuse_status count_share(struct fuse_tally_part *part, struct tuples *t, int64_t begin, int64_t end,
                                    const char *path, struct fuse_error *err) {
    for (int64_t at = begin; at < end; at += PIECE) {
        int64_t n = end - at < PIECE ? end - at : PIECE;
        FUSE_TRY(read_ids(t, at, n, path, err));
        for (int64_t r = 0; r < n; r++) {
            int64_t id[FUSE_MAX_AXES] = {0}; /* 0 for the value */
            memcpy(id, &t->id[r * t->arity], (size_t)t->arity * sizeof *id);
            fuse_tally_add(part, id, at - begin + r);
        }
    }
    return FUSE_OK;
}

/* A value is never an id, whatever it is: "last" says so; and an id never a value. */
static const struct fuse_tally *finish_tally(struct fuse_tally_part *part, struct fuse_arena *arena,
                                             const struct tuples *t, const char *path) {
    bool is_real = t->has_value && fuse_dtype_class(t->value_facts.file_dtype) == FUSE_CLASS_REAL;
    enum fuse_column_kind kind[FUSE_MAX_AXES + 1];
    for (int c = 0; c < t->arity; c++)
        kind[c] = FUSE_COLUMN_IDS;
    kind[t->arity] = is_real ? FUSE_COLUMN_REALS : FUSE_COLUMN_INTEGERS;
    if (t->rows == 0)
        part->columns = 0;
    struct fuse_tally *tally = fuse_tally_finish(part, arena, kind, t->has_value && t->rows > 0 ? 0 : -1);
    if (!t->has_value && t->rows > 0)
        tally->refused[t->arity - 1] =
            fuse_arena_printf(arena, "%s has no values: the numbers of a tuple are ids, %d of them", path, t->arity);
    return tally;
}

static enum fuse_status scan_coo(struct fuse_probe *probe, struct fuse_arena *arena, struct fuse_comm *comm,
                                 const char *path, const char *part_name, struct fuse_error *err) {
    struct tuples *t = NULL;
    struct fuse_tally_part part = {0};
    int64_t begin = 0;
    enum fuse_status st = open_probed(&t, path, part_name, probe, err);
    if (st == FUSE_OK) {
        begin = fuse_split_begin(t->rows, comm->size, comm->rank);
        fuse_tally_open(&part, arena, t->arity + t->has_value);
        st = count_share(&part, t, begin, fuse_split_begin(t->rows, comm->size, comm->rank + 1), path, err);
    }
    st = fuse_agree(comm, st, err);
    if (st == FUSE_OK)
        st = fuse_tally_join(&part, begin, comm, err);
    if (st == FUSE_OK)
        probe->tally = finish_tally(&part, arena, t, path);
    close_tuples(t);
    return st;
}

/* ---- reading ---- */

struct row_source {
    struct tuples *tuples;
    char *path;
    bool has_value;
    int64_t at, end;
};

static void close_rows(struct fuse_row_source *handle) {
    struct row_source *source = (struct row_source *)handle;
    if (!source)
        return;
    close_tuples(source->tuples);
    free(source->path);
    free(source);
}

static enum fuse_status open_rows(struct fuse_row_source **out, const char *path, const char *part,
                                  const struct fuse_probe *probe, bool has_value, int share, int shares,
                                  struct fuse_error *err) {
    struct row_source *source = calloc(1, sizeof *source);
    if (source)
        source->path = strdup(path);
    enum fuse_status st = source && source->path ? open_probed(&source->tuples, path, part, probe, err)
                                                 : fuse_fail(err, FUSE_EMEMORY, "no memory to open %s", path);
    if (st != FUSE_OK) {
        close_rows((struct fuse_row_source *)source);
        return st;
    }
    source->has_value = has_value;
    source->at = fuse_split_begin(source->tuples->rows, shares, share);
    source->end = fuse_split_begin(source->tuples->rows, shares, share + 1);
    *out = (struct fuse_row_source *)source;
    return FUSE_OK;
}

static enum fuse_status next_piece(struct row_source *source, struct fuse_rows *rows, int64_t n,
                                   struct fuse_error *err) {
    struct tuples *t = source->tuples;
    FUSE_TRY(read_ids(t, source->at, n, source->path, err));
    for (int c = 0; c < t->arity; c++)
        for (int64_t r = 0; r < n; r++)
            rows->id[c][rows->n + r] = t->id[r * t->arity + c];
    if (rows->value) {
        struct fuse_box box = {.rank = 1, .lo = {source->at}, .hi = {source->at + n}};
        FUSE_TRY(read_piece(t, true, rows->value + rows->n, FUSE_F64, &box, err));
    }
    rows->n += n;
    source->at += n;
    return FUSE_OK;
}

static enum fuse_status next_rows(struct fuse_row_source *handle, struct fuse_rows *rows, struct fuse_error *err) {
    struct row_source *source = (struct row_source *)handle;
    const struct tuples *t = source->tuples;
    rows->n = 0;
    if (t->rows > 0 && (rows->columns != t->arity || source->has_value != t->has_value || !rows->value == t->has_value))
        return fuse_fail(err, FUSE_EBUG, "%s: %d columns of ids wanted of %d", source->path, rows->columns, t->arity);
    while (source->at < source->end && rows->n < rows->most) {
        int64_t n = source->end - source->at, room = rows->most - rows->n;
        n = n < room ? n : room;
        FUSE_TRY(next_piece(source, rows, n < PIECE ? n : PIECE, err));
    }
    return FUSE_OK;
}

static const char *const suffixes[] = {".npy:coo", NULL};

const struct fuse_format fuse_format_coo = {
    .name = "coo",
    .suffixes = suffixes,
    .probe = probe_coo,
    .scan = scan_coo,
    .rows_open = open_rows,
    .rows_next = next_rows,
    .rows_close = close_rows,
    .sink_holds = fuse_npy_holds,
    .sink_open = fuse_coo_sink_open,
    .sink_write = fuse_coo_sink_write,
    .sink_tuples = fuse_coo_sink_tuples,
    .sink_finish = fuse_coo_sink_finish,
    .sink_release = fuse_coo_sink_release,
};

static const char *const no_suffixes[] = {NULL};

const struct fuse_format fuse_format_hdf5_coo = {
    .name = "coo",
    .suffixes = no_suffixes,
    .has_parts = true,
    .sink_part = fuse_hdf5_coo_part,
    .probe = probe_coo,
    .scan = scan_coo,
    .rows_open = open_rows,
    .rows_next = next_rows,
    .rows_close = close_rows,
    .sink_open = fuse_hdf5_coo_open,
    .sink_write = fuse_hdf5_coo_write,
    .sink_tuples = fuse_hdf5_coo_tuples,
    .sink_finish = fuse_hdf5_coo_finish,
    .sink_release = fuse_hdf5_coo_release,
};
