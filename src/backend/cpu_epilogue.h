/* Maps that go over parts of a product's result as soon as these are complete, by the thread that has completed them: the result is
 * read while it is in a cache, not by a sweep of its own. Local.
 *
 * A part is a box of the result as kernels know it: an offset and axes that they have fused, turned round and cut in their own way.
 * It is found again by the result's strides, no two of which are the same, and cut where a fused axis is several of a map's. */
#ifndef FUSE_BACKEND_CPU_EPILOGUE_H
#define FUSE_BACKEND_CPU_EPILOGUE_H

#include "backend/cpu_map.h"

/* An index of the result of extent > 1. `joins`: it and the next outer one are one index to all that the maps read and write. */
struct fuse_epilogue_axis {
    int64_t extent, stride;
    bool joins;
    int index[FUSE_CONTRACT_MAPS]; /* of each map */
};

struct fuse_epilogue {
    struct fuse_cpu_backend *cpu;
    const struct fuse_contract *product;
    const struct fuse_map_call *map;
    int maps, axes;
    struct fuse_epilogue_axis axis[FUSE_MAX_AXES]; /* outermost first */
    struct fuse_epilogue_worker *worker;           /* [threads][maps]; NULL: not begun */
};

/* Elements in which a part is worth a call, where it can be had so small. */
#define FUSE_EPILOGUE_POINTS ((int64_t)8 << 10)

/* A box of the result, in elements. Axes of extent 1 may have any stride. */
struct fuse_epilogue_part {
    int64_t offset;
    int axes;
    struct {
        int64_t extent, stride;
    } axis[FUSE_MAX_AXES];
};

/* Borrows all that it is given. */
void fuse_epilogue_make(struct fuse_epilogue *out, struct fuse_cpu_backend *cpu, const struct fuse_contract *product,
                        const struct fuse_map_call *map, int maps);
/* Before the first part, by a kernel that will hand in every element once: returns its argument. NULL: nothing is wanted, or the
 * maps had better follow as a whole, and no part may be handed in. */
struct fuse_epilogue *fuse_epilogue_begin(struct fuse_epilogue *then);
void fuse_epilogue_run(struct fuse_epilogue *then, int thread, const struct fuse_epilogue_part *part);
/* After the contraction, whose status is passed on; runs the maps as a whole unless they were begun. */
enum fuse_status fuse_epilogue_end(struct fuse_epilogue *then, enum fuse_status status, struct fuse_cpu_counts *counts,
                                   struct fuse_error *err) FUSE_CHECKED;

#endif
