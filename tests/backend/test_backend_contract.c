/* Contractions of every shape on cpu (1 and 2 threads) and fakedev against ref. */
#include "testbed.h"

#include "backend/cpu_tile.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define IMAGE ((size_t)24 << 20)

static size_t room; /* bytes of the image of the running case */

static int open_beds(void **state) {
    (void)state;
    beds_open(IMAGE);
    return 0;
}

/* One index of a test contraction: who has it. */
enum { A = 1, B = 2, C = 4 };

struct shape {
    int indices;
    int64_t extent[FUSE_MAX_AXES];
    int in[FUSE_MAX_AXES];
};

static size_t place(struct rng *rng, const struct shape *shape, int who, struct fuse_operand_view *view, uint32_t *mask,
                    char *image, size_t at, bool whole) {
    int64_t extent[FUSE_MAX_AXES] = {0}, stride[FUSE_MAX_AXES] = {0}, origin;
    int axis[FUSE_MAX_AXES], axes = 0;
    *mask = 0;
    for (int x = 0; x < shape->indices; x++)
        if (shape->in[x] & who) {
            *mask |= UINT32_C(1) << x;
            extent[axes] = shape->extent[x];
            axis[axes++] = x;
        }
    int64_t span = random_layout(rng, axes, extent, stride, &origin, true);
    for (int i = 0; i < axes; i++)
        view->stride[axis[i]] = stride[i];
    /* Strides of indices that an operand lacks must not matter. */
    for (int x = 0; x < shape->indices; x++)
        if (!(shape->in[x] & who))
            view->stride[x] = 12345;
    if (who != C && axes > 0 && rng_below(rng, 8) == 0) { /* broadcast along an index that the operand has */
        int x = axis[rng_below(rng, axes)];
        if (view->stride[x] > 0)
            view->stride[x] = 0;
    }
    const size_t size = fuse_dtype_bytes(view->dtype);
    assert_true(at + (size_t)(span + 64) * size <= room);
    if (whole)
        fill_whole(rng, image + at, view->dtype, (size_t)span, 4);
    else
        fill_real(rng, image + at, view->dtype, (size_t)span, -1, 1);
    view->data = (void *)(uintptr_t)(at + (size_t)origin * size);
    return (at + (size_t)span * size + 63) / 64 * 64;
}

/* Whole numbers up to 4: every sum is below 2^24, so results are exact whatever the order. */
static void run_shape(struct rng *rng, const struct shape *shape, const char *what, enum fuse_dtype a,
                      enum fuse_dtype b, enum fuse_dtype c, bool accumulate) {
    struct call call = {.kind = CALL_CONTRACT};
    struct fuse_contract *k = &call.contract;
    k->indices = shape->indices;
    memcpy(k->extent, shape->extent, sizeof k->extent);
    k->a.dtype = a;
    k->b.dtype = b;
    k->c.dtype = c;
    k->accumulate = accumulate;
    /* Most shapes are small; clearing a large image for each would take most of the test's time. */
    int64_t points = 1;
    for (int x = 0; x < shape->indices; x++)
        points *= shape->extent[x] > 0 ? shape->extent[x] : 1;
    room = points < 100000 ? (size_t)6 << 20 : IMAGE;
    char *image = calloc(room, 1);
    size_t bytes = place(rng, shape, A, &k->a, &k->in_a, image, 64, true);
    bytes = place(rng, shape, B, &k->b, &k->in_b, image, bytes, true);
    bytes = place(rng, shape, C, &k->c, &k->in_c, image, bytes, true) + 64;
    beds_compare(what, &call, image, bytes, 0, 0, BITS_MAY_DIFFER);
    free(image);
}

static enum fuse_dtype any_dtype(struct rng *rng) {
    return (enum fuse_dtype)rng_below(rng, FUSE_F64 + 1);
}

static enum fuse_dtype result_dtype(struct rng *rng) {
    static const enum fuse_dtype of[] = {FUSE_F32, FUSE_F64, FUSE_I64};
    return of[rng_below(rng, 3)];
}

