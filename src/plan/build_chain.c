/* A chain of operations (plan/chain.h) as one loop over slabs. */
#include "plan/build_internal.h"
#include "plan/chain.h"
#include "plan/cost.h"
#include "plan/stream.h"

/* The operations at positions first .. last of plan->order. */
struct members {
    int chain, first, last;
    int *gathered; /* [members * FUSE_MAX_INPUTS] buffer of what does not change from slab to slab, or -1 */
    int *result;   /* [members] buffer that all slabs are summed into, or -1 */
};

static int member_at(const struct build *b, int position) {
    return b->plan->order[position];
}

static const struct fuse_op *op_at(const struct build *b, int position) {
    return b->plan->ir->ops.at[member_at(b, position)];
}

/* What the turns of a sink write of its file; loop -1: what they would without. */
static struct fuse_holding sink_slab(const struct build *b, int number, int loop) {
    const struct fuse_plan *plan = b->plan;
    return fuse_stream_slab(plan, plan->ir->ops.at[number]->input[0].value, plan->slab_index[number], false,
                            plan->chain[number], loop);
}

static int64_t held_bytes(const struct build *b, const struct fuse_holding *holding) {
    return fuse_sat_mul(fuse_holding_max_elems(b->plan, holding), fuse_build_dtype_bytes(b, holding->value));
}

/* The same of a value's block, were it whole. */
static int64_t block_bytes(const struct build *b, int value, const struct fuse_layout *layout) {
    return fuse_cost_block_bytes(b->plan, value, layout);
}

/* What a rank would hold of all that exists as slabs, if it were whole. */
static int64_t slab_bytes(const struct build *b, const struct members *m) {
    const struct fuse_plan *plan = b->plan;
    int64_t bytes = 0;
    for (int i = 0; i < plan->streams.n; i++) {
        const struct fuse_stream *stream = &plan->streams.at[i];
        if (stream->chain != m->chain)
            continue;
        struct fuse_holding slab = fuse_stream_slab(plan, stream->value, stream->axis, false, m->chain, -1);
        bytes = fuse_sat_add(bytes, fuse_sat_mul(2, held_bytes(b, &slab)));
        if (slab.dealt > 0)
            bytes = fuse_sat_add(bytes, block_bytes(b, stream->value, &slab.layout));
    }
    for (int at = m->first; at <= m->last; at++) {
        int number = member_at(b, at), value = op_at(b, at)->out;
        if (value < 0) {
            struct fuse_holding slab = sink_slab(b, number, -1);
            bytes = fuse_sat_add(bytes, fuse_sat_mul(slab.dealt > 0 ? 2 : 1, held_bytes(b, &slab)));
            continue;
        }
        if (plan->inner[value] && !fuse_build_ends_in_place(b, number))
            bytes = fuse_sat_add(bytes, block_bytes(b, value, &plan->layout[value]));
        if ((plan->inner[value] && fuse_build_operand_to_overwrite(b, number) < 0) ||
            (plan->slab_axis[value] >= 0 && !fuse_build_ends_in_place(b, number)))
            bytes = fuse_sat_add(bytes, block_bytes(b, value, &b->choice[number].natural));
    }
    return bytes;
}

/* The most turns that leave the runs of files long enough. */
static int64_t most_turns(const struct build *b, const struct members *m) {
    const struct fuse_plan *plan = b->plan;
    int64_t parts = 1, most = INT64_MAX;
    for (int d = 0; d < plan->chains.at[m->chain].dims; d++)
        parts *= plan->mesh.dim[d];
    for (int i = 0; i < plan->streams.n; i++) {
        const struct fuse_stream *stream = &plan->streams.at[i];
        bool reversed = fuse_stream_is_reversed(plan, stream->value);
        int64_t turns = stream->chain != m->chain
                            ? most
                            : fuse_stream_most_turns(plan, stream->value, stream->axis, reversed, parts);
        most = turns < most ? turns : most;
    }
    for (int at = m->first; at <= m->last; at++) {
        const struct fuse_op *op = op_at(b, at);
        int64_t turns =
            op->kind != FUSE_OP_SINK
                ? most
                : fuse_stream_most_turns(plan, op->input[0].value, plan->slab_index[member_at(b, at)], false, parts);
        most = turns < most ? turns : most;
    }
    return most;
}

/* ---- before the loop ------------------------------------------------------------------------------------------ */

static void load_what_stays(struct build *b, const struct members *m) {
    const struct fuse_plan *plan = b->plan;
    for (int at = m->first; at <= m->last; at++)
        for (int k = 0; k < op_at(b, at)->inputs; k++) {
            int v = op_at(b, at)->input[k].value;
            if (plan->chain[plan->ir->values.at[v].op] != m->chain)
                fuse_build_load_value(b, v);
        }
}

/* What does not change from slab to slab is gathered once, and what all slabs are summed into has its place. */
static void prepare(struct build *b, struct members *m) {
    const struct fuse_plan *plan = b->plan;
    for (int at = m->first; at <= m->last; at++) {
        int number = member_at(b, at);
        const struct fuse_op *op = op_at(b, at);
        for (int k = 0; k < op->inputs; k++) {
            int *to = &m->gathered[(at - m->first) * FUSE_MAX_INPUTS + k];
            *to = -1;
            if (!fuse_build_reads_index(&op->input[k], plan->slab_index[number]) &&
                fuse_build_needs_gather(b, number, k))
                *to = fuse_build_gather_input(b, number, k, -1, -1);
            else if (fuse_build_is_again(b, number, k))
                fuse_build_prepare_again(b, number, k);
        }
        bool summed = op->out >= 0 && plan->slab_axis[op->out] < 0;
        m->result[at - m->first] = summed ? fuse_build_add_result_buffer(b, number) : -1;
    }
}

