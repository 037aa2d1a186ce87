/* What a report of progress says, and when the first is due. A wrong estimate, a broken line or a bar that is too wide for
 * the terminal would fail here. */
#include "launcher/progress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void expect(const char *wanted, enum progress_kind kind, double fraction, const char *subject, double seconds,
                   int columns) {
    struct fuse_dist_progress now = {.fraction = fraction, .phase = "run", .subject = subject};
    char text[256];
    progress_text(text, sizeof text, kind, &now, seconds, columns);
    assert_string_equal(text, wanted);
}

static void test_text(void **state) {
    (void)state;
    expect("progress:  25% run, 20 s, about 1:00 min left, at Y", PROGRESS_LINES, 0.25, "Y", 20, 0);
    expect("progress:   0% run, 2:00 h, at Y", PROGRESS_LINES, 0.001, "Y", 7200, 0);
    expect("progress: 100% run, 1:05 min, about 0 s left", PROGRESS_LINES, 1, NULL, 65, 0);
    expect("[##########..........]  50% run, 4 s, about 4 s left, at Y", PROGRESS_BAR, 0.5, "Y", 4, 79);
    expect("[##########..........]  50% ru", PROGRESS_BAR, 0.5, "Y", 4, 30);
    expect("progress:  50% run, 4 s, about 4 s left, at a?b", PROGRESS_LINES, 0.5, "a\nb", 4, 0);
    /* 58 columns would end within the name, which is one character of two bytes. */
    expect("[##########..........]  50% run, 4 s, about 4 s left, at ", PROGRESS_BAR, 0.5, "\xc3\xa4", 4, 58);
}

static void test_long_subject(void **state) {
    (void)state;
    char subject[4096], text[64];
    memset(subject, 'x', sizeof subject - 1);
    subject[sizeof subject - 1] = '\0';
    struct fuse_dist_progress now = {.fraction = 0.5, .phase = "load", .subject = subject};
    progress_text(text, sizeof text, PROGRESS_LINES, &now, 1, 0);
    assert_int_equal(strlen(text), sizeof text - 1);
}

static void test_choice(void **state) {
    (void)state;
    assert_int_equal(progress_choose(NULL, true), PROGRESS_BAR);
    assert_int_equal(progress_choose("auto", false), PROGRESS_LINES);
    assert_int_equal(progress_choose("bar", false), PROGRESS_BAR);
    assert_int_equal(progress_choose("lines", true), PROGRESS_LINES);
    assert_int_equal(progress_choose("off", true), PROGRESS_OFF);
    assert_true(progress_first(PROGRESS_BAR) >= 2 && progress_first(PROGRESS_LINES) >= 10);
    assert_true(progress_interval(PROGRESS_LINES) >= 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_long_subject),
        cmocka_unit_test(test_choice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
