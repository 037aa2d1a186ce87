#include "plan/build_internal.h"
#include "plan/cost.h"

#include <string.h>

#define PIECE_MIN_BYTES ((int64_t)64 << 10) /* messages are not cut below this unless the workspace is smaller */

int64_t fuse_build_dtype_bytes(const struct build *b, int value) {
    return (int64_t)fuse_dtype_bytes(b->plan->ir->values.at[value].dtype);
}

enum fuse_memkind fuse_build_tensor_kind(const struct build *b) {
    return b->plan->request.machine.kind;
}

/* ---- buffers and steps ---------------------------------------------------------------------------------------- */

int fuse_build_add_buffer(struct build *b, char role, const struct fuse_holding *holding) {
    struct fuse_buffer buffer = {.value = holding->value,
                                 .dtype = b->plan->ir->values.at[holding->value].dtype,
                                 .kind = fuse_build_tensor_kind(b),
                                 .holding = *holding,
                                 .first = b->position,
                                 .last = b->position,
                                 .resident = -1,
                                 .role = role};
    buffer.bytes = fuse_sat_mul(fuse_holding_max_elems(b->plan, holding), fuse_build_dtype_bytes(b, holding->value));
    fuse_vec_push(b->plan->arena, &b->plan->buffers, buffer);
    return b->plan->buffers.n - 1;
}

int fuse_build_add_bytes(struct build *b, char role, enum fuse_memkind kind, int64_t bytes) {
    struct fuse_buffer buffer = {.value = -1,
                                 .dtype = FUSE_U8,
                                 .kind = kind,
                                 .bytes = bytes,
                                 .first = b->position,
                                 .last = b->position,
                                 .resident = -1,
                                 .role = role};
    fuse_vec_push(b->plan->arena, &b->plan->buffers, buffer);
    return b->plan->buffers.n - 1;
}

void fuse_build_double_buffer(struct build *b, int number) {
    struct fuse_buffer *buffer = &b->plan->buffers.at[number];
    /* Pieces of a device's memory pass through staging, and nothing reads or writes beside its queue. */
    if (buffer->doubled || buffer->kind != FUSE_MEM_HOST)
        return;
    buffer->doubled = true;
    buffer->bytes = fuse_sat_mul(2, fuse_sat_add(buffer->bytes, 63) / 64 * 64);
}

void fuse_build_double_panels(struct build *b, int number, int resident) {
    struct fuse_buffer *buffer = &b->plan->buffers.at[number];
    buffer->is_shared = fuse_plan_collects(&b->plan->steps.at[b->plan->steps.n - 1]);
    buffer->doubled = true;
    buffer->resident = resident;
    buffer->bytes = fuse_sat_mul(2, fuse_sat_add(buffer->bytes, 63) / 64 * 64);
}

static void use_buffer(struct build *b, int buffer) {
    if (buffer >= 0 && b->plan->buffers.at[buffer].last < b->position)
        b->plan->buffers.at[buffer].last = b->position;
}

struct fuse_step fuse_build_new_step(const struct build *b, enum fuse_step_kind kind, enum fuse_phase phase, int op) {
    struct fuse_step step = {.kind = kind, .phase = phase, .op = op, .from = -1, .to = -1, .dim = -1, .loop = b->loop};
    step.staging = step.pinned = -1;
    for (int k = 0; k < FUSE_MAX_INPUTS; k++)
        step.in[k] = -1;
    step.have.loop = step.need.loop = step.cut = -1;
    step.have.value = step.need.value = -1;
    return step;
}

static int64_t round_up(int64_t n, int64_t unit) {
    return (n + unit - 1) / unit * unit;
}

/* Room for messages: half to send from, half to receive into. */
static void add_message_staging(struct build *b, struct fuse_step *step) {
    int64_t received = fuse_cost_turn_bytes_bound(b->plan, step);
    int64_t size = fuse_build_dtype_bytes(b, step->have.value), half = b->effort->workspace_bytes;
    int64_t peers = step->kind == FUSE_STEP_REDUCE ? b->plan->mesh.dim[step->dim] - 1 : 1;
    bool device = fuse_build_tensor_kind(b) == FUSE_MEM_DEVICE;
    step->piece_bytes = size;
    if (received == 0 && !device)
        return;
    if (received == 0)
        received = size;
    if (received < half)
        half = received;
    /* A reduction holds one piece of every peer at a time; a move has several pieces of one peer in flight. */
    step->piece_bytes = half / (step->kind == FUSE_STEP_REDUCE ? peers : half > 4 * PIECE_MIN_BYTES ? 4 : 1);
    if (step->piece_bytes < PIECE_MIN_BYTES)
        step->piece_bytes = half < PIECE_MIN_BYTES ? half : PIECE_MIN_BYTES;
    step->piece_bytes = step->piece_bytes / size * size;
    if (step->piece_bytes < size)
        step->piece_bytes = size;
    half = round_up(half, 64);
    if (half < peers * round_up(step->piece_bytes, 64))
        half = peers * round_up(step->piece_bytes, 64);
    step->staging = fuse_build_add_bytes(b, 's', fuse_build_tensor_kind(b), 2 * half);
    if (device)
        step->pinned = fuse_build_add_bytes(b, 's', FUSE_MEM_PINNED, 2 * half);
}

