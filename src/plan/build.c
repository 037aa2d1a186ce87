#include "plan/build.h"

#include "plan/chain.h"
#include "plan/cost.h"

#include <string.h>

#define PANEL_MIN 512                       /* contracted positions a panel keeps when memory allows */
#define PANEL_BYTES ((int64_t)16 << 20)     /* gathered bytes of a panel that are worth having at once */
#define PIECE_MIN_BYTES ((int64_t)64 << 10) /* messages are not cut below this unless the workspace is smaller */

struct build {
    struct fuse_plan *plan;
    const struct fuse_plan_effort *effort;
    const struct fuse_plan_choice *choice;
    int *value_buffer;              /* [values], -1: not there yet */
    int *first, *last;              /* [values] lifetimes, positions in plan->order */
    bool *stored;                   /* [values] a sink reads it, perhaps after everything else */
    FUSE_VEC(int) top;              /* regions of the root sequence */
    int position;                   /* of the next region in it */
    FUSE_VEC(int) body;             /* regions of the loop being built */
    int loop;                       /* region number of that loop, or -1 */
    int chain;                      /* whose loop it is, or -1 */
    int64_t *received[FUSE_PHASES]; /* [ranks] bytes so far */
    FUSE_VEC(int) gathered;         /* MOVE steps whose results may serve later operations too */
};

static int64_t dtype_bytes(const struct build *b, int value) {
    return (int64_t)fuse_dtype_bytes(b->plan->ir->values.at[value].dtype);
}

static enum fuse_memkind tensor_kind(const struct build *b) {
    return b->plan->request.machine.kind;
}

/* ---- buffers and steps ---------------------------------------------------------------------------------------- */

static int add_buffer(struct build *b, char role, const struct fuse_holding *holding) {
    struct fuse_buffer buffer = {.value = holding->value,
                                 .dtype = b->plan->ir->values.at[holding->value].dtype,
                                 .kind = tensor_kind(b),
                                 .holding = *holding,
                                 .first = b->position,
                                 .last = b->position,
                                 .role = role};
    buffer.bytes = fuse_sat_mul(fuse_holding_max_elems(b->plan, holding), dtype_bytes(b, holding->value));
    fuse_vec_push(b->plan->arena, &b->plan->buffers, buffer);
    return b->plan->buffers.n - 1;
}

static int add_staging(struct build *b, enum fuse_memkind kind, int64_t bytes) {
    struct fuse_buffer buffer = {.value = -1,
                                 .dtype = FUSE_U8,
                                 .kind = kind,
                                 .bytes = bytes,
                                 .first = b->position,
                                 .last = b->position,
                                 .role = 's'};
    fuse_vec_push(b->plan->arena, &b->plan->buffers, buffer);
    return b->plan->buffers.n - 1;
}

static void use_buffer(struct build *b, int buffer) {
    if (buffer >= 0 && b->plan->buffers.at[buffer].last < b->position)
        b->plan->buffers.at[buffer].last = b->position;
}

static struct fuse_step new_step(const struct build *b, enum fuse_step_kind kind, enum fuse_phase phase, int op) {
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
    int64_t size = dtype_bytes(b, step->have.value), half = b->effort->workspace_bytes;
    int64_t peers = step->kind == FUSE_STEP_REDUCE ? b->plan->mesh.dim[step->dim] - 1 : 1;
    bool device = tensor_kind(b) == FUSE_MEM_DEVICE;
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
    step->staging = add_staging(b, tensor_kind(b), 2 * half);
    if (device)
        step->pinned = add_staging(b, FUSE_MEM_PINNED, 2 * half);
}

/* With device memory, pieces of files and of what is printed pass through staging. */
static void add_file_staging(struct build *b, struct fuse_step *step, int64_t bytes) {
    int64_t size = dtype_bytes(b, b->plan->buffers.at[step->to >= 0 ? step->to : step->from].value);
    step->piece_bytes = size;
    if (tensor_kind(b) != FUSE_MEM_DEVICE)
        return;
    int64_t half = bytes < b->effort->workspace_bytes ? bytes : b->effort->workspace_bytes;
    step->piece_bytes = half / size * size > size ? half / size * size : size;
    half = round_up(step->piece_bytes, 64);
    step->staging = add_staging(b, FUSE_MEM_DEVICE, 2 * half);
    step->pinned = add_staging(b, FUSE_MEM_PINNED, 2 * half);
}

