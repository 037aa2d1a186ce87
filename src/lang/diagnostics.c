#include "lang/diagnostics.h"
#include "core/text.h"
#include "lang/lexer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define FUSE_MAX_ERRORS 100
/* Of a program's line, in characters; what is longer is cut around the place. */
#define FUSE_LINE_WIDTH 120

/* NULL when the message has no row. */
static const char *find_hint(const char *format) {
    static const struct {
        const char *format, *hint;
    } hints[] = {
#define FUSE_HINT(format, hint) {format, hint},
#include "lang/hints.def"
#undef FUSE_HINT
    };
    for (size_t k = 0; k < sizeof hints / sizeof *hints; k++)
        if (strcmp(hints[k].format, format) == 0)
            return hints[k].hint;
    return NULL;
}

struct fuse_diagnostic *fuse_report(struct fuse_diagnostics *diagnostics, enum fuse_severity severity,
                                    struct fuse_span span, const char *format, ...) {
    bool full = severity == FUSE_SEVERITY_ERROR ? diagnostics->errors >= FUSE_MAX_ERRORS
                                                : diagnostics->others >= FUSE_MAX_ERRORS;
    diagnostics->others += severity != FUSE_SEVERITY_ERROR;
    diagnostics->errors += severity == FUSE_SEVERITY_ERROR;
    diagnostics->warnings += severity == FUSE_SEVERITY_WARNING;
    if (full)
        return FUSE_NEW(diagnostics->arena, struct fuse_diagnostic);

    char message[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);

    struct fuse_diagnostic diagnostic = {
        .severity = severity,
        .status = severity == FUSE_SEVERITY_ERROR ? FUSE_EPROGRAM : FUSE_OK,
        .span = span,
        .message = fuse_arena_strndup(diagnostics->arena, message, strlen(message)),
        .hint = find_hint(format),
        .other = FUSE_NO_SPAN,
    };
    fuse_vec_push(diagnostics->arena, &diagnostics->list, diagnostic);
    return &diagnostics->list.at[diagnostics->list.n - 1];
}

/* ---- places --------------------------------------------------------------------------------------------------- */

struct line {
    const char *begin, *end;
    int number;
};

static struct line find_line(const struct fuse_program_file *file, uint32_t offset) {
    struct line line = {.begin = file->text, .number = 1};
    const char *end = file->text + file->bytes, *at = offset < file->bytes ? file->text + offset : end, *newline;
    while ((newline = memchr(line.begin, '\n', (size_t)(at - line.begin))) != NULL) {
        line.begin = newline + 1;
        line.number++;
    }
    newline = memchr(at, '\n', (size_t)(end - at));
    line.end = newline ? newline : end;
    if (line.end > line.begin && line.end[-1] == '\r')
        line.end--;
    return line;
}

/* Bytes of the character at `at`; a byte that is no UTF-8 is a character of its own. */
static int character_bytes(const char *at, const char *end) {
    int bytes = fuse_utf8_decode(NULL, at, (size_t)(end - at));
    return bytes ? bytes : 1;
}

static int count_characters(const char *at, const char *end) {
    int count = 0;
    for (; at < end; at += character_bytes(at, end))
        count++;
    return count;
}

static const char *clamp(const char *at, const char *low, const char *high) {
    return at < low ? low : at > high ? high : at;
}

void fuse_locate(const struct fuse_program_file *file, uint32_t offset, int *line, int *column) {
    struct line found = find_line(file, offset);
    *line = found.number;
    *column = 1 + count_characters(found.begin, clamp(file->text + offset, found.begin, found.end));
}

/* ---- rendering ------------------------------------------------------------------------------------------------ */

/* Bytes that a terminal would act on are shown as '?'; messages may have several lines. */
static void add_characters(struct fuse_text *text, const char *at, const char *end) {
    while (at < end) {
        uint32_t character = 0;
        int bytes = fuse_utf8_decode(&character, at, (size_t)(end - at));
        bool shown = bytes && (character >= 0x20 || character == '\t' || character == '\n') &&
                     !(character >= 0x7F && character < 0xA0);
        fuse_text_add_bytes(text, shown ? at : "?", shown ? (size_t)bytes : 1);
        at += bytes ? bytes : 1;
    }
}

