/* Linear binary recursion with an index that passes through, on bit blocks:
 *
 *     R(x, z) = B(x, z) + R(x, y) E(y, z)
 *
 * whose least fixpoint is B times all powers of E. With B = E that is the transitive closure; a pair (x, x) is in R only when it
 * can be derived. The right-linear form R(x, z) = B(x, z) + E(x, y) R(y, z) is this one with both relations turned round.
 *
 * How: the vertices that can be reached are grouped into strongly connected components, numbered so that edges between
 * components ascend, in an order of a depth-first walk: that is what makes speed independent of ids. All vertices of a component
 * have the same sources. Sources with the same row form a class. A block is FUSE_CLOSURE_BLOCK classes; it has one word of so many
 * bits for each component, and visits the components that it reaches once, in ascending order, found in a bit map: an edge costs
 * one wide OR in a block, and what is not reached costs nothing. A finished block is kept as rows of bits over the ids when it
 * has at least one bit in 32, otherwise as sorted ids. Blocks are independent of each other, and which threads or ranks
 * compute them changes no bit of them.
 *
 * Local; nothing here communicates. Ids are uint32_t, extents below UINT32_MAX. */
#ifndef FUSE_BACKEND_CLOSURE_H
#define FUSE_BACKEND_CLOSURE_H

#include "core/error.h"

#include <stdbool.h>
#include <stddef.h>

#define FUSE_CLOSURE_BLOCK 512

/* ---- static relations ---------------------------------------------------------------------------------------------- */

/* Pairs (r, c) in compressed rows: the c of row r are to[first[r] .. first[r + 1]), in any order, duplicates allowed.
 * Whoever fills one in owns its arrays; fuse_adjacency_open does, and fuse_adjacency_close frees them. */
struct fuse_adjacency {
    int64_t rows, columns;
    uint64_t *first; /* [rows + 1] */
    uint32_t *to;    /* [first[rows]] */
};

/* The pairs (from[i], to[i]), i < pairs, in the order of i within a row. BUG for an id outside its extent, MEMORY. */
enum fuse_status fuse_adjacency_open(struct fuse_adjacency *out, int64_t rows, int64_t columns, int64_t pairs,
                                     const int64_t *from, const int64_t *to, struct fuse_error *err) FUSE_CHECKED;
void fuse_adjacency_close(struct fuse_adjacency *adjacency);
/* Bytes of the arrays for so many rows and pairs. */
size_t fuse_adjacency_bytes(int64_t rows, int64_t pairs);

/* ---- the recursion, prepared ----------------------------------------------------------------------------------------- */

struct fuse_closure_question {
    const struct fuse_adjacency *step; /* E; as many rows as columns */
    const struct fuse_adjacency *base; /* B; as many columns as the step; NULL: the step */
    const uint32_t *source;            /* the x that are asked for, ascending; NULL: all. Others have no pairs */
    int64_t sources;                   /* of source */
};

struct fuse_closure;

/* Components, classes and blocks: only what the sources reach. Time and memory proportional to the pairs of the part that is
 * reached, and to the extents. Borrows the relations until it returns only. MEMORY when there is too little. */
enum fuse_status fuse_closure_open(struct fuse_closure **out, const struct fuse_closure_question *question,
                                   struct fuse_error *err) FUSE_CHECKED;
void fuse_closure_close(struct fuse_closure *closure);

/* The same in memory that others read too: so many bytes, 64-byte aligned, filled in; and what reads them from there, as long as they
 * are there. */
size_t fuse_closure_packed_bytes(const struct fuse_closure *closure);
void fuse_closure_pack(void *to, const struct fuse_closure *closure);
enum fuse_status fuse_closure_open_packed(struct fuse_closure **out, const void *from,
                                          struct fuse_error *err) FUSE_CHECKED;

/* Extents of x and z. */
int64_t fuse_closure_rows(const struct fuse_closure *closure);
int64_t fuse_closure_columns(const struct fuse_closure *closure);
int64_t fuse_closure_blocks(const struct fuse_closure *closure);
/* Sources with the same row are of one class; class k is in block k / FUSE_CLOSURE_BLOCK. -1: x has no pairs. */
int64_t fuse_closure_classes(const struct fuse_closure *closure);
int64_t fuse_closure_class_of(const struct fuse_closure *closure, int64_t x);
/* A most of the bytes that fuse_closure_open takes while it works, from extents and pairs alone, of which what it returns holds
 * a part; what each thread needs to compute blocks; and a most of what the result of all blocks can take. */
