/* The oracle: one loop nest per call, one element at a time, in the order of the indices. No speed is wanted here. */
#include "backend/call_check.h"
#include "backend/host_memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef union fuse_scalar_value value;

static enum fuse_status open_backend(struct fuse_backend **out, const struct fuse_backend_options *options,
                                     struct fuse_error *err) {
    if (options->deterministic)
        return fuse_fail(err, FUSE_EUSAGE, "only back end cpu is deterministic");
    struct fuse_backend *backend = calloc(1, sizeof *backend);
    if (backend == NULL)
        return fuse_fail(err, FUSE_EMEMORY, "no memory for a back end");
    backend->ops = &fuse_backend_ref;
    *out = backend;
    return FUSE_OK;
}

static void close_backend(struct fuse_backend *backend) {
    free(backend);
}

static enum fuse_status open_memory(struct fuse_backend *backend, void **base, enum fuse_memkind kind, size_t bytes,
                                    struct fuse_error *err) {
    (void)backend;
    if (kind == FUSE_MEM_DEVICE)
        return fuse_fail(err, FUSE_EBUG, "this back end has no device memory");
    return fuse_host_map(base, bytes, 1, err);
}

static const char *open_shared_memory(struct fuse_backend *backend, void **base, int *file, size_t bytes) {
    (void)backend;
    return fuse_host_map_shared(base, file, bytes, 1);
}

static void close_memory(struct fuse_backend *backend, void *base, enum fuse_memkind kind, size_t bytes) {
    (void)backend;
    (void)kind;
    fuse_host_unmap(base, bytes);
}

static void count_call(struct fuse_queue *queue) {
    struct fuse_host_queue *host = (struct fuse_host_queue *)queue;
    host->calls++;
    host->backend->kernel_calls++;
}

static void fail_later(struct fuse_queue *queue, const char *what) {
    struct fuse_host_queue *host = (struct fuse_host_queue *)queue;
    fuse_fail(&host->failure, FUSE_EFAILED, "integer overflow in %s", what);
}

/* Functions, because gcc 12 reads operands of the builtins again after writing a result that overlaps them. */
static bool add_overflows(int64_t a, int64_t b, int64_t *sum) {
    return __builtin_add_overflow(a, b, sum);
}

static bool mul_overflows(int64_t a, int64_t b, int64_t *product) {
    return __builtin_mul_overflow(a, b, product);
}

static char *element(void *data, enum fuse_dtype dtype, int rank, const int64_t *stride, const int64_t *at,
                     uint32_t mask) {
    int64_t elems = 0;
    for (int x = 0; x < rank; x++)
        if (mask >> x & 1)
            elems += at[x] * stride[x];
    return (char *)data + elems * (int64_t)fuse_dtype_bytes(dtype);
}

/* compute: BOOL, I64, F32 or F64. */
static value read_element(const void *from, enum fuse_dtype dtype, enum fuse_dtype compute) {
    union {
        uint8_t b;
        int64_t i;
        float f;
        double d;
    } got;
    fuse_dtype_convert(&got, compute, from, dtype, 1);
    switch (compute) {
    case FUSE_BOOL: return (value){.integer = got.b};
    case FUSE_I64: return (value){.integer = got.i};
    case FUSE_F32: return (value){.real = (double)got.f};
    default: return (value){.real = got.d};
    }
}

static void write_element(void *to, enum fuse_dtype dtype, value v, enum fuse_dtype compute) {
    if (compute == FUSE_BOOL) {
        uint8_t b = v.integer != 0;
        fuse_dtype_convert(to, dtype, &b, FUSE_BOOL, 1);
    } else if (compute == FUSE_I64) {
        fuse_dtype_convert(to, dtype, &v.integer, FUSE_I64, 1);
    } else if (compute == FUSE_F32) {
        float f = (float)v.real;
        fuse_dtype_convert(to, dtype, &f, FUSE_F32, 1);
    } else {
        fuse_dtype_convert(to, dtype, &v.real, FUSE_F64, 1);
    }
}

