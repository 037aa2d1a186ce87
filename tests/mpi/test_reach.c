/* Linear recursions on all ranks: pairs of random relations are strewn over the ranks, and what each rank has after the sort is
 * compared with its part of what a search from every source finds, or of what products of whole matrices give. A row that is lost,
 * doubled or out of place on any number of ranks fails. */
#include "all_ranks.h"

#include "../backend/graphs.h"

#include "comm/transport.h"
#include "core/box.h"
#include "exec/reach.h"

#include <stdlib.h>
#include <string.h>

static struct fuse_comm *comm;

static int64_t pick(uint64_t *state, int64_t n) {
    return (int64_t)(graph_random_bits(state) % (uint64_t)n);
}

/* The pairs that fall to this rank. */
static struct graph part_of(const struct graph *g, uint64_t seed) {
    struct graph part = {.n = g->n};
    for (int64_t i = 0; i < g->pairs; i++)
        if (pick(&seed, comm->size) == comm->rank)
            graph_add(&part, g->from[i], g->to[i]);
    return part;
}

/* All pairs in order, as x * columns + z. */
static int64_t *search(int64_t *found, const struct graph *base, int64_t rows, const struct graph *step) {
    const int64_t n = step->n;
    int64_t *all = malloc((size_t)(rows * n + 1) * sizeof *all), *queue = malloc((size_t)n * sizeof *queue), at = 0;
    unsigned char *seen = malloc((size_t)n);
    int64_t *begin = calloc((size_t)n + 2, sizeof *begin), *to = malloc(((size_t)step->pairs + 1) * sizeof *to);
    assert_all(all != NULL && queue != NULL && seen != NULL && begin != NULL && to != NULL);
    for (int64_t e = 0; e < step->pairs; e++)
        begin[step->from[e] + 2]++;
    for (int64_t v = 1; v <= n; v++)
        begin[v + 1] += begin[v];
    for (int64_t e = 0; e < step->pairs; e++)
        to[begin[step->from[e] + 1]++] = step->to[e];
    for (int64_t x = 0; x < rows; x++) {
        int64_t queued = 0;
        memset(seen, 0, (size_t)n);
        for (int64_t e = 0; e < base->pairs; e++)
            if (base->from[e] == x && !seen[base->to[e]]) {
                seen[base->to[e]] = 1;
                queue[queued++] = base->to[e];
            }
        for (int64_t next = 0; next < queued; next++)
            for (int64_t e = begin[queue[next]]; e < begin[queue[next] + 1]; e++)
                if (!seen[to[e]]) {
                    seen[to[e]] = 1;
                    queue[queued++] = to[e];
                }
        for (int64_t z = 0; z < n; z++)
            if (seen[z])
                all[at++] = x * n + z;
    }
    free(queue);
    free(seen);
    free(begin);
    free(to);
    *found = at;
    return all;
}

/* This rank's part, some pairs at a time, and then from random places. */
static bool reads_right(struct fuse_reach *reach, const int64_t *truth, int64_t columns, uint64_t seed) {
    int64_t x[50], z[50];
    const int64_t held = fuse_reach_held(reach), most = 1 + pick(&seed, 50);
    for (int64_t at = 0, some; at < held; at += some) {
        some = held - at < most ? held - at : most;
        fuse_reach_read(reach, at, some, x, z);
        for (int64_t i = 0; i < some; i++)
            if (x[i] * columns + z[i] != truth[at + i])
                return false;
    }
    for (int k = 0; k < 20 && held > 0; k++) {
        const int64_t at = pick(&seed, held), some = held - at < most ? held - at : most;
        fuse_reach_read(reach, at, some, x, z);
        for (int64_t i = 0; i < some; i++)
            if (x[i] * columns + z[i] != truth[at + i])
                return false;
    }
    return true;
}

