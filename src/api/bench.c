#include "api/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the folder of programs and files ---- */

void fuse_bench_keep(struct fuse_bench *bench, const char *path) {
    if (bench->options.temporary)
        bench->options.temporary(bench->options.context, path, 1);
}

static void forget(struct fuse_bench *bench, const char *path) {
    if (bench->options.temporary)
        bench->options.temporary(bench->options.context, path, 0);
}

void fuse_bench_drop(struct fuse_bench *bench, const char *path) {
    if (bench->job->comm->rank == 0)
        (void)unlink(path);
    forget(bench, path);
}

enum fuse_status fuse_bench_open_folder(struct fuse_bench *bench, const char *path, struct fuse_error *err) {
    struct fuse_comm *comm = bench->job->comm;
    enum fuse_status st = FUSE_OK;
    fuse_bench_keep(bench, path);
    if (comm->rank == 0 && mkdir(path, 0700) != 0) {
        const char *slash = strrchr(path, '/');
        st = fuse_fail(err, FUSE_EOUTPUT, "no folder for the files of a benchmark can be made in %.*s: %s",
                       (int)(slash - path), path, strerror(errno));
        fuse_hint(err, "TMPDIR names another folder, which every rank sees");
    }
    st = fuse_agree(comm, st, err);
    if (st != FUSE_OK)
        forget(bench, path);
    return st;
}

void fuse_bench_close_folder(struct fuse_bench *bench, const char *path) {
    if (bench->job->comm->rank == 0 && rmdir(path) != 0)
        fuse_text_add(&bench->messages, "warning: %s could not be removed: %s\n", path, strerror(errno));
    forget(bench, path);
}

/* All ranks know its name before it is there, and must see it. */
static enum fuse_status open_folder(struct fuse_bench *bench, struct fuse_error *err) {
    struct fuse_comm *comm = bench->job->comm;
    const char *scratch = bench->options.scratch ? bench->options.scratch : "/tmp";
    uint64_t token = 0;
    enum fuse_status st = FUSE_OK;
    if (comm->rank == 0 && getrandom(&token, sizeof token, 0) != (ssize_t)sizeof token)
        st = fuse_fail(err, FUSE_EFAILED, "the system has no random numbers for a folder's name");
    FUSE_TRY(fuse_agree(comm, st, err));
    FUSE_TRY(comm->ops->broadcast(comm, &token, sizeof token, 0, err));
    const char *name = fuse_arena_printf(bench->arena, "%s/fuse-bench-%016llx", scratch, (unsigned long long)token);
    FUSE_TRY(fuse_bench_open_folder(bench, name, err));
    bench->folder = name;
    struct stat info;
    if (stat(name, &info) != 0)
        st = fuse_fail(err, FUSE_EOUTPUT, "%s, where the files of a benchmark are, is not there on every node", name);
    return fuse_agree(comm, st, err);
}

const char *fuse_bench_path(struct fuse_bench *bench, const char *name) {
    return fuse_arena_printf(bench->arena, "%s/%s", bench->folder, name);
}

static enum fuse_status write_text(const char *path, const char *text, struct fuse_error *err) {
    FILE *file = fopen(path, "w");
    bool ok = file && fputs(text, file) != EOF;
    if ((file && fclose(file) != 0) || !ok)
        return fuse_fail(err, FUSE_EOUTPUT, "%s cannot be written: %s", path, strerror(errno));
    return FUSE_OK;
}

/* ---- running programs ---- */

