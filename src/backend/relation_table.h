/* Tuples in memory: growing arrays of rows, sets of keys with values, and indexes. What a rank keeps of a relation.
 *
 * A row is some 64-bit words, always as many: ids packed as core/rules.h says, then a value where there is one (int64_t or the
 * bits of a double). The highest bit of a word of ids is 0. Everything is counted in a ledger before it is had, so that a
 * limit is never exceeded; functions that need memory return false when it is refused, and then nothing has changed. Local. */
#ifndef FUSE_BACKEND_RELATION_TABLE_H
#define FUSE_BACKEND_RELATION_TABLE_H

#include "core/dtype.h"
#include "core/reduce.h"
#include "core/rules.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct fuse_ledger {
    int64_t used, peak;
    int64_t most;    /* 0: no limit */
    int64_t refused; /* how much more was asked for when the limit last stood in the way */
};

/* Memory that grows in place where it can; large blocks are of huge pages. Starts zeroed, as the structure does. */
struct fuse_block {
    void *at;
    size_t bytes;
};
/* Keeps what is there up to the smaller size; what is added is zero. 0 bytes give everything back. */
bool fuse_block_resize(struct fuse_block *block, struct fuse_ledger *ledger, size_t bytes);

/* ---- rows ---- */

struct fuse_run {
    int words;
    int64_t n;
    struct fuse_block block;
};
static inline uint64_t *fuse_run_row(const struct fuse_run *run, int64_t row) {
    return (uint64_t *)run->block.at + row * run->words;
}
/* Room for `more` rows behind the n. */
bool fuse_run_reserve(struct fuse_run *run, struct fuse_ledger *ledger, int64_t more);
void fuse_run_close(struct fuse_run *run, struct fuse_ledger *ledger);
/* Sorts rows by their first `keys` words; by all of them where the result is to be the same whatever the order was before.
 * Takes as much memory again while it works. */
bool fuse_run_sort(struct fuse_run *run, struct fuse_ledger *ledger, int keys);
/* Of sorted rows, those with the same first `keys` words become one. Their last word is a value of dtype, combined by op in the
 * order of the rows, divided by their number when mean; BOOL: there is none. *overflow is set when an I64 result overflows. */
void fuse_run_unite(struct fuse_run *run, int keys, enum fuse_dtype dtype, enum fuse_reduce op, bool mean,
                    bool *overflow);

/* ---- hashes ---- */

static inline uint64_t fuse_mix(uint64_t a, uint64_t b) {
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}
static inline uint64_t fuse_hash_words(const uint64_t *word, int words) {
    uint64_t hash = 0;
    for (int w = 0; w < words; w++)
        hash = fuse_mix(hash ^ word[w] ^ 0x9e3779b97f4a7c15u, 0xd6e8feb86659fd93u);
    return hash;
}

/* The rank, of so many, to which a single id belongs: of each group of `ranks` ids, from a multiple on, every rank has one. */
static inline int64_t fuse_share_of(uint64_t id, int64_t ranks) {
    const uint64_t group = id / (uint64_t)ranks;
    return (int64_t)((id % (uint64_t)ranks + (fuse_mix(group + 0x9e3779b97f4a7c15u, 0xd6e8feb86659fd93u) >> 32)) %
                     (uint64_t)ranks);
}

/* ---- sets ---- */

/* What becomes of a second row with the same key. */
enum fuse_set_kind {
    FUSE_SET_FACTS, /* nothing; rows are keys */
    FUSE_SET_MIN,   /* the better value stays; a row is a key and a value */
    FUSE_SET_MAX,
    FUSE_SET_TOTAL /* sums of I64, 128 bits wide */
};

