/* What a rank receives in a move between plain layouts, or to what an operation needs, quickly: this is what a search asks most. */
#include "plan/cost_internal.h"

#include <string.h>

/* How a layout splits axes, or indices: a rank's part of each is a sum over the mesh's dimensions. */
static void open_splits(struct fuse_cost_splits *splits, const struct fuse_plan *plan, const struct fuse_layout *layout,
                        int axes) {
    int8_t at_level[FUSE_MAX_AXES][FUSE_MESH_MAX];
    int levels[FUSE_MAX_AXES] = {0};
    for (int d = 0; d < plan->mesh.dims; d++)
        if (layout->axis[d] >= 0) {
            at_level[layout->axis[d]][layout->level[d]] = (int8_t)d;
            levels[layout->axis[d]]++;
        }
    splits->dims = 0;
    for (int a = 0; a < axes; a++) {
        int64_t parts = 1;
        for (int level = levels[a] - 1; level >= 0; level--) {
            const int d = at_level[a][level];
            splits->dim[splits->dims] = d;
            splits->axis[splits->dims] = a;
            splits->weight[splits->dims++] = parts;
            parts *= plan->mesh.dim[d];
        }
        splits->parts[a] = parts;
    }
}

bool fuse_cost_open_moves(struct fuse_cost_moves *moves, const struct fuse_plan *plan, const struct fuse_step *step) {
    const struct fuse_holding *have = &step->have, *need = &step->need;
    if (step->kind != FUSE_STEP_MOVE || have->kind != FUSE_HOLDING_LAYOUT || need->kind == FUSE_HOLDING_RANGES ||
        have->loop >= 0 || need->loop >= 0 || have->dealt > 0 || have->layout.zigzag > 0 || need->layout.zigzag > 0 ||
        plan->request.chunk > 0)
        return false;
    moves->value = &plan->ir->values.at[need->value];
    moves->op = need->kind == FUSE_HOLDING_NEED ? plan->ir->ops.at[need->op] : NULL;
    moves->use = moves->op ? &moves->op->input[need->input] : NULL;
    open_splits(&moves->have, plan, &have->layout, moves->value->rank);
    open_splits(&moves->need, plan, &need->layout, moves->op ? moves->op->indices : moves->value->rank);
    moves->dealt = need->dealt - 1;
    moves->dealt_parts = 1;
    for (int d = plan->mesh.dims - 1; d >= 0 && need->dealt > 0; d--) {
        moves->dealt_weight[d] = fuse_holding_deals(plan, need, d) ? moves->dealt_parts : 0;
        moves->dealt_parts *= moves->dealt_weight[d] > 0 ? plan->mesh.dim[d] : 1;
    }
    moves->dims = plan->mesh.dims;
    return true;
}

/* The parts of the ranks that are looked at, of each axis. */
static void list_parts(int64_t part[][FUSE_SAMPLES], const struct fuse_cost_splits *splits, int axes,
                       const struct fuse_samples *samples) {
    memset(part, 0, (size_t)axes * sizeof *part);
    for (int i = 0; i < splits->dims; i++)
        for (int s = 0; s < samples->n; s++)
            part[splits->axis[i]][s] += samples->coordinate[s][splits->dim[i]] * splits->weight[i];
}

/* The intervals of an axis for them. */
static void list_intervals(struct interval out[FUSE_SAMPLES], int64_t n, int64_t parts,
                           const int64_t part[FUSE_SAMPLES], int samples) {
    const int64_t q = n / parts, r = n % parts;
    for (int s = 0; s < samples; s++) {
        out[s] = (struct interval){part[s] * q, part[s] * q + q};
        if (r > 0) {
            out[s].lo += part[s] * r / parts;
            out[s].hi += (part[s] + 1) * r / parts;
        }
    }
}

