#include "comm/comm.h"
#include "comm/transport.h"

#include <mpi.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>

/* A tag for each slot: MPI keeps the order of messages of one tag between two ranks, which is what pairs them, and ranks
 * need not agree on the order between slots. Answers to what was lent have tags of their own. */
enum { FIRST_TAG = 1, FIRST_TAKEN_TAG = FIRST_TAG + FUSE_COMM_SLOTS };

/* Counts of MPI-3 are ints. */
static const size_t default_piece_bytes = (size_t)1 << 30;

/* The pieces of one slot's exchange: receives first, then sends. Finished requests are MPI_REQUEST_NULL. Of what is lent only empty
 * messages travel: one from its owner, and one back when it has been taken. */
struct slot {
    MPI_Request *requests;
    MPI_Status *statuses;
    int *indices; /* scratch of MPI_Testsome */
    struct piece {
        int peer, bytes;
        struct fuse_comm_loan *loan; /* to be taken when this piece is there; then it becomes the answer */
    } * pieces;
    int receives, count; /* pieces, 0 when idle */
    int unfinished;
    int capacity;
};

struct mpi_comm {
    struct fuse_comm base;
    MPI_Comm handle;
    MPI_Comm here; /* the ranks of this one's node */
    size_t piece_bytes;
    bool is_crowded;  /* a node has more ranks than processors: one that waits takes another one's time. The same
                       * everywhere: a collective that is started does not match one that blocks. */
    int window_ranks; /* 0: no limit */
    size_t window_bytes;
    struct slot slots[FUSE_COMM_SLOTS];
};

/* MPI is a state of the process, and only its starter may end it. */
static bool we_started_mpi;

static struct mpi_comm *mpi_of(struct fuse_comm *comm) {
    return (struct mpi_comm *)comm;
}

static enum fuse_status check_mpi(int code, const char *call, struct fuse_error *err) {
    if (code == MPI_SUCCESS)
        return FUSE_OK;
    char text[MPI_MAX_ERROR_STRING] = "unknown error";
    int length;
    MPI_Error_string(code, text, &length);
    return fuse_fail(err, FUSE_EFAILED, "%s failed: %s", call, text);
}

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* From here to end_wait this rank depends on others. */
static void begin_wait(struct fuse_comm *comm, int peer) {
    atomic_store(&comm->wait.peer, peer);
    atomic_store(&comm->wait.since_ns, now_ns());
}

static void end_wait(struct fuse_comm *comm) {
    comm->counters.waited_ns += now_ns() - atomic_load(&comm->wait.since_ns);
    atomic_store(&comm->wait.since_ns, 0);
}

/* MPI looks for what it waits for without end, and yielding helps little: who yields is still one of those that take turns, and a
 * message takes as many turns as it passes ranks. A rank that sleeps is woken at once when there is work for it. */
static void pause_crowded(const struct mpi_comm *mpi, int looks) {
    enum { LOOKS = 20 };
    const struct timespec shortest = {.tv_nsec = 1};
    if (mpi->is_crowded && looks >= LOOKS)
        nanosleep(&shortest, NULL);
}

/* A collective that has been started, with this code. */
static int wait_started(const struct mpi_comm *mpi, MPI_Request *request, int code) {
    int done = 0;
    for (int looks = 0; code == MPI_SUCCESS && !done; looks++) {
        code = MPI_Test(request, &done, MPI_STATUS_IGNORE);
        if (!done)
            pause_crowded(mpi, looks);
    }
    return code;
}

/* ---- exchanges ---- */

static size_t count_pieces(const struct mpi_comm *mpi, const struct fuse_message *message, int messages) {
    size_t pieces = 0;
    for (int i = 0; i < messages; i++)
        pieces += message[i].loan ? 2 : (message[i].bytes + mpi->piece_bytes - 1) / mpi->piece_bytes;
    return pieces;
}

