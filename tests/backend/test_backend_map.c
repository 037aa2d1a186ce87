/* Maps and reductions on cpu (1 and 2 threads) and fakedev against ref. */
#include "testbed.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IMAGE ((size_t)12 << 20)

static int open_beds(void **state) {
    (void)state;
    beds_open(IMAGE);
    return 0;
}

/* Layout of a view over the indices in `mask`, filled with whole numbers up to `limit`. */
static size_t place(struct rng *rng, int indices, const int64_t *extent, uint32_t mask, struct fuse_operand_view *view,
                    char *image, size_t at, int limit) {
    int64_t part[FUSE_MAX_AXES] = {0}, stride[FUSE_MAX_AXES] = {0}, origin;
    int axis[FUSE_MAX_AXES], axes = 0;
    for (int x = 0; x < indices; x++)
        if (mask >> x & 1) {
            part[axes] = extent[x];
            axis[axes++] = x;
        }
    int64_t span = random_layout(rng, axes, part, stride, &origin, true);
    for (int i = 0; i < axes; i++)
        view->stride[axis[i]] = stride[i];
    const size_t size = fuse_dtype_bytes(view->dtype);
    assert_true(at + (size_t)span * size <= IMAGE);
    fill_whole(rng, image + at, view->dtype, (size_t)span, limit);
    view->data = (void *)(uintptr_t)(at + (size_t)origin * size);
    return (at + (size_t)span * size + 63) / 64 * 64;
}

static uint32_t all_of(int indices) {
    return (UINT32_C(1) << indices) - 1;
}

/* ---- every operation on every type it has ---- */

static const double special[] = {0.0,  -0.0,  1.0,   -1.0,     0.5,       -0.5,    1.5,   2.5,   -2.5,   3.0,
                                 1e-3, -1e-3, 1e-30, INFINITY, -INFINITY, NAN,     88.0,  -88.0, -100.0, 700.0,
                                 1e5,  -1e5,  1e30,  -1e30,    0.99999,   1.00001, 1e-40, 6.0,   -6.0,   25.0};
#define SPECIALS (sizeof special / sizeof *special)

static bool has(enum fuse_scalar_op op, enum fuse_dtype type, int arity, struct fuse_scalar *body) {
    struct fuse_error err = {0};
    bool tests = op == FUSE_SCALAR_LT || op == FUSE_SCALAR_LE || op == FUSE_SCALAR_EQ || op == FUSE_SCALAR_NE ||
                 op == FUSE_SCALAR_ISNAN;
    body->n = 0;
    for (int i = 0; i < 3; i++)
        body->node[body->n++] = load_node(i, op == FUSE_SCALAR_SELECT && i == 0 ? FUSE_BOOL : type);
    body->node[body->n++] = op_node(op, tests ? FUSE_BOOL : type, 0, arity > 1 ? 1 : -1, arity > 2 ? 2 : -1);
    return fuse_scalar_verify(body, 3, 1, &err) == FUSE_OK;
}

static void every_operation(void **state) {
    (void)state;
    static const enum fuse_dtype types[] = {FUSE_BOOL, FUSE_I64, FUSE_F32, FUSE_F64};
    const int n = 1000;
    int seen = 0;
    for (int op = 0; op < FUSE_SCALAR_OPS; op++)
        for (int t = 0; t < 4; t++) {
            struct fuse_scalar_node node[8];
            struct fuse_scalar body = {.node = node};
            const enum fuse_dtype type = types[t];
            const int arity = fuse_scalar_arity((enum fuse_scalar_op)op);
            if (arity == 0 || op == FUSE_SCALAR_CAST || op == FUSE_SCALAR_NARROW ||
                !has((enum fuse_scalar_op)op, type, arity, &body))
                continue;
            seen++;
            const size_t size = fuse_dtype_bytes(type), bytes = 4 * (size_t)n * 8;
            char *image = calloc(bytes, 1);
            struct rng rng = {.state = (uint64_t)(op * 4 + t)};
            struct call call = {.kind = CALL_MAP};
            call.map = (struct fuse_map_call){.indices = 1, .extent = {n}, .in_out = 1, .operands = 3, .body = &body};
            for (int o = 0; o < 3; o++) {
                enum fuse_dtype dtype = op == FUSE_SCALAR_SELECT && o == 0 ? FUSE_BOOL : type;
                call.operand[o] = (struct fuse_operand_view){
                    .data = (void *)(uintptr_t)((size_t)o * (size_t)n * 8), .dtype = dtype, .stride = {1}};
                char *at = image + (size_t)o * (size_t)n * 8;
                /* exponents of integer powers are not negative and small */
                fill_whole(&rng, at, dtype, (size_t)n, op == FUSE_SCALAR_POW && t == 1 ? 5 : 1000);
                if (op == FUSE_SCALAR_POW && t == 1 && o == 1)
                    for (int i = 0; i < n; i++)
                        ((int64_t *)at)[i] = rng_below(&rng, 12);
                if (t > 1 && dtype == type) {
                    fill_real(&rng, at, type, (size_t)n, -8, 8);
                    for (size_t i = 0; i < SPECIALS * SPECIALS; i++)
                        put_real(at + i * size, type, special[o == 0 ? i % SPECIALS : i / SPECIALS]);
                }
            }
            call.map.out = (struct fuse_operand_view){
                .data = (void *)(uintptr_t)(3 * (size_t)n * 8), .dtype = node[3].dtype, .stride = {1}};
            /* libmvec promises 4 ulp; below the smallest normal number an absolute error of that size is allowed. */
            double relative = type == FUSE_F64 ? 8 * 0x1p-53 : 8 * 0x1p-24;
            char what[100];
            snprintf(what, sizeof what, "%s of %s", fuse_scalar_name((enum fuse_scalar_op)op), fuse_dtype_name(type));
            beds_compare(what, &call, image, bytes, t > 1 ? relative : 0,
                         t > 1 ? (type == FUSE_F64 ? 0x1p-1022 : 0x1p-126) : 0, BITS_OF_INSTRUCTIONS);
            free(image);
        }
    assert_true(seen > 70);
}