static void random_contractions(void **state) {
    (void)state;
    static const int64_t extents[] = {1, 2, 3, 4, 5, 7, 8, 13, 16, 17, 31};
    /* A product has them all; one operand or none having an index is rare. */
    static const int kinds[] = {A | B | C, A | C, B | C, A | B, A | C, B | C, A | B, A, B, C, 0};
    for (int seed = 0; seed < 600; seed++) {
        struct rng rng = {.state = (uint64_t)seed};
        struct shape shape = {0};
        int indices = rng_below(&rng, 7);
        int64_t points = 1;
        for (int x = 0; x < indices; x++) {
            int64_t extent = rng_below(&rng, 60) == 0 ? 0 : extents[rng_below(&rng, 11)];
            if (points * extent > 60000)
                continue;
            points *= extent;
            shape.extent[shape.indices] = extent;
            shape.in[shape.indices++] = kinds[rng_below(&rng, rng_below(&rng, 4) == 0 ? 11 : 7)];
        }
        bool native = rng_below(&rng, 2);
        enum fuse_dtype c = result_dtype(&rng), a = native ? c : any_dtype(&rng), b = native ? c : any_dtype(&rng);
        char what[160];
        snprintf(what, sizeof what, "random contraction %d (%s %s -> %s, %d indices)", seed, fuse_dtype_name(a),
                 fuse_dtype_name(b), fuse_dtype_name(c), shape.indices);
        run_shape(&rng, &shape, what, a, b, c, rng_below(&rng, 2));
    }
}

/* Dense, its axes in any order. */
static size_t place_dense(struct rng *rng, const struct shape *shape, int who, struct fuse_operand_view *view,
                          uint32_t *mask, char *image, size_t at) {
    int axis[FUSE_MAX_AXES], axes = 0;
    int64_t stride = 1;
    *mask = 0;
    for (int x = 0; x < shape->indices; x++)
        if (shape->in[x] & who) {
            const int other = rng_below(rng, ++axes);
            axis[axes - 1] = axis[other];
            axis[other] = x;
            *mask |= UINT32_C(1) << x;
        }
    for (int i = axes - 1; i >= 0; i--) {
        view->stride[axis[i]] = stride;
        stride *= shape->extent[axis[i]];
    }
    const size_t size = fuse_dtype_bytes(view->dtype);
    assert_true(at + (size_t)stride * size <= IMAGE);
    fill_whole(rng, image + at, view->dtype, (size_t)stride, 4);
    view->data = (void *)(uintptr_t)at;
    return (at + (size_t)stride * size + 63) / 64 * 64;
}

/* A few rows, or one, by what is much larger, every operand with its axes in an order of its own: an operand is laid out anew where
 * that makes one index of several, rows are looped around, the result is written across. */
static void few_rows_in_any_order(void **state) {
    (void)state;
    static const struct shape shapes[] = {
        {5, {3, 40, 24, 10, 6}, {A | B | C, A | C, A | B, A | B, A | B}},
        {4, {7, 2, 4, 900}, {A | C, A | B | C, A | B, A | B}},
        {4, {3, 60, 16, 36}, {A | C, B | C, A | B, A | B}},
        {5, {5, 60, 24, 9, 11}, {A | C, B | C, B | C, A | B, A | B}},
        {3, {260, 7, 130}, {A | C, B | C, A | B}},
        {4, {330, 5, 13, 40}, {A | C, B | C, A | B, A | B}},
        {4, {6, 700, 3, 3}, {A | C, A | C, A | B, B | C}},
        {4, {8, 1100, 2, 2}, {A | C, A | C, A | B, B | C}},
        {3, {200, 12, 90}, {A | C, B | C, A | B}},
    };
    char *image = calloc(IMAGE, 1);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int seed = 0; seed < 8; seed++) {
            struct rng rng = {.state = 3000 + 100 * i + (uint64_t)seed};
            struct call call = {.kind = CALL_CONTRACT};
            struct fuse_contract *k = &call.contract;
            k->indices = shapes[i].indices;
            memcpy(k->extent, shapes[i].extent, sizeof k->extent);
            k->a.dtype = k->b.dtype = k->c.dtype = seed % 4 == 3 ? FUSE_F64 : FUSE_F32;
            k->accumulate = seed % 4 == 1;
            const bool turned = seed & 4;
            size_t bytes =
                place_dense(&rng, &shapes[i], A, turned ? &k->b : &k->a, turned ? &k->in_b : &k->in_a, image, 64);
            bytes =
                place_dense(&rng, &shapes[i], B, turned ? &k->a : &k->b, turned ? &k->in_a : &k->in_b, image, bytes);
            bytes = place_dense(&rng, &shapes[i], C, &k->c, &k->in_c, image, bytes);
            char what[160];
            snprintf(what, sizeof what, "few rows %zu, seed %d", i, seed);
            beds_compare(what, &call, image, bytes, 0, 0, BITS_MAY_DIFFER);
        }
    free(image);
}

