/* Maps that a contraction takes along: to the bit what the contraction and then the maps give, call by call, on the same back end;
 * and a counter says that no sweep was made for them, so that a fallback would be seen. */
#include "testbed.h"

#include "backend/cpu_tile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY ((size_t)24 << 20)
#define LETTERS 8

static int open_beds(void **state) {
    (void)state;
    beds_open(MEMORY);
    return 0;
}

enum body { RELU, GELU, RESIDUAL, MASK, SCALE };

/* Letters are indices; c's are in the order of its memory, from the outermost. `more`: the axes of a further operand of the map, in
 * the order of its memory; `out`: of the map's result, or NULL: over c. */
struct shape {
    const char *a, *b, *c, *more, *out;
    int64_t extent[LETTERS]; /* of 'a', 'b', .. */
    enum fuse_dtype a_type, b_type, c_type, out_type;
    enum body body;
    bool two;     /* a map before it, which writes elsewhere */
    bool follows; /* the maps run after the product: it has no parts, or they are no better */
    bool accumulate;
};

struct calls {
    struct fuse_contract product;
    struct fuse_map_call map[2];
    struct fuse_operand_view operand[2][2];
    struct fuse_scalar body[2];
    struct fuse_scalar_node node[2][12];
    int maps;
    size_t bytes;
};

static int64_t elements(const struct shape *s, const char *axes) {
    int64_t n = 1;
    for (; *axes; axes++)
        n *= s->extent[*axes - 'a'];
    return n;
}

/* The index of a letter: of the contraction all there are, of a map those of c, from the last to the first of them. */
static int index_of(const struct shape *s, char letter, bool of_map) {
    return of_map ? (int)strlen(s->c) - 1 - (int)(strchr(s->c, letter) - s->c) : letter - 'a';
}

static struct fuse_operand_view place(struct calls *k, const struct shape *s, const char *axes, enum fuse_dtype dtype,
                                      bool of_map, char *memory) {
    struct fuse_operand_view view = {.data = memory + k->bytes, .dtype = dtype};
    int64_t step = 1;
    for (int x = (int)strlen(axes) - 1; x >= 0; x--) {
        view.stride[index_of(s, axes[x], of_map)] = step;
        step *= s->extent[axes[x] - 'a'];
    }
    k->bytes += ((size_t)step * fuse_dtype_bytes(dtype) + 63) / 64 * 64 + 64;
    return view;
}

static int write_body(struct fuse_scalar_node *node, const struct shape *s, enum body body, bool more) {
    const enum fuse_dtype t = body == SCALE ? FUSE_F32 : s->c_type;
    int n = 0, x = 0;
    node[n++] = load_node(0, s->c_type);
    if (t != s->c_type)
        node[x = n++] = op_node(FUSE_SCALAR_CAST, t, 0, -1, -1);
    if (more) {
        node[n++] = load_node(1, t);
        node[n] = op_node(FUSE_SCALAR_ADD, t, x, n - 1, -1);
        x = n++;
    }
    node[n++] = const_node(t, body == SCALE ? 0.125 : body == GELU ? 1.702 : 0);
    const int number = n - 1;
    if (body == MASK) { /* x where c's last index is not above the one before it, else 0 */
        for (int back = 1; back <= 2; back++, n++) {
            node[n] = op_node(FUSE_SCALAR_IOTA, FUSE_I64, -1, -1, -1);
            node[n].arg = index_of(s, s->c[strlen(s->c) - (size_t)back], true);
        }
        node[n] = op_node(FUSE_SCALAR_LE, FUSE_BOOL, n - 2, n - 1, -1);
        n++;
        node[n] = op_node(FUSE_SCALAR_SELECT, t, n - 1, x, number);
        n++;
    } else if (body == GELU) { /* x / (1 + exp(-1.702 x)), by tanh */
        node[n] = op_node(FUSE_SCALAR_MUL, t, x, n - 1, -1);
        n++;
        node[n] = op_node(FUSE_SCALAR_TANH, t, n - 1, -1, -1);
        n++;
        node[n] = op_node(FUSE_SCALAR_MUL, t, x, n - 1, -1);
        n++;
    } else {
        node[n] = op_node(body == SCALE ? FUSE_SCALAR_MUL : FUSE_SCALAR_MAXIMUM, t, x, n - 1, -1);
        n++;
    }
    return n;
}

