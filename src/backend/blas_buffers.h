/* Packing buffers for a sequential OpenBLAS that several threads call. Local. */
#ifndef FUSE_BACKEND_BLAS_BUFFERS_H
#define FUSE_BACKEND_BLAS_BUFFERS_H

#include "core/error.h"

#include <stdbool.h>

/* true when threads may call BLAS at the same time. */
bool fuse_blas_is_concurrent(void);
/* Maps a buffer for each thread of a team, so that lack of memory is an error here and not an abort inside BLAS. MEMORY
 * when one cannot be had. The buffers stay until the process ends. */
enum fuse_status fuse_blas_buffers_open(int threads, struct fuse_error *err) FUSE_CHECKED;

#endif
