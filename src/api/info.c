/* What a job has: the facts that explain how fast it can be and how much fits. Gathered by reductions of a fixed size. */
#include "api/program.h"
#include "core/hash.h"
#include "io/format.h"

#include <cblas.h>
#include <inttypes.h>
#include <mpi.h>
#include <sched.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* ---- the processor and the kernels of BLAS ---- */

enum level { BASELINE, AVX, AVX2, AVX512, LEVELS };
static const char *const level_name[LEVELS] = {"SSE", "AVX", "AVX2", "AVX-512"};

static enum level processor_level(void) {
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
        return AVX512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return AVX2;
    return __builtin_cpu_supports("avx") ? AVX : BASELINE;
}

/* What the kernels of OpenBLAS use, by its names for processors. */
static enum level kernel_level(const char *core) {
    static const struct {
        const char *core;
        enum level level;
    } rows[] = {{"SkylakeX", AVX512}, {"Cooperlake", AVX512}, {"SapphireRapids", AVX512}, {"Haswell", AVX2},
                {"Zen", AVX2},        {"Excavator", AVX2},    {"Sandybridge", AVX},       {"Bulldozer", AVX},
                {"Piledriver", AVX},  {"Steamroller", AVX}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcasecmp(rows[i].core, core) == 0)
            return rows[i].level;
    return BASELINE;
}

static void add_instructions(struct fuse_text *text) {
    __builtin_cpu_init();
#define ADD(name) fuse_text_add(text, "%s", __builtin_cpu_supports(name) ? " " name : "")
    ADD("sse4.2");
    ADD("avx");
    ADD("avx2");
    ADD("fma");
    ADD("avx512f");
    ADD("avx512bw");
    ADD("avx512vl");
    ADD("avx512vnni");
#undef ADD
}

/* ---- gathering ---- */

struct range {
    int64_t least, most;
};

struct facts {
    int64_t nodes;
    struct range ranks_per_node, processors, bound, cores, threads;
    struct fuse_memory memory;
    struct range memory_bytes;
    bool same_kernel;
};

static enum fuse_status reduce_range(struct range *out, struct fuse_comm *comm, int64_t mine, struct fuse_error *err) {
    int64_t ends[2] = {mine, ~mine};
    FUSE_TRY(comm->ops->reduce_int64(comm, FUSE_REDUCE_MIN, ends, 2, err));
    *out = (struct range){.least = ends[0], .most = ~ends[1]};
    return FUSE_OK;
}

static enum fuse_status gather(struct facts *out, struct fuse_dist_job *job, const struct fuse_dist_options *options,
                               struct fuse_error *err) {
    struct fuse_comm *comm = job->comm;
    cpu_set_t set;
    CPU_ZERO(&set);
    int64_t bound = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    int64_t leaders = job->local_rank == 0;
    int cores;
    FUSE_TRY(comm->ops->reduce_int64(comm, FUSE_REDUCE_SUM, &leaders, 1, err));
    out->nodes = leaders;
    FUSE_TRY(reduce_range(&out->ranks_per_node, comm, job->local_size, err));
    FUSE_TRY(reduce_range(&out->processors, comm, sysconf(_SC_NPROCESSORS_ONLN), err));
    FUSE_TRY(reduce_range(&out->bound, comm, bound, err));
    FUSE_TRY(fuse_api_cores(&cores, job, err));
    FUSE_TRY(reduce_range(&out->cores, comm, cores, err));
    FUSE_TRY(reduce_range(&out->threads, comm, options->threads ? options->threads : cores, err));
    FUSE_TRY(fuse_api_share_memory(&out->memory, job, options->node_memory_bytes, err));
    FUSE_TRY(reduce_range(&out->memory_bytes, comm, fuse_api_memory(job->local_size, options->node_memory_bytes).bytes,
                          err));
    return fuse_api_same(comm, &out->same_kernel, fuse_hash_string(FUSE_HASH_SEED, openblas_get_corename()), err);
}

/* ---- text ---- */

static void add_line(struct fuse_text *text, const char *what) {
    fuse_text_add(text, "%-18s", what);
}

static void add_range(struct fuse_text *text, const char *what, struct range range) {
    add_line(text, what);
    fuse_text_add(text, "%" PRId64, range.least);
    if (range.most != range.least)
        fuse_text_add(text, " to %" PRId64, range.most);
    fuse_text_add(text, "\n");
}

static const char *mpi_library(char *text) {
    int length = 0;
    MPI_Get_library_version(text, &length);
    text[strcspn(text, "\n")] = '\0';
    return text;
}

static bool is_slow(const struct facts *facts) {
    return kernel_level(openblas_get_corename()) < processor_level() || !facts->same_kernel;
}

static void add_blas(struct fuse_text *text, const struct facts *facts) {
    const char *core = openblas_get_corename();
    add_line(text, "BLAS");
    fuse_text_add(text, "%s\n", openblas_get_config());
    add_line(text, "BLAS kernels");
    fuse_text_add(text, "%s (%s)\n", core, level_name[kernel_level(core)]);
    if (kernel_level(core) < processor_level())
        fuse_text_add(
            text,
            "WARNING: the processor has %s, and the kernels of BLAS do not use it; unset OPENBLAS_CORETYPE, or "
            "use an OpenBLAS that knows this processor\n",
            level_name[processor_level()]);
    if (!facts->same_kernel)
        fuse_text_add(text, "WARNING: the ranks use different kernels of BLAS: the slowest sets the pace\n");
}

