/* Projections min= and max= of a sum, a product, a minimum or a maximum of two operands: products over another semiring, with
 * the panels of contractions and a kernel in strips of their own. The kernels do not know NaN: a call that meets one, or
 * infinities that could make one, is done again as a map. */
#include "backend/call_check.h"
#include "backend/cpu_contract.h"

/* Below so many points, or so few columns, packing is not worth it. */
#define WORTH_POINTS ((int64_t)1 << 14)
#define WORTH_EDGE 8

static const struct {
    enum fuse_reduce reduce;
    enum fuse_scalar_op op;
} definition[FUSE_SEMIRINGS] = {
    [FUSE_MIN_PLUS] = {FUSE_REDUCE_MIN, FUSE_SCALAR_ADD},    [FUSE_MAX_PLUS] = {FUSE_REDUCE_MAX, FUSE_SCALAR_ADD},
    [FUSE_MIN_TIMES] = {FUSE_REDUCE_MIN, FUSE_SCALAR_MUL},   [FUSE_MAX_TIMES] = {FUSE_REDUCE_MAX, FUSE_SCALAR_MUL},
    [FUSE_MIN_MAX] = {FUSE_REDUCE_MIN, FUSE_SCALAR_MAXIMUM}, [FUSE_MAX_MIN] = {FUSE_REDUCE_MAX, FUSE_SCALAR_MINIMUM},
};

/* The semiring that the call is a product over, SUM_TIMES for none: two loads and one operation, without a conversion. */
static enum fuse_semiring find_semiring(const struct fuse_map_call *call) {
    const struct fuse_scalar *body = call->body;
    const enum fuse_dtype type = call->out.dtype;
    if (body->n != 3 || (type != FUSE_F32 && type != FUSE_F64))
        return FUSE_SUM_TIMES;
    const struct fuse_scalar_node *node = body->node, *last = &node[2];
    for (int i = 0; i < 2; i++)
        if (node[i].op != FUSE_SCALAR_LOAD || node[i].dtype != type || call->operand[node[i].arg].dtype != type)
            return FUSE_SUM_TIMES;
    if (last->a == last->b || last->dtype != type)
        return FUSE_SUM_TIMES;
    for (int ring = FUSE_SUM_TIMES + 1; ring < FUSE_SEMIRINGS; ring++)
        if (definition[ring].reduce == call->reduce && definition[ring].op == last->op)
            return (enum fuse_semiring)ring;
    return FUSE_SUM_TIMES;
}

/* Whether no sum or product of elements with these flags can be NaN. */
static bool stays_a_number(enum fuse_semiring ring, int a, int b) {
    if ((a | b) & FUSE_TILE_NAN)
        return false;
    switch (definition[ring].op) {
    case FUSE_SCALAR_ADD:
        return !((a & FUSE_TILE_INFINITE && b & FUSE_TILE_MINUS_INFINITE) ||
                 (a & FUSE_TILE_MINUS_INFINITE && b & FUSE_TILE_INFINITE));
    case FUSE_SCALAR_MUL: return !((a | b) & (FUSE_TILE_INFINITE | FUSE_TILE_MINUS_INFINITE));
    default: return true;
    }
}

bool fuse_cpu_run_semiring(struct fuse_cpu_backend *cpu, const struct fuse_map_call *call,
                           struct fuse_cpu_counts *counts) {
    const enum fuse_semiring ring = find_semiring(call);
    if (ring == FUSE_SUM_TIMES || fuse_points(call->indices, call->extent, UINT32_MAX) < WORTH_POINTS)
        return false;
    const struct fuse_scalar_node *node = call->body->node;
    struct fuse_contract as = {.indices = call->indices,
                               .in_a = UINT32_MAX,
                               .in_b = UINT32_MAX,
                               .in_c = call->in_out,
                               .a = call->operand[node[0].arg],
                               .b = call->operand[node[1].arg],
                               .c = call->out,
                               .accumulate = call->accumulate};
    for (int x = 0; x < call->indices; x++)
        as.extent[x] = call->extent[x];
    struct fuse_grouped g = fuse_group_contract(&as);
    g.semiring = ring;
    if (fuse_group_points(&g, FUSE_GROUP_M) < WORTH_EDGE || fuse_group_points(&g, FUSE_GROUP_N) < WORTH_EDGE)
        return false;
    int specials[2];
    fuse_cpu_run_packed(cpu, &g, counts, specials);
    return stays_a_number(ring, specials[0], specials[1]);
}
