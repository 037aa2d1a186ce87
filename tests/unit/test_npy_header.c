/* The npy header parser takes nothing on trust. What would make these fail: a header that NumPy writes being refused, a
 * bad one being accepted or blamed for something else, a byte read outside the given ones (under ASan). */
#include "io/npy_header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A file's first bytes in memory of exactly that size. */
static char *make_file(size_t *bytes, int version, const char *text, size_t text_bytes) {
    size_t start = version == 1 ? 10 : 12;
    char *at = malloc(start + text_bytes);
    memcpy(at, "\x93NUMPY", 6);
    at[6] = (char)version;
    at[7] = 0;
    for (size_t i = 8; i < start; i++)
        at[i] = (char)(text_bytes >> 8 * (i - 8));
    memcpy(at + start, text, text_bytes);
    *bytes = start + text_bytes;
    return at;
}

/* The header of a file that has `data_bytes` bytes after it. */
static enum fuse_status parse(struct fuse_probe *out, int version, const char *text, int64_t data_bytes,
                              struct fuse_error *err) {
    size_t bytes;
    char *at = make_file(&bytes, version, text, strlen(text));
    *err = (struct fuse_error){0};
    enum fuse_status st = fuse_npy_header_parse(out, at, bytes, (int64_t)bytes + data_bytes, "x.npy", err);
    free(at);
    return st;
}

static const struct {
    const char *text;
    int64_t data_bytes;
    enum fuse_dtype dtype;
    bool big_endian, reversed;
    int rank;
    int64_t extent[4];
} good[] = {
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }          \n", 48, FUSE_F32, 0, 0, 2, {3, 4}},
    {"{'descr': '>f8', 'fortran_order': True, 'shape': (2, 3), }\n", 48, FUSE_F64, 1, 1, 2, {2, 3}},
    {"{\"shape\":(5,),\"descr\":\"|u1\",\"fortran_order\":False}", 5, FUSE_U8, 0, 0, 1, {5}},
    {"{'fortran_order':False,'shape':(),'descr':'|b1'}", 1, FUSE_BOOL, 0, 0, 0, {0}},
    {"  {  'descr'  :\t'<i2' ,\n'fortran_order' : False , 'shape' : ( 2 , 2 ,\r\n) , }  \n",
     8,
     FUSE_I16,
     0,
     0,
     2,
     {2, 2}},
    {"{'descr': '<i8', 'fortran_order': False, 'shape': (3L,), }\n", 24, FUSE_I64, 0, 0, 1, {3}},
    {"{'descr': '<i8', 'fortran_order': False, 'shape': (3L, 2L), }\n", 48, FUSE_I64, 0, 0, 2, {3, 2}},
    {"{'descr': '=i8', 'fortran_order': False, 'shape': (1,1,1,1), }\n", 8, FUSE_I64, 0, 0, 4, {1, 1, 1, 1}},
    {"{'descr': 'i4', 'fortran_order': False, 'shape': (2,), }\n", 8, FUSE_I32, 0, 0, 1, {2}},
    {"{u'descr': u'<u2', u'fortran_order': False, u'shape': (2,), }\n", 4, FUSE_U16, 0, 0, 1, {2}},
    {"{'descr': '>u4', 'fortran_order': False, 'shape': (2,), }\n", 8, FUSE_U32, 1, 0, 1, {2}},
    {"{'descr': '<u8', 'fortran_order': False, 'shape': (2,), }\n", 16, FUSE_U64, 0, 0, 1, {2}},
    {"{'descr': '<f2', 'fortran_order': False, 'shape': (2,), }\n", 4, FUSE_F16, 0, 0, 1, {2}},
    {"{'descr': '|i1', 'fortran_order': False, 'shape': (2,), }\n", 2, FUSE_I8, 0, 0, 1, {2}},
    {"{'descr': '>i1', 'fortran_order': False, 'shape': (2,), }\n", 2, FUSE_I8, 0, 0, 1, {2}},
    {"{'descr': '<f8', 'fortran_order': False, 'shape': (0,), }\n", 0, FUSE_F64, 0, 0, 1, {0}},
    {"{'descr': '<f8', 'fortran_order': False, 'shape': (576460752303423488, 0), }\n",
     0,
     FUSE_F64,
     0,
     0,
     2,
     {576460752303423488, 0}},
};

