#include "io/rawfile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* Fails when a full disk passes for written, or is told without saying what to do. */
static void full_disk(void **state) {
    (void)state;
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        skip();
    struct fuse_error err = {0};
    assert_int_equal(fuse_rawfile_write(fd, "abc", 3, 0, "y.npy", &err), FUSE_EIO);
    assert_non_null(strstr(err.message, "writing y.npy failed"));
    assert_non_null(strstr(err.hint, "make room"));
    close(fd);
}

/* Fails when another failure is taken for a full disk. */
static void closed_file(void **state) {
    (void)state;
    struct fuse_error err = {0};
    assert_int_equal(fuse_rawfile_write(-1, "abc", 3, 0, "y.npy", &err), FUSE_EIO);
    assert_string_equal(err.hint, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(full_disk), cmocka_unit_test(closed_file)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
