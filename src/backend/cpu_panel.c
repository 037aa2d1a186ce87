#include "backend/cpu_panel.h"

#include <string.h>

enum { TURN = FUSE_TILE_TURN };

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

void fuse_panel_make(struct fuse_panel *panel, const struct fuse_boxes *boxes, enum fuse_box_operand operand,
                     enum fuse_group lane, int64_t width, const struct fuse_tile_table *tile) {
    const struct fuse_grouped *g = boxes->g;
    const enum fuse_dtype stored = operand == FUSE_BOX_A ? g->a_dtype : operand == FUSE_BOX_B ? g->b_dtype : g->type;
    *panel = (struct fuse_panel){.boxes = boxes,
                                 .operand = operand,
                                 .lane = lane,
                                 .other = operand == FUSE_BOX_C || lane == FUSE_GROUP_K ? FUSE_GROUP_M : FUSE_GROUP_K,
                                 .width = width,
                                 .bytes = (int64_t)fuse_dtype_bytes(g->type),
                                 .stored_bytes = (int64_t)fuse_dtype_bytes(stored),
                                 .converts = stored != g->type,
                                 .load = tile->load[stored][fuse_tile_class(g->type)]};
    panel->turn = panel->bytes == 4 ? tile->turn_32 : tile->turn_64;
    panel->deal = tile->deal;
    panel->turn_lanes = panel->bytes == 4 ? tile->turn_lanes : NULL;
    int64_t stride;
    if (!fuse_box_dense(boxes, operand, &panel->dense, &panel->dense_axis))
        return;
    fuse_box_run(boxes, NULL, panel->lane, operand, &stride);
    /* Few lanes, or a few elements in a row: not worth a block. */
    panel->turns = (panel->dense != panel->lane || stride != 1) && boxes->points[panel->lane] > 1;
    if (operand == FUSE_BOX_C && panel->dense != FUSE_GROUP_BATCH)
        panel->turns = false;
}

int64_t fuse_panel_step(const struct fuse_panel *panel, int64_t lanes, int64_t others) {
    const int64_t width = panel->width > 0 ? panel->width : lanes;
    return (lanes + width - 1) / width * width * others;
}

/* ---- rows: lanes that follow each other in memory with one stride ---- */

/* A function call costs as much as a line. */
static inline void copy_run(char *to, const char *from, int64_t bytes) {
    if (bytes == 2 * FUSE_CPU_LINE)
        memcpy(to, from, 2 * FUSE_CPU_LINE);
    else if (bytes == FUSE_CPU_LINE)
        memcpy(to, from, FUSE_CPU_LINE);
    else
        memcpy(to, from, (size_t)bytes);
}

/* n lanes from position p on, of one other position q, from memory. */
static void pack_row(const struct fuse_panel *panel, int64_t width, int64_t others, char *point, int64_t p, int64_t q,
                     const char *from, int64_t stride, int64_t n) {
    while (n > 0) {
        const int64_t lane = p % width, run = least(n, width - lane);
        panel->load(point + (p / width * width * others + q * width + lane) * panel->bytes, from, stride, run);
        from += run * stride * panel->stored_bytes;
        p += run;
        n -= run;
    }
}

static void pack_rows(const struct fuse_panel *panel, const struct fuse_box_range *range, const char *memory,
                      char *to) {
    const struct fuse_box_range *lanes = &range[panel->lane], *others = &range[panel->other],
                                *batch = &range[FUSE_GROUP_BATCH];
    const int64_t *lane = lanes->offset[panel->operand], *other = others->offset[panel->operand];
    const int64_t width = panel->width > 0 ? panel->width : lanes->points,
                  step = fuse_panel_step(panel, lanes->points, others->points) * panel->bytes;
    int64_t stride;
    const int64_t run = fuse_box_run(panel->boxes, lanes, panel->lane, panel->operand, &stride);
    for (int64_t b = 0; b < batch->points; b++)
        for (int64_t p = 0; p < lanes->points; p += run) {
            const char *from = memory + (batch->offset[panel->operand][b] + lane[p]) * panel->stored_bytes;
            if (!panel->converts && stride == 1) {
                panel->deal(&(struct fuse_tile_deal){.to = to + b * step,
                                                     .from = from,
                                                     .offset = other,
                                                     .width = width,
                                                     .others = others->points,
                                                     .first = p,
                                                     .n = run,
                                                     .bytes = panel->bytes});
                continue;
            }
            for (int64_t q = 0; q < others->points; q++)
                pack_row(panel, width, others->points, to + b * step, p, q, from + other[q] * panel->stored_bytes,
                         stride, run);
        }
}

