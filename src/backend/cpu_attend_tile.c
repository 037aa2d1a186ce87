#define ATTEND_NAME(type) fuse_attend_base_##type
#define ATTEND(type) ATTEND_NAME(type)
#include "backend/cpu_attend_tile.inc"
#define ATTEND_DOUBLE
#include "backend/cpu_attend_tile.inc"
