/* The executor: walks a plan on one rank. It decides nothing; every choice is in the plan.
 *
 * Collective over the communicator. A rank whose local work fails stays in the schedule, sending undefined contents, to
 * the border of the region, where fuse_agree makes the failure everybody's; then no sink is left behind. */
#ifndef FUSE_EXEC_EXEC_H
#define FUSE_EXEC_EXEC_H

#include "backend/backend.h"
#include "comm/comm.h"
#include "io/format.h"
#include "plan/plan.h"

/* Planted faults, for tests: the n-th event of a kind on one rank fails. n == 0: none. */
enum fuse_fault_kind {
    FUSE_FAULT_NONE,
    FUSE_FAULT_OPEN,
    FUSE_FAULT_KERNEL,
    FUSE_FAULT_MESSAGE,
    FUSE_FAULT_READ,
    FUSE_FAULT_WRITE,
    FUSE_FAULT_PROGRESS /* nothing fails, but from the n-th kernel slice on, on all ranks, messages do not move between slices */
};
struct fuse_fault {
    enum fuse_fault_kind kind;
    int64_t n;
    int rank;
};

/* What is asked about a fact: why it holds, or why not. A sink of the plan that asks says which relation is meant. */
struct fuse_question {
    const char *text; /* as it was asked: Path("a", "b") */
    bool why_not;
    int64_t id[FUSE_MAX_AXES];
};

/* An equation for people, on one line; lives as long as the program. */
struct fuse_cited {
    const char *file, *text;
    int line;
};

/* Smaller messages take less time than a copy and its answer. */
#define FUSE_SHARE_BYTES ((int64_t)16 << 10)

struct fuse_exec_request {
    const struct fuse_plan *plan;
    struct fuse_comm *comm; /* size == plan->mesh.ranks */
    const struct fuse_backend_ops *backend;
    int threads;
    const char *isa;         /* of the back end's options; NULL: its choice */
    const char *const *path; /* [ops] resolved paths of SOURCE and SINK operations, NULL for the others */
    const char *const *part; /* [ops] what a path is followed by, "file.npz:part"; sinks of one path share a file, and
                                their parts are canonical. NULL: no operation has any */
    const struct fuse_sink_storage *storage; /* [ops] of SINK operations; NULL: each as suits its format */
    const struct fuse_symbols *symbols;      /* what the tables of sinks are numbers of; NULL: there are none */
    const char *program,
        *version; /* for what is written: digest of the program's text, version of fuse-dist; or NULL */
    struct {
        int64_t max_turns;   /* of one stratum of rules; 0: no limit */
        bool may_stop_early; /* what was derived until then is the result, instead of DIVERGED */
        int64_t max_rounds;  /* the same of tensors: a recursion whose values move until they are settled */
        bool is_naive;       /* everything is joined in every turn: for comparison */
    } iteration;
    /* Receives what `export` prints, on rank 0 only. prints: the same on every rank, false when nobody listens. */
    bool prints;
    const struct fuse_question *question; /* [questions] */
    int questions;
    bool explains_all; /* keep the turn in which each fact came about, for questions */
    bool answers_json; /* a line of JSON for each answer, instead of text */
    void (*cite)(void *context, struct fuse_cited *out, struct fuse_span span);
    void *context_of_cite;
    void (*print)(void *context, const char *text);
    /* Told before each step, once for every turn of the loops around it. Local; NULL: nobody is told. */
    void (*progress)(void *context, int step);
    void *progress_context;
    /* Told on every rank about each file that lies under a temporary name (exists 1) and when it no longer does (0), so
     * that whoever catches signals can remove it. NULL: nobody is told. */
    void (*temporary)(void *context, const char *path, int exists);
    void *context;
    /* What ranks of a node move to each other in pieces of at least so many bytes, or that does not fit in a message, is copied from one
     * rank's memory to the other's, where tensors live in host memory and the system lets ranks map each other's; 0: never. */
    int64_t share_bytes;
    struct fuse_fault fault;
};

/* What was measured. Seconds are the slowest rank's, bytes the busiest rank's; the same on every rank. */
struct fuse_exec_report {
    double seconds[FUSE_PHASES];
    double memory_seconds;           /* before the phases: planned memory is mapped, and touched for the first time */
    double cpu_seconds[FUSE_PHASES]; /* of processors, all threads: of the busiest rank */
    double waiting[FUSE_PHASES];     /* seconds of waiting for other ranks and their messages: the mean of all ranks */
    int64_t received_bytes_max[FUSE_PHASES], received_bytes_total[FUSE_PHASES]; /* as counted by the transport */
    int64_t messages_max, control_bytes_max;
    int64_t arena_bytes;                  /* planned buffers mapped per rank */
    char node_memory[FUSE_COMM_WHY + 16]; /* "shared": ranks of a node read each other's; else "own: " and why */
    int64_t resident_bytes;               /* high-water of the busiest rank's resident set, from the system */
    int64_t rule_turns, derived,
        rule_sent_bytes;                      /* turns of rules, contributions derived, bytes between ranks for it */
    int64_t rounds;                           /* turns of recursions of tensors */
    int64_t rule_bytes;                       /* most that rules held on the busiest rank */
    bool stopped_early;                       /* a recursion was not at its fixpoint */
    double answer_seconds, stage_seconds;     /* of questions, and of what was kept for them, by the slowest rank */
    int64_t file_bytes_max, file_bytes_total; /* read from sources: by the busiest rank, by all */
    int64_t blas_calls, packed_bytes, kernel_calls; /* of the busiest rank */
    int64_t
        epilogue_bytes; /* .. of products' results that maps went over as they came about, in no sweep of their own */
    int64_t scores_max, scores_total; /* of attentions: computed by the busiest rank, by all */
};

enum fuse_status fuse_execute(const struct fuse_exec_request *request, struct fuse_exec_report *report,
                              struct fuse_error *err) FUSE_CHECKED;

#endif