static void every_conversion(void **state) {
    (void)state;
    static const enum fuse_dtype compute[] = {FUSE_BOOL, FUSE_I64, FUSE_F32, FUSE_F64};
    const int n = 700;
    for (int from = 0; from <= FUSE_F64; from++)
        for (int first = 0; first < 4; first++)
            for (int second = 0; second < 4; second++)
                for (int to = 0; to <= FUSE_F64; to++) {
                    struct fuse_scalar_node node[2] = {load_node(0, compute[first]),
                                                       op_node(FUSE_SCALAR_CAST, compute[second], 0, -1, -1)};
                    struct fuse_scalar body = {.n = 2, .node = node};
                    struct rng rng = {.state = (uint64_t)(from * 1000 + to)};
                    char image[2 * 700 * 8] = {0};
                    fill_whole(&rng, image, (enum fuse_dtype)from, (size_t)n, 70000);
                    if (fuse_dtype_class((enum fuse_dtype)from) == FUSE_CLASS_REAL)
                        for (size_t i = 0; i < SPECIALS; i++)
                            put_real(image + i * fuse_dtype_bytes((enum fuse_dtype)from), (enum fuse_dtype)from,
                                     special[i]);
                    if (from == FUSE_I64)
                        for (int i = 0; i < 64; i++)
                            ((int64_t *)image)[i] = (int64_t)(rng_next(&rng) >> i) * (i % 2 ? 1 : -1);
                    struct call call = {.kind = CALL_MAP};
                    call.map =
                        (struct fuse_map_call){.indices = 1, .extent = {n}, .in_out = 1, .operands = 1, .body = &body};
                    call.operand[0] = (struct fuse_operand_view){.dtype = (enum fuse_dtype)from, .stride = {1}};
                    call.map.out = (struct fuse_operand_view){
                        .data = (void *)(uintptr_t)(700 * 8), .dtype = (enum fuse_dtype)to, .stride = {1}};
                    char what[120];
                    snprintf(what, sizeof what, "%s as %s cast to %s stored as %s",
                             fuse_dtype_name((enum fuse_dtype)from), fuse_dtype_name(compute[first]),
                             fuse_dtype_name(compute[second]), fuse_dtype_name((enum fuse_dtype)to));
                    beds_compare(what, &call, image, sizeof image, 0, 0, BITS_OF_INSTRUCTIONS);
                }
}

static void narrowing(void **state) {
    (void)state;
    static const enum fuse_dtype through[] = {FUSE_F16, FUSE_BF16, FUSE_F32};
    /* The result has the type that is computed in, or the narrow one. */
    for (int t = 0; t < 3; t++)
        for (int form = 0; form < 4; form++) {
            const bool wide = form & 1;
            const enum fuse_dtype type = wide ? FUSE_F64 : FUSE_F32, stored = form & 2 ? through[t] : type;
            struct fuse_scalar_node node[2] = {load_node(0, type), op_node(FUSE_SCALAR_NARROW, type, 0, -1, -1)};
            node[1].arg = (int)through[t];
            struct fuse_scalar body = {.n = 2, .node = node};
            const size_t n = 5000, size = fuse_dtype_bytes(type), bytes = 2 * n * size;
            char *image = calloc(bytes, 1);
            struct rng rng = {.state = (uint64_t)t};
            for (size_t i = 0; i < n; i++)
                put_real(image + i * size, type,
                         i < SPECIALS ? special[i] : rng_real(&rng, -1, 1) * exp2(rng_below(&rng, 60) - 40));
            struct call call = {.kind = CALL_MAP};
            call.map =
                (struct fuse_map_call){.indices = 1, .extent = {(int64_t)n}, .in_out = 1, .operands = 1, .body = &body};
            call.operand[0] = (struct fuse_operand_view){.dtype = type, .stride = {1}};
            call.map.out = (struct fuse_operand_view){.data = (void *)(n * size), .dtype = stored, .stride = {1}};
            beds_compare("narrow", &call, image, bytes, 0, 0, BITS_OF_INSTRUCTIONS);
            free(image);
        }
}

/* ---- random shapes ---- */

