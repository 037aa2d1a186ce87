/* A program's policy at work. What is not said otherwise is local and pure. */
#ifndef FUSE_API_POLICY_APPLY_H
#define FUSE_API_POLICY_APPLY_H

#include "api/policy_program.h"
#include "api/program.h"

/* Collective: reads the policy, if the options name one, as the next file of the program. Takes the output root from it
 * where the options say none. What is wrong with it is reported; INPUT when it cannot be read or is no JSON. */
enum fuse_status fuse_api_read_policy(struct fuse_dist_program *program, struct fuse_error *err) FUSE_CHECKED;
/* On the syntax tree: makes pins of the rules about layouts, gives calls of sig their temperatures. Reports rules that
 * match nothing or cannot be followed. */
void fuse_api_follow_policy(struct fuse_dist_program *program);
/* On the IR before it is simplified: marks the values that are pinned. */
void fuse_api_pin_values(struct fuse_dist_program *program);
/* On the IR with all its sinks: how they are stored. */
void fuse_api_choose_storage(struct fuse_dist_program *program);
/* The rule about a sink with a path, or -1; *rival: another that fits as well, or -1. */
int fuse_api_storage_rule(const struct fuse_dist_program *program, const struct fuse_op *sink, int *rival);
/* The same for operations of the simplified IR; NULL without a policy. [ops] */
const struct fuse_sink_storage *fuse_api_storage(struct fuse_dist_program *program);
/* Asks for the mesh and the pins. PROGRAM when there are too few ranks for the mesh. */
enum fuse_status fuse_api_constrain(struct fuse_plan_request *request, struct fuse_dist_program *program,
                                    struct fuse_error *err) FUSE_CHECKED;
/* ---- policy_cost.c: what layouts cost against the planner's own choice ---- */

bool fuse_api_is_constrained(const struct fuse_dist_program *program);
/* Simplifies a copy of the IR as if nothing were pinned. */
enum fuse_status fuse_api_simplify_free(struct fuse_dist_program *program, struct fuse_error *err) FUSE_CHECKED;
/* Plans that copy without mesh and pins, and keeps what the plan costs. */
void fuse_api_plan_free(struct fuse_dist_program *program, const struct fuse_plan_request *request);
/* The same for a deterministic plan, with sums in any order. */
void fuse_api_plan_in_any_order(struct fuse_dist_program *program, const struct fuse_plan_request *request);
/* Adds to an error that the program does not fit, if it would without the policy. */
void fuse_api_blame_policy(const struct fuse_dist_program *program, struct fuse_error *err);
/* A table of both costs, and the pinned tensors; nothing without constraints or a plan. */
void fuse_api_describe_cost(struct fuse_text *text, const struct fuse_dist_program *program);
void fuse_api_add_cost_json(struct fuse_text *text, const struct fuse_dist_program *program);

/* The rules that decide about something, as events of the plan. */
void fuse_api_add_policy_events(struct fuse_dist_program *program);
/* What every rule does, in words. */
void fuse_api_describe_policy(struct fuse_text *text, const struct fuse_dist_program *program);

#endif
