/* Why libhdf5 failed. Local. */
#ifndef FUSE_IO_HDF5_REASON_H
#define FUSE_IO_HDF5_REASON_H

struct fuse_hdf5_reason {
    char text[160]; /* printable; never empty */
    int code;       /* of errno when the system refused something, else 0 */
};

/* The innermost cause of the last failure, which further calls forget. */
struct fuse_hdf5_reason fuse_hdf5_last_reason(void);
/* Puts '?' for what cannot be shown. Returns `text`. */
char *fuse_hdf5_printable(char *text);

#endif
