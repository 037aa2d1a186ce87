#include "backend/cpu_map.h"

#include "backend/call_check.h"

#include <stdlib.h>

/* Tile buffers start a few cache lines apart from multiples of 4 KiB, where loads would wait for unrelated stores. */
#define SLOT_GAP 192
/* With more live buffers than this, shorter tiles keep them in the first-level cache. */
#define MANY_BUFFERS ((size_t)40 << 10)
/* Few buffers do not fill that cache with longer tiles either, which take fewer steps. */
#define FEW_BUFFERS ((size_t)20 << 10)
/* Reductions this short are done column-wise even if their rows are contiguous. */
#define SHORT_ROW 16

size_t fuse_tile_class_bytes(enum fuse_tile_class class) {
    static const size_t bytes[] = {1, 8, 4, 8};
    return bytes[class];
}

static int64_t distance(int64_t stride, enum fuse_dtype dtype) {
    return (stride < 0 ? -stride : stride) * (int64_t)fuse_dtype_bytes(dtype);
}

/* Bytes of memory traffic a step along an index causes: a cache line at most. */
static int64_t touched(int64_t stride, enum fuse_dtype dtype) {
    int64_t bytes = distance(stride, dtype);
    return bytes < 64 ? bytes : 64;
}

static int64_t operands_touched(const struct fuse_map_call *call, int x) {
    int64_t sum = 0;
    for (int o = 0; o < call->operands; o++)
        sum += touched(call->operand[o].stride[x], call->operand[o].dtype);
    return sum;
}

/* Insertion sort by decreasing key; equal keys stay in order. */
static void sort_down(int n, int *order, const int64_t *key) {
    for (int i = 1; i < n; i++) {
        int x = order[i], j = i;
        for (; j > 0 && key[order[j - 1]] < key[x]; j--)
            order[j] = order[j - 1];
        order[j] = x;
    }
}

/* Outermost first by the result's strides, unless another index is much cheaper for the operands as the innermost. */
static void order_kept(const struct fuse_map_call *call, bool reduces, int n, int *order) {
    int64_t key[FUSE_MAX_AXES] = {0};
    for (int i = 0; i < n; i++)
        key[order[i]] = distance(call->out.stride[order[i]], call->out.dtype);
    sort_down(n, order, key);
    int best = n - 1;
    int64_t least = 0;
    for (int i = n - 1; i >= 0; i--) {
        /* Writing a line means reading it first; a reduction writes each element once for many that it reads. */
        int64_t cost =
            operands_touched(call, order[i]) + (reduces ? 0 : 2 * touched(call->out.stride[order[i]], call->out.dtype));
        if (i == n - 1 || (2 * cost < least && call->extent[order[i]] >= FUSE_TILE_LANES)) {
            best = i;
            least = cost;
        }
    }
    if (best >= 0) {
        int x = order[best];
        for (int i = best; i < n - 1; i++)
            order[i] = order[i + 1];
        order[n - 1] = x;
    }
}

static void order_reduced(const struct fuse_map_call *call, int n, int *order) {
    int64_t key[FUSE_MAX_AXES] = {0};
    for (int i = 0; i < n; i++) {
        key[order[i]] = 0;
        for (int o = 0; o < call->operands; o++)
            key[order[i]] += distance(call->operand[o].stride[order[i]], call->operand[o].dtype);
    }
    sort_down(n, order, key);
}

static enum fuse_map_shape choose_shape(const struct fuse_map_call *call, const struct fuse_map_plan *plan, int kepts,
                                        const int *kept, int reduceds, const int *reduced) {
    if (plan->reduced == 0)
        return FUSE_MAP_COLUMNS; /* of no points: only the neutral elements are written */
    if (reduceds == 0)
        return FUSE_MAP_ELEMENTS;
    if (kepts == 0 || plan->kept < FUSE_TILE_LANES)
        return FUSE_MAP_ROWS;
    int64_t row = operands_touched(call, reduced[reduceds - 1]), column = operands_touched(call, kept[kepts - 1]);
    if (plan->reduced <= SHORT_ROW || row > column)
        return FUSE_MAP_COLUMNS;
    return row < column || plan->reduced >= 64 ? FUSE_MAP_ROWS : FUSE_MAP_COLUMNS;
}

static void make_walk(struct fuse_walk *walk, const struct fuse_map_call *call, int n, const int *order,
                      const int64_t *stride) {
    int64_t extent[FUSE_MAX_AXES], along[FUSE_MAX_AXES];
    for (int i = 0; i < n; i++) {
        extent[i] = call->extent[order[i]];
        along[i] = stride[order[i]];
    }
    fuse_walk_make(walk, n, extent, along);
}

