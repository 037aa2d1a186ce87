/* Partitions of iteration spaces, and the layouts that follow from them. */
#include "plan/ordered.h"
#include "plan/search.h"

#define EXHAUSTIVE_LIMIT 256 /* 8 ranks (2 2 2) with up to 5 indices, 16 with 3, 32 with 2 */
#define RUN_INDICES 4        /* indices that a large mesh is dealt to: the longest ones */

struct fuse_layout fuse_plan_project(const struct fuse_plan *plan, int number, int input,
                                     const struct fuse_layout *partition) {
    const struct fuse_use *use = &plan->ir->ops.at[number]->input[input];
    struct fuse_layout layout = fuse_layout_replicated();
    for (int level = 0; level < plan->mesh.dims; level++)
        for (int d = 0; d < plan->mesh.dims; d++) {
            if (partition->axis[d] < 0 || partition->level[d] != level)
                continue;
            for (int a = 0; a < use->access.rank; a++)
                if (use->access.at[a].index == partition->axis[d]) {
                    fuse_layout_split(&layout, &plan->mesh, d, a);
                    break; /* a diagonal: its first axis */
                }
        }
    return layout;
}

struct fuse_layout fuse_plan_natural(const struct fuse_plan *plan, int number, const struct fuse_layout *partition) {
    const struct fuse_op *op = plan->ir->ops.at[number];
    int rank = plan->ir->values.at[op->out].rank;
    struct fuse_layout layout = fuse_layout_replicated();
    for (int level = 0; level < plan->mesh.dims; level++)
        for (int d = 0; d < plan->mesh.dims; d++) {
            if (partition->axis[d] < 0 || partition->level[d] != level)
                continue;
            layout.axis[d] = FUSE_PARTIAL;
            for (int a = 0; a < rank; a++)
                if (op->out_index[a] == partition->axis[d]) {
                    fuse_layout_split(&layout, &plan->mesh, d, a);
                    layout.zigzag = partition->zigzag == op->out_index[a] + 1 ? (int8_t)(a + 1) : layout.zigzag;
                }
        }
    return layout;
}

/* Indices worth splitting, longest first; not `except`. */
static int split_indices(int index[FUSE_MAX_AXES], const struct fuse_plan *plan, const struct fuse_op *op, int except) {
    int n = 0, key = -1, depth = -1;
    if (op->kind == FUSE_OP_ATTENTION)
        fuse_attention_indices(plan->ir, op, &key, &depth);
    for (int i = 0; i < op->indices; i++)
        if (op->extent[i] > 1 && i != except && i != key && i != depth) {
            int at = n++;
            for (; at > 0 && op->extent[index[at - 1]] < op->extent[i]; at--)
                index[at] = index[at - 1];
            index[at] = i;
        }
    return n;
}

static bool fits(const struct fuse_plan *plan, int number, const struct fuse_layout *layout) {
    for (int i = 0; i < plan->ir->ops.at[number]->indices; i++)
        if (fuse_layout_parts(layout, &plan->mesh, i) > fuse_index_units(plan, number, i))
            return false;
    return true;
}

struct dealing {
    const struct fuse_plan *plan;
    int number; /* of the operation */
    const struct fuse_op *op;
    struct fuse_layout base; /* has the first `taken` dimensions */
    int taken, limit, count;
    struct fuse_layout *out;
};

/* Deals the mesh dimensions, outermost first, to the indices in the order of `order`: run[k] dimensions each. */
static struct fuse_layout deal(const struct dealing *x, const int *order, const int *run, int n) {
    struct fuse_layout layout = x->base;
    int d = x->taken;
    for (int k = 0; k < n; k++)
        for (int j = 0; j < run[k]; j++)
            layout.axis[d] = (int8_t)order[k], layout.level[d++] = (int8_t)j;
    return layout;
}

/* Every way to deal `left` dimensions to order[k .. n) in runs of at least one that the extents allow. The indices that
 * get none come last in increasing order, so that no layout is made twice. */
static void compositions(struct dealing *x, const int *order, int *run, int k, int n, int left) {
    if (left == 0) {
        for (int j = k; j < n; j++)
            if (j > k && order[j] < order[j - 1])
                return;
        if (x->count < x->limit)
            x->out[x->count++] = deal(x, order, run, k);
        return;
    }
    for (int taken = left; k < n && taken > 0; taken--) {
        int d = x->plan->mesh.dims - left;
        int64_t parts = 1;
        for (int j = 0; j < taken; j++)
            parts *= x->plan->mesh.dim[d + j];
        if (parts > fuse_index_units(x->plan, x->number, order[k]))
            continue;
        run[k] = taken;
        compositions(x, order, run, k + 1, n, left - taken);
    }
}

static void orders(struct dealing *x, int *order, int k, int n) {
    if (k == n) {
        int run[FUSE_MAX_AXES];
        compositions(x, order, run, 0, n, x->plan->mesh.dims - x->taken);
        return;
    }
    for (int j = k; j < n; j++) {
        int t = order[k];
        order[k] = order[j];
        order[j] = t;
        orders(x, order, k + 1, n);
        order[j] = order[k];
        order[k] = t;
    }
}

