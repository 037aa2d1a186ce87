/* Maps that walk the same rows. Threads share out blocks of rows, and of a block one map runs after the other: what one has read
 * or made is still in the cache when the next one reads it. The three maps of a softmax go through each row once. */
#include "backend/call_check.h"
#include "backend/cpu_map.h"
#include "backend/cpu_stream.h"

#include <math.h>
#include <stdlib.h>

#define MOST_OPERANDS 64
#define BLOCK_BYTES ((int64_t)1 << 20) /* of a thread, what is read and what is made */
#define FEWEST_ROWS 32
#define BESIDE 256 /* elements of a row that is worth leaving beside the next one */
/* Of a thread's scratch memory: the end is for what reductions of few rows keep. */
#define PARTIALS_AT (FUSE_CPU_SCRATCH - FUSE_CPU_PARTIALS)

struct rows {
    struct fuse_cpu_backend *cpu;
    const struct fuse_map_call *call;
    const int *row;
    int calls;
    bool softmax; /* the first three of them are one */
    int column;   /* .. along this index */
    bool stream;  /* .. whose result goes past the caches */
};

/* ---- softmax: most = max x, sum = sum exp(x - most), out = exp(x - most) / sum ---- */

static const struct fuse_scalar_node *argument(const struct fuse_scalar *body, const struct fuse_scalar_node *node,
                                               int which) {
    return &body->node[which == 0 ? node->a : node->b];
}

static bool reads(const struct fuse_map_call *call, const struct fuse_scalar_node *node,
                  const struct fuse_operand_view *view) {
    if (node->op != FUSE_SCALAR_LOAD || node->dtype != view->dtype)
        return false;
    const struct fuse_operand_view *operand = &call->operand[node->arg];
    bool same = operand->data == view->data && operand->dtype == view->dtype;
    for (int x = 0; x < call->indices && same; x++)
        same = call->extent[x] == 1 || operand->stride[x] == view->stride[x];
    return same;
}

/* exp(x - most) */
static bool is_weight(const struct fuse_map_call *call, const struct fuse_scalar_node *node,
                      const struct fuse_operand_view *x, const struct fuse_operand_view *most) {
    if (node->op != FUSE_SCALAR_EXP)
        return false;
    const struct fuse_scalar_node *sub = argument(call->body, node, 0);
    return sub->op == FUSE_SCALAR_SUB && reads(call, argument(call->body, sub, 0), x) &&
           reads(call, argument(call->body, sub, 1), most);
}

static const struct fuse_scalar_node *root(const struct fuse_map_call *call) {
    return &call->body->node[call->body->n - 1];
}

/* All three over the same space: rows, and one index of which elements lie side by side. */
static bool share_space(struct rows *r) {
    const struct fuse_map_call *c = r->call;
    r->column = -1;
    for (int x = 0; x < c->indices; x++) {
        for (int m = 1; m < 3; m++)
            if (c[m].indices != c->indices || c[m].extent[x] != c->extent[x] || r->row[m] != r->row[0])
                return false;
        if (x == r->row[0] || c->extent[x] == 1)
            continue;
        if (r->column >= 0)
            return false;
        r->column = x;
    }
    return r->column >= 0;
}

static bool is_softmax(struct rows *r) {
    const struct fuse_map_call *c = r->call;
    if (r->calls < 3 || !share_space(r) || root(c)->op != FUSE_SCALAR_LOAD)
        return false;
    const struct fuse_operand_view *x = &c->operand[root(c)->arg];
    const uint32_t column = UINT32_C(1) << r->column;
    /* Over its operand, or somewhere else. */
    if (c[2].out.data == x->data && c[2].out.stride[r->row[0]] != x->stride[r->row[0]])
        return false;
    bool is = (x->dtype == FUSE_F32 || x->dtype == FUSE_F64) && x->stride[r->column] == 1 &&
              c[2].out.stride[r->column] == 1 && c[0].reduce == FUSE_REDUCE_MAX && c[1].reduce == FUSE_REDUCE_SUM &&
              c[2].reduce == FUSE_REDUCE_NONE;
    for (int m = 0; m < 3 && is; m++)
        is = c[m].out.dtype == x->dtype && root(&c[m])->dtype == x->dtype && !c[m].accumulate && c[m].order == NULL &&
             ((c[m].in_out & column) == 0) == (m < 2);
    const struct fuse_scalar_node *quotient = root(&c[2]);
    return is && reads(c, root(c), x) && is_weight(&c[1], root(&c[1]), x, &c[0].out) &&
           quotient->op == FUSE_SCALAR_DIV && is_weight(&c[2], argument(c[2].body, quotient, 0), x, &c[0].out) &&
           reads(&c[2], argument(c[2].body, quotient, 1), &c[1].out);
}

static char *at(const struct fuse_operand_view *view, int index, int64_t i) {
    return (char *)view->data + i * view->stride[index] * (int64_t)fuse_dtype_bytes(view->dtype);
}

static void put(const struct fuse_operand_view *view, int index, int64_t i, double value) {
    if (view->dtype == FUSE_F32)
        *(float *)at(view, index, i) = (float)value;
    else
        *(double *)at(view, index, i) = value;
}

/* The largest of a row that has infinities, or NaN then. */
static double most_of_special(const struct rows *r, const char *x, int64_t n, bool is_double) {
    float single = -INFINITY;
    double full = -INFINITY;
    bool overflow = false;
    r->cpu->tile->fold[FUSE_REDUCE_MAX][is_double ? FUSE_TILE_F64 : FUSE_TILE_F32](
        is_double ? (void *)&full : (void *)&single, x, n, &overflow);
    return is_double ? full : (double)single;
}

