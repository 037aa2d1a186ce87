#include "io/tsv_scan.h"

#include "io/tally_join.h"
#include "io/tsv_rows.h"

#include <inttypes.h>

/* The lines of one rank's range of bytes. */
struct part {
    struct fuse_tally_part tally;
    enum fuse_column_kind last;
    int64_t last_not_id;       /* -1: none */
    bool is_blank;             /* blank lines stand behind the rows */
    struct fuse_tsv_line line; /* the last one: BAD when something is wrong with it */
};

static void take_row(struct part *part, const struct fuse_tsv_line *line) {
    int64_t row = part->tally.rows;
    if (line->last != FUSE_COLUMN_IDS && part->last_not_id < 0)
        part->last_not_id = row;
    part->last = line->last > part->last ? line->last : part->last;
    fuse_tally_add(&part->tally, line->id, row);
}

static enum fuse_status scan_lines(struct part *part, struct fuse_tsv_reader *reader, struct fuse_error *err) {
    struct fuse_tsv_line *line = &part->line;
    for (;;) {
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
    fuse_tally_open(&part->tally, arena, columns);
    if (begin == end)
        return FUSE_OK;
    FUSE_TRY(fuse_tsv_open(&reader, file, file_bytes, begin, end, separator, columns, path, err));
    enum fuse_status st = scan_lines(part, &reader, err);
    fuse_tsv_close(&reader);
    return st;
}

static enum fuse_status fail_line(int64_t line, int64_t column, const char *reason, char separator, const char *path,
                                  struct fuse_error *err) {
    enum fuse_status st = fuse_fail(err, FUSE_EINPUT, "%s:%" PRId64 ":%" PRId64 ": %s", path, line, column, reason);
    fuse_hint(err, "a line is a row of ids, 0 or more, separated by %s; the last column may hold values",
              separator == ',' ? "commas" : "tabs");
    return st;
}

/* Collective: the first fault of the file, whose line number is known when all ranks before found none. */
static enum fuse_status judge_parts(int64_t *before, const struct part *part, struct fuse_comm *comm, char separator,
                                    const char *path, struct fuse_error *err) {
    /* Blank lines in front of anything else are a fault of the rank that has them. */
    int64_t rows = part->tally.rows, all;
    bool is_bad = part->line.kind == FUSE_TSV_BAD, is_parted = part->is_blank && part->line.kind != FUSE_TSV_END;
    FUSE_TRY(fuse_sum_before(before, &all, comm, rows + (is_bad || is_parted), err));
    enum fuse_status st = FUSE_OK;
    if (is_parted || (part->is_blank && *before + rows < all))
        st = fail_line(*before + rows + 1, 1, "a blank line between rows", separator, path, err);
    else if (is_bad)
        st = fail_line(*before + rows + 1, part->line.column, part->line.reason, separator, path, err);
    return fuse_agree(comm, st, err);
}

/* Collective. */
static enum fuse_status join_last(struct part *part, int64_t before, struct fuse_comm *comm, struct fuse_error *err) {
    int64_t last = part->last, row = part->last_not_id >= 0 ? before + part->last_not_id : INT64_MAX;
    FUSE_TRY(comm->ops->reduce_int64(comm, FUSE_REDUCE_MAX, &last, 1, err));
    FUSE_TRY(comm->ops->reduce_int64(comm, FUSE_REDUCE_MIN, &row, 1, err));
    part->last = (enum fuse_column_kind)last;
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

enum fuse_status fuse_tsv_scan(const struct fuse_tally **out, struct fuse_arena *arena, struct fuse_comm *comm,
                               struct fuse_bytes *file, int64_t file_bytes, char separator, const char *path,
                               struct fuse_error *err) {
    struct part part;
    int64_t columns, before;
    FUSE_TRY(count_columns(&columns, comm, file, file_bytes, separator, path, err));
    enum fuse_status st = scan_part(&part, arena, comm, (int)columns, file, file_bytes, separator, path, err);
    FUSE_TRY(fuse_agree(comm, st, err));
    FUSE_TRY(judge_parts(&before, &part, comm, separator, path, err));
    FUSE_TRY(join_last(&part, before, comm, err));
    FUSE_TRY(fuse_tally_join(&part.tally, before, comm, err));
    if (part.tally.rows == 0) /* blank lines have no columns */
        part.tally.columns = 0;
    *out = fuse_tally_finish(&part.tally, arena, part.last, part.last_not_id);
    return FUSE_OK;
}
