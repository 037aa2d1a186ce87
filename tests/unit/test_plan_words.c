/* What the plans of products receive, against an exhaustive search over integer grids, and against the tight bound (Al Daas,
 * Ballard, Grigori, Kumar, Rouse, SPAA 2022: D - (mk + kn + mn) / P with m >= n >= k). The machine is one in which only
 * traffic costs, and memory is unlimited or little. SHAPES=200 in the environment takes more shapes (15 s). */
#include "core/scalar.h"
#include "plan/plan.h"
#include "tests/unit/ir_interpret.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static const int more_ranks[] = {96, 127, 128, 509, 512, 1021, 1024, 4093, 4096};

static struct fuse_plan *plan_within(struct fuse_arena *arena, struct fuse_ir *ir, const int64_t shape[3], int ranks,
                                     int64_t memory_bytes) {
    *ir = (struct fuse_ir){.arena = arena};
    int64_t m = shape[0], n = shape[1], k = shape[2];
    int a = build_source(ir, "a", FUSE_F32, 2, (int64_t[]){m, k});
    int b = build_source(ir, "b", FUSE_F32, 2, (int64_t[]){k, n});
    int c =
        build_product(ir, FUSE_F32, "ij", "ijk", (int64_t[]){m, n, k}, 2, (struct build_use[]){{a, "ik"}, {b, "kj"}});
    build_sink(ir, "c", c);
    struct fuse_plan_request request = {.ranks = ranks,
                                        .machine = {.node_ps_per_kib = 400000, .network_ps_per_kib = 400000},
                                        .replicate_below = 0,
                                        .memory_bytes = memory_bytes,
                                        .workspace_bytes = memory_bytes > 0 ? 64 << 10 : 0};
    struct fuse_plan *made;
    struct fuse_error err = {0};
    enum fuse_status status = fuse_plan_make(&made, arena, ir, &request, &err);
    if (status != FUSE_OK && memory_bytes == 0)
        fail_msg("%s", err.message);
    return status == FUSE_OK ? made : NULL;
}

static double pieces(int64_t extent, int64_t parts) {
    return (double)((extent + parts - 1) / parts);
}

/* Words that a rank of a gm x gn x gk grid receives: of its blocks of A, B and the partial C, all but what it has. */
static double grid_words(const int64_t shape[3], int64_t gm, int64_t gn, int64_t gk) {
    double m = pieces(shape[0], gm), n = pieces(shape[1], gn), k = pieces(shape[2], gk);
    return m * k * (1 - 1.0 / (double)gn) + k * n * (1 - 1.0 / (double)gm) + m * n * (1 - 1.0 / (double)gk);
}

static double best_grid_words(const int64_t shape[3], int64_t q) {
    double best = INFINITY;
    for (int64_t gm = 1; gm <= q; gm++)
        for (int64_t gn = 1; q % gm == 0 && gn <= q / gm; gn++) {
            if (q / gm % gn != 0)
                continue;
            int64_t gk = q / gm / gn;
            if (gm > shape[0] || gn > shape[1] || gk > shape[2])
                continue;
            double words = grid_words(shape, gm, gn, gk);
            best = words < best ? words : best;
        }
    return best;
}

/* The same with memory for S words, of which shards, the partial C, a position of each panel and messages (64 KiB each way) are. */
static double best_grid_within(const int64_t shape[3], int64_t q, double memory) {
    double best = INFINITY, m = (double)shape[0], n = (double)shape[1], k = (double)shape[2], p = (double)q;
    for (int64_t gm = 1; gm <= q; gm *= 2)
        for (int64_t gn = 1; gn <= q / gm; gn *= 2) {
            const int64_t gk = q / gm / gn;
            if (gm > shape[0] || gn > shape[1] || gk > shape[2])
                continue;
            double rows = pieces(shape[0], gm), columns = pieces(shape[1], gn);
            double held = (m * k + k * n) / p + rows * columns + rows * (gn > 1) + columns * (gm > 1) + 32768;
            double words = grid_words(shape, gm, gn, gk);
            best = held <= memory && words < best ? words : best;
        }
    return best;
}

