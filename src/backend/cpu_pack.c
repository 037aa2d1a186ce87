/* Contractions through packed panels: any strides, any dtypes, several indices a group.
 *
 * The result is cut in tiles, the sum in chunks; a panel of a (tile rows x chunk) and one of b (chunk x tile columns) are
 * packed into the thread's scratch memory, converted to the result's dtype on the way, and multiplied. An operand that
 * BLAS reads in place is not packed; a result that it cannot write is collected in a third panel and scattered. */
#include "backend/cpu_contract.h"
#include "backend/cpu_walk.h"

#include <math.h>
#include <string.h>

#define CHUNK 384
#define NARROW 16
#define LONG_CHUNK 2048
#define I64_ROWS 4

/* One side of a matrix in an operand: the indices of a group as positions 0 .. points - 1. */
struct side {
    struct fuse_walk walk;
    int64_t points;
};

/* One operand as a matrix over two sides. */
struct operand {
    const char *data;
    enum fuse_dtype dtype;
    int64_t bytes;
    struct side row, column;
    bool in_place; /* single strides that BLAS reads */
    fuse_tile_load *load;
};

struct pack_plan {
    const struct fuse_grouped *g;
    const struct fuse_tile_table *tile;
    struct operand a, b, c;
    int64_t bytes; /* of the calculation's type */
    int64_t m, n, k, points;
    int64_t tile_m, tile_n, chunk, tiles_m, tiles_n;
};

/* A packed panel and what it holds, so that a panel that is still right is not packed again. */
struct panel {
    char *at;
    const char *base;
    int64_t row, column;
    struct fuse_blas_matrix matrix;
};

/* A thread's scratch memory and its share of the counts. */
struct panels {
    struct panel a, b;
    char *c, *room;
    int64_t calls, packed;
    bool overflow;
};

static void make_side(struct side *side, const struct fuse_grouped *g, enum fuse_group group, char operand) {
    int64_t extent[FUSE_MAX_AXES], stride[FUSE_MAX_AXES];
    for (int x = 0; x < g->axes[group]; x++) {
        const struct fuse_group_axis *axis = &g->axis[group][x];
        extent[x] = axis->extent;
        stride[x] = operand == 'a' ? axis->a : operand == 'b' ? axis->b : axis->c;
    }
    fuse_walk_make(&side->walk, g->axes[group], extent, stride);
    side->points = fuse_group_points(g, group);
}

static struct operand make_operand(const struct pack_plan *p, const void *data, enum fuse_dtype dtype,
                                   enum fuse_group row, enum fuse_group column, char name) {
    struct operand o = {.data = data, .dtype = dtype, .bytes = (int64_t)fuse_dtype_bytes(dtype)};
    make_side(&o.row, p->g, row, name);
    make_side(&o.column, p->g, column, name);
    o.load = p->tile->load[dtype][fuse_tile_class(p->g->type)];
    struct fuse_blas_matrix x;
    o.in_place = dtype == p->g->type && dtype != FUSE_I64 && o.row.walk.axes == 1 && o.column.walk.axes == 1 &&
                 fuse_blas_readable(&x, o.row.points, o.column.points, o.row.walk.stride[0], o.column.walk.stride[0]) &&
                 (name != 'c' || !x.transposed);
    return o;
}