size_t fuse_closure_open_bytes(int64_t rows, int64_t columns, int64_t base_pairs, int64_t step_pairs);
size_t fuse_closure_thread_bytes(const struct fuse_closure *closure);
size_t fuse_closure_most_bytes(const struct fuse_closure *closure);

/* ---- results ------------------------------------------------------------------------------------------------------- */

struct fuse_closure_options {
    int threads;         /* >= 1; fewer are used where the budget is too small for what each needs */
    size_t budget_bytes; /* of threads and result together; 0: no bound */
    bool count_only;     /* keep nothing but counts */
    const char *isa;     /* "baseline", "avx2", "avx512"; NULL: the best that the processor has */
};

struct fuse_closure_result;

/* An empty result; it borrows the closure. MEMORY when the budget has no room for one thread; BUG for an isa that there is not. */
enum fuse_status fuse_closure_result_open(struct fuse_closure_result **out, const struct fuse_closure *closure,
                                          const struct fuse_closure_options *options,
                                          struct fuse_error *err) FUSE_CHECKED;
void fuse_closure_result_close(struct fuse_closure_result *result);
/* Computes the blocks first, first + stride, .. below last, none of which is there yet, and adds them. MEMORY before the budget is
 * exceeded; blocks that were finished until then stay. */
enum fuse_status fuse_closure_compute(struct fuse_closure_result *result, int64_t first, int64_t last, int64_t stride,
                                      struct fuse_error *err) FUSE_CHECKED;
/* The same for the blocks that `next` names, one at a time and each once, until it says -1. One thread at a time calls it. */
enum fuse_status fuse_closure_compute_dealt(struct fuse_closure_result *result, int64_t (*next)(void *context),
                                            void *context, struct fuse_error *err) FUSE_CHECKED;
/* Frees the threads' memory: no more blocks are to come. */
void fuse_closure_result_finish(struct fuse_closure_result *result);
/* Afterwards rows of results can be read, and nothing else: gives the rest back, and needs no packed memory any more. MEMORY, and
 * nothing has changed. */
enum fuse_status fuse_closure_trim(struct fuse_closure *closure, struct fuse_error *err) FUSE_CHECKED;

int64_t fuse_closure_count(const struct fuse_closure_result *result); /* pairs of the blocks that are there */
size_t fuse_closure_result_bytes(const struct fuse_closure_result *result);

/* ---- rows: of the blocks that are there and kept ------------------------------------------------------------------- */

/* n ids: bits, fuse_closure_row_words words of them, or ids, ascending; both NULL: the row is not here. */
struct fuse_closure_row {
    int64_t n;
    const uint64_t *bits;
    const uint32_t *id;
};

int64_t fuse_closure_row_words(const struct fuse_closure *closure);
struct fuse_closure_row fuse_closure_row_of_class(const struct fuse_closure_result *result, int64_t class);
/* The next ids of a row, `most` at most; their number. *at says where it goes on, and is 0 at first. words: of a row of bits. */
int64_t fuse_closure_row_read(int64_t *z, uint64_t *at, struct fuse_closure_row row, int64_t words, int64_t most);
/* *at for the row without its first `ids` ids. */
void fuse_closure_row_skip(uint64_t *at, struct fuse_closure_row row, int64_t words, int64_t ids);

int64_t fuse_closure_row_count(const struct fuse_closure_result *result, int64_t x);
bool fuse_closure_has(const struct fuse_closure_result *result, int64_t x, int64_t z);

/* Walks the pairs with x in [x, last_x) in the order of x, then z. Zeroed but for result, x and last_x to begin with. */
struct fuse_closure_cursor {
    const struct fuse_closure_result *result;
    int64_t x, last_x;
    uint64_t at; /* private */
};

/* The next pairs, `most` at most, as two columns; their number, 0: there are no more. */
int64_t fuse_closure_next(struct fuse_closure_cursor *cursor, int64_t *x, int64_t *z, int64_t most);

#endif
