/* What the transports share inside this folder. */
#ifndef FUSE_COMM_TRANSPORT_H
#define FUSE_COMM_TRANSPORT_H

#include "comm/comm.h"

/* Local. Waits for the queue unless it is NULL. */
enum fuse_status fuse_comm_drain(struct fuse_queue *queue, struct fuse_error *err) FUSE_CHECKED;
/* Local. BUG unless every message that is not empty names another rank of the job. */
enum fuse_status fuse_comm_check_messages(const struct fuse_comm *comm, int slot, const struct fuse_message *message,
                                          int messages, struct fuse_error *err) FUSE_CHECKED;

/* Local, before the first message, with the same value on every rank: longer messages are cut in pieces of this many
 * bytes. 2^30 unless a test lowers it. Nothing on other transports. */
void fuse_comm_mpi_set_piece(struct fuse_comm *comm, size_t bytes);

/* Local, with the same values on every rank: memory of a node is for so many of its ranks together, and of so many bytes, at
 * most. No limits unless a test sets them; nothing on other transports. */
void fuse_comm_mpi_limit_windows(struct fuse_comm *comm, int ranks, size_t bytes);

/* Local, with the same value on every rank: whether ranks wait as they do where there are more of them than processors. Nothing on
 * other transports. */
void fuse_comm_mpi_set_crowded(struct fuse_comm *comm, bool is_crowded);

#endif
