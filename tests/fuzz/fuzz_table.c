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
    enum fuse_column_kind last;
};

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
        if (line.kind == FUSE_TSV_BLANK)
            continue;
        counted->rows++;
        counted->last = line.last > counted->last ? line.last : counted->last;
        for (int c = 0; c < tally->columns; c++) {
            if (line.id[c] < 0 || line.id[c] >= FUSE_MAX_EXTENT)
                abort();
            counted->largest[c] = line.id[c] > counted->largest[c] ? line.id[c] : counted->largest[c];
        }
    }
    fuse_tsv_close(&reader);
}

static void check_rows(const struct fuse_tally *tally, struct memory_file *file, char separator, int shares) {
    struct counted counted = {0};
    for (int share = 0; share < shares && tally->columns > 0; share++)
        read_share(&counted, file, tally, separator, share, shares);
    int ids = tally->columns - (tally->last != FUSE_COLUMN_IDS);
    if (counted.rows != tally->rows || counted.last != tally->last)
        abort();
    for (int c = 0; c < ids; c++)
        if (counted.largest[c] != tally->largest[c] || tally->below[c][FUSE_TALLY_BINS] != tally->rows)
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