static void test_good_headers(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        for (int version = 1; version <= 3; version++) {
            struct fuse_probe probe;
            struct fuse_error err;
            enum fuse_status st = parse(&probe, version, good[i].text, good[i].data_bytes, &err);
            if (st != FUSE_OK)
                fail_msg("%s: %s", good[i].text, err.message);
            assert_int_equal(probe.file_dtype, good[i].dtype);
            assert_int_equal(probe.big_endian, good[i].big_endian);
            assert_int_equal(probe.reversed, good[i].reversed);
            assert_int_equal(probe.rank, good[i].rank);
            assert_int_equal(probe.data_offset, (version == 1 ? 10 : 12) + strlen(good[i].text));
            assert_int_equal(probe.file_bytes, probe.data_offset + good[i].data_bytes);
            for (int a = 0; a < probe.rank; a++)
                assert_int_equal(probe.extent[a], good[i].extent[a]);
        }
    }
}

#define DICT(descr, order, shape) "{'descr': " descr ", 'fortran_order': " order ", 'shape': " shape ", }\n"
#define SHAPE(shape) DICT("'<f4'", "False", shape)
#define DESCR(descr) DICT(descr, "False", "(3,)")

/* Text, and what the message must say. Each would be fine as a file of 12 bytes of data but for its one fault. */
static const char *const bad[][2] = {
    {"", "it ends where '{'"},
    {"\n", "it ends where '{'"},
    {"[]", "'[' at byte 10 where '{'"},
    {"{", "it ends where"},
    {"{}", "key 'descr' is missing"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,)", "it ends where ',' or '}'"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,), ", "it ends where 'descr'"},
    {"{'descr': '<f4', 'fortran_order': False, }", "key 'shape' is missing"},
    {"{'descr': '<f4', 'shape': (3,), }", "key 'fortran_order' is missing"},
    {"{'fortran_order': False, 'shape': (3,), }", "key 'descr' is missing"},
    {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", "key 'descr' twice"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,), 'x': 1}", "unknown key 'x'"},
    {"{'descr': '<f4', , 'fortran_order': False, 'shape': (3,)}", "',' at byte"},
    {"{'descr' '<f4', 'fortran_order': False, 'shape': (3,)}", "where ':'"},
    {"{'descr': '<f4' 'fortran_order': False, 'shape': (3,)}", "where ',' or '}'"},
    {"{'descr': '<f4, 'fortran_order': False, 'shape': (3,)}", "npy type '<f4, '"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,), 'x", "a closing quote"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,)} x", "'x' at byte"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}{}", "where nothing more"},
    {"{'descr\\x00': '<f4', 'fortran_order': False, 'shape': (3,)}", "'\\' at byte"},
    {"{'d\xc3\xa9scr': '<f4', 'fortran_order': False, 'shape': (3,)}", "byte 0xc3"},
    {"\xef\xbb\xbf{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", "byte 0xef"},
    {"{'a_key_that_is_longer_than_any_that_numpy_writes_into_a_file': 1}", "where 'descr'"},
    {SHAPE("(3"), "'}' at byte 64 where a decimal extent"},
    {SHAPE("(3)"), "',' in the shape"},
    {SHAPE("3"), "a tuple of extents"},
    {SHAPE("[3]"), "a tuple of extents"},
    {SHAPE("None"), "a tuple of extents"},
    {SHAPE("(,)"), "a decimal extent"},
    {SHAPE("(3,,)"), "a decimal extent"},
    {SHAPE("(3 4)"), "',' in the shape"},
    {SHAPE("(-3,)"), "extent 0 is negative"},
    {SHAPE("(3, -1)"), "extent 1 is negative"},
    {SHAPE("(+3,)"), "a decimal extent"},
    {SHAPE("(3.0,)"), "',' in the shape"},
    {SHAPE("(3e0,)"), "',' in the shape"},
    {SHAPE("(0x3,)"), "',' in the shape"},
    {SHAPE("(03,)"), "a decimal extent"},
    {SHAPE("(1_0,)"), "',' in the shape"},
    {SHAPE("(True,)"), "a decimal extent"},
    {SHAPE("('3',)"), "a decimal extent"},
    {SHAPE("((3,),)"), "a decimal extent"},
    {SHAPE("(3LL,)"), "',' in the shape"},
    {SHAPE("(9223372036854775808,)"), "beyond 2^63"},
    {SHAPE("(99999999999999999999999999999999,)"), "beyond 2^63"},
    {SHAPE("(9223372036854775807,)"), "more than 2^63 bytes"},
    {SHAPE("(2305843009213693951,)"), "more than 2^63 bytes"},
    {SHAPE("(4294967296, 4294967296)"), "more than 2^63 bytes"},
    {SHAPE("(4294967296, 0, 4294967296)"), "more than 2^63 bytes"},
    {SHAPE("(0, 9223372036854775807)"), "more than 2^63 bytes"},
    {SHAPE("(1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,3)"), "more than 32 axes"},
    {SHAPE("(4,)"), "is truncated"},
    {SHAPE("(2,)"), "4 bytes more than its npy header says"},
    {SHAPE("(0,)"), "12 bytes more"},
    {DICT("'<f4'", "0", "(3,)"), "True or False"},
    {DICT("'<f4'", "false", "(3,)"), "True or False"},
    {DICT("'<f4'", "None", "(3,)"), "True or False"},
    {DICT("'<f4'", "Falsehood", "(3,)"), "where ',' or '}'"},
    {DESCR("None"), "a dtype string"},
    {DESCR("b'<f4'"), "a dtype string"},
    {DESCR("''"), "no such numeric type"},
    {DESCR("'<'"), "no such numeric type"},
    {DESCR("'|O'"), "pickled objects are never read"},
    {DESCR("'O'"), "pickled objects are never read"},
    {DESCR("'<O8'"), "pickled objects are never read"},
    {DESCR("[('a', '<f4')]"), "structured"},
    {DESCR("[('a', 'O')]"), "structured"},
    {DESCR("('<f4', (2,))"), "structured"},
    {DESCR("'<c8'"), "complex"},
    {DESCR("'<c16'"), "complex"},
    {DESCR("'<M8[ns]'"), "dates"},
    {DESCR("'<m8[D]'"), "dates"},
    {DESCR("'|S4'"), "strings"},
    {DESCR("'<U1'"), "strings"},
    {DESCR("'|V2'"), "raw bytes"},
    {DESCR("'<f16'"), "16, 32 and 64 bits"},
    {DESCR("'<f12'"), "16, 32 and 64 bits"},
    {DESCR("'<f1'"), "16, 32 and 64 bits"},
    {DESCR("'|f4'"), "byte order is missing"},
    {DESCR("'<i16'"), "no such numeric type"},
    {DESCR("'<i3'"), "no such numeric type"},
    {DESCR("'<i4 '"), "no such numeric type"},
    {DESCR("' <i4'"), "no such numeric type"},
    {DESCR("'<<i4'"), "no such numeric type"},
    {DESCR("'float32'"), "16, 32 and 64 bits"},
    {DESCR("'<f\xff'"), "byte 0xff"},
    {DESCR("'<f4ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff'"), "a dtype string"},
};

