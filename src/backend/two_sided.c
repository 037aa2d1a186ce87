#include "backend/two_sided.h"

#include "backend/closure_internal.h"
#include "backend/host_memory.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { DEALT = 8 };             /* components at a time */
#define ALONE ((size_t)1 << 12) /* words: what is less one member does while the others wait */

struct fuse_two_sided_work {
    const struct fuse_two_sided_question *q;
    size_t words;              /* of a row */
    struct fuse_closure parts; /* the components of U among rows that another one depends on */
    uint8_t *is_cyclic;
    /* Level l: components by_level[level_first[l] .. level_first[l + 1]), which are rows in the last one, where nobody needs them. */
    uint32_t levels, *level_first, *by_level;
    size_t *level_words; /* [levels]: about what is read and written */
    /* Shared: rows, how many pairs each has, and of each level how many components are dealt. */
    uint64_t *row;
    int64_t *row_count;
    _Atomic uint32_t *dealt;
    uint64_t *halfway; /* [words]: H of one row */
    /* For the component at hand, by a row's place in it. */
    uint64_t *fresh, *had; /* what has not gone on yet; H */
    uint32_t *queue, *place;
    uint8_t *is_queued;
    struct fuse_adjacency users; /* U turned round: where there are cycles */
};

static size_t words_of(const struct fuse_two_sided_question *q) {
    return ((size_t)q->base->columns + 63) / 64;
}

static uint64_t *row_of(const struct fuse_two_sided_work *w, uint32_t x) {
    return w->row + (size_t)x * w->words;
}

static void unite_row(uint64_t *to, const uint64_t *from, size_t words) {
    for (size_t p = 0; p < words; p++)
        to[p] |= from[p];
}

static void add_base(const struct fuse_two_sided_work *w, uint32_t x) {
    const struct fuse_adjacency *base = w->q->base;
    uint64_t *row = row_of(w, x);
    for (uint64_t e = base->first[x]; e < base->first[x + 1]; e++)
        row[base->to[e] >> 6] |= (uint64_t)1 << (base->to[e] & 63);
}

/* Adds the rows of D for all bits of `halfway`; what is new also to `fresh` unless NULL. Whether anything was. */
static bool step_down(const struct fuse_two_sided_work *w, uint64_t *row, uint64_t *fresh, const uint64_t *halfway) {
    const struct fuse_adjacency *down = w->q->down;
    uint64_t any = 0;
    for (size_t p = 0; p < w->words; p++)
        for (uint64_t bits = halfway[p]; bits != 0; bits &= bits - 1) {
            const size_t v = p << 6 | (size_t)__builtin_ctzll(bits);
            for (uint64_t e = down->first[v]; e < down->first[v + 1]; e++) {
                const uint32_t y = down->to[e];
                const uint64_t bit = ((uint64_t)1 << (y & 63)) & ~row[y >> 6];
                row[y >> 6] |= bit;
                any |= bit;
                if (fresh != NULL)
                    fresh[y >> 6] |= bit;
            }
        }
    return any != 0;
}

static void count_row(const struct fuse_two_sided_work *w, uint32_t x) {
    const uint64_t *row = row_of(w, x);
    for (size_t p = 0; p < w->words; p++)
        w->row_count[x] += __builtin_popcountll(row[p]);
}

static void make_row(const struct fuse_two_sided_work *w, uint32_t x) {
    const struct fuse_adjacency *up = w->q->up;
    memset(w->halfway, 0, w->words * sizeof *w->halfway);
    for (uint64_t e = up->first[x]; e < up->first[x + 1]; e++)
        unite_row(w->halfway, row_of(w, up->to[e]), w->words);
    add_base(w, x);
    step_down(w, row_of(w, x), NULL, w->halfway);
    count_row(w, x);
}

/* Rows of a component before anything has gone round: from what lies outside, which is finished. */
static void begin_component(struct fuse_two_sided_work *w, uint32_t k, uint32_t first, uint32_t members) {
    const struct fuse_adjacency *up = w->q->up;
    const size_t words = w->words;
    memset(w->had, 0, members * words * sizeof *w->had);
    for (uint32_t i = 0; i < members; i++) {
        const uint32_t x = w->parts.member[first + i];
        uint64_t *had = w->had + i * words;
        w->place[x] = i;
        for (uint64_t e = up->first[x]; e < up->first[x + 1]; e++)
            if (w->parts.component[up->to[e]] != k)
                unite_row(had, row_of(w, up->to[e]), words);
        add_base(w, x);
        step_down(w, row_of(w, x), NULL, had);
        memcpy(w->fresh + i * words, row_of(w, x), words * sizeof *w->fresh);
        w->queue[i] = i;
        w->is_queued[i] = 1;
    }
}

