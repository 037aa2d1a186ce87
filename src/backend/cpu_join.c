/* Joins. A product of a relation and one dense operand, summed, is a sparse times a dense matrix: rows of the operand are
 * added up, times the tuples' values, along an index in which both lie close together. Everything else is gathered in blocks
 * of points, computed as a map, and reduced point by point. */
#include "backend/call_check.h"
#include "backend/cpu.h"

#include <math.h>
#include <string.h>

#define BLOCK 1024 /* points gathered at a time */

/* ---- what both ways share ---- */

struct join {
    const struct fuse_join_call *call;
    int64_t rows;
    int others, other[FUSE_MAX_AXES]; /* indices that the relation lacks */
    int64_t other_points;
};

static struct join open_join(const struct fuse_join_call *call) {
    struct join j = {.call = call, .rows = 1, .other_points = 1};
    const struct fuse_map_call *at = &call->at;
    int k = 0;
    for (int x = 0; x < at->indices; x++) {
        if (k < call->relation_indices && call->relation_index[k] == x) {
            k++;
            continue;
        }
        j.other[j.others++] = x;
        j.other_points = fuse_sat_mul(j.other_points, at->extent[x]);
    }
    if (call->relation_indices > 0)
        j.rows = at->extent[call->relation_index[0]];
    return j;
}

/* Elements from the origin of a view to its element at a tuple; `in`: the indices that it has. */
static inline int64_t tuple_offset(const struct fuse_join_call *call, const int64_t *stride, uint32_t in, int64_t row,
                                   uint32_t t) {
    int64_t offset = 0;
    for (int k = 0; k < call->relation_indices; k++)
        if (in >> call->relation_index[k] & 1)
            offset += (k == 0 ? row : (int64_t)call->column[k][t]) * stride[call->relation_index[k]];
    return offset;
}

static void write_neutral(void *to, enum fuse_dtype dtype, enum fuse_reduce op) {
    double real = op == FUSE_REDUCE_PROD ? 1 : op == FUSE_REDUCE_MIN ? INFINITY : op == FUSE_REDUCE_MAX ? -INFINITY : 0;
    int64_t integer = op == FUSE_REDUCE_PROD || op == FUSE_REDUCE_AND ? 1
                      : op == FUSE_REDUCE_MIN                         ? INT64_MAX
                      : op == FUSE_REDUCE_MAX                         ? INT64_MIN
                                                                      : 0;
    switch (dtype) {
    case FUSE_F32: *(float *)to = (float)real; break;
    case FUSE_F64: *(double *)to = real; break;
    case FUSE_I64: *(int64_t *)to = integer; break;
    default: *(uint8_t *)to = integer != 0; break;
    }
}

/* Every element of the result becomes the neutral one. */
static void clear_result(const struct fuse_map_call *at) {
    int64_t kept[FUSE_MAX_AXES], here[FUSE_MAX_AXES] = {0};
    int64_t size = (int64_t)fuse_dtype_bytes(at->out.dtype);
    for (int x = 0; x < at->indices; x++)
        kept[x] = at->in_out >> x & 1 ? at->extent[x] : 1;
    bool more = fuse_points(at->indices, kept, UINT32_MAX) > 0;
    while (more) {
        int64_t offset = 0;
        for (int x = 0; x < at->indices; x++)
            offset += here[x] * (at->in_out >> x & 1 ? at->out.stride[x] : 0);
        write_neutral((char *)at->out.data + offset * size, at->out.dtype, at->reduce);
        more = fuse_step(at->indices, kept, here);
    }
}

/* ---- sparse times dense ---- */

/* The body multiplies operand 0 by operand 1, converted to its dtype, and by nothing else. */
static bool is_plain_product(const struct fuse_map_call *at) {
    const struct fuse_scalar *body = at->body;
    int loads = 0, products = 0;
    for (int i = 0; i < body->n; i++) {
        if (body->node[i].op == FUSE_SCALAR_LOAD)
            loads += body->node[i].arg == 0 ? 1 : 16;
        products += body->node[i].op == FUSE_SCALAR_MUL;
        if (body->node[i].op != FUSE_SCALAR_LOAD && body->node[i].op != FUSE_SCALAR_MUL &&
            body->node[i].op != FUSE_SCALAR_CAST)
            return false;
    }
    enum fuse_dtype dtype = at->out.dtype;
    bool real = dtype == FUSE_F32 || dtype == FUSE_F64;
    const struct fuse_operand_view *value = &at->operand[0];
    if (loads != 17 || products != 1 || at->operands != 2 || !real || at->reduce != FUSE_REDUCE_SUM ||
        body->node[body->n - 1].op != FUSE_SCALAR_MUL)
        return false;
    /* A conversion through a third type would round. */
    for (int i = 0; i < body->n; i++)
        if (body->node[i].op == FUSE_SCALAR_CAST && body->node[i].dtype != dtype)
            return false;
    return at->operand[1].dtype == dtype && (value->dtype == dtype || value->dtype == FUSE_BOOL);
}

