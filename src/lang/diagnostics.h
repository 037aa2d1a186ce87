/* What is wrong with a program, as data: byte ranges and text, printed at the end with line and caret. Local. */
#ifndef FUSE_LANG_DIAGNOSTICS_H
#define FUSE_LANG_DIAGNOSTICS_H

#include "core/arena.h"
#include "core/error.h"
#include "core/text.h"

/* The files of a program; file 0 is the main one. Texts end with a NUL that is not counted. */
struct fuse_program_file {
    const char *path; /* as the user wrote it, for messages */
    const char *text;
    size_t bytes;
    bool is_made; /* from another file: what is wrong with it is said of that place, `origin` */
    struct fuse_span origin;
};

struct fuse_files {
    struct fuse_arena *arena;
    FUSE_VEC(struct fuse_program_file) list;
};

enum fuse_severity { FUSE_SEVERITY_ERROR, FUSE_SEVERITY_WARNING, FUSE_SEVERITY_NOTE };

struct fuse_diagnostic {
    enum fuse_severity severity;
    enum fuse_status status; /* of an error: PROGRAM, or INPUT for a bad source */
    struct fuse_span span;
    const char *message;
    const char *hint; /* NULL or text */
    /* A second place ("the other extent comes from here"), or file -1. */
    struct fuse_span other;
    const char *other_message;
};

struct fuse_diagnostics {
    struct fuse_arena *arena;
    FUSE_VEC(struct fuse_diagnostic) list;
    int errors, warnings;
    int others; /* warnings and notes */
};

/* Adds one, with the hint that hints.def has for its format, and returns it, so that the caller may set a better hint
 * and the other place. Of errors, and of warnings and notes, beyond 100 nothing is kept but the count. */
struct fuse_diagnostic *fuse_report(struct fuse_diagnostics *diagnostics, enum fuse_severity severity,
                                    struct fuse_span span, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Line and column of an offset, from 1; columns count bytes of UTF-8 characters as one. */
void fuse_locate(const struct fuse_program_file *file, uint32_t offset, int *line, int *column);

/* "file:line:col: error: message", the line, a caret under the place (tabs kept, long lines cut around it), the other
 * place, "hint: ...". */
void fuse_diagnostic_print(struct fuse_text *text, const struct fuse_files *files,
                           const struct fuse_diagnostic *diagnostic);

/* A run-time error in the same form: with line and caret when it has a place, "error: message" otherwise; notes, hint. */
void fuse_error_print(struct fuse_text *text, const struct fuse_files *files, const struct fuse_error *err);

#endif
