/* Contractions of narrow types: boxes of the iteration space (cpu_box.h) are packed as words (cpu_words.h), multiplied into sums
 * of 32 bits, and these are added to the result.
 *
 *   a, b              c           words         what is exact
 *   U8, I8, BOOL      I64         I8 or I16     everything
 *   BOOL              F32, F64    the same      sums that the type holds
 *   BOOL              BOOL        BITS          everything
 *   BF16              F32         BF16          sums are rounded in F32
 *
 * Words of I8 are bytes of a without and of b with a sign: with a' = a + za, b' = b - zb, where za and zb are 128 or 0,
 *   sum a b = sum a' b' - za sum b' + zb sum a' - za zb K. */
#include "backend/cpu_box.h"
#include "backend/cpu_words.h"

#include <string.h>

/* Words of a box along K; most positions of a box along M and N; what is worth packing. */
#define BOX_WORDS 512
#define BOX_EDGE 512
#define WORTH_POINTS ((int64_t)1 << 13)
#define WORTH_EDGE 8
#define WORTH_SUM 16
/* Products of bytes that surely stay in 31 bits when they are added up. */
#define MOST_TERMS ((int64_t)1 << 15)
#define BLOCK 16

struct narrow_operand {
    enum fuse_box_operand operand;
    enum fuse_group lane;
    const char *memory;
    struct fuse_word_source source;
    uint32_t shift; /* za, zb */
};

struct narrow_plan {
    const struct fuse_grouped *g;
    const struct fuse_tile_table *tile;
    const struct fuse_word_table *words;
    struct fuse_word_kernel kernel;
    enum fuse_word_form form;
    int64_t per; /* elements of a word */
    struct fuse_boxes boxes;
    struct narrow_operand a, b;
    int64_t m, n, k_words; /* of a box, padded */
    int threads;
    struct fuse_epilogue *then;
};

/* A thread's memory: panels of a, b and c, sums of a's rows and b's columns in the box, room for a block of rows. */
struct worker {
    const struct narrow_plan *p;
    struct fuse_box_range *range; /* [FUSE_GROUPS] */
    uint32_t *a, *b, *c, *sums, *ones, *room;
    uint32_t *a_sum, *b_sum; /* [m], [n]: of all boxes along K since the last result */
    int64_t words, packed;
    bool subnormal; /* in the box */
    bool overflow;
    int thread;
};

static int64_t up(int64_t n, int64_t multiple) {
    return (n + multiple - 1) / multiple * multiple;
}

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* ---- packing ---- */

static bool is_dense(const int64_t *offset, int64_t n) {
    for (int64_t i = 1; i < n; i++)
        if (offset[i] != offset[0] + i)
            return false;
    return true;
}

/* Panels of a have rows, those of b strips of columns: */
static uint32_t *strip_of(uint32_t *to, int64_t lane, int64_t words) {
    return to + lane / FUSE_WORD_STRIP * FUSE_WORD_STRIP * words + lane % FUSE_WORD_STRIP;
}

static void turn_columns(const struct worker *w, uint32_t *to, const uint32_t *from, int64_t lane, int64_t n) {
    const int64_t words = w->words;
    int64_t source[BLOCK], target[BLOCK];
    uint32_t *strip = strip_of(to, lane, words);
    for (int64_t i = 0; i < n; i++)
        source[i] = i * words;
    for (int64_t k = 0; k < words; k += BLOCK) {
        const int64_t some = least(BLOCK, words - k);
        for (int64_t j = 0; j < some; j++)
            target[j] = j * FUSE_WORD_STRIP;
        w->p->tile->turn_32(strip + k * FUSE_WORD_STRIP, target, from + k, source, n, some);
    }
}

/* One lane whose elements follow each other in memory, or are collected first. */
static bool pack_lane(const struct worker *w, const struct narrow_operand *o, uint32_t *to, const char *from,
                      const int64_t *offset, int64_t n, bool dense) {
    const int64_t bytes = o->source.bytes;
    char *collected = (char *)(w->room + BLOCK * w->words);
    if (!dense) {
        if (bytes == 1)
            for (int64_t i = 0; i < n; i++)
                collected[i] = from[offset[i]];
        else
            for (int64_t i = 0; i < n; i++)
                memcpy(collected + 2 * i, from + 2 * offset[i], 2);
        from = collected;
    } else {
        from += offset[0] * bytes;
    }
    const bool found = w->p->words->pack_run(to, from, n, &o->source);
    const int64_t filled = up(n, w->p->per) / w->p->per;
    memset(to + filled, 0, (size_t)(w->words - filled) * sizeof *to);
    return found;
}

