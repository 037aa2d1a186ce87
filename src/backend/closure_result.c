#include "backend/closure_internal.h"
#include "backend/host_memory.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#if defined(_OPENMP)
#include <omp.h>
#endif

#define BLOCK FUSE_CLOSURE_BLOCK
/* Address space is taken in pieces of this size, memory as it is used. */
#define POOL_BYTES ((size_t)64 << 20)

static size_t round_up(size_t bytes, size_t to) {
    return (bytes + to - 1) / to * to;
}

static size_t kept_bytes(const struct fuse_closure *c, uint32_t rows, uint64_t pairs, bool dense) {
    return dense ? rows * (size_t)fuse_closure_row_words(c) * sizeof(uint64_t)
                 : round_up((size_t)pairs * sizeof(uint32_t), 64);
}

/* A block stays bits when one bit in 32 is set: bits take at most the room of ids. */
static bool is_dense(const struct fuse_closure *c, uint32_t rows, uint64_t pairs) {
    return pairs >= rows * (size_t)fuse_closure_row_words(c) * 2;
}

size_t fuse_closure_thread_bytes(const struct fuse_closure *c) {
    const size_t k = (size_t)c->components + 1, n = (size_t)c->columns + 1;
    const size_t bits =
        round_up(k / 8 + 8, 64) + round_up(k / 512 + 8, 64) + round_up(n / 8 + 8, 64) + round_up(n / 512 + 8, 64);
    return fuse_host_mapped_bytes(k * sizeof(struct fuse_closure_word) + round_up(k * sizeof(uint32_t), 64) + bits);
}

size_t fuse_closure_most_bytes(const struct fuse_closure *c) {
    const size_t blocks = (size_t)fuse_closure_blocks(c);
    return blocks * (sizeof(struct fuse_closure_kept) + sizeof(struct fuse_closure_kept *)) +
           blocks * BLOCK * (size_t)fuse_closure_row_words(c) * sizeof(uint64_t) + (blocks > 0 ? FUSE_HUGE_PAGE : 0);
}

/* ---- memory --------------------------------------------------------------------------------------------------------- */

static enum fuse_status open_worker(struct fuse_closure_worker *w, const struct fuse_closure *c,
                                    struct fuse_error *err) {
    const size_t k = (size_t)c->components + 1, n = (size_t)c->columns + 1;
    w->bytes = fuse_closure_thread_bytes(c);
    /* Mapped by the thread that uses it; zeroed. */
    FUSE_TRY(fuse_host_map(&w->base, w->bytes, 1, err));
    char *at = w->base;
    w->word = (struct fuse_closure_word *)at;
    at += k * sizeof *w->word;
    w->reached = (uint32_t *)at;
    at += round_up(k * sizeof *w->reached, 64);
    w->pending = (uint64_t *)at;
    at += round_up(k / 8 + 8, 64);
    w->summary = (uint64_t *)at;
    at += round_up(k / 512 + 8, 64);
    w->sorted = (uint64_t *)at;
    at += round_up(n / 8 + 8, 64);
    w->sorted_summary = (uint64_t *)at;
    return FUSE_OK;
}

/* Zeroed; under the lock. NULL: the budget or the system has no more. */
static void *take(struct fuse_closure_result *r, size_t bytes) {
    if (bytes > r->budget - r->bytes)
        return NULL;
    if (bytes > r->free_bytes) {
        const size_t size = round_up(bytes + 64 > POOL_BYTES ? bytes + 64 : POOL_BYTES, FUSE_HUGE_PAGE);
        char *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (map == MAP_FAILED)
            return NULL;
        madvise(map, size, MADV_HUGEPAGE);
        struct fuse_closure_piece *piece = (struct fuse_closure_piece *)map;
        *piece = (struct fuse_closure_piece){.next = r->piece, .bytes = size};
        r->piece = piece;
        r->free_at = map + 64;
        r->free_bytes = size - 64;
    }
    void *taken = r->free_at;
    r->free_at += bytes;
    r->free_bytes -= bytes;
    r->bytes += bytes;
    return taken;
}

