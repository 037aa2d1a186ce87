#include "io/hdf5_unpack.h"

#include "io/array.h"
#include "io/chunk_blocks.h"
#include "io/chunk_grid.h"
#include "io/rawfile.h"

#include <stdlib.h>
#include <string.h>

enum {
    KEPT_BYTES = 16 << 20, /* of unpacked chunks that may be wanted again; at least one */
    READ_BYTES = 4 << 20,  /* at a time; more for a larger chunk */
    GAP_BYTES = 64 << 10,  /* between chunks that are read together */
    ASKED_CHUNKS = 1024,   /* at a time */
    DEFLATED_RATIO = 1100, /* deflate saves at most this */
};

struct memory_bytes {
    struct fuse_bytes bytes;
    const char *at;
};

struct fuse_hdf5_chunks {
    struct fuse_hdf5_facts facts;
    struct fuse_hdf5_child *child;
    struct fuse_chunk_grid grid;
    size_t chunk_bytes;
    int fd;
    const char *name;
    struct fuse_array array; /* of a chunk: in memory, or in the file where chunks are not packed */
    struct memory_bytes memory;
    struct fuse_file_bytes file;
    /* For packed ones. A chunk is kept in slot number % slots. */
    struct fuse_hdf5_unpacking unpacking;
    int64_t slots;
    struct {
        int64_t number; /* -1: nothing yet */
        char *data;
    } * slot;
    /* Bytes of the file. */
    char *window;
    int64_t window_room, window_begin, window_bytes;
};

static enum fuse_status read_memory(struct fuse_bytes *self, void *to, size_t bytes, int64_t offset,
                                    struct fuse_error *err) {
    (void)err;
    memcpy(to, ((struct memory_bytes *)self)->at + offset, bytes);
    return FUSE_OK;
}

void fuse_hdf5_chunks_close(struct fuse_hdf5_chunks *chunks) {
    if (!chunks)
        return;
    for (int64_t i = 0; i < chunks->slots; i++)
        free(chunks->slot[i].data);
    free(chunks->slot);
    free(chunks->window);
    fuse_hdf5_unpacking_close(&chunks->unpacking);
    fuse_array_close(&chunks->array);
    free(chunks);
}

static enum fuse_status fail_memory(const struct fuse_hdf5_chunks *chunks, struct fuse_error *err) {
    return fuse_fail(err, FUSE_EMEMORY, "no memory for a chunk of %zu bytes of %s", chunks->chunk_bytes, chunks->name);
}

static enum fuse_status prepare(struct fuse_hdf5_chunks *chunks, struct fuse_error *err) {
    const struct fuse_hdf5_facts *facts = &chunks->facts;
    struct fuse_probe probe = {
        .rank = (int)facts->rank, .file_dtype = (enum fuse_dtype)facts->dtype, .big_endian = facts->big_endian != 0};
    memcpy(probe.extent, facts->chunk, sizeof facts->chunk);
    fuse_chunk_grid_init(&chunks->grid, (int)facts->rank, facts->extent, facts->chunk);
    int64_t bytes = fuse_sat_mul(chunks->grid.chunk_elems, (int64_t)fuse_dtype_bytes(probe.file_dtype));
    if (bytes > UINT32_MAX)
        return fuse_fail(err, FUSE_EINPUT, "%s is damaged: its chunks are larger than HDF5 allows", chunks->name);
    chunks->chunk_bytes = (size_t)bytes;
    chunks->slots = KEPT_BYTES / bytes < chunks->grid.chunks ? KEPT_BYTES / bytes : chunks->grid.chunks;
    chunks->slots = chunks->slots > 0 ? chunks->slots : 1;
    chunks->slot = calloc((size_t)chunks->slots, sizeof *chunks->slot);
    if (!chunks->slot)
        chunks->slots = 0;
    for (int64_t i = 0; i < chunks->slots; i++)
        chunks->slot[i].number = -1;
    chunks->memory.bytes.read = read_memory;
    chunks->file = fuse_file_bytes(chunks->fd, 0, chunks->name);
    FUSE_TRY(fuse_array_open_probed(&chunks->array, &probe, &chunks->memory.bytes, chunks->name, err));
    return chunks->slot ? FUSE_OK : fail_memory(chunks, err);
}

