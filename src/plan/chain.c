/* Finding chains. A chain grows from a large intermediate and one of its axes: the operation that makes it and all that
 * use it join, each with the index that walks the axis; what other large values they make or read is drawn in if it can
 * be; and whatever lies between two members must join too. An intermediate is `inner` when all its users are members.
 * When an operation cannot join, the axis is given up.
 *
 * Where sources are streamed, sinks may be members, and a chain also grows from an operation that reads a large source. The
 * other readers of the source are invited; those that cannot come make chains of their own, which read it again. In the end
 * a source is streamed when all its readers are in chains; those that are not are named, and everything is tried once
 * more without them. */
#include "plan/chain.h"

#include "plan/ordered.h"
#include "plan/stream.h"

#include <string.h>

#define SLAB_BYTES ((int64_t)32 << 20)       /* what a rank likes to hold of a chain at once */
#define SLAB_MOST_BYTES ((int64_t)256 << 20) /* and what it accepts for the sake of ROWS positions a turn */
#define ROWS 64
#define LITTLE 8   /* times stream_bytes: about half of what a rank may hold */
#define WORTH 4    /* times as many bytes kept from being stored as go in and come out */
#define UNPACKED 2 /* times as many bytes as what it is made from: stored small, it should be small in memory too */

struct growth {
    struct fuse_plan *plan;
    int number; /* of the chain */
    int64_t extent;
    const struct fuse_chain_limits *limits;
    int *index; /* [ops] along the axis, -1: no member */
    int *axis;  /* [values] inner or streamed: along the axis, -1: neither */
    int64_t
        *made_from; /* [values] bytes that it is made from element by element; its own when it is computed otherwise */
    bool *whole;    /* [values] sources that cannot be streamed */
    int *user_begin, *user;
};

static bool computes(const struct fuse_op *op) {
    return op->kind == FUSE_OP_EINSUM || op->kind == FUSE_OP_MAP || op->kind == FUSE_OP_ATTENTION;
}

static const struct fuse_op *op_at(const struct growth *g, int op) {
    return g->plan->ir->ops.at[op];
}

/* The axis of the operation's output that is this index, or -1. */
static int output_axis(const struct growth *g, const struct fuse_op *op, int index) {
    for (int a = 0; a < g->plan->ir->values.at[op->out].rank; a++)
        if (op->out_index[a] == index)
            return a;
    return -1;
}

/* The index that walks axis `axis` of a value in every read of it by the operation, position by position; -1 if none. */
static int walking_index(const struct growth *g, const struct fuse_op *op, int value, int axis) {
    int index = -1;
    for (int k = 0; k < op->inputs; k++) {
        const struct fuse_access_axis *at = &op->input[k].access.at[axis];
        if (op->input[k].value != value)
            continue;
        if (at->index < 0 || at->stride != 1 || at->offset != 0 || op->extent[at->index] != g->extent ||
            (index >= 0 && index != at->index))
            return -1;
        index = at->index;
    }
    return index;
}

/* A dequantised weight, a vector along all rows: what it was made from is a small form of it. */
static bool is_unpacked(const struct growth *g, int value) {
    return fuse_value_bytes(&g->plan->ir->values.at[value]) / UNPACKED >= g->made_from[value];
}

static bool is_large(const struct growth *g, int value) {
    const struct fuse_value *v = &g->plan->ir->values.at[value];
    return g->limits->large_bytes >= 0 && computes(op_at(g, v->op)) &&
           fuse_value_bytes(v) / g->plan->mesh.used >= g->limits->large_bytes;
}

/* A source that is to be streamed. */
static bool is_large_source(const struct growth *g, int value) {
    const struct fuse_value *v = &g->plan->ir->values.at[value];
    int64_t bytes = fuse_value_bytes(v);
    return g->limits->stream_bytes >= 0 && op_at(g, v->op)->kind == FUSE_OP_SOURCE &&
           !fuse_is_relation(g->plan->ir, value) && v->pin == 0 && !g->whole[value] &&
           bytes >= g->plan->request.replicate_below && bytes / g->plan->mesh.used >= g->limits->stream_bytes;
}