static enum fuse_status contract(struct fuse_queue *queue, const struct fuse_contract *call, struct fuse_error *err) {
    FUSE_TRY(fuse_contract_check(call, err));
    count_call(queue);
    enum fuse_dtype type = call->c.dtype;
    /* The space of c outside, the summed indices inside. */
    int64_t kept[FUSE_MAX_AXES], summed[FUSE_MAX_AXES];
    for (int x = 0; x < call->indices; x++) {
        kept[x] = call->in_c >> x & 1 ? call->extent[x] : 1;
        summed[x] = call->in_c >> x & 1 ? 1 : call->extent[x];
    }
    int64_t kept_points = fuse_points(call->indices, kept, UINT32_MAX);
    int64_t summed_points = fuse_points(call->indices, summed, UINT32_MAX);
    ((struct fuse_host_queue *)queue)->backend->contract_flops += 2 * kept_points * summed_points;
    if (kept_points == 0)
        return FUSE_OK;
    bool overflow = false;
    int64_t at[FUSE_MAX_AXES] = {0};
    do {
        char *c = element(call->c.data, type, call->indices, call->c.stride, at, call->in_c);
        value sum = {.integer = 0};
        if (type == FUSE_F32 || type == FUSE_F64)
            sum.real = 0.0;
        if (call->accumulate)
            sum = read_element(c, type, type);
        int64_t inner[FUSE_MAX_AXES] = {0};
        for (int64_t k = 0; k < summed_points; k++) {
            int64_t point[FUSE_MAX_AXES];
            for (int x = 0; x < call->indices; x++)
                point[x] = at[x] + inner[x];
            value a =
                read_element(element(call->a.data, call->a.dtype, call->indices, call->a.stride, point, call->in_a),
                             call->a.dtype, type);
            value b =
                read_element(element(call->b.data, call->b.dtype, call->indices, call->b.stride, point, call->in_b),
                             call->b.dtype, type);
            if (type == FUSE_I64) {
                int64_t product;
                overflow |= mul_overflows(a.integer, b.integer, &product);
                overflow |= add_overflows(sum.integer, product, &sum.integer);
            } else if (type == FUSE_BOOL) {
                sum.integer |= a.integer & b.integer;
            } else {
                sum.real += a.real * b.real;
            }
            fuse_step(call->indices, summed, inner);
        }
        write_element(c, type, sum, type);
    } while (fuse_step(call->indices, kept, at));
    if (overflow)
        fail_later(queue, "a contraction");
    return FUSE_OK;
}

static value neutral(enum fuse_reduce op, enum fuse_dtype type) {
    bool real = type == FUSE_F32 || type == FUSE_F64;
    switch (op) {
    case FUSE_REDUCE_PROD: return real ? (value){.real = 1.0} : (value){.integer = 1};
    case FUSE_REDUCE_MIN: return real ? (value){.real = INFINITY} : (value){.integer = INT64_MAX};
    case FUSE_REDUCE_MAX: return real ? (value){.real = -INFINITY} : (value){.integer = INT64_MIN};
    case FUSE_REDUCE_AND: return (value){.integer = 1};
    default: return real ? (value){.real = 0.0} : (value){.integer = 0};
    }
}

static double smaller(double a, double b) {
    return isnan(a) || a < b ? a : b;
}

static double larger(double a, double b) {
    return isnan(a) || a > b ? a : b;
}

static value reduce_real(enum fuse_reduce op, enum fuse_dtype type, double a, double b) {
    switch (op) {
    case FUSE_REDUCE_SUM: return (value){.real = a + b}; /* F32 in double, rounded by the caller at the end */
    case FUSE_REDUCE_PROD: return (value){.real = type == FUSE_F32 ? (double)(float)(a * b) : a * b};
    case FUSE_REDUCE_MIN: return (value){.real = smaller(a, b)};
    default: return (value){.real = larger(a, b)};
    }
}

static value reduce_integer(enum fuse_reduce op, int64_t a, int64_t b, bool *overflow) {
    value v = {.integer = 0};
    switch (op) {
    case FUSE_REDUCE_SUM: *overflow |= add_overflows(a, b, &v.integer); break;
    case FUSE_REDUCE_PROD: *overflow |= mul_overflows(a, b, &v.integer); break;
    case FUSE_REDUCE_MIN: v.integer = a < b ? a : b; break;
    case FUSE_REDUCE_MAX: v.integer = a > b ? a : b; break;
    case FUSE_REDUCE_OR: v.integer = a || b; break;
    default: v.integer = a && b; break;
    }
    return v;
}

static value reduce(enum fuse_reduce op, enum fuse_dtype type, value a, value b, bool *overflow) {
    if (type == FUSE_F32 || type == FUSE_F64)
        return reduce_real(op, type, a.real, b.real);
    return reduce_integer(op, a.integer, b.integer, overflow);
}

