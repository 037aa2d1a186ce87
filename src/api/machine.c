#include "api/program.h"
#include "core/hash.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* The first line of a small file, without its end. */
static bool read_line(char *line, size_t bytes, const char *path) {
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    bool ok = fgets(line, (int)bytes, file) != NULL;
    fclose(file);
    if (ok)
        line[strcspn(line, "\n")] = '\0';
    return ok;
}

/* ---- control groups ---- */

/* This process's group: in the unified hierarchy when controller is NULL, else in that controller's own. */
static bool find_group(char *group, size_t bytes, const char *controller) {
    FILE *file = fopen("/proc/self/cgroup", "re");
    if (!file)
        return false;
    char line[4352];
    bool found = false;
    while (!found && fgets(line, sizeof line, file)) {
        /* number ':' controller {',' controller} ':' path */
        char *list = strchr(line, ':');
        char *path = list ? strchr(list + 1, ':') : NULL;
        if (!path)
            continue;
        *path++ = '\0';
        list++;
        path[strcspn(path, "\n")] = '\0';
        if (!controller) {
            found = *list == '\0';
        } else {
            for (char *save = NULL, *name = strtok_r(list, ",", &save); name && !found;
                 name = strtok_r(NULL, ",", &save))
                found = strcmp(name, controller) == 0;
        }
        if (found)
            snprintf(group, bytes, "%s", path);
    }
    fclose(file);
    return found;
}

/* Calls `take` with the first line of `file` in this process's group and in every group around it. */
static void walk_groups(const char *mount, const char *controller, const char *file,
                        void (*take)(void *context, const char *line), void *context) {
    char group[4096], path[4300], line[256];
    if (!find_group(group, sizeof group, controller))
        return;
    for (;;) {
        snprintf(path, sizeof path, "%s%s/%s", mount, strcmp(group, "/") == 0 ? "" : group, file);
        if (read_line(line, sizeof line, path))
            take(context, line);
        char *slash = strrchr(group, '/');
        if (!slash || strcmp(group, "/") == 0 || !*group)
            return;
        *slash = '\0';
    }
}

/* ---- memory ---- */

const char *fuse_api_memory_limit_text(enum fuse_memory_limit limit) {
    switch (limit) {
    case FUSE_LIMIT_PHYSICAL: return "the machine's memory";
    case FUSE_LIMIT_GROUP: return "the control group's limit";
    case FUSE_LIMIT_BATCH: return "what Slurm gives the job on a node";
    case FUSE_LIMIT_ADDRESSES: return "the limit of address space (ulimit -v)";
    case FUSE_LIMIT_DATA: return "the limit of data memory (ulimit -d)";
    }
    return "";
}

static void take_memory(void *context, const char *line) {
    int64_t *smallest = context;
    char *end;
    long long bytes = strtoll(line, &end, 10);
    if (end != line && bytes > 0 && bytes < *smallest) /* "max" is no number */
        *smallest = bytes;
}

/* Bytes of address space, or of data memory, that this process has now. */
static int64_t mapped_bytes(bool data_only) {
    char line[256];
    long long size = 0, data = 0;
    if (read_line(line, sizeof line, "/proc/self/statm"))
        sscanf(line, "%lld %*d %*d %*d %*d %lld", &size, &data);
    return (data_only ? data : size) * (int64_t)sysconf(_SC_PAGESIZE);
}

