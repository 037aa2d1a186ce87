/* Seconds in which processes read or write equal ranges of one file at the same time, 4 MiB at a time, from or to memory
 * of huge pages that each touched before: the reference of speed_io.py.
 * usage: bare_io read|write FILE OFFSET BYTES [PROCESSES]      2 processes; prints the slowest one's seconds */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST_PROCESSES = 64 };
static const size_t part_bytes = (size_t)4 << 20, huge_bytes = (size_t)2 << 20;

/* Shared by the processes. */
struct meeting {
    pthread_barrier_t barrier;
    double seconds[MOST_PROCESSES];
};

static void fail(const char *what) {
    fprintf(stderr, "bare_io: %s: %s\n", what, strerror(errno));
    _exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static char *touched_memory(size_t bytes) {
    size_t mapped = bytes + huge_bytes;
    char *at = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        fail("mmap");
    at += (huge_bytes - (uintptr_t)at % huge_bytes) % huge_bytes;
    (void)madvise(at, bytes, MADV_HUGEPAGE);
    for (size_t i = 0; i < bytes; i += 4096)
        at[i] = (char)i;
    return at;
}

static void transfer(int fd, int is_write, char *data, size_t bytes, off_t offset) {
    for (size_t done = 0; done < bytes;) {
        size_t part = bytes - done < part_bytes ? bytes - done : part_bytes;
        ssize_t moved = is_write ? pwrite(fd, data + done, part, offset + (off_t)done)
                                 : pread(fd, data + done, part, offset + (off_t)done);
        if (moved <= 0)
            fail(is_write ? "pwrite" : "pread");
        done += (size_t)moved;
    }
}

static void work(struct meeting *meeting, int which, const char *path, int is_write, off_t offset, size_t bytes) {
    int fd = open(path, is_write ? O_WRONLY : O_RDONLY);
    if (fd < 0)
        fail(path);
    char *data = touched_memory(bytes);
    pthread_barrier_wait(&meeting->barrier);
    double start = now();
    transfer(fd, is_write, data, bytes, offset);
    meeting->seconds[which] = now() - start;
    _exit(0);
}

int main(int argc, char **argv) {
    int processes = argc > 5 ? atoi(argv[5]) : 2;
    if (argc < 5 || processes < 1 || processes > MOST_PROCESSES) {
        fprintf(stderr, "usage: bare_io read|write FILE OFFSET BYTES [PROCESSES]\n");
        return 2;
    }
    int is_write = strcmp(argv[1], "write") == 0;
    long long offset = atoll(argv[3]), bytes = atoll(argv[4]);
    if (is_write) { /* a new file with its room reserved, as the program's own */
        (void)unlink(argv[2]);
        int fd = open(argv[2], O_WRONLY | O_CREAT | O_EXCL, 0666);
        if (fd < 0 || fallocate(fd, 0, 0, offset + bytes) != 0)
            fail(argv[2]);
        close(fd);
    }
    struct meeting *meeting = mmap(NULL, sizeof *meeting, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_barrierattr_t shared;
    if (meeting == MAP_FAILED || pthread_barrierattr_init(&shared) != 0 ||
        pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED) != 0 ||
        pthread_barrier_init(&meeting->barrier, &shared, (unsigned)processes) != 0)
        fail("barrier");
    for (int p = 0; p < processes; p++)
        if (fork() == 0)
            work(meeting, p, argv[2], is_write, offset + (off_t)(bytes * p / processes),
                 (size_t)(bytes * (p + 1) / processes - bytes * p / processes));
    double slowest = 0;
    for (int p = 0, status; p < processes; p++)
        if (wait(&status) < 0 || status != 0)
            return 1;
    for (int p = 0; p < processes; p++)
        slowest = meeting->seconds[p] > slowest ? meeting->seconds[p] : slowest;
    printf("%.6f\n", slowest);
    return 0;
}
