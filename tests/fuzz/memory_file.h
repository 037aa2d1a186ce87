/* Fuzzed bytes as a file: in memory for what reads through struct fuse_bytes, and under a name for what opens one. */
#ifndef FUSE_TESTS_MEMORY_FILE_H
#define FUSE_TESTS_MEMORY_FILE_H

#include "io/format.h"
#include "io/bytes.h"

#include <stdlib.h>

struct memory_file {
    struct fuse_bytes bytes;
    const uint8_t *at;
    size_t size;
};

/* Reading beyond the end aborts: nobody may ask for it. */
struct memory_file memory_file(const uint8_t *data, size_t bytes);

/* Every element of the only array, or of a part, of the data as a file of this format, if the file is accepted and small.
 * NULL otherwise, with the status in *status; free it. Prints nothing. */
void *memory_file_read(enum fuse_status *status, struct fuse_probe *probe, const struct fuse_format *format,
                       const char *part, const uint8_t *data, size_t bytes);

#endif
