/* Communication: one table per transport. `mpi` joins the ranks of a job, `self` is a job of one rank.
 *
 * Payload travels by `exchange_*` only, as point-to-point messages whose boxes the plan fixes, so that what is counted
 * here is what the plan says, to the byte. `broadcast` and `reduce_int64` carry control words and are counted apart.
 * Own communicator; every failing MPI call becomes an error, never an abort. MPI_THREAD_FUNNELED: call from the thread
 * that opened it. */
#ifndef FUSE_COMM_COMM_H
#define FUSE_COMM_COMM_H

#include "core/error.h"
#include "core/queue.h"
#include "core/reduce.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exchanges that can be in flight at once. */
#define FUSE_COMM_SLOTS 3

/* Instead of sending bytes a rank may let one of its node read them where they are (fuse_comm_lend): the message says that they
 * are there, and its receiver answers when it has taken them. */
struct fuse_comm_loan {
    /* Receiver: called once, by exchange_test or exchange_wait, when the sender's memory may be read, and until it returns. Calls
     * nothing of the communicator. */
    void (*take)(struct fuse_comm_loan *loan);
};

struct fuse_message {
    int peer;
    void *data;   /* host or pinned memory */
    size_t bytes; /* may exceed 2^31: split inside, the same way on both sides */
    /* NULL: the bytes are sent. Else on both sides, and `data` is not looked at; it stays as it is until the exchange is
     * complete. */
    struct fuse_comm_loan *loan;
};

struct fuse_comm_counters {
    /* Payload, counted when an exchange starts: bytes asked for, bytes sent, messages sent (before any splitting). */
    int64_t received_bytes, sent_bytes, messages;
    int64_t lent_bytes;    /* of those received: taken from memory of this rank's node */
    int64_t control_bytes; /* broadcast and reduce_int64, as received by this rank */
    int64_t waited_ns;     /* in calls that return when other ranks have done their part */
};

/* What this rank waits for, so that another thread of the process can see that it waits too long. */
struct fuse_comm_wait {
    _Atomic int64_t since_ns;          /* monotonic clock; 0: it does not wait */
    _Atomic int peer;                  /* whose message it waits for, -1: for all ranks */
    _Atomic(const char *) at_work_for; /* name of what it computes or moves, NULL: nothing yet. Set by the executor */
};

/* Memory that the ranks of a node have in common. */
struct fuse_comm_shared {
    void *at;                    /* zeroed at first; 64-byte aligned; NULL: of 0 bytes */
    size_t bytes;                /* as the first rank of the node asked */
    int local_rank, local_ranks; /* among those that share it */
    void *window;                /* the transport's own */
};

/* What other ranks of this rank's node let it read. */
#define FUSE_COMM_WHY 120
struct fuse_comm_peers {
    int peers; /* 0: nothing, or it is alone */
    struct fuse_comm_peer {
        int rank; /* of the job, increasing */
        size_t bytes;
        const char *at;
    } * peer;
    char why
        [FUSE_COMM_WHY]; /* the ranks of some node of the job lend nothing, because of this; else empty. The same on all ranks */
};

struct fuse_comm {
    const struct fuse_comm_ops *ops;
    int rank, size;
    struct fuse_comm_counters counters;
    struct fuse_comm_wait wait;
};

struct fuse_comm_ops {
    const char *name;
    /* Local (both sides post). Starts sends and receives between pairs of ranks; messages between one pair match in the
     * order in which they were started in their slot. An exchange may be started while others are in flight (double
     * buffering); `slot` < FUSE_COMM_SLOTS names it, on both sides. The queue (NULL: none) is waited for before data leave; when its work failed, the
     * messages start all the same, so that no peer is left waiting, and the failure is returned. MEMORY and BUG mean
     * that nothing started: peers now wait in vain, so abort. Messages of 0 bytes are not sent; other messages to this
     * rank itself are a BUG. The arrays are not needed after the call, the data are. */
    enum fuse_status (*exchange_start)(struct fuse_comm *comm, int slot, struct fuse_queue *queue,
                                       const struct fuse_message *send, int sends, const struct fuse_message *receive,
                                       int receives, struct fuse_error *err);
    /* Local. Lets messages move; *done tells whether the slot's exchange is complete. */
    enum fuse_status (*exchange_test)(struct fuse_comm *comm, int slot, bool *done, struct fuse_error *err);
    /* Local. Returns when every message of the slot has been received and every send buffer may be reused, also when one
     * of them failed. A message of another length than the one asked for is FAILED. */
    enum fuse_status (*exchange_wait)(struct fuse_comm *comm, int slot, struct fuse_error *err);
    /* Collective. */
    enum fuse_status (*broadcast)(struct fuse_comm *comm, void *data, size_t bytes, int root, struct fuse_error *err);
    /* Collective: element-wise SUM, MIN or MAX over all ranks, result everywhere. */
    enum fuse_status (*reduce_int64)(struct fuse_comm *comm, enum fuse_reduce op, int64_t *values, int count,
                                     struct fuse_error *err);
    /* Collective. */
    enum fuse_status (*barrier)(struct fuse_comm *comm, struct fuse_error *err);
    /* Collective: see fuse_comm_node. */
    enum fuse_status (*node)(struct fuse_comm *comm, int *local_rank, int *local_size, struct fuse_error *err);
    /* Collective over the ranks of a node: all[i] = the `bytes` bytes of its i-th rank. */
    enum fuse_status (*gather_node)(struct fuse_comm *comm, const void *mine, void *all, size_t bytes,
                                    struct fuse_error *err);
    /* Collective: see fuse_comm_share and fuse_comm_unshare. */
    enum fuse_status (*share)(struct fuse_comm *comm, struct fuse_comm_shared *out, size_t bytes,
                              struct fuse_error *err);
    void (*unshare)(struct fuse_comm *comm, struct fuse_comm_shared *shared);
    /* Local: see fuse_comm_abort. Returns only if it failed to end the job. */
    void (*abort)(struct fuse_comm *comm, int status);
    /* Collective; leaves MPI itself initialised. Every exchange must have been waited for. */
    void (*close)(struct fuse_comm *comm);
};

