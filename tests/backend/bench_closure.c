/* Closures against their bars and against GraphBLAS, where the build has it, in one process and one thread: medians of
 * interleaved runs, facts resident, result kept and counted. Counts are checked against closed forms, and with GraphBLAS.
 * GraphBLAS runs once for each graph: it takes orders of magnitude longer.
 * usage: bench_closure [--repeats N] [--only TEXT] [--no-bars]
 * Exits 1 when a count is wrong or a bar is missed. */
#include "graphs.h"

#include "backend/closure.h"
#include "backend/two_sided.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#if defined(HAVE_GRAPHBLAS)
#include <GraphBLAS.h>
#endif

#define MOST_REPEATS 21

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double user_seconds(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)u.ru_utime.tv_sec + 1e-6 * (double)u.ru_utime.tv_usec;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *x, int n) {
    qsort(x, (size_t)n, sizeof *x, by_size);
    return x[n / 2];
}

struct measure {
    int64_t count;
    size_t bytes;
    double seconds, user, open;
};

static struct measure closure(const struct graph *g) {
    struct fuse_error err = {0};
    struct fuse_adjacency step;
    struct fuse_closure *c;
    struct fuse_closure_result *r;
    const struct fuse_closure_options options = {.threads = 1};
    const double begin = now(), user = user_seconds();
    if (fuse_adjacency_open(&step, g->n, g->n, g->pairs, g->from, g->to, &err) != FUSE_OK ||
        fuse_closure_open(&c, &(struct fuse_closure_question){.step = &step}, &err) != FUSE_OK)
        exit(1);
    const double opened = now();
    if (fuse_closure_result_open(&r, c, &options, &err) != FUSE_OK ||
        fuse_closure_compute(r, 0, fuse_closure_blocks(c), 1, &err) != FUSE_OK) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
    const struct measure m = {.count = fuse_closure_count(r),
                              .bytes = fuse_closure_result_bytes(r),
                              .seconds = now() - begin,
                              .user = user_seconds() - user,
                              .open = opened - begin};
    fuse_closure_result_close(r);
    fuse_closure_close(c);
    fuse_adjacency_close(&step);
    return m;
}

#if defined(HAVE_GRAPHBLAS)
/* Semi-naive; the result a bit map that grows in place, what is new a sparse matrix. */
static struct measure peer(const struct graph *g) {
    const GrB_Index n = (GrB_Index)g->n;
    GrB_Matrix step, all, delta, new;
    bool *yes = malloc((size_t)g->pairs + 1);
    memset(yes, 1, (size_t)g->pairs + 1);
    GrB_Matrix_new(&step, GrB_BOOL, n, n);
    GrB_Matrix_build_BOOL(step, (const GrB_Index *)g->from, (const GrB_Index *)g->to, yes, (GrB_Index)g->pairs,
                          GrB_LOR);
    free(yes);
    const double begin = now();
    GrB_Matrix_dup(&all, step);
    GrB_Matrix_dup(&delta, step);
    if (n <= 20000)
        GxB_Matrix_Option_set(all, GxB_SPARSITY_CONTROL, GxB_BITMAP);
    GrB_Index found, count;
    do {
        GrB_Matrix_new(&new, GrB_BOOL, n, n);
        GxB_Matrix_Option_set(new, GxB_SPARSITY_CONTROL, GxB_SPARSE);
        GrB_mxm(new, all, NULL, GxB_ANY_PAIR_BOOL, delta, step, GrB_DESC_RSC);
        GrB_Matrix_nvals(&found, new);
        GrB_Matrix_assign_BOOL(all, new, NULL, true, GrB_ALL, n, GrB_ALL, n, GrB_DESC_S);
        GrB_Matrix_free(&delta);
        delta = new;
    } while (found > 0);
    GrB_Matrix_nvals(&count, all);
    const struct measure m = {.count = (int64_t)count, .seconds = now() - begin};
    GrB_Matrix_free(&all);
    GrB_Matrix_free(&delta);
    GrB_Matrix_free(&step);
    return m;
}
#endif

