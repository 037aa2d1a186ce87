/* Size and depth: large programs are read in linear time, and no nesting overflows the stack. Times are of the processor,
 * with room for a slow machine; a quadratic or exponential parser is beyond them by orders of magnitude. */
#include "lang/parser.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#if defined(__SANITIZE_ADDRESS__)
#define SECONDS 10.0
#else
#define SECONDS 1.0
#endif

struct outcome {
    bool ok;
    int errors, items;
    double seconds;
    char first[200]; /* message */
};

static struct outcome parse_text(const struct fuse_text *text) {
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_files files = {.arena = arena};
    struct fuse_program_file file = {.path = "p.fuse", .text = text->at, .bytes = text->bytes};
    fuse_vec_push(arena, &files.list, file);
    struct fuse_diagnostics diagnostics = {.arena = arena};
    struct fuse_ast ast = {0};
    struct outcome outcome = {0};
    clock_t start = clock();
    outcome.ok = fuse_parse(&ast, arena, &files, 0, &diagnostics);
    outcome.seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    outcome.errors = diagnostics.errors;
    outcome.items = ast.items;
    if (diagnostics.list.n)
        strncpy(outcome.first, diagnostics.list.at[0].message, sizeof outcome.first - 1);
    /* The tree and the messages can be printed. */
    struct fuse_text printed = {.arena = arena};
    if (text->bytes < 1000000)
        fuse_ast_print(&printed, &ast);
    for (int k = 0; k < diagnostics.list.n; k++)
        fuse_diagnostic_print(&printed, &files, &diagnostics.list.at[k]);
    fuse_arena_close(arena);
    return outcome;
}

static void repeat(struct fuse_text *text, const char *piece, int count) {
    for (int k = 0; k < count; k++)
        fuse_text_add_bytes(text, piece, strlen(piece));
}

static struct outcome parse_nested(const char *before, const char *open, const char *inside, const char *close,
                                   int levels) {
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_text text = {.arena = arena};
    repeat(&text, before, 1);
    repeat(&text, open, levels);
    repeat(&text, inside, 1);
    repeat(&text, close, levels);
    repeat(&text, "\nGood = 1\n", 1);
    struct outcome outcome = parse_text(&text);
    fuse_arena_close(arena);
    return outcome;
}

static void test_many_lines(void **state) {
    (void)state;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_text text = {.arena = arena};
    for (int k = 0; k < 50000; k++)
        fuse_text_add(&text, "Y%d[i,j] = relu(W[i,k] X[k,j] + B%d[i]) - 2.5e-1 E(i,j) # a comment\n", k, k);
    struct outcome outcome = parse_text(&text);
    assert_true(outcome.ok);
    assert_int_equal(outcome.items, 50000);
    assert_true(outcome.seconds < SECONDS);

    /* As many lines with an error in each. */
    text.bytes = 0;
    repeat(&text, "Y[i,j] = relu(W[i,k] X[k,j] + B[i]]) - 2.5e-1 E(i,j)\n", 50000);
    outcome = parse_text(&text);
    assert_int_equal(outcome.errors, 50000);
    assert_true(outcome.seconds < SECONDS);
    fuse_arena_close(arena);
}

static void test_long_literals(void **state) {
    (void)state;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_text text = {.arena = arena};
    repeat(&text, "X[i] = [", 1);
    for (int k = 0; k < 1000000; k++)
        fuse_text_add(&text, "%s%d.%03d, ", k % 2 ? "-" : "", k, k % 1000);
    repeat(&text, "]\n", 1);
    struct outcome outcome = parse_text(&text);
    assert_true(outcome.ok);
    assert_true(outcome.seconds < SECONDS);

    text.bytes = 0;
    repeat(&text, "X[i,j] = [", 1);
    repeat(&text, "[1, -2, 3, 4, 5, 6, 7, 8],\n", 125000);
    repeat(&text, "]\n", 1);
    outcome = parse_text(&text);
    assert_true(outcome.ok);
    assert_true(outcome.seconds < SECONDS);
    fuse_arena_close(arena);
}

/* Attempts at index lists and at number lists must not add up. */
static void test_second_readings(void **state) {
    (void)state;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_text text = {.arena = arena};
    for (int k = 0; k < 2000; k++) {
        repeat(&text, "Y = ", 1);
        repeat(&text, "f(", 190);
        repeat(&text, "x", 1);
        repeat(&text, ")", 190);
        repeat(&text, "\n", 1);
    }
    struct outcome outcome = parse_text(&text);
    assert_true(outcome.ok);
    assert_true(outcome.seconds < SECONDS);

    text.bytes = 0;
    repeat(&text, "Y = ", 1);
    for (int k = 0; k < 190; k++) {
        repeat(&text, "f(", 1);
        repeat(&text, "i, ", 1000);
    }
    repeat(&text, "x", 1);
    repeat(&text, ")", 190);
    outcome = parse_text(&text);
    assert_true(outcome.ok);
    assert_true(outcome.seconds < SECONDS);

    text.bytes = 0;
    repeat(&text, "Y = ", 1);
    for (int k = 0; k < 190; k++) {
        repeat(&text, "[", 1);
        repeat(&text, "1, ", 1000);
    }
    repeat(&text, "x", 1);
    repeat(&text, "]", 190);
    outcome = parse_text(&text);
    assert_true(outcome.ok);
    assert_true(outcome.seconds < SECONDS);
    fuse_arena_close(arena);
}

