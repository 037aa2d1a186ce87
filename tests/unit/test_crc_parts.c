/* Checksums put together from ranges. What would make these fail: a range shifted by the wrong distance, or ranges that do
 * not tile the whole being taken for ones that do. */
#include "io/crc_parts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The definition, a bit at a time. */
static uint32_t slow_crc(const unsigned char *at, size_t bytes) {
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < bytes; i++) {
        crc ^= at[i];
        for (int b = 0; b < 8; b++)
            crc = crc & 1 ? crc >> 1 ^ 0xedb88320u : crc >> 1;
    }
    return ~crc;
}

static struct fuse_crc_parts join(struct fuse_crc_parts parts) {
    struct fuse_comm *self;
    struct fuse_error err = {0};
    assert_int_equal(fuse_comm_open_self(&self, &err), FUSE_OK);
    assert_int_equal(fuse_crc_parts_join(&parts, self, &err), FUSE_OK);
    self->ops->close(self);
    return parts;
}

enum { BYTES = 5000, MOST_CUTS = 40 };

static int compare_ints(const void *a, const void *b) {
    return *(const int *)a - *(const int *)b;
}

static void test_tiles(void **unused) {
    (void)unused;
    srand(5);
    for (int turn = 0; turn < 200; turn++) {
        unsigned char data[BYTES];
        int bytes = rand() % BYTES, cuts = 2 + rand() % (MOST_CUTS - 2), cut[MOST_CUTS], order[MOST_CUTS];
        for (int i = 0; i < bytes; i++)
            data[i] = (unsigned char)rand();
        for (int i = 0; i < cuts; i++) {
            cut[i] = i == 0 ? 0 : i == 1 ? bytes : rand() % (bytes + 1);
            order[i] = i;
        }
        qsort(cut, (size_t)cuts, sizeof *cut, compare_ints);
        for (int i = cuts - 2; i > 0; i--) {
            int other = rand() % (i + 1), kept = order[i];
            order[i] = order[other];
            order[other] = kept;
        }
        struct fuse_crc_parts parts = fuse_crc_parts(bytes);
        for (int i = 0; i + 1 < cuts; i++) {
            int begin = cut[order[i]], end = cut[order[i] + 1];
            fuse_crc_parts_add(&parts, data + begin, (size_t)(end - begin), begin);
        }
        parts = join(parts);
        assert_true(fuse_crc_parts_is_whole(&parts));
        assert_int_equal(parts.crc, slow_crc(data, (size_t)bytes));
    }
}

/* As many bytes as the whole has, but one range twice and another never; two overlaps; a gap. */
static void test_not_tiles(void **unused) {
    (void)unused;
    const unsigned char data[100] = {1, 2, 3};
    const int64_t range[][4][2] = {{{0, 25}, {0, 25}, {50, 75}, {75, 100}},    {{0, 60}, {40, 80}, {0, 0}, {0, 0}},
                                   {{25, 50}, {25, 50}, {75, 100}, {75, 100}}, {{0, 50}, {51, 100}, {0, 1}, {0, 0}},
                                   {{0, 50}, {0, 50}, {0, 0}, {0, 0}},         {{0, 99}, {0, 0}, {0, 0}, {0, 0}}};
    for (size_t i = 0; i < sizeof range / sizeof *range; i++) {
        struct fuse_crc_parts parts = fuse_crc_parts(100);
        for (int r = 0; r < 4; r++)
            fuse_crc_parts_add(&parts, data + range[i][r][0], (size_t)(range[i][r][1] - range[i][r][0]),
                               range[i][r][0]);
        parts = join(parts);
        assert_false(fuse_crc_parts_is_whole(&parts));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tiles),
        cmocka_unit_test(test_not_tiles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
