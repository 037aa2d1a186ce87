#include "io/crc_parts.h"

#include <zlib.h>

/* zlib takes lengths of 32 bits. */
enum { CHUNK_BYTES = 1 << 30, CRC_BITS = 32 };

/* splitmix64: borders that differ little must not have hashes that do, or sums of them would meet. */
static uint64_t mix(int64_t border) {
    uint64_t x = (uint64_t)border + 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

struct fuse_crc_parts fuse_crc_parts(int64_t bytes) {
    return (struct fuse_crc_parts){.bytes = bytes};
}

void fuse_crc_parts_add(struct fuse_crc_parts *parts, const void *data, size_t bytes, int64_t offset) {
    if (bytes == 0)
        return;
    uLong crc = crc32(0, NULL, 0);
    const unsigned char *at = data;
    for (size_t done = 0; done < bytes;) {
        size_t chunk = bytes - done < CHUNK_BYTES ? bytes - done : CHUNK_BYTES;
        crc = crc32(crc, at + done, (uInt)chunk);
        done += chunk;
    }
    int64_t end = offset + (int64_t)bytes;
    parts->crc ^= (uint32_t)crc32_combine(crc, 0, (z_off_t)(parts->bytes - end));
    parts->seen += (int64_t)bytes;
    parts->borders += mix(end) - mix(offset);
}

enum fuse_status fuse_crc_parts_join(struct fuse_crc_parts *parts, struct fuse_comm *comm, struct fuse_error *err) {
    /* Sums are what the transport has: parities of single bits make an exclusive or, and the halves of the borders wrap
     * by themselves. */
    int64_t sum[CRC_BITS + 3];
    for (int i = 0; i < CRC_BITS; i++)
        sum[i] = parts->crc >> i & 1;
    sum[CRC_BITS] = parts->seen;
    sum[CRC_BITS + 1] = (int64_t)(parts->borders & 0xffffffffu);
    sum[CRC_BITS + 2] = (int64_t)(parts->borders >> 32);
    FUSE_TRY(comm->ops->reduce_int64(comm, FUSE_REDUCE_SUM, sum, CRC_BITS + 3, err));
    parts->crc = 0;
    for (int i = 0; i < CRC_BITS; i++)
        parts->crc |= (uint32_t)(sum[i] & 1) << i;
    parts->seen = sum[CRC_BITS];
    parts->borders = (uint64_t)sum[CRC_BITS + 1] + ((uint64_t)sum[CRC_BITS + 2] << 32);
    return FUSE_OK;
}

bool fuse_crc_parts_is_whole(const struct fuse_crc_parts *parts) {
    return parts->seen == parts->bytes && parts->borders == mix(parts->bytes) - mix(0);
}
