/* Boxes of npy files to and from memory. The oracle is an index loop over the whole array. What would make these fail: an
 * element read from or written to the wrong place, a write beside the box, a short transfer taken for a whole one. */
#include "io/format.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- transfers that misbehave (linked with --wrap) ---- */

ssize_t __real_pread(int fd, void *to, size_t bytes, off_t offset);
ssize_t __real_pwrite(int fd, const void *from, size_t bytes, off_t offset);
ssize_t __wrap_pread(int fd, void *to, size_t bytes, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *from, size_t bytes, off_t offset);

static int calls;      /* of either since the last reset */
static int fail_at;    /* this call fails with EIO; 0: none */
static bool hesitates; /* every second call is interrupted, the others move at most 7 bytes */

/* A sink of one member. */
static enum fuse_status open_sink(struct fuse_sink **sink, struct fuse_comm *on, const char *path, const char *part,
                                  enum fuse_dtype dtype, int rank, const int64_t *extent, struct fuse_error *err) {
    struct fuse_sink_member member = {.part = part, .dtype = dtype, .rank = rank};
    memcpy(member.extent, extent, (size_t)rank * sizeof *extent);
    struct fuse_sink_file want = {.path = path, .member = &member, .members = 1};
    return fuse_format_npy.sink_open(sink, on, &want, err);
}

static bool misbehave(size_t *bytes) {
    calls++;
    if (calls == fail_at) {
        errno = EIO;
        return true;
    }
    if (!hesitates)
        return false;
    if (calls % 2) {
        errno = EINTR;
        return true;
    }
    *bytes = *bytes < 7 ? *bytes : 7;
    return false;
}

ssize_t __wrap_pread(int fd, void *to, size_t bytes, off_t offset) {
    return misbehave(&bytes) ? -1 : __real_pread(fd, to, bytes, offset);
}

ssize_t __wrap_pwrite(int fd, const void *from, size_t bytes, off_t offset) {
    return misbehave(&bytes) ? -1 : __real_pwrite(fd, from, bytes, offset);
}

/* ---- a file and what it holds ---- */

static const char *const path = "test_npy_boxes.npy";
static const struct fuse_format *const npy = &fuse_format_npy;

static uint64_t seed = 1;
static int64_t random_below(int64_t n) {
    seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return (int64_t)((seed >> 33) % (uint64_t)n);
}

static void write_file(const char *descr, bool reversed, int rank, const int64_t *extent, const void *data,
                       size_t bytes) {
    char text[512];
    int n = snprintf(text, sizeof text, "{'descr': '%s', 'fortran_order': %s, 'shape': (", descr,
                     reversed ? "True" : "False");
    for (int a = 0; a < rank; a++)
        n += snprintf(text + n, sizeof text - (size_t)n, "%lld,", (long long)extent[a]);
    n += snprintf(text + n, sizeof text - (size_t)n, ")}\n");
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fwrite("\x93NUMPY\x01\x00", 1, 8, f);
    fputc(n & 255, f);
    fputc(n >> 8, f);
    fwrite(text, 1, (size_t)n, f);
    fwrite(data, 1, bytes, f);
    assert_int_equal(fclose(f), 0);
}

static struct fuse_source *open_file(struct fuse_probe *probe) {
    struct fuse_error err = {0};
    struct fuse_source *source = NULL;
    if (npy->probe(probe, path, NULL, &err) != FUSE_OK || npy->source_open(&source, path, NULL, probe, &err) != FUSE_OK)
        fail_msg("%s", err.message);
    return source;
}

/* Position of element x in the file. */
static int64_t position(int rank, const int64_t *extent, bool reversed, const int64_t *x) {
    int64_t at = 0;
    for (int i = 0; i < rank; i++) {
        int a = reversed ? rank - 1 - i : i;
        at = at * extent[a] + x[a];
    }
    return at;
}

static struct fuse_box random_box(int rank, const int64_t *extent) {
    struct fuse_box box = {.rank = rank};
    for (int a = 0; a < rank; a++) {
        box.lo[a] = random_below(extent[a]);
        box.hi[a] = box.lo[a] + 1 + random_below(extent[a] - box.lo[a]);
        if (random_below(3) == 0) {
            box.lo[a] = 0;
            box.hi[a] = extent[a];
        }
    }
    return box;
}

/* A view of the box in `memory` with a random order of axes, padding between rows, and negative strides; returns the
 * number of elements that it spans. */
