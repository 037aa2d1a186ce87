/* Relations as sinks in HDF5: "file.h5:/set:coo". How many tuples there are is known when all are, and so the file is laid out
 * only then: each relation a dataset of ids, and a numeric one a second of values, "/set.values". */
#include "io/hdf5_coo.h"

#include "io/coo_runs.h"
#include "io/hdf5_sink.h"
#include "io/hdf5_write.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct coo_member {
    struct fuse_coo_runs runs;
    const char *ids, *values; /* names of the datasets */
    const char *tensor;
};

struct hdf5_coo_sink {
    struct fuse_output_file *file;
    struct fuse_arena *arena;
    struct coo_member *member;
    int members;
    const char *path, *program, *version;
};

const char *fuse_hdf5_coo_part(struct fuse_arena *arena, const char *part, struct fuse_error *err) {
    const char *set = fuse_hdf5_coo_set(arena, part, err);
    return set ? fuse_arena_printf(arena, "%s:coo", set) : NULL;
}

const char *fuse_hdf5_coo_set(struct fuse_arena *arena, const char *part, struct fuse_error *err) {
    size_t bytes = strlen(part), suffix = strlen(":coo");
    if (strcmp(part, "coo") == 0)
        return fuse_hdf5_sink_part(arena, NULL, err);
    return fuse_hdf5_sink_part(arena, fuse_arena_strndup(arena, part, bytes - suffix), err);
}

const char *fuse_hdf5_coo_values(struct fuse_arena *arena, const char *set) {
    return fuse_arena_printf(arena, "%s.values", set);
}

static void free_sink(struct hdf5_coo_sink *sink) {
    if (!sink)
        return;
    for (int m = 0; m < sink->members; m++)
        fuse_coo_runs_close(&sink->member[m].runs);
    fuse_arena_close(sink->arena);
    free(sink);
}

static const char *copy(struct fuse_arena *arena, const char *text) {
    return text ? fuse_arena_strndup(arena, text, strlen(text)) : NULL;
}

static bool is_inside(const char *inner, const char *outer) {
    size_t bytes = strlen(outer);
    return strncmp(inner, outer, bytes) == 0 && inner[bytes] == '/';
}

/* A dataset is no group, and the name of one of values may be that of another relation. */
static enum fuse_status check_names(const struct hdf5_coo_sink *sink, struct fuse_error *err) {
    for (int a = 0; a < sink->members; a++)
        for (int b = 0; b < sink->members; b++) {
            const struct coo_member *one = &sink->member[a], *other = &sink->member[b];
            bool is_same = one->values && (strcmp(one->values, other->ids) == 0 || is_inside(other->ids, one->values));
            if (!is_same && !is_inside(other->ids, one->ids))
                continue;
            fuse_fail(err, FUSE_EOUTPUT, "cannot write %s: the names of the relations '%s' and '%s' do not go together",
                      sink->path, one->ids, other->ids);
            fuse_hint(err, "a dataset is no group, and the values of '/set' are in '/set.values'");
            return FUSE_EOUTPUT;
        }
    return FUSE_OK;
}

static enum fuse_status prepare_member(struct hdf5_coo_sink *sink, int m, const struct fuse_sink_member *want,
                                       struct fuse_error *err) {
    struct coo_member *member = &sink->member[m];
    if (!fuse_format_is_relation(want->part)) {
        fuse_fail(err, FUSE_EOUTPUT, "cannot write %s: it would hold relations (':coo') and dense tensors", sink->path);
        fuse_hint(err, "write them to files of their own");
        return FUSE_EOUTPUT;
    }
    member->ids = fuse_hdf5_coo_set(sink->arena, want->part, err);
    if (!member->ids)
        return FUSE_EOUTPUT;
    if (want->dtype != FUSE_BOOL)
        member->values = fuse_hdf5_coo_values(sink->arena, member->ids);
    member->tensor = copy(sink->arena, want->tensor);
    return fuse_coo_runs_open(&member->runs, want, sink->path, err);
}

static enum fuse_status prepare(struct hdf5_coo_sink **out, const struct fuse_sink_file *want, struct fuse_error *err) {
    struct hdf5_coo_sink *sink = calloc(1, sizeof *sink);
    if (sink)
        sink->arena = fuse_arena_open(NULL);
    if (!sink || !sink->arena) {
        free(sink);
        return fuse_fail(err, FUSE_EMEMORY, "no memory to open %s", want->path);
    }
    sink->path = copy(sink->arena, want->path);
    sink->program = copy(sink->arena, want->program);
    sink->version = copy(sink->arena, want->version);
    sink->members = want->members;
    sink->member = FUSE_NEW_ARRAY(sink->arena, struct coo_member, want->members);
    enum fuse_status st = FUSE_OK;
    for (int m = 0; m < want->members && st == FUSE_OK; m++)
        st = prepare_member(sink, m, &want->member[m], err);
    if (st == FUSE_OK)
        st = check_names(sink, err);
    if (st == FUSE_OK)
        *out = sink;
    else
        free_sink(sink);
    return st;
}