/* With device memory, pieces of files and of what is printed pass through staging. */
void fuse_build_add_file_staging(struct build *b, struct fuse_step *step, int buffer) {
    int64_t size = fuse_build_dtype_bytes(b, b->plan->buffers.at[buffer].value),
            bytes = b->plan->buffers.at[buffer].bytes;
    step->piece_bytes = size;
    if (fuse_build_tensor_kind(b) != FUSE_MEM_DEVICE)
        return;
    int64_t half = bytes < b->effort->workspace_bytes ? bytes : b->effort->workspace_bytes;
    step->piece_bytes = half / size * size > size ? half / size * size : size;
    half = round_up(step->piece_bytes, 64);
    step->staging = fuse_build_add_bytes(b, 's', FUSE_MEM_DEVICE, 2 * half);
    step->pinned = fuse_build_add_bytes(b, 's', FUSE_MEM_PINNED, 2 * half);
}

void fuse_build_add_region(struct build *b, int region) {
    if (b->loop >= 0) {
        fuse_vec_push(b->plan->arena, &b->body, region);
        return;
    }
    if (b->recursion >= 0 && !b->hoists)
        fuse_vec_push(b->plan->arena, &b->turn, region);
    else
        fuse_vec_push(b->plan->arena, &b->top, region);
    b->position += !b->hoists;
}

void fuse_build_add_step(struct build *b, struct fuse_step *step) {
    fuse_cost_step(b->plan, step, b->received[step->phase]);
    if (step->kind == FUSE_STEP_MOVE || step->kind == FUSE_STEP_REDUCE)
        add_message_staging(b, step);
    use_buffer(b, step->from);
    use_buffer(b, step->to);
    for (int k = 0; k < FUSE_MAX_INPUTS; k++)
        use_buffer(b, step->in[k]);
    fuse_vec_push(b->plan->arena, &b->plan->steps, *step);
    fuse_vec_push(b->plan->arena, &b->plan->regions,
                  ((struct fuse_region){.kind = FUSE_REGION_STEP, .step = b->plan->steps.n - 1}));
    fuse_build_add_region(b, b->plan->regions.n - 1);
}

int fuse_build_stages(const struct build *b, const struct fuse_step *move) {
    struct fuse_step whole = *move;
    int but_axis = -1;
    if (move->need.loop >= 0) {
        /* A loop that cuts what is dealt would leave a turn's parts to chance. */
        if (b->chain >= 0 || move->need.kind != FUSE_HOLDING_NEED)
            return 0;
        const struct fuse_access *access = &b->plan->ir->ops.at[move->need.op]->input[move->need.input].access;
        for (int a = 0; a < access->rank; a++)
            but_axis = access->at[a].index == move->need.cut ? a : but_axis;
    } else if (move->have.loop >= 0 && move->have.kind != FUSE_HOLDING_RANGES) {
        return 0;
    }
    whole.loop = whole.have.loop = whole.need.loop = -1;
    return fuse_cost_choose_way(b->plan, &whole, but_axis).dealt;
}

void fuse_build_add_move(struct build *b, const struct fuse_step *move) {
    struct fuse_step first = *move, second;
    const int dealt = fuse_build_stages(b, move);
    if (dealt > 0)
        fuse_cost_split_stages(&first, &second, b->plan, move, dealt);
    fuse_build_add_step(b, &first);
    if (dealt > 0)
        fuse_build_add_step(b, &second);
}

/* Opens a loop region; steps added until close_loop are its body. Its number is known from the start, so that holdings
 * can refer to it. */
