/* Copies between views: long runs by memcpy, transposes line by line through a small block, clearing as a copy of 0. */
#include "backend/call_check.h"
#include "backend/cpu.h"
#include "backend/cpu_stream.h"
#include "backend/cpu_transpose.h"

#include <string.h>

/* Bytes of one part of the work: enough to be worth a thread, small enough to share out. */
#define PART_BYTES ((int64_t)128 << 10)
/* Copies from this size on do not fit in the caches that they would displace. */
#define STREAM_BYTES ((int64_t)4 << 20)

/* One axis of the copy: its extent and its strides in elements. */
struct axis {
    int64_t extent, to, from;
};

/* Loops around a plane of rows x columns; columns are the axis along which the target is densest, rows the one along
 * which the source is (or the next one of the target). */
struct copy_plan {
    char *to;
    const char *from;
    int64_t bytes; /* of an element */
    int outers;
    struct axis outer[FUSE_MAX_AXES], row, column;
};

static int64_t size_of(int64_t stride) {
    return stride < 0 ? -stride : stride;
}

/* Axes outermost first by the target's strides, neighbours fused, the target's strides positive. */
static int order_axes(struct copy_plan *plan, const struct fuse_view *to, const struct fuse_view *from,
                      struct axis *axis) {
    int n = 0;
    for (int a = 0; a < to->rank; a++) {
        struct axis it = {.extent = to->extent[a], .to = to->stride[a], .from = from->stride[a]};
        if (it.extent == 1)
            continue;
        if (it.to < 0) {
            plan->to += (it.extent - 1) * it.to * plan->bytes;
            plan->from += (it.extent - 1) * it.from * plan->bytes;
            it.to = -it.to;
            it.from = -it.from;
        }
        int at = n++;
        for (; at > 0 && axis[at - 1].to < it.to; at--)
            axis[at] = axis[at - 1];
        axis[at] = it;
    }
    int kept = 0;
    for (int a = 0; a < n; a++) {
        struct axis *last = &axis[kept - 1];
        if (kept > 0 && last->to == axis[a].to * axis[a].extent && last->from == axis[a].from * axis[a].extent) {
            last->extent *= axis[a].extent;
            last->to = axis[a].to;
            last->from = axis[a].from;
        } else {
            axis[kept++] = axis[a];
        }
    }
    return kept;
}

static struct copy_plan make_plan(const struct fuse_view *to, const struct fuse_view *from) {
    struct copy_plan plan = {.to = to->data, .from = from->data, .bytes = (int64_t)fuse_dtype_bytes(to->dtype)};
    struct axis axis[FUSE_MAX_AXES];
    const struct axis none = {.extent = 1};
    int n = order_axes(&plan, to, from, axis);
    plan.column = n > 0 ? axis[--n] : none;
    int row = n - 1;
    if (plan.column.to != 1 || plan.column.from != 1)
        for (int a = 0; a < n; a++)
            if (size_of(axis[a].from) < size_of(axis[row].from) && axis[a].from != 0)
                row = a;
    plan.row = n > 0 ? axis[row] : none;
    for (int a = 0; a < n; a++)
        if (a != row)
            plan.outer[plan.outers++] = axis[a];
    return plan;
}

/* Strided runs without a transpose: the source is denser along the columns too, or constant. */
#define STRIDED(type)                                                                                             \
    static void strided_##type(type *to, const type *from, int64_t rows, int64_t columns, const struct axis *row, \
                               const struct axis *column) {                                                       \
        for (int64_t r = 0; r < rows; r++, to += row->to, from += row->from)                                      \
            if (column->to == 1 && column->from == 0) {                                                           \
                const type value = *from;                                                                         \
                for (int64_t c = 0; c < columns; c++)                                                             \
                    to[c] = value;                                                                                \
            } else {                                                                                              \
                for (int64_t c = 0; c < columns; c++)                                                             \
                    to[c * column->to] = from[c * column->from];                                                  \
            }                                                                                                     \
    }
STRIDED(uint8_t)
STRIDED(uint16_t)
STRIDED(uint32_t)
STRIDED(uint64_t)

static bool is_transpose(const struct copy_plan *plan) {
    return size_of(plan->row.from) < size_of(plan->column.from) && plan->row.extent > 1;
}

