/* Rows whose ids have names: a rank keeps what its lines are made of, and when all is there asks for the names that it needs, so
 * many lines at a time. */
#ifndef FUSE_IO_TSV_NAMES_H
#define FUSE_IO_TSV_NAMES_H

#include "io/text_sink.h"

struct fuse_tsv_form {
    char separator;
    bool is_raw; /* what is appended are raw lines */
};

/* A line before its names are known: the ids of all axes, 8 bytes each, then the number of the value's digits in one byte; the
 * digits follow. */
enum { FUSE_TSV_RAW_BYTES = 8 * FUSE_MAX_AXES + 1 + FUSE_DECIMAL_BYTES };

/* Returns its length. */
size_t fuse_tsv_write_raw(char to[FUSE_TSV_RAW_BYTES], const int64_t *id, int ids, const char *value, size_t digits);

/* The `complete` of a layout whose form is a fuse_tsv_form. OUTPUT for a symbol in which the separator stands. */
enum fuse_status fuse_tsv_name_rows(struct fuse_text_runs *text, const struct fuse_text_runs *appended,
                                    const struct fuse_text_shape *shape, const void *form, struct fuse_comm *comm,
                                    struct fuse_error *err) FUSE_CHECKED;

#endif
