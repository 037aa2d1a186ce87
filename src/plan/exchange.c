/* Who sends what to whom in one exchange: needed boxes minus what the rank has. Every element of a needed box has exactly
 * one sender, which both sides find by themselves:
 *
 *   have is a layout   the rank whose block holds it and whose coordinates on the replicated dimensions are the receiver's
 *   .. that is dealt   the rank whose part holds it: there are no copies, but of what is dealt to some dimensions only
 *   have is needed     and dealt: ranks that differ from the receiver in nothing but that
 *   have is ranges     the aggregator whose range holds it
 *   a reduction        every rank of the receiver's group along the reduced dimension, each with its partial
 */
#include "plan/plan.h"

/* true when the sender's copy is the one that this receiver reads from. */
static bool is_sender(const struct fuse_plan *plan, const struct fuse_step *step, int sender, int receiver) {
    const struct fuse_mesh *mesh = &plan->mesh;
    if (step->kind == FUSE_STEP_MOVE && step->have.kind == FUSE_HOLDING_RANGES)
        return true;
    if (sender >= mesh->used)
        return false;
    int from[FUSE_MESH_MAX], to[FUSE_MESH_MAX];
    fuse_mesh_coordinates(from, mesh, sender);
    fuse_mesh_coordinates(to, mesh, receiver % mesh->used);
    if (step->kind == FUSE_STEP_REDUCE) {
        if (receiver >= mesh->used)
            return false;
        for (int d = 0; d < mesh->dims; d++)
            if (d != step->dim && from[d] != to[d])
                return false;
        return true;
    }
    for (int d = 0; d < mesh->dims; d++)
        if (from[d] != to[d] && !fuse_holding_deals(plan, &step->have, d) &&
            (step->have.layout.axis[d] == FUSE_REPLICATED || step->have.kind == FUSE_HOLDING_NEED))
            return false;
    return true;
}

bool fuse_pieces_none(const struct fuse_plan *plan, const struct fuse_step *step, int sender, int receiver) {
    return !is_sender(plan, step, sender, receiver);
}

/* A box is cut along its axes from the outermost on: single positions of the leading axes, then runs of `along` positions
 * of the first axis whose inner part fits. */
static void piece_shape(const struct fuse_box *part, int64_t max_elems, int *cut_axis, int64_t *along,
                        int64_t *pieces) {
    int64_t inner = 1;
    int axis = part->rank;
    while (axis > 0) {
        int64_t extent = part->hi[axis - 1] - part->lo[axis - 1];
        if (inner * extent > max_elems)
            break;
        inner *= extent;
        axis--;
    }
    *pieces = 1;
    *cut_axis = axis - 1;
    *along = 1;
    if (axis == 0)
        return;
    int64_t extent = part->hi[axis - 1] - part->lo[axis - 1];
    *along = max_elems / inner > 0 ? max_elems / inner : 1;
    *pieces = (extent + *along - 1) / *along;
    for (int a = 0; a < axis - 1; a++)
        *pieces *= part->hi[a] - part->lo[a];
}

int64_t fuse_box_piece_count(const struct fuse_box *box, int64_t max_elems) {
    int axis;
    int64_t along, pieces;
    piece_shape(box, max_elems, &axis, &along, &pieces);
    return pieces;
}

struct fuse_box fuse_box_piece(const struct fuse_box *part, int64_t max_elems, int64_t piece) {
    int cut_axis;
    int64_t along, pieces;
    piece_shape(part, max_elems, &cut_axis, &along, &pieces);
    struct fuse_box box = *part;
    if (cut_axis < 0)
        return box;
    int64_t extent = part->hi[cut_axis] - part->lo[cut_axis], runs = (extent + along - 1) / along;
    box.lo[cut_axis] = part->lo[cut_axis] + piece % runs * along;
    if (box.lo[cut_axis] + along < part->hi[cut_axis])
        box.hi[cut_axis] = box.lo[cut_axis] + along;
    piece /= runs;
    for (int a = cut_axis - 1; a >= 0; a--) {
        int64_t n = part->hi[a] - part->lo[a];
        box.lo[a] = part->lo[a] + piece % n;
        box.hi[a] = box.lo[a] + 1;
        piece /= n;
    }
    return box;
}

/* A planted fault, so that tests can show that they would see one: the first exchange that moves bytes loses a slice. */
static bool is_perturbed(const struct fuse_plan *plan, const struct fuse_step *step) {
    if (!plan->request.perturb)
        return false;
    int first = 0;
    while (first + 1 < plan->steps.n && plan->steps.at[first].received_bytes_total == 0)
        first++;
    return step->op == plan->steps.at[first].op && step->kind == plan->steps.at[first].kind;
}

/* Shrinks a box by one position; false when nothing is left. */
static bool lose_slice(struct fuse_box *box) {
    if (box->rank > 0)
        box->hi[0]--;
    return box->rank > 0 && !fuse_box_is_empty(box);
}

int fuse_exchange_need(struct fuse_box out[FUSE_MAX_RANGE_BOXES], const struct fuse_plan *plan,
                       const struct fuse_step *step, int receiver, int64_t turn) {
    int boxes = fuse_holding_boxes(out, plan, &step->need, receiver, turn);
    if (boxes > 0 && step->kind == FUSE_STEP_REDUCE && is_perturbed(plan, step) && !lose_slice(&out[0]))
        boxes = 0;
    return boxes;
}

/* Boxes are made again for each pair instead of being kept: a walk stays small, and has one pair unless files are read
 * or written. */
static bool pair_boxes(struct fuse_pieces *walk, int pair) {
    const struct fuse_plan *plan = walk->plan;
    const struct fuse_step *step = walk->step;
    struct fuse_box have[FUSE_MAX_RANGE_BOXES], need[FUSE_MAX_RANGE_BOXES];
    walk->have_boxes = fuse_holding_boxes(have, plan, &step->have, walk->sender, walk->turn);
    walk->need_boxes = walk->have_boxes ? fuse_exchange_need(need, plan, step, walk->receiver, walk->turn) : 0;
    if (pair >= walk->have_boxes * walk->need_boxes)
        return false;
    if (!fuse_box_intersect(&walk->part, &have[pair / walk->need_boxes], &need[pair % walk->need_boxes]) ||
        (step->kind == FUSE_STEP_MOVE && walk->sender != walk->receiver && is_perturbed(plan, step) &&
         !lose_slice(&walk->part)))
        walk->part.rank = -1;
    return true;
}

bool fuse_pieces_next(struct fuse_piece *out, struct fuse_pieces *walk) {
    if (!walk->started) {
        walk->started = true;
        walk->pair = 0;
        walk->piece = walk->pieces = 0;
        if (!is_sender(walk->plan, walk->step, walk->sender, walk->receiver))
            walk->pair = -1;
    }
    if (walk->pair < 0)
        return false;
    int64_t size = (int64_t)fuse_dtype_bytes(walk->plan->ir->values.at[walk->step->have.value].dtype);
    int64_t max_elems = walk->step->piece_bytes / size > 0 ? walk->step->piece_bytes / size : 1;
    while (walk->piece == walk->pieces) {
        if (!pair_boxes(walk, walk->pair)) {
            walk->pair = -1;
            return false;
        }
        walk->pair++;
        walk->piece = 0;
        walk->pieces = walk->part.rank >= 0 ? fuse_box_piece_count(&walk->part, max_elems) : 0;
    }
    out->box = fuse_box_piece(&walk->part, max_elems, walk->piece++);
    out->from_box = (walk->pair - 1) / walk->need_boxes;
    out->to_box = (walk->pair - 1) % walk->need_boxes;
    return true;
}