static int64_t random_view(struct fuse_view *view, void *memory, enum fuse_dtype dtype, const struct fuse_box *box) {
    int order[FUSE_MAX_AXES];
    for (int a = 0; a < box->rank; a++)
        order[a] = a;
    if (random_below(2))
        for (int a = box->rank - 1; a > 0; a--) {
            int b = (int)random_below(a + 1), old = order[a];
            order[a] = order[b];
            order[b] = old;
        }
    *view = (struct fuse_view){.dtype = dtype, .rank = box->rank};
    int64_t stride = random_below(4) ? 1 : 2, first = 0;
    for (int i = box->rank - 1; i >= 0; i--) {
        int a = order[i];
        view->extent[a] = box->hi[a] - box->lo[a];
        view->stride[a] = stride;
        stride = stride * view->extent[a] + (random_below(4) ? 0 : random_below(3));
        if (random_below(5) == 0) {
            view->stride[a] = -view->stride[a];
            first -= (view->extent[a] - 1) * view->stride[a];
        }
    }
    view->data = (char *)memory + first * (int64_t)fuse_dtype_bytes(dtype);
    return stride;
}

/* Calls visit for every element of the box. */
static bool next_element(const struct fuse_box *box, int64_t *x) {
    for (int a = box->rank - 1; a >= 0; a--) {
        if (++x[a] < box->hi[a])
            return true;
        x[a] = box->lo[a];
    }
    return false;
}

static int64_t view_offset(const struct fuse_view *view, const struct fuse_box *box, const int64_t *x) {
    int64_t at = 0;
    for (int a = 0; a < box->rank; a++)
        at += (x[a] - box->lo[a]) * view->stride[a];
    return at;
}

static const struct {
    int rank;
    int64_t extent[6];
} shapes[] = {{0, {0}},
              {1, {1}},
              {1, {1000}},
              {2, {37, 53}},
              {2, {3, 5000}},
              {2, {700, 3}},
              {3, {20, 30, 40}},
              {3, {1, 900, 1}},
              {4, {5, 7, 1, 90}},
              {5, {4, 3, 5, 2, 6}},
              {6, {3, 1, 4, 2, 5, 3}},
              {2, {2, 200000}}};
enum { SHAPES = sizeof shapes / sizeof *shapes, TURNS = 60 };

static int64_t elems_of(int shape) {
    int64_t n = 1;
    for (int a = 0; a < shapes[shape].rank; a++)
        n *= shapes[shape].extent[a];
    return n;
}

/* Element number i holds i + 1; what the box does not own in memory must stay -1. */
static void test_read_boxes(void **state) {
    (void)state;
    for (int s = 0; s < SHAPES; s++) {
        int rank = shapes[s].rank;
        const int64_t *extent = shapes[s].extent;
        int64_t elems = elems_of(s);
        for (int kind = 0; kind < 6; kind++) { /* i4, >i4, u2 (converted), in both orders */
            bool reversed = kind % 2, big = kind / 2 == 1, narrow = kind / 2 == 2;
            size_t bytes = narrow ? 2 : 4;
            char *data = malloc((size_t)elems * bytes);
            for (int64_t i = 0; i < elems; i++) {
                uint32_t v = (uint32_t)(i + 1);
                uint16_t half = (uint16_t)v;
                v = big ? __builtin_bswap32(v) : v;
                memcpy(data + (size_t)i * bytes, narrow ? (void *)&half : (void *)&v, bytes);
            }
            write_file(narrow ? "<u2" : big ? ">i4" : "<i4", reversed, rank, extent, data, (size_t)elems * bytes);
            free(data);
            struct fuse_probe probe;
            struct fuse_source *source = open_file(&probe);
            int32_t *memory = malloc((size_t)(6 * elems + 100) * sizeof *memory);
            for (int turn = 0; turn < TURNS; turn++) {
                struct fuse_box box = random_box(rank, extent);
                struct fuse_view view;
                struct fuse_error err = {0};
                int64_t span = random_view(&view, memory + 1, FUSE_I32, &box);
                if (span > 6 * elems + 90)
                    continue;
                for (int64_t i = 0; i < span + 2; i++)
                    memory[i] = -1;
                if (npy->source_read(source, &box, &view, &err) != FUSE_OK)
                    fail_msg("%s", err.message);
                int64_t x[FUSE_MAX_AXES];
                memcpy(x, box.lo, sizeof x);
                do {
                    int64_t want = position(rank, extent, reversed, x) + 1;
                    int32_t *at = (int32_t *)view.data + view_offset(&view, &box, x);
                    if (*at != (narrow ? (uint16_t)want : want))
                        fail_msg("shape %d kind %d turn %d: %d for %lld", s, kind, turn, *at, (long long)want);
                    *at = -1;
                } while (next_element(&box, x));
                for (int64_t i = 0; i < span + 2; i++)
                    assert_int_equal(memory[i], -1);
            }
            free(memory);
            npy->source_close(source);
        }
    }
    unlink(path);
}

