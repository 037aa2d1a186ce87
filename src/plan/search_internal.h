/* The parts of the search: what choices cost (search_price.c), sweeps over them (search.c), and trees of them (search_tree.c). */
#ifndef FUSE_PLAN_SEARCH_INTERNAL_H
#define FUSE_PLAN_SEARCH_INTERNAL_H

#include "plan/cost.h"
#include "plan/search.h"

/* First keep to the memory budget, then be fast, then be small. */
struct fuse_search_price {
    int64_t over_bytes, time_ps, bytes;
};

struct fuse_search_finish;

/* What classes of results begin with (plan/memo.h). */
enum {
    FUSE_SEARCH_GATHER,
    FUSE_SEARCH_FINISH,
    FUSE_SEARCH_LOAD,
    FUSE_SEARCH_STORE,
    FUSE_SEARCH_SPACE,
    FUSE_SEARCH_ROW,
    FUSE_SEARCH_AGAIN
};

/* The summed index along which operands may come in panels while the operation computes, -1: there is none, and its positions on a
 * rank. */
struct fuse_search_panels {
    int index;
    int64_t extent;
};

/* The partitions of an operation, or of all that look like it. */
struct fuse_search_space {
    int number, n;
    struct fuse_layout *partition, *natural;  /* [n] */
    int64_t *compute_ps;                      /* [n] */
    struct fuse_search_panels *panels;        /* [n] */
    int finish_class;                         /* of the value that `finish` is for */
    const struct fuse_search_finish **finish; /* [n] NULL: not known yet */
};

struct fuse_search_option {
    struct fuse_layout reduced, final;
    int64_t time_ps, final_bytes;
};

/* The ways to finish an output that an operation leaves in some layout. */
struct fuse_search_finish {
    int64_t natural_bytes;
    int options;
    struct fuse_search_option option[];
};

struct fuse_search {
    struct fuse_plan *plan;
    const struct fuse_plan_effort *effort;
    struct fuse_plan_choice *choice;
    bool *decided;          /* [ops] */
    bool *placed;           /* [values] layout chosen */
    int *first, *last;      /* [values] lifetimes, positions in plan->order */
    int64_t *live;          /* [positions] estimated bytes of values alive during the operation */
    int *user_begin, *user; /* users of value v: user[user_begin[v] .. user_begin[v + 1]) */
    struct fuse_memo *memo;
    int *input_begin, *gather_class; /* class of input k of operation o: gather_class[input_begin[o] + k] */
    int *again_class;        /* likewise, of what it takes to compute the input again; -1: that is not possible */
    int64_t *least_again_ps; /* likewise: it takes more than this */
    int *finish_class, *load_class, *store_class; /* [values] */
    struct fuse_search_space **space;             /* [ops] NULL: not listed yet */
    FUSE_VEC(struct fuse_search_space *) spaces;
    FUSE_VEC(int) space_class;   /* of each of spaces */
    struct fuse_layout *scratch; /* [MAX_PARTITIONS] */
    bool changed;                /* something is different from the sweep before */
};

/* What an input costs under a partition of an operation while its value lies in one layout. */
struct fuse_search_bring {
    int64_t time_ps, held;        /* time of once */
    int64_t again_ps, held_again; /* to compute it again, without bringing what from; INT64_MAX: no better */
};

/* ---- search_price.c ---- */
bool fuse_search_cheaper(struct fuse_search_price a, struct fuse_search_price b);
/* Such values may lie whole on every rank. */
bool fuse_search_is_small(const struct fuse_search *s, int value);
const struct fuse_op *fuse_search_producer(const struct fuse_search *s, int value);
/* Read or written into the plan, and laid out as its users like it. A relation has no layout. */
bool fuse_search_is_loaded(const struct fuse_search *s, int value);
bool fuse_search_follows_users(const struct fuse_search *s, int value);
/* The indices that an input is read through, a bit each. */
int64_t fuse_search_indices(const struct fuse_use *use);
/* About as many turns as the loop has that an operation is in. */
int64_t fuse_search_turns_of(const struct fuse_search *s, int op);
/* Time of an exchange in each of so many turns; of what a rank ends up holding, what is not received is copied. */
int64_t fuse_search_exchange_ps(const struct fuse_search *s, struct fuse_traffic in, int64_t held, int64_t turns);
/* How often an operation is carried out: that of a recursion in every turn. */
int64_t fuse_search_repeats(const struct fuse_search *s, int op);
/* What a rank holds of a value; of an inner one of a chain, a slab. */
int64_t fuse_search_block_bytes(const struct fuse_search *s, int value, const struct fuse_layout *layout);
/* Before anything else: gives a class to all that is alike. */
void fuse_search_classify(struct fuse_search *s, struct fuse_arena *arena);
/* The partitions of an operation. */
const struct fuse_search_space *fuse_search_space_of(struct fuse_search *s, int number);
/* Time of the value's file, and of the exchange between its ranges and a layout. */
int64_t fuse_search_file_ps(const struct fuse_search *s, int value, const struct fuse_layout *layout, bool store);
/* Time to bring an input from `have` to where `partition` needs it, or to compute it there again if that takes less; *held is what
 * the copy occupies. */
int64_t fuse_search_gather_ps(const struct fuse_search *s, int op, int input, const struct fuse_layout *partition,
                              const struct fuse_layout *have, int64_t *held);
