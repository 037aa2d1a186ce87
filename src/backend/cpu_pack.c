/* Contractions through packed panels: any strides, any dtypes, several indices a group.
 *
 * The iteration space is cut in boxes (cpu_box.h). The parts of a and b that belong to a box are packed into the thread's
 * scratch memory, converted to the result's dtype on the way, in the order in which the product in strips reads them; where
 * an operand is dense along a batch index, several products are packed at a time. An operand with single strides and little
 * reuse is read where it lies. A result that cannot be written in place is collected in a panel and scattered. */
#include "backend/cpu_box.h"
#include "backend/cpu_panel.h"

#include <string.h>

#define BOX_K 384
/* Several products at a time have little reuse: their panels stay in a second-level cache. */
#define BATCH_ROOM ((int64_t)1792 << 10)
/* Up to so many columns an operand of rows is not worth packing. */
#define LITTLE_REUSE 192
#define SHORTEST_RUN 32

struct pack_plan {
    const struct fuse_grouped *g;
    const struct fuse_tile_table *tile;
    struct fuse_boxes boxes;
    struct fuse_panel a, b, c;
    bool a_in_place, c_in_place, in_strips;
    int64_t bytes;                                     /* of the calculation's type */
    int64_t panel_at[FUSE_BOX_OPERANDS], panels_bytes; /* in scratch memory */
    int threads;
    struct fuse_epilogue *then;
};

/* A thread's scratch memory, the box that it is at, what its panels hold, and its share of the counts. */
struct worker {
    const struct pack_plan *p;
    struct fuse_box_range *range; /* [FUSE_GROUPS] */
    int64_t a_box[FUSE_GROUPS], b_box[FUSE_GROUPS];
    char *a, *b, *c, *room;
    int64_t calls, packed;
    int specials_a, specials_b;
    bool overflow;
    int thread;
};

static void make_panels(struct pack_plan *p) {
    const int64_t width = p->in_strips ? p->tile->strip_bytes / p->bytes : 0;
    fuse_panel_make(&p->a, &p->boxes, FUSE_BOX_A, FUSE_GROUP_M, 0, p->tile);
    fuse_panel_make(&p->b, &p->boxes, FUSE_BOX_B, FUSE_GROUP_N, width, p->tile);
    fuse_panel_make(&p->c, &p->boxes, FUSE_BOX_C, FUSE_GROUP_N, 0, p->tile);
    const int64_t *points = p->boxes.points;
    const struct fuse_panel *panel[] = {&p->a, &p->b, &p->c};
    const bool in_place[] = {p->a_in_place, false, p->c_in_place};
    p->panels_bytes = 0;
    for (int o = 0; o < FUSE_BOX_OPERANDS; o++) {
        const int64_t step = fuse_panel_step(panel[o], points[panel[o]->lane], points[panel[o]->other]);
        p->panel_at[o] = p->panels_bytes;
        if (!in_place[o])
            p->panels_bytes +=
                (points[FUSE_GROUP_BATCH] * step * p->bytes + FUSE_CPU_LINE - 1) / FUSE_CPU_LINE * FUSE_CPU_LINE;
    }
}

/* Rows of a with one stride, of runs along K that are worth a call. */
static bool reads_a_in_place(const struct pack_plan *p) {
    const struct fuse_boxes *boxes = &p->boxes;
    int64_t row, column;
    const int64_t m = fuse_box_run(boxes, NULL, FUSE_GROUP_M, FUSE_BOX_A, &row),
                  k = fuse_box_run(boxes, NULL, FUSE_GROUP_K, FUSE_BOX_A, &column);
    if (p->g->a_dtype != p->g->type || p->g->type == FUSE_I64 || m != boxes->points[FUSE_GROUP_M])
        return false;
    struct fuse_blas_matrix x;
    const bool whole = k == boxes->points[FUSE_GROUP_K], little = fuse_group_points(p->g, FUSE_GROUP_N) <= LITTLE_REUSE;
    return (whole ? little || !p->in_strips : little && k >= SHORTEST_RUN) && fuse_blas_readable(&x, m, k, row, column);
}

static bool writes_c_in_place(const struct pack_plan *p) {
    const struct fuse_boxes *boxes = &p->boxes;
    int64_t row, column;
    struct fuse_blas_matrix x;
    const int64_t m = boxes->points[FUSE_GROUP_M], n = boxes->points[FUSE_GROUP_N];
    return p->g->type != FUSE_I64 && fuse_box_run(boxes, NULL, FUSE_GROUP_M, FUSE_BOX_C, &row) == m &&
           fuse_box_run(boxes, NULL, FUSE_GROUP_N, FUSE_BOX_C, &column) == n &&
           fuse_blas_readable(&x, m, n, row, column) && !x.transposed;
}

