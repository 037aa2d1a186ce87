#include "backend/call_check.h"

int64_t fuse_points(int indices, const int64_t *extent, uint32_t mask) {
    int64_t points = 1;
    for (int x = 0; x < indices; x++)
        if (mask >> x & 1)
            points = fuse_sat_mul(points, extent[x]);
    return points;
}

bool fuse_step(int indices, const int64_t *extent, int64_t *at) {
    for (int x = indices - 1; x >= 0; x--) {
        if (++at[x] < extent[x])
            return true;
        at[x] = 0;
    }
    return false;
}

enum fuse_dtype fuse_map_body_dtype(const struct fuse_map_call *call) {
    return call->body->node[call->body->n - 1].dtype;
}

/* Types that exist in files only never reach a kernel. */
static bool is_resident(enum fuse_dtype dtype) {
    return (unsigned)dtype < FUSE_DTYPES && fuse_dtype_resident(dtype) == dtype;
}

static uint32_t all_of(int indices) {
    return indices == 32 ? UINT32_MAX : (UINT32_C(1) << indices) - 1;
}

static enum fuse_status check_space(const char *what, int indices, const int64_t *extent, uint32_t used,
                                    struct fuse_error *err) {
    if (indices < 0 || indices > FUSE_MAX_AXES)
        return fuse_fail(err, FUSE_EBUG, "%s: %d indices", what, indices);
    bool empty = false;
    for (int x = 0; x < indices; x++) {
        if (extent[x] < 0)
            return fuse_fail(err, FUSE_EBUG, "%s: negative extent of index %d", what, x);
        empty |= extent[x] == 0;
    }
    if (!empty && fuse_points(indices, extent, UINT32_MAX) == INT64_MAX)
        return fuse_fail(err, FUSE_EBUG, "%s: the iteration space is too large", what);
    if (used & ~all_of(indices))
        return fuse_fail(err, FUSE_EBUG, "%s: a mask names an index that is not there", what);
    return FUSE_OK;
}

/* Two points that write one element would race. */
static enum fuse_status check_target(const char *what, int indices, const int64_t *extent, uint32_t mask,
                                     const int64_t *stride, struct fuse_error *err) {
    if (fuse_points(indices, extent, UINT32_MAX) == 0)
        return FUSE_OK; /* dense strides of an empty block may be 0 */
    for (int x = 0; x < indices; x++)
        if ((mask >> x & 1) && extent[x] > 1 && stride[x] == 0)
            return fuse_fail(err, FUSE_EBUG, "%s: the result's stride of index %d is 0", what, x);
    return FUSE_OK;
}

enum fuse_status fuse_contract_check(const struct fuse_contract *call, struct fuse_error *err) {
    uint32_t used = call->in_a | call->in_b | call->in_c;
    FUSE_TRY(check_space("contract", call->indices, call->extent, used, err));
    FUSE_TRY(check_target("contract", call->indices, call->extent, call->in_c, call->c.stride, err));
    if (!is_resident(call->a.dtype) || !is_resident(call->b.dtype))
        return fuse_fail(err, FUSE_EBUG, "contract: bad operand dtype");
    if (call->c.dtype == FUSE_BOOL && (call->a.dtype != FUSE_BOOL || call->b.dtype != FUSE_BOOL))
        return fuse_fail(err, FUSE_EBUG, "contract: a truth from operands that are none");
    if (call->c.dtype != fuse_dtype_compute(call->c.dtype))
        return fuse_fail(err, FUSE_EBUG, "contract: the result must be f32, f64, i64 or bool");
    return FUSE_OK;
}

static bool reduces(enum fuse_reduce op, enum fuse_dtype dtype) {
    bool logical = op == FUSE_REDUCE_OR || op == FUSE_REDUCE_AND;
    return op == FUSE_REDUCE_NONE || (dtype == FUSE_BOOL) == logical;
}

enum fuse_status fuse_map_check(const struct fuse_map_call *call, struct fuse_error *err) {
    FUSE_TRY(check_space("map", call->indices, call->extent, call->in_out, err));
    FUSE_TRY(check_target("map", call->indices, call->extent, call->in_out, call->out.stride, err));
    if (call->body == NULL || call->body->n <= 0)
        return fuse_fail(err, FUSE_EBUG, "map: no body");
    FUSE_TRY(fuse_scalar_verify(call->body, call->operands, call->indices, err));
    for (int o = 0; o < call->operands; o++)
        if (!is_resident(call->operand[o].dtype))
            return fuse_fail(err, FUSE_EBUG, "map: bad dtype of operand %d", o);
    if (!is_resident(call->out.dtype))
        return fuse_fail(err, FUSE_EBUG, "map: bad dtype of the result");
    if (call->reduce == FUSE_REDUCE_NONE && (call->in_out != all_of(call->indices) || call->accumulate))
        return fuse_fail(err, FUSE_EBUG, "map: a reduction is needed, and none is given");
    if (!reduces(call->reduce, fuse_map_body_dtype(call)))
        return fuse_fail(err, FUSE_EBUG, "map: %s does not reduce %s", fuse_reduce_name(call->reduce),
                         fuse_dtype_name(fuse_map_body_dtype(call)));
    return FUSE_OK;
}

