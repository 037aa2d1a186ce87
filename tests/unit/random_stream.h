/* Random programs that can be streamed: a few sources in C or Fortran order over four axes, maps, reductions and products
 * that walk them position by position, sinks. The same seed gives the same program everywhere. */
#ifndef FUSE_TESTS_RANDOM_STREAM_H
#define FUSE_TESTS_RANDOM_STREAM_H

#include "tests/unit/random_ir.h"

/* Sources are called "s0.npy", ..; sinks "y0.npy", ... */
void random_stream_program(struct fuse_ir *ir, struct random_state *state);

#endif
