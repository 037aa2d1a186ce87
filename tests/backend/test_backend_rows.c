/* Maps that walk the same rows, run as one call: the numbers are those of the maps one by one, which the reference runs. */
#include "testbed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define N FUSE_SCALAR_LOAD
#define MEMORY ((size_t)80 << 20)

static int open_beds(void **state) {
    (void)state;
    beds_open(MEMORY);
    return 0;
}

static struct fuse_scalar_node one(enum fuse_scalar_op op, enum fuse_dtype type, int a, int b) {
    return (struct fuse_scalar_node){.op = op, .dtype = type, .a = a, .b = b, .c = -1, .arg = op == N ? a : 0};
}

static struct fuse_scalar_node load(enum fuse_dtype type, int k) {
    struct fuse_scalar_node node = one(N, type, -1, -1);
    node.arg = k;
    return node;
}

/* x[rows][stride], then most[rows], sum[rows], then out[rows][stride], or over x. */
struct shape {
    enum fuse_dtype type;
    int64_t rows, columns, stride;
    bool over, centres; /* subtracts the sum instead of a softmax: two maps, of any kind */
};

struct maps {
    struct fuse_map_call call[3];
    struct fuse_operand_view operand[3][3];
    struct fuse_scalar body[3];
    struct fuse_scalar_node node[3][8];
    int calls, row[3];
};

static size_t place(const struct shape *s, int part) {
    const size_t x = (size_t)(s->rows * s->stride), side = (size_t)(s->rows + 63) / 64 * 64;
    const size_t begin[] = {0, (x + 63) / 64 * 64, (x + 63) / 64 * 64 + side, (x + 63) / 64 * 64 + 2 * side};
    return begin[part];
}

static struct fuse_operand_view view(const struct shape *s, char *memory, int part) {
    const bool matrix = part == 0 || part == 3;
    return (struct fuse_operand_view){.data = memory + place(s, part) * fuse_dtype_bytes(s->type),
                                      .dtype = s->type,
                                      .stride = {matrix ? s->stride : 1, matrix ? 1 : 0}};
}

static void write_maps(struct maps *m, const struct shape *s, char *memory) {
    const enum fuse_dtype t = s->type;
    const struct fuse_operand_view x = view(s, memory, 0), most = view(s, memory, 1), sum = view(s, memory, 2);
    *m = (struct maps){.calls = s->centres ? 2 : 3};
    for (int k = 0; k < 3; k++) {
        m->call[k] = (struct fuse_map_call){.indices = 2, .extent = {s->rows, s->columns}, .operand = m->operand[k]};
        m->call[k].body = &m->body[k];
        m->body[k].node = m->node[k];
    }
    m->node[0][0] = load(t, 0);
    m->body[0].n = 1;
    m->call[0].operands = 1;
    m->operand[0][0] = x;
    m->call[0].out = most;
    m->call[0].in_out = 1;
    m->call[0].reduce = s->centres ? FUSE_REDUCE_SUM : FUSE_REDUCE_MAX;
    for (int k = 1; k < 3; k++) {
        struct fuse_scalar_node *node = m->node[k];
        node[0] = load(t, 0);
        node[1] = load(t, 1);
        node[2] = one(FUSE_SCALAR_SUB, t, 0, 1);
        node[3] = one(FUSE_SCALAR_EXP, t, 2, -1);
        node[4] = load(t, 2);
        node[5] = one(FUSE_SCALAR_DIV, t, 3, 4);
        m->body[k].n = k == 1 ? (s->centres ? 3 : 4) : 6;
        m->call[k].operands = k + 1;
        m->operand[k][0] = x;
        m->operand[k][1] = most;
        m->operand[k][2] = sum;
    }
    const int last = m->calls - 1;
    if (!s->centres) {
        m->call[1].out = sum;
        m->call[1].in_out = 1;
        m->call[1].reduce = FUSE_REDUCE_SUM;
    }
    m->call[last].out = s->over ? x : view(s, memory, 3);
    m->call[last].in_out = 3;
}

static double number(enum fuse_dtype type, const char *at, size_t i) {
    return type == FUSE_F64 ? ((const double *)at)[i] : (double)((const float *)at)[i];
}