static enum fuse_status grow_slot(struct slot *slot, size_t needed, struct fuse_error *err) {
    if (needed <= (size_t)slot->capacity)
        return FUSE_OK;
    if (needed > INT32_MAX / 2)
        return fuse_fail(err, FUSE_EBUG, "an exchange of %zu messages", needed);
    free(slot->requests);
    free(slot->statuses);
    free(slot->indices);
    free(slot->pieces);
    size_t capacity = needed < 32 ? 32 : needed + needed / 2;
    slot->requests = calloc(capacity, sizeof *slot->requests);
    slot->statuses = calloc(capacity, sizeof *slot->statuses);
    slot->indices = calloc(capacity, sizeof *slot->indices);
    slot->pieces = calloc(capacity, sizeof *slot->pieces);
    slot->capacity = 0;
    if (!slot->requests || !slot->statuses || !slot->indices || !slot->pieces)
        return fuse_fail(err, FUSE_EMEMORY, "no memory for the requests of %zu messages", needed);
    slot->capacity = (int)capacity;
    return FUSE_OK;
}

static enum fuse_status start_piece(struct mpi_comm *mpi, struct slot *slot, int index, void *at, int tag, bool is_send,
                                    struct fuse_error *err) {
    const struct piece *piece = &slot->pieces[index];
    MPI_Request *request = &slot->requests[index];
    *request = MPI_REQUEST_NULL;
    int code = is_send ? MPI_Isend(at, piece->bytes, MPI_BYTE, piece->peer, tag, mpi->handle, request)
                       : MPI_Irecv(at, piece->bytes, MPI_BYTE, piece->peer, tag, mpi->handle, request);
    const enum fuse_status st = check_mpi(code, is_send ? "MPI_Isend" : "MPI_Irecv", err);
    if (st == FUSE_OK)
        slot->unfinished++;
    else
        *request = MPI_REQUEST_NULL;
    return st;
}

/* Both sides cut a message in the same way, because both know its length. */
static enum fuse_status start_pieces(struct mpi_comm *mpi, struct slot *slot, const struct fuse_message *message,
                                     bool is_send, struct fuse_error *err) {
    const int number = (int)(slot - mpi->slots);
    if (message->loan && message->bytes > 0) {
        slot->pieces[slot->count] = (struct piece){.peer = message->peer, .loan = is_send ? NULL : message->loan};
        enum fuse_status st = start_piece(mpi, slot, slot->count++, NULL, FIRST_TAG + number, is_send, err);
        if (!is_send)
            return st;
        slot->pieces[slot->count] = (struct piece){.peer = message->peer};
        enum fuse_status answer = start_piece(mpi, slot, slot->count++, NULL, FIRST_TAKEN_TAG + number, false, err);
        return st == FUSE_OK ? answer : st;
    }
    enum fuse_status st = FUSE_OK;
    for (size_t done = 0; done < message->bytes; slot->count++) {
        size_t bytes = message->bytes - done < mpi->piece_bytes ? message->bytes - done : mpi->piece_bytes;
        slot->pieces[slot->count] = (struct piece){.peer = message->peer, .bytes = (int)bytes};
        enum fuse_status piece =
            start_piece(mpi, slot, slot->count, (char *)message->data + done, FIRST_TAG + number, is_send, err);
        st = st == FUSE_OK ? piece : st;
        done += bytes;
    }
    return st;
}

static enum fuse_status start(struct fuse_comm *comm, int number, struct fuse_queue *queue,
                              const struct fuse_message *send, int sends, const struct fuse_message *receive,
                              int receives, struct fuse_error *err) {
    struct mpi_comm *mpi = mpi_of(comm);
    FUSE_TRY(fuse_comm_check_messages(comm, number, send, sends, err));
    FUSE_TRY(fuse_comm_check_messages(comm, number, receive, receives, err));
    struct slot *slot = &mpi->slots[number];
    if (slot->unfinished > 0)
        return fuse_fail(err, FUSE_EBUG, "exchange slot %d is still in flight", number);
    FUSE_TRY(grow_slot(slot, count_pieces(mpi, send, sends) + count_pieces(mpi, receive, receives), err));

    struct fuse_error failure = {0};
    enum fuse_status started = FUSE_OK, piece;
    slot->count = 0;
    for (int i = 0; i < receives; i++) {
        piece = start_pieces(mpi, slot, &receive[i], false, &failure);
        started = started == FUSE_OK ? piece : started;
        comm->counters.received_bytes += (int64_t)receive[i].bytes;
        comm->counters.lent_bytes += receive[i].loan ? (int64_t)receive[i].bytes : 0;
    }
    slot->receives = slot->count;
    enum fuse_status drained = fuse_comm_drain(queue, err);
    for (int i = 0; i < sends; i++) {
        piece = start_pieces(mpi, slot, &send[i], true, &failure);
        started = started == FUSE_OK ? piece : started;
        comm->counters.sent_bytes += (int64_t)send[i].bytes;
        comm->counters.messages += send[i].bytes > 0;
    }
    if (drained != FUSE_OK)
        return drained;
    return started == FUSE_OK ? FUSE_OK : fuse_fail(err, started, "%s", failure.message);
}