static value evaluate(const struct fuse_map_call *call, const int64_t *at, value *of, bool *overflow) {
    const struct fuse_scalar *body = call->body;
    for (int i = 0; i < body->n; i++) {
        const struct fuse_scalar_node *node = &body->node[i];
        if (node->op == FUSE_SCALAR_LOAD) {
            const struct fuse_operand_view *o = &call->operand[node->arg];
            of[i] = read_element(element(o->data, o->dtype, call->indices, o->stride, at, UINT32_MAX), o->dtype,
                                 node->dtype);
        } else if (node->op == FUSE_SCALAR_IOTA) {
            of[i] = (value){.integer = call->origin[node->arg] + at[node->arg]};
        } else {
            value none = {.integer = 0};
            of[i] = fuse_scalar_eval(node, node->a >= 0 ? body->node[node->a].dtype : node->dtype,
                                     node->a >= 0 ? of[node->a] : none, node->b >= 0 ? of[node->b] : none,
                                     node->c >= 0 ? of[node->c] : none, overflow);
        }
    }
    return of[body->n - 1];
}

static enum fuse_status map(struct fuse_queue *queue, const struct fuse_map_call *call, struct fuse_error *err) {
    FUSE_TRY(fuse_map_check(call, err));
    enum fuse_dtype type = fuse_map_body_dtype(call);
    int64_t kept[FUSE_MAX_AXES], reduced[FUSE_MAX_AXES];
    for (int x = 0; x < call->indices; x++) {
        kept[x] = call->in_out >> x & 1 ? call->extent[x] : 1;
        reduced[x] = call->in_out >> x & 1 ? 1 : call->extent[x];
    }
    int64_t points = fuse_points(call->indices, reduced, UINT32_MAX);
    value *of = malloc((size_t)call->body->n * sizeof *of);
    if (of == NULL)
        return fuse_fail(err, FUSE_EMEMORY, "no memory for %d values", call->body->n);
    count_call(queue);
    bool overflow = false;
    int64_t at[FUSE_MAX_AXES] = {0};
    bool more = fuse_points(call->indices, kept, UINT32_MAX) > 0;
    while (more) {
        char *out = element(call->out.data, call->out.dtype, call->indices, call->out.stride, at, call->in_out);
        value result = neutral(call->reduce, type);
        if (call->accumulate)
            result = reduce(call->reduce, type, result, read_element(out, call->out.dtype, type), &overflow);
        int64_t inner[FUSE_MAX_AXES] = {0};
        for (int64_t r = 0; r < points; r++) {
            int64_t point[FUSE_MAX_AXES];
            for (int x = 0; x < call->indices; x++)
                point[x] = at[x] + inner[x];
            value v = evaluate(call, point, of, &overflow);
            result = call->reduce == FUSE_REDUCE_NONE ? v : reduce(call->reduce, type, result, v, &overflow);
            fuse_step(call->indices, reduced, inner);
        }
        write_element(out, call->out.dtype, result, type);
        more = fuse_step(call->indices, kept, at);
    }
    free(of);
    if (overflow)
        fail_later(queue, "a map");
    return FUSE_OK;
}

/* One tuple with every point of the indices that the relation lacks. */
static void join_tuple(const struct fuse_map_call *call, const int64_t *others, int64_t points, int64_t *at, value *of,
                       bool *overflow) {
    enum fuse_dtype type = fuse_map_body_dtype(call);
    int64_t inner[FUSE_MAX_AXES] = {0};
    for (int64_t p = 0; p < points; p++) {
        int64_t point[FUSE_MAX_AXES];
        for (int x = 0; x < call->indices; x++)
            point[x] = at[x] + inner[x];
        char *out = element(call->out.data, type, call->indices, call->out.stride, point, call->in_out);
        value v =
            reduce(call->reduce, type, read_element(out, type, type), evaluate(call, point, of, overflow), overflow);
        write_element(out, type, v, type);
        fuse_step(call->indices, others, inner);
    }
}

