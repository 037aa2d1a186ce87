#include "io/tsv_scan.h"

#include "io/tally_join.h"
#include "io/tsv_rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { BATCH = 1024 };

struct first_row {
    bool is_symbols;
    int64_t column; /* why its last field is no value */
    char reason[160];
};

/* The lines of one rank's range of bytes. */
struct part {
    struct fuse_tally_part tally;
    enum fuse_column_kind kind[FUSE_MAX_AXES];
    int64_t last_not_id; /* -1: none */
    /* The first field of each column that is no id, of the last one: no value; row -1: none */
    struct refusal {
        int64_t row, column;
        char reason[160];
    } refusal[FUSE_MAX_AXES];
    bool is_blank;              /* blank lines stand behind the rows */
    struct fuse_tsv_line line;  /* the last one: BAD when something is wrong with it */
    int64_t *id[FUSE_MAX_AXES]; /* [BATCH] rows at hand */
};

static void take_kinds(struct part *part, const struct fuse_tsv_line *line) {
    int64_t row = part->tally.rows;
    int columns = part->tally.columns;
    for (int c = 0; c < columns; c++) {
        part->kind[c] = line->field[c] > part->kind[c] ? line->field[c] : part->kind[c];
        if (line->not [c].reason && part->refusal[c].row < 0) {
            part->refusal[c].row = row;
            part->refusal[c].column = line->not [c].column;
            snprintf(part->refusal[c].reason, sizeof part->refusal[c].reason, "%s", line->not [c].reason);
        }
    }
}

static void take_row(struct part *part, const struct fuse_tsv_line *line) {
    int64_t row = part->tally.rows;
    if (line->last != FUSE_COLUMN_IDS && part->last_not_id < 0)
        part->last_not_id = row;
    take_kinds(part, line);
    fuse_tally_add(&part->tally, line->id, row);
}

static enum fuse_status scan_lines(struct part *part, struct fuse_tsv_reader *reader, struct fuse_error *err) {
    struct fuse_tsv_line *line = &part->line;
    for (;;) {
        int64_t n = 0;
        if (!part->is_blank)
            FUSE_TRY(fuse_tsv_next_ids(reader, part->id, BATCH, &n, err));
        fuse_tally_add_rows(&part->tally, (const int64_t *const *)part->id, n, part->tally.rows);
        if (n > 0)
            continue;
        FUSE_TRY(fuse_tsv_next(reader, line, err));
        bool is_row = line->kind == FUSE_TSV_ROW;
        if (line->kind == FUSE_TSV_END || line->kind == FUSE_TSV_BAD || (is_row && part->is_blank))
            return FUSE_OK;
        part->is_blank |= !is_row;
        if (is_row)
            take_row(part, line);
    }
}

static enum fuse_status scan_part(struct part *part, struct fuse_arena *arena, struct fuse_comm *comm, int columns,
                                  struct fuse_bytes *file, int64_t file_bytes, char separator, const char *path,
                                  struct fuse_error *err) {
    struct fuse_tsv_reader reader;
    int64_t begin = fuse_split_begin(file_bytes, comm->size, comm->rank);
    int64_t end = fuse_split_begin(file_bytes, comm->size, comm->rank + 1);
    *part = (struct part){.last_not_id = -1, .line.kind = FUSE_TSV_END};
    for (int c = 0; c < columns; c++)
        part->refusal[c].row = -1;
    fuse_tally_open(&part->tally, arena, columns);
    if (begin == end)
        return FUSE_OK;
    FUSE_TRY(fuse_tsv_open(&reader, file, file_bytes, begin, end, separator, columns, path, err));
    int64_t *ids = malloc((size_t)columns * BATCH * sizeof *ids);
    for (int c = 0; ids && c < columns; c++)
        part->id[c] = ids + c * BATCH;
    enum fuse_status st =
        ids ? scan_lines(part, &reader, err) : fuse_fail(err, FUSE_EMEMORY, "no memory to read %s", path);
    free(ids);
    fuse_tsv_close(&reader);
    return st;
}

const char *fuse_tsv_hint(char separator) {
    return separator == ','
               ? "a line is a row of ids, 0 or more, or of symbols, separated by commas; the last column may "
                 "hold values"
           : separator == '\t'
               ? "a line is a row of ids, 0 or more, or of symbols, separated by tabs; the last column may "
                 "hold values"
               : "a line is a symbol";
}