struct fuse_set {
    enum fuse_set_kind kind;
    enum fuse_dtype dtype; /* of values */
    int keys;              /* words */
    bool is_marked; /* keeps for each key the mark under which it came or became better; always so with MIN and MAX */
    int stride; /* words of a slot: keys, value, mark. The first is 0 in an empty slot, else one more than the key's */
    int64_t slots, hashed; /* slots: a power of two; how many are used */
    int64_t n;             /* keys */
    struct fuse_block block;
    /* Facts of two ids: a row (first id) that has many keys gets a bit for each second id. What was hashed before stays there. */
    int row_shift; /* the row of a key is key >> row_shift; 0: there are no rows */
    int64_t rows, row_words;
    int64_t ranks, rank; /* second ids are those of a share: the bit of one is its group's */
    uint64_t reciprocal; /* 1 + 2^64 / ranks; 0: all ids */
    int64_t bitmaps;
    /* A row's number of keys, or BIT_ROW and the number of its bits; per row of bits: hashed keys that have no bit. */
    struct fuse_block head, bits, unmoved;
};

void fuse_set_open(struct fuse_set *set, enum fuse_set_kind kind, enum fuse_dtype dtype, int keys, bool is_marked);
/* Says that keys are two ids, which are below these extents, the second in the lowest bits; of second ids only those that
 * fuse_share_of gives to this rank of so many (1: all). For empty sets of facts. */
void fuse_set_expect_rows(struct fuse_set *set, int64_t first_extent, int64_t second_extent, int second_bits,
                          int64_t ranks, int64_t rank);
void fuse_set_close(struct fuse_set *set, struct fuse_ledger *ledger);
/* Room for so many more keys without growing. */
bool fuse_set_reserve(struct fuse_set *set, struct fuse_ledger *ledger, int64_t more);
/* Adds rows, which lie `words` apart. What is new, or has a better value for the first time under this mark (> 0), is appended to `fresh` (keys
 * only), which may be NULL. Sets *nan for a value that is NaN, which is not added. */
bool fuse_set_add(struct fuse_set *set, struct fuse_ledger *ledger, const uint64_t *rows, int words, int64_t n,
                  uint64_t mark, struct fuse_run *fresh, bool *nan);
/* The value of a key that is there. */
uint64_t fuse_set_value(const struct fuse_set *set, const uint64_t *key);
/* Appends all rows to a run: key, value if there is one, mark if wanted. FUSE_SET_TOTAL sets *overflow for a sum beyond 64 bits. */
bool fuse_set_dump(const struct fuse_set *set, struct fuse_ledger *ledger, struct fuse_run *run, bool marks,
                   bool *overflow);

/* ---- indexes ---- */

/* From keys to the rows that have them. Keys of one word below `dense` are positions in an array, others are hashed. */
struct fuse_index {
    int keys,
        words; /* of the key, of what is kept with it: the rest of the ids and the value; 0: whether the key is there */
    bool is_narrow;   /* words == 1 and it is below 2^32: rows are uint32_t */
    int64_t dense;    /* 0: hashed */
    int64_t slots, n; /* of hashed keys */
    int64_t rows;
    struct fuse_block heads, pool;
    int64_t pool_used;  /* rows */
    uint64_t spare[32]; /* 1 + where the first unused list with room for 2^k rows is; 0: none */
};
/* What a key has; rows lie next to each other. */
struct fuse_list {
    const void *at;
    int64_t n;
};

void fuse_index_open(struct fuse_index *index, int keys, int words, bool is_narrow, int64_t dense);
void fuse_index_close(struct fuse_index *index, struct fuse_ledger *ledger);
/* Adds rows of keys + words words. */
bool fuse_index_add(struct fuse_index *index, struct fuse_ledger *ledger, const uint64_t *rows, int64_t n);
/* The same for an index that is empty, without room for more than these. */
bool fuse_index_build(struct fuse_index *index, struct fuse_ledger *ledger, const uint64_t *rows, int64_t n);
struct fuse_list fuse_index_find(const struct fuse_index *index, const uint64_t *key);
void fuse_index_prefetch(const struct fuse_index *index, const uint64_t *key, bool list_too);

#endif
