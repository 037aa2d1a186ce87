/* Compiled with -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma. */
#define FUSE_TILE_TABLE fuse_tile_avx512
#define FUSE_TILE_ISA "avx512"
#define FUSE_STRIP(type) fuse_strip_avx512_##type
#define FUSE_STRIP_BYTES 128
#define FUSE_HAS_FMA true
#define FUSE_MICRO(type) fuse_micro_avx512_##type
#define FUSE_MICRO_ROWS 14
#define FUSE_MICRO_FIRST true
#define FUSE_TURN(bits) fuse_turn_avx512_##bits
#define FUSE_MATH(name) fuse_math_avx512_##name
#define FUSE_ATTEND(type) fuse_attend_avx512_##type
#include "backend/cpu_tile.inc"
