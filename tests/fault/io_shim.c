/* To be preloaded: counts the calls by which a process reads and writes files below one folder, tells them, and lets one
 * of them fail. Environment:
 *   IO_SHIM_FOLDER=DIR             the files that count; an absolute path without links
 *   IO_SHIM_LOG=DIR                a line per call in DIR/rank.N: class call file bytes offset; offset -1: at the position
 *   IO_SHIM_FAULT=CLASS:N@R:WHAT   the N-th call of a class on rank R: EIO, ENOSPC: fails with it; kill: the process ends
 *                                  before it; short: this and every later one moves at most 777 bytes or is interrupted
 * Classes: open (for reading), create (open for writing), read, write, room (fallocate, ftruncate), sync, close (of what
 * was opened for writing), rename. Calls of children have two classes of their own, counted over all of them: look (to read),
 * make (to write); kill ends the child. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { MOST_FILES = 4096, SHORT_BYTES = 777 };

static const char *const class_name[] = {"open", "create", "read",   "write", "room",
                                         "sync", "close",  "rename", "look",  "make"};
enum class { OPEN, CREATE, READ, WRITE, ROOM, SYNC, CLOSE, RENAME, LOOK, MAKE, CLASSES };
enum action { NONE, FAIL, KILL, SHORT };

static struct {
    const char *folder, *log;
    int rank;
    pid_t pid;
    enum class class;
    long n; /* 0: no fault */
    enum action action;
    int code; /* of errno */
} shim;
static atomic_long *calls;                                      /* [CLASSES], shared with children */
static atomic_bool is_ours[MOST_FILES], is_written[MOST_FILES]; /* by file descriptor */

void io_shim_begin(void);

/* At the start of the process, and of each run of those that a standing job does: reads the environment. */
__attribute__((constructor)) void io_shim_begin(void) {
    const char *rank = getenv("OMPI_COMM_WORLD_RANK"), *fault = getenv("IO_SHIM_FAULT");
    char class[16], what[16];
    int on;
    memset(&shim, 0, sizeof shim);
    shim.folder = getenv("IO_SHIM_FOLDER");
    shim.log = getenv("IO_SHIM_LOG");
    shim.pid = getpid();
    /* Of this process, which a standing job may have forked from one that began before. */
    void *shared = mmap(NULL, CLASSES * sizeof *calls, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        abort();
    calls = shared;
    shim.rank = rank ? atoi(rank) : 0;
    if (!fault || sscanf(fault, "%15[a-z]:%ld@%d:%15s", class, &shim.n, &on, what) != 4) {
        shim.n = 0;
        return;
    }
    if (on != shim.rank)
        shim.n = 0;
    while (shim.class < CLASSES - 1 && strcmp(class_name[shim.class], class) != 0)
        shim.class ++;
    shim.code = strcmp(what, "ENOSPC") == 0 ? ENOSPC : EIO;
    shim.action = strcmp(what, "kill") == 0 ? KILL : strcmp(what, "short") == 0 ? SHORT : FAIL;
}

static bool is_below(const char *path) {
    size_t n = shim.folder ? strlen(shim.folder) : 0;
    return n > 0 && strncmp(path, shim.folder, n) == 0 && (path[n] == '/' || path[n] == 0);
}

static void path_of(char *out, int fd) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, out, PATH_MAX - 1);
    out[n > 0 ? n : 0] = 0;
}

static void tell(enum class class, const char *call, const char *path, long long bytes, long long offset) {
    char name[PATH_MAX], line[2 * PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (!shim.log)
        return;
    snprintf(name, sizeof name, "%s/rank.%d", shim.log, shim.rank);
    int n = snprintf(line, sizeof line, "%s %s %s %lld %lld\n", class_name[class], call, slash ? slash + 1 : path,
                     bytes, offset);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0 || syscall(SYS_write, fd, line, (size_t)n) != n)
        abort();
    syscall(SYS_close, fd);
}

/* Notes a call; false: it fails, and errno is set. `bytes` may shrink; NULL where nothing is transferred. */
static bool goes_on(enum class class, const char *call, const char *path, size_t *bytes, long long offset) {
    if (getpid() != shim.pid) {
        if (!is_below(path)) /* its descriptors are not those that this process knew */
            return true;
        class = class == OPEN || class == READ ? LOOK : MAKE;
    }
    tell(class, call, path, bytes ? (long long)*bytes : 0, offset);
    long n = atomic_fetch_add(&calls[class], 1) + 1;
    if (shim.n == 0 || class != shim.class || n < shim.n || (n > shim.n && shim.action != SHORT))
        return true;
    if (shim.action == KILL)
        raise(SIGKILL);
    if (shim.action == FAIL) {
        errno = shim.code;
        return false;
    }
    if (bytes && n % 2) {
        errno = EINTR;
        return false;
    }
    if (bytes && *bytes > SHORT_BYTES)
        *bytes = SHORT_BYTES;
    return true;
}

