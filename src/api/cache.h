/* Plans of earlier starts, in a folder that the user names. */
#ifndef FUSE_API_CACHE_H
#define FUSE_API_CACHE_H

#include "api/cache_entry.h"
#include "api/program.h"

/* Collective, after the main file is read: sets *hit, and then the program is what fuse_dist_plan would make it: files,
 * sources (probed), IR, plan, messages. Else nothing has changed but program->probed. An entry that cannot be used is
 * noted by fuse_api_keep_plan, never a failure. */
enum fuse_status fuse_api_load_plan(bool *hit, struct fuse_dist_program *program,
                                    const struct fuse_plan_request *request, struct fuse_error *err) FUSE_CHECKED;
/* Collective, when a program that has symbols or a weight manifest is checked and not simplified yet, with the request that
 * its plan is made for: sets *hit, and then IR and plan are what they would become. */
enum fuse_status fuse_api_load_checked_plan(bool *hit, struct fuse_dist_program *program,
                                            const struct fuse_plan_request *request,
                                            struct fuse_error *err) FUSE_CHECKED;
/* Local, when the plan is made: an entry, without its seal. NULL, or why there cannot be one. */
const char *fuse_api_make_entry(struct fuse_pack *pack, struct fuse_dist_program *program);
/* Local. Of all that a probe says, but for its index and where shards lie. */
uint64_t fuse_api_probe_digest(struct fuse_arena *arena, const struct fuse_probe *probe);
/* Collective, when the plan is made: keeps it for the next start. That it cannot is a note. */
enum fuse_status fuse_api_keep_plan(struct fuse_dist_program *program, struct fuse_error *err) FUSE_CHECKED;

#endif
