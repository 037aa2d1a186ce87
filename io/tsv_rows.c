#include "io/tsv_rows.h"

#include "io/decimal.h"
#include "io/tsv_ids.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A line with its line feed, or with the one that is put behind the last line of a file. */
enum { BUFFER_BYTES = FUSE_TSV_LINE_BYTES + 1, SLACK_BYTES = FUSE_TSV_IDS_SLACK };
_Static_assert((int)FUSE_TSV_IDS_SLACK >= (int)FUSE_FIELD_SLACK, "fields are read on, too");

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
    r.buffer = calloc(1, BUFFER_BYTES + SLACK_BYTES);
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
    if (memchr(f->text, '"', f->bytes))
        return "a quote: fields are read as they stand";
    return "this is no number";
}

/* A field as a value; NULL, or why it is none. */
static const char *take_value(double *out, const struct field *f) {
    int64_t integer;
    if (f->bytes > FUSE_DECIMAL_MAX_BYTES)
        return "a field of more than 1024 characters";
    enum number_kind kind = number_kind(f->text, f->bytes);
    if (kind == NO_NUMBER)
        return read_special(out, f->text, f->bytes) ? NULL : explain_word(f);
    if (kind == REAL)
        *out = fuse_decimal_read_f64(f->text, f->bytes);
    else if (read_integer(&integer, f->text, f->bytes))
        *out = (double)integer;
    else
        return "an integer beyond 64 bits";
    return isinf(*out) ? "a number beyond the largest f64" : NULL;
}

/* A field as an id; NULL, or why it is none. *kind is that of the field whatever it is taken as. */
static const char *take_id(int64_t *out, enum fuse_column_kind *kind, const struct field *f) {
    double real;
    bool is_long = f->bytes > FUSE_DECIMAL_MAX_BYTES;
    enum number_kind number = is_long ? NO_NUMBER : number_kind(f->text, f->bytes);
    *out = 0;
    *kind = FUSE_COLUMN_INTEGERS;
    if (number == DIGITS || number == INTEGER) {
        int64_t integer;
        bool fits = read_integer(&integer, f->text, f->bytes);
        if (!fits)
            return "an integer beyond 64 bits";
        if (number == INTEGER)
            return integer < 0 ? "a negative id" : "an id with a sign";
        if (integer >= FUSE_MAX_EXTENT)
            return "an id of 2^60 or more";
        *kind = FUSE_COLUMN_IDS;
        *out = integer;
        return NULL;
    }
    bool is_real = number == REAL || (!is_long && read_special(&real, f->text, f->bytes));
    *kind = is_real ? FUSE_COLUMN_REALS : FUSE_COLUMN_SYMBOLS;
    return is_long ? "a field of more than 1024 characters" : "this is no id";
}

/* Field `c` of a row, without blanks; NULL, or what is wrong with it whatever it is taken as. */
static const char *take_field(struct fuse_tsv_line *out, int c, bool is_last, const struct field *f, int64_t column) {
    const char *reason = take_id(&out->id[c], &out->field[c], f);
    if (out->field[c] == FUSE_COLUMN_SYMBOLS) {
        const char *fault = fuse_symbol_fault(f->text, f->bytes);
        if (fault)
            return fault;
    }
    if (is_last) {
        out->last = out->field[c];
        reason = take_value(&out->value, f);
    }
    out->not [c].reason = reason;
    out->not [c].column = column;
    return NULL;
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
        const char *reason = take_field(out, c, c + 1 == r->columns, &field, field.text - text + 1);
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
    const char *text = r->buffer + r->at, *end = memchr(text, '\n', r->complete - r->at);
    take_line(out, r, text, end);
    r->at = (size_t)(end - r->buffer) + 1;
    return FUSE_OK;
}

/* Where in the buffer the lines end that begin in the range and are complete. */
static const char *range_end(const struct fuse_tsv_reader *r) {
    int64_t rest = r->end - r->base;
    return r->buffer + (rest < (int64_t)r->complete ? (size_t)rest : r->complete);
}

enum fuse_status fuse_tsv_next_ids(struct fuse_tsv_reader *r, int64_t *const *id, int64_t most, int64_t *n,
                                   struct fuse_error *err) {
    *n = 0;
    while (*n < most) {
        int64_t begin = r->base + (int64_t)r->at;
        if (begin >= r->end || begin >= r->file_bytes)
            break;
        if (r->at >= r->complete)
            FUSE_TRY(refill(r, err));
        if (r->complete == 0) /* the line is too long */
            break;
        const char *at = r->buffer + r->at, *end = range_end(r);
        const char *behind = fuse_tsv_take_ids(at, end, r->separator, r->columns, id, most, n);
        r->at = (size_t)(behind - r->buffer);
        if (behind < end)
            break;
    }
    return FUSE_OK;
}

