/* Joins on cpu (1 and 2 threads) and fakedev against ref, and ref against sums over all cells of a dense tensor: wrong
 * positions, strides, neutral elements, orders and lost overflows all fail here. */
#include "testbed.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IMAGE ((size_t)8 << 20)
#define MAX_INDICES 6

/* What the random calls were, so that an empty test cannot pass. */
static struct { int products, scattered, without_index, facts, reductions[FUSE_REDUCE_AND + 1], tuples; } seen;

static int open_beds(void **state) {
    (void)state;
    beds_open(IMAGE);
    return 0;
}

/* ---- calls ---- */

static size_t aligned(size_t at) {
    return (at + 63) / 64 * 64;
}

/* Layout of a view over the indices in `mask`, filled with whole numbers up to `limit`, or reals below it. */
static size_t place(struct rng *rng, const struct fuse_map_call *m, uint32_t mask, struct fuse_operand_view *view,
                    char *image, size_t at, int limit, bool whole) {
    int64_t part[FUSE_MAX_AXES] = {0}, stride[FUSE_MAX_AXES] = {0}, origin;
    int axis[FUSE_MAX_AXES], axes = 0;
    for (int x = 0; x < m->indices; x++)
        if (mask >> x & 1) {
            part[axes] = m->extent[x];
            axis[axes++] = x;
        }
    int64_t span = random_layout(rng, axes, part, stride, &origin, true);
    if (rng_below(rng, 2)) { /* row-major without gaps, as most are */
        span = 1;
        origin = 0;
        for (int i = axes - 1; i >= 0; i--) {
            stride[i] = span;
            span *= part[i];
        }
    }
    for (int i = 0; i < axes; i++)
        view->stride[axis[i]] = stride[i];
    const size_t size = fuse_dtype_bytes(view->dtype);
    assert_true(at + (size_t)span * size <= IMAGE);
    if (whole)
        fill_whole(rng, image + at, view->dtype, (size_t)span, limit);
    else
        fill_real(rng, image + at, view->dtype, (size_t)span, -limit, limit);
    view->data = (void *)(uintptr_t)(at + (size_t)origin * size);
    return aligned(at + (size_t)span * size);
}

/* Sorted tuples, each position kept with the chance 1 / sparse, some rows left empty; at most one without indices. */
static size_t place_tuples(struct rng *rng, struct call *call, char *image, size_t at, int sparse, int limit,
                           bool whole) {
    struct fuse_join_call *join = &call->join;
    const struct fuse_map_call *m = &call->map;
    int64_t rows = join->relation_indices > 0 ? m->extent[join->relation_index[0]] : 1, inner = 1;
    for (int k = 1; k < join->relation_indices; k++)
        inner *= m->extent[join->relation_index[k]];
    uint32_t *begin = (uint32_t *)(image + at), n = 0;
    join->row_begin = (const uint32_t *)(uintptr_t)at;
    at = aligned(at + ((size_t)rows + 1) * sizeof *begin);
    uint32_t *column[FUSE_MAX_AXES] = {0};
    for (int k = 1; k < join->relation_indices; k++) {
        column[k] = (uint32_t *)(image + at);
        join->column[k] = (const uint32_t *)(uintptr_t)at;
        at = aligned(at + (size_t)(rows * inner) * sizeof **column);
    }
    assert_true(at <= IMAGE);
    for (int64_t row = 0; row < rows; row++) {
        bool empty = rng_below(rng, 6) == 0;
        begin[row] = n;
        for (int64_t p = 0; p < inner && !empty; p++) {
            if (rng_below(rng, sparse))
                continue;
            int64_t left = p;
            for (int k = join->relation_indices - 1; k > 0; k--) {
                column[k][n] = (uint32_t)(left % m->extent[join->relation_index[k]]);
                left /= m->extent[join->relation_index[k]];
            }
            n++;
        }
    }
    begin[rows] = n;
    seen.tuples += (int)n;
    if (call->operand[0].dtype == FUSE_BOOL)
        return at;
    join->value = (const void *)(uintptr_t)at;
    if (whole)
        fill_whole(rng, image + at, call->operand[0].dtype, n, limit);
    else
        fill_real(rng, image + at, call->operand[0].dtype, n, -limit, limit);
    at = aligned(at + n * fuse_dtype_bytes(call->operand[0].dtype));
    assert_true(at <= IMAGE);
    return at;
}