static void choose_boxes(struct pack_plan *p, const struct fuse_box_limits *limits) {
    const int64_t *points = p->boxes.points;
    fuse_boxes_choose(&p->boxes, p->g, limits);
    p->in_strips = p->g->semiring != FUSE_SUM_TIMES ||
                   (p->tile->has_fma && p->g->type != FUSE_I64 &&
                    fuse_suits_strips(points[FUSE_GROUP_M], points[FUSE_GROUP_N], points[FUSE_GROUP_K], false, false));
    p->a_in_place = p->g->semiring == FUSE_SUM_TIMES && reads_a_in_place(p);
    p->c_in_place = writes_c_in_place(p);
    make_panels(p);
}

static void make_plan(struct pack_plan *p, struct fuse_grouped *g, const struct fuse_cpu_backend *cpu) {
    const int64_t bytes = (int64_t)fuse_dtype_bytes(g->type);
    *p = (struct pack_plan){.g = g, .tile = cpu->tile, .bytes = bytes};
    struct fuse_box_limits limits = {.room = (int64_t)(FUSE_CPU_PANELS - 4096) / bytes,
                                     .batch_room = BATCH_ROOM / bytes,
                                     .k = BOX_K,
                                     .mn = FUSE_BOX_POINTS,
                                     .line = FUSE_CPU_LINE / bytes};
    const double work = (double)fuse_group_points(g, FUSE_GROUP_M) * (double)fuse_group_points(g, FUSE_GROUP_N) *
                        (double)fuse_group_points(g, FUSE_GROUP_K) * (double)fuse_group_points(g, FUSE_GROUP_BATCH);
    const int threads = fuse_cpu_threads(cpu, INT64_MAX, work < 1e18 ? (int64_t)(work / 16) : INT64_MAX);
    p->threads = threads;
    choose_boxes(p, &limits);
    /* What needs no panel leaves room for the others. */
    if (p->a_in_place || p->c_in_place) {
        limits.a_in_place = p->a_in_place;
        limits.c_in_place = p->c_in_place;
        choose_boxes(p, &limits);
    }
    /* Smaller boxes where threads would stand idle, or where lines along many axes do not fit. */
    for (;;) {
        const int64_t *boxes = p->boxes.boxes,
                      tasks = boxes[FUSE_GROUP_BATCH] * boxes[FUSE_GROUP_M] * boxes[FUSE_GROUP_N];
        if (p->panels_bytes > (int64_t)FUSE_CPU_PANELS) {
            limits.a_in_place = limits.c_in_place = false;
            limits.line = limits.line > 1 ? limits.line / 2 : 1;
            limits.room /= 2;
            limits.batch_room /= 2;
        } else if (tasks % threads == 0 || tasks >= 8 * threads || limits.mn <= 64) {
            break;
        } else {
            limits.mn /= 2;
        }
        choose_boxes(p, &limits);
    }
}

/* Functions, because gcc 12 reads operands of the builtins again after writing a result that overlaps them. */
static inline bool add_overflows(int64_t a, int64_t b, int64_t *sum) {
    return __builtin_add_overflow(a, b, sum);
}

static inline bool mul_overflows(int64_t a, int64_t b, int64_t *product) {
    return __builtin_mul_overflow(a, b, product);
}

/* c += a b on packed panels of integers: a is k x m, b k x n, c m x n. When the largest magnitudes show that no sum can leave
 * 63 bits, vector code in two's complement does it; otherwise every step is checked. */
