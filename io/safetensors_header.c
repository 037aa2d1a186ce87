#include "io/safetensors_header.h"

#include "io/json_document.h"

#include "core/hash.h"
#include "core/text.h"

#include <stdlib.h>
#include <string.h>

static const char metadata_key[] = "__metadata__";

enum { LENGTH_BYTES = 8, MOST_VALUES = 1 << 20 };

/* What the reference implementation knows; bits an element. */
static const struct element_type {
    const char *name;
    int bits;
    int dtype; /* -1: not read here */
} types[] = {
    {"BOOL", 8, FUSE_BOOL}, {"U8", 8, FUSE_U8},    {"I8", 8, FUSE_I8},      {"I16", 16, FUSE_I16},
    {"U16", 16, FUSE_U16},  {"F16", 16, FUSE_F16}, {"BF16", 16, FUSE_BF16}, {"I32", 32, FUSE_I32},
    {"U32", 32, FUSE_U32},  {"F32", 32, FUSE_F32}, {"I64", 64, FUSE_I64},   {"U64", 64, FUSE_U64},
    {"F64", 64, FUSE_F64},  {"F4", 4, -1},         {"F6_E2M3", 6, -1},      {"F6_E3M2", 6, -1},
    {"F8_E4M3", 8, -1},     {"F8_E5M2", 8, -1},    {"F8_E8M0", 8, -1},      {"F8_E4M3FNUZ", 8, -1},
    {"F8_E5M2FNUZ", 8, -1}, {"C64", 64, -1},
};

enum { TYPES = sizeof types / sizeof *types };

static const struct element_type *find_type(const char *name) {
    for (int i = 0; i < TYPES; i++)
        if (strcmp(types[i].name, name) == 0)
            return &types[i];
    return NULL;
}

static const char *type_of(enum fuse_dtype dtype) {
    for (int i = 0; i < TYPES; i++)
        if (types[i].dtype == (int)dtype)
            return types[i].name;
    return NULL;
}

static enum fuse_status advise(enum fuse_status st, struct fuse_error *err) {
    if (st == FUSE_EINPUT)
        fuse_hint(err, "write the file again, with a safetensors library");
    return st;
}

/* ---- reading ---- */

/* *out = bytes of the JSON. */
static enum fuse_status read_length(int64_t *out, struct fuse_bytes *file, int64_t file_bytes, const char *path,
                                    struct fuse_error *err) {
    unsigned char at[LENGTH_BYTES];
    uint64_t length = 0;
    if (file_bytes < LENGTH_BYTES)
        return fuse_fail(err, FUSE_EINPUT, "%s is too short for a safetensors file: it has %lld bytes", path,
                         (long long)file_bytes);
    FUSE_TRY(file->read(file, at, sizeof at, 0, err));
    for (int i = LENGTH_BYTES - 1; i >= 0; i--)
        length = length << 8 | at[i];
    if (length > (uint64_t)FUSE_SAFETENSORS_MAX_HEADER)
        return fuse_fail(err, FUSE_EINPUT,
                         "%s is no safetensors file: its first 8 bytes, the length of its header, say %llu", path,
                         (unsigned long long)length);
    if ((int64_t)length > file_bytes - LENGTH_BYTES)
        return fuse_fail(err, FUSE_EINPUT, "%s is truncated: its header has %lld bytes, %lld are left in the file",
                         path, (long long)length, (long long)(file_bytes - LENGTH_BYTES));
    *out = (int64_t)length;
    return FUSE_OK;
}

/* The header's bytes, to be freed. */
static enum fuse_status read_header(char **out, int64_t *bytes, struct fuse_bytes *file, int64_t file_bytes,
                                    const char *path, struct fuse_error *err) {
    int64_t length = 0;
    FUSE_TRY(read_length(&length, file, file_bytes, path, err));
    char *text = malloc((size_t)length + 1);
    if (!text)
        return fuse_fail(err, FUSE_EMEMORY, "no memory for the header of %s", path);
    enum fuse_status st = file->read(file, text, (size_t)length, LENGTH_BYTES, err);
    if (st != FUSE_OK) {
        free(text);
        return st;
    }
    *out = text;
    *bytes = length;
    return FUSE_OK;
}

