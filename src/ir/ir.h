/* The intermediate representation: what a program computes, with every name, axis and extent resolved, and nothing about
 * where. A list of operations in dependency order over immutable values.
 *
 * Each operation has an iteration space: a list of indices with extents. Every input is read through an index map
 * (core/box.h), every axis of the output is one distinct index, in `out_index`; indices that are not in the output are
 * projected by `reduce`. So a transpose, a diagonal, a slice, an offset or a broadcast costs no operation of its own.
 *
 *   SOURCE   a file                                     no indices
 *            A file of rows makes a relation: storage RELATION, BOOL for facts and for the support of a numeric relation, else
 *            F32 or F64. Its inputs are relations of the same shape and dtype whose tuples are added to the file's; `reduce`
 *            combines the values of equal tuples; `mean` divides their sum by their number.
 *   LITERAL  numbers from the program text              no indices
 *            Or a relation of drawn points, of type BOOL.
 *   EINSUM   out = sum over missing indices of the product of its inputs; out dtype F32, F64 or I64, the accumulator.
 *            Or of truths: OR over missing indices of the AND of its inputs, all of them BOOL.
 *            Any number of inputs before fuse_ir_order, one or two after.
 *   MAP      out = reduce over missing indices of body(inputs), body in core/scalar.h; out converted to its dtype.
 *            With no inputs it generates (iota, random numbers, constants).
 *   JOIN     out = reduce over missing indices of body(inputs), at those points only that the relation input[0] has; the
 *            others contribute nothing. The other inputs are dense. reduce is never NONE: where nothing contributes, the
 *            output holds its neutral element. No IOTA in the body; out has the dtype of the body's last node.
 *   ATTENTION  made by fuse_ir_attention. out = sum over keys of w v / sum over keys of w, w = exp(s - the largest s along
 *            the keys), s = body of the sum over depth of q k; q, k and v are the first three inputs, of out's dtype, F32 or
 *            F64. Two indices are projected: the one that q does not read numbers keys, the one that v does not read is depth.
 *            In the body LOAD(0) is the sum over depth; it loads further inputs, and not 1 and 2. reduce is SUM. Where no key
 *            counts, all scores being -inf, out is NaN, or 0 if `guarded`.
 *   SPARSIFY out = the tuples of the dense input[0]: of BOOL where it is true, of a number every cell with its value. The
 *            input is read through the identity, as by a SINK.
 *   RULES    what rules derive from relations (core/rules.h). input[k] holds tuples of relation feed[k] of the rules; several
 *            inputs of one are united. out, a BOOL relation of rank 0, stands for all relations of the rules together; only
 *            DERIVED reads it.
 *   DERIVED  out = relation number `derived` of the RULES that input[0] stands for.
 *   CARRY    out = what a tensor that depends on itself is when a turn of its recursion begins: body, which reads nothing, in
 *            the first one. All operations that depend on it, up to FIXPOINTs, are computed in every turn.
 *   FIXPOINT out = the tensor after the last turn. input[0] is its CARRY, and input[1] what it becomes in a turn, which has
 *            the same extents and dtype; both are read through the identity. input[2], F64 of rank 0, says how that went: not
 *            above 0 when the tensor is settled, else how far it still moves; FUSE_UNTIL_OVERFLOW when a number has become
 *            infinite, and infinite when one has become NaN. CARRYs and FIXPOINTs of one recursion have one number `until`,
 *            and its FIXPOINTs are neighbours. A turn is the last one when all of them are settled.
 *   SINK     a file, or, without path, the export of the tensor that `part` names; one input read through the identity,
 *            whose indices are the input's axes; no output.
 *
 * A relation is read by JOINs, by SOURCEs, and before fuse_ir_order by EINSUMs, one in each, as input[0], and by RULES; one
 * that is DERIVED by SINKs too. Where a relation is read whole (SOURCE, RULES, DERIVED), its accesses have no index. Later
 * kinds (steps) add rows here and cases in the passes that care. Local and pure. */
#ifndef FUSE_IR_IR_H
#define FUSE_IR_IR_H

#include "core/arena.h"
#include "core/box.h"
#include "core/error.h"
#include "core/probe.h"
#include "core/reduce.h"
#include "core/rules.h"
#include "core/scalar.h"
#include "core/text.h"

#define FUSE_UNTIL_OVERFLOW 1.7976931348623157e308 /* the largest F64 */

enum fuse_storage { FUSE_STORAGE_DENSE, FUSE_STORAGE_RELATION };

