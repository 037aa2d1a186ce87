#include "core/dtype.h"

#include <string.h>

static const struct {
    const char *name;
    size_t bytes;
    enum fuse_dtype_class class;
    enum fuse_dtype compute;
} dtypes[FUSE_DTYPES] = {
#define FUSE_DTYPE(NAME, text, bytes, cls, compute, npy) \
    [FUSE_##NAME] = {text, bytes, FUSE_CLASS_##cls, FUSE_##compute},
#include "core/dtype.def"
#undef FUSE_DTYPE
};

size_t fuse_dtype_bytes(enum fuse_dtype dtype) {
    return dtypes[dtype].bytes;
}

const char *fuse_dtype_name(enum fuse_dtype dtype) {
    return (unsigned)dtype < FUSE_DTYPES ? dtypes[dtype].name : "unknown";
}

enum fuse_dtype_class fuse_dtype_class(enum fuse_dtype dtype) {
    return dtypes[dtype].class;
}

enum fuse_dtype fuse_dtype_compute(enum fuse_dtype dtype) {
    return dtypes[dtype].compute;
}

bool fuse_dtype_parse(enum fuse_dtype *out, const char *name) {
    for (int i = 0; i < FUSE_DTYPES; i++)
        if (strcmp(dtypes[i].name, name) == 0) {
            *out = (enum fuse_dtype)i;
            return true;
        }
    return false;
}

enum fuse_dtype fuse_dtype_resident(enum fuse_dtype file) {
    switch (file) {
    case FUSE_U16: return FUSE_I32;
    case FUSE_U32: return FUSE_I64;
    case FUSE_U64: return FUSE_I64;
    default: return file;
    }
}

static inline uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The conversions below compute every case and select by masks: with branches the loops over them would not become
 * vector code. Magnitudes are compared as signed numbers, which every vector unit can. */

/* All ones when a < b. */
static inline uint32_t below(uint32_t a, uint32_t b) {
    return -(uint32_t)((int32_t)a < (int32_t)b);
}

static inline uint32_t choose(uint32_t mask, uint32_t yes, uint32_t no) {
    return no ^ ((yes ^ no) & mask);
}

static inline uint16_t f16_from_f32(float value) {
    const uint32_t infinity = 0x7f800000u, overflow = (127u + 16) << 23, smallest_normal = (127u - 14) << 23;
    /* Adding this float to a magnitude below 2^-14 lets the hardware round it to a multiple of 2^-24. */
    const uint32_t magic = (127u - 15 + 23 - 10 + 1) << 23;
    uint32_t bits = bits_of(value);
    uint32_t sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7fffffffu;
    uint32_t is_tiny = below(magnitude, smallest_normal);
    uint32_t normal = (magnitude - ((127u - 15) << 23) + 0xfffu + ((magnitude >> 13) & 1)) >> 13;
    uint32_t tiny = bits_of(float_of(magnitude & is_tiny) + float_of(magic)) - magic;
    uint32_t nan = 0x200u | ((magnitude >> 13) & 0x3ffu);
    uint32_t special = 0x7c00u | (nan & below(infinity, magnitude));
    uint32_t half = choose(is_tiny, tiny, normal);
    half = choose(below(magnitude, overflow), half, special);
    return (uint16_t)(sign | half);
}

static inline float f16_to_f32(uint16_t bits) {
    const uint32_t smallest_normal = (127u - 14) << 23;
    uint32_t sign = (uint32_t)(bits & 0x8000u) << 16, magnitude = (uint32_t)(bits & 0x7fffu) << 13;
    uint32_t normal = magnitude + ((127u - 15) << 23);
    uint32_t special = magnitude + ((255u - 31) << 23);
    /* A subnormal half m * 2^-24, as (1 + m * 2^-10) * 2^-14 - 2^-14. */
    uint32_t tiny = bits_of(float_of((magnitude & 0x7fffffu) + smallest_normal) - float_of(smallest_normal));
    uint32_t result = choose(below(magnitude, 0x0400u << 13), tiny, normal);
    result = choose(below(magnitude, 0x7c00u << 13), result, special);
    return float_of(sign | result);
}

static inline uint16_t bf16_from_f32(float value) {
    uint32_t bits = bits_of(value);
    uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1)) >> 16;
    uint32_t nan = (bits >> 16) | 0x40u;
    return (uint16_t)choose(below(0x7f800000u, bits & 0x7fffffffu), nan, rounded);
}

