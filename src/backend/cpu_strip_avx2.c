/* Compiled with -mavx2 -mfma. */
#define FUSE_STRIP(type) fuse_strip_avx2_##type
#include "backend/cpu_strip.inc"
#define FUSE_MICRO(type) fuse_micro_avx2_##type
#define FUSE_TURN(bits) fuse_turn_avx2_##bits
#include "backend/cpu_micro.inc"
#include "backend/cpu_turn.inc"
