/* Contractions of reals in a fixed order. A block of the result at a time: the products of its chunks are computed one after
 * the other and join along the tree, level by level, in slots of a thread's scratch memory.
 *
 *   scratch   |  a's chunk  |  b's chunk  | room of the product |
 *
 * Chunks are packed in panels, so that the product meets them at any stride of the operands alike. */
#include "backend/cpu_ordered.h"

#include "backend/call_check.h"
#include "backend/cpu_contract.h"
#include "backend/cpu_walk.h"

#include <omp.h>
#include <string.h>

#define ROWS 12   /* of a panel of a: what the product likes */
#define TERMS 128 /* that it goes through at a time: panels of a and b are in the nearest cache then, both */
#define MOST_ROWS ((int64_t)504)
#define MOST_COLUMNS 1024
#define A_BYTES ((size_t)MOST_ROWS * FUSE_CHUNK * 8)
#define B_BYTES ((size_t)1 << 20)

/* ---- the tree ---- */

void fuse_ordered_open(struct fuse_ordered_walk *walk, const struct fuse_chunks *chunks, int64_t run) {
    walk->chunks = chunks;
    walk->last = 0;
    walk->run = run > 1 ? run : 1;
    for (int l = 0; l < chunks->levels; l++) {
        walk->at[l] = 0;
        walk->last = chunks->leaves[l] > 1 ? l : walk->last;
    }
}

static void sum_node(struct fuse_ordered_walk *walk, int level, int64_t lo, int64_t hi, int slot) {
    walk->at[level] = lo;
    if (level == walk->last && hi - lo <= walk->run) {
        walk->make(walk, slot, walk->at, hi - lo);
        return;
    }
    if (hi - lo == 1) {
        sum_node(walk, level + 1, 0, walk->chunks->leaves[level + 1], slot);
        return;
    }
    int64_t middle = lo + fuse_chunks_half(hi - lo);
    sum_node(walk, level, lo, middle, slot);
    if (walk->add && level == walk->last && hi - middle <= walk->run) {
        walk->at[level] = middle;
        walk->add(walk, slot, walk->at, hi - middle);
        return;
    }
    sum_node(walk, level, middle, hi, slot + 1);
    walk->join(walk, slot);
}

void fuse_ordered_sum(struct fuse_ordered_walk *walk) {
    sum_node(walk, 0, 0, walk->chunks->leaves[0], 0);
}

/* ---- products ---- */

static inline float fuse_f32(float a, float b, float c) {
    return __builtin_fmaf(a, b, c);
}

static inline double fuse_f64(double a, double b, double c) {
    return __builtin_fma(a, b, c);
}

/* For processors without vectors of fused additions. */
#define PLAIN_PRODUCT(type, letter)                                                                                 \
    static void plain_product_##letter(int64_t m, int64_t n, int64_t depth, const void *a_, int64_t a_row,          \
                                       int64_t a_column, const void *b_, int64_t b_row, int64_t b_column, void *c_, \
                                       int64_t ldc, bool add, void *room) {                                         \
        const type *a = a_, *b = b_;                                                                                \
        type *c = c_;                                                                                               \
        (void)room;                                                                                                 \
        for (int64_t i = 0; i < m; i++) {                                                                           \
            for (int64_t j = 0; j < n && !add; j++)                                                                 \
                c[i * ldc + j] = 0;                                                                                 \
            for (int64_t k = 0; k < depth; k++)                                                                     \
                for (int64_t j = 0; j < n; j++)                                                                     \
                    c[i * ldc + j] =                                                                                \
                        fuse_##letter(a[i * a_row + k * a_column], b[k * b_row + j * b_column], c[i * ldc + j]);    \
        }                                                                                                           \
    }
PLAIN_PRODUCT(float, f32)
PLAIN_PRODUCT(double, f64)

static int64_t vector_bytes(const struct fuse_tile_table *tile) {
    return strcmp(tile->isa, "avx512") == 0 ? 64 : strcmp(tile->isa, "avx2") == 0 ? 32 : 16;
}

/* With fused additions on every processor. */
static fuse_tile_product *product_of(const struct fuse_tile_table *tile, enum fuse_dtype type) {
    if (vector_bytes(tile) > 16)
        return tile->product[FUSE_SUM_TIMES][type == FUSE_F64];
    return type == FUSE_F32 ? plain_product_f32 : plain_product_f64;
}

/* ---- contractions ---- */

