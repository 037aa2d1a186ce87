#include "core/reduce.h"

const char *fuse_reduce_name(enum fuse_reduce op) {
    switch (op) {
    case FUSE_REDUCE_NONE: return "none";
    case FUSE_REDUCE_SUM: return "sum";
    case FUSE_REDUCE_PROD: return "prod";
    case FUSE_REDUCE_MIN: return "min";
    case FUSE_REDUCE_MAX: return "max";
    case FUSE_REDUCE_OR: return "or";
    case FUSE_REDUCE_AND: return "and";
    }
    return "unknown";
}

enum fuse_reduce fuse_product_reduce(enum fuse_dtype dtype) {
    return dtype == FUSE_BOOL ? FUSE_REDUCE_OR : FUSE_REDUCE_SUM;
}
