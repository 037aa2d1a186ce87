/* Whether a benchmark computed what it should: plain loops in double precision over elements of the result, spread evenly,
 * as many as a second or so allows. */
#include "api/bench.h"

#include <math.h>
#include <stdlib.h>

/* Multiplications spent on a check, and elements of a result at most. */
#define BUDGET ((int64_t)1 << 27)
#define SAMPLES ((int64_t)1 << 16)

static double unit(const struct fuse_bench_case *c) {
    return c->is_double ? 0x1p-53 : 0x1p-24;
}

double fuse_bench_at(const struct fuse_bench_case *c, const struct fuse_bench_tensor *t, int64_t i) {
    double value;
    (void)c;
    if (t->dtype == FUSE_F32)
        return (double)((const float *)t->data)[i];
    fuse_dtype_convert(&value, FUSE_F64, (const char *)t->data + i * (int64_t)fuse_dtype_bytes(t->dtype), t->dtype, 1);
    return value;
}

static int64_t elems(const struct fuse_bench_tensor *t) {
    int64_t n = 1;
    for (int a = 0; a < t->rank; a++)
        n *= t->extent[a];
    return n;
}

/* Samples of n things that cost so much each, and the s-th: one at each end, the others strewn over equal parts. */
int64_t fuse_bench_sample_count(int64_t n, int64_t cost) {
    int64_t count = BUDGET / (cost > 0 ? cost : 1);
    count = count > SAMPLES ? SAMPLES : count < 16 ? 16 : count;
    return count < n ? count : n;
}

int64_t fuse_bench_sample(int64_t n, int64_t count, int64_t s) {
    if (count == n || s == 0)
        return s;
    if (s == count - 1)
        return n - 1;
    int64_t begin = (int64_t)((double)n * (double)s / (double)count),
            end = (int64_t)((double)n * (double)(s + 1) / (double)count);
    uint64_t mixed = ((uint64_t)s + 1) * UINT64_C(0x9E3779B97F4A7C15);
    return begin + (end > begin ? (int64_t)((mixed >> 20) % (uint64_t)(end - begin)) : 0);
}

/* NaN is wrong, whatever was expected. */
void fuse_bench_judge(struct fuse_bench_verdict *verdict, double got, double want, double allowed) {
    double share = fabs(got - want) / allowed;
    verdict->checked++;
    if (!(share <= 1))
        verdict->wrong++;
    if (!(share <= verdict->error))
        verdict->error = share;
}

/* ---- sums of products ---- */

/* Loops over the summed letters; strides of each operand along each letter. */
struct nest {
    int axes;
    int64_t extent[52], at[52], stride[FUSE_BENCH_OPERANDS][52];
    int64_t points;
};

static int64_t stride_along(const struct fuse_bench_tensor *t, char letter) {
    int64_t stride = 1, sum = 0;
    for (int a = t->rank - 1; a >= 0; a--) {
        if (t->axes[a] == letter)
            sum += stride;
        stride *= t->extent[a];
    }
    return sum;
}

static bool has(const struct fuse_bench_tensor *t, char letter) {
    for (int a = 0; a < t->rank; a++)
        if (t->axes[a] == letter)
            return true;
    return false;
}

static void make_nest(struct nest *nest, const struct fuse_bench_case *c) {
    bool seen[128] = {false};
    *nest = (struct nest){.points = 1};
    for (int i = 0; i < c->operands; i++)
        for (int a = 0; a < c->operand[i].rank; a++) {
            char letter = c->operand[i].axes[a];
            if (seen[(int)letter] || has(&c->out, letter))
                continue;
            seen[(int)letter] = true;
            nest->extent[nest->axes] = c->operand[i].extent[a];
            nest->points *= c->operand[i].extent[a];
            for (int k = 0; k < c->operands; k++)
                nest->stride[k][nest->axes] = stride_along(&c->operand[k], letter);
            nest->axes++;
        }
}

/* The sum and the sum of magnitudes at one point of the result. */
static void sum_products(double *sum, double *magnitude, const struct fuse_bench_case *c, struct nest *nest,
                         int64_t *offset) {
    long double total = 0;
    *magnitude = 0;
    for (int x = 0; x < nest->axes; x++)
        nest->at[x] = 0;
    for (int64_t p = 0; p < nest->points; p++) {
        double product = 1;
        for (int i = 0; i < c->operands; i++)
            product *= fuse_bench_at(c, &c->operand[i], offset[i]);
        total += product;
        *magnitude += fabs(product);
        for (int x = nest->axes - 1; x >= 0; x--) {
            bool wraps = ++nest->at[x] == nest->extent[x];
            for (int i = 0; i < c->operands; i++)
                offset[i] += wraps ? -nest->stride[i][x] * (nest->extent[x] - 1) : nest->stride[i][x];
            if (!wraps)
                break;
            nest->at[x] = 0;
        }
    }
    *sum = (double)total;
}

