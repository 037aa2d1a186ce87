#include "tests/fuzz/memory_file.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static enum fuse_status read_memory(struct fuse_bytes *self, void *to, size_t bytes, int64_t offset,
                                    struct fuse_error *err) {
    (void)err;
    const struct memory_file *file = (struct memory_file *)self;
    if (offset < 0 || (uint64_t)offset > file->size || bytes > file->size - (uint64_t)offset)
        abort();
    if (bytes > 0)
        memcpy(to, file->at + offset, bytes);
    return FUSE_OK;
}

struct memory_file memory_file(const uint8_t *data, size_t bytes) {
    return (struct memory_file){.bytes = {.read = read_memory}, .at = data, .size = bytes};
}

enum { MOST_BYTES = 1 << 20 };

static enum fuse_status read_array(void **out, const struct fuse_probe *probe, const struct fuse_format *format,
                                   const char *path, const char *part, struct fuse_comm *self, struct fuse_error *err) {
    struct fuse_source *source;
    struct fuse_box box = fuse_box_full(probe->rank, probe->extent);
    enum fuse_dtype dtype = fuse_dtype_resident(probe->file_dtype);
    int64_t bytes = fuse_sat_mul(fuse_box_elems(&box), (int64_t)fuse_dtype_bytes(dtype));
    if (bytes > MOST_BYTES)
        return FUSE_EMEMORY;
    void *data = malloc((size_t)bytes + 1);
    struct fuse_view view = fuse_box_view(data, dtype, &box, false, &box);
    enum fuse_status st = format->source_open(&source, path, part, probe, err);
    if (st == FUSE_OK) {
        st = format->source_read(source, &box, &view, err);
        if (st == FUSE_OK && format->source_finish)
            st = format->source_finish(source, self, err);
        format->source_close(source);
    }
    if (st == FUSE_OK)
        *out = data;
    else
        free(data);
    return st;
}

void *memory_file_read(enum fuse_status *status, struct fuse_probe *probe, const struct fuse_format *format,
                       const char *part, const uint8_t *data, size_t bytes) {
    int fd = memfd_create("fuzz", 0);
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_comm *self;
    struct fuse_error err = {0};
    void *out = NULL;
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (fd < 0 || !arena || fuse_comm_open_self(&self, &err) != FUSE_OK || write(fd, data, bytes) != (ssize_t)bytes)
        abort();
    *status = format->probe(probe, path, part, &err);
    if (*status == FUSE_OK && format->scan)
        *status = format->scan(probe, arena, self, path, part, &err);
    if (*status == FUSE_OK)
        *status = read_array(&out, probe, format, path, part, self, &err);
    probe->index = NULL;
    self->ops->close(self);
    fuse_arena_close(arena);
    close(fd);
    return out;
}
