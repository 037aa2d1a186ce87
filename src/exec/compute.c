/* Kernels: from the boxes of a step to strided operands. */
#include "exec/internal.h"
#include "plan/ordered.h"

#include <string.h>

static bool holds(const struct fuse_box *box, const int64_t *point) {
    for (int a = 0; a < box->rank; a++)
        if (point[a] < box->lo[a] || point[a] >= box->hi[a])
            return false;
    return true;
}

/* An operand in iteration form: where the first point of the iteration lies, and how far each index moves. A rank that
 * holds nothing of the operand has an empty iteration, and its pointer is not read. */
static struct fuse_operand_view operand_view(const struct fuse_exec *exec, int buffer, const struct fuse_access *access,
                                             const struct fuse_box *iteration) {
    buffer = fuse_exec_reads(exec, buffer);
    const struct fuse_holding *holding = &exec->plan->buffers.at[buffer].holding;
    struct fuse_operand_view view = {.dtype = exec->plan->buffers.at[buffer].dtype};
    struct fuse_box box[FUSE_MAX_RANGE_BOXES];
    view.data = fuse_exec_data(exec, buffer);
    int boxes = fuse_holding_boxes(box, exec->plan, holding, exec->comm->rank, exec->turn), b = 0;
    if (fuse_box_is_empty(iteration) || boxes == 0)
        return view;
    int64_t stride[FUSE_MAX_AXES], first[FUSE_MAX_AXES], origin = 0;
    for (int a = 0; a < access->rank; a++)
        first[a] =
            fuse_access_coordinate(&access->at[a], access->at[a].index >= 0 ? iteration->lo[access->at[a].index] : 0);
    for (; b + 1 < boxes && !holds(&box[b], first); b++)
        origin += fuse_box_elems(&box[b]);
    fuse_box_strides(stride, &box[b], holding->reversed);
    for (int a = 0; a < access->rank; a++) {
        const struct fuse_access_axis *at = &access->at[a];
        origin += (first[a] - box[b].lo[a]) * stride[a];
        if (at->index >= 0 && at->divide == 0) /* a pair's stride is its second axis's */
            view.stride[at->index] += at->stride * stride[a];
    }
    view.data = (char *)view.data + origin * (int64_t)fuse_dtype_bytes(view.dtype);
    return view;
}

static uint32_t indices_of(const struct fuse_access *access) {
    uint32_t mask = 0;
    for (int a = 0; a < access->rank; a++)
        if (access->at[a].index >= 0)
            mask |= (uint32_t)1 << access->at[a].index;
    return mask;
}

static struct fuse_access output_access(const struct fuse_exec *exec, const struct fuse_op *op) {
    struct fuse_access access = fuse_access_identity(exec->plan->ir->values.at[op->out].rank);
    for (int a = 0; a < access.rank; a++)
        access.at[a].index = op->out_index[a];
    return access;
}

static bool may_overflow(const struct fuse_exec *exec, const struct fuse_op *op) {
    bool result = exec->plan->ir->values.at[op->out].dtype == FUSE_I64;
    for (int i = 0; op->kind != FUSE_OP_EINSUM && i < op->body->n && !result; i++)
        result = op->body->node[i].dtype == FUSE_I64 && fuse_scalar_arity(op->body->node[i].op) > 0;
    return result;
}

void fuse_exec_settle(struct fuse_exec *exec, const struct fuse_op *op, enum fuse_status status,
                      struct fuse_error *err) {
    if (status == FUSE_OK && may_overflow(exec, op))
        status = exec->queue->ops->wait(exec->queue, FUSE_QUEUE_ALL, err);
    if (status == FUSE_OK)
        return;
    /* The back ends' words for it; nothing else that fails has a better name here. */
    if (strncmp(err->message, "integer overflow", strlen("integer overflow")) == 0) {
        *err = (struct fuse_error){0};
        if (op->overflow)
            fuse_fail(err, status, "%s", op->overflow);
        else if (op->owner)
            fuse_fail(err, status, "integer overflow in '%s': a value beyond 64 bits", op->owner);
        else
            fuse_fail(err, status, "integer overflow: a value beyond 64 bits");
        fuse_hint(err, "%s",
                  op->overflow ? op->overflow_hint
                               : "integers never wrap; compute with reals, for example cast(X[i], \"f64\")");
    }
    err->span = op->span;
    err->has_span = op->span.file >= 0;
    fuse_exec_fail(exec, status, err);
}

