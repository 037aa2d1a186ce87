/* Reads and writes boxes of files of every format on command, for Python to compare with NumPy. PATH may end in ":PART".
 * One command a line:
 *   probe PATH                                   prints "ok DTYPE BIG REVERSED RANK EXTENT.." or "STATUS MESSAGE"
 *   read PATH OUT REVERSED LO.. HI..             the box's elements to OUT, C or Fortran order in memory
 *   all PATH OUT                                 probes, reads everything in C order, checks the end; prints as probe does
 *   rows PATH OUT SHARES VALUES                  reads a file of rows, share by share, with a column of values or without:
 *                                                a line of numbers (f64 as its bits) a row to OUT; prints the tally
 *   write PATH DTYPE RANK EXTENT.. IN COUNT      COUNT boxes "LO.. HI.." follow on one line each; their elements, C order,
 *                                                follow each other in IN
 *   storage - GZIP AXES CHUNK..                   how files written from now on store their arrays */
#include "io/format.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of the command's path: its format, and the part behind the suffix. */
static const struct fuse_format *format;
static const char *part;

static bool split_path(char *path) {
    char *colon = strrchr(path, ':');
    part = colon ? colon + 1 : NULL;
    if (colon)
        *colon = 0;
    format = fuse_format_find(path);
    return format != NULL;
}

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

static struct fuse_arena *arena;
enum { MOST_ELEMS = 1 << 26 }; /* of a file that is read as a whole */
static struct fuse_sink_storage storage;

static enum fuse_status do_storage(struct fuse_error *err) {
    int axes;
    storage = (struct fuse_sink_storage){.gzip = 0};
    if (scanf("%d %d", &storage.gzip, &axes) != 2 || !read_numbers(storage.chunk, axes))
        return fuse_fail(err, FUSE_EUSAGE, "bad command");
    printf("ok\n");
    return FUSE_OK;
}

static enum fuse_status probe_path(struct fuse_probe *out, struct fuse_comm *self, const char *path,
                                   struct fuse_error *err) {
    FUSE_TRY(format->probe(out, path, part, err));
    return format->scan ? format->scan(out, arena, self, path, part, err) : FUSE_OK;
}

static void print_probe(const struct fuse_probe *p) {
    printf("ok %s %d %d %d", fuse_dtype_name(p->file_dtype), p->big_endian, p->reversed, p->rank);
    for (int a = 0; a < p->rank; a++)
        printf(" %" PRId64, p->extent[a]);
    printf("\n");
}

static enum fuse_status do_probe(struct fuse_comm *self, const char *path, struct fuse_error *err) {
    struct fuse_probe p;
    FUSE_TRY(probe_path(&p, self, path, err));
    print_probe(&p);
    return FUSE_OK;
}

static enum fuse_status read_all(const struct fuse_probe *probe, struct fuse_comm *self, const char *path,
                                 const char *out, struct fuse_error *err) {
    struct fuse_source *source;
    struct fuse_box box = fuse_box_full(probe->rank, probe->extent);
    enum fuse_dtype dtype = fuse_dtype_resident(probe->file_dtype);
    if (!fuse_box_is_empty(&box) && fuse_box_elems(&box) > MOST_ELEMS)
        return fuse_fail(err, FUSE_EMEMORY, "too large for a test");
    FUSE_TRY(format->source_open(&source, path, part, probe, err));
    size_t bytes = fuse_box_is_empty(&box) ? 0 : (size_t)fuse_box_elems(&box) * fuse_dtype_bytes(dtype);
    char *data = malloc(bytes + 1);
    struct fuse_view view = fuse_box_view(data, dtype, &box, false, &box);
    enum fuse_status st = format->source_read(source, &box, &view, err);
    if (st == FUSE_OK && format->source_finish)
        st = format->source_finish(source, self, err);
    FILE *f = fopen(out, "wb");
    fwrite(data, 1, bytes, f);
    fclose(f);
    free(data);
    format->source_close(source);
    return st;
}

