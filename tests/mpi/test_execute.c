/* Random programs, planned and run on these ranks, against the dense interpreter. Everything is distributed however small,
 * so a wrong box, a message in the wrong place, a lost partial or a bad stride gives a wrong number here. The bytes that
 * the transport counted, and those that MPI's profiling interface counted, must be the planned ones. */
#include "exec/exec.h"
#include "io/format.h"
#include "io/npy_header.h"
#include "tests/mpi/all_ranks.h"
#include "tests/mpi/pmpi_count.h"
#include "tests/unit/ir_interpret.h"
#include "tests/unit/random_shared.h"
#include "tests/unit/random_stream.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef FUSE_FAULTS
enum { FAULTS = 1 };
#else
enum { FAULTS = 0 };
#endif

static struct fuse_comm *comm;
static char folder[64];
static int first_seed = 0, seeds = 60; /* others by arguments, for long runs by hand */
static const char *const backends[] = {"cpu", "fakedev", "ref"};

static const char *file_of(struct fuse_arena *arena, const char *name) {
    return fuse_arena_printf(arena, "%s/%s", folder, name);
}

/* The interpreter's numbers for a source, as a file in C or Fortran order. */
static bool write_source(struct fuse_arena *arena, const struct fuse_op *source) {
    struct fuse_ir ir = {.arena = arena};
    int v = build_source(&ir, source->path, FUSE_F32, source->probe.rank, source->probe.extent);
    build_sink(&ir, "copy", v);
    struct interpreted result;
    if (!interpret(&result, arena, &ir))
        return false;
    char header[FUSE_NPY_WRITE_BYTES];
    size_t bytes = fuse_npy_header_write(header, FUSE_F32, source->probe.rank, source->probe.extent);
    bool reversed = source->probe.reversed;
    char *order = memmem(header, bytes, "False", 5);
    if (reversed)
        memcpy(order, "True ", 5);
    FILE *f = fopen(file_of(arena, source->path), "wb");
    if (!f)
        return false;
    fwrite(header, 1, bytes, f);
    struct fuse_box box = fuse_box_full(source->probe.rank, source->probe.extent);
    int64_t in_file[FUSE_MAX_AXES], in_memory[FUSE_MAX_AXES], elems = fuse_box_elems(&box);
    fuse_box_strides(in_file, &box, reversed);
    fuse_box_strides(in_memory, &box, false);
    float *data = calloc((size_t)elems + 1, sizeof *data);
    for (int64_t n = 0; n < elems; n++) {
        int64_t to = 0;
        for (int a = 0; a < box.rank; a++)
            to += n / in_memory[a] % box.hi[a] * in_file[a];
        data[to] = ((const float *)result.sink[0])[n];
    }
    fwrite(data, sizeof *data, (size_t)elems, f);
    free(data);
    return fclose(f) == 0;
}

static bool same_as_file(struct fuse_arena *arena, const char *name, const struct fuse_value *value,
                         const float *expected) {
    struct fuse_probe probe;
    struct fuse_error err = {0};
    struct fuse_source *source;
    const char *path = file_of(arena, name);
    if (fuse_format_npy.probe(&probe, path, NULL, &err) != FUSE_OK ||
        fuse_format_npy.source_open(&source, path, NULL, &probe, &err) != FUSE_OK) {
        print_error("%s\n", err.message);
        return false;
    }
    struct fuse_box box = fuse_box_full(value->rank, value->extent);
    int64_t elems = fuse_box_elems(&box), wrong = 0;
    float *got = calloc((size_t)elems + 1, sizeof *got);
    struct fuse_view view = fuse_box_view(got, FUSE_F32, &box, false, &box);
    bool same = probe.rank == value->rank && fuse_format_npy.source_read(source, &box, &view, &err) == FUSE_OK;
    for (int64_t n = 0; same && n < elems; n++)
        if (!(fabsf(got[n] - expected[n]) <= 2e-4F * (fabsf(expected[n]) + 1)) && wrong++ < 3)
            print_error("%s element %lld: %g, expected %g\n", name, (long long)n, (double)got[n], (double)expected[n]);
    free(got);
    fuse_format_npy.source_close(source);
    return same && wrong == 0;
}