void fuse_bench_check_einsum(struct fuse_bench_verdict *verdict, const struct fuse_bench_case *c) {
    struct nest nest;
    make_nest(&nest, c);
    int64_t n = elems(&c->out), count = fuse_bench_sample_count(n, nest.points);
    for (int64_t s = 0; s < count; s++) {
        int64_t place = fuse_bench_sample(n, count, s), rest = place, offset[FUSE_BENCH_OPERANDS] = {0};
        for (int a = c->out.rank - 1; a >= 0; a--) {
            int64_t x = rest % c->out.extent[a];
            rest /= c->out.extent[a];
            for (int i = 0; i < c->operands; i++)
                offset[i] += x * stride_along(&c->operand[i], c->out.axes[a]);
        }
        double want, magnitude;
        sum_products(&want, &magnitude, c, &nest, offset);
        /* Sums in blocks err by a few units of the sum of magnitudes; a copy by nothing. */
        double allowed = c->operands == 1 && nest.points == 1 ? 0 : 8 * unit(c) * magnitude;
        if (c->out.dtype == FUSE_BOOL)
            want = want > 0;
        if (c->out.dtype != FUSE_F32 &&
            c->out.dtype != FUSE_F64) /* integers are exact, narrow reals rounded once more */
            allowed = c->out.dtype == FUSE_F16    ? allowed + fabs(want) * 0x1p-11
                      : c->out.dtype == FUSE_BF16 ? allowed + fabs(want) * 0x1p-8
                                                  : 0;
        fuse_bench_judge(verdict, fuse_bench_at(c, &c->out, place), want, allowed + 0x1p-1000);
    }
}

void fuse_bench_check_equal(struct fuse_bench_verdict *verdict, const struct fuse_bench_case *c) {
    int64_t n = elems(&c->out);
    for (int64_t i = 0; i < n; i++)
        fuse_bench_judge(verdict, fuse_bench_at(c, &c->out, i), fuse_bench_at(c, &c->operand[0], i), 0x1p-1000);
}

void fuse_bench_check_sums(struct fuse_bench_verdict *verdict, const struct fuse_bench_case *c) {
    int64_t n = elems(&c->out), terms = c->operand[0].extent[0];
    for (int64_t i = 0; i < n; i++) {
        double want = 0, magnitude = 0;
        for (int64_t k = 0; k < terms; k++) {
            double x = fuse_bench_at(c, &c->operand[0], k * n + i);
            want += x;
            magnitude += fabs(x);
        }
        fuse_bench_judge(verdict, fuse_bench_at(c, &c->out, i), want, 4 * unit(c) * magnitude + 0x1p-1000);
    }
}

/* ---- attention ---- */

void fuse_bench_check_attention(struct fuse_bench_verdict *verdict, const struct fuse_bench_case *c) {
    const int64_t heads = c->out.extent[0], p = c->out.extent[1], d = c->operand[0].extent[2];
    const bool causal = c->what[0] == 'c';
    const int64_t rows = heads * p, count = fuse_bench_sample_count(rows, 2 * p * d);
    double *weight = calloc((size_t)p, sizeof *weight);
    if (!weight) {
        verdict->wrong++;
        return;
    }
    for (int64_t s = 0; s < count; s++) {
        const int64_t row = fuse_bench_sample(rows, count, s), h = row / p, keys = causal ? row % p + 1 : p;
        double most = -HUGE_VAL, total = 0;
        for (int64_t q = 0; q < keys; q++) {
            double score = 0;
            for (int64_t x = 0; x < d; x++)
                score += fuse_bench_at(c, &c->operand[0], row * d + x) *
                         fuse_bench_at(c, &c->operand[1], (h * p + q) * d + x);
            weight[q] = score / sqrt((double)d);
            most = fmax(most, weight[q]);
        }
        for (int64_t q = 0; q < keys; q++)
            total += weight[q] = exp(weight[q] - most);
        for (int64_t e = 0; e < d; e++) {
            double want = 0, magnitude = 0;
            for (int64_t q = 0; q < keys; q++) {
                double term = weight[q] / total * fuse_bench_at(c, &c->operand[2], (h * p + q) * d + e);
                want += term;
                magnitude += fabs(term);
            }
            fuse_bench_judge(verdict, fuse_bench_at(c, &c->out, row * d + e), want, 32 * unit(c) * magnitude);
        }
    }
    free(weight);
}

/* ---- maps ---- */

#define ULPS 4
#define SUM_TERMS 8192 /* of a normaliser whose sum may be off by one more of them */

static double allow_ulps(double *allowed, double want) {
    *allowed = ULPS * fabs(want) + 0x1p-126 / 0x1p-24;
    return want;
}

static double add_of(double x, double b, double *allowed) {
    return allow_ulps(allowed, x + b);
}