static void add_region(struct build *b, struct fuse_region region) {
    fuse_vec_push(b->plan->arena, &b->plan->regions, region);
    if (b->loop >= 0) {
        fuse_vec_push(b->plan->arena, &b->body, b->plan->regions.n - 1);
    } else {
        fuse_vec_push(b->plan->arena, &b->top, b->plan->regions.n - 1);
        b->position++;
    }
}

static void add_step(struct build *b, struct fuse_step *step) {
    fuse_cost_step(b->plan, step, b->received[step->phase]);
    if (step->kind == FUSE_STEP_MOVE || step->kind == FUSE_STEP_REDUCE)
        add_message_staging(b, step);
    use_buffer(b, step->from);
    use_buffer(b, step->to);
    for (int k = 0; k < FUSE_MAX_INPUTS; k++)
        use_buffer(b, step->in[k]);
    fuse_vec_push(b->plan->arena, &b->plan->steps, *step);
    add_region(b, (struct fuse_region){.kind = FUSE_REGION_STEP, .step = b->plan->steps.n - 1});
}

/* Opens a loop region; steps added until close_loop are its body. Its number is known from the start, so that holdings
 * can refer to it. */
static int open_loop(struct build *b, struct fuse_region loop) {
    loop.kind = FUSE_REGION_LOOP;
    fuse_vec_push(b->plan->arena, &b->plan->regions, loop);
    b->loop = b->plan->regions.n - 1;
    b->body.n = 0;
    return b->loop;
}

static void close_loop(struct build *b) {
    struct fuse_region *loop = &b->plan->regions.at[b->loop];
    loop->first = b->plan->child.n;
    loop->count = b->body.n;
    int number = b->loop;
    for (int i = 0; i < b->body.n; i++)
        fuse_vec_push(b->plan->arena, &b->plan->child, b->body.at[i]);
    b->loop = -1;
    fuse_vec_push(b->plan->arena, &b->top, number);
    b->position++;
}

static struct fuse_holding layout_holding(int value, const struct fuse_layout *layout) {
    return (struct fuse_holding){.kind = FUSE_HOLDING_LAYOUT, .value = value, .layout = *layout, .loop = -1};
}

/* What is there of a value at a turn: inside the loop of the chain that makes it, a slab. */
static struct fuse_holding slab_holding(const struct build *b, int value, const struct fuse_layout *layout) {
    struct fuse_holding held = layout_holding(value, layout);
    const struct fuse_plan *plan = b->plan;
    if (b->chain >= 0 && plan->slab_axis[value] >= 0 && plan->chain[plan->ir->values.at[value].op] == b->chain) {
        held.loop = b->loop;
        held.cut = plan->slab_axis[value];
    }
    return held;
}

/* What its buffer holds: a slab if nobody outside the chain uses the value, else all of it. */
static struct fuse_holding buffer_holding(const struct build *b, int value, const struct fuse_layout *layout) {
    return b->plan->inner[value] ? slab_holding(b, value, layout) : layout_holding(value, layout);
}

/* ---- files ---------------------------------------------------------------------------------------------------- */

/* Opens a slab loop when the file ranges are larger than the workspace; returns the loop or -1. */
static int open_slabs(struct build *b, const struct fuse_holding *ranges) {
    int64_t bytes = fuse_sat_mul(fuse_holding_max_elems(b->plan, ranges), dtype_bytes(b, ranges->value));
    int64_t turns = (bytes + b->effort->workspace_bytes - 1) / b->effort->workspace_bytes;
    if (turns <= 1)
        return -1;
    return open_loop(
        b, (struct fuse_region){.loop = FUSE_LOOP_SLAB, .op = -1, .index = -1, .skew_input = -1, .turns = turns});
}