/* Neighbouring runs are moved together when each alone is hardly more than a call. */
static fuse_tile_runs *short_runs(const struct fuse_map_plan *plan, const struct fuse_walk *walk,
                                  enum fuse_dtype memory, enum fuse_dtype value) {
    return memory == value && walk->axes > 1 && walk->extent[0] <= FUSE_TILE_RUN
               ? plan->tile->runs[fuse_tile_class(value)]
               : NULL;
}

static void make_source(struct fuse_map_plan *plan, struct fuse_map_source *source, const struct fuse_scalar_node *node,
                        int n, const int *order, const int *outer) {
    const struct fuse_map_call *call = plan->call;
    int64_t ones[FUSE_MAX_AXES] = {0};
    const int64_t *stride = ones;
    if (node->op == FUSE_SCALAR_IOTA) {
        ones[node->arg] = 1;
        source->first = call->origin[node->arg];
    } else {
        const struct fuse_operand_view *operand = &call->operand[node->arg];
        stride = operand->stride;
        source->data = operand->data;
        source->bytes = fuse_dtype_bytes(operand->dtype);
        source->in_place = operand->dtype == node->dtype;
        source->load = plan->tile->load[operand->dtype][fuse_tile_class(node->dtype)];
    }
    make_walk(&source->walk, call, n, order, stride);
    if (node->op == FUSE_SCALAR_LOAD)
        source->runs = short_runs(plan, &source->walk, call->operand[node->arg].dtype, node->dtype);
    for (int i = 0; i < plan->outers; i++)
        source->outer[i] = stride[outer[i]];
}

/* A square by multiplication is exact to half an ulp and needs no power function. */
static bool is_square(const struct fuse_scalar *body, const struct fuse_scalar_node *node) {
    const struct fuse_scalar_node *b = &body->node[node->b];
    return node->op == FUSE_SCALAR_POW && node->dtype != FUSE_I64 && b->op == FUSE_SCALAR_CONST && b->real == 2.0;
}

static fuse_tile_op *find_op(const struct fuse_tile_table *tile, const struct fuse_scalar *body,
                             const struct fuse_scalar_node *node) {
    enum fuse_tile_class class = fuse_tile_class(node->dtype);
    enum fuse_tile_class from = node->a >= 0 ? fuse_tile_class(body->node[node->a].dtype) : class;
    switch (node->op) {
    case FUSE_SCALAR_CAST: return tile->cast[from][class];
    case FUSE_SCALAR_NARROW: return tile->narrow[node->arg][class];
    case FUSE_SCALAR_UNIFORM:
    case FUSE_SCALAR_NORMAL:
    case FUSE_SCALAR_SELECT: return tile->op[node->op][class];
    default: return is_square(body, node) ? tile->square[class] : tile->op[node->op][from];
    }
}

/* A product of `node` and something else, either way round; a constant comes second. */
static bool is_product(const struct fuse_scalar *body, int node, int *a, int *b) {
    const struct fuse_scalar_node *n = &body->node[node];
    *a = n->a;
    *b = n->b;
    return n->op == FUSE_SCALAR_MUL && n->dtype != FUSE_I64;
}

static bool is_const(const struct fuse_scalar *body, int node, double *value) {
    *value = body->node[node].real;
    return body->node[node].op == FUSE_SCALAR_CONST;
}

static bool is_scaled(const struct fuse_scalar *body, int node, int x, double *factor) {
    int a, b;
    return is_product(body, node, &a, &b) && a == x && is_const(body, b, factor);
}

static bool is_sum(const struct fuse_scalar *body, int node, int *a, double *constant) {
    *a = body->node[node].a;
    return body->node[node].op == FUSE_SCALAR_ADD && is_const(body, body->node[node].b, constant);
}

/* (x c1) ((x x) c2 + c3), either way round. */
static bool is_bent(const struct fuse_scalar *body, int node, int x, double constant[5]) {
    int a, b, cubed, squared, p, q;
    double factor;
    if (!is_product(body, node, &a, &b))
        return false;
    if (!is_scaled(body, a, x, &constant[1])) {
        int other = a;
        a = b;
        b = other;
    }
    return is_scaled(body, a, x, &constant[1]) && is_sum(body, b, &cubed, &constant[3]) &&
           is_product(body, cubed, &squared, &p) && is_const(body, p, &factor) && (constant[2] = factor, true) &&
           is_product(body, squared, &p, &q) && p == x && q == x;
}