static void copy_plane(const struct copy_plan *plan, char *to, const char *from, int64_t rows, int64_t columns,
                       bool stream) {
    const struct axis *row = &plan->row, *column = &plan->column;
    if (stream && !is_transpose(plan)) {
        fuse_stream_rows(to, from, rows, columns * plan->bytes, row->to * plan->bytes, row->from * plan->bytes);
        return;
    }
    if (column->to == 1 && column->from == 1) {
        for (int64_t r = 0; r < rows; r++)
            memcpy(to + r * row->to * plan->bytes, from + r * row->from * plan->bytes, (size_t)(columns * plan->bytes));
        return;
    }
    if (is_transpose(plan)) {
        fuse_cpu_transpose(plan->bytes, to, from, rows, columns, row->to, column->to, row->from, column->from, stream);
        return;
    }
    switch (plan->bytes) {
    case 1: strided_uint8_t((uint8_t *)to, (const uint8_t *)from, rows, columns, row, column); break;
    case 2: strided_uint16_t((uint16_t *)to, (const uint16_t *)from, rows, columns, row, column); break;
    case 4: strided_uint32_t((uint32_t *)to, (const uint32_t *)from, rows, columns, row, column); break;
    default: strided_uint64_t((uint64_t *)to, (const uint64_t *)from, rows, columns, row, column); break;
    }
}

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* true when lines of the target are written past the caches. */
static bool is_streamed(const struct copy_plan *plan, int64_t bytes) {
    if (bytes < STREAM_BYTES || plan->column.to != 1)
        return false;
    return is_transpose(plan) || (plan->column.from == 1 && plan->column.extent * plan->bytes >= FUSE_STREAM_ROW_BYTES);
}

/* Cuts the plane of every outer point in parts of about PART_BYTES and shares them out. */
static void run_plan(struct fuse_cpu_backend *cpu, const struct copy_plan *plan, int64_t whole_bytes) {
    const int64_t part = PART_BYTES / plan->bytes;
    int64_t columns = least(plan->column.extent, part);
    int64_t rows = least(plan->row.extent, part / columns);
    if (is_transpose(plan)) {
        rows = least(plan->row.extent, FUSE_TRANSPOSE_ROWS);
        columns = least(plan->column.extent, 4 * part / rows);
    }
    const int64_t across = (plan->column.extent + columns - 1) / columns, down = (plan->row.extent + rows - 1) / rows;
    int64_t points = 1;
    for (int o = 0; o < plan->outers; o++)
        points *= plan->outer[o].extent;
    const int64_t parts = points * across * down, elems = points * plan->row.extent * plan->column.extent;
    const bool stream = is_streamed(plan, whole_bytes);
    const int threads = fuse_cpu_threads(cpu, parts, elems);
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(static)
        for (int64_t p = 0; p < parts; p++) {
            int64_t left = p / (across * down), r0 = p / across % down * rows, c0 = p % across * columns;
            int64_t to = r0 * plan->row.to + c0 * plan->column.to, from = r0 * plan->row.from + c0 * plan->column.from;
            for (int o = plan->outers - 1; o >= 0; o--) {
                int64_t at = left % plan->outer[o].extent;
                left /= plan->outer[o].extent;
                to += at * plan->outer[o].to;
                from += at * plan->outer[o].from;
            }
            copy_plane(plan, plan->to + to * plan->bytes, plan->from + from * plan->bytes,
                       least(plan->row.extent - r0, rows), least(plan->column.extent - c0, columns), stream);
        }
        if (stream)
            fuse_stream_fence();
    }
}

/* ---- large transposes of 32-bit elements into aligned rows ---- */

enum { LINE = FUSE_TILE_TURN, NEAR = 32 };

/* Every row of every plane of the target begins with a line, and so does every 16th column. */
static bool is_in_lines(const struct copy_plan *plan) {
    bool aligned = (uintptr_t)plan->to % FUSE_CPU_LINE == 0 && plan->row.to % LINE == 0;
    for (int o = 0; o < plan->outers; o++)
        aligned = aligned && plan->outer[o].to % LINE == 0;
    return aligned && plan->bytes == 4 && is_transpose(plan) && plan->row.from == 1 && plan->column.to == 1 &&
           plan->row.extent >= LINE && plan->column.extent >= LINE;
}

/* At one outer point the columns from c0 on, at most a line. */
static void turn_columns(const struct fuse_cpu_backend *cpu, const struct copy_plan *plan, char *to, const char *from,
                         int64_t c0) {
    const struct axis *row = &plan->row, *column = &plan->column;
    const int64_t columns = least(column->extent - c0, LINE), rows = columns == LINE ? row->extent / LINE * LINE : 0;
    to += c0 * plan->bytes;
    from += c0 * column->from * plan->bytes;
    if (rows > 0)
        cpu->tile->turn_lines(to, row->to, from, column->from, rows);
    for (int64_t r = rows; r < row->extent; r += FUSE_TRANSPOSE_ROWS)
        fuse_cpu_transpose(plan->bytes, to + r * row->to * plan->bytes, from + r * plan->bytes,
                           least(row->extent - r, FUSE_TRANSPOSE_ROWS), columns, row->to, 1, 1, column->from, false);
}

/* Sixteen rows of the source at a time, over their whole length and on through the outer axis along which the source goes on: few
 * streams of memory are read, and every line that is written is whole. */
