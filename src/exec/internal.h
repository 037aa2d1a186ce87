/* What the files of the executor share. */
#ifndef FUSE_EXEC_INTERNAL_H
#define FUSE_EXEC_INTERNAL_H

#include "exec/exec.h"
#include "exec/logic.h"
#include "io/format.h"

struct fuse_exec {
    const struct fuse_exec_request *request;
    const struct fuse_plan *plan;
    struct fuse_comm *comm;
    struct fuse_backend *backend;
    struct fuse_queue *queue;
    struct fuse_queue *mover; /* of panels that are brought while `queue` computes */
    void *base[FUSE_MEM_KINDS];
    int arena_file; /* of HOST memory, until others have mapped it; -1: in none, because of: */
    char why_own[FUSE_COMM_WHY];
    struct fuse_comm_peers peers; /* whose memory of kind HOST this rank reads */
    struct fuse_exec_near {
        const char *at;
        size_t bytes;
    } near;                      /* the pages of it that were read last */
    struct fuse_source **source; /* [ops] */
    struct fuse_sink **sink;     /* [ops] where `place` says that the file is, NULL elsewhere */
    const struct fuse_format **format;
    struct fuse_exec_place {
        int file;      /* sinks: the operation that holds the file; it is the first of those that share it */
        int member;    /* and which of its members */
        int last_read; /* sources: the child of the root region after which it is not read any more, -1: never read */
    } * place;         /* [ops] */
    int64_t turn;      /* of the loop that runs, 0 outside */
    enum fuse_status status; /* sticky: the first local failure since the last agreement */
    struct fuse_error error;
    int64_t events; /* of the planted fault's kind so far */
    struct fuse_exec_name {
        struct fuse_exec_name *next;
        char text[];
    } * temporary;                           /* names of files that are not complete */
    struct fuse_exec_background *background; /* NULL: nothing was done there yet */
    struct fuse_exec_logic {
        struct fuse_logic *rules; /* NULL: not opened yet, or closed */
        bool has_run;
        int last; /* the child of the root region after which nothing of it is read, -1: never read */
        struct fuse_exec_logic *next;
    } * logic,   /* [ops] of RULES */
        *opened; /* those whose rules are open */
    struct fuse_exec_own {
        char *at; /* NULL: the plan's bytes are meant */
        size_t bytes;
        struct fuse_tuples tuples;
        struct fuse_exec_own *next;
    } * own,                /* [buffers] tuples of derived relations */
        *held;              /* those with memory */
    int64_t relation_bytes; /* of all that are held */
    struct fuse_exec_panel {
        bool in_place; /* this turn's is read where the whole value is */
        int half;      /* else it is there */
    } * panel;         /* [buffers] with a resident one */
    int *following;    /* [steps] the step that is run after it, in its loop or as the loop has ended, or -1 */
    bool *is_ahead;    /* [steps] a MAP that a CONTRACT before it has taken along */
    struct fuse_exec_flight {
        const struct fuse_step *step; /* the MOVE that brings panels, NULL: none */
        struct fuse_exec_walk *walk;
        int64_t next;      /* turn that is being brought, or comes then */
        bool has_begun;    /* its messages are on their way */
        int64_t brought;   /* panels for this rank of turns before `next` */
        int64_t used;      /* .. before the turn that is computed */
        uint64_t until[2]; /* what `queue` must have done before a half may be written */
    } flight[FUSE_PLAN_FLIGHTS];
    struct fuse_logic_report derived; /* sums over all rules */
    int64_t *moves;       /* [1 + ops] bits of the F64 that tells how far the tensor of FIXPOINT o - 1 still moves */
    int64_t rounds;       /* turns of all recursions of tensors */
    struct fuse_why *why; /* NULL: nothing was asked yet */
    double answer_seconds, stage_seconds;
};

/* Keeps the first failure; the rank goes on in the schedule. */
void fuse_exec_fail(struct fuse_exec *exec, enum fuse_status status, const struct fuse_error *err);
/* Counts an event; true when the planted fault says that this one fails. Always false in builds without faults. */
bool fuse_exec_fault(struct fuse_exec *exec, enum fuse_fault_kind kind);

/* ---- open.c: files from their opening to their end; everything collective ---- */

