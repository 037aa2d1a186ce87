/* What would make these fail: messages that are lost, reordered, cut differently on both sides, mixed up between slots,
 * or reported as fine when they are not; an agreement that differs between ranks. */
#include "comm/comm.h"
#include "comm/transport.h"
#include "tests/mpi/all_ranks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct fuse_comm *comm;

enum { MAX_RANKS = 64 };

static unsigned char pattern(int from, int to, int number, size_t at) {
    return (unsigned char)(from * 31 + to * 17 + number * 7 + (int)(at % 251) + 1);
}

static void fill(unsigned char *data, size_t bytes, int from, int to, int number) {
    for (size_t i = 0; i < bytes; i++)
        data[i] = pattern(from, to, number, i);
}

static bool is_filled(const unsigned char *data, size_t bytes, int from, int to, int number) {
    for (size_t i = 0; i < bytes; i++)
        if (data[i] != pattern(from, to, number, i))
            return false;
    return true;
}

/* Every pair, sizes that depend on the pair and are 0 for some. */
static size_t pair_bytes(int from, int to, size_t unit) {
    return ((size_t)(from * 2 + to + 2) % 3) * unit;
}

struct traffic {
    struct fuse_message send[MAX_RANKS], receive[MAX_RANKS];
    int count, number;
};

static void open_traffic(struct traffic *t, size_t unit, int number) {
    t->count = 0;
    t->number = number;
    for (int peer = 0; peer < comm->size; peer++) {
        if (peer == comm->rank)
            continue;
        struct fuse_message *out = &t->send[t->count], *in = &t->receive[t->count++];
        *out = (struct fuse_message){.peer = peer, .bytes = pair_bytes(comm->rank, peer, unit)};
        *in = (struct fuse_message){.peer = peer, .bytes = pair_bytes(peer, comm->rank, unit)};
        out->data = malloc(out->bytes + 1);
        in->data = calloc(1, in->bytes + 1);
        fill(out->data, out->bytes, comm->rank, peer, number);
    }
}

static bool has_arrived(const struct traffic *t) {
    for (int i = 0; i < t->count; i++) {
        const struct fuse_message *in = &t->receive[i];
        if (!is_filled(in->data, in->bytes, in->peer, comm->rank, t->number) ||
            ((unsigned char *)in->data)[in->bytes] != 0)
            return false;
    }
    return true;
}

static void close_traffic(struct traffic *t) {
    for (int i = 0; i < t->count; i++) {
        free(t->send[i].data);
        free(t->receive[i].data);
    }
}

static enum fuse_status start(struct traffic *t, int slot, struct fuse_queue *queue, struct fuse_error *err) {
    return comm->ops->exchange_start(comm, slot, queue, t->send, t->count, t->receive, t->count, err);
}

static void exchange_sizes(size_t unit, size_t piece) {
    struct fuse_error err = {0};
    struct traffic t;
    open_traffic(&t, unit, 1);
    fuse_comm_mpi_set_piece(comm, piece);
    assert_all(start(&t, 0, NULL, &err) == FUSE_OK);
    assert_all(comm->ops->exchange_wait(comm, 0, &err) == FUSE_OK);
    assert_all(has_arrived(&t));
    fuse_comm_mpi_set_piece(comm, (size_t)1 << 30);
    close_traffic(&t);
}

