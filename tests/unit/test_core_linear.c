/* What is taken for a linear recursion, of one relation or several, from a table; and that what is taken has the fixpoint that it is
 * said to have: random strata of rules are evaluated by trying all bindings, and by multiplying matrices as linear.h and mutual.h
 * say. */
#include "core/linear.h"
#include "core/mutual.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define N 4         /* ids */
#define RELATIONS 5 /* R Q of stratum 1, S T U of 0 */
static const char names[] = "RQSTU";

struct program {
    struct fuse_rules rules;
    struct fuse_rule_relation relation[RELATIONS];
    struct fuse_rule rule[8];
    struct fuse_rule_variable variable[8][26];
    struct fuse_rule_term term[8][4][2];
    struct fuse_rule_atom atom[8][3];
};

static const struct fuse_scalar guard;

static void read_term(struct fuse_rule_term *term, char c) {
    *term = c >= 'a' ? (struct fuse_rule_term){.variable = c - 'a'} : (struct fuse_rule_term){-1, c - '0'};
}

/* "Rxz Rxy Syz": a head, then atoms, "!" in front of a negated one; "| ..": with a guard. */
static void add_rule(struct program *p, const char *text) {
    const int k = p->rules.rules++;
    struct fuse_rule *rule = &p->rule[k];
    *rule = (struct fuse_rule){.variables = 26, .variable = p->variable[k], .atom = p->atom[k], .term = p->term[k][3]};
    for (int v = 0; v < 26; v++)
        p->variable[k][v] = (struct fuse_rule_variable){.name = "v", .extent = N};
    rule->head = (int)(strchr(names, text[0]) - names);
    read_term(&rule->term[0], text[1]);
    read_term(&rule->term[1], text[2]);
    for (const char *at = text + 3; *at != '\0'; at += 4) {
        if (at[1] == '|') {
            rule->guard = &guard;
            break;
        }
        struct fuse_rule_atom *atom = &rule->atom[rule->atoms];
        const bool negated = at[1] == '!';
        at += negated;
        *atom = (struct fuse_rule_atom){
            .relation = (int)(strchr(names, at[1]) - names), .term = p->term[k][rule->atoms], .is_negated = negated};
        read_term(&atom->term[0], at[2]);
        read_term(&atom->term[1], at[3]);
        rule->atoms++;
    }
}

/* Rules one after the other, ';' between. */
static void read_program(struct program *p, const char *text) {
    memset(p, 0, sizeof *p);
    for (int r = 0; r < RELATIONS; r++)
        p->relation[r] = (struct fuse_rule_relation){
            .name = "r", .columns = 2, .extent = {N, N}, .dtype = FUSE_BOOL, .combine = FUSE_REDUCE_OR, .stratum = -1};
    p->rules = (struct fuse_rules){.relations = RELATIONS, .strata = 2, .relation = p->relation, .rule = p->rule};
    char copy[256];
    snprintf(copy, sizeof copy, "%s", text);
    for (char *at = strtok(copy, ";"); at != NULL; at = strtok(NULL, ";"))
        add_rule(p, at);
    for (int k = 0; k < p->rules.rules; k++)
        p->relation[p->rule[k].head].stratum = 1;
}