/* The axes of one group of indices, outermost first; strides are in elements. */
struct group {
    int axes, index[FUSE_MAX_AXES];
    int64_t points;
};

struct ordered {
    const struct fuse_contract *call;
    struct fuse_chunks chunks; /* of this call: as many leaves as it has */
    fuse_tile_product *product;
    fuse_tile_load *load_a, *load_b;
    fuse_tile_store *store;
    size_t bytes, a_bytes, b_bytes;
    struct group batch, m, n;
    int64_t rows, columns; /* of a block */
    int64_t ld;            /* of it in a slot: rows do not lie a power of two apart */
    int64_t width;         /* of a panel of b: two vectors */
};

/* A block of the result in one thread. */
struct block {
    struct fuse_ordered_walk walk;
    const struct ordered *x;
    char *slot, *packed_a, *packed_b, *room;
    const char *a, *b; /* at the block's batch point */
    int64_t row, rows, column, columns;
};

static void add_axis(struct group *g, int index, int64_t extent) {
    g->index[g->axes++] = index;
    g->points *= extent;
}

static int64_t size_of(int64_t stride) {
    return stride < 0 ? -stride : stride;
}

/* Outermost first along the result. */
static void sort_axes(struct group *g, const int64_t *stride) {
    for (int i = 1; i < g->axes; i++) {
        int x = g->index[i], j = i;
        for (; j > 0 && size_of(stride[g->index[j - 1]]) < size_of(stride[x]); j--)
            g->index[j] = g->index[j - 1];
        g->index[j] = x;
    }
}

static struct fuse_walk walk_of(const struct fuse_contract *call, const struct group *g, const int64_t *stride) {
    struct fuse_walk walk;
    int64_t extent[FUSE_MAX_AXES], along[FUSE_MAX_AXES];
    for (int i = 0; i < g->axes; i++) {
        extent[i] = call->extent[g->index[i]];
        along[i] = stride[g->index[i]];
    }
    fuse_walk_make(&walk, g->axes, extent, along);
    return walk;
}

/* The terms of a chunk, in their order, as one operand's elements; *start is where the chunk begins. */
static struct fuse_walk terms_of(const struct ordered *x, const int64_t *leaf, const int64_t *stride, int64_t *start,
                                 int64_t *terms) {
    struct fuse_walk walk;
    int64_t extent[FUSE_MAX_AXES], along[FUSE_MAX_AXES];
    *start = 0;
    *terms = 1;
    for (int l = 0; l < x->chunks.levels; l++) {
        int index = x->chunks.index[l];
        int64_t first = leaf[l] * x->chunks.block[l], left = x->call->extent[index] - first;
        extent[l] = left < x->chunks.block[l] ? left : x->chunks.block[l];
        along[l] = stride[index];
        *start += first * stride[index];
        *terms *= extent[l];
    }
    fuse_walk_make(&walk, x->chunks.levels, extent, along);
    return walk;
}

/* Elements of one line, along a walk from position `first`, as a dense row: where they lie if they do so, else copied to `to`.
 * Of a line that is to come, `next` is the begin, or NULL. */
static const char *gather(char *to, size_t to_bytes, const char *from, enum fuse_dtype from_type, fuse_tile_load *load,
                          const struct fuse_walk *walk, int64_t first, int64_t n, const char *next) {
    const size_t from_bytes = fuse_dtype_bytes(from_type);
    struct fuse_walk_point point;
    fuse_walk_seek(walk, first, &point);
    for (int64_t i = 0; next && walk->stride[0] == 1 && i < n * (int64_t)from_bytes; i += 64)
        __builtin_prefetch(next + i);
    bool is_real = from_type == FUSE_F32 || from_type == FUSE_F64;
    if (is_real && from_bytes == to_bytes && walk->stride[0] == 1 && fuse_walk_run(walk, &point) >= n)
        return from + point.offset * (int64_t)from_bytes;
    for (int64_t done = 0; done < n;) {
        int64_t run = fuse_walk_run(walk, &point);
        run = run < n - done ? run : n - done;
        load(to + (size_t)done * to_bytes, from + point.offset * (int64_t)from_bytes, walk->stride[0], run);
        fuse_walk_advance(walk, &point, run);
        done += run;
    }
    return to;
}

