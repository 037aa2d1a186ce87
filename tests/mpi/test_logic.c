/* Rules against an oracle that tries every assignment of ids to variables, turn by turn, on random rule sets; closures of graphs
 * against closed forms.
 *
 * What would make these fail: a tuple too many, missing or on two ranks, another value, another stage, tuples out of order, an
 * answer that depends on the number of ranks, on the order of a body or on a sub-goal that says nothing new. */
#include "all_ranks.h"
#include "comm/comm.h"
#include "exec/logic.h"
#include "rule_oracle.h"
#include "rule_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct fuse_comm *comm;

/* ---- the engine ---- */

static void give(struct fuse_logic *logic, const struct fuse_rules *rules, int relation, const struct cells *given) {
    struct fuse_error err = {0};
    const struct fuse_rule_relation *r = &rules->relation[relation];
    for (int cell = 0; cell < cells_of(r); cell++) {
        int64_t id[FUSE_MAX_AXES], rest = cell, integer = (int64_t)given->value[cell];
        struct fuse_logic_rows rows = {.n = 1};
        /* Facts may come more than once, on any rank. */
        bool mine = draw(comm->size) == comm->rank || (r->dtype == FUSE_BOOL && draw(4) == 0);
        if (!given->has[cell])
            continue;
        if (r->dtype != FUSE_BOOL)
            mine = cell % comm->size == comm->rank;
        else if (cell % comm->size == comm->rank)
            mine = true;
        if (!mine)
            continue;
        for (int c = r->columns - 1; c >= 0; c--) {
            id[c] = rest % r->extent[c];
            rest /= r->extent[c];
            rows.id[c] = &id[c];
        }
        rows.value = r->dtype == FUSE_I64 ? (const void *)&integer : &given->value[cell];
        if (fuse_logic_add(logic, relation, &rows, &err) != FUSE_OK)
            abort();
    }
}

/* How many of this rank's tuples, or of their places, are not the oracle's. */
static int differences(struct fuse_logic *logic, const struct fuse_rules *rules, int relation,
                       const struct cells *cells, bool stages) {
    struct fuse_error err = {0};
    const struct fuse_rule_relation *r = &rules->relation[relation];
    int64_t count, all = 0, at = 0, id[FUSE_MAX_AXES], *out[FUSE_MAX_AXES], stage;
    union fuse_scalar_value value;
    int bad = 0;
    for (int c = 0; c < r->columns; c++)
        out[c] = &id[c];
    for (int c = 0; c < cells_of(r); c++)
        all += cells->has[c];
    if (fuse_logic_sort(logic, relation, &err) != FUSE_OK || fuse_logic_count(&count, logic, relation, &err) != FUSE_OK)
        return 1;
    const int64_t begin = fuse_split_begin(all, comm->size, comm->rank),
                  end = fuse_split_begin(all, comm->size, comm->rank + 1);
    if (count != all || fuse_logic_held(logic, relation) != end - begin)
        return 1;
    for (int cell = 0; cell < cells_of(r); cell++) {
        if (!cells->has[cell])
            continue;
        if (at >= begin && at < end) {
            int64_t found = 0;
            fuse_logic_read(logic, relation, at - begin, 1, out, &value, &stage);
            for (int c = 0; c < r->columns; c++)
                found = found * r->extent[c] + id[c];
            bad += found != cell;
            if (r->dtype != FUSE_BOOL)
                bad += (r->dtype == FUSE_I64 ? (double)value.integer : value.real) != cells->value[cell];
            if (stages)
                bad += stage != cells->stage[cell];
        }
        at++;
    }
    return bad;
}

