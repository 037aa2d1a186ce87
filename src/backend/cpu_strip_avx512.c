/* Compiled with -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma. */
#define FUSE_STRIP(type) fuse_strip_avx512_##type
#include "backend/cpu_strip.inc"
#define FUSE_MICRO(type) fuse_micro_avx512_##type
#define FUSE_TURN(bits) fuse_turn_avx512_##bits
#include "backend/cpu_micro.inc"
#include "backend/cpu_turn.inc"
