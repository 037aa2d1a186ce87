/* How far the functions of maps are from the true values, in units in the last place, on every instruction set that runs
 * here: over all magnitudes, and at special values. The references are glibc's long double functions, whose own error is
 * far below an ulp of f64. */
#include "backend/cpu_tile.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MOST_ULP 4.0
#define BLOCK 512 /* inputs of one call */
#define BLOCKS 160

static const char *const isa[] = {"baseline", "avx2", "avx512"};

static long double sigmoidl(long double x) {
    return 1 / (1 + expl(-x));
}

static long double rsqrtl(long double x) {
    return 1 / sqrtl(x);
}

static const struct function {
    const char *name;
    enum fuse_scalar_op op;
    long double (*value)(long double);
    double ulp; /* bound */
} functions[] = {{"exp", FUSE_SCALAR_EXP, expl, MOST_ULP},       {"log", FUSE_SCALAR_LOG, logl, MOST_ULP},
                 {"log1p", FUSE_SCALAR_LOG1P, log1pl, MOST_ULP}, {"tanh", FUSE_SCALAR_TANH, tanhl, MOST_ULP},
                 {"erf", FUSE_SCALAR_ERF, erfl, MOST_ULP},       {"sin", FUSE_SCALAR_SIN, sinl, MOST_ULP},
                 {"cos", FUSE_SCALAR_COS, cosl, MOST_ULP},       {"sqrt", FUSE_SCALAR_SQRT, sqrtl, 0.5},
                 {"rsqrt", FUSE_SCALAR_RSQRT, rsqrtl, MOST_ULP}, {"sigmoid", FUSE_SCALAR_SIGMOID, sigmoidl, MOST_ULP},
                 {"floor", FUSE_SCALAR_FLOOR, floorl, 0},        {"ceil", FUSE_SCALAR_CEIL, ceill, 0},
                 {"round", FUSE_SCALAR_ROUND, rintl, 0}};

static double number(bool is_double, const void *at, int64_t i) {
    return is_double ? ((const double *)at)[i] : (double)((const float *)at)[i];
}

static void put(bool is_double, void *at, int64_t i, double x) {
    if (is_double)
        ((double *)at)[i] = x;
    else
        ((float *)at)[i] = (float)x;
}

/* Distance in units of the last place of the true value; 0 for equal NaN and infinities, infinite for unequal ones. */
static double distance(bool is_double, double got, long double want) {
    const int digits = is_double ? 53 : 24, lowest = is_double ? -1074 : -149;
    const long double most = is_double ? 0x1.fffffffffffffp1023L : 0x1.fffffep127L;
    if (isnan(want) || isnan(got))
        return isnan(want) && isnan(got) ? 0 : HUGE_VAL;
    if (isinf(got) || isinf(want) || fabsl(want) > most) {
        bool same = isinf(got) && (got > 0) == (want > 0) && fabsl(want) >= most;
        bool rounded = !isinf(got) && !isinf(want) && fabsl(want) <= most * (1 + 0x1p-20L) &&
                       fabs(got) >= (double)(most * (1 - 0x1p-20L));
        return same || rounded ? 0 : HUGE_VAL;
    }
    int exponent = want == 0 ? lowest : ilogbl(want) - digits + 1;
    return (double)(fabsl((long double)got - want) / scalbnl(1, exponent > lowest ? exponent : lowest));
}

struct worst {
    double ulp, x, y, got;
};

static void note(struct worst *w, bool is_double, double x, double y, double got, long double want) {
    double ulp = distance(is_double, got, want);
    if (ulp > w->ulp)
        *w = (struct worst){ulp, x, y, got};
}

