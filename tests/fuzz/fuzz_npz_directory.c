/* Any bytes as an .npz file: members of a directory that is accepted lie in the file, apart from each other, and reading
 * one ends with an error or with an array. */
#include "io/zip_directory.h"
#include "tests/fuzz/memory_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check_members(struct fuse_zip_directory *directory, struct memory_file *file) {
    for (int i = 0; i < directory->members; i++) {
        struct fuse_error err = {0};
        struct fuse_zip_member *m = &directory->member[i];
        if (fuse_zip_locate(m, &file->bytes, "fuzz.npz", &err) != FUSE_OK)
            continue;
        if (m->data < m->header || m->packed_bytes < 0 || m->bytes < 0 || m->limit > (int64_t)file->size ||
            m->data > m->limit - m->packed_bytes)
            abort();
        for (int j = 0; j < i && j < 64; j++)
            if (directory->member[j].header < m->limit && m->header < directory->member[j].limit)
                abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    struct memory_file file = memory_file(data, bytes);
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_zip_directory directory;
    struct fuse_error err = {0};
    enum fuse_status st = fuse_zip_read(&directory, arena, &file.bytes, (int64_t)bytes, "fuzz.npz", &err);
    if (st != FUSE_OK && st != FUSE_EINPUT)
        abort();
    if (st == FUSE_OK && directory.members < 1000) {
        check_members(&directory, &file);
        for (int i = 0; i < directory.members && i < 4; i++) {
            struct fuse_probe probe;
            free(memory_file_read(&st, &probe, &fuse_format_npz, directory.member[i].name, data, bytes));
            if (st != FUSE_OK && st != FUSE_EINPUT && st != FUSE_EMEMORY)
                abort();
        }
    }
    fuse_arena_close(arena);
    return 0;
}
