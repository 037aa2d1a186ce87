/* Blocks of memory and arrays of rows. */
#include "backend/relation_table.h"

#include "backend/host_memory.h"

#include <math.h>
#include <stdlib.h>
#include <sys/mman.h>

#define LARGE ((size_t)1 << 20) /* from here on blocks are mappings of their own */

/* Aligned to huge pages; NULL: refused. */
static void *map_large(size_t bytes) {
    const size_t rounded = fuse_host_mapped_bytes(bytes);
    void *at = fuse_host_reserve(rounded, PROT_READ | PROT_WRITE);
    if (at)
        madvise(at, rounded, MADV_HUGEPAGE);
    return at;
}

static void give_back(struct fuse_block *block) {
    if (block->bytes >= LARGE)
        munmap(block->at, fuse_host_mapped_bytes(block->bytes));
    else
        free(block->at);
}

static void *grow_large(const struct fuse_block *block, size_t bytes) {
    char *at = map_large(bytes);
    if (!at)
        return NULL;
    /* Pages move, bytes do not. */
    if (mremap(block->at, fuse_host_mapped_bytes(block->bytes), fuse_host_mapped_bytes(block->bytes),
               MREMAP_MAYMOVE | MREMAP_FIXED, at) == MAP_FAILED) {
        munmap(at, fuse_host_mapped_bytes(bytes));
        return NULL;
    }
    return at;
}

bool fuse_block_resize(struct fuse_block *block, struct fuse_ledger *ledger, size_t bytes) {
    if (bytes == block->bytes)
        return true;
    if (bytes > INT64_MAX / 4)
        return false;
    int64_t used = ledger->used + (int64_t)bytes - (int64_t)block->bytes;
    if (bytes > block->bytes && ledger->most > 0 && used > ledger->most) {
        ledger->refused = (int64_t)bytes - (int64_t)block->bytes;
        return false;
    }
    void *at = NULL;
    if (bytes >= LARGE && block->bytes >= LARGE && bytes > block->bytes) {
        at = fuse_host_mapped_bytes(bytes) == fuse_host_mapped_bytes(block->bytes) ? block->at
                                                                                   : grow_large(block, bytes);
        if (!at)
            return false;
    } else if (bytes > 0) {
        at = bytes >= LARGE ? map_large(bytes) : calloc(1, bytes);
        if (!at)
            return false;
        if (block->bytes > 0)
            memcpy(at, block->at, bytes < block->bytes ? bytes : block->bytes);
        give_back(block);
    } else
        give_back(block);
    *block = (struct fuse_block){at, bytes};
    ledger->used = used;
    if (used > ledger->peak)
        ledger->peak = used;
    return true;
}

bool fuse_run_reserve(struct fuse_run *run, struct fuse_ledger *ledger, int64_t more) {
    size_t need = (size_t)(run->n + more) * (size_t)run->words * 8;
    if (need <= run->block.bytes)
        return true;
    size_t bytes = run->block.bytes + run->block.bytes / 2;
    if (bytes < 4096)
        bytes = 512;
    /* Rather just enough than none at all. */
    return (bytes > need && fuse_block_resize(&run->block, ledger, bytes)) ||
           fuse_block_resize(&run->block, ledger, need);
}

void fuse_run_close(struct fuse_run *run, struct fuse_ledger *ledger) {
    if (!fuse_block_resize(&run->block, ledger, 0))
        return;
    run->n = 0;
}

/* ---- sorting: least significant digits first, and only those in which rows differ ---- */

#define DIGIT 11
#define BINS (1 << DIGIT)

static bool is_sorted(const struct fuse_run *run, int keys) {
    const uint64_t *row = run->block.at;
    const int words = run->words;
    if (words == 1) {
        for (int64_t i = 1; i < run->n; i++)
            if (row[i - 1] > row[i])
                return false;
        return true;
    }
    for (int64_t i = 1; i < run->n; i++, row += words)
        for (int k = 0; k < keys; k++) {
            if (row[k] < row[words + k])
                break;
            if (row[k] > row[words + k])
                return false;
        }
    return true;
}