/* The start of the last `count` characters before `at`. */
static const char *step_back(const char *at, const char *begin, int count) {
    for (; count > 0 && at > begin; count--)
        do
            at--;
        while (at > begin && (*at & 0xC0) == 0x80);
    return at;
}

static const char *step_forward(const char *at, const char *end, int count) {
    for (; count > 0 && at < end; count--)
        at += character_bytes(at, end);
    return at;
}

/* The line of a span and, below it, the caret:
 *     Y[i] = X[i,j] ++ Z[j]
 *                    ^~ */
static void add_excerpt(struct fuse_text *text, const struct fuse_program_file *file, struct fuse_span span) {
    struct line line = find_line(file, span.begin);
    const char *begin = clamp(file->text + span.begin, line.begin, line.end);
    const char *end = clamp(file->text + (span.end > file->bytes ? file->bytes : span.end), begin, line.end);
    const char *from = line.begin, *to = line.end;
    if (count_characters(line.begin, line.end) > FUSE_LINE_WIDTH) {
        from = step_back(begin, line.begin, FUSE_LINE_WIDTH / 2);
        to = step_forward(from, line.end, FUSE_LINE_WIDTH);
    }
    const char *front = from > line.begin ? "..." : "", *back = to < line.end ? "..." : "";
    end = clamp(end, begin, to);

    fuse_text_add(text, "  %s", front);
    add_characters(text, from, to);
    fuse_text_add(text, "%s\n  %*s", back, (int)strlen(front), "");
    for (const char *at = from; at < begin; at += character_bytes(at, begin))
        fuse_text_add_bytes(text, *at == '\t' ? "\t" : " ", 1);
    fuse_text_add(text, "^");
    for (int k = count_characters(begin, end); k > 1; k--)
        fuse_text_add_bytes(text, "~", 1);
    fuse_text_add(text, "\n");
}

static const struct fuse_program_file *find_file(const struct fuse_files *files, struct fuse_span span) {
    return files && span.file >= 0 && span.file < files->list.n ? &files->list.at[span.file] : NULL;
}

static void add_message(struct fuse_text *text, const char *kind, const char *message) {
    fuse_text_add(text, "%s: ", kind);
    add_characters(text, message, message + strlen(message));
    fuse_text_add(text, "\n");
}

static void add_place(struct fuse_text *text, const struct fuse_files *files, struct fuse_span span,
                      const char *severity, const char *message) {
    const struct fuse_program_file *file = find_file(files, span);
    if (file && file->is_made) {
        span = file->origin;
        file = find_file(files, span);
    }
    if (file) {
        int line, column;
        fuse_locate(file, span.begin, &line, &column);
        add_characters(text, file->path, file->path + strlen(file->path));
        fuse_text_add(text, ":%d:%d: ", line, column);
    }
    add_message(text, severity, message);
    if (file)
        add_excerpt(text, file, span);
}

void fuse_diagnostic_print(struct fuse_text *text, const struct fuse_files *files,
                           const struct fuse_diagnostic *diagnostic) {
    static const char *const severities[] = {
        [FUSE_SEVERITY_ERROR] = "error", [FUSE_SEVERITY_WARNING] = "warning", [FUSE_SEVERITY_NOTE] = "note"};
    add_place(text, files, diagnostic->span, severities[diagnostic->severity], diagnostic->message);
    if (find_file(files, diagnostic->other))
        add_place(text, files, diagnostic->other, "note",
                  diagnostic->other_message ? diagnostic->other_message : "the other place is here");
    if (diagnostic->hint)
        add_message(text, "hint", diagnostic->hint);
}

void fuse_error_print(struct fuse_text *text, const struct fuse_files *files, const struct fuse_error *err) {
    add_place(text, files, err->has_span ? err->span : FUSE_NO_SPAN, "error", err->message);
    for (const char *note = err->note; *note;) {
        int length = (int)strcspn(note, "\n");
        if (length) {
            fuse_text_add(text, "note: ");
            add_characters(text, note, note + length);
            fuse_text_add(text, "\n");
        }
        note += length + (note[length] == '\n');
    }
    if (err->hint[0])
        add_message(text, "hint", err->hint);
}
