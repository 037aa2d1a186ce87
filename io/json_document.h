/* Small JSON files that are read whole: policies, weight manifests, vocabularies, the headers of safetensors. Local.
 *
 * A pass of our own checks the text first, so that every fault has its line and column: UTF-8, the grammar, at most 64
 * values inside each other, no integer beyond 2^53 (other programs read it as another one), no NUL in a string, and no key
 * twice in an object. Then cJSON parses it. Arrays of numbers of any size are no matter for this: io/json.h.
 *
 *   struct fuse_document doc;
 *   FUSE_TRY(fuse_document_read(&doc, arena, path, (struct fuse_document_limits){0}, err));
 *   FUSE_TRY(fuse_document_expect(&doc, doc.root, FUSE_DOCUMENT_OBJECT, "a policy", err));
 *   FUSE_TRY(fuse_document_known(&doc, doc.root, keys, "a policy", err));
 *   FUSE_TRY(fuse_document_get_bool(&strict, &doc, doc.root, "strict_weights", false, err));
 *
 * What a document should not say is INPUT, "name:line:column: reason", with a hint; columns count characters. */
#ifndef FUSE_IO_JSON_DOCUMENT_H
#define FUSE_IO_JSON_DOCUMENT_H

#include "core/arena.h"
#include "core/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fuse_document_kind {
    FUSE_DOCUMENT_NULL,
    FUSE_DOCUMENT_BOOL,
    FUSE_DOCUMENT_INTEGER, /* no fraction and no exponent: -2^53 to 2^53 */
    FUSE_DOCUMENT_REAL,    /* finite */
    FUSE_DOCUMENT_STRING,
    FUSE_DOCUMENT_LIST,
    FUSE_DOCUMENT_OBJECT,
    FUSE_DOCUMENT_NUMBER /* only asked for: INTEGER or REAL */
};

struct fuse_document_value {
    enum fuse_document_kind kind;
    uint32_t offset, key_offset;            /* bytes from the text's begin, for messages */
    int32_t members;                        /* LIST, OBJECT: how many */
    const char *key;                        /* of a member of an object; else NULL */
    const struct fuse_document_value *next; /* the next member of the list or object that it is in */
    union {
        bool truth;
        int64_t integer;
        double real;
        const char *string;                      /* UTF-8, without NUL inside */
        const struct fuse_document_value *first; /* LIST, OBJECT */
    };
};

struct fuse_document {
    const struct fuse_document_value *root;
    const char *name; /* of the file, for messages */
    const char *text;
    size_t bytes;
    struct fuse_arena *arena;
};

/* 0: the default. A value takes about 40 bytes, and 120 more while the document is parsed. */
struct fuse_document_limits {
    size_t bytes;  /* default 16 MiB, at most 1 GiB */
    size_t values; /* default 2^18 */
};

/* All memory is the arena's; `name` and `text` are copied. */
enum fuse_status fuse_document_parse(struct fuse_document *out, struct fuse_arena *arena, const char *text,
                                     size_t bytes, const char *name, struct fuse_document_limits limits,
                                     struct fuse_error *err) FUSE_CHECKED;
/* The same with all bytes of a file. */
enum fuse_status fuse_document_read(struct fuse_document *out, struct fuse_arena *arena, const char *path,
                                    struct fuse_document_limits limits, struct fuse_error *err) FUSE_CHECKED;

/* Records INPUT at the place of a value, or of its key, and returns it. */
enum fuse_status fuse_document_fail(const struct fuse_document *doc, const struct fuse_document_value *value,
                                    struct fuse_error *err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
enum fuse_status fuse_document_fail_key(const struct fuse_document *doc, const struct fuse_document_value *value,
                                        struct fuse_error *err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Line and column of an offset, from 1. */
void fuse_document_place(const struct fuse_document *doc, uint32_t offset, int *line, int *column);
/* A string of the document for a message: quoted, escaped, cut when it is long. */
const char *fuse_document_shown(const struct fuse_document *doc, const char *string);
/* "a string", "a list". */
const char *fuse_document_kind_text(enum fuse_document_kind kind);

/* INPUT unless the value is of the kind: "... must be an object, not a list". what: "a policy", "'mesh'". */
enum fuse_status fuse_document_expect(const struct fuse_document *doc, const struct fuse_document_value *value,
                                      enum fuse_document_kind kind, const char *what,
                                      struct fuse_error *err) FUSE_CHECKED;
/* INPUT when an object has a key that is none of `keys` (NULL-terminated), with the nearest one as hint. `what` the object
 * is, as in "'mehs' is no key of a policy". */
enum fuse_status fuse_document_known(const struct fuse_document *doc, const struct fuse_document_value *object,
                                     const char *const *keys, const char *what, struct fuse_error *err) FUSE_CHECKED;
/* The one of `words` (NULL-terminated) that is nearest to a word, for hints; NULL when none is near. */
const char *fuse_document_nearest(const char *word, const char *const *words);

/* The member of an object, NULL when it has none of that name. */
const struct fuse_document_value *fuse_document_find(const struct fuse_document_value *object, const char *key);
/* The member of an object, of that kind. INPUT when it is of another; absent, it is INPUT when it is needed, and else
 * *out = NULL. */
enum fuse_status fuse_document_get(const struct fuse_document_value **out, const struct fuse_document *doc,
                                   const struct fuse_document_value *object, const char *key,
                                   enum fuse_document_kind kind, bool is_needed, struct fuse_error *err) FUSE_CHECKED;
/* Its value; an absent one that is not needed leaves *out as it is. */
enum fuse_status fuse_document_get_string(const char **out, const struct fuse_document *doc,
                                          const struct fuse_document_value *object, const char *key, bool is_needed,
                                          struct fuse_error *err) FUSE_CHECKED;
enum fuse_status fuse_document_get_bool(bool *out, const struct fuse_document *doc,
                                        const struct fuse_document_value *object, const char *key, bool is_needed,
                                        struct fuse_error *err) FUSE_CHECKED;
/* INPUT outside [least, most]. */
enum fuse_status fuse_document_get_integer(int64_t *out, const struct fuse_document *doc,
                                           const struct fuse_document_value *object, const char *key, int64_t least,
                                           int64_t most, bool is_needed, struct fuse_error *err) FUSE_CHECKED;
/* An INTEGER or a REAL. */
enum fuse_status fuse_document_get_real(double *out, const struct fuse_document *doc,
                                        const struct fuse_document_value *object, const char *key, bool is_needed,
                                        struct fuse_error *err) FUSE_CHECKED;
/* Of an INTEGER or a REAL. */
double fuse_document_real(const struct fuse_document_value *value);

#endif
