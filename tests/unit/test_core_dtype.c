#include "core/dtype.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void facts(void **state) {
    (void)state;
    static const struct {
        enum fuse_dtype dtype, compute, resident;
        const char *name;
        size_t bytes;
        enum fuse_dtype_class class;
    } rows[] = {
        {FUSE_BOOL, FUSE_BOOL, FUSE_BOOL, "bool", 1, FUSE_CLASS_BOOL},
        {FUSE_U8, FUSE_I64, FUSE_U8, "u8", 1, FUSE_CLASS_UINT},
        {FUSE_I16, FUSE_I64, FUSE_I16, "i16", 2, FUSE_CLASS_INT},
        {FUSE_F16, FUSE_F32, FUSE_F16, "f16", 2, FUSE_CLASS_REAL},
        {FUSE_BF16, FUSE_F32, FUSE_BF16, "bf16", 2, FUSE_CLASS_REAL},
        {FUSE_F64, FUSE_F64, FUSE_F64, "f64", 8, FUSE_CLASS_REAL},
        {FUSE_U16, FUSE_I64, FUSE_I32, "u16", 2, FUSE_CLASS_UINT},
        {FUSE_U32, FUSE_I64, FUSE_I64, "u32", 4, FUSE_CLASS_UINT},
        {FUSE_U64, FUSE_I64, FUSE_I64, "u64", 8, FUSE_CLASS_UINT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        enum fuse_dtype parsed = FUSE_DTYPES;
        assert_string_equal(fuse_dtype_name(rows[i].dtype), rows[i].name);
        assert_true(fuse_dtype_parse(&parsed, rows[i].name));
        assert_int_equal(parsed, rows[i].dtype);
        assert_int_equal(fuse_dtype_bytes(rows[i].dtype), rows[i].bytes);
        assert_int_equal(fuse_dtype_class(rows[i].dtype), rows[i].class);
        assert_int_equal(fuse_dtype_compute(rows[i].dtype), rows[i].compute);
        assert_int_equal(fuse_dtype_resident(rows[i].dtype), rows[i].resident);
    }
    enum fuse_dtype parsed = FUSE_I8;
    assert_false(fuse_dtype_parse(&parsed, "f128"));
    assert_int_equal(parsed, FUSE_I8);
}

/* The definitions, by exponent and fraction: a format of `bits` bits with `digits` fraction digits and `bias`. */
struct format {
    int digits, exponent_bits, bias;
    enum fuse_dtype dtype;
};

static const struct format f16 = {10, 5, 15, FUSE_F16}, bf16 = {7, 8, 127, FUSE_BF16};

static double decode(const struct format *format, uint16_t bits) {
    int exponent = bits >> format->digits & ((1 << format->exponent_bits) - 1);
    int fraction = bits & ((1 << format->digits) - 1);
    double value;
    if (exponent == (1 << format->exponent_bits) - 1)
        value = fraction ? NAN : INFINITY;
    else if (exponent == 0)
        value = ldexp(fraction, 1 - format->bias - format->digits);
    else
        value = ldexp(fraction + (1 << format->digits), exponent - format->bias - format->digits);
    return bits & 0x8000 ? -value : value;
}

static uint16_t encode(const struct format *format, float value) {
    return format->dtype == FUSE_F16 ? fuse_f16_from_f32(value) : fuse_bf16_from_f32(value);
}

static uint16_t encode_f64(const struct format *format, double value) {
    uint16_t bits;
    assert_true(fuse_dtype_convert(&bits, format->dtype, &value, FUSE_F64, 1));
    return bits;
}

static bool same_double(double a, double b) {
    return a == b ? !signbit(a) == !signbit(b) : isnan(a) && isnan(b);
}

/* Every one of the 65536 patterns, against the definition. */
static void every_half_decodes(void **state) {
    (void)state;
    for (uint32_t bits = 0; bits < 65536; bits++) {
        assert_true(same_double(fuse_f16_to_f32((uint16_t)bits), decode(&f16, (uint16_t)bits)));
        assert_true(same_double(fuse_bf16_to_f32((uint16_t)bits), decode(&bf16, (uint16_t)bits)));
    }
}

