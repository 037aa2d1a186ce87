/* Exchanges. A rank deals with its peers in ring order (distance 1, 2, ..), pieces in plan order, as many at a time as the
 * staging holds. Both sides of a message meet it at the same place (distance, piece) of that order, so the earliest
 * unfinished place always has both its messages posted: there is no deadlock however small the staging is.
 *
 * Ranks of a node that read each other's memory send no elements: the message says that the piece is there, its receiver takes it
 * when it comes and answers. It is copied to its place or, where it is one of several terms of a sum, to staging; the only term is
 * added where it lies. Pieces of a MOVE are then not cut. A batch waits for answers, too; each is given as soon as its own message
 * is there, whatever else the batch of its receiver waits for, so that what is said above holds. */
#include "exec/internal.h"
#include "plan/ordered.h"

#include <stdlib.h>

#define BATCH 128
#define LINE_BYTES 64

/* How an element that comes enters the place where it belongs. */
enum arrival {
    ARRIVES_IN_PLACE,  /* it is the element, received there where that is possible */
    ARRIVES_STAGED,    /* the caller takes it out of staging */
    ARRIVES_AS_ADDEND, /* it is combined with what is there; staged, where it is sent and not lent */
};

struct incoming {
    struct fuse_comm_loan loan; /* the first, so that it leads here */
    struct batch *batch;
    struct fuse_view to, staged; /* staged.data NULL: received in place, or combined where it was lent */
    struct fuse_view lent;       /* where the sender has it, until it is taken */
    size_t staging_offset;
    enum arrival arrival;
};

struct batch {
    struct fuse_exec *exec;
    const struct fuse_step *step;
    struct fuse_queue *queue; /* of what is packed and unpacked */
    int slot;                 /* of the transport */
    struct fuse_message send[BATCH], receive[BATCH];
    struct incoming incoming[BATCH];
    struct fuse_comm_loan lending;
    int sends, receives;
    size_t send_used, receive_used, half; /* bytes of staging */
};

static bool is_dense(const struct fuse_view *view) {
    int64_t stride = 1;
    for (int a = view->rank - 1; a >= 0; a--) {
        if (view->extent[a] != 1 && view->stride[a] != stride)
            return false;
        stride *= view->extent[a];
    }
    return true;
}

static size_t view_bytes(const struct fuse_view *view) {
    size_t bytes = fuse_dtype_bytes(view->dtype);
    for (int a = 0; a < view->rank; a++)
        bytes *= (size_t)view->extent[a];
    return bytes;
}

static struct fuse_view dense_view(const struct fuse_view *like, void *data) {
    struct fuse_view view = {.data = data, .dtype = like->dtype, .rank = like->rank};
    int64_t stride = 1;
    for (int a = like->rank - 1; a >= 0; a--) {
        view.extent[a] = like->extent[a];
        view.stride[a] = stride;
        stride *= like->extent[a];
    }
    return view;
}

static size_t line_up(size_t bytes) {
    return (bytes + LINE_BYTES - 1) / LINE_BYTES * LINE_BYTES;
}

static void keep(struct fuse_exec *exec, enum fuse_status status, const struct fuse_error *err) {
    if (status != FUSE_OK)
        fuse_exec_fail(exec, status, err);
}

static void copy_part(const struct batch *batch, const struct fuse_view *to, const struct fuse_view *from,
                      size_t whole_bytes) {
    struct fuse_exec *exec = batch->exec;
    struct fuse_error err = {0};
    if (exec->status == FUSE_OK && to->data != from->data)
        keep(exec, exec->backend->ops->copy(batch->queue, to, from, (int64_t)whole_bytes, &err), &err);
}

static void copy(const struct batch *batch, const struct fuse_view *to, const struct fuse_view *from) {
    copy_part(batch, to, from, 0);
}

static void transfer(const struct batch *batch, void *to, enum fuse_memkind to_kind, const void *from,
                     enum fuse_memkind from_kind, size_t bytes) {
    struct fuse_exec *exec = batch->exec;
    struct fuse_error err = {0};
    if (exec->status == FUSE_OK)
        keep(exec, exec->backend->ops->transfer(batch->queue, to, to_kind, from, from_kind, bytes, &err), &err);
}

