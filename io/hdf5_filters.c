#include "io/hdf5_filters.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { CHECKSUM_BYTES = 4 };

/* ---- the steps ---- */

/* Byte b of all elements, for one b after the other; what is no whole element stays behind them. */
static void shuffle(char *to, const char *from, size_t bytes, size_t elem_bytes) {
    size_t elems = bytes / elem_bytes;
    for (size_t b = 0; b < elem_bytes; b++, to += elems)
        for (size_t i = 0; i < elems; i++)
            to[i] = from[i * elem_bytes + b];
    memcpy(to, from + elems * elem_bytes, bytes % elem_bytes);
}

static void unshuffle(char *to, const char *from, size_t bytes, size_t elem_bytes) {
    size_t elems = bytes / elem_bytes;
    enum { ELEMS = 4096 }; /* at a time, so that what is written to again is still near */
    for (size_t first = 0; first < elems; first += ELEMS) {
        size_t end = elems - first < ELEMS ? elems : first + ELEMS;
        for (size_t b = 0; b < elem_bytes; b++)
            for (size_t i = first; i < end; i++)
                to[i * elem_bytes + b] = from[b * elems + i];
    }
    memcpy(to + elems * elem_bytes, from + elems * elem_bytes, bytes % elem_bytes);
}

/* Sums of the bytes as big-endian words of 16 bits. */
static uint32_t fletcher32(const unsigned char *at, size_t bytes) {
    uint32_t low = 0, high = 0;
    enum { WORDS = 360 }; /* that cannot overflow a sum */
    for (size_t words = bytes / 2; words > 0;) {
        size_t part = words < WORDS ? words : WORDS;
        words -= part;
        for (; part > 0; part--, at += 2)
            high += low += (uint32_t)at[0] << 8 | at[1];
        low = (low & 0xffff) + (low >> 16);
        high = (high & 0xffff) + (high >> 16);
    }
    if (bytes % 2) {
        high += low += (uint32_t)at[0] << 8;
        low = (low & 0xffff) + (low >> 16);
        high = (high & 0xffff) + (high >> 16);
    }
    low = (low & 0xffff) + (low >> 16);
    high = (high & 0xffff) + (high >> 16);
    return high << 16 | low;
}

