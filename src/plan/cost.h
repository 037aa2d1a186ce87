/* The cost model: what the steps of a plan take, computed from layouts by interval arithmetic alone. It shares no code
 * with the enumeration of messages (exchange.c), so that the two can be compared. Local and pure. */
#ifndef FUSE_PLAN_COST_H
#define FUSE_PLAN_COST_H

#include "plan/plan.h"

/* Elements that a rank must receive in a MOVE or REDUCE step at one turn: those it needs, less those it has. */
int64_t fuse_cost_received_elems(const struct fuse_plan *plan, const struct fuse_step *step, int rank, int64_t turn);
/* Fills the step's received_bytes_max, received_bytes_total, flops_max and time_ps, over all ranks and turns, and adds
 * what each rank receives to received_bytes[rank]. */
void fuse_cost_step(const struct fuse_plan *plan, struct fuse_step *step, int64_t *received_bytes);
/* At least what one rank receives in one turn, bytes; after fuse_cost_step. */
int64_t fuse_cost_turn_bytes_bound(const struct fuse_plan *plan, const struct fuse_step *step);

/* true when there are several nodes, of ranks_per_node ranks each. */
bool fuse_cost_has_nodes(const struct fuse_plan *plan);
/* What comes from other nodes in a MOVE or REDUCE step, after fuse_cost_step: exactly, to the busiest rank and to all. Takes time for
 * every rank and those of its node. 0 on one node, or when nothing is known of nodes. */
struct fuse_cost_far {
    int64_t bytes_max, bytes_total;
};
struct fuse_cost_far fuse_cost_from_other_nodes(const struct fuse_plan *plan, const struct fuse_step *step);
/* The same to all ranks, of all steps of a phase. */
int64_t fuse_cost_network_total(const struct fuse_plan *plan, enum fuse_phase phase);

/* Exact: some rank reads what it does not hold, or outside the tensor, so that the operation must read from a buffer of
 * its own. (Conservative for ranks without a part of the iteration space.) */
bool fuse_cost_needs_gather(const struct fuse_plan *plan, int op, int input, const struct fuse_layout *partition,
                            const struct fuse_layout *have);

/* Sets plan->samples, which the estimates below look at. */
void fuse_cost_choose_samples(struct fuse_plan *plan);

/* What the busiest of a few ranks receives, without loops. */
struct fuse_traffic {
    int64_t bytes, messages;
    int64_t network; /* of the bytes, those that come from other nodes */
};

/* How an exchange is carried out: at once, or in two stages (fuse_plan_shares), whichever takes less time. */
struct fuse_cost_way {
    int dealt;                       /* 0: at once; else the first stage brings parts along axis dealt - 1 */
    struct fuse_traffic all, within; /* of both stages, of the second */
};

/* Of a MOVE step without loops; no stage deals axis `but_axis`, -1: none. */
struct fuse_cost_way fuse_cost_choose_way(const struct fuse_plan *plan, const struct fuse_step *move, int but_axis);
/* The two stages of a MOVE. */
void fuse_cost_split_stages(struct fuse_step *first, struct fuse_step *second, const struct fuse_plan *plan,
                            const struct fuse_step *move, int dealt);
/* Estimates for the search, before there are steps: what comes in when the value lies in layout `have` and operation `op`
 * reads it as input `input` under `partition`; in_stages: if need be. *copied tells that a copy is needed even if nothing is
 * received, because the box reaches outside the tensor. */
struct fuse_cost_way fuse_cost_gather(const struct fuse_plan *plan, int op, int input,
                                      const struct fuse_layout *partition, const struct fuse_layout *have,
                                      bool in_stages, bool *copied);
/* The same from one layout of a value to another. */
struct fuse_cost_way fuse_cost_relayout(const struct fuse_plan *plan, int value, const struct fuse_layout *have,
                                        const struct fuse_layout *need, bool in_stages);
/* Multiplications and additions (or steps of a body) of one rank's share of an operation under a partition. */
int64_t fuse_cost_flops(const struct fuse_plan *plan, int op, const struct fuse_layout *partition);
/* Of the scores of one rank's share of an ATTENTION alone, without the rows of values that they weigh. */
struct fuse_cost_work {
    int64_t flops, time_ps;
};
struct fuse_cost_work fuse_cost_scores(const struct fuse_plan *plan, int op, const struct fuse_layout *partition);
/* Steps of a body at one point, in terms of simple ones: random numbers take as long as many of them. */
int fuse_cost_body_work(const struct fuse_op *op);
/* The work of the busiest rank over the mean of those that share it, in thousandths: what is known of it, which is how many keys
 * the queries of a causal attention see. */
