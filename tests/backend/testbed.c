#include "testbed.h"

#include "backend/cpu_tile.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const subject_name[SUBJECTS] = {"cpu", "cpu", "cpu:avx2", "cpu:baseline", "fakedev"};
const int subject_threads[SUBJECTS] = {1, 2, 1, 1, 2};

static void must(enum fuse_status status, const struct fuse_error *err) {
    if (status != FUSE_OK)
        fail_msg("%s", err->message);
}

struct bed bed_open(const char *name, int threads, size_t bytes) {
    struct fuse_error err = {0};
    struct fuse_backend_options options = {.threads = threads};
    if (strncmp(name, "cpu:", 4) == 0) {
        options.isa = fuse_tile_choose(name + 4) ? name + 4 : "baseline";
        name = "cpu";
    }
    const struct fuse_backend_ops *ops = fuse_backend_find(name);
    struct bed bed = {.name = name, .bytes = bytes};
    void *memory = NULL;
    assert_non_null(ops);
    must(ops->open(&bed.backend, &options, &err), &err);
    must(ops->queue_open(bed.backend, &bed.queue, &err), &err);
    must(ops->memory_open(bed.backend, &memory, ops->kind, bytes, &err), &err);
    bed.memory = memory;
    return bed;
}

void bed_close(struct bed *bed) {
    const struct fuse_backend_ops *ops = bed->backend->ops;
    bed->queue->ops->close(bed->queue);
    ops->memory_close(bed->backend, bed->memory, ops->kind, bed->bytes);
    ops->close(bed->backend);
}

struct bed ref, subject[SUBJECTS];

void beds_open(size_t bytes) {
    ref = bed_open("ref", 1, bytes);
    for (int s = 0; s < SUBJECTS; s++)
        subject[s] = bed_open(subject_name[s], subject_threads[s], bytes);
}

int beds_close(void **state) {
    (void)state;
    bed_close(&ref);
    for (int s = 0; s < SUBJECTS; s++)
        bed_close(&subject[s]);
    return 0;
}

static void *rebase(const struct bed *bed, void *offset) {
    return bed->memory + (uintptr_t)offset;
}

static enum fuse_status make_call(struct bed *bed, const struct call *call, struct fuse_error *err) {
    const struct fuse_backend_ops *ops = bed->backend->ops;
    struct call moved = *call;
    moved.map.operand = moved.operand;
    for (int o = 0; o < call->map.operands; o++)
        moved.operand[o].data = rebase(bed, call->operand[o].data);
    moved.map.out.data = rebase(bed, call->map.out.data);
    switch (call->kind) {
    case CALL_CONTRACT:
        moved.contract.a.data = rebase(bed, call->contract.a.data);
        moved.contract.b.data = rebase(bed, call->contract.b.data);
        moved.contract.c.data = rebase(bed, call->contract.c.data);
        return ops->contract(bed->queue, &moved.contract, err);
    case CALL_MAP: return ops->map(bed->queue, &moved.map, err);
    case CALL_JOIN:
        moved.join.at = moved.map;
        moved.join.row_begin = rebase(bed, (void *)call->join.row_begin);
        for (int k = 1; k < call->join.relation_indices; k++)
            moved.join.column[k] = rebase(bed, (void *)call->join.column[k]);
        moved.join.value = call->join.value ? rebase(bed, (void *)call->join.value) : NULL;
        return ops->join(bed->queue, &moved.join, err);
    case CALL_ATTENTION: moved.attention.at = moved.map; return ops->attention(bed->queue, &moved.attention, err);
    default: break;
    }
    moved.to.data = rebase(bed, call->to.data);
    moved.from.data = rebase(bed, call->from.data);
    if (call->kind == CALL_COPY)
        return ops->copy(bed->queue, &moved.to, &moved.from, 0, err);
    if (call->kind == CALL_COMBINE)
        return ops->combine(bed->queue, call->op, &moved.to, &moved.from, err);
    return ops->clear(bed->queue, &moved.to, err);
}

