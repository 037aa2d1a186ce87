/* Sets, indexes and sorted runs against arrays that are searched from end to end.
 *
 * What would make these fail: a key that is lost or doubled when a set grows or a row becomes bits, a value that is not the best,
 * a list without all its rows after it has moved, a limit that is exceeded or a refusal that changes something. */
#include "backend/relation_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

static uint64_t random_state = 88172645463325252u;

static int64_t draw(int64_t below) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (int64_t)(random_state >> 1) % below;
}

static int compare_words(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

enum { KEYS = 20000 };

/* Pairs of ids, most of them in a few rows, in batches of any length; with rows, second ids are all, or one rank's of so many. */
static void test_facts_by_rows(void **state) {
    (void)state;
    for (int ranks = 0; ranks < 8; ranks++) {
        const bool rows = ranks > 0;
        enum { FIRST = 300, SECOND = 1000, BITS = 10 };
        static bool is_there[FIRST][SECOND];
        memset(is_there, 0, sizeof is_there);
        struct fuse_ledger ledger = {0};
        struct fuse_set set;
        struct fuse_run fresh = {.words = 1}, out = {.words = 1};
        bool nan = false, overflow = false;
        int64_t n = 0;
        fuse_set_open(&set, FUSE_SET_FACTS, FUSE_BOOL, 1, false);
        if (rows)
            fuse_set_expect_rows(&set, FIRST, SECOND, BITS, ranks, ranks / 2);
        for (int64_t done = 0; done < 6 * KEYS;) {
            uint64_t key[1000];
            int64_t batch = 1 + draw(1000), before = n, had = fresh.n;
            for (int64_t i = 0; i < batch; i++) {
                int64_t a = draw(3) ? draw(20) : draw(FIRST), b = draw(SECOND);
                while (rows && fuse_share_of((uint64_t)b, ranks) != ranks / 2)
                    b = draw(SECOND);
                key[i] = (uint64_t)(a << BITS | b);
                n += !is_there[a][b];
                is_there[a][b] = true;
            }
            assert_true(fuse_set_add(&set, &ledger, key, 1, batch, 1, &fresh, &nan));
            assert_int_equal(set.n, n);
            assert_int_equal(fresh.n - had, n - before);
            done += batch;
        }
        assert_int_equal(set.bitmaps > 0, rows);
        assert_true(fuse_set_dump(&set, &ledger, &out, false, &overflow));
        assert_int_equal(out.n, n);
        assert_true(fuse_run_sort(&out, &ledger, 1));
        assert_true(fuse_run_sort(&fresh, &ledger, 1));
        int64_t at = 0;
        for (int64_t a = 0; a < FIRST; a++)
            for (int64_t b = 0; b < SECOND; b++)
                if (is_there[a][b]) {
                    assert_int_equal(*fuse_run_row(&out, at), a << BITS | b);
                    assert_int_equal(*fuse_run_row(&fresh, at++), a << BITS | b);
                }
        fuse_set_close(&set, &ledger);
        fuse_run_close(&fresh, &ledger);
        fuse_run_close(&out, &ledger);
        assert_int_equal(ledger.used, 0);
    }
}

/* Values: of keys of two words, the smallest. */
static void test_best_values(void **state) {
    (void)state;
    enum { EXTENT = 50 };
    static double best[EXTENT][EXTENT];
    struct fuse_ledger ledger = {0};
    struct fuse_set set;
    struct fuse_run fresh = {.words = 2};
    bool nan = false;
    for (int a = 0; a < EXTENT; a++)
        for (int b = 0; b < EXTENT; b++)
            best[a][b] = -1;
    fuse_set_open(&set, FUSE_SET_MIN, FUSE_F64, 2, false);
    for (uint64_t mark = 1; mark < 200; mark++) {
        bool improved[EXTENT][EXTENT] = {{false}};
        int64_t expected = 0;
        fresh.n = 0;
        for (int k = 0; k < 100; k++) {
            int64_t a = draw(EXTENT), b = draw(EXTENT);
            double value = (double)draw(1000);
            uint64_t row[3] = {(uint64_t)a, (uint64_t)b};
            memcpy(&row[2], &value, sizeof value);
            assert_true(fuse_set_add(&set, &ledger, row, 3, 1, mark, &fresh, &nan));
            if (best[a][b] >= 0 && best[a][b] <= value)
                continue;
            best[a][b] = value;
            expected += !improved[a][b];
            improved[a][b] = true;
        }
        assert_int_equal(fresh.n, expected); /* once each, however often they became better */
    }
    for (int a = 0; a < EXTENT; a++)
        for (int b = 0; b < EXTENT; b++) {
            const uint64_t key[2] = {(uint64_t)a, (uint64_t)b};
            double value;
            if (best[a][b] < 0)
                continue;
            uint64_t bits = fuse_set_value(&set, key);
            memcpy(&value, &bits, sizeof value);
            assert_true(value == best[a][b]);
        }
    const uint64_t not_a_number[3] = {1, 1, 0x7ff8000000000000u};
    assert_false(nan);
    assert_true(fuse_set_add(&set, &ledger, not_a_number, 3, 1, 1000, NULL, &nan));
    assert_true(nan);
    fuse_set_close(&set, &ledger);
    fuse_run_close(&fresh, &ledger);
    assert_int_equal(ledger.used, 0);
}

static void check_list(const struct fuse_index *index, struct fuse_list list, uint64_t *expected, int64_t n) {
    uint64_t *found = malloc((size_t)(n + 1) * 8);
    assert_int_equal(list.n, n);
    for (int64_t i = 0; i < n; i++)
        found[i] = index->is_narrow ? ((const uint32_t *)list.at)[i] : ((const uint64_t *)list.at)[i];
    qsort(found, (size_t)n, 8, compare_words);
    qsort(expected, (size_t)n, 8, compare_words);
    assert_int_equal(memcmp(found, expected, (size_t)n * 8), 0);
    free(found);
}

static void test_indexes(void **state) {
    (void)state;
    for (int kind = 0; kind < 8; kind++) {
        const bool narrow = kind & 1, dense = kind & 2, build = kind & 4;
        enum { EXTENT = 400 };
        static uint64_t row[KEYS][2];
        struct fuse_ledger ledger = {0};
        struct fuse_index index;
        fuse_index_open(&index, 1, 1, narrow, dense ? EXTENT : 0);
        for (int i = 0; i < KEYS; i++) {
            row[i][0] = (uint64_t)(draw(2) ? draw(5) : draw(EXTENT - 1));
            row[i][1] = (uint64_t)draw((int64_t)1 << (narrow ? 32 : 60));
        }
        if (build)
            assert_true(fuse_index_build(&index, &ledger, row[0], KEYS / 2));
        for (int i = build ? KEYS / 2 : 0; i < KEYS;) {
            int batch = 1 + (int)draw(100);
            batch = batch < KEYS - i ? batch : KEYS - i;
            assert_true(fuse_index_add(&index, &ledger, row[i], batch));
            i += batch;
        }
        for (uint64_t key = 0; key < EXTENT; key++) {
            static uint64_t expected[KEYS];
            int64_t n = 0;
            for (int i = 0; i < KEYS; i++)
                if (row[i][0] == key)
                    expected[n++] = row[i][1];
            check_list(&index, fuse_index_find(&index, &key), expected, n);
        }
        fuse_index_close(&index, &ledger);
        assert_int_equal(ledger.used, 0);
    }
}

static void test_limits(void **state) {
    (void)state;
    struct fuse_ledger ledger = {.most = 100000};
    struct fuse_set set;
    bool nan = false;
    uint64_t key = 0;
    fuse_set_open(&set, FUSE_SET_FACTS, FUSE_BOOL, 1, false);
    while (fuse_set_add(&set, &ledger, &key, 1, 1, 1, NULL, &nan))
        key++;
    assert_in_range(key, 1000, 100000 / 8);
    assert_int_equal(set.n, key);
    assert_true(ledger.peak <= ledger.most);
    for (uint64_t k = 0; k < key; k++) { /* whatever was refused, what is there stays */
        assert_true(fuse_set_add(&set, &ledger, &k, 1, 1, 1, NULL, &nan) || set.n == (int64_t)key);
        assert_int_equal(set.n, key);
    }
    fuse_set_close(&set, &ledger);
    assert_int_equal(ledger.used, 0);
}

static void test_sorting(void **state) {
    (void)state;
    for (int words = 1; words <= 3; words++) {
        struct fuse_ledger ledger = {0};
        struct fuse_run run = {.words = words};
        assert_true(fuse_run_reserve(&run, &ledger, KEYS));
        for (run.n = 0; run.n < KEYS; run.n++)
            for (int w = 0; w < words; w++)
                fuse_run_row(&run, run.n)[w] = (uint64_t)draw(w == 0 && words > 1 ? 40 : (int64_t)1 << 50);
        assert_true(fuse_run_sort(&run, &ledger, words));
        for (int64_t i = 1; i < run.n; i++) {
            int order = 0;
            for (int w = 0; w < words && order == 0; w++)
                order = compare_words(fuse_run_row(&run, i - 1) + w, fuse_run_row(&run, i) + w);
            assert_true(order <= 0);
        }
        fuse_run_close(&run, &ledger);
        assert_int_equal(ledger.used, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_facts_by_rows), cmocka_unit_test(test_best_values), cmocka_unit_test(test_indexes),
        cmocka_unit_test(test_limits),        cmocka_unit_test(test_sorting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
