/* Compiled with -mavx2 -mfma. */
#define FUSE_TILE_TABLE fuse_tile_avx2
#define FUSE_TILE_ISA "avx2"
#define FUSE_STRIP(type) fuse_strip_avx2_##type
#define FUSE_STRIP_BYTES 64
#define FUSE_HAS_FMA true
#define FUSE_MICRO(type) fuse_micro_avx2_##type
#define FUSE_MICRO_ROWS 6
#define FUSE_MICRO_FIRST false
#define FUSE_TURN(bits) fuse_turn_avx2_##bits
#define FUSE_MATH(name) fuse_math_avx2_##name
#define FUSE_ATTEND(type) fuse_attend_avx2_##type
#include "backend/cpu_tile.inc"