/* One piece is over: did it bring what was asked for? */
static enum fuse_status finish_piece(struct mpi_comm *mpi, struct slot *slot, int index, MPI_Status *status, int code,
                                     struct fuse_error *err) {
    struct piece *piece = &slot->pieces[index];
    bool is_receive = index < slot->receives;
    slot->requests[index] = MPI_REQUEST_NULL;
    slot->unfinished--;
    if (check_mpi(code, is_receive ? "a receive" : "a send", err) != FUSE_OK) {
        fuse_note(err, "message of %d bytes %s rank %d", piece->bytes, is_receive ? "from" : "to", piece->peer);
        return err->status;
    }
    if (piece->loan) {
        atomic_thread_fence(memory_order_seq_cst);
        piece->loan->take(piece->loan);
        atomic_thread_fence(memory_order_seq_cst);
        piece->loan = NULL;
        return start_piece(mpi, slot, index, NULL, FIRST_TAKEN_TAG + (int)(slot - mpi->slots), true, err);
    }
    int bytes = piece->bytes;
    if (is_receive && bytes > 0)
        MPI_Get_count(status, MPI_BYTE, &bytes);
    if (bytes != piece->bytes)
        return fuse_fail(err, FUSE_EFAILED, "rank %d sent %d bytes where %d were expected", piece->peer, bytes,
                         piece->bytes);
    return FUSE_OK;
}

/* Pieces that are over since the last look; there may be none. */
static int look(struct slot *slot, int *finished) {
    *finished = 0;
    const int code = MPI_Testsome(slot->count, slot->requests, finished, slot->indices, slot->statuses);
    if (*finished == MPI_UNDEFINED)
        slot->unfinished = *finished = 0;
    return code;
}

/* What a look has found. */
static enum fuse_status finish_pieces(struct mpi_comm *mpi, struct slot *slot, int finished, int code,
                                      struct fuse_error *err) {
    enum fuse_status st = FUSE_OK;
    if (code != MPI_ERR_IN_STATUS)
        FUSE_TRY(check_mpi(code, "MPI_Testsome", err));
    for (int i = 0; i < finished; i++) {
        int piece_code = code == MPI_ERR_IN_STATUS ? slot->statuses[i].MPI_ERROR : MPI_SUCCESS;
        enum fuse_status piece = finish_piece(mpi, slot, slot->indices[i], &slot->statuses[i], piece_code, err);
        st = st == FUSE_OK ? piece : st;
    }
    return st;
}

static enum fuse_status test(struct fuse_comm *comm, int number, bool *done, struct fuse_error *err) {
    struct slot *slot = &mpi_of(comm)->slots[number];
    enum fuse_status st = FUSE_OK;
    int finished;
    if (slot->unfinished > 0) {
        const int code = look(slot, &finished);
        st = finish_pieces(mpi_of(comm), slot, finished, code, err);
    }
    *done = slot->unfinished == 0;
    return st;
}

static int first_unfinished(const struct slot *slot) {
    int index = 0;
    while (index + 1 < slot->count && slot->requests[index] == MPI_REQUEST_NULL)
        index++;
    return index;
}

/* Pieces in any order: what is lent is taken when it is there, for its owner may wait for that before it does anything else. After
 * a failure the others are still waited for: they write into their buffers. */