static uint64_t next(uint64_t *state) {
    *state += 0x9e3779b97f4a7c15u;
    uint64_t z = (*state ^ *state >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static const double special[] = {0.0,
                                 -0.0,
                                 1,
                                 -1,
                                 0.5,
                                 -0.5,
                                 2,
                                 -2,
                                 3,
                                 -3,
                                 1.5,
                                 2.5,
                                 -2.5,
                                 10,
                                 -10,
                                 88.5,
                                 88.75,
                                 -87.5,
                                 -103.9,
                                 -104.1,
                                 709.5,
                                 709.8,
                                 -708.5,
                                 -745.2,
                                 1e10,
                                 -1e10,
                                 1e22,
                                 1e30,
                                 -1e30,
                                 1e38,
                                 1e300,
                                 -1e300,
                                 1e-10,
                                 -1e-10,
                                 1e-38,
                                 -1e-38,
                                 1e-40,
                                 -1e-40,
                                 1e-44,
                                 0x1p-149,
                                 0x1p-126,
                                 1e-300,
                                 1e-310,
                                 -1e-310,
                                 0x1p-1074,
                                 INFINITY,
                                 -INFINITY,
                                 NAN,
                                 3.14159265358979,
                                 1.57079632679489662,
                                 6.28318530717958648,
                                 0x1p23,
                                 0x1p24,
                                 0x1p52,
                                 0x1p53,
                                 0.99999994,
                                 1.0000001,
                                 16777215.5,
                                 0x1.fffffep127};
enum { SPECIALS = sizeof special / sizeof *special };

/* Any bits half of the time, magnitudes around 1 the other half, and the special values. */
static double draw(bool is_double, uint64_t *state, int64_t i) {
    uint64_t bits = next(state);
    if (i < SPECIALS)
        return special[i];
    if (i % 2) {
        double near = (double)(int64_t)bits * 0x1p-63;
        return near * (i % 4 == 1 ? 1 : i % 8 == 3 ? 12 : 120);
    }
    if (is_double) {
        double x;
        memcpy(&x, &bits, sizeof x);
        return x;
    }
    uint32_t half = (uint32_t)bits;
    float x;
    memcpy(&x, &half, sizeof x);
    return (double)x;
}

static void check(const struct fuse_tile_table *table, const struct function *f, bool is_double) {
    static _Alignas(64) double in[BLOCK], out[BLOCK];
    struct worst worst = {-1, 0, 0, 0};
    uint64_t state = 1;
    for (int64_t block = 0; block < BLOCKS; block++) {
        for (int64_t i = 0; i < BLOCK; i++)
            put(is_double, in, i, draw(is_double, &state, block * BLOCK + i));
        struct fuse_tile_args args = {.out = out, .a = in, .n = BLOCK};
        table->op[f->op][is_double ? FUSE_TILE_F64 : FUSE_TILE_F32](&args);
        for (int64_t i = 0; i < BLOCK; i++) {
            double x = number(is_double, in, i);
            note(&worst, is_double, x, 0, number(is_double, out, i), f->value((long double)x));
        }
    }
    print_message("%-9s %s %-8s %5.2f ulp at %.17g\n", table->isa, is_double ? "f64" : "f32", f->name, worst.ulp,
                  worst.x);
    if (!(worst.ulp <= f->ulp))
        fail_msg("%s %s of %s: %g ulp at %.17g: %.17g, %.17Lg is true", table->isa, f->name, is_double ? "f64" : "f32",
                 worst.ulp, worst.x, worst.got, f->value((long double)worst.x));
}

static void check_power(const struct fuse_tile_table *table, bool is_double) {
    static _Alignas(64) double base[BLOCK], exponent[BLOCK], out[BLOCK];
    struct worst worst = {-1, 0, 0, 0};
    uint64_t state = 2;
    for (int64_t block = 0; block < BLOCKS; block++) {
        for (int64_t i = 0; i < BLOCK; i++) {
            int64_t at = block * BLOCK + i;
            bool grid = at < SPECIALS * SPECIALS;
            double x = draw(is_double, &state, grid ? at / SPECIALS : SPECIALS + at);
            double y = draw(is_double, &state, grid ? at % SPECIALS : SPECIALS + 1 + 2 * at);
            put(is_double, base, i, x);
            put(is_double, exponent, i, !grid && i % 3 == 0 ? rint(y) : y);
        }
        struct fuse_tile_args args = {.out = out, .a = base, .b = exponent, .n = BLOCK};
        table->op[FUSE_SCALAR_POW][is_double ? FUSE_TILE_F64 : FUSE_TILE_F32](&args);
        for (int64_t i = 0; i < BLOCK; i++) {
            double x = number(is_double, base, i), y = number(is_double, exponent, i);
            note(&worst, is_double, x, y, number(is_double, out, i), powl((long double)x, (long double)y));
        }
    }
    print_message("%-9s %s %-8s %5.2f ulp at %.17g, %.17g\n", table->isa, is_double ? "f64" : "f32", "pow", worst.ulp,
                  worst.x, worst.y);
    if (!(worst.ulp <= MOST_ULP))
        fail_msg("%s pow of %s: %g ulp at %.17g, %.17g: %.17g, %.17Lg is true", table->isa, is_double ? "f64" : "f32",
                 worst.ulp, worst.x, worst.y, worst.got, powl((long double)worst.x, (long double)worst.y));
}

static void functions_are_accurate(void **state) {
    const struct fuse_tile_table *table = fuse_tile_choose(*state);
    for (size_t f = 0; table && f < sizeof functions / sizeof *functions; f++)
        for (int is_double = 0; is_double < 2; is_double++)
            check(table, &functions[f], is_double);
    for (int is_double = 0; table && is_double < 2; is_double++)
        check_power(table, is_double);
    if (!table)
        skip();
}

int main(void) {
    struct CMUnitTest tests[3];
    for (int i = 0; i < 3; i++)
        tests[i] = (struct CMUnitTest){
            .name = isa[i], .test_func = functions_are_accurate, .initial_state = (void *)(uintptr_t)isa[i]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
