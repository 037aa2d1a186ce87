#include "io/hdf5_child.h"

#include "io/rawfile.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* What a question may cost, at least; more when it is about many bytes. Facts of a good file take milliseconds. */
enum { CPU_SECONDS = 5, WALL_SECONDS = 60, CPU_BYTES_A_SECOND = 8 << 20, WALL_BYTES_A_SECOND = 1 << 20 };
/* Memory beyond what this process has: libhdf5's caches, and chunks packed and unpacked. */
enum { FREE_BYTES = 192 << 20, COPIES_OF_A_CHUNK = 5 };

struct question {
    int64_t offset, bytes; /* where in the shared memory */
    struct fuse_box box;
};

struct answer {
    enum fuse_status status;
    struct fuse_error error;
    struct fuse_hdf5_facts facts; /* of the first */
    int64_t read_bytes;           /* from files, for this answer */
};

struct fuse_hdf5_child {
    pid_t pid;
    int socket, memory;
    char *path;
    char *mapped;
    size_t slot_bytes; /* of each slot, of which there are FUSE_HDF5_SLOTS in `mapped` */
    size_t asked_bytes[FUSE_HDF5_SLOTS];
    int64_t questions, answers; /* so far; question n has slot n % FUSE_HDF5_SLOTS */
};

/* ---- the child's side ---- */

/* Ours at the end of the table, the rest closed: MPI's connections are not ours to hold open. */
static void keep_only(int *socket, int *memory) {
    enum { SOCKET = 3, MEMORY = 4, FIRST_FREE = 5 };
    int null = open("/dev/null", O_RDWR);
    int high_socket = fcntl(*socket, F_DUPFD, 64), high_memory = fcntl(*memory, F_DUPFD, 64);
    for (int fd = 0; fd < SOCKET; fd++)
        dup2(null, fd);
    *socket = dup2(high_socket, SOCKET);
    *memory = dup2(high_memory, MEMORY);
    close_range(FIRST_FREE, ~0U, 0);
}

static void limit(int resource, rlim_t most) {
    struct rlimit now;
    getrlimit(resource, &now);
    now.rlim_cur = most < now.rlim_max ? most : now.rlim_max;
    setrlimit(resource, &now);
}

/* From now on, so much processor time. */
static void allow_seconds(int64_t bytes) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    limit(RLIMIT_CPU,
          (rlim_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec + 2 + CPU_SECONDS + bytes / CPU_BYTES_A_SECOND));
}

static void allow_memory(const struct fuse_hdf5_facts *facts) {
    long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file) {
        if (fscanf(file, "%lld", &pages) != 1)
            pages = 0;
        fclose(file);
    }
    if (pages == 0)
        return;
    int64_t chunk = facts ? (int64_t)fuse_dtype_bytes((enum fuse_dtype)facts->dtype) : 0;
    for (int64_t a = 0; facts && a < facts->rank; a++)
        chunk = fuse_sat_mul(chunk, facts->chunk[a]);
    int64_t most = fuse_sat_add(pages * sysconf(_SC_PAGESIZE), FREE_BYTES);
    limit(RLIMIT_AS, (rlim_t)fuse_sat_add(most, fuse_sat_mul(COPIES_OF_A_CHUNK, chunk)));
}

static void restrain(pid_t parent) {
    sigset_t none;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(0);
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    limit(RLIMIT_CORE, 0);
    allow_seconds(0);
    allow_memory(NULL);
}

static int64_t count_read(void) {
    long long bytes = 0;
    FILE *file = fopen("/proc/self/io", "r");
    if (!file)
        return 0;
    if (fscanf(file, "rchar: %lld", &bytes) != 1)
        bytes = 0;
    fclose(file);
    return bytes;
}

static bool send_answer(int socket, struct answer *answer, int64_t *read_before) {
    int64_t now = count_read();
    answer->read_bytes = now - *read_before;
    *read_before = now;
    return send(socket, answer, sizeof *answer, MSG_NOSIGNAL) == (ssize_t)sizeof *answer;
}

