#include "io/output_file.h"

#include "io/rawfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

enum {
    NAME_BYTES = 200,                        /* of the final name: the temporary one must fit in 255 */
    TEMPORARY_EXTRA = sizeof "/..part" + 16, /* and 16 hexadecimal digits */
};

static struct {
    void (*told)(void *context, const char *temporary);
    void *context;
} announcement;

void fuse_output_file_announce(void (*told)(void *context, const char *temporary), void *context) {
    announcement.told = told;
    announcement.context = context;
}

/* Where the file name starts. */
static size_t folder_length(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

static enum fuse_status new_file(struct fuse_output_file **out, const char *path, bool is_creator,
                                 struct fuse_error *err) {
    struct fuse_output_file *file = calloc(1, sizeof *file);
    size_t length = strlen(path);
    if (file) {
        *file = (struct fuse_output_file){.fd = -1, .is_creator = is_creator};
        file->path = malloc(length + 1);
        file->temporary = malloc(length + TEMPORARY_EXTRA);
    }
    if (!file || !file->path || !file->temporary) {
        fuse_output_file_discard(file);
        return fuse_fail(err, FUSE_EMEMORY, "no memory to open %s", path);
    }
    memcpy(file->path, path, length + 1);
    *out = file;
    return FUSE_OK;
}

static void name_temporary(struct fuse_output_file *file, uint64_t token) {
    size_t folder = folder_length(file->path);
    snprintf(file->temporary, strlen(file->path) + TEMPORARY_EXTRA, "%.*s.%.*s.%016llx.part", (int)folder, file->path,
             NAME_BYTES, file->path + folder, (unsigned long long)token);
}

enum fuse_status fuse_output_file_check(const char *path, struct fuse_error *err) {
    struct stat info;
    enum fuse_status st = FUSE_OK;
    if (!path[folder_length(path)])
        return fuse_fail(err, FUSE_EOUTPUT, "cannot write '%s': it names no file", path);
    if (stat(path, &info) != 0) {
        /* The temporary name is shortened; that the final one is too long would show when other files are in place. */
        if (errno == ENAMETOOLONG)
            st = fuse_fail(err, FUSE_EOUTPUT, "cannot write %s: %s", path, strerror(errno));
    } else if (S_ISDIR(info.st_mode)) {
        st = fuse_fail(err, FUSE_EOUTPUT, "cannot write %s: it is a folder", path);
    } else if (!S_ISREG(info.st_mode)) {
        st = fuse_fail(err, FUSE_EOUTPUT, "cannot write %s: it is not a regular file", path);
    }
    return st;
}

static enum fuse_status check_sink(const char *path, struct fuse_error *err) {
    enum fuse_status st = fuse_output_file_check(path, err);
    if (st != FUSE_OK)
        fuse_hint(err, "choose another name for the sink");
    return st;
}

static bool is_folder(const char *name, int length) {
    struct stat info;
    char *path = strndup(name, (size_t)length);
    bool is = path && stat(path, &info) == 0 && S_ISDIR(info.st_mode);
    free(path);
    return is;
}

static enum fuse_status fail_create(const struct fuse_output_file *file, struct fuse_error *err) {
    int code = errno;
    size_t folder = folder_length(file->path);
    int shown = folder > 1 ? (int)folder - 1 : (int)folder;
    const char *name = folder > 0 ? file->path : ".";
    shown = folder > 0 ? shown : 1;
    if (code == ENOENT && !is_folder(name, shown)) { /* /proc is one, and says the same */
        enum fuse_status st =
            fuse_fail(err, FUSE_EOUTPUT, "cannot write %s: the folder '%.*s' does not exist", file->path, shown, name);
        fuse_hint(err, "create it first: mkdir -p '%.*s'", shown, name);
        return st;
    }
    fuse_fail(err, FUSE_EOUTPUT, "cannot write %s: creating a file in '%.*s' failed: %s", file->path, shown, name,
              strerror(code));
    fuse_hint(err, "sinks need a folder in which the user of the job may create files");
    return FUSE_EOUTPUT;
}

/* What cannot fit is not tried: until it fails it would take all the room that there is, from others too. */
static bool may_fit(int fd, int64_t bytes) {
    struct statvfs system;
    struct stat file;
    if (fstatvfs(fd, &system) != 0 || fstat(fd, &file) != 0 || system.f_bfree == 0 || system.f_frsize == 0)
        return true;
    int64_t more = bytes - (int64_t)file.st_blocks * 512;
    return more <= 0 || (uint64_t)more / system.f_frsize <= (uint64_t)system.f_bfree;
}

/* Not posix_fallocate: where the file system cannot reserve space, it would write every block. */
static int allocate(int fd, int64_t bytes) {
    int code;
    if (!may_fit(fd, bytes))
        return ENOSPC;
    do
        code = fallocate(fd, 0, 0, (off_t)bytes) == 0 ? 0 : errno;
    while (code == EINTR);
    return code;
}

static enum fuse_status check_room(int code, const struct fuse_output_file *file, int64_t bytes,
                                   struct fuse_error *err) {
    if (code == 0)
        return FUSE_OK;
    enum fuse_status st = fuse_fail(err, FUSE_EOUTPUT, "cannot write %s: no room for %lld bytes: %s", file->path,
                                    (long long)bytes, strerror(code));
    fuse_rawfile_hint_room(code, err);
    return st;
}

enum fuse_status fuse_output_file_reserve(const struct fuse_output_file *file, int64_t bytes, struct fuse_error *err) {
    if (bytes == 0)
        return FUSE_OK;
    int code = allocate(file->fd, bytes);
    if (code == EOPNOTSUPP || code == ENOSYS)
        code = ftruncate(file->fd, (off_t)bytes) == 0 ? 0 : errno;
    return check_room(code, file, bytes, err);
}

/* Never 0. */
static uint64_t draw_token(void) {
    uint64_t random = 0;
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
        random = (uint64_t)getpid() << 32 ^ (uint64_t)time(NULL);
    return random | 1;
}

static enum fuse_status create(struct fuse_output_file *file, const void *head, size_t head_bytes, int64_t bytes,
                               struct fuse_error *err) {
    file->fd = open(file->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file->fd < 0)
        return fail_create(file, err);
    file->is_created = true;
    FUSE_TRY(fuse_output_file_reserve(file, bytes, err));
    return fuse_rawfile_write(file->fd, head, head_bytes, 0, file->path, err);
}

static enum fuse_status open_created(struct fuse_output_file *file, struct fuse_error *err) {
    file->fd = open(file->temporary, O_RDWR | O_CLOEXEC);
    if (file->fd >= 0)
        return FUSE_OK;
    enum fuse_status st = fuse_fail(err, FUSE_EOUTPUT,
                                    "cannot write %s: this rank cannot open the file that rank 0 "
                                    "created for it: %s",
                                    file->path, strerror(errno));
    if (errno == ENOENT)
        fuse_hint(err, "outputs need a folder that every node sees");
    return st;
}

enum fuse_status fuse_output_file_open(struct fuse_output_file **out, struct fuse_comm *comm, enum fuse_status local,
                                       const char *path, const void *head, size_t head_bytes, int64_t bytes,
                                       struct fuse_error *err) {
    struct fuse_output_file *file = NULL;
    if (local == FUSE_OK)
        local = new_file(&file, path, comm->rank == 0, err);
    if (local == FUSE_OK && comm->rank == 0)
        local = check_sink(path, err);
    uint64_t token = draw_token(); /* rank 0's counts */
    enum fuse_status sent = comm->ops->broadcast(comm, &token, sizeof token, 0, err);
    local = fuse_agree(comm, local == FUSE_OK ? sent : local, err);
    if (local == FUSE_OK) {
        name_temporary(file, token);
        if (announcement.told)
            announcement.told(announcement.context, file->temporary);
        /* Everybody has announced the name before there is such a file. */
        local = fuse_agree(comm, FUSE_OK, err);
    }
    if (local == FUSE_OK && comm->rank == 0)
        local = create(file, head, head_bytes, bytes, err);
    local = fuse_agree(comm, local, err);
    if (local == FUSE_OK && comm->rank != 0)
        local = open_created(file, err);
    local = fuse_agree(comm, local, err);
    if (local != FUSE_OK) {
        fuse_output_file_discard(file);
        return local;
    }
    *out = file;
    return FUSE_OK;
}

void fuse_output_file_forget(struct fuse_output_file *file) {
    if (file->is_created)
        unlink(file->temporary);
    file->is_created = false;
}

enum fuse_status fuse_output_file_finish(struct fuse_output_file *file, struct fuse_error *err) {
    int fd = file->fd;
    file->fd = -1;
    if (fd >= 0 && close(fd) != 0 && errno != EINTR)
        return fuse_fail(err, FUSE_EIO, "writing %s failed: %s", file->path, strerror(errno));
    return FUSE_OK;
}

enum fuse_status fuse_output_file_commit(struct fuse_output_file *file, struct fuse_error *err) {
    enum fuse_status st = FUSE_OK;
    if (file->is_created) {
        if (rename(file->temporary, file->path) == 0)
            file->is_created = false;
        else
            st = fuse_fail(err, FUSE_EOUTPUT, "cannot write %s: %s", file->path, strerror(errno));
    }
    fuse_output_file_discard(file);
    return st;
}

void fuse_output_file_discard(struct fuse_output_file *file) {
    if (!file)
        return;
    if (file->fd >= 0)
        close(file->fd);
    fuse_output_file_forget(file);
    free(file->path);
    free(file->temporary);
    free(file);
}
