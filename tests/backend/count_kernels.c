/* Ten fixed calls of the cpu back end, for counting instructions: under callgrind each is collected by itself, since the
 * function fuse_counted_case does nothing else. Prints a line for each: name, kernel calls, BLAS calls, bytes packed, arithmetic
 * operations of contractions. usage: count_kernels [isa] */
#include "backend/backend.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { CONTRACT, COPY, MAP };

struct kernel_case {
    const char *name;
    enum kind kind;
    const char *axes[3]; /* letters of a, b and c; b NULL: one operand */
    int64_t extent[8];   /* of the letters, in the order in which a and b have them */
    enum fuse_reduce reduce;
    enum fuse_scalar_op op; /* of a map: of both operands, or of the one */
};

static const struct kernel_case cases[] = {
    {"matrix_product", CONTRACT, {"ac", "cb", "ab"}, {192, 224, 160}, FUSE_REDUCE_NONE, FUSE_SCALAR_MUL},
    {"short_sum", CONTRACT, {"ac", "cb", "ab"}, {512, 24, 384}, FUSE_REDUCE_NONE, FUSE_SCALAR_MUL},
    {"matrix_by_vector", CONTRACT, {"ab", "b", "a"}, {1024, 768}, FUSE_REDUCE_NONE, FUSE_SCALAR_MUL},
    {"small_batched", CONTRACT, {"abd", "adc", "abc"}, {512, 12, 20, 12}, FUSE_REDUCE_NONE, FUSE_SCALAR_MUL},
    {"dense_batch", CONTRACT, {"abcd", "dbea", "ace"}, {20, 12, 24, 16, 24}, FUSE_REDUCE_NONE, FUSE_SCALAR_MUL},
    {"other_orders", CONTRACT, {"kbcj", "ikac", "ijab"}, {12, 20, 18, 20, 12, 20}, FUSE_REDUCE_NONE, FUSE_SCALAR_MUL},
    {"transpose", COPY, {"abc", NULL, "cba"}, {40, 48, 56}, FUSE_REDUCE_NONE, FUSE_SCALAR_MUL},
    {"min_plus", MAP, {"ac", "cb", "ab"}, {96, 128, 112}, FUSE_REDUCE_MIN, FUSE_SCALAR_ADD},
    {"exponential", MAP, {"ab", NULL, "ab"}, {96, 1000}, FUSE_REDUCE_NONE, FUSE_SCALAR_EXP},
    {"sum_of_rows", MAP, {"ab", "b", "a"}, {96, 1000}, FUSE_REDUCE_SUM, FUSE_SCALAR_MUL},
};
enum { CASES = sizeof cases / sizeof *cases, ROOM = 1 << 21 };

struct prepared {
    struct fuse_contract contract;
    struct fuse_view to, from;
    struct fuse_map_call map;
    struct fuse_operand_view operand[2];
    struct fuse_scalar body;
    struct fuse_scalar_node node[3];
};

/* The place of a letter among those of a and then b, which is that of its extent. */
static int index_of(const struct kernel_case *c, char letter) {
    char seen[9] = "";
    int n = 0;
    for (int o = 0; o < 2; o++)
        for (const char *at = c->axes[o] ? c->axes[o] : ""; *at; at++) {
            if (strchr(seen, *at))
                continue;
            if (*at == letter)
                return n;
            seen[n++] = *at;
        }
    abort();
}

