/* Random programs are planned for many numbers of ranks and memory limits, and every plan is replayed on element numbers:
 * wrong boxes, lost partials, stale panels, overlapping buffers and miscounted bytes all fail here. */
#include "ir/ir.h"
#include "plan/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint64_t state;

static int64_t below(int64_t n) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (int64_t)((state >> 33) % (uint64_t)n);
}

static const char *const index_names[] = {"a", "b", "c", "d", "e", "f", "g", "h"};

static struct fuse_scalar *sum_body(struct fuse_arena *arena, int inputs) {
    struct fuse_scalar *body = FUSE_NEW(arena, struct fuse_scalar);
    body->node = FUSE_NEW_ARRAY(arena, struct fuse_scalar_node, 2 * inputs + 1);
    int last = -1;
    for (int k = 0; k < inputs; k++) {
        body->node[body->n] = (struct fuse_scalar_node){FUSE_SCALAR_LOAD, FUSE_F32, -1, -1, -1, k, 0, 0};
        int load = body->n++;
        if (last >= 0) {
            body->node[body->n] = (struct fuse_scalar_node){FUSE_SCALAR_ADD, FUSE_F32, last, load, -1, -1, 0, 0};
            last = body->n++;
        } else {
            last = load;
        }
    }
    if (last < 0)
        body->node[body->n++] = (struct fuse_scalar_node){FUSE_SCALAR_CONST, FUSE_F32, -1, -1, -1, -1, 0, 1};
    return body;
}

static int64_t random_extent(void) {
    static const int64_t sizes[] = {1, 2, 3, 5, 7, 8, 13, 16, 31, 64, 97};
    return sizes[below(sizeof sizes / sizeof *sizes)];
}

/* A source large enough to be distributed, once in a while a small one. */
static int add_source(struct fuse_ir *ir, bool reversed) {
    int64_t extent[3];
    int rank = (int)below(4);
    for (int a = 0; a < rank; a++)
        extent[a] = random_extent();
    struct fuse_op op = {.kind = FUSE_OP_SOURCE, .span = FUSE_NO_SPAN, .path = "x.npy"};
    op.probe.reversed = reversed && rank > 1;
    op.probe.rank = rank;
    op.probe.file_dtype = FUSE_F32;
    for (int a = 0; a < rank; a++)
        op.probe.extent[a] = extent[a];
    op.out = fuse_ir_add_value(ir, NULL, FUSE_NO_SPAN, FUSE_F32, rank, extent);
    fuse_ir_add_op(ir, &op);
    return op.out;
}

/* An operation that reads some values through random index maps. */
static void add_operation(struct fuse_ir *ir) {
    struct fuse_op op = {.span = FUSE_NO_SPAN};
    bool einsum = below(2);
    op.kind = einsum ? FUSE_OP_EINSUM : FUSE_OP_MAP;
    op.inputs = einsum ? 2 : (int)below(3) + (ir->values.n == 0);
    op.input = FUSE_NEW_ARRAY(ir->arena, struct fuse_use, 3);
    for (int k = 0; k < op.inputs; k++) {
        int v = (int)below(ir->values.n);
        struct fuse_use *use = &op.input[k];
        use->value = v;
        use->access = fuse_access_identity(ir->values.at[v].rank);
        for (int a = 0; a < use->access.rank; a++) {
            int64_t extent = ir->values.at[v].extent[a];
            struct fuse_access_axis *at = &use->access.at[a];
            if (below(8) == 0) {
                *at = (struct fuse_access_axis){-1, 0, below(extent)};
                continue;
            }
            int match = -1;
            for (int i = 0; i < op.indices; i++)
                if (op.extent[i] == extent && below(3) > 0)
                    match = i;
            if (match < 0 && op.indices < 6) {
                match = op.indices++;
                op.extent[match] = extent;
                op.index_name[match] = index_names[match];
            }
            *at = match < 0 ? (struct fuse_access_axis){-1, 0, 0} : (struct fuse_access_axis){match, 1, 0};
            if (match >= 0 && below(6) == 0)
                at->offset = below(5) - 2;
            else if (match >= 0 && below(8) == 0)
                *at = (struct fuse_access_axis){match, -1, extent - 1};
        }
    }
    if (op.indices < 6 && below(6) == 0) {
        op.extent[op.indices] = random_extent();
        op.index_name[op.indices] = index_names[op.indices];
        op.indices++;
    }
    int64_t extent[FUSE_MAX_AXES], elems = 1;
    int rank = 0;
    for (int i = 0; i < op.indices; i++)
        elems *= op.extent[i];
    for (int i = 0; i < op.indices; i++) {
        bool keep = below(2) && rank < 3;
        if (keep) {
            extent[rank] = op.extent[i];
            op.out_index[rank++] = i;
        }
    }
    if (elems > 300000)
        return;
    if (rank > 1 && below(2)) { /* transposed output */
        int t = op.out_index[0];
        op.out_index[0] = op.out_index[1];
        op.out_index[1] = t;
        int64_t x = extent[0];
        extent[0] = extent[1];
        extent[1] = x;
    }
    op.reduce = rank < op.indices ? FUSE_REDUCE_SUM : FUSE_REDUCE_NONE;
    if (!einsum)
        op.body = sum_body(ir->arena, op.inputs);
    op.out = fuse_ir_add_value(ir, NULL, FUSE_NO_SPAN, FUSE_F32, rank, extent);
    fuse_ir_add_op(ir, &op);
}