/* Counted, sorted and read. */
static void check(struct fuse_reach *reach, const int64_t *truth, int64_t found, int64_t columns, uint64_t seed) {
    struct fuse_error err = {0};
    assert_all(fuse_reach_count(reach) == found);
    assert_all(fuse_reach_sort(reach, &err) == FUSE_OK);
    const int64_t begin = fuse_split_begin(found, comm->size, comm->rank);
    assert_all(fuse_reach_held(reach) == fuse_split_begin(found, comm->size, comm->rank + 1) - begin);
    assert_all(reads_right(reach, truth + begin, columns, seed));
}

static void solve(const struct graph *base, int64_t rows, const struct graph *step, uint64_t seed) {
    struct fuse_error err = {0};
    int64_t found;
    int64_t *truth = search(&found, base != NULL ? base : step, rows, step);
    struct graph own_base = {0}, own_step = part_of(step, seed);
    if (base != NULL)
        own_base = part_of(base, seed + 1);
    const struct fuse_reach_request request = {.comm = comm,
                                               .rows = rows,
                                               .columns = step->n,
                                               .base = {own_base.pairs, own_base.from, own_base.to},
                                               .step = {own_step.pairs, own_step.from, own_step.to},
                                               .base_is_step = base == NULL,
                                               .threads = 1 + (int)(seed % 2)};
    struct fuse_reach *reach = NULL;
    assert_all(fuse_reach_open(&reach, &request, &err) == FUSE_OK && reach != NULL);
    check(reach, truth, found, step->n, seed);
    fuse_reach_close(reach);
    graph_free(&own_base);
    graph_free(&own_step);
    free(truth);
}

static void small_relations(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 60; seed++) {
        uint64_t s = seed;
        const int64_t n = 1 + pick(&s, 60), rows = 1 + pick(&s, 60);
        struct graph step = graph_random(n, pick(&s, 90), graph_random_bits(&s)), base = {.n = n};
        for (int64_t i = pick(&s, 60); i > 0; i--) {
            const int64_t x = pick(&s, rows);
            graph_add(&base, x, pick(&s, n));
        }
        if (seed % 2)
            solve(NULL, n, &step, seed);
        else
            solve(&base, rows, &step, seed);
        graph_free(&step);
        graph_free(&base);
    }
}

/* Blocks for every rank, whose rows are bits, ids, and both. */
static void many_blocks(void **state) {
    (void)state;
    struct graph graphs[] = {graph_grid(60, 70), graph_tree(2, 12),   graph_random(4000, 5000, 3), graph_cycle(700),
                             graph_chain(3000),  graph_tree(2000, 1), graph_rmat(12, 6000, 3)};
    for (int i = 0; i < 7; i++) {
        graph_shuffle(&graphs[i], 11);
        solve(NULL, graphs[i].n, &graphs[i], (uint64_t)i);
        graph_free(&graphs[i]);
    }
}

/* Nodes of two and three ranks, nodes whose shared memory has only room for a counter, and none. */
static void nodes(void **state) {
    (void)state;
    static const struct {
        int ranks;
        size_t bytes;
    } limit[] = {{1, SIZE_MAX}, {2, SIZE_MAX}, {3, SIZE_MAX}, {0, 1000}, {2, 1000}, {0, 0}};
    struct graph g = graph_random(4000, 5000, 3), base = {.n = g.n};
    for (int64_t i = 0; i < 3000; i++)
        graph_add(&base, i * 7 % 2000, i * 13 % g.n);
    for (int i = 0; i < 6; i++) {
        fuse_comm_mpi_limit_windows(comm, limit[i].ranks, limit[i].bytes);
        solve(NULL, g.n, &g, (uint64_t)i);
        solve(&base, 2000, &g, (uint64_t)i);
    }
    fuse_comm_mpi_limit_windows(comm, 0, SIZE_MAX);
    graph_free(&g);
    graph_free(&base);
}

