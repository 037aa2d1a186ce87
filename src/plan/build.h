/* From chosen layouts to steps, regions and buffers with offsets. Local and pure. */
#ifndef FUSE_PLAN_BUILD_H
#define FUSE_PLAN_BUILD_H

#include "plan/search.h"

/* Emits the steps of the whole program into an empty plan whose layouts and partitions are set. */
void fuse_plan_build(struct fuse_plan *plan, const struct fuse_plan_effort *effort,
                     const struct fuse_plan_choice *choice);
/* Gives every buffer its offset by its lifetime; sets arena_bytes and peak_bytes. */
void fuse_plan_place_buffers(struct fuse_plan *plan);
/* Hash of everything that the executor acts on. */
uint64_t fuse_plan_hash(const struct fuse_plan *plan);

#endif
