/* fuse-dist as a library: run tensor-equation programs over the ranks of an MPI job.
 *
 *     fuse_dist_job *job;          the ranks that take part
 *     fuse_dist_program *program;  one .fuse program
 *
 *     fuse_dist_job_open(&job, FUSE_DIST_MPI);
 *     fuse_dist_open(&program, job, "prog.fuse", &options);
 *     fuse_dist_run(program);
 *     fuse_dist_close(program);
 *     fuse_dist_job_close(job);
 *
 * Functions return an exit status as in the manual: 0 done, 65 the program is wrong, 66 an input is missing or bad, 71 it
 * does not fit in memory, ... Messages are fetched with fuse_dist_messages: the same on every rank, to be printed by one.
 * Collective: called by every rank of the job with equal arguments, returns the same status on each. Strings returned
 * belong to the handle and live until it is closed or the function is called again. */
#ifndef FUSE_DIST_H
#define FUSE_DIST_H

#include <stdint.h>

#if defined(__GNUC__)
#define FUSE_DIST_API __attribute__((visibility("default")))
#else
#define FUSE_DIST_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fuse_dist_job fuse_dist_job;
typedef struct fuse_dist_program fuse_dist_program;

enum fuse_dist_transport {
    FUSE_DIST_SELF, /* one rank, no MPI */
    FUSE_DIST_MPI   /* MPI_COMM_WORLD; MPI is initialised if need be */
};

struct fuse_dist_define {
    const char *name, *value;
};

/* How far a run has come. */
struct fuse_dist_progress {
    double fraction;     /* of the time that the plan reckons with, 0 to 1 */
    const char *phase;   /* "load", "run", "store" */
    const char *subject; /* tensor or file at work, NULL: none in particular; lives until fuse_dist_close */
};

