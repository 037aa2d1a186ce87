#include "io/text_file.h"

#include "io/rawfile.h"

#include <string.h>
#include <strings.h>
#include <unistd.h>

bool fuse_text_file_is_packed(const char *path) {
    size_t bytes = strlen(path);
    return bytes >= 3 && strcasecmp(path + bytes - 3, ".gz") == 0;
}

enum fuse_status fuse_text_file_probe(int64_t *file_bytes, const char *path, struct fuse_error *err) {
    int fd;
    FUSE_TRY(fuse_rawfile_open(&fd, file_bytes, path, err));
    enum fuse_status st = fuse_text_file_is_packed(path) ? fuse_gunzip_check(fd, *file_bytes, path, err) : FUSE_OK;
    close(fd);
    return st;
}

enum fuse_status fuse_text_file_probe_rows(struct fuse_probe *out, const char *path, const char *part,
                                           struct fuse_error *err) {
    (void)part;
    struct fuse_probe probe = {.file_dtype = FUSE_BOOL};
    FUSE_TRY(fuse_text_file_probe(&probe.file_bytes, path, err));
    *out = probe;
    return FUSE_OK;
}

static enum fuse_status open_probed(int *fd, const char *path, const struct fuse_probe *probe, struct fuse_error *err) {
    int64_t file_bytes;
    FUSE_TRY(fuse_rawfile_open(fd, &file_bytes, path, err));
    if (file_bytes == probe->file_bytes)
        return FUSE_OK;
    fuse_fail(err, FUSE_EINPUT, "%s changed after it was probed", path);
    fuse_hint(err, "a source must stay as it is while the program runs");
    return FUSE_EINPUT;
}

enum fuse_status fuse_text_file_scan(struct fuse_probe *probe, struct fuse_arena *arena, struct fuse_comm *comm,
                                     const char *path, struct fuse_error *err) {
    int fd = -1;
    enum fuse_status st = FUSE_OK;
    if (!fuse_text_file_is_packed(path))
        return FUSE_OK;
    struct fuse_gunzip_index *index = FUSE_NEW(arena, struct fuse_gunzip_index);
    if (comm->rank == 0) {
        st = open_probed(&fd, path, probe, err);
        if (st == FUSE_OK)
            st = fuse_gunzip_index(index, arena, fd, probe->file_bytes, path, err);
        if (fd >= 0)
            close(fd);
    }
    FUSE_TRY(fuse_gunzip_share(index, arena, comm, st, err));
    probe->packing = index;
    return FUSE_OK;
}

int64_t fuse_text_file_bytes(const struct fuse_probe *probe) {
    const struct fuse_gunzip_index *index = probe->packing;
    return index ? index->bytes : probe->file_bytes;
}

enum fuse_status fuse_text_file_open(struct fuse_text_file *file, const char *path, const struct fuse_probe *probe,
                                     struct fuse_error *err) {
    const struct fuse_gunzip_index *index = probe->packing;
    *file = (struct fuse_text_file){.fd = -1};
    FUSE_TRY(open_probed(&file->fd, path, probe, err));
    if (index) {
        FUSE_TRY(fuse_gunzip_open(&file->packed, file->fd, index, path, err));
        file->bytes = (struct fuse_bytes *)file->packed;
    } else {
        file->plain = fuse_file_bytes(file->fd, 0, path);
        file->bytes = &file->plain.bytes;
    }
    file->size = fuse_text_file_bytes(probe);
    return FUSE_OK;
}

void fuse_text_file_close(struct fuse_text_file *file) {
    if (file->fd >= 0)
        close(file->fd);
    fuse_gunzip_close(file->packed);
    file->fd = -1;
    file->packed = NULL;
}