static enum fuse_status wait(struct fuse_comm *comm, int number, struct fuse_error *err) {
    struct mpi_comm *mpi = mpi_of(comm);
    struct slot *slot = &mpi->slots[number];
    enum fuse_status st = FUSE_OK;
    while (slot->unfinished > 0) {
        int finished = 0, code = MPI_SUCCESS;
        begin_wait(comm, slot->pieces[first_unfinished(slot)].peer);
        for (int looks = 0; slot->unfinished > 0; looks++) {
            code = look(slot, &finished);
            if (finished > 0 || code != MPI_SUCCESS)
                break;
            pause_crowded(mpi, looks);
        }
        end_wait(comm);
        enum fuse_status some = finish_pieces(mpi, slot, finished, code, err);
        st = st == FUSE_OK ? some : st;
        if (code != MPI_SUCCESS && code != MPI_ERR_IN_STATUS)
            slot->unfinished = 0;
    }
    return st;
}

/* ---- control ---- */

/* Collectives of a crowded node are started and waited for, others are as MPI has them. */

static int broadcast_piece(const struct mpi_comm *mpi, void *data, int bytes, int root) {
    MPI_Request request;
    if (!mpi->is_crowded)
        return MPI_Bcast(data, bytes, MPI_BYTE, root, mpi->handle);
    return wait_started(mpi, &request, MPI_Ibcast(data, bytes, MPI_BYTE, root, mpi->handle, &request));
}

static int reduce_everywhere(const struct mpi_comm *mpi, int64_t *values, int count, MPI_Op op) {
    MPI_Request request;
    if (!mpi->is_crowded)
        return MPI_Allreduce(MPI_IN_PLACE, values, count, MPI_INT64_T, op, mpi->handle);
    return wait_started(mpi, &request,
                        MPI_Iallreduce(MPI_IN_PLACE, values, count, MPI_INT64_T, op, mpi->handle, &request));
}

static int meet(const struct mpi_comm *mpi) {
    MPI_Request request;
    if (!mpi->is_crowded)
        return MPI_Barrier(mpi->handle);
    return wait_started(mpi, &request, MPI_Ibarrier(mpi->handle, &request));
}

static enum fuse_status broadcast(struct fuse_comm *comm, void *data, size_t bytes, int root, struct fuse_error *err) {
    struct mpi_comm *mpi = mpi_of(comm);
    if (root < 0 || root >= comm->size)
        return fuse_fail(err, FUSE_EBUG, "broadcast from rank %d of %d", root, comm->size);
    if (comm->rank != root)
        comm->counters.control_bytes += (int64_t)bytes;
    for (size_t done = 0; done < bytes;) {
        size_t piece = bytes - done < mpi->piece_bytes ? bytes - done : mpi->piece_bytes;
        begin_wait(comm, -1);
        int code = broadcast_piece(mpi, (char *)data + done, (int)piece, root);
        end_wait(comm);
        FUSE_TRY(check_mpi(code, "MPI_Bcast", err));
        done += piece;
    }
    return FUSE_OK;
}

static enum fuse_status reduce_int64(struct fuse_comm *comm, enum fuse_reduce op, int64_t *values, int count,
                                     struct fuse_error *err) {
    MPI_Op mpi_op;
    switch (op) {
    case FUSE_REDUCE_SUM: mpi_op = MPI_SUM; break;
    case FUSE_REDUCE_MIN: mpi_op = MPI_MIN; break;
    case FUSE_REDUCE_MAX: mpi_op = MPI_MAX; break;
    default: return fuse_fail(err, FUSE_EBUG, "no reduction by '%s' over ranks", fuse_reduce_name(op));
    }
    if (count <= 0)
        return FUSE_OK;
    comm->counters.control_bytes += (int64_t)sizeof *values * count;
    begin_wait(comm, -1);
    int code = reduce_everywhere(mpi_of(comm), values, count, mpi_op);
    end_wait(comm);
    return check_mpi(code, "MPI_Allreduce", err);
}

static enum fuse_status barrier(struct fuse_comm *comm, struct fuse_error *err) {
    begin_wait(comm, -1);
    int code = meet(mpi_of(comm));
    end_wait(comm);
    return check_mpi(code, "MPI_Barrier", err);
}

static enum fuse_status node(struct fuse_comm *comm, int *local_rank, int *local_size, struct fuse_error *err) {
    FUSE_TRY(check_mpi(MPI_Comm_rank(mpi_of(comm)->here, local_rank), "MPI_Comm_rank", err));
    return check_mpi(MPI_Comm_size(mpi_of(comm)->here, local_size), "MPI_Comm_size", err);
}

