/* Products of truths, bytes and BF16: kernels of words against plain loops, whole contractions against ref. */
#include "backend/cpu_words.h"
#include "testbed.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IMAGE ((size_t)6 << 20)

static int open_beds(void **state) {
    (void)state;
    beds_open(IMAGE);
    return 0;
}

/* ---- kernels ---- */

enum { ROWS = 48, COLUMNS = 96, WORDS = 37 };

static double bf16(uint32_t word, int half) {
    return (double)fuse_bf16_to_f32((uint16_t)(word >> 16 * half));
}

static double product_of_words(enum fuse_word_form form, uint32_t a, uint32_t b) {
    double sum = 0;
    switch (form) {
    case FUSE_WORD_I8:
        for (int e = 0; e < 4; e++)
            sum += (double)(uint8_t)(a >> 8 * e) * (double)(int8_t)(b >> 8 * e);
        return sum;
    case FUSE_WORD_I16:
        return (double)(int16_t)a * (double)(int16_t)b + (double)(int16_t)(a >> 16) * (int16_t)(b >> 16);
    case FUSE_WORD_BITS: return (a & b) != 0;
    default: return bf16(a, 0) * bf16(b, 0) + bf16(a, 1) * bf16(b, 1);
    }
}

/* Of BF16 small whole numbers, whose sums are exact; of I16 numbers of 9 bits, as bytes give them; of bits few. */
static uint32_t random_word(struct rng *rng, enum fuse_word_form form) {
    const uint32_t any = (uint32_t)rng_next(rng);
    switch (form) {
    case FUSE_WORD_BF16:
        return fuse_bf16_from_f32((float)rng_below(rng, 9) - 4) |
               (uint32_t)fuse_bf16_from_f32((float)rng_below(rng, 9) - 4) << 16;
    case FUSE_WORD_I16: return (uint16_t)(any % 511 - 255) | (any / 511 % 511 - 255) << 16;
    case FUSE_WORD_BITS: return any & (uint32_t)rng_next(rng) & (uint32_t)rng_next(rng) & (uint32_t)rng_next(rng);
    default: return any;
    }
}

static void check_kernel(const char *name, enum fuse_word_form form, fuse_word_product *product, int64_t multiple) {
    const int64_t words = (WORDS + multiple - 1) / multiple * multiple;
    uint32_t *a = calloc((size_t)(ROWS * words), 4), *b = calloc((size_t)(COLUMNS * words), 4),
             *c = calloc(ROWS * COLUMNS, 4);
    struct rng rng = {.state = form};
    for (int64_t i = 0; i < ROWS; i++)
        for (int64_t k = 0; k < WORDS; k++)
            a[i * words + k] = random_word(&rng, form);
    for (int64_t j = 0; j < COLUMNS; j++)
        for (int64_t k = 0; k < WORDS; k++)
            b[j / 32 * 32 * words + k * 32 + j % 32] = form == FUSE_WORD_BITS && k > 4 ? 0 : random_word(&rng, form);
    for (int rows = 16; rows <= ROWS; rows += 16) {
        memset(c, 0, ROWS * COLUMNS * 4);
        product(rows, COLUMNS, words, a, words, b, c);
        product(rows, COLUMNS, words, a, words, b, c); /* adds */
        for (int64_t i = 0; i < ROWS; i++)
            for (int64_t j = 0; j < COLUMNS; j++) {
                double want = 0;
                for (int64_t k = 0; k < WORDS && i < rows; k++)
                    want += product_of_words(form, a[i * words + k], b[j / 32 * 32 * words + k * 32 + j % 32]);
                const uint32_t bits = c[i * COLUMNS + j];
                float real;
                memcpy(&real, &bits, 4);
                const double got = form == FUSE_WORD_BITS   ? bits != 0
                                   : form == FUSE_WORD_BF16 ? (double)real
                                                            : (double)(int32_t)bits;
                want = form == FUSE_WORD_BITS ? want != 0 : 2 * want;
                if (got != want)
                    fail_msg("%s: %d rows, element %d %d: %g, not %g", name, rows, (int)i, (int)j, got, want);
            }
    }
    free(a);
    free(b);
    free(c);
}