static void load_value(struct build *b, int value) {
    struct fuse_plan *plan = b->plan;
    if (b->value_buffer[value] >= 0)
        return;
    int number = plan->ir->values.at[value].op;
    const struct fuse_op *op = plan->ir->ops.at[number];
    struct fuse_holding held = layout_holding(value, &plan->layout[value]);
    bool reversed = op->kind == FUSE_OP_SOURCE && op->probe.reversed;
    if (op->kind == FUSE_OP_LITERAL || fuse_cost_file_direct(plan, value, &plan->layout[value], reversed)) {
        struct fuse_step step =
            new_step(b, op->kind == FUSE_OP_LITERAL ? FUSE_STEP_LITERAL : FUSE_STEP_READ, FUSE_PHASE_LOAD, number);
        step.to = b->value_buffer[value] = add_buffer(b, 'v', &held);
        step.need = held;
        add_file_staging(b, &step, plan->buffers.at[step.to].bytes);
        add_step(b, &step);
        return;
    }
    b->value_buffer[value] = add_buffer(b, 'v', &held);
    struct fuse_holding ranges = fuse_cost_file_ranges(b->plan, value, reversed);
    ranges.loop = open_slabs(b, &ranges);
    struct fuse_step read = new_step(b, FUSE_STEP_READ, FUSE_PHASE_LOAD, number);
    read.need = ranges;
    read.to = add_buffer(b, 'f', &ranges);
    add_file_staging(b, &read, plan->buffers.at[read.to].bytes);
    add_step(b, &read);
    struct fuse_step move = new_step(b, FUSE_STEP_MOVE, FUSE_PHASE_LOAD, number);
    move.from = read.to;
    move.to = b->value_buffer[value];
    move.have = ranges;
    move.need = held;
    add_step(b, &move);
    if (ranges.loop >= 0)
        close_loop(b);
}

static void store_sink(struct build *b, int number) {
    struct fuse_plan *plan = b->plan;
    const struct fuse_op *op = plan->ir->ops.at[number];
    int value = op->input[0].value;
    struct fuse_holding held = layout_holding(value, &plan->layout[value]);
    if (!op->path) {
        struct fuse_step print = new_step(b, FUSE_STEP_PRINT, FUSE_PHASE_STORE, number);
        print.from = b->value_buffer[value];
        print.have = held;
        add_file_staging(b, &print, plan->buffers.at[print.from].bytes);
        add_step(b, &print);
        return;
    }
    struct fuse_step write = new_step(b, FUSE_STEP_WRITE, FUSE_PHASE_STORE, number);
    if (fuse_cost_file_direct(plan, value, &plan->layout[value], false)) {
        write.from = b->value_buffer[value];
        write.have = held;
        add_file_staging(b, &write, plan->buffers.at[write.from].bytes);
        add_step(b, &write);
        return;
    }
    struct fuse_holding ranges = fuse_cost_file_ranges(b->plan, value, false);
    ranges.loop = open_slabs(b, &ranges);
    struct fuse_step move = new_step(b, FUSE_STEP_MOVE, FUSE_PHASE_STORE, number);
    move.from = b->value_buffer[value];
    move.have = held;
    move.need = ranges;
    move.to = add_buffer(b, 'f', &ranges);
    add_step(b, &move);
    write = new_step(b, FUSE_STEP_WRITE, FUSE_PHASE_STORE, number);
    write.from = move.to;
    write.have = ranges;
    add_file_staging(b, &write, plan->buffers.at[write.from].bytes);
    add_step(b, &write);
    if (ranges.loop >= 0)
        close_loop(b);
}

/* ---- operations ----------------------------------------------------------------------------------------------- */

struct gather {
    bool needed;
    bool looped;   /* the box shrinks with the turn of the panel loop */
    int64_t bytes; /* of the whole box */
};

static bool reads_index(const struct fuse_use *use, int index) {
    for (int a = 0; a < use->access.rank; a++)
        if (use->access.at[a].index == index)
            return true;
    return false;
}

static bool is_projected(const struct fuse_plan *plan, const struct fuse_op *op, int index) {
    for (int a = 0; a < plan->ir->values.at[op->out].rank; a++)
        if (op->out_index[a] == index)
            return false;
    return true;
}

static int64_t local_extent(const struct fuse_plan *plan, int number, int index) {
    int64_t parts = fuse_layout_parts(&plan->partition[number], &plan->mesh, index);
    return (plan->ir->ops.at[number]->extent[index] + parts - 1) / parts;
}

/* Bytes of buffers that are alive at this position, or would be without an operation's own. */
static int64_t alive_bytes(const struct build *b, int number) {
    const struct fuse_plan *plan = b->plan;
    int64_t bytes = 0;
    for (int v = 0; v < plan->ir->values.n; v++)
        if (b->value_buffer[v] >= 0 && !plan->inner[v] && b->last[v] >= plan->position[number])
            bytes = fuse_sat_add(bytes, plan->buffers.at[b->value_buffer[v]].bytes);
    return bytes;
}