static bool fd_goes_on(int fd, enum class class, const char *call, size_t *bytes, long long offset) {
    char path[PATH_MAX];
    if (fd < 0 || fd >= MOST_FILES || !is_ours[fd])
        return true;
    path_of(path, fd);
    return goes_on(class, call, path, bytes, offset);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
/* Both names of a function whose offsets are of 64 bits anyway. */
#define ALSO(name, other) __typeof__(name) other __attribute__((alias(#name)))

/* ---- opening and closing ---- */

static int open_at(int folder, const char *path, int flags, mode_t mode) {
    char full[PATH_MAX];
    int fd = (int)syscall(SYS_openat, folder, path, flags, mode);
    if (fd < 0 || fd >= MOST_FILES)
        return fd;
    path_of(full, fd);
    struct stat info;
    is_ours[fd] = is_below(full) && fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
    is_written[fd] = (flags & O_ACCMODE) != O_RDONLY;
    if (!is_ours[fd] || goes_on(is_written[fd] ? CREATE : OPEN, "open", full, NULL, -1))
        return fd;
    int code = errno;
    if (flags & O_CREAT && flags & O_EXCL) /* as if it had never been */
        unlink(full);
    syscall(SYS_close, fd);
    is_ours[fd] = false;
    errno = code;
    return -1;
}

#define OPEN_MODE(flags)                     \
    mode_t mode = 0;                         \
    if ((flags) & (O_CREAT | __O_TMPFILE)) { \
        va_list more;                        \
        va_start(more, flags);               \
        mode = va_arg(more, mode_t);         \
        va_end(more);                        \
    }

int open(const char *path, int flags, ...) {
    OPEN_MODE(flags)
    return open_at(AT_FDCWD, path, flags, mode);
}
ALSO(open, open64);

int openat(int folder, const char *path, int flags, ...) {
    OPEN_MODE(flags)
    return open_at(folder, path, flags, mode);
}
ALSO(openat, openat64);

int close(int fd) {
    bool fine = !(fd >= 0 && fd < MOST_FILES && is_written[fd]) || fd_goes_on(fd, CLOSE, "close", NULL, -1);
    int code = errno;
    if (fd >= 0 && fd < MOST_FILES)
        is_ours[fd] = is_written[fd] = false;
    if ((int)syscall(SYS_close, fd) != 0)
        return -1;
    errno = code;
    return fine ? 0 : -1;
}

int rename(const char *from, const char *to) {
    char full[PATH_MAX];
    if (realpath(from, full) && is_below(full) && !goes_on(RENAME, "rename", to, NULL, -1))
        return -1;
    return REAL(rename)(from, to);
}

/* ---- reading and writing ---- */

ssize_t read(int fd, void *to, size_t bytes) {
    return fd_goes_on(fd, READ, "read", &bytes, -1) ? REAL(read)(fd, to, bytes) : -1;
}

ssize_t pread(int fd, void *to, size_t bytes, off_t offset) {
    return fd_goes_on(fd, READ, "pread", &bytes, offset) ? REAL(pread)(fd, to, bytes, offset) : -1;
}
ALSO(pread, pread64);

ssize_t write(int fd, const void *from, size_t bytes) {
    return fd_goes_on(fd, WRITE, "write", &bytes, -1) ? REAL(write)(fd, from, bytes) : -1;
}

ssize_t pwrite(int fd, const void *from, size_t bytes, off_t offset) {
    return fd_goes_on(fd, WRITE, "pwrite", &bytes, offset) ? REAL(pwrite)(fd, from, bytes, offset) : -1;
}
ALSO(pwrite, pwrite64);

/* Of vectors, a short transfer moves the first part alone. */
static size_t vector_bytes(const struct iovec *part, int parts) {
    size_t bytes = 0;
    for (int i = 0; i < parts; i++)
        bytes += part[i].iov_len;
    return bytes;
}

#define VECTOR(name, class, offset, call, single)              \
    size_t all = vector_bytes(part, parts), bytes = all;       \
    if (!fd_goes_on(fd, class, #name, &bytes, offset))         \
        return -1;                                             \
    if (bytes == all)                                          \
        return REAL(name) call;                                \
    bytes = bytes < part[0].iov_len ? bytes : part[0].iov_len; \
    return single;

ssize_t readv(int fd, const struct iovec *part,
              int parts){VECTOR(readv, READ, -1, (fd, part, parts), REAL(read)(fd, part[0].iov_base, bytes))}

ssize_t writev(int fd, const struct iovec *part,
               int parts){VECTOR(writev, WRITE, -1, (fd, part, parts), REAL(write)(fd, part[0].iov_base, bytes))}

ssize_t preadv(int fd, const struct iovec *part, int parts,
               off_t offset){VECTOR(preadv, READ, offset, (fd, part, parts, offset),
                                    REAL(pread)(fd, part[0].iov_base, bytes, offset))} ALSO(preadv, preadv64);

ssize_t pwritev(int fd, const struct iovec *part, int parts,
                off_t offset){VECTOR(pwritev, WRITE, offset, (fd, part, parts, offset),
                                     REAL(pwrite)(fd, part[0].iov_base, bytes, offset))} ALSO(pwritev, pwritev64);

/* ---- room, and what is to be durable ---- */

int fallocate(int fd, int mode, off_t offset, off_t bytes) {
    return fd_goes_on(fd, ROOM, "fallocate", NULL, bytes) ? REAL(fallocate)(fd, mode, offset, bytes) : -1;
}
ALSO(fallocate, fallocate64);

int ftruncate(int fd, off_t bytes) {
    return fd_goes_on(fd, ROOM, "ftruncate", NULL, bytes) ? REAL(ftruncate)(fd, bytes) : -1;
}
ALSO(ftruncate, ftruncate64);

int fsync(int fd) {
    return fd_goes_on(fd, SYNC, "fsync", NULL, -1) ? REAL(fsync)(fd) : -1;
}

int fdatasync(int fd) {
    return fd_goes_on(fd, SYNC, "fdatasync", NULL, -1) ? REAL(fdatasync)(fd) : -1;
}