int64_t fuse_cost_balance(const struct fuse_plan *plan, int op, const struct fuse_layout *partition);
/* Time of one rank's share of an operation under a partition. */
int64_t fuse_cost_compute_ps(const struct fuse_plan *plan, int op, const struct fuse_layout *partition);
/* Time to bring a rank its tuples of a JOIN's relation, were they spread evenly; *held is what they occupy meanwhile. */
int64_t fuse_cost_tuples_ps(const struct fuse_plan *plan, int op, const struct fuse_layout *partition, int64_t *held);
/* Time to bring and sort so many tuples of row_bytes each. */
int64_t fuse_cost_bring_tuples_ps(const struct fuse_plan *plan, int64_t tuples, int64_t row_bytes);
/* In a chain's loop an exchange also waits for the slowest rank, at every turn: as if for so many messages. */
#define FUSE_COST_WAITS 10

/* Ranks of one node bring panels by copying them themselves: there is nothing to overlap, and this is false. */
bool fuse_cost_overlaps(const struct fuse_plan *plan);
/* Positions of a summed index that a panel keeps when memory allows: with fewer, products are slower. */
#define FUSE_COST_PANEL_MIN 512
/* Bytes of a panel that are worth having at once; it is not made smaller than the least to have more of them. */
#define FUSE_COST_PANEL_BYTES ((int64_t)8 << 20)
#define FUSE_COST_PANEL_LEAST_BYTES ((int64_t)1 << 20)
/* What passes while a loop computes, in all turns: messages take time, and of that the processor for what it copies. */
struct fuse_cost_aside {
    int64_t time_ps, processor_ps;
};
/* What of an exchange that leaves `held` bytes may pass so: all, or its first stage. */
struct fuse_cost_aside fuse_cost_first_stage(const struct fuse_plan *plan, const struct fuse_cost_way *way,
                                             int64_t held);
/* What both take: the longer one, and a turn of the other, which comes before or behind. */
int64_t fuse_cost_beside_ps(int64_t turns, int64_t compute_ps, struct fuse_cost_aside aside);
/* Turns of a loop over `extent` positions of a summed index, in which panels of `bytes` in all arrive beside kernels that take
 * compute_ps; and what both take together, 1 turn being one after the other. */
struct fuse_cost_panels {
    int64_t turns, time_ps;
};
struct fuse_cost_panels fuse_cost_choose_panels(const struct fuse_plan *plan, int64_t bytes, int64_t extent,
                                                int64_t compute_ps, struct fuse_cost_aside aside);
/* The processor's part of fuse_cost_bring_ps: what ranks of a node send is copied by the receiver, and of what comes from others
 * the processor touches every byte once. */
int64_t fuse_cost_processor_ps(const struct fuse_plan *plan, struct fuse_traffic in, int64_t held);
/* The same of a MOVE step, over all turns. */
int64_t fuse_cost_step_processor_ps(const struct fuse_plan *plan, const struct fuse_step *step);
/* Time to receive this, when a rank ends up holding `held` bytes, of which it copies what it does not receive. */
int64_t fuse_cost_bring_ps(const struct fuse_plan *plan, struct fuse_traffic in, int64_t held);
/* Time to receive this. */
int64_t fuse_cost_receive_ps(const struct fuse_plan *plan, struct fuse_traffic in);
/* What comes from anywhere: from other nodes, if there are any. */
struct fuse_traffic fuse_cost_from_anywhere(const struct fuse_plan *plan, int64_t bytes, int64_t messages);
/* Bytes of the largest block of a value under a layout. */
int64_t fuse_cost_block_bytes(const struct fuse_plan *plan, int value, const struct fuse_layout *layout);
/* The contiguous ranges in which a file of this value is read or written. */
struct fuse_holding fuse_cost_file_ranges(const struct fuse_plan *plan, int value, bool reversed);
/* The same between those ranges and a layout, either way. */
struct fuse_traffic fuse_cost_file(const struct fuse_plan *plan, int value, const struct fuse_layout *layout,
                                   bool reversed, bool store);
/* true when every rank's block of the layout is one run of the file or runs of at least 64 KiB, each held by one rank. */
bool fuse_cost_file_direct(const struct fuse_plan *plan, int value, const struct fuse_layout *layout, bool reversed);

#endif
