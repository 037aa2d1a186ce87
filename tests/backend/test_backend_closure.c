/* Closures against a breadth-first search from every source, on thousands of random graphs: with cycles, self loops, duplicates
 * and isolated vertices, a base apart from the step, some of the sources only, and in each instruction set that the processor
 * has; and against closed forms where blocks are many. A pair too many or too few, in a wrong place, or counted wrong, fails. */
#include "graphs.h"

#include "backend/closure.h"
#include "backend/closure_internal.h"
#include "backend/two_sided.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *isas[3];
static int isa_count;

static int find_isas(void **state) {
    static const char *const all[] = {"baseline", "avx2", "avx512"};
    (void)state;
    for (int i = 0; i < 3; i++)
        if (fuse_closure_choose(all[i]) != NULL)
            isas[isa_count++] = all[i];
    return 0;
}

static int64_t pick(uint64_t *state, int64_t n) {
    return (int64_t)(graph_random_bits(state) % (uint64_t)n);
}

/* What is asked, and the answer: a byte for each pair. */
struct problem {
    struct graph base, step;
    int64_t rows; /* of the base; with `same` the step is the base, too */
    bool same;
    uint32_t *source; /* NULL: all */
    int64_t sources;
    unsigned char *truth;
};

static void search(unsigned char *seen, int64_t *queue, const struct problem *p, int64_t x) {
    const struct graph *base = p->same ? &p->step : &p->base;
    int64_t queued = 0;
    for (int64_t e = 0; e < base->pairs; e++)
        if (base->from[e] == x && !seen[base->to[e]]) {
            seen[base->to[e]] = 1;
            queue[queued++] = base->to[e];
        }
    for (int64_t next = 0; next < queued; next++)
        for (int64_t e = 0; e < p->step.pairs; e++)
            if (p->step.from[e] == queue[next] && !seen[p->step.to[e]]) {
                seen[p->step.to[e]] = 1;
                queue[queued++] = p->step.to[e];
            }
}

static struct problem make_problem(uint64_t seed, int64_t most_n, int64_t most_pairs) {
    uint64_t state = seed;
    struct problem p = {.same = pick(&state, 2) == 0};
    const int64_t n = 1 + pick(&state, most_n);
    p.step = graph_random(n, pick(&state, most_pairs), graph_random_bits(&state));
    p.rows = p.same ? n : 1 + pick(&state, most_n);
    p.base = (struct graph){.n = n};
    for (int64_t i = pick(&state, most_pairs); !p.same && i > 0; i--) {
        const int64_t x = pick(&state, p.rows);
        graph_add(&p.base, x, pick(&state, n));
    }
    p.truth = calloc((size_t)(p.rows * n), 1);
    int64_t *queue = malloc((size_t)n * sizeof *queue);
    assert_non_null(p.truth);
    assert_non_null(queue);
    if (pick(&state, 3) == 0) {
        p.source = malloc((size_t)p.rows * sizeof *p.source);
        assert_non_null(p.source);
        for (int64_t x = 0; x < p.rows; x++)
            if (pick(&state, 3) == 0)
                p.source[p.sources++] = (uint32_t)x;
    }
    for (int64_t x = 0, i = 0; x < p.rows; x++) {
        if (p.source != NULL && (i == p.sources || p.source[i] != x))
            continue;
        i++;
        search(p.truth + x * n, queue, &p, x);
    }
    free(queue);
    return p;
}

static void free_problem(struct problem *p) {
    graph_free(&p->base);
    graph_free(&p->step);
    free(p->source);
    free(p->truth);
}

struct answer {
    struct fuse_adjacency base, step;
    struct fuse_closure *closure;
};

static void open_answer(struct answer *a, const struct problem *p) {
    struct fuse_error err = {0};
    const int64_t n = p->step.n;
    assert_int_equal(fuse_adjacency_open(&a->step, n, n, p->step.pairs, p->step.from, p->step.to, &err), FUSE_OK);
    assert_int_equal(fuse_adjacency_open(&a->base, p->rows, n, p->base.pairs, p->base.from, p->base.to, &err), FUSE_OK);
    const struct fuse_closure_question q = {
        .step = &a->step, .base = p->same ? NULL : &a->base, .source = p->source, .sources = p->sources};
    assert_int_equal(fuse_closure_open(&a->closure, &q, &err), FUSE_OK);
}

static void close_answer(struct answer *a) {
    fuse_closure_close(a->closure);
    fuse_adjacency_close(&a->base);
    fuse_adjacency_close(&a->step);
}

