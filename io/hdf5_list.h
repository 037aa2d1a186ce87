/* What an HDF5 file holds: all its datasets, with how they are stored and the attributes that are text. */
#ifndef FUSE_IO_HDF5_LIST_H
#define FUSE_IO_HDF5_LIST_H

#include "io/format.h"
#include "io/hdf5_look.h"

/* As in struct fuse_format. */
enum fuse_status fuse_hdf5_list_parts(struct fuse_contents *out, struct fuse_arena *arena, const char *path,
                                      struct fuse_error *err) FUSE_CHECKED;
/* hdf5.c: what others learn of a dataset. */
struct fuse_probe fuse_hdf5_probe_of(const struct fuse_hdf5_facts *facts, int64_t file_bytes);

#endif