/* Same grid: every index is cut into as many parts. */
static bool is_known_grid(const struct dealing *x, const struct fuse_layout *layout) {
    for (int c = 0; c < x->count; c++) {
        bool same = true;
        for (int i = 0; i < x->op->indices && same; i++)
            same = fuse_layout_parts(layout, &x->plan->mesh, i) == fuse_layout_parts(&x->out[c], &x->plan->mesh, i);
        if (same)
            return true;
    }
    return false;
}

/* Runs of neighbours do not make every grid of a mesh of different primes: deals dimensions d .. one by one, equal ones to
 * the indices in increasing order of k, so that each grid comes once; those that runs made are left out. */
static void add_grids(struct dealing *x, const int *order, int n, struct fuse_layout layout, int d, int k) {
    if (d == x->plan->mesh.dims) {
        if (x->count < x->limit && !is_known_grid(x, &layout))
            x->out[x->count++] = layout;
        return;
    }
    bool is_new_prime = d == x->taken || x->plan->mesh.dim[d] != x->plan->mesh.dim[d - 1];
    for (k = is_new_prime ? 0 : k; k < n; k++) {
        struct fuse_layout longer = layout;
        fuse_layout_split(&longer, &x->plan->mesh, d, order[k]);
        if (fuse_layout_parts(&longer, &x->plan->mesh, order[k]) <= fuse_index_units(x->plan, x->number, order[k]))
            add_grids(x, order, n, longer, d + 1, k);
    }
}

/* All partitions of a chain's member have the same outermost dimensions on its slab index. */
static struct fuse_layout chain_base(const struct fuse_plan *plan, int number, int *taken) {
    struct fuse_layout layout = fuse_layout_replicated();
    *taken = plan->chain[number] >= 0 ? plan->chains.at[plan->chain[number]].dims : 0;
    for (int d = 0; d < *taken; d++)
        fuse_layout_split(&layout, &plan->mesh, d, plan->slab_index[number]);
    return layout;
}

static int list_blocks(struct fuse_layout *out, int limit, const struct fuse_plan *plan, int number) {
    const struct fuse_op *op = plan->ir->ops.at[number];
    struct fuse_layout base;
    int index[FUSE_MAX_AXES], n = split_indices(index, plan, op, plan->slab_index[number]), count = 0, taken;
    base = chain_base(plan, number, &taken);
    int dims = plan->mesh.dims - taken;
    out[count++] = base;
    if (n == 0 || dims == 0)
        return count;
    int64_t ways = 1;
    for (int d = 0; d < dims && ways <= EXHAUSTIVE_LIMIT; d++)
        ways *= n + 1;
    if (ways <= EXHAUSTIVE_LIMIT) {
        for (int64_t w = 1; w < ways && count < limit; w++) {
            struct fuse_layout layout = base;
            int64_t rest = w;
            for (int d = taken; d < plan->mesh.dims; d++, rest /= n + 1)
                if (rest % (n + 1) > 0)
                    fuse_layout_split(&layout, &plan->mesh, d, index[rest % (n + 1) - 1]);
            if (fits(plan, number, &layout))
                out[count++] = layout;
        }
        return count;
    }
    if (n > RUN_INDICES)
        n = RUN_INDICES;
    int order[FUSE_MAX_AXES];
    for (int k = 0; k < n; k++)
        order[k] = index[k];
    struct dealing deal = {.plan = plan,
                           .number = number,
                           .op = op,
                           .base = base,
                           .taken = taken,
                           .out = out,
                           .limit = limit,
                           .count = count};
    orders(&deal, order, 0, n);
    if (plan->mesh.dim[taken] != plan->mesh.dim[plan->mesh.dims - 1])
        add_grids(&deal, order, n, base, taken, 0);
    count = deal.count;
    if (count == 1) {
        /* No index is long enough for all dimensions together: use as many as fit, longest index first. */
        struct fuse_layout layout = base;
        for (int d = taken; d < plan->mesh.dims; d++)
            for (int k = 0; k < n; k++) {
                struct fuse_layout longer = layout;
                fuse_layout_split(&longer, &plan->mesh, d, index[k]);
                if (fits(plan, number, &longer)) {
                    layout = longer;
                    break;
                }
            }
        out[count++] = layout;
    }
    return count;
}

/* Causal work along an index that is split may be dealt in zigzag too. */
static int add_zigzags(struct fuse_layout *out, int count, int limit, const struct fuse_plan *plan, int number) {
    const struct fuse_op *op = plan->ir->ops.at[number];
    int64_t shift;
    int row = fuse_attention_row(plan->ir, op, &shift), n = count;
    for (int i = 0; row >= 0 && plan->chain[number] < 0 && i < count && n < limit; i++) {
        int64_t parts = fuse_layout_parts(&out[i], &plan->mesh, row);
        if (parts == 1 || 2 * parts > op->extent[row])
            continue;
        out[n] = out[i];
        out[n++].zigzag = (int8_t)(row + 1);
    }
    return n;
}

/* A sum over ranks of several nodes is added up within them first, which leaves parts of a tensor in another order than that of the
 * mesh: what maps make of it may lie likewise. */