static enum fuse_status fail_line(int64_t line, int64_t column, const char *reason, const char *hint, const char *path,
                                  struct fuse_error *err) {
    enum fuse_status st = fuse_fail(err, FUSE_EINPUT, "%s:%" PRId64 ":%" PRId64 ": %s", path, line, column, reason);
    fuse_hint(err, "%s", hint);
    return st;
}

enum fuse_status fuse_tsv_judge(int64_t *before, const struct fuse_tsv_verdict *found, struct fuse_comm *comm,
                                const char *hint, const char *path, struct fuse_error *err) {
    /* Blank lines in front of anything else are a fault of the rank that has them. */
    int64_t rows = found->rows, all;
    bool is_parted = found->is_blank && found->more;
    FUSE_TRY(fuse_sum_before(before, &all, comm, rows + (found->reason || is_parted), err));
    enum fuse_status st = FUSE_OK;
    if (is_parted || (found->is_blank && *before + rows < all))
        st = fail_line(*before + rows + 1, 1, "a blank line between rows", hint, path, err);
    else if (found->reason)
        st = fail_line(*before + rows + 1, found->column, found->reason, hint, path, err);
    return fuse_agree(comm, st, err);
}

/* Collective: what the first rank that refuses a column says of it. */
static enum fuse_status join_refusal(const char **out, struct refusal *refusal, int64_t before,
                                     struct fuse_arena *arena, struct fuse_comm *comm, const char *path,
                                     struct fuse_error *err) {
    int64_t first = refusal->row >= 0 ? comm->rank : INT64_MAX;
    FUSE_TRY(comm->ops->reduce_int64(comm, FUSE_REDUCE_MIN, &first, 1, err));
    if (first == INT64_MAX)
        return FUSE_OK;
    refusal->row += before;
    FUSE_TRY(comm->ops->broadcast(comm, refusal, sizeof *refusal, (int)first, err));
    *out = fuse_arena_printf(arena, "%s:%" PRId64 ":%" PRId64 ": %s", path, refusal->row + 1, refusal->column,
                             refusal->reason);
    return FUSE_OK;
}

/* Collective. */
static enum fuse_status join_kinds(struct part *part, int64_t before, struct fuse_comm *comm, struct fuse_error *err) {
    int64_t kind[FUSE_MAX_AXES] = {0}, row = part->last_not_id >= 0 ? before + part->last_not_id : INT64_MAX;
    int columns = part->tally.columns;
    for (int c = 0; c < columns; c++)
        kind[c] = part->kind[c];
    FUSE_TRY(comm->ops->reduce_int64(comm, FUSE_REDUCE_MAX, kind, columns, err));
    FUSE_TRY(comm->ops->reduce_int64(comm, FUSE_REDUCE_MIN, &row, 1, err));
    for (int c = 0; c < columns; c++)
        part->kind[c] = (enum fuse_column_kind)kind[c];
    part->last_not_id = row < INT64_MAX ? row : -1;
    return FUSE_OK;
}

/* Collective: rank 0 looks at the first line. */
static enum fuse_status count_columns(int64_t *columns, struct fuse_comm *comm, struct fuse_bytes *file,
                                      int64_t file_bytes, char separator, const char *path, struct fuse_error *err) {
    enum fuse_status st = FUSE_OK;
    *columns = 0;
    if (comm->rank == 0)
        st = fuse_tsv_count_fields(columns, file, file_bytes, separator, path, err);
    if (st == FUSE_OK && *columns > FUSE_MAX_AXES) {
        st = fuse_fail(err, FUSE_EINPUT, "%s:1: a row of %" PRId64 " fields; a relation has at most %d columns", path,
                       *columns, FUSE_MAX_AXES);
        fuse_hint(err, "split it into several files that share a column");
    }
    FUSE_TRY(fuse_agree(comm, st, err));
    return comm->ops->broadcast(comm, columns, sizeof *columns, 0, err);
}