int fuse_build_open_loop(struct build *b, struct fuse_region loop) {
    loop.kind = FUSE_REGION_LOOP;
    fuse_vec_push(b->plan->arena, &b->plan->regions, loop);
    b->loop = b->plan->regions.n - 1;
    b->body.n = 0;
    return b->loop;
}

/* Of a loop's step: panels are brought, and files read and written, while the loop does everything else. */
static bool is_aside(const struct fuse_plan *plan, const struct fuse_step *step) {
    const struct fuse_buffer *buffer = &plan->buffers.at[step->kind == FUSE_STEP_WRITE ? step->from : step->to];
    return buffer->doubled &&
           (step->kind == FUSE_STEP_READ || step->kind == FUSE_STEP_WRITE || fuse_plan_brings_panels(plan, step));
}

/* Whichever takes longer is what the loop takes: of the other, a part is hidden. */
static void hide(struct build *b, const struct fuse_region *loop) {
    const struct fuse_plan *plan = b->plan;
    struct fuse_cost_aside aside = {0, 0};
    int64_t computing = 0;
    for (int i = 0; i < loop->count; i++) {
        const struct fuse_step *step = &plan->steps.at[plan->regions.at[plan->child.at[loop->first + i]].step];
        int64_t *sum = is_aside(plan, step) ? &aside.time_ps : &computing;
        *sum = fuse_sat_add(*sum, step->time_ps);
        if (is_aside(plan, step) && step->kind == FUSE_STEP_MOVE)
            aside.processor_ps = fuse_sat_add(aside.processor_ps, fuse_cost_step_processor_ps(plan, step));
    }
    const int64_t all = fuse_sat_add(computing, aside.time_ps);
    const int64_t hidden = all - fuse_cost_beside_ps(loop->turns, computing, aside);
    const bool hides_aside = aside.time_ps <= computing;
    const int64_t less = hides_aside ? aside.time_ps : computing;
    for (int i = 0; i < loop->count && hidden > 0; i++) {
        struct fuse_step *step = &plan->steps.at[plan->regions.at[plan->child.at[loop->first + i]].step];
        if (is_aside(plan, step) == hides_aside)
            step->hidden_ps = (int64_t)((__int128)hidden * step->time_ps / less);
    }
}

void fuse_build_close_loop(struct build *b) {
    struct fuse_region *loop = &b->plan->regions.at[b->loop];
    loop->first = b->plan->child.n;
    loop->count = b->body.n;
    int number = b->loop;
    for (int i = 0; i < b->body.n; i++)
        fuse_vec_push(b->plan->arena, &b->plan->child, b->body.at[i]);
    hide(b, loop);
    b->loop = -1;
    fuse_build_add_region(b, number);
}

struct fuse_holding fuse_build_layout_holding(int value, const struct fuse_layout *layout) {
    return (struct fuse_holding){.kind = FUSE_HOLDING_LAYOUT, .value = value, .layout = *layout, .loop = -1};
}

/* What is there of a value at a turn: inside the loop of the chain that makes it, a slab. */
struct fuse_holding fuse_build_slab_holding(const struct build *b, int value, const struct fuse_layout *layout) {
    struct fuse_holding held = fuse_build_layout_holding(value, layout);
    const struct fuse_plan *plan = b->plan;
    if (b->chain >= 0 && plan->slab_axis[value] >= 0 && plan->chain[plan->ir->values.at[value].op] == b->chain) {
        held.loop = b->loop;
        held.cut = plan->slab_axis[value];
    }
    return held;
}

/* What its buffer holds: a slab if nobody outside the chain uses the value, else all of it. */
struct fuse_holding fuse_build_buffer_holding(const struct build *b, int value, const struct fuse_layout *layout) {
    return b->plan->inner[value] ? fuse_build_slab_holding(b, value, layout) : fuse_build_layout_holding(value, layout);
}

/* ---- files ---------------------------------------------------------------------------------------------------- */

/* Opens a slab loop when the file ranges are larger than the workspace; returns the loop or -1. */
static int open_slabs(struct build *b, const struct fuse_holding *ranges) {
    int64_t bytes = fuse_sat_mul(fuse_holding_max_elems(b->plan, ranges), fuse_build_dtype_bytes(b, ranges->value));
    int64_t turns = (bytes + b->effort->workspace_bytes - 1) / b->effort->workspace_bytes;
    if (turns <= 1)
        return -1;
    return fuse_build_open_loop(
        b, (struct fuse_region){.loop = FUSE_LOOP_SLAB, .op = -1, .index = -1, .skew_input = -1, .turns = turns});
}