/* A body of exact operations on whole numbers, over operands 0 .. 2 and the indices' coordinates. */
static void random_body(struct rng *rng, struct fuse_scalar *body, enum fuse_dtype type, int operands, int indices,
                        enum fuse_reduce reduce) {
    body->n = 0;
    for (int o = 0; o < operands; o++)
        body->node[body->n++] = load_node(o, type);
    if (indices > 0 && rng_below(rng, 2)) {
        struct fuse_scalar_node iota = op_node(FUSE_SCALAR_IOTA, FUSE_I64, -1, -1, -1);
        iota.arg = rng_below(rng, indices);
        int at = body->n;
        body->node[body->n++] = iota;
        body->node[body->n++] = op_node(FUSE_SCALAR_CAST, type, at, -1, -1);
    } else {
        body->node[body->n++] = const_node(type, 1);
    }
    for (int i = rng_below(rng, 4); i >= 0; i--) {
        int last = body->n - 1, other = rng_below(rng, operands + 1), at;
        if (other == operands)
            other = last;
        if (type == FUSE_BOOL) {
            static const enum fuse_scalar_op ops[] = {FUSE_SCALAR_AND, FUSE_SCALAR_OR, FUSE_SCALAR_EQ, FUSE_SCALAR_NE};
            body->node[body->n++] = op_node(ops[rng_below(rng, 4)], FUSE_BOOL, last, other, -1);
            continue;
        }
        static const enum fuse_scalar_op ops[] = {FUSE_SCALAR_ADD, FUSE_SCALAR_SUB, FUSE_SCALAR_MINIMUM,
                                                  FUSE_SCALAR_MAXIMUM, FUSE_SCALAR_LT};
        enum fuse_scalar_op op = ops[rng_below(rng, 5)];
        if (op != FUSE_SCALAR_LT) {
            body->node[body->n++] = op_node(op, type, last, other, -1);
            continue;
        }
        at = body->n;
        body->node[body->n++] = op_node(op, FUSE_BOOL, last, other, -1);
        body->node[body->n++] = op_node(FUSE_SCALAR_SELECT, type, at, other, last);
    }
    /* Products stay small: +1 or -1. */
    if (reduce == FUSE_REDUCE_PROD) {
        int last = body->n - 1, one = body->n, minus = one + 1, test = one + 2;
        body->node[body->n++] = const_node(type, 1);
        body->node[body->n++] = const_node(type, -1);
        body->node[body->n++] = op_node(FUSE_SCALAR_LT, FUSE_BOOL, last, one, -1);
        body->node[body->n++] = op_node(FUSE_SCALAR_SELECT, type, test, one, minus);
    }
}

static void run_random(uint64_t seed, int64_t most, bool few_kept) {
    static const enum fuse_dtype compute[] = {FUSE_BOOL, FUSE_I64, FUSE_F32, FUSE_F64};
    static const int64_t extents[] = {1, 2, 3, 5, 8, 16, 17, 31, 64, 100};
    static const enum fuse_reduce numeric[] = {FUSE_REDUCE_SUM, FUSE_REDUCE_PROD, FUSE_REDUCE_MIN, FUSE_REDUCE_MAX};
    struct rng rng = {.state = seed};
    struct call call = {.kind = CALL_MAP};
    struct fuse_map_call *m = &call.map;
    struct fuse_scalar_node node[40];
    struct fuse_scalar body = {.node = node};
    int64_t points = 1;
    m->indices = 0;
    for (int x = rng_below(&rng, 6); x > 0; x--) {
        int64_t extent = rng_below(&rng, 80) == 0 ? 0 : extents[rng_below(&rng, 10)];
        if ((points > 0 ? points : most) * extent > most)
            continue;
        points *= extent;
        m->extent[m->indices] = extent;
        m->origin[m->indices++] = rng_below(&rng, 3);
    }
    if (few_kept && m->indices < 6) {
        m->extent[m->indices] = points > 0 ? 1 + most / points : 1;
        m->origin[m->indices++] = 0;
    }
    enum fuse_dtype type = compute[rng_below(&rng, 4)];
    m->in_out = all_of(m->indices);
    if (rng_below(&rng, 3) > 0 || few_kept) {
        m->reduce =
            type == FUSE_BOOL ? (rng_below(&rng, 2) ? FUSE_REDUCE_OR : FUSE_REDUCE_AND) : numeric[rng_below(&rng, 4)];
        m->in_out &= (uint32_t)rng_next(&rng) | (rng_below(&rng, 4) == 0 ? UINT32_MAX : 0);
        if (few_kept)
            m->in_out &= ~(UINT32_C(1) << (m->indices - 1));
        m->accumulate = rng_below(&rng, 2);
    }
    m->operands = rng_below(&rng, 4);
    m->body = &body;
    random_body(&rng, &body, type, m->operands, m->indices, m->reduce);
    char *image = calloc(IMAGE, 1);
    size_t bytes = 64;
    for (int o = 0; o < m->operands; o++) {
        call.operand[o].dtype = rng_below(&rng, 2) ? type : (enum fuse_dtype)rng_below(&rng, FUSE_F64 + 1);
        uint32_t mask = all_of(m->indices) & ((uint32_t)rng_next(&rng) | (rng_below(&rng, 2) ? UINT32_MAX : 0));
        bytes = place(&rng, m->indices, m->extent, mask, &call.operand[o], image, bytes, 5);
    }
    m->out.dtype = rng_below(&rng, 2) ? type : FUSE_F64;
    bytes = place(&rng, m->indices, m->extent, m->in_out, &m->out, image, bytes, 1) + 64;
    /* In place: the result has the layout of an operand with every index. */
    if (m->reduce == FUSE_REDUCE_NONE && m->operands > 0 && rng_below(&rng, 3) == 0) {
        call.operand[0] = m->out;
        m->out = call.operand[0];
    }
    char what[200];
    snprintf(what, sizeof what, "random map %llu (%s, %s, %d indices, kept %x)", (unsigned long long)seed,
             fuse_dtype_name(type), fuse_reduce_name(m->reduce), m->indices, (unsigned)m->in_out);
    /* Whole numbers below 2^24: sums are exact. */
    beds_compare(what, &call, image, bytes, 0, 0, BITS_OF_INSTRUCTIONS);
    free(image);
}

static void random_maps(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 500; seed++)
        run_random(seed, 4000, false);
}

static void large_random_maps(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 40; seed++)
        run_random(10000 + seed, 120000, seed % 2);
}