static struct fuse_comm *self;

static void test_write_boxes(void **state) {
    (void)state;
    for (int s = 0; s < SHAPES; s++) {
        int rank = shapes[s].rank;
        const int64_t *extent = shapes[s].extent;
        int64_t elems = elems_of(s);
        uint16_t *want = calloc((size_t)elems, sizeof *want),
                 *memory = malloc((size_t)(6 * elems + 100) * sizeof *memory);
        struct fuse_error err = {0};
        struct fuse_sink *sink;
        assert_int_equal(open_sink(&sink, self, path, NULL, FUSE_U16, rank, extent, &err), FUSE_OK);
        for (int turn = 0; turn < TURNS; turn++) {
            struct fuse_box box = random_box(rank, extent);
            struct fuse_view view;
            int64_t span = random_view(&view, memory, FUSE_U16, &box);
            if (span > 6 * elems + 90)
                continue;
            for (int64_t i = 0; i < span; i++)
                memory[i] = (uint16_t)random_below(65536);
            assert_int_equal(npy->sink_write(sink, 0, &box, &view, &err), FUSE_OK);
            int64_t x[FUSE_MAX_AXES];
            memcpy(x, box.lo, sizeof x);
            do
                want[position(rank, extent, false, x)] = ((uint16_t *)view.data)[view_offset(&view, &box, x)];
            while (next_element(&box, x));
        }
        assert_int_equal(npy->sink_finish(sink, self, &err), FUSE_OK);
        assert_int_equal(fuse_sink_commit(npy, sink, &err), FUSE_OK);
        FILE *f = fopen(path, "rb");
        uint16_t *got = malloc((size_t)elems * sizeof *got);
        assert_int_equal(fseek(f, -(long)(elems * 2), SEEK_END), 0);
        assert_int_equal(ftell(f) % 64, 0);
        assert_int_equal(fread(got, 2, (size_t)elems, f), elems);
        fclose(f);
        assert_memory_equal(got, want, (size_t)elems * 2);
        free(got);
        free(want);
        free(memory);
    }
    unlink(path);
}

/* A value that is the same along an axis (stride 0) can be written without being spread in memory first. */
static void test_write_broadcast_view(void **state) {
    (void)state;
    const int64_t extent[] = {50, 60};
    struct fuse_box box = fuse_box_full(2, extent);
    int32_t row[60], got[3000];
    for (int i = 0; i < 60; i++)
        row[i] = i;
    struct fuse_view view = {.data = row, .dtype = FUSE_I32, .rank = 2, .extent = {50, 60}, .stride = {0, 1}};
    struct fuse_error err = {0};
    struct fuse_sink *sink;
    assert_int_equal(open_sink(&sink, self, path, NULL, FUSE_I32, 2, extent, &err), FUSE_OK);
    assert_int_equal(npy->sink_write(sink, 0, &box, &view, &err), FUSE_OK);
    assert_int_equal(npy->sink_finish(sink, self, &err), FUSE_OK);
    assert_int_equal(fuse_sink_commit(npy, sink, &err), FUSE_OK);
    struct fuse_probe probe;
    struct fuse_source *source = open_file(&probe);
    struct fuse_view back = fuse_box_view(got, FUSE_I32, &box, false, &box);
    assert_int_equal(npy->source_read(source, &box, &back, &err), FUSE_OK);
    for (int i = 0; i < 3000; i++)
        assert_int_equal(got[i], i % 60);
    npy->source_close(source);
    unlink(path);
}

/* Booleans of a hostile file become 0 or 1, on the direct path and through the buffer. */
static void test_bools_are_normalised(void **state) {
    (void)state;
    const int64_t extent[] = {2, 100000};
    unsigned char *data = malloc(200000), *got = malloc(200000);
    for (int i = 0; i < 200000; i++)
        data[i] = (unsigned char)(i % 256);
    write_file("|b1", false, 2, extent, data, 200000);
    struct fuse_probe probe;
    struct fuse_error err = {0};
    struct fuse_source *source = open_file(&probe);
    struct fuse_box box = fuse_box_full(2, extent);
    for (int reversed = 0; reversed < 2; reversed++) {
        struct fuse_view view = fuse_box_view(got, FUSE_BOOL, &box, reversed, &box);
        assert_int_equal(npy->source_read(source, &box, &view, &err), FUSE_OK);
        for (int i = 0; i < 200000; i++)
            assert_int_equal(got[i / 100000 * view.stride[0] + i % 100000 * view.stride[1]], data[i] != 0);
    }
    npy->source_close(source);
    free(data);
    free(got);
    unlink(path);
}

