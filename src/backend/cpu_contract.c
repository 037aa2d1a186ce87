#include "backend/cpu_contract.h"

#include "backend/call_check.h"

/* An operand that is laid out anew beside a thread's panels: where, its most bytes, and how much larger the other one is. */
#define ASIDE_AT ((size_t)3 << 19)
#define ASIDE_BYTES (FUSE_CPU_PANELS - ASIDE_AT)
#define ASIDE_RATIO 4

int64_t fuse_group_points(const struct fuse_grouped *g, enum fuse_group group) {
    int64_t points = 1;
    for (int x = 0; x < g->axes[group]; x++)
        points *= g->axis[group][x].extent;
    return points;
}

void fuse_group_dense_last(struct fuse_grouped *g, enum fuse_group group) {
    struct fuse_group_axis *axis = g->axis[group];
    const int n = g->axes[group];
    for (int x = 0; x < n; x++)
        if (axis[x].a == 1) {
            const struct fuse_group_axis dense = axis[x];
            for (; x < n - 1; x++)
                axis[x] = axis[x + 1];
            axis[n - 1] = dense;
        }
}

void fuse_group_swap(struct fuse_grouped *g) {
    struct fuse_grouped old = *g;
    g->a = old.b;
    g->b = old.a;
    g->a_dtype = old.b_dtype;
    g->b_dtype = old.a_dtype;
    for (int group = 0; group < FUSE_GROUPS; group++) {
        int from = group == FUSE_GROUP_M ? FUSE_GROUP_N : group == FUSE_GROUP_N ? FUSE_GROUP_M : group;
        g->axes[group] = old.axes[from];
        for (int x = 0; x < old.axes[from]; x++) {
            g->axis[group][x] = old.axis[from][x];
            g->axis[group][x].a = old.axis[from][x].b;
            g->axis[group][x].b = old.axis[from][x].a;
        }
    }
}

static int64_t size_of(int64_t stride) {
    return stride < 0 ? -stride : stride;
}

/* Outermost first along the result, and along both operands together for summed indices. */
static int64_t sort_key(enum fuse_group group, const struct fuse_group_axis *x) {
    return group == FUSE_GROUP_K ? size_of(x->a) + size_of(x->b) : x->c;
}

static bool fuses(const struct fuse_group_axis *outer, const struct fuse_group_axis *inner) {
    return outer->a == inner->a * inner->extent && outer->b == inner->b * inner->extent &&
           outer->c == inner->c * inner->extent;
}

static void fuse_group_axes(struct fuse_grouped *g, enum fuse_group group) {
    struct fuse_group_axis *axis = g->axis[group];
    int n = g->axes[group], kept = 0;
    for (int i = 1; i < n; i++) {
        struct fuse_group_axis x = axis[i];
        int j = i;
        for (; j > 0 && sort_key(group, &axis[j - 1]) < sort_key(group, &x); j--)
            axis[j] = axis[j - 1];
        axis[j] = x;
    }
    for (int i = 0; i < n; i++) {
        if (kept > 0 && fuses(&axis[kept - 1], &axis[i])) {
            axis[i].extent *= axis[kept - 1].extent;
            axis[kept - 1] = axis[i];
        } else {
            axis[kept++] = axis[i];
        }
    }
    g->axes[group] = kept;
}

/* An index that runs backwards in the result (in a, for a summed one) is turned round. */
static void turn(struct fuse_grouped *g, enum fuse_group group, struct fuse_group_axis *x) {
    int64_t main = group != FUSE_GROUP_K ? x->c : x->a != 0 ? x->a : x->b;
    if (main >= 0)
        return;
    int64_t last = x->extent - 1;
    g->a += last * x->a * (int64_t)fuse_dtype_bytes(g->a_dtype);
    g->b += last * x->b * (int64_t)fuse_dtype_bytes(g->b_dtype);
    g->c += last * x->c * (int64_t)fuse_dtype_bytes(g->type);
    x->a = -x->a;
    x->b = -x->b;
    x->c = -x->c;
}

struct fuse_grouped fuse_group_contract(const struct fuse_contract *call) {
    struct fuse_grouped g = {.type = call->c.dtype,
                             .a_dtype = call->a.dtype,
                             .b_dtype = call->b.dtype,
                             .a = call->a.data,
                             .b = call->b.data,
                             .c = call->c.data,
                             .accumulate = call->accumulate};
    for (int i = 0; i < call->indices; i++) {
        if (call->extent[i] == 1)
            continue;
        struct fuse_group_axis x = {.extent = call->extent[i],
                                    .a = call->in_a >> i & 1 ? call->a.stride[i] : 0,
                                    .b = call->in_b >> i & 1 ? call->b.stride[i] : 0,
                                    .c = call->in_c >> i & 1 ? call->c.stride[i] : 0};
        /* What counts is whether an operand moves along the index: a broadcast operand need not be read again. */
        enum fuse_group group = !(call->in_c >> i & 1) ? FUSE_GROUP_K
                                : x.a != 0 && x.b != 0 ? FUSE_GROUP_BATCH
                                : x.b != 0             ? FUSE_GROUP_N
                                                       : FUSE_GROUP_M;
        turn(&g, group, &x);
        g.axis[group][g.axes[group]++] = x;
    }
    for (int group = 0; group < FUSE_GROUPS; group++)
        fuse_group_axes(&g, (enum fuse_group)group);
    return g;
}