static struct batch new_batch(struct fuse_exec *exec, const struct fuse_step *step) {
    struct batch batch = {.exec = exec, .step = step, .queue = exec->queue};
    if (step->staging >= 0)
        batch.half = (size_t)exec->plan->buffers.at[step->staging].bytes / 2;
    return batch;
}

/* Where a message of the batch lies for the transport: pinned staging with device memory, else the staging itself. */
static char *wire(const struct batch *batch, size_t offset) {
    return fuse_exec_data(batch->exec, batch->step->pinned >= 0 ? batch->step->pinned : batch->step->staging) + offset;
}

static bool in_place(const struct batch *batch, const struct fuse_view *view) {
    return batch->step->pinned < 0 && is_dense(view);
}

static bool is_lent(const struct batch *batch, int peer, const struct fuse_view *view) {
    return fuse_exec_is_lent(batch->exec, batch->step, peer, view_bytes(view));
}

static bool fits(const struct batch *batch, int peer, const struct fuse_view *view, int messages, size_t used) {
    return messages < BATCH &&
           (is_lent(batch, peer, view) || in_place(batch, view) || used + line_up(view_bytes(view)) <= batch->half);
}

static void add_send(struct batch *batch, int peer, const struct fuse_view *from) {
    size_t bytes = view_bytes(from);
    if (is_lent(batch, peer, from)) {
        batch->send[batch->sends++] = (struct fuse_message){.peer = peer, .bytes = bytes, .loan = &batch->lending};
        return;
    }
    if (in_place(batch, from)) {
        batch->send[batch->sends++] = (struct fuse_message){.peer = peer, .data = from->data, .bytes = bytes};
        return;
    }
    struct fuse_view staged = dense_view(from, fuse_exec_data(batch->exec, batch->step->staging) + batch->send_used);
    copy(batch, &staged, from);
    char *data = wire(batch, batch->send_used);
    if (batch->step->pinned >= 0)
        transfer(batch, data, FUSE_MEM_PINNED, staged.data, FUSE_MEM_DEVICE, bytes);
    batch->send[batch->sends++] = (struct fuse_message){.peer = peer, .data = data, .bytes = bytes};
    batch->send_used += line_up(bytes);
}

static void take_part(void *context, const struct fuse_view *to, const struct fuse_view *from) {
    const struct incoming *in = context;
    copy_part(in->batch, to, from, view_bytes(&in->to));
}

static void combine(struct fuse_exec *exec, enum fuse_reduce op, const struct fuse_view *to,
                    const struct fuse_view *from) {
    struct fuse_error err = {0};
    if (exec->status == FUSE_OK)
        keep(exec, exec->backend->ops->combine(exec->queue, op, to, from, &err), &err);
}

static enum fuse_reduce reduction(const struct batch *batch) {
    const struct fuse_ir *ir = batch->exec->plan->ir;
    const struct fuse_op *op = ir->ops.at[batch->step->op];
    return op->kind == FUSE_OP_EINSUM ? fuse_product_reduce(ir->values.at[op->out].dtype) : op->reduce;
}

static void add_part(void *context, const struct fuse_view *to, const struct fuse_view *from) {
    const struct incoming *in = context;
    combine(in->batch->exec, reduction(in->batch), to, from);
}

static void take(struct fuse_comm_loan *loan) {
    struct incoming *in = (struct incoming *)loan;
    fuse_exec_read_peer(in->batch->exec, in->staged.data ? &in->staged : &in->to, &in->lent,
                        in->arrival == ARRIVES_AS_ADDEND ? add_part : take_part, in);
}

/* lent: where the sender has it, from where it is taken when the message comes; NULL: the elements are sent. */
static void add_receive(struct batch *batch, int peer, const struct fuse_view *to, const struct fuse_view *lent,
                        enum arrival arrival) {
    struct incoming *in = &batch->incoming[batch->receives];
    struct fuse_message *message = &batch->receive[batch->receives++];
    *in = (struct incoming){.loan = {.take = take}, .batch = batch, .to = *to, .arrival = arrival};
    *message = (struct fuse_message){.peer = peer, .data = to->data, .bytes = view_bytes(to)};
    if (lent) {
        in->lent = *lent;
        message->loan = &in->loan;
    }
    if (arrival != ARRIVES_STAGED && (lent || (arrival == ARRIVES_IN_PLACE && in_place(batch, to))))
        return;
    in->staging_offset = batch->half + batch->receive_used;
    in->staged = dense_view(to, fuse_exec_data(batch->exec, batch->step->staging) + in->staging_offset);
    message->data = wire(batch, in->staging_offset);
    batch->receive_used += line_up(message->bytes);
}