static void write_calls(struct calls *k, const struct shape *s, char *memory) {
    *k = (struct calls){.maps = s->two ? 2 : 1};
    struct fuse_contract *p = &k->product;
    p->indices = LETTERS;
    memcpy(p->extent, s->extent, sizeof s->extent);
    for (int x = 0; x < LETTERS; x++) {
        p->extent[x] = s->extent[x] ? s->extent[x] : 1;
        p->in_a |= (uint32_t)(strchr(s->a, 'a' + x) != NULL) << x;
        p->in_b |= (uint32_t)(strchr(s->b, 'a' + x) != NULL) << x;
        p->in_c |= (uint32_t)(strchr(s->c, 'a' + x) != NULL) << x;
    }
    p->accumulate = s->accumulate;
    p->a = place(k, s, s->a, s->a_type, false, memory);
    p->b = place(k, s, s->b, s->b_type, false, memory);
    const size_t c_at = k->bytes;
    p->c = place(k, s, s->c, s->c_type, false, memory);
    const size_t end = k->bytes;
    k->bytes = c_at;
    const struct fuse_operand_view c = place(k, s, s->c, s->c_type, true, memory);
    k->bytes = end;
    for (int m = 0; m < k->maps; m++) {
        const bool last = m == k->maps - 1, more = s->more && last;
        struct fuse_map_call *map = &k->map[m];
        *map = (struct fuse_map_call){.indices = (int)strlen(s->c), .operands = 1 + more, .operand = k->operand[m]};
        for (int x = 0; x < map->indices; x++) {
            map->extent[index_of(s, s->c[x], true)] = s->extent[s->c[x] - 'a'];
            map->origin[x] = 3 * x;
        }
        map->in_out = (UINT32_C(1) << map->indices) - 1;
        k->operand[m][0] = c;
        if (more)
            k->operand[m][1] = place(k, s, s->more, s->body == SCALE ? FUSE_F32 : s->c_type, true, memory);
        k->body[m] =
            (struct fuse_scalar){.n = write_body(k->node[m], s, last ? s->body : RELU, more), .node = k->node[m]};
        map->body = &k->body[m];
        map->out =
            last && !s->out ? c : place(k, s, last ? s->out : s->c, last ? s->out_type : s->c_type, true, memory);
    }
}

static void run(const struct bed *bed, const struct shape *s, const char *image, size_t bytes, bool together) {
    struct calls k;
    struct fuse_error err = {0};
    memcpy(bed->memory, image, bytes);
    write_calls(&k, s, bed->memory);
    const struct fuse_backend_ops *ops = bed->backend->ops;
    if (together) {
        assert_int_equal(ops->contract_maps(bed->queue, &k.product, k.map, k.maps, &err), FUSE_OK);
    } else {
        assert_int_equal(ops->contract(bed->queue, &k.product, &err), FUSE_OK);
        for (int m = 0; m < k.maps; m++)
            assert_int_equal(ops->map(bed->queue, &k.map[m], &err), FUSE_OK);
    }
    assert_int_equal(bed->queue->ops->wait(bed->queue, FUSE_QUEUE_ALL, &err), FUSE_OK);
}