/* out[b, i, j] = x[b, j, i] + y[b, i, j] + j, and the same in place of y: large enough to be cut in blocks. */
static void operands_across_the_result(void **state) {
    (void)state;
    static const enum fuse_dtype types[] = {FUSE_F32, FUSE_F64, FUSE_I64, FUSE_BF16, FUSE_I8};
    const int64_t batch = 2, rows = 270, columns = 515;
    for (int t = 0; t < 5; t++)
        for (int in_place = 0; in_place < 2; in_place++) {
            const enum fuse_dtype stored = types[t], type = fuse_dtype_compute(stored);
            const size_t size = fuse_dtype_bytes(stored), n = (size_t)(batch * rows * columns), bytes = 3 * n * size;
            struct fuse_scalar_node node[6] = {load_node(0, type),
                                               load_node(1, type),
                                               op_node(FUSE_SCALAR_ADD, type, 0, 1, -1),
                                               op_node(FUSE_SCALAR_IOTA, FUSE_I64, -1, -1, -1),
                                               op_node(FUSE_SCALAR_CAST, type, 3, -1, -1),
                                               op_node(FUSE_SCALAR_ADD, type, 2, 4, -1)};
            node[3].arg = 2;
            struct fuse_scalar body = {.n = 6, .node = node};
            struct rng rng = {.state = (uint64_t)t};
            char *image = calloc(bytes, 1);
            fill_whole(&rng, image, stored, 3 * n, 9);
            struct call call = {.kind = CALL_MAP};
            call.map = (struct fuse_map_call){.indices = 3,
                                              .extent = {batch, rows, columns},
                                              .origin = {0, 0, 4},
                                              .in_out = 7,
                                              .operands = 2,
                                              .body = &body};
            call.operand[0] = (struct fuse_operand_view){.dtype = stored, .stride = {rows * columns, 1, rows}};
            call.operand[1] = (struct fuse_operand_view){
                .data = (void *)(n * size), .dtype = stored, .stride = {rows * columns, columns, 1}};
            call.map.out = call.operand[1];
            if (!in_place)
                call.map.out.data = (void *)(2 * n * size);
            beds_compare("an operand across the result", &call, image, bytes, 0, 0, BITS_OF_INSTRUCTIONS);
            free(image);
        }
}

/* ---- reductions of reals ---- */

