/* Times of rules on generated facts, one line each: seconds of the evaluation (and of the first rank's processor), tuples, turns,
 * peak bytes a rank.
 *
 * usage: bench_logic CASE [N [A B C]]
 *     andersen N [ASSIGN LOAD STORE]   points-to analysis over N variables, facts per hundred of them (45 6 6)
 *     paths N M                        shortest paths from node 0, M random edges
 *     grid N, chain N, tree DEPTH      closures
 *     same DEPTH                       same generation in a binary tree
 *
 * Fails when the number of tuples is not the known one. */
#include "comm/comm.h"
#include "exec/logic.h"
#include "rule_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double seconds(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static _Noreturn void fail(const struct fuse_error *err) {
    fprintf(stderr, "bench_logic: %s\n", err->message);
    abort();
}

struct facts {
    struct fuse_logic *logic;
    struct fuse_comm *comm;
    int64_t next;
};

/* Rows are dealt to ranks in turn. */
static void add(struct facts *facts, int relation, int64_t a, int64_t b, double value) {
    struct fuse_error err = {0};
    struct fuse_logic_rows rows = {1, {&a, &b}, &value};
    if (facts->next++ % facts->comm->size == facts->comm->rank &&
        fuse_logic_add(facts->logic, relation, &rows, &err) != FUSE_OK)
        fail(&err);
}

static uint64_t state = 88172645463325252u;

static int64_t next(int64_t below) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)((state >> 33) % (uint64_t)below);
}

/* Mostly local, as in real programs. */
static int64_t near(int64_t v, int64_t n) {
    return next(10) ? (v + 1 + next(50)) % n : next(n);
}

static void make_andersen(struct facts *facts, int64_t n, const int64_t *per) {
    for (int k = 0; k < 4; k++)
        for (int64_t v = 0; v < n; v++)
            if (next(100) < per[k])
                add(facts, k, v, near(v, n), 0);
}

static struct fuse_rules *andersen_rules(struct fuse_arena *arena, int64_t n) {
    return rules_of_text(arena, fuse_arena_printf(arena,
                                                  "rel A bool -1 %" PRId64 " %" PRId64 "\nrel S bool -1 %" PRId64
                                                  " %" PRId64 "\nrel L bool -1 %" PRId64 " %" PRId64
                                                  "\nrel T bool -1 %" PRId64 " %" PRId64 "\nrel R bool 0 %" PRId64
                                                  " %" PRId64 "\nR(y,x) = A(y,x)\nR(y,x) = S(y,z) R(z,x)\n"
                                                  "R(y,w) = L(y,x) R(x,z) R(z,w)\nR(z,w) = T(y,x) R(y,z) R(x,w)\n",
                                                  n, n, n, n, n, n, n, n, n, n));
}

static struct fuse_rules *path_rules(struct fuse_arena *arena, int64_t n) {
    return rules_of_text(arena, fuse_arena_printf(arena,
                                                  "rel W min -1 %" PRId64 " %" PRId64 "\nrel R min 0 %" PRId64
                                                  "\nR(0) = value 0\nR(y) = R(x) W(x,y) value @0 @1 +\n",
                                                  n, n, n));
}

static struct fuse_rules *closure_rules(struct fuse_arena *arena, int64_t n) {
    return rules_of_text(arena, fuse_arena_printf(arena,
                                                  "rel E bool -1 %" PRId64 " %" PRId64 "\nrel R bool 0 %" PRId64
                                                  " %" PRId64 "\nR(x,y) = E(x,y)\nR(x,z) = R(x,y) E(y,z)\n",
                                                  n, n, n, n));
}

static struct fuse_rules *same_rules(struct fuse_arena *arena, int64_t n) {
    return rules_of_text(arena,
                         fuse_arena_printf(arena,
                                           "rel E bool -1 %" PRId64 " %" PRId64 "\nrel R bool 0 %" PRId64 " %" PRId64
                                           "\nR(x,y) = E(p,x) E(p,y) when x != y\nR(x,y) = E(p,x) R(p,q) E(q,y)\n",
                                           n, n, n, n));
}

static int64_t argument(int argc, char **argv, int k, int64_t otherwise) {
    return argc > k ? atoll(argv[k]) : otherwise;
}

