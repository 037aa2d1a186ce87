/* Any bytes as a .json file: the scan in chunks and the reader in order agree on whether it is an array and on what is
 * wrong; an array that is accepted is read whole, and its numbers survive being written and read again. The first byte of
 * the input chooses the size of the chunks. */
#include "io/decimal.h"
#include "io/json_scan.h"
#include "tests/fuzz/memory_file.h"

#include <math.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static bool is_accepted(const uint8_t *data, size_t bytes, int64_t chunk_bytes) {
    struct memory_file file = memory_file(data, bytes);
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_comm *self;
    struct fuse_error scanned = {0}, explained = {0};
    struct fuse_probe probe;
    if (!arena || fuse_comm_open_self(&self, &scanned) != FUSE_OK)
        abort();
    enum fuse_status st =
        fuse_json_scan(&probe, arena, self, &file.bytes, (int64_t)bytes, chunk_bytes, "fuzz.json", &scanned);
    if (st != fuse_json_explain(&file.bytes, (int64_t)bytes, "fuzz.json", &explained) ||
        strcmp(scanned.message, explained.message) != 0 || (st != FUSE_OK && st != FUSE_EINPUT))
        abort();
    self->ops->close(self);
    fuse_arena_close(arena);
    return st == FUSE_OK;
}

static void check_numbers(const float *value, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        char text[FUSE_DECIMAL_BYTES];
        size_t length = fuse_decimal_write_f32(text, value[i]);
        float back = fuse_decimal_read_f32(text, length);
        if (length > FUSE_DECIMAL_BYTES || memcmp(&back, &value[i], sizeof back) != 0)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    if (bytes == 0)
        return 0;
    bool accepted = is_accepted(data + 1, bytes - 1, 1 + data[0] % 64);
    enum fuse_status st;
    struct fuse_probe probe;
    void *array = memory_file_read(&st, &probe, &fuse_format_json, NULL, data + 1, bytes - 1);
    if (accepted ? st != FUSE_OK && st != FUSE_EMEMORY : st != FUSE_EINPUT)
        abort();
    if (array && probe.file_dtype == FUSE_F32) {
        struct fuse_box box = fuse_box_full(probe.rank, probe.extent);
        check_numbers(array, fuse_box_elems(&box));
    }
    free(array);
    return 0;
}