static int add_inner_first(struct fuse_layout *out, int count, int limit, const struct fuse_plan *plan, int number) {
    const struct fuse_op *op = plan->ir->ops.at[number];
    const int dims = plan->mesh.dims, inner = fuse_mesh_node_dim(&plan->mesh, plan->request.machine.ranks_per_node);
    int n = count;
    if (inner == 0 || inner == dims || op->kind != FUSE_OP_MAP || op->reduce != FUSE_REDUCE_NONE ||
        plan->chain[number] >= 0)
        return count;
    for (int i = 0; i < count && n < limit; i++) {
        struct fuse_layout layout = fuse_layout_replicated();
        for (int k = 0; k < dims; k++) {
            const int d = (inner + k) % dims;
            if (out[i].axis[d] >= 0)
                fuse_layout_split(&layout, &plan->mesh, d, out[i].axis[d]);
        }
        if (!fuse_layout_equal(&layout, &out[i]))
            out[n++] = layout;
    }
    return n;
}

int fuse_plan_partitions(struct fuse_layout *out, int limit, const struct fuse_plan *plan, int number) {
    const int blocks = list_blocks(out, limit, plan, number);
    return add_zigzags(out, add_inner_first(out, blocks, limit, plan, number), limit, plan, number);
}

int fuse_plan_recursion_end(const struct fuse_plan *plan, int position) {
    int recursion = plan->recursion[plan->order[position]];
    while (position + 1 < plan->ir->ops.n && plan->recursion[plan->order[position + 1]] == recursion)
        position++;
    return position;
}

/* What a recursion does not make is there from its begin to its end, and what it carries is what it ends with. */
static void extend_over_turns(const struct fuse_plan *plan, int *first, int *last, int begin, int end) {
    const struct fuse_ir *ir = plan->ir;
    for (int at = begin; at <= end; at++) {
        const struct fuse_op *op = ir->ops.at[plan->order[at]];
        for (int k = 0; k < op->inputs; k++) {
            int v = op->input[k].value, maker = ir->values.at[v].op;
            if (plan->recursion[maker] == plan->recursion[plan->order[at]] && ir->ops.at[maker]->kind != FUSE_OP_CARRY)
                continue;
            first[v] = first[v] > begin ? begin : first[v];
            last[v] = last[v] < end ? end : last[v];
        }
        if (op->kind == FUSE_OP_FIXPOINT && last[op->out] > last[op->input[0].value])
            last[op->input[0].value] = last[op->out];
    }
}

void fuse_plan_lifetime(const struct fuse_plan *plan, int *first, int *last) {
    const struct fuse_ir *ir = plan->ir;
    for (int v = 0; v < ir->values.n; v++) {
        first[v] = ir->ops.n;
        last[v] = plan->position[ir->values.at[v].op];
    }
    for (int o = 0; o < ir->ops.n; o++)
        for (int k = 0; k < ir->ops.at[o]->inputs; k++) {
            int v = ir->ops.at[o]->input[k].value, at = plan->position[o];
            first[v] = at < first[v] ? at : first[v];
            last[v] = at > last[v] ? at : last[v];
        }
    for (int v = 0; v < ir->values.n; v++)
        if (first[v] == ir->ops.n)
            first[v] = plan->position[ir->values.at[v].op];
    for (int at = 0; at < ir->ops.n; at++)
        if (plan->recursion[plan->order[at]] >= 0) {
            int end = fuse_plan_recursion_end(plan, at);
            extend_over_turns(plan, first, last, at, end);
            at = end;
        }
}

void fuse_plan_list_users(const struct fuse_plan *plan, int **begins, int **users) {
    const struct fuse_ir *ir = plan->ir;
    int uses = 0;
    for (int o = 0; o < ir->ops.n; o++)
        uses += ir->ops.at[o]->inputs;
    int *user = *users = FUSE_NEW_ARRAY(plan->arena, int, uses + 1);
    int *user_begin = *begins = FUSE_NEW_ARRAY(plan->arena, int, ir->values.n + 2);
    for (int o = 0; o < ir->ops.n; o++)
        for (int k = 0; k < ir->ops.at[o]->inputs; k++)
            user_begin[ir->ops.at[o]->input[k].value + 2]++;
    for (int v = 0; v < ir->values.n; v++)
        user_begin[v + 2] += user_begin[v + 1];
    for (int o = 0; o < ir->ops.n; o++)
        for (int k = 0; k < ir->ops.at[o]->inputs; k++) {
            /* an operation that reads a value twice is listed once */
            int v = ir->ops.at[o]->input[k].value;
            bool again = false;
            for (int j = 0; j < k; j++)
                again |= ir->ops.at[o]->input[j].value == v;
            user[user_begin[v + 1]++] = again ? -1 : o;
        }
    /* close the gaps */
    int at = 0, begin = 0;
    for (int v = 0; v < ir->values.n; v++) {
        int end = user_begin[v + 1];
        user_begin[v] = at;
        for (int u = begin; u < end; u++)
            if (user[u] >= 0)
                user[at++] = user[u];
        begin = end;
    }
    user_begin[ir->values.n] = at;
}
