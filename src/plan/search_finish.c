/* How results are finished: partial sums added up, scattered or everywhere, and moved to where they are to lie. */
#include "plan/search_internal.h"

#include "plan/memo.h"
#include "plan/ordered.h"

#include <string.h>

/* Time to reduce one partial dimension onto an axis (or, with axis -1, everywhere); changes *reduced. */
static int64_t reduce_dim_ps(const struct fuse_search *s, int value, struct fuse_layout *reduced, int dim, int axis) {
    const struct fuse_mesh *mesh = &s->plan->mesh;
    int64_t turns = s->plan->slab_axis[value] < 0 ? 1 : fuse_search_turns_of(s, s->plan->ir->values.at[value].op);
    if (axis >= 0)
        fuse_layout_split(reduced, mesh, dim, axis);
    else
        reduced->axis[dim] = FUSE_REPLICATED;
    int64_t bytes = fuse_sat_mul(fuse_cost_block_bytes(s->plan, value, reduced), mesh->dim[dim] - 1);
    int inner = fuse_mesh_node_dim(mesh, s->plan->request.machine.ranks_per_node);
    struct fuse_traffic in = {bytes, mesh->dim[dim] - 1, dim < inner ? bytes : 0};
    return fuse_search_exchange_ps(s, in, 2 * bytes, turns); /* and combined */
}

/* The same for all partial dimensions of `natural`; sets *reduced. The dimensions from `first` on come before the others: what is
 * scattered among the ranks of a node first is less between nodes. */
static int64_t reduce_ps(const struct fuse_search *s, int value, const struct fuse_layout *natural, int axis, int first,
                         struct fuse_layout *reduced) {
    int64_t time = 0;
    int dims = s->plan->mesh.dims;
    *reduced = *natural;
    bool is_ordered = fuse_sum_is_ordered(s->plan, s->plan->ir->values.at[value].op);
    for (int i = 0; i < dims; i++) {
        int d = is_ordered ? dims - 1 - i : (i + first) % dims; /* a sum's tree is joined from the innermost on */
        if (natural->axis[d] == FUSE_PARTIAL)
            time = fuse_sat_add(time, reduce_dim_ps(s, value, reduced, d, axis));
    }
    return time;
}

#define MAX_OPTIONS (4 * FUSE_MAX_AXES + 8)

/* Every partial dimension goes to the axis on which the largest piece stays smallest: 39 x 39 in 9 parts are 13 x 13, and not
 * 5 x 39. In the order of fuse_build_finish, outer levels first, and in each level those within nodes. */
static int64_t reduce_evenly_ps(const struct fuse_search *s, int value, const struct fuse_layout *natural,
                                int slab_axis, struct fuse_layout *reduced) {
    const struct fuse_mesh *mesh = &s->plan->mesh;
    const int inner = fuse_mesh_node_dim(mesh, s->plan->request.machine.ranks_per_node);
    struct fuse_layout even = *natural;
    for (int i = 0; i < mesh->dims; i++) {
        const int d = (inner + i) % mesh->dims;
        int64_t least = INT64_MAX;
        struct fuse_layout best = even;
        if (natural->axis[d] != FUSE_PARTIAL)
            continue;
        for (int a = 0; a < s->plan->ir->values.at[value].rank; a++) {
            struct fuse_layout next = even;
            if (a == slab_axis)
                continue;
            fuse_layout_split(&next, mesh, d, a);
            int64_t bytes = fuse_cost_block_bytes(s->plan, value, &next);
            if (bytes < least) {
                least = bytes;
                best = next;
            }
        }
        even = best;
    }
    int64_t time = 0;
    *reduced = *natural;
    for (int level = 0; level < mesh->dims; level++)
        for (int i = 0; i < mesh->dims; i++) {
            const int d = (inner + i) % mesh->dims;
            if (reduced->axis[d] == FUSE_PARTIAL && even.level[d] <= level)
                time = fuse_sat_add(time, reduce_dim_ps(s, value, reduced, d, even.axis[d]));
        }
    return time;
}

/* However it is reduced, a pinned value ends in its layout; its partials may also be reduced straight to where that has
 * them. */
static int finish_pinned(const struct fuse_search *s, int value, const struct fuse_layout *natural,
                         struct fuse_search_option out[MAX_OPTIONS], int n) {
    const struct fuse_mesh *mesh = &s->plan->mesh;
    const struct fuse_layout *pinned = &s->plan->layout[value];
    struct fuse_layout reduced = *natural;
    bool partial = false, fits = true, is_ordered = fuse_sum_is_ordered(s->plan, s->plan->ir->values.at[value].op);
    int64_t time = 0;
    for (int d = 0; d < mesh->dims; d++) {
        if (natural->axis[d] != FUSE_PARTIAL)
            continue;
        fits &= !partial || !is_ordered; /* inner dimensions come first there, which the layout may not allow */
        partial = true;
        time = fuse_sat_add(time, reduce_dim_ps(s, value, &reduced, d, pinned->axis[d]));
    }
    if (partial && fits)
        out[n++] = (struct fuse_search_option){reduced, *pinned, time, 0};
    for (int i = 0; i < n; i++)
        out[i].final = *pinned;
    return n;
}

