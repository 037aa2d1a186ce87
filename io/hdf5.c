/* .h5, .hdf5 as sources. Elements that lie one behind the other in the file are read in place, like an npy file's, and chunks
 * are unpacked from where they are (hdf5_unpack.h). What else there is, such as other filters and datasets that were never
 * written, comes from a process of its own (hdf5_child.h) that reads a block while the one before is copied. */
#include "io/hdf5_sink.h"

#include "io/array.h"
#include "io/chunk_blocks.h"
#include "io/hdf5_child.h"
#include "io/hdf5_list.h"
#include "io/hdf5_unpack.h"
#include "io/rawfile.h"

#include "core/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Asked for at a time; a larger chunk comes as a whole. */
enum { BLOCK_BYTES = 4 << 20 };

struct memory_bytes {
    struct fuse_bytes bytes;
    const char *at;
};

struct hdf5_source {
    int fd;
    int64_t file_bytes;
    struct fuse_file_bytes file;
    struct fuse_hdf5_facts facts;
    struct fuse_hdf5_child *child;   /* NULL when elements are read in place, and after it failed */
    struct fuse_hdf5_chunks *chunks; /* when they lie apart */
    struct memory_bytes memory;      /* of its answers */
    struct fuse_array array;
    char *name;
};

static enum fuse_status read_memory(struct fuse_bytes *self, void *to, size_t bytes, int64_t offset,
                                    struct fuse_error *err) {
    (void)err;
    memcpy(to, ((struct memory_bytes *)self)->at + offset, bytes);
    return FUSE_OK;
}

static void close_source(struct fuse_source *handle) {
    struct hdf5_source *source = (struct hdf5_source *)handle;
    if (!source)
        return;
    fuse_hdf5_chunks_close(source->chunks);
    fuse_hdf5_child_close(source->child);
    if (source->fd >= 0)
        close(source->fd);
    fuse_array_close(&source->array);
    free(source->name);
    free(source);
}

struct fuse_probe fuse_hdf5_probe_of(const struct fuse_hdf5_facts *facts, int64_t file_bytes) {
    struct fuse_probe probe = {
        .rank = (int)facts->rank,
        .file_dtype = (enum fuse_dtype)facts->dtype,
        .big_endian = facts->big_endian != 0,
        .data_offset = facts->offset >= 0 ? facts->offset : 0,
        .file_bytes = file_bytes,
        .digest = fuse_hash_bytes(FUSE_HASH_SEED, facts, sizeof *facts),
    };
    memcpy(probe.extent, facts->extent, sizeof facts->extent);
    return probe;
}

static enum fuse_status open_and_probe(struct hdf5_source **out, struct fuse_probe *probe, const char *path,
                                       const char *part, struct fuse_error *err) {
    struct hdf5_source *source = calloc(1, sizeof *source);
    if (source)
        *source = (struct hdf5_source){.fd = -1};
    if (!source || asprintf(&source->name, part ? "%s:%s" : "%s", path, part) < 0) {
        free(source);
        return fuse_fail(err, FUSE_EMEMORY, "no memory to open %s", path);
    }
    enum fuse_status st;
    FUSE_TRY_GOTO(st, fuse_rawfile_open(&source->fd, &source->file_bytes, path, err), close_it);
    FUSE_TRY_GOTO(st, fuse_hdf5_child_open(&source->child, &source->facts, path, part, err), close_it);
    *probe = fuse_hdf5_probe_of(&source->facts, source->file_bytes);
    *out = source;
    return FUSE_OK;

close_it:
    close_source((struct fuse_source *)source);
    return st;
}

static enum fuse_status probe_hdf5(struct fuse_probe *out, const char *path, const char *part, struct fuse_error *err) {
    struct hdf5_source *source;
    FUSE_TRY(open_and_probe(&source, out, path, part, err));
    close_source((struct fuse_source *)source);
    return FUSE_OK;
}

