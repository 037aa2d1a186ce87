/* Contraction order: the cheapest tree, what is summed early, what becomes a map, and equal results. */
#include "ir_interpret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <time.h>

static uint64_t random_state = 88172645463325252u;

static int draw(int below) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (int)((random_state >> 1) % (uint64_t)below);
}

static void order(struct fuse_ir *ir) {
    struct fuse_error err = {0};
    if (fuse_ir_verify(ir, &err) != FUSE_OK)
        fail_msg("before: %s", err.message);
    assert_int_equal(fuse_ir_order(ir, &err), FUSE_OK);
    fuse_ir_sweep(ir);
    if (fuse_ir_verify(ir, &err) != FUSE_OK)
        fail_msg("after: %s", err.message);
    for (int i = 0; i < ir->ops.n; i++)
        if (ir->ops.at[i]->kind == FUSE_OP_EINSUM) {
            assert_int_equal(ir->ops.at[i]->inputs, 2);
            assert_int_equal(ir->ops.at[i]->reduce, FUSE_REDUCE_SUM);
        }
}

static void expect_text(const struct fuse_ir *ir, const char *expected) {
    struct fuse_text text = {.arena = ir->arena};
    for (int i = 0; i < ir->ops.n; i++) {
        if (ir->ops.at[i]->kind == FUSE_OP_SOURCE || ir->ops.at[i]->kind == FUSE_OP_SINK)
            continue;
        fuse_ir_print_op(&text, ir, i);
        fuse_text_add(&text, "\n");
    }
    assert_string_equal(text.at, expected);
}

/* One product of sources called A, B, .. with the indices at[k], into a sink. */
static struct fuse_ir product(struct fuse_arena *arena, const char *out, const char *indices, const int64_t *extent,
                              int inputs, const char *const *at) {
    struct fuse_ir ir = {.arena = arena};
    struct build_use *use = FUSE_NEW_ARRAY(arena, struct build_use, inputs);
    for (int k = 0; k < inputs; k++) {
        int64_t e[FUSE_MAX_AXES];
        for (int a = 0; at[k][a]; a++)
            e[a] = extent[strchr(indices, at[k][a]) - indices];
        const char *name = fuse_arena_printf(arena, k < 26 ? "%c" : "T%d", k < 26 ? 'A' + k : k);
        use[k] = (struct build_use){build_source(&ir, name, FUSE_F64, (int)strlen(at[k]), e), at[k]};
    }
    build_sink(&ir, "out", build_product(&ir, FUSE_F64, out, indices, extent, inputs, use));
    return ir;
}

/* Orders it and compares the numbers. */
static void order_and_compare(struct fuse_ir *ir) {
    struct interpreted before, after;
    assert_true(interpret(&before, ir->arena, ir));
    order(ir);
    assert_true(interpret(&after, ir->arena, ir));
    assert_true(interpreted_equal(&before, &after, 1e-9));
}

static void a_chain_starts_at_its_thin_end(void **state) {
    (void)state;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_ir ir = product(arena, "il", "ijkl", (int64_t[]){4, 5, 6, 1}, 3, (const char *[]){"ij", "jk", "kl"});
    order_and_compare(&ir);
    expect_text(&ir, "%3 f64[5,1] = einsum [j:5 l:1 | k:6] B[j,k] C[k,l]\n"
                     "%4 f64[4,1] = einsum [i:4 l:1 | j:5] A[i,j] %3[j,l]\n");
    fuse_arena_close(arena);
}

/* The last step finds its summands in rows; it would find c between i and j, as the operands have them. */
static void short_sums_come_in_rows(void **state) {
    (void)state;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_ir ir =
        product(arena, "ijk", "ijkabc", (int64_t[]){8, 8, 8, 3, 3, 3}, 4, (const char *[]){"abc", "ia", "jb", "kc"});
    order_and_compare(&ir);
    expect_text(&ir, "%4 f64[3,3,8] = einsum [b:3 c:3 i:8 | a:3] A[a,b,c] B[i,a]\n"
                     "%5 f64[8,8,3] = einsum [i:8 j:8 c:3 | b:3] %4[b,c,i] C[j,b]\n"
                     "%6 f64[8,8,8] = einsum [i:8 j:8 k:8 | c:3] %5[i,j,c] D[k,c]\n");
    fuse_arena_close(arena);
}