static enum fuse_status join(struct fuse_queue *queue, const struct fuse_join_call *call, struct fuse_error *err) {
    FUSE_TRY(fuse_join_check(call, err));
    struct fuse_map_call at = call->at;
    enum fuse_dtype type = fuse_map_body_dtype(&at);
    struct fuse_operand_view *operand = malloc((size_t)at.operands * sizeof *operand);
    value *of = malloc((size_t)at.body->n * sizeof *of);
    bool overflow = false;
    int64_t kept[FUSE_MAX_AXES], others[FUSE_MAX_AXES], here[FUSE_MAX_AXES] = {0};
    if (!operand || !of) {
        free(operand);
        free(of);
        return fuse_fail(err, FUSE_EMEMORY, "no memory for %d values", at.body->n);
    }
    count_call(queue);
    memcpy(operand, at.operand, (size_t)at.operands * sizeof *operand);
    memset(operand[0].stride, 0, sizeof operand[0].stride);
    at.operand = operand;
    for (int x = 0; x < at.indices; x++) {
        kept[x] = at.in_out >> x & 1 ? at.extent[x] : 1;
        others[x] = at.extent[x];
    }
    for (int k = 0; k < call->relation_indices; k++)
        others[call->relation_index[k]] = 1;
    bool more = !at.accumulate && fuse_points(at.indices, kept, UINT32_MAX) > 0;
    while (more) {
        write_element(element(at.out.data, type, at.indices, at.out.stride, here, at.in_out), type,
                      neutral(at.reduce, type), type);
        more = fuse_step(at.indices, kept, here);
    }
    int64_t rows = call->relation_indices > 0 ? at.extent[call->relation_index[0]] : 1;
    int64_t points = fuse_points(at.indices, others, UINT32_MAX);
    for (int64_t row = 0; row < rows; row++)
        for (uint32_t t = call->row_begin[row]; t < call->row_begin[row + 1]; t++) {
            const uint8_t yes = 1;
            operand[0].data =
                call->value ? (char *)call->value + (size_t)t * fuse_dtype_bytes(operand[0].dtype) : (char *)&yes;
            memset(here, 0, sizeof here);
            for (int k = 0; k < call->relation_indices; k++)
                here[call->relation_index[k]] = k == 0 ? row : call->column[k][t];
            join_tuple(&at, others, points, here, of, &overflow);
        }
    free(operand);
    free(of);
    if (overflow)
        fail_later(queue, "a join");
    return FUSE_OK;
}

/* Scores of the keys at one point of the result, which `at` has; real numbers all of them. */
static void find_scores(double *score, const struct fuse_attention_call *call, int64_t *at, value *of) {
    const enum fuse_dtype type = fuse_map_body_dtype(&call->at);
    const struct fuse_operand_view *operand = call->at.operand;
    const int indices = call->at.indices;
    double product = 0;
    union {
        float f;
        double d;
    } rounded;
    struct fuse_operand_view own[64];
    struct fuse_map_call body = call->at;
    memcpy(own, operand, (size_t)body.operands * sizeof *own);
    own[0] = (struct fuse_operand_view){.data = &rounded, .dtype = type};
    body.operand = own;
    for (int64_t key = 0; key < call->at.extent[call->key]; key++) {
        bool overflow = false;
        at[call->key] = key;
        product = 0;
        for (int64_t k = 0; k < call->at.extent[call->depth]; k++) {
            at[call->depth] = k;
            product +=
                read_element(element(operand[0].data, type, indices, operand[0].stride, at, UINT32_MAX), type, type)
                    .real *
                read_element(element(operand[1].data, type, indices, operand[1].stride, at, UINT32_MAX), type, type)
                    .real;
        }
        if (type == FUSE_F32)
            rounded.f = (float)product;
        else
            rounded.d = product;
        score[key] = evaluate(&body, at, of, &overflow).real;
    }
    at[call->key] = at[call->depth] = 0;
}

static double attend(const struct fuse_attention_call *call, const double *score, int64_t *at) {
    const enum fuse_dtype type = fuse_map_body_dtype(&call->at);
    const struct fuse_operand_view *v = &call->at.operand[2];
    double most = -INFINITY, total = 0, sum = 0;
    const int64_t keys = call->at.extent[call->key];
    for (int64_t key = 0; key < keys; key++)
        most = score[key] > most ? score[key] : most;
    for (int64_t key = 0; key < keys; key++) {
        at[call->key] = key;
        double weight = score[key] == -INFINITY && call->guarded ? 0 : exp(score[key] - most);
        total += weight;
        sum +=
            weight * read_element(element(v->data, type, call->at.indices, v->stride, at, UINT32_MAX), type, type).real;
    }
    at[call->key] = 0;
    return total == 0 && call->guarded ? 0 : sum / total;
}

