/* Rows of text, a line each, from any place of a file, in bounded memory: ids, symbols, and a last field that may be a value.
 * No header, quoting or comments; blanks around a field and a CR in front of a line feed do not count. Local. */
#ifndef FUSE_IO_TSV_ROWS_H
#define FUSE_IO_TSV_ROWS_H

#include "core/relation.h"
#include "io/bytes.h"
#include "io/fields.h"

#include <stdbool.h>

/* A longer line is BAD. */
#define FUSE_TSV_LINE_BYTES (1 << 18)

enum fuse_tsv_kind {
    FUSE_TSV_ROW,
    FUSE_TSV_BLANK, /* a line of blanks only */
    FUSE_TSV_BAD,
    FUSE_TSV_END /* no further line begins in the range */
};

struct fuse_tsv_line {
    enum fuse_tsv_kind kind;
    int64_t id[FUSE_MAX_AXES]; /* 0 where the field is no id */
    enum fuse_column_kind field[FUSE_MAX_AXES];
    struct {
        const char *reason; /* why it is no id, the last one: no value; NULL: it is */
        int64_t column;
    } not [FUSE_MAX_AXES];
    enum fuse_column_kind last; /* the last field */
    double value;               /* of the last field, correctly rounded, when not[last] has no reason */
    int64_t column;             /* BAD: the byte of the line that is to blame, from 1; BLANK: 1 */
    char reason[160];           /* BAD */
};

struct fuse_tsv_reader {
    struct fuse_bytes *file;
    int64_t file_bytes, end; /* of the file, and of the range in which lines begin */
    char separator;
    int columns;
    int64_t base;                /* offset of buffer[0] */
    size_t at, complete, filled; /* the cursor, the end of the last complete line, the end of what was read */
    char *buffer;
};

/* ',' or a tab, by the suffix. */
char fuse_tsv_separator(const char *path);

/* Lines that begin at bytes [begin, end), of at least one column. `path` is for messages. */
enum fuse_status fuse_tsv_open(struct fuse_tsv_reader *out, struct fuse_bytes *file, int64_t file_bytes, int64_t begin,
                               int64_t end, char separator, int columns, const char *path,
                               struct fuse_error *err) FUSE_CHECKED;
/* One that was zeroed is fine. */
void fuse_tsv_close(struct fuse_tsv_reader *reader);

/* Fields of the first line of the file, which is not looked at closer; 0 of an empty file. */
enum fuse_status fuse_tsv_count_fields(int64_t *out, struct fuse_bytes *file, int64_t file_bytes, char separator,
                                       const char *path, struct fuse_error *err) FUSE_CHECKED;

/* The next line, until one is BAD. A status is a failure to read; what is wrong with the text is a line. */
enum fuse_status fuse_tsv_next(struct fuse_tsv_reader *reader, struct fuse_tsv_line *out,
                               struct fuse_error *err) FUSE_CHECKED;

/* The next lines as long as they are ids and nothing else, up to `most` of them: id[c][0 .. *n). With none, the next line is
 * another one, or there is none. */
enum fuse_status fuse_tsv_next_ids(struct fuse_tsv_reader *reader, int64_t *const *id, int64_t most, int64_t *n,
                                   struct fuse_error *err) FUSE_CHECKED;

/* The next rows as fields: as many as are at hand, 0 when no further row begins in the range. Like lines, but columns that
 * out->is_symbolic says are not looked at closer than that they have no blanks around them. */
enum fuse_status fuse_tsv_next_fields(struct fuse_tsv_reader *reader, struct fuse_fields *out,
                                      struct fuse_error *err) FUSE_CHECKED;

#endif
