#include "backend/closure_internal.h"

#include <stdlib.h>
#include <string.h>

/* What a source starts from. */
struct start {
    uint32_t least; /* the first component; FUSE_CLOSURE_NONE: the source has no pairs */
    uint32_t seeds; /* different components among those of its base pairs; 1: the row is that of the component */
};

struct making {
    struct fuse_closure *closure;
    const struct fuse_adjacency *base;
    bool base_is_step;
    const uint8_t *is_cyclic;
    const uint32_t *source; /* NULL: all */
    int64_t sources;
    struct start *start;   /* [sources] */
    uint32_t *last;        /* [components]: the source that saw it last */
    uint32_t *first_class; /* [components + 1]: of those with that least component */
    uint32_t *only_class;  /* [components]: the class of its own row, as a number behind first_class; or NONE */
};

static uint32_t source_at(const struct making *m, int64_t i) {
    return m->source != NULL ? m->source[i] : (uint32_t)i;
}

/* The seeds of source number i, to `seed` unless NULL. */
static struct start seeds_of(const struct making *m, uint32_t *seed, int64_t i) {
    const struct fuse_closure *c = m->closure;
    const uint32_t x = source_at(m, i);
    struct start start = {.least = FUSE_CLOSURE_NONE};
    /* In a cycle a vertex reaches what its component does. */
    if (m->base_is_step && c->component[x] < c->components && m->is_cyclic[c->component[x]]) {
        start = (struct start){.least = c->component[x], .seeds = 1};
        if (seed != NULL)
            *seed = start.least;
        return start;
    }
    for (uint64_t e = m->base->first[x]; e < m->base->first[x + 1]; e++) {
        const uint32_t k = c->component[m->base->to[e]];
        if (m->last[k] == x)
            continue;
        m->last[k] = x;
        if (k < start.least)
            start.least = k;
        if (seed != NULL)
            seed[start.seeds] = k;
        start.seeds++;
    }
    return start;
}

/* Numbers the classes by least component, and sources within one as they come: neighbours reach much the same. */
static void number_classes(struct making *m) {
    struct fuse_closure *c = m->closure;
    memset(m->last, 0xff, (size_t)c->components * sizeof *m->last);
    for (int64_t i = 0; i < m->sources; i++) {
        struct start s = m->start[i] = seeds_of(m, NULL, i);
        if (s.least == FUSE_CLOSURE_NONE)
            continue;
        if (s.seeds == 1 && m->only_class[s.least] != FUSE_CLOSURE_NONE)
            continue;
        if (s.seeds == 1)
            m->only_class[s.least] = m->first_class[s.least + 1];
        m->first_class[s.least + 1]++;
    }
    for (uint32_t k = 0; k < c->components; k++)
        m->first_class[k + 1] += m->first_class[k];
    c->classes = m->first_class[c->components];
}

static void assign_classes(struct making *m, uint32_t *used) {
    struct fuse_closure *c = m->closure;
    memset(c->class_of, 0xff, (size_t)c->rows * sizeof *c->class_of);
    memset(used, 0, (size_t)c->components * sizeof *used);
    for (int64_t i = 0; i < m->sources; i++) {
        const struct start s = m->start[i];
        if (s.least == FUSE_CLOSURE_NONE)
            continue;
        uint32_t number = s.seeds == 1 ? m->only_class[s.least] : used[s.least];
        if (number == used[s.least])
            used[s.least]++;
        number += m->first_class[s.least];
        c->class_of[source_at(m, i)] = number;
        if (c->class_size[number]++ == 0)
            c->seed_first[number + 1] = s.seeds;
    }
    for (uint32_t k = 0; k < c->classes; k++)
        c->seed_first[k + 1] += c->seed_first[k];
}

static void list_seeds(struct making *m, uint32_t *seen) {
    struct fuse_closure *c = m->closure;
    memset(m->last, 0xff, (size_t)c->components * sizeof *m->last);
    memset(seen, 0, (size_t)c->classes * sizeof *seen);
    for (int64_t i = 0; i < m->sources; i++) {
        const uint32_t k = c->class_of[source_at(m, i)];
        if (k != FUSE_CLOSURE_NONE && seen[k]++ == 0)
            seeds_of(m, c->seed + c->seed_first[k], i);
    }
}

static enum fuse_status make_classes(struct making *m, struct fuse_error *err) {
    struct fuse_closure *c = m->closure;
    number_classes(m);
    uint64_t seeds = 0;
    for (int64_t i = 0; i < m->sources; i++)
        seeds += m->start[i].seeds;
    const size_t most = c->classes > c->components ? c->classes : c->components;
    uint32_t *used = malloc((most + 1) * sizeof *used);
    c->class_size = calloc((size_t)c->classes + 1, sizeof *c->class_size);
    c->seed_first = calloc((size_t)c->classes + 1, sizeof *c->seed_first);
    c->seed = malloc((seeds + 1) * sizeof *c->seed);
    if (used == NULL || c->class_size == NULL || c->seed_first == NULL || c->seed == NULL) {
        free(used);
        return fuse_fail(err, FUSE_EMEMORY, "no memory for the sources of a closure");
    }
    assign_classes(m, used);
    list_seeds(m, used);
    free(used);
    return FUSE_OK;
}

