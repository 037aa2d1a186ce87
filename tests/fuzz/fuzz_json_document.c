/* Any bytes as a small JSON document: it is refused with a place, or what comes out is what the text says: values lie where
 * their first bytes are, no key stands twice, and the text made of the values again gives the same values. */
#include "core/text.h"
#include "io/json_document.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void print(struct fuse_text *text, const struct fuse_document_value *value) {
    switch (value->kind) {
    case FUSE_DOCUMENT_NULL: fuse_text_add(text, "null"); break;
    case FUSE_DOCUMENT_BOOL: fuse_text_add(text, value->truth ? "true" : "false"); break;
    case FUSE_DOCUMENT_INTEGER: fuse_text_add(text, "%lld", (long long)value->integer); break;
    case FUSE_DOCUMENT_REAL: fuse_text_add(text, "%.17e", value->real); break;
    case FUSE_DOCUMENT_STRING: fuse_text_add_json_string(text, value->string); break;
    default: {
        bool is_object = value->kind == FUSE_DOCUMENT_OBJECT;
        fuse_text_add(text, is_object ? "{" : "[");
        for (const struct fuse_document_value *m = value->first; m; m = m->next) {
            if (is_object) {
                fuse_text_add_json_string(text, m->key);
                fuse_text_add(text, ":");
            }
            print(text, m);
            if (m->next)
                fuse_text_add(text, ",");
        }
        fuse_text_add(text, is_object ? "}" : "]");
    }
    }
}

static void check_value(const struct fuse_document *doc, const struct fuse_document_value *value) {
    static const char first[] = {'n', 0, 0, 0, '"', '[', '{'};
    char at = doc->text[value->offset], want = first[value->kind];
    bool is_number = value->kind == FUSE_DOCUMENT_INTEGER || value->kind == FUSE_DOCUMENT_REAL;
    if ((want && at != want) || (value->kind == FUSE_DOCUMENT_BOOL && at != (value->truth ? 't' : 'f')) ||
        (is_number && at != '-' && (at < '0' || at > '9')) || (value->key && doc->text[value->key_offset] != '"'))
        abort();
    if (value->kind != FUSE_DOCUMENT_OBJECT && value->kind != FUSE_DOCUMENT_LIST)
        return;
    int members = 0;
    for (const struct fuse_document_value *m = value->first; m; m = m->next, members++) {
        if (!m->key != (value->kind == FUSE_DOCUMENT_LIST) || (m->key && fuse_document_find(value, m->key) != m))
            abort();
        check_value(doc, m);
    }
    if (members != value->members)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_document doc, again;
    struct fuse_document_limits limits = {.values = 4096};
    struct fuse_error err = {0};
    if (!arena)
        abort();
    enum fuse_status st = fuse_document_parse(&doc, arena, (const char *)data, bytes, "fuzz", limits, &err);
    if (st == FUSE_OK) {
        struct fuse_text text = {.arena = arena}, more = {.arena = arena};
        check_value(&doc, doc.root);
        print(&text, doc.root);
        if (fuse_document_parse(&again, arena, text.at, text.bytes, "again", limits, &err) != FUSE_OK)
            abort();
        print(&more, again.root);
        if (text.bytes != more.bytes || memcmp(text.at, more.at, text.bytes) != 0)
            abort();
    } else if (st != FUSE_EINPUT || strncmp(err.message, "fuzz:", 5) != 0 || !err.hint[0]) {
        abort();
    }
    fuse_arena_close(arena);
    return 0;
}