static double exp_of(double x, double b, double *allowed) {
    (void)b;
    return allow_ulps(allowed, exp(x));
}

static double tanh_of(double x, double b, double *allowed) {
    (void)b;
    return allow_ulps(allowed, tanh(x));
}

/* The rounding of x + b and of 1 + tanh shows where they nearly cancel: units of the argument. */
static double gelu_of(double x, double b, double *allowed) {
    double s = x + b, want = 0.5 * s * (1 + tanh(0.7978845608028654 * (s + 0.044715 * s * s * s)));
    allow_ulps(allowed, want);
    *allowed += ULPS * (fabs(x) + fabs(b));
    return want;
}

/* Sums in long double: those of the kernels may be in double. */
static void softmax_of(double *want, double *allowed, const double *x, int64_t n) {
    double most = x[0];
    long double sum = 0;
    for (int64_t i = 1; i < n; i++)
        most = fmax(most, x[i]);
    for (int64_t i = 0; i < n; i++)
        sum += want[i] = exp(x[i] - most);
    for (int64_t i = 0; i < n; i++) {
        want[i] = (double)(want[i] / sum);
        /* the rounding of x - most is one of the exponent; that of a sum grows with its terms */
        allowed[i] = want[i] * (2 * ULPS + fabs(x[i] - most) + (double)n / SUM_TERMS);
    }
}

/* Softmax of the positive elements, of which a row has at least one or is all 0. */
static void masked_softmax_of(double *want, double *allowed, const double *x, int64_t n) {
    double most = 0;
    long double sum = 0;
    for (int64_t i = 0; i < n; i++)
        most = fmax(most, x[i]);
    for (int64_t i = 0; i < n; i++)
        sum += want[i] = x[i] > 0 ? exp(x[i] - most) : 0;
    for (int64_t i = 0; i < n; i++) {
        want[i] = sum > 0 ? (double)(want[i] / sum) : 0;
        allowed[i] = want[i] * (2 * ULPS + fabs(x[i] - most) + (double)n / SUM_TERMS) + 0x1p-126 / 0x1p-24;
    }
}

static void layernorm_of(double *want, double *allowed, const double *x, int64_t n) {
    long double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i];
    const long double mean = sum / n;
    for (int64_t i = 0; i < n; i++)
        squares += (x[i] - mean) * (x[i] - mean);
    const long double scale = 1 / sqrtl(squares / n + 1e-5L);
    for (int64_t i = 0; i < n; i++) {
        want[i] = (double)((x[i] - mean) * scale);
        allowed[i] = 2 * ULPS * (fabs(want[i]) + (double)((fabsl(x[i]) + fabsl(mean)) * scale));
    }
}

const struct fuse_bench_map fuse_bench_maps[] = {
#define FUSE_BENCH_MAP(name, operands, rank, lo, hi, element, row, expression, help) \
    {name, expression, help, operands, rank, lo, hi, element, row},
#include "api/bench_maps.def"
#undef FUSE_BENCH_MAP
};
const int fuse_bench_map_count = (int)(sizeof fuse_bench_maps / sizeof *fuse_bench_maps);

static void check_rows(struct fuse_bench_verdict *verdict, const struct fuse_bench_case *c,
                       const struct fuse_bench_map *map) {
    const int64_t rows = c->out.extent[0], n = c->out.extent[1], count = fuse_bench_sample_count(rows, 64 * n);
    double *room = calloc((size_t)(3 * n), sizeof *room), *want = room, *allowed = room + n, *x = room + 2 * n;
    for (int64_t s = 0; room && s < count; s++) {
        const int64_t r = fuse_bench_sample(rows, count, s);
        for (int64_t i = 0; i < n; i++)
            x[i] = fuse_bench_at(c, &c->operand[0], r * n + i);
        map->row(want, allowed, x, n);
        for (int64_t i = 0; i < n; i++)
            fuse_bench_judge(verdict, fuse_bench_at(c, &c->out, r * n + i), want[i], allowed[i] * unit(c));
    }
    free(room);
}

void fuse_bench_check_map(struct fuse_bench_verdict *verdict, const struct fuse_bench_case *c) {
    const struct fuse_bench_map *map = c->context;
    if (map->row) {
        check_rows(verdict, c, map);
        return;
    }
    const int64_t n = elems(&c->out), count = n < 16 * SAMPLES ? n : 16 * SAMPLES;
    for (int64_t s = 0; s < count; s++) {
        int64_t i = fuse_bench_sample(n, count, s);
        double allowed, want = map->element(fuse_bench_at(c, &c->operand[0], i),
                                            c->operands > 1 ? fuse_bench_at(c, &c->operand[1], i) : 0, &allowed);
        fuse_bench_judge(verdict, fuse_bench_at(c, &c->out, i), want, allowed * unit(c));
    }
}
