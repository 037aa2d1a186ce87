#include "core/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Formats into buffer[0 .. size); what does not fit is cut before a whole UTF-8 character and ends in "...". */
static void format_into(char *buffer, size_t size, const char *format, va_list args) {
    if (size == 0)
        return;
    int wanted = vsnprintf(buffer, size, format, args);
    if (wanted < 0) {
        buffer[0] = '\0';
        return;
    }
    if ((size_t)wanted < size || size < 4)
        return;
    size_t end = size - 4;
    while (end > 0 && ((unsigned char)buffer[end] & 0xc0) == 0x80)
        end--;
    memcpy(buffer + end, "...", 4);
}

static enum fuse_status record(struct fuse_error *err, enum fuse_status status, const struct fuse_span *span,
                               const char *format, va_list args) {
    /* A caller that reports success as a failure must not be taken for one that succeeded. */
    if (status == FUSE_OK)
        status = FUSE_EBUG;
    if (!err)
        return status;
    if (err->status != FUSE_OK)
        return err->status;
    err->status = status;
    err->rank = -1;
    err->has_span = span != NULL;
    err->span = span ? *span : FUSE_NO_SPAN;
    err->note[0] = '\0';
    err->hint[0] = '\0';
    format_into(err->message, sizeof err->message, format, args);
    return status;
}

enum fuse_status fuse_fail(struct fuse_error *err, enum fuse_status status, const char *format, ...) {
    va_list args;
    va_start(args, format);
    status = record(err, status, NULL, format, args);
    va_end(args);
    return status;
}

enum fuse_status fuse_fail_at(struct fuse_error *err, enum fuse_status status, struct fuse_span span,
                              const char *format, ...) {
    va_list args;
    va_start(args, format);
    status = record(err, status, &span, format, args);
    va_end(args);
    return status;
}

void fuse_note(struct fuse_error *err, const char *format, ...) {
    if (!err || err->status == FUSE_OK)
        return;
    size_t used = strlen(err->note);
    if (used > 0) {
        if (used + 2 >= sizeof err->note)
            return;
        err->note[used++] = '\n';
        err->note[used] = '\0';
    }
    va_list args;
    va_start(args, format);
    format_into(err->note + used, sizeof err->note - used, format, args);
    va_end(args);
}

void fuse_hint(struct fuse_error *err, const char *format, ...) {
    if (!err || err->status == FUSE_OK || err->hint[0] != '\0')
        return;
    va_list args;
    va_start(args, format);
    format_into(err->hint, sizeof err->hint, format, args);
    va_end(args);
}

const char *fuse_status_name(enum fuse_status status) {
    switch (status) {
#define FUSE_STATUS(name, number, text) \
    case FUSE_E##name:                  \
        return #name;
#include "core/status.def"
#undef FUSE_STATUS
    }
    return "UNKNOWN";
}

const char *fuse_status_text(enum fuse_status status) {
    switch (status) {
#define FUSE_STATUS(name, number, text) \
    case FUSE_E##name:                  \
        return text;
#include "core/status.def"
#undef FUSE_STATUS
    }
    return "an unknown status";
}
