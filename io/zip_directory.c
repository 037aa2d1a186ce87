#include "io/zip_directory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LOCAL_BYTES = 30,
    CENTRAL_BYTES = 46,
    END_BYTES = 22,
    END64_BYTES = 56,
    LOCATOR_BYTES = 20,
    EXTRA64_HEAD = 4,
    MAX_COMMENT = 65535,
};

#define LOCAL_MAGIC 0x04034b50u
#define CENTRAL_MAGIC 0x02014b50u
#define END_MAGIC 0x06054b50u
#define END64_MAGIC 0x06064b50u
#define LOCATOR_MAGIC 0x07064b50u
#define ONES32 0xffffffffu
#define ONES16 0xffffu
#define EXTRA64_ID 1u

enum {
    FLAG_ENCRYPTED = 1,
    FLAG_DESCRIPTOR = 8,
    FLAG_PATCH = 32,
    FLAG_STRONG = 64,
    FLAG_UTF8 = 2048,
    FLAG_MASKED = 8192
};

/* Deflate makes at most 1032 bytes of one; the rest is for the ends of a short stream. */
enum { MOST_INFLATION = 1032, INFLATION_SLACK = 1 << 16 };

static uint32_t get16(const unsigned char *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8;
}

static uint32_t get32(const unsigned char *at) {
    return get16(at) | get16(at + 2) << 16;
}

static uint64_t get64(const unsigned char *at) {
    return get32(at) | (uint64_t)get32(at + 4) << 32;
}

/* ---- the end of the file ---- */

struct end {
    uint64_t members, bytes, begin;
    int64_t at; /* where the directory must end */
};

#define FAIL(...) fuse_fail(err, FUSE_EINPUT, __VA_ARGS__)

static enum fuse_status read_end64(struct end *end, struct fuse_bytes *file, int64_t locator_at, const char *path,
                                   struct fuse_error *err) {
    unsigned char locator[LOCATOR_BYTES], record[END64_BYTES];
    if (locator_at < END64_BYTES)
        return FAIL("%s: its zip64 end record is missing", path);
    FUSE_TRY(file->read(file, locator, sizeof locator, locator_at, err));
    if (get32(locator) != LOCATOR_MAGIC)
        return FAIL("%s: its zip64 end record is missing", path);
    uint64_t at = get64(locator + 8);
    if (get32(locator + 4) != 0 || get32(locator + 16) > 1)
        return FAIL("%s is one file of an archive in several; only whole archives can be read", path);
    if (at != (uint64_t)(locator_at - END64_BYTES))
        return FAIL("%s: its zip64 end record does not lie where the locator says", path);
    FUSE_TRY(file->read(file, record, sizeof record, (int64_t)at, err));
    if (get32(record) != END64_MAGIC || get64(record + 4) != END64_BYTES - 12)
        return FAIL("%s: its zip64 end record is damaged", path);
    if (get32(record + 16) != 0 || get32(record + 20) != 0 || get64(record + 24) != get64(record + 32))
        return FAIL("%s is one file of an archive in several; only whole archives can be read", path);
    *end = (struct end){get64(record + 32), get64(record + 40), get64(record + 48), (int64_t)at};
    return FUSE_OK;
}

