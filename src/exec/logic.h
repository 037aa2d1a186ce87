/* Evaluation of rules over relations, on any number of ranks; the answer is the same on each number.
 *
 *     fuse_logic_open -> fuse_logic_add .. -> fuse_logic_run -> fuse_logic_count, fuse_logic_sort, fuse_logic_read -> _close
 *
 * Tuples are distributed: a rank holds about its share, and nothing that grows with them passes through one rank. Sums and products
 * of reals keep all contributions until their stratum ends, and add them in the order of their values: that is what makes them
 * the same on every number of ranks. */
#ifndef FUSE_EXEC_LOGIC_H
#define FUSE_EXEC_LOGIC_H

#include "comm/comm.h"
#include "core/rules.h"

struct fuse_logic; /* rules at work, on this rank */

/* What happened in a turn of a stratum, all ranks together. A stratum without recursion has one. */
struct fuse_logic_turn {
    int stratum;
    int64_t turn;       /* from 1 */
    int64_t derived;    /* contributions, before they were united */
    int64_t fresh;      /* tuples that are new or have a better value */
    int64_t sent_bytes; /* between ranks */
};

struct fuse_logic_request {
    const struct fuse_rules *rules; /* verified; borrowed until close */
    struct fuse_comm *comm;
    /* What this rank may hold at most, all relations, indexes and messages together; 0: no limit. */
    int64_t memory_bytes;
    /* Relations of at most so many bytes may be copied to every rank where that saves messages, unless the stratum that uses them
     * derives them; 0: 256 MiB, or an eighth of memory_bytes; < 0: none. */
    int64_t copied_bytes;
    /* How a stratum's tuples lie on ranks is looked at, and mended, when there are so many, and whenever they have doubled; 0:
     * 524,288. Not where stages are kept. */
    int64_t looked_at_above;
    /* Of this rank, for what is computed in blocks of bits; 0: one. */
    int threads;
    /* Turns of one stratum at most; 0: no limit. */
    int64_t max_turns;
    /* At the limit: leave what was derived so far and go on, instead of failing. */
    bool may_stop_early;
    /* Join everything in every turn instead of what is new: slow, for comparison. */
    bool is_naive;
    /* Take turns also where there is a faster way to the fixpoint (core/linear.h), which counts as one turn. */
    bool takes_turns;
    /* Keep what fuse_logic_add gave to relations that rules derive, and rows of relations that have faster forms where rules of
     * their own find tuples by some of their ids; keeps_rows: all rows. For proofs (exec/why.h). */
    bool keeps_given, keeps_rows;
    /* Keep the turn in which each tuple appeared, counted over all strata. */
    bool keeps_stages;
    /* Told after each turn, on every rank alike; NULL: nobody is told. */
    void (*turn)(void *context, const struct fuse_logic_turn *turn);
    void *context;
};

struct fuse_logic_report {
    int64_t turns;      /* of all strata */
    bool stopped_early; /* some stratum did not reach its fixpoint */
    int64_t derived, sent_bytes;
    int64_t peak_bytes; /* of the busiest rank, as counted by the engine */
};

/* Tuples in memory, column by column. */
struct fuse_logic_rows {
    int64_t n;
    const int64_t *id[FUSE_MAX_AXES]; /* [n] each */
    const void *value;                /* [n] int64_t for I64, double for F32 and F64; NULL for BOOL */
};

/* Local. */
enum fuse_status fuse_logic_open(struct fuse_logic **out, const struct fuse_logic_request *request,
                                 struct fuse_error *err) FUSE_CHECKED;
/* Local. Tuples given from outside, to any relation, on any rank, in any order and any number of calls; duplicates are united by
 * the relation's operator. MEMORY, naming the relation, when it would hold more than it may; BUG for ids outside the extents. */
enum fuse_status fuse_logic_add(struct fuse_logic *logic, int relation, const struct fuse_logic_rows *rows,
                                struct fuse_error *err) FUSE_CHECKED;
/* Collective, once; every rank's status is the same. DIVERGED at the limit of turns, MEMORY before more is held than may be, each
 * with the name of the relation to blame; FAILED for an integer that overflows and for NaN under MIN or MAX, at the rule's
 * place. */
enum fuse_status fuse_logic_run(struct fuse_logic *logic, struct fuse_logic_report *report,
                                struct fuse_error *err) FUSE_CHECKED;

/* After the run. Collective: tuples of a relation on all ranks. */
enum fuse_status fuse_logic_count(int64_t *count, struct fuse_logic *logic, int relation,
                                  struct fuse_error *err) FUSE_CHECKED;
/* Collective. Brings a relation into the order of its ids, the first column first: rank r of P then holds the tuples
 * [floor(n r / P), floor(n (r + 1) / P)) of all n. */
enum fuse_status fuse_logic_sort(struct fuse_logic *logic, int relation, struct fuse_error *err) FUSE_CHECKED;
/* Local. Tuples that this rank holds; before fuse_logic_sort in any order. */
int64_t fuse_logic_held(const struct fuse_logic *logic, int relation);
/* Local. Copies tuples [begin, begin + n) of them: id[c][0 .. n) for each column, value[0 .. n) (8 bytes each, as in fuse_logic_rows) and
 * stage[0 .. n) unless NULL. */
void fuse_logic_read(const struct fuse_logic *logic, int relation, int64_t begin, int64_t n, int64_t *const id[],
                     void *value, int64_t *stage);
/* Local. What relations, indexes and messages hold on this rank. */
int64_t fuse_logic_bytes(const struct fuse_logic *logic);
/* Local. Gives back the memory of a relation that is not read any more. */
void fuse_logic_drop(struct fuse_logic *logic, int relation);
void fuse_logic_close(struct fuse_logic *logic);

#endif
