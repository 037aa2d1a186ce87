/* Packs: one file of a program with its imports, policy, options, plan and small sources, made by `fuse-dist pack`.
 *
 *     manifest.json          what the others are, with their digests
 *     program/0-prog.fuse ..  the program and its imports
 *     policy.json            if there is one
 *     weights.json           the manifest of its weights, if there is one
 *     plan                   an entry as the cache keeps it, for the ranks and the memory that it was packed on
 *     sources/0-w.npy ..     sources, weights, lists of names; larger ones are named, and must not have changed
 *
 * A zip archive whose members are stored as they are. */
#ifndef FUSE_API_PACKED_H
#define FUSE_API_PACKED_H

#include "api/program.h"
#include "core/pack.h"

#define FUSE_API_PACK_SUFFIX ".pack"

/* A file of one source or several, or a list of names. */
struct fuse_api_packed_data {
    const char *path;   /* as the program says it, without a part */
    const char *member; /* NULL: not in the pack */
    uint64_t digest;    /* of the member's bytes */
    int beside;         /* a vocabulary: it lies beside this one of the data, under its name; -1: none */
    const char *at;     /* where it lies: the original, or what was unpacked */
};
struct fuse_api_packed_source {
    const char *text; /* as the program says it */
    uint64_t probe;   /* digest of what its header, or its scan, said */
};

struct fuse_api_packed {
    FUSE_VEC(struct fuse_program_file) files;
    FUSE_VEC(struct fuse_api_lookup) lookups;
    struct fuse_program_file policy;  /* path NULL: none */
    struct fuse_program_file weights; /* path NULL: none, or the user gives another */
    const char *weights_folder;       /* in which its paths lie */
    bool weights_anywhere;
    const char *word[7]; /* precision, validate, projection, mode, weights, tol, rtol */
    int64_t samples, seed;
    bool strict;
    FUSE_VEC(struct fuse_dist_define) defines;
    FUSE_VEC(struct fuse_dist_define) inputs;
    FUSE_VEC(struct fuse_dist_define) adapters;
    FUSE_VEC(const char *) queries;
    FUSE_VEC(struct fuse_api_packed_data) data;
    FUSE_VEC(struct fuse_api_packed_source) sources;
    const unsigned char *plan; /* rank 0 */
    size_t plan_bytes;
    const char *folder; /* where this node's sources were unpacked; NULL: none were */
    bool unpacks;       /* this rank has done it */
};

bool fuse_api_is_pack(const char *path);
/* Collective: opens the pack that the program's path names; *file is the program's main file. Options that the user has not
 * given are the pack's. INPUT when anything in it is not as it should be. */
enum fuse_status fuse_api_open_pack(struct fuse_program_file *file, struct fuse_dist_program *program,
                                    struct fuse_error *err) FUSE_CHECKED;
/* Local: removes what was unpacked. */
void fuse_api_close_pack(struct fuse_dist_program *program);
/* Where a source of the pack lies; the path itself when the pack does not have it. */
const char *fuse_api_packed_path(const struct fuse_dist_program *program, const char *path, const char *otherwise);
/* Local: reports sources that are not those that were packed. */
void fuse_api_check_packed(struct fuse_dist_program *program);

#endif
