/* Exchanges in two stages (plan.h): what all ranks of a node need comes to each of them once, a part to each, and from there to the
 * others. */
#include "plan/cost_internal.h"

/* What several ranks of a node need alike; else it deals nothing. */
static struct fuse_holding shared(const struct fuse_plan *plan, const struct fuse_holding *need) {
    struct fuse_holding part = *need;
    const int inner = fuse_cost_node_dim(plan);
    if (inner == 0 || inner == plan->mesh.dims || need->kind == FUSE_HOLDING_RANGES || need->dealt > 0 ||
        fuse_cost_halves(plan, need) > 1 || !fuse_cost_all_take_part(plan, need))
        return part;
    part.dealt = 1;
    part.dealt_from = inner;
    part.dealt = fuse_holding_dealt_parts(plan, &part) > 1 ? 1 : 0;
    return part;
}

static struct fuse_traffic sum(struct fuse_traffic x, struct fuse_traffic y) {
    return (struct fuse_traffic){fuse_sat_add(x.bytes, y.bytes), fuse_sat_add(x.messages, y.messages),
                                 fuse_sat_add(x.network, y.network)};
}

/* Less than what any two stages take: network traffic in even parts, and all but a part from the others. */
static int64_t bound_ps(const struct fuse_plan *plan, struct fuse_traffic once, int64_t held, int64_t parts) {
    const struct fuse_traffic least = {once.network / parts + held - held / parts, 2, once.network / parts};
    return fuse_cost_receive_ps(plan, least);
}

struct fuse_cost_way fuse_cost_choose_way(const struct fuse_plan *plan, const struct fuse_step *move, int but_axis) {
    struct fuse_cost_way best = {.all = fuse_cost_sample(plan, move)};
    struct fuse_step first = *move, second = *move;
    if (best.all.network == 0)
        return best;
    first.need = shared(plan, &move->need);
    if (first.need.dealt == 0)
        return best;
    const struct fuse_value *value = &plan->ir->values.at[move->need.value];
    const int64_t parts = fuse_holding_dealt_parts(plan, &first.need),
                  held =
                      fuse_sat_mul(fuse_holding_max_elems(plan, &move->need), (int64_t)fuse_dtype_bytes(value->dtype));
    int64_t least = fuse_cost_bring_ps(plan, best.all, held);
    if (bound_ps(plan, best.all, held, parts) >= least)
        return best;
    second.have.kind = move->need.kind;
    for (int a = 0; a < value->rank; a++) {
        if (a == but_axis || value->extent[a] < 2)
            continue;
        first.need.dealt = a + 1;
        second.have = first.need;
        struct fuse_cost_way way = {.dealt = a + 1, .within = fuse_cost_sample(plan, &second)};
        way.all = sum(fuse_cost_sample(plan, &first), way.within);
        const int64_t time = fuse_cost_bring_ps(plan, way.all, held);
        if (time < least) {
            least = time;
            best = way;
        }
    }
    return best;
}

struct fuse_cost_aside fuse_cost_first_stage(const struct fuse_plan *plan, const struct fuse_cost_way *way,
                                             int64_t held) {
    const struct fuse_traffic first = {way->all.bytes - way->within.bytes, way->all.messages - way->within.messages,
                                       way->all.network};
    const int64_t part = held > way->within.bytes ? held - way->within.bytes : 0;
    return (struct fuse_cost_aside){fuse_cost_bring_ps(plan, first, part), fuse_cost_processor_ps(plan, first, part)};
}

void fuse_cost_split_stages(struct fuse_step *first, struct fuse_step *second, const struct fuse_plan *plan,
                            const struct fuse_step *move, int dealt) {
    *first = *second = *move;
    first->need.dealt = dealt;
    first->need.dealt_from = fuse_cost_node_dim(plan);
    second->from = second->to;
    second->have = first->need;
}