/* An index that both the result and the operand walk element by element; -1: none. */
static int find_lane(const struct join *j) {
    const struct fuse_map_call *at = &j->call->at;
    int lane = -1;
    for (int k = 0; k < j->others; k++) {
        int x = j->other[k];
        if ((at->in_out >> x & 1) && at->out.stride[x] == 1 && at->operand[1].stride[x] == 1 &&
            (lane < 0 || at->extent[x] > at->extent[lane]))
            lane = x;
    }
    return lane;
}

#define DEFINE_PRODUCT(NAME, TYPE)                                                                                   \
    static void NAME##_row(const struct join *j, int lane, int64_t row) {                                            \
        const struct fuse_join_call *call = j->call;                                                                 \
        const struct fuse_map_call *at = &call->at;                                                                  \
        const TYPE *value = call->value;                                                                             \
        int64_t n = lane < 0 ? 1 : at->extent[lane], extent[FUSE_MAX_AXES];                                          \
        for (int k = 0; k < j->others; k++)                                                                          \
            extent[k] = j->other[k] == lane ? 1 : at->extent[j->other[k]];                                           \
        for (uint32_t t = call->row_begin[row]; t < call->row_begin[row + 1]; t++) {                                 \
            TYPE *out = (TYPE *)at->out.data + tuple_offset(call, at->out.stride, at->in_out, row, t);               \
            const TYPE *in =                                                                                         \
                (const TYPE *)at->operand[1].data + tuple_offset(call, at->operand[1].stride, UINT32_MAX, row, t);   \
            TYPE v = value ? value[t] : (TYPE)1;                                                                     \
            int64_t here[FUSE_MAX_AXES] = {0};                                                                       \
            do {                                                                                                     \
                int64_t to = 0, from = 0;                                                                            \
                for (int k = 0; k < j->others; k++) {                                                                \
                    to += here[k] * (at->in_out >> j->other[k] & 1 ? at->out.stride[j->other[k]] : 0);               \
                    from += here[k] * at->operand[1].stride[j->other[k]];                                            \
                }                                                                                                    \
                TYPE *restrict y = out + to;                                                                         \
                const TYPE *restrict x = in + from;                                                                  \
                for (int64_t i = 0; i < n; i++)                                                                      \
                    y[i] += v * x[i];                                                                                \
            } while (fuse_step(j->others, extent, here));                                                            \
        }                                                                                                            \
    }                                                                                                                \
    static void NAME(struct fuse_cpu_backend *cpu, const struct join *j) {                                           \
        const struct fuse_join_call *call = j->call;                                                                 \
        int lane = find_lane(j);                                                                                     \
        /* Rows are independent when each writes its own part of the result. */                                      \
        bool own = call->relation_indices > 0 && (call->at.in_out >> call->relation_index[0] & 1);                   \
        int64_t steps = fuse_sat_mul(call->row_begin[j->rows], j->other_points);                                     \
        int threads = own ? fuse_cpu_threads(cpu, j->rows, steps) : 1;                                               \
        _Pragma("omp parallel for num_threads(threads) schedule(dynamic, 64)") for (int64_t row = 0; row < j->rows;  \
                                                                                    row++) NAME##_row(j, lane, row); \
    }

DEFINE_PRODUCT(product_f32, float)
DEFINE_PRODUCT(product_f64, double)

/* ---- anything else ---- */

struct block {
    struct fuse_cpu_backend *cpu;
    struct fuse_cpu_counts *counts;
    const struct join *join;
    char *operand[FUSE_MAX_AXES]; /* [BLOCK] elements each */
    char *result;
    int64_t *target; /* [BLOCK] elements from the origin of the result */
    int n;
};

static double smaller(double a, double b) {
    return isnan(a) || a < b ? a : b;
}

static double larger(double a, double b) {
    return isnan(a) || a > b ? a : b;
}

static double reduce_real(enum fuse_reduce op, double a, double b) {
    switch (op) {
    case FUSE_REDUCE_SUM: return a + b;
    case FUSE_REDUCE_PROD: return a * b;
    case FUSE_REDUCE_MIN: return smaller(a, b);
    default: return larger(a, b);
    }
}

static int64_t reduce_integer(enum fuse_reduce op, int64_t a, int64_t b, bool *overflow) {
    int64_t result = 0;
    switch (op) {
    case FUSE_REDUCE_SUM: *overflow |= __builtin_add_overflow(a, b, &result); return result;
    case FUSE_REDUCE_PROD: *overflow |= __builtin_mul_overflow(a, b, &result); return result;
    case FUSE_REDUCE_MIN: return a < b ? a : b;
    case FUSE_REDUCE_MAX: return a > b ? a : b;
    case FUSE_REDUCE_OR: return a || b;
    default: return a && b;
    }
}