/* Zero-initialise, then set what is wanted. Pointers are borrowed until fuse_dist_close. */
struct fuse_dist_options {
    const char *root;        /* folder for relative source paths; NULL: the current one */
    const char *output_root; /* folder for relative sink paths; NULL: the current one */
    const char *policy;      /* file that says where tensors lie, how files are written, and more; NULL: none */
    int policy_report;       /* rules of the policy that match nothing are no errors: FUSE_DIST_POLICY tells of them */
    const char *machine;     /* file that says how fast the machine is, made by fuse_dist_calibrate; NULL: defaults */
    const char *precision;   /* of all reals: "fp32", "fp64", "bf16", "fp16"; NULL or "auto": files keep theirs */
    const char
        *validate; /* "finite": infinities and NaN are errors; "shapes" and "bounds" always hold. Comma between */
    /* "monte_carlo": sums of reals over more points than `samples` (> 0) are estimated from so many, which `seed` chooses.
     * NULL or "exact": all are exact. */
    const char *projection;
    int64_t samples, seed;
    int warnings_are_errors;
    int packing;               /* fuse_dist_pack will be called */
    const char *scratch;       /* folder for what is unpacked from a pack while it runs; NULL: /tmp */
    const char *cache;         /* folder where plans are kept for later starts of the same program; NULL: none are */
    const char *backend;       /* "cpu" (NULL), "ref", "fakedev" */
    const char *isa;           /* of the CPU's own kernels: "baseline", "avx2", "avx512"; NULL: the best that it has */
    int threads;               /* per rank; 0: cores that this rank may use */
    int64_t memory_bytes;      /* per rank, everything included; 0: what the machine has, shared by the ranks on it */
    int64_t node_memory_bytes; /* what the batch system gives the job on each node; 0: unknown */
    int ranks;                 /* plan for so many ranks instead of the job's (planning only); 0: the job's */
    int64_t panels;            /* turns of panel loops; 0: the planner chooses */
    /* Results have the same bits on any number of ranks and threads and on any processor: sums of reals in a fixed order, functions
     * without rounding that depends on the processor. On back end "cpu" only. */
    int deterministic;
    /* How the planner goes about it; results do not depend on them. 0: its own choice. */
    int64_t replicate_below; /* bytes: smaller tensors are held by every rank without search; negative: none are */
    int64_t slab_bytes; /* intermediates of which a rank would hold more are computed slab by slab where they can be;
                              * 0: where that pays or memory is short; negative: never */
    int64_t
        stream_bytes; /* sources of which a rank would hold more are read slab by slab while the program runs, where they
                           * can be; 0: where it does not fit otherwise; negative: never */
    int64_t workspace_bytes; /* staging for messages and pieces of files: at most this much each way */
    int64_t
        share_bytes; /* pieces of at least so many bytes are copied between the memories of two ranks of a node instead of being
                          * sent, where the system lets ranks map each other's; 0: 16 KiB; negative: none are */
    int64_t file_unit_bytes; /* ranks read and write ranges of files that begin at multiples of this */
    /* A rank that has waited so long for another calls `stalled` from a thread of its own, once; it should end the
     * process. 0 seconds: 1,800; negative, or without a function: ranks wait for ever. */
    int64_t stall_seconds;
    void (*stalled)(void *context, const char *message, const char *hint);
    const struct fuse_dist_define *define;
    int defines;
    /* Files for sources: each gives a tensor that has one source another file, or a source to a tensor that is used and
     * not defined. */
    const struct fuse_dist_define *input;
    int inputs;
    /* A weight manifest: where tensors come from that are used and not defined; NULL: the policy's, or none. */
    const char *weights;
    int weights_anywhere; /* its files may lie outside of its folder */
    /* Of a manifest behind a URL: the folder that keeps what was fetched, its bound in bytes (0: 64 GiB), and the seconds that a
     * server may be silent (0: 60). For s3:// the key that requests are signed with, its session token, the region, and another
     * endpoint than Amazon's; NULL: none. */
    const char *weights_cache;
    int64_t weights_cache_bytes, weights_timeout;
    const char *s3_key, *s3_secret, *s3_token, *s3_region, *s3_endpoint;
    const struct fuse_dist_define *adapter; /* which adapter of a slot is used, "none" for none */
    int adapters;
    /* "demand": the queries are computed, and of everything else what they need; NULL, "all" or "fixpoint": sinks and exports;
     * "single": the same, and recursions make one turn. */
    const char *mode;
    const char *const *query; /* "X[3,:]": a tensor with positions, or its name; treated as exports are */
    int queries;
    const char *const *count; /* relations, and Boolean tensors, of which it is printed how many tuples they have */
    int counts;
    /* Facts of relations that are asked about, Path("a", 3): why one holds, or why not. Answers are printed after the run. */
    const struct fuse_dist_question {
        const char *fact;
        int why_not;
    } * question;
    int questions;
    int answers_json; /* each answer as a line of JSON */
    int explain_all;  /* after the rules, keep the turn in which each fact came about: proofs are then found at once */
    /* Numbers >= 0: a recursion of sums is at its end when no cell x moves by more than tol + rtol |x| in a turn. NULL: 0 if
     * the other is given, else 1e-6. */
    const char *tol, *rtol;
    int64_t
        max_iters; /* turns that a recursion may take; 0: 10,000, and of rules as many as they have cells at least */
    int allow_nonconverged;     /* what is there after so many is the result, with a warning */
    const char *fixpoint;       /* "naive": everything is joined in every turn; NULL or "semi_naive": what is new */
    const char *dtype;          /* conversions: of the result; NULL: as it is */
    const char *out;            /* file that exports are written to instead of being printed; NULL: they are printed */
    const char *const *include; /* folders for imports that are not beside the importing file */
    int includes;
    const char *fault; /* test builds: a planted fault, "kernel:3@1" or "plan"; USAGE in other builds */
    /* Called on rank 0 with what `export` statements print. NULL on every rank: nothing is printed. */
    void (*print)(void *context, const char *text);
    /* Called before each step of a run, very often: on every rank that has set it. NULL: nobody is told. */
    void (*progress)(void *context, const struct fuse_dist_progress *progress);
    /* Told on every rank when a sink lies under a temporary name (exists 1) and when it no longer does (0): a handler of
     * SIGTERM can remove it. Also of files and folders that are only there for a while: sources of a pack, what bench
     * makes; a folder is told of before what is in it. The path is only valid during the call. NULL: nobody is told. */
    void (*temporary)(void *context, const char *path, int exists);
    void *context;
};