/* The index of an operation that would walk the axis of a value as a member of the chain, -1: it cannot be one. */
static int member_index(const struct growth *g, int number, int value, int axis) {
    const struct fuse_op *op = op_at(g, number);
    bool may = computes(op) || (op->kind == FUSE_OP_SINK && op->path && g->limits->stream_bytes >= 0 &&
                                fuse_stream_is_possible(g->plan, value, axis, false));
    return may ? walking_index(g, op, value, axis) : -1;
}

static void trace_bytes(struct growth *g) {
    const struct fuse_ir *ir = g->plan->ir;
    for (int o = 0; o < ir->ops.n; o++) {
        const struct fuse_op *op = op_at(g, o);
        int v = op->out;
        if (v < 0)
            continue;
        int64_t own = fuse_value_bytes(&ir->values.at[v]), bytes = 0;
        bool is_map = op->kind == FUSE_OP_MAP && op->reduce == FUSE_REDUCE_NONE && op->inputs > 0;
        for (int k = 0; k < op->inputs && is_map; k++)
            bytes = fuse_sat_add(bytes, g->made_from[op->input[k].value]);
        g->made_from[v] = is_map && bytes < own ? bytes : own;
    }
}

/* ---- growing -------------------------------------------------------------------------------------------------- */

static bool join(struct growth *g, int op, int index);

/* Makes a value one that exists as slabs: its operation and all its users join. */
static bool draw_in(struct growth *g, int value, int axis) {
    const struct fuse_value *v = &g->plan->ir->values.at[value];
    if (g->axis[value] >= 0)
        return g->axis[value] == axis;
    if (!computes(op_at(g, v->op)) || v->extent[axis] != g->extent || v->pin > 0)
        return false;
    g->axis[value] = axis;
    if (!join(g, v->op, op_at(g, v->op)->out_index[axis]))
        return false;
    for (int u = g->user_begin[value]; u < g->user_begin[value + 1]; u++) {
        int index = member_index(g, g->user[u], value, axis);
        if (index < 0 || !join(g, g->user[u], index))
            return false;
    }
    return true;
}

/* What has grown so far, to return to. Taken from the plan's arena. */
struct snapshot {
    struct fuse_arena_mark mark;
    int *index, *axis;
};

static struct snapshot remember(const struct growth *g) {
    const struct fuse_ir *ir = g->plan->ir;
    struct snapshot s = {.mark = fuse_arena_mark(g->plan->arena)};
    s.index = FUSE_NEW_ARRAY(g->plan->arena, int, ir->ops.n + 1);
    s.axis = FUSE_NEW_ARRAY(g->plan->arena, int, ir->values.n + 1);
    memcpy(s.index, g->index, sizeof *s.index * (size_t)ir->ops.n);
    memcpy(s.axis, g->axis, sizeof *s.axis * (size_t)ir->values.n);
    return s;
}

/* Keeps what has grown since, or returns. */
static void settle(struct growth *g, const struct snapshot *s, bool keeps) {
    const struct fuse_ir *ir = g->plan->ir;
    if (!keeps) {
        memcpy(g->index, s->index, sizeof *s->index * (size_t)ir->ops.n);
        memcpy(g->axis, s->axis, sizeof *s->axis * (size_t)ir->values.n);
    }
    fuse_arena_rewind(g->plan->arena, s->mark);
}

/* No member reads a source in another way than along its slabs. */
static bool members_walk(const struct growth *g, int value, int axis) {
    for (int u = g->user_begin[value]; u < g->user_begin[value + 1]; u++) {
        int op = g->user[u];
        if (g->index[op] >= 0 && walking_index(g, op_at(g, op), value, axis) != g->index[op])
            return false;
    }
    return true;
}

/* Draws in a large value, or leaves everything as it was. */
static void try_to_draw_in(struct growth *g, int value, int axis) {
    if (axis < 0 || g->axis[value] >= 0)
        return;
    if (is_large_source(g, value) && members_walk(g, value, axis) &&
        fuse_stream_is_possible(g->plan, value, axis, fuse_stream_is_reversed(g->plan, value)))
        g->axis[value] = axis;
    if (!is_large(g, value))
        return;
    struct snapshot before = remember(g);
    settle(g, &before, draw_in(g, value, axis));
}