static void add_sink(struct fuse_ir *ir, int value) {
    struct fuse_op op = {.kind = FUSE_OP_SINK, .span = FUSE_NO_SPAN, .out = -1, .inputs = 1, .path = "y.npy"};
    op.input = FUSE_NEW_ARRAY(ir->arena, struct fuse_use, 1);
    op.input[0].value = value;
    op.input[0].access = fuse_access_identity(ir->values.at[value].rank);
    fuse_ir_add_op(ir, &op);
}

static void random_program(struct fuse_ir *ir) {
    int sources = 1 + (int)below(3);
    for (int i = 0; i < sources; i++)
        add_source(ir, below(4) == 0);
    int ops = 1 + (int)below(5);
    for (int i = 0; i < ops; i++)
        add_operation(ir);
    for (int v = 0; v < ir->values.n; v++)
        if (v == ir->values.n - 1 || below(3) == 0)
            add_sink(ir, v);
}

/* What the plans of a test contain, so that an empty test cannot pass. */
static struct { int plans, moving, reducing, panels, slabs, refused, caught, perturbed; } seen;

static void count(const struct fuse_plan *plan) {
    bool moving = false, reducing = false, panels = false, slabs = false;
    for (int i = 0; i < plan->steps.n; i++) {
        moving |= plan->steps.at[i].kind == FUSE_STEP_MOVE && plan->steps.at[i].received_bytes_total > 0;
        reducing |= plan->steps.at[i].kind == FUSE_STEP_REDUCE;
    }
    for (int i = 0; i < plan->regions.n; i++) {
        bool loop = plan->regions.at[i].kind == FUSE_REGION_LOOP;
        panels |= loop && plan->regions.at[i].loop == FUSE_LOOP_PANEL;
        slabs |= loop && plan->regions.at[i].loop == FUSE_LOOP_SLAB;
    }
    seen.plans++;
    seen.moving += moving;
    seen.reducing += reducing;
    seen.panels += panels;
    seen.slabs += slabs;
}

/* The same plan with one box of its first exchange made wrong must not pass. */
static void check_perturbed(struct fuse_plan *plan) {
    struct fuse_error err = {0};
    int64_t bytes = 0;
    for (int p = 0; p < FUSE_PHASES; p++)
        bytes += plan->received_bytes_total[p];
    if (bytes == 0)
        return;
    plan->request.perturb = true;
    seen.perturbed++;
    seen.caught += fuse_plan_replay(plan, &err) == FUSE_EVERIFY;
    plan->request.perturb = false;
}

static void check(const struct fuse_ir *ir, const struct fuse_plan_request *request) {
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_plan *plan = NULL;
    struct fuse_error err = {0};
    enum fuse_status status = fuse_plan_make(&plan, arena, ir, request, &err);
    if (status == FUSE_EMEMORY) {
        seen.refused++;
        assert_true(request->memory_bytes > 0);
    } else {
        if (status == FUSE_OK && request->memory_bytes > 0)
            assert_true(plan->peak_bytes + FUSE_PLAN_BASE_BYTES <= request->memory_bytes);
        if (status == FUSE_OK)
            status = fuse_plan_replay(plan, &err);
        if (status != FUSE_OK) {
            struct fuse_text text = {.arena = arena};
            fuse_ir_print(&text, ir);
            if (plan)
                fuse_plan_print(&text, plan);
            print_error("%s\n%s\n%s\n", text.at, err.message, err.note);
            fail();
        }
        count(plan);
        check_perturbed(plan);
    }
    fuse_arena_close(arena);
}

static void random_programs(int programs, bool device) {
    memset(&seen, 0, sizeof seen);
    for (int seed = 0; seed < programs; seed++) {
        state = (uint64_t)seed * 7919 + 17;
        struct fuse_arena *arena = fuse_arena_open(NULL);
        struct fuse_ir ir = {.arena = arena};
        random_program(&ir);
        struct fuse_error err = {0};
        if (fuse_ir_verify(&ir, &err) != FUSE_OK) {
            struct fuse_text text = {.arena = arena};
            fuse_ir_print(&text, &ir);
            print_error("%s\n%s\n", text.at, err.message);
            fail();
        }
        struct fuse_plan_request request = {.ranks = 1 + (int)below(16),
                                            .machine = fuse_machine_default(),
                                            .replicate_below = below(4) == 0 ? 400 : 1,
                                            .file_unit_bytes = below(2) ? 64 : 4};
        request.workspace_bytes = below(2) ? 64 + below(4000) : 0;
        if (device)
            request.machine.kind = FUSE_MEM_DEVICE;
        check(&ir, &request);
        request.panels = below(3) == 0 ? 1 + below(5) : 0;
        request.memory_bytes = FUSE_PLAN_BASE_BYTES + (1 + below(40)) * 16 * 1024;
        check(&ir, &request);
        fuse_arena_close(arena);
    }
    print_message(
        "%d plans: %d move, %d reduce, %d have panels, %d slabs; %d refused; %d of %d planted faults caught\n",
        seen.plans, seen.moving, seen.reducing, seen.panels, seen.slabs, seen.refused, seen.caught, seen.perturbed);
    assert_true(seen.moving > programs / 4 && seen.reducing > programs / 8 && seen.panels > programs / 20);
    assert_true(seen.slabs > 0 && seen.refused > 0);
    assert_int_equal(seen.caught, seen.perturbed);
}

static void test_random_programs(void **unused) {
    (void)unused;
    random_programs(600, false);
}

static void test_random_programs_on_a_device(void **unused) {
    (void)unused;
    random_programs(150, true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_programs),
        cmocka_unit_test(test_random_programs_on_a_device),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