void fuse_build_load_value(struct build *b, int value) {
    struct fuse_plan *plan = b->plan;
    if (b->value_buffer[value] >= 0 || b->nowhere[value] || plan->streamed[value] || fuse_is_relation(plan->ir, value))
        return;
    int number = plan->ir->values.at[value].op;
    const struct fuse_op *op = plan->ir->ops.at[number];
    struct fuse_holding held = fuse_build_layout_holding(value, &plan->layout[value]);
    bool reversed = op->kind == FUSE_OP_SOURCE && op->probe.reversed;
    if (op->kind == FUSE_OP_LITERAL || fuse_cost_file_direct(plan, value, &plan->layout[value], reversed)) {
        struct fuse_step step = fuse_build_new_step(b, op->kind == FUSE_OP_LITERAL ? FUSE_STEP_LITERAL : FUSE_STEP_READ,
                                                    FUSE_PHASE_LOAD, number);
        step.to = b->value_buffer[value] = fuse_build_add_buffer(b, 'v', &held);
        step.need = held;
        fuse_build_add_file_staging(b, &step, step.to);
        fuse_build_add_step(b, &step);
        return;
    }
    b->value_buffer[value] = fuse_build_add_buffer(b, 'v', &held);
    struct fuse_holding ranges = fuse_cost_file_ranges(b->plan, value, reversed);
    ranges.loop = open_slabs(b, &ranges);
    struct fuse_step read = fuse_build_new_step(b, FUSE_STEP_READ, FUSE_PHASE_LOAD, number);
    read.need = ranges;
    read.to = fuse_build_add_buffer(b, 'f', &ranges);
    fuse_build_add_file_staging(b, &read, read.to);
    fuse_build_add_step(b, &read);
    struct fuse_step move = fuse_build_new_step(b, FUSE_STEP_MOVE, FUSE_PHASE_LOAD, number);
    move.from = read.to;
    move.to = b->value_buffer[value];
    move.have = ranges;
    move.need = held;
    const int dealt = fuse_build_stages(b, &move);
    struct fuse_step second;
    if (dealt > 0)
        fuse_cost_split_stages(&move, &second, b->plan, &move, dealt);
    fuse_build_add_step(b, &move);
    if (ranges.loop >= 0)
        fuse_build_close_loop(b);
    second.loop = -1; /* when all of the file is there */
    if (dealt > 0)
        fuse_build_add_step(b, &second);
}

static void store_sink(struct build *b, int number) {
    struct fuse_plan *plan = b->plan;
    const struct fuse_op *op = plan->ir->ops.at[number];
    int value = op->input[0].value;
    if (fuse_is_relation(plan->ir, value)) {
        fuse_build_list(b, number);
        return;
    }
    struct fuse_holding held = fuse_build_layout_holding(value, &plan->layout[value]);
    if (!op->path) {
        struct fuse_step print = fuse_build_new_step(b, FUSE_STEP_PRINT, FUSE_PHASE_STORE, number);
        print.from = b->value_buffer[value];
        print.have = held;
        fuse_build_add_file_staging(b, &print, print.from);
        fuse_build_add_step(b, &print);
        return;
    }
    struct fuse_step write = fuse_build_new_step(b, FUSE_STEP_WRITE, FUSE_PHASE_STORE, number);
    if (fuse_cost_file_direct(plan, value, &plan->layout[value], false)) {
        write.from = b->value_buffer[value];
        write.have = held;
        fuse_build_add_file_staging(b, &write, write.from);
        fuse_build_add_step(b, &write);
        return;
    }
    struct fuse_holding ranges = fuse_cost_file_ranges(b->plan, value, false);
    ranges.loop = open_slabs(b, &ranges);
    struct fuse_step move = fuse_build_new_step(b, FUSE_STEP_MOVE, FUSE_PHASE_STORE, number);
    move.from = b->value_buffer[value];
    move.have = held;
    move.need = ranges;
    move.to = fuse_build_add_buffer(b, 'f', &ranges);
    fuse_build_add_step(b, &move);
    write = fuse_build_new_step(b, FUSE_STEP_WRITE, FUSE_PHASE_STORE, number);
    write.from = move.to;
    write.have = ranges;
    fuse_build_add_file_staging(b, &write, write.from);
    fuse_build_add_step(b, &write);
    if (ranges.loop >= 0)
        fuse_build_close_loop(b);
}

/* The members of a chain are neighbours in plan->order. */
static int last_of_chain(const struct fuse_plan *plan, int position) {
    int chain = plan->chain[plan->order[position]];
    while (position + 1 < plan->ir->ops.n && plan->chain[plan->order[position + 1]] == chain)
        position++;
    return position;
}