/* Operations on whole numbers whose results are exact; 1 or -1 below a product. */
static void random_body(struct rng *rng, struct fuse_scalar *body, enum fuse_dtype type, int operands,
                        enum fuse_reduce reduce) {
    body->n = 0;
    for (int o = 0; o < operands; o++)
        body->node[body->n++] = load_node(o, type);
    for (int i = rng_below(rng, 4); i > 0 || body->n == operands; i--) {
        static const enum fuse_scalar_op logic[] = {FUSE_SCALAR_AND, FUSE_SCALAR_OR, FUSE_SCALAR_EQ, FUSE_SCALAR_NE};
        static const enum fuse_scalar_op numeric[] = {FUSE_SCALAR_ADD, FUSE_SCALAR_SUB, FUSE_SCALAR_MINIMUM,
                                                      FUSE_SCALAR_MAXIMUM};
        enum fuse_scalar_op op = type == FUSE_BOOL ? logic[rng_below(rng, 4)] : numeric[rng_below(rng, 4)];
        body->node[body->n] = op_node(op, type, body->n - 1, rng_below(rng, operands), -1);
        body->n++;
    }
    if (reduce == FUSE_REDUCE_PROD) {
        int last = body->n - 1, one = body->n, minus = one + 1, test = one + 2;
        body->node[body->n++] = const_node(type, 1);
        body->node[body->n++] = const_node(type, -1);
        body->node[body->n++] = op_node(FUSE_SCALAR_LT, FUSE_BOOL, last, one, -1);
        body->node[body->n++] = op_node(FUSE_SCALAR_SELECT, type, test, one, minus);
    }
}

/* The tuple's value times the dense operand, converted if it is of another type. */
static void product_body(struct fuse_scalar *body, enum fuse_dtype type, enum fuse_dtype value) {
    int load = 0;
    body->n = 0;
    body->node[body->n++] = load_node(0, value);
    if (value != type) {
        body->node[body->n++] = op_node(FUSE_SCALAR_CAST, type, 0, -1, -1);
        load = 1;
    }
    body->node[body->n++] = load_node(1, type);
    body->node[body->n] = op_node(FUSE_SCALAR_MUL, type, load, body->n - 1, -1);
    body->n++;
}

static void random_space(struct rng *rng, struct call *call) {
    static const int64_t extents[] = {1, 2, 3, 5, 8, 16, 17, 33, 64, 150};
    struct fuse_map_call *m = &call->map;
    int64_t points = 1;
    for (int x = rng_below(rng, MAX_INDICES); x >= 0; x--) {
        int64_t extent = rng_below(rng, 60) == 0 ? 0 : extents[rng_below(rng, 10)];
        if (points * extent > 30000)
            continue;
        points *= extent > 0 ? extent : 1;
        m->extent[m->indices++] = extent;
    }
    for (int x = 0; x < m->indices; x++)
        if (rng_below(rng, 5) < 3)
            call->join.relation_index[call->join.relation_indices++] = x;
    m->in_out = ((UINT32_C(1) << m->indices) - 1) & (uint32_t)rng_next(rng);
}