/* What one rank of a node writes the others of it see; a counter deals each number once; a node has what its first rank asked. */
static void test_shared(void **state) {
    (void)state;
    struct fuse_error err = {0};
    struct fuse_comm_shared shared;
    int local_rank, local_size;
    assert_all(fuse_comm_node(comm, &local_rank, &local_size, &err) == FUSE_OK);
    for (int round = 0; round < 3; round++) {
        const size_t asked = round == 1 ? 100003 : 4096;
        assert_all(fuse_comm_share(&shared, comm, local_rank == 0 ? asked : 7, &err) == FUSE_OK);
        assert_all(shared.bytes == asked && shared.local_rank == local_rank && shared.local_ranks == local_size);
        assert_all((uintptr_t)shared.at % 64 == 0);
        char *at = shared.at;
        bool is_zero = true;
        for (size_t i = 0; i < asked; i++)
            is_zero &= at[i] == 0;
        assert_all(is_zero);
        at[1024 + local_rank] = (char)(local_rank + 1);
        assert_all(fuse_comm_sync(comm, &err) == FUSE_OK);
        bool seen = true;
        for (int r = 0; r < local_size; r++)
            seen &= at[1024 + r] == r + 1;
        assert_all(seen);
        /* Numbers 0 .. 999, each to one rank of a node. */
        int64_t taken = 0, sum = 0, nodes = local_rank == 0;
        for (int64_t k; (k = atomic_fetch_add((_Atomic int64_t *)shared.at, 1)) < 1000; taken++)
            sum += k;
        int64_t all[] = {taken, sum, nodes};
        assert_all(comm->ops->reduce_int64(comm, FUSE_REDUCE_SUM, all, 3, &err) == FUSE_OK);
        assert_all(all[0] == 1000 * all[2] && all[1] == 499500 * all[2]);
        fuse_comm_unshare(&shared, comm);
        assert_all(shared.at == NULL);
        fuse_comm_unshare(&shared, comm);
    }
    assert_all(fuse_comm_share(&shared, comm, 0, &err) == FUSE_OK && shared.at == NULL && shared.bytes == 0);
    fuse_comm_unshare(&shared, comm);
    /* More than there is. */
    if (comm->size > 1) {
        assert_all(fuse_comm_share(&shared, comm, (size_t)1 << 50, &err) == FUSE_EMEMORY);
        assert_all(strstr(err.message, "that ranks of a node share") != NULL);
    }
}

static void test_exchange(void **state) {
    (void)state;
    exchange_sizes(0, 1 << 30);
    exchange_sizes(1, 1 << 30);
    exchange_sizes(1000, 1 << 30);
    exchange_sizes(300000, 1 << 30);
}

static void test_split_messages(void **state) {
    (void)state;
    exchange_sizes(1, 1);
    exchange_sizes(7, 7);
    exchange_sizes(1000, 7);
    exchange_sizes(300000, 4096);
    exchange_sizes(300000, 299999);
}

/* More elements than an int counts, in both directions of a pair one after the other. Wants 4.5 GB of memory, so it runs when it is
 * asked for. */
static void test_beyond_int(void **state) {
    (void)state;
    struct fuse_error err = {0};
    const size_t bytes = ((size_t)1 << 31) + 4097;
    if (comm->size == 1)
        return;
    unsigned char *data = comm->rank < 2 ? malloc(bytes) : NULL;
    assert_all(data || comm->rank >= 2);
    for (int from = 0; from < 2; from++) {
        struct fuse_message message = {.peer = 1 - comm->rank, .data = data, .bytes = bytes};
        bool sends = comm->rank == from, receives = comm->rank == 1 - from;
        if (sends)
            fill(data, bytes, from, 1 - from, 3);
        if (receives)
            memset(data, 0, bytes);
        int64_t before = comm->counters.received_bytes;
        assert_all(comm->ops->exchange_start(comm, 1, NULL, &message, sends, &message, receives, &err) == FUSE_OK);
        assert_all(comm->ops->exchange_wait(comm, 1, &err) == FUSE_OK);
        assert_all(!receives || is_filled(data, bytes, from, 1 - from, 3));
        assert_all(comm->counters.received_bytes - before == (receives ? (int64_t)bytes : 0));
    }
    free(data);
}

/* Several messages of one pair pair up in the order in which they start, over slots too. */
static void test_order_within_a_pair(void **state) {
    (void)state;
    struct fuse_error err = {0};
    enum { COUNT = 50 };
    static unsigned char out[COUNT][64], in[COUNT][64];
    struct fuse_message send[COUNT], receive[COUNT];
    int next = (comm->rank + 1) % comm->size, last = (comm->rank + comm->size - 1) % comm->size;
    if (comm->size == 1)
        return;
    for (int i = 0; i < COUNT; i++) {
        send[i] = (struct fuse_message){.peer = next, .data = out[i], .bytes = 64};
        receive[i] = (struct fuse_message){.peer = last, .data = in[i], .bytes = 64};
        fill(out[i], 64, comm->rank, next, i);
    }
    int half = COUNT / 2;
    assert_all(comm->ops->exchange_start(comm, 0, NULL, send, half, receive, half, &err) == FUSE_OK);
    assert_all(comm->ops->exchange_start(comm, 1, NULL, send + half, COUNT - half, receive + half, COUNT - half,
                                         &err) == FUSE_OK);
    assert_all(comm->ops->exchange_wait(comm, 1, &err) == FUSE_OK);
    assert_all(comm->ops->exchange_wait(comm, 0, &err) == FUSE_OK);
    bool all = true;
    for (int i = 0; i < COUNT; i++)
        all &= is_filled(in[i], 64, last, comm->rank, i);
    assert_all(all);
}

