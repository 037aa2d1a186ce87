/* Tuples of a rank, from keys in any order to compressed rows: dealt out to buckets by their first bits as they come, then
 * sorted bucket by bucket, each in what a cache holds. Local and pure. */
#ifndef FUSE_EXEC_TUPLE_SORT_H
#define FUSE_EXEC_TUPLE_SORT_H

#include "core/box.h"
#include "core/scalar.h"
#include "plan/plan.h"

/* A bucket: its blocks, the last of which is being filled. */
struct fuse_tuple_bucket {
    uint64_t *at, *end; /* in the last block: where the next row goes, and where there is no room */
    uint32_t first, last;
    int64_t rows;
};

struct fuse_tuple_sort {
    const struct fuse_tuples *tuples;
    int row_words;
    int64_t count;
    uint64_t *rows;                   /* [blocks][block_rows][row_words] */
    uint32_t *next;                   /* [blocks] of the same bucket, or of the free ones */
    uint64_t *spare;                  /* [spare_rows][row_words] */
    uint32_t free, fresh;             /* blocks that were given back, and from where on none was taken yet */
    struct fuse_tuple_bucket *bucket; /* [1 << bucket_bits] */
};

/* The number of a value in the order of numbers, -0 before 0 and NaN behind all; and back. */
uint64_t fuse_tuple_order_value(double value);
double fuse_tuple_ordered_value(uint64_t order);
/* The same of I64, which only derived relations have: their tuples are all different, and nothing is combined. */
uint64_t fuse_tuple_order_integer(int64_t value);

/* `memory`: tuples->unsorted_bytes, at a multiple of 64. MEMORY. */
enum fuse_status fuse_tuple_sort_open(struct fuse_tuple_sort *sort, const struct fuse_tuples *tuples, void *memory,
                                      struct fuse_error *err) FUSE_CHECKED;
/* One that was zeroed is fine. */
void fuse_tuple_sort_close(struct fuse_tuple_sort *sort);
/* Takes n more rows of row_words words each; false when they are more than tuples->most together. */
bool fuse_tuple_sort_add(struct fuse_tuple_sort *sort, const uint64_t *row, int64_t n);
/* Writes compressed rows of `rows` rows to `to`, whose layout `tuples` tells. Equal tuples become one, whose value is that of
 * all of them by `reduce`, or their mean; it does not depend on the order in which they came. Once; `count` is at most 2^32 - 1. */
void fuse_tuple_sort_write(struct fuse_tuple_sort *sort, int64_t rows, enum fuse_reduce reduce, bool mean, void *to);

#endif
