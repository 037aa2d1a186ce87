/* To be preloaded: tells every mapping and every allocation of at least 1 MiB that a process asks for, and who asks.
 *   MAP_SHIM_LOG=DIR   a line for each in DIR/rank.N: call bytes module flags, in the order in which they come; and in DIR/rank.N.begin and
 *                      .end what /proc/self/maps says when the program itself has mapped its last large piece, and before it gives
 *                      back the first, between which a run lies
 * What malloc maps for itself is seen as the allocation that it serves; stacks of threads only in the maps. */
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TOLD ((size_t)1 << 20)
#define LARGE ((size_t)4 << 20) /* more than what aligning a mapping gives back */

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t n, size_t bytes);
void *__libc_realloc(void *at, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);

static bool has_ended;

static int open_log(const char *suffix, int flags) {
    const char *folder = getenv("MAP_SHIM_LOG"), *rank = getenv("OMPI_COMM_WORLD_RANK");
    char path[PATH_MAX];
    if (!folder)
        return -1;
    snprintf(path, sizeof path, "%s/rank.%s%s", folder, rank ? rank : "0", suffix);
    return (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0666);
}

/* true when the program itself asks, and not a library. */
static bool tell(const char *call, size_t bytes, const void *caller, int flags) {
    Dl_info info;
    char line[PATH_MAX + 128], program[PATH_MAX];
    bool known = dladdr(caller, &info) != 0 && info.dli_fname;
    const char *slash = known ? strrchr(info.dli_fname, '/') : NULL, *name = slash   ? slash + 1
                                                                             : known ? info.dli_fname
                                                                                     : "?";
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    program[length > 0 ? length : 0] = 0;
    const char *own = strrchr(program, '/');
    bool is_program = own && strcmp(own + 1, name) == 0;
    int n = snprintf(line, sizeof line, "%s %zu %s %d\n", call, bytes, is_program ? "program" : name, flags);
    int fd = open_log("", O_APPEND);
    if (fd >= 0 && write(fd, line, (size_t)n) != n)
        abort();
    if (fd >= 0)
        syscall(SYS_close, fd);
    return is_program;
}

static void save_maps(const char *suffix) {
    char piece[4096];
    ssize_t n;
    int to = open_log(suffix, O_TRUNC), from = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY);
    if (to < 0 || from < 0)
        return;
    while ((n = read(from, piece, sizeof piece)) > 0)
        if (write(to, piece, (size_t)n) != n)
            abort();
    syscall(SYS_close, from);
    syscall(SYS_close, to);
}

void *mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset) {
    void *out = (void *)syscall(SYS_mmap, at, bytes, protection, flags, fd, offset); // NOLINT
    if (bytes >= TOLD && tell("mmap", bytes, __builtin_return_address(0), flags) && bytes >= LARGE &&
        !(flags & MAP_NORESERVE))
        save_maps(".begin");
    return out;
}
__typeof__(mmap) mmap64 __attribute__((alias("mmap")));

int munmap(void *at, size_t bytes) {
    if (bytes >= LARGE && tell("munmap", bytes, __builtin_return_address(0), 0) && !has_ended) {
        has_ended = true;
        save_maps(".end");
    }
    return (int)syscall(SYS_munmap, at, bytes);
}

void *mremap(void *at, size_t before, size_t bytes, int flags, ...) {
    va_list more;
    va_start(more, flags);
    void *to = flags & MREMAP_FIXED ? va_arg(more, void *) : NULL;
    va_end(more);
    if (bytes >= TOLD)
        tell("mremap", bytes, __builtin_return_address(0), flags);
    return (void *)syscall(SYS_mremap, at, before, bytes, flags, to);
}

void *malloc(size_t bytes) {
    if (bytes >= TOLD)
        tell("malloc", bytes, __builtin_return_address(0), 0);
    return __libc_malloc(bytes);
}

void *calloc(size_t n, size_t bytes) {
    size_t all;
    if (!__builtin_mul_overflow(n, bytes, &all) && all >= TOLD)
        tell("calloc", all, __builtin_return_address(0), 0);
    return __libc_calloc(n, bytes);
}

void *realloc(void *at, size_t bytes) {
    if (bytes >= TOLD)
        tell("realloc", bytes, __builtin_return_address(0), 0);
    return __libc_realloc(at, bytes);
}

void *memalign(size_t alignment, size_t bytes) {
    if (bytes >= TOLD)
        tell("memalign", bytes, __builtin_return_address(0), 0);
    return __libc_memalign(alignment, bytes);
}
__typeof__(memalign) aligned_alloc __attribute__((alias("memalign")));

int posix_memalign(void **out, size_t alignment, size_t bytes) {
    if (bytes >= TOLD)
        tell("posix_memalign", bytes, __builtin_return_address(0), 0);
    void *at = __libc_memalign(alignment, bytes);
    if (!at)
        return 12; /* ENOMEM */
    *out = at;
    return 0;
}
