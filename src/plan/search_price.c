/* What choices of layouts and partitions cost, and which there are. Results are kept: programs repeat themselves. */
#include "plan/search_internal.h"

#include "plan/cost.h"
#include "plan/memo.h"
#include "plan/ordered.h"
#include "plan/stream.h"
#include <string.h>

#define MAX_PARTITIONS 2048
#define TURNS 64    /* that a recursion is reckoned to take */
#define HIDDEN 4096 /* what passes at the side of something slower counts for this part of its price */

bool fuse_search_cheaper(struct fuse_search_price a, struct fuse_search_price b) {
    if (a.over_bytes != b.over_bytes)
        return a.over_bytes < b.over_bytes;
    return a.time_ps != b.time_ps ? a.time_ps < b.time_ps : a.bytes < b.bytes;
}

/* The request says how it is laid out. */
static bool is_pinned(const struct fuse_search *s, int value) {
    return s->plan->ir->values.at[value].pin > 0;
}

bool fuse_search_is_small(const struct fuse_search *s, int value) {
    return !is_pinned(s, value) && fuse_value_bytes(&s->plan->ir->values.at[value]) < s->plan->request.replicate_below;
}

const struct fuse_op *fuse_search_producer(const struct fuse_search *s, int value) {
    return s->plan->ir->ops.at[s->plan->ir->values.at[value].op];
}

/* Read or written into the plan, and laid out as its users like it. A relation has no layout. */
bool fuse_search_is_loaded(const struct fuse_search *s, int value) {
    enum fuse_op_kind kind = fuse_search_producer(s, value)->kind;
    return !fuse_is_relation(s->plan->ir, value) && (kind == FUSE_OP_SOURCE || kind == FUSE_OP_LITERAL);
}

bool fuse_search_follows_users(const struct fuse_search *s, int value) {
    return fuse_search_is_loaded(s, value) && !fuse_search_is_small(s, value) && !is_pinned(s, value);
}

int64_t fuse_search_turns_of(const struct fuse_search *s, int op) {
    int chain = s->plan->chain[op];
    return chain < 0 ? 1 : s->plan->chains.at[chain].turns;
}

/* How often an operation is carried out: that of a recursion in every turn. */
int64_t fuse_search_repeats(const struct fuse_search *s, int op) {
    return s->plan->recursion[op] >= 0 && s->plan->ir->ops.at[op]->kind != FUSE_OP_CARRY ? TURNS : 1;
}

/* How often it needs a value anew. */
static int64_t brings(const struct fuse_search *s, int op, int value) {
    return s->plan->recursion[op] >= 0 && s->plan->recursion[s->plan->ir->values.at[value].op] == s->plan->recursion[op]
               ? TURNS
               : 1;
}

/* What a rank holds of a value; of an inner one of a chain, a slab. */
int64_t fuse_search_block_bytes(const struct fuse_search *s, int value, const struct fuse_layout *layout) {
    int64_t bytes = fuse_cost_block_bytes(s->plan, value, layout);
    if (s->plan->streamed[value])
        return bytes / fuse_search_turns_of(s, s->user[s->user_begin[value]]);
    return s->plan->inner[value] ? bytes / fuse_search_turns_of(s, s->plan->ir->values.at[value].op) : bytes;
}

int64_t fuse_search_indices(const struct fuse_use *use) {
    int64_t indices = 0;
    for (int a = 0; a < use->access.rank; a++)
        if (use->access.at[a].index >= 0)
            indices |= (int64_t)1 << use->access.at[a].index;
    return indices;
}

static bool comes_in_slabs(const struct fuse_search *s, int op, int input) {
    int index = s->plan->slab_index[op];
    return index >= 0 && fuse_search_indices(&s->plan->ir->ops.at[op]->input[input]) >> index & 1;
}

int64_t fuse_search_exchange_ps(const struct fuse_search *s, struct fuse_traffic in, int64_t held, int64_t turns) {
    in.messages = turns > 1 ? fuse_sat_mul(in.messages, turns * FUSE_COST_WAITS) : in.messages;
    return fuse_cost_bring_ps(s->plan, in, held);
}

/* ---- what is asked for again and again ---- */

#define MAX_WORDS (16 * FUSE_MAX_AXES)

