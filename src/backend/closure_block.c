#define FUSE_CLOSURE_KERNELS fuse_closure_base
#define FUSE_CLOSURE_ISA "baseline"
#include "backend/closure_block.inc"

static bool is_called(const struct fuse_closure_kernels *kernels, const char *isa) {
    return isa == NULL || strcmp(kernels->isa, isa) == 0;
}

const struct fuse_closure_kernels *fuse_closure_choose(const char *isa) {
#if defined(__x86_64__)
    if (is_called(&fuse_closure_avx512, isa) && __builtin_cpu_supports("avx512f") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return &fuse_closure_avx512;
    if (is_called(&fuse_closure_avx2, isa) && __builtin_cpu_supports("avx2"))
        return &fuse_closure_avx2;
#endif
    return is_called(&fuse_closure_base, isa) ? &fuse_closure_base : NULL;
}
