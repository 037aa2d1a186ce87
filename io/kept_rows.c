#include "io/kept_rows.h"

#include <stdlib.h>
#include <string.h>

/* Rows of a block: small enough that a small file takes little, large enough that blocks are few. */
enum { BLOCK_ROWS = 8192 };

/* Columns of values and ids, then those of symbols. */
struct fuse_kept_block {
    int rows;
    double at[];
};

static size_t block_bytes(const struct fuse_kept_rows *kept) {
    size_t row = kept->has_value ? sizeof(double) : 0;
    for (int c = 0; c < kept->columns; c++)
        row += kept->is_symbolic[c] ? sizeof(uint32_t) : sizeof(int64_t);
    return sizeof(struct fuse_kept_block) + BLOCK_ROWS * row;
}

static void place_in_block(const struct fuse_kept_rows *kept, struct fuse_kept_place *out, int64_t block, int row) {
    char *at = (char *)kept->block[block]->at;
    out->value = kept->has_value ? (double *)at + row : NULL;
    at += kept->has_value ? BLOCK_ROWS * sizeof(double) : 0;
    for (int c = 0; c < kept->columns; c++)
        if (!kept->is_symbolic[c]) {
            out->id[c] = (int64_t *)at + row;
            at += BLOCK_ROWS * sizeof(int64_t);
        }
    for (int c = 0; c < kept->columns; c++)
        if (kept->is_symbolic[c]) {
            out->symbol[c] = (uint32_t *)at + row;
            at += BLOCK_ROWS * sizeof(uint32_t);
        }
}

static enum fuse_status add_block(struct fuse_kept_rows *kept, struct fuse_error *err) {
    if (kept->blocks == kept->room) {
        int64_t room = kept->room ? 2 * kept->room : 16;
        struct fuse_kept_block **larger = realloc(kept->block, (size_t)room * sizeof *larger);
        if (!larger)
            return fuse_fail(err, FUSE_EMEMORY, "no memory for rows of symbols");
        kept->block = larger;
        kept->room = room;
    }
    struct fuse_kept_block *block = malloc(block_bytes(kept));
    if (!block)
        return fuse_fail(err, FUSE_EMEMORY, "no memory for rows of symbols");
    block->rows = 0;
    kept->block[kept->blocks++] = block;
    return FUSE_OK;
}

/* A batch never lies in two blocks, so all but the last are filled to the last batch. */
enum fuse_status fuse_kept_rows_grow(struct fuse_kept_rows *kept, struct fuse_kept_place *out, int n,
                                     struct fuse_error *err) {
    struct fuse_kept_block *last = kept->blocks > 0 ? kept->block[kept->blocks - 1] : NULL;
    if (!last || last->rows + n > BLOCK_ROWS) {
        FUSE_TRY(add_block(kept, err));
        last = kept->block[kept->blocks - 1];
    }
    place_in_block(kept, out, kept->blocks - 1, last->rows);
    last->rows += n;
    kept->rows += n;
    return FUSE_OK;
}

void fuse_kept_rows_block(const struct fuse_kept_rows *kept, struct fuse_kept_place *out, int *n, int64_t k) {
    place_in_block(kept, out, k, 0);
    *n = kept->block[k]->rows;
}

void fuse_kept_rows_copy(const struct fuse_kept_rows *kept, struct fuse_rows *rows, struct fuse_kept_cursor *cursor) {
    rows->n = 0;
    while (cursor->block < kept->blocks && rows->n < rows->most) {
        struct fuse_kept_place from;
        int64_t n = kept->block[cursor->block]->rows - cursor->row;
        n = n < rows->most - rows->n ? n : rows->most - rows->n;
        place_in_block(kept, &from, cursor->block, cursor->row);
        for (int c = 0; c < rows->columns; c++)
            for (int64_t i = 0; i < n; i++)
                rows->id[c][rows->n + i] = kept->is_symbolic[c] ? (int64_t)from.symbol[c][i] : from.id[c][i];
        if (rows->value)
            memcpy(rows->value + rows->n, from.value, (size_t)n * sizeof *rows->value);
        rows->n += n;
        cursor->row += (int)n;
        if (cursor->row == kept->block[cursor->block]->rows)
            *cursor = (struct fuse_kept_cursor){.block = cursor->block + 1};
    }
}

int64_t fuse_kept_rows_bytes(const struct fuse_kept_rows *kept) {
    return kept->blocks * (int64_t)block_bytes(kept);
}

void fuse_kept_rows_close(struct fuse_kept_rows *kept) {
    for (int64_t b = 0; b < kept->blocks; b++)
        free(kept->block[b]);
    free(kept->block);
    *kept = (struct fuse_kept_rows){.columns = kept->columns};
}