static void test_bad_headers(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct fuse_probe probe;
        struct fuse_error err;
        if (parse(&probe, 1, bad[i][0], 12, &err) != FUSE_EINPUT)
            fail_msg("accepted: %s", bad[i][0]);
        if (!strstr(err.message, bad[i][1]))
            fail_msg("%s\n  says: %s\n  not:  %s", bad[i][0], err.message, bad[i][1]);
        assert_non_null(strstr(err.message, "x.npy"));
    }
}

static void expect_bad(const void *at, size_t bytes, int64_t file_bytes, const char *says) {
    struct fuse_probe probe;
    struct fuse_error err = {0};
    char *copy = malloc(bytes + (bytes == 0));
    memcpy(copy, at, bytes);
    assert_int_equal(fuse_npy_header_parse(&probe, copy, bytes, file_bytes, "x.npy", &err), FUSE_EINPUT);
    free(copy);
    if (!strstr(err.message, says))
        fail_msg("says: %s\nnot:  %s", err.message, says);
}

static void test_bad_beginnings(void **state) {
    (void)state;
    expect_bad("", 0, 0, "not an npy file");
    expect_bad("\x93NUMP", 5, 5, "not an npy file");
    expect_bad("PK\x03\x04 a zip file", 15, 15, "not an npy file");
    expect_bad("\x93numpy\x01\x00\x00\x00", 10, 10, "not an npy file");
    expect_bad("\x93NUMPY", 6, 6, "ends inside its npy header");
    expect_bad("\x93NUMPY\x01\x00\x01", 9, 9, "ends inside its npy header");
    expect_bad("\x93NUMPY\x02\x00\x01\x00\x00", 11, 11, "ends inside its npy header");
    expect_bad("\x93NUMPY\x00\x00\x00\x00\x00\x00", 12, 12, "npy version 0.0");
    expect_bad("\x93NUMPY\x04\x00\x00\x00\x00\x00", 12, 12, "npy version 4.0");
    expect_bad("\x93NUMPY\x01\x01\x00\x00\x00\x00", 12, 12, "npy version 1.1");
    expect_bad("\x93NUMPY\x01\x00\xff\xff{}", 12, 12, "ends at byte 65545, but the file has 12");
    expect_bad("\x93NUMPY\x02\x00\xff\xff\x00\x00", 12, 12, "ends at byte 65547");
    expect_bad("\x93NUMPY\x02\x00\xff\xff\xff\xff", 12, INT64_MAX, "npy header of 4294967295 bytes");
    expect_bad("\x93NUMPY\x03\x00\x01\x00\x10\x00", 12, INT64_MAX, "npy header of 1048577 bytes");
}