static enum fuse_status gather_node(struct fuse_comm *comm, const void *mine, void *all, size_t bytes,
                                    struct fuse_error *err) {
    const struct mpi_comm *mpi = mpi_of(comm);
    const int n = (int)bytes;
    int ranks;
    MPI_Request request;
    MPI_Comm_size(mpi->here, &ranks);
    comm->counters.control_bytes += (int64_t)bytes * (ranks - 1);
    begin_wait(comm, -1);
    int code = mpi->is_crowded ? wait_started(mpi, &request,
                                              MPI_Iallgather(mine, n, MPI_BYTE, all, n, MPI_BYTE, mpi->here, &request))
                               : MPI_Allgather(mine, n, MPI_BYTE, all, n, MPI_BYTE, mpi->here);
    end_wait(comm);
    return check_mpi(code, "MPI_Allgather", err);
}

/* ---- memory of a node ---- */

struct window {
    MPI_Comm here; /* the ranks of the node */
    MPI_Win handle;
};

/* Where Open MPI makes windows. One that does not fit there would end the job when it is touched, or hang. */
static bool has_room(const struct mpi_comm *mpi, size_t bytes) {
    struct statvfs file_system;
    return bytes <= mpi->window_bytes &&
           (statvfs("/dev/shm", &file_system) != 0 ||
            file_system.f_bavail * (uint64_t)file_system.f_frsize >= bytes + ((size_t)1 << 20));
}

/* Ranks of a node agree with its first one; fuse_comm_share makes a failure everybody's. A window that is there then stays. */
static enum fuse_status open_window(const struct mpi_comm *mpi, struct window *window, struct fuse_comm_shared *out,
                                    size_t bytes, struct fuse_error *err) {
    uint64_t asked = out->local_rank == 0 ? (has_room(mpi, bytes) ? bytes : UINT64_MAX) : 0;
    FUSE_TRY(check_mpi(MPI_Bcast(&asked, 1, MPI_UINT64_T, 0, window->here), "MPI_Bcast", err));
    if (asked == UINT64_MAX)
        return fuse_fail(err, FUSE_EMEMORY, "no room in /dev/shm for %zu bytes that ranks of a node share", bytes);
    out->bytes = (size_t)asked;
    if (asked == 0)
        return FUSE_OK;
    MPI_Aint size = out->local_rank == 0 ? (MPI_Aint)(asked + 64) : 0;
    int unit;
    char *at = NULL;
    FUSE_TRY(check_mpi(MPI_Win_allocate_shared(size, 1, MPI_INFO_NULL, window->here, &at, &window->handle),
                       "MPI_Win_allocate_shared", err));
    FUSE_TRY(check_mpi(MPI_Win_shared_query(window->handle, 0, &size, &unit, &at), "MPI_Win_shared_query", err));
    /* Each rank maps it at a page, so that all move it alike. */
    at += (64 - (uintptr_t)at % 64) % 64;
    /* By all: a page that is touched first costs more than what is written to it. */
    const size_t part = (size_t)asked / (size_t)out->local_ranks + 1, begin = part * (size_t)out->local_rank;
    if (begin < (size_t)asked)
        memset(at + begin, 0, (size_t)asked - begin < part ? (size_t)asked - begin : part);
    out->at = at;
    return check_mpi(MPI_Barrier(window->here), "MPI_Barrier", err);
}

static void unshare_window(struct fuse_comm *comm, struct fuse_comm_shared *shared) {
    struct window *window = shared->window;
    (void)comm;
    if (window->handle != MPI_WIN_NULL)
        MPI_Win_free(&window->handle);
    MPI_Comm_free(&window->here);
    free(window);
}