/* The index to run a panel loop over, and the turns; turns 1 means no loop. */
static int64_t choose_panels(const struct build *b, int number, const struct gather *gather, int64_t out_bytes,
                             int *index) {
    const struct fuse_plan *plan = b->plan;
    const struct fuse_op *op = plan->ir->ops.at[number];
    int64_t total = 0, best = 0;
    *index = -1;
    for (int k = 0; k < op->inputs; k++)
        total = fuse_sat_add(total, gather[k].needed ? gather[k].bytes : 0);
    if (total == 0)
        return 1;
    /* The index that shrinks most of what is gathered; a projected one if it comes near. */
    for (int i = 0; i < op->indices; i++) {
        int64_t shrinks = 0;
        for (int k = 0; k < op->inputs; k++)
            if (gather[k].needed && reads_index(&op->input[k], i))
                shrinks = fuse_sat_add(shrinks, gather[k].bytes);
        int64_t extent = local_extent(plan, number, i);
        shrinks -= shrinks / (extent > 0 ? extent : 1);
        if (is_projected(plan, op, i))
            shrinks = fuse_sat_add(shrinks, shrinks / 2);
        if (shrinks > best) {
            best = shrinks;
            *index = i;
        }
    }
    if (*index < 0)
        return 1;
    int64_t extent = local_extent(plan, number, *index), turns = 1;
    if (op->kind == FUSE_OP_EINSUM && is_projected(plan, op, *index)) {
        turns = (total + PANEL_BYTES - 1) / PANEL_BYTES;
        turns = turns < extent / PANEL_MIN ? turns : extent / PANEL_MIN;
    }
    if (b->effort->budget_bytes != INT64_MAX) {
        int64_t fixed = fuse_sat_add(alive_bytes(b, number), out_bytes), panel = 0;
        fixed = fuse_sat_add(fixed, 2 * b->effort->workspace_bytes);
        for (int k = 0; k < op->inputs; k++) {
            if (!gather[k].needed)
                continue;
            if (reads_index(&op->input[k], *index))
                panel = fuse_sat_add(panel, gather[k].bytes);
            else
                fixed = fuse_sat_add(fixed, gather[k].bytes);
        }
        int64_t room = b->effort->budget_bytes - fixed;
        int64_t wanted = room <= panel / extent ? extent : (panel + room - 1) / room;
        /* a little more than panel / room, for panels are rounded up to whole positions */
        if (wanted > 1)
            wanted += wanted / 8;
        turns = wanted > turns ? wanted : turns;
    }
    if (plan->request.panels > 0)
        turns = plan->request.panels;
    turns = turns < 1 ? 1 : turns;
    return turns < extent ? turns : extent;
}

/* The input whose owners the ranks should visit in different order: gathered, split along the loop's index. */
static int choose_skew(const struct fuse_plan *plan, const struct fuse_op *op, const struct gather *gather, int index) {
    int best = -1;
    for (int k = 0; k < op->inputs; k++) {
        const struct fuse_use *use = &op->input[k];
        bool split = false;
        for (int a = 0; a < use->access.rank; a++)
            split |= use->access.at[a].index == index && use->access.at[a].stride == 1 &&
                     !fuse_access_is_paired(&use->access.at[a]) &&
                     fuse_layout_parts(&plan->layout[use->value], &plan->mesh, a) > 1;
        if (gather[k].needed && split && (best < 0 || gather[k].bytes > gather[best].bytes))
            best = k;
    }
    return best;
}

/* true when every rank that is used has a part of the iteration, so that it needs something. */
static bool all_need(const struct fuse_plan *plan, const struct fuse_holding *need) {
    const struct fuse_op *op = plan->ir->ops.at[need->op];
    for (int i = 0; i < op->indices; i++)
        if (fuse_layout_parts(&need->layout, &plan->mesh, i) > op->extent[i])
            return false;
    return true;
}

/* true when every rank needs the same box of a value for both holdings: they read it alike, along indices that are split
 * alike. */