enum fuse_status fuse_safetensors_digest(uint64_t *out, struct fuse_bytes *file, int64_t file_bytes, const char *path,
                                         struct fuse_error *err) {
    char *text;
    int64_t bytes;
    FUSE_TRY(read_header(&text, &bytes, file, file_bytes, path, err));
    *out = fuse_hash_bytes(FUSE_HASH_SEED, text, (size_t)bytes);
    free(text);
    return FUSE_OK;
}

/* Every product of extents must fit, also when another extent is 0: strides are such products. */
static enum fuse_status read_shape(struct fuse_safetensors_tensor *tensor, const struct fuse_document *doc,
                                   const struct fuse_document_value *shape, struct fuse_error *err) {
    int64_t elems = 1;
    if (shape->members > FUSE_MAX_AXES)
        return fuse_document_fail(doc, shape, err, "a shape of %d axes; there are at most %d", shape->members,
                                  FUSE_MAX_AXES);
    for (const struct fuse_document_value *e = shape->first; e; e = e->next) {
        FUSE_TRY(fuse_document_expect(doc, e, FUSE_DOCUMENT_INTEGER, "an extent", err));
        if (e->integer < 0)
            return fuse_document_fail(doc, e, err, "an extent below 0");
        if (e->integer > 0 && (__builtin_mul_overflow(elems, e->integer, &elems) || elems > FUSE_MAX_EXTENT))
            return fuse_document_fail(doc, e, err, "a shape of more than 2^60 elements");
        tensor->extent[tensor->rank++] = e->integer;
    }
    return FUSE_OK;
}

/* The tensor's bytes, from the beginning of the data for now. */
static enum fuse_status read_range(struct fuse_safetensors_tensor *tensor, const struct fuse_document *doc,
                                   const struct fuse_document_value *range, int64_t data_bytes,
                                   struct fuse_error *err) {
    if (range->members != 2)
        return fuse_document_fail(doc, range, err, "\"data_offsets\" are two, begin and end, not %d", range->members);
    const struct fuse_document_value *begin = range->first, *end = begin->next;
    FUSE_TRY(fuse_document_expect(doc, begin, FUSE_DOCUMENT_INTEGER, "an offset", err));
    FUSE_TRY(fuse_document_expect(doc, end, FUSE_DOCUMENT_INTEGER, "an offset", err));
    tensor->begin = begin->integer;
    tensor->end = end->integer;
    if (begin->integer < 0 || end->integer < begin->integer)
        return fuse_document_fail(doc, range, err, "no range of bytes: %lld to %lld", (long long)begin->integer,
                                  (long long)end->integer);
    if (end->integer > data_bytes)
        return fuse_document_fail(doc, range, err, "bytes %lld to %lld lie beyond the %lld that follow the header",
                                  (long long)begin->integer, (long long)end->integer, (long long)data_bytes);
    return FUSE_OK;
}

static enum fuse_status check_size(const struct fuse_safetensors_tensor *tensor, int bits,
                                   const struct fuse_document *doc, const struct fuse_document_value *range,
                                   struct fuse_error *err) {
    struct fuse_box full = fuse_box_full(tensor->rank, tensor->extent);
    int64_t all_bits = fuse_sat_mul(fuse_box_elems(&full), bits);
    if (all_bits % 8 == 0 && all_bits / 8 == tensor->end - tensor->begin && all_bits < INT64_MAX)
        return FUSE_OK;
    return fuse_document_fail(doc, range, err, "%lld elements of %s do not take %lld bytes",
                              (long long)fuse_box_elems(&full), tensor->type, (long long)(tensor->end - tensor->begin));
}

