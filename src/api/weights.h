/* Weights: tensors that a program uses and does not define, and that a manifest (io/manifest.h) says where to find. Each
 * becomes program text, as if the program had said it:
 *
 *     W::q[a0,a1] = "/models/w.npy"
 *     W::scale[a0] = "/models/scales.npy"
 *     W[a0,a1] = W::scale[a0] * cast(W::q[a0,a1], "f32")
 *
 * so that everything behind the parser needs to know nothing of manifests, but for shards, which are a source of their own
 * (io/shards.h), and adapters, which products are rewritten for (lang/lang.h). Complaints are about places in the manifest. */
#ifndef FUSE_API_WEIGHTS_H
#define FUSE_API_WEIGHTS_H

#include "api/program.h"
#include "io/manifest.h"

/* How the numbers of a scale or zero point go with an axis of the weight. */
enum fuse_weight_spread { FUSE_SPREAD_ALL /* one for all */, FUSE_SPREAD_EACH, FUSE_SPREAD_GROUP };

struct fuse_weight_part {
    const char *text;               /* as a source says it, resolved; NULL: no file */
    const struct fuse_probe *probe; /* NULL: not there */
    uint32_t offset;                /* in the manifest */
    /* Of scales and zero points: axes that it has, and how each goes with one of the weight. */
    int rank, axis[FUSE_MAX_AXES];
    enum fuse_weight_spread spread[FUSE_MAX_AXES];
};

/* A weight that the program uses. */
struct fuse_used_weight {
    const struct fuse_weight *weight;
    const struct fuse_weight_adapter *adapter; /* the chosen one, NULL: none */
    struct fuse_span span;                     /* its name in the manifest */
    bool boolean;                              /* parentheses only */
    int axes;                                  /* as the program uses it */
    struct fuse_weight_part stored, scale, zero_point, a, b;
    int rank;
    int64_t extent[FUSE_MAX_AXES]; /* of the tensor, not of what is stored */
    bool casts;                    /* to another type than the file's */
};

struct fuse_weights {
    struct fuse_manifest manifest;
    int file;                  /* its number among the program's files */
    const char *path, *folder; /* as it was named; absolute, links resolved */
    bool is_remote;            /* the path is a URL, the folder one of the cache */
    FUSE_VEC(struct fuse_used_weight) used;
    FUSE_VEC(struct fuse_adapter) adapters;
};

/* Local, pure. Shapes and types of a used weight's parts; fills in what depends on them. false after a diagnostic. */
bool fuse_weight_check(struct fuse_dist_program *program, struct fuse_used_weight *used);
/* Local, pure: the program text that defines a checked weight; registers its adapter. */
const char *fuse_weight_program(struct fuse_dist_program *program, const struct fuse_used_weight *used);
/* Reports what is wrong at an offset of the manifest. */
struct fuse_diagnostic *fuse_weight_complain(struct fuse_dist_program *program, uint32_t offset, const char *format,
                                             ...) __attribute__((format(printf, 3, 4)));

#endif
