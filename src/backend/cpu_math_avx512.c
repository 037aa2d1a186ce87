/* Compiled with -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma. */
#define MATH_NAME(name) fuse_math_avx512_##name
#define MATH(name) MATH_NAME(name)
#include "backend/cpu_math.inc"
#define MATH_DOUBLE
#include "backend/cpu_math.inc"
