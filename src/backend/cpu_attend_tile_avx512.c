/* Compiled with -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma. */
#define ATTEND_NAME(type) fuse_attend_avx512_##type
#define ATTEND(type) ATTEND_NAME(type)
#include "backend/cpu_attend_tile.inc"
#define ATTEND_DOUBLE
#include "backend/cpu_attend_tile.inc"
