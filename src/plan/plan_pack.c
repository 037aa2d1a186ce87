/* Every field of the structs of plan.h stands here; a test looks for them. */
#include "plan/plan_pack.h"

#include "plan/build.h"
#include "plan/cost.h"
#include "plan/memo.h"

#include <limits.h>

enum { MOST = INT_MAX - 1 };

static void pack_amount(struct fuse_pack *pack, int64_t *amount) {
    fuse_pack_range(pack, amount, 0, INT64_MAX);
}

static void pack_machine(struct fuse_pack *pack, struct fuse_machine *machine) {
#define FUSE_MACHINE(field, standard, meaning) pack_amount(pack, &machine->field);
#include "plan/machine.def"
#undef FUSE_MACHINE
    FUSE_PACK(pack, machine->ranks_per_node, 0, MOST);
    FUSE_PACK(pack, machine->kind, 0, FUSE_MEM_KINDS - 1);
}

void fuse_plan_request_pack(struct fuse_pack *pack, struct fuse_plan_request *request) {
    FUSE_PACK(pack, request->ranks, 1, MOST);
    FUSE_PACK(pack, request->mesh_sizes, 0, FUSE_MESH_MAX);
    for (int d = 0; d < request->mesh_sizes; d++)
        FUSE_PACK(pack, request->mesh_size[d], 1, MOST);
    pack_amount(pack, &request->memory_bytes);
    pack_machine(pack, &request->machine);
    fuse_pack_int64(pack, &request->panels);
    fuse_pack_int64(pack, &request->replicate_below);
    fuse_pack_int64(pack, &request->workspace_bytes);
    fuse_pack_int64(pack, &request->file_unit_bytes);
    fuse_pack_int64(pack, &request->slab_bytes);
    fuse_pack_int64(pack, &request->stream_bytes);
    fuse_pack_range(pack, &request->chunk, 0, FUSE_CHUNK);
    fuse_pack_bool(pack, &request->keeps_stages);
    fuse_pack_bool(pack, &request->perturb);
}

static void pack_mesh(struct fuse_pack *pack, struct fuse_mesh *mesh) {
    FUSE_PACK(pack, mesh->ranks, 1, MOST);
    FUSE_PACK(pack, mesh->used, 1, mesh->ranks);
    FUSE_PACK(pack, mesh->dims, 0, FUSE_MESH_MAX);
    int64_t product = 1;
    for (int d = 0; d < mesh->dims; d++) {
        FUSE_PACK(pack, mesh->dim[d], 2, mesh->ranks);
        product = fuse_sat_mul(product, mesh->dim[d]);
    }
    if (product != mesh->used)
        pack->has_failed = true;
}

static void pack_layout(struct fuse_pack *pack, struct fuse_layout *layout, int dims) {
    if (pack->is_reading)
        *layout = fuse_layout_replicated();
    for (int d = 0; d < dims; d++) {
        FUSE_PACK(pack, layout->axis[d], FUSE_PARTIAL, FUSE_MAX_AXES - 1);
        FUSE_PACK(pack, layout->level[d], 0, FUSE_MESH_MAX);
    }
    FUSE_PACK(pack, layout->zigzag, 0, FUSE_MAX_AXES);
}

static void pack_holding(struct fuse_pack *pack, struct fuse_holding *holding, int dims) {
    FUSE_PACK(pack, holding->kind, 0, FUSE_HOLDING_RANGES);
    FUSE_PACK(pack, holding->value, -1, MOST);
    pack_layout(pack, &holding->layout, dims);
    FUSE_PACK(pack, holding->op, -1, MOST);
    FUSE_PACK(pack, holding->input, -1, MOST);
    FUSE_PACK(pack, holding->aggregators, 0, MOST);
    pack_amount(pack, &holding->align_elems);
    fuse_pack_bool(pack, &holding->reversed);
    FUSE_PACK(pack, holding->loop, -1, MOST);
    FUSE_PACK(pack, holding->cut, -1, FUSE_MAX_AXES - 1);
    FUSE_PACK(pack, holding->dealt, 0, FUSE_MAX_AXES);
    FUSE_PACK(pack, holding->dealt_from, 0, FUSE_MESH_MAX);
}