/* The ways to finish an output: its partials scattered on one axis, or gathered everywhere; a small one also replicated.
 * What a chain makes slab by slab stays split along the slabs as it is. */
static int finish_options(const struct fuse_search *s, int value, const struct fuse_layout *natural,
                          struct fuse_search_option out[MAX_OPTIONS]) {
    const struct fuse_plan *plan = s->plan;
    const struct fuse_value *v = &plan->ir->values.at[value];
    int slab_axis = plan->slab_axis[value];
    int64_t turns = slab_axis < 0 ? 1 : fuse_search_turns_of(s, v->op);
    struct fuse_layout everywhere = *natural, block = *natural;
    int partial = 0, n = 0, inner = fuse_mesh_node_dim(&plan->mesh, plan->request.machine.ranks_per_node);
    for (int d = 0; d < plan->mesh.dims; d++)
        if (natural->axis[d] == FUSE_PARTIAL) {
            everywhere.axis[d] = FUSE_REPLICATED;
            partial++;
        }
    block.zigzag = 0; /* which no tensor stays in */
    if (partial == 0) {
        out[n++] = (struct fuse_search_option){*natural, block, 0, 0};
    } else {
        /* One all-reduce by halves of the mesh, or a reduce-scatter and an all-gather: fewer messages, or fewer bytes. */
        if (v->rank - (slab_axis >= 0) == 0 || (slab_axis < 0 && fuse_search_is_small(s, value)) ||
            fuse_cost_block_bytes(plan, value, natural) / turns <= FUSE_PLAN_TINY_BYTES) {
            out[n].time_ps = reduce_ps(s, value, natural, -1, 0, &out[n].reduced);
            out[n++].final = everywhere;
        }
        int longest = -1;
        for (int a = 0; a < v->rank; a++)
            if (a != slab_axis && (longest < 0 || v->extent[a] > v->extent[longest]))
                longest = a;
        for (int a = 0; a < v->rank; a++) {
            if (a == slab_axis || (v->extent[a] <= 1 && a != longest))
                continue;
            for (int first = 0; first <= inner; first += inner) {
                out[n].time_ps = reduce_ps(s, value, natural, a, first, &out[n].reduced);
                out[n].final = out[n].reduced;
                n++;
                if (inner == 0 || inner == plan->mesh.dims)
                    break;
            }
        }
        if (partial > 1 && v->rank - (slab_axis >= 0) > 1 && !fuse_sum_is_ordered(plan, v->op)) {
            out[n].time_ps = reduce_evenly_ps(s, value, natural, slab_axis, &out[n].reduced);
            out[n].final = out[n].reduced;
            bool is_fastest = true;
            for (int i = 0; i < n; i++)
                is_fastest &= out[n].time_ps < out[i].time_ps;
            n += is_fastest;
        }
    }
    if (v->pin > 0)
        n = finish_pinned(s, value, natural, out, n);
    for (int i = 0, fewest = n; i < fewest && fuse_search_is_small(s, value) && slab_axis < 0; i++)
        out[n++] = (struct fuse_search_option){out[i].reduced, fuse_layout_replicated(), out[i].time_ps, 0};
    for (int i = 0; i < n; i++) {
        out[i].final_bytes = fuse_search_block_bytes(s, value, &out[i].final);
        if (!fuse_layout_equal(&out[i].reduced, &out[i].final)) {
            struct fuse_traffic received =
                fuse_cost_relayout(plan, value, &out[i].reduced, &out[i].final, turns == 1).all;
            int64_t copied = fuse_cost_block_bytes(plan, value, &out[i].final);
            out[i].time_ps = fuse_sat_add(out[i].time_ps, fuse_search_exchange_ps(s, received, copied, turns));
        }
    }
    return n;
}

const struct fuse_search_finish *fuse_search_finish_of(const struct fuse_search *s, int value,
                                                       const struct fuse_layout *natural) {
    bool is_there;
    struct fuse_search_option option[MAX_OPTIONS];
    int64_t *result = fuse_memo_find(s->memo, &is_there, s->finish_class[value], natural, NULL);
    if (!is_there) {
        int n = finish_options(s, value, natural, option);
        struct fuse_search_finish *made = fuse_arena_alloc(s->plan->arena, sizeof *made + (size_t)n * sizeof *option);
        made->natural_bytes = fuse_search_block_bytes(s, value, natural);
        made->options = n;
        memcpy(made->option, option, (size_t)n * sizeof *option);
        memcpy(result, &made, sizeof made);
    }
    const struct fuse_search_finish *finish;
    memcpy(&finish, result, sizeof finish);
    return finish;
}

const struct fuse_search_finish *fuse_search_finish_at(struct fuse_search *s, int op, int at) {
    const struct fuse_search_space *space = fuse_search_space_of(s, op);
    const int out = s->plan->ir->ops.at[op]->out;
    if (space->finish_class != s->finish_class[out])
        return fuse_search_finish_of(s, out, &space->natural[at]);
    if (!space->finish[at])
        space->finish[at] = fuse_search_finish_of(s, out, &space->natural[at]);
    return space->finish[at];
}
