/* Tuples in compressed rows against the same tuples sorted by qsort: one to five indices in keys of one word and of more, with
 * values and without, few in one bucket and many that are split over and over, all in one row, all equal. Lost or doubled
 * rows, a digit too few, blocks that run out and sums that depend on the order fail here. */
#include "exec/tuple_sort.h"
#include "tests/unit/random_ir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MAX_INDICES 5

struct tuple {
    int64_t id[MAX_INDICES];
    double value;
};

struct setup {
    int indices;
    int64_t extent[MAX_INDICES], rows;
    enum fuse_dtype dtype; /* of values, BOOL: none */
    enum fuse_reduce reduce;
    bool mean;
    enum { EVEN, SKEWED, ONE_ROW, ONE_TUPLE } shape;
};

/* A join that reads a relation of these extents as it stands, on one rank. */
static struct fuse_tuples lay_out(const struct setup *setup, struct fuse_arena *arena) {
    struct fuse_ir ir = {.arena = arena};
    struct fuse_tally_part part;
    const int64_t none[MAX_INDICES] = {0};
    struct fuse_op source = {.kind = FUSE_OP_SOURCE, .span = FUSE_NO_SPAN, .path = "r.tsv"};
    struct fuse_op join = {.kind = FUSE_OP_JOIN, .span = FUSE_NO_SPAN, .inputs = 1, .indices = setup->indices};
    fuse_tally_open(&part, arena, setup->indices);
    for (int64_t i = 0; i < setup->rows; i++)
        fuse_tally_add(&part, none, i);
    source.probe.tally = fuse_tally_finish(&part, arena, (enum fuse_column_kind[FUSE_MAX_AXES]){FUSE_COLUMN_IDS}, -1);
    source.out = fuse_ir_add_value(&ir, NULL, FUSE_NO_SPAN, setup->dtype, setup->indices, setup->extent);
    ir.values.at[source.out].storage = FUSE_STORAGE_RELATION;
    fuse_ir_add_op(&ir, &source);
    join.input = FUSE_NEW(arena, struct fuse_use);
    join.input->value = source.out;
    join.input->access = fuse_access_identity(setup->indices);
    for (int k = 0; k < setup->indices; k++) {
        join.extent[k] = setup->extent[k];
        join.index_name[k] = "i";
    }
    join.out = fuse_ir_add_value(&ir, NULL, FUSE_NO_SPAN, FUSE_F64, 0, NULL);
    fuse_ir_add_op(&ir, &join);
    struct fuse_plan plan = {.arena = arena, .ir = &ir, .mesh = fuse_mesh_make(1, 1, 0)};
    struct fuse_layout whole = fuse_layout_replicated();
    return fuse_plan_tuples(&plan, ir.values.at[join.out].op, &whole);
}

static void draw_tuple(struct tuple *out, const struct setup *setup, struct random_state *state) {
    for (int k = 0; k < setup->indices; k++) {
        int64_t id = random_below(state, setup->extent[k]);
        out->id[k] = setup->shape == SKEWED ? random_below(state, id % 50 + 1) : id;
        if (setup->shape == ONE_TUPLE || (setup->shape == ONE_ROW && k == 0))
            out->id[k] = setup->extent[k] - 1;
    }
    out->value = (double)(random_below(state, 2001) - 1000) / 7;
}

static const struct setup *sorted_by;

static int compare(const void *a, const void *b) {
    const struct tuple *x = a, *y = b;
    for (int k = 0; k < sorted_by->indices; k++)
        if (x->id[k] != y->id[k])
            return x->id[k] < y->id[k] ? -1 : 1;
    return x->value < y->value ? -1 : x->value > y->value;
}

static double reduce(const struct setup *setup, const struct tuple *tuple, int64_t n) {
    double value = tuple[0].value;
    for (int64_t i = 1; i < n; i++)
        switch (setup->reduce) {
        case FUSE_REDUCE_MIN: value = tuple[i].value < value ? tuple[i].value : value; break;
        case FUSE_REDUCE_MAX: value = tuple[i].value > value ? tuple[i].value : value; break;
        case FUSE_REDUCE_PROD: value *= tuple[i].value; break;
        default: value += tuple[i].value; break;
        }
    return setup->mean ? value / (double)n : value;
}

