/* A dataset of an HDF5 file as libhdf5 sees it. Runs only in the process that hdf5_child.h starts: a broken file may crash
 * libhdf5, make it run for ever or eat memory. Nothing is closed; the process ends. Local. Failures are INPUT, or IO when the
 * system could not read.
 *
 * A name is followed link by link, because libhdf5 would follow links into other files. Refused, with the reason: links and
 * storage outside of the file, virtual datasets, elements that are not numbers, filters that are not built in. */
#ifndef FUSE_IO_HDF5_LOOK_H
#define FUSE_IO_HDF5_LOOK_H

#include "core/box.h"
#include "core/dtype.h"
#include "core/error.h"
#include "io/hdf5_filters.h"

/* Plain data: it travels between processes and is compared byte by byte. */
struct fuse_hdf5_facts {
    int32_t dtype; /* enum fuse_dtype, as stored */
    int32_t big_endian;
    int64_t rank, extent[FUSE_MAX_AXES];
    int64_t offset;               /* of element 0 when they lie one behind the other in the file, in C order; else -1 */
    int64_t chunk[FUSE_MAX_AXES]; /* what can be read at the cost of itself; for offset -1 */
    int64_t steps;                /* filters by which chunks are stored; 0: as they are */
    int64_t chunks_lie_apart;     /* chunks can be read from where fuse_hdf5_look_find says, unpacked by `filters` */
    struct fuse_hdf5_filters filters; /* if so */
    unsigned char fill[8];            /* .. and an element that was never written is this */
};

/* Where a chunk is stored. */
struct fuse_hdf5_place {
    int64_t offset, bytes; /* offset -1: it was never written */
    int64_t skipped;       /* bit i: without filter i */
};

struct fuse_hdf5_look;

/* part: "/group/set"; NULL: /data, or the only dataset. The facts are checked against the file's size. */
enum fuse_status fuse_hdf5_look_open(struct fuse_hdf5_look **out, struct fuse_hdf5_facts *facts, const char *path,
                                     const char *part, struct fuse_error *err) FUSE_CHECKED;
/* Only the file: for those that look at all of it. Then fuse_hdf5_look_handle is the file, else the dataset; a hid_t. */
enum fuse_status fuse_hdf5_look_file(struct fuse_hdf5_look **out, const char *path,
                                     struct fuse_error *err) FUSE_CHECKED;
int64_t fuse_hdf5_look_handle(const struct fuse_hdf5_look *look);
/* The elements of a box that lies in the dataset, packed in C order, as they are stored but for the filters. */
enum fuse_status fuse_hdf5_look_read(struct fuse_hdf5_look *look, const struct fuse_box *box, void *to,
                                     struct fuse_error *err) FUSE_CHECKED;
/* Where the chunks of a box of places (chunk_grid.h) are, in C order. They lie within the file. */
enum fuse_status fuse_hdf5_look_find(struct fuse_hdf5_look *look, const struct fuse_hdf5_facts *facts,
                                     const struct fuse_box *places, struct fuse_hdf5_place *to,
                                     struct fuse_error *err) FUSE_CHECKED;

#endif
