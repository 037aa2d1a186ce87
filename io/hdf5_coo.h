/* "file.h5:/set:coo": a relation in an HDF5 file. /set is an n x arity dataset of integers, a row a tuple, and /set.values, of a
 * numeric relation, has n numbers. Written as in coo.h; several relations share a file, dense tensors are in others. */
#ifndef FUSE_IO_HDF5_COO_H
#define FUSE_IO_HDF5_COO_H

#include "io/format.h"

/* The name of the dataset of ids that a part with ":coo" means; NULL with a reason (OUTPUT): it cannot be one. In the arena. */
const char *fuse_hdf5_coo_set(struct fuse_arena *arena, const char *part, struct fuse_error *err);
/* That of its values. */
const char *fuse_hdf5_coo_values(struct fuse_arena *arena, const char *set);

/* As in struct fuse_format. */
const char *fuse_hdf5_coo_part(struct fuse_arena *arena, const char *part, struct fuse_error *err);
enum fuse_status fuse_hdf5_coo_open(struct fuse_sink **out, struct fuse_comm *comm, const struct fuse_sink_file *want,
                                    struct fuse_error *err) FUSE_CHECKED;
enum fuse_status fuse_hdf5_coo_write(struct fuse_sink *sink, int member, const struct fuse_box *box,
                                     const struct fuse_view *from, struct fuse_error *err) FUSE_CHECKED;
enum fuse_status fuse_hdf5_coo_tuples(struct fuse_sink *sink, int member, int64_t first, int64_t total,
                                      const struct fuse_tuple_rows *rows, struct fuse_error *err) FUSE_CHECKED;
enum fuse_status fuse_hdf5_coo_finish(struct fuse_sink *sink, struct fuse_comm *comm,
                                      struct fuse_error *err) FUSE_CHECKED;
struct fuse_output_file *fuse_hdf5_coo_release(struct fuse_sink *sink);

#endif
