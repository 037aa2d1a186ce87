/* Sums in a fixed order: which operations have them, and where their iteration spaces may be split. */
#include "plan/ordered.h"

/* Indices that the result lacks; all of them where there is none. */
static uint32_t projected(const struct fuse_plan *plan, const struct fuse_op *op) {
    uint32_t mask = 0;
    for (int i = 0; i < op->indices; i++)
        mask |= UINT32_C(1) << i;
    for (int a = 0; op->out >= 0 && a < plan->ir->values.at[op->out].rank; a++)
        mask &= ~(UINT32_C(1) << op->out_index[a]);
    return mask;
}

static bool is_real(enum fuse_dtype dtype) {
    return dtype == FUSE_F32 || dtype == FUSE_F64;
}

bool fuse_sum_is_ordered(const struct fuse_plan *plan, int number) {
    const struct fuse_op *op = plan->ir->ops.at[number];
    if (plan->request.chunk == 0)
        return false;
    if (op->kind == FUSE_OP_EINSUM)
        return is_real(plan->ir->values.at[op->out].dtype);
    return (op->kind == FUSE_OP_MAP || op->kind == FUSE_OP_JOIN) &&
           (op->reduce == FUSE_REDUCE_SUM || op->reduce == FUSE_REDUCE_PROD) &&
           is_real(op->body->node[op->body->n - 1].dtype);
}

bool fuse_index_is_ordered(const struct fuse_plan *plan, int number, int index) {
    return fuse_sum_is_ordered(plan, number) && (projected(plan, plan->ir->ops.at[number]) >> index & 1);
}

/* Rounds alike everywhere. */
static bool is_defined(const struct fuse_scalar *body) {
    for (int i = 0; i < body->n; i++)
        if (fuse_scalar_is_transcendental(body->node[i].op) && is_real(body->node[i].dtype))
            return false;
    return true;
}

static enum fuse_status refuse(struct fuse_span span, const char *what, struct fuse_error *err) {
    enum fuse_status status = fuse_fail_at(err, FUSE_EPROGRAM, span, "%s: results would not be deterministic", what);
    fuse_hint(err, "leave out --deterministic, or compute with integers or truths: they are the same everywhere");
    return status;
}

enum fuse_status fuse_ordered_check(const struct fuse_ir *ir, struct fuse_error *err) {
    for (int o = 0; o < ir->ops.n; o++) {
        const struct fuse_op *op = ir->ops.at[o];
        if (op->kind == FUSE_OP_ATTENTION)
            return fuse_fail(err, FUSE_EBUG, "attention in blocks, whose sums have no order of their own");
        if (op->kind != FUSE_OP_RULES)
            continue;
        for (int r = 0; r < op->rules->rules; r++) {
            const struct fuse_rule *rule = &op->rules->rule[r];
            const struct fuse_rule_relation *head = &op->rules->relation[rule->head];
            bool sums = head->combine == FUSE_REDUCE_SUM || head->combine == FUSE_REDUCE_PROD;
            if (is_real(head->dtype) && sums)
                return refuse(rule->span, "rules sum reals as the ranks find them", err);
            if (is_real(head->dtype) && rule->value && !is_defined(rule->value))
                return refuse(rule->span, "rules use a function that processors round differently", err);
        }
    }
    return FUSE_OK;
}

void fuse_sum_chunks(struct fuse_chunks *out, const struct fuse_plan *plan, int number) {
    const struct fuse_op *op = plan->ir->ops.at[number];
    fuse_chunks_make(out, op->indices, op->extent, projected(plan, op), plan->request.chunk);
}

/* Leaves along the index that ranks may share: the outermost of the chunks, unless its partial sums have no exact form. */
static int64_t shared_leaves(const struct fuse_plan *plan, int number, int index, int64_t *block) {
    const struct fuse_op *op = plan->ir->ops.at[number];
    struct fuse_chunks chunks;
    fuse_sum_chunks(&chunks, plan, number);
    *block = chunks.block[0];
    bool is_exact =
        op->kind == FUSE_OP_EINSUM ||
        (op->kind == FUSE_OP_MAP && plan->ir->values.at[op->out].dtype == op->body->node[op->body->n - 1].dtype);
    return is_exact && index == chunks.index[0] ? chunks.leaves[0] : 1;
}

int64_t fuse_index_units(const struct fuse_plan *plan, int number, int index) {
    int64_t block;
    return fuse_index_is_ordered(plan, number, index) ? shared_leaves(plan, number, index, &block)
                                                      : plan->ir->ops.at[number]->extent[index];
}

