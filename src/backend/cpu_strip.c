#define FUSE_STRIP(type) fuse_strip_base_##type
#include "backend/cpu_strip.inc"
#define FUSE_TURN(bits) fuse_turn_base_##bits
#include "backend/cpu_turn.inc"
