/* What scripts/bench/distributed.py compares with: ScaLAPACK's product, products that each rank does alone, and a bare
 * MPI_Alltoallv. Prints a line of JSON from rank 0: seconds of the slowest rank, the first call apart.
 *
 * usage: mpirun -n P bare_mpi scalapack f32|f64 M N K BLOCK REPEATS     C[m,n] = A[m,k] B[k,n], block-cyclic
 *        mpirun -n P bare_mpi local f32|f64 TIMES M N K REPEATS         TIMES products, each rank its share: no messages
 *        mpirun -n P bare_mpi alltoallv BYTES REPEATS                   so many bytes of all ranks from rows to columns
 *        mpirun -n P bare_mpi copy BYTES REPEATS                        the same bytes by memcpy, each rank its share
 *
 * Build: mpicc -O2 bare_mpi.c -o bare_mpi -lscalapack-openmpi -lopenblas -lm */
#include <cblas.h>
#include <math.h>
#include <mpi.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

void Cblacs_get(int context, int what, int *out);
void Cblacs_gridinit(int *context, const char *order, int rows, int columns);
void Cblacs_gridinfo(int context, int *rows, int *columns, int *row, int *column);
void Cblacs_gridexit(int context);
int numroc_(const int *n, const int *block, const int *at, const int *first, const int *count);
void descinit_(int *out, const int *m, const int *n, const int *mb, const int *nb, const int *row, const int *column,
               const int *context, const int *leading, int *info);
void pdgemm_(const char *ta, const char *tb, const int *m, const int *n, const int *k, const double *alpha,
             const double *a, const int *ia, const int *ja, const int *da, const double *b, const int *ib,
             const int *jb, const int *db, const double *beta, double *c, const int *ic, const int *jc, const int *dc);
void psgemm_(const char *ta, const char *tb, const int *m, const int *n, const int *k, const float *alpha,
             const float *a, const int *ia, const int *ja, const int *da, const float *b, const int *ib, const int *jb,
             const int *db, const float *beta, float *c, const int *ic, const int *jc, const int *dc);

enum { MOST_REPEATS = 1000, SAMPLES = 64 };

static int rank, ranks;

static _Noreturn void give_up(const char *why) {
    fprintf(stderr, "bare_mpi: %s\n", why);
    MPI_Abort(MPI_COMM_WORLD, 1);
    exit(1);
}

/* Memory as a careful caller has it: huge pages, not yet touched. */
static void *reserve(size_t bytes) {
    const size_t huge = (size_t)2 << 20;
    size_t rounded = (bytes + huge) / huge * huge;
    void *at = aligned_alloc(huge, rounded);
    if (!at)
        give_up("out of memory");
    madvise(at, rounded, MADV_HUGEPAGE);
    return at;
}

/* In [-1, 1), from a position alone, so that every rank can compute every element. */
static double element(uint64_t seed, int64_t i, int64_t j) {
    uint64_t x = seed * 0x9E3779B97F4A7C15u + (uint64_t)i * 0xD1B54A32D192ED03u + (uint64_t)j;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    x ^= x >> 31;
    return (float)((double)(x >> 11) * 0x1p-52 - 1);
}

static void put(void *at, bool is_double, int64_t i, double value) {
    if (is_double)
        ((double *)at)[i] = value;
    else
        ((float *)at)[i] = (float)value;
}

static double get(const void *at, bool is_double, int64_t i) {
    return is_double ? ((const double *)at)[i] : (double)((const float *)at)[i];
}

