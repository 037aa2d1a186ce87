/* .jsonl sources: what sinks write, a line an element. The first line tells the shape; a collective scan checks every line,
 * finds the dtype and counts the lines of each chunk of the file, and then each rank reads from the chunk before its ranges
 * on. */
#include "io/jsonl.h"

#include "io/array.h"
#include "io/decimal.h"
#include "io/json_scan.h"
#include "io/text_file.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BUFFER_BYTES = 1 << 18, MAX_LINE_BYTES = FUSE_DECIMAL_MAX_BYTES + 64, HEAD_BYTES = FUSE_JSON_AROUND_BYTES + 64 };

/* ---- lines ---- */

struct line_reader {
    struct fuse_text_file file;
    const char *path;
    int64_t base; /* of buffer[0] */
    size_t at, filled;
    char *buffer;
};

struct line {
    const char *text; /* without the line break; until the next call */
    size_t bytes;
    int64_t begin;
};

static enum fuse_status refill(struct line_reader *r, struct fuse_error *err) {
    r->base += (int64_t)r->at;
    r->filled -= r->at;
    memmove(r->buffer, r->buffer + r->at, r->filled);
    r->at = 0;
    int64_t rest = r->file.size - r->base - (int64_t)r->filled;
    size_t room = BUFFER_BYTES - r->filled, more = rest < (int64_t)room ? (size_t)rest : room;
    FUSE_TRY(r->file.bytes->read(r->file.bytes, r->buffer + r->filled, more, r->base + (int64_t)r->filled, err));
    r->filled += more;
    return FUSE_OK;
}

/* *found is false behind the last line. One that is too long comes in pieces, which are no elements. */
static enum fuse_status next_line(struct line_reader *r, struct line *out, bool *found, struct fuse_error *err) {
    if (r->filled - r->at < MAX_LINE_BYTES && r->base + (int64_t)r->filled < r->file.size)
        FUSE_TRY(refill(r, err));
    size_t rest = r->filled - r->at;
    *found = rest > 0;
    const char *text = r->buffer + r->at, *end = rest > 0 ? memchr(text, '\n', rest) : NULL;
    out->text = text;
    out->begin = r->base + (int64_t)r->at;
    out->bytes = end ? (size_t)(end - text) : rest;
    r->at += out->bytes + (end != NULL);
    return FUSE_OK;
}

/* To the first line that begins at `offset` or behind it. */
static enum fuse_status seek_line(struct line_reader *r, int64_t offset, int64_t head_bytes, struct fuse_error *err) {
    struct line skipped;
    bool found;
    r->base = offset <= head_bytes ? head_bytes : offset - 1;
    r->at = r->filled = 0;
    return offset <= head_bytes ? FUSE_OK : next_line(r, &skipped, &found, err);
}

/* ---- elements ---- */

struct element {
    enum { BOOLEAN, INTEGER, REAL } kind;
    int64_t integer; /* BOOLEAN, INTEGER */
    float real;      /* INTEGER, REAL */
};

static size_t digits(const char *text, size_t bytes, size_t at) {
    while (at < bytes && text[at] >= '0' && text[at] <= '9')
        at++;
    return at;
}

/* number := ['-'] (0 | 1-9 ..) ['.' digits] [e ['+'|'-'] digits] */
static bool is_number(const char *text, size_t bytes, bool *is_integer) {
    size_t first = bytes > 0 && text[0] == '-', at = digits(text, bytes, first);
    if (at == first || (text[first] == '0' && at > first + 1))
        return false;
    *is_integer = at == bytes;
    if (at < bytes && text[at] == '.') {
        size_t from = at + 1;
        at = digits(text, bytes, from);
        if (at == from)
            return false;
    }
    if (at < bytes && (text[at] == 'e' || text[at] == 'E')) {
        size_t from = at + 1;
        from += from < bytes && (text[from] == '-' || text[from] == '+');
        at = digits(text, bytes, from);
        if (at == from)
            return false;
    }
    return at == bytes;
}

static bool read_integer(int64_t *out, const char *text, size_t bytes) {
    bool negative = text[0] == '-';
    *out = 0;
    for (size_t k = negative; k < bytes; k++)
        if (__builtin_mul_overflow(*out, 10, out) || __builtin_sub_overflow(*out, text[k] - '0', out))
            return false;
    return negative || !__builtin_sub_overflow(0, *out, out);
}

