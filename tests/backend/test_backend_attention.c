/* Attention on cpu (1 and 2 threads, every instruction set) and fakedev against ref, which forms every score. */
#include "testbed.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IMAGE ((size_t)24 << 20)

enum { BATCH, ROW, COLUMN, KEY, DEPTH, INDICES };

static int open_beds(void **state) {
    (void)state;
    beds_open(IMAGE);
    return 0;
}

/* ---- scores ---- */

struct scores {
    struct fuse_scalar_node node[16];
    struct fuse_scalar body;
};

static int add(struct scores *s, struct fuse_scalar_node node) {
    s->node[s->body.n] = node;
    s->body.node = s->node;
    return s->body.n++;
}

static int index_node(struct scores *s, int index) {
    struct fuse_scalar_node node = op_node(FUSE_SCALAR_IOTA, FUSE_I64, -1, -1, -1);
    node.arg = index;
    return add(s, node);
}

enum kind {
    RAW,         /* as they are */
    SCALED,      /* times 1/8 */
    NEGATIVE,    /* times -1/8: the largest product is the smallest score */
    CAUSAL,      /* scaled, keys up to the query's position */
    SHIFTED,     /* scaled, key < row + 3 */
    BIASED,      /* scaled, plus operand 3 */
    MASKED,      /* where operand 3 is positive, and causal */
    CAPPED,      /* 5 tanh(s / 5), causal */
    NOTHING_SEEN /* no key for most rows */
};

static void write_scores(struct scores *s, enum kind kind, enum fuse_dtype type) {
    s->body.n = 0;
    int raw = add(s, load_node(0, type)), last = raw, test = -1;
    if (kind != RAW)
        last = add(
            s, op_node(FUSE_SCALAR_MUL, type, raw, add(s, const_node(type, kind == NEGATIVE ? -0.125 : 0.125)), -1));
    if (kind == CAPPED) {
        int fifth = add(s, op_node(FUSE_SCALAR_DIV, type, last, add(s, const_node(type, 5)), -1));
        int bent = add(s, op_node(FUSE_SCALAR_TANH, type, fifth, -1, -1));
        last = add(s, op_node(FUSE_SCALAR_MUL, type, bent, add(s, const_node(type, 5)), -1));
    }
    if (kind == BIASED || kind == MASKED) {
        int other = add(s, load_node(3, type));
        if (kind == BIASED)
            last = add(s, op_node(FUSE_SCALAR_ADD, type, last, other, -1));
        else
            test = add(s, op_node(FUSE_SCALAR_LT, FUSE_BOOL, add(s, const_node(type, 0)), other, -1));
    }
    if (kind == CAUSAL || kind == MASKED || kind == CAPPED || kind == SHIFTED) {
        int key = index_node(s, KEY), row = index_node(s, ROW);
        if (kind == SHIFTED)
            row = add(s, op_node(FUSE_SCALAR_ADD, FUSE_I64, row, add(s, const_node(FUSE_I64, 3)), -1));
        int past = add(s, op_node(kind == SHIFTED ? FUSE_SCALAR_LT : FUSE_SCALAR_LE, FUSE_BOOL, key, row, -1));
        test = test < 0 ? past : add(s, op_node(FUSE_SCALAR_AND, FUSE_BOOL, test, past, -1));
    }
    if (kind == NOTHING_SEEN)
        test = add(s, op_node(FUSE_SCALAR_LT, FUSE_BOOL, index_node(s, ROW), add(s, const_node(FUSE_I64, 2)), -1));
    if (test >= 0)
        add(s, op_node(FUSE_SCALAR_SELECT, type, test, last, add(s, const_node(type, -INFINITY))));
}

/* ---- calls ---- */

static size_t place(struct rng *rng, const int64_t *extent, uint32_t mask, struct fuse_operand_view *view, char *image,
                    size_t at, double size) {
    int64_t part[FUSE_MAX_AXES] = {0}, stride[FUSE_MAX_AXES] = {0}, origin;
    int axis[FUSE_MAX_AXES], axes = 0;
    for (int x = 0; x < INDICES; x++)
        if (mask >> x & 1) {
            part[axes] = extent[x];
            axis[axes++] = x;
        }
    int64_t span = random_layout(rng, axes, part, stride, &origin, true);
    for (int i = 0; i < axes; i++)
        view->stride[axis[i]] = stride[i];
    const size_t bytes = fuse_dtype_bytes(view->dtype);
    assert_true(at + (size_t)span * bytes <= IMAGE);
    fill_real(rng, image + at, view->dtype, (size_t)span, -size, size);
    view->data = (void *)(uintptr_t)(at + (size_t)origin * bytes);
    return (at + (size_t)span * bytes + 63) / 64 * 64;
}