/* Maps the part of the shared memory that the question names, or keeps the mapping that holds it. */
static char *map_slot(int memory, char **mapped, size_t *mapped_bytes, const struct question *question) {
    size_t end = (size_t)(question->offset + question->bytes);
    if (end > *mapped_bytes) {
        if (*mapped)
            munmap(*mapped, *mapped_bytes);
        limit(RLIMIT_AS, RLIM_INFINITY);
        *mapped = mmap(NULL, end, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
        *mapped_bytes = end;
        if (*mapped == MAP_FAILED)
            return NULL;
    }
    return *mapped + question->offset;
}

static _Noreturn void serve(int socket, int memory, const char *path, const char *part) {
    struct fuse_hdf5_look *look;
    struct answer answer = {.status = FUSE_OK};
    struct question question;
    char *mapped = NULL;
    size_t mapped_bytes = 0;
    int64_t read_before = count_read();
    answer.status = fuse_hdf5_look_open(&look, &answer.facts, path, part, &answer.error);
    struct fuse_hdf5_facts facts = answer.facts;
    while (send_answer(socket, &answer, &read_before) && answer.status == FUSE_OK &&
           recv(socket, &question, sizeof question, 0) == (ssize_t)sizeof question) {
        char *to = map_slot(memory, &mapped, &mapped_bytes, &question);
        if (!to)
            _exit(1);
        allow_memory(&facts);
        allow_seconds(question.bytes);
        answer = (struct answer){.status = FUSE_OK};
        answer.status = fuse_hdf5_look_read(look, &question.box, to, &answer.error);
    }
    _exit(0);
}

/* ---- this side ---- */

void fuse_hdf5_child_close(struct fuse_hdf5_child *child) {
    if (!child)
        return;
    if (child->pid > 0) {
        kill(child->pid, SIGKILL);
        while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    if (child->mapped)
        munmap(child->mapped, FUSE_HDF5_SLOTS * child->slot_bytes);
    if (child->socket >= 0)
        close(child->socket);
    if (child->memory >= 0)
        close(child->memory);
    free(child->path);
    free(child);
}

/* It ended without an answer: why. */
static enum fuse_status fail_ended(struct fuse_hdf5_child *child, struct fuse_error *err) {
    int how = 0;
    pid_t got;
    while ((got = waitpid(child->pid, &how, 0)) < 0 && errno == EINTR)
        ;
    child->pid = 0;
    if (got > 0 && WIFSIGNALED(how) && WTERMSIG(how) == SIGXCPU)
        fuse_fail(err, FUSE_EINPUT, "%s is damaged: looking at it took more than %d seconds of processor time",
                  child->path, CPU_SECONDS);
    else if (got > 0 && WIFSIGNALED(how))
        fuse_fail(err, FUSE_EINPUT, "%s is damaged: the HDF5 library crashes on it (signal %d, %s)", child->path,
                  WTERMSIG(how), sigabbrev_np(WTERMSIG(how)) ? sigabbrev_np(WTERMSIG(how)) : "unknown");
    else
        fuse_fail(err, FUSE_EINPUT, "%s is damaged: the process that looked at it ended without an answer",
                  child->path);
    fuse_hint(err, "copy or write the file again");
    return FUSE_EINPUT;
}

static int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static enum fuse_status wait_answer(struct fuse_hdf5_child *child, struct answer *answer, size_t bytes,
                                    struct fuse_error *err) {
    int64_t seconds = WALL_SECONDS + (int64_t)bytes / WALL_BYTES_A_SECOND, end = now_ms() + 1000 * seconds;
    for (;;) {
        struct pollfd wanted = {.fd = child->socket, .events = POLLIN};
        int64_t left = end - now_ms();
        int ready = left > 0 ? poll(&wanted, 1, (int)(left < INT32_MAX ? left : INT32_MAX)) : 0;
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready == 0) {
            fuse_fail(err, FUSE_EINPUT, "%s: nothing was heard for %lld seconds about what it holds", child->path,
                      (long long)seconds);
            fuse_hint(err, "it is damaged, or its file system does not answer");
            return FUSE_EINPUT;
        }
        ssize_t got = ready > 0 ? recv(child->socket, answer, sizeof *answer, 0) : -1;
        if (got < 0 && errno == EINTR)
            continue;
        if (got != (ssize_t)sizeof *answer)
            return fail_ended(child, err);
        break;
    }
    fuse_rawfile_count_read(answer->read_bytes);
    if (answer->status != FUSE_OK)
        *err = answer->error;
    return answer->status;
}

static enum fuse_status start(struct fuse_hdf5_child *child, const char *part, struct fuse_error *err) {
    int pair[2];
    pid_t parent = getpid();
    child->memory = memfd_create("fuse-dist hdf5", MFD_CLOEXEC);
    if (child->memory < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        enum fuse_status st =
            fuse_fail(err, FUSE_EMEMORY, "no process can be started to look at %s: %s", child->path, strerror(errno));
        fuse_hint(err, "limits of the system or of the user are reached: see ulimit -a");
        return st;
    }
    child->pid = fork();
    if (child->pid == 0) {
        keep_only(&pair[1], &child->memory);
        restrain(parent);
        serve(pair[1], child->memory, child->path, part);
    }
    int code = errno;
    close(pair[1]);
    child->socket = pair[0];
    if (child->pid > 0)
        return FUSE_OK;
    enum fuse_status st =
        fuse_fail(err, FUSE_EMEMORY, "no process can be started to look at %s: %s", child->path, strerror(code));
    fuse_hint(err, "limits of the system or of the user are reached: see ulimit -a");
    return st;
}

enum fuse_status fuse_hdf5_child_open(struct fuse_hdf5_child **out, struct fuse_hdf5_facts *facts, const char *path,
                                      const char *part, struct fuse_error *err) {
    struct fuse_hdf5_child *child = calloc(1, sizeof *child);
    if (child)
        *child = (struct fuse_hdf5_child){.socket = -1, .memory = -1, .path = strdup(path)};
    if (!child || !child->path) {
        free(child);
        return fuse_fail(err, FUSE_EMEMORY, "no memory to open %s", path);
    }
    struct answer answer;
    enum fuse_status st = start(child, part, err);
    if (st == FUSE_OK)
        st = wait_answer(child, &answer, 0, err);
    if (st != FUSE_OK) {
        fuse_hdf5_child_close(child);
        return st;
    }
    *facts = answer.facts;
    *out = child;
    return FUSE_OK;
}

enum fuse_status fuse_hdf5_child_reserve(struct fuse_hdf5_child *child, size_t bytes, struct fuse_error *err) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), slot = (bytes + page - 1) / page * page;
    if (slot <= child->slot_bytes)
        return FUSE_OK;
    if (child->mapped)
        munmap(child->mapped, FUSE_HDF5_SLOTS * child->slot_bytes);
    child->slot_bytes = slot;
    child->mapped = NULL;
    void *mapped = MAP_FAILED;
    if (ftruncate(child->memory, (off_t)(FUSE_HDF5_SLOTS * slot)) == 0)
        mapped = mmap(NULL, FUSE_HDF5_SLOTS * slot, PROT_READ | PROT_WRITE, MAP_SHARED, child->memory, 0);
    if (mapped == MAP_FAILED)
        return fuse_fail(err, FUSE_EMEMORY, "no memory for a chunk of %zu bytes of %s", bytes, child->path);
    child->mapped = mapped;
    return FUSE_OK;
}

enum fuse_status fuse_hdf5_child_ask(struct fuse_hdf5_child *child, const struct fuse_box *box, size_t bytes,
                                     struct fuse_error *err) {
    int slot = (int)(child->questions++ % FUSE_HDF5_SLOTS);
    struct question question = {
        .offset = (int64_t)((size_t)slot * child->slot_bytes), .bytes = (int64_t)bytes, .box = *box};
    child->asked_bytes[slot] = bytes;
    ssize_t sent;
    do
        sent = send(child->socket, &question, sizeof question, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)sizeof question ? FUSE_OK : fail_ended(child, err);
}

enum fuse_status fuse_hdf5_child_answer(struct fuse_hdf5_child *child, const void **elements, struct fuse_error *err) {
    struct answer answer;
    int slot = (int)(child->answers++ % FUSE_HDF5_SLOTS);
    FUSE_TRY(wait_answer(child, &answer, child->asked_bytes[slot], err));
    *elements = child->mapped + (size_t)slot * child->slot_bytes;
    return FUSE_OK;
}