static int add_extents(int64_t *word, int n, int count, const int64_t *extent) {
    word[n++] = count;
    for (int i = 0; i < count; i++)
        word[n++] = extent[i];
    return n;
}

static int classify_gather(const struct fuse_search *s, int number, int input) {
    const struct fuse_op *op = s->plan->ir->ops.at[number];
    const struct fuse_use *use = &op->input[input];
    const struct fuse_value *value = &s->plan->ir->values.at[use->value];
    int64_t word[MAX_WORDS] = {FUSE_SEARCH_GATHER, (int64_t)fuse_dtype_bytes(value->dtype)};
    int n = add_extents(word, 2, op->indices, op->extent);
    n = add_extents(word, n, value->rank, value->extent);
    for (int a = 0; a < use->access.rank; a++) {
        const struct fuse_access_axis *at = &use->access.at[a];
        const int64_t map[] = {at->index, at->stride, at->offset, at->divide, at->modulo};
        for (int i = 0; i < 5; i++)
            word[n++] = map[i];
    }
    /* In a chain, what changes from slab to slab comes at every turn. */
    word[n++] = comes_in_slabs(s, number, input) ? fuse_search_turns_of(s, number) : 1;
    n = fuse_ordered_words(word, n, s->plan, number);
    return fuse_memo_class(s->memo, word, n);
}

static int classify_value(const struct fuse_search *s, int value, int what) {
    const struct fuse_value *v = &s->plan->ir->values.at[value];
    const struct fuse_op *op = fuse_search_producer(s, value);
    int64_t word[MAX_WORDS] = {what, (int64_t)fuse_dtype_bytes(v->dtype)};
    int n = add_extents(word, 2, v->rank, v->extent);
    if (what == FUSE_SEARCH_FINISH) {
        word[n++] = s->plan->slab_axis[value];
        word[n++] = s->plan->inner[value];
        word[n++] = fuse_search_turns_of(s, v->op);
        word[n++] = v->pin;
        word[n++] = fuse_sum_is_ordered(s->plan, v->op);
    } else {
        word[n++] = op->kind == FUSE_OP_LITERAL;
        word[n++] = op->kind == FUSE_OP_SOURCE && op->probe.reversed;
    }
    return fuse_memo_class(s->memo, word, n);
}

static int classify_space(const struct fuse_search *s, int number) {
    const struct fuse_op *op = s->plan->ir->ops.at[number];
    const struct fuse_value *out = &s->plan->ir->values.at[op->out];
    int chain = s->plan->chain[number];
    int64_t word[MAX_WORDS] = {FUSE_SEARCH_SPACE,
                               (int64_t)op->kind,
                               op->inputs,
                               (int64_t)out->dtype,
                               op->body ? fuse_cost_body_work(op) : 0,
                               op->reduce != FUSE_REDUCE_NONE,
                               s->plan->slab_index[number],
                               chain < 0 ? -1 : s->plan->chains.at[chain].dims};
    int n = add_extents(word, 8, op->indices, op->extent);
    for (int a = 0; a < out->rank; a++)
        word[n++] = op->out_index[a];
    word[n++] = op->kind == FUSE_OP_JOIN ? number : -1; /* tuples make each of its own */
    int64_t shift = 0;
    word[n++] = fuse_attention_row(s->plan->ir, op, &shift);
    word[n++] = shift;
    /* A map takes its time for reading, too. */
    for (int k = 0; k < op->inputs && op->kind == FUSE_OP_MAP; k++)
        word[n++] = fuse_search_indices(&op->input[k]);
    n = fuse_ordered_words(word, n, s->plan, number);
    return fuse_memo_class(s->memo, word, n);
}

