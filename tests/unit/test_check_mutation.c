/* Programs with tokens lost, doubled, exchanged and replaced: the checker must answer every one of them with messages or
 * with an IR that is valid and stays so under the rewrites. Fails by a crash, a hang, a sanitizer, an invalid IR, or a
 * refusal without a word.
 *
 * usage: test_check_mutation [ROUNDS [SEED]]; the texts of lower_cases.def are what is mutated. */
#include "lang/lang.h"
#include "lang/parser.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct lower_case {
    const char *name, *program;
    enum fuse_dtype dtype;
    int rank;
    int64_t extent[4];
    double element[16];
};

static const struct lower_case cases[] = {
#include "lower_cases.def"
};
#define CASES ((int)(sizeof cases / sizeof *cases))

static const char prelude[] = "A[i,j] = \"a.npy\"; B[i,j] = [[1.0,0,2],[-1,3,1]]; X[j] = \"x.npy\"; R[i] = [2.0,-3]\n"
                              "S[i,j] = [[2.0,1,0],[1,3,-1],[0,-1,4]]; V[i] = [3,1,2]; export Y\n";

static const char *const extra[] = {"(",
                                    ")",
                                    "[",
                                    "]",
                                    "{",
                                    "}",
                                    "=",
                                    "+=",
                                    "max=",
                                    "->",
                                    "?",
                                    ":",
                                    ",",
                                    ";",
                                    "\n",
                                    "+",
                                    "-",
                                    "*",
                                    "/",
                                    "**",
                                    "<",
                                    "==",
                                    "&&",
                                    "||",
                                    "!",
                                    ".",
                                    "i",
                                    "j",
                                    "k",
                                    "i'",
                                    "0",
                                    "1",
                                    "-1",
                                    "2.5",
                                    "1e300",
                                    "A",
                                    "A[i,j]",
                                    "X[j]",
                                    "Y",
                                    "Y[i]",
                                    "R[i]",
                                    "case",
                                    "let",
                                    "when",
                                    "const",
                                    "axis",
                                    "param",
                                    "fn",
                                    "reduce(sum, j)",
                                    "softmax(",
                                    "mean(",
                                    "one_hot(",
                                    "axis=j",
                                    "axis=0",
                                    "uniform(seed=1)",
                                    "eye(2)",
                                    "iota(i)",
                                    "cast(",
                                    "\"f16\"",
                                    "9223372036854775807",
                                    "[[1,2],[3,4]]",
                                    "true",
                                    "\"y.npy\" =",
                                    "export",
                                    "import \"x\"",
                                    "::2",
                                    "j+1",
                                    "layernorm(",
                                    "topk(",
                                    "@softmax(",
                                    "4611686018427387904",
                                    "*t",
                                    "i.",
                                    "sig(",
                                    "causal_mask(3)",
                                    "fn f(x[i]) -> y[i] { y[i] = x[i] }",
                                    "f(",
                                    "f(X[j])",
                                    "f(A[i,j])",
                                    "x[i]",
                                    "x",
                                    "Y(",
                                    "P(i,j)",
                                    "X(j)",
                                    "min=",
                                    "avg=",
                                    "prod=",
                                    "when X[j] > 0",
                                    "= \"x.npy\"",
                                    "const list = [1,2,3]",
                                    "list",
                                    "default"};
#define EXTRAS ((int)(sizeof extra / sizeof *extra))

static uint64_t state;
static int rounds = 10000;

static int roll(int n) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (int)((state >> 33) % (uint64_t)n);
}

/* Words, numbers, strings, blanks and single characters. */
static int split(const char **token, int *bytes, int most, const char *text) {
    int n = 0;
    while (*text && n < most) {
        size_t k = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789'");
        if (k == 0)
            k = strspn(text, " ");
        token[n] = text;
        bytes[n] = (int)(k ? k : 1);
        text += bytes[n++];
    }
    return n;
}

