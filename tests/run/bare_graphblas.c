/* Fixpoints of rules over facts by GraphBLAS alone, semi-naive, on one thread: the peer of scripts/bench/logic.py.
 *
 * usage: bare_graphblas closure|generation N PAIRS.tsv
 *        bare_graphblas points_to N FOLDER    with addressOf, assign, load and store .tsv
 *
 * Prints the seconds of the fixpoint, facts resident before and the result kept, and the number of pairs that it has. */
#include <GraphBLAS.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A result of so many ids at most is a bit map, which grows in place. */
#define BITMAP_IDS 20000

static void check(GrB_Info info) {
    if (info != GrB_SUCCESS) {
        fprintf(stderr, "bare_graphblas: status %d\n", (int)info);
        exit(1);
    }
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static GrB_Matrix new_matrix(GrB_Index n) {
    GrB_Matrix m;
    check(GrB_Matrix_new(&m, GrB_BOOL, n, n));
    return m;
}

static GrB_Matrix copy(GrB_Matrix m) {
    GrB_Matrix c;
    check(GrB_Matrix_dup(&c, m));
    return c;
}

static GrB_Matrix read_pairs(GrB_Index n, const char *path) {
    FILE *file = fopen(path, "r");
    GrB_Index *row = NULL, *column = NULL, pairs = 0, room = 0;
    unsigned long long a, b;
    if (file == NULL) {
        perror(path);
        exit(1);
    }
    while (fscanf(file, "%llu%llu", &a, &b) == 2) {
        if (pairs == room) {
            room = room == 0 ? 1024 : 2 * room;
            row = realloc(row, room * sizeof *row);
            column = realloc(column, room * sizeof *column);
            if (row == NULL || column == NULL)
                abort();
        }
        row[pairs] = a;
        column[pairs++] = b;
    }
    fclose(file);
    bool *yes = malloc(pairs + 1);
    if (yes == NULL)
        abort();
    memset(yes, 1, pairs + 1);
    GrB_Matrix m = new_matrix(n);
    check(GrB_Matrix_build_BOOL(m, row, column, yes, pairs, GrB_LOR));
    check(GrB_Matrix_wait(m, GrB_MATERIALIZE));
    free(row);
    free(column);
    free(yes);
    return m;
}

static GrB_Index size_of(GrB_Matrix m) {
    GrB_Index n;
    check(GrB_Matrix_nvals(&n, m));
    return n;
}

static void unite(GrB_Matrix to, GrB_Matrix with) {
    check(GrB_Matrix_eWiseAdd_BinaryOp(to, NULL, NULL, GrB_LOR, to, with, NULL));
}

/* to, in place. */
static void add(GrB_Matrix to, GrB_Matrix new, GrB_Index n) {
    check(GrB_Matrix_assign_BOOL(to, new, NULL, true, GrB_ALL, n, GrB_ALL, n, GrB_DESC_S));
}

static GrB_Matrix new_result(GrB_Matrix base, GrB_Index n) {
    GrB_Matrix all = copy(base);
    if (n <= BITMAP_IDS)
        check(GxB_Matrix_Option_set(all, GxB_SPARSITY_CONTROL, GxB_BITMAP));
    return all;
}

static GrB_Matrix closure(GrB_Matrix step, GrB_Index n) {
    GrB_Matrix all = new_result(step, n), delta = copy(step);
    while (size_of(delta) > 0) {
        GrB_Matrix new = new_matrix(n);
        check(GxB_Matrix_Option_set(new, GxB_SPARSITY_CONTROL, GxB_SPARSE));
        check(GrB_mxm(new, all, NULL, GxB_ANY_PAIR_BOOL, delta, step, GrB_DESC_RSC));
        add(all, new, n);
        check(GrB_Matrix_free(&delta));
        delta = new;
    }
    check(GrB_Matrix_free(&delta));
    return all;
}

/* SG = P' P without the diagonal, SG += P' SG P. */
static GrB_Matrix generation(GrB_Matrix parent, GrB_Index n) {
    GrB_Matrix pairs = new_matrix(n), delta = new_matrix(n);
    check(GrB_mxm(pairs, NULL, NULL, GxB_ANY_PAIR_BOOL, parent, parent, GrB_DESC_T0));
    check(GrB_Matrix_select_INT64(delta, NULL, NULL, GrB_OFFDIAG, pairs, 0, NULL));
    check(GrB_Matrix_free(&pairs));
    GrB_Matrix all = new_result(delta, n);
    while (size_of(delta) > 0) {
        GrB_Matrix up = new_matrix(n), new = new_matrix(n);
        check(GrB_mxm(up, NULL, NULL, GxB_ANY_PAIR_BOOL, parent, delta, GrB_DESC_T0));
        check(GxB_Matrix_Option_set(new, GxB_SPARSITY_CONTROL, GxB_SPARSE));
        check(GrB_mxm(new, all, NULL, GxB_ANY_PAIR_BOOL, up, parent, GrB_DESC_RSC));
        add(all, new, n);
        check(GrB_Matrix_free(&up));
        check(GrB_Matrix_free(&delta));
        delta = new;
    }
    check(GrB_Matrix_free(&delta));
    return all;
}

/* V = AddressOf + E V with E = Assign + Load V + V' Store. */
static GrB_Matrix points_to(GrB_Matrix given, GrB_Matrix assign, GrB_Matrix load, GrB_Matrix store, GrB_Index n) {
    GrB_Matrix all = copy(given), delta = copy(given), edges = copy(assign), new_edges = new_matrix(n);
    while (size_of(delta) > 0) {
        GrB_Matrix stored = new_matrix(n), new = new_matrix(n), more = new_matrix(n);
        check(GrB_mxm(new_edges, edges, NULL, GxB_ANY_PAIR_BOOL, load, delta, GrB_DESC_RSC));
        check(GrB_mxm(stored, edges, NULL, GxB_ANY_PAIR_BOOL, delta, store, GrB_DESC_RSCT0));
        unite(new_edges, stored);
        check(GrB_mxm(new, all, NULL, GxB_ANY_PAIR_BOOL, edges, delta, GrB_DESC_RSC));
        check(GrB_mxm(more, all, NULL, GxB_ANY_PAIR_BOOL, new_edges, all, GrB_DESC_RSC));
        unite(new, more);
        unite(edges, new_edges);
        unite(all, new);
        check(GrB_Matrix_free(&stored));
        check(GrB_Matrix_free(&more));
        check(GrB_Matrix_free(&delta));
        delta = new;
    }
    check(GrB_Matrix_free(&delta));
    check(GrB_Matrix_free(&edges));
    check(GrB_Matrix_free(&new_edges));
    return all;
}

int main(int argc, char **argv) {
    static const char *const names[] = {"addressOf", "assign", "load", "store"};
    if (argc != 4)
        return 2;
    const GrB_Index n = strtoull(argv[2], NULL, 10);
    GrB_Matrix given[4] = {NULL}, all = NULL;
    check(GrB_init(GrB_NONBLOCKING));
    check(GxB_Global_Option_set(GxB_GLOBAL_NTHREADS, 1));
    const bool is_points_to = strcmp(argv[1], "points_to") == 0;
    for (int k = 0; k < (is_points_to ? 4 : 1); k++) {
        char path[4096];
        snprintf(path, sizeof path, is_points_to ? "%s/%s.tsv" : "%s", argv[3], names[k]);
        given[k] = read_pairs(n, path);
    }
    const double begin = now();
    if (is_points_to)
        all = points_to(given[0], given[1], given[2], given[3], n);
    else if (strcmp(argv[1], "closure") == 0)
        all = closure(given[0], n);
    else if (strcmp(argv[1], "generation") == 0)
        all = generation(given[0], n);
    else
        return 2;
    const GrB_Index count = size_of(all);
    printf("%.6f %llu\n", now() - begin, (unsigned long long)count);
    check(GrB_Matrix_free(&all));
    for (int k = 0; k < 4; k++)
        if (given[k] != NULL)
            check(GrB_Matrix_free(&given[k]));
    check(GrB_finalize());
    return 0;
}