enum fuse_status fuse_hdf5_coo_open(struct fuse_sink **out, struct fuse_comm *comm, const struct fuse_sink_file *want,
                                    struct fuse_error *err) {
    struct hdf5_coo_sink *sink = NULL;
    struct fuse_output_file *file;
    enum fuse_status st = prepare(&sink, want, err);
    st = fuse_output_file_open(&file, comm, st, want->path, NULL, 0, 0, err);
    if (st != FUSE_OK) {
        free_sink(sink);
        return st;
    }
    sink->file = file;
    *out = (struct fuse_sink *)sink;
    return FUSE_OK;
}

enum fuse_status fuse_hdf5_coo_write(struct fuse_sink *handle, int member, const struct fuse_box *box,
                                     const struct fuse_view *from, struct fuse_error *err) {
    return fuse_array_write(&((struct hdf5_coo_sink *)handle)->member[member].runs.array, box, from, err);
}

enum fuse_status fuse_hdf5_coo_tuples(struct fuse_sink *handle, int member, int64_t first, int64_t total,
                                      const struct fuse_tuple_rows *rows, struct fuse_error *err) {
    return fuse_coo_runs_add(&((struct hdf5_coo_sink *)handle)->member[member].runs, first, total, rows, err);
}

/* On rank 0: the whole file but its tuples. offset: two of each member, those of ids and of values. */
static enum fuse_status lay_out(int64_t *offset, struct hdf5_coo_sink *sink, const int64_t *rows,
                                struct fuse_error *err) {
    struct fuse_sink_member *set = FUSE_NEW_ARRAY(sink->arena, struct fuse_sink_member, 2 * sink->members);
    struct fuse_sink_file want = {
        .path = sink->path, .member = set, .program = sink->program, .version = sink->version};
    int64_t *at = FUSE_NEW_ARRAY(sink->arena, int64_t, 2 * sink->members);
    struct stat info;
    for (int m = 0; m < sink->members; m++) {
        const struct coo_member *member = &sink->member[m];
        set[want.members++] = (struct fuse_sink_member){.part = member->ids,
                                                        .dtype = FUSE_I64,
                                                        .rank = 2,
                                                        .extent = {rows[m], member->runs.rank},
                                                        .tensor = member->tensor};
        if (member->values)
            set[want.members++] = (struct fuse_sink_member){
                .part = member->values, .dtype = member->runs.dtype, .rank = 1, .extent = {rows[m]}};
    }
    FUSE_TRY(fuse_hdf5_lay_out(at, sink->file->temporary, &want, err));
    for (int m = 0, k = 0; m < sink->members; m++) {
        offset[2 * m] = at[k++];
        offset[2 * m + 1] = sink->member[m].values ? at[k++] : -1;
    }
    if (fstat(sink->file->fd, &info) != 0)
        return fuse_fail(err, FUSE_EOUTPUT, "cannot write %s: its temporary file is gone", sink->path);
    return fuse_output_file_reserve(sink->file, info.st_size, err);
}

/* Collective. An array without elements has no place, and no rank has anything for it. */
static enum fuse_status place(struct hdf5_coo_sink *sink, const int64_t *offset, struct fuse_comm *comm,
                              struct fuse_error *err) {
    enum fuse_status st = FUSE_OK;
    for (int k = 0; k < 2 * sink->members; k++) {
        struct fuse_coo_runs *runs = &sink->member[k / 2].runs;
        struct fuse_text_runs *text = k % 2 ? runs->values : runs->ids;
        if (!text)
            continue;
        int64_t begin = offset[k] < 0 ? 0 : offset[k];
        enum fuse_status placed = fuse_text_runs_place(text, comm, sink->file->fd, begin, runs->elems, err);
        st = st == FUSE_OK ? placed : st;
    }
    return st;
}

enum fuse_status fuse_hdf5_coo_finish(struct fuse_sink *handle, struct fuse_comm *comm, struct fuse_error *err) {
    struct hdf5_coo_sink *sink = (struct hdf5_coo_sink *)handle;
    int64_t *rows = FUSE_NEW_ARRAY(sink->arena, int64_t, sink->members);
    int64_t *offset = FUSE_NEW_ARRAY(sink->arena, int64_t, 2 * sink->members);
    for (int m = 0; m < sink->members; m++)
        rows[m] = sink->member[m].runs.rows;
    enum fuse_status st = comm->ops->reduce_int64(comm, FUSE_REDUCE_SUM, rows, sink->members, err);
    if (st == FUSE_OK && comm->rank == 0)
        st = lay_out(offset, sink, rows, err);
    enum fuse_status sent = comm->ops->broadcast(comm, offset, 2 * (size_t)sink->members * sizeof *offset, 0, err);
    st = fuse_agree(comm, st == FUSE_OK ? sent : st, err);
    if (st == FUSE_OK)
        st = place(sink, offset, comm, err);
    enum fuse_status closed = fuse_output_file_finish(sink->file, err);
    return st == FUSE_OK ? closed : st;
}

struct fuse_output_file *fuse_hdf5_coo_release(struct fuse_sink *handle) {
    struct hdf5_coo_sink *sink = (struct hdf5_coo_sink *)handle;
    struct fuse_output_file *file = sink ? sink->file : NULL;
    free_sink(sink);
    return file;
}
