/* Contractions whose operands BLAS, or a plain loop, reads where they lie. */
#include "backend/cpu_contract.h"

#include "backend/blas_buffers.h"

#include <cblas.h>
#include <omp.h>
#include <string.h>

/* Products up to this many multiplications are cheaper in a plain loop than through BLAS's packing. */
#define TINY 16
/* Sizes from which a matrix product, or one of a matrix and a vector, is worth a call of its own, when further indices are
 * looped around it. */
#define WORTH_EDGE 32
#define WORTH_SUM 128 /* when the result is gone through again for each of several sums */
#define WORTH_PRODUCT ((int64_t)64 * 64 * 64)
#define WORTH_MATRIX ((int64_t)32 * 32)
#define WORTH_ROW 512 /* of the result, or of a matrix that meets a vector: few that are so long are enough */
#define WORTH_ROWS ((int64_t)16 << 10)
/* Products that do not go through BLAS: short sums and narrow results beyond what it treats as small, and very small ones. */
#define THIN 64
#define NARROW 64
#define BLAS_SMALL ((int64_t)100 * 100 * 100)
#define LITTLE ((int64_t)16 * 16 * 16)
/* Sums of fewer than THIN terms for which blocks are better: dense columns of a by so many columns of b; and of no more rows of a than
 * BLOCKS times those of a block, which read b where it lies, either so many that strips would copy b and they take longer for it, or
 * long sums, for which rows of b fall on one another in the cache. */
#define WIDE 128
#define BLOCKS 3
#define COPIED_ROWS 25
#define COPIED_TERMS 24
#define LONG_ROWS 17
#define LONG_TERMS 48
/* Rows by few rows: sums over lanes are worth their additions at the end when there are so many terms for each of the few. Where
 * these could be packed instead, which takes the time of so many rows for each, the more of them the more few there are. */
#define FEW 16
#define FEW_MANY 24 /* where there are many registers: more rows than that are better turned as strips of blocks */
#define DOT_DEPTH 32
#define DOT_TERMS_MANY 8
#define DOT_TERMS_FEW 2
#define DOT_PACKING 6
#define BLAS_MOST ((int64_t)1 << 28)
/* Matrices that BLAS multiplies faster than own kernels do, of multiplications and along each index; and where rows lie so many bytes
 * apart that they fall on one another in the first-level cache. */
#define LARGE ((int64_t)1 << 33)
#define LARGE_ALIASED ((int64_t)1 << 31)
#define LARGE_EDGE 256
#define LARGE_SIDE 1024
#define ALIAS 4096
/* Elements of a part of a result that a map may go over by itself, and bytes. */
#define LEAST_PART 4096
#define MOST_PART ((int64_t)1 << 20)
/* A summed index is cut between the threads when the result is small and the sum long. */
#define SMALL_RESULT ((int64_t)1 << 16)
#define LONG_SUM 4096

static bool is_real(enum fuse_dtype type) {
    return type == FUSE_F32 || type == FUSE_F64;
}

bool fuse_blas_readable(struct fuse_blas_matrix *out, int64_t rows, int64_t columns, int64_t row_stride,
                        int64_t column_stride) {
    if (columns == 1)
        column_stride = 1;
    if (column_stride == 1 && (rows == 1 || row_stride >= columns)) {
        out->transposed = false;
        out->ld = rows == 1 ? columns : row_stride;
    } else if ((row_stride == 1 || rows == 1) && (columns == 1 || column_stride >= rows)) {
        out->transposed = true;
        out->ld = columns == 1 ? rows : column_stride;
    } else {
        return false;
    }
    return out->ld < BLAS_MOST;
}

/* y = a x or y += a x. y is cleared here because not every BLAS ignores an old NaN when beta is 0. */
#define VECTOR_PRODUCT(type, gemv)                                                                                    \
    static void vector_product_##type(int64_t m, int64_t k, struct fuse_blas_matrix a, const void *x, int64_t x_step, \
                                      void *y_, int64_t y_step, bool add) {                                           \
        type *y = y_;                                                                                                 \
        if (!add)                                                                                                     \
            for (int64_t i = 0; i < m; i++)                                                                           \
                y[i * y_step] = 0;                                                                                    \
        int rows = (int)(a.transposed ? k : m), columns = (int)(a.transposed ? m : k);                                \
        gemv(CblasRowMajor, a.transposed ? CblasTrans : CblasNoTrans, rows, columns, 1, a.data, (int)a.ld, x,         \
             (int)x_step, 1, y, (int)y_step);                                                                         \
    }
VECTOR_PRODUCT(float, cblas_sgemv)
VECTOR_PRODUCT(double, cblas_dgemv)

