#include "io/tsv_rows.h"

#include "io/decimal.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A line with its line feed, or with the one that is put behind the last line of a file. */
enum { BUFFER_BYTES = FUSE_TSV_LINE_BYTES + 1 };

char fuse_tsv_separator(const char *path) {
    size_t bytes = strlen(path);
    if (bytes >= 3 && strcasecmp(path + bytes - 3, ".gz") == 0)
        bytes -= 3;
    return bytes >= 4 && strncasecmp(path + bytes - 4, ".csv", 4) == 0 ? ',' : '\t';
}

/* ---- lines ---- */

/* Drops what was read and reads on, until a line is complete, the buffer is full or the file ends. */
static enum fuse_status refill(struct fuse_tsv_reader *r, struct fuse_error *err) {
    r->base += (int64_t)r->at;
    r->filled -= r->at;
    memmove(r->buffer, r->buffer + r->at, r->filled);
    r->at = r->complete = 0;
    int64_t rest = r->file_bytes - r->base - (int64_t)r->filled;
    size_t room = BUFFER_BYTES - r->filled, more = rest < (int64_t)room ? (size_t)rest : room;
    FUSE_TRY(r->file->read(r->file, r->buffer + r->filled, more, r->base + (int64_t)r->filled, err));
    r->filled += more;
    size_t end = r->filled;
    if (r->base + (int64_t)end == r->file_bytes && end < BUFFER_BYTES) {
        if (end > 0 && r->buffer[end - 1] != '\n')
            r->buffer[end++] = '\n';
        r->complete = end;
        return FUSE_OK;
    }
    while (end > 0 && r->buffer[end - 1] != '\n')
        end--;
    r->complete = end;
    return FUSE_OK;
}

/* To the first line that begins at `begin` or behind it, if there is one before the end of the range. */
static enum fuse_status seek(struct fuse_tsv_reader *r, int64_t begin, struct fuse_error *err) {
    if (begin == 0)
        return FUSE_OK;
    for (r->base = begin - 1; r->base + (int64_t)r->at < r->end && r->base + (int64_t)r->at < r->file_bytes;) {
        if (r->at == r->filled)
            FUSE_TRY(refill(r, err));
        const char *from = r->buffer + r->at, *feed = memchr(from, '\n', r->filled - r->at);
        r->at = feed ? (size_t)(feed - r->buffer) + 1 : r->filled;
        if (feed)
            return FUSE_OK;
    }
    return FUSE_OK;
}

enum fuse_status fuse_tsv_open(struct fuse_tsv_reader *out, struct fuse_bytes *file, int64_t file_bytes, int64_t begin,
                               int64_t end, char separator, int columns, const char *path, struct fuse_error *err) {
    struct fuse_tsv_reader r = {
        .file = file, .file_bytes = file_bytes, .end = end, .separator = separator, .columns = columns};
    r.buffer = malloc(BUFFER_BYTES);
    if (!r.buffer)
        return fuse_fail(err, FUSE_EMEMORY, "no memory to read %s", path);
    enum fuse_status st = seek(&r, begin, err);
    if (st == FUSE_OK)
        *out = r;
    else
        free(r.buffer);
    return st;
}

void fuse_tsv_close(struct fuse_tsv_reader *reader) {
    free(reader->buffer);
    reader->buffer = NULL;
}

enum fuse_status fuse_tsv_count_fields(int64_t *out, struct fuse_bytes *file, int64_t file_bytes, char separator,
                                       const char *path, struct fuse_error *err) {
    struct fuse_tsv_reader r;
    int64_t fields = file_bytes > 0;
    FUSE_TRY(fuse_tsv_open(&r, file, file_bytes, 0, file_bytes, separator, 0, path, err));
    enum fuse_status st = refill(&r, err);
    for (size_t i = 0; st == FUSE_OK && i < r.filled && r.buffer[i] != '\n'; i++)
        fields += r.buffer[i] == separator;
    fuse_tsv_close(&r);
    if (st == FUSE_OK)
        *out = fields;
    return st;
}

/* ---- numbers ---- */

struct field {
    const char *text;
    size_t bytes;
};

enum number_kind { NO_NUMBER, DIGITS, INTEGER, REAL };

static size_t digits(const char *text, size_t bytes, size_t at) {
    while (at < bytes && text[at] >= '0' && text[at] <= '9')
        at++;
    return at;
}