/* The end record is the last one whose comment reaches exactly to the end of the file. */
static enum fuse_status find_end(unsigned char record[END_BYTES], int64_t *at, struct fuse_bytes *file,
                                 int64_t file_bytes, const char *path, struct fuse_error *err) {
    int64_t tail = file_bytes < END_BYTES + MAX_COMMENT ? file_bytes : END_BYTES + MAX_COMMENT;
    if (tail < END_BYTES)
        return FAIL("%s is no npz file: it is too short for a zip archive", path);
    unsigned char *bytes = malloc((size_t)tail);
    if (!bytes)
        return fuse_fail(err, FUSE_EMEMORY, "no memory for the directory of %s", path);
    enum fuse_status st = file->read(file, bytes, (size_t)tail, file_bytes - tail, err);
    int64_t found = -1;
    for (int64_t i = tail - END_BYTES; st == FUSE_OK && i >= 0 && found < 0; i--)
        if (get32(bytes + i) == END_MAGIC && i + END_BYTES + get16(bytes + i + 20) == tail)
            found = i;
    if (st == FUSE_OK && found < 0) {
        bool begins_well = true;
        unsigned char head[4] = {0};
        st = file->read(file, head, sizeof head, 0, err);
        begins_well = st == FUSE_OK && (get32(head) == LOCAL_MAGIC || get32(head) == END_MAGIC);
        if (st == FUSE_OK && begins_well)
            st = FAIL("%s is truncated: a zip archive begins, but its directory at the end is missing", path);
        else if (st == FUSE_OK)
            st = FAIL("%s is no npz file: it is no zip archive", path);
    }
    if (st == FUSE_OK) {
        memcpy(record, bytes + found, END_BYTES);
        *at = file_bytes - tail + found;
    }
    free(bytes);
    return st;
}

static enum fuse_status read_end(struct end *end, struct fuse_bytes *file, int64_t file_bytes, const char *path,
                                 struct fuse_error *err) {
    unsigned char record[END_BYTES] = {0};
    int64_t at = 0;
    FUSE_TRY(find_end(record, &at, file, file_bytes, path, err));
    *end = (struct end){get16(record + 10), get32(record + 12), get32(record + 16), at};
    bool is_64 = end->members == ONES16 || end->bytes == ONES32 || end->begin == ONES32;
    if ((get16(record + 4) != 0 && get16(record + 4) != ONES16) ||
        (get16(record + 6) != 0 && get16(record + 6) != ONES16) || get16(record + 8) != get16(record + 10))
        return FAIL("%s is one file of an archive in several; only whole archives can be read", path);
    unsigned char locator[4];
    if (!is_64 && at >= LOCATOR_BYTES) {
        /* Some writers add the larger record though nothing needs it. */
        FUSE_TRY(file->read(file, locator, sizeof locator, at - LOCATOR_BYTES, err));
        is_64 = get32(locator) == LOCATOR_MAGIC && end->begin + end->bytes != (uint64_t)at;
    }
    if (is_64)
        FUSE_TRY(read_end64(end, file, at - LOCATOR_BYTES, path, err));
    if (end->begin > (uint64_t)end->at || end->bytes != (uint64_t)end->at - end->begin)
        return FAIL("%s: its directory does not lie where its end record says (%llu bytes from byte %llu on)", path,
                    (unsigned long long)end->bytes, (unsigned long long)end->begin);
    if (end->bytes > (uint64_t)FUSE_ZIP_MAX_DIRECTORY)
        return FAIL("%s has a directory of %llu bytes; at most %lld are read", path, (unsigned long long)end->bytes,
                    (long long)FUSE_ZIP_MAX_DIRECTORY);
    if (end->members > end->bytes / CENTRAL_BYTES)
        return FAIL("%s claims %llu members, more than its directory can hold", path, (unsigned long long)end->members);
    return FUSE_OK;
}

/* ---- the records ---- */

/* The zip64 extra field of a record: a value for each field of 32 ones, in this order. */
static enum fuse_status read_extra64(uint64_t *const field[], int fields, const unsigned char *extra, size_t bytes,
                                     const char *path, const char *name, struct fuse_error *err) {
    int wanted = 0;
    for (int i = 0; i < fields; i++)
        wanted += *field[i] == ONES32;
    if (wanted == 0)
        return FUSE_OK;
    while (bytes >= EXTRA64_HEAD) {
        size_t length = get16(extra + 2);
        if (length > bytes - EXTRA64_HEAD)
            break;
        const unsigned char *at = extra + EXTRA64_HEAD;
        if (get16(extra) == EXTRA64_ID && length >= 8 * (size_t)wanted) {
            for (int i = 0; i < fields; i++) {
                if (*field[i] != ONES32)
                    continue;
                *field[i] = get64(at);
                at += 8;
            }
            return FUSE_OK;
        }
        extra += EXTRA64_HEAD + length;
        bytes -= EXTRA64_HEAD + length;
    }
    return FAIL("%s: member '%s' lacks its 64-bit sizes", path, name);
}