static bool join(struct growth *g, int number, int index) {
    const struct fuse_op *op = op_at(g, number);
    if (g->index[number] >= 0)
        return g->index[number] == index;
    /* A row of scores is not made in slabs, nor all of them for every slab. */
    if (op->kind == FUSE_OP_ATTENTION &&
        (output_axis(g, op, index) < 0 || !(g->limits->repeats_scores || fuse_attention_scores_have(op, index))))
        return false;
    /* What a chain makes is split along its slabs; a layout that somebody wants may not be. A recursion is a loop already. */
    if (g->plan->chain[number] >= 0 || g->plan->recursion[number] >= 0 || op->extent[index] != g->extent ||
        (op->out >= 0 && g->plan->ir->values.at[op->out].pin > 0))
        return false;
    if (fuse_index_is_ordered(g->plan, number, index))
        return false;
    for (int k = 0; k < op->inputs; k++) {
        int v = op->input[k].value;
        if (is_large_source(g, v) && g->axis[v] >= 0 && walking_index(g, op, v, g->axis[v]) != index)
            return false;
    }
    g->index[number] = index;
    for (int k = 0; k < op->inputs; k++)
        for (int a = 0; a < op->input[k].access.rank; a++)
            if (op->input[k].access.at[a].index == index && walking_index(g, op, op->input[k].value, a) == index) {
                try_to_draw_in(g, op->input[k].value, a);
                break;
            }
    if (op->out >= 0)
        try_to_draw_in(g, op->out, output_axis(g, op, index));
    return true;
}

/* An operation between two members reads what the chain makes and makes what the chain reads: it must join, position by
 * position along the axis. false when one cannot. */
static bool join_what_lies_between(struct growth *g) {
    const struct fuse_ir *ir = g->plan->ir;
    struct fuse_arena_mark mark = fuse_arena_mark(g->plan->arena);
    bool *leads = FUSE_NEW_ARRAY(g->plan->arena, bool, ir->values.n + 1); /* to a member */
    bool changed = true, possible = true;
    while (changed && possible) {
        changed = false;
        memset(leads, 0, (size_t)ir->values.n * sizeof *leads);
        for (int o = ir->ops.n - 1; o >= 0 && !changed && possible; o--) {
            const struct fuse_op *op = ir->ops.at[o];
            bool member = g->index[o] >= 0, between = computes(op) && !member && leads[op->out];
            for (int k = 0; k < op->inputs && (member || between); k++) {
                int v = op->input[k].value, maker = ir->values.at[v].op;
                leads[v] = true;
                if (g->index[maker] < 0)
                    continue;
                int axis = output_axis(g, ir->ops.at[maker], g->index[maker]);
                int index = axis >= 0 ? walking_index(g, op, v, axis) : -1;
                possible &= index >= 0 && (between || index == g->index[o]);
                if (between && possible) {
                    possible = join(g, o, index);
                    changed = true;
                    break;
                }
            }
        }
    }
    fuse_arena_rewind(g->plan->arena, mark);
    return possible;
}

/* The other readers of what is streamed join if they can: it is read once for all of them. */
static void invite_readers(struct growth *g) {
    const struct fuse_ir *ir = g->plan->ir;
    for (int v = 0; v < ir->values.n; v++)
        for (int u = g->user_begin[v]; is_large_source(g, v) && g->axis[v] >= 0 && u < g->user_begin[v + 1]; u++) {
            int op = g->user[u], index = g->index[op] < 0 ? member_index(g, op, v, g->axis[v]) : -1;
            if (index < 0)
                continue;
            struct snapshot before = remember(g);
            settle(g, &before, join(g, op, index) && join_what_lies_between(g));
        }
}

/* A chain around an operation that reads a source slab by slab. */
static bool grow_stream(struct growth *g, int value, int op, int axis) {
    int index = member_index(g, op, value, axis);
    g->axis[value] = axis;
    if (index < 0 || !join(g, op, index) || !join_what_lies_between(g))
        return false;
    invite_readers(g);
    return true;
}

/* ---- order ---------------------------------------------------------------------------------------------------- */

struct ordering {
    struct fuse_plan *plan;
    int *block;        /* [ops] a chain, or chains.n + a recursion; -1: neither */
    bool *done, *open; /* [ops]; [blocks] being emitted */
    int *last;         /* [blocks] member */
    int first;         /* operations before this one are done */
    int n;
    bool possible;
};