static enum fuse_status classify(struct fuse_closure *c, const uint8_t *is_cyclic,
                                 const struct fuse_closure_question *q, struct fuse_error *err) {
    struct making m = {.closure = c,
                       .base = q->base != NULL ? q->base : q->step,
                       .base_is_step = q->base == NULL,
                       .is_cyclic = is_cyclic,
                       .source = q->source,
                       .sources = q->source != NULL ? q->sources : c->rows};
    const size_t n = (size_t)c->components + 1;
    m.start = malloc(((size_t)m.sources + 1) * sizeof *m.start);
    m.last = malloc(n * sizeof *m.last);
    m.first_class = calloc(n, sizeof *m.first_class);
    m.only_class = malloc(n * sizeof *m.only_class);
    c->class_of = malloc(((size_t)c->rows + 1) * sizeof *c->class_of);
    enum fuse_status status;
    if (m.start == NULL || m.last == NULL || m.first_class == NULL || m.only_class == NULL || c->class_of == NULL)
        status = fuse_fail(err, FUSE_EMEMORY, "no memory for the sources of a closure");
    else {
        memset(m.only_class, 0xff, n * sizeof *m.only_class);
        status = make_classes(&m, err);
    }
    free(m.start);
    free(m.last);
    free(m.first_class);
    free(m.only_class);
    return status;
}

static enum fuse_status check_question(const struct fuse_closure_question *q, struct fuse_error *err) {
    const struct fuse_adjacency *base = q->base != NULL ? q->base : q->step;
    if (q->step->rows != q->step->columns || base->columns != q->step->columns)
        return fuse_fail(err, FUSE_EBUG, "a closure of relations whose extents do not fit");
    for (int64_t i = 0; q->source != NULL && i < q->sources; i++)
        if (q->source[i] >= base->rows || (i > 0 && q->source[i] <= q->source[i - 1]))
            return fuse_fail(err, FUSE_EBUG, "the sources of a closure do not ascend within the extent");
    return FUSE_OK;
}

enum fuse_status fuse_closure_open(struct fuse_closure **out, const struct fuse_closure_question *q,
                                   struct fuse_error *err) {
    FUSE_TRY(check_question(q, err));
    struct fuse_closure *c = calloc(1, sizeof *c);
    if (c == NULL)
        return fuse_fail(err, FUSE_EMEMORY, "no memory for a closure");
    c->rows = q->base != NULL ? q->base->rows : q->step->rows;
    c->columns = q->step->columns;
    uint8_t *is_cyclic = NULL;
    enum fuse_status status = fuse_closure_condense(c, &is_cyclic, q->step, q, err);
    if (status == FUSE_OK)
        status = classify(c, is_cyclic, q, err);
    free(is_cyclic);
    if (status != FUSE_OK) {
        fuse_closure_close(c);
        return status;
    }
    *out = c;
    return FUSE_OK;
}

static void free_arrays(struct fuse_closure *c) {
    if (!c->is_borrowed) {
        free(c->component);
        free(c->member_first);
        free(c->member);
        free(c->next_first);
        free(c->next);
        free(c->class_of);
        free(c->class_size);
        free(c->seed_first);
        free(c->seed);
    }
    c->component = c->member_first = c->member = c->next = c->class_of = c->class_size = c->seed = NULL;
    c->next_first = c->seed_first = NULL;
}

enum fuse_status fuse_closure_trim(struct fuse_closure *c, struct fuse_error *err) {
    const size_t bytes = (size_t)c->rows * sizeof *c->class_of;
    uint32_t *class_of = malloc(bytes + 1);
    if (class_of == NULL)
        return fuse_fail(err, FUSE_EMEMORY, "no memory for the sources of a closure");
    memcpy(class_of, c->class_of, bytes);
    free_arrays(c);
    c->is_borrowed = false;
    c->class_of = class_of;
    return FUSE_OK;
}

void fuse_closure_close(struct fuse_closure *c) {
    if (c == NULL)
        return;
    free_arrays(c);
    free(c);
}

size_t fuse_closure_open_bytes(int64_t rows, int64_t columns, int64_t base_pairs, int64_t step_pairs) {
    /* Per id of z: component, member and their tables, and the larger of the walk's and the classes' arrays; per id of x: its
     * start, class, size and seeds. */
    return ((size_t)columns + 1) * 56 + ((size_t)rows + 1) * 40 + ((size_t)base_pairs + (size_t)step_pairs) * 4;
}

int64_t fuse_closure_rows(const struct fuse_closure *c) {
    return c->rows;
}

int64_t fuse_closure_columns(const struct fuse_closure *c) {
    return c->columns;
}

int64_t fuse_closure_blocks(const struct fuse_closure *c) {
    return ((int64_t)c->classes + FUSE_CLOSURE_BLOCK - 1) / FUSE_CLOSURE_BLOCK;
}

int64_t fuse_closure_classes(const struct fuse_closure *c) {
    return c->classes;
}

int64_t fuse_closure_class_of(const struct fuse_closure *c, int64_t x) {
    return c->class_of[x] == FUSE_CLOSURE_NONE ? -1 : (int64_t)c->class_of[x];
}

int64_t fuse_closure_row_words(const struct fuse_closure *c) {
    return (c->columns + FUSE_CLOSURE_BLOCK - 1) / FUSE_CLOSURE_BLOCK * FUSE_CLOSURE_LANES;
}