static void write_text(struct fuse_text *text, const struct fuse_dist_job *job, const struct facts *facts) {
    char library[MPI_MAX_LIBRARY_VERSION_STRING + 1];
    add_line(text, "fuse-dist");
    fuse_text_add(text, "%s\n", fuse_dist_version());
    add_line(text, "ranks");
    fuse_text_add(text, "%d\n", job->comm->size);
    add_line(text, "nodes");
    fuse_text_add(text, "%" PRId64 "\n", facts->nodes);
    add_range(text, "ranks per node", facts->ranks_per_node);
    add_range(text, "cores per rank", facts->cores);
    add_range(text, "threads per rank", facts->threads);
    add_line(text, "binding");
    if (facts->bound.most < facts->processors.least)
        fuse_text_add(text, "%" PRId64 " of %" PRId64 " processors\n", facts->bound.most, facts->processors.least);
    else
        fuse_text_add(text, "none: a rank may use every processor of its node\n");
    add_line(text, "memory per rank");
    fuse_text_add_size(text, facts->memory_bytes.least);
    if (facts->memory_bytes.most > facts->memory_bytes.least) {
        fuse_text_add(text, " to ");
        fuse_text_add_size(text, facts->memory_bytes.most);
    }
    fuse_text_add(text, ", from %s\n", fuse_api_memory_limit_text(facts->memory.limit));
    add_line(text, "MPI");
    fuse_text_add(text, "%s\n", mpi_library(library));
    add_line(text, "transports");
    fuse_text_add(text, "self, mpi; this job: %s\n", job->comm->ops->name);
    add_line(text, "HDF5");
    fuse_text_add(text, "%s\n", fuse_format_find("a.h5") ? "yes" : "none in this build");
    add_line(text, "processor");
    fuse_text_add(text, "%s:", level_name[processor_level()]);
    add_instructions(text);
    fuse_text_add(text, "\n");
    add_blas(text, facts);
    add_line(text, "GPUs");
    fuse_text_add(text, "none in this build\n");
}

static void add_json_range(struct fuse_text *text, const char *key, struct range range) {
    fuse_text_add(text, ",\"%s\":[%" PRId64 ",%" PRId64 "]", key, range.least, range.most);
}

static void add_json_text(struct fuse_text *text, const char *key, const char *value) {
    fuse_text_add(text, ",\"%s\":", key);
    fuse_text_add_json_string(text, value);
}

static void write_json(struct fuse_text *text, const struct fuse_dist_job *job, const struct facts *facts) {
    char library[MPI_MAX_LIBRARY_VERSION_STRING + 1];
    struct fuse_text instructions = {.arena = text->arena};
    fuse_text_add(text, "{\"version\":");
    fuse_text_add_json_string(text, fuse_dist_version());
    fuse_text_add(text, ",\"ranks\":%d,\"nodes\":%" PRId64, job->comm->size, facts->nodes);
    add_json_range(text, "ranks_per_node", facts->ranks_per_node);
    add_json_range(text, "cores_per_rank", facts->cores);
    add_json_range(text, "threads_per_rank", facts->threads);
    add_json_range(text, "processors", facts->processors);
    add_json_range(text, "processors_bound_to", facts->bound);
    add_json_range(text, "memory_per_rank_bytes", facts->memory_bytes);
    add_json_text(text, "memory_from", fuse_api_memory_limit_text(facts->memory.limit));
    add_json_text(text, "mpi_library", mpi_library(library));
    add_json_text(text, "transport", job->comm->ops->name);
    fuse_text_add(text, ",\"hdf5\":%s", fuse_format_find("a.h5") ? "true" : "null");
    add_instructions(&instructions);
    add_json_text(text, "instructions", instructions.at && *instructions.at ? instructions.at + 1 : "");
    add_json_text(text, "blas", openblas_get_config());
    add_json_text(text, "blas_core", openblas_get_corename());
    fuse_text_add(text, ",\"blas_slow\":%s,\"gpus\":null}\n", is_slow(facts) ? "true" : "false");
}

int fuse_dist_info(const char **out, fuse_dist_job *job, const struct fuse_dist_options *options, int json) {
    static const struct fuse_dist_options none;
    struct facts facts = {0};
    struct fuse_error err = {0};
    *out = "";
    if (!job->arena)
        job->arena = fuse_arena_open(fuse_api_out_of_memory);
    FUSE_TRY(fuse_agree(job->comm, job->arena ? FUSE_OK : FUSE_EMEMORY, &err));
    FUSE_TRY(gather(&facts, job, options ? options : &none, &err));
    struct fuse_text text = {.arena = job->arena};
    if (json)
        write_json(&text, job, &facts);
    else
        write_text(&text, job, &facts);
    *out = text.at;
    return FUSE_OK;
}
