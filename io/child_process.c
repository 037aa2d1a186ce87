#include "io/child_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- the child's side ---- */

/* MPI's connections are not ours to hold open. */
static void keep_only(int *socket, int *memory) {
    enum { SOCKET = 3, MEMORY = 4, FIRST_FREE = 5, OUT_OF_THE_WAY = 64 };
    int null = open("/dev/null", O_RDWR);
    int high_socket = fcntl(*socket, F_DUPFD, OUT_OF_THE_WAY), high_memory = fcntl(*memory, F_DUPFD, OUT_OF_THE_WAY);
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

void fuse_child_allow_seconds(int64_t seconds) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    limit(RLIMIT_CPU, (rlim_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec + 2 + seconds));
}

void fuse_child_allow_memory(int64_t bytes) {
    long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file)
        return;
    if (fscanf(file, "%lld", &pages) == 1)
        limit(RLIMIT_AS, (rlim_t)(pages * sysconf(_SC_PAGESIZE)) + (rlim_t)bytes);
    fclose(file);
}

static void restrain(pid_t parent) {
    sigset_t none;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(0);
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    signal(SIGXFSZ, SIG_IGN); /* an error where it is written is better */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    limit(RLIMIT_CORE, 0);
}

/* ---- this side ---- */

static enum fuse_status fail_start(int code, const char *what, struct fuse_error *err) {
    fuse_fail(err, FUSE_EMEMORY, "no process can be started to %s: %s", what, strerror(code));
    fuse_hint(err, "a limit of the system or of the user is reached: see ulimit -a");
    return FUSE_EMEMORY;
}

enum fuse_status fuse_child_start(struct fuse_child *out, void (*work)(int socket, int memory, void *context),
                                  void *context, const char *what, struct fuse_error *err) {
    int pair[2] = {-1, -1};
    pid_t parent = getpid();
    int memory = memfd_create("fuse-dist", MFD_CLOEXEC);
    if (memory < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        enum fuse_status st = fail_start(errno, what, err);
        if (memory >= 0)
            close(memory);
        return st;
    }
    pid_t pid = fork();
    if (pid == 0) {
        keep_only(&pair[1], &memory);
        restrain(parent);
        work(pair[1], memory, context);
        _exit(0);
    }
    int code = errno;
    close(pair[1]);
    if (pid < 0) {
        close(pair[0]);
        close(memory);
        return fail_start(code, what, err);
    }
    *out = (struct fuse_child){.pid = pid, .socket = pair[0], .memory = memory};
    return FUSE_OK;
}

static pid_t wait_for(pid_t pid, int *how) {
    pid_t got;
    while ((got = waitpid(pid, how, 0)) < 0 && errno == EINTR)
        ;
    return got;
}

static int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

enum fuse_child_outcome fuse_child_receive(struct fuse_child *child, void *to, size_t bytes, int64_t seconds,
                                           int *signal_number) {
    int64_t end = now_ms() + 1000 * seconds;
    ssize_t got;
    *signal_number = 0;
    if (child->pid <= 0)
        return FUSE_CHILD_ENDED;
    for (;;) {
        struct pollfd wanted = {.fd = child->socket, .events = POLLIN};
        int64_t left = end - now_ms();
        int ready = left > 0 ? poll(&wanted, 1, (int)(left < INT32_MAX ? left : INT32_MAX)) : 0;
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready == 0)
            return FUSE_CHILD_SILENT;
        got = ready > 0 ? recv(child->socket, to, bytes, 0) : -1;
        if (got >= 0 || errno != EINTR)
            break;
    }
    if (got == (ssize_t)bytes)
        return FUSE_CHILD_ANSWERED;
    int how = 0;
    kill(child->pid, SIGKILL); /* nothing, once it has ended */
    if (wait_for(child->pid, &how) > 0 && WIFSIGNALED(how))
        *signal_number = WTERMSIG(how);
    child->pid = 0;
    return FUSE_CHILD_ENDED;
}

bool fuse_child_send(int socket, const void *from, size_t bytes) {
    ssize_t sent;
    do
        sent = send(socket, from, bytes, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)bytes;
}

void fuse_child_end(struct fuse_child *child) {
    int how;
    if (child->pid > 0) {
        kill(child->pid, SIGKILL);
        wait_for(child->pid, &how);
    }
    if (child->socket > 0)
        close(child->socket);
    if (child->memory > 0)
        close(child->memory);
    *child = (struct fuse_child){.pid = 0};
}