static void check_table(const char *isa, const struct fuse_word_table *table) {
    char name[100];
    for (int form = 0; form < FUSE_WORD_FORMS; form++) {
        snprintf(name, sizeof name, "form %d of %s", form, isa);
        if (table->kernel[form].product)
            check_kernel(name, (enum fuse_word_form)form, table->kernel[form].product, table->kernel[form].multiple);
    }
    snprintf(name, sizeof name, "BF16 as F32 of %s", isa);
    check_kernel(name, FUSE_WORD_BF16, table->bf16_exactly, 1);
}

static void kernels_are_exact(void **state) {
    (void)state;
    check_table("baseline", &fuse_words_base);
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        check_table("avx2", &fuse_words_avx2);
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq")) {
        const struct fuse_word_table best = fuse_words_choose("avx512");
        check_table("avx512", &fuse_words_avx512);
        check_table("this processor", &best);
        /* What a processor with tiles does not choose. */
        if (__builtin_cpu_supports("avx512vnni"))
            check_kernel("vnni", FUSE_WORD_I8, fuse_words_vnni, 1);
        if (__builtin_cpu_supports("avx512bf16"))
            check_kernel("bf16", FUSE_WORD_BF16, fuse_words_bf16, 1);
    }
#endif
}

/* ---- contractions ---- */

enum { A = 1, B = 2, C = 4 };

struct shape {
    int indices;
    int64_t extent[FUSE_MAX_AXES];
    int in[FUSE_MAX_AXES];
};

/* Every number that the type has; truths so rare that a sum of `terms` has some in half of the cases. */
static void fill(struct rng *rng, char *to, enum fuse_dtype dtype, int64_t n, int64_t terms) {
    const int rarity = (int)sqrt((double)terms) + 1;
    for (int64_t i = 0; i < n; i++)
        switch (dtype) {
        case FUSE_BOOL: to[i] = rng_below(rng, rarity) == 0; break;
        case FUSE_U8:
        case FUSE_I8: to[i] = (char)rng_next(rng); break;
        case FUSE_BF16: put_real(to + 2 * i, dtype, rng_below(rng, 9) - 4); break;
        default: put_real(to + i * (int64_t)fuse_dtype_bytes(dtype), dtype, rng_below(rng, 2)); break;
        }
}

static size_t place(struct rng *rng, const struct shape *shape, int who, struct fuse_operand_view *view, uint32_t *mask,
                    char *image, size_t at) {
    int64_t extent[FUSE_MAX_AXES] = {0}, stride[FUSE_MAX_AXES] = {0}, origin, terms = 1;
    int axis[FUSE_MAX_AXES], axes = 0;
    *mask = 0;
    for (int x = 0; x < shape->indices; x++) {
        terms *= shape->in[x] & C ? 1 : shape->extent[x];
        if (shape->in[x] & who) {
            *mask |= UINT32_C(1) << x;
            extent[axes] = shape->extent[x];
            axis[axes++] = x;
        }
    }
    const int64_t span = random_layout(rng, axes, extent, stride, &origin, true);
    const size_t size = fuse_dtype_bytes(view->dtype);
    for (int i = 0; i < axes; i++)
        view->stride[axis[i]] = stride[i];
    assert_true(at + (size_t)(span + 64) * size <= IMAGE);
    fill(rng, image + at, view->dtype, span, terms);
    view->data = (void *)(uintptr_t)(at + (size_t)origin * size);
    return (at + (size_t)span * size + 63) / 64 * 64;
}

static const enum fuse_dtype types[][3] = {
    {FUSE_I8, FUSE_I8, FUSE_I64},      {FUSE_U8, FUSE_U8, FUSE_I64},     {FUSE_I8, FUSE_U8, FUSE_I64},
    {FUSE_U8, FUSE_I8, FUSE_I64},      {FUSE_BOOL, FUSE_I8, FUSE_I64},   {FUSE_U8, FUSE_BOOL, FUSE_I64},
    {FUSE_BOOL, FUSE_BOOL, FUSE_I64},  {FUSE_BOOL, FUSE_BOOL, FUSE_F32}, {FUSE_BOOL, FUSE_BOOL, FUSE_F64},
    {FUSE_BOOL, FUSE_BOOL, FUSE_BOOL}, {FUSE_BF16, FUSE_BF16, FUSE_F32}, {FUSE_I8, FUSE_BF16, FUSE_F32},
    {FUSE_I16, FUSE_I8, FUSE_I64},     {FUSE_F16, FUSE_F16, FUSE_F32},
};
enum { TYPES = sizeof types / sizeof *types };