/* All pairs in order, taken `most` at a time. */
static void check_cursor(const struct problem *p, const struct fuse_closure_result *r, int64_t most) {
    struct fuse_closure_cursor cursor = {.result = r, .last_x = p->rows};
    int64_t x[64], z[64], at = 0, got;
    const int64_t n = p->step.n, cells = p->rows * n;
    while ((got = fuse_closure_next(&cursor, x, z, most)) > 0)
        for (int64_t i = 0; i < got; i++, at++) {
            while (at < cells && !p->truth[at])
                at++;
            assert_int_equal(x[i] * n + z[i], at);
        }
    while (at < cells)
        assert_int_equal(p->truth[at++], 0);
}

/* What is behind the first few ids of a row. */
static void check_skips(const struct problem *p, const struct fuse_closure *closure,
                        const struct fuse_closure_result *r) {
    int64_t all[64], rest[64];
    for (int64_t x = 0; x < p->rows; x += 1 + x / 8) {
        const int64_t class = fuse_closure_class_of(closure, x);
        if (class < 0)
            continue;
        const struct fuse_closure_row row = fuse_closure_row_of_class(r, class);
        uint64_t at = 0;
        const int64_t n = fuse_closure_row_read(all, &at, row, fuse_closure_row_words(closure), 64);
        for (int64_t skipped = 0; skipped <= n; skipped++) {
            fuse_closure_row_skip(&at, row, fuse_closure_row_words(closure), skipped);
            const int64_t got = fuse_closure_row_read(rest, &at, row, fuse_closure_row_words(closure), 64 - skipped);
            assert_int_equal(got, n - skipped);
            if (got > 0)
                assert_memory_equal(rest, all + skipped, (size_t)got * sizeof *rest);
        }
    }
}

static void check(const struct problem *p, const struct fuse_closure *closure, const struct fuse_closure_result *r) {
    const int64_t n = p->step.n;
    int64_t count = 0;
    for (int64_t x = 0; x < p->rows; x++) {
        int64_t row = 0;
        for (int64_t z = 0; z < n; z++) {
            assert_int_equal(fuse_closure_has(r, x, z), p->truth[x * n + z]);
            row += p->truth[x * n + z];
        }
        assert_int_equal(fuse_closure_row_count(r, x), row);
        count += row;
    }
    assert_int_equal(fuse_closure_count(r), count);
    check_skips(p, closure, r);
    check_cursor(p, r, 64);
    check_cursor(p, r, 1 + count % 7);
}

static void solve(const struct problem *p, const struct fuse_closure *closure, const char *isa, int threads) {
    struct fuse_error err = {0};
    struct fuse_closure_options options = {.threads = threads, .isa = isa};
    for (int counting = 0; counting < 2; counting++) {
        options.count_only = counting;
        struct fuse_closure_result *r;
        assert_int_equal(fuse_closure_result_open(&r, closure, &options, &err), FUSE_OK);
        const int64_t blocks = fuse_closure_blocks(closure);
        assert_int_equal(fuse_closure_compute(r, 1, blocks, 2, &err), FUSE_OK);
        assert_int_equal(fuse_closure_compute(r, 0, blocks, 2, &err), FUSE_OK);
        fuse_closure_result_finish(r);
        if (!counting)
            check(p, closure, r);
        else {
            int64_t count = 0;
            for (int64_t i = 0; i < p->rows * p->step.n; i++)
                count += p->truth[i];
            assert_int_equal(fuse_closure_count(r), count);
        }
        assert_true(fuse_closure_result_bytes(r) <=
                    fuse_closure_most_bytes(closure) + fuse_closure_thread_bytes(closure) * (size_t)threads + 4096);
        fuse_closure_result_close(r);
    }
}

static void run_problems(int64_t many, int64_t most_n, int64_t most_pairs) {
    for (int64_t seed = 0; seed < many; seed++) {
        struct problem p = make_problem((uint64_t)seed, most_n, most_pairs);
        struct answer a;
        open_answer(&a, &p);
        solve(&p, a.closure, isas[seed % isa_count], 1 + (int)(seed / isa_count % 2));
        close_answer(&a);
        free_problem(&p);
    }
}

static void small_graphs(void **state) {
    (void)state;
    run_problems(4000, 24, 40);
}

static void middling_graphs(void **state) {
    (void)state;
    run_problems(60, 200, 260);
}

/* More than one block, rows of bits and of ids, extents that are no multiples of anything. */
static void blocks_of_all_kinds(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 6; seed++) {
        struct problem p = make_problem(1000 + seed, 1300, 1700);
        struct answer a;
        open_answer(&a, &p);
        for (int i = 0; i < isa_count; i++)
            solve(&p, a.closure, isas[i], 2);
        close_answer(&a);
        free_problem(&p);
    }
}

