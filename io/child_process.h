/* A process that does for this one what may crash, run for ever or eat memory. fork: it begins as a copy, so it knows
 * everything that this process knew, and must use nothing of MPI. Its standard streams lead nowhere, it has no files but a
 * socket to this process and memory shared with it, its time and memory are bounded, and it ends with this process. Local. */
#ifndef FUSE_IO_CHILD_PROCESS_H
#define FUSE_IO_CHILD_PROCESS_H

#include "core/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct fuse_child {
    pid_t pid;
    int socket; /* of messages */
    int memory; /* a file of shared memory, empty at first */
};

/* Starts one that runs `work` and ends when it returns. `what` is for the message: "look at x.h5". MEMORY when no process can
 * be started. */
enum fuse_status fuse_child_start(struct fuse_child *out, void (*work)(int socket, int memory, void *context),
                                  void *context, const char *what, struct fuse_error *err) FUSE_CHECKED;

enum fuse_child_outcome { FUSE_CHILD_ANSWERED, FUSE_CHILD_SILENT, FUSE_CHILD_ENDED };
/* Waits for a message of exactly so many bytes. ENDED: *signal is what ended it, 0 for anything else. */
enum fuse_child_outcome fuse_child_receive(struct fuse_child *child, void *to, size_t bytes, int64_t seconds,
                                           int *signal);
/* false when it is not there any more. */
bool fuse_child_send(int socket, const void *from, size_t bytes);
/* Ends it, whatever it is doing. One that was zeroed and never started is fine. */
void fuse_child_end(struct fuse_child *child);

/* For the child itself: from now on so much processor time, and so much memory more than it has. */
void fuse_child_allow_seconds(int64_t seconds);
void fuse_child_allow_memory(int64_t bytes);

#endif
