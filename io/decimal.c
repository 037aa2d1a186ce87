#include "io/decimal.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- writing ---- */

/* 0.digits * 10^exponent */
struct digits {
    char digit[24];
    int count, exponent;
};

/* snprintf's digits without its decimal point, which the locale chooses. */
static void take_digits(struct digits *out, double value, int count) {
    char text[48];
    int n = snprintf(text, sizeof text, "%.*e", count - 1, value);
    out->count = 0;
    int i = 0;
    for (; i < n && text[i] != 'e'; i++)
        if (text[i] >= '0' && text[i] <= '9')
            out->digit[out->count++] = text[i];
    out->exponent = (int)strtol(text + i + 1, NULL, 10) + 1;
    while (out->count > 1 && out->digit[out->count - 1] == '0')
        out->count--;
}

static void print_digits(char *text, const struct digits *digits, char sign) {
    snprintf(text, 48, "%c%.*se%d", sign, digits->count, digits->digit, digits->exponent - digits->count);
}

static bool reads_back(const struct digits *digits, double value, bool is_single) {
    char text[48];
    print_digits(text, digits, '+');
    return is_single ? strtof(text, NULL) == (float)value : strtod(text, NULL) == value;
}

static bool is_power_of_two(double value) {
    int exponent;
    return frexp(value, &exponent) == 0.5;
}

/* The nearest number with so many digits, or one that lies `step` units of the last digit beside it. */
static bool try_digits(struct digits *out, double value, bool is_single, int count) {
    take_digits(out, value, count);
    if (reads_back(out, value, is_single))
        return true;
    if (!is_power_of_two(value))
        return false;
    /* Below a power of two numbers lie twice as dense: the nearest may miss where its neighbour above does not. */
    struct digits above = *out;
    while (above.count < count)
        above.digit[above.count++] = '0';
    int i = count - 1;
    while (i >= 0 && above.digit[i] == '9')
        above.digit[i--] = '0';
    if (i < 0)
        return false;
    above.digit[i]++;
    if (!reads_back(&above, value, is_single))
        return false;
    *out = above;
    while (out->count > 1 && out->digit[out->count - 1] == '0')
        out->count--;
    return true;
}

static void shortest_slow(struct digits *out, double value, bool is_single) {
    /* As many decimal digits survive in every normal number, so a shorter text would be this one with zeros behind it. */
    bool is_normal = value >= (is_single ? (double)FLT_MIN : DBL_MIN);
    int count = !is_normal || is_power_of_two(value) ? 1 : is_single ? FLT_DIG : DBL_DIG;
    int most = is_single ? 9 : 17;
    while (count < most && !try_digits(out, value, is_single, count))
        count++;
    if (count == most)
        take_digits(out, value, most);
}

/* Powers of ten that a double holds exactly. */
enum { EXACT_TENS = 22 };
static const double ten_to[EXACT_TENS + 1] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                              1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

/* m * 10^k, rounded once. */
static double scale(double m, int k) {
    return k >= 0 ? m * ten_to[k] : m / ten_to[-k];
}

/* Doubles have 29 bits more than floats, so that both the candidates and the borders between which they read back are
 * known well enough; false where that is not so, or a float is out of the range of exact powers. */
static bool shortest_fast(struct digits *out, float value) {
    if (value < 1e-9f || value > 1e18f || is_power_of_two((double)value))
        return false;
    double x = (double)value;
    double low = (x + (double)nextafterf(value, 0)) / 2, high = (x + (double)nextafterf(value, INFINITY)) / 2;
    int exponent = (int)floor(log10(x)) + 1;
    for (int count = FLT_DIG; count <= 9; count++) {
        int k = exponent - count;
        double m = k >= 0 ? x / ten_to[k] : x * ten_to[-k];
        double near = floor(m + 0.5), back = scale(near, k);
        double slack = x * 4e-16;
        if (fabs(fabs(m - floor(m)) - 0.5) < 1e-6 || fabs(back - low) < slack || fabs(back - high) < slack)
            return false;
        if (back <= low || back >= high)
            continue;
        int64_t number = (int64_t)near;
        char text[24];
        int n = 0;
        for (; number > 0; number /= 10)
            text[n++] = (char)('0' + number % 10);
        for (int i = 0; i < n; i++)
            out->digit[i] = text[n - 1 - i];
        out->exponent = k + n;
        while (n > 1 && out->digit[n - 1] == '0')
            n--;
        out->count = n;
        return true;
    }
    return false;
}