/* NULL, or what is wrong with the line. */
static const char *parse_line(struct element *out, const struct line *line) {
    static const char head[] = FUSE_JSONL_VALUE;
    size_t skip = sizeof head - 1;
    bool is_integer;
    if (line->bytes > MAX_LINE_BYTES || line->bytes < skip + 2 || memcmp(line->text, head, skip) != 0 ||
        line->text[line->bytes - 1] != '}')
        return "this is no {\"value\":..}";
    const char *text = line->text + skip;
    size_t bytes = line->bytes - skip - 1;
    bool yes = bytes == 4 && memcmp(text, "true", 4) == 0, no = bytes == 5 && memcmp(text, "false", 5) == 0;
    if (yes || no) {
        *out = (struct element){.kind = BOOLEAN, .integer = yes};
        return NULL;
    }
    if (bytes > FUSE_DECIMAL_MAX_BYTES || !is_number(text, bytes, &is_integer))
        return "the value is no number and no Boolean";
    *out = (struct element){.kind = is_integer ? INTEGER : REAL, .real = fuse_decimal_read_f32(text, bytes)};
    if (isinf(out->real))
        return "the number is too large";
    return is_integer && !read_integer(&out->integer, text, bytes) ? "the integer is beyond 64 bits" : NULL;
}

/* ---- the first line ---- */

static enum fuse_status fail_head(const char *path, struct fuse_error *err) {
    enum fuse_status st = fuse_fail(err, FUSE_EINPUT, "%s:1: the first line does not tell a tensor's shape", path);
    fuse_hint(err, "it is %s..]}", FUSE_JSONL_TENSOR_HEAD);
    return st;
}

static enum fuse_status parse_head(struct fuse_probe *probe, const char *text, size_t bytes, const char *path,
                                   struct fuse_error *err) {
    static const char head[] = FUSE_JSONL_TENSOR_HEAD, topk[] = FUSE_JSONL_TOPK_HEAD;
    size_t at = sizeof head - 1;
    if (bytes >= sizeof topk - 1 && memcmp(text, topk, sizeof topk - 1) == 0)
        return fuse_fail(err, FUSE_EINPUT, "%s: a ranking (fuse.topk) is no tensor and cannot be read", path);
    if (bytes < at || memcmp(text, head, at) != 0)
        return fail_head(path, err);
    while (at < bytes && text[at] != ']') {
        size_t begin = at, end = digits(text, bytes, at);
        int64_t extent;
        if (end == begin || probe->rank == FUSE_MAX_AXES || !read_integer(&extent, text + begin, end - begin))
            return fail_head(path, err);
        probe->extent[probe->rank++] = extent;
        at = end;
        if (at < bytes && text[at] == ',' && at + 1 < bytes && text[at + 1] != ']')
            at++;
        else if (at >= bytes || text[at] != ']')
            return fail_head(path, err);
    }
    if (at + 2 > bytes || text[at + 1] != '}' || (at + 2 < bytes && text[at + 2] != '\n'))
        return fail_head(path, err);
    probe->data_offset = (int64_t)(at + 2 < bytes ? at + 3 : at + 2);
    return FUSE_OK;
}

static int64_t elems_of(const struct fuse_probe *probe) {
    int64_t elems = 1;
    for (int a = 0; a < probe->rank; a++)
        elems = fuse_sat_mul(elems, probe->extent[a]);
    return elems;
}

static enum fuse_status read_head(struct fuse_probe *probe, const char *path, struct fuse_error *err) {
    char head[HEAD_BYTES];
    struct fuse_text_file file;
    size_t bytes = 0;
    enum fuse_status st = fuse_text_file_open(&file, path, probe, err);
    if (st == FUSE_OK) {
        bytes = file.size < HEAD_BYTES ? (size_t)file.size : HEAD_BYTES;
        st = file.bytes->read(file.bytes, head, bytes, 0, err);
    }
    fuse_text_file_close(&file);
    return st == FUSE_OK ? parse_head(probe, head, bytes, path, err) : st;
}

static enum fuse_status probe_jsonl(struct fuse_probe *out, const char *path, const char *part,
                                    struct fuse_error *err) {
    struct fuse_probe probe = {.file_dtype = FUSE_F32};
    (void)part;
    FUSE_TRY(fuse_text_file_probe(&probe.file_bytes, path, err));
    if (!fuse_text_file_is_packed(path))
        FUSE_TRY(read_head(&probe, path, err));
    *out = probe;
    return FUSE_OK;
}

/* ---- the scan ---- */

static enum fuse_status fail_changed(const char *path, struct fuse_error *err) {
    return fuse_fail(err, FUSE_EINPUT, "%s changed after it was probed", path);
}