/* What a node is as one of the two forms of gelu, NULL: neither; *x is their argument. */
static fuse_tile_op *find_gelu(const struct fuse_tile_table *tile, const struct fuse_scalar *body, int node, int *x,
                               double constant[5]) {
    int a, b, inner;
    if (!is_product(body, node, &a, &b))
        return NULL;
    for (int way = 0; way < 2; way++) {
        int scaled = way ? b : a, sum = way ? a : b, p, q;
        if (!is_product(body, scaled, &p, &q) || !is_const(body, q, &constant[0]) ||
            !is_sum(body, sum, &inner, &constant[4]))
            continue;
        const struct fuse_scalar_node *f = &body->node[inner];
        const enum fuse_tile_class class = fuse_tile_class(f->dtype);
        *x = p;
        if (f->op == FUSE_SCALAR_TANH && constant[4] == 1 && is_bent(body, f->a, p, constant))
            return tile->gelu[class];
        if (f->op == FUSE_SCALAR_ERF && is_scaled(body, f->a, p, &constant[1]))
            return tile->gelu_erf[class];
    }
    return NULL;
}

/* Buffers of nodes that nobody needs any more are used again. Invariant nodes have their own. */
struct slots {
    size_t used, free[2][64];
    int n[2];
    int64_t length;
};

static size_t take_slot(struct slots *slots, enum fuse_tile_class class, bool fresh) {
    int wide = fuse_tile_class_bytes(class) == 8;
    if (slots->n[wide] > 0 && !fresh)
        return slots->free[wide][--slots->n[wide]];
    size_t slot = slots->used;
    slots->used += (size_t)slots->length * (wide ? 8 : 4) + SLOT_GAP;
    return slot;
}

static void give_slot(struct slots *slots, enum fuse_tile_class class, size_t slot) {
    int wide = fuse_tile_class_bytes(class) == 8;
    if (slots->n[wide] < 64)
        slots->free[wide][slots->n[wide]++] = slot;
}

static void place_buffers(struct fuse_map_plan *plan, int *last_use) {
    const int n = plan->nodes;
    struct slots slots = {.length = plan->length};
    for (int i = 0; i < n; i++)
        last_use[i] = i;
    for (int i = 0; i < n; i++) {
        const int argument[3] = {plan->step[i].a, plan->step[i].b, plan->step[i].c};
        for (int k = 0; k < 3; k++)
            if (argument[k] >= 0)
                last_use[argument[k]] = i;
    }
    last_use[n - 1] = n;
    for (int i = 0; i < n; i++) {
        struct fuse_map_step *step = &plan->step[i];
        if (step->action == FUSE_MAP_UNUSED)
            continue;
        step->slot = take_slot(&slots, step->class, step->invariant);
        const int argument[3] = {step->a, step->b, step->c};
        for (int k = 0; k < 3; k++) {
            int a = argument[k];
            bool again = (k > 0 && a == argument[0]) || (k > 1 && a == argument[1]);
            if (a >= 0 && !again && last_use[a] == i && !plan->step[a].invariant)
                give_slot(&slots, plan->step[a].class, plan->step[a].slot);
        }
    }
    plan->slot_bytes = slots.used;
}

/* The last node rounds to the type of the result, as storing it does anyway. */
static bool rounds_last(const struct fuse_map_call *call) {
    const struct fuse_scalar_node *last = &call->body->node[call->body->n - 1];
    return call->reduce == FUSE_REDUCE_NONE && last->op == FUSE_SCALAR_NARROW && last->arg == (int)call->out.dtype &&
           last->a == call->body->n - 2 && call->body->node[last->a].dtype == last->dtype;
}

/* Gelus become one step each; what only they needed is not computed. */
static void take_together(struct fuse_map_plan *plan, bool *needed) {
    const struct fuse_scalar *body = plan->call->body;
    for (int i = plan->nodes - 1; i >= 0; i--)
        needed[i] = i == plan->nodes - 1;
    for (int i = plan->nodes - 1; i >= 0; i--) {
        struct fuse_map_step *step = &plan->step[i];
        int x;
        if (!needed[i]) {
            step->action = FUSE_MAP_UNUSED;
            step->invariant = true;
            step->a = step->b = step->c = -1;
            continue;
        }
        fuse_tile_op *gelu = NULL;
        if (step->action == FUSE_MAP_OP && !step->invariant && plan->gelus < FUSE_MAP_GELUS)
            gelu = find_gelu(plan->tile, body, i, &x, plan->constant[plan->gelus]);
        if (gelu) {
            step->op = gelu;
            step->a = x;
            step->b = step->c = -1;
            step->constant = plan->constant[plan->gelus++];
        }
        const int argument[3] = {step->a, step->b, step->c};
        for (int k = 0; k < 3; k++)
            if (argument[k] >= 0)
                needed[argument[k]] = true;
    }
}

