/* Joins. A product of a relation and one dense operand, summed, is a sparse times a dense matrix, in one of two ways:
 *   row by row    all tuples of a row add to the same part of the result, whose sums stay in registers, in double;
 *   spread        a tuple adds to a part of its own, along an index in which result and operand both lie close together.
 * Everything else is gathered in blocks of points, computed as a map, and reduced point by point. */
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
static bool is_plain_product(const struct fuse_join_call *call) {
    const struct fuse_map_call *at = &call->at;
    const struct fuse_scalar *body = at->body;
    enum fuse_dtype dtype = at->out.dtype;
    int loads[2] = {0}, products = 0;
    if (at->operands != 2 || at->reduce != FUSE_REDUCE_SUM || (dtype != FUSE_F32 && dtype != FUSE_F64))
        return false;
    for (int i = 0; i < body->n; i++) {
        const struct fuse_scalar_node *node = &body->node[i];
        bool load = node->op == FUSE_SCALAR_LOAD;
        if (!load && node->op != FUSE_SCALAR_MUL && node->op != FUSE_SCALAR_CAST)
            return false;
        /* A conversion through a third type would round. */
        if (node->dtype != dtype && !(load && node->dtype == at->operand[node->arg].dtype))
            return false;
        if (load)
            loads[node->arg]++;
        products += node->op == FUSE_SCALAR_MUL;
    }
    enum fuse_dtype value = call->value ? dtype : FUSE_BOOL;
    return loads[0] == 1 && loads[1] == 1 && products == 1 && body->node[body->n - 1].op == FUSE_SCALAR_MUL &&
           at->operand[0].dtype == value && at->operand[1].dtype == dtype;
}

static int threads_for_rows(const struct fuse_cpu_backend *cpu, const struct join *j) {
    return fuse_cpu_threads(cpu, j->rows, fuse_sat_mul(j->call->row_begin[j->rows], j->other_points));
}

/* Every tuple of a row adds to the same part of the result, and the rows' parts are apart. *column: the relation's index that
 * the operand has besides, or 0. */
static bool is_row_by_row(const struct join *j, int *column) {
    const struct fuse_join_call *call = j->call;
    const struct fuse_map_call *at = &call->at;
    *column = 0;
    if (call->relation_indices == 0 || !(at->in_out >> call->relation_index[0] & 1))
        return false;
    for (int k = 0; k < j->others; k++)
        if (!(at->in_out >> j->other[k] & 1)) /* sums of its own, which have no order among the tuples */
            return false;
    for (int k = 1; k < call->relation_indices; k++) {
        int x = call->relation_index[k];
        if ((at->in_out >> x & 1) || (at->operand[1].stride[x] != 0 && *column > 0))
            return false;
        if (at->operand[1].stride[x] != 0)
            *column = k;
    }
    return true;
}

/* Part of a row of the result: `width` elements along the index `lane` from the offset `out` on, those of the operand from
 * `in` on; lane -1: a single one. */
static void add_part(const struct fuse_cpu_backend *cpu, const struct join *j, int column, int lane, int64_t width,
                     int64_t out, int64_t in, int64_t row) {
    const struct fuse_join_call *call = j->call;
    const struct fuse_map_call *at = &call->at;
    const bool narrow = at->out.dtype == FUSE_F32;
    const int64_t size = narrow ? sizeof(float) : sizeof(double), begin = call->row_begin[row];
    const int64_t to = lane < 0 ? 0 : at->out.stride[lane],
                  stride = at->operand[1].stride[call->relation_index[column]];
    const char *value = call->value ? (const char *)call->value + begin * size : NULL;
    double sum[FUSE_TILE];
    for (int64_t done = 0; done < width; done += FUSE_TILE) {
        const int64_t n = width - done < FUSE_TILE ? width - done : FUSE_TILE;
        char *y = (char *)at->out.data + (out + done * to) * size;
        for (int64_t i = 0; i < n; i++)
            sum[i] = !at->accumulate ? 0 : narrow ? (double)((float *)y)[i * to] : ((double *)y)[i * to];
        (narrow ? cpu->tile->add_rows_f32
                : cpu->tile->add_rows_f64)(sum, n, (const char *)at->operand[1].data + (in + done) * size, stride,
                                           column > 0 ? call->column[column] + begin : NULL, value,
                                           call->row_begin[row + 1] - begin, call->row_begin[j->rows] - begin);
        for (int64_t i = 0; i < n; i++)
            if (narrow)
                ((float *)y)[i * to] = (float)sum[i];
            else
                ((double *)y)[i * to] = sum[i];
    }
}

