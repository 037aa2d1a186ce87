/* Causal attention over a sequence that ranks share: queries are dealt in zigzag where that pays, every plan is carried out on
 * element numbers, and the work of every rank is counted pair by pair. */
#include "plan/cost.h"
#include "plan/plan.h"
#include "tests/unit/ir_interpret.h"
#include "tests/unit/random_ir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <math.h>
#include <stddef.h>

#include <cmocka.h>

struct shape {
    int64_t heads, queries, keys, depth, columns, shift;
    bool causal, shares_keys; /* a query attends to keys that all heads have */
};

/* out[h,p,e] = sum over q of softmax over q (q[h,p,d] k[h,q,d] if q <= p + shift) v[h,q,e], the sink "out". */
static int attention(struct fuse_ir *ir, struct fuse_arena *arena, const struct shape *s) {
    enum { H, P, E, Q, D };
    *ir = (struct fuse_ir){.arena = arena};
    struct build_body body = {.arena = arena};
    int score =
        body_op(&body, FUSE_SCALAR_MUL, FUSE_F32, body_load(&body, 0, FUSE_F32), body_real(&body, FUSE_F32, 0.5), -1);
    if (s->causal) {
        int row = body_iota(&body, P);
        row = s->shift == 0 ? row
                            : body_op(&body, FUSE_SCALAR_ADD, FUSE_I64, row, body_int(&body, FUSE_I64, s->shift), -1);
        int test = body_op(&body, FUSE_SCALAR_LE, FUSE_BOOL, body_iota(&body, Q), row, -1);
        body_op(&body, FUSE_SCALAR_SELECT, FUSE_F32, test, score, body_real(&body, FUSE_F32, -INFINITY));
    }
    int q = build_source(ir, "q", FUSE_F32, 3, (int64_t[]){s->heads, s->queries, s->depth});
    int k = build_source(ir, "k", FUSE_F32, 3, (int64_t[]){s->shares_keys ? 1 : s->heads, s->keys, s->depth});
    int v = build_source(ir, "v", FUSE_F32, 3, (int64_t[]){s->shares_keys ? 1 : s->heads, s->keys, s->columns});
    int out = build_map(
        ir, FUSE_F32, "hpe", "hpeqd", (int64_t[]){s->heads, s->queries, s->columns, s->keys, s->depth}, 3,
        (struct build_use[]){{q, "hpd"}, {k, s->shares_keys ? ".qd" : "hqd"}, {v, s->shares_keys ? ".qe" : "hqe"}},
        FUSE_REDUCE_SUM, body_end(&body));
    int number = ir->values.at[out].op;
    struct fuse_op *op = FUSE_NEW(arena, struct fuse_op);
    *op = *ir->ops.at[number];
    op->kind = FUSE_OP_ATTENTION;
    ir->ops.at[number] = op;
    build_sink(ir, "out", out);
    return number;
}

static struct fuse_plan *plan(struct fuse_arena *arena, const struct fuse_ir *ir, struct fuse_plan_request *request) {
    struct fuse_plan *made;
    struct fuse_error err = {0};
    enum fuse_status status = fuse_plan_make(&made, arena, ir, request, &err);
    if (status != FUSE_OK)
        print_error("%s\n%s\n", err.message, err.note);
    assert_int_equal(status, FUSE_OK);
    return made;
}

static const struct fuse_step *attention_step(const struct fuse_plan *p) {
    for (int i = 0; i < p->steps.n; i++)
        if (p->steps.at[i].kind == FUSE_STEP_ATTENTION)
            return &p->steps.at[i];
    return NULL;
}

/* Pairs of a query and a key that it sees, one after the other, of a rank in all turns. */
static int64_t count_pairs(const struct fuse_plan *p, const struct fuse_step *step, const struct shape *s, int rank) {
    int64_t turns = step->loop >= 0 ? p->regions.at[step->loop].turns : 1, pairs = 0;
    for (int64_t turn = 0; turn < turns; turn++)
        for (int half = 0; half < fuse_layout_halves(&step->partition); half++) {
            struct fuse_box box =
                fuse_iteration_box(p, step->op, &step->partition, step->loop, step->cut, rank, turn, half);
            for (int64_t x = box.lo[1]; x < box.hi[1] && !fuse_box_is_empty(&box); x++) {
                int64_t seen = s->causal ? x + s->shift + 1 : s->keys;
                seen = seen < 0 ? 0 : seen < s->keys ? seen : s->keys;
                pairs += seen * (box.hi[0] - box.lo[0]) * (box.hi[2] - box.lo[2]);
            }
        }
    return pairs;
}