/* Gives an error the place of the operation whose file it is about; returns the status. */
enum fuse_status fuse_exec_blame(const struct fuse_op *op, enum fuse_status status, struct fuse_error *err);
enum fuse_status fuse_exec_open_sources(struct fuse_exec *exec, struct fuse_error *err) FUSE_CHECKED; /* local */
enum fuse_status fuse_exec_open_sinks(struct fuse_exec *exec, struct fuse_error *err) FUSE_CHECKED;
/* Of the sources whose last read was in children (after, upto] of the root region, what only their end can tell. */
enum fuse_status fuse_exec_finish_sources(struct fuse_exec *exec, int after, int upto,
                                          struct fuse_error *err) FUSE_CHECKED;
enum fuse_status fuse_exec_commit_sinks(struct fuse_exec *exec, struct fuse_error *err) FUSE_CHECKED;
/* Local. Closes sources, discards sinks that were not committed. */
void fuse_exec_close_files(struct fuse_exec *exec);

/* The part `part` of a buffer as this rank holds it at this turn; part must lie in one of its boxes. */
struct fuse_view fuse_exec_view(const struct fuse_exec *exec, int buffer, const struct fuse_box *part);
/* The same at another turn of the loop. */
struct fuse_view fuse_exec_view_at(const struct fuse_exec *exec, int buffer, const struct fuse_box *part, int64_t turn);
/* The part `part` of what lies dense at `data` under a holding. */
struct fuse_view fuse_exec_view_in(char *data, const struct fuse_plan *plan, const struct fuse_holding *holding,
                                   int rank, int64_t turn, const struct fuse_box *part);
/* The first box of a buffer; false when the rank holds nothing in it. */
bool fuse_exec_box(const struct fuse_exec *exec, int buffer, struct fuse_box *box);
/* Start of a buffer. */
char *fuse_exec_data(const struct fuse_exec *exec, int buffer);

/* After a kernel of an operation: an overflow shows when it has run; integers are rare enough to look at once and name
 * the equation. status: what the call said. */
void fuse_exec_settle(struct fuse_exec *exec, const struct fuse_op *op, enum fuse_status status,
                      struct fuse_error *err);

/* Moves elements between a buffer of this rank and host memory, whatever memory the buffer is in: `host` fills or drains
 * the host view of a box. On devices a box comes in pieces, through the step's staging. */
struct fuse_exec_pass {
    struct fuse_exec *exec;
    const struct fuse_step *step;
    int buffer;
    bool to_buffer;
    enum fuse_status (*host)(const struct fuse_exec_pass *pass, const struct fuse_box *box,
                             const struct fuse_view *view, struct fuse_error *err);
    void *context;
};
/* Every box that this rank holds. Failures become sticky. */
void fuse_exec_pass_boxes(const struct fuse_exec_pass *pass, const struct fuse_holding *holding);

/* Local, any thread that is the only one at the file: what a READ or WRITE step of a buffer in host memory does at a turn. */
enum fuse_status fuse_exec_transfer_file(const struct fuse_exec *exec, const struct fuse_step *step, int64_t turn,
                                         struct fuse_error *err) FUSE_CHECKED;
/* The failure of a READ or WRITE that was planted. */
enum fuse_status fuse_exec_planted(const struct fuse_exec *exec, const struct fuse_step *step, struct fuse_error *err);

/* exports.c: several mesh dimensions may hold the same elements of a layout: ranks at their start speak for them. */
bool fuse_exec_is_owner(const struct fuse_exec *exec, const struct fuse_layout *layout);

/* ---- rows.c: rows of relations; local ---- */

enum { FUSE_EXEC_ROWS = 1024 /* read at a time */ };

struct fuse_exec_rows {
    struct fuse_rows rows;
    int64_t next; /* of them, for the caller */
    /* private */
    int files, *op, file; /* operations whose rows they are, and which one is being read */
    struct fuse_row_source *source;
    struct fuse_logic *logic; /* of a derived relation; else NULL */
    int relation;
    int64_t drawn; /* rows of this rank's share so far: drawn points, derived tuples */
};