static void scatter_digit(uint64_t *restrict to, const uint64_t *restrict from, int64_t n, int words, int word,
                          int shift) {
    int64_t start[BINS] = {0}, sum = 0;
    for (int64_t i = 0; i < n; i++)
        start[from[i * words + word] >> shift & (BINS - 1)]++;
    for (int b = 0; b < BINS; b++) {
        int64_t count = start[b];
        start[b] = sum;
        sum += count;
    }
    if (words == 1)
        for (int64_t i = 0; i < n; i++)
            to[start[from[i] >> shift & (BINS - 1)]++] = from[i];
    else
        for (int64_t i = 0; i < n; i++)
            memcpy(to + start[from[i * words + word] >> shift & (BINS - 1)]++ * words, from + i * words,
                   (size_t)words * 8);
}

bool fuse_run_sort(struct fuse_run *run, struct fuse_ledger *ledger, int keys) {
    if (run->n < 2 || is_sorted(run, keys))
        return true;
    struct fuse_block other = {0};
    if (!fuse_block_resize(&other, ledger, (size_t)run->n * (size_t)run->words * 8))
        return false;
    for (int k = keys - 1; k >= 0; k--) {
        const uint64_t *row = run->block.at;
        uint64_t some = 0, all = UINT64_MAX;
        for (int64_t i = 0; i < run->n; i++) {
            some |= row[i * run->words + k];
            all &= row[i * run->words + k];
        }
        for (uint64_t differ = some ^ all; differ != 0;) {
            int shift = __builtin_ctzll(differ);
            scatter_digit(other.at, run->block.at, run->n, run->words, k, shift);
            struct fuse_block swap = other;
            other = run->block;
            run->block = swap;
            differ = shift + DIGIT < 64 ? differ >> (shift + DIGIT) << (shift + DIGIT) : 0;
        }
    }
    return fuse_block_resize(&other, ledger, 0);
}

static double real_of(uint64_t bits) {
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint64_t bits_of(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static double combine_reals(enum fuse_reduce op, double a, double b) {
    switch (op) {
    case FUSE_REDUCE_SUM: return a + b;
    case FUSE_REDUCE_PROD: return a * b;
    case FUSE_REDUCE_MIN: return isnan(a) || a < b ? a : b;
    default: return isnan(a) || a > b ? a : b;
    }
}

static uint64_t unite_reals(const uint64_t *value, int words, int64_t n, enum fuse_dtype dtype, enum fuse_reduce op,
                            bool mean) {
    double result = real_of(value[0]);
    for (int64_t i = 1; i < n; i++)
        result = combine_reals(op, result, real_of(value[i * words]));
    if (mean)
        result /= (double)n;
    return bits_of(dtype == FUSE_F32 ? (double)(float)result : result);
}

static uint64_t unite_integers(const uint64_t *value, int words, int64_t n, enum fuse_reduce op, bool *overflow) {
    __int128 result = (int64_t)value[0];
    for (int64_t i = 1; i < n; i++) {
        int64_t next = (int64_t)value[i * words];
        switch (op) {
        case FUSE_REDUCE_SUM: result += next; break;
        case FUSE_REDUCE_PROD:
            result *= next;
            if (result != (int64_t)result) {
                *overflow = true;
                result = 1;
            }
            break;
        case FUSE_REDUCE_MIN: result = next < result ? next : result; break;
        default: result = next > result ? next : result;
        }
    }
    *overflow |= result != (int64_t)result;
    return (uint64_t)(int64_t)result;
}

void fuse_run_unite(struct fuse_run *run, int keys, enum fuse_dtype dtype, enum fuse_reduce op, bool mean,
                    bool *overflow) {
    const int words = run->words;
    int64_t out = 0;
    for (int64_t i = 0, end; i < run->n; i = end) {
        const uint64_t *row = fuse_run_row(run, i);
        uint64_t value = row[words - 1];
        for (end = i + 1; end < run->n && memcmp(row, fuse_run_row(run, end), (size_t)keys * 8) == 0;)
            end++;
        if (dtype == FUSE_I64)
            value = unite_integers(row + words - 1, words, end - i, op, overflow);
        else if (dtype != FUSE_BOOL)
            value = unite_reals(row + words - 1, words, end - i, dtype, op, mean);
        if (out != i)
            memmove(fuse_run_row(run, out), row, (size_t)words * 8);
        if (dtype != FUSE_BOOL)
            fuse_run_row(run, out)[words - 1] = value;
        out++;
    }
    run->n = out;
}
