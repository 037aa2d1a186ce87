#define MATH_NAME(name) fuse_math_base_##name
#define MATH(name) MATH_NAME(name)
#include "backend/cpu_math.inc"
#define MATH_DOUBLE
#include "backend/cpu_math.inc"
