/* Any bytes as a file of rows: a scan ends with a tally or with the place of what is wrong; a file that is accepted is read
 * whole, share by share, and its rows are those that were counted. The first byte of the input chooses the separator and the
 * number of shares. */
#include "core/relation.h"
#include "io/tsv_rows.h"
#include "io/tsv_scan.h"
#include "tests/fuzz/memory_file.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

struct counted {
    int64_t rows, largest[FUSE_MAX_AXES];
    enum fuse_column_kind kind[FUSE_MAX_AXES];
};

static void count_line(struct counted *counted, const struct fuse_tsv_line *line, int columns) {
    counted->rows++;
    for (int c = 0; c < columns; c++) {
        enum fuse_column_kind kind = line->field[c];
        if (line->id[c] < 0 || line->id[c] >= FUSE_MAX_EXTENT || (kind != FUSE_COLUMN_IDS && line->id[c] != 0))
            abort();
        counted->kind[c] = kind > counted->kind[c] ? kind : counted->kind[c];
        counted->largest[c] = line->id[c] > counted->largest[c] ? line->id[c] : counted->largest[c];
    }
}

static void read_share(struct counted *counted, struct memory_file *file, const struct fuse_tally *tally,
                       char separator, int share, int shares) {
    struct fuse_tsv_reader reader;
    struct fuse_tsv_line line;
    struct fuse_error err = {0};
    int64_t bytes = (int64_t)file->size;
    int64_t begin = fuse_split_begin(bytes, shares, share), end = fuse_split_begin(bytes, shares, share + 1);
    if (fuse_tsv_open(&reader, &file->bytes, bytes, begin, end, separator, tally->columns, "fuzz", &err) != FUSE_OK)
        abort();
    for (;;) {
        if (fuse_tsv_next(&reader, &line, &err) != FUSE_OK || line.kind == FUSE_TSV_BAD)
            abort();
        if (line.kind == FUSE_TSV_END)
            break;
        if (line.kind != FUSE_TSV_BLANK)
            count_line(counted, &line, tally->columns);
    }
    fuse_tsv_close(&reader);
}

/* The same with batches of ids. */
static void read_batches(struct counted *counted, struct memory_file *file, const struct fuse_tally *tally,
                         char separator, int share, int shares) {
    enum { BATCH = 7 };
    static int64_t store[FUSE_MAX_AXES][BATCH];
    int64_t *id[FUSE_MAX_AXES], n, bytes = (int64_t)file->size;
    int64_t begin = fuse_split_begin(bytes, shares, share), end = fuse_split_begin(bytes, shares, share + 1);
    struct fuse_tsv_reader reader;
    struct fuse_tsv_line line = {.kind = FUSE_TSV_ROW};
    struct fuse_error err = {0};
    for (int c = 0; c < tally->columns; c++)
        id[c] = store[c];
    if (fuse_tsv_open(&reader, &file->bytes, bytes, begin, end, separator, tally->columns, "fuzz", &err) != FUSE_OK)
        abort();
    while (line.kind != FUSE_TSV_END) {
        if (fuse_tsv_next_ids(&reader, id, BATCH, &n, &err) != FUSE_OK)
            abort();
        for (int64_t i = 0; i < n; i++) {
            struct fuse_tsv_line row = {.kind = FUSE_TSV_ROW};
            for (int c = 0; c < tally->columns; c++)
                row.id[c] = store[c][i];
            count_line(counted, &row, tally->columns);
        }
        if (n > 0)
            continue;
        if (fuse_tsv_next(&reader, &line, &err) != FUSE_OK || line.kind == FUSE_TSV_BAD)
            abort();
        if (line.kind == FUSE_TSV_ROW)
            count_line(counted, &line, tally->columns);
    }
    fuse_tsv_close(&reader);
}

/* As fields: as many rows as there are lines, and their texts as long as the file at most. False: a line is none. */
static bool read_fields(int64_t *rows, struct memory_file *file, int columns, char separator, int share, int shares) {
    static struct fuse_field field[FUSE_MAX_AXES][FUSE_FIELD_ROWS];
    struct fuse_fields fields = {.columns = columns, .field = field};
    struct fuse_tsv_reader reader;
    struct fuse_error err = {0};
    int64_t bytes = (int64_t)file->size, text = 0;
    int64_t begin = fuse_split_begin(bytes, shares, share), end = fuse_split_begin(bytes, shares, share + 1);
    for (int c = 0; c < columns; c++)
        fields.is_symbolic[c] = true;
    if (fuse_tsv_open(&reader, &file->bytes, bytes, begin, end, separator, columns, "fuzz", &err) != FUSE_OK)
        abort();
    do {
        if (fuse_tsv_next_fields(&reader, &fields, &err) != FUSE_OK)
            abort();
        *rows += fields.n;
        for (int c = 0; c < columns; c++)
            for (int i = 0; i < fields.n; i++) {
                text += (int64_t)field[c][i].bytes;
                if (field[c][i].bytes == 0 || text > bytes)
                    abort();
                (void)fuse_symbol_fault(field[c][i].at, field[c][i].bytes);
            }
    } while (fields.n > 0 || fields.end == FUSE_FIELDS_BLANK);
    fuse_tsv_close(&reader);
    return fields.end != FUSE_FIELDS_BAD;
}

static void check_rows(const struct fuse_tally *tally, struct memory_file *file, char separator, int shares) {
    struct counted counted = {0}, batches = {0};
    int64_t rows = 0;
    bool is_good = true;
    for (int share = 0; share < shares && tally->columns > 0; share++)
        is_good &= read_fields(&rows, file, tally->columns, separator, share, shares);
    if (tally->is_partial)
        return;
    if (!is_good || rows != tally->rows)
        abort();
    for (int share = 0; share < shares && tally->columns > 0; share++)
        read_share(&counted, file, tally, separator, share, shares);
    for (int share = 0; share < shares && tally->columns > 0; share++)
        read_batches(&batches, file, tally, separator, share, shares);
    if (memcmp(&counted, &batches, sizeof counted) != 0)
        abort();
    if (counted.rows != tally->rows)
        abort();
    for (int c = 0; c < tally->columns; c++)
        if (counted.kind[c] != tally->kind[c] ||
            (counted.kind[c] == FUSE_COLUMN_IDS &&
             (counted.largest[c] != tally->largest[c] || tally->below[c][FUSE_TALLY_BINS] != tally->rows)))
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    if (bytes == 0)
        return 0;
    struct memory_file file = memory_file(data + 1, bytes - 1);
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_comm *self;
    struct fuse_error err = {0};
    const struct fuse_tally *tally;
    char separator = data[0] % 2 ? ',' : '\t';
    if (!arena || fuse_comm_open_self(&self, &err) != FUSE_OK)
        abort();
    enum fuse_status st = fuse_tsv_scan(&tally, arena, self, &file.bytes, (int64_t)bytes - 1, separator, "fuzz", &err);
    if (st == FUSE_OK)
        check_rows(tally, &file, separator, 1 + data[0] / 2 % 8);
    else if (st != FUSE_EINPUT || strncmp(err.message, "fuzz:", 5) != 0)
        abort();
    self->ops->close(self);
    fuse_arena_close(arena);
    return 0;
}
