#include "api/plan_page.h"

#include <string.h>

/* ---- text in a page ---- */

static void add_escaped(struct fuse_text *text, const char *at) {
    for (; at && *at; at++)
        switch (*at) {
        case '<': fuse_text_add(text, "&lt;"); break;
        case '>': fuse_text_add(text, "&gt;"); break;
        case '&': fuse_text_add(text, "&amp;"); break;
        case '"': fuse_text_add(text, "&quot;"); break;
        default: fuse_text_add_bytes(text, at, 1);
        }
}

static const char *value_name(struct fuse_arena *arena, const struct fuse_plan *plan, int value) {
    struct fuse_text name = {.arena = arena};
    fuse_plan_print_value(&name, plan, value);
    return name.at;
}

static void add_seconds(struct fuse_text *text, int64_t ps) {
    if (ps >= 1000000000000)
        fuse_text_add(text, "%lld.%03lld s", (long long)(ps / 1000000000000), (long long)(ps / 1000000000 % 1000));
    else if (ps >= 1000000000)
        fuse_text_add(text, "%lld.%03lld ms", (long long)(ps / 1000000000), (long long)(ps / 1000000 % 1000));
    else
        fuse_text_add(text, "%lld.%03lld \xc2\xb5s", (long long)(ps / 1000000), (long long)(ps / 1000 % 1000));
}

/* ---- where operations stand in the graph ---- */

enum { NODE_WIDTH = 210, NODE_HEIGHT = 92, GAP_X = 26, GAP_Y = 46, MARGIN = 12 };

struct graph {
    const struct fuse_plan *plan;
    struct fuse_arena *arena;
    int *layer, *column, *width; /* [ops] [ops] [layers] */
    int64_t *own_ps, *path_ps;   /* [ops] of its steps; of the longest way that ends with it */
    int *before;                 /* [ops] the operation before it on that way, or -1 */
    bool *critical;              /* [ops] */
    int layers, widest;
};

static int producer(const struct graph *g, int op, int input) {
    return g->plan->ir->values.at[g->plan->ir->ops.at[op]->input[input].value].op;
}

/* Operations come behind those that make their inputs. */
static void lay_out(struct graph *g) {
    const struct fuse_ir *ir = g->plan->ir;
    int last = -1;
    for (int s = 0; s < g->plan->steps.n; s++)
        g->own_ps[g->plan->steps.at[s].op] =
            fuse_sat_add(g->own_ps[g->plan->steps.at[s].op], g->plan->steps.at[s].time_ps);
    for (int o = 0; o < ir->ops.n; o++) {
        g->before[o] = -1;
        for (int k = 0; k < ir->ops.at[o]->inputs; k++) {
            int from = producer(g, o, k);
            if (g->layer[from] >= g->layer[o])
                g->layer[o] = g->layer[from] + 1;
            if (g->before[o] < 0 || g->path_ps[from] > g->path_ps[g->before[o]])
                g->before[o] = from;
        }
        g->path_ps[o] = fuse_sat_add(g->own_ps[o], g->before[o] >= 0 ? g->path_ps[g->before[o]] : 0);
        if (last < 0 || g->path_ps[o] > g->path_ps[last])
            last = o;
    }
    for (int o = 0; o < ir->ops.n; o++) {
        g->column[o] = g->width[g->layer[o]]++;
        g->widest = g->widest > g->width[g->layer[o]] ? g->widest : g->width[g->layer[o]];
        g->layers = g->layers > g->layer[o] + 1 ? g->layers : g->layer[o] + 1;
    }
    for (; last >= 0; last = g->before[last])
        g->critical[last] = true;
}

static struct graph make_graph(struct fuse_arena *arena, const struct fuse_plan *plan) {
    int n = plan->ir->ops.n + 1;
    struct graph g = {.plan = plan, .arena = arena};
    g.layer = FUSE_NEW_ARRAY(arena, int, n);
    g.column = FUSE_NEW_ARRAY(arena, int, n);
    g.width = FUSE_NEW_ARRAY(arena, int, n);
    g.before = FUSE_NEW_ARRAY(arena, int, n);
    g.own_ps = FUSE_NEW_ARRAY(arena, int64_t, n);
    g.path_ps = FUSE_NEW_ARRAY(arena, int64_t, n);
    g.critical = FUSE_NEW_ARRAY(arena, bool, n);
    lay_out(&g);
    return g;
}

