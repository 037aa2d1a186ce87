#include "io/npy_header.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const npy_names[FUSE_DTYPES] = {
#define FUSE_DTYPE(NAME, text, bytes, cls, compute, npy) [FUSE_##NAME] = npy,
#include "core/dtype.def"
#undef FUSE_DTYPE
};

static const char magic[] = "\x93NUMPY";

enum fuse_status fuse_npy_header_end(int64_t *out, const void *at, size_t bytes, int64_t file_bytes, const char *path,
                                     struct fuse_error *err) {
    const unsigned char *head = at;
    size_t magic_bytes = sizeof magic - 1;
    if (bytes < magic_bytes || memcmp(head, magic, magic_bytes) != 0)
        return fuse_fail(err, FUSE_EINPUT, "%s is not an npy file: it does not begin with \"\\x93NUMPY\"", path);
    if (bytes < 8)
        return fuse_fail(err, FUSE_EINPUT, "%s ends inside its npy header", path);
    int major = head[6], minor = head[7];
    if (major < 1 || major > 3 || minor != 0)
        return fuse_fail(err, FUSE_EINPUT, "%s has npy version %d.%d; 1.0, 2.0 and 3.0 are known", path, major, minor);
    int64_t start = major == 1 ? 10 : 12;
    if ((int64_t)bytes < start)
        return fuse_fail(err, FUSE_EINPUT, "%s ends inside its npy header", path);
    int64_t length = head[8] | head[9] << 8;
    if (major > 1)
        length |= (int64_t)head[10] << 16 | (int64_t)head[11] << 24;
    if (length > FUSE_NPY_MAX_HEADER)
        return fuse_fail(err, FUSE_EINPUT, "%s claims an npy header of %lld bytes; at most %lld are read", path,
                         (long long)length, (long long)FUSE_NPY_MAX_HEADER);
    if (start + length > file_bytes)
        return fuse_fail(err, FUSE_EINPUT,
                         "%s claims an npy header that ends at byte %lld, but the file has %lld bytes", path,
                         (long long)(start + length), (long long)file_bytes);
    *out = start + length;
    return FUSE_OK;
}

/* ---- the dictionary ---- */

struct parser {
    const char *begin, *at, *end;
    const char *path;
    struct fuse_error *err;
    struct fuse_probe *probe;
};

static enum fuse_status fail_syntax(struct parser *p, const char *expected) {
    if (p->at == p->end)
        return fuse_fail(p->err, FUSE_EINPUT, "%s: bad npy header: it ends where %s was expected", p->path, expected);
    unsigned char found = (unsigned char)*p->at;
    if (found > ' ' && found < 127)
        return fuse_fail(p->err, FUSE_EINPUT, "%s: bad npy header: '%c' at byte %d where %s was expected", p->path,
                         found, (int)(p->at - p->begin), expected);
    return fuse_fail(p->err, FUSE_EINPUT, "%s: bad npy header: byte 0x%02x at %d where %s was expected", p->path, found,
                     (int)(p->at - p->begin), expected);
}

static void skip_space(struct parser *p) {
    while (p->at < p->end && (*p->at == ' ' || (*p->at >= '\t' && *p->at <= '\r')))
        p->at++;
}

/* After white space; consumes on true. */
static bool take(struct parser *p, char wanted) {
    skip_space(p);
    if (p->at == p->end || *p->at != wanted)
        return false;
    p->at++;
    return true;
}

static bool take_word(struct parser *p, const char *word) {
    size_t length = strlen(word);
    skip_space(p);
    if ((size_t)(p->end - p->at) < length || memcmp(p->at, word, length) != 0)
        return false;
    p->at += length;
    return true;
}

/* string = ["u"] ("'" printable* "'" | '"' printable* '"')      without escapes */
static enum fuse_status parse_string(struct parser *p, char *out, size_t room, const char *what) {
    skip_space(p);
    if (p->at < p->end && *p->at == 'u')
        p->at++;
    char quote = p->at < p->end ? *p->at : 0;
    if (quote != '\'' && quote != '"')
        return fail_syntax(p, what);
    size_t length = 0;
    for (p->at++; p->at < p->end && *p->at != quote; p->at++) {
        if (*p->at < ' ' || *p->at > '~' || *p->at == '\\' || length + 1 >= room)
            return fail_syntax(p, what);
        out[length++] = *p->at;
    }
    if (p->at == p->end)
        return fail_syntax(p, "a closing quote");
    p->at++;
    out[length] = 0;
    return FUSE_OK;
}

static enum fuse_status refuse_dtype(struct parser *p, const char *descr, const char *why) {
    return fuse_fail(p->err, FUSE_EINPUT, "%s holds elements of npy type '%s': %s", p->path, descr, why);
}