/* Every other rank starts the slots in the other order: messages stay in theirs. */
static void test_slots_in_any_order(void **state) {
    (void)state;
    struct fuse_error err = {0};
    struct traffic t[FUSE_COMM_SLOTS];
    for (int i = 0; i < FUSE_COMM_SLOTS; i++)
        open_traffic(&t[i], 70000, i + 1);
    for (int i = 0; i < FUSE_COMM_SLOTS; i++) {
        int slot = comm->rank % 2 ? FUSE_COMM_SLOTS - 1 - i : i;
        assert_all(start(&t[slot], slot, NULL, &err) == FUSE_OK);
    }
    for (int i = 0; i < FUSE_COMM_SLOTS; i++)
        assert_all(comm->ops->exchange_wait(comm, i, &err) == FUSE_OK);
    bool all = true;
    for (int i = 0; i < FUSE_COMM_SLOTS; i++) {
        all &= has_arrived(&t[i]);
        close_traffic(&t[i]);
    }
    assert_all(all);
}

static void test_two_slots(void **state) {
    (void)state;
    struct fuse_error err = {0};
    struct traffic t[2];
    open_traffic(&t[0], 100000, 1);
    open_traffic(&t[1], 9, 2);
    for (int turn = 0; turn < 20; turn++) {
        int slot = turn % 2;
        assert_all(start(&t[slot], slot, NULL, &err) == FUSE_OK);
        if (turn > 0) {
            assert_all(comm->ops->exchange_wait(comm, !slot, &err) == FUSE_OK);
            assert_all(has_arrived(&t[!slot]));
        }
    }
    assert_all(comm->ops->exchange_wait(comm, 1, &err) == FUSE_OK);
    assert_all(comm->ops->exchange_wait(comm, 1, &err) == FUSE_OK); /* nothing in flight: returns at once */
    close_traffic(&t[0]);
    close_traffic(&t[1]);
}

static void test_poll(void **state) {
    (void)state;
    struct fuse_error err = {0};
    struct traffic t;
    open_traffic(&t, 200000, 3);
    fuse_comm_mpi_set_piece(comm, 50000);
    for (int finish_by_wait = 0; finish_by_wait < 2; finish_by_wait++) {
        for (int i = 0; i < t.count; i++)
            memset(t.receive[i].data, 0, t.receive[i].bytes);
        bool done = false;
        assert_all(start(&t, 0, NULL, &err) == FUSE_OK);
        for (int64_t polls = 0; !done && !(finish_by_wait && polls == 2); polls++)
            if (comm->ops->exchange_test(comm, 0, &done, &err) != FUSE_OK)
                break;
        assert_all(err.status == FUSE_OK);
        assert_all(comm->ops->exchange_wait(comm, 0, &err) == FUSE_OK);
        assert_all(comm->ops->exchange_test(comm, 0, &done, &err) == FUSE_OK);
        assert_all(done);
        assert_all(has_arrived(&t));
    }
    fuse_comm_mpi_set_piece(comm, (size_t)1 << 30);
    close_traffic(&t);
}

struct test_queue {
    struct fuse_queue base;
    struct traffic *traffic;
    bool fails;
    int waits;
};

/* The data that leave are produced by the queue. */
static enum fuse_status wait_queue(struct fuse_queue *queue, uint64_t ticket, struct fuse_error *err) {
    struct test_queue *q = (struct test_queue *)queue;
    q->waits += ticket == FUSE_QUEUE_ALL;
    for (int i = 0; i < q->traffic->count; i++) {
        struct fuse_message *out = &q->traffic->send[i];
        fill(out->data, out->bytes, comm->rank, out->peer, q->traffic->number);
    }
    return q->fails ? fuse_fail(err, FUSE_EFAILED, "integer overflow") : FUSE_OK;
}

static void test_queue_is_waited_for(void **state) {
    (void)state;
    static const struct fuse_queue_ops ops = {.wait = wait_queue};
    for (int fails = 0; fails < 2; fails++) {
        struct fuse_error err = {0}, wait_err = {0};
        struct traffic t;
        open_traffic(&t, 1000, 4);
        t.number = 5;
        struct test_queue queue = {.base.ops = &ops, .traffic = &t, .fails = fails && comm->rank == comm->size - 1};
        enum fuse_status st = start(&t, 0, &queue.base, &err);
        assert_all(st == (queue.fails ? FUSE_EFAILED : FUSE_OK));
        assert_all(queue.waits == 1);
        assert_all(comm->ops->exchange_wait(comm, 0, &wait_err) == FUSE_OK);
        assert_all(has_arrived(&t)); /* also from the rank whose work failed */
        close_traffic(&t);
    }
}