static enum fuse_status attention(struct fuse_queue *queue, const struct fuse_attention_call *call,
                                  struct fuse_error *err) {
    FUSE_TRY(fuse_attention_check(call, err));
    const struct fuse_map_call *map = &call->at;
    const enum fuse_dtype type = fuse_map_body_dtype(map);
    int64_t kept[FUSE_MAX_AXES], at[FUSE_MAX_AXES] = {0};
    for (int x = 0; x < map->indices; x++)
        kept[x] = map->in_out >> x & 1 ? map->extent[x] : 1;
    if (map->operands > 64)
        return fuse_fail(err, FUSE_EBUG, "attention: %d operands", map->operands);
    double *score = malloc((size_t)(map->extent[call->key] + 1) * sizeof *score);
    value *of = malloc((size_t)map->body->n * sizeof *of);
    bool more = fuse_points(map->indices, kept, UINT32_MAX) > 0;
    if (score == NULL || of == NULL) {
        free(of);
        free(score);
        return fuse_fail(err, FUSE_EMEMORY, "no memory for the scores of a query");
    }
    count_call(queue);
    while (more) {
        find_scores(score, call, at, of);
        value result = {.real = attend(call, score, at)};
        write_element(element(map->out.data, type, map->indices, map->out.stride, at, map->in_out), type, result, type);
        more = fuse_step(map->indices, kept, at);
    }
    free(of);
    free(score);
    return FUSE_OK;
}

static enum fuse_status copy(struct fuse_queue *queue, const struct fuse_view *to, const struct fuse_view *from,
                             int64_t whole_bytes, struct fuse_error *err) {
    (void)whole_bytes;
    FUSE_TRY(fuse_view_check(to, from, err));
    count_call(queue);
    int64_t at[FUSE_MAX_AXES] = {0};
    if (fuse_points(to->rank, to->extent, UINT32_MAX) == 0)
        return FUSE_OK;
    do {
        memcpy(element(to->data, to->dtype, to->rank, to->stride, at, UINT32_MAX),
               element(from->data, from->dtype, from->rank, from->stride, at, UINT32_MAX), fuse_dtype_bytes(to->dtype));
    } while (fuse_step(to->rank, to->extent, at));
    return FUSE_OK;
}

static enum fuse_status combine(struct fuse_queue *queue, enum fuse_reduce op, const struct fuse_view *to,
                                const struct fuse_view *from, struct fuse_error *err) {
    FUSE_TRY(fuse_combine_check(op, to, from, err));
    count_call(queue);
    enum fuse_dtype type = fuse_dtype_compute(to->dtype);
    int64_t at[FUSE_MAX_AXES] = {0};
    bool overflow = false;
    if (fuse_points(to->rank, to->extent, UINT32_MAX) == 0)
        return FUSE_OK;
    do {
        char *t = element(to->data, to->dtype, to->rank, to->stride, at, UINT32_MAX);
        char *f = element(from->data, from->dtype, from->rank, from->stride, at, UINT32_MAX);
        value v = reduce(op, type, read_element(t, to->dtype, type), read_element(f, from->dtype, type), &overflow);
        write_element(t, to->dtype, v, type);
    } while (fuse_step(to->rank, to->extent, at));
    if (overflow)
        fail_later(queue, "a combination of partial results");
    return FUSE_OK;
}

static enum fuse_status clear(struct fuse_queue *queue, const struct fuse_view *to, struct fuse_error *err) {
    FUSE_TRY(fuse_view_check(to, NULL, err));
    count_call(queue);
    int64_t at[FUSE_MAX_AXES] = {0};
    if (fuse_points(to->rank, to->extent, UINT32_MAX) == 0)
        return FUSE_OK;
    do {
        memset(element(to->data, to->dtype, to->rank, to->stride, at, UINT32_MAX), 0, fuse_dtype_bytes(to->dtype));
    } while (fuse_step(to->rank, to->extent, at));
    return FUSE_OK;
}

const struct fuse_backend_ops fuse_backend_ref = {
    .name = "ref",
    .kind = FUSE_MEM_HOST,
    .open = open_backend,
    .close = close_backend,
    .memory_open = open_memory,
    .memory_open_shared = open_shared_memory,
    .memory_close = close_memory,
    .queue_open = fuse_host_queue_open,
    .contract = contract,
    .map = map,
    .join = join,
    .attention = attention,
    .copy = copy,
    .combine = combine,
    .clear = clear,
    .transfer = fuse_host_transfer,
};