/* What a peer sends, or lends, of a step's `from`. */
static void add_receive_from(struct batch *batch, int peer, const struct fuse_view *to, const struct fuse_box *part,
                             int64_t turn, enum arrival arrival) {
    struct fuse_view lent;
    const bool is_loan = is_lent(batch, peer, to);
    if (is_loan)
        lent = fuse_exec_view_of_peer(batch->exec, peer, batch->step->from, part, turn);
    add_receive(batch, peer, to, is_loan ? &lent : NULL, arrival);
}

static void start(struct batch *batch) {
    struct fuse_exec *exec = batch->exec;
    struct fuse_error err = {0};
    if (batch->sends == 0 && batch->receives == 0)
        return;
    /* Receives land in pinned memory from which transfers of the batch before may still be under way. */
    if (batch->step->pinned >= 0)
        keep(exec, batch->queue->ops->wait(batch->queue, FUSE_QUEUE_ALL, &err), &err);
    keep(exec,
         exec->comm->ops->exchange_start(exec->comm, batch->slot, batch->queue, batch->send, batch->sends,
                                         batch->receive, batch->receives, &err),
         &err);
}

/* After `start`: true when everything has been sent and received, which it is when the call `waits`. Received pieces lie in
 * staging (on the device if that is where tensors live) until the caller has used `incoming`. */
static bool has_arrived(struct batch *batch, bool waits) {
    struct fuse_exec *exec = batch->exec;
    struct fuse_error err = {0};
    bool done = true;
    if (batch->sends == 0 && batch->receives == 0)
        return true;
    if (waits)
        keep(exec, exec->comm->ops->exchange_wait(exec->comm, batch->slot, &err), &err);
    else
        keep(exec, exec->comm->ops->exchange_test(exec->comm, batch->slot, &done, &err), &err);
    if (!done)
        return false;
    /* A planted fault strikes after the messages have gone, for the peers are waiting for them. */
    if (fuse_exec_fault(exec, FUSE_FAULT_MESSAGE)) {
        struct fuse_error planted = {0};
        keep(exec, fuse_fail(&planted, FUSE_EIO, "a message was lost (planted fault)"), &planted);
    }
    for (int i = 0; i < batch->receives && batch->step->pinned >= 0; i++)
        transfer(batch, batch->incoming[i].staged.data, FUSE_MEM_DEVICE, batch->receive[i].data, FUSE_MEM_PINNED,
                 batch->receive[i].bytes);
    return true;
}

static void empty(struct batch *batch) {
    batch->sends = batch->receives = 0;
    batch->send_used = batch->receive_used = 0;
}

/* Received pieces that were staged go to their places. */
static void unpack(struct batch *batch) {
    for (int i = 0; i < batch->receives; i++)
        if (batch->incoming[i].staged.data)
            copy(batch, &batch->incoming[i].to, &batch->incoming[i].staged);
    empty(batch);
}

/* ---- moves ---------------------------------------------------------------------------------------------------- */

/* A MOVE of one turn, batch by batch. */
struct fuse_exec_walk {
    struct batch batch;
    int64_t turn;
    char *to; /* where the needed box comes, NULL: where the buffer is */
    int distance;
    bool meets; /* the ranks at this distance have begun to exchange */
    struct fuse_pieces out, in;
    struct fuse_piece sent, received;
    bool sending, receiving;
    struct fuse_step whole; /* the step, of pieces that are not cut */
};

static struct fuse_view view_of_needed(const struct fuse_exec_walk *walk, const struct fuse_box *part) {
    const struct fuse_exec *exec = walk->batch.exec;
    const struct fuse_step *step = walk->batch.step;
    if (!walk->to)
        return fuse_exec_view_at(exec, step->to, part, walk->turn);
    return fuse_exec_view_in(walk->to, exec->plan, &exec->plan->buffers.at[step->to].holding, exec->comm->rank,
                             walk->turn, part);
}

