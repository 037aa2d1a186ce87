/* Texts cut into chunks of a few bytes, so that cuts fall into words, between brackets and into blanks. What would make
 * these fail: the ranks together judging a text otherwise than one reader in order does, another shape, an index that is
 * off by a value. */
#include "io/json_scan.h"
#include "tests/mpi/all_ranks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct fuse_comm *comm;
static uint64_t state = 88172645463325252u; /* the same on every rank */

static int below(int n) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (int)(state % (uint64_t)n);
}

struct memory_bytes {
    struct fuse_bytes bytes;
    const char *at;
};

static enum fuse_status read_memory(struct fuse_bytes *self, void *to, size_t bytes, int64_t offset,
                                    struct fuse_error *err) {
    (void)err;
    memcpy(to, ((struct memory_bytes *)self)->at + offset, bytes);
    return FUSE_OK;
}

enum { TEXT_BYTES = 1 << 16 };

struct text {
    char at[TEXT_BYTES];
    int bytes;
    int rank;
    int64_t extent[FUSE_MAX_AXES];
};

static void add(struct text *t, const char *what) {
    for (; *what && t->bytes < TEXT_BYTES; what++)
        t->at[t->bytes++] = *what;
}

static void add_blanks(struct text *t) {
    static const char *const blanks[] = {"", "", "", " ", "\n", "  \t", "\r\n    "};
    add(t, blanks[below(7)]);
}

static void add_array(struct text *t, int axis, int kind) {
    static const char *const values[3][5] = {{"0", "12", "-345", "9007199254740992", "7"},
                                             {"1.5", "-2e3", "0.0001", "12", "1E-2"},
                                             {"true", "false", "true", "false", "true"}};
    add_blanks(t);
    if (axis == t->rank) {
        add(t, values[kind][below(5)]);
    } else {
        add(t, "[");
        for (int64_t i = 0; i < t->extent[axis]; i++) {
            if (i > 0)
                add(t, ",");
            add_array(t, axis + 1, kind);
        }
        add(t, "]");
    }
    add_blanks(t);
}

static void make_text(struct text *t) {
    *t = (struct text){.rank = below(5)};
    for (int a = 0; a < t->rank; a++)
        t->extent[a] = 1 + below(a == 0 ? 9 : 4);
    add_array(t, 0, below(3));
}

static void change_text(struct text *t) {
    static const char other[] = "[],1-.e t\n";
    for (int changes = 1 + below(2); changes > 0 && t->bytes > 0; changes--) {
        int place = below(t->bytes);
        if (below(4) == 0)
            t->bytes = place;
        else
            t->at[place] = other[below((int)sizeof other - 1)];
    }
}

static bool is_word(char c) {
    return strchr("+-.0123456789abcdefghijklmnopqrstuvwxyzE", c) && c;
}

/* Words that begin before a byte, by looking at every byte. */
static int64_t words_before(const struct text *t, int64_t offset) {
    int64_t words = 0;
    for (int64_t i = 0; i < offset && i < t->bytes; i++)
        words += is_word(t->at[i]) && (i == 0 || !is_word(t->at[i - 1]));
    return words;
}

static void check_text(const struct text *t, bool is_array) {
    struct memory_bytes file = {.bytes = {.read = read_memory}, .at = t->at};
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_error err = {0}, ours = {0};
    struct fuse_probe probe;
    int64_t chunk = 1 + below(40);
    enum fuse_status scanned = fuse_json_scan(&probe, arena, comm, &file.bytes, t->bytes, chunk, "t", &err);
    enum fuse_status explained = fuse_json_explain(&file.bytes, t->bytes, "t", &ours);
    bool is_same = scanned == explained && strcmp(err.message, ours.message) == 0;
    if (!is_same && comm->rank == 0)
        print_error("%.*s\nscan: %d %s\nexplain: %d %s\n", t->bytes, t->at, scanned, err.message, explained,
                    ours.message);
    assert_all(is_same);
    assert_all(!is_array || scanned == FUSE_OK);
    if (scanned == FUSE_OK) {
        const struct fuse_json_index *index = probe.index;
        bool is_right = index->values == words_before(t, t->bytes);
        for (int64_t c = 0; c < index->chunks; c++)
            is_right = is_right && index->before[c] == words_before(t, c * chunk);
        assert_all(is_right);
    }
    if (is_array)
        assert_all(probe.rank == t->rank && memcmp(probe.extent, t->extent, (size_t)t->rank * sizeof *t->extent) == 0);
    fuse_arena_close(arena);
}

static void test_arrays(void **unused) {
    (void)unused;
    for (int i = 0; i < 150; i++) {
        struct text *t = malloc(sizeof *t);
        make_text(t);
        check_text(t, true);
        free(t);
    }
}

static void test_changed(void **unused) {
    (void)unused;
    for (int i = 0; i < 400; i++) {
        struct text *t = malloc(sizeof *t);
        make_text(t);
        change_text(t);
        check_text(t, false);
        free(t);
    }
}

/* Rows whose lengths add up but differ: a longer one somewhere, a shorter one somewhere else. */
static void test_moved_boundaries(void **unused) {
    (void)unused;
    for (int i = 0; i < 300; i++) {
        struct text *t = calloc(1, sizeof *t);
        int rows = 2 + below(12), columns = 2 + below(4), depth = below(3);
        int longer = below(rows), shorter = (longer + 1 + below(rows - 1)) % rows;
        for (int d = 0; d < depth; d++)
            add(t, "[");
        add(t, "[");
        for (int r = 0; r < rows; r++) {
            add(t, r > 0 ? ",[" : "[");
            for (int c = 0; c < columns + (r == longer) - (r == shorter); c++)
                add(t, c > 0 ? ", 1" : "1");
            add(t, "]");
        }
        add(t, "]");
        for (int d = 0; d < depth; d++)
            add(t, "]");
        check_text(t, false);
        free(t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_changed),
        cmocka_unit_test(test_moved_boundaries),
    };
    struct fuse_error err = {0};
    if (fuse_comm_open_mpi(&comm, &err) != FUSE_OK) {
        print_error("%s\n", err.message);
        return 1;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    comm->ops->close(comm);
    fuse_comm_finalize_mpi();
    return failed;
}