/* turns < 0: closures need not take turns, and how many there are does not matter. */
static int differ(const struct fuse_rules *rules, const struct cells *given, const struct cells *cells, int turns,
                  bool is_naive, bool stages) {
    struct fuse_error err = {0};
    struct fuse_logic *logic;
    struct fuse_logic_report report;
    struct fuse_logic_request request = {
        .rules = rules, .comm = comm, .is_naive = is_naive, .keeps_stages = stages, .max_turns = 1000};
    static const int64_t copied[] = {-1, 0, 100};
    request.copied_bytes = copied[draw(3)];
    request.looked_at_above = draw(2) ? 1 + draw(20) : 0;
    request.takes_turns = turns >= 0;
    int bad = 0;
    if (fuse_logic_open(&logic, &request, &err) != FUSE_OK)
        abort();
    for (int r = 0; r < rules->relations; r++)
        give(logic, rules, r, &given[r]);
    if (fuse_logic_run(logic, &report, &err) != FUSE_OK) {
        print_error("%s\n", err.message);
        bad = 1;
    } else {
        if (turns >= 0 && report.turns != turns)
            print_error("%d turns, not %d\n", (int)report.turns, turns);
        bad += turns >= 0 && report.turns != turns;
        for (int r = 0; r < rules->relations; r++) {
            int here = differences(logic, rules, r, &cells[r], stages);
            if (here)
                print_error("R%d: %d differences on rank %d\n", r, here, comm->rank);
            bad += here;
        }
    }
    fuse_logic_close(logic);
    return bad;
}

/* ---- random rule sets ---- */

static int programs;

static void test_random_rules(void **state) {
    (void)state;
    struct cells *memory = calloc(2 * DRAWN_RELATIONS, sizeof *memory);
    for (int k = 0; k < programs; k++) {
        start_drawing((uint64_t)(k + 10000 * comm->size));
        struct fuse_arena *arena = fuse_arena_open(NULL);
        struct cells *cells = memory, *given = memory + DRAWN_RELATIONS;
        memset(memory, 0, 2 * DRAWN_RELATIONS * sizeof *memory);
        const char *text = draw_rules(arena);
        const struct fuse_rules *rules = rules_of_text(arena, text);
        draw_given(rules, given);
        int turns = run_oracle(rules, cells, given);
        int bad = differ(rules, given, cells, turns, k % 5 == 0, k % 3 == 0);
        if (bad > 0)
            print_error("rule set %d on rank %d: %d differences\n%s", k, comm->rank, bad, text);
        assert_all(bad == 0);
        fuse_arena_close(arena);
    }
    free(memory);
}

/* ---- closures of graphs ---- */

enum { VERTICES = 144 };

struct graph {
    int n, edges;
    int from[4 * VERTICES], to[4 * VERTICES];
};

static bool reached[VERTICES][VERTICES];

static void link_vertices(struct graph *g, int a, int b) {
    g->from[g->edges] = a;
    g->to[g->edges++] = b;
}

/* From each vertex along edges, at least one. */
static void reach(const struct graph *g) {
    memset(reached, 0, sizeof reached);
    for (int x = 0; x < g->n; x++) {
        int wave[VERTICES], waiting = 1;
        wave[0] = x;
        while (waiting > 0) {
            int at = wave[--waiting];
            for (int e = 0; e < g->edges; e++)
                if (g->from[e] == at && !reached[x][g->to[e]]) {
                    reached[x][g->to[e]] = true;
                    wave[waiting++] = g->to[e];
                }
        }
    }
}

static int64_t reached_pairs(const struct graph *g) {
    int64_t n = 0;
    for (int x = 0; x < g->n; x++)
        for (int y = 0; y < g->n; y++)
            n += reached[x][y];
    return n;
}

/* The same relation in other words: other sides, orders of the body, sub-goals that say nothing new. */
static const char *const closures[] = {
    "R(x,y) = E(x,y)\nR(x,z) = R(x,y) E(y,z)\n",
    "R(x,y) = E(x,y)\nR(x,z) = E(x,y) R(y,z)\n",
    "R(x,y) = E(x,y)\nR(x,z) = R(x,y) R(y,z)\n",
    "R(x,y) = E(x,y)\nR(x,z) = R(y,z) E(w,z) R(x,y)\n",
    "R(x,y) = E(x,y) E(x,w)\nR(x,z) = R(x,u) E(y,z) R(x,y) E(y,v)\n",
    "R(x,y) = E(x,y)\nS(x,y) = R(x,y)\nR(x,z) = E(y,z) S(x,y)\nR(x,z) = E(y,z) S(x,y)\n",
    "R(x,y) = E(x,y)\nR(x,z) = R(x,y) E(y,w) E(w,z)\nR(x,z) = E(x,y) E(y,z)\nR(x,z) = R(x,y) R(y,w) R(w,z)\n",
};