static bool need_the_same(const struct fuse_plan *plan, const struct fuse_holding *x, const struct fuse_holding *y) {
    const struct fuse_op *p = plan->ir->ops.at[x->op], *q = plan->ir->ops.at[y->op];
    const struct fuse_access *f = &p->input[x->input].access, *g = &q->input[y->input].access;
    bool same = x->value == y->value && all_need(plan, x);
    for (int a = 0; a < f->rank && same; a++) {
        const struct fuse_access_axis *i = &f->at[a], *j = &g->at[a];
        same = (i->index < 0) == (j->index < 0) && i->stride == j->stride && i->offset == j->offset &&
               i->divide == j->divide && i->modulo == j->modulo;
        if (!same || i->index < 0)
            continue;
        same = p->extent[i->index] == q->extent[j->index];
        for (int d = 0; d < plan->mesh.dims && same; d++)
            same = (x->layout.axis[d] == i->index) == (y->layout.axis[d] == j->index) &&
                   (x->layout.axis[d] != i->index || x->layout.level[d] == y->layout.level[d]);
    }
    return same;
}

/* What an earlier operation has gathered and this one needs as well, or -1. It costs memory between the two, so it is for
 * programs that have enough. */
static int gathered_before(const struct build *b, const struct fuse_holding *need) {
    for (int i = 0; i < b->gathered.n && b->effort->budget_bytes == INT64_MAX; i++) {
        const struct fuse_step *step = &b->plan->steps.at[b->gathered.at[i]];
        if (need_the_same(b->plan, &step->need, need))
            return step->to;
    }
    return -1;
}

static int gather_input(struct build *b, int number, int k, int loop, int cut) {
    struct fuse_plan *plan = b->plan;
    const struct fuse_use *use = &plan->ir->ops.at[number]->input[k];
    struct fuse_step move = new_step(b, FUSE_STEP_MOVE, FUSE_PHASE_RUN, number);
    move.from = b->value_buffer[use->value];
    move.have = slab_holding(b, use->value, &plan->layout[use->value]);
    move.need = (struct fuse_holding){.kind = FUSE_HOLDING_NEED,
                                      .value = use->value,
                                      .layout = plan->partition[number],
                                      .op = number,
                                      .input = k,
                                      .loop = loop,
                                      .cut = cut};
    int before = loop < 0 ? gathered_before(b, &move.need) : -1;
    if (before >= 0)
        return before;
    move.to = add_buffer(b, 'g', &move.need);
    add_step(b, &move);
    if (loop < 0)
        fuse_vec_push(b->plan->arena, &b->gathered, b->plan->steps.n - 1);
    return move.to;
}

static struct fuse_step compute_step(const struct build *b, int number, int to) {
    const struct fuse_op *op = b->plan->ir->ops.at[number];
    struct fuse_step step =
        new_step(b, op->kind == FUSE_OP_EINSUM ? FUSE_STEP_CONTRACT : FUSE_STEP_MAP, FUSE_PHASE_RUN, number);
    for (int k = 0; k < op->inputs; k++)
        step.in[k] = b->value_buffer[op->input[k].value];
    step.partition = b->plan->partition[number];
    step.to = to;
    return step;
}

static bool needs_gather(const struct fuse_plan *plan, int number, int k) {
    return fuse_cost_needs_gather(plan, number, k, &plan->partition[number],
                                  &plan->layout[plan->ir->ops.at[number]->input[k].value]);
}

static void compute(struct build *b, int number, int to, int64_t out_bytes) {
    struct fuse_plan *plan = b->plan;
    const struct fuse_op *op = plan->ir->ops.at[number];
    const struct fuse_layout *partition = &plan->partition[number];
    struct gather gather[FUSE_MAX_INPUTS] = {{0}};
    struct fuse_step step = compute_step(b, number, to);
    for (int k = 0; k < op->inputs; k++) {
        int v = op->input[k].value;
        gather[k].needed = needs_gather(plan, number, k);
        struct fuse_holding need = {
            .kind = FUSE_HOLDING_NEED, .value = v, .layout = *partition, .op = number, .input = k, .loop = -1};
        gather[k].bytes = fuse_sat_mul(fuse_holding_max_elems(plan, &need), dtype_bytes(b, v));
    }
    int index;
    int64_t turns = choose_panels(b, number, gather, out_bytes, &index);
    for (int k = 0; k < op->inputs; k++) {
        gather[k].looped = gather[k].needed && turns > 1 && reads_index(&op->input[k], index);
        if (gather[k].needed && !gather[k].looped)
            step.in[k] = gather_input(b, number, k, -1, -1);
    }
    if (turns > 1) {
        struct fuse_region loop = {
            .loop = FUSE_LOOP_PANEL, .op = number, .index = index, .partition = *partition, .turns = turns};
        loop.skew_input = choose_skew(plan, op, gather, index);
        loop.skew_layout =
            loop.skew_input >= 0 ? plan->layout[op->input[loop.skew_input].value] : fuse_layout_replicated();
        int region = open_loop(b, loop);
        for (int k = 0; k < op->inputs; k++)
            if (gather[k].looped)
                step.in[k] = gather_input(b, number, k, region, index);
        /* The buffers that wait outside are used as long as the loop runs, which is one position. */
        step.loop = region;
        step.cut = index;
        step.accumulate = is_projected(plan, op, index);
    }
    add_step(b, &step);
    if (turns > 1)
        close_loop(b);
}

