/* How files lie in the ranks that read and write them. */
#include "plan/cost.h"

struct fuse_holding fuse_cost_file_ranges(const struct fuse_plan *plan, int value, bool reversed) {
    int64_t bytes = fuse_value_bytes(&plan->ir->values.at[value]), unit = plan->request.file_unit_bytes;
    int64_t size = (int64_t)fuse_dtype_bytes(plan->ir->values.at[value].dtype);
    int64_t units = bytes / unit + (bytes % unit > 0), ranks = plan->mesh.ranks;
    return (struct fuse_holding){.kind = FUSE_HOLDING_RANGES,
                                 .value = value,
                                 .layout = fuse_layout_replicated(),
                                 .aggregators = (int)(units < 1       ? 1
                                                      : units < ranks ? units
                                                                      : ranks),
                                 .align_elems = unit > size ? unit / size : 1,
                                 .reversed = reversed,
                                 .loop = -1};
}

bool fuse_cost_file_direct(const struct fuse_plan *plan, int number, const struct fuse_layout *layout, bool reversed) {
    const struct fuse_value *value = &plan->ir->values.at[number];
    if (fuse_layout_parts(layout, &plan->mesh, FUSE_REPLICATED) > 1)
        return false;
    int64_t run = (int64_t)fuse_dtype_bytes(value->dtype);
    bool split_seen = false, one_run = true;
    for (int i = 0; i < value->rank; i++) {
        int a = reversed ? i : value->rank - 1 - i; /* from the fastest axis on */
        int64_t parts = fuse_layout_parts(layout, &plan->mesh, a);
        if (split_seen) {
            /* Behind a split axis the block is one run only if no slower axis has more than one position. */
            one_run &= value->extent[a] <= 1 || (value->extent[a] + parts - 1) / parts <= 1;
        } else {
            run = fuse_sat_mul(run, value->extent[a] / parts);
            split_seen = parts > 1;
        }
    }
    return one_run || run >= 64 * 1024;
}
