/* Exported tensors: all values of a small one, a summary of a large one. No rank sees more of it than it holds: what rank
 * 0 prints it gets from one reduction, to which each element is contributed by one rank. */
#include "exec/internal.h"
#include "exec/summary.h"

#include "core/text.h"

#include <inttypes.h>
#include <string.h>

enum {
    PRINT_ELEMS = 100, /* all of them are printed up to here */
    ENDS = 3           /* values of a larger tensor at each of its ends */
};

struct printed {
    const char *name;
    const struct fuse_value *value;
    int64_t elems;
    bool is_small;
    int shown; /* elements whose values are printed */
    struct fuse_summary summary;
    struct {
        struct fuse_summary_sums sums;
        int64_t failed;             /* ranks */
        int64_t shown[PRINT_ELEMS]; /* bits of F64 or I64 */
    } joined;                       /* all int64_t: one reduction */
};

/* The flat position of a value that is printed. */
static int64_t shown_position(const struct printed *out, int i) {
    return out->is_small || i < ENDS ? i : out->elems - out->shown + i;
}

/* ---- what this rank contributes ---- */

bool fuse_exec_is_owner(const struct fuse_exec *exec, const struct fuse_layout *layout) {
    const struct fuse_mesh *mesh = &exec->plan->mesh;
    int coordinate[FUSE_MESH_MAX];
    if (exec->comm->rank >= mesh->used)
        return false;
    fuse_mesh_coordinates(coordinate, mesh, exec->comm->rank);
    for (int d = 0; d < mesh->dims; d++)
        if (layout->axis[d] == FUSE_REPLICATED && coordinate[d] > 0)
            return false;
    return true;
}

static void take_shown(struct printed *out, const struct fuse_box *box, const struct fuse_view *view) {
    size_t bytes = fuse_dtype_bytes(view->dtype);
    bool is_real = fuse_dtype_class(view->dtype) == FUSE_CLASS_REAL;
    for (int i = 0; i < out->shown; i++) {
        int64_t rest = shown_position(out, i), at = 0;
        bool is_here = true;
        for (int a = box->rank - 1; a >= 0; a--) {
            int64_t x = rest % out->value->extent[a];
            rest /= out->value->extent[a];
            is_here = is_here && box->lo[a] <= x && x < box->hi[a];
            at += (x - box->lo[a]) * view->stride[a];
        }
        if (is_here)
            fuse_dtype_convert(&out->joined.shown[i], is_real ? FUSE_F64 : FUSE_I64,
                               (const char *)view->data + at * (int64_t)bytes, view->dtype, 1);
    }
}

/* Runs along the last axis; blocks are stored in C order, so they are contiguous. */
static void take_summary(struct printed *out, const struct fuse_view *view) {
    int64_t x[FUSE_MAX_AXES] = {0}, run = view->rank > 0 ? view->extent[view->rank - 1] : 1;
    size_t bytes = fuse_dtype_bytes(view->dtype);
    for (;;) {
        int64_t at = 0;
        for (int a = 0; a + 1 < view->rank; a++)
            at += x[a] * view->stride[a];
        fuse_summary_add(&out->summary, view->dtype, (const char *)view->data + at * (int64_t)bytes, (size_t)run);
        int a = view->rank - 2;
        while (a >= 0 && ++x[a] == view->extent[a])
            x[a--] = 0;
        if (a < 0)
            return;
    }
}

static enum fuse_status take(const struct fuse_exec_pass *pass, const struct fuse_box *box,
                             const struct fuse_view *view, struct fuse_error *err) {
    (void)err;
    struct printed *out = pass->context;
    if (fuse_box_is_empty(box))
        return FUSE_OK;
    take_shown(out, box, view);
    if (!out->is_small)
        take_summary(out, view);
    return FUSE_OK;
}

/* ---- text ---- */

static void add_value(struct fuse_text *text, enum fuse_dtype dtype, int64_t bits) {
    double real;
    switch (fuse_dtype_class(dtype)) {
    case FUSE_CLASS_BOOL: fuse_text_add(text, "%s", bits ? "true" : "false"); return;
    case FUSE_CLASS_INT:
    case FUSE_CLASS_UINT: fuse_text_add(text, "%" PRId64, bits); return;
    case FUSE_CLASS_REAL:
        memcpy(&real, &bits, sizeof real);
        fuse_text_add(text, dtype == FUSE_F64 ? "%.15g" : "%.7g", real);
        return;
    }
}

