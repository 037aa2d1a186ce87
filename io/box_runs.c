#include "io/box_runs.h"

#include <string.h>

/* Reading over a gap costs copying it; another read costs a system call and, on a cold file, at least a page. Runs from
 * this size on are read one by one. */
enum { LONG_RUN_BYTES = 64 << 10, FREE_GAP_BYTES = 4 << 10, GAP_PER_RUN = 4 };

void fuse_box_runs_init(struct fuse_box_runs *out, const int64_t *extent, bool reversed, const struct fuse_box *box,
                        const struct fuse_view *view) {
    int rank = box->rank, n = 0;
    struct fuse_run_axis axis[FUSE_MAX_AXES];
    out->file_begin = 0;
    /* From the fastest axis of the file to the slowest. */
    int64_t stride = 1;
    for (int i = 0; i < rank; i++) {
        int a = reversed ? i : rank - 1 - i;
        int64_t count = box->hi[a] - box->lo[a];
        out->file_begin += box->lo[a] * stride;
        if (count > 1) {
            struct fuse_run_axis *inner = n > 0 ? &axis[n - 1] : NULL;
            if (inner && stride == inner->extent * inner->file && view->stride[a] == inner->extent * inner->memory)
                inner->extent *= count;
            else
                axis[n++] = (struct fuse_run_axis){.extent = count, .file = stride, .memory = view->stride[a]};
        }
        stride *= extent[a];
    }
    if (n == 0)
        axis[n++] = (struct fuse_run_axis){.extent = 1, .file = 1, .memory = 1};
    out->axes = n;
    for (int i = 0; i < n; i++)
        out->axis[i] = axis[n - 1 - i];
}

int64_t fuse_box_runs_direct(const struct fuse_box_runs *runs) {
    const struct fuse_run_axis *inner = &runs->axis[runs->axes - 1];
    return inner->file == 1 && inner->memory == 1 ? inner->extent : 0;
}

static bool is_worth_joining(int64_t gap, int64_t span, int64_t elems, size_t elem_bytes, bool gaps) {
    if (gap == 0)
        return true;
    int64_t bytes = (int64_t)elem_bytes;
    if (!gaps || span * bytes >= LONG_RUN_BYTES)
        return false;
    return gap <= FREE_GAP_BYTES / bytes || gap <= GAP_PER_RUN * elems;
}

static void begin(struct fuse_run_blocks *out, const struct fuse_box_runs *runs, int level, int64_t step) {
    out->runs = runs;
    out->level = level;
    out->step = step;
    out->is_done = false;
    out->longest = 1 + (step - 1) * runs->axis[level].file;
    for (int k = level + 1; k < runs->axes; k++)
        out->longest += (runs->axis[k].extent - 1) * runs->axis[k].file;
    memset(out->index, 0, sizeof out->index);
}

void fuse_run_blocks_begin(struct fuse_run_blocks *out, const struct fuse_box_runs *runs, size_t elem_bytes,
                           int64_t room, bool gaps) {
    int level = runs->axes - 1;
    int64_t step = 1, span = 1, elems = 1;
    for (int k = runs->axes - 1; k >= 0; k--) {
        const struct fuse_run_axis *axis = &runs->axis[k];
        level = k;
        step = 1;
        if (!is_worth_joining(axis->file - span, span, elems, elem_bytes, gaps))
            break;
        int64_t fits = (room - span) / axis->file + 1;
        if (fits < axis->extent) {
            step = fits;
            break;
        }
        step = axis->extent;
        span += (axis->extent - 1) * axis->file;
        elems *= axis->extent;
    }
    begin(out, runs, level, step);
}

void fuse_run_blocks_begin_single(struct fuse_run_blocks *out, const struct fuse_box_runs *runs) {
    const struct fuse_run_axis *inner = &runs->axis[runs->axes - 1];
    begin(out, runs, runs->axes - 1, inner->file == 1 ? inner->extent : 1);
}

bool fuse_run_blocks_next(struct fuse_run_blocks *b) {
    if (b->is_done)
        return false;
    const struct fuse_box_runs *runs = b->runs;
    b->axes = runs->axes - b->level;
    memcpy(b->axis, &runs->axis[b->level], (size_t)b->axes * sizeof *b->axis);
    int64_t left = b->axis[0].extent - b->index[b->level];
    b->axis[0].extent = left < b->step ? left : b->step;

    b->file = runs->file_begin;
    b->memory = 0;
    for (int k = 0; k <= b->level; k++) {
        b->file += b->index[k] * runs->axis[k].file;
        b->memory += b->index[k] * runs->axis[k].memory;
    }
    b->span = 1;
    for (int k = 0; k < b->axes; k++)
        b->span += (b->axis[k].extent - 1) * b->axis[k].file;

    int k = b->level;
    b->index[k] += b->step;
    while (k > 0 && b->index[k] >= runs->axis[k].extent) {
        b->index[k] = 0;
        b->index[--k]++;
    }
    b->is_done = b->index[0] >= runs->axis[0].extent;
    return true;
}

/* ---- moving elements ---- */

/* Strided copies of n elements. memcpy of a constant size is one move and needs no alignment. */
#define COPY_LOOP(BYTES)            \
    for (int64_t i = 0; i < n; i++) \
    memcpy(to + i * to_step * (BYTES), from + i * from_step * (BYTES), (BYTES))

