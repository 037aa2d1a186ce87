/* Sets of keys: open addressing, the rows of a batch prefetched before they are looked up. */
#include "backend/relation_table.h"

#include <math.h>

#define BATCH 128
#define FIRST_SLOTS 64
#define BIT_ROW ((uint32_t)1 << 31)

void fuse_set_open(struct fuse_set *set, enum fuse_set_kind kind, enum fuse_dtype dtype, int keys, bool is_marked) {
    const int value = kind == FUSE_SET_FACTS ? 0 : kind == FUSE_SET_TOTAL ? 2 : 1;
    is_marked |= kind == FUSE_SET_MIN || kind == FUSE_SET_MAX;
    *set = (struct fuse_set){
        .kind = kind, .dtype = dtype, .keys = keys, .is_marked = is_marked, .stride = keys + value + is_marked};
}

void fuse_set_close(struct fuse_set *set, struct fuse_ledger *ledger) {
    if (fuse_block_resize(&set->block, ledger, 0) && fuse_block_resize(&set->head, ledger, 0) &&
        fuse_block_resize(&set->bits, ledger, 0) && fuse_block_resize(&set->unmoved, ledger, 0))
        set->slots = set->n = set->hashed = set->bitmaps = 0;
}

/* Where the search for a key begins. */
static inline int64_t first_slot(const struct fuse_set *set, uint64_t hash) {
    return (int64_t)(hash & (uint64_t)(set->slots - 1));
}

static inline uint64_t *slot_at(const struct fuse_set *set, int64_t at) {
    return (uint64_t *)set->block.at + at * set->stride;
}

static inline bool is_key(const uint64_t *slot, const uint64_t *key, int keys) {
    if (slot[0] != key[0] + 1)
        return false;
    for (int k = 1; k < keys; k++)
        if (slot[k] != key[k])
            return false;
    return true;
}

static inline uint64_t hash_of_slot(const uint64_t *slot, int keys) {
    uint64_t first = slot[0] - 1, hash = fuse_hash_words(&first, 1);
    for (int k = 1; k < keys; k++)
        hash = fuse_mix(hash ^ slot[k] ^ 0x9e3779b97f4a7c15u, 0xd6e8feb86659fd93u);
    return hash;
}

static bool grow(struct fuse_set *set, struct fuse_ledger *ledger, int64_t slots) {
    struct fuse_set larger = *set;
    larger.slots = slots;
    larger.block = (struct fuse_block){0};
    if (!fuse_block_resize(&larger.block, ledger, (size_t)slots * (size_t)set->stride * 8))
        return false;
    const int keys = set->keys, stride = set->stride;
    int64_t home[BATCH];
    const uint64_t *moved[BATCH];
    for (int64_t at = 0; at < set->slots;) {
        int batch = 0;
        for (; at < set->slots && batch < BATCH; at++) {
            const uint64_t *slot = slot_at(set, at);
            if (slot[0] == 0)
                continue;
            moved[batch] = slot;
            home[batch] = first_slot(&larger, hash_of_slot(slot, keys));
            __builtin_prefetch(slot_at(&larger, home[batch]), 1);
            batch++;
        }
        for (int i = 0; i < batch; i++) {
            int64_t to = home[i];
            while (slot_at(&larger, to)[0] != 0)
                to = (to + 1) & (slots - 1);
            if (stride == 1)
                slot_at(&larger, to)[0] = moved[i][0];
            else
                memcpy(slot_at(&larger, to), moved[i], (size_t)stride * 8);
        }
    }
    bool given = fuse_block_resize(&set->block, ledger, 0);
    *set = larger;
    return given;
}

bool fuse_set_reserve(struct fuse_set *set, struct fuse_ledger *ledger, int64_t more) {
    int64_t slots = set->slots > 0 ? set->slots : FIRST_SLOTS;
    while ((set->hashed + more) * 10 > slots * 7)
        slots *= 2;
    return slots == set->slots || grow(set, ledger, slots);
}

