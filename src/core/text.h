/* Text built piece by piece (dumps, reports, JSON) and a map from strings to integers. Both live in an arena. Local. */
#ifndef FUSE_CORE_TEXT_H
#define FUSE_CORE_TEXT_H

#include "core/arena.h"

#include <stdbool.h>

struct fuse_text {
    struct fuse_arena *arena;
    char *at; /* NUL-terminated once something was added; NULL before */
    size_t bytes, cap;
};

void fuse_text_add(struct fuse_text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void fuse_text_add_bytes(struct fuse_text *text, const char *at, size_t bytes);
/* A JSON string literal with its quotes. */
void fuse_text_add_json_string(struct fuse_text *text, const char *at);
/* "12.3 MiB", "1.00 GiB"; exact below 1 KiB. */
void fuse_text_add_size(struct fuse_text *text, int64_t bytes);

/* String -> int64 map; open addressing, insertion order kept in `keys`. */
struct fuse_map {
    struct fuse_arena *arena;
    FUSE_VEC(const char *) keys;
    int64_t *values; /* values[i] belongs to keys.at[i] */
    int32_t *slots;
    int slot_count, value_cap;
};

/* Adds or overwrites; the key is copied. */
void fuse_map_put(struct fuse_map *map, const char *key, int64_t value);
/* false when absent; *value is set only on true. */
bool fuse_map_get(const struct fuse_map *map, const char *key, int64_t *value);

/* Length of the well-formed UTF-8 character at `at`, of which `bytes` bytes can be read; 0 when it is malformed. The
 * character goes to *character unless that is NULL. */
int fuse_utf8_decode(uint32_t *character, const char *at, size_t bytes);

/* Optimal string alignment distance, capped at `limit` + 1; for "did you mean". A name above 127 bytes is
 * near to itself only. */
int fuse_text_distance(const char *a, const char *b, int limit);

#endif
