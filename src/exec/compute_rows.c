/* Maps that follow each other and walk the same rows, such as those of a softmax or a norm, run a block of rows at a time: what
 * one has read or made is still in the cache when the next one reads it. The kernels are those of the whole, on parts of it. A
 * back end that takes such maps in one call cuts the blocks itself. So do a matrix product and the contraction that weighs what
 * it makes and sums it within its rows, as in an MTTKRP. */
#include "exec/internal.h"

#define BLOCK_BYTES ((int64_t)1 << 20) /* of a thread, what is read and what is made */
#define WORTH_BYTES ((int64_t)8 << 20) /* smaller operands stay in a cache anyway */
#define FEWEST_BLOCKS 4
#define FEWEST_ROWS 32
#define LONG_ROW 16384 /* points */
#define FEWEST_PRODUCT_ROWS 1024

bool fuse_exec_overlap(const struct fuse_exec *exec, int a, int b) {
    const char *at_a = fuse_exec_data(exec, a), *at_b = fuse_exec_data(exec, b);
    return at_a < at_b + exec->plan->buffers.at[b].bytes && at_b < at_a + exec->plan->buffers.at[a].bytes;
}

static bool is_plain(const struct fuse_access_axis *at, int index) {
    return at->index == index && at->stride == 1 && at->offset == 0 && !fuse_access_is_paired(at);
}

/* Row r of either buffer lies where row r of the other one does. */
static bool rows_coincide(const struct fuse_exec *exec, int a, int b) {
    struct fuse_box x, y;
    const struct fuse_buffer *p = &exec->plan->buffers.at[a], *q = &exec->plan->buffers.at[b];
    bool same = fuse_exec_data(exec, a) == fuse_exec_data(exec, b) && fuse_exec_box(exec, a, &x) &&
                fuse_exec_box(exec, b, &y) && x.rank == y.rank && !p->holding.reversed && !q->holding.reversed &&
                fuse_dtype_bytes(p->dtype) == fuse_dtype_bytes(q->dtype);
    for (int i = 0; same && i < x.rank; i++)
        same = x.hi[i] - x.lo[i] == y.hi[i] - y.lo[i];
    return same;
}

/* Writing a block of the result of `later` spoils nothing that the steps before it need for other blocks. */
static bool may_write_early(const struct fuse_exec *exec, const struct fuse_exec_member *before,
                            const struct fuse_exec_member *later) {
    const int out = later->step->to;
    if (fuse_exec_overlap(exec, out, before->step->to) && !rows_coincide(exec, before->step->to, later->step->to))
        return false;
    for (int k = 0; k < before->op->inputs; k++) {
        int in = fuse_exec_reads(exec, before->step->in[k]);
        const struct fuse_access *access = &before->op->input[k].access;
        if (fuse_exec_overlap(exec, out, in) &&
            (access->rank == 0 || !is_plain(&access->at[0], before->row) || !rows_coincide(exec, in, later->step->to)))
            return false;
    }
    return true;
}

static bool reads_index(const struct fuse_access *access, int index) {
    for (int a = 0; a < access->rank; a++)
        if (access->at[a].index == index)
            return true;
    return false;
}

static bool is_product(const struct fuse_exec_member *member) {
    return member->step->kind == FUSE_STEP_CONTRACT;
}

/* The contraction has no points but those of what the product makes, and no maps of its own to take along. */
static bool weighs(const struct fuse_exec *exec, const struct fuse_step *step, const struct fuse_exec_member *product) {
    const struct fuse_op *op = exec->plan->ir->ops.at[step->op];
    struct fuse_exec_member then[FUSE_CONTRACT_MAPS];
    bool covers = false;
    for (int k = 0; k < op->inputs; k++) {
        uint32_t seen = 0;
        for (int a = 0; a < op->input[k].access.rank; a++)
            if (op->input[k].access.at[a].index >= 0)
                seen |= UINT32_C(1) << op->input[k].access.at[a].index;
        covers = covers || (op->input[k].value == product->op->out && seen == (UINT32_C(1) << op->indices) - 1);
    }
    return covers && fuse_exec_find_epilogue(then, exec, step, 0) == 0;
}

/* Whether steps of this kind may follow those members: maps follow maps, and one contraction a product, where the back end takes
 * parts of results while they are in a cache. */
static bool may_follow(const struct fuse_exec *exec, const struct fuse_exec_member *member, int n,
                       const struct fuse_step *step) {
    if (step->kind == FUSE_STEP_MAP)
        return n == 0 || !is_product(&member[0]);
    if (step->kind != FUSE_STEP_CONTRACT || !exec->backend->ops->maps || fuse_layout_halves(&step->partition) > 1)
        return false;
    return n == 0 || (n == 1 && is_product(&member[0]) && weighs(exec, step, &member[0]));
}

/* The step as a member behind the first `n`; false when it cannot be one. */
static bool take(struct fuse_exec_member *out, const struct fuse_exec *exec, const struct fuse_exec_member *member,
                 int n, const struct fuse_step *step) {
    const struct fuse_op *op = exec->plan->ir->ops.at[step->op];
    struct fuse_box box;
    if (!may_follow(exec, member, n, step) || step->slices > 1 || op->inputs == 0 ||
        exec->plan->ir->values.at[op->out].rank == 0)
        return false;
    *out = (struct fuse_exec_member){.step = step, .op = op, .row = op->out_index[0]};
    out->iteration = fuse_iteration_box(exec->plan, step->op, &step->partition, step->loop, step->cut, exec->comm->rank,
                                        exec->turn, 0);
    if (step->accumulate || fuse_box_is_empty(&out->iteration) || !fuse_exec_box(exec, step->to, &box))
        return false;
    bool reads_a_member = n == 0;
    for (int k = 0; k < op->inputs; k++)
        for (int m = 0; m < n; m++) {
            if (op->input[k].value != member[m].op->out)
                continue;
            reads_a_member = true;
            if (step->in[k] != member[m].step->to || !is_plain(&op->input[k].access.at[0], out->row))
                return false;
        }
    for (int m = 0; m < n && reads_a_member; m++)
        reads_a_member = may_write_early(exec, &member[m], out);
    return reads_a_member && (n == 0 || (out->iteration.lo[out->row] == member[0].iteration.lo[member[0].row] &&
                                         out->iteration.hi[out->row] == member[0].iteration.hi[member[0].row]));
}

