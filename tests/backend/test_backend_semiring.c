/* Products over other semirings than the sum of products, on every subject against ref: all layouts, numbers that are not
 * finite, results that are added to, and that the kernels of their own are what ran. */
#include "testbed.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IMAGE ((size_t)8 << 20)

static int open_beds(void **state) {
    (void)state;
    beds_open(IMAGE);
    return 0;
}

enum { A = 1, B = 2, C = 4 };

static const struct {
    int indices;
    int64_t extent[6];
    int in[6];
} shapes[] = {
    {3, {40, 50, 30}, {A | C, B | C, A | B}},
    {3, {13, 1037, 7}, {A | C, B | C, A | B}},
    {3, {33, 35, 801}, {A | C, B | C, A | B}},
    {4, {17, 20, 33, 19}, {A | B | C, A | C, B | C, A | B}},
    {5, {9, 11, 12, 6, 7}, {A | C, B | C, B | C, A | B, A | B}},
    {5, {9, 5, 12, 6, 11}, {A | C, A | C, B | C, A | B, A}}, /* the last one is in one operand only */
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static const struct {
    enum fuse_reduce reduce;
    enum fuse_scalar_op op;
    const char *name;
} rings[] = {
    {FUSE_REDUCE_MIN, FUSE_SCALAR_ADD, "min-plus"},    {FUSE_REDUCE_MAX, FUSE_SCALAR_ADD, "max-plus"},
    {FUSE_REDUCE_MIN, FUSE_SCALAR_MUL, "min-times"},   {FUSE_REDUCE_MAX, FUSE_SCALAR_MUL, "max-times"},
    {FUSE_REDUCE_MIN, FUSE_SCALAR_MAXIMUM, "min-max"}, {FUSE_REDUCE_MAX, FUSE_SCALAR_MINIMUM, "max-min"},
};
enum { RINGS = sizeof rings / sizeof *rings };

/* What is put among the elements: nothing, NaN in one operand, infinities of one sign as in absent edges, and of both. */
enum { FINITE, NOT_A_NUMBER, ABSENT, BOTH_SIGNS, SPECIALS };

static void put(char *image, size_t at, bool wide, double value) {
    if (wide)
        ((double *)image)[at] = value;
    else
        ((float *)image)[at] = (float)value;
}

static void check(int shape, int ring, bool wide, int special, bool accumulate, uint64_t seed) {
    struct rng rng = {.state = seed};
    const enum fuse_dtype type = wide ? FUSE_F64 : FUSE_F32;
    const size_t size = fuse_dtype_bytes(type);
    struct fuse_scalar_node node[3] = {{.op = FUSE_SCALAR_LOAD, .dtype = type, .a = -1, .b = -1, .c = -1, .arg = 0},
                                       {.op = FUSE_SCALAR_LOAD, .dtype = type, .a = -1, .b = -1, .c = -1, .arg = 1},
                                       {.op = rings[ring].op, .dtype = type, .a = 0, .b = 1, .c = -1}};
    const struct fuse_scalar body = {.n = 3, .node = node};
    struct call call = {.kind = CALL_MAP};
    call.map = (struct fuse_map_call){.indices = shapes[shape].indices,
                                      .operands = 2,
                                      .body = &body,
                                      .reduce = rings[ring].reduce,
                                      .accumulate = accumulate};
    struct fuse_operand_view *view[3] = {&call.operand[0], &call.operand[1], &call.map.out};
    size_t at = 0, first[3], count[3];
    for (int o = 0; o < 3; o++) {
        int64_t extent[6], stride[6], origin;
        int axis[6], axes = 0;
        view[o]->dtype = type;
        for (int x = 0; x < shapes[shape].indices; x++) {
            call.map.extent[x] = shapes[shape].extent[x];
            if (shapes[shape].in[x] >> o & 1) {
                extent[axes] = shapes[shape].extent[x];
                axis[axes++] = x;
                if (o == 2)
                    call.map.in_out |= UINT32_C(1) << x;
            }
        }
        const int64_t span = random_layout(&rng, axes, extent, stride, &origin, true);
        for (int i = 0; i < axes; i++)
            view[o]->stride[axis[i]] = stride[i];
        view[o]->data = (void *)((at + (size_t)origin) * size);
        first[o] = at;
        count[o] = (size_t)span;
        at += ((size_t)span + 15) / 16 * 16;
    }
    const size_t bytes = at * size;
    assert_true(bytes <= IMAGE);
    char *image = calloc(bytes, 1), *expected = malloc(bytes), *got = malloc(bytes);
    fill_whole(&rng, image, type, at, 100);
    for (int i = 0; i < 12 && special != FINITE; i++) {
        const int o = special == NOT_A_NUMBER ? (int)(seed & 1) : i & 1;
        const double sign = special == BOTH_SIGNS && o == 1 ? -1 : 1;
        put(image, first[o] + (size_t)rng_below(&rng, (int)count[o]), wide,
            special == NOT_A_NUMBER ? NAN : sign * INFINITY);
    }
    char name[160];
    snprintf(name, sizeof name, "%s of %s, shape %d, special %d, accumulate %d, seed %d", rings[ring].name,
             fuse_dtype_name(type), shape, special, accumulate, (int)seed);
    struct fuse_error err = {0};
    struct fuse_view result = call_result(&call);
    memcpy(expected, image, bytes);
    assert_int_equal(bed_run(&ref, &call, expected, bytes, &err), FUSE_OK);
    for (int s = 0; s < SUBJECTS; s++) {
        const int64_t packed = subject[s].backend->packed_bytes;
        memcpy(got, image, bytes);
        if (bed_run(&subject[s], &call, got, bytes, &err) != FUSE_OK)
            fail_msg("%s on %s: %s", name, subject_name[s], err.message);
        compare_images(name, &result, image, expected, got, bytes, 0, 0);
        if (strcmp(subject[s].backend->ops->name, "cpu") == 0 && subject[s].backend->packed_bytes == packed)
            fail_msg("%s on %s: was run as a map", name, subject_name[s]);
    }
    free(image);
    free(expected);
    free(got);
}

static void products_over_semirings(void **state) {
    (void)state;
    for (int shape = 0; shape < SHAPES; shape++)
        for (int ring = 0; ring < RINGS; ring++)
            for (int seed = 0; seed < 4; seed++)
                check(shape, ring, seed & 1, FINITE, seed & 2, (uint64_t)(100 * shape + 10 * ring + seed));
}

static void numbers_that_are_not_finite(void **state) {
    (void)state;
    for (int shape = 0; shape < SHAPES; shape += 3)
        for (int ring = 0; ring < RINGS; ring++)
            for (int special = FINITE + 1; special < SPECIALS; special++)
                for (int seed = 0; seed < 4; seed++)
                    check(shape, ring, seed & 1, special, seed & 2,
                          (uint64_t)(1000 + 100 * ring + 10 * special + seed));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(products_over_semirings),
                                       cmocka_unit_test(numbers_that_are_not_finite)};
    return cmocka_run_group_tests(tests, open_beds, beds_close);
}
