/* Compiled with -mavx512f -mavx512bw -mavx512dq -mavx512vl -mpopcnt -mbmi. */
#define FUSE_CLOSURE_KERNELS fuse_closure_avx512
#define FUSE_CLOSURE_ISA "avx512"
#include "backend/closure_block.inc"
