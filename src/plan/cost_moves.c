/* What a rank receives in a move between plain layouts, or to what an operation needs, quickly: this is what a search asks most. */
#include "plan/cost_internal.h"

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

static void list_intervals(struct interval *out, const struct fuse_cost_splits *splits, int axes, const int64_t *extent,
                           const int *coordinate) {
    int64_t part[FUSE_MAX_AXES];
    for (int a = 0; a < axes; a++)
        part[a] = 0;
    for (int i = 0; i < splits->dims; i++)
        part[splits->axis[i]] += coordinate[splits->dim[i]] * splits->weight[i];
    for (int a = 0; a < axes; a++)
        out[a] = splits->parts[a] == 1 ? (struct interval){0, extent[a]}
                                       : block_interval(extent[a], splits->parts[a], part[a]);
}

bool fuse_cost_open_moves(struct fuse_cost_moves *moves, const struct fuse_plan *plan, const struct fuse_step *step) {
    const struct fuse_holding *have = &step->have, *need = &step->need;
    if (step->kind != FUSE_STEP_MOVE || have->kind != FUSE_HOLDING_LAYOUT || need->kind == FUSE_HOLDING_RANGES ||
        have->loop >= 0 || need->loop >= 0 || have->dealt > 0 || need->dealt > 0 || have->layout.zigzag > 0 ||
        need->layout.zigzag > 0 || plan->request.chunk > 0)
        return false;
    moves->value = &plan->ir->values.at[need->value];
    moves->op = need->kind == FUSE_HOLDING_NEED ? plan->ir->ops.at[need->op] : NULL;
    moves->use = moves->op ? &moves->op->input[need->input] : NULL;
    open_splits(&moves->have, plan, &have->layout, moves->value->rank);
    open_splits(&moves->need, plan, &need->layout, moves->op ? moves->op->indices : moves->value->rank);
    return true;
}

/* false: the rank needs nothing. */
static bool list_needed(struct interval *out, const struct fuse_cost_moves *moves, const int *coordinate) {
    const struct fuse_value *value = moves->value;
    struct interval range[FUSE_MAX_AXES];
    if (!moves->op)
        list_intervals(out, &moves->need, value->rank, value->extent, coordinate);
    else
        list_intervals(range, &moves->need, moves->op->indices, moves->op->extent, coordinate);
    for (int i = 0; moves->op && i < moves->op->indices; i++)
        if (length(range[i]) == 0)
            return false;
    for (int a = 0; a < value->rank; a++) {
        if (moves->op) {
            const struct fuse_access_axis *at = &moves->use->access.at[a];
            out[a] = meet(read_interval(at, at->index < 0 ? (struct interval){0, 1} : range[at->index]),
                          (struct interval){0, value->extent[a]});
        }
        if (length(out[a]) == 0)
            return false;
    }
    return true;
}

int64_t fuse_cost_moved_elems(const struct fuse_cost_moves *moves, const int *coordinate, int64_t *senders) {
    const struct fuse_value *value = moves->value;
    struct interval need[FUSE_MAX_AXES], own[FUSE_MAX_AXES];
    int64_t needed = 1, owned = 1;
    *senders = 1;
    if (!list_needed(need, moves, coordinate)) {
        *senders = 0;
        return 0;
    }
    list_intervals(own, &moves->have, value->rank, value->extent, coordinate);
    for (int a = 0; a < value->rank; a++) {
        needed = fuse_sat_mul(needed, length(need[a]));
        owned = fuse_sat_mul(owned, length(meet(need[a], own[a])));
        const int64_t n = value->extent[a], parts = moves->have.parts[a];
        if (parts > 1)
            *senders = fuse_sat_mul(*senders, fuse_cost_part_of(n, parts, need[a].hi - 1) -
                                                  fuse_cost_part_of(n, parts, need[a].lo) + 1);
    }
    return needed - owned;
}