/* An operand's part of a chunk in panels of `width` lines: to[panel][term][line]. */
static void pack(const struct ordered *x, char *to, const char *data, enum fuse_dtype dtype, fuse_tile_load *load,
                 const struct group *lines, const int64_t *stride, int64_t first, int64_t count, const int64_t *leaf,
                 int64_t width, int64_t *terms) {
    const size_t from_bytes = fuse_dtype_bytes(dtype), bytes = x->bytes;
    _Alignas(64) char room[8 * MOST_COLUMNS];
    int64_t start;
    struct fuse_walk along = terms_of(x, leaf, stride, &start, terms), across = walk_of(x->call, lines, stride);
    struct fuse_walk_point point, next;
    data += start * (int64_t)from_bytes;
    if (size_of(along.stride[0]) <= size_of(across.stride[0])) {
        fuse_walk_seek(&across, first, &point);
        for (int64_t i = 0; i < count; i++, fuse_walk_advance(&across, &point, 1)) {
            char *at = to + (size_t)(i / width * width * *terms + i % width) * bytes;
            next = point;
            if (i + 1 < count)
                fuse_walk_advance(&across, &next, 1);
            const char *line = gather(room, bytes, data + point.offset * (int64_t)from_bytes, dtype, load, &along, 0,
                                      *terms, data + next.offset * (int64_t)from_bytes);
            for (int64_t k = 0; k < *terms; k++)
                if (bytes == 4)
                    ((float *)at)[k * width] = ((const float *)line)[k];
                else
                    ((double *)at)[k * width] = ((const double *)line)[k];
        }
        return;
    }
    fuse_walk_seek(&along, 0, &point);
    for (int64_t k = 0; k < *terms; k++, fuse_walk_advance(&along, &point, 1)) {
        const char *line =
            gather(room, bytes, data + point.offset * (int64_t)from_bytes, dtype, load, &across, first, count, NULL);
        for (int64_t i = 0; i < count; i += width)
            memcpy(to + (size_t)(i * *terms + k * width) * bytes, line + (size_t)i * bytes,
                   (size_t)(count - i < width ? count - i : width) * bytes);
    }
}

static char *slot_at(const struct block *b, int slot) {
    return b->slot + (size_t)slot * (size_t)(b->x->rows * b->x->ld) * b->x->bytes;
}

static int64_t rows_at(const struct block *b, int64_t i) {
    return b->rows - i < ROWS ? b->rows - i : ROWS;
}

/* The product of a packed chunk's rows [i, i + n) and all its columns: TERMS of it and then the next, which goes on with the same
 * sums. */
static void multiply(const struct block *b, char *to, int64_t i, int64_t n, int64_t terms) {
    const struct ordered *x = b->x;
    for (int64_t k = 0; k < terms; k += TERMS)
        for (int64_t j = 0; j < b->columns; j += x->width)
            x->product(n, b->columns - j < x->width ? b->columns - j : x->width, terms - k < TERMS ? terms - k : TERMS,
                       b->packed_a + (size_t)(i * terms + k * ROWS) * x->bytes, 1, ROWS,
                       b->packed_b + (size_t)(j * terms + k * x->width) * x->bytes, x->width, 1,
                       to + (size_t)j * x->bytes, x->ld, k > 0, b->room);
}

static int64_t pack_both(const struct block *b, const int64_t *leaf) {
    const struct ordered *x = b->x;
    const struct fuse_contract *call = x->call;
    int64_t terms;
    pack(x, b->packed_a, b->a, call->a.dtype, x->load_a, &x->m, call->a.stride, b->row, b->rows, leaf, ROWS, &terms);
    pack(x, b->packed_b, b->b, call->b.dtype, x->load_b, &x->n, call->b.stride, b->column, b->columns, leaf, x->width,
         &terms);
    return terms;
}

static void make(struct fuse_ordered_walk *walk, int slot, const int64_t *leaf, int64_t leaves) {
    const struct block *b = (const struct block *)walk;
    const int64_t terms = pack_both(b, leaf);
    (void)leaves;
    for (int64_t i = 0; i < b->rows; i += ROWS)
        multiply(b, slot_at(b, slot) + (size_t)(i * b->x->ld) * b->x->bytes, i, rows_at(b, i), terms);
}

#define ADD(type)                   \
    for (int64_t i = 0; i < n; i++) \
        ((type *)to)[i] += ((const type *)from)[i];

static void add_rows(const struct block *b, void *to, const void *from, int64_t rows) {
    const int64_t n = rows * b->x->ld;
    if (b->x->call->c.dtype == FUSE_F32)
        ADD(float)
    else
        ADD(double)
}