/* Row by row is how the first one reads what it reads. */
static bool goes_by_rows(const struct fuse_exec_member *m) {
    for (int k = 0; k < m->op->inputs; k++) {
        const struct fuse_access *access = &m->op->input[k].access;
        for (int a = 1; a < access->rank; a++)
            if (access->at[a].index == m->row)
                return false;
    }
    return true;
}

/* Blocks that the rows are cut into; 1: that would be no better. Kernels go about long rows, and about few of them, in another
 * way, which would round differently: there are neither here. */
static int64_t count_blocks(const struct fuse_exec *exec, const struct fuse_exec_member *member, int n, bool together) {
    const int64_t rows = member[0].iteration.hi[member[0].row] - member[0].iteration.lo[member[0].row];
    int64_t points = 0;
    for (int m = 0; m < n; m++) {
        int64_t own = fuse_box_elems(&member[m].iteration);
        points = own > points ? own : points;
    }
    /* Threads meet after every kernel, and a block is too little to meet for. */
    if ((exec->request->threads > 1 && !together) || fuse_sat_mul(points, 4) < WORTH_BYTES ||
        points / rows >= LONG_ROW || !goes_by_rows(&member[0]))
        return 1;
    int64_t block = exec->request->threads * BLOCK_BYTES / (8 * (points / rows + 1));
    block = block < FEWEST_ROWS ? FEWEST_ROWS : block;
    return rows >= FEWEST_BLOCKS * block ? rows / block : 1;
}

/* The same of a product and what weighs its result. A block has enough rows of the product to be worth packing its other operand. */
static int64_t count_product_blocks(const struct fuse_exec *exec, const struct fuse_exec_member *member) {
    const struct fuse_exec_member *product = &member[0];
    const int64_t rows = product->iteration.hi[product->row] - product->iteration.lo[product->row],
                  points = fuse_box_elems(&member[1].iteration);
    const size_t size = fuse_dtype_bytes(exec->plan->ir->values.at[product->op->out].dtype);
    if (fuse_sat_mul(points, (int64_t)size) < WORTH_BYTES || !goes_by_rows(product))
        return 1;
    int64_t together = 1; /* of the product's rows in one */
    for (int a = 0; a < product->op->input[0].access.rank; a++) {
        const int index = product->op->input[0].access.at[a].index;
        if (index >= 0 && index != product->row && !reads_index(&product->op->input[1].access, index))
            together *= product->iteration.hi[index] - product->iteration.lo[index];
    }
    int64_t block = exec->request->threads * BLOCK_BYTES / ((int64_t)size * (points / rows + 1));
    block = block < 1 ? 1 : block;
    return fuse_sat_mul(block, together) >= FEWEST_PRODUCT_ROWS && rows >= FEWEST_BLOCKS * block ? rows / block : 1;
}

int fuse_exec_run_rows(struct fuse_exec *exec, const int *region, int regions) {
    const struct fuse_plan *plan = exec->plan;
    struct fuse_exec_member member[FUSE_EXEC_MEMBERS];
    int n = 0;
    if (plan->regions.at[region[0]].kind == FUSE_REGION_STEP && exec->is_ahead[plan->regions.at[region[0]].step])
        return 0;
    for (; n < regions && n < FUSE_EXEC_MEMBERS && exec->status == FUSE_OK; n++) {
        const struct fuse_region *r = &plan->regions.at[region[n]];
        if (r->kind != FUSE_REGION_STEP || !take(&member[n], exec, member, n, &plan->steps.at[r->step]))
            break;
    }
    bool together = n > 1;
    for (int m = 0; m < n; m++)
        together = together && !is_product(&member[m]) && exec->backend->ops->maps &&
                   fuse_exec_may_join_maps(exec, member[m].step);
    const int64_t blocks = n < 2                    ? 1
                           : is_product(&member[0]) ? count_product_blocks(exec, member)
                                                    : count_blocks(exec, member, n, together);
    if (blocks == 1)
        return 0;
    for (int m = 0; m < n; m++) {
        fuse_exec_begin_step(exec, plan->regions.at[region[m]].step);
        if (fuse_exec_kernel_fails(exec))
            return n;
    }
    if (together) {
        fuse_exec_run_maps(exec, member, n);
        return n;
    }
    const int64_t first = member[0].iteration.lo[member[0].row];
    const int64_t rows = member[0].iteration.hi[member[0].row] - first;
    for (int64_t b = 0; b < blocks; b++)
        for (int m = 0; m < n && exec->status == FUSE_OK; m++) {
            struct fuse_box part = member[m].iteration;
            part.lo[member[m].row] = first + fuse_split_begin(rows, blocks, b);
            part.hi[member[m].row] = first + fuse_split_begin(rows, blocks, b + 1);
            fuse_exec_run_kernel(exec, member[m].step, &part);
        }
    return n;
}