static bool pack_along_k(const struct worker *w, const struct narrow_operand *o, bool rows, uint32_t *to,
                         const char *from, int64_t lane, int64_t n, bool dense) {
    const struct fuse_box_range *k = &w->range[FUSE_GROUP_K];
    const int64_t *offset = w->range[o->lane].offset[o->operand];
    bool found = false;
    for (int64_t i = 0; i < n; i++) {
        uint32_t *row = rows ? to + (lane + i) * w->words : w->room + i * w->words;
        found |=
            pack_lane(w, o, row, from + offset[lane + i] * o->source.bytes, k->offset[o->operand], k->points, dense);
    }
    if (!rows)
        turn_columns(w, to, w->room, lane, n);
    return found;
}

/* Some lanes that follow each other in memory, word by word. */
static bool pack_across(const struct worker *w, const struct narrow_operand *o, bool rows, uint32_t *to,
                        const char *from, int64_t lane, int64_t n) {
    const struct fuse_box_range *k = &w->range[FUSE_GROUP_K];
    const int64_t per = w->p->per, bytes = o->source.bytes, *offset = k->offset[o->operand];
    const void *row[32];
    int64_t source[BLOCK], target[BLOCK];
    uint32_t *strip = strip_of(to, lane, w->words), block[BLOCK * BLOCK];
    char none[2 * BLOCK]; /* becomes 0 */
    bool found = false;
    memset(none, o->source.flip, sizeof none);
    from += w->range[o->lane].offset[o->operand][lane] * bytes;
    for (int64_t i = 0; i < BLOCK; i++) {
        source[i] = i * BLOCK;
        target[i] = (lane + i) * w->words;
    }
    for (int64_t word = 0; word < w->words; word++) {
        for (int64_t e = 0; e < per; e++)
            row[e] = word * per + e < k->points ? from + offset[word * per + e] * bytes : none;
        uint32_t *at = rows ? block + word % BLOCK * BLOCK : strip + word * FUSE_WORD_STRIP;
        found |= w->p->words->pack_rows(at, row, (int)n, &o->source);
        if (rows && (word % BLOCK == BLOCK - 1 || word == w->words - 1))
            w->p->tile->turn_32(to + word / BLOCK * BLOCK, target, block, source, word % BLOCK + 1, n);
    }
    return found;
}

/* The operand's part of the box at one batch position. */
static void pack(struct worker *w, const struct narrow_operand *o, uint32_t *to, int64_t point) {
    const struct fuse_box_range *lanes = &w->range[o->lane], *k = &w->range[FUSE_GROUP_K];
    const int64_t *offset = lanes->offset[o->operand];
    const char *from = o->memory + w->range[FUSE_GROUP_BATCH].offset[o->operand][point] * o->source.bytes;
    const bool rows = o->operand == FUSE_BOX_A, dense = is_dense(k->offset[o->operand], k->points);
    for (int64_t lane = 0; lane < lanes->points; lane += BLOCK) {
        const int64_t n = least(BLOCK, lanes->points - lane);
        if (!dense && n > 1 && is_dense(offset + lane, n))
            w->subnormal |= pack_across(w, o, rows, to, from, lane, n);
        else
            w->subnormal |= pack_along_k(w, o, rows, to, from, lane, n, dense);
    }
    w->packed += lanes->points * w->words * 4;
}