/* Large enough for several tiles, several chunks of the sum and two threads. */
static void large_contractions(void **state) {
    (void)state;
    static const struct shape shapes[] = {
        {3, {150, 140, 130}, {A | C, B | C, A | B}},
        {3, {300, 700, 17}, {A | C, B | C, A | B}},
        {3, {30, 2064, 40}, {A | C, B | C, A | B}},
        {3, {1, 1200, 1000}, {A | C, B | C, A | B}},
        {3, {1200, 1, 1000}, {A | C, B | C, A | B}},
        {3, {3, 5, 70001}, {A | C, B | C, A | B}},
        {2, {3, 270001}, {A | C, A | B}},
        {4, {37, 20, 90, 61}, {A | B | C, A | C, B | C, A | B}},
        {5, {12, 13, 11, 14, 90}, {A | C, A | C, B | C, B | C, A | B}},
        {5, {60, 50, 6, 5, 101}, {A | C, B | C, A | B, A | B, A | B}},
        {6, {3, 9, 11, 70, 12, 29}, {A | B | C, A | C, A | C, B | C, A | B, A | B}},
        {5, {90, 2, 70, 41, 2}, {A | C, B, B | C, A | B, A}},
        {4, {8000, 4, 5, 6}, {A | B | C, A | C, B | C, A | B}},
        {2, {5, 200003}, {A | B | C, A | B}},
        {1, {300007}, {A | B}},
        {2, {300, 1009}, {A | C, B | C}},
        {5, {37, 12, 20, 18, 21}, {A | B | C, A | B, A | C, A | B, B | C}},
        {5, {5, 18, 40, 30, 40}, {A | B | C, A | B | C, A | C, A | B, B | C}},
        {6, {9, 12, 13, 8, 11, 12}, {A | B, A | C, A | B, A | C, B | C, B | C}},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int seed = 0; seed < 5; seed++) {
            struct rng rng = {.state = 1000 + 10 * i + (uint64_t)seed};
            enum fuse_dtype c = seed < 2 ? FUSE_F32 : seed == 2 ? FUSE_F64 : result_dtype(&rng);
            enum fuse_dtype a = seed < 3 ? c : any_dtype(&rng), b = seed < 3 ? c : any_dtype(&rng);
            char what[160];
            snprintf(what, sizeof what, "large contraction %zu, seed %d (%s %s -> %s)", i, seed, fuse_dtype_name(a),
                     fuse_dtype_name(b), fuse_dtype_name(c));
            run_shape(&rng, &shapes[i], what, a, b, c, seed & 1);
        }
}