static int closure_differs(const struct graph *g, const char *text) {
    struct fuse_error err = {0};
    struct fuse_logic *logic;
    struct fuse_logic_report report;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    const struct fuse_rules *rules =
        rules_of_text(arena, fuse_arena_printf(arena, "rel E bool -1 %d %d\nrel R bool 0 %d %d\nrel S bool 0 %d %d\n%s",
                                               g->n, g->n, g->n, g->n, g->n, g->n, text));
    struct fuse_logic_request request = {.rules = rules, .comm = comm};
    int64_t count, begin, at = 0, a, b, *out[] = {&a, &b};
    int bad = 0;
    if (fuse_logic_open(&logic, &request, &err) != FUSE_OK)
        abort();
    for (int e = comm->rank; e < g->edges; e += comm->size) {
        int64_t x = g->from[e], y = g->to[e];
        struct fuse_logic_rows rows = {.n = 1, .id = {&x, &y}};
        if (fuse_logic_add(logic, 0, &rows, &err) != FUSE_OK)
            abort();
    }
    if (fuse_logic_run(logic, &report, &err) != FUSE_OK || fuse_logic_count(&count, logic, 1, &err) != FUSE_OK ||
        fuse_logic_sort(logic, 1, &err) != FUSE_OK)
        return 1;
    bad = count != reached_pairs(g);
    begin = fuse_split_begin(count, comm->size, comm->rank);
    for (int x = 0; x < g->n && bad == 0; x++)
        for (int y = 0; y < g->n; y++)
            if (reached[x][y]) {
                if (at >= begin && at - begin < fuse_logic_held(logic, 1)) {
                    fuse_logic_read(logic, 1, at - begin, 1, out, NULL, NULL);
                    bad += a != x || b != y;
                }
                at++;
            }
    fuse_logic_close(logic);
    fuse_arena_close(arena);
    return bad;
}

static void check_closures(const struct graph *g, int64_t pairs) {
    reach(g);
    if (pairs >= 0)
        assert_all(reached_pairs(g) == pairs);
    for (size_t k = 0; k < sizeof closures / sizeof *closures; k++) {
        if (comm->size > 1 && (int)k % comm->size != comm->size % 3)
            continue; /* messages take their time */
        int bad = closure_differs(g, closures[k]);
        if (bad)
            print_error("rank %d: %s", comm->rank, closures[k]);
        assert_all(bad == 0);
    }
}

static void test_closures(void **state) {
    (void)state;
    struct graph g = {.n = 60};
    for (int v = 0; v + 1 < g.n; v++)
        link_vertices(&g, v, v + 1);
    check_closures(&g, 60 * 59 / 2);
    link_vertices(&g, g.n - 1, 0);
    check_closures(&g, 60 * 60);
    g = (struct graph){.n = 144};
    for (int v = 0; v < g.n; v++) { /* grid of 12 by 12 */
        if (v % 12 < 11)
            link_vertices(&g, v, v + 1);
        if (v < 132)
            link_vertices(&g, v, v + 12);
    }
    check_closures(&g, 78 * 78 - 144);
    g = (struct graph){.n = 121};
    int64_t pairs = 0;
    for (int v = 1; v < g.n; v++) { /* ternary tree: a pair for each vertex and each of its ancestors */
        link_vertices(&g, (v - 1) / 3, v);
        for (int up = v; up > 0; up = (up - 1) / 3)
            pairs++;
    }
    check_closures(&g, pairs);
    start_drawing(0);
    for (int kind = 0; kind < 2; kind++) { /* uniform and R-MAT: a few vertices have most edges */
        g = (struct graph){.n = 128};
        for (int e = 0; e < 200; e++) {
            int a = (int)draw(128), b = (int)draw(128);
            for (int k = 0; kind == 1 && k < 7; k++) {
                int quarter = (int)draw(100);
                a = a >> 1 | (quarter >= 76 ? 64 : 0);
                b = b >> 1 | ((quarter >= 57 && quarter < 76) || quarter >= 95 ? 64 : 0);
            }
            link_vertices(&g, a, b);
        }
        check_closures(&g, -1);
    }
}

/* ---- ends ---- */