static enum fuse_status share_window(struct fuse_comm *comm, struct fuse_comm_shared *out, size_t bytes,
                                     struct fuse_error *err) {
    struct window *window = malloc(sizeof *window);
    struct fuse_comm_shared shared = {.window = window};
    FUSE_TRY(fuse_agree(comm, window != NULL ? FUSE_OK : fuse_fail(err, FUSE_EMEMORY, "no memory for a window"), err));
    window->handle = MPI_WIN_NULL;
    int group = 0;
    if (mpi_of(comm)->window_ranks > 0) {
        MPI_Comm_rank(mpi_of(comm)->here, &group);
        group /= mpi_of(comm)->window_ranks;
    }
    int code = MPI_Comm_split(mpi_of(comm)->here, group, comm->rank, &window->here);
    if (code != MPI_SUCCESS) {
        free(window);
        return check_mpi(code, "MPI_Comm_split", err);
    }
    MPI_Comm_rank(window->here, &shared.local_rank);
    MPI_Comm_size(window->here, &shared.local_ranks);
    enum fuse_status status = fuse_agree(comm, open_window(mpi_of(comm), window, &shared, bytes, err), err);
    if (status != FUSE_OK)
        unshare_window(comm, &shared);
    else
        *out = shared;
    return status;
}

static void abort_job(struct fuse_comm *comm, int status) {
    MPI_Abort(mpi_of(comm)->handle, status);
}

static void close_mpi(struct fuse_comm *comm) {
    struct mpi_comm *mpi = mpi_of(comm);
    for (int i = 0; i < FUSE_COMM_SLOTS; i++) {
        free(mpi->slots[i].requests);
        free(mpi->slots[i].statuses);
        free(mpi->slots[i].indices);
        free(mpi->slots[i].pieces);
    }
    MPI_Comm_free(&mpi->here);
    MPI_Comm_free(&mpi->handle);
    free(mpi);
}

static const struct fuse_comm_ops mpi_ops = {
    .name = "mpi",
    .exchange_start = start,
    .exchange_test = test,
    .exchange_wait = wait,
    .broadcast = broadcast,
    .reduce_int64 = reduce_int64,
    .barrier = barrier,
    .node = node,
    .gather_node = gather_node,
    .share = share_window,
    .unshare = unshare_window,
    .abort = abort_job,
    .close = close_mpi,
};

void fuse_comm_mpi_set_piece(struct fuse_comm *comm, size_t bytes) {
    if (comm->ops == &mpi_ops && bytes > 0 && bytes <= default_piece_bytes)
        mpi_of(comm)->piece_bytes = bytes;
}

void fuse_comm_mpi_limit_windows(struct fuse_comm *comm, int ranks, size_t bytes) {
    if (comm->ops == &mpi_ops) {
        mpi_of(comm)->window_ranks = ranks;
        mpi_of(comm)->window_bytes = bytes;
    }
}

void fuse_comm_mpi_set_crowded(struct fuse_comm *comm, bool is_crowded) {
    if (comm->ops == &mpi_ops)
        mpi_of(comm)->is_crowded = is_crowded;
}

/* ---- start and end ---- */

static enum fuse_status start_mpi(struct fuse_error *err) {
    int is_up = 0, is_over = 0, level = MPI_THREAD_SINGLE;
    MPI_Finalized(&is_over);
    if (is_over)
        return fuse_fail(err, FUSE_EFAILED, "MPI was already shut down in this process");
    MPI_Initialized(&is_up);
    if (!is_up) {
        FUSE_TRY(check_mpi(MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level), "MPI_Init_thread", err));
        we_started_mpi = true;
    } else {
        FUSE_TRY(check_mpi(MPI_Query_thread(&level), "MPI_Query_thread", err));
    }
    if (level >= MPI_THREAD_FUNNELED)
        return FUSE_OK;
    enum fuse_status st = fuse_fail(err, FUSE_EFAILED, "MPI runs without thread support");
    fuse_hint(err, "start it by MPI_Init_thread with MPI_THREAD_FUNNELED or more");
    return st;
}

/* Collective. Whether on any node there are more ranks than processors that any of them may run on. */
static enum fuse_status find_crowded(bool *is_crowded, MPI_Comm handle, MPI_Comm here, struct fuse_error *err) {
    cpu_set_t set;
    int ranks;
    MPI_Comm_size(here, &ranks);
    const bool is_known = sched_getaffinity(0, sizeof set, &set) == 0;
    if (!is_known)
        memset(&set, 0xff, sizeof set);
    FUSE_TRY(
        check_mpi(MPI_Allreduce(MPI_IN_PLACE, &set, (int)sizeof set, MPI_BYTE, MPI_BOR, here), "MPI_Allreduce", err));
    *is_crowded = ranks > CPU_COUNT(&set);
    return check_mpi(MPI_Allreduce(MPI_IN_PLACE, is_crowded, 1, MPI_C_BOOL, MPI_LOR, handle), "MPI_Allreduce", err);
}

