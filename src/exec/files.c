/* Sources, literals and sinks. With tensors in device memory, pieces pass through pinned staging. */
#include "exec/internal.h"

#include <math.h>
#include <string.h>

static void keep(struct fuse_exec *exec, enum fuse_status status, const struct fuse_error *err) {
    if (status != FUSE_OK)
        fuse_exec_fail(exec, status, err);
}

static struct fuse_view host_piece(void *data, enum fuse_dtype dtype, const struct fuse_box *box) {
    return fuse_box_view(data, dtype, box, false, box);
}

static enum fuse_status pass_device_piece(const struct fuse_exec_pass *pass, const struct fuse_box *box,
                                          struct fuse_error *err) {
    struct fuse_exec *exec = pass->exec;
    const struct fuse_backend_ops *ops = exec->backend->ops;
    enum fuse_dtype dtype = exec->plan->buffers.at[pass->buffer].dtype;
    char *device = fuse_exec_data(exec, pass->step->staging), *pinned = fuse_exec_data(exec, pass->step->pinned);
    struct fuse_view staged = host_piece(device, dtype, box), host = host_piece(pinned, dtype, box);
    struct fuse_view in_buffer = fuse_exec_view(exec, pass->buffer, box);
    size_t bytes = (size_t)fuse_box_elems(box) * fuse_dtype_bytes(dtype);
    if (pass->to_buffer) {
        /* Earlier steps may still have transfers from the pinned memory under way. */
        FUSE_TRY(exec->queue->ops->wait(exec->queue, FUSE_QUEUE_ALL, err));
        FUSE_TRY(pass->host(pass, box, &host, err));
        FUSE_TRY(ops->transfer(exec->queue, device, FUSE_MEM_DEVICE, pinned, FUSE_MEM_PINNED, bytes, err));
        return ops->copy(exec->queue, &in_buffer, &staged, 0, err);
    }
    FUSE_TRY(ops->copy(exec->queue, &staged, &in_buffer, 0, err));
    FUSE_TRY(ops->transfer(exec->queue, pinned, FUSE_MEM_PINNED, device, FUSE_MEM_DEVICE, bytes, err));
    FUSE_TRY(exec->queue->ops->wait(exec->queue, FUSE_QUEUE_ALL, err));
    return pass->host(pass, box, &host, err);
}

void fuse_exec_pass_boxes(const struct fuse_exec_pass *pass, const struct fuse_holding *holding) {
    struct fuse_exec *exec = pass->exec;
    struct fuse_box box[FUSE_MAX_RANGE_BOXES];
    int boxes = fuse_holding_boxes(box, exec->plan, holding, exec->comm->rank, exec->turn);
    int64_t max_elems = pass->step->piece_bytes / (int64_t)fuse_dtype_bytes(exec->plan->buffers.at[pass->buffer].dtype);
    for (int i = 0; i < boxes && exec->status == FUSE_OK; i++) {
        struct fuse_error err = {0};
        if (exec->backend->ops->kind != FUSE_MEM_DEVICE) {
            struct fuse_view view = fuse_exec_view(exec, pass->buffer, &box[i]);
            enum fuse_status status = FUSE_OK;
            if (!pass->to_buffer)
                status = exec->queue->ops->wait(exec->queue, FUSE_QUEUE_ALL, &err);
            keep(exec, status == FUSE_OK ? pass->host(pass, &box[i], &view, &err) : status, &err);
            continue;
        }
        int64_t pieces = fuse_box_piece_count(&box[i], max_elems > 0 ? max_elems : 1);
        for (int64_t p = 0; p < pieces && exec->status == FUSE_OK; p++) {
            struct fuse_box piece = fuse_box_piece(&box[i], max_elems > 0 ? max_elems : 1, p);
            keep(exec, pass_device_piece(pass, &piece, &err), &err);
        }
    }
}

/* true when the file of a step may be read or written beside the computing, and the plan has room for that. */
static bool is_background(const struct fuse_exec *exec, const struct fuse_step *step, int buffer) {
    int file = step->kind == FUSE_STEP_READ ? step->op : exec->place[step->op].file;
    return exec->plan->buffers.at[buffer].doubled && exec->format[file]->is_independent;
}

enum fuse_status fuse_exec_planted(const struct fuse_exec *exec, const struct fuse_step *step, struct fuse_error *err) {
    enum fuse_status status = fuse_fail(err, FUSE_EIO, "%s: %s failed (planted fault)", exec->request->path[step->op],
                                        step->kind == FUSE_STEP_READ ? "reading" : "writing");
    return fuse_exec_blame(exec->plan->ir->ops.at[step->op], status, err);
}

/* ---- sources -------------------------------------------------------------------------------------------------- */

static enum fuse_status read_box(const struct fuse_exec *exec, const struct fuse_step *step, const struct fuse_box *box,
                                 const struct fuse_view *view, struct fuse_error *err) {
    const struct fuse_op *op = exec->plan->ir->ops.at[step->op];
    struct fuse_box in_file = *box;
    for (int a = 0; a < box->rank; a++) {
        in_file.lo[a] += op->begin[a];
        in_file.hi[a] += op->begin[a];
    }
    enum fuse_status status = exec->format[step->op]->source_read(exec->source[step->op], &in_file, view, err);
    return fuse_exec_blame(op, status, err);
}

static enum fuse_status read_host(const struct fuse_exec_pass *pass, const struct fuse_box *box,
                                  const struct fuse_view *view, struct fuse_error *err) {
    if (fuse_exec_fault(pass->exec, FUSE_FAULT_READ))
        return fuse_exec_planted(pass->exec, pass->step, err);
    return read_box(pass->exec, pass->step, box, view, err);
}