/* Collective for MPI. */
FUSE_DIST_API int fuse_dist_job_open(fuse_dist_job **job, enum fuse_dist_transport transport);
FUSE_DIST_API int fuse_dist_job_rank(const fuse_dist_job *job);
FUSE_DIST_API int fuse_dist_job_size(const fuse_dist_job *job);
/* Collective: true when every rank gives the same number (a digest of options, a version). */
FUSE_DIST_API int fuse_dist_job_same(fuse_dist_job *job, uint64_t number);
/* Ends the job; finalises MPI if fuse_dist_job_open started it. Collective. */
FUSE_DIST_API void fuse_dist_job_close(fuse_dist_job *job);
/* Ends every rank of the job at once with this exit status. Does not return. */
FUSE_DIST_API void fuse_dist_job_abort(fuse_dist_job *job, int status);

/* Collective. Rank 0 reads the program and probes its sources; all ranks check it. A handle is returned even on failure,
 * for its messages; NULL only without memory. */
FUSE_DIST_API int fuse_dist_open(fuse_dist_program **program, fuse_dist_job *job, const char *path,
                                 const struct fuse_dist_options *options);
/* Collective. A program that writes what the file `from` holds to the file `to`: an array or a relation, or, where neither
 * names a part, everything in the file. Both are what a program could say of a source and a sink. options.dtype counts. */
FUSE_DIST_API int fuse_dist_open_convert(fuse_dist_program **program, fuse_dist_job *job, const char *from,
                                         const char *to, const struct fuse_dist_options *options);
/* Collective. No program, but a look at a file: of texts it has FUSE_DIST_CONTENTS, on rank 0. */
FUSE_DIST_API int fuse_dist_open_file(fuse_dist_program **program, fuse_dist_job *job, const char *path,
                                      const struct fuse_dist_options *options);
/* Collective. Plans for the job's ranks, or options.ranks. */
FUSE_DIST_API int fuse_dist_plan(fuse_dist_program *program);
/* Collective, of a program opened with options.packing. Writes one file, which fuse_dist_open takes as a program wherever
 * it is: the program, its imports, policy and options, the plan for this job, and of its sources the smallest ones, up to
 * `below_bytes` in all; the others are named, and must not change. The name ends in .pack. */
FUSE_DIST_API int fuse_dist_pack(fuse_dist_program *program, const char *path, int64_t below_bytes);
/* Collective. Plans if need be, runs, writes the sinks. */
FUSE_DIST_API int fuse_dist_run(fuse_dist_program *program);

/* Errors, warnings and notes so far, rendered with line and caret; "" when there are none. Local. */
FUSE_DIST_API const char *fuse_dist_messages(fuse_dist_program *program);

enum fuse_dist_text {
    FUSE_DIST_AST,          /* after open */
    FUSE_DIST_IR,           /* after open: simplified */
    FUSE_DIST_SUMMARY,      /* after open: tensors, equations, sources, sinks, exports */
    FUSE_DIST_POLICY,       /* after open: what each rule of the policy does; with a plan, what they cost */
    FUSE_DIST_PLAN,         /* after plan: layouts, steps, bytes, flops, memory */
    FUSE_DIST_PLAN_JSON,    /* .. as one JSON object */
    FUSE_DIST_PLAN_HTML,    /* .. as a page: the graph, layouts on the mesh, memory over time, the critical path */
    FUSE_DIST_PLAN_SVG,     /* .. the graph of that page alone */
    FUSE_DIST_EXPLAIN,      /* after run: the plan beside what was measured */
    FUSE_DIST_TIMES,        /* after run: one JSON object */
    FUSE_DIST_CONTENTS,     /* of fuse_dist_open_file: what the file holds, for people */
    FUSE_DIST_CONTENTS_JSON /* .. as one JSON object */
};
/* A text form of the program, NULL before the stage that makes it. Local. */
FUSE_DIST_API const char *fuse_dist_text(fuse_dist_program *program, enum fuse_dist_text what);
FUSE_DIST_API void fuse_dist_close(fuse_dist_program *program);