static inline double real_of(uint64_t bits) {
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Whether value a is better than b. */
static inline bool is_better(const struct fuse_set *set, uint64_t a, uint64_t b) {
    const bool min = set->kind == FUSE_SET_MIN;
    if (set->dtype == FUSE_I64)
        return min ? (int64_t)a < (int64_t)b : (int64_t)a > (int64_t)b;
    return min ? real_of(a) < real_of(b) : real_of(a) > real_of(b);
}

static inline void append(struct fuse_run *fresh, const uint64_t *key, int keys) {
    uint64_t *to = fuse_run_row(fresh, fresh->n++);
    for (int k = 0; k < keys; k++)
        to[k] = key[k];
}

/* The search that all kinds share: the slot of a key, which is empty when the key is new. */
static inline uint64_t *find_slot(const struct fuse_set *set, const uint64_t *key, int keys, int64_t at) {
    for (;; at = (at + 1) & (set->slots - 1)) {
        uint64_t *slot = slot_at(set, at);
        if (slot[0] == 0 || is_key(slot, key, keys))
            return slot;
    }
}

static void add_single(struct fuse_set *set, const uint64_t *rows, int n, const int64_t *home, struct fuse_run *fresh) {
    uint64_t *slots = set->block.at, *out = fresh ? fuse_run_row(fresh, fresh->n) : NULL;
    const uint64_t mask = (uint64_t)set->slots - 1;
    int64_t added = 0;
    for (int i = 0; i < n; i++) {
        const uint64_t key = rows[i] + 1;
        uint64_t at = (uint64_t)home[i];
        while (slots[at] != 0 && slots[at] != key)
            at = (at + 1) & mask;
        if (slots[at] == key)
            continue;
        slots[at] = key;
        if (out)
            out[added] = rows[i];
        added++;
    }
    set->n += added;
    set->hashed += added;
    if (fresh)
        fresh->n += added;
}

/* ---- rows of bits ---- */

void fuse_set_expect_rows(struct fuse_set *set, int64_t first_extent, int64_t second_extent, int second_bits,
                          int64_t ranks, int64_t rank) {
    if (set->stride != 1 || second_bits == 0 || first_extent > INT32_MAX || second_extent > INT32_MAX)
        return;
    set->row_shift = second_bits;
    set->rows = first_extent;
    set->ranks = ranks;
    set->rank = rank;
    set->reciprocal = ranks > 1 ? UINT64_MAX / (uint64_t)ranks + 1 : 0;
    set->row_words = ((second_extent + ranks - 1) / ranks + 63) / 64;
}

/* The bit of a key in its row. Ids are below 2^31, and so the high half of the product is the quotient (Lemire, Kaser, Kurz, Faster
 * remainder by direct computation, 2019). */
static inline uint64_t bit_of(const struct fuse_set *set, uint64_t key) {
    const uint64_t id = key & (((uint64_t)1 << set->row_shift) - 1);
    return set->reciprocal == 0 ? id : (uint64_t)((unsigned __int128)id * set->reciprocal >> 64);
}

/* The second id that a bit stands for. */
static uint64_t id_of(const struct fuse_set *set, uint64_t bit) {
    if (set->reciprocal == 0)
        return bit;
    const uint64_t first = bit * (uint64_t)set->ranks;
    return first + (uint64_t)((set->rank - fuse_share_of(first, set->ranks) + set->ranks) % set->ranks);
}

/* Counting costs 4 bytes a row, bits as much as the keys that they stand for. */
static bool count_rows(struct fuse_set *set, struct fuse_ledger *ledger) {
    if (set->n < 1024 || set->n * 4 < set->rows || set->head.bytes > 0)
        return set->head.bytes > 0;
    if (!fuse_block_resize(&set->head, ledger, (size_t)set->rows * sizeof(uint32_t)))
        return false;
    uint32_t *head = set->head.at;
    const uint64_t *slot = set->block.at;
    for (int64_t at = 0; at < set->slots; at++)
        if (slot[at] != 0)
            head[(slot[at] - 1) >> set->row_shift]++;
    return true;
}

static inline uint64_t *bit_word(const struct fuse_set *set, uint32_t head, uint64_t bit) {
    return (uint64_t *)set->bits.at + (int64_t)(head & ~BIT_ROW) * set->row_words + (int64_t)(bit >> 6);
}

/* Bits for a row that has `count` keys, unless memory is short. */
static void give_bits(struct fuse_set *set, struct fuse_ledger *ledger, uint32_t *head) {
    const int64_t more = set->bitmaps + 1, room = (int64_t)(set->unmoved.bytes / sizeof(uint32_t));
    if (more > room) {
        const int64_t larger = room < 16 ? 16 : room * 3 / 2;
        if (!fuse_block_resize(&set->bits, ledger, (size_t)(larger * set->row_words) * 8) ||
            !fuse_block_resize(&set->unmoved, ledger, (size_t)larger * sizeof(uint32_t)))
            return;
    }
    ((uint32_t *)set->unmoved.at)[set->bitmaps] = *head;
    *head = BIT_ROW | (uint32_t)set->bitmaps;
    set->bitmaps = more;
}

/* Most rows of a batch are there already, and are dropped before anything is looked up elsewhere. */
static void add_bits(struct fuse_set *set, struct fuse_ledger *ledger, const uint64_t *rows, int n,
                     struct fuse_run *fresh) {
    uint32_t *head = set->head.at;
    uint64_t left[BATCH], at[BATCH], *slots = set->block.at, *out = fresh ? fuse_run_row(fresh, fresh->n) : NULL;
    const uint64_t mask = (uint64_t)set->slots - 1;
    const int shift = set->row_shift;
    const uint32_t many = set->row_words < 64 ? 32 : (uint32_t)(set->row_words / 2);
    int64_t added = 0;
    int m = 0;
    for (int i = 0; i < n; i++) {
        const uint64_t key = rows[i];
        const uint32_t row = head[key >> shift];
        if (row & BIT_ROW) {
            const uint64_t bit = bit_of(set, key);
            if (*bit_word(set, row, bit) >> (bit & 63) & 1)
                continue;
        }
        left[m] = key;
        at[m] = fuse_hash_words(&key, 1) & mask;
        __builtin_prefetch(slots + at[m], 1);
        m++;
    }
    for (int i = 0; i < m; i++) {
        const uint64_t key = left[i], word = key + 1;
        uint32_t *row = &head[key >> shift];
        if (*row & BIT_ROW) {
            const uint64_t number = bit_of(set, key), bit = (uint64_t)1 << (number & 63);
            uint64_t *bits = bit_word(set, *row, number);
            uint32_t *unmoved = (uint32_t *)set->unmoved.at + (*row & ~BIT_ROW);
            if (*bits & bit)
                continue;
            *bits |= bit;
            uint64_t slot = at[i];
            while (*unmoved > 0 && slots[slot] != 0 && slots[slot] != word)
                slot = (slot + 1) & mask;
            if (*unmoved > 0 && slots[slot] == word) {
                --*unmoved;
                continue;
            }
        } else {
            uint64_t slot = at[i];
            while (slots[slot] != 0 && slots[slot] != word)
                slot = (slot + 1) & mask;
            if (slots[slot] == word)
                continue;
            slots[slot] = word;
            set->hashed++;
            if (++*row >= many)
                give_bits(set, ledger, row);
        }
        if (out)
            out[added] = key;
        added++;
    }
    set->n += added;
    if (fresh)
        fresh->n += added;
}

/* Keys that have bits; those that were hashed before get theirs. */
static uint64_t *dump_bits(const struct fuse_set *set, uint64_t *to) {
    const uint32_t *head = set->head.at;
    const uint64_t *slot = set->block.at;
    for (int64_t at = 0; at < set->slots; at++) {
        const uint64_t key = slot[at] - 1;
        if (slot[at] == 0 || !(head[key >> set->row_shift] & BIT_ROW))
            continue;
        const uint64_t bit = bit_of(set, key);
        *bit_word(set, head[key >> set->row_shift], bit) |= (uint64_t)1 << (bit & 63);
    }
    for (int64_t row = 0; row < set->rows; row++) {
        if (!(head[row] & BIT_ROW))
            continue;
        const uint64_t *bits = bit_word(set, head[row], 0);
        for (int64_t w = 0; w < set->row_words; w++)
            for (uint64_t left = bits[w]; left != 0; left &= left - 1)
                *to++ = (uint64_t)row << set->row_shift | id_of(set, (uint64_t)(w * 64 + __builtin_ctzll(left)));
    }
    return to;
}

static void add_row(struct fuse_set *set, const uint64_t *row, int64_t home, uint64_t mark, struct fuse_run *fresh,
                    bool *nan) {
    const int keys = set->keys;
    if (set->kind != FUSE_SET_FACTS && set->dtype != FUSE_I64 && isnan(real_of(row[keys]))) {
        *nan = true;
        return;
    }
    uint64_t *slot = find_slot(set, row, keys, home), *value = slot + keys, *last = slot + set->stride - 1;
    const bool is_new = slot[0] == 0;
    if (is_new) {
        slot[0] = row[0] + 1;
        for (int k = 1; k < keys; k++)
            slot[k] = row[k];
        set->n++;
        set->hashed++;
    }
    if (set->kind == FUSE_SET_TOTAL) {
        __int128 sum;
        memcpy(&sum, value, sizeof sum);
        sum += (int64_t)row[keys];
        memcpy(value, &sum, sizeof sum);
    } else if (set->kind != FUSE_SET_FACTS && (is_new || is_better(set, row[keys], *value)))
        *value = row[keys];
    else if (!is_new)
        return;
    if (fresh && (is_new || (set->is_marked && *last != mark)))
        append(fresh, row, keys);
    if (set->is_marked)
        *last = mark;
}

bool fuse_set_add(struct fuse_set *set, struct fuse_ledger *ledger, const uint64_t *rows, int words, int64_t n,
                  uint64_t mark, struct fuse_run *fresh, bool *nan) {
    int64_t home[BATCH];
    for (int64_t done = 0; done < n; done += BATCH) {
        const int batch = n - done < BATCH ? (int)(n - done) : BATCH;
        const uint64_t *row = rows + done * words;
        if (!fuse_set_reserve(set, ledger, batch) || (fresh && !fuse_run_reserve(fresh, ledger, batch)))
            return false;
        if (set->row_shift > 0 && count_rows(set, ledger)) {
            add_bits(set, ledger, row, batch, fresh);
            continue;
        }
        for (int i = 0; i < batch; i++) {
            home[i] = first_slot(set, fuse_hash_words(row + i * words, set->keys));
            __builtin_prefetch(slot_at(set, home[i]), 1);
        }
        if (set->stride == 1 && words == 1)
            add_single(set, row, batch, home, fresh);
        else
            for (int i = 0; i < batch; i++)
                add_row(set, row + i * words, home[i], mark, fresh, nan);
    }
    return true;
}

uint64_t fuse_set_value(const struct fuse_set *set, const uint64_t *key) {
    return find_slot(set, key, set->keys, first_slot(set, fuse_hash_words(key, set->keys)))[set->keys];
}

bool fuse_set_dump(const struct fuse_set *set, struct fuse_ledger *ledger, struct fuse_run *run, bool marks,
                   bool *overflow) {
    const int keys = set->keys, value = set->kind != FUSE_SET_FACTS;
    if (!fuse_run_reserve(run, ledger, set->n))
        return false;
    uint64_t *to = fuse_run_row(run, run->n);
    const uint32_t *head = set->bitmaps > 0 ? set->head.at : NULL;
    if (head)
        to = dump_bits(set, to);
    for (int64_t at = 0; at < set->slots; at++) {
        const uint64_t *slot = slot_at(set, at);
        if (slot[0] == 0 || (head && (head[(slot[0] - 1) >> set->row_shift] & BIT_ROW)))
            continue;
        to[0] = slot[0] - 1;
        for (int k = 1; k < keys + value; k++)
            to[k] = slot[k];
        if (set->kind == FUSE_SET_TOTAL) {
            __int128 sum;
            memcpy(&sum, slot + keys, sizeof sum);
            *overflow |= sum != (int64_t)sum;
        }
        if (marks)
            to[keys + value] = slot[set->stride - 1];
        to += run->words;
    }
    run->n += set->n;
    return true;
}