static void levels_of(int at_level[FUSE_MESH_MAX], int *levels, const struct fuse_plan *plan,
                      const struct fuse_layout *partition, int index) {
    *levels = 0;
    for (int d = 0; d < plan->mesh.dims; d++)
        if (partition->axis[d] == index) {
            at_level[partition->level[d]] = d;
            (*levels)++;
        }
}

void fuse_index_part(int64_t *lo, int64_t *hi, const struct fuse_plan *plan, int number,
                     const struct fuse_layout *partition, int index, const int *coordinate) {
    int64_t extent = plan->ir->ops.at[number]->extent[index], block;
    int at_level[FUSE_MESH_MAX], levels;
    levels_of(at_level, &levels, plan, partition, index);
    if (!fuse_index_is_ordered(plan, number, index)) {
        int64_t parts = 1, part = 0;
        for (int l = 0; l < levels; l++) {
            parts *= plan->mesh.dim[at_level[l]];
            part = part * plan->mesh.dim[at_level[l]] + coordinate[at_level[l]];
        }
        *lo = fuse_split_begin(extent, parts, part);
        *hi = fuse_split_begin(extent, parts, part + 1);
        return;
    }
    *lo = 0;
    *hi = levels > 0 ? shared_leaves(plan, number, index, &block) : 1;
    for (int l = 0; l < levels; l++)
        fuse_chunks_part(lo, hi, plan->mesh.dim[at_level[l]], coordinate[at_level[l]]);
    block = levels > 0 ? block : extent;
    *lo = *lo * block < extent ? *lo * block : extent;
    *hi = *hi * block < extent ? *hi * block : extent;
}

static int64_t extreme(const struct fuse_plan *plan, int number, const struct fuse_layout *partition, int index,
                       int64_t (*of)(int64_t n, int64_t parts), int64_t *block) {
    int at_level[FUSE_MESH_MAX], levels;
    levels_of(at_level, &levels, plan, partition, index);
    int64_t n = shared_leaves(plan, number, index, block);
    for (int l = 0; l < levels; l++)
        n = of(n, plan->mesh.dim[at_level[l]]);
    return n;
}

int64_t fuse_index_largest(const struct fuse_plan *plan, int number, const struct fuse_layout *partition, int index) {
    int64_t parts = fuse_layout_parts(partition, &plan->mesh, index), extent = plan->ir->ops.at[number]->extent[index];
    if (parts == 1 || !fuse_index_is_ordered(plan, number, index)) {
        int halves = partition->zigzag == index + 1 ? FUSE_LAYOUT_HALVES : 1;
        return (extent + halves * parts - 1) / (halves * parts) * halves;
    }
    int64_t block, n = extreme(plan, number, partition, index, fuse_chunks_largest, &block);
    return fuse_sat_mul(n, block) < extent ? n * block : extent;
}

bool fuse_index_has_no_empty_part(const struct fuse_plan *plan, int number, const struct fuse_layout *partition,
                                  int index) {
    int64_t parts = fuse_layout_parts(partition, &plan->mesh, index), block;
    if (parts == 1 || !fuse_index_is_ordered(plan, number, index))
        return fuse_layout_chunks(partition, &plan->mesh, index) <= plan->ir->ops.at[number]->extent[index];
    return extreme(plan, number, partition, index, fuse_chunks_smallest, &block) > 0;
}

int64_t fuse_sum_node(const struct fuse_plan *plan, int number, const struct fuse_layout *partition, int dim,
                      const int *coordinate) {
    int index = partition->axis[dim], at_level[FUSE_MESH_MAX], levels;
    int64_t block, lo = 0, hi = shared_leaves(plan, number, index, &block);
    levels_of(at_level, &levels, plan, partition, index);
    for (int l = 0; l < levels && at_level[l] != dim; l++)
        fuse_chunks_part(&lo, &hi, plan->mesh.dim[at_level[l]], coordinate[at_level[l]]);
    return hi - lo;
}

int fuse_ordered_words(int64_t *word, int n, const struct fuse_plan *plan, int number) {
    if (plan->request.chunk == 0)
        return n;
    word[n++] = fuse_sum_is_ordered(plan, number);
    word[n++] = projected(plan, plan->ir->ops.at[number]);
    word[n++] = plan->ir->ops.at[number]->kind;
    return n;
}