void fuse_search_classify(struct fuse_search *s, struct fuse_arena *arena) {
    const struct fuse_ir *ir = s->plan->ir;
    int uses = 0;
    s->memo = fuse_memo_open(arena, s->plan->mesh.dims);
    s->input_begin = FUSE_NEW_ARRAY(arena, int, ir->ops.n + 1);
    for (int o = 0; o < ir->ops.n; o++) {
        s->input_begin[o] = uses;
        uses += ir->ops.at[o]->inputs;
    }
    s->gather_class = FUSE_NEW_ARRAY(arena, int, uses + 1);
    for (int o = 0; o < ir->ops.n; o++)
        for (int k = 0; k < ir->ops.at[o]->inputs; k++)
            s->gather_class[s->input_begin[o] + k] = classify_gather(s, o, k);
    s->finish_class = FUSE_NEW_ARRAY(arena, int, ir->values.n + 1);
    s->load_class = FUSE_NEW_ARRAY(arena, int, ir->values.n + 1);
    s->store_class = FUSE_NEW_ARRAY(arena, int, ir->values.n + 1);
    for (int v = 0; v < ir->values.n; v++) {
        s->finish_class[v] = classify_value(s, v, FUSE_SEARCH_FINISH);
        s->load_class[v] = classify_value(s, v, FUSE_SEARCH_LOAD);
        s->store_class[v] = classify_value(s, v, FUSE_SEARCH_STORE);
    }
    fuse_search_classify_again(s, uses);
    s->space = FUSE_NEW_ARRAY(arena, struct fuse_search_space *, ir->ops.n + 1);
    s->scratch = FUSE_NEW_ARRAY(arena, struct fuse_layout, MAX_PARTITIONS);
}

/* The partitions of an operation; listed once for all of its class. */
const struct fuse_search_space *fuse_search_space_of(struct fuse_search *s, int number) {
    const struct fuse_plan *plan = s->plan;
    struct fuse_arena *arena = plan->arena;
    if (s->space[number])
        return s->space[number];
    int class = classify_space(s, number);
    for (int i = s->space_class.n - 1; i >= 0; i--)
        if (s->space_class.at[i] == class)
            return s->space[number] = s->spaces.at[i];
    struct fuse_search_space *space = FUSE_NEW(arena, struct fuse_search_space);
    space->n = fuse_plan_partitions(s->scratch, MAX_PARTITIONS, plan, number);
    space->partition = FUSE_NEW_ARRAY(arena, struct fuse_layout, space->n);
    memcpy(space->partition, s->scratch, (size_t)space->n * sizeof *s->scratch);
    space->natural = FUSE_NEW_ARRAY(arena, struct fuse_layout, space->n);
    space->compute_ps = FUSE_NEW_ARRAY(arena, int64_t, space->n);
    space->panels = FUSE_NEW_ARRAY(arena, struct fuse_search_panels, space->n);
    for (int i = 0; i < space->n; i++) {
        space->natural[i] = fuse_plan_natural(plan, number, &space->partition[i]);
        space->compute_ps[i] = fuse_cost_compute_ps(plan, number, &space->partition[i]);
        space->panels[i] = fuse_search_panels_of(s, number, &space->partition[i]);
    }
    space->finish = FUSE_NEW_ARRAY(arena, const struct fuse_search_finish *, space->n);
    space->finish_class = s->finish_class[plan->ir->ops.at[number]->out];
    space->number = s->spaces.n;
    fuse_vec_push(arena, &s->spaces, space);
    fuse_vec_push(arena, &s->space_class, class);
    return s->space[number] = space;
}

/* ---- exchanges with files and neighbours ---- */

/* A file, and the exchange between its contiguous ranges and a layout. While the file is read or written its bytes travel at
 * its side, and only decide between layouts that are otherwise equal: sources are laid out for their users, not the other way
 * round. What a layout takes beyond a share of the file, copies of it, counts in full. */
static int64_t price_file(const struct fuse_search *s, int value, const struct fuse_layout *layout, bool store) {
    const struct fuse_op *op = fuse_search_producer(s, value);
    bool reversed = !store && op->kind == FUSE_OP_SOURCE && op->probe.reversed;
    if (!store && op->kind == FUSE_OP_LITERAL)
        return 0;
    const struct fuse_value *v = &s->plan->ir->values.at[value];
    int64_t block = fuse_cost_block_bytes(s->plan, value, layout);
    struct fuse_holding ranges = fuse_cost_file_ranges(s->plan, value, reversed);
    int64_t range = fuse_value_bytes(v) / ranges.aggregators;
    bool is_direct = fuse_cost_file_direct(s->plan, value, layout, reversed);
    int64_t bytes = is_direct && block < range ? block : range;
    int64_t time = fuse_sat_mul(bytes, s->plan->request.machine.file_ps_per_kib) / 1024;
    if (is_direct)
        return time;
    struct fuse_traffic in = fuse_cost_file(s->plan, value, layout, reversed, store);
    /* Ranges and blocks are not all of one size. */
    int64_t share = fuse_value_bytes(v) / s->plan->mesh.used;
    int64_t most = fuse_sat_mul(fuse_holding_max_elems(s->plan, &ranges), (int64_t)fuse_dtype_bytes(v->dtype));
    most = most > share + share / 4 ? most : share + share / 4;
    int64_t uneven = in.bytes > most ? in.bytes - most : 0;
    time = fuse_sat_add(time, fuse_cost_receive_ps(s->plan, fuse_cost_from_anywhere(s->plan, uneven, in.messages)));
    return fuse_sat_add(time, fuse_cost_receive_ps(s->plan, fuse_cost_from_anywhere(s->plan, in.bytes, 0)) / HIDDEN);
}