/* ---- results -------------------------------------------------------------------------------------------------- */

/* How the result of an operation becomes its value. Reducing everywhere leaves the block as it was: the partial buffer
 * becomes the value's. */
static bool ends_in_place(const struct build *b, int number) {
    const struct fuse_plan *plan = b->plan;
    const struct fuse_layout *natural = &b->choice[number].natural, *reduced = &b->choice[number].reduced;
    const struct fuse_layout *final = &plan->layout[plan->ir->ops.at[number]->out];
    bool all_reduced = fuse_layout_equal(reduced, final);
    for (int d = 0; d < plan->mesh.dims; d++)
        all_reduced &= natural->axis[d] != FUSE_PARTIAL || reduced->axis[d] == FUSE_REPLICATED;
    return all_reduced || fuse_layout_equal(natural, final);
}

static bool reads_identically(const struct fuse_op *op, const struct fuse_use *use, int rank) {
    bool same = use->access.rank == rank;
    for (int a = 0; same && a < rank; a++)
        same = use->access.at[a].index == op->out_index[a] && use->access.at[a].stride == 1 &&
               use->access.at[a].offset == 0;
    return same;
}

/* The operand that a map may write its result over: nobody reads it afterwards, and the map reads it nowhere but at the
 * place of the result. A value, or -1 if there is none. */
static int operand_to_overwrite(const struct build *b, int number) {
    const struct fuse_plan *plan = b->plan;
    const struct fuse_op *op = plan->ir->ops.at[number];
    const struct fuse_value *out = &plan->ir->values.at[op->out];
    const struct fuse_layout *natural = &b->choice[number].natural;
    if (op->kind != FUSE_OP_MAP || op->reduce != FUSE_REDUCE_NONE ||
        !fuse_layout_equal(natural, &plan->layout[op->out]))
        return -1;
    for (int k = 0; k < op->inputs; k++) {
        int v = op->input[k].value;
        const struct fuse_value *value = &plan->ir->values.at[v];
        bool ours = value->dtype == out->dtype && !b->stored[v] && b->last[v] == plan->position[number] &&
                    fuse_layout_equal(&plan->layout[v], natural) && plan->inner[v] == plan->inner[op->out] &&
                    (b->chain < 0 || plan->inner[v]);
        for (int j = 0; j < op->inputs && ours; j++)
            ours = op->input[j].value != v ||
                   (reads_identically(op, &op->input[j], out->rank) && !needs_gather(plan, number, j));
        if (ours)
            return v;
    }
    return -1;
}

static int add_result_buffer(struct build *b, int number) {
    int value = b->plan->ir->ops.at[number]->out, overwritten = operand_to_overwrite(b, number);
    const struct fuse_layout *natural = &b->choice[number].natural;
    bool in_place = ends_in_place(b, number);
    if (overwritten >= 0)
        return b->value_buffer[overwritten];
    struct fuse_holding held = in_place ? buffer_holding(b, value, natural) : slab_holding(b, value, natural);
    return add_buffer(b, in_place ? 'v' : 'p', &held);
}

