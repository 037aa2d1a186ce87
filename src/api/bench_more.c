/* Benchmarks of more than one case: numbers of ranks, collectives, files, and programs of users. */
#include "api/bench.h"

#include <limits.h>
#include <string.h>

/* ---- scale: the same case on the first ranks of the job ---- */

/* All of the job's ranks come here; those beyond `ranks` wait. */
static enum fuse_status measure_part(struct fuse_bench_line *out, struct fuse_bench *bench, int ranks,
                                     struct fuse_error *err) {
    struct fuse_dist_job *job = bench->job, part = *job;
    const struct fuse_dist_bench *request = bench->request;
    FUSE_TRY(fuse_comm_open_part(&part.comm, job->comm, ranks, err));
    enum fuse_status st = FUSE_OK;
    if (part.comm) {
        struct fuse_bench_case *c = FUSE_NEW(bench->arena, struct fuse_bench_case);
        bench->job = &part;
        st = fuse_api_find_node(&part, err);
        if (st == FUSE_OK)
            st = fuse_bench_make_case(c, bench, request->words - 1, request->word + 1, request->weak ? ranks : 1, err);
        if (st == FUSE_OK)
            st = fuse_bench_measure(out, bench, c);
        bench->job = job;
        part.comm->ops->close(part.comm);
    }
    FUSE_TRY(fuse_comm_idle(job->comm, err));
    return fuse_agree(job->comm, st, err);
}

/* Collective. Every line has the same threads a rank, or their number would be measured too: unless the user says how many,
 * those that the job's placement leaves each of so many ranks, the most that are measured; where ranks differ, the least. */
static enum fuse_status fix_threads(struct fuse_bench *bench, int ranks, struct fuse_error *err) {
    struct fuse_dist_job *job = bench->job, part = *job;
    enum fuse_status st = FUSE_OK;
    int threads = INT_MAX;
    if (bench->options.threads > 0)
        return FUSE_OK;
    FUSE_TRY(fuse_comm_open_part(&part.comm, job->comm, ranks, err));
    if (part.comm) {
        st = fuse_api_find_node(&part, err);
        if (st == FUSE_OK)
            st = fuse_api_cores(&threads, &part, err);
        part.comm->ops->close(part.comm);
    }
    FUSE_TRY(fuse_agree(job->comm, st, err));
    int64_t least = threads;
    FUSE_TRY(job->comm->ops->reduce_int64(job->comm, FUSE_REDUCE_MIN, &least, 1, err));
    bench->options.threads = (int)least;
    return FUSE_OK;
}

enum fuse_status fuse_bench_scale(struct fuse_bench *bench, struct fuse_error *err) {
    static const int all[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096};
    const struct fuse_dist_bench *request = bench->request;
    const int *ranks = request->rank_counts ? request->ranks : all;
    const int size = bench->job->comm->size;
    int counts = request->rank_counts, most = 1;
    double first = 0;
    while (!request->rank_counts && counts < (int)(sizeof all / sizeof *all) && all[counts] <= size)
        counts++;
    for (int i = 0; i < counts; i++)
        most = ranks[i] > most ? ranks[i] : most;
    if (most > size) {
        fuse_fail(err, FUSE_EUSAGE, "scale on %d ranks, and the job has %d", most, size);
        fuse_hint(err, "start it with as many as the most of --ranks: mpirun -n %d fuse-dist bench scale ..", most);
        return FUSE_EUSAGE;
    }
    FUSE_TRY(fix_threads(bench, most, err));
    for (int i = 0; i < counts; i++) {
        struct fuse_bench_line line = {0};
        FUSE_TRY(measure_part(&line, bench, ranks[i], err));
        if (bench->job->comm->rank != 0)
            continue;
        /* Rank 0 is in every part. Work a rank and second, against that of the first line. */
        double work = line.median * (request->weak ? 1 : ranks[i]);
        first = i == 0 ? work : first;
        line.efficiency = work > 0 ? first / work : 1;
        fuse_bench_print(bench, &line);
    }
    int64_t failed = bench->failed;
    FUSE_TRY(bench->job->comm->ops->broadcast(bench->job->comm, &failed, sizeof failed, 0, err));
    bench->failed = failed != 0;
    return FUSE_OK;
}

/* ---- coll: what redistributions between layouts cost ---- */

/* Columns as nccl-tests has them: the tensor's bytes, and by `bus` what a rank's link must carry of each of them. */
struct collective {
    const char *name, *policy;
    enum { ROW_A_RANK, ONE_ROW, SUMS } operand; /* one tensor over the ranks, or on one of them; a copy on each */
    double bus;                                 /* times (n - 1) / n; of ONE_ROW as it is */
};

