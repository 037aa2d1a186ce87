/* Contractions of F32 and F64 in blocks: a matrix product by own micro-kernels over operands of any strides, several indices a
 * group (Goto and van de Geijn 2008; Springer and Bienert 2018).
 *
 * The iteration space is cut in boxes (cpu_box.h). For each box of batch, N and K the part of b is packed in strips, which stay
 * in the second-level cache while all of M passes by: parts of a are packed, or read where they lie, and meet all strips, a few
 * rows at a time. Results are added to c, wherever its elements are, out of registers, so that neither a nor b nor c is ever
 * copied as a whole. Sums are cut in the same parts whatever the number of threads is. */
#include "backend/cpu_box.h"
#include "backend/cpu_panel.h"

#include <string.h>

/* Bytes of the panels of b and a, and of a column of b in a box. */
#define B_ROOM ((int64_t)1 << 20)
#define A_ROOM ((int64_t)252 << 10)
#define K_ROOM 1536
/* A sum of no more than so many bytes is not cut: its second part would read and write all of c once more. Nor are b's columns
 * where they are few, so that there is room for them. */
#define K_WHOLE 3072
/* b is read where it lies, if it can be, when no more rows than so many of the kernel's meet it; a when no more strips do. Of rows by
 * rows those that make so few strips are b's: what is turned are they and tiles of c, not all of the others. */
#define FEW_ROWS 3
#define FEW_STRIPS 2
/* Of a and of b so many bytes each stay in the first-level cache: all rows of a meet some strips before the next. */
#define NEAR ((int64_t)16 << 10)
/* Rows of a so many bytes apart fall on one another in the first-level cache, or in the second; for so few that does not matter,
 * with as many that are fetched early. */
#define ALIAS 4096
#define ALIAS_ROWS 12
#define FAR_ALIAS (64 << 10)
#define FAR_ALIAS_ROWS 7
/* Products that are left to others: small ones, and of rows by few rows. */
#define LITTLE ((int64_t)40 * 40 * 40)
#define FEW 16
/* Terms of a sum beside which it does not matter that it is written across. */
#define ACROSS 48

struct blocked {
    const struct fuse_grouped *g;
    const struct fuse_tile_table *tile;
    struct fuse_boxes boxes;
    struct fuse_panel a, b;
    bool a_in_place, b_in_place, a_by_rows; /* a's panel has rows along K, else strips of columns */
    int64_t bytes, width, rows;             /* of the type; columns of a strip; rows that meet it together */
    int64_t a_row, a_column, b_row;         /* strides of what is read in place */
    int64_t b_at;                           /* in scratch memory, behind a's panel */
    int64_t m_parts;                        /* parts of M that threads share out among themselves */
    struct fuse_epilogue *then;
};

struct worker {
    const struct blocked *p;
    struct fuse_box_range *range; /* [FUSE_GROUPS] */
    int64_t a_box[FUSE_GROUPS], b_box[FUSE_GROUPS];
    char *a, *b;
    int64_t packed;
    int thread;
    bool completes; /* the box is the last along K */
};

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* Whether every box has one stride along the group. */
static bool is_even(const struct blocked *p, enum fuse_group group, enum fuse_box_operand operand, int64_t *stride) {
    return fuse_box_run(&p->boxes, NULL, group, operand, stride) == p->boxes.points[group];
}

static void choose_a(struct blocked *p) {
    const struct fuse_grouped *g = p->g;
    const int64_t *points = p->boxes.points, most = p->tile->block_rows;
    enum fuse_group dense = FUSE_GROUP_M;
    int axis = 0;
    p->a_by_rows = fuse_box_densest(g, FUSE_BOX_A, &dense, &axis) && dense == FUSE_GROUP_K;
    const bool even = g->a_dtype == g->type && is_even(p, FUSE_GROUP_M, FUSE_BOX_A, &p->a_row) &&
                      is_even(p, FUSE_GROUP_K, FUSE_BOX_A, &p->a_column),
               few = fuse_group_points(g, FUSE_GROUP_N) <= FEW_STRIPS * p->width, along = p->a_column == 1;
    const int64_t apart = (along ? p->a_row : p->a_column) * p->bytes;
    p->a_in_place = even && (few ? along || apart % ALIAS != 0 : along && apart % ALIAS != 0);
    const int64_t together = !p->a_in_place || apart % ALIAS != 0 ? most
                             : apart % FAR_ALIAS != 0             ? least(most, ALIAS_ROWS)
                                                                  : least(most, FAR_ALIAS_ROWS),
                  groups = (points[FUSE_GROUP_M] + together - 1) / together;
    p->rows = (points[FUSE_GROUP_M] + groups - 1) / groups;
    if (!p->a_in_place)
        fuse_panel_make(&p->a, &p->boxes, FUSE_BOX_A, p->a_by_rows ? FUSE_GROUP_K : FUSE_GROUP_M,
                        p->a_by_rows ? 0 : p->rows, p->tile);
}