/* Around every border between two neighbouring values: below it the lower, above it the upper, on it the even one. From
 * double the border is approached closer than a float can, which shows rounding twice. */
static void check_rounding(const struct format *format) {
    uint16_t infinity = (uint16_t)(((1 << format->exponent_bits) - 1) << format->digits);
    for (uint32_t low = 0; low < infinity; low++) {
        uint16_t high = (uint16_t)(low + 1), even = (uint16_t)(low & 1 ? high : low);
        double from = decode(format, (uint16_t)low);
        /* Beyond the largest value the next one would have the same distance. */
        double to = high < infinity ? decode(format, high) : 2 * from - decode(format, (uint16_t)(low - 1));
        double border = from + (to - from) / 2;
        for (int sign = 0; sign < 2; sign++) {
            uint16_t s = sign ? 0x8000 : 0;
            double flip = sign ? -1 : 1;
            assert_int_equal(encode_f64(format, flip * from), s | low);
            assert_int_equal(encode_f64(format, flip * border), s | even);
            assert_int_equal(encode_f64(format, flip * nextafter(border, 0)), s | low);
            assert_int_equal(encode_f64(format, flip * nextafter(border, INFINITY)), s | high);
            float near = (float)border;
            assert_true((double)near == border);
            assert_int_equal(encode(format, (float)flip * (float)from), s | low);
            assert_int_equal(encode(format, (float)flip * near), s | even);
            assert_int_equal(encode(format, (float)flip * nextafterf(near, 0)), s | low);
            assert_int_equal(encode(format, (float)flip * nextafterf(near, INFINITY)), s | high);
        }
    }
    assert_int_equal(encode(format, INFINITY), infinity);
    assert_int_equal(encode(format, -INFINITY), infinity | 0x8000);
    assert_int_equal(encode_f64(format, 1e300), infinity);
    assert_int_equal(encode_f64(format, -DBL_MAX), infinity | 0x8000);
    assert_int_equal(encode_f64(format, 1e-300), 0);
    assert_int_equal(encode_f64(format, -1e-300), 0x8000);
}

static void f16_rounds_to_even(void **state) {
    (void)state;
    check_rounding(&f16);
}

static void bf16_rounds_to_even(void **state) {
    (void)state;
    check_rounding(&bf16);
}

/* Fails when a NaN whose payload sits in the dropped bits becomes infinity. */
static void nan_stays(void **state) {
    (void)state;
    static const uint32_t patterns[] = {0x7fc00000, 0xffc00000, 0x7f800001, 0xff800001, 0x7fffffff, 0x7f802000};
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        float nan;
        memcpy(&nan, &patterns[i], sizeof nan);
        double wide = nan;
        assert_true(isnan(fuse_f16_to_f32(fuse_f16_from_f32(nan))));
        assert_true(isnan(fuse_bf16_to_f32(fuse_bf16_from_f32(nan))));
        assert_true(isnan(fuse_f16_to_f32(encode_f64(&f16, wide))));
        assert_true(isnan(fuse_bf16_to_f32(encode_f64(&bf16, wide))));
        assert_int_equal(fuse_f16_from_f32(nan) >> 15, patterns[i] >> 31);
    }
}

