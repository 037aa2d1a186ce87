/* bench semiring: a matrix product over another semiring, beside the rate at which this processor adds and compares. */
#include "api/bench.h"

#include "backend/peak.h"

#include <string.h>

static const struct fuse_bench_ring {
    const char *name, *program;
    enum { PLUS, TIMES, PICK } times;
    bool is_min;
} rings[] = {
    {"min-plus", "Out[i,j] min= X[i,k] + Y[k,j]\n", PLUS, true},
    {"max-plus", "Out[i,j] max= X[i,k] + Y[k,j]\n", PLUS, false},
    {"max-times", "Out[i,j] max= X[i,k] Y[k,j]\n", TIMES, false},
    {"min-max", "Out[i,j] min= maximum(X[i,k], Y[k,j])\n", PICK, true},
    {"max-min", "Out[i,j] max= minimum(X[i,k], Y[k,j])\n", PICK, false},
};
enum { RINGS = sizeof rings / sizeof *rings };

/* Every operation is one rounding at most, of two elements, so the result is that of double precision, rounded. */
static void check_ring(struct fuse_bench_verdict *verdict, const struct fuse_bench_case *c) {
    const struct fuse_bench_ring *ring = c->context;
    const int64_t m = c->out.extent[0], n = c->out.extent[1], depth = c->operand[0].extent[1];
    const int64_t count = fuse_bench_sample_count(m * n, depth);
    for (int64_t s = 0; s < count; s++) {
        const int64_t place = fuse_bench_sample(m * n, count, s), i = place / n, j = place % n;
        double best = 0, size = 0;
        for (int64_t k = 0; k < depth; k++) {
            const double x = fuse_bench_at(c, &c->operand[0], i * depth + k),
                         y = fuse_bench_at(c, &c->operand[1], k * n + j);
            const double value = ring->times == PLUS       ? x + y
                                 : ring->times == TIMES    ? x * y
                                 : (x > y) == ring->is_min ? x
                                                           : y;
            if (k == 0 || (ring->is_min ? value < best : value > best))
                best = value;
        }
        size = best < 0 ? -best : best;
        fuse_bench_judge(verdict, fuse_bench_at(c, &c->out, place), best, size * (c->is_double ? 0x1p-52 : 0x1p-23));
    }
}

enum fuse_status fuse_bench_make_semiring(struct fuse_bench_case *out, struct fuse_bench *bench, int words,
                                          const char *const *word, int weak_ranks, struct fuse_error *err) {
    const struct fuse_bench_ring *ring = NULL;
    struct fuse_text names = {.arena = bench->arena};
    for (int i = 0; i < RINGS; i++) {
        fuse_text_add(&names, "%s%s", i ? ", " : "", rings[i].name);
        if (words > 0 && strcmp(word[0], rings[i].name) == 0)
            ring = &rings[i];
    }
    if (!ring || (words != 2 && words != 4)) {
        fuse_fail(err, FUSE_EUSAGE, "bench semiring takes a name and N, or M N K");
        fuse_hint(err, "the names are %s", names.at);
        return FUSE_EUSAGE;
    }
    int64_t extent[3]; /* m, n, k */
    for (int i = 0; i < 3; i++)
        if (!fuse_bench_number(&extent[i], word[words == 4 ? 1 + i : 1]))
            return fuse_fail(err, FUSE_EUSAGE, "'%s' is no extent", word[words == 4 ? 1 + i : 1]);
    extent[0] *= weak_ranks > 1 ? weak_ranks : 1;
    out->kind = "semiring";
    out->what = ring->name;
    out->shape = fuse_arena_printf(bench->arena, "i=%lld j=%lld k=%lld", (long long)extent[0], (long long)extent[1],
                                   (long long)extent[2]);
    out->operands = 2;
    fuse_bench_set_tensor(&out->operand[0], bench, "X", "ik", (const int64_t[]){extent[0], extent[2]});
    fuse_bench_set_tensor(&out->operand[1], bench, "Y", "kj", (const int64_t[]){extent[2], extent[1]});
    fuse_bench_set_tensor(&out->out, bench, "Out", "ij", extent);
    out->program = ring->program;
    out->flops = 2.0 * (double)extent[0] * (double)extent[1] * (double)extent[2];
    out->peak_flops = fuse_cpu_add_min_rate(bench->options.isa, out->is_double);
    out->check = check_ring;
    out->context = ring;
    fuse_bench_count_bytes(out);
    return FUSE_OK;
}