/* ---- in the loop ---------------------------------------------------------------------------------------------- */

static void read_sources(struct build *b, const struct members *m) {
    struct fuse_plan *plan = b->plan;
    for (int i = 0; i < plan->streams.n; i++) {
        const struct fuse_stream stream = plan->streams.at[i];
        if (stream.chain != m->chain)
            continue;
        struct fuse_step read =
            fuse_build_new_step(b, FUSE_STEP_READ, FUSE_PHASE_RUN, plan->ir->values.at[stream.value].op);
        bool reversed = fuse_stream_is_reversed(plan, stream.value);
        read.need = fuse_stream_slab(plan, stream.value, stream.axis, reversed, m->chain, b->loop);
        read.to = b->value_buffer[stream.value] = fuse_build_add_buffer(b, 'f', &read.need);
        fuse_build_add_file_staging(b, &read, read.to);
        fuse_build_double_buffer(b, read.to);
        fuse_build_add_step(b, &read);
    }
}

static bool are_equal(const struct fuse_holding *x, const struct fuse_holding *y) {
    return fuse_layout_equal(&x->layout, &y->layout) && x->reversed == y->reversed && x->dealt == y->dealt &&
           x->loop == y->loop && (x->loop < 0 || x->cut == y->cut);
}

static void write_sink(struct build *b, int number) {
    struct fuse_plan *plan = b->plan;
    int value = plan->ir->ops.at[number]->input[0].value, from = b->value_buffer[value];
    struct fuse_holding slab = sink_slab(b, number, b->loop);
    struct fuse_holding have = plan->streamed[value] ? plan->buffers.at[from].holding
                                                     : fuse_build_slab_holding(b, value, &plan->layout[value]);
    if (!are_equal(&have, &slab)) {
        struct fuse_step move = fuse_build_new_step(b, FUSE_STEP_MOVE, FUSE_PHASE_RUN, number);
        move.from = from;
        move.have = have;
        move.need = slab;
        move.to = from = fuse_build_add_buffer(b, 'f', &slab);
        fuse_build_add_step(b, &move);
    }
    struct fuse_step write = fuse_build_new_step(b, FUSE_STEP_WRITE, FUSE_PHASE_RUN, number);
    write.from = from;
    write.have = slab;
    fuse_build_add_file_staging(b, &write, from);
    fuse_build_double_buffer(b, from);
    fuse_build_add_step(b, &write);
}

static void compute(struct build *b, const struct members *m, int at) {
    const struct fuse_plan *plan = b->plan;
    int number = member_at(b, at), to = m->result[at - m->first], index = plan->slab_index[number];
    const struct fuse_op *op = op_at(b, at);
    struct fuse_step step = fuse_build_compute_step(b, number, to);
    for (int k = 0; k < op->inputs; k++) {
        int once = m->gathered[(at - m->first) * FUSE_MAX_INPUTS + k];
        if (once >= 0)
            step.in[k] = once;
        else if (fuse_build_needs_gather(b, number, k))
            step.in[k] = fuse_build_gather_input(b, number, k, b->loop, index);
    }
    step.cut = index;
    step.accumulate = to >= 0;
    if (to < 0)
        step.to = fuse_build_add_result_buffer(b, number);
    fuse_build_add_step(b, &step);
    if (to < 0)
        fuse_build_finish(b, number, step.to);
}

void fuse_build_emit_chain(struct build *b, int first, int last) {
    struct fuse_plan *plan = b->plan;
    struct members m = {.chain = plan->chain[plan->order[first]], .first = first, .last = last};
    m.gathered = FUSE_NEW_ARRAY(plan->arena, int, (last - first + 1) * FUSE_MAX_INPUTS);
    m.result = FUSE_NEW_ARRAY(plan->arena, int, last - first + 1);
    load_what_stays(b, &m);
    prepare(b, &m);
    struct fuse_region loop = {.loop = FUSE_LOOP_SLAB, .skew_input = -1};
    loop.op = plan->order[first];
    loop.index = plan->slab_index[loop.op];
    loop.partition = plan->partition[loop.op];
    loop.turns = fuse_plan_chain_turns(plan, m.chain, slab_bytes(b, &m), b->effort->budget_bytes);
    int64_t most = most_turns(b, &m);
    loop.turns = loop.turns < most ? loop.turns : most;
    fuse_build_open_loop(b, loop);
    b->chain = m.chain;
    read_sources(b, &m);
    for (int at = first; at <= last; at++) {
        if (op_at(b, at)->kind == FUSE_OP_SINK)
            write_sink(b, member_at(b, at));
        else
            compute(b, &m, at);
    }
    b->chain = -1;
    fuse_build_close_loop(b);
    for (int at = first; at <= last; at++)
        if (m.result[at - first] >= 0)
            fuse_build_finish(b, plan->order[at], m.result[at - first]);
    for (int i = 0; i < plan->streams.n; i++)
        if (plan->streams.at[i].chain == m.chain)
            b->value_buffer[plan->streams.at[i].value] = -1;
}