/* Products that are packed in blocks: indices of every group, borders that no block size divides, padded and backward strides. */
static void random_products_in_blocks(void **state) {
    (void)state;
    static const int64_t extents[] = {2, 3, 5, 7, 14, 16, 17, 31, 33, 48, 65, 100, 130, 290};
    static const int kinds[] = {A | C, B | C, A | B, A | C, B | C, A | B, A | B | C};
    for (int seed = 0; seed < 120; seed++) {
        struct rng rng = {.state = 5000 + (uint64_t)seed};
        struct shape shape = {0};
        int64_t points = 1;
        const int64_t most = seed % 10 == 0 ? 1500000 : 400000;
        for (int x = 0; x < 12 && points < most / 3; x++) {
            const int64_t extent = extents[rng_below(&rng, 14)];
            if (points * extent > most)
                continue;
            points *= extent;
            shape.extent[shape.indices] = extent;
            shape.in[shape.indices] = kinds[shape.indices < 3 ? shape.indices : rng_below(&rng, 7)];
            shape.indices++;
        }
        const enum fuse_dtype c = seed % 4 == 1 ? FUSE_F64 : FUSE_F32, stored = seed % 8 == 3 ? FUSE_F16 : c;
        char what[160];
        snprintf(what, sizeof what, "product in blocks %d (%s -> %s, %d indices)", seed, fuse_dtype_name(stored),
                 fuse_dtype_name(c), shape.indices);
        run_shape(&rng, &shape, what, stored, seed % 16 == 3 ? c : stored, c, rng_below(&rng, 2));
    }
}

/* A matrix with `stride` elements from row to row, at `at` of the image, filled; where the next one may begin. */
static size_t place_matrix(struct rng *rng, struct fuse_operand_view *view, char *image, size_t at, const int index[2],
                           int64_t rows, int64_t stride) {
    const int64_t elements = rows * stride;
    view->data = (void *)(uintptr_t)at;
    view->stride[index[0]] = stride;
    view->stride[index[1]] = 1;
    fill_whole(rng, image + at, view->dtype, (size_t)elements, 4);
    return (at + (size_t)elements * fuse_dtype_bytes(view->dtype) + 63) / 64 * 64;
}

/* Rows by rows, few of one: some fill no vector, some strips of b; sums of one and of several boxes; c either way round. */
static void rows_by_few_rows(void **state) {
    (void)state;
    static const int64_t few[] = {17, 32, 33, 64}, terms[] = {70, 1111};
    enum { M, N, K };
    struct rng rng = {.state = 77};
    for (int at = 0; at < 4 * 2 * 4; at++) {
        const bool turned = at / 8 & 1, few_in_a = at / 16 & 1;
        const int64_t n = 150 + at % 9, m = few_in_a ? few[at % 4] : n, k = terms[at / 4 % 2], pad = at / 3 % 3;
        struct call call = {.kind = CALL_CONTRACT};
        struct fuse_contract *c = &call.contract;
        c->indices = 3;
        c->extent[M] = m;
        c->extent[N] = few_in_a ? n : few[at % 4];
        c->extent[K] = k;
        c->in_a = 1u << M | 1u << K;
        c->in_b = 1u << N | 1u << K;
        c->in_c = 1u << M | 1u << N;
        c->a.dtype = c->b.dtype = c->c.dtype = at % 5 < 3 ? FUSE_F32 : FUSE_F64;
        c->accumulate = at % 3 == 1;
        room = (size_t)6 << 20;
        char *image = calloc(room, 1);
        const int outer = turned ? N : M, inner = turned ? M : N;
        size_t bytes = place_matrix(&rng, &c->a, image, 64, (const int[]){M, K}, m, k + pad);
        bytes = place_matrix(&rng, &c->b, image, bytes, (const int[]){N, K}, c->extent[N], k + 2 * pad);
        bytes = place_matrix(&rng, &c->c, image, bytes, (const int[]){outer, inner}, c->extent[outer],
                             c->extent[inner] + pad);
        char what[160];
        snprintf(what, sizeof what, "%lld rows by %lld, %lld terms (%s)", (long long)m, (long long)c->extent[N],
                 (long long)k, fuse_dtype_name(c->c.dtype));
        beds_compare(what, &call, image, bytes + 64, 0, 0, BITS_MAY_DIFFER);
        free(image);
    }
}

