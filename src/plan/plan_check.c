/* A plan that was read from a file is looked at as if somebody had made it up: whatever the executor uses as a number of
 * something, or as room for something, is compared with what there is. */
#include "plan/plan_pack.h"

#include "plan/build.h"
#include "plan/cost.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

struct checker {
    const struct fuse_plan *plan;
    const struct fuse_ir *ir;
    bool *seen; /* [regions] */
    int loop;   /* the loop region that is being walked, or -1 */
    struct fuse_error *err;
};

__attribute__((format(printf, 2, 3))) static enum fuse_status broken(const struct checker *c, const char *format, ...) {
    char what[128];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return fuse_fail(c->err, FUSE_EBUG, "plan: %s", what);
}

static bool is_buffer(const struct checker *c, int buffer) {
    return buffer >= 0 && buffer < c->plan->buffers.n;
}

/* Axes of the layout are below `axes`; splits of one axis are numbered. */
static bool is_layout(const struct checker *c, const struct fuse_layout *layout, int axes) {
    for (int d = 0; d < c->plan->mesh.dims; d++) {
        int splits = 0, equal = 0;
        for (int e = 0; e < c->plan->mesh.dims && layout->axis[d] >= 0; e++)
            if (layout->axis[e] == layout->axis[d]) {
                splits++;
                equal += layout->level[e] == layout->level[d];
            }
        if (layout->axis[d] >= axes || layout->level[d] < 0 || (splits > 0 && layout->level[d] >= splits) || equal > 1)
            return false;
    }
    return layout->zigzag >= 0 && layout->zigzag <= axes;
}

/* The loop of a holding is the one around its step, or for a buffer any. */
static bool is_loop(const struct checker *c, int loop, int cut, int cuts) {
    if (loop < 0)
        return true;
    return loop < c->plan->regions.n && c->plan->regions.at[loop].kind == FUSE_REGION_LOOP &&
           c->plan->regions.at[loop].turns >= 1 && cut >= 0 && cut < cuts;
}

static bool is_holding(const struct checker *c, const struct fuse_holding *h) {
    if (h->value < 0 || h->value >= c->ir->values.n)
        return false;
    const struct fuse_value *value = &c->ir->values.at[h->value];
    if (h->dealt > value->rank || h->dealt_from > c->plan->mesh.dims)
        return false;
    switch (h->kind) {
    case FUSE_HOLDING_LAYOUT: return is_layout(c, &h->layout, value->rank) && is_loop(c, h->loop, h->cut, value->rank);
    case FUSE_HOLDING_NEED: {
        if (h->op < 0 || h->op >= c->ir->ops.n)
            return false;
        const struct fuse_op *op = c->ir->ops.at[h->op];
        return h->input >= 0 && h->input < op->inputs && op->input[h->input].value == h->value &&
               is_layout(c, &h->layout, op->indices) && is_loop(c, h->loop, h->cut, op->indices);
    }
    case FUSE_HOLDING_RANGES:
        return h->aggregators >= 1 && h->aggregators <= c->plan->mesh.ranks && h->align_elems >= 1 &&
               h->align_elems <= FUSE_MAX_EXTENT && is_loop(c, h->loop, 0, 1);
    }
    return false;
}

static int64_t holding_bytes(const struct checker *c, const struct fuse_holding *h, enum fuse_dtype dtype) {
    return fuse_sat_mul(fuse_holding_max_elems(c->plan, h), (int64_t)fuse_dtype_bytes(dtype));
}

/* ---- buffers ---- */

/* Bytes for what it holds at a turn. */
static int64_t room(const struct fuse_buffer *buffer) {
    return buffer->doubled ? buffer->bytes / 2 / 16 * 16 : buffer->bytes;
}

/* The buffer is for this value, or for one like it that the value has taken the place of. */
static bool is_for(const struct checker *c, int buffer, int value) {
    if (!is_buffer(c, buffer) || value < 0 || value >= c->ir->values.n || c->plan->buffers.at[buffer].value < 0)
        return false;
    const struct fuse_value *own = &c->ir->values.at[c->plan->buffers.at[buffer].value];
    const struct fuse_value *wanted = &c->ir->values.at[value];
    return own->rank == wanted->rank && fuse_dtype_bytes(own->dtype) == fuse_dtype_bytes(wanted->dtype);
}

