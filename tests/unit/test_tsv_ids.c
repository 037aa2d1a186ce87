/* Ids that are read many at a time against the same lines one by one: tables of any width with digits of any number, mutated by
 * blanks, signs, quotes, carriage returns, NULs, missing and further separators, cut into ranges at any byte, and larger than
 * what is read of a file at once. What one reader hands out and the other does not, a number that differs, and a line that is
 * wrong for one of them fail here; so do bytes that are read in front of a file or far behind its end, under a sanitizer. */
#include "io/tsv_ids.h"
#include "io/tsv_rows.h"
#include "tests/unit/random_ir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MOST_BYTES = 3 * FUSE_TSV_LINE_BYTES, MOST_COLUMNS = 5, BATCH = 300 };

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

struct table {
    char *at;
    int64_t bytes;
    int columns;
    char separator;
};

static void make_table(struct table *t, struct random_state *state, int64_t bytes, int mutations) {
    static const char others[] = " \t,\r\n-+.\"x09\0\xC3";
    int most_digits = 1 + (int)random_below(state, 20), feed = (int)random_below(state, 3);
    t->columns = 1 + (int)random_below(state, MOST_COLUMNS);
    t->separator = random_below(state, 2) ? '\t' : ',';
    for (t->bytes = 0; t->bytes < bytes;) {
        for (int c = 0; c < t->columns; c++) {
            for (int64_t digits = 1 + random_below(state, most_digits); digits > 0; digits--)
                t->at[t->bytes++] = (char)('0' + random_below(state, 10));
            t->at[t->bytes++] = t->separator;
        }
        if (feed == 0 || (feed == 1 && random_below(state, 2)))
            t->at[t->bytes - 1] = '\r';
        else
            t->bytes--;
        t->at[t->bytes++] = '\n';
    }
    t->bytes -= random_below(state, 3); /* the end may lack its line feed */
    for (int k = 0; k < mutations; k++)
        t->at[random_below(state, t->bytes)] = others[random_below(state, sizeof others - 1)];
}

struct line {
    enum fuse_tsv_kind kind;
    int64_t id[MOST_COLUMNS];
};

static void take(struct line *out, const struct fuse_tsv_line *line, int columns) {
    *out = (struct line){.kind = line->kind};
    for (int c = 0; line->kind == FUSE_TSV_ROW && c < columns; c++)
        out->id[c] = line->id[c];
}

/* The lines of a range, until one is bad; with batches as its readers do it. */
static int64_t read_range(struct line *out, const struct table *t, int64_t begin, int64_t end, bool batches,
                          struct random_state *state, int64_t *batched) {
    struct memory_bytes file = {{.read = read_memory}, t->at};
    struct fuse_tsv_reader reader;
    struct fuse_tsv_line line;
    struct fuse_error err = {0};
    static int64_t store[MOST_COLUMNS][BATCH];
    int64_t *id[MOST_COLUMNS], lines = 0, n;
    for (int c = 0; c < t->columns; c++)
        id[c] = store[c];
    assert_int_equal(
        fuse_tsv_open(&reader, &file.bytes, t->bytes, begin, end, t->separator, t->columns, "memory", &err), FUSE_OK);
    for (line.kind = FUSE_TSV_ROW; line.kind != FUSE_TSV_END && line.kind != FUSE_TSV_BAD;) {
        if (batches) {
            assert_int_equal(fuse_tsv_next_ids(&reader, id, 1 + random_below(state, BATCH), &n, &err), FUSE_OK);
            for (int64_t i = 0; i < n; i++, lines++) {
                out[lines] = (struct line){.kind = FUSE_TSV_ROW};
                for (int c = 0; c < t->columns; c++)
                    out[lines].id[c] = store[c][i];
            }
            *batched += n;
            if (n > 0)
                continue;
        }
        assert_int_equal(fuse_tsv_next(&reader, &line, &err), FUSE_OK);
        take(&out[lines++], &line, t->columns);
    }
    fuse_tsv_close(&reader);
    return lines;
}

static void compare(const struct table *t, struct random_state *state, struct line *some, struct line *others,
                    int64_t *batched) {
    int parts = 1 + (int)random_below(state, 4);
    for (int p = 0; p < parts; p++) {
        int64_t begin = t->bytes * p / parts, end = t->bytes * (p + 1) / parts;
        int64_t n = read_range(some, t, begin, end, true, state, batched);
        assert_int_equal(n, read_range(others, t, begin, end, false, state, batched));
        for (int64_t i = 0; i < n; i++) {
            assert_int_equal(some[i].kind, others[i].kind);
            assert_memory_equal(some[i].id, others[i].id, sizeof some->id);
        }
    }
}

static void run(int cases, int64_t most_bytes, int most_mutations) {
    struct table t = {.at = malloc(MOST_BYTES)};
    struct line *some = malloc(MOST_BYTES * sizeof *some), *others = malloc(MOST_BYTES * sizeof *others);
    int64_t batched = 0;
    assert_true(t.at && some && others);
    for (int seed = 0; seed < cases; seed++) {
        struct random_state state;
        random_seed(&state, (uint64_t)seed + 31);
        make_table(&t, &state, 1 + random_below(&state, most_bytes), (int)random_below(&state, most_mutations + 1));
        compare(&t, &state, some, others, &batched);
    }
    assert_true(batched > 10 * cases);
    free(t.at);
    free(some);
    free(others);
}

static void small_tables(void **unused) {
    (void)unused;
    run(3000, 400, 2);
    run(500, 4000, 5);
}

static void large_tables(void **unused) {
    (void)unused;
    run(12, 2 * FUSE_TSV_LINE_BYTES, 3);
}

/* Every number of digits, with every digit, at every place of a block. */
static void numbers(void **unused) {
    (void)unused;
    char text[256];
    int64_t id[2], *const to[] = {id};
    for (int digits = 1; digits <= 19; digits++)
        for (int lead = 0; lead < 70; lead++) {
            int64_t number = 0, n = 0;
            memset(text, 0, sizeof text);
            memset(text, '7', (size_t)lead);
            for (int k = 0; k < digits; k++) {
                int digit = (lead + 3 * k) % 10;
                text[lead + k] = (char)('0' + digit);
                number = digits <= 18 ? 10 * number + digit : 0;
            }
            text[lead + digits] = '\n';
            const char *end = text + lead + digits + 1,
                       *behind = fuse_tsv_take_ids(text + lead, end, ',', 1, to, 2, &n);
            assert_true(behind == (digits <= 18 ? end : text + lead));
            assert_int_equal(n, digits <= 18);
            if (n > 0)
                assert_int_equal(id[0], number);
        }
    /* Each byte alone: only digits are numbers. */
    for (int c = 0; c < 256; c++) {
        int64_t n = 0;
        memset(text, 0, sizeof text);
        memcpy(text, (char[]){'1', (char)c, '\n'}, 3);
        fuse_tsv_take_ids(text, text + 3, ',', 1, to, 2, &n);
        assert_int_equal(n, (c >= '0' && c <= '9') || c == '\n' || c == '\r');
        if (n > 0)
            assert_int_equal(id[0], c >= '0' && c <= '9' ? 10 + c - '0' : 1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_tables),
        cmocka_unit_test(large_tables),
        cmocka_unit_test(numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
