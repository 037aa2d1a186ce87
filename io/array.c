#include "io/array.h"

#include "io/box_runs.h"

#include <stdlib.h>
#include <string.h>

/* Elements pass through a buffer of this size when file and memory differ; it stays in the second-level cache. */
enum { BOUNCE_BYTES = 1 << 20 };
/* Contiguous runs from this size on go straight between file and memory. */
enum { DIRECT_BYTES = 64 << 10 };

enum fuse_status fuse_array_open(struct fuse_array *out, enum fuse_dtype dtype, int rank, const int64_t *extent,
                                 int64_t offset, struct fuse_bytes *bytes, const char *name, struct fuse_error *err) {
    char *bounce = malloc(BOUNCE_BYTES);
    if (!bounce)
        return fuse_fail(err, FUSE_EMEMORY, "no memory to open %s", name);
    *out = (struct fuse_array){
        .dtype = dtype, .rank = rank, .offset = offset, .bytes = bytes, .name = name, .bounce = bounce};
    memcpy(out->extent, extent, (size_t)rank * sizeof *extent);
    return FUSE_OK;
}

enum fuse_status fuse_array_open_probed(struct fuse_array *out, const struct fuse_probe *probe,
                                        struct fuse_bytes *bytes, const char *name, struct fuse_error *err) {
    FUSE_TRY(fuse_array_open(out, probe->file_dtype, probe->rank, probe->extent, probe->data_offset, bytes, name, err));
    out->big_endian = probe->big_endian;
    out->reversed = probe->reversed;
    return FUSE_OK;
}

bool fuse_probe_equal(const struct fuse_probe *a, const struct fuse_probe *b) {
    return a->rank == b->rank && memcmp(a->extent, b->extent, (size_t)a->rank * sizeof *a->extent) == 0 &&
           a->file_dtype == b->file_dtype && a->big_endian == b->big_endian && a->reversed == b->reversed &&
           a->data_offset == b->data_offset && a->file_bytes == b->file_bytes && a->digest == b->digest;
}

void fuse_array_close(struct fuse_array *array) {
    free(array->bounce);
    array->bounce = NULL;
}

/* The caller's box and view belong together and to the array. */
static enum fuse_status check_box(const struct fuse_array *array, enum fuse_dtype dtype, const struct fuse_box *box,
                                  const struct fuse_view *view, struct fuse_error *err) {
    bool is_fine = box->rank == array->rank && view->rank == array->rank && view->dtype == dtype;
    for (int a = 0; a < array->rank && is_fine; a++)
        is_fine = box->lo[a] >= 0 && box->hi[a] <= array->extent[a] && view->extent[a] == box->hi[a] - box->lo[a];
    return is_fine ? FUSE_OK : fuse_fail(err, FUSE_EBUG, "a box does not fit %s or its memory", array->name);
}

static enum fuse_status read_elements(const struct fuse_array *array, void *to, int64_t first, int64_t count,
                                      struct fuse_error *err) {
    int64_t bytes = (int64_t)fuse_dtype_bytes(array->dtype);
    return array->bytes->read(array->bytes, to, (size_t)(count * bytes), array->offset + first * bytes, err);
}

/* A run that needs no other size of elements: read in place, then repaired there while it is in cache. */
static enum fuse_status read_run(const struct fuse_array *array, char *to, int64_t first, int64_t count,
                                 struct fuse_error *err) {
    bool is_bool = array->dtype == FUSE_BOOL;
    if (!is_bool && !array->big_endian)
        return read_elements(array, to, first, count, err);
    size_t bytes = fuse_dtype_bytes(array->dtype);
    int64_t room = BOUNCE_BYTES / (int64_t)bytes;
    for (int64_t done = 0; done < count; done += room) {
        int64_t part = count - done < room ? count - done : room;
        char *at = to + done * (int64_t)bytes;
        FUSE_TRY(read_elements(array, at, first + done, part, err));
        if (array->big_endian)
            fuse_swap_bytes(at, bytes, (size_t)part);
        if (is_bool) /* kernels rely on 0 and 1 */
            for (int64_t i = 0; i < part; i++)
                at[i] = at[i] != 0;
    }
    return FUSE_OK;
}

