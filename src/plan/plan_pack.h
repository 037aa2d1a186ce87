/* Plans as bytes (core/pack.h), for a later start of the same program. Local and pure. */
#ifndef FUSE_PLAN_PLAN_PACK_H
#define FUSE_PLAN_PLAN_PACK_H

#include "core/pack.h"
#include "plan/plan.h"

/* Reading: the plan is empty but for its arena, which is the pack's, and its IR, which is verified. The result is not to be
 * used before fuse_plan_check has said yes. */
void fuse_plan_pack(struct fuse_pack *pack, struct fuse_plan *plan);
/* What asks for a plan: all of it that is known before the program is. */
void fuse_plan_request_pack(struct fuse_pack *pack, struct fuse_plan_request *request);

/* BUG with what is wrong when a plan that was read would make the executor touch memory that is not there: numbers of
 * steps, buffers, regions, axes and dimensions beyond what there is, buffers that are too small for what they hold or
 * lie outside of their arena, or another hash. It says nothing about results: a digest must guard those. */
enum fuse_status fuse_plan_check(const struct fuse_plan *plan, struct fuse_error *err) FUSE_CHECKED;

#endif
