/* The plans of products, whose best traffic is known in closed form. */
#include "plan/plan.h"
#include "tests/unit/ir_interpret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define MIB ((int64_t)1 << 20)

static void product(struct fuse_ir *ir, struct fuse_arena *arena, int64_t m, int64_t n, int64_t k) {
    *ir = (struct fuse_ir){.arena = arena};
    int a = build_source(ir, "a", FUSE_F32, 2, (int64_t[]){m, k});
    int b = build_source(ir, "b", FUSE_F32, 2, (int64_t[]){k, n});
    int c =
        build_product(ir, FUSE_F32, "ij", "ijk", (int64_t[]){m, n, k}, 2, (struct build_use[]){{a, "ik"}, {b, "kj"}});
    build_sink(ir, "c", c);
}

static struct fuse_plan *plan(struct fuse_arena *arena, const struct fuse_ir *ir, int ranks, int64_t memory,
                              int ranks_per_node) {
    struct fuse_plan_request request = {
        .ranks = ranks, .memory_bytes = memory, .machine = fuse_machine_default(), .replicate_below = -1};
    request.machine.ranks_per_node = ranks_per_node;
    struct fuse_plan *made;
    struct fuse_error err = {0};
    enum fuse_status status = fuse_plan_make(&made, arena, ir, &request, &err);
    if (status != FUSE_OK)
        print_message("%s\n%s\n%s\n", err.message, err.note, err.hint);
    else if (getenv("SHOW_PLANS")) {
        struct fuse_text text = {.arena = arena};
        fuse_plan_print(&text, made);
        print_message("%s\n", text.at);
    }
    return status == FUSE_OK ? made : NULL;
}

/* On one node, where all that travels takes time: less memory, more words. */
static void test_memory_limits(void **unused) {
    (void)unused;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_ir ir;
    product(&ir, arena, 8192, 8192, 8192);
    assert_non_null(plan(arena, &ir, 8, 0, 8));
    struct fuse_plan *wide = plan(arena, &ir, 8, 220 * MIB, 8);
    assert_non_null(wide);
    assert_true(wide->peak_bytes + FUSE_PLAN_BASE_BYTES <= 220 * MIB);
    assert_true(wide->received_bytes_max[FUSE_PHASE_RUN] <= 96 * MIB);
    struct fuse_plan *narrow = plan(arena, &ir, 8, 140 * MIB, 8);
    assert_non_null(narrow);
    assert_true(narrow->peak_bytes + FUSE_PLAN_BASE_BYTES <= 140 * MIB);
    assert_true(narrow->received_bytes_max[FUSE_PHASE_RUN] <= 128 * MIB);
    assert_null(plan(arena, &ir, 8, 60 * MIB, 8));
    fuse_arena_close(arena);
}

/* The tight bound on words that some rank receives, with unlimited memory (Al Daas, Ballard, Grigori, Kumar, Rouse,
 * SPAA 2022): D - (mk + kn + mn) / P with m >= n >= k. */
static double bound_words(double m, double n, double k, double p) {
    double t;
    if (m < n)
        t = m, m = n, n = t;
    if (n < k)
        t = n, n = k, k = t;
    if (m < n)
        t = m, m = n, n = t;
    double d = p <= m / n           ? (m * n + m * k) / p + n * k
               : p <= m * n / k / k ? 2 * sqrt(m * n * k * k / p) + m * n / p
                                    : 3 * cbrt(m * n * k / p * (m * n * k / p));
    return d - (m * k + k * n + m * n) / p;
}

/* No plan may claim to receive less than the bound; good ones come near. */
static void test_lower_bound(void **unused) {
    (void)unused;
    static const int ranks[] = {2, 3, 4, 6, 8, 13, 16, 64, 100, 509, 512, 1024, 4093, 4096};
    static const int64_t shape[][3] = {
        {4096, 4096, 4096}, {512, 512, 131072}, {131072, 512, 512}, {20000, 3000, 400}, {8192, 1024, 8192}};
    double worst = 0, sum = 0;
    int count = 0;
    for (size_t s = 0; s < sizeof shape / sizeof *shape; s++)
        for (size_t r = 0; r < sizeof ranks / sizeof *ranks; r++) {
            struct fuse_arena *arena = fuse_arena_open(NULL);
            struct fuse_ir ir;
            product(&ir, arena, shape[s][0], shape[s][1], shape[s][2]);
            struct fuse_plan *made = plan(arena, &ir, ranks[r], 0, 0);
            assert_non_null(made);
            double words = (double)made->received_bytes_max[FUSE_PHASE_RUN] / 4;
            double bound = bound_words((double)shape[s][0], (double)shape[s][1], (double)shape[s][2], ranks[r]);
            if (words < bound)
                print_error("%d ranks: %.0f words, bound %.0f\n", ranks[r], words, bound);
            assert_true(words >= bound);
            worst = words / bound > worst ? words / bound : worst;
            sum += log(words / bound);
            count++;
            fuse_arena_close(arena);
        }
    print_message("words over the bound: geometric mean %.3f, worst %.3f\n", exp(sum / count), worst);
    assert_true(exp(sum / count) < 1.5);
}

/* Words that a rank receives for a sum over all ranks of d x d words which all of them need next. */
static int64_t words_of_sum(int64_t d, int ranks, int64_t latency_ps) {
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_ir ir = {.arena = arena};
    const int64_t n = 1 << 20;
    int x = build_source(&ir, "x", FUSE_F32, 2, (int64_t[]){n, d}),
        y = build_source(&ir, "y", FUSE_F32, 2, (int64_t[]){n, d});
    int g =
        build_product(&ir, FUSE_F32, "ij", "ijn", (int64_t[]){d, d, n}, 2, (struct build_use[]){{x, "ni"}, {y, "nj"}});
    int z =
        build_product(&ir, FUSE_F32, "ni", "nij", (int64_t[]){n, d, d}, 2, (struct build_use[]){{y, "nj"}, {g, "ij"}});
    build_sink(&ir, "z", z);
    struct fuse_plan_request request = {.ranks = ranks, .machine = fuse_machine_default(), .replicate_below = -1};
    request.machine.latency_ps = latency_ps;
    struct fuse_plan *made;
    struct fuse_error err = {0};
    if (fuse_plan_make(&made, arena, &ir, &request, &err) != FUSE_OK)
        fail_msg("%s", err.message);
    int64_t words = made->received_bytes_max[FUSE_PHASE_RUN] / 4;
    fuse_arena_close(arena);
    return words;
}

/* Halves of the mesh exchange all words each, or scatter them and gather the sums (Thakur, Rabenseifner, Gropp 2005, sections 4.3
 * and 4.4): as messages or bytes cost more. Fails when one of the two is all that is known, or is taken where it takes longer. */
static void test_all_reduce(void **unused) {
    (void)unused;
    static const int64_t d = 96;
    for (int halves = 2; halves <= 8; halves++) {
        const int ranks = 1 << halves;
        int64_t late = words_of_sum(d, ranks, 1000000000), quick = words_of_sum(d, ranks, 1);
        assert_int_equal(late, halves * d * d);
        assert_true(quick >= 2 * (d * d - (d * d + ranks - 1) / ranks) && quick < 2 * d * d + ranks);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_memory_limits), cmocka_unit_test(test_lower_bound),
                                       cmocka_unit_test(test_all_reduce)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