/* ---- blocks: some lanes by some elements that are dense in memory along another axis ---- */

/* The positions of a group at which the dense axis stands at 0, and how far apart its positions are. */
struct fixed {
    int64_t step, extent, points;
};

static struct fixed fix(const struct fuse_panel *panel, const struct fuse_box_range *range, enum fuse_group group) {
    struct fixed f = {.step = 1, .extent = 1, .points = range[group].points};
    if (group != panel->dense)
        return f;
    for (int x = panel->boxes->g->axes[group] - 1; x > panel->dense_axis; x--)
        f.step *= range[group].extent[x];
    f.extent = range[group].extent[panel->dense_axis];
    f.points /= f.extent;
    return f;
}

static int64_t position(const struct fixed *f, int64_t i) {
    return i / f->step * f->step * f->extent + i % f->step;
}

/* Where blocks come from and go to. Offsets in elements; lanes of a block are contiguous in the panel, except where the
 * dense axis is one of the lanes: then rows are cut at the strips' borders. */
struct block {
    const struct fuse_panel *panel;
    int64_t width, lanes, others, step;
    const int64_t *offset; /* of the lanes in memory */
};

static int64_t address(const struct block *k, int64_t p, int64_t q) {
    return p / k->width * k->width * k->others + q * k->width + p % k->width;
}

/* n lanes from position p on by `dense` elements; d: what a step along the dense axis is in positions of lanes, others, batch. */
static void pack_block(const struct block *k, char *to, const char *from, int64_t p, int64_t n, int64_t q,
                       const int64_t d[3], int64_t dense) {
    const struct fuse_panel *panel = k->panel;
    char spare[TURN * TURN * 8], turned[TURN * TURN * 8];
    int64_t source[TURN], target[TURN];
    const char *in = from;
    for (int64_t i = 0; i < n; i++) {
        source[i] = k->offset[p + i];
        if (panel->converts) {
            panel->load(spare + i * TURN * panel->bytes, from + source[i] * panel->stored_bytes, 1, dense);
            source[i] = i * TURN;
            in = spare;
        }
    }
    if (d[0] == 0) {
        const int64_t first = address(k, p, q), along = d[1] * k->width + d[2] * k->step;
        for (int64_t j = 0; j < dense; j++)
            target[j] = first + j * along;
        panel->turn(to, target, in, source, n, dense);
        return;
    }
    for (int64_t j = 0; j < dense; j++)
        target[j] = j * TURN;
    panel->turn(turned, target, in, source, n, dense);
    for (int64_t j = 0; j < dense; j++)
        for (int64_t i = 0; i < n;) {
            const int64_t at = p + i + j * d[0], run = least(n - i, k->width - at % k->width);
            memcpy(to + address(k, at, q) * panel->bytes, turned + (j * TURN + i) * panel->bytes,
                   (size_t)(run * panel->bytes));
            i += run;
        }
}

