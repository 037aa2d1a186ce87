/* On trees of products the search finds the fastest plan: no layouts of the results between that somebody could force upon it
 * give one that is faster by more than what pinned results may do and others may not, be reduced onto two axes at once. All
 * are tried, on a mesh of three dimensions, and a machine whose files cost nothing. Sweeps alone are off by 2 % here. */
#include "core/scalar.h"
#include "plan/plan.h"
#include "tests/unit/ir_interpret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { RESULTS = 2 };

static uint32_t draw(uint32_t number, int what, uint32_t n) {
    uint32_t bits[4];
    fuse_philox(bits, (uint64_t)what + 100, number);
    return bits[0] % n;
}

/* Every layout without copies: each dimension on one of two axes, and the dimensions of one axis in either order. */
static int list_pins(struct fuse_plan_pin *pin) {
    int n = 0;
    for (int code = 0; code < 8; code++) {
        int axis[3] = {code & 1, code >> 1 & 1, code >> 2};
        for (int reversed = 0; reversed < 2; reversed++) {
            pin[n] = (struct fuse_plan_pin){.all = -1};
            int used[2] = {0, 0};
            for (int i = 0; i < 3; i++) {
                int d = reversed ? 2 - i : i;
                used[axis[d]]++;
                pin[n].split[pin[n].splits].axis = axis[d];
                pin[n].split[pin[n].splits++].dim = d;
            }
            if (!reversed || used[0] > 1 || used[1] > 1)
                n++;
        }
    }
    return n;
}

/* ((A B) C) (D E) or (A (B C)) (D E) by number, with two of the results pinned. */
static void build(struct fuse_ir *ir, struct fuse_arena *arena, uint32_t number, const int pin[RESULTS]) {
    static const int64_t extent[] = {64, 256, 1000, 4096, 20000};
    *ir = (struct fuse_ir){.arena = arena};
    int64_t n[4];
    for (int i = 0; i < 4; i++)
        n[i] = extent[draw(number, i, 5)];
    int64_t i = n[0], j = n[1], k = n[2], l = n[3];
    int first, second;
    bool left = draw(number, 4, 2);
    int a = build_source(ir, "a", FUSE_F32, 2, (int64_t[]){i, j}),
        b = build_source(ir, "b", FUSE_F32, 2, (int64_t[]){j, k}),
        c = build_source(ir, "c", FUSE_F32, 2, (int64_t[]){k, l});
    if (left) {
        first = build_product(ir, FUSE_F32, "ik", "ikj", (int64_t[]){i, k, j}, 2,
                              (struct build_use[]){{a, "ij"}, {b, "jk"}});
        second = build_product(ir, FUSE_F32, "il", "ilk", (int64_t[]){i, l, k}, 2,
                               (struct build_use[]){{first, "ik"}, {c, "kl"}});
    } else {
        first = build_product(ir, FUSE_F32, "jl", "jlk", (int64_t[]){j, l, k}, 2,
                              (struct build_use[]){{b, "jk"}, {c, "kl"}});
        second = build_product(ir, FUSE_F32, "il", "ilj", (int64_t[]){i, l, j}, 2,
                               (struct build_use[]){{a, "ij"}, {first, "jl"}});
    }
    int d = build_source(ir, "d", FUSE_F32, 2, (int64_t[]){l, i});
    int third =
        build_product(ir, FUSE_F32, "lk", "lki", (int64_t[]){l, k, i}, 2,
                      (struct build_use[]){{d, "li"}, {build_source(ir, "e", FUSE_F32, 2, (int64_t[]){i, k}), "ik"}});
    int last = build_product(ir, FUSE_F32, "ik", "ikl", (int64_t[]){i, k, l}, 2,
                             (struct build_use[]){{second, "il"}, {third, "lk"}});
    build_sink(ir, "out", last);
    ir->values.at[draw(number, 5, 2) ? first : second].pin = pin[0];
    ir->values.at[third].pin = pin[1];
}

static int64_t run_ps(uint32_t number, const struct fuse_plan_pin *pins, const int pin[RESULTS]) {
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_plan_request request = {.ranks = 8,
                                        .mesh_size = {2, 2, 2},
                                        .mesh_sizes = 3,
                                        .pin = pins,
                                        .machine = fuse_machine_default(),
                                        .slab_bytes = -1,
                                        .replicate_below = 0};
    struct fuse_ir ir;
    struct fuse_plan *made;
    struct fuse_error err = {0};
    request.machine.file_ps_per_kib = 0;
    build(&ir, arena, number, pin);
    if (fuse_plan_make(&made, arena, &ir, &request, &err) != FUSE_OK)
        fail_msg("%s", err.message);
    int64_t time = 0;
    for (int i = 0; i < made->steps.n; i++)
        if (made->steps.at[i].phase == FUSE_PHASE_RUN)
            time += made->steps.at[i].time_ps - made->steps.at[i].hidden_ps;
    fuse_arena_close(arena);
    return time;
}

static void test_pins(void **unused) {
    (void)unused;
    struct fuse_plan_pin pin[16];
    int pins = list_pins(pin);
    double worst = 1;
    for (uint32_t number = 0; number < 8; number++) {
        int64_t chosen = run_ps(number, pin, (int[RESULTS]){0, 0}), best = INT64_MAX;
        for (int a = 1; a <= pins; a++)
            for (int b = 1; b <= pins; b++) {
                int64_t time = run_ps(number, pin, (int[RESULTS]){a, b});
                best = time < best ? time : best;
            }
        double ratio = (double)chosen / (double)best;
        worst = ratio > worst ? ratio : worst;
    }
    print_message("%d layouts of two results each: the search's plan takes at worst %.4f of the best\n", pins, worst);
    assert_true(worst <= 1.01);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pins)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