enum fuse_status fuse_bench_run_text(struct fuse_exec_report *reports, double *walls, int *threads, int64_t *flops,
                                     struct fuse_bench *bench, const char *name, const char *text, const char *policy,
                                     int times) {
    struct fuse_comm *comm = bench->job->comm;
    const char *path = fuse_bench_path(bench, name), *policy_path = fuse_bench_path(bench, "policy.json");
    struct fuse_error err = {0};
    struct fuse_dist_options options = bench->options;
    enum fuse_status st = FUSE_OK;
    fuse_bench_keep(bench, path);
    if (policy) {
        fuse_bench_keep(bench, policy_path);
        options.policy = policy_path;
    }
    if (comm->rank == 0)
        st = write_text(path, text, &err);
    if (comm->rank == 0 && policy && st == FUSE_OK)
        st = write_text(policy_path, policy, &err);
    st = fuse_agree(comm, st, &err);
    if (st != FUSE_OK)
        fuse_error_print(&bench->messages, NULL, &err);
    struct fuse_dist_program *program = NULL;
    if (st == FUSE_OK)
        st = (enum fuse_status)fuse_dist_open(&program, bench->job, path, &options);
    for (int i = 0; i < times && st == FUSE_OK; i++) {
        double start = fuse_api_seconds();
        st = (enum fuse_status)fuse_dist_run(program);
        if (st != FUSE_OK)
            break;
        if (walls)
            walls[i] = fuse_api_seconds() - start;
        if (reports)
            reports[i] = program->report;
        if (threads)
            *threads = program->threads;
        if (flops)
            *flops = program->plan->flops_max;
    }
    if (program) {
        if (st != FUSE_OK) /* notes about programs of ours are for nobody */
            fuse_text_add(&bench->messages, "%s", fuse_dist_messages(program));
        fuse_dist_close(program);
    }
    fuse_bench_drop(bench, path);
    if (policy)
        fuse_bench_drop(bench, policy_path);
    return st;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double fuse_bench_median(const double *value, int n) {
    double sorted[FUSE_BENCH_REPEATS];
    memcpy(sorted, value, (size_t)n * sizeof *value);
    qsort(sorted, (size_t)n, sizeof *sorted, by_size);
    return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

/* The program that writes the operands. Positions have names of their own: a diagonal is no generator's axis. */
static const char *operand_program(struct fuse_bench *bench, const struct fuse_bench_case *c) {
    struct fuse_text text = {.arena = bench->arena};
    for (int i = 0; i < c->operands; i++) {
        const struct fuse_bench_tensor *t = &c->operand[i];
        struct fuse_text axes = {.arena = bench->arena};
        for (int a = 0; a < t->rank; a++) {
            fuse_text_add(&text, "axis i%d_%d = %lld\n", i, a, (long long)t->extent[a]);
            fuse_text_add(&axes, "%si%d_%d", a ? "," : "", i, a);
        }
        const bool truth = t->dtype == FUSE_BOOL;
        const char *reference = fuse_arena_printf(bench->arena, "%s%c%s%c", t->name, truth ? '(' : '[',
                                                  axes.at ? axes.at : "", truth ? ')' : ']');
        fuse_text_add(&text, "%s = %s\n\"%s\" = %s\n", reference, fuse_bench_generator(bench, t, i),
                      fuse_bench_file(bench, t), reference);
    }
    return text.at;
}

static void add_axes(struct fuse_text *text, const struct fuse_bench_tensor *t) {
    fuse_text_add(text, "%s%c", t->name, t->dtype == FUSE_BOOL ? '(' : '[');
    for (int a = 0; a < t->rank; a++)
        fuse_text_add(text, "%s%c", a ? "," : "", t->axes[a]);
    fuse_text_add(text, "%c", t->dtype == FUSE_BOOL ? ')' : ']');
}

static const char *case_program(struct fuse_bench *bench, const struct fuse_bench_case *c) {
    struct fuse_text text = {.arena = bench->arena};
    for (int i = 0; i < c->operands; i++) {
        struct fuse_bench_tensor t = c->operand[i];
        char axes[2 * FUSE_MAX_AXES + 1] = "";
        /* A source's axes are distinct: a letter that comes again is another one there. */
        static const char spare[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        for (int a = 0; a < t.rank; a++) {
            const char *free_letter = spare;
            while (strchr(axes, *free_letter) || strchr(t.axes, *free_letter))
                free_letter++;
            axes[a] = strchr(axes, t.axes[a]) ? *free_letter : t.axes[a];
        }
        t.axes = axes;
        add_axes(&text, &t);
        fuse_text_add(&text, " = \"%s\"\n", fuse_bench_file(bench, &t));
    }
    fuse_text_add(&text, "%s\"%s\" = ", c->program, fuse_bench_file(bench, &c->out));
    if (c->result)
        fuse_text_add(&text, "%s", c->result);
    else
        add_axes(&text, &c->out);
    fuse_text_add(&text, "\n");
    return text.at;
}

/* ---- looking at results ---- */

static int64_t tensor_bytes(const struct fuse_bench_tensor *t) {
    int64_t n = (int64_t)fuse_dtype_bytes(t->dtype);
    for (int a = 0; a < t->rank; a++)
        n *= t->extent[a];
    return n;
}

/* Elements are the last bytes of the file, in C order. */
static enum fuse_status map_tensor(struct fuse_bench_tensor *t, struct fuse_error *err) {
    struct stat info;
    int file = open(t->path, O_RDONLY);
    if (file < 0 || fstat(file, &info) != 0) {
        enum fuse_status st = fuse_fail(err, FUSE_EIO, "%s cannot be read: %s", t->path, strerror(errno));
        if (file >= 0)
            close(file);
        return st;
    }
    int64_t bytes = tensor_bytes(t);
    void *at = info.st_size >= bytes ? mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, file, 0) : MAP_FAILED;
    close(file);
    if (at == MAP_FAILED)
        return fuse_fail(err, FUSE_EIO, "%s has %lld bytes and should hold %lld, or cannot be mapped", t->path,
                         (long long)info.st_size, (long long)bytes);
    t->mapping = at;
    t->mapped_bytes = (size_t)info.st_size;
    t->data = t->mapping + (info.st_size - bytes);
    return FUSE_OK;
}

static void unmap_tensor(struct fuse_bench_tensor *t) {
    if (t->mapping)
        munmap(t->mapping, t->mapped_bytes);
    t->mapping = NULL;
}

static enum fuse_status check_files(struct fuse_bench_verdict *verdict, struct fuse_bench_case *c,
                                    struct fuse_error *err) {
    enum fuse_status st = map_tensor(&c->out, err);
    for (int i = 0; i < c->operands && st == FUSE_OK; i++)
        st = map_tensor(&c->operand[i], err);
    if (st == FUSE_OK)
        c->check(verdict, c);
    for (int i = 0; i < c->operands; i++)
        unmap_tensor(&c->operand[i]);
    unmap_tensor(&c->out);
    return st;
}

/* Rank 0 looks, all know. */
enum fuse_status fuse_bench_look(struct fuse_bench_line *line, struct fuse_bench *bench, struct fuse_bench_case *c,
                                 struct fuse_error *err) {
    struct fuse_comm *comm = bench->job->comm;
    enum fuse_status st = FUSE_OK;
    if (comm->rank == 0)
        st = check_files(&line->verdict, c, err);
    FUSE_TRY(fuse_agree(comm, st, err));
    FUSE_TRY(comm->ops->broadcast(comm, &line->verdict, sizeof line->verdict, 0, err));
    line->passed = line->verdict.checked > 0 && line->verdict.wrong == 0;
    bench->failed |= !line->passed;
    return FUSE_OK;
}

/* ---- a case ---- */

void fuse_bench_summarise(struct fuse_bench_line *line, const struct fuse_exec_report *reports, const double *walls,
                          int n) {
    double value[FUSE_BENCH_REPEATS];
    const struct {
        double *to;
        int phase;
    } phases[] = {{&line->load, FUSE_PHASE_LOAD}, {&line->store, FUSE_PHASE_STORE}, {&line->run, FUSE_PHASE_RUN}};
    for (size_t p = 0; p < sizeof phases / sizeof *phases; p++) {
        for (int i = 0; i < n; i++)
            value[i] = reports[i].seconds[phases[p].phase];
        *phases[p].to = fuse_bench_median(value, n);
    }
    double waited[FUSE_BENCH_REPEATS];
    for (int i = 0; i < n; i++)
        waited[i] = reports[i].waiting[FUSE_PHASE_RUN];
    line->waiting = fuse_bench_median(waited, n);
    line->wall = fuse_bench_median(walls, n);
    double cpu[FUSE_BENCH_REPEATS];
    for (int i = 0; i < n; i++) {
        cpu[i] = reports[i].cpu_seconds[FUSE_PHASE_RUN];
        line->cpu_least = i == 0 || cpu[i] < line->cpu_least ? cpu[i] : line->cpu_least;
    }
    line->cpu = fuse_bench_median(cpu, n);
    line->median = line->run;
    line->least = line->most = value[0];
    for (int i = 1; i < n; i++) {
        line->least = value[i] < line->least ? value[i] : line->least;
        line->most = value[i] > line->most ? value[i] : line->most;
    }
    line->repeats = n;
    line->blas_calls = reports[0].blas_calls;
    line->packed_bytes = reports[0].packed_bytes;
    line->kernel_calls = reports[0].kernel_calls;
    line->arena_bytes = reports[0].arena_bytes;
    line->received_bytes = reports[0].received_bytes_total[FUSE_PHASE_RUN];
    line->received_bytes_max = reports[0].received_bytes_max[FUSE_PHASE_RUN];
}

enum fuse_status fuse_bench_measure(struct fuse_bench_line *out, struct fuse_bench *bench, struct fuse_bench_case *c) {
    static struct fuse_exec_report reports[FUSE_BENCH_REPEATS];
    static double walls[FUSE_BENCH_REPEATS];
    struct fuse_error err = {0};
    *out = (struct fuse_bench_line){.c = c, .ranks = bench->job->comm->size};
    for (int i = 0; i < c->operands; i++) {
        fuse_bench_keep(bench, c->operand[i].path);
        out->operand_bytes += tensor_bytes(&c->operand[i]);
    }
    out->operand_bytes += tensor_bytes(&c->out);
    fuse_bench_keep(bench, c->out.path);
    enum fuse_status st =
        fuse_bench_run_text(NULL, NULL, NULL, NULL, bench, "operands.fuse", operand_program(bench, c), NULL, 1);
    if (st == FUSE_OK)
        st = fuse_bench_run_text(reports, walls, &out->threads, &out->flops_planned, bench, "case.fuse",
                                 case_program(bench, c), c->policy, bench->warmups + bench->repeats);
    if (st == FUSE_OK) {
        fuse_bench_summarise(out, reports + bench->warmups, walls + bench->warmups, bench->repeats);
        st = fuse_bench_look(out, bench, c, &err);
        if (st != FUSE_OK)
            fuse_error_print(&bench->messages, NULL, &err);
    }
    for (int i = 0; i < c->operands; i++)
        fuse_bench_drop(bench, c->operand[i].path);
    fuse_bench_drop(bench, c->out.path);
    return st;
}

static enum fuse_status run_one(struct fuse_bench *bench, struct fuse_error *err) {
    struct fuse_bench_case c;
    struct fuse_bench_line line;
    FUSE_TRY(fuse_bench_make_case(&c, bench, bench->request->words, bench->request->word, 1, err));
    FUSE_TRY(fuse_bench_measure(&line, bench, &c));
    fuse_bench_print(bench, &line);
    return FUSE_OK;
}

/* ---- start ---- */

static enum fuse_status check_request(const struct fuse_bench *bench, struct fuse_error *err) {
    const struct fuse_dist_bench *request = bench->request;
    const char *precision = bench->options.precision;
    if (request->words == 0)
        return fuse_fail(err, FUSE_EUSAGE, "bench: of what?");
    if (bench->repeats + bench->warmups > FUSE_BENCH_REPEATS)
        return fuse_fail(err, FUSE_EUSAGE, "at most %d repeats", FUSE_BENCH_REPEATS);
    if (precision && strcmp(precision, "fp32") != 0 && strcmp(precision, "fp64") != 0)
        return fuse_fail(err, FUSE_EUSAGE,
                         "bench measures fp32 and fp64, not %s; gemm also other types: gemm bf16 1024", precision);
    return FUSE_OK;
}

static enum fuse_status dispatch(struct fuse_bench *bench, struct fuse_error *err) {
    static const struct {
        const char *word;
        enum fuse_status (*run)(struct fuse_bench *bench, struct fuse_error *err);
    } rows[] = {
        {"scale", fuse_bench_scale}, {"io", fuse_bench_io}, {"coll", fuse_bench_coll}, {"program", fuse_bench_program}};
    enum fuse_status (*run)(struct fuse_bench * bench, struct fuse_error * err) = run_one;
    FUSE_TRY(check_request(bench, err));
    if (strcmp(bench->request->word[0], "compare") == 0)
        return fuse_bench_compare(bench, err);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].word, bench->request->word[0]) == 0)
            run = rows[i].run;
    FUSE_TRY(open_folder(bench, err));
    return run(bench, err);
}