static void run_random(uint64_t seed, bool product, bool whole) {
    static const enum fuse_dtype compute[] = {FUSE_F32, FUSE_F64, FUSE_I64, FUSE_BOOL};
    static const enum fuse_dtype values[] = {FUSE_F32, FUSE_F64, FUSE_BOOL};
    static const enum fuse_reduce numeric[] = {FUSE_REDUCE_SUM, FUSE_REDUCE_PROD, FUSE_REDUCE_MIN, FUSE_REDUCE_MAX};
    struct rng rng = {.state = seed};
    struct call call = {.kind = CALL_JOIN};
    struct fuse_map_call *m = &call.map;
    struct fuse_scalar_node node[20];
    struct fuse_scalar body = {.node = node};
    enum fuse_dtype type = whole ? compute[rng_below(&rng, product ? 2 : 4)] : FUSE_F64;
    random_space(&rng, &call);
    m->body = &body;
    m->accumulate = rng_below(&rng, 2);
    call.operand[0].dtype = product && rng_below(&rng, 3) ? type : values[rng_below(&rng, 3)];
    if (product) {
        m->operands = 2;
        m->reduce = FUSE_REDUCE_SUM;
        call.operand[1].dtype = type;
        product_body(&body, type, call.operand[0].dtype);
    } else {
        m->operands = 1 + rng_below(&rng, 4);
        m->reduce =
            type == FUSE_BOOL ? (rng_below(&rng, 2) ? FUSE_REDUCE_OR : FUSE_REDUCE_AND) : numeric[rng_below(&rng, 4)];
        for (int o = 1; o < m->operands; o++)
            call.operand[o].dtype = rng_below(&rng, 2) ? type : (enum fuse_dtype)rng_below(&rng, FUSE_F64 + 1);
        random_body(&rng, &body, type, m->operands, m->reduce);
    }
    char *image = calloc(IMAGE, 1);
    size_t bytes = place_tuples(&rng, &call, image, 64, 1 + rng_below(&rng, 9), 3, whole);
    for (int o = 1; o < m->operands; o++)
        bytes = place(&rng, m, (uint32_t)rng_next(&rng) | (rng_below(&rng, 2) ? UINT32_MAX : 0), &call.operand[o],
                      image, bytes, 5, whole);
    m->out.dtype = type;
    bytes = place(&rng, m, m->in_out, &m->out, image, bytes, 1, whole) + 64;
    char what[200];
    snprintf(what, sizeof what, "join %llu (%s of %s, %s, %d indices, %d of the relation, kept %x)",
             (unsigned long long)seed, fuse_dtype_name(type), fuse_dtype_name(call.operand[0].dtype),
             fuse_reduce_name(m->reduce), m->indices, call.join.relation_indices, (unsigned)m->in_out);
    /* Whole numbers below 2^24 are exact. Of reals, each of n additions rounds a partial sum of terms below 15. */
    double n = 1;
    for (int x = 0; x < m->indices; x++)
        n *= m->in_out >> x & 1 ? 1 : (double)m->extent[x];
    beds_compare(what, &call, image, bytes, 0, whole ? 0 : 15 * (n + 1) * sqrt(n + 1) * 0x1p-53, BITS_SAME);
    free(image);
    bool own = call.join.relation_indices > 0 && (m->in_out >> call.join.relation_index[0] & 1);
    seen.products += product;
    seen.scattered += !own;
    seen.without_index += call.join.relation_indices == 0;
    seen.facts += call.operand[0].dtype == FUSE_BOOL;
    seen.reductions[m->reduce]++;
}

static void random_joins(void **state) {
    (void)state;
    memset(&seen, 0, sizeof seen);
    for (uint64_t seed = 0; seed < 900; seed++)
        run_random(seed, false, true);
    assert_true(seen.scattered > 100 && seen.without_index > 20 && seen.facts > 100 && seen.tuples > 100000);
    for (int op = FUSE_REDUCE_SUM; op <= FUSE_REDUCE_AND; op++)
        assert_true(seen.reductions[op] > 20);
}

static void sparse_times_dense(void **state) {
    (void)state;
    memset(&seen, 0, sizeof seen);
    for (uint64_t seed = 0; seed < 500; seed++)
        run_random(5000 + seed, true, true);
    for (uint64_t seed = 0; seed < 300; seed++)
        run_random(9000 + seed, true, false);
    assert_int_equal(seen.products, 800);
    assert_true(seen.scattered > 100 && seen.facts > 50 && seen.tuples > 100000);
}

/* ---- ref itself ---- */

