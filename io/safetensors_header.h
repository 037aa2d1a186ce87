/* The header of a .safetensors file. Local.
 *
 *   n         {"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"__metadata__":{"k":"v"}}   the tensors' bytes
 *   u64, LE   n bytes of JSON, spaces behind it                                                    8 + n: `data`
 *
 * Nothing of it is trusted: the JSON goes through json_document.h, every shape is multiplied with care, and the tensors must
 * fill the rest of the file, each byte belonging to one. `path` is for messages only. Failures are INPUT. */
#ifndef FUSE_IO_SAFETENSORS_HEADER_H
#define FUSE_IO_SAFETENSORS_HEADER_H

#include "core/arena.h"
#include "core/error.h"
#include "core/probe.h"
#include "io/bytes.h"
#include "io/format.h"

/* The reference implementation's own limit. */
#define FUSE_SAFETENSORS_MAX_HEADER ((int64_t)100000000)

struct fuse_safetensors_tensor {
    const char *name;
    const char *type; /* as the header names it: "BF16" */
    bool is_known;    /* there is such a dtype here */
    enum fuse_dtype dtype;
    int rank;
    int64_t extent[FUSE_MAX_AXES];
    int64_t begin, end; /* bytes from the start of the file */
};

struct fuse_safetensors {
    FUSE_VEC(struct fuse_safetensors_tensor) tensors; /* in the header's order */
    FUSE_VEC(struct fuse_attribute) attributes;       /* of "__metadata__" */
    int64_t file_bytes;
    uint64_t digest; /* of the header's bytes */
};

/* Reads the header of a file of `file_bytes` bytes. */
enum fuse_status fuse_safetensors_read(struct fuse_safetensors *out, struct fuse_arena *arena, struct fuse_bytes *file,
                                       int64_t file_bytes, const char *path, struct fuse_error *err) FUSE_CHECKED;
/* The digest alone: whether the file is still the one that was read. */
enum fuse_status fuse_safetensors_digest(uint64_t *out, struct fuse_bytes *file, int64_t file_bytes, const char *path,
                                         struct fuse_error *err) FUSE_CHECKED;

/* The facts of the tensor of this name; NULL: of the only one. */
enum fuse_status fuse_safetensors_probe(struct fuse_probe *out, const struct fuse_safetensors *file,
                                        struct fuse_arena *arena, const char *path, const char *name,
                                        struct fuse_error *err) FUSE_CHECKED;
/* The same of one that is known. INPUT for a dtype that is not read. */
enum fuse_status fuse_safetensors_probe_tensor(struct fuse_probe *out, const struct fuse_safetensors *file,
                                               const struct fuse_safetensors_tensor *tensor, const char *path,
                                               struct fuse_error *err) FUSE_CHECKED;

/* Its 8 bytes and the JSON, padded to a multiple of 8, for these members, whose parts are names; and the bytes of the
 * file. begin[i] becomes the place of member i: the widest elements first, so that all are aligned, names in order. In the
 * arena. OUTPUT when it would be too long. */
enum fuse_status fuse_safetensors_layout(const char **header, int64_t *header_bytes, int64_t *begin,
                                         int64_t *file_bytes, struct fuse_arena *arena,
                                         const struct fuse_sink_file *want, struct fuse_error *err) FUSE_CHECKED;

#endif