static int left_of(const struct graph *g, int op) {
    int all = g->widest * (NODE_WIDTH + GAP_X), mine = g->width[g->layer[op]] * (NODE_WIDTH + GAP_X);
    return MARGIN + (all - mine) / 2 + g->column[op] * (NODE_WIDTH + GAP_X);
}

static int top_of(const struct graph *g, int op) {
    return MARGIN + g->layer[op] * (NODE_HEIGHT + GAP_Y);
}

/* What all ranks receive of an input, for an operation. */
static int64_t edge_bytes(const struct graph *g, int op, int input) {
    int64_t bytes = 0;
    for (int s = 0; s < g->plan->steps.n; s++) {
        const struct fuse_step *step = &g->plan->steps.at[s];
        if (step->kind == FUSE_STEP_MOVE && step->op == op &&
            step->have.value == g->plan->ir->ops.at[op]->input[input].value)
            bytes = fuse_sat_add(bytes, step->received_bytes_total);
    }
    return bytes;
}

static void add_edge(struct fuse_text *text, const struct graph *g, int op, int input) {
    int from = producer(g, op, input), inputs = g->plan->ir->ops.at[op]->inputs;
    int x0 = left_of(g, from) + NODE_WIDTH / 2, y0 = top_of(g, from) + NODE_HEIGHT;
    int x1 = left_of(g, op) + NODE_WIDTH * (input + 1) / (inputs + 1), y1 = top_of(g, op);
    int64_t bytes = edge_bytes(g, op, input);
    fuse_text_add(text, "<path class=\"%s\" d=\"M%d %d C%d %d %d %d %d %d\"/>",
                  g->critical[op] && g->critical[from] && g->before[op] == from ? "edge hot" : "edge", x0, y0, x0,
                  y0 + GAP_Y / 2, x1, y1 - GAP_Y / 2, x1, y1);
    if (bytes == 0)
        return;
    struct fuse_text size = {.arena = g->arena};
    fuse_text_add_size(&size, bytes);
    int width = 7 * (int)size.bytes, x = (x0 + x1) / 2, y = (y0 + y1) / 2;
    fuse_text_add(text,
                  "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"14\" fill=\"#fff\"/>"
                  "<text class=\"bytes\" x=\"%d\" y=\"%d\">%s</text>\n",
                  x - width / 2, y - 7, width, x, y + 4, size.at);
}

/* ---- a layout on the mesh ---- */

enum { TILE = 44, MOST_PARTS = 16 };

/* Light colours around the circle of hues, in degrees: red at 0, green at 120, blue at 240. */
static unsigned colour(int64_t hue) {
    enum { LEAST = 140, MOST = 235 };
    const int64_t h = hue % 360, step = (MOST - LEAST) * (h % 60) / 60, up = LEAST + step, down = MOST - step;
    const int64_t rgb[6][3] = {{MOST, up, LEAST},   {down, MOST, LEAST}, {LEAST, MOST, up},
                               {LEAST, down, MOST}, {up, LEAST, MOST},   {MOST, LEAST, down}};
    return (unsigned)(rgb[h / 60][0] << 16 | rgb[h / 60][1] << 8 | rgb[h / 60][2]);
}

