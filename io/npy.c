#include "io/format.h"

#include "io/box_runs.h"
#include "io/npy_header.h"
#include "io/output_file.h"
#include "io/rawfile.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Elements pass through a buffer of this size when file and memory differ; it stays in the second-level cache. */
enum { BOUNCE_BYTES = 1 << 20 };
/* Contiguous runs from this size on go straight between file and memory. */
enum { DIRECT_BYTES = 64 << 10 };
/* Enough for the header of nearly every file. */
enum { FIRST_READ_BYTES = 4096 };

/* ---- sources ---- */

struct npy_source {
    int fd;
    struct fuse_probe probe;
    char *path;
    char *bounce;
};

static enum fuse_status check_part(const char *path, const char *part, enum fuse_status status,
                                   struct fuse_error *err) {
    if (!part)
        return FUSE_OK;
    return fuse_fail(err, status, "%s: an npy file has no part '%s'", path, part);
}

static enum fuse_status read_header(struct fuse_probe *out, int fd, int64_t file_bytes, const char *path,
                                    struct fuse_error *err) {
    char first[FIRST_READ_BYTES];
    size_t bytes = file_bytes < FIRST_READ_BYTES ? (size_t)file_bytes : FIRST_READ_BYTES;
    FUSE_TRY(fuse_rawfile_read(fd, first, bytes, 0, path, err));
    int64_t end;
    FUSE_TRY(fuse_npy_header_end(&end, first, bytes, file_bytes, path, err));
    if (end <= (int64_t)bytes)
        return fuse_npy_header_parse(out, first, bytes, file_bytes, path, err);

    char *whole = malloc((size_t)end);
    if (!whole)
        return fuse_fail(err, FUSE_EMEMORY, "no memory for the npy header of %s", path);
    enum fuse_status st = fuse_rawfile_read(fd, whole, (size_t)end, 0, path, err);
    if (st == FUSE_OK)
        st = fuse_npy_header_parse(out, whole, (size_t)end, file_bytes, path, err);
    free(whole);
    return st;
}