static void run_in_lines(struct fuse_cpu_backend *cpu, const struct copy_plan *plan) {
    struct axis outer[FUSE_MAX_AXES], near = {.extent = 1};
    int outers = 0, nearest = -1;
    for (int o = 0; o < plan->outers; o++)
        if (nearest < 0 || size_of(plan->outer[o].from) < size_of(plan->outer[nearest].from))
            nearest = o;
    if (nearest >= 0)
        near = plan->outer[nearest];
    int64_t points = 1;
    for (int o = 0; o < plan->outers; o++)
        if (o != nearest) {
            outer[outers++] = plan->outer[o];
            points *= plan->outer[o].extent;
        }
    const int64_t across = (plan->column.extent + LINE - 1) / LINE, along = (near.extent + NEAR - 1) / NEAR,
                  parts = points * along * across;
    const int threads = fuse_cpu_threads(cpu, parts, parts * near.extent / along * LINE * plan->row.extent);
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(static)
        for (int64_t p = 0; p < parts; p++) {
            const int64_t c0 = p % across * LINE, n0 = p / across % along * NEAR, n1 = least(n0 + NEAR, near.extent);
            int64_t left = p / (across * along), to = 0, from = 0;
            for (int o = outers - 1; o >= 0; o--) {
                to += left % outer[o].extent * outer[o].to;
                from += left % outer[o].extent * outer[o].from;
                left /= outer[o].extent;
            }
            for (int64_t n = n0; n < n1; n++)
                turn_columns(cpu, plan, plan->to + (to + n * near.to) * plan->bytes,
                             plan->from + (from + n * near.from) * plan->bytes, c0);
        }
        fuse_stream_fence();
    }
}

void fuse_cpu_run_copy(struct fuse_cpu_backend *cpu, const struct fuse_view *to, const struct fuse_view *from,
                       int64_t whole_bytes) {
    if (fuse_points(to->rank, to->extent, UINT32_MAX) == 0)
        return;
    struct copy_plan plan = make_plan(to, from);
    int64_t bytes = plan.bytes * fuse_points(to->rank, to->extent, UINT32_MAX);
    bytes = bytes > whole_bytes ? bytes : whole_bytes;
    if (bytes >= STREAM_BYTES && is_in_lines(&plan))
        run_in_lines(cpu, &plan);
    else
        run_plan(cpu, &plan, bytes);
}

void fuse_cpu_run_clear(struct fuse_cpu_backend *cpu, const struct fuse_view *to) {
    static const uint64_t zero = 0;
    struct fuse_view from = *to;
    from.data = (void *)&zero;
    memset(from.stride, 0, sizeof from.stride);
    fuse_cpu_run_copy(cpu, to, &from, 0);
}

enum fuse_status fuse_cpu_run_combine(struct fuse_cpu_backend *cpu, enum fuse_reduce op, const struct fuse_view *to,
                                      const struct fuse_view *from, struct fuse_cpu_counts *counts,
                                      struct fuse_error *err) {
    static const enum fuse_scalar_op ops[] = {
        [FUSE_REDUCE_SUM] = FUSE_SCALAR_ADD,     [FUSE_REDUCE_PROD] = FUSE_SCALAR_MUL,
        [FUSE_REDUCE_MIN] = FUSE_SCALAR_MINIMUM, [FUSE_REDUCE_MAX] = FUSE_SCALAR_MAXIMUM,
        [FUSE_REDUCE_OR] = FUSE_SCALAR_OR,       [FUSE_REDUCE_AND] = FUSE_SCALAR_AND};
    const enum fuse_dtype type = fuse_dtype_compute(to->dtype);
    struct fuse_scalar_node node[] = {{.op = FUSE_SCALAR_LOAD, .dtype = type, .a = -1, .b = -1, .c = -1, .arg = 0},
                                      {.op = FUSE_SCALAR_LOAD, .dtype = type, .a = -1, .b = -1, .c = -1, .arg = 1},
                                      {.op = ops[op], .dtype = type, .a = 0, .b = 1, .c = -1}};
    const struct fuse_scalar body = {.n = 3, .node = node};
    struct fuse_operand_view operand[2] = {{.data = to->data, .dtype = to->dtype},
                                           {.data = from->data, .dtype = from->dtype}};
    struct fuse_map_call call = {.indices = to->rank, .operands = 2, .operand = operand, .body = &body};
    for (int a = 0; a < to->rank; a++) {
        call.extent[a] = to->extent[a];
        call.in_out |= UINT32_C(1) << a;
        operand[0].stride[a] = to->stride[a];
        operand[1].stride[a] = from->stride[a];
    }
    call.out = operand[0];
    return fuse_cpu_run_map(cpu, &call, counts, err);
}