/* Rank 0 sends rank 1 other lengths than it expects; the good message between them must still arrive. */
static void wrong_length(size_t sent, size_t expected, bool poll) {
    struct fuse_error err = {0};
    static unsigned char wrong[4096], good[4096];
    enum fuse_status st = FUSE_OK;
    if (comm->rank == 0) {
        fill(good, 512, 0, 1, 9);
        struct fuse_message send[] = {{.peer = 1, .data = wrong, .bytes = sent},
                                      {.peer = 1, .data = good, .bytes = 512}};
        st = comm->ops->exchange_start(comm, 0, NULL, send, 2, NULL, 0, &err);
    } else if (comm->rank == 1) {
        memset(good, 0, sizeof good);
        struct fuse_message receive[] = {{.peer = 0, .data = wrong, .bytes = expected},
                                         {.peer = 0, .data = good, .bytes = 512}};
        st = comm->ops->exchange_start(comm, 0, NULL, NULL, 0, receive, 2, &err);
    }
    assert_all(st == FUSE_OK);
    bool done = !poll;
    while (!done)
        st = comm->ops->exchange_test(comm, 0, &done, &err);
    enum fuse_status waited = comm->ops->exchange_wait(comm, 0, &err);
    st = err.status;
    assert_all(poll || waited == st);
    assert_all(st == (comm->rank == 1 ? FUSE_EFAILED : FUSE_OK));
    assert_all(comm->rank != 1 || is_filled(good, 512, 0, 1, 9));
}

static void test_wrong_length(void **state) {
    (void)state;
    if (comm->size == 1)
        return;
    wrong_length(100, 200, false);
    wrong_length(100, 200, true);
    wrong_length(200, 100, false);
    wrong_length(200, 100, true);
}

static enum fuse_status try_message(int slot, int peer, size_t bytes) {
    struct fuse_error err = {0};
    unsigned char data[8] = {0};
    struct fuse_message message = {.peer = peer, .data = data, .bytes = bytes};
    enum fuse_status as_send = comm->ops->exchange_start(comm, slot, NULL, &message, 1, NULL, 0, &err);
    err = (struct fuse_error){0};
    enum fuse_status as_receive = comm->ops->exchange_start(comm, slot, NULL, NULL, 0, &message, 1, &err);
    return as_send == as_receive ? as_send : FUSE_EFAILED;
}

static void test_misuse_is_a_bug(void **state) {
    (void)state;
    assert_all(try_message(0, comm->rank, 8) == FUSE_EBUG);
    assert_all(try_message(0, comm->size, 8) == FUSE_EBUG);
    assert_all(try_message(0, -1, 8) == FUSE_EBUG);
    assert_all(try_message(FUSE_COMM_SLOTS, 0, 0) == FUSE_EBUG);
    assert_all(try_message(0, comm->rank, 0) == FUSE_OK);

    /* A slot that is still in flight. */
    if (comm->size == 1)
        return;
    struct fuse_error err = {0};
    unsigned char in = 0, out = 42;
    struct fuse_message receive = {.peer = (comm->rank + 1) % comm->size, .data = &in, .bytes = 1};
    struct fuse_message send = {.peer = (comm->rank + comm->size - 1) % comm->size, .data = &out, .bytes = 1};
    assert_all(comm->ops->exchange_start(comm, 0, NULL, &send, 1, &receive, 1, &err) == FUSE_OK);
    assert_all(comm->ops->exchange_start(comm, 0, NULL, &send, 1, NULL, 0, &err) == FUSE_EBUG);
    err = (struct fuse_error){0};
    assert_all(comm->ops->exchange_wait(comm, 0, &err) == FUSE_OK);
    assert_all(in == 42);
}

