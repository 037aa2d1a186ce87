/* Greedy choice in program order, then sweeps that choose again with all neighbours known.
 *
 * The cost of a choice for one operation is the modelled time of: bringing its inputs, computing, finishing partials,
 * and what the layout of its output costs the users that have already chosen. Sources have no layout of their own until
 * their first user chooses: they take the one that is cheapest to load and to bring. */
#include "plan/search_internal.h"

#include "plan/cost.h"

#include <string.h>

#define SWEEPS 2

bool fuse_search_divides(enum fuse_op_kind kind) {
    return kind == FUSE_OP_EINSUM || kind == FUSE_OP_MAP || kind == FUSE_OP_JOIN || kind == FUSE_OP_CARRY ||
           kind == FUSE_OP_ATTENTION;
}

int fuse_search_candidates(const struct fuse_search *s, int number, const struct fuse_search_space *space) {
    const struct fuse_plan *plan = s->plan;
    const struct fuse_op *op = plan->ir->ops.at[number];
    int64_t elems = 1, most = 0;
    for (int i = 0; i < op->indices; i++)
        elems = fuse_sat_mul(elems, op->extent[i]);
    for (int k = 0; k < op->inputs; k++) {
        int64_t bytes = fuse_value_bytes(&plan->ir->values.at[op->input[k].value]);
        most = bytes > most ? bytes : most;
    }
    bool is_all_small = plan->chain[number] < 0 && elems <= plan->request.replicate_below &&
                        most < plan->request.replicate_below && fuse_search_is_small(s, op->out);
    return is_all_small ? 1 : space->n;
}

void fuse_search_adopt(struct fuse_search *s, int number, const struct fuse_layout *partition,
                       const struct fuse_search_option *option) {
    struct fuse_plan *plan = s->plan;
    const struct fuse_op *op = plan->ir->ops.at[number];
    plan->partition[number] = *partition;
    s->decided[number] = true;
    for (int k = 0; k < op->inputs; k++) {
        int v = op->input[k].value;
        if (fuse_search_follows_users(s, v) && !s->placed[v]) {
            int64_t held, block;
            fuse_search_place_loaded(s, number, k, &plan->partition[number], &plan->layout[v], &held, &block);
            s->placed[v] = true;
        }
    }
    s->choice[number].natural = fuse_plan_natural(plan, number, &plan->partition[number]);
    s->choice[number].reduced = option->reduced;
    plan->layout[op->out] = option->final;
    s->placed[op->out] = true;
}

/* What a recursion ends with lies as it is carried. */
static void follow_carry(struct fuse_search *s, int number) {
    struct fuse_plan *plan = s->plan;
    const struct fuse_op *op = plan->ir->ops.at[number];
    plan->partition[number] = plan->layout[op->out] = plan->layout[op->input[0].value];
    s->choice[number].natural = s->choice[number].reduced = plan->partition[number];
    s->decided[number] = s->placed[op->out] = true;
}