/* Of orders that cost the same the one that sums a large operand along its rows first. */
static void large_operands_are_read_in_rows(void **state) {
    (void)state;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_ir ir =
        product(arena, "abc", "ijkabc", (int64_t[]){8, 8, 8, 3, 3, 3}, 4, (const char *[]){"ijk", "ia", "jb", "kc"});
    order_and_compare(&ir);
    expect_text(&ir, "%4 f64[8,8,3] = einsum [i:8 j:8 c:3 | k:8] A[i,j,k] D[k,c]\n"
                     "%5 f64[8,3,3] = einsum [j:8 c:3 a:3 | i:8] %4[i,j,c] B[i,a]\n"
                     "%6 f64[3,3,3] = einsum [a:3 b:3 c:3 | j:8] %5[j,c,a] C[j,b]\n");
    fuse_arena_close(arena);
}

/* Rows of both factors are multiplied element by element, and the last step finds rows of its result's last axis. */
static void khatri_rao_products_keep_rows(void **state) {
    (void)state;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_ir ir = product(arena, "ka", "ijka", (int64_t[]){5, 6, 7, 3}, 3, (const char *[]){"ijk", "ia", "ja"});
    order_and_compare(&ir);
    expect_text(&ir, "%3 f64[5,6,3] = map [i:5 j:6 a:3] B[i,a] C[j,a] : mul(load(0), load(1))\n"
                     "%4 f64[7,3] = einsum [k:7 a:3 | i:5 j:6] A[i,j,k] %3[i,j,a]\n");
    fuse_arena_close(arena);
}

/* Axes of an operand come to the intermediate as they lie, whatever their order in the result: p before c. */
static void intermediates_keep_runs(void **state) {
    (void)state;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_ir ir =
        product(arena, "cd", "cdabp", (int64_t[]){3, 5, 20, 20, 4}, 3, (const char *[]){"ab", "apc", "bpd"});
    order_and_compare(&ir);
    expect_text(&ir, "%3 f64[20,4,3] = einsum [b:20 p:4 c:3 | a:20] A[a,b] B[a,p,c]\n"
                     "%4 f64[3,5] = einsum [c:3 d:5 | b:20 p:4] %3[b,p,c] C[b,p,d]\n");
    fuse_arena_close(arena);
}

/* Rows of A so long that they fall on one another in the caches are shortened first, although that is a little more work. */
static void aliased_rows_are_summed_in_parts(void **state) {
    (void)state;
    const int64_t extent[] = {384, 32, 256, 2}, odd[] = {384, 32, 255, 2}, wide[] = {640, 64, 128, 96};
    const char *const use[] = {"ijk", "ja", "ka"};
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_ir ir = product(arena, "ia", "ijka", extent, 3, use);
    order_and_compare(&ir);
    expect_text(&ir, "%3 f64[384,32,2] = einsum [i:384 j:32 a:2 | k:256] A[i,j,k] C[k,a]\n"
                     "%4 f64[384,2] = einsum [i:384 a:2 | j:32] %3[i,j,a] B[j,a]\n");
    ir = product(arena, "ia", "ijka", odd, 3, use);
    order_and_compare(&ir);
    expect_text(&ir, "%3 f64[32,255,2] = map [j:32 k:255 a:2] B[j,a] C[k,a] : mul(load(0), load(1))\n"
                     "%4 f64[384,2] = einsum [i:384 a:2 | j:32 k:255] A[i,j,k] %3[j,k,a]\n");
    /* That would keep nearly as much as A has, five times what the other order keeps. */
    ir = product(arena, "ia", "ijka", wide, 3, use);
    order(&ir);
    expect_text(&ir, "%3 f64[64,128,96] = map [j:64 k:128 a:96] B[j,a] C[k,a] : mul(load(0), load(1))\n"
                     "%4 f64[640,96] = einsum [i:640 a:96 | j:64 k:128] A[i,j,k] %3[j,k,a]\n");
    fuse_arena_close(arena);
}

static void an_index_of_one_operand_is_summed_there(void **state) {
    (void)state;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_ir ir = product(arena, "ij", "ijkl", (int64_t[]){2, 3, 4, 5}, 2, (const char *[]){"ikl", "kj"});
    order_and_compare(&ir);
    expect_text(&ir, "%2 f64[2,4] = map sum [i:2 k:4 | l:5] A[i,k,l] : load(0)\n"
                     "%3 f64[2,3] = einsum [i:2 j:3 | k:4] %2[i,k] B[k,j]\n");
    fuse_arena_close(arena);
}