/* descr = ("<" | ">" | "=" | "|")? kind size */
static enum fuse_status parse_descr(struct parser *p) {
    char descr[64];
    skip_space(p);
    if (p->at < p->end && (*p->at == '[' || *p->at == '('))
        return fuse_fail(p->err, FUSE_EINPUT,
                         "%s holds structured elements; only plain numbers and Booleans can be read", p->path);
    FUSE_TRY(parse_string(p, descr, sizeof descr, "a dtype string"));

    char order = descr[0] && strchr("<>=|", descr[0]) ? descr[0] : 0;
    const char *name = order ? descr + 1 : descr;
    for (int i = 0; i < FUSE_DTYPES; i++) {
        if (!npy_names[i][0] || strcmp(name, npy_names[i]) != 0)
            continue;
        bool is_byte = fuse_dtype_bytes((enum fuse_dtype)i) == 1;
        if (order == '|' && !is_byte)
            return refuse_dtype(p, descr, "the byte order is missing");
        p->probe->file_dtype = (enum fuse_dtype)i;
        p->probe->big_endian = order == '>' && !is_byte;
        return FUSE_OK;
    }
    switch (name[0]) {
    case 'O': return refuse_dtype(p, descr, "pickled objects are never read");
    case 'c': return refuse_dtype(p, descr, "complex numbers cannot be read; store real and imaginary parts");
    case 'M':
    case 'm': return refuse_dtype(p, descr, "dates cannot be read; store them as integers");
    case 'S':
    case 'U':
    case 'a': return refuse_dtype(p, descr, "strings cannot be read");
    case 'V': return refuse_dtype(p, descr, "raw bytes have no numeric meaning");
    case 'f': return refuse_dtype(p, descr, "reals of 16, 32 and 64 bits can be read");
    default: return refuse_dtype(p, descr, "no such numeric type can be read");
    }
}

/* order = "True" | "False" */
static enum fuse_status parse_order(struct parser *p) {
    if (take_word(p, "True"))
        p->probe->reversed = true;
    else if (take_word(p, "False"))
        p->probe->reversed = false;
    else
        return fail_syntax(p, "True or False");
    return FUSE_OK;
}

static bool at_digit(const struct parser *p) {
    return p->at < p->end && *p->at >= '0' && *p->at <= '9';
}

/* extent = "0" | [1-9][0-9]* ["L"]      the L is Python 2's */
static enum fuse_status parse_extent(struct parser *p) {
    int axis = p->probe->rank;
    skip_space(p);
    if (p->at < p->end && *p->at == '-')
        return fuse_fail(p->err, FUSE_EINPUT, "%s: bad npy header: extent %d is negative", p->path, axis);
    if (!at_digit(p))
        return fail_syntax(p, "a decimal extent");
    if (axis == FUSE_MAX_AXES)
        return fuse_fail(p->err, FUSE_EINPUT, "%s has more than %d axes", p->path, FUSE_MAX_AXES);
    bool is_zero = *p->at == '0';
    int64_t value = 0;
    const char *first = p->at;
    for (; at_digit(p); p->at++) {
        if (is_zero && p->at > first)
            return fail_syntax(p, "a decimal extent");
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, *p->at - '0', &value))
            return fuse_fail(p->err, FUSE_EINPUT, "%s: bad npy header: extent %d is beyond 2^63", p->path, axis);
    }
    if (p->at < p->end && *p->at == 'L')
        p->at++;
    p->probe->extent[p->probe->rank++] = value;
    return FUSE_OK;
}

/* shape = "(" ")" | "(" extent "," ")" | "(" extent ("," extent)+ ","? ")" */
static enum fuse_status parse_shape(struct parser *p) {
    if (!take(p, '('))
        return fail_syntax(p, "a tuple of extents");
    while (!take(p, ')')) {
        FUSE_TRY(parse_extent(p));
        bool has_comma = take(p, ',');
        skip_space(p);
        bool at_close = p->at < p->end && *p->at == ')';
        if (!has_comma && (!at_close || p->probe->rank == 1))
            return fail_syntax(p, "',' in the shape");
    }
    return FUSE_OK;
}

/* header = "{" entry ("," entry)* ","? "}" space*
 * entry = "'descr'" ":" descr | "'fortran_order'" ":" order | "'shape'" ":" shape      each exactly once */
static enum fuse_status parse_dictionary(struct parser *p) {
    static const struct {
        const char *key;
        enum fuse_status (*parse)(struct parser *p);
    } entries[] = {{"descr", parse_descr}, {"fortran_order", parse_order}, {"shape", parse_shape}};
    enum { ENTRIES = sizeof entries / sizeof *entries };
    bool seen[ENTRIES] = {false};

