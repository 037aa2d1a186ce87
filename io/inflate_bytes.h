/* The bytes of a deflated part of a file, in bounded memory: a cursor that inflates in order, and a few saved states of it
 * to go back to. Skipping forward costs inflating what is skipped; going back, inflating at most a sixteenth of all. */
#ifndef FUSE_IO_INFLATE_BYTES_H
#define FUSE_IO_INFLATE_BYTES_H

#include "comm/comm.h"
#include "io/bytes.h"

/* Opaque; its first member is a struct fuse_bytes, which reads only. */
struct fuse_inflate_bytes;

/* Local. `packed` bytes of fd from `begin` on inflate to `total` bytes with this CRC-32. `name` outlives it. Reading is
 * INPUT where the data are damaged or hold fewer bytes. */
enum fuse_status fuse_inflate_open(struct fuse_inflate_bytes **out, int fd, int64_t begin, int64_t packed,
                                   int64_t total, uint32_t crc, const char *name, struct fuse_error *err) FUSE_CHECKED;
/* Collective. The rank that came farthest inflates the rest and checks the end and the checksum: INPUT there. Every rank
 * takes part in the messages; statuses may differ. */
enum fuse_status fuse_inflate_finish(struct fuse_inflate_bytes *bytes, struct fuse_comm *comm,
                                     struct fuse_error *err) FUSE_CHECKED;
/* NULL is fine. */
void fuse_inflate_close(struct fuse_inflate_bytes *bytes);

#endif
