#include "plan/memo.h"

#include <string.h>

struct entry {
    uint64_t hash; /* 0: free */
    int class;
    struct fuse_layout a, b;
    int64_t result[FUSE_MEMO_WORDS];
};

struct class {
    uint64_t hash;
    int words;
    const int64_t *word;
};

struct fuse_memo {
    struct fuse_arena *arena;
    size_t bytes; /* of a layout's arrays that matter, whole words */
    struct entry *entry;
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
    memo->slots = 1 << 12;
    memo->entry = FUSE_NEW_ARRAY(arena, struct entry, memo->slots);
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

static uint64_t hash_layout(const struct fuse_memo *memo, uint64_t hash, const struct fuse_layout *layout) {
    uint64_t word;
    for (size_t at = 0; at < memo->bytes; at += sizeof word) {
        memcpy(&word, layout->axis + at, sizeof word);
        hash = mix(hash, word);
        memcpy(&word, layout->level + at, sizeof word);
        hash = mix(hash, word);
    }
    return hash;
}

static bool is_same(const struct fuse_memo *memo, const struct fuse_layout *a, const struct fuse_layout *b) {
    return memcmp(a->axis, b->axis, memo->bytes) == 0 && memcmp(a->level, b->level, memo->bytes) == 0;
}

static void grow_entries(struct fuse_memo *memo) {
    struct entry *old = memo->entry;
    int slots = memo->slots;
    memo->slots *= 4;
    memo->entry = FUSE_NEW_ARRAY(memo->arena, struct entry, memo->slots);
    for (int i = 0; i < slots; i++) {
        int at = (int)(old[i].hash >> 1 & (uint64_t)(memo->slots - 1));
        while (old[i].hash && memo->entry[at].hash)
            at = (at + 1) & (memo->slots - 1);
        if (old[i].hash)
            memo->entry[at] = old[i];
    }
}

int64_t *fuse_memo_find(struct fuse_memo *memo, bool *is_there, int class, const struct fuse_layout *a,
                        const struct fuse_layout *b) {
    static const struct fuse_layout none;
    b = b ? b : &none;
    uint64_t hash = hash_layout(memo, hash_layout(memo, (uint64_t) class + 1, a), b) | 1;
    if (2 * memo->entries >= memo->slots)
        grow_entries(memo);
    int at = (int)(hash >> 1 & (uint64_t)(memo->slots - 1));
    struct entry *entry = &memo->entry[at];
    while (entry->hash && (entry->hash != hash || entry->class != class || !is_same(memo, &entry->a, a) ||
                           !is_same(memo, &entry->b, b))) {
        at = (at + 1) & (memo->slots - 1);
        entry = &memo->entry[at];
    }
    *is_there = entry->hash != 0;
    if (!*is_there) {
        entry->hash = hash;
        entry->class = class;
        entry->a = *a;
        entry->b = *b;
        memo->entries++;
    }
    return entry->result;
}
