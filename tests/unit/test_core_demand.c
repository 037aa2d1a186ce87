/* Rules under demand (core/demand.h) against the same rules without, both evaluated by definition: what is asked for is the same, and
 * nothing else is derived than before.
 *
 * What would make these fail: a tuple that was asked for and is missing, a value that lacks a contribution, a negation that sees a
 * relation before all that was asked of it is there, a recursion that is turned the wrong way, more than is asked for. */
#include "core/demand.h"

#include "../mpi/rule_oracle.h"
#include "../mpi/rule_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 64 }; /* relations under demand */

static struct cells *given_before, *before, *given_after, *after;

static void draw_questions(struct fuse_demand_question *question, int n, const struct fuse_rules *rules) {
    for (int q = 0; q < n; q++) {
        question[q] = (struct fuse_demand_question){.relation = (int)draw(rules->relations)};
        const struct fuse_rule_relation *relation = &rules->relation[question[q].relation];
        for (int c = 0; c < relation->columns; c++)
            if (draw(3) > 0) {
                question[q].columns |= (uint64_t)1 << c;
                question[q].id[c] = draw(relation->extent[c] + 1);
            }
    }
}

static bool is_asked(const struct fuse_demand_question *question, const struct fuse_rule_relation *relation, int cell) {
    for (int c = relation->columns - 1; c >= 0; c--) {
        if ((question->columns >> c & 1) && question->id[c] != cell % relation->extent[c])
            return false;
        cell /= (int)relation->extent[c];
    }
    return true;
}

static bool has_same(const struct cells *a, const struct cells *b, int cell) {
    return a->has[cell] == b->has[cell] && (!a->has[cell] || a->value[cell] == b->value[cell]);
}

/* Returns how many cells differ. *explored: tuples that rules derived of the relations of before. */
static int compare(const struct fuse_rules *rules, const struct fuse_rules *asked,
                   const struct fuse_demand_question *question, int questions, int64_t *explored) {
    int bad = 0;
    *explored = 0;
    for (int q = 0; q < questions; q++) {
        const int r = question[q].relation;
        for (int c = 0; c < cells_of(&rules->relation[r]); c++)
            bad += rules->relation[r].stratum >= 0 && is_asked(&question[q], &rules->relation[r], c) &&
                   !has_same(&before[r], &after[r], c);
    }
    for (int r = 0; r < rules->relations; r++)
        for (int c = 0; c < cells_of(&rules->relation[r]); c++) {
            bad += asked->relation[r].stratum >= 0 && after[r].has[c] && !has_same(&before[r], &after[r], c);
            *explored += asked->relation[r].stratum >= 0 && after[r].has[c];
        }
    return bad;
}

/* The number of differences between rules with and without demand. */
static int differ(struct fuse_arena *arena, const struct fuse_rules *rules, const struct fuse_demand_question *question,
                  int questions, bool is_small, int64_t *explored, bool *is_changed) {
    struct fuse_error err = {0};
    bool is_given[MOST] = {false};
    int64_t most[MOST];
    int to[MOST];
    for (int r = 0; r < rules->relations; r++) {
        for (int c = 0; c < cells_of(&rules->relation[r]); c++)
            is_given[r] |= given_before[r].has[c];
        most[r] = is_small ? 0 : INT64_MAX;
    }
    const struct fuse_demand demand = {
        .rules = rules, .question = question, .questions = questions, .is_given = is_given, .most = most};
    const struct fuse_rules *asked = fuse_rules_demand(arena, &demand, to);
    *is_changed = asked != rules;
    assert_true(asked->relations <= MOST);
    assert_int_equal(fuse_rules_verify(asked, &err), FUSE_OK);
    memset(after, 0, MOST * sizeof *after);
    memset(given_after, 0, MOST * sizeof *given_after);
    memset(before, 0, MOST * sizeof *before);
    for (int r = 0; r < rules->relations; r++)
        given_after[to[r]] = given_before[r];
    run_oracle(rules, before, given_before);
    run_oracle(asked, after, given_after);
    const int bad = compare(rules, asked, question, questions, explored);
    if (bad > 0) {
        struct fuse_text text = {.arena = arena};
        fuse_rules_print(&text, rules);
        fuse_text_add(&text, "---\n");
        fuse_rules_print(&text, asked);
        for (int q = 0; q < questions; q++)
            fuse_text_add(&text, "question R%d columns %d\n", question[q].relation, (int)question[q].columns);
        fprintf(stderr, "%s\n", text.at);
    }
    return bad;
}

static void test_random_rules(void **state) {
    (void)state;
    int changed = 0;
    for (int k = 0; k < 3000; k++) {
        struct fuse_arena *arena = fuse_arena_open(NULL);
        struct fuse_demand_question question[3];
        int64_t explored;
        bool is_changed;
        start_drawing((uint64_t)k);
        const struct fuse_rules *rules = rules_of_text(arena, draw_rules(arena));
        memset(given_before, 0, MOST * sizeof *given_before);
        draw_given(rules, given_before);
        const int questions = 1 + (int)draw(2);
        draw_questions(question, questions, rules);
        assert_int_equal(differ(arena, rules, question, questions, k % 3 == 0, &explored, &is_changed), 0);
        changed += is_changed;
        fuse_arena_close(arena);
    }
    assert_true(changed > 500);
}