/* Long products end as infinities, and some of them as none. */
static bool is_same(double a, double b) {
    return a == b || (a != a && b != b);
}

static void check(const struct setup *setup, const struct fuse_tuples *t, struct tuple *tuple, const char *to) {
    const uint32_t *begin = (const uint32_t *)to;
    int64_t rows = setup->indices > 0 ? setup->extent[0] : 1, row = 0;
    uint32_t n = 0;
    sorted_by = setup;
    qsort(tuple, (size_t)setup->rows, sizeof *tuple, compare);
    for (int64_t from = 0, end; from < setup->rows; from = end, n++) {
        for (end = from + 1; end < setup->rows &&
                             memcmp(tuple[from].id, tuple[end].id, sizeof tuple->id[0] * (size_t)setup->indices) == 0;)
            end++;
        for (; setup->indices > 0 && row < tuple[from].id[0]; row++)
            assert_int_equal(begin[row + 1], n);
        for (int k = 1; k < setup->indices; k++)
            assert_int_equal(((const uint32_t *)(to + t->column_offset[k]))[n], tuple[from].id[k]);
        double value = reduce(setup, tuple + from, end - from);
        if (setup->dtype == FUSE_F64)
            assert_true(is_same(((const double *)(to + t->value_offset))[n], value));
        if (setup->dtype == FUSE_F32)
            assert_true(is_same(((const float *)(to + t->value_offset))[n], (float)value));
    }
    for (; row < rows; row++)
        assert_int_equal(begin[row + 1], n);
    assert_int_equal(begin[0], 0);
}

static void sort_case(const struct setup *setup, uint64_t seed) {
    struct random_state state;
    struct fuse_error err = {0};
    struct fuse_tuple_sort sort;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_tuples t = lay_out(setup, arena);
    struct tuple *tuple = calloc((size_t)setup->rows + 1, sizeof *tuple);
    uint64_t *row = calloc((size_t)setup->rows + 1, (size_t)t.row_bytes);
    void *memory = aligned_alloc(64, (size_t)(t.unsorted_bytes + 63) / 64 * 64);
    char *to = aligned_alloc(64, (size_t)(t.bytes + 63) / 64 * 64);
    int64_t words = t.row_bytes / 8;
    assert_true(tuple && row && memory && to);
    assert_int_equal(t.most, setup->rows);
    random_seed(&state, seed);
    for (int64_t i = 0; i < setup->rows; i++) {
        draw_tuple(&tuple[i], setup, &state);
        for (int k = 0; k < setup->indices; k++)
            row[i * words + t.word[k]] |= (uint64_t)tuple[i].id[k] << t.shift[k];
        if (setup->dtype != FUSE_BOOL)
            row[i * words + t.words] = fuse_tuple_order_value(tuple[i].value);
    }
    assert_int_equal(fuse_tuple_sort_open(&sort, &t, memory, &err), FUSE_OK);
    for (int64_t i = 0, n; i < setup->rows; i += n) {
        n = 1 + random_below(&state, 700);
        n = n < setup->rows - i ? n : setup->rows - i;
        assert_true(fuse_tuple_sort_add(&sort, row + i * words, n));
    }
    assert_false(fuse_tuple_sort_add(&sort, row, 1));
    fuse_tuple_sort_write(&sort, setup->indices > 0 ? setup->extent[0] : 1, setup->reduce, setup->mean, to);
    assert_true(sort.fresh <= t.blocks);
    check(setup, &t, tuple, to);
    fuse_tuple_sort_close(&sort);
    free(tuple);
    free(row);
    free(memory);
    free(to);
    fuse_arena_close(arena);
}

