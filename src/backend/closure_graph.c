#include "backend/closure_internal.h"

#include <stdlib.h>
#include <string.h>

#define MOST_IDS ((int64_t)UINT32_MAX - 1)

size_t fuse_adjacency_bytes(int64_t rows, int64_t pairs) {
    return ((size_t)rows + 1) * sizeof(uint64_t) + (size_t)pairs * sizeof(uint32_t);
}

enum fuse_status fuse_adjacency_open(struct fuse_adjacency *out, int64_t rows, int64_t columns, int64_t pairs,
                                     const int64_t *from, const int64_t *to, struct fuse_error *err) {
    if (rows < 0 || columns < 0 || rows > MOST_IDS || columns > MOST_IDS)
        return fuse_fail(err, FUSE_EBUG, "an adjacency of %lld times %lld ids", (long long)rows, (long long)columns);
    struct fuse_adjacency a = {.rows = rows, .columns = columns};
    a.first = calloc((size_t)rows + 1, sizeof *a.first);
    a.to = malloc(((size_t)pairs + 1) * sizeof *a.to);
    if (a.first == NULL || a.to == NULL) {
        fuse_adjacency_close(&a);
        return fuse_fail(err, FUSE_EMEMORY, "no memory for %lld pairs of a relation", (long long)pairs);
    }
    for (int64_t i = 0; i < pairs; i++) {
        if (from[i] < 0 || from[i] >= rows || to[i] < 0 || to[i] >= columns) {
            fuse_adjacency_close(&a);
            return fuse_fail(err, FUSE_EBUG, "pair %lld of a relation lies outside its extents", (long long)i);
        }
        a.first[from[i]]++;
    }
    /* Ends of rows first, which filling in from behind turns into beginnings. */
    for (int64_t r = 1; r <= rows; r++)
        a.first[r] += a.first[r - 1];
    for (int64_t i = pairs; i-- > 0;)
        a.to[--a.first[from[i]]] = (uint32_t)to[i];
    *out = a;
    return FUSE_OK;
}

void fuse_adjacency_close(struct fuse_adjacency *adjacency) {
    free(adjacency->first);
    free(adjacency->to);
    *adjacency = (struct fuse_adjacency){0};
}

/* Pearce's form of Tarjan's algorithm without recursion (Inf. Process. Lett. 116, 2016). A vertex's number is the order of its
 * discovery, from 1, as long as its component is open, then that of the component; components are numbered downwards from the
 * extent, in reverse topological order, so that open numbers stay below closed ones. */
struct walk {
    const struct fuse_adjacency *step;
    uint32_t *number; /* [columns], 0: not seen */
    uint32_t *open;   /* vertices behind which there are none left to look at, and whose component is open */
    uint32_t *path;   /* the vertices from the start to the current one */
    uint64_t *edge;   /* the next edge of each */
    uint32_t *own;    /* the number that each got first */
    uint32_t opens, found, component;
};

static void leave(struct walk *w, uint32_t v, uint32_t own) {
    if (w->number[v] != own) {
        w->open[w->opens++] = v;
        return;
    }
    w->found--;
    while (w->opens > 0 && w->number[w->open[w->opens - 1]] >= own) {
        w->number[w->open[--w->opens]] = w->component;
        w->found--;
    }
    w->number[v] = w->component--;
}

static void walk_from(struct walk *w, uint32_t start) {
    const struct fuse_adjacency *step = w->step;
    uint32_t *number = w->number;
    int64_t depth = 0;
    w->path[0] = start;
    w->edge[0] = step->first[start];
    w->own[0] = number[start] = ++w->found;
    while (depth >= 0) {
        uint32_t v = w->path[depth], least = number[v], down = FUSE_CLOSURE_NONE;
        uint64_t e = w->edge[depth];
        for (const uint64_t end = step->first[v + 1]; e < end; e++) {
            uint32_t to = step->to[e];
            if (number[to] == 0) {
                down = to;
                break;
            }
            if (number[to] < least)
                least = number[to];
        }
        number[v] = least;
        if (down != FUSE_CLOSURE_NONE) {
            w->edge[depth++] = e; /* looked at again on return, when its number is known */
            w->path[depth] = down;
            w->edge[depth] = step->first[down];
            w->own[depth] = number[down] = ++w->found;
            continue;
        }
        leave(w, v, w->own[depth--]);
    }
}

struct sources {
    const struct fuse_adjacency *base;
    const uint32_t *source;
    int64_t n;
};

static struct sources sources_of(const struct fuse_closure_question *q) {
    const struct fuse_adjacency *base = q->base != NULL ? q->base : q->step;
    return (struct sources){.base = base, .source = q->source, .n = q->source != NULL ? q->sources : base->rows};
}

static uint32_t source_at(const struct sources *s, int64_t i) {
    return s->source != NULL ? s->source[i] : (uint32_t)i;
}

static void walk_from_base(struct walk *w, const struct fuse_adjacency *base, uint32_t x) {
    for (uint64_t e = base->first[x]; e < base->first[x + 1]; e++)
        if (w->number[base->to[e]] == 0)
            walk_from(w, base->to[e]);
}

