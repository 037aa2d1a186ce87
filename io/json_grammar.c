#include "io/json_grammar.h"

#include "core/text.h"
#include "io/decimal.h"

#include <math.h>
#include <string.h>

/* cJSON reads a number from a buffer of 64. */
enum { NUMBER_BYTES = 60 };

struct pass {
    const unsigned char *text;
    size_t bytes, at, most;
    struct fuse_arena *arena;
    struct fuse_json_grammar *out;
};

static bool fail(struct pass *p, size_t offset, const char *reason) {
    p->out->offset = (uint32_t)offset;
    p->out->reason = reason;
    p->out->hint = "the file must be JSON as in RFC 8259: no comments, no ',' behind the last value";
    return false;
}

/* The same of what is JSON, but not read. */
static bool fail_as(struct pass *p, size_t offset, const char *reason, const char *hint) {
    (void)fail(p, offset, reason);
    p->out->hint = hint;
    return false;
}

/* The byte at the cursor, -1 behind the last. */
static int peek(const struct pass *p) {
    return p->at < p->bytes ? p->text[p->at] : -1;
}

static int skip_blanks(struct pass *p) {
    int c;
    while ((c = peek(p)) == ' ' || c == '\n' || c == '\t' || c == '\r')
        p->at++;
    return c;
}

static bool is_digit(int c) {
    return c >= '0' && c <= '9';
}

static bool skip_digits(struct pass *p) {
    size_t begin = p->at;
    while (is_digit(peek(p)))
        p->at++;
    return p->at > begin;
}

/* ---- strings ---- */