/* The same of all partitions of the operation: row[n], NULL until it is asked for, and shared by all that is alike. */
struct fuse_search_bring **fuse_search_row_of(struct fuse_search *s, int op, int input, const struct fuse_layout *have);
/* The same for partition number `at`; row: that of `have`. */
int64_t fuse_search_row_ps(const struct fuse_search *s, struct fuse_search_bring **row, int at, int op, int input,
                           const struct fuse_layout *have, int64_t *held);
/* What all decided users of a value pay to bring it, but for one; or more than `limit`, if that is more. */
int64_t fuse_search_users_ps(const struct fuse_search *s, int value, const struct fuse_layout *layout, int except_op,
                             int64_t limit);
/* The best layout for a loaded value that `op` reads as `input` under `partition`, and its price. */
int64_t fuse_search_place_loaded(const struct fuse_search *s, int op, int input, const struct fuse_layout *partition,
                                 struct fuse_layout *best, int64_t *held, int64_t *block);
/* A partition that is to be priced. */
struct fuse_search_candidate {
    int at;                                /* its number; -1: it is none of the operation's space */
    struct fuse_search_bring **const *row; /* [inputs] of those that are placed */
    const struct fuse_layout *partition, *natural;
    int64_t compute_ps;
};
/* Gives up, with a price above `limit`, as soon as it is clear that the partition is dearer. */
struct fuse_search_price fuse_search_price_partition(struct fuse_search *s, int number,
                                                     const struct fuse_search_candidate *candidate,
                                                     struct fuse_search_price limit, struct fuse_search_option *chosen);

/* Time to bring an input from `have`, which is not shortened by computing it again. */
int64_t fuse_search_move_ps(const struct fuse_search *s, int op, int input, const struct fuse_layout *partition,
                            const struct fuse_layout *have, int64_t *held);

/* What of that may pass while the operation computes with other panels. */
struct fuse_cost_aside fuse_search_aside(const struct fuse_search *s, int op, int input,
                                         const struct fuse_layout *partition, const struct fuse_layout *have);

/* ---- search_again.c ---- */
/* After everything else has its class. */
void fuse_search_classify_again(struct fuse_search *s, int uses);
/* Time to compute an input again where `partition` needs it, when what it is computed from is there; INT64_MAX when that is not
 * below `limit`. *held is what it then occupies. */
int64_t fuse_search_compute_again_ps(const struct fuse_search *s, int op, int input,
                                     const struct fuse_layout *partition, int64_t limit, int64_t *held);
/* The same with `computing` for that, and what is to be brought first. */
int64_t fuse_search_again_from_ps(const struct fuse_search *s, int op, int input, const struct fuse_layout *partition,
                                  int64_t computing, int64_t limit);
/* Both. */
int64_t fuse_search_again_ps(const struct fuse_search *s, int op, int input, const struct fuse_layout *partition,
                             int64_t limit, int64_t *held);
/* When all layouts and partitions are chosen: what is computed again. */
void fuse_search_decide_again(struct fuse_search *s);

/* ---- search_finish.c ---- */
/* The ways to finish an output that lies in layout `natural`. */
const struct fuse_search_finish *fuse_search_finish_of(const struct fuse_search *s, int value,
                                                       const struct fuse_layout *natural);
/* The same of partition number `at` of an operation. */
const struct fuse_search_finish *fuse_search_finish_at(struct fuse_search *s, int op, int at);

/* ---- search_panels.c ---- */
/* Panels that a partition of the operation would leave long enough. */
struct fuse_search_panels fuse_search_panels_of(const struct fuse_search *s, int op,
                                                const struct fuse_layout *partition);
/* What is brought to an operation: `bytes` of it, and of these some in panels. */
struct fuse_search_brought {
    int64_t bytes;
    struct fuse_cost_aside aside;
};
/* Counts an input in that comes from `have` and then occupies `held` bytes. */
void fuse_search_bring_panels(struct fuse_search_brought *brought, const struct fuse_search *s,
                              const struct fuse_search_panels *panels, int op, int input,
                              const struct fuse_layout *partition, const struct fuse_layout *have, int64_t held);
/* What of bringing and computing passes at the side of the other and is not to count. */
int64_t fuse_search_hidden_ps(const struct fuse_search *s, const struct fuse_search_panels *panels,
                              const struct fuse_search_brought *brought, int64_t compute_ps);

/* ---- search.c ---- */
/* Partitions are chosen for operations of this kind. */
bool fuse_search_divides(enum fuse_op_kind kind);
/* How many of an operation's partitions there are to choose from: one if everything is small, and each rank computes it. */
int fuse_search_candidates(const struct fuse_search *s, int number, const struct fuse_search_space *space);
/* From now on the operation is cut like this, and its result finished like that; sources that wait for a layout get theirs. */
void fuse_search_adopt(struct fuse_search *s, int number, const struct fuse_layout *partition,
                       const struct fuse_search_option *option);

/* ---- search_tree.c ---- */
/* There are results to lie between operations, no circles of them, and not too many choices. */
bool fuse_search_has_tree(struct fuse_search *s);
/* Chooses for all operations, from what every layout of every result costs at the least: exact when each result has one user
 * and few layouts are worth a thought. Nothing is decided before. Looks at time only, not at memory. */
void fuse_search_tree(struct fuse_search *s);

#endif
