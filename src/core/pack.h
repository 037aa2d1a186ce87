/* Structures as bytes, for files that fuse-dist itself reads again. One description serves both directions: a function
 * that names the fields of a struct writes them, or reads them, whichever the pack does.
 *
 *     static void pack_point(struct fuse_pack *pack, struct point *p) {
 *         FUSE_PACK(pack, p->x, INT_MIN, INT_MAX);
 *         fuse_pack_string(pack, &p->name);
 *     }
 *
 * Reading trusts nothing: numbers are checked against their bounds, lengths against the bytes that are there. After the
 * first thing that is wrong the pack has failed: from then on fields read as their lowest values, counts as 0, strings
 * as NULL, and so every loop ends. Bytes do not depend on the machine. Local. */
#ifndef FUSE_CORE_PACK_H
#define FUSE_CORE_PACK_H

#include "core/arena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fuse_pack {
    struct fuse_arena *arena; /* what is read lives here, and so does what is written */
    bool is_reading, has_failed;
    unsigned char *at;
    size_t bytes; /* written, or to be read */
    size_t cap, next;
};

struct fuse_pack fuse_pack_writer(struct fuse_arena *arena);
/* The bytes are borrowed while reading. */
struct fuse_pack fuse_pack_reader(struct fuse_arena *arena, const void *at, size_t bytes);
/* true when nothing failed and, reading, every byte was used. */
bool fuse_pack_is_done(const struct fuse_pack *pack);

/* A number in lo .. hi, small ones in few bytes. Writing one that is not fails too. */
void fuse_pack_range(struct fuse_pack *pack, int64_t *value, int64_t lo, int64_t hi);
void fuse_pack_int64(struct fuse_pack *pack, int64_t *value);
void fuse_pack_uint64(struct fuse_pack *pack, uint64_t *value);
void fuse_pack_double(struct fuse_pack *pack, double *value);
void fuse_pack_bool(struct fuse_pack *pack, bool *value);
/* How many things follow, each of at least `least` > 0 bytes. */
void fuse_pack_count(struct fuse_pack *pack, int *count, int most, int least);
/* NULL is kept; read, it lives in the arena. */
void fuse_pack_string(struct fuse_pack *pack, const char **text);
/* NUL-terminated when read, the NUL not counted. */
void fuse_pack_bytes(struct fuse_pack *pack, const void **at, size_t *bytes);

/* For int, enum, int8_t and so on. */
#define FUSE_PACK(pack, place, lo, hi)                      \
    do {                                                    \
        int64_t fuse_pack_value_ = (int64_t)(place);        \
        fuse_pack_range((pack), &fuse_pack_value_, lo, hi); \
        (place) = fuse_pack_value_;                         \
    } while (0)

/* Room for what is read; nothing when writing. */
#define FUSE_PACK_ARRAY(pack, pointer, type, count)                                     \
    do {                                                                                \
        if ((pack)->is_reading)                                                         \
            (pointer) = FUSE_NEW_ARRAY((pack)->arena, type, (count) > 0 ? (count) : 1); \
    } while (0)

#endif
