/* .json sources: nested lists of numbers or Booleans. A collective scan finds shape, dtype and a sparse index; then each
 * rank parses from the entry before its ranges on, and keeps only those. */
#include "io/json.h"

#include "io/array.h"
#include "io/json_scan.h"
#include "io/text_file.h"

#include <stdlib.h>
#include <string.h>

/* The elements as if they were stored packed: what a text would be in an npy file. */
struct element_bytes {
    struct fuse_bytes bytes;
    struct fuse_json_reader reader;
    const struct fuse_json_index *index;
    enum fuse_dtype dtype;
    const char *path;
    int64_t next; /* number of the value that the reader comes to next; -1: nowhere */
};

struct json_source {
    char *path;
    struct fuse_text_file file;
    struct element_bytes elements;
    struct fuse_array array;
};

static enum fuse_status fail_changed(const char *path, struct fuse_error *err) {
    return fuse_fail(err, FUSE_EINPUT, "%s changed after it was probed", path);
}

/* The last chunk before which at most `value` values begin, if the cursor is not better. */
static enum fuse_status go_near(struct element_bytes *e, int64_t value, struct fuse_error *err) {
    int64_t low = 0, high = e->index->chunks; /* before[low] <= value < before[high] */
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        *(e->index->before[middle] <= value ? &low : &high) = middle;
    }
    if (e->next >= e->index->before[low] && e->next <= value)
        return FUSE_OK;
    e->next = e->index->before[low];
    return fuse_json_seek(&e->reader, low * e->index->chunk_bytes, err);
}

static enum fuse_status next_value(struct element_bytes *e, struct fuse_json_token *token, struct fuse_error *err) {
    int64_t at;
    FUSE_TRY(fuse_json_skip(&e->reader, &at, err));
    FUSE_TRY(fuse_json_next(&e->reader, token, err));
    e->next++;
    bool is_bool = token->kind == FUSE_JSON_BOOL;
    bool is_number = token->kind == FUSE_JSON_INTEGER || (token->kind == FUSE_JSON_REAL && e->dtype == FUSE_F32);
    return (e->dtype == FUSE_BOOL ? is_bool : is_number) ? FUSE_OK : fail_changed(e->path, err);
}

static void store_value(void *to, enum fuse_dtype dtype, const struct fuse_json_token *token) {
    if (dtype == FUSE_BOOL) {
        *(uint8_t *)to = token->truth;
    } else if (dtype == FUSE_I64) {
        memcpy(to, &token->integer, sizeof token->integer);
    } else {
        float value = token->kind == FUSE_JSON_INTEGER ? (float)token->integer : token->real;
        memcpy(to, &value, sizeof value);
    }
}

static enum fuse_status read_values(struct fuse_bytes *self, void *to, size_t bytes, int64_t offset,
                                    struct fuse_error *err) {
    struct element_bytes *e = (struct element_bytes *)self;
    struct fuse_json_token token;
    size_t size = fuse_dtype_bytes(e->dtype);
    int64_t first = offset / (int64_t)size;
    FUSE_TRY(go_near(e, first, err));
    while (e->next < first)
        FUSE_TRY(next_value(e, &token, err));
    for (char *at = to, *end = at + bytes; at < end; at += size) {
        FUSE_TRY(next_value(e, &token, err));
        store_value(at, e->dtype, &token);
    }
    return FUSE_OK;
}

static enum fuse_status probe_json(struct fuse_probe *out, const char *path, const char *part, struct fuse_error *err) {
    (void)part;
    struct fuse_probe probe = {.file_dtype = FUSE_F32};
    FUSE_TRY(fuse_text_file_probe(&probe.file_bytes, path, err));
    *out = probe;
    return FUSE_OK;
}

static enum fuse_status scan_json(struct fuse_probe *probe, struct fuse_arena *arena, struct fuse_comm *comm,
                                  const char *path, const char *part, struct fuse_error *err) {
    (void)part;
    struct fuse_text_file file = {.fd = -1};
    struct fuse_probe found;
    FUSE_TRY(fuse_text_file_scan(probe, arena, comm, path, err));
    enum fuse_status st = fuse_agree(comm, fuse_text_file_open(&file, path, probe, err), err);
    if (st == FUSE_OK)
        st = fuse_json_scan(&found, arena, comm, file.bytes, file.size, fuse_json_chunk_bytes(file.size), path, err);
    if (st == FUSE_OK) {
        found.file_bytes = probe->file_bytes;
        found.packing = probe->packing;
        *probe = found;
    }
    fuse_text_file_close(&file);
    return st;
}

static void close_source(struct fuse_source *handle) {
    struct json_source *source = (struct json_source *)handle;
    if (!source)
        return;
    fuse_text_file_close(&source->file);
    fuse_json_close(&source->elements.reader);
    fuse_array_close(&source->array);
    free(source->path);
    free(source);
}

static enum fuse_status open_source(struct fuse_source **out, const char *path, const char *part,
                                    const struct fuse_probe *probe, struct fuse_error *err) {
    (void)part;
    struct json_source *source = calloc(1, sizeof *source);
    if (!source)
        return fuse_fail(err, FUSE_EMEMORY, "no memory to open %s", path);
    source->file.fd = -1;
    source->path = strdup(path);
    struct element_bytes *e = &source->elements;
    enum fuse_status st = source->path ? FUSE_OK : fuse_fail(err, FUSE_EMEMORY, "no memory to open %s", path);
    FUSE_TRY_GOTO(st, st, close_it);
    FUSE_TRY_GOTO(st, fuse_text_file_open(&source->file, source->path, probe, err), close_it);
    FUSE_TRY_GOTO(st, fuse_json_open(&e->reader, source->file.bytes, source->file.size, path, err), close_it);
    e->bytes.read = read_values;
    e->index = probe->index;
    e->dtype = probe->file_dtype;
    e->path = source->path;
    e->next = -1;
    FUSE_TRY_GOTO(st, fuse_array_open_probed(&source->array, probe, &e->bytes, source->path, err), close_it);
    *out = (struct fuse_source *)source;
    return FUSE_OK;

close_it:
    close_source((struct fuse_source *)source);
    return st;
}

static enum fuse_status read_source(struct fuse_source *handle, const struct fuse_box *box, const struct fuse_view *to,
                                    struct fuse_error *err) {
    return fuse_array_read(&((struct json_source *)handle)->array, box, to, err);
}

static const char *const suffixes[] = {".json", ".json.gz", NULL};

const struct fuse_format fuse_format_json = {
    .name = "json",
    .suffixes = suffixes,
    .probe = probe_json,
    .scan = scan_json,
    .source_open = open_source,
    .source_read = read_source,
    .source_close = close_source,
    .sink_open = fuse_json_sink_open,
    .sink_write = fuse_text_sink_write,
    .sink_finish = fuse_text_sink_finish,
    .sink_release = fuse_text_sink_release,
};
