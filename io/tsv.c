/* .tsv and .csv: relations. Sources hand out rows; see tsv_scan.h for what is known before. */
#include "io/tsv.h"

#include "io/kept_rows.h"
#include "io/text_file.h"
#include "io/tsv_rows.h"
#include "io/tsv_scan.h"

#include <stdlib.h>
#include <string.h>

static enum fuse_status fail_changed(const char *path, struct fuse_error *err) {
    enum fuse_status st = fuse_fail(err, FUSE_EINPUT, "%s changed after it was probed", path);
    fuse_hint(err, "a source must stay as it is while the program runs");
    return st;
}

static enum fuse_status scan_rows(struct fuse_probe *probe, struct fuse_arena *arena, struct fuse_comm *comm,
                                  const char *path, const char *part, struct fuse_error *err) {
    (void)part;
    struct fuse_text_file file;
    FUSE_TRY(fuse_text_file_scan(probe, arena, comm, path, err));
    enum fuse_status st = fuse_agree(comm, fuse_text_file_open(&file, path, probe, err), err);
    if (st == FUSE_OK)
        st = fuse_tsv_scan(&probe->tally, arena, comm, file.bytes, file.size, fuse_tsv_separator(path), path, err);
    fuse_text_file_close(&file);
    return st;
}

/* ---- reading ---- */

struct row_source {
    char *path;
    bool has_value;
    int columns;
    const struct fuse_kept_rows *kept; /* rows whose symbols have become ids; NULL: the file is read */
    struct fuse_kept_cursor cursor;
    struct fuse_text_file file;
    struct fuse_tsv_reader reader;
};

static void close_rows(struct fuse_row_source *handle) {
    struct row_source *source = (struct row_source *)handle;
    if (!source)
        return;
    fuse_text_file_close(&source->file);
    fuse_tsv_close(&source->reader);
    free(source->path);
    free(source);
}

static enum fuse_status open_rows(struct fuse_row_source **out, const char *path, const char *part,
                                  const struct fuse_probe *probe, bool has_value, int share, int shares,
                                  struct fuse_error *err) {
    (void)part;
    const struct fuse_tally *tally = probe->tally;
    struct row_source *source = calloc(1, sizeof *source);
    if (!source)
        return fuse_fail(err, FUSE_EMEMORY, "no memory to open %s", path);
    *source =
        (struct row_source){.file.fd = -1, .has_value = has_value, .columns = tally->columns, .kept = probe->index};
    source->path = strdup(path);
    int64_t bytes = fuse_text_file_bytes(probe);
    int64_t begin = fuse_split_begin(bytes, shares, share), end = fuse_split_begin(bytes, shares, share + 1);
    enum fuse_status st = source->path ? FUSE_OK : fuse_fail(err, FUSE_EMEMORY, "no memory to open %s", path);
    FUSE_TRY_GOTO(st, st, close_it);
    if (source->kept) {
        *out = (struct fuse_row_source *)source;
        return FUSE_OK;
    }
    FUSE_TRY_GOTO(st, fuse_text_file_open(&source->file, source->path, probe, err), close_it);
    FUSE_TRY_GOTO(st,
                  fuse_tsv_open(&source->reader, source->file.bytes, bytes, begin, end, fuse_tsv_separator(path),
                                tally->columns, path, err),
                  close_it);
    *out = (struct fuse_row_source *)source;
    return FUSE_OK;

close_it:
    close_rows((struct fuse_row_source *)source);
    return st;
}

/* false when the scan would not have passed it. */
static bool take_row(struct fuse_rows *rows, const struct fuse_tsv_line *line) {
    for (int c = 0; c < rows->columns; c++) {
        if (line->field[c] != FUSE_COLUMN_IDS)
            return false;
        rows->id[c][rows->n] = line->id[c];
    }
    if (rows->value && line->not [rows->columns].reason)
        return false;
    if (rows->value)
        rows->value[rows->n] = line->value;
    rows->n++;
    return true;
}

/* Rows of ids only, as many as follow each other: *n more. */
static enum fuse_status take_ids(struct row_source *source, struct fuse_rows *rows, int64_t *n,
                                 struct fuse_error *err) {
    int64_t *to[FUSE_MAX_AXES + 1];
    for (int c = 0; c < rows->columns; c++)
        to[c] = rows->id[c] + rows->n;
    double *value = rows->value ? rows->value + rows->n : NULL;
    to[rows->columns] = (int64_t *)value; /* for a moment */
    FUSE_TRY(fuse_tsv_next_ids(&source->reader, to, rows->most - rows->n, n, err));
    for (int64_t i = 0, integer; value && i < *n; i++) {
        memcpy(&integer, &value[i], sizeof integer);
        value[i] = (double)integer;
    }
    rows->n += *n;
    return FUSE_OK;
}