static void pack_step(struct fuse_pack *pack, struct fuse_step *step, int dims) {
    FUSE_PACK(pack, step->kind, 0, FUSE_STEP_ATTENTION);
    FUSE_PACK(pack, step->phase, 0, FUSE_PHASES - 1);
    FUSE_PACK(pack, step->op, -1, MOST);
    FUSE_PACK(pack, step->from, -1, MOST);
    FUSE_PACK(pack, step->to, -1, MOST);
    pack_holding(pack, &step->have, dims);
    pack_holding(pack, &step->need, dims);
    FUSE_PACK(pack, step->dim, -1, FUSE_MESH_MAX - 1);
    FUSE_PACK(pack, step->input, 0, MOST);
    for (int k = 0; k < FUSE_MAX_INPUTS; k++)
        FUSE_PACK(pack, step->in[k], -1, MOST);
    pack_layout(pack, &step->partition, dims);
    FUSE_PACK(pack, step->loop, -1, MOST);
    FUSE_PACK(pack, step->cut, -1, FUSE_MAX_AXES - 1);
    fuse_pack_bool(pack, &step->accumulate);
    pack_amount(pack, &step->slices);
    FUSE_PACK(pack, step->staging, -1, MOST);
    FUSE_PACK(pack, step->pinned, -1, MOST);
    pack_amount(pack, &step->piece_bytes);
    pack_amount(pack, &step->received_bytes_max);
    pack_amount(pack, &step->received_bytes_total);
    pack_amount(pack, &step->flops_max);
    pack_amount(pack, &step->time_ps);
    pack_amount(pack, &step->hidden_ps);
}

static void pack_region(struct fuse_pack *pack, struct fuse_region *region, int dims) {
    FUSE_PACK(pack, region->kind, 0, FUSE_REGION_LOOP);
    FUSE_PACK(pack, region->step, -1, MOST);
    FUSE_PACK(pack, region->first, 0, MOST);
    FUSE_PACK(pack, region->count, 0, MOST);
    FUSE_PACK(pack, region->loop, 0, FUSE_LOOP_UNTIL);
    FUSE_PACK(pack, region->op, -1, MOST);
    FUSE_PACK(pack, region->index, -1, FUSE_MAX_AXES - 1);
    pack_layout(pack, &region->partition, dims);
    FUSE_PACK(pack, region->skew_input, -1, MOST);
    pack_layout(pack, &region->skew_layout, dims);
    fuse_pack_bool(pack, &region->skews_nodes);
    pack_amount(pack, &region->owners);
    pack_amount(pack, &region->turns);
}

static void pack_buffer(struct fuse_pack *pack, struct fuse_buffer *buffer, int dims) {
    FUSE_PACK(pack, buffer->value, -1, MOST);
    FUSE_PACK(pack, buffer->dtype, 0, FUSE_DTYPES - 1);
    FUSE_PACK(pack, buffer->kind, 0, FUSE_MEM_KINDS - 1);
    pack_holding(pack, &buffer->holding, dims);
    pack_amount(pack, &buffer->bytes);
    pack_amount(pack, &buffer->offset);
    fuse_pack_bool(pack, &buffer->doubled);
    FUSE_PACK(pack, buffer->resident, -1, MOST);
    fuse_pack_bool(pack, &buffer->is_shared);
    FUSE_PACK(pack, buffer->first, -1, MOST);
    FUSE_PACK(pack, buffer->last, -1, MOST);
    FUSE_PACK(pack, buffer->role, 0, 127);
}

static void pack_chain(struct fuse_pack *pack, struct fuse_chain *chain) {
    pack_amount(pack, &chain->extent);
    FUSE_PACK(pack, chain->ops, 0, MOST);
    FUSE_PACK(pack, chain->dims, 0, FUSE_MESH_MAX);
    pack_amount(pack, &chain->turns);
}

static void pack_stream(struct fuse_pack *pack, struct fuse_stream *stream) {
    FUSE_PACK(pack, stream->chain, 0, MOST);
    FUSE_PACK(pack, stream->value, 0, MOST);
    FUSE_PACK(pack, stream->axis, 0, FUSE_MAX_AXES - 1);
}

