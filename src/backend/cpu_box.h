/* The iteration space of a contraction cut in boxes: ranges along every index, so that the part of an operand or of the result
 * that belongs to a box is a few dense runs, whatever the order of its axes. Local, pure. */
#ifndef FUSE_BACKEND_CPU_BOX_H
#define FUSE_BACKEND_CPU_BOX_H

#include "backend/cpu_contract.h"

/* Most positions of a group in a box. */
#define FUSE_BOX_POINTS 4096

enum fuse_box_operand { FUSE_BOX_A, FUSE_BOX_B, FUSE_BOX_C, FUSE_BOX_OPERANDS };

/* How the axes of the groups are cut. block: most positions of an axis in a box; boxes: how many boxes that makes of a group. */
struct fuse_boxes {
    const struct fuse_grouped *g;
    int64_t unit[FUSE_GROUPS]; /* of which a larger block is a multiple */
    int64_t block[FUSE_GROUPS][FUSE_MAX_AXES];
    int64_t points[FUSE_GROUPS], boxes[FUSE_GROUPS]; /* positions of a group in a full box; boxes of a group */
};

/* The part of a group in a box: its positions, innermost axis fastest, as offsets in elements from the operands' origin. */
struct fuse_box_range {
    int64_t number; /* of the box in its group; -1: none yet */
    int64_t points, extent[FUSE_MAX_AXES];
    int64_t offset[FUSE_BOX_OPERANDS][FUSE_BOX_POINTS];
};

/* What a box may be: elements of all panels together, also when there are several batch positions; positions of K, and of M
 * and N; line: elements of a cache line. */
struct fuse_box_limits {
    int64_t room, batch_room, k, mn, line;
    bool a_in_place, c_in_place; /* these need no panel */
};

/* Boxes of most[group] positions of each group, or less, but of a line along every operand's densest axis; where an axis is cut, of
 * a multiple of unit[group] positions if that is not more. */
void fuse_boxes_cut(struct fuse_boxes *out, const struct fuse_grouped *g, const int64_t most[FUSE_GROUPS],
                    const int64_t unit[FUSE_GROUPS], int64_t line);
void fuse_boxes_choose(struct fuse_boxes *out, const struct fuse_grouped *g, const struct fuse_box_limits *limits);
void fuse_box_seek(struct fuse_box_range *range, const struct fuse_boxes *boxes, enum fuse_group group, int64_t number);

int64_t fuse_box_stride(const struct fuse_group_axis *axis, enum fuse_box_operand operand);
/* Positions of the range that follow each other with one stride, which it returns in *stride: a divisor of the range's
 * points. range NULL: of every range, where it is all of them, and of a full one, where it is less. */
int64_t fuse_box_run(const struct fuse_boxes *boxes, const struct fuse_box_range *range, enum fuse_group group,
                     enum fuse_box_operand operand, int64_t *stride);
/* The operand's axis with the smallest stride; false when it has none. */
bool fuse_box_densest(const struct fuse_grouped *g, enum fuse_box_operand operand, enum fuse_group *group, int *axis);
/* The axis along which the operand is dense, in the boxes; false when there is none. */
bool fuse_box_dense(const struct fuse_boxes *boxes, enum fuse_box_operand operand, enum fuse_group *group, int *axis);

/* Hands positions [first, first + n) of M by all of N to the epilogue: those of all batch positions of the range or, unless it is -1,
 * of one of them. Less than all of M only where it has one stride in the result. */
void fuse_box_epilogue(struct fuse_epilogue *then, int thread, const struct fuse_boxes *boxes,
                       const struct fuse_box_range range[FUSE_GROUPS], int64_t batch, int64_t first, int64_t n);

#endif