static void make_steps(struct fuse_map_plan *plan, int n, const int *order, const int *outer) {
    const struct fuse_scalar *body = plan->call->body;
    for (int i = 0; i < body->n; i++) {
        const struct fuse_scalar_node *node = &body->node[i];
        struct fuse_map_step *step = &plan->step[i];
        *step = (struct fuse_map_step){.action = FUSE_MAP_OP,
                                       .class = fuse_tile_class(node->dtype),
                                       .a = node->a,
                                       .b = node->b,
                                       .c = node->c,
                                       .integer = node->integer};
        if (node->op == FUSE_SCALAR_LOAD || node->op == FUSE_SCALAR_IOTA) {
            step->action = node->op == FUSE_SCALAR_LOAD ? FUSE_MAP_LOAD : FUSE_MAP_RAMP;
            step->source = plan->sources++;
            make_source(plan, &plan->source[step->source], node, n, order, outer);
        } else if (node->op == FUSE_SCALAR_CONST) {
            step->action = FUSE_MAP_DONE;
            step->invariant = true;
        } else {
            step->op = find_op(plan->tile, body, node);
            step->invariant = plan->step[node->a].invariant && (node->b < 0 || plan->step[node->b].invariant) &&
                              (node->c < 0 || plan->step[node->c].invariant);
        }
    }
}

static void choose_stores(struct fuse_map_plan *plan) {
    const struct fuse_map_call *call = plan->call;
    const struct fuse_map_step *last = &plan->step[plan->nodes - 1];
    const bool large = plan->reduce == FUSE_REDUCE_NONE &&
                       fuse_sat_mul(plan->kept, (int64_t)fuse_dtype_bytes(call->out.dtype)) >= FUSE_MAP_LARGE;
    plan->streams = large;
    for (int o = 0; o < call->operands; o++)
        plan->streams &= call->operand[o].data != call->out.data; /* lines that are read anyway */
    for (int k = 0; last->action == FUSE_MAP_OP && !last->invariant && k < FUSE_TILE_PACING; k++)
        plan->paces |= last->op == plan->tile->pacing[k];
    plan->last_paces = large && plan->paces;
}

/* Where accumulators are not as many as a tile has elements. What does not fetch as it goes loses more by waiting for a tile's
 * first lines than it saves. */
static bool takes_long_tiles(const struct fuse_map_plan *plan) {
    return plan->last_paces || plan->shape == FUSE_MAP_ROWS || plan->shape == FUSE_MAP_NARROW;
}

static bool is_in_place(const struct fuse_map_plan *plan, int node) {
    const struct fuse_map_source *source = &plan->source[plan->step[node].source];
    return plan->step[node].action == FUSE_MAP_LOAD && source->in_place && source->walk.stride[0] == 1;
}

/* Whether operands are reduced where they lie. */
static void find_plain(struct fuse_map_plan *plan) {
    const struct fuse_map_step *last = &plan->step[plan->nodes - 1];
    fuse_tile_op *const product = plan->tile->op[FUSE_SCALAR_MUL][plan->class];
    plan->plain = plan->reduce != FUSE_REDUCE_NONE && plan->nodes == 1 && is_in_place(plan, 0);
    if (plan->reduce != FUSE_REDUCE_SUM || plan->shape != FUSE_MAP_ROWS || last->action != FUSE_MAP_OP ||
        last->op != product || plan->tile->fold_products[plan->class] == NULL)
        return;
    plan->products = is_in_place(plan, last->a) && is_in_place(plan, last->b);
    plan->factor[0] = plan->step[last->a].source;
    plan->factor[1] = plan->step[last->b].source;
}