static void multiply_matrices(enum fuse_dtype type, int64_t m, int64_t n, int64_t k, struct fuse_blas_matrix a,
                              struct fuse_blas_matrix b, void *c, int64_t ldc, bool add) {
    enum CBLAS_TRANSPOSE at = a.transposed ? CblasTrans : CblasNoTrans, bt = b.transposed ? CblasTrans : CblasNoTrans;
    if (n == 1 || m == 1) {
        struct fuse_blas_matrix turned = {.data = b.data, .ld = b.ld, .transposed = !b.transposed};
        struct fuse_blas_matrix matrix = n == 1 ? a : turned;
        const void *x = n == 1 ? b.data : a.data;
        int64_t x_step = n == 1 ? (b.transposed ? 1 : b.ld) : (a.transposed ? a.ld : 1);
        if (type == FUSE_F32)
            vector_product_float(n == 1 ? m : n, k, matrix, x, x_step, c, n == 1 ? ldc : 1, add);
        else
            vector_product_double(n == 1 ? m : n, k, matrix, x, x_step, c, n == 1 ? ldc : 1, add);
    } else if (type == FUSE_F32) {
        cblas_sgemm(CblasRowMajor, at, bt, (int)m, (int)n, (int)k, 1, a.data, (int)a.ld, b.data, (int)b.ld, add ? 1 : 0,
                    c, (int)ldc);
    } else {
        cblas_dgemm(CblasRowMajor, at, bt, (int)m, (int)n, (int)k, 1, a.data, (int)a.ld, b.data, (int)b.ld, add ? 1 : 0,
                    c, (int)ldc);
    }
}

void fuse_blas_product(enum fuse_dtype type, int64_t m, int64_t n, int64_t k, struct fuse_blas_matrix a,
                       struct fuse_blas_matrix b, void *c, int64_t ldc, bool add) {
    if (fuse_blas_is_concurrent()) {
        multiply_matrices(type, m, n, k, a, b, c, ldc, add);
        return;
    }
#pragma omp critical(fuse_blas)
    multiply_matrices(type, m, n, k, a, b, c, ldc, add);
}

/* Whether BLAS would spend its time on packing a, or on a result that it goes through three times. Rows of a must lie one
 * behind the other: columns that are far apart are better packed. BLAS has kernels of its own for what is small, but for rows by
 * rows. */
bool fuse_suits_strips(int64_t m, int64_t n, int64_t k, bool a_transposed, bool b_transposed) {
    if (m < 2 || n < 2)
        return false;
    if (m * n * k <= LITTLE)
        return true;
    const bool small = m * n * k <= BLAS_SMALL && (a_transposed || !b_transposed);
    return !small && (!a_transposed || m * k <= LITTLE) && (k <= THIN || n <= NARROW);
}

bool fuse_suits_dots(const struct fuse_tile_table *tile, int64_t m, int64_t n, int64_t k) {
    const int64_t few = tile->block_first ? FEW_MANY : FEW;
    if (m < 2 || n < 2 || k < DOT_DEPTH)
        return false;
    return (m <= few && k >= DOT_TERMS_MANY * m) ||
           (n <= few && k * (m + DOT_PACKING * n) / m >= DOT_TERMS_FEW * n * n);
}

/* Whether the summed index is dense in both operands too. */
static bool suits_dots(const struct fuse_tile_table *tile, int64_t m, int64_t n, int64_t k, bool a_transposed,
                       bool b_transposed) {
    return !a_transposed && b_transposed && fuse_suits_dots(tile, m, n, k);
}

int64_t fuse_cpu_product(const struct fuse_tile_table *tile, enum fuse_dtype type, int64_t m, int64_t n, int64_t k,
                         struct fuse_blas_matrix a, struct fuse_blas_matrix b, void *c, int64_t ldc, bool add,
                         void *room, const struct fuse_tile_done *done) {
    int64_t calls = 0;
    if (tile->has_fma && suits_dots(tile, m, n, k, a.transposed, b.transposed)) {
        fuse_tile_dots *dots = tile->dots[type == FUSE_F64];
        dots(m, n, k, a.data, a.ld, b.data, b.ld, c, ldc, 1, add);
    } else if (fuse_suits_strips(m, n, k, a.transposed, b.transposed)) {
        tile->product_done[type == FUSE_F64](m, n, k, a.data, a.transposed ? 1 : a.ld, a.transposed ? a.ld : 1, b.data,
                                             b.transposed ? 1 : b.ld, b.transposed ? b.ld : 1, c, ldc, add, room, done);
        return 0;
    } else {
        fuse_blas_product(type, m, n, k, a, b, c, ldc, add);
        calls = 1;
    }
    if (done)
        done->run(done, 0, m, 0, n);
    return calls;
}

/* One matrix product and the loops around it: over independent results and over further summed indices. */
struct product {
    enum fuse_dtype type;
    int64_t bytes;
    int64_t m, n, k;
    struct fuse_group_axis m_axis, n_axis, k_axis;
    int outers, sums;
    struct fuse_group_axis outer[3 * FUSE_MAX_AXES], sum[FUSE_MAX_AXES];
    int64_t points, sum_points;
    struct fuse_epilogue *then;
};

