/* Tells how far a run has come. Local. */
#ifndef FUSE_API_RUN_PROGRESS_H
#define FUSE_API_RUN_PROGRESS_H

#include "api/fuse_dist.h"
#include "plan/plan.h"

struct fuse_progress;

/* In the arena. */
struct fuse_progress *fuse_progress_new(struct fuse_arena *arena, const struct fuse_plan *plan,
                                        void (*tell)(void *context, const struct fuse_dist_progress *progress),
                                        void *context);
/* What fuse_exec_request.progress is; context is the fuse_progress. */
void fuse_progress_step(void *context, int step);

#endif
