/* The parser beyond what the printed tree shows: spans, numbering, both readings of NAME(...), several files, and that
 * every syntax error is reported once and in place. The trees themselves are golden tests. */
#include "lang/parser.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct program {
    struct fuse_arena *arena;
    struct fuse_files files;
    struct fuse_diagnostics diagnostics;
    struct fuse_ast ast;
};

static int open_program(void **state) {
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct program *program = FUSE_NEW(arena, struct program);
    program->arena = program->files.arena = program->diagnostics.arena = arena;
    *state = program;
    return 0;
}

static int close_program(void **state) {
    fuse_arena_close(((struct program *)*state)->arena);
    return 0;
}

static bool parse(struct program *program, const char *text) {
    struct fuse_program_file file = {.path = "p.fuse", .text = text, .bytes = strlen(text)};
    fuse_vec_push(program->arena, &program->files.list, file);
    return fuse_parse(&program->ast, program->arena, &program->files, program->files.list.n - 1, &program->diagnostics);
}

/* The right side of the only equation in the text. */
static const struct fuse_expr *parse_value(struct program *program, const char *text) {
    assert_true(parse(program, text));
    assert_int_equal(program->ast.items, 1);
    return program->ast.item[0]->value;
}

static void assert_text(const struct program *program, struct fuse_span span, const char *expected) {
    const char *text = program->files.list.at[span.file].text;
    assert_int_equal(span.end - span.begin, strlen(expected));
    assert_memory_equal(text + span.begin, expected, strlen(expected));
}

/* Fails when a span is off by a byte at either end. */
static void test_spans(void **state) {
    struct program *program = *state;
    assert_true(parse(program, "# one\n  ns::Y[i, j+1] when  G(i)  max= (A[i] + 2) B.C\n"
                               "") == false);
    program->diagnostics.list.n = program->diagnostics.errors = 0;
    program->files.list.n = program->ast.items = 0;

    assert_true(parse(program, "# one\n  ns::Y[i, j+1] when  G(i)  max= (A[i] + 2) B  # end\n\"é.npy\" = Y"));
    const struct fuse_item *item = program->ast.item[0];
    assert_text(program, item->span, "ns::Y[i, j+1] when  G(i)  max= (A[i] + 2) B");
    assert_text(program, item->lhs.span, "ns::Y[i, j+1]");
    assert_text(program, item->lhs.name_span, "ns::Y");
    assert_text(program, item->lhs.index[1].span, "j+1");
    assert_text(program, item->guard->span, "G(i)");
    assert_text(program, item->guard->apply.name_span, "G");
    assert_text(program, item->assign_span, "max=");
    const struct fuse_expr *product = item->value, *sum = product->binary.left;
    assert_text(program, product->span, "(A[i] + 2) B");
    assert_int_equal(product->binary.op_span.begin, product->binary.op_span.end);
    assert_false(product->binary.parenthesised);
    assert_text(program, sum->span, "(A[i] + 2)");
    assert_text(program, sum->binary.op_span, "+");
    assert_true(sum->binary.parenthesised);
    assert_text(program, sum->binary.left->span, "A[i]");
    assert_text(program, sum->binary.left->ref.name_span, "A");
    assert_text(program, program->ast.item[1]->text_span, "\"é.npy\"");
    assert_string_equal(program->ast.item[1]->text, "é.npy");
}

static void test_spans_of_constructs(void **state) {
    struct program *program = *state;
    const struct fuse_expr *value =
        parse_value(program, "Y = f(axis=@g(x), X[a : -b]) + case { c -> 1; default -> reduce(sum, i) 2 Z }");
    const struct fuse_expr *call = value->binary.left, *cases = value->binary.right;
    assert_text(program, call->span, "f(axis=@g(x), X[a : -b])");
    assert_text(program, call->apply.argument[0].name_span, "axis");
    assert_text(program, call->apply.argument[0].value->span, "@g(x)");
    assert_text(program, call->apply.argument[0].value->apply.name_span, "g");
    const struct fuse_index *slice = &call->apply.argument[1].value->ref.index[0];
    assert_text(program, slice->span, "a : -b");
    assert_text(program, slice->start.span, "a");
    assert_text(program, slice->stop.span, "-b");
    assert_true(slice->stop.negative);
    assert_int_equal(slice->step.kind, FUSE_BOUND_NONE);
    assert_string_equal(slice->name, "a:-b");
    assert_text(program, cases->span, "case { c -> 1; default -> reduce(sum, i) 2 Z }");
    assert_text(program, cases->cases.otherwise->span, "reduce(sum, i) 2 Z");
    assert_text(program, cases->cases.otherwise->reduce.index[0].span, "i");
    assert_text(program, cases->cases.entry[0].condition->span, "c");
}