int fuse_dist_bench(const char **messages, fuse_dist_job *job, const struct fuse_dist_bench *request,
                    const struct fuse_dist_options *options) {
    *messages = "";
    if (!job->arena)
        job->arena = fuse_arena_open(fuse_api_out_of_memory);
    struct fuse_error err = {0};
    FUSE_TRY(fuse_agree(job->comm, job->arena ? FUSE_OK : FUSE_EMEMORY, &err));
    struct fuse_bench bench = {.job = job,
                               .arena = job->arena,
                               .request = request,
                               .options = *options,
                               .print = options->print,
                               .messages = {.arena = job->arena},
                               .repeats = request->repeats > 0 ? request->repeats : 7,
                               .warmups = request->warmups >= 0 ? request->warmups : 1};
    bench.options.print = NULL;
    bench.options.progress = NULL;
    enum fuse_status st = dispatch(&bench, &err);
    if (st == FUSE_EUSAGE && !err.hint[0])
        fuse_hint(&err,
                  "gemm [TYPE] N | einsum 'ab,bc->ac' N.. | transpose 'abc->cba' N.. | map NAME N.. | attention HEADS "
                  "POSITIONS "
                  "DEPTH | coll [NAME [BYTES..]] | io FORMAT BYTES | scale CASE.. | program PROG | compare OLD NEW");
    if (err.message[0])
        fuse_error_print(&bench.messages, NULL, &err);
    fuse_bench_end(&bench);
    if (bench.folder)
        fuse_bench_close_folder(&bench, bench.folder);
    if (st == FUSE_OK && bench.failed)
        st = FUSE_EVERIFY;
    *messages = bench.messages.at ? bench.messages.at : "";
    return (int)st;
}