static int64_t lent_bytes;                                              /* of all runs */
static char why_own[sizeof((struct fuse_exec_report *)0)->node_memory]; /* the system does not let ranks share memory */

/* Steps of all plans that compute a tensor again where it is needed, and those of them in chains. */
static int64_t again, again_in_chains;

static void count_again(const struct fuse_plan *plan) {
    for (int s = 0; s < plan->steps.n; s++) {
        const struct fuse_step *step = &plan->steps.at[s];
        if (step->kind != FUSE_STEP_MAP || step->need.value < 0)
            continue;
        again++;
        again_in_chains += plan->chain[step->need.op] >= 0;
    }
}

static void run(const struct fuse_ir *ir, struct fuse_arena *arena, const struct fuse_plan_request *request,
                const struct fuse_backend_ops *backend, int seed) {
    struct fuse_error err = {0};
    struct fuse_plan *plan = NULL;
    const char **path = FUSE_NEW_ARRAY(arena, const char *, ir->ops.n);
    for (int o = 0; o < ir->ops.n; o++)
        if (ir->ops.at[o]->path)
            path[o] = file_of(arena, ir->ops.at[o]->path);
    enum fuse_status status = fuse_plan_make(&plan, arena, ir, request, &err);
    assert_all(status == FUSE_OK || (status == FUSE_EMEMORY && request->memory_bytes > 0));
    if (status != FUSE_OK)
        return;
    count_again(plan);
    struct fuse_exec_request exec = {.plan = plan, .comm = comm, .backend = backend, .threads = 1, .path = path};
    /* Through messages, through memory of the node, or some of it this way and some that. */
    exec.share_bytes = seed % 3 == 0 ? 0 : seed % 3 == 1 ? 1 : 256;
    struct fuse_exec_report report;
    int64_t before = pmpi_received_bytes, lent = comm->counters.lent_bytes;
    status = fuse_execute(&exec, &report, &err);
    if (status != FUSE_OK)
        print_error("seed %d: %s\n", seed, err.message);
    assert_all(status == FUSE_OK);
    lent = comm->counters.lent_bytes - lent;
    int64_t by_mpi = pmpi_received_bytes - before + lent, planned = 0;
    assert_all(comm->ops->reduce_int64(comm, FUSE_REDUCE_SUM, &by_mpi, 1, &err) == FUSE_OK);
    for (int p = 0; p < FUSE_PHASES; p++)
        planned += plan->received_bytes_total[p];
    assert_all(comm->ops->reduce_int64(comm, FUSE_REDUCE_SUM, &lent, 1, &err) == FUSE_OK);
    bool counted = by_mpi == planned && (lent == 0 || exec.share_bytes > 0);
    lent_bytes += lent;
    if (strstr(report.node_memory, "system") || strstr(report.node_memory, "limit") ||
        strstr(report.node_memory, "cannot"))
        memcpy(why_own, report.node_memory, sizeof why_own);
    for (int p = 0; p < FUSE_PHASES; p++)
        counted &= report.received_bytes_total[p] == plan->received_bytes_total[p] &&
                   report.received_bytes_max[p] == plan->received_bytes_max[p];
    bool same = true;
    if (comm->rank == 0) {
        struct interpreted expected;
        same = interpret(&expected, arena, ir);
        for (int o = 0, k = 0; o < ir->ops.n; o++)
            if (ir->ops.at[o]->kind == FUSE_OP_SINK) {
                same &= same_as_file(arena, ir->ops.at[o]->path, expected.value[k], expected.sink[k]);
                k++;
            }
    }
    if (!same || !counted) {
        struct fuse_text text = {.arena = arena};
        fuse_ir_print(&text, ir);
        fuse_plan_print(&text, plan);
        print_error("seed %d on %s\n%s\n", seed, backend->name, text.at);
    }
    assert_all(same);
    assert_all(counted);
}

enum programs { OF_ALL_KINDS, STREAMED, SHARED };

