/* Random programs for the tests of the planner and the executor: sources, relations, products, maps and joins with every kind of index map,
 * sinks. The same seed gives the same program everywhere. */
#ifndef FUSE_TESTS_RANDOM_IR_H
#define FUSE_TESTS_RANDOM_IR_H

#include "ir/ir.h"
#include "plan/plan.h"

struct random_state {
    uint64_t bits;
};

void random_seed(struct random_state *state, int64_t seed);
/* 0 <= result < n */
int64_t random_below(struct random_state *state, int64_t n);
/* Without relations where files of rows are not at hand. Sources are called "s0.npy", "s1.npy", ..; sinks "y0.npy", .. */
void random_program(struct fuse_ir *ir, struct random_state *state, bool relations);
/* Asks for a mesh of up to three dimensions, and pins a third of the values to layouts on it. Returns how many. */
int random_pins(struct fuse_ir *ir, struct fuse_plan_request *request, struct random_state *state);

#endif
