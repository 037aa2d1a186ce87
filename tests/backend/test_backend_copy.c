/* Copies, combinations, clearing and transfers on cpu (1 and 2 threads) and fakedev against ref. */
#include "testbed.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IMAGE ((size_t)40 << 20)

static int open_beds(void **state) {
    (void)state;
    beds_open(IMAGE);
    return 0;
}

/* A view of a random part of a block with a random layout, filled with random bytes. */
static size_t place(struct rng *rng, struct fuse_view *view, char *image, size_t at, bool may_broadcast) {
    int64_t block[FUSE_MAX_AXES] = {0}, origin;
    for (int a = 0; a < view->rank; a++)
        block[a] = view->extent[a] + (rng_below(rng, 3) == 0 ? rng_below(rng, 5) : 0);
    int64_t span = random_layout(rng, view->rank, block, view->stride, &origin, true);
    const size_t size = fuse_dtype_bytes(view->dtype);
    assert_true(at + (size_t)span * size <= IMAGE);
    if (fuse_dtype_class(view->dtype) == FUSE_CLASS_REAL || view->dtype == FUSE_BOOL)
        fill_whole(rng, image + at, view->dtype, (size_t)span, 50);
    else
        for (size_t i = 0; i < (size_t)span * size; i++)
            image[at + i] = (char)(rng_next(rng) & 0x3f);
    if (may_broadcast && view->rank > 0 && rng_below(rng, 8) == 0) {
        int a = rng_below(rng, view->rank);
        if (view->stride[a] > 0)
            view->stride[a] = 0;
    }
    view->data = (void *)(uintptr_t)(at + (size_t)origin * size);
    return (at + (size_t)span * size + 63) / 64 * 64;
}

static void run_views(struct rng *rng, struct call *call, const char *what) {
    char *image = calloc(IMAGE, 1);
    call->from.rank = call->to.rank;
    call->from.dtype = call->to.dtype;
    memcpy(call->from.extent, call->to.extent, sizeof call->to.extent);
    size_t bytes = place(rng, &call->to, image, 64, false);
    bytes = place(rng, &call->from, image, bytes, true) + 64;
    beds_compare(what, call, image, bytes, 0, 0, BITS_MAY_DIFFER);
    free(image);
}

static void random_views(void **state) {
    (void)state;
    static const int64_t extents[] = {1, 2, 3, 5, 8, 15, 16, 17, 33, 64, 100};
    for (int seed = 0; seed < 900; seed++) {
        struct rng rng = {.state = (uint64_t)seed};
        struct call call = {.kind = seed % 3 == 0 ? CALL_COPY : seed % 3 == 1 ? CALL_COMBINE : CALL_CLEAR};
        call.to.dtype = (enum fuse_dtype)rng_below(&rng, FUSE_F64 + 1);
        int64_t points = 1;
        for (int a = rng_below(&rng, 6); a > 0; a--) {
            int64_t extent = rng_below(&rng, 60) == 0 ? 0 : extents[rng_below(&rng, 11)];
            if ((points > 0 ? points : 20000) * extent > 20000)
                continue;
            points *= extent;
            call.to.extent[call.to.rank++] = extent;
        }
        call.op = call.to.dtype == FUSE_BOOL ? FUSE_REDUCE_OR + (unsigned)rng_below(&rng, 2)
                                             : FUSE_REDUCE_SUM + (unsigned)rng_below(&rng, 4);
        /* Bytes below 64 in every place: products of wide integers would overflow. */
        if (call.op == FUSE_REDUCE_PROD && fuse_dtype_class(call.to.dtype) != FUSE_CLASS_REAL)
            call.op = FUSE_REDUCE_MAX;
        char what[120];
        snprintf(what, sizeof what, "random views %d (%s)", seed, fuse_dtype_name(call.to.dtype));
        run_views(&rng, &call, what);
    }
}

/* Enough elements for two threads and several parts: transposes, permutations, long runs. */
static void large_views(void **state) {
    (void)state;
    static const struct {
        int rank;
        int64_t extent[4];
    } shapes[] = {{1, {300007}},    {2, {700, 500}},   {2, {1100, 1010}},
                  {2, {3, 100003}}, {3, {40, 90, 80}}, {4, {9, 31, 33, 40}}};
    static const enum fuse_dtype types[] = {FUSE_U8, FUSE_F16, FUSE_F32, FUSE_F64};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int t = 0; t < 4; t++)
            for (int seed = 0; seed < 3; seed++) {
                struct rng rng = {.state = i * 100 + (uint64_t)seed};
                struct call call = {.kind = seed == 2 ? CALL_COMBINE : CALL_COPY, .op = FUSE_REDUCE_MAX};
                call.to.dtype = types[t];
                call.to.rank = shapes[i].rank;
                memcpy(call.to.extent, shapes[i].extent, sizeof shapes[i].extent);
                run_views(&rng, &call, "large views");
            }
}