static void few_are_sorted(void **unused) {
    (void)unused;
    static const int64_t extents[] = {1, 2, 3, 64, 1000, 40000, (int64_t)1 << 31};
    static const enum fuse_reduce reduces[] = {FUSE_REDUCE_SUM, FUSE_REDUCE_MIN, FUSE_REDUCE_MAX, FUSE_REDUCE_PROD};
    for (uint64_t seed = 0; seed < 600; seed++) {
        struct random_state state;
        struct setup setup = {0};
        random_seed(&state, seed + 77);
        setup.indices = (int)random_below(&state, MAX_INDICES + 1);
        for (int k = 0; k < setup.indices; k++)
            setup.extent[k] = extents[random_below(&state, k == 0 ? 6 : 7)];
        setup.rows = random_below(&state, 4) == 0 ? random_below(&state, 3) : random_below(&state, 3000);
        setup.dtype = (enum fuse_dtype[]){FUSE_BOOL, FUSE_F32, FUSE_F64}[random_below(&state, 3)];
        setup.mean = random_below(&state, 4) == 0;
        setup.reduce = setup.mean ? FUSE_REDUCE_SUM : reduces[random_below(&state, 4)];
        setup.shape = (int)random_below(&state, 4);
        sort_case(&setup, seed);
    }
}

static void many_are_split(void **unused) {
    (void)unused;
    enum { ROWS = 3 * FUSE_TUPLE_BUCKET_ROWS / 2, SMALL = FUSE_TUPLE_BUCKET_ROWS };
    static const struct setup setups[] = {
        {2, {100000, 100000}, ROWS, FUSE_BOOL, FUSE_REDUCE_OR, false, EVEN},
        {2, {100000, 100000}, ROWS, FUSE_BOOL, FUSE_REDUCE_OR, false, ONE_ROW},
        {2, {100000, 100000}, ROWS, FUSE_BOOL, FUSE_REDUCE_OR, false, SKEWED},
        {2, {100000, 100000}, ROWS, FUSE_BOOL, FUSE_REDUCE_OR, false, ONE_TUPLE},
        {2, {1000, 1000}, ROWS, FUSE_F64, FUSE_REDUCE_SUM, false, ONE_ROW},
        {2, {1000, 1000}, ROWS, FUSE_F64, FUSE_REDUCE_SUM, true, ONE_TUPLE},
        {4, {50000, (int64_t)1 << 31, (int64_t)1 << 30, 7}, ROWS, FUSE_F32, FUSE_REDUCE_MAX, false, EVEN},
        {4, {50000, (int64_t)1 << 31, (int64_t)1 << 30, 7}, ROWS, FUSE_F64, FUSE_REDUCE_SUM, false, ONE_TUPLE},
        {3, {1, (int64_t)1 << 31, (int64_t)1 << 31}, ROWS, FUSE_BOOL, FUSE_REDUCE_OR, false, EVEN},
        {1, {5}, ROWS, FUSE_F64, FUSE_REDUCE_MIN, false, EVEN},
        {1, {100000}, SMALL, FUSE_BOOL, FUSE_REDUCE_OR, false, EVEN},
        {1, {100000}, SMALL + 1, FUSE_BOOL, FUSE_REDUCE_OR, false, EVEN},
        {0, {0}, ROWS, FUSE_F64, FUSE_REDUCE_SUM, false, EVEN},
    };
    for (size_t k = 0; k < sizeof setups / sizeof *setups; k++)
        sort_case(&setups[k], k);
}

static void values_keep_their_order(void **unused) {
    (void)unused;
    const double value[] = {-1.0 / 0.0, -1e300, -1, -5e-324, -0.0, 0, 5e-324, 1, 1e300, 1.0 / 0.0};
    for (size_t i = 0; i < sizeof value / sizeof *value; i++) {
        double back = fuse_tuple_ordered_value(fuse_tuple_order_value(value[i]));
        assert_memory_equal(&back, &value[i], sizeof back);
        for (size_t j = 0; j < i; j++)
            assert_true(fuse_tuple_order_value(value[j]) < fuse_tuple_order_value(value[i]));
        assert_true(fuse_tuple_order_value(value[i]) < fuse_tuple_order_value(0.0 / 0.0));
        assert_true(fuse_tuple_order_value(value[i]) < fuse_tuple_order_value(-(0.0 / 0.0)));
    }
    double none = fuse_tuple_ordered_value(fuse_tuple_order_value(0.0 / 0.0));
    assert_true(none != none);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_are_sorted),
        cmocka_unit_test(many_are_split),
        cmocka_unit_test(values_keep_their_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