/* The two axes with the most parts as rows and columns of a small board, a colour a part. */
static void add_board(struct fuse_text *text, const struct fuse_plan *plan, const struct fuse_layout *layout, int rank,
                      int x, int y) {
    int rows = -1, columns = -1;
    int64_t part[2] = {1, 1};
    for (int a = 0; a < rank; a++) {
        int64_t parts = fuse_layout_parts(layout, &plan->mesh, a);
        if (parts <= 1)
            continue;
        if (rows < 0 || parts > part[0]) {
            columns = rows;
            part[1] = part[0];
            rows = a;
            part[0] = parts;
        } else if (columns < 0 || parts > part[1]) {
            columns = a;
            part[1] = parts;
        }
    }
    if (columns >= 0 && columns < rows) { /* axes from top to bottom, then from left to right */
        int64_t swap = part[0];
        part[0] = part[1];
        part[1] = swap;
    }
    int64_t shown[2] = {part[0] < MOST_PARTS ? part[0] : MOST_PARTS, part[1] < MOST_PARTS ? part[1] : MOST_PARTS};
    int64_t cells = shown[0] * shown[1];
    for (int64_t r = 0; r < shown[0]; r++)
        for (int64_t c = 0; c < shown[1]; c++)
            fuse_text_add(text,
                          "<rect x=\"%lld\" y=\"%lld\" width=\"%lld\" height=\"%lld\" fill=\"#%06x\" stroke=\"#fff\" "
                          "stroke-width=\".6\"/>",
                          (long long)(x + c * TILE / shown[1]), (long long)(y + r * TILE / shown[0]),
                          (long long)((c + 1) * TILE / shown[1] - c * TILE / shown[1]),
                          (long long)((r + 1) * TILE / shown[0] - r * TILE / shown[0]),
                          colour((r * shown[1] + c) * 300 / cells + 200));
    fuse_text_add(text, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"none\" stroke=\"#555\"/>\n", x, y,
                  TILE, TILE);
}

/* ---- an operation ---- */

static const char *op_word(const struct fuse_op *op) {
    switch (op->kind) {
    case FUSE_OP_SOURCE: return "source";
    case FUSE_OP_LITERAL: return "literal";
    case FUSE_OP_EINSUM: return "product";
    case FUSE_OP_MAP: return op->inputs == 0 ? "generate" : "map";
    case FUSE_OP_JOIN: return "join";
    case FUSE_OP_ATTENTION: return "attention";
    case FUSE_OP_SINK: return op->path ? "sink" : "export";
    default: return "rules";
    }
}

static void add_lines(struct fuse_text *text, const struct graph *g, int o, int x, int y) {
    const struct fuse_plan *plan = g->plan;
    const struct fuse_op *op = plan->ir->ops.at[o];
    int value = op->out >= 0 ? op->out : op->input[0].value;
    const struct fuse_value *v = &plan->ir->values.at[value];
    struct fuse_text layout = {.arena = g->arena};
    fuse_text_add(text, "<text class=\"name\" x=\"%d\" y=\"%d\">", x, y + 18);
    add_escaped(text, value_name(g->arena, plan, value));
    fuse_text_add(text, " <tspan class=\"kind\">%s</tspan></text><text x=\"%d\" y=\"%d\">%s[", op_word(op), x, y + 35,
                  fuse_dtype_name(v->dtype));
    for (int a = 0; a < v->rank; a++)
        fuse_text_add(text, "%s%lld", a ? "," : "", (long long)v->extent[a]);
    fuse_text_add(text, "]</text><text x=\"%d\" y=\"%d\">", x, y + 51);
    if (op->path)
        add_escaped(text, op->path);
    else if (!fuse_is_relation(plan->ir, value)) {
        fuse_layout_print(&layout, &plan->layout[value], &plan->mesh, v->rank, NULL);
        add_escaped(text, layout.at);
    }
    fuse_text_add(text, "</text><text x=\"%d\" y=\"%d\">", x, y + 67);
    if (g->own_ps[o] > 0)
        add_seconds(text, g->own_ps[o]);
    fuse_text_add(text, "</text>\n");
}

static void add_node(struct fuse_text *text, const struct graph *g, int o) {
    const struct fuse_plan *plan = g->plan;
    const struct fuse_op *op = plan->ir->ops.at[o];
    int x = left_of(g, o), y = top_of(g, o), value = op->out >= 0 ? op->out : op->input[0].value;
    struct fuse_text print = {.arena = g->arena};
    fuse_ir_print_op(&print, plan->ir, o);
    fuse_text_add(text, "<g><title>");
    add_escaped(text, print.at);
    fuse_text_add(text, "</title><rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"5\"/>",
                  g->critical[o] ? "node hot" : "node", x, y, NODE_WIDTH, NODE_HEIGHT);
    bool has_board = !fuse_is_relation(plan->ir, value);
    if (has_board)
        add_board(text, plan, &plan->layout[value], plan->ir->values.at[value].rank, x + 8, y + 24);
    add_lines(text, g, o, x + (has_board ? TILE + 18 : 10), y);
    fuse_text_add(text, "</g>\n");
}