/* A matrix of the result, or a part of one, that is being computed. */
struct part {
    struct fuse_tile_done done;
    const struct product *p;
    int64_t offset; /* in the result */
};

static void finish_part(const struct fuse_tile_done *done, int64_t row, int64_t rows, int64_t column, int64_t columns) {
    const struct part *x = (const struct part *)done;
    const struct fuse_group_axis *m = &x->p->m_axis, *n = &x->p->n_axis;
    const struct fuse_epilogue_part part = {
        .offset = x->offset + row * m->c + column * n->c, .axes = 2, .axis = {{rows, m->c}, {columns, n->c}}};
    fuse_epilogue_run(x->p->then, omp_get_thread_num(), &part);
}

/* What is to be told of its parts, or NULL. */
static const struct fuse_tile_done *watch(struct part *x, const struct product *p, int64_t offset) {
    *x = (struct part){.done = {.run = finish_part, .points = FUSE_EPILOGUE_POINTS}, .p = p, .offset = offset};
    return p->then ? &x->done : NULL;
}

/* Adds the elements of a position below the product of the extents. */
static void point_of(int n, const struct fuse_group_axis *axis, int64_t position, int64_t *a, int64_t *b, int64_t *c) {
    for (int x = n - 1; x >= 0; x--) {
        const int64_t at = x > 0 ? position % axis[x].extent : position; /* a division takes as long as 16 terms */
        if (x > 0)
            position /= axis[x].extent;
        *a += at * axis[x].a;
        *b += at * axis[x].b;
        *c += at * axis[x].c;
    }
}

static const struct fuse_group_axis unit = {.extent = 1};

static struct fuse_group_axis axis_at(const struct fuse_grouped *g, enum fuse_group group, int x) {
    return x < g->axes[group] ? g->axis[group][x] : unit;
}

/* Readable with c row-major, that is, n contiguous in it. */
static bool is_readable(struct fuse_group_axis m, struct fuse_group_axis n, struct fuse_group_axis k) {
    struct fuse_blas_matrix x;
    return fuse_blas_readable(&x, m.extent, k.extent, m.a, k.a) &&
           fuse_blas_readable(&x, k.extent, n.extent, k.b, n.b) &&
           fuse_blas_readable(&x, m.extent, n.extent, m.c, n.c) && !x.transposed;
}

/* How far apart the rows of the operands lie. */
static double distance(struct fuse_group_axis m, struct fuse_group_axis n, struct fuse_group_axis k) {
    const int64_t strides[] = {m.a, k.a, k.b, n.b, m.c, n.c};
    double sum = 0;
    for (size_t i = 0; i < sizeof strides / sizeof *strides; i++)
        sum += strides[i] < 0 ? -(double)strides[i] : (double)strides[i];
    return sum;
}

/* The largest product that BLAS reads in place, over one index of each group; of several the one whose rows lie nearest. 0 when
 * there is none. */
static int64_t choose_axes(const struct fuse_grouped *g, int chosen[FUSE_GROUPS]) {
    int64_t best = 0;
    double nearest = 0;
    for (int m = 0; m == 0 || m < g->axes[FUSE_GROUP_M]; m++)
        for (int n = 0; n == 0 || n < g->axes[FUSE_GROUP_N]; n++)
            for (int k = 0; k == 0 || k < g->axes[FUSE_GROUP_K]; k++) {
                struct fuse_group_axis ma = axis_at(g, FUSE_GROUP_M, m), na = axis_at(g, FUSE_GROUP_N, n),
                                       ka = axis_at(g, FUSE_GROUP_K, k);
                int64_t size = fuse_sat_mul(fuse_sat_mul(ma.extent, na.extent), ka.extent);
                const double far = distance(ma, na, ka);
                if ((size > best || (size == best && far < nearest)) && is_readable(ma, na, ka)) {
                    best = size;
                    nearest = far;
                    chosen[FUSE_GROUP_M] = m;
                    chosen[FUSE_GROUP_N] = n;
                    chosen[FUSE_GROUP_K] = k;
                }
            }
    return best;
}

static struct product make_product(const struct fuse_grouped *g, const int chosen[FUSE_GROUPS]) {
    struct product p = {.type = g->type, .bytes = (int64_t)fuse_dtype_bytes(g->type), .points = 1, .sum_points = 1};
    p.m_axis = axis_at(g, FUSE_GROUP_M, chosen[FUSE_GROUP_M]);
    p.n_axis = axis_at(g, FUSE_GROUP_N, chosen[FUSE_GROUP_N]);
    p.k_axis = axis_at(g, FUSE_GROUP_K, chosen[FUSE_GROUP_K]);
    p.m = p.m_axis.extent;
    p.n = p.n_axis.extent;
    p.k = p.k_axis.extent;
    for (int group = 0; group < FUSE_GROUPS; group++)
        for (int x = 0; x < g->axes[group]; x++) {
            if (group != FUSE_GROUP_BATCH && x == chosen[group])
                continue;
            if (group == FUSE_GROUP_K) {
                p.sum[p.sums++] = g->axis[group][x];
                p.sum_points *= g->axis[group][x].extent;
            } else {
                p.outer[p.outers++] = g->axis[group][x];
                p.points *= g->axis[group][x].extent;
            }
        }
    return p;
}

