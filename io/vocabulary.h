/* The vocabulary beside a text, NAME.vocab.json: which ids tokens have whatever text they stand in. One of three forms:
 *
 *   {"version": 1, "items": [{"token": "the", "index": 0}, ..]}
 *   {"the": 0, ..}
 *   ["the", ..]
 *
 * An object is of the first form when its "items" is a list. Indices need not follow each other; each stands once, and so does
 * each token. A token that no file of rows or words can hold (white space in it, at its ends, or nothing but it; too long) keeps
 * its index, and that id has no symbol. */
#ifndef FUSE_IO_VOCABULARY_H
#define FUSE_IO_VOCABULARY_H

#include "comm/comm.h"
#include "core/arena.h"
#include "core/probe.h"

/* The largest index + 1 at most. */
#define FUSE_VOCABULARY_MOST ((int64_t)1 << 24)

struct fuse_vocabulary_item {
    const char *token; /* may be read FUSE_FIELD_SLACK bytes behind its end */
    uint32_t bytes, id;
};

struct fuse_vocabulary {
    const char *path;
    int64_t items; /* those that have a symbol */
    int64_t end;   /* 1 + the largest index */
    uint64_t digest;
    const struct fuse_vocabulary_item *item; /* [items] on rank 0, NULL on the others */
};

/* Local, pure: from a text in memory, all in the arena; `name` is for messages. INPUT, "name:line:column: reason". */
enum fuse_status fuse_vocabulary_parse(struct fuse_vocabulary *out, struct fuse_arena *arena, const char *text,
                                       size_t bytes, const char *name, struct fuse_error *err) FUSE_CHECKED;
/* Local. Where the vocabulary of a text would be. In the arena. */
const char *fuse_vocabulary_path(struct fuse_arena *arena, const char *text_path);
/* Collective, and the same status on every rank. Rank 0 reads the vocabulary beside a text (t.vocab.json for t.txt and t.txt.gz);
 * *out = NULL: there is none. In the arena. */
enum fuse_status fuse_vocabulary_find(const struct fuse_vocabulary **out, struct fuse_arena *arena,
                                      struct fuse_comm *comm, const char *text_path,
                                      struct fuse_error *err) FUSE_CHECKED;
/* Local, rank 0. INPUT when vocabularies of one axis do not agree: a token with two ids, an id with two tokens. */
enum fuse_status fuse_vocabulary_agree(const struct fuse_vocabulary *const *vocabulary, int n,
                                       struct fuse_error *err) FUSE_CHECKED;

#endif