static const struct collective collectives[] = {
    {"all_gather", "{\"mesh\":{\"all\":\"*\"},\"sharding\":{\"X\":{\"i\":\"all\"},\"Out\":\"replicated\"}}", ROW_A_RANK,
     1},
    {"all_to_all", "{\"mesh\":{\"all\":\"*\"},\"sharding\":{\"X\":{\"i\":\"all\"},\"Out\":{\"j\":\"all\"}}}",
     ROW_A_RANK, 1},
    {"broadcast", "{\"mesh\":{\"all\":\"*\"},\"sharding\":{\"X\":{\"i\":\"all\"},\"Out\":\"replicated\"}}", ONE_ROW, 1},
    {"reduce_scatter", "{\"mesh\":{\"all\":\"*\"},\"sharding\":{\"X\":{\"i\":\"all\"},\"Out\":{\"j\":\"all\"}}}", SUMS,
     1},
    {"all_reduce", "{\"mesh\":{\"all\":\"*\"},\"sharding\":{\"X\":{\"i\":\"all\"},\"Out\":\"replicated\"}}", SUMS, 2},
};

static enum fuse_status run_collective(struct fuse_bench *bench, const struct collective *collective, int64_t bytes) {
    const int ranks = bench->job->comm->size;
    struct fuse_bench_case c = {.kind = "coll", .what = collective->name, .operands = 1};
    struct fuse_bench_line line;
    c.dtype = fuse_bench_reals(bench);
    c.is_double = c.dtype == FUSE_F64;
    const bool sums = collective->operand == SUMS;
    const int rows = collective->operand == ONE_ROW ? 1 : ranks;
    int64_t columns = bytes / (c.is_double ? 8 : 4) / (sums ? 1 : rows);
    columns = columns > ranks ? columns / ranks * ranks : ranks;
    const char *name[2] = {"X", "Out"};
    struct fuse_bench_tensor *tensor[2] = {&c.operand[0], &c.out};
    for (int i = 0; i < 2; i++) {
        bool whole = i == 0 || !sums;
        *tensor[i] = (struct fuse_bench_tensor){
            .name = name[i], .axes = whole ? "ij" : "j", .dtype = c.dtype, .lo = -1, .hi = 1};
        tensor[i]->rank = whole ? 2 : 1;
        tensor[i]->path = fuse_bench_path(bench, fuse_arena_printf(bench->arena, "%s.npy", name[i]));
        tensor[i]->extent[0] = whole ? rows : columns;
        tensor[i]->extent[1] = columns;
    }
    c.program = sums ? "Out[j] = reduce(sum, i) X[i,j]\n" : "Out[i,j] = X[i,j]\n";
    c.policy = collective->policy;
    c.check = sums ? fuse_bench_check_sums : fuse_bench_check_equal;
    c.bytes = (double)columns * (c.is_double ? 8 : 4) * (sums ? 1 : rows);
    c.bus_factor = rows == 1 ? collective->bus : collective->bus * (ranks - 1) / ranks;
    c.shape = fuse_arena_printf(bench->arena, "bytes=%.0f", c.bytes);
    FUSE_TRY(fuse_bench_measure(&line, bench, &c));
    fuse_bench_print(bench, &line);
    return FUSE_OK;
}

enum fuse_status fuse_bench_coll(struct fuse_bench *bench, struct fuse_error *err) {
    const struct fuse_dist_bench *request = bench->request;
    const char *wanted = request->words > 1 ? request->word[1] : "all";
    static const char *const sizes[] = {"64K", "1M", "16M", "64M"};
    const char *const *size = request->words > 2 ? request->word + 2 : sizes;
    int n = request->words > 2 ? request->words - 2 : (int)(sizeof sizes / sizeof *sizes);
    bool found = false;
    if (bench->job->comm->size == 1) {
        fuse_fail(err, FUSE_EUSAGE, "collectives want more than one rank");
        fuse_hint(err, "mpirun -n 4 fuse-dist bench coll");
        return FUSE_EUSAGE;
    }
    for (size_t k = 0; k < sizeof collectives / sizeof *collectives; k++) {
        if (strcmp(wanted, "all") != 0 && strcmp(wanted, collectives[k].name) != 0)
            continue;
        found = true;
        for (int i = 0; i < n; i++) {
            int64_t bytes;
            if (!fuse_bench_number(&bytes, size[i]))
                return fuse_fail(err, FUSE_EUSAGE, "'%s' is no size", size[i]);
            FUSE_TRY(run_collective(bench, &collectives[k], bytes));
        }
    }
    if (!found) {
        fuse_fail(err, FUSE_EUSAGE, "there is no collective '%s'", wanted);
        fuse_hint(err, "all, all_gather, all_to_all, broadcast, reduce_scatter or all_reduce, and sizes");
        return FUSE_EUSAGE;
    }
    return FUSE_OK;
}

/* ---- io: one tensor to a file of the format, and back ---- */

