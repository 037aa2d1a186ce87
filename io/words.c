/* .txt and .md: a row for each token, which stands between white space (ASCII): its position in the file, and itself as a
 * symbol. Everything that can be wrong with the text the scan finds, all ranks at once, each in its range of bytes. */
#include "io/format.h"
#include "io/kept_rows.h"
#include "io/tally_join.h"
#include "io/text_file.h"
#include "io/vocabulary.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUFFER_BYTES = 1 << 18 };

static const char hint[] = "text is UTF-8; its tokens stand between white space and have 4096 bytes at most";

/* Tokens that begin in a range of bytes. */
struct reader {
    struct fuse_bytes *file;
    int64_t file_bytes, end, base; /* base: offset of buffer[0] */
    size_t at, filled;
    int64_t lines;       /* line feeds between the beginning of the range and the cursor */
    int64_t line_begin;  /* behind the last of them, -1: none */
    bool keeps, stalled; /* the buffer is to stay as it is; and so there is no next token yet */
    char *buffer;        /* BUFFER_BYTES + FUSE_FIELD_SLACK */
};

struct token {
    const char *text; /* NULL: no further one begins in the range. Until the buffer is filled again */
    size_t bytes;     /* FUSE_SYMBOL_BYTES + 1: that or longer */
    int64_t begin, line;
};

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static int64_t offset(const struct reader *r) {
    return r->base + (int64_t)r->at;
}

/* Drops what was read and reads on. */
static enum fuse_status refill(struct reader *r, struct fuse_error *err) {
    r->base += (int64_t)r->at;
    r->filled -= r->at;
    memmove(r->buffer, r->buffer + r->at, r->filled);
    r->at = 0;
    int64_t rest = r->file_bytes - r->base - (int64_t)r->filled;
    size_t room = BUFFER_BYTES - r->filled, more = rest < (int64_t)room ? (size_t)rest : room;
    FUSE_TRY(r->file->read(r->file, r->buffer + r->filled, more, r->base + (int64_t)r->filled, err));
    r->filled += more;
    return FUSE_OK;
}

/* At least `want` bytes behind the cursor, or all that the file has. */
static enum fuse_status have(struct reader *r, size_t want, struct fuse_error *err) {
    if (r->filled - r->at >= want || r->base + (int64_t)r->filled == r->file_bytes)
        return FUSE_OK;
    r->stalled = r->keeps;
    return r->keeps ? FUSE_OK : refill(r, err);
}

/* Behind the token that began in front of the range. */
static enum fuse_status seek(struct reader *r, int64_t begin, struct fuse_error *err) {
    r->base = begin > 0 ? begin - 1 : 0;
    if (begin == 0)
        return FUSE_OK;
    for (; offset(r) < r->end; r->at++) {
        FUSE_TRY(have(r, 1, err));
        if (r->at == r->filled || is_space(r->buffer[r->at]))
            break;
    }
    r->at += offset(r) < begin; /* the byte in front of the range: its line feed is not counted here */
    return FUSE_OK;
}

static enum fuse_status next_token(struct token *out, struct reader *r, struct fuse_error *err) {
    *out = (struct token){0};
    r->stalled = false;
    for (;; r->at++) {
        if (offset(r) >= r->end)
            return FUSE_OK;
        FUSE_TRY(have(r, 1, err));
        if (r->at == r->filled)
            return FUSE_OK;
        if (!is_space(r->buffer[r->at]))
            break;
        if (r->buffer[r->at] != '\n')
            continue;
        r->lines++;
        r->line_begin = offset(r) + 1;
    }
    FUSE_TRY(have(r, FUSE_SYMBOL_BYTES + 1, err));
    if (r->stalled)
        return FUSE_OK;
    size_t bytes = 0;
    while (bytes <= FUSE_SYMBOL_BYTES && r->at + bytes < r->filled && !is_space(r->buffer[r->at + bytes]))
        bytes++;
    *out = (struct token){.text = r->buffer + r->at, .bytes = bytes, .begin = offset(r), .line = r->lines};
    r->at += bytes;
    return FUSE_OK;
}

static enum fuse_status open_reader(struct reader *out, struct fuse_text_file *file, int share, int shares,
                                    const char *path, struct fuse_error *err) {
    *out = (struct reader){.file = file->bytes, .file_bytes = file->size, .line_begin = -1};
    out->end = fuse_split_begin(file->size, shares, share + 1);
    out->buffer = calloc(1, BUFFER_BYTES + FUSE_FIELD_SLACK);
    if (!out->buffer)
        return fuse_fail(err, FUSE_EMEMORY, "no memory to read %s", path);
    return seek(out, fuse_split_begin(file->size, shares, share), err);
}