enum fuse_status fuse_join_check(const struct fuse_join_call *call, struct fuse_error *err) {
    FUSE_TRY(fuse_map_check(&call->at, err));
    if (call->at.operands < 1 || call->at.reduce == FUSE_REDUCE_NONE)
        return fuse_fail(err, FUSE_EBUG, "join: no relation, or no reduction");
    if (call->at.out.dtype != fuse_map_body_dtype(&call->at))
        return fuse_fail(err, FUSE_EBUG, "join: the result has another dtype than the body");
    if (call->relation_indices < 0 || call->relation_indices > call->at.indices)
        return fuse_fail(err, FUSE_EBUG, "join: %d indices of a relation", call->relation_indices);
    for (int k = 0; k < call->relation_indices; k++)
        if (call->relation_index[k] < 0 || call->relation_index[k] >= call->at.indices ||
            (k > 0 && call->relation_index[k] <= call->relation_index[k - 1]))
            return fuse_fail(err, FUSE_EBUG, "join: bad index of the relation");
    if (!call->value && call->at.operand[0].dtype != FUSE_BOOL)
        return fuse_fail(err, FUSE_EBUG, "join: tuples without values");
    for (int i = 0; i < call->at.body->n; i++)
        if (call->at.body->node[i].op == FUSE_SCALAR_IOTA)
            return fuse_fail(err, FUSE_EBUG, "join: an index in the body");
    return FUSE_OK;
}

enum fuse_status fuse_attention_check(const struct fuse_attention_call *call, struct fuse_error *err) {
    const struct fuse_map_call *at = &call->at;
    FUSE_TRY(fuse_map_check(at, err));
    enum fuse_dtype type = fuse_map_body_dtype(at);
    if (at->operands < 3 || at->reduce != FUSE_REDUCE_SUM || at->accumulate || (type != FUSE_F32 && type != FUSE_F64))
        return fuse_fail(err, FUSE_EBUG, "attention: no map of queries, keys and values");
    if (at->out.dtype != type || at->operand[0].dtype != type || at->operand[1].dtype != type ||
        at->operand[2].dtype != type)
        return fuse_fail(err, FUSE_EBUG, "attention: operands of several types");
    uint32_t projected = all_of(at->indices) & ~at->in_out;
    if (call->key < 0 || call->depth < 0 || call->key == call->depth || call->key >= at->indices ||
        call->depth >= at->indices || projected != ((uint32_t)1 << call->key | (uint32_t)1 << call->depth))
        return fuse_fail(err, FUSE_EBUG, "attention: keys and depth are not what is projected");
    bool wrong = at->operand[0].stride[call->key] != 0 || at->operand[2].stride[call->depth] != 0;
    for (int o = 3; o < at->operands; o++)
        wrong |= at->operand[o].stride[call->depth] != 0;
    for (int i = 0; i < at->body->n; i++)
        wrong |= at->body->node[i].op == FUSE_SCALAR_LOAD && (at->body->node[i].arg == 1 || at->body->node[i].arg == 2);
    if (wrong || at->extent[call->depth] > FUSE_ATTENTION_WIDTH)
        return fuse_fail(err, FUSE_EBUG, "attention: an operand moves along an index that it must not");
    return FUSE_OK;
}

enum fuse_status fuse_view_check(const struct fuse_view *to, const struct fuse_view *from, struct fuse_error *err) {
    FUSE_TRY(check_space("view", to->rank, to->extent, 0, err));
    FUSE_TRY(check_target("view", to->rank, to->extent, UINT32_MAX, to->stride, err));
    if (!is_resident(to->dtype))
        return fuse_fail(err, FUSE_EBUG, "view: bad dtype");
    if (from == NULL)
        return FUSE_OK;
    if (to->dtype != from->dtype || to->rank != from->rank)
        return fuse_fail(err, FUSE_EBUG, "copy: the views differ in dtype or rank");
    for (int a = 0; a < to->rank; a++)
        if (to->extent[a] != from->extent[a])
            return fuse_fail(err, FUSE_EBUG, "copy: the views differ in extent on axis %d", a);
    return FUSE_OK;
}

enum fuse_status fuse_combine_check(enum fuse_reduce op, const struct fuse_view *to, const struct fuse_view *from,
                                    struct fuse_error *err) {
    FUSE_TRY(fuse_view_check(to, from, err));
    if (op == FUSE_REDUCE_NONE || !reduces(op, to->dtype))
        return fuse_fail(err, FUSE_EBUG, "combine: %s does not combine %s", fuse_reduce_name(op),
                         fuse_dtype_name(to->dtype));
    return FUSE_OK;
}
