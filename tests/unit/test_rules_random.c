/* What is said and done about rules before they are evaluated, on random rule sets that are evaluated by definition: equalities that
 * become constants and variables change nothing, and no relation has more tuples than it is said to have at most. And how an
 * order of joins is told. */
#include "core/rules.h"

#include "../mpi/rule_oracle.h"
#include "../mpi/rule_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct cells *given, *one, *other;

static int64_t count(const struct fuse_rule_relation *relation, const struct cells *cells) {
    int64_t n = 0;
    for (int c = 0; c < cells_of(relation); c++)
        n += cells->has[c];
    return n;
}

static const struct fuse_rules *draw_case(struct fuse_arena *arena, int k) {
    start_drawing((uint64_t)k);
    const struct fuse_rules *rules = rules_of_text(arena, draw_rules(arena));
    memset(given, 0, DRAWN_RELATIONS * sizeof *given);
    memset(one, 0, DRAWN_RELATIONS * sizeof *one);
    memset(other, 0, DRAWN_RELATIONS * sizeof *other);
    draw_given(rules, given);
    run_oracle(rules, one, given);
    return rules;
}

static void test_fix(void **state) {
    int64_t equalities = 0;
    (void)state;
    for (int k = 0; k < 2000; k++) {
        struct fuse_arena *arena = fuse_arena_open(NULL);
        struct fuse_error err = {0};
        const struct fuse_rules *rules = draw_case(arena, k), *fixed = fuse_rules_fix(arena, rules);
        assert_int_equal(fuse_rules_verify(fixed, &err), FUSE_OK);
        run_oracle(fixed, other, given);
        for (int r = 0; r < rules->relations; r++)
            for (int c = 0; c < cells_of(&rules->relation[r]); c++) {
                assert_int_equal(one[r].has[c], other[r].has[c]);
                if (one[r].has[c])
                    assert_true(one[r].value[c] == other[r].value[c]);
            }
        for (int r = 0; r < rules->rules; r++)
            equalities += rules->rule[r].guard != NULL &&
                          (fixed->rule[r].guard == NULL || fixed->rule[r].guard->n < rules->rule[r].guard->n);
        fuse_arena_close(arena);
    }
    assert_true(equalities > 300);
}

static void test_bound(void **state) {
    int64_t reached = 0;
    (void)state;
    for (int k = 0; k < 2000; k++) {
        struct fuse_arena *arena = fuse_arena_open(NULL);
        const struct fuse_rules *rules = draw_case(arena, k);
        int64_t most[DRAWN_RELATIONS];
        for (int r = 0; r < rules->relations; r++)
            most[r] = count(&rules->relation[r], &given[r]);
        const int64_t *bound = fuse_rules_bound(arena, rules, most);
        for (int r = 0; r < rules->relations; r++) {
            const int64_t n = count(&rules->relation[r], &one[r]);
            assert_true(n <= bound[r] && bound[r] <= cells_of(&rules->relation[r]));
            reached += rules->relation[r].stratum >= 0 && n == bound[r];
        }
        fuse_arena_close(arena);
    }
    assert_true(reached > 500);
}

/* Bounds of programs that people write. */
static void test_bound_table(void **state) {
    static const struct {
        const char *text;
        int64_t most; /* tuples of R, when E has 10 and F has 3 */
    } table[] = {
        {"R(x,z) = E(x,y) F(y,z)\n", 30},
        {"R(x,y) = E(x,y)\nR(x,z) = R(x,y) E(y,z)\n", 100},
        {"R(x,y) = F(x,y)\nR(x,z) = R(x,y) E(y,z)\n", 39},
        {"R(3,y) = E(3,y)\nR(x,z) = R(x,y) E(y,z)\n", 10},
        {"R(x,x) = E(x,y)\n", 10},
        {"R(x,4) = E(x,y)\nR(x,4) = E(x+1,y)\n", 20},
        {"R(x,y) = E(x,y) !F(x,y)\n", 10},
        {"R(x,y) = E(x,u) F(v,y)\n", 30},
        {"R(x+1,y) = F(x,y)\nR(x+1,y) = R(x,y)\n", 3000},
    };
    (void)state;
    for (size_t k = 0; k < sizeof table / sizeof *table; k++) {
        struct fuse_arena *arena = fuse_arena_open(NULL);
        const struct fuse_rules *rules = rules_of_text(
            arena,
            fuse_arena_printf(arena, "rel E bool -1 1000 1000\nrel F bool -1 1000 1000\nrel R bool 0 1000 1000\n%s",
                              table[k].text));
        const int64_t most[] = {10, 3, 0};
        assert_int_equal(fuse_rules_bound(arena, rules, most)[2], table[k].most);
        fuse_arena_close(arena);
    }
}

static void test_explain(void **state) {
    static const struct {
        const char *text;
        int first;
        const char *words;
    } table[] = {
        {"R(x,z) = E(x,y) F(y,z)\n", -1, "E(x, y), then F by (y)"},
        {"R(x,z) = R(x,y) E(y,z)\n", 0, "new R(x, y), then E by (y)"},
        {"R(x,z) = E(z,y) R(x,y) !F(x,z+1)\n", 1, "new R(x, y), then E by (y), then no F by (x, z+1)"},
        {"R(x,z) = E(x,1) F(z,2)\n", -1, "E(x, 1), then F by (2)"},
    };
    (void)state;
    for (size_t k = 0; k < sizeof table / sizeof *table; k++) {
        struct fuse_arena *arena = fuse_arena_open(NULL);
        struct fuse_text text = {.arena = arena};
        const struct fuse_rules *rules = rules_of_text(
            arena,
            fuse_arena_printf(arena, "rel E bool -1 1000 1000\nrel F bool -1 1000 1000\nrel R bool 0 1000 1000\n%s",
                              table[k].text));
        const int64_t sizes[] = {5000, 20, 5000};
        fuse_rule_explain(&text, rules, &rules->rule[0], table[k].first, sizes);
        assert_string_equal(text.at, table[k].words);
        fuse_arena_close(arena);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_fix), cmocka_unit_test(test_bound),
                                       cmocka_unit_test(test_bound_table), cmocka_unit_test(test_explain)};
    struct cells *memory = calloc(3 * DRAWN_RELATIONS, sizeof *memory);
    given = memory;
    one = memory + DRAWN_RELATIONS;
    other = memory + 2 * DRAWN_RELATIONS;
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(memory);
    return failed;
}
