/* What would make these fail: a rank that reads another file than its peer's memory, or reads it where some rank of the node cannot;
 * ranks that decide differently; what is taken before it is there, or spoilt before it is taken; a circle of ranks that wait for
 * answers. */
#include "comm/comm.h"
#include "tests/mpi/all_ranks.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static struct fuse_comm *comm;

#define BYTES ((size_t)3 << 20)
#define CELL 4096

static unsigned char mark(int rank, int cell, int round) {
    return (unsigned char)(rank * 37 + cell * 5 + round * 11 + 1);
}

static unsigned char *make_memory(int *file) {
    char name[64];
    snprintf(name, sizeof name, "test-%d-%d", comm->rank, (int)getpid());
    *file = memfd_create(name, MFD_CLOEXEC);
    if (*file < 0 || ftruncate(*file, (off_t)BYTES) != 0)
        return NULL;
    void *at = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, *file, 0);
    return at == MAP_FAILED ? NULL : at;
}

static int ranks_of_node(void) {
    int place, ranks;
    struct fuse_error err = {0};
    return fuse_comm_node(comm, &place, &ranks, &err) == FUSE_OK ? ranks : 0;
}

/* Each rank of a node sees what each of the others writes, before and after, and nobody sees itself. */
static void test_lend(void **state) {
    (void)state;
    struct fuse_error err = {0};
    struct fuse_comm_peers peers;
    int file;
    unsigned char *mine = make_memory(&file);
    assert_all(mine != NULL);
    mine[0] = mark(comm->rank, 0, 0);
    assert_all(fuse_comm_lend(&peers, comm, file, BYTES, "", &err) == FUSE_OK);
    close(file);
    assert_all(peers.why[0] == 0 && peers.peers == ranks_of_node() - 1);
    mine[BYTES - 1] = mark(comm->rank, 1, 0);
    assert_all(fuse_comm_sync(comm, &err) == FUSE_OK);
    bool seen = fuse_comm_lender(&peers, comm->rank) == NULL && fuse_comm_lender(&peers, comm->size) == NULL;
    int found = 0;
    for (int round = 0; round < 2; round++)
        for (int r = 0; r < comm->size; r++) {
            const volatile unsigned char *at = (const unsigned char *)fuse_comm_lender(&peers, r);
            if (at == NULL)
                continue;
            found++;
            seen &= at[0] == mark(r, 0, 0) && at[BYTES - 1] == mark(r, 1, 0) && at[1] == 0;
            fuse_comm_let_go((const char *)at, BYTES);
        }
    assert_all(seen && found == 2 * peers.peers);
    assert_all(fuse_comm_sync(comm, &err) == FUSE_OK);
    fuse_comm_return(&peers);
    assert_all(fuse_comm_lender(&peers, (comm->rank + 1) % comm->size) == NULL);
    fuse_comm_return(&peers);
    munmap(mine, BYTES);
}

/* When one rank has nothing, or what it names is something else, its node has nothing, and all ranks of the job know why. */
static void test_refusals(void **state) {
    (void)state;
    struct fuse_error err = {0};
    int file, others = open("/dev/null", O_RDONLY);
    unsigned char *mine = make_memory(&file);
    assert_all(mine != NULL && others >= 0);
    for (int bad = 0; bad < comm->size; bad++)
        for (int how = 0; how < 3; how++) {
            struct fuse_comm_peers peers;
            const bool is_bad = comm->rank == bad;
            const int offered = !is_bad || how == 2 ? file : how == 0 ? -1 : others;
            const size_t bytes = is_bad && how == 2 ? BYTES + 1 : BYTES; /* longer than the file */
            assert_all(fuse_comm_lend(&peers, comm, offered, bytes, is_bad ? "rank is bad" : "", &err) == FUSE_OK);
            if (how == 2 && ranks_of_node() == 1) /* nobody looks */
                assert_all(peers.why[0] == 0);
            else
                assert_all(strcmp(peers.why, how == 0 ? "rank is bad"
                                             : how == 1
                                                 ? "there is no /proc"
                                                 : "a rank cannot map the memory of another one on its host") == 0);
            assert_all(ranks_of_node() < comm->size || peers.peers == 0);
            fuse_comm_return(&peers);
        }
    close(others);
    close(file);
    munmap(mine, BYTES);
}