/* Memory of `bytes` bytes behind which no other is; *at of *mapped bytes is to be unmapped. */
static void *open_edge(size_t bytes, void **at, size_t *mapped) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), whole = (bytes + page - 1) / page * page;
    *mapped = whole + page;
    *at = mmap(NULL, *mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(*at != MAP_FAILED);
    assert_int_equal(mprotect((char *)*at + whole, page, PROT_NONE), 0);
    return (char *)*at + whole - bytes;
}

/* Operands that end where their memory does, of widths that fill strips, vectors and neither. */
static void nothing_is_read_behind_operands(void **state) {
    (void)state;
    const int64_t m = 30, k = 100;
    for (int64_t n = 5086; n < 5124; n++) {
        const int64_t elements[] = {m * k, k * n, m * n};
        void *at[3], *data[3];
        size_t mapped[3];
        for (int o = 0; o < 3; o++)
            data[o] = open_edge((size_t)elements[o] * sizeof(float), &at[o], &mapped[o]);
        for (int o = 0; o < 2; o++)
            for (int64_t i = 0; i < elements[o]; i++)
                ((float *)data[o])[i] = 1;
        struct fuse_contract call = {.indices = 3, .extent = {m, n, k}, .in_a = 5, .in_b = 6, .in_c = 3};
        call.a = (struct fuse_operand_view){.data = data[0], .dtype = FUSE_F32, .stride = {k, 0, 1}};
        call.b = (struct fuse_operand_view){.data = data[1], .dtype = FUSE_F32, .stride = {0, 1, n}};
        call.c = (struct fuse_operand_view){.data = data[2], .dtype = FUSE_F32, .stride = {n, 1, 0}};
        for (int s = 0; s < SUBJECTS; s++) {
            struct fuse_error err = {0};
            if (subject[s].backend->ops != &fuse_backend_cpu)
                continue;
            assert_int_equal(fuse_backend_cpu.contract(subject[s].queue, &call, &err), FUSE_OK);
            assert_int_equal(subject[s].queue->ops->wait(subject[s].queue, FUSE_QUEUE_ALL, &err), FUSE_OK);
            for (int64_t i = 0; i < m * n; i++)
                assert_true(((float *)data[2])[i] == (float)k);
        }
        for (int o = 0; o < 3; o++)
            munmap(at[o], mapped[o]);
    }
}

/* Threads that shared a BLAS's buffers would spoil each other's products: with a build that is not safe for threads,
 * a fifth of products of this size were wrong. */
static void threads_do_not_share_buffers(void **state) {
    (void)state;
    const struct shape shape = {4, {24, 60, 60, 200}, {A | B | C, A | C, B | C, A | B}};
    for (int seed = 0; seed < 3; seed++) {
        struct rng rng = {.state = 500 + (uint64_t)seed};
        run_shape(&rng, &shape, "batched products", FUSE_F32, FUSE_F32, FUSE_F32, false);
    }
    const int64_t n = 200, batch = 32, repeats = 60;
    const size_t bytes = (size_t)(3 * batch * n * n) * 4;
    char *image = malloc(bytes), *first = NULL;
    struct rng rng = {.state = 9};
    fill_whole(&rng, image, FUSE_F32, bytes / 4, 4);
    struct call call = {.kind = CALL_CONTRACT};
    call.contract =
        (struct fuse_contract){.indices = 4, .extent = {batch, n, n, n}, .in_a = 0xb, .in_b = 0xd, .in_c = 0x7};
    call.contract.a = (struct fuse_operand_view){.dtype = FUSE_F32, .stride = {n * n, n, 0, 1}};
    call.contract.b = (struct fuse_operand_view){
        .data = (void *)((size_t)(batch * n * n) * 4), .dtype = FUSE_F32, .stride = {n * n, 0, 1, n}};
    call.contract.c = (struct fuse_operand_view){
        .data = (void *)((size_t)(2 * batch * n * n) * 4), .dtype = FUSE_F32, .stride = {n * n, n, 1}};
    for (int64_t r = 0; r <= repeats; r++) {
        struct fuse_error err = {0};
        assert_int_equal(bed_run(&subject[r > 0], &call, image, bytes, &err), FUSE_OK);
        if (r == 0) {
            first = malloc(bytes);
            memcpy(first, image, bytes);
        }
        assert_true(memcmp(first, image, bytes) == 0);
    }
    free(first);
    free(image);
}

