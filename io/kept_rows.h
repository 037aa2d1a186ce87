/* Rows of a file that stay in memory after it was read, because their ids are not in its text: those of symbols. Each rank has
 * the rows of its range of bytes; 4 bytes a symbol, 8 an id or a value. Local. */
#ifndef FUSE_IO_KEPT_ROWS_H
#define FUSE_IO_KEPT_ROWS_H

#include "core/error.h"
#include "io/fields.h"

struct fuse_kept_block;

struct fuse_kept_rows {
    int columns; /* of ids */
    bool is_symbolic[FUSE_MAX_AXES], has_value;
    int64_t rows, blocks, room;
    struct fuse_kept_block **block;
};

/* Where the columns of a batch of rows begin that are to be filled: symbol[c][i] or id[c][i], and value[i]. */
struct fuse_kept_place {
    uint32_t *symbol[FUSE_MAX_AXES];
    int64_t *id[FUSE_MAX_AXES];
    double *value;
};

/* `columns`, `is_symbolic` and `has_value` are set by the caller, the rest is zero. n more rows, FUSE_FIELD_ROWS at most, which
 * the caller fills in. MEMORY. */
enum fuse_status fuse_kept_rows_grow(struct fuse_kept_rows *kept, struct fuse_kept_place *out, int n,
                                     struct fuse_error *err) FUSE_CHECKED;
/* Block k of `blocks`, which has *n rows; they follow each other. */
void fuse_kept_rows_block(const struct fuse_kept_rows *kept, struct fuse_kept_place *out, int *n, int64_t k);
/* Where a reader is; zeroed: at the first row. */
struct fuse_kept_cursor {
    int64_t block;
    int row;
};
/* Fills rows from the cursor on, as many as there are and fit. */
void fuse_kept_rows_copy(const struct fuse_kept_rows *kept, struct fuse_rows *rows, struct fuse_kept_cursor *cursor);
int64_t fuse_kept_rows_bytes(const struct fuse_kept_rows *kept);
void fuse_kept_rows_close(struct fuse_kept_rows *kept);

#endif