static enum fuse_status status_of(const char *text, int64_t n, struct fuse_logic_request request,
                                  struct fuse_error *err) {
    struct fuse_logic *logic;
    struct fuse_logic_report report;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_error ignored = {0};
    request.rules = rules_of_text(arena, text);
    request.comm = comm;
    *err = (struct fuse_error){0};
    if (fuse_logic_open(&logic, &request, &ignored) != FUSE_OK)
        abort();
    for (int64_t x = comm->rank; x < n; x += comm->size) {
        int64_t y = (x + 1) % n;
        struct fuse_logic_rows rows = {.n = 1, .id = {&x, &y}};
        if (fuse_logic_add(logic, 0, &rows, &ignored) != FUSE_OK)
            abort();
    }
    enum fuse_status status = fuse_logic_run(logic, &report, err);
    fuse_logic_close(logic);
    fuse_arena_close(arena);
    return status;
}

/* Andersen's analysis: parts of its rules are on every rank, unless they are too large, and then from some turn on they are not. */
static void test_points_to(void **state) {
    (void)state;
    struct cells *memory = calloc(10, sizeof *memory);
    for (int k = 0; k < 24; k++) {
        start_drawing((uint64_t)k + 1000000);
        struct fuse_arena *arena = fuse_arena_open(NULL);
        const int n = 4 + (int)draw(9);
        const struct fuse_rules *rules = rules_of_text(
            arena,
            fuse_arena_printf(arena,
                              "rel A bool -1 %d %d\nrel S bool -1 %d %d\nrel L bool -1 %d %d\n"
                              "rel T bool -1 %d %d\nrel P bool 0 %d %d\nP(y,x) = A(y,x)\nP(y,x) = S(y,z) P(z,x)\n"
                              "P(y,w) = L(y,x) P(x,z) P(z,w)\nP(z,w) = T(y,x) P(y,z) P(x,w)\n",
                              n, n, n, n, n, n, n, n, n, n));
        memset(memory, 0, 10 * sizeof *memory);
        for (int r = 0; r < 4; r++)
            for (int cell = 0; cell < n * n; cell++)
                memory[r].has[cell] = draw(n) == 0;
        const int turns = run_oracle(rules, memory + 5, memory);
        int bad = differ(rules, memory, memory + 5, turns, false, k % 4 == 3);
        if (bad > 0)
            print_error("points-to %d on rank %d: %d differences\n", k, comm->rank, bad);
        assert_all(bad == 0);
        fuse_arena_close(arena);
    }
    free(memory);
}

static void test_ends(void **state) {
    (void)state;
    struct fuse_error err;
    const char *closure = "rel E bool -1 500 500\nrel R bool 0 500 500\nR(x,y) = E(x,y)\nR(x,z) = R(x,y) E(y,z)\n";
    const struct fuse_logic_request none = {0};
    assert_all(status_of(closure, 200, none, &err) == FUSE_OK); /* 201 turns */
    assert_all(status_of(closure, 200, (struct fuse_logic_request){.max_turns = 100}, &err) == FUSE_EDIVERGED);
    assert_all(strstr(err.message, "'R' has not converged") != NULL);
    assert_all(status_of(closure, 200, (struct fuse_logic_request){.max_turns = 100, .may_stop_early = true}, &err) ==
               FUSE_OK);
    assert_all(status_of(closure, 500, (struct fuse_logic_request){.memory_bytes = (int64_t)80 << 10}, &err) ==
               FUSE_EMEMORY);
    assert_all(strstr(err.message, "not enough memory for relation '") != NULL);
    assert_all(status_of("rel E bool -1 9 9\nrel D max 0 9\nD(0) = value 1\nD(y) = D(x) E(x,y) value @0 1 +\n", 9,
                         (struct fuse_logic_request){.max_turns = 50}, &err) == FUSE_EDIVERGED);
    assert_all(status_of("rel E bool -1 9 9\nrel D imax 0 9\nD(0) = value 1\nD(y) = D(x) E(x,y) value @0 @0 +\n", 9,
                         none, &err) == FUSE_EFAILED);
    assert_all(strstr(err.message, "integer overflow in 'D'") != NULL);
    assert_all(status_of("rel E bool -1 9 9\nrel D isum 0\n"
                         "D() = E(x,y) value 9223372036854775807\n",
                         9, none, &err) == FUSE_EFAILED);
    assert_all(strstr(err.message, "integer overflow in 'D'") != NULL);
}

