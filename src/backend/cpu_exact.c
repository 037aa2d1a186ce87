/* Functions of reals that give the same bits on every processor: SLEEF's forms without fused additions, which are made of
 * operations that IEEE 754 defines to the last bit. Those of F32 are rounded from F64. */
#include "backend/cpu_ordered.h"

#include <math.h>
#include <sleef.h>
#include <string.h>

static double exact_sigmoid(double x) {
    double e = Sleef_cinz_expd1_u10purec(-fabs(x));
    return (x >= 0 ? 1 : x != x ? x : e) / (1 + e);
}

#define UNARY(name, function)                                                         \
    static void name##_f32(struct fuse_tile_args *t) {                                \
        for (int64_t i = 0; i < t->n; i++)                                            \
            ((float *)t->out)[i] = (float)function((double)((const float *)t->a)[i]); \
    }                                                                                 \
    static void name##_f64(struct fuse_tile_args *t) {                                \
        for (int64_t i = 0; i < t->n; i++)                                            \
            ((double *)t->out)[i] = function(((const double *)t->a)[i]);              \
    }
UNARY(exp, Sleef_cinz_expd1_u10purec)
UNARY(log, Sleef_cinz_logd1_u10purec)
UNARY(log1p, Sleef_cinz_log1pd1_u10purec)
UNARY(sin, Sleef_cinz_sind1_u10purec)
UNARY(cos, Sleef_cinz_cosd1_u10purec)
UNARY(tanh, Sleef_cinz_tanhd1_u10purec)
UNARY(erf, Sleef_cinz_erfd1_u10purec)
UNARY(sigmoid, exact_sigmoid)

static void pow_f32(struct fuse_tile_args *t) {
    for (int64_t i = 0; i < t->n; i++)
        ((float *)t->out)[i] =
            (float)Sleef_cinz_powd1_u10purec((double)((const float *)t->a)[i], (double)((const float *)t->b)[i]);
}

static void pow_f64(struct fuse_tile_args *t) {
    for (int64_t i = 0; i < t->n; i++)
        ((double *)t->out)[i] = Sleef_cinz_powd1_u10purec(((const double *)t->a)[i], ((const double *)t->b)[i]);
}

static double uniform53(uint32_t high, uint32_t low) {
    return (double)(int64_t)((((uint64_t)high << 32) | low) >> 11) * 0x1p-53;
}

static double normal(int64_t counter, uint64_t seed) {
    uint32_t drawn[4];
    fuse_philox(drawn, (uint64_t)counter, seed);
    double radius = Sleef_cinz_logd1_u10purec(1 - uniform53(drawn[0], drawn[1]));
    double angle = 6.283185307179586476925286766559 * uniform53(drawn[2], drawn[3]);
    return sqrt(-2 * radius) * Sleef_cinz_cosd1_u10purec(angle);
}

static void normal_f32(struct fuse_tile_args *t) {
    for (int64_t i = 0; i < t->n; i++)
        ((float *)t->out)[i] = (float)normal(((const int64_t *)t->a)[i], (uint64_t)t->integer);
}

static void normal_f64(struct fuse_tile_args *t) {
    for (int64_t i = 0; i < t->n; i++)
        ((double *)t->out)[i] = normal(((const int64_t *)t->a)[i], (uint64_t)t->integer);
}

void fuse_ordered_table(struct fuse_tile_table *out, const struct fuse_tile_table *tile) {
    static const struct {
        enum fuse_scalar_op op;
        fuse_tile_op *f32, *f64;
    } exact[] = {{FUSE_SCALAR_EXP, exp_f32, exp_f64},       {FUSE_SCALAR_LOG, log_f32, log_f64},
                 {FUSE_SCALAR_LOG1P, log1p_f32, log1p_f64}, {FUSE_SCALAR_SIN, sin_f32, sin_f64},
                 {FUSE_SCALAR_COS, cos_f32, cos_f64},       {FUSE_SCALAR_TANH, tanh_f32, tanh_f64},
                 {FUSE_SCALAR_ERF, erf_f32, erf_f64},       {FUSE_SCALAR_SIGMOID, sigmoid_f32, sigmoid_f64},
                 {FUSE_SCALAR_POW, pow_f32, pow_f64},       {FUSE_SCALAR_NORMAL, normal_f32, normal_f64}};
    *out = *tile;
    for (size_t i = 0; i < sizeof exact / sizeof *exact; i++) {
        out->op[exact[i].op][FUSE_TILE_F32] = exact[i].f32;
        out->op[exact[i].op][FUSE_TILE_F64] = exact[i].f64;
    }
    memset(out->gelu, 0, sizeof out->gelu); /* made of the vector functions: operation by operation instead */
    memset(out->gelu_erf, 0, sizeof out->gelu_erf);
}