int64_t fuse_search_file_ps(const struct fuse_search *s, int value, const struct fuse_layout *layout, bool store) {
    bool is_there;
    int64_t *result = fuse_memo_find(s->memo, &is_there, (store ? s->store_class : s->load_class)[value], layout, NULL);
    if (!is_there)
        result[0] = price_file(s, value, layout, store);
    return result[0];
}

/* Time to bring an input from `have` to where `partition` needs it; *held is what the gathered copy occupies. */
static int64_t price_gather(const struct fuse_search *s, int op, int input, const struct fuse_layout *partition,
                            const struct fuse_layout *have, int64_t *held, struct fuse_cost_aside *aside) {
    bool copied, in_slabs = comes_in_slabs(s, op, input);
    struct fuse_cost_way way = fuse_cost_gather(s->plan, op, input, partition, have, !in_slabs, &copied);
    *held = 0;
    if (copied) {
        struct fuse_holding need = {
            .kind = FUSE_HOLDING_NEED, .layout = *partition, .op = op, .input = input, .loop = -1};
        need.value = s->plan->ir->ops.at[op]->input[input].value;
        *held = fuse_sat_mul(fuse_holding_max_elems(s->plan, &need),
                             (int64_t)fuse_dtype_bytes(s->plan->ir->values.at[need.value].dtype));
    }
    /* In a chain, what changes from slab to slab comes at every turn. */
    *aside = fuse_cost_first_stage(s->plan, &way, *held);
    return fuse_search_exchange_ps(s, way.all, *held, in_slabs ? fuse_search_turns_of(s, op) : 1);
}

/* Time, bytes held, and what of the time may pass at the side of something: it and the processor's part of it. */
static const int64_t *gather_of(const struct fuse_search *s, int op, int input, const struct fuse_layout *partition,
                                const struct fuse_layout *have) {
    bool is_there;
    int64_t *result = fuse_memo_find(s->memo, &is_there, s->gather_class[s->input_begin[op] + input], partition, have);
    if (!is_there) {
        struct fuse_cost_aside aside;
        result[0] = price_gather(s, op, input, partition, have, &result[1], &aside);
        result[2] = aside.time_ps;
        result[3] = aside.processor_ps;
    }
    return result;
}

int64_t fuse_search_move_ps(const struct fuse_search *s, int op, int input, const struct fuse_layout *partition,
                            const struct fuse_layout *have, int64_t *held) {
    const int64_t *result = gather_of(s, op, input, partition, have);
    *held = result[1];
    return result[0];
}

struct fuse_cost_aside fuse_search_aside(const struct fuse_search *s, int op, int input,
                                         const struct fuse_layout *partition, const struct fuse_layout *have) {
    const int64_t *result = gather_of(s, op, input, partition, have);
    return (struct fuse_cost_aside){result[2], result[3]};
}

int64_t fuse_search_gather_ps(const struct fuse_search *s, int op, int input, const struct fuse_layout *partition,
                              const struct fuse_layout *have, int64_t *held) {
    int64_t once = fuse_search_move_ps(s, op, input, partition, have, held), held_again;
    int64_t again = fuse_search_again_ps(s, op, input, partition, once, &held_again);
    if (again < once) {
        once = again;
        *held = held_again;
    }
    return fuse_sat_mul(once, brings(s, op, s->plan->ir->ops.at[op]->input[input].value));
}

