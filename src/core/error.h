/* Errors: the first function that detects one records it, the others add context or nothing, one place prints it.
 *
 * A `struct fuse_error` starts zeroed. `fuse_fail` records only the first failure, so the cause survives clean-up paths.
 * Local: nothing here communicates; comm/comm.h makes one rank's error everybody's. */
#ifndef FUSE_CORE_ERROR_H
#define FUSE_CORE_ERROR_H

#include <stdint.h>

enum fuse_status {
#define FUSE_STATUS(name, number, text) FUSE_E##name = number,
#include "core/status.def"
#undef FUSE_STATUS
};

/* FUSE_EOK reads badly at a return. */
#define FUSE_OK FUSE_EOK

/* A byte range of a program text: file is the index of the file in the program (0 the main one), end is exclusive.
 * begin == end == 0 with file == -1 is "no place". */
struct fuse_span {
    int32_t file;
    uint32_t begin, end;
};

#define FUSE_NO_SPAN ((struct fuse_span){.file = -1})

struct fuse_error {
    enum fuse_status status;
    int rank;              /* the rank that failed; -1: every rank alike */
    char host[65];         /* its host; "" when rank is -1 */
    struct fuse_span span; /* place in the program text, or FUSE_NO_SPAN; valid when has_span */
    int has_span;
    char message[768];
    char note[512]; /* context lines added by callers, separated by '\n' */
    char hint[384];
};

#define FUSE_CHECKED __attribute__((warn_unused_result))

/* Records status and message unless an error is already there; returns the recorded status. */
enum fuse_status fuse_fail(struct fuse_error *err, enum fuse_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same with the place in the program that is to blame. */
enum fuse_status fuse_fail_at(struct fuse_error *err, enum fuse_status status, struct fuse_span span,
                              const char *format, ...) __attribute__((format(printf, 4, 5)));
/* Adds a line of context to a recorded error; nothing without one. Use it at module borders only. */
void fuse_note(struct fuse_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Sets the hint of a recorded error unless it has one. */
void fuse_hint(struct fuse_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

const char *fuse_status_name(enum fuse_status status); /* "PROGRAM" */
const char *fuse_status_text(enum fuse_status status); /* "the program is wrong" */

#define FUSE_TRY(call)                              \
    do {                                            \
        enum fuse_status fuse_try_status_ = (call); \
        if (fuse_try_status_ != FUSE_OK)            \
            return fuse_try_status_;                \
    } while (0)

#define FUSE_TRY_GOTO(st, call, label) \
    do {                               \
        (st) = (call);                 \
        if ((st) != FUSE_OK)           \
            goto label;                \
    } while (0)

#endif
