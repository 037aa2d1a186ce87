/* Policies: a JSON document that says where the user knows better than the planner, what a program leaves open (weights,
 * temperatures), and how its files are written. docs/policies.md describes it for users.
 *
 * Rules are objects whose keys are patterns over names. The keys of a JSON object have no order, so the most
 * specific pattern that matches a name decides: the name itself, else the pattern with the most letters that are no
 * wildcards; two that are equally specific and say different things are an error. */
#ifndef FUSE_API_POLICY_H
#define FUSE_API_POLICY_H

#include "core/box.h"
#include "core/dtype.h"
#include "core/text.h"
#include "lang/diagnostics.h"

#include <stdbool.h>

/* A text of the document with its place in it. */
struct fuse_policy_text {
    const char *at; /* NULL: not given */
    struct fuse_span span;
};

struct fuse_policy_switch {
    bool given, on;
    struct fuse_span span;
};

#define FUSE_POLICY_MESH_MAX 16

struct fuse_policy_mesh {
    const char *name;
    int64_t size; /* 0: "*", as many as there are ranks for */
    struct fuse_span span;
};

/* One axis of a tensor over some mesh dimensions, outermost first. */
struct fuse_policy_split {
    struct fuse_policy_text axis;  /* a name of an index, or a position from 0 in digits */
    int dim[FUSE_POLICY_MESH_MAX]; /* numbers of mesh dimensions; none: the axis is whole */
    int dims;
    bool all; /* "*": over all ranks that compute, with or without a mesh */
    struct fuse_span span;
};

enum fuse_policy_shape { FUSE_POLICY_REPLICATED, FUSE_POLICY_ROW, FUSE_POLICY_COLUMN, FUSE_POLICY_AXES };

struct fuse_policy_sharding {
    struct fuse_policy_text pattern; /* of names of tensors */
    enum fuse_policy_shape shape;
    struct fuse_policy_split split[FUSE_MAX_AXES]; /* AXES */
    int splits;
};

/* Replaces, or adds to, what the manifest says about how a weight is quantised. Of each field: whether it was given. */
struct fuse_policy_quantization {
    struct fuse_policy_text pattern; /* of names of weights */
    struct fuse_policy_text mode;    /* "symmetric", "affine" or "none" */
    struct fuse_policy_text dtype;   /* "int8", "uint8", "int4" */
    bool has_scale, has_zero_point, has_group_size;
    double *scale; /* one number, or one a group */
    int64_t *zero_point;
    int scales, zero_points;
    int64_t group_size;
    struct fuse_span span;
};

/* Which adapter of a slot of the manifest is used. */
struct fuse_policy_lora {
    struct fuse_policy_text slot, adapter; /* adapter.at NULL: none, written as null */
};

struct fuse_policy_point {
    int64_t step;
    double temperature;
};

/* T of calls of sig that name none. CONSTANT has one point; LINEAR two, step 0 and the last; PIECEWISE any number, steps
 * increasing, the temperature linear between them and constant outside. */
struct fuse_policy_temperature {
    struct fuse_policy_text pattern; /* of names of tensors: those whose equations the calls stand in */
    enum { FUSE_POLICY_CONSTANT, FUSE_POLICY_LINEAR, FUSE_POLICY_PIECEWISE } kind;
    struct fuse_policy_point *point;
    int points;
    struct fuse_span span;
};

struct fuse_policy_io {
    struct fuse_policy_text pattern;      /* of names of tensors, or of places as sinks write them, "out.h5:/y" */
    struct fuse_policy_text chunks, gzip; /* their keys, when they were given */
    bool chunks_auto;
    int64_t chunk[FUSE_MAX_AXES];
    int chunk_rank, gzip_level;
};

struct fuse_policy {
    const char *path; /* as the user wrote it; paths in the document are relative to its folder */
    FUSE_VEC(struct fuse_policy_mesh) mesh;
    struct fuse_span mesh_span;
    FUSE_VEC(struct fuse_policy_sharding) sharding;
    struct fuse_policy_text weights, output_root; /* paths, resolved against the folder of the document */
    struct fuse_policy_switch strict_weights, strict_mmap;
    FUSE_VEC(struct fuse_policy_quantization) quantization;
    FUSE_VEC(struct fuse_policy_lora) lora;
    bool quantization_given, lora_given; /* with or without rules */
    struct fuse_span quantization_span, lora_span;
    FUSE_VEC(struct fuse_policy_temperature) temperatures;
    FUSE_VEC(struct fuse_policy_io) io;
};

/* Reads a document, file `file` of `files`, into a zeroed policy; everything lives in the arena, and patterns, texts and
 * splits have their places. INPUT for what is no JSON object. What a policy cannot say (a key or word that is unknown, a
 * value of the wrong kind) is reported, and left out. Local and pure. */
enum fuse_status fuse_policy_parse(struct fuse_policy *out, struct fuse_arena *arena, const struct fuse_files *files,
                                   int file, struct fuse_diagnostics *diagnostics, struct fuse_error *err) FUSE_CHECKED;
/* Every dimension of the mesh splits one axis at most: the name of one that two axes have, "*" when it is all of them; or
 * NULL. */
const char *fuse_policy_shared_dimension(const struct fuse_policy *policy, const struct fuse_policy_split *a,
                                         const struct fuse_policy_split *b);

/* The rule of a list that decides about a name. Every kind of rule begins with its pattern. */
struct fuse_policy_choice {
    int rule;  /* its number, -1: none fits */
    int rival; /* one that fits as well, or -1 */
};
struct fuse_policy_choice fuse_policy_choose(const void *rules, int n, size_t rule_bytes, const char *name);
/* How well a pattern ('*', '?', "[a-c]", "[!x]") fits a name: 0 not at all, more the more specific it is, INT_MAX when it is
 * the name. */
int fuse_policy_fit(const char *pattern, const char *name);

#endif
