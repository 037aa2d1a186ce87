/* What comes from other nodes: what a rank needs, less what ranks of its node have of it. */
#include "plan/cost_internal.h"

struct near {
    int64_t n;
    struct interval *at;
};

/* Along an axis, what ranks of a node have whose blocks a rank of it reads: all that differ from it in dimensions that split the axis
 * within nodes. They lie side by side, and are one, where these are the innermost. */
static struct near list_near(const struct fuse_plan *plan, const struct fuse_layout *have, int axis, int64_t extent,
                             const int *coordinate) {
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
    const int halves = have->zigzag == axis + 1 ? FUSE_LAYOUT_HALVES : 1;
    const bool is_one = lowest >= outer && halves == 1;
    int64_t parts = halves;
    for (int i = 0; i < dims && !is_one; i++)
        parts *= mesh->dim[dim[i]];
    struct near near = {0, FUSE_NEW_ARRAY(plan->arena, struct interval, parts)};
    if (is_one) {
        near.at[near.n++] = layout_interval(plan, &between, axis, extent, coordinate, 0);
        return near;
    }
    for (;;) {
        for (int half = 0; half < halves; half++)
            near.at[near.n++] = layout_interval(plan, have, axis, extent, all, half);
        int i = 0;
        while (i < dims && ++all[dim[i]] == mesh->dim[dim[i]])
            all[dim[i++]] = 0;
        if (i == dims)
            return near;
    }
}