static void test_nesting(void **state) {
    (void)state;
    static const struct {
        const char *before, *open, *inside, *close;
        int deepest; /* levels that are still read */
    } cases[] = {
        {"Y = ", "(", "x", ")", 199},
        {"Y = ", "f(", "x", ")", 199},
        {"Y = ", "@f(", "x", ")", 199},
        {"Y = ", "f(a=", "x", ")", 199},
        {"Y = ", "[", "x", "]", 199},
        {"Y = ", "[", "", "]", 200}, /* the innermost list is one of numbers, of none */
        {"Y = ", "-", "x", "", 199},
        {"Y = ", "!", "x", "", 199},
        {"Y = ", "x ** ", "x", "", 199},
        {"Y = ", "a ? b : ", "x", "", 199},
        {"Y = ", "a ? ", "x", " : b", 199},
        {"Y = ", "reduce(sum, i) ", "x", "", 199},
        {"Y = ", "f(-", "x", ")", 99},
        {"", "{", "", "}", 200},
        {"", "{\n", "", "}\n", 200},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct outcome outcome =
            parse_nested(cases[k].before, cases[k].open, cases[k].inside, cases[k].close, cases[k].deepest);
        assert_true(outcome.ok);
        outcome = parse_nested(cases[k].before, cases[k].open, cases[k].inside, cases[k].close, cases[k].deepest + 1);
        assert_false(outcome.ok);
        assert_int_equal(outcome.errors, 1);
        assert_string_equal(outcome.first, "more than 200 levels of nesting");
        outcome = parse_nested(cases[k].before, cases[k].open, cases[k].inside, cases[k].close, 100000);
        assert_false(outcome.ok);
        assert_string_equal(outcome.first, "more than 200 levels of nesting");
        assert_true(outcome.seconds < SECONDS);
    }
}

/* A chain of operators makes a tree as high as it is long. */
static void test_chains(void **state) {
    static const char *const operators[] = {"x + ", "x - ", "x * ", "x / ", "x ", "x && ", "x || ", "(x) "};
    (void)state;
    for (size_t k = 0; k < sizeof operators / sizeof *operators; k++) {
        struct outcome outcome = parse_nested("Y = ", operators[k], "x", "", 999);
        assert_true(outcome.ok);
        assert_int_equal(outcome.items, 2);
        outcome = parse_nested("Y = ", operators[k], "x", "", 1000);
        assert_int_equal(outcome.errors, 1);
        assert_string_equal(outcome.first, "an expression of more than 1000 levels");
        outcome = parse_nested("Y = ", operators[k], "x", "", 100000);
        assert_int_equal(outcome.errors, 1);
        assert_int_equal(outcome.items, 1);
        assert_true(outcome.seconds < SECONDS);
    }
    /* Chains within chains: only the height counts. */
    assert_true(parse_nested("Y = ", "(x + x + x) * f(x x x) + ", "x", "", 400).ok);
    assert_false(parse_nested("Y = ", "(((x + ", "x", ") + x) + x)", 66).errors > 0);
}

/* Erroneous lines that open what they do not close, or the reverse, thousands of times. */
static void test_broken_lines(void **state) {
    static const char *const lines[] = {
        ") {\n",          "A = f(\n",    "A = f(x,\n",  "A = case {\n x -> (\n",
        "A = (\nB = C\n", "A = {\n",     "} \n",        "A = case { x ->\n",
        "fn f(X[\n",      "A = \"\n",    "{ A = ) }\n", "A = [1, 2, 3\n",
        "A(x,\n",         "A when (x\n", "x ->\n",      "A = case { x -> case {\n",
        "axis\n",         "A = x +\n",
    };
    (void)state;
    for (size_t k = 0; k < sizeof lines / sizeof *lines; k++) {
        struct fuse_arena *arena = fuse_arena_open(NULL);
        struct fuse_text text = {.arena = arena};
        repeat(&text, lines[k], 50000);
        repeat(&text, "Y = )\n", 1);
        struct outcome outcome = parse_text(&text);
        assert_false(outcome.ok);
        assert_true(outcome.seconds < SECONDS);
        text.bytes = 0;
        for (const char *c = lines[k]; *c; c++)
            if (*c != '\n')
                fuse_text_add_bytes(&text, c, 1);
        size_t bytes = text.bytes;
        for (int i = 0; i < 50000; i++)
            fuse_text_add_bytes(&text, text.at + (size_t)i * bytes, bytes);
        outcome = parse_text(&text);
        assert_false(outcome.ok);
        assert_true(outcome.seconds < SECONDS);
        fuse_arena_close(arena);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_lines), cmocka_unit_test(test_long_literals), cmocka_unit_test(test_second_readings),
        cmocka_unit_test(test_nesting),    cmocka_unit_test(test_chains),        cmocka_unit_test(test_broken_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