/* Plain loops with the sum innermost; every element of c is written once. */
#define TINY_PRODUCT(type)                                                                                      \
    static void tiny_product_##type(const struct product *p, const type *a, const type *b, type *c, bool add) { \
        for (int64_t i = 0; i < p->m; i++)                                                                      \
            for (int64_t j = 0; j < p->n; j++) {                                                                \
                const type *ai = a + i * p->m_axis.a, *bj = b + j * p->n_axis.b;                                \
                type sum = 0;                                                                                   \
                for (int64_t k = 0; k < p->k; k++)                                                              \
                    sum += ai[k * p->k_axis.a] * bj[k * p->k_axis.b];                                           \
                type *cij = c + i * p->m_axis.c + j * p->n_axis.c;                                              \
                *cij = add ? *cij + sum : sum;                                                                  \
            }                                                                                                   \
    }
TINY_PRODUCT(float)
TINY_PRODUCT(double)

static void run_tiny(struct fuse_cpu_backend *cpu, const struct fuse_grouped *g, const struct product *p) {
    const int threads = fuse_cpu_threads(cpu, p->points, p->points * p->m * p->n * p->k);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t point = 0; point < p->points; point++) {
        int64_t a = 0, b = 0, c = 0;
        point_of(p->outers, p->outer, point, &a, &b, &c);
        if (p->type == FUSE_F32)
            tiny_product_float(p, (const float *)g->a + a, (const float *)g->b + b, (float *)g->c + c, g->accumulate);
        else
            tiny_product_double(p, (const double *)g->a + a, (const double *)g->b + b, (double *)g->c + c,
                                g->accumulate);
    }
}

/* Rows [m0, m1) and columns [n0, n1) of the product at one outer point, with k in [k0, k1), to c. */
static int64_t multiply(const struct fuse_cpu_backend *cpu, const struct fuse_grouped *g, const struct product *p,
                        int64_t a, int64_t b, const int64_t m[2], const int64_t n[2], const int64_t k[2], char *c,
                        int64_t ldc, bool add, const struct fuse_tile_done *done) {
    struct fuse_blas_matrix am = {0}, bm = {0};
    void *room = cpu->scratch + (size_t)omp_get_thread_num() * FUSE_CPU_SCRATCH + FUSE_CPU_PANELS;
    int64_t calls = 0;
    fuse_blas_readable(&am, p->m, p->k, p->m_axis.a, p->k_axis.a);
    fuse_blas_readable(&bm, p->k, p->n, p->k_axis.b, p->n_axis.b);
    for (int64_t k0 = k[0]; k0 < k[1]; k0 += BLAS_MOST) {
        int64_t kn = k[1] - k0 < BLAS_MOST ? k[1] - k0 : BLAS_MOST;
        am.data = g->a + (a + m[0] * p->m_axis.a + k0 * p->k_axis.a) * p->bytes;
        bm.data = g->b + (b + n[0] * p->n_axis.b + k0 * p->k_axis.b) * p->bytes;
        calls += fuse_cpu_product(cpu->tile, p->type, m[1] - m[0], n[1] - n[0], kn, am, bm, c, ldc, add || k0 > k[0],
                                  room, k0 + kn < k[1] ? NULL : done);
    }
    return calls;
}

/* Borders of part i of n split into `parts`, at multiples of 16 so that the micro-kernels stay whole. */
static void part_of(int64_t out[2], int64_t n, int64_t parts, int64_t i) {
    int64_t units = (n + 15) / 16;
    out[0] = fuse_split_begin(units, parts, i) * 16;
    out[1] = i + 1 == parts ? n : fuse_split_begin(units, parts, i + 1) * 16;
}

/* rows * columns = parts, with the least operand traffic. */
static void choose_grid(const struct product *p, int64_t parts, int64_t *rows, int64_t *columns) {
    double best = 0;
    *rows = 1;
    *columns = parts;
    for (int64_t r = 1; r <= parts; r++) {
        if (parts % r != 0)
            continue;
        double traffic = (double)p->m / (double)r + (double)p->n / (double)(parts / r);
        if (r == 1 || traffic < best) {
            best = traffic;
            *rows = r;
            *columns = parts / r;
        }
    }
    int64_t most_rows = (p->m + 15) / 16, most_columns = (p->n + 15) / 16;
    if (*rows > most_rows)
        *rows = most_rows;
    if (*columns > most_columns)
        *columns = most_columns;
    while ((p->m + *rows - 1) / *rows > BLAS_MOST)
        *rows *= 2;
    while ((p->n + *columns - 1) / *columns > BLAS_MOST)
        *columns *= 2;
}

