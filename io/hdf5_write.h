/* Writing an HDF5 file. libhdf5 writes what is not elements, by one process; elements are written by the ranks, also those in
 * chunks, packed or not: where they go follows from their sizes, which the ranks add up, so that the file has the same bytes
 * on any number of them. The calls of libhdf5 that write in parallel are not used: a full disk, an error of the file system
 * or the end of a rank inside of them ends the others or leaves them waiting, and so does what is compressed by them depend on
 * the number of ranks. */
#ifndef FUSE_IO_HDF5_WRITE_H
#define FUSE_IO_HDF5_WRITE_H

#include "io/array.h"
#include "io/chunk_grid.h"
#include "io/format.h"
#include "io/output_file.h"

/* Local and pure: whether a member is stored in chunks, and if so in which. */
bool fuse_hdf5_chunks(int64_t chunk[FUSE_MAX_AXES], const struct fuse_sink_member *member);

/* Local, on one rank, by a process of its own. Makes the file `temporary`, which exists, with groups, datasets, labels of
 * axes and attributes; no time stands in it. offset[m]: where the elements of member m go, -1 when it is stored in chunks or
 * has none. The file reaches to their end. OUTPUT. */
enum fuse_status fuse_hdf5_lay_out(int64_t *offset, const char *temporary, const struct fuse_sink_file *want,
                                   struct fuse_error *err) FUSE_CHECKED;

/* The elements of a member that is stored in chunks; every chunk has the bytes of a whole one before it is packed. */
struct fuse_hdf5_chunked {
    const char *part;
    struct fuse_chunk_grid grid;
    size_t chunk_bytes, elem_bytes;
    int gzip;         /* 0: chunks are not packed: */
    int64_t offset;   /* .. chunk 0 is here in the file, the others behind it; else in the spool */
    uint32_t *packed; /* [chunks] bytes, on rank 0; NULL for those that are not packed */
};

/* Collective. Packs the chunks of a member that is to be packed, each rank a share, from `spool` to the file, from *end on, in
 * the order of their numbers; *end moves behind them. A failure of one rank is everybody's. */
enum fuse_status fuse_hdf5_pack_member(struct fuse_output_file *file, int spool, struct fuse_comm *comm,
                                       struct fuse_hdf5_chunked *member, int64_t *end,
                                       struct fuse_error *err) FUSE_CHECKED;

/* Local, on rank 0, by a process of its own. Tells the file where the chunks are that lie from `begin` on, one behind the other,
 * member by member, up to `end`. IO. */
enum fuse_status fuse_hdf5_index_chunks(const struct fuse_output_file *file, const struct fuse_hdf5_chunked *member,
                                        int members, int64_t begin, int64_t end, struct fuse_error *err) FUSE_CHECKED;

#endif
