#define FUSE_STRIP(type) fuse_strip_base_##type
#include "backend/cpu_strip.inc"
