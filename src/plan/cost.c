#include "plan/cost.h"

#include "plan/memo.h"
#include "plan/ordered.h"

#include <string.h>

struct interval {
    int64_t lo, hi;
};

static int64_t length(struct interval x) {
    return x.hi > x.lo ? x.hi - x.lo : 0;
}

static struct interval meet(struct interval x, struct interval y) {
    return (struct interval){x.lo > y.lo ? x.lo : y.lo, x.hi < y.hi ? x.hi : y.hi};
}

/* Part `part` of `parts` of [0, n): the first element is part * (n / parts) + part * (n % parts) / parts. */
static struct interval block_interval(int64_t n, int64_t parts, int64_t part) {
    int64_t q = n / parts, r = n % parts;
    return (struct interval){part * q + part * r / parts, (part + 1) * q + (part + 1) * r / parts};
}

static struct interval layout_interval(const struct fuse_plan *plan, const struct fuse_layout *layout, int axis,
                                       int64_t extent, const int *coordinate, int half) {
    const struct fuse_mesh *mesh = &plan->mesh;
    int at_level[FUSE_MESH_MAX], levels = 0;
    for (int d = 0; d < mesh->dims; d++)
        if (layout->axis[d] == axis) {
            at_level[layout->level[d]] = d;
            levels++;
        }
    if (levels == 0)
        return (struct interval){0, extent};
    int64_t parts = 1, part = 0;
    for (int l = 0; l < levels; l++) {
        int d = at_level[l];
        parts *= mesh->dim[d];
        part = part * mesh->dim[d] + coordinate[d];
    }
    if (layout->zigzag != axis + 1)
        return block_interval(extent, parts, part);
    return block_interval(extent, 2 * parts, half == 0 ? part : 2 * parts - 1 - part);
}

/* The same of an index of an operation under a partition. */
static struct interval index_interval(const struct fuse_plan *plan, int op, const struct fuse_layout *partition,
                                      int index, const int *coordinate, int half) {
    struct interval x;
    if (plan->request.chunk == 0)
        return layout_interval(plan, partition, index, plan->ir->ops.at[op]->extent[index], coordinate, half);
    fuse_index_part(&x.lo, &x.hi, plan, op, partition, index, coordinate);
    return x;
}

/* What an input of an operation is read at along one axis when its index runs over `range`. */
static struct interval read_interval(const struct fuse_access_axis *at, struct interval range) {
    struct interval read;
    fuse_access_range(&read.lo, &read.hi, at, range.lo, range.hi - 1);
    return read;
}

/* A rank below mesh.used has coordinates. */
struct where {
    int rank;
    int64_t turn;
    const int *coordinate;
};

/* Sets of intervals that a LAYOUT or NEED holding has for one rank: 2 in zigzag, unless it does not go along that axis. */
static int halves_of(const struct fuse_plan *plan, const struct fuse_holding *holding) {
    if (holding->layout.zigzag == 0 || holding->kind == FUSE_HOLDING_LAYOUT)
        return fuse_layout_halves(&holding->layout);
    const struct fuse_access *access = &plan->ir->ops.at[holding->op]->input[holding->input].access;
    for (int a = 0; a < access->rank; a++)
        if (access->at[a].index == holding->layout.zigzag - 1)
            return FUSE_LAYOUT_HALVES;
    return 1;
}