/* Panels of a value whose blocks another buffer holds. */
static bool is_block_of(const struct checker *c, const struct fuse_buffer *panels) {
    if (panels->holding.kind != FUSE_HOLDING_NEED || panels->holding.loop < 0 ||
        !is_for(c, panels->resident, panels->value))
        return false;
    const struct fuse_buffer *whole = &c->plan->buffers.at[panels->resident];
    return whole->holding.kind == FUSE_HOLDING_LAYOUT && whole->holding.loop < 0 && whole->dtype == panels->dtype &&
           whole->resident < 0;
}

static enum fuse_status check_buffers(const struct checker *c) {
    int64_t sum = 0;
    for (int k = 0; k < FUSE_MEM_KINDS; k++)
        sum = fuse_sat_add(sum, c->plan->arena_bytes[k]);
    if (sum != c->plan->peak_bytes)
        return broken(c, "its memory does not add up");
    for (int i = 0; i < c->plan->buffers.n; i++) {
        const struct fuse_buffer *b = &c->plan->buffers.at[i];
        if (b->offset % 16 != 0 || (b->doubled && b->bytes % 128 != 0) ||
            fuse_sat_add(b->offset, b->bytes) > c->plan->arena_bytes[b->kind])
            return broken(c, "buffer %d lies outside of its arena", i);
        if (b->value < 0)
            continue;
        if (b->value >= c->ir->values.n || !is_holding(c, &b->holding) || b->holding.value != b->value)
            return broken(c, "buffer %d holds nothing that there is", i);
        if (fuse_dtype_bytes(b->dtype) != fuse_dtype_bytes(c->ir->values.at[b->value].dtype) && b->role != 'p')
            return broken(c, "buffer %d is of another type than its value", i);
        if (holding_bytes(c, &b->holding, b->dtype) > room(b))
            return broken(c, "buffer %d is too small", i);
        if (b->resident < 0 ? b->is_shared : !is_block_of(c, b))
            return broken(c, "buffer %d has panels of nothing", i);
    }
    return FUSE_OK;
}

/* ---- steps ---- */

static bool holds(const struct checker *c, int buffer, const struct fuse_holding *holding) {
    return is_holding(c, holding) && is_for(c, buffer, holding->value) &&
           holding_bytes(c, holding, c->plan->buffers.at[buffer].dtype) <= room(&c->plan->buffers.at[buffer]);
}

/* Two halves of staging, each with room for `pieces` pieces. */
static bool is_staging(const struct checker *c, const struct fuse_step *s, int64_t pieces) {
    int64_t need = fuse_sat_mul(2 * pieces, fuse_sat_add(s->piece_bytes, 63) / 64 * 64);
    if (!is_buffer(c, s->staging) || c->plan->buffers.at[s->staging].bytes < need)
        return false;
    if (s->pinned < 0)
        return c->plan->request.machine.kind != FUSE_MEM_DEVICE;
    return is_buffer(c, s->pinned) && c->plan->buffers.at[s->pinned].bytes >= need &&
           c->plan->buffers.at[s->pinned].kind == FUSE_MEM_PINNED;
}

/* One value that lies in two ways, or what a turn of a recursion ends and begins with. */
static bool is_one_tensor(const struct checker *c, const struct fuse_step *s) {
    const struct fuse_op *op = c->ir->ops.at[s->op];
    if (s->have.value == s->need.value)
        return true;
    return s->kind == FUSE_STEP_MOVE && op->kind == FUSE_OP_FIXPOINT && s->need.value == op->input[0].value &&
           s->have.value == op->input[1].value;
}

/* The second stage of an exchange is about what the first one has left in its buffer. */
static bool is_stage(const struct checker *c, const struct fuse_step *s) {
    if (s->need.dealt_from > 0 && s->need.dealt == 0)
        return false;
    if (!fuse_plan_collects(s))
        return s->have.dealt_from == 0 && s->have.kind != FUSE_HOLDING_NEED;
    return s->from == s->to && s->have.kind == s->need.kind && s->need.dealt == 0 && s->have.loop == s->need.loop &&
           (c->plan->buffers.at[s->to].resident < 0 || c->plan->buffers.at[s->to].is_shared);
}