/* Names are shown in messages: what is not printable becomes '?'. */
static char *take_name(struct fuse_arena *arena, const unsigned char *at, size_t bytes) {
    char *name = fuse_arena_alloc(arena, bytes + 1);
    for (size_t i = 0; i < bytes; i++)
        name[i] = at[i] < ' ' || at[i] == 127 ? '?' : (char)at[i];
    name[bytes] = '\0';
    return name;
}

static enum fuse_status read_member(struct fuse_zip_member *out, struct fuse_arena *arena, const unsigned char **cursor,
                                    const unsigned char *end, int64_t begin, int number, const char *path,
                                    struct fuse_error *err) {
    const unsigned char *at = *cursor;
    if (end - at < CENTRAL_BYTES || get32(at) != CENTRAL_MAGIC)
        return FAIL("%s: record %d of its directory is damaged", path, number);
    size_t name = get16(at + 28), extra = get16(at + 30), comment = get16(at + 32);
    if (name + extra + comment > (size_t)(end - at) - CENTRAL_BYTES)
        return FAIL("%s: record %d of its directory reaches beyond the directory", path, number);
    uint64_t packed = get32(at + 20), bytes = get32(at + 24), header = get32(at + 42);
    out->name = take_name(arena, at + CENTRAL_BYTES, name);
    out->flags = (int)get16(at + 8);
    out->method = (int)get16(at + 10);
    out->crc = get32(at + 16);
    uint64_t *const field[] = {&bytes, &packed, &header};
    FUSE_TRY(read_extra64(field, 3, at + CENTRAL_BYTES + name, extra, path, out->name, err));
    if (get16(at + 34) != 0 && get16(at + 34) != ONES16)
        return FAIL("%s is one file of an archive in several; only whole archives can be read", path);
    if (header > (uint64_t)begin || LOCAL_BYTES + (uint64_t)name > (uint64_t)begin - header ||
        packed > (uint64_t)begin - header - LOCAL_BYTES - name)
        return FAIL("%s: member '%s' of %llu packed bytes at byte %llu does not lie in front of the directory", path,
                    out->name, (unsigned long long)packed, (unsigned long long)header);
    if (bytes > INT64_MAX)
        return FAIL("%s: member '%s' claims %llu bytes", path, out->name, (unsigned long long)bytes);
    out->packed_bytes = (int64_t)packed;
    out->bytes = (int64_t)bytes;
    out->header = (int64_t)header;
    *cursor = at + CENTRAL_BYTES + name + extra + comment;
    return FUSE_OK;
}

static int compare_headers(const void *a, const void *b) {
    const struct fuse_zip_member *const *x = a, *const *y = b;
    return ((*x)->header > (*y)->header) - ((*x)->header < (*y)->header);
}

/* Sets limits. */
static enum fuse_status check_overlaps(struct fuse_zip_directory *directory, struct fuse_arena *arena, int64_t begin,
                                       const char *path, struct fuse_error *err) {
    int n = directory->members;
    struct fuse_zip_member **sorted = FUSE_NEW_ARRAY(arena, struct fuse_zip_member *, n + 1);
    for (int i = 0; i < n; i++)
        sorted[i] = &directory->member[i];
    qsort(sorted, (size_t)n, sizeof(struct fuse_zip_member *), compare_headers);
    for (int i = 0; i < n; i++) {
        struct fuse_zip_member *m = sorted[i];
        m->limit = i + 1 < n ? sorted[i + 1]->header : begin;
        /* The local header may be longer still; fuse_zip_locate sees that. */
        if (m->header + LOCAL_BYTES + (int64_t)strlen(m->name) + m->packed_bytes > m->limit)
            return FAIL("%s: members '%s' and '%s' overlap", path, m->name,
                        i + 1 < n ? sorted[i + 1]->name : "directory");
    }
    return FUSE_OK;
}

