#include "core/box.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

static struct fuse_box box2(int64_t lo0, int64_t hi0, int64_t lo1, int64_t hi1) {
    return (struct fuse_box){.rank = 2, .lo = {lo0, lo1}, .hi = {hi0, hi1}};
}

static bool holds(const struct fuse_box *box, const int64_t *x) {
    for (int a = 0; a < box->rank; a++)
        if (x[a] < box->lo[a] || x[a] >= box->hi[a])
            return false;
    return true;
}

static uint64_t random_state = 88172645463325252u;

static int64_t draw(int64_t below) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (int64_t)(random_state >> 1) % below;
}

static struct fuse_box draw_box(int rank) {
    struct fuse_box box = {.rank = rank};
    for (int a = 0; a < rank; a++) {
        box.lo[a] = draw(5) - 1;
        box.hi[a] = box.lo[a] + draw(5) - 1;
    }
    return box;
}

/* Fails when a set operation disagrees with the points that the boxes hold, one by one. */
static void operations_match_their_points(void **state) {
    (void)state;
    for (int round = 0; round < 3000; round++) {
        struct fuse_box a = draw_box(3), b = draw_box(3), common, alias = a;
        bool some = fuse_box_intersect(&common, &a, &b);
        assert_int_equal(fuse_box_intersect(&alias, &alias, &b), some);
        assert_true(fuse_box_equal(&common, &alias));
        alias = b;
        fuse_box_intersect(&alias, &a, &alias);
        assert_true(fuse_box_equal(&common, &alias));
        int64_t in_a = 0, in_both = 0, outside = 0, x[3];
        for (x[0] = -3; x[0] < 10; x[0]++)
            for (x[1] = -3; x[1] < 10; x[1]++)
                for (x[2] = -3; x[2] < 10; x[2]++) {
                    in_a += holds(&a, x);
                    in_both += holds(&a, x) && holds(&b, x);
                    outside += holds(&b, x) && !holds(&a, x);
                    assert_int_equal(holds(&common, x), holds(&a, x) && holds(&b, x));
                }
        assert_int_equal(fuse_box_elems(&a), in_a);
        assert_int_equal(fuse_box_is_empty(&a), in_a == 0);
        assert_int_equal(fuse_box_elems(&common), in_both);
        assert_int_equal(some, in_both > 0);
        assert_int_equal(fuse_box_contains(&a, &b), outside == 0);
        for (int axis = 0; axis < 3; axis++)
            assert_true(common.hi[axis] >= common.lo[axis]);
    }
}

static void limits(void **state) {
    (void)state;
    struct fuse_box point = fuse_box_full(0, NULL);
    assert_false(fuse_box_is_empty(&point));
    assert_int_equal(fuse_box_elems(&point), 1);
    struct fuse_box huge = fuse_box_full(2, (int64_t[]){INT64_C(1) << 40, INT64_C(1) << 40});
    assert_int_equal(fuse_box_elems(&huge), INT64_MAX);
    struct fuse_box whole = {.rank = 1, .lo = {INT64_MIN}, .hi = {INT64_MAX}};
    assert_int_equal(fuse_box_elems(&whole), INT64_MAX);
    struct fuse_box other = box2(0, 1, 0, 1);
    assert_false(fuse_box_equal(&point, &other));
    assert_int_equal(fuse_sat_add(INT64_MAX, 1), INT64_MAX);
    assert_int_equal(fuse_sat_add(3, 4), 7);
    assert_int_equal(fuse_sat_mul(INT64_C(1) << 32, INT64_C(1) << 31), INT64_MAX);
    assert_int_equal(fuse_sat_mul(INT64_C(1) << 31, INT64_C(1) << 31), INT64_C(1) << 62);
    assert_int_equal(fuse_sat_mul(0, INT64_MAX), 0);
}

