/* .safetensors: tensors by name behind one JSON header. Each is read, and written, in place by ranges, so that nothing else
 * of the file is touched. */
#include "io/format.h"

#include "io/array.h"
#include "io/output_file.h"
#include "io/rawfile.h"
#include "io/safetensors_header.h"

#include "core/text.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char default_name[] = "tensor";

enum { MOST_NAME_BYTES = 512 };

/* ---- sources ---- */

static enum fuse_status read_file(struct fuse_safetensors *out, struct fuse_arena *arena, const char *path,
                                  struct fuse_error *err) {
    int fd;
    int64_t file_bytes;
    FUSE_TRY(fuse_rawfile_open(&fd, &file_bytes, path, err));
    struct fuse_file_bytes file = fuse_file_bytes(fd, 0, path);
    enum fuse_status st = fuse_safetensors_read(out, arena, &file.bytes, file_bytes, path, err);
    close(fd);
    return st;
}

static enum fuse_status probe_safetensors(struct fuse_probe *out, const char *path, const char *part,
                                          struct fuse_error *err) {
    struct fuse_arena *arena = fuse_arena_open(NULL);
    if (!arena)
        return fuse_fail(err, FUSE_EMEMORY, "no memory to open %s", path);
    struct fuse_safetensors file;
    enum fuse_status st = read_file(&file, arena, path, err);
    if (st == FUSE_OK)
        st = fuse_safetensors_probe(out, &file, arena, path, part, err);
    fuse_arena_close(arena);
    return st;
}

static enum fuse_status list_parts(struct fuse_contents *out, struct fuse_arena *arena, const char *path,
                                   struct fuse_error *err) {
    struct fuse_safetensors file;
    FUSE_TRY(read_file(&file, arena, path, err));
    for (int i = 0; i < file.attributes.n; i++)
        fuse_vec_push(arena, &out->attributes, file.attributes.at[i]);
    for (int i = 0; i < file.tensors.n; i++) {
        const struct fuse_safetensors_tensor *tensor = &file.tensors.at[i];
        struct fuse_part part = {.name = tensor->name, .stored_bytes = tensor->end - tensor->begin};
        struct fuse_error why = {0};
        if (fuse_safetensors_probe_tensor(&part.probe, &file, tensor, path, &why) != FUSE_OK)
            part.refused = fuse_arena_printf(arena, "its dtype %s is not read", tensor->type);
        fuse_vec_push(arena, &out->parts, part);
    }
    return FUSE_OK;
}

struct safetensors_source {
    int fd;
    struct fuse_file_bytes file;
    struct fuse_array array;
    char *name; /* "file.safetensors:name", for messages */
};

static void close_source(struct fuse_source *handle) {
    struct safetensors_source *source = (struct safetensors_source *)handle;
    if (!source)
        return;
    if (source->fd >= 0)
        close(source->fd);
    fuse_array_close(&source->array);
    free(source->name);
    free(source);
}

static char *join_name(const char *path, const char *part) {
    size_t bytes = strlen(path);
    char *name = malloc(bytes + (part ? strlen(part) : 0) + 2);
    if (!name)
        return NULL;
    memcpy(name, path, bytes + 1);
    if (part) {
        name[bytes] = ':';
        memcpy(name + bytes + 1, part, strlen(part) + 1);
    }
    return name;
}

/* The header was judged by the probe: it only has to be the same. */
static enum fuse_status open_file(struct safetensors_source *source, const char *path, const struct fuse_probe *probe,
                                  struct fuse_error *err) {
    int64_t file_bytes;
    uint64_t digest = 0;
    FUSE_TRY(fuse_rawfile_open(&source->fd, &file_bytes, path, err));
    source->file = fuse_file_bytes(source->fd, 0, source->name);
    if (file_bytes == probe->file_bytes)
        FUSE_TRY(fuse_safetensors_digest(&digest, &source->file.bytes, file_bytes, path, err));
    if (file_bytes != probe->file_bytes || digest != probe->digest)
        return fuse_fail(err, FUSE_EINPUT, "%s changed after it was probed", path);
    return fuse_array_open_probed(&source->array, probe, &source->file.bytes, source->name, err);
}

static enum fuse_status open_source(struct fuse_source **out, const char *path, const char *part,
                                    const struct fuse_probe *probe, struct fuse_error *err) {
    struct safetensors_source *source = calloc(1, sizeof *source);
    if (!source)
        return fuse_fail(err, FUSE_EMEMORY, "no memory to open %s", path);
    source->fd = -1;
    source->name = join_name(path, part);
    enum fuse_status st =
        source->name ? open_file(source, path, probe, err) : fuse_fail(err, FUSE_EMEMORY, "no memory to open %s", path);
    if (st == FUSE_OK)
        *out = (struct fuse_source *)source;
    else
        close_source((struct fuse_source *)source);
    return st;
}

static enum fuse_status read_source(struct fuse_source *handle, const struct fuse_box *box, const struct fuse_view *to,
                                    struct fuse_error *err) {
    return fuse_array_read(&((struct safetensors_source *)handle)->array, box, to, err);
}

/* ---- sinks ---- */

