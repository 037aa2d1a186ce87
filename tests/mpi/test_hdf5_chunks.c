/* Datasets in chunks, packed by all ranks. The oracles are closed forms of the elements, and a file that rank 0 alone writes,
 * which has the same bytes. What would make these fail: a chunk that is written by two ranks or none, a rank that waits for
 * others, a place of a chunk that depends on the number of ranks, a failure that leaves a file. */
#include "io/format.h"
#include "tests/mpi/all_ranks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <dirent.h>
#include <signal.h>
#include <unistd.h>

static struct fuse_comm *comm;
static char folder[128];

static const char *in_folder(const char *name) {
    static char path[2][512];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

enum { MEMBERS = 4, ROWS = 61, COLUMNS = 45, DEEP = 7 };

static int64_t value_at(int member, int64_t i, int64_t j, int64_t k) {
    return member * 1000003 + i * 10000 + j * 100 + k * (1 + i % 3);
}

/* Plain; in chunks of the format's choice; in odd chunks; in chunks and not compressed. */
static void describe(struct fuse_sink_member member[MEMBERS]) {
    static const char *const part[] = {"/plain", "/g/own", "/g/odd", "/raw"};
    for (int m = 0; m < MEMBERS; m++) {
        member[m] = (struct fuse_sink_member){.part = part[m],
                                              .dtype = FUSE_I32,
                                              .rank = 3,
                                              .extent = {ROWS, COLUMNS, DEEP},
                                              .tensor = "T",
                                              .axis = {"i", "j", "k"}};
    }
    member[1].storage.gzip = 4;
    member[2].storage = (struct fuse_sink_storage){.chunk = {7, 11, 3}, .gzip = 1};
    member[3].storage = (struct fuse_sink_storage){.chunk = {5, 100, 100}};
}

/* This rank's rows, one after the other, from the last to the first. */
static enum fuse_status write_rows(struct fuse_sink *sink, const struct fuse_comm *on, int member,
                                   struct fuse_error *err) {
    static int32_t row[COLUMNS * DEEP];
    for (int64_t i = ROWS - 1; i >= 0; i--) {
        if (i % on->size != on->rank)
            continue;
        struct fuse_box box = {.rank = 3, .lo = {i, 0, 0}, .hi = {i + 1, COLUMNS, DEEP}};
        for (int64_t e = 0; e < COLUMNS * DEEP; e++)
            row[e] = (int32_t)value_at(member, i, e / DEEP, e % DEEP);
        struct fuse_view view = fuse_box_view(row, FUSE_I32, &box, false, &box);
        FUSE_TRY(fuse_format_hdf5.sink_write(sink, member, &box, &view, err));
    }
    return FUSE_OK;
}

static enum fuse_status write_file(struct fuse_comm *on, const char *path, struct fuse_error *err) {
    struct fuse_sink_member member[MEMBERS];
    struct fuse_sink_file want = {
        .path = path, .member = member, .members = MEMBERS, .program = "digest", .version = "1.2.3"};
    struct fuse_sink *sink;
    describe(member);
    FUSE_TRY(fuse_format_hdf5.sink_open(&sink, on, &want, err));
    enum fuse_status st = FUSE_OK;
    for (int m = 0; m < MEMBERS && st == FUSE_OK; m++)
        st = write_rows(sink, on, m, err);
    st = fuse_agree(on, st, err);
    if (st == FUSE_OK)
        st = fuse_agree(on, fuse_format_hdf5.sink_finish(sink, on, err), err);
    if (st != FUSE_OK) {
        fuse_sink_discard(&fuse_format_hdf5, sink);
        return st;
    }
    return fuse_agree(on, fuse_sink_commit(&fuse_format_hdf5, sink, err), err);
}

static enum fuse_status write_alone(const char *path, struct fuse_error *err) {
    struct fuse_comm *self;
    FUSE_TRY(fuse_comm_open_self(&self, err));
    enum fuse_status st = write_file(self, path, err);
    self->ops->close(self);
    return st;
}

/* Columns and parts of them, so that chunks are cut. */
static bool reads_back(const char *path, int m) {
    struct fuse_sink_member member[MEMBERS];
    struct fuse_probe probe;
    struct fuse_source *source;
    struct fuse_error err = {0};
    describe(member);
    if (fuse_format_hdf5.probe(&probe, path, member[m].part, &err) != FUSE_OK ||
        fuse_format_hdf5.source_open(&source, path, member[m].part, &probe, &err) != FUSE_OK) {
        print_error("%s\n", err.message);
        return false;
    }
    struct fuse_box box = {
        .rank = 3, .lo = {comm->rank % 5, 3, 1}, .hi = {ROWS - 2, COLUMNS - comm->rank % 7, DEEP - 2}};
    int32_t *data = malloc((size_t)fuse_box_elems(&box) * sizeof *data), *at = data;
    struct fuse_view view = fuse_box_view(data, FUSE_I32, &box, false, &box);
    bool is_fine = fuse_format_hdf5.source_read(source, &box, &view, &err) == FUSE_OK;
    for (int64_t i = box.lo[0]; i < box.hi[0] && is_fine; i++)
        for (int64_t j = box.lo[1]; j < box.hi[1]; j++)
            for (int64_t k = box.lo[2]; k < box.hi[2]; k++)
                is_fine = is_fine && *at++ == value_at(m, i, j, k);
    if (!is_fine)
        print_error("rank %d: %s: %s\n", comm->rank, member[m].part, err.message);
    free(data);
    fuse_format_hdf5.source_close(source);
    return is_fine;
}

static bool same_bytes(const char *a, const char *b) {
    FILE *one = fopen(a, "rb"), *other = fopen(b, "rb");
    int x = 0, y = 0;
    bool is_same = one && other;
    while (is_same && x != EOF) {
        x = getc(one);
        y = getc(other);
        is_same = x == y;
    }
    if (one)
        fclose(one);
    if (other)
        fclose(other);
    return is_same;
}

static int count_files(void) {
    DIR *dir = opendir(folder);
    int n = 0;
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    if (dir)
        closedir(dir);
    return n;
}

static void writes_and_reads(void **state) {
    (void)state;
    struct fuse_error err = {0};
    enum fuse_status st = write_file(comm, in_folder("all.h5"), &err);
    if (st != FUSE_OK)
        print_error("rank %d: %s\n", comm->rank, err.message);
    assert_all(st == FUSE_OK);
    if (comm->rank == 0)
        st = write_alone(in_folder("again.h5"), &err);
    assert_all(st == FUSE_OK);
    assert_all(comm->rank != 0 || same_bytes(in_folder("all.h5"), in_folder("again.h5")));
    for (int m = 0; m < MEMBERS; m++)
        assert_all(reads_back(in_folder("all.h5"), m));
    assert_all(comm->rank != 0 || count_files() == 2);
    MPI_Barrier(MPI_COMM_WORLD);
    if (comm->rank == 0) {
        unlink(in_folder("all.h5"));
        unlink(in_folder("again.h5"));
    }
}

/* A file that may not grow beyond a few KiB: a full disk on every rank, or on the last only. */
static void full_disk_leaves_nothing(void **state) {
    (void)state;
    struct rlimit before, small;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    for (int everywhere = 0; everywhere < 2; everywhere++) {
        for (rlim_t bytes = 1000; bytes < 400000; bytes *= 4) {
            struct fuse_error err = {0};
            MPI_Barrier(MPI_COMM_WORLD);
            small = before;
            small.rlim_cur = bytes;
            if (everywhere || comm->rank == comm->size - 1)
                setrlimit(RLIMIT_FSIZE, &small);
            enum fuse_status st = write_file(comm, in_folder("full.h5"), &err);
            setrlimit(RLIMIT_FSIZE, &before);
            assert_all(st == FUSE_EOUTPUT || st == FUSE_EIO || st == FUSE_OK);
            assert_all(st == FUSE_OK || err.message[0]);
            MPI_Barrier(MPI_COMM_WORLD);
            assert_all(comm->rank != 0 || count_files() == (st == FUSE_OK));
            MPI_Barrier(MPI_COMM_WORLD);
            if (comm->rank == 0)
                unlink(in_folder("full.h5"));
        }
    }
}

int main(void) {
    struct fuse_error err = {0};
    if (fuse_comm_open_mpi(&comm, &err) != FUSE_OK)
        return 1;
    snprintf(folder, sizeof folder, "hdf5_chunks.XXXXXX");
    if (comm->rank == 0 && !mkdtemp(folder))
        return 1;
    MPI_Bcast(folder, sizeof folder, MPI_CHAR, 0, MPI_COMM_WORLD);
    const struct CMUnitTest tests[] = {cmocka_unit_test(writes_and_reads), cmocka_unit_test(full_disk_leaves_nothing)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    MPI_Barrier(MPI_COMM_WORLD);
    if (comm->rank == 0)
        rmdir(folder);
    comm->ops->close(comm);
    fuse_comm_finalize_mpi();
    return failed;
}
