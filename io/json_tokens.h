/* The tokens of JSON as far as arrays of numbers and Booleans go, from any place of a file, in bounded memory. Local.
 *
 * Without strings every byte says by itself whether it belongs to a word (a number, true, false) or stands between words,
 * so that a file may be cut anywhere: see fuse_json_seek. */
#ifndef FUSE_IO_JSON_TOKENS_H
#define FUSE_IO_JSON_TOKENS_H

#include "io/bytes.h"
#include "io/decimal.h"

#include <stdbool.h>

enum fuse_json_kind {
    FUSE_JSON_OPEN,
    FUSE_JSON_CLOSE,
    FUSE_JSON_COMMA,
    FUSE_JSON_INTEGER, /* no fraction and no exponent, at most 2^53 */
    FUSE_JSON_REAL,
    FUSE_JSON_BOOL,
    FUSE_JSON_END, /* of the file */
    FUSE_JSON_BAD
};

struct fuse_json_token {
    enum fuse_json_kind kind;
    int64_t offset; /* of its first byte */
    union {
        int64_t integer;
        float real;
        bool truth;
        const char *reason; /* BAD: what is wrong at this place */
    };
};

struct fuse_json_reader {
    struct fuse_bytes *file;
    int64_t file_bytes;
    int64_t base; /* offset of buffer[0] */
    size_t at, filled;
    char *buffer;
};

enum fuse_status fuse_json_open(struct fuse_json_reader *out, struct fuse_bytes *file, int64_t file_bytes,
                                const char *path, struct fuse_error *err) FUSE_CHECKED;
/* One that was zeroed is fine. */
void fuse_json_close(struct fuse_json_reader *reader);

/* To the first byte from `offset` on that is not inside a word that began earlier. */
enum fuse_status fuse_json_seek(struct fuse_json_reader *reader, int64_t offset, struct fuse_error *err) FUSE_CHECKED;
/* To the first word, over everything else; *found is its offset, file_bytes when there is none. */
enum fuse_status fuse_json_skip(struct fuse_json_reader *reader, int64_t *found, struct fuse_error *err) FUSE_CHECKED;
/* The next token. A status is a failure to read; what is wrong with the text is a token. */
enum fuse_status fuse_json_next(struct fuse_json_reader *reader, struct fuse_json_token *out,
                                struct fuse_error *err) FUSE_CHECKED;

/* Line and column (both from 1, in bytes) of an offset; reads the file up to there. */
enum fuse_status fuse_json_place(struct fuse_json_reader *reader, int64_t offset, int64_t *line, int64_t *column,
                                 struct fuse_error *err) FUSE_CHECKED;

#endif
