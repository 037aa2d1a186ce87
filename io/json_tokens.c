#include "io/json_tokens.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BUFFER_BYTES = 256 << 10, END = -1 };

enum fuse_status fuse_json_open(struct fuse_json_reader *out, struct fuse_bytes *file, int64_t file_bytes,
                                const char *path, struct fuse_error *err) {
    char *buffer = malloc(BUFFER_BYTES);
    if (!buffer)
        return fuse_fail(err, FUSE_EMEMORY, "no memory to read %s", path);
    *out = (struct fuse_json_reader){.file = file, .file_bytes = file_bytes, .buffer = buffer};
    return FUSE_OK;
}

void fuse_json_close(struct fuse_json_reader *reader) {
    free(reader->buffer);
    reader->buffer = NULL;
}

/* ---- bytes ---- */

static int64_t position(const struct fuse_json_reader *r) {
    return r->base + (int64_t)r->at;
}

static void move_to(struct fuse_json_reader *r, int64_t offset) {
    if (offset >= r->base && offset <= r->base + (int64_t)r->filled) {
        r->at = (size_t)(offset - r->base);
        return;
    }
    r->base = offset;
    r->at = r->filled = 0;
}

static enum fuse_status refill(struct fuse_json_reader *r, struct fuse_error *err) {
    int64_t left = r->file_bytes - position(r);
    size_t bytes = left < BUFFER_BYTES ? (size_t)left : BUFFER_BYTES;
    r->base = position(r);
    r->at = r->filled = 0;
    FUSE_TRY(r->file->read(r->file, r->buffer, bytes, r->base, err));
    r->filled = bytes;
    return FUSE_OK;
}

/* *out = the byte at the cursor, END at the end of the file. */
static inline enum fuse_status peek(struct fuse_json_reader *r, int *out, struct fuse_error *err) {
    if (r->at == r->filled) {
        if (position(r) >= r->file_bytes) {
            *out = END;
            return FUSE_OK;
        }
        FUSE_TRY(refill(r, err));
    }
    *out = (unsigned char)r->buffer[r->at];
    return FUSE_OK;
}

static bool is_digit(int c) {
    return c >= '0' && c <= '9';
}

static bool is_word(int c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '+' || c == '.' ||
           c == '_';
}

