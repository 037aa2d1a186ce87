/* The distinct symbols that a rank has met, numbered from 0 in the order of their adding: open addressing over a log of their
 * texts. A symbol belongs to a table; equal texts of two tables are two symbols. Local. */
#ifndef FUSE_IO_SYMBOL_DICTIONARY_H
#define FUSE_IO_SYMBOL_DICTIONARY_H

#include "core/error.h"
#include "io/fields.h"

#include <stdint.h>

/* Records begin at multiples of it. */
#define FUSE_DICTIONARY_UNIT 8

struct fuse_dictionary {
    uint64_t seed;
    uint64_t *slot; /* the hash's upper half, and where the record lies in units of 8 bytes, from 1; 0: free */
    size_t slots, used;
    char *log;
    size_t log_bytes, log_room;
    uint32_t first, next; /* numbers that are in it, and the next one */
};

/* A symbol that is looked up. The text may be read FUSE_FIELD_SLACK bytes behind its end. */
struct fuse_symbol_key {
    const char *text;
    uint32_t bytes, table;
    uint64_t hash;
};

uint64_t fuse_dictionary_hash(const struct fuse_dictionary *d, const char *text, size_t bytes, uint32_t table);
/* The rank of `ranks` that a hash belongs to. */
int fuse_dictionary_owner(uint64_t hash, int ranks);
/* MEMORY. */
enum fuse_status fuse_dictionary_open(struct fuse_dictionary *d, uint64_t seed, struct fuse_error *err) FUSE_CHECKED;
void fuse_dictionary_close(struct fuse_dictionary *d);
/* Forgets all; numbers go on. */
void fuse_dictionary_clear(struct fuse_dictionary *d);
/* Room for `more` symbols of FUSE_SYMBOL_BYTES at most, so that what follows cannot fail. MEMORY. */
enum fuse_status fuse_dictionary_reserve(struct fuse_dictionary *d, size_t more, size_t bytes,
                                         struct fuse_error *err) FUSE_CHECKED;
/* To be called some time before the two that follow. */
static inline void fuse_dictionary_prefetch_slot(const struct fuse_dictionary *d, uint64_t hash) {
    __builtin_prefetch(&d->slot[hash & (d->slots - 1)]);
}
/* Numbers of n symbols as far as they are found at the first look, which is nearly all that are there;
 * FUSE_DICTIONARY_UNKNOWN: it may be there or not. Looks at many at once, where a search waits for memory at each. */
#define FUSE_DICTIONARY_UNKNOWN UINT32_MAX
void fuse_dictionary_guess(const struct fuse_dictionary *d, uint32_t *number, const struct fuse_symbol_key *key, int n);
/* The number of the symbol, which is added when it is new; *is_new says so. */
uint32_t fuse_dictionary_find(struct fuse_dictionary *d, const struct fuse_symbol_key *key, bool *is_new);

/* The records in the order of their numbers: starts at *at = 0; false behind the last. */
bool fuse_dictionary_each(const struct fuse_dictionary *d, size_t *at, struct fuse_symbol_key *out);
int64_t fuse_dictionary_bytes(const struct fuse_dictionary *d);

#endif
