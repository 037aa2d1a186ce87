/* Files of every format that all ranks write in pieces which interleave as finely as can be, read back whole. What would
 * make these fail: a checksum that depends on who wrote what, text at the wrong place, a cell too many, a member over another one, an
 * archive that differs from the one that a single rank writes, anything left behind by a sink that was given up. */
#include "io/format.h"
#include "tests/mpi/all_ranks.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct fuse_comm *comm;
static char folder[128];

enum { N0 = 11, N1 = 6, N2 = 5, ELEMS = N0 * N1 * N2, MEMBERS = 3 };
static const int64_t extent[] = {N0, N1, N2};

static const char *in_folder(const char *name) {
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
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

static float value_at(int member, int64_t i, int64_t j, int64_t k) {
    return (float)member + (float)(i * 1000 + j * 100 + k) / 7.0f;
}

/* Slices along `axis` go to the ranks in turn, the last ones first; axis -1: everything to rank 0. */
static enum fuse_status write_slices(const struct fuse_format *format, struct fuse_sink *sink, int member, int axis,
                                     struct fuse_error *err) {
    int64_t slices = axis < 0 ? 1 : extent[axis];
    for (int64_t at = slices - 1; at >= 0; at--) {
        if (at % comm->size != comm->rank)
            continue;
        struct fuse_box box = fuse_box_full(3, extent);
        if (axis >= 0) {
            box.lo[axis] = at;
            box.hi[axis] = at + 1;
        }
        float data[ELEMS], *to = data;
        for (int64_t i = box.lo[0]; i < box.hi[0]; i++)
            for (int64_t j = box.lo[1]; j < box.hi[1]; j++)
                for (int64_t k = box.lo[2]; k < box.hi[2]; k++)
                    *to++ = value_at(member, i, j, k);
        struct fuse_view view = fuse_box_view(data, FUSE_F32, &box, false, &box);
        FUSE_TRY(format->sink_write(sink, member, &box, &view, err));
    }
    return FUSE_OK;
}

static enum fuse_status open_sink(struct fuse_sink **sink, const struct fuse_format *format, const char *path,
                                  struct fuse_error *err) {
    struct fuse_sink_member member[MEMBERS];
    static const char *const parts[] = {"arr_0.npy", "a/b.npy", "c.npy"};
    for (int m = 0; m < MEMBERS; m++) {
        member[m] =
            (struct fuse_sink_member){.part = format->has_parts ? parts[m] : NULL, .dtype = FUSE_F32, .rank = 3};
        memcpy(member[m].extent, extent, sizeof extent);
    }
    struct fuse_sink_file want = {.path = path, .member = member, .members = format->has_parts ? MEMBERS : 1};
    return format->sink_open(sink, comm, &want, err);
}

static bool write_file(const struct fuse_format *format, const char *path, int axis) {
    struct fuse_error err = {0};
    struct fuse_sink *sink;
    if (open_sink(&sink, format, path, &err) != FUSE_OK)
        return false;
    enum fuse_status st = FUSE_OK;
    for (int m = 0; m < (format->has_parts ? MEMBERS : 1) && st == FUSE_OK; m++)
        st = write_slices(format, sink, m, axis, &err);
    st = fuse_agree(comm, st, &err);
    if (st == FUSE_OK)
        st = fuse_agree(comm, format->sink_finish(sink, comm, &err), &err);
    if (st != FUSE_OK) {
        fuse_sink_discard(format, sink);
        return false;
    }
    return fuse_sink_commit(format, sink, &err) == FUSE_OK;
}

/* Reads by boxes too: this rank's slices along an axis, the others' not at all or all of them. */
static bool reads_back(const struct fuse_format *format, const char *path, const char *part, int member, int axis) {
    struct fuse_error err = {0};
    struct fuse_probe probe;
    struct fuse_source *source;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    bool is_fine = fuse_agree(comm, format->probe(&probe, path, part, &err), &err) == FUSE_OK &&
                   (!format->scan || format->scan(&probe, arena, comm, path, part, &err) == FUSE_OK) &&
                   fuse_agree(comm, format->source_open(&source, path, part, &probe, &err), &err) == FUSE_OK;
    if (!is_fine)
        return false;
    for (int64_t at = 0; at < (axis < 0 ? 1 : extent[axis]); at++) {
        struct fuse_box box = fuse_box_full(3, extent);
        if (axis >= 0 && at % comm->size != comm->rank)
            continue;
        if (axis >= 0) {
            box.lo[axis] = at;
            box.hi[axis] = at + 1;
        }
        float data[ELEMS], *from = data;
        struct fuse_view view = fuse_box_view(data, FUSE_F32, &box, false, &box);
        is_fine = is_fine && format->source_read(source, &box, &view, &err) == FUSE_OK;
        for (int64_t i = box.lo[0]; i < box.hi[0]; i++)
            for (int64_t j = box.lo[1]; j < box.hi[1]; j++)
                for (int64_t k = box.lo[2]; k < box.hi[2]; k++)
                    is_fine = is_fine && *from++ == value_at(member, i, j, k);
    }
    if (format->source_finish)
        is_fine &= format->source_finish(source, comm, &err) == FUSE_OK;
    format->source_close(source);
    fuse_arena_close(arena);
    return is_fine;
}

static bool are_equal(const char *one, const char *other) {
    FILE *a = fopen(one, "rb"), *b = fopen(other, "rb");
    bool is_equal = a && b;
    for (int c = 0; is_equal && c != EOF;)
        is_equal = (c = fgetc(a)) == fgetc(b);
    if (a)
        fclose(a);
    if (b)
        fclose(b);
    return is_equal;
}

static void test_interleaved(void **unused) {
    (void)unused;
    static const char *const parts[] = {NULL, "a/b", "c.npy"};
    const struct fuse_format *const formats[] = {&fuse_format_npy, &fuse_format_npz, &fuse_format_json};
    for (int f = 0; f < 3; f++) {
        const struct fuse_format *format = formats[f];
        char path[256], alone[256];
        snprintf(path, sizeof path, "%s/all%s", folder, format->suffixes[0]);
        snprintf(alone, sizeof alone, "%s/alone%s", folder, format->suffixes[0]);
        assert_all(write_file(format, alone, -1));
        for (int axis = 0; axis < 3; axis++) {
            assert_all(write_file(format, path, axis));
            MPI_Barrier(MPI_COMM_WORLD);
            assert_all(are_equal(path, alone));
            for (int m = 0; m < (format->has_parts ? MEMBERS : 1); m++)
                for (int by = -1; by < 3; by++)
                    assert_all(reads_back(format, path, parts[m], m, by));
            MPI_Barrier(MPI_COMM_WORLD);
        }
        if (comm->rank == 0) {
            unlink(path);
            unlink(alone);
        }
        MPI_Barrier(MPI_COMM_WORLD);
        assert_all(count_files() == 0);
    }
}

/* The cells that are not 0, in order: the one at 0, 0, 0 is. */
static bool are_rows_right(const char *path) {
    FILE *file = fopen(path, "r");
    bool is_fine = file != NULL;
    for (int64_t n = 1; n < ELEMS && is_fine; n++) {
        int64_t i = n / (N1 * N2), j = n / N2 % N1, k = n % N2;
        char ids[64];
        float value;
        snprintf(ids, sizeof ids, "%d\t%d\t%d\t", (int)i, (int)j, (int)k);
        for (const char *c = ids; *c && is_fine; c++)
            is_fine = fgetc(file) == *c;
        is_fine = is_fine && fscanf(file, "%f", &value) == 1 && value == value_at(0, i, j, k) && fgetc(file) == '\n';
    }
    is_fine = is_fine && fgetc(file) == EOF;
    if (file)
        fclose(file);
    return is_fine;
}

static void test_rows(void **unused) {
    (void)unused;
    const char *path = in_folder("x.tsv");
    for (int axis = -1; axis < 3; axis++) {
        assert_all(write_file(&fuse_format_tsv, path, axis));
        MPI_Barrier(MPI_COMM_WORLD);
        assert_all(are_rows_right(path));
        MPI_Barrier(MPI_COMM_WORLD);
    }
    if (comm->rank == 0)
        unlink(path);
    MPI_Barrier(MPI_COMM_WORLD);
    assert_all(count_files() == 0);
}

/* A sink of which a slice is missing is not finished; and one that is given up leaves nothing. */
static void test_incomplete(void **unused) {
    (void)unused;
    const struct fuse_format *const formats[] = {&fuse_format_npz, &fuse_format_json, &fuse_format_tsv};
    for (int f = 0; f < 3; f++) {
        struct fuse_error err = {0};
        struct fuse_sink *sink;
        const char *path = in_folder(f == 0 ? "x.npz" : f == 1 ? "x.json" : "x.csv");
        assert_all(open_sink(&sink, formats[f], path, &err) == FUSE_OK);
        struct fuse_box box = fuse_box_full(3, extent);
        box.lo[0] = 1;
        float data[ELEMS] = {0};
        struct fuse_view view = fuse_box_view(data, FUSE_F32, &box, false, &box);
        if (comm->rank == comm->size - 1)
            assert_int_equal(formats[f]->sink_write(sink, 0, &box, &view, &err), FUSE_OK);
        assert_all(fuse_agree(comm, formats[f]->sink_finish(sink, comm, &err), &err) == FUSE_EBUG);
        fuse_sink_discard(formats[f], sink);
        MPI_Barrier(MPI_COMM_WORLD);
        assert_all(count_files() == 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interleaved),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_incomplete),
    };
    struct fuse_error err = {0};
    if (fuse_comm_open_mpi(&comm, &err) != FUSE_OK) {
        print_error("%s\n", err.message);
        return 1;
    }
    strcpy(folder, "format_sinks_XXXXXX");
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