static int64_t count_of(struct graph g, const char *isa, bool keep) {
    struct fuse_error err = {0};
    struct fuse_adjacency step;
    struct fuse_closure *c;
    struct fuse_closure_result *r;
    const struct fuse_closure_options options = {.threads = 2, .isa = isa, .count_only = !keep};
    assert_int_equal(fuse_adjacency_open(&step, g.n, g.n, g.pairs, g.from, g.to, &err), FUSE_OK);
    assert_int_equal(fuse_closure_open(&c, &(struct fuse_closure_question){.step = &step}, &err), FUSE_OK);
    assert_int_equal(fuse_closure_result_open(&r, c, &options, &err), FUSE_OK);
    assert_int_equal(fuse_closure_compute(r, 0, fuse_closure_blocks(c), 1, &err), FUSE_OK);
    const int64_t count = fuse_closure_count(r);
    int64_t rows = 0;
    for (int64_t x = 0; x < g.n && keep; x++)
        rows += fuse_closure_row_count(r, x);
    assert_int_equal(rows, keep ? count : 0);
    fuse_closure_result_close(r);
    fuse_closure_close(c);
    fuse_adjacency_close(&step);
    graph_free(&g);
    return count;
}

static void closed_forms(void **state) {
    (void)state;
    for (int i = 0; i < isa_count; i++)
        for (int keep = 0; keep < 2; keep++) {
            struct graph grid = graph_grid(40, 30);
            graph_shuffle(&grid, 3);
            assert_int_equal(count_of(graph_chain(3000), isas[i], keep), 3000 * 2999 / 2);
            assert_int_equal(count_of(graph_cycle(3000), isas[i], keep), 3000 * 3000);
            assert_int_equal(count_of(grid, isas[i], keep), 40 * 41 / 2 * (30 * 31 / 2) - 1200);
            /* Every vertex of depth d has d ancestors. */
            assert_int_equal(count_of(graph_tree(3, 7), isas[i], keep),
                             3 + 2 * 9 + 3 * 27 + 4 * 81 + 5 * 243 + 6 * 729 + 7 * 2187);
            assert_int_equal(count_of(graph_tree(5000, 1), isas[i], keep), 5000);
        }
}

static void nothing(void **state) {
    (void)state;
    struct graph empty = {.n = 0}, edgeless = {.n = 1000};
    assert_int_equal(count_of(empty, NULL, true), 0);
    assert_int_equal(count_of(edgeless, NULL, true), 0);
}

/* A budget is kept to: with what the closure says that it takes at most everything fits; with less memory than the result needs
 * it ends in MEMORY, and what was reported as used stays within. */
static void budgets(void **state) {
    (void)state;
    struct fuse_error err = {0};
    struct graph g = graph_chain(5000);
    struct fuse_adjacency step;
    struct fuse_closure *c;
    struct fuse_closure_result *r;
    assert_int_equal(fuse_adjacency_open(&step, g.n, g.n, g.pairs, g.from, g.to, &err), FUSE_OK);
    assert_int_equal(fuse_closure_open(&c, &(struct fuse_closure_question){.step = &step}, &err), FUSE_OK);
    const size_t thread = fuse_closure_thread_bytes(c), most = fuse_closure_most_bytes(c);
    struct fuse_closure_options options = {.threads = 8, .budget_bytes = thread + most + 4096};
    assert_int_equal(fuse_closure_result_open(&r, c, &options, &err), FUSE_OK);
    assert_int_equal(fuse_closure_compute(r, 0, fuse_closure_blocks(c), 1, &err), FUSE_OK);
    assert_true(fuse_closure_result_bytes(r) <= options.budget_bytes);
    fuse_closure_result_close(r);

    options.budget_bytes = thread + 1500000;
    assert_int_equal(fuse_closure_result_open(&r, c, &options, &err), FUSE_OK);
    assert_int_equal(fuse_closure_compute(r, 0, fuse_closure_blocks(c), 1, &err), FUSE_EMEMORY);
    assert_true(fuse_closure_result_bytes(r) <= options.budget_bytes);
    fuse_closure_result_close(r);

    err = (struct fuse_error){0};
    options.budget_bytes = 1000;
    assert_int_equal(fuse_closure_result_open(&r, c, &options, &err), FUSE_EMEMORY);
    fuse_closure_close(c);
    fuse_adjacency_close(&step);
    graph_free(&g);
}

