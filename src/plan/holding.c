#include "plan/ordered.h"

/* The part of [lo, hi) that belongs to a turn of a loop. */
static void cut(int64_t *lo, int64_t *hi, int64_t turns, int64_t turn) {
    int64_t n = *hi > *lo ? *hi - *lo : 0, begin = *lo;
    *lo = begin + fuse_split_begin(n, turns, turn);
    *hi = begin + fuse_split_begin(n, turns, turn + 1);
}

/* Ranks start a panel loop at the block that they hold themselves, so that at every turn each rank sends to another one
 * instead of all asking the same owner. lo and hi are the rank's whole range of the loop's index. */
static int64_t skewed(const struct fuse_plan *plan, const struct fuse_region *loop, int rank, int64_t lo, int64_t hi,
                      int64_t turn) {
    if (loop->skew_input < 0 || hi <= lo)
        return turn;
    const struct fuse_use *use = &plan->ir->ops.at[loop->op]->input[loop->skew_input];
    const struct fuse_value *value = &plan->ir->values.at[use->value];
    for (int a = 0; a < use->access.rank; a++) {
        if (use->access.at[a].index != loop->index || use->access.at[a].stride != 1 ||
            fuse_access_is_paired(&use->access.at[a]))
            continue;
        int first_rank = loop->skews_nodes ? rank - rank % plan->request.machine.ranks_per_node : rank;
        struct fuse_box block =
            fuse_layout_block(&loop->skew_layout, &plan->mesh, value->rank, value->extent, first_rank, 0);
        int64_t own = block.lo[a] - use->access.at[a].offset;
        own = own < lo ? lo : own >= hi ? hi - 1 : own;
        /* the first turn that starts at or behind the own block's first element */
        __int128 scaled = (__int128)(own - lo) * loop->turns;
        int64_t first = (int64_t)((scaled + (hi - lo) - 1) / (hi - lo));
        if (loop->owners > 0) {
            int64_t parts = loop->turns / loop->owners;
            return (first / parts + turn % loop->owners) % loop->owners * parts + turn / loop->owners;
        }
        return (turn + first) % loop->turns;
    }
    return turn;
}

struct fuse_box fuse_iteration_box(const struct fuse_plan *plan, int op_number, const struct fuse_layout *partition,
                                   int loop, int index, int rank, int64_t turn, int half) {
    const struct fuse_op *op = plan->ir->ops.at[op_number];
    struct fuse_box box = fuse_layout_block(partition, &plan->mesh, op->indices, op->extent, rank, half);
    if (plan->request.chunk > 0 && rank < plan->mesh.used) {
        int coordinate[FUSE_MESH_MAX];
        fuse_mesh_coordinates(coordinate, &plan->mesh, rank);
        for (int i = 0; i < op->indices; i++)
            fuse_index_part(&box.lo[i], &box.hi[i], plan, op_number, partition, i, coordinate);
    }
    if (loop >= 0 && rank < plan->mesh.used) {
        const struct fuse_region *region = &plan->regions.at[loop];
        cut(&box.lo[index], &box.hi[index], region->turns,
            skewed(plan, region, rank, box.lo[index], box.hi[index], turn));
    }
    return box;
}

/* A NEED holding is the same for all ranks along a dimension that splits no index it reads. */
bool fuse_holding_deals(const struct fuse_plan *plan, const struct fuse_holding *holding, int d) {
    const int axis = holding->layout.axis[d];
    if (holding->dealt == 0 || d < holding->dealt_from)
        return false;
    if (holding->kind == FUSE_HOLDING_LAYOUT || axis < 0)
        return axis < 0;
    const struct fuse_access *access = &plan->ir->ops.at[holding->op]->input[holding->input].access;
    for (int a = 0; a < access->rank; a++)
        if (access->at[a].index == axis)
            return false;
    return true;
}

int64_t fuse_holding_dealt_parts(const struct fuse_plan *plan, const struct fuse_holding *holding) {
    int64_t parts = 1;
    for (int d = 0; d < plan->mesh.dims; d++)
        parts *= fuse_holding_deals(plan, holding, d) ? plan->mesh.dim[d] : 1;
    return parts;
}

int64_t fuse_holding_dealt_part(const struct fuse_plan *plan, const struct fuse_holding *holding,
                                const int coordinate[FUSE_MESH_MAX]) {
    int64_t part = 0;
    for (int d = 0; d < plan->mesh.dims; d++)
        if (fuse_holding_deals(plan, holding, d))
            part = part * plan->mesh.dim[d] + coordinate[d];
    return part;
}