static void pack_blocks(const struct fuse_panel *panel, const struct fuse_box_range *range, const char *memory,
                        char *to) {
    const struct fuse_box_range *lanes = &range[panel->lane], *others = &range[panel->other],
                                *batch = &range[FUSE_GROUP_BATCH];
    const struct fixed l = fix(panel, range, panel->lane), o = fix(panel, range, panel->other),
                       b = fix(panel, range, FUSE_GROUP_BATCH);
    const struct block k = {.panel = panel,
                            .width = panel->width > 0 ? panel->width : lanes->points,
                            .lanes = lanes->points,
                            .others = others->points,
                            .step = fuse_panel_step(panel, lanes->points, others->points),
                            .offset = lanes->offset[panel->operand]};
    const bool lane_dense = panel->dense == panel->lane;
    const int64_t d[3] = {lane_dense ? l.step : 0, panel->dense == panel->other ? o.step : 0,
                          panel->dense == FUSE_GROUP_BATCH ? b.step : 0};
    const int64_t extent = l.extent * o.extent * b.extent; /* two of them are 1 */
    for (int64_t bi = 0; bi < b.points; bi++)
        for (int64_t oi = 0; oi < o.points; oi++) {
            const int64_t at = position(&b, bi), q = position(&o, oi);
            const char *from =
                memory + (batch->offset[panel->operand][at] + others->offset[panel->operand][q]) * panel->stored_bytes;
            for (int64_t li = 0; li < l.points;) {
                const int64_t p = position(&l, li);
                int64_t n = least(TURN, l.points - li);
                n = lane_dense ? least(n, l.step - li % l.step) : least(n, k.width - p % k.width);
                if (d[1] != 0 && panel->turn_lanes && !panel->converts) {
                    panel->turn_lanes(to + (at * k.step + address(&k, p, q)) * panel->bytes, d[1] * k.width, from,
                                      k.offset + p, p + 2 * n <= k.lanes ? k.offset + p + n : NULL, n, extent);
                    li += n;
                    continue;
                }
                for (int64_t e = 0; e < extent; e += TURN)
                    pack_block(&k, to + (at * k.step + (d[1] * k.width + d[2] * k.step) * e) * panel->bytes,
                               from + (lane_dense ? 0 : e * panel->stored_bytes), p + d[0] * e, n, q, d,
                               least(TURN, extent - e));
                li += n;
            }
        }
}

int64_t fuse_panel_pack(const struct fuse_panel *panel, const struct fuse_box_range *range, char *to) {
    const char *memory = panel->operand == FUSE_BOX_A ? panel->boxes->g->a : panel->boxes->g->b;
    if (panel->turns)
        pack_blocks(panel, range, memory, to);
    else
        pack_rows(panel, range, memory, to);
    return range[FUSE_GROUP_BATCH].points * range[panel->lane].points * range[panel->other].points;
}

/* ---- results ---- */

/* A function, because gcc 12 reads operands of the builtin again after writing a result that overlaps them. */
static inline bool add_overflows(int64_t a, int64_t b, int64_t *sum) {
    return __builtin_add_overflow(a, b, sum);
}

#define SCATTER(type, ADD)                                                                                   \
    static bool scatter_##type(type *to, int64_t step, const type *from, int64_t n, enum fuse_scatter how) { \
        bool overflow = false;                                                                               \
        for (int64_t i = 0; i < n; i++) {                                                                    \
            type value = from[i], old = to[i * step];                                                        \
            if (how == FUSE_SCATTER_ADD)                                                                     \
                ADD(old, value);                                                                             \
            else if (how != FUSE_SCATTER_SET)                                                                \
                value = (how == FUSE_SCATTER_MIN ? value < old : value > old) ? value : old;                 \
            to[i * step] = value;                                                                            \
        }                                                                                                    \
        return overflow;                                                                                     \
    }
#define ADD_REAL(old, sum) sum += (old)
#define ADD_CHECKED(old, sum) overflow |= add_overflows(old, sum, &sum)
SCATTER(float, ADD_REAL)
SCATTER(double, ADD_REAL)
SCATTER(int64_t, ADD_CHECKED)

static inline bool scatter_row(enum fuse_dtype type, char *to, int64_t step, const char *from, int64_t n,
                               enum fuse_scatter how) {
    if (step == 1 && how == FUSE_SCATTER_SET) {
        copy_run(to, from, n * (int64_t)fuse_dtype_bytes(type));
        return false;
    }
    if (type == FUSE_F32)
        return scatter_float((float *)to, step, (const float *)from, n, how);
    if (type == FUSE_F64)
        return scatter_double((double *)to, step, (const double *)from, n, how);
    return scatter_int64_t((int64_t *)to, step, (const int64_t *)from, n, how);
}

