/* One operation: its operands brought, in panels if there is need; its kernel; its result finished. */
#include "plan/build_internal.h"
#include "plan/cost.h"
#include "plan/ordered.h"

#define SLICE_PS ((int64_t)5000000000) /* modelled time of a kernel between two looks at messages */
#define SLICES_MAX 4096
#define PANEL_SHARE 64 /* panels are not made smaller than one of so many parts of the memory there is */

struct gather {
    bool needed;
    bool again;    /* it is computed, and not moved */
    bool looped;   /* the box shrinks with the turn of the panel loop */
    int64_t bytes; /* of the whole box */
};

bool fuse_build_reads_index(const struct fuse_use *use, int index) {
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
    return fuse_index_largest(plan, number, &plan->partition[number], index);
}

/* Bytes of buffers that are alive at this position, or would be without an operation's own. */
static int64_t alive_bytes(const struct build *b, int number) {
    const struct fuse_plan *plan = b->plan;
    int64_t bytes = 0;
    for (int v = 0; v < plan->ir->values.n; v++)
        if (b->value_buffer[v] >= 0 && !plan->inner[v] && b->last[v] >= plan->position[number] &&
            plan->ir->ops.at[plan->ir->values.at[v].op]->kind != FUSE_OP_FIXPOINT) /* it is its CARRY */
            bytes = fuse_sat_add(bytes, plan->buffers.at[b->value_buffer[v]].bytes);
    return bytes;
}

static void add_move(struct fuse_cost_aside *aside, const struct build *b, int number, int k, int64_t bytes) {
    const struct fuse_plan *plan = b->plan;
    const struct fuse_layout *have = &plan->layout[plan->ir->ops.at[number]->input[k].value];
    bool unused;
    const struct fuse_cost_way way = fuse_cost_gather(plan, number, k, &plan->partition[number], have, true, &unused);
    const struct fuse_cost_aside first = fuse_cost_first_stage(plan, &way, bytes);
    aside->time_ps = fuse_sat_add(aside->time_ps, first.time_ps);
    aside->processor_ps = fuse_sat_add(aside->processor_ps, first.processor_ps);
}

/* true when every rank that is used has a part of the iteration, so that it needs something. */
static bool all_need(const struct fuse_plan *plan, const struct fuse_holding *need) {
    const struct fuse_op *op = plan->ir->ops.at[need->op];
    for (int i = 0; i < op->indices; i++)
        if (!fuse_index_has_no_empty_part(plan, need->op, &need->layout, i))
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
        same = p->extent[i->index] == q->extent[j->index] && !fuse_index_is_ordered(plan, x->op, i->index) &&
               !fuse_index_is_ordered(plan, y->op, j->index) &&
               (x->layout.zigzag == i->index + 1) == (y->layout.zigzag == j->index + 1);
        for (int d = 0; d < plan->mesh.dims && same; d++)
            same = (x->layout.axis[d] == i->index) == (y->layout.axis[d] == j->index) &&
                   (x->layout.axis[d] != i->index || x->layout.level[d] == y->layout.level[d]);
    }
    return same;
}

static struct fuse_holding needed(const struct build *b, int number, int k, const struct fuse_layout *partition,
                                  int loop, int cut) {
    return (struct fuse_holding){.kind = FUSE_HOLDING_NEED,
                                 .value = b->plan->ir->ops.at[number]->input[k].value,
                                 .layout = *partition,
                                 .op = number,
                                 .input = k,
                                 .loop = loop,
                                 .cut = cut};
}

/* An input that is moved for the operation is needed just so by another one. */
static bool is_shared(const struct build *b, int number, const struct gather *gather) {
    const struct fuse_plan *plan = b->plan;
    const struct fuse_op *op = plan->ir->ops.at[number];
    for (int k = 0; k < op->inputs && b->effort->budget_bytes == INT64_MAX; k++) {
        if (!gather[k].needed || gather[k].again)
            continue;
        struct fuse_holding mine = needed(b, number, k, &plan->partition[number], -1, -1);
        for (int u = b->user_begin[mine.value]; u < b->user_begin[mine.value + 1]; u++) {
            const int other = b->user[u];
            const enum fuse_op_kind kind = plan->ir->ops.at[other]->kind;
            bool computes = kind == FUSE_OP_EINSUM || kind == FUSE_OP_MAP || kind == FUSE_OP_ATTENTION;
            for (int i = 0; other != number && computes && i < plan->ir->ops.at[other]->inputs; i++) {
                struct fuse_holding its = needed(b, other, i, &plan->partition[other], -1, -1);
                if (need_the_same(plan, &mine, &its))
                    return true;
            }
        }
    }
    return false;
}

