#include "core/text.h"
#include "core/hash.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Room for `more` bytes and the NUL. */
static void reserve(struct fuse_text *text, size_t more) {
    if (text->cap - text->bytes > more)
        return;
    size_t cap = text->cap ? text->cap : 64;
    while (cap - text->bytes <= more) {
        if (cap > SIZE_MAX / 2) {
            cap = SIZE_MAX; /* the arena refuses it */
            break;
        }
        cap *= 2;
    }
    text->at = fuse_arena_grow(text->arena, text->at, text->bytes, cap, 1);
    text->cap = cap;
}

void fuse_text_add_bytes(struct fuse_text *text, const char *at, size_t bytes) {
    reserve(text, bytes);
    if (bytes > 0)
        memcpy(text->at + text->bytes, at, bytes);
    text->bytes += bytes;
    text->at[text->bytes] = '\0';
}

void fuse_text_add(struct fuse_text *text, const char *format, ...) {
    reserve(text, 64);
    size_t room = text->cap - text->bytes;
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int bytes = vsnprintf(text->at + text->bytes, room, format, args);
    va_end(args);
    if (bytes >= 0 && (size_t)bytes >= room) {
        reserve(text, (size_t)bytes);
        vsnprintf(text->at + text->bytes, (size_t)bytes + 1, format, again);
    }
    va_end(again);
    if (bytes > 0)
        text->bytes += (size_t)bytes;
    text->at[text->bytes] = '\0';
}

int fuse_utf8_decode(uint32_t *character, const char *at, size_t bytes) {
    const unsigned char *s = (const unsigned char *)at;
    if (bytes == 0)
        return 0;
    uint32_t c = s[0];
    int length = c < 0x80 ? 1 : c < 0xC2 ? 0 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : c < 0xF5 ? 4 : 0;
    if (length == 0 || (size_t)length > bytes)
        return 0;
    if (length > 1)
        c &= 0x7FU >> length;
    for (int k = 1; k < length; k++) {
        if ((s[k] & 0xC0) != 0x80)
            return 0;
        c = c << 6 | (s[k] & 0x3FU);
    }
    if ((length == 3 && (c < 0x800 || (c >= 0xD800 && c <= 0xDFFF))) || (length == 4 && (c < 0x10000 || c > 0x10FFFF)))
        return 0;
    if (character)
        *character = c;
    return length;
}

void fuse_text_add_json_string(struct fuse_text *text, const char *at) {
    fuse_text_add_bytes(text, "\"", 1);
    const unsigned char *s = (const unsigned char *)at, *end = s + strlen(at);
    while (*s) {
        size_t length = (size_t)fuse_utf8_decode(NULL, (const char *)s, (size_t)(end - s));
        switch (*s) {
        case '"': fuse_text_add_bytes(text, "\\\"", 2); break;
        case '\\': fuse_text_add_bytes(text, "\\\\", 2); break;
        case '\n': fuse_text_add_bytes(text, "\\n", 2); break;
        case '\r': fuse_text_add_bytes(text, "\\r", 2); break;
        case '\t': fuse_text_add_bytes(text, "\\t", 2); break;
        default:
            if (length == 0) /* file names need not be UTF-8, JSON must be */
                fuse_text_add_bytes(text, "\\ufffd", 6);
            else if (*s < 0x20 || *s == 0x7f)
                fuse_text_add(text, "\\u%04x", *s);
            else
                fuse_text_add_bytes(text, (const char *)s, length);
        }
        s += length ? length : 1;
    }
    fuse_text_add_bytes(text, "\"", 1);
}

/* bytes * factor / 2^shift, halves up. */
static uint64_t scale(uint64_t bytes, unsigned factor, unsigned shift) {
    return (uint64_t)(((unsigned __int128)bytes * factor + ((unsigned __int128)1 << (shift - 1))) >> shift);
}

