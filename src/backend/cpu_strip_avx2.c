/* Compiled with -mavx2 -mfma. */
#define FUSE_STRIP(type) fuse_strip_avx2_##type
#include "backend/cpu_strip.inc"