/* Zeros where a box of what is needed, in the end, reaches outside the tensor. */
static void clear_outside(const struct fuse_exec_walk *walk) {
    struct fuse_exec *exec = walk->batch.exec;
    const struct fuse_step *step = walk->batch.step;
    struct fuse_box box[FUSE_MAX_RANGE_BOXES];
    const struct fuse_value *value = &exec->plan->ir->values.at[step->need.value];
    if (step->need.kind != FUSE_HOLDING_NEED || fuse_plan_collects(step))
        return;
    int boxes =
        fuse_holding_boxes(box, exec->plan, &exec->plan->buffers.at[step->to].holding, exec->comm->rank, walk->turn);
    struct fuse_box tensor = fuse_box_full(value->rank, value->extent);
    for (int i = 0; i < boxes && exec->status == FUSE_OK; i++) {
        if (fuse_box_contains(&tensor, &box[i]))
            continue;
        struct fuse_error err = {0};
        struct fuse_view view = view_of_needed(walk, &box[i]);
        keep(exec, exec->backend->ops->clear(walk->batch.queue, &view, &err), &err);
    }
}

static void copy_own(const struct fuse_exec_walk *walk) {
    const struct fuse_exec *exec = walk->batch.exec;
    int rank = exec->comm->rank;
    struct fuse_pieces own = {
        .plan = exec->plan, .step = &walk->whole, .sender = rank, .receiver = rank, .turn = walk->turn};
    struct fuse_piece piece;
    while (fuse_pieces_next(&piece, &own)) {
        struct fuse_view from = fuse_exec_view_at(exec, walk->whole.from, &piece.box, walk->turn);
        struct fuse_view to = view_of_needed(walk, &piece.box);
        copy(&walk->batch, &to, &from);
    }
}

/* Pieces between this rank and a peer, the same on both. */
static struct fuse_pieces pieces_between(const struct fuse_exec_walk *walk, int sender, int receiver, int peer) {
    const struct fuse_exec *exec = walk->batch.exec;
    const struct fuse_step *step = walk->batch.step;
    return (struct fuse_pieces){.plan = exec->plan,
                                .step = fuse_exec_may_lend(exec, step, peer) ? &walk->whole : step,
                                .sender = sender,
                                .receiver = receiver,
                                .turn = walk->turn};
}

static void meet(struct fuse_exec_walk *walk) {
    const struct fuse_exec *exec = walk->batch.exec;
    const int rank = exec->comm->rank, ranks = exec->comm->size, to = (rank + walk->distance) % ranks,
              from = (rank - walk->distance + ranks) % ranks;
    walk->out = pieces_between(walk, rank, to, to);
    walk->in = pieces_between(walk, from, rank, from);
    walk->sending = fuse_pieces_next(&walk->sent, &walk->out);
    walk->receiving = fuse_pieces_next(&walk->received, &walk->in);
    walk->meets = true;
}

/* Fills the batch; false when there is nothing left to exchange. */
static bool fill(struct fuse_exec_walk *walk) {
    struct fuse_exec *exec = walk->batch.exec;
    const struct fuse_step *step = walk->batch.step;
    struct batch *batch = &walk->batch;
    for (; walk->distance < exec->comm->size; walk->distance++) {
        if (!walk->meets)
            meet(walk);
        while (walk->sending || walk->receiving) {
            struct fuse_view from, to;
            if (walk->sending)
                from = fuse_exec_view_at(exec, step->from, &walk->sent.box, walk->turn);
            if (walk->receiving)
                to = view_of_needed(walk, &walk->received.box);
            /* Both messages of a place enter the same batch: a send whose receive waits for the next batch could close
             * a circle of ranks that all wait to be received. */
            if ((walk->sending && !fits(batch, walk->out.receiver, &from, batch->sends, batch->send_used)) ||
                (walk->receiving && !fits(batch, walk->in.sender, &to, batch->receives, batch->receive_used)))
                return true;
            if (walk->sending)
                add_send(batch, walk->out.receiver, &from);
            if (walk->receiving)
                add_receive_from(batch, walk->in.sender, &to, &walk->received.box, walk->turn, ARRIVES_IN_PLACE);
            walk->sending = walk->sending && fuse_pieces_next(&walk->sent, &walk->out);
            walk->receiving = walk->receiving && fuse_pieces_next(&walk->received, &walk->in);
        }
        walk->meets = false;
    }
    return batch->sends > 0 || batch->receives > 0;
}