struct fuse_search_bring **fuse_search_row_of(struct fuse_search *s, int op, int input,
                                              const struct fuse_layout *have) {
    bool is_there;
    const struct fuse_search_space *space = fuse_search_space_of(s, op);
    const int at = s->input_begin[op] + input;
    const int64_t word[] = {FUSE_SEARCH_ROW, s->gather_class[at], s->again_class[at], space->number};
    struct fuse_search_bring **row;
    int64_t *result = fuse_memo_find(s->memo, &is_there, fuse_memo_class(s->memo, word, 4), have, NULL);
    if (!is_there) {
        row = FUSE_NEW_ARRAY(s->plan->arena, struct fuse_search_bring *, space->n);
        memcpy(result, &row, sizeof row);
    }
    memcpy(&row, result, sizeof row);
    return row;
}

int64_t fuse_search_row_ps(const struct fuse_search *s, struct fuse_search_bring **row, int at, int op, int input,
                           const struct fuse_layout *have, int64_t *held) {
    struct fuse_search_bring *bring = row[at];
    if (!bring) {
        bring = row[at] = FUSE_NEW(s->plan->arena, struct fuse_search_bring);
        bring->time_ps = fuse_search_move_ps(s, op, input, &s->space[op]->partition[at], have, &bring->held);
        bring->again_ps = fuse_search_compute_again_ps(s, op, input, &s->space[op]->partition[at], bring->time_ps,
                                                       &bring->held_again);
    }
    int64_t time = bring->time_ps;
    *held = bring->held;
    if (bring->again_ps < time) {
        int64_t again = fuse_search_again_from_ps(s, op, input, &s->space[op]->partition[at], bring->again_ps, time);
        *held = again < time ? bring->held_again : bring->held;
        time = again < time ? again : time;
    }
    return fuse_sat_mul(time, brings(s, op, s->plan->ir->ops.at[op]->input[input].value));
}

int64_t fuse_search_users_ps(const struct fuse_search *s, int value, const struct fuse_layout *layout, int except_op,
                             int64_t limit) {
    int64_t time = 0, held;
    for (int u = s->user_begin[value]; u < s->user_begin[value + 1] && time <= limit; u++) {
        int op = s->user[u];
        if (op == except_op || !s->decided[op])
            continue;
        const struct fuse_op *user = s->plan->ir->ops.at[op];
        for (int k = 0; k < user->inputs; k++) {
            if (user->input[k].value != value)
                continue;
            if (user->kind == FUSE_OP_FIXPOINT && k == 0)
                continue; /* it follows */
            if (user->kind == FUSE_OP_SINK)
                time = fuse_sat_add(time, fuse_search_file_ps(s, value, layout, true));
            else
                time = fuse_sat_add(time, fuse_search_gather_ps(s, op, k, &s->plan->partition[op], layout, &held));
        }
    }
    return time;
}

/* The best layout for a loaded value that `op` reads as `input` under `partition`. The one with the fewest copies comes
 * first: what replication a step needs, it gathers and drops, so that no rank keeps more than its share. */
int64_t fuse_search_place_loaded(const struct fuse_search *s, int op, int input, const struct fuse_layout *partition,
                                 struct fuse_layout *best, int64_t *held, int64_t *block) {
    const struct fuse_plan *plan = s->plan;
    int v = plan->ir->ops.at[op]->input[input].value, rank = plan->ir->values.at[v].rank;
    struct fuse_layout base = fuse_plan_project(plan, op, input, partition);
    struct fuse_search_price lowest = {INT64_MAX, INT64_MAX, INT64_MAX};
    int64_t fewest = INT64_MAX;
    int streamed = plan->streamed[v] ? fuse_stream_axis(plan, plan->chain[op], v) : -1; /* is split as the chain says */
    /* choice -1 leaves the remaining dimensions replicated; choice a splits axis a over them as well */
    for (int a = -1; a < rank; a++) {
        struct fuse_layout layout = base;
        bool changed = false;
        for (int d = 0; a >= 0 && d < plan->mesh.dims; d++)
            if (layout.axis[d] == FUSE_REPLICATED &&
                fuse_layout_parts(&layout, &plan->mesh, a) * plan->mesh.dim[d] <= plan->ir->values.at[v].extent[a]) {
                fuse_layout_split(&layout, &plan->mesh, d, a);
                changed = true;
            }
        if (a >= 0 && (!changed || a == streamed))
            continue;
        int64_t gathered, bytes = fuse_search_block_bytes(s, v, &layout);
        int64_t time = fuse_search_gather_ps(s, op, input, partition, &layout, &gathered);
        time = fuse_sat_add(time, fuse_search_file_ps(s, v, &layout, false));
        time = fuse_sat_add(time, fuse_search_users_ps(s, v, &layout, op, INT64_MAX));
        int64_t over = s->effort->budget_bytes == INT64_MAX ? 0 : fuse_sat_add(bytes, s->live[plan->position[op]]);
        over = over > s->effort->budget_bytes ? over - s->effort->budget_bytes : 0;
        struct fuse_search_price price = {over, time, bytes};
        int64_t copies = fuse_layout_parts(&layout, &plan->mesh, FUSE_REPLICATED);
        if (copies < fewest || (copies == fewest && fuse_search_cheaper(price, lowest))) {
            fewest = copies;
            lowest = price;
            *best = layout;
            *held = gathered;
            *block = bytes;
        }
    }
    return lowest.time_ps;
}