/* Per-axis intervals of a LAYOUT or NEED holding for one rank, clipped to the tensor. false: the rank has nothing. */
static bool holding_intervals(struct interval out[FUSE_MAX_AXES], const struct fuse_plan *plan,
                              const struct fuse_holding *holding, const struct where *where, int half, bool *padded) {
    const struct fuse_value *value = &plan->ir->values.at[holding->value];
    const int *coordinate = where->coordinate;
    if (where->rank >= plan->mesh.used)
        return false;
    if (holding->kind == FUSE_HOLDING_LAYOUT) {
        for (int a = 0; a < value->rank; a++)
            out[a] = layout_interval(plan, &holding->layout, a, value->extent[a], coordinate, half);
        if (holding->loop >= 0) {
            struct interval *x = &out[holding->cut];
            struct interval part = block_interval(length(*x), plan->regions.at[holding->loop].turns, where->turn);
            *x = (struct interval){x->lo + part.lo, x->lo + part.hi};
        }
        if (holding->dealt > 0) {
            struct interval *x = &out[holding->dealt - 1];
            int64_t parts = 1, mine = 0;
            for (int d = 0; d < plan->mesh.dims; d++)
                if (holding->layout.axis[d] < 0) {
                    parts *= plan->mesh.dim[d];
                    mine = mine * plan->mesh.dim[d] + coordinate[d];
                }
            struct interval part = block_interval(length(*x), parts, mine);
            *x = (struct interval){x->lo + part.lo, x->lo + part.hi};
        }
    } else {
        const struct fuse_op *op = plan->ir->ops.at[holding->op];
        const struct fuse_use *use = &op->input[holding->input];
        struct interval range[FUSE_MAX_AXES];
        struct fuse_box cut;
        if (holding->loop >= 0)
            cut = fuse_iteration_box(plan, holding->op, &holding->layout, holding->loop, holding->cut, where->rank,
                                     where->turn, half);
        for (int i = 0; i < op->indices; i++) {
            range[i] = holding->loop >= 0 ? (struct interval){cut.lo[i], cut.hi[i]}
                                          : index_interval(plan, holding->op, &holding->layout, i, coordinate, half);
            if (length(range[i]) == 0)
                return false;
        }
        for (int a = 0; a < value->rank; a++) {
            const struct fuse_access_axis *at = &use->access.at[a];
            out[a] = read_interval(at, at->index < 0 ? (struct interval){0, 1} : range[at->index]);
            struct interval inside = meet(out[a], (struct interval){0, value->extent[a]});
            if (padded && (inside.lo != out[a].lo || inside.hi != out[a].hi))
                *padded = true;
            out[a] = inside;
        }
    }
    for (int a = 0; a < value->rank; a++)
        if (length(out[a]) == 0)
            return false;
    return true;
}

/* Elements of a product of intervals whose position in file order is below `position`. */
static int64_t count_below(const struct interval *x, int rank, const int64_t *extent, bool reversed, int64_t position) {
    int64_t inner_all = 1, stride = 1;
    for (int a = 0; a < rank; a++) {
        inner_all *= length(x[a]);
        stride *= extent[a];
    }
    if (rank == 0)
        return position > 0;
    if (position <= 0 || stride == 0)
        return 0;
    if (position >= stride)
        return inner_all;
    int64_t below = 0;
    for (int step = 0; step < rank; step++) {
        int a = reversed ? rank - 1 - step : step;
        stride /= extent[a];
        int64_t n = length(x[a]);
        if (n == 0)
            return 0;
        inner_all /= n;
        int64_t digit = position / stride;
        position %= stride;
        int64_t before = digit - x[a].lo;
        below += (before < 0 ? 0 : before > n ? n : before) * inner_all;
        if (digit < x[a].lo || digit >= x[a].hi)
            return below;
    }
    return below;
}

/* The element range of a RANGES holding. */
static struct interval range_interval(const struct fuse_plan *plan, const struct fuse_holding *holding, int rank,
                                      int64_t turn) {
    int64_t elems = fuse_value_elems(&plan->ir->values.at[holding->value]), align = holding->align_elems;
    /* Only the aggregators around rank * A / P can be this rank. */
    int64_t near = (int64_t)rank * holding->aggregators / plan->mesh.ranks;
    for (int64_t k = near; k <= near + 1 && k < holding->aggregators; k++) {
        if (block_interval(plan->mesh.ranks, holding->aggregators, k).lo != rank)
            continue;
        struct interval units = block_interval((elems + align - 1) / align, holding->aggregators, k);
        struct interval x = {units.lo * align, units.hi * align < elems ? units.hi * align : elems};
        if (x.lo > x.hi)
            x.lo = x.hi;
        if (holding->loop < 0)
            return x;
        struct interval part = block_interval(x.hi - x.lo, plan->regions.at[holding->loop].turns, turn);
        return (struct interval){x.lo + part.lo, x.lo + part.hi};
    }
    return (struct interval){0, 0};
}

static int64_t product(const struct interval *x, int rank) {
    int64_t n = 1;
    for (int a = 0; a < rank; a++)
        n = fuse_sat_mul(n, length(x[a]));
    return n;
}

/* Elements of a LAYOUT or NEED holding. */
static int64_t held_elems(const struct fuse_plan *plan, const struct fuse_holding *holding, const struct where *where) {
    struct interval x[FUSE_MAX_AXES];
    int64_t n = 0;
    for (int half = 0; half < halves_of(plan, holding); half++)
        if (holding_intervals(x, plan, holding, where, half, NULL))
            n = fuse_sat_add(n, product(x, plan->ir->values.at[holding->value].rank));
    return n;
}