static bool multiply_integers(const struct fuse_tile_table *tile, int64_t m, int64_t n, int64_t k, const int64_t *a,
                              const int64_t *b, int64_t *c) {
    double largest = (double)tile->magnitude(a, m * k) * (double)tile->magnitude(b, k * n) * (double)k +
                     (double)tile->magnitude(c, m * n);
    bool overflow = false;
    for (int64_t i = 0; i < m; i++)
        for (int64_t x = 0; x < k; x++) {
            int64_t factor = a[x * m + i];
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

/* One matrix product: rows of a with strides, where they lie or packed, by a packed panel of b, to c. */
struct matrix_product {
    int64_t m, n, k;
    const char *a, *b;
    char *c;
    int64_t a_row, a_column, ldc;
    bool add;
};

static void multiply_in_strips(struct worker *w, const struct matrix_product *x, int64_t k0, int64_t k_all) {
    const struct pack_plan *p = w->p;
    fuse_tile_product *product = p->tile->product[p->g->semiring][p->g->type == FUSE_F64];
    const int64_t width = p->b.width;
    for (int64_t n = 0; n < x->n; n += width)
        product(x->m, x->n - n < width ? x->n - n : width, x->k, x->a, x->a_row, x->a_column,
                x->b + (n * k_all + k0 * width) * p->bytes, width, 1, x->c + n * p->bytes, x->ldc, x->add, w->room);
}

static void multiply_whole(struct worker *w, const struct matrix_product *x, int64_t k0) {
    const struct pack_plan *p = w->p;
    if (p->g->type == FUSE_I64) {
        w->overflow |=
            multiply_integers(p->tile, x->m, x->n, x->k, (const int64_t *)x->a, (const int64_t *)x->b, (int64_t *)x->c);
        return;
    }
    struct fuse_blas_matrix a = {0}, b = {.data = x->b + k0 * x->n * p->bytes, .ld = x->n};
    fuse_blas_readable(&a, x->m, x->k, x->a_row, x->a_column);
    a.data = x->a;
    w->calls += fuse_cpu_product(p->tile, p->g->type, x->m, x->n, x->k, a, b, x->c, x->ldc, x->add, w->room, NULL);
}

/* The product at one batch position of the box; first: nothing has been added to c yet. */
static void multiply_point(struct worker *w, int64_t point, bool first) {
    const struct pack_plan *p = w->p;
    const struct fuse_grouped *g = p->g;
    const struct fuse_box_range *batch = &w->range[FUSE_GROUP_BATCH], *m = &w->range[FUSE_GROUP_M],
                                *n = &w->range[FUSE_GROUP_N], *k = &w->range[FUSE_GROUP_K];
    struct matrix_product x = {.m = m->points, .n = n->points, .a_row = 1, .a_column = m->points, .ldc = n->points};
    int64_t run = k->points;
    x.add = !first || (p->c_in_place && g->accumulate);
    if (p->c_in_place) {
        int64_t row;
        fuse_box_run(&p->boxes, m, FUSE_GROUP_M, FUSE_BOX_C, &row);
        x.ldc = m->points == 1 ? n->points : row;
        x.c =
            g->c + (batch->offset[FUSE_BOX_C][point] + m->offset[FUSE_BOX_C][0] + n->offset[FUSE_BOX_C][0]) * p->bytes;
    } else {
        x.c = w->c + point * m->points * n->points * p->bytes;
    }
    if (p->a_in_place) {
        run = fuse_box_run(&p->boxes, k, FUSE_GROUP_K, FUSE_BOX_A, &x.a_column);
        fuse_box_run(&p->boxes, m, FUSE_GROUP_M, FUSE_BOX_A, &x.a_row);
    }
    const char *b = w->b + point * fuse_panel_step(&p->b, n->points, k->points) * p->bytes;
    for (int64_t k0 = 0; k0 < k->points; k0 += run) {
        x.k = run;
        x.a = p->a_in_place
                  ? g->a + (batch->offset[FUSE_BOX_A][point] + m->offset[FUSE_BOX_A][0] + k->offset[FUSE_BOX_A][k0]) *
                               p->bytes
                  : w->a + point * m->points * k->points * p->bytes;
        x.b = b;
        if (p->in_strips)
            multiply_in_strips(w, &x, k0, k->points);
        else
            multiply_whole(w, &x, k0);
        x.add = true;
    }
}

/* Packs an operand's part of the box unless its panel holds it. */
static void fetch(struct worker *w, const struct fuse_panel *panel, char *to, int64_t *box, int *specials) {
    const struct pack_plan *p = w->p;
    bool held = true;
    for (int group = 0; group < FUSE_GROUPS; group++)
        if (group == FUSE_GROUP_BATCH || group == FUSE_GROUP_K || group == (int)panel->lane) {
            held = held && box[group] == w->range[group].number;
            box[group] = w->range[group].number;
        }
    if (held)
        return;
    w->packed += fuse_panel_pack(panel, w->range, to) * p->bytes;
    if (p->g->semiring != FUSE_SUM_TIMES)
        *specials |= fuse_panel_specials(panel, w->range, to, p->tile->specials[p->g->type == FUSE_F64]);
}

static enum fuse_scatter how_to_scatter(const struct fuse_grouped *g) {
    if (!g->accumulate)
        return FUSE_SCATTER_SET;
    switch (g->semiring) {
    case FUSE_SUM_TIMES: return FUSE_SCATTER_ADD;
    case FUSE_MIN_PLUS:
    case FUSE_MIN_TIMES:
    case FUSE_MIN_MAX: return FUSE_SCATTER_MIN;
    default: return FUSE_SCATTER_MAX;
    }
}

/* The part of the result in a box of batch, M and N positions. */
static void run_box(struct worker *w, int64_t task) {
    const struct pack_plan *p = w->p;
    const int64_t *boxes = p->boxes.boxes;
    fuse_box_seek(&w->range[FUSE_GROUP_M], &p->boxes, FUSE_GROUP_M, task % boxes[FUSE_GROUP_M]);
    fuse_box_seek(&w->range[FUSE_GROUP_N], &p->boxes, FUSE_GROUP_N, task / boxes[FUSE_GROUP_M] % boxes[FUSE_GROUP_N]);
    fuse_box_seek(&w->range[FUSE_GROUP_BATCH], &p->boxes, FUSE_GROUP_BATCH,
                  task / (boxes[FUSE_GROUP_M] * boxes[FUSE_GROUP_N]));
    const int64_t points = w->range[FUSE_GROUP_BATCH].points;
    if (p->g->type == FUSE_I64)
        memset(w->c, 0, (size_t)(points * w->range[FUSE_GROUP_M].points * w->range[FUSE_GROUP_N].points * p->bytes));
    for (int64_t k = 0; k < boxes[FUSE_GROUP_K]; k++) {
        fuse_box_seek(&w->range[FUSE_GROUP_K], &p->boxes, FUSE_GROUP_K, k);
        if (!p->a_in_place)
            fetch(w, &p->a, w->a, w->a_box, &w->specials_a);
        fetch(w, &p->b, w->b, w->b_box, &w->specials_b);
        for (int64_t point = 0; point < points; point++)
            multiply_point(w, point, k == 0);
    }
    if (!p->c_in_place)
        w->overflow |= fuse_panel_scatter(&p->c, w->range, w->c, how_to_scatter(p->g));
    if (p->then)
        fuse_box_epilogue(p->then, w->thread, &p->boxes, w->range, -1, 0, w->range[FUSE_GROUP_M].points);
}

void fuse_cpu_run_packed(struct fuse_cpu_backend *cpu, struct fuse_grouped *g, struct fuse_cpu_counts *counts,
                         int specials[2]) {
    bool swapped = false;
    /* A result that is dense along M is written as the transposed product. */
    if (g->axes[FUSE_GROUP_M] > 0) {
        const struct fuse_group_axis *m = &g->axis[FUSE_GROUP_M][g->axes[FUSE_GROUP_M] - 1];
        const struct fuse_group_axis *n =
            g->axes[FUSE_GROUP_N] > 0 ? &g->axis[FUSE_GROUP_N][g->axes[FUSE_GROUP_N] - 1] : NULL;
        if (m->c == 1 && (n == NULL || n->c != 1))
            swapped = true;
    }
    if (swapped)
        fuse_group_swap(g);
    fuse_group_dense_last(g, FUSE_GROUP_K);
    struct pack_plan p;
    make_plan(&p, g, cpu);
    p.then = fuse_epilogue_begin(g->then);
    const int64_t tasks = p.boxes.boxes[FUSE_GROUP_BATCH] * p.boxes.boxes[FUSE_GROUP_M] * p.boxes.boxes[FUSE_GROUP_N];
    const int threads = tasks < p.threads ? (int)tasks : p.threads;
    int64_t calls = 0, packed = 0;
    bool overflow = false;
    int specials_a = 0, specials_b = 0;
#pragma omp parallel for num_threads(threads) schedule(static, 1) reduction(+ : calls, packed) \
    reduction(|| : overflow) reduction(| : specials_a, specials_b)
    for (int thread = 0; thread < threads; thread++) {
        struct fuse_box_range range[FUSE_GROUPS];
        struct worker w = {.p = &p, .range = range, .thread = thread};
        char *scratch = cpu->scratch + (size_t)thread * FUSE_CPU_SCRATCH;
        w.a = scratch + p.panel_at[FUSE_BOX_A];
        w.b = scratch + p.panel_at[FUSE_BOX_B];
        w.c = scratch + p.panel_at[FUSE_BOX_C];
        w.room = scratch + FUSE_CPU_PANELS;
        for (int group = 0; group < FUSE_GROUPS; group++)
            range[group].number = w.a_box[group] = w.b_box[group] = -1;
        for (int64_t t = tasks * thread / threads; t < tasks * (thread + 1) / threads; t++)
            run_box(&w, t);
        calls += w.calls;
        packed += w.packed;
        overflow = overflow || w.overflow;
        specials_a |= w.specials_a;
        specials_b |= w.specials_b;
    }
    if (specials) {
        specials[swapped] = specials_a;
        specials[!swapped] = specials_b;
    }
    counts->blas_calls += calls;
    counts->packed_bytes += packed;
    counts->overflow |= overflow;
}
