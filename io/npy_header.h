/* The header of an .npy file: a Python dictionary literal, parsed without trusting any of it. Local; pure but for what
 * reads.
 *
 *   \x93NUMPY  major minor  length  {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }  spaces  \n  elements
 *   6 bytes    1     1      2 or 4                                                                       ^ data_offset
 *
 * `path` is for messages only. Failures are INPUT. */
#ifndef FUSE_IO_NPY_HEADER_H
#define FUSE_IO_NPY_HEADER_H

#include "core/error.h"
#include "core/probe.h"
#include "io/bytes.h"

#include <stddef.h>
#include <stdint.h>

/* Bytes of a file that tell where its header ends (fewer when the file is shorter). */
#define FUSE_NPY_PREFIX 12
/* NumPy's own limit is 10,000 characters; a header beyond this is not read. */
#define FUSE_NPY_MAX_HEADER ((int64_t)1 << 20)
/* Room for every header that fuse_npy_header_write makes. */
#define FUSE_NPY_WRITE_BYTES 1024

/* *out = the offset of the elements, from the first `bytes` >= min(FUSE_NPY_PREFIX, file_bytes) bytes of the file. Checks
 * magic, version, and that the header ends inside the file. */
enum fuse_status fuse_npy_header_end(int64_t *out, const void *at, size_t bytes, int64_t file_bytes, const char *path,
                                     struct fuse_error *err) FUSE_CHECKED;

/* The whole header from the first `bytes` bytes of a file, which reach its end. Checks that extents fit in 63 bits and
 * that the file has exactly the bytes that they ask for. */
enum fuse_status fuse_npy_header_parse(struct fuse_probe *out, const void *at, size_t bytes, int64_t file_bytes,
                                       const char *path, struct fuse_error *err) FUSE_CHECKED;

/* Reads and parses the header of a file of `file_bytes` bytes. */
enum fuse_status fuse_npy_header_read(struct fuse_probe *out, struct fuse_bytes *file, int64_t file_bytes,
                                      const char *path, struct fuse_error *err) FUSE_CHECKED;

/* The same of an array that the file begins with; something else may follow it from *end on. */
enum fuse_status fuse_npy_header_read_first(struct fuse_probe *out, int64_t *end, struct fuse_bytes *file,
                                            int64_t file_bytes, const char *path, struct fuse_error *err) FUSE_CHECKED;

/* Writes a version 1.0 header, C order, little-endian, byte for byte as NumPy does; returns its length, a multiple of 64.
 * 0 when npy has no such dtype (bf16). */
size_t fuse_npy_header_write(char out[FUSE_NPY_WRITE_BYTES], enum fuse_dtype dtype, int rank, const int64_t *extent);

/* OUTPUT when npy has no such dtype. */
enum fuse_status fuse_npy_holds(enum fuse_dtype dtype, const char *path, struct fuse_error *err) FUSE_CHECKED;

/* The same with the bytes of header and file. OUTPUT when npy has no such dtype or the file would have 2^63 bytes. */
enum fuse_status fuse_npy_layout(char header[FUSE_NPY_WRITE_BYTES], int64_t *header_bytes, int64_t *file_bytes,
                                 enum fuse_dtype dtype, int rank, const int64_t *extent, const char *path,
                                 struct fuse_error *err) FUSE_CHECKED;

#endif
