/* What every rank receives in a step: intervals are tabulated by axis, so that thousands of ranks take no time. */
#include "plan/cost_internal.h"

#include "plan/memo.h"

#include <string.h>

/* Of what is dealt at every turn other ranks have what a rank would have without the loop; not where the loop cuts another axis, as
 * it does where ranks of a node share panels. */
static bool deals_turns(const struct fuse_plan *plan, const struct fuse_holding *h) {
    if (h->dealt == 0 || (h->dealt_from > 0 && h->loop < 0))
        return false;
    return h->kind == FUSE_HOLDING_LAYOUT ||
           plan->ir->ops.at[h->op]->input[h->input].access.at[h->dealt - 1].index == h->cut;
}

bool fuse_cost_turns_tile(const struct fuse_plan *plan, const struct fuse_step *step) {
    if (step->loop < 0)
        return true;
    if (deals_turns(plan, &step->have) || deals_turns(plan, &step->need))
        return false;
    if (step->need.kind != FUSE_HOLDING_NEED || step->need.loop < 0)
        return true;
    const struct fuse_access *access = &plan->ir->ops.at[step->need.op]->input[step->need.input].access;
    int walked = 0;
    for (int a = 0; a < access->rank; a++)
        if (access->at[a].index == step->need.cut)
            walked +=
                (access->at[a].stride == 1 || access->at[a].stride == -1) && !fuse_access_is_paired(&access->at[a]) ? 1
                                                                                                                    : 2;
    return walked == 1;
}

/* The interval of one axis for each part that its split has; a rank's part is the sum of coordinate * weight. */
struct axis_table {
    int dims, dim[FUSE_MESH_MAX];
    int64_t weight[FUSE_MESH_MAX], parts;
    struct interval *at;
    const int64_t *outer,
        *inner; /* what the outer dimensions of the mesh make of the sum, and the others; see list_parts */
};

static struct axis_table tabulate(const struct fuse_plan *plan, const struct fuse_layout *layout, int axis,
                                  int64_t extent) {
    struct axis_table table = {.parts = 1};
    for (int level = plan->mesh.dims - 1; level >= 0; level--)
        for (int d = 0; d < plan->mesh.dims; d++)
            if (layout->axis[d] == axis && layout->level[d] == level) {
                table.dim[table.dims] = d;
                table.weight[table.dims++] = table.parts;
                table.parts *= plan->mesh.dim[d];
            }
    table.at = FUSE_NEW_ARRAY(plan->arena, struct interval, table.parts);
    for (int64_t part = 0; part < table.parts; part++)
        table.at[part] = block_interval(extent, table.parts, part);
    return table;
}

/* The same parts as nodes of a sum's tree. */
static void tabulate_nodes(struct axis_table *table, const struct fuse_plan *plan, const struct fuse_holding *need,
                           int index) {
    for (int64_t part = 0; part < table->parts; part++) {
        int coordinate[FUSE_MESH_MAX] = {0};
        for (int i = 0; i < table->dims; i++)
            coordinate[table->dim[i]] = (int)(part / table->weight[i] % plan->mesh.dim[table->dim[i]]);
        table->at[part] = index_interval(plan, need->op, &need->layout, index, coordinate, 0);
    }
}

/* The sums of coordinate * weight over dimensions [from, to) of the mesh, for all their coordinates in order. */
static const int64_t *list_parts(const struct fuse_plan *plan, const struct axis_table *table, int from, int to) {
    const struct fuse_mesh *mesh = &plan->mesh;
    int64_t n = 1, weight[FUSE_MESH_MAX] = {0};
    for (int i = 0; i < table->dims; i++)
        weight[table->dim[i]] = table->weight[i];
    for (int d = from; d < to; d++)
        n *= mesh->dim[d];
    int64_t *part = FUSE_NEW_ARRAY(plan->arena, int64_t, n), done = 1;
    for (int d = to - 1; d >= from; d--) {
        for (int c = 1; c < mesh->dim[d]; c++)
            for (int64_t i = 0; i < done; i++)
                part[c * done + i] = part[i] + c * weight[d];
        done *= mesh->dim[d];
    }
    return part;
}

static void split_parts(const struct fuse_plan *plan, struct axis_table *table, int outer_dims) {
    table->outer = list_parts(plan, table, 0, outer_dims);
    table->inner = list_parts(plan, table, outer_dims, plan->mesh.dims);
}

/* Of which the dimensions before *outer make about as many coordinates as the others. */
static int64_t halve_mesh(const struct fuse_mesh *mesh, int *outer) {
    int64_t inner = 1;
    for (*outer = mesh->dims; *outer > 0 && inner * inner < mesh->used; (*outer)--)
        inner *= mesh->dim[*outer - 1];
    return inner;
}