/* The map over the tuples that lie in the step's first operand. */
static enum fuse_status join(struct fuse_exec *exec, const struct fuse_step *step, const struct fuse_map_call *map,
                             struct fuse_operand_view *operand, struct fuse_error *err) {
    const struct fuse_tuples planned = fuse_plan_tuples(exec->plan, step->op, &step->partition);
    const struct fuse_tuples tuples = exec->own[step->in[0]].at ? exec->own[step->in[0]].tuples : planned;
    const char *data = fuse_exec_data(exec, step->in[0]);
    struct fuse_join_call call = {.at = *map, .relation_indices = tuples.indices};
    operand[0] = (struct fuse_operand_view){.dtype = tuples.dtype};
    call.row_begin = (const uint32_t *)data;
    for (int k = 0; k < tuples.indices; k++) {
        call.relation_index[k] = planned.index[k]; /* tuples that another operation had made have its numbers */
        call.column[k] = (const uint32_t *)(data + tuples.column_offset[k]);
    }
    if (tuples.dtype != FUSE_BOOL)
        call.value = data + tuples.value_offset;
    return exec->backend->ops->join(exec->queue, &call, err);
}

static enum fuse_status attention(struct fuse_exec *exec, const struct fuse_op *op, const struct fuse_map_call *map,
                                  struct fuse_error *err) {
    struct fuse_attention_call call = {.at = *map, .guarded = op->guarded};
    if (!fuse_attention_indices(exec->plan->ir, op, &call.key, &call.depth))
        return fuse_fail(err, FUSE_EBUG, "an attention without keys was planned");
    return exec->backend->ops->attention(exec->queue, &call, err);
}

static enum fuse_status run_map(struct fuse_exec *exec, const struct fuse_step *step, const struct fuse_map_call *map,
                                struct fuse_operand_view *operand, struct fuse_error *err) {
    switch (step->kind) {
    case FUSE_STEP_JOIN: return join(exec, step, map, operand, err);
    case FUSE_STEP_ATTENTION: return attention(exec, exec->plan->ir->ops.at[step->op], map, err);
    default: return exec->backend->ops->map(exec->queue, map, err);
    }
}

/* *chunks is where the call's order goes, if it has one. */
static void make_map(struct fuse_map_call *call, struct fuse_operand_view *operand, struct fuse_chunks *chunks,
                     const struct fuse_exec *exec, const struct fuse_step *step, const struct fuse_box *iteration,
                     const struct fuse_operand_view *out) {
    const struct fuse_op *op = exec->plan->ir->ops.at[step->op];
    const struct fuse_access out_access = output_access(exec, op);
    *call = (struct fuse_map_call){.indices = op->indices,
                                   .in_out = indices_of(&out_access),
                                   .operands = op->inputs,
                                   .operand = operand,
                                   .out = *out,
                                   .body = op->body,
                                   .reduce = op->reduce,
                                   .accumulate = step->accumulate && exec->turn > 0,
                                   .order = chunks};
    for (int i = 0; i < op->indices; i++) {
        call->extent[i] = iteration->hi[i] - iteration->lo[i];
        call->origin[i] = iteration->lo[i];
    }
    for (int k = step->kind == FUSE_STEP_JOIN; k < op->inputs; k++)
        operand[k] = operand_view(exec, step->in[k], &op->input[k].access, iteration);
}

bool fuse_exec_may_join_maps(const struct fuse_exec *exec, const struct fuse_step *step) {
    return exec->plan->request.chunk == 0 && !may_overflow(exec, exec->plan->ir->ops.at[step->op]);
}

void fuse_exec_run_maps(struct fuse_exec *exec, const struct fuse_exec_member *member, int n) {
    struct fuse_map_call call[FUSE_EXEC_MEMBERS];
    struct fuse_operand_view operand[FUSE_EXEC_MEMBERS][FUSE_MAX_INPUTS];
    int row[FUSE_EXEC_MEMBERS];
    struct fuse_error err = {0};
    for (int m = 0; m < n; m++) {
        const struct fuse_access out_access = output_access(exec, member[m].op);
        const struct fuse_operand_view out = operand_view(exec, member[m].step->to, &out_access, &member[m].iteration);
        make_map(&call[m], operand[m], NULL, exec, member[m].step, &member[m].iteration, &out);
        row[m] = member[m].row;
    }
    fuse_exec_settle(exec, member[0].op, exec->backend->ops->maps(exec->queue, call, n, row, &err), &err);
}

