#include "core/relation.h"

#include "core/scalar.h"

#include <string.h>

enum { PAIR_ROW = FUSE_TALLY_PAIR_BINS + 1 };

/* ---- bounds ---- */

/* The bins [*first, *end) that a range of ids meets. */
static void find_bins(int *first, int *end, int64_t lo, int64_t hi, int shift, int bins) {
    int64_t from = lo < 0 ? 0 : lo >> shift, to = hi <= 0 ? 0 : ((hi - 1) >> shift) + 1;
    *end = to < bins ? (int)to : bins;
    *first = from < *end ? (int)from : *end;
}

int64_t fuse_tally_most(const struct fuse_tally *tally, const struct fuse_box *box) {
    int64_t most = tally->rows;
    int first[2], end[2];
    if (fuse_box_is_empty(box))
        return 0;
    for (int c = 0; c < box->rank && c < tally->columns; c++) {
        if (!tally->below[c])
            continue;
        find_bins(&first[0], &end[0], box->lo[c], box->hi[c], tally->shift[c], FUSE_TALLY_BINS);
        int64_t rows = tally->below[c][end[0]] - tally->below[c][first[0]];
        most = rows < most ? rows : most;
    }
    if (!tally->pair_below || box->rank < 2)
        return most;
    for (int c = 0; c < 2; c++)
        find_bins(&first[c], &end[c], box->lo[c], box->hi[c], tally->pair_shift[c], FUSE_TALLY_PAIR_BINS);
    const int64_t *below = tally->pair_below;
    int64_t rows = below[end[0] * PAIR_ROW + end[1]] - below[first[0] * PAIR_ROW + end[1]] -
                   below[end[0] * PAIR_ROW + first[1]] + below[first[0] * PAIR_ROW + first[1]];
    return rows < most ? rows : most;
}

/* ---- counting ---- */

void fuse_tally_open(struct fuse_tally_part *part, struct fuse_arena *arena, int columns) {
    *part = (struct fuse_tally_part){.columns = columns};
    for (int c = 0; c < columns; c++) {
        part->largest[c] = part->largest_row[c] = -1;
        part->bin[c] = FUSE_NEW_ARRAY(arena, int64_t, FUSE_TALLY_BINS);
    }
    if (columns >= 2)
        part->pair = FUSE_NEW_ARRAY(arena, int64_t, FUSE_TALLY_PAIR_BINS * FUSE_TALLY_PAIR_BINS);
}

/* Bins 2k and 2k + 1 of n become bin k. */
static void halve(int64_t *bin, int n, int stride) {
    for (int k = 0; k < n; k++) {
        int64_t sum = 2 * k < n ? bin[2 * k * stride] + bin[(2 * k + 1) * stride] : 0;
        bin[k * stride] = sum;
    }
}

void fuse_tally_widen(struct fuse_tally_part *part, int column, int shift) {
    for (; part->shift[column] < shift; part->shift[column]++)
        halve(part->bin[column], FUSE_TALLY_BINS, 1);
}

void fuse_tally_widen_pair(struct fuse_tally_part *part, int column, int shift) {
    for (; part->pair && part->pair_shift[column] < shift; part->pair_shift[column]++)
        for (int other = 0; other < FUSE_TALLY_PAIR_BINS; other++)
            if (column == 0)
                halve(part->pair + other, FUSE_TALLY_PAIR_BINS, FUSE_TALLY_PAIR_BINS);
            else
                halve(part->pair + other * FUSE_TALLY_PAIR_BINS, FUSE_TALLY_PAIR_BINS, 1);
}

static int shift_for(int64_t id, int shift, int bins) {
    while (id >> shift >= bins)
        shift++;
    return shift;
}

static int64_t largest_of(const int64_t *id, int64_t n) {
    int64_t largest = -1;
    for (int64_t i = 0; i < n; i++)
        largest = id[i] > largest ? id[i] : largest;
    return largest;
}

static void add_column(struct fuse_tally_part *part, int c, const int64_t *id, int64_t n, int64_t row) {
    int64_t largest = largest_of(id, n), first = 0;
    if (largest >= part->largest[c]) {
        while (id[first] != largest)
            first++;
        if (largest > part->largest[c] || row + first < part->largest_row[c])
            part->largest_row[c] = row + first;
        part->largest[c] = largest;
    }
    fuse_tally_widen(part, c, shift_for(largest, part->shift[c], FUSE_TALLY_BINS));
    if (part->pair && c < 2)
        fuse_tally_widen_pair(part, c, shift_for(largest, part->pair_shift[c], FUSE_TALLY_PAIR_BINS));
    int64_t *bin = part->bin[c];
    int shift = part->shift[c];
    for (int64_t i = 0; i < n; i++)
        bin[id[i] >> shift]++;
}