/* Whole products at the points [begin, end): they may be so small that finding each by divisions would take as long. */
static int64_t run_points(const struct fuse_cpu_backend *cpu, const struct fuse_grouped *g, const struct product *p,
                          int64_t begin, int64_t end, int64_t ldc) {
    const struct fuse_group_axis inner = p->outers > 0 ? p->outer[p->outers - 1] : unit;
    void *room = cpu->scratch + (size_t)omp_get_thread_num() * FUSE_CPU_SCRATCH + FUSE_CPU_PANELS;
    struct fuse_blas_matrix am = {0}, bm = {0};
    struct part part;
    int64_t calls = 0;
    fuse_blas_readable(&am, p->m, p->k, p->m_axis.a, p->k_axis.a);
    fuse_blas_readable(&bm, p->k, p->n, p->k_axis.b, p->n_axis.b);
    for (int64_t point = begin; point < end;) {
        const int64_t left = inner.extent - point % inner.extent, run = left < end - point ? left : end - point;
        int64_t a = 0, b = 0, c = 0;
        point_of(p->outers, p->outer, point, &a, &b, &c);
        for (int64_t i = 0; i < run; i++, a += inner.a, b += inner.b, c += inner.c) {
            am.data = g->a + a * p->bytes;
            bm.data = g->b + b * p->bytes;
            calls += fuse_cpu_product(cpu->tile, p->type, p->m, p->n, p->k, am, bm, g->c + c * p->bytes, ldc,
                                      g->accumulate, room, watch(&part, p, c));
        }
        point += run;
    }
    return calls;
}

static void run_products(struct fuse_cpu_backend *cpu, const struct fuse_grouped *g, const struct product *p,
                         struct fuse_cpu_counts *counts) {
    const int64_t ldc = p->m == 1 ? p->n : p->m_axis.c, work = p->m * p->n * p->k / 32 * p->sum_points * p->points;
    const int useful = fuse_cpu_threads(cpu, INT64_MAX, work);
    int64_t rows = 1, columns = 1;
    bool even = p->points % useful == 0 || p->points >= 8 * (int64_t)useful;
    choose_grid(p, even ? 1 : useful, &rows, &columns);
    const int64_t tasks = p->points * rows * columns;
    const int threads = fuse_cpu_threads(cpu, tasks, work);
    int64_t calls = 0;
    if (rows * columns == 1 && p->sum_points == 1 && p->k <= BLAS_MOST) {
#pragma omp parallel for num_threads(threads) schedule(static, 1) reduction(+ : calls)
        for (int t = 0; t < threads; t++)
            calls += run_points(cpu, g, p, fuse_split_begin(tasks, threads, t), fuse_split_begin(tasks, threads, t + 1),
                                ldc);
        counts->blas_calls += calls;
        return;
    }
#pragma omp parallel for num_threads(threads) schedule(static) reduction(+ : calls)
    for (int64_t task = 0; task < tasks; task++) {
        int64_t m[2], n[2], k[2] = {0, p->k}, a0 = 0, b0 = 0, c0 = 0;
        part_of(m, p->m, rows, task / columns % rows);
        part_of(n, p->n, columns, task % columns);
        point_of(p->outers, p->outer, task / (rows * columns), &a0, &b0, &c0);
        c0 += m[0] * p->m_axis.c + n[0] * p->n_axis.c;
        struct part part;
        const struct fuse_tile_done *done = watch(&part, p, c0);
        for (int64_t s = 0; s < p->sum_points; s++) {
            int64_t a = a0, b = b0, none = 0;
            point_of(p->sums, p->sum, s, &a, &b, &none);
            calls += multiply(cpu, g, p, a, b, m, n, k, g->c + c0 * p->bytes, ldc, g->accumulate || s > 0,
                              s + 1 < p->sum_points ? NULL : done);
        }
    }
    counts->blas_calls += calls;
}

/* A small result of a long sum: each thread sums a part of k into its own scratch memory. */
static void run_split_sum(struct fuse_cpu_backend *cpu, const struct fuse_grouped *g, const struct product *p,
                          int threads, struct fuse_cpu_counts *counts) {
    const int64_t size = p->m * p->n, ldc = p->m == 1 ? p->n : p->m_axis.c;
    int64_t calls = 0;
#pragma omp parallel for num_threads(threads) schedule(static, 1) reduction(+ : calls)
    for (int t = 0; t < threads; t++) {
        int64_t m[2] = {0, p->m}, n[2] = {0, p->n}, k[2];
        part_of(k, p->k, threads, t);
        calls += multiply(cpu, g, p, 0, 0, m, n, k, cpu->scratch + (size_t)t * FUSE_CPU_SCRATCH, p->n, false, NULL);
    }
    counts->blas_calls += calls;
    for (int64_t i = 0; i < size; i++) {
        char *c = g->c + (i / p->n * ldc + i % p->n) * p->bytes;
        if (p->type == FUSE_F32) {
            float sum = g->accumulate ? *(float *)c : 0;
            for (int t = 0; t < threads; t++)
                sum += ((const float *)(cpu->scratch + (size_t)t * FUSE_CPU_SCRATCH))[i];
            *(float *)c = sum;
        } else {
            double sum = g->accumulate ? *(double *)c : 0;
            for (int t = 0; t < threads; t++)
                sum += ((const double *)(cpu->scratch + (size_t)t * FUSE_CPU_SCRATCH))[i];
            *(double *)c = sum;
        }
    }
}