static inline float bf16_to_f32(uint16_t bits) {
    return float_of((uint32_t)bits << 16);
}

uint16_t fuse_f16_from_f32(float value) {
    return f16_from_f32(value);
}
float fuse_f16_to_f32(uint16_t bits) {
    return f16_to_f32(bits);
}
uint16_t fuse_bf16_from_f32(float value) {
    return bf16_from_f32(value);
}
float fuse_bf16_to_f32(uint16_t bits) {
    return bf16_to_f32(bits);
}

/* A float from which rounding to at most 22 bits gives what rounding `value` itself would: rounded to odd, that is,
 * truncated with a sticky last bit. */
static inline float odd_from_f64(double value) {
    float near = (float)value;
    double back = (double)near;
    uint32_t bits = bits_of(near);
    double excess = value < 0 ? value - back : back - value;
    bits -= excess > 0;
    bits |= back != value;
    return float_of(bits);
}

static inline float odd_from_u64(uint64_t value) {
    if (value >> 40)
        value = (value >> 24 | ((value & 0xffffffu) != 0)) << 24;
    return odd_from_f64((double)value);
}

static inline float odd_from_i64(int64_t value) {
    return value < 0 ? -odd_from_u64(-(uint64_t)value) : odd_from_u64((uint64_t)value);
}

/* Element types in memory. */
#define TYPE_BOOL uint8_t
#define TYPE_U8 uint8_t
#define TYPE_I8 int8_t
#define TYPE_I16 int16_t
#define TYPE_I32 int32_t
#define TYPE_I64 int64_t
#define TYPE_F16 uint16_t
#define TYPE_BF16 uint16_t
#define TYPE_F32 float
#define TYPE_F64 double
#define TYPE_U16 uint16_t
#define TYPE_U32 uint32_t
#define TYPE_U64 uint64_t

/* Reading an element: the C type that holds its value exactly, the family of stores for it, and the value. */
#define VALUE_BOOL uint8_t
#define VALUE_U8 uint8_t
#define VALUE_I8 int8_t
#define VALUE_I16 int16_t
#define VALUE_I32 int32_t
#define VALUE_I64 int64_t
#define VALUE_F16 float
#define VALUE_BF16 float
#define VALUE_F32 float
#define VALUE_F64 double
#define VALUE_U16 uint16_t
#define VALUE_U32 uint32_t
#define VALUE_U64 uint64_t

#define READ_BOOL(x) ((uint8_t)((x) != 0))
#define READ_U8(x) (x)
#define READ_I8(x) (x)
#define READ_I16(x) (x)
#define READ_I32(x) (x)
#define READ_I64(x) (x)
#define READ_F16(x) f16_to_f32(x)
#define READ_BF16(x) bf16_to_f32(x)
#define READ_F32(x) (x)
#define READ_F64(x) (x)
#define READ_U16(x) (x)
#define READ_U32(x) (x)
#define READ_U64(x) (x)

static inline int64_t clamp(int64_t x, int64_t low, int64_t high) {
    return x < low ? low : x > high ? high : x;
}
static inline uint64_t clamp_high(uint64_t x, uint64_t high) {
    return x > high ? high : x;
}

/* low is the smallest value, above one more than the largest: both exact in float and double. */
#define TRUNCATE(x, type, low, above, largest) \
    ((x) != (x) ? (type)0 : (x) <= (low) ? (type)(low) : (x) >= (above) ? (largest) : (type)(x))