/* sum[i] += the sum of a row of a, or of a column of b, by the same product with ones. */
static void add_sums(struct worker *w, bool of_rows) {
    const struct narrow_plan *p = w->p;
    const int64_t m = up(w->range[FUSE_GROUP_M].points, FUSE_WORD_ROWS),
                  n = up(w->range[FUSE_GROUP_N].points, FUSE_WORD_STRIP);
    const int64_t lanes = of_rows ? m : n, step = of_rows ? FUSE_WORD_STRIP : 1;
    memset(w->sums, 0, (size_t)(of_rows ? m * FUSE_WORD_STRIP : FUSE_WORD_ROWS * n) * sizeof *w->sums);
    memset(w->ones, 1, (size_t)(w->words * FUSE_WORD_STRIP) * sizeof *w->ones);
    if (of_rows)
        p->kernel.product(m, FUSE_WORD_STRIP, w->words, w->a, w->words, w->ones, w->sums);
    else
        p->kernel.product(FUSE_WORD_ROWS, n, w->words, w->ones, w->words, w->b, w->sums);
    uint32_t *sum = of_rows ? w->a_sum : w->b_sum;
    for (int64_t i = 0; i < lanes; i++)
        sum[i] += w->sums[i * step];
}

/* ---- results ---- */

/* A function, because gcc 12 reads operands of the builtin again after writing a result that overlaps them. */
static inline bool add_overflows(int64_t a, int64_t b, int64_t *sum) {
    return __builtin_add_overflow(a, b, sum);
}

static inline float real_of(uint32_t bits) {
    float real;
    memcpy(&real, &bits, sizeof real);
    return real;
}

#define PUT(type, value, ADD)                      \
    for (int64_t j = 0; j < n; j++) {              \
        type *at = (type *)to + j * step;          \
        const type new = (type)(value), old = *at; \
        *at = add ? ADD : new;                     \
    }
static bool put_row(enum fuse_dtype type, bool reals, void *to, int64_t step, const uint32_t *from, int64_t n,
                    bool add) {
    bool overflow = false;
    if (type == FUSE_BOOL) {
        PUT(uint8_t, from[j] != 0, old | new)
    } else if (reals) {
        PUT(float, real_of(from[j]), old + new)
    } else if (type == FUSE_F32) {
        PUT(float, (int32_t)from[j], old + new)
    } else if (type == FUSE_F64) {
        PUT(double, (int32_t)from[j], old + new)
    } else if (!add) {
        PUT(int64_t, (int32_t)from[j], old)
    } else {
        for (int64_t j = 0; j < n; j++) {
            int64_t *at = (int64_t *)to + j * step;
            overflow |= add_overflows(*at, (int32_t)from[j], at);
        }
    }
    return overflow;
}

/* What was summed at this batch position goes to the result; add: to what is there. */
static void put_result(struct worker *w, int64_t point, int64_t terms, bool add) {
    const struct narrow_plan *p = w->p;
    const struct fuse_box_range *m = &w->range[FUSE_GROUP_M], *n = &w->range[FUSE_GROUP_N];
    const int64_t columns = up(n->points, FUSE_WORD_STRIP), bytes = (int64_t)fuse_dtype_bytes(p->g->type);
    const uint32_t za = p->a.shift, zb = p->b.shift, all = za * zb * (uint32_t)terms;
    int64_t step;
    const int64_t run = fuse_box_run(&p->boxes, n, FUSE_GROUP_N, FUSE_BOX_C, &step);
    char *to = p->g->c + w->range[FUSE_GROUP_BATCH].offset[FUSE_BOX_C][point] * bytes;
    for (int64_t i = 0; i < m->points; i++) {
        uint32_t *row = w->c + i * columns;
        if (za | zb)
            for (int64_t j = 0; j < n->points; j++)
                row[j] += zb * w->a_sum[i] - za * w->b_sum[j] - all;
        for (int64_t j = 0; j < n->points; j += run)
            w->overflow |=
                put_row(p->g->type, p->form == FUSE_WORD_BF16,
                        to + (m->offset[FUSE_BOX_C][i] + n->offset[FUSE_BOX_C][j]) * bytes, step, row + j, run, add);
    }
}

/* ---- boxes ---- */

static void clear_sums(struct worker *w) {
    const struct narrow_plan *p = w->p;
    const int64_t m = up(w->range[FUSE_GROUP_M].points, FUSE_WORD_ROWS),
                  n = up(w->range[FUSE_GROUP_N].points, FUSE_WORD_STRIP);
    memset(w->c, 0, (size_t)(m * n) * sizeof *w->c);
    memset(w->a_sum, 0, (size_t)p->m * sizeof *w->a_sum);
    memset(w->b_sum, 0, (size_t)p->n * sizeof *w->b_sum);
}