static void add_graph(struct fuse_text *text, const struct graph *g) {
    const struct fuse_ir *ir = g->plan->ir;
    int width = 2 * MARGIN + g->widest * (NODE_WIDTH + GAP_X), height = 2 * MARGIN + g->layers * (NODE_HEIGHT + GAP_Y);
    fuse_text_add(
        text,
        "<svg id=\"graph\" xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\">"
        "<style>\n"
        "#graph text{font:11px sans-serif} #graph .name{font-weight:bold;font-size:13px} "
        "#graph .kind{font-weight:normal;fill:#777}\n"
        ".node{fill:#fafafa;stroke:#999} .node.hot{stroke:#c33;stroke-width:2}\n"
        ".edge{fill:none;stroke:#999} .edge.hot{stroke:#c33;stroke-width:2}\n"
        "#graph .bytes{fill:#06c;text-anchor:middle}\n"
        "</style>\n",
        width, height, width, height);
    for (int o = 0; o < ir->ops.n; o++)
        for (int k = 0; k < ir->ops.at[o]->inputs; k++)
            add_edge(text, g, o, k);
    for (int o = 0; o < ir->ops.n; o++)
        add_node(text, g, o);
    fuse_text_add(text, "</svg>\n");
}

/* ---- memory over the steps ---- */

enum { MEMORY_WIDTH = 1100, MEMORY_HEIGHT = 300 };

static void add_memory(struct fuse_text *text, const struct fuse_plan *plan, struct fuse_arena *arena,
                       enum fuse_memkind kind) {
    int64_t all = plan->arena_bytes[kind];
    int positions = 1;
    for (int b = 0; b < plan->buffers.n; b++)
        positions = plan->buffers.at[b].last >= positions ? plan->buffers.at[b].last + 1 : positions;
    if (all <= 0)
        return;
    fuse_text_add(text, "<h3>%s: ", fuse_memkind_name(kind));
    fuse_text_add_size(text, all);
    fuse_text_add(text, "</h3><svg class=\"memory\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\">\n", MEMORY_WIDTH,
                  MEMORY_HEIGHT, MEMORY_WIDTH, MEMORY_HEIGHT);
    for (int b = 0; b < plan->buffers.n; b++) {
        const struct fuse_buffer *buffer = &plan->buffers.at[b];
        if (buffer->kind != kind || buffer->bytes <= 0)
            continue;
        double x = (double)buffer->first * MEMORY_WIDTH / positions,
               y = (double)buffer->offset / (double)all * MEMORY_HEIGHT;
        double width = (double)(buffer->last + 1 - buffer->first) * MEMORY_WIDTH / positions;
        double height = (double)buffer->bytes / (double)all * MEMORY_HEIGHT;
        const char *name = buffer->value >= 0 ? value_name(arena, plan, buffer->value) : "staging";
        fuse_text_add(text, "<g><title>");
        add_escaped(text, name);
        fuse_text_add(text, ", ");
        fuse_text_add_size(text, buffer->bytes);
        fuse_text_add(text,
                      "</title><rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"#%06x\" "
                      "stroke=\"#666\" stroke-width=\".5\"/>",
                      x, y, width, height, colour((buffer->value + 1) * 67));
        if (height > 12 && width > 40) {
            fuse_text_add(text, "<text x=\"%.1f\" y=\"%.1f\">", x + 4, y + 12);
            add_escaped(text, name);
            fuse_text_add(text, "</text>");
        }
        fuse_text_add(text, "</g>\n");
    }
    fuse_text_add(text, "</svg>\n");
}

/* ---- the steps ---- */