static void join(struct fuse_ordered_walk *walk, int slot) {
    const struct block *b = (const struct block *)walk;
    add_rows(b, slot_at(b, slot), slot_at(b, slot + 1), b->rows);
}

/* A few rows of the next slot, which are in the cache for it, serve all rows one after the other. */
static void add(struct fuse_ordered_walk *walk, int slot, const int64_t *leaf, int64_t leaves) {
    const struct block *b = (const struct block *)walk;
    const int64_t terms = pack_both(b, leaf);
    (void)leaves;
    for (int64_t i = 0; i < b->rows; i += ROWS) {
        multiply(b, slot_at(b, slot + 1), i, rows_at(b, i), terms);
        add_rows(b, slot_at(b, slot) + (size_t)(i * b->x->ld) * b->x->bytes, slot_at(b, slot + 1), rows_at(b, i));
    }
}

static void store(const struct block *b, char *c) {
    const struct ordered *x = b->x;
    const struct fuse_contract *call = x->call;
    struct fuse_walk down = walk_of(call, &x->m, call->c.stride), across = walk_of(call, &x->n, call->c.stride);
    struct fuse_walk_point row;
    fuse_walk_seek(&down, b->row, &row);
    for (int64_t i = 0; i < b->rows; i++) {
        struct fuse_walk_point point;
        fuse_walk_seek(&across, b->column, &point);
        for (int64_t done = 0; done < b->columns;) {
            int64_t run = fuse_walk_run(&across, &point);
            run = run < b->columns - done ? run : b->columns - done;
            x->store(c + (row.offset + point.offset) * (int64_t)x->bytes, across.stride[0],
                     b->slot + (size_t)(i * x->ld + done) * x->bytes, run);
            fuse_walk_advance(&across, &point, run);
            done += run;
        }
        fuse_walk_advance(&down, &row, 1);
    }
}

/* As many columns as have room, and as many rows as leave room for all slots. */
static void choose_block(struct ordered *x) {
    x->columns = (int64_t)(B_BYTES / FUSE_CHUNK / x->bytes);
    x->columns = x->columns < x->n.points ? x->columns : x->n.points;
    x->ld = x->columns + 16;
    x->rows = (int64_t)(FUSE_CPU_SLOTS / (size_t)fuse_chunks_depth(&x->chunks) / (size_t)x->ld / x->bytes);
    x->rows = x->rows > MOST_ROWS ? MOST_ROWS : x->rows >= ROWS ? x->rows / ROWS * ROWS : x->rows < 1 ? 1 : x->rows;
    x->rows = x->rows < x->m.points ? x->rows : x->m.points;
}

static int64_t offset_of(const struct fuse_contract *call, const struct group *g, const int64_t *stride,
                         int64_t position) {
    int64_t offset = 0;
    for (int i = g->axes - 1; i >= 0; i--) {
        int64_t n = call->extent[g->index[i]];
        offset += position % n * stride[g->index[i]];
        position /= n;
    }
    return offset;
}

static void run_block(struct fuse_cpu_backend *cpu, const struct ordered *x, int64_t task, int64_t across,
                      int64_t down) {
    const struct fuse_contract *call = x->call;
    char *scratch = cpu->scratch + (size_t)omp_get_thread_num() * FUSE_CPU_SCRATCH;
    struct block b = {.x = x, .room = scratch + FUSE_CPU_PANELS};
    b.packed_b = b.room - B_BYTES;
    b.packed_a = b.packed_b - A_BYTES;
    b.slot = cpu->slots + (size_t)omp_get_thread_num() * FUSE_CPU_SLOTS;
    b.column = task % across * x->columns;
    b.row = task / across % down * x->rows;
    b.columns = x->n.points - b.column < x->columns ? x->n.points - b.column : x->columns;
    b.rows = x->m.points - b.row < x->rows ? x->m.points - b.row : x->rows;
    int64_t batch = task / across / down;
    b.a = (const char *)call->a.data + offset_of(call, &x->batch, call->a.stride, batch) * (int64_t)x->a_bytes;
    b.b = (const char *)call->b.data + offset_of(call, &x->batch, call->b.stride, batch) * (int64_t)x->b_bytes;
    b.walk.make = make;
    b.walk.join = join;
    b.walk.add = add;
    fuse_ordered_open(&b.walk, &x->chunks, 1);
    fuse_ordered_sum(&b.walk);
    store(&b, (char *)call->c.data + offset_of(call, &x->batch, call->c.stride, batch) * (int64_t)x->bytes);
}

