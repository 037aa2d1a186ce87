/* Records dealt out to ranks in rounds of bounded messages: each rank puts records for others until a piece is full, all
 * exchange what they have, and each takes what came. Between two ranks records keep their order; what a rank deals to itself is
 * not copied. Collective where it says so. */
#ifndef FUSE_IO_DEAL_H
#define FUSE_IO_DEAL_H

#include "comm/comm.h"

struct fuse_deal {
    struct fuse_comm *comm;
    size_t piece_bytes;           /* the most for one rank and round */
    int64_t *sending, *received;  /* [ranks] bytes; received: of the last round */
    char *send, *receive;         /* [ranks] pieces */
    struct fuse_message *message; /* [2 * ranks] */
};

/* Local. MEMORY. Records have at most max_bytes. */
enum fuse_status fuse_deal_open(struct fuse_deal *deal, struct fuse_comm *comm, size_t max_bytes,
                                struct fuse_error *err) FUSE_CHECKED;
/* One that was zeroed is fine. */
void fuse_deal_close(struct fuse_deal *deal);
/* Local. Room for a record, which is thereby dealt; NULL when the piece is too full for it. The first after a round has room. */
char *fuse_deal_put(struct fuse_deal *deal, int rank, size_t bytes);
/* Bytes that still fit. */
size_t fuse_deal_room(const struct fuse_deal *deal, int rank);
/* Collective. *more: in, whether this rank has more to deal; out, whether any has. What came from a rank is at
 * fuse_deal_from, received[rank] bytes, until the next put. */
enum fuse_status fuse_deal_round(struct fuse_deal *deal, bool *more, struct fuse_error *err) FUSE_CHECKED;
const char *fuse_deal_from(const struct fuse_deal *deal, int rank);

#endif
