#include "io/fields.h"

#include <string.h>

/* Bytes of the character at `at`, 0 when there is none: RFC 3629, the shortest form only, no surrogates. */
static size_t character(const unsigned char *at, size_t rest) {
    unsigned char c = at[0];
    size_t n = c < 0x80 ? 1 : c >= 0xC2 && c < 0xE0 ? 2 : c >= 0xE0 && c < 0xF0 ? 3 : c >= 0xF0 && c < 0xF5 ? 4 : 0;
    if (n == 0 || n > rest)
        return 0;
    for (size_t k = 1; k < n; k++)
        if ((at[k] & 0xC0) != 0x80)
            return 0;
    if ((c == 0xE0 && at[1] < 0xA0) || (c == 0xED && at[1] > 0x9F) || (c == 0xF0 && at[1] < 0x90) ||
        (c == 0xF4 && at[1] > 0x8F))
        return 0;
    return n;
}

const char *fuse_symbol_fault(const char *text, size_t bytes) {
    if (bytes == 0)
        return "an empty field";
    if (memchr(text, '\0', bytes))
        return "a NUL byte, which no text has";
    if (bytes > FUSE_SYMBOL_BYTES)
        return "a symbol of more than 4096 bytes";
    if (bytes >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
        return "a byte order mark";
    if (memchr(text, '\r', bytes))
        return "a carriage return within a line";
    for (size_t at = 0, n; at < bytes; at += n) {
        n = character((const unsigned char *)text + at, bytes - at);
        if (n == 0)
            return "this is not UTF-8";
    }
    return NULL;
}
