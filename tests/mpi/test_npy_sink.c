/* Files that all ranks write together. What would make these fail: a box written to the wrong place or over a
 * neighbour's, a rank that waits for others after a failure, files left behind, an older file lost. */
#include "io/format.h"
#include "tests/mpi/all_ranks.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static struct fuse_comm *comm;
static char folder[128];

/* A sink of one member. */
static enum fuse_status open_sink(struct fuse_sink **sink, struct fuse_comm *on, const char *path, const char *part,
                                  enum fuse_dtype dtype, int rank, const int64_t *extent, struct fuse_error *err) {
    struct fuse_sink_member member = {.part = part, .dtype = dtype, .rank = rank};
    memcpy(member.extent, extent, (size_t)rank * sizeof *extent);
    struct fuse_sink_file want = {.path = path, .member = &member, .members = 1};
    return fuse_format_npy.sink_open(sink, on, &want, err);
}

static const char *in_folder(const char *name) {
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* Entries of the folder, hidden ones too. */
static int count_files(void) {
    DIR *dir = opendir(folder);
    int n = 0;
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    if (dir)
        closedir(dir);
    return n;
}

static void barrier(void) {
    MPI_Barrier(MPI_COMM_WORLD);
}

static int64_t value_at(int64_t i, int64_t j, int64_t k) {
    return i * 10000 + j * 100 + k;
}

/* The whole file's elements, read without the code under test. */
static int32_t *read_elements(const char *path, size_t count) {
    FILE *f = fopen(path, "rb");
    unsigned char head[10];
    int32_t *data = malloc(count * sizeof *data + 1);
    bool is_fine = f && fread(head, 1, 10, f) == 10 && fseek(f, 10 + head[8] + 256 * head[9], SEEK_SET) == 0 &&
                   fread(data, sizeof *data, count, f) == count && fgetc(f) == EOF;
    if (f)
        fclose(f);
    if (is_fine)
        return data;
    free(data);
    return NULL;
}

enum { N0 = 13, N1 = 9, N2 = 7 };

/* Writes the cells whose owner is this rank; `axis` says along which axis single slices are dealt out in turn, so that
 * the boxes of the ranks interleave as finely as can be. */
static enum fuse_status write_slices(struct fuse_sink *sink, int axis, bool reversed, struct fuse_error *err) {
    const int64_t extent[] = {N0, N1, N2};
    for (int64_t at = comm->rank; at < extent[axis]; at += comm->size) {
        struct fuse_box box = fuse_box_full(3, extent);
        box.lo[axis] = at;
        box.hi[axis] = at + 1;
        int32_t data[N0 * N1 * N2];
        struct fuse_view view = fuse_box_view(data, FUSE_I32, &box, reversed, &box);
        for (int64_t i = box.lo[0]; i < box.hi[0]; i++)
            for (int64_t j = box.lo[1]; j < box.hi[1]; j++)
                for (int64_t k = box.lo[2]; k < box.hi[2]; k++)
                    data[(i - box.lo[0]) * view.stride[0] + (j - box.lo[1]) * view.stride[1] +
                         (k - box.lo[2]) * view.stride[2]] = (int32_t)value_at(i, j, k);
        FUSE_TRY(fuse_format_npy.sink_write(sink, 0, &box, &view, err));
    }
    return FUSE_OK;
}

static void test_interleaved_boxes(void **state) {
    (void)state;
    const int64_t extent[] = {N0, N1, N2};
    for (int turn = 0; turn < 6; turn++) {
        struct fuse_error err = {0};
        struct fuse_sink *sink = NULL;
        const char *path = in_folder("interleaved.npy");
        assert_all(open_sink(&sink, comm, path, NULL, FUSE_I32, 3, extent, &err) == FUSE_OK);
        assert_all(write_slices(sink, turn % 3, turn >= 3, &err) == FUSE_OK);
        assert_all(fuse_format_npy.sink_finish(sink, comm, &err) == FUSE_OK);
        assert_all(count_files() == 1);
        assert_all(access(path, F_OK) != 0);
        assert_all(fuse_sink_commit(&fuse_format_npy, sink, &err) == FUSE_OK);
        barrier();
        assert_all(count_files() == 1);

        int32_t *data = read_elements(path, N0 * N1 * N2);
        bool is_equal = data != NULL;
        for (int64_t i = 0; i < N0 && is_equal; i++)
            for (int64_t j = 0; j < N1; j++)
                for (int64_t k = 0; k < N2; k++)
                    is_equal &= data[(i * N1 + j) * N2 + k] == value_at(i, j, k);
        free(data);
        assert_all(is_equal);

        /* And as a source, each rank a box of its own. */
        struct fuse_probe probe;
        struct fuse_source *source;
        struct fuse_box box = fuse_box_full(3, extent);
        box.lo[1] = comm->rank % N1;
        int32_t back[N0 * N1 * N2];
        struct fuse_view view = fuse_box_view(back, FUSE_I32, &box, false, &box);
        assert_all(fuse_format_npy.probe(&probe, path, NULL, &err) == FUSE_OK);
        assert_all(fuse_format_npy.source_open(&source, path, NULL, &probe, &err) == FUSE_OK);
        assert_all(fuse_format_npy.source_read(source, &box, &view, &err) == FUSE_OK);
        fuse_format_npy.source_close(source);
        int64_t at = 0;
        for (int64_t i = 0; i < N0; i++)
            for (int64_t j = box.lo[1]; j < N1; j++)
                for (int64_t k = 0; k < N2; k++)
                    is_equal &= back[at++] == value_at(i, j, k);
        assert_all(is_equal);
        barrier();
        if (comm->rank == 0)
            unlink(path);
        barrier();
    }
}

static void test_large_blocks(void **state) {
    (void)state;
    struct fuse_error err = {0};
    struct fuse_sink *sink = NULL;
    const int64_t extent[] = {1000, 3000};
    const char *path = in_folder("large.npy");
    assert_all(open_sink(&sink, comm, path, NULL, FUSE_I32, 2, extent, &err) == FUSE_OK);
    struct fuse_box box = fuse_box_full(2, extent);
    box.lo[0] = fuse_split_begin(1000, comm->size, comm->rank);
    box.hi[0] = fuse_split_begin(1000, comm->size, comm->rank + 1);
    int32_t *data = malloc((size_t)fuse_box_elems(&box) * sizeof *data);
    for (int64_t i = 0; i < fuse_box_elems(&box); i++)
        data[i] = (int32_t)(box.lo[0] * 3000 + i);
    struct fuse_view view = fuse_box_view(data, FUSE_I32, &box, false, &box);
    assert_all(fuse_format_npy.sink_write(sink, 0, &box, &view, &err) == FUSE_OK);
    free(data);
    assert_all(fuse_format_npy.sink_finish(sink, comm, &err) == FUSE_OK);
    barrier();
    assert_all(fuse_sink_commit(&fuse_format_npy, sink, &err) == FUSE_OK);
    barrier();
    data = read_elements(path, 3000000);
    bool is_equal = data != NULL;
    for (int32_t i = 0; i < 3000000 && is_equal; i++)
        is_equal = data[i] == i;
    free(data);
    assert_all(is_equal);
    barrier();
    if (comm->rank == 0)
        unlink(path);
    barrier();
}

static void assert_open_fails(const char *path, int rank_to_blame, const char *part_of_message) {
    struct fuse_error err = {0};
    struct fuse_sink *sink = NULL;
    const int64_t extent[] = {4};
    int before = count_files();
    barrier();
    enum fuse_status st = open_sink(&sink, comm, path, NULL, FUSE_F32, 1, extent, &err);
    assert_all(st == FUSE_EOUTPUT && sink == NULL);
    assert_all(err.status == FUSE_EOUTPUT && err.rank == rank_to_blame);
    assert_all(strstr(err.message, part_of_message) != NULL);
    barrier();
    assert_all(count_files() == before);
}

static void test_bad_paths(void **state) {
    (void)state;
    if (comm->rank == 0) {
        FILE *f = fopen(in_folder("plain"), "w");
        fclose(f);
        mkdir(in_folder("folder.npy"), 0700);
        mkfifo(in_folder("fifo.npy"), 0600);
    }
    barrier();
    assert_open_fails(in_folder("missing/x.npy"), 0, "does not exist");
    assert_open_fails(in_folder("plain/x.npy"), 0, "Not a directory");
    assert_open_fails(in_folder("folder.npy"), 0, "it is a folder");
    assert_open_fails(in_folder("fifo.npy"), 0, "not a regular file");
    assert_open_fails(in_folder(""), 0, "names no file");
    assert_open_fails("", 0, "names no file");
    barrier();
    if (comm->rank == 0) {
        unlink(in_folder("plain"));
        rmdir(in_folder("folder.npy"));
        unlink(in_folder("fifo.npy"));
    }
    barrier();
}

/* Rank r has no file descriptor left. */
static void test_one_rank_cannot_open(void **state) {
    (void)state;
    for (int r = 0; r < comm->size; r++) {
        struct rlimit old, none;
        getrlimit(RLIMIT_NOFILE, &old);
        none = old;
        none.rlim_cur = 3;
        struct fuse_error err = {0};
        struct fuse_sink *sink = NULL;
        const int64_t extent[] = {4};
        barrier();
        if (comm->rank == r)
            setrlimit(RLIMIT_NOFILE, &none);
        enum fuse_status st = open_sink(&sink, comm, in_folder("x.npy"), NULL, FUSE_F32, 1, extent, &err);
        setrlimit(RLIMIT_NOFILE, &old);
        assert_all(st == FUSE_EOUTPUT && sink == NULL && err.rank == r);
        assert_all(strstr(err.message, "Too many open files") != NULL);
        barrier();
        assert_all(count_files() == 0);
        barrier();
    }
}

static void test_impossible_sinks(void **state) {
    (void)state;
    struct fuse_error err = {0};
    struct fuse_sink *sink = NULL;
    const int64_t small[] = {4}, beyond[] = {(int64_t)1 << 40, (int64_t)1 << 30}, huge[] = {(int64_t)1 << 57};
    const char *path = in_folder("x.npy");
    assert_all(open_sink(&sink, comm, path, NULL, FUSE_BF16, 1, small, &err) == FUSE_EOUTPUT);
    assert_all(strstr(err.message, "npy cannot hold bf16") != NULL);
    err = (struct fuse_error){0};
    assert_all(open_sink(&sink, comm, path, "part", FUSE_F32, 1, small, &err) == FUSE_EOUTPUT);
    err = (struct fuse_error){0};
    assert_all(open_sink(&sink, comm, path, NULL, FUSE_F32, 2, beyond, &err) == FUSE_EOUTPUT);
    err = (struct fuse_error){0};
    assert_all(open_sink(&sink, comm, path, NULL, FUSE_F32, 1, huge, &err) == FUSE_EOUTPUT);
    assert_all(strstr(err.message, "no room") != NULL);
    barrier();
    assert_all(count_files() == 0);
}

static int64_t size_of(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 ? (int64_t)info.st_size : -1;
}

/* An older file stays until commit, and for good after a discard. */
static void test_older_file(void **state) {
    (void)state;
    const char *path = in_folder("older.npy");
    const int64_t extent[] = {100};
    for (int commit = 0; commit < 2; commit++) {
        struct fuse_error err = {0};
        struct fuse_sink *sink = NULL;
        if (comm->rank == 0) {
            FILE *f = fopen(path, "w");
            fputs("old", f);
            fclose(f);
        }
        barrier();
        assert_all(open_sink(&sink, comm, path, NULL, FUSE_U8, 1, extent, &err) == FUSE_OK);
        assert_all(size_of(path) == 3 && count_files() == 2);
        if (!commit) {
            fuse_sink_discard(&fuse_format_npy, sink);
        } else {
            assert_all(fuse_format_npy.sink_finish(sink, comm, &err) == FUSE_OK);
            barrier();
            assert_all(fuse_sink_commit(&fuse_format_npy, sink, &err) == FUSE_OK);
        }
        barrier();
        assert_all(count_files() == 1);
        assert_all(size_of(path) == (commit ? 228 : 3));
        barrier();
        if (comm->rank == 0)
            unlink(path);
        barrier();
    }
    fuse_sink_discard(&fuse_format_npy, NULL);
}

static void test_shapes_without_elements(void **state) {
    (void)state;
    const int64_t empty[] = {3, 0, 5};
    for (int rank = 0; rank <= 3; rank += 3) {
        struct fuse_error err = {0};
        struct fuse_sink *sink = NULL;
        const char *path = in_folder("few.npy");
        assert_all(open_sink(&sink, comm, path, NULL, FUSE_F64, rank, empty, &err) == FUSE_OK);
        struct fuse_box box = fuse_box_full(rank, empty);
        double value = 2.5;
        struct fuse_view view = fuse_box_view(&value, FUSE_F64, &box, false, &box);
        if (comm->rank == comm->size - 1)
            assert_int_equal(fuse_format_npy.sink_write(sink, 0, &box, &view, &err), FUSE_OK);
        assert_all(fuse_format_npy.sink_finish(sink, comm, &err) == FUSE_OK);
        barrier();
        assert_all(fuse_sink_commit(&fuse_format_npy, sink, &err) == FUSE_OK);
        barrier();
        assert_all(size_of(path) == 128 + (rank == 0 ? 8 : 0));
        struct fuse_probe probe;
        struct fuse_source *source;
        value = 0;
        assert_all(fuse_format_npy.probe(&probe, path, NULL, &err) == FUSE_OK);
        assert_all(probe.rank == rank);
        assert_all(fuse_format_npy.source_open(&source, path, NULL, &probe, &err) == FUSE_OK);
        assert_all(fuse_format_npy.source_read(source, &box, &view, &err) == FUSE_OK);
        assert_all(value == (rank == 0 ? 2.5 : 0));
        fuse_format_npy.source_close(source);
        barrier();
        if (comm->rank == 0)
            unlink(path);
        barrier();
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interleaved_boxes),
        cmocka_unit_test(test_large_blocks),
        cmocka_unit_test(test_bad_paths),
        cmocka_unit_test(test_one_rank_cannot_open),
        cmocka_unit_test(test_impossible_sinks),
        cmocka_unit_test(test_older_file),
        cmocka_unit_test(test_shapes_without_elements),
    };
    struct fuse_error err = {0};
    if (fuse_comm_open_mpi(&comm, &err) != FUSE_OK) {
        print_error("%s\n", err.message);
        return 1;
    }
    strcpy(folder, "npy_sink_XXXXXX");
    if (comm->rank == 0 && !mkdtemp(folder))
        folder[0] = 0;
    MPI_Bcast(folder, sizeof folder, MPI_CHAR, 0, MPI_COMM_WORLD);
    int failed = folder[0] ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
    MPI_Barrier(MPI_COMM_WORLD);
    if (comm->rank == 0)
        rmdir(folder);
    comm->ops->close(comm);
    fuse_comm_finalize_mpi();
    return failed;
}
