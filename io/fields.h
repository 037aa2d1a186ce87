/* Rows whose fields are still text: what symbols are made from. Local. */
#ifndef FUSE_IO_FIELDS_H
#define FUSE_IO_FIELDS_H

#include "core/relation.h"

#include <stdbool.h>
#include <stddef.h>

#define FUSE_FIELD_ROWS 64
/* A longer symbol is not read. */
#define FUSE_SYMBOL_BYTES 4096
/* What may be read, not looked at, behind any field. */
#define FUSE_FIELD_SLACK 8

struct fuse_field {
    const char *at; /* until the next rows are asked for */
    size_t bytes;
};

struct fuse_fields {
    int columns;                     /* of ids; set by the caller, as are the two that follow */
    bool is_symbolic[FUSE_MAX_AXES]; /* columns whose fields are wanted, not ids */
    bool has_value;                  /* there is one more column, of values */
    int n;                           /* rows */
    const char
        *text[FUSE_FIELD_ROWS]; /* where each begins, and where in the file: from row to row by `columns` at least */
    int64_t begin[FUSE_FIELD_ROWS];
    struct fuse_field (*field)[FUSE_FIELD_ROWS]; /* [columns], the symbolic ones */
    int64_t (*id)[FUSE_FIELD_ROWS];              /* [columns], the others */
    double value[FUSE_FIELD_ROWS];
    /* Behind the rows: nothing to say; blank lines; or what is wrong with the line, from which on there are no rows. */
    enum fuse_fields_end { FUSE_FIELDS_GOOD, FUSE_FIELDS_BLANK, FUSE_FIELDS_BAD } end;
    int64_t column; /* BAD */
    char reason[160];
    const char *hint; /* how such a file looks */
};

struct fuse_field_source; /* an open file of rows that hands out fields */

/* What is wrong with a symbol's text, NULL: nothing. Text that is not UTF-8, a NUL, a control character at which text would
 * be cut up, more than FUSE_SYMBOL_BYTES, a byte order mark at its start, nothing at all. */
const char *fuse_symbol_fault(const char *text, size_t bytes);

#endif
