#include "io/text_runs.h"

#include "io/rawfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BUFFER_BYTES = 1 << 20, ATTEMPTS = 16 };

struct run {
    int64_t first, count, bytes; /* elements, and bytes of their text; the texts follow each other */
};

struct fuse_text_runs {
    const char *path;
    int spill; /* -1: not needed so far */
    int64_t spilled;
    char *buffer;
    size_t filled;
    struct run *run;
    int64_t runs, room;
};

enum fuse_status fuse_text_runs_open(struct fuse_text_runs **out, const char *path, struct fuse_error *err) {
    struct fuse_text_runs *runs = calloc(1, sizeof *runs);
    if (runs) {
        runs->path = path;
        runs->spill = -1;
        runs->buffer = malloc(BUFFER_BYTES);
    }
    if (!runs || !runs->buffer) {
        fuse_text_runs_close(runs);
        return fuse_fail(err, FUSE_EMEMORY, "no memory to write %s", path);
    }
    *out = runs;
    return FUSE_OK;
}

void fuse_text_runs_close(struct fuse_text_runs *runs) {
    if (!runs)
        return;
    if (runs->spill >= 0)
        close(runs->spill);
    free(runs->buffer);
    free(runs->run);
    free(runs);
}

enum fuse_status fuse_text_runs_begin(struct fuse_text_runs *runs, int64_t first, int64_t count,
                                      struct fuse_error *err) {
    struct run *last = runs->runs > 0 ? &runs->run[runs->runs - 1] : NULL;
    if (last && last->first + last->count == first) {
        last->count += count;
        return FUSE_OK;
    }
    if (runs->runs == runs->room) {
        int64_t room = runs->room ? 2 * runs->room : 16;
        struct run *larger = realloc(runs->run, (size_t)room * sizeof *larger);
        if (!larger)
            return fuse_fail(err, FUSE_EMEMORY, "no memory to write %s", runs->path);
        runs->run = larger;
        runs->room = room;
    }
    runs->run[runs->runs++] = (struct run){.first = first, .count = count};
    return FUSE_OK;
}

