#include "io/rawfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Linux moves at most 2^31 - 4096 bytes a call. */
static const size_t largest_read = (size_t)1 << 30;
/* Writers of one file take turns, a call each. On ext4, two writers of 512 MiB each were faster with pieces that end at
 * multiples of this than with a call each, or with pieces of 4 MiB. */
static const size_t largest_write = (size_t)2 << 20;

static enum fuse_status check_regular(const struct stat *info, const char *path, struct fuse_error *err) {
    if (S_ISDIR(info->st_mode))
        return fuse_fail(err, FUSE_EINPUT, "%s is a folder, not a file", path);
    if (!S_ISREG(info->st_mode))
        return fuse_fail(err, FUSE_EINPUT, "%s is not a regular file", path);
    return FUSE_OK;
}

enum fuse_status fuse_rawfile_open(int *out, int64_t *bytes, const char *path, struct fuse_error *err) {
    struct stat info;
    if (stat(path, &info) != 0)
        return fuse_fail(err, FUSE_EINPUT, "cannot read %s: %s", path, strerror(errno));
    FUSE_TRY(check_regular(&info, path, err));
    /* The file may have been replaced since: O_NONBLOCK keeps a FIFO from hanging here, and the second look sees it. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return fuse_fail(err, FUSE_EINPUT, "cannot read %s: %s", path, strerror(errno));
    enum fuse_status st = FUSE_OK;
    if (fstat(fd, &info) != 0)
        st = fuse_fail(err, FUSE_EINPUT, "cannot read %s: %s", path, strerror(errno));
    else
        st = check_regular(&info, path, err);
    if (st != FUSE_OK) {
        close(fd);
        return st;
    }
    *out = fd;
    *bytes = info.st_size;
    return FUSE_OK;
}

static _Atomic int64_t bytes_read;

int64_t fuse_rawfile_bytes_read(void) {
    return atomic_load_explicit(&bytes_read, memory_order_relaxed);
}

void fuse_rawfile_count_read(int64_t bytes) {
    atomic_fetch_add_explicit(&bytes_read, bytes, memory_order_relaxed);
}

enum fuse_status fuse_rawfile_read(int fd, void *to, size_t bytes, int64_t offset, const char *path,
                                   struct fuse_error *err) {
    for (size_t done = 0; done < bytes;) {
        size_t part = bytes - done < largest_read ? bytes - done : largest_read;
        ssize_t got = pread(fd, (char *)to + done, part, (off_t)(offset + (int64_t)done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fuse_fail(err, FUSE_EIO, "reading %s failed: %s", path, strerror(errno));
        if (got == 0)
            return fuse_fail(err, FUSE_EIO, "%s became shorter while it was read", path);
        done += (size_t)got;
        fuse_rawfile_count_read(got);
    }
    return FUSE_OK;
}

void fuse_rawfile_hint_room(int code, struct fuse_error *err) {
    if (code == ENOSPC || code == EDQUOT)
        fuse_hint(err, "make room there, or write to another file system");
}

enum fuse_status fuse_rawfile_write(int fd, const void *from, size_t bytes, int64_t offset, const char *path,
                                    struct fuse_error *err) {
    for (size_t done = 0; done < bytes;) {
        size_t part = largest_write - (size_t)(offset + (int64_t)done) % largest_write;
        part = bytes - done < part ? bytes - done : part;
        ssize_t put = pwrite(fd, (const char *)from + done, part, (off_t)(offset + (int64_t)done));
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0) {
            int code = put < 0 ? errno : ENOSPC;
            enum fuse_status st = fuse_fail(err, FUSE_EIO, "writing %s failed: %s", path, strerror(code));
            fuse_rawfile_hint_room(code, err);
            return st;
        }
        done += (size_t)put;
    }
    return FUSE_OK;
}
