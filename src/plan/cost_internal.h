/* Intervals of positions along one axis, and what each rank receives in a step. For the cost model alone (cost.h); intervals are
 * half-open. */
#ifndef FUSE_PLAN_COST_INTERNAL_H
#define FUSE_PLAN_COST_INTERNAL_H

#include "plan/cost.h"
#include "plan/ordered.h"

struct interval {
    int64_t lo, hi;
};

static inline int64_t length(struct interval x) {
    return x.hi > x.lo ? x.hi - x.lo : 0;
}

static inline struct interval meet(struct interval x, struct interval y) {
    return (struct interval){x.lo > y.lo ? x.lo : y.lo, x.hi < y.hi ? x.hi : y.hi};
}

/* Part `part` of `parts` of [0, n): the first element is part * (n / parts) + part * (n % parts) / parts. */
static inline struct interval block_interval(int64_t n, int64_t parts, int64_t part) {
    int64_t q = n / parts, r = n % parts;
    return (struct interval){part * q + part * r / parts, (part + 1) * q + (part + 1) * r / parts};
}

/* The part of a rank, outer levels first. */
static inline int64_t nested_part(const struct fuse_mesh *mesh, const struct fuse_layout *layout, int axis,
                                  const int *coordinate) {
    int64_t part = 0;
    for (int level = 0; level < mesh->dims; level++)
        for (int d = 0; d < mesh->dims; d++)
            if (layout->axis[d] == axis && layout->level[d] == level)
                part = part * mesh->dim[d] + coordinate[d];
    return part;
}

static inline struct interval layout_interval(const struct fuse_plan *plan, const struct fuse_layout *layout, int axis,
                                              int64_t extent, const int *coordinate, int half) {
    const struct fuse_mesh *mesh = &plan->mesh;
    int64_t parts = 1, part = 0;
    int levels = 0;
    bool in_order = true;
    for (int d = 0; d < mesh->dims; d++)
        if (layout->axis[d] == axis) {
            in_order &= layout->level[d] == levels++;
            parts *= mesh->dim[d];
            part = part * mesh->dim[d] + coordinate[d];
        }
    if (levels == 0)
        return (struct interval){0, extent};
    if (!in_order)
        part = nested_part(mesh, layout, axis, coordinate);
    if (layout->zigzag != axis + 1)
        return block_interval(extent, parts, part);
    return block_interval(extent, 2 * parts, half == 0 ? part : 2 * parts - 1 - part);
}

/* The same of an index of an operation under a partition. */
static inline struct interval index_interval(const struct fuse_plan *plan, int op, const struct fuse_layout *partition,
                                             int index, const int *coordinate, int half) {
    struct interval x;
    if (plan->request.chunk == 0)
        return layout_interval(plan, partition, index, plan->ir->ops.at[op]->extent[index], coordinate, half);
    fuse_index_part(&x.lo, &x.hi, plan, op, partition, index, coordinate);
    return x;
}

/* What an input of an operation is read at along one axis when its index runs over `range`. */
static inline struct interval read_interval(const struct fuse_access_axis *at, struct interval range) {
    struct interval read;
    fuse_access_range(&read.lo, &read.hi, at, range.lo, range.hi - 1);
    return read;
}

/* The part of a split of n into `parts` that holds position x: floor(n k / parts) <= x. */
static inline int64_t fuse_cost_part_of(int64_t n, int64_t parts, int64_t x) {
    if (x < INT32_MAX && parts < INT32_MAX)
        return ((x + 1) * parts - 1) / n;
    return (int64_t)((((__int128)x + 1) * parts - 1) / n);
}

/* ---- cost.c ---- */

/* A rank below mesh.used has coordinates. */
struct fuse_cost_where {
    int rank;
    int64_t turn;
    const int *coordinate;
};

/* Per-axis intervals of a LAYOUT or NEED holding for one rank, clipped to the tensor. false: the rank has nothing. */
bool fuse_cost_intervals(struct interval out[FUSE_MAX_AXES], const struct fuse_plan *plan,
                         const struct fuse_holding *holding, const struct fuse_cost_where *where, int half,
                         bool *padded);
/* The element range of a RANGES holding. */
struct interval fuse_cost_range(const struct fuse_plan *plan, const struct fuse_holding *holding, int rank,
                                int64_t turn);