static const struct {
    const char *rules;
    int kind; /* -1: none */
    int steps;
    bool base_is_a_step, derives_steps;
} cases[] = {
    {"Rxz Sxz;Rxz Rxy Syz", FUSE_LINEAR_LEFT, 1, false, true},
    {"Rxz Sxz;Rxz Syz Rxy", FUSE_LINEAR_LEFT, 1, false, true},
    {"Rxz Sxz;Rxz Sxy Ryz", FUSE_LINEAR_RIGHT, 1, false, true},
    {"Rxz Sxz;Rxz Rxy Szy", FUSE_LINEAR_LEFT, 1, false, false},
    {"Rxz Szx;Rxz Rxy Szy", FUSE_LINEAR_LEFT, 1, false, true},
    {"Rxz Rxy Syz", FUSE_LINEAR_LEFT, 1, false, false},
    {"Rxz Txz;Rxz Rxy Syz;Rxz Rxy Tyz", FUSE_LINEAR_LEFT, 2, false, false},
    {"Rxz Txz;Rxz Sxz;Rxz Rxy Syz;Rxz Rxy Tyz", FUSE_LINEAR_LEFT, 2, false, true},
    {"Rxz Sxz;Rxz Rxy Ryz", FUSE_LINEAR_LEFT, 0, true, false},
    {"Rxz Sxz;Rxz Ryz Rxy", FUSE_LINEAR_LEFT, 0, true, false},
    {"Rxz Sxz;Rxz Rxy Ryz;Rxz Txy Ryz", FUSE_LINEAR_RIGHT, 1, true, false},
    {"Rxy Sxy;Rxy Txu Ruv Uvy", FUSE_LINEAR_TWO_SIDED, 0, false, false},
    {"Rxy Sxy;Rxy Tvy Tux Ruv", FUSE_LINEAR_TWO_SIDED, 0, false, false},
    {"Rxz Sxz;Rxz Rxy Syz|", -1, 0, false, false},
    {"Rxz Sxz;Rxz Rxy Sy3", -1, 0, false, false},
    {"Rxz Sxz;Rxz Rxy !Syz", -1, 0, false, false},
    {"Rxz Sxz;Rxz Rxy Rzy", -1, 0, false, false},
    {"Rxz Sxz;Rxz Rzy Syx", -1, 0, false, false},
    {"Rxx Sxx;Rxx Rxy Syx", -1, 0, false, false},
    {"Rxz Sxz;Rxz Rxy Syz;Rxz Sxy Ryz", -1, 0, false, false},
    {"Rxz Sxz;Rxz Rxy Syz;Rxy Txu Ruv Uvy", -1, 0, false, false},
    {"Rxz Sxz;Rxz Qxy Syz;Qxz Rxy Syz", -1, 0, false, false},
    {"Rxz Sxz;Rxz Rxy Syz Tyz", -1, 0, false, false},
    {"Rxz Sxz", -1, 0, false, false},
    {"Rxz Sxz;Rzx Rxz", -1, 0, false, false},
};

static void table(void **state) {
    (void)state;
    static struct program p;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[256];
        snprintf(text, sizeof text, "%s", cases[i].rules);
        char *bar = strchr(text, '|');
        if (bar != NULL)
            memcpy(bar, " |", 3);
        read_program(&p, text);
        struct fuse_linear linear;
        if (fuse_rules_find_linear(&linear, &p.rules, 1) != (cases[i].kind >= 0))
            fail_msg("%s", cases[i].rules);
        if (cases[i].kind < 0)
            continue;
        assert_int_equal(linear.kind, cases[i].kind);
        assert_int_equal(linear.steps, cases[i].steps);
        assert_int_equal(linear.base_is_a_step, cases[i].base_is_a_step);
        if (linear.derives_steps != cases[i].derives_steps)
            fail_msg("%s: derives_steps", cases[i].rules);
    }
    /* Columns of different widths: ids of one may not fit the other. */
    struct fuse_linear linear;
    read_program(&p, "Rxz Sxz;Rxz Rxy Syz");
    p.relation[2].extent[0] = N + 1;
    assert_false(fuse_rules_find_linear(&linear, &p.rules, 1));
    read_program(&p, "Rxz Sxz;Rxz Rxy Syz");
    p.relation[2].dtype = FUSE_F64;
    assert_false(fuse_rules_find_linear(&linear, &p.rules, 1));
    p.atom[1][1].is_support = true;
    assert_true(fuse_rules_find_linear(&linear, &p.rules, 1));
}

typedef unsigned char matrix[N][N];

static int id_of(const struct fuse_rule_term *term, const int *bind) {
    return term->variable < 0 ? (int)term->offset : bind[term->variable];
}

/* All bindings of the variables u to z and a, b, until nothing changes. */
static void fixpoint(matrix *m, const struct program *p, bool recursive) {
    for (bool changed = true; changed;) {
        changed = false;
        for (int k = 0; k < p->rules.rules; k++) {
            const struct fuse_rule *rule = &p->rule[k];
            if (!recursive && fuse_rule_is_recursive(&p->rules, rule))
                continue;
            for (int code = 0; code < N * N * N * N * N; code++) {
                int bind[26] = {0};
                for (int v = 'u', rest = code; v <= 'z'; v++)
                    if (v != 'w') {
                        bind[v - 'a'] = rest % N;
                        rest /= N;
                    }
                bool holds = true;
                for (int a = 0; a < rule->atoms; a++)
                    holds = holds && m[rule->atom[a].relation][id_of(&rule->atom[a].term[0], bind)]
                                      [id_of(&rule->atom[a].term[1], bind)];
                unsigned char *cell = &m[rule->head][id_of(&rule->term[0], bind)][id_of(&rule->term[1], bind)];
                if (holds && !*cell)
                    *cell = changed = true;
            }
        }
    }
}