/* The index to run a panel loop over, and the turns; turns 1 means no loop. *halves: panels at a time, 2 where one is brought
 * while another is computed with and there is room for both. */
static int64_t choose_panels(const struct build *b, int number, const struct gather *gather, int64_t out_bytes,
                             int *index, int *halves) {
    const struct fuse_plan *plan = b->plan;
    const struct fuse_op *op = plan->ir->ops.at[number];
    int64_t total = 0, best = 0;
    *index = -1;
    *halves = fuse_cost_overlaps(plan) ? 2 : 1;
    for (int k = 0; k < op->inputs; k++)
        total = fuse_sat_add(total, gather[k].needed ? gather[k].bytes : 0);
    if (total == 0)
        return 1;
    /* The index that shrinks most of what is gathered; a projected one if it comes near. */
    for (int i = 0; i < op->indices; i++) {
        int64_t shrinks = 0;
        if (op->kind == FUSE_OP_JOIN && fuse_build_reads_index(&op->input[0], i))
            continue; /* tuples do not come in panels */
        if (op->kind == FUSE_OP_ATTENTION &&
            (is_projected(plan, op, i) || !(b->effort->repeats_scores || fuse_attention_scores_have(op, i))))
            continue; /* nor do rows of scores, nor are all computed at every turn */
        if (fuse_index_is_ordered(plan, number, i))
            continue;
        for (int k = 0; k < op->inputs; k++)
            if (gather[k].needed && fuse_build_reads_index(&op->input[k], i))
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
        struct fuse_cost_aside aside = {0, 0};
        for (int k = 0; k < op->inputs; k++)
            if (gather[k].needed && !gather[k].again && fuse_build_reads_index(&op->input[k], *index))
                add_move(&aside, b, number, k, gather[k].bytes);
        turns = fuse_cost_choose_panels(plan, total, extent,
                                        fuse_cost_compute_ps(plan, number, &plan->partition[number]), aside)
                    .turns;
        /* What is brought once for several operations travels once. */
        if (total <= FUSE_COST_PANEL_BYTES && is_shared(b, number, gather))
            turns = 1;
    }
    if (b->effort->budget_bytes != INT64_MAX) {
        int64_t fixed = fuse_sat_add(alive_bytes(b, number), out_bytes), panel = 0;
        fixed = fuse_sat_add(fixed, 2 * b->effort->workspace_bytes);
        for (int k = 0; k < op->inputs; k++) {
            if (!gather[k].needed)
                continue;
            if (fuse_build_reads_index(&op->input[k], *index))
                panel = fuse_sat_add(panel, gather[k].bytes);
            else
                fixed = fuse_sat_add(fixed, gather[k].bytes);
        }
        int64_t room = b->effort->budget_bytes - fixed;
        *halves = room / 2 > panel / extent ? *halves : 1;
        panel = fuse_sat_mul(panel, *halves);
        int64_t wanted = room <= panel / extent ? extent : (panel + room - 1) / room;
        /* a little more than panel / room, for panels are rounded up to whole positions; but turns take time, and those that would
         * leave next to nothing in memory do not make the program fit */
        if (wanted > 1)
            wanted += wanted / 8;
        const int64_t most = panel / (b->effort->budget_bytes / PANEL_SHARE + 1);
        wanted = wanted < most ? wanted : most;
        turns = wanted > turns ? wanted : turns;
    }
    if (plan->request.panels > 0)
        turns = plan->request.panels;
    turns = turns < 1 ? 1 : turns;
    return turns < extent ? turns : extent;
}

