/* Reductions of maps in a fixed order. The body is evaluated at a block of points as an element-wise map, into memory that stays
 * in the cache: as many rows of the result as there is room for, and of each a run of whole chunks.
 *
 *             one chunk  one chunk
 *   row 0   |..........|..........|      points[row][term]: the terms of a row lie in the order of core/chunks.h
 *   row 1   |..........|..........|                                                                                      */
#include "backend/call_check.h"
#include "backend/cpu_ordered.h"

#include <string.h>

#define LANES FUSE_ORDERED_LANES
/* Elements of 8 bytes at most; the rest of the partials are slots. */
#define POINTS ((int64_t)(FUSE_CPU_PARTIALS / 2 / 8))
#define SUMS POINTS

struct ordered_map {
    struct fuse_ordered_walk walk;
    struct fuse_cpu_backend *cpu;
    struct fuse_cpu_counts *counts;
    const struct fuse_map_call *call;
    struct fuse_chunks chunks;
    enum fuse_dtype type; /* of the body */
    size_t bytes;
    int64_t chunk_terms; /* of a whole chunk */
    char *points, *slot;
    /* The rows at work: a box of the kept indices. */
    int kept, kept_index[FUSE_MAX_AXES];
    int64_t begin[FUSE_MAX_AXES], extent[FUSE_MAX_AXES], rows, most_rows;
    enum fuse_status status;
    struct fuse_error *err;
};

/* ---- one chunk ---- */

#define JOIN_LANES(op)                                 \
    for (int width = LANES / 2; width > 0; width /= 2) \
        for (int l = 0; l < width; l++)                \
            lane[l] = lane[l] op lane[l + width];

#define CHUNK(name, type, start, op)                      \
    static double name(const void *from_, int64_t n) {    \
        const type *from = from_;                         \
        double lane[LANES];                               \
        int64_t i = 0;                                    \
        for (int l = 0; l < LANES; l++)                   \
            lane[l] = start;                              \
        for (; i + LANES <= n; i += LANES)                \
            for (int l = 0; l < LANES; l++)               \
                lane[l] = lane[l] op(double) from[i + l]; \
        for (int l = 0; i + l < n; l++)                   \
            lane[l] = lane[l] op(double) from[i + l];     \
        JOIN_LANES(op)                                    \
        return lane[0];                                   \
    }
CHUNK(sum_f32, float, 0, +)
CHUNK(sum_f64, double, 0, +)
CHUNK(product_f32, float, 1, *)
CHUNK(product_f64, double, 1, *)

/* The tree over the chunks of one row, in the precision of the body. */
static double fold_row(const struct ordered_map *m, const char *row, int64_t chunks, int64_t terms) {
    double (*fold)(const void *, int64_t) = m->type == FUSE_F32
                                                ? (m->call->reduce == FUSE_REDUCE_SUM ? sum_f32 : product_f32)
                                                : (m->call->reduce == FUSE_REDUCE_SUM ? sum_f64 : product_f64);
    if (chunks == 1) {
        double sum = fold(row, terms);
        return m->type == FUSE_F32 ? (double)(float)sum : sum;
    }
    int64_t half = fuse_chunks_half(chunks), first = half * m->chunk_terms;
    double a = fold_row(m, row, half, first),
           b = fold_row(m, row + (size_t)first * m->bytes, chunks - half, terms - first);
    double both = m->call->reduce == FUSE_REDUCE_SUM ? a + b : a * b;
    return m->type == FUSE_F32 ? (double)(float)both : both;
}

/* ---- blocks ---- */

static void narrow(struct fuse_map_call *part, struct fuse_operand_view *operand, int index, int64_t begin,
                   int64_t extent) {
    part->origin[index] += begin;
    part->extent[index] = extent;
    for (int o = 0; o < part->operands; o++)
        operand[o].data =
            (char *)operand[o].data + begin * operand[o].stride[index] * (int64_t)fuse_dtype_bytes(operand[o].dtype);
}