enum fuse_status fuse_hdf5_chunks_open(struct fuse_hdf5_chunks **out, const struct fuse_hdf5_facts *facts,
                                       struct fuse_hdf5_child *child, int fd, const char *name,
                                       struct fuse_error *err) {
    struct fuse_hdf5_chunks *chunks = calloc(1, sizeof *chunks);
    if (!chunks)
        return fuse_fail(err, FUSE_EMEMORY, "no memory to open %s", name);
    *chunks = (struct fuse_hdf5_chunks){.facts = *facts, .child = child, .fd = fd, .name = name};
    enum fuse_status st = prepare(chunks, err);
    if (st == FUSE_OK)
        *out = chunks;
    else
        fuse_hdf5_chunks_close(chunks);
    return st;
}

/* Bytes of the file for chunk n, and for those that follow it there. */
static enum fuse_status fill_window(struct fuse_hdf5_chunks *chunks, const struct fuse_hdf5_place *place, int64_t n,
                                    int64_t count, struct fuse_error *err) {
    int64_t begin = place[n].offset, end = begin + place[n].bytes;
    if (begin >= chunks->window_begin && end <= chunks->window_begin + chunks->window_bytes)
        return FUSE_OK;
    for (n++; n < count; n++) {
        int64_t next = place[n].offset + place[n].bytes;
        if (place[n].offset < end || place[n].offset - end > GAP_BYTES || next - begin > READ_BYTES)
            break;
        end = next;
    }
    chunks->window_bytes = 0;
    if (end - begin > chunks->window_room) {
        free(chunks->window);
        chunks->window_room = end - begin > READ_BYTES ? end - begin : READ_BYTES;
        chunks->window = malloc((size_t)chunks->window_room);
        if (!chunks->window) {
            chunks->window_room = 0;
            return fail_memory(chunks, err);
        }
    }
    FUSE_TRY(fuse_rawfile_read(chunks->fd, chunks->window, (size_t)(end - begin), begin, chunks->name, err));
    chunks->window_begin = begin;
    chunks->window_bytes = end - begin;
    return FUSE_OK;
}

/* A chunk that was never written. */
static void fill_chunk(const struct fuse_hdf5_chunks *chunks, char *to) {
    size_t bytes = fuse_dtype_bytes((enum fuse_dtype)chunks->facts.dtype);
    for (size_t at = 0; at < chunks->chunk_bytes; at += bytes)
        memcpy(to + at, chunks->facts.fill, bytes);
}

/* Before memory is asked for: a small chunk cannot become any large one. */
static enum fuse_status check_size(const struct fuse_hdf5_chunks *chunks, const struct fuse_hdf5_place *place,
                                   struct fuse_error *err) {
    const struct fuse_hdf5_filters *filters = &chunks->facts.filters;
    int64_t ratio = 1;
    for (int64_t i = 0; i < filters->n; i++)
        if (filters->step[i].id == FUSE_HDF5_DEFLATE && !(place->skipped >> i & 1))
            ratio = DEFLATED_RATIO;
    if ((int64_t)chunks->chunk_bytes <= fuse_sat_mul(place->bytes, ratio))
        return FUSE_OK;
    fuse_fail(err, FUSE_EINPUT, "%s is damaged: %lld bytes cannot hold a chunk of %zu", chunks->name,
              (long long)place->bytes, chunks->chunk_bytes);
    fuse_hint(err, "copy or write the file again");
    return FUSE_EINPUT;
}