/* The input whose owners the ranks should visit in different order: gathered, split along the loop's index. */
static int choose_skew(const struct fuse_plan *plan, int number, const struct gather *gather, int index) {
    const struct fuse_op *op = plan->ir->ops.at[number];
    int best = -1;
    for (int k = 0; k < op->inputs && plan->partition[number].zigzag != index + 1; k++) {
        const struct fuse_use *use = &op->input[k];
        bool split = false;
        for (int a = 0; a < use->access.rank && gather[k].needed && !gather[k].again; a++)
            split |= use->access.at[a].index == index && use->access.at[a].stride == 1 &&
                     !fuse_access_is_paired(&use->access.at[a]) &&
                     fuse_layout_parts(&plan->layout[use->value], &plan->mesh, a) > 1;
        if (split && (best < 0 || gather[k].bytes > gather[best].bytes))
            best = k;
    }
    return best;
}

/* Blocks of the skewed input that lie in a rank's part of the index; 0 when they are not cut as its part is. */
static int64_t count_owners(const struct fuse_plan *plan, int number, int skew_input, int index) {
    const struct fuse_use *use = &plan->ir->ops.at[number]->input[skew_input];
    int64_t mine = fuse_layout_parts(&plan->partition[number], &plan->mesh, index), parts = 1;
    for (int a = 0; a < use->access.rank; a++)
        if (use->access.at[a].index == index && use->access.at[a].stride == 1)
            parts = fuse_layout_parts(&plan->layout[use->value], &plan->mesh, a);
    return parts % mine == 0 ? parts / mine : 0;
}

/* The exchange that brings an input, but for the buffer. */
static struct fuse_step input_move(const struct build *b, int number, int k, const struct fuse_holding *need) {
    const struct fuse_plan *plan = b->plan;
    int value = plan->ir->ops.at[number]->input[k].value;
    struct fuse_step move = fuse_build_new_step(b, FUSE_STEP_MOVE, FUSE_PHASE_RUN, number);
    move.from = b->value_buffer[value];
    move.have = plan->streamed[value] ? plan->buffers.at[move.from].holding
                                      : fuse_build_slab_holding(b, value, &plan->layout[value]);
    move.need = *need;
    return move;
}

static int move_input(struct build *b, int number, int k, const struct fuse_holding *need) {
    struct fuse_step move = input_move(b, number, k, need);
    move.to = fuse_build_add_buffer(b, 'g', need);
    fuse_build_add_move(b, &move);
    return move.to;
}

/* Panels that ranks of a node share must be the same for all of them at every turn. */
static bool shares_panels(const struct build *b, int number, const struct gather *gather, int index) {
    const struct fuse_plan *plan = b->plan;
    bool any = false;
    for (int k = 0; k < plan->ir->ops.at[number]->inputs; k++) {
        struct fuse_holding need = needed(b, number, k, &plan->partition[number], plan->regions.n, index);
        if (!gather[k].looped || gather[k].again)
            continue;
        const struct fuse_step move = input_move(b, number, k, &need);
        any |= fuse_build_stages(b, &move) > 0;
    }
    return any;
}

/* The loop over the panels of an index. Owners are visited in rotation when each has a panel at least. */
static struct fuse_region panel_loop(const struct build *b, int number, const struct gather *gather, int index,
                                     int64_t turns) {
    const struct fuse_plan *plan = b->plan;
    struct fuse_region loop = {
        .loop = FUSE_LOOP_PANEL, .op = number, .index = index, .partition = plan->partition[number], .turns = turns};
    loop.skew_input = choose_skew(plan, number, gather, index);
    loop.skew_layout = fuse_layout_replicated();
    if (loop.skew_input < 0)
        return loop;
    loop.skew_layout = plan->layout[plan->ir->ops.at[number]->input[loop.skew_input].value];
    loop.skews_nodes = shares_panels(b, number, gather, index);
    int64_t owners = count_owners(plan, number, loop.skew_input, index);
    int64_t even = owners > 0 ? (turns + owners - 1) / owners * owners : turns;
    if (owners < 2 || turns < owners || even > local_extent(plan, number, index) ||
        (plan->request.panels > 0 && even != turns))
        return loop;
    loop.owners = owners;
    loop.turns = even;
    return loop;
}

