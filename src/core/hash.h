/* A 64-bit hash (FNV-1a) for plans and programs: the same on every machine. Not for secrets. Local. */
#ifndef FUSE_CORE_HASH_H
#define FUSE_CORE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define FUSE_HASH_SEED 14695981039346656037ULL

uint64_t fuse_hash_bytes(uint64_t hash, const void *at, size_t bytes);
/* As 8 little-endian bytes, whatever the machine. */
uint64_t fuse_hash_int(uint64_t hash, int64_t value);
/* With its NUL, so that "ab", "c" and "a", "bc" hash apart. */
uint64_t fuse_hash_string(uint64_t hash, const char *text);

#endif