/* Takes the handle, which it frees when it fails. */
static enum fuse_status adopt(struct fuse_comm **out, MPI_Comm handle, struct fuse_error *err) {
    enum fuse_status st;
    struct mpi_comm *mpi = calloc(1, sizeof *mpi);
    if (!mpi) {
        MPI_Comm_free(&handle);
        return fuse_fail(err, FUSE_EMEMORY, "no memory for the communicator");
    }
    mpi->base.ops = &mpi_ops;
    mpi->handle = handle;
    mpi->here = MPI_COMM_NULL;
    mpi->piece_bytes = default_piece_bytes;
    mpi->window_bytes = SIZE_MAX;
    FUSE_TRY_GOTO(st, check_mpi(MPI_Comm_set_errhandler(handle, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler", err),
                  free_handle);
    FUSE_TRY_GOTO(st, check_mpi(MPI_Comm_size(handle, &mpi->base.size), "MPI_Comm_size", err), free_handle);
    FUSE_TRY_GOTO(st, check_mpi(MPI_Comm_rank(handle, &mpi->base.rank), "MPI_Comm_rank", err), free_handle);
    int code = MPI_Comm_split_type(handle, MPI_COMM_TYPE_SHARED, mpi->base.rank, MPI_INFO_NULL, &mpi->here);
    FUSE_TRY_GOTO(st, check_mpi(code, "MPI_Comm_split_type", err), free_handle);
    FUSE_TRY_GOTO(st, find_crowded(&mpi->is_crowded, handle, mpi->here, err), free_handle);
    *out = &mpi->base;
    return FUSE_OK;

free_handle:
    if (mpi->here != MPI_COMM_NULL)
        MPI_Comm_free(&mpi->here);
    MPI_Comm_free(&mpi->handle);
    free(mpi);
    return st;
}

enum fuse_status fuse_comm_open_mpi(struct fuse_comm **out, struct fuse_error *err) {
    FUSE_TRY(start_mpi(err));
    int size;
    FUSE_TRY(check_mpi(MPI_Comm_size(MPI_COMM_WORLD, &size), "MPI_Comm_size", err));
    if (size == 1)
        return fuse_comm_open_self(out, err);

    MPI_Comm handle;
    FUSE_TRY(check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &handle), "MPI_Comm_dup", err));
    return adopt(out, handle, err);
}

enum fuse_status fuse_comm_open_part(struct fuse_comm **out, struct fuse_comm *comm, int ranks,
                                     struct fuse_error *err) {
    MPI_Comm handle;
    if (comm->size == 1)
        return fuse_comm_open_self(out, err);
    bool takes_part = comm->rank < ranks;
    FUSE_TRY(check_mpi(MPI_Comm_split(mpi_of(comm)->handle, takes_part ? 0 : MPI_UNDEFINED, comm->rank, &handle),
                       "MPI_Comm_split", err));
    if (!takes_part) {
        *out = NULL;
        return FUSE_OK;
    }
    if (ranks > 1)
        return adopt(out, handle, err);
    MPI_Comm_free(&handle);
    return fuse_comm_open_self(out, err);
}

enum fuse_status fuse_comm_idle(struct fuse_comm *comm, struct fuse_error *err) {
    const struct timespec pause = {.tv_nsec = 2000000};
    MPI_Request request;
    int done = 0;
    if (comm->size == 1)
        return FUSE_OK;
    FUSE_TRY(check_mpi(MPI_Ibarrier(mpi_of(comm)->handle, &request), "MPI_Ibarrier", err));
    for (;;) {
        FUSE_TRY(check_mpi(MPI_Test(&request, &done, MPI_STATUS_IGNORE), "MPI_Test", err));
        if (done)
            return FUSE_OK;
        nanosleep(&pause, NULL);
    }
}

void fuse_comm_finalize_mpi(void) {
    int is_over = 0;
    if (!we_started_mpi)
        return;
    we_started_mpi = false;
    MPI_Finalized(&is_over);
    if (!is_over)
        MPI_Finalize();
}
