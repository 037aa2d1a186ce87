#include "core/hash.h"

#include <string.h>

static uint64_t add_byte(uint64_t hash, unsigned char byte) {
    return (hash ^ byte) * 1099511628211ULL;
}

uint64_t fuse_hash_bytes(uint64_t hash, const void *at, size_t bytes) {
    const unsigned char *byte = at;
    for (size_t i = 0; i < bytes; i++)
        hash = add_byte(hash, byte[i]);
    return hash;
}

uint64_t fuse_hash_int(uint64_t hash, int64_t value) {
    for (int i = 0; i < 8; i++)
        hash = add_byte(hash, (unsigned char)((uint64_t)value >> (8 * i)));
    return hash;
}

uint64_t fuse_hash_string(uint64_t hash, const char *text) {
    return fuse_hash_bytes(hash, text, strlen(text) + 1);
}