/* number := digits | sign digits | [sign] (digits ['.' [digits]] | '.' digits) [e [sign] digits] */
static enum number_kind number_kind(const char *text, size_t bytes) {
    size_t first = bytes > 0 && (text[0] == '-' || text[0] == '+'), at = digits(text, bytes, first);
    size_t count = at - first;
    if (at == bytes && count > 0)
        return first > 0 ? INTEGER : DIGITS;
    if (at < bytes && text[at] == '.') {
        size_t from = at + 1;
        at = digits(text, bytes, from);
        count += at - from;
    }
    if (count > 0 && at < bytes && (text[at] == 'e' || text[at] == 'E')) {
        size_t from = at + 1;
        from += from < bytes && (text[from] == '-' || text[from] == '+');
        at = digits(text, bytes, from);
        count = at - from;
    }
    return count > 0 && at == bytes ? REAL : NO_NUMBER;
}

/* inf, infinity and nan in any case, with a sign or without. */
static bool read_special(double *out, const char *text, size_t bytes) {
    size_t sign = bytes > 0 && (text[0] == '-' || text[0] == '+');
    const char *word = text + sign;
    size_t n = bytes - sign;
    if ((n == 3 && strncasecmp(word, "inf", n) == 0) || (n == 8 && strncasecmp(word, "infinity", n) == 0))
        *out = text[0] == '-' ? (double)-INFINITY : (double)INFINITY;
    else if (n == 3 && strncasecmp(word, "nan", n) == 0)
        *out = (double)NAN;
    else
        return false;
    return true;
}

static bool read_integer(int64_t *out, const char *text, size_t bytes) {
    bool negative = text[0] == '-';
    *out = 0;
    for (size_t k = negative || text[0] == '+'; k < bytes; k++)
        if (__builtin_mul_overflow(*out, 10, out) || __builtin_sub_overflow(*out, text[k] - '0', out))
            return false;
    return negative || !__builtin_sub_overflow(0, *out, out);
}

/* ---- fields ---- */

static const char *explain_word(const struct field *f) {
    if (f->bytes == 0)
        return "an empty field";
    if (memchr(f->text, '\0', f->bytes))
        return "a NUL byte, which no text has";
    if (f->bytes >= 3 && memcmp(f->text, "\xEF\xBB\xBF", 3) == 0)
        return "a byte order mark";
    if (memchr(f->text, '"', f->bytes))
        return "a quote: fields are read as they stand";
    return "this is no number; symbols cannot be read yet";
}

static const char *take_last(struct fuse_tsv_line *out, const struct field *f, enum number_kind kind, int64_t integer) {
    out->last = kind == REAL || kind == NO_NUMBER ? FUSE_COLUMN_REALS : FUSE_COLUMN_INTEGERS;
    if (kind == NO_NUMBER)
        return read_special(&out->value, f->text, f->bytes) ? NULL : explain_word(f);
    out->value = kind == REAL ? fuse_decimal_read_f64(f->text, f->bytes) : (double)integer;
    return isinf(out->value) ? "a number beyond the largest f64" : NULL;
}

/* Field `c` of a row, without blanks; NULL, or what is wrong with it. */
static const char *take_field(struct fuse_tsv_line *out, int c, bool is_last, const struct field *f) {
    int64_t integer = 0;
    double real;
    out->id[c] = 0;
    if (f->bytes > FUSE_DECIMAL_MAX_BYTES)
        return memchr(f->text, '\0', f->bytes) ? explain_word(f) : "a field of more than 1024 characters";
    enum number_kind kind = number_kind(f->text, f->bytes);
    if ((kind == DIGITS || kind == INTEGER) && !read_integer(&integer, f->text, f->bytes))
        return "an integer beyond 64 bits";
    bool is_id = kind == DIGITS && integer < FUSE_MAX_EXTENT;
    if (is_id) {
        out->id[c] = integer;
        out->value = (double)integer;
        out->last = FUSE_COLUMN_IDS;
        return NULL;
    }
    if (is_last)
        return take_last(out, f, kind, integer);
    if (kind == DIGITS)
        return "an id of 2^60 or more";
    if (kind == INTEGER)
        return integer < 0 ? "a negative id" : "an id with a sign";
    if (kind == REAL || read_special(&real, f->text, f->bytes))
        return "a real number where an id must be: only the last column may hold values";
    return explain_word(f);
}