    if (!take(p, '{'))
        return fail_syntax(p, "'{'");
    while (!take(p, '}')) {
        char key[32];
        FUSE_TRY(parse_string(p, key, sizeof key, "'descr', 'fortran_order' or 'shape'"));
        int which = 0;
        while (which < ENTRIES && strcmp(key, entries[which].key) != 0)
            which++;
        if (which == ENTRIES)
            return fuse_fail(p->err, FUSE_EINPUT, "%s: bad npy header: unknown key '%s'", p->path, key);
        if (seen[which])
            return fuse_fail(p->err, FUSE_EINPUT, "%s: bad npy header: key '%s' twice", p->path, key);
        seen[which] = true;
        if (!take(p, ':'))
            return fail_syntax(p, "':'");
        FUSE_TRY(entries[which].parse(p));
        bool has_comma = take(p, ',');
        skip_space(p);
        if (!has_comma && !(p->at < p->end && *p->at == '}'))
            return fail_syntax(p, "',' or '}'");
    }
    skip_space(p);
    if (p->at != p->end)
        return fail_syntax(p, "nothing more");
    for (int i = 0; i < ENTRIES; i++)
        if (!seen[i])
            return fuse_fail(p->err, FUSE_EINPUT, "%s: bad npy header: key '%s' is missing", p->path, entries[i].key);
    return FUSE_OK;
}

/* Every product of extents must fit, also when another extent is 0: strides are such products. */
static enum fuse_status check_size(const struct fuse_probe *probe, int64_t *array_end, const char *path,
                                   struct fuse_error *err) {
    int64_t bytes = (int64_t)fuse_dtype_bytes(probe->file_dtype), end;
    bool is_empty = false, too_large = false;
    for (int a = 0; a < probe->rank; a++) {
        is_empty |= probe->extent[a] == 0;
        if (probe->extent[a] > 0)
            too_large |= __builtin_mul_overflow(bytes, probe->extent[a], &bytes);
    }
    if (too_large || __builtin_add_overflow(bytes, probe->data_offset, &end))
        return fuse_fail(err, FUSE_EINPUT, "%s: the npy header's shape has more than 2^63 bytes", path);
    if (is_empty)
        end = probe->data_offset;
    if (end > probe->file_bytes)
        return fuse_fail(err, FUSE_EINPUT, "%s is truncated: its npy header asks for %lld bytes, the file has %lld",
                         path, (long long)end, (long long)probe->file_bytes);
    if (array_end)
        *array_end = end;
    else if (end < probe->file_bytes)
        return fuse_fail(err, FUSE_EINPUT, "%s has %lld bytes more than its npy header says (%lld instead of %lld)",
                         path, (long long)(probe->file_bytes - end), (long long)probe->file_bytes, (long long)end);
    return FUSE_OK;
}

/* array_end: where the array ends goes there, and more may follow; NULL: the file ends there. */
static enum fuse_status parse_header(struct fuse_probe *out, int64_t *array_end, const void *at, size_t bytes,
                                     int64_t file_bytes, const char *path, struct fuse_error *err) {
    struct fuse_probe probe = {.file_bytes = file_bytes};
    FUSE_TRY(fuse_npy_header_end(&probe.data_offset, at, bytes, file_bytes, path, err));
    if ((int64_t)bytes < probe.data_offset)
        return fuse_fail(err, FUSE_EBUG, "%s: npy header of %lld bytes given in %zu", path,
                         (long long)probe.data_offset, bytes);
    const char *text = at;
    struct parser p = {
        .begin = text,
        .at = text + (text[6] == 1 ? 10 : 12),
        .end = text + probe.data_offset,
        .path = path,
        .err = err,
        .probe = &probe,
    };
    FUSE_TRY(parse_dictionary(&p));
    FUSE_TRY(check_size(&probe, array_end, path, err));
    *out = probe;
    return FUSE_OK;
}

enum fuse_status fuse_npy_header_parse(struct fuse_probe *out, const void *at, size_t bytes, int64_t file_bytes,
                                       const char *path, struct fuse_error *err) {
    return parse_header(out, NULL, at, bytes, file_bytes, path, err);
}

static enum fuse_status advise(enum fuse_status st, struct fuse_error *err) {
    if (st == FUSE_EINPUT)
        fuse_hint(err, "write the file again, with numpy.save of an array of numbers");
    return st;
}

/* Enough for the header of nearly every file. */
enum { FIRST_READ_BYTES = 4096 };