enum peers { NO_PEER, PEER };

static int failures;
static int repeats = 5;
static const char *only = "";
static bool bars = true;

/* truth < 0: not known; bar <= 0: none. Returns the median. */
static double measure(const char *name, struct graph g, int64_t truth, double bar, enum peers with) {
    if (strstr(name, only) == NULL) {
        graph_free(&g);
        return 0;
    }
    double seconds[MOST_REPEATS], user[MOST_REPEATS], open[MOST_REPEATS], other = 0;
    struct measure m = {0};
    bool compared = false;
    for (int i = 0; i < repeats; i++) {
        m = closure(&g);
        seconds[i] = m.seconds;
        user[i] = m.user;
        open[i] = m.open;
#if defined(HAVE_GRAPHBLAS)
        if (with == PEER && i == 0) { /* an order of magnitude slower: once */
            const struct measure p = peer(&g);
            other = p.seconds;
            compared = true;
            truth = p.count;
        }
#else
        (void)with;
#endif
    }
    const double s = median(seconds, repeats);
    const bool right = truth < 0 || m.count == truth, fast = !bars || bar <= 0 || s <= bar;
    printf("%-34s n %8lld pairs %8lld -> %11lld  %8.4f s (user %.4f, open %.4f)  %6.1f MB", name, (long long)g.n,
           (long long)g.pairs, (long long)m.count, s, median(user, repeats), median(open, repeats),
           (double)m.bytes / 1e6);
    if (compared)
        printf("  GraphBLAS %.3f s", other);
    if (bar > 0)
        printf("  bar %.3f", bar);
    printf("%s%s\n", right ? "" : "  WRONG COUNT", fast ? "" : "  TOO SLOW");
    fflush(stdout);
    failures += !right || !fast;
    graph_free(&g);
    return s;
}

/* Same generation: whose parents are, and the root with itself. */
static void measure_generation(const char *name, struct graph g, int64_t truth, double bar) {
    struct fuse_error err = {0};
    struct fuse_adjacency up, down, base;
    const int64_t root = 0;
    double seconds[MOST_REPEATS], user[MOST_REPEATS];
    struct fuse_two_sided r = {0};
    for (int i = 0; i < repeats && strstr(name, only) != NULL; i++) {
        fuse_two_sided_close(&r);
        const double begin = now(), user_begin = user_seconds();
        if (fuse_adjacency_open(&up, g.n, g.n, g.pairs, g.to, g.from, &err) != FUSE_OK ||
            fuse_adjacency_open(&down, g.n, g.n, g.pairs, g.from, g.to, &err) != FUSE_OK ||
            fuse_adjacency_open(&base, g.n, g.n, 1, &root, &root, &err) != FUSE_OK ||
            fuse_two_sided_open(&r, &(struct fuse_two_sided_question){&base, &up, &down}, 0, &err) != FUSE_OK)
            exit(1);
        seconds[i] = now() - begin;
        user[i] = user_seconds() - user_begin;
        fuse_adjacency_close(&up);
        fuse_adjacency_close(&down);
        fuse_adjacency_close(&base);
    }
    if (strstr(name, only) != NULL) {
        const double s = median(seconds, repeats);
        const bool right = truth < 0 || r.count == truth, fast = !bars || bar <= 0 || s <= bar;
        printf("%-34s n %8lld pairs %8lld -> %11lld  %8.4f s (user %.4f)  %6.1f MB  bar %.3f%s%s\n", name,
               (long long)g.n, (long long)g.pairs, (long long)r.count, s, median(user, repeats), (double)r.bytes / 1e6,
               bar, right ? "" : "  WRONG COUNT", fast ? "" : "  TOO SLOW");
        failures += !right || !fast;
        fuse_two_sided_close(&r);
    }
    graph_free(&g);
}

