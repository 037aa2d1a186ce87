#include "graphs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* SplitMix64. */
uint64_t graph_random_bits(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static int64_t below(uint64_t *state, int64_t n) {
    return (int64_t)(graph_random_bits(state) % (uint64_t)n);
}

static double unit(uint64_t *state) {
    return (double)(graph_random_bits(state) >> 11) * 0x1p-53;
}

void graph_add(struct graph *g, int64_t from, int64_t to) {
    if (g->pairs == g->room) {
        g->room = g->room > 0 ? 2 * g->room : 1024;
        g->from = realloc(g->from, (size_t)g->room * sizeof *g->from);
        g->to = realloc(g->to, (size_t)g->room * sizeof *g->to);
        if (g->from == NULL || g->to == NULL)
            abort();
    }
    g->from[g->pairs] = from;
    g->to[g->pairs++] = to;
}

void graph_free(struct graph *g) {
    free(g->from);
    free(g->to);
    *g = (struct graph){0};
}

struct graph graph_chain(int64_t n) {
    struct graph g = {.n = n};
    for (int64_t i = 0; i + 1 < n; i++)
        graph_add(&g, i, i + 1);
    return g;
}

struct graph graph_cycle(int64_t n) {
    struct graph g = graph_chain(n);
    graph_add(&g, n - 1, 0);
    return g;
}

struct graph graph_grid(int64_t rows, int64_t columns) {
    struct graph g = {.n = rows * columns};
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < columns; c++) {
            if (c + 1 < columns)
                graph_add(&g, r * columns + c, r * columns + c + 1);
            if (r + 1 < rows)
                graph_add(&g, r * columns + c, (r + 1) * columns + c);
        }
    return g;
}

struct graph graph_tree(int64_t arity, int depth) {
    int64_t inner = 0, level = 1;
    for (int d = 0; d < depth; d++, level *= arity)
        inner += level;
    struct graph g = {.n = inner + level};
    for (int64_t v = 0; v < inner; v++)
        for (int64_t k = 1; k <= arity; k++)
            graph_add(&g, v, v * arity + k);
    return g;
}

struct graph graph_random(int64_t n, int64_t m, uint64_t seed) {
    struct graph g = {.n = n};
    for (int64_t i = 0; i < m; i++) {
        int64_t from = below(&seed, n);
        graph_add(&g, from, below(&seed, n));
    }
    return g;
}

struct graph graph_rmat(int scale, int64_t m, uint64_t seed) {
    struct graph g = {.n = (int64_t)1 << scale};
    for (int64_t i = 0; i < m; i++) {
        int64_t from = 0, to = 0;
        for (int b = 0; b < scale; b++) {
            const double u = unit(&seed);
            from = from << 1 | (u >= 0.76);
            to = to << 1 | ((u >= 0.57 && u < 0.76) || u >= 0.95);
        }
        graph_add(&g, from, to);
    }
    return g;
}

struct point {
    int64_t cell;
    double x, y;
};

static int by_cell(const void *a, const void *b) {
    const struct point *p = a, *q = b;
    return p->cell != q->cell ? (p->cell > q->cell) - (p->cell < q->cell) : (p->x > q->x) - (p->x < q->x);
}

static void join_cells(struct graph *g, const struct point *p, const int64_t *begin, int64_t a, int64_t b, double r,
                       int both_ways) {
    for (int64_t i = begin[a]; i < begin[a + 1]; i++)
        for (int64_t j = a == b ? i + 1 : begin[b]; j < begin[b + 1]; j++) {
            const double dx = p[j].x - p[i].x, dy = p[j].y - p[i].y;
            if (dx * dx + dy * dy > r * r)
                continue;
            if (both_ways || dx >= 0)
                graph_add(g, i, j);
            if (both_ways || dx < 0)
                graph_add(g, j, i);
        }
}