enum fuse_status fuse_zip_read(struct fuse_zip_directory *out, struct fuse_arena *arena, struct fuse_bytes *file,
                               int64_t file_bytes, const char *path, struct fuse_error *err) {
    struct end end;
    FUSE_TRY(read_end(&end, file, file_bytes, path, err));
    unsigned char *bytes = malloc((size_t)end.bytes + 1);
    if (!bytes)
        return fuse_fail(err, FUSE_EMEMORY, "no memory for the directory of %s", path);
    struct fuse_zip_directory directory = {.members = (int)end.members};
    enum fuse_status st;
    FUSE_TRY_GOTO(st, file->read(file, bytes, (size_t)end.bytes, (int64_t)end.begin, err), free_bytes);
    directory.member = FUSE_NEW_ARRAY(arena, struct fuse_zip_member, directory.members + 1);
    const unsigned char *cursor = bytes, *last = bytes + end.bytes;
    for (int i = 0; i < directory.members; i++)
        FUSE_TRY_GOTO(st, read_member(&directory.member[i], arena, &cursor, last, (int64_t)end.begin, i, path, err),
                      free_bytes);
    if (cursor != last) {
        st = FAIL("%s: its directory has %lld bytes behind its last record", path, (long long)(last - cursor));
        goto free_bytes;
    }
    FUSE_TRY_GOTO(st, check_overlaps(&directory, arena, (int64_t)end.begin, path, err), free_bytes);
    *out = directory;
free_bytes:
    free(bytes);
    return st;
}

static enum fuse_status check_member(const struct fuse_zip_member *m, const char *path, struct fuse_error *err) {
    if (m->flags & (FLAG_ENCRYPTED | FLAG_STRONG | FLAG_MASKED))
        return FAIL("%s: member '%s' is encrypted", path, m->name);
    if (m->flags & FLAG_PATCH)
        return FAIL("%s: member '%s' is a patch, not data", path, m->name);
    if (m->method != FUSE_ZIP_STORED && m->method != FUSE_ZIP_DEFLATED) {
        enum fuse_status st =
            FAIL("%s: member '%s' is packed by method %d; stored (0) and deflated (8) members can be read", path,
                 m->name, m->method);
        fuse_hint(err, "write it with numpy.savez or numpy.savez_compressed");
        return st;
    }
    if (m->method == FUSE_ZIP_STORED && m->bytes != m->packed_bytes)
        return FAIL("%s: member '%s' is stored, yet its two sizes differ (%lld and %lld bytes)", path, m->name,
                    (long long)m->packed_bytes, (long long)m->bytes);
    if (m->method == FUSE_ZIP_DEFLATED && m->bytes > INFLATION_SLACK &&
        (m->bytes - INFLATION_SLACK) / MOST_INFLATION > m->packed_bytes)
        return FAIL("%s: member '%s' claims %lld bytes out of %lld; deflate makes at most %d of one", path, m->name,
                    (long long)m->bytes, (long long)m->packed_bytes, MOST_INFLATION);
    return FUSE_OK;
}

