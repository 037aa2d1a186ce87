#include "core/error.h"
#include "core/queue.h"
#include "core/reduce.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

/* Fails when a later failure overwrites the cause. */
static void first_failure_is_kept(void **state) {
    (void)state;
    struct fuse_error err = {0};
    assert_int_equal(fuse_fail(&err, FUSE_EINPUT, "%s: bad magic", "a.npy"), FUSE_EINPUT);
    assert_int_equal(fuse_fail(&err, FUSE_EIO, "close failed"), FUSE_EINPUT);
    struct fuse_span span = {.file = 0, .begin = 3, .end = 5};
    assert_int_equal(fuse_fail_at(&err, FUSE_EPROGRAM, span, "later"), FUSE_EINPUT);
    assert_int_equal(err.status, FUSE_EINPUT);
    assert_string_equal(err.message, "a.npy: bad magic");
    assert_int_equal(err.rank, -1);
    assert_false(err.has_span);
    assert_int_equal(err.span.file, -1);
}

static void span_is_recorded(void **state) {
    (void)state;
    struct fuse_error err = {0};
    struct fuse_span span = {.file = 1, .begin = 3, .end = 5};
    assert_int_equal(fuse_fail_at(&err, FUSE_EPROGRAM, span, "unknown name '%s'", "x"), FUSE_EPROGRAM);
    assert_true(err.has_span);
    assert_int_equal(err.span.file, 1);
    assert_int_equal(err.span.begin, 3);
    assert_int_equal(err.span.end, 5);
}

static void success_cannot_be_a_failure(void **state) {
    (void)state;
    struct fuse_error err = {0};
    assert_int_equal(fuse_fail(&err, FUSE_OK, "oops"), FUSE_EBUG);
    assert_int_equal(err.status, FUSE_EBUG);
    assert_int_equal(fuse_fail(NULL, FUSE_EIO, "nobody asked"), FUSE_EIO);
}

static void notes_and_hints(void **state) {
    (void)state;
    struct fuse_error err = {0};
    fuse_note(&err, "no error yet");
    fuse_hint(&err, "no error yet");
    assert_string_equal(err.note, "");
    assert_string_equal(err.hint, "");
    (void)fuse_fail(&err, FUSE_EIO, "read failed");
    fuse_note(&err, "while loading tensor '%s'", "W");
    fuse_note(&err, "while opening program");
    fuse_hint(&err, "did you mean '%s'?", "V");
    fuse_hint(&err, "second hint");
    assert_string_equal(err.note, "while loading tensor 'W'\nwhile opening program");
    assert_string_equal(err.hint, "did you mean 'V'?");
}

/* Fails when a long text runs over its buffer, or is cut inside a UTF-8 character. */
static void long_texts_are_cut(void **state) {
    (void)state;
    char text[3001];
    for (size_t shift = 0; shift < 3; shift++) {
        memset(text, 'x', shift);
        for (size_t i = shift; i + 1 < sizeof text; i += 2)
            memcpy(text + i, "\xc3\xa9", 2);
        text[sizeof text - 1] = '\0';
        struct fuse_error err = {0};
        (void)fuse_fail(&err, FUSE_EIO, "%s", text);
        size_t bytes = strlen(err.message);
        assert_in_range(bytes, sizeof err.message - 6, sizeof err.message - 1);
        assert_string_equal(err.message + bytes - 3, "...");
        assert_int_equal((bytes - 3 - shift) % 2, 0);
        for (int i = 0; i < 200; i++)
            fuse_note(&err, "note %d", i);
        assert_true(strlen(err.note) < sizeof err.note);
        assert_ptr_equal(strstr(err.note, "note 0\nnote 1\n"), err.note);
    }
}

static enum fuse_status step(int fails, int *calls, struct fuse_error *err) {
    ++*calls;
    return fails ? fuse_fail(err, FUSE_EIO, "failed") : FUSE_OK;
}

static enum fuse_status run(int fails_at, int *calls, int *undone, struct fuse_error *err) {
    enum fuse_status st;
    FUSE_TRY(step(fails_at == 0, calls, err));
    FUSE_TRY_GOTO(st, step(fails_at == 1, calls, err), undo);
    FUSE_TRY_GOTO(st, step(fails_at == 2, calls, err), undo);
undo:
    ++*undone;
    return st;
}

static void try_macros_stop_at_the_failure(void **state) {
    (void)state;
    for (int fails_at = 0; fails_at < 4; fails_at++) {
        struct fuse_error err = {0};
        int calls = 0, undone = 0;
        enum fuse_status st = run(fails_at, &calls, &undone, &err);
        assert_int_equal(st, fails_at < 3 ? FUSE_EIO : FUSE_OK);
        assert_int_equal(calls, fails_at < 3 ? fails_at + 1 : 3);
        assert_int_equal(undone, fails_at > 0);
    }
}

/* Fails when a script that looks at the exit status would be told another thing than before: these are for ever. */
static void exit_statuses(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int number;
    } promised[] = {{"OK", 0},       {"FAILED", 1},    {"USAGE", 2},   {"PROGRAM", 65}, {"INPUT", 66},
                    {"DEVICE", 69},  {"BUG", 70},      {"MEMORY", 71}, {"OUTPUT", 73},  {"IO", 74},
                    {"STOPPED", 75}, {"DIVERGED", 76}, {"VERIFY", 77}};
    for (size_t i = 0; i < sizeof promised / sizeof promised[0]; i++)
        assert_string_equal(fuse_status_name((enum fuse_status)promised[i].number), promised[i].name);
}

static void names(void **state) {
    (void)state;
    assert_string_equal(fuse_status_name(FUSE_EPROGRAM), "PROGRAM");
    assert_string_equal(fuse_status_text(FUSE_EPROGRAM), "the program is wrong");
    assert_string_equal(fuse_status_name(FUSE_OK), "OK");
    assert_string_equal(fuse_status_name((enum fuse_status)1234), "UNKNOWN");
    assert_non_null(fuse_status_text((enum fuse_status)1234));
    assert_string_equal(fuse_memkind_name(FUSE_MEM_HOST), "host");
    assert_string_equal(fuse_memkind_name(FUSE_MEM_NODE), "node");
    assert_string_equal(fuse_memkind_name(FUSE_MEM_PINNED), "pinned");
    assert_string_equal(fuse_memkind_name(FUSE_MEM_DEVICE), "device");
    static const char *const reductions[] = {"none", "sum", "prod", "min", "max", "or", "and"};
    for (int op = FUSE_REDUCE_NONE; op <= FUSE_REDUCE_AND; op++)
        assert_string_equal(fuse_reduce_name((enum fuse_reduce)op), reductions[op]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_failure_is_kept),
        cmocka_unit_test(span_is_recorded),
        cmocka_unit_test(success_cannot_be_a_failure),
        cmocka_unit_test(notes_and_hints),
        cmocka_unit_test(long_texts_are_cut),
        cmocka_unit_test(try_macros_stop_at_the_failure),
        cmocka_unit_test(exit_statuses),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