/* Local. A job of one rank, no MPI. */
enum fuse_status fuse_comm_open_self(struct fuse_comm **out, struct fuse_error *err) FUSE_CHECKED;
/* Collective over MPI_COMM_WORLD, which it duplicates; initialises MPI when nobody has (then fuse_comm_finalize_mpi ends
 * it). FAILED when MPI cannot be started. A world of one rank gets the `self` transport. */
enum fuse_status fuse_comm_open_mpi(struct fuse_comm **out, struct fuse_error *err) FUSE_CHECKED;
void fuse_comm_finalize_mpi(void);
/* Collective: a transport of the first `ranks` ranks of a job, 1 <= ranks <= size; NULL on the others, which may wait with
 * fuse_comm_idle for the end of what those do. To be closed before the job's. */
enum fuse_status fuse_comm_open_part(struct fuse_comm **out, struct fuse_comm *comm, int ranks,
                                     struct fuse_error *err) FUSE_CHECKED;
/* Collective: a barrier for long waits, which leaves the processor to others meanwhile. */
enum fuse_status fuse_comm_idle(struct fuse_comm *comm, struct fuse_error *err) FUSE_CHECKED;
/* Ends the whole job at once with this exit status: for a rank that cannot reach the next agreement. Does not return. */
_Noreturn void fuse_comm_abort(struct fuse_comm *comm, int status);
/* Collective: ranks on this rank's node, and this rank's place among them. */
enum fuse_status fuse_comm_node(struct fuse_comm *comm, int *local_rank, int *local_size,
                                struct fuse_error *err) FUSE_CHECKED;

/* Collective; every rank's status is the same. Memory for each node, as large as its first rank asks; the others' `bytes` do not
 * count. MEMORY where some node has too little of the kind that can be shared. After fuse_comm_sync, a barrier, each sees what
 * the others wrote before it. */
enum fuse_status fuse_comm_share(struct fuse_comm_shared *out, struct fuse_comm *comm, size_t bytes,
                                 struct fuse_error *err) FUSE_CHECKED;
enum fuse_status fuse_comm_sync(struct fuse_comm *comm, struct fuse_error *err) FUSE_CHECKED;
/* Collective. Nothing happens to one that is zeroed, or closed already, on every rank. */
void fuse_comm_unshare(struct fuse_comm_shared *shared, struct fuse_comm *comm);

/* Collective; every rank's status is the same. file: a memfd that begins with this rank's memory, at least `bytes` of it, mapped
 * shared, and not to be made shorter; it may be closed afterwards. -1: this rank has none, because of `why`. The ranks of a node
 * read each other's memory from then on, or none of them does and out->why says why not, as where a rank is in another name space
 * of processes. To be returned, also when nothing was lent. */
enum fuse_status fuse_comm_lend(struct fuse_comm_peers *out, struct fuse_comm *comm, int file, size_t bytes,
                                const char *why, struct fuse_error *err) FUSE_CHECKED;
/* Local. Nothing happens to what is zeroed. */
void fuse_comm_return(struct fuse_comm_peers *peers);
/* Local. Where this rank sees the memory of another one; NULL: it does not. */
const char *fuse_comm_lender(const struct fuse_comm_peers *peers, int rank);
/* Local. These bytes of a peer will not be read again soon: they no longer count as resident in this process. */
void fuse_comm_let_go(const char *at, size_t bytes);

/* Collective: makes one rank's failure everybody's. Each rank gives its own status (and its error when that is not OK);
 * all return the same status, that of the lowest rank that failed, with that rank's error (message, note, hint, place) in
 * *err and err->rank set. OK when all are. */
enum fuse_status fuse_agree(struct fuse_comm *comm, enum fuse_status local, struct fuse_error *err) FUSE_CHECKED;
/* Collective: *before = the sum of what the ranks below this one give, *total = of all. The same status on every rank. */
enum fuse_status fuse_sum_before(int64_t *before, int64_t *total, struct fuse_comm *comm, int64_t mine,
                                 struct fuse_error *err) FUSE_CHECKED;

#endif