static void emit(struct ordering *o, int op);

/* What the members of a chain or recursion need comes first, in program order, then the members. */
static void emit_block(struct ordering *o, int block) {
    struct fuse_plan *plan = o->plan;
    const struct fuse_ir *ir = plan->ir;
    if (o->open[block]) {
        o->possible = false;
        return;
    }
    o->open[block] = true;
    while (o->done[o->first])
        o->first++;
    int first = o->first, last = o->last[block];
    bool *needed = FUSE_NEW_ARRAY(plan->arena, bool, last - first + 1);
    for (int i = last; i >= first; i--)
        for (int k = 0; (needed[i - first] || o->block[i] == block) && k < ir->ops.at[i]->inputs; k++) {
            int maker = ir->values.at[ir->ops.at[i]->input[k].value].op;
            if (maker >= first)
                needed[maker - first] = true;
        }
    for (int i = first; i <= last && o->possible; i++)
        if (needed[i - first] && o->block[i] != block)
            emit(o, i);
    for (int i = first; i <= last && o->possible; i++)
        if (o->block[i] == block) {
            o->done[i] = true;
            plan->order[o->n++] = i;
        }
}

static void emit(struct ordering *o, int op) {
    if (o->done[op] || !o->possible)
        return;
    if (o->block[op] >= 0) {
        emit_block(o, o->block[op]);
        return;
    }
    o->done[op] = true;
    o->plan->order[o->n++] = op;
}

/* Program order, but for chains and recursions that stand together. false when two of them need each other. */
static bool put_in_order(struct fuse_plan *plan) {
    int ops = plan->ir->ops.n;
    struct fuse_arena_mark mark = fuse_arena_mark(plan->arena);
    struct ordering o = {.plan = plan, .possible = true};
    int blocks = plan->chains.n;
    o.block = FUSE_NEW_ARRAY(plan->arena, int, ops + 1);
    for (int i = 0; i < ops; i++) {
        bool turns = plan->recursion[i] >= 0;
        o.block[i] = turns ? plan->chains.n + plan->recursion[i] : plan->chain[i];
        blocks = o.block[i] >= blocks ? o.block[i] + 1 : blocks;
    }
    o.done = FUSE_NEW_ARRAY(plan->arena, bool, ops + 1);
    o.open = FUSE_NEW_ARRAY(plan->arena, bool, blocks + 1);
    o.last = FUSE_NEW_ARRAY(plan->arena, int, blocks + 1);
    for (int i = 0; i < ops; i++)
        if (o.block[i] >= 0)
            o.last[o.block[i]] = i;
    for (int i = 0; i < ops; i++)
        emit(&o, i);
    for (int i = 0; i < o.n; i++)
        plan->position[plan->order[i]] = i;
    fuse_arena_rewind(plan->arena, mark);
    return o.possible;
}

/* ---- choosing ------------------------------------------------------------------------------------------------- */

/* Bytes of the chain's inner values, and of what goes in and comes out. */
static void weigh(const struct growth *g, int64_t *inner, int64_t *edge) {
    const struct fuse_ir *ir = g->plan->ir;
    *inner = *edge = 0;
    for (int v = 0; v < ir->values.n; v++) {
        int64_t bytes = fuse_value_bytes(&ir->values.at[v]);
        bool made = g->index[ir->values.at[v].op] >= 0, read = false;
        for (int u = g->user_begin[v]; u < g->user_begin[v + 1]; u++)
            read |= g->index[g->user[u]] >= 0;
        if (g->axis[v] >= 0)
            *inner = fuse_sat_add(*inner, bytes);
        else if (made || read)
            *edge = fuse_sat_add(*edge, bytes);
    }
}

