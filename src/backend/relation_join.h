/* Pipelines of joins: rows come in, each level binds more variables, rows go out. How a rank derives tuples.
 *
 * Level 0 reads the rows that it is given; the others look up what an index has for the variables bound so far. A pipeline runs
 * until its input is used up or whoever takes its output has no more room, and then goes on where it was. Local. */
#ifndef FUSE_BACKEND_RELATION_JOIN_H
#define FUSE_BACKEND_RELATION_JOIN_H

#include "backend/relation_table.h"
#include "core/error.h"
#include "core/scalar.h"

/* An id that is written into a row: a variable plus an offset, or a constant. Outside [0, extent) there is no such row. */
struct fuse_pipeline_part {
    int word, shift;
    int variable; /* -1: offset is the id */
    int64_t offset, extent;
};
/* An id that is read from a row: the variable is the id less an offset, and outside [0, extent) the row does not match. Without
 * a variable the id must be the offset. */
struct fuse_pipeline_take {
    int word, shift;
    uint64_t mask;
    int variable;
    bool is_test; /* the variable is bound already, and must be the same */
    bool is_sure; /* whatever a row has is inside */
    int64_t offset, extent;
};
struct fuse_pipeline_test {
    /* LT, LE, EQ or NE of variable a and variable b (-1: the constant); otherwise scalar is what counts. */
    enum fuse_scalar_op op;
    int a, b;
    int64_t constant;
    const struct fuse_scalar *scalar; /* NULL: a comparison of ids */
};

enum fuse_pipeline_kind {
    FUSE_PIPELINE_ROWS,   /* level 0 */
    FUSE_PIPELINE_ONCE,   /* level 0 of a rule without positive atoms: one empty row */
    FUSE_PIPELINE_FIND,   /* rows of an index */
    FUSE_PIPELINE_ABSENT, /* passes when the index has no row */
    FUSE_PIPELINE_IDS     /* a variable takes all ids of its extent */
};

struct fuse_pipeline_level {
    enum fuse_pipeline_kind kind;
    const struct fuse_index *index;
    int parts; /* of the key */
    struct fuse_pipeline_part *part;
    int words; /* of a row of level 0 */
    int takes;
    struct fuse_pipeline_take *take;
    int values; /* words of values of a row; value k, of dtype[k], is what atom[k] loads */
    struct fuse_pipeline_value {
        int word, atom;
        enum fuse_dtype dtype;
    } * value;
    int tests; /* as soon as this level is bound */
    struct fuse_pipeline_test *test;
    int variable; /* IDS: takes begin .. end - 1 */
    int64_t begin, end;
};

struct fuse_pipeline {
    bool moves; /* rows of level 0 are put out as they are, and nothing else below counts but words */
    int levels;
    struct fuse_pipeline_level *level;
    int words; /* of an output row: ids, then values */
    int parts;
    struct fuse_pipeline_part *part;
    int values;
    struct fuse_pipeline_output {
        int word;
        int atom;                         /* its value as it is; -1: */
        const struct fuse_scalar *scalar; /* this */
    } * output;
    /* After an output row, go on at this level: what deeper levels would still bind does not change the row. */
    int resume;
    int scalar_nodes; /* of the largest scalar */
};

enum fuse_pipeline_end { FUSE_PIPELINE_DONE, FUSE_PIPELINE_FULL, FUSE_PIPELINE_FAILED };

#define FUSE_PIPELINE_BATCH 256 /* rows that a sink is given at most */

struct fuse_pipeline_run {
    const struct fuse_pipeline *pipeline;
    /* Takes rows; DONE: and there is room for FUSE_PIPELINE_BATCH more, FULL: there is not. */
    enum fuse_pipeline_end (*sink)(void *context, const uint64_t *rows, int64_t n);
    void *context;
    int64_t derived; /* rows so far */
    bool overflow;   /* an integer overflowed on the way */
    int level;       /* -1: nothing to do */
    int n;           /* rows in the batch */
    bool ahead;      /* level 1 can be prefetched from rows of level 0 */
    bool direct;     /* the last level is one id that goes from a list to the output */
    struct fuse_pipeline_cursor {
        const char *at;
        int64_t next, n;
    } * cursor; /* [levels] */
    uint64_t *batch;
    int64_t bind[FUSE_RULE_VARIABLES];
    union fuse_scalar_value value[FUSE_RULE_ATOMS];
    enum fuse_dtype value_dtype[FUSE_RULE_ATOMS];
    union fuse_scalar_value *node;
};

/* What it needs lives in the arena. */
void fuse_pipeline_open(struct fuse_pipeline_run *run, const struct fuse_pipeline *pipeline, struct fuse_arena *arena);
/* New input; the old one must be used up. */
void fuse_pipeline_feed(struct fuse_pipeline_run *run, const uint64_t *rows, int64_t n);
static inline bool fuse_pipeline_is_pending(const struct fuse_pipeline_run *run) {
    return run->level >= 0;
}
/* Works until the input is used up (everything was given to the sink then), or the sink says otherwise. */
enum fuse_pipeline_end fuse_pipeline_work(struct fuse_pipeline_run *run);

#endif