/* R += U R D until nothing changes, as matrices; all pairs in order, as x * columns + y. */
static int64_t *multiply(int64_t *found, const struct graph *base, int64_t rows, int64_t columns,
                         const struct graph *up, const struct graph *down) {
    unsigned char *r = calloc((size_t)(rows * columns), 1), *half = malloc((size_t)(rows * columns));
    int64_t *all = malloc((size_t)(rows * columns + 1) * sizeof *all), n = 0;
    assert_all(r != NULL && half != NULL && all != NULL);
    for (int64_t e = 0; e < base->pairs; e++)
        r[base->from[e] * columns + base->to[e]] = 1;
    for (bool changed = true; changed;) {
        changed = false;
        memset(half, 0, (size_t)(rows * columns));
        for (int64_t e = 0; e < up->pairs; e++)
            for (int64_t v = 0; v < columns; v++)
                half[up->from[e] * columns + v] |= r[up->to[e] * columns + v];
        for (int64_t x = 0; x < rows; x++)
            for (int64_t e = 0; e < down->pairs; e++)
                if (half[x * columns + down->from[e]] && !r[x * columns + down->to[e]])
                    r[x * columns + down->to[e]] = changed = true;
    }
    for (int64_t i = 0; i < rows * columns; i++)
        if (r[i])
            all[n++] = i;
    free(r);
    free(half);
    *found = n;
    return all;
}

static void solve_both_sides(const struct graph *base, int64_t rows, int64_t columns, const struct graph *up,
                             const struct graph *down, uint64_t seed) {
    struct fuse_error err = {0};
    struct fuse_reach *reach = NULL;
    struct graph own[] = {part_of(base, seed), part_of(up, seed + 1), part_of(down, seed + 2)};
    const struct fuse_reach_request request = {.comm = comm,
                                               .rows = rows,
                                               .columns = columns,
                                               .base = {own[0].pairs, own[0].from, own[0].to},
                                               .step = {own[1].pairs, own[1].from, own[1].to},
                                               .down = {own[2].pairs, own[2].from, own[2].to},
                                               .is_two_sided = true,
                                               .threads = 1};
    int64_t found;
    int64_t *truth = multiply(&found, base, rows, columns, up, down);
    assert_all(fuse_reach_open(&reach, &request, &err) == FUSE_OK && reach != NULL);
    check(reach, truth, found, columns, seed);
    fuse_reach_close(reach);
    free(truth);
    for (int k = 0; k < 3; k++)
        graph_free(&own[k]);
}

static void both_sides(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 40; seed++) {
        uint64_t s = seed;
        const int64_t rows = 1 + pick(&s, 90), columns = 1 + pick(&s, 150);
        struct graph up = graph_random(rows, pick(&s, 120), graph_random_bits(&s)),
                     down = graph_random(columns, pick(&s, 200), graph_random_bits(&s)), base = {.n = columns};
        for (int64_t i = pick(&s, 60); i > 0; i--) {
            const int64_t x = pick(&s, rows);
            graph_add(&base, x, pick(&s, columns));
        }
        solve_both_sides(&base, rows, columns, &up, &down, seed);
        graph_free(&up);
        graph_free(&down);
        graph_free(&base);
    }
}

/* Levels that are large enough to be dealt, with cycles and without, by ranks that share memory or find none. */
static void large_on_both_sides(void **state) {
    (void)state;
    static const struct {
        int ranks;
        size_t bytes;
    } limit[] = {{0, SIZE_MAX}, {1, SIZE_MAX}, {2, SIZE_MAX}, {0, 1000}};
    for (int i = 0; i < 8; i++) {
        struct graph down = graph_tree(2, 9), up = {.n = down.n}, base = {.n = down.n};
        graph_shuffle(&down, (uint64_t)i);
        for (int64_t e = 0; e < down.pairs; e++)
            graph_add(&up, down.to[e], down.from[e]);
        for (int64_t k = 0; k < 5; k++) {
            graph_add(&base, 100 * k, 70 * k);
            if (i >= 4) /* who is below the second one is above the first */
                graph_add(&up, 31 * k, 17 * k + 3);
        }
        fuse_comm_mpi_limit_windows(comm, limit[i % 4].ranks, limit[i % 4].bytes);
        solve_both_sides(&base, down.n, down.n, &up, &down, (uint64_t)i);
        graph_free(&up);
        graph_free(&down);
        graph_free(&base);
    }
    fuse_comm_mpi_limit_windows(comm, 0, SIZE_MAX);
}

