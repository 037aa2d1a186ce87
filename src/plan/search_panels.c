/* Operands that come in panels while an operation computes with those before (plan/cost.h): time that the search need not count. */
#include "plan/search_internal.h"

#include "plan/cost.h"
#include "plan/ordered.h"

/* What passes beside counts for one of so many parts when layouts are chosen: links are shared with others, and a plan that moves
 * little is better than one that hides much. */
#define HIDDEN 4

struct fuse_search_panels fuse_search_panels_of(const struct fuse_search *s, int number,
                                                const struct fuse_layout *partition) {
    const struct fuse_plan *plan = s->plan;
    const struct fuse_op *op = plan->ir->ops.at[number];
    struct fuse_search_panels panels = {-1, 0};
    /* A chain has a loop already, and what all turns of a recursion need is brought before them. */
    if (op->kind != FUSE_OP_EINSUM || plan->chain[number] >= 0 || plan->recursion[number] >= 0 ||
        !fuse_cost_overlaps(plan))
        return panels;
    for (int i = 0; i < op->indices; i++) {
        bool is_summed = op->extent[i] >= 2 * FUSE_COST_PANEL_MIN && !fuse_index_is_ordered(plan, number, i);
        for (int a = 0; a < plan->ir->values.at[op->out].rank; a++)
            is_summed &= op->out_index[a] != i;
        int64_t extent = is_summed ? fuse_index_largest(plan, number, partition, i) : 0;
        if (extent >= 2 * FUSE_COST_PANEL_MIN && extent > panels.extent)
            panels = (struct fuse_search_panels){i, extent};
    }
    return panels;
}

void fuse_search_bring_panels(struct fuse_search_brought *brought, const struct fuse_search *s,
                              const struct fuse_search_panels *panels, int op, int input,
                              const struct fuse_layout *partition, const struct fuse_layout *have, int64_t held) {
    const struct fuse_use *use = &s->plan->ir->ops.at[op]->input[input];
    brought->bytes = fuse_sat_add(brought->bytes, held);
    /* What is computed again takes the processor. */
    if (panels->index < 0 || held < FUSE_COST_PANEL_LEAST_BYTES || s->again_class[s->input_begin[op] + input] >= 0 ||
        !(fuse_search_indices(use) >> panels->index & 1))
        return;
    const struct fuse_cost_aside aside = fuse_search_aside(s, op, input, partition, have);
    brought->aside.time_ps = fuse_sat_add(brought->aside.time_ps, aside.time_ps);
    brought->aside.processor_ps = fuse_sat_add(brought->aside.processor_ps, aside.processor_ps);
}

int64_t fuse_search_hidden_ps(const struct fuse_search *s, const struct fuse_search_panels *panels,
                              const struct fuse_search_brought *brought, int64_t compute_ps) {
    if (panels->index < 0 || brought->aside.time_ps == 0)
        return 0;
    int64_t apart = fuse_sat_add(brought->aside.time_ps, compute_ps);
    int64_t time = fuse_cost_choose_panels(s->plan, brought->bytes, panels->extent, compute_ps, brought->aside).time_ps;
    return time < apart ? apart - time - (apart - time) / HIDDEN : 0;
}
