#include "backend/cpu_epilogue.h"

#include "backend/call_check.h"

#include <stdlib.h>
#include <string.h>

#define MOST_OPERANDS 16
/* Smaller results stay in a thread's second-level cache until a map as a whole reads them. */
#define WORTH_BYTES ((int64_t)256 << 10)

/* One thread's part of one map: the call at the box that the thread is at, and its plan, which serves all boxes of equal extents. */
struct fuse_epilogue_worker {
    struct fuse_map_call call;
    struct fuse_operand_view operand[MOST_OPERANDS];
    struct fuse_map_plan plan;
    bool is_open, overflow;
    enum fuse_status status;
    struct fuse_error err;
};

void fuse_epilogue_make(struct fuse_epilogue *out, struct fuse_cpu_backend *cpu, const struct fuse_contract *product,
                        const struct fuse_map_call *map, int maps) {
    *out = (struct fuse_epilogue){.cpu = cpu, .product = product, .map = map, .maps = maps};
}

/* ---- the maps' indices as axes of the result ---- */

/* The result's indices, outermost first. Each must be longer than all within it, so that an offset tells the point. */
static bool find_axes(struct fuse_epilogue *e) {
    const struct fuse_contract *product = e->product;
    for (int x = 0; x < product->indices; x++) {
        if (!(product->in_c >> x & 1) || product->extent[x] == 1)
            continue;
        const struct fuse_epilogue_axis own = {.extent = product->extent[x], .stride = product->c.stride[x]};
        int to = e->axes++;
        for (; to > 0 && e->axis[to - 1].stride < own.stride; to--)
            e->axis[to] = e->axis[to - 1];
        e->axis[to] = own;
    }
    int64_t reach = 0;
    for (int a = e->axes - 1; a >= 0; a--) {
        if (e->axis[a].stride <= reach)
            return false;
        reach += (e->axis[a].extent - 1) * e->axis[a].stride;
    }
    return true;
}

/* The indices of map m, by the operand that is the result. */
static bool find_indices(struct fuse_epilogue *e, int m) {
    const struct fuse_map_call *map = &e->map[m];
    const struct fuse_operand_view *c = &e->product->c, *own = NULL;
    int found = 0, wanted = 0;
    for (int o = 0; o < map->operands && !own; o++)
        if (map->operand[o].data == c->data && map->operand[o].dtype == c->dtype)
            own = &map->operand[o];
    for (int x = 0; own && x < map->indices; x++) {
        wanted += map->extent[x] != 1;
        for (int a = 0; a < e->axes && map->extent[x] != 1; a++)
            if (own->stride[x] == e->axis[a].stride && map->extent[x] == e->axis[a].extent) {
                e->axis[a].index[m] = x;
                found++;
            }
    }
    return own && found == wanted && found == e->axes;
}

static bool counts_along(const struct fuse_scalar *body, int index) {
    for (int i = 0; i < body->n; i++)
        if (body->node[i].op == FUSE_SCALAR_IOTA && body->node[i].arg == index)
            return true;
    return false;
}

static bool joins(const struct fuse_epilogue *e, int a) {
    bool is = a > 0 && e->axis[a - 1].stride == e->axis[a].stride * e->axis[a].extent;
    for (int m = 0; m < e->maps && is; m++) {
        const struct fuse_map_call *map = &e->map[m];
        const int outer = e->axis[a - 1].index[m], inner = e->axis[a].index[m];
        const int64_t extent = e->axis[a].extent;
        is = !counts_along(map->body, outer) && !counts_along(map->body, inner) &&
             map->out.stride[outer] == map->out.stride[inner] * extent;
        for (int o = 0; o < map->operands && is; o++)
            is = map->operand[o].stride[outer] == map->operand[o].stride[inner] * extent;
    }
    return is;
}

/* Whether a thread's tile buffers have room, and tiles are the best way: not across an operand, and not where a large map's last step
 * takes so long that it fetches what comes next meanwhile. That one loses nothing by a sweep. */
static bool suits(const struct fuse_epilogue *e, int m) {
    const struct fuse_map_call *map = &e->map[m];
    struct fuse_map_plan plan;
    struct fuse_error ignored = {0};
    if (map->operands > MOST_OPERANDS || map->reduce != FUSE_REDUCE_NONE || fuse_map_runs_across(map) ||
        fuse_map_plan_open(&plan, e->cpu, map, &ignored) != FUSE_OK)
        return false;
    const size_t others = (size_t)plan.nodes * 16 + ((size_t)64 << 10);
    fuse_map_plan_close(&plan);
    return plan.slot_bytes + others <= FUSE_CPU_EPILOGUE && !plan.last_paces;
}

static int64_t result_bytes(const struct fuse_contract *product) {
    return fuse_sat_mul(fuse_points(product->indices, product->extent, product->in_c),
                        (int64_t)fuse_dtype_bytes(product->c.dtype));
}

struct fuse_epilogue *fuse_epilogue_begin(struct fuse_epilogue *e) {
    if (e == NULL || result_bytes(e->product) < WORTH_BYTES || !find_axes(e))
        return NULL;
    for (int m = 0; m < e->maps; m++)
        if (!find_indices(e, m) || !suits(e, m))
            return NULL;
    for (int a = 0; a < e->axes; a++)
        e->axis[a].joins = joins(e, a);
    e->worker = calloc((size_t)(e->cpu->threads * e->maps), sizeof *e->worker);
    for (int t = 0; e->worker && t < e->cpu->threads; t++)
        for (int m = 0; m < e->maps; m++) {
            struct fuse_epilogue_worker *w = &e->worker[t * e->maps + m];
            w->call = e->map[m];
            memcpy(w->operand, e->map[m].operand, (size_t)e->map[m].operands * sizeof *w->operand);
            w->call.operand = w->operand;
        }
    return e->worker ? e : NULL;
}