/* Local. Whether the first row is all symbols: no row behind it can change what the columns are. */
static enum fuse_status look_at_first(struct first_row *out, struct fuse_bytes *file, int64_t file_bytes,
                                      char separator, int columns, const char *path, struct fuse_error *err) {
    struct fuse_tsv_reader reader;
    struct fuse_tsv_line line;
    FUSE_TRY(fuse_tsv_open(&reader, file, file_bytes, 0, 1, separator, columns, path, err));
    enum fuse_status st = fuse_tsv_next(&reader, &line, err);
    fuse_tsv_close(&reader);
    FUSE_TRY(st);
    out->is_symbols = line.kind == FUSE_TSV_ROW && line.not [columns - 1].reason;
    for (int c = 0; c < columns && out->is_symbols; c++)
        out->is_symbols = line.field[c] == FUSE_COLUMN_SYMBOLS;
    if (!out->is_symbols)
        return FUSE_OK;
    out->column = line.not [columns - 1].column;
    snprintf(out->reason, sizeof out->reason, "%s", line.not [columns - 1].reason);
    return FUSE_OK;
}

/* Collective: the tally of a file that is read when its symbols become ids; NULL: it is to be scanned. */
static enum fuse_status tally_symbols(const struct fuse_tally **out, struct fuse_arena *arena, struct fuse_comm *comm,
                                      struct fuse_bytes *file, int64_t file_bytes, char separator, int columns,
                                      const char *path, struct fuse_error *err) {
    struct first_row first = {.is_symbols = false};
    enum fuse_status st = FUSE_OK;
    *out = NULL;
    if (comm->rank == 0 && columns > 0)
        st = look_at_first(&first, file, file_bytes, separator, columns, path, err);
    FUSE_TRY(fuse_agree(comm, st, err));
    FUSE_TRY(comm->ops->broadcast(comm, &first, sizeof first, 0, err));
    if (!first.is_symbols)
        return FUSE_OK;
    struct fuse_tally *tally = FUSE_NEW(arena, struct fuse_tally);
    *tally = (struct fuse_tally){
        .columns = columns, .rows = 1, .last = FUSE_COLUMN_SYMBOLS, .last_not_id = 0, .is_partial = true};
    for (int c = 0; c < columns; c++) {
        tally->kind[c] = FUSE_COLUMN_SYMBOLS;
        tally->largest[c] = tally->largest_row[c] = -1;
    }
    tally->refused[columns - 1] = fuse_arena_printf(arena, "%s:1:%" PRId64 ": %s", path, first.column, first.reason);
    *out = tally;
    return FUSE_OK;
}

enum fuse_status fuse_tsv_scan(const struct fuse_tally **out, struct fuse_arena *arena, struct fuse_comm *comm,
                               struct fuse_bytes *file, int64_t file_bytes, char separator, const char *path,
                               struct fuse_error *err) {
    struct part part;
    int64_t columns, before;
    FUSE_TRY(count_columns(&columns, comm, file, file_bytes, separator, path, err));
    FUSE_TRY(tally_symbols(out, arena, comm, file, file_bytes, separator, (int)columns, path, err));
    if (*out)
        return FUSE_OK;
    enum fuse_status st = scan_part(&part, arena, comm, (int)columns, file, file_bytes, separator, path, err);
    FUSE_TRY(fuse_agree(comm, st, err));
    struct fuse_tsv_verdict found = {.rows = part.tally.rows,
                                     .is_blank = part.is_blank,
                                     .more = part.line.kind != FUSE_TSV_END,
                                     .reason = part.line.kind == FUSE_TSV_BAD ? part.line.reason : NULL,
                                     .column = part.line.column};
    FUSE_TRY(fuse_tsv_judge(&before, &found, comm, fuse_tsv_hint(separator), path, err));
    FUSE_TRY(join_kinds(&part, before, comm, err));
    FUSE_TRY(fuse_tally_join(&part.tally, before, comm, err));
    if (part.tally.rows == 0) /* blank lines have no columns */
        part.tally.columns = 0;
    struct fuse_tally *tally = fuse_tally_finish(&part.tally, arena, part.kind, part.last_not_id);
    for (int c = 0; c < tally->columns; c++)
        FUSE_TRY(join_refusal(&tally->refused[c], &part.refusal[c], before, arena, comm, path, err));
    *out = tally;
    return FUSE_OK;
}