/* Opens and reads the header; *fd is set, and open, only on success. */
static enum fuse_status open_and_probe(int *fd, struct fuse_probe *out, const char *path, const char *part,
                                       struct fuse_error *err) {
    int file;
    int64_t file_bytes;
    FUSE_TRY(check_part(path, part, FUSE_EINPUT, err));
    FUSE_TRY(fuse_rawfile_open(&file, &file_bytes, path, err));
    enum fuse_status st = read_header(out, file, file_bytes, path, err);
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

static bool is_same_probe(const struct fuse_probe *a, const struct fuse_probe *b) {
    return a->rank == b->rank && memcmp(a->extent, b->extent, (size_t)a->rank * sizeof *a->extent) == 0 &&
           a->file_dtype == b->file_dtype && a->big_endian == b->big_endian && a->reversed == b->reversed &&
           a->data_offset == b->data_offset && a->file_bytes == b->file_bytes;
}

static void close_source(struct fuse_source *handle) {
    struct npy_source *source = (struct npy_source *)handle;
    if (!source)
        return;
    if (source->fd >= 0)
        close(source->fd);
    free(source->path);
    free(source->bounce);
    free(source);
}

static enum fuse_status open_source(struct fuse_source **out, const char *path, const char *part,
                                    const struct fuse_probe *probe, struct fuse_error *err) {
    struct npy_source *source = calloc(1, sizeof *source);
    if (!source)
        return fuse_fail(err, FUSE_EMEMORY, "no memory to open %s", path);
    enum fuse_status st;
    source->fd = -1;
    source->path = strdup(path);
    source->bounce = malloc(BOUNCE_BYTES);
    if (!source->path || !source->bounce) {
        st = fuse_fail(err, FUSE_EMEMORY, "no memory to open %s", path);
        goto close_it;
    }
    FUSE_TRY_GOTO(st, open_and_probe(&source->fd, &source->probe, path, part, err), close_it);
    if (!is_same_probe(&source->probe, probe)) {
        st = fuse_fail(err, FUSE_EINPUT, "%s changed after it was probed", path);
        goto close_it;
    }
    *out = (struct fuse_source *)source;
    return FUSE_OK;

close_it:
    close_source((struct fuse_source *)source);
    return st;
}

/* The caller's box and view belong together and to the file. */
static enum fuse_status check_box(const char *path, int rank, const int64_t *extent, enum fuse_dtype dtype,
                                  const struct fuse_box *box, const struct fuse_view *view, struct fuse_error *err) {
    bool is_fine = box->rank == rank && view->rank == rank && view->dtype == dtype;
    for (int a = 0; a < rank && is_fine; a++)
        is_fine = box->lo[a] >= 0 && box->hi[a] <= extent[a] && view->extent[a] == box->hi[a] - box->lo[a];
    return is_fine ? FUSE_OK : fuse_fail(err, FUSE_EBUG, "a box does not fit %s or its memory", path);
}

static enum fuse_status read_elements(const struct npy_source *source, void *to, int64_t first, int64_t count,
                                      struct fuse_error *err) {
    int64_t bytes = (int64_t)fuse_dtype_bytes(source->probe.file_dtype);
    return fuse_rawfile_read(source->fd, to, (size_t)(count * bytes), source->probe.data_offset + first * bytes,
                             source->path, err);
}

/* A run that needs no other size of elements: read in place, then repaired there while it is in cache. */
static enum fuse_status read_run(const struct npy_source *source, char *to, int64_t first, int64_t count,
                                 struct fuse_error *err) {
    const struct fuse_probe *probe = &source->probe;
    bool is_bool = probe->file_dtype == FUSE_BOOL;
    if (!is_bool && !probe->big_endian)
        return read_elements(source, to, first, count, err);
    size_t bytes = fuse_dtype_bytes(probe->file_dtype);
    int64_t room = BOUNCE_BYTES / (int64_t)bytes;
    for (int64_t done = 0; done < count; done += room) {
        int64_t part = count - done < room ? count - done : room;
        char *at = to + done * (int64_t)bytes;
        FUSE_TRY(read_elements(source, at, first + done, part, err));
        if (probe->big_endian)
            fuse_swap_bytes(at, bytes, (size_t)part);
        if (is_bool) /* kernels rely on 0 and 1 */
            for (int64_t i = 0; i < part; i++)
                at[i] = at[i] != 0;
    }
    return FUSE_OK;
}

static enum fuse_status read_source(struct fuse_source *handle, const struct fuse_box *box, const struct fuse_view *to,
                                    struct fuse_error *err) {
    const struct npy_source *source = (struct npy_source *)handle;
    const struct fuse_probe *probe = &source->probe;
    enum fuse_dtype resident = fuse_dtype_resident(probe->file_dtype);
    FUSE_TRY(check_box(source->path, probe->rank, probe->extent, resident, box, to, err));
    if (fuse_box_is_empty(box))
        return FUSE_OK;

    struct fuse_box_runs runs;
    struct fuse_run_blocks block;
    int64_t elem_bytes = (int64_t)fuse_dtype_bytes(probe->file_dtype);
    fuse_box_runs_init(&runs, probe->extent, probe->reversed, box, to);
    fuse_run_blocks_begin(&block, &runs, (size_t)elem_bytes, BOUNCE_BYTES / elem_bytes, true);

    int64_t direct = resident == probe->file_dtype ? fuse_box_runs_direct(&runs) : 0;
    if (direct > 0 && (direct * elem_bytes >= DIRECT_BYTES || direct >= block.longest)) {
        fuse_run_blocks_begin_single(&block, &runs);
        while (fuse_run_blocks_next(&block))
            FUSE_TRY(read_run(source, (char *)to->data + block.memory * elem_bytes, block.file, block.span, err));
        return FUSE_OK;
    }
    while (fuse_run_blocks_next(&block)) {
        FUSE_TRY(read_elements(source, source->bounce, block.file, block.span, err));
        if (!fuse_run_block_load(&block, to->data, resident, source->bounce, probe->file_dtype, probe->big_endian))
            return fuse_fail(err, FUSE_EINPUT, "%s holds an unsigned integer beyond the largest i64", source->path);
    }
    return FUSE_OK;
}

/* ---- sinks ---- */

struct npy_sink {
    struct fuse_output_file *file;
    enum fuse_dtype dtype;
    int rank;
    int64_t extent[FUSE_MAX_AXES];
    int64_t data_offset;
    char *bounce;
};

static void free_sink(struct npy_sink *sink) {
    if (!sink)
        return;
    free(sink->bounce);
    free(sink);
}

/* This rank's share of opening: the header and the size of the file. */
static enum fuse_status prepare_sink(struct npy_sink **out, char *header, int64_t *file_bytes, const char *path,
                                     const char *part, enum fuse_dtype dtype, int rank, const int64_t *extent,
                                     struct fuse_error *err) {
    FUSE_TRY(check_part(path, part, FUSE_EOUTPUT, err));
    size_t header_bytes = fuse_npy_header_write(header, dtype, rank, extent);
    if (header_bytes == 0) {
        enum fuse_status st =
            fuse_fail(err, FUSE_EOUTPUT, "cannot write %s: npy cannot hold %s", path, fuse_dtype_name(dtype));
        fuse_hint(err, "convert it to f32 first");
        return st;
    }
    struct fuse_box full = fuse_box_full(rank, extent);
    int64_t bytes = fuse_sat_mul(fuse_box_elems(&full), (int64_t)fuse_dtype_bytes(dtype));
    *file_bytes = fuse_sat_add(bytes, (int64_t)header_bytes);
    if (*file_bytes == INT64_MAX)
        return fuse_fail(err, FUSE_EOUTPUT, "cannot write %s: it would have more than 2^63 bytes", path);

    struct npy_sink *sink = calloc(1, sizeof *sink);
    char *bounce = malloc(BOUNCE_BYTES);
    if (!sink || !bounce) {
        free(sink);
        free(bounce);
        return fuse_fail(err, FUSE_EMEMORY, "no memory to open %s", path);
    }
    sink->dtype = dtype;
    sink->rank = rank;
    memcpy(sink->extent, extent, (size_t)rank * sizeof *extent);
    sink->data_offset = (int64_t)header_bytes;
    sink->bounce = bounce;
    *out = sink;
    return FUSE_OK;
}

static enum fuse_status open_sink(struct fuse_sink **out, struct fuse_comm *comm, const char *path, const char *part,
                                  enum fuse_dtype dtype, int rank, const int64_t *extent, struct fuse_error *err) {
    char header[FUSE_NPY_WRITE_BYTES];
    int64_t file_bytes = 0;
    struct npy_sink *sink = NULL;
    struct fuse_output_file *file;
    enum fuse_status st = prepare_sink(&sink, header, &file_bytes, path, part, dtype, rank, extent, err);
    size_t header_bytes = sink ? (size_t)sink->data_offset : 0;
    st = fuse_output_file_open(&file, comm, st, path, header, header_bytes, file_bytes, err);
    if (st != FUSE_OK) {
        free_sink(sink);
        return st;
    }
    sink->file = file;
    *out = (struct fuse_sink *)sink;
    return FUSE_OK;
}

static enum fuse_status write_elements(const struct npy_sink *sink, const void *from, int64_t first, int64_t count,
                                       struct fuse_error *err) {
    int64_t bytes = (int64_t)fuse_dtype_bytes(sink->dtype);
    return fuse_rawfile_write(sink->file->fd, from, (size_t)(count * bytes), sink->data_offset + first * bytes,
                              sink->file->path, err);
}

static enum fuse_status write_sink(struct fuse_sink *handle, const struct fuse_box *box, const struct fuse_view *from,
                                   struct fuse_error *err) {
    const struct npy_sink *sink = (struct npy_sink *)handle;
    FUSE_TRY(check_box(sink->file->path, sink->rank, sink->extent, sink->dtype, box, from, err));
    if (fuse_box_is_empty(box))
        return FUSE_OK;

    struct fuse_box_runs runs;
    struct fuse_run_blocks block;
    int64_t elem_bytes = (int64_t)fuse_dtype_bytes(sink->dtype);
    fuse_box_runs_init(&runs, sink->extent, false, box, from);
    /* No gaps: what lies in them belongs to other ranks. */
    fuse_run_blocks_begin(&block, &runs, (size_t)elem_bytes, BOUNCE_BYTES / elem_bytes, false);

    int64_t direct = fuse_box_runs_direct(&runs);
    if (direct > 0 && (direct * elem_bytes >= DIRECT_BYTES || direct >= block.longest)) {
        fuse_run_blocks_begin_single(&block, &runs);
        while (fuse_run_blocks_next(&block))
            FUSE_TRY(write_elements(sink, (const char *)from->data + block.memory * elem_bytes, block.file, block.span,
                                    err));
        return FUSE_OK;
    }
    while (fuse_run_blocks_next(&block)) {
        fuse_run_block_store(&block, from->data, sink->bounce, (size_t)elem_bytes);
        FUSE_TRY(write_elements(sink, sink->bounce, block.file, block.span, err));
    }
    return FUSE_OK;
}

static enum fuse_status finish_sink(struct fuse_sink *handle, struct fuse_error *err) {
    return fuse_output_file_finish(((struct npy_sink *)handle)->file, err);
}

static enum fuse_status commit_sink(struct fuse_sink *handle, struct fuse_error *err) {
    struct npy_sink *sink = (struct npy_sink *)handle;
    struct fuse_output_file *file = sink->file;
    free_sink(sink);
    return fuse_output_file_commit(file, err);
}

static void discard_sink(struct fuse_sink *handle) {
    struct npy_sink *sink = (struct npy_sink *)handle;
    if (!sink)
        return;
    fuse_output_file_discard(sink->file);
    free_sink(sink);
}

static const char *temporary_of_sink(const struct fuse_sink *handle) {
    return ((const struct npy_sink *)handle)->file->temporary;
}

static const char *const suffixes[] = {".npy", NULL};

const struct fuse_format fuse_format_npy = {
    .name = "npy",
    .suffixes = suffixes,
    .probe = probe_npy,
    .source_open = open_source,
    .source_read = read_source,
    .source_close = close_source,
    .sink_open = open_sink,
    .sink_write = write_sink,
    .sink_finish = finish_sink,
    .sink_commit = commit_sink,
    .sink_temporary = temporary_of_sink,
    .sink_discard = discard_sink,
};