enum fuse_op_kind {
    FUSE_OP_SOURCE,
    FUSE_OP_LITERAL,
    FUSE_OP_EINSUM,
    FUSE_OP_MAP,
    FUSE_OP_JOIN,
    FUSE_OP_SPARSIFY,
    FUSE_OP_RULES,
    FUSE_OP_DERIVED,
    FUSE_OP_CARRY,
    FUSE_OP_FIXPOINT,
    FUSE_OP_SINK,
    FUSE_OP_ATTENTION
};

struct fuse_value {
    const char *name; /* the tensor's name, or NULL for an intermediate (printed "%<id>") */
    struct fuse_span span;
    enum fuse_dtype dtype;
    enum fuse_storage storage;
    int rank;
    int64_t extent[FUSE_MAX_AXES];
    int op; /* the operation that makes it */
    /* 0, or one more than the number of what somebody says about its layout: rewrites then leave it a value of its own, and
     * planning takes its layout from there (plan/plan.h). */
    int pin;
};

struct fuse_use {
    int value;
    struct fuse_access access; /* access.rank == the value's rank */
};

struct fuse_op {
    enum fuse_op_kind kind;
    struct fuse_span span; /* the equation, source or sink it came from */
    int out;               /* value, or -1 (SINK) */
    int inputs;
    struct fuse_use *input;
    int indices;
    int64_t extent[FUSE_MAX_AXES];
    const char *index_name[FUSE_MAX_AXES]; /* for printing; unique within the operation */
    int out_index[FUSE_MAX_AXES];          /* per axis of out */
    /* MAP, JOIN; EINSUM has SUM, of truths OR; NONE when nothing is projected. SINK of reals: MIN or MAX when the cells that no tuple
     * has reached hold what that begins with: lists of cells leave out these, and no others; NONE: those that are 0. */
    enum fuse_reduce reduce;
    const struct fuse_scalar *body;       /* MAP, JOIN, CARRY, ATTENTION */
    bool guarded;                         /* ATTENTION */
    const char *owner;                    /* the tensor whose equation it is from; NULL: a sink. For messages */
    const char *overflow, *overflow_hint; /* MAP: what an integer overflow in it stands for; NULL: itself */
    const char *path, *part;              /* SOURCE, SINK: as the program says it (not resolved) */
    bool mean;                            /* SOURCE of rows */
    int table
        [FUSE_MAX_AXES];    /* SINK: one more than the number of the symbols of an axis, 0: its positions are numbers */
    bool counts;            /* SINK without path: of its tuples only the number */
    int asks;               /* SINK without path: nothing but the answer to this question, counted from 1; 0: none */
    bool ranking;           /* SINK: pairs (position, value) along the last axis, as topk ranks; F64 or I64 */
    enum fuse_dtype ranked; /* .. with values of this type */
    struct fuse_probe probe;        /* SOURCE */
    int64_t begin[FUSE_MAX_AXES];   /* SOURCE: where the value begins in the file, whose extents the probe has */
    const void *data;               /* LITERAL: dense, C order, of out's dtype */
    const struct fuse_draw *draw;   /* LITERAL that is a relation of drawn points: its rows; probe.tally counts them */
    const struct fuse_rules *rules; /* RULES */
    const int *feed;                /* RULES: [inputs] relations of the rules */
    int derived;                    /* DERIVED */
    int until;                      /* CARRY, FIXPOINT */
};

struct fuse_ir {
    struct fuse_arena *arena;
    FUSE_VEC(struct fuse_value) values;
    FUSE_VEC(struct fuse_op *) ops; /* producers before consumers; sinks anywhere after their input */
};

/* Appends a value (extents copied) or an operation and returns its number. fuse_ir_add_op copies the operation and
 * its list of inputs; names, paths, bodies and data must live as long as the IR. It sets values.at[op->out].op, and for a
 * SINK without indices those of its input. */
int fuse_ir_add_value(struct fuse_ir *ir, const char *name, struct fuse_span span, enum fuse_dtype dtype, int rank,
                      const int64_t *extent);
int fuse_ir_add_op(struct fuse_ir *ir, const struct fuse_op *op);

/* A copy that can be rewritten on its own, in out->arena, which lives as long as the arena of `ir`. */
void fuse_ir_copy(struct fuse_ir *out, const struct fuse_ir *ir);

/* The most tuples of a relation whose ids lie in the box, from the tallies of its files, or all that the box has room for;
 * saturating. */
