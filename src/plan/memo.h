/* Results that the search asks for again and again. Programs repeat themselves: operations of one shape under equal layouts cost
 * the same, whatever they are called. Local and pure; lives in an arena and only grows. */
#ifndef FUSE_PLAN_MEMO_H
#define FUSE_PLAN_MEMO_H

#include "plan/plan.h"

struct fuse_memo;

/* For layouts of a mesh of so many dimensions. */
struct fuse_memo *fuse_memo_open(struct fuse_arena *arena, int dims);
/* A number for what these words say: equal words, equal number. */
int fuse_memo_class(struct fuse_memo *memo, const int64_t *word, int words);

#define FUSE_MEMO_WORDS 4 /* of a result */

/* The result for a class and two layouts (b may be NULL), and whether it is there; if it is not, it is zero and the caller fills
 * it in. The pointer is good until the next call. */
int64_t *fuse_memo_find(struct fuse_memo *memo, bool *is_there, int class, const struct fuse_layout *a,
                        const struct fuse_layout *b);

#endif