static void open_walk(struct fuse_exec_walk *walk, struct fuse_exec *exec, const struct fuse_step *step, int64_t turn) {
    walk->batch.exec = exec;
    walk->batch.step = step;
    walk->batch.queue = exec->queue;
    walk->batch.slot = 0;
    walk->batch.half = step->staging >= 0 ? (size_t)exec->plan->buffers.at[step->staging].bytes / 2 : 0;
    empty(&walk->batch);
    walk->whole = *step;
    walk->whole.piece_bytes = INT64_MAX;
    walk->turn = turn;
    walk->to = NULL;
    walk->distance = 1;
    walk->meets = false;
}

void fuse_exec_move(struct fuse_exec *exec, const struct fuse_step *step) {
    struct fuse_exec_walk walk;
    open_walk(&walk, exec, step, exec->turn);
    clear_outside(&walk);
    copy_own(&walk);
    while (step->received_bytes_total > 0 && fill(&walk)) {
        start(&walk.batch);
        has_arrived(&walk.batch, true);
        unpack(&walk.batch);
    }
}

struct fuse_exec_walk *fuse_exec_walk_new(void) {
    return calloc(1, sizeof(struct fuse_exec_walk));
}

void fuse_exec_walk_begin(struct fuse_exec_walk *walk, struct fuse_exec *exec, const struct fuse_step *step,
                          int64_t turn, char *to, int slot) {
    open_walk(walk, exec, step, turn);
    walk->batch.queue = exec->mover;
    walk->batch.slot = slot;
    walk->to = to;
    if (to) {
        clear_outside(walk);
        copy_own(walk);
    }
    if (fill(walk))
        start(&walk->batch);
}

bool fuse_exec_walk_on(struct fuse_exec_walk *walk, bool waits) {
    while (walk->batch.sends > 0 || walk->batch.receives > 0) {
        if (!has_arrived(&walk->batch, waits))
            return false;
        unpack(&walk->batch);
        if (fill(walk))
            start(&walk->batch);
    }
    return true;
}

/* ---- reductions ----------------------------------------------------------------------------------------------- */

/* Terms of one piece, in the order of the group's members, so that every rank that sums the same terms gets the same
 * bits. Scattered results are summed by one rank only and may start from its own term; a single other term that was lent is in
 * it already. */
static void combine_batch(struct batch *batch, enum fuse_reduce op, int member, bool everywhere,
                          const struct fuse_view *own) {
    struct fuse_exec *exec = batch->exec;
    if (!everywhere || member == 0) {
        for (int i = 0; i < batch->receives; i++)
            if (batch->incoming[i].staged.data)
                combine(exec, op, own, &batch->incoming[i].staged);
    } else {
        const struct fuse_view *sum = &batch->incoming[0].staged;
        for (int i = 1; i <= batch->receives; i++)
            combine(exec, op, sum,
                    i < member    ? &batch->incoming[i].staged
                    : i == member ? own
                                  : &batch->incoming[i - 1].staged);
        copy(batch, own, sum);
    }
    empty(batch);
}

/* The node of a sum's tree that `parts` members from `first` on have: the member whose term becomes its sum, -1 when it has no
 * leaves. */
static int combine_node(struct fuse_exec *exec, enum fuse_reduce op, const struct fuse_view **term, int first,
                        int64_t parts, int64_t leaves) {
    if (leaves == 0 || parts == 1)
        return leaves == 0 ? -1 : first;
    int64_t half = fuse_chunks_half(parts);
    int a = combine_node(exec, op, term, first, half, fuse_chunks_half(leaves));
    int b = combine_node(exec, op, term, first + (int)half, parts - half, leaves / 2);
    if (b >= 0)
        combine(exec, op, term[a], term[b]);
    return a;
}