static void run_shape(const char *what, const struct shape *shape, int seed) {
    const enum fuse_dtype *type = types[seed % TYPES];
    struct rng rng = {.state = (uint64_t)seed};
    struct call call = {.kind = CALL_CONTRACT};
    struct fuse_contract *k = &call.contract;
    char *image = calloc(IMAGE, 1), name[200];
    k->indices = shape->indices;
    memcpy(k->extent, shape->extent, sizeof k->extent);
    k->a.dtype = type[0];
    k->b.dtype = type[1];
    k->c.dtype = type[2];
    k->accumulate = rng_below(&rng, 2);
    size_t bytes = place(&rng, shape, A, &k->a, &k->in_a, image, 64);
    bytes = place(&rng, shape, B, &k->b, &k->in_b, image, bytes);
    bytes = place(&rng, shape, C, &k->c, &k->in_c, image, bytes) + 64;
    snprintf(name, sizeof name, "%s %d (%s %s -> %s)", what, seed, fuse_dtype_name(type[0]), fuse_dtype_name(type[1]),
             fuse_dtype_name(type[2]));
    beds_compare(name, &call, image, bytes, 0, 0, BITS_MAY_DIFFER);
    free(image);
}

static void random_products(void **state) {
    (void)state;
    static const int64_t extents[] = {1, 2, 3, 5, 7, 8, 15, 16, 17, 31, 33, 40, 64, 70};
    static const int kinds[] = {A | C, B | C, A | B, A | B | C, A | C, B | C, A | B, A, B};
    for (int seed = 0; seed < 700; seed++) {
        struct rng rng = {.state = (uint64_t)seed + 5000};
        struct shape shape = {0};
        int64_t points = 1;
        for (int x = 0; x < 6; x++) {
            const int64_t extent = extents[rng_below(&rng, 14)];
            if (points * extent > 120000)
                continue;
            points *= extent;
            shape.extent[shape.indices] = extent;
            shape.in[shape.indices++] = kinds[x < 3 ? x : rng_below(&rng, 9)];
        }
        run_shape("random product", &shape, seed);
    }
}

/* Several boxes and strips, rows and columns that fill none, two threads. */
static void large_products(void **state) {
    (void)state;
    static const struct shape shapes[] = {
        {3, {130, 150, 110}, {A | C, B | C, A | B}},
        {3, {9, 11, 9001}, {A | C, B | C, A | B}},
        {3, {700, 33, 65}, {A | C, B | C, A | B}},
        {3, {17, 1030, 70}, {A | C, B | C, A | B}},
        {4, {5, 40, 50, 60}, {A | B | C, A | C, B | C, A | B}},
        {2, {900, 131}, {A | B, A | B}},
        {2, {7, 1500}, {A | B | C, A | B}},
        {2, {1500, 70}, {A | B, A | C}},
        {3, {1000, 3, 2}, {A | B, A | C, B | C}},
        {5, {11, 12, 9, 14, 90}, {A | C, A | C, B | C, B | C, A | B}},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int seed = 0; seed < TYPES; seed++)
            run_shape("large product", &shapes[i], seed + TYPES * (int)(i + 1));
}

/* c[m, n] = sum a[m, k] b[k, n], all dense, at 64, behind a, and behind b. */
static struct call matrix_call(const enum fuse_dtype type[3], int64_t m, int64_t n, int64_t k, size_t at[4]) {
    struct call call = {.kind = CALL_CONTRACT};
    at[0] = 64;
    at[1] = at[0] + (size_t)(m * k) * fuse_dtype_bytes(type[0]);
    at[2] = (at[1] + (size_t)(k * n) * fuse_dtype_bytes(type[1]) + 63) / 64 * 64;
    at[3] = at[2] + (size_t)(m * n) * fuse_dtype_bytes(type[2]);
    call.contract = (struct fuse_contract){.indices = 3, .extent = {m, n, k}, .in_a = 5, .in_b = 6, .in_c = 3};
    call.contract.a = (struct fuse_operand_view){.data = (void *)at[0], .dtype = type[0], .stride = {k, 0, 1}};
    call.contract.b = (struct fuse_operand_view){.data = (void *)at[1], .dtype = type[1], .stride = {0, 1, n}};
    call.contract.c = (struct fuse_operand_view){.data = (void *)at[2], .dtype = type[2], .stride = {n, 1}};
    return call;
}