/* What ranks need along one axis of the value. */
static void list_needed(struct interval out[FUSE_SAMPLES], const struct fuse_cost_moves *moves, int axis,
                        const int64_t part[][FUSE_SAMPLES], int samples) {
    const int64_t extent = moves->value->extent[axis];
    const struct fuse_access_axis *at = moves->op ? &moves->use->access.at[axis] : NULL;
    const int index = at ? at->index : axis;
    if (index < 0)
        for (int s = 0; s < samples; s++)
            out[s] = (struct interval){0, 1};
    else
        list_intervals(out, at ? moves->op->extent[index] : extent, moves->need.parts[index], part[index], samples);
    if (!at || (at->index >= 0 && at->stride == 1 && at->offset == 0 && !fuse_access_is_paired(at) &&
                moves->op->extent[index] <= extent))
        return;
    for (int s = 0; s < samples; s++)
        if (length(out[s]) > 0)
            out[s] = meet(read_interval(at, out[s]), (struct interval){0, extent});
}

/* Of what ranks of a node need alike, each one's share. */
static void deal(struct interval need[FUSE_SAMPLES], const struct fuse_cost_moves *moves,
                 const struct fuse_samples *samples) {
    for (int s = 0; s < samples->n; s++) {
        int64_t part = 0;
        for (int d = 0; d < moves->dims; d++)
            part += samples->coordinate[s][d] * moves->dealt_weight[d];
        const struct interval mine = block_interval(length(need[s]), moves->dealt_parts, part);
        need[s] = (struct interval){need[s].lo + mine.lo, need[s].lo + mine.hi};
    }
}

/* A rank that has no part of some index needs nothing. */
static void leave_out_idle(struct fuse_cost_moved moved[FUSE_SAMPLES], const struct fuse_cost_moves *moves,
                           const int64_t part[][FUSE_SAMPLES], int samples) {
    for (int i = 0; moves->op && i < moves->op->indices; i++) {
        struct interval range[FUSE_SAMPLES];
        if (moves->op->extent[i] >= moves->need.parts[i])
            continue;
        list_intervals(range, moves->op->extent[i], moves->need.parts[i], part[i], samples);
        for (int s = 0; s < samples; s++)
            if (length(range[s]) == 0)
                moved[s] = (struct fuse_cost_moved){0, 0};
    }
}

void fuse_cost_sample_moves(struct fuse_cost_moved moved[FUSE_SAMPLES], const struct fuse_cost_moves *moves,
                            const struct fuse_samples *samples) {
    const struct fuse_value *value = moves->value;
    int64_t needs[FUSE_MAX_AXES][FUSE_SAMPLES], has[FUSE_MAX_AXES][FUSE_SAMPLES];
    int64_t needed[FUSE_SAMPLES], owned[FUSE_SAMPLES];
    list_parts(needs, &moves->need, moves->op ? moves->op->indices : value->rank, samples);
    list_parts(has, &moves->have, value->rank, samples);
    for (int s = 0; s < samples->n; s++)
        needed[s] = owned[s] = moved[s].senders = 1;
    for (int a = 0; a < value->rank; a++) {
        const int64_t n = value->extent[a], parts = moves->have.parts[a];
        struct interval need[FUSE_SAMPLES], own[FUSE_SAMPLES];
        list_needed(need, moves, a, needs, samples->n);
        if (a == moves->dealt)
            deal(need, moves, samples);
        list_intervals(own, n, parts, has[a], samples->n);
        for (int s = 0; s < samples->n; s++) {
            needed[s] = fuse_sat_mul(needed[s], length(need[s]));
            owned[s] = fuse_sat_mul(owned[s], length(meet(need[s], own[s])));
            if (parts > 1 && length(need[s]) > 0)
                moved[s].senders = fuse_sat_mul(moved[s].senders, fuse_cost_part_of(n, parts, need[s].hi - 1) -
                                                                      fuse_cost_part_of(n, parts, need[s].lo) + 1);
        }
    }
    for (int s = 0; s < samples->n; s++)
        moved[s].elems = needed[s] - owned[s];
    leave_out_idle(moved, moves, needs, samples->n);
    for (int s = 0; s < samples->n; s++)
        moved[s].senders = moved[s].elems > 0 ? moved[s].senders : 0;
}
