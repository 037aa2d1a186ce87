/* Directories of archives too large to make here: written into a file that is mostly holes, and read back. What would make
 * these fail: a size, an offset or a count beyond 32 or 16 bits that is cut off, a record of another length than announced.
 */
#include "io/zip_directory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A file of zeros but for some pieces. */
struct sparse {
    struct fuse_bytes bytes;
    int64_t size;
    int pieces;
    struct piece {
        int64_t at, bytes;
        char *data;
    } * piece;
};

static enum fuse_status read_sparse(struct fuse_bytes *self, void *to, size_t bytes, int64_t offset,
                                    struct fuse_error *err) {
    const struct sparse *file = (struct sparse *)self;
    if (offset < 0 || offset > file->size || (int64_t)bytes > file->size - offset)
        return fuse_fail(err, FUSE_EBUG, "beyond the file");
    memset(to, 0, bytes);
    int first = 0; /* the last piece that begins at or before the offset; they are in order */
    for (int step = 1 << 20; step > 0; step /= 2)
        if (first + step < file->pieces && file->piece[first + step].at <= offset)
            first += step;
    for (int i = first; i < file->pieces && file->piece[i].at < offset + (int64_t)bytes; i++) {
        const struct piece *p = &file->piece[i];
        int64_t low = p->at > offset ? p->at : offset;
        int64_t high = p->at + p->bytes < offset + (int64_t)bytes ? p->at + p->bytes : offset + (int64_t)bytes;
        if (low < high)
            memcpy((char *)to + (low - offset), p->data + (low - p->at), (size_t)(high - low));
    }
    return FUSE_OK;
}

static void check_archive(const int64_t *size, int members) {
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_zip_directory directory = {.member = FUSE_NEW_ARRAY(arena, struct fuse_zip_member, members),
                                           .members = members};
    struct sparse file = {.bytes = {.read = read_sparse}, .piece = calloc((size_t)members + 1, sizeof *file.piece)};
    int64_t at = 0;
    for (int i = 0; i < members; i++) {
        struct fuse_zip_member *m = &directory.member[i];
        const char *name = fuse_arena_printf(arena, i % 2 ? "layer/\xc3\xa9%d.npy" : "w%d.npy", i);
        *m = (struct fuse_zip_member){
            .name = name, .crc = (uint32_t)i * 77777777u, .packed_bytes = size[i], .bytes = size[i], .header = at};
        struct piece *p = &file.piece[file.pieces++];
        *p = (struct piece){.at = at, .bytes = fuse_zip_header_bytes(name, size[i])};
        p->data = malloc((size_t)p->bytes + 1);
        p->data[p->bytes] = 99; /* must stay */
        fuse_zip_write_header(p->data, m);
        assert_int_equal(p->data[p->bytes], 99);
        m->data = at + p->bytes;
        at = m->data + size[i];
    }
    struct piece *end = &file.piece[file.pieces++];
    *end = (struct piece){.at = at, .bytes = fuse_zip_directory_bytes(&directory, at)};
    end->data = malloc((size_t)end->bytes + 1);
    end->data[end->bytes] = 99;
    fuse_zip_write_directory(end->data, &directory, at);
    assert_int_equal(end->data[end->bytes], 99);
    file.size = at + end->bytes;

    struct fuse_error err = {0};
    struct fuse_zip_directory back;
    if (fuse_zip_read(&back, arena, &file.bytes, file.size, "sparse.npz", &err) != FUSE_OK)
        fail_msg("%s", err.message);
    assert_int_equal(back.members, members);
    for (int i = 0; i < members; i++) {
        struct fuse_zip_member *m = &back.member[i], *want = &directory.member[i];
        if (fuse_zip_locate(m, &file.bytes, "sparse.npz", &err) != FUSE_OK)
            fail_msg("%s", err.message);
        assert_string_equal(m->name, want->name);
        assert_true(m->bytes == want->bytes && m->packed_bytes == want->bytes && m->header == want->header &&
                    m->data == want->data && m->crc == want->crc && m->method == FUSE_ZIP_STORED);
    }
    for (int i = 0; i < file.pieces; i++)
        free(file.piece[i].data);
    free(file.piece);
    fuse_arena_close(arena);
}

static void test_sizes(void **unused) {
    (void)unused;
    const int64_t four = (int64_t)1 << 32;
    const int64_t cases[][3] = {
        {0, 1, 2},        {four - 2, 5, 7},     {four - 1, 5, 7},   {four, 5, 7},
        {5, four + 5, 7}, {5, four - 200, 150}, {5, 7, four * 300}, {four * 1000, four * 1000, four * 1000}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_archive(cases[i], 3);
    /* Every place of the directory around 2^32. */
    for (int64_t less = 0; less < 300; less++)
        check_archive((const int64_t[]){four - less}, 1);
}

/* Beyond 16 bits the number of members needs the larger record too. */
static void test_counts(void **unused) {
    (void)unused;
    const int counts[] = {0, 1, 65534, 65535, 65536};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        int64_t *size = calloc((size_t)counts[i] + 1, sizeof *size);
        check_archive(size, counts[i]);
        free(size);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