enum fuse_status bed_run(struct bed *bed, const struct call *call, char *image, size_t bytes, struct fuse_error *err) {
    const struct fuse_backend_ops *ops = bed->backend->ops;
    struct fuse_error own = {0};
    assert_true(bytes <= bed->bytes);
    must(ops->transfer(bed->queue, bed->memory, ops->kind, image, FUSE_MEM_HOST, bytes, &own), &own);
    enum fuse_status status = make_call(bed, call, err);
    enum fuse_status late = bed->queue->ops->wait(bed->queue, FUSE_QUEUE_ALL, status == FUSE_OK ? err : &own);
    must(ops->transfer(bed->queue, image, FUSE_MEM_HOST, bed->memory, ops->kind, bytes, &own), &own);
    must(bed->queue->ops->wait(bed->queue, FUSE_QUEUE_ALL, &own), &own);
    return status != FUSE_OK ? status : late;
}

struct fuse_view call_result(const struct call *call) {
    if (call->kind != CALL_CONTRACT && call->kind != CALL_MAP && call->kind != CALL_JOIN &&
        call->kind != CALL_ATTENTION)
        return call->to;
    const bool map = call->kind != CALL_CONTRACT;
    const struct fuse_operand_view *out = map ? &call->map.out : &call->contract.c;
    const int64_t *extent = map ? call->map.extent : call->contract.extent;
    const uint32_t in = map ? call->map.in_out : call->contract.in_c;
    struct fuse_view view = {.data = out->data, .dtype = out->dtype};
    for (int x = 0; x < (map ? call->map.indices : call->contract.indices); x++)
        if (in >> x & 1) {
            view.extent[view.rank] = extent[x];
            view.stride[view.rank++] = out->stride[x];
        }
    return view;
}

void compare_images(const char *what, const struct fuse_view *view, const char *before, const char *expected,
                    const char *got, size_t bytes, double relative, double absolute) {
    const size_t size = fuse_dtype_bytes(view->dtype);
    char *written = calloc(bytes, 1);
    int64_t at[FUSE_MAX_AXES] = {0}, points = 1;
    for (int a = 0; a < view->rank; a++)
        points *= view->extent[a];
    for (int64_t p = 0; p < points; p++) {
        int64_t elem = 0, left = p;
        for (int a = view->rank - 1; a >= 0; a--) {
            at[a] = left % view->extent[a];
            left /= view->extent[a];
            elem += at[a] * view->stride[a];
        }
        size_t byte = (size_t)((int64_t)(uintptr_t)view->data + elem * (int64_t)size);
        assert_true(byte + size <= bytes);
        memset(written + byte, 1, size);
        if (memcmp(expected + byte, got + byte, size) == 0)
            continue;
        double e = get_real(expected + byte, view->dtype), g = get_real(got + byte, view->dtype);
        bool same = (isnan(e) && isnan(g)) || e == g || fabs(e - g) <= relative * fabs(e) + absolute;
        if (view->dtype == FUSE_I64 || !same) /* distinct integers may print alike as doubles */
            fail_msg("%s: point %lld of %lld (%s): expected %.17g, got %.17g", what, (long long)p, (long long)points,
                     fuse_dtype_name(view->dtype), e, g);
    }
    for (size_t i = 0; i < bytes; i++)
        if (!written[i] && before[i] != got[i])
            fail_msg("%s: byte %zu outside the result was changed", what, i);
    free(written);
}