static void test_unsigned_beyond_i64(void **state) {
    (void)state;
    const int64_t extent[] = {3};
    uint64_t data[] = {1, INT64_MAX, (uint64_t)INT64_MAX + 1};
    int64_t got[3];
    write_file("<u8", false, 1, extent, data, sizeof data);
    struct fuse_probe probe;
    struct fuse_error err = {0};
    struct fuse_source *source = open_file(&probe);
    struct fuse_box box = {.rank = 1, .hi = {2}};
    struct fuse_view view = fuse_box_view(got, FUSE_I64, &box, false, &box);
    assert_int_equal(npy->source_read(source, &box, &view, &err), FUSE_OK);
    assert_true(got[0] == 1 && got[1] == INT64_MAX);
    box.hi[0] = 3;
    view = fuse_box_view(got, FUSE_I64, &box, false, &box);
    assert_int_equal(npy->source_read(source, &box, &view, &err), FUSE_EINPUT);
    npy->source_close(source);
    unlink(path);
}

/* A sparse file of 3 GiB: offsets beyond 2^31 and 2^32 bits. */
static void test_large_offsets(void **state) {
    (void)state;
    const int64_t extent[] = {3, (int64_t)1 << 30};
    write_file("|u1", false, 2, extent, "", 0);
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    int64_t header = info.st_size, total = header + 3 * extent[1];
    int fd = open(path, O_RDWR);
    assert_int_equal(ftruncate(fd, (off_t)total), 0);
    assert_int_equal(pwrite(fd, "\x2a\x2b", 2, (off_t)(total - 2)), 2);
    assert_int_equal(pwrite(fd, "\x07", 1, (off_t)(header + 2 * extent[1])), 1);
    close(fd);
    struct fuse_probe probe;
    struct fuse_error err = {0};
    struct fuse_source *source = open_file(&probe);
    struct fuse_box box = {.rank = 2, .lo = {2, extent[1] - 5}, .hi = {3, extent[1]}};
    unsigned char got[5] = {0};
    struct fuse_view view = fuse_box_view(got, FUSE_U8, &box, false, &box);
    assert_int_equal(npy->source_read(source, &box, &view, &err), FUSE_OK);
    assert_memory_equal(got, "\0\0\0\x2a\x2b", 5);
    box = (struct fuse_box){.rank = 2, .lo = {0, 0}, .hi = {3, 1}};
    view = fuse_box_view(got, FUSE_U8, &box, false, &box);
    assert_int_equal(npy->source_read(source, &box, &view, &err), FUSE_OK);
    assert_memory_equal(got, "\0\0\x07", 3);
    npy->source_close(source);
    unlink(path);
}

static struct fuse_source *open_small(struct fuse_box *box, struct fuse_view *view, int32_t *memory, bool strided) {
    const int64_t extent[] = {8, 16};
    int32_t data[128];
    for (int i = 0; i < 128; i++)
        data[i] = i;
    write_file("<i4", false, 2, extent, data, sizeof data);
    struct fuse_probe probe;
    struct fuse_source *source = open_file(&probe);
    *box = fuse_box_full(2, extent);
    *view = fuse_box_view(memory, FUSE_I32, box, strided, box);
    return source;
}

static void test_short_and_interrupted(void **state) {
    (void)state;
    for (int strided = 0; strided < 2; strided++) {
        struct fuse_box box;
        struct fuse_view view;
        struct fuse_error err = {0};
        int32_t memory[128];
        struct fuse_sink *sink;
        struct fuse_source *source = open_small(&box, &view, memory, strided);
        calls = 0;
        hesitates = true;
        assert_int_equal(npy->source_read(source, &box, &view, &err), FUSE_OK);
        assert_true(calls > 128);
        assert_int_equal(open_sink(&sink, self, path, NULL, FUSE_I32, 2, box.hi, &err), FUSE_OK);
        assert_int_equal(npy->sink_write(sink, 0, &box, &view, &err), FUSE_OK);
        hesitates = false;
        npy->source_close(source);
        assert_int_equal(npy->sink_finish(sink, self, &err), FUSE_OK);
        assert_int_equal(fuse_sink_commit(npy, sink, &err), FUSE_OK);
        struct fuse_probe probe;
        source = open_file(&probe);
        memset(memory, 0, sizeof memory);
        assert_int_equal(npy->source_read(source, &box, &view, &err), FUSE_OK);
        for (int i = 0; i < 128; i++)
            assert_int_equal(memory[i / 16 * view.stride[0] + i % 16 * view.stride[1]], i);
        npy->source_close(source);
    }
    unlink(path);
}