static void run_point(struct worker *w, int64_t point) {
    const struct narrow_plan *p = w->p;
    const struct fuse_box_range *k = &w->range[FUSE_GROUP_K];
    const int64_t m = up(w->range[FUSE_GROUP_M].points, FUSE_WORD_ROWS),
                  n = up(w->range[FUSE_GROUP_N].points, FUSE_WORD_STRIP);
    const bool integers = p->form == FUSE_WORD_I8 || p->form == FUSE_WORD_I16;
    bool add = p->g->accumulate;
    int64_t terms = 0;
    clear_sums(w);
    for (int64_t box = 0; box < p->boxes.boxes[FUSE_GROUP_K]; box++) {
        fuse_box_seek(&w->range[FUSE_GROUP_K], &p->boxes, FUSE_GROUP_K, box);
        if (integers && terms + k->points > MOST_TERMS) {
            put_result(w, point, terms, add);
            clear_sums(w);
            add = true;
            terms = 0;
        }
        w->words = up(up(k->points, p->per) / p->per, p->kernel.multiple);
        w->subnormal = false;
        pack(w, &p->a, w->a, point);
        pack(w, &p->b, w->b, point);
        if (p->a.shift)
            add_sums(w, false);
        if (p->b.shift)
            add_sums(w, true);
        (w->subnormal ? p->words->bf16_exactly : p->kernel.product)(m, n, w->words, w->a, w->words, w->b, w->c);
        terms += k->points;
    }
    put_result(w, point, terms, add);
    if (p->then)
        fuse_box_epilogue(p->then, w->thread, &p->boxes, w->range, point, 0, w->range[FUSE_GROUP_M].points);
}

static void run_box(struct worker *w, int64_t task) {
    const struct narrow_plan *p = w->p;
    const int64_t *boxes = p->boxes.boxes;
    fuse_box_seek(&w->range[FUSE_GROUP_M], &p->boxes, FUSE_GROUP_M, task % boxes[FUSE_GROUP_M]);
    fuse_box_seek(&w->range[FUSE_GROUP_N], &p->boxes, FUSE_GROUP_N, task / boxes[FUSE_GROUP_M] % boxes[FUSE_GROUP_N]);
    fuse_box_seek(&w->range[FUSE_GROUP_BATCH], &p->boxes, FUSE_GROUP_BATCH,
                  task / (boxes[FUSE_GROUP_M] * boxes[FUSE_GROUP_N]));
    for (int64_t point = 0; point < w->range[FUSE_GROUP_BATCH].points; point++)
        run_point(w, point);
}

/* ---- plans ---- */

/* Words of all that a thread needs; at[]: where a, b, c, sums, ones, room, a_sum and b_sum begin. */
enum { PARTS = 8 };
static int64_t share_out(const struct narrow_plan *p, int64_t at[PARTS]) {
    const int64_t k = p->k_words, edge = p->m > p->n ? p->m : p->n;
    const int64_t size[PARTS] = {p->m * k,
                                 p->n * k,
                                 p->m * p->n,
                                 p->a.shift | p->b.shift ? edge * FUSE_WORD_STRIP : 0,
                                 p->a.shift | p->b.shift ? k * FUSE_WORD_STRIP : 0,
                                 BLOCK * k + k * p->per, /* and elements of a lane, of at most 4 bytes */
                                 p->m,
                                 p->n};
    int64_t all = 0;
    for (int i = 0; i < PARTS; i++) {
        at[i] = all;
        all += up(size[i], FUSE_CPU_LINE / 4);
    }
    return all;
}

static bool fits(struct narrow_plan *p) {
    int64_t at[PARTS];
    p->m = up(p->boxes.points[FUSE_GROUP_M], FUSE_WORD_ROWS);
    p->n = up(p->boxes.points[FUSE_GROUP_N], FUSE_WORD_STRIP);
    p->k_words = up(up(p->boxes.points[FUSE_GROUP_K], p->per) / p->per, p->kernel.multiple);
    return share_out(p, at) * 4 <= (int64_t)FUSE_CPU_SCRATCH;
}