static bool is_aliased(const struct fuse_grouped *g) {
    const struct fuse_group_axis m = g->axis[FUSE_GROUP_M][0], n = g->axis[FUSE_GROUP_N][0],
                                 k = g->axis[FUSE_GROUP_K][0];
    const int64_t bytes = (int64_t)fuse_dtype_bytes(g->type), a = m.a > k.a ? m.a : k.a, b = n.b > k.b ? n.b : k.b;
    return a * bytes % ALIAS == 0 || b * bytes % ALIAS == 0;
}

/* Whether rows, columns and terms are one axis each. */
static bool has_single_axes(const struct fuse_grouped *g) {
    return g->axes[FUSE_GROUP_M] == 1 && g->axes[FUSE_GROUP_N] == 1 && g->axes[FUSE_GROUP_K] == 1;
}

/* With c dense along N. */
static struct fuse_grouped turn_rows(const struct fuse_grouped *g) {
    struct fuse_grouped turned = *g;
    if (g->axis[FUSE_GROUP_M][0].c == 1)
        fuse_group_swap(&turned);
    return turned;
}

/* One product of matrices that is so large that what BLAS packs it uses often: of many rows by many columns, of few rows if blocks would
 * have to turn b or, in F64, have strips half as wide. */
static bool is_large(const struct fuse_grouped *g, int64_t m, int64_t n, int64_t k) {
    if (!has_single_axes(g) || m < LARGE_EDGE || n < LARGE_EDGE || k < LARGE_EDGE)
        return false;
    if (fuse_sat_mul(fuse_sat_mul(m, n), k) < (is_aliased(g) ? LARGE_ALIASED : LARGE))
        return false;
    const struct fuse_grouped turned = turn_rows(g);
    return turned.axis[FUSE_GROUP_N][0].extent >= LARGE_SIDE &&
           (turned.axis[FUSE_GROUP_M][0].extent >= LARGE_SIDE || turned.axis[FUSE_GROUP_K][0].b == 1 ||
            g->type == FUSE_F64);
}

/* Sums of few terms for which blocks are faster than BLAS, which packs a's columns, and than strips, which copy b. */
static bool is_thin_for_blocks(const struct fuse_grouped *g, const struct fuse_tile_table *tile) {
    if (!has_single_axes(g))
        return false;
    const struct fuse_grouped turned = turn_rows(g);
    const struct fuse_group_axis m = turned.axis[FUSE_GROUP_M][0], n = turned.axis[FUSE_GROUP_N][0],
                                 k = turned.axis[FUSE_GROUP_K][0];
    if (n.c != 1 || fuse_sat_mul(fuse_sat_mul(m.extent, n.extent), k.extent) <= BLAS_SMALL)
        return false;
    if (m.a == 1 && fuse_sat_mul(m.extent, k.extent) > LITTLE && n.extent >= WIDE)
        return true;
    const int64_t vector = tile->strip_bytes / 2 / (int64_t)fuse_dtype_bytes(g->type);
    return n.b == 1 && n.extent % vector == 0 && k.b % vector == 0 && m.extent <= BLOCKS * tile->block_rows &&
           ((m.extent >= COPIED_ROWS && k.extent >= COPIED_TERMS) || (m.extent >= LONG_ROWS && k.extent >= LONG_TERMS));
}

/* Whether there is one product of matrices, at each position of a batch. */
static bool is_matrix(const struct fuse_grouped *g) {
    return g->axes[FUSE_GROUP_M] <= 1 && g->axes[FUSE_GROUP_N] <= 1 && g->axes[FUSE_GROUP_K] <= 1;
}

/* One product that BLAS has a kernel of its own for, which packs nothing: a small one of matrices without gaps, but not of rows by
 * rows. What goes over the results of a batch of them is better taken along. */
static bool is_small(const struct fuse_grouped *g, int64_t m, int64_t n, int64_t k) {
    const struct fuse_group_axis *sum = g->axis[FUSE_GROUP_K], *row = g->axis[FUSE_GROUP_M],
                                 *column = g->axis[FUSE_GROUP_N];
    return is_matrix(g) && g->axes[FUSE_GROUP_K] == 1 && fuse_sat_mul(fuse_sat_mul(m, n), k) <= BLAS_SMALL &&
           k <= LONG_SUM && (sum->a != 1 || sum->b != 1) && row->a <= 2 * k && column->b <= 2 * k && sum->a <= 2 * m &&
           sum->b <= 2 * n && (g->then == NULL || g->axes[FUSE_GROUP_BATCH] == 0) && fuse_blas_is_concurrent();
}