/* Without a name from the start where the system can do that, else without one from just after on. */
static enum fuse_status open_spill(struct fuse_text_runs *runs, struct fuse_error *err) {
    const char *slash = strrchr(runs->path, '/');
    int folder = slash ? (int)(slash - runs->path) + 1 : 0;
    char *name = malloc((size_t)folder + 64);
    if (!name)
        return fuse_fail(err, FUSE_EMEMORY, "no memory to write %s", runs->path);
    snprintf(name, (size_t)folder + 64, "%.*s.", folder, runs->path);
    runs->spill = open(name, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    for (int i = 0; runs->spill < 0 && i < ATTEMPTS; i++) {
        snprintf(name, (size_t)folder + 64, "%.*s.fuse-dist.%ld.%d.%d.part", folder, runs->path, (long)getpid(), i,
                 rand());
        runs->spill = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (runs->spill >= 0)
            unlink(name);
        else if (errno != EEXIST)
            break;
    }
    int code = errno;
    free(name);
    if (runs->spill >= 0)
        return FUSE_OK;
    return fuse_fail(err, FUSE_EIO, "writing %s failed: no temporary file beside it: %s", runs->path, strerror(code));
}

static enum fuse_status spill(struct fuse_text_runs *runs, struct fuse_error *err) {
    if (runs->spill < 0)
        FUSE_TRY(open_spill(runs, err));
    FUSE_TRY(fuse_rawfile_write(runs->spill, runs->buffer, runs->filled, runs->spilled, runs->path, err));
    runs->spilled += (int64_t)runs->filled;
    runs->filled = 0;
    return FUSE_OK;
}

enum fuse_status fuse_text_runs_append(struct fuse_text_runs *runs, const char *text, size_t bytes,
                                       struct fuse_error *err) {
    if (runs->runs == 0)
        return fuse_fail(err, FUSE_EBUG, "text without a run");
    runs->run[runs->runs - 1].bytes += (int64_t)bytes;
    while (bytes > 0) {
        if (runs->filled == BUFFER_BYTES)
            FUSE_TRY(spill(runs, err));
        size_t part = BUFFER_BYTES - runs->filled < bytes ? BUFFER_BYTES - runs->filled : bytes;
        memcpy(runs->buffer + runs->filled, text, part);
        runs->filled += part;
        text += part;
        bytes -= part;
    }
    return FUSE_OK;
}

/* ---- reading back ---- */

bool fuse_text_runs_run(const struct fuse_text_runs *runs, int64_t i, int64_t *first, int64_t *count, int64_t *bytes) {
    if (i >= runs->runs)
        return false;
    *first = runs->run[i].first;
    *count = runs->run[i].count;
    *bytes = runs->run[i].bytes;
    return true;
}

enum fuse_status fuse_text_runs_read(const struct fuse_text_runs *runs, void *to, size_t bytes, int64_t from,
                                     struct fuse_error *err) {
    size_t spilled = 0;
    if (from < runs->spilled) {
        spilled = runs->spilled - from < (int64_t)bytes ? (size_t)(runs->spilled - from) : bytes;
        FUSE_TRY(fuse_rawfile_read(runs->spill, to, spilled, from, runs->path, err));
    }
    if (spilled < bytes)
        memcpy((char *)to + spilled, runs->buffer + (from + (int64_t)spilled - runs->spilled), bytes - spilled);
    return FUSE_OK;
}

/* ---- putting together ---- */

static int compare_runs(const void *a, const void *b) {
    const struct run *x = a, *y = b;
    return (x->first > y->first) - (x->first < y->first);
}

/* Collective: the runs of all ranks in order. A reduction over arrays to which each rank gives its own part. */
static enum fuse_status gather(struct run **out, int64_t *out_runs, const struct fuse_text_runs *mine,
                               struct fuse_comm *comm, struct fuse_error *err) {
    enum { RUN_NUMBERS = sizeof(struct run) / sizeof(int64_t), PIECE = 1 << 20 };
    struct run *all = NULL;
    int64_t total, before;
    FUSE_TRY(fuse_sum_before(&before, &total, comm, mine->runs, err));
    all = calloc((size_t)total + 1, sizeof *all);
    enum fuse_status st =
        all ? FUSE_OK : fuse_fail(err, FUSE_EMEMORY, "no memory for the %lld runs of %s", (long long)total, mine->path);
    FUSE_TRY_GOTO(st, fuse_agree(comm, st, err), free_all);
    if (mine->runs > 0)
        memcpy(all + before, mine->run, (size_t)mine->runs * sizeof *all);
    for (int64_t done = 0; done < total; done += PIECE) {
        int64_t part = total - done < PIECE ? total - done : PIECE;
        FUSE_TRY_GOTO(st,
                      comm->ops->reduce_int64(comm, FUSE_REDUCE_SUM, &all[done].first, (int)(part * RUN_NUMBERS), err),
                      free_all);
    }
    qsort(all, (size_t)total, sizeof *all, compare_runs);
    *out = all;
    *out_runs = total;
    all = NULL;
free_all:
    free(all);
    return st;
}

/* Text [from, from + bytes) of this rank to fd at offset `to`. */
static enum fuse_status copy_text(const struct fuse_text_runs *runs, int64_t from, int64_t bytes, int fd, int64_t to,
                                  char *buffer, struct fuse_error *err) {
    while (bytes > 0) {
        if (from >= runs->spilled)
            return fuse_rawfile_write(fd, runs->buffer + (from - runs->spilled), (size_t)bytes, to, runs->path, err);
        int64_t part = runs->spilled - from < BUFFER_BYTES ? runs->spilled - from : BUFFER_BYTES;
        part = part < bytes ? part : bytes;
        FUSE_TRY(fuse_rawfile_read(runs->spill, buffer, (size_t)part, from, runs->path, err));
        FUSE_TRY(fuse_rawfile_write(fd, buffer, (size_t)part, to, runs->path, err));
        from += part;
        to += part;
        bytes -= part;
    }
    return FUSE_OK;
}

static enum fuse_status copy_runs(const struct fuse_text_runs *runs, const struct run *all, int64_t total, int fd,
                                  int64_t begin, struct fuse_error *err) {
    char *buffer = malloc(BUFFER_BYTES);
    int64_t *offset = malloc((size_t)(total + 1) * sizeof *offset);
    enum fuse_status st = FUSE_OK;
    if (!buffer || !offset)
        st = fuse_fail(err, FUSE_EMEMORY, "no memory to write %s", runs->path);
    int64_t from = 0;
    if (st == FUSE_OK)
        offset[0] = begin;
    for (int64_t i = 0; i < total && st == FUSE_OK; i++)
        offset[i + 1] = offset[i] + all[i].bytes;
    for (int64_t i = 0; i < runs->runs && st == FUSE_OK; i++) {
        const struct run *found = bsearch(&runs->run[i], all, (size_t)total, sizeof *all, compare_runs);
        st = found ? copy_text(runs, from, runs->run[i].bytes, fd, offset[found - all], buffer, err)
                   : fuse_fail(err, FUSE_EBUG, "%s: a run is lost", runs->path);
        from += runs->run[i].bytes;
    }
    free(buffer);
    free(offset);
    return st;
}

enum fuse_status fuse_text_runs_place(struct fuse_text_runs *runs, struct fuse_comm *comm, int fd, int64_t begin,
                                      int64_t elems, struct fuse_error *err) {
    struct run *all;
    int64_t total, next = 0;
    FUSE_TRY(gather(&all, &total, runs, comm, err));
    bool is_whole = true;
    for (int64_t i = 0; i < total && is_whole; i++) {
        is_whole = all[i].first == next;
        next += all[i].count;
    }
    enum fuse_status st = is_whole && next == elems
                              ? copy_runs(runs, all, total, fd, begin, err)
                              : fuse_fail(err, FUSE_EBUG, "%s was not written as a whole", runs->path);
    free(all);
    return st;
}