static void copy_row(char *to, int64_t to_step, const char *from, int64_t from_step, int64_t n, size_t bytes) {
    if (to_step == 1 && from_step == 1) {
        memcpy(to, from, (size_t)n * bytes);
        return;
    }
    switch (bytes) {
    case 1: COPY_LOOP(1); break;
    case 2: COPY_LOOP(2); break;
    case 4: COPY_LOOP(4); break;
    default: COPY_LOOP(8); break;
    }
}

void fuse_swap_bytes(void *at, size_t elem_bytes, size_t count) {
    if (elem_bytes == 2) {
        uint16_t v;
        for (char *p = at, *end = p + 2 * count; p < end; p += 2) {
            memcpy(&v, p, 2);
            v = __builtin_bswap16(v);
            memcpy(p, &v, 2);
        }
    } else if (elem_bytes == 4) {
        uint32_t v;
        for (char *p = at, *end = p + 4 * count; p < end; p += 4) {
            memcpy(&v, p, 4);
            v = __builtin_bswap32(v);
            memcpy(p, &v, 4);
        }
    } else if (elem_bytes == 8) {
        uint64_t v;
        for (char *p = at, *end = p + 8 * count; p < end; p += 8) {
            memcpy(&v, p, 8);
            v = __builtin_bswap64(v);
            memcpy(p, &v, 8);
        }
    }
}

struct mover {
    char *memory;
    char *buffer;
    size_t memory_bytes, buffer_bytes; /* of an element */
    enum fuse_dtype resident, file;
    bool is_store, is_plain, swap;
    bool fits;
};

/* Elements that are packed, swapped, converted and spread at once: two stack buffers of at most 4 KiB. */
enum { CONVERT_ELEMS = 512 };

static bool load_row(const struct mover *m, char *to, int64_t to_step, const char *from, int64_t from_step, int64_t n) {
    uint64_t packed[CONVERT_ELEMS], converted[CONVERT_ELEMS];
    bool fits = true;
    for (int64_t done = 0; done < n; done += CONVERT_ELEMS) {
        int64_t count = n - done < CONVERT_ELEMS ? n - done : CONVERT_ELEMS;
        const char *source = from + done * from_step * (int64_t)m->buffer_bytes;
        char *target = to + done * to_step * (int64_t)m->memory_bytes;
        copy_row((char *)packed, 1, source, from_step, count, m->buffer_bytes);
        if (m->swap)
            fuse_swap_bytes(packed, m->buffer_bytes, (size_t)count);
        fits &= fuse_dtype_convert(converted, m->resident, packed, m->file, (size_t)count);
        copy_row(target, to_step, (char *)converted, 1, count, m->memory_bytes);
    }
    return fits;
}

/* axis[0] is the outermost loop. */
static void move_axes(struct mover *m, const struct fuse_run_axis *axis, int axes, int64_t file, int64_t memory) {
    if (axes > 1) {
        for (int64_t i = 0; i < axis->extent; i++)
            move_axes(m, axis + 1, axes - 1, file + i * axis->file, memory + i * axis->memory);
        return;
    }
    char *in_memory = m->memory + memory * (int64_t)m->memory_bytes;
    char *in_buffer = m->buffer + file * (int64_t)m->buffer_bytes;
    if (m->is_store)
        copy_row(in_buffer, axis->file, in_memory, axis->memory, axis->extent, m->memory_bytes);
    else if (m->is_plain)
        copy_row(in_memory, axis->memory, in_buffer, axis->file, axis->extent, m->memory_bytes);
    else
        m->fits &= load_row(m, in_memory, axis->memory, in_buffer, axis->file, axis->extent);
}

static int64_t magnitude(int64_t v) {
    return v < 0 ? -v : v;
}

/* The buffer is in cache and memory is not: the loop over the smallest step in memory goes innermost. */
static void move_block(struct mover *m, const struct fuse_run_blocks *b) {
    struct fuse_run_axis axis[FUSE_MAX_AXES];
    for (int i = 0; i < b->axes; i++) {
        int at = i;
        for (; at > 0 && magnitude(axis[at - 1].memory) < magnitude(b->axis[i].memory); at--)
            axis[at] = axis[at - 1];
        axis[at] = b->axis[i];
    }
    move_axes(m, axis, b->axes, 0, b->memory);
}

bool fuse_run_block_load(const struct fuse_run_blocks *blocks, void *memory, enum fuse_dtype resident,
                         const void *buffer, enum fuse_dtype file, bool swap) {
    struct mover m = {
        .memory = memory,
        .buffer = (char *)buffer, /* only read: is_store is false */
        .memory_bytes = fuse_dtype_bytes(resident),
        .buffer_bytes = fuse_dtype_bytes(file),
        .resident = resident,
        .file = file,
        .is_plain = resident == file && !swap && file != FUSE_BOOL,
        .swap = swap,
        .fits = true,
    };
    move_block(&m, blocks);
    return m.fits;
}

void fuse_run_block_store(const struct fuse_run_blocks *blocks, const void *memory, void *buffer, size_t elem_bytes) {
    struct mover m = {
        .memory = (char *)memory, /* only read: is_store is true */
        .buffer = buffer,
        .memory_bytes = elem_bytes,
        .buffer_bytes = elem_bytes,
        .is_store = true,
    };
    move_block(&m, blocks);
}
