#include "io/hdf5_driver.h"

#include <errno.h>
#include <fcntl.h>
#include <hdf5.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct driver_file {
    H5FD_t base; /* libhdf5's, first */
    int fd;
    struct stat info;
    haddr_t eoa, eof; /* ends: of what is given out, and of the file */
    struct fuse_hdf5_elements *elements;
};

/* In the words of libhdf5's own drivers, which hdf5_reason.h looks for. */
#define WITH_REASON(minor, what) \
    (H5Epush2(H5E_DEFAULT, __FILE__, __func__, __LINE__, H5E_ERR_CLS, H5E_IO, minor, "%s: errno = %d", what, errno), -1)

static H5FD_t *open_file(const char *name, unsigned flags, hid_t access, haddr_t most) {
    struct fuse_hdf5_elements *const *elements = H5Pget_driver_info(access);
    struct driver_file *file = calloc(1, sizeof *file);
    (void)most;
    if (!file || !elements) {
        free(file);
        return NULL;
    }
    file->elements = *elements;
    file->fd = open(name, (flags & H5F_ACC_RDWR ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    if (file->fd < 0 || fstat(file->fd, &file->info) != 0) {
        (void)WITH_REASON(H5E_CANTOPENFILE, "cannot open the file");
        if (file->fd >= 0)
            close(file->fd);
        free(file);
        return NULL;
    }
    file->eof = (haddr_t)file->info.st_size;
    return &file->base;
}

static herr_t close_file(H5FD_t *handle) {
    struct driver_file *file = (struct driver_file *)handle;
    bool is_fine = close(file->fd) == 0;
    free(file);
    return is_fine ? 0 : WITH_REASON(H5E_CANTCLOSEFILE, "cannot close the file");
}

static int compare(const H5FD_t *one, const H5FD_t *other) {
    const struct stat *a = &((const struct driver_file *)one)->info, *b = &((const struct driver_file *)other)->info;
    if (a->st_dev != b->st_dev)
        return a->st_dev < b->st_dev ? -1 : 1;
    return a->st_ino < b->st_ino ? -1 : a->st_ino > b->st_ino;
}

static herr_t tell_features(const H5FD_t *handle, unsigned long *flags) {
    (void)handle;
    *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA; /* of elements nothing is gathered */
    return 0;
}

static haddr_t allocate(H5FD_t *handle, H5FD_mem_t type, hid_t transfer, hsize_t bytes) {
    struct driver_file *file = (struct driver_file *)handle;
    haddr_t at = file->eoa;
    (void)transfer;
    if (file->elements->floor > 0 && type == H5FD_MEM_DRAW) {
        at = (haddr_t)file->elements->next;
        file->elements->next += (int64_t)bytes;
    } else {
        file->eoa += bytes;
    }
    return at;
}

static haddr_t get_eoa(const H5FD_t *handle, H5FD_mem_t type) {
    (void)type;
    return ((const struct driver_file *)handle)->eoa;
}

static herr_t set_eoa(H5FD_t *handle, H5FD_mem_t type, haddr_t at) {
    struct driver_file *file = (struct driver_file *)handle;
    haddr_t floor = (haddr_t)file->elements->floor;
    (void)type;
    file->eoa = at > floor ? at : floor;
    return 0;
}

static haddr_t get_eof(const H5FD_t *handle, H5FD_mem_t type) {
    (void)type;
    return ((const struct driver_file *)handle)->eof;
}

/* Whether elements stay; then where they are is told. */
static bool they_stay(struct driver_file *file, H5FD_mem_t type, haddr_t at, size_t bytes) {
    if (type != H5FD_MEM_DRAW || !file->elements->stay)
        return false;
    file->elements->at = (int64_t)at;
    file->elements->bytes = (int64_t)bytes;
    return true;
}

static bool lies_within(const struct driver_file *file, haddr_t at, size_t bytes) {
    errno = EINVAL;
    return at <= file->eoa && bytes <= file->eoa - at && file->eoa <= (haddr_t)INT64_MAX;
}

static herr_t read_file(H5FD_t *handle, H5FD_mem_t type, hid_t transfer, haddr_t at, size_t bytes, void *to) {
    struct driver_file *file = (struct driver_file *)handle;
    (void)transfer;
    if (they_stay(file, type, at, bytes))
        return 0;
    if (!lies_within(file, at, bytes))
        return WITH_REASON(H5E_OVERFLOW, "an address is beyond the end of the file");
    for (size_t done = 0; done < bytes;) {
        ssize_t got = pread(file->fd, (char *)to + done, bytes - done, (off_t)(at + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return WITH_REASON(H5E_READERROR, "file read failed");
        if (got == 0) { /* what was given out and never written */
            memset((char *)to + done, 0, bytes - done);
            break;
        }
        done += (size_t)got;
    }
    return 0;
}

static herr_t write_file(H5FD_t *handle, H5FD_mem_t type, hid_t transfer, haddr_t at, size_t bytes, const void *from) {
    struct driver_file *file = (struct driver_file *)handle;
    (void)transfer;
    if (they_stay(file, type, at, bytes))
        return 0;
    if (!lies_within(file, at, bytes))
        return WITH_REASON(H5E_OVERFLOW, "an address is beyond the end of the file");
    for (size_t done = 0; done < bytes;) {
        ssize_t put = pwrite(file->fd, (const char *)from + done, bytes - done, (off_t)(at + done));
        if (put < 0 && errno == EINTR)
            continue;
        if (put == 0)
            errno = ENOSPC;
        if (put <= 0)
            return WITH_REASON(H5E_WRITEERROR, "file write failed");
        done += (size_t)put;
    }
    file->eof = at + bytes > file->eof ? at + bytes : file->eof;
    return 0;
}

static herr_t truncate_file(H5FD_t *handle, hid_t transfer, hbool_t closing) {
    struct driver_file *file = (struct driver_file *)handle;
    (void)transfer;
    (void)closing;
    if (file->eof == file->eoa)
        return 0;
    if (ftruncate(file->fd, (off_t)file->eoa) != 0)
        return WITH_REASON(H5E_SEEKERROR, "the size of the file cannot be set");
    file->eof = file->eoa;
    return 0;
}

static const H5FD_class_t driver = {
#ifdef H5FD_CLASS_VERSION
    .version = H5FD_CLASS_VERSION,
    .value = (H5FD_class_value_t)600, /* of those for anybody's own use */
#endif
    .name = "fuse_dist",
    .maxaddr = (haddr_t)INT64_MAX,
    .fc_degree = H5F_CLOSE_WEAK,
    .fapl_size = sizeof(struct fuse_hdf5_elements *),
    .open = open_file,
    .close = close_file,
    .cmp = compare,
    .query = tell_features,
    .alloc = allocate,
    .get_eoa = get_eoa,
    .set_eoa = set_eoa,
    .get_eof = get_eof,
    .read = read_file,
    .write = write_file,
    .truncate = truncate_file,
    .fl_map = H5FD_FLMAP_DICHOTOMY,
};

int64_t fuse_hdf5_driver_access(struct fuse_hdf5_elements *elements) {
    hid_t id = H5FDregister(&driver), access = id < 0 ? -1 : H5Pcreate(H5P_FILE_ACCESS);
    return access >= 0 && H5Pset_driver(access, id, &elements) >= 0 ? access : -1;
}
