#include "api/program.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

double fuse_api_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

_Noreturn void fuse_api_out_of_memory(size_t bytes) {
    /* Nothing that allocates, and no agreement: the other ranks learn it from the launch system. */
    static const char text[] = "fuse-dist: error: out of memory\n";
    (void)bytes;
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0)
        _Exit(FUSE_EMEMORY);
    _Exit(FUSE_EMEMORY);
}

enum fuse_status fuse_api_same(struct fuse_comm *comm, bool *same, uint64_t number, struct fuse_error *err) {
    int64_t extremes[2] = {(int64_t)number, ~(int64_t)number}; /* ~ reverses the order: one MIN gives both ends */
    FUSE_TRY(comm->ops->reduce_int64(comm, FUSE_REDUCE_MIN, extremes, 2, err));
    *same = extremes[0] == ~extremes[1];
    return FUSE_OK;
}

/* Nodes count as equal only when each holds a run of consecutive ranks: that is what the planner's mesh assumes. */
enum fuse_status fuse_api_find_node(struct fuse_dist_job *job, struct fuse_error *err) {
    FUSE_TRY(fuse_comm_node(job->comm, &job->local_rank, &job->local_size, err));
    bool same;
    FUSE_TRY(fuse_api_same(job->comm, &same, (uint64_t)job->local_size, err));
    int64_t in_order = job->local_rank == job->comm->rank % job->local_size;
    FUSE_TRY(job->comm->ops->reduce_int64(job->comm, FUSE_REDUCE_MIN, &in_order, 1, err));
    job->ranks_per_node = same && in_order ? job->local_size : 0;
    return FUSE_OK;
}

int fuse_dist_job_open(fuse_dist_job **out, enum fuse_dist_transport transport) {
    struct fuse_error err = {0};
    struct fuse_dist_job *job = calloc(1, sizeof *job);
    if (!job)
        return FUSE_EMEMORY;
    job->opened_seconds = fuse_api_seconds();
    enum fuse_status st;
    FUSE_TRY_GOTO(
        st, transport == FUSE_DIST_MPI ? fuse_comm_open_mpi(&job->comm, &err) : fuse_comm_open_self(&job->comm, &err),
        free_job);
    FUSE_TRY_GOTO(st, fuse_api_find_node(job, &err), close_comm);
    *out = job;
    return FUSE_OK;

close_comm:
    job->comm->ops->close(job->comm);
free_job:
    fuse_comm_finalize_mpi();
    free(job);
    return st;
}

int fuse_dist_job_rank(const fuse_dist_job *job) {
    return job->comm->rank;
}

int fuse_dist_job_size(const fuse_dist_job *job) {
    return job->comm->size;
}

int fuse_dist_job_same(fuse_dist_job *job, uint64_t number) {
    struct fuse_error err = {0};
    bool same;
    return fuse_api_same(job->comm, &same, number, &err) == FUSE_OK && same;
}

void fuse_dist_job_close(fuse_dist_job *job) {
    if (!job)
        return;
    fuse_arena_close(job->arena);
    job->comm->ops->close(job->comm);
    fuse_comm_finalize_mpi();
    free(job);
}

void fuse_dist_job_abort(fuse_dist_job *job, int status) {
    fuse_comm_abort(job->comm, status);
}