static double processor_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Of one call on all ranks: of the slowest, and of the processor that did most. */
static double timed(double *cpu, void (*call)(void *), void *context) {
    double seconds[2], most[2];
    MPI_Barrier(MPI_COMM_WORLD);
    seconds[0] = -MPI_Wtime();
    seconds[1] = -processor_seconds();
    call(context);
    seconds[0] += MPI_Wtime();
    seconds[1] += processor_seconds();
    MPI_Allreduce(seconds, most, 2, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    *cpu = most[1];
    return most[0];
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_of(double *value, int n) {
    qsort(value, (size_t)n, sizeof *value, by_size);
    return n % 2 ? value[n / 2] : (value[n / 2 - 1] + value[n / 2]) / 2;
}

/* The first call, then `repeats` of them; error: the largest as a share of what is allowed. */
static void report(void (*call)(void *), void *context, int repeats, double (*error)(void *)) {
    static double seconds[MOST_REPEATS], cpu[MOST_REPEATS];
    if (repeats < 1 || repeats > MOST_REPEATS)
        give_up("so many repeats?");
    double cold = timed(&cpu[0], call, context), wrong = error(context), worst;
    for (int i = 0; i < repeats; i++)
        seconds[i] = timed(&cpu[i], call, context);
    MPI_Allreduce(&wrong, &worst, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    long resident = usage.ru_maxrss, most;
    MPI_Allreduce(&resident, &most, 1, MPI_LONG, MPI_MAX, MPI_COMM_WORLD);
    double middle = median_of(seconds, repeats), busy = median_of(cpu, repeats);
    if (rank == 0)
        printf("{\"ranks\":%d,\"cold\":%.9f,\"median\":%.9f,\"min\":%.9f,\"cpu\":%.9f,\"error\":%.4g,\"passed\":%s,"
               "\"resident_bytes\":%ld}\n",
               ranks, cold, middle, seconds[0], busy, worst, worst <= 1 ? "true" : "false", most * 1024);
    if (!(worst <= 1))
        give_up("a result is wrong");
}

/* ---- ScaLAPACK ---- */

struct product {
    bool is_double;
    int m, n, k, block;
    int context, rows, columns, row, column;
    struct matrix {
        int m, n, local_m, local_n, description[9];
        void *at;
    } a, b, c;
};

static int64_t global_of(const struct product *p, int local, int at, int count) {
    return (int64_t)(local / p->block * count + at) * p->block + local % p->block;
}

static void make(struct matrix *x, const struct product *p, int m, int n, uint64_t seed) {
    const int zero = 0;
    int info;
    *x = (struct matrix){.m = m, .n = n};
    x->local_m = numroc_(&m, &p->block, &p->row, &zero, &p->rows);
    x->local_n = numroc_(&n, &p->block, &p->column, &zero, &p->columns);
    int leading = x->local_m > 0 ? x->local_m : 1;
    descinit_(x->description, &m, &n, &p->block, &p->block, &zero, &zero, &p->context, &leading, &info);
    if (info != 0)
        give_up("descinit failed");
    x->at = reserve((size_t)x->local_m * (size_t)x->local_n * (p->is_double ? 8 : 4));
    for (int j = 0; seed && j < x->local_n; j++)
        for (int i = 0; i < x->local_m; i++)
            put(x->at, p->is_double, (int64_t)j * x->local_m + i,
                element(seed, global_of(p, i, p->row, p->rows), global_of(p, j, p->column, p->columns)));
}

static void multiply(void *context) {
    struct product *p = context;
    const int one = 1;
    if (p->is_double) {
        const double alpha = 1, beta = 0;
        pdgemm_("N", "N", &p->m, &p->n, &p->k, &alpha, p->a.at, &one, &one, p->a.description, p->b.at, &one, &one,
                p->b.description, &beta, p->c.at, &one, &one, p->c.description);
    } else {
        const float alpha = 1, beta = 0;
        psgemm_("N", "N", &p->m, &p->n, &p->k, &alpha, p->a.at, &one, &one, p->a.description, p->b.at, &one, &one,
                p->b.description, &beta, p->c.at, &one, &one, p->c.description);
    }
}

/* Partial sums of i products of numbers in [-1, 1) have a deviation of sqrt(i) / 3, and each is rounded: errors of sums of k, and
 * of the plain loop beside them, have one of 0.12 k units in the last place of 1. */
static double allowed_error(int k, bool is_double) {
    return k * (is_double ? 0x1p-52 : 0x1p-23);
}

static double product_error(void *context) {
    const struct product *p = context;
    double worst = 0, allowed = allowed_error(p->k, p->is_double);
    for (int s = 0; s < SAMPLES && p->c.local_m > 0 && p->c.local_n > 0; s++) {
        int i = (int)((int64_t)s * 7919 % p->c.local_m), j = (int)((int64_t)s * 104729 % p->c.local_n);
        int64_t row = global_of(p, i, p->row, p->rows), column = global_of(p, j, p->column, p->columns);
        double sum = 0;
        for (int64_t l = 0; l < p->k; l++)
            sum += element(1, row, l) * element(2, l, column);
        double got = get(p->c.at, p->is_double, (int64_t)j * p->c.local_m + i), error = fabs(got - sum) / allowed;
        worst = error <= worst ? worst : error;
    }
    return worst;
}

static void scalapack(char **word) {
    struct product p = {.is_double = strcmp(word[0], "f64") == 0, .m = atoi(word[1]), .n = atoi(word[2])};
    p.k = atoi(word[3]);
    p.block = atoi(word[4]);
    for (p.rows = (int)sqrt(ranks); ranks % p.rows != 0;)
        p.rows--;
    p.columns = ranks / p.rows;
    Cblacs_get(0, 0, &p.context);
    Cblacs_gridinit(&p.context, "R", p.rows, p.columns);
    Cblacs_gridinfo(p.context, &p.rows, &p.columns, &p.row, &p.column);
    make(&p.a, &p, p.m, p.k, 1);
    make(&p.b, &p, p.k, p.n, 2);
    make(&p.c, &p, p.m, p.n, 0);
    report(multiply, &p, atoi(word[5]), product_error);
    Cblacs_gridexit(p.context);
}

/* ---- products without messages ---- */

struct local {
    bool is_double;
    int times, m, n, k;
    char *a, *b, *c;
};

static void multiply_locally(void *context) {
    const struct local *l = context;
    size_t element_bytes = l->is_double ? 8 : 4, mk = (size_t)l->m * (size_t)l->k, kn = (size_t)l->k * (size_t)l->n,
           mn = (size_t)l->m * (size_t)l->n;
    for (size_t t = 0; t < (size_t)l->times; t++) {
        char *a = l->a + t * mk * element_bytes, *b = l->b + t * kn * element_bytes, *c = l->c + t * mn * element_bytes;
        if (l->is_double)
            cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, l->m, l->n, l->k, 1, (double *)a, l->k, (double *)b,
                        l->n, 0, (double *)c, l->n);
        else
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, l->m, l->n, l->k, 1, (float *)a, l->k, (float *)b,
                        l->n, 0, (float *)c, l->n);
    }
}

static double local_error(void *context) {
    const struct local *l = context;
    double worst = 0, allowed = allowed_error(l->k, l->is_double);
    for (int64_t s = 0; s < SAMPLES; s++) {
        int64_t t = s % l->times, i = s * 7919 % l->m, j = s * 104729 % l->n;
        double sum = 0;
        for (int64_t x = 0; x < l->k; x++)
            sum += element(1, t * l->m + i, x) * element(2, t * l->k + x, j);
        double error = fabs(get(l->c, l->is_double, (t * l->m + i) * l->n + j) - sum) / allowed;
        worst = error <= worst ? worst : error;
    }
    return worst;
}

static void *filled(bool is_double, uint64_t seed, int64_t rows, int64_t columns) {
    void *at = reserve((size_t)rows * (size_t)columns * (is_double ? 8 : 4));
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++)
            put(at, is_double, i * columns + j, element(seed, i, j));
    return at;
}