/* The part that a rank has of what a turn has left of the dealt axis. */
static void deal(struct fuse_box *box, const struct fuse_plan *plan, const struct fuse_holding *holding, int rank) {
    const struct fuse_value *value = &plan->ir->values.at[holding->value];
    int coordinate[FUSE_MESH_MAX], axis = holding->dealt - 1;
    for (int a = 0; a < box->rank; a++) {
        box->lo[a] = box->lo[a] > 0 ? box->lo[a] : 0;
        box->hi[a] = box->hi[a] < value->extent[a] ? box->hi[a] : value->extent[a];
    }
    fuse_mesh_coordinates(coordinate, &plan->mesh, rank);
    cut(&box->lo[axis], &box->hi[axis], fuse_holding_dealt_parts(plan, holding),
        fuse_holding_dealt_part(plan, holding, coordinate));
}

bool fuse_plan_shares(const struct fuse_step *step) {
    return step->kind == FUSE_STEP_MOVE && step->need.dealt > 0 && step->need.dealt_from > 0;
}

bool fuse_plan_collects(const struct fuse_step *step) {
    return step->kind == FUSE_STEP_MOVE && step->have.dealt > 0 && step->have.dealt_from > 0;
}

bool fuse_plan_brings_panels(const struct fuse_plan *plan, const struct fuse_step *step) {
    return step->kind == FUSE_STEP_MOVE && plan->buffers.at[step->to].resident >= 0 && !fuse_plan_collects(step);
}

static int range_boxes(struct fuse_box *out, const struct fuse_plan *plan, const struct fuse_holding *holding, int rank,
                       int64_t turn) {
    const struct fuse_value *value = &plan->ir->values.at[holding->value];
    int64_t aggregators = holding->aggregators, ranks = plan->mesh.ranks;
    /* aggregator k is rank floor(k * P / A): the first k with that rank or above */
    int64_t k = ((int64_t)rank * aggregators + ranks - 1) / ranks;
    if (k >= aggregators || fuse_split_begin(ranks, aggregators, k) != rank)
        return 0;
    int64_t elems = fuse_value_elems(value);
    int64_t units = (elems + holding->align_elems - 1) / holding->align_elems;
    int64_t lo = fuse_split_begin(units, aggregators, k) * holding->align_elems;
    int64_t hi = fuse_split_begin(units, aggregators, k + 1) * holding->align_elems;
    lo = lo < elems ? lo : elems;
    hi = hi < elems ? hi : elems;
    if (holding->loop >= 0)
        cut(&lo, &hi, plan->regions.at[holding->loop].turns, turn);
    return fuse_box_of_range(out, value->rank, value->extent, holding->reversed, lo, hi);
}

static struct fuse_box layout_box(const struct fuse_plan *plan, const struct fuse_holding *holding, int rank,
                                  int64_t turn, int half) {
    const struct fuse_value *value = &plan->ir->values.at[holding->value];
    struct fuse_box box = fuse_layout_block(&holding->layout, &plan->mesh, value->rank, value->extent, rank, half);
    if (holding->loop >= 0)
        cut(&box.lo[holding->cut], &box.hi[holding->cut], plan->regions.at[holding->loop].turns, turn);
    return box;
}

static struct fuse_box needed_box(const struct fuse_plan *plan, const struct fuse_holding *holding, int rank,
                                  int64_t turn, int half) {
    const struct fuse_access *access = &plan->ir->ops.at[holding->op]->input[holding->input].access;
    struct fuse_box iteration =
        fuse_iteration_box(plan, holding->op, &holding->layout, holding->loop, holding->cut, rank, turn, half);
    struct fuse_box box = fuse_access_box(access, &iteration);
    if (fuse_box_is_empty(&iteration))
        box.rank = -1;
    return box;
}

int fuse_holding_boxes(struct fuse_box out[FUSE_MAX_RANGE_BOXES], const struct fuse_plan *plan,
                       const struct fuse_holding *holding, int rank, int64_t turn) {
    int boxes = 0;
    if (holding->kind == FUSE_HOLDING_RANGES)
        return range_boxes(out, plan, holding, rank, turn);
    for (int half = 0; rank < plan->mesh.used && half < fuse_layout_halves(&holding->layout); half++) {
        struct fuse_box box = holding->kind == FUSE_HOLDING_LAYOUT ? layout_box(plan, holding, rank, turn, half)
                                                                   : needed_box(plan, holding, rank, turn, half);
        if (holding->dealt > 0 && box.rank >= 0)
            deal(&box, plan, holding, rank);
        /* What does not go along the axis of a zigzag is the same for both halves. */
        bool again = boxes > 0 && fuse_box_equal(&box, &out[0]);
        if (box.rank >= 0 && !fuse_box_is_empty(&box) && !again)
            out[boxes++] = box;
    }
    return boxes;
}

