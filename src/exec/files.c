/* Sources, literals, sinks and printed values. With tensors in device memory, pieces pass through pinned staging. */
#include "exec/internal.h"

#include "core/text.h"

#include <string.h>

static void keep(struct fuse_exec *exec, enum fuse_status status, const struct fuse_error *err) {
    if (status != FUSE_OK)
        fuse_exec_fail(exec, status, err);
}

static struct fuse_view host_piece(void *data, enum fuse_dtype dtype, const struct fuse_box *box) {
    return fuse_box_view(data, dtype, box, false, box);
}

/* Moves a piece between a host view and a buffer of this rank, whatever memory the buffer is in. `fetch` fills or drains
 * the host view. */
struct pass {
    struct fuse_exec *exec;
    const struct fuse_step *step;
    int buffer;
    bool to_buffer;
    enum fuse_status (*host)(struct fuse_exec *exec, const struct fuse_step *step, const struct fuse_box *box,
                             const struct fuse_view *view, struct fuse_error *err);
};

static enum fuse_status pass_device_piece(const struct pass *pass, const struct fuse_box *box, struct fuse_error *err) {
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
        FUSE_TRY(pass->host(exec, pass->step, box, &host, err));
        FUSE_TRY(ops->transfer(exec->queue, device, FUSE_MEM_DEVICE, pinned, FUSE_MEM_PINNED, bytes, err));
        return ops->copy(exec->queue, &in_buffer, &staged, err);
    }
    FUSE_TRY(ops->copy(exec->queue, &staged, &in_buffer, err));
    FUSE_TRY(ops->transfer(exec->queue, pinned, FUSE_MEM_PINNED, device, FUSE_MEM_DEVICE, bytes, err));
    FUSE_TRY(exec->queue->ops->wait(exec->queue, FUSE_QUEUE_ALL, err));
    return pass->host(exec, pass->step, box, &host, err);
}

static void pass_boxes(const struct pass *pass, const struct fuse_holding *holding) {
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
            keep(exec, status == FUSE_OK ? pass->host(exec, pass->step, &box[i], &view, &err) : status, &err);
            continue;
        }
        int64_t pieces = fuse_box_piece_count(&box[i], max_elems > 0 ? max_elems : 1);
        for (int64_t p = 0; p < pieces && exec->status == FUSE_OK; p++) {
            struct fuse_box piece = fuse_box_piece(&box[i], max_elems > 0 ? max_elems : 1, p);
            keep(exec, pass_device_piece(pass, &piece, &err), &err);
        }
    }
}

/* ---- sources -------------------------------------------------------------------------------------------------- */

static enum fuse_status read_host(struct fuse_exec *exec, const struct fuse_step *step, const struct fuse_box *box,
                                  const struct fuse_view *view, struct fuse_error *err) {
    if (fuse_exec_fault(exec, FUSE_FAULT_READ))
        return fuse_fail(err, FUSE_EIO, "%s: reading failed (planted fault)", exec->request->path[step->op]);
    return exec->format[step->op]->source_read(exec->source[step->op], box, view, err);
}

void fuse_exec_read(struct fuse_exec *exec, const struct fuse_step *step) {
    struct pass pass = {.exec = exec, .step = step, .buffer = step->to, .to_buffer = true, .host = read_host};
    pass_boxes(&pass, &step->need);
}

static enum fuse_status copy_literal(struct fuse_exec *exec, const struct fuse_step *step, const struct fuse_box *box,
                                     const struct fuse_view *view, struct fuse_error *err) {
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
    struct pass pass = {.exec = exec, .step = step, .buffer = step->to, .to_buffer = true, .host = copy_literal};
    pass_boxes(&pass, &step->need);
}

/* ---- sinks ---------------------------------------------------------------------------------------------------- */

static enum fuse_status write_host(struct fuse_exec *exec, const struct fuse_step *step, const struct fuse_box *box,
                                   const struct fuse_view *view, struct fuse_error *err) {
    if (fuse_exec_fault(exec, FUSE_FAULT_WRITE))
        return fuse_fail(err, FUSE_EIO, "%s: writing failed (planted fault)", exec->request->path[step->op]);
    const struct fuse_exec_place *place = &exec->place[step->op];
    return exec->format[place->file]->sink_write(exec->sink[place->file], place->member, box, view, err);
}