/* Reduces partial results, and moves them to the value's layout if that is another. */
static void finish(struct build *b, int number, int to) {
    struct fuse_plan *plan = b->plan;
    const struct fuse_op *op = plan->ir->ops.at[number];
    const struct fuse_layout *reduced = &b->choice[number].reduced, *final = &plan->layout[op->out];
    struct fuse_layout now = b->choice[number].natural;
    for (int level = 0; level < plan->mesh.dims; level++)
        for (int d = 0; d < plan->mesh.dims; d++) {
            /* Outer levels first, so that each step splits what the one before has left. */
            if (now.axis[d] != FUSE_PARTIAL || reduced->level[d] > level)
                continue;
            struct fuse_step reduce = new_step(b, FUSE_STEP_REDUCE, FUSE_PHASE_RUN, number);
            reduce.from = reduce.to = to;
            reduce.dim = d;
            reduce.have = slab_holding(b, op->out, &now);
            now.axis[d] = reduced->axis[d];
            now.level[d] = reduced->level[d];
            reduce.need = slab_holding(b, op->out, &now);
            add_step(b, &reduce);
        }
    if (ends_in_place(b, number)) {
        plan->buffers.at[to].holding.layout = *final;
        b->value_buffer[op->out] = to;
        return;
    }
    struct fuse_step move = new_step(b, FUSE_STEP_MOVE, FUSE_PHASE_RUN, number);
    move.from = to;
    move.have = slab_holding(b, op->out, reduced);
    move.need = slab_holding(b, op->out, final);
    struct fuse_holding held = buffer_holding(b, op->out, final);
    move.to = b->value_buffer[op->out] = add_buffer(b, 'v', &held);
    add_step(b, &move);
}

static void emit_operation(struct build *b, int number) {
    const struct fuse_op *op = b->plan->ir->ops.at[number];
    for (int k = 0; k < op->inputs; k++)
        load_value(b, op->input[k].value);
    int to = add_result_buffer(b, number);
    compute(b, number, to, b->plan->buffers.at[to].bytes);
    finish(b, number, to);
}

/* ---- chains --------------------------------------------------------------------------------------------------- */

/* The members of a chain are neighbours in plan->order. */
static int last_of_chain(const struct fuse_plan *plan, int position) {
    int chain = plan->chain[plan->order[position]];
    while (position + 1 < plan->ir->ops.n && plan->chain[plan->order[position + 1]] == chain)
        position++;
    return position;
}

/* What a rank would hold of all that exists as slabs, if it were whole. */
static int64_t slab_bytes(const struct build *b, int first, int last) {
    const struct fuse_plan *plan = b->plan;
    int64_t bytes = 0;
    for (int at = first; at <= last; at++) {
        int number = plan->order[at], value = plan->ir->ops.at[number]->out;
        if (plan->inner[value] && !ends_in_place(b, number))
            bytes = fuse_sat_add(bytes, fuse_cost_block_bytes(plan, value, &plan->layout[value]));
        if ((plan->inner[value] && operand_to_overwrite(b, number) < 0) ||
            (plan->slab_axis[value] >= 0 && !ends_in_place(b, number)))
            bytes = fuse_sat_add(bytes, fuse_cost_block_bytes(plan, value, &b->choice[number].natural));
    }
    return bytes;
}