static void random_programs(enum programs kind) {
    const bool streams = kind == STREAMED;
    int pins = 0;
    for (int seed = first_seed; seed < first_seed + (kind != OF_ALL_KINDS ? (seeds + 3) / 4 : seeds); seed++) {
        struct random_state state;
        random_seed(&state, seed);
        struct fuse_arena *arena = fuse_arena_open(NULL);
        struct fuse_ir ir = {.arena = arena};
        if (streams)
            random_stream_program(&ir, &state);
        else if (kind == SHARED)
            random_shared_program(&ir, &state);
        else
            random_program(&ir, &state, false);
        bool ready = true;
        for (int o = 0; o < ir.ops.n && comm->rank == 0; o++)
            if (ir.ops.at[o]->kind == FUSE_OP_SOURCE)
                ready &= write_source(arena, ir.ops.at[o]);
        assert_all(ready);
        struct fuse_error err = {0};
        for (int o = 0; o < ir.ops.n; o++)
            if (ir.ops.at[o]->kind == FUSE_OP_SOURCE)
                ready &= fuse_format_npy.probe(&ir.ops.at[o]->probe, file_of(arena, ir.ops.at[o]->path), NULL, &err) ==
                         FUSE_OK;
        assert_all(ready);
        const struct fuse_backend_ops *backend = fuse_backend_find(backends[seed / 3 % 3]);
        struct fuse_plan_request request = {.ranks = comm->size,
                                            .machine = fuse_machine_default(),
                                            .replicate_below = random_below(&state, 4) == 0 ? 400 : 1,
                                            .file_unit_bytes = random_below(&state, 2) ? 64 : 4};
        request.workspace_bytes = random_below(&state, 2) ? 64 + random_below(&state, 4000) : 0;
        request.slab_bytes = random_below(&state, 2) ? 1 + random_below(&state, 300) : 0;
        request.stream_bytes = streams ? 1 + random_below(&state, 60) : 0;
        request.machine.kind = backend->kind;
        if (kind == SHARED) { /* rather anything than a message */
            request.machine.node_ps_per_kib = request.machine.network_ps_per_kib = 100000000;
            request.machine.map_ps_per_kib = request.machine.map_ps_per_kflop = 1;
            request.slab_bytes = request.slab_bytes > 0 ? random_slab_bytes(&ir, comm->size, &state) : 0;
        }
        if (seed % 3 == 2 && !streams)
            pins += random_pins(&ir, &request, &state);
        run(&ir, arena, &request, backend, seed);
        request.panels = random_below(&state, 3) == 0 ? 1 + random_below(&state, 5) : 0;
        request.memory_bytes = FUSE_PLAN_BASE_BYTES + (1 + random_below(&state, 40)) * 16 * 1024;
        run(&ir, arena, &request, backend, seed);
        for (int o = 0; o < ir.ops.n && comm->rank == 0; o++)
            if (ir.ops.at[o]->path)
                unlink(file_of(arena, ir.ops.at[o]->path));
        fuse_arena_close(arena);
    }
    assert_all(pins > 0 || seeds < 12 || streams);
}

static void test_random_programs(void **unused) {
    (void)unused;
    random_programs(OF_ALL_KINDS);
}

/* Fails when a slab is used before it is read, overwritten before it is written, or read or written twice. */
static void test_streamed_programs(void **unused) {
    (void)unused;
    random_programs(STREAMED);
}

/* Fails when what is computed again is not what would have been brought: at other places, of another turn or slab. */
static void test_shared_programs(void **unused) {
    (void)unused;
    again = again_in_chains = 0;
    random_programs(SHARED);
    if (comm->rank == 0)
        print_message("%lld times computed again, %lld in a chain\n", (long long)again, (long long)again_in_chains);
    assert_all(again > 5 || comm->size == 1 || seeds < 60);
}

/* The loops of a plan whose panels are brought ahead, and those that visit owners in rotation. */
static void count_loops(const struct fuse_plan *plan, int *ahead, int *rotating, int *sliced) {
    for (int i = 0; i < plan->regions.n; i++)
        *rotating += plan->regions.at[i].kind == FUSE_REGION_LOOP && plan->regions.at[i].owners > 0;
    for (int i = 0; i < plan->steps.n; i++) {
        const struct fuse_step *step = &plan->steps.at[i];
        *ahead += step->kind == FUSE_STEP_MOVE && plan->buffers.at[step->to].resident >= 0;
        *sliced += step->slices > 1;
    }
}