/* As Python writes: plain between 1e-4 and 1e16. */
static size_t lay_out(char *out, const struct digits *d, bool is_negative) {
    enum { PLAIN_LOW = -3, PLAIN_HIGH = 16 };
    char *to = out;
    if (is_negative)
        *to++ = '-';
    int point = d->exponent;
    if (point < PLAIN_LOW || point > PLAIN_HIGH) {
        *to++ = d->digit[0];
        if (d->count > 1) {
            *to++ = '.';
            memcpy(to, d->digit + 1, (size_t)d->count - 1);
            to += d->count - 1;
        }
        int e = point - 1;
        *to++ = 'e';
        *to++ = e < 0 ? '-' : '+';
        e = e < 0 ? -e : e;
        if (e >= 100)
            *to++ = (char)('0' + e / 100);
        *to++ = (char)('0' + e / 10 % 10);
        *to++ = (char)('0' + e % 10);
        return (size_t)(to - out);
    }
    if (point <= 0) {
        *to++ = '0';
        *to++ = '.';
        for (int i = point; i < 0; i++)
            *to++ = '0';
    }
    for (int i = 0; i < d->count || i < point; i++) {
        if (i == point && i > 0)
            *to++ = '.';
        *to++ = i < d->count ? d->digit[i] : '0';
    }
    if (d->count <= point) {
        *to++ = '.';
        *to++ = '0';
    }
    return (size_t)(to - out);
}

static size_t write_real(char *out, double value, bool is_single) {
    struct digits digits = {.digit = "0", .count = 1, .exponent = 1};
    double size = fabs(value);
    if (size > 0 && !(is_single && shortest_fast(&digits, (float)size)))
        shortest_slow(&digits, size, is_single);
    return lay_out(out, &digits, signbit(value) != 0);
}

size_t fuse_decimal_write_f32(char out[FUSE_DECIMAL_BYTES], float value) {
    return write_real(out, (double)value, true);
}

size_t fuse_decimal_write_f64(char out[FUSE_DECIMAL_BYTES], double value) {
    return write_real(out, value, false);
}

size_t fuse_decimal_write_i64(char out[FUSE_DECIMAL_BYTES], int64_t value) {
    char text[24];
    size_t n = 0, length = 0;
    uint64_t size = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do
        text[n++] = (char)('0' + size % 10);
    while ((size /= 10) > 0);
    if (value < 0)
        out[length++] = '-';
    while (n > 0)
        out[length++] = text[--n];
    return length;
}

/* ---- reading ---- */

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* Beyond this, a float is 0 or infinite whatever its digits (which are at most FUSE_DECIMAL_MAX_BYTES). */
enum { FAR_EXPONENT = 100000 };

/* Rounding twice goes wrong only from the middle between two floats, or what a last bit may make of it. */
static bool is_near_middle(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits &= 0x1fffffffu;
    return bits >= 0x0fffffffu && bits <= 0x10000001u;
}

/* Of the leading digits m, with more behind them or not: the float that m * 10^k and (m + 1) * 10^k agree on. */
static bool read_fast(float *out, int64_t m, int k, bool has_more) {
    if (k < -EXACT_TENS || k > EXACT_TENS)
        return false;
    if (m == 0 && !has_more) {
        *out = 0;
        return true;
    }
    double low = scale((double)m, k), high = has_more ? scale((double)(m + 1), k) : low;
    *out = (float)low;
    return low >= (double)FLT_MIN && high <= 1e38 && *out == (float)high && !is_near_middle(low) &&
           !is_near_middle(high);
}

/* mantissa * 10^exponent, and the text that the slow way reads. */
struct number {
    bool is_negative;
    int64_t mantissa; /* of the first digits that count */
    int exponent;     /* of all digits */
    int left_out;     /* digits behind those of the mantissa */
    char plain[FUSE_DECIMAL_MAX_BYTES + 16];
};

