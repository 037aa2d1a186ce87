#include "exec/summary.h"

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

enum { LOW_EXPONENT = -1074, CHUNK = 512 };

static const int64_t limb_mask = 0xffffffff;

void fuse_summary_init(struct fuse_summary *summary) {
    *summary = (struct fuse_summary){.extremes = {.least = INT64_MAX, .not_most = INT64_MAX}};
}

/* Passes carries on: every limb but the last ends in [0, 2^32). */
static void carry(int64_t limb[FUSE_SUMMARY_LIMBS]) {
    for (int k = 0; k + 1 < FUSE_SUMMARY_LIMBS; k++) {
        int64_t low = limb[k] & limb_mask;
        limb[k + 1] += (limb[k] - low) / ((int64_t)1 << 32);
        limb[k] = low;
    }
}

void fuse_summary_settle(struct fuse_summary *summary) {
    carry(summary->sums.limb);
    summary->added = 0;
}

/* Doubles that are not NaN in the order of integers. The map is its own inverse. */
static int64_t order(int64_t bits) {
    return bits >= 0 ? bits : bits ^ INT64_MAX;
}

static void add_extreme(struct fuse_summary *summary, int64_t key) {
    struct fuse_summary_extremes *extremes = &summary->extremes;
    extremes->least = key < extremes->least ? key : extremes->least;
    extremes->not_most = ~key < extremes->not_most ? ~key : extremes->not_most;
}

/* finite. The significand, shifted to a border of limbs, takes three of them. */
static void add_finite(struct fuse_summary *summary, int64_t bits) {
    uint64_t significand = (uint64_t)bits & (((uint64_t)1 << 52) - 1);
    int exponent = (int)((uint64_t)bits >> 52) & 0x7ff;
    if (exponent > 0)
        significand |= (uint64_t)1 << 52;
    int position = exponent > 0 ? exponent - 1 : 0, shift = position % 32;
    uint64_t low = (significand & (uint64_t)limb_mask) << shift;
    uint64_t high = ((significand >> 32) << shift) + (low >> 32);
    int64_t sign = bits < 0 ? -1 : 1, *limb = &summary->sums.limb[position / 32];
    limb[0] += sign * (int64_t)(low & (uint64_t)limb_mask);
    limb[1] += sign * (int64_t)(high & (uint64_t)limb_mask);
    limb[2] += sign * (int64_t)(high >> 32);
    if (++summary->added == (int64_t)1 << 28)
        fuse_summary_settle(summary);
}

static int64_t bits_of(double value) {
    int64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static void add_real(struct fuse_summary *summary, double value) {
    if (value != value) {
        summary->sums.nan++;
        return;
    }
    summary->sums.count++;
    add_extreme(summary, order(bits_of(value)));
    if (value > DBL_MAX)
        summary->sums.above++;
    else if (value < -DBL_MAX)
        summary->sums.below++;
    else
        add_finite(summary, bits_of(value));
}

/* A double holds each half of an integer exactly. */
static void add_integer(struct fuse_summary *summary, int64_t value) {
    int64_t low = value & limb_mask;
    summary->sums.count++;
    add_extreme(summary, value);
    add_finite(summary, bits_of((double)(value - low)));
    add_finite(summary, bits_of((double)low));
}

void fuse_summary_add(struct fuse_summary *summary, enum fuse_dtype dtype, const void *at, size_t count) {
    size_t bytes = fuse_dtype_bytes(dtype);
    bool is_real = fuse_dtype_class(dtype) == FUSE_CLASS_REAL;
    double real[CHUNK];
    int64_t integer[CHUNK];
    for (size_t done = 0; done < count; done += CHUNK) {
        size_t n = count - done < CHUNK ? count - done : CHUNK;
        const char *from = (const char *)at + done * bytes;
        if (is_real)
            fuse_dtype_convert(real, FUSE_F64, from, dtype, n);
        else
            fuse_dtype_convert(integer, FUSE_I64, from, dtype, n);
        for (size_t i = 0; i < n; i++) {
            if (is_real)
                add_real(summary, real[i]);
            else
                add_integer(summary, integer[i]);
        }
    }
}

double fuse_summary_mean(const struct fuse_summary *summary) {
    const struct fuse_summary_sums *sums = &summary->sums;
    if (sums->above > 0 || sums->below > 0)
        return sums->above > 0 && sums->below > 0 ? NAN : sums->above > 0 ? INFINITY : -INFINITY;
    int64_t limb[FUSE_SUMMARY_LIMBS];
    memcpy(limb, sums->limb, sizeof limb);
    carry(limb);
    double sign = 1;
    if (limb[FUSE_SUMMARY_LIMBS - 1] < 0) {
        for (int k = 0; k < FUSE_SUMMARY_LIMBS; k++)
            limb[k] = -limb[k];
        carry(limb);
        sign = -1;
    }
    int top = FUSE_SUMMARY_LIMBS - 1;
    while (top > 2 && limb[top] == 0)
        top--;
    /* 96 bits from the first limb that is not 0; the sum itself may be too large for a double. */
    double leading = (double)limb[top] * 0x1p64 + (double)limb[top - 1] * 0x1p32 + (double)limb[top - 2];
    return sign * ldexp(leading / (double)sums->count, 32 * (top - 2) + LOW_EXPONENT);
}

void fuse_summary_extremes(void *least, void *most, const struct fuse_summary *summary, enum fuse_dtype dtype) {
    bool is_real = fuse_dtype_class(dtype) == FUSE_CLASS_REAL;
    int64_t low = summary->extremes.least, high = ~summary->extremes.not_most;
    low = is_real ? order(low) : low;
    high = is_real ? order(high) : high;
    memcpy(least, &low, sizeof low);
    memcpy(most, &high, sizeof high);
}
