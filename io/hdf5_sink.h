/* .h5, .hdf5 as sinks: the functions of the format table. */
#ifndef FUSE_IO_HDF5_SINK_H
#define FUSE_IO_HDF5_SINK_H

#include "io/format.h"

/* As in struct fuse_format. */
const char *fuse_hdf5_sink_part(struct fuse_arena *arena, const char *part, struct fuse_error *err);
enum fuse_status fuse_hdf5_sink_open(struct fuse_sink **out, struct fuse_comm *comm, const struct fuse_sink_file *want,
                                     struct fuse_error *err) FUSE_CHECKED;
enum fuse_status fuse_hdf5_sink_write(struct fuse_sink *sink, int member, const struct fuse_box *box,
                                      const struct fuse_view *from, struct fuse_error *err) FUSE_CHECKED;
enum fuse_status fuse_hdf5_sink_finish(struct fuse_sink *sink, struct fuse_comm *comm,
                                       struct fuse_error *err) FUSE_CHECKED;
struct fuse_output_file *fuse_hdf5_sink_release(struct fuse_sink *sink);

#endif