/* c[m, n] = sum a[m, k] b[k, n] with given strides. */
static struct call matrix_call(enum fuse_dtype dtype, int64_t m, int64_t n, int64_t k, const int64_t strides[6],
                               size_t a, size_t b, size_t c) {
    struct call call = {.kind = CALL_CONTRACT};
    call.contract = (struct fuse_contract){.indices = 3, .extent = {m, n, k}, .in_a = 5, .in_b = 6, .in_c = 3};
    call.contract.a =
        (struct fuse_operand_view){.data = (void *)a, .dtype = dtype, .stride = {strides[0], 0, strides[1]}};
    call.contract.b =
        (struct fuse_operand_view){.data = (void *)b, .dtype = dtype, .stride = {0, strides[3], strides[2]}};
    call.contract.c = (struct fuse_operand_view){.data = (void *)c, .dtype = dtype, .stride = {strides[4], strides[5]}};
    return call;
}

/* Real data in [-1, 1]. An element is a sum of k products of size at most 1; in any order its error is at most
 * k * eps * k/2 or so, and for data of random sign far less; 4 * eps * k allows for that and sees a wrong element. */
static void real_products(void **state) {
    (void)state;
    const int64_t m = 70, n = 90, k = 500;
    /* BLAS does not write columns that are apart; own kernels cut a sum in the same parts for any number of threads. */
    const bool own = fuse_tile_choose(NULL)->block[0] != NULL;
    const int64_t layouts[][6] = {
        {k, 1, n, 1, n, 1}, {1, m, n, 1, n, 1}, {k, 1, 1, k, n, 1},     {1, m, 1, k, n, 1},
        {k, 1, n, 1, 1, m}, {1, m, 1, k, 1, m}, {k, 1, n, 1, 2 * n, 2}, {2 * k, 2, n, 1, n, 1},
    };
    for (size_t l = 0; l < sizeof layouts / sizeof *layouts; l++)
        for (int d = 0; d < 2; d++) {
            enum fuse_dtype dtype = d ? FUSE_F64 : FUSE_F32;
            struct rng rng = {.state = l};
            const size_t size = fuse_dtype_bytes(dtype), a = 0, b = a + 2 * (size_t)(m * k) * size,
                         c = b + 2 * (size_t)(k * n) * size, bytes = c + 2 * (size_t)(m * n) * size;
            char *image = calloc(bytes, 1);
            fill_real(&rng, image, dtype, bytes / size, -1, 1);
            struct call call = matrix_call(dtype, m, n, k, layouts[l], a, b, c);
            beds_compare("product of reals", &call, image, bytes, 0, 4 * (double)k * (d ? 0x1p-53 : 0x1p-24),
                         own && layouts[l][5] == 2 ? BITS_OF_INSTRUCTIONS : BITS_MAY_DIFFER);
            free(image);
        }
}

/* c[h, i, j] = sum over q, k of a[i, h, q, k] b[q, k, j] with padded blocks, so that no two indices fuse: products of
 * 70 x 130 by 130 x 66 are large enough to be looped over h and q where they lie. */