static uint32_t bits(int a, int b, int c) {
    return 1u << a | 1u << b | 1u << c;
}

static void check_shape(struct rng *rng, enum kind kind, enum fuse_dtype type, const int64_t *extent, bool guarded) {
    struct call call = {.kind = CALL_ATTENTION};
    struct scores scores = {0};
    write_scores(&scores, kind, type);
    call.map = (struct fuse_map_call){.indices = INDICES,
                                      .in_out = bits(BATCH, ROW, COLUMN),
                                      .operands = kind == BIASED || kind == MASKED ? 4 : 3,
                                      .body = &scores.body,
                                      .reduce = FUSE_REDUCE_SUM};
    memcpy(call.map.extent, extent, INDICES * sizeof *extent);
    if (kind == CAUSAL && rng_below(rng, 2)) { /* a part of the rows, and one of the keys */
        call.map.origin[ROW] = rng_below(rng, 40);
        call.map.origin[KEY] = rng_below(rng, 20);
    }
    char *image = calloc(1, IMAGE);
    size_t at = 64;
    for (int o = 0; o < 4; o++)
        call.operand[o].dtype = type;
    call.map.out.dtype = type;
    at = place(rng, extent, bits(BATCH, ROW, DEPTH), &call.operand[0], image, at, 1.5);
    at = place(rng, extent, bits(BATCH, KEY, DEPTH), &call.operand[1], image, at, 1.5);
    at = place(rng, extent, bits(BATCH, KEY, COLUMN), &call.operand[2], image, at, 1);
    at = place(rng, extent, bits(ROW, KEY, KEY), &call.operand[3], image, at, 3);
    at = place(rng, extent, bits(BATCH, ROW, COLUMN), &call.map.out, image, at, 1);
    call.map.operand = call.operand;
    call.attention = (struct fuse_attention_call){.key = KEY, .depth = DEPTH, .guarded = guarded};
    char what[200];
    snprintf(what, sizeof what, "scores %d of %s, %d x %d queries, %d keys, depth %d, %d columns", (int)kind,
             fuse_dtype_name(type), (int)extent[BATCH], (int)extent[ROW], (int)extent[KEY], (int)extent[DEPTH],
             (int)extent[COLUMN]);
    /* Values are in [-1, 1], scores up to 20: their rounding is that of the exponents. */
    const bool is_double = type == FUSE_F64;
    beds_compare(what, &call, image, at, is_double ? 2e-14 : 1e-5, is_double ? 2e-14 : 5e-6, BITS_OF_INSTRUCTIONS);
    free(image);
}

static void every_kind_of_score(void **state) {
    (void)state;
    static const int64_t shape[][INDICES] = {/* batch, row, column, key, depth: ref takes their product */
                                             {1, 61, 1, 300, 64}, {2, 7, 5, 9, 3},    {3, 1, 33, 65, 17},
                                             {1, 130, 1, 130, 1}, {1, 49, 70, 20, 8}, {1, 9, 1, 515, 130},
                                             {1, 5, 130, 40, 5}};
    struct rng rng = {7};
    for (size_t s = 0; s < sizeof shape / sizeof *shape; s++)
        for (int kind = RAW; kind <= NOTHING_SEEN; kind++)
            for (int d = 0; d < 2; d++)
                check_shape(&rng, (enum kind)kind, d ? FUSE_F64 : FUSE_F32, shape[s], kind % 2 || rng_below(&rng, 2));
}

static void random_shapes(void **state) {
    (void)state;
    struct rng rng = {11};
    for (int i = 0; i < 40; i++) {
        int64_t extent[INDICES] = {1 + rng_below(&rng, 3), 1 + rng_below(&rng, 80), 1 + rng_below(&rng, 20),
                                   1 + rng_below(&rng, 90), 1 + rng_below(&rng, 20)};
        check_shape(&rng, (enum kind)rng_below(&rng, NOTHING_SEEN + 1), rng_below(&rng, 2) ? FUSE_F64 : FUSE_F32,
                    extent, rng_below(&rng, 2));
    }
}