static void test_failing_transfers(void **state) {
    (void)state;
    struct fuse_box box;
    struct fuse_view view;
    struct fuse_error err = {0};
    int32_t memory[128];
    struct fuse_source *source = open_small(&box, &view, memory, false);
    calls = 0;
    fail_at = 1;
    assert_int_equal(npy->source_read(source, &box, &view, &err), FUSE_EIO);
    assert_non_null(strstr(err.message, strerror(EIO)));
    fail_at = 0;
    /* The file shrinks under the reader. */
    err = (struct fuse_error){0};
    assert_int_equal(truncate(path, 200), 0);
    assert_int_equal(npy->source_read(source, &box, &view, &err), FUSE_EIO);
    assert_non_null(strstr(err.message, "became shorter"));
    npy->source_close(source);

    struct fuse_sink *sink;
    err = (struct fuse_error){0};
    assert_int_equal(open_sink(&sink, self, path, NULL, FUSE_I32, 2, box.hi, &err), FUSE_OK);
    calls = 0;
    fail_at = 1;
    assert_int_equal(npy->sink_write(sink, 0, &box, &view, &err), FUSE_EIO);
    fail_at = 0;
    fuse_sink_discard(npy, sink);

    /* The header cannot be written. */
    err = (struct fuse_error){0};
    calls = 0;
    fail_at = 1;
    assert_int_equal(open_sink(&sink, self, path, NULL, FUSE_I32, 2, box.hi, &err), FUSE_EIO);
    fail_at = 0;
    unlink(path);
}

static void expect_refused(const char *what, const char *part, const char *says) {
    struct fuse_probe probe;
    struct fuse_error err = {0};
    assert_int_equal(npy->probe(&probe, what, part, &err), FUSE_EINPUT);
    if (!strstr(err.message, says))
        fail_msg("%s", err.message);
}

static void test_refused_paths(void **state) {
    (void)state;
    const int64_t extent[] = {1};
    expect_refused("no_such_file.npy", NULL, "No such file");
    expect_refused("/dev/null", NULL, "not a regular file");
    expect_refused(".", NULL, "is a folder");
    assert_int_equal(mkfifo("test_npy_fifo.npy", 0600), 0);
    expect_refused("test_npy_fifo.npy", NULL, "not a regular file");
    unlink("test_npy_fifo.npy");
    write_file("|u1", false, 1, extent, "x", 1);
    expect_refused(path, "member", "no part 'member'");
    expect_refused("test_npy_boxes.npy/x.npy", NULL, "Not a directory");
    assert_int_equal(truncate(path, 0), 0);
    expect_refused(path, NULL, "not an npy file");
    unlink(path);
}

/* A header longer than the first read: padding is legal. */
static void test_long_header(void **state) {
    (void)state;
    static char file[60000];
    memset(file, ' ', sizeof file);
    const char *dict = "{'descr': '|i1', 'fortran_order': False, 'shape': (2,)}";
    memcpy(file, "\x93NUMPY\x01\x00", 8);
    size_t header = sizeof file - 2 - 10;
    file[8] = (char)(header & 255);
    file[9] = (char)(header >> 8);
    memcpy(file + 30000, dict, strlen(dict));
    file[sizeof file - 2] = 5;
    file[sizeof file - 1] = 6;
    FILE *f = fopen(path, "wb");
    fwrite(file, 1, sizeof file, f);
    fclose(f);
    struct fuse_probe probe;
    struct fuse_error err = {0};
    struct fuse_source *source = open_file(&probe);
    struct fuse_box box = fuse_box_full(1, probe.extent);
    signed char got[2];
    struct fuse_view view = fuse_box_view(got, FUSE_I8, &box, false, &box);
    assert_int_equal(npy->source_read(source, &box, &view, &err), FUSE_OK);
    assert_true(got[0] == 5 && got[1] == 6);
    npy->source_close(source);
    unlink(path);
}