static void emit_chain(struct build *b, int first, int last) {
    struct fuse_plan *plan = b->plan;
    int members = last - first + 1;
    int *gathered = FUSE_NEW_ARRAY(plan->arena, int, members *FUSE_MAX_INPUTS);
    int *result = FUSE_NEW_ARRAY(plan->arena, int, members);
    for (int at = first; at <= last; at++)
        for (int k = 0; k < plan->ir->ops.at[plan->order[at]]->inputs; k++) {
            int v = plan->ir->ops.at[plan->order[at]]->input[k].value;
            if (plan->chain[plan->ir->values.at[v].op] != plan->chain[plan->order[first]])
                load_value(b, v);
        }
    /* What does not change from slab to slab is gathered once. */
    for (int at = first; at <= last; at++) {
        int number = plan->order[at];
        const struct fuse_op *op = plan->ir->ops.at[number];
        for (int k = 0; k < op->inputs; k++) {
            int *to = &gathered[(at - first) * FUSE_MAX_INPUTS + k];
            *to = -1;
            if (!reads_index(&op->input[k], plan->slab_index[number]) && needs_gather(plan, number, k))
                *to = gather_input(b, number, k, -1, -1);
        }
        /* A result that all slabs are summed into */
        result[at - first] = plan->slab_axis[op->out] < 0 ? add_result_buffer(b, number) : -1;
    }
    struct fuse_region loop = {.loop = FUSE_LOOP_SLAB, .skew_input = -1};
    loop.op = plan->order[first];
    loop.index = plan->slab_index[loop.op];
    loop.partition = plan->partition[loop.op];
    loop.turns = fuse_plan_chain_turns(plan, plan->chain[loop.op], slab_bytes(b, first, last), b->effort->budget_bytes);
    int region = open_loop(b, loop);
    b->chain = plan->chain[loop.op];
    for (int at = first; at <= last; at++) {
        int number = plan->order[at], *to = &result[at - first], index = plan->slab_index[number];
        const struct fuse_op *op = plan->ir->ops.at[number];
        struct fuse_step step = compute_step(b, number, *to);
        for (int k = 0; k < op->inputs; k++) {
            int once = gathered[(at - first) * FUSE_MAX_INPUTS + k];
            if (once >= 0)
                step.in[k] = once;
            else if (needs_gather(plan, number, k))
                step.in[k] = gather_input(b, number, k, region, index);
        }
        step.cut = index;
        step.accumulate = *to >= 0;
        if (*to < 0)
            step.to = add_result_buffer(b, number);
        add_step(b, &step);
        if (*to < 0)
            finish(b, number, step.to);
    }
    b->chain = -1;
    close_loop(b);
    for (int at = first; at <= last; at++)
        if (result[at - first] >= 0)
            finish(b, plan->order[at], result[at - first]);
}

void fuse_plan_build(struct fuse_plan *plan, const struct fuse_plan_effort *effort,
                     const struct fuse_plan_choice *choice) {
    const struct fuse_ir *ir = plan->ir;
    struct build b = {.plan = plan, .effort = effort, .choice = choice, .loop = -1, .chain = -1};
    b.value_buffer = FUSE_NEW_ARRAY(plan->arena, int, ir->values.n + 1);
    b.first = FUSE_NEW_ARRAY(plan->arena, int, ir->values.n + 1);
    b.last = FUSE_NEW_ARRAY(plan->arena, int, ir->values.n + 1);
    b.stored = FUSE_NEW_ARRAY(plan->arena, bool, ir->values.n + 1);
    fuse_plan_lifetime(plan, b.first, b.last);
    for (int o = 0; o < ir->ops.n; o++)
        for (int k = 0; ir->ops.at[o]->kind == FUSE_OP_SINK && k < ir->ops.at[o]->inputs; k++)
            b.stored[ir->ops.at[o]->input[k].value] = true;
    for (int v = 0; v < ir->values.n; v++)
        b.value_buffer[v] = -1;
    for (int p = 0; p < FUSE_PHASES; p++)
        b.received[p] = FUSE_NEW_ARRAY(plan->arena, int64_t, plan->mesh.ranks);
    if (!effort->lazy)
        for (int o = 0; o < ir->ops.n; o++)
            if (ir->ops.at[o]->kind == FUSE_OP_SOURCE || ir->ops.at[o]->kind == FUSE_OP_LITERAL)
                load_value(&b, ir->ops.at[o]->out);
    for (int at = 0; at < ir->ops.n; at++) {
        int o = plan->order[at];
        enum fuse_op_kind kind = ir->ops.at[o]->kind;
        if (plan->chain[o] >= 0) {
            int last = last_of_chain(plan, at);
            emit_chain(&b, at, last);
            at = last;
        } else if (kind == FUSE_OP_EINSUM || kind == FUSE_OP_MAP) {
            emit_operation(&b, o);
        }
        for (int k = 0; kind == FUSE_OP_SINK && effort->lazy && k < ir->ops.at[o]->inputs; k++) {
            load_value(&b, ir->ops.at[o]->input[k].value);
            store_sink(&b, o);
        }
    }
    for (int o = 0; o < ir->ops.n && !effort->lazy; o++)
        if (ir->ops.at[o]->kind == FUSE_OP_SINK)
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
        plan->time_ps = fuse_sat_add(plan->time_ps, step->time_ps);
    }
    for (int p = 0; p < FUSE_PHASES; p++)
        for (int rank = 0; rank < plan->mesh.ranks; rank++)
            if (b.received[p][rank] > plan->received_bytes_max[p])
                plan->received_bytes_max[p] = b.received[p][rank];
}