/* The contraction, and in its pass the maps that follow it. */
static enum fuse_status contract(struct fuse_exec *exec, const struct fuse_step *step, const struct fuse_box *iteration,
                                 const struct fuse_operand_view *out, const struct fuse_chunks *order,
                                 const struct fuse_exec_member *then, int maps, struct fuse_error *err) {
    const struct fuse_op *op = exec->plan->ir->ops.at[step->op];
    const struct fuse_access out_access = output_access(exec, op);
    struct fuse_contract call = {.indices = op->indices,
                                 .in_a = indices_of(&op->input[0].access),
                                 .in_b = indices_of(&op->input[1].access),
                                 .in_c = indices_of(&out_access),
                                 .c = *out,
                                 .accumulate = step->accumulate && exec->turn > 0,
                                 .order = order};
    if (op->inputs != 2)
        return fuse_fail(err, FUSE_EBUG, "a contraction of %d operands was planned", op->inputs);
    for (int i = 0; i < op->indices; i++)
        call.extent[i] = iteration->hi[i] - iteration->lo[i];
    call.a = operand_view(exec, step->in[0], &op->input[0].access, iteration);
    call.b = operand_view(exec, step->in[1], &op->input[1].access, iteration);
    if (maps == 0)
        return exec->backend->ops->contract(exec->queue, &call, err);
    struct fuse_map_call map[FUSE_CONTRACT_MAPS];
    struct fuse_operand_view operand[FUSE_CONTRACT_MAPS][FUSE_MAX_INPUTS];
    const int64_t turn = exec->turn;
    for (int m = 0; m < maps; m++) {
        const struct fuse_access map_access = output_access(exec, then[m].op);
        exec->turn = then[m].step->loop == step->loop ? turn : 0; /* behind the loop there are no turns */
        const struct fuse_operand_view to = operand_view(exec, then[m].step->to, &map_access, &then[m].iteration);
        make_map(&map[m], operand[m], NULL, exec, then[m].step, &then[m].iteration, &to);
    }
    exec->turn = turn;
    return exec->backend->ops->contract_maps(exec->queue, &call, map, maps, err);
}

static void run_kernel(struct fuse_exec *exec, const struct fuse_step *step, const struct fuse_box *iteration,
                       const struct fuse_exec_member *then, int maps) {
    const struct fuse_op *op = exec->plan->ir->ops.at[step->op];
    struct fuse_error err = {0};
    enum fuse_status status;
    struct fuse_access out_access = output_access(exec, op);
    /* With nothing to sum the iteration is empty but the output is not: its origin is the output's own. */
    struct fuse_box out_iteration = *iteration;
    for (int i = 0; i < op->indices; i++)
        if (!(indices_of(&out_access) >> i & 1) && out_iteration.hi[i] <= out_iteration.lo[i])
            out_iteration.hi[i] = out_iteration.lo[i] + 1;
    if (fuse_box_is_empty(&out_iteration))
        return;
    struct fuse_operand_view out = operand_view(exec, step->to, &out_access, &out_iteration);
    bool is_ordered = step->kind != FUSE_STEP_JOIN && fuse_sum_is_ordered(exec->plan, step->op);
    struct fuse_chunks chunks;
    if (is_ordered)
        fuse_sum_chunks(&chunks, exec->plan, step->op);
    if (step->kind == FUSE_STEP_CONTRACT) {
        status = contract(exec, step, iteration, &out, is_ordered ? &chunks : NULL, then, maps, &err);
    } else {
        struct fuse_operand_view operand[FUSE_MAX_INPUTS];
        struct fuse_map_call call;
        make_map(&call, operand, is_ordered ? &chunks : NULL, exec, step, iteration, &out);
        status = run_map(exec, step, &call, operand, &err);
    }
    fuse_exec_settle(exec, op, status, &err);
}