static void check(const struct shape *s) {
    struct calls k;
    write_calls(&k, s, NULL);
    const size_t bytes = k.bytes;
    assert_true(bytes <= MEMORY);
    char *image = malloc(bytes), *apart = malloc(bytes);
    struct rng rng = {.state = (uint64_t)bytes};
    memset(image, 0, bytes);
    fill_whole(&rng, image, s->c_type == FUSE_I64 ? FUSE_I8 : FUSE_F32, 1, 1);
    const struct fuse_operand_view *all[] = {&k.product.a, &k.product.b, &k.product.c, &k.operand[k.maps - 1][1]};
    const char *axes[] = {s->a, s->b, s->c, s->more};
    for (int o = 0; o < 4; o++)
        if (axes[o] && fuse_dtype_class(all[o]->dtype) == FUSE_CLASS_REAL)
            fill_real(&rng, image + (size_t)(uintptr_t)all[o]->data, all[o]->dtype, (size_t)elements(s, axes[o]), -1,
                      1);
        else if (axes[o])
            fill_whole(&rng, image + (size_t)(uintptr_t)all[o]->data, all[o]->dtype, (size_t)elements(s, axes[o]), 9);
    for (int b = 0; b < SUBJECTS; b++) {
        const struct bed *bed = &subject[b];
        if (bed->backend->ops->contract_maps == NULL)
            continue;
        run(bed, s, image, bytes, false);
        memcpy(apart, bed->memory, bytes);
        const int64_t before = bed->backend->epilogue_bytes, calls = bed->backend->kernel_calls;
        run(bed, s, image, bytes, true);
        const int64_t saved = bed->backend->epilogue_bytes - before,
                      wanted = k.maps * elements(s, s->c) * (int64_t)fuse_dtype_bytes(s->c_type);
        char what[200];
        snprintf(what, sizeof what, "%s, %d threads: %s,%s -> %s, %s, body %d%s", subject_name[b], subject_threads[b],
                 s->a, s->b, s->c, fuse_dtype_name(s->c_type), (int)s->body, s->out ? "" : ", in place");
        for (size_t i = 0; i < bytes; i++)
            if (apart[i] != bed->memory[i])
                fail_msg("%s: byte %zu of %zu differs", what, i, bytes);
        if (bed->backend->kernel_calls - calls != 1)
            fail_msg("%s: %lld calls", what, (long long)(bed->backend->kernel_calls - calls));
        /* BLAS, which has no parts, takes the place of the blocks where the processor has no vectors for them. */
        const struct fuse_tile_table *tile = fuse_tile_choose(b < 2 ? NULL : subject_name[b] + 4);
        if (tile && tile->block_first ? saved != (s->follows ? 0 : wanted) : saved != 0 && saved != wanted)
            fail_msg("%s: %lld bytes in the pass, %lld wanted", what, (long long)saved, (long long)wanted);
    }
    free(image);
    free(apart);
}

#define F32 FUSE_F32, FUSE_F32, FUSE_F32, FUSE_F32

static void matrices_with_remainders(void **state) {
    (void)state;
    static const int64_t size[][3] = {{300, 257, 301}, {67, 129, 1100}, {1031, 70, 83}, {256, 300, 512}};
    static const char *const more[] = {"a", "c", "ac", NULL};
    for (size_t i = 0; i < sizeof size / sizeof *size; i++)
        for (int m = 0; m < 4; m++)
            for (int form = 0; form < 6; form++) {
                struct shape s = {.a = form & 1 ? "ba" : "ab",
                                  .b = form & 2 ? "cb" : "bc",
                                  .c = form & 4 ? "ca" : "ac",
                                  .more = more[m],
                                  .out = (form + m) % 3 ? NULL
                                         : form & 4     ? "ca"
                                                        : "ac",
                                  .extent = {size[i][0], size[i][1], size[i][2]},
                                  .a_type = FUSE_F32,
                                  .b_type = FUSE_F32,
                                  .c_type = FUSE_F32,
                                  .out_type = FUSE_F32,
                                  .body = (enum body)((form + m) % 4)};
                /* An operand across the result is turned round in blocks of its own. */
                s.follows = m == 2 && (form & 4);
                s.accumulate = form == 3;
                check(&s);
            }
}