static void scatter(struct block *b) {
    const struct fuse_map_call *at = &b->join->call->at;
    void *out = at->out.data;
    for (int i = 0; i < b->n; i++) {
        int64_t t = b->target[i];
        switch (at->out.dtype) {
        case FUSE_F32:
            ((float *)out)[t] =
                (float)reduce_real(at->reduce, (double)((float *)out)[t], (double)((float *)b->result)[i]);
            break;
        case FUSE_F64:
            ((double *)out)[t] = reduce_real(at->reduce, ((double *)out)[t], ((double *)b->result)[i]);
            break;
        case FUSE_I64:
            ((int64_t *)out)[t] =
                reduce_integer(at->reduce, ((int64_t *)out)[t], ((int64_t *)b->result)[i], &b->counts->overflow);
            break;
        default:
            ((uint8_t *)out)[t] = (uint8_t)reduce_integer(at->reduce, ((uint8_t *)out)[t], ((uint8_t *)b->result)[i],
                                                          &b->counts->overflow);
        }
    }
}

static enum fuse_status flush(struct block *b, struct fuse_error *err) {
    const struct fuse_map_call *at = &b->join->call->at;
    struct fuse_operand_view operand[FUSE_MAX_AXES] = {{0}};
    struct fuse_map_call call = {.indices = 1,
                                 .extent = {b->n},
                                 .in_out = 1,
                                 .operands = at->operands,
                                 .operand = operand,
                                 .out = {.data = b->result, .dtype = at->out.dtype, .stride = {1}},
                                 .body = at->body};
    if (b->n == 0)
        return FUSE_OK;
    for (int o = 0; o < at->operands; o++)
        operand[o] = (struct fuse_operand_view){.data = b->operand[o], .dtype = at->operand[o].dtype, .stride = {1}};
    FUSE_TRY(fuse_cpu_run_map(b->cpu, &call, b->counts, err));
    scatter(b);
    b->n = 0;
    return FUSE_OK;
}

static void gather(struct block *b, int o, const void *from) {
    size_t size = fuse_dtype_bytes(b->join->call->at.operand[o].dtype);
    char *to = b->operand[o] + (size_t)b->n * size;
    switch (size) {
    case 8: memcpy(to, from, 8); break;
    case 4: memcpy(to, from, 4); break;
    default: memcpy(to, from, size);
    }
}

/* A tuple with every point of the other indices. */
static enum fuse_status add_tuple(struct block *b, int64_t row, uint32_t t, struct fuse_error *err) {
    const struct join *j = b->join;
    const struct fuse_join_call *call = j->call;
    const struct fuse_map_call *at = &call->at;
    const uint8_t yes = 1;
    int64_t base[FUSE_MAX_AXES], extent[FUSE_MAX_AXES], here[FUSE_MAX_AXES] = {0};
    size_t value_size = fuse_dtype_bytes(at->operand[0].dtype);
    const void *value = call->value ? (const char *)call->value + t * value_size : (const void *)&yes;
    for (int o = 1; o < at->operands; o++)
        base[o] = tuple_offset(call, at->operand[o].stride, UINT32_MAX, row, t);
    int64_t out = tuple_offset(call, at->out.stride, at->in_out, row, t);
    for (int k = 0; k < j->others; k++)
        extent[k] = at->extent[j->other[k]];
    do {
        int64_t target = out;
        gather(b, 0, value);
        for (int o = 1; o < at->operands; o++) {
            int64_t offset = base[o];
            for (int k = 0; k < j->others; k++)
                offset += here[k] * at->operand[o].stride[j->other[k]];
            gather(b, o, (const char *)at->operand[o].data + offset * (int64_t)fuse_dtype_bytes(at->operand[o].dtype));
        }
        for (int k = 0; k < j->others; k++)
            if (at->in_out >> j->other[k] & 1)
                target += here[k] * at->out.stride[j->other[k]];
        b->target[b->n++] = target;
        if (b->n == BLOCK)
            FUSE_TRY(flush(b, err));
    } while (fuse_step(j->others, extent, here));
    return FUSE_OK;
}

static enum fuse_status join_blocks(struct block *b, struct fuse_error *err) {
    const struct fuse_join_call *call = b->join->call;
    for (int64_t row = 0; row < b->join->rows; row++)
        for (uint32_t t = call->row_begin[row]; t < call->row_begin[row + 1]; t++)
            FUSE_TRY(add_tuple(b, row, t, err));
    return flush(b, err);
}

enum fuse_status fuse_cpu_run_join(struct fuse_cpu_backend *cpu, const struct fuse_join_call *call,
                                   struct fuse_cpu_counts *counts, struct fuse_error *err) {
    struct join j = open_join(call);
    if (!call->at.accumulate)
        clear_result(&call->at);
    if (j.other_points == 0 || j.rows == 0)
        return FUSE_OK;
    if (is_plain_product(&call->at)) {
        (call->at.out.dtype == FUSE_F32 ? product_f32 : product_f64)(cpu, &j);
        return FUSE_OK;
    }
    struct block b = {.cpu = cpu, .counts = counts, .join = &j};
    /* Everything is 8 bytes wide at most; the map's own tiles are elsewhere in the scratch. */
    char *at = cpu->partials;
    for (int o = 0; o < call->at.operands; o++, at += 8 * BLOCK)
        b.operand[o] = at;
    b.result = at;
    b.target = (int64_t *)(at + 8 * BLOCK);
    _Static_assert((FUSE_MAX_AXES + 2) * 8 * BLOCK <= FUSE_CPU_PARTIALS, "blocks fit in the partials");
    return join_blocks(&b, err);
}