/* out[x, d] += sum over tuples (x, y) of v * a[y, d], against loops over all cells. Rows of every usual width. */
static void ref_against_cells(void **state) {
    (void)state;
    static const int widths[] = {1, 2, 7, 8, 16, 17, 24, 32, 33, 48, 64, 100, 130};
    const int rows = 90, columns = 70;
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
        const int d = widths[w];
        struct rng rng = {.state = w};
        struct fuse_scalar_node node[4];
        struct fuse_scalar body = {.node = node};
        struct call call = {.kind = CALL_JOIN};
        call.map = (struct fuse_map_call){.indices = 3,
                                          .extent = {rows, d, columns},
                                          .in_out = 3,
                                          .operands = 2,
                                          .body = &body,
                                          .reduce = FUSE_REDUCE_SUM,
                                          .accumulate = w % 2};
        call.join.relation_indices = 2;
        call.join.relation_index[1] = 2;
        call.operand[0].dtype = call.operand[1].dtype = call.map.out.dtype = FUSE_F32;
        product_body(&body, FUSE_F32, FUSE_F32);
        char *image = calloc(IMAGE, 1);
        size_t a = place_tuples(&rng, &call, image, 64, 5, 3, true), out = aligned(a + (size_t)(columns * d) * 4),
               bytes = out + (size_t)(rows * d) * 4;
        fill_whole(&rng, image + a, FUSE_F32, (size_t)(columns * d), 5);
        fill_whole(&rng, image + out, FUSE_F32, (size_t)(rows * d), 5);
        call.operand[1] = (struct fuse_operand_view){.data = (void *)a, .dtype = FUSE_F32, .stride = {0, 1, d}};
        call.map.out = (struct fuse_operand_view){.data = (void *)out, .dtype = FUSE_F32, .stride = {d, 1, 0}};
        beds_compare("sparse times dense", &call, image, bytes, 0, 0, BITS_SAME);

        char *got = malloc(bytes);
        struct fuse_error err = {0};
        memcpy(got, image, bytes);
        assert_int_equal(bed_run(&ref, &call, got, bytes, &err), FUSE_OK);
        float *sum = calloc((size_t)(rows * d), sizeof *sum);
        const uint32_t *begin = (const uint32_t *)(image + (uintptr_t)call.join.row_begin);
        const uint32_t *column = (const uint32_t *)(image + (uintptr_t)call.join.column[1]);
        const float *value = (const float *)(image + (uintptr_t)call.join.value);
        for (int x = 0; x < rows; x++)
            for (uint32_t t = begin[x]; t < begin[x + 1]; t++)
                for (int i = 0; i < d; i++)
                    sum[x * d + i] += value[t] * ((const float *)(image + a))[(int)column[t] * d + i];
        for (int i = 0; i < rows * d; i++)
            assert_true(((float *)(got + out))[i] ==
                        sum[i] + (call.map.accumulate ? ((float *)(image + out))[i] : 0.0F));
        free(sum);
        free(got);
        free(image);
    }
}

/* ---- what is special ---- */

static void nan_wins(void **state) {
    (void)state;
    for (int op = FUSE_REDUCE_MIN; op <= FUSE_REDUCE_MAX; op++)
        for (int d = 0; d < 2; d++) {
            const enum fuse_dtype type = d ? FUSE_F64 : FUSE_F32;
            struct rng rng = {.state = (uint64_t)d};
            struct fuse_scalar_node node[1] = {load_node(0, type)};
            struct fuse_scalar body = {.n = 1, .node = node};
            struct call call = {.kind = CALL_JOIN};
            call.map = (struct fuse_map_call){.indices = 2,
                                              .extent = {40, 50},
                                              .in_out = 1,
                                              .operands = 1,
                                              .body = &body,
                                              .reduce = (enum fuse_reduce)op};
            call.join.relation_indices = 2;
            call.join.relation_index[1] = 1;
            call.operand[0].dtype = call.map.out.dtype = type;
            call.map.out.stride[0] = 1;
            char *image = calloc(IMAGE, 1);
            size_t out = place_tuples(&rng, &call, image, 64, 4, 9, false), size = fuse_dtype_bytes(type);
            const uint32_t *begin = (const uint32_t *)(image + 64);
            int poisoned = 0;
            for (int x = 0; x < 40; x += 3)
                if (begin[x] < begin[x + 1]) {
                    uint32_t t = begin[x] + (uint32_t)rng_below(&rng, (int)(begin[x + 1] - begin[x]));
                    put_real(image + (uintptr_t)call.join.value + t * size, type, NAN);
                    poisoned++;
                }
            call.map.out.data = (void *)out;
            beds_compare("extremes with NaN", &call, image, out + 40 * size, 0, 0, BITS_SAME);
            struct fuse_error err = {0};
            assert_int_equal(bed_run(&subject[0], &call, image, out + 40 * size, &err), FUSE_OK);
            for (int x = 0; x < 40; x++)
                poisoned -= isnan(get_real(image + out + (size_t)x * size, type));
            assert_int_equal(poisoned, 0);
            free(image);
        }
}