/* The busiest rank's share over the mean of all that are used. */
static double balance(const struct fuse_plan *p, const struct shape *s) {
    const struct fuse_step *step = attention_step(p);
    int64_t most = 0, all = 0;
    for (int rank = 0; rank < p->mesh.used; rank++) {
        int64_t pairs = count_pairs(p, step, s, rank);
        most = pairs > most ? pairs : most;
        all += pairs;
    }
    return all > 0 ? (double)most * p->mesh.used / (double)all : 1;
}

/* Long sequences are shared evenly, and the model says so. */
static void test_long_sequences(void **unused) {
    (void)unused;
    static const int ranks[] = {2, 3, 4, 5, 8, 61, 64};
    const struct shape s = {.heads = 1, .queries = 65536, .keys = 65536, .depth = 64, .columns = 64, .causal = true};
    for (size_t i = 0; i < sizeof ranks / sizeof *ranks; i++) {
        struct fuse_arena *arena = fuse_arena_open(NULL);
        struct fuse_ir ir;
        struct fuse_plan_request request = {
            .ranks = ranks[i], .machine = fuse_machine_default(), .replicate_below = -1};
        int op = attention(&ir, arena, &s);
        struct fuse_plan *p = plan(arena, &ir, &request);
        double even = balance(p, &s);
        assert_int_equal(p->partition[op].zigzag, 2);
        assert_true(even <= 1.05);
        assert_true(fabs((double)fuse_cost_balance(p, op, &p->partition[op]) - 1000 * even) <= 1);
        struct fuse_layout block = p->partition[op];
        block.zigzag = 0;
        assert_true(fuse_cost_balance(p, op, &block) > 1000 * (2 - 1.05 / ranks[i]));
        assert_true(fuse_cost_compute_ps(p, op, &block) > fuse_cost_compute_ps(p, op, &p->partition[op]) * 14 / 10);
        fuse_arena_close(arena);
    }
}

/* Heads that can be shared are: nothing travels then, and the work is even without more ado. Without causality, or where few
 * queries see less than all keys, blocks are as good. */
static void test_what_needs_none(void **unused) {
    (void)unused;
    static const struct shape shapes[] = {
        {.heads = 8, .queries = 4096, .keys = 4096, .depth = 64, .columns = 64, .causal = true},
        {.heads = 1, .queries = 4096, .keys = 4096, .depth = 64, .columns = 64},
        {.heads = 1, .queries = 4096, .keys = 64, .depth = 64, .columns = 64, .shift = 4096, .causal = true},
        {.heads = 1, .queries = 7, .keys = 100000, .depth = 64, .columns = 64, .causal = true},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct fuse_arena *arena = fuse_arena_open(NULL);
        struct fuse_ir ir;
        struct fuse_plan_request request = {.ranks = 4, .machine = fuse_machine_default(), .replicate_below = -1};
        int op = attention(&ir, arena, &shapes[i]);
        struct fuse_plan *p = plan(arena, &ir, &request);
        assert_int_equal(p->partition[op].zigzag, 0);
        if (shapes[i].heads == 8)
            assert_int_equal(p->received_bytes_max[FUSE_PHASE_RUN], 0);
        fuse_arena_close(arena);
    }
}

/* Extents that nothing divides, panels, little memory, several nodes: every element is where it is read, every byte is planned. */
static void test_replay(void **unused) {
    (void)unused;
    struct random_state state;
    int dealt = 0, in_panels = 0;
    random_seed(&state, 11);
    for (int i = 0; i < 120; i++) {
        struct shape s = {.heads = 1 + random_below(&state, 3),
                          .queries = 1 + random_below(&state, 70),
                          .keys = 1 + random_below(&state, 70),
                          .depth = 1 + random_below(&state, 4),
                          .columns = 1 + random_below(&state, 4),
                          .shift = random_below(&state, 3) ? 0 : random_below(&state, 60) - 30,
                          .causal = true,
                          .shares_keys = random_below(&state, 4) == 0};
        struct fuse_arena *arena = fuse_arena_open(NULL);
        struct fuse_ir ir;
        struct fuse_error err = {0};
        struct fuse_plan_request request = {.ranks = (int)(1 + random_below(&state, 12)),
                                            .machine = fuse_machine_default(),
                                            .panels = random_below(&state, 2) * (1 + random_below(&state, 5)),
                                            .file_unit_bytes = 64,
                                            .workspace_bytes = 256};
        request.machine.latency_ps = 0;
        request.machine.ranks_per_node = random_below(&state, 2) ? 2 : 0;
        int op = attention(&ir, arena, &s);
        struct fuse_plan *p = plan(arena, &ir, &request);
        const struct fuse_step *step = attention_step(p);
        dealt += p->partition[op].zigzag > 0;
        in_panels += p->partition[op].zigzag > 0 && step->loop >= 0 && step->cut == 1;
        int64_t pairs = 0;
        for (int rank = 0; rank < p->mesh.used; rank++)
            pairs += count_pairs(p, step, &s, rank);
        int64_t copies = fuse_layout_parts(&p->partition[op], &p->mesh, FUSE_REPLICATED);
        int64_t once = 0;
        for (int64_t x = 0; x < s.queries; x++)
            once += x + s.shift < 0 ? 0 : x + s.shift + 1 < s.keys ? x + s.shift + 1 : s.keys;
        assert_int_equal(pairs, once * s.heads * s.columns * copies);
        enum fuse_status status = fuse_plan_replay(p, &err);
        if (status != FUSE_OK) {
            struct fuse_text text = {.arena = arena};
            fuse_plan_print(&text, p);
            print_error("case %d: %s\n%s\n", i, err.message, text.at);
        }
        assert_int_equal(status, FUSE_OK);
        fuse_arena_close(arena);
    }
    print_message("%d plans in zigzag, %d of them in panels\n", dealt, in_panels);
    assert_true(dealt >= 40 && in_panels >= 5);
}