static enum fuse_status read_tensor(struct fuse_safetensors_tensor *out, const struct fuse_document *doc,
                                    const struct fuse_document_value *entry, int64_t data_bytes,
                                    struct fuse_error *err) {
    static const char *const keys[] = {"dtype", "shape", "data_offsets", NULL};
    const struct fuse_document_value *type, *shape, *range;
    *out = (struct fuse_safetensors_tensor){.name = entry->key};
    FUSE_TRY(fuse_document_expect(doc, entry, FUSE_DOCUMENT_OBJECT, fuse_document_shown(doc, entry->key), err));
    FUSE_TRY(fuse_document_known(doc, entry, keys, "a tensor", err));
    FUSE_TRY(fuse_document_get(&type, doc, entry, keys[0], FUSE_DOCUMENT_STRING, true, err));
    FUSE_TRY(fuse_document_get(&shape, doc, entry, keys[1], FUSE_DOCUMENT_LIST, true, err));
    FUSE_TRY(fuse_document_get(&range, doc, entry, keys[2], FUSE_DOCUMENT_LIST, true, err));
    const struct element_type *known = find_type(type->string);
    if (!known)
        return fuse_document_fail(doc, type, err, "an unknown dtype, %s", fuse_document_shown(doc, type->string));
    out->type = known->name;
    out->is_known = known->dtype >= 0;
    out->dtype = known->dtype >= 0 ? (enum fuse_dtype)known->dtype : FUSE_U8;
    FUSE_TRY(read_shape(out, doc, shape, err));
    FUSE_TRY(read_range(out, doc, range, data_bytes, err));
    return check_size(out, known->bits, doc, range, err);
}

static enum fuse_status read_metadata(struct fuse_safetensors *out, struct fuse_arena *arena,
                                      const struct fuse_document *doc, const struct fuse_document_value *map,
                                      struct fuse_error *err) {
    FUSE_TRY(fuse_document_expect(doc, map, FUSE_DOCUMENT_OBJECT, "\"__metadata__\"", err));
    for (const struct fuse_document_value *m = map->first; m; m = m->next) {
        FUSE_TRY(fuse_document_expect(doc, m, FUSE_DOCUMENT_STRING, "a value of \"__metadata__\"", err));
        fuse_vec_push(arena, &out->attributes, ((struct fuse_attribute){.name = m->key, .text = m->string}));
    }
    return FUSE_OK;
}

static int compare_places(const void *a, const void *b) {
    const struct fuse_safetensors_tensor *const *x = a, *const *y = b;
    if ((*x)->begin != (*y)->begin)
        return (*x)->begin < (*y)->begin ? -1 : 1;
    return (*x)->end < (*y)->end ? -1 : (*x)->end > (*y)->end;
}

/* Tensor behind tensor without a byte between them, to the end of the file. */
static enum fuse_status check_places(const struct fuse_safetensors *file, const struct fuse_document *doc,
                                     int64_t data_bytes, struct fuse_error *err) {
    int n = file->tensors.n;
    int64_t at = 0;
    const struct fuse_safetensors_tensor **order =
        FUSE_NEW_ARRAY(doc->arena, const struct fuse_safetensors_tensor *, n);
    for (int i = 0; i < n; i++)
        order[i] = &file->tensors.at[i];
    if (n > 0) /* qsort's array may not be NULL */
        qsort(order, (size_t)n, sizeof *order, compare_places);
    for (int i = 0; i < n; i++) {
        const struct fuse_safetensors_tensor *t = order[i];
        if (t->begin < at)
            return fuse_fail(err, FUSE_EINPUT, "%s: the tensors %s and %s overlap", doc->name,
                             fuse_document_shown(doc, order[i - 1]->name), fuse_document_shown(doc, t->name));
        if (t->begin > at)
            return fuse_fail(err, FUSE_EINPUT, "%s: the %lld bytes in front of the tensor %s belong to none", doc->name,
                             (long long)(t->begin - at), fuse_document_shown(doc, t->name));
        at = t->end;
    }
    if (at < data_bytes)
        return fuse_fail(err, FUSE_EINPUT, "%s: its last %lld bytes belong to no tensor", doc->name,
                         (long long)(data_bytes - at));
    return FUSE_OK;
}

static enum fuse_status read_entries(struct fuse_safetensors *out, struct fuse_arena *arena,
                                     const struct fuse_document *doc, int64_t data, struct fuse_error *err) {
    int64_t data_bytes = out->file_bytes - data;
    if (doc->root->kind != FUSE_DOCUMENT_OBJECT || doc->root->offset != 0)
        return fuse_document_fail(doc, doc->root, err, "the header must begin with '{'");
    for (const struct fuse_document_value *m = doc->root->first; m; m = m->next) {
        if (strcmp(m->key, metadata_key) == 0) {
            FUSE_TRY(read_metadata(out, arena, doc, m, err));
            continue;
        }
        struct fuse_safetensors_tensor tensor;
        FUSE_TRY(read_tensor(&tensor, doc, m, data_bytes, err));
        fuse_vec_push(arena, &out->tensors, tensor);
    }
    FUSE_TRY(check_places(out, doc, data_bytes, err));
    for (int i = 0; i < out->tensors.n; i++) {
        out->tensors.at[i].begin += data;
        out->tensors.at[i].end += data;
    }
    return FUSE_OK;
}

