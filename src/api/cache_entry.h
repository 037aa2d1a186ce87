/* Entries of the cache as files: a seal of FUSE_API_SEAL_BYTES, by which they are recognised and checked, then their bytes. */
#ifndef FUSE_API_CACHE_ENTRY_H
#define FUSE_API_CACHE_ENTRY_H

#include "core/pack.h"

#define FUSE_API_SEAL_BYTES 32

void fuse_api_seal(unsigned char envelope[FUSE_API_SEAL_BYTES], const struct fuse_pack *pack);
/* NULL, or why the bytes are no entry of ours. */
const char *fuse_api_open_seal(const unsigned char *at, size_t bytes);
/* Local. NULL with a reason: the file is no entry of ours; without one: there is none. */
const unsigned char *fuse_api_read_entry(size_t *bytes, const char **why, struct fuse_arena *arena, const char *path);
/* Local: FOLDER, FOLDER/plans and the file at `path` below it, whole or not at all. NULL, or why it could not be written. */
const char *fuse_api_write_entry(struct fuse_arena *arena, const char *folder, const char *path,
                                 const struct fuse_pack *pack);

#endif
