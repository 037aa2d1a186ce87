/* What libhdf5 does in writing a file: everything that is not elements, and compressed chunks. */
#ifndef FUSE_IO_HDF5_WRITE_H
#define FUSE_IO_HDF5_WRITE_H

#include "io/array.h"
#include "io/format.h"
#include "io/output_file.h"

/* Local and pure: whether a member is stored in chunks, and if so in which. */
bool fuse_hdf5_chunks(int64_t chunk[FUSE_MAX_AXES], const struct fuse_sink_member *member);

/* Local, on one rank, by a process of its own: a full disk crashes libhdf5. Makes the file `temporary`, which exists, with groups, datasets, labels of axes and attributes; no
 * time stands in it. offset[m]: where the elements of member m go, -1 when it is stored in chunks or has none. The file
 * reaches to their end. OUTPUT. */
enum fuse_status fuse_hdf5_lay_out(int64_t *offset, const char *temporary, const struct fuse_sink_file *want,
                                   struct fuse_error *err) FUSE_CHECKED;

/* The elements of a member that is stored in chunks. */
struct fuse_hdf5_chunked {
    const char *part;
    struct fuse_array *elements; /* all of them, readable by every rank */
    int64_t chunk[FUSE_MAX_AXES];
};

/* Collective. Compresses and writes members, each rank a share of the chunks, in collective calls of libhdf5; rank 0 keeps
 * room for each before, because libhdf5 does not survive a full disk. A failure of one rank is everybody's. note receives a line when libhdf5 wrote otherwise than collectively,
 * else "". */
enum fuse_status fuse_hdf5_write_chunks(struct fuse_output_file *file, struct fuse_comm *comm,
                                        struct fuse_hdf5_chunked *member, int members, char *note, size_t note_bytes,
                                        struct fuse_error *err) FUSE_CHECKED;

#endif
