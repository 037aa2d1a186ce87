#include "io/symbol_dictionary.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { FIRST_SLOTS = 1 << 10, UNIT = FUSE_DICTIONARY_UNIT, HUGE_PAGE = 2 << 20 };

/* In front of the text, which is padded with zeros to whole words. */
struct record {
    uint32_t number;
    uint16_t bytes, table;
};

/* Memory that is looked at all over: large pages spare a walk through tables for each look. */
static void *allocate(size_t bytes) {
    if (bytes < HUGE_PAGE)
        return malloc(bytes);
    size_t rounded = (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    void *at = aligned_alloc(HUGE_PAGE, rounded);
    if (at)
        madvise(at, rounded, MADV_HUGEPAGE);
    return at;
}

static uint64_t *allocate_slots(size_t slots) {
    uint64_t *slot = allocate(slots * sizeof *slot);
    if (slot)
        memset(slot, 0, slots * sizeof *slot);
    return slot;
}

static const uint64_t factor = 0x9E3779B97F4A7C15u;

static uint64_t fold(uint64_t a, uint64_t b) {
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t load(const char *at) {
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* The last word of a text, of 1 to 8 bytes. */
static uint64_t load_tail(const char *at, size_t bytes) {
    return load(at) & (~(uint64_t)0 >> (64 - 8 * bytes));
}

uint64_t fuse_dictionary_hash(const struct fuse_dictionary *d, const char *text, size_t bytes, uint32_t table) {
    uint64_t hash = d->seed ^ (bytes + ((uint64_t)table << 32)) * factor;
    for (; bytes > 8; text += 8, bytes -= 8)
        hash = fold(hash ^ load(text), factor ^ d->seed);
    hash = fold(hash ^ load_tail(text, bytes), factor ^ d->seed);
    return hash ^ fold(hash, factor);
}

int fuse_dictionary_owner(uint64_t hash, int ranks) {
    return (int)((hash >> 32) * (uint64_t)ranks >> 32);
}

enum fuse_status fuse_dictionary_open(struct fuse_dictionary *d, uint64_t seed, struct fuse_error *err) {
    *d = (struct fuse_dictionary){.seed = seed, .slots = FIRST_SLOTS};
    d->slot = allocate_slots(d->slots);
    return d->slot ? FUSE_OK : fuse_fail(err, FUSE_EMEMORY, "no memory for symbols");
}

void fuse_dictionary_close(struct fuse_dictionary *d) {
    free(d->slot);
    free(d->log);
    *d = (struct fuse_dictionary){0};
}

void fuse_dictionary_clear(struct fuse_dictionary *d) {
    memset(d->slot, 0, d->slots * sizeof *d->slot);
    d->used = d->log_bytes = 0;
    d->first = d->next;
}

static void put(uint64_t *slot, size_t slots, uint64_t hash, uint64_t unit) {
    size_t at = hash & (slots - 1);
    while (slot[at])
        at = (at + 1) & (slots - 1);
    slot[at] = (hash & 0xFFFFFFFF00000000u) | unit;
}

bool fuse_dictionary_each(const struct fuse_dictionary *d, size_t *at, struct fuse_symbol_key *out) {
    if (*at == d->log_bytes)
        return false;
    const struct record *record = (const struct record *)(d->log + *at);
    out->text = (const char *)(record + 1);
    out->bytes = record->bytes;
    out->table = record->table;
    out->hash = fuse_dictionary_hash(d, out->text, out->bytes, out->table);
    *at += sizeof *record + (record->bytes + UNIT - 1u) / UNIT * UNIT;
    return true;
}

static enum fuse_status grow_slots(struct fuse_dictionary *d, size_t slots, struct fuse_error *err) {
    uint64_t *slot = allocate_slots(slots);
    struct fuse_symbol_key key;
    if (!slot)
        return fuse_fail(err, FUSE_EMEMORY, "no memory for symbols");
    for (size_t at = 0, from = 0; fuse_dictionary_each(d, &at, &key); from = at)
        put(slot, slots, key.hash, from / UNIT + 1);
    free(d->slot);
    d->slot = slot;
    d->slots = slots;
    return FUSE_OK;
}

enum fuse_status fuse_dictionary_reserve(struct fuse_dictionary *d, size_t more, size_t bytes, struct fuse_error *err) {
    size_t slots = d->slots, log = d->log_bytes + bytes + more * (sizeof(struct record) + UNIT);
    while (2 * (d->used + more) > slots)
        slots *= 2;
    if (slots > d->slots)
        FUSE_TRY(grow_slots(d, slots, err));
    if (log / UNIT >= UINT32_MAX || d->next > UINT32_MAX - more) {
        fuse_fail(err, FUSE_EFAILED, "a rank has more than 2^32 symbols");
        fuse_hint(err, "use more ranks");
        return FUSE_EFAILED;
    }
    /* Texts are read a word behind their end. */
    if (log + FUSE_FIELD_SLACK <= d->log_room)
        return FUSE_OK;
    size_t room = d->log_room ? d->log_room : 1 << 16;
    while (log + FUSE_FIELD_SLACK > room)
        room *= 2;
    char *larger = allocate(room);
    if (!larger)
        return fuse_fail(err, FUSE_EMEMORY, "no memory for symbols");
    if (d->log_bytes > 0)
        memcpy(larger, d->log, d->log_bytes);
    free(d->log);
    d->log = larger;
    d->log_room = room;
    return FUSE_OK;
}

static inline bool is_same(const struct record *record, const struct fuse_symbol_key *key) {
    const char *a = (const char *)(record + 1), *b = key->text;
    size_t bytes = key->bytes;
    if (record->bytes != bytes || record->table != key->table)
        return false;
    for (; bytes > 8; a += 8, b += 8, bytes -= 8)
        if (load(a) != load(b))
            return false;
    return load(a) == load_tail(b, bytes);
}

void fuse_dictionary_guess(const struct fuse_dictionary *d, uint32_t *number, const struct fuse_symbol_key *key,
                           int n) {
    enum { GROUP = 128 };
    static const struct record none = {0, 0, 0};
    const struct record *at[GROUP];
    for (int first = 0; first < n; first += GROUP) {
        int end = n - first < GROUP ? n : first + GROUP;
        for (int k = first; k < end; k++) {
            uint64_t slot = d->slot[key[k].hash & (d->slots - 1)];
            bool fits = slot && (slot ^ key[k].hash) >> 32 == 0;
            at[k - first] = fits ? (const struct record *)(d->log + ((slot & UINT32_MAX) - 1) * UNIT) : &none;
            __builtin_prefetch(at[k - first]);
        }
        for (int k = first; k < end; k++)
            number[k] = is_same(at[k - first], &key[k]) ? at[k - first]->number : FUSE_DICTIONARY_UNKNOWN;
    }
}

static uint32_t add(struct fuse_dictionary *d, size_t at, const struct fuse_symbol_key *key) {
    size_t padded = (key->bytes + UNIT - 1u) / UNIT * UNIT;
    struct record *record = (struct record *)(d->log + d->log_bytes);
    *record = (struct record){d->next, (uint16_t)key->bytes, (uint16_t)key->table};
    char *text = (char *)(record + 1);
    memset(text + padded - UNIT, 0, UNIT);
    memcpy(text, key->text, key->bytes);
    d->slot[at] = (key->hash & 0xFFFFFFFF00000000u) | (d->log_bytes / UNIT + 1);
    d->log_bytes += sizeof *record + padded;
    d->used++;
    return d->next++;
}

uint32_t fuse_dictionary_find(struct fuse_dictionary *d, const struct fuse_symbol_key *key, bool *is_new) {
    size_t at = key->hash & (d->slots - 1);
    for (; d->slot[at]; at = (at + 1) & (d->slots - 1)) {
        if ((d->slot[at] ^ key->hash) >> 32)
            continue;
        const struct record *record = (const struct record *)(d->log + ((d->slot[at] & UINT32_MAX) - 1) * UNIT);
        if (!is_same(record, key))
            continue;
        *is_new = false;
        return record->number;
    }
    *is_new = true;
    return add(d, at, key);
}

int64_t fuse_dictionary_bytes(const struct fuse_dictionary *d) {
    return (int64_t)(d->slots * sizeof *d->slot + d->log_room);
}