/* Rows in brackets, as NumPy shows them. Returns the next element. */
static const int64_t *add_axis(struct fuse_text *text, const struct fuse_value *value, int axis, const int64_t *at) {
    if (axis == value->rank) {
        add_value(text, value->dtype, *at);
        return at + 1;
    }
    fuse_text_add(text, "[");
    for (int64_t i = 0; i < value->extent[axis]; i++) {
        if (i > 0)
            fuse_text_add(text, axis == value->rank - 1 ? ", " : ",\n%*s", axis + 1, "");
        at = add_axis(text, value, axis + 1, at);
    }
    fuse_text_add(text, "]");
    return at;
}

static void add_shape(struct fuse_text *text, const struct fuse_value *value) {
    fuse_text_add(text, "%s[", fuse_dtype_name(value->dtype));
    for (int a = 0; a < value->rank; a++)
        fuse_text_add(text, "%s%" PRId64, a ? ", " : "", value->extent[a]);
    fuse_text_add(text, "]");
}

static void add_summary(struct fuse_text *text, const struct printed *out) {
    const struct fuse_value *value = out->value;
    const struct fuse_summary_sums *sums = &out->summary.sums;
    int64_t least, most;
    add_shape(text, value);
    fuse_text_add(text, ", %" PRId64 " values:", out->elems);
    if (value->dtype == FUSE_BOOL) {
        fuse_text_add(text, " %.0f true\n", fuse_summary_mean(&out->summary) * (double)sums->count);
    } else if (sums->count == 0) {
        fuse_text_add(text, " all NaN\n");
    } else {
        fuse_summary_extremes(&least, &most, &out->summary, value->dtype);
        fuse_text_add(text, " min ");
        add_value(text, value->dtype, least);
        fuse_text_add(text, ", max ");
        add_value(text, value->dtype, most);
        fuse_text_add(text, ", mean %.7g", fuse_summary_mean(&out->summary));
        if (fuse_dtype_class(value->dtype) == FUSE_CLASS_REAL)
            fuse_text_add(text, ", %" PRId64 " NaN", sums->nan);
        fuse_text_add(text, "\n");
    }
    fuse_text_add(text, "  [");
    for (int i = 0; i < out->shown; i++) {
        fuse_text_add(text, "%s%s", i > 0 ? ", " : "", i == ENDS ? "..., " : "");
        add_value(text, value->dtype, out->joined.shown[i]);
    }
    fuse_text_add(text, "]\n");
}

static void print(const struct fuse_exec *exec, const struct printed *out) {
    struct fuse_arena *arena = fuse_arena_open(NULL);
    if (!arena)
        return;
    struct fuse_text text = {.arena = arena};
    fuse_text_add(&text, "%s = ", out->name);
    if (out->elems == 0) {
        add_shape(&text, out->value);
        fuse_text_add(&text, ", no values\n");
    } else if (out->is_small) {
        add_axis(&text, out->value, 0, out->joined.shown);
        fuse_text_add(&text, "\n");
    } else {
        add_summary(&text, out);
    }
    exec->request->print(exec->request->context, text.at);
    fuse_arena_close(arena);
}

/* ---- the step ---- */

static enum fuse_status join(struct fuse_exec *exec, struct printed *out, struct fuse_error *err) {
    fuse_summary_settle(&out->summary);
    out->joined.sums = out->summary.sums;
    out->joined.failed = exec->status != FUSE_OK;
    struct fuse_comm *comm = exec->comm;
    int words = (int)(sizeof out->joined / sizeof(int64_t)) - PRINT_ELEMS + out->shown;
    FUSE_TRY(comm->ops->reduce_int64(comm, FUSE_REDUCE_SUM, (int64_t *)&out->joined, words, err));
    FUSE_TRY(comm->ops->reduce_int64(comm, FUSE_REDUCE_MIN, (int64_t *)&out->summary.extremes, 2, err));
    out->summary.sums = out->joined.sums;
    return FUSE_OK;
}

void fuse_exec_print(struct fuse_exec *exec, const struct fuse_step *step) {
    const struct fuse_value *value = &exec->plan->ir->values.at[step->have.value];
    if (!exec->request->prints)
        return;
    struct printed out = {
        .name = exec->plan->ir->ops.at[step->op]->part, .value = value, .elems = fuse_value_elems(value)};
    out.is_small = out.elems <= PRINT_ELEMS;
    out.shown = out.is_small ? (int)out.elems : 2 * ENDS;
    fuse_summary_init(&out.summary);
    struct fuse_exec_pass pass = {.exec = exec, .step = step, .buffer = step->from, .host = take, .context = &out};
    if (exec->status == FUSE_OK && fuse_exec_is_owner(exec, &step->have.layout))
        fuse_exec_pass_boxes(&pass, &step->have);
    struct fuse_error err = {0};
    enum fuse_status status = join(exec, &out, &err);
    if (status != FUSE_OK)
        fuse_exec_fail(exec, status, &err);
    else if (exec->comm->rank == 0 && exec->request->print && out.joined.failed == 0)
        print(exec, &out);
}
