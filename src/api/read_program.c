#include "api/program.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Places in a program are 32 bits wide; a program beyond this is a mistaken file name. */
#define MAX_PROGRAM_BYTES ((size_t)1 << 30)

static enum fuse_status read_all(char **out, size_t *out_bytes, int file, const char *path, struct fuse_error *err) {
    size_t capacity = 1 << 16, bytes = 0;
    char *text = malloc(capacity);
    while (text) {
        ssize_t got = read(file, text + bytes, capacity - bytes);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            fuse_fail(err, FUSE_EINPUT, "cannot read program '%s': %s", path, strerror(errno));
            break;
        }
        if (got == 0) {
            *out = text;
            *out_bytes = bytes;
            return FUSE_OK;
        }
        bytes += (size_t)got;
        if (bytes > MAX_PROGRAM_BYTES) {
            fuse_fail(err, FUSE_EINPUT, "cannot read program '%s': it is larger than 1 GiB", path);
            break;
        }
        if (bytes == capacity) {
            char *larger = realloc(text, capacity *= 2);
            if (!larger)
                break;
            text = larger;
        }
    }
    free(text);
    return fuse_fail(err, FUSE_EMEMORY, "no memory for program '%s'", path); /* unless another cause was recorded */
}

static enum fuse_status read_file(char **out, size_t *bytes, const char *path, struct fuse_error *err) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return fuse_fail(err, FUSE_EINPUT, "cannot read program '%s': %s", path, strerror(errno));
    struct stat status;
    enum fuse_status st;
    if (fstat(file, &status) == 0 && S_ISREG(status.st_mode) && (size_t)status.st_size > MAX_PROGRAM_BYTES)
        st = fuse_fail(err, FUSE_EINPUT, "cannot read program '%s': it is larger than 1 GiB", path);
    else
        st = read_all(out, bytes, file, path, err);
    close(file);
    return st;
}

enum fuse_status fuse_api_read_program(struct fuse_program_file *out, struct fuse_dist_program *program,
                                       struct fuse_error *err) {
    struct fuse_comm *comm = program->job->comm;
    char *read = NULL;
    size_t bytes = 0;
    enum fuse_status st = FUSE_OK;
    if (comm->rank == 0)
        st = read_file(&read, &bytes, program->path, err);
    FUSE_TRY(fuse_agree(comm, st, err));
    int64_t length = (int64_t)bytes;
    char *text = NULL;
    FUSE_TRY_GOTO(st, comm->ops->broadcast(comm, &length, sizeof length, 0, err), free_read);
    text = fuse_arena_alloc(program->arena, (size_t)length + 1);
    if (comm->rank == 0)
        memcpy(text, read, bytes);
    FUSE_TRY_GOTO(st, comm->ops->broadcast(comm, text, (size_t)length, 0, err), free_read);
    text[length] = '\0';
    *out = (struct fuse_program_file){.path = program->path, .text = text, .bytes = (size_t)length};

free_read:
    free(read);
    return st;
}
