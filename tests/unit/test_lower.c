/* What programs mean: text is parsed, checked and lowered, the IR interpreted element by element, and the result compared
 * with NumPy's. Fails when a sum lands in the wrong place, an index map is off, or a type is not the language's. */
#include "ir_interpret.h"
#include "lang/lang.h"
#include "lang/parser.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define MOST 16

struct lower_case {
    const char *name, *program;
    enum fuse_dtype dtype;
    int rank;
    int64_t extent[4];
    double element[MOST];
};

static struct lower_case cases[] = {
#include "lower_cases.def"
};

static const char prelude[] =
    "A[i,j] = [[1.0,2,3],[4,5,6]]; B[i,j] = [[1.0,0,2],[-1,3,1]]; X[j] = [1.5,-2,0.5]; R[i] = [2.0,-3]\n"
    "S[i,j] = [[2.0,1,0],[1,3,-1],[0,-1,4]]; V[i] = [3,1,2]; export Y\n";

struct compiled {
    struct fuse_arena *arena;
    struct fuse_files files;
    struct fuse_diagnostics diagnostics;
    struct fuse_ir ir;
    bool good;
};

static void compile(struct compiled *c, const char *text) {
    memset(c, 0, sizeof *c);
    c->arena = fuse_arena_open(NULL);
    c->files.arena = c->diagnostics.arena = c->ir.arena = c->arena;
    struct fuse_program_file file = {.path = "test.fuse", .text = text, .bytes = strlen(text)};
    fuse_vec_push(c->arena, &c->files.list, file);
    struct fuse_ast ast = {0};
    struct fuse_sources sources = {0};
    c->good = fuse_parse(&ast, c->arena, &c->files, 0, &c->diagnostics) &&
              fuse_check(&c->ir, c->arena, &ast, &sources, NULL, &c->files, &c->diagnostics);
}

static void print_diagnostics(struct compiled *c) {
    struct fuse_text text = {.arena = c->arena};
    for (int k = 0; k < c->diagnostics.list.n; k++)
        fuse_diagnostic_print(&text, &c->files, &c->diagnostics.list.at[k]);
    print_error("%s", text.at ? text.at : "no message\n");
}

/* F32 arithmetic of a few dozen operations; halves and integers are exact here. */
static bool close_enough(double got, double wanted) {
    return fabs(got - wanted) <= 2e-5 * (1 + fabs(wanted));
}

static bool check_value(const struct lower_case *test, const struct fuse_value *value, const void *data) {
    int64_t elems = fuse_value_elems(value);
    bool good = value->dtype == test->dtype && value->rank == test->rank && elems <= MOST;
    for (int a = 0; good && a < test->rank; a++)
        good = value->extent[a] == test->extent[a];
    for (int64_t e = 0; good && e < elems; e++) {
        double got;
        (void)fuse_dtype_convert(&got, FUSE_F64, (const char *)data + (size_t)e * fuse_dtype_bytes(value->dtype),
                                 value->dtype, 1);
        good = close_enough(got, test->element[e]);
        if (!good)
            print_error("element %d: %.9g, expected %.9g\n", (int)e, got, test->element[e]);
    }
    return good;
}

static void runs_as_numpy(void **state) {
    const struct lower_case *test = *state;
    struct compiled c;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    compile(&c, fuse_arena_printf(arena, "%s%s\n", prelude, test->program));
    struct fuse_text text = {.arena = arena};
    if (!c.good)
        print_diagnostics(&c);
    assert_true(c.good);
    /* As lowered, and as the rewrites leave it. */
    for (int round = 0; round < 2; round++) {
        struct fuse_error err = {0};
        struct interpreted result;
        if (fuse_ir_verify(&c.ir, &err) != FUSE_OK)
            print_error("%s\n", err.message);
        assert_int_equal(err.status, FUSE_OK);
        assert_true(interpret(&result, arena, &c.ir));
        assert_int_equal(result.sinks, 1);
        bool good = check_value(test, result.value[0], result.sink[0]);
        if (!good) {
            fuse_ir_print(&text, &c.ir);
            print_error("%s\n%s", test->program, text.at);
        }
        assert_true(good);
        assert_int_equal(fuse_ir_simplify(&c.ir, &err), FUSE_OK);
    }
    fuse_arena_close(c.arena);
    fuse_arena_close(arena);
}