static enum fuse_status open_reader(struct line_reader *r, const char *path, const struct fuse_probe *probe,
                                    struct fuse_error *err) {
    *r = (struct line_reader){.file.fd = -1, .path = path, .buffer = malloc(BUFFER_BYTES)};
    if (!r->buffer)
        return fuse_fail(err, FUSE_EMEMORY, "no memory to read %s", path);
    return fuse_text_file_open(&r->file, path, probe, err);
}

static void close_reader(struct line_reader *r) {
    fuse_text_file_close(&r->file);
    free(r->buffer);
}

struct part {
    int64_t kinds[3]; /* were there such elements? */
    int64_t lines;
    const char *wrong; /* with line number `lines` of this rank; NULL: nothing */
};

/* The lines that begin in chunks [first, end), counted in count[chunk]. */
static enum fuse_status scan_part(struct part *part, int64_t *count, int64_t first, int64_t end, int64_t chunk_bytes,
                                  const char *path, const struct fuse_probe *probe, struct fuse_error *err) {
    struct line_reader r;
    struct line line;
    struct element element;
    bool found = first < end;
    enum fuse_status st = open_reader(&r, path, probe, err);
    if (st == FUSE_OK && found)
        st = seek_line(&r, first * chunk_bytes, probe->data_offset, err);
    while (st == FUSE_OK && found && !part->wrong) {
        st = next_line(&r, &line, &found, err);
        if (st != FUSE_OK || !found || line.begin >= end * chunk_bytes)
            break;
        part->wrong = parse_line(&element, &line);
        if (!part->wrong) {
            part->kinds[element.kind] = 1;
            count[line.begin / chunk_bytes]++;
            part->lines++;
        }
    }
    close_reader(&r);
    return st;
}

/* What every rank knows when the counts of all are added up. */
static enum fuse_status judge(struct fuse_probe *probe, int64_t lines, const int64_t *kinds, const char *path,
                              struct fuse_error *err) {
    if (kinds[BOOLEAN] && (kinds[INTEGER] || kinds[REAL]))
        return fuse_fail(err, FUSE_EINPUT, "%s: Booleans and numbers are mixed", path);
    if (lines != elems_of(probe))
        return fuse_fail(err, FUSE_EINPUT, "%s: the shape has %" PRId64 " elements, but %" PRId64 " lines follow", path,
                         elems_of(probe), lines);
    probe->file_dtype = kinds[BOOLEAN] ? FUSE_BOOL : kinds[REAL] || !kinds[INTEGER] ? FUSE_F32 : FUSE_I64;
    return FUSE_OK;
}

static enum fuse_status scan_jsonl(struct fuse_probe *probe, struct fuse_arena *arena, struct fuse_comm *comm,
                                   const char *path, const char *file_part, struct fuse_error *err) {
    FUSE_TRY(fuse_text_file_scan(probe, arena, comm, path, err));
    if (probe->packing)
        FUSE_TRY(fuse_agree(comm, read_head(probe, path, err), err));
    int64_t text_bytes = fuse_text_file_bytes(probe);
    int64_t chunk_bytes = fuse_json_chunk_bytes(text_bytes), chunks = text_bytes / chunk_bytes + 1;
    int64_t first = fuse_split_begin(chunks, comm->size, comm->rank);
    int64_t end = fuse_split_begin(chunks, comm->size, comm->rank + 1);
    int64_t *count = FUSE_NEW_ARRAY(arena, int64_t, chunks), before = 0, lines_before = 0;
    struct part part = {.wrong = NULL};
    (void)file_part;
    FUSE_TRY(fuse_agree(comm, scan_part(&part, count, first, end, chunk_bytes, path, probe, err), err));
    int64_t kinds[3] = {part.kinds[0], part.kinds[1], part.kinds[2]};
    FUSE_TRY(comm->ops->reduce_int64(comm, FUSE_REDUCE_MAX, kinds, 3, err));
    FUSE_TRY(comm->ops->reduce_int64(comm, FUSE_REDUCE_SUM, count, (int)chunks, err));
    for (int64_t k = 0; k < chunks; k++) {
        int64_t own = count[k];
        lines_before += k < first ? own : 0;
        count[k] = before;
        before += own;
    }
    enum fuse_status st = FUSE_OK;
    if (part.wrong)
        st = fuse_fail(err, FUSE_EINPUT, "%s:%" PRId64 ": %s", path, lines_before + part.lines + 2, part.wrong);
    FUSE_TRY(fuse_agree(comm, st, err));
    FUSE_TRY(judge(probe, before, kinds, path, err)); /* all alike */
    struct fuse_json_index *index = FUSE_NEW(arena, struct fuse_json_index);
    *index = (struct fuse_json_index){chunk_bytes, chunks, before, count};
    probe->index = index;
    return FUSE_OK;
}