static enum fuse_status do_all(struct fuse_comm *self, const char *path, struct fuse_error *err) {
    char out[256];
    struct fuse_probe probe;
    if (scanf("%255s", out) != 1)
        return fuse_fail(err, FUSE_EUSAGE, "bad command");
    FUSE_TRY(probe_path(&probe, self, path, err));
    FUSE_TRY(read_all(&probe, self, path, out, err));
    print_probe(&probe);
    return FUSE_OK;
}

static enum fuse_status do_read(struct fuse_comm *self, const char *path, struct fuse_error *err) {
    char out[256];
    int reversed;
    struct fuse_probe probe;
    struct fuse_source *source;
    struct fuse_box box;
    FUSE_TRY(probe_path(&probe, self, path, err));
    if (scanf("%255s %d", out, &reversed) != 2 || !read_box(&box, probe.rank))
        return fuse_fail(err, FUSE_EUSAGE, "bad command");
    FUSE_TRY(format->source_open(&source, path, part, &probe, err));
    enum fuse_dtype dtype = fuse_dtype_resident(probe.file_dtype);
    size_t bytes = fuse_box_is_empty(&box) ? 0 : (size_t)fuse_box_elems(&box) * fuse_dtype_bytes(dtype);
    void *data = malloc(bytes + 1);
    struct fuse_view view = fuse_box_view(data, dtype, &box, reversed, &box);
    enum fuse_status st = format->source_read(source, &box, &view, err);
    FILE *f = fopen(out, "wb");
    fwrite(data, 1, bytes, f);
    fclose(f);
    free(data);
    if (st == FUSE_OK && format->source_finish)
        st = format->source_finish(source, self, err);
    format->source_close(source);
    if (st == FUSE_OK)
        printf("ok %s\n", fuse_dtype_name(dtype));
    return st;
}

/* A few rows at a time, so that shares end within a piece. */
static enum fuse_status read_share(const struct fuse_probe *probe, const char *path, FILE *to, bool has_value,
                                   int share, int shares, struct fuse_error *err) {
    enum { PIECE = 7 };
    int64_t id[FUSE_MAX_AXES][PIECE];
    double value[PIECE];
    struct fuse_row_source *source;
    struct fuse_rows rows = {.columns = probe->tally->columns - has_value, .most = PIECE};
    rows.value = has_value ? value : NULL;
    for (int c = 0; c < FUSE_MAX_AXES; c++)
        rows.id[c] = id[c];
    FUSE_TRY(format->rows_open(&source, path, part, probe, has_value, share, shares, err));
    enum fuse_status st = format->rows_next(source, &rows, err);
    while (st == FUSE_OK && rows.n > 0) {
        for (int64_t r = 0; r < rows.n; r++) {
            for (int c = 0; c < rows.columns; c++)
                fprintf(to, "%" PRId64 " ", id[c][r]);
            uint64_t bits = 0;
            if (has_value)
                memcpy(&bits, &value[r], sizeof bits);
            fprintf(to, "%" PRIu64 "\n", bits);
        }
        st = format->rows_next(source, &rows, err);
    }
    format->rows_close(source);
    return st;
}

static enum fuse_status do_refused(struct fuse_comm *self, const char *path, struct fuse_error *err) {
    struct fuse_probe probe;
    int column;
    if (scanf("%d", &column) != 1)
        abort();
    FUSE_TRY(fuse_format_tsv.probe(&probe, path, NULL, err));
    FUSE_TRY(fuse_format_tsv.scan(&probe, arena, self, path, NULL, err));
    printf("ok %s\n", probe.tally->refused[column] ? probe.tally->refused[column] : "");
    return FUSE_OK;
}

