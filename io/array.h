/* An array whose elements lie packed, one behind the other: its boxes, read and written as contiguous runs of bytes. What
 * every format with such elements shares, be the bytes a part of a file (npy, stored npz) or made on the way (deflated
 * npz, json). Local. */
#ifndef FUSE_IO_ARRAY_H
#define FUSE_IO_ARRAY_H

#include "core/box.h"
#include "core/probe.h"
#include "io/bytes.h"

struct fuse_array {
    enum fuse_dtype dtype; /* of the stored elements */
    int rank;
    int64_t extent[FUSE_MAX_AXES];
    bool big_endian, reversed;
    int64_t offset; /* of element 0 in `bytes` */
    struct fuse_bytes *bytes;
    const char *name; /* for messages */
    char *bounce;
};

/* `bytes` and `name` outlive the array. MEMORY when there is none for its buffer of 1 MiB. */
enum fuse_status fuse_array_open(struct fuse_array *out, enum fuse_dtype dtype, int rank, const int64_t *extent,
                                 int64_t offset, struct fuse_bytes *bytes, const char *name,
                                 struct fuse_error *err) FUSE_CHECKED;
/* The same with the facts of a probe. */
enum fuse_status fuse_array_open_probed(struct fuse_array *out, const struct fuse_probe *probe,
                                        struct fuse_bytes *bytes, const char *name,
                                        struct fuse_error *err) FUSE_CHECKED;
/* One that was zeroed and never opened is fine. */
void fuse_array_close(struct fuse_array *array);

/* Reads the elements of a box into a view of dtype fuse_dtype_resident(array->dtype). Runs of 64 KiB and more go straight
 * to memory; shorter ones are gathered into larger reads, over gaps where that is cheaper. A U64 beyond I64 is INPUT. */
enum fuse_status fuse_array_read(const struct fuse_array *array, const struct fuse_box *box, const struct fuse_view *to,
                                 struct fuse_error *err) FUSE_CHECKED;
/* The same for writing, little-endian and in C order. Touches no byte outside the box. */
enum fuse_status fuse_array_write(const struct fuse_array *array, const struct fuse_box *box,
                                  const struct fuse_view *from, struct fuse_error *err) FUSE_CHECKED;

/* true when all that is compared is equal: the file is the one that was probed. */
bool fuse_probe_equal(const struct fuse_probe *a, const struct fuse_probe *b);

#endif