/* The largest magnitudes that there are, and more terms than 32 bits can add up. */
static void long_sums_of_extremes(void **state) {
    (void)state;
    for (int t = 0; t < 4; t++) {
        size_t at[4];
        const int64_t k = 140000;
        struct call call = matrix_call(types[t], 9, 10, k, at);
        char *image = calloc(at[3], 1);
        for (int o = 0; o < 2; o++)
            memset(image + at[o], types[t][o] == FUSE_I8 ? 0x80 : 0xFF, (size_t)(k * (o ? 10 : 9)));
        beds_compare("extremes", &call, image, at[3], 0, 0, BITS_MAY_DIFFER);
        free(image);
    }
}

static void overflow_of_the_result_is_reported(void **state) {
    (void)state;
    size_t at[4];
    struct call call = matrix_call(types[0], 20, 20, 64, at);
    char *image = calloc(at[3], 1);
    memset(image + at[0], 1, at[2] - at[0]);
    ((int64_t *)(image + at[2]))[21] = INT64_MAX - 63;
    call.contract.accumulate = true;
    for (int s = -1; s < SUBJECTS; s++) {
        struct fuse_error err = {0};
        assert_int_equal(bed_run(s < 0 ? &ref : &subject[s], &call, image, at[3], &err), FUSE_EFAILED);
        ((int64_t *)(image + at[2]))[21] = INT64_MAX - 63;
    }
    free(image);
}

/* Numbers that the instructions for BF16 take for 0, next to large ones; and NaN and infinities. */
static void subnormal_and_special_reals(void **state) {
    (void)state;
    for (int special = 0; special < 3; special++) {
        size_t at[4];
        struct call call = matrix_call(types[10], 40, 50, 64, at);
        char *image = calloc(at[3], 1);
        struct rng rng = {.state = 3};
        fill_whole(&rng, image + at[0], FUSE_BF16, (at[2] - at[0]) / 2, 2);
        for (int64_t k = 0; k < 64; k++) {
            ((uint16_t *)(image + at[0]))[3 * 64 + k] = special == 0 ? (uint16_t)(k + 1) : 0x3F80; /* k 2^-133, or 1 */
            put_real(image + at[1] + 2 * (50 * k + 7), FUSE_BF16, 0x1p100);
        }
        if (special == 1)
            put_real(image + at[0] + 2 * (5 * 64 + 9), FUSE_BF16, NAN);
        if (special == 2)
            put_real(image + at[1] + 2 * (50 * 11 + 2), FUSE_BF16, INFINITY);
        beds_compare("special reals", &call, image, at[3], 0x1p-18, 0, BITS_MAY_DIFFER);
        free(image);
    }
}

/* Products of BF16 are exact in F32; a sum of k of them in F32, in any order, errs by at most k 2^-24 of the sum of magnitudes. */
static void reals_are_summed_in_f32(void **state) {
    (void)state;
    size_t at[4];
    const int64_t m = 64, n = 70, k = 1500;
    struct call call = matrix_call(types[10], m, n, k, at);
    char *image = calloc(at[3], 1);
    struct rng rng = {.state = 4};
    struct fuse_error err = {0};
    fill_real(&rng, image + at[0], FUSE_BF16, (at[2] - at[0]) / 2, -1, 1);
    for (int s = 0; s < SUBJECTS; s++) {
        assert_int_equal(bed_run(&subject[s], &call, image, at[3], &err), FUSE_OK);
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j < n; j++) {
                double want = 0, magnitude = 0;
                for (int64_t x = 0; x < k; x++) {
                    const double product = get_real(image + at[0] + 2 * (i * k + x), FUSE_BF16) *
                                           get_real(image + at[1] + 2 * (x * n + j), FUSE_BF16);
                    want += product;
                    magnitude += fabs(product);
                }
                const double got = (double)((float *)(image + at[2]))[i * n + j];
                assert_true(fabs(got - want) <= (double)k * 0x1p-24 * magnitude);
            }
    }
    free(image);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernels_are_exact),
        cmocka_unit_test(random_products),
        cmocka_unit_test(large_products),
        cmocka_unit_test(long_sums_of_extremes),
        cmocka_unit_test(overflow_of_the_result_is_reported),
        cmocka_unit_test(subnormal_and_special_reals),
        cmocka_unit_test(reals_are_summed_in_f32),
    };
    return cmocka_run_group_tests(tests, open_beds, beds_close);
}