/* Sums of a row are kept in double. */
static void add_row(const struct fuse_cpu_backend *cpu, const struct join *j, int column, int lane, int64_t row) {
    const struct fuse_map_call *at = &j->call->at;
    int first = j->call->relation_index[0];
    int64_t extent[FUSE_MAX_AXES], here[FUSE_MAX_AXES] = {0};
    for (int k = 0; k < j->others; k++)
        extent[k] = j->other[k] == lane ? 1 : at->extent[j->other[k]];
    do {
        int64_t out = row * at->out.stride[first], in = row * at->operand[1].stride[first];
        for (int k = 0; k < j->others; k++) {
            out += here[k] * at->out.stride[j->other[k]];
            in += here[k] * at->operand[1].stride[j->other[k]];
        }
        add_part(cpu, j, column, lane, lane < 0 ? 1 : at->extent[lane], out, in, row);
    } while (fuse_step(j->others, extent, here));
}

static void add_rows(struct fuse_cpu_backend *cpu, const struct join *j, int column) {
    const struct fuse_join_call *call = j->call;
    int lane = -1, threads = threads_for_rows(cpu, j);
    for (int k = 0; k < j->others; k++)
        if (call->at.operand[1].stride[j->other[k]] == 1 &&
            (lane < 0 || call->at.extent[j->other[k]] > call->at.extent[lane]))
            lane = j->other[k];
#pragma omp parallel for num_threads(threads) schedule(dynamic, 64)
    for (int64_t row = 0; row < j->rows; row++)
        if (!call->at.accumulate || call->row_begin[row] < call->row_begin[row + 1])
            add_row(cpu, j, column, lane, row);
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

#define DEFINE_SPREAD(NAME, TYPE)                                                                                    \
    static void NAME##_row(const struct join *j, int lane, int64_t row) {                                            \
        const struct fuse_join_call *call = j->call;                                                                 \
        const struct fuse_map_call *at = &call->at;                                                                  \
        const TYPE *value = call->value;                                                                             \
        int64_t n = at->extent[lane], extent[FUSE_MAX_AXES];                                                         \
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
    static void NAME(struct fuse_cpu_backend *cpu, const struct join *j, int lane) {                                 \
        const struct fuse_join_call *call = j->call;                                                                 \
        /* Rows are independent when each writes its own part of the result. */                                      \
        bool own = call->relation_indices > 0 && (call->at.in_out >> call->relation_index[0] & 1);                   \
        int threads = own ? threads_for_rows(cpu, j) : 1;                                                            \
        _Pragma("omp parallel for num_threads(threads) schedule(dynamic, 64)") for (int64_t row = 0; row < j->rows;  \
                                                                                    row++) NAME##_row(j, lane, row); \
    }

DEFINE_SPREAD(spread_f32, float)
DEFINE_SPREAD(spread_f64, double)

/* ---- anything else ---- */

struct block {
    struct fuse_cpu_backend *cpu;
    struct fuse_cpu_counts *counts;
    const struct join *join;
    char *operand[FUSE_MAX_AXES]; /* [BLOCK] elements each */
    char *result;
    int64_t *target; /* [BLOCK] elements from the origin of the result */
    int n;
    /* Sums of F32 stay in double while they meet the same target. */
    bool has_sum;
    double sum;
    int64_t summed; /* its target */
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

static void end_sum(struct block *b) {
    if (b->has_sum)
        ((float *)b->join->call->at.out.data)[b->summed] = (float)b->sum;
    b->has_sum = false;
}

static void scatter_sums(struct block *b) {
    const float *out = b->join->call->at.out.data, *result = (const float *)b->result;
    for (int i = 0; i < b->n; i++) {
        if (!b->has_sum || b->summed != b->target[i]) {
            end_sum(b);
            b->has_sum = true;
            b->summed = b->target[i];
            b->sum = (double)out[b->summed];
        }
        b->sum += (double)result[i];
    }
}

static void scatter(struct block *b) {
    const struct fuse_map_call *at = &b->join->call->at;
    void *out = at->out.data;
    /* A sum that goes on in F64 while one result follows itself would depend on which results this rank has. */
    if (at->out.dtype == FUSE_F32 && at->reduce == FUSE_REDUCE_SUM && !b->cpu->deterministic) {
        scatter_sums(b);
        return;
    }
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
    FUSE_TRY(flush(b, err));
    end_sum(b);
    return FUSE_OK;
}

enum fuse_status fuse_cpu_run_join(struct fuse_cpu_backend *cpu, const struct fuse_join_call *call,
                                   struct fuse_cpu_counts *counts, struct fuse_error *err) {
    struct join j = open_join(call);
    const bool product = is_plain_product(call) && !cpu->deterministic;
    int column, lane = product ? find_lane(&j) : -1;
    if (product && j.other_points > 0 && is_row_by_row(&j, &column)) {
        add_rows(cpu, &j, column);
        return FUSE_OK;
    }
    if (!call->at.accumulate)
        clear_result(&call->at);
    if (j.other_points == 0 || j.rows == 0)
        return FUSE_OK;
    if (lane >= 0) {
        (call->at.out.dtype == FUSE_F32 ? spread_f32 : spread_f64)(cpu, &j, lane);
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
