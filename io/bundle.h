/* Several files as members of one zip archive, stored as they are, so that any unzip shows and unpacks them. Local.
 * What is read trusts nothing: see zip_directory.h; members that are compressed, damaged or doubled are INPUT. */
#ifndef FUSE_IO_BUNDLE_H
#define FUSE_IO_BUNDLE_H

#include "core/arena.h"
#include "core/error.h"
#include "io/zip_directory.h"

#include <stddef.h>
#include <stdint.h>

/* ---- writing: under a temporary name, renamed when complete ---- */

struct fuse_bundle_writer {
    struct fuse_arena *arena;
    const char *path;
    char *temporary;
    int fd;
    int64_t bytes;
    FUSE_VEC(struct fuse_zip_member) members;
};

/* OUTPUT when the file cannot be made, IO when writing fails. After open, finish or discard. */
enum fuse_status fuse_bundle_create(struct fuse_bundle_writer *out, struct fuse_arena *arena, const char *path,
                                    struct fuse_error *err) FUSE_CHECKED;
enum fuse_status fuse_bundle_add(struct fuse_bundle_writer *writer, const char *name, const void *at, size_t bytes,
                                 struct fuse_error *err) FUSE_CHECKED;
/* Copies a file; *digest is fuse_hash_bytes of it. */
enum fuse_status fuse_bundle_add_file(struct fuse_bundle_writer *writer, uint64_t *digest, const char *name,
                                      const char *path, struct fuse_error *err) FUSE_CHECKED;
enum fuse_status fuse_bundle_finish(struct fuse_bundle_writer *writer, struct fuse_error *err) FUSE_CHECKED;
void fuse_bundle_discard(struct fuse_bundle_writer *writer);

/* ---- reading ---- */

struct fuse_bundle {
    struct fuse_arena *arena;
    const char *path;
    int fd;
    struct fuse_zip_directory directory;
};

enum fuse_status fuse_bundle_open(struct fuse_bundle *out, struct fuse_arena *arena, const char *path,
                                  struct fuse_error *err) FUSE_CHECKED;
void fuse_bundle_close(struct fuse_bundle *bundle);
/* A member, NUL-terminated, in the arena. */
enum fuse_status fuse_bundle_read(const char **at, size_t *bytes, struct fuse_bundle *bundle, const char *name,
                                  int64_t most, struct fuse_error *err) FUSE_CHECKED;
/* Writes a member to a new file; INPUT unless its digest is the one. OUTPUT when the file cannot be made. */
enum fuse_status fuse_bundle_extract(struct fuse_bundle *bundle, const char *name, uint64_t digest, const char *to,
                                     struct fuse_error *err) FUSE_CHECKED;

#endif