static void put(enum fuse_dtype type, char *at, size_t i, double x) {
    if (type == FUSE_F64)
        ((double *)at)[i] = x;
    else
        ((float *)at)[i] = (float)x;
}

/* Some rows have what is special, at several places of them. */
static void fill(const struct shape *s, char *image, struct rng *rng) {
    fill_real(rng, image, s->type, place(s, 1), -8, 8);
    const double special[] = {NAN, INFINITY, -INFINITY};
    for (int64_t r = 0; r < s->rows; r++) {
        const size_t row = (size_t)(r * s->stride);
        if (r % 5 == 1 && !s->centres)
            put(s->type, image, row + (size_t)rng_below(rng, (int)s->columns), special[r / 5 % 3]);
        /* Most of a masked row, and what underflows, has no weight. */
        if (r % 7 == 3 && !s->centres)
            for (int64_t c = 0; c < s->columns; c++)
                if (c % 4)
                    put(s->type, image, row + (size_t)c, c % 4 == 1 ? -INFINITY : -1e30);
        if (r % 35 == 2 && !s->centres)
            for (int64_t c = 0; c < s->columns; c++)
                put(s->type, image, row + (size_t)c, -INFINITY);
    }
}

static void check(const struct shape *s) {
    const size_t bytes = (place(s, 3) + place(s, 1)) * fuse_dtype_bytes(s->type);
    /* the reference adds one term after the other */
    const double allowed = s->type == FUSE_F64 ? 2e-15 + (double)s->columns * 1.2e-16 : 2e-6;
    char *image = calloc(1, bytes);
    struct rng rng = {.state = (uint64_t)s->columns};
    struct maps m;
    struct fuse_error err = {0};
    assert_true(bytes <= MEMORY);
    fill(s, image, &rng);
    memcpy(ref.memory, image, bytes);
    write_maps(&m, s, ref.memory);
    for (int k = 0; k < m.calls; k++)
        assert_int_equal(ref.backend->ops->map(ref.queue, &m.call[k], &err), FUSE_OK);
    for (int b = 0; b < SUBJECTS; b++) {
        struct bed *bed = &subject[b];
        if (bed->backend->ops->maps == NULL)
            continue;
        memcpy(bed->memory, image, bytes);
        write_maps(&m, s, bed->memory);
        assert_int_equal(bed->backend->ops->maps(bed->queue, m.call, m.calls, m.row, &err), FUSE_OK);
        for (size_t i = 0; i < bytes / fuse_dtype_bytes(s->type); i++) {
            double want = number(s->type, ref.memory, i), got = number(s->type, bed->memory, i);
            bool same = want == got || (isnan(want) && isnan(got)) ||
                        fabs(want - got) <= allowed * (s->centres ? (double)s->columns : fabs(want)) + 1e-300;
            if (!same)
                fail_msg("%s, %d threads: %s %lld x %lld%s%s: %.17g at %zu, %.17g is right", subject_name[b],
                         subject_threads[b], fuse_dtype_name(s->type), (long long)s->rows, (long long)s->columns,
                         s->over ? ", in place" : "", s->centres ? ", centred" : "", got, i, want);
        }
    }
    free(image);
}

static void rows_are_those_of_single_maps(void **state) {
    (void)state;
    static const int64_t columns[] = {1, 3, 7, 16, 17, 64, 100, 128, 1000, 4099};
    for (size_t c = 0; c < sizeof columns / sizeof *columns; c++)
        for (int form = 0; form < 8; form++) {
            struct shape s = {.type = form & 1 ? FUSE_F64 : FUSE_F32, .rows = 75, .columns = columns[c]};
            s.stride = s.columns + (c % 2 ? 3 : 0);
            s.over = form & 2;
            s.centres = form & 4;
            check(&s);
        }
}

/* Past the caches, and where many blocks are shared out. */
static void large_ones_too(void **state) {
    (void)state;
    for (int form = 0; form < 2; form++) {
        struct shape s = {
            .type = form ? FUSE_F64 : FUSE_F32, .rows = form ? 2100 : 4200, .columns = 1008, .stride = 1008};
        check(&s);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(rows_are_those_of_single_maps),
                                       cmocka_unit_test(large_ones_too)};
    return cmocka_run_group_tests(tests, open_beds, beds_close);
}