static bool is_exchange(const struct checker *c, const struct fuse_step *s) {
    bool reduces = s->kind == FUSE_STEP_REDUCE;
    int source = reduces ? s->to : s->from;
    if (!is_holding(c, &s->have) || !is_holding(c, &s->need) || !is_one_tensor(c, s))
        return false;
    if (!is_for(c, source, s->have.value) || !holds(c, s->to, &s->need) || (!reduces && !is_stage(c, s)))
        return false;
    if (reduces && (s->dim < 0 || s->dim >= c->plan->mesh.dims))
        return false;
    if (s->piece_bytes < (int64_t)fuse_dtype_bytes(c->plan->buffers.at[s->to].dtype))
        return false;
    /* Panels are brought for the turns of their loop. */
    if (c->plan->buffers.at[s->to].doubled && c->plan->buffers.at[s->to].resident >= 0 &&
        (s->loop < 0 || reduces || s->need.loop != s->loop ||
         (!fuse_plan_collects(s) && s->from != c->plan->buffers.at[s->to].resident)))
        return false;
    if (s->staging < 0)
        return s->pinned < 0 && c->plan->request.machine.kind != FUSE_MEM_DEVICE &&
               fuse_cost_turn_bytes_bound(c->plan, s) == 0;
    return is_staging(c, s, reduces ? c->plan->mesh.dim[s->dim] - 1 : 1);
}

static bool has_tuples(const struct checker *c, int buffer, const struct fuse_step *s) {
    bool derived = fuse_is_derived(c->ir, c->ir->ops.at[s->op]->input[0].value);
    return is_buffer(c, buffer) && c->plan->buffers.at[buffer].role == 't' &&
           (derived || c->plan->buffers.at[buffer].bytes >= fuse_plan_tuples(c->plan, s->op, &s->partition).bytes);
}

static bool is_computation(const struct checker *c, const struct fuse_step *s, const struct fuse_op *op) {
    if (op->inputs > FUSE_MAX_INPUTS || !is_for(c, s->to, op->out) || !is_layout(c, &s->partition, op->indices) ||
        !is_loop(c, s->loop, s->cut < 0 ? 0 : s->cut, op->indices + 1))
        return false;
    if (s->slices > 1 && s->loop < 0)
        return false;
    if (s->loop >= 0 && (s->cut < 0 || s->cut >= op->indices))
        return false;
    for (int k = 0; k < op->inputs; k++) {
        if (k == 0 && s->kind == FUSE_STEP_JOIN ? !has_tuples(c, s->in[k], s)
                                                : !is_for(c, s->in[k], op->input[k].value))
            return false;
    }
    return true;
}

/* For an operation that reads the result. */
static bool is_again(const struct checker *c, const struct fuse_step *s, const struct fuse_op *op) {
    return s->need.kind == FUSE_HOLDING_NEED && s->need.value == op->out && holds(c, s->to, &s->need) &&
           c->ir->ops.at[s->need.op]->out >= 0;
}

static bool is_tuples(const struct checker *c, const struct fuse_step *s, const struct fuse_op *op) {
    if (op->kind != FUSE_OP_JOIN || !is_layout(c, &s->partition, op->indices) || !is_buffer(c, s->to) ||
        !is_buffer(c, s->staging))
        return false;
    struct fuse_tuples t = fuse_plan_tuples(c->plan, s->op, &s->partition);
    int64_t ranks = c->plan->mesh.ranks;
    int64_t messages = fuse_sat_mul(2 * ranks, fuse_sat_add(s->piece_bytes, sizeof(int64_t)));
    if (fuse_is_derived(c->ir, op->input[0].value))
        t.unsorted_bytes = 0;
    if (s->piece_bytes < t.row_bytes || s->piece_bytes % t.row_bytes != 0 ||
        fuse_sat_add(fuse_sat_add(messages, 63) / 64 * 64, t.unsorted_bytes) > c->plan->buffers.at[s->staging].bytes)
        return false;
    if (s->pinned >= 0 && (!is_buffer(c, s->pinned) || c->plan->buffers.at[s->pinned].bytes < t.bytes))
        return false;
    return has_tuples(c, s->to, s);
}