/* Those of them in a range of the file. */
static int64_t elems_in_range(const struct fuse_plan *plan, const struct fuse_holding *holding,
                              const struct where *where, bool reversed, struct interval range) {
    const struct fuse_value *value = &plan->ir->values.at[holding->value];
    struct interval x[FUSE_MAX_AXES];
    int64_t n = 0;
    for (int half = 0; half < halves_of(plan, holding); half++)
        if (holding_intervals(x, plan, holding, where, half, NULL))
            n += count_below(x, value->rank, value->extent, reversed, range.hi) -
                 count_below(x, value->rank, value->extent, reversed, range.lo);
    return n;
}

/* Those that two holdings of a value have in common, for ranks that need not be the same. */
static int64_t common_elems(const struct fuse_plan *plan, const struct fuse_holding *need, const struct where *needs,
                            const struct fuse_holding *have, const struct where *has) {
    const int rank = plan->ir->values.at[need->value].rank;
    struct interval x[FUSE_MAX_AXES], y[FUSE_MAX_AXES];
    int64_t n = 0;
    for (int i = 0; i < halves_of(plan, need); i++)
        for (int j = 0; j < halves_of(plan, have); j++) {
            if (!holding_intervals(x, plan, need, needs, i, NULL) || !holding_intervals(y, plan, have, has, j, NULL))
                continue;
            for (int a = 0; a < rank; a++)
                y[a] = meet(x[a], y[a]);
            n = fuse_sat_add(n, product(y, rank));
        }
    return n;
}

static int64_t received_elems(const struct fuse_plan *plan, const struct fuse_step *step, const struct where *where) {
    int rank = where->rank;
    int64_t turn = where->turn;
    if (step->kind == FUSE_STEP_REDUCE)
        return fuse_sat_mul(plan->mesh.dim[step->dim] - 1, held_elems(plan, &step->need, where));
    bool have_ranges = step->have.kind == FUSE_HOLDING_RANGES, need_ranges = step->need.kind == FUSE_HOLDING_RANGES;
    if (need_ranges) {
        struct interval range = range_interval(plan, &step->need, rank, turn);
        if (have_ranges)
            return length(range) - length(meet(range, range_interval(plan, &step->have, rank, turn)));
        return length(range) - elems_in_range(plan, &step->have, where, step->need.reversed, range);
    }
    if (have_ranges && step->have.loop < 0) {
        struct interval own = range_interval(plan, &step->have, rank, turn);
        return held_elems(plan, &step->need, where) -
               elems_in_range(plan, &step->need, where, step->have.reversed, own);
    }
    /* A slab brings the part of the needed box that lies in the slabs of all ranks at this turn. */
    int64_t others = 0;
    for (int64_t k = 0; have_ranges && k < step->have.aggregators; k++) {
        int owner = (int)block_interval(plan->mesh.ranks, step->have.aggregators, k).lo;
        if (owner != rank)
            others += elems_in_range(plan, &step->need, where, step->have.reversed,
                                     range_interval(plan, &step->have, owner, turn));
    }
    return have_ranges
               ? others
               : held_elems(plan, &step->need, where) - common_elems(plan, &step->need, where, &step->have, where);
}

int64_t fuse_cost_received_elems(const struct fuse_plan *plan, const struct fuse_step *step, int rank, int64_t turn) {
    int coordinate[FUSE_MESH_MAX];
    fuse_mesh_coordinates(coordinate, &plan->mesh, rank);
    struct where where = {rank, turn, coordinate};
    return received_elems(plan, step, &where);
}

/* ---- estimates and totals ------------------------------------------------------------------------------------- */

static int node_dim(const struct fuse_plan *plan) {
    return fuse_mesh_node_dim(&plan->mesh, plan->request.machine.ranks_per_node);
}

int64_t fuse_cost_receive_ps(const struct fuse_plan *plan, struct fuse_traffic in) {
    const struct fuse_machine *m = &plan->request.machine;
    int64_t near = in.bytes - in.network;
    int64_t bytes_ps = fuse_sat_add(fuse_sat_mul(near, m->node_ps_per_kib) / 1024,
                                    fuse_sat_mul(in.network, m->network_ps_per_kib) / 1024);
    return fuse_sat_add(fuse_sat_mul(in.messages, m->latency_ps), bytes_ps);
}

struct fuse_traffic fuse_cost_from_anywhere(const struct fuse_plan *plan, int64_t bytes, int64_t messages) {
    return (struct fuse_traffic){.bytes = bytes, .messages = messages, .network = node_dim(plan) > 0 ? bytes : 0};
}

static int64_t step_turns(const struct fuse_plan *plan, const struct fuse_step *step) {
    return step->loop >= 0 ? plan->regions.at[step->loop].turns : 1;
}

/* true when what a rank needs at the turns of the step's loop tiles what it would need without the loop, so that the bytes
 * of all turns are those of one turn over everything: always when the tensor's own axis or range is cut, and when an
 * operation's index is cut that walks one axis without gaps. */