/* Products in panels that come ahead, of uneven extents, through staging for a few elements and for all; kernels that the model
 * thinks slow are cut into slices. Fails when a panel is used before it is there or overwritten before it was used, when own
 * blocks are read at the wrong place, or when a failure in the loop leaves messages behind. */
static void test_panels(void **unused) {
    (void)unused;
    int ahead = 0, rotating = 0, sliced = 0, failed = 0;
    struct random_state state;
    random_seed(&state, 4711);
    for (int run_number = 0; run_number < 30; run_number++) {
        struct fuse_arena *arena = fuse_arena_open(NULL);
        struct fuse_ir ir = {.arena = arena};
        int64_t m = 5 + random_below(&state, 40), n = 5 + random_below(&state, 40), k = 8 + random_below(&state, 60);
        int a = build_source(&ir, "a.npy", FUSE_F32, 2, (int64_t[]){m, k});
        int b = build_source(&ir, "b.npy", FUSE_F32, 2, (int64_t[]){k, n});
        int c = build_product(&ir, FUSE_F32, "ij", "ijk", (int64_t[]){m, n, k}, 2,
                              (struct build_use[]){{a, "ik"}, {b, "kj"}});
        build_sink(&ir, "c.npy", c);
        bool ready = true;
        struct fuse_error err = {0};
        for (int o = 0; o < ir.ops.n; o++)
            if (ir.ops.at[o]->kind == FUSE_OP_SOURCE) {
                if (comm->rank == 0)
                    ready &= write_source(arena, ir.ops.at[o]);
                assert_all(ready);
                ready &= fuse_format_npy.probe(&ir.ops.at[o]->probe, file_of(arena, ir.ops.at[o]->path), NULL, &err) ==
                         FUSE_OK;
            }
        assert_all(ready);
        const struct fuse_backend_ops *backend = fuse_backend_find(backends[run_number % 3]);
        struct fuse_plan_request request = {.ranks = comm->size,
                                            .machine = fuse_machine_default(),
                                            .replicate_below = 1,
                                            .file_unit_bytes = 64,
                                            .panels = 2 * (1 + random_below(&state, 6)),
                                            .workspace_bytes = random_below(&state, 2) ? 64 : 0};
        request.machine.kind = backend->kind;
        request.machine.f32_ps_per_kflop = random_below(&state, 2) ? INT64_C(1) << 40 : 8000;
        struct fuse_plan *plan;
        assert_all(fuse_plan_make(&plan, arena, &ir, &request, &err) == FUSE_OK);
        count_loops(plan, &ahead, &rotating, &sliced);
        run(&ir, arena, &request, backend, run_number);
#ifdef FUSE_FAULTS
        const char **path = FUSE_NEW_ARRAY(arena, const char *, ir.ops.n);
        for (int o = 0; o < ir.ops.n; o++)
            if (ir.ops.at[o]->path)
                path[o] = file_of(arena, ir.ops.at[o]->path);
        struct fuse_exec_request exec = {.plan = plan, .comm = comm, .backend = backend, .threads = 1, .path = path};
        exec.share_bytes = run_number % 3 ? 1 : 0;
        exec.fault = (struct fuse_fault){.kind = run_number % 2 ? FUSE_FAULT_KERNEL : FUSE_FAULT_MESSAGE,
                                         .n = 1 + random_below(&state, 4),
                                         .rank = (int)random_below(&state, comm->size)};
        struct fuse_exec_report report;
        err = (struct fuse_error){0};
        enum fuse_status status = fuse_execute(&exec, &report, &err);
        assert_all(status == FUSE_OK || strstr(err.message, "planted fault") != NULL);
        failed += status != FUSE_OK;
#endif
        for (int o = 0; o < ir.ops.n && comm->rank == 0; o++)
            if (ir.ops.at[o]->path)
                unlink(file_of(arena, ir.ops.at[o]->path));
        fuse_arena_close(arena);
    }
    if (comm->size > 1)
        assert_all(ahead > 4 && (rotating > 0 || comm->size > 4) && sliced > 2 && (failed > 10 || !FAULTS));
}

