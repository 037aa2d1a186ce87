/* Seconds that one bare cblas_sgemm of n x n matrices takes: the reference of speed_gemm.py.
 * usage: bare_sgemm N [CALLS]      prints a line per call, after a small product that starts the library */
#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Huge pages where the system gives them, every page touched: as the program's own buffers are. */
static float *matrix(size_t n, float scale) {
    size_t bytes = n * n * sizeof(float);
    float *data = NULL;
    if (posix_memalign((void **)&data, (size_t)2 << 20, bytes) != 0) {
        fprintf(stderr, "bare_sgemm: no memory for %zu x %zu\n", n, n);
        exit(1);
    }
    (void)madvise(data, bytes, MADV_HUGEPAGE);
    for (size_t i = 0; i < n * n; i++)
        data[i] = scale * (float)((i * 2654435761U) % 1024) / 1024 - scale / 2;
    return data;
}

int main(int argc, char **argv) {
    int n = argc > 1 ? atoi(argv[1]) : 0;
    int calls = argc > 2 ? atoi(argv[2]) : 1;
    if (n < 1) {
        fprintf(stderr, "usage: bare_sgemm N [CALLS]\n");
        return 2;
    }
    float *a = matrix((size_t)n, 1), *b = matrix((size_t)n, 2), *c = matrix((size_t)n, 0);
    int small = n < 256 ? n : 256;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, small, small, small, 1, a, n, b, n, 0, c, n);
    for (int k = 0; k < calls; k++) {
        double start = seconds();
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, n, n, 1, a, n, b, n, 0, c, n);
        printf("%.6f\n", seconds() - start);
    }
    free(a);
    free(b);
    free(c);
    return 0;
}