static void make(struct fuse_ordered_walk *walk, int slot, const int64_t *leaf, int64_t leaves) {
    struct ordered_map *m = (struct ordered_map *)walk;
    enum { MOST_OPERANDS = 64 };
    struct fuse_operand_view operand[MOST_OPERANDS];
    struct fuse_map_call part = *m->call;
    if (m->status != FUSE_OK)
        return;
    memcpy(operand, m->call->operand, (size_t)part.operands * sizeof *operand);
    part.operand = operand;
    part.order = NULL;
    part.reduce = FUSE_REDUCE_NONE;
    part.in_out = part.indices == 32 ? UINT32_MAX : (UINT32_C(1) << part.indices) - 1;
    part.out = (struct fuse_operand_view){.data = m->points, .dtype = m->type};
    int64_t stride = 1;
    for (int l = m->chunks.levels - 1; l >= 0; l--) {
        int index = m->chunks.index[l];
        int64_t first = leaf[l] * m->chunks.block[l], left = m->call->extent[index] - first;
        int64_t most = m->chunks.block[l] * (l == walk->last ? leaves : 1);
        narrow(&part, operand, index, first, left < most ? left : most);
        part.out.stride[index] = stride;
        stride *= part.extent[index];
    }
    const int64_t terms = stride;
    for (int i = m->kept - 1; i >= 0; i--) {
        int index = m->kept_index[i];
        narrow(&part, operand, index, m->begin[i], m->extent[i]);
        part.out.stride[index] = stride;
        stride *= part.extent[index];
    }
    m->status = fuse_cpu_run_map(m->cpu, &part, m->counts, m->err);
    double *sum = (double *)m->slot + (size_t)slot * (size_t)m->most_rows;
    const int threads = fuse_cpu_threads(m->cpu, m->rows, m->rows * terms);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t r = 0; r < m->rows; r++)
        sum[r] = fold_row(m, m->points + (size_t)(r * terms) * m->bytes, leaves, terms);
}

static void join(struct fuse_ordered_walk *walk, int slot) {
    struct ordered_map *m = (struct ordered_map *)walk;
    double *to = (double *)m->slot + (size_t)slot * (size_t)m->most_rows, *from = to + m->most_rows;
    for (int64_t r = 0; r < m->rows; r++) {
        double both = m->call->reduce == FUSE_REDUCE_SUM ? to[r] + from[r] : to[r] * from[r];
        to[r] = m->type == FUSE_F32 ? (double)(float)both : both;
    }
}

static void store(const struct ordered_map *m) {
    const struct fuse_operand_view *out = &m->call->out;
    fuse_tile_store *put = m->cpu->tile->store[fuse_tile_class(m->type)][out->dtype];
    int64_t at[FUSE_MAX_AXES] = {0};
    const double *sum = (const double *)m->slot;
    for (int64_t r = 0; r < m->rows; r++) {
        int64_t offset = 0;
        float single = (float)sum[r];
        for (int i = 0; i < m->kept; i++)
            offset += (m->begin[i] + at[i]) * out->stride[m->kept_index[i]];
        put((char *)out->data + offset * (int64_t)fuse_dtype_bytes(out->dtype), 1,
            m->type == FUSE_F32 ? (const void *)&single : (const void *)&sum[r], 1);
        fuse_step(m->kept, m->extent, at);
    }
}

/* ---- all of it ---- */

static void run_box(struct ordered_map *m) {
    if (fuse_points(m->call->indices, m->call->extent, ~m->call->in_out) == 0) {
        for (int64_t r = 0; r < m->rows; r++)
            ((double *)m->slot)[r] = m->call->reduce == FUSE_REDUCE_PROD;
    } else {
        int64_t run = POINTS / m->rows / m->chunk_terms;
        fuse_ordered_open(&m->walk, &m->chunks, run);
        fuse_ordered_sum(&m->walk);
    }
    if (m->status == FUSE_OK)
        store(m);
}