/* Sinks take their axes from the expression, in order of first appearance, whatever constructs take in between. */
static void sinks_order_their_axes(void **state) {
    static const struct {
        const char *sink;
        int rank;
        int64_t extent[3];
    } rows[] = {{"A[i,j]", 2, {2, 3}},
                {"B[i,j] T[j,i]", 2, {2, 3}},
                {"T[j,i] + A[i,j]", 2, {3, 2}},
                {"sum(A[i,j], axis=i) T[j,k]", 2, {3, 2}},
                {"one_hot(V[i], 5)", 2, {3, 5}},
                {"one_hot(V[i], 5) * S[j,i]", 3, {3, 3, 5}},
                {"softmax(A[i,j])", 2, {2, 3}},
                {"sum(A[i,j])", 0, {0}},
                {"reduce(sum, j) softmax(R[i] X[j])", 1, {2}},
                {"3", 0, {0}}};
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        struct compiled c;
        struct fuse_arena *arena = fuse_arena_open(NULL);
        compile(&c, fuse_arena_printf(arena, "%sT[j,i] = A[i,j]; Y = 1; \"y.npy\" = %s\n", prelude, rows[k].sink));
        if (!c.good)
            print_diagnostics(&c);
        assert_true(c.good);
        const struct fuse_value *value = NULL;
        for (int o = 0; o < c.ir.ops.n; o++)
            if (c.ir.ops.at[o]->kind == FUSE_OP_SINK && c.ir.ops.at[o]->path)
                value = &c.ir.values.at[c.ir.ops.at[o]->input[0].value];
        assert_non_null(value);
        assert_int_equal(value->rank, rows[k].rank);
        for (int a = 0; a < value->rank; a++)
            assert_int_equal(value->extent[a], rows[k].extent[a]);
        fuse_arena_close(c.arena);
        fuse_arena_close(arena);
    }
    (void)state;
}

/* Softmax attention, however it is written, becomes one operation; what looks like it does not. */
static void attention_becomes_one_operation(void **state) {
    static const struct {
        const char *program;
        int attentions, products, maps; /* after the rewrites */
    } rows[] = {
        {"Y[i,j] = attention(B[i,k], B[l,k], A[l,j])", 1, 0, 0},
        {"Y[j,i] = attention(B[i,k], B[l,k], A[l,j])", 1, 0, 0},
        {"Y[i,j] = attention(B[i,k], B[l,k], A[l,j], causal=true)", 1, 0, 0},
        {"Y[i,j] = A[i,j] + 2 * attention(B[i,k], B[l,k], A[l,j], causal=true)", 1, 0, 1},
        {"Y[i,j] = attention(B[i,k], B[l,k], A[l,j], mask=iota(l) != iota(i))", 1, 0, 0},
        {"Y[i,j] = softmax(B[i,k] S[k,l] / 3, axis=l) S[l,j]", 1, 0, 0},
        {"P[i,l.] = softmax(B[i,k] S[k,l] + B[i,l])\nY[j,i] = P[i,l] S[l,j]", 1, 0, 0},
        {"P[i,l.] = masked_softmax(B[i,k] S[k,l] / 3, iota(l) <= iota(i))\nY[i,j] = S[l,j] P[i,l]", 1, 0, 0},
        {"P[i,l.] = softmax(5 * tanh(B[i,k] S[k,l] / 5))\nY[i,j] = P[i,l] S[l,j]", 1, 0, 0},
        /* the weights have another reader */
        {"P[i,l.] = softmax(B[i,k] S[k,l])\nY[i,j] = P[i,l] S[l,j]\nZ = sum(P[i,l] * P[i,l])\n\"z.npy\" = Z", 0, 3, 3},
        /* normalised over the queries */
        {"Y[i,j] = softmax(B[i,k] S[k,l], axis=i) S[l,j]", 0, 2, 3},
        /* two maxima: of something else than the scores */
        {"P[i,l] = exp(B[i,k] S[k,l] - max(2 B[i,k] S[k,l], axis=l))\nY[i,j] = P[i,l] S[l,j]", 0, 2, 2},
    };
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        struct compiled c;
        struct fuse_error err = {0};
        struct fuse_arena *arena = fuse_arena_open(NULL);
        struct fuse_text text = {.arena = arena};
        compile(&c, fuse_arena_printf(arena, "%s%s\n", prelude, rows[k].program));
        if (!c.good)
            print_diagnostics(&c);
        assert_true(c.good);
        assert_int_equal(fuse_ir_simplify(&c.ir, &err), FUSE_OK);
        int n[FUSE_OP_ATTENTION + 1] = {0};
        for (int o = 0; o < c.ir.ops.n; o++)
            n[c.ir.ops.at[o]->kind]++;
        fuse_ir_print(&text, &c.ir);
        if (n[FUSE_OP_ATTENTION] != rows[k].attentions || n[FUSE_OP_EINSUM] != rows[k].products ||
            n[FUSE_OP_MAP] != rows[k].maps)
            fail_msg("%s\n%s", rows[k].program, text.at);
        fuse_arena_close(c.arena);
        fuse_arena_close(arena);
    }
    (void)state;
}