/* Fails when blocks differ by more than one, leave a gap, or a nested split differs from the flat one. */
static void splits_are_balanced_and_nested(void **state) {
    (void)state;
    for (int64_t n = 0; n < 70; n++)
        for (int64_t parts = 1; parts < 40; parts++) {
            assert_int_equal(fuse_split_begin(n, parts, 0), 0);
            assert_int_equal(fuse_split_begin(n, parts, parts), n);
            for (int64_t k = 0; k < parts; k++) {
                int64_t size = fuse_split_begin(n, parts, k + 1) - fuse_split_begin(n, parts, k);
                assert_in_range(size, n / parts, n / parts + (n % parts != 0));
            }
        }
    for (int64_t n = 0; n < 100; n++)
        for (int64_t d0 = 1; d0 < 7; d0++)
            for (int64_t d1 = 1; d1 < 7; d1++)
                for (int64_t c0 = 0; c0 < d0; c0++)
                    assert_int_equal(fuse_split_begin(n, d0 * d1, c0 * d1), fuse_split_begin(n, d0, c0));
}

/* Expected values from exact integer arithmetic in another language. */
static void splits_do_not_overflow(void **state) {
    (void)state;
    static const int64_t cases[][4] = {
        {INT64_C(4611686018427387904), INT64_C(2147483648), INT64_C(2147483647), INT64_C(4611686016279904256)},
        {INT64_C(4611686018427387904), INT64_C(2147483648), INT64_C(2147483648), INT64_C(4611686018427387904)},
        {INT64_C(4611686018427387903), INT64_C(2147483647), INT64_C(1234567891), INT64_C(2651214359502914259)},
        {INT64_C(1000000000000000007), INT64_C(4093), INT64_C(4092), INT64_C(999755680430002450)},
        {INT64_C(2305843009213693957), INT64_C(3), INT64_C(2), INT64_C(1537228672809129304)},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(fuse_split_begin(cases[i][0], cases[i][1], cases[i][2]), cases[i][3]);
}

static int64_t position(int rank, const int64_t *extent, bool reversed, const int64_t *x) {
    int64_t at = 0;
    for (int d = 0; d < rank; d++) {
        int a = reversed ? rank - 1 - d : d;
        at = at * extent[a] + x[a];
    }
    return at;
}

/* Walks a box in file order and asserts that it continues at `at`; returns the position after it. */
static int64_t walk(const struct fuse_box *box, const int64_t *extent, bool reversed, int64_t at) {
    int64_t x[FUSE_MAX_AXES];
    memcpy(x, box->lo, sizeof x);
    for (;;) {
        assert_int_equal(position(box->rank, extent, reversed, x), at);
        at++;
        int d = box->rank - 1;
        for (; d >= 0; d--) {
            int a = reversed ? box->rank - 1 - d : d;
            if (++x[a] < box->hi[a])
                break;
            x[a] = box->lo[a];
        }
        if (d < 0)
            return at;
    }
}

/* Fails when the boxes of some range miss an element, repeat one, leave the order or are too many. */
static void ranges_become_boxes(void **state) {
    (void)state;
    static const int64_t extents[][4] = {{7, 1, 1, 1}, {3, 4, 1, 1}, {2, 3, 4, 1}, {3, 1, 2, 2},
                                         {1, 1, 5, 1}, {1, 3, 1, 3}, {2, 2, 2, 2}};
    for (size_t c = 0; c < sizeof extents / sizeof *extents; c++)
        for (int rank = 0; rank <= 4; rank++)
            for (int reversed = 0; reversed < 2; reversed++) {
                struct fuse_box full = fuse_box_full(rank, extents[c]);
                int64_t total = fuse_box_elems(&full);
                for (int64_t begin = 0; begin <= total; begin++)
                    for (int64_t end = begin; end <= total; end++) {
                        struct fuse_box boxes[FUSE_MAX_RANGE_BOXES];
                        int n = fuse_box_of_range(boxes, rank, extents[c], reversed, begin, end);
                        assert_in_range(n, begin < end, rank ? 2 * rank - 1 : 1);
                        if (begin == end)
                            assert_int_equal(n, 0);
                        int64_t at = begin;
                        for (int i = 0; i < n; i++) {
                            assert_true(fuse_box_contains(&full, &boxes[i]));
                            at = walk(&boxes[i], extents[c], reversed, at);
                        }
                        assert_int_equal(at, end);
                    }
            }
    struct fuse_box boxes[FUSE_MAX_RANGE_BOXES];
    assert_int_equal(fuse_box_of_range(boxes, 3, (int64_t[]){4, 0, 4}, false, 0, 10), 0);
    /* The most boxes of the largest rank: all but the first and the last element. */
    int64_t twos[FUSE_MAX_AXES];
    for (int a = 0; a < FUSE_MAX_AXES; a++)
        twos[a] = 2;
    int64_t total = INT64_C(1) << FUSE_MAX_AXES, covered = 0;
    int n = fuse_box_of_range(boxes, FUSE_MAX_AXES, twos, false, 1, total - 1);
    assert_in_range(n, 1, 2 * FUSE_MAX_AXES - 1);
    for (int i = 0; i < n; i++)
        covered += fuse_box_elems(&boxes[i]);
    assert_int_equal(covered, total - 2);
}

/* Fails when the box misses an element that is read, or is larger than the smallest such box. */
static void access_boxes_are_tight(void **state) {
    (void)state;
    for (int round = 0; round < 3000; round++) {
        struct fuse_box iteration = draw_box(2);
        struct fuse_access access = {.rank = 3};
        for (int a = 0; a < 3; a++)
            access.at[a] =
                (struct fuse_access_axis){.index = (int)draw(3) - 1, .stride = draw(7) - 3, .offset = draw(9) - 4};
        struct fuse_box box = fuse_access_box(&access, &iteration);
        assert_int_equal(box.rank, 3);
        if (fuse_box_is_empty(&iteration)) {
            assert_true(fuse_box_is_empty(&box));
            continue;
        }
        int64_t lo[3] = {1000, 1000, 1000}, hi[3] = {-1000, -1000, -1000}, i[2];
        for (i[0] = iteration.lo[0]; i[0] < iteration.hi[0]; i[0]++)
            for (i[1] = iteration.lo[1]; i[1] < iteration.hi[1]; i[1]++)
                for (int a = 0; a < 3; a++) {
                    const struct fuse_access_axis *axis = &access.at[a];
                    int64_t x = axis->offset + (axis->index < 0 ? 0 : axis->stride * i[axis->index]);
                    lo[a] = x < lo[a] ? x : lo[a];
                    hi[a] = x + 1 > hi[a] ? x + 1 : hi[a];
                }
        for (int a = 0; a < 3; a++) {
            assert_int_equal(box.lo[a], lo[a]);
            assert_int_equal(box.hi[a], hi[a]);
        }
    }
    struct fuse_access identity = fuse_access_identity(2);
    struct fuse_box iteration = box2(2, 5, 7, 9), box = fuse_access_box(&identity, &iteration);
    assert_true(fuse_box_equal(&box, &iteration));
}

static void views_address_the_part(void **state) {
    (void)state;
    struct fuse_box block = box2(10, 13, 20, 24), part = box2(11, 13, 21, 23);
    int32_t data[12];
    for (int reversed = 0; reversed < 2; reversed++) {
        for (int64_t r = 0; r < 3; r++)
            for (int64_t c = 0; c < 4; c++)
                data[reversed ? c * 3 + r : r * 4 + c] = (int32_t)(100 * (10 + r) + 20 + c);
        struct fuse_view view = fuse_box_view(data, FUSE_I32, &block, reversed, &part);
        assert_int_equal(view.dtype, FUSE_I32);
        assert_int_equal(view.rank, 2);
        assert_int_equal(view.extent[0], 2);
        assert_int_equal(view.extent[1], 2);
        for (int64_t r = 0; r < 2; r++)
            for (int64_t c = 0; c < 2; c++)
                assert_int_equal(((int32_t *)view.data)[r * view.stride[0] + c * view.stride[1]],
                                 100 * (11 + r) + 21 + c);
    }
    struct fuse_box none = box2(50, 50, 21, 23);
    struct fuse_view view = fuse_box_view(data, FUSE_I32, &block, false, &none);
    assert_ptr_equal(view.data, data);
    assert_int_equal(view.extent[0], 0);
    view = fuse_box_view(NULL, FUSE_I32, &block, false, &part);
    assert_null(view.data);
    int64_t stride[FUSE_MAX_AXES];
    struct fuse_box three = fuse_box_full(3, (int64_t[]){2, 3, 5});
    fuse_box_strides(stride, &three, false);
    assert_memory_equal(stride, ((int64_t[]){15, 5, 1}), 3 * sizeof *stride);
    fuse_box_strides(stride, &three, true);
    assert_memory_equal(stride, ((int64_t[]){1, 2, 6}), 3 * sizeof *stride);
}

/* concat(x): one index reads two axes. The box must hold every element that is read and be the smallest, and once it has
 * two rows it must have them whole, or the pair would be no axis in memory. */
static void paired_axes_have_tight_boxes(void **state) {
    (void)state;
    for (int64_t rows = 1; rows <= 4; rows++)
        for (int64_t width = 1; width <= 4; width++) {
            struct fuse_access access = {.rank = 2};
            access.at[0] = (struct fuse_access_axis){.index = 0, .stride = 1, .divide = width};
            access.at[1] = (struct fuse_access_axis){.index = 0, .stride = 1, .modulo = width};
            int64_t longest[17][2] = {{0}};
            for (int64_t lo = 0; lo < rows * width; lo++)
                for (int64_t hi = lo + 1; hi <= rows * width; hi++) {
                    struct fuse_box iteration = {.rank = 1, .lo = {lo}, .hi = {hi}};
                    struct fuse_box box = fuse_access_box(&access, &iteration);
                    struct fuse_box seen = {.rank = 2, .lo = {99, 99}};
                    for (int64_t i = lo; i < hi; i++)
                        for (int a = 0; a < 2; a++) {
                            int64_t x = a == 0 ? i / width : i % width;
                            assert_int_equal(fuse_access_coordinate(&access.at[a], i), x);
                            seen.lo[a] = x < seen.lo[a] ? x : seen.lo[a];
                            seen.hi[a] = x + 1 > seen.hi[a] ? x + 1 : seen.hi[a];
                        }
                    assert_true(fuse_box_contains(&box, &seen));
                    bool two = box.hi[0] - box.lo[0] > 1;
                    assert_true(two ? box.lo[1] == 0 && box.hi[1] == width : fuse_box_equal(&box, &seen));
                    assert_int_equal(box.hi[0] - box.lo[0], seen.hi[0] - seen.lo[0]);
                    for (int a = 0; a < 2; a++)
                        if (box.hi[a] - box.lo[a] > longest[hi - lo][a])
                            longest[hi - lo][a] = box.hi[a] - box.lo[a];
                }
            for (int64_t n = 1; n <= rows * width; n++)
                for (int a = 0; a < 2; a++)
                    assert_true(fuse_access_longest(&access.at[a], n) >= longest[n][a]);
            if (rows > 2) /* no room is wasted where rows may begin anywhere */
                for (int a = 0; a < 2; a++)
                    assert_int_equal(fuse_access_longest(&access.at[a], width + 1), longest[width + 1][a]);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operations_match_their_points),
        cmocka_unit_test(limits),
        cmocka_unit_test(splits_are_balanced_and_nested),
        cmocka_unit_test(splits_do_not_overflow),
        cmocka_unit_test(ranges_become_boxes),
        cmocka_unit_test(access_boxes_are_tight),
        cmocka_unit_test(paired_axes_have_tight_boxes),
        cmocka_unit_test(views_address_the_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