/* A sum in F32 of many more terms than F32 can count. */
static void long_sums_keep_their_digits(void **state) {
    (void)state;
    const uint32_t n = 400000;
    size_t value = 64, out = value + n * 4, bytes = out + 64;
    char *image = calloc(bytes, 1);
    struct fuse_scalar_node node[1] = {load_node(0, FUSE_F32)};
    struct fuse_scalar body = {.n = 1, .node = node};
    uint32_t *begin = (uint32_t *)(image + 8);
    begin[1] = n;
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        ((float *)(image + value))[i] = 0.1F;
        sum += (double)0.1F;
    }
    /* one row, whose columns the call does not need */
    struct call call = {.kind = CALL_JOIN};
    call.map =
        (struct fuse_map_call){.indices = 1, .extent = {1}, .operands = 1, .body = &body, .reduce = FUSE_REDUCE_SUM};
    call.join.relation_indices = 1;
    call.join.row_begin = (const uint32_t *)8;
    call.join.value = (const void *)value;
    call.operand[0].dtype = call.map.out.dtype = FUSE_F32;
    call.map.out.data = (void *)out;
    for (int s = 0; s < SUBJECTS; s++) {
        struct fuse_error err = {0};
        assert_int_equal(bed_run(&subject[s], &call, image, bytes, &err), FUSE_OK);
        /* The conversion to F32 rounds once. */
        assert_true(fabs((double)*(float *)(image + out) - sum) <= sum * 0x1p-23);
    }
    free(image);
}