/* Few long rows that are dense in the result, and in an operand or the other. */
static bool has_long_rows(const struct fuse_grouped *g, int64_t m, int64_t n) {
    for (int group = FUSE_GROUP_M; group <= FUSE_GROUP_N; group++) {
        const int axes = g->axes[group];
        if (axes > 0 && g->axis[group][axes - 1].c == 1 && g->axis[group][axes - 1].extent >= WORTH_ROW &&
            (group == FUSE_GROUP_M ? n : m) <= FEW)
            return true;
    }
    return false;
}

/* Where operands are better read as they lie: very large matrices and small ones, matrices or long rows with sums of few terms, and
 * small results of sums that are so long that threads share them out. */
bool fuse_cpu_direct_first(const struct fuse_cpu_backend *cpu, const struct fuse_grouped *g) {
    const int64_t m = fuse_group_points(g, FUSE_GROUP_M), n = fuse_group_points(g, FUSE_GROUP_N),
                  k = fuse_group_points(g, FUSE_GROUP_K);
    return !cpu->tile->block_first ||
           (k < THIN && !is_thin_for_blocks(g, cpu->tile) && (is_matrix(g) || has_long_rows(g, m, n))) ||
           is_small(g, m, n, k) || is_large(g, m, n, k) ||
           (cpu->threads > 1 && fuse_sat_mul(m, n) <= SMALL_RESULT && k / LONG_SUM > 1 && k / 4 >= m + n);
}

/* Parts that are worth a call of an epilogue and stay in the second-level cache until then: rows by strips, or matrices of a batch. */
static bool has_parts(const struct product *p) {
    const int64_t points = p->m * p->n;
    struct fuse_blas_matrix a = {0}, b = {0};
    if (points < LEAST_PART || !fuse_blas_readable(&a, p->m, p->k, p->m_axis.a, p->k_axis.a) ||
        !fuse_blas_readable(&b, p->k, p->n, p->k_axis.b, p->n_axis.b))
        return false;
    return fuse_suits_strips(p->m, p->n, p->k, a.transposed, b.transposed) ||
           (p->points > 1 && points * p->bytes <= MOST_PART);
}

/* Whether the product is worth a call of its own, when there are further loops around it. */
static bool is_worth(const struct fuse_tile_table *tile, const struct product *p) {
    const int64_t size = p->m * p->n * p->k;
    struct fuse_blas_matrix a = {0}, b = {0};
    if (p->m == 1 || p->n == 1)
        return size >= WORTH_MATRIX && p->k >= WORTH_EDGE && (p->m * p->n >= WORTH_EDGE || p->k >= WORTH_ROW);
    if (p->sums == 0 && p->n >= WORTH_ROW && size >= WORTH_ROWS)
        return true;
    fuse_blas_readable(&a, p->m, p->k, p->m_axis.a, p->k_axis.a);
    fuse_blas_readable(&b, p->k, p->n, p->k_axis.b, p->n_axis.b);
    const bool few = suits_dots(tile, p->m, p->n, p->k, a.transposed, b.transposed);
    return (few || (p->m >= WORTH_EDGE && p->n >= WORTH_EDGE)) && p->k >= (p->sums > 0 ? WORTH_SUM : WORTH_EDGE) &&
           size >= WORTH_PRODUCT;
}

bool fuse_cpu_run_direct(struct fuse_cpu_backend *cpu, struct fuse_grouped *g, struct fuse_cpu_counts *counts) {
    if (!is_real(g->type) || g->a_dtype != g->type || g->b_dtype != g->type)
        return false;
    const bool single = is_matrix(g);
    int chosen[FUSE_GROUPS] = {0};
    if (single) {
        struct product p = make_product(g, chosen);
        if (p.m * p.n <= TINY && p.m * p.n * p.k <= TINY) {
            run_tiny(cpu, g, &p);
            return true;
        }
    }
    int64_t size = choose_axes(g, chosen);
    struct fuse_grouped turned = *g;
    fuse_group_swap(&turned);
    int other[FUSE_GROUPS] = {0};
    if (choose_axes(&turned, other) > size) {
        *g = turned;
        size = choose_axes(g, chosen);
    }
    if (size == 0)
        return false;
    struct product p = make_product(g, chosen);
    if (!single && !is_worth(cpu->tile, &p))
        return false;
    int threads = fuse_cpu_threads(cpu, p.k / LONG_SUM, p.m * p.n * p.k / 32);
    if (threads > 1 && p.points == 1 && p.sum_points == 1 && p.m * p.n <= SMALL_RESULT && p.k >= 4 * (p.m + p.n) &&
        p.k < BLAS_MOST)
        run_split_sum(cpu, g, &p, threads, counts);
    else {
        p.then = has_parts(&p) ? fuse_epilogue_begin(g->then) : NULL;
        run_products(cpu, g, &p, counts);
    }
    return true;
}

/* ---- scalar products ---- */

