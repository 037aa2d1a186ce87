#include "plan/memo.h"

#include <string.h>

/* A place of the table: small, because what is looked up is seldom in the cache. */
struct slot {
    uint32_t hash;
    int32_t entry; /* one more than its number; 0: free */
};

struct class {
    uint64_t hash;
    int words;
    const int64_t *word;
};

struct fuse_memo {
    struct fuse_arena *arena;
    size_t bytes; /* of a layout's arrays that matter, whole words */
    /* An entry is the class, what matters of both layouts, and the result: `stride` words. They lie in blocks. */
    int stride, key_words;
    FUSE_VEC(int64_t *) blocks;
    struct slot *slot;
    int entries, slots; /* slots: a power of two */
    FUSE_VEC(struct class) classes;
    int *class_slot; /* class + 1 */
    int class_slots;
};

static uint64_t mix(uint64_t hash, uint64_t word) {
    hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
    return hash ^ hash >> 29;
}

struct fuse_memo *fuse_memo_open(struct fuse_arena *arena, int dims) {
    struct fuse_memo *memo = FUSE_NEW(arena, struct fuse_memo);
    memo->arena = arena;
    memo->bytes = (size_t)(dims + 7) / 8 * 8;
    memo->key_words = 2 + 4 * (int)(memo->bytes / sizeof(int64_t));
    memo->stride = memo->key_words + FUSE_MEMO_WORDS;
    memo->slots = 1 << 12;
    memo->slot = FUSE_NEW_ARRAY(arena, struct slot, memo->slots);
    memo->class_slots = 1 << 8;
    memo->class_slot = FUSE_NEW_ARRAY(arena, int, memo->class_slots);
    return memo;
}

/* ---- classes ---- */

static void grow_classes(struct fuse_memo *memo) {
    memo->class_slots *= 2;
    memo->class_slot = FUSE_NEW_ARRAY(memo->arena, int, memo->class_slots);
    for (int c = 0; c < memo->classes.n; c++) {
        int at = (int)(memo->classes.at[c].hash & (uint64_t)(memo->class_slots - 1));
        while (memo->class_slot[at])
            at = (at + 1) & (memo->class_slots - 1);
        memo->class_slot[at] = c + 1;
    }
}

int fuse_memo_class(struct fuse_memo *memo, const int64_t *word, int words) {
    uint64_t hash = (uint64_t)words;
    for (int i = 0; i < words; i++)
        hash = mix(hash, (uint64_t)word[i]);
    int at = (int)(hash & (uint64_t)(memo->class_slots - 1));
    for (; memo->class_slot[at]; at = (at + 1) & (memo->class_slots - 1)) {
        const struct class *class = &memo->classes.at[memo->class_slot[at] - 1];
        if (class->hash == hash && class->words == words &&
            memcmp(class->word, word, (size_t)words * sizeof *word) == 0)
            return memo->class_slot[at] - 1;
    }
    int64_t *kept = FUSE_NEW_ARRAY(memo->arena, int64_t, words + 1);
    memcpy(kept, word, (size_t)words * sizeof *word);
    struct class class = {hash, words, kept};
    fuse_vec_push(memo->arena, &memo->classes, class);
    memo->class_slot[at] = memo->classes.n;
    if (2 * memo->classes.n > memo->class_slots)
        grow_classes(memo);
    return memo->classes.n - 1;
}

/* ---- results ---- */

enum { BLOCK = 1024, MOST_KEY_WORDS = 2 + 4 * FUSE_MESH_MAX / (int)sizeof(int64_t) };

static int64_t *entry_at(const struct fuse_memo *memo, int number) {
    return memo->blocks.at[number / BLOCK] + (size_t)(number % BLOCK) * (size_t)memo->stride;
}

static int64_t *add_entry(struct fuse_memo *memo, const int64_t *key) {
    if (memo->entries % BLOCK == 0) {
        int64_t *block = FUSE_NEW_ARRAY(memo->arena, int64_t, BLOCK * (size_t)memo->stride);
        fuse_vec_push(memo->arena, &memo->blocks, block);
    }
    int64_t *entry = entry_at(memo, memo->entries++);
    memcpy(entry, key, (size_t)memo->key_words * sizeof *key);
    return entry;
}

static int64_t *add_layout(const struct fuse_memo *memo, int64_t *word, const struct fuse_layout *layout) {
    for (size_t at = 0; at < memo->bytes; at += sizeof *word, word += 2) {
        memcpy(word, layout->axis + at, sizeof *word);
        memcpy(word + 1, layout->level + at, sizeof *word);
    }
    return word;
}

static void grow_slots(struct fuse_memo *memo) {
    struct slot *old = memo->slot;
    int slots = memo->slots;
    memo->slots *= 4;
    memo->slot = FUSE_NEW_ARRAY(memo->arena, struct slot, memo->slots);
    for (int i = 0; i < slots; i++) {
        uint32_t at = old[i].hash & (uint32_t)(memo->slots - 1);
        while (old[i].entry && memo->slot[at].entry)
            at = (at + 1) & (uint32_t)(memo->slots - 1);
        if (old[i].entry)
            memo->slot[at] = old[i];
    }
}

/* The products do not wait for each other. */
static uint64_t hash_of(const int64_t *key, int words) {
    uint64_t sum = 0, odd = 0x9e3779b97f4a7c15ULL;
    for (int k = 0; k < words; k++, odd += 0xd1342543de82ef94ULL) {
        const uint64_t word = (uint64_t)key[k] ^ (uint64_t)key[k] >> 32;
        sum += word * odd;
    }
    return (sum ^ sum >> 32) * 0x9e3779b97f4a7c15ULL;
}

static bool is_key(const int64_t *entry, const int64_t *key, int words) {
    int64_t other = 0;
    for (int k = 0; k < words; k++)
        other |= entry[k] ^ key[k];
    return other == 0;
}

int64_t *fuse_memo_find(struct fuse_memo *memo, bool *is_there, int class, const struct fuse_layout *a,
                        const struct fuse_layout *b) {
    static const struct fuse_layout none;
    int64_t key[MOST_KEY_WORDS];
    key[0] = class;
    key[1] = a->zigzag + (b ? b->zigzag : 0) * (int64_t)256;
    add_layout(memo, add_layout(memo, key + 2, a), b ? b : &none);
    const uint64_t mixed = hash_of(key, memo->key_words);
    if (2 * memo->entries >= memo->slots)
        grow_slots(memo);
    uint32_t hash = (uint32_t)(mixed >> 32), at = hash & (uint32_t)(memo->slots - 1);
    for (; memo->slot[at].entry; at = (at + 1) & (uint32_t)(memo->slots - 1)) {
        if (memo->slot[at].hash != hash)
            continue;
        int64_t *entry = entry_at(memo, memo->slot[at].entry - 1);
        *is_there = true;
        if (is_key(entry, key, memo->key_words))
            return entry + memo->key_words;
    }
    *is_there = false;
    int64_t *entry = add_entry(memo, key);
    memo->slot[at] = (struct slot){.hash = hash, .entry = memo->entries};
    return entry + memo->key_words;
}