void fuse_tally_add_rows(struct fuse_tally_part *part, const int64_t *const *id, int64_t n, int64_t row) {
    if (n == 0)
        return;
    for (int c = 0; c < part->columns; c++)
        add_column(part, c, id[c], n, row);
    if (part->pair) {
        const int64_t *a = id[0], *b = id[1];
        int x = part->pair_shift[0], y = part->pair_shift[1];
        for (int64_t i = 0; i < n; i++)
            part->pair[(a[i] >> x) * FUSE_TALLY_PAIR_BINS + (b[i] >> y)]++;
    }
    part->rows += n;
}

void fuse_tally_add(struct fuse_tally_part *part, const int64_t *id, int64_t row) {
    const int64_t *column[FUSE_MAX_AXES];
    for (int c = 0; c < part->columns; c++)
        column[c] = &id[c];
    fuse_tally_add_rows(part, column, 1, row);
}

/* ---- the whole ---- */

static const int64_t *sum_bins(const int64_t *bin, struct fuse_arena *arena) {
    int64_t *below = FUSE_NEW_ARRAY(arena, int64_t, FUSE_TALLY_BINS + 1);
    for (int b = 0; b < FUSE_TALLY_BINS; b++)
        below[b + 1] = below[b] + bin[b];
    return below;
}

static const int64_t *sum_pairs(const int64_t *pair, struct fuse_arena *arena) {
    int64_t *below = FUSE_NEW_ARRAY(arena, int64_t, PAIR_ROW * PAIR_ROW);
    for (int a = 0; a < FUSE_TALLY_PAIR_BINS; a++)
        for (int b = 0; b < FUSE_TALLY_PAIR_BINS; b++)
            below[(a + 1) * PAIR_ROW + b + 1] = pair[a * FUSE_TALLY_PAIR_BINS + b] + below[a * PAIR_ROW + b + 1] +
                                                below[(a + 1) * PAIR_ROW + b] - below[a * PAIR_ROW + b];
    return below;
}

struct fuse_tally *fuse_tally_finish(struct fuse_tally_part *part, struct fuse_arena *arena,
                                     const enum fuse_column_kind *kind, int64_t last_not_id) {
    struct fuse_tally *tally = FUSE_NEW(arena, struct fuse_tally);
    int columns = part->columns;
    *tally = (struct fuse_tally){.columns = columns, .rows = part->rows, .last_not_id = last_not_id};
    memcpy(tally->largest, part->largest, sizeof tally->largest);
    memcpy(tally->largest_row, part->largest_row, sizeof tally->largest_row);
    memcpy(tally->shift, part->shift, sizeof tally->shift);
    for (int c = 0; c < columns; c++) {
        tally->kind[c] = kind[c];
        if (kind[c] == FUSE_COLUMN_IDS)
            tally->below[c] = sum_bins(part->bin[c], arena);
        else
            tally->largest[c] = tally->largest_row[c] = -1;
    }
    tally->last = columns > 0 ? kind[columns - 1] : FUSE_COLUMN_IDS;
    if (part->pair && kind[0] == FUSE_COLUMN_IDS && kind[1] == FUSE_COLUMN_IDS) {
        memcpy(tally->pair_shift, part->pair_shift, sizeof tally->pair_shift);
        tally->pair_below = sum_pairs(part->pair, arena);
    }
    return tally;
}

/* ---- draws ---- */

void fuse_draw_row(int64_t *id, const struct fuse_draw *draw, int64_t n) {
    id[0] = n;
    for (int k = 0; k < draw->indices; k++) {
        uint32_t x[4];
        fuse_philox(x, (uint64_t)n * FUSE_MAX_AXES + (uint64_t)draw->number[k] / 2, (uint64_t)draw->seed);
        int half = draw->number[k] % 2 * 2;
        uint64_t fraction = x[half] | (uint64_t)x[half + 1] << 32;
        id[k + 1] = (int64_t)((unsigned __int128)fraction * (uint64_t)draw->extent[k] >> 64);
    }
}

struct fuse_tally *fuse_draw_tally(const struct fuse_draw *draw, struct fuse_arena *arena) {
    struct fuse_tally_part part;
    int64_t id[FUSE_MAX_AXES + 1];
    fuse_tally_open(&part, arena, draw->indices + 1);
    for (int64_t n = 0; n < draw->rows; n++) {
        fuse_draw_row(id, draw, n);
        fuse_tally_add(&part, id, n);
    }
    const enum fuse_column_kind ids[FUSE_MAX_AXES] = {FUSE_COLUMN_IDS};
    return fuse_tally_finish(&part, arena, ids, -1);
}
