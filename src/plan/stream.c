#include "plan/stream.h"

#define RUN_BYTES ((int64_t)64 << 10) /* the shortest contiguous run of a file that is worth a read or a write */

static int slowest_axis(const struct fuse_plan *plan, int value, bool reversed) {
    const struct fuse_value *v = &plan->ir->values.at[value];
    for (int i = 0; i < v->rank; i++) {
        int a = reversed ? v->rank - 1 - i : i;
        if (v->extent[a] > 1)
            return a;
    }
    return reversed ? v->rank - 1 : 0;
}

bool fuse_stream_is_slowest(const struct fuse_plan *plan, int value, int axis, bool reversed) {
    return axis == slowest_axis(plan, value, reversed);
}

/* Bytes of the file at one position of the axis and of all that are slower. */
static int64_t inner_bytes(const struct fuse_plan *plan, int value, int axis, bool reversed) {
    const struct fuse_value *v = &plan->ir->values.at[value];
    int64_t bytes = (int64_t)fuse_dtype_bytes(v->dtype);
    for (int a = reversed ? 0 : axis + 1; a < (reversed ? axis : v->rank); a++)
        bytes = fuse_sat_mul(bytes, v->extent[a]);
    return bytes;
}

/* Tests make files of small units. */
static int64_t run_bytes(const struct fuse_plan *plan) {
    return plan->request.file_unit_bytes < RUN_BYTES ? plan->request.file_unit_bytes : RUN_BYTES;
}

int64_t fuse_stream_most_turns(const struct fuse_plan *plan, int value, int axis, bool reversed, int64_t parts) {
    if (fuse_stream_is_slowest(plan, value, axis, reversed))
        return INT64_MAX;
    int64_t inner = inner_bytes(plan, value, axis, reversed), wanted = run_bytes(plan);
    int64_t positions = inner >= wanted ? 1 : (wanted + inner - 1) / inner; /* of a run; inner > 0: nothing is empty */
    int64_t turns = plan->ir->values.at[value].extent[axis] / parts / positions;
    return turns > 1 ? turns : 1;
}

bool fuse_stream_is_possible(const struct fuse_plan *plan, int value, int axis, bool reversed) {
    const struct fuse_value *v = &plan->ir->values.at[value];
    return v->extent[axis] > 1 && fuse_value_elems(v) > 0 && fuse_stream_most_turns(plan, value, axis, reversed, 1) > 1;
}

struct fuse_holding fuse_stream_slab(const struct fuse_plan *plan, int value, int axis, bool reversed, int chain,
                                     int loop) {
    struct fuse_holding slab = {.kind = FUSE_HOLDING_LAYOUT,
                                .value = value,
                                .layout = fuse_layout_replicated(),
                                .reversed = reversed,
                                .loop = loop,
                                .cut = axis};
    for (int d = 0; d < plan->chains.at[chain].dims; d++)
        fuse_layout_split(&slab.layout, &plan->mesh, d, axis);
    if (plan->chains.at[chain].dims < plan->mesh.dims)
        slab.dealt = 1 + slowest_axis(plan, value, reversed);
    return slab;
}

int fuse_stream_axis(const struct fuse_plan *plan, int chain, int value) {
    for (int i = 0; i < plan->streams.n; i++)
        if (plan->streams.at[i].chain == chain && plan->streams.at[i].value == value)
            return plan->streams.at[i].axis;
    return -1;
}