static void keep(const struct growth *g, int dims) {
    struct fuse_plan *plan = g->plan;
    struct fuse_chain chain = {.extent = g->extent};
    int64_t parts = 1;
    while (chain.dims < dims && chain.dims < plan->mesh.dims && parts * plan->mesh.dim[chain.dims] <= g->extent)
        parts *= plan->mesh.dim[chain.dims++];
    for (int o = 0; o < plan->ir->ops.n; o++) {
        if (g->index[o] < 0)
            continue;
        int out = plan->ir->ops.at[o]->out;
        plan->chain[o] = g->number;
        plan->slab_index[o] = g->index[o];
        chain.ops++;
        if (out < 0)
            continue;
        plan->slab_axis[out] = output_axis(g, plan->ir->ops.at[o], g->index[o]);
        plan->inner[out] = g->axis[out] >= 0;
    }
    fuse_vec_push(plan->arena, &plan->chains, chain);
    int64_t inner, edge;
    weigh(g, &inner, &edge);
    plan->chains.at[g->number].turns = fuse_plan_chain_turns(plan, g->number, inner / plan->mesh.used, INT64_MAX);
}

static void drop(const struct growth *g) {
    struct fuse_plan *plan = g->plan;
    for (int o = 0; o < plan->ir->ops.n; o++)
        if (plan->chain[o] == g->number) {
            plan->chain[o] = plan->slab_index[o] = -1;
            if (plan->ir->ops.at[o]->out < 0)
                continue;
            plan->slab_axis[plan->ir->ops.at[o]->out] = -1;
            plan->inner[plan->ir->ops.at[o]->out] = false;
        }
    plan->chains.n--;
}

static void clear(struct growth *g, int64_t extent) {
    g->extent = extent;
    g->number = g->plan->chains.n;
    for (int o = 0; o < g->plan->ir->ops.n; o++)
        g->index[o] = -1;
    for (int v = 0; v < g->plan->ir->values.n; v++)
        g->axis[v] = -1;
}

/* The chain around one value along the axis that keeps most from being stored; the longer axis if equal. */
static void find_chain(struct growth *g, int value) {
    const struct fuse_value *v = &g->plan->ir->values.at[value];
    int best = -1;
    int64_t most = -1, longest = 0;
    for (int a = 0; a < v->rank; a++) {
        int64_t inner, edge;
        if (v->extent[a] < 2)
            continue;
        clear(g, v->extent[a]);
        if (!draw_in(g, value, a) || !join_what_lies_between(g))
            continue;
        weigh(g, &inner, &edge);
        if (g->limits->worth_it && inner / (is_unpacked(g, value) ? 1 : WORTH) < edge)
            continue;
        inner -= inner / v->extent[a]; /* one position of it is there at least */
        if (inner > most || (inner == most && v->extent[a] > longest)) {
            most = inner;
            longest = v->extent[a];
            best = a;
        }
    }
    if (best < 0)
        return;
    clear(g, v->extent[best]);
    if (!draw_in(g, value, best) || !join_what_lies_between(g))
        return;
    keep(g, g->limits->dims);
    if (!put_in_order(g->plan))
        drop(g);
}

/* What a choice of a source's axis keeps in memory, of all ranks together; less is better unless both are little, then
 * whole ranges of the file are. */
struct prospect {
    int axis;
    bool is_little, is_slowest;
    int64_t held, kept;
};

static bool is_better(const struct prospect *a, const struct prospect *b) {
    if (b->axis < 0 || a->is_little != b->is_little)
        return b->axis < 0 || a->is_little;
    if (a->is_little && a->is_slowest != b->is_slowest)
        return a->is_slowest;
    return a->is_little ? a->kept > b->kept : a->held < b->held;
}

/* The chain around an operation that reads a large source. */
static void find_stream(struct growth *g, int value, int op) {
    const struct fuse_value *v = &g->plan->ir->values.at[value];
    bool reversed = fuse_stream_is_reversed(g->plan, value);
    struct prospect best = {.axis = -1};
    for (int a = 0; a < v->rank; a++) {
        int64_t inner, edge;
        if (!fuse_stream_is_possible(g->plan, value, a, reversed))
            continue;
        clear(g, v->extent[a]);
        if (!grow_stream(g, value, op, a))
            continue;
        weigh(g, &inner, &edge);
        struct prospect it = {.axis = a, .is_slowest = fuse_stream_is_slowest(g->plan, value, a, reversed)};
        it.kept = inner;
        it.held = fuse_sat_add(edge, inner / v->extent[a]);
        it.is_little = it.held / g->plan->mesh.used < fuse_sat_mul(g->limits->stream_bytes, LITTLE);
        if (is_better(&it, &best))
            best = it;
    }
    if (best.axis < 0)
        return;
    clear(g, v->extent[best.axis]);
    if (!grow_stream(g, value, op, best.axis))
        return;
    keep(g, g->limits->dims);
    if (!put_in_order(g->plan))
        drop(g);
}