static void choose(struct fuse_search *s, int number) {
    struct fuse_plan *plan = s->plan;
    const struct fuse_op *op = plan->ir->ops.at[number];
    if (op->kind == FUSE_OP_FIXPOINT)
        follow_carry(s, number);
    if (!fuse_search_divides(op->kind))
        return;
    /* While this operation chooses, sources that nobody else uses are free to move with it. */
    for (int k = 0; k < op->inputs; k++) {
        int v = op->input[k].value;
        if (fuse_search_follows_users(s, v)) {
            bool only = true;
            for (int u = s->user_begin[v]; u < s->user_begin[v + 1]; u++)
                only &= s->user[u] == number || !s->decided[s->user[u]];
            if (only)
                s->placed[v] = false;
        }
    }
    const struct fuse_search_space *space = fuse_search_space_of(s, number);
    int n = fuse_search_candidates(s, number, space);
    struct fuse_search_bring **row[FUSE_MAX_INPUTS];
    for (int k = 0; k < op->inputs; k++)
        if (!fuse_is_relation(plan->ir, op->input[k].value))
            row[k] = fuse_search_row_of(s, number, k, &plan->layout[op->input[k].value]);
    struct fuse_search_price lowest = {INT64_MAX, INT64_MAX, INT64_MAX};
    struct fuse_search_option best = {fuse_layout_replicated(), fuse_layout_replicated(), 0, 0};
    int best_partition = 0;
    /* What was chosen in the sweep before comes first: most others are dearer at first sight. */
    for (int i = s->decided[number] ? -1 : 0; i < n; i++) {
        struct fuse_search_candidate candidate = {i, row, &plan->partition[number], &s->choice[number].natural, 0};
        if (i >= 0)
            candidate =
                (struct fuse_search_candidate){i, row, &space->partition[i], &space->natural[i], space->compute_ps[i]};
        else
            candidate.compute_ps = fuse_cost_compute_ps(plan, number, candidate.partition);
        struct fuse_search_option option = best;
        if (lowest.over_bytes == 0 &&
            fuse_sat_mul(candidate.compute_ps, fuse_search_repeats(s, number)) > lowest.time_ps)
            continue;
        struct fuse_search_price price = fuse_search_price_partition(s, number, &candidate, lowest, &option);
        if (fuse_search_cheaper(price, lowest)) {
            lowest = price;
            best = option;
            best_partition = i;
        }
    }
    s->changed |= best_partition >= 0 && s->decided[number] &&
                  !fuse_layout_equal(&plan->partition[number], &space->partition[best_partition]);
    s->changed |= s->decided[number] && !fuse_layout_equal(&plan->layout[op->out], &best.final);
    struct fuse_layout partition = best_partition >= 0 ? space->partition[best_partition] : plan->partition[number];
    fuse_search_adopt(s, number, &partition, &best);
}

/* Sources that only sinks or nobody read: contiguous rows. */
static void place_rest(struct fuse_search *s) {
    struct fuse_plan *plan = s->plan;
    for (int v = 0; v < plan->ir->values.n; v++) {
        if (s->placed[v] || fuse_search_is_small(s, v) || fuse_is_relation(plan->ir, v))
            continue;
        const struct fuse_value *value = &plan->ir->values.at[v];
        const struct fuse_op *op = fuse_search_producer(s, v);
        bool reversed = op->kind == FUSE_OP_SOURCE && op->probe.reversed;
        struct fuse_layout layout = fuse_layout_replicated();
        for (int i = 0; i < value->rank; i++) {
            int a = reversed ? value->rank - 1 - i : i;
            for (int d = 0; d < plan->mesh.dims; d++)
                if (layout.axis[d] == FUSE_REPLICATED &&
                    fuse_layout_parts(&layout, &plan->mesh, a) * plan->mesh.dim[d] <= value->extent[a])
                    fuse_layout_split(&layout, &plan->mesh, d, a);
        }
        plan->layout[v] = layout;
        s->placed[v] = true;
    }
}

/* Sources with several users: the layout that is cheapest for all of them, among those that one of them likes best. */
static void place_shared(struct fuse_search *s) {
    struct fuse_plan *plan = s->plan;
    for (int v = 0; v < plan->ir->values.n; v++) {
        if (!fuse_search_follows_users(s, v) || s->user_begin[v + 1] - s->user_begin[v] < 2)
            continue;
        int64_t lowest = INT64_MAX;
        for (int u = s->user_begin[v]; u < s->user_begin[v + 1]; u++) {
            int o = s->user[u];
            const struct fuse_op *op = plan->ir->ops.at[o];
            for (int k = 0; k < op->inputs && op->kind != FUSE_OP_SINK && op->kind != FUSE_OP_SPARSIFY; k++) {
                struct fuse_layout layout;
                int64_t held, block;
                if (op->input[k].value != v)
                    continue;
                int64_t time = fuse_search_place_loaded(s, o, k, &plan->partition[o], &layout, &held, &block);
                if (time < lowest) {
                    lowest = time;
                    plan->layout[v] = layout;
                    s->placed[v] = true;
                }
            }
        }
    }
}