static bool is_blank(int c) {
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

enum fuse_status fuse_json_seek(struct fuse_json_reader *r, int64_t offset, struct fuse_error *err) {
    int c;
    move_to(r, offset > 0 ? offset - 1 : 0);
    if (offset == 0)
        return FUSE_OK;
    FUSE_TRY(peek(r, &c, err));
    if (c == END)
        return FUSE_OK;
    bool in_word = is_word(c);
    r->at++;
    for (; in_word; r->at++) {
        FUSE_TRY(peek(r, &c, err));
        in_word = is_word(c);
        if (!in_word)
            break;
    }
    return FUSE_OK;
}

enum fuse_status fuse_json_skip(struct fuse_json_reader *r, int64_t *found, struct fuse_error *err) {
    for (int c;; r->at++) {
        FUSE_TRY(peek(r, &c, err));
        if (c == END || is_word(c))
            break;
    }
    *found = position(r);
    return FUSE_OK;
}

/* ---- words ---- */

/* number = ["-"] ("0" | [1-9] digit*) ["." digit+] [("e" | "E") ["+" | "-"] digit+] */
static const char *check_number(const char *text, size_t bytes, bool *is_integer) {
    size_t i = 0;
    *is_integer = true;
    i += i < bytes && text[i] == '-';
    if (i == bytes || !is_digit(text[i]))
        return text[0] == '+'   ? "a number may not begin with '+'"
               : text[0] == '.' ? "a number may not begin with '.'"
                                : "a '-' without a number";
    if (text[i] == '0' && i + 1 < bytes && is_digit(text[i + 1]))
        return "a number may not begin with 0";
    while (i < bytes && is_digit(text[i]))
        i++;
    if (i < bytes && text[i] == '.') {
        *is_integer = false;
        if (++i == bytes || !is_digit(text[i]))
            return "digits are missing behind '.'";
        while (i < bytes && is_digit(text[i]))
            i++;
    }
    if (i < bytes && (text[i] == 'e' || text[i] == 'E')) {
        *is_integer = false;
        i++;
        i += i < bytes && (text[i] == '+' || text[i] == '-');
        if (i == bytes || !is_digit(text[i]))
            return "digits are missing in the exponent";
        while (i < bytes && is_digit(text[i]))
            i++;
    }
    return i == bytes ? NULL : "this is no number";
}

static void fail_word(struct fuse_json_token *out, const char *reason) {
    out->kind = FUSE_JSON_BAD;
    out->reason = reason;
}

static bool is_text(const char *text, size_t bytes, const char *word) {
    return bytes == strlen(word) && memcmp(text, word, bytes) == 0;
}

static void judge_number(struct fuse_json_token *out, const char *text, size_t bytes) {
    bool is_integer;
    const char *reason = check_number(text, bytes, &is_integer);
    if (reason) {
        fail_word(out, reason);
        return;
    }
    if (is_integer) {
        out->kind = FUSE_JSON_INTEGER;
        if (!fuse_decimal_read_i53(&out->integer, text, bytes))
            fail_word(out, "an integer beyond 2^53, which other programs read as another one");
        return;
    }
    out->kind = FUSE_JSON_REAL;
    out->real = fuse_decimal_read_f32(text, bytes);
    if (isinf(out->real))
        fail_word(out, "a number beyond the largest f32");
}

static void judge_word(struct fuse_json_token *out, const char *text, size_t bytes) {
    bool is_named = bytes > 0 && ((text[0] >= 'a' && text[0] <= 'z') || (text[0] >= 'A' && text[0] <= 'Z'));
    if (!is_named && !is_text(text, bytes, "-Infinity") && text[0] != '_') {
        judge_number(out, text, bytes);
    } else if (is_text(text, bytes, "true") || is_text(text, bytes, "false")) {
        out->kind = FUSE_JSON_BOOL;
        out->truth = text[0] == 't';
    } else if (is_text(text, bytes, "null")) {
        fail_word(out, "null, which is no number");
    } else if (is_text(text, bytes, "NaN") || is_text(text, bytes, "Infinity") || is_text(text, bytes, "-Infinity")) {
        fail_word(out, "NaN and Infinity are not JSON");
    } else {
        fail_word(out, "this is neither a number nor true or false");
    }
}

static enum fuse_status next_word(struct fuse_json_reader *r, struct fuse_json_token *out, struct fuse_error *err) {
    char text[FUSE_DECIMAL_MAX_BYTES];
    size_t bytes = 0;
    for (int c;; r->at++) {
        FUSE_TRY(peek(r, &c, err));
        if (!is_word(c))
            break;
        if (bytes == sizeof text) {
            fail_word(out, "a number of more than 1024 characters");
            return FUSE_OK;
        }
        text[bytes++] = (char)c;
    }
    judge_word(out, text, bytes);
    return FUSE_OK;
}

enum fuse_status fuse_json_next(struct fuse_json_reader *r, struct fuse_json_token *out, struct fuse_error *err) {
    int c;
    for (;; r->at++) {
        FUSE_TRY(peek(r, &c, err));
        if (!is_blank(c))
            break;
    }
    out->offset = position(r);
    if (is_word(c))
        return next_word(r, out, err);
    if (c != END)
        r->at++;
    switch (c) {
    case END: out->kind = FUSE_JSON_END; break;
    case '[': out->kind = FUSE_JSON_OPEN; break;
    case ']': out->kind = FUSE_JSON_CLOSE; break;
    case ',': out->kind = FUSE_JSON_COMMA; break;
    case '{': fail_word(out, "an object; only nested lists of numbers or Booleans are read"); break;
    case '"': fail_word(out, "a string; only nested lists of numbers or Booleans are read"); break;
    case 0xEF: fail_word(out, "a byte order mark or another character outside of JSON"); break;
    case 0: fail_word(out, "a NUL byte"); break;
    default: fail_word(out, "a character that does not belong to JSON"); break;
    }
    return FUSE_OK;
}

enum fuse_status fuse_json_place(struct fuse_json_reader *r, int64_t offset, int64_t *line, int64_t *column,
                                 struct fuse_error *err) {
    int64_t lines = 1, begin = 0;
    move_to(r, 0);
    while (position(r) < offset) {
        int c;
        FUSE_TRY(peek(r, &c, err));
        if (c == END)
            break;
        size_t end = r->filled;
        if (offset - r->base < (int64_t)end)
            end = (size_t)(offset - r->base);
        const char *at = r->buffer + r->at, *last = r->buffer + end;
        while ((at = memchr(at, '\n', (size_t)(last - at)))) {
            at++;
            lines++;
            begin = r->base + (at - r->buffer);
        }
        r->at = end;
    }
    *line = lines;
    *column = offset - begin + 1;
    return FUSE_OK;
}