/* What an operation reads along one axis. */
static void tabulate_need(struct axis_table *table, const struct fuse_plan *plan, const struct fuse_holding *need,
                          int axis) {
    const struct fuse_op *op = plan->ir->ops.at[need->op];
    const struct fuse_access_axis *at = &op->input[need->input].access.at[axis];
    *table = tabulate(plan, &need->layout, at->index, at->index < 0 ? 1 : op->extent[at->index]);
    if (at->index >= 0 && fuse_index_is_ordered(plan, need->op, at->index))
        tabulate_nodes(table, plan, need, at->index);
    if (at->index < 0) { /* one position, however the replicated dimensions lie */
        table->dims = 0;
        table->parts = 1;
        table->at[0] = (struct interval){0, 1};
    }
    for (int64_t part = 0; part < table->parts; part++)
        table->at[part] = meet(read_interval(at, table->at[part]),
                               (struct interval){0, plan->ir->values.at[need->value].extent[axis]});
}

/* Each interval in the parts that are dealt to dimensions of the mesh. */
static void tabulate_dealt(struct axis_table *table, const struct fuse_plan *plan, const struct fuse_holding *holding) {
    const int64_t parts = fuse_holding_dealt_parts(plan, holding);
    struct interval *at = FUSE_NEW_ARRAY(plan->arena, struct interval, table->parts * parts);
    for (int64_t i = 0; i < table->parts * parts; i++) {
        const struct interval whole = table->at[i / parts], part = block_interval(length(whole), parts, i % parts);
        at[i] = (struct interval){whole.lo + part.lo, whole.lo + part.hi};
    }
    for (int i = 0; i < table->dims; i++)
        table->weight[i] *= parts;
    int64_t weight = 1;
    for (int d = plan->mesh.dims - 1; d >= 0; d--)
        if (fuse_holding_deals(plan, holding, d)) {
            table->dim[table->dims] = d;
            table->weight[table->dims++] = weight;
            weight *= plan->mesh.dim[d];
        }
    table->at = at;
    table->parts *= parts;
}

/* Tables of a LAYOUT or NEED holding without a loop, one an axis of the value. */
static void tabulate_holding(struct axis_table *table, const struct fuse_plan *plan,
                             const struct fuse_holding *holding) {
    const struct fuse_value *value = &plan->ir->values.at[holding->value];
    const struct fuse_op *op = holding->kind == FUSE_HOLDING_NEED ? plan->ir->ops.at[holding->op] : NULL;
    for (int a = 0; a < value->rank; a++) {
        if (op)
            tabulate_need(&table[a], plan, holding, a);
        else
            table[a] = tabulate(plan, &holding->layout, a, value->extent[a]);
        if (holding->dealt == a + 1)
            tabulate_dealt(&table[a], plan, holding);
    }
}

bool fuse_cost_all_take_part(const struct fuse_plan *plan, const struct fuse_holding *need) {
    const struct fuse_op *op = need->kind == FUSE_HOLDING_NEED ? plan->ir->ops.at[need->op] : NULL;
    for (int i = 0; op && i < op->indices; i++)
        if (!fuse_index_has_no_empty_part(plan, need->op, &need->layout, i))
            return false;
    return true;
}

/* What ranks with outer coordinates number `outer` need, and without what they have; no `have`: all of it. */
static void receive_inner(int64_t *received, const struct axis_table *need, const struct axis_table *have, int axes,
                          int64_t outer, int64_t ranks) {
    const struct interval *needs[FUSE_MAX_AXES], *has[FUSE_MAX_AXES];
    for (int a = 0; a < axes; a++) {
        needs[a] = need[a].at + need[a].outer[outer];
        has[a] = have ? have[a].at + have[a].outer[outer] : NULL;
    }
    for (int64_t i = 0; i < ranks; i++) {
        int64_t needed = 1, owned = have != NULL;
        for (int a = 0; a < axes; a++) {
            const struct interval n = needs[a][need[a].inner[i]];
            needed = fuse_sat_mul(needed, length(n));
            if (have)
                owned = fuse_sat_mul(owned, length(meet(n, has[a][have[a].inner[i]])));
        }
        received[i] = needed - owned;
    }
}