/* With one box of the first exchange made wrong, values or counts must be wrong too, and nothing may hang. */
static void test_planted_fault(void **unused) {
    (void)unused;
    if (comm->size == 1)
        skip();
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_ir ir = {.arena = arena};
    int a = build_source(&ir, "a.npy", FUSE_F32, 2, (int64_t[]){64, 48});
    int b = build_source(&ir, "b.npy", FUSE_F32, 2, (int64_t[]){48, 80});
    int c = build_product(&ir, FUSE_F32, "ij", "ijk", (int64_t[]){64, 80, 48}, 2,
                          (struct build_use[]){{a, "ik"}, {b, "kj"}});
    build_sink(&ir, "c.npy", c);
    bool ready = true;
    struct fuse_error err = {0};
    const char **path = FUSE_NEW_ARRAY(arena, const char *, ir.ops.n);
    for (int o = 0; o < ir.ops.n; o++)
        if (ir.ops.at[o]->path)
            path[o] = file_of(arena, ir.ops.at[o]->path);
    for (int o = 0; o < ir.ops.n && comm->rank == 0; o++)
        if (ir.ops.at[o]->kind == FUSE_OP_SOURCE)
            ready &= write_source(arena, ir.ops.at[o]);
    assert_all(ready);
    for (int o = 0; o < ir.ops.n; o++)
        if (ir.ops.at[o]->kind == FUSE_OP_SOURCE)
            ready &= fuse_format_npy.probe(&ir.ops.at[o]->probe, path[o], NULL, &err) == FUSE_OK;
    assert_all(ready);
    struct fuse_plan_request request = {.ranks = comm->size,
                                        .machine = fuse_machine_default(),
                                        .replicate_below = 1,
                                        .file_unit_bytes = 64,
                                        .perturb = true};
    struct fuse_plan *plan;
    assert_all(fuse_plan_make(&plan, arena, &ir, &request, &err) == FUSE_OK);
    struct fuse_exec_request exec = {
        .plan = plan, .comm = comm, .backend = &fuse_backend_cpu, .threads = 1, .path = path};
    struct fuse_exec_report report;
    assert_all(fuse_execute(&exec, &report, &err) == FUSE_OK);
    int64_t planned = 0, counted = 0;
    for (int p = 0; p < FUSE_PHASES; p++) {
        planned += plan->received_bytes_total[p];
        counted += report.received_bytes_total[p];
    }
    assert_all(counted < planned);
    bool wrong = true;
    if (comm->rank == 0) {
        struct interpreted expected;
        interpret(&expected, arena, &ir);
        print_message("the next lines show the planted fault\n");
        wrong = !same_as_file(arena, "c.npy", expected.value[0], expected.sink[0]);
    }
    assert_all(wrong);
    for (int o = 0; o < ir.ops.n && comm->rank == 0; o++)
        if (path[o])
            unlink(path[o]);
    fuse_arena_close(arena);
}

/* What ranks of a node read of each other's memory has been computed with above. */
static void test_lent(void **unused) {
    (void)unused;
    if (comm->size > 1 && why_own[0]) {
        print_message("memory of the node is not shared: %s\n", why_own);
        skip();
    }
    assert_all(comm->size == 1 || lent_bytes > 0);
}

int main(int argc, char **argv) {
    if (argc == 3) {
        first_seed = atoi(argv[1]);
        seeds = atoi(argv[2]);
    }
    struct fuse_error err = {0};
    if (fuse_comm_open_mpi(&comm, &err) != FUSE_OK)
        return 1;
    if (comm->rank == 0) {
        strcpy(folder, "/tmp/fuse-execute-XXXXXX");
        if (!mkdtemp(folder))
            return 1;
    }
    if (comm->ops->broadcast(comm, folder, sizeof folder, 0, &err) != FUSE_OK)
        return 1;
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_programs), cmocka_unit_test(test_streamed_programs),
                                       cmocka_unit_test(test_shared_programs), cmocka_unit_test(test_panels),
                                       cmocka_unit_test(test_planted_fault),   cmocka_unit_test(test_lent)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (comm->rank == 0)
        rmdir(folder);
    comm->ops->close(comm);
    fuse_comm_finalize_mpi();
    return failed;
}
