#include "io/bytes.h"

#include "io/rawfile.h"

static enum fuse_status read_file(struct fuse_bytes *self, void *to, size_t bytes, int64_t offset,
                                  struct fuse_error *err) {
    const struct fuse_file_bytes *file = (struct fuse_file_bytes *)self;
    return fuse_rawfile_read(file->fd, to, bytes, file->begin + offset, file->path, err);
}

static enum fuse_status write_file(struct fuse_bytes *self, const void *from, size_t bytes, int64_t offset,
                                   struct fuse_error *err) {
    const struct fuse_file_bytes *file = (struct fuse_file_bytes *)self;
    return fuse_rawfile_write(file->fd, from, bytes, file->begin + offset, file->path, err);
}

struct fuse_file_bytes fuse_file_bytes(int fd, int64_t begin, const char *path) {
    return (struct fuse_file_bytes){
        .bytes = {.read = read_file, .write = write_file}, .fd = fd, .begin = begin, .path = path};
}