enum fuse_status fuse_safetensors_read(struct fuse_safetensors *out, struct fuse_arena *arena, struct fuse_bytes *file,
                                       int64_t file_bytes, const char *path, struct fuse_error *err) {
    char *text;
    int64_t bytes;
    struct fuse_document doc;
    struct fuse_document_limits limits = {.bytes = (size_t)FUSE_SAFETENSORS_MAX_HEADER, .values = MOST_VALUES};
    enum fuse_status st = read_header(&text, &bytes, file, file_bytes, path, err);
    if (st != FUSE_OK)
        return advise(st, err);
    struct fuse_safetensors read = {.file_bytes = file_bytes,
                                    .digest = fuse_hash_bytes(FUSE_HASH_SEED, text, (size_t)bytes)};
    st = fuse_document_parse(&doc, arena, text, (size_t)bytes, fuse_arena_printf(arena, "%s (header)", path), limits,
                             err);
    free(text);
    if (st == FUSE_OK)
        st = read_entries(&read, arena, &doc, LENGTH_BYTES + bytes, err);
    if (st == FUSE_OK)
        *out = read;
    return advise(st, err);
}

/* ---- finding a tensor ---- */

static enum fuse_status fail_name(const struct fuse_safetensors *file, struct fuse_arena *arena, const char *path,
                                  const char *name, struct fuse_error *err) {
    enum { SHOWN_BYTES = 200, COMPARED = 4096 };
    int n = file->tensors.n, i = 0, compared = n < COMPARED ? n : COMPARED;
    struct fuse_text names = {.arena = arena};
    const char **known = FUSE_NEW_ARRAY(arena, const char *, compared + 1);
    for (int k = 0; k < compared; k++)
        known[k] = file->tensors.at[k].name;
    for (; i < n && names.bytes < SHOWN_BYTES; i++)
        fuse_text_add(&names, "%s%.60s", i ? ", " : "", file->tensors.at[i].name);
    if (i < n)
        fuse_text_add(&names, " and %d more", n - i);
    if (n == 0)
        return fuse_fail(err, FUSE_EINPUT, "%s holds no tensors", path);
    if (!name) {
        fuse_fail(err, FUSE_EINPUT, "%s holds %d tensors: say which one is meant", path, n);
        fuse_hint(err, "they are %s; write \"file.safetensors:name\"", names.at);
        return FUSE_EINPUT;
    }
    const char *nearest = fuse_document_nearest(name, known);
    fuse_fail(err, FUSE_EINPUT, "%s holds no tensor '%s'", path, name);
    if (nearest)
        fuse_hint(err, "did you mean '%.60s'? It holds %s", nearest, names.at);
    else
        fuse_hint(err, "it holds %s", names.at);
    return FUSE_EINPUT;
}

enum fuse_status fuse_safetensors_probe_tensor(struct fuse_probe *out, const struct fuse_safetensors *file,
                                               const struct fuse_safetensors_tensor *tensor, const char *path,
                                               struct fuse_error *err) {
    if (!tensor->is_known) {
        fuse_fail(err, FUSE_EINPUT, "%s: the tensor '%.60s' is of dtype %s, which is not read", path, tensor->name,
                  tensor->type);
        fuse_hint(err, "store it as F16, BF16 or F32, or as I8 with a scale beside it");
        return FUSE_EINPUT;
    }
    *out = (struct fuse_probe){.rank = tensor->rank,
                               .file_dtype = tensor->dtype,
                               .data_offset = tensor->begin,
                               .file_bytes = file->file_bytes,
                               .digest = file->digest};
    memcpy(out->extent, tensor->extent, sizeof out->extent);
    return FUSE_OK;
}

