/* How a place in the program is shown: line and column, the line, the caret. */
#include "lang/diagnostics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    struct fuse_arena *arena;
    struct fuse_files files;
    struct fuse_diagnostics diagnostics;
};

static int open_fixture(void **state) {
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fixture *fixture = FUSE_NEW(arena, struct fixture);
    fixture->arena = fixture->files.arena = fixture->diagnostics.arena = arena;
    *state = fixture;
    return 0;
}

static int close_fixture(void **state) {
    fuse_arena_close(((struct fixture *)*state)->arena);
    return 0;
}

static void add_file_bytes(struct fixture *fixture, const char *path, const char *text, size_t bytes) {
    struct fuse_program_file file = {.path = path, .text = text, .bytes = bytes};
    fuse_vec_push(fixture->arena, &fixture->files.list, file);
}

static void add_file(struct fixture *fixture, const char *path, const char *text) {
    add_file_bytes(fixture, path, text, strlen(text));
}

/* The place of `piece` in a file. */
static struct fuse_span find(const struct fixture *fixture, int file, const char *piece) {
    const char *text = fixture->files.list.at[file].text, *at = strstr(text, piece);
    assert_non_null(at);
    return (struct fuse_span){
        .file = file, .begin = (uint32_t)(at - text), .end = (uint32_t)(at - text + (ptrdiff_t)strlen(piece))};
}

static const char *render(const struct fixture *fixture, const struct fuse_diagnostic *diagnostic) {
    struct fuse_text text = {.arena = fixture->arena};
    fuse_diagnostic_print(&text, &fixture->files, diagnostic);
    return text.at;
}

static const char *render_at(struct fixture *fixture, struct fuse_span span) {
    return render(fixture, fuse_report(&fixture->diagnostics, FUSE_SEVERITY_ERROR, span, "oh"));
}

static void test_locate(void **state) {
    struct fixture *fixture = *state;
    add_file(fixture, "a", "ab\n\né日x\r\nlast");
    static const struct {
        uint32_t offset;
        int line, column;
    } cases[] = {
        {0, 1, 1}, {1, 1, 2},  {2, 1, 3},  {3, 2, 1},  {4, 3, 1},  {6, 3, 2},
        {9, 3, 3}, {10, 3, 4}, {12, 4, 1}, {15, 4, 4}, {16, 4, 5}, {99, 4, 5},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        int line, column;
        fuse_locate(&fixture->files.list.at[0], cases[k].offset, &line, &column);
        assert_int_equal(line, cases[k].line);
        assert_int_equal(column, cases[k].column);
    }
}

static void test_caret(void **state) {
    struct fixture *fixture = *state;
    add_file(fixture, "dir/p.fuse", "A = 1\nB = foo + é日 bar\n\tC\t= tab\nend");
    assert_string_equal(render_at(fixture, find(fixture, 0, "foo")), "dir/p.fuse:2:5: error: oh\n"
                                                                     "  B = foo + é日 bar\n"
                                                                     "      ^~~\n");
    assert_string_equal(render_at(fixture, find(fixture, 0, "é日")), "dir/p.fuse:2:11: error: oh\n"
                                                                     "  B = foo + é日 bar\n"
                                                                     "            ^~\n");
    assert_string_equal(render_at(fixture, find(fixture, 0, "bar")), "dir/p.fuse:2:14: error: oh\n"
                                                                     "  B = foo + é日 bar\n"
                                                                     "               ^~~\n");
    assert_string_equal(render_at(fixture, find(fixture, 0, "tab")), "dir/p.fuse:3:6: error: oh\n"
                                                                     "  \tC\t= tab\n"
                                                                     "  \t \t  ^~~\n");
    /* A range over several lines is shown on its first; an empty one is a caret, also behind the last character. */
    assert_string_equal(render_at(fixture, find(fixture, 0, "= 1\nB =")), "dir/p.fuse:1:3: error: oh\n"
                                                                          "  A = 1\n"
                                                                          "    ^~~\n");
    struct fuse_span end = find(fixture, 0, "end");
    end.begin = end.end;
    assert_string_equal(render_at(fixture, end), "dir/p.fuse:4:4: error: oh\n"
                                                 "  end\n"
                                                 "     ^\n");
    /* Spans that lie outside the file do no harm. */
    assert_string_equal(render_at(fixture, (struct fuse_span){.file = 0, .begin = 1000, .end = 2000}),
                        "dir/p.fuse:4:4: error: oh\n"
                        "  end\n"
                        "     ^\n");
    assert_string_equal(render_at(fixture, (struct fuse_span){.file = 7, .begin = 1, .end = 2}), "error: oh\n");
    assert_string_equal(render_at(fixture, FUSE_NO_SPAN), "error: oh\n");
}

static void test_empty_file(void **state) {
    struct fixture *fixture = *state;
    add_file(fixture, "e", "");
    assert_string_equal(render_at(fixture, (struct fuse_span){.file = 0}), "e:1:1: error: oh\n  \n  ^\n");
}