/* Indices that the product fuses and the maps do not, or the other way round; batches; results in other orders. */
static void several_axes(void **state) {
    (void)state;
    static const struct shape shapes[] = {
        {"abe", "ecd", "abcd", "bd", NULL, {7, 19, 23, 33, 90}, F32, RELU, false, false, false},
        {"abe", "ecd", "abcd", "ac", NULL, {7, 19, 23, 33, 90}, F32, GELU, false, false, false},
        {"abe", "ecd", "abcd", NULL, NULL, {7, 19, 23, 33, 90}, F32, MASK, false, false, false},
        {"abe", "ecd", "acbd", "abcd", "acbd", {12, 17, 11, 48, 70}, F32, RESIDUAL, false, false, false},
        {"abe", "ecd", "acbd", "acbd", "acbd", {12, 17, 11, 48, 70}, F32, RESIDUAL, false, false, false},
        {"abe", "ecd", "cabd", "b", NULL, {13, 17, 11, 48, 70}, F32, RELU, false, false, false},
        {"eab", "ebd", "ead", "ad", NULL, {40, 90, 0, 60, 30}, F32, GELU, false, false, false},
        {"eab", "ebd", "ead", "e", "ead", {40, 90, 0, 60, 30}, F32, MASK, false, false, false},
        {"abe", "ecd", "abcd", "abcd", "abcd", {5, 31, 17, 29, 80}, F32, RELU, true, false, false},
        {"abe", "ecd", "dcba", "db", NULL, {5, 31, 17, 29, 80}, F32, RELU, false, false, false},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        check(&shapes[i]);
}

/* Rows by strips, at once or in parts for threads, and batches of matrices, each of which is a part. A product of columns
 * is for blocks, by few for BLAS. */
static void short_sums(void **state) {
    (void)state;
    static const struct shape shapes[] = {
        {"ab", "bc", "ac", "c", NULL, {300, 40, 512}, F32, RELU, false, false, false},
        {"ab", "bc", "ac", "a", NULL, {2050, 33, 203}, F32, GELU, false, false, false},
        {"ab", "cb", "ac", "ac", "ac", {700, 17, 301}, F32, RESIDUAL, false, false, false},
        {"ab", "bc", "ac", NULL, NULL, {100, 21, 3000}, F32, MASK, true, false, true},
        {"ab", "bc", "ca", "c", NULL, {301, 48, 640}, F32, RELU, false, false, false}, /* of columns */
        {"ab", "bc", "ca", "c", NULL, {100, 48, 640}, F32, RELU, false, true, false},  /* by few */
        {"eab", "ebd", "ead", "ad", NULL, {64, 30, 0, 96, 40}, F32, GELU, false, false, false},
        {"eab", "edb", "eda", "d", "eda", {64, 30, 0, 96, 40}, F32, RELU, false, false, false},
        {"eab", "ebd", "ead", "e", NULL, {128, 50, 0, 130, 9}, F32, MASK, false, false, false},
        {"ab",
         "bc",
         "ac",
         "c",
         NULL,
         {300, 60, 400},
         FUSE_F64,
         FUSE_F64,
         FUSE_F64,
         FUSE_F64,
         RELU,
         false,
         false,
         false},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        check(&shapes[i]);
}

static void other_types(void **state) {
    (void)state;
    static const struct shape shapes[] = {
        {"ab", "bc", "ac", "c", NULL, {200, 130, 210}, FUSE_F64, FUSE_F64, FUSE_F64, FUSE_F64, GELU, 0, 0, 0},
        {"ab", "bc", "ac", "a", "ac", {300, 130, 280}, FUSE_BF16, FUSE_BF16, FUSE_F32, FUSE_BF16, RELU, 0, 0, 0},
        {"ab", "bc", "ac", "c", NULL, {300, 130, 280}, FUSE_F16, FUSE_F16, FUSE_F32, FUSE_F32, GELU, 0, 0, 0},
        {"ab", "bc", "ac", "c", "ac", {300, 700, 280}, FUSE_I8, FUSE_I8, FUSE_I64, FUSE_F32, SCALE, 0, 0, 0},
        {"ab", "cb", "ca", "a", "ca", {300, 70, 280}, FUSE_U8, FUSE_I8, FUSE_I64, FUSE_BF16, SCALE, 0, 0, 0},
        {"ab", "bc", "ac", NULL, "ac", {200, 60, 280}, FUSE_I32, FUSE_I32, FUSE_I64, FUSE_F32, SCALE, 0, 0, 0},
        {"eab", "ebd", "ead", "ad", "ead", {80, 90, 0, 60, 30}, FUSE_I8, FUSE_I8, FUSE_I64, FUSE_F32, SCALE, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        check(&shapes[i]);
}

/* Small results stay in a cache by themselves; a map may follow where nothing is summed. */
static void maps_that_follow(void **state) {
    (void)state;
    static const struct shape shapes[] = {
        {"ab", "bc", "ac", "c", NULL, {60, 90, 70}, F32, RELU, false, true, false},
        {"ab", "bc", "ac", "c", NULL, {600, 1, 700}, F32, RELU, false, true, false},
        {"ab", "b", "a", "a", NULL, {80000, 50}, F32, RELU, false, true, false},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        check(&shapes[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(matrices_with_remainders), cmocka_unit_test(several_axes),
                                       cmocka_unit_test(short_sums), cmocka_unit_test(other_types),
                                       cmocka_unit_test(maps_that_follow)};
    return cmocka_run_group_tests(tests, open_beds, beds_close);
}
