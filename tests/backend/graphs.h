/* Graphs for tests and measurements of closures, as pairs of ids. The caller frees with graph_free. Deterministic. */
#ifndef TESTS_GRAPHS_H
#define TESTS_GRAPHS_H

#include <stdint.h>

struct graph {
    int64_t n, pairs, room; /* ids are in [0, n) */
    int64_t *from, *to;
};

void graph_add(struct graph *g, int64_t from, int64_t to);
void graph_free(struct graph *g);

struct graph graph_chain(int64_t n);
struct graph graph_cycle(int64_t n);
/* Edges to the right and down, ids row by row. */
struct graph graph_grid(int64_t rows, int64_t columns);
/* Edges from parents to children, ids level by level; depth 0 is the root alone. */
struct graph graph_tree(int64_t arity, int depth);
/* m edges, both ends uniform. */
struct graph graph_random(int64_t n, int64_t m, uint64_t seed);
/* The same with R-MAT's quadrants of probability 0.57, 0.19, 0.19 and 0.05; n = 1 << scale. */
struct graph graph_rmat(int scale, int64_t m, uint64_t seed);
/* n points of the unit square, edges between those closer than what gives the mean degree: both ways, or only to the point that
 * lies further right. Ids are in the order of cells of the square, row by row. */
struct graph graph_geometric(int64_t n, double degree, int both_ways, uint64_t seed);

/* Other ids for the same graph: a random permutation; the order of a breadth-first search that ignores directions. */
void graph_shuffle(struct graph *g, uint64_t seed);
void graph_number_by_breadth(struct graph *g);

uint64_t graph_random_bits(uint64_t *state);

#endif