/* As a map: products without a sum, scalar products, and small sums along a dense batch, where a matrix product has no
 * work to share. */
static bool is_elementwise(const struct fuse_grouped *g) {
    int64_t m = fuse_group_points(g, FUSE_GROUP_M), n = fuse_group_points(g, FUSE_GROUP_N),
            k = fuse_group_points(g, FUSE_GROUP_K);
    if (k == 1)
        return true;
    const int batches = g->axes[FUSE_GROUP_BATCH];
    const struct fuse_group_axis *inner = batches > 0 ? &g->axis[FUSE_GROUP_BATCH][batches - 1] : NULL;
    bool dense = inner != NULL && inner->a == 1 && inner->b == 1 && inner->c == 1;
    if (m == 1 && n == 1)
        return g->type != FUSE_I64 || dense;
    return dense && inner->extent >= FUSE_TILE_LANES && (m < 8 || n < 8);
}

static enum fuse_status run_as_map(struct fuse_cpu_backend *cpu, const struct fuse_grouped *g,
                                   struct fuse_cpu_counts *counts, struct fuse_error *err) {
    struct fuse_scalar_node node[] = {
        {.op = FUSE_SCALAR_LOAD, .dtype = g->type, .a = -1, .b = -1, .c = -1, .arg = 0},
        {.op = FUSE_SCALAR_LOAD, .dtype = g->type, .a = -1, .b = -1, .c = -1, .arg = 1},
        {.op = g->type == FUSE_BOOL ? FUSE_SCALAR_AND : FUSE_SCALAR_MUL, .dtype = g->type, .a = 0, .b = 1, .c = -1}};
    const struct fuse_scalar body = {.n = 3, .node = node};
    struct fuse_operand_view operand[2] = {{.data = (void *)g->a, .dtype = g->a_dtype},
                                           {.data = (void *)g->b, .dtype = g->b_dtype}};
    struct fuse_map_call call = {.operands = 2, .operand = operand, .body = &body, .accumulate = g->accumulate};
    call.out = (struct fuse_operand_view){.data = g->c, .dtype = g->type};
    for (int group = 0; group < FUSE_GROUPS; group++)
        for (int i = 0; i < g->axes[group]; i++) {
            const struct fuse_group_axis *x = &g->axis[group][i];
            int at = call.indices++;
            call.extent[at] = x->extent;
            operand[0].stride[at] = x->a;
            operand[1].stride[at] = x->b;
            call.out.stride[at] = x->c;
            if (group != FUSE_GROUP_K)
                call.in_out |= UINT32_C(1) << at;
        }
    bool reduces = g->accumulate || g->axes[FUSE_GROUP_K] > 0;
    call.reduce = !reduces ? FUSE_REDUCE_NONE : g->type == FUSE_BOOL ? FUSE_REDUCE_OR : FUSE_REDUCE_SUM;
    return fuse_cpu_run_map(cpu, &call, counts, err);
}

void fuse_cpu_clear_result(struct fuse_cpu_backend *cpu, const struct fuse_contract *call) {
    struct fuse_view c = {.data = call->c.data, .dtype = call->c.dtype};
    for (int i = 0; i < call->indices; i++)
        if (call->in_c >> i & 1) {
            c.extent[c.rank] = call->extent[i];
            c.stride[c.rank++] = call->c.stride[i];
        }
    fuse_cpu_run_clear(cpu, &c);
}

/* ---- sums of which the operands order the indices differently ---- */

/* Batch indices first, then those of the operand alone, then summed ones: each as the other operand has them. */
static int64_t aside_key(const struct fuse_contract *call, const struct fuse_operand_view *other, uint32_t in_other,
                         int index) {
    const bool shared = in_other >> index & 1, summed = !(call->in_c >> index & 1);
    const int64_t stride = shared ? size_of(other->stride[index]) : 0, most = INT64_MAX / 4;
    return (summed ? 0 : shared ? 2 * most : most) + (stride < most ? stride : most - 1);
}

/* A matrix by a vector, or rows by few rows: other products are packed anyway. */
static bool suits_aside(const struct fuse_tile_table *tile, const struct fuse_grouped *g) {
    const int64_t m = fuse_group_points(g, FUSE_GROUP_M), n = fuse_group_points(g, FUSE_GROUP_N),
                  k = fuse_group_points(g, FUSE_GROUP_K);
    const struct fuse_group_axis *sum = g->axis[FUSE_GROUP_K];
    return m == 1 || n == 1 ||
           (sum->a == 1 && sum->b == 1 && (fuse_suits_dots(tile, m, n, k) || fuse_suits_dots(tile, n, m, k)));
}