/* ---- parts ---- */

static void *shifted(const struct fuse_operand_view *view, const struct fuse_epilogue *e, int m, const int64_t *at) {
    int64_t offset = 0;
    for (int a = 0; a < e->axes; a++)
        offset += at[a] * view->stride[e->axis[a].index[m]];
    return (char *)view->data + offset * (int64_t)fuse_dtype_bytes(view->dtype);
}

/* The maps at the points from at[] on, extent[] of them along each axis. */
static void run_box(struct fuse_epilogue *e, int thread, const int64_t *at, const int64_t *extent) {
    char *scratch = e->cpu->epilogue + (size_t)thread * FUSE_CPU_EPILOGUE;
    for (int m = 0; m < e->maps; m++) {
        const struct fuse_map_call *map = &e->map[m];
        struct fuse_epilogue_worker *w = &e->worker[thread * e->maps + m];
        bool same = w->is_open;
        for (int a = 0; a < e->axes; a++) {
            const int x = e->axis[a].index[m];
            same = same && w->call.extent[x] == extent[a];
            w->call.extent[x] = extent[a];
            w->call.origin[x] = map->origin[x] + at[a];
        }
        for (int o = 0; o < map->operands; o++)
            w->operand[o].data = shifted(&map->operand[o], e, m, at);
        w->call.out.data = shifted(&map->out, e, m, at);
        if (same) {
            fuse_map_plan_aim(&w->plan);
        } else {
            if (w->is_open)
                fuse_map_plan_close(&w->plan);
            w->is_open = w->status == FUSE_OK &&
                         (w->status = fuse_map_plan_open(&w->plan, e->cpu, &w->call, &w->err)) == FUSE_OK;
        }
        if (w->is_open)
            w->overflow |= fuse_map_run_part(&w->plan, scratch);
    }
}

static int axis_of(const struct fuse_epilogue *e, int64_t stride) {
    int a = e->axes - 1;
    while (e->axis[a].stride != stride)
        a--;
    return a;
}

/* Whether no operand knows of the borders that points up to `end` along axis a cross. */
static bool is_joined(const struct fuse_epilogue *e, int a, const int64_t *at, int64_t end) {
    bool joined = true;
    for (; end > e->axis[a].extent && joined; a--) {
        joined = e->axis[a].joins;
        end = joined ? at[a - 1] + (end - 1) / e->axis[a].extent + 1 : end;
    }
    return joined;
}

/* Of `left` points along axis a, which go on along those outside it, the most that make a box: its extents, and how many it has. */
static int64_t take_box(const struct fuse_epilogue *e, int a, const int64_t *at, int64_t left, int64_t *extent,
                        int *outermost) {
    const int64_t all = e->axis[a].extent, end = at[a] + left;
    *outermost = a;
    extent[a] = end <= all || is_joined(e, a, at, end) ? left : all - at[a];
    if (extent[a] == left || at[a] != 0)
        return extent[a];
    return all * take_box(e, a - 1, at, left / all, extent, outermost);
}

/* Axes from number x on of the part, the others being at their places in at[] and extent[]. */
static void run_axes(struct fuse_epilogue *e, int thread, const struct fuse_epilogue_part *part, int x, int64_t *at,
                     int64_t *extent) {
    while (x < part->axes && part->axis[x].extent == 1)
        x++;
    if (x == part->axes) {
        run_box(e, thread, at, extent);
        return;
    }
    const int inner = axis_of(e, part->axis[x].stride);
    int64_t begin[FUSE_MAX_AXES];
    memcpy(begin, at, sizeof begin);
    for (int64_t left = part->axis[x].extent, taken; left > 0; left -= taken) {
        int outermost;
        taken = take_box(e, inner, at, left, extent, &outermost);
        run_axes(e, thread, part, x + 1, at, extent);
        int64_t carry = taken;
        for (int a = inner; a >= 0 && left > taken; a--) {
            carry += at[a];
            at[a] = carry % e->axis[a].extent;
            carry /= e->axis[a].extent;
        }
        for (int a = outermost; a <= inner; a++)
            extent[a] = 1;
    }
    memcpy(at, begin, sizeof begin);
}

void fuse_epilogue_run(struct fuse_epilogue *e, int thread, const struct fuse_epilogue_part *part) {
    int64_t at[FUSE_MAX_AXES] = {0}, extent[FUSE_MAX_AXES], offset = part->offset;
    for (int a = 0; a < e->axes; a++) {
        extent[a] = 1;
        at[a] = offset / e->axis[a].stride;
        offset %= e->axis[a].stride;
    }
    run_axes(e, thread, part, 0, at, extent);
}

enum fuse_status fuse_epilogue_end(struct fuse_epilogue *e, enum fuse_status status, struct fuse_cpu_counts *counts,
                                   struct fuse_error *err) {
    for (int m = 0; m < e->maps && status == FUSE_OK && !e->worker; m++)
        status = fuse_cpu_run_map(e->cpu, &e->map[m], counts, err);
    for (int w = 0; w < e->cpu->threads * e->maps && e->worker; w++) {
        struct fuse_epilogue_worker *worker = &e->worker[w];
        counts->overflow |= worker->overflow;
        if (worker->is_open)
            fuse_map_plan_close(&worker->plan);
        if (worker->status != FUSE_OK && status == FUSE_OK) {
            status = worker->status;
            *err = worker->err;
        }
    }
    if (e->worker)
        counts->epilogue_bytes += e->maps * result_bytes(e->product);
    free(e->worker);
    e->worker = NULL;
    return status;
}