static bool turns_tile(const struct fuse_plan *plan, const struct fuse_step *step) {
    if (step->loop < 0)
        return true;
    if (step->have.dealt > 0 || step->need.dealt > 0)
        return false; /* other ranks have what a rank would have without the loop */
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

int64_t fuse_cost_turn_bytes_bound(const struct fuse_plan *plan, const struct fuse_step *step) {
    int64_t held = fuse_sat_mul(fuse_holding_max_elems(plan, &step->need),
                                (int64_t)fuse_dtype_bytes(plan->ir->values.at[step->need.value].dtype));
    if (step->kind == FUSE_STEP_REDUCE)
        held = fuse_sat_mul(held, plan->mesh.dim[step->dim] - 1);
    return held < step->received_bytes_max ? held : step->received_bytes_max;
}

/* ---- all ranks ------------------------------------------------------------------------------------------------ */

/* The interval of one axis for each part that its split has; a rank's part is the sum of coordinate * weight. */
struct axis_table {
    int dims, dim[FUSE_MESH_MAX];
    int64_t weight[FUSE_MESH_MAX], parts;
    struct interval *at;
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

static struct interval look_up(const struct axis_table *table, const int *coordinate) {
    int64_t part = 0;
    for (int i = 0; i < table->dims; i++)
        part += coordinate[table->dim[i]] * table->weight[i];
    return table->at[part];
}

/* Tables of a LAYOUT or NEED holding without a loop, one an axis of the value. */
static void tabulate_holding(struct axis_table *table, const struct fuse_plan *plan,
                             const struct fuse_holding *holding) {
    const struct fuse_value *value = &plan->ir->values.at[holding->value];
    for (int a = 0; a < value->rank; a++) {
        if (holding->kind == FUSE_HOLDING_LAYOUT) {
            table[a] = tabulate(plan, &holding->layout, a, value->extent[a]);
            continue;
        }
        const struct fuse_op *op = plan->ir->ops.at[holding->op];
        const struct fuse_access_axis *at = &op->input[holding->input].access.at[a];
        table[a] = tabulate(plan, &holding->layout, at->index, at->index < 0 ? 1 : op->extent[at->index]);
        if (at->index >= 0 && fuse_index_is_ordered(plan, holding->op, at->index))
            tabulate_nodes(&table[a], plan, holding, at->index);
        if (at->index < 0) { /* one position, however the replicated dimensions lie */
            table[a].dims = 0;
            table[a].parts = 1;
            table[a].at[0] = (struct interval){0, 1};
        }
        for (int64_t part = 0; part < table[a].parts; part++)
            table[a].at[part] = meet(read_interval(at, table[a].at[part]), (struct interval){0, value->extent[a]});
    }
}

/* true when every rank below mesh.used has a non-empty part of the iteration space, so that intervals tell everything. */
static bool all_take_part(const struct fuse_plan *plan, const struct fuse_holding *need) {
    const struct fuse_op *op = need->kind == FUSE_HOLDING_NEED ? plan->ir->ops.at[need->op] : NULL;
    for (int i = 0; op && i < op->indices; i++)
        if (!fuse_index_has_no_empty_part(plan, need->op, &need->layout, i))
            return false;
    return true;
}

static void next_coordinate(int *coordinate, const struct fuse_mesh *mesh) {
    for (int d = mesh->dims - 1; d >= 0; d--) {
        if (++coordinate[d] < mesh->dim[d])
            return;
        coordinate[d] = 0;
    }
}

/* Elements that each rank receives over all turns, to received[rank]. */
static void receive_all(const struct fuse_plan *plan, const struct fuse_step *step, int64_t *received) {
    struct fuse_step whole = *step;
    int64_t turns = step_turns(plan, step);
    if (turns_tile(plan, step)) {
        whole.have.loop = whole.need.loop = -1;
        turns = 1;
    }
    int rank_of_value = plan->ir->values.at[step->have.value].rank, ranks = plan->mesh.ranks;
    bool dealt = step->have.dealt > 0 || step->need.dealt > 0;
    bool zigzag = whole.have.layout.zigzag > 0 || whole.need.layout.zigzag > 0;
    if (turns > 1 || dealt || zigzag || whole.have.kind == FUSE_HOLDING_RANGES ||
        whole.need.kind == FUSE_HOLDING_RANGES || !all_take_part(plan, &whole.need)) {
        for (int rank = 0; rank < ranks; rank++)
            for (int64_t t = 0; t < turns; t++)
                received[rank] = fuse_sat_add(received[rank], fuse_cost_received_elems(plan, &whole, rank, t));
        return;
    }
    struct fuse_arena_mark mark = fuse_arena_mark(plan->arena);
    struct axis_table have[FUSE_MAX_AXES], need[FUSE_MAX_AXES];
    tabulate_holding(have, plan, &whole.have);
    tabulate_holding(need, plan, &whole.need);
    int coordinate[FUSE_MESH_MAX] = {0};
    for (int rank = 0; rank < plan->mesh.used; rank++, next_coordinate(coordinate, &plan->mesh)) {
        int64_t needed = 1, owned = 1;
        for (int a = 0; a < rank_of_value; a++) {
            struct interval n = look_up(&need[a], coordinate);
            needed = fuse_sat_mul(needed, length(n));
            owned = fuse_sat_mul(owned, length(meet(n, look_up(&have[a], coordinate))));
        }
        received[rank] =
            step->kind == FUSE_STEP_REDUCE ? fuse_sat_mul(plan->mesh.dim[step->dim] - 1, needed) : needed - owned;
    }
    fuse_arena_rewind(plan->arena, mark);
}

static struct fuse_traffic sampled(const struct fuse_plan *plan, const struct fuse_step *step);

/* Of `bytes` that the busiest rank receives over all turns. The panels of an operand come from different ranks, every slab of a
 * chain from all of them. */
static struct fuse_traffic traffic_of(const struct fuse_plan *plan, const struct fuse_step *step, int64_t bytes) {
    struct fuse_step whole = *step;
    whole.loop = whole.have.loop = whole.need.loop = -1;
    struct fuse_traffic once = sampled(plan, &whole), all = {.bytes = bytes};
    int64_t turns = step_turns(plan, step);
    if (bytes == 0)
        return all;
    all.messages = fuse_sat_add(once.messages, turns - 1);
    if (step->phase == FUSE_PHASE_RUN && step->loop >= 0 && plan->chain[step->op] >= 0)
        all.messages = fuse_sat_mul(fuse_sat_mul(once.messages, turns), FUSE_COST_WAITS);
    if (once.bytes > 0)
        all.network = (int64_t)((__int128)bytes * once.network / once.bytes);
    return all;
}

/* What each rank receives in an exchange over all turns. */
struct received {
    const int64_t *bytes; /* [ranks] */
    int64_t most, total;
    bool is_kept; /* for exchanges like it */
};

static struct received receive_anew(const struct fuse_plan *plan, const struct fuse_step *step) {
    int64_t size = (int64_t)fuse_dtype_bytes(plan->ir->values.at[step->have.value].dtype);
    int64_t *bytes = FUSE_NEW_ARRAY(plan->arena, int64_t, plan->mesh.ranks);
    struct received got = {.bytes = bytes};
    receive_all(plan, step, bytes);
    for (int rank = 0; rank < plan->mesh.ranks; rank++) {
        bytes[rank] = fuse_sat_mul(bytes[rank], size);
        got.most = bytes[rank] > got.most ? bytes[rank] : got.most;
        got.total = fuse_sat_add(got.total, bytes[rank]);
    }
    return got;
}

/* A number for all exchanges that differ in layouts only. */
static int exchange_class(const struct fuse_plan *plan, const struct fuse_step *step) {
    const struct fuse_value *value = &plan->ir->values.at[step->have.value];
    int64_t word[9 * FUSE_MAX_AXES] = {(int64_t)step->kind,
                                       step->dim,
                                       (int64_t)step->have.kind,
                                       (int64_t)step->need.kind,
                                       (int64_t)fuse_dtype_bytes(value->dtype),
                                       value->rank};
    int n = 6;
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

static struct received receive(const struct fuse_plan *plan, const struct fuse_step *step) {
    bool whole = step->loop < 0 && step->have.loop < 0 && step->need.loop < 0, is_there;
    if (!whole || step->have.kind != FUSE_HOLDING_LAYOUT || step->need.kind == FUSE_HOLDING_RANGES)
        return receive_anew(plan, step);
    int64_t *result =
        fuse_memo_find(plan->exchanges, &is_there, exchange_class(plan, step), &step->have.layout, &step->need.layout);
    if (!is_there) {
        struct received got = receive_anew(plan, step);
        memcpy(&result[0], &got.bytes, sizeof got.bytes);
        result[1] = got.most;
        result[2] = got.total;
    }
    struct received got = {.most = result[1], .total = result[2], .is_kept = true};
    memcpy(&got.bytes, &result[0], sizeof got.bytes);
    return got;
}

static int64_t relation_file_bytes(const struct fuse_plan *plan, int value) {
    const struct fuse_op *source = plan->ir->ops.at[plan->ir->values.at[value].op];
    int64_t bytes = source->probe.file_bytes;
    if (source->kind != FUSE_OP_SOURCE)
        return 0;
    for (int k = 0; k < source->inputs; k++)
        bytes = fuse_sat_add(bytes, relation_file_bytes(plan, source->input[k].value));
    return bytes;
}

void fuse_cost_step(const struct fuse_plan *plan, struct fuse_step *step, int64_t *received_bytes) {
    const struct fuse_machine *m = &plan->request.machine;
    step->received_bytes_max = step->received_bytes_total = step->flops_max = step->time_ps = 0;
    switch (step->kind) {
    case FUSE_STEP_MOVE:
    case FUSE_STEP_REDUCE: {
        int64_t size = (int64_t)fuse_dtype_bytes(plan->ir->values.at[step->have.value].dtype);
        struct fuse_arena_mark mark = fuse_arena_mark(plan->arena);
        struct received got = receive(plan, step);
        for (int rank = 0; rank < plan->mesh.ranks; rank++)
            received_bytes[rank] = fuse_sat_add(received_bytes[rank], got.bytes[rank]);
        step->received_bytes_max = got.most;
        step->received_bytes_total = got.total;
        if (!got.is_kept)
            fuse_arena_rewind(plan->arena, mark);
        int64_t copied = fuse_sat_mul(fuse_holding_max_elems(plan, &step->need), size);
        copied = copied > step->received_bytes_max ? copied - step->received_bytes_max : 0;
        step->time_ps = fuse_sat_add(fuse_cost_receive_ps(plan, traffic_of(plan, step, step->received_bytes_max)),
                                     fuse_sat_mul(copied, m->copy_ps_per_kib) / 1024);
        break;
    }
    case FUSE_STEP_TUPLES: {
        int64_t bytes = relation_file_bytes(plan, plan->ir->ops.at[step->op]->input[0].value) / plan->mesh.ranks;
        int64_t held;
        struct fuse_tuples tuples = fuse_plan_tuples(plan, step->op, &step->partition);
        int64_t bring = fuse_is_derived(plan->ir, plan->ir->ops.at[step->op]->input[0].value)
                            ? fuse_cost_tuples_ps(plan, step->op, &step->partition, &held)
                            : fuse_cost_bring_tuples_ps(plan, tuples.most, tuples.row_bytes);
        step->time_ps = fuse_sat_add(fuse_sat_mul(bytes, m->file_ps_per_kib) / 1024, bring);
        break;
    }
    case FUSE_STEP_CONTRACT:
    case FUSE_STEP_JOIN:
    case FUSE_STEP_MAP:
    case FUSE_STEP_ATTENTION:
        step->flops_max = fuse_cost_flops(plan, step->op, &step->partition);
        step->time_ps = fuse_cost_compute_ps(plan, step->op, &step->partition);
        break;
    case FUSE_STEP_READ:
    case FUSE_STEP_WRITE: {
        const struct fuse_holding *h = step->kind == FUSE_STEP_READ ? &step->need : &step->have;
        int64_t bytes = fuse_sat_mul(fuse_holding_max_elems(plan, h),
                                     (int64_t)fuse_dtype_bytes(plan->ir->values.at[h->value].dtype));
        step->time_ps = fuse_sat_mul(fuse_sat_mul(bytes, step_turns(plan, step)), m->file_ps_per_kib) / 1024;
        break;
    }
    case FUSE_STEP_FEED: {
        int64_t bytes = relation_file_bytes(plan, plan->ir->ops.at[step->op]->input[step->input].value);
        step->time_ps = fuse_sat_mul(bytes / plan->mesh.ranks, m->file_ps_per_kib) / 1024;
        break;
    }
    case FUSE_STEP_RULES: /* how long they take depends on the data */
    case FUSE_STEP_LIST:
    case FUSE_STEP_LITERAL:
    case FUSE_STEP_SETTLE:
    case FUSE_STEP_PRINT: break;
    }
}

void fuse_cost_choose_samples(struct fuse_plan *plan) {
    int q = plan->mesh.used;
    const int wanted[FUSE_SAMPLES] = {0, q - 1, q / 2, q / 3};
    struct fuse_samples *samples = &plan->samples;
    samples->n = 0;
    for (int i = 0; i < FUSE_SAMPLES; i++) {
        bool seen = false;
        for (int j = 0; j < samples->n; j++)
            seen |= samples->rank[j] == wanted[i];
        if (seen)
            continue;
        samples->rank[samples->n] = wanted[i];
        fuse_mesh_coordinates(samples->coordinate[samples->n++], &plan->mesh, wanted[i]);
    }
}

static struct where sample(const struct fuse_plan *plan, int i) {
    return (struct where){plan->samples.rank[i], 0, plan->samples.coordinate[i]};
}

/* The part of a split of n into `parts` that holds position x: floor(n k / parts) <= x. */
static int64_t part_of(int64_t n, int64_t parts, int64_t x) {
    return (int64_t)((((__int128)x + 1) * parts - 1) / n);
}

/* Ranks that a rank receives something from in a MOVE between layouts, at most; elsewhere one stands for them. */
static int64_t senders(const struct fuse_plan *plan, const struct fuse_step *step, const struct where *where) {
    const struct fuse_value *value = &plan->ir->values.at[step->have.value];
    struct interval need[FUSE_MAX_AXES];
    int64_t all = 0;
    if (step->kind == FUSE_STEP_REDUCE)
        return plan->mesh.dim[step->dim] - 1;
    if (step->have.kind != FUSE_HOLDING_LAYOUT || step->need.kind == FUSE_HOLDING_RANGES)
        return 1;
    for (int half = 0; half < halves_of(plan, &step->need); half++) {
        int64_t n = 1;
        if (!holding_intervals(need, plan, &step->need, where, half, NULL))
            continue;
        for (int a = 0; a < value->rank; a++) {
            int64_t chunks = fuse_layout_chunks(&step->have.layout, &plan->mesh, a);
            n = fuse_sat_mul(n, part_of(value->extent[a], chunks, need[a].hi - 1) -
                                    part_of(value->extent[a], chunks, need[a].lo) + 1);
        }
        all = fuse_sat_add(all, n);
    }
    if (step->have.dealt > 0)
        all = fuse_sat_mul(all, fuse_layout_parts(&step->have.layout, &plan->mesh, FUSE_REPLICATED));
    return all;
}

/* Of what a rank receives, the elements that no rank of its node has. */
static int64_t network_elems(const struct fuse_plan *plan, const struct fuse_step *step, const struct where *where,
                             int64_t received) {
    const struct fuse_mesh *mesh = &plan->mesh;
    const struct fuse_layout *layout = &step->have.layout;
    int inner = node_dim(plan), coordinate[FUSE_MESH_MAX];
    if (inner == 0 || received == 0)
        return 0;
    if (step->kind == FUSE_STEP_REDUCE)
        return step->dim < inner ? received : 0;
    if (inner == mesh->dims || step->have.kind != FUSE_HOLDING_LAYOUT || step->have.dealt > 0 ||
        step->need.kind == FUSE_HOLDING_RANGES)
        return received;
    memcpy(coordinate, where->coordinate, sizeof coordinate);
    for (int d = inner; d < mesh->dims; d++)
        coordinate[d] = layout->axis[d] >= 0 ? 0 : coordinate[d];
    int64_t near = 0;
    for (int d = mesh->dims; d >= inner;) {
        struct where neighbour = {where->rank, where->turn, coordinate};
        near = fuse_sat_add(near, common_elems(plan, &step->need, where, &step->have, &neighbour));
        /* The next rank of the node whose blocks this one reads. */
        for (d = mesh->dims - 1; d >= inner; d--) {
            if (layout->axis[d] >= 0 && ++coordinate[d] < mesh->dim[d])
                break;
            coordinate[d] = layout->axis[d] >= 0 ? 0 : coordinate[d];
        }
    }
    return held_elems(plan, &step->need, where) - near;
}

static struct fuse_traffic sampled(const struct fuse_plan *plan, const struct fuse_step *step) {
    struct fuse_traffic most = {0};
    for (int i = 0; i < plan->samples.n; i++) {
        struct where where = sample(plan, i);
        int64_t elems = received_elems(plan, step, &where), messages = elems > 0 ? senders(plan, step, &where) : 0;
        most.bytes = elems > most.bytes ? elems : most.bytes;
        most.messages = messages > most.messages ? messages : most.messages;
        int64_t network = network_elems(plan, step, &where, elems);
        most.network = network > most.network ? network : most.network;
    }
    int64_t size = (int64_t)fuse_dtype_bytes(plan->ir->values.at[step->have.value].dtype);
    most.bytes = fuse_sat_mul(most.bytes, size);
    most.network = fuse_sat_mul(most.network, size);
    return most;
}

struct fuse_traffic fuse_cost_gather(const struct fuse_plan *plan, int op, int input,
                                     const struct fuse_layout *partition, const struct fuse_layout *have,
                                     bool *copied) {
    int value = plan->ir->ops.at[op]->input[input].value;
    struct fuse_step step = {
        .kind = FUSE_STEP_MOVE,
        .loop = -1,
        .have = {.kind = FUSE_HOLDING_LAYOUT, .value = value, .layout = *have, .loop = -1},
        .need = {
            .kind = FUSE_HOLDING_NEED, .value = value, .layout = *partition, .op = op, .input = input, .loop = -1}};
    struct fuse_traffic traffic = sampled(plan, &step);
    *copied = traffic.bytes > 0;
    if (traffic.bytes == 0) {
        struct interval unused[FUSE_MAX_AXES];
        for (int i = 0; i < plan->samples.n; i++) {
            struct where where = sample(plan, i);
            for (int half = 0; half < halves_of(plan, &step.need); half++)
                holding_intervals(unused, plan, &step.need, &where, half, copied);
        }
    }
    return traffic;
}

/* true when some combination of the mesh coordinates that matter to this axis reads outside the rank's own block. */
static bool axis_leaves_block(const struct fuse_plan *plan, int number, const struct fuse_access_axis *at, int axis,
                              int64_t extent, const struct fuse_layout *partition, const struct fuse_layout *have) {
    const struct fuse_op *op = plan->ir->ops.at[number];
    const struct fuse_mesh *mesh = &plan->mesh;
    int dims[FUSE_MESH_MAX], n = 0, coordinate[FUSE_MESH_MAX] = {0};
    bool same = at->index >= 0 && at->stride == 1 && at->offset == 0 && !fuse_access_is_paired(at) &&
                op->extent[at->index] == extent && !fuse_index_is_ordered(plan, number, at->index) &&
                partition->zigzag != at->index + 1 && have->zigzag != axis + 1;
    for (int d = 0; d < mesh->dims; d++) {
        bool held = have->axis[d] == axis, read = at->index >= 0 && partition->axis[d] == at->index;
        if (held || read)
            dims[n++] = d;
        same &= held == read && (!held || have->level[d] == partition->level[d]);
    }
    if (same)
        return false;
    for (;;) {
        for (int half = 0; half < fuse_layout_halves(partition); half++) {
            struct interval range = {0, 1}, own = layout_interval(plan, have, axis, extent, coordinate, half);
            if (at->index >= 0)
                range = index_interval(plan, number, partition, at->index, coordinate, half);
            struct interval read = read_interval(at, range);
            if (length(range) > 0 && (read.lo < own.lo || read.hi > own.hi))
                return true;
        }
        int i = 0;
        while (i < n && ++coordinate[dims[i]] == mesh->dim[dims[i]])
            coordinate[dims[i++]] = 0;
        if (i == n)
            return false;
    }
}

bool fuse_cost_needs_gather(const struct fuse_plan *plan, int op_number, int input, const struct fuse_layout *partition,
                            const struct fuse_layout *have) {
    const struct fuse_op *op = plan->ir->ops.at[op_number];
    const struct fuse_value *value = &plan->ir->values.at[op->input[input].value];
    for (int a = 0; a < value->rank; a++)
        if (axis_leaves_block(plan, op_number, &op->input[input].access.at[a], a, value->extent[a], partition, have))
            return true;
    return false;
}

struct fuse_traffic fuse_cost_relayout(const struct fuse_plan *plan, int value, const struct fuse_layout *have,
                                       const struct fuse_layout *need) {
    struct fuse_step step = {.kind = FUSE_STEP_MOVE,
                             .loop = -1,
                             .have = {.kind = FUSE_HOLDING_LAYOUT, .value = value, .layout = *have, .loop = -1},
                             .need = {.kind = FUSE_HOLDING_LAYOUT, .value = value, .layout = *need, .loop = -1}};
    return sampled(plan, &step);
}

int64_t fuse_cost_block_bytes(const struct fuse_plan *plan, int value, const struct fuse_layout *layout) {
    struct fuse_holding holding = {.kind = FUSE_HOLDING_LAYOUT, .value = value, .layout = *layout, .loop = -1};
    return fuse_sat_mul(fuse_holding_max_elems(plan, &holding),
                        (int64_t)fuse_dtype_bytes(plan->ir->values.at[value].dtype));
}

struct fuse_traffic fuse_cost_file(const struct fuse_plan *plan, int value, const struct fuse_layout *layout,
                                   bool reversed, bool store) {
    struct fuse_step step = {.kind = FUSE_STEP_MOVE, .loop = -1};
    struct fuse_holding ranges = fuse_cost_file_ranges(plan, value, reversed);
    struct fuse_holding held = {.kind = FUSE_HOLDING_LAYOUT, .value = value, .layout = *layout, .loop = -1};
    step.have = store ? held : ranges;
    step.need = store ? ranges : held;
    return sampled(plan, &step);
}