static void add_steps(struct fuse_text *text, const struct fuse_plan *plan, struct fuse_arena *arena) {
    fuse_text_add(text,
                  "<table id=\"steps\"><tr><th>time</th><th></th><th>received by all ranks</th><th>step</th></tr>\n");
    for (int s = 0; s < plan->steps.n; s++) {
        const struct fuse_step *step = &plan->steps.at[s];
        struct fuse_text line = {.arena = arena};
        fuse_plan_print_step(&line, plan, s);
        fuse_text_add(text, "<tr><td class=\"n\">");
        add_seconds(text, step->time_ps);
        fuse_text_add(text,
                      "</td><td><svg width=\"120\" height=\"9\"><rect width=\"%.1f\" height=\"9\" "
                      "fill=\"#c66\"/></svg></td><td class=\"n\">",
                      plan->time_ps > 0 ? 120 * (double)step->time_ps / (double)plan->time_ps : 0.0);
        if (step->received_bytes_total > 0)
            fuse_text_add_size(text, step->received_bytes_total);
        fuse_text_add(text, "</td><td><code>");
        if (step->loop >= 0)
            fuse_text_add(text, "%lld &times; ", (long long)plan->regions.at[step->loop].turns);
        add_escaped(text, line.at);
        fuse_text_add(text, "</code></td></tr>\n");
    }
    fuse_text_add(text, "</table>\n");
}

static void add_summary(struct fuse_text *text, const struct fuse_plan *plan, const struct graph *g) {
    int64_t received = 0, longest = 0;
    for (int p = 0; p < FUSE_PHASES; p++)
        received = fuse_sat_add(received, plan->received_bytes_max[p]);
    for (int o = 0; o < plan->ir->ops.n; o++)
        longest = g->path_ps[o] > longest ? g->path_ps[o] : longest;
    fuse_text_add(text, "<p>%d rank%s, %d used, mesh", plan->mesh.ranks, plan->mesh.ranks == 1 ? "" : "s",
                  plan->mesh.used);
    for (int d = 0; d < plan->mesh.dims; d++)
        fuse_text_add(text, "%s%d", d ? " &times; " : " ", plan->mesh.dim[d]);
    fuse_text_add(text, plan->mesh.dims ? "" : " 1");
    fuse_text_add(text, ". Modelled time ");
    add_seconds(text, plan->time_ps);
    fuse_text_add(text, ", of which ");
    add_seconds(text, longest);
    fuse_text_add(text, " on the critical path (red). A rank holds at most ");
    fuse_text_add_size(text, plan->peak_bytes);
    fuse_text_add(text, " of planned buffers and receives at most ");
    fuse_text_add_size(text, received);
    fuse_text_add(text, ".</p>\n");
}

void fuse_api_plan_page(struct fuse_text *text, const struct fuse_plan *plan, const char *title) {
    struct graph g = make_graph(text->arena, plan);
    fuse_text_add(text, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/><title>plan of ");
    add_escaped(text, title);
    fuse_text_add(
        text,
        "</title><style>\n"
        "body{font:14px sans-serif;margin:1.5em;color:#222} .wide{overflow:auto} .memory text{font:11px sans-serif}\n"
        ".memory{background:#f4f4f4} td{padding:1px 8px;white-space:nowrap} td.n{text-align:right} "
        "th{text-align:left}\n"
        "</style></head><body>\n<h1>Plan of ");
    add_escaped(text, title);
    fuse_text_add(text, "</h1>\n");
    add_summary(text, plan, &g);
    fuse_text_add(
        text,
        "<h2>Operations</h2><p>A box is a tensor and the operation that makes it; the board shows how it is cut "
        "along its axes, a colour a part, and <code>xN</code> says how many ranks hold the same. On the edges: what "
        "all ranks together receive to bring an operand where it is needed.</p>\n");
    fuse_text_add(text, "<div class=\"wide\">");
    add_graph(text, &g);
    fuse_text_add(text, "</div>\n");
    fuse_text_add(
        text,
        "<h2>Memory of a rank over the steps</h2><p>From left to right the steps, from top to bottom the arena.</p>\n");
    for (int k = 0; k < FUSE_MEM_KINDS; k++)
        add_memory(text, plan, text->arena, (enum fuse_memkind)k);
    fuse_text_add(text, "<h2>Steps</h2>\n");
    add_steps(text, plan, text->arena);
    fuse_text_add(text, "</body></html>\n");
}

void fuse_api_plan_picture(struct fuse_text *text, const struct fuse_plan *plan) {
    struct graph g = make_graph(text->arena, plan);
    add_graph(text, &g);
}