void fuse_text_add_size(struct fuse_text *text, int64_t bytes) {
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    uint64_t size = bytes < 0 ? -(uint64_t)bytes : (uint64_t)bytes;
    if (bytes < 0)
        fuse_text_add_bytes(text, "-", 1);
    if (size < 1024) {
        fuse_text_add(text, "%" PRIu64 " B", size);
        return;
    }
    unsigned unit = 0;
    while (unit < 5 && scale(size, 1, 10 * (unit + 1)) >= 1024)
        unit++;
    unsigned shift = 10 * (unit + 1);
    uint64_t hundredths = scale(size, 100, shift), tenths = scale(size, 10, shift);
    if (hundredths < 1000)
        fuse_text_add(text, "%" PRIu64 ".%02" PRIu64 " %s", hundredths / 100, hundredths % 100, units[unit]);
    else if (tenths < 1000)
        fuse_text_add(text, "%" PRIu64 ".%" PRIu64 " %s", tenths / 10, tenths % 10, units[unit]);
    else
        fuse_text_add(text, "%" PRIu64 " %s", scale(size, 1, shift), units[unit]);
}

/* The slot that holds the key, or the empty one where it belongs; a slot holds 1 + the key's position, or 0. */
static int32_t *find_slot(const struct fuse_map *map, const char *key) {
    uint64_t hash = fuse_hash_string(FUSE_HASH_SEED, key);
    uint64_t mask = (uint64_t)map->slot_count - 1;
    /* The low bits of FNV-1a depend on the low bits of the input only. */
    for (uint64_t at = hash ^ (hash >> 32);; at++) {
        int32_t *slot = &map->slots[at & mask];
        if (*slot == 0 || strcmp(map->keys.at[*slot - 1], key) == 0)
            return slot;
    }
}

static void grow_map(struct fuse_map *map) {
    map->slot_count = map->slot_count ? 2 * map->slot_count : 16;
    map->slots = FUSE_NEW_ARRAY(map->arena, int32_t, map->slot_count);
    for (int i = 0; i < map->keys.n; i++)
        *find_slot(map, map->keys.at[i]) = i + 1;
}

void fuse_map_put(struct fuse_map *map, const char *key, int64_t value) {
    if (2 * (map->keys.n + 1) > map->slot_count)
        grow_map(map);
    int32_t *slot = find_slot(map, key);
    if (*slot == 0) {
        fuse_vec_push(map->arena, &map->keys, fuse_arena_strndup(map->arena, key, strlen(key)));
        if (map->keys.n > map->value_cap) {
            map->values = fuse_arena_grow(map->arena, map->values, (size_t)map->value_cap, (size_t)map->keys.cap,
                                          sizeof *map->values);
            map->value_cap = map->keys.cap;
        }
        *slot = map->keys.n;
    }
    map->values[*slot - 1] = value;
}

bool fuse_map_get(const struct fuse_map *map, const char *key, int64_t *value) {
    if (map->slot_count == 0)
        return false;
    int32_t slot = *find_slot(map, key);
    if (slot == 0)
        return false;
    *value = map->values[slot - 1];
    return true;
}

#define LONGEST_NAME 127

static int least(int a, int b) {
    return a < b ? a : b;
}

int fuse_text_distance(const char *a, const char *b, int limit) {
    size_t bytes_a = strlen(a), bytes_b = strlen(b);
    if (bytes_a > LONGEST_NAME || bytes_b > LONGEST_NAME)
        return strcmp(a, b) == 0 ? 0 : limit + 1;
    int n = (int)bytes_a, m = (int)bytes_b;
    int rows[3][LONGEST_NAME + 1];
    int *before = rows[0], *last = rows[1], *row = rows[2];
    for (int j = 0; j <= m; j++)
        last[j] = j;
    for (int i = 1; i <= n; i++) {
        row[0] = i;
        for (int j = 1; j <= m; j++) {
            int best = last[j - 1] + (a[i - 1] != b[j - 1]);
            best = least(best, least(last[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                best = least(best, before[j - 2] + 1);
            row[j] = best;
        }
        int *oldest = before;
        before = last;
        last = row;
        row = oldest;
    }
    return last[m] > limit ? limit + 1 : last[m];
}