static bool is_blank(char c, char separator) {
    return c == ' ' || (c == '\t' && separator != '\t');
}

/* Of the line's text [at, end), up to the separator or the end. */
static struct field cut_field(const char **behind, const char *at, const char *end, char separator) {
    const char *stop = memchr(at, separator, (size_t)(end - at));
    stop = stop ? stop : end;
    *behind = stop;
    while (at < stop && is_blank(*at, separator))
        at++;
    while (stop > at && is_blank(stop[-1], separator))
        stop--;
    return (struct field){at, (size_t)(stop - at)};
}

/* ---- rows ---- */

static void fail_line(struct fuse_tsv_line *out, int64_t column, const char *reason) {
    out->kind = FUSE_TSV_BAD;
    out->column = column;
    snprintf(out->reason, sizeof out->reason, "%s", reason);
}

static void fail_width(struct fuse_tsv_line *out, const struct fuse_tsv_reader *r, const char *text, const char *end,
                       const char *at) {
    int64_t fields = 1;
    for (const char *c = text; c < end; c++)
        fields += *c == r->separator;
    fail_line(out, at - text + 1, "");
    snprintf(out->reason, sizeof out->reason, "a row of %lld field%s, where the first row has %d", (long long)fields,
             fields == 1 ? "" : "s", r->columns);
}

/* Any line: text [text, end) without its line feed. */
static void take_line(struct fuse_tsv_line *out, const struct fuse_tsv_reader *r, const char *text, const char *end) {
    if (end > text && end[-1] == '\r')
        end--;
    const char *at = text;
    while (at < end && is_blank(*at, r->separator))
        at++;
    if (at == end) {
        out->kind = FUSE_TSV_BLANK;
        out->column = 1;
        return;
    }
    out->kind = FUSE_TSV_ROW;
    at = text;
    for (int c = 0; c < r->columns; c++) {
        struct field field = cut_field(&at, at, end, r->separator);
        const char *reason = take_field(out, c, c + 1 == r->columns, &field);
        if (reason) {
            fail_line(out, field.text - text + 1, reason);
            return;
        }
        if ((at == end) != (c + 1 == r->columns)) {
            fail_width(out, r, text, end, at == end ? end : at + 1);
            return;
        }
        at++;
    }
}

/* Lines of plain ids: the end of the line, or NULL where something else stands. */
static const char *take_ids(struct fuse_tsv_line *out, const struct fuse_tsv_reader *r, const char *at) {
    enum { SURE_DIGITS = 18 }; /* below 2^60 */
    for (int c = 0; c < r->columns; c++) {
        const char *first = at;
        bool is_last = c + 1 == r->columns;
        /* The line feed ends this, and too many digits wrap around without harm. */
        uint64_t id = 0;
        for (unsigned digit; (digit = (unsigned)(unsigned char)*at - '0') < 10; at++)
            id = 10 * id + digit;
        if (at == first || at - first > SURE_DIGITS)
            return NULL;
        if (is_last && *at == '\r')
            at++;
        if (*at != (is_last ? '\n' : r->separator))
            return NULL;
        at += !is_last;
        out->id[c] = (int64_t)id;
    }
    out->kind = FUSE_TSV_ROW;
    out->last = FUSE_COLUMN_IDS;
    out->value = (double)out->id[r->columns - 1];
    return at;
}

enum fuse_status fuse_tsv_next(struct fuse_tsv_reader *r, struct fuse_tsv_line *out, struct fuse_error *err) {
    int64_t begin = r->base + (int64_t)r->at;
    if (begin >= r->end || begin >= r->file_bytes) {
        out->kind = FUSE_TSV_END;
        return FUSE_OK;
    }
    if (r->at >= r->complete)
        FUSE_TRY(refill(r, err));
    if (r->complete == 0) {
        fail_line(out, FUSE_TSV_LINE_BYTES, "a line of more than 262144 bytes");
        return FUSE_OK;
    }
    const char *text = r->buffer + r->at, *end = take_ids(out, r, text);
    if (!end) {
        end = memchr(text, '\n', r->complete - r->at);
        take_line(out, r, text, end);
    }
    r->at = (size_t)(end - r->buffer) + 1;
    return FUSE_OK;
}
