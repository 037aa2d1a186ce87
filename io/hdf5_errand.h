/* Writing with libhdf5, by a process of its own: a full disk crashes it. Local. */
#ifndef FUSE_IO_HDF5_ERRAND_H
#define FUSE_IO_HDF5_ERRAND_H

#include "core/error.h"

#include <stddef.h>
#include <stdint.h>

/* Runs work in a process that is a copy of this one, under libhdf5's silence, and returns what it returns. What it leaves in
 * out[0 .. bytes) arrives here. `failure` (OUTPUT, IO) is what its end without an answer within the time is. */
enum fuse_status fuse_hdf5_errand(enum fuse_status (*work)(void *context, struct fuse_error *err), void *context,
                                  void *out, size_t bytes, const char *path, int64_t seconds, enum fuse_status failure,
                                  struct fuse_error *err) FUSE_CHECKED;
/* Inside of it: why libhdf5 failed to write. */
enum fuse_status fuse_hdf5_fail_write(const char *path, enum fuse_status failure, struct fuse_error *err);

#endif
