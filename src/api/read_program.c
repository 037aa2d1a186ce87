#include "api/packed.h"
#include "api/program.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Tenths of a second that a pipe may have nobody who writes to it. */
enum { MOST_TENTHS = 20 };

/* What is read whole, and called so in messages. */
static const struct kind {
    const char *what;
    size_t most_bytes;
    const char *most, *hint;
} kinds[] = {
    {"policy", (size_t)64 << 20, "64 MiB", "a policy is a JSON document"},
    {"weight manifest", (size_t)64 << 20, "64 MiB", "a weight manifest is a JSON document"},
    {"machine file", (size_t)64 << 20, "64 MiB",
     "a machine file is a JSON document; fuse-dist calibrate FILE makes one"},
    /* Places in a program are 32 bits wide; a program beyond this is a mistaken file name. */
    {"program", (size_t)1 << 30, "1 GiB", "a program is a text file of equations"},
};

static const struct kind *find_kind(const char *what) {
    size_t k = 0;
    while (k + 1 < sizeof kinds / sizeof *kinds && strcmp(kinds[k].what, what) != 0)
        k++;
    return &kinds[k];
}

/* As read, of a file that was opened with O_NONBLOCK: a pipe whose writer never comes is empty, and does not keep us. */
static ssize_t read_first(int file, char *to, size_t bytes, bool is_pipe) {
    const struct timespec tenth = {.tv_nsec = 100000000};
    ssize_t got = read(file, to, bytes);
    for (int tenths = 0; is_pipe && got == 0 && tenths < MOST_TENTHS; tenths++) {
        nanosleep(&tenth, NULL);
        got = read(file, to, bytes);
    }
    fcntl(file, F_SETFL, fcntl(file, F_GETFL) & ~O_NONBLOCK);
    return got < 0 && errno == EAGAIN ? read(file, to, bytes) : got;
}

static enum fuse_status read_all(char **out, size_t *out_bytes, int file, const struct stat *facts,
                                 const struct kind *kind, const char *path, struct fuse_error *err) {
    const char *what = kind->what;
    bool is_pipe = S_ISFIFO(facts->st_mode);
    size_t capacity = (S_ISREG(facts->st_mode) ? (size_t)facts->st_size : 0) + (1 << 16), bytes = 0;
    char *text = malloc(capacity);
    while (text) {
        ssize_t got =
            bytes == 0 ? read_first(file, text, capacity, is_pipe) : read(file, text + bytes, capacity - bytes);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            fuse_fail(err, FUSE_EINPUT, "cannot read %s '%s': %s", what, path, strerror(errno));
            break;
        }
        if (got == 0 && is_pipe && bytes == 0) {
            fuse_fail(err, FUSE_EINPUT, "cannot read %s '%s': it is a pipe to which nobody writes", what, path);
            break;
        }
        if (got == 0) {
            *out = text;
            *out_bytes = bytes;
            return FUSE_OK;
        }
        bytes += (size_t)got;
        if (bytes > kind->most_bytes) {
            fuse_fail(err, FUSE_EINPUT, "cannot read %s '%s': it is larger than %s", what, path, kind->most);
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
    return fuse_fail(err, FUSE_EMEMORY, "no memory for %s '%s'", what, path); /* unless another cause was recorded */
}

static enum fuse_status read_file(char **out, size_t *bytes, const char *what, const char *path,
                                  struct fuse_error *err) {
    const struct kind *kind = find_kind(what);
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0) {
        fuse_fail(err, FUSE_EINPUT, "cannot read %s '%s': %s", what, path, strerror(errno));
        fuse_hint(err, "its path is relative to the folder that fuse-dist was started in, on rank 0's node");
        return FUSE_EINPUT;
    }
    struct stat facts;
    enum fuse_status st;
    if (fstat(file, &facts) != 0)
        st = fuse_fail(err, FUSE_EINPUT, "cannot read %s '%s': %s", what, path, strerror(errno));
    else if (S_ISREG(facts.st_mode) && (size_t)facts.st_size > kind->most_bytes)
        st = fuse_fail(err, FUSE_EINPUT, "cannot read %s '%s': it is larger than %s", what, path, kind->most);
    else
        st = read_all(out, bytes, file, &facts, kind, path, err);
    if (st == FUSE_EINPUT)
        fuse_hint(err, "%s", kind->hint);
    close(file);
    return st;
}

enum fuse_status fuse_api_read_text(struct fuse_program_file *out, struct fuse_dist_program *program, const char *what,
                                    const char *path, struct fuse_error *err) {
    struct fuse_comm *comm = program->job->comm;
    char *read = NULL;
    size_t bytes = 0;
    enum fuse_status st = FUSE_OK;
    if (comm->rank == 0)
        st = read_file(&read, &bytes, what, path, err);
    FUSE_TRY(fuse_agree(comm, st, err));
    int64_t length = (int64_t)bytes;
    char *text = NULL;
    FUSE_TRY_GOTO(st, comm->ops->broadcast(comm, &length, sizeof length, 0, err), free_read);
    text = fuse_arena_alloc(program->arena, (size_t)length + 1);
    if (comm->rank == 0)
        memcpy(text, read, bytes);
    FUSE_TRY_GOTO(st, comm->ops->broadcast(comm, text, (size_t)length, 0, err), free_read);
    text[length] = '\0';
    *out = (struct fuse_program_file){.path = path, .text = text, .bytes = (size_t)length};

free_read:
    free(read);
    return st;
}

/* ---- imports ---- */

static const char *beside(struct fuse_arena *arena, const char *importing, const char *text) {
    const char *slash = strrchr(importing, '/');
    if (text[0] == '/' || !slash)
        return text;
    return fuse_arena_printf(arena, "%.*s%s", (int)(slash + 1 - importing), importing, text);
}