/* ---- reading ---- */

/* The elements as if they were stored packed. */
struct element_bytes {
    struct fuse_bytes bytes;
    struct line_reader reader;
    const struct fuse_json_index *index;
    enum fuse_dtype dtype;
    int64_t head_bytes, next; /* number of the element that comes next; -1: nowhere */
};

struct jsonl_source {
    char *path;
    struct element_bytes elements;
    struct fuse_array array;
};

static enum fuse_status next_element(struct element_bytes *e, struct element *out, struct fuse_error *err) {
    struct line line;
    bool found;
    FUSE_TRY(next_line(&e->reader, &line, &found, err));
    if (!found || parse_line(out, &line) || (e->dtype == FUSE_BOOL) != (out->kind == BOOLEAN) ||
        (e->dtype == FUSE_I64 && out->kind != INTEGER))
        return fail_changed(e->reader.path, err);
    e->next++;
    return FUSE_OK;
}

/* To the last chunk before which at most `value` elements begin, if the cursor is not better. */
static enum fuse_status go_near(struct element_bytes *e, int64_t value, struct fuse_error *err) {
    int64_t low = 0, high = e->index->chunks;
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        *(e->index->before[middle] <= value ? &low : &high) = middle;
    }
    if (e->next >= e->index->before[low] && e->next <= value)
        return FUSE_OK;
    e->next = e->index->before[low];
    return seek_line(&e->reader, low * e->index->chunk_bytes, e->head_bytes, err);
}

static enum fuse_status read_values(struct fuse_bytes *self, void *to, size_t bytes, int64_t offset,
                                    struct fuse_error *err) {
    struct element_bytes *e = (struct element_bytes *)self;
    struct element element;
    size_t size = fuse_dtype_bytes(e->dtype);
    int64_t first = offset / (int64_t)size;
    FUSE_TRY(go_near(e, first, err));
    while (e->next < first)
        FUSE_TRY(next_element(e, &element, err));
    for (char *at = to, *end = at + bytes; at < end; at += size) {
        FUSE_TRY(next_element(e, &element, err));
        if (e->dtype == FUSE_BOOL)
            *(uint8_t *)at = (uint8_t)element.integer;
        else
            memcpy(at, e->dtype == FUSE_I64 ? (const void *)&element.integer : &element.real, size);
    }
    return FUSE_OK;
}

static void close_source(struct fuse_source *handle) {
    struct jsonl_source *source = (struct jsonl_source *)handle;
    if (!source)
        return;
    close_reader(&source->elements.reader);
    fuse_array_close(&source->array);
    free(source->path);
    free(source);
}

static enum fuse_status open_source(struct fuse_source **out, const char *path, const char *part,
                                    const struct fuse_probe *probe, struct fuse_error *err) {
    (void)part;
    struct jsonl_source *source = calloc(1, sizeof *source);
    char *copy = source ? strdup(path) : NULL;
    if (!copy) {
        free(source);
        return fuse_fail(err, FUSE_EMEMORY, "no memory to open %s", path);
    }
    source->path = copy;
    struct element_bytes *e = &source->elements;
    struct fuse_probe stored = *probe;
    stored.data_offset = 0; /* of the elements as they are handed on */
    e->bytes.read = read_values;
    e->index = probe->index;
    e->dtype = probe->file_dtype;
    e->head_bytes = probe->data_offset;
    e->next = -1;
    enum fuse_status st = open_reader(&e->reader, copy, probe, err);
    if (st == FUSE_OK)
        st = fuse_array_open_probed(&source->array, &stored, &e->bytes, copy, err);
    if (st == FUSE_OK)
        *out = (struct fuse_source *)source;
    else
        close_source((struct fuse_source *)source);
    return st;
}

static enum fuse_status read_source(struct fuse_source *handle, const struct fuse_box *box, const struct fuse_view *to,
                                    struct fuse_error *err) {
    return fuse_array_read(&((struct jsonl_source *)handle)->array, box, to, err);
}

static const char *const suffixes[] = {".jsonl", ".jsonl.gz", NULL};

const struct fuse_format fuse_format_jsonl = {
    .name = "jsonl",
    .suffixes = suffixes,
    .probe = probe_jsonl,
    .scan = scan_jsonl,
    .source_open = open_source,
    .source_read = read_source,
    .source_close = close_source,
    .sink_open = fuse_jsonl_sink_open,
    .sink_write = fuse_text_sink_write,
    .sink_finish = fuse_text_sink_finish,
    .sink_release = fuse_text_sink_release,
};