void beds_compare(const char *what, const struct call *call, const char *image, size_t bytes, double relative,
                  double absolute, enum bits bits) {
    struct fuse_view view = call_result(call);
    char *expected = malloc(bytes), *got = malloc(bytes), *first = malloc(bytes);
    struct fuse_error err = {0};
    memcpy(expected, image, bytes);
    if (bed_run(&ref, call, expected, bytes, &err) != FUSE_OK)
        fail_msg("%s: ref: %s", what, err.message);
    for (int s = 0; s < SUBJECTS; s++) {
        char name[300];
        bool other = strncmp(subject_name[s], "cpu:", 4) == 0;
        snprintf(name, sizeof name, "%s on %s with %d threads", what, subject_name[s], subject_threads[s]);
        memcpy(got, image, bytes);
        if (bed_run(&subject[s], call, got, bytes, &err) != FUSE_OK)
            fail_msg("%s: %s", name, err.message);
        compare_images(name, &view, image, expected, got, bytes, relative, absolute);
        if (s == 0)
            memcpy(first, got, bytes);
        else if (bits != BITS_MAY_DIFFER && (bits == BITS_SAME || !other) && memcmp(first, got, bytes) != 0)
            fail_msg("%s: other bits than %s with %d threads", name, subject_name[0], subject_threads[0]);
    }
    free(expected);
    free(got);
    free(first);
}

uint64_t rng_next(struct rng *rng) {
    rng->state += 0x9e3779b97f4a7c15u;
    uint64_t z = rng->state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

int rng_below(struct rng *rng, int n) {
    return (int)(rng_next(rng) % (uint64_t)n);
}

double rng_real(struct rng *rng, double low, double high) {
    return low + (high - low) * (double)(rng_next(rng) >> 11) * 0x1p-53;
}

void put_real(void *to, enum fuse_dtype dtype, double value) {
    fuse_dtype_convert(to, dtype, &value, FUSE_F64, 1);
}

double get_real(const void *from, enum fuse_dtype dtype) {
    double value;
    fuse_dtype_convert(&value, FUSE_F64, from, dtype, 1);
    return value;
}

void fill_whole(struct rng *rng, void *to, enum fuse_dtype dtype, size_t count, int limit) {
    const bool sign = dtype != FUSE_BOOL && dtype != FUSE_U8;
    for (size_t i = 0; i < count; i++) {
        int value = dtype == FUSE_BOOL ? rng_below(rng, 2) : rng_below(rng, (sign ? 2 : 1) * limit + 1);
        put_real((char *)to + i * fuse_dtype_bytes(dtype), dtype, sign ? value - limit : value);
    }
}

void fill_real(struct rng *rng, void *to, enum fuse_dtype dtype, size_t count, double low, double high) {
    for (size_t i = 0; i < count; i++)
        put_real((char *)to + i * fuse_dtype_bytes(dtype), dtype, rng_real(rng, low, high));
}

int64_t random_layout(struct rng *rng, int axes, const int64_t *extent, int64_t *stride, int64_t *origin,
                      bool may_reverse) {
    int order[FUSE_MAX_AXES];
    for (int a = 0; a < axes; a++)
        order[a] = a;
    for (int a = axes - 1; a > 0; a--) {
        int b = rng_below(rng, a + 1), t = order[a];
        order[a] = order[b];
        order[b] = t;
    }
    int64_t span = rng_below(rng, 6) == 0 ? 2 : 1;
    *origin = 0;
    for (int i = 0; i < axes; i++) {
        int a = order[i];
        stride[a] = span;
        span = span * (extent[a] > 0 ? extent[a] : 1) + (rng_below(rng, 4) == 0 ? rng_below(rng, 3) : 0);
        if (may_reverse && rng_below(rng, 6) == 0 && extent[a] > 0) {
            *origin += (extent[a] - 1) * stride[a];
            stride[a] = -stride[a];
        }
    }
    return span;
}

struct fuse_scalar_node load_node(int operand, enum fuse_dtype dtype) {
    return (struct fuse_scalar_node){.op = FUSE_SCALAR_LOAD, .dtype = dtype, .a = -1, .b = -1, .c = -1, .arg = operand};
}

struct fuse_scalar_node const_node(enum fuse_dtype dtype, double value) {
    return (struct fuse_scalar_node){
        .op = FUSE_SCALAR_CONST, .dtype = dtype, .a = -1, .b = -1, .c = -1, .real = value, .integer = (int64_t)value};
}

struct fuse_scalar_node op_node(enum fuse_scalar_op op, enum fuse_dtype dtype, int a, int b, int c) {
    return (struct fuse_scalar_node){.op = op, .dtype = dtype, .a = a, .b = b, .c = c};
}