/* Tiles such that the panels that are needed fit in the scratch memory, and every thread has some. */
static void choose_tiles(struct pack_plan *p, int threads) {
    const double room = (double)(FUSE_CPU_PANELS - 4096) / (double)p->bytes;
    const double panels = !p->a.in_place + !p->b.in_place;
    /* A product with few rows or columns moves more than it multiplies: longer runs matter more than reuse. */
    const int64_t chunk = p->m <= NARROW || p->n <= NARROW ? LONG_CHUNK : CHUNK;
    p->chunk = p->k < chunk + chunk / 2 ? p->k : chunk;
    double s = p->c.in_place
                   ? room / (double)p->chunk / (panels > 0 ? panels : 1)
                   : (sqrt(panels * panels * (double)(p->chunk * p->chunk) + 4 * room) - panels * (double)p->chunk) / 2;
    int64_t edge = (int64_t)s / 16 * 16;
    p->tile_m = p->a.in_place && p->c.in_place ? p->m : edge;
    p->tile_n = p->b.in_place && p->c.in_place ? p->n : edge;
    /* A flat or narrow result leaves room for longer tiles. */
    double a_side = (p->a.in_place ? 0 : (double)p->chunk), b_side = p->b.in_place ? 0 : (double)p->chunk;
    if (p->m < edge / 2 && p->tile_n == edge) {
        double rows = (double)(p->m + 15);
        p->tile_n = (int64_t)((room - rows * a_side) / (b_side + (p->c.in_place ? 0 : rows))) / 16 * 16;
    } else if (p->n < edge / 2 && p->tile_m == edge) {
        double columns = (double)(p->n + 15);
        p->tile_m = (int64_t)((room - columns * b_side) / (a_side + (p->c.in_place ? 0 : columns))) / 16 * 16;
    }
    if (p->tile_m > (1 << 20))
        p->tile_m = 1 << 20;
    if (p->tile_n > (1 << 20))
        p->tile_n = 1 << 20;
    p->tiles_m = (p->m + p->tile_m - 1) / p->tile_m;
    p->tiles_n = (p->n + p->tile_n - 1) / p->tile_n;
    /* More tiles where threads would stand idle; small ones cost more packing than they win. */
    while ((p->points * p->tiles_m * p->tiles_n) % threads != 0 && p->points * p->tiles_m * p->tiles_n < 8 * threads) {
        int64_t m = p->m / p->tiles_m, n = p->n / p->tiles_n;
        if (m < 64 && n < 64)
            break;
        if (m >= n)
            p->tiles_m++;
        else
            p->tiles_n++;
    }
    p->tile_m = ((p->m + p->tiles_m - 1) / p->tiles_m + 15) / 16 * 16;
    p->tile_n = ((p->n + p->tiles_n - 1) / p->tiles_n + 15) / 16 * 16;
    p->tiles_m = (p->m + p->tile_m - 1) / p->tile_m;
    p->tiles_n = (p->n + p->tile_n - 1) / p->tile_n;
}

/* Nanoseconds an element, roughly: strided loads touch more lines, short runs cost a call each. */
static double load_cost(const struct side *side, int64_t bytes) {
    int64_t stride = side->walk.stride[0] < 0 ? -side->walk.stride[0] : side->walk.stride[0];
    double run = (double)side->walk.extent[0];
    return (stride <= 1 ? 0.2 : stride * bytes < 64 ? 1.0 : 2.0) + 4.0 / run;
}

/* Packs rows x columns of an operand, its better side contiguous (the columns when forced). */
static struct fuse_blas_matrix pack(const struct operand *o, const char *base, char *to, int64_t to_bytes, int64_t row,
                                    int64_t rows, int64_t column, int64_t columns, bool force) {
    const bool turned = !force && load_cost(&o->row, o->bytes) < load_cost(&o->column, o->bytes);
    const struct fuse_walk *slow = turned ? &o->column.walk : &o->row.walk;
    const struct fuse_walk *fast = turned ? &o->row.walk : &o->column.walk;
    const int64_t slows = turned ? columns : rows, fasts = turned ? rows : columns;
    struct fuse_walk_point s, start, f;
    fuse_walk_seek(slow, turned ? column : row, &s);
    fuse_walk_seek(fast, turned ? row : column, &start);
    for (int64_t i = 0; i < slows; i++) {
        f = start;
        for (int64_t done = 0; done < fasts;) {
            int64_t run = fuse_walk_run(fast, &f);
            if (run > fasts - done)
                run = fasts - done;
            o->load(to + (i * fasts + done) * to_bytes, base + (s.offset + f.offset) * o->bytes, fast->stride[0], run);
            fuse_walk_advance(fast, &f, run);
            done += run;
        }
        fuse_walk_advance(slow, &s, 1);
    }
    return (struct fuse_blas_matrix){.data = to, .ld = fasts, .transposed = turned};
}

/* Rows x columns of an operand for the multiplication: where they lie, or packed. */
static struct fuse_blas_matrix fetch(const struct operand *o, const char *base, struct panel *panel, int64_t *packed,
                                     int64_t bytes, int64_t row, int64_t rows, int64_t column, int64_t columns,
                                     bool force) {
    if (o->in_place) {
        struct fuse_blas_matrix x = {0};
        fuse_blas_readable(&x, o->row.points, o->column.points, o->row.walk.stride[0], o->column.walk.stride[0]);
        x.data = base + (row * o->row.walk.stride[0] + column * o->column.walk.stride[0]) * o->bytes;
        return x;
    }
    if (panel->base != base || panel->row != row || panel->column != column) {
        panel->matrix = pack(o, base, panel->at, bytes, row, rows, column, columns, force);
        panel->base = base;
        panel->row = row;
        panel->column = column;
        *packed += rows * columns * bytes;
    }
    return panel->matrix;
}

/* Functions, because gcc 12 reads operands of the builtins again after writing a result that overlaps them. */
static inline bool add_overflows(int64_t a, int64_t b, int64_t *sum) {
    return __builtin_add_overflow(a, b, sum);
}

static inline bool mul_overflows(int64_t a, int64_t b, int64_t *product) {
    return __builtin_mul_overflow(a, b, product);
}

