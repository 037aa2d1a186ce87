/* fuse-dist bench: measures cases the way a user would run them, and checks what they computed.
 *
 * A case is two programs: one writes operands into files, with the language's own generators; the other reads them,
 * computes, and writes the result. The second runs several times; `run` is what its executor measured between the last
 * read and the first write, with operands and result in planned memory. A check looks into the files with code of its own,
 * plain loops in double precision. */
#ifndef FUSE_API_BENCH_H
#define FUSE_API_BENCH_H

#include "api/program.h"

enum { FUSE_BENCH_OPERANDS = 8, FUSE_BENCH_REPEATS = 1000 };

/* A tensor of a case and its file. */
struct fuse_bench_tensor {
    const char *name; /* in the programs */
    const char *axes; /* a letter an axis; a letter twice: a diagonal */
    const char *path;
    enum fuse_dtype dtype;
    int rank;
    int64_t extent[FUSE_MAX_AXES];
    double lo, hi; /* operands: range of their elements */
    /* while it is looked at */
    char *mapping;
    size_t mapped_bytes;
    const void *data;
};

struct fuse_bench_case;

/* Looks at elements of the result: the largest error as a share of what is allowed, how many elements were looked at and
 * how many were wrong. Files are mapped. Local, on rank 0. */
struct fuse_bench_verdict {
    double error;
    int64_t checked, wrong;
};
typedef void fuse_bench_check(struct fuse_bench_verdict *verdict, const struct fuse_bench_case *c);

struct fuse_bench_case {
    const char *kind, *what, *shape; /* "einsum", "ab,bc->ac", "a=4096 b=4096 c=4096" */
    int operands;
    struct fuse_bench_tensor operand[FUSE_BENCH_OPERANDS], out;
    const char *program;   /* the equations between sources and sink */
    const char *result;    /* the sink's expression; NULL: out by name */
    const char *policy;    /* text of a policy document, NULL: none */
    double flops, bytes;   /* of arithmetic, and moved at least; 0: not told */
    double peak_flops;     /* a second, that a core has; 0: not told */
    bool is_double;        /* reals are f64, else f32 */
    enum fuse_dtype dtype; /* of the operands: that of the reals, or a narrow one */
    fuse_bench_check *check;
    const void *context; /* of the check */
    double bus_factor;   /* collectives: busy bytes of a link per byte of the tensor; 0: no collective */
};

/* What was measured of one case. Seconds; of the slowest rank. */
struct fuse_bench_line {
    const struct fuse_bench_case *c;
    int ranks, threads, repeats;
    double median, least, most;    /* of the measured phase */
    double load, run, store, wall; /* medians */
    double waiting;                /* of run: for other ranks, mean of the ranks; median */
    double cpu, cpu_least;         /* seconds of processors in the run phase, all threads of the busiest rank */
    double efficiency;             /* scale; 0: none */
    struct fuse_bench_verdict verdict;
    bool passed, unchecked; /* unchecked: the reference would take too long */
    int64_t blas_calls, packed_bytes, kernel_calls, arena_bytes, operand_bytes, received_bytes, received_bytes_max,
        flops_planned;
};

struct fuse_bench {
    struct fuse_dist_job *job;
    struct fuse_arena *arena; /* the job's */
    const struct fuse_dist_bench *request;
    struct fuse_dist_options options; /* of the programs */
    void (*print)(void *context, const char *text);
    struct fuse_text messages;
    const char *folder; /* for programs and files; NULL until it exists */
    int repeats, warmups, lines;
    bool failed; /* some check */
};

/* ---- bench_type.c: products of narrow types, "gemm i8 64": local, pure ---- */

/* The type of that name, when products of it are measured; F16, BF16, I8, U8 or BOOL. */
bool fuse_bench_type(enum fuse_dtype *out, const char *name);
/* Makes operands of the case have the type, and the result what a program gives. */
void fuse_bench_set_type(struct fuse_bench_case *c, struct fuse_bench *bench, enum fuse_dtype dtype);
/* The file of a tensor as programs name it. */
const char *fuse_bench_file(const struct fuse_bench *bench, const struct fuse_bench_tensor *t);
/* What writes numbers of the tensor's type: the right side of the equation of operand i. */
const char *fuse_bench_generator(const struct fuse_bench *bench, const struct fuse_bench_tensor *t, int i);

/* ---- bench_case.c: local, pure; the same on every rank. USAGE when the words are wrong ---- */
enum fuse_status fuse_bench_make_case(struct fuse_bench_case *out, struct fuse_bench *bench, int words,
                                      const char *const *word, int weak_ranks, struct fuse_error *err) FUSE_CHECKED;
/* bench_semiring.c */
enum fuse_status fuse_bench_make_semiring(struct fuse_bench_case *out, struct fuse_bench *bench, int words,
                                          const char *const *word, int weak_ranks, struct fuse_error *err) FUSE_CHECKED;
