/* The filters of HDF5 that have a plain form of their own: bytes of one significance together (shuffle), zlib (deflate),
 * and the checksum of Fletcher. For chunks, in memory. Local. */
#ifndef FUSE_IO_HDF5_FILTERS_H
#define FUSE_IO_HDF5_FILTERS_H

#include "core/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FUSE_HDF5_DEFLATE = 1, FUSE_HDF5_SHUFFLE = 2, FUSE_HDF5_FLETCHER32 = 3, FUSE_HDF5_FILTERS = 4 };

/* The steps by which chunks are stored, in the order of writing. */
struct fuse_hdf5_filters {
    int64_t n;
    struct {
        int32_t id, value; /* value: bytes of an element, for shuffle; level, for deflate */
    } step[FUSE_HDF5_FILTERS];
};

/* Whether fuse_hdf5_unpack knows them: at most one deflate. */
bool fuse_hdf5_filters_are_known(const struct fuse_hdf5_filters *filters);

/* Buffers for chunks of so many bytes unpacked; each has fuse_hdf5_unpacking_room(bytes) and may be exchanged for another. */
struct fuse_hdf5_unpacking {
    const struct fuse_hdf5_filters *filters; /* known; NULL: not open */
    size_t bytes;
    char *from, *to;
    void *inflater;
};

size_t fuse_hdf5_unpacking_room(size_t bytes);
enum fuse_status fuse_hdf5_unpacking_open(struct fuse_hdf5_unpacking *out, const struct fuse_hdf5_filters *filters,
                                          size_t bytes, const char *name, struct fuse_error *err) FUSE_CHECKED;
/* Unpacks a chunk into unpacking->to. Bit i of `skipped`: step i was left out. INPUT for anything but a chunk of that size;
 * never more than that is unpacked. */
enum fuse_status fuse_hdf5_unpack(struct fuse_hdf5_unpacking *unpacking, const void *packed, size_t packed_bytes,
                                  uint32_t skipped, const char *name, struct fuse_error *err) FUSE_CHECKED;
void fuse_hdf5_unpacking_close(struct fuse_hdf5_unpacking *unpacking); /* one that was zeroed is fine */

struct fuse_hdf5_packing {
    size_t bytes, elem_bytes;
    char *shuffled;
    void *deflater;
};

/* For chunks of so many bytes, to be shuffled (elements of several bytes) and deflated. */
enum fuse_status fuse_hdf5_packing_open(struct fuse_hdf5_packing *out, size_t bytes, size_t elem_bytes, int level,
                                        const char *name, struct fuse_error *err) FUSE_CHECKED;
/* The most that a chunk of so many bytes takes packed. */
size_t fuse_hdf5_most_packed(size_t bytes);
/* Packs a chunk; returns its bytes in `to`, which has room for fuse_hdf5_most_packed. The same on every rank. */
size_t fuse_hdf5_pack(struct fuse_hdf5_packing *packing, const void *chunk, void *to);
void fuse_hdf5_packing_close(struct fuse_hdf5_packing *packing); /* one that was zeroed is fine */

#endif