/* Scores that the busiest rank computes in all turns, from the boxes alone. */
static int64_t count_scores(const struct fuse_plan *p, const struct fuse_step *step, const struct shape *s) {
    const int64_t turns = step->loop >= 0 ? p->regions.at[step->loop].turns : 1;
    int64_t most = 0;
    for (int rank = 0; rank < p->mesh.used; rank++) {
        int64_t scores = 0;
        for (int64_t turn = 0; turn < turns; turn++) {
            struct fuse_box box =
                fuse_iteration_box(p, step->op, &step->partition, step->loop, step->cut, rank, turn, 0);
            if (!fuse_box_is_empty(&box))
                scores += (box.hi[0] - box.lo[0]) * (box.hi[1] - box.lo[1]) * s->keys;
        }
        most = scores > most ? scores : most;
    }
    return most;
}

/* As memory shrinks, plans compute scores several times only as long as that is little, and their operations count what their boxes
 * say: rows of values in 600 parts would take the scores 600 times. */
static void test_little_memory(void **unused) {
    (void)unused;
    const struct shape s = {.heads = 1, .queries = 7001, .keys = 7001, .depth = 24, .columns = 600};
    int refused = 0, in_turns = 0;
    for (int ranks = 1; ranks <= 5; ranks += 2) {
        int64_t free_ps = 0;
        for (int64_t mib = 160; mib > 34; mib -= mib / 10) {
            struct fuse_arena *arena = fuse_arena_open(NULL);
            struct fuse_ir ir;
            struct fuse_error err = {0};
            struct fuse_plan *p;
            struct fuse_plan_request request = {
                .ranks = ranks, .machine = fuse_machine_default(), .replicate_below = -1, .memory_bytes = mib << 20};
            attention(&ir, arena, &s);
            if (fuse_plan_make(&p, arena, &ir, &request, &err) == FUSE_OK) {
                const struct fuse_step *step = attention_step(p);
                const int64_t columns = (s.columns + fuse_layout_parts(&step->partition, &p->mesh, 2) - 1) /
                                        fuse_layout_parts(&step->partition, &p->mesh, 2);
                const int64_t scores = count_scores(p, step, &s), own = 5; /* operations of a score itself */
                const int64_t rows = (s.queries + fuse_layout_parts(&step->partition, &p->mesh, 1) - 1) /
                                     fuse_layout_parts(&step->partition, &p->mesh, 1);
                const int64_t flops = scores * (2 * s.depth + own) + 2 * rows * s.keys * columns;
                if (step->flops_max < flops - flops / 50 || step->flops_max > flops + flops / 50) {
                    struct fuse_text text = {.arena = arena};
                    fuse_plan_print(&text, p);
                    print_error("%s\n%lld scores, %lld operations planned, %lld counted\n", text.at, (long long)scores,
                                (long long)step->flops_max, (long long)flops);
                    fail();
                }
                free_ps = free_ps ? free_ps : p->time_ps;
                assert_true(p->time_ps < 3 * free_ps);
                in_turns += step->loop >= 0;
            } else
                refused++;
            fuse_arena_close(arena);
        }
    }
    print_message("%d plans in turns, %d refused\n", in_turns, refused);
    assert_true(in_turns >= 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_long_sequences), cmocka_unit_test(test_what_needs_none),
                                       cmocka_unit_test(test_replay), cmocka_unit_test(test_little_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