static void test_changed_since_probe(void **state) {
    (void)state;
    const int64_t extent[] = {4}, other[] = {2, 2};
    struct fuse_probe probe;
    struct fuse_source *source = NULL;
    struct fuse_error err = {0};
    write_file("<i4", false, 1, extent, "0123456789abcdef", 16);
    assert_int_equal(npy->probe(&probe, path, NULL, &err), FUSE_OK);
    write_file("<i4", false, 2, other, "0123456789abcdef", 16);
    assert_int_equal(npy->source_open(&source, path, NULL, &probe, &err), FUSE_EINPUT);
    assert_non_null(strstr(err.message, "changed after"));
    err = (struct fuse_error){0};
    write_file("<u4", false, 1, extent, "0123456789abcdef", 16);
    assert_int_equal(npy->source_open(&source, path, NULL, &probe, &err), FUSE_EINPUT);
    err = (struct fuse_error){0};
    unlink(path);
    assert_int_equal(npy->source_open(&source, path, NULL, &probe, &err), FUSE_EINPUT);
    npy->source_close(NULL);
}

static void test_misuse_is_a_bug(void **state) {
    (void)state;
    struct fuse_box box, outside;
    struct fuse_view view, wrong;
    int32_t memory[128];
    struct fuse_error err = {0};
    struct fuse_source *source = open_small(&box, &view, memory, false);
    outside = box;
    outside.hi[0] = 9;
    assert_int_equal(npy->source_read(source, &outside, &view, &err), FUSE_EBUG);
    err = (struct fuse_error){0};
    wrong = view;
    wrong.dtype = FUSE_F32;
    assert_int_equal(npy->source_read(source, &box, &wrong, &err), FUSE_EBUG);
    err = (struct fuse_error){0};
    wrong = view;
    wrong.extent[1] = 15;
    assert_int_equal(npy->source_read(source, &box, &wrong, &err), FUSE_EBUG);
    npy->source_close(source);
    unlink(path);
}

/* Runs are gathered: a column range of a matrix takes few reads, and far-apart elements are not read over. */
static void test_number_of_reads(void **state) {
    (void)state;
    const int64_t extent[] = {1000, 1000};
    int32_t *data = calloc(1000000, sizeof *data);
    write_file("<i4", false, 2, extent, data, 4000000);
    struct fuse_probe probe;
    struct fuse_error err = {0};
    struct fuse_source *source = open_file(&probe);
    static const struct {
        int64_t lo[2], hi[2];
        int most;
    } cases[] = {
        {{0, 0}, {1000, 1000}, 1}, {{0, 100}, {1000, 600}, 4}, {{10, 0}, {20, 1000}, 1}, {{0, 3}, {1000, 4}, 4}};
    for (int i = 0; i < 4; i++) {
        struct fuse_box box = {.rank = 2};
        memcpy(box.lo, cases[i].lo, sizeof cases[i].lo);
        memcpy(box.hi, cases[i].hi, sizeof cases[i].hi);
        struct fuse_view view = fuse_box_view(data, FUSE_I32, &box, false, &box);
        calls = 0;
        assert_int_equal(npy->source_read(source, &box, &view, &err), FUSE_OK);
        assert_in_range(calls, 1, cases[i].most);
    }
    npy->source_close(source);
    free(data);
    unlink(path);
}

static void test_find_format(void **state) {
    (void)state;
    assert_ptr_equal(fuse_format_find("a/b.npy"), npy);
    assert_ptr_equal(fuse_format_find("B.NPY"), npy);
    assert_null(fuse_format_find("b.npy.gz"));
    assert_null(fuse_format_find("npy"));
    assert_null(fuse_format_find(""));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_boxes),
        cmocka_unit_test(test_write_boxes),
        cmocka_unit_test(test_write_broadcast_view),
        cmocka_unit_test(test_bools_are_normalised),
        cmocka_unit_test(test_unsigned_beyond_i64),
        cmocka_unit_test(test_large_offsets),
        cmocka_unit_test(test_short_and_interrupted),
        cmocka_unit_test(test_failing_transfers),
        cmocka_unit_test(test_refused_paths),
        cmocka_unit_test(test_long_header),
        cmocka_unit_test(test_changed_since_probe),
        cmocka_unit_test(test_misuse_is_a_bug),
        cmocka_unit_test(test_number_of_reads),
        cmocka_unit_test(test_find_format),
    };
    struct fuse_error err = {0};
    if (fuse_comm_open_self(&self, &err) != FUSE_OK)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    self->ops->close(self);
    return failed;
}
