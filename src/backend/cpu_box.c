#include "backend/cpu_box.h"

#include <math.h>

#define BATCH_LINES 4

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t size_of(int64_t stride) {
    return stride < 0 ? -stride : stride;
}

int64_t fuse_box_stride(const struct fuse_group_axis *axis, enum fuse_box_operand operand) {
    return operand == FUSE_BOX_A ? axis->a : operand == FUSE_BOX_B ? axis->b : axis->c;
}

static int64_t points_of(const struct fuse_boxes *b, enum fuse_group group) {
    int64_t points = 1;
    for (int x = 0; x < b->g->axes[group]; x++)
        points *= b->block[group][x];
    return points;
}

bool fuse_box_densest(const struct fuse_grouped *g, enum fuse_box_operand operand, enum fuse_group *group, int *axis) {
    int64_t smallest = INT64_MAX;
    for (int at = 0; at < FUSE_GROUPS; at++)
        for (int x = 0; x < g->axes[at]; x++) {
            int64_t stride = size_of(fuse_box_stride(&g->axis[at][x], operand));
            if (stride != 0 && stride < smallest) {
                smallest = stride;
                *group = (enum fuse_group)at;
                *axis = x;
            }
        }
    return smallest < INT64_MAX;
}

/* Makes a block as large as the group's bound lets it be, in parts of equal size. */
static void grow(struct fuse_boxes *b, enum fuse_group group, int x, int64_t most) {
    const int64_t extent = b->g->axis[group][x].extent, room = most / (points_of(b, group) / b->block[group][x]);
    if (room <= b->block[group][x])
        return;
    const int64_t parts = (extent + room - 1) / room, even = (extent + parts - 1) / parts, unit = b->unit[group],
                  rounded = (even + unit - 1) / unit * unit;
    b->block[group][x] = parts > 1 && rounded <= room ? rounded : even;
}

/* Dense axes first, then from the innermost outwards. */
static void grow_group(struct fuse_boxes *b, enum fuse_group group, int64_t most) {
    for (int operand = 0; operand < FUSE_BOX_OPERANDS; operand++) {
        enum fuse_group dense = FUSE_GROUP_BATCH;
        int axis = 0;
        /* The result's runs of M and N are the last that may be cut. */
        enum fuse_box_operand o = (enum fuse_box_operand)(FUSE_BOX_OPERANDS - 1 - operand);
        if (fuse_box_densest(b->g, o, &dense, &axis) && dense == group)
            grow(b, group, axis, most);
    }
    for (int x = b->g->axes[group] - 1; x >= 0; x--)
        grow(b, group, x, most);
}

/* At least a cache line along every operand's densest axis; some lines of a batch axis, which are fetched together. */
static void take_lines(struct fuse_boxes *b, int64_t line) {
    for (int group = 0; group < FUSE_GROUPS; group++)
        for (int x = 0; x < b->g->axes[group]; x++)
            b->block[group][x] = 1;
    for (int operand = 0; operand < FUSE_BOX_OPERANDS; operand++) {
        enum fuse_group group = FUSE_GROUP_BATCH;
        int axis = 0;
        if (!fuse_box_densest(b->g, (enum fuse_box_operand)operand, &group, &axis))
            continue;
        const int64_t extent = b->g->axis[group][axis].extent,
                      most = group == FUSE_GROUP_BATCH && points_of(b, group) == 1 ? BATCH_LINES * line : line,
                      parts = (extent + most - 1) / most;
        if (b->block[group][axis] > 1)
            continue;
        b->block[group][axis] = (extent + parts - 1) / parts;
    }
}

static void count_boxes(struct fuse_boxes *b) {
    const struct fuse_grouped *g = b->g;
    for (int group = 0; group < FUSE_GROUPS; group++) {
        b->points[group] = points_of(b, (enum fuse_group)group);
        b->boxes[group] = 1;
        for (int x = 0; x < g->axes[group]; x++)
            b->boxes[group] *= (g->axis[group][x].extent + b->block[group][x] - 1) / b->block[group][x];
    }
}

void fuse_boxes_cut(struct fuse_boxes *out, const struct fuse_grouped *g, const int64_t most[FUSE_GROUPS],
                    const int64_t unit[FUSE_GROUPS], int64_t line) {
    *out = (struct fuse_boxes){.g = g};
    for (int group = 0; group < FUSE_GROUPS; group++)
        out->unit[group] = unit[group];
    take_lines(out, line);
    for (int group = 0; group < FUSE_GROUPS; group++)
        grow_group(out, (enum fuse_group)group, most[group]);
    count_boxes(out);
}

