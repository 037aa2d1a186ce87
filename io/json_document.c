#include "io/json_document.h"

#include "core/text.h"
#include "io/json_grammar.h"
#include "io/rawfile.h"

#include <cjson/cJSON.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DEFAULT_BYTES = 16 << 20, DEFAULT_VALUES = 1 << 18, MOST_BYTES = 1 << 30, SHOWN_BYTES = 60 };

/* ---- messages ---- */

void fuse_document_place(const struct fuse_document *doc, uint32_t offset, int *line, int *column) {
    const char *at = doc->text, *end = doc->text + offset;
    *line = *column = 1;
    while (at < end) {
        int bytes = fuse_utf8_decode(NULL, at, (size_t)(end - at));
        *column = *at == '\n' ? 1 : *column + 1;
        *line += *at == '\n';
        at += bytes ? bytes : 1;
    }
}

static enum fuse_status fail_offset(const struct fuse_document *doc, uint32_t offset, struct fuse_error *err,
                                    const char *format, va_list args) {
    char reason[600];
    int line, column;
    fuse_document_place(doc, offset, &line, &column);
    vsnprintf(reason, sizeof reason, format, args);
    return fuse_fail(err, FUSE_EINPUT, "%s:%d:%d: %s", doc->name, line, column, reason);
}

enum fuse_status fuse_document_fail(const struct fuse_document *doc, const struct fuse_document_value *value,
                                    struct fuse_error *err, const char *format, ...) {
    va_list args;
    va_start(args, format);
    enum fuse_status st = fail_offset(doc, value->offset, err, format, args);
    va_end(args);
    return st;
}

enum fuse_status fuse_document_fail_key(const struct fuse_document *doc, const struct fuse_document_value *value,
                                        struct fuse_error *err, const char *format, ...) {
    va_list args;
    va_start(args, format);
    enum fuse_status st = fail_offset(doc, value->key ? value->key_offset : value->offset, err, format, args);
    va_end(args);
    return st;
}

const char *fuse_document_shown(const struct fuse_document *doc, const char *string) {
    size_t bytes = strlen(string);
    struct fuse_text text = {.arena = doc->arena};
    if (bytes > SHOWN_BYTES) {
        for (bytes = SHOWN_BYTES; ((unsigned char)string[bytes] & 0xC0) == 0x80; bytes--)
            continue;
        string = fuse_arena_printf(doc->arena, "%.*s...", (int)bytes, string);
    }
    fuse_text_add_json_string(&text, string);
    return text.at;
}

/* ---- from cJSON's tree to ours ---- */

static enum fuse_document_kind kind_of(const cJSON *item, bool is_integer) {
    if (cJSON_IsObject(item))
        return FUSE_DOCUMENT_OBJECT;
    if (cJSON_IsArray(item))
        return FUSE_DOCUMENT_LIST;
    if (cJSON_IsString(item))
        return FUSE_DOCUMENT_STRING;
    if (cJSON_IsBool(item))
        return FUSE_DOCUMENT_BOOL;
    if (cJSON_IsNull(item))
        return FUSE_DOCUMENT_NULL;
    return is_integer ? FUSE_DOCUMENT_INTEGER : FUSE_DOCUMENT_REAL;
}

struct copy {
    struct fuse_document *doc;
    const struct fuse_json_grammar *grammar;
    int n; /* values copied: the tree is walked in the order in which the pass met the values */
};

static struct fuse_document_value *copy_value(struct copy *copy, const cJSON *item) {
    struct fuse_arena *arena = copy->doc->arena;
    if (copy->n == copy->grammar->spots.n)
        return NULL;
    const struct fuse_json_spot *spot = &copy->grammar->spots.at[copy->n++];
    struct fuse_document_value *value = FUSE_NEW(arena, struct fuse_document_value);
    value->kind = kind_of(item, spot->is_integer);
    value->offset = spot->offset;
    value->key_offset = spot->key_offset;
    value->key = item->string ? fuse_arena_strndup(arena, item->string, strlen(item->string)) : NULL;
    switch (value->kind) {
    case FUSE_DOCUMENT_BOOL: value->truth = cJSON_IsTrue(item); break;
    case FUSE_DOCUMENT_INTEGER: value->integer = (int64_t)item->valuedouble; break;
    case FUSE_DOCUMENT_REAL: value->real = item->valuedouble; break;
    case FUSE_DOCUMENT_STRING:
        value->string = fuse_arena_strndup(arena, item->valuestring, strlen(item->valuestring));
        break;
    default: break;
    }
    const struct fuse_document_value **link = &value->first;
    for (const cJSON *child = item->child; child; child = child->next) {
        struct fuse_document_value *member = copy_value(copy, child);
        if (!member)
            return NULL;
        *link = member;
        link = &member->next;
        value->members++;
    }
    return value;
}

static int compare_keys(const void *a, const void *b) {
    const struct fuse_document_value *const *x = a, *const *y = b;
    int order = strcmp((*x)->key, (*y)->key);
    return order != 0 ? order : (*x)->key_offset < (*y)->key_offset ? -1 : 1;
}

