/* What comes from other nodes: what a rank needs, less what ranks of its node have of it. */
#include "plan/cost_internal.h"

/* Of positions x along an axis, those that ranks of a node have whose blocks a rank of it reads: all that differ from it in dimensions
 * that split the axis within nodes. They lie side by side where these are the innermost. */
static int64_t near_length(const struct fuse_plan *plan, const struct fuse_layout *have, int axis, int64_t extent,
                           const int *coordinate, struct interval x) {
    const struct fuse_mesh *mesh = &plan->mesh;
    const int inner = fuse_cost_node_dim(plan);
    int all[FUSE_MESH_MAX], dim[FUSE_MESH_MAX], dims = 0, outer = 0, lowest = mesh->dims;
    struct fuse_layout between = *have;
    for (int d = 0; d < mesh->dims; d++) {
        all[d] = coordinate[d];
        if (have->axis[d] != axis)
            continue;
        if (d < inner) {
            outer++;
            continue;
        }
        lowest = have->level[d] < lowest ? have->level[d] : lowest;
        dim[dims++] = d;
        all[d] = 0;
        between.axis[d] = FUSE_REPLICATED;
    }
    if (lowest >= outer && have->zigzag != axis + 1)
        return length(meet(x, layout_interval(plan, &between, axis, extent, coordinate, 0)));
    int64_t near = 0;
    for (;;) {
        for (int half = 0; half < (have->zigzag == axis + 1 ? FUSE_LAYOUT_HALVES : 1); half++)
            near += length(meet(x, layout_interval(plan, have, axis, extent, all, half)));
        int i = 0;
        while (i < dims && ++all[dim[i]] == mesh->dim[dim[i]])
            all[dim[i++]] = 0;
        if (i == dims)
            return near;
    }
}

/* Of what a rank needs, the elements that no rank of its node has; in the first of two stages, those of the rank that is brought most
 * of them, of those that share what they need. */
static int64_t far_elems(const struct fuse_plan *plan, const struct fuse_step *step,
                         const struct fuse_cost_where *where) {
    const struct fuse_value *value = &plan->ir->values.at[step->need.value];
    const bool shares = fuse_plan_shares(step);
    struct fuse_holding all = step->need;
    const int dealt = all.dealt - 1;
    const int64_t parts = shares ? fuse_holding_dealt_parts(plan, &all) : 1;
    int64_t far = 0;
    all.dealt = shares ? 0 : all.dealt;
    for (int half = 0; half < fuse_cost_halves(plan, &all); half++) {
        struct interval need[FUSE_MAX_AXES];
        int64_t needed = 1, near = 1, most = 0;
        if (!fuse_cost_intervals(need, plan, &all, where, half, NULL))
            continue;
        for (int a = 0; a < value->rank; a++) {
            if (shares && a == dealt)
                continue;
            needed = fuse_sat_mul(needed, length(need[a]));
            near = fuse_sat_mul(near,
                                near_length(plan, &step->have.layout, a, value->extent[a], where->coordinate, need[a]));
        }
        for (int64_t p = 0; p < parts; p++) {
            int64_t part_needed = needed, part_near = near;
            if (shares) {
                const struct interval mine = block_interval(length(need[dealt]), parts, p),
                                      part = {need[dealt].lo + mine.lo, need[dealt].lo + mine.hi};
                part_needed = fuse_sat_mul(needed, length(part));
                part_near = fuse_sat_mul(
                    near, near_length(plan, &step->have.layout, dealt, value->extent[dealt], where->coordinate, part));
            }
            most = part_needed - part_near > most ? part_needed - part_near : most;
        }
        far = fuse_sat_add(far, most);
    }
    return far;
}

/* Of what a rank receives, the elements that come from other nodes. */
int64_t fuse_cost_network_elems(const struct fuse_plan *plan, const struct fuse_step *step,
                                const struct fuse_cost_where *where, int64_t received) {
    const int inner = fuse_cost_node_dim(plan);
    if (inner == 0 || (received == 0 && !fuse_plan_shares(step)) || fuse_plan_collects(step))
        return 0;
    if (step->kind == FUSE_STEP_REDUCE)
        return step->dim < inner ? received : 0;
    if (inner == plan->mesh.dims || step->have.kind != FUSE_HOLDING_LAYOUT || step->have.dealt > 0 ||
        step->need.kind == FUSE_HOLDING_RANGES)
        return received;
    return far_elems(plan, step, where);
}

bool fuse_cost_has_nodes(const struct fuse_plan *plan) {
    const int ranks_per_node = plan->request.machine.ranks_per_node;
    return ranks_per_node > 0 && plan->mesh.ranks > ranks_per_node;
}
