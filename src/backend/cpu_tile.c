#include "backend/cpu_tile.h"

#include <string.h>

#define FUSE_TILE_TABLE fuse_tile_base
#define FUSE_TILE_ISA "baseline"
#define FUSE_STRIP(type) fuse_strip_base_##type
#define FUSE_STRIP_BYTES 32
#define FUSE_HAS_FMA false
#define FUSE_TURN(bits) fuse_turn_base_##bits
#define FUSE_MATH(name) fuse_math_base_##name
#define FUSE_ATTEND(type) fuse_attend_base_##type
#include "backend/cpu_tile.inc"

enum fuse_tile_class fuse_tile_class(enum fuse_dtype compute) {
    switch (compute) {
    case FUSE_BOOL: return FUSE_TILE_BOOL;
    case FUSE_I64: return FUSE_TILE_I64;
    case FUSE_F32: return FUSE_TILE_F32;
    default: return FUSE_TILE_F64;
    }
}

enum fuse_dtype fuse_tile_dtype(enum fuse_tile_class class) {
    static const enum fuse_dtype dtypes[] = {FUSE_BOOL, FUSE_I64, FUSE_F32, FUSE_F64};
    return dtypes[class];
}

static bool runs(const struct fuse_tile_table *table) {
    if (table == &fuse_tile_base)
        return true;
#if defined(__x86_64__)
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        return false;
    return table == &fuse_tile_avx2 || (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                                        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"));
#else
    return false;
#endif
}

const struct fuse_tile_table *fuse_tile_choose(const char *isa) {
    static const struct fuse_tile_table *const best_first[] = {
#if defined(__x86_64__)
        &fuse_tile_avx512,
        &fuse_tile_avx2,
#endif
        &fuse_tile_base
    };
    for (size_t i = 0; i < sizeof best_first / sizeof *best_first; i++)
        if ((isa == NULL || strcmp(isa, best_first[i]->isa) == 0) && runs(best_first[i]))
            return best_first[i];
    return NULL;
}