/* `most` digits go into the mantissa: at most 18. */
static void split_number(struct number *out, const char *text, size_t bytes, int most) {
    const char *at = text, *end = text + bytes;
    size_t n = 0;
    int64_t mantissa = 0;
    int exponent = 0, written = 0, significant = 0;
    bool behind_point = false;
    out->is_negative = at < end && *at == '-';
    for (at += at < end && (*at == '-' || *at == '+'); at < end && (is_digit(*at) || *at == '.'); at++) {
        if (*at == '.') {
            behind_point = true;
            continue;
        }
        exponent -= behind_point;
        significant += significant > 0 || *at != '0';
        if (significant <= most)
            mantissa = 10 * mantissa + (*at - '0');
        if (n < FUSE_DECIMAL_MAX_BYTES)
            out->plain[n++] = *at;
    }
    if (at < end) {
        bool is_below = ++at < end && *at == '-';
        for (at += at < end && (*at == '-' || *at == '+'); at < end; at++)
            written = written < FAR_EXPONENT ? 10 * written + (*at - '0') : written;
        exponent += is_below ? -written : written;
    }
    out->mantissa = mantissa;
    out->exponent = exponent;
    out->left_out = significant > most ? significant - most : 0;
    out->plain[n] = '\0';
}

/* Without a decimal point, which would be the locale's. */
static const char *plain_text(struct number *number) {
    snprintf(number->plain + strlen(number->plain), 16, "e%d", number->exponent);
    return number->plain;
}

float fuse_decimal_read_f32(const char *text, size_t bytes) {
    enum { EXACT_DIGITS = 15 };
    struct number number;
    float value;
    split_number(&number, text, bytes, EXACT_DIGITS);
    if (!read_fast(&value, number.mantissa, number.exponent + number.left_out, number.left_out > 0))
        value = strtof(plain_text(&number), NULL);
    return number.is_negative ? -value : value;
}

/* Powers of ten that the 64 bits of x86's long double hold exactly. */
enum { EXACT_LONG_TENS = 27 };
static const long double long_ten_to[EXACT_LONG_TENS + 1] = {
    1e0L,  1e1L,  1e2L,  1e3L,  1e4L,  1e5L,  1e6L,  1e7L,  1e8L,  1e9L,  1e10L, 1e11L, 1e12L, 1e13L,
    1e14L, 1e15L, 1e16L, 1e17L, 1e18L, 1e19L, 1e20L, 1e21L, 1e22L, 1e23L, 1e24L, 1e25L, 1e26L, 1e27L};

/* m * 10^k, where doing it in a wider type, rounded once, leaves no doubt about the nearest double. */
static bool scale_wide(double *out, int64_t m, int k) {
    if (LDBL_MANT_DIG < 64 || k < -EXACT_LONG_TENS || k > EXACT_LONG_TENS)
        return false;
    const long double slack = 0x1p-62L;
    long double wide = k >= 0 ? (long double)m * long_ten_to[k] : (long double)m / long_ten_to[-k];
    *out = (double)(wide - wide * slack);
    return *out == (double)(wide + wide * slack);
}

/* As read_fast. */
static bool read_wide(double *out, int64_t m, int k, bool has_more) {
    double high;
    return scale_wide(out, m, k) && (!has_more || (scale_wide(&high, m + 1, k) && *out == high));
}

double fuse_decimal_read_f64(const char *text, size_t bytes) {
    enum { MOST_DIGITS = 18 };
    const int64_t exact = (int64_t)1 << 53;
    struct number number;
    double value;
    split_number(&number, text, bytes, MOST_DIGITS);
    int k = number.exponent + number.left_out;
    bool has_more = number.left_out > 0;
    if (!has_more && number.mantissa <= exact && k >= -EXACT_TENS && k <= EXACT_TENS)
        value = scale((double)number.mantissa, k);
    else if (!read_wide(&value, number.mantissa, k, has_more))
        value = strtod(plain_text(&number), NULL);
    return number.is_negative ? -value : value;
}

bool fuse_decimal_read_i53(int64_t *out, const char *text, size_t bytes) {
    const int64_t most = (int64_t)1 << 53;
    bool is_negative = bytes > 0 && text[0] == '-';
    int64_t value = 0;
    for (size_t i = is_negative; i < bytes; i++) {
        value = 10 * value + (text[i] - '0');
        if (value > most)
            return false;
    }
    *out = is_negative ? -value : value;
    return true;
}
