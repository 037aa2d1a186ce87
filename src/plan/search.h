/* The search for layouts and partitions. Deterministic; effort bounded by counts. Local and pure. */
#ifndef FUSE_PLAN_SEARCH_H
#define FUSE_PLAN_SEARCH_H

#include "plan/plan.h"

/* Partial results up to this size are all-reduced whole, larger ones scattered first. */
#define FUSE_PLAN_TINY_BYTES ((int64_t)8 << 10)

/* One try at a plan. The ladder of plan.c makes them ever more careful with memory. */
struct fuse_plan_effort {
    int64_t budget_bytes;    /* planned bytes per rank that the search tries to keep to; INT64_MAX: no care */
    int64_t workspace_bytes; /* staging for messages: at most this much each way */
    bool lazy;               /* sources are loaded just before their first use, sinks written at once */
    int64_t slab_bytes;      /* intermediates of which a rank would hold more make chains; < 0: none */
    int64_t stream_bytes;    /* sources of which a rank would hold more are streamed; < 0: none */
    bool slabs_worth_it;     /* chains around intermediates only if one saves much (plan/chain.h) */
    int slab_dims;           /* outermost mesh dimensions that split the axes of chains */
    bool repeats_scores;     /* loops may cut rows of values of an attention, whose scores are computed at every turn */
};

/* How the result of an operation becomes its value: partial dimensions are reduced, which gives `reduced`, then moved to
 * the value's layout if that differs. */
struct fuse_plan_choice {
    struct fuse_layout natural; /* of the output as the operation leaves it; may have partial dimensions */
    struct fuse_layout reduced;
    uint32_t again; /* inputs that are computed again where the operation needs them (plan/again.h), a bit each */
};

/* Fills plan->layout, plan->partition and choice[op] for every operation. */
void fuse_plan_search(struct fuse_plan *plan, const struct fuse_plan_effort *effort, struct fuse_plan_choice *choice);

/* All partitions that the search tries for an operation; returns their number, at most `limit`. */
int fuse_plan_partitions(struct fuse_layout *out, int limit, const struct fuse_plan *plan, int op);
/* The layout of input's value that a partition would read without moving anything, if there is one: every mesh dimension
 * that splits an index goes to the axis that the index walks. */
struct fuse_layout fuse_plan_project(const struct fuse_plan *plan, int op, int input,
                                     const struct fuse_layout *partition);
/* The layout of an operation's output under a partition, partial where projected indices are split. */
struct fuse_layout fuse_plan_natural(const struct fuse_plan *plan, int op, const struct fuse_layout *partition);
/* The position of the last operation of the recursion that has the one at `position`. */
int fuse_plan_recursion_end(const struct fuse_plan *plan, int position);
/* First and last position in plan->order at which a value is used (its own operation's if nobody uses it). */
void fuse_plan_lifetime(const struct fuse_plan *plan, int *first, int *last);
/* The operations that use value v are (*users)[(*begins)[v] .. (*begins)[v + 1]), one that reads it twice once. Taken from the
 * plan's arena. */
void fuse_plan_list_users(const struct fuse_plan *plan, int **begins, int **users);

#endif
