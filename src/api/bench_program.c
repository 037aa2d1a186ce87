/* A program of the user as a benchmark: it runs several times, and once more on the slow reference back end, when that is
 * bearable. Its sinks go into the folder of the benchmark, never where the program would write them. */
#include "api/bench.h"
#include "io/npy_header.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Operations up to which the reference is run: it does some fifty million a second. */
#define REFERENCE_OPERATIONS ((int64_t)1 << 29)

struct sinks {
    FUSE_VEC(const char *) place; /* as the program has them; relative */
};

struct mapped {
    struct fuse_probe probe;
    char *at;
    size_t bytes;
};

static enum fuse_status map_npy(struct mapped *out, const char *path, struct fuse_error *err) {
    struct stat info;
    int file = open(path, O_RDONLY);
    void *at = MAP_FAILED;
    if (file >= 0 && fstat(file, &info) == 0 && info.st_size > 0)
        at = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, file, 0);
    if (file >= 0)
        close(file);
    if (at == MAP_FAILED)
        return fuse_fail(err, FUSE_EIO, "%s cannot be read: %s", path, strerror(errno));
    *out = (struct mapped){.at = at, .bytes = (size_t)info.st_size};
    enum fuse_status st = fuse_npy_header_parse(&out->probe, at, out->bytes, info.st_size, path, err);
    return st;
}

static void unmap(struct mapped *npy) {
    if (npy->at)
        munmap(npy->at, npy->bytes);
}

/* Room for sums in another order and, of narrow types, for their rounding to fall on the other side: a small part of the largest
 * magnitude; 0: results are exact. */
static double tolerance(enum fuse_dtype dtype) {
    switch (dtype) {
    case FUSE_F64: return 1e-12;
    case FUSE_F32: return 1e-5;
    case FUSE_F16: return 0x1p-10 + 1e-5;
    case FUSE_BF16: return 0x1p-7 + 1e-5;
    default: return 0;
    }
}

static double real_at(const char *data, enum fuse_dtype dtype, int64_t i) {
    double value;
    (void)fuse_dtype_convert(&value, FUSE_F64, data + i * (int64_t)fuse_dtype_bytes(dtype), dtype, 1);
    return value;
}

/* Elements against the reference's. */
static void compare_elements(struct fuse_bench_verdict *verdict, const struct mapped *got, const struct mapped *want) {
    int64_t n = 1;
    bool same = got->probe.file_dtype == want->probe.file_dtype && got->probe.rank == want->probe.rank &&
                got->bytes == want->bytes;
    for (int a = 0; same && a < got->probe.rank; a++)
        n *= got->probe.extent[a];
    int64_t width = (int64_t)fuse_dtype_bytes(got->probe.file_dtype);
    if (!same || n * width > (int64_t)got->bytes) {
        verdict->checked++;
        verdict->wrong++;
        return;
    }
    const char *g = got->at + got->bytes - n * width, *w = want->at + want->bytes - n * width;
    enum fuse_dtype dtype = got->probe.file_dtype;
    verdict->checked += n;
    const double allowed = tolerance(dtype);
    if (allowed == 0) {
        for (int64_t i = 0; i < n; i++)
            verdict->wrong += memcmp(g + i * width, w + i * width, (size_t)width) != 0;
        return;
    }
    double most = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t i = 0; i < n; i++) {
            double x = real_at(g, dtype, i), y = real_at(w, dtype, i);
            if (pass == 0) {
                most = isfinite(y) ? fmax(most, fabs(y)) : most;
                continue;
            }
            if (x == y || (isnan(x) && isnan(y)))
                continue;
            double share = fabs(x - y) / (allowed * most);
            if (!(share <= verdict->error))
                verdict->error = share;
            verdict->wrong += !(share <= 1);
        }
}

static const char *sink_file(struct fuse_bench *bench, const char *folder, const char *place) {
    const char *file, *part;
    fuse_api_split_place(&file, &part, bench->arena, place);
    return fuse_arena_printf(bench->arena, "%s/%s", folder, file);
}

static const char *converted_file(struct fuse_bench *bench, const char *folder, int number) {
    return fuse_arena_printf(bench->arena, "%s/converted%d.npy", folder, number);
}

/* The file of a sink as .npy, converted when it is another format. Collective. */
static enum fuse_status as_npy(const char **out, struct fuse_bench *bench, const char *folder, const char *place,
                               int number) {
    const char *from = fuse_arena_printf(bench->arena, "%s/%s", folder, place);
    size_t length = strlen(place);
    *out = from;
    if (length > 4 && strcmp(place + length - 4, ".npy") == 0)
        return FUSE_OK;
    *out = converted_file(bench, folder, number);
    fuse_bench_keep(bench, *out);
    fuse_dist_program *program = NULL;
    struct fuse_dist_options options = bench->options;
    options.policy = options.output_root = options.root = NULL;
    enum fuse_status st = (enum fuse_status)fuse_dist_open_convert(&program, bench->job, from, *out, &options);
    if (st == FUSE_OK)
        st = (enum fuse_status)fuse_dist_run(program);
    if (program && st != FUSE_OK)
        fuse_text_add(&bench->messages, "%s", fuse_dist_messages(program));
    fuse_dist_close(program);
    return st;
}