static double bound_words(const int64_t shape[3], double p) {
    double m = (double)shape[0], n = (double)shape[1], k = (double)shape[2], t;
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

static void draw_shape(int64_t shape[3], uint32_t number) {
    uint32_t bits[4];
    fuse_philox(bits, 11, number);
    for (int i = 0; i < 3; i++)
        shape[i] = (int64_t)exp2(9.0 + 8.0 * (double)bits[i] / 4294967296.0);
}

struct means {
    double log_sum, worst;
    int n;
};

static void add(struct means *means, double ratio) {
    means->log_sum += log(ratio);
    means->n++;
    means->worst = ratio > means->worst ? ratio : means->worst;
}

static void test_grids(void **unused) {
    (void)unused;
    int shapes = getenv("SHAPES") ? atoi(getenv("SHAPES")) : 25;
    struct means powers = {0}, others = {0};
    for (int s = 0; s < shapes; s++) {
        int64_t shape[3];
        draw_shape(shape, (uint32_t)s);
        for (int i = 2; i < 65 + (int)(sizeof more_ranks / sizeof *more_ranks); i++) {
            int ranks = i < 65 ? i : more_ranks[i - 65];
            struct fuse_arena *arena = fuse_arena_open(NULL);
            struct fuse_ir ir;
            struct fuse_plan *made = plan_within(arena, &ir, shape, ranks, 0);
            double words = (double)made->received_bytes_max[FUSE_PHASE_RUN] / 4;
            double best = best_grid_words(shape, made->mesh.used), bound = bound_words(shape, ranks);
            if (words > best * 1.02)
                fail_msg("%lld x %lld x %lld on %d (%d) ranks: %.0f words, the best grid has %.0f", (long long)shape[0],
                         (long long)shape[1], (long long)shape[2], ranks, made->mesh.used, words, best);
            if ((ranks & (ranks - 1)) == 0)
                add(&powers, words / bound);
            else if (ranks >= 24)
                add(&others, words / bound);
            fuse_arena_close(arena);
        }
    }
    double mean = exp(powers.log_sum / powers.n), other = exp(others.log_sum / others.n);
    print_message("words over the bound: powers of two %.3f in the mean, %.3f at worst; from 24 ranks on %.3f\n", mean,
                  powers.worst, other);
    assert_true(mean <= 1.08 && powers.worst <= 1.30 && other <= 1.25);
}

/* D of bound_words, before what a rank has of its own is taken off. */
static double needed_words(const int64_t shape[3], double p) {
    double m = (double)shape[0], n = (double)shape[1], k = (double)shape[2];
    return bound_words(shape, p) + (m * k + k * n + m * n) / p;
}

/* With memory for S words, S = 1.5, 2 and 4 times what a rank owns, against min{2mnk / (P S^(1/2)) + S, D} - owned, and against the
 * best grid that fits. Of 4,096 ranks shards fill so much that no grid comes near the bound. */
static void test_little_memory(void **unused) {
    (void)unused;
    static const double times[] = {1.5, 2, 4};
    static const int ranks[] = {4, 8, 16, 32, 64, 128, 512, 1024, 4096};
    int shapes = getenv("SHAPES") ? atoi(getenv("SHAPES")) : 8;
    for (int t = 0; t < 3; t++) {
        struct means all = {0}, grids = {0};
        int refused = 0;
        for (int s = 0; s < shapes; s++)
            for (size_t i = 0; i < sizeof ranks / sizeof *ranks; i++) {
                int64_t shape[3];
                draw_shape(shape, (uint32_t)s);
                double m = (double)shape[0], n = (double)shape[1], k = (double)shape[2], p = ranks[i];
                double owned = (m * k + k * n + m * n) / p, words = times[t] * owned;
                if (words * 4 < 1 << 20)
                    continue; /* messages need room as well */
                struct fuse_arena *arena = fuse_arena_open(NULL);
                struct fuse_ir ir;
                struct fuse_plan *made =
                    plan_within(arena, &ir, shape, ranks[i], FUSE_PLAN_BASE_BYTES + (int64_t)(4 * words));
                double in_memory = 2 * m * n * k / p / sqrt(words) + words, least = needed_words(shape, p);
                double bound = (in_memory < least ? in_memory : least) - owned;
                if (made && bound > 0) {
                    double received = (double)made->received_bytes_max[FUSE_PHASE_RUN] / 4;
                    add(&all, received / bound);
                    add(&grids, received / best_grid_within(shape, ranks[i], words));
                }
                refused += made == NULL;
                fuse_arena_close(arena);
            }
        double mean = exp(all.log_sum / all.n), over_grids = exp(grids.log_sum / grids.n);
        print_message(
            "S = %.1f x owned: %d plans, %.3f times the bound in the mean, %.3f at worst; %.3f times the best grid, "
            "%.3f at worst; %d refused\n",
            times[t], all.n, mean, all.worst, over_grids, grids.worst, refused);
        assert_true(all.n > 0 && mean <= 1.20 && over_grids <= 1.04 && refused == 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_grids), cmocka_unit_test(test_little_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
