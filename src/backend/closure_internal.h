/* What the files of the closure share. */
#ifndef FUSE_BACKEND_CLOSURE_INTERNAL_H
#define FUSE_BACKEND_CLOSURE_INTERNAL_H

#include "backend/closure.h"

#define FUSE_CLOSURE_LANES (FUSE_CLOSURE_BLOCK / 64)
#define FUSE_CLOSURE_NONE UINT32_MAX

struct fuse_closure {
    int64_t rows, columns;
    bool is_borrowed; /* the arrays are elsewhere */
    /* Components that are reached, [0, components), edges between them ascending and without duplicates. */
    uint32_t components;
    uint32_t *component;    /* [columns]: of each id; `components` for one that is not reached */
    uint32_t *member_first; /* [components + 1] */
    uint32_t *member;       /* the ids of each component, ascending */
    uint64_t *next_first;   /* [components + 1] */
    uint32_t *next;
    /* Classes of sources with equal rows. A class's row is what can be reached from its seeds, these included. */
    uint32_t classes;
    uint32_t *class_of;   /* [rows]; FUSE_CLOSURE_NONE: no pairs */
    uint32_t *class_size; /* [classes]: of sources */
    uint64_t *seed_first; /* [classes + 1] */
    uint32_t *seed;       /* components */
};

/* Components and edges between them of what the seeds reach: fills in the first group of members. `is_cyclic`, [components],
 * says which have an edge inside; the caller frees it. */
enum fuse_status fuse_closure_condense(struct fuse_closure *closure, uint8_t **is_cyclic,
                                       const struct fuse_adjacency *step, const struct fuse_closure_question *question,
                                       struct fuse_error *err) FUSE_CHECKED;

/* One bit for each class of a block; `all` in as few instructions as there can be. */
typedef uint64_t fuse_closure_lanes __attribute__((vector_size(FUSE_CLOSURE_BLOCK / 8)));
struct fuse_closure_word {
    union {
        uint64_t lane[FUSE_CLOSURE_LANES];
        fuse_closure_lanes all;
    };
};

/* What a thread works in. Of `word` only those of components in `reached` hold anything. */
struct fuse_closure_worker {
    struct fuse_closure_word *word; /* [components + 1] */
    uint64_t *pending, *summary;    /* a bit for each component; one for each word of pending. All 0 between blocks */
    uint32_t *reached, reaches;     /* the components that the block reaches, ascending */
    uint64_t *sorted, *sorted_summary; /* the same for ids */
    void *base;                        /* all of it */
    size_t bytes;
};

/* The inner loops, compiled once for each instruction set. */
struct fuse_closure_kernels {
    const char *isa;
    /* Words of all components that classes [first, last) reach. Returns the bits over ids: the pairs that the block has, with
     * each class counted once. */
    uint64_t (*propagate)(struct fuse_closure_worker *worker, const struct fuse_closure *closure, uint32_t first,
                          uint32_t last);
    /* Rows of bits from words: bit z of row r is bit r of word[component[z]]. row[r * words + z / 64], r < rows, was zeroed; NULL:
     * only count. count[r]: bits of row r. words: a multiple of FUSE_CLOSURE_LANES. */
    void (*turn)(uint64_t *row, size_t words, uint32_t rows, uint64_t *count, const struct fuse_closure_word *word,
                 const uint32_t *component, int64_t columns);
};

extern const struct fuse_closure_kernels fuse_closure_base;
#if defined(__x86_64__)
extern const struct fuse_closure_kernels fuse_closure_avx2, fuse_closure_avx512;
#endif
/* NULL: the best; NULL back for one that this processor does not have. */
const struct fuse_closure_kernels *fuse_closure_choose(const char *isa);

/* Row j of a block, j < rows: bits, or the sorted ids id[begin[j] .. begin[j + 1]). */
struct fuse_closure_kept {
    uint32_t rows;
    uint64_t begin[FUSE_CLOSURE_BLOCK + 1]; /* sums of the rows' pairs */
    uint64_t *bits;                         /* [rows * words], or NULL */
    uint32_t *id;                           /* [begin[rows]], or NULL */
};

struct fuse_closure_piece {
    struct fuse_closure_piece *next;
    size_t bytes;
};

struct fuse_closure_result {
    const struct fuse_closure *closure;
    const struct fuse_closure_kernels *kernels;
    bool keeps;
    size_t words; /* of a row of bits */
    struct fuse_closure_kept **block;
    int64_t blocks, count;
    struct fuse_closure_worker *worker;
    int workers;
    size_t budget, bytes; /* SIZE_MAX: no bound; bytes of everything here */
    struct fuse_closure_piece *piece;
    char *free_at;
    size_t free_bytes;
};

#endif
