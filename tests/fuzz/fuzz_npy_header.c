/* Any bytes as the beginning of an .npy file: a header that is accepted describes exactly the file that it heads. */
#include "io/npy_header.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    struct fuse_error err = {0};
    int64_t end;
    if (fuse_npy_header_end(&end, data, bytes, (int64_t)bytes, "fuzz.npy", &err) != FUSE_OK || (size_t)end > bytes)
        return 0;
    struct fuse_probe probe;
    if (fuse_npy_header_parse(&probe, data, (size_t)end, (int64_t)bytes, "fuzz.npy", &err) != FUSE_OK)
        return 0;
    int64_t elems = 1;
    for (int a = 0; a < probe.rank; a++)
        elems = fuse_sat_mul(elems, probe.extent[a]);
    int64_t size = fuse_sat_mul(elems, (int64_t)fuse_dtype_bytes(probe.file_dtype));
    if (probe.data_offset != end || fuse_sat_add(size, end) != (int64_t)bytes)
        abort();
    return 0;
}