/* chunks->memory becomes chunk n of those that were asked for. */
static enum fuse_status unpack(struct fuse_hdf5_chunks *chunks, int64_t number, const struct fuse_hdf5_place *place,
                               int64_t n, int64_t count, struct fuse_error *err) {
    struct fuse_hdf5_unpacking *unpacking = &chunks->unpacking;
    int64_t s = number % chunks->slots;
    if (chunks->slot[s].number == number) {
        chunks->memory.at = chunks->slot[s].data;
        return FUSE_OK;
    }
    if (place[n].offset >= 0)
        FUSE_TRY(check_size(chunks, &place[n], err));
    if (!unpacking->filters)
        FUSE_TRY(fuse_hdf5_unpacking_open(unpacking, &chunks->facts.filters, chunks->chunk_bytes, chunks->name, err));
    if (!chunks->slot[s].data && !(chunks->slot[s].data = malloc(fuse_hdf5_unpacking_room(chunks->chunk_bytes))))
        return fail_memory(chunks, err);
    chunks->slot[s].number = -1;
    if (place[n].offset < 0) {
        fill_chunk(chunks, unpacking->to);
    } else {
        FUSE_TRY(fill_window(chunks, place, n, count, err));
        const char *packed = chunks->window + (place[n].offset - chunks->window_begin);
        FUSE_TRY(
            fuse_hdf5_unpack(unpacking, packed, (size_t)place[n].bytes, (uint32_t)place[n].skipped, chunks->name, err));
    }
    char *unpacked = unpacking->to;
    unpacking->to = chunks->slot[s].data;
    chunks->memory.at = chunks->slot[s].data = unpacked;
    chunks->slot[s].number = number;
    return FUSE_OK;
}

/* Chunks that are neither packed nor missing are read in place. */
static enum fuse_status point_array(struct fuse_hdf5_chunks *chunks, int64_t number,
                                    const struct fuse_hdf5_place *place, int64_t n, int64_t count,
                                    struct fuse_error *err) {
    if (chunks->facts.filters.n > 0 || place[n].offset < 0) {
        FUSE_TRY(unpack(chunks, number, place, n, count, err));
        chunks->array.bytes = &chunks->memory.bytes;
        chunks->array.offset = 0;
        return FUSE_OK;
    }
    FUSE_TRY(check_size(chunks, &place[n], err));
    chunks->array.bytes = &chunks->file.bytes;
    chunks->array.offset = place[n].offset;
    return FUSE_OK;
}

/* The chunks of a box of places, which are few. */
static enum fuse_status read_places(struct fuse_hdf5_chunks *chunks, const struct fuse_box *places,
                                    const struct fuse_box *box, const struct fuse_view *to, struct fuse_error *err) {
    const struct fuse_hdf5_place *place;
    int64_t count = fuse_box_elems(places);
    FUSE_TRY(fuse_hdf5_child_find(chunks->child, places, &place, err));
    for (int64_t n = 0; n < count; n++) {
        struct fuse_chunk chunk = fuse_chunk_grid_nth(&chunks->grid, places, n);
        struct fuse_box within;
        struct fuse_view part;
        fuse_chunk_grid_part(&within, &part, &chunks->grid, &chunk, box, to);
        FUSE_TRY(point_array(chunks, chunk.number, place, n, count, err));
        FUSE_TRY(fuse_array_read(&chunks->array, &within, &part, err));
    }
    return FUSE_OK;
}

enum fuse_status fuse_hdf5_chunks_read(struct fuse_hdf5_chunks *chunks, const struct fuse_box *box,
                                       const struct fuse_view *to, struct fuse_error *err) {
    struct fuse_box places = fuse_chunk_grid_meets(&chunks->grid, box);
    struct fuse_chunk_blocks blocks;
    int64_t one[FUSE_MAX_AXES];
    for (int a = 0; a < places.rank; a++)
        one[a] = 1;
    fuse_chunk_blocks_init(&blocks, &places, one, ASKED_CHUNKS);
    for (int64_t n = 0; n < blocks.blocks; n++) {
        struct fuse_box part = fuse_chunk_block(&blocks, n);
        FUSE_TRY(read_places(chunks, &part, box, to, err));
    }
    return FUSE_OK;
}