/* What is a call, what a reference, and what may be either. */
static void test_readings(void **state) {
    static const struct {
        const char *text;
        bool is_call, is_ref;
        int arguments, indices;
    } cases[] = {
        {"Y = E()", true, true, 0, 0},
        {"Y = E(x)", true, true, 1, 1},
        {"Y = E(x, 0, \"a\")", true, true, 3, 3},
        {"Y = E(i+1, j-2)", true, true, 2, 2},
        {"Y = E(p', q)", true, true, 2, 2},
        {"Y = E(x,)", true, false, 1, 0},
        {"Y = E(x y)", true, false, 1, 0},
        {"Y = E(i=3)", true, false, 1, 0},
        {"Y = E(1.5)", true, false, 1, 0},
        {"Y = E(-x)", true, false, 1, 0},
        {"Y = E(x, f(y))", true, false, 2, 0},
        {"Y = E(*t)", false, true, 0, 1},
        {"Y = E(q., r)", false, true, 0, 2},
        {"Y = E(0:3)", false, true, 0, 1},
        {"Y = E(i=0:3, j)", false, true, 0, 2},
        {"Y = @E(x)", true, false, 1, 0},
        {"Y = case(x, y)", true, false, 2, 0},
        {"Y = select(a, b, c)", true, false, 3, 0},
    };
    struct program *program = *state;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        program->ast = (struct fuse_ast){0};
        const struct fuse_expr *value = parse_value(program, cases[k].text);
        assert_int_equal(value->kind, FUSE_EXPR_APPLY);
        assert_int_equal(value->apply.is_call, cases[k].is_call);
        assert_int_equal(value->apply.is_ref, cases[k].is_ref);
        assert_int_equal(value->apply.arguments, cases[k].arguments);
        assert_int_equal(value->apply.indices, cases[k].indices);
    }
}

/* A reading that was tried and given up leaves no gap in the numbers. */
static void test_ids(void **state) {
    struct program *program = *state;
    const struct fuse_expr *value = parse_value(program, "Y = E(q., i) + F(x, *t) + f(x, y) + 2");
    /* E, F, +, x, y, f, +, 2, + */
    assert_int_equal(program->ast.exprs, 9);
    assert_int_equal(value->id, 8);
    assert_true(parse(program, "Z = 1"));
    assert_int_equal(program->ast.item[1]->value->id, 9);
    assert_int_equal(program->ast.exprs, 10);
}

static void test_several_files(void **state) {
    struct program *program = *state;
    assert_true(parse(program, "A = 1\nB = 2"));
    assert_true(parse(program, ""));
    assert_true(parse(program, "\nC = 3"));
    assert_int_equal(program->ast.items, 3);
    assert_int_equal(program->ast.item[2]->span.file, 2);
    assert_int_equal(program->ast.item[2]->span.begin, 1);
    assert_false(parse(program, "D = )\nE = 5"));
    assert_int_equal(program->ast.items, 4);
    assert_string_equal(program->ast.item[3]->lhs.name, "E");
    assert_int_equal(program->diagnostics.list.at[0].span.file, 3);
    assert_int_equal(program->diagnostics.list.at[0].status, FUSE_EPROGRAM);
}

static void test_compact_lists(void **state) {
    struct program *program = *state;
    const struct fuse_expr *list = parse_value(program, "L[i] = [1, -2, 9223372036854775807, -0]");
    assert_null(list->list.item);
    assert_int_equal(list->list.n, 4);
    assert_int_equal(list->list.integer[1], -2);
    assert_true(list->list.integer[2] == INT64_MAX);
    assert_true(list->list.real[1] == -2.0);

    program->ast = (struct fuse_ast){0};
    list = parse_value(program, "L[i] = [1, -2.5]");
    assert_null(list->list.item);
    assert_null(list->list.integer);
    assert_true(list->list.real[0] == 1.0 && list->list.real[1] == -2.5);

    program->ast = (struct fuse_ast){0};
    list = parse_value(program, "L[i,j] = [[1, 2], [3, x]]");
    assert_int_equal(list->list.n, 2);
    assert_non_null(list->list.item[0]->list.real);
    assert_null(list->list.item[0]->list.item);
    assert_non_null(list->list.item[1]->list.item);

    program->ast = (struct fuse_ast){0};
    list = parse_value(program, "L[i] = []");
    assert_int_equal(list->list.n, 0);
    assert_null(list->list.item);
}