/* Whether b's columns make strips of stride 1 where they lie: in each box one run, or runs of whole strips. No vector is read that is
 * not all b's, which may be where memory ends. */
static bool has_strips(const struct blocked *p) {
    const struct fuse_grouped *g = p->g;
    int64_t step, whole = 1, done = 1;
    const int64_t run = fuse_box_run(&p->boxes, NULL, FUSE_GROUP_N, FUSE_BOX_B, &step), vector = p->width / 2;
    for (int x = g->axes[FUSE_GROUP_N] - 1; x >= 0 && done < run; x--) {
        const int64_t block = p->boxes.block[FUSE_GROUP_N][x];
        whole *= block > 1 ? g->axis[FUSE_GROUP_N][x].extent : 1;
        done *= block;
    }
    return step == 1 && run % vector == 0 && whole % vector == 0 &&
           (run == p->boxes.points[FUSE_GROUP_N] || (run % p->width == 0 && whole % p->width == 0));
}

static void choose_b(struct blocked *p) {
    const struct fuse_grouped *g = p->g;
    const int64_t m = fuse_group_points(g, FUSE_GROUP_M), n = fuse_group_points(g, FUSE_GROUP_N);
    const bool even = g->b_dtype == g->type && is_even(p, FUSE_GROUP_K, FUSE_BOX_B, &p->b_row) && has_strips(p),
               near = (n <= p->width || m * p->boxes.points[FUSE_GROUP_K] * p->bytes <= NEAR) &&
                      p->b_row * p->bytes % ALIAS != 0;
    p->b_in_place = even && (near || m <= FEW_ROWS * p->tile->block_rows);
    if (!p->b_in_place)
        fuse_panel_make(&p->b, &p->boxes, FUSE_BOX_B, FUSE_GROUP_N, p->width, p->tile);
}

static int64_t tasks_of(const struct blocked *p) {
    return p->boxes.boxes[FUSE_GROUP_BATCH] * p->boxes.boxes[FUSE_GROUP_N] * p->m_parts;
}

static void make_plan(struct blocked *p, struct fuse_grouped *g, const struct fuse_tile_table *tile, int threads) {
    *p = (struct blocked){.g = g, .tile = tile, .bytes = (int64_t)fuse_dtype_bytes(g->type), .m_parts = 1};
    const int64_t line = FUSE_CPU_LINE / p->bytes, all_k = fuse_group_points(g, FUSE_GROUP_K);
    p->width = tile->strip_bytes / p->bytes;
    const bool few = fuse_group_points(g, FUSE_GROUP_N) <= FEW_STRIPS * p->width;
    const int64_t k = all_k * p->bytes <= K_WHOLE ? all_k : (few ? K_WHOLE : K_ROOM) / p->bytes;
    int64_t most[FUSE_GROUPS] = {1, least(A_ROOM / p->bytes / k, FUSE_BOX_POINTS),
                                 least(B_ROOM / p->bytes / k / p->width * p->width, FUSE_BOX_POINTS), k};
    const int64_t unit[FUSE_GROUPS] = {line, line, p->width, line};
    for (;;) {
        fuse_boxes_cut(&p->boxes, g, most, unit, line);
        const int64_t m_boxes = p->boxes.boxes[FUSE_GROUP_M];
        p->m_parts = 1;
        if (threads == 1 || tasks_of(p) % threads == 0 || tasks_of(p) >= 8 * threads)
            break;
        p->m_parts = least(threads, m_boxes);
        if (m_boxes % threads == 0 || m_boxes >= 4 * threads)
            break;
        if (most[FUSE_GROUP_M] > 4 * tile->block_rows)
            most[FUSE_GROUP_M] /= 2;
        else if (most[FUSE_GROUP_N] > 4 * p->width)
            most[FUSE_GROUP_N] /= 2;
        else
            break;
    }
    choose_a(p);
    choose_b(p);
    const int64_t a =
        p->a_in_place ? 0 : fuse_panel_step(&p->a, p->boxes.points[p->a.lane], p->boxes.points[p->a.other]);
    p->b_at = (a * p->bytes + FUSE_CPU_LINE - 1) / FUSE_CPU_LINE * FUSE_CPU_LINE;
}

