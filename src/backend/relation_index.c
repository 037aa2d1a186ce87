/* Indexes: lists of rows that grow by doubling, in one pool; lists that were left are used again. */
#include "backend/relation_table.h"

#define BATCH 64
#define FIRST_SLOTS 64

/* Of a key; behind its words when it is hashed. The words of a hashed key are one more than the key's in the first. */
struct head {
    uint64_t at; /* in the pool, in rows */
    uint32_t n, cap;
};

void fuse_index_open(struct fuse_index *index, int keys, int words, bool is_narrow, int64_t dense) {
    *index = (struct fuse_index){.keys = keys, .words = words, .is_narrow = is_narrow, .dense = dense};
}

void fuse_index_close(struct fuse_index *index, struct fuse_ledger *ledger) {
    if (fuse_block_resize(&index->heads, ledger, 0) && fuse_block_resize(&index->pool, ledger, 0))
        fuse_index_open(index, index->keys, index->words, index->is_narrow, index->dense);
}

static inline int slot_words(const struct fuse_index *index) {
    return index->keys + 2;
}

static inline uint64_t *slot_at(const struct fuse_index *index, int64_t at) {
    return (uint64_t *)index->heads.at + at * slot_words(index);
}

static inline uint64_t *find_slot(const struct fuse_index *index, const uint64_t *key) {
    const int keys = index->keys;
    int64_t at = (int64_t)(fuse_hash_words(key, keys) & (uint64_t)(index->slots - 1));
    for (;; at = (at + 1) & (index->slots - 1)) {
        uint64_t *slot = slot_at(index, at);
        bool same = slot[0] == key[0] + 1;
        for (int k = 1; same && k < keys; k++)
            same = slot[k] == key[k];
        if (same || slot[0] == 0)
            return slot;
    }
}

static inline struct head *dense_head(const struct fuse_index *index, const uint64_t *key) {
    return (struct head *)index->heads.at + key[0];
}

static bool grow_slots(struct fuse_index *index, struct fuse_ledger *ledger, int64_t slots) {
    struct fuse_index larger = *index;
    larger.slots = slots;
    larger.heads = (struct fuse_block){0};
    const int words = slot_words(index);
    if (!fuse_block_resize(&larger.heads, ledger, (size_t)slots * (size_t)words * 8))
        return false;
    for (int64_t at = 0; at < index->slots; at++) {
        uint64_t *slot = slot_at(index, at);
        if (slot[0] == 0)
            continue;
        slot[0]--;
        uint64_t *to = find_slot(&larger, slot);
        memcpy(to, slot, (size_t)words * 8);
        to[0]++;
    }
    bool given = fuse_block_resize(&index->heads, ledger, 0);
    index->heads = larger.heads;
    index->slots = slots;
    return given;
}

/* Room for so many more keys. */
static bool reserve_heads(struct fuse_index *index, struct fuse_ledger *ledger, int64_t more) {
    if (index->dense > 0)
        return fuse_block_resize(&index->heads, ledger, (size_t)index->dense * sizeof(struct head));
    int64_t slots = index->slots > 0 ? index->slots : FIRST_SLOTS;
    while ((index->n + more) * 10 > slots * 6)
        slots *= 2;
    return slots == index->slots || grow_slots(index, ledger, slots);
}

static inline struct head *head_of(struct fuse_index *index, const uint64_t *key) {
    if (index->dense > 0)
        return dense_head(index, key);
    uint64_t *slot = find_slot(index, key);
    if (slot[0] == 0) {
        memcpy(slot, key, (size_t)index->keys * 8);
        slot[0]++;
        index->n++;
    }
    return (struct head *)(slot + index->keys);
}

static inline size_t row_bytes(const struct fuse_index *index) {
    return index->is_narrow ? 4 : (size_t)index->words * 8;
}

static bool reserve_pool(struct fuse_index *index, struct fuse_ledger *ledger, int64_t rows) {
    /* An unused list holds the number of the next one: 8 bytes. */
    size_t need = (size_t)(index->pool_used + rows) * row_bytes(index) + 8, bytes = index->pool.bytes / 2 * 3;
    if (need <= index->pool.bytes)
        return true;
    return (bytes > need && fuse_block_resize(&index->pool, ledger, bytes)) ||
           fuse_block_resize(&index->pool, ledger, need);
}

static inline char *pool_row(const struct fuse_index *index, uint64_t at) {
    return (char *)index->pool.at + at * row_bytes(index);
}

/* A list of 2^k rows, k >= 1. */
static bool take_list(struct fuse_index *index, struct fuse_ledger *ledger, int k, uint64_t *at) {
    if (index->spare[k] != 0) {
        *at = index->spare[k] - 1;
        memcpy(&index->spare[k], pool_row(index, *at), 8);
        return true;
    }
    if (!reserve_pool(index, ledger, (int64_t)1 << k))
        return false;
    *at = (uint64_t)index->pool_used;
    index->pool_used += (int64_t)1 << k;
    return true;
}