static bool multiply(matrix to, matrix a, matrix b) {
    bool changed = false;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            for (int k = 0; k < N; k++)
                if (a[i][j] && b[j][k] && !to[i][k])
                    to[i][k] = changed = true;
    return changed;
}

static void take_step(matrix to, matrix *m, const struct fuse_linear_step *step, bool joined_first) {
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            if (m[step->relation][i][j])
                to[(step->joined == 0) == joined_first ? i : j][(step->joined == 0) == joined_first ? j : i] = 1;
}

static void say(matrix r, matrix *m, const struct fuse_linear *linear) {
    matrix step = {{0}}, up = {{0}}, down = {{0}};
    const bool left = linear->kind == FUSE_LINEAR_LEFT;
    for (int s = 0; s < linear->steps; s++)
        take_step(step, m, &linear->step[s], left);
    memcpy(r, m[linear->relation], sizeof(matrix));
    for (int i = 0; i < N * N && linear->base_is_a_step; i++)
        step[i / N][i % N] |= r[i / N][i % N];
    if (linear->kind == FUSE_LINEAR_TWO_SIDED) {
        take_step(up, m, &linear->up, false);
        take_step(down, m, &linear->down, true);
        for (bool changed = true; changed;) {
            matrix half = {{0}};
            multiply(half, up, r);
            changed = multiply(r, half, down);
        }
        return;
    }
    while (left ? multiply(r, r, step) : multiply(r, step, r))
        continue;
}

static void random_rules(void **state) {
    (void)state;
    static struct program p;
    int found[3] = {0, 0, 0};
    srand(5);
    for (int round = 0; round < 300000; round++) {
        char text[128] = "";
        for (int k = 1 + rand() % 3; k > 0; k--) {
            static const char variables[] = "xzyuv";
            char rule[32] = "Rxz ";
            const int atoms = 1 + rand() % 3;
            for (int a = 0; a < atoms; a++) {
                char atom[8];
                const int few = atoms == 3 ? 5 : 3;
                snprintf(atom, sizeof atom, "%c%c%c ", "RSTU"[a == 0 ? rand() % 2 : rand() % 4],
                         variables[rand() % few], variables[rand() % few]);
                strcat(rule, atom);
            }
            rule[strlen(rule) - 1] = '\0';
            strcat(strcat(text, rule), ";");
        }
        read_program(&p, text);
        struct fuse_linear linear;
        if (!fuse_rules_find_linear(&linear, &p.rules, 1))
            continue;
        found[linear.kind]++;
        matrix m[RELATIONS], slow[RELATIONS], fast;
        for (int i = 0; i < RELATIONS * N * N; i++)
            (&m[0][0][0])[i] = i / (N * N) != 1 && rand() % 4 == 0;
        if (linear.derives_steps)
            memset(m[0], 0, sizeof m[0]);
        fixpoint(m, &p, false);
        memcpy(slow, m, sizeof m);
        fixpoint(slow, &p, true);
        say(fast, m, &linear);
        if (memcmp(fast, slow[0], sizeof fast) != 0)
            fail_msg("%s", text);
        if (linear.derives_steps) {
            linear.kind = linear.kind == FUSE_LINEAR_LEFT ? FUSE_LINEAR_RIGHT : FUSE_LINEAR_LEFT;
            for (int s = 0; s < linear.steps; s++)
                linear.step[s].joined = 1 - linear.step[s].joined;
            say(fast, m, &linear);
            assert_memory_equal(fast, slow[0], sizeof fast);
        }
    }
    for (int kind = 0; kind < 3; kind++)
        assert_true(found[kind] >= 10);
}