/* Before the first run: files that a signal would remove. */
static void take_sinks(struct sinks *out, struct fuse_bench *bench, const char *folder,
                       const struct fuse_dist_program *program) {
    out->place.n = 0;
    for (int i = 0; i < program->ir.ops.n; i++) {
        const struct fuse_op *op = program->ir.ops.at[i];
        if (op->kind != FUSE_OP_SINK || !op->path)
            continue;
        fuse_vec_push(bench->arena, &out->place, fuse_arena_printf(bench->arena, "%s", op->path));
        fuse_bench_keep(bench, sink_file(bench, folder, op->path));
    }
}

static enum fuse_status run_program(struct fuse_bench_line *line, struct sinks *sinks, struct fuse_bench *bench,
                                    const char *folder, const char *backend, int times) {
    static struct fuse_exec_report reports[FUSE_BENCH_REPEATS];
    static double walls[FUSE_BENCH_REPEATS];
    struct fuse_dist_options options = bench->options;
    fuse_dist_program *program = NULL;
    options.output_root = folder;
    if (backend)
        options.backend = backend;
    enum fuse_status st = (enum fuse_status)fuse_dist_open(&program, bench->job, bench->request->word[1], &options);
    if (st == FUSE_OK)
        take_sinks(sinks, bench, folder, program);
    for (int i = 0; i < times && st == FUSE_OK; i++) {
        double start = fuse_api_seconds();
        st = (enum fuse_status)fuse_dist_run(program);
        walls[i] = fuse_api_seconds() - start;
        reports[i] = program->report;
    }
    if (st == FUSE_OK && line) {
        line->threads = program->threads;
        line->flops_planned = program->plan->flops_max;
        fuse_bench_summarise(line, reports + bench->warmups, walls + bench->warmups, bench->repeats);
    }
    if (program)
        fuse_text_add(&bench->messages, "%s", fuse_dist_messages(program));
    fuse_dist_close(program);
    return st;
}

static void empty_folder(struct fuse_bench *bench, const char *folder, const struct sinks *sinks) {
    for (int i = 0; i < sinks->place.n; i++) {
        fuse_bench_drop(bench, sink_file(bench, folder, sinks->place.at[i]));
        fuse_bench_drop(bench, converted_file(bench, folder, i));
    }
    fuse_bench_close_folder(bench, folder);
}

/* Collective. What the sinks hold against what the reference wrote. */
static enum fuse_status compare_sinks(struct fuse_bench_line *line, struct fuse_bench *bench, const struct sinks *sinks,
                                      const char *out, const char *ref, struct fuse_error *err) {
    struct fuse_comm *comm = bench->job->comm;
    for (int i = 0; i < sinks->place.n; i++) {
        const char *path[2];
        struct mapped got = {0}, want = {0};
        enum fuse_status st = FUSE_OK;
        FUSE_TRY(as_npy(&path[0], bench, out, sinks->place.at[i], i));
        FUSE_TRY(as_npy(&path[1], bench, ref, sinks->place.at[i], i));
        if (comm->rank == 0) {
            st = map_npy(&got, path[0], err);
            if (st == FUSE_OK)
                st = map_npy(&want, path[1], err);
            if (st == FUSE_OK)
                compare_elements(&line->verdict, &got, &want);
            unmap(&got);
            unmap(&want);
        }
        FUSE_TRY(fuse_agree(comm, st, err));
    }
    return comm->ops->broadcast(comm, &line->verdict, sizeof line->verdict, 0, err);
}

enum fuse_status fuse_bench_program(struct fuse_bench *bench, struct fuse_error *err) {
    const struct fuse_dist_bench *request = bench->request;
    struct fuse_comm *comm = bench->job->comm;
    if (request->words != 2)
        return fuse_fail(err, FUSE_EUSAGE, "program takes one program: fuse-dist bench program PROG");
    const char *out = fuse_bench_path(bench, "out"), *ref = fuse_bench_path(bench, "ref");
    struct fuse_bench_case c = {
        .kind = "program", .what = request->word[1], .shape = "", .dtype = fuse_bench_reals(bench)};
    struct fuse_bench_line line = {.c = &c, .ranks = comm->size};
    struct sinks sinks = {0}, same = {0};
    FUSE_TRY(fuse_bench_open_folder(bench, out, err));
    enum fuse_status st;
    FUSE_TRY_GOTO(st, fuse_bench_open_folder(bench, ref, err), close_out);
    st = run_program(&line, &sinks, bench, out, NULL, bench->warmups + bench->repeats);
    line.unchecked = fuse_sat_mul(line.flops_planned, comm->size) > REFERENCE_OPERATIONS;
    if (st == FUSE_OK && sinks.place.n == 0) {
        st = fuse_fail(err, FUSE_EUSAGE, "%s has no sink, so there is nothing to check", request->word[1]);
        fuse_hint(err, "--out FILE makes sinks of exports");
    }
    if (st == FUSE_OK && !line.unchecked) {
        st = run_program(NULL, &same, bench, ref, "ref", 1);
        if (st == FUSE_OK)
            st = compare_sinks(&line, bench, &sinks, out, ref, err);
        line.passed = line.verdict.checked > 0 && line.verdict.wrong == 0;
        bench->failed |= !line.passed;
    }
    empty_folder(bench, ref, &same);
    if (st == FUSE_OK)
        fuse_bench_print(bench, &line);

close_out:
    empty_folder(bench, out, &sinks);
    return st;
}
