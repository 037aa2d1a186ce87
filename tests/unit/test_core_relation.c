/* What would make these fail: a bound below the number of rows, a bound above it where bins are of width 1, rows lost or
 * moved when bins are made wider, parts that do not add up to the whole. */
#include "core/relation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

enum { ROWS = 500, COLUMNS = 3 };

static int64_t rows[ROWS][COLUMNS];

static uint64_t random_state = 88172645463325252u;

static int64_t draw(int64_t below) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (int64_t)(random_state >> 1) % below;
}

static void draw_rows(int64_t below) {
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < COLUMNS; c++)
            rows[r][c] = draw(below);
}

static const enum fuse_column_kind ids[COLUMNS], reals[] = {FUSE_COLUMN_IDS, FUSE_COLUMN_REALS};

static struct fuse_tally *count(struct fuse_arena *arena, int columns) {
    struct fuse_tally_part part;
    fuse_tally_open(&part, arena, columns);
    for (int r = 0; r < ROWS; r++)
        fuse_tally_add(&part, rows[r], r);
    return fuse_tally_finish(&part, arena, ids, -1);
}

static int64_t rows_in(const struct fuse_box *box) {
    int64_t n = 0;
    for (int r = 0; r < ROWS; r++) {
        bool is_in = true;
        for (int c = 0; c < box->rank; c++)
            is_in = is_in && rows[r][c] >= box->lo[c] && rows[r][c] < box->hi[c];
        n += is_in;
    }
    return n;
}

static struct fuse_box draw_box(int rank, int64_t below) {
    struct fuse_box box = {.rank = rank};
    for (int c = 0; c < rank; c++) {
        box.lo[c] = draw(below + 4) - 2;
        box.hi[c] = draw(4) == 0 ? box.lo[c] + 1 : box.lo[c] + draw(below + 4);
    }
    return box;
}

static void test_bounds(void **unused) {
    (void)unused;
    static const int64_t belows[] = {1, 2, 7, 60, 64, 65, 4096, 4097, 1 << 20, FUSE_MAX_EXTENT};
    for (size_t k = 0; k < sizeof belows / sizeof *belows; k++) {
        struct fuse_arena *arena = fuse_arena_open(NULL);
        draw_rows(belows[k]);
        struct fuse_tally *tally = count(arena, COLUMNS);
        assert_int_equal(tally->rows, ROWS);
        for (int i = 0; i < 2000; i++) {
            int rank = (int)draw(COLUMNS + 1);
            struct fuse_box box = draw_box(rank, belows[k]);
            int64_t exact = fuse_box_is_empty(&box) ? 0 : rows_in(&box), most = fuse_tally_most(tally, &box);
            assert_true(most >= exact && most <= ROWS);
            /* One column with bins of width 1, or the two that are counted together. */
            if (rank == 0 || (rank == 1 && belows[k] <= FUSE_TALLY_BINS) ||
                (rank == 2 && belows[k] <= FUSE_TALLY_PAIR_BINS))
                assert_int_equal(most, exact);
        }
        fuse_arena_close(arena);
    }
}

/* A box that holds everything holds all rows, however large its bounds are. */
static void test_everything(void **unused) {
    (void)unused;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    draw_rows(1000000);
    struct fuse_tally *tally = count(arena, COLUMNS);
    struct fuse_box all = {.rank = 2, .lo = {INT64_MIN, 0}, .hi = {INT64_MAX, 1000000}};
    struct fuse_box none = {.rank = 2, .lo = {INT64_MIN, 0}, .hi = {0, 1000000}};
    struct fuse_box beyond = {.rank = 1, .lo = {(int64_t)1 << 40}, .hi = {INT64_MAX}};
    assert_int_equal(fuse_tally_most(tally, &all), ROWS);
    assert_int_equal(fuse_tally_most(tally, &none), 0);
    assert_int_equal(fuse_tally_most(tally, &beyond), 0);
    fuse_arena_close(arena);
}

static void test_largest(void **unused) {
    (void)unused;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    draw_rows(50);
    struct fuse_tally *tally = count(arena, COLUMNS);
    for (int c = 0; c < COLUMNS; c++) {
        int64_t first = 0;
        for (int r = 0; r < ROWS; r++)
            first = rows[r][c] > rows[first][c] ? r : first;
        assert_int_equal(tally->largest[c], rows[first][c]);
        assert_int_equal(tally->largest_row[c], first);
    }
    fuse_arena_close(arena);
}