/* What it costs in all turns of a recursion, and behind it, that a tensor is carried under a layout. */
static int64_t carry_ps(const struct fuse_search *s, int carried, const struct fuse_layout *layout) {
    int64_t time = 0, held;
    for (int u = s->user_begin[carried]; u < s->user_begin[carried + 1]; u++) {
        int op = s->user[u];
        const struct fuse_op *fixpoint = s->plan->ir->ops.at[op];
        if (fixpoint->kind != FUSE_OP_FIXPOINT || fixpoint->input[0].value != carried)
            continue;
        int next = fixpoint->input[1].value;
        if (s->placed[next])
            time = fuse_sat_add(time, fuse_search_gather_ps(s, op, 1, layout, &s->plan->layout[next], &held));
        time = fuse_sat_add(time, fuse_search_users_ps(s, fixpoint->out, layout, -1, INT64_MAX));
    }
    return time;
}

/* ---- one operation -------------------------------------------------------------------------------------------- */

/* What a gathered operand occupies at the least, when it arrives in panels of its longest index. */
static int64_t panelled(const struct fuse_search *s, int op_number, int input, const struct fuse_layout *partition,
                        int64_t held) {
    const struct fuse_op *op = s->plan->ir->ops.at[op_number];
    const struct fuse_access *access = &op->input[input].access;
    int slab_index = s->plan->slab_index[op_number];
    int64_t longest = 1;
    /* A chain has no panels: what does not shrink with its slabs is held whole. */
    for (int a = 0; a < access->rank; a++)
        if (access->at[a].index >= 0 && (slab_index < 0 || access->at[a].index == slab_index)) {
            int64_t n =
                op->extent[access->at[a].index] / fuse_layout_parts(partition, &s->plan->mesh, access->at[a].index);
            longest = n > longest ? n : longest;
        }
    return held / (longest > 64 ? longest / 64 : 1);
}

/* What is brought for a partition, and computed with: its memory, and which of it ends with the operation. */
struct need {
    int64_t held, dying;
};

/* Adds the price of input k of a partition, and what comes of it in panels. */
static void add_input(struct fuse_search_price *price, struct need *need, struct fuse_search_brought *brought,
                      const struct fuse_search *s, int number, int k, const struct fuse_search_candidate *candidate,
                      const struct fuse_search_panels *panels) {
    const struct fuse_plan *plan = s->plan;
    const struct fuse_layout *partition = candidate->partition;
    int v = plan->ir->ops.at[number]->input[k].value;
    int64_t budget = s->effort->budget_bytes, held = 0, block = 0;
    struct fuse_layout layout;
    const struct fuse_layout *have = &plan->layout[v];
    if (fuse_is_relation(plan->ir, v)) {
        price->time_ps = fuse_sat_add(price->time_ps, fuse_cost_tuples_ps(plan, number, partition, &held));
        need->held = fuse_sat_add(need->held, held);
        return;
    }
    if (fuse_search_follows_users(s, v) && !s->placed[v]) {
        price->time_ps =
            fuse_sat_add(price->time_ps, fuse_search_place_loaded(s, number, k, partition, &layout, &held, &block));
        have = &layout;
    } else {
        int64_t move = candidate->at < 0
                           ? fuse_search_gather_ps(s, number, k, partition, have, &held)
                           : fuse_search_row_ps(s, candidate->row[k], candidate->at, number, k, have, &held);
        price->time_ps = fuse_sat_add(price->time_ps, move);
        block = budget == INT64_MAX ? 0 : fuse_search_block_bytes(s, v, have);
    }
    if (s->last[v] == plan->position[number])
        need->dying = fuse_sat_add(need->dying, block);
    if (budget != INT64_MAX)
        need->held = fuse_sat_add(need->held, panelled(s, number, k, partition, held));
    if (panels->index >= 0)
        fuse_search_bring_panels(brought, s, panels, number, k, partition, have, held);
}