static void run_blocks(struct fuse_cpu_backend *cpu, struct ordered *x) {
    choose_block(x);
    const int64_t across = (x->n.points + x->columns - 1) / x->columns, down = (x->m.points + x->rows - 1) / x->rows;
    const int64_t tasks = fuse_sat_mul(fuse_sat_mul(across, down), x->batch.points);
    const int threads = fuse_cpu_threads(cpu, tasks, fuse_points(x->call->indices, x->call->extent, UINT32_MAX) / 32);
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
    for (int64_t task = 0; task < tasks; task++)
        run_block(cpu, x, task, across, down);
}

/* Only what the operation says counts, not the extents or strides of this call: every rank must choose alike. */
static enum fuse_status run_as_map(struct fuse_cpu_backend *cpu, const struct fuse_contract *call,
                                   struct fuse_cpu_counts *counts, struct fuse_error *err) {
    struct fuse_scalar_node node[] = {
        {.op = FUSE_SCALAR_LOAD, .dtype = call->c.dtype, .a = -1, .b = -1, .c = -1, .arg = 0},
        {.op = FUSE_SCALAR_LOAD, .dtype = call->c.dtype, .a = -1, .b = -1, .c = -1, .arg = 1},
        {.op = FUSE_SCALAR_MUL, .dtype = call->c.dtype, .a = 0, .b = 1, .c = -1}};
    const struct fuse_scalar body = {.n = 3, .node = node};
    const struct fuse_operand_view operand[2] = {call->a, call->b};
    struct fuse_map_call map = {.indices = call->indices,
                                .in_out = call->in_c,
                                .operands = 2,
                                .operand = operand,
                                .out = call->c,
                                .body = &body,
                                .reduce = FUSE_REDUCE_SUM,
                                .order = call->order};
    memcpy(map.extent, call->extent, sizeof map.extent);
    return fuse_cpu_run_ordered_map(cpu, &map, counts, err);
}

enum fuse_status fuse_cpu_run_ordered_contract(struct fuse_cpu_backend *cpu, const struct fuse_contract *call,
                                               struct fuse_cpu_counts *counts, struct fuse_error *err) {
    struct ordered x = {.call = call,
                        .chunks = *call->order,
                        .product = product_of(cpu->tile, call->c.dtype),
                        .width = 2 * vector_bytes(cpu->tile) / (int64_t)fuse_dtype_bytes(call->c.dtype),
                        .bytes = fuse_dtype_bytes(call->c.dtype),
                        .a_bytes = fuse_dtype_bytes(call->a.dtype),
                        .b_bytes = fuse_dtype_bytes(call->b.dtype),
                        .batch.points = 1,
                        .m.points = 1,
                        .n.points = 1};
    if (call->accumulate)
        return fuse_fail(err, FUSE_EBUG, "a sum in order that goes on");
    const uint32_t only_a = call->in_c & call->in_a & ~call->in_b, only_b = call->in_c & call->in_b & ~call->in_a;
    if (only_a == 0 || only_b == 0 || x.chunks.levels == 0)
        return run_as_map(cpu, call, counts, err);
    if (fuse_points(call->indices, call->extent, call->in_c) == 0)
        return FUSE_OK;
    x.chunks.leaves[0] = (call->extent[x.chunks.index[0]] + x.chunks.block[0] - 1) / x.chunks.block[0];
    if (fuse_points(call->indices, call->extent, UINT32_MAX) == 0) {
        fuse_cpu_clear_result(cpu, call);
        return FUSE_OK;
    }
    for (int i = 0; i < call->indices; i++)
        if (call->in_c >> i & 1)
            add_axis(only_a >> i & 1 ? &x.m : only_b >> i & 1 ? &x.n : &x.batch, i, call->extent[i]);
    sort_axes(&x.m, call->c.stride);
    sort_axes(&x.n, call->c.stride);
    enum fuse_tile_class class = fuse_tile_class(call->c.dtype);
    x.load_a = cpu->tile->load[call->a.dtype][class];
    x.load_b = cpu->tile->load[call->b.dtype][class];
    x.store = cpu->tile->store[class][call->c.dtype];
    run_blocks(cpu, &x);
    return FUSE_OK;
}