static void make_component(struct fuse_two_sided_work *w, uint32_t k) {
    const uint32_t first = w->parts.member_first[k], members = w->parts.member_first[k + 1] - first;
    const size_t words = w->words;
    begin_component(w, k, first, members);
    for (uint32_t begin = 0, waiting = members; waiting > 0;) {
        const uint32_t i = w->queue[begin], u = w->parts.member[first + i];
        begin = begin + 1 == members ? 0 : begin + 1;
        waiting--;
        w->is_queued[i] = 0;
        memcpy(w->halfway, w->fresh + i * words, words * sizeof *w->halfway);
        memset(w->fresh + i * words, 0, words * sizeof *w->fresh);
        uint64_t *new = w->halfway + words;
        for (uint64_t e = w->users.first[u]; e < w->users.first[u + 1]; e++) {
            const uint32_t x = w->users.to[e];
            if (w->parts.component[x] != k)
                continue;
            const uint32_t j = w->place[x];
            for (size_t p = 0; p < words; p++) {
                new[p] = w->halfway[p] & ~w->had[j * words + p];
                w->had[j * words + p] |= new[p];
            }
            if (step_down(w, row_of(w, x), w->fresh + j * words, new) && !w->is_queued[j]) {
                w->is_queued[j] = 1;
                w->queue[(begin + waiting++) % members] = j;
            }
        }
    }
    for (uint32_t i = 0; i < members; i++)
        count_row(w, w->parts.member[first + i]);
}

static enum fuse_status turn_round(struct fuse_adjacency *out, const struct fuse_adjacency *a, struct fuse_error *err) {
    struct fuse_adjacency t = {.rows = a->columns, .columns = a->rows};
    t.first = calloc((size_t)t.rows + 1, sizeof *t.first);
    t.to = malloc((a->first[a->rows] + 1) * sizeof *t.to);
    if (t.first == NULL || t.to == NULL) {
        fuse_adjacency_close(&t);
        return fuse_fail(err, FUSE_EMEMORY, "no memory for a relation turned round");
    }
    for (uint64_t e = 0; e < a->first[a->rows]; e++)
        t.first[a->to[e]]++;
    for (int64_t r = 1; r <= t.rows; r++)
        t.first[r] += t.first[r - 1];
    for (int64_t r = a->rows; r-- > 0;)
        for (uint64_t e = a->first[r + 1]; e-- > a->first[r];)
            t.to[--t.first[a->to[e]]] = (uint32_t)r;
    *out = t;
    return FUSE_OK;
}

static uint32_t largest_cycle(const struct fuse_two_sided_work *w) {
    uint32_t most = 0;
    for (uint32_t k = 0; k < w->parts.components; k++) {
        const uint32_t members = w->parts.member_first[k + 1] - w->parts.member_first[k];
        if (w->is_cyclic[k] && members > most)
            most = members;
    }
    return most;
}

/* ---- levels ---------------------------------------------------------------------------------------------------------- */

/* Components ascend along U: those that one needs are behind it. */
static uint32_t find_levels(const struct fuse_two_sided_work *w, uint32_t *level) {
    const struct fuse_closure *parts = &w->parts;
    const struct fuse_adjacency *up = w->q->up;
    uint32_t levels = 0;
    for (uint32_t k = parts->components; k-- > 0;) {
        level[k] = 0;
        for (uint32_t m = parts->member_first[k]; m < parts->member_first[k + 1]; m++)
            for (uint64_t e = up->first[parts->member[m]]; e < up->first[parts->member[m] + 1]; e++) {
                const uint32_t needed = parts->component[up->to[e]];
                if (needed != k && level[needed] >= level[k])
                    level[k] = level[needed] + 1;
            }
        levels = level[k] >= levels ? level[k] + 1 : levels;
    }
    return levels;
}

/* About what a row takes: those that it is the union of, and itself. */
static size_t words_of_row(const struct fuse_two_sided_work *w, uint32_t x) {
    return (size_t)(w->q->up->first[x + 1] - w->q->up->first[x] + 2) * w->words;
}