static void test_counters(void **state) {
    (void)state;
    struct fuse_error err = {0};
    struct fuse_comm_counters before = comm->counters;
    struct traffic t;
    open_traffic(&t, 1000, 6);
    fuse_comm_mpi_set_piece(comm, 100);
    assert_all(start(&t, 1, NULL, &err) == FUSE_OK);
    struct fuse_comm_counters after = comm->counters;
    int64_t sent = 0, received = 0, messages = 0;
    for (int i = 0; i < t.count; i++) {
        sent += (int64_t)t.send[i].bytes;
        received += (int64_t)t.receive[i].bytes;
        messages += t.send[i].bytes > 0;
    }
    assert_all(after.sent_bytes - before.sent_bytes == sent);
    assert_all(after.received_bytes - before.received_bytes == received);
    assert_all(after.messages - before.messages == messages);
    assert_all(after.control_bytes == before.control_bytes);
    assert_all(comm->ops->exchange_wait(comm, 1, &err) == FUSE_OK);
    after.waited_ns = comm->counters.waited_ns;
    assert_all(memcmp(&after, &comm->counters, sizeof after) == 0);

    unsigned char data[1000] = {0};
    int64_t values[3] = {0};
    assert_all(comm->ops->broadcast(comm, data, sizeof data, comm->size - 1, &err) == FUSE_OK);
    assert_all(comm->ops->reduce_int64(comm, FUSE_REDUCE_SUM, values, 3, &err) == FUSE_OK);
    int64_t control = comm->size == 1 ? 0 : 24 + (comm->rank == comm->size - 1 ? 0 : 1000);
    assert_all(comm->counters.control_bytes - after.control_bytes == control);
    fuse_comm_mpi_set_piece(comm, (size_t)1 << 30);
    close_traffic(&t);
}

static void test_broadcast(void **state) {
    (void)state;
    struct fuse_error err = {0};
    static const size_t sizes[] = {0, 1, 99, 100, 101, 12345}, pieces[] = {(size_t)1 << 30, 100};
    for (int p = 0; p < 2; p++) {
        fuse_comm_mpi_set_piece(comm, pieces[p]);
        for (int root = 0; root < comm->size; root++) {
            for (int s = 0; s < 6; s++) {
                static unsigned char data[12346];
                memset(data, 0, sizeof data);
                if (comm->rank == root)
                    fill(data, sizes[s], root, 0, s);
                assert_all(comm->ops->broadcast(comm, data, sizes[s], root, &err) == FUSE_OK);
                assert_all(is_filled(data, sizes[s], root, 0, s) && data[sizes[s]] == 0);
            }
        }
    }
    fuse_comm_mpi_set_piece(comm, (size_t)1 << 30);
    assert_all(comm->ops->broadcast(comm, &err, 1, comm->size, &err) == FUSE_EBUG);
}

static void test_reduce(void **state) {
    (void)state;
    struct fuse_error err = {0};
    int64_t n = comm->size, huge = (int64_t)1 << 61;
    int64_t sum[2] = {comm->rank + 1, 1}, low[2] = {comm->rank, -comm->rank}, high[2] = {comm->rank, huge + comm->rank};
    assert_all(comm->ops->reduce_int64(comm, FUSE_REDUCE_SUM, sum, 2, &err) == FUSE_OK);
    assert_all(comm->ops->reduce_int64(comm, FUSE_REDUCE_MIN, low, 2, &err) == FUSE_OK);
    assert_all(comm->ops->reduce_int64(comm, FUSE_REDUCE_MAX, high, 2, &err) == FUSE_OK);
    assert_all(sum[0] == n * (n + 1) / 2 && sum[1] == n);
    assert_all(low[0] == 0 && low[1] == 1 - n);
    assert_all(high[0] == n - 1 && high[1] == huge + n - 1);
    assert_all(comm->ops->reduce_int64(comm, FUSE_REDUCE_PROD, sum, 1, &err) == FUSE_EBUG);
}

