/* Panels of what an operation is brought: how many, and what that takes. */
#include "plan/cost.h"

bool fuse_cost_overlaps(const struct fuse_plan *plan) {
    int ranks_per_node = plan->request.machine.ranks_per_node;
    return ranks_per_node == 0 || plan->mesh.ranks > ranks_per_node;
}

int64_t fuse_cost_beside_ps(int64_t turns, int64_t compute_ps, struct fuse_cost_aside aside) {
    int64_t busy = fuse_sat_add(compute_ps, aside.processor_ps);
    int64_t most = aside.time_ps > busy ? aside.time_ps : busy, least = aside.time_ps > busy ? busy : aside.time_ps;
    int64_t beside = fuse_sat_add(most, least / turns), apart = fuse_sat_add(compute_ps, aside.time_ps);
    return beside < apart ? beside : apart;
}

static int64_t panels_ps(const struct fuse_plan *plan, int64_t turns, int64_t compute_ps,
                         struct fuse_cost_aside aside) {
    if (!fuse_cost_overlaps(plan))
        turns = 1;
    return fuse_sat_add(fuse_cost_beside_ps(turns, compute_ps, aside),
                        fuse_sat_mul(turns - 1, plan->request.machine.latency_ps));
}

struct fuse_cost_panels fuse_cost_choose_panels(const struct fuse_plan *plan, int64_t bytes, int64_t extent,
                                                int64_t compute_ps, struct fuse_cost_aside aside) {
    const int64_t longest = extent / FUSE_COST_PANEL_MIN;
    int64_t turns = (bytes + FUSE_COST_PANEL_BYTES - 1) / FUSE_COST_PANEL_BYTES;
    turns = turns < longest ? turns : longest;
    turns = turns > 1 ? turns : 1;
    struct fuse_cost_panels best = {turns, panels_ps(plan, turns, compute_ps, aside)};
    for (turns *= 2; turns <= longest && turns <= bytes / FUSE_COST_PANEL_LEAST_BYTES; turns *= 2) {
        int64_t time = panels_ps(plan, turns, compute_ps, aside);
        if (time < best.time_ps)
            best = (struct fuse_cost_panels){turns, time};
    }
    return best;
}