void fuse_exec_write(struct fuse_exec *exec, const struct fuse_step *step) {
    struct pass pass = {.exec = exec, .step = step, .buffer = step->from, .host = write_host};
    pass_boxes(&pass, &step->have);
}

/* ---- printing ------------------------------------------------------------------------------------------------- */

#define PRINT_ELEMS 1000

struct printed {
    struct fuse_text text;
    enum fuse_dtype dtype;
    int rank;
    const int64_t *extent;
};

static void print_element(struct printed *out, const void *at) {
    double real;
    int64_t integer;
    switch (fuse_dtype_class(out->dtype)) {
    case FUSE_CLASS_BOOL: fuse_text_add(&out->text, "%s", *(const uint8_t *)at ? "true" : "false"); return;
    case FUSE_CLASS_INT:
    case FUSE_CLASS_UINT:
        fuse_dtype_convert(&integer, FUSE_I64, at, out->dtype, 1);
        fuse_text_add(&out->text, "%lld", (long long)integer);
        return;
    case FUSE_CLASS_REAL:
        fuse_dtype_convert(&real, FUSE_F64, at, out->dtype, 1);
        fuse_text_add(&out->text, out->dtype == FUSE_F64 ? "%.15g" : "%.7g", real);
        return;
    }
}

static const char *print_axis(struct printed *out, int axis, const char *at) {
    if (axis == out->rank) {
        print_element(out, at);
        return at + fuse_dtype_bytes(out->dtype);
    }
    fuse_text_add(&out->text, "[");
    for (int64_t i = 0; i < out->extent[axis]; i++) {
        if (i > 0)
            fuse_text_add(&out->text, axis == out->rank - 1 ? ", " : ",\n%*s", axis + 1, "");
        at = print_axis(out, axis + 1, at);
    }
    fuse_text_add(&out->text, "]");
    return at;
}

static enum fuse_status print_host(struct fuse_exec *exec, const struct fuse_step *step, const struct fuse_box *box,
                                   const struct fuse_view *view, struct fuse_error *err) {
    (void)box;
    (void)err;
    const struct fuse_value *value = &exec->plan->ir->values.at[step->have.value];
    const char *name = exec->plan->ir->ops.at[step->op]->part;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    if (!arena)
        return fuse_fail(err, FUSE_EMEMORY, "no memory to print %s", name);
    struct printed out = {
        .text = {.arena = arena}, .dtype = value->dtype, .rank = value->rank, .extent = value->extent};
    fuse_text_add(&out.text, "%s = ", name);
    print_axis(&out, 0, view->data);
    fuse_text_add(&out.text, "\n");
    exec->request->print(exec->request->context, out.text.at);
    fuse_arena_close(arena);
    return FUSE_OK;
}

void fuse_exec_print(struct fuse_exec *exec, const struct fuse_step *step) {
    const struct fuse_value *value = &exec->plan->ir->values.at[step->have.value];
    if (exec->comm->rank != 0 || !exec->request->print || exec->status != FUSE_OK)
        return;
    int64_t elems = fuse_value_elems(value);
    bool replicated =
        fuse_layout_parts(&step->have.layout, &exec->plan->mesh, FUSE_REPLICATED) == exec->plan->mesh.used;
    if (elems > 0 && elems <= PRINT_ELEMS && replicated && step->piece_bytes > 0) {
        struct pass pass = {.exec = exec, .step = step, .buffer = step->from, .host = print_host};
        pass_boxes(&pass, &step->have);
        return;
    }
    struct fuse_arena *arena = fuse_arena_open(NULL);
    if (!arena)
        return;
    struct fuse_text text = {.arena = arena};
    fuse_text_add(&text, "%s = %s[", exec->plan->ir->ops.at[step->op]->part, fuse_dtype_name(value->dtype));
    for (int a = 0; a < value->rank; a++)
        fuse_text_add(&text, "%s%lld", a ? ", " : "", (long long)value->extent[a]);
    fuse_text_add(&text, "] (values are not printed; write a sink to keep them)\n");
    exec->request->print(exec->request->context, text.at);
    fuse_arena_close(arena);
}
