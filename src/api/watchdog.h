/* A thread that sees a rank wait too long for others: a cut network or a stopped process would hang the job for ever. It
 * calls nothing of MPI. Local. */
#ifndef FUSE_API_WATCHDOG_H
#define FUSE_API_WATCHDOG_H

#include "comm/comm.h"

struct fuse_watchdog;

/* Watches comm->wait. After `seconds` of one wait (rank 0; the others give it time to speak first) it calls `stalled`, once
 * and from its own thread, with a message and a hint. FAILED when there is no thread to be had. */
enum fuse_status fuse_watchdog_open(struct fuse_watchdog **out, const struct fuse_comm *comm, int64_t seconds,
                                    void (*stalled)(void *context, const char *message, const char *hint),
                                    void *context, struct fuse_error *err) FUSE_CHECKED;
/* NULL is no watchdog. */
void fuse_watchdog_close(struct fuse_watchdog *watchdog);

#endif
