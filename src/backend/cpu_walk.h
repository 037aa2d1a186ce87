/* Walks: the elements of one operand in the order of a linear iteration space, as runs of constant stride. Local. */
#ifndef FUSE_BACKEND_CPU_WALK_H
#define FUSE_BACKEND_CPU_WALK_H

#include "core/box.h"

/* Axes innermost first; neighbours that form one run are fused. There is always at least one axis. */
struct fuse_walk {
    int axes;
    int64_t extent[FUSE_MAX_AXES], stride[FUSE_MAX_AXES];
};

/* A point of the space: its coordinates in the fused axes and its offset in elements. */
struct fuse_walk_point {
    int64_t at[FUSE_MAX_AXES], offset;
};

/* extent and stride outermost first; extents >= 1. */
static inline void fuse_walk_make(struct fuse_walk *walk, int axes, const int64_t *extent, const int64_t *stride) {
    walk->axes = 1;
    walk->extent[0] = 1;
    walk->stride[0] = 0;
    for (int x = axes - 1; x >= 0; x--) {
        int last = walk->axes - 1;
        if (extent[x] == 1)
            continue;
        if (walk->extent[last] == 1) {
            walk->extent[last] = extent[x];
            walk->stride[last] = stride[x];
        } else if (stride[x] == walk->stride[last] * walk->extent[last]) {
            walk->extent[last] *= extent[x];
        } else {
            walk->extent[walk->axes] = extent[x];
            walk->stride[walk->axes++] = stride[x];
        }
    }
}

static inline void fuse_walk_seek(const struct fuse_walk *walk, int64_t position, struct fuse_walk_point *point) {
    point->offset = 0;
    for (int x = 0; x < walk->axes - 1; x++) {
        point->at[x] = position % walk->extent[x];
        position /= walk->extent[x];
        point->offset += point->at[x] * walk->stride[x];
    }
    point->at[walk->axes - 1] = position;
    point->offset += position * walk->stride[walk->axes - 1];
}

/* Elements from the point to the end of its run. */
static inline int64_t fuse_walk_run(const struct fuse_walk *walk, const struct fuse_walk_point *point) {
    return walk->extent[0] - point->at[0];
}

/* Whole runs that follow the point at one distance from each other, the walk's second stride; 0: the point is within a run. */
static inline int64_t fuse_walk_runs(const struct fuse_walk *walk, const struct fuse_walk_point *point) {
    return walk->axes == 1 || point->at[0] != 0 ? 0 : walk->extent[1] - point->at[1];
}

/* Moves on by so many steps along an axis, at most to its end. */
static inline void fuse_walk_step(const struct fuse_walk *walk, struct fuse_walk_point *point, int axis,
                                  int64_t steps) {
    point->at[axis] += steps;
    point->offset += steps * walk->stride[axis];
    for (int x = axis; x < walk->axes - 1 && point->at[x] == walk->extent[x]; x++) {
        point->offset += walk->stride[x + 1] - walk->extent[x] * walk->stride[x];
        point->at[x] = 0;
        point->at[x + 1]++;
    }
}

/* Moves on by at most one run. */
static inline void fuse_walk_advance(const struct fuse_walk *walk, struct fuse_walk_point *point, int64_t elems) {
    fuse_walk_step(walk, point, 0, elems);
}

#endif
