/* Prints the plans of 500 random programs, and their bytes as a hexadecimal digest: compiled by several compilers and compared
 * by plan_bytes.py. */
#include "core/hash.h"
#include "ir/ir.h"
#include "plan/plan.h"
#include "plan/plan_pack.h"
#include "tests/unit/random_ir.h"

#include <stdio.h>

static uint64_t digest(struct fuse_arena *arena, struct fuse_plan *plan) {
    struct fuse_pack pack = fuse_pack_writer(arena);
    fuse_plan_pack(&pack, plan);
    uint64_t hash = FUSE_HASH_SEED;
    for (size_t i = 0; i < pack.bytes; i++)
        hash = fuse_hash_int(hash, pack.at[i]);
    return hash;
}

int main(void) {
    for (int seed = 0; seed < 500; seed++) {
        struct random_state state;
        random_seed(&state, 9000000 + seed);
        struct fuse_arena *arena = fuse_arena_open(NULL);
        struct fuse_ir ir = {.arena = arena};
        random_program(&ir, &state, true);
        struct fuse_plan_request request = {.ranks = 1 + (int)random_below(&state, 64),
                                            .machine = fuse_machine_default(),
                                            .replicate_below = 1,
                                            .file_unit_bytes = 64};
        request.chunk = seed % 4 == 0 ? 2 : 0;
        request.memory_bytes = seed % 3 == 0 ? FUSE_PLAN_BASE_BYTES + 48 * 1024 : 0;
        struct fuse_plan *plan = NULL;
        struct fuse_error err = {0};
        if (fuse_plan_make(&plan, arena, &ir, &request, &err) != FUSE_OK) {
            printf("%d: %s\n", seed, err.message);
        } else {
            struct fuse_text text = {.arena = arena};
            fuse_plan_print(&text, plan);
            printf("%d: %016llx\n%s", seed, (unsigned long long)digest(arena, plan), text.at);
        }
        fuse_arena_close(arena);
    }
    return 0;
}