/* What the process has mapped already is no memory for tensors, but for the base that the planner counts on. */
static void bound_by(struct fuse_memory *memory, int resource, enum fuse_memory_limit kind) {
    struct rlimit limit;
    if (getrlimit((__rlimit_resource_t)resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
        limit.rlim_cur > (rlim_t)INT64_MAX)
        return;
    int64_t room = (int64_t)limit.rlim_cur - mapped_bytes(kind == FUSE_LIMIT_DATA);
    room = room > 0 ? room - room / 16 + FUSE_PLAN_BASE_BYTES : 1; /* stacks, messages */
    if (room < memory->bytes)
        *memory = (struct fuse_memory){.bytes = room, .limit = kind};
}

struct fuse_memory fuse_api_memory(int local_size, int64_t node_bytes) {
    int64_t pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    int64_t bytes = pages > 0 && page > 0 ? pages * page : (int64_t)1 << 30;
    bytes -= bytes / 16; /* the system's own */
    struct fuse_memory memory = {.bytes = bytes, .limit = FUSE_LIMIT_PHYSICAL};
    walk_groups("/sys/fs/cgroup", NULL, "memory.max", take_memory, &bytes);
    walk_groups("/sys/fs/cgroup/memory", "memory", "memory.limit_in_bytes", take_memory, &bytes);
    if (bytes < memory.bytes)
        memory = (struct fuse_memory){.bytes = bytes, .limit = FUSE_LIMIT_GROUP};
    if (node_bytes > 0 && node_bytes < memory.bytes)
        memory = (struct fuse_memory){.bytes = node_bytes, .limit = FUSE_LIMIT_BATCH};
    memory.bytes /= local_size;
    bound_by(&memory, RLIMIT_AS, FUSE_LIMIT_ADDRESSES);
    bound_by(&memory, RLIMIT_DATA, FUSE_LIMIT_DATA);
    return memory;
}

enum fuse_status fuse_api_share_memory(struct fuse_memory *out, struct fuse_dist_job *job, int64_t node_bytes,
                                       struct fuse_error *err) {
    struct fuse_memory mine = fuse_api_memory(job->local_size, node_bytes);
    int64_t bytes = mine.bytes, limit;
    FUSE_TRY(job->comm->ops->reduce_int64(job->comm, FUSE_REDUCE_MIN, &bytes, 1, err));
    limit = mine.bytes == bytes ? (int64_t)mine.limit : INT64_MAX;
    FUSE_TRY(job->comm->ops->reduce_int64(job->comm, FUSE_REDUCE_MIN, &limit, 1, err));
    *out = (struct fuse_memory){.bytes = bytes, .limit = (enum fuse_memory_limit)limit};
    return FUSE_OK;
}

/* ---- cores ---- */

static void take_quota(void *context, const char *line) {
    int *fewest = context;
    long long quota, period;
    if (sscanf(line, "%lld %lld", &quota, &period) != 2 || quota <= 0 || period <= 0)
        return;
    long long cores = (quota + period - 1) / period;
    if (cores < *fewest)
        *fewest = (int)cores;
}

/* Processors of the set, hardware threads of one core counted once. */
static int count_cores(const cpu_set_t *set) {
    int cores = 0;
    for (int i = 0; i < CPU_SETSIZE; i++) {
        if (!CPU_ISSET(i, set))
            continue;
        char path[96], line[256];
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", i);
        int first = i;
        if (read_line(line, sizeof line, path))
            first = atoi(line);
        cores += first >= i || !CPU_ISSET(first, set);
    }
    return cores > 0 ? cores : 1;
}

/* Ranks that the launch system has not bound share all cores of their machine, and bound ones may share a socket: each
 * rank puts a digest of its host and mask in a table, and counts those that are equal to its own. */
static enum fuse_status count_sharing(int *out, struct fuse_dist_job *job, const cpu_set_t *set,
                                      struct fuse_error *err) {
    struct fuse_comm *comm = job->comm;
    *out = 1;
    if (comm->size == 1)
        return FUSE_OK;
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    uint64_t digest = fuse_hash_bytes(fuse_hash_string(FUSE_HASH_SEED, host), set, sizeof *set);
    int64_t mine = (int64_t)(digest >> 1); /* sums with zeros only, but signed */
    int64_t *table = calloc((size_t)comm->size, sizeof *table);
    enum fuse_status st = table ? FUSE_OK : fuse_fail(err, FUSE_EMEMORY, "no memory for %d ranks", comm->size);
    FUSE_TRY_GOTO(st, fuse_agree(comm, st, err), free_table);
    table[comm->rank] = mine;
    FUSE_TRY_GOTO(st, comm->ops->reduce_int64(comm, FUSE_REDUCE_SUM, table, comm->size, err), free_table);
    *out = 0;
    for (int r = 0; r < comm->size; r++)
        *out += table[r] == mine;

free_table:
    free(table);
    return st;
}

enum fuse_status fuse_api_cores(int *out, struct fuse_dist_job *job, struct fuse_error *err) {
    cpu_set_t set;
    CPU_ZERO(&set);
    int cores = sched_getaffinity(0, sizeof set, &set) == 0 ? count_cores(&set) : 1;
    int sharing;
    FUSE_TRY(count_sharing(&sharing, job, &set, err));
    int quota = cores * job->local_size;
    walk_groups("/sys/fs/cgroup", NULL, "cpu.max", take_quota, &quota);
    cores /= sharing;
    if (quota / job->local_size < cores)
        cores = quota / job->local_size;
    *out = cores > 0 ? cores : 1;
    return FUSE_OK;
}