static void loops_around_products(void **state) {
    (void)state;
    char *image = calloc(IMAGE, 1);
    struct rng rng = {.state = 6};
    fill_whole(&rng, image, FUSE_F32, IMAGE / 4, 4);
    struct call call = {.kind = CALL_CONTRACT};
    call.contract =
        (struct fuse_contract){.indices = 5, .extent = {2, 70, 66, 3, 130}, .in_a = 0x1b, .in_b = 0x1c, .in_c = 0x07};
    call.contract.a =
        (struct fuse_operand_view){.data = (void *)64, .dtype = FUSE_F32, .stride = {450, 1000, 0, 140, 1}};
    call.contract.b =
        (struct fuse_operand_view){.data = (void *)((size_t)1 << 20), .dtype = FUSE_F32, .stride = {0, 0, 1, 9000, 66}};
    call.contract.c =
        (struct fuse_operand_view){.data = (void *)((size_t)2 << 20), .dtype = FUSE_F32, .stride = {5000, 70, 1}};
    for (int accumulate = 0; accumulate < 2; accumulate++) {
        call.contract.accumulate = accumulate;
        beds_compare("loops around products", &call, image, (size_t)3 << 20, 0, 0, BITS_MAY_DIFFER);
    }
    free(image);
}

static void sliding_windows_and_diagonals(void **state) {
    (void)state;
    struct rng rng = {.state = 77};
    char *image = calloc(1 << 20, 1);
    fill_whole(&rng, image, FUSE_F32, 1 << 18, 4);
    /* c[o, x] = sum over i, w of in[i, x + 2 w] f[o, i, w]: a convolution with dilation 2 */
    struct call call = {.kind = CALL_CONTRACT};
    call.contract =
        (struct fuse_contract){.indices = 4, .extent = {9, 100, 5, 3}, .in_a = 0xe, .in_b = 0xd, .in_c = 0x3};
    call.contract.a = (struct fuse_operand_view){.data = (void *)4, .dtype = FUSE_F32, .stride = {0, 1, 110, 2}};
    call.contract.b = (struct fuse_operand_view){.data = (void *)40000, .dtype = FUSE_F32, .stride = {15, 0, 3, 1}};
    call.contract.c = (struct fuse_operand_view){.data = (void *)80000, .dtype = FUSE_F32, .stride = {100, 1}};
    beds_compare("a dilated convolution", &call, image, 1 << 20, 0, 0, BITS_MAY_DIFFER);
    /* c[i] = sum over k of a[i, i] b[i, k, k] */
    call.contract = (struct fuse_contract){.indices = 2, .extent = {40, 30}, .in_a = 1, .in_b = 3, .in_c = 1};
    call.contract.a = (struct fuse_operand_view){.data = (void *)0, .dtype = FUSE_F32, .stride = {41, 0}};
    call.contract.b = (struct fuse_operand_view){.data = (void *)40000, .dtype = FUSE_F32, .stride = {900, 31}};
    call.contract.c = (struct fuse_operand_view){.data = (void *)400000, .dtype = FUSE_F32, .stride = {3, 0}};
    beds_compare("diagonals", &call, image, 1 << 20, 0, 0, BITS_MAY_DIFFER);
    free(image);
}

static void empty_sums_give_zeros(void **state) {
    (void)state;
    for (int accumulate = 0; accumulate < 2; accumulate++) {
        float image[64];
        for (int i = 0; i < 64; i++)
            image[i] = NAN;
        const int64_t strides[6] = {0, 1, 4, 1, 4, 1};
        struct call call = matrix_call(FUSE_F32, 3, 4, 0, strides, 0, 0, 64);
        call.contract.accumulate = accumulate;
        for (int s = 0; s < SUBJECTS; s++) {
            struct fuse_error err = {0};
            float got[64];
            memcpy(got, image, sizeof got);
            assert_int_equal(bed_run(&subject[s], &call, (char *)got, sizeof got, &err), FUSE_OK);
            for (int i = 0; i < 64; i++)
                assert_true(i >= 16 && i < 28 && !accumulate ? got[i] == 0 : isnan(got[i]));
        }
    }
}