#define SCATTER(type, ADD)                                                                                         \
    static bool scatter_##type(type *to, int64_t step, const type *from, int64_t from_step, int64_t n, bool add) { \
        bool overflow = false;                                                                                     \
        for (int64_t i = 0; i < n; i++) {                                                                          \
            type sum = from[i * from_step];                                                                        \
            if (add)                                                                                               \
                ADD(to[i * step], sum);                                                                            \
            to[i * step] = sum;                                                                                    \
        }                                                                                                          \
        return overflow;                                                                                           \
    }
#define ADD_REAL(old, sum) sum += (old)
#define ADD_CHECKED(old, sum) overflow |= add_overflows(old, sum, &sum)
SCATTER(float, ADD_REAL)
SCATTER(double, ADD_REAL)
SCATTER(int64_t, ADD_CHECKED)

/* A tile of c out of its panel, along c's denser side. */
static bool scatter(const struct pack_plan *p, char *base, const char *panel, int64_t row, int64_t rows, int64_t column,
                    int64_t columns) {
    const struct operand *c = &p->c;
    const bool turned = load_cost(&c->row, c->bytes) < load_cost(&c->column, c->bytes);
    const struct fuse_walk *slow = turned ? &c->column.walk : &c->row.walk;
    const struct fuse_walk *fast = turned ? &c->row.walk : &c->column.walk;
    const int64_t slows = turned ? columns : rows, fasts = turned ? rows : columns;
    const int64_t slow_step = turned ? 1 : columns, fast_step = turned ? columns : 1;
    struct fuse_walk_point s, start, f;
    fuse_walk_seek(slow, turned ? column : row, &s);
    fuse_walk_seek(fast, turned ? row : column, &start);
    bool overflow = false;
    for (int64_t i = 0; i < slows; i++) {
        f = start;
        for (int64_t done = 0; done < fasts;) {
            int64_t run = fuse_walk_run(fast, &f), stride = fast->stride[0];
            if (run > fasts - done)
                run = fasts - done;
            char *to = base + (s.offset + f.offset) * c->bytes;
            const char *from = panel + (i * slow_step + done * fast_step) * c->bytes;
            if (p->g->type == FUSE_F32)
                scatter_float((float *)to, stride, (const float *)from, fast_step, run, p->g->accumulate);
            else if (p->g->type == FUSE_F64)
                scatter_double((double *)to, stride, (const double *)from, fast_step, run, p->g->accumulate);
            else
                overflow |=
                    scatter_int64_t((int64_t *)to, stride, (const int64_t *)from, fast_step, run, p->g->accumulate);
            fuse_walk_advance(fast, &f, run);
            done += run;
        }
        fuse_walk_advance(slow, &s, 1);
    }
    return overflow;
}

/* c += a b on packed panels of integers, b and c row-major. When the largest magnitudes show that no sum can leave 63
 * bits, vector code in two's complement does it; otherwise every step is checked. */
static bool multiply_integers(const struct fuse_tile_table *tile, int64_t m, int64_t n, int64_t k,
                              struct fuse_blas_matrix a, const int64_t *b, int64_t *c) {
    const int64_t *av = a.data, row = a.transposed ? 1 : a.ld, column = a.transposed ? a.ld : 1;
    double largest = (double)tile->magnitude(av, m * k) * (double)tile->magnitude(b, k * n) * (double)k +
                     (double)tile->magnitude(c, m * n);
    bool overflow = false;
    for (int64_t i = 0; i < m; i++)
        for (int64_t x = 0; x < k; x++) {
            int64_t factor = av[i * row + x * column];
            if (largest < 0x1p62) {
                tile->axpy(c + i * n, factor, b + x * n, n);
                continue;
            }
            for (int64_t j = 0; j < n; j++) {
                int64_t product;
                overflow |= mul_overflows(factor, b[x * n + j], &product);
                overflow |= add_overflows(c[i * n + j], product, &c[i * n + j]);
            }
        }
    return overflow;
}

