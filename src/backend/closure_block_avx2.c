/* Compiled with -mavx2 -mpopcnt -mbmi. */
#define FUSE_CLOSURE_KERNELS fuse_closure_avx2
#define FUSE_CLOSURE_ISA "avx2"
#include "backend/closure_block.inc"