/* false without memory; close it all the same. */
bool fuse_exec_rows_open(struct fuse_exec_rows *reader, const struct fuse_exec *exec, int value);
/* The next rows of this rank's share of the relation; rows.n is 0 at the end. */
enum fuse_status fuse_exec_rows_next(struct fuse_exec_rows *reader, struct fuse_exec *exec,
                                     struct fuse_error *err) FUSE_CHECKED;
void fuse_exec_rows_close(struct fuse_exec_rows *reader, const struct fuse_exec *exec);

/* ---- turns.c ---- */

/* Notes how far the tensor of a SETTLE step's operation still moves. */
void fuse_exec_settle_tensor(struct fuse_exec *exec, const struct fuse_step *step);
/* Collective; ends turn number `turns` of a loop, from 1: true when it was the last one, because all is settled, because that
 * was enough, or because the run has failed, which is sticky. */
bool fuse_exec_is_settled(struct fuse_exec *exec, const struct fuse_region *loop, int64_t turns);

/* ---- derive.c ---- */

/* Finds out when what rules derive is read for the last time. */
void fuse_exec_note_rules(struct fuse_exec *exec);
/* What nobody reads after child `child` of the root region is given back. */
void fuse_exec_release(struct fuse_exec *exec, int child);
/* Whether somebody asks about facts: then all that rules had and derived is kept to the end. */
static inline bool fuse_exec_is_asked(const struct fuse_exec *exec) {
    return exec->request->questions > 0;
}
/* What this rank may still take for relations; INT64_MAX without limit. */
int64_t fuse_exec_relation_room(const struct fuse_exec *exec);

/* ---- background.c: files beside the computing ---- */

/* Begins a READ or WRITE step's turn; nothing happens when something has failed already. */
void fuse_exec_background_start(struct fuse_exec *exec, const struct fuse_step *step, int64_t turn);
/* Waits for all that was begun of a step, or of all. Failures become sticky. */
void fuse_exec_background_wait(struct fuse_exec *exec, const struct fuse_step *step);
void fuse_exec_background_drain(struct fuse_exec *exec);
/* Waits for everything and ends the thread. */
void fuse_exec_background_close(struct fuse_exec *exec);

/* The buffer that this turn reads what another one holds from: itself, or that of the whole value. */
int fuse_exec_reads(const struct fuse_exec *exec, int buffer);

/* ---- panels.c: panels that are brought a turn ahead ---- */

enum fuse_status fuse_exec_panels_open(struct fuse_exec *exec, struct fuse_error *err) FUSE_CHECKED; /* local */
/* At the start and the end of a loop. After a failure, which all ranks have, `end` is collective: exchanges that some rank has
 * begun are finished by all. */
void fuse_exec_panels_begin(struct fuse_exec *exec, const struct fuse_region *loop);
void fuse_exec_panels_end(struct fuse_exec *exec, enum fuse_status status);
/* The MOVE step of such panels: returns when the turn's is there, and has begun to bring the next. */
void fuse_exec_panels_turn(struct fuse_exec *exec, const struct fuse_step *step);
/* Lets messages move; between the slices of a kernel. */
void fuse_exec_panels_progress(struct fuse_exec *exec);
void fuse_exec_panels_close(struct fuse_exec *exec);

/* ---- lent.c: memory of ranks of this node ---- */

/* Local: maps the arena of HOST memory, so that others can map it where that is of use. */
enum fuse_status fuse_exec_map_arena(struct fuse_exec *exec, struct fuse_error *err) FUSE_CHECKED;
/* Collective: ranks of a node lend each other their arenas where all of them can. */
enum fuse_status fuse_exec_lend(struct fuse_exec *exec, struct fuse_exec_report *report,
                                struct fuse_error *err) FUSE_CHECKED;
void fuse_exec_return(struct fuse_exec *exec); /* local */
/* Whether a peer and this rank leave what they exchange in a step where its sender has it. The same on both sides. */
bool fuse_exec_is_lent(const struct fuse_exec *exec, const struct fuse_step *step, int peer, size_t bytes);
/* .. and whether they may, whatever it is. */
bool fuse_exec_may_lend(const struct fuse_exec *exec, const struct fuse_step *step, int peer);
/* fuse_exec_view_at of the peer's buffer. */
struct fuse_view fuse_exec_view_of_peer(const struct fuse_exec *exec, int peer, int buffer, const struct fuse_box *part,
                                        int64_t turn);
