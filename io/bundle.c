#include "io/bundle.h"

#include "core/hash.h"
#include "io/output_file.h"
#include "io/rawfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { PIECE_BYTES = 1 << 20 };

/* ---- writing ---- */

enum fuse_status fuse_bundle_create(struct fuse_bundle_writer *out, struct fuse_arena *arena, const char *path,
                                    struct fuse_error *err) {
    *out = (struct fuse_bundle_writer){.arena = arena, .path = path};
    out->temporary = fuse_arena_printf(arena, "%s.XXXXXX", path);
    out->fd = -1;
    if (fuse_output_file_check(path, err) != FUSE_OK) {
        fuse_hint(err, "choose another name for the pack");
        return err->status;
    }
    out->fd = mkstemp(out->temporary);
    if (out->fd >= 0)
        return FUSE_OK;
    fuse_fail(err, FUSE_EOUTPUT, "cannot write %s: %s", path, strerror(errno));
    fuse_hint(err, "its folder must exist and be writable");
    return FUSE_EOUTPUT;
}

void fuse_bundle_discard(struct fuse_bundle_writer *writer) {
    if (writer->fd >= 0)
        close(writer->fd);
    writer->fd = -1;
    unlink(writer->temporary);
}

static enum fuse_status put(struct fuse_bundle_writer *w, const void *at, size_t bytes, struct fuse_error *err) {
    FUSE_TRY(fuse_rawfile_write(w->fd, at, bytes, w->bytes, w->temporary, err));
    w->bytes += (int64_t)bytes;
    return FUSE_OK;
}

/* Its local header is written when the checksum is known. */
static struct fuse_zip_member *begin_member(struct fuse_bundle_writer *w, const char *name, int64_t bytes) {
    struct fuse_zip_member member = {.name = fuse_arena_strndup(w->arena, name, strlen(name)),
                                     .crc = (uint32_t)crc32(0, NULL, 0),
                                     .method = FUSE_ZIP_STORED,
                                     .packed_bytes = bytes,
                                     .bytes = bytes,
                                     .header = w->bytes};
    w->bytes += fuse_zip_header_bytes(name, bytes);
    fuse_vec_push(w->arena, &w->members, member);
    return &w->members.at[w->members.n - 1];
}

static enum fuse_status end_member(struct fuse_bundle_writer *w, const struct fuse_zip_member *member,
                                   struct fuse_error *err) {
    size_t bytes = (size_t)fuse_zip_header_bytes(member->name, member->bytes);
    void *header = fuse_arena_alloc(w->arena, bytes);
    fuse_zip_write_header(header, member);
    return fuse_rawfile_write(w->fd, header, bytes, member->header, w->temporary, err);
}

enum fuse_status fuse_bundle_add(struct fuse_bundle_writer *w, const char *name, const void *at, size_t bytes,
                                 struct fuse_error *err) {
    struct fuse_zip_member *member = begin_member(w, name, (int64_t)bytes);
    member->crc = (uint32_t)crc32_z(member->crc, at, bytes);
    FUSE_TRY(put(w, at, bytes, err));
    return end_member(w, member, err);
}

static enum fuse_status copy_file(struct fuse_bundle_writer *w, uint64_t *digest, const char *name, int fd,
                                  int64_t bytes, const char *path, struct fuse_error *err) {
    struct fuse_zip_member *member = begin_member(w, name, bytes);
    char *piece = malloc(PIECE_BYTES);
    enum fuse_status st = piece ? FUSE_OK : fuse_fail(err, FUSE_EMEMORY, "no memory to copy %s", path);
    *digest = FUSE_HASH_SEED;
    for (int64_t at = 0; at < bytes && st == FUSE_OK; at += PIECE_BYTES) {
        size_t n = (size_t)(bytes - at < PIECE_BYTES ? bytes - at : PIECE_BYTES);
        st = fuse_rawfile_read(fd, piece, n, at, path, err);
        if (st != FUSE_OK)
            break;
        member->crc = (uint32_t)crc32_z(member->crc, (const unsigned char *)piece, n);
        *digest = fuse_hash_bytes(*digest, piece, n);
        st = put(w, piece, n, err);
    }
    free(piece);
    return st == FUSE_OK ? end_member(w, member, err) : st;
}

enum fuse_status fuse_bundle_add_file(struct fuse_bundle_writer *w, uint64_t *digest, const char *name,
                                      const char *path, struct fuse_error *err) {
    int fd;
    int64_t bytes;
    FUSE_TRY(fuse_rawfile_open(&fd, &bytes, path, err));
    enum fuse_status st = copy_file(w, digest, name, fd, bytes, path, err);
    close(fd);
    return st;
}

enum fuse_status fuse_bundle_finish(struct fuse_bundle_writer *w, struct fuse_error *err) {
    struct fuse_zip_directory directory = {.member = w->members.at, .members = w->members.n};
    size_t bytes = (size_t)fuse_zip_directory_bytes(&directory, w->bytes);
    void *records = fuse_arena_alloc(w->arena, bytes);
    fuse_zip_write_directory(records, &directory, w->bytes);
    enum fuse_status st = put(w, records, bytes, err);
    mode_t mask = umask(0);
    umask(mask);
    bool fine = st == FUSE_OK && fchmod(w->fd, 0666 & ~mask) == 0;
    fine = close(w->fd) == 0 && fine;
    w->fd = -1;
    if (fine && rename(w->temporary, w->path) == 0)
        return FUSE_OK;
    fuse_fail(err, FUSE_EOUTPUT, "cannot write %s: %s", w->path, strerror(errno));
    fuse_hint(err, "its folder must exist and be writable");
    unlink(w->temporary);
    return err->status;
}