/* ---- scan ---- */

struct census {
    int64_t words, lines;
    const char *reason; /* of the token behind them, NULL: nothing is wrong */
    int64_t line, column;
};

/* Where the line begins that the byte at `at` is in; `at` is in front of all line feeds of the reader's range. */
static enum fuse_status find_line(int64_t *out, struct reader *r, int64_t at, struct fuse_error *err) {
    char block[4096];
    while (at > 0) {
        int64_t n = at < (int64_t)sizeof block ? at : (int64_t)sizeof block;
        FUSE_TRY(r->file->read(r->file, block, (size_t)n, at - n, err));
        const char *feed = memrchr(block, '\n', (size_t)n);
        if (feed) {
            *out = at - n + (feed - block) + 1;
            return FUSE_OK;
        }
        at -= n;
    }
    *out = 0;
    return FUSE_OK;
}

static enum fuse_status count(struct census *out, struct reader *r, struct fuse_error *err) {
    struct token token;
    for (;; out->words++) {
        FUSE_TRY(next_token(&token, r, err));
        out->lines = r->lines;
        out->reason = token.text ? fuse_symbol_fault(token.text, token.bytes) : NULL;
        if (!token.text)
            return FUSE_OK;
        if (!out->reason)
            continue;
        int64_t line_begin = r->line_begin;
        if (line_begin < 0)
            FUSE_TRY(find_line(&line_begin, r, token.begin, err));
        out->line = token.line;
        out->column = token.begin - line_begin + 1;
        return FUSE_OK;
    }
}

/* Collective: INPUT for the first fault of the file. *before: tokens of the ranks below, *all: of all. */
static enum fuse_status judge(int64_t *before, int64_t *all, const struct census *found, struct fuse_comm *comm,
                              const char *path, struct fuse_error *err) {
    int64_t lines, ignored;
    FUSE_TRY(fuse_sum_before(before, all, comm, found->words, err));
    FUSE_TRY(fuse_sum_before(&lines, &ignored, comm, found->lines, err));
    enum fuse_status st = FUSE_OK;
    if (found->reason) {
        st = fuse_fail(err, FUSE_EINPUT, "%s:%" PRId64 ":%" PRId64 ": %s", path, lines + found->line + 1, found->column,
                       found->reason);
        fuse_hint(err, "%s", hint);
    }
    return fuse_agree(comm, st, err);
}

struct index {
    int64_t before, words; /* tokens in front of this rank's share, and in it */
};

static enum fuse_status scan_words(struct fuse_probe *probe, struct fuse_arena *arena, struct fuse_comm *comm,
                                   const char *path, const char *part, struct fuse_error *err) {
    (void)part;
    struct fuse_text_file file;
    struct reader reader = {0};
    struct census found = {0};
    struct index *index = FUSE_NEW(arena, struct index);
    int64_t rows = 0;
    FUSE_TRY(fuse_text_file_scan(probe, arena, comm, path, err));
    enum fuse_status st = fuse_text_file_open(&file, path, probe, err);
    if (st == FUSE_OK)
        st = open_reader(&reader, &file, comm->rank, comm->size, path, err);
    if (st == FUSE_OK)
        st = count(&found, &reader, err);
    free(reader.buffer);
    fuse_text_file_close(&file);
    FUSE_TRY(fuse_agree(comm, st, err));
    FUSE_TRY(judge(&index->before, &rows, &found, comm, path, err));
    index->words = found.words;
    FUSE_TRY(fuse_vocabulary_find(&probe->vocabulary, arena, comm, path, err));
    if (probe->vocabulary)
        probe->digest = probe->vocabulary->digest;
    /* Its ids and symbols are counted when symbols become ids. */
    struct fuse_tally *tally = FUSE_NEW(arena, struct fuse_tally);
    *tally = (struct fuse_tally){
        .columns = 2, .rows = rows, .last = FUSE_COLUMN_SYMBOLS, .last_not_id = 0, .is_partial = true};
    for (int c = 0; c < tally->columns; c++)
        tally->largest[c] = tally->largest_row[c] = -1;
    tally->kind[1] = tally->last;
    tally->refused[1] = fuse_arena_printf(arena, "%s: its tokens are no values", path);
    probe->tally = tally;
    probe->index = index;
    return FUSE_OK;
}

/* ---- rows ---- */