void fuse_exec_read(struct fuse_exec *exec, const struct fuse_step *step) {
    if (is_background(exec, step, step->to)) {
        if (exec->turn == 0)
            fuse_exec_background_start(exec, step, 0);
        fuse_exec_background_wait(exec, step);
        if (exec->turn + 1 < exec->plan->regions.at[step->loop].turns)
            fuse_exec_background_start(exec, step, exec->turn + 1);
        return;
    }
    struct fuse_exec_pass pass = {.exec = exec, .step = step, .buffer = step->to, .to_buffer = true, .host = read_host};
    fuse_exec_pass_boxes(&pass, &step->need);
}

static enum fuse_status copy_literal(const struct fuse_exec_pass *pass, const struct fuse_box *box,
                                     const struct fuse_view *view, struct fuse_error *err) {
    struct fuse_exec *exec = pass->exec;
    const struct fuse_step *step = pass->step;
    (void)err;
    const struct fuse_op *op = exec->plan->ir->ops.at[step->op];
    const struct fuse_value *value = &exec->plan->ir->values.at[op->out];
    size_t size = fuse_dtype_bytes(value->dtype);
    struct fuse_box whole = fuse_box_full(value->rank, value->extent);
    struct fuse_view text = fuse_box_view((void *)op->data, value->dtype, &whole, false, box);
    int64_t elems = fuse_box_elems(box), at[FUSE_MAX_AXES] = {0};
    for (int64_t n = 0; n < elems; n++) {
        int64_t from = 0, to = 0;
        for (int a = 0; a < value->rank; a++) {
            from += at[a] * text.stride[a];
            to += at[a] * view->stride[a];
        }
        memcpy((char *)view->data + to * (int64_t)size, (const char *)text.data + from * (int64_t)size, size);
        for (int a = value->rank - 1; a >= 0; a--) {
            if (++at[a] < text.extent[a])
                break;
            at[a] = 0;
        }
    }
    return FUSE_OK;
}

void fuse_exec_literal(struct fuse_exec *exec, const struct fuse_step *step) {
    struct fuse_exec_pass pass = {
        .exec = exec, .step = step, .buffer = step->to, .to_buffer = true, .host = copy_literal};
    fuse_exec_pass_boxes(&pass, &step->need);
}

/* ---- sinks ---------------------------------------------------------------------------------------------------- */

static enum fuse_status write_box(const struct fuse_exec *exec, const struct fuse_step *step,
                                  const struct fuse_box *box, const struct fuse_view *view, struct fuse_error *err) {
    const struct fuse_exec_place *place = &exec->place[step->op];
    enum fuse_status status =
        exec->format[place->file]->sink_write(exec->sink[place->file], place->member, box, view, err);
    return fuse_exec_blame(exec->plan->ir->ops.at[step->op], status, err);
}

static enum fuse_status write_host(const struct fuse_exec_pass *pass, const struct fuse_box *box,
                                   const struct fuse_view *view, struct fuse_error *err) {
    if (fuse_exec_fault(pass->exec, FUSE_FAULT_WRITE))
        return fuse_exec_planted(pass->exec, pass->step, err);
    return write_box(pass->exec, pass->step, box, view, err);
}

void fuse_exec_unify_nans(struct fuse_exec *exec, const struct fuse_step *step) {
    struct fuse_box box[FUSE_MAX_RANGE_BOXES];
    enum fuse_dtype dtype = exec->plan->buffers.at[step->from].dtype;
    if (exec->plan->request.chunk == 0 || exec->status != FUSE_OK)
        return;
    int boxes = fuse_holding_boxes(box, exec->plan, &step->have, exec->comm->rank, exec->turn);
    int64_t n = 0;
    void *data = fuse_exec_data(exec, step->from);
    for (int i = 0; i < boxes; i++)
        n += fuse_box_elems(&box[i]);
    for (int64_t i = 0; i < n; i++)
        if (dtype == FUSE_F32 && isnan(((float *)data)[i]))
            ((float *)data)[i] = NAN;
        else if (dtype == FUSE_F64 && isnan(((double *)data)[i]))
            ((double *)data)[i] = (double)NAN;
        else if (dtype == FUSE_F16 && (((uint16_t *)data)[i] & 0x7fff) > 0x7c00)
            ((uint16_t *)data)[i] = 0x7e00;
        else if (dtype == FUSE_BF16 && (((uint16_t *)data)[i] & 0x7fff) > 0x7f80)
            ((uint16_t *)data)[i] = 0x7fc0;
}

void fuse_exec_write(struct fuse_exec *exec, const struct fuse_step *step) {
    if (is_background(exec, step, step->from)) {
        /* The next turn fills the other half: what is written from there is waited for now. */
        fuse_exec_background_wait(exec, step);
        fuse_exec_background_start(exec, step, exec->turn);
        return;
    }
    struct fuse_exec_pass pass = {.exec = exec, .step = step, .buffer = step->from, .host = write_host};
    fuse_exec_pass_boxes(&pass, &step->have);
}

/* ---- both, beside the computing ------------------------------------------------------------------------------- */

enum fuse_status fuse_exec_transfer_file(const struct fuse_exec *exec, const struct fuse_step *step, int64_t turn,
                                         struct fuse_error *err) {
    struct fuse_box box[FUSE_MAX_RANGE_BOXES];
    bool reads = step->kind == FUSE_STEP_READ;
    int boxes = fuse_holding_boxes(box, exec->plan, reads ? &step->need : &step->have, exec->comm->rank, turn);
    for (int i = 0; i < boxes; i++) {
        struct fuse_view view = fuse_exec_view_at(exec, reads ? step->to : step->from, &box[i], turn);
        FUSE_TRY(reads ? read_box(exec, step, &box[i], &view, err) : write_box(exec, step, &box[i], &view, err));
    }
    return FUSE_OK;
}
