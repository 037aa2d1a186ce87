/* Assertions that every rank makes together: one rank's failure fails the case on all, so nothing is left hanging. */
#ifndef FUSE_TESTS_ALL_RANKS_H
#define FUSE_TESTS_ALL_RANKS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <mpi.h>

/* Uses MPI itself, not the code under test. */
static inline void all_ranks_check(bool is_true, const char *text, const char *file, int line) {
    int rank, failed, mine = !is_true;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Allreduce(&mine, &failed, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    if (mine)
        print_error("rank %d: not true: %s\n", rank, text);
    if (failed)
        _fail(file, line);
}

#define assert_all(expression) all_ranks_check((expression), #expression, __FILE__, __LINE__)

#endif