/* Elements that each rank receives over all turns, to received[rank]. */
static void receive_all(const struct fuse_plan *plan, const struct fuse_step *step, int64_t *received) {
    struct fuse_step whole = *step;
    int64_t turns = step_turns(plan, step);
    if (fuse_cost_turns_tile(plan, step)) {
        whole.have.loop = whole.need.loop = -1;
        turns = 1;
    }
    int rank_of_value = plan->ir->values.at[step->have.value].rank, ranks = plan->mesh.ranks;
    bool zigzag = whole.have.layout.zigzag > 0 || whole.need.layout.zigzag > 0;
    if (turns > 1 || zigzag || whole.have.kind == FUSE_HOLDING_RANGES || whole.need.kind == FUSE_HOLDING_RANGES ||
        !fuse_cost_all_take_part(plan, &whole.need)) {
        for (int rank = 0; rank < ranks; rank++)
            for (int64_t t = 0; t < turns; t++)
                received[rank] = fuse_sat_add(received[rank], fuse_cost_received_elems(plan, &whole, rank, t));
        return;
    }
    struct fuse_arena_mark mark = fuse_arena_mark(plan->arena);
    struct axis_table have[FUSE_MAX_AXES], need[FUSE_MAX_AXES];
    tabulate_holding(have, plan, &whole.have);
    tabulate_holding(need, plan, &whole.need);
    int outer_dims;
    int64_t inner = halve_mesh(&plan->mesh, &outer_dims);
    for (int a = 0; a < rank_of_value; a++)
        for (int of_need = 0; of_need < 2; of_need++)
            split_parts(plan, of_need ? &need[a] : &have[a], outer_dims);
    const bool reduces = step->kind == FUSE_STEP_REDUCE;
    for (int64_t o = 0; o < plan->mesh.used / inner; o++)
        receive_inner(received + o * inner, need, reduces ? NULL : have, rank_of_value, o, inner);
    for (int rank = 0; rank < plan->mesh.used && reduces; rank++)
        received[rank] = fuse_sat_mul(plan->mesh.dim[step->dim] - 1, received[rank]);
    fuse_arena_rewind(plan->arena, mark);
}

static struct fuse_cost_received receive_anew(const struct fuse_plan *plan, const struct fuse_step *step) {
    int64_t size = (int64_t)fuse_dtype_bytes(plan->ir->values.at[step->have.value].dtype);
    int64_t *bytes = FUSE_NEW_ARRAY(plan->arena, int64_t, plan->mesh.ranks);
    struct fuse_cost_received got = {.bytes = bytes};
    receive_all(plan, step, bytes);
    for (int rank = 0; rank < plan->mesh.ranks; rank++) {
        bytes[rank] = fuse_sat_mul(bytes[rank], size);
        got.most = bytes[rank] > got.most ? bytes[rank] : got.most;
        got.total = fuse_sat_add(got.total, bytes[rank]);
    }
    return got;
}

/* What is asked of exchanges. */
enum { RECEIVED, FROM_OTHER_NODES };

/* A number for all exchanges of which the same is asked, and that differ in layouts only. */
static int exchange_class(const struct fuse_plan *plan, const struct fuse_step *step, int what) {
    const struct fuse_value *value = &plan->ir->values.at[step->have.value];
    int64_t word[9 * FUSE_MAX_AXES] = {what,
                                       (int64_t)step->kind,
                                       step->dim,
                                       (int64_t)step->have.kind,
                                       (int64_t)step->need.kind,
                                       (int64_t)fuse_dtype_bytes(value->dtype),
                                       value->rank,
                                       step->have.dealt,
                                       step->need.dealt};
    int n = 9;
    for (int a = 0; a < value->rank; a++)
        word[n++] = value->extent[a];
    if (step->need.kind == FUSE_HOLDING_NEED) {
        const struct fuse_op *op = plan->ir->ops.at[step->need.op];
        const struct fuse_access *access = &op->input[step->need.input].access;
        word[n++] = op->indices;
        for (int i = 0; i < op->indices; i++)
            word[n++] = op->extent[i];
        n = fuse_ordered_words(word, n, plan, step->need.op);
        for (int a = 0; a < access->rank; a++) {
            const int64_t map[] = {access->at[a].index, access->at[a].stride, access->at[a].offset,
                                   access->at[a].divide, access->at[a].modulo};
            for (int i = 0; i < 5; i++)
                word[n++] = map[i];
        }
    }
    return fuse_memo_class(plan->exchanges, word, n);
}

struct fuse_cost_received fuse_cost_receive(const struct fuse_plan *plan, const struct fuse_step *step) {
    bool whole = step->loop < 0 && step->have.loop < 0 && step->need.loop < 0, is_there;
    if (!whole || (step->have.kind != FUSE_HOLDING_LAYOUT && !fuse_plan_collects(step)) ||
        step->need.kind == FUSE_HOLDING_RANGES)
        return receive_anew(plan, step);
    int64_t *result = fuse_memo_find(plan->exchanges, &is_there, exchange_class(plan, step, RECEIVED),
                                     &step->have.layout, &step->need.layout);
    if (!is_there) {
        struct fuse_cost_received got = receive_anew(plan, step);
        memcpy(&result[0], &got.bytes, sizeof got.bytes);
        result[1] = got.most;
        result[2] = got.total;
    }
    struct fuse_cost_received got = {.most = result[1], .total = result[2], .is_kept = true};
    memcpy(&got.bytes, &result[0], sizeof got.bytes);
    return got;
}