static void test_message_names_both_sizes(void **state) {
    (void)state;
    struct fuse_probe probe;
    struct fuse_error err;
    assert_int_equal(parse(&probe, 1, "{'descr':'<f8','fortran_order':False,'shape':(100,)}\n", 799, &err),
                     FUSE_EINPUT);
    assert_non_null(strstr(err.message, "asks for 863 bytes, the file has 862"));
}

/* Every single-byte change of a good header is either refused or still describes exactly the file's bytes. */
static void test_mutations(void **state) {
    (void)state;
    const char *text = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }   \n";
    size_t bytes;
    char *at = make_file(&bytes, 1, text, strlen(text));
    int64_t file_bytes = (int64_t)bytes + 48;
    int accepted = 0;
    for (size_t i = 0; i < bytes; i++) {
        char old = at[i];
        for (int byte = 0; byte < 256; byte++) {
            struct fuse_probe probe;
            struct fuse_error err = {0};
            at[i] = (char)byte;
            if (fuse_npy_header_parse(&probe, at, bytes, file_bytes, "x.npy", &err) != FUSE_OK)
                continue;
            int64_t data = (int64_t)fuse_dtype_bytes(probe.file_dtype);
            for (int a = 0; a < probe.rank; a++)
                data *= probe.extent[a];
            assert_int_equal(probe.data_offset + data, file_bytes);
            accepted++;
        }
        at[i] = old;
    }
    assert_true(accepted >= (int)bytes);
    /* Every truncation of the header. */
    for (size_t i = 0; i < bytes; i++) {
        struct fuse_probe probe;
        struct fuse_error err = {0};
        char *copy = malloc(i + 1);
        memcpy(copy, at, i);
        assert_int_equal(fuse_npy_header_parse(&probe, copy, i, (int64_t)i, "x.npy", &err), FUSE_EINPUT);
        free(copy);
    }
    free(at);
}

static void test_written_headers(void **state) {
    (void)state;
    char head[FUSE_NPY_WRITE_BYTES];
    int64_t extent[FUSE_MAX_AXES];
    assert_int_equal(fuse_npy_header_write(head, FUSE_BF16, 0, NULL), 0);
    for (int dtype = 0; dtype < FUSE_DTYPES; dtype++) {
        for (int rank = 0; rank <= FUSE_MAX_AXES; rank++) {
            for (int a = 0; a < rank; a++)
                extent[a] = a == 0 ? 0 : a % 3 == 0 ? 1 : a % 3 == 1 ? 7 : 2;
            size_t bytes = fuse_npy_header_write(head, (enum fuse_dtype)dtype, rank, extent);
            if (dtype == FUSE_BF16)
                continue;
            assert_true(bytes > 0 && bytes <= sizeof head && bytes % 64 == 0);
            struct fuse_probe probe;
            struct fuse_error err = {0};
            int64_t data = rank == 0 ? (int64_t)fuse_dtype_bytes((enum fuse_dtype)dtype) : 0;
            assert_int_equal(fuse_npy_header_parse(&probe, head, bytes, (int64_t)bytes + data, "x.npy", &err), FUSE_OK);
            assert_int_equal(probe.file_dtype, dtype);
            assert_int_equal(probe.rank, rank);
            assert_true(!probe.big_endian && !probe.reversed);
            assert_memory_equal(probe.extent, extent, (size_t)rank * sizeof *extent);
        }
    }
    /* The longest: it must fit in FUSE_NPY_WRITE_BYTES. */
    for (int a = 0; a < FUSE_MAX_AXES; a++)
        extent[a] = INT64_MAX;
    assert_true(fuse_npy_header_write(head, FUSE_F64, FUSE_MAX_AXES, extent) <= sizeof head);

    /* As numpy.save writes zeros((3, 4), '<f4'). */
    const char *numpy = "\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }";
    int64_t shape[] = {3, 4};
    assert_int_equal(fuse_npy_header_write(head, FUSE_F32, 2, shape), 128);
    assert_memory_equal(head, numpy, 10 + strlen(numpy + 10));
    assert_int_equal(head[127], '\n');
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_headers),   cmocka_unit_test(test_bad_headers),
        cmocka_unit_test(test_bad_beginnings), cmocka_unit_test(test_message_names_both_sizes),
        cmocka_unit_test(test_mutations),      cmocka_unit_test(test_written_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