/* Recursions in all directions over a chain 0 -> 1 -> .. -> 9 that starts again at 10, asked from its middle. */
static void test_chains(void **state) {
    enum { IDS = 20, HALF = 10 };
    static const struct {
        const char *text;
        bool is_linear; /* as many tuples as ids are derived at most */
    } recursion[] = {
        {"R(x,y) = E(x,y)\nR(x,z) = R(x,y) E(y,z)\n", true},
        {"R(x,y) = E(x,y)\nR(x,z) = E(x,y) R(y,z)\n", true},
        {"R(x,y) = E(x,y)\nR(x,z) = R(x,y) R(y,z)\n", true},
        {"R(x,y) = E(x,y)\nR(x,z) = R(x,y) R(y,z)\nR(x,z) = R(x,y) E(y,z)\n", true},
        {"R(x,y) = E(x,y)\nR(x,z) = R(x,y) R(y,z)\nR(x,z) = E(x,y) R(y,z)\n", true},
        {"R(x,y) = E(y,x)\nR(x,z) = E(y,x) R(y,z)\n", true},
        {"R(x,y) = E(y,x)\nR(x,z) = R(x,y) E(z,y)\n", true},
        {"R(x,y) = E(x,y) F(y)\nR(x,z) = E(x,y) R(y,z)\n", true},
        {"R(x,y) = E(x,y) F(y)\nR(x,z) = R(x,y) E(y,z)\n", true},
        {"R(x,y) = E(x,y) F(y)\nR(x,z) = R(x,y) R(y,z)\n", true},
        {"R(x,y) = E(x,y)\nR(x,y) = E(x,u) R(u,v) E(v,y)\n", false},
        {"S(x,y) = E(x,y)\nR(x,y) = S(x,y)\nR(x,z) = S(x,y) R(y,z)\n", false},
    };
    (void)state;
    for (size_t k = 0; k < sizeof recursion / sizeof *recursion; k++)
        for (int column = 0; column < 2; column++)
            for (int is_given = 0; is_given < 2; is_given++) {
                struct fuse_arena *arena = fuse_arena_open(NULL);
                struct fuse_demand_question question = {
                    .relation = 3, .columns = (uint64_t)1 << column, .id = {14, 14}};
                int64_t explored;
                bool is_changed;
                const char *text = fuse_arena_printf(arena,
                                                     "rel E bool -1 20 20\nrel F bool -1 20\nrel S bool 0 20 20\n"
                                                     "rel R bool 1 20 20\n%s",
                                                     recursion[k].text);
                const struct fuse_rules *rules = rules_of_text(arena, text);
                memset(given_before, 0, MOST * sizeof *given_before);
                for (int x = 0; x < IDS; x++) {
                    given_before[1].has[x] = true;
                    if (x + 1 < IDS && x + 1 != HALF)
                        given_before[0].has[IDS * x + x + 1] = true;
                }
                given_before[3].has[2 * IDS + 5] = given_before[3].has[16 * IDS + 13] = is_given;
                assert_int_equal(differ(arena, rules, &question, 1, false, &explored, &is_changed), 0);
                if (!is_changed)
                    print_error("%d %d %d\n", (int)k, column, is_given);
                assert_true(is_changed);
                if (recursion[k].is_linear)
                    assert_true(explored <= (is_given ? 2 * IDS : IDS));
                fuse_arena_close(arena);
            }
}

/* What is asked for as a whole stays as it is, and what nobody asks for goes. */
static void test_whole(void **state) {
    struct fuse_arena *arena = fuse_arena_open(NULL);
    const struct fuse_rules *rules =
        rules_of_text(arena, "rel E bool -1 9 9\nrel R bool 0 9 9\nrel S bool 1 9\nR(x,y) = E(x,y)\n"
                             "R(x,z) = R(x,y) E(y,z)\nS(y) = R(3,y)\n");
    const struct fuse_demand_question question[] = {{.relation = 2}, {.relation = 1}};
    const bool is_given[] = {true, false, false};
    const int64_t most[] = {9, 0, 0};
    int given[3];
    struct fuse_demand demand = {
        .rules = rules, .question = question, .questions = 2, .is_given = is_given, .most = most};
    (void)state;
    assert_ptr_equal(fuse_rules_demand(arena, &demand, given), rules);
    demand.questions = 1;
    const struct fuse_rules *asked = fuse_rules_demand(arena, &demand, given);
    assert_int_equal(asked->relations, 4);
    assert_int_equal(asked->relation[3].asks, 2);
    assert_int_equal(asked->relation[3].asked_columns, 1);
    fuse_arena_close(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_whole), cmocka_unit_test(test_chains),
                                       cmocka_unit_test(test_random_rules)};
    struct cells *memory = calloc(4 * MOST, sizeof *memory);
    given_before = memory;
    before = memory + MOST;
    given_after = memory + 2 * MOST;
    after = memory + 3 * MOST;
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(memory);
    return failed;
}