/* Stores from integers that fit in int64_t. */
#define INT_TO_BOOL(x) ((uint8_t)((x) != 0))
#define INT_TO_U8(x) ((uint8_t)clamp(x, 0, UINT8_MAX))
#define INT_TO_I8(x) ((int8_t)clamp(x, INT8_MIN, INT8_MAX))
#define INT_TO_I16(x) ((int16_t)clamp(x, INT16_MIN, INT16_MAX))
#define INT_TO_I32(x) ((int32_t)clamp(x, INT32_MIN, INT32_MAX))
#define INT_TO_I64(x) ((int64_t)(x))
#define INT_TO_F16(x) f16_from_f32(odd_from_i64(x))
#define INT_TO_BF16(x) bf16_from_f32(odd_from_i64(x))
#define INT_TO_F32(x) ((float)(x))
#define INT_TO_F64(x) ((double)(x))
#define INT_TO_U16(x) ((uint16_t)clamp(x, 0, UINT16_MAX))
#define INT_TO_U32(x) ((uint32_t)clamp(x, 0, UINT32_MAX))
#define INT_TO_U64(x) ((uint64_t)clamp(x, 0, INT64_MAX))

#define U64_TO_BOOL(x) ((uint8_t)((x) != 0))
#define U64_TO_U8(x) ((uint8_t)clamp_high(x, UINT8_MAX))
#define U64_TO_I8(x) ((int8_t)clamp_high(x, INT8_MAX))
#define U64_TO_I16(x) ((int16_t)clamp_high(x, INT16_MAX))
#define U64_TO_I32(x) ((int32_t)clamp_high(x, INT32_MAX))
#define U64_TO_I64(x) ((int64_t)clamp_high(x, INT64_MAX))
#define U64_TO_F16(x) f16_from_f32(odd_from_u64(x))
#define U64_TO_BF16(x) bf16_from_f32(odd_from_u64(x))
#define U64_TO_F32(x) ((float)(x))
#define U64_TO_F64(x) ((double)(x))
#define U64_TO_U16(x) ((uint16_t)clamp_high(x, UINT16_MAX))
#define U64_TO_U32(x) ((uint32_t)clamp_high(x, UINT32_MAX))
#define U64_TO_U64(x) (x)

/* Stores from float and double. */
#define REAL_TO_BOOL(x) ((uint8_t)((x) != 0))
#define REAL_TO_U8(x) TRUNCATE(x, uint8_t, 0, 256.0f, UINT8_MAX)
#define REAL_TO_I8(x) TRUNCATE(x, int8_t, -128, 128.0f, INT8_MAX)
#define REAL_TO_I16(x) TRUNCATE(x, int16_t, -32768, 32768.0f, INT16_MAX)
#define REAL_TO_I32(x) TRUNCATE(x, int32_t, INT32_MIN, 2147483648.0f, INT32_MAX)
#define REAL_TO_I64(x) TRUNCATE(x, int64_t, INT64_MIN, 9223372036854775808.0f, INT64_MAX)
#define REAL_TO_F32(x) ((float)(x))
#define REAL_TO_F64(x) ((double)(x))
#define REAL_TO_U16(x) TRUNCATE(x, uint16_t, 0, 65536.0f, UINT16_MAX)
#define REAL_TO_U32(x) TRUNCATE(x, uint32_t, 0, 4294967296.0f, UINT32_MAX)
#define REAL_TO_U64(x) TRUNCATE(x, uint64_t, 0, 18446744073709551616.0f, UINT64_MAX)
#define F32_TO_F16(x) f16_from_f32(x)
#define F32_TO_BF16(x) bf16_from_f32(x)
#define F64_TO_F16(x) f16_from_f32(odd_from_f64(x))
#define F64_TO_BF16(x) bf16_from_f32(odd_from_f64(x))

/* memcpy rather than typed access: file data may start at any byte. */
#define CONVERSION(FROM, TO, STORE)                                                          \
    static void FROM##_to_##TO(char *restrict to, const char *restrict from, size_t count) { \
        for (size_t i = 0; i < count; i++) {                                                 \
            TYPE_##FROM in;                                                                  \
            memcpy(&in, from + i * sizeof in, sizeof in);                                    \
            VALUE_##FROM value = READ_##FROM(in);                                            \
            TYPE_##TO out = STORE(value);                                                    \
            memcpy(to + i * sizeof out, &out, sizeof out);                                   \
        }                                                                                    \
    }

