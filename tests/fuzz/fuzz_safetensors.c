/* Any bytes as a .safetensors file: the tensors of a header that is accepted fill the rest of the file, each byte belonging
 * to one, and reading one ends with an array or with an error. */
#include "io/safetensors_header.h"
#include "tests/fuzz/memory_file.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check_tensors(const struct fuse_safetensors *file, int64_t file_bytes) {
    int64_t all = 0, header = file_bytes;
    for (int i = 0; i < file->tensors.n; i++) {
        const struct fuse_safetensors_tensor *t = &file->tensors.at[i];
        struct fuse_box full = fuse_box_full(t->rank, t->extent);
        int64_t size = t->end - t->begin;
        if (t->begin < 8 || size < 0 || t->end > file_bytes)
            abort();
        if (t->is_known && size != fuse_box_elems(&full) * (int64_t)fuse_dtype_bytes(t->dtype))
            abort();
        for (int j = 0; j < i && j < 64; j++)
            if (strcmp(file->tensors.at[j].name, t->name) == 0 ||
                (file->tensors.at[j].begin < t->end && t->begin < file->tensors.at[j].end))
                abort();
        all += size;
        header = t->begin < header ? t->begin : header;
    }
    if (file->tensors.n > 0 && all != file_bytes - header)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    struct memory_file memory = memory_file(data, bytes);
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_safetensors file;
    struct fuse_error err = {0};
    if (!arena)
        abort();
    enum fuse_status st = fuse_safetensors_read(&file, arena, &memory.bytes, (int64_t)bytes, "fuzz.safetensors", &err);
    if (st != FUSE_OK && (st != FUSE_EINPUT || strncmp(err.message, "fuzz.safetensors", 16) != 0 || !err.hint[0]))
        abort();
    if (st == FUSE_OK && file.tensors.n < 1000) {
        check_tensors(&file, (int64_t)bytes);
        for (int i = 0; i < file.tensors.n && i < 4; i++) {
            struct fuse_probe probe;
            free(memory_file_read(&st, &probe, &fuse_format_safetensors, file.tensors.at[i].name, data, bytes));
            if (st != FUSE_OK && st != FUSE_EINPUT && st != FUSE_EMEMORY)
                abort();
        }
    }
    fuse_arena_close(arena);
    return 0;
}
