/* A gzip file as the bytes that it unpacks to. It can be unpacked from its begin only, and nothing in it tells how long it
 * will become; so one rank goes through it once, checks it, and notes some places from which one can go on, with the 32 KiB
 * before them that it takes. With these every rank reads its own ranges. Several members one behind the other are one file,
 * as for gzip.
 *
 * Memory: 128 places of 32 KiB at most, whatever the file unpacks to. */
#ifndef FUSE_IO_GUNZIP_H
#define FUSE_IO_GUNZIP_H

#include "comm/comm.h"
#include "core/arena.h"
#include "io/bytes.h"

struct fuse_gunzip_place;

struct fuse_gunzip_index {
    int64_t packed, bytes; /* of the file, and of what it unpacks to */
    int places;
    const struct fuse_gunzip_place *place;
};

/* Local, O(1): INPUT when the file does not begin as a gzip file. */
enum fuse_status fuse_gunzip_check(int fd, int64_t packed, const char *path, struct fuse_error *err) FUSE_CHECKED;

/* Local. Unpacks the whole file to nowhere. INPUT when it is damaged, ends early, goes on behind its end, or unpacks to
 * something with a NUL, which is no text. */
enum fuse_status fuse_gunzip_index(struct fuse_gunzip_index *out, struct fuse_arena *arena, int fd, int64_t packed,
                                   const char *path, struct fuse_error *err) FUSE_CHECKED;
/* Collective: rank 0's index on every rank. `local`: what this rank did before; the status is the same on all. */
enum fuse_status fuse_gunzip_share(struct fuse_gunzip_index *index, struct fuse_arena *arena, struct fuse_comm *comm,
                                   enum fuse_status local, struct fuse_error *err) FUSE_CHECKED;

struct fuse_gunzip; /* begins with its struct fuse_bytes */

/* Local. fd, index and path outlive it. */
enum fuse_status fuse_gunzip_open(struct fuse_gunzip **out, int fd, const struct fuse_gunzip_index *index,
                                  const char *path, struct fuse_error *err) FUSE_CHECKED;
/* NULL is fine. */
void fuse_gunzip_close(struct fuse_gunzip *gunzip);

#endif