/* Walks that start at roots number a subtree without gaps, whatever the ids. */
static enum fuse_status walk_all(struct walk *w, const struct fuse_closure_question *q, struct fuse_error *err) {
    const struct sources s = sources_of(q);
    if (q->base == NULL) {
        uint8_t *has_before = calloc((size_t)s.base->rows + 1, 1);
        if (has_before == NULL)
            return fuse_fail(err, FUSE_EMEMORY, "no memory for the components of a relation");
        for (int64_t i = 0; i < s.n; i++) {
            uint32_t x = source_at(&s, i);
            for (uint64_t e = s.base->first[x]; e < s.base->first[x + 1]; e++)
                has_before[s.base->to[e]] = 1;
        }
        for (int64_t i = 0; i < s.n; i++)
            if (!has_before[source_at(&s, i)])
                walk_from_base(w, s.base, source_at(&s, i));
        free(has_before);
    }
    for (int64_t i = 0; i < s.n; i++)
        walk_from_base(w, s.base, source_at(&s, i));
    return FUSE_OK;
}

static enum fuse_status number_components(struct fuse_closure *c, const struct fuse_closure_question *q,
                                          struct fuse_error *err) {
    const uint32_t n = (uint32_t)c->columns;
    struct walk w = {.step = q->step, .number = c->component, .component = n};
    w.open = malloc(((size_t)n + 1) * sizeof *w.open);
    w.path = malloc(((size_t)n + 1) * sizeof *w.path);
    w.edge = malloc(((size_t)n + 1) * sizeof *w.edge);
    w.own = malloc(((size_t)n + 1) * sizeof *w.own);
    enum fuse_status status = FUSE_OK;
    if (w.open == NULL || w.path == NULL || w.edge == NULL || w.own == NULL)
        status = fuse_fail(err, FUSE_EMEMORY, "no memory for the components of a relation");
    else
        status = walk_all(&w, q, err);
    free(w.open);
    free(w.path);
    free(w.edge);
    free(w.own);
    if (status != FUSE_OK)
        return status;
    c->components = n - w.component;
    for (uint32_t v = 0; v < n; v++)
        c->component[v] = c->component[v] == 0 ? c->components : c->component[v] - w.component - 1;
    return FUSE_OK;
}

static void list_members(struct fuse_closure *c) {
    for (int64_t v = 0; v < c->columns; v++)
        if (c->component[v] < c->components)
            c->member_first[c->component[v]]++;
    for (uint32_t k = 1; k <= c->components; k++)
        c->member_first[k] += c->member_first[k - 1];
    for (int64_t v = c->columns; v-- > 0;)
        if (c->component[v] < c->components)
            c->member[--c->member_first[c->component[v]]] = (uint32_t)v;
}

/* Edges between components, each once. */
static void list_edges(struct fuse_closure *c, uint8_t *is_cyclic, uint32_t *last, const struct fuse_adjacency *step) {
    uint64_t edges = 0;
    memset(last, 0xff, (size_t)c->components * sizeof *last);
    for (uint32_t k = 0; k < c->components; k++) {
        c->next_first[k] = edges;
        for (uint32_t i = c->member_first[k]; i < c->member_first[k + 1]; i++) {
            const uint32_t v = c->member[i];
            for (uint64_t e = step->first[v]; e < step->first[v + 1]; e++) {
                const uint32_t to = c->component[step->to[e]];
                if (to == k)
                    is_cyclic[k] = 1;
                else if (last[to] != k) {
                    last[to] = k;
                    c->next[edges++] = to;
                }
            }
        }
    }
    c->next_first[c->components] = edges;
}

static uint64_t edges_reached(const struct fuse_closure *c, const struct fuse_adjacency *step) {
    uint64_t edges = 0;
    for (int64_t v = 0; v < c->columns; v++)
        if (c->component[v] < c->components)
            edges += step->first[v + 1] - step->first[v];
    return edges;
}

enum fuse_status fuse_closure_condense(struct fuse_closure *c, uint8_t **is_cyclic, const struct fuse_adjacency *step,
                                       const struct fuse_closure_question *question, struct fuse_error *err) {
    c->component = calloc((size_t)c->columns + 1, sizeof *c->component);
    if (c->component == NULL)
        return fuse_fail(err, FUSE_EMEMORY, "no memory for the components of a relation");
    FUSE_TRY(number_components(c, question, err));
    const size_t n = (size_t)c->components + 1;
    c->member_first = calloc(n, sizeof *c->member_first);
    c->member = malloc(((size_t)c->columns + 1) * sizeof *c->member);
    c->next_first = malloc(n * sizeof *c->next_first);
    c->next = malloc((edges_reached(c, step) + 1) * sizeof *c->next);
    uint8_t *cyclic = calloc(n, 1);
    uint32_t *last = malloc(n * sizeof *last);
    enum fuse_status status = FUSE_OK;
    if (c->member_first == NULL || c->member == NULL || c->next_first == NULL || c->next == NULL || cyclic == NULL ||
        last == NULL) {
        status = fuse_fail(err, FUSE_EMEMORY, "no memory for the components of a relation");
        free(cyclic);
    } else {
        list_members(c);
        list_edges(c, cyclic, last, step);
        *is_cyclic = cyclic;
    }
    free(last);
    return status;
}
