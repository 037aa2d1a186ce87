#include "backend/two_sided.h"

#include "backend/closure_internal.h"
#include "backend/host_memory.h"

#include <stdlib.h>
#include <string.h>

struct work {
    const struct fuse_two_sided_question *q;
    struct fuse_closure parts; /* the components of U among rows that another one depends on */
    uint8_t *is_cyclic;
    struct fuse_two_sided *r;
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

static uint64_t *row_of(const struct work *w, uint32_t x) {
    return w->r->row + (size_t)x * w->r->words;
}

static void unite_row(uint64_t *to, const uint64_t *from, size_t words) {
    for (size_t p = 0; p < words; p++)
        to[p] |= from[p];
}

static void add_base(const struct work *w, uint32_t x) {
    const struct fuse_adjacency *base = w->q->base;
    uint64_t *row = row_of(w, x);
    for (uint64_t e = base->first[x]; e < base->first[x + 1]; e++)
        row[base->to[e] >> 6] |= (uint64_t)1 << (base->to[e] & 63);
}

/* Adds the rows of D for all bits of `halfway`; what is new also to `fresh` unless NULL. Whether anything was. */
static bool step_down(const struct work *w, uint64_t *row, uint64_t *fresh, const uint64_t *halfway) {
    const struct fuse_adjacency *down = w->q->down;
    uint64_t any = 0;
    for (size_t p = 0; p < w->r->words; p++)
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

static void make_row(const struct work *w, uint32_t x) {
    const struct fuse_adjacency *up = w->q->up;
    memset(w->halfway, 0, w->r->words * sizeof *w->halfway);
    for (uint64_t e = up->first[x]; e < up->first[x + 1]; e++)
        unite_row(w->halfway, row_of(w, up->to[e]), w->r->words);
    add_base(w, x);
    step_down(w, row_of(w, x), NULL, w->halfway);
}

/* Rows of a component before anything has gone round: from what lies outside, which is finished. */
static void begin_component(struct work *w, uint32_t k, uint32_t first, uint32_t members) {
    const struct fuse_adjacency *up = w->q->up;
    const size_t words = w->r->words;
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

static void make_component(struct work *w, uint32_t k) {
    const uint32_t first = w->parts.member_first[k], members = w->parts.member_first[k + 1] - first;
    const size_t words = w->r->words;
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

static uint32_t largest_cycle(const struct work *w) {
    uint32_t most = 0;
    for (uint32_t k = 0; k < w->parts.components; k++) {
        const uint32_t members = w->parts.member_first[k + 1] - w->parts.member_first[k];
        if (w->is_cyclic[k] && members > most)
            most = members;
    }
    return most;
}

static enum fuse_status open_work(struct work *w, size_t budget, struct fuse_error *err) {
    const size_t words = w->r->words, bytes = words * sizeof(uint64_t);
    w->parts.rows = w->parts.columns = w->q->up->rows;
    const struct fuse_closure_question question = {.step = w->q->up};
    FUSE_TRY(fuse_closure_condense(&w->parts, &w->is_cyclic, w->q->up, &question, err));
    const size_t most = largest_cycle(w);
    w->r->bytes = fuse_host_mapped_bytes((size_t)w->r->rows * bytes);
    const size_t all = w->r->bytes + 2 * (most + 1) * bytes;
    if (budget > 0 && all > budget)
        return fuse_fail(err, FUSE_EMEMORY, "a bit for each of %lld times %lld pairs takes %zu bytes, and may take %zu",
                         (long long)w->r->rows, (long long)w->r->columns, all, budget);
    w->halfway = malloc(2 * bytes + 1);
    w->fresh = malloc(most * bytes + 1);
    w->had = malloc(most * bytes + 1);
    w->queue = malloc((most + 1) * sizeof *w->queue);
    w->is_queued = malloc(most + 1);
    w->place = malloc(((size_t)w->r->rows + 1) * sizeof *w->place);
    if (!w->halfway || !w->fresh || !w->had || !w->queue || !w->is_queued || !w->place)
        return fuse_fail(err, FUSE_EMEMORY, "no memory for rows of bits");
    if (most > 0)
        FUSE_TRY(turn_round(&w->users, w->q->up, err));
    void *row = NULL;
    FUSE_TRY(fuse_host_map(&row, (size_t)w->r->rows * bytes, 1, err));
    w->r->row = row;
    return FUSE_OK;
}

static void close_work(struct work *w) {
    free(w->parts.component);
    free(w->parts.member_first);
    free(w->parts.member);
    free(w->parts.next_first);
    free(w->parts.next);
    free(w->is_cyclic);
    free(w->halfway);
    free(w->fresh);
    free(w->had);
    free(w->queue);
    free(w->is_queued);
    free(w->place);
    fuse_adjacency_close(&w->users);
}

size_t fuse_two_sided_bytes(const struct fuse_two_sided_question *q) {
    const size_t bytes = words_of(q) * sizeof(uint64_t), rows = (size_t)q->base->rows;
    const int64_t pairs = (int64_t)q->up->first[q->up->rows];
    return fuse_host_mapped_bytes(rows * bytes) + 2 * (rows + 1) * bytes + 9 * (rows + 1) +
           fuse_closure_open_bytes(q->up->rows, q->up->rows, pairs, pairs) + fuse_adjacency_bytes(q->up->rows, pairs);
}

enum fuse_status fuse_two_sided_open(struct fuse_two_sided *out, const struct fuse_two_sided_question *q,
                                     size_t budget_bytes, struct fuse_error *err) {
    if (q->up->rows != q->up->columns || q->down->rows != q->down->columns || q->base->rows != q->up->rows ||
        q->base->columns != q->down->rows)
        return fuse_fail(err, FUSE_EBUG, "a recursion on both sides of relations whose extents do not fit");
    struct fuse_two_sided r = {.rows = q->base->rows, .columns = q->base->columns, .words = words_of(q)};
    struct work w = {.q = q, .r = &r};
    enum fuse_status status = open_work(&w, budget_bytes, err);
    if (status == FUSE_OK) {
        /* Components ascend along U, and a row needs those behind it; that nobody needs the rest is why they are in none. */
        for (uint32_t k = w.parts.components; k-- > 0;)
            if (w.is_cyclic[k])
                make_component(&w, k);
            else
                make_row(&w, w.parts.member[w.parts.member_first[k]]);
        for (uint32_t x = 0; x < r.rows; x++)
            if (w.parts.component[x] == w.parts.components)
                make_row(&w, x);
        for (size_t p = 0; p < (size_t)r.rows * r.words; p++)
            r.count += __builtin_popcountll(r.row[p]);
        *out = r;
    }
    close_work(&w);
    return status;
}

void fuse_two_sided_close(struct fuse_two_sided *result) {
    fuse_host_unmap(result->row, result->bytes);
    *result = (struct fuse_two_sided){0};
}