void fuse_plan_build(struct fuse_plan *plan, const struct fuse_plan_effort *effort,
                     const struct fuse_plan_choice *choice) {
    const struct fuse_ir *ir = plan->ir;
    struct build b = {.plan = plan, .effort = effort, .choice = choice, .loop = -1, .chain = -1, .recursion = -1};
    b.value_buffer = FUSE_NEW_ARRAY(plan->arena, int, ir->values.n + 1);
    b.first = FUSE_NEW_ARRAY(plan->arena, int, ir->values.n + 1);
    b.last = FUSE_NEW_ARRAY(plan->arena, int, ir->values.n + 1);
    b.stored = FUSE_NEW_ARRAY(plan->arena, bool, ir->values.n + 1);
    fuse_plan_lifetime(plan, b.first, b.last);
    fuse_plan_list_users(plan, &b.user_begin, &b.user);
    for (int o = 0; o < ir->ops.n; o++)
        for (int k = 0; ir->ops.at[o]->kind == FUSE_OP_SINK && k < ir->ops.at[o]->inputs; k++)
            b.stored[ir->ops.at[o]->input[k].value] = true;
    fuse_build_mark_again(&b);
    for (int v = 0; v < ir->values.n; v++)
        b.value_buffer[v] = -1;
    for (int p = 0; p < FUSE_PHASES; p++)
        b.received[p] = FUSE_NEW_ARRAY(plan->arena, int64_t, plan->mesh.ranks);
    if (!effort->lazy)
        for (int o = 0; o < ir->ops.n; o++)
            if (ir->ops.at[o]->kind == FUSE_OP_SOURCE || ir->ops.at[o]->kind == FUSE_OP_LITERAL)
                fuse_build_load_value(&b, ir->ops.at[o]->out);
    for (int at = 0; at < ir->ops.n; at++) {
        int o = plan->order[at];
        enum fuse_op_kind kind = ir->ops.at[o]->kind;
        if (plan->chain[o] >= 0) {
            int last = last_of_chain(plan, at);
            fuse_build_emit_chain(&b, at, last);
            at = last;
        } else if (plan->recursion[o] >= 0) {
            int last = fuse_plan_recursion_end(plan, at);
            fuse_build_emit_recursion(&b, at, last);
            at = last;
        } else if (kind == FUSE_OP_EINSUM || kind == FUSE_OP_MAP || kind == FUSE_OP_JOIN || kind == FUSE_OP_ATTENTION) {
            fuse_build_emit_operation(&b, o);
        } else if (kind == FUSE_OP_SPARSIFY) {
            fuse_build_sparsify(&b, o);
        } else if (kind == FUSE_OP_RULES) {
            fuse_build_rules(&b, o);
        }
        for (int k = 0; kind == FUSE_OP_SINK && plan->chain[o] < 0 && effort->lazy && k < ir->ops.at[o]->inputs; k++) {
            fuse_build_load_value(&b, ir->ops.at[o]->input[k].value);
            store_sink(&b, o);
        }
    }
    for (int o = 0; o < ir->ops.n && !effort->lazy; o++)
        if (ir->ops.at[o]->kind == FUSE_OP_SINK && plan->chain[o] < 0)
            store_sink(&b, o);

    struct fuse_region root = {.kind = FUSE_REGION_SEQ, .first = plan->child.n, .count = b.top.n, .skew_input = -1};
    for (int i = 0; i < b.top.n; i++)
        fuse_vec_push(plan->arena, &plan->child, b.top.at[i]);
    fuse_vec_push(plan->arena, &plan->regions, root);
    plan->root = plan->regions.n - 1;

    for (int i = 0; i < plan->steps.n; i++) {
        const struct fuse_step *step = &plan->steps.at[i];
        plan->received_bytes_total[step->phase] =
            fuse_sat_add(plan->received_bytes_total[step->phase], step->received_bytes_total);
        plan->flops_max = fuse_sat_add(plan->flops_max, step->flops_max);
        plan->time_ps = fuse_sat_add(plan->time_ps, step->time_ps - step->hidden_ps);
    }
    for (int p = 0; p < FUSE_PHASES; p++)
        for (int rank = 0; rank < plan->mesh.ranks; rank++)
            if (b.received[p][rank] > plan->received_bytes_max[p])
                plan->received_bytes_max[p] = b.received[p][rank];
}