/* Transposes from 4 MiB on write whole lines past the caches, wherever in a row the lines begin. */
static void large_transposes(void **state) {
    (void)state;
    static const enum fuse_dtype types[] = {FUSE_I8, FUSE_BF16, FUSE_F32, FUSE_F64};
    static const int64_t edges[] = {2101, 1490, 1051, 747};
    char *image = calloc(IMAGE, 1);
    struct rng rng = {.state = 4};
    for (size_t i = 0; i < IMAGE; i++)
        image[i] = (char)(rng_next(&rng) & 0x3f);
    for (int t = 0; t < 4; t++)
        for (int shift = 0; shift < 3; shift++) {
            const size_t size = fuse_dtype_bytes(types[t]), from = (IMAGE / 2) / size * size;
            const int64_t n = edges[t], m = n - 5 + shift, ld = shift == 1 ? (m + 63) / 64 * 64 : m + shift;
            struct call call = {.kind = CALL_COPY};
            call.to = (struct fuse_view){.data = (void *)(64 + (size_t)shift * 3 * size),
                                         .dtype = types[t],
                                         .rank = 2,
                                         .extent = {n, m},
                                         .stride = {ld, 1}};
            call.from = call.to;
            call.from.data = (void *)from;
            call.from.stride[0] = 1;
            call.from.stride[1] = n + 1;
            assert_true(n * m * (int64_t)size >= 4 << 20 && from + (size_t)(m * (n + 1)) * size < IMAGE &&
                        64 + (size_t)(n * ld + 9) * size < from);
            beds_compare("a large transpose", &call, image, IMAGE, 0, 0, BITS_MAY_DIFFER);
        }
    /* All axes reversed, and every row of the target begins with a line. */
    enum { C = 210, B = 70, A = 75, ROW = 80 };
    struct call call = {.kind = CALL_COPY};
    call.to = (struct fuse_view){
        .data = (void *)64, .dtype = FUSE_F32, .rank = 3, .extent = {C, B, A}, .stride = {B * ROW, ROW, 1}};
    call.from = call.to;
    call.from.data = (void *)(IMAGE / 2);
    call.from.stride[0] = 1;
    call.from.stride[1] = C;
    call.from.stride[2] = B * C;
    assert_true(A * B * C * 4 >= 4 << 20);
    beds_compare("a large transpose of lines", &call, image, IMAGE, 0, 0, BITS_MAY_DIFFER);
    free(image);
}

/* Copies from 4 MiB on write whole lines past the caches: long rows in four lanes, short ones four at a time, wherever lines begin,
 * and what is left over beside them. */
static void large_copies(void **state) {
    (void)state;
    static const struct {
        int64_t rows, columns, ld_to, ld_from;
    } shapes[] = {{1, 4500001, 4500001, 4500001}, {5, 1000003, 1000003, 1000010}, {259, 16640, 16640, 16703},
                  {4099, 1024, 1024, 1291},       {3001, 1501, 1507, 1613},       {4201, 1023, 1029, 1023}};
    char *image = calloc(IMAGE, 1);
    struct rng rng = {.state = 5};
    for (size_t i = 0; i < IMAGE; i++)
        image[i] = (char)rng_next(&rng);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct call call = {.kind = CALL_COPY};
        call.to = (struct fuse_view){.data = (void *)(64 + i % 3 * 29),
                                     .dtype = FUSE_U8,
                                     .rank = 2,
                                     .extent = {shapes[i].rows, shapes[i].columns},
                                     .stride = {shapes[i].ld_to, 1}};
        call.from = call.to;
        call.from.data = (void *)(IMAGE / 2 + i % 2 * 7);
        call.from.stride[0] = shapes[i].ld_from;
        assert_true(shapes[i].rows * shapes[i].columns >= 4 << 20 &&
                    IMAGE / 2 + 7 + (size_t)(shapes[i].rows * shapes[i].ld_from) <= IMAGE);
        beds_compare("a large copy", &call, image, IMAGE, 0, 0, BITS_MAY_DIFFER);
    }
    free(image);
}