/* The call with its smaller operand laid out so that the indices of the sum, which the other one has side by side, are one. false:
 * when that does not make them one, or it is not worth it. */
static bool lay_aside(struct fuse_cpu_backend *cpu, const struct fuse_contract *call, const struct fuse_grouped *g,
                      struct fuse_grouped *out) {
    const int64_t a_points = fuse_points(call->indices, call->extent, call->in_a),
                  b_points = fuse_points(call->indices, call->extent, call->in_b);
    struct fuse_contract laid = *call;
    const bool is_a = a_points < b_points;
    const uint32_t in = is_a ? call->in_a : call->in_b, in_other = is_a ? call->in_b : call->in_a;
    struct fuse_operand_view *operand = is_a ? &laid.a : &laid.b;
    const struct fuse_operand_view *from = is_a ? &call->a : &call->b, *other = is_a ? &call->b : &call->a;
    const int64_t points = is_a ? a_points : b_points, bytes = (int64_t)fuse_dtype_bytes(g->type);
    if (g->axes[FUSE_GROUP_K] < 2 || points * bytes > (int64_t)ASIDE_BYTES ||
        ASIDE_RATIO * points > (is_a ? b_points : a_points))
        return false;
    int order[FUSE_MAX_AXES], n = 0;
    for (int i = 0; i < call->indices; i++)
        if (in >> i & 1) {
            int at = n++;
            for (; at > 0 && aside_key(call, other, in_other, order[at - 1]) < aside_key(call, other, in_other, i);
                 at--)
                order[at] = order[at - 1];
            order[at] = i;
        }
    operand->data = cpu->scratch + ASIDE_AT;
    struct fuse_view to = {.data = operand->data, .dtype = g->type}, view = {.data = from->data, .dtype = g->type};
    int64_t stride = 1;
    for (int x = n - 1; x >= 0; x--) {
        const int i = order[x];
        operand->stride[i] = stride;
        to.extent[to.rank] = view.extent[view.rank] = call->extent[i];
        to.stride[to.rank++] = stride;
        view.stride[view.rank++] = from->stride[i];
        stride *= call->extent[i];
    }
    *out = fuse_group_contract(&laid);
    out->then = g->then;
    if (out->axes[FUSE_GROUP_K] > 1 || !suits_aside(cpu->tile, out))
        return false;
    fuse_cpu_run_copy(cpu, &to, &view, points * bytes);
    return true;
}

static bool run_aside(struct fuse_cpu_backend *cpu, const struct fuse_contract *call, const struct fuse_grouped *g,
                      struct fuse_cpu_counts *counts) {
    struct fuse_grouped laid;
    if ((g->type != FUSE_F32 && g->type != FUSE_F64) || g->a_dtype != g->type || g->b_dtype != g->type ||
        !lay_aside(cpu, call, g, &laid))
        return false;
    const bool direct_first = fuse_cpu_direct_first(cpu, &laid);
    return (direct_first && fuse_cpu_run_direct(cpu, &laid, counts)) || fuse_cpu_run_blocked(cpu, &laid, counts) ||
           (!direct_first && fuse_cpu_run_direct(cpu, &laid, counts));
}

enum fuse_status fuse_cpu_run_contract(struct fuse_cpu_backend *cpu, const struct fuse_contract *call,
                                       struct fuse_epilogue *then, struct fuse_cpu_counts *counts,
                                       struct fuse_error *err) {
    if (fuse_points(call->indices, call->extent, UINT32_MAX) == 0) {
        if (!call->accumulate)
            fuse_cpu_clear_result(cpu, call);
        return FUSE_OK;
    }
    struct fuse_grouped g = fuse_group_contract(call);
    g.then = then;
    if (fuse_group_points(&g, FUSE_GROUP_M) == 1 && fuse_group_points(&g, FUSE_GROUP_N) == 1 &&
        fuse_cpu_run_dots(cpu, &g, counts))
        return FUSE_OK;
    if (is_elementwise(&g))
        return run_as_map(cpu, &g, counts, err);
    if (fuse_cpu_run_narrow(cpu, &g, counts))
        return FUSE_OK;
    if (run_aside(cpu, call, &g, counts))
        return FUSE_OK;
    const bool direct_first = fuse_cpu_direct_first(cpu, &g);
    if (direct_first && fuse_cpu_run_direct(cpu, &g, counts))
        return FUSE_OK;
    if (!fuse_cpu_run_blocked(cpu, &g, counts) && (direct_first || !fuse_cpu_run_direct(cpu, &g, counts)))
        fuse_cpu_run_packed(cpu, &g, counts, NULL);
    return FUSE_OK;
}