void fuse_exec_run_kernel(struct fuse_exec *exec, const struct fuse_step *step, const struct fuse_box *iteration) {
    run_kernel(exec, step, iteration, NULL, 0);
}

/* Parts of each index of the result, at least `slices` in all where there are so many points. The index whose parts are longest
 * gets one more, again and again: nearly square slices have the least to read. Returns how many slices there are. */
static int64_t cut_slices(int64_t parts[FUSE_MAX_AXES], const struct fuse_op *op, const struct fuse_box *iteration,
                          uint32_t in_out, int64_t slices) {
    int64_t n = 1;
    for (int i = 0; i < op->indices; i++)
        parts[i] = 1;
    while (n < slices) {
        int best = -1;
        int64_t longest = 1;
        for (int i = 0; i < op->indices; i++) {
            int64_t length = (iteration->hi[i] - iteration->lo[i]) / parts[i];
            if ((in_out >> i & 1) && length > longest) {
                longest = length;
                best = i;
            }
        }
        if (best < 0)
            break;
        n = n / parts[best] * (parts[best] + 1);
        parts[best]++;
    }
    return n;
}

static struct fuse_box slice_of(const struct fuse_box *iteration, const int64_t *parts, int64_t number) {
    struct fuse_box slice = *iteration;
    for (int i = iteration->rank - 1; i >= 0; i--) {
        int64_t n = iteration->hi[i] - iteration->lo[i], part = number % parts[i];
        number /= parts[i];
        if (parts[i] == 1)
            continue;
        slice.lo[i] = iteration->lo[i] + fuse_split_begin(n, parts[i], part);
        slice.hi[i] = iteration->lo[i] + fuse_split_begin(n, parts[i], part + 1);
    }
    return slice;
}

bool fuse_exec_kernel_fails(struct fuse_exec *exec) {
    struct fuse_error err = {0};
    if (!fuse_exec_fault(exec, FUSE_FAULT_KERNEL))
        return false;
    fuse_exec_fail(exec, fuse_fail(&err, FUSE_EFAILED, "a kernel failed (planted fault)"), &err);
    return true;
}

static void compute_half(struct fuse_exec *exec, const struct fuse_step *step, int half,
                         const struct fuse_exec_member *then, int maps) {
    const struct fuse_op *op = exec->plan->ir->ops.at[step->op];
    struct fuse_box iteration = fuse_iteration_box(exec->plan, step->op, &step->partition, step->loop, step->cut,
                                                   exec->comm->rank, exec->turn, half);
    /* In the last turn nothing is on its way any more. Which turns are cut must not depend on messages: kernels of other
     * sizes may round differently. */
    struct fuse_access out_access = output_access(exec, op);
    bool waits = step->slices > 1 && exec->turn + 1 < exec->plan->regions.at[step->loop].turns;
    int64_t parts[FUSE_MAX_AXES],
        slices = cut_slices(parts, op, &iteration, indices_of(&out_access), waits ? step->slices : 1);
    for (int64_t s = 0; s < slices && exec->status == FUSE_OK; s++) {
        struct fuse_box slice = slice_of(&iteration, parts, s);
        run_kernel(exec, step, &slice, then, maps);
        if (waits && !fuse_exec_fault(exec, FUSE_FAULT_PROGRESS))
            fuse_exec_panels_progress(exec);
    }
}

void fuse_exec_compute(struct fuse_exec *exec, const struct fuse_step *step) {
    struct fuse_box out_box;
    if (exec->status != FUSE_OK || !fuse_exec_box(exec, step->to, &out_box) || fuse_exec_kernel_fails(exec))
        return;
    const int halves = fuse_layout_halves(&step->partition);
    struct fuse_exec_member then[FUSE_LAYOUT_HALVES][FUSE_CONTRACT_MAPS];
    int maps = FUSE_CONTRACT_MAPS;
    for (int half = 0; half < halves; half++) {
        const int found = fuse_exec_find_epilogue(then[half], exec, step, half);
        maps = found < maps ? found : maps;
    }
    for (int m = 0; m < maps; m++) {
        exec->is_ahead[then[0][m].step - exec->plan->steps.at] = true;
        if (fuse_exec_kernel_fails(exec))
            return;
    }
    for (int half = 0; half < halves; half++)
        compute_half(exec, step, half, then[half], maps);
}