/* Infinities and NaN in the operands come out where the formula has them, and only there. */
static void special_values(void **state) {
    (void)state;
    enum { P = 8, N = 70 };
    struct scores scores = {0};
    write_scores(&scores, SCALED, FUSE_F32);
    static float image[2 * P + N + N + P];
    float *q = image + P, *k = q + P, *v = k + N;
    for (int i = 0; i < P; i++)
        q[i] = 1;
    for (int i = 0; i < N; i++) {
        k[i] = 0.25F * (float)i;
        v[i] = (float)i;
    }
    q[1] = NAN;       /* every score is NaN */
    q[2] = INFINITY;  /* the largest score is inf: inf - inf */
    q[3] = 0;         /* uniform weights: the mean of all values */
    q[4] = -INFINITY; /* 0 * inf for key 0 is NaN */
    q[5] = 1e30F;     /* one key is all that counts */
    struct call call = {.kind = CALL_ATTENTION};
    call.map = (struct fuse_map_call){.indices = 3,
                                      .extent = {P, N, 1},
                                      .in_out = 1,
                                      .operands = 3,
                                      .operand = call.operand,
                                      .body = &scores.body,
                                      .reduce = FUSE_REDUCE_SUM};
    for (int o = 0; o < 3; o++)
        call.operand[o].dtype = FUSE_F32;
    call.operand[0] = (struct fuse_operand_view){.data = (void *)(P * sizeof *q), .dtype = FUSE_F32, .stride = {1}};
    call.operand[1] =
        (struct fuse_operand_view){.data = (void *)(2 * P * sizeof *q), .dtype = FUSE_F32, .stride = {0, 1}};
    call.operand[2] =
        (struct fuse_operand_view){.data = (void *)((2 * P + N) * sizeof *q), .dtype = FUSE_F32, .stride = {0, 1}};
    call.map.out = (struct fuse_operand_view){.data = 0, .dtype = FUSE_F32, .stride = {1}};
    call.attention = (struct fuse_attention_call){.key = 1, .depth = 2};
    for (int s = -1; s < SUBJECTS; s++) {
        static float got[sizeof image / sizeof *image];
        struct fuse_error err = {0};
        memcpy(got, image, sizeof image);
        assert_int_equal(bed_run(s < 0 ? &ref : &subject[s], &call, (char *)got, sizeof got, &err), FUSE_OK);
        const char *name = s < 0 ? "ref" : subject_name[s];
        if (!isnan(got[1]) || !isnan(got[2]) || !isnan(got[4]))
            fail_msg("%s: %g %g %g", name, (double)got[1], (double)got[2], (double)got[4]);
        if (fabsf(got[3] - (float)(N - 1) / 2) > 1e-4F || got[5] != (float)(N - 1))
            fail_msg("%s: %g %g", name, (double)got[3], (double)got[5]);
    }
}

/* Calls that break a rule are refused. */
static void bad_calls_are_refused(void **state) {
    (void)state;
    struct scores scores = {0};
    struct fuse_error err = {0};
    char image[4096] = {0};
    write_scores(&scores, SCALED, FUSE_F32);
    struct call good = {.kind = CALL_ATTENTION};
    good.map = (struct fuse_map_call){
        .indices = 3, .extent = {4, 4, 4}, .in_out = 1, .operands = 3, .body = &scores.body, .reduce = FUSE_REDUCE_SUM};
    for (int o = 0; o < 3; o++)
        good.operand[o] = (struct fuse_operand_view){.dtype = FUSE_F32};
    good.operand[0].stride[0] = good.operand[0].stride[2] = 1;
    good.operand[1].stride[1] = good.operand[1].stride[2] = good.operand[2].stride[1] = 1;
    good.map.out = (struct fuse_operand_view){.dtype = FUSE_F32, .stride = {1}, .data = (void *)2048};
    good.attention = (struct fuse_attention_call){.key = 1, .depth = 2};
    for (int wrong = 0; wrong < 7; wrong++) {
        struct call call = good;
        call.map.operand = call.operand;
        switch (wrong) {
        case 1: call.operand[0].stride[1] = 1; break;
        case 2: call.operand[2].stride[2] = 1; break;
        case 3: call.attention.key = 0; break;
        case 4: call.operand[1].dtype = FUSE_F64; break;
        case 5: call.map.reduce = FUSE_REDUCE_MAX; break;
        case 6: call.map.extent[2] = FUSE_ATTENTION_WIDTH + 1; break;
        default: break;
        }
        for (int s = -1; s < SUBJECTS; s++)
            assert_int_equal(bed_run(s < 0 ? &ref : &subject[s], &call, image, sizeof image, &err),
                             wrong ? FUSE_EBUG : FUSE_OK);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_score),
        cmocka_unit_test(random_shapes),
        cmocka_unit_test(special_values),
        cmocka_unit_test(bad_calls_are_refused),
    };
    return cmocka_run_group_tests(tests, open_beds, beds_close);
}