/* The largest share of a rank; one product is cut in rows. */
static void local(char **word) {
    struct local l = {.is_double = strcmp(word[0], "f64") == 0, .times = atoi(word[1]), .m = atoi(word[2])};
    l.n = atoi(word[3]);
    l.k = atoi(word[4]);
    if (l.times == 1)
        l.m = (l.m + ranks - 1) / ranks;
    else
        l.times = (l.times + ranks - 1) / ranks;
    l.a = filled(l.is_double, 1, (int64_t)l.times * l.m, l.k);
    l.b = filled(l.is_double, 2, (int64_t)l.times * l.k, l.n);
    l.c = reserve((size_t)l.times * (size_t)l.m * (size_t)l.n * (l.is_double ? 8 : 4));
    report(multiply_locally, &l, atoi(word[5]), local_error);
}

/* ---- bytes ---- */

struct bytes {
    size_t part;
    char *from, *to;
    int *counts, *places;
};

static struct bytes new_bytes(const char *word) {
    struct bytes b = {.part = strtoull(word, NULL, 10) / (size_t)ranks / (size_t)ranks};
    size_t all = b.part * (size_t)ranks;
    if (all > INT32_MAX)
        give_up("MPI_Alltoallv counts in ints");
    b.from = reserve(all);
    b.to = reserve(all);
    b.counts = malloc((size_t)ranks * sizeof *b.counts);
    b.places = malloc((size_t)ranks * sizeof *b.places);
    for (int r = 0; r < ranks; r++) {
        b.counts[r] = (int)b.part;
        b.places[r] = (int)(b.part * (size_t)r);
        memset(b.from + b.part * (size_t)r, rank * 16 + r, b.part);
    }
    return b;
}

static void exchange(void *context) {
    struct bytes *b = context;
    MPI_Alltoallv(b->from, b->counts, b->places, MPI_BYTE, b->to, b->counts, b->places, MPI_BYTE, MPI_COMM_WORLD);
}

static double exchange_error(void *context) {
    const struct bytes *b = context;
    double wrong = 0;
    for (int r = 0; r < ranks; r++)
        for (size_t i = 0; i < b->part; i += 997)
            wrong += (unsigned char)b->to[b->part * (size_t)r + i] != (unsigned char)(r * 16 + rank);
    return wrong;
}

static void copy_bytes(void *context) {
    struct bytes *b = context;
    memcpy(b->to, b->from, b->part * (size_t)ranks);
}

static double copy_error(void *context) {
    const struct bytes *b = context;
    return memcmp(b->to, b->from, b->part * (size_t)ranks) != 0 ? 2 : 0;
}

int main(int words, char **word) {
    MPI_Init(&words, &word);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    if (words == 8 && strcmp(word[1], "scalapack") == 0) {
        scalapack(word + 2);
    } else if (words == 8 && strcmp(word[1], "local") == 0) {
        local(word + 2);
    } else if (words == 4 && (strcmp(word[1], "alltoallv") == 0 || strcmp(word[1], "copy") == 0)) {
        bool copies = word[1][0] == 'c';
        struct bytes b = new_bytes(word[2]);
        report(copies ? copy_bytes : exchange, &b, atoi(word[3]), copies ? copy_error : exchange_error);
    } else {
        give_up("see the head of bare_mpi.c for what it takes");
    }
    MPI_Finalize();
    return 0;
}