enum fuse_status fuse_zip_locate(struct fuse_zip_member *m, struct fuse_bytes *file, const char *path,
                                 struct fuse_error *err) {
    FUSE_TRY(check_member(m, path, err));
    unsigned char head[LOCAL_BYTES];
    FUSE_TRY(file->read(file, head, sizeof head, m->header, err));
    if (get32(head) != LOCAL_MAGIC)
        return FAIL("%s: no local header of member '%s' at byte %lld", path, m->name, (long long)m->header);
    size_t name = get16(head + 26), extra = get16(head + 28);
    int64_t data = m->header + LOCAL_BYTES + (int64_t)name + (int64_t)extra;
    if (data > m->limit - m->packed_bytes)
        return FAIL("%s: member '%s' reaches beyond its place in the file", path, m->name);
    unsigned char *rest = malloc(name + extra + 1);
    if (!rest)
        return fuse_fail(err, FUSE_EMEMORY, "no memory for the directory of %s", path);
    enum fuse_status st = file->read(file, rest, name + extra, m->header + LOCAL_BYTES, err);
    uint64_t packed = get32(head + 18), bytes = get32(head + 22);
    uint64_t *const field[] = {&bytes, &packed};
    bool is_same = st == FUSE_OK && (int)get16(head + 8) == m->method && name == strlen(m->name);
    for (size_t i = 0; is_same && i < name; i++)
        is_same = m->name[i] == '?' || (char)rest[i] == m->name[i];
    is_same = is_same && ((int)get16(head + 6) & FLAG_ENCRYPTED) == (m->flags & FLAG_ENCRYPTED);
    /* With a descriptor behind the data, sizes and checksum may be left out here. */
    bool has_descriptor = get16(head + 6) & FLAG_DESCRIPTOR;
    if (is_same && st == FUSE_OK && !has_descriptor) {
        st = read_extra64(field, 2, rest + name, extra, path, m->name, err);
        is_same = st == FUSE_OK && packed == (uint64_t)m->packed_bytes && bytes == (uint64_t)m->bytes &&
                  get32(head + 14) == m->crc;
    }
    free(rest);
    if (st == FUSE_OK && !is_same)
        st = FAIL("%s: the local header of member '%s' contradicts the directory", path, m->name);
    if (st == FUSE_OK)
        m->data = data;
    return st;
}

/* ---- writing ---- */

enum { VERSION_PLAIN = 20, VERSION_64 = 45, MADE_ON_UNIX = 3, MODE = 0100644, FIRST_DAY = 1 << 5 | 1 };

static unsigned char *put16(unsigned char *at, uint32_t value) {
    at[0] = (unsigned char)value;
    at[1] = (unsigned char)(value >> 8);
    return at + 2;
}

static unsigned char *put32(unsigned char *at, uint32_t value) {
    return put16(put16(at, value & ONES16), value >> 16);
}

static unsigned char *put64(unsigned char *at, int64_t value) {
    return put32(put32(at, (uint32_t)value), (uint32_t)((uint64_t)value >> 32));
}

static bool needs_64(int64_t value) {
    return value >= (int64_t)ONES32;
}

static uint32_t or_ones(int64_t value) {
    return needs_64(value) ? ONES32 : (uint32_t)value;
}

static uint32_t name_flags(const char *name) {
    for (; *name; name++)
        if ((unsigned char)*name > 127)
            return FLAG_UTF8;
    return 0;
}

int64_t fuse_zip_header_bytes(const char *name, int64_t bytes) {
    return LOCAL_BYTES + (int64_t)strlen(name) + (needs_64(bytes) ? EXTRA64_HEAD + 16 : 0);
}

/* version needed, flags, method, time, date, crc, sizes, length of the name */
static unsigned char *put_facts(unsigned char *at, const struct fuse_zip_member *m, bool is_64) {
    at = put16(at, is_64 ? VERSION_64 : VERSION_PLAIN);
    at = put16(at, name_flags(m->name));
    at = put16(at, (uint32_t)m->method);
    at = put16(at, 0);
    at = put16(at, FIRST_DAY);
    at = put32(at, m->crc);
    at = put32(at, or_ones(m->packed_bytes));
    at = put32(at, or_ones(m->bytes));
    return put16(at, (uint32_t)strlen(m->name));
}

