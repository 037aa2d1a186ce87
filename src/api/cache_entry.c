/* Entries as files: a seal, then the bytes. */
#include "api/cache_entry.h"

#include "core/hash.h"
#include "io/rawfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAGIC_BYTES = 16 };
static const char magic[MAGIC_BYTES + 1] = "fuse-dist plan 1";
#define MAX_ENTRY_BYTES ((int64_t)1 << 30)
_Static_assert(MAGIC_BYTES + 16 == FUSE_API_SEAL_BYTES, "the seal has another size than its header says");

static uint64_t get64(const unsigned char *at) {
    uint64_t number = 0;
    for (int k = 7; k >= 0; k--)
        number = number << 8 | at[k];
    return number;
}

static void put64(unsigned char *at, uint64_t number) {
    for (int k = 0; k < 8; k++)
        at[k] = (unsigned char)(number >> 8 * k);
}

void fuse_api_seal(unsigned char envelope[FUSE_API_SEAL_BYTES], const struct fuse_pack *pack) {
    memcpy(envelope, magic, MAGIC_BYTES);
    put64(envelope + MAGIC_BYTES, pack->bytes);
    put64(envelope + MAGIC_BYTES + 8, fuse_hash_bytes(FUSE_HASH_SEED, pack->at, pack->bytes));
}

const char *fuse_api_open_seal(const unsigned char *at, size_t bytes) {
    if (bytes < FUSE_API_SEAL_BYTES || memcmp(at, magic, MAGIC_BYTES) != 0)
        return "it is no plan of this version";
    if (get64(at + MAGIC_BYTES) != bytes - FUSE_API_SEAL_BYTES)
        return "it is not complete";
    if (get64(at + MAGIC_BYTES + 8) !=
        fuse_hash_bytes(FUSE_HASH_SEED, at + FUSE_API_SEAL_BYTES, bytes - FUSE_API_SEAL_BYTES))
        return "it is damaged";
    return NULL;
}

const unsigned char *fuse_api_read_entry(size_t *bytes, const char **why, struct fuse_arena *arena, const char *path) {
    struct stat status;
    struct fuse_error err = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        *why = errno == ENOENT || errno == ENOTDIR
                   ? NULL
                   : fuse_arena_printf(arena, "it cannot be opened: %s", strerror(errno));
        return NULL;
    }
    unsigned char *at = NULL;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size > MAX_ENTRY_BYTES) {
        *why = "it is no plan of this version";
    } else {
        at = fuse_arena_alloc(arena, (size_t)status.st_size + 1);
        *bytes = (size_t)status.st_size;
        *why = fuse_rawfile_read(fd, at, *bytes, 0, path, &err) == FUSE_OK ? fuse_api_open_seal(at, *bytes)
                                                                           : "it cannot be read";
    }
    close(fd);
    return *why ? NULL : at;
}

static const char *make_folder(struct fuse_arena *arena, const char *path) {
    if (mkdir(path, 0777) == 0 || errno == EEXIST)
        return NULL;
    return fuse_arena_printf(arena, "the folder '%s' cannot be made: %s", path, strerror(errno));
}

static const char *write_file(struct fuse_arena *arena, const char *path, const struct fuse_pack *pack) {
    unsigned char envelope[FUSE_API_SEAL_BYTES];
    char *temporary = fuse_arena_printf(arena, "%s.XXXXXX", path);
    struct fuse_error err = {0};
    int fd = mkstemp(temporary);
    if (fd < 0)
        return fuse_arena_printf(arena, "%s cannot be made: %s", temporary, strerror(errno));
    fuse_api_seal(envelope, pack);
    enum fuse_status st = fuse_rawfile_write(fd, envelope, sizeof envelope, 0, temporary, &err);
    if (st == FUSE_OK)
        st = fuse_rawfile_write(fd, pack->at, pack->bytes, sizeof envelope, temporary, &err);
    mode_t mask = umask(0);
    umask(mask);
    bool fine = st == FUSE_OK && fchmod(fd, 0666 & ~mask) == 0;
    fine = close(fd) == 0 && fine && rename(temporary, path) == 0;
    if (fine)
        return NULL;
    unlink(temporary);
    return err.message[0] ? fuse_arena_printf(arena, "%s", err.message)
                          : fuse_arena_printf(arena, "%s cannot be written: %s", path, strerror(errno));
}

const char *fuse_api_write_entry(struct fuse_arena *arena, const char *folder, const char *path,
                                 const struct fuse_pack *pack) {
    const char *why = make_folder(arena, folder);
    if (!why)
        why = make_folder(arena, fuse_arena_printf(arena, "%s/plans", folder));
    return why ? why : write_file(arena, path, pack);
}