/* Of numbers in [-1, 1] in a file of its own; extent has an entry for each letter of axes. */
void fuse_bench_set_tensor(struct fuse_bench_tensor *t, struct fuse_bench *bench, const char *name, const char *axes,
                           const int64_t *extent);
/* F32 or F64, as --precision says. */
enum fuse_dtype fuse_bench_reals(const struct fuse_bench *bench);
/* What operands and result have. */
void fuse_bench_count_bytes(struct fuse_bench_case *c);
/* A positive number with K, M or G (powers of 1024). */
bool fuse_bench_number(int64_t *out, const char *text);

/* ---- bench_check.c ---- */
void fuse_bench_check_einsum(struct fuse_bench_verdict *verdict, const struct fuse_bench_case *c);
void fuse_bench_check_equal(struct fuse_bench_verdict *verdict, const struct fuse_bench_case *c);
void fuse_bench_check_attention(struct fuse_bench_verdict *verdict, const struct fuse_bench_case *c);
void fuse_bench_check_map(struct fuse_bench_verdict *verdict, const struct fuse_bench_case *c);
/* Element i of a mapped tensor. */
double fuse_bench_at(const struct fuse_bench_case *c, const struct fuse_bench_tensor *t, int64_t i);
/* How many of n elements to look at that cost so many operations each, and which is the s-th. */
int64_t fuse_bench_sample_count(int64_t n, int64_t cost);
int64_t fuse_bench_sample(int64_t n, int64_t count, int64_t s);
/* NaN is wrong, whatever was expected. */
void fuse_bench_judge(struct fuse_bench_verdict *verdict, double got, double want, double allowed);
/* Every element of the result against the sum of the operand over its first axis. */
void fuse_bench_check_sums(struct fuse_bench_verdict *verdict, const struct fuse_bench_case *c);

/* A row of bench_maps.def; context of fuse_bench_check_map. */
struct fuse_bench_map {
    const char *name, *expression, *help;
    int operands, rank;
    double lo, hi;
    /* One element (rank 1), from x and b; or NULL, and a row of n elements (rank 2). allowed: absolute errors. */
    double (*element)(double x, double b, double *allowed);
    void (*row)(double *want, double *allowed, const double *x, int64_t n);
};
extern const struct fuse_bench_map fuse_bench_maps[];
extern const int fuse_bench_map_count;

/* ---- bench.c ---- */
/* Collective. Writes the operands, runs, checks. */
enum fuse_status fuse_bench_measure(struct fuse_bench_line *out, struct fuse_bench *bench,
                                    struct fuse_bench_case *c) FUSE_CHECKED;
/* Collective: a program that runs `times` times; status of the first failure, whose messages are kept. times[] are
 * reports, [times]. */
enum fuse_status fuse_bench_run_text(struct fuse_exec_report *reports, double *walls, int *threads, int64_t *flops,
                                     struct fuse_bench *bench, const char *name, const char *text, const char *policy,
                                     int times) FUSE_CHECKED;
/* Medians of n runs. */
void fuse_bench_summarise(struct fuse_bench_line *line, const struct fuse_exec_report *reports, const double *walls,
                          int n);
/* Collective: rank 0 looks at the files of the case. */
enum fuse_status fuse_bench_look(struct fuse_bench_line *line, struct fuse_bench *bench, struct fuse_bench_case *c,
                                 struct fuse_error *err) FUSE_CHECKED;
/* Local, on every rank: a file of the bench's folder is there from now on, so that a signal can remove it; rank 0 removes it. */
void fuse_bench_keep(struct fuse_bench *bench, const char *path);
void fuse_bench_drop(struct fuse_bench *bench, const char *path);
/* Collective: rank 0 makes a folder, and removes it when it is empty. OUTPUT. */
enum fuse_status fuse_bench_open_folder(struct fuse_bench *bench, const char *path,
                                        struct fuse_error *err) FUSE_CHECKED;
void fuse_bench_close_folder(struct fuse_bench *bench, const char *path);
/* A file of the bench's folder. */
const char *fuse_bench_path(struct fuse_bench *bench, const char *name);
double fuse_bench_median(const double *value, int n);

/* ---- bench_report.c: on rank 0 ---- */
void fuse_bench_begin(struct fuse_bench *bench);
void fuse_bench_print(struct fuse_bench *bench, const struct fuse_bench_line *line);
void fuse_bench_end(struct fuse_bench *bench);

/* ---- what needs more than one case: collective ---- */
enum fuse_status fuse_bench_scale(struct fuse_bench *bench, struct fuse_error *err) FUSE_CHECKED;
enum fuse_status fuse_bench_io(struct fuse_bench *bench, struct fuse_error *err) FUSE_CHECKED;
enum fuse_status fuse_bench_coll(struct fuse_bench *bench, struct fuse_error *err) FUSE_CHECKED;
enum fuse_status fuse_bench_program(struct fuse_bench *bench, struct fuse_error *err) FUSE_CHECKED;
enum fuse_status fuse_bench_compare(struct fuse_bench *bench, struct fuse_error *err) FUSE_CHECKED;

#endif