static void products_without_contraction_are_maps(void **state) {
    (void)state;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_ir ir = product(arena, "ji", "ij", (int64_t[]){2, 3}, 3, (const char *[]){"ij", "i", "j"});
    ir.values.at[1].dtype = FUSE_F32;
    ir.ops.at[1]->probe.file_dtype = FUSE_F32;
    order_and_compare(&ir);
    expect_text(&ir, "%3 f64[3,2] = map [j:3 i:2] A[i,j] B[i] C[j] : mul(mul(load(0), cast(f64, load(1))), load(2))\n");
    fuse_arena_close(arena);
}

static void a_single_operand_is_a_map(void **state) {
    (void)state;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_ir ir = product(arena, "i", "ij", (int64_t[]){2, 3}, 1, (const char *[]){"ij"});
    order_and_compare(&ir);
    expect_text(&ir, "%1 f64[2] = map sum [i:2 | j:3] A[i,j] : load(0)\n");
    fuse_arena_close(arena);
}

/* Projected indices that nobody reads count summands; output axes that nobody reads repeat. */
static void unread_indices(void **state) {
    (void)state;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_ir ir = product(arena, "izj", "ijkxz", (int64_t[]){2, 3, 4, 5, 2}, 2, (const char *[]){"ik", "kj"});
    order_and_compare(&ir);
    expect_text(&ir, "%2 f64[2,4] = map [i:2 k:4] A[i,k] : mul(load(0), const(5.0))\n"
                     "%3 f64[2,3] = einsum [i:2 j:3 | k:4] %2[i,k] B[k,j]\n"
                     "%4 f64[2,2,3] = map [i:2 z:2 j:3] %3[i,j] : load(0)\n");
    ir = product(arena, "z", "ijxz", (int64_t[]){2, 3, 0, 2}, 3, (const char *[]){"ij", "ij", "i"});
    order_and_compare(&ir);
    expect_text(&ir, "%0 f64[2] = map [z:2] : const(0.0)\n"); /* inf * an empty sum is no NaN */
    ir = product(arena, "", "ix", (int64_t[]){2, 3}, 1, (const char *[]){"i"});
    order_and_compare(&ir);
    ir = product(arena, "x", "ix", (int64_t[]){2, 3}, 1, (const char *[]){"i"});
    order_and_compare(&ir);
    ir = product(arena, "", "i", (int64_t[]){0}, 2, (const char *[]){"i", "i"});
    order_and_compare(&ir);
    fuse_arena_close(arena);
}

/* A scalar meets the smallest tensor that it can. */
static void scalars_multiply_the_smallest(void **state) {
    (void)state;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_ir ir = product(arena, "ij", "ijk", (int64_t[]){2, 3, 4}, 3, (const char *[]){"ik", "kj", ""});
    order_and_compare(&ir);
    expect_text(&ir, "%3 f64[2,3] = einsum [i:2 j:3 | k:4] A[i,k] B[k,j]\n"
                     "%4 f64[2,3] = map [i:2 j:3] %3[i,j] C : mul(load(0), load(1))\n");
    fuse_arena_close(arena);
}

static void offsets_stay_on_the_originals(void **state) {
    (void)state;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_ir ir = product(arena, "i", "ijk", (int64_t[]){4, 4, 4}, 3, (const char *[]){"ij", "jk", "k"});
    struct fuse_op *op = ir.ops.at[3];
    op->input[1].access.at[0].offset = -1; /* reads a zero at j = 0 */
    op->input[1].access.at[1] = (struct fuse_access_axis){.index = 2, .stride = -1, .offset = 3};
    op->input[0].access.at[0] = (struct fuse_access_axis){.index = 0, .stride = 2, .offset = -3};
    order_and_compare(&ir);
    expect_text(&ir, "%3 f64[4] = einsum [j:4 | k:4] B[j-1,-k+3] C[k]\n"
                     "%4 f64[4] = einsum [i:4 | j:4] A[2*i-3,j] %3[j]\n");
    fuse_arena_close(arena);
}

/* Multiplications and additions of a program's products and sums, as fuse_ir_order counts them; sums of one operand are
 * the same in every order, and so is repeating along axes that no operand has. */