static void prepare(struct prepared *p, const struct kernel_case *c, float *memory) {
    struct fuse_operand_view view[3] = {{0}};
    uint32_t in[3] = {0};
    int64_t extent[8];
    *p = (struct prepared){0};
    for (int x = 0; x < 8; x++)
        extent[x] = 1;
    int64_t at = 0;
    for (int o = 0; o < 3; o++) {
        int64_t step = 1;
        view[o] = (struct fuse_operand_view){.data = memory + at, .dtype = FUSE_F32};
        for (int a = c->axes[o] ? (int)strlen(c->axes[o]) - 1 : -1; a >= 0; a--) {
            const int x = index_of(c, c->axes[o][a]);
            extent[x] = c->extent[x];
            view[o].stride[x] = step;
            in[o] |= UINT32_C(1) << x;
            step *= extent[x];
        }
        at += (step + 15) / 16 * 16;
    }
    if (at > ROOM)
        abort();
    p->contract = (struct fuse_contract){
        .indices = 8, .in_a = in[0], .in_b = in[1], .in_c = in[2], .a = view[0], .b = view[1], .c = view[2]};
    memcpy(p->contract.extent, extent, sizeof extent);
    p->to = (struct fuse_view){.data = view[2].data, .dtype = FUSE_F32, .rank = 3};
    p->from = (struct fuse_view){.data = view[0].data, .dtype = FUSE_F32, .rank = 3};
    for (int x = 0; x < 3; x++) {
        p->to.extent[x] = p->from.extent[x] = extent[x];
        p->to.stride[x] = view[2].stride[x];
        p->from.stride[x] = view[0].stride[x];
    }
    const int operands = c->axes[1] ? 2 : 1;
    for (int o = 0; o < 2; o++) {
        p->operand[o] = view[o];
        p->node[o] =
            (struct fuse_scalar_node){.op = FUSE_SCALAR_LOAD, .dtype = FUSE_F32, .a = -1, .b = -1, .c = -1, .arg = o};
    }
    p->node[operands] =
        (struct fuse_scalar_node){.op = c->op, .dtype = FUSE_F32, .a = 0, .b = operands > 1 ? 1 : -1, .c = -1};
    p->body = (struct fuse_scalar){.n = operands + 1, .node = p->node};
    p->map = (struct fuse_map_call){.indices = 8,
                                    .in_out = in[2],
                                    .operands = operands,
                                    .operand = p->operand,
                                    .out = view[2],
                                    .body = &p->body,
                                    .reduce = c->reduce};
    memcpy(p->map.extent, extent, sizeof extent);
    for (int x = 0; x < 8; x++) /* extents of 1 may be anywhere */
        if (extent[x] == 1)
            p->map.in_out |= UINT32_C(1) << x;
}

__attribute__((noinline)) enum fuse_status fuse_counted_case(const struct fuse_backend_ops *ops,
                                                             struct fuse_queue *queue, enum kind kind,
                                                             const struct prepared *p, struct fuse_error *err);
enum fuse_status fuse_counted_case(const struct fuse_backend_ops *ops, struct fuse_queue *queue, enum kind kind,
                                   const struct prepared *p, struct fuse_error *err) {
    switch (kind) {
    case CONTRACT: return ops->contract(queue, &p->contract, err);
    case COPY: return ops->copy(queue, &p->to, &p->from, 0, err);
    default: return ops->map(queue, &p->map, err);
    }
}

int main(int argc, char **argv) {
    const struct fuse_backend_ops *ops = &fuse_backend_cpu;
    const struct fuse_backend_options options = {.threads = 1, .isa = argc > 1 ? argv[1] : NULL};
    struct fuse_error err = {0};
    struct fuse_backend *backend;
    struct fuse_queue *queue;
    void *memory;
    if (ops->open(&backend, &options, &err) != FUSE_OK || ops->queue_open(backend, &queue, &err) != FUSE_OK ||
        ops->memory_open(backend, &memory, FUSE_MEM_HOST, ROOM * sizeof(float), &err) != FUSE_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    for (int64_t i = 0; i < ROOM; i++)
        ((float *)memory)[i] = (float)(i % 17) / 8 - 1;
    for (int i = 0; i < CASES; i++) {
        struct prepared p;
        prepare(&p, &cases[i], memory);
        const struct fuse_backend before = *backend;
        if (fuse_counted_case(ops, queue, cases[i].kind, &p, &err) != FUSE_OK) {
            fprintf(stderr, "%s: %s\n", cases[i].name, err.message);
            return 1;
        }
        printf("%s %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 "\n", cases[i].name,
               backend->kernel_calls - before.kernel_calls, backend->blas_calls - before.blas_calls,
               backend->packed_bytes - before.packed_bytes, backend->contract_flops - before.contract_flops);
    }
    printf("compiler %s\n", __VERSION__);
    ops->memory_close(backend, memory, FUSE_MEM_HOST, ROOM * sizeof(float));
    queue->ops->close(queue);
    ops->close(backend);
    return 0;
}
