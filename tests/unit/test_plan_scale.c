/* Random triples of a program, a number of ranks from 1 to 64 and a limit of memory: what fits is planned within its limit and
 * replayed on element numbers (plan.h: blocks tile every tensor once, what ranks send others receive, nothing is read before it
 * is written or while its memory is another's, bytes are the planned ones); what does not fit is refused, and fits in what the
 * refusal asks for. TRIPLES=10000 in the environment takes more of them than 60, TRIPLES=5000:2500 the 2,500 from number 5,000 on. */
#include "ir/ir.h"
#include "plan/plan.h"
#include "tests/unit/random_ir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct { int planned, refused, chained, moving, many_ranks; } seen;

static void complain(const struct fuse_ir *ir, const struct fuse_plan *plan, const struct fuse_error *err, int seed) {
    struct fuse_text text = {.arena = ir->arena};
    fuse_ir_print(&text, ir);
    if (plan)
        fuse_plan_print(&text, plan);
    print_error("seed %d\n%s\n%s\n%s\n", seed, text.at, err->message, err->note);
    fail();
}

/* "... needs at least" and the hint's number of bytes or MiB. */
static int64_t asked_bytes(const struct fuse_error *err) {
    const char *at = strstr(err->hint, "--mem-per-rank ");
    assert_non_null(at);
    return strtoll(at + strlen("--mem-per-rank "), NULL, 10) << 20;
}

static void check_refusal(const struct fuse_ir *ir, struct fuse_plan_request request, const struct fuse_error *refusal,
                          int seed) {
    struct fuse_plan *plan = NULL;
    struct fuse_error err = {0};
    seen.refused++;
    assert_true(request.memory_bytes > 0);
    request.memory_bytes = asked_bytes(refusal);
    if (fuse_plan_make(&plan, ir->arena, ir, &request, &err) != FUSE_OK)
        complain(ir, NULL, &err, seed);
}

static void check_triple(const struct fuse_ir *ir, const struct fuse_plan_request *request, int seed) {
    struct fuse_plan *plan = NULL;
    struct fuse_error err = {0};
    enum fuse_status status = fuse_plan_make(&plan, ir->arena, ir, request, &err);
    if (status == FUSE_EMEMORY) {
        check_refusal(ir, *request, &err, seed);
        return;
    }
    if (status == FUSE_OK && request->memory_bytes > 0)
        assert_true(plan->peak_bytes + FUSE_PLAN_BASE_BYTES <= request->memory_bytes);
    if (status == FUSE_OK)
        status = fuse_plan_replay(plan, &err);
    if (status != FUSE_OK)
        complain(ir, plan, &err, seed);
    seen.planned++;
    seen.chained += plan->chains.n > 0;
    seen.many_ranks += plan->mesh.used > 32;
    seen.moving += plan->received_bytes_total[FUSE_PHASE_RUN] > 0;
}

/* Fails when a plan for some number of ranks or some limit does not hold together. */
static void test_triples(void **unused) {
    (void)unused;
    const char *wanted = getenv("TRIPLES");
    const char *colon = wanted ? strchr(wanted, ':') : NULL;
    const int first = colon ? atoi(wanted) : 0, triples = colon ? atoi(colon + 1) : wanted ? atoi(wanted) : 60;
    for (int seed = first; seed < first + triples; seed++) {
        struct random_state state;
        random_seed(&state, 7000000 + seed);
        struct fuse_arena *arena = fuse_arena_open(NULL);
        struct fuse_ir ir = {.arena = arena};
        random_program(&ir, &state, true);
        struct fuse_plan_request request = {.ranks = 1 + (int)random_below(&state, 64),
                                            .machine = fuse_machine_default(),
                                            .replicate_below = random_below(&state, 4) == 0 ? 400 : 1,
                                            .file_unit_bytes = random_below(&state, 2) ? 64 : 4};
        request.machine.ranks_per_node = random_below(&state, 3) == 0 ? 1 + (int)random_below(&state, 8) : 0;
        request.workspace_bytes = random_below(&state, 2) ? 64 + random_below(&state, 4000) : 0;
        request.chunk = random_below(&state, 4) == 0 ? 1 + random_below(&state, 4) : 0;
        request.memory_bytes =
            random_below(&state, 4) == 0 ? 0 : FUSE_PLAN_BASE_BYTES + (1 + random_below(&state, 60)) * 1024;
        check_triple(&ir, &request, seed);
        fuse_arena_close(arena);
    }
    print_message("%d planned, of these %d move, %d have chains, %d use more than 32 ranks; %d refused\n", seen.planned,
                  seen.moving, seen.chained, seen.many_ranks, seen.refused);
    assert_int_equal(seen.planned + seen.refused, triples);
    assert_true(seen.moving > triples / 3 && seen.many_ranks > triples / 5 && seen.refused > triples / 40);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_triples)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
