/* Where the operations of a plan stand in a picture of them. Local and pure. */
#ifndef FUSE_API_PLAN_GRAPH_H
#define FUSE_API_PLAN_GRAPH_H

#include "plan/plan.h"

enum {
    FUSE_GRAPH_WIDTH = 210, /* of a box, in pixels like all lengths */
    FUSE_GRAPH_HEIGHT = 92,
    FUSE_GRAPH_GAP = 46, /* between layers */
    FUSE_GRAPH_MARGIN = 12
};

/* Operations stand in layers from top to bottom, below those that make their inputs. What is read further down than in the next
 * layer goes through the layers between in a lane of its own, so that no edge lies behind a box. */
struct fuse_plan_graph {
    const struct fuse_plan *plan;
    struct fuse_arena *arena;
    int *layer, *last;         /* [ops] of the operation; of the last one that reads its result, or its own */
    int *left;                 /* [ops] of its box */
    int *lane;                 /* [ops] its first one in lane_x: those of layers layer + 1 .. last - 1 */
    int *lane_x;               /* the middle of each lane */
    int64_t *own_ps, *path_ps; /* [ops] of its steps; of the longest way that ends with it */
    int *before;               /* [ops] the operation before it on that way, or -1 */
    bool *critical;            /* [ops] */
    const bool *nowhere;       /* [values] computed where it is needed */
    int layers, width, height;
};

/* Everything is in the arena. */
struct fuse_plan_graph fuse_plan_graph_make(struct fuse_arena *arena, const struct fuse_plan *plan);
int fuse_plan_graph_producer(const struct fuse_plan_graph *g, int op, int input);
int fuse_plan_graph_top(int layer);
/* The middle of what op makes, in its own layer or one of its lanes'. */
int fuse_plan_graph_middle(const struct fuse_plan_graph *g, int op, int layer);

#endif