/* Components by their level; behind them the rows that are in none. */
static enum fuse_status order_levels(struct fuse_two_sided_work *w, struct fuse_error *err) {
    const uint32_t rows = (uint32_t)w->q->up->rows, components = w->parts.components;
    uint32_t *level = malloc(((size_t)components + 1) * sizeof *level);
    if (level == NULL)
        return fuse_fail(err, FUSE_EMEMORY, "no memory for the order of rows");
    w->levels = find_levels(w, level) + 1;
    w->level_first = calloc((size_t)w->levels + 2, sizeof *w->level_first);
    w->level_words = calloc((size_t)w->levels + 1, sizeof *w->level_words);
    w->by_level = malloc(((size_t)rows + 1) * sizeof *w->by_level);
    if (w->level_first == NULL || w->level_words == NULL || w->by_level == NULL) {
        free(level);
        return fuse_fail(err, FUSE_EMEMORY, "no memory for the order of rows");
    }
    uint32_t *next = w->level_first + 1; /* where each level's next one goes: in the end where the level ends */
    for (uint32_t k = 0; k < components; k++)
        next[level[k] + 1]++;
    for (uint32_t l = 1; l < w->levels; l++)
        next[l] += next[l - 1];
    for (uint32_t k = 0; k < components; k++) {
        w->by_level[next[level[k]]++] = k;
        for (uint32_t m = w->parts.member_first[k]; m < w->parts.member_first[k + 1]; m++)
            w->level_words[level[k]] += words_of_row(w, w->parts.member[m]);
    }
    for (uint32_t x = 0; x < rows; x++)
        if (w->parts.component[x] == components) {
            w->by_level[next[w->levels - 1]++] = x;
            w->level_words[w->levels - 1] += words_of_row(w, x);
        }
    free(level);
    return FUSE_OK;
}

static void make_one(struct fuse_two_sided_work *w, uint32_t level, uint32_t at) {
    const uint32_t k = w->by_level[at];
    if (level == w->levels - 1)
        make_row(w, k);
    else if (w->is_cyclic[k])
        make_component(w, k);
    else
        make_row(w, w->parts.member[w->parts.member_first[k]]);
}

static void make_level(struct fuse_two_sided_work *w, uint32_t level) {
    const uint32_t first = w->level_first[level], n = w->level_first[level + 1] - first;
    for (uint32_t begin; (begin = atomic_fetch_add(&w->dealt[level], DEALT)) < n;)
        for (uint32_t i = begin; i < n && i < begin + DEALT; i++)
            make_one(w, level, first + i);
}

enum fuse_status fuse_two_sided_make(struct fuse_two_sided *out, struct fuse_two_sided_work *w, void *memory,
                                     const struct fuse_two_sided_team *team, struct fuse_error *err) {
    const int64_t rows = w->q->base->rows;
    const bool is_alone = team == NULL || team->members == 1;
    bool is_behind = false; /* the first member has made rows that the others have not seen */
    struct fuse_two_sided r = {.rows = rows, .columns = w->q->base->columns, .end = rows, .words = w->words};
    r.row = w->row = memory;
    r.row_count = w->row_count = (int64_t *)(w->row + (size_t)rows * w->words);
    w->dealt = (_Atomic uint32_t *)(w->row_count + rows);
    for (uint32_t l = 0; l < w->levels; l++) {
        const bool is_dealt = !is_alone && w->level_words[l] >= ALONE;
        if (is_dealt && is_behind)
            FUSE_TRY(team->meet(team->context, err));
        if (is_dealt || is_alone || team->is_first)
            make_level(w, l);
        if (is_dealt)
            FUSE_TRY(team->meet(team->context, err));
        is_behind = !is_dealt;
    }
    if (!is_alone && is_behind)
        FUSE_TRY(team->meet(team->context, err));
    for (int64_t x = 0; x < rows; x++)
        r.count += r.row_count[x];
    *out = r;
    return FUSE_OK;
}

/* ---- open, close ----------------------------------------------------------------------------------------------------- */

static enum fuse_status open_work(struct fuse_two_sided_work *w, struct fuse_error *err) {
    const size_t words = w->words, bytes = words * sizeof(uint64_t);
    w->parts.rows = w->parts.columns = w->q->up->rows;
    const struct fuse_closure_question question = {.step = w->q->up};
    FUSE_TRY(fuse_closure_condense(&w->parts, &w->is_cyclic, w->q->up, &question, err));
    FUSE_TRY(order_levels(w, err));
    const size_t most = largest_cycle(w);
    w->halfway = malloc(2 * bytes + 1);
    w->fresh = malloc(most * bytes + 1);
    w->had = malloc(most * bytes + 1);
    w->queue = malloc((most + 1) * sizeof *w->queue);
    w->is_queued = malloc(most + 1);
    w->place = malloc(((size_t)w->q->up->rows + 1) * sizeof *w->place);
    if (!w->halfway || !w->fresh || !w->had || !w->queue || !w->is_queued || !w->place)
        return fuse_fail(err, FUSE_EMEMORY, "no memory for rows of bits");
    return most > 0 ? turn_round(&w->users, w->q->up, err) : FUSE_OK;
}

void fuse_two_sided_work_close(struct fuse_two_sided_work *w) {
    if (w == NULL)
        return;
    free(w->parts.component);
    free(w->parts.member_first);
    free(w->parts.member);
    free(w->parts.next_first);
    free(w->parts.next);
    free(w->is_cyclic);
    free(w->level_first);
    free(w->level_words);
    free(w->by_level);
    free(w->halfway);
    free(w->fresh);
    free(w->had);
    free(w->queue);
    free(w->is_queued);
    free(w->place);
    fuse_adjacency_close(&w->users);
    free(w);
}