/* ---- reading ---- */

enum fuse_status fuse_bundle_open(struct fuse_bundle *out, struct fuse_arena *arena, const char *path,
                                  struct fuse_error *err) {
    int64_t bytes;
    *out = (struct fuse_bundle){.arena = arena, .path = path, .fd = -1};
    FUSE_TRY(fuse_rawfile_open(&out->fd, &bytes, path, err));
    struct fuse_file_bytes file = fuse_file_bytes(out->fd, 0, path);
    enum fuse_status st = fuse_zip_read(&out->directory, arena, &file.bytes, bytes, path, err);
    if (st != FUSE_OK)
        fuse_bundle_close(out);
    return st;
}

void fuse_bundle_close(struct fuse_bundle *bundle) {
    if (bundle->fd >= 0)
        close(bundle->fd);
    bundle->fd = -1;
}

static enum fuse_status find_member(struct fuse_zip_member **out, struct fuse_bundle *bundle, const char *name,
                                    struct fuse_error *err) {
    struct fuse_zip_member *found = NULL;
    int times = 0;
    for (int i = 0; i < bundle->directory.members; i++) {
        if (strcmp(bundle->directory.member[i].name, name) != 0)
            continue;
        found = &bundle->directory.member[i];
        times++;
    }
    if (times != 1)
        return fuse_fail(err, FUSE_EINPUT, "%s has %s member '%s'", bundle->path, times ? "more than one" : "no", name);
    struct fuse_file_bytes file = fuse_file_bytes(bundle->fd, 0, bundle->path);
    FUSE_TRY(fuse_zip_locate(found, &file.bytes, bundle->path, err));
    if (found->method != FUSE_ZIP_STORED)
        return fuse_fail(err, FUSE_EINPUT, "%s: member '%s' is compressed", bundle->path, name);
    *out = found;
    return FUSE_OK;
}

static enum fuse_status fail_damaged(const struct fuse_bundle *bundle, const char *name, struct fuse_error *err) {
    return fuse_fail(err, FUSE_EINPUT, "%s: member '%s' is damaged", bundle->path, name);
}

enum fuse_status fuse_bundle_read(const char **at, size_t *bytes, struct fuse_bundle *bundle, const char *name,
                                  int64_t most, struct fuse_error *err) {
    struct fuse_zip_member *member;
    FUSE_TRY(find_member(&member, bundle, name, err));
    if (member->bytes > most)
        return fuse_fail(err, FUSE_EINPUT, "%s: member '%s' is larger than any of ours", bundle->path, name);
    char *text = fuse_arena_alloc(bundle->arena, (size_t)member->bytes + 1);
    FUSE_TRY(fuse_rawfile_read(bundle->fd, text, (size_t)member->bytes, member->data, bundle->path, err));
    if ((uint32_t)crc32_z(crc32(0, NULL, 0), (const unsigned char *)text, (size_t)member->bytes) != member->crc)
        return fail_damaged(bundle, name, err);
    *at = text;
    *bytes = (size_t)member->bytes;
    return FUSE_OK;
}

static enum fuse_status copy_member(struct fuse_bundle *bundle, const struct fuse_zip_member *member, uint64_t digest,
                                    int fd, const char *to, struct fuse_error *err) {
    uint64_t hash = FUSE_HASH_SEED;
    char *piece = malloc(PIECE_BYTES);
    enum fuse_status st = piece ? FUSE_OK : fuse_fail(err, FUSE_EMEMORY, "no memory to copy %s", to);
    for (int64_t at = 0; at < member->bytes && st == FUSE_OK; at += PIECE_BYTES) {
        size_t n = (size_t)(member->bytes - at < PIECE_BYTES ? member->bytes - at : PIECE_BYTES);
        st = fuse_rawfile_read(bundle->fd, piece, n, member->data + at, bundle->path, err);
        if (st == FUSE_OK)
            st = fuse_rawfile_write(fd, piece, n, at, to, err);
        hash = st == FUSE_OK ? fuse_hash_bytes(hash, piece, n) : hash;
    }
    free(piece);
    return st == FUSE_OK && hash != digest ? fail_damaged(bundle, member->name, err) : st;
}

enum fuse_status fuse_bundle_extract(struct fuse_bundle *bundle, const char *name, uint64_t digest, const char *to,
                                     struct fuse_error *err) {
    struct fuse_zip_member *member;
    FUSE_TRY(find_member(&member, bundle, name, err));
    int fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        fuse_fail(err, FUSE_EOUTPUT, "cannot unpack a source of %s to %s: %s", bundle->path, to, strerror(errno));
        fuse_hint(err, "TMPDIR names a folder for it");
        return FUSE_EOUTPUT;
    }
    enum fuse_status st = copy_member(bundle, member, digest, fd, to, err);
    close(fd);
    return st;
}