/* Decimal to binary conversion is correctly rounded, whatever the way. Expected values are the exact bit patterns. */
static void test_real_values(void **state) {
    static const struct {
        const char *text;
        uint64_t bits;
    } cases[] = {
        {"Y = 0.1", 0x3FB999999999999AULL},
        {"Y = 1e22", 0x4480F0CF064DD592ULL},
        {"Y = 1e23", 0x44B52D02C7E14AF6ULL},
        {"Y = 9007199254740993.0", 0x4340000000000000ULL},
        {"Y = 9007199254740993.00000000000000000000000000000000001", 0x4340000000000001ULL},
        {"Y = 5e-324", 0x0000000000000001ULL},
        {"Y = 2.2250738585072011e-308", 0x000FFFFFFFFFFFFFULL},
        {"Y = 1.7976931348623157e308", 0x7FEFFFFFFFFFFFFFULL},
        {"Y = .5", 0x3FE0000000000000ULL},
        {"Y = 5.", 0x4014000000000000ULL},
        {"Y = 0.000000000000000000000000000001e30", 0x3FF0000000000000ULL},
        {"Y = 0e999999999999", 0x0000000000000000ULL},
        {"Y = 1e-999999999999", 0x0000000000000000ULL},
    };
    struct program *program = *state;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        program->ast = (struct fuse_ast){0};
        uint64_t bits;
        double value = parse_value(program, cases[k].text)->number.real;
        memcpy(&bits, &value, sizeof bits);
        assert_true(bits == cases[k].bits);
    }
}

static int line_of(const struct program *program, int k) {
    struct fuse_span span = program->diagnostics.list.at[k].span;
    int line, column;
    fuse_locate(&program->files.list.at[span.file], span.begin, &line, &column);
    return line;
}

/* One error a line, for every bad line, none for the good ones. */
static void test_every_error_once(void **state) {
    struct program *program = *state;
    assert_false(parse(program, "A = ) ) & $ \"\n"
                                "B = 1\n"
                                "C = 1_0 + 0x3 + )\n"
                                "{\n"
                                "  D = [1,,2] }\n"
                                "E = 2\n"
                                "F = f(1,\n"
                                "      2 ^ 3,\n"
                                "      4 ^ 5)\n"
                                "G = )"));
    static const int lines[] = {1, 3, 5, 8, 10};
    assert_int_equal(program->diagnostics.list.n, 5);
    for (int k = 0; k < 5; k++)
        assert_int_equal(line_of(program, k), lines[k]);
    assert_int_equal(program->ast.items, 3); /* B, the block, E */
}

static void test_more_errors_than_are_kept(void **state) {
    struct program *program = *state;
    struct fuse_text text = {.arena = program->arena};
    for (int k = 0; k < 250; k++)
        fuse_text_add(&text, "A = (\nB = f(x,\n      y)\n");
    assert_false(parse(program, text.at));
    assert_int_equal(program->diagnostics.errors, 250);
    assert_int_equal(program->diagnostics.list.n, 100);
    assert_int_equal(program->ast.items, 250);
}

/* An empty program, and one of nothing but blanks, are programs. */
static void test_empty(void **state) {
    struct program *program = *state;
    assert_true(parse(program, ""));
    assert_true(parse(program, "\n\n # x\n;;\n\t"));
    assert_int_equal(program->ast.items, 0);
    struct fuse_text text = {.arena = program->arena};
    fuse_ast_print(&text, &program->ast);
    assert_int_equal(text.bytes, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_spans, open_program, close_program),
        cmocka_unit_test_setup_teardown(test_spans_of_constructs, open_program, close_program),
        cmocka_unit_test_setup_teardown(test_readings, open_program, close_program),
        cmocka_unit_test_setup_teardown(test_ids, open_program, close_program),
        cmocka_unit_test_setup_teardown(test_several_files, open_program, close_program),
        cmocka_unit_test_setup_teardown(test_compact_lists, open_program, close_program),
        cmocka_unit_test_setup_teardown(test_real_values, open_program, close_program),
        cmocka_unit_test_setup_teardown(test_every_error_once, open_program, close_program),
        cmocka_unit_test_setup_teardown(test_more_errors_than_are_kept, open_program, close_program),
        cmocka_unit_test_setup_teardown(test_empty, open_program, close_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