enum fuse_status fuse_closure_result_open(struct fuse_closure_result **out, const struct fuse_closure *c,
                                          const struct fuse_closure_options *options, struct fuse_error *err) {
    const struct fuse_closure_kernels *kernels = fuse_closure_choose(options->isa);
    if (kernels == NULL)
        return fuse_fail(err, FUSE_EBUG, "this processor has no '%s'", options->isa);
    const size_t budget = options->budget_bytes > 0 ? options->budget_bytes : SIZE_MAX;
    const int64_t blocks = fuse_closure_blocks(c);
    const size_t own = sizeof(struct fuse_closure_result) + (size_t)blocks * sizeof(struct fuse_closure_kept *);
    const size_t each = fuse_closure_thread_bytes(c) + sizeof(struct fuse_closure_worker);
    if (budget < own + each)
        return fuse_fail(err, FUSE_EMEMORY, "a closure over %lld ids needs %zu bytes to work in, and may take %zu",
                         (long long)c->columns, own + each, budget);
    struct fuse_closure_result *r = calloc(1, sizeof *r);
    if (r == NULL)
        return fuse_fail(err, FUSE_EMEMORY, "no memory for the result of a closure");
    /* Threads beyond the first have half of the budget at most. */
    int64_t threads = options->threads > 1 ? options->threads : 1;
    if ((int64_t)(budget / 2 / each) < threads)
        threads = (int64_t)(budget / 2 / each);
    if (threads > blocks)
        threads = blocks;
    *r =
        (struct fuse_closure_result){.closure = c, .kernels = kernels, .keeps = !options->count_only, .budget = budget};
    r->words = (size_t)fuse_closure_row_words(c);
    r->workers = threads > 1 ? (int)threads : 1;
    r->blocks = blocks;
    r->bytes = own + (size_t)r->workers * each;
    r->block = calloc((size_t)blocks + 1, sizeof(struct fuse_closure_kept *));
    r->worker = calloc((size_t)r->workers, sizeof *r->worker);
    if (r->block == NULL || r->worker == NULL) {
        fuse_closure_result_close(r);
        return fuse_fail(err, FUSE_EMEMORY, "no memory for the result of a closure");
    }
    *out = r;
    return FUSE_OK;
}

void fuse_closure_result_finish(struct fuse_closure_result *r) {
    for (int t = 0; t < r->workers; t++)
        fuse_host_unmap(r->worker[t].base, r->worker[t].bytes);
    if (r->workers > 0)
        r->bytes -= (size_t)r->workers * (fuse_closure_thread_bytes(r->closure) + sizeof *r->worker);
    free(r->worker);
    r->worker = NULL;
    r->workers = 0;
}

void fuse_closure_result_close(struct fuse_closure_result *r) {
    if (r == NULL)
        return;
    if (r->worker != NULL)
        fuse_closure_result_finish(r);
    while (r->piece != NULL) {
        struct fuse_closure_piece *next = r->piece->next;
        munmap(r->piece, r->piece->bytes);
        r->piece = next;
    }
    free(r->block);
    free(r);
}

/* ---- blocks --------------------------------------------------------------------------------------------------------- */

static void count_rows(struct fuse_closure_kept *b, const struct fuse_closure_worker *w, const struct fuse_closure *c) {
    for (uint32_t i = 0; i < w->reaches; i++) {
        const uint32_t k = w->reached[i];
        const uint64_t members = c->member_first[k + 1] - c->member_first[k];
        for (uint32_t l = 0; l < FUSE_CLOSURE_LANES; l++)
            for (uint64_t bits = w->word[k].lane[l]; bits != 0; bits &= bits - 1)
                b->begin[(l << 6 | (uint32_t)__builtin_ctzll(bits)) + 1] += members;
    }
}

static void sort_ids(struct fuse_closure_worker *w, const struct fuse_closure *c) {
    for (uint32_t i = 0; i < w->reaches; i++)
        for (uint32_t m = c->member_first[w->reached[i]]; m < c->member_first[w->reached[i] + 1]; m++) {
            const uint32_t z = c->member[m];
            w->sorted[z >> 6] |= (uint64_t)1 << (z & 63);
            w->sorted_summary[z >> 12] |= (uint64_t)1 << (z >> 6 & 63);
        }
}

static void put_id(uint32_t *id, uint64_t *at, const struct fuse_closure_word *word, uint32_t z) {
    for (uint32_t l = 0; l < FUSE_CLOSURE_LANES; l++)
        for (uint64_t bits = word->lane[l]; bits != 0; bits &= bits - 1)
            id[at[l << 6 | (uint32_t)__builtin_ctzll(bits)]++] = z;
}

static void put_ids(struct fuse_closure_kept *b, struct fuse_closure_worker *w, const struct fuse_closure *c) {
    uint64_t at[BLOCK];
    memcpy(at, b->begin, sizeof at);
    sort_ids(w, c);
    const size_t summaries = ((size_t)c->columns >> 12) + 1;
    for (size_t s = 0; s < summaries; s++) {
        for (uint64_t some = w->sorted_summary[s]; some != 0; some &= some - 1) {
            const size_t p = s << 6 | (size_t)__builtin_ctzll(some);
            for (uint64_t bits = w->sorted[p]; bits != 0; bits &= bits - 1) {
                const uint32_t z = (uint32_t)(p << 6) | (uint32_t)__builtin_ctzll(bits);
                put_id(b->id, at, &w->word[c->component[z]], z);
            }
            w->sorted[p] = 0;
        }
        w->sorted_summary[s] = 0;
    }
}