/* What cannot be is refused, and not computed. */
static void misuse(void **state) {
    (void)state;
    struct fuse_error err = {0};
    struct graph g = graph_chain(10);
    struct fuse_adjacency step, wide;
    struct fuse_closure *c;
    const uint32_t unsorted[] = {3, 2}, outside[] = {3, 10};
    assert_int_equal(fuse_adjacency_open(&step, 9, 10, g.pairs, g.to, g.from, &err), FUSE_EBUG);
    err = (struct fuse_error){0};
    assert_int_equal(fuse_adjacency_open(&step, 10, 10, g.pairs, g.from, g.to, &err), FUSE_OK);
    assert_int_equal(fuse_adjacency_open(&wide, 10, 11, g.pairs, g.from, g.to, &err), FUSE_OK);
    const struct fuse_closure_question wrong[] = {{.step = &wide},
                                                  {.step = &step, .base = &wide},
                                                  {.step = &step, .source = unsorted, .sources = 2},
                                                  {.step = &step, .source = outside, .sources = 2}};
    for (int i = 0; i < 4; i++) {
        err = (struct fuse_error){0};
        assert_int_equal(fuse_closure_open(&c, &wrong[i], &err), FUSE_EBUG);
    }
    fuse_adjacency_close(&step);
    fuse_adjacency_close(&wide);
    graph_free(&g);
}

/* R by applying the rule to everything until nothing changes. */
static void apply_both_sides(unsigned char *truth, const struct graph *base, const struct graph *up,
                             const struct graph *down) {
    const int64_t n = down->n;
    for (int64_t i = 0; i < base->pairs; i++)
        truth[base->from[i] * n + base->to[i]] = 1;
    for (bool changed = true; changed;) {
        changed = false;
        for (int64_t i = 0; i < up->pairs; i++)
            for (int64_t j = 0; j < down->pairs; j++)
                if (truth[up->to[i] * n + down->from[j]] && !truth[up->from[i] * n + down->to[j]]) {
                    truth[up->from[i] * n + down->to[j]] = 1;
                    changed = true;
                }
    }
}

static void solve_both_sides(struct fuse_two_sided *r, const struct graph *base, const struct graph *up,
                             const struct graph *down) {
    struct fuse_error err = {0};
    struct fuse_adjacency a[3];
    assert_int_equal(fuse_adjacency_open(&a[0], up->n, down->n, base->pairs, base->from, base->to, &err), FUSE_OK);
    assert_int_equal(fuse_adjacency_open(&a[1], up->n, up->n, up->pairs, up->from, up->to, &err), FUSE_OK);
    assert_int_equal(fuse_adjacency_open(&a[2], down->n, down->n, down->pairs, down->from, down->to, &err), FUSE_OK);
    const struct fuse_two_sided_question q = {.base = &a[0], .up = &a[1], .down = &a[2]};
    assert_int_equal(fuse_two_sided_open(r, &q, fuse_two_sided_bytes(&q), &err), FUSE_OK);
    assert_true(r->bytes <= fuse_two_sided_bytes(&q));
    struct fuse_two_sided none;
    assert_int_equal(fuse_two_sided_open(&none, &q, 1, &err), FUSE_EMEMORY);
    for (int i = 0; i < 3; i++)
        fuse_adjacency_close(&a[i]);
}

static void both_sides(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 2000; seed++) {
        uint64_t s = seed;
        const int64_t rows = 1 + pick(&s, seed % 10 ? 12 : 90), columns = 1 + pick(&s, seed % 10 ? 12 : 90);
        struct graph up = graph_random(rows, pick(&s, 2 * rows), graph_random_bits(&s));
        struct graph down = graph_random(columns, pick(&s, 2 * columns), graph_random_bits(&s)), base = {0};
        for (int64_t i = pick(&s, 6); i >= 0; i--) {
            const int64_t x = pick(&s, rows);
            graph_add(&base, x, pick(&s, columns));
        }
        unsigned char *truth = calloc((size_t)(rows * columns), 1);
        assert_non_null(truth);
        apply_both_sides(truth, &base, &up, &down);
        struct fuse_two_sided r;
        solve_both_sides(&r, &base, &up, &down);
        int64_t count = 0;
        for (int64_t i = 0; i < rows * columns; i++) {
            assert_int_equal(fuse_two_sided_has(&r, i / columns, i % columns), truth[i]);
            count += truth[i];
        }
        assert_int_equal(r.count, count);
        fuse_two_sided_close(&r);
        free(truth);
        graph_free(&up);
        graph_free(&down);
        graph_free(&base);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_graphs), cmocka_unit_test(middling_graphs), cmocka_unit_test(blocks_of_all_kinds),
        cmocka_unit_test(closed_forms), cmocka_unit_test(nothing),         cmocka_unit_test(budgets),
        cmocka_unit_test(misuse),       cmocka_unit_test(both_sides),
    };
    return cmocka_run_group_tests(tests, find_isas, NULL);
}