static void overflow_is_reported(void **state) {
    (void)state;
    static const struct {
        enum fuse_reduce reduce;
        enum fuse_scalar_op op;
        int64_t a, b;
        bool overflows;
    } cases[] = {{FUSE_REDUCE_SUM, FUSE_SCALAR_ADD, INT64_MAX / 4, 0, false},
                 {FUSE_REDUCE_SUM, FUSE_SCALAR_ADD, INT64_MAX / 2, 0, true},
                 {FUSE_REDUCE_SUM, FUSE_SCALAR_ADD, INT64_MIN / 2, 0, true},
                 {FUSE_REDUCE_SUM, FUSE_SCALAR_ADD, INT64_MIN / 4, 0, false},
                 {FUSE_REDUCE_PROD, FUSE_SCALAR_ADD, INT64_C(1) << 22, 0, true},
                 {FUSE_REDUCE_PROD, FUSE_SCALAR_ADD, INT64_C(1) << 20, 0, false},
                 {FUSE_REDUCE_MAX, FUSE_SCALAR_ADD, INT64_MAX, 1, true},
                 {FUSE_REDUCE_MAX, FUSE_SCALAR_MUL, INT64_C(1) << 32, INT64_C(1) << 31, true},
                 {FUSE_REDUCE_MAX, FUSE_SCALAR_ADD, INT64_MAX, 0, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int s = -1; s < SUBJECTS; s++) {
            struct fuse_scalar_node node[3] = {load_node(1, FUSE_I64), load_node(2, FUSE_I64),
                                               op_node(cases[i].op, FUSE_I64, 0, 1, -1)};
            struct fuse_scalar body = {.n = 3, .node = node};
            int64_t image[16] = {cases[i].a, cases[i].b, 7};
            ((uint32_t *)(image + 8))[1] = 3; /* three tuples in one row */
            struct call call = {.kind = CALL_JOIN};
            call.map = (struct fuse_map_call){
                .indices = 2, .extent = {1, 3}, .in_out = 1, .operands = 3, .body = &body, .reduce = cases[i].reduce};
            call.operand[0].dtype = FUSE_BOOL;
            call.operand[1] = (struct fuse_operand_view){.dtype = FUSE_I64};
            call.operand[2] = (struct fuse_operand_view){.data = (void *)8, .dtype = FUSE_I64};
            call.map.out = (struct fuse_operand_view){.data = (void *)16, .dtype = FUSE_I64, .stride = {1}};
            call.join.relation_indices = 2;
            call.join.relation_index[1] = 1;
            call.join.row_begin = (const uint32_t *)64;
            call.join.column[1] = (const uint32_t *)80;
            for (uint32_t t = 0; t < 3; t++)
                ((uint32_t *)(image + 10))[t] = t;
            struct fuse_error err = {0};
            enum fuse_status status = bed_run(s < 0 ? &ref : &subject[s], &call, (char *)image, sizeof image, &err);
            if ((status == FUSE_EFAILED) != cases[i].overflows || (status != FUSE_OK) != cases[i].overflows)
                fail_msg("case %zu on %s: status %d, %s", i, s < 0 ? "ref" : subject_name[s], (int)status, err.message);
            if (cases[i].overflows)
                assert_non_null(strstr(err.message, "overflow"));
        }
}

static void bad_calls_are_refused(void **state) {
    (void)state;
    struct fuse_scalar_node node[2] = {load_node(0, FUSE_F32), op_node(FUSE_SCALAR_IOTA, FUSE_I64, -1, -1, -1)};
    struct fuse_scalar body = {.n = 1, .node = node};
    struct call good = {.kind = CALL_JOIN};
    good.map = (struct fuse_map_call){
        .indices = 2, .extent = {2, 3}, .in_out = 1, .operands = 1, .body = &body, .reduce = FUSE_REDUCE_SUM};
    good.operand[0].dtype = good.map.out.dtype = FUSE_F32;
    good.map.out = (struct fuse_operand_view){.data = (void *)256, .dtype = FUSE_F32, .stride = {1}};
    good.join = (struct fuse_join_call){.relation_indices = 2, .relation_index = {0, 1}};
    good.join.row_begin = good.join.column[1] = (const uint32_t *)64;
    good.join.value = (const void *)128;
    for (int wrong = 0; wrong < 7; wrong++)
        for (int s = -1; s < SUBJECTS; s++) {
            struct call call = good;
            char image[512] = {0};
            struct fuse_error err = {0};
            body.n = 1;
            switch (wrong) {
            case 1:
                call.map.reduce = FUSE_REDUCE_NONE;
                call.map.in_out = 3;
                break;
            case 2: call.join.relation_index[1] = 0; break;
            case 3: call.join.relation_index[1] = 2; break;
            case 4: call.join.value = NULL; break;
            case 5: call.map.out.dtype = FUSE_F64; break;
            case 6: body.n = 2; break;
            default: break;
            }
            enum fuse_status status = bed_run(s < 0 ? &ref : &subject[s], &call, image, sizeof image, &err);
            if (status != (wrong ? FUSE_EBUG : FUSE_OK))
                fail_msg("case %d on %s: status %d, %s", wrong, s < 0 ? "ref" : subject_name[s], (int)status,
                         err.message);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_joins),
        cmocka_unit_test(sparse_times_dense),
        cmocka_unit_test(ref_against_cells),
        cmocka_unit_test(nan_wins),
        cmocka_unit_test(long_sums_keep_their_digits),
        cmocka_unit_test(overflow_is_reported),
        cmocka_unit_test(bad_calls_are_refused),
    };
    return cmocka_run_group_tests(tests, open_beds, beds_close);
}