/* Words of components that were not reached, and of ids that none was for, become 0. */
static void clear_rest(struct fuse_closure_worker *w, const struct fuse_closure *c) {
    uint32_t from = 0;
    for (uint32_t i = 0; i <= w->reaches; i++) {
        const uint32_t to = i < w->reaches ? w->reached[i] : c->components + 1;
        if (to > from)
            memset(&w->word[from], 0, (size_t)(to - from) * sizeof *w->word);
        from = to + 1;
    }
}

static void sum_begins(struct fuse_closure_kept *b) {
    for (uint32_t j = 0; j < b->rows; j++)
        b->begin[j + 1] += b->begin[j];
}

static bool make_block(struct fuse_closure_result *r, struct fuse_closure_worker *w, int64_t number) {
    const struct fuse_closure *c = r->closure;
    const uint32_t first = (uint32_t)number * BLOCK;
    const uint32_t last = c->classes - first > BLOCK ? first + BLOCK : c->classes;
    const uint64_t pairs = r->kernels->propagate(w, c, first, last);
    const bool dense = is_dense(c, last - first, pairs);
    const size_t bytes = r->keeps ? kept_bytes(c, last - first, pairs, dense) : 0;
    struct fuse_closure_kept local = {0}, *b = NULL;
    void *data = NULL;
#pragma omp critical(fuse_closure_memory)
    {
        char *taken = take(r, round_up(sizeof *b, 64) + bytes);
        if (taken != NULL) {
            b = (struct fuse_closure_kept *)taken;
            data = taken + round_up(sizeof *b, 64);
        }
    }
    if (b == NULL)
        return false;
    local.rows = last - first;
    if (dense) {
        clear_rest(w, c);
        local.bits = r->keeps ? data : NULL;
        r->kernels->turn(local.bits, r->words, local.rows, local.begin + 1, w->word, c->component, c->columns);
        sum_begins(&local);
    } else {
        count_rows(&local, w, c);
        sum_begins(&local);
        local.id = r->keeps ? data : NULL;
        if (r->keeps)
            put_ids(&local, w, c);
    }
    *b = local;
    r->block[number] = b;
    return true;
}

static int64_t block_count(const struct fuse_closure *c, const struct fuse_closure_kept *b, int64_t number) {
    uint64_t count = 0;
    for (uint32_t j = 0; j < b->rows; j++)
        count += (b->begin[j + 1] - b->begin[j]) * c->class_size[number * BLOCK + j];
    return (int64_t)count;
}

static int64_t next_of(int64_t (*next)(void *context), void *context) {
    int64_t number;
#pragma omp critical(fuse_closure_next)
    number = next(context);
    return number;
}

/* False: no memory. */
static bool make_dealt(int64_t *count, struct fuse_closure_result *r, struct fuse_closure_worker *w,
                       int64_t (*next)(void *context), void *context) {
    for (int64_t number; (number = next_of(next, context)) >= 0;) {
        if (!make_block(r, w, number))
            return false;
        *count += block_count(r->closure, r->block[number], number);
    }
    return true;
}

enum fuse_status fuse_closure_compute_dealt(struct fuse_closure_result *r, int64_t (*next)(void *context),
                                            void *context, struct fuse_error *err) {
    for (int t = 0; t < r->workers; t++)
        if (r->worker[t].base == NULL)
            FUSE_TRY(open_worker(&r->worker[t], r->closure, err));
    int64_t count = 0;
    int failed = 0;
#pragma omp parallel num_threads(r->workers) reduction(+ : count) reduction(| : failed) if (r->workers > 1)
    {
#if defined(_OPENMP)
        struct fuse_closure_worker *w = &r->worker[omp_get_thread_num()];
#else
        struct fuse_closure_worker *w = r->worker;
#endif
        failed |= !make_dealt(&count, r, w, next, context);
    }
    r->count += count;
    if (failed)
        return fuse_fail(err, FUSE_EMEMORY,
                         "the pairs of a closure over %lld ids take more than the %zu bytes they may",
                         (long long)r->closure->columns, r->budget);
    return FUSE_OK;
}

struct range {
    int64_t next, last, stride;
};

static int64_t next_in_range(void *context) {
    struct range *range = context;
    const int64_t next = range->next;
    range->next += range->stride;
    return next < range->last ? next : -1;
}

enum fuse_status fuse_closure_compute(struct fuse_closure_result *r, int64_t first, int64_t last, int64_t stride,
                                      struct fuse_error *err) {
    struct range range = {first, last, stride};
    if (first < 0 || stride < 1 || last > r->blocks || r->workers == 0)
        return fuse_fail(err, FUSE_EBUG, "a closure has no blocks %lld to %lld", (long long)first, (long long)last);
    return fuse_closure_compute_dealt(r, next_in_range, &range, err);
}

int64_t fuse_closure_count(const struct fuse_closure_result *r) {
    return r->count;
}

size_t fuse_closure_result_bytes(const struct fuse_closure_result *r) {
    return r->bytes;
}