enum fuse_status fuse_cpu_run_ordered_map(struct fuse_cpu_backend *cpu, const struct fuse_map_call *call,
                                          struct fuse_cpu_counts *counts, struct fuse_error *err) {
    struct ordered_map m = {.walk = {.make = make, .join = join},
                            .cpu = cpu,
                            .counts = counts,
                            .call = call,
                            .chunks = *call->order,
                            .type = fuse_map_body_dtype(call),
                            .points = cpu->partials,
                            .slot = cpu->partials + POINTS * 8,
                            .chunk_terms = 1,
                            .err = err};
    if (call->accumulate)
        return fuse_fail(err, FUSE_EBUG, "a sum in order that goes on");
    if (fuse_points(call->indices, call->extent, call->in_out) == 0)
        return FUSE_OK;
    m.bytes = fuse_dtype_bytes(m.type);
    if (m.chunks.levels == 0) {
        struct fuse_map_call elements = *call;
        elements.reduce = FUSE_REDUCE_NONE;
        elements.order = NULL;
        return fuse_cpu_run_map(cpu, &elements, counts, err);
    }
    m.chunks.leaves[0] = (call->extent[m.chunks.index[0]] + m.chunks.block[0] - 1) / m.chunks.block[0];
    for (int l = 0; l < m.chunks.levels; l++)
        m.chunk_terms *= m.chunks.block[l];
    /* Boxes of kept points: cut as chunks are, so that one has as many rows as there is room for. */
    struct fuse_chunks boxes;
    int slots = fuse_chunks_depth(&m.chunks) + 1;
    m.most_rows = SUMS / slots < POINTS / m.chunk_terms ? SUMS / slots : POINTS / m.chunk_terms;
    int64_t kept_extent[FUSE_MAX_AXES];
    for (int i = 0; i < call->indices; i++)
        if (call->in_out >> i & 1) {
            kept_extent[m.kept] = call->extent[i];
            m.kept_index[m.kept++] = i;
        }
    fuse_chunks_make(&boxes, m.kept, kept_extent, m.kept == 32 ? UINT32_MAX : (UINT32_C(1) << m.kept) - 1, m.most_rows);
    int64_t at[FUSE_MAX_AXES] = {0};
    do {
        m.rows = 1;
        for (int l = 0; l < boxes.levels; l++) {
            int i = boxes.index[l];
            m.begin[i] = at[l] * boxes.block[l];
            m.extent[i] = kept_extent[i] - m.begin[i] < boxes.block[l] ? kept_extent[i] - m.begin[i] : boxes.block[l];
            m.rows *= m.extent[i];
        }
        run_box(&m);
    } while (m.status == FUSE_OK && fuse_step(boxes.levels, boxes.leaves, at));
    return m.status;
}

enum fuse_status fuse_cpu_drop_zero_signs(struct fuse_cpu_backend *cpu, const struct fuse_map_call *call,
                                          struct fuse_cpu_counts *counts, struct fuse_error *err) {
    enum fuse_dtype type = fuse_map_body_dtype(call);
    if ((call->reduce != FUSE_REDUCE_MIN && call->reduce != FUSE_REDUCE_MAX) || (type != FUSE_F32 && type != FUSE_F64))
        return FUSE_OK;
    struct fuse_scalar_node node[] = {{.op = FUSE_SCALAR_LOAD, .dtype = type, .a = -1, .b = -1, .c = -1, .arg = 0},
                                      {.op = FUSE_SCALAR_CONST, .dtype = type, .a = -1, .b = -1, .c = -1},
                                      {.op = FUSE_SCALAR_ADD, .dtype = type, .a = 0, .b = 1, .c = -1}};
    const struct fuse_scalar body = {.n = 3, .node = node};
    struct fuse_map_call add = {.operands = 1,
                                .operand = &call->out,
                                .body = &body,
                                .reduce = FUSE_REDUCE_NONE,
                                .out = {.data = call->out.data}};
    add.out.dtype = call->out.dtype;
    struct fuse_operand_view old = {.data = call->out.data, .dtype = call->out.dtype};
    for (int i = 0; i < call->indices; i++)
        if (call->in_out >> i & 1) {
            int at = add.indices++;
            add.extent[at] = call->extent[i];
            add.out.stride[at] = old.stride[at] = call->out.stride[i];
            add.in_out |= UINT32_C(1) << at;
        }
    add.operand = &old;
    return fuse_cpu_run_map(cpu, &add, counts, err);
}