/* Kernels of a turn that are short enough to look at messages between them. */
static int64_t count_slices(const struct fuse_plan *plan, int number, int64_t turns) {
    int64_t slices = fuse_cost_compute_ps(plan, number, &plan->partition[number]) / turns / SLICE_PS + 1;
    return slices < SLICES_MAX ? slices : SLICES_MAX;
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

/* The same within a turn of the loop that is being built, of a streamed source. */
static int gathered_in_turn(const struct build *b, const struct fuse_holding *need) {
    for (int i = 0; i < b->plan->steps.n; i++) {
        const struct fuse_step *step = &b->plan->steps.at[i];
        if (step->kind == FUSE_STEP_MOVE && step->loop == b->loop && step->need.kind == FUSE_HOLDING_NEED &&
            need_the_same(b->plan, &step->need, need))
            return step->to;
    }
    return -1;
}

/* In turns of a recursion, what is the same in all of them is gathered once; that costs memory, so it is for programs that
 * have enough. */
static bool stays_over_turns(const struct build *b, int value) {
    return fuse_build_is_constant(b, value) && b->effort->budget_bytes == INT64_MAX;
}

static int get_input(struct build *b, int number, int k, const struct fuse_holding *need, bool again) {
    int before = need->loop < 0                   ? gathered_before(b, need)
                 : b->plan->streamed[need->value] ? gathered_in_turn(b, need)
                                                  : -1;
    if (before >= 0)
        return before;
    bool hoisted = fuse_build_hoist(b, need->loop < 0 && stays_over_turns(b, need->value));
    int to = again ? fuse_build_compute_again(b, number, k, need) : move_input(b, number, k, need);
    (void)fuse_build_hoist(b, hoisted);
    if (need->loop < 0)
        fuse_vec_push(b->plan->arena, &b->gathered, b->plan->steps.n - 1);
    return to;
}

int fuse_build_bring_input(struct build *b, int number, int k, const struct fuse_layout *partition, int loop, int cut) {
    struct fuse_holding need = needed(b, number, k, partition, loop, cut);
    return get_input(b, number, k, &need, false);
}

int fuse_build_gather_input(struct build *b, int number, int k, int loop, int cut) {
    struct fuse_holding need = needed(b, number, k, &b->plan->partition[number], loop, cut);
    return get_input(b, number, k, &need, fuse_build_is_again(b, number, k));
}

struct fuse_step fuse_build_compute_step(const struct build *b, int number, int to) {
    const struct fuse_op *op = b->plan->ir->ops.at[number];
    enum fuse_step_kind kind = op->kind == FUSE_OP_EINSUM      ? FUSE_STEP_CONTRACT
                               : op->kind == FUSE_OP_JOIN      ? FUSE_STEP_JOIN
                               : op->kind == FUSE_OP_ATTENTION ? FUSE_STEP_ATTENTION
                                                               : FUSE_STEP_MAP;
    struct fuse_step step = fuse_build_new_step(b, kind, FUSE_PHASE_RUN, number);
    for (int k = 0; k < op->inputs; k++)
        step.in[k] = b->value_buffer[op->input[k].value];
    step.partition = b->plan->partition[number];
    step.to = to;
    return step;
}

bool fuse_build_needs_gather(const struct build *b, int number, int k) {
    const struct fuse_plan *plan = b->plan;
    int v = plan->ir->ops.at[number]->input[k].value;
    if (fuse_build_is_again(b, number, k))
        return true;
    if (!plan->streamed[v])
        return fuse_cost_needs_gather(plan, number, k, &plan->partition[number], &plan->layout[v]);
    const struct fuse_holding *slab = &plan->buffers.at[b->value_buffer[v]].holding;
    return slab->dealt > 0 || fuse_cost_needs_gather(plan, number, k, &plan->partition[number], &slab->layout);
}

static void compute(struct build *b, int number, int to, int64_t out_bytes) {
    struct fuse_plan *plan = b->plan;
    const struct fuse_op *op = plan->ir->ops.at[number];
    const struct fuse_layout *partition = &plan->partition[number];
    struct gather gather[FUSE_MAX_INPUTS] = {{0}};
    struct fuse_step step = fuse_build_compute_step(b, number, to);
    if (op->kind == FUSE_OP_JOIN)
        step.in[0] = fuse_build_tuples(b, number);
    for (int k = 0; k < op->inputs; k++) {
        int v = op->input[k].value;
        if (fuse_is_relation(plan->ir, v))
            continue;
        gather[k].needed = fuse_build_needs_gather(b, number, k);
        gather[k].again = fuse_build_is_again(b, number, k);
        if (gather[k].needed && stays_over_turns(b, v)) {
            step.in[k] = fuse_build_gather_input(b, number, k, -1, -1);
            gather[k].needed = false;
        }
        struct fuse_holding need = {
            .kind = FUSE_HOLDING_NEED, .value = v, .layout = *partition, .op = number, .input = k, .loop = -1};
        gather[k].bytes = fuse_sat_mul(fuse_holding_max_elems(plan, &need), fuse_build_dtype_bytes(b, v));
    }
    int index, halves, flights = 0;
    int64_t turns = choose_panels(b, number, gather, out_bytes, &index, &halves);
    for (int k = 0; k < op->inputs; k++) {
        gather[k].looped = gather[k].needed && turns > 1 && fuse_build_reads_index(&op->input[k], index);
        if (gather[k].needed && !gather[k].looped)
            step.in[k] = fuse_build_gather_input(b, number, k, -1, -1);
        else if (gather[k].needed && gather[k].again)
            fuse_build_prepare_again(b, number, k);
    }
    if (turns > 1) {
        struct fuse_region loop = panel_loop(b, number, gather, index, turns);
        int region = fuse_build_open_loop(b, loop);
        for (int k = 0; k < op->inputs; k++) {
            if (!gather[k].looped)
                continue;
            int resident = step.in[k];
            step.in[k] = fuse_build_gather_input(b, number, k, region, index);
            if (halves == 2 && flights < FUSE_PLAN_FLIGHTS && !gather[k].again &&
                plan->buffers.at[resident].holding.loop < 0) {
                fuse_build_double_panels(b, step.in[k], resident);
                flights++;
            }
        }
        if (flights > 0 && op->kind != FUSE_OP_JOIN)
            step.slices = count_slices(plan, number, loop.turns);
        /* The buffers that wait outside are used as long as the loop runs, which is one position. */
        step.loop = region;
        step.cut = index;
        step.accumulate = is_projected(plan, op, index);
    }
    fuse_build_add_step(b, &step);
    if (turns > 1)
        fuse_build_close_loop(b);
}

/* ---- results -------------------------------------------------------------------------------------------------- */

/* How the result of an operation becomes its value. Reducing everywhere leaves the block as it was: the partial buffer
 * becomes the value's. */
bool fuse_build_ends_in_place(const struct build *b, int number) {
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
               use->access.at[a].offset == 0 && !fuse_access_is_paired(&use->access.at[a]);
    return same;
}

/* The operand that a map may write its result over: nobody reads it afterwards, and the map reads it nowhere but at the
 * place of the result. A value, or -1 if there is none. */
int fuse_build_operand_to_overwrite(const struct build *b, int number) {
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
                   (reads_identically(op, &op->input[j], out->rank) && !fuse_build_needs_gather(b, number, j));
        if (ours)
            return v;
    }
    return -1;
}