/* Also the one that early versions wrote, with the bytes of each half swapped. */
static bool has_checksum(const unsigned char *data, size_t bytes) {
    const unsigned char *at = data + bytes;
    uint32_t stored = (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
    uint32_t sum = fletcher32(data, bytes), swapped = (sum & 0x00ff00ff) << 8 | (sum >> 8 & 0x00ff00ff);
    return stored == sum || stored == swapped;
}

/* ---- unpacking ---- */

bool fuse_hdf5_filters_are_known(const struct fuse_hdf5_filters *filters) {
    int deflates = 0;
    bool is_known = filters->n <= FUSE_HDF5_FILTERS;
    for (int64_t i = 0; i < filters->n && is_known; i++) {
        int32_t id = filters->step[i].id;
        deflates += id == FUSE_HDF5_DEFLATE;
        is_known = id == FUSE_HDF5_DEFLATE || id == FUSE_HDF5_FLETCHER32 ||
                   (id == FUSE_HDF5_SHUFFLE && filters->step[i].value > 0);
    }
    return is_known && deflates <= 1;
}

size_t fuse_hdf5_unpacking_room(size_t bytes) {
    return bytes + FUSE_HDF5_FILTERS * CHECKSUM_BYTES;
}

enum fuse_status fuse_hdf5_unpacking_open(struct fuse_hdf5_unpacking *out, const struct fuse_hdf5_filters *filters,
                                          size_t bytes, const char *name, struct fuse_error *err) {
    z_stream *inflater = calloc(1, sizeof *inflater);
    *out = (struct fuse_hdf5_unpacking){.filters = filters, .bytes = bytes};
    out->from = malloc(fuse_hdf5_unpacking_room(bytes));
    out->to = malloc(fuse_hdf5_unpacking_room(bytes));
    if (inflater && inflateInit(inflater) == Z_OK) {
        out->inflater = inflater;
    } else {
        free(inflater);
    }
    if (out->from && out->to && out->inflater)
        return FUSE_OK;
    fuse_hdf5_unpacking_close(out);
    return fuse_fail(err, FUSE_EMEMORY, "no memory for a chunk of %zu bytes of %s", bytes, name);
}

void fuse_hdf5_unpacking_close(struct fuse_hdf5_unpacking *unpacking) {
    if (unpacking->inflater)
        inflateEnd(unpacking->inflater);
    free(unpacking->inflater);
    free(unpacking->from);
    free(unpacking->to);
    *unpacking = (struct fuse_hdf5_unpacking){.filters = NULL};
}

/* zlib counts in 32 bits. */
static uInt portion(size_t bytes) {
    return bytes < UINT_MAX ? (uInt)bytes : UINT_MAX;
}

/* Exactly `want` bytes; what follows the stream's end is let be, as libhdf5 does. */
static bool inflate_all(z_stream *stream, void *to, size_t want, const void *from, size_t bytes) {
    unsigned char beyond; /* so that the end is reached when all is there */
    size_t taken = 0, put = 0;
    int code = inflateReset(stream);
    while (code == Z_OK) {
        uInt in = portion(bytes - taken), out = put < want ? portion(want - put) : 1;
        stream->next_in = (Bytef *)(uintptr_t)((const char *)from + taken);
        stream->avail_in = in;
        stream->next_out = put < want ? (Bytef *)to + put : &beyond;
        stream->avail_out = out;
        code = inflate(stream, Z_NO_FLUSH);
        taken += in - stream->avail_in;
        if (put == want && stream->avail_out == 0)
            return false;
        put += put < want ? out - stream->avail_out : 0;
    }
    return code == Z_STREAM_END && put == want;
}

static enum fuse_status fail_unpack(const char *name, const char *why, struct fuse_error *err) {
    fuse_fail(err, FUSE_EINPUT, "%s is damaged: %s", name, why);
    fuse_hint(err, "copy or write the file again");
    return FUSE_EINPUT;
}

static void swap_buffers(struct fuse_hdf5_unpacking *unpacking) {
    char *to = unpacking->to;
    unpacking->to = unpacking->from;
    unpacking->from = to;
}

enum fuse_status fuse_hdf5_unpack(struct fuse_hdf5_unpacking *unpacking, const void *packed, size_t packed_bytes,
                                  uint32_t skipped, const char *name, struct fuse_error *err) {
    const struct fuse_hdf5_filters *filters = unpacking->filters;
    size_t checksums = 0, have = packed_bytes;
    const char *at = packed;
    for (int64_t i = 0; i < filters->n; i++)
        checksums += !(skipped >> i & 1) && filters->step[i].id == FUSE_HDF5_FLETCHER32;
    for (int64_t i = filters->n - 1; i >= 0; i--) {
        if (skipped >> i & 1)
            continue;
        size_t elem_bytes = (size_t)filters->step[i].value;
        switch (filters->step[i].id) {
        case FUSE_HDF5_FLETCHER32:
            checksums--;
            if (have < CHECKSUM_BYTES || !has_checksum((const unsigned char *)at, have - CHECKSUM_BYTES))
                return fail_unpack(name, "the checksum of a chunk is wrong", err);
            have -= CHECKSUM_BYTES;
            continue;
        case FUSE_HDF5_DEFLATE:
            if (!inflate_all(unpacking->inflater, unpacking->to, unpacking->bytes + checksums * CHECKSUM_BYTES, at,
                             have))
                return fail_unpack(name, "a chunk does not unpack to its size", err);
            have = unpacking->bytes + checksums * CHECKSUM_BYTES;
            break;
        default:
            if (have > fuse_hdf5_unpacking_room(unpacking->bytes))
                return fail_unpack(name, "a chunk has not its size", err);
            if (elem_bytes <= 1)
                continue;
            unshuffle(unpacking->to, at, have, elem_bytes);
        }
        swap_buffers(unpacking); /* a step reads from `from` what the one before has left there */
        at = unpacking->from;
    }
    if (have != unpacking->bytes)
        return fail_unpack(name, "a chunk has not its size", err);
    if (at == (const char *)packed)
        memcpy(unpacking->to, at, have);
    else
        swap_buffers(unpacking);
    return FUSE_OK;
}

/* ---- packing ---- */

enum fuse_status fuse_hdf5_packing_open(struct fuse_hdf5_packing *out, size_t bytes, size_t elem_bytes, int level,
                                        const char *name, struct fuse_error *err) {
    z_stream *deflater = calloc(1, sizeof *deflater);
    *out = (struct fuse_hdf5_packing){.bytes = bytes, .elem_bytes = elem_bytes};
    out->shuffled = malloc(bytes);
    if (deflater && deflateInit(deflater, level) == Z_OK) {
        out->deflater = deflater;
    } else {
        free(deflater);
    }
    if (out->shuffled && out->deflater)
        return FUSE_OK;
    fuse_hdf5_packing_close(out);
    return fuse_fail(err, FUSE_EMEMORY, "no memory to pack chunks of %zu bytes of %s", bytes, name);
}

void fuse_hdf5_packing_close(struct fuse_hdf5_packing *packing) {
    if (packing->deflater)
        deflateEnd(packing->deflater);
    free(packing->deflater);
    free(packing->shuffled);
    *packing = (struct fuse_hdf5_packing){.bytes = 0};
}

size_t fuse_hdf5_most_packed(size_t bytes) {
    return compressBound(bytes);
}

size_t fuse_hdf5_pack(struct fuse_hdf5_packing *packing, const void *chunk, void *to) {
    z_stream *stream = packing->deflater;
    size_t most = fuse_hdf5_most_packed(packing->bytes);
    const void *from = chunk;
    if (packing->elem_bytes > 1) {
        shuffle(packing->shuffled, chunk, packing->bytes, packing->elem_bytes);
        from = packing->shuffled;
    }
    deflateReset(stream);
    stream->next_in = (Bytef *)(uintptr_t)from;
    stream->avail_in = (uInt)packing->bytes;
    stream->next_out = to;
    stream->avail_out = (uInt)most;
    /* There is room for all of it, so that one call ends the stream. */
    return deflate(stream, Z_FINISH) == Z_STREAM_END ? most - stream->avail_out : 0;
}
