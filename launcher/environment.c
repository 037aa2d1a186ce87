#include "launcher/environment.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The number in a variable, or `otherwise` when it is not set or holds none. */
static int number(const char *name, int otherwise) {
    const char *text = getenv(name);
    char *end;
    if (!text)
        return otherwise;
    long value = strtol(text, &end, 10);
    return end != text && value >= 0 && value <= INT_MAX ? (int)value : otherwise;
}

static bool is_set(const char *name) {
    return getenv(name) != NULL;
}

static const char *text_of(const char *name) {
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static void read_weights(struct environment *env) {
    const char *cache = text_of("XDG_CACHE_HOME"), *home = text_of("HOME");
    int n = 0;
    if (cache || home)
        n = snprintf(env->weights_cache, sizeof env->weights_cache, "%s%s/fuse-dist/weights", cache ? cache : home,
                     cache ? "" : "/.cache");
    if (n < 0 || n >= (int)sizeof env->weights_cache)
        env->weights_cache[0] = '\0';
    env->s3_key = text_of("AWS_ACCESS_KEY_ID");
    env->s3_secret = text_of("AWS_SECRET_ACCESS_KEY");
    env->s3_token = text_of("AWS_SESSION_TOKEN");
    env->s3_region = text_of("AWS_REGION") ? text_of("AWS_REGION") : text_of("AWS_DEFAULT_REGION");
    env->s3_endpoint = text_of("AWS_ENDPOINT_URL");
}

struct environment environment_read(void) {
    struct environment env = {.ranks = 1};
    if (is_set("OMPI_COMM_WORLD_SIZE")) {
        env.launcher = "mpirun";
        env.has_mpi = true;
        env.ranks = number("OMPI_COMM_WORLD_SIZE", 1);
        env.rank = number("OMPI_COMM_WORLD_RANK", 0);
    } else if (is_set("SLURM_PROCID") && is_set("SLURM_STEP_NUM_TASKS")) {
        /* A batch script has the first of the two, but is no step. */
        env.launcher = "srun";
        env.has_mpi = is_set("PMIX_RANK") || is_set("PMI_RANK") || is_set("PMI_FD") || is_set("PMI_JOBID");
        env.ranks = number("SLURM_STEP_NUM_TASKS", 1);
        env.rank = number("SLURM_PROCID", 0);
    } else if (is_set("PMI_RANK") || is_set("PMIX_RANK")) {
        env.launcher = "mpiexec";
        env.has_mpi = true;
        env.ranks = number("PMI_SIZE", 0); /* PMIx does not tell: 0 */
        env.rank = number("PMIX_RANK", number("PMI_RANK", 0));
    }
    /* One rank needs no MPI, whoever started it, and is ready a quarter of a second sooner. */
    if (env.ranks == 1)
        env.has_mpi = false;
    long long per_node = number("SLURM_MEM_PER_NODE", 0), per_core = number("SLURM_MEM_PER_CPU", 0); /* MiB */
    if (per_node == 0)
        per_node = per_core * number("SLURM_CPUS_ON_NODE", 1);
    env.node_memory_bytes = per_node << 20;
    env.threads = number("OMP_NUM_THREADS", 0);
    read_weights(&env);
    env.fault = getenv("FUSE_FAULT");
    env.isa = text_of("FUSE_ISA");
    env.scratch = getenv("TMPDIR");
    if (env.fault && !*env.fault)
        env.fault = NULL;
    return env;
}

void environment_tune_mpi(void) {
    int local = number("OMPI_COMM_WORLD_LOCAL_SIZE", 0);
    if (local == 0)
        return;
    /* A rank that spins while it waits takes the core from the one that it waits for. Open MPI sees to it only when
     * its own slot count says so. The processor count is the machine's: the mask of a bound rank would tell nothing. */
    if (local > sysconf(_SC_NPROCESSORS_ONLN))
        setenv("OMPI_MCA_mpi_yield_when_idle", "1", 0);
    /* By its protocol of remote writes, Open MPI 4.1 sends long messages over a TCP connection one way at a time: an exchange of
     * 10 MiB both ways takes 1.9 times as long as one way, and by plain sends 1.1 to 1.3 times. Without TCP nothing looks at
     * this. */
    if (local < number("OMPI_COMM_WORLD_SIZE", 0))
        setenv("OMPI_MCA_btl_tcp_flags", "send,inplace,need-ack,need-csum,hetero-rdma", 0);
    /* Asking every network library whether it would like to carry messages takes 0.2 s of MPI_Init. On a single machine
     * none of them will, and ob1 over shared memory is what Open MPI ends up with: measured with 2 and 8 ranks, MPI_Init
     * takes 50 instead of 255 ms and 155 instead of 355 ms; messages are as fast, but for some 15 % less at 64 KiB to 1 MiB
     * in the one series that was measured. */
    if (local == number("OMPI_COMM_WORLD_SIZE", 0) && !is_set("OMPI_MCA_pml") && !is_set("OMPI_MCA_btl") &&
        !is_set("OMPI_MCA_mtl"))
        setenv("OMPI_MCA_pml", "ob1", 0);
}
