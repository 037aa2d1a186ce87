/* What it costs to compute a tensor again where an operation needs it, instead of bringing it there. */
#include "plan/search_internal.h"

#include "plan/again.h"
#include "plan/cost.h"
#include "plan/memo.h"

static int maker_of(const struct fuse_search *s, int op, int input) {
    return s->plan->ir->values.at[s->plan->ir->ops.at[op]->input[input].value].op;
}

/* A number for all inputs that take as long to compute under equal partitions. */
static int classify(const struct fuse_search *s, int number, int input) {
    const struct fuse_op *maker = s->plan->ir->ops.at[maker_of(s, number, input)];
    int64_t word[4 + FUSE_MAX_AXES + FUSE_MAX_INPUTS] = {
        FUSE_SEARCH_AGAIN, s->gather_class[s->input_begin[number] + input], maker->inputs, fuse_cost_body_work(maker)};
    int n = 4;
    for (int i = 0; i < maker->indices; i++)
        word[n++] = maker->out_index[i];
    for (int k = 0; k < maker->inputs; k++)
        word[n++] = fuse_search_indices(&maker->input[k]);
    return fuse_memo_class(s->memo, word, n);
}

void fuse_search_classify_again(struct fuse_search *s, int uses) {
    const struct fuse_plan *plan = s->plan;
    const struct fuse_layout whole = fuse_layout_replicated();
    s->again_class = FUSE_NEW_ARRAY(plan->arena, int, uses + 1);
    s->least_again_ps = FUSE_NEW_ARRAY(plan->arena, int64_t, uses + 1);
    for (int o = 0; o < plan->ir->ops.n; o++)
        for (int k = 0; k < plan->ir->ops.at[o]->inputs; k++) {
            const int at = s->input_begin[o] + k;
            s->again_class[at] = -1;
            if (!fuse_again_is_possible(plan, o, k))
                continue;
            s->again_class[at] = classify(s, o, k);
            s->least_again_ps[at] = fuse_cost_compute_ps(plan, maker_of(s, o, k), &whole) / plan->mesh.used;
        }
}

int64_t fuse_search_compute_again_ps(const struct fuse_search *s, int op, int input,
                                     const struct fuse_layout *partition, int64_t limit, int64_t *held) {
    const struct fuse_plan *plan = s->plan;
    const int at = s->input_begin[op] + input;
    bool is_there;
    struct fuse_layout own;
    if (s->again_class[at] < 0 || s->least_again_ps[at] >= limit)
        return INT64_MAX;
    int64_t *result = fuse_memo_find(s->memo, &is_there, s->again_class[at], partition, NULL);
    if (!is_there) {
        const int maker = maker_of(s, op, input), value = plan->ir->ops.at[maker]->out;
        result[0] = INT64_MAX;
        if (fuse_again_partition(&own, plan, op, input, partition)) {
            struct fuse_layout block = fuse_plan_natural(plan, maker, &own);
            result[0] = fuse_cost_compute_ps(plan, maker, &own);
            result[1] = fuse_cost_block_bytes(plan, value, &block);
        }
    }
    *held = result[1];
    return result[0] < limit ? result[0] : INT64_MAX;
}

int64_t fuse_search_again_from_ps(const struct fuse_search *s, int op, int input, const struct fuse_layout *partition,
                                  int64_t computing, int64_t limit) {
    const struct fuse_plan *plan = s->plan;
    const int number = maker_of(s, op, input);
    const struct fuse_op *maker = plan->ir->ops.at[number];
    struct fuse_layout own;
    if (maker->inputs > 0 && computing < limit)
        (void)fuse_again_partition(&own, plan, op, input, partition);
    for (int k = 0; k < maker->inputs && computing < limit; k++) {
        int v = maker->input[k].value;
        int64_t unused;
        if (!s->placed[v] && (fuse_search_follows_users(s, v) || !fuse_search_is_loaded(s, v)))
            return INT64_MAX; /* nobody knows yet where it comes from */
        computing = fuse_sat_add(computing, fuse_search_move_ps(s, number, k, &own, &plan->layout[v], &unused));
    }
    return computing < limit ? computing : INT64_MAX;
}

int64_t fuse_search_again_ps(const struct fuse_search *s, int op, int input, const struct fuse_layout *partition,
                             int64_t limit, int64_t *held) {
    int64_t computing = fuse_search_compute_again_ps(s, op, input, partition, limit, held);
    return fuse_search_again_from_ps(s, op, input, partition, computing, limit);
}

void fuse_search_decide_again(struct fuse_search *s) {
    const struct fuse_plan *plan = s->plan;
    for (int o = 0; o < plan->ir->ops.n; o++) {
        s->choice[o].again = 0;
        for (int k = 0; k < plan->ir->ops.at[o]->inputs; k++) {
            const struct fuse_layout *partition = &plan->partition[o];
            int64_t held;
            if (s->again_class[s->input_begin[o] + k] < 0)
                continue;
            int64_t move =
                fuse_search_move_ps(s, o, k, partition, &plan->layout[plan->ir->ops.at[o]->input[k].value], &held);
            if (fuse_search_again_ps(s, o, k, partition, move, &held) < move)
                s->choice[o].again |= (uint32_t)1 << k;
        }
    }
}