static int64_t near_length(const struct near *near, struct interval x) {
    int64_t n = 0;
    for (int64_t i = 0; i < near->n; i++)
        n += length(meet(x, near->at[i]));
    return n;
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
    struct fuse_arena_mark mark = fuse_arena_mark(plan->arena);
    struct near list[FUSE_MAX_AXES];
    int64_t far = 0;
    all.dealt = shares ? 0 : all.dealt;
    for (int a = 0; a < value->rank; a++)
        list[a] = list_near(plan, &step->have.layout, a, value->extent[a], where->coordinate);
    for (int half = 0; half < fuse_cost_halves(plan, &all); half++) {
        struct interval need[FUSE_MAX_AXES];
        int64_t needed = 1, near = 1, most = 0;
        if (!fuse_cost_intervals(need, plan, &all, where, half, NULL))
            continue;
        for (int a = 0; a < value->rank; a++) {
            if (shares && a == dealt)
                continue;
            needed = fuse_sat_mul(needed, length(need[a]));
            near = fuse_sat_mul(near, near_length(&list[a], need[a]));
        }
        for (int64_t p = 0; p < parts; p++) {
            int64_t part_needed = needed, part_near = near;
            if (shares) {
                const struct interval mine = block_interval(length(need[dealt]), parts, p),
                                      part = {need[dealt].lo + mine.lo, need[dealt].lo + mine.hi};
                part_needed = fuse_sat_mul(needed, length(part));
                part_near = fuse_sat_mul(near, near_length(&list[dealt], part));
            }
            most = part_needed - part_near > most ? part_needed - part_near : most;
        }
        far = fuse_sat_add(far, most);
    }
    fuse_arena_rewind(plan->arena, mark);
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

/* ---- exactly ---- */

/* A rank of the mesh whose copy of what the step has another one reads, wherever that is. */
static bool may_send(const struct fuse_plan *plan, const struct fuse_step *step, int sender, int receiver) {
    int from[FUSE_MESH_MAX], to[FUSE_MESH_MAX];
    if (step->have.kind == FUSE_HOLDING_RANGES)
        return true;
    if (sender >= plan->mesh.used)
        return false;
    fuse_mesh_coordinates(from, &plan->mesh, sender);
    fuse_mesh_coordinates(to, &plan->mesh, receiver % plan->mesh.used);
    for (int d = 0; d < plan->mesh.dims; d++)
        if (step->have.layout.axis[d] < 0 && !fuse_holding_deals(plan, &step->have, d) && from[d] != to[d])
            return false;
    return true;
}

/* Elements that one rank needs and another has, and all that it needs. */
static int64_t common(int64_t *needed, const struct fuse_plan *plan, const struct fuse_step *step,
                      const struct fuse_cost_where *to, const struct fuse_cost_where *from) {
    if (step->need.kind == FUSE_HOLDING_RANGES) {
        const struct interval range = fuse_cost_range(plan, &step->need, to->rank, to->turn);
        *needed = length(range);
        return fuse_cost_elems_in_range(plan, &step->have, from, step->need.reversed, range);
    }
    if (step->have.kind == FUSE_HOLDING_RANGES) {
        const struct interval range = fuse_cost_range(plan, &step->have, from->rank, from->turn),
                              all = {0, fuse_value_elems(&plan->ir->values.at[step->have.value])};
        *needed = fuse_cost_elems_in_range(plan, &step->need, to, step->have.reversed, all);
        return fuse_cost_elems_in_range(plan, &step->need, to, step->have.reversed, range);
    }
    return fuse_cost_common_elems(needed, plan, &step->need, to, &step->have, from);
}

/* Elements that a rank receives from other nodes at a turn. */
static int64_t far_from_node(const struct fuse_plan *plan, const struct fuse_step *step, int rank, int64_t turn) {
    const int ranks = plan->mesh.ranks, per_node = plan->request.machine.ranks_per_node,
              node = rank / per_node * per_node;
    int mine[FUSE_MESH_MAX], its[FUSE_MESH_MAX];
    fuse_mesh_coordinates(mine, &plan->mesh, rank);
    const struct fuse_cost_where to = {rank, turn, mine};
    int64_t needed = 0, near = 0;
    for (int n = node; n < node + per_node && n < ranks; n++) {
        fuse_mesh_coordinates(its, &plan->mesh, n);
        const struct fuse_cost_where from = {n, turn, its};
        const int64_t has = common(&needed, plan, step, &to, &from);
        near += may_send(plan, step, n, rank) ? has : 0;
    }
    return needed - near;
}

/* The same of what ranks of the node have read of a file, one behind the other: a range of it. */
static int64_t far_from_file(const struct fuse_plan *plan, const struct fuse_step *step, int rank) {
    const int64_t ranks = plan->mesh.ranks, aggregators = step->have.aggregators,
                  per_node = plan->request.machine.ranks_per_node, node = rank / per_node * per_node;
    const struct interval all = {0, fuse_value_elems(&plan->ir->values.at[step->have.value])};
    int mine[FUSE_MESH_MAX];
    if (rank >= plan->mesh.used)
        return 0;
    fuse_mesh_coordinates(mine, &plan->mesh, rank);
    const struct fuse_cost_where where = {rank, 0, mine};
    struct interval near = {0, 0};
    /* Aggregator k is rank floor(k * ranks / aggregators). */
    const int64_t first = (node * aggregators + ranks - 1) / ranks,
                  behind = ((node + per_node) * aggregators + ranks - 1) / ranks,
                  end = behind < aggregators ? behind : aggregators;
    if (first < end) {
        const int low = (int)block_interval(ranks, aggregators, first).lo,
                  high = (int)block_interval(ranks, aggregators, end - 1).lo;
        near = (struct interval){fuse_cost_range(plan, &step->have, low, 0).lo,
                                 fuse_cost_range(plan, &step->have, high, 0).hi};
    }
    return fuse_cost_elems_in_range(plan, &step->need, &where, step->have.reversed, all) -
           fuse_cost_elems_in_range(plan, &step->need, &where, step->have.reversed, near);
}

struct fuse_cost_far fuse_cost_from_other_nodes(const struct fuse_plan *plan, const struct fuse_step *step) {
    const int inner = fuse_cost_node_dim(plan);
    const int64_t size = (int64_t)fuse_dtype_bytes(plan->ir->values.at[step->have.value].dtype);
    struct fuse_cost_far far = {0, 0};
    struct fuse_step whole = *step;
    int64_t turns = step_turns(plan, step);
    if (inner == 0 || step->received_bytes_total == 0 || fuse_plan_collects(step))
        return far;
    if (step->kind == FUSE_STEP_REDUCE)
        return step->dim >= inner ? far : (struct fuse_cost_far){step->received_bytes_max, step->received_bytes_total};
    if (fuse_cost_turns_tile(plan, step)) {
        whole.have.loop = whole.need.loop = -1;
        turns = 1;
    }
    if (turns == 1 && fuse_cost_far_from_layout(&far, plan, &whole))
        return far;
    const bool is_load = step->have.kind == FUSE_HOLDING_RANGES && step->need.kind != FUSE_HOLDING_RANGES && turns == 1;
    for (int rank = 0; rank < plan->mesh.ranks; rank++) {
        int64_t elems = 0;
        for (int64_t t = 0; t < turns; t++)
            elems =
                fuse_sat_add(elems, is_load ? far_from_file(plan, &whole, rank) : far_from_node(plan, &whole, rank, t));
        const int64_t bytes = fuse_sat_mul(elems, size);
        far.bytes_max = bytes > far.bytes_max ? bytes : far.bytes_max;
        far.bytes_total = fuse_sat_add(far.bytes_total, bytes);
    }
    return far;
}

int64_t fuse_cost_network_total(const struct fuse_plan *plan, enum fuse_phase phase) {
    int64_t bytes = 0;
    for (int i = 0; i < plan->steps.n; i++) {
        const struct fuse_step *step = &plan->steps.at[i];
        if (step->phase == phase && (step->kind == FUSE_STEP_MOVE || step->kind == FUSE_STEP_REDUCE))
            bytes = fuse_sat_add(bytes, fuse_cost_from_other_nodes(plan, step).bytes_total);
    }
    return bytes;
}