/* Old contents of c, NaN included, must not leak into a result that is overwritten. */
static void nan_in_overwritten_results(void **state) {
    (void)state;
    static const int64_t sizes[][3] = {{1, 200, 300}, {200, 1, 300}, {60, 70, 80}, {5, 6, 7}, {1, 1, 9}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const int64_t m = sizes[i][0], n = sizes[i][1], k = sizes[i][2], strides[6] = {k, 1, n, 1, n, 1};
        const size_t a = 0, b = (size_t)(m * k) * 4, c = b + (size_t)(k * n) * 4, bytes = c + (size_t)(m * n) * 4;
        char *image = malloc(bytes);
        struct rng rng = {.state = i};
        fill_whole(&rng, image, FUSE_F32, c / 4, 4);
        for (int64_t x = 0; x < m * n; x++)
            put_real(image + c + 4 * x, FUSE_F32, NAN);
        struct call call = matrix_call(FUSE_F32, m, n, k, strides, a, b, c);
        beds_compare("a result of NaN", &call, image, bytes, 0, 0, BITS_MAY_DIFFER);
        free(image);
    }
}

static void integer_overflow_is_reported(void **state) {
    (void)state;
    /* The second value makes the product, the third only the sum overflow. */
    static const int64_t values[] = {1, INT64_C(1) << 33, INT64_C(3037000499)};
    for (int v = 0; v < 3; v++)
        for (int s = -1; s < SUBJECTS; s++) {
            const int64_t strides[6] = {3, 1, 5, 1, 5, 1};
            int64_t image[12 + 15 + 20];
            for (int i = 0; i < 47; i++)
                image[i] = 1;
            for (int i = 3; i < 6; i++)
                image[i] = values[v]; /* row 1 of a */
            for (int i = 12; i < 27; i++)
                image[i] = values[v];
            struct call call = matrix_call(FUSE_I64, 4, 5, 3, strides, 0, 96, 216);
            struct fuse_error err = {0};
            enum fuse_status status = bed_run(s < 0 ? &ref : &subject[s], &call, (char *)image, sizeof image, &err);
            assert_int_equal(status, v == 0 ? FUSE_OK : FUSE_EFAILED);
            if (v > 0)
                assert_non_null(strstr(err.message, "integer overflow"));
        }
}

static void large_integers_are_exact(void **state) {
    (void)state;
    const int64_t m = 40, n = 37, k = 50, strides[6] = {k, 1, n, 1, n, 1};
    const size_t b = (size_t)(m * k) * 8, c = b + (size_t)(k * n) * 8, bytes = c + (size_t)(m * n) * 8;
    char *image = calloc(bytes, 1);
    struct rng rng = {.state = 5};
    /* One large pair makes the magnitude bound fail although no sum overflows. */
    for (size_t i = 0; i < c / 8; i++)
        ((int64_t *)image)[i] = (int64_t)(rng_next(&rng) >> 45) - (1 << 18);
    ((int64_t *)image)[3] = INT64_MAX / 4;
    for (int64_t j = 0; j < n; j++)
        ((int64_t *)(image + b))[3 * n + j] = j % 3 - 1;
    ((int64_t *)(image + b))[7] = INT64_MIN / 1024 / 1024 / 1024;
    struct call call = matrix_call(FUSE_I64, m, n, k, strides, 0, b, c);
    beds_compare("large integers", &call, image, bytes, 0, 0, BITS_MAY_DIFFER);
    free(image);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_contractions),
        cmocka_unit_test(few_rows_in_any_order),
        cmocka_unit_test(large_contractions),
        cmocka_unit_test(random_products_in_blocks),
        cmocka_unit_test(rows_by_few_rows),
        cmocka_unit_test(nothing_is_read_behind_operands),
        cmocka_unit_test(threads_do_not_share_buffers),
        cmocka_unit_test(real_products),
        cmocka_unit_test(loops_around_products),
        cmocka_unit_test(sliding_windows_and_diagonals),
        cmocka_unit_test(empty_sums_give_zeros),
        cmocka_unit_test(nan_in_overwritten_results),
        cmocka_unit_test(integer_overflow_is_reported),
        cmocka_unit_test(large_integers_are_exact),
    };
    return cmocka_run_group_tests(tests, open_beds, beds_close);
}