/* Bits for pairs that there may hardly be any of are not the smallest form: not for a million ids, nor beyond what is allowed. */
static void few_on_both_sides(void **state) {
    (void)state;
    struct graph g = graph_chain(100), own = part_of(&g, 1);
    const struct fuse_reach_pairs pairs = {own.pairs, own.from, own.to};
    static const int64_t extent[] = {1000000, 2000, (int64_t)1 << 40};
    for (int i = 0; i < 3; i++) {
        struct fuse_error err = {0};
        const struct fuse_reach_request request = {.comm = comm,
                                                   .rows = extent[i],
                                                   .columns = extent[i],
                                                   .base = pairs,
                                                   .step = pairs,
                                                   .down = pairs,
                                                   .is_two_sided = true,
                                                   .bits_bytes = i == 1 ? 100000 : 0,
                                                   .threads = 1};
        struct fuse_reach *reach = (struct fuse_reach *)&g;
        assert_all(fuse_reach_open(&reach, &request, &err) == FUSE_OK && reach == NULL && err.status == FUSE_OK);
    }
    graph_free(&g);
    graph_free(&own);
}

/* With too little memory there is no answer, and no failure; what was reported stays within the limit. */
static void memory(void **state) {
    (void)state;
    struct graph g = graph_chain(6000), own = part_of(&g, 1);
    struct fuse_reach_request request = {.comm = comm,
                                         .rows = g.n,
                                         .columns = g.n,
                                         .step = {own.pairs, own.from, own.to},
                                         .base_is_step = true,
                                         .threads = 1};
    static const int64_t little[] = {1000, 500000, 3500000};
    for (int i = 0; i < 3; i++) {
        struct fuse_error err = {0};
        struct fuse_reach *reach = (struct fuse_reach *)&request;
        /* Only one rank has little. */
        request.memory_bytes = comm->rank == comm->size - 1 ? little[i] : 0;
        if (i == 2)
            request.memory_bytes = little[i];
        if (i == 2 && comm->size > 1)
            break; /* its blocks fit */
        assert_all(fuse_reach_open(&reach, &request, &err) == FUSE_OK && reach == NULL);
        assert_all(err.status == FUSE_OK);
    }
    struct fuse_error err = {0};
    struct fuse_reach *reach;
    request.memory_bytes = 64 << 20;
    assert_all(fuse_reach_open(&reach, &request, &err) == FUSE_OK && reach != NULL);
    assert_all(fuse_reach_sort(reach, &err) == FUSE_OK);
    assert_all(fuse_reach_bytes(reach) <= request.memory_bytes);
    fuse_reach_close(reach);
    request.rows = request.columns = (int64_t)1 << 40;
    assert_all(fuse_reach_open(&reach, &request, &err) == FUSE_OK && reach == NULL);
    graph_free(&g);
    graph_free(&own);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_relations), cmocka_unit_test(many_blocks),         cmocka_unit_test(nodes),
        cmocka_unit_test(both_sides),      cmocka_unit_test(large_on_both_sides), cmocka_unit_test(few_on_both_sides),
        cmocka_unit_test(memory)};
    struct fuse_error err = {0};
    if (fuse_comm_open_mpi(&comm, &err) != FUSE_OK)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    comm->ops->close(comm);
    fuse_comm_finalize_mpi();
    return failed;
}