struct safetensors_sink {
    struct fuse_output_file *file;
    struct fuse_arena *arena;
    struct fuse_file_bytes bytes;
    struct fuse_array *array; /* [members] */
    int members;              /* that are open */
};

/* Any name that a JSON key can be, but for what readers would take for something else. */
static const char *sink_part(struct fuse_arena *arena, const char *part, struct fuse_error *err) {
    if (!part)
        return default_name;
    size_t bytes = strlen(part), at = 0;
    bool is_fine = bytes > 0 && bytes <= MOST_NAME_BYTES && strcmp(part, "__metadata__") != 0;
    while (is_fine && at < bytes) {
        int length = fuse_utf8_decode(NULL, part + at, bytes - at);
        is_fine = length > 0 && (unsigned char)part[at] >= ' ' && part[at] != 127;
        at += (size_t)length;
    }
    if (!is_fine) {
        fuse_fail(err, FUSE_EOUTPUT, "'%.60s' cannot be the name of a tensor in a safetensors file", part);
        fuse_hint(err, "names are up to 512 bytes of UTF-8 without control characters, and not '__metadata__'");
        return NULL;
    }
    return fuse_arena_strndup(arena, part, bytes);
}

static void free_sink(struct safetensors_sink *sink) {
    if (!sink)
        return;
    for (int i = 0; i < sink->members; i++)
        fuse_array_close(&sink->array[i]);
    fuse_arena_close(sink->arena);
    free(sink);
}

/* This rank's share of opening: where everything goes. */
static enum fuse_status prepare_sink(struct safetensors_sink *sink, const char **header, int64_t *header_bytes,
                                     int64_t *file_bytes, const struct fuse_sink_file *want, struct fuse_error *err) {
    int64_t *begin = FUSE_NEW_ARRAY(sink->arena, int64_t, want->members);
    sink->array = FUSE_NEW_ARRAY(sink->arena, struct fuse_array, want->members);
    FUSE_TRY(fuse_safetensors_layout(header, header_bytes, begin, file_bytes, sink->arena, want, err));
    for (; sink->members < want->members; sink->members++) {
        const struct fuse_sink_member *member = &want->member[sink->members];
        const char *name = fuse_arena_printf(sink->arena, "%s:%s", want->path, member->part);
        FUSE_TRY(fuse_array_open(&sink->array[sink->members], member->dtype, member->rank, member->extent,
                                 begin[sink->members], &sink->bytes.bytes, name, err));
    }
    return FUSE_OK;
}

static enum fuse_status new_sink(struct safetensors_sink **out, const char *path, struct fuse_error *err) {
    struct safetensors_sink *sink = calloc(1, sizeof *sink);
    if (sink)
        sink->arena = fuse_arena_open(NULL);
    if (!sink || !sink->arena) {
        free(sink);
        return fuse_fail(err, FUSE_EMEMORY, "no memory to open %s", path);
    }
    *out = sink;
    return FUSE_OK;
}

static enum fuse_status open_sink(struct fuse_sink **out, struct fuse_comm *comm, const struct fuse_sink_file *want,
                                  struct fuse_error *err) {
    struct safetensors_sink *sink = NULL;
    struct fuse_output_file *file;
    const char *header = "";
    int64_t header_bytes = 0, file_bytes = 0;
    enum fuse_status st = new_sink(&sink, want->path, err);
    if (st == FUSE_OK)
        st = prepare_sink(sink, &header, &header_bytes, &file_bytes, want, err);
    st = fuse_output_file_open(&file, comm, st, want->path, header, (size_t)header_bytes, file_bytes, err);
    if (st != FUSE_OK) {
        free_sink(sink);
        return st;
    }
    sink->file = file;
    sink->bytes = fuse_file_bytes(file->fd, 0, file->path);
    *out = (struct fuse_sink *)sink;
    return FUSE_OK;
}

static enum fuse_status write_sink(struct fuse_sink *handle, int member, const struct fuse_box *box,
                                   const struct fuse_view *from, struct fuse_error *err) {
    return fuse_array_write(&((struct safetensors_sink *)handle)->array[member], box, from, err);
}

static enum fuse_status finish_sink(struct fuse_sink *handle, struct fuse_comm *comm, struct fuse_error *err) {
    (void)comm;
    return fuse_output_file_finish(((struct safetensors_sink *)handle)->file, err);
}

static struct fuse_output_file *release_sink(struct fuse_sink *handle) {
    struct safetensors_sink *sink = (struct safetensors_sink *)handle;
    struct fuse_output_file *file = sink ? sink->file : NULL;
    free_sink(sink);
    return file;
}

static const char *const suffixes[] = {".safetensors", NULL};

const struct fuse_format fuse_format_safetensors = {
    .name = "safetensors",
    .suffixes = suffixes,
    .is_flat = true,
    .is_independent = true,
    .has_parts = true,
    .sink_part = sink_part,
    .probe = probe_safetensors,
    .list_parts = list_parts,
    .source_open = open_source,
    .source_read = read_source,
    .source_close = close_source,
    .sink_open = open_sink,
    .sink_write = write_sink,
    .sink_finish = finish_sink,
    .sink_release = release_sink,
};
