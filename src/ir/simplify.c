/* The rewrites in order, until they find nothing more to do. */
#include "ir/ir.h"

#include "core/hash.h"
#include "ir/rewrite.h"

/* Two rounds do for almost all programs; the bound is there so that a slip costs time and not the run. */
#define MAX_ROUNDS 8

static enum fuse_status check(const struct fuse_ir *ir, const char *after, struct fuse_error *err) {
    enum fuse_status st = fuse_ir_verify(ir, err);
    if (st != FUSE_OK)
        fuse_note(err, "after %s", after);
    return st;
}

#ifdef NDEBUG
#define CHECK_PASS(ir, after, err) ((void)0)
#else
#define CHECK_PASS(ir, after, err) FUSE_TRY(check(ir, after, err))
#endif

static uint64_t hash_op(uint64_t hash, const struct fuse_ir *ir, const struct fuse_op *op) {
    hash = fuse_hash_int(hash, (int64_t)op->kind << 8 | (int64_t)op->reduce);
    for (int x = 0; x < op->indices; x++)
        hash = fuse_hash_int(hash, op->extent[x]);
    for (int a = 0; op->out >= 0 && a < ir->values.at[op->out].rank; a++)
        hash = fuse_hash_int(fuse_hash_int(hash, op->out_index[a]), ir->values.at[op->out].extent[a]);
    for (int k = 0; k < op->inputs; k++) {
        const struct fuse_access *access = &op->input[k].access;
        hash = fuse_hash_int(hash, op->input[k].value);
        for (int a = 0; a < access->rank; a++) {
            hash = fuse_hash_int(hash, access->at[a].index);
            hash = fuse_hash_int(hash, access->at[a].stride);
            hash = fuse_hash_int(hash, access->at[a].offset);
            hash = fuse_hash_int(hash, access->at[a].divide);
            hash = fuse_hash_int(hash, access->at[a].modulo);
        }
    }
    for (int i = 0; op->body && i < op->body->n; i++) {
        const struct fuse_scalar_node *node = &op->body->node[i];
        hash = fuse_hash_int(hash, (int64_t)node->op << 8 | (int64_t)node->dtype);
        const int argument[4] = {node->a, node->b, node->c, node->arg};
        for (int k = 0; k < 4; k++)
            hash = fuse_hash_int(hash, argument[k]);
        hash = fuse_hash_int(hash, node->integer);
        hash = fuse_hash_bytes(hash, &node->real, sizeof node->real);
    }
    return hash;
}

/* Tells rounds that changed something from those that did not; never leaves the process. */
static uint64_t fingerprint(const struct fuse_ir *ir) {
    uint64_t hash = fuse_hash_int(FUSE_HASH_SEED, ir->ops.n);
    for (int i = 0; i < ir->ops.n; i++)
        hash = hash_op(hash, ir, ir->ops.at[i]);
    return hash;
}

/* Products are ordered before maps are fused, because a product that projects nothing becomes a map. Copies dissolve
 * before products are ordered, so that a transposed or sliced operand is what the order sees. Fusing counts users, so
 * the dead go first. Values shrink before products are ordered, because extents decide the order. */
static enum fuse_status run_round(struct fuse_ir *ir, struct fuse_error *err) {
    fuse_ir_fold(ir);
    CHECK_PASS(ir, "fold", err);
    fuse_ir_forward(ir);
    CHECK_PASS(ir, "forward", err);
    fuse_ir_share(ir);
    CHECK_PASS(ir, "share", err);
    fuse_ir_shrink(ir);
    CHECK_PASS(ir, "shrink", err);
    FUSE_TRY(fuse_ir_order(ir, err));
    CHECK_PASS(ir, "order", err);
    fuse_ir_sweep(ir);
    CHECK_PASS(ir, "sweep", err);
    fuse_ir_fuse(ir);
    CHECK_PASS(ir, "fuse", err);
    fuse_ir_sweep(ir);
    CHECK_PASS(ir, "sweep", err);
    return FUSE_OK;
}

static enum fuse_status simplify(struct fuse_ir *ir, bool is_ordered, struct fuse_error *err) {
    FUSE_TRY(check(ir, "lowering", err));
    uint64_t before = fingerprint(ir);
    for (int round = 0; round < MAX_ROUNDS; round++) {
        FUSE_TRY(run_round(ir, err));
        uint64_t after = fingerprint(ir);
        if (after == before)
            break;
        before = after;
    }
    if (!is_ordered)
        fuse_ir_attention(ir);
    CHECK_PASS(ir, "attention", err);
    fuse_ir_split(ir);
    return check(ir, "simplification", err);
}

enum fuse_status fuse_ir_simplify(struct fuse_ir *ir, struct fuse_error *err) {
    return simplify(ir, false, err);
}

enum fuse_status fuse_ir_simplify_in_order(struct fuse_ir *ir, struct fuse_error *err) {
    return simplify(ir, true, err);
}
