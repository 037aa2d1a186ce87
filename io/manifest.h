/* Weight manifests: where the tensors that a program uses and does not define come from, and how they are stored.
 *
 *   {"version": 1, "metadata": {..},
 *    "weights": [{"name": "W", "path": "w.npy", "dtype": "f32", "shape": [4096, 4096],
 *                 "quant": {"dtype": "int4", "group_size": 128, "scale": "scales.npy"},
 *                 "lora": {"slot": "task", "default": "a", "adapters": {"a": {"a": "a.npy", "b": "b.npy"}}}}]}
 *
 * docs/weights.md is the manual. Here a manifest is only read: no file that it names is looked at. Offsets are bytes of its
 * text, for messages. Local and pure. */
#ifndef FUSE_IO_MANIFEST_H
#define FUSE_IO_MANIFEST_H

#include "core/box.h"
#include "core/dtype.h"
#include "io/json_document.h"

/* Numbers in the manifest itself, C order; rank 0: one. Integers are exact, to 2^53. */
struct fuse_weight_numbers {
    int rank;
    int64_t extent[FUSE_MAX_AXES], n;
    const double *at;
    bool integers;
};

/* A file, or numbers. */
struct fuse_weight_data {
    const char *path;                   /* as written, "file:part"; NULL: none */
    struct fuse_weight_numbers *number; /* NULL: none */
    uint32_t offset;                    /* of the path or the numbers */
};

enum fuse_weight_storage { FUSE_WEIGHT_INT8, FUSE_WEIGHT_UINT8, FUSE_WEIGHT_INT4 };

/* W = scale (q - zero_point); both have one value in all, one for each position of `axis`, or one a group. */
struct fuse_weight_quant {
    bool is_present;
    uint32_t offset;
    enum fuse_weight_storage storage;
    bool is_affine; /* it has a zero point */
    struct fuse_weight_data scale, zero_point;
    int axis;           /* of scales and zero points of rank 1; -1: not said */
    int64_t group_size; /* along the last axis; 0: no groups */
};

/* W + alpha / rank B A. */
struct fuse_weight_adapter {
    const char *name;
    uint32_t offset;
    struct fuse_weight_data a, b; /* paths: [rank,in], [out,rank] */
    double alpha;                 /* 0: the rank */
};

struct fuse_weight_lora {
    bool is_present, merge;
    uint32_t offset;
    const char *slot, *chosen; /* chosen: what is used if nobody says otherwise; NULL: none */
    int adapters;
    struct fuse_weight_adapter *adapter;
};

enum fuse_weight_placement {
    FUSE_PLACEMENT_FREE,
    FUSE_PLACEMENT_ROW,
    FUSE_PLACEMENT_COLUMN,
    FUSE_PLACEMENT_REPLICATED
};

struct fuse_weight {
    const char *name;
    uint32_t offset, name_offset;
    bool has_dtype;
    enum fuse_dtype dtype; /* of the tensor */
    uint32_t dtype_offset;
    int rank; /* -1: no shape is declared */
    int64_t extent[FUSE_MAX_AXES];
    uint32_t shape_offset;
    struct fuse_weight_data data; /* without shards */
    int shards, shard_axis;
    struct fuse_weight_data *shard; /* paths */
    double scale;                   /* 1: none */
    struct fuse_weight_quant quant;
    struct fuse_weight_lora lora;
    bool prefetch;
    enum fuse_weight_placement placement;
    const char *metadata; /* its text, NULL: none */
};

struct fuse_manifest {
    struct fuse_document document;
    const char *metadata;
    int weights;
    struct fuse_weight *weight; /* names differ */
};

/* INPUT with line and column for whatever is no manifest. All memory is the arena's; `text` must live as long. */
enum fuse_status fuse_manifest_parse(struct fuse_manifest *out, struct fuse_arena *arena, const char *text,
                                     size_t bytes, const char *name, struct fuse_error *err) FUSE_CHECKED;

/* The bytes of a string, number or word that begins at the offset; of a list or an object the bracket. */
uint32_t fuse_manifest_token_end(const struct fuse_manifest *manifest, uint32_t offset);

#endif