int fuse_build_add_result_buffer(struct build *b, int number) {
    int value = b->plan->ir->ops.at[number]->out, overwritten = fuse_build_operand_to_overwrite(b, number);
    const struct fuse_layout *natural = &b->choice[number].natural;
    bool in_place = fuse_build_ends_in_place(b, number);
    if (overwritten >= 0)
        return b->value_buffer[overwritten];
    struct fuse_holding held =
        in_place ? fuse_build_buffer_holding(b, value, natural) : fuse_build_slab_holding(b, value, natural);
    return fuse_build_add_buffer(b, in_place ? 'v' : 'p', &held);
}

/* Reduces partial results, and moves them to the value's layout if that is another. */
void fuse_build_finish(struct build *b, int number, int to) {
    struct fuse_plan *plan = b->plan;
    const struct fuse_op *op = plan->ir->ops.at[number];
    const struct fuse_layout *reduced = &b->choice[number].reduced, *final = &plan->layout[op->out];
    struct fuse_layout now = b->choice[number].natural;
    const int inner = fuse_mesh_node_dim(&plan->mesh, plan->request.machine.ranks_per_node);
    for (int level = 0; level < plan->mesh.dims; level++)
        for (int i = 0; i < plan->mesh.dims; i++) {
            /* Outer levels first, so that each step splits what the one before has left; dimensions within nodes before those
             * between, which then have less to add up. A sum's tree is joined from its leaves on, inner dimensions first, and
             * `reduced` was made likewise. */
            int d = fuse_sum_is_ordered(plan, number) ? plan->mesh.dims - 1 - i : (inner + i) % plan->mesh.dims;
            if (now.axis[d] != FUSE_PARTIAL || reduced->level[d] > level)
                continue;
            struct fuse_step reduce = fuse_build_new_step(b, FUSE_STEP_REDUCE, FUSE_PHASE_RUN, number);
            reduce.from = reduce.to = to;
            reduce.dim = d;
            reduce.have = fuse_build_slab_holding(b, op->out, &now);
            now.axis[d] = reduced->axis[d];
            now.level[d] = reduced->level[d];
            reduce.need = fuse_build_slab_holding(b, op->out, &now);
            fuse_build_add_step(b, &reduce);
        }
    if (fuse_build_ends_in_place(b, number)) {
        plan->buffers.at[to].holding.layout = *final;
        b->value_buffer[op->out] = to;
        return;
    }
    struct fuse_step move = fuse_build_new_step(b, FUSE_STEP_MOVE, FUSE_PHASE_RUN, number);
    move.from = to;
    move.have = fuse_build_slab_holding(b, op->out, reduced);
    move.need = fuse_build_slab_holding(b, op->out, final);
    struct fuse_holding held = fuse_build_buffer_holding(b, op->out, final);
    move.to = b->value_buffer[op->out] = fuse_build_add_buffer(b, 'v', &held);
    fuse_build_add_move(b, &move);
}