/* What the search has decided of values and operations. */
static void pack_decisions(struct fuse_pack *pack, struct fuse_plan *plan) {
    int values = plan->ir->values.n, ops = plan->ir->ops.n, dims = plan->mesh.dims;
    FUSE_PACK_ARRAY(pack, plan->layout, struct fuse_layout, values + 1);
    FUSE_PACK_ARRAY(pack, plan->slab_axis, int, values + 1);
    FUSE_PACK_ARRAY(pack, plan->inner, bool, values + 1);
    FUSE_PACK_ARRAY(pack, plan->streamed, bool, values + 1);
    for (int v = 0; v < values; v++) {
        pack_layout(pack, &plan->layout[v], dims);
        FUSE_PACK(pack, plan->slab_axis[v], -1, FUSE_MAX_AXES - 1);
        fuse_pack_bool(pack, &plan->inner[v]);
        fuse_pack_bool(pack, &plan->streamed[v]);
    }
    FUSE_PACK_ARRAY(pack, plan->partition, struct fuse_layout, ops + 1);
    FUSE_PACK_ARRAY(pack, plan->order, int, ops + 1);
    FUSE_PACK_ARRAY(pack, plan->position, int, ops + 1);
    FUSE_PACK_ARRAY(pack, plan->recursion, int, ops + 1);
    FUSE_PACK_ARRAY(pack, plan->chain, int, ops + 1);
    FUSE_PACK_ARRAY(pack, plan->slab_index, int, ops + 1);
    for (int o = 0; o < ops; o++) {
        pack_layout(pack, &plan->partition[o], dims);
        FUSE_PACK(pack, plan->order[o], 0, ops - 1);
        FUSE_PACK(pack, plan->position[o], 0, ops - 1);
        FUSE_PACK(pack, plan->recursion[o], -1, MOST);
        FUSE_PACK(pack, plan->chain[o], -1, MOST);
        FUSE_PACK(pack, plan->slab_index[o], -1, FUSE_MAX_AXES - 1);
    }
}

#define PACK_LIST(pack, plan, list, type, least, function)                \
    do {                                                                  \
        int count_ = (plan)->list.n;                                      \
        fuse_pack_count((pack), &count_, MOST, least);                    \
        for (int i_ = 0; i_ < count_; i_++) {                             \
            if ((pack)->is_reading)                                       \
                fuse_vec_push((plan)->arena, &(plan)->list, ((type){0})); \
            function;                                                     \
        }                                                                 \
    } while (0)

void fuse_plan_pack(struct fuse_pack *pack, struct fuse_plan *plan) {
    fuse_plan_request_pack(pack, &plan->request);
    pack_mesh(pack, &plan->mesh);
    int dims = plan->mesh.dims;
    pack_decisions(pack, plan);
    PACK_LIST(pack, plan, chains, struct fuse_chain, 4, pack_chain(pack, &plan->chains.at[i_]));
    PACK_LIST(pack, plan, streams, struct fuse_stream, 3, pack_stream(pack, &plan->streams.at[i_]));
    FUSE_PACK(pack, plan->whole_value, -1, MOST);
    FUSE_PACK(pack, plan->whole_op, -1, MOST);
    PACK_LIST(pack, plan, steps, struct fuse_step, 40, pack_step(pack, &plan->steps.at[i_], dims));
    PACK_LIST(pack, plan, regions, struct fuse_region, 9, pack_region(pack, &plan->regions.at[i_], dims));
    PACK_LIST(pack, plan, child, int, 1, FUSE_PACK(pack, plan->child.at[i_], 0, MOST));
    PACK_LIST(pack, plan, buffers, struct fuse_buffer, 16, pack_buffer(pack, &plan->buffers.at[i_], dims));
    FUSE_PACK(pack, plan->root, 0, MOST);
    for (int kind = 0; kind < FUSE_MEM_KINDS; kind++)
        pack_amount(pack, &plan->arena_bytes[kind]);
    pack_amount(pack, &plan->peak_bytes);
    for (int p = 0; p < FUSE_PHASES; p++) {
        pack_amount(pack, &plan->received_bytes_max[p]);
        pack_amount(pack, &plan->received_bytes_total[p]);
    }
    pack_amount(pack, &plan->flops_max);
    pack_amount(pack, &plan->time_ps);
    fuse_pack_uint64(pack, &plan->hash);
    if (pack->is_reading && !pack->has_failed) {
        fuse_cost_choose_samples(plan);
        plan->exchanges = fuse_memo_open(plan->arena, dims);
    }
}