/* Bytes of values alive around each operation, with undecided layouts taken as fully split. */
static void estimate_live(struct fuse_search *s) {
    const struct fuse_ir *ir = s->plan->ir;
    memset(s->live, 0, sizeof *s->live * (size_t)(ir->ops.n + 1));
    for (int v = 0; v < ir->values.n; v++) {
        if (fuse_is_relation(ir, v) ||
            fuse_search_producer(s, v)->kind == FUSE_OP_FIXPOINT) /* which is where its CARRY is */
            continue;
        int64_t bytes = fuse_search_is_small(s, v) ? fuse_value_bytes(&ir->values.at[v])
                        : s->placed[v]             ? fuse_search_block_bytes(s, v, &s->plan->layout[v])
                                                   : fuse_value_bytes(&ir->values.at[v]) / s->plan->mesh.used;
        int from = s->plan->position[ir->values.at[v].op] + 1, to = s->last[v];
        if (fuse_search_is_loaded(s, v))
            from = s->effort->lazy ? s->first[v] : 0;
        if (!s->effort->lazy)
            for (int u = s->user_begin[v]; u < s->user_begin[v + 1]; u++)
                if (ir->ops.at[s->user[u]]->kind == FUSE_OP_SINK)
                    to = ir->ops.n - 1;
        for (int at = from; at <= to && at < ir->ops.n; at++)
            s->live[at] = fuse_sat_add(s->live[at], bytes);
    }
}

static void decide_nothing(struct fuse_search *s) {
    struct fuse_plan *plan = s->plan;
    const struct fuse_ir *ir = plan->ir;
    for (int v = 0; v < ir->values.n; v++) {
        int pin = ir->values.at[v].pin;
        plan->layout[v] = pin > 0 ? fuse_pin_layout(&plan->mesh, &plan->request, &plan->request.pin[pin - 1])
                                  : fuse_layout_replicated();
        s->placed[v] = pin > 0;
    }
    for (int o = 0; o < ir->ops.n; o++) {
        plan->partition[o] = fuse_layout_replicated();
        s->choice[o].natural = s->choice[o].reduced = fuse_layout_replicated();
        s->decided[o] = ir->ops.at[o]->kind == FUSE_OP_SINK;
    }
}

static void sweep_all(struct fuse_search *s, int first) {
    for (int sweep = first; sweep <= SWEEPS; sweep++) {
        s->changed = false;
        if (s->effort->budget_bytes != INT64_MAX)
            estimate_live(s);
        for (int at = 0; at < s->plan->ir->ops.n; at++)
            choose(s, s->plan->order[at]);
        place_shared(s);
        place_rest(s);
        if (sweep > 0 && !s->changed)
            break;
    }
}

/* What all choices take together. */
static int64_t total_ps(const struct fuse_search *s) {
    const struct fuse_plan *plan = s->plan;
    int64_t total = 0, held;
    for (int o = 0; o < plan->ir->ops.n; o++) {
        const struct fuse_op *op = plan->ir->ops.at[o];
        if (op->kind == FUSE_OP_SINK && !fuse_is_relation(plan->ir, op->input[0].value))
            total = fuse_sat_add(total,
                                 fuse_search_file_ps(s, op->input[0].value, &plan->layout[op->input[0].value], true));
        if (op->kind == FUSE_OP_SOURCE && fuse_search_follows_users(s, op->out))
            total = fuse_sat_add(total, fuse_search_file_ps(s, op->out, &plan->layout[op->out], false));
        if (!fuse_search_divides(op->kind))
            continue;
        const int64_t computing = fuse_cost_compute_ps(plan, o, &plan->partition[o]);
        const struct fuse_search_panels panels = fuse_search_panels_of(s, o, &plan->partition[o]);
        struct fuse_search_brought brought = {0, {0, 0}};
        total = fuse_sat_add(total, computing);
        for (int k = 0; k < op->inputs; k++) {
            int v = op->input[k].value;
            bool is_relation = fuse_is_relation(plan->ir, v);
            int64_t move = is_relation ? fuse_cost_tuples_ps(plan, o, &plan->partition[o], &held)
                                       : fuse_search_gather_ps(s, o, k, &plan->partition[o], &plan->layout[v], &held);
            total = fuse_sat_add(total, move);
            if (!is_relation)
                fuse_search_bring_panels(&brought, s, &panels, o, k, &plan->partition[o], &plan->layout[v], held);
        }
        total -= fuse_search_hidden_ps(s, &panels, &brought, computing);
        const struct fuse_search_finish *finish = fuse_search_finish_of(s, op->out, &s->choice[o].natural);
        int64_t finishing = INT64_MAX;
        for (int f = 0; f < finish->options; f++)
            if (fuse_layout_equal(&finish->option[f].final, &plan->layout[op->out]) &&
                fuse_layout_equal(&finish->option[f].reduced, &s->choice[o].reduced))
                finishing = finish->option[f].time_ps < finishing ? finish->option[f].time_ps : finishing;
        total = fuse_sat_add(total, finishing);
    }
    return total;
}

