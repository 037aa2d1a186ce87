#include "api/plan_graph.h"

#include "plan/again.h"

enum { GAP_X = 26, LANE = 18 };

int fuse_plan_graph_producer(const struct fuse_plan_graph *g, int op, int input) {
    return g->plan->ir->values.at[g->plan->ir->ops.at[op]->input[input].value].op;
}

int fuse_plan_graph_top(int layer) {
    return FUSE_GRAPH_MARGIN + layer * (FUSE_GRAPH_HEIGHT + FUSE_GRAPH_GAP);
}

int fuse_plan_graph_middle(const struct fuse_plan_graph *g, int op, int layer) {
    return layer == g->layer[op] ? g->left[op] + FUSE_GRAPH_WIDTH / 2
                                 : g->lane_x[g->lane[op] + layer - g->layer[op] - 1];
}

/* ---- layers and the critical path ---- */

/* Operations come behind those that make their inputs. */
static void find_layers(struct fuse_plan_graph *g) {
    const struct fuse_ir *ir = g->plan->ir;
    for (int o = 0; o < ir->ops.n; o++)
        for (int k = 0; k < ir->ops.at[o]->inputs; k++) {
            const int from = fuse_plan_graph_producer(g, o, k);
            if (g->layer[from] >= g->layer[o])
                g->layer[o] = g->layer[from] + 1;
        }
    for (int o = 0; o < ir->ops.n; o++)
        g->layers = g->layers > g->layer[o] + 1 ? g->layers : g->layer[o] + 1;
    /* What needs nothing stands just above the first that reads it. */
    int *first = FUSE_NEW_ARRAY(g->arena, int, ir->ops.n + 1);
    for (int o = 0; o < ir->ops.n; o++)
        first[o] = g->layers;
    for (int o = 0; o < ir->ops.n; o++)
        for (int k = 0; k < ir->ops.at[o]->inputs; k++) {
            const int from = fuse_plan_graph_producer(g, o, k);
            first[from] = g->layer[o] < first[from] ? g->layer[o] : first[from];
        }
    for (int o = 0; o < ir->ops.n; o++)
        if (ir->ops.at[o]->inputs == 0 && first[o] < g->layers)
            g->layer[o] = first[o] - 1;
}

static void find_critical(struct fuse_plan_graph *g) {
    const struct fuse_ir *ir = g->plan->ir;
    int end = -1;
    for (int s = 0; s < g->plan->steps.n; s++)
        g->own_ps[g->plan->steps.at[s].op] = fuse_sat_add(
            g->own_ps[g->plan->steps.at[s].op], g->plan->steps.at[s].time_ps - g->plan->steps.at[s].hidden_ps);
    for (int o = 0; o < ir->ops.n; o++) {
        g->before[o] = -1;
        for (int k = 0; k < ir->ops.at[o]->inputs; k++) {
            const int from = fuse_plan_graph_producer(g, o, k);
            if (g->before[o] < 0 || g->path_ps[from] > g->path_ps[g->before[o]])
                g->before[o] = from;
        }
        g->path_ps[o] = fuse_sat_add(g->own_ps[o], g->before[o] >= 0 ? g->path_ps[g->before[o]] : 0);
        if (end < 0 || g->path_ps[o] > g->path_ps[end])
            end = o;
    }
    for (; end >= 0; end = g->before[end])
        g->critical[end] = true;
}

/* ---- places in a layer ---- */

/* A box or a lane, and where it would like to be: below what it continues or reads. */
struct place {
    int op;
    bool is_lane;
    int wish, wishes;
};

/* Behind all with a smaller wish; without one, where it comes. */
static void insert(struct place *place, int n, struct place what) {
    for (; n > 0 && what.wishes > 0 && place[n - 1].wishes > 0 && place[n - 1].wish > what.wish; n--)
        place[n] = place[n - 1];
    place[n] = what;
}

