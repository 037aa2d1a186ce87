/* How far a run has come, in the time that the planner reckons with. */
#include "api/run_progress.h"

struct fuse_progress {
    const struct fuse_plan *plan;
    void (*tell)(void *context, const struct fuse_dist_progress *progress);
    void *context;
    double *turn_ps; /* [steps] of one turn */
    double done_ps, total_ps;
};

/* Sets the time of one turn of every step of a region that runs so many times. */
static void divide(struct fuse_progress *progress, int number, double times) {
    const struct fuse_plan *plan = progress->plan;
    const struct fuse_region *region = &plan->regions.at[number];
    if (region->kind == FUSE_REGION_STEP) {
        /* Nothing is free: a microsecond, so that steps without a price count too. */
        double step_ps = (double)(plan->steps.at[region->step].time_ps - plan->steps.at[region->step].hidden_ps) + 1e6;
        progress->turn_ps[region->step] = step_ps / times;
        progress->total_ps += step_ps;
        return;
    }
    if (region->kind == FUSE_REGION_LOOP && region->turns > 1)
        times *= (double)region->turns;
    for (int i = 0; i < region->count; i++)
        divide(progress, plan->child.at[region->first + i], times);
}

struct fuse_progress *fuse_progress_new(struct fuse_arena *arena, const struct fuse_plan *plan,
                                        void (*tell)(void *context, const struct fuse_dist_progress *progress),
                                        void *context) {
    struct fuse_progress *progress = FUSE_NEW(arena, struct fuse_progress);
    *progress = (struct fuse_progress){.plan = plan, .tell = tell, .context = context};
    progress->turn_ps = FUSE_NEW_ARRAY(arena, double, plan->steps.n);
    divide(progress, plan->root, 1);
    return progress;
}

void fuse_progress_step(void *context, int step) {
    static const char *const phase[FUSE_PHASES] = {"load", "run", "store"};
    struct fuse_progress *progress = context;
    const struct fuse_step *at = &progress->plan->steps.at[step];
    const struct fuse_ir *ir = progress->plan->ir;
    const struct fuse_op *op = ir->ops.at[at->op];
    const char *subject = op->path ? op->path : ir->values.at[op->out >= 0 ? op->out : op->input[0].value].name;
    struct fuse_dist_progress now = {
        .fraction = progress->done_ps / progress->total_ps,
        .phase = phase[at->phase],
        .subject = subject ? subject : op->owner,
    };
    if (now.fraction > 1)
        now.fraction = 1;
    progress->tell(progress->context, &now);
    progress->done_ps += progress->turn_ps[step];
}
