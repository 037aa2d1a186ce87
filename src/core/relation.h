/* Relations: sets of tuples of ids, some with a value, that are stored as tuples and never as all their cells.
 *
 * A file of rows is either of two things, which its user decides by the number of indices: facts, every column an id, or a
 * numeric relation, whose last column is the value. A tally says about the rows what planning needs without holding them: how
 * many there are at most in any box. It is the same on every rank. Local and pure. */
#ifndef FUSE_CORE_RELATION_H
#define FUSE_CORE_RELATION_H

#include "core/arena.h"
#include "core/box.h"

#define FUSE_TALLY_BINS 4096
/* Of each of the first two columns, for pairs. */
#define FUSE_TALLY_PAIR_BINS 64

enum fuse_column_kind {
    FUSE_COLUMN_IDS,      /* integers >= 0; also the kind of a column without rows */
    FUSE_COLUMN_INTEGERS, /* some are negative, written with a sign, or beyond FUSE_MAX_EXTENT */
    FUSE_COLUMN_REALS,
    FUSE_COLUMN_SYMBOLS /* some field is no number */
};

struct fuse_tally {
    int columns; /* 0: the file has no row, and so any number of columns */
    int64_t rows;
    enum fuse_column_kind kind[FUSE_MAX_AXES];
    enum fuse_column_kind last; /* of the last column */
    int64_t last_not_id;        /* the first row, from 0, whose last field is no id; -1: none */
    /* Why a column cannot be ids, the last one: values, with its place: "e.tsv:3:1: a negative id"; NULL: it can. */
    const char *refused[FUSE_MAX_AXES];
    /* The first row is all symbols, and nothing behind it was looked at: rows, and what follows, are not known until symbols
     * have become ids. */
    bool is_partial;
    /* Per column of ids: the largest, and the first row that has it; -1 without rows, and for a column that is none. */
    int64_t largest[FUSE_MAX_AXES], largest_row[FUSE_MAX_AXES];
    /* Bin b of column c counts the ids in [b << shift[c], (b + 1) << shift[c]); below[c][b] is the number of rows before bin
     * b, below[c][FUSE_TALLY_BINS] is rows. NULL for a column that is no id. */
    int shift[FUSE_MAX_AXES];
    const int64_t *below[FUSE_MAX_AXES];
    /* The same for columns 0 and 1 together: rows in bins before (b, b'), at [b * (FUSE_TALLY_PAIR_BINS + 1) + b'], whose widths
     * are 1 << pair_shift[]. NULL when there are no two columns of ids. */
    int pair_shift[2];
    const int64_t *pair_below;
};

/* The most rows whose first box->rank ids lie in the box; at least their number, and 0 only when there is none. Rows are
 * counted as the file has them: with duplicates. */
int64_t fuse_tally_most(const struct fuse_tally *tally, const struct fuse_box *box);

/* Rows in memory, column by column. */
struct fuse_rows {
    int columns; /* of ids */
    int64_t most, n;
    int64_t *id[FUSE_MAX_AXES]; /* [most] */
    double *value;              /* [most], NULL: facts */
};

/* Points that are drawn rather than read: row n is n itself and a position along each of some indices, uniform and independent,
 * Philox 4x32-10 on the seed and n. An index has the same positions in all draws of one seed and number. */
struct fuse_draw {
    int64_t rows, seed;
    int indices, number[FUSE_MAX_AXES]; /* what tells the index from others */
    int64_t extent[FUSE_MAX_AXES];      /* > 0 */
};

/* id[0 .. indices] of row n. */
void fuse_draw_row(int64_t *id, const struct fuse_draw *draw, int64_t n);
struct fuse_tally *fuse_draw_tally(const struct fuse_draw *draw, struct fuse_arena *arena);

/* ---- making a tally: add the rows of a part, in any order, then the parts ---------------------------------------- */

/* What is counted of one part of a file; zeroed, then opened. */
struct fuse_tally_part {
    int columns;
    int64_t rows;
    int64_t largest[FUSE_MAX_AXES], largest_row[FUSE_MAX_AXES];
    int shift[FUSE_MAX_AXES], pair_shift[2];
    int64_t *bin[FUSE_MAX_AXES], *pair; /* counts, not sums */
};

/* Counts nothing yet; the bins live in the arena. */
void fuse_tally_open(struct fuse_tally_part *part, struct fuse_arena *arena, int columns);
/* One more row, number `row` of the file (from 0). Ids >= 0. A column that turns out not to be ids is left out when the tally
 * is made: add 0 for it. */
void fuse_tally_add(struct fuse_tally_part *part, const int64_t *id, int64_t row);
/* The same of n rows: row `row` + i has the ids id[column][i]. */
void fuse_tally_add_rows(struct fuse_tally_part *part, const int64_t *const *id, int64_t n, int64_t row);
/* Makes the bins of a column at least 1 << shift wide, so that parts can be added up bin by bin. */
void fuse_tally_widen(struct fuse_tally_part *part, int column, int shift);
void fuse_tally_widen_pair(struct fuse_tally_part *part, int column, int shift);
/* The tally of all rows from a part that has them all; the kinds are those of its columns. */
struct fuse_tally *fuse_tally_finish(struct fuse_tally_part *part, struct fuse_arena *arena,
                                     const enum fuse_column_kind *kind, int64_t last_not_id);

#endif
