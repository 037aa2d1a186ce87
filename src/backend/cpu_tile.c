#include "backend/cpu_tile.h"

#define FUSE_TILE_TABLE fuse_tile_base
#define FUSE_TILE_ISA "baseline"
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

const struct fuse_tile_table *fuse_tile_choose(void) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma"))
        return &fuse_tile_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return &fuse_tile_avx2;
#endif
    return &fuse_tile_base;
}