/* Users of value v: user[user_begin[v] .. user_begin[v + 1]), an operation once for every read. */
static void list_users(struct growth *g) {
    const struct fuse_ir *ir = g->plan->ir;
    int uses = 0;
    for (int o = 0; o < ir->ops.n; o++)
        uses += ir->ops.at[o]->inputs;
    g->user = FUSE_NEW_ARRAY(g->plan->arena, int, uses + 1);
    g->user_begin = FUSE_NEW_ARRAY(g->plan->arena, int, ir->values.n + 2);
    for (int o = 0; o < ir->ops.n; o++)
        for (int k = 0; k < ir->ops.at[o]->inputs; k++)
            g->user_begin[ir->ops.at[o]->input[k].value + 2]++;
    for (int v = 0; v < ir->values.n; v++)
        g->user_begin[v + 2] += g->user_begin[v + 1];
    for (int o = 0; o < ir->ops.n; o++)
        for (int k = 0; k < ir->ops.at[o]->inputs; k++)
            g->user[g->user_begin[ir->ops.at[o]->input[k].value + 1]++] = o;
}

static void forget_chains(struct growth *g) {
    struct fuse_plan *plan = g->plan;
    const struct fuse_ir *ir = plan->ir;
    plan->chains.n = plan->streams.n = 0;
    for (int o = 0; o < ir->ops.n; o++)
        plan->chain[o] = plan->slab_index[o] = -1;
    for (int v = 0; v < ir->values.n; v++) {
        plan->slab_axis[v] = -1;
        plan->inner[v] = plan->streamed[v] = false;
    }
}

/* The largest value of a kind that has not been tried, -1: none is left. */
static int largest_untried(const struct growth *g, const bool *tried, bool (*is_it)(const struct growth *, int)) {
    const struct fuse_ir *ir = g->plan->ir;
    int largest = -1;
    for (int v = 0; v < ir->values.n; v++)
        if (!tried[v] && is_it(g, v) &&
            (largest < 0 || fuse_value_bytes(&ir->values.at[v]) > fuse_value_bytes(&ir->values.at[largest])))
            largest = v;
    return largest;
}

/* The largest first: what it draws in is settled. */
static void find_all(struct growth *g) {
    const struct fuse_ir *ir = g->plan->ir;
    bool *tried = FUSE_NEW_ARRAY(g->plan->arena, bool, ir->values.n + 1);
    for (int v; (v = largest_untried(g, tried, is_large_source)) >= 0;) {
        tried[v] = true;
        for (int u = g->user_begin[v]; u < g->user_begin[v + 1]; u++)
            if (g->plan->chain[g->user[u]] < 0)
                find_stream(g, v, g->user[u]);
    }
    for (int v; (v = largest_untried(g, tried, is_large)) >= 0;) {
        tried[v] = true;
        if (g->plan->chain[ir->values.at[v].op] < 0)
            find_chain(g, v);
    }
}

/* The axis along which operation `op` walks a source with its slabs, -1: it needs it whole. */
static int slab_walk(struct growth *g, int number, int value) {
    const struct fuse_op *op = op_at(g, number);
    const struct fuse_value *v = &g->plan->ir->values.at[value];
    bool reversed = fuse_stream_is_reversed(g->plan, value);
    if (g->plan->chain[number] < 0)
        return -1;
    g->extent = g->plan->chains.at[g->plan->chain[number]].extent;
    for (int a = 0; a < v->rank; a++)
        if (v->extent[a] == g->extent && fuse_stream_is_possible(g->plan, value, a, reversed) &&
            walking_index(g, op, value, a) == g->plan->slab_index[number])
            return a;
    return -1;
}