/* Closed forms, and what others count for the points-to inputs; -1: not known. */
static int64_t known_count(const char *kind, int64_t n, int64_t depth, const int64_t *per) {
    const int64_t leaves = (int64_t)1 << depth;
    static const int64_t andersen[][5] = {
        {1000000, 45, 6, 6, 657657}, {20000, 60, 8, 8, 3529858}, {100000, 52, 7, 7, 5331539}};
    if (strcmp(kind, "grid") == 0) {
        int64_t side = 1;
        while (side * side < n)
            side++;
        return side * (side + 1) / 2 * (side * (side + 1) / 2) - n;
    }
    if (strcmp(kind, "chain") == 0)
        return n * (n - 1) / 2;
    if (strcmp(kind, "tree") == 0)
        return (depth - 1) * 2 * leaves + 2;
    if (strcmp(kind, "same") == 0)
        return (4 * leaves * leaves - 4) / 3 - (2 * leaves - 2);
    for (int k = 0; strcmp(kind, "andersen") == 0 && k < 3; k++)
        if (andersen[k][0] == n && memcmp(&andersen[k][1], per, 3 * sizeof *per) == 0)
            return andersen[k][4];
    return -1;
}

int main(int argc, char **argv) {
    struct fuse_error err = {0};
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct facts facts = {0};
    const char *kind = argc > 1 ? argv[1] : "andersen";
    int64_t a = argument(argc, argv, 2, 0), b = argument(argc, argv, 3, 0);
    struct fuse_rules *rules;
    if (fuse_comm_open_mpi(&facts.comm, &err) != FUSE_OK)
        fail(&err);
    int64_t n = a;
    if (strcmp(kind, "andersen") == 0)
        rules = andersen_rules(arena, n = a ? a : 1000000);
    else if (strcmp(kind, "paths") == 0)
        rules = path_rules(arena, n = a ? a : 1000000);
    else if (strcmp(kind, "same") == 0)
        rules = same_rules(arena, n = ((int64_t)1 << ((a ? a : 11) + 1)) - 1);
    else
        rules = closure_rules(arena, n = strcmp(kind, "grid") == 0   ? (a ? a : 100) * (a ? a : 100)
                                         : strcmp(kind, "tree") == 0 ? ((int64_t)1 << ((a ? a : 17) + 1)) - 1
                                                                     : (a ? a : 1000));
    struct fuse_logic_request request = {.rules = rules, .comm = facts.comm};
    struct fuse_logic_report report;
    if (fuse_logic_open(&facts.logic, &request, &err) != FUSE_OK)
        fail(&err);
    const int64_t per[] = {30, argument(argc, argv, 3, 45), argument(argc, argv, 4, 6), argument(argc, argv, 5, 6)};
    if (strcmp(kind, "andersen") == 0)
        make_andersen(&facts, n, per);
    else if (strcmp(kind, "paths") == 0)
        for (int64_t e = 0; e < (b ? b : 4 * n); e++) {
            int64_t x = next(n), y = next(n);
            add(&facts, 0, x, y, (double)(1 + next(1000)));
        }
    else if (strcmp(kind, "grid") == 0) {
        int64_t side = a ? a : 100;
        for (int64_t v = 0; v < n; v++) {
            if (v % side + 1 < side)
                add(&facts, 0, v, v + 1, 0);
            if (v + side < n)
                add(&facts, 0, v, v + side, 0);
        }
    } else
        for (int64_t v = 1; v < n; v++)
            add(&facts, 0, strcmp(kind, "chain") == 0 ? v - 1 : (v - 1) / 2, v, 0);
    int64_t count;
    double start = seconds(CLOCK_MONOTONIC), worked = seconds(CLOCK_PROCESS_CPUTIME_ID);
    if (fuse_logic_run(facts.logic, &report, &err) != FUSE_OK ||
        fuse_logic_count(&count, facts.logic, relation_named(rules, "R"), &err) != FUSE_OK)
        fail(&err);
    double stop = seconds(CLOCK_MONOTONIC);
    worked = seconds(CLOCK_PROCESS_CPUTIME_ID) - worked;
    if (facts.comm->rank == 0)
        printf("%s %" PRId64 " on %d: %.3f s (%.3f), %" PRId64 " tuples, %" PRId64 " derived, %" PRId64
               " turns, peak %.1f MiB, sent %.1f MiB\n",
               kind, a, facts.comm->size, stop - start, worked, count, report.derived, report.turns,
               (double)report.peak_bytes / (1 << 20), (double)report.sent_bytes / (1 << 20));
    const int64_t known = known_count(kind, n, a ? a : strcmp(kind, "tree") == 0 ? 17 : 11, per + 1);
    if (known >= 0 && known != count)
        fprintf(stderr, "bench_logic: it should be %" PRId64 " tuples\n", known);
    fuse_logic_close(facts.logic);
    facts.comm->ops->close(facts.comm);
    fuse_comm_finalize_mpi();
    fuse_arena_close(arena);
    return known >= 0 && known != count;
}