static void choose_boxes(struct narrow_plan *p, const struct fuse_cpu_backend *cpu) {
    const int64_t k = BOX_WORDS * p->per;
    struct fuse_box_limits limits = {.room = INT64_C(1) << 40,
                                     .batch_room = INT64_C(1) << 40,
                                     .k = k < FUSE_BOX_POINTS ? k : FUSE_BOX_POINTS,
                                     .mn = BOX_EDGE,
                                     .line = FUSE_CPU_LINE};
    const double work = (double)fuse_group_points(p->g, FUSE_GROUP_M) * (double)fuse_group_points(p->g, FUSE_GROUP_N) *
                        (double)fuse_group_points(p->g, FUSE_GROUP_K) *
                        (double)fuse_group_points(p->g, FUSE_GROUP_BATCH);
    p->threads = fuse_cpu_threads(cpu, INT64_MAX, work < 1e18 ? (int64_t)(work / 64) : INT64_MAX);
    for (;;) {
        fuse_boxes_choose(&p->boxes, p->g, &limits);
        const int64_t *boxes = p->boxes.boxes,
                      tasks = boxes[FUSE_GROUP_BATCH] * boxes[FUSE_GROUP_M] * boxes[FUSE_GROUP_N];
        if (!fits(p)) {
            limits.line = limits.line > 1 ? limits.line / 2 : 1;
            limits.mn = limits.mn > FUSE_WORD_STRIP ? limits.mn / 2 : limits.mn;
            limits.k = limits.k > BLOCK ? limits.k / 2 : limits.k;
        } else if (tasks % p->threads == 0 || tasks >= 8 * p->threads || limits.mn <= 64) {
            break;
        } else {
            limits.mn /= 2;
        }
    }
}

static bool is_byte(enum fuse_dtype dtype) {
    return dtype == FUSE_U8 || dtype == FUSE_I8 || dtype == FUSE_BOOL;
}

/* The form in which the kernels of this table do the product, FUSE_WORD_FORMS when none does. */
static enum fuse_word_form find_form(const struct fuse_word_table *words, const struct fuse_grouped *g) {
    const bool truths = g->a_dtype == FUSE_BOOL && g->b_dtype == FUSE_BOOL;
    if (g->type == FUSE_BOOL)
        return truths ? FUSE_WORD_BITS : FUSE_WORD_FORMS;
    if (g->type == FUSE_F32 && g->a_dtype == FUSE_BF16 && g->b_dtype == FUSE_BF16)
        return words->kernel[FUSE_WORD_BF16].product ? FUSE_WORD_BF16 : FUSE_WORD_FORMS;
    if (truths || (g->type == FUSE_I64 && is_byte(g->a_dtype) && is_byte(g->b_dtype)))
        return words->kernel[FUSE_WORD_I8].product ? FUSE_WORD_I8 : FUSE_WORD_I16;
    return FUSE_WORD_FORMS;
}

/* Reals are as fast without words when there is little to share, or when lines of memory lie along the batch. */
static bool is_worth(enum fuse_word_form form, const struct fuse_grouped *g) {
    const int64_t m = fuse_group_points(g, FUSE_GROUP_M), n = fuse_group_points(g, FUSE_GROUP_N),
                  k = fuse_group_points(g, FUSE_GROUP_K);
    const int batches = g->axes[FUSE_GROUP_BATCH];
    const struct fuse_group_axis *inner = batches > 0 ? &g->axis[FUSE_GROUP_BATCH][batches - 1] : NULL;
    if (form == FUSE_WORD_BITS)
        return true;
    if (form == FUSE_WORD_BF16 && inner && (inner->a == 1 || inner->b == 1))
        return false;
    return m >= WORTH_EDGE && n >= WORTH_EDGE && k >= WORTH_SUM && fuse_sat_mul(fuse_sat_mul(m, n), k) >= WORTH_POINTS;
}

