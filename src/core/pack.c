#include "core/pack.h"

#include <limits.h>
#include <string.h>

struct fuse_pack fuse_pack_writer(struct fuse_arena *arena) {
    return (struct fuse_pack){.arena = arena};
}

struct fuse_pack fuse_pack_reader(struct fuse_arena *arena, const void *at, size_t bytes) {
    return (struct fuse_pack){.arena = arena, .is_reading = true, .at = (unsigned char *)at, .bytes = bytes};
}

bool fuse_pack_is_done(const struct fuse_pack *pack) {
    return !pack->has_failed && (!pack->is_reading || pack->next == pack->bytes);
}

static void put(struct fuse_pack *pack, const void *from, size_t bytes) {
    if (bytes > pack->cap - pack->bytes) {
        size_t cap = pack->cap ? 2 * pack->cap : 4096;
        while (cap - pack->bytes < bytes)
            cap *= 2;
        pack->at = fuse_arena_grow(pack->arena, pack->at, pack->cap, cap, 1);
        pack->cap = cap;
    }
    if (bytes > 0)
        memcpy(pack->at + pack->bytes, from, bytes);
    pack->bytes += bytes;
}

/* ---- numbers: seven bits a byte, the lowest first; the last byte has no high bit ---- */

static void put_number(struct fuse_pack *pack, uint64_t number) {
    unsigned char byte[10];
    size_t n = 0;
    for (; number > 127; number >>= 7)
        byte[n++] = (unsigned char)(number | 128);
    byte[n++] = (unsigned char)number;
    put(pack, byte, n);
}

static uint64_t get_number(struct fuse_pack *pack) {
    uint64_t number = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        if (pack->has_failed || pack->next == pack->bytes)
            break;
        unsigned char byte = pack->at[pack->next++];
        number |= (uint64_t)(byte & 127) << shift;
        if (byte & 128)
            continue;
        /* One spelling of each number, so that equal structures are equal bytes. */
        if ((byte == 0 && shift > 0) || (shift == 63 && byte > 1))
            break;
        return number;
    }
    pack->has_failed = true;
    return 0;
}

void fuse_pack_uint64(struct fuse_pack *pack, uint64_t *value) {
    if (pack->is_reading)
        *value = get_number(pack);
    else
        put_number(pack, *value);
}

/* 0, -1, 1, -2, .. */
void fuse_pack_int64(struct fuse_pack *pack, int64_t *value) {
    uint64_t folded = (uint64_t)*value << 1 ^ (*value < 0 ? UINT64_MAX : 0);
    fuse_pack_uint64(pack, &folded);
    *value = (int64_t)(folded >> 1 ^ (folded & 1 ? UINT64_MAX : 0));
}

void fuse_pack_range(struct fuse_pack *pack, int64_t *value, int64_t lo, int64_t hi) {
    fuse_pack_int64(pack, value);
    if (*value < lo || *value > hi)
        pack->has_failed = true;
    if (pack->is_reading && pack->has_failed)
        *value = lo;
}

void fuse_pack_double(struct fuse_pack *pack, double *value) {
    uint64_t bits;
    memcpy(&bits, value, sizeof bits);
    fuse_pack_uint64(pack, &bits);
    memcpy(value, &bits, sizeof bits);
}

void fuse_pack_bool(struct fuse_pack *pack, bool *value) {
    int64_t number = *value;
    fuse_pack_range(pack, &number, 0, 1);
    *value = number != 0;
}

void fuse_pack_count(struct fuse_pack *pack, int *count, int most, int least) {
    FUSE_PACK(pack, *count, 0, most);
    if (pack->is_reading && (uint64_t)*count * (uint64_t)least > pack->bytes - pack->next) {
        pack->has_failed = true;
        *count = 0;
    }
}

/* ---- bytes ---- */

void fuse_pack_bytes(struct fuse_pack *pack, const void **at, size_t *bytes) {
    uint64_t length = *bytes;
    fuse_pack_uint64(pack, &length);
    if (!pack->is_reading) {
        put(pack, *at, *bytes);
        return;
    }
    if (pack->has_failed || length > pack->bytes - pack->next) {
        pack->has_failed = true;
        length = 0;
    }
    *at = fuse_arena_strndup(pack->arena, (const char *)pack->at + pack->next, (size_t)length);
    *bytes = (size_t)length;
    pack->next += (size_t)length;
}

void fuse_pack_string(struct fuse_pack *pack, const char **text) {
    bool is_there = *text != NULL;
    const void *at = *text;
    size_t bytes = is_there && !pack->is_reading ? strlen(*text) : 0;
    fuse_pack_bool(pack, &is_there);
    if (is_there)
        fuse_pack_bytes(pack, &at, &bytes);
    if (!pack->is_reading)
        return;
    if (is_there && !pack->has_failed && strlen(at) != bytes)
        pack->has_failed = true;
    *text = is_there && !pack->has_failed ? at : NULL;
}
