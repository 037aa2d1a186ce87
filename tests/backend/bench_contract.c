/* contract() against a bare cblas_sgemm on the same matrices, interleaved, median of 5: the ratio of the times
 * (bare / contract, on one thread and on two). usage: bench_contract [n] */
#include "backend/backend.h"

#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define REPEATS 5

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *x) {
    qsort(x, REPEATS, sizeof *x, by_size);
    return x[REPEATS / 2];
}

int main(int argc, char **argv) {
    const int64_t n = argc > 1 ? atoll(argv[1]) : 4096;
    struct fuse_error err = {0};
    struct fuse_backend *backend[2];
    struct fuse_queue *queue[2];
    for (int t = 0; t < 2; t++) {
        struct fuse_backend_options options = {.threads = t + 1};
        if (fuse_backend_cpu.open(&backend[t], &options, &err) != FUSE_OK ||
            fuse_backend_cpu.queue_open(backend[t], &queue[t], &err) != FUSE_OK)
            return 1;
    }
    void *memory = NULL;
    const size_t bytes = (size_t)(3 * n * n) * sizeof(float);
    if (fuse_backend_cpu.memory_open(backend[0], &memory, FUSE_MEM_HOST, bytes, &err) != FUSE_OK)
        return 1;
    float *a = memory, *b = a + n * n, *c = b + n * n;
    for (int64_t i = 0; i < 2 * n * n; i++)
        a[i] = (float)(i % 17) - 8;
    struct fuse_contract call = {.indices = 3, .extent = {n, n, n}, .in_a = 5, .in_b = 6, .in_c = 3};
    call.a = (struct fuse_operand_view){.data = a, .dtype = FUSE_F32, .stride = {n, 0, 1}};
    call.b = (struct fuse_operand_view){.data = b, .dtype = FUSE_F32, .stride = {0, 1, n}};
    call.c = (struct fuse_operand_view){.data = c, .dtype = FUSE_F32, .stride = {n, 1}};
    double bare[REPEATS], one[REPEATS], two[REPEATS];
    for (int r = -1; r < REPEATS; r++) { /* the first round warms up */
        double t0 = now();
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)n, (int)n, (int)n, 1, a, (int)n, b, (int)n, 0, c,
                    (int)n);
        double t1 = now();
        if (fuse_backend_cpu.contract(queue[0], &call, &err) != FUSE_OK)
            return 1;
        double t2 = now();
        if (fuse_backend_cpu.contract(queue[1], &call, &err) != FUSE_OK)
            return 1;
        double t3 = now();
        if (r >= 0) {
            bare[r] = t1 - t0;
            one[r] = t2 - t1;
            two[r] = t3 - t2;
        }
    }
    double s = median(bare), s1 = median(one), s2 = median(two), flops = 2e-9 * (double)n * (double)n * (double)n;
    printf("n %lld: bare sgemm %.1f Gflop/s; contract on 1 thread %.1f (ratio %.3f), on 2 threads %.1f (ratio %.3f)\n",
           (long long)n, flops / s, flops / s1, s / s1, flops / s2, s / s2);
    for (int t = 0; t < 2; t++)
        queue[t]->ops->close(queue[t]);
    fuse_backend_cpu.memory_close(backend[0], memory, FUSE_MEM_HOST, bytes);
    for (int t = 0; t < 2; t++)
        fuse_backend_cpu.close(backend[t]);
    return 0;
}