static int64_t flops_of(const struct fuse_ir *ir) {
    int64_t flops = 0;
    for (int i = 0; i < ir->ops.n; i++) {
        const struct fuse_op *op = ir->ops.at[i];
        if (op->inputs != 2)
            continue;
        int64_t points = 1;
        uint32_t read = 0;
        for (int k = 0; k < op->inputs; k++)
            for (int a = 0; a < op->input[k].access.rank; a++)
                read |= 1u << op->input[k].access.at[a].index;
        for (int x = 0; x < op->indices; x++)
            if (read >> x & 1)
                points *= op->extent[x];
        flops += op->reduce == FUSE_REDUCE_NONE ? points : 2 * points;
    }
    return flops;
}

/* The cheapest of all binary trees, by trying every pair at every step. */
static int64_t try_all(const int64_t *extent, int indices, uint32_t out, int n, const uint32_t *mask) {
    int64_t best = INT64_MAX;
    if (n == 1)
        return 0;
    for (int i = 0; i < n; i++) {
        for (int j = i + 1; j < n; j++) {
            uint32_t rest[8], elsewhere = out;
            int64_t points = 1;
            int m = 0;
            for (int k = 0; k < n; k++)
                if (k != i && k != j) {
                    rest[m++] = mask[k];
                    elsewhere |= mask[k];
                }
            uint32_t over = mask[i] | mask[j];
            for (int x = 0; x < indices; x++)
                if (over >> x & 1)
                    points *= extent[x];
            if (over & ~elsewhere)
                points *= 2;
            rest[m++] = over & elsewhere;
            int64_t flops = points + try_all(extent, indices, out, m, rest);
            if (flops < best)
                best = flops;
        }
    }
    return best;
}

/* Fails when some tree is cheaper than the chosen one, or a result changes. */
static void orders_are_optimal(void **state) {
    (void)state;
    for (int round = 0; round < 300; round++) {
        struct fuse_arena *arena = fuse_arena_open(NULL);
        int n = 3 + draw(4), indices = 2 + draw(4);
        const char *letters = "ijklmn";
        char at[8][8], out[8] = "", names[8] = "";
        const char *list[8];
        int64_t extent[8];
        uint32_t mask[8], out_mask = 0, all = 0, seen_twice = 0;
        for (int x = 0; x < indices; x++)
            extent[x] = 1 + draw(4);
        for (int k = 0; k < n; k++) {
            int length = 0;
            mask[k] = 0;
            for (int x = 0; x < indices; x++)
                if (draw(2)) {
                    at[k][length++] = letters[x];
                    mask[k] |= 1u << x;
                }
            at[k][length] = '\0';
            list[k] = at[k];
            seen_twice |= all & mask[k];
            all |= mask[k];
        }
        memcpy(names, letters, (size_t)indices);
        for (int x = 0; x < indices; x++)
            if (!(all >> x & 1) || draw(3) == 0) {
                strncat(out, letters + x, 1);
                out_mask |= 1u << x;
            }
        /* What one operand has alone goes first. */
        for (int k = 0; k < n; k++)
            mask[k] &= out_mask | seen_twice;
        uint32_t left = 0;
        for (int k = 0; k < n; k++)
            left |= mask[k];
        struct fuse_ir ir = product(arena, out, names, extent, n, list);
        order_and_compare(&ir);
        if (left & ~out_mask)
            assert_int_equal(flops_of(&ir), try_all(extent, indices, out_mask, n, mask));
        fuse_arena_close(arena);
    }
}

static struct fuse_ir long_chain(struct fuse_arena *arena, int n) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEF";
    const char *at[31];
    char names[33] = "", out[3] = {letters[0], letters[n], '\0'};
    int64_t extent[32];
    for (int k = 0; k <= n; k++)
        extent[k] = 1 + (k * 7 + 3) % 5;
    for (int k = 0; k < n; k++)
        at[k] = fuse_arena_strndup(arena, letters + k, 2);
    memcpy(names, letters, (size_t)n + 1);
    return product(arena, out, names, extent, n, at);
}