/* The same terms as nodes of a fixed tree. */
static void combine_in_order(struct batch *batch, enum fuse_reduce op, int member, const struct fuse_view *own,
                             int64_t leaves) {
    struct fuse_exec *exec = batch->exec;
    const struct fuse_view *term[BATCH + 1];
    for (int i = 0; i <= batch->receives; i++)
        term[i] = i < member ? &batch->incoming[i].staged : i == member ? own : &batch->incoming[i - 1].staged;
    int sum = combine_node(exec, op, term, 0, batch->receives + 1, leaves);
    if (sum >= 0 && sum != member)
        copy(batch, own, term[sum]);
    empty(batch);
}

void fuse_exec_reduce(struct fuse_exec *exec, const struct fuse_step *step) {
    const struct fuse_plan *plan = exec->plan;
    int rank = exec->comm->rank, size = plan->mesh.dim[step->dim];
    if (rank >= plan->mesh.used || size == 1)
        return;
    int coordinate[FUSE_MESH_MAX], stride = 1;
    fuse_mesh_coordinates(coordinate, &plan->mesh, rank);
    for (int d = plan->mesh.dims - 1; d > step->dim; d--)
        stride *= plan->mesh.dim[d];
    int member = coordinate[step->dim], first = rank - member * stride;
    bool is_ordered = fuse_sum_is_ordered(plan, step->op);
    int64_t leaves = is_ordered ? fuse_sum_node(plan, step->op, &plan->partition[step->op], step->dim, coordinate) : 0;
    bool everywhere = step->need.layout.axis[step->dim] == FUSE_REPLICATED;
    /* Members that have results of different elements change nothing that others read. */
    const enum arrival arrival = size == 2 && !everywhere && !is_ordered ? ARRIVES_AS_ADDEND : ARRIVES_STAGED;

    /* Pieces of what each member is to hold. A piece number is met by all members of the group together. */
    int64_t max_elems = step->piece_bytes / (int64_t)fuse_dtype_bytes(plan->ir->values.at[step->need.value].dtype);
    if (max_elems < 1)
        max_elems = 1;
    struct fuse_box own, box[FUSE_MAX_RANGE_BOXES];
    int64_t own_pieces = 0, most = 0;
    if (fuse_exchange_need(box, plan, step, rank, exec->turn)) {
        own = box[0];
        own_pieces = fuse_box_piece_count(&own, max_elems);
    }
    for (int m = 0; m < size; m++)
        if (fuse_exchange_need(box, plan, step, first + m * stride, exec->turn)) {
            int64_t pieces = fuse_box_piece_count(&box[0], max_elems);
            most = pieces > most ? pieces : most;
        }
    struct batch batch = new_batch(exec, step);
    const enum fuse_reduce reduce = reduction(&batch);
    for (int64_t p = 0; p < most; p++) {
        struct fuse_view mine = {0};
        struct fuse_box own_part = {0};
        if (p < own_pieces) {
            own_part = fuse_box_piece(&own, max_elems, p);
            mine = fuse_exec_view(exec, step->to, &own_part);
        }
        for (int m = 0; m < size; m++) {
            int peer = first + m * stride;
            if (m == member)
                continue;
            if (fuse_exchange_need(box, plan, step, peer, exec->turn) && p < fuse_box_piece_count(&box[0], max_elems)) {
                struct fuse_box part = fuse_box_piece(&box[0], max_elems, p);
                struct fuse_view theirs = fuse_exec_view(exec, step->from, &part);
                add_send(&batch, peer, &theirs);
            }
            if (p < own_pieces)
                add_receive_from(&batch, peer, &mine, &own_part, exec->turn, arrival);
        }
        start(&batch);
        has_arrived(&batch, true);
        if (p < own_pieces && is_ordered)
            combine_in_order(&batch, reduce, member, &mine, leaves);
        else if (p < own_pieces)
            combine_batch(&batch, reduce, member, everywhere, &mine);
        empty(&batch);
    }
    struct fuse_error err = {0};
    if (exec->status == FUSE_OK)
        fuse_exec_settle(exec, plan->ir->ops.at[step->op], FUSE_OK, &err);
}
