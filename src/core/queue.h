/* Memory kinds and queues: how a rank orders work that may run later than it was asked for.
 *
 * A queue runs what is enqueued on it in order. The CPU back end runs each call at once; a device, and the fake device
 * of the tests, runs it later. `wait` is the only way to know that something is done: buffers that enqueued work touches
 * may be read or written by the host only after it. Local. */
#ifndef FUSE_CORE_QUEUE_H
#define FUSE_CORE_QUEUE_H

#include "core/error.h"

#include <stdint.h>

enum fuse_memkind {
    FUSE_MEM_HOST,   /* ordinary memory of this rank */
    FUSE_MEM_NODE,   /* a window shared by the ranks of a node */
    FUSE_MEM_PINNED, /* host memory that the device copies from and to, and messages leave from */
    FUSE_MEM_DEVICE, /* reachable by kernels only */
    FUSE_MEM_KINDS
};

const char *fuse_memkind_name(enum fuse_memkind kind); /* "host", .. */

struct fuse_queue {
    const struct fuse_queue_ops *ops;
};

struct fuse_queue_ops {
    /* A ticket for everything enqueued so far. */
    uint64_t (*signal)(struct fuse_queue *queue);
    /* Returns once everything up to the ticket is done; UINT64_MAX means everything. Reports a failure of the work that
     * was only seen when it ran (integer overflow: FAILED). */
    enum fuse_status (*wait)(struct fuse_queue *queue, uint64_t ticket, struct fuse_error *err);
    void (*close)(struct fuse_queue *queue);
};

#define FUSE_QUEUE_ALL UINT64_MAX

#endif
