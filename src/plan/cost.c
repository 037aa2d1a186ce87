#include "plan/cost_internal.h"

#include <string.h>

int fuse_cost_halves(const struct fuse_plan *plan, const struct fuse_holding *holding) {
    if (holding->layout.zigzag == 0 || holding->kind == FUSE_HOLDING_LAYOUT)
        return fuse_layout_halves(&holding->layout);
    const struct fuse_access *access = &plan->ir->ops.at[holding->op]->input[holding->input].access;
    for (int a = 0; a < access->rank; a++)
        if (access->at[a].index == holding->layout.zigzag - 1)
            return FUSE_LAYOUT_HALVES;
    return 1;
}

bool fuse_cost_intervals(struct interval out[FUSE_MAX_AXES], const struct fuse_plan *plan,
                         const struct fuse_holding *holding, const struct fuse_cost_where *where, int half,
                         bool *padded) {
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
    if (holding->dealt > 0) {
        struct interval *x = &out[holding->dealt - 1];
        int64_t parts = 1, mine = 0;
        for (int d = 0; d < plan->mesh.dims; d++)
            if (fuse_holding_deals(plan, holding, d)) {
                parts *= plan->mesh.dim[d];
                mine = mine * plan->mesh.dim[d] + coordinate[d];
            }
        struct interval part = block_interval(length(*x), parts, mine);
        *x = (struct interval){x->lo + part.lo, x->lo + part.hi};
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

struct interval fuse_cost_range(const struct fuse_plan *plan, const struct fuse_holding *holding, int rank,
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
static int64_t held_elems(const struct fuse_plan *plan, const struct fuse_holding *holding,
                          const struct fuse_cost_where *where) {
    struct interval x[FUSE_MAX_AXES];
    int64_t n = 0;
    for (int half = 0; half < fuse_cost_halves(plan, holding); half++)
        if (fuse_cost_intervals(x, plan, holding, where, half, NULL))
            n = fuse_sat_add(n, product(x, plan->ir->values.at[holding->value].rank));
    return n;
}

int64_t fuse_cost_elems_in_range(const struct fuse_plan *plan, const struct fuse_holding *holding,
                                 const struct fuse_cost_where *where, bool reversed, struct interval range) {
    const struct fuse_value *value = &plan->ir->values.at[holding->value];
    struct interval x[FUSE_MAX_AXES];
    int64_t n = 0;
    for (int half = 0; half < fuse_cost_halves(plan, holding); half++)
        if (fuse_cost_intervals(x, plan, holding, where, half, NULL))
            n += count_below(x, value->rank, value->extent, reversed, range.hi) -
                 count_below(x, value->rank, value->extent, reversed, range.lo);
    return n;
}

int64_t fuse_cost_common_elems(int64_t *needed, const struct fuse_plan *plan, const struct fuse_holding *need,
                               const struct fuse_cost_where *needs, const struct fuse_holding *have,
                               const struct fuse_cost_where *has) {
    const int rank = plan->ir->values.at[need->value].rank, halves = fuse_cost_halves(plan, have);
    struct interval x[FUSE_MAX_AXES], y[FUSE_MAX_AXES];
    int64_t n = 0;
    *needed = 0;
    for (int i = 0; i < fuse_cost_halves(plan, need); i++) {
        if (!fuse_cost_intervals(x, plan, need, needs, i, NULL))
            continue;
        *needed = fuse_sat_add(*needed, product(x, rank));
        for (int j = 0; j < halves; j++) {
            if (!fuse_cost_intervals(y, plan, have, has, j, NULL))
                continue;
            for (int a = 0; a < rank; a++)
                y[a] = meet(x[a], y[a]);
            n = fuse_sat_add(n, product(y, rank));
        }
    }
    return n;
}

static int64_t received_elems(const struct fuse_plan *plan, const struct fuse_step *step,
                              const struct fuse_cost_where *where) {
    int rank = where->rank;
    int64_t turn = where->turn;
    if (step->kind == FUSE_STEP_REDUCE)
        return fuse_sat_mul(plan->mesh.dim[step->dim] - 1, held_elems(plan, &step->need, where));
    bool have_ranges = step->have.kind == FUSE_HOLDING_RANGES, need_ranges = step->need.kind == FUSE_HOLDING_RANGES;
    if (need_ranges) {
        struct interval range = fuse_cost_range(plan, &step->need, rank, turn);
        if (have_ranges)
            return length(range) - length(meet(range, fuse_cost_range(plan, &step->have, rank, turn)));
        return length(range) - fuse_cost_elems_in_range(plan, &step->have, where, step->need.reversed, range);
    }
    if (have_ranges && step->have.loop < 0) {
        struct interval own = fuse_cost_range(plan, &step->have, rank, turn);
        return held_elems(plan, &step->need, where) -
               fuse_cost_elems_in_range(plan, &step->need, where, step->have.reversed, own);
    }
    /* A slab brings the part of the needed box that lies in the slabs of all ranks at this turn. */
    int64_t others = 0;
    for (int64_t k = 0; have_ranges && k < step->have.aggregators; k++) {
        int owner = (int)block_interval(plan->mesh.ranks, step->have.aggregators, k).lo;
        if (owner != rank)
            others += fuse_cost_elems_in_range(plan, &step->need, where, step->have.reversed,
                                               fuse_cost_range(plan, &step->have, owner, turn));
    }
    if (have_ranges)
        return others;
    int64_t needed, own = fuse_cost_common_elems(&needed, plan, &step->need, where, &step->have, where);
    return needed - own;
}

int64_t fuse_cost_received_elems(const struct fuse_plan *plan, const struct fuse_step *step, int rank, int64_t turn) {
    int coordinate[FUSE_MESH_MAX];
    fuse_mesh_coordinates(coordinate, &plan->mesh, rank);
    struct fuse_cost_where where = {rank, turn, coordinate};
    return received_elems(plan, step, &where);
}

/* ---- estimates and totals ------------------------------------------------------------------------------------- */

int64_t fuse_cost_receive_ps(const struct fuse_plan *plan, struct fuse_traffic in) {
    const struct fuse_machine *m = &plan->request.machine;
    int64_t near = in.bytes - in.network;
    int64_t bytes_ps = fuse_sat_add(fuse_sat_mul(near, m->node_ps_per_kib) / 1024,
                                    fuse_sat_mul(in.network, m->network_ps_per_kib) / 1024);
    return fuse_sat_add(fuse_sat_mul(in.messages, m->latency_ps), bytes_ps);
}

int64_t fuse_cost_bring_ps(const struct fuse_plan *plan, struct fuse_traffic in, int64_t held) {
    int64_t copied = held > in.bytes ? held - in.bytes : 0;
    return fuse_sat_add(fuse_cost_receive_ps(plan, in),
                        fuse_sat_mul(copied, plan->request.machine.copy_ps_per_kib) / 1024);
}

int64_t fuse_cost_processor_ps(const struct fuse_plan *plan, struct fuse_traffic in, int64_t held) {
    const struct fuse_machine *m = &plan->request.machine;
    int64_t near = m->ranks_per_node > 0 ? in.bytes - in.network : 0,
            copied = (held > in.bytes ? held : in.bytes) - near;
    return fuse_sat_add(fuse_sat_mul(near, m->node_ps_per_kib) / 1024, fuse_sat_mul(copied, m->copy_ps_per_kib) / 1024);
}

struct fuse_traffic fuse_cost_from_anywhere(const struct fuse_plan *plan, int64_t bytes, int64_t messages) {
    return (struct fuse_traffic){
        .bytes = bytes, .messages = messages, .network = fuse_cost_node_dim(plan) > 0 ? bytes : 0};
}

int64_t fuse_cost_turn_bytes_bound(const struct fuse_plan *plan, const struct fuse_step *step) {
    int64_t held = fuse_sat_mul(fuse_holding_max_elems(plan, &step->need),
                                (int64_t)fuse_dtype_bytes(plan->ir->values.at[step->need.value].dtype));
    if (step->kind == FUSE_STEP_REDUCE)
        held = fuse_sat_mul(held, plan->mesh.dim[step->dim] - 1);
    return held < step->received_bytes_max ? held : step->received_bytes_max;
}

/* Of `bytes` that the busiest rank receives over all turns. The panels of an operand come from different ranks, every slab of a
 * chain from all of them. */
static struct fuse_traffic traffic_of(const struct fuse_plan *plan, const struct fuse_step *step, int64_t bytes) {
    struct fuse_step whole = *step;
    whole.loop = whole.have.loop = whole.need.loop = -1;
    struct fuse_traffic once = fuse_cost_sample(plan, &whole), all = {.bytes = bytes};
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

static int64_t held_bytes(const struct fuse_plan *plan, const struct fuse_holding *holding) {
    return fuse_sat_mul(fuse_holding_max_elems(plan, holding),
                        (int64_t)fuse_dtype_bytes(plan->ir->values.at[holding->value].dtype));
}

int64_t fuse_cost_step_processor_ps(const struct fuse_plan *plan, const struct fuse_step *step) {
    return fuse_cost_processor_ps(plan, traffic_of(plan, step, step->received_bytes_max),
                                  held_bytes(plan, &step->need));
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

/* A loop over parts of the rows of values computes all scores at every turn. */
static void add_repeated_scores(const struct fuse_plan *plan, struct fuse_step *step) {
    const struct fuse_op *op = plan->ir->ops.at[step->op];
    if (op->kind != FUSE_OP_ATTENTION || step->loop < 0)
        return;
    const struct fuse_region *loop = &plan->regions.at[step->loop];
    const int index = loop->loop == FUSE_LOOP_PANEL ? loop->index : plan->slab_index[step->op];
    if (index < 0 || fuse_attention_scores_have(op, index))
        return;
    const struct fuse_cost_work scores = fuse_cost_scores(plan, step->op, &step->partition);
    step->flops_max = fuse_sat_add(step->flops_max, fuse_sat_mul(scores.flops, loop->turns - 1));
    step->time_ps = fuse_sat_add(step->time_ps, fuse_sat_mul(scores.time_ps, loop->turns - 1));
}

void fuse_cost_step(const struct fuse_plan *plan, struct fuse_step *step, int64_t *received_bytes) {
    const struct fuse_machine *m = &plan->request.machine;
    step->received_bytes_max = step->received_bytes_total = step->flops_max = step->time_ps = 0;
    switch (step->kind) {
    case FUSE_STEP_MOVE:
    case FUSE_STEP_REDUCE: {
        struct fuse_arena_mark mark = fuse_arena_mark(plan->arena);
        struct fuse_cost_received got = fuse_cost_receive(plan, step);
        for (int rank = 0; rank < plan->mesh.ranks && got.most > 0; rank++)
            received_bytes[rank] = fuse_sat_add(received_bytes[rank], got.bytes[rank]);
        step->received_bytes_max = got.most;
        step->received_bytes_total = got.total;
        if (!got.is_kept)
            fuse_arena_rewind(plan->arena, mark);
        struct fuse_traffic in = traffic_of(plan, step, step->received_bytes_max);
        /* What a second stage does not bring is in its place. */
        step->time_ps = fuse_cost_bring_ps(plan, in, fuse_plan_collects(step) ? 0 : held_bytes(plan, &step->need));
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
        add_repeated_scores(plan, step);
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

static struct fuse_cost_where sample(const struct fuse_plan *plan, int i) {
    return (struct fuse_cost_where){plan->samples.rank[i], 0, plan->samples.coordinate[i]};
}

/* Ranks that a rank receives something from in a MOVE between layouts, at most; elsewhere one stands for them. */
static int64_t senders(const struct fuse_plan *plan, const struct fuse_step *step,
                       const struct fuse_cost_where *where) {
    const struct fuse_value *value = &plan->ir->values.at[step->have.value];
    struct interval need[FUSE_MAX_AXES];
    int64_t all = 0;
    if (step->kind == FUSE_STEP_REDUCE)
        return plan->mesh.dim[step->dim] - 1;
    if (fuse_plan_collects(step))
        return fuse_holding_dealt_parts(plan, &step->have) - 1;
    if (step->have.kind != FUSE_HOLDING_LAYOUT || step->need.kind == FUSE_HOLDING_RANGES)
        return 1;
    for (int half = 0; half < fuse_cost_halves(plan, &step->need); half++) {
        int64_t n = 1;
        if (!fuse_cost_intervals(need, plan, &step->need, where, half, NULL))
            continue;
        for (int a = 0; a < value->rank; a++) {
            int64_t chunks = fuse_layout_chunks(&step->have.layout, &plan->mesh, a);
            n = fuse_sat_mul(n, fuse_cost_part_of(value->extent[a], chunks, need[a].hi - 1) -
                                    fuse_cost_part_of(value->extent[a], chunks, need[a].lo) + 1);
        }
        all = fuse_sat_add(all, n);
    }
    if (step->have.dealt > 0)
        all = fuse_sat_mul(all, fuse_layout_parts(&step->have.layout, &plan->mesh, FUSE_REPLICATED));
    return all;
}

struct fuse_traffic fuse_cost_sample(const struct fuse_plan *plan, const struct fuse_step *step) {
    struct fuse_traffic most = {0};
    struct fuse_cost_moves moves;
    struct fuse_cost_moved moved[FUSE_SAMPLES];
    const bool is_plain = fuse_cost_open_moves(&moves, plan, step);
    if (is_plain)
        fuse_cost_sample_moves(moved, &moves, &plan->samples);
    for (int i = 0; i < plan->samples.n; i++) {
        struct fuse_cost_where where = sample(plan, i);
        const int64_t elems = is_plain ? moved[i].elems : received_elems(plan, step, &where);
        const int64_t messages = elems == 0 ? 0 : is_plain ? moved[i].senders : senders(plan, step, &where);
        most.bytes = elems > most.bytes ? elems : most.bytes;
        most.messages = messages > most.messages ? messages : most.messages;
        int64_t network = fuse_cost_network_elems(plan, step, &where, elems);
        most.network = network > most.network ? network : most.network;
    }
    int64_t size = (int64_t)fuse_dtype_bytes(plan->ir->values.at[step->have.value].dtype);
    most.bytes = fuse_sat_mul(most.bytes, size);
    most.network = fuse_sat_mul(most.network, size);
    most.bytes = most.bytes > most.network ? most.bytes : most.network;
    return most;
}

static struct fuse_cost_way choose_way(const struct fuse_plan *plan, const struct fuse_step *step, bool in_stages) {
    return in_stages ? fuse_cost_choose_way(plan, step, -1)
                     : (struct fuse_cost_way){.all = fuse_cost_sample(plan, step)};
}

struct fuse_cost_way fuse_cost_gather(const struct fuse_plan *plan, int op, int input,
                                      const struct fuse_layout *partition, const struct fuse_layout *have,
                                      bool in_stages, bool *copied) {
    int value = plan->ir->ops.at[op]->input[input].value;
    struct fuse_step step = {
        .kind = FUSE_STEP_MOVE,
        .loop = -1,
        .have = {.kind = FUSE_HOLDING_LAYOUT, .value = value, .layout = *have, .loop = -1},
        .need = {
            .kind = FUSE_HOLDING_NEED, .value = value, .layout = *partition, .op = op, .input = input, .loop = -1}};
    struct fuse_cost_way way = choose_way(plan, &step, in_stages);
    *copied = way.all.bytes > 0;
    if (!*copied) {
        struct interval unused[FUSE_MAX_AXES];
        for (int i = 0; i < plan->samples.n; i++) {
            struct fuse_cost_where where = sample(plan, i);
            for (int half = 0; half < fuse_cost_halves(plan, &step.need); half++)
                fuse_cost_intervals(unused, plan, &step.need, &where, half, copied);
        }
    }
    return way;
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

struct fuse_cost_way fuse_cost_relayout(const struct fuse_plan *plan, int value, const struct fuse_layout *have,
                                        const struct fuse_layout *need, bool in_stages) {
    struct fuse_step step = {.kind = FUSE_STEP_MOVE,
                             .loop = -1,
                             .have = {.kind = FUSE_HOLDING_LAYOUT, .value = value, .layout = *have, .loop = -1},
                             .need = {.kind = FUSE_HOLDING_LAYOUT, .value = value, .layout = *need, .loop = -1}};
    return choose_way(plan, &step, in_stages);
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
    return fuse_cost_sample(plan, &step);
}
