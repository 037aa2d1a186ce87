/* Whether a text in memory is JSON of the kind that json_document.h takes, and where its values lie. Local and pure. */
#ifndef FUSE_IO_JSON_GRAMMAR_H
#define FUSE_IO_JSON_GRAMMAR_H

#include "core/arena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FUSE_JSON_MAX_DEPTH = 64 };

/* Where a value begins, and its key where it has one. */
struct fuse_json_spot {
    uint32_t offset, key_offset;
    bool is_integer; /* of a number */
};

struct fuse_json_grammar {
    FUSE_VEC(struct fuse_json_spot) spots; /* of all values in the order of their first bytes */
    const char *reason;                    /* what is wrong, at `offset`; NULL: nothing */
    const char *hint;                      /* with a reason */
    uint32_t offset;
};

/* Less than 4 GiB of text. Keys that stand twice in an object pass. false when something is wrong, or when there are more
 * values than `most`. The arena holds the spots. */
bool fuse_json_grammar_check(struct fuse_json_grammar *out, struct fuse_arena *arena, const char *text, size_t bytes,
                             size_t most);

#endif