bool fuse_plan_reads_in_place(const struct fuse_plan *plan, int buffer, int rank, int64_t turn) {
    const struct fuse_buffer *panels = &plan->buffers.at[buffer];
    struct fuse_box need[FUSE_MAX_RANGE_BOXES], own[FUSE_MAX_RANGE_BOXES];
    if (panels->resident < 0 || panels->is_shared)
        return false;
    int boxes = fuse_holding_boxes(need, plan, &panels->holding, rank, turn);
    bool inside =
        boxes == 0 || fuse_holding_boxes(own, plan, &plan->buffers.at[panels->resident].holding, rank, turn) > 0;
    for (int i = 0; i < boxes && inside; i++)
        inside = fuse_box_contains(&own[0], &need[i]);
    return inside;
}

int fuse_plan_half(const struct fuse_plan *plan, int buffer, int rank, int64_t turn) {
    int64_t brought = 0;
    if (plan->buffers.at[buffer].resident < 0 || plan->buffers.at[buffer].is_shared)
        return (int)(turn % 2);
    for (int64_t t = 0; t < turn; t++)
        brought += !fuse_plan_reads_in_place(plan, buffer, rank, t);
    return (int)(brought % 2);
}

static int64_t largest_part(int64_t extent, int64_t parts) {
    return (extent + parts - 1) / parts;
}

int64_t fuse_holding_max_elems(const struct fuse_plan *plan, const struct fuse_holding *holding) {
    const struct fuse_value *value = &plan->ir->values.at[holding->value];
    int64_t elems = 1;
    switch (holding->kind) {
    case FUSE_HOLDING_LAYOUT:
        for (int a = 0; a < value->rank; a++) {
            int64_t n = largest_part(value->extent[a], fuse_layout_chunks(&holding->layout, &plan->mesh, a));
            if (holding->loop >= 0 && holding->cut == a)
                n = largest_part(n, plan->regions.at[holding->loop].turns);
            if (holding->dealt == a + 1)
                n = largest_part(n, fuse_holding_dealt_parts(plan, holding));
            elems = fuse_sat_mul(elems, n);
        }
        return fuse_sat_mul(elems, fuse_layout_halves(&holding->layout));
    case FUSE_HOLDING_NEED: {
        /* Block lengths of different indices are independent, so the largest box has the longest block of each. */
        const struct fuse_op *op = plan->ir->ops.at[holding->op];
        const struct fuse_use *use = &op->input[holding->input];
        const int zigzag = holding->layout.zigzag - 1;
        struct fuse_box iteration = {.rank = op->indices};
        for (int i = 0; i < op->indices; i++) {
            iteration.hi[i] = fuse_index_largest(plan, holding->op, &holding->layout, i);
            if (i == zigzag)
                iteration.hi[i] = largest_part(op->extent[i], fuse_layout_chunks(&holding->layout, &plan->mesh, i));
            if (holding->loop >= 0 && holding->cut == i)
                iteration.hi[i] = largest_part(iteration.hi[i], plan->regions.at[holding->loop].turns);
        }
        if (fuse_box_is_empty(&iteration))
            return 0;
        bool two = false;
        for (int a = 0; a < value->rank; a++) {
            const struct fuse_access_axis *at = &use->access.at[a];
            two |= zigzag >= 0 && at->index == zigzag;
            int64_t longest = fuse_access_longest(at, at->index < 0 ? 1 : iteration.hi[at->index]);
            if ((fuse_access_is_paired(at) || holding->dealt > 0) && longest > value->extent[a])
                longest = value->extent[a];
            if (holding->dealt == a + 1)
                longest = largest_part(longest, fuse_holding_dealt_parts(plan, holding));
            elems = fuse_sat_mul(elems, longest);
        }
        return two ? fuse_sat_mul(elems, FUSE_LAYOUT_HALVES) : elems;
    }
    case FUSE_HOLDING_RANGES: {
        int64_t units = (fuse_value_elems(value) + holding->align_elems - 1) / holding->align_elems;
        elems = fuse_sat_mul(largest_part(units, holding->aggregators), holding->align_elems);
        if (elems > fuse_value_elems(value))
            elems = fuse_value_elems(value);
        if (holding->loop >= 0)
            elems = largest_part(elems, plan->regions.at[holding->loop].turns);
        return elems;
    }
    }
    return 0;
}
