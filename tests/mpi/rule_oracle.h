/* Rules by definition, on arrays of all cells of their relations, and rule sets and tuples drawn at random: what tests of rules compare
 * with. */
#ifndef FUSE_TESTS_RULE_ORACLE_H
#define FUSE_TESTS_RULE_ORACLE_H

#include "core/rules.h"

enum { CELLS = 1024, DRAWN_INPUTS = 4, DRAWN_RELATIONS = 8 };

/* A relation. */
struct cells {
    bool has[CELLS], next[CELLS];
    double value[CELLS], next_value[CELLS], count[CELLS];
    int stage[CELLS];
};

/* The same numbers for the same seed. */
void start_drawing(uint64_t seed);
int64_t draw(int64_t below);
/* A rule set of DRAWN_RELATIONS relations, the first DRAWN_INPUTS of which are inputs, for rule_text.h. */
const char *draw_rules(struct fuse_arena *arena);
void draw_given(const struct fuse_rules *rules, struct cells *given);

int cells_of(const struct fuse_rule_relation *relation);
/* -1: outside. */
int cell_of(const struct fuse_rule_relation *relation, const struct fuse_rule_term *term, const int64_t *bind);
/* Every assignment of ids to variables is tried, turn by turn. given[r], cells[r]: [relations], cells zeroed. Returns the turns of all
 * strata. */
int run_oracle(const struct fuse_rules *rules, struct cells *cells, const struct cells *given);

#endif