static void sums_of_reals(void **state) {
    (void)state;
    /* Shapes that take each way of cutting a reduction; kept indices first. */
    static const struct {
        int64_t extent[3];
        uint32_t in_out;
    } shapes[] = {{{1, 1, 100003}, 3}, {{3, 1, 50001}, 3}, {{400, 1, 300}, 3}, {{400, 1, 20}, 3}, {{40, 1, 3000}, 3},
                  {{70001, 1, 3}, 4},  {{3000, 1, 37}, 4}, {{13, 70, 90}, 2},  {{130, 7, 90}, 5}, {{9000, 1, 30}, 4}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (int form = 0; form < 6; form++) {
            const bool d = form & 1;
            const int factors = form / 2; /* 0: the operand, 1: its squares, 2: its products with another */
            const enum fuse_dtype type = d ? FUSE_F64 : FUSE_F32;
            const int64_t *e = shapes[s].extent, points = e[0] * e[1] * e[2];
            const size_t size = fuse_dtype_bytes(type), bytes = 3 * (size_t)points * size;
            struct fuse_scalar_node node[3] = {load_node(0, type), load_node(1, type),
                                               op_node(FUSE_SCALAR_MUL, type, 0, factors - 1, -1)};
            struct fuse_scalar body = {.n = factors ? 3 : 1, .node = node};
            struct rng rng = {.state = s};
            char *image = calloc(bytes, 1);
            fill_real(&rng, image, type, 2 * (size_t)points, -1, 1);
            struct call call = {.kind = CALL_MAP};
            call.map = (struct fuse_map_call){.indices = 3,
                                              .extent = {e[0], e[1], e[2]},
                                              .in_out = shapes[s].in_out,
                                              .operands = 2,
                                              .body = &body,
                                              .reduce = FUSE_REDUCE_SUM};
            for (int o = 0; o < 2; o++)
                call.operand[o] = (struct fuse_operand_view){
                    .data = (void *)((size_t)(o * points) * size), .dtype = type, .stride = {e[1] * e[2], e[2], 1}};
            call.map.out = (struct fuse_operand_view){.data = (void *)(2 * (size_t)points * size), .dtype = type};
            int64_t stride = 1;
            for (int x = 2; x >= 0; x--)
                if (shapes[s].in_out >> x & 1) {
                    call.map.out.stride[x] = stride;
                    stride *= e[x];
                }
            /* F32: exact in double but for one rounding, and those of products that the reference has; F64: n roundings of
             * partial sums below n / 2 at most, of random sign, so sqrt-like in practice; those of squares have one sign. */
            const double n = (double)points / (double)stride;
            const double each = d ? 0x1p-53 * n * (factors == 1 ? sqrt(n) : 1) : factors ? 0x1p-25 * n : 1e-12;
            beds_compare("sum of reals", &call, image, bytes, 2 * (d ? 0x1p-53 : 0x1p-24), each, BITS_OF_INSTRUCTIONS);
            free(image);
        }
}

/* One operand as it lies, of every type, under every reduction that is exact on whole numbers: along rows and columns of all widths
 * about those of vectors and tiles, in one piece, with gaps, and with an axis before and behind. */
static void reductions_of_operands(void **state) {
    (void)state;
    static const struct {
        enum fuse_dtype type;
        enum fuse_reduce reduce;
    } kinds[] = {{FUSE_F32, FUSE_REDUCE_SUM}, {FUSE_F32, FUSE_REDUCE_MIN}, {FUSE_F64, FUSE_REDUCE_SUM},
                 {FUSE_F64, FUSE_REDUCE_MAX}, {FUSE_I64, FUSE_REDUCE_SUM}, {FUSE_I64, FUSE_REDUCE_MAX},
                 {FUSE_BOOL, FUSE_REDUCE_OR}, {FUSE_BOOL, FUSE_REDUCE_AND}};
    static const int64_t kept[] = {1, 3, 16, 17, 64, 255, 256, 257, 700},
                         reduced[] = {1, 15, 17, 64, 65, 130, 2049, 4100};
    struct rng rng = {.state = 5};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
            for (size_t j = 0; j < sizeof reduced / sizeof *reduced; j++) {
                if (kept[i] * reduced[j] > 600000)
                    continue;
                const int form = rng_below(&rng, 8);
                const bool columns = form & 1, split = form & 2 && reduced[j] % 2 == 0;
                const int64_t gap = form & 4 ? 5 : 0, in = columns ? kept[i] : reduced[j],
                              out = columns ? reduced[j] : kept[i], row = in + gap, points = out * row;
                const size_t size = fuse_dtype_bytes(kinds[k].type), bytes = (size_t)(points + kept[i]) * size;
                struct fuse_scalar_node node[1] = {load_node(0, kinds[k].type)};
                struct fuse_scalar body = {.n = 1, .node = node};
                struct call call = {.kind = CALL_MAP};
                call.map = (struct fuse_map_call){.indices = 3,
                                                  .extent = {kept[i], split ? 2 : 1, reduced[j] / (split ? 2 : 1)},
                                                  .in_out = 1,
                                                  .operands = 1,
                                                  .body = &body,
                                                  .reduce = kinds[k].reduce};
                const int64_t along = columns ? row : 1;
                call.operand[0] = (struct fuse_operand_view){
                    .dtype = kinds[k].type, .stride = {columns ? 1 : row, split ? along * (reduced[j] / 2) : 0, along}};
                call.map.out = (struct fuse_operand_view){
                    .data = (void *)((size_t)points * size), .dtype = kinds[k].type, .stride = {1}};
                char *image = calloc(bytes, 1);
                fill_whole(&rng, image, kinds[k].type, (size_t)points, 1000);
                beds_compare("reduction of an operand", &call, image, bytes, 0, 0, BITS_OF_INSTRUCTIONS);
                free(image);
            }
}

static void nan_wins(void **state) {
    (void)state;
    static const int64_t sizes[] = {1, 5, 16, 40, 64, 100, 513, 20000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int op = FUSE_REDUCE_MIN; op <= FUSE_REDUCE_MAX; op++)
            for (int outer = 0; outer < 2; outer++) {
                const int64_t n = sizes[i], rows = 37;
                struct fuse_scalar_node node[1] = {load_node(0, FUSE_F32)};
                struct fuse_scalar body = {.n = 1, .node = node};
                const size_t bytes = (size_t)(n * rows + rows) * 4;
                struct rng rng = {.state = i};
                char *image = calloc(bytes, 1);
                fill_real(&rng, image, FUSE_F32, (size_t)(n * rows), -5, 5);
                for (int64_t r = 0; r < rows; r += 3)
                    put_real(image + 4 * (outer ? rng_below(&rng, (int)n) * rows + r : r * n + rng_below(&rng, (int)n)),
                             FUSE_F32, NAN);
                struct call call = {.kind = CALL_MAP};
                call.map = (struct fuse_map_call){.indices = 2,
                                                  .extent = {rows, n},
                                                  .in_out = 1,
                                                  .operands = 1,
                                                  .body = &body,
                                                  .reduce = (enum fuse_reduce)op};
                call.operand[0] =
                    (struct fuse_operand_view){.dtype = FUSE_F32, .stride = {outer ? 1 : n, outer ? rows : 1}};
                call.map.out = (struct fuse_operand_view){
                    .data = (void *)((size_t)(n * rows) * 4), .dtype = FUSE_F32, .stride = {1}};
                beds_compare("extremes with NaN", &call, image, bytes, 0, 0, BITS_OF_INSTRUCTIONS);
                free(image);
            }
}

static void empty_reductions(void **state) {
    (void)state;
    static const enum fuse_dtype types[] = {FUSE_BOOL, FUSE_I64, FUSE_F32, FUSE_F64};
    for (int op = FUSE_REDUCE_SUM; op <= FUSE_REDUCE_AND; op++)
        for (int t = 0; t < 4; t++)
            for (int accumulate = 0; accumulate < 2; accumulate++) {
                if ((t == 0) != (op == FUSE_REDUCE_OR || op == FUSE_REDUCE_AND))
                    continue;
                struct fuse_scalar_node node[1] = {load_node(0, types[t])};
                struct fuse_scalar body = {.n = 1, .node = node};
                char image[800] = {0};
                struct rng rng = {.state = 3};
                fill_whole(&rng, image, types[t], 100, 9);
                struct call call = {.kind = CALL_MAP};
                call.map = (struct fuse_map_call){.indices = 2,
                                                  .extent = {90, 0},
                                                  .in_out = 1,
                                                  .operands = 1,
                                                  .body = &body,
                                                  .reduce = (enum fuse_reduce)op,
                                                  .accumulate = accumulate};
                call.operand[0] = (struct fuse_operand_view){.dtype = types[t], .stride = {1, 1}};
                call.map.out = (struct fuse_operand_view){.dtype = types[t], .stride = {1}};
                beds_compare("empty reduction", &call, image, sizeof image, 0, 0, BITS_OF_INSTRUCTIONS);
            }
}

/* ---- generators ---- */

static void random_numbers(void **state) {
    (void)state;
    for (int op = FUSE_SCALAR_UNIFORM; op <= FUSE_SCALAR_NORMAL; op++)
        for (int d = 0; d < 2; d++) {
            const enum fuse_dtype type = d ? FUSE_F64 : FUSE_F32;
            /* element number = i * 103 + j, as a program with two axes asks for it */
            struct fuse_scalar_node node[6] = {
                op_node(FUSE_SCALAR_IOTA, FUSE_I64, -1, -1, -1), const_node(FUSE_I64, 103),
                op_node(FUSE_SCALAR_MUL, FUSE_I64, 0, 1, -1),    op_node(FUSE_SCALAR_IOTA, FUSE_I64, -1, -1, -1),
                op_node(FUSE_SCALAR_ADD, FUSE_I64, 2, 3, -1),    op_node((enum fuse_scalar_op)op, type, 4, -1, -1)};
            node[0].arg = 0;
            node[3].arg = 1;
            node[5].integer = INT64_C(0x123456789abcdef);
            struct fuse_scalar body = {.n = 6, .node = node};
            const size_t bytes = 97 * 103 * fuse_dtype_bytes(type);
            char *image = calloc(bytes, 1);
            struct call call = {.kind = CALL_MAP};
            call.map = (struct fuse_map_call){
                .indices = 2, .extent = {97, 103}, .origin = {INT64_C(1) << 40, 7}, .in_out = 3, .body = &body};
            call.map.out = (struct fuse_operand_view){.dtype = type, .stride = {103, 1}};
            double normal = op == FUSE_SCALAR_NORMAL ? (d ? 16 * 0x1p-53 : 2 * 0x1p-24) : 0;
            beds_compare("random numbers", &call, image, bytes, normal, op == FUSE_SCALAR_NORMAL ? 1e-15 : 0,
                         BITS_OF_INSTRUCTIONS);
            free(image);
        }
}

static int append(struct fuse_scalar_node *node, int *n, struct fuse_scalar_node one) {
    node[*n] = one;
    return (*n)++;
}

/* Both forms of gelu of a sum, factors either way round, and bodies that look like one: they are computed in one step or in
 * several, and the numbers are those of the operations one by one. */
static int write_gelu(struct fuse_scalar_node *node, enum fuse_dtype type, int form) {
    const bool erf = form & 1, turned = form & 2, other = form & 4;
    int n = 0;
#define ADD(x) append(node, &n, (x))
#define OP(op, a, b) ADD(op_node(FUSE_SCALAR_##op, type, a, b, -1))
    int x = OP(ADD, ADD(load_node(0, type)), ADD(load_node(1, type))), y = other ? 0 : x, inside;
    int half = ADD(const_node(type, 0.5)), one = ADD(const_node(type, 1)), c1 = ADD(const_node(type, 0.8));
    int scaled = OP(MUL, x, half), argument = OP(MUL, y, c1);
    if (erf) {
        inside = OP(ERF, argument, -1);
    } else {
        int cubic = OP(MUL, OP(MUL, x, x), ADD(const_node(type, 0.04)));
        int bent = OP(ADD, cubic, one);
        inside = OP(TANH, turned ? OP(MUL, bent, argument) : OP(MUL, argument, bent), -1);
    }
    int sum = OP(ADD, inside, one);
    if (turned)
        OP(MUL, sum, scaled);
    else
        OP(MUL, scaled, sum);
#undef OP
#undef ADD
    return n;
}

static void gelus_are_what_they_are_made_of(void **state) {
    (void)state;
    const int64_t n = 1000;
    for (int form = 0; form < 8; form++)
        for (int d = 0; d < 2; d++)
            for (int reduces = 0; reduces < 2; reduces++) {
                const enum fuse_dtype type = d ? FUSE_F64 : FUSE_F32;
                const size_t size = fuse_dtype_bytes(type), bytes = 3 * (size_t)n * size;
                struct fuse_scalar_node node[24];
                struct fuse_scalar body = {.n = write_gelu(node, type, form), .node = node};
                struct rng rng = {.state = (uint64_t)form};
                struct call call = {.kind = CALL_MAP};
                char *image = calloc(bytes, 1);
                fill_real(&rng, image, type, 2 * (size_t)n, -4, 4);
                call.map = (struct fuse_map_call){
                    .indices = 1, .extent = {n}, .in_out = reduces ? 0 : 1, .operands = 2, .body = &body};
                call.map.reduce = reduces ? FUSE_REDUCE_SUM : FUSE_REDUCE_NONE;
                for (int o = 0; o < 2; o++)
                    call.operand[o] = (struct fuse_operand_view){
                        .data = (void *)((size_t)(o * n) * size), .dtype = type, .stride = {1}};
                call.map.out =
                    (struct fuse_operand_view){.data = (void *)(2 * (size_t)n * size), .dtype = type, .stride = {1}};
                /* 1 + tanh loses what its terms have in common: units of the argument */
                beds_compare("gelu", &call, image, bytes, d ? 2e-15 : 1e-6, d ? 1e-14 : (reduces ? 1e-3 : 4e-6),
                             BITS_OF_INSTRUCTIONS);
                free(image);
            }
}

/* Elements must not depend on where a split cuts a tensor. */
static void values_do_not_depend_on_the_split(void **state) {
    (void)state;
    static const enum fuse_scalar_op ops[] = {FUSE_SCALAR_EXP,   FUSE_SCALAR_LOG,  FUSE_SCALAR_TANH,
                                              FUSE_SCALAR_ERF,   FUSE_SCALAR_SIN,  FUSE_SCALAR_SIGMOID,
                                              FUSE_SCALAR_RSQRT, FUSE_SCALAR_LOG1P};
    const int n = 3000;
    for (int d = 0; d < 2; d++)
        for (size_t o = 0; o < sizeof ops / sizeof *ops; o++) {
            const enum fuse_dtype type = d ? FUSE_F64 : FUSE_F32;
            const size_t size = fuse_dtype_bytes(type), bytes = 2 * (size_t)n * size;
            struct fuse_scalar_node node[2] = {load_node(0, type), op_node(ops[o], type, 0, -1, -1)};
            struct fuse_scalar body = {.n = 2, .node = node};
            struct rng rng = {.state = o};
            char *whole = calloc(bytes, 1), *parts = calloc(bytes, 1);
            fill_real(&rng, whole, type, (size_t)n, 0.01, 20);
            memcpy(parts, whole, bytes);
            struct fuse_error err = {0};
            struct call call = {.kind = CALL_MAP};
            call.map = (struct fuse_map_call){.indices = 1, .extent = {n}, .in_out = 1, .operands = 1, .body = &body};
            call.operand[0] = (struct fuse_operand_view){.dtype = type, .stride = {1}};
            call.map.out = (struct fuse_operand_view){.data = (void *)((size_t)n * size), .dtype = type, .stride = {1}};
            assert_int_equal(bed_run(&subject[0], &call, whole, bytes, &err), FUSE_OK);
            for (int at = 0; at < n;) {
                int part = 1 + rng_below(&rng, 70);
                part = part < n - at ? part : n - at;
                call.map.extent[0] = part;
                call.operand[0].data = (void *)((size_t)at * size);
                call.map.out.data = (void *)((size_t)(n + at) * size);
                assert_int_equal(bed_run(&subject[0], &call, parts, bytes, &err), FUSE_OK);
                at += part;
            }
            if (memcmp(whole, parts, bytes) != 0)
                fail_msg("%s of %s depends on the split", fuse_scalar_name(ops[o]), fuse_dtype_name(type));
            free(whole);
            free(parts);
        }
}

/* Large results are written past the caches, in place or where they are not aligned in another way: the numbers are those of
 * small ones. */
static void large_results_are_those_of_small_ones(void **state) {
    (void)state;
    enum { EXPONENTIAL, SUM, GELU, BODIES };
    static const char *const place[] = {"behind its operands", "across lines", "over its operand"};
    for (int d = 0; d < 2; d++)
        for (int form = 0; form < BODIES; form++) {
            const enum fuse_dtype type = d ? FUSE_F64 : FUSE_F32;
            const size_t size = fuse_dtype_bytes(type);
            const int64_t n = ((int64_t)16 << 20) / (int64_t)size + 48 + 45, half = n / 2;
            const size_t bytes = (3 * (size_t)n + 64) * size;
            struct fuse_scalar_node node[24] = {
                load_node(0, type), form == SUM ? load_node(1, type) : op_node(FUSE_SCALAR_EXP, type, 0, -1, -1),
                op_node(FUSE_SCALAR_ADD, type, 0, 1, -1)};
            struct fuse_scalar body = {.n = form == SUM ? 3 : 2, .node = node};
            if (form == GELU)
                body.n = write_gelu(node, type, 0);
            struct rng rng = {.state = (uint64_t)form};
            char *drawn = calloc(bytes, 1), *whole = malloc(bytes), *parts = malloc(bytes);
            fill_real(&rng, drawn, type, 2 * (size_t)n, -4, 4);
            for (int at = 0; at < 3; at++) {
                const char *const name[] = {"cpu", "cpu:avx2", "cpu:baseline"};
                struct bed bed = bed_open(name[(at + form) % 3], 2, bytes);
                const size_t out =
                    at == 2 ? 0 : 2 * (size_t)n + (at == 1 ? 1 : (64 - 2 * (size_t)n * size % 64) / size);
                struct fuse_error err = {0};
                struct call call = {.kind = CALL_MAP};
                call.map = (struct fuse_map_call){.indices = 1, .in_out = 1, .operands = form == EXPONENTIAL ? 1 : 2};
                call.map.body = &body;
                call.map.out.dtype = type;
                call.map.out.stride[0] = 1;
                for (int o = 0; o < 2; o++)
                    call.operand[o] = (struct fuse_operand_view){.dtype = type, .stride = {1}};
                memcpy(whole, drawn, bytes);
                memcpy(parts, drawn, bytes);
                for (int64_t begin = 0, end; begin < n; begin = end) {
                    end = begin + half < n - 1 ? begin + half : n;
                    call.map.extent[0] = end - begin;
                    call.operand[0].data = (void *)((size_t)begin * size);
                    call.operand[1].data = (void *)((size_t)(n + begin) * size);
                    call.map.out.data = (void *)((out + (size_t)begin) * size);
                    assert_int_equal(bed_run(&bed, &call, parts, bytes, &err), FUSE_OK);
                }
                call.map.extent[0] = n;
                call.operand[0].data = NULL;
                call.operand[1].data = (void *)((size_t)n * size);
                call.map.out.data = (void *)(out * size);
                assert_int_equal(bed_run(&bed, &call, whole, bytes, &err), FUSE_OK);
                if (memcmp(whole, parts, bytes) != 0)
                    fail_msg("%s, body %d, %s: not what small results are", fuse_dtype_name(type), form, place[at]);
                bed_close(&bed);
            }
            free(drawn);
            free(whole);
            free(parts);
        }
}

/* ---- integer overflow ---- */

static void overflow_is_reported(void **state) {
    (void)state;
    static const struct {
        enum fuse_scalar_op op;
        int64_t a, b;
        bool overflows;
    } cases[] = {{FUSE_SCALAR_ADD, INT64_MAX, 1, true},
                 {FUSE_SCALAR_ADD, INT64_MAX, 0, false},
                 {FUSE_SCALAR_SUB, INT64_MIN, 1, true},
                 {FUSE_SCALAR_SUB, INT64_MIN, 0, false},
                 {FUSE_SCALAR_MUL, INT64_C(1) << 32, INT64_C(1) << 31, true},
                 {FUSE_SCALAR_MUL, INT64_C(1) << 31, 1 << 30, false},
                 {FUSE_SCALAR_MUL, INT64_MIN, -1, true},
                 {FUSE_SCALAR_NEG, INT64_MIN, 0, true},
                 {FUSE_SCALAR_NEG, INT64_MAX, 0, false},
                 {FUSE_SCALAR_ABS, INT64_MIN, 0, true},
                 {FUSE_SCALAR_ABS, INT64_MIN + 1, 0, false},
                 {FUSE_SCALAR_POW, 3, 40, true},
                 {FUSE_SCALAR_POW, 3, 39, false},
                 {FUSE_SCALAR_POW, 2, -1, true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int s = -1; s < SUBJECTS; s++) {
            struct fuse_scalar_node node[3] = {
                load_node(0, FUSE_I64), load_node(1, FUSE_I64),
                op_node(cases[i].op, FUSE_I64, 0, fuse_scalar_arity(cases[i].op) > 1 ? 1 : -1, -1)};
            struct fuse_scalar body = {.n = 3, .node = node};
            int64_t image[300];
            for (int x = 0; x < 300; x++)
                image[x] = 1;
            image[57] = cases[i].a;
            image[157] = cases[i].b;
            struct call call = {.kind = CALL_MAP};
            call.map = (struct fuse_map_call){.indices = 1, .extent = {100}, .in_out = 1, .operands = 2, .body = &body};
            call.operand[0] = (struct fuse_operand_view){.dtype = FUSE_I64, .stride = {1}};
            call.operand[1] = (struct fuse_operand_view){.data = (void *)800, .dtype = FUSE_I64, .stride = {1}};
            call.map.out = (struct fuse_operand_view){.data = (void *)1600, .dtype = FUSE_I64, .stride = {1}};
            struct fuse_error err = {0};
            struct bed *bed = s < 0 ? &ref : &subject[s];
            enum fuse_status status = bed_run(bed, &call, (char *)image, sizeof image, &err);
            if (status != (cases[i].overflows ? FUSE_EFAILED : FUSE_OK))
                fail_msg("case %zu on %s: %s", i, bed->name, fuse_status_name(status));
            if (cases[i].overflows)
                assert_non_null(strstr(err.message, "integer overflow"));
            /* The failure is handed out once. */
            assert_int_equal(bed->queue->ops->wait(bed->queue, FUSE_QUEUE_ALL, &err), FUSE_OK);
        }
}

static void overflow_of_reductions(void **state) {
    (void)state;
    for (int outer = 0; outer < 2; outer++)
        for (int op = FUSE_REDUCE_SUM; op <= FUSE_REDUCE_PROD; op++)
            for (int large = 0; large < 2; large++)
                for (int s = -1; s < SUBJECTS; s++) {
                    const int64_t n = 50, rows = 20;
                    struct fuse_scalar_node node[1] = {load_node(0, FUSE_I64)};
                    struct fuse_scalar body = {.n = 1, .node = node};
                    int64_t image[50 * 20 + 20];
                    for (int x = 0; x < 1020; x++)
                        image[x] = 1;
                    image[333] = INT64_MAX - 100;
                    image[outer ? 353 : 334] = large ? 200 : 1;
                    if (op == FUSE_REDUCE_PROD)
                        image[333] = INT64_MAX / 100;
                    struct call call = {.kind = CALL_MAP};
                    call.map = (struct fuse_map_call){.indices = 2,
                                                      .extent = {rows, n},
                                                      .in_out = 1,
                                                      .operands = 1,
                                                      .body = &body,
                                                      .reduce = (enum fuse_reduce)op};
                    call.operand[0] =
                        (struct fuse_operand_view){.dtype = FUSE_I64, .stride = {outer ? 1 : n, outer ? rows : 1}};
                    call.map.out = (struct fuse_operand_view){.data = (void *)8000, .dtype = FUSE_I64, .stride = {1}};
                    struct fuse_error err = {0};
                    enum fuse_status status =
                        bed_run(s < 0 ? &ref : &subject[s], &call, (char *)image, sizeof image, &err);
                    if (status != (large ? FUSE_EFAILED : FUSE_OK))
                        fail_msg("reduction %d, outer %d, large %d on %d: %s", op, outer, large, s,
                                 fuse_status_name(status));
                }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operation),
        cmocka_unit_test(every_conversion),
        cmocka_unit_test(narrowing),
        cmocka_unit_test(random_maps),
        cmocka_unit_test(large_random_maps),
        cmocka_unit_test(operands_across_the_result),
        cmocka_unit_test(sums_of_reals),
        cmocka_unit_test(reductions_of_operands),
        cmocka_unit_test(nan_wins),
        cmocka_unit_test(empty_reductions),
        cmocka_unit_test(random_numbers),
        cmocka_unit_test(values_do_not_depend_on_the_split),
        cmocka_unit_test(large_results_are_those_of_small_ones),
        cmocka_unit_test(gelus_are_what_they_are_made_of),
        cmocka_unit_test(overflow_is_reported),
        cmocka_unit_test(overflow_of_reductions),
    };
    return cmocka_run_group_tests(tests, open_beds, beds_close);
}
