/* How tuples of rules lie on ranks where one id has most of them: no rank has more than about its share, and none is lost. */
#include "all_ranks.h"
#include "comm/comm.h"
#include "exec/logic.h"
#include "rule_text.h"

#include <stdlib.h>

static struct fuse_comm *comm;

/* A star: one id is in every tuple. No rank gets them all. */
static void test_heavy_keys(void **state) {
    (void)state;
    enum { POINTS = 40000, VISITORS = 5 };
    struct fuse_error err = {0};
    struct fuse_logic *logic;
    struct fuse_logic_report report;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    const struct fuse_rules *rules =
        rules_of_text(arena, "rel E bool -1 40000 40000\nrel V bool -1 9 40000\nrel R bool 0 9 40000\n"
                             "R(x,z) = V(x,y) E(y,z)\n");
    struct fuse_logic_request request = {.rules = rules, .comm = comm, .copied_bytes = -1};
    int64_t count, hub = 7, most, least;
    if (fuse_logic_open(&logic, &request, &err) != FUSE_OK)
        abort();
    for (int64_t x = 0; x < POINTS; x++) {
        struct fuse_logic_rows edge = {.n = 1, .id = {&hub, &x}}, visit = {.n = 1, .id = {&x, &hub}};
        if (x % comm->size == comm->rank && (fuse_logic_add(logic, 0, &edge, &err) != FUSE_OK ||
                                             (x < VISITORS && fuse_logic_add(logic, 1, &visit, &err) != FUSE_OK)))
            abort();
    }
    assert_all(fuse_logic_run(logic, &report, &err) == FUSE_OK);
    assert_all(fuse_logic_count(&count, logic, 2, &err) == FUSE_OK);
    assert_all(count == (int64_t)POINTS * VISITORS);
    most = least = fuse_logic_held(logic, 0);
    assert_all(comm->ops->reduce_int64(comm, FUSE_REDUCE_MAX, &most, 1, &err) == FUSE_OK);
    assert_all(comm->ops->reduce_int64(comm, FUSE_REDUCE_MIN, &least, 1, &err) == FUSE_OK);
    assert_all(most - least < POINTS / 20);
    fuse_logic_close(logic);
    fuse_arena_close(arena);
}

/* One id is in every derived tuple: when they have become many, no rank has more than its share. */
static void test_heavy_derived(void **state) {
    (void)state;
    enum { POINTS = 3000 };
    struct fuse_error err = {0};
    struct fuse_logic *logic;
    struct fuse_logic_report report;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    const struct fuse_rules *rules =
        rules_of_text(arena, "rel E bool -1 3000 3000\nrel V bool -1 9 3000\nrel R bool 0 9 3000\n"
                             "R(x,z) = V(x,z)\nR(x,z) = R(x,y) E(y,z) when z!=7\n");
    struct fuse_logic_request request = {.rules = rules, .comm = comm, .looked_at_above = 100};
    int64_t count, hub = 7, most, least;
    if (fuse_logic_open(&logic, &request, &err) != FUSE_OK)
        abort();
    for (int64_t x = comm->rank; x < POINTS; x += comm->size) { /* a tree: few turns */
        int64_t child[] = {(4 * x + 1) % POINTS, (4 * x + 2) % POINTS, (4 * x + 3) % POINTS, (4 * x + 4) % POINTS};
        int64_t parent[] = {x, x, x, x}, root = 0;
        struct fuse_logic_rows edges = {.n = 4, .id = {parent, child}}, visit = {.n = 1, .id = {&hub, &root}};
        if (fuse_logic_add(logic, 0, &edges, &err) != FUSE_OK ||
            (x == 0 && fuse_logic_add(logic, 1, &visit, &err) != FUSE_OK))
            abort();
    }
    assert_all(fuse_logic_run(logic, &report, &err) == FUSE_OK);
    assert_all(fuse_logic_count(&count, logic, 2, &err) == FUSE_OK);
    most = least = fuse_logic_held(logic, 2);
    /* All but 7 and what only 7 leads to. */
    bool seen[POINTS] = {true};
    int64_t expected = 0;
    for (bool changed = true; changed;) {
        changed = false;
        for (int64_t x = 0; x < POINTS; x++)
            for (int64_t k = 1; seen[x] && k <= 4; k++)
                if ((4 * x + k) % POINTS != 7 && !seen[(4 * x + k) % POINTS])
                    seen[(4 * x + k) % POINTS] = changed = true;
    }
    for (int64_t x = 0; x < POINTS; x++)
        expected += seen[x];
    assert_all(count == expected);
    assert_all(comm->ops->reduce_int64(comm, FUSE_REDUCE_MAX, &most, 1, &err) == FUSE_OK);
    assert_all(comm->ops->reduce_int64(comm, FUSE_REDUCE_MIN, &least, 1, &err) == FUSE_OK);
    assert_all(most - least < POINTS / 10);
    fuse_logic_close(logic);
    fuse_arena_close(arena);
}

int main(void) {
    struct fuse_error err = {0};
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_heavy_keys), cmocka_unit_test(test_heavy_derived)};
    if (fuse_comm_open_mpi(&comm, &err) != FUSE_OK)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    comm->ops->close(comm);
    fuse_comm_finalize_mpi();
    return failed;
}