struct field_source {
    char *path;
    struct fuse_text_file file;
    struct reader reader;
    int64_t position, end;
    char digits[FUSE_FIELD_ROWS][24 + FUSE_FIELD_SLACK];
};

static void close_fields(struct fuse_field_source *handle) {
    struct field_source *source = (struct field_source *)handle;
    if (!source)
        return;
    fuse_text_file_close(&source->file);
    free(source->reader.buffer);
    free(source->path);
    free(source);
}

static enum fuse_status open_fields(struct fuse_field_source **out, const char *path, const char *part,
                                    const struct fuse_probe *probe, const struct fuse_fields *fields, int share,
                                    int shares, struct fuse_error *err) {
    (void)part;
    (void)fields;
    const struct index *index = probe->index;
    struct field_source *source = calloc(1, sizeof *source);
    char *copy = strdup(path);
    if (!source || !copy) {
        free(source);
        free(copy);
        return fuse_fail(err, FUSE_EMEMORY, "no memory to open %s", path);
    }
    *source = (struct field_source){
        .file.fd = -1, .path = copy, .position = index->before, .end = index->before + index->words};
    enum fuse_status st = fuse_text_file_open(&source->file, source->path, probe, err);
    if (st == FUSE_OK)
        st = open_reader(&source->reader, &source->file, share, shares, path, err);
    if (st == FUSE_OK)
        *out = (struct fuse_field_source *)source;
    else
        close_fields((struct fuse_field_source *)source);
    return st;
}

static void put(struct fuse_fields *fields, struct field_source *source, const struct token *token) {
    int n = fields->n++;
    fields->text[n] = token->text;
    fields->begin[n] = token->begin;
    if (fields->is_symbolic[0]) {
        int bytes = snprintf(source->digits[n], 24, "%" PRId64, source->position);
        fields->field[0][n] = (struct fuse_field){source->digits[n], (size_t)bytes};
    } else {
        fields->id[0][n] = source->position;
    }
    fields->field[1][n] = (struct fuse_field){token->text, token->bytes};
    source->position++;
}

static enum fuse_status fail_changed(const char *path, struct fuse_error *err) {
    enum fuse_status st = fuse_fail(err, FUSE_EINPUT, "%s changed while it was read", path);
    fuse_hint(err, "a source must stay as it is while the program runs");
    return st;
}

static enum fuse_status next_fields(struct fuse_field_source *handle, struct fuse_fields *fields,
                                    struct fuse_error *err) {
    struct field_source *source = (struct field_source *)handle;
    struct token token;
    fields->n = 0;
    fields->end = FUSE_FIELDS_GOOD;
    fields->hint = hint;
    for (source->reader.keeps = false; fields->n < FUSE_FIELD_ROWS; source->reader.keeps = true) {
        FUSE_TRY(next_token(&token, &source->reader, err));
        if (!token.text && !source->reader.stalled && source->position != source->end)
            return fail_changed(source->path, err);
        if (!token.text)
            break;
        if (source->position == source->end)
            return fail_changed(source->path, err);
        put(fields, source, &token);
    }
    return FUSE_OK;
}

struct row_source {
    const struct fuse_kept_rows *kept;
    struct fuse_kept_cursor cursor;
};

static enum fuse_status open_rows(struct fuse_row_source **out, const char *path, const char *part,
                                  const struct fuse_probe *probe, bool has_value, int share, int shares,
                                  struct fuse_error *err) {
    (void)part, (void)has_value, (void)share, (void)shares;
    struct row_source *source = calloc(1, sizeof *source);
    if (!source)
        return fuse_fail(err, FUSE_EMEMORY, "no memory to open %s", path);
    source->kept = probe->index;
    *out = (struct fuse_row_source *)source;
    return FUSE_OK;
}

static enum fuse_status next_rows(struct fuse_row_source *handle, struct fuse_rows *rows, struct fuse_error *err) {
    (void)err;
    struct row_source *source = (struct row_source *)handle;
    rows->n = 0;
    if (source->kept)
        fuse_kept_rows_copy(source->kept, rows, &source->cursor);
    return FUSE_OK;
}

static void close_rows(struct fuse_row_source *source) {
    free(source);
}

static const char *const suffixes[] = {".txt", ".md", ".txt.gz", ".md.gz", NULL};

const struct fuse_format fuse_format_words = {
    .name = "text",
    .suffixes = suffixes,
    .probe = fuse_text_file_probe_rows,
    .scan = scan_words,
    .rows_open = open_rows,
    .rows_next = next_rows,
    .rows_close = close_rows,
    .fields_open = open_fields,
    .fields_next = next_fields,
    .fields_close = close_fields,
};