struct taken {
    struct fuse_comm_loan loan;
    const unsigned char *from;
    unsigned char *to;
    int count;
};

static void take(struct fuse_comm_loan *loan) {
    struct taken *taken = (struct taken *)loan;
    memcpy(taken->to, taken->from, CELL);
    taken->count++;
}

static void doze(int64_t ns) {
    nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
}

/* A ring. Each rank lends so many cells to the next one, which takes them while others come as messages; then the owner writes over
 * them. `sizes`: cells of a batch, another one on each side, so that a rank waits for answers while its peer waits for more. */
static void lend_around(const int sizes[2], bool polls) {
    enum { CELLS = 24, ROUNDS = 3 };
    struct fuse_error err = {0};
    struct fuse_comm_peers peers;
    int file;
    unsigned char *mine = make_memory(&file), *got = calloc(CELLS, CELL);
    assert_all(mine != NULL && got != NULL);
    assert_all(fuse_comm_lend(&peers, comm, file, BYTES, "", &err) == FUSE_OK);
    close(file);
    const int next = (comm->rank + 1) % comm->size, last = (comm->rank + comm->size - 1) % comm->size;
    const int64_t lent = comm->counters.lent_bytes, received = comm->counters.received_bytes;
    struct fuse_comm_loan lending = {0};
    bool right = true;
    int64_t lent_cells = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct taken taken[CELLS] = {0};
        struct fuse_message send[CELLS], receive[CELLS];
        for (int c = 0; c < CELLS; c++) {
            const unsigned char *from = (const unsigned char *)fuse_comm_lender(&peers, last);
            const bool is_sent = c % 5 == 3, out_sent = is_sent || !fuse_comm_lender(&peers, next);
            memset(mine + c * CELL, mark(comm->rank, c, round), CELL);
            send[c] = (struct fuse_message){
                .peer = next, .data = mine + c * CELL, .bytes = CELL, .loan = out_sent ? NULL : &lending};
            taken[c] = (struct taken){.loan = {.take = take}, .from = from + c * CELL, .to = got + c * CELL};
            receive[c] = (struct fuse_message){
                .peer = last, .data = got + c * CELL, .bytes = CELL, .loan = is_sent || !from ? NULL : &taken[c].loan};
            lent_cells += receive[c].loan != NULL;
        }
        if (comm->rank % 2 == round % 2)
            doze(200000);
        memset(got, 0, (size_t)CELLS * CELL);
        const int size = sizes[comm->rank % 2];
        for (int c = 0; c < CELLS; c += size) {
            const int n = CELLS - c < size ? CELLS - c : size;
            bool done = false;
            right &= comm->ops->exchange_start(comm, 1, NULL, send + c, n, receive + c, n, &err) == FUSE_OK;
            while (polls && !done)
                right &= comm->ops->exchange_test(comm, 1, &done, &err) == FUSE_OK;
            right &= comm->ops->exchange_wait(comm, 1, &err) == FUSE_OK;
            memset(mine + c * CELL, 0xff, (size_t)n * CELL); /* ours again */
        }
        for (int c = 0; c < CELLS; c++) {
            right &= taken[c].count == (receive[c].loan != NULL);
            for (int i = 0; i < CELL; i++)
                right &= got[c * CELL + i] == mark(last, c, round);
        }
    }
    assert_all(right);
    assert_all(comm->counters.lent_bytes - lent == lent_cells * CELL);
    assert_all(comm->counters.received_bytes - received == (int64_t)ROUNDS * CELLS * CELL);
    assert_all(fuse_comm_sync(comm, &err) == FUSE_OK);
    fuse_comm_return(&peers);
    free(got);
    munmap(mine, BYTES);
}

static void test_loans(void **state) {
    (void)state;
    static const int sizes[][2] = {{24, 24}, {1, 1}, {1, 24}, {24, 1}, {7, 5}, {3, 24}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes && comm->size > 1; i++) {
        lend_around(sizes[i], false);
        lend_around(sizes[i], true);
    }
}

int main(void) {
    struct fuse_error err = {0};
    if (fuse_comm_open_mpi(&comm, &err) != FUSE_OK)
        return 1;
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lend), cmocka_unit_test(test_refusals),
                                       cmocka_unit_test(test_loans)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    comm->ops->close(comm);
    fuse_comm_finalize_mpi();
    return failed;
}