#define CONVERSIONS(FROM, TO_INT, TO_HALF, TO_REAL) \
    CONVERSION(FROM, BOOL, TO_INT##_TO_BOOL)        \
    CONVERSION(FROM, U8, TO_INT##_TO_U8)            \
    CONVERSION(FROM, I8, TO_INT##_TO_I8)            \
    CONVERSION(FROM, I16, TO_INT##_TO_I16)          \
    CONVERSION(FROM, I32, TO_INT##_TO_I32)          \
    CONVERSION(FROM, I64, TO_INT##_TO_I64)          \
    CONVERSION(FROM, F16, TO_HALF##_TO_F16)         \
    CONVERSION(FROM, BF16, TO_HALF##_TO_BF16)       \
    CONVERSION(FROM, F32, TO_REAL##_TO_F32)         \
    CONVERSION(FROM, F64, TO_REAL##_TO_F64)         \
    CONVERSION(FROM, U16, TO_INT##_TO_U16)          \
    CONVERSION(FROM, U32, TO_INT##_TO_U32)          \
    CONVERSION(FROM, U64, TO_INT##_TO_U64)

CONVERSIONS(BOOL, INT, INT, INT)
CONVERSIONS(U8, INT, INT, INT)
CONVERSIONS(I8, INT, INT, INT)
CONVERSIONS(I16, INT, INT, INT)
CONVERSIONS(I32, INT, INT, INT)
CONVERSIONS(I64, INT, INT, INT)
CONVERSIONS(F16, REAL, F32, REAL)
CONVERSIONS(BF16, REAL, F32, REAL)
CONVERSIONS(F32, REAL, F32, REAL)
CONVERSIONS(F64, REAL, F64, REAL)
CONVERSIONS(U16, INT, INT, INT)
CONVERSIONS(U32, INT, INT, INT)
CONVERSIONS(U64, U64, U64, U64)

typedef void convert_fn(char *restrict to, const char *restrict from, size_t count);

static convert_fn *const conversions[FUSE_DTYPES][FUSE_DTYPES] = {
#define FUSE_DTYPE(FROM, text, bytes, cls, compute, npy)                                        \
    [FUSE_##FROM] = {                                                                           \
        [FUSE_BOOL] = FROM##_to_BOOL, [FUSE_U8] = FROM##_to_U8,     [FUSE_I8] = FROM##_to_I8,   \
        [FUSE_I16] = FROM##_to_I16,   [FUSE_I32] = FROM##_to_I32,   [FUSE_I64] = FROM##_to_I64, \
        [FUSE_F16] = FROM##_to_F16,   [FUSE_BF16] = FROM##_to_BF16, [FUSE_F32] = FROM##_to_F32, \
        [FUSE_F64] = FROM##_to_F64,   [FUSE_U16] = FROM##_to_U16,   [FUSE_U32] = FROM##_to_U32, \
        [FUSE_U64] = FROM##_to_U64,                                                             \
    },
#include "core/dtype.def"
#undef FUSE_DTYPE
};

bool fuse_dtype_convert(void *to, enum fuse_dtype to_dtype, const void *from, enum fuse_dtype from_dtype,
                        size_t count) {
    if (count == 0)
        return true;
    /* Bools from files may hold any byte; everything else is copied as it is. */
    if (to_dtype == from_dtype && to_dtype != FUSE_BOOL) {
        memcpy(to, from, count * dtypes[to_dtype].bytes);
        return true;
    }
    conversions[from_dtype][to_dtype](to, from, count);
    if (from_dtype != FUSE_U64 || to_dtype != FUSE_I64)
        return true;
    uint64_t all = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t value;
        memcpy(&value, (const char *)from + i * sizeof value, sizeof value);
        all |= value;
    }
    return all <= INT64_MAX;
}
