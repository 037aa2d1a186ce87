/* What the files that build a plan share. Local and pure. */
#ifndef FUSE_PLAN_BUILD_INTERNAL_H
#define FUSE_PLAN_BUILD_INTERNAL_H

#include "plan/build.h"

/* The step that computes an input of an operation again in a loop, with its operands brought. */
struct build_again {
    int op, input;
    struct fuse_step step;
};

struct build {
    struct fuse_plan *plan;
    const struct fuse_plan_effort *effort;
    const struct fuse_plan_choice *choice;
    int *value_buffer;              /* [values], -1: not there yet */
    int *first, *last;              /* [values] lifetimes, positions in plan->order */
    bool *stored;                   /* [values] a sink reads it, perhaps after everything else */
    int *user_begin, *user;         /* of value v: user[user_begin[v] .. user_begin[v + 1]) */
    FUSE_VEC(int) top;              /* regions of the root sequence */
    int position;                   /* of the next region in it */
    FUSE_VEC(int) body;             /* regions of the loop being built */
    int loop;                       /* region number of that loop, or -1 */
    int chain;                      /* whose loop it is, or -1 */
    int64_t *received[FUSE_PHASES]; /* [ranks] bytes so far */
    int recursion;                  /* whose turns are being built, or -1 */
    int turns_position;             /* the position that its turns begin with */
    int other_position;             /* in them while steps go before them, and the reverse */
    FUSE_VEC(int) turn;             /* regions of a turn */
    bool hoists;                    /* steps go before the turns */
    FUSE_VEC(int) gathered;         /* steps that bring what may serve later operations too */
    bool *nowhere;                  /* [values] all who need it compute it again, and it is not kept */
    FUSE_VEC(struct build_again) again;
};

/* ---- build.c: buffers, steps, regions, files ---- */

int64_t fuse_build_dtype_bytes(const struct build *b, int value);
/* Where tensors live. */
enum fuse_memkind fuse_build_tensor_kind(const struct build *b);
int fuse_build_add_buffer(struct build *b, char role, const struct fuse_holding *holding);
/* One of so many bytes that holds no elements of a tensor; the same on every rank. */
int fuse_build_add_bytes(struct build *b, char role, enum fuse_memkind kind, int64_t bytes);
struct fuse_step fuse_build_new_step(const struct build *b, enum fuse_step_kind kind, enum fuse_phase phase, int op);
/* Gives a buffer whose holding is cut by a loop two halves, so that files are read and written while the loop computes. */
void fuse_build_double_buffer(struct build *b, int buffer);
/* The same for the panels of a value that lies in the buffer `resident`, so that one is brought while another is computed
 * with; right after the steps that bring them. */
void fuse_build_double_panels(struct build *b, int buffer, int resident);
/* Gives a READ, WRITE or PRINT step of a buffer its staging. */
void fuse_build_add_file_staging(struct build *b, struct fuse_step *step, int buffer);
/* Prices a step, gives it staging, and appends it to the loop that is open or to the top. */
void fuse_build_add_step(struct build *b, struct fuse_step *step);
/* The same of a MOVE, in two stages if that takes less time: in no loop, or in one of panels. */
void fuse_build_add_move(struct build *b, const struct fuse_step *move);
/* The axis along which the first stage of such a MOVE deals parts, plus 1; 0: it is none. */
int fuse_build_stages(const struct build *b, const struct fuse_step *move);
/* A region becomes part of the loop that is open, of the turn, or of the top. */
void fuse_build_add_region(struct build *b, int region);
/* Opens a loop region; steps added until close_loop are its body. Its number is known from the start, so that holdings
 * can refer to it. */
int fuse_build_open_loop(struct build *b, struct fuse_region loop);
void fuse_build_close_loop(struct build *b);
struct fuse_holding fuse_build_layout_holding(int value, const struct fuse_layout *layout);
/* What is there of a value at a turn: inside the loop of the chain that makes it, a slab. */
struct fuse_holding fuse_build_slab_holding(const struct build *b, int value, const struct fuse_layout *layout);
/* What its buffer holds: a slab if nobody outside the chain uses the value, else all of it. */
struct fuse_holding fuse_build_buffer_holding(const struct build *b, int value, const struct fuse_layout *layout);
/* Loads a source or literal unless it is there, or is no such thing and computed where it is needed. */
void fuse_build_load_value(struct build *b, int value);

/* ---- build_operation.c: one operation ---- */

bool fuse_build_reads_index(const struct fuse_use *use, int index);
bool fuse_build_needs_gather(const struct build *b, int op, int input);
/* Brings an input to where the operation needs it; returns the buffer. In a loop that cuts index `cut`, or loop -1. */
int fuse_build_gather_input(struct build *b, int op, int input, int loop, int cut);
/* The same with another partition, for an input that is not computed again. */
int fuse_build_bring_input(struct build *b, int op, int input, const struct fuse_layout *partition, int loop, int cut);
/* The CONTRACT or MAP step of an operation, with all inputs read where they lie. */
struct fuse_step fuse_build_compute_step(const struct build *b, int op, int to);
/* The result needs no buffer but the one that the operation writes to. */
bool fuse_build_ends_in_place(const struct build *b, int op);
/* The operand that a map may write its result over: nobody reads it afterwards, and the map reads it nowhere but at the
 * place of the result. A value, or -1 if there is none. */
int fuse_build_operand_to_overwrite(const struct build *b, int op);
int fuse_build_add_result_buffer(struct build *b, int op);
/* Reduces partial results, and moves them to the value's layout if that is another. */
void fuse_build_finish(struct build *b, int op, int to);
void fuse_build_emit_operation(struct build *b, int op);

/* ---- build_again.c ---- */

/* Before anything else: what is not kept, and what is read longer. */
void fuse_build_mark_again(struct build *b);
bool fuse_build_is_again(const struct build *b, int op, int input);
/* Before the loop in which an input is computed again: brings what it is computed from. */
void fuse_build_prepare_again(struct build *b, int op, int input);
/* Computes an input again where it is needed; returns the buffer. */
int fuse_build_compute_again(struct build *b, int op, int input, const struct fuse_holding *need);

/* ---- build_tuples.c ---- */

/* Brings the tuples of a JOIN's relation, unless they are there; returns the buffer. */
int fuse_build_tuples(struct build *b, int op);

/* ---- build_rules.c ---- */

/* Feeds the rules that read the relation of a SPARSIFY operation from the dense value. */
void fuse_build_sparsify(struct build *b, int op);
/* Feeds the rules of a RULES operation with all else, and evaluates them. */
void fuse_build_rules(struct build *b, int op);
/* A sink of a derived relation. */
void fuse_build_list(struct build *b, int op);

/* ---- build_recursion.c ---- */

/* The operations at positions first .. last of plan->order, a recursion, as one loop. */
void fuse_build_emit_recursion(struct build *b, int first, int last);
/* true when turns are being built and the value is the same in all of them. */
bool fuse_build_is_constant(const struct build *b, int value);
/* What is the same in all turns is brought once, before them: when turns are being built, steps go there from now on, or
 * no longer. Returns what was before. */
bool fuse_build_hoist(struct build *b, bool hoists);

/* ---- build_chain.c ---- */

/* The operations at positions first .. last of plan->order, a chain, as one loop. */
void fuse_build_emit_chain(struct build *b, int first, int last);

#endif
