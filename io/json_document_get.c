#include "core/text.h"
#include "io/json_document.h"

#include <inttypes.h>
#include <string.h>

const char *fuse_document_kind_text(enum fuse_document_kind kind) {
    switch (kind) {
    case FUSE_DOCUMENT_NULL: return "null";
    case FUSE_DOCUMENT_BOOL: return "true or false";
    case FUSE_DOCUMENT_INTEGER: return "an integer";
    case FUSE_DOCUMENT_REAL: return "a real number";
    case FUSE_DOCUMENT_STRING: return "a string";
    case FUSE_DOCUMENT_LIST: return "a list";
    case FUSE_DOCUMENT_OBJECT: return "an object";
    case FUSE_DOCUMENT_NUMBER: return "a number";
    }
    return "a value";
}

static const char *form_of(enum fuse_document_kind kind) {
    switch (kind) {
    case FUSE_DOCUMENT_STRING: return "write it in double quotes";
    case FUSE_DOCUMENT_LIST: return "write it in '[' and ']'";
    case FUSE_DOCUMENT_OBJECT: return "write it in '{' and '}', with a key for every member";
    case FUSE_DOCUMENT_INTEGER: return "write it without quotes, fraction and exponent";
    default: return "write it without quotes";
    }
}

enum fuse_status fuse_document_expect(const struct fuse_document *doc, const struct fuse_document_value *value,
                                      enum fuse_document_kind kind, const char *what, struct fuse_error *err) {
    bool is_number = value->kind == FUSE_DOCUMENT_INTEGER || value->kind == FUSE_DOCUMENT_REAL;
    if (value->kind == kind || (kind == FUSE_DOCUMENT_NUMBER && is_number))
        return FUSE_OK;
    fuse_document_fail(doc, value, err, "%s must be %s, not %s", what, fuse_document_kind_text(kind),
                       fuse_document_kind_text(value->kind));
    fuse_hint(err, "%s", form_of(kind));
    return FUSE_EINPUT;
}

const char *fuse_document_nearest(const char *word, const char *const *words) {
    enum { NEAR = 3 };
    const char *best = NULL;
    int least = NEAR + 1;
    for (; *words; words++) {
        int distance = fuse_text_distance(word, *words, NEAR);
        if (distance < least && 2 * distance < (int)strlen(*words)) {
            least = distance;
            best = *words;
        }
    }
    return best;
}

static bool is_among(const char *word, const char *const *words) {
    for (; *words; words++)
        if (strcmp(word, *words) == 0)
            return true;
    return false;
}

static void hint_keys(const struct fuse_document *doc, const char *key, const char *const *keys,
                      struct fuse_error *err) {
    const char *nearest = fuse_document_nearest(key, keys);
    struct fuse_text text = {.arena = doc->arena};
    for (const char *const *k = keys; *k; k++)
        fuse_text_add(&text, "%s%s", k == keys ? "" : ", ", *k);
    if (nearest)
        fuse_hint(err, "did you mean '%s'?", nearest);
    else
        fuse_hint(err, "the keys are %s", text.at ? text.at : "none");
}

enum fuse_status fuse_document_known(const struct fuse_document *doc, const struct fuse_document_value *object,
                                     const char *const *keys, const char *what, struct fuse_error *err) {
    for (const struct fuse_document_value *m = object->first; m; m = m->next) {
        if (is_among(m->key, keys))
            continue;
        fuse_document_fail_key(doc, m, err, "%s is no key of %s", fuse_document_shown(doc, m->key), what);
        hint_keys(doc, m->key, keys, err);
        return FUSE_EINPUT;
    }
    return FUSE_OK;
}

const struct fuse_document_value *fuse_document_find(const struct fuse_document_value *object, const char *key) {
    for (const struct fuse_document_value *m = object->first; m; m = m->next)
        if (strcmp(m->key, key) == 0)
            return m;
    return NULL;
}

enum fuse_status fuse_document_get(const struct fuse_document_value **out, const struct fuse_document *doc,
                                   const struct fuse_document_value *object, const char *key,
                                   enum fuse_document_kind kind, bool is_needed, struct fuse_error *err) {
    const struct fuse_document_value *value = fuse_document_find(object, key);
    if (!value && is_needed) {
        fuse_document_fail(doc, object, err, "this object needs a \"%s\"", key);
        fuse_hint(err, "\"%s\" is %s", key, fuse_document_kind_text(kind));
        return FUSE_EINPUT;
    }
    if (value) {
        const char *what = fuse_arena_printf(doc->arena, "\"%s\"", key);
        FUSE_TRY(fuse_document_expect(doc, value, kind, what, err));
    }
    *out = value;
    return FUSE_OK;
}

enum fuse_status fuse_document_get_string(const char **out, const struct fuse_document *doc,
                                          const struct fuse_document_value *object, const char *key, bool is_needed,
                                          struct fuse_error *err) {
    const struct fuse_document_value *value;
    FUSE_TRY(fuse_document_get(&value, doc, object, key, FUSE_DOCUMENT_STRING, is_needed, err));
    if (value)
        *out = value->string;
    return FUSE_OK;
}

enum fuse_status fuse_document_get_bool(bool *out, const struct fuse_document *doc,
                                        const struct fuse_document_value *object, const char *key, bool is_needed,
                                        struct fuse_error *err) {
    const struct fuse_document_value *value;
    FUSE_TRY(fuse_document_get(&value, doc, object, key, FUSE_DOCUMENT_BOOL, is_needed, err));
    if (value)
        *out = value->truth;
    return FUSE_OK;
}

enum fuse_status fuse_document_get_integer(int64_t *out, const struct fuse_document *doc,
                                           const struct fuse_document_value *object, const char *key, int64_t least,
                                           int64_t most, bool is_needed, struct fuse_error *err) {
    const struct fuse_document_value *value;
    FUSE_TRY(fuse_document_get(&value, doc, object, key, FUSE_DOCUMENT_INTEGER, is_needed, err));
    if (!value)
        return FUSE_OK;
    if (value->integer < least || value->integer > most) {
        fuse_document_fail(doc, value, err, "\"%s\" is %" PRId64, key, value->integer);
        fuse_hint(err, "it is an integer from %" PRId64 " to %" PRId64, least, most);
        return FUSE_EINPUT;
    }
    *out = value->integer;
    return FUSE_OK;
}

double fuse_document_real(const struct fuse_document_value *value) {
    return value->kind == FUSE_DOCUMENT_INTEGER ? (double)value->integer : value->real;
}

enum fuse_status fuse_document_get_real(double *out, const struct fuse_document *doc,
                                        const struct fuse_document_value *object, const char *key, bool is_needed,
                                        struct fuse_error *err) {
    const struct fuse_document_value *value;
    FUSE_TRY(fuse_document_get(&value, doc, object, key, FUSE_DOCUMENT_NUMBER, is_needed, err));
    if (value)
        *out = fuse_document_real(value);
    return FUSE_OK;
}