/* A result that goes past the caches leaves when the next row's exponentials are computed, if its lines are whole: memory would else
 * be idle then, and the processor afterwards. */
static void run_softmax(const struct rows *r, char *scratch, int64_t begin, int64_t end) {
    const struct fuse_map_call *c = r->call;
    const struct fuse_operand_view *in = &c->operand[root(c)->arg];
    const bool is_double = in->dtype == FUSE_F64;
    const size_t bytes = fuse_dtype_bytes(in->dtype);
    const struct fuse_math_rows *kernels = r->cpu->tile->rows[is_double];
    const int row = r->row[0];
    const int64_t n = c->extent[r->column];
    const bool beside = r->stream && n >= BESIDE && (size_t)n * bytes % FUSE_CPU_LINE == 0;
    char *left = NULL; /* the row whose weights are to be scaled yet, by `factor` */
    double factor = 0;
    for (int64_t i = begin; i < end; i++) {
        const char *x = at(in, row, i);
        char *out = at(&c[2].out, row, i), *weights = r->stream ? scratch : out;
        double most = kernels->most(x, n);
        if (!isfinite(most))
            most = most_of_special(r, x, n, is_double);
        const char *next = i + 1 < end ? at(in, row, i + 1) : x;
        double sum = left ? kernels->exp_sum_beside(weights, x, n, most, next, left, factor)
                          : kernels->exp_sum(weights, x, n, most, next);
        factor = 1 / sum;
        left = beside && i + 1 < end && (uintptr_t)out % FUSE_CPU_LINE == 0 ? out : NULL;
        if (!left)
            kernels->scale(out, weights, n, factor, r->stream);
        put(&c[0].out, row, i, isnan(sum) && isfinite(most) ? sum : most);
        put(&c[1].out, row, i, sum);
    }
    if (r->stream)
        fuse_stream_fence();
}

/* ---- blocks ---- */

static enum fuse_status run_block(const struct rows *r, struct fuse_cpu_backend *own, int64_t begin, int64_t end,
                                  struct fuse_cpu_counts *counts, struct fuse_error *err) {
    int first = 0;
    if (r->softmax) {
        run_softmax(r, own->scratch, begin, end);
        first = 3;
    }
    for (int m = first; m < r->calls; m++) {
        struct fuse_operand_view operand[MOST_OPERANDS];
        struct fuse_map_call part = r->call[m];
        for (int o = 0; o < part.operands; o++)
            operand[o] = part.operand[o];
        part.operand = operand;
        fuse_map_narrow(&part, operand, r->row[m], begin, end - begin);
        FUSE_TRY(fuse_cpu_run_map(own, &part, counts, err));
    }
    return FUSE_OK;
}

static int64_t count_blocks(int64_t rows, int64_t points) {
    int64_t block = BLOCK_BYTES / (8 * (points / rows + 1));
    block = block < FEWEST_ROWS ? FEWEST_ROWS : block;
    return rows > block ? rows / block : 1;
}

enum fuse_status fuse_cpu_run_maps(struct fuse_cpu_backend *cpu, const struct fuse_map_call *call, int calls,
                                   const int *row, struct fuse_cpu_counts *counts, struct fuse_error *err) {
    struct rows r = {.cpu = cpu, .call = call, .row = row, .calls = calls};
    int64_t rows = call->extent[row[0]], points = 0;
    for (int m = 0; m < calls; m++) {
        int64_t own = fuse_points(call[m].indices, call[m].extent, UINT32_MAX);
        points = own > points ? own : points;
    }
    if (points == 0) {
        for (int m = 0; m < calls; m++)
            FUSE_TRY(fuse_cpu_run_map(cpu, &call[m], counts, err));
        return FUSE_OK;
    }
    r.softmax = is_softmax(&r);
    r.stream = r.softmax && call[2].out.data != call->operand[root(call)->arg].data &&
               points * (int64_t)fuse_dtype_bytes(call[2].out.dtype) >= FUSE_MAP_LARGE;
    const int64_t blocks = count_blocks(rows, points);
    const int threads = fuse_cpu_threads(cpu, blocks, points);
    enum fuse_status status = FUSE_OK;
    bool overflow = false;
#pragma omp parallel for num_threads(threads) schedule(static, 1) reduction(|| : overflow)
    for (int thread = 0; thread < threads; thread++) {
        struct fuse_cpu_backend own = *cpu;
        struct fuse_cpu_counts own_counts = {0};
        struct fuse_error own_error = {0};
        enum fuse_status own_status = FUSE_OK;
        own.threads = 1;
        own.scratch = cpu->scratch + (size_t)thread * FUSE_CPU_SCRATCH;
        own.partials = own.scratch + PARTIALS_AT;
        for (int64_t b = blocks * thread / threads; b < blocks * (thread + 1) / threads && own_status == FUSE_OK; b++)
            own_status = run_block(&r, &own, fuse_split_begin(rows, blocks, b), fuse_split_begin(rows, blocks, b + 1),
                                   &own_counts, &own_error);
        overflow = overflow || own_counts.overflow;
        if (own_status != FUSE_OK)
#pragma omp critical
        {
            status = own_status;
            *err = own_error;
        }
    }
    counts->overflow |= overflow;
    return status;
}