/* The first key of the text that stands a second time in its object goes to *twice, with the one before it. */
static void find_twice(const struct fuse_document_value *value, struct fuse_arena *scratch,
                       const struct fuse_document_value *twice[2]) {
    bool is_object = value->kind == FUSE_DOCUMENT_OBJECT;
    if (!is_object && value->kind != FUSE_DOCUMENT_LIST)
        return;
    if (is_object && value->members > 1) {
        struct fuse_arena_mark mark = fuse_arena_mark(scratch);
        const struct fuse_document_value **member =
            FUSE_NEW_ARRAY(scratch, const struct fuse_document_value *, value->members);
        int n = 0;
        for (const struct fuse_document_value *m = value->first; m; m = m->next)
            member[n++] = m;
        qsort(member, (size_t)n, sizeof *member, compare_keys);
        for (int i = 1; i < n; i++)
            if (strcmp(member[i]->key, member[i - 1]->key) == 0 &&
                (!twice[1] || member[i]->key_offset < twice[1]->key_offset)) {
                twice[0] = member[i - 1];
                twice[1] = member[i];
            }
        fuse_arena_rewind(scratch, mark);
    }
    for (const struct fuse_document_value *m = value->first; m; m = m->next)
        find_twice(m, scratch, twice);
}

static enum fuse_status refuse_twice(const struct fuse_document *doc, struct fuse_arena *scratch,
                                     struct fuse_error *err) {
    const struct fuse_document_value *twice[2] = {NULL, NULL};
    int line, column;
    find_twice(doc->root, scratch, twice);
    if (!twice[1])
        return FUSE_OK;
    fuse_document_place(doc, twice[0]->key_offset, &line, &column);
    fuse_document_fail_key(doc, twice[1], err, "the key %s stands twice in this object, first at %d:%d",
                           fuse_document_shown(doc, twice[1]->key), line, column);
    fuse_hint(err, "programs differ in which of the two they take: keep one");
    return FUSE_EINPUT;
}

static enum fuse_status parse_checked(struct fuse_document *doc, const struct fuse_json_grammar *grammar,
                                      struct fuse_error *err) {
    /* The text ends in a NUL, which cJSON is to find where the document ends. */
    cJSON *tree = cJSON_ParseWithLengthOpts(doc->text, doc->bytes + 1, NULL, 1);
    if (!tree)
        return fuse_fail(err, FUSE_EMEMORY, "no memory to read %s", doc->name);
    struct copy copy = {.doc = doc, .grammar = grammar};
    doc->root = copy_value(&copy, tree);
    cJSON_Delete(tree);
    if (!doc->root || copy.n != grammar->spots.n)
        return fuse_fail(err, FUSE_EBUG, "%s has %d values, and not those that cJSON finds", doc->name,
                         grammar->spots.n);
    return FUSE_OK;
}

static size_t most_bytes(struct fuse_document_limits limits) {
    size_t most = limits.bytes ? limits.bytes : DEFAULT_BYTES;
    return most < MOST_BYTES ? most : MOST_BYTES;
}

static enum fuse_status refuse_size(size_t bytes, struct fuse_document_limits limits, const char *name,
                                    struct fuse_error *err) {
    if (bytes <= most_bytes(limits))
        return FUSE_OK;
    fuse_fail(err, FUSE_EINPUT, "%s has %zu bytes; at most %zu are read of a document of this kind", name, bytes,
              most_bytes(limits));
    fuse_hint(err, "large arrays belong into .npy or .h5 files");
    return FUSE_EINPUT;
}

enum fuse_status fuse_document_parse(struct fuse_document *out, struct fuse_arena *arena, const char *text,
                                     size_t bytes, const char *name, struct fuse_document_limits limits,
                                     struct fuse_error *err) {
    FUSE_TRY(refuse_size(bytes, limits, name, err));
    struct fuse_arena *scratch = fuse_arena_open(NULL);
    if (!scratch)
        return fuse_fail(err, FUSE_EMEMORY, "no memory to read %s", name);
    struct fuse_document doc = {.name = fuse_arena_strndup(arena, name, strlen(name)), .bytes = bytes, .arena = arena};
    doc.text = fuse_arena_strndup(arena, text, bytes);
    struct fuse_json_grammar grammar;
    enum fuse_status st = FUSE_OK;
    if (!fuse_json_grammar_check(&grammar, scratch, doc.text, bytes,
                                 limits.values ? limits.values : (size_t)DEFAULT_VALUES)) {
        struct fuse_document_value place = {.offset = grammar.offset};
        st = fuse_document_fail(&doc, &place, err, "%s", grammar.reason);
        fuse_hint(err, "%s", grammar.hint);
    }
    if (st == FUSE_OK)
        st = parse_checked(&doc, &grammar, err);
    if (st == FUSE_OK)
        st = refuse_twice(&doc, scratch, err);
    fuse_arena_close(scratch);
    if (st == FUSE_OK)
        *out = doc;
    return st;
}

enum fuse_status fuse_document_read(struct fuse_document *out, struct fuse_arena *arena, const char *path,
                                    struct fuse_document_limits limits, struct fuse_error *err) {
    int fd;
    int64_t bytes;
    FUSE_TRY(fuse_rawfile_open(&fd, &bytes, path, err));
    enum fuse_status st = refuse_size((size_t)bytes, limits, path, err);
    char *text = NULL;
    if (st == FUSE_OK) {
        text = malloc((size_t)bytes + 1);
        st = text ? fuse_rawfile_read(fd, text, (size_t)bytes, 0, path, err)
                  : fuse_fail(err, FUSE_EMEMORY, "no memory to read %s", path);
    }
    close(fd);
    if (st == FUSE_OK)
        st = fuse_document_parse(out, arena, text, (size_t)bytes, path, limits, err);
    free(text);
    return st;
}