/* The last column is none of ids: nothing is known about it, and two columns are no pair then. */
static void test_values(void **unused) {
    (void)unused;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    draw_rows(50);
    struct fuse_tally_part part;
    fuse_tally_open(&part, arena, 2);
    for (int r = 0; r < ROWS; r++)
        fuse_tally_add(&part, (int64_t[]){rows[r][0], 0}, r);
    struct fuse_tally *tally = fuse_tally_finish(&part, arena, reals, 7);
    assert_int_equal(tally->columns, 2);
    assert_int_equal(tally->last, FUSE_COLUMN_REALS);
    assert_int_equal(tally->last_not_id, 7);
    assert_int_equal(tally->largest[1], -1);
    assert_null(tally->below[1]);
    assert_null(tally->pair_below);
    struct fuse_box box = {.rank = 1, .lo = {3}, .hi = {20}};
    assert_int_equal(fuse_tally_most(tally, &box), rows_in(&box));
    fuse_arena_close(arena);
}

/* Rows dealt out to parts of their own magnitudes, whose bins are then made equally wide and added up. */
static void test_parts(void **unused) {
    (void)unused;
    enum { PARTS = 3 };
    for (int round = 0; round < 30; round++) {
        struct fuse_arena *arena = fuse_arena_open(NULL);
        struct fuse_tally_part whole, part[PARTS];
        fuse_tally_open(&whole, arena, COLUMNS);
        for (int p = 0; p < PARTS; p++)
            fuse_tally_open(&part[p], arena, COLUMNS);
        for (int r = 0; r < ROWS; r++) {
            int p = (int)draw(PARTS);
            for (int c = 0; c < COLUMNS; c++)
                rows[r][c] = draw((int64_t)10 << 14 * p);
            fuse_tally_add(&part[p], rows[r], r);
            fuse_tally_add(&whole, rows[r], r);
        }
        for (int p = 0; p < PARTS; p++) {
            for (int c = 0; c < COLUMNS; c++)
                fuse_tally_widen(&part[p], c, whole.shift[c]);
            for (int c = 0; c < 2; c++)
                fuse_tally_widen_pair(&part[p], c, whole.pair_shift[c]);
        }
        for (int c = 0; c < COLUMNS; c++)
            for (int b = 0; b < FUSE_TALLY_BINS; b++)
                assert_int_equal(whole.bin[c][b], part[0].bin[c][b] + part[1].bin[c][b] + part[2].bin[c][b]);
        for (int b = 0; b < FUSE_TALLY_PAIR_BINS * FUSE_TALLY_PAIR_BINS; b++)
            assert_int_equal(whole.pair[b], part[0].pair[b] + part[1].pair[b] + part[2].pair[b]);
        fuse_arena_close(arena);
    }
}

/* Every bin, counted again from the rows, at every width that ids ask for. */
static void test_widths(void **unused) {
    (void)unused;
    for (int bits = 1; bits <= 60; bits += 7) {
        struct fuse_arena *arena = fuse_arena_open(NULL);
        draw_rows((int64_t)1 << bits);
        struct fuse_tally_part part;
        fuse_tally_open(&part, arena, COLUMNS);
        for (int r = 0; r < ROWS; r++)
            fuse_tally_add(&part, rows[r], r);
        for (int c = 0; c < COLUMNS; c++) {
            int64_t bin[FUSE_TALLY_BINS] = {0};
            for (int r = 0; r < ROWS; r++)
                bin[rows[r][c] >> part.shift[c]]++;
            assert_memory_equal(bin, part.bin[c], sizeof bin);
            assert_true(part.shift[c] == 0 || part.largest[c] >> (part.shift[c] - 1) >= FUSE_TALLY_BINS);
        }
        int64_t pair[FUSE_TALLY_PAIR_BINS * FUSE_TALLY_PAIR_BINS] = {0};
        for (int r = 0; r < ROWS; r++)
            pair[(rows[r][0] >> part.pair_shift[0]) * FUSE_TALLY_PAIR_BINS + (rows[r][1] >> part.pair_shift[1])]++;
        assert_memory_equal(pair, part.pair, sizeof pair);
        fuse_arena_close(arena);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounds), cmocka_unit_test(test_everything), cmocka_unit_test(test_largest),
        cmocka_unit_test(test_values), cmocka_unit_test(test_parts),      cmocka_unit_test(test_widths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