int64_t fuse_relation_most(const struct fuse_ir *ir, int value, const struct fuse_box *box);
static inline bool fuse_is_relation(const struct fuse_ir *ir, int value) {
    return ir->values.at[value].storage == FUSE_STORAGE_RELATION;
}
/* true for a relation of which it is known only when it is there how many tuples it has. */
static inline bool fuse_is_derived(const struct fuse_ir *ir, int value) {
    return ir->ops.at[ir->values.at[value].op]->kind == FUSE_OP_DERIVED;
}

/* Per operation the recursion in whose turns it is computed, CARRYs and FIXPOINTs included, or -1. In the arena. */
int *fuse_ir_recursions(const struct fuse_ir *ir, struct fuse_arena *arena);
/* The two projected indices of an ATTENTION; false when there are no such two. Neither can be split: a row of scores is
 * worked on in one place. */
bool fuse_attention_indices(const struct fuse_ir *ir, const struct fuse_op *op, int *key, int *depth);
/* true when the scores of an ATTENTION go along the index. Along another one there are only elements of rows of values, and whoever
 * takes a part of these needs all scores. */
bool fuse_attention_scores_have(const struct fuse_op *op, int index);
/* Index of an ATTENTION whose point x sees keys up to x + *shift only, -1: there is none. All inputs are read along it
 * position by position, and neither keys nor values go along it. */
int fuse_attention_row(const struct fuse_ir *ir, const struct fuse_op *op, int64_t *shift);

/* Elements and bytes of a value as if it were dense; saturating. */
int64_t fuse_value_elems(const struct fuse_value *value);
int64_t fuse_value_bytes(const struct fuse_value *value);
/* true when the value of a SOURCE is all of its file. */
bool fuse_source_is_whole(const struct fuse_ir *ir, const struct fuse_op *source);
/* true when every element that the operation reads through the input lies inside the operand. */
bool fuse_use_in_bounds(const struct fuse_ir *ir, const struct fuse_op *op, int input);
/* true for a map whose result consists of elements of its one operand, unchanged. */
bool fuse_op_is_copy(const struct fuse_ir *ir, const struct fuse_op *op);

/* BUG with a description when a rule of this header is broken. */
enum fuse_status fuse_ir_verify(const struct fuse_ir *ir, struct fuse_error *err) FUSE_CHECKED;
/* One line an operation: `%3 f32[128,64] = einsum [i:128 j:64 | k:32] %1[i,k] %2[k,j]`, and the rules behind RULES. Stable. */
void fuse_ir_print(struct fuse_text *text, const struct fuse_ir *ir);
/* The same for one operation, without the line end. */
void fuse_ir_print_op(struct fuse_text *text, const struct fuse_ir *ir, int op);

/* Rewrites, each a file of its own; each leaves a valid IR with the same sinks. fuse_ir_simplify runs them in order. */
enum fuse_status fuse_ir_simplify(struct fuse_ir *ir, struct fuse_error *err) FUSE_CHECKED;
/* The same without ATTENTION, whose sums have no order of their own. */
enum fuse_status fuse_ir_simplify_in_order(struct fuse_ir *ir, struct fuse_error *err) FUSE_CHECKED;
void fuse_ir_fold(
    struct fuse_ir *ir); /* constants inside bodies; x*1, x+0 (integers), small literals of rank 0 into bodies */
void fuse_ir_forward(
    struct fuse_ir *ir); /* a MAP that only re-reads one input, in bounds, dissolves into its users' index maps */
void fuse_ir_share(struct fuse_ir *ir);  /* common sub-expressions */
void fuse_ir_shrink(struct fuse_ir *ir); /* sweeps, then computes and reads of every value no more than its users do */
void fuse_ir_fuse(struct fuse_ir *ir);   /* an element-wise MAP with one user that is a MAP becomes part of that body */
/* Splits products of three or more inputs into pairs: exact dynamic programming on flops, then on bytes of intermediates,
 * up to 12 inputs; greedy beyond. PROGRAM when an intermediate would need more than FUSE_MAX_AXES axes. */
enum fuse_status fuse_ir_order(struct fuse_ir *ir, struct fuse_error *err) FUSE_CHECKED;
void fuse_ir_attention(struct fuse_ir *ir); /* softmax attention written as maps and products becomes ATTENTION */
void fuse_ir_split(struct fuse_ir *ir);     /* MAPs of more inputs than a kernel has streams become several */
/* Rules derive only what is read of their relations (core/demand.h). Not among what fuse_ir_simplify runs: turns are counted
 * otherwise afterwards, and of what nobody reads nothing can be told. */
void fuse_ir_ask(struct fuse_ir *ir);
void fuse_ir_sweep(struct fuse_ir *ir); /* dead code; renumbers values and operations */

#endif
