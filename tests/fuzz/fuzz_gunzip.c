/* Any bytes as a gzip file: it is refused, or its ranges are what zlib unpacks when it is asked for all at once. The first byte says
 * how the others are taken: as they stand; or as the deflated data of one or two members, whose header and checksum are put
 * around them, since no fuzzer guesses those. */
#include "io/gunzip.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { MOST_UNPACKED = 1 << 20, HEADER = 10, TRAILER = 8, GZIP = 16 + MAX_WBITS };

struct text {
    unsigned char *at;
    size_t n;
};

static unsigned char unpacked[MOST_UNPACKED], got[MOST_UNPACKED]; /* large blocks take the sanitizers long */

/* Unpacks one stream behind what is there. The packed bytes that it took; 0: it is broken, or too large. */
static size_t unpack(struct text *out, const uint8_t *data, size_t bytes, int window) {
    z_stream z = {.next_in = (unsigned char *)data, .avail_in = (uInt)bytes, .next_out = out->at + out->n};
    z.avail_out = (uInt)(MOST_UNPACKED - out->n);
    if (inflateInit2(&z, window) != Z_OK)
        abort();
    int code = inflate(&z, Z_FINISH);
    out->n = MOST_UNPACKED - z.avail_out;
    inflateEnd(&z);
    return code == Z_STREAM_END ? bytes - z.avail_in : 0;
}

static void put_number(unsigned char *to, uLong number) {
    for (int i = 0; i < 4; i++)
        to[i] = (unsigned char)(number >> 8 * i);
}

/* A file of `members` members of this deflated data. */
static struct text wrap(const uint8_t *data, size_t bytes, int members) {
    static const unsigned char header[HEADER] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3};
    struct text all = {.at = unpacked}, file = {0};
    size_t taken = unpack(&all, data, bytes, -MAX_WBITS);
    taken = taken ? taken : bytes; /* a broken file is one too */
    file.at = malloc((size_t)members * (HEADER + taken + TRAILER));
    for (int m = 0; m < members; m++) {
        unsigned char *to = file.at + file.n;
        memcpy(to, header, HEADER);
        memcpy(to + HEADER, data, taken);
        put_number(to + HEADER + taken, crc32(0, all.at, (uInt)all.n));
        put_number(to + HEADER + taken + 4, (uLong)all.n);
        file.n += HEADER + taken + TRAILER;
    }
    return file;
}

/* What zlib makes of the whole file; at is NULL when it is broken or too large. */
static struct text unpack_all(const struct text *file) {
    struct text out = {.at = unpacked};
    for (size_t at = 0; at < file->n || file->n == 0;) {
        size_t taken = unpack(&out, file->at + at, file->n - at, GZIP);
        if (taken == 0)
            return (struct text){0};
        at += taken;
    }
    return out;
}

static void compare_ranges(struct fuse_gunzip *gunzip, const struct text *expected, unsigned seed) {
    struct fuse_bytes *bytes = (struct fuse_bytes *)gunzip;
    struct fuse_error err = {0};
    for (int turn = 0; turn < 6; turn++) {
        size_t begin = turn == 0 ? 0 : (seed = seed * 1103515245 + 12345) % (expected->n + 1);
        size_t n = turn == 0 ? expected->n : (seed = seed * 1103515245 + 12345) % (expected->n - begin + 1);
        if (bytes->read(bytes, got, n, (int64_t)begin, &err) != FUSE_OK || memcmp(got, expected->at + begin, n) != 0)
            abort();
    }
}

static void check(const struct text *file, unsigned seed) {
    struct fuse_arena *arena = fuse_arena_open(NULL);
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (!arena || fd < 0 || write(fd, file->at, file->n) != (ssize_t)file->n)
        abort();
    struct fuse_gunzip_index index;
    struct fuse_gunzip *gunzip;
    struct fuse_error err = {0};
    enum fuse_status st = fuse_gunzip_check(fd, (int64_t)file->n, "fuzz.gz", &err);
    if (st == FUSE_OK)
        st = fuse_gunzip_index(&index, arena, fd, (int64_t)file->n, "fuzz.gz", &err);
    if (st != FUSE_OK && (st != FUSE_EINPUT || !strstr(err.message, "fuzz.gz") || !err.hint[0]))
        abort();
    if (st != FUSE_OK || index.bytes < MOST_UNPACKED) {
        struct text expected = unpack_all(file);
        bool is_text = expected.at && !memchr(expected.at, 0, expected.n);
        if (st == FUSE_OK && (!is_text || index.bytes != (int64_t)expected.n))
            abort();
        if (st != FUSE_OK && is_text)
            abort();
        if (st == FUSE_OK) {
            if (fuse_gunzip_open(&gunzip, fd, &index, "fuzz.gz", &err) != FUSE_OK)
                abort();
            compare_ranges(gunzip, &expected, seed);
            fuse_gunzip_close(gunzip);
        }
    }
    close(fd);
    fuse_arena_close(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    if (bytes < 1 || bytes > 1 << 16)
        return 0;
    int members = data[0] % 3;
    struct text file = {.at = (unsigned char *)data + 1, .n = bytes - 1}, wrapped = {0};
    if (members > 0)
        file = wrapped = wrap(data + 1, bytes - 1, members);
    check(&file, data[0]);
    free(wrapped.at);
    return 0;
}