static bool scatter_rows(const struct fuse_panel *panel, const struct fuse_box_range *range, const char *from,
                         enum fuse_scatter how) {
    const struct fuse_grouped *g = panel->boxes->g;
    const struct fuse_box_range *lanes = &range[panel->lane], *others = &range[panel->other],
                                *batch = &range[FUSE_GROUP_BATCH];
    bool overflow = false;
    int64_t stride;
    const int64_t run = fuse_box_run(panel->boxes, lanes, panel->lane, FUSE_BOX_C, &stride);
    for (int64_t b = 0; b < batch->points; b++)
        for (int64_t q = 0; q < others->points; q++)
            for (int64_t p = 0; p < lanes->points; p += run, from += run * panel->bytes)
                overflow |= scatter_row(g->type,
                                        g->c + (batch->offset[FUSE_BOX_C][b] + others->offset[FUSE_BOX_C][q] +
                                                lanes->offset[FUSE_BOX_C][p]) *
                                                   panel->bytes,
                                        stride, from, run, how);
    return overflow;
}

/* A result that is dense along a batch index: blocks of lanes and batch positions change places. */
static bool scatter_blocks(const struct fuse_panel *panel, const struct fuse_box_range *range, const char *from,
                           enum fuse_scatter how) {
    const struct fuse_grouped *g = panel->boxes->g;
    const struct fuse_box_range *lanes = &range[panel->lane], *others = &range[panel->other],
                                *batch = &range[FUSE_GROUP_BATCH];
    const struct fixed b = fix(panel, range, FUSE_GROUP_BATCH);
    const int64_t step = lanes->points * others->points;
    bool overflow = false;
    for (int64_t bi = 0; bi < b.points * b.extent; bi += least(TURN, b.extent - bi % b.extent))
        for (int64_t q = 0; q < others->points; q++)
            for (int64_t p = 0; p < lanes->points; p += TURN) {
                const int64_t at = position(&b, bi / b.extent) + bi % b.extent * b.step,
                              n = least(TURN, lanes->points - p), dense = least(TURN, b.extent - bi % b.extent);
                char turned[TURN * TURN * 8];
                int64_t source[TURN], target[TURN];
                for (int64_t i = 0; i < dense; i++)
                    source[i] = (at + i * b.step) * step + q * lanes->points + p;
                for (int64_t j = 0; j < n; j++)
                    target[j] = j * TURN;
                panel->turn(turned, target, from, source, dense, n);
                char *to = g->c + (batch->offset[FUSE_BOX_C][at] + others->offset[FUSE_BOX_C][q]) * panel->bytes;
                for (int64_t j = 0; j < n; j++)
                    overflow |= scatter_row(g->type, to + lanes->offset[FUSE_BOX_C][p + j] * panel->bytes, 1,
                                            turned + j * TURN * panel->bytes, dense, how);
            }
    return overflow;
}

bool fuse_panel_scatter(const struct fuse_panel *panel, const struct fuse_box_range *range, const char *from,
                        enum fuse_scatter how) {
    return panel->turns ? scatter_blocks(panel, range, from, how) : scatter_rows(panel, range, from, how);
}

int fuse_panel_specials(const struct fuse_panel *panel, const struct fuse_box_range *range, const char *panel_at,
                        fuse_tile_specials *specials) {
    const int64_t lanes = range[panel->lane].points, others = range[panel->other].points,
                  width = panel->width > 0 ? panel->width : lanes;
    int flags = 0;
    for (int64_t b = 0; b < range[FUSE_GROUP_BATCH].points; b++)
        for (int64_t p = 0; p < lanes; p += width, panel_at += width * others * panel->bytes) {
            const bool whole = lanes - p >= width;
            for (int64_t q = 0; q < (whole ? 1 : others); q++)
                flags |= specials(panel_at + q * width * panel->bytes, whole ? width * others : lanes - p);
        }
    return flags;
}
