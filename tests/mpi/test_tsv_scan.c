/* Small files of rows, cut by the ranks at every kind of byte. What would make these fail: a tally other than a count of the
 * rows one by one, ranks that judge a text otherwise than one rank does or name another place, shares that lose a row or have
 * one twice, a file that changed and is read all the same. */
#include "io/format.h"
#include "io/tsv_rows.h"
#include "io/tsv_scan.h"
#include "tests/mpi/all_ranks.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct fuse_comm *comm, *self;
static uint64_t state = 88172645463325252u; /* the same on every rank */

static int64_t below(int64_t n) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (int64_t)(state % (uint64_t)n);
}

struct memory_bytes {
    struct fuse_bytes bytes;
    const char *at;
};

static enum fuse_status read_memory(struct fuse_bytes *file, void *to, size_t bytes, int64_t offset,
                                    struct fuse_error *err) {
    (void)err;
    memcpy(to, ((struct memory_bytes *)file)->at + offset, bytes);
    return FUSE_OK;
}

enum { TEXT_BYTES = 1 << 14, MOST_ROWS = 60, MOST_COLUMNS = 4 };

struct table {
    char at[TEXT_BYTES];
    int bytes, columns, rows;
    enum fuse_column_kind last;
    int64_t id[MOST_ROWS][MOST_COLUMNS]; /* 0 for a last field that is none */
    int64_t last_not_id;
};

static void add(struct table *t, const char *what) {
    size_t bytes = strlen(what);
    memcpy(t->at + t->bytes, what, bytes);
    t->bytes += (int)bytes;
}

static void add_last(struct table *t, int r, enum fuse_column_kind kind) {
    static const char *const other[][4] = {{"-1", "-9223372036854775808", "1152921504606846976", "+7"},
                                           {"1.5", "-inf", "nan", "2e-3"}};
    if (t->last_not_id < 0)
        t->last_not_id = r;
    t->last = kind > t->last ? kind : t->last;
    add(t, other[kind - 1][below(4)]);
}

static void make_table(struct table *t) {
    static const char *const feeds[] = {"\n", "\n", "\r\n"}, *const blanks[] = {"", "", "", " ", "  "};
    const char *feed = feeds[below(3)];
    enum fuse_column_kind last = (enum fuse_column_kind)below(3);
    *t = (struct table){.columns = 1 + (int)below(MOST_COLUMNS), .rows = (int)below(MOST_ROWS), .last_not_id = -1};
    int64_t most[MOST_COLUMNS];
    for (int c = 0; c < t->columns; c++)
        most[c] = (int64_t)1 << below(61);
    for (int r = 0; r < t->rows; r++)
        for (int c = 0; c < t->columns; c++) {
            char number[32];
            bool is_last = c + 1 == t->columns;
            add(t, blanks[below(5)]);
            if (is_last && last != FUSE_COLUMN_IDS && below(6) == 0) {
                add_last(t, r, 1 + (enum fuse_column_kind)below((int64_t)last));
            } else {
                t->id[r][c] = below(most[c]);
                snprintf(number, sizeof number, "%" PRId64, t->id[r][c]);
                add(t, number);
            }
            add(t, blanks[below(5)]);
            add(t, is_last ? r + 1 < t->rows || below(2) ? feed : "" : "\t");
        }
    while (below(3) == 0)
        add(t, feed);
}

static void change_text(struct table *t) {
    static const char other[] = "\t\t\n\n-.e x\r";
    for (int changes = 1 + (int)below(2); changes > 0 && t->bytes > 0; changes--) {
        int place = (int)below(t->bytes);
        if (below(6) == 0)
            t->bytes = place;
        else
            t->at[place] = other[below((int)sizeof other - 1)];
    }
}

/* ---- counts, one by one ---- */

static bool is_largest_right(const struct fuse_tally *tally, const struct table *t, int c) {
    int64_t first = -1;
    for (int r = 0; r < t->rows; r++)
        first = first < 0 || t->id[r][c] > t->id[first][c] ? r : first;
    return tally->largest_row[c] == first && tally->largest[c] == (first < 0 ? -1 : t->id[first][c]);
}

static bool are_bins_right(const struct fuse_tally *tally, const struct table *t, int c) {
    for (int64_t b = 0; b <= FUSE_TALLY_BINS; b += 1 + below(50)) {
        int64_t n = 0;
        for (int r = 0; r < t->rows; r++)
            n += t->id[r][c] >> tally->shift[c] < b;
        if (tally->below[c][b] != n)
            return false;
    }
    return tally->below[c][FUSE_TALLY_BINS] == t->rows;
}

static bool are_pairs_right(const struct fuse_tally *tally, const struct table *t) {
    for (int i = 0; i < 100; i++) {
        int64_t b = below(FUSE_TALLY_PAIR_BINS + 1), d = below(FUSE_TALLY_PAIR_BINS + 1), n = 0;
        for (int r = 0; r < t->rows; r++)
            n += t->id[r][0] >> tally->pair_shift[0] < b && t->id[r][1] >> tally->pair_shift[1] < d;
        if (tally->pair_below[b * (FUSE_TALLY_PAIR_BINS + 1) + d] != n)
            return false;
    }
    return true;
}

static bool is_right(const struct fuse_tally *tally, const struct table *t) {
    int columns = t->rows > 0 ? t->columns : 0, ids = columns - (t->last != FUSE_COLUMN_IDS);
    bool is_fine = tally->columns == columns && tally->rows == t->rows && tally->last == t->last &&
                   tally->last_not_id == t->last_not_id && (tally->pair_below != NULL) == (ids >= 2);
    for (int c = 0; c < ids && is_fine; c++)
        is_fine = is_largest_right(tally, t, c) && are_bins_right(tally, t, c);
    return is_fine && (ids < 2 || are_pairs_right(tally, t));
}