static enum fuse_status next_rows(struct fuse_row_source *handle, struct fuse_rows *rows, struct fuse_error *err) {
    struct row_source *source = (struct row_source *)handle;
    struct fuse_tsv_line line;
    rows->n = 0;
    /* A file without rows has no columns: whatever is asked for. */
    if (source->columns > 0 &&
        (rows->columns != source->columns - source->has_value || source->has_value != !!rows->value))
        return fuse_fail(err, FUSE_EBUG, "%s: %d columns of ids wanted of %d", source->path, rows->columns,
                         source->columns);
    if (source->kept) {
        fuse_kept_rows_copy(source->kept, rows, &source->cursor);
        return FUSE_OK;
    }
    while (source->columns > 0 && rows->n < rows->most) {
        int64_t n;
        FUSE_TRY(take_ids(source, rows, &n, err));
        if (n > 0)
            continue;
        FUSE_TRY(fuse_tsv_next(&source->reader, &line, err));
        if (line.kind == FUSE_TSV_END)
            break;
        if (line.kind == FUSE_TSV_BAD || (line.kind == FUSE_TSV_ROW && !take_row(rows, &line)))
            return fail_changed(source->path, err);
    }
    return FUSE_OK;
}

/* ---- rows of fields ---- */

struct field_source {
    char *path;
    struct fuse_text_file file;
    struct fuse_tsv_reader reader;
};

static void close_fields(struct fuse_field_source *handle) {
    struct field_source *source = (struct field_source *)handle;
    if (!source)
        return;
    fuse_text_file_close(&source->file);
    fuse_tsv_close(&source->reader);
    free(source->path);
    free(source);
}

static enum fuse_status open_fields(struct fuse_field_source **out, const char *path, char separator,
                                    const struct fuse_probe *probe, const struct fuse_fields *fields, int share,
                                    int shares, struct fuse_error *err) {
    struct field_source *source = calloc(1, sizeof *source);
    char *copy = strdup(path);
    if (!source || !copy) {
        free(source);
        free(copy);
        return fuse_fail(err, FUSE_EMEMORY, "no memory to open %s", path);
    }
    *source = (struct field_source){.file.fd = -1, .path = copy};
    int64_t bytes = fuse_text_file_bytes(probe);
    int64_t begin = fuse_split_begin(bytes, shares, share), end = fuse_split_begin(bytes, shares, share + 1);
    enum fuse_status st = fuse_text_file_open(&source->file, source->path, probe, err);
    if (st == FUSE_OK)
        st = fuse_tsv_open(&source->reader, source->file.bytes, bytes, begin, end, separator,
                           fields->columns + fields->has_value, path, err);
    if (st == FUSE_OK)
        *out = (struct fuse_field_source *)source;
    else
        close_fields((struct fuse_field_source *)source);
    return st;
}

static enum fuse_status open_row_fields(struct fuse_field_source **out, const char *path, const char *part,
                                        const struct fuse_probe *probe, const struct fuse_fields *fields, int share,
                                        int shares, struct fuse_error *err) {
    (void)part;
    return open_fields(out, path, fuse_tsv_separator(path), probe, fields, share, shares, err);
}

static enum fuse_status open_names(struct fuse_field_source **out, const char *path, const char *part,
                                   const struct fuse_probe *probe, const struct fuse_fields *fields, int share,
                                   int shares, struct fuse_error *err) {
    (void)part;
    return open_fields(out, path, '\n', probe, fields, share, shares, err);
}

static enum fuse_status next_fields(struct fuse_field_source *handle, struct fuse_fields *fields,
                                    struct fuse_error *err) {
    struct field_source *source = (struct field_source *)handle;
    fields->hint = fuse_tsv_hint(source->reader.separator);
    return fuse_tsv_next_fields(&source->reader, fields, err);
}

static const char *const suffixes[] = {".tsv", ".csv", ".tsv.gz", ".csv.gz", NULL};

const struct fuse_format fuse_format_tsv = {
    .name = "tsv",
    .suffixes = suffixes,
    .probe = fuse_text_file_probe_rows,
    .scan = scan_rows,
    .rows_open = open_rows,
    .rows_next = next_rows,
    .rows_close = close_rows,
    .fields_open = open_row_fields,
    .fields_next = next_fields,
    .fields_close = close_fields,
    .sink_open = fuse_tsv_sink_open,
    .sink_write = fuse_text_sink_write,
    .sink_tuples = fuse_text_sink_tuples,
    .sink_finish = fuse_text_sink_finish,
    .sink_release = fuse_text_sink_release,
};

const struct fuse_format fuse_format_names = {
    .name = "names",
    .probe = fuse_text_file_probe_rows,
    .fields_open = open_names,
    .fields_next = next_fields,
    .fields_close = close_fields,
};
