/* The operators that project an index away or combine partial results. */
#ifndef FUSE_CORE_REDUCE_H
#define FUSE_CORE_REDUCE_H

#include "core/dtype.h"

enum fuse_reduce {
    FUSE_REDUCE_NONE,
    FUSE_REDUCE_SUM,
    FUSE_REDUCE_PROD,
    FUSE_REDUCE_MIN,
    FUSE_REDUCE_MAX,
    FUSE_REDUCE_OR,
    FUSE_REDUCE_AND
};

/* How products of the type are summed in a contraction: OR for BOOL, else SUM. */
enum fuse_reduce fuse_product_reduce(enum fuse_dtype dtype);
const char *fuse_reduce_name(enum fuse_reduce op); /* "sum", .. */

#endif