#define CHECK(TO, to_type, FROM, from_type, value, expected)         \
    do {                                                             \
        from_type from_ = (value);                                   \
        to_type to_, expected_ = (expected);                         \
        memset(&to_, 0x55, sizeof to_);                              \
        fuse_dtype_convert(&to_, FUSE_##TO, &from_, FUSE_##FROM, 1); \
        assert_memory_equal(&to_, &expected_, sizeof to_);           \
    } while (0)

static void reals_to_integers_truncate_and_saturate(void **state) {
    (void)state;
    CHECK(I32, int32_t, F32, float, 2.9f, 2);
    CHECK(I32, int32_t, F32, float, -2.9f, -2);
    CHECK(I32, int32_t, F32, float, NAN, 0);
    CHECK(I32, int32_t, F32, float, 2147483648.0f, INT32_MAX);
    CHECK(I32, int32_t, F32, float, -3e9f, INT32_MIN);
    CHECK(I32, int32_t, F64, double, 2147483646.9, 2147483646);
    CHECK(I32, int32_t, F64, double, 2147483647.5, INT32_MAX);
    CHECK(I32, int32_t, F64, double, -2147483648.5, INT32_MIN);
    CHECK(I64, int64_t, F64, double, 9223372036854775807.0, INT64_MAX);
    CHECK(I64, int64_t, F64, double, 9223372036854774784.0, INT64_C(9223372036854774784));
    CHECK(I64, int64_t, F64, double, -1e30, INT64_MIN);
    CHECK(I64, int64_t, F32, float, INFINITY, INT64_MAX);
    CHECK(I64, int64_t, F64, double, NAN, 0);
    CHECK(U8, uint8_t, F32, float, 255.9f, 255);
    CHECK(U8, uint8_t, F32, float, 256.0f, 255);
    CHECK(U8, uint8_t, F32, float, -0.5f, 0);
    CHECK(U8, uint8_t, F64, double, -7, 0);
    CHECK(I8, int8_t, F64, double, 127.99, 127);
    CHECK(I8, int8_t, F64, double, -128.99, -128);
    CHECK(I8, int8_t, F64, double, -129, -128);
    CHECK(I16, int16_t, F32, float, 40000, 32767);
    CHECK(U16, uint16_t, F32, float, 40000, 40000);
    CHECK(U32, uint32_t, F64, double, 4294967295.5, UINT32_MAX);
    CHECK(U64, uint64_t, F64, double, 1e19, UINT64_C(10000000000000000000));
    CHECK(U64, uint64_t, F64, double, 2e19, UINT64_MAX);
    CHECK(I8, int8_t, F16, uint16_t, 0xc500, -5);
    CHECK(I8, int8_t, BF16, uint16_t, 0x7f80, 127);
}

static void integers_saturate(void **state) {
    (void)state;
    CHECK(U8, uint8_t, I64, int64_t, 300, 255);
    CHECK(U8, uint8_t, I64, int64_t, -1, 0);
    CHECK(I8, int8_t, I32, int32_t, -1000, -128);
    CHECK(I32, int32_t, I64, int64_t, INT64_C(1) << 40, INT32_MAX);
    CHECK(U64, uint64_t, I8, int8_t, -1, 0);
    CHECK(I64, int64_t, I8, int8_t, -1, -1);
    CHECK(I64, int64_t, U32, uint32_t, UINT32_MAX, UINT32_MAX);
    CHECK(I8, int8_t, U64, uint64_t, UINT64_MAX, 127);
    CHECK(I32, int32_t, U16, uint16_t, 65535, 65535);
}

static void unsigned_64_that_does_not_fit_is_reported(void **state) {
    (void)state;
    uint64_t from[3] = {1, INT64_MAX, (uint64_t)INT64_MAX + 1};
    int64_t to[3];
    assert_true(fuse_dtype_convert(to, FUSE_I64, from, FUSE_U64, 2));
    assert_false(fuse_dtype_convert(to, FUSE_I64, from, FUSE_U64, 3));
    assert_int_equal(to[0], 1);
    assert_int_equal(to[1], INT64_MAX);
    assert_int_equal(to[2], INT64_MAX);
}

static void bools(void **state) {
    (void)state;
    CHECK(BOOL, uint8_t, F32, float, NAN, 1);
    CHECK(BOOL, uint8_t, F32, float, -0.0f, 0);
    CHECK(BOOL, uint8_t, F64, double, 1e-320, 1);
    CHECK(BOOL, uint8_t, I64, int64_t, INT64_C(1) << 40, 1);
    CHECK(BOOL, uint8_t, F16, uint16_t, 0x8000, 0);
    CHECK(BOOL, uint8_t, BOOL, uint8_t, 7, 1);
    CHECK(F32, float, BOOL, uint8_t, 7, 1.0f);
    CHECK(U8, uint8_t, U8, uint8_t, 7, 7);
    CHECK(U64, uint64_t, U64, uint64_t, UINT64_MAX, UINT64_MAX);
}

/* Integers with more digits than a float: fails when they pass through one before the last rounding. */
static void integers_to_reals_round_once(void **state) {
    (void)state;
    CHECK(F32, float, I64, int64_t, INT64_C(16777217), 16777216.0f);
    CHECK(F32, float, I64, int64_t, (INT64_C(1) << 54) + (INT64_C(1) << 30) + 1, 0x1.000002p54f);
    CHECK(F64, double, I64, int64_t, INT64_MAX, 0x1p63);
    CHECK(F32, float, U64, uint64_t, UINT64_MAX, 0x1p64f);
    /* 2^40 + 2^32 is on the border between two bf16, 1 more is above it, and float cannot tell them apart. */
    CHECK(BF16, uint16_t, I64, int64_t, (INT64_C(1) << 40) + (INT64_C(1) << 32), 0x5380);
    CHECK(BF16, uint16_t, I64, int64_t, (INT64_C(1) << 40) + (INT64_C(1) << 32) + 1, 0x5381);
    CHECK(BF16, uint16_t, I64, int64_t, -(INT64_C(1) << 40) - (INT64_C(1) << 32) - 1, 0xd381);
    CHECK(BF16, uint16_t, U64, uint64_t, (UINT64_C(1) << 63) + (UINT64_C(1) << 55) + 1, 0x5f01);
    CHECK(BF16, uint16_t, I64, int64_t, INT64_MIN, 0xdf00);
    CHECK(F16, uint16_t, I64, int64_t, 65519, 0x7bff);
    CHECK(F16, uint16_t, I64, int64_t, 65520, 0x7c00);
    CHECK(F16, uint16_t, I32, int32_t, -2049, 0xe800);
    CHECK(F16, uint16_t, U8, uint8_t, 255, 0x5bf8);
}

/* All pairs, at odd addresses and with a length that no vector divides: small integers are exact in every type. Fails
 * when a table entry converts to or from another type, or a remainder loop is wrong. */
static void all_pairs_in_bulk(void **state) {
    (void)state;
    enum { COUNT = 101 };
    for (int from = 0; from < FUSE_DTYPES; from++)
        for (int to = 0; to < FUSE_DTYPES; to++) {
            int64_t numbers[COUNT], back[COUNT];
            for (int i = 0; i < COUNT; i++) {
                numbers[i] = i * 37 % 128;
                if (from == FUSE_BOOL || to == FUSE_BOOL)
                    numbers[i] %= 2;
            }
            size_t from_bytes = COUNT * fuse_dtype_bytes((enum fuse_dtype)from);
            size_t to_bytes = COUNT * fuse_dtype_bytes((enum fuse_dtype)to);
            char *a = malloc(from_bytes + 1), *b = malloc(to_bytes + 1);
            assert_non_null(a);
            assert_non_null(b);
            assert_true(fuse_dtype_convert(a + 1, (enum fuse_dtype)from, numbers, FUSE_I64, COUNT));
            assert_true(fuse_dtype_convert(b + 1, (enum fuse_dtype)to, a + 1, (enum fuse_dtype)from, COUNT));
            assert_true(fuse_dtype_convert(back, FUSE_I64, b + 1, (enum fuse_dtype)to, COUNT));
            assert_memory_equal(back, numbers, sizeof numbers);
            free(a);
            free(b);
        }
    assert_true(fuse_dtype_convert(NULL, FUSE_I64, NULL, FUSE_F32, 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(facts),
        cmocka_unit_test(every_half_decodes),
        cmocka_unit_test(f16_rounds_to_even),
        cmocka_unit_test(bf16_rounds_to_even),
        cmocka_unit_test(nan_stays),
        cmocka_unit_test(reals_to_integers_truncate_and_saturate),
        cmocka_unit_test(integers_saturate),
        cmocka_unit_test(unsigned_64_that_does_not_fit_is_reported),
        cmocka_unit_test(bools),
        cmocka_unit_test(integers_to_reals_round_once),
        cmocka_unit_test(all_pairs_in_bulk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