static struct narrow_operand make_operand(enum fuse_word_form form, enum fuse_box_operand operand,
                                          enum fuse_dtype dtype, const char *memory) {
    const bool is_a = operand == FUSE_BOX_A, flips = form == FUSE_WORD_I8 && dtype == (is_a ? FUSE_I8 : FUSE_U8);
    return (struct narrow_operand){.operand = operand,
                                   .lane = is_a ? FUSE_GROUP_M : FUSE_GROUP_N,
                                   .memory = memory,
                                   .shift = flips ? 128 : 0,
                                   .source = {.form = form,
                                              .bytes = (int)fuse_dtype_bytes(dtype),
                                              .truths = dtype == FUSE_BOOL,
                                              .is_signed = dtype == FUSE_I8,
                                              .flip = flips ? 0x80 : 0}};
}

/* Fewer operands to shift, or else a result that is dense along its rows. */
static bool is_better_swapped(enum fuse_word_form form, const struct fuse_grouped *g) {
    const int shifts = (g->a_dtype == FUSE_I8) + (g->b_dtype == FUSE_U8),
              swapped = (g->b_dtype == FUSE_I8) + (g->a_dtype == FUSE_U8);
    if (form == FUSE_WORD_I8 && shifts != swapped)
        return swapped < shifts;
    const int m = g->axes[FUSE_GROUP_M], n = g->axes[FUSE_GROUP_N];
    return m > 0 && g->axis[FUSE_GROUP_M][m - 1].c == 1 && (n == 0 || g->axis[FUSE_GROUP_N][n - 1].c != 1);
}

static void run_boxes(struct worker *w, const struct narrow_plan *p, char *scratch, int thread, int64_t begin,
                      int64_t end) {
    struct fuse_box_range range[FUSE_GROUPS];
    int64_t at[PARTS];
    uint32_t *memory = (uint32_t *)scratch;
    share_out(p, at);
    *w = (struct worker){.p = p,
                         .thread = thread,
                         .range = range,
                         .a = memory + at[0],
                         .b = memory + at[1],
                         .c = memory + at[2],
                         .sums = memory + at[3],
                         .ones = memory + at[4],
                         .room = memory + at[5],
                         .a_sum = memory + at[6],
                         .b_sum = memory + at[7]};
    for (int group = 0; group < FUSE_GROUPS; group++)
        range[group].number = -1;
    for (int64_t t = begin; t < end; t++)
        run_box(w, t);
}

bool fuse_cpu_run_narrow(struct fuse_cpu_backend *cpu, struct fuse_grouped *g, struct fuse_cpu_counts *counts) {
    const enum fuse_word_form form = find_form(&cpu->words, g);
    if (form == FUSE_WORD_FORMS || !is_worth(form, g) || (form == FUSE_WORD_BF16 && cpu->deterministic))
        return false;
    if (is_better_swapped(form, g))
        fuse_group_swap(g);
    struct narrow_plan p = {.g = g,
                            .tile = cpu->tile,
                            .words = &cpu->words,
                            .kernel = cpu->words.kernel[form],
                            .form = form,
                            .per = form == FUSE_WORD_I8     ? 4
                                   : form == FUSE_WORD_BITS ? 32
                                                            : 2,
                            .a = make_operand(form, FUSE_BOX_A, g->a_dtype, g->a),
                            .b = make_operand(form, FUSE_BOX_B, g->b_dtype, g->b)};
    choose_boxes(&p, cpu);
    p.then = fuse_epilogue_begin(g->then);
    const int64_t *boxes = p.boxes.boxes, tasks = boxes[FUSE_GROUP_BATCH] * boxes[FUSE_GROUP_M] * boxes[FUSE_GROUP_N];
    const int threads = tasks < p.threads ? (int)tasks : p.threads;
    int64_t packed = 0;
    bool overflow = false;
#pragma omp parallel for num_threads(threads) schedule(static, 1) reduction(+ : packed) reduction(|| : overflow)
    for (int t = 0; t < threads; t++) {
        struct worker w;
        run_boxes(&w, &p, cpu->scratch + (size_t)t * FUSE_CPU_SCRATCH, t, tasks * t / threads,
                  tasks * (t + 1) / threads);
        packed += w.packed;
        overflow = overflow || w.overflow;
    }
    counts->packed_bytes += packed;
    counts->overflow |= overflow;
    return true;
}