static int hex_digit(int c) {
    return is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* \uXXXX at the cursor: its value, -1 when it is none. */
static int32_t code_unit(struct pass *p) {
    if (p->bytes - p->at < 6 || p->text[p->at] != '\\' || p->text[p->at + 1] != 'u')
        return -1;
    int32_t unit = 0;
    for (size_t i = 2; i < 6; i++) {
        int digit = hex_digit(p->text[p->at + i]);
        if (digit < 0)
            return -1;
        unit = unit * 16 + digit;
    }
    p->at += 6;
    return unit;
}

static bool check_escape(struct pass *p) {
    size_t begin = p->at;
    int c = p->bytes - p->at < 2 ? -1 : p->text[p->at + 1];
    if (c == 'u') {
        int32_t unit = code_unit(p);
        if (unit < 0)
            return fail(p, begin, "\\u needs four hexadecimal digits");
        if (unit == 0)
            return fail(p, begin, "a NUL in a string");
        if (unit >= 0xDC00 && unit <= 0xDFFF)
            return fail(p, begin, "the second half of a surrogate pair without the first");
        if (unit >= 0xD800 && unit <= 0xDBFF) {
            int32_t low = code_unit(p);
            if (low < 0xDC00 || low > 0xDFFF)
                return fail(p, begin, "the first half of a surrogate pair without the second");
        }
        return true;
    }
    if (c <= 0 || !strchr("\"\\/bfnrt", c))
        return fail(p, begin, "an unknown escape in a string");
    p->at += 2;
    return true;
}

/* string = '"' {character | escape} '"' */
static bool check_string(struct pass *p) {
    size_t begin = p->at++;
    for (int c; (c = peek(p)) != '"';) {
        if (c < 0)
            return fail(p, begin, "a string that does not end");
        if (c == '\\') {
            if (!check_escape(p))
                return false;
            continue;
        }
        if (c < ' ')
            return fail(p, p->at, c == '\n' ? "a string must end on its line" : "a control character in a string");
        int bytes = fuse_utf8_decode(NULL, (const char *)p->text + p->at, p->bytes - p->at);
        if (bytes == 0)
            return fail(p, p->at, "this is not UTF-8");
        p->at += (size_t)bytes;
    }
    p->at++;
    return true;
}

/* ---- numbers and words ---- */

/* number = ["-"] ("0" | digit1-9 digits) ["." digits] [("e" | "E") ["+" | "-"] digits] */
static bool check_number(struct pass *p, bool *is_integer) {
    size_t begin = p->at;
    const char *text = (const char *)p->text + begin;
    int64_t integer;
    *is_integer = true;
    p->at += peek(p) == '-';
    if (peek(p) == '0' && p->at + 1 < p->bytes && is_digit(p->text[p->at + 1]))
        return fail(p, begin, "a number may not begin with 0");
    if (!skip_digits(p))
        return fail(p, begin, "a '-' without a number");
    if (peek(p) == '.') {
        *is_integer = false;
        p->at++;
        if (!skip_digits(p))
            return fail(p, p->at, "digits are missing behind '.'");
    }
    if (peek(p) == 'e' || peek(p) == 'E') {
        *is_integer = false;
        p->at++;
        p->at += peek(p) == '+' || peek(p) == '-';
        if (!skip_digits(p))
            return fail(p, p->at, "digits are missing in the exponent");
    }
    if (p->at - begin > NUMBER_BYTES)
        return fail(p, begin, "a number of more than 60 characters");
    if (*is_integer && !fuse_decimal_read_i53(&integer, text, p->at - begin))
        return fail_as(p, begin, "an integer beyond 2^53, which other programs read as another one",
                       "nothing that is asked for here is as large: is it meant in another unit?");
    if (!*is_integer && isinf(fuse_decimal_read_f64(text, p->at - begin)))
        return fail_as(p, begin, "a number beyond the largest f64",
                       "nothing that is asked for here is as large: is it meant in another unit?");
    return true;
}

static bool is_letter(int c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool check_word(struct pass *p) {
    static const char *const word[] = {"true", "false", "null"};
    size_t begin = p->at;
    while (is_letter(peek(p)) || is_digit(peek(p)))
        p->at++;
    for (size_t i = 0; i < sizeof word / sizeof *word; i++)
        if (p->at - begin == strlen(word[i]) && memcmp(p->text + begin, word[i], p->at - begin) == 0)
            return true;
    return fail(p, begin, "this is neither a number nor a string nor true, false or null");
}

/* ---- values ---- */

static bool check_value(struct pass *p, uint32_t key_offset, int depth);

/* list = "[" [value {"," value}] "]"; object = "{" [string ":" value {"," string ":" value}] "}" */
static bool check_members(struct pass *p, bool is_object, int depth) {
    char close = is_object ? '}' : ']';
    size_t begin = p->at++;
    if (depth == FUSE_JSON_MAX_DEPTH)
        return fail(p, begin, "more than 64 lists and objects inside each other");
    if (skip_blanks(p) == close) {
        p->at++;
        return true;
    }
    for (;;) {
        size_t key = p->at;
        if (is_object) {
            if (skip_blanks(p) != '"')
                return fail(p, p->at, "a key in '\"' was expected here");
            key = p->at;
            if (!check_string(p))
                return false;
            if (skip_blanks(p) != ':')
                return fail(p, p->at, "a ':' was expected behind the key");
            p->at++;
        }
        if (!check_value(p, (uint32_t)key, depth + 1))
            return false;
        int c = skip_blanks(p);
        if (c == close) {
            p->at++;
            return true;
        }
        if (c != ',')
            return fail(p, p->at, is_object ? "',' or '}' was expected here" : "',' or ']' was expected here");
        p->at++;
        if (skip_blanks(p) == close)
            return fail(p, p->at, "a value was expected behind ','");
    }
}

static bool check_value(struct pass *p, uint32_t key_offset, int depth) {
    int c = skip_blanks(p);
    struct fuse_json_spot spot = {.offset = (uint32_t)p->at, .key_offset = key_offset};
    if ((size_t)p->out->spots.n == p->most)
        return fail(p, p->at, "too many values in one document");
    fuse_vec_push(p->arena, &p->out->spots, spot);
    if (c == '{' || c == '[')
        return check_members(p, c == '{', depth);
    if (c == '"')
        return check_string(p);
    if (c == '-' || is_digit(c))
        return check_number(p, &p->out->spots.at[p->out->spots.n - 1].is_integer);
    if (is_letter(c))
        return check_word(p);
    return fail(p, p->at, c < 0 ? "the document ends too early" : "a value was expected here");
}

bool fuse_json_grammar_check(struct fuse_json_grammar *out, struct fuse_arena *arena, const char *text, size_t bytes,
                             size_t most) {
    struct pass p = {.text = (const unsigned char *)text, .bytes = bytes, .most = most, .arena = arena, .out = out};
    *out = (struct fuse_json_grammar){0};
    if (bytes >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
        return fail(&p, 0, "a byte order mark");
    if (!check_value(&p, 0, 0))
        return false;
    if (skip_blanks(&p) >= 0)
        return fail(&p, p.at, "something stands behind the end of the document");
    return true;
}
