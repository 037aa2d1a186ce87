/* The CRC-32 of many bytes from ranges in any order and on any ranks.
 *
 * A CRC is linear: that of A followed by n bytes B is shift(crc A, n) xor crc B. So each range contributes its own CRC,
 * shifted by the bytes behind it, and the whole is the exclusive or of all contributions: nothing to sort or to gather.
 * Whether the ranges tile the whole is told by the number of their bytes and by a telescoping sum of hashes of their ends
 * less those of their begins, which overlaps and gaps do not leave as it should be (but for one case in 2^64). */
#ifndef FUSE_IO_CRC_PARTS_H
#define FUSE_IO_CRC_PARTS_H

#include "comm/comm.h"
#include "core/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fuse_crc_parts {
    int64_t bytes; /* of the whole */
    int64_t seen;
    uint64_t borders;
    uint32_t crc;
};

/* Local. A whole of this many bytes, none of them seen. */
struct fuse_crc_parts fuse_crc_parts(int64_t bytes);
/* Local. The bytes from `offset` on; not beyond the whole. */
void fuse_crc_parts_add(struct fuse_crc_parts *parts, const void *data, size_t bytes, int64_t offset);
/* Collective. From this rank's contributions to those of all ranks. */
enum fuse_status fuse_crc_parts_join(struct fuse_crc_parts *parts, struct fuse_comm *comm,
                                     struct fuse_error *err) FUSE_CHECKED;
/* Local. true when every byte was seen once: then `crc` is the whole's. */
bool fuse_crc_parts_is_whole(const struct fuse_crc_parts *parts);

#endif