/* The first place that has the file, with links resolved in *real (to be freed); NULL: none has it. */
static const char *look_for(struct fuse_dist_program *program, char **real, const char *text, int from) {
    const char *path = beside(program->arena, program->files.list.at[from].path, text);
    *real = realpath(path, NULL);
    for (int i = 0; !*real && text[0] != '/' && i < program->options.includes; i++) {
        path = fuse_api_resolve(program->arena, program->options.include[i], text);
        *real = realpath(path, NULL);
    }
    return *real ? path : NULL;
}

/* What rank 0 found, for the others. */
struct found {
    int64_t file; /* -1: nothing; the number of a new file is one more than the last */
    int64_t bytes, path_bytes;
};

/* Rank 0: looks for the file and reads it when it is new. */
static enum fuse_status find_and_read(struct fuse_dist_program *program, struct found *found, const char **path,
                                      char **read, const char *text, int from, struct fuse_error *err) {
    char *real;
    found->file = -1;
    if (program->real_path.n == 0) { /* the program itself */
        real = realpath(program->path, NULL);
        fuse_vec_push(program->arena, &program->real_path,
                      fuse_arena_strndup(program->arena, real ? real : "", strlen(real ? real : "")));
        free(real);
    }
    *path = look_for(program, &real, text, from);
    if (!*path)
        return FUSE_OK;
    const char *kept = fuse_arena_strndup(program->arena, real, strlen(real));
    free(real);
    for (int k = 0; k < program->real_path.n; k++)
        if (strcmp(program->real_path.at[k], kept) == 0) {
            found->file = k;
            return FUSE_OK;
        }
    size_t bytes;
    FUSE_TRY(read_file(read, &bytes, "program", *path, err));
    fuse_vec_push(program->arena, &program->real_path, kept);
    *found =
        (struct found){.file = program->files.list.n, .bytes = (int64_t)bytes, .path_bytes = (int64_t)strlen(*path)};
    return FUSE_OK;
}

/* A pack knows what its imports mean. The files that they are come in the same order as when it was made. */
static int look_in_pack(struct fuse_dist_program *program, struct fuse_program_file *found, const char *text,
                        int from) {
    const struct fuse_api_packed *packed = program->packed;
    for (int i = 0; i < packed->lookups.n; i++) {
        const struct fuse_api_lookup *lookup = &packed->lookups.at[i];
        if (lookup->from != from || strcmp(lookup->text, text) != 0 || lookup->file > program->files.list.n)
            continue;
        if (lookup->file == program->files.list.n)
            *found = packed->files.at[lookup->file];
        return lookup->file;
    }
    return -1;
}

int fuse_api_look_up(struct fuse_dist_program *program, struct fuse_program_file *found,
                     const struct fuse_api_lookup *lookup) {
    struct found at = {0};
    const char *path = NULL;
    char *read = NULL;
    struct fuse_error err = {0};
    if (program->packed)
        return look_in_pack(program, found, lookup->text, lookup->from);
    if (find_and_read(program, &at, &path, &read, lookup->text, lookup->from, &err) != FUSE_OK)
        at.file = -1;
    if (at.file >= 0 && read)
        *found = (struct fuse_program_file){.path = path,
                                            .text = fuse_arena_strndup(program->arena, read, (size_t)at.bytes),
                                            .bytes = (size_t)at.bytes};
    free(read);
    return (int)at.file;
}

static void note_lookup(struct fuse_dist_program *program, const char *text, int from, int file) {
    struct fuse_api_lookup lookup = {.text = fuse_arena_printf(program->arena, "%s", text), .from = from, .file = file};
    if (file >= 0)
        fuse_vec_push(program->arena, &program->lookups, lookup);
}

enum fuse_status fuse_api_find_import(void *context, int *file, const char *text, int from, struct fuse_error *err) {
    struct fuse_dist_program *program = context;
    struct fuse_comm *comm = program->job->comm;
    struct found found = {0};
    const char *path = NULL;
    char *read = NULL, *own_path, *own_text;
    enum fuse_status st = FUSE_OK;
    if (program->packed) {
        struct fuse_program_file in_pack = {0};
        *file = look_in_pack(program, &in_pack, text, from);
        note_lookup(program, text, from, *file);
        if (in_pack.path)
            fuse_vec_push(program->arena, &program->files.list, in_pack);
        return FUSE_OK;
    }
    if (comm->rank == 0)
        st = find_and_read(program, &found, &path, &read, text, from, err);
    FUSE_TRY_GOTO(st, fuse_agree(comm, st, err), free_read);
    FUSE_TRY_GOTO(st, comm->ops->broadcast(comm, &found, sizeof found, 0, err), free_read);
    *file = (int)found.file;
    note_lookup(program, text, from, *file);
    if (found.file < program->files.list.n)
        goto free_read;
    own_path = fuse_arena_alloc(program->arena, (size_t)found.path_bytes + 1);
    own_text = fuse_arena_alloc(program->arena, (size_t)found.bytes + 1);
    if (comm->rank == 0) {
        memcpy(own_path, path, (size_t)found.path_bytes);
        memcpy(own_text, read, (size_t)found.bytes);
    }
    FUSE_TRY_GOTO(st, comm->ops->broadcast(comm, own_path, (size_t)found.path_bytes, 0, err), free_read);
    FUSE_TRY_GOTO(st, comm->ops->broadcast(comm, own_text, (size_t)found.bytes, 0, err), free_read);
    own_path[found.path_bytes] = own_text[found.bytes] = '\0';
    struct fuse_program_file loaded = {.path = own_path, .text = own_text, .bytes = (size_t)found.bytes};
    fuse_vec_push(program->arena, &program->files.list, loaded);

free_read:
    free(read);
    return st;
}