/* ---- rows of fields ---- */

/* The high bit of each byte of the word that is `byte`; above the first one, others may be set too. */
static uint64_t match(uint64_t word, unsigned char byte) {
    uint64_t x = word ^ (0x0101010101010101u * byte);
    return (x - 0x0101010101010101u) & ~x & 0x8080808080808080u;
}

/* The first separator or line feed; there is one, and a word may be read behind it. */
static const char *find_end(const char *at, char separator) {
    for (;; at += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, at, sizeof word);
        word = match(word, (unsigned char)separator) | match(word, '\n');
        if (word)
            return at + __builtin_ctzll(word) / 8;
    }
}

static struct field trim(const char *at, const char *stop, char separator) {
    while (at < stop && is_blank(*at, separator))
        at++;
    while (stop > at && is_blank(stop[-1], separator))
        stop--;
    return (struct field){at, (size_t)(stop - at)};
}

static bool fail_fields(struct fuse_fields *out, int64_t column, const char *reason) {
    out->end = FUSE_FIELDS_BAD;
    out->column = column;
    snprintf(out->reason, sizeof out->reason, "%s", reason);
    return false;
}

/* One row of a line that ends in a line feed; false when it is none. *at moves to the next line. */
static bool take_fields(struct fuse_fields *out, const struct fuse_tsv_reader *r, const char **at) {
    const char *text = *at, *from = text;
    int columns = out->columns + out->has_value;
    for (int c = 0; c < columns; c++) {
        const char *stop = find_end(from, r->separator);
        bool is_last = *stop == '\n';
        if (is_last != (c + 1 == columns)) {
            struct fuse_tsv_line line;
            const char *end = memchr(stop, '\n', (size_t)(r->buffer + r->complete - stop));
            fail_width(&line, r, text, end, is_last ? end : stop + 1);
            return fail_fields(out, line.column, line.reason);
        }
        const char *behind = is_last && stop > from && stop[-1] == '\r' ? stop - 1 : stop;
        struct field field = trim(from, behind, r->separator);
        enum fuse_column_kind kind;
        const char *reason = NULL;
        if (c == out->columns)
            reason = take_value(&out->value[out->n], &field);
        else if (out->is_symbolic[c])
            out->field[c][out->n] = (struct fuse_field){field.text, field.bytes};
        else
            reason = take_id(&out->id[c][out->n], &kind, &field);
        if (field.bytes == 0)
            reason = "an empty field";
        if (reason)
            return fail_fields(out, field.text - text + 1, reason);
        from = stop + 1;
    }
    out->text[out->n] = text;
    out->begin[out->n++] = r->base + (text - r->buffer);
    *at = from;
    return true;
}

static bool is_blank_line(const struct fuse_tsv_reader *r, const char *at) {
    while (is_blank(*at, r->separator))
        at++;
    return *at == '\n' || (*at == '\r' && at[1] == '\n');
}

enum fuse_status fuse_tsv_next_fields(struct fuse_tsv_reader *r, struct fuse_fields *out, struct fuse_error *err) {
    out->n = 0;
    out->end = FUSE_FIELDS_GOOD;
    int64_t begin = r->base + (int64_t)r->at;
    if (begin >= r->end || begin >= r->file_bytes)
        return FUSE_OK;
    if (r->at >= r->complete)
        FUSE_TRY(refill(r, err));
    if (r->complete == 0) {
        fail_fields(out, FUSE_TSV_LINE_BYTES, "a line of more than 262144 bytes");
        return FUSE_OK;
    }
    const char *at = r->buffer + r->at, *end = range_end(r);
    while (at < end && out->n < FUSE_FIELD_ROWS) {
        if ((unsigned char)*at <= ' ' && is_blank_line(r, at)) {
            out->end = FUSE_FIELDS_BLANK;
            at = (const char *)memchr(at, '\n', (size_t)(r->buffer + r->complete - at)) + 1;
            break;
        }
        if (!take_fields(out, r, &at))
            break;
    }
    r->at = (size_t)(at - r->buffer);
    return FUSE_OK;
}