/* ---- scans ---- */

static void check_scan(const struct table *t, bool is_unchanged) {
    struct memory_bytes file = {.bytes = {.read = read_memory}, .at = t->at};
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_error err = {0}, alone = {0};
    const struct fuse_tally *tally = NULL, *tally_alone = NULL;
    enum fuse_status st = fuse_tsv_scan(&tally, arena, comm, &file.bytes, t->bytes, '\t', "t", &err);
    enum fuse_status st_alone = fuse_tsv_scan(&tally_alone, arena, self, &file.bytes, t->bytes, '\t', "t", &alone);
    bool is_same = st == st_alone && strcmp(err.message, alone.message) == 0 && (st == FUSE_OK || st == FUSE_EINPUT);
    if (!is_same && comm->rank == 0)
        print_error("%.*s\ntogether: %d %s\nalone: %d %s\n", t->bytes, t->at, st, err.message, st_alone, alone.message);
    assert_all(is_same);
    assert_all(!is_unchanged || st == FUSE_OK);
    if (is_unchanged)
        assert_all(is_right(tally, t));
    fuse_arena_close(arena);
}

static void test_tables(void **unused) {
    (void)unused;
    for (int i = 0; i < 150; i++) {
        struct table *t = malloc(sizeof *t);
        make_table(t);
        check_scan(t, true);
        free(t);
    }
}

static void test_changed(void **unused) {
    (void)unused;
    for (int i = 0; i < 300; i++) {
        struct table *t = malloc(sizeof *t);
        make_table(t);
        change_text(t);
        check_scan(t, false);
        free(t);
    }
}

/* ---- shares ---- */

/* Rows of the share are rows *row, .. of the table. */
static bool is_share_right(const struct table *t, int *row, int share, int shares) {
    struct memory_bytes file = {.bytes = {.read = read_memory}, .at = t->at};
    struct fuse_tsv_reader reader;
    struct fuse_tsv_line line = {.kind = FUSE_TSV_ROW};
    struct fuse_error err = {0};
    int64_t begin = fuse_split_begin(t->bytes, shares, share), end = fuse_split_begin(t->bytes, shares, share + 1);
    bool is_fine = fuse_tsv_open(&reader, &file.bytes, t->bytes, begin, end, '\t', t->columns, "t", &err) == FUSE_OK;
    while (is_fine && (is_fine = fuse_tsv_next(&reader, &line, &err) == FUSE_OK) && line.kind != FUSE_TSV_END)
        if (line.kind == FUSE_TSV_ROW) {
            is_fine = *row < t->rows && memcmp(line.id, t->id[*row], (size_t)t->columns * sizeof *line.id) == 0;
            ++*row;
        }
    fuse_tsv_close(&reader);
    return is_fine;
}

static void test_shares(void **unused) {
    (void)unused;
    for (int i = 0; i < 100; i++) {
        struct table *t = malloc(sizeof *t);
        make_table(t);
        int row = 0, shares = 1 + (int)below(40);
        bool is_fine = true;
        for (int share = 0; share < shares; share++)
            is_fine = is_fine && is_share_right(t, &row, share, shares);
        assert_all(is_fine && row == t->rows);
        free(t);
    }
}

/* ---- files ---- */

static void write_file(const char *path, const char *text) {
    if (comm->rank == 0) {
        FILE *file = fopen(path, "w");
        fputs(text, file);
        fclose(file);
    }
    MPI_Barrier(MPI_COMM_WORLD);
}

static void test_file_changes(void **unused) {
    (void)unused;
    const struct fuse_format *format = &fuse_format_tsv;
    char path[] = "tsv_scan_XXXXXX.csv";
    int fd = comm->rank == 0 ? mkstemps(path, 4) : 0;
    MPI_Bcast(path, sizeof path, MPI_CHAR, 0, MPI_COMM_WORLD);
    if (comm->rank == 0)
        close(fd);
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_error err = {0};
    struct fuse_probe probe;
    struct fuse_row_source *source;
    int64_t id[2][4];
    struct fuse_rows rows = {.columns = 2, .most = 4, .id = {id[0], id[1]}};
    write_file(path, "0,1\n2,3\n4,5\n");
    assert_all(format->probe(&probe, path, NULL, &err) == FUSE_OK);
    assert_all(format->scan(&probe, arena, comm, path, NULL, &err) == FUSE_OK && probe.tally->rows == 3);

    /* Of the same size, with what the scan would not have passed; then longer. */
    write_file(path, "0,1\n2,-\n4,5\n");
    assert_all(format->rows_open(&source, path, NULL, &probe, false, 0, 1, &err) == FUSE_OK);
    assert_all(format->rows_next(source, &rows, &err) == FUSE_EINPUT);
    format->rows_close(source);
    write_file(path, "0,1\n2,3\n4,5\n6,7\n");
    struct fuse_error longer = {0}, again = {0};
    assert_all(format->rows_open(&source, path, NULL, &probe, false, 0, 1, &longer) == FUSE_EINPUT);
    assert_all(format->scan(&probe, arena, comm, path, NULL, &again) == FUSE_EINPUT);
    fuse_arena_close(arena);
    MPI_Barrier(MPI_COMM_WORLD);
    if (comm->rank == 0)
        unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_changed),
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_file_changes),
    };
    struct fuse_error err = {0};
    if (fuse_comm_open_mpi(&comm, &err) != FUSE_OK || fuse_comm_open_self(&self, &err) != FUSE_OK) {
        print_error("%s\n", err.message);
        return 1;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    self->ops->close(self);
    comm->ops->close(comm);
    fuse_comm_finalize_mpi();
    return failed;
}