static bool is_file_step(const struct checker *c, const struct fuse_step *s, int buffer,
                         const struct fuse_holding *holding) {
    if (!holds(c, buffer, holding) || s->piece_bytes < (int64_t)fuse_dtype_bytes(c->plan->buffers.at[buffer].dtype))
        return false;
    if (c->plan->buffers.at[buffer].doubled && s->loop < 0)
        return false;
    return c->plan->request.machine.kind != FUSE_MEM_DEVICE || is_staging(c, s, 1);
}

/* Something that rules may be fed with, and the cells of a dense value are at hand. */
static bool is_feed(const struct checker *c, const struct fuse_step *s, const struct fuse_op *op) {
    if (op->kind != FUSE_OP_RULES || s->input < 0 || s->input >= op->inputs || s->loop >= 0)
        return false;
    const struct fuse_op *from = c->ir->ops.at[c->ir->values.at[op->input[s->input].value].op];
    if (from->kind != FUSE_OP_SPARSIFY)
        return s->from < 0;
    return s->have.value == from->input[0].value && is_file_step(c, s, s->from, &s->have);
}

static bool is_step(const struct checker *c, const struct fuse_step *s) {
    if (s->op < 0 || s->op >= c->ir->ops.n || s->loop != c->loop || s->hidden_ps > s->time_ps)
        return false;
    const struct fuse_op *op = c->ir->ops.at[s->op];
    bool is_dense_source = op->kind == FUSE_OP_SOURCE && !op->probe.tally;
    switch (s->kind) {
    case FUSE_STEP_READ: return is_dense_source && s->need.value == op->out && is_file_step(c, s, s->to, &s->need);
    case FUSE_STEP_LITERAL:
        return op->kind == FUSE_OP_LITERAL && op->data && s->need.value == op->out &&
               is_file_step(c, s, s->to, &s->need);
    case FUSE_STEP_MOVE:
    case FUSE_STEP_REDUCE: return is_exchange(c, s);
    case FUSE_STEP_CONTRACT: return op->kind == FUSE_OP_EINSUM && op->inputs <= 2 && is_computation(c, s, op);
    case FUSE_STEP_MAP:
        return (op->kind == FUSE_OP_MAP || op->kind == FUSE_OP_CARRY) && is_computation(c, s, op) &&
               (s->need.value < 0 || is_again(c, s, op));
    case FUSE_STEP_JOIN: return op->kind == FUSE_OP_JOIN && is_computation(c, s, op);
    case FUSE_STEP_ATTENTION: return op->kind == FUSE_OP_ATTENTION && is_computation(c, s, op);
    case FUSE_STEP_TUPLES: return is_tuples(c, s, op);
    case FUSE_STEP_FEED: return is_feed(c, s, op);
    case FUSE_STEP_SETTLE:
        return op->kind == FUSE_OP_FIXPOINT && s->have.value == op->input[2].value && s->loop < 0 &&
               is_file_step(c, s, s->from, &s->have);
    case FUSE_STEP_RULES: return op->kind == FUSE_OP_RULES && s->loop < 0;
    case FUSE_STEP_LIST: return op->kind == FUSE_OP_SINK && fuse_is_relation(c->ir, op->input[0].value) && s->loop < 0;
    case FUSE_STEP_WRITE:
    case FUSE_STEP_PRINT:
        return op->kind == FUSE_OP_SINK && !fuse_is_relation(c->ir, op->input[0].value) &&
               (s->kind == FUSE_STEP_WRITE) == (op->path != NULL) && s->have.value == op->input[0].value &&
               is_file_step(c, s, s->from, &s->have);
    }
    return false;
}

/* ---- regions ---- */

/* No more turns than there are elements to cut: somebody waits for them. */
static bool is_cut(const struct checker *c, const struct fuse_region *loop) {
    if (loop->op >= 0)
        return loop->turns <= 1 || loop->turns <= c->ir->ops.at[loop->op]->extent[loop->index];
    for (int i = 0; i < loop->count; i++) {
        const struct fuse_step *step = &c->plan->steps.at[c->plan->regions.at[c->plan->child.at[loop->first + i]].step];
        int value = step->need.value >= 0 ? step->need.value : step->have.value;
        if (value >= 0 && loop->turns > 1 && loop->turns > fuse_value_elems(&c->ir->values.at[value]))
            return false;
    }
    return true;
}