void fuse_boxes_choose(struct fuse_boxes *out, const struct fuse_grouped *g, const struct fuse_box_limits *limits) {
    *out = (struct fuse_boxes){.g = g, .unit = {1, 1, 1, 1}};
    take_lines(out, limits->line);
    const int64_t batch = points_of(out, FUSE_GROUP_BATCH);
    const double room = (double)(batch > 1 ? limits->batch_room / batch : limits->room);
    const double with_a = limits->a_in_place ? 0 : 1, with_c = limits->c_in_place ? 0 : 1;
    const int64_t all_m = fuse_group_points(g, FUSE_GROUP_M);
    int64_t most_k = limits->k;
    double edge = 0;
    for (; most_k >= 32; most_k /= 2) {
        /* c edge^2 + (a + 1) k edge = room */
        const double k = (with_a + 1) / 2 * (double)least(most_k, fuse_group_points(g, FUSE_GROUP_K));
        edge = with_c > 0 ? sqrt(k * k + room) - k : room / (2 * k);
        if (edge >= 96)
            break;
    }
    grow_group(out, FUSE_GROUP_K, most_k);
    const double k = (double)points_of(out, FUSE_GROUP_K);
    /* A flat or narrow result leaves room for longer boxes. */
    const double m0 = (double)all_m < edge ? (double)all_m : edge;
    const int64_t most_n = (int64_t)((room - with_a * m0 * k) / (k + with_c * m0));
    grow_group(out, FUSE_GROUP_N, least(most_n < 16 ? 16 : most_n, limits->mn));
    const double n = (double)points_of(out, FUSE_GROUP_N), per_m = with_a * k + with_c * n;
    const int64_t most_m = per_m > 0 ? (int64_t)((room - n * k) / per_m) : limits->mn;
    grow_group(out, FUSE_GROUP_M, least(most_m < 16 ? 16 : most_m, limits->mn));
    count_boxes(out);
}

void fuse_box_seek(struct fuse_box_range *range, const struct fuse_boxes *boxes, enum fuse_group group,
                   int64_t number) {
    if (range->number == number)
        return;
    const struct fuse_grouped *g = boxes->g;
    int64_t base[FUSE_BOX_OPERANDS] = {0}, left = number;
    range->number = number;
    range->points = 1;
    for (int o = 0; o < FUSE_BOX_OPERANDS; o++)
        range->offset[o][0] = 0;
    for (int x = g->axes[group] - 1; x >= 0; x--) {
        const int64_t extent = g->axis[group][x].extent, block = boxes->block[group][x],
                      parts = (extent + block - 1) / block, begin = left % parts * block;
        left /= parts;
        range->extent[x] = least(block, extent - begin);
        for (int o = 0; o < FUSE_BOX_OPERANDS; o++) {
            const int64_t stride = fuse_box_stride(&g->axis[group][x], (enum fuse_box_operand)o);
            int64_t *offset = range->offset[o];
            base[o] += begin * stride;
            for (int64_t i = range->extent[x] - 1; i > 0; i--)
                for (int64_t p = 0; p < range->points; p++)
                    offset[i * range->points + p] = offset[p] + i * stride;
        }
        range->points *= range->extent[x];
    }
    for (int o = 0; o < FUSE_BOX_OPERANDS; o++)
        for (int64_t p = 0; p < range->points; p++)
            range->offset[o][p] += base[o];
}

int64_t fuse_box_run(const struct fuse_boxes *boxes, const struct fuse_box_range *range, enum fuse_group group,
                     enum fuse_box_operand operand, int64_t *stride) {
    int64_t run = 1;
    *stride = 1;
    for (int x = boxes->g->axes[group] - 1; x >= 0; x--) {
        const struct fuse_group_axis *axis = &boxes->g->axis[group][x];
        const int64_t step = fuse_box_stride(axis, operand), extent = range ? range->extent[x] : boxes->block[group][x];
        if (extent == 1)
            continue;
        if (run == 1)
            *stride = step;
        else if (step != *stride * run)
            break;
        run *= extent;
        if (!range && extent < axis->extent)
            break; /* a range at the border is shorter here */
    }
    return run;
}

bool fuse_box_dense(const struct fuse_boxes *boxes, enum fuse_box_operand operand, enum fuse_group *group, int *axis) {
    return fuse_box_densest(boxes->g, operand, group, axis) && boxes->block[*group][*axis] > 1 &&
           fuse_box_stride(&boxes->g->axis[*group][*axis], operand) == 1;
}

static void add_axis(struct fuse_epilogue_part *part, int64_t extent, int64_t stride) {
    part->axis[part->axes].extent = extent;
    part->axis[part->axes++].stride = stride;
}

static void add_range(struct fuse_epilogue_part *part, const struct fuse_boxes *boxes,
                      const struct fuse_box_range *range, enum fuse_group group) {
    int64_t stride;
    if (fuse_box_run(boxes, range, group, FUSE_BOX_C, &stride) == range->points)
        add_axis(part, range->points, stride);
    else
        for (int x = 0; x < boxes->g->axes[group]; x++)
            add_axis(part, range->extent[x], boxes->g->axis[group][x].c);
}

void fuse_box_epilogue(struct fuse_epilogue *then, int thread, const struct fuse_boxes *boxes,
                       const struct fuse_box_range range[FUSE_GROUPS], int64_t batch, int64_t first, int64_t n) {
    const struct fuse_box_range *m = &range[FUSE_GROUP_M];
    struct fuse_epilogue_part part = {.offset = range[FUSE_GROUP_BATCH].offset[FUSE_BOX_C][batch < 0 ? 0 : batch] +
                                                m->offset[FUSE_BOX_C][first] +
                                                range[FUSE_GROUP_N].offset[FUSE_BOX_C][0]};
    int64_t stride;
    if (batch < 0)
        add_range(&part, boxes, &range[FUSE_GROUP_BATCH], FUSE_GROUP_BATCH);
    if (n == m->points) {
        add_range(&part, boxes, m, FUSE_GROUP_M);
    } else {
        fuse_box_run(boxes, m, FUSE_GROUP_M, FUSE_BOX_C, &stride);
        add_axis(&part, n, stride);
    }
    add_range(&part, boxes, &range[FUSE_GROUP_N], FUSE_GROUP_N);
    fuse_epilogue_run(then, thread, &part);
}