static const struct {
    const char *rules;
    int passing; /* -1: none */
    int steps;
} mutual_cases[] = {
    {"Rxz Sxz;Rxz Qxy Syz;Qxz Rxy Tyz", 0, 2},
    {"Rxz Qxz;Qxz Rxy Syz;Qxz Qxy Tzy", 0, 3},
    {"Rxz Qxz;Qxz Rxz;Qxz Sxz", 0, 2},
    {"Rxz Sxy Qyz;Qxz Ryz Syx", 1, 2},
    {"Rxz Qxz;Qxz Sxy Ryz", 1, 2},
    {"Rxz Qxy Syz;Qxz Sxy Ryz", -1, 0},
    {"Rxz Qzx;Qxz Rxy Syz", -1, 0},
    {"Rxz Qxy Ryz;Qxz Rxz", -1, 0},
    {"Rxz Qxy Syz;Qxz Rxy Sy3", -1, 0},
    {"Rxz Qxy !Syz;Qxz Rxz", -1, 0},
    {"Rxz Qxy Syz Tyz;Qxz Rxz", -1, 0},
    {"Rxz Qxz|;Qxz Rxz", -1, 0},
    {"Rxz Sxz;Rxz Rxy Syz", -1, 0},
};

static void mutual_table(void **state) {
    (void)state;
    static struct program p;
    struct fuse_mutual mutual;
    for (size_t i = 0; i < sizeof mutual_cases / sizeof *mutual_cases; i++) {
        char text[256];
        snprintf(text, sizeof text, "%s", mutual_cases[i].rules);
        char *bar = strchr(text, '|');
        if (bar != NULL) {
            memmove(bar + 1, bar, strlen(bar) + 1);
            *bar = ' ';
        }
        read_program(&p, text);
        if (fuse_rules_find_mutual(&mutual, &p.rules, 1) != (mutual_cases[i].passing >= 0))
            fail_msg("%s", mutual_cases[i].rules);
        if (mutual_cases[i].passing < 0)
            continue;
        assert_int_equal(mutual.passing, mutual_cases[i].passing);
        assert_int_equal(mutual.steps, mutual_cases[i].steps);
    }
    /* What is passed on must be as wide in both. */
    read_program(&p, mutual_cases[0].rules);
    p.relation[0].extent[0] = p.relation[1].extent[0] = N + 1;
    assert_false(fuse_rules_find_mutual(&mutual, &p.rules, 1));
}

/* Steps between ids of R, then of Q, until nothing changes. */
static void say_mutual(matrix *m, const struct fuse_mutual *mutual) {
    const bool left = mutual->passing == 0;
    for (bool changed = true; changed;) {
        changed = false;
        for (int s = 0; s < mutual->steps; s++) {
            const struct fuse_mutual_step *of = &mutual->step[s];
            const struct fuse_linear_step as = {.relation = of->relation, .joined = of->joined};
            const int from = mutual->relation[of->from], to = mutual->relation[of->to];
            matrix step = {{0}};
            for (int i = 0; i < N; i++)
                step[i][i] = of->relation < 0;
            if (of->relation >= 0)
                take_step(step, m, &as, left);
            changed |= left ? multiply(m[to], m[from], step) : multiply(m[to], step, m[from]);
        }
    }
}

static void random_mutual(void **state) {
    (void)state;
    static struct program p;
    int found[2] = {0, 0};
    srand(7);
    for (int round = 0; round < 300000; round++) {
        char text[160] = "";
        for (int k = 2 + rand() % 3; k > 0; k--) {
            static const char variables[] = "xzy";
            char rule[32];
            snprintf(rule, sizeof rule, "%cxz ", "RQ"[rand() % 2]);
            for (int a = 1 + rand() % 2, first = 1; a > 0; a--, first = 0) {
                char atom[8];
                snprintf(atom, sizeof atom, "%c%c%c ", "RQSTU"[first ? rand() % 3 : rand() % 5], variables[rand() % 3],
                         variables[rand() % 3]);
                strcat(rule, atom);
            }
            rule[strlen(rule) - 1] = '\0';
            strcat(strcat(text, rule), ";");
        }
        read_program(&p, text);
        struct fuse_mutual mutual;
        if (!fuse_rules_find_mutual(&mutual, &p.rules, 1))
            continue;
        found[mutual.passing]++;
        matrix m[RELATIONS], slow[RELATIONS];
        for (int i = 0; i < RELATIONS * N * N; i++)
            (&m[0][0][0])[i] = rand() % 4 == 0;
        fixpoint(m, &p, false);
        memcpy(slow, m, sizeof m);
        fixpoint(slow, &p, true);
        say_mutual(m, &mutual);
        if (memcmp(m, slow, sizeof m) != 0)
            fail_msg("%s", text);
    }
    assert_true(found[0] >= 100 && found[1] >= 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(table), cmocka_unit_test(random_rules),
                                       cmocka_unit_test(mutual_table), cmocka_unit_test(random_mutual)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