static inline void put_row(const struct fuse_index *index, uint64_t at, const uint64_t *row) {
    if (index->is_narrow)
        ((uint32_t *)index->pool.at)[at] = (uint32_t)row[0];
    else
        for (int w = 0; w < index->words; w++)
            ((uint64_t *)index->pool.at)[at * (uint64_t)index->words + (uint64_t)w] = row[w];
}

static bool make_room(struct fuse_index *index, struct fuse_ledger *ledger, struct head *head) {
    const bool is_power = head->cap >= 2 && (head->cap & (head->cap - 1)) == 0;
    int k = head->cap < 2 ? 1 : 32 - __builtin_clz(head->cap);
    uint64_t at;
    if (k > 31 || !take_list(index, ledger, k, &at))
        return false;
    memcpy(pool_row(index, at), pool_row(index, head->at), head->n * row_bytes(index));
    if (is_power) {
        memcpy(pool_row(index, head->at), &index->spare[k - 1], 8);
        index->spare[k - 1] = head->at + 1;
    }
    head->at = at;
    head->cap = (uint32_t)1 << k;
    return true;
}

bool fuse_index_add(struct fuse_index *index, struct fuse_ledger *ledger, const uint64_t *rows, int64_t n) {
    const int words = index->keys + index->words;
    for (int64_t done = 0; done < n; done += BATCH) {
        const int batch = n - done < BATCH ? (int)(n - done) : BATCH;
        if (!reserve_heads(index, ledger, batch))
            return false;
        for (int i = 0; i < batch; i++)
            fuse_index_prefetch(index, rows + (done + i) * words, false);
        for (int i = 0; i < batch; i++) {
            const uint64_t *row = rows + (done + i) * words;
            struct head *head = head_of(index, row);
            if (index->words == 0) {
                head->n = 1;
                continue;
            }
            if (head->n == head->cap && !make_room(index, ledger, head))
                return false;
            put_row(index, head->at + head->n, row + index->keys);
            head->n++;
            index->rows++;
        }
    }
    return true;
}

bool fuse_index_build(struct fuse_index *index, struct fuse_ledger *ledger, const uint64_t *rows, int64_t n) {
    const int words = index->keys + index->words;
    if (index->words == 0 || n >= UINT32_MAX)
        return fuse_index_add(index, ledger, rows, n);
    for (int64_t done = 0; done < n; done += BATCH) {
        const int batch = n - done < BATCH ? (int)(n - done) : BATCH;
        if (!reserve_heads(index, ledger, batch))
            return false;
        for (int i = 0; i < batch; i++)
            fuse_index_prefetch(index, rows + (done + i) * words, false);
        for (int i = 0; i < batch; i++)
            head_of(index, rows + (done + i) * words)->cap++;
    }
    if (!reserve_heads(index, ledger, 0) || !reserve_pool(index, ledger, n))
        return false;
    for (int64_t i = 0; i < n; i++) {
        if (i + 16 < n)
            fuse_index_prefetch(index, rows + (i + 16) * words, false);
        struct head *head = head_of(index, rows + i * words);
        if (head->n == 0) {
            head->at = (uint64_t)index->pool_used;
            index->pool_used += head->cap;
        }
        put_row(index, head->at + head->n++, rows + i * words + index->keys);
    }
    index->rows = n;
    return true;
}

struct fuse_list fuse_index_find(const struct fuse_index *index, const uint64_t *key) {
    const struct head *head;
    if (index->heads.bytes == 0)
        return (struct fuse_list){NULL, 0};
    if (index->dense > 0)
        head = dense_head(index, key);
    else {
        const uint64_t *slot = find_slot(index, key);
        if (slot[0] == 0)
            return (struct fuse_list){NULL, 0};
        head = (const struct head *)(slot + index->keys);
    }
    if (head->n == 0 || index->words == 0)
        return (struct fuse_list){NULL, head->n};
    return (struct fuse_list){pool_row(index, head->at), head->n};
}

void fuse_index_prefetch(const struct fuse_index *index, const uint64_t *key, bool list_too) {
    if (index->heads.bytes == 0)
        return;
    if (list_too) {
        struct fuse_list list = fuse_index_find(index, key);
        __builtin_prefetch(list.at);
    } else if (index->dense > 0)
        __builtin_prefetch(dense_head(index, key));
    else
        __builtin_prefetch(slot_at(index, (int64_t)(fuse_hash_words(key, index->keys) & (uint64_t)(index->slots - 1))));
}