static enum fuse_status walk(struct checker *c, int number, int depth) {
    const struct fuse_plan *plan = c->plan;
    if (number < 0 || number >= plan->regions.n || c->seen[number])
        return broken(c, "region %d is in no place or in two", number);
    c->seen[number] = true;
    const struct fuse_region *region = &plan->regions.at[number];
    if (region->kind == FUSE_REGION_STEP) {
        if (region->step < 0 || region->step >= plan->steps.n || !is_step(c, &plan->steps.at[region->step]))
            return broken(c, "step %d cannot be run", region->step);
        return FUSE_OK;
    }
    bool is_loop = region->kind == FUSE_REGION_LOOP, is_until = is_loop && region->loop == FUSE_LOOP_UNTIL;
    if (depth > 2 || (is_until && depth > 1) || (is_loop && region->turns < 1) ||
        region->first > plan->child.n - region->count || (is_loop && region->count == 0) || (!is_loop && depth > 0))
        return broken(c, "region %d has no such children", number);
    if (is_until) {
        if (region->op < 0 || region->op >= c->ir->ops.n || c->ir->ops.at[region->op]->kind != FUSE_OP_FIXPOINT ||
            region->turns != 1)
            return broken(c, "loop %d has no end", number);
    } else if (is_loop && region->op >= 0) {
        const struct fuse_op *op = region->op < c->ir->ops.n ? c->ir->ops.at[region->op] : NULL;
        if (!op || region->index < 0 || region->index >= op->indices ||
            !is_layout(c, &region->partition, op->indices) || region->skew_input >= op->inputs)
            return broken(c, "loop %d cuts nothing that there is", number);
        const struct fuse_use *skewed = region->skew_input >= 0 ? &op->input[region->skew_input] : NULL;
        if (skewed && !is_layout(c, &region->skew_layout, skewed->access.rank))
            return broken(c, "loop %d starts nowhere", number);
        if (region->skews_nodes && c->plan->request.machine.ranks_per_node < 1)
            return broken(c, "loop %d is for nodes that nobody knows", number);
        if (region->owners > 0 && region->turns % region->owners != 0)
            return broken(c, "loop %d does not turn as often for each owner", number);
    } else if (is_loop && (region->skew_input >= 0 || region->owners > 0)) {
        return broken(c, "loop %d starts nowhere", number);
    }
    int flights = 0;
    for (int i = 0; i < region->count; i++) {
        int child = plan->child.at[region->first + i];
        c->loop = is_loop && !is_until ? number : -1;
        if (is_loop && !is_until && (child >= plan->regions.n || plan->regions.at[child].kind != FUSE_REGION_STEP))
            return broken(c, "loop %d has more than steps in it", number);
        FUSE_TRY(walk(c, child, depth + 1));
        if (is_loop && !is_until)
            flights += fuse_plan_brings_panels(plan, &plan->steps.at[plan->regions.at[child].step]);
    }
    if (flights > FUSE_PLAN_FLIGHTS)
        return broken(c, "loop %d brings too many panels at once", number);
    if (is_loop && !is_until && !is_cut(c, region))
        return broken(c, "loop %d turns too often", number);
    return FUSE_OK;
}

enum fuse_status fuse_plan_check(const struct fuse_plan *plan, struct fuse_error *err) {
    struct checker c = {.plan = plan, .ir = plan->ir, .loop = -1, .err = err};
    c.seen = FUSE_NEW_ARRAY(plan->arena, bool, plan->regions.n + 1);
    if (plan->mesh.ranks != plan->request.ranks)
        return broken(&c, "it is for %d ranks of %d", plan->mesh.ranks, plan->request.ranks);
    FUSE_TRY(check_buffers(&c));
    FUSE_TRY(walk(&c, plan->root, 0));
    if (plan->regions.at[plan->root].kind == FUSE_REGION_STEP)
        return broken(&c, "a step alone is no plan");
    if (fuse_plan_hash(plan) != plan->hash)
        return broken(&c, "its hash is not %016" PRIx64, plan->hash);
    return FUSE_OK;
}