/* Packs an operand's part of the box unless its panel holds it. */
static void fetch(struct worker *w, const struct fuse_panel *panel, char *to, int64_t *box) {
    bool held = true;
    for (int group = 0; group < FUSE_GROUPS; group++)
        if (group == FUSE_GROUP_BATCH || group == (int)panel->lane || group == (int)panel->other) {
            held = held && box[group] == w->range[group].number;
            box[group] = w->range[group].number;
        }
    if (held)
        return;
    const int64_t lanes = w->range[panel->lane].points, others = w->range[panel->other].points;
    /* Whole vectors are read of the last strip. */
    if (panel->operand == FUSE_BOX_B && lanes % panel->width != 0)
        memset(to + lanes / panel->width * panel->width * others * panel->bytes, 0,
               (size_t)(panel->width * others * panel->bytes));
    w->packed += fuse_panel_pack(panel, w->range, to) * panel->bytes;
}

/* Of rows [first, end) of the box, which are complete if it is the last along K, the first that are left for later. */
static int64_t finish(const struct worker *w, int64_t first, int64_t end) {
    const struct fuse_box_range *m = &w->range[FUSE_GROUP_M];
    int64_t step;
    if (!w->p->then || !w->completes)
        return first;
    const bool all = end == m->points, few = (end - first) * w->range[FUSE_GROUP_N].points < FUSE_EPILOGUE_POINTS;
    if (!all && (few || fuse_box_run(&w->p->boxes, m, FUSE_GROUP_M, FUSE_BOX_C, &step) < m->points))
        return first;
    fuse_box_epilogue(w->p->then, w->thread, &w->p->boxes, w->range, -1, first, end - first);
    return end;
}

/* All rows of a's part of the box by the part of b. */
static void multiply(const struct worker *w, struct fuse_tile_block *x) {
    const struct blocked *p = w->p;
    const struct fuse_grouped *g = p->g;
    const struct fuse_box_range *batch = &w->range[FUSE_GROUP_BATCH], *m = &w->range[FUSE_GROUP_M],
                                *n = &w->range[FUSE_GROUP_N], *k = &w->range[FUSE_GROUP_K];
    fuse_tile_block_product *product = p->tile->block[g->type == FUSE_F64];
    const char *a = w->a;
    int64_t next = p->rows * k->points;
    x->a_row = p->a_by_rows ? k->points : 1;
    x->a_column = p->a_by_rows ? 1 : p->rows;
    if (p->a_in_place) {
        a = g->a + (batch->offset[FUSE_BOX_A][0] + m->offset[FUSE_BOX_A][0] + k->offset[FUSE_BOX_A][0]) * p->bytes;
        next = p->rows * p->a_row;
        x->a_row = p->a_row;
        x->a_column = p->a_column;
        x->a_ahead = true;
    }
    int64_t done = 0, step;
    x->c_turned =
        x->c_run == 1 && fuse_box_run(&p->boxes, m, FUSE_GROUP_M, FUSE_BOX_C, &step) == m->points && step == 1;
    const int64_t strips = NEAR / (k->points * p->bytes) / p->width * p->width,
                  columns = m->points * k->points * p->bytes > NEAR ? n->points
                            : strips > p->width                     ? strips
                                                                    : p->width;
    for (int64_t j = 0; j < n->points; j += columns)
        for (int64_t i = 0; i < m->points; i += p->rows) {
            x->first = j;
            x->end = least(j + columns, n->points);
            x->rows = least(p->rows, m->points - i);
            x->a = a + i / p->rows * next * p->bytes;
            x->c_row = m->offset[FUSE_BOX_C] + i;
            product(x);
            if (columns >= n->points)
                done = finish(w, done, i + x->rows);
        }
    if (columns < n->points)
        finish(w, 0, m->points);
}