/* Strata that are closures (core/linear.h), alone and among others, with bases from rules, from outside and both. */
static void test_linear(void **state) {
    static const char *const texts[] = {
        "R(x,y) = E(x,y)\nR(x,z) = R(x,y) E(y,z)\n",
        "R(x,y) = E(x,y)\nR(x,z) = E(x,y) R(y,z)\n",
        "R(x,y) = E(y,x)\nR(x,z) = E(y,x) R(y,z)\n",
        "R(x,z) = R(x,y) E(y,z)\n",
        "R(x,z) = E(x,y) R(y,z)\n",
        "R(x,y) = F(x,y)\nR(x,z) = R(x,y) E(y,z)\nR(x,z) = R(x,y) F(z,y)\n",
        "R(x,y) = E(x,y)\nR(x,z) = R(x,y) R(y,z)\n",
        "R(x,y) = E(x,y) F(y,z) when x!=z\nR(x,z) = F(y,z) R(x,y)\nR(x,z) = R(x,y) R(y,z)\n",
        "R(x,y) = E(x,y) !F(x,y)\nR(x,z) = E(x,y) R(y,z)\nR(x,z) = R(x,y) R(y,z)\n",
        "R(x,y) = E(x,y)\nR(x,z) = R(x,y) E(y,z)\nS(x,y) = R(x,y) !R(y,x)\nS(x,z) = S(x,y) R(z,y)\n",
        "R(x,y) = F(y,x)\nR(x,z) = E(x,y) R(y,z)\nS(x,3) = R(x,2) F(x,y)\n",
        "R(x,y) = E(x,y)\nR(x,y) = E(p,x) R(p,q) F(q,y)\n",
        "R(x,y) = F(x,y)\nR(x,y) = R(p,q) E(x,p) F(y,q)\nS(x,y) = R(x,y) when x<y\n",
        "R(x,y) = E(x,y)\nR(x,z) = P(x,y) E(y,z)\nP(x,z) = R(x,y) F(y,z)\n",
        "R(x,y) = P(x,y)\nP(x,z) = R(x,y) E(y,z)\nP(x,z) = P(x,y) F(z,y)\nS(x,y) = P(x,y) !R(y,x)\n",
        "R(x,z) = E(x,y) P(y,z)\nP(x,z) = F(y,x) R(y,z)\nP(x,y) = F(x,y)\nS(x,y) = R(x,y) P(y,x)\n",
    };
    const int count = (int)(sizeof texts / sizeof *texts);
    struct cells *memory = calloc(10, sizeof *memory);
    (void)state;
    for (int k = 0; k < 12 * count; k++) {
        start_drawing((uint64_t)k);
        struct fuse_arena *arena = fuse_arena_open(NULL);
        memset(memory, 0, 10 * sizeof *memory);
        const int n = 2 + (int)draw(7);
        const struct fuse_rules *rules = rules_of_text(
            arena, fuse_arena_printf(arena,
                                     "rel E bool -1 %d %d\nrel F bool -1 %d %d\nrel R bool 0 %d %d\n"
                                     "rel S bool 1 %d %d\nrel P bool %d %d %d\n%s",
                                     n, n, n, n, n, n, n, n, strstr(texts[k % count], "P(") != NULL ? 0 : -1, n, n,
                                     texts[k % count]));
        draw_given(rules, memory);
        if (k / count % 2 == 0)
            for (int r = 2; r < 5; r++)
                memset(memory[r].has, 0, sizeof memory[r].has);
        run_oracle(rules, memory + 5, memory);
        int bad = differ(rules, memory, memory + 5, -1, false, false);
        if (bad > 0)
            print_error("closure %d on rank %d: %d differences\n%s", k, comm->rank, bad, texts[k % count]);
        assert_all(bad == 0);
        fuse_arena_close(arena);
    }
    free(memory);
}

int main(int argc, char **argv) {
    struct fuse_error err = {0};
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_closures), cmocka_unit_test(test_points_to),
                                       cmocka_unit_test(test_ends), cmocka_unit_test(test_random_rules),
                                       cmocka_unit_test(test_linear)};
    if (argc > 1)
        programs = atoi(argv[1]);
    if (fuse_comm_open_mpi(&comm, &err) != FUSE_OK)
        return 1;
    if (programs == 0) /* what takes a few seconds */
        programs = comm->size == 1 ? 2000 : comm->size == 2 ? 120 : 120 / comm->size;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    comm->ops->close(comm);
    fuse_comm_finalize_mpi();
    return failed;
}