enum fuse_status fuse_map_plan_open(struct fuse_map_plan *plan, const struct fuse_cpu_backend *cpu,
                                    const struct fuse_map_call *call, struct fuse_error *err) {
    *plan = (struct fuse_map_plan){.call = call, .tile = cpu->tile, .reduce = call->reduce, .nodes = call->body->n};
    plan->class = fuse_tile_class(fuse_map_body_dtype(call));
    plan->acc_class = call->reduce == FUSE_REDUCE_SUM && plan->class == FUSE_TILE_F32 ? FUSE_TILE_F64 : plan->class;
    plan->kept = fuse_points(call->indices, call->extent, call->in_out);
    plan->reduced = fuse_points(call->indices, call->extent, ~call->in_out);
    plan->reload = cpu->tile->load[call->out.dtype][plan->class];

    int kept[FUSE_MAX_AXES], reduced[FUSE_MAX_AXES], kepts = 0, reduceds = 0;
    for (int x = 0; x < call->indices; x++) {
        if (call->extent[x] <= 1)
            continue;
        if (call->in_out >> x & 1)
            kept[kepts++] = x;
        else
            reduced[reduceds++] = x;
    }
    order_kept(call, reduceds > 0, kepts, kept);
    order_reduced(call, reduceds, reduced);
    plan->shape = choose_shape(call, plan, kepts, kept, reduceds, reduced);
    make_walk(&plan->out, call, kepts, kept, call->out.stride);
    plan->out_runs = short_runs(plan, &plan->out, call->out.dtype, fuse_tile_dtype(plan->class));
    if (plan->shape == FUSE_MAP_COLUMNS && plan->reduced > 0 && 2 * plan->kept <= FUSE_TILE)
        plan->shape = FUSE_MAP_NARROW;
    if (plan->shape == FUSE_MAP_COLUMNS) {
        plan->outers = reduceds;
        for (int i = 0; i < reduceds; i++)
            plan->outer_extent[i] = call->extent[reduced[i]];
    }
    /* The order of the loops: rows first, or what is reduced first. */
    int order[FUSE_MAX_AXES], loops = 0;
    for (int i = 0; plan->shape == FUSE_MAP_NARROW && i < reduceds; i++)
        order[loops++] = reduced[i];
    for (int i = 0; i < kepts; i++)
        order[loops++] = kept[i];
    for (int i = 0; plan->shape == FUSE_MAP_ROWS && i < reduceds; i++)
        order[loops++] = reduced[i];

    size_t nodes = (size_t)call->body->n;
    plan->step = calloc(nodes, sizeof *plan->step);
    plan->source = calloc(nodes, sizeof *plan->source);
    int *last_use = calloc(nodes, sizeof *last_use);
    bool *needed = calloc(nodes, sizeof *needed);
    if (plan->step == NULL || plan->source == NULL || last_use == NULL || needed == NULL) {
        free(needed);
        free(last_use);
        fuse_map_plan_close(plan);
        return fuse_fail(err, FUSE_EMEMORY, "no memory for a map of %d nodes", call->body->n);
    }
    make_steps(plan, loops, order, reduced);
    plan->nodes -= rounds_last(call);
    take_together(plan, needed);
    free(needed);
    choose_stores(plan);
    find_plain(plan);
    plan->length = takes_long_tiles(plan) ? FUSE_MAP_LONG : FUSE_TILE;
    place_buffers(plan, last_use);
    while (plan->slot_bytes > FEW_BUFFERS && plan->length > FUSE_TILE) {
        plan->length /= 2;
        place_buffers(plan, last_use);
    }
    /* The length depends on the body and the order of loops alone, so that cutting a reduction in tiles does. */
    while (plan->slot_bytes > MANY_BUFFERS && plan->length > 8 * FUSE_TILE_LANES) {
        plan->length /= 2;
        place_buffers(plan, last_use);
    }
    while (plan->slot_bytes > FUSE_CPU_SCRATCH / 2 && plan->length > FUSE_TILE_LANES) {
        plan->length /= 2;
        place_buffers(plan, last_use);
    }
    free(last_use);
    size_t pointers = nodes * (sizeof(void *) + sizeof(int64_t));
    if (plan->slot_bytes + pointers > FUSE_CPU_SCRATCH - ((size_t)256 << 10)) {
        fuse_map_plan_close(plan);
        return fuse_fail(err, FUSE_EBUG, "map: a body of %d nodes is too long", call->body->n);
    }
    return FUSE_OK;
}

void fuse_map_plan_aim(struct fuse_map_plan *plan) {
    const struct fuse_map_call *call = plan->call;
    for (int i = 0; i < plan->nodes; i++) {
        const struct fuse_scalar_node *node = &call->body->node[i];
        struct fuse_map_source *source = &plan->source[plan->step[i].source];
        if (plan->step[i].action == FUSE_MAP_LOAD)
            source->data = call->operand[node->arg].data;
        else if (plan->step[i].action == FUSE_MAP_RAMP)
            source->first = call->origin[node->arg];
    }
}

void fuse_map_plan_close(struct fuse_map_plan *plan) {
    free(plan->step);
    free(plan->source);
    plan->step = NULL;
    plan->source = NULL;
}