/* A choice must be faster by one of so many parts, to be worth another plan. On several nodes, whose links others share, any is. */
#define WORTH 100

/* Sweeps from nothing; then from the tree's choice, and the faster of the two. */
static void choose_all(struct fuse_search *s) {
    struct fuse_plan *plan = s->plan;
    struct fuse_plan_choice *choice = s->choice;
    const struct fuse_ir *ir = plan->ir;
    struct fuse_arena *arena = plan->arena;
    size_t values = (size_t)ir->values.n, ops = (size_t)ir->ops.n;
    decide_nothing(s);
    sweep_all(s, 0);
    if (s->effort->budget_bytes != INT64_MAX || !fuse_search_has_tree(s))
        return;
    struct fuse_layout *layout = FUSE_NEW_ARRAY(arena, struct fuse_layout, ir->values.n + 1),
                       *partition = FUSE_NEW_ARRAY(arena, struct fuse_layout, ir->ops.n + 1);
    struct fuse_plan_choice *swept = FUSE_NEW_ARRAY(arena, struct fuse_plan_choice, ir->ops.n + 1);
    int64_t time = total_ps(s);
    memcpy(layout, plan->layout, values * sizeof *layout);
    memcpy(partition, plan->partition, ops * sizeof *partition);
    memcpy(swept, choice, ops * sizeof *swept);
    decide_nothing(s);
    fuse_search_tree(s);
    place_shared(s);
    place_rest(s);
    sweep_all(s, 1);
    if (total_ps(s) < time - (fuse_cost_has_nodes(plan) ? 0 : time / WORTH))
        return;
    memcpy(plan->layout, layout, values * sizeof *layout);
    memcpy(plan->partition, partition, ops * sizeof *partition);
    memcpy(choice, swept, ops * sizeof *swept);
}

void fuse_plan_search(struct fuse_plan *plan, const struct fuse_plan_effort *effort, struct fuse_plan_choice *choice) {
    const struct fuse_ir *ir = plan->ir;
    struct fuse_arena *arena = plan->arena;
    struct fuse_search s = {.plan = plan, .effort = effort, .choice = choice};
    s.decided = FUSE_NEW_ARRAY(arena, bool, ir->ops.n + 1);
    s.placed = FUSE_NEW_ARRAY(arena, bool, ir->values.n + 1);
    s.first = FUSE_NEW_ARRAY(arena, int, ir->values.n + 1);
    s.last = FUSE_NEW_ARRAY(arena, int, ir->values.n + 1);
    s.live = FUSE_NEW_ARRAY(arena, int64_t, ir->ops.n + 1);
    fuse_plan_list_users(plan, &s.user_begin, &s.user);
    fuse_plan_lifetime(plan, s.first, s.last);
    fuse_search_classify(&s, arena);
    choose_all(&s);
    fuse_search_decide_again(&s);
}