static struct graph shuffled(struct graph g) {
    graph_shuffle(&g, 7);
    return g;
}

static struct graph by_breadth(struct graph g) {
    graph_shuffle(&g, 7);
    graph_number_by_breadth(&g);
    return g;
}

/* Pairs (v, w) with w right of or below v, or both, and v itself apart. */
static int64_t grid_count(int64_t n) {
    return n * (n + 1) / 2 * (n * (n + 1) / 2) - n * n;
}

static void compare(const char *name, double shuffled_seconds, double breadth_seconds) {
    if (shuffled_seconds > 0 && breadth_seconds > 0) {
        const bool good = !bars || shuffled_seconds <= 2 * breadth_seconds;
        printf("%-34s shuffled takes %.2f of the time that breadth-first ids take  bar 2%s\n", name,
               shuffled_seconds / breadth_seconds, good ? "" : "  TOO SLOW");
        failures += !good;
    }
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--no-bars") == 0)
            bars = false;
        else if (i + 1 < argc && strcmp(argv[i], "--only") == 0)
            only = argv[++i];
        else if (i + 1 < argc && strcmp(argv[i], "--repeats") == 0)
            repeats = atoi(argv[++i]);
        else
            return 2;
    }
    if (repeats < 1 || repeats > MOST_REPEATS)
        return 2;
#if defined(HAVE_GRAPHBLAS)
    GrB_init(GrB_NONBLOCKING);
    GxB_Global_Option_set(GxB_GLOBAL_NTHREADS, 1);
#endif
    measure("grid 100", graph_grid(100, 100), grid_count(100), 0.15, PEER);
    measure("grid 100 shuffled", shuffled(graph_grid(100, 100)), grid_count(100), 0.20, PEER);
    measure("random 20k, 24k", graph_random(20000, 24000, 1), -1, 0.35, PEER);
    measure("random 4k, 32k", graph_random(4000, 32000, 1), -1, 0.05, PEER);
    measure("tree depth 17", graph_tree(2, 17), 17 * ((int64_t)1 << 18) - 2 * (((int64_t)1 << 17) - 1), 0.2, PEER);
    measure("tree depth 17 shuffled", shuffled(graph_tree(2, 17)), -1, 0, NO_PEER);
    measure("chain 20k", graph_chain(20000), 20000LL * 19999 / 2, 0, NO_PEER);
    measure("cycle 20k", graph_cycle(20000), 20000LL * 20000, 0, NO_PEER);
    measure("rmat 14, 32k", graph_rmat(14, 32768, 3), -1, 0, PEER);
    measure("rmat 17, 400k", graph_rmat(17, 400000, 3), -1, 0, NO_PEER);
    compare("geometric 130k",
            measure("geometric 130k shuffled", shuffled(graph_geometric(130000, 2.5, 1, 5)), -1, 0, NO_PEER),
            measure("geometric 130k by breadth", by_breadth(graph_geometric(130000, 2.5, 1, 5)), -1, 0, NO_PEER));
    compare("geometric 130k one way",
            measure("geometric 130k one way shuffled", shuffled(graph_geometric(130000, 5, 0, 5)), -1, 0, NO_PEER),
            measure("geometric 130k one way by breadth", by_breadth(graph_geometric(130000, 5, 0, 5)), -1, 0, NO_PEER));
    measure_generation("same generation, tree depth 11", graph_tree(2, 11), (((int64_t)1 << 24) - 1) / 3, 0.06);
    measure_generation("same generation, random 4k, 32k", graph_random(4000, 32000, 1), -1, 0);
    measure("grid 250", graph_grid(250, 250), grid_count(250), 10, NO_PEER);
    measure("grid 250 shuffled", shuffled(graph_grid(250, 250)), grid_count(250), 14, NO_PEER);
#if defined(HAVE_GRAPHBLAS)
    GrB_finalize();
#endif
    return failures > 0;
}
