#include "exec/tuple_sort.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NO_BLOCK UINT32_MAX
#define DIGIT_BITS 11 /* the most that one pass sorts by */
#define INSERTION 24  /* so many are sorted by insertion */
#define MAX_WORDS (FUSE_MAX_AXES + 1)
#define MAX_DIGITS (MAX_WORDS * 16)

/* ---- values ---- */

static const uint64_t sign = (uint64_t)1 << 63;

uint64_t fuse_tuple_order_value(double value) {
    uint64_t bits;
    if (isnan(value))
        value = (double)NAN;
    memcpy(&bits, &value, sizeof bits);
    if (isnan(value))
        bits &= ~sign;
    return bits & sign ? ~bits : bits | sign;
}

uint64_t fuse_tuple_order_integer(int64_t value) {
    return (uint64_t)value ^ sign;
}

double fuse_tuple_ordered_value(uint64_t order) {
    uint64_t bits = order & sign ? order & ~sign : ~order;
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static double combine(enum fuse_reduce op, double a, double b) {
    switch (op) {
    case FUSE_REDUCE_PROD: return a * b;
    case FUSE_REDUCE_MIN: return a < b || a != a ? a : b;
    case FUSE_REDUCE_MAX: return a > b || a != a ? a : b;
    default: return a + b;
    }
}

/* ---- blocks ---- */

enum fuse_status fuse_tuple_sort_open(struct fuse_tuple_sort *sort, const struct fuse_tuples *tuples, void *memory,
                                      struct fuse_error *err) {
    *sort = (struct fuse_tuple_sort){.tuples = tuples, .free = NO_BLOCK};
    sort->row_words = (int)(tuples->row_bytes / (int64_t)sizeof(uint64_t));
    sort->rows = memory;
    sort->spare = sort->rows + tuples->blocks * tuples->block_rows * sort->row_words;
    sort->next = (uint32_t *)(sort->spare + tuples->spare_rows * sort->row_words);
    sort->bucket = calloc((size_t)1 << tuples->bucket_bits, sizeof *sort->bucket);
    return sort->bucket ? FUSE_OK : fuse_fail(err, FUSE_EMEMORY, "no memory to sort tuples");
}

void fuse_tuple_sort_close(struct fuse_tuple_sort *sort) {
    free(sort->bucket);
    sort->bucket = NULL;
}

/* What the plan reckoned with is enough: every bucket, and every part of one that is split, has one block that is not full. */
static void add_block(struct fuse_tuple_sort *sort, struct fuse_tuple_bucket *bucket) {
    uint32_t block = sort->free;
    if (block != NO_BLOCK)
        sort->free = sort->next[block];
    else
        block = sort->fresh++;
    if (bucket->rows == 0)
        bucket->first = block;
    else
        sort->next[bucket->last] = block;
    bucket->last = block;
    int64_t words = sort->tuples->block_rows * sort->row_words;
    bucket->at = sort->rows + block * words;
    bucket->end = bucket->at + words;
}

static inline void put_row(struct fuse_tuple_sort *sort, struct fuse_tuple_bucket *bucket, const uint64_t *row,
                           int words) {
    if (bucket->at == bucket->end) {
        add_block(sort, bucket);
        bucket->rows += sort->tuples->block_rows; /* all that fit; what is missing is known at the end */
    }
    for (int w = 0; w < words; w++)
        *bucket->at++ = row[w];
}

static inline void add_rows(struct fuse_tuple_sort *sort, const uint64_t *row, int64_t n, int words) {
    int shift = sort->tuples->bits[0] - sort->tuples->bucket_bits;
    for (int64_t i = 0; i < n; i++, row += words)
        put_row(sort, &sort->bucket[shift < 64 ? row[0] >> shift : 0], row, words);
}

bool fuse_tuple_sort_add(struct fuse_tuple_sort *sort, const uint64_t *row, int64_t n) {
    if (n > sort->tuples->most - sort->count)
        return false;
    sort->count += n;
    switch (sort->row_words) {
    case 1: add_rows(sort, row, n, 1); break;
    case 2: add_rows(sort, row, n, 2); break;
    default: add_rows(sort, row, n, sort->row_words); break;
    }
    return true;
}

static int64_t rows_of(const struct fuse_tuple_sort *sort, const struct fuse_tuple_bucket *bucket) {
    return bucket->rows == 0 ? 0 : bucket->rows - (bucket->end - bucket->at) / sort->row_words;
}

/* Rows of a block that is `left` rows before the bucket's end. */
static int64_t block_rows(const struct fuse_tuple_sort *sort, int64_t left) {
    return left < sort->tuples->block_rows ? left : sort->tuples->block_rows;
}

/* ---- sorting what a cache holds ---- */

/* Bits of a word that rows differ in. */
struct digit {
    int word, shift;
    uint32_t mask;
};

static int bits_of(const struct fuse_tuple_sort *sort, int word) {
    return word < sort->tuples->words ? sort->tuples->bits[word] : 64;
}

/* The word in which the bits behind the first `known` ones begin, and how many of it are left; row_words behind all. */
static int find_word(const struct fuse_tuple_sort *sort, int known, int *rest) {
    int w = 0;
    for (; w < sort->row_words && known >= bits_of(sort, w); w++)
        known -= bits_of(sort, w);
    *rest = w < sort->row_words ? bits_of(sort, w) - known : 0;
    return w;
}

static bool is_before(const uint64_t *a, const uint64_t *b, int words) {
    for (int w = 0; w < words; w++)
        if (a[w] != b[w])
            return a[w] < b[w];
    return false;
}

static inline void insert_rows(uint64_t *row, int64_t n, int words) {
    uint64_t moved[MAX_WORDS];
    for (int64_t i = 1; i < n; i++) {
        int64_t to = i;
        for (int w = 0; w < words; w++)
            moved[w] = row[i * words + w];
        for (; to > 0 && is_before(moved, row + (to - 1) * words, words); to--)
            for (int w = 0; w < words; w++)
                row[to * words + w] = row[(to - 1) * words + w];
        for (int w = 0; w < words; w++)
            row[to * words + w] = moved[w];
    }
}

/* Bits [from, to) of the words [first, end), the least significant first, in digits that n rows are worth; from word `first` only
 * the lower `rest` bits. */
static int list_digits(struct digit *digit, const struct fuse_tuple_sort *sort, int first, int end, int rest,
                       int64_t n) {
    int digits = 0, width = 4;
    while (width < DIGIT_BITS && n >> width > 1)
        width++;
    for (int w = end - 1; w >= first; w--) {
        int bits = w == first ? rest : bits_of(sort, w), passes = (bits + width - 1) / width;
        for (int p = 0; p < passes; p++) {
            int from = bits * p / passes, to = bits * (p + 1) / passes;
            digit[digits++] = (struct digit){w, from, (uint32_t)((1u << (to - from)) - 1)};
        }
    }
    return digits;
}

static inline bool scatter(uint64_t *to, const uint64_t *from, int64_t n, int words, const struct digit *digit) {
    uint32_t begin[(1 << DIGIT_BITS) + 1];
    const int shift = digit->shift;
    const uint32_t mask = digit->mask;
    memset(begin, 0, (mask + 2) * sizeof *begin);
    const uint64_t *key = from + digit->word;
    for (int64_t i = 0; i < n; i++)
        begin[((uint32_t)(key[i * words] >> shift) & mask) + 1]++;
    for (uint32_t d = 0; d <= mask; d++) {
        if (begin[d + 1] == n)
            return false;
        begin[d + 1] += begin[d];
    }
    for (int64_t i = 0; i < n; i++) {
        uint64_t *at = to + (int64_t)begin[(uint32_t)(key[i * words] >> shift) & mask]++ * words;
        for (int w = 0; w < words; w++)
            at[w] = from[i * words + w];
    }
    return true;
}

/* Sorts n rows by digits; they end in one of the two. */
static inline uint64_t *sort_digits(uint64_t *row, uint64_t *other, int64_t n, int words, const struct digit *digit,
                                    int digits) {
    for (int d = 0; d < digits; d++)
        if (scatter(other, row, n, words, &digit[d])) {
            uint64_t *swap = row;
            row = other;
            other = swap;
        }
    return row;
}

/* Sorts n rows that agree in the bits in front of the lower `rest` ones of word `first`, by the words up to `end`. */
static uint64_t *sort_words(const struct fuse_tuple_sort *sort, uint64_t *row, uint64_t *other, int64_t n, int first,
                            int end, int rest) {
    struct digit digit[MAX_DIGITS];
    int words = sort->row_words;
    if (n <= INSERTION) {
        if (words == 1)
            insert_rows(row, n, 1);
        else
            insert_rows(row, n, words);
        return row;
    }
    int digits = list_digits(digit, sort, first, end, rest, n);
    switch (words) {
    case 1: return sort_digits(row, other, n, 1, digit, digits);
    case 2: return sort_digits(row, other, n, 2, digit, digits);
    default: return sort_digits(row, other, n, words, digit, digits);
    }
}

/* Sorts rows with equal keys by their values. */
static void sort_values(const struct fuse_tuple_sort *sort, uint64_t *row, uint64_t *other, int64_t n) {
    int words = sort->row_words, keys = sort->tuples->words;
    for (int64_t from = 0, to; from < n; from = to) {
        for (to = from + 1; to < n && memcmp(row + from * words, row + to * words, (size_t)keys * sizeof *row) == 0;)
            to++;
        uint64_t *run = row + from * words;
        if (to - from == 1)
            continue;
        const uint64_t *sorted = sort_words(sort, run, other + from * words, to - from, keys, keys + 1, 64);
        if (sorted != run)
            memcpy(run, sorted, (size_t)((to - from) * words) * sizeof *row);
    }
}

/* Sorts n rows that agree in the first `known` bits; they end in one of the two. */
static const uint64_t *sort_rows(const struct fuse_tuple_sort *sort, uint64_t *row, uint64_t *other, int64_t n,
                                 int known) {
    int rest, first = find_word(sort, known, &rest), keys = sort->tuples->words;
    if (first >= keys)
        return sort_words(sort, row, other, n, first, sort->row_words, rest);
    uint64_t *sorted = sort_words(sort, row, other, n, first, keys, rest);
    if (sort->row_words > keys && n > INSERTION)
        sort_values(sort, sorted, sorted == row ? other : row, n);
    return sorted;
}

/* ---- writing ---- */

struct writer {
    const struct fuse_tuples *tuples;
    enum fuse_reduce reduce;
    bool mean;
    char *to;
    uint32_t *begin;
    int64_t row;  /* that has begun */
    uint32_t n;   /* tuples that are written */
    double equal; /* of the tuple that is at hand; 0: none is */
    double value;
    int64_t integer; /* instead, of I64 */
    uint64_t key[MAX_WORDS];
};

static void begin_row(struct writer *out, int64_t row) {
    while (out->row < row)
        out->begin[++out->row] = out->n;
}

static uint64_t position(const struct fuse_tuples *t, const uint64_t *key, int k) {
    return key[t->word[k]] >> t->shift[k] & (((uint64_t)1 << t->width[k]) - 1);
}

static void write_tuple(struct writer *out) {
    const struct fuse_tuples *t = out->tuples;
    if (out->equal == 0)
        return;
    begin_row(out, t->indices > 0 ? (int64_t)position(t, out->key, 0) : 0);
    for (int k = 1; k < t->indices; k++)
        ((uint32_t *)(out->to + t->column_offset[k]))[out->n] = (uint32_t)position(t, out->key, k);
    double value = out->mean ? out->value / out->equal : out->value;
    if (t->dtype == FUSE_F32)
        ((float *)(out->to + t->value_offset))[out->n] = (float)value;
    else if (t->dtype == FUSE_I64)
        ((int64_t *)(out->to + t->value_offset))[out->n] = out->integer;
    else if (t->dtype != FUSE_BOOL)
        ((double *)(out->to + t->value_offset))[out->n] = value;
    out->n++;
    out->equal = 0;
}

static void write_rows(struct writer *out, const uint64_t *row, int64_t n) {
    const struct fuse_tuples *t = out->tuples;
    size_t key_bytes = (size_t)t->words * sizeof *row;
    bool has_value = t->dtype != FUSE_BOOL;
    for (; n > 0; n--, row += t->words + has_value) {
        double value = has_value ? fuse_tuple_ordered_value(row[t->words]) : 1;
        if (out->equal > 0 && memcmp(out->key, row, key_bytes) == 0) {
            out->value = combine(out->reduce, out->value, value);
            out->equal++;
            continue;
        }
        write_tuple(out);
        memcpy(out->key, row, key_bytes);
        out->value = value;
        out->integer = t->dtype == FUSE_I64 ? (int64_t)(row[t->words] ^ sign) : 0;
        out->equal = 1;
    }
}

/* Facts of two indices in one word. */
static void write_pairs(struct writer *out, const uint64_t *row, int64_t n) {
    const struct fuse_tuples *t = out->tuples;
    uint32_t *column = (uint32_t *)(out->to + t->column_offset[1]), at = out->n;
    uint64_t last = out->equal > 0 ? out->key[0] : ~row[0], mask = ((uint64_t)1 << t->width[1]) - 1;
    int shift = t->width[1];
    for (int64_t i = 0; i < n; i++) {
        uint64_t key = row[i];
        if (key == last)
            continue;
        int64_t begun = (int64_t)(key >> shift);
        while (out->row < begun)
            out->begin[++out->row] = at;
        column[at++] = (uint32_t)(key & mask);
        last = key;
    }
    out->n = at;
    out->key[0] = last;
    out->equal = 1;
}

struct work {
    struct fuse_tuple_sort *sort;
    struct writer out;
    bool is_pairs;
};

static void write_sorted(struct work *work, const uint64_t *row, int64_t n) {
    if (work->is_pairs)
        write_pairs(&work->out, row, n);
    else
        write_rows(&work->out, row, n);
}

/* ---- buckets ---- */

/* The bits that follow the first `known` ones; 0 bits when there are none. */
static int next_digit(struct digit *out, const struct fuse_tuple_sort *sort, int known) {
    int rest, word = find_word(sort, known, &rest);
    int width = rest < FUSE_TUPLE_SPLIT_BITS ? rest : FUSE_TUPLE_SPLIT_BITS;
    *out = (struct digit){word, rest - width, (uint32_t)((1u << width) - 1)};
    return width;
}

/* Block after block, each given back when it was taken. */
static bool take_block(struct fuse_tuple_sort *sort, struct fuse_tuple_bucket *bucket, int64_t *left, uint64_t **row,
                       int64_t *n) {
    if (*left == 0)
        return false;
    uint32_t block = bucket->first;
    *row = sort->rows + block * sort->tuples->block_rows * sort->row_words;
    *n = block_rows(sort, *left);
    *left -= *n;
    bucket->first = sort->next[block];
    return true;
}

static void give_block(struct fuse_tuple_sort *sort, const uint64_t *row) {
    uint32_t block = (uint32_t)((row - sort->rows) / (sort->tuples->block_rows * sort->row_words));
    sort->next[block] = sort->free;
    sort->free = block;
}

/* A bucket whose rows agree in the first `known` bits. */
static void write_bucket(struct work *work, struct fuse_tuple_bucket *bucket, int known) {
    struct fuse_tuple_sort *sort = work->sort;
    int64_t all = rows_of(sort, bucket), left = all, n;
    int words = sort->row_words;
    uint64_t *row;
    if (all <= sort->tuples->block_rows) {
        row = sort->rows + bucket->first * sort->tuples->block_rows * words;
        if (all > 0) {
            write_sorted(work, sort_rows(sort, row, sort->spare, all, known), all);
            give_block(sort, row);
        }
        return;
    }
    if (all <= FUSE_TUPLE_BUCKET_ROWS) {
        uint64_t *at = sort->spare;
        for (; take_block(sort, bucket, &left, &row, &n); at += n * words) {
            memcpy(at, row, (size_t)(n * words) * sizeof *row);
            give_block(sort, row);
        }
        at = sort->spare + FUSE_TUPLE_BUCKET_ROWS * words;
        write_sorted(work, sort_rows(sort, sort->spare, at, all, known), all);
        return;
    }
    struct digit digit;
    int width = next_digit(&digit, sort, known);
    if (width == 0) { /* they are all the same */
        while (take_block(sort, bucket, &left, &row, &n)) {
            write_sorted(work, row, n);
            give_block(sort, row);
        }
        return;
    }
    struct fuse_tuple_bucket part[1 << FUSE_TUPLE_SPLIT_BITS] = {{.rows = 0}};
    while (take_block(sort, bucket, &left, &row, &n)) {
        for (int64_t i = 0; i < n; i++)
            put_row(sort, &part[(uint32_t)(row[i * words + digit.word] >> digit.shift) & digit.mask], row + i * words,
                    words);
        give_block(sort, row);
    }
    for (int p = 0; p <= (int)digit.mask; p++)
        write_bucket(work, &part[p], known + width);
}

void fuse_tuple_sort_write(struct fuse_tuple_sort *sort, int64_t rows, enum fuse_reduce reduce, bool mean, void *to) {
    const struct fuse_tuples *t = sort->tuples;
    struct work work = {.sort = sort, .out = {.tuples = t, .reduce = reduce, .mean = mean, .to = to, .begin = to}};
    work.is_pairs = t->indices == 2 && t->dtype == FUSE_BOOL && t->words == 1;
    work.out.begin[0] = 0;
    for (int64_t b = 0; b < (int64_t)1 << t->bucket_bits; b++)
        write_bucket(&work, &sort->bucket[b], t->bucket_bits);
    if (!work.is_pairs)
        write_tuple(&work.out);
    begin_row(&work.out, rows);
}