/* Terms that are summed in their own type; what comes of them is summed in double. */
#define DOT_TERMS 4096
/* Few long sums are cut in as many parts, whatever the number of threads, so that it changes no bit. */
#define DOT_PARTS 64
#define DOT_LONG ((int64_t)1 << 16)

/* Short runs often follow one another in memory: what comes is fetched early, which the processor does not do over pages. */
#define DOT_AHEAD 2048 /* bytes */
#define DOT_SHORT 4096

static double dot_run(enum fuse_dtype type, const char *a, const char *b, int64_t n) {
    double sum = 0;
    const int64_t bytes = (int64_t)fuse_dtype_bytes(type);
    for (int64_t at = 0; n * bytes <= DOT_SHORT && at < n * bytes; at += 64) {
        __builtin_prefetch(a + at + DOT_AHEAD);
        __builtin_prefetch(b + at + DOT_AHEAD);
    }
    for (int64_t i = 0; i < n; i += DOT_TERMS) {
        const int terms = (int)(n - i < DOT_TERMS ? n - i : DOT_TERMS);
        if (type == FUSE_F32)
            sum += (double)cblas_sdot(terms, (const float *)(a + i * bytes), 1, (const float *)(b + i * bytes), 1);
        else
            sum += cblas_ddot(terms, (const double *)(a + i * bytes), 1, (const double *)(b + i * bytes), 1);
    }
    return sum;
}

/* Runs [begin, end) of the summed indices at one batch position; a run is the innermost of them. */
static double dot_runs(const struct fuse_grouped *g, int64_t a0, int64_t b0, int64_t begin, int64_t end) {
    const int outers = g->axes[FUSE_GROUP_K] - 1;
    const int64_t extent = g->axis[FUSE_GROUP_K][outers].extent, bytes = (int64_t)fuse_dtype_bytes(g->type);
    double sum = 0;
    if (outers == 0)
        return dot_run(g->type, g->a + (a0 + begin) * bytes, g->b + (b0 + begin) * bytes, end - begin);
    while (begin < end) {
        const int64_t at = begin % extent, n = extent - at < end - begin ? extent - at : end - begin;
        int64_t a = a0 + at, b = b0 + at, none = 0;
        point_of(outers, g->axis[FUSE_GROUP_K], begin / extent, &a, &b, &none);
        sum += dot_run(g->type, g->a + a * bytes, g->b + b * bytes, n);
        begin += n;
    }
    return sum;
}

static void write_sum(const struct fuse_grouped *g, int64_t c, double sum) {
    if (g->type == FUSE_F32)
        ((float *)g->c)[c] = (float)(sum + (g->accumulate ? (double)((float *)g->c)[c] : 0));
    else
        ((double *)g->c)[c] = sum + (g->accumulate ? ((double *)g->c)[c] : 0);
}

bool fuse_cpu_run_dots(struct fuse_cpu_backend *cpu, const struct fuse_grouped *g, struct fuse_cpu_counts *counts) {
    const int axes = g->axes[FUSE_GROUP_K];
    if (!is_real(g->type) || g->a_dtype != g->type || g->b_dtype != g->type || axes == 0 || !fuse_blas_is_concurrent())
        return false;
    const struct fuse_group_axis *inner = &g->axis[FUSE_GROUP_K][axes - 1];
    if (inner->a != 1 || inner->b != 1 || inner->extent < THIN)
        return false;
    const int64_t points = fuse_group_points(g, FUSE_GROUP_BATCH), terms = fuse_group_points(g, FUSE_GROUP_K),
                  parts = points < DOT_PARTS && terms >= DOT_LONG ? DOT_PARTS : 1;
    const int threads = fuse_cpu_threads(cpu, points * parts, points * terms / 4);
    double *partial = (double *)cpu->partials; /* [points][DOT_PARTS] when cut */
    int64_t calls = 0;
#pragma omp parallel for num_threads(threads) schedule(static) reduction(+ : calls)
    for (int64_t t = 0; t < points * parts; t++) {
        int64_t a = 0, b = 0, c = 0;
        point_of(g->axes[FUSE_GROUP_BATCH], g->axis[FUSE_GROUP_BATCH], parts == 1 ? t : t / parts, &a, &b, &c);
        const double sum = parts == 1 ? dot_runs(g, a, b, 0, terms)
                                      : dot_runs(g, a, b, fuse_split_begin(terms, parts, t % parts),
                                                 fuse_split_begin(terms, parts, t % parts + 1));
        calls++;
        if (parts > 1)
            partial[t] = sum;
        else
            write_sum(g, c, sum);
    }
    for (int64_t point = 0; parts > 1 && point < points; point++) {
        int64_t a = 0, b = 0, c = 0;
        point_of(g->axes[FUSE_GROUP_BATCH], g->axis[FUSE_GROUP_BATCH], point, &a, &b, &c);
        double sum = 0;
        for (int64_t i = 0; i < parts; i++)
            sum += partial[point * parts + i];
        write_sum(g, c, sum);
    }
    counts->blas_calls += calls;
    return true;
}