static void combining_reals(void **state) {
    (void)state;
    const int64_t n = 1000;
    for (int op = FUSE_REDUCE_SUM; op <= FUSE_REDUCE_MAX; op++)
        for (int t = FUSE_F16; t <= FUSE_F64; t++) {
            const enum fuse_dtype type = (enum fuse_dtype)t;
            const size_t size = fuse_dtype_bytes(type), bytes = 2 * (size_t)n * size;
            char *image = calloc(bytes, 1);
            struct rng rng = {.state = 9};
            fill_real(&rng, image, type, 2 * (size_t)n, -2, 2);
            put_real(image + 5 * size, type, NAN);
            put_real(image + (size_t)(n + 7) * size, type, NAN);
            put_real(image + 9 * size, type, INFINITY);
            struct call call = {.kind = CALL_COMBINE, .op = (enum fuse_reduce)op};
            call.to = (struct fuse_view){.dtype = type, .rank = 1, .extent = {n}, .stride = {1}};
            call.from = call.to;
            call.from.data = (void *)((size_t)n * size);
            beds_compare("combination of reals", &call, image, bytes, 0, 0, BITS_MAY_DIFFER);
            free(image);
        }
}

static void overflow_of_a_combination(void **state) {
    (void)state;
    for (int s = -1; s < SUBJECTS; s++)
        for (int large = 0; large < 2; large++) {
            int64_t image[200] = {0};
            image[50] = INT64_MAX - 1;
            image[150] = large ? 2 : 1;
            struct call call = {.kind = CALL_COMBINE, .op = FUSE_REDUCE_SUM};
            call.to = (struct fuse_view){.dtype = FUSE_I64, .rank = 1, .extent = {100}, .stride = {1}};
            call.from = call.to;
            call.from.data = (void *)800;
            struct fuse_error err = {0};
            enum fuse_status status = bed_run(s < 0 ? &ref : &subject[s], &call, (char *)image, sizeof image, &err);
            assert_int_equal(status, large ? FUSE_EFAILED : FUSE_OK);
            if (large)
                assert_non_null(strstr(err.message, "integer overflow"));
        }
}

/* What can be known at once is refused at once. */
static void broken_calls_are_refused(void **state) {
    (void)state;
    for (int s = -1; s < SUBJECTS; s++) {
        struct bed *bed = s < 0 ? &ref : &subject[s];
        const struct fuse_backend_ops *ops = bed->backend->ops;
        struct fuse_view to = {.data = bed->memory, .dtype = FUSE_F32, .rank = 1, .extent = {4}, .stride = {1}};
        struct fuse_view from = to;
        struct fuse_error err = {0};
        from.extent[0] = 5;
        assert_int_equal(ops->copy(bed->queue, &to, &from, 0, &err), FUSE_EBUG);
        from = to;
        from.dtype = FUSE_F64;
        err = (struct fuse_error){0};
        assert_int_equal(ops->copy(bed->queue, &to, &from, 0, &err), FUSE_EBUG);
        from = to;
        err = (struct fuse_error){0};
        assert_int_equal(ops->combine(bed->queue, FUSE_REDUCE_OR, &to, &from, &err), FUSE_EBUG);
        to.stride[0] = 0;
        err = (struct fuse_error){0};
        assert_int_equal(ops->clear(bed->queue, &to, &err), FUSE_EBUG);
        err = (struct fuse_error){0};
        void *base = NULL;
        assert_int_equal(ops->memory_open(bed->backend, &base, FUSE_MEM_HOST, SIZE_MAX / 4, &err), FUSE_EMEMORY);
        assert_non_null(strstr(err.message, "cannot map"));
        assert_null(base);
    }
}

static void memory_is_aligned_and_zero(void **state) {
    (void)state;
    for (int s = -1; s < 2; s++) {
        struct bed *bed = s < 0 ? &ref : &subject[s];
        const struct fuse_backend_ops *ops = bed->backend->ops;
        struct fuse_error err = {0};
        void *base = NULL;
        const size_t bytes = ((size_t)5 << 20) + 3;
        assert_int_equal(ops->memory_open(bed->backend, &base, FUSE_MEM_PINNED, bytes, &err), FUSE_OK);
        assert_int_equal((uintptr_t)base % (2 << 20), 0);
        for (size_t i = 0; i < bytes; i++)
            assert_int_equal(((char *)base)[i], 0);
        ops->memory_close(bed->backend, base, FUSE_MEM_PINNED, bytes);
        assert_int_equal(ops->memory_open(bed->backend, &base, FUSE_MEM_HOST, 0, &err), FUSE_OK);
        assert_null(base);
        ops->memory_close(bed->backend, base, FUSE_MEM_HOST, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_views),
        cmocka_unit_test(large_views),
        cmocka_unit_test(large_transposes),
        cmocka_unit_test(large_copies),
        cmocka_unit_test(combining_reals),
        cmocka_unit_test(overflow_of_a_combination),
        cmocka_unit_test(broken_calls_are_refused),
        cmocka_unit_test(memory_is_aligned_and_zero),
    };
    return cmocka_run_group_tests(tests, open_beds, beds_close);
}