static const char *mutate(struct fuse_arena *arena, const char *text) {
    enum { MOST = 600 };
    const char *token[MOST];
    int bytes[MOST], n = split(token, bytes, MOST - 20, text), changes = 1 + roll(5);
    for (; changes > 0 && n > 1; changes--) {
        int at = roll(n), other = roll(n);
        switch (roll(4)) {
        case 0:
            memmove(token + at, token + at + 1, (size_t)(n - at - 1) * sizeof *token);
            memmove(bytes + at, bytes + at + 1, (size_t)(n - at - 1) * sizeof *bytes);
            n--;
            break;
        case 1:
            token[at] = token[other];
            bytes[at] = bytes[other];
            break;
        default:
            memmove(token + at + 1, token + at, (size_t)(n - at) * sizeof *token);
            memmove(bytes + at + 1, bytes + at, (size_t)(n - at) * sizeof *bytes);
            token[at] = roll(3) ? extra[roll(EXTRAS)] : token[other + (other >= at)];
            bytes[at] = token[at] >= text && token[at] < text + strlen(text) ? bytes[other + (other >= at)]
                                                                             : (int)strlen(token[at]);
            n++;
        }
    }
    struct fuse_text result = {.arena = arena};
    for (int k = 0; k < n; k++)
        fuse_text_add_bytes(&result, token[k], (size_t)bytes[k]);
    return result.at ? result.at : "";
}

static void check_one(struct fuse_arena *arena, const char *text) {
    struct fuse_files files = {.arena = arena};
    struct fuse_diagnostics diagnostics = {.arena = arena};
    struct fuse_ast ast = {0};
    struct fuse_ir ir = {.arena = arena};
    struct fuse_sources sources = {0};
    struct fuse_text shown = {.arena = arena};
    struct fuse_program_file file = {.path = "mutant.fuse", .text = text, .bytes = strlen(text)};
    fuse_vec_push(arena, &files.list, file);
    bool parsed = fuse_parse(&ast, arena, &files, 0, &diagnostics);
    fuse_list_sources(&sources, arena, &ast);
    for (int s = 0; s < sources.list.n; s++) {
        struct fuse_probe *probe = &sources.list.at[s].probe;
        *probe = (struct fuse_probe){.rank = 1, .extent = {3}, .file_dtype = FUSE_F32};
        if (strcmp(sources.list.at[s].text, "a.npy") == 0)
            *probe = (struct fuse_probe){.rank = 2, .extent = {2, 3}, .file_dtype = FUSE_U8};
        sources.list.at[s].probed = true;
    }
    /* Lines that could not be read leave the rest checkable. */
    bool good = fuse_check(&ir, arena, &ast, &sources, NULL, &files, &diagnostics);
    if (good) {
        struct fuse_error err = {0};
        if (fuse_ir_verify(&ir, &err) != FUSE_OK ||
            (parsed && fuse_ir_simplify(&ir, &err) != FUSE_OK && err.status == FUSE_EBUG) ||
            (err.status == FUSE_OK && fuse_ir_verify(&ir, &err) != FUSE_OK)) {
            print_error("%s\n%s\n", text, err.message);
            assert_true(false);
        }
    } else if (diagnostics.errors == 0) {
        print_error("%s\nrefused without a word\n", text);
        assert_true(false);
    }
    for (int k = 0; k < diagnostics.list.n; k++)
        fuse_diagnostic_print(&shown, &files, &diagnostics.list.at[k]);
}

static void answers_every_mutant(void **unused) {
    struct fuse_arena *arena = fuse_arena_open(NULL);
    for (int k = 0; k < rounds; k++) {
        struct fuse_arena_mark mark = fuse_arena_mark(arena);
        const char *first = cases[roll(CASES)].program, *second = cases[roll(CASES)].program;
        const char *text = fuse_arena_printf(arena, "%s%s\n", prelude,
                                             roll(2) ? first : fuse_arena_printf(arena, "%s\n%s", first, second));
        check_one(arena, mutate(arena, text));
        fuse_arena_rewind(arena, mark);
    }
    fuse_arena_close(arena);
    (void)unused;
}

int main(int argc, char **argv) {
    if (argc > 1)
        rounds = atoi(argv[1]);
    state = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    const struct CMUnitTest tests[] = {cmocka_unit_test(answers_every_mutant)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