/* ---- from other nodes ---- */

/* Along one axis, what the ranks of a node have whose blocks a rank of it reads: they differ from it in dimensions within the node,
 * which make these offsets to a part. Where the dimensions are the innermost of the axis, blocks lie side by side, and are one. */
struct near_table {
    struct axis_table at; /* its parts without these dimensions */
    const int64_t *offset;
    int64_t offsets;
};

static struct near_table tabulate_near(const struct fuse_plan *plan, const struct fuse_layout *have, int axis,
                                       int64_t extent, int inner) {
    struct fuse_layout between = *have;
    int outer = 0, lowest = plan->mesh.dims;
    for (int d = 0; d < plan->mesh.dims; d++) {
        outer += have->axis[d] == axis && d < inner;
        if (have->axis[d] == axis && d >= inner) {
            lowest = have->level[d] < lowest ? have->level[d] : lowest;
            between.axis[d] = FUSE_REPLICATED;
        }
    }
    struct near_table near = {.at = tabulate(plan, lowest >= outer ? &between : have, axis, extent), .offsets = 1};
    int64_t *offset = FUSE_NEW_ARRAY(plan->arena, int64_t, near.at.parts);
    int kept = 0;
    for (int i = 0; i < near.at.dims; i++) {
        const int d = near.at.dim[i];
        if (d < inner) {
            near.at.dim[kept] = d;
            near.at.weight[kept++] = near.at.weight[i];
            continue;
        }
        for (int64_t c = 1, n = near.offsets; c < plan->mesh.dim[d]; c++)
            for (int64_t k = 0; k < n; k++)
                offset[near.offsets++] = offset[k] + c * near.at.weight[i];
    }
    near.at.dims = kept;
    near.offset = offset;
    return near;
}

static struct fuse_cost_far far_from_layout(const struct fuse_plan *plan, const struct fuse_step *step) {
    const struct fuse_value *value = &plan->ir->values.at[step->have.value];
    const int within = fuse_cost_node_dim(plan);
    const int64_t size = (int64_t)fuse_dtype_bytes(value->dtype);
    struct fuse_cost_far far = {0, 0};
    struct fuse_arena_mark mark = fuse_arena_mark(plan->arena);
    struct axis_table need[FUSE_MAX_AXES];
    struct near_table near[FUSE_MAX_AXES];
    int outer_dims;
    const int64_t inner = halve_mesh(&plan->mesh, &outer_dims);
    tabulate_holding(need, plan, &step->need);
    for (int a = 0; a < value->rank; a++) {
        near[a] = tabulate_near(plan, &step->have.layout, a, value->extent[a], within);
        split_parts(plan, &need[a], outer_dims);
        split_parts(plan, &near[a].at, outer_dims);
    }
    for (int rank = 0; rank < plan->mesh.used; rank++) {
        const int64_t o = rank / inner, i = rank % inner;
        int64_t needed = 1, held = 1;
        for (int a = 0; a < value->rank; a++) {
            const struct interval n = need[a].at[need[a].outer[o] + need[a].inner[i]];
            const struct interval *at = near[a].at.at + near[a].at.outer[o] + near[a].at.inner[i];
            int64_t length_held = 0;
            for (int64_t k = 0; k < near[a].offsets; k++)
                length_held += length(meet(n, at[near[a].offset[k]]));
            needed = fuse_sat_mul(needed, length(n));
            held = fuse_sat_mul(held, length_held);
        }
        const int64_t bytes = fuse_sat_mul(needed - held, size);
        far.bytes_max = bytes > far.bytes_max ? bytes : far.bytes_max;
        far.bytes_total = fuse_sat_add(far.bytes_total, bytes);
    }
    fuse_arena_rewind(plan->arena, mark);
    return far;
}

bool fuse_cost_far_from_layout(struct fuse_cost_far *out, const struct fuse_plan *plan, const struct fuse_step *step) {
    bool is_there;
    if (step->have.kind != FUSE_HOLDING_LAYOUT || step->need.kind == FUSE_HOLDING_RANGES || step->have.dealt > 0 ||
        step->have.loop >= 0 || step->need.loop >= 0 || step->have.layout.zigzag > 0 || step->need.layout.zigzag > 0 ||
        !fuse_cost_all_take_part(plan, &step->need))
        return false;
    int64_t *result = fuse_memo_find(plan->exchanges, &is_there, exchange_class(plan, step, FROM_OTHER_NODES),
                                     &step->have.layout, &step->need.layout);
    if (!is_there) {
        const struct fuse_cost_far far = far_from_layout(plan, step);
        result[0] = far.bytes_max;
        result[1] = far.bytes_total;
    }
    *out = (struct fuse_cost_far){result[0], result[1]};
    return true;
}
