/* A driver of libhdf5 for files that it reads and writes but for elements: where those are or go is told, and they stay for
 * others to move. It is for processes that hdf5_child.h and hdf5_errand.h start. Local. */
#ifndef FUSE_IO_HDF5_DRIVER_H
#define FUSE_IO_HDF5_DRIVER_H

#include <stdbool.h>
#include <stdint.h>

struct fuse_hdf5_elements {
    bool stay;         /* are not moved while this is set: */
    int64_t at, bytes; /* here were the last ones that should have been */
    /* Room for elements is given out from `next` on, and for everything else behind `floor`; floor 0: as it comes. */
    int64_t next, floor;
};

/* A property list for opening a file that exists, a hid_t; negative when there is none. `elements` outlives the file. */
int64_t fuse_hdf5_driver_access(struct fuse_hdf5_elements *elements);

#endif