/* Lists the streams of a large source, or excludes it, when one of its readers needs it whole. */
static bool settle_source(struct growth *g, int value) {
    struct fuse_plan *plan = g->plan;
    int before = plan->streams.n;
    for (int u = g->user_begin[value]; u < g->user_begin[value + 1]; u++) {
        int op = g->user[u], axis = slab_walk(g, op, value), known = fuse_stream_axis(plan, plan->chain[op], value);
        if (axis < 0 || (known >= 0 && known != axis)) {
            int64_t bytes = fuse_value_bytes(&plan->ir->values.at[value]);
            if (plan->whole_value < 0 || bytes > fuse_value_bytes(&plan->ir->values.at[plan->whole_value])) {
                plan->whole_value = value;
                plan->whole_op = op;
            }
            plan->streams.n = before;
            g->whole[value] = true;
            return false;
        }
        struct fuse_stream stream = {plan->chain[op], value, axis};
        if (known < 0)
            fuse_vec_push(plan->arena, &plan->streams, stream);
    }
    plan->streamed[value] = g->user_begin[value + 1] > g->user_begin[value];
    return true;
}

static bool settle_sources(struct growth *g) {
    bool all = true;
    for (int v = 0; v < g->plan->ir->values.n; v++)
        if (is_large_source(g, v))
            all &= settle_source(g, v);
    return all;
}

void fuse_plan_find_chains(struct fuse_plan *plan, const struct fuse_chain_limits *limits) {
    const struct fuse_ir *ir = plan->ir;
    struct growth g = {.plan = plan, .limits = limits};
    plan->recursion = fuse_ir_recursions(ir, plan->arena);
    plan->chain = FUSE_NEW_ARRAY(plan->arena, int, ir->ops.n + 1);
    plan->slab_index = FUSE_NEW_ARRAY(plan->arena, int, ir->ops.n + 1);
    plan->order = FUSE_NEW_ARRAY(plan->arena, int, ir->ops.n + 1);
    plan->position = FUSE_NEW_ARRAY(plan->arena, int, ir->ops.n + 1);
    plan->slab_axis = FUSE_NEW_ARRAY(plan->arena, int, ir->values.n + 1);
    plan->inner = FUSE_NEW_ARRAY(plan->arena, bool, ir->values.n + 1);
    plan->streamed = FUSE_NEW_ARRAY(plan->arena, bool, ir->values.n + 1);
    plan->whole_value = plan->whole_op = -1;
    g.index = FUSE_NEW_ARRAY(plan->arena, int, ir->ops.n + 1);
    g.axis = FUSE_NEW_ARRAY(plan->arena, int, ir->values.n + 1);
    g.whole = FUSE_NEW_ARRAY(plan->arena, bool, ir->values.n + 1);
    g.made_from = FUSE_NEW_ARRAY(plan->arena, int64_t, ir->values.n + 1);
    trace_bytes(&g);
    list_users(&g);
    do {
        forget_chains(&g);
        if (limits->large_bytes >= 0 || limits->stream_bytes >= 0)
            find_all(&g);
    } while (!settle_sources(&g)); /* excludes at least one more source each time */
    put_in_order(plan);
}

int64_t fuse_plan_chain_turns(const struct fuse_plan *plan, int chain, int64_t bytes, int64_t budget_bytes) {
    const struct fuse_chain *c = &plan->chains.at[chain];
    int64_t parts = 1, like = SLAB_BYTES, most = SLAB_MOST_BYTES;
    for (int d = 0; d < c->dims; d++)
        parts *= plan->mesh.dim[d];
    int64_t extent = (c->extent + parts - 1) / parts;
    if (budget_bytes != INT64_MAX) {
        most = budget_bytes / 4 < most ? budget_bytes / 4 : most;
        like = most < like ? most : like;
    }
    if (plan->request.slab_bytes > 0)
        like = most = plan->request.slab_bytes;
    if (plan->request.stream_bytes > 0 && (plan->request.slab_bytes <= 0 || plan->request.stream_bytes < like))
        like = most = plan->request.stream_bytes;
    int64_t turns = bytes / (like > 0 ? like : 1) + 1;
    if (extent / turns < ROWS) {
        int64_t fewest = bytes / (most > 0 ? most : 1) + 1;
        turns = extent / ROWS > fewest ? extent / ROWS : fewest;
    }
    if (plan->request.panels > 0)
        turns = plan->request.panels;
    return turns < extent ? turns : extent;
}
