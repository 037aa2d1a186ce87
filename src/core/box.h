/* The algebra of index ranges: boxes, balanced splits, index maps, strided views.
 *
 * Everything that says "which elements" in fuse-dist is a box or a short list of boxes: the block a rank holds, the part
 * of an operand that a step needs, the contiguous range of a file that a rank reads. Extents and offsets count elements.
 * Local and pure. */
#ifndef FUSE_CORE_BOX_H
#define FUSE_CORE_BOX_H

#include "core/dtype.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Axes of one tensor, and indices of one step's iteration space. */
#define FUSE_MAX_AXES 32
/* The longest axis: what an index map can address. */
#define FUSE_MAX_EXTENT ((int64_t)1 << 60)
/* Boxes that one contiguous element range can fall into: 2 * rank - 1. */
#define FUSE_MAX_RANGE_BOXES (2 * FUSE_MAX_AXES)

/* The elements x with lo[a] <= x[a] < hi[a]. Empty when any hi[a] <= lo[a]; rank 0 holds one element. Bounds may lie
 * outside a tensor (padding), where the value is 0. */
struct fuse_box {
    int rank;
    int64_t lo[FUSE_MAX_AXES], hi[FUSE_MAX_AXES];
};

struct fuse_box fuse_box_full(int rank, const int64_t *extent);
bool fuse_box_is_empty(const struct fuse_box *box);
/* Saturates at INT64_MAX. */
int64_t fuse_box_elems(const struct fuse_box *box);
/* Same rank and bounds: two empty boxes may differ. */
bool fuse_box_equal(const struct fuse_box *a, const struct fuse_box *b);
/* true when inner is empty or lies in outer. */
bool fuse_box_contains(const struct fuse_box *outer, const struct fuse_box *inner);
/* *out = a and b's common part (may alias either); returns true when it is not empty. No extent is
 * negative. */
bool fuse_box_intersect(struct fuse_box *out, const struct fuse_box *a, const struct fuse_box *b);

/* First element of part k when n elements are split into `parts` blocks that differ by at most one: floor(n*k/parts).
 * Nested by construction: part (c0, c1) of d0 x d1 lies in part c0 of d0, so a split over several mesh dimensions is the
 * flat split over their product. */
int64_t fuse_split_begin(int64_t n, int64_t parts, int64_t k);

/* The boxes of the elements [begin, end) of a tensor in C order (last axis fastest), or, with `reversed`, in Fortran
 * order; in increasing order of position. Returns their number, at most 2 * rank - 1 (1 for rank 0, 0 when empty). */
int fuse_box_of_range(struct fuse_box out[FUSE_MAX_RANGE_BOXES], int rank, const int64_t *extent, bool reversed,
                      int64_t begin, int64_t end);

/* An index map: how an operand of rank `rank` is read at a point of an iteration space. Coordinate on axis a is
 * stride * i[index] + offset, or just offset when index is -1 (a fixed position). The same index may serve two axes
 * (a diagonal). Coordinates outside the operand read as 0.
 *
 * One index may also read two neighbouring axes as one, as concat(x) does: the first by its quotient, i / divide, the
 * second by its remainder, i % modulo, where divide == modulo == the extent of the second axis, the strides are 1 and the
 * offsets 0. In a dense block that holds the box of such a map, the pair is one axis in memory, of the second's stride:
 * as soon as the box has two quotients it has every remainder. So kernels see an ordinary stride, and no reshape of a
 * distributed tensor is an operation of its own. */
struct fuse_access {
    int rank;
    struct fuse_access_axis {
        int index; /* iteration index, or -1 */
        int64_t stride, offset;
        int64_t divide, modulo; /* 0: not of a pair */
    } at[FUSE_MAX_AXES];
};

struct fuse_access fuse_access_identity(int rank);
static inline bool fuse_access_is_paired(const struct fuse_access_axis *axis) {
    return axis->index >= 0 && (axis->divide > 0 || axis->modulo > 0);
}
/* The coordinate at position i of its index (any, when there is none), without regard to overflow. */
static inline int64_t fuse_access_coordinate(const struct fuse_access_axis *axis, int64_t i) {
    if (axis->index < 0)
        return axis->offset;
    i = axis->divide > 0 ? i / axis->divide : axis->modulo > 0 ? i % axis->modulo : i;
    return axis->stride * i + axis->offset;
}
/* The coordinates [*lo, *hi) that the positions first .. last of the index read; not clipped, saturating. */
void fuse_access_range(int64_t *lo, int64_t *hi, const struct fuse_access_axis *axis, int64_t first, int64_t last);
/* The most coordinates that any n >= 1 consecutive positions read. */
int64_t fuse_access_longest(const struct fuse_access_axis *axis, int64_t n);
/* The smallest box of the operand that holds every element read from the iteration box (not clipped to the operand).
 * Empty when the iteration box is, save for an operand of rank 0. */
struct fuse_box fuse_access_box(const struct fuse_access *access, const struct fuse_box *iteration);

/* Elements in memory: element (x0, x1, ..) is at data + sum x[a] * stride[a] elements. Strides may be 0 or negative. */
struct fuse_view {
    void *data;
    enum fuse_dtype dtype;
    int rank;
    int64_t extent[FUSE_MAX_AXES], stride[FUSE_MAX_AXES];
};

/* Strides of a dense block with the extents of `box`, last axis fastest, or first when reversed. */
void fuse_box_strides(int64_t stride[FUSE_MAX_AXES], const struct fuse_box *box, bool reversed);
/* The part `part` of a dense block `block` that starts at `data`; part must lie in block. */
struct fuse_view fuse_box_view(void *data, enum fuse_dtype dtype, const struct fuse_box *block, bool reversed,
                               const struct fuse_box *part);

/* Arithmetic that saturates at INT64_MAX; arguments >= 0. */
static inline int64_t fuse_sat_add(int64_t a, int64_t b) {
    int64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

static inline int64_t fuse_sat_mul(int64_t a, int64_t b) {
    int64_t product;
    return __builtin_mul_overflow(a, b, &product) ? INT64_MAX : product;
}

#endif