static enum fuse_status read_header(struct fuse_probe *out, int64_t *array_end, struct fuse_bytes *file,
                                    int64_t file_bytes, const char *path, struct fuse_error *err) {
    char first[FIRST_READ_BYTES];
    size_t bytes = file_bytes < FIRST_READ_BYTES ? (size_t)file_bytes : FIRST_READ_BYTES;
    FUSE_TRY(file->read(file, first, bytes, 0, err));
    int64_t end;
    enum fuse_status st = fuse_npy_header_end(&end, first, bytes, file_bytes, path, err);
    if (st == FUSE_OK && end <= (int64_t)bytes)
        st = parse_header(out, array_end, first, bytes, file_bytes, path, err);
    if (st != FUSE_OK || end <= (int64_t)bytes)
        return advise(st, err);

    char *whole = malloc((size_t)end);
    if (!whole)
        return fuse_fail(err, FUSE_EMEMORY, "no memory for the npy header of %s", path);
    st = file->read(file, whole, (size_t)end, 0, err);
    if (st == FUSE_OK)
        st = parse_header(out, array_end, whole, (size_t)end, file_bytes, path, err);
    free(whole);
    return advise(st, err);
}

enum fuse_status fuse_npy_header_read(struct fuse_probe *out, struct fuse_bytes *file, int64_t file_bytes,
                                      const char *path, struct fuse_error *err) {
    return read_header(out, NULL, file, file_bytes, path, err);
}

enum fuse_status fuse_npy_header_read_first(struct fuse_probe *out, int64_t *end, struct fuse_bytes *file,
                                            int64_t file_bytes, const char *path, struct fuse_error *err) {
    return read_header(out, end, file, file_bytes, path, err);
}

/* ---- writing ---- */

/* NumPy leaves room to overwrite the growing axis with a number of this many digits. */
enum { GROWTH_DIGITS = 21 };

size_t fuse_npy_header_write(char out[FUSE_NPY_WRITE_BYTES], enum fuse_dtype dtype, int rank, const int64_t *extent) {
    if (!npy_names[dtype][0])
        return 0;
    enum { START = 10 };
    char *at = out + START;
    size_t room = FUSE_NPY_WRITE_BYTES - START, n = 0;
    n += (size_t)snprintf(at + n, room - n, "{'descr': '%c%s', 'fortran_order': False, 'shape': (",
                          fuse_dtype_bytes(dtype) == 1 ? '|' : '<', npy_names[dtype]);
    size_t first_digits = 0;
    for (int a = 0; a < rank; a++) {
        int digits = snprintf(at + n, room - n, "%lld", (long long)extent[a]);
        n += (size_t)digits;
        if (a == 0)
            first_digits = (size_t)digits;
        n += (size_t)snprintf(at + n, room - n, "%s", rank == 1 ? "," : a + 1 < rank ? ", " : "");
    }
    n += (size_t)snprintf(at + n, room - n, "), }");
    if (rank > 0 && first_digits < GROWTH_DIGITS) {
        memset(at + n, ' ', GROWTH_DIGITS - first_digits);
        n += GROWTH_DIGITS - first_digits;
    }
    /* NumPy pads by 1 to 64 bytes, never by 0. */
    size_t padding = 64 - (START + n + 1) % 64;
    memset(at + n, ' ', padding);
    n += padding;
    at[n++] = '\n';

    memcpy(out, magic, 6);
    out[6] = 1;
    out[7] = 0;
    out[8] = (char)(n & 255);
    out[9] = (char)(n >> 8);
    return START + n;
}

enum fuse_status fuse_npy_holds(enum fuse_dtype dtype, const char *path, struct fuse_error *err) {
    char header[FUSE_NPY_WRITE_BYTES];
    if (fuse_npy_header_write(header, dtype, 0, NULL) > 0)
        return FUSE_OK;
    enum fuse_status st =
        fuse_fail(err, FUSE_EOUTPUT, "cannot write %s: npy cannot hold %s", path, fuse_dtype_name(dtype));
    fuse_hint(err, "convert it to f32 first");
    return st;
}

enum fuse_status fuse_npy_layout(char header[FUSE_NPY_WRITE_BYTES], int64_t *header_bytes, int64_t *file_bytes,
                                 enum fuse_dtype dtype, int rank, const int64_t *extent, const char *path,
                                 struct fuse_error *err) {
    FUSE_TRY(fuse_npy_holds(dtype, path, err));
    *header_bytes = (int64_t)fuse_npy_header_write(header, dtype, rank, extent);
    struct fuse_box full = fuse_box_full(rank, extent);
    int64_t bytes = fuse_sat_mul(fuse_box_elems(&full), (int64_t)fuse_dtype_bytes(dtype));
    *file_bytes = fuse_sat_add(bytes, *header_bytes);
    if (*file_bytes == INT64_MAX)
        return fuse_fail(err, FUSE_EOUTPUT, "cannot write %s: it would have more than 2^63 bytes", path);
    return FUSE_OK;
}
