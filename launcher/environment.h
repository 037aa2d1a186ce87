/* What the environment says about the job that this process belongs to. The only place that reads environment
 * variables. */
#ifndef FUSE_LAUNCHER_ENVIRONMENT_H
#define FUSE_LAUNCHER_ENVIRONMENT_H

#include <stdbool.h>

struct environment {
    bool has_mpi;                /* a process manager that MPI can ask stands behind this process */
    int ranks, rank;             /* as the launch system says; 1 and 0 when it says nothing */
    const char *launcher;        /* "mpirun", "srun", ..; NULL: none */
    long long node_memory_bytes; /* what Slurm gives the job on this node, 0: it does not say */
    int threads;                 /* OMP_NUM_THREADS, 0: not set */
    const char *isa;             /* FUSE_ISA, NULL: not set */
    const char *scratch;         /* TMPDIR, NULL: not set */
    const char *fault;           /* FUSE_FAULT, NULL: not set */
    char weights_cache[4096];    /* below XDG_CACHE_HOME or HOME; "": neither is set */
    const char *s3_key, *s3_secret, *s3_token, *s3_region, *s3_endpoint; /* AWS_..; NULL: not set */
};

struct environment environment_read(void);
/* Settings of Open MPI that the user has not made. Before MPI starts. */
void environment_tune_mpi(void);

#endif
