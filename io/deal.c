#include "io/deal.h"

#include <stdlib.h>
#include <string.h>

/* What a rank sends and receives in a round, all pieces together; of many ranks each piece still holds a record. */
enum { ROUND_BYTES = 8 << 20, PIECE_BYTES = 1 << 20 };

enum fuse_status fuse_deal_open(struct fuse_deal *deal, struct fuse_comm *comm, size_t max_bytes,
                                struct fuse_error *err) {
    size_t ranks = (size_t)comm->size, piece = ROUND_BYTES / ranks;
    piece = piece > PIECE_BYTES ? PIECE_BYTES : piece;
    piece = ((piece < max_bytes ? max_bytes : piece) + 63) / 64 * 64;
    *deal = (struct fuse_deal){.comm = comm, .piece_bytes = piece};
    deal->sending = calloc(2 * ranks, sizeof *deal->sending);
    deal->received = deal->sending ? deal->sending + ranks : NULL;
    deal->send = malloc(ranks * piece);
    deal->receive = malloc(ranks * piece);
    deal->message = calloc(2 * ranks, sizeof *deal->message);
    if (deal->sending && deal->send && deal->receive && deal->message)
        return FUSE_OK;
    fuse_deal_close(deal);
    return fuse_fail(err, FUSE_EMEMORY, "no memory for messages of symbols");
}

void fuse_deal_close(struct fuse_deal *deal) {
    free(deal->sending);
    free(deal->send);
    free(deal->receive);
    free(deal->message);
    *deal = (struct fuse_deal){0};
}

size_t fuse_deal_room(const struct fuse_deal *deal, int rank) {
    return deal->piece_bytes - (size_t)deal->sending[rank];
}

char *fuse_deal_put(struct fuse_deal *deal, int rank, size_t bytes) {
    if (fuse_deal_room(deal, rank) < bytes)
        return NULL;
    char *at = deal->send + (size_t)rank * deal->piece_bytes + deal->sending[rank];
    deal->sending[rank] += (int64_t)bytes;
    return at;
}

const char *fuse_deal_from(const struct fuse_deal *deal, int rank) {
    return (rank == deal->comm->rank ? deal->send : deal->receive) + (size_t)rank * deal->piece_bytes;
}

static enum fuse_status exchange(struct fuse_comm *comm, const struct fuse_message *send, int sends,
                                 const struct fuse_message *receive, int receives, struct fuse_error *err) {
    struct fuse_error ignored = {0};
    enum fuse_status started = comm->ops->exchange_start(comm, 0, NULL, send, sends, receive, receives, err);
    enum fuse_status ended = comm->ops->exchange_wait(comm, 0, started == FUSE_OK ? err : &ignored);
    return started != FUSE_OK ? started : ended;
}

enum fuse_status fuse_deal_round(struct fuse_deal *deal, bool *more, struct fuse_error *err) {
    struct fuse_comm *comm = deal->comm;
    int ranks = comm->size, sends = 0, receives = 0;
    struct fuse_message *out = deal->message, *in = deal->message + ranks;
    for (int i = 1; i < ranks; i++) {
        int to = (comm->rank + i) % ranks, from = (comm->rank + ranks - i) % ranks;
        out[sends++] = (struct fuse_message){.peer = to, .data = &deal->sending[to], .bytes = sizeof *deal->sending};
        in[receives++] =
            (struct fuse_message){.peer = from, .data = &deal->received[from], .bytes = sizeof *deal->received};
    }
    FUSE_TRY(exchange(comm, out, sends, in, receives, err));
    sends = receives = 0;
    for (int i = 1; i < ranks; i++) {
        int to = (comm->rank + i) % ranks, from = (comm->rank + ranks - i) % ranks;
        if (deal->sending[to] > 0)
            out[sends++] = (struct fuse_message){
                .peer = to, .data = deal->send + (size_t)to * deal->piece_bytes, .bytes = (size_t)deal->sending[to]};
        if (deal->received[from] > 0)
            in[receives++] = (struct fuse_message){.peer = from,
                                                   .data = deal->receive + (size_t)from * deal->piece_bytes,
                                                   .bytes = (size_t)deal->received[from]};
    }
    FUSE_TRY(exchange(comm, out, sends, in, receives, err));
    deal->received[comm->rank] = deal->sending[comm->rank];
    memset(deal->sending, 0, (size_t)ranks * sizeof *deal->sending);
    int64_t any = *more;
    FUSE_TRY(comm->ops->reduce_int64(comm, FUSE_REDUCE_MAX, &any, 1, err));
    *more = any != 0;
    return FUSE_OK;
}