static enum fuse_status open_source(struct fuse_source **out, const char *path, const char *part,
                                    const struct fuse_probe *probe, struct fuse_error *err) {
    struct hdf5_source *source;
    struct fuse_probe now;
    struct fuse_bytes *bytes;
    FUSE_TRY(open_and_probe(&source, &now, path, part, err));
    enum fuse_status st = FUSE_OK;
    if (!fuse_probe_equal(&now, probe)) {
        st = fuse_fail(err, FUSE_EINPUT, "%s changed after it was probed", path);
        fuse_hint(err, "nothing may write to a source while a program runs");
    }
    if (source->facts.offset >= 0) {
        fuse_hdf5_child_close(source->child);
        source->child = NULL;
        source->file = fuse_file_bytes(source->fd, 0, source->name);
        bytes = &source->file.bytes;
    } else {
        source->memory.bytes.read = read_memory;
        bytes = &source->memory.bytes;
    }
    if (st == FUSE_OK)
        st = fuse_array_open_probed(&source->array, probe, bytes, source->name, err);
    if (st == FUSE_OK && source->facts.chunks_lie_apart)
        st = fuse_hdf5_chunks_open(&source->chunks, &source->facts, source->child, source->fd, source->name, err);
    if (st == FUSE_OK)
        *out = (struct fuse_source *)source;
    else
        close_source((struct fuse_source *)source);
    return st;
}

/* Copies an answer to its place in the box. */
static enum fuse_status take_answer(struct hdf5_source *source, const struct fuse_box *block,
                                    const struct fuse_box *box, const struct fuse_view *to, struct fuse_error *err) {
    const void *elements;
    struct fuse_view part = *to;
    struct fuse_box whole = {.rank = box->rank};
    FUSE_TRY(fuse_hdf5_child_answer(source->child, &elements, err));
    source->memory.at = elements;
    int64_t first = 0;
    for (int a = 0; a < box->rank; a++) {
        whole.hi[a] = part.extent[a] = source->array.extent[a] = block->hi[a] - block->lo[a];
        first += (block->lo[a] - box->lo[a]) * to->stride[a];
    }
    part.data = (char *)to->data + first * (int64_t)fuse_dtype_bytes(to->dtype);
    return fuse_array_read(&source->array, &whole, &part, err);
}

static enum fuse_status read_by_child(struct hdf5_source *source, const struct fuse_box *box,
                                      const struct fuse_view *to, struct fuse_error *err) {
    struct fuse_chunk_blocks blocks;
    int64_t elem_bytes = (int64_t)fuse_dtype_bytes(source->array.dtype);
    fuse_chunk_blocks_init(&blocks, box, source->facts.chunk, BLOCK_BYTES / elem_bytes);
    FUSE_TRY(fuse_hdf5_child_reserve(source->child, (size_t)(blocks.most_elems * elem_bytes), err));
    for (int64_t n = 0; n <= blocks.blocks; n++) {
        if (n < blocks.blocks) {
            struct fuse_box next = fuse_chunk_block(&blocks, n);
            fuse_hdf5_child_ask(source->child, &next, (size_t)(fuse_box_elems(&next) * elem_bytes));
        }
        if (n > 0) {
            struct fuse_box block = fuse_chunk_block(&blocks, n - 1);
            FUSE_TRY(take_answer(source, &block, box, to, err));
        }
    }
    return FUSE_OK;
}

static enum fuse_status read_source(struct fuse_source *handle, const struct fuse_box *box, const struct fuse_view *to,
                                    struct fuse_error *err) {
    struct hdf5_source *source = (struct hdf5_source *)handle;
    struct fuse_box full = fuse_box_full((int)source->facts.rank, source->facts.extent);
    if (source->facts.offset >= 0)
        return fuse_array_read(&source->array, box, to, err);
    if (box->rank != full.rank || !fuse_box_contains(&full, box))
        return fuse_fail(err, FUSE_EBUG, "a box does not fit %s or its memory", source->name);
    if (fuse_box_is_empty(box))
        return FUSE_OK;
    if (!source->child)
        return fuse_fail(err, FUSE_EINPUT, "%s could not be read before", source->name);
    enum fuse_status st =
        source->chunks ? fuse_hdf5_chunks_read(source->chunks, box, to, err) : read_by_child(source, box, to, err);
    if (st != FUSE_OK) {
        fuse_hdf5_child_close(source->child);
        source->child = NULL;
    }
    return st;
}

static const char *const suffixes[] = {".h5", ".hdf5", NULL};

const struct fuse_format fuse_format_hdf5 = {
    .name = "hdf5",
    .suffixes = suffixes,
    .stores_chunks = true,
    .has_parts = true,
    .is_independent = true,
    .sink_part = fuse_hdf5_sink_part,
    .probe = probe_hdf5,
    .list_parts = fuse_hdf5_list_parts,
    .source_open = open_source,
    .source_read = read_source,
    .source_close = close_source,
    .sink_open = fuse_hdf5_sink_open,
    .sink_write = fuse_hdf5_sink_write,
    .sink_finish = fuse_hdf5_sink_finish,
    .sink_release = fuse_hdf5_sink_release,
};
