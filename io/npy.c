#include "io/format.h"

#include "io/array.h"
#include "io/npy_header.h"
#include "io/output_file.h"
#include "io/rawfile.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- sources ---- */

struct npy_source {
    int fd;
    struct fuse_file_bytes file;
    struct fuse_array array;
    char *path;
};

static enum fuse_status check_part(const char *path, const char *part, enum fuse_status status,
                                   struct fuse_error *err) {
    if (!part)
        return FUSE_OK;
    return fuse_fail(err, status, "%s: an npy file has no part '%s'", path, part);
}

/* Opens and reads the header; *fd is set, and open, only on success. */
static enum fuse_status open_and_probe(int *fd, struct fuse_probe *out, const char *path, const char *part,
                                       struct fuse_error *err) {
    int file;
    int64_t file_bytes;
    FUSE_TRY(check_part(path, part, FUSE_EINPUT, err));
    FUSE_TRY(fuse_rawfile_open(&file, &file_bytes, path, err));
    struct fuse_file_bytes bytes = fuse_file_bytes(file, 0, path);
    enum fuse_status st = fuse_npy_header_read(out, &bytes.bytes, file_bytes, path, err);
    if (st == FUSE_OK)
        *fd = file;
    else
        close(file);
    return st;
}

static enum fuse_status probe_npy(struct fuse_probe *out, const char *path, const char *part, struct fuse_error *err) {
    int fd;
    FUSE_TRY(open_and_probe(&fd, out, path, part, err));
    close(fd);
    return FUSE_OK;
}

static void close_source(struct fuse_source *handle) {
    struct npy_source *source = (struct npy_source *)handle;
    if (!source)
        return;
    if (source->fd >= 0)
        close(source->fd);
    fuse_array_close(&source->array);
    free(source->path);
    free(source);
}

static enum fuse_status open_source(struct fuse_source **out, const char *path, const char *part,
                                    const struct fuse_probe *probe, struct fuse_error *err) {
    struct npy_source *source = calloc(1, sizeof *source);
    if (!source)
        return fuse_fail(err, FUSE_EMEMORY, "no memory to open %s", path);
    enum fuse_status st;
    struct fuse_probe now;
    source->fd = -1;
    source->path = strdup(path);
    if (!source->path) {
        st = fuse_fail(err, FUSE_EMEMORY, "no memory to open %s", path);
        goto close_it;
    }
    FUSE_TRY_GOTO(st, open_and_probe(&source->fd, &now, path, part, err), close_it);
    if (!fuse_probe_equal(&now, probe)) {
        st = fuse_fail(err, FUSE_EINPUT, "%s changed after it was probed", path);
        goto close_it;
    }
    source->file = fuse_file_bytes(source->fd, 0, source->path);
    FUSE_TRY_GOTO(st, fuse_array_open_probed(&source->array, probe, &source->file.bytes, source->path, err), close_it);
    *out = (struct fuse_source *)source;
    return FUSE_OK;

close_it:
    close_source((struct fuse_source *)source);
    return st;
}

static enum fuse_status read_source(struct fuse_source *handle, const struct fuse_box *box, const struct fuse_view *to,
                                    struct fuse_error *err) {
    return fuse_array_read(&((struct npy_source *)handle)->array, box, to, err);
}

/* ---- sinks ---- */

struct npy_sink {
    struct fuse_output_file *file;
    struct fuse_file_bytes bytes;
    struct fuse_array array;
};

static void free_sink(struct npy_sink *sink) {
    if (!sink)
        return;
    fuse_array_close(&sink->array);
    free(sink);
}

/* This rank's share of opening: the header and the size of the file. */
static enum fuse_status prepare_sink(struct npy_sink **out, char *header, int64_t *file_bytes,
                                     const struct fuse_sink_file *want, struct fuse_error *err) {
    const char *path = want->path;
    const struct fuse_sink_member *member = want->member;
    if (want->members != 1)
        return fuse_fail(err, FUSE_EBUG, "%s: an npy file holds one array", path);
    FUSE_TRY(check_part(path, member->part, FUSE_EOUTPUT, err));
    int64_t header_bytes;
    FUSE_TRY(
        fuse_npy_layout(header, &header_bytes, file_bytes, member->dtype, member->rank, member->extent, path, err));
    struct npy_sink *sink = calloc(1, sizeof *sink);
    if (!sink)
        return fuse_fail(err, FUSE_EMEMORY, "no memory to open %s", path);
    enum fuse_status st = fuse_array_open(&sink->array, member->dtype, member->rank, member->extent, header_bytes,
                                          &sink->bytes.bytes, NULL, err);
    if (st == FUSE_OK)
        *out = sink;
    else
        free_sink(sink);
    return st;
}

static enum fuse_status open_sink(struct fuse_sink **out, struct fuse_comm *comm, const struct fuse_sink_file *want,
                                  struct fuse_error *err) {
    char header[FUSE_NPY_WRITE_BYTES];
    int64_t file_bytes = 0;
    struct npy_sink *sink = NULL;
    struct fuse_output_file *file;
    enum fuse_status st = prepare_sink(&sink, header, &file_bytes, want, err);
    size_t header_bytes = sink ? (size_t)sink->array.offset : 0;
    st = fuse_output_file_open(&file, comm, st, want->path, header, header_bytes, file_bytes, err);
    if (st != FUSE_OK) {
        free_sink(sink);
        return st;
    }
    sink->file = file;
    sink->bytes = fuse_file_bytes(file->fd, 0, file->path);
    sink->array.name = file->path;
    *out = (struct fuse_sink *)sink;
    return FUSE_OK;
}

static enum fuse_status write_sink(struct fuse_sink *handle, int member, const struct fuse_box *box,
                                   const struct fuse_view *from, struct fuse_error *err) {
    (void)member;
    return fuse_array_write(&((struct npy_sink *)handle)->array, box, from, err);
}

static enum fuse_status finish_sink(struct fuse_sink *handle, struct fuse_comm *comm, struct fuse_error *err) {
    (void)comm;
    return fuse_output_file_finish(((struct npy_sink *)handle)->file, err);
}

static struct fuse_output_file *release_sink(struct fuse_sink *handle) {
    struct npy_sink *sink = (struct npy_sink *)handle;
    struct fuse_output_file *file = sink ? sink->file : NULL;
    free_sink(sink);
    return file;
}

static const char *const suffixes[] = {".npy", NULL};

const struct fuse_format fuse_format_npy = {
    .name = "npy",
    .suffixes = suffixes,
    .is_flat = true,
    .is_independent = true,
    .probe = probe_npy,
    .source_open = open_source,
    .source_read = read_source,
    .source_close = close_source,
    .sink_holds = fuse_npy_holds,
    .sink_open = open_sink,
    .sink_write = write_sink,
    .sink_finish = finish_sink,
    .sink_release = release_sink,
};