static void take_phase(struct fuse_bench_line *line, struct fuse_bench *bench, const struct fuse_exec_report *report,
                       enum fuse_phase phase) {
    double value[FUSE_BENCH_REPEATS];
    for (int i = 0; i < bench->repeats; i++)
        value[i] = report[bench->warmups + i].seconds[phase];
    line->repeats = bench->repeats;
    line->median = fuse_bench_median(value, bench->repeats);
    line->least = line->most = value[0];
    for (int i = 1; i < bench->repeats; i++) {
        line->least = value[i] < line->least ? value[i] : line->least;
        line->most = value[i] > line->most ? value[i] : line->most;
    }
    line->run = line->median;
}

static enum fuse_status round_trip(struct fuse_bench *bench, const char *suffix, int64_t rows, struct fuse_error *err) {
    static struct fuse_exec_report reports[FUSE_BENCH_REPEATS];
    enum { COLUMNS = 1024 };
    struct fuse_comm *comm = bench->job->comm;
    const char *x = fuse_bench_path(bench, "X.npy"), *back = fuse_bench_path(bench, "Out.npy"),
               *file = fuse_bench_path(bench, fuse_arena_printf(bench->arena, "Y.%s", suffix));
    struct fuse_bench_case c = {.kind = "io", .operands = 1, .check = fuse_bench_check_equal};
    c.dtype = fuse_bench_reals(bench);
    c.is_double = c.dtype == FUSE_F64;
    c.shape = fuse_arena_printf(bench->arena, "i=%lld j=%d", (long long)rows, COLUMNS);
    c.bytes = (double)rows * COLUMNS * (c.is_double ? 8 : 4);
    c.operand[0] = (struct fuse_bench_tensor){
        .name = "X", .axes = "ij", .path = x, .dtype = c.dtype, .rank = 2, .extent = {rows, COLUMNS}};
    c.out = c.operand[0];
    c.out.path = back;
    const char *make = fuse_arena_printf(
        bench->arena, "axis i = %lld\naxis j = %d\nX[i,j] = uniform(seed=1, lo=-1, hi=1)\n\"%s\" = X[i,j]\n",
        (long long)rows, COLUMNS, x);
    const char *to = fuse_arena_printf(bench->arena, "X[i,j] = \"%s\"\n\"%s\" = X[i,j]\n", x, file);
    const char *from = fuse_arena_printf(bench->arena, "X[i,j] = \"%s\"\n\"%s\" = X[i,j]\n", file, back);
    struct fuse_bench_line line[2] = {{.c = &c, .ranks = comm->size}, {.c = &c, .ranks = comm->size}};
    int times = bench->warmups + bench->repeats;
    const char *const files[] = {x, file, back};
    for (int i = 0; i < 3; i++)
        fuse_bench_keep(bench, files[i]);
    enum fuse_status st = fuse_bench_run_text(NULL, NULL, NULL, NULL, bench, "make.fuse", make, NULL, 1);
    if (st == FUSE_OK)
        st = fuse_bench_run_text(reports, NULL, &line[0].threads, NULL, bench, "to.fuse", to, NULL, times);
    if (st == FUSE_OK) {
        take_phase(&line[0], bench, reports, FUSE_PHASE_STORE);
        st = fuse_bench_run_text(reports, NULL, &line[1].threads, NULL, bench, "from.fuse", from, NULL, times);
    }
    if (st == FUSE_OK) {
        take_phase(&line[1], bench, reports, FUSE_PHASE_LOAD);
        st = fuse_bench_look(&line[0], bench, &c, err);
        line[1].passed = line[0].passed;
        line[1].verdict = line[0].verdict;
    }
    for (int i = 0; i < 2 && st == FUSE_OK; i++) {
        c.what = fuse_arena_printf(bench->arena, "%s %s", i ? "read" : "write", suffix);
        fuse_bench_print(bench, &line[i]);
    }
    for (int i = 0; i < 3; i++)
        fuse_bench_drop(bench, files[i]);
    return st;
}

enum fuse_status fuse_bench_io(struct fuse_bench *bench, struct fuse_error *err) {
    const struct fuse_dist_bench *request = bench->request;
    const char *suffix = request->words > 1 ? request->word[1] : "npy";
    static const char *const formats[] = {"npy",  "npz",   "h5",  "hdf5", "safetensors",
                                          "json", "jsonl", "tsv", "csv",  NULL};
    int64_t bytes = (int64_t)256 << 20;
    bool known = false;
    for (int i = 0; formats[i]; i++)
        known |= strcmp(formats[i], suffix) == 0;
    if (!known) {
        fuse_fail(err, FUSE_EUSAGE, "io of '%s' is not measured", suffix);
        fuse_hint(err, "npy, npz, h5, hdf5, safetensors, json, jsonl, tsv or csv, and a size: bench io h5 256M");
        return FUSE_EUSAGE;
    }
    if (request->words > 2 && !fuse_bench_number(&bytes, request->word[2]))
        return fuse_fail(err, FUSE_EUSAGE, "'%s' is no size", request->word[2]);
    int64_t rows = bytes / 4096;
    return round_trip(bench, suffix, rows > 0 ? rows : 1, err);
}