static int collect(struct place *place, const struct fuse_plan_graph *g, int layer) {
    const struct fuse_ir *ir = g->plan->ir;
    int n = 0;
    for (int o = 0; o < ir->ops.n; o++) {
        struct place what = {.op = o, .is_lane = g->layer[o] < layer};
        int64_t sum = 0;
        if (g->layer[o] > layer || (what.is_lane && g->last[o] <= layer))
            continue;
        if (what.is_lane) {
            sum = fuse_plan_graph_middle(g, o, layer - 1);
            what.wishes = 1;
        }
        for (int k = 0; !what.is_lane && k < ir->ops.at[o]->inputs; k++) {
            sum += fuse_plan_graph_middle(g, fuse_plan_graph_producer(g, o, k), layer - 1);
            what.wishes++;
        }
        what.wish = what.wishes > 0 ? (int)(sum / what.wishes) : 0;
        insert(place, n++, what);
    }
    return n;
}

/* Middles of layers are at 0; the width of this one. */
static int put(struct fuse_plan_graph *g, const struct place *place, int n, int layer) {
    int width = -GAP_X;
    for (int i = 0; i < n; i++)
        width += (place[i].is_lane ? LANE : FUSE_GRAPH_WIDTH) + GAP_X;
    int x = -width / 2;
    for (int i = 0; i < n; i++) {
        const int o = place[i].op;
        if (place[i].is_lane)
            g->lane_x[g->lane[o] + layer - g->layer[o] - 1] = x + LANE / 2;
        else
            g->left[o] = x;
        x += (place[i].is_lane ? LANE : FUSE_GRAPH_WIDTH) + GAP_X;
    }
    return width;
}

static void find_places(struct fuse_plan_graph *g) {
    const int ops = g->plan->ir->ops.n;
    int lanes = 0;
    for (int o = 0; o < ops; o++)
        g->last[o] = g->layer[o];
    for (int o = 0; o < ops; o++)
        for (int k = 0; k < g->plan->ir->ops.at[o]->inputs; k++) {
            const int from = fuse_plan_graph_producer(g, o, k);
            g->last[from] = g->layer[o] > g->last[from] ? g->layer[o] : g->last[from];
        }
    for (int o = 0; o < ops; o++) {
        g->lane[o] = lanes;
        lanes += g->last[o] > g->layer[o] + 1 ? g->last[o] - g->layer[o] - 1 : 0;
    }
    g->lane_x = FUSE_NEW_ARRAY(g->arena, int, lanes + 1);
    struct place *place = FUSE_NEW_ARRAY(g->arena, struct place, ops + 1);
    for (int layer = 0; layer < g->layers; layer++) {
        const int width = put(g, place, collect(place, g, layer), layer);
        g->width = width > g->width ? width : g->width;
    }
    const int middle = FUSE_GRAPH_MARGIN + (g->width + 1) / 2;
    for (int o = 0; o < ops; o++)
        g->left[o] += middle;
    for (int i = 0; i < lanes; i++)
        g->lane_x[i] += middle;
    g->width += 2 * FUSE_GRAPH_MARGIN;
    g->height = fuse_plan_graph_top(g->layers) - FUSE_GRAPH_GAP + FUSE_GRAPH_MARGIN;
}

struct fuse_plan_graph fuse_plan_graph_make(struct fuse_arena *arena, const struct fuse_plan *plan) {
    const int n = plan->ir->ops.n + 1;
    struct fuse_plan_graph g = {.plan = plan, .arena = arena};
    g.layer = FUSE_NEW_ARRAY(arena, int, n);
    g.last = FUSE_NEW_ARRAY(arena, int, n);
    g.left = FUSE_NEW_ARRAY(arena, int, n);
    g.lane = FUSE_NEW_ARRAY(arena, int, n);
    g.before = FUSE_NEW_ARRAY(arena, int, n);
    g.own_ps = FUSE_NEW_ARRAY(arena, int64_t, n);
    g.path_ps = FUSE_NEW_ARRAY(arena, int64_t, n);
    g.critical = FUSE_NEW_ARRAY(arena, bool, n);
    g.nowhere = fuse_again_only(plan, arena);
    find_layers(&g);
    find_critical(&g);
    find_places(&g);
    return g;
}