enum fuse_status fuse_two_sided_prepare(struct fuse_two_sided_work **out, const struct fuse_two_sided_question *q,
                                        struct fuse_error *err) {
    if (q->up->rows != q->up->columns || q->down->rows != q->down->columns || q->base->rows != q->up->rows ||
        q->base->columns != q->down->rows)
        return fuse_fail(err, FUSE_EBUG, "a recursion on both sides of relations whose extents do not fit");
    struct fuse_two_sided_work *w = calloc(1, sizeof *w);
    if (w == NULL)
        return fuse_fail(err, FUSE_EMEMORY, "no memory for rows of bits");
    w->q = q;
    w->words = words_of(q);
    const enum fuse_status status = open_work(w, err);
    if (status == FUSE_OK)
        *out = w;
    else
        fuse_two_sided_work_close(w);
    return status;
}

size_t fuse_two_sided_own_bytes(const struct fuse_two_sided_work *w) {
    const size_t rows = (size_t)w->q->up->rows, most = largest_cycle(w);
    const int64_t pairs = (int64_t)w->q->up->first[rows];
    return 2 * (most + 1) * w->words * sizeof(uint64_t) + 25 * (rows + 2) +
           fuse_closure_open_bytes((int64_t)rows, (int64_t)rows, pairs, pairs) +
           (most > 0 ? fuse_adjacency_bytes((int64_t)rows, pairs) : 0);
}

size_t fuse_two_sided_shared_bytes(const struct fuse_two_sided_work *w) {
    const size_t rows = (size_t)w->q->base->rows;
    return rows * (w->words * sizeof *w->row + sizeof *w->row_count) + (w->levels + 1) * sizeof *w->dealt;
}

size_t fuse_two_sided_bytes(const struct fuse_two_sided_question *q) {
    const size_t bytes = words_of(q) * sizeof(uint64_t), rows = (size_t)q->base->rows;
    const int64_t pairs = (int64_t)q->up->first[q->up->rows];
    return fuse_host_mapped_bytes(rows * (bytes + 12) + 12) + 2 * (rows + 1) * bytes + 25 * (rows + 2) +
           fuse_closure_open_bytes(q->up->rows, q->up->rows, pairs, pairs) + fuse_adjacency_bytes(q->up->rows, pairs);
}

enum fuse_status fuse_two_sided_open(struct fuse_two_sided *out, const struct fuse_two_sided_question *q,
                                     size_t budget_bytes, struct fuse_error *err) {
    struct fuse_two_sided_work *w = NULL;
    void *memory = NULL;
    FUSE_TRY(fuse_two_sided_prepare(&w, q, err));
    const size_t bytes = fuse_host_mapped_bytes(fuse_two_sided_shared_bytes(w)),
                 all = bytes + 2 * (largest_cycle(w) + 1) * w->words * sizeof(uint64_t);
    enum fuse_status status = FUSE_OK;
    if (budget_bytes > 0 && all > budget_bytes)
        status =
            fuse_fail(err, FUSE_EMEMORY, "a bit for each of %lld times %lld pairs takes %zu bytes, and may take %zu",
                      (long long)q->base->rows, (long long)q->base->columns, all, budget_bytes);
    if (status == FUSE_OK)
        status = fuse_host_map(&memory, fuse_two_sided_shared_bytes(w), 1, err);
    if (status == FUSE_OK) {
        status = fuse_two_sided_make(out, w, memory, NULL, err);
        out->bytes = bytes;
    }
    fuse_two_sided_work_close(w);
    return status;
}

enum fuse_status fuse_two_sided_copy(struct fuse_two_sided *out, const struct fuse_two_sided *from, int64_t first,
                                     int64_t end, struct fuse_error *err) {
    const size_t bytes = (size_t)(end - first) * from->words * sizeof *from->row;
    struct fuse_two_sided copy = *from;
    void *row = NULL;
    FUSE_TRY(fuse_host_map(&row, bytes, 1, err));
    if (bytes > 0)
        memcpy(row, fuse_two_sided_row(from, first), bytes);
    copy.row = row;
    copy.row_count = NULL;
    copy.bytes = fuse_host_mapped_bytes(bytes);
    copy.first = first;
    copy.end = end;
    *out = copy;
    return FUSE_OK;
}

void fuse_two_sided_close(struct fuse_two_sided *result) {
    if (result->bytes > 0)
        fuse_host_unmap(result->row, result->bytes);
    *result = (struct fuse_two_sided){0};
}