/* A box of batch and N by a part of M. */
static void run_task(struct worker *w, int64_t task) {
    const struct blocked *p = w->p;
    const struct fuse_grouped *g = p->g;
    const int64_t *boxes = p->boxes.boxes, part = task % p->m_parts, first = task / p->m_parts;
    struct fuse_box_range *batch = &w->range[FUSE_GROUP_BATCH], *n = &w->range[FUSE_GROUP_N],
                          *k = &w->range[FUSE_GROUP_K];
    fuse_box_seek(batch, &p->boxes, FUSE_GROUP_BATCH, first / boxes[FUSE_GROUP_N]);
    fuse_box_seek(n, &p->boxes, FUSE_GROUP_N, first % boxes[FUSE_GROUP_N]);
    int64_t step;
    struct fuse_tile_block x = {.b = w->b,
                                .b_column = p->b_in_place ? n->offset[FUSE_BOX_B] : NULL,
                                .b_row = p->b_in_place ? p->b_row : p->width,
                                .c = g->c + batch->offset[FUSE_BOX_C][0] * p->bytes,
                                .c_column = n->offset[FUSE_BOX_C]};
    x.c_run = fuse_box_run(&p->boxes, n, FUSE_GROUP_N, FUSE_BOX_C, &step);
    if (step != 1)
        x.c_run = 1;
    for (int64_t ki = 0; ki < boxes[FUSE_GROUP_K]; ki++) {
        fuse_box_seek(k, &p->boxes, FUSE_GROUP_K, ki);
        w->completes = ki == boxes[FUSE_GROUP_K] - 1;
        x.depth = k->points;
        x.add = g->accumulate || ki > 0;
        x.b_strip = p->width * k->points;
        if (p->b_in_place)
            x.b = g->b + (batch->offset[FUSE_BOX_B][0] + k->offset[FUSE_BOX_B][0]) * p->bytes;
        else
            fetch(w, &p->b, w->b, w->b_box);
        for (int64_t mi = fuse_split_begin(boxes[FUSE_GROUP_M], p->m_parts, part);
             mi < fuse_split_begin(boxes[FUSE_GROUP_M], p->m_parts, part + 1); mi++) {
            fuse_box_seek(&w->range[FUSE_GROUP_M], &p->boxes, FUSE_GROUP_M, mi);
            if (!p->a_in_place)
                fetch(w, &p->a, w->a, w->a_box);
            multiply(w, &x);
        }
    }
}

/* BLAS and the strips are not better for: products that are not very small, of operands that are not dense along a batch index,
 * where not both are rows along K and one of few. */
static bool suits(const struct fuse_tile_table *tile, const struct fuse_grouped *g) {
    bool rows = true;
    int along = -1; /* axis of K */
    const int64_t m = fuse_group_points(g, FUSE_GROUP_M), n = fuse_group_points(g, FUSE_GROUP_N),
                  k = fuse_group_points(g, FUSE_GROUP_K);
    for (int o = 0; o < FUSE_BOX_OPERANDS; o++) {
        enum fuse_group group = FUSE_GROUP_M;
        int axis = 0;
        if (fuse_box_densest(g, (enum fuse_box_operand)o, &group, &axis) && group == FUSE_GROUP_BATCH)
            return false;
        if (o != FUSE_BOX_C) {
            rows = rows && group == FUSE_GROUP_K && (along < 0 || along == axis);
            along = axis;
        }
    }
    if (rows && (m <= FEW || n <= FEW))
        return false;
    const bool matrix = g->axes[FUSE_GROUP_M] == 1 && g->axes[FUSE_GROUP_N] == 1 && g->axes[FUSE_GROUP_K] == 1,
               across = matrix && g->axis[FUSE_GROUP_N][0].c != 1;
    if (rows && matrix && fuse_suits_dots(tile, across ? n : m, across ? m : n, k))
        return false;
    return m > 1 && n > 1 && fuse_sat_mul(fuse_sat_mul(m, n), k) > LITTLE;
}