struct graph graph_geometric(int64_t n, double degree, int both_ways, uint64_t seed) {
    const double r = sqrt(degree / (3.14159265358979323846 * (double)n));
    const int64_t side = r < 1 ? (int64_t)(1 / r) : 1;
    struct point *p = malloc((size_t)n * sizeof *p);
    int64_t *begin = calloc((size_t)(side * side) + 1, sizeof *begin);
    if (p == NULL || begin == NULL)
        abort();
    for (int64_t i = 0; i < n; i++) {
        p[i].x = unit(&seed);
        p[i].y = unit(&seed);
        p[i].cell = (int64_t)(p[i].y * (double)side) * side + (int64_t)(p[i].x * (double)side);
        begin[p[i].cell + 1]++;
    }
    for (int64_t c = 0; c < side * side; c++)
        begin[c + 1] += begin[c];
    qsort(p, (size_t)n, sizeof *p, by_cell);
    struct graph g = {.n = n};
    for (int64_t y = 0; y < side; y++)
        for (int64_t x = 0; x < side; x++) {
            const int64_t c = y * side + x;
            join_cells(&g, p, begin, c, c, r, both_ways);
            if (x + 1 < side)
                join_cells(&g, p, begin, c, c + 1, r, both_ways);
            for (int64_t d = -1; d <= 1 && y + 1 < side; d++)
                if (x + d >= 0 && x + d < side)
                    join_cells(&g, p, begin, c, c + side + d, r, both_ways);
        }
    free(p);
    free(begin);
    return g;
}

static void renumber(struct graph *g, const int64_t *id) {
    for (int64_t i = 0; i < g->pairs; i++) {
        g->from[i] = id[g->from[i]];
        g->to[i] = id[g->to[i]];
    }
}

void graph_shuffle(struct graph *g, uint64_t seed) {
    int64_t *id = malloc(((size_t)g->n + 1) * sizeof *id);
    if (id == NULL)
        abort();
    for (int64_t i = 0; i < g->n; i++) {
        const int64_t j = below(&seed, i + 1);
        id[i] = i;
        id[i] = id[j];
        id[j] = i;
    }
    renumber(g, id);
    for (int64_t i = g->pairs; i-- > 1;) {
        const int64_t j = below(&seed, i + 1), from = g->from[i], to = g->to[i];
        g->from[i] = g->from[j];
        g->to[i] = g->to[j];
        g->from[j] = from;
        g->to[j] = to;
    }
    free(id);
}

void graph_number_by_breadth(struct graph *g) {
    int64_t *begin = calloc((size_t)g->n + 2, sizeof *begin), *end = malloc((2 * (size_t)g->pairs + 1) * sizeof *end);
    int64_t *id = malloc(((size_t)g->n + 1) * sizeof *id), *queue = malloc(((size_t)g->n + 1) * sizeof *queue);
    if (begin == NULL || end == NULL || id == NULL || queue == NULL)
        abort();
    for (int64_t i = 0; i < g->pairs; i++) {
        begin[g->from[i] + 1]++;
        begin[g->to[i] + 1]++;
    }
    for (int64_t v = 0; v < g->n; v++)
        begin[v + 1] += begin[v];
    for (int64_t i = 0; i < g->pairs; i++) {
        end[begin[g->from[i]]++] = g->to[i];
        end[begin[g->to[i]]++] = g->from[i];
    }
    memmove(begin + 1, begin, (size_t)g->n * sizeof *begin);
    begin[0] = 0;
    memset(id, 0xff, (size_t)g->n * sizeof *id);
    int64_t queued = 0, next = 0;
    for (int64_t start = 0; start < g->n; start++) {
        if (id[start] >= 0)
            continue;
        id[start] = queued;
        queue[queued++] = start;
        for (; next < queued; next++)
            for (int64_t e = begin[queue[next]]; e < begin[queue[next] + 1]; e++)
                if (id[end[e]] < 0) {
                    id[end[e]] = queued;
                    queue[queued++] = end[e];
                }
    }
    renumber(g, id);
    free(begin);
    free(end);
    free(id);
    free(queue);
}
