/* Products of narrow types against a bare cblas_sgemm of as many rows and columns, interleaved on one thread: medians of 5 by the processor's time, operations
 * a second and the ratio of the times. usage: bench_types [n [isa]] */
#include "backend/backend.h"

#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define REPEATS 5

static const struct {
    const char *name;
    enum fuse_dtype a, b, c;
    bool turned; /* b has its rows along the sum */
} cases[] = {{"f32", FUSE_F32, FUSE_F32, FUSE_F32, false},
             {"f16", FUSE_F16, FUSE_F16, FUSE_F32, false},
             {"bf16", FUSE_BF16, FUSE_BF16, FUSE_F32, false},
             {"bf16 b^T", FUSE_BF16, FUSE_BF16, FUSE_F32, true},
             {"i8", FUSE_I8, FUSE_I8, FUSE_I64, false},
             {"i8 b^T", FUSE_I8, FUSE_I8, FUSE_I64, true},
             {"u8 i8", FUSE_U8, FUSE_I8, FUSE_I64, false},
             {"count of truths", FUSE_BOOL, FUSE_BOOL, FUSE_I64, false},
             {"or of ands", FUSE_BOOL, FUSE_BOOL, FUSE_BOOL, false}};
enum { CASES = sizeof cases / sizeof *cases };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
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

/* Numbers as their type has them; truths are rare. */
static void fill(void *to, enum fuse_dtype dtype, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const int64_t hash = (i * INT64_C(2654435761)) >> 13;
        const float real = (float)(hash % 17) / 8 - 1;
        const uint16_t half = dtype == FUSE_F16 ? fuse_f16_from_f32(real) : fuse_bf16_from_f32(real);
        if (dtype == FUSE_F32)
            ((float *)to)[i] = real;
        else if (fuse_dtype_bytes(dtype) == 2)
            ((uint16_t *)to)[i] = half;
        else
            ((uint8_t *)to)[i] = (uint8_t)(dtype == FUSE_BOOL ? hash % 64 == 0 : hash & 255);
    }
}

int main(int argc, char **argv) {
    const int64_t n = argc > 1 ? atoll(argv[1]) : 2048;
    struct fuse_error err = {0};
    struct fuse_backend *backend;
    struct fuse_queue *queue;
    const struct fuse_backend_options options = {.threads = 1, .isa = argc > 2 ? argv[2] : NULL};
    void *memory = NULL;
    const size_t bytes = (size_t)(n * n) * sizeof(double);
    if (fuse_backend_cpu.open(&backend, &options, &err) != FUSE_OK ||
        fuse_backend_cpu.queue_open(backend, &queue, &err) != FUSE_OK ||
        fuse_backend_cpu.memory_open(backend, &memory, FUSE_MEM_HOST, 5 * bytes / 2, &err) != FUSE_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    char *a = memory, *b = a + bytes / 2, *c = b + bytes / 2;
    float *fa = (float *)(c + bytes), *fc = (float *)c;
    fill(fa, FUSE_F32, n * n);
    for (int i = 0; i < CASES; i++) {
        struct fuse_contract call = {.indices = 3, .extent = {n, n, n}, .in_a = 5, .in_b = 6, .in_c = 3};
        call.a = (struct fuse_operand_view){.data = a, .dtype = cases[i].a, .stride = {n, 0, 1}};
        call.b = (struct fuse_operand_view){.data = b, .dtype = cases[i].b, .stride = {0, 1, n}};
        if (cases[i].turned) {
            call.b.stride[1] = n;
            call.b.stride[2] = 1;
        }
        call.c = (struct fuse_operand_view){.data = c, .dtype = cases[i].c, .stride = {n, 1}};
        fill(a, cases[i].a, n * n);
        fill(b, cases[i].b, n * n);
        double bare[REPEATS], own[REPEATS];
        for (int r = -1; r < REPEATS; r++) { /* the first round warms up */
            double t0 = now();
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)n, (int)n, (int)n, 1, fa, (int)n, fa, (int)n, 0,
                        fc, (int)n);
            double t1 = now();
            if (fuse_backend_cpu.contract(queue, &call, &err) != FUSE_OK ||
                queue->ops->wait(queue, FUSE_QUEUE_ALL, &err) != FUSE_OK) {
                fprintf(stderr, "%s: %s\n", cases[i].name, err.message);
                return 1;
            }
            double t2 = now();
            if (r >= 0) {
                bare[r] = t1 - t0;
                own[r] = t2 - t1;
            }
        }
        const double s = median(bare), s1 = median(own), operations = 2e-9 * (double)n * (double)n * (double)n;
        printf("%-16s n %lld: bare sgemm %.1f Gflop/s; own %.1f Gop/s, ratio %.2f\n", cases[i].name, (long long)n,
               operations / s, operations / s1, s / s1);
    }
    queue->ops->close(queue);
    fuse_backend_cpu.memory_close(backend, memory, FUSE_MEM_HOST, 5 * bytes / 2);
    fuse_backend_cpu.close(backend);
    return 0;
}