/* Rows of a that make few strips by more rows of b, all dense along K, to rows of c. */
static bool is_few_by_rows(const struct fuse_grouped *g, const struct fuse_tile_table *tile) {
    for (int o = FUSE_BOX_A; o <= FUSE_BOX_B; o++) {
        enum fuse_group group = FUSE_GROUP_M;
        int axis = 0;
        if (!fuse_box_densest(g, (enum fuse_box_operand)o, &group, &axis) || group != FUSE_GROUP_K)
            return false;
    }
    const int64_t m = fuse_group_points(g, FUSE_GROUP_M);
    return m * (int64_t)fuse_dtype_bytes(g->type) <= FEW_STRIPS * tile->strip_bytes &&
           m < fuse_group_points(g, FUSE_GROUP_N) && g->axes[FUSE_GROUP_N] == 1 && g->axis[FUSE_GROUP_N][0].c == 1;
}

/* Fewer columns than half a vector has lanes, and rows of which those of a lie side by side: the result is better written as the
 * transposed product, element by element, than most lanes left idle. */
static bool is_narrow(const struct fuse_grouped *g, const struct fuse_tile_table *tile) {
    const int64_t width = tile->strip_bytes / (int64_t)fuse_dtype_bytes(g->type),
                  n = fuse_group_points(g, FUSE_GROUP_N);
    enum fuse_group dense = FUSE_GROUP_K;
    int axis = 0;
    return n <= width / 4 && fuse_group_points(g, FUSE_GROUP_K) >= ACROSS &&
           fuse_group_points(g, FUSE_GROUP_M) >= 2 * width && fuse_box_densest(g, FUSE_BOX_A, &dense, &axis) &&
           dense == FUSE_GROUP_M;
}

bool fuse_cpu_run_blocked(struct fuse_cpu_backend *cpu, struct fuse_grouped *g, struct fuse_cpu_counts *counts) {
    if ((g->type != FUSE_F32 && g->type != FUSE_F64) || cpu->tile->block[0] == NULL || !suits(cpu->tile, g))
        return false;
    enum fuse_group dense = FUSE_GROUP_N;
    int axis = 0;
    if (fuse_box_densest(g, FUSE_BOX_C, &dense, &axis) && dense == FUSE_GROUP_M)
        fuse_group_swap(g);
    if (is_few_by_rows(g, cpu->tile) || is_narrow(g, cpu->tile))
        fuse_group_swap(g);
    fuse_group_dense_last(g, FUSE_GROUP_M);
    fuse_group_dense_last(g, FUSE_GROUP_K);
    const double work = (double)fuse_group_points(g, FUSE_GROUP_M) * (double)fuse_group_points(g, FUSE_GROUP_N) *
                        (double)fuse_group_points(g, FUSE_GROUP_K) * (double)fuse_group_points(g, FUSE_GROUP_BATCH);
    const int most = fuse_cpu_threads(cpu, INT64_MAX, work < 1e18 ? (int64_t)(work / 32) : INT64_MAX);
    struct blocked p;
    make_plan(&p, g, cpu->tile, most);
    p.then = fuse_epilogue_begin(g->then);
    const int64_t tasks = tasks_of(&p);
    const int threads = tasks < most ? (int)tasks : most;
    int64_t packed = 0;
#pragma omp parallel for num_threads(threads) schedule(static, 1) reduction(+ : packed)
    for (int thread = 0; thread < threads; thread++) {
        struct fuse_box_range range[FUSE_GROUPS];
        struct worker w = {.p = &p, .range = range, .thread = thread};
        w.a = cpu->scratch + (size_t)thread * FUSE_CPU_SCRATCH;
        w.b = w.a + p.b_at;
        for (int group = 0; group < FUSE_GROUPS; group++)
            range[group].number = w.a_box[group] = w.b_box[group] = -1;
        for (int64_t t = fuse_split_begin(tasks, threads, thread); t < fuse_split_begin(tasks, threads, thread + 1);
             t++)
            run_task(&w, t);
        packed += w.packed;
    }
    counts->packed_bytes += packed;
    return true;
}