/* A copy that lies otherwise than its operand, as policies ask for it: moving is all there is to do. */
static bool only_moves(const struct build *b, int number) {
    const struct fuse_plan *plan = b->plan;
    const struct fuse_op *op = plan->ir->ops.at[number];
    if (!fuse_op_is_copy(plan->ir, op) || b->loop >= 0)
        return false;
    const struct fuse_use *use = &op->input[0];
    const struct fuse_value *from = &plan->ir->values.at[use->value], *to = &plan->ir->values.at[op->out];
    bool same = from->rank == to->rank;
    for (int a = 0; a < to->rank && same; a++)
        same = from->extent[a] == to->extent[a];
    return same && reads_identically(op, use, to->rank) && !fuse_is_relation(plan->ir, use->value) &&
           !plan->streamed[use->value] && !plan->inner[use->value] && !plan->inner[op->out] &&
           !fuse_layout_equal(&plan->layout[use->value], &plan->layout[op->out]);
}

static void relocate(struct build *b, int number) {
    struct fuse_plan *plan = b->plan;
    const struct fuse_op *op = plan->ir->ops.at[number];
    int from = op->input[0].value;
    struct fuse_step move = fuse_build_new_step(b, FUSE_STEP_MOVE, FUSE_PHASE_RUN, number);
    move.from = b->value_buffer[from];
    move.have = fuse_build_layout_holding(from, &plan->layout[from]);
    move.need = fuse_build_layout_holding(op->out, &plan->layout[op->out]);
    move.to = b->value_buffer[op->out] = fuse_build_add_buffer(b, 'v', &move.need);
    fuse_build_add_move(b, &move);
}

void fuse_build_emit_operation(struct build *b, int number) {
    const struct fuse_op *op = b->plan->ir->ops.at[number];
    if (b->nowhere[op->out])
        return;
    for (int k = 0; k < op->inputs; k++)
        fuse_build_load_value(b, op->input[k].value);
    if (only_moves(b, number)) {
        relocate(b, number);
        return;
    }
    int to = fuse_build_add_result_buffer(b, number);
    compute(b, number, to, b->plan->buffers.at[to].bytes);
    fuse_build_finish(b, number, to);
}