/* Elements of a LAYOUT or NEED holding that lie in a range of the file. */
int64_t fuse_cost_elems_in_range(const struct fuse_plan *plan, const struct fuse_holding *holding,
                                 const struct fuse_cost_where *where, bool reversed, struct interval range);
/* Those that two LAYOUT or NEED holdings of a value have in common, for ranks that need not be the same; *needed are all of the
 * first. */
int64_t fuse_cost_common_elems(int64_t *needed, const struct fuse_plan *plan, const struct fuse_holding *need,
                               const struct fuse_cost_where *needs, const struct fuse_holding *have,
                               const struct fuse_cost_where *has);
/* Sets of intervals that a LAYOUT or NEED holding has for one rank: 2 in zigzag, unless it does not go along that axis. */
int fuse_cost_halves(const struct fuse_plan *plan, const struct fuse_holding *holding);
/* What the busiest of plan->samples receives in a MOVE or REDUCE step without loops. */
struct fuse_traffic fuse_cost_sample(const struct fuse_plan *plan, const struct fuse_step *step);

/* ---- cost_network.c ---- */

static inline int fuse_cost_node_dim(const struct fuse_plan *plan) {
    return fuse_mesh_node_dim(&plan->mesh, plan->request.machine.ranks_per_node);
}
/* Of `received` elements of a rank, those that come from other nodes. An estimate for the search: all of what comes from a file or
 * goes to one; in the first of two stages, what the rank receives that is brought most, of those that share what they need. */
int64_t fuse_cost_network_elems(const struct fuse_plan *plan, const struct fuse_step *step,
                                const struct fuse_cost_where *where, int64_t received);

/* ---- cost_moves.c ---- */

struct fuse_cost_splits {
    int dims, dim[FUSE_MESH_MAX], axis[FUSE_MESH_MAX];
    int64_t weight[FUSE_MESH_MAX], parts[FUSE_MAX_AXES];
};

struct fuse_cost_moves {
    const struct fuse_value *value;
    const struct fuse_op *op; /* that needs it, NULL: a layout does */
    const struct fuse_use *use;
    struct fuse_cost_splits have, need;
    int dims;  /* of the mesh */
    int dealt; /* the axis of which dimensions of the mesh have a part each of what is needed, or -1; their weights */
    int64_t dealt_parts, dealt_weight[FUSE_MESH_MAX];
};

/* false: the step is of another kind. */
bool fuse_cost_open_moves(struct fuse_cost_moves *moves, const struct fuse_plan *plan, const struct fuse_step *step);
/* Elements that a rank receives, and ranks that it receives them from, at most. */
struct fuse_cost_moved {
    int64_t elems, senders;
};
void fuse_cost_sample_moves(struct fuse_cost_moved moved[FUSE_SAMPLES], const struct fuse_cost_moves *moves,
                            const struct fuse_samples *samples);

static inline int64_t step_turns(const struct fuse_plan *plan, const struct fuse_step *step) {
    return step->loop >= 0 ? plan->regions.at[step->loop].turns : 1;
}

/* What each rank receives in an exchange over all turns. */
struct fuse_cost_received {
    const int64_t *bytes; /* [ranks] */
    int64_t most, total;
    bool is_kept; /* for exchanges like it */
};

/* true when every rank below mesh.used has a non-empty part of the iteration space, so that intervals tell everything. */
bool fuse_cost_all_take_part(const struct fuse_plan *plan, const struct fuse_holding *need);
/* true when what a rank needs at the turns of the step's loop tiles what it would need without the loop, so that the bytes
 * of all turns are those of one turn over everything: always when the tensor's own axis or range is cut, and when an
 * operation's index is cut that walks one axis without gaps. */
bool fuse_cost_turns_tile(const struct fuse_plan *plan, const struct fuse_step *step);
/* What comes from other nodes in a MOVE step without loops; false where that is not so simple. */
bool fuse_cost_far_from_layout(struct fuse_cost_far *out, const struct fuse_plan *plan, const struct fuse_step *step);
/* Of a MOVE or REDUCE step. */
struct fuse_cost_received fuse_cost_receive(const struct fuse_plan *plan, const struct fuse_step *step);

#endif