/* One MAP for one element-wise expression; no copy of what is made anyway; nothing that no sink needs. */
static void lowers_to_few_operations(void **state) {
    static const struct {
        const char *program;
        int ops; /* besides the literals and the export */
    } rows[] = {{"Y[i,j] = exp(A[i,j]) * 2 + R[i] / X[j] - 1 > B[i,j]", 1},
                {"Y[i,k] = A[i,j] B[k,j]", 1},
                {"Y[i,k] = A[i,j] B[k,j] + R[i]", 2},
                {"Y[i] = A[i,j] X[j]\nZ[i] = exp(R[i])", 1},
                {"Y[i,j] = softmax(A[i,j])", 3},
                {"Y[i,j] = layernorm(A[i,j])", 3},
                {"Y = sum(relu(A[i,j] - B[i,j]))", 1}};
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        struct compiled c;
        struct fuse_arena *arena = fuse_arena_open(NULL);
        compile(&c, fuse_arena_printf(arena, "%s%s\n", prelude, rows[k].program));
        assert_true(c.good);
        int ops = 0;
        for (int o = 0; o < c.ir.ops.n; o++)
            ops += c.ir.ops.at[o]->kind == FUSE_OP_EINSUM || c.ir.ops.at[o]->kind == FUSE_OP_MAP;
        if (ops != rows[k].ops)
            print_error("%s\n", rows[k].program);
        assert_int_equal(ops, rows[k].ops);
        fuse_arena_close(c.arena);
        fuse_arena_close(arena);
    }
    (void)state;
}

/* Random numbers depend on the seed and the element's number in its tensor, not on how the program reaches them. */
static void generators_count_elements(void **state) {
    struct compiled c;
    compile(&c, "axis i = 3\naxis j = 5\nU[i,j] = uniform(seed=7)\nW[i,j] = 4 * uniform(seed=7, lo=1, hi=3) - 4\n"
                "D[i,j] = W[i,j] - 8 * U[i,j]\nY = max(abs(D[i,j]))\nexport Y\n\"u.npy\" = U[i,j]\n");
    if (!c.good)
        print_diagnostics(&c);
    assert_true(c.good);
    struct interpreted result;
    assert_true(interpret(&result, c.arena, &c.ir));
    const float *u = result.sink[0];
    for (int e = 0; e < 15; e++) {
        uint32_t x[4];
        fuse_philox(x, (uint64_t)e, 7);
        assert_true(u[e] == (float)(x[0] >> 8) * 0x1p-24f);
    }
    assert_true(*(const float *)result.sink[1] < 1e-5f);
    fuse_arena_close(c.arena);
    (void)state;
}

int main(void) {
    enum { CASES = sizeof cases / sizeof *cases };
    static struct CMUnitTest tests[CASES + 4];
    for (size_t k = 0; k < CASES; k++)
        tests[k] = (struct CMUnitTest){.name = cases[k].name, .test_func = runs_as_numpy, .initial_state = &cases[k]};
    tests[CASES] = (struct CMUnitTest)cmocka_unit_test(sinks_order_their_axes);
    tests[CASES + 1] = (struct CMUnitTest)cmocka_unit_test(lowers_to_few_operations);
    tests[CASES + 2] = (struct CMUnitTest)cmocka_unit_test(attention_becomes_one_operation);
    tests[CASES + 3] = (struct CMUnitTest)cmocka_unit_test(generators_count_elements);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