static enum fuse_status do_rows(struct fuse_comm *self, const char *path, struct fuse_error *err) {
    char out[256];
    int shares, has_value;
    struct fuse_probe probe;
    if (scanf("%255s %d %d", out, &shares, &has_value) != 3)
        return fuse_fail(err, FUSE_EUSAGE, "bad command");
    FUSE_TRY(probe_path(&probe, self, path, err));
    FILE *to = fopen(out, "w");
    enum fuse_status st = FUSE_OK;
    for (int share = 0; share < shares && st == FUSE_OK; share++)
        st = read_share(&probe, path, to, has_value, share, shares, err);
    fclose(to);
    FUSE_TRY(st);
    const struct fuse_tally *tally = probe.tally;
    printf("ok %d %" PRId64 " %d %" PRId64, tally->columns, tally->rows, (int)tally->last, tally->last_not_id);
    for (int c = 0; c < tally->columns; c++)
        printf(" %" PRId64 " %" PRId64, tally->largest[c], tally->largest_row[c]);
    printf("\n");
    return FUSE_OK;
}

/* The boxes that follow on the input, which are read to their end whatever fails. */
static enum fuse_status write_boxes(struct fuse_sink *sink, const char *in, int count, int rank, enum fuse_dtype dtype,
                                    struct fuse_error *err) {
    FILE *f = fopen(in, "rb");
    enum fuse_status st = FUSE_OK;
    for (int i = 0; i < count; i++) {
        struct fuse_box box;
        if (!read_box(&box, rank))
            return fuse_fail(err, FUSE_EUSAGE, "bad box");
        size_t bytes = fuse_box_is_empty(&box) ? 0 : (size_t)fuse_box_elems(&box) * fuse_dtype_bytes(dtype);
        void *data = malloc(bytes + 1);
        if (fread(data, 1, bytes, f) != bytes)
            return fuse_fail(err, FUSE_EUSAGE, "short data");
        struct fuse_view view = fuse_box_view(data, dtype, &box, false, &box);
        if (st == FUSE_OK)
            st = format->sink_write(sink, 0, &box, &view, err);
        free(data);
    }
    fclose(f);
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
    struct fuse_sink_member member = {.dtype = dtype, .rank = rank, .storage = storage};
    memcpy(member.extent, extent, sizeof extent);
    if (format->has_parts && !(member.part = format->sink_part(arena, part, err)))
        return err->status;
    struct fuse_sink_file want = {.path = path, .member = &member, .members = 1};
    FUSE_TRY(format->sink_open(&sink, self, &want, err));
    enum fuse_status st = write_boxes(sink, in, count, rank, dtype, err);
    if (st == FUSE_OK)
        st = format->sink_finish(sink, self, err);
    if (st != FUSE_OK) {
        fuse_sink_discard(format, sink);
        return st;
    }
    FUSE_TRY(fuse_sink_commit(format, sink, err));
    printf("ok\n");
    return FUSE_OK;
}

int main(void) {
    struct fuse_comm *self;
    struct fuse_error err = {0};
    char verb[16], path[256]; /* "-" where there is none */
    if (fuse_comm_open_self(&self, &err) != FUSE_OK)
        return 1;
    arena = fuse_arena_open(NULL);
    while (scanf("%15s %255s", verb, path) == 2) {
        err = (struct fuse_error){0};
        if (strcmp(verb, "storage") != 0 && !split_path(path)) {
            printf("USAGE no format\n");
            continue;
        }
        enum fuse_status st = strcmp(verb, "probe") == 0     ? do_probe(self, path, &err)
                              : strcmp(verb, "all") == 0     ? do_all(self, path, &err)
                              : strcmp(verb, "rows") == 0    ? do_rows(self, path, &err)
                              : strcmp(verb, "refused") == 0 ? do_refused(self, path, &err)
                              : strcmp(verb, "read") == 0    ? do_read(self, path, &err)
                              : strcmp(verb, "storage") == 0 ? do_storage(&err)
                                                             : do_write(self, path, &err);
        if (st != FUSE_OK)
            printf("%s %s\n", fuse_status_name(st), err.message);
    }
    fuse_arena_close(arena);
    self->ops->close(self);
    return 0;
}