/* Only a window of 120 characters around the place is shown. */
static void test_long_lines(void **state) {
    struct fixture *fixture = *state;
    struct fuse_text text = {.arena = fixture->arena};
    for (int k = 0; k < 100; k++)
        fuse_text_add(&text, "é%02d", k);
    fuse_text_add(&text, "!HERE!");
    for (int k = 0; k < 100; k++)
        fuse_text_add(&text, "<%02d", k);
    add_file(fixture, "l", text.at);
    assert_string_equal(render_at(fixture, find(fixture, 0, "HERE")),
                        "l:1:302: error: oh\n"
                        "  "
                        "...80é81é82é83é84é85é86é87é88é89é90é91é92é93é94é95é96é97é98é99!HERE!<00<01<02<03<04<05<06<07<"
                        "08<09<10<11<12<13<14"
                        "<15<16<17<...\n"
                        "                                                                 ^~~~\n");
    assert_non_null(strstr(render_at(fixture, find(fixture, 0, "é00")), "l:1:1: error: oh\n  é00é01"));
    const char *tail = render_at(fixture, find(fixture, 0, "<99"));
    assert_non_null(strstr(tail, "<98<99\n"));
    assert_non_null(strstr(tail, "  ..."));
    /* A range that runs out of the window ends there. */
    struct fuse_span all = {.file = 0, .begin = 0, .end = (uint32_t)text.bytes};
    const char *shown = render_at(fixture, all), *caret = strchr(shown, '^');
    assert_int_equal(strspn(caret, "^~"), 120);
}

static void test_hostile_bytes(void **state) {
    struct fixture *fixture = *state;
    static const char text[] = "a\x1b[31m\xff\xc3 \0b\x7f\xc2\x85z";
    add_file_bytes(fixture, "h\x1b", text, sizeof text - 1);
    struct fuse_span span = {.file = 0, .begin = (uint32_t)sizeof text - 2, .end = (uint32_t)sizeof text - 1};
    assert_string_equal(render_at(fixture, span), "h?:1:14: error: oh\n"
                                                  "  a?[31m?? ?b??z\n"
                                                  "               ^\n");
    fixture->files.list.n = 0;
    const struct fuse_diagnostic *diagnostic =
        fuse_report(&fixture->diagnostics, FUSE_SEVERITY_ERROR, FUSE_NO_SPAN, "a\x1b\xff\né");
    assert_string_equal(render(fixture, diagnostic), "error: a??\né\n");
}

static void test_second_place_and_hint(void **state) {
    struct fixture *fixture = *state;
    add_file(fixture, "a.fuse", "X = one\n");
    add_file(fixture, "b.fuse", "\nY = two\n");
    struct fuse_diagnostic *diagnostic =
        fuse_report(&fixture->diagnostics, FUSE_SEVERITY_WARNING, find(fixture, 0, "one"), "%d is not %s", 1, "two");
    diagnostic->hint = "do this";
    diagnostic->other = find(fixture, 1, "two");
    diagnostic->other_message = "the other comes from here";
    assert_string_equal(render(fixture, diagnostic), "a.fuse:1:5: warning: 1 is not two\n"
                                                     "  X = one\n"
                                                     "      ^~~\n"
                                                     "b.fuse:2:5: note: the other comes from here\n"
                                                     "  Y = two\n"
                                                     "      ^~~\n"
                                                     "hint: do this\n");
    assert_int_equal(fixture->diagnostics.errors, 0);
    assert_int_equal(fixture->diagnostics.warnings, 1);
}

static void test_counts(void **state) {
    struct fixture *fixture = *state;
    for (int k = 0; k < 150; k++) {
        struct fuse_diagnostic *diagnostic =
            fuse_report(&fixture->diagnostics, FUSE_SEVERITY_ERROR, FUSE_NO_SPAN, "%d", k);
        diagnostic->hint = "may always be set";
        diagnostic->other = FUSE_NO_SPAN;
    }
    assert_int_equal(fixture->diagnostics.errors, 150);
    assert_int_equal(fixture->diagnostics.list.n, 100);
    assert_string_equal(fixture->diagnostics.list.at[99].message, "99");
    assert_int_equal(fixture->diagnostics.list.at[0].status, FUSE_EPROGRAM);

    char name[5000];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    fixture->diagnostics.errors = 0;
    const struct fuse_diagnostic *diagnostic =
        fuse_report(&fixture->diagnostics, FUSE_SEVERITY_ERROR, FUSE_NO_SPAN, "%s", name);
    assert_true(strlen(diagnostic->message) > 500);
}

static void test_run_time_errors(void **state) {
    struct fixture *fixture = *state;
    struct fuse_text text = {.arena = fixture->arena};
    add_file(fixture, "p.fuse", "X[i] = \"x.npy\"\n");
    struct fuse_error err = {.rank = -1};
    assert_int_equal(fuse_fail(&err, FUSE_EIO, "x.npy: bad magic"), FUSE_EIO);
    fuse_error_print(&text, &fixture->files, &err);
    assert_string_equal(text.at, "error: x.npy: bad magic\n");

    err = (struct fuse_error){.rank = -1};
    text = (struct fuse_text){.arena = fixture->arena};
    assert_int_equal(fuse_fail_at(&err, FUSE_EINPUT, find(fixture, 0, "\"x.npy\""), "bad magic"), FUSE_EINPUT);
    fuse_note(&err, "while loading tensor 'X'");
    fuse_note(&err, "while preparing");
    fuse_hint(&err, "convert it");
    fuse_error_print(&text, &fixture->files, &err);
    assert_string_equal(text.at, "p.fuse:1:8: error: bad magic\n"
                                 "  X[i] = \"x.npy\"\n"
                                 "         ^~~~~~~\n"
                                 "note: while loading tensor 'X'\n"
                                 "note: while preparing\n"
                                 "hint: convert it\n");
    /* Without the files the place cannot be shown. */
    text = (struct fuse_text){.arena = fixture->arena};
    fuse_error_print(&text, NULL, &err);
    assert_non_null(strstr(text.at, "error: bad magic\n"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_locate, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_caret, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_empty_file, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_long_lines, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_hostile_bytes, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_second_place_and_hint, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_counts, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_run_time_errors, open_fixture, close_fixture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
