/* Recursions: what does not change is brought before the first turn; a turn computes, sees what still moves, and puts what
 * the tensors have become where they were.
 *
 * Positions go on through a turn, so that buffers in it share memory; those that live from turn to turn are in use in all of
 * them. What is hoisted stands before the turns and has their first position. */
#include "plan/build_internal.h"

bool fuse_build_is_constant(const struct build *b, int value) {
    return b->recursion >= 0 && b->plan->recursion[b->plan->ir->values.at[value].op] != b->recursion;
}

bool fuse_build_hoist(struct build *b, bool hoists) {
    bool before = b->hoists;
    int position = b->position;
    if (b->recursion < 0 || hoists == before)
        return before;
    b->hoists = hoists;
    b->position = b->other_position;
    b->other_position = position;
    return before;
}

static const struct fuse_op *op_at(const struct build *b, int position) {
    return b->plan->ir->ops.at[b->plan->order[position]];
}

static bool computes(const struct fuse_op *op) {
    return op->kind == FUSE_OP_EINSUM || op->kind == FUSE_OP_MAP || op->kind == FUSE_OP_JOIN;
}

/* Sources, and what the tensors are when the first turn begins. */
static void prepare(struct build *b, int first, int last) {
    const struct fuse_plan *plan = b->plan;
    int recursion = plan->recursion[plan->order[first]];
    for (int at = first; at <= last; at++)
        for (int k = 0; k < op_at(b, at)->inputs; k++) {
            int v = op_at(b, at)->input[k].value;
            if (plan->recursion[plan->ir->values.at[v].op] != recursion)
                fuse_build_load_value(b, v);
        }
    for (int at = first; at <= last; at++)
        if (op_at(b, at)->kind == FUSE_OP_CARRY)
            fuse_build_emit_operation(b, plan->order[at]);
}

static void add_settle(struct build *b, int number) {
    int moves = b->plan->ir->ops.at[number]->input[2].value;
    struct fuse_step step = fuse_build_new_step(b, FUSE_STEP_SETTLE, FUSE_PHASE_RUN, number);
    step.from = b->value_buffer[moves];
    step.have = fuse_build_layout_holding(moves, &b->plan->layout[moves]);
    fuse_build_add_file_staging(b, &step, step.from);
    fuse_build_add_step(b, &step);
}

/* Layouts of a carried tensor are equal when a turn begins and when it ends. */
static void replace(struct build *b, int number) {
    const struct fuse_op *op = b->plan->ir->ops.at[number];
    int carried = op->input[0].value, next = op->input[1].value;
    struct fuse_step move = fuse_build_new_step(b, FUSE_STEP_MOVE, FUSE_PHASE_RUN, number);
    move.from = b->value_buffer[next];
    move.to = b->value_buffer[carried];
    move.have = fuse_build_layout_holding(next, &b->plan->layout[next]);
    move.need = fuse_build_layout_holding(carried, &b->plan->layout[carried]);
    fuse_build_add_step(b, &move);
}

/* Buffers that are there when the turns begin are there until they end. Staging of what is hoisted is not. */
static void keep_over_turns(struct build *b) {
    for (int i = 0; i < b->plan->buffers.n; i++) {
        struct fuse_buffer *buffer = &b->plan->buffers.at[i];
        bool is_hoisted_staging = buffer->role == 's' && buffer->first == b->turns_position;
        if (buffer->first <= b->turns_position && buffer->last >= b->turns_position && !is_hoisted_staging)
            buffer->last = b->position;
    }
}

void fuse_build_emit_recursion(struct build *b, int first, int last) {
    struct fuse_plan *plan = b->plan;
    prepare(b, first, last);
    struct fuse_region loop = {.kind = FUSE_REGION_LOOP,
                               .loop = FUSE_LOOP_UNTIL,
                               .op = plan->order[last],
                               .index = -1,
                               .partition = fuse_layout_replicated(),
                               .skew_input = -1,
                               .skew_layout = fuse_layout_replicated(),
                               .turns = 1};
    fuse_vec_push(plan->arena, &plan->regions, loop);
    int number = plan->regions.n - 1, gathered = b->gathered.n;
    b->recursion = plan->recursion[plan->order[first]];
    b->turn.n = 0;
    b->turns_position = b->other_position = b->position++;
    for (int at = first; at <= last; at++)
        if (computes(op_at(b, at)))
            fuse_build_emit_operation(b, plan->order[at]);
    for (int at = first; at <= last; at++)
        if (op_at(b, at)->kind == FUSE_OP_FIXPOINT)
            add_settle(b, plan->order[at]);
    for (int at = first; at <= last; at++)
        if (op_at(b, at)->kind == FUSE_OP_FIXPOINT)
            replace(b, plan->order[at]);
    /* Positions are at least as large as the numbers of regions at the top, for all that hoisting has put there. */
    if (b->position < b->top.n)
        b->position = b->top.n;
    keep_over_turns(b);
    plan->regions.at[number].first = plan->child.n;
    plan->regions.at[number].count = b->turn.n;
    for (int i = 0; i < b->turn.n; i++)
        fuse_vec_push(plan->arena, &plan->child, b->turn.at[i]);
    b->recursion = -1;
    b->gathered.n = gathered; /* of later operations none may count on a turn's buffers */
    fuse_build_add_region(b, number);
    for (int at = first; at <= last; at++)
        if (op_at(b, at)->kind == FUSE_OP_FIXPOINT)
            b->value_buffer[op_at(b, at)->out] = b->value_buffer[op_at(b, at)->input[0].value];
}