enum fuse_status fuse_array_read(const struct fuse_array *array, const struct fuse_box *box, const struct fuse_view *to,
                                 struct fuse_error *err) {
    enum fuse_dtype resident = fuse_dtype_resident(array->dtype);
    FUSE_TRY(check_box(array, resident, box, to, err));
    if (fuse_box_is_empty(box))
        return FUSE_OK;

    struct fuse_box_runs runs;
    struct fuse_run_blocks block;
    int64_t elem_bytes = (int64_t)fuse_dtype_bytes(array->dtype);
    fuse_box_runs_init(&runs, array->extent, array->reversed, box, to);
    fuse_run_blocks_begin(&block, &runs, (size_t)elem_bytes, BOUNCE_BYTES / elem_bytes, true);

    int64_t direct = resident == array->dtype ? fuse_box_runs_direct(&runs) : 0;
    if (direct > 0 && (direct * elem_bytes >= DIRECT_BYTES || direct >= block.longest)) {
        fuse_run_blocks_begin_single(&block, &runs);
        while (fuse_run_blocks_next(&block))
            FUSE_TRY(read_run(array, (char *)to->data + block.memory * elem_bytes, block.file, block.span, err));
        return FUSE_OK;
    }
    while (fuse_run_blocks_next(&block)) {
        FUSE_TRY(read_elements(array, array->bounce, block.file, block.span, err));
        if (!fuse_run_block_load(&block, to->data, resident, array->bounce, array->dtype, array->big_endian)) {
            fuse_fail(err, FUSE_EINPUT, "%s holds an unsigned integer beyond the largest i64", array->name);
            fuse_hint(err, "integers are 64-bit with a sign here; store it as f64 instead");
            return FUSE_EINPUT;
        }
    }
    return FUSE_OK;
}

static enum fuse_status write_elements(const struct fuse_array *array, const void *from, int64_t first, int64_t count,
                                       struct fuse_error *err) {
    int64_t bytes = (int64_t)fuse_dtype_bytes(array->dtype);
    return array->bytes->write(array->bytes, from, (size_t)(count * bytes), array->offset + first * bytes, err);
}

enum fuse_status fuse_array_write(const struct fuse_array *array, const struct fuse_box *box,
                                  const struct fuse_view *from, struct fuse_error *err) {
    FUSE_TRY(check_box(array, array->dtype, box, from, err));
    if (fuse_box_is_empty(box))
        return FUSE_OK;

    struct fuse_box_runs runs;
    struct fuse_run_blocks block;
    int64_t elem_bytes = (int64_t)fuse_dtype_bytes(array->dtype);
    fuse_box_runs_init(&runs, array->extent, false, box, from);
    /* No gaps: what lies in them belongs to other ranks. */
    fuse_run_blocks_begin(&block, &runs, (size_t)elem_bytes, BOUNCE_BYTES / elem_bytes, false);

    int64_t direct = fuse_box_runs_direct(&runs);
    if (direct > 0 && (direct * elem_bytes >= DIRECT_BYTES || direct >= block.longest)) {
        fuse_run_blocks_begin_single(&block, &runs);
        while (fuse_run_blocks_next(&block))
            FUSE_TRY(write_elements(array, (const char *)from->data + block.memory * elem_bytes, block.file, block.span,
                                    err));
        return FUSE_OK;
    }
    while (fuse_run_blocks_next(&block)) {
        fuse_run_block_store(&block, from->data, array->bounce, (size_t)elem_bytes);
        FUSE_TRY(write_elements(array, array->bounce, block.file, block.span, err));
    }
    return FUSE_OK;
}
