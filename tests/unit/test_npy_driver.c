/* Reads and writes boxes on command, for test_npy_numpy.py to compare with NumPy. One command a line:
 *   probe PATH                                   prints "ok DTYPE BIG REVERSED RANK EXTENT.." or "STATUS MESSAGE"
 *   read PATH OUT REVERSED LO.. HI..             the box's elements to OUT, C or Fortran order in memory
 *   write PATH DTYPE RANK EXTENT.. IN COUNT      COUNT boxes "LO.. HI.." follow on one line each; their elements, C order,
 *                                                follow each other in IN */
#include "io/format.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct fuse_format *const npy = &fuse_format_npy;

static bool read_numbers(int64_t *out, int count) {
    for (int i = 0; i < count; i++)
        if (scanf("%" SCNd64, &out[i]) != 1)
            return false;
    return true;
}

static bool read_box(struct fuse_box *box, int rank) {
    box->rank = rank;
    return read_numbers(box->lo, rank) && read_numbers(box->hi, rank);
}

static enum fuse_status do_probe(const char *path, struct fuse_error *err) {
    struct fuse_probe p;
    FUSE_TRY(npy->probe(&p, path, NULL, err));
    printf("ok %s %d %d %d", fuse_dtype_name(p.file_dtype), p.big_endian, p.reversed, p.rank);
    for (int a = 0; a < p.rank; a++)
        printf(" %" PRId64, p.extent[a]);
    printf("\n");
    return FUSE_OK;
}

static enum fuse_status do_read(const char *path, struct fuse_error *err) {
    char out[256];
    int reversed;
    struct fuse_probe probe;
    struct fuse_source *source;
    struct fuse_box box;
    FUSE_TRY(npy->probe(&probe, path, NULL, err));
    if (scanf("%255s %d", out, &reversed) != 2 || !read_box(&box, probe.rank))
        return fuse_fail(err, FUSE_EUSAGE, "bad command");
    FUSE_TRY(npy->source_open(&source, path, NULL, &probe, err));
    enum fuse_dtype dtype = fuse_dtype_resident(probe.file_dtype);
    size_t bytes = fuse_box_is_empty(&box) ? 0 : (size_t)fuse_box_elems(&box) * fuse_dtype_bytes(dtype);
    void *data = malloc(bytes + 1);
    struct fuse_view view = fuse_box_view(data, dtype, &box, reversed, &box);
    enum fuse_status st = npy->source_read(source, &box, &view, err);
    FILE *f = fopen(out, "wb");
    fwrite(data, 1, bytes, f);
    fclose(f);
    free(data);
    npy->source_close(source);
    if (st == FUSE_OK)
        printf("ok %s\n", fuse_dtype_name(dtype));
    return st;
}

static enum fuse_status do_write(struct fuse_comm *self, const char *path, struct fuse_error *err) {
    char name[16], in[256];
    int rank, count;
    int64_t extent[FUSE_MAX_AXES];
    enum fuse_dtype dtype;
    struct fuse_sink *sink;
    if (scanf("%15s %d", name, &rank) != 2 || !fuse_dtype_parse(&dtype, name) || !read_numbers(extent, rank) ||
        scanf("%255s %d", in, &count) != 2)
        return fuse_fail(err, FUSE_EUSAGE, "bad command");
    FUSE_TRY(npy->sink_open(&sink, self, path, NULL, dtype, rank, extent, err));
    FILE *f = fopen(in, "rb");
    enum fuse_status st = FUSE_OK;
    for (int i = 0; i < count && st == FUSE_OK; i++) {
        struct fuse_box box;
        if (!read_box(&box, rank))
            return fuse_fail(err, FUSE_EUSAGE, "bad box");
        size_t bytes = fuse_box_is_empty(&box) ? 0 : (size_t)fuse_box_elems(&box) * fuse_dtype_bytes(dtype);
        void *data = malloc(bytes + 1);
        if (fread(data, 1, bytes, f) != bytes)
            return fuse_fail(err, FUSE_EUSAGE, "short data");
        struct fuse_view view = fuse_box_view(data, dtype, &box, false, &box);
        st = npy->sink_write(sink, &box, &view, err);
        free(data);
    }
    fclose(f);
    FUSE_TRY(st);
    FUSE_TRY(npy->sink_finish(sink, err));
    FUSE_TRY(npy->sink_commit(sink, err));
    printf("ok\n");
    return FUSE_OK;
}

int main(void) {
    struct fuse_comm *self;
    struct fuse_error err = {0};
    char verb[16], path[256];
    if (fuse_comm_open_self(&self, &err) != FUSE_OK)
        return 1;
    while (scanf("%15s %255s", verb, path) == 2) {
        err = (struct fuse_error){0};
        enum fuse_status st = strcmp(verb, "probe") == 0  ? do_probe(path, &err)
                              : strcmp(verb, "read") == 0 ? do_read(path, &err)
                                                          : do_write(self, path, &err);
        if (st != FUSE_OK)
            printf("%s %s\n", fuse_status_name(st), err.message);
    }
    self->ops->close(self);
    return 0;
}