enum fuse_status fuse_safetensors_probe(struct fuse_probe *out, const struct fuse_safetensors *file,
                                        struct fuse_arena *arena, const char *path, const char *name,
                                        struct fuse_error *err) {
    const struct fuse_safetensors_tensor *found = !name && file->tensors.n == 1 ? file->tensors.at : NULL;
    for (int i = 0; name && !found && i < file->tensors.n; i++)
        if (strcmp(file->tensors.at[i].name, name) == 0)
            found = &file->tensors.at[i];
    if (!found)
        return fail_name(file, arena, path, name, err);
    return fuse_safetensors_probe_tensor(out, file, found, path, err);
}

/* ---- writing ---- */

struct placed {
    const struct fuse_sink_member *member;
    int number;
};

static int compare_members(const void *a, const void *b) {
    const struct placed *x = a, *y = b;
    size_t wide = fuse_dtype_bytes(x->member->dtype), other = fuse_dtype_bytes(y->member->dtype);
    return wide != other ? (wide > other ? -1 : 1) : strcmp(x->member->part, y->member->part);
}

static void add_metadata(struct fuse_text *text, const struct fuse_sink_file *want) {
    fuse_text_add(text, "{");
    if (!want->program && !want->version)
        return;
    fuse_text_add(text, "\"%s\":{", metadata_key);
    if (want->program) {
        fuse_text_add(text, "\"fuse_program\":");
        fuse_text_add_json_string(text, want->program);
    }
    if (want->version) {
        fuse_text_add(text, "%s\"fuse_version\":", want->program ? "," : "");
        fuse_text_add_json_string(text, want->version);
    }
    fuse_text_add(text, "},");
}

static void add_member(struct fuse_text *text, const struct fuse_sink_member *member, int64_t begin, int64_t end) {
    fuse_text_add_json_string(text, member->part);
    fuse_text_add(text, ":{\"dtype\":\"%s\",\"shape\":[", type_of(member->dtype));
    for (int a = 0; a < member->rank; a++)
        fuse_text_add(text, "%s%lld", a ? "," : "", (long long)member->extent[a]);
    fuse_text_add(text, "],\"data_offsets\":[%lld,%lld]}", (long long)begin, (long long)end);
}

enum fuse_status fuse_safetensors_layout(const char **header, int64_t *header_bytes, int64_t *begin,
                                         int64_t *file_bytes, struct fuse_arena *arena,
                                         const struct fuse_sink_file *want, struct fuse_error *err) {
    static const int64_t most = (int64_t)1 << 53; /* no larger offset can be read from JSON */
    struct placed *order = FUSE_NEW_ARRAY(arena, struct placed, want->members);
    struct fuse_text text = {.arena = arena};
    int64_t at = 0;
    for (int i = 0; i < want->members; i++)
        order[i] = (struct placed){.member = &want->member[i], .number = i};
    qsort(order, (size_t)want->members, sizeof *order, compare_members);
    fuse_text_add_bytes(&text, "\0\0\0\0\0\0\0\0", LENGTH_BYTES);
    add_metadata(&text, want);
    for (int i = 0; i < want->members; i++) {
        const struct fuse_sink_member *member = order[i].member;
        struct fuse_box full = fuse_box_full(member->rank, member->extent);
        int64_t bytes = fuse_sat_mul(fuse_box_elems(&full), (int64_t)fuse_dtype_bytes(member->dtype));
        int64_t end = fuse_sat_add(at, bytes);
        add_member(&text, member, at, end);
        fuse_text_add(&text, i + 1 < want->members ? "," : "}");
        begin[order[i].number] = at;
        at = end;
    }
    while (text.bytes % 8 != 0)
        fuse_text_add_bytes(&text, " ", 1);
    if (at > most || (int64_t)text.bytes > FUSE_SAFETENSORS_MAX_HEADER) {
        fuse_fail(err, FUSE_EOUTPUT, "cannot write %s: %s", want->path,
                  at > most ? "a safetensors file has at most 2^53 bytes"
                            : "a safetensors header has at most 100,000,000 bytes");
        fuse_hint(err, "divide the tensors among several files");
        return FUSE_EOUTPUT;
    }
    for (int i = 0; i < LENGTH_BYTES; i++)
        text.at[i] = (char)((text.bytes - LENGTH_BYTES) >> 8 * i & 255);
    for (int i = 0; i < want->members; i++)
        begin[i] += (int64_t)text.bytes;
    *header = text.at;
    *header_bytes = (int64_t)text.bytes;
    *file_bytes = at + (int64_t)text.bytes;
    return FUSE_OK;
}