void fuse_zip_write_header(void *to, const struct fuse_zip_member *m) {
    bool is_64 = needs_64(m->bytes);
    unsigned char *at = put_facts(put32(to, LOCAL_MAGIC), m, is_64);
    at = put16(at, is_64 ? EXTRA64_HEAD + 16 : 0);
    memcpy(at, m->name, strlen(m->name));
    at += strlen(m->name);
    if (is_64)
        put64(put64(put16(put16(at, EXTRA64_ID), 16), m->bytes), m->packed_bytes);
}

static int central_fields64(const struct fuse_zip_member *m) {
    return (needs_64(m->bytes) ? 2 : 0) + (needs_64(m->header) ? 1 : 0);
}

static int64_t central_bytes(const struct fuse_zip_member *m) {
    int fields = central_fields64(m);
    return CENTRAL_BYTES + (int64_t)strlen(m->name) + (fields ? EXTRA64_HEAD + 8 * fields : 0);
}

static unsigned char *put_central(unsigned char *at, const struct fuse_zip_member *m) {
    int fields = central_fields64(m);
    at = put32(at, CENTRAL_MAGIC);
    at = put16(at, MADE_ON_UNIX << 8 | (fields ? VERSION_64 : VERSION_PLAIN));
    at = put_facts(at, m, fields > 0);
    at = put16(at, fields ? EXTRA64_HEAD + 8 * (uint32_t)fields : 0);
    at = put16(at, 0);                    /* comment */
    at = put16(at, 0);                    /* disk */
    at = put16(at, 0);                    /* internal attributes */
    at = put32(at, (uint32_t)MODE << 16); /* external attributes */
    at = put32(at, or_ones(m->header));
    memcpy(at, m->name, strlen(m->name));
    at += strlen(m->name);
    if (fields)
        at = put16(put16(at, EXTRA64_ID), 8 * (uint32_t)fields);
    if (needs_64(m->bytes))
        at = put64(put64(at, m->bytes), m->packed_bytes);
    return needs_64(m->header) ? put64(at, m->header) : at;
}

static int64_t records_bytes(const struct fuse_zip_directory *directory) {
    int64_t bytes = 0;
    for (int i = 0; i < directory->members; i++)
        bytes += central_bytes(&directory->member[i]);
    return bytes;
}

static bool end_needs_64(const struct fuse_zip_directory *directory, int64_t begin, int64_t bytes) {
    return directory->members >= (int)ONES16 || needs_64(begin) || needs_64(bytes);
}

int64_t fuse_zip_directory_bytes(const struct fuse_zip_directory *directory, int64_t begin) {
    int64_t bytes = records_bytes(directory);
    return bytes + END_BYTES + (end_needs_64(directory, begin, bytes) ? END64_BYTES + LOCATOR_BYTES : 0);
}

void fuse_zip_write_directory(void *to, const struct fuse_zip_directory *directory, int64_t begin) {
    unsigned char *at = to;
    int64_t bytes = records_bytes(directory), members = directory->members;
    for (int i = 0; i < directory->members; i++)
        at = put_central(at, &directory->member[i]);
    if (end_needs_64(directory, begin, bytes)) {
        at = put64(put32(at, END64_MAGIC), END64_BYTES - 12);
        at = put16(put16(at, MADE_ON_UNIX << 8 | VERSION_64), VERSION_64);
        at = put32(put32(at, 0), 0);
        at = put64(put64(put64(put64(at, members), members), bytes), begin);
        at = put32(put32(at, LOCATOR_MAGIC), 0);
        at = put32(put64(at, begin + bytes), 1);
    }
    uint32_t count = members >= (int)ONES16 ? ONES16 : (uint32_t)members;
    at = put16(put16(put32(at, END_MAGIC), 0), 0);
    at = put16(put16(at, count), count);
    at = put32(put32(at, or_ones(bytes)), or_ones(begin));
    put16(at, 0);
}