/* What a plan comes to. Times are modelled. */
struct fuse_dist_plan_summary {
    int ranks, used;
    double seconds, kernel_seconds, message_seconds, file_seconds; /* of the busiest rank, one thing after the other */
    int64_t received_bytes_max, received_bytes_total;              /* by a rank, by all */
    int64_t peak_bytes;                                            /* of planned buffers a rank */
    const char *longest; /* the step that takes the most time: "contract C"; lives until fuse_dist_close */
    double longest_seconds;
};
/* 0 before there is a plan. Local. */
FUSE_DIST_API int fuse_dist_summarise_plan(struct fuse_dist_plan_summary *out, fuse_dist_program *program);

/* A function of the language, in words: what `fuse-dist help builtins` and docs/builtins.md show. */
struct fuse_dist_builtin {
    const char *name;
    const char *signature; /* "x, eps=1e-5, weight=, axis=": '=' marks what may be left out, ".." any number */
    const char *doc;
    const char *group, *axes; /* what it belongs to, and what that says about the axes of the result */
    const char *type;         /* of the result */
    int runs;                 /* 0: it is refused with "cannot be run yet" */
    int differentiable;
};
/* Row `number` of the table, from 0, group by group; 0 when there is none. Local; strings are constants. */
FUSE_DIST_API int fuse_dist_builtin(struct fuse_dist_builtin *out, int number);

/* "0.1.0" */
FUSE_DIST_API const char *fuse_dist_version(void);
/* Versions and facts as one JSON object: version, compiler, MPI library, BLAS and its kernel. No MPI call that needs
 * initialisation. */
FUSE_DIST_API const char *fuse_dist_version_json(void);
/* Collective. Facts about the job, for people or as one JSON object: ranks, nodes, cores, binding, memory and what limits
 * it, MPI, BLAS and whether its kernels suit the processor. Of the options threads and node_memory_bytes count; NULL:
 * none. *text lives as long as the job. */
FUSE_DIST_API int fuse_dist_info(const char **text, fuse_dist_job *job, const struct fuse_dist_options *options,
                                 int json);
/* Collective. Measures how fast the job's machine is, and writes what it finds to a file for options.machine. *text is for
 * people, and lives as long as the job. Of the options backend and threads count; NULL: none. */
FUSE_DIST_API int fuse_dist_calibrate(const char **text, fuse_dist_job *job, const char *path,
                                      const struct fuse_dist_options *options);
/* What `fuse-dist bench` measures. Zero-initialise; words are borrowed during the call. */
struct fuse_dist_bench {
    const char *const *word; /* "gemm", "4096", ..; "compare", OLD, NEW */
    int words;
    int repeats, warmups; /* 0 and negative: 7 and 1 */
    const int *ranks;     /* of "scale" */
    int rank_counts;
    int weak;         /* scale: the problem grows with the ranks */
    int causal;       /* attention */
    double threshold; /* compare: what is slower by so many percent has become slower; 0: 5 */
    int json;         /* one JSON document instead of lines */
};
/* Collective. Measures a case and checks its results against an independent evaluation, or compares two documents of
 * measurements (rank 0 reads them). Lines go to options.print, on rank 0, as they are known. VERIFY (77) when a result is
 * wrong or something has become slower. *messages live as long as the job. */
FUSE_DIST_API int fuse_dist_bench(const char **messages, fuse_dist_job *job, const struct fuse_dist_bench *bench,
                                  const struct fuse_dist_options *options);
/* Text of an exit status: "the program is wrong". */
FUSE_DIST_API const char *fuse_dist_status_text(int status);

#ifdef __cplusplus
}
#endif
#endif