/* The interpreter would take too long for the product as written, so the numbers come from pairs in order. */
static void compare_with_left_to_right(struct fuse_arena *arena, struct fuse_ir *ir, int n) {
    struct fuse_ir pairs = {.arena = arena};
    struct interpreted a, b;
    int left = -1;
    for (int k = 0; k < n; k++) {
        const struct fuse_value *value = &ir->values.at[k];
        int source = build_source(&pairs, value->name, FUSE_F64, value->rank, value->extent);
        if (left < 0) {
            left = source;
            continue;
        }
        int64_t extent[3] = {pairs.values.at[left].extent[0], value->extent[1], value->extent[0]};
        left =
            build_product(&pairs, FUSE_F64, "ij", "ijk", extent, 2, (struct build_use[]){{left, "ik"}, {source, "kj"}});
    }
    build_sink(&pairs, "out", left);
    assert_true(interpret(&a, arena, ir));
    assert_true(interpret(&b, arena, &pairs));
    assert_true(interpreted_equal(&a, &b, 1e-9));
}

static void twelve_operands_take_milliseconds(void **state) {
    (void)state;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_ir ir = long_chain(arena, 12);
    struct timespec start, end;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
    order(&ir);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
    double seconds = (double)(end.tv_sec - start.tv_sec) + 1e-9 * (double)(end.tv_nsec - start.tv_nsec);
#ifndef __SANITIZE_ADDRESS__
    assert_true(seconds < 0.1);
#endif
    (void)seconds;
    assert_int_equal(ir.values.n, 12 + 11);
    compare_with_left_to_right(arena, &ir, 12);
    fuse_arena_close(arena);
}

static void more_operands_are_paired_greedily(void **state) {
    (void)state;
    for (int n = 13; n <= 31; n += 6) {
        struct fuse_arena *arena = fuse_arena_open(NULL);
        struct fuse_ir ir = long_chain(arena, n);
        order(&ir);
        assert_int_equal(ir.values.n, 2 * n - 1);
        compare_with_left_to_right(arena, &ir, n);
        fuse_arena_close(arena);
    }
}

/* Fails when the greedy search looks at all pairs at every step. */
static void a_thousand_operands_are_fine(void **state) {
    (void)state;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    const char *at[1000];
    for (int k = 0; k < 1000; k++)
        at[k] = k % 3 ? "" : "i";
    struct fuse_ir ir = product(arena, "", "i", (int64_t[]){3}, 1000, at);
    struct timespec start, end;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
    order(&ir);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
    assert_true(end.tv_sec - start.tv_sec < 5);
    assert_int_equal(ir.values.n, 1999);
    fuse_arena_close(arena);
}

static void extents_saturate(void **state) {
    (void)state;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    int64_t big = INT64_C(1) << 40;
    struct fuse_ir ir =
        product(arena, "il", "ijkl", (int64_t[]){big, big, big, 2}, 3, (const char *[]){"ij", "jk", "kl"});
    order(&ir);
    assert_int_equal(ir.ops.n, 6);
    fuse_arena_close(arena);
}

static void thirty_two_indices(void **state) {
    (void)state;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    const char *letters = "abcdefghijklmnopqrstuvwxyzABCDEF";
    int64_t extent[32];
    for (int x = 0; x < 32; x++)
        extent[x] = x == 31 ? 2 : 1;
    struct fuse_ir ir =
        product(arena, "a", letters, extent, 3, (const char *[]){letters, letters, "bcdefghijklmnopqrstuvwxyzABCDEF"});
    order_and_compare(&ir);
    fuse_arena_close(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chain_starts_at_its_thin_end),
        cmocka_unit_test(short_sums_come_in_rows),
        cmocka_unit_test(large_operands_are_read_in_rows),
        cmocka_unit_test(khatri_rao_products_keep_rows),
        cmocka_unit_test(intermediates_keep_runs),
        cmocka_unit_test(aliased_rows_are_summed_in_parts),
        cmocka_unit_test(an_index_of_one_operand_is_summed_there),
        cmocka_unit_test(products_without_contraction_are_maps),
        cmocka_unit_test(a_single_operand_is_a_map),
        cmocka_unit_test(unread_indices),
        cmocka_unit_test(scalars_multiply_the_smallest),
        cmocka_unit_test(offsets_stay_on_the_originals),
        cmocka_unit_test(orders_are_optimal),
        cmocka_unit_test(twelve_operands_take_milliseconds),
        cmocka_unit_test(more_operands_are_paired_greedily),
        cmocka_unit_test(a_thousand_operands_are_fine),
        cmocka_unit_test(extents_saturate),
        cmocka_unit_test(thirty_two_indices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