/* Bytes beyond the budget while the operation computes, and while its result is finished. */
static int64_t over_bytes(const struct fuse_search *s, int number, const struct need *need, int64_t natural_bytes,
                          int64_t finished_bytes) {
    int64_t live = s->live[s->plan->position[number]], work = 2 * s->effort->workspace_bytes;
    int64_t computing = fuse_sat_add(fuse_sat_add(live, natural_bytes), fuse_sat_add(need->held, work));
    int64_t rest = live > need->dying ? live - need->dying : 0;
    int64_t finishing = fuse_sat_add(fuse_sat_add(rest, natural_bytes), fuse_sat_add(finished_bytes, work));
    int64_t most = computing > finishing ? computing : finishing, budget = s->effort->budget_bytes;
    return most > budget ? most - budget : 0;
}

struct fuse_search_price fuse_search_price_partition(struct fuse_search *s, int number,
                                                     const struct fuse_search_candidate *candidate,
                                                     struct fuse_search_price limit,
                                                     struct fuse_search_option *chosen) {
    const struct fuse_layout *natural = candidate->natural;
    const struct fuse_op *op = s->plan->ir->ops.at[number];
    int64_t times = fuse_search_repeats(s, number);
    const struct fuse_search_panels panels = candidate->at < 0 ? fuse_search_panels_of(s, number, candidate->partition)
                                                               : s->space[number]->panels[candidate->at];
    struct fuse_search_brought brought = {0, {0, 0}};
    struct fuse_search_price price = {0, fuse_sat_mul(candidate->compute_ps, times), 0};
    struct need need = {0, 0};
    for (int k = 0; k < op->inputs; k++) {
        add_input(&price, &need, &brought, s, number, k, candidate, &panels);
        int64_t aside = brought.aside.time_ps;
        aside = aside < candidate->compute_ps ? aside : candidate->compute_ps;
        if (limit.over_bytes == 0 && price.time_ps - aside > limit.time_ps)
            return price;
    }
    price.time_ps -= fuse_search_hidden_ps(s, &panels, &brought, candidate->compute_ps);
    const struct fuse_search_finish *finish = candidate->at < 0 ? fuse_search_finish_of(s, op->out, natural)
                                                                : fuse_search_finish_at(s, number, candidate->at);
    const struct fuse_search_option *option = finish->option;
    const int64_t natural_bytes = finish->natural_bytes;
    const int64_t longest = limit.over_bytes == 0 ? limit.time_ps : INT64_MAX;
    struct fuse_search_price lowest = {INT64_MAX, INT64_MAX, INT64_MAX};
    for (int i = 0; i < finish->options; i++) {
        struct fuse_search_price p = price;
        p.time_ps = fuse_sat_add(p.time_ps, fuse_sat_mul(option[i].time_ps, times));
        const int64_t most = lowest.over_bytes == 0 && lowest.time_ps < longest ? lowest.time_ps : longest;
        if (p.time_ps > most)
            continue;
        p.time_ps = fuse_sat_add(p.time_ps, fuse_search_users_ps(s, op->out, &option[i].final, -1, most - p.time_ps));
        if (p.time_ps > most)
            continue;
        if (op->kind == FUSE_OP_CARRY)
            p.time_ps = fuse_sat_add(p.time_ps, carry_ps(s, op->out, &option[i].final));
        int64_t final_bytes = option[i].final_bytes;
        p.bytes = fuse_sat_add(natural_bytes, final_bytes);
        if (s->effort->budget_bytes != INT64_MAX)
            p.over_bytes = over_bytes(s, number, &need, natural_bytes,
                                      fuse_layout_equal(natural, &option[i].final) ? 0 : final_bytes);
        if (fuse_search_cheaper(p, lowest)) {
            lowest = p;
            *chosen = option[i];
        }
    }
    return lowest;
}