/* Cuts a view of a peer's memory, and one of the same extents with it, in parts that lie near together, and calls `part` for each:
 * what has been read does not stay resident. */
void fuse_exec_read_peer(struct fuse_exec *exec, const struct fuse_view *to, const struct fuse_view *from,
                         void (*part)(void *context, const struct fuse_view *to, const struct fuse_view *from),
                         void *context);

/* messages.c: the MOVE of one turn in parts, on a slot of its own. */
struct fuse_exec_walk *fuse_exec_walk_new(void); /* NULL without memory */
/* to: where what this rank needs comes; NULL: it needs nothing but takes part. */
void fuse_exec_walk_begin(struct fuse_exec_walk *walk, struct fuse_exec *exec, const struct fuse_step *step,
                          int64_t turn, char *to, int slot);
/* true when all of it is done, which it is when the call `waits`. */
bool fuse_exec_walk_on(struct fuse_exec_walk *walk, bool waits);

/* One step each. Failures become sticky; MOVE, REDUCE, TUPLES, RULES, LIST and PRINT take part in their messages whatever happened before. */
void fuse_exec_move(struct fuse_exec *exec, const struct fuse_step *step);
void fuse_exec_reduce(struct fuse_exec *exec, const struct fuse_step *step);
void fuse_exec_compute(struct fuse_exec *exec, const struct fuse_step *step);
/* The kernel of a step over a part of its iteration. */
void fuse_exec_run_kernel(struct fuse_exec *exec, const struct fuse_step *step, const struct fuse_box *iteration);
/* true when the planted fault says that the next kernel fails; it has then. */
bool fuse_exec_kernel_fails(struct fuse_exec *exec);
#define FUSE_EXEC_MEMBERS 16
/* A step of several that walk the same rows: maps, or a product and the contraction that weighs it. */
struct fuse_exec_member {
    const struct fuse_step *step;
    const struct fuse_op *op;
    struct fuse_box iteration;
    int row; /* the index that walks the rows; it is axis 0 of the result */
};
/* true when the step may be a map of several that one call of the back end runs, if that has such calls. */
bool fuse_exec_may_join_maps(const struct fuse_exec *exec, const struct fuse_step *step);
void fuse_exec_run_maps(struct fuse_exec *exec, const struct fuse_exec_member *member, int n);
/* compute_epilogue.c: finds out which step is run after which. */
void fuse_exec_note_order(struct fuse_exec *exec);
/* The MAP steps that a CONTRACT step takes along at this turn, at most FUSE_CONTRACT_MAPS; returns how many. */
int fuse_exec_find_epilogue(struct fuse_exec_member *out, const struct fuse_exec *exec, const struct fuse_step *product,
                            int half);
/* Whether buffers share memory at this turn. */
bool fuse_exec_overlap(const struct fuse_exec *exec, int a, int b);
/* compute_rows.c: runs the first few of these regions together, block by block of the rows that they share. Returns how many; 0
 * when that would not be faster, and nothing is done. */
int fuse_exec_run_rows(struct fuse_exec *exec, const int *region, int regions);
/* Tells whoever watches that a step begins. */
void fuse_exec_begin_step(struct fuse_exec *exec, int number);
void fuse_exec_tuples(struct fuse_exec *exec, const struct fuse_step *step);
void fuse_exec_feed(struct fuse_exec *exec, const struct fuse_step *step);
void fuse_exec_rules(struct fuse_exec *exec, const struct fuse_step *step);
void fuse_exec_list(struct fuse_exec *exec, const struct fuse_step *step);
void fuse_exec_read(struct fuse_exec *exec, const struct fuse_step *step);
void fuse_exec_literal(struct fuse_exec *exec, const struct fuse_step *step);
void fuse_exec_write(struct fuse_exec *exec, const struct fuse_step *step);
/* Of a deterministic plan, every NaN that a WRITE step writes gets the same bits: which of two an operation returns is not defined. */
void fuse_exec_unify_nans(struct fuse_exec *exec, const struct fuse_step *step);
void fuse_exec_print(struct fuse_exec *exec, const struct fuse_step *step);

#endif
