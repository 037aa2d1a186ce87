/* Reading the chunks of a dataset of an HDF5 file from where they are, without libhdf5, which only says where that is, in a
 * process of its own (hdf5_child.h). Local. */
#ifndef FUSE_IO_HDF5_UNPACK_H
#define FUSE_IO_HDF5_UNPACK_H

#include "io/hdf5_child.h"

struct fuse_hdf5_chunks;

/* For a dataset with facts->chunks_lie_apart, in the open file fd. `child` and `name`, for messages, outlive it. */
enum fuse_status fuse_hdf5_chunks_open(struct fuse_hdf5_chunks **out, const struct fuse_hdf5_facts *facts,
                                       struct fuse_hdf5_child *child, int fd, const char *name,
                                       struct fuse_error *err) FUSE_CHECKED;
/* The elements of a box that lies in the dataset, as source_read (format.h) gives them. Unpacked chunks are kept, a few of
 * them: boxes that share chunks are cheapest in the order of the file. INPUT for what is damaged. */
enum fuse_status fuse_hdf5_chunks_read(struct fuse_hdf5_chunks *chunks, const struct fuse_box *box,
                                       const struct fuse_view *to, struct fuse_error *err) FUSE_CHECKED;
void fuse_hdf5_chunks_close(struct fuse_hdf5_chunks *chunks); /* NULL is fine */

#endif