static void test_agree(void **state) {
    (void)state;
    struct fuse_error err = {0};
    assert_all(fuse_agree(comm, FUSE_OK, &err) == FUSE_OK);
    assert_all(err.status == FUSE_OK && !err.message[0]);

    /* Each subset of the first four ranks. */
    for (int subset = 1; subset < 16; subset++) {
        int lowest = __builtin_ctz((unsigned)subset);
        if (lowest >= comm->size)
            continue;
        err = (struct fuse_error){0};
        enum fuse_status local = FUSE_OK;
        if (comm->rank < 4 && (subset >> comm->rank & 1)) {
            struct fuse_span span = {.file = 1, .begin = (uint32_t)comm->rank, .end = 100};
            local = fuse_fail_at(&err, comm->rank == 2 ? FUSE_EINPUT : FUSE_EIO, span, "rank %d is ill", comm->rank);
            fuse_note(&err, "note %d", comm->rank);
            fuse_hint(&err, "hint %d", comm->rank);
        }
        char message[32], note[32], hint[32];
        snprintf(message, sizeof message, "rank %d is ill", lowest);
        snprintf(note, sizeof note, "note %d", lowest);
        snprintf(hint, sizeof hint, "hint %d", lowest);
        assert_all(fuse_agree(comm, local, &err) == (lowest == 2 ? FUSE_EINPUT : FUSE_EIO));
        assert_all(err.status == (lowest == 2 ? FUSE_EINPUT : FUSE_EIO) && err.rank == lowest);
        assert_all(strcmp(err.message, message) == 0 && strcmp(err.hint, hint) == 0);
        assert_all(strncmp(err.note, note, strlen(note)) == 0);
        assert_all(err.has_span && err.span.begin == (uint32_t)lowest && err.span.end == 100);
    }

    /* A rank that gives a status but recorded nothing. */
    err = (struct fuse_error){0};
    assert_all(fuse_agree(comm, comm->rank == comm->size - 1 ? FUSE_EMEMORY : FUSE_OK, &err) == FUSE_EMEMORY);
    assert_all(err.rank == comm->size - 1 && err.message[0]);
}

/* All ranks of these tests run on one machine. */
static void test_node(void **state) {
    (void)state;
    struct fuse_error err = {0};
    int local_rank = -1, local_size = -1;
    assert_all(fuse_comm_node(comm, &local_rank, &local_size, &err) == FUSE_OK);
    assert_all(local_rank == comm->rank && local_size == comm->size);
    assert_all(comm->ops->barrier(comm, &err) == FUSE_OK);
    assert_all(strcmp(comm->ops->name, comm->size == 1 ? "self" : "mpi") == 0);
}

/* Its own communicator: what others send in MPI_COMM_WORLD is not received here. */
static void test_is_apart_from_world(void **state) {
    (void)state;
    if (comm->size == 1)
        return;
    struct fuse_error err = {0};
    int out = 111, in = 0, foreign = 222, foreign_in = 0, next = (comm->rank + 1) % comm->size,
        last = (comm->rank + comm->size - 1) % comm->size;
    MPI_Request request;
    MPI_Isend(&foreign, 1, MPI_INT, next, 1, MPI_COMM_WORLD, &request);
    struct fuse_message send = {.peer = next, .data = &out, .bytes = sizeof out};
    struct fuse_message receive = {.peer = last, .data = &in, .bytes = sizeof in};
    assert_all(comm->ops->exchange_start(comm, 0, NULL, &send, 1, &receive, 1, &err) == FUSE_OK);
    assert_all(comm->ops->exchange_wait(comm, 0, &err) == FUSE_OK);
    assert_all(in == 111);
    MPI_Recv(&foreign_in, 1, MPI_INT, last, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    MPI_Wait(&request, MPI_STATUS_IGNORE);
    assert_all(foreign_in == 222);
}

int main(int argc, char **argv) {
    const struct CMUnitTest huge[] = {cmocka_unit_test(test_beyond_int)};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_node),
        cmocka_unit_test(test_shared),
        cmocka_unit_test(test_exchange),
        cmocka_unit_test(test_split_messages),
        cmocka_unit_test(test_order_within_a_pair),
        cmocka_unit_test(test_two_slots),
        cmocka_unit_test(test_slots_in_any_order),
        cmocka_unit_test(test_poll),
        cmocka_unit_test(test_queue_is_waited_for),
        cmocka_unit_test(test_wrong_length),
        cmocka_unit_test(test_misuse_is_a_bug),
        cmocka_unit_test(test_counters),
        cmocka_unit_test(test_broadcast),
        cmocka_unit_test(test_reduce),
        cmocka_unit_test(test_agree),
        cmocka_unit_test(test_is_apart_from_world),
    };
    struct fuse_error err = {0};
    if (fuse_comm_open_mpi(&comm, &err) != FUSE_OK) {
        print_error("%s\n", err.message);
        return 1;
    }
    bool is_huge = argc == 2 && strcmp(argv[1], "huge") == 0;
    int failed = 0;
    for (int crowded = 0; crowded < (is_huge ? 1 : 2); crowded++) {
        fuse_comm_mpi_set_crowded(comm, crowded);
        failed |= is_huge ? cmocka_run_group_tests(huge, NULL, NULL) : cmocka_run_group_tests(tests, NULL, NULL);
    }
    comm->ops->close(comm);
    fuse_comm_finalize_mpi();
    return failed;
}