/* One tile of c at rows m0.. and columns n0.. of one batch point. */
static void run_tile(const struct pack_plan *p, struct panels *s, const char *a, const char *b, char *c, int64_t m0,
                     int64_t n0) {
    const bool integers = p->g->type == FUSE_I64;
    const int64_t m = p->m - m0 < p->tile_m ? p->m - m0 : p->tile_m, n = p->n - n0 < p->tile_n ? p->n - n0 : p->tile_n;
    char *target = s->c;
    int64_t ldc = n;
    if (p->c.in_place) {
        struct fuse_blas_matrix cm = fetch(&p->c, c, NULL, NULL, p->bytes, m0, m, n0, n, false);
        target = (char *)cm.data;
        ldc = cm.ld;
    } else if (integers) {
        memset(target, 0, (size_t)(m * n * p->bytes));
    }
    for (int64_t k0 = 0; k0 < p->k; k0 += p->chunk) {
        const int64_t k = p->k - k0 < p->chunk ? p->k - k0 : p->chunk;
        struct fuse_blas_matrix am = fetch(&p->a, a, &s->a, &s->packed, p->bytes, m0, m, k0, k, false);
        struct fuse_blas_matrix bm = fetch(&p->b, b, &s->b, &s->packed, p->bytes, k0, k, n0, n, integers);
        if (integers) {
            s->overflow |= multiply_integers(p->tile, m, n, k, am, bm.data, (int64_t *)target);
        } else {
            s->calls += fuse_cpu_product(p->tile, p->g->type, m, n, k, am, bm, target, ldc,
                                         k0 > 0 || (p->c.in_place && p->g->accumulate), s->room);
        }
    }
    if (!p->c.in_place)
        s->overflow |= scatter(p, c, target, m0, m, n0, n);
}

static int64_t panel_bytes(const struct operand *o, int64_t rows, int64_t columns, int64_t bytes) {
    return o->in_place ? 0 : (rows * columns * bytes + 63) / 64 * 64;
}

void fuse_cpu_run_packed(struct fuse_cpu_backend *cpu, struct fuse_grouped *g, struct fuse_cpu_counts *counts) {
    /* A result that is dense along M is written as the transposed product. */
    if (g->axes[FUSE_GROUP_M] > 0) {
        const struct fuse_group_axis *m = &g->axis[FUSE_GROUP_M][g->axes[FUSE_GROUP_M] - 1];
        const struct fuse_group_axis *n =
            g->axes[FUSE_GROUP_N] > 0 ? &g->axis[FUSE_GROUP_N][g->axes[FUSE_GROUP_N] - 1] : NULL;
        if (m->c == 1 && (n == NULL || n->c != 1))
            fuse_group_swap(g);
    }
    struct pack_plan p = {.g = g, .tile = cpu->tile, .bytes = (int64_t)fuse_dtype_bytes(g->type)};
    p.a = make_operand(&p, g->a, g->a_dtype, FUSE_GROUP_M, FUSE_GROUP_K, 'a');
    p.b = make_operand(&p, g->b, g->b_dtype, FUSE_GROUP_K, FUSE_GROUP_N, 'b');
    p.c = make_operand(&p, g->c, g->type, FUSE_GROUP_M, FUSE_GROUP_N, 'c');
    p.m = p.a.row.points;
    p.n = p.b.column.points;
    p.k = p.a.column.points;
    p.points = fuse_group_points(g, FUSE_GROUP_BATCH);
    const int64_t work = p.m * p.n * p.k / 16 * p.points;
    choose_tiles(&p, fuse_cpu_threads(cpu, INT64_MAX, work));
    struct side batch[3];
    make_side(&batch[0], g, FUSE_GROUP_BATCH, 'a');
    make_side(&batch[1], g, FUSE_GROUP_BATCH, 'b');
    make_side(&batch[2], g, FUSE_GROUP_BATCH, 'c');

    const int64_t tasks = p.points * p.tiles_m * p.tiles_n;
    const int threads = fuse_cpu_threads(cpu, tasks, work);
    int64_t calls = 0, packed = 0;
    bool overflow = false;
#pragma omp parallel for num_threads(threads) schedule(static, 1) reduction(+ : calls, packed) reduction(|| : overflow)
    for (int thread = 0; thread < threads; thread++) {
        struct panels s = {.a = {.at = cpu->scratch + (size_t)thread * FUSE_CPU_SCRATCH}};
        s.room = s.a.at + FUSE_CPU_PANELS;
        s.b.at = s.a.at + panel_bytes(&p.a, p.tile_m, p.chunk, p.bytes);
        s.c = s.b.at + panel_bytes(&p.b, p.chunk, p.tile_n, p.bytes);
        for (int64_t t = tasks * thread / threads; t < tasks * (thread + 1) / threads; t++) {
            const int64_t m0 = t % p.tiles_m * p.tile_m, n0 = t / p.tiles_m % p.tiles_n * p.tile_n;
            struct fuse_walk_point at[3];
            for (int o = 0; o < 3; o++)
                fuse_walk_seek(&batch[o].walk, t / (p.tiles_m * p.tiles_n), &at[o]);
            run_tile(&p, &s, p.a.data + at[0].offset * p.a.bytes, p.b.data + at[1].offset * p.b.bytes,
                     g->c + at[2].offset * p.c.bytes, m0, n0);
        }
        calls += s.calls;
        packed += s.packed;
        overflow = overflow || s.overflow;
    }
    counts->blas_calls += calls;
    counts->packed_bytes += packed;
    counts->overflow |= overflow;
}
