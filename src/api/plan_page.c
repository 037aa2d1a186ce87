#include "api/plan_page.h"

#include "api/plan_graph.h"

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

/* ---- what travels along an edge ---- */

/* What all ranks receive of an input, for an operation. */
static int64_t edge_bytes(const struct fuse_plan_graph *g, int op, int input) {
    int64_t bytes = 0;
    for (int s = 0; s < g->plan->steps.n; s++) {
        const struct fuse_step *step = &g->plan->steps.at[s];
        if (step->kind == FUSE_STEP_MOVE && step->op == op &&
            step->have.value == g->plan->ir->ops.at[op]->input[input].value)
            bytes = fuse_sat_add(bytes, step->received_bytes_total);
    }
    return bytes;
}

/* Where an edge meets the box of the operation that reads it. */
static int end_of(const struct fuse_plan_graph *g, int op, int input) {
    return g->left[op] + FUSE_GRAPH_WIDTH * (input + 1) / (g->plan->ir->ops.at[op]->inputs + 1);
}

/* From the producer's box through its lanes to the box that reads it. */
static void add_edge(struct fuse_text *text, const struct fuse_plan_graph *g, int op, int input) {
    const int from = fuse_plan_graph_producer(g, op, input), bend = FUSE_GRAPH_GAP / 2;
    int x = fuse_plan_graph_middle(g, from, g->layer[from]),
        y = fuse_plan_graph_top(g->layer[from]) + FUSE_GRAPH_HEIGHT;
    fuse_text_add(text, "<path class=\"%s\" d=\"M%d %d",
                  g->critical[op] && g->critical[from] && g->before[op] == from ? "edge hot" : "edge", x, y);
    for (int layer = g->layer[from] + 1; layer <= g->layer[op]; layer++) {
        const bool is_end = layer == g->layer[op];
        const int to = is_end ? end_of(g, op, input) : fuse_plan_graph_middle(g, from, layer);
        const int top = fuse_plan_graph_top(layer);
        fuse_text_add(text, "C%d %d %d %d %d %d", x, y + bend, to, top - bend, to, top);
        if (!is_end)
            fuse_text_add(text, "V%d", top + FUSE_GRAPH_HEIGHT);
        x = to;
        y = top + FUSE_GRAPH_HEIGHT;
    }
    fuse_text_add(text, "\"/>\n");
}

/* Just above the box that receives it. */
static void add_bytes(struct fuse_text *text, const struct fuse_plan_graph *g, int op, int input) {
    const int64_t bytes = edge_bytes(g, op, input);
    if (bytes == 0)
        return;
    struct fuse_text size = {.arena = g->arena};
    fuse_text_add_size(&size, bytes);
    const int width = 7 * (int)size.bytes, x = end_of(g, op, input), y = fuse_plan_graph_top(g->layer[op]) - 12;
    fuse_text_add(text,
                  "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"14\" fill=\"#fff\"/>"
                  "<text class=\"bytes\" x=\"%d\" y=\"%d\">%s</text>\n",
                  x - width / 2, y - 7, width, x, y + 4, size.at);
}

/* ---- a layout on the mesh ---- */

enum { TILE = 44, MOST_PARTS = 16, MOST_RANKS = 64 };

/* Light colours around the circle of hues, in degrees: red at 0, green at 120, blue at 240. */
static unsigned colour(int64_t hue) {
    enum { LEAST = 140, MOST = 235 };
    const int64_t h = hue % 360, step = (MOST - LEAST) * (h % 60) / 60, up = LEAST + step, down = MOST - step;
    const int64_t rgb[6][3] = {{MOST, up, LEAST},   {down, MOST, LEAST}, {LEAST, MOST, up},
                               {LEAST, down, MOST}, {up, LEAST, MOST},   {MOST, LEAST, down}};
    return (unsigned)(rgb[h / 60][0] << 16 | rgb[h / 60][1] << 8 | rgb[h / 60][2]);
}

/* The axis with the most parts but for one; -1: none is cut. */
static int most_cut(const struct fuse_plan *plan, const struct fuse_layout *layout, int rank, int other) {
    int64_t most = 1;
    int axis = -1;
    for (int a = 0; a < rank; a++) {
        const int64_t parts = a == other ? 1 : fuse_layout_parts(layout, &plan->mesh, a);
        if (parts > most) {
            most = parts;
            axis = a;
        }
    }
    return axis;
}

/* What is cut from top to bottom and what from left to right, -1: nothing: the two axes with the most parts, in their order. One alone
 * is cut from left to right unless it is the first one. */
static void find_axes(int axis[2], const struct fuse_plan *plan, const struct fuse_layout *layout, int rank) {
    const int first = most_cut(plan, layout, rank, -1), second = first < 0 ? -1 : most_cut(plan, layout, rank, first);
    const bool swapped = second >= 0 ? second < first : first > 0;
    axis[swapped] = first;
    axis[!swapped] = second;
}

/* The ranks that hold a part. */
static void add_holders(struct fuse_text *text, const struct fuse_plan *plan, const struct fuse_layout *layout,
                        const int axis[2], int64_t row, int64_t column) {
    enum { MOST_TOLD = 8 };
    int told = 0;
    fuse_text_add(text, "<title>rank");
    for (int rank = 0; rank < plan->mesh.used; rank++) {
        int coordinate[FUSE_MESH_MAX];
        fuse_mesh_coordinates(coordinate, &plan->mesh, rank);
        if ((axis[0] >= 0 && fuse_layout_part(layout, &plan->mesh, axis[0], coordinate) != row) ||
            (axis[1] >= 0 && fuse_layout_part(layout, &plan->mesh, axis[1], coordinate) != column))
            continue;
        if (told < MOST_TOLD)
            fuse_text_add(text, "%s%d", told > 0 ? ", " : " ", rank);
        told++;
    }
    fuse_text_add(text, "%s</title>", told > MOST_TOLD ? ", .." : "");
}

/* A small board, a colour a part. */
static void add_board(struct fuse_text *text, const struct fuse_plan *plan, const struct fuse_layout *layout, int rank,
                      int x, int y) {
    int axis[2];
    int64_t part[2];
    find_axes(axis, plan, layout, rank);
    for (int k = 0; k < 2; k++)
        part[k] = axis[k] < 0 ? 1 : fuse_layout_parts(layout, &plan->mesh, axis[k]);
    const int64_t shown[2] = {part[0] < MOST_PARTS ? part[0] : MOST_PARTS, part[1] < MOST_PARTS ? part[1] : MOST_PARTS};
    const int64_t cells = shown[0] * shown[1];
    const bool is_whole = shown[0] == part[0] && shown[1] == part[1];
    for (int64_t r = 0; r < shown[0]; r++)
        for (int64_t c = 0; c < shown[1]; c++) {
            fuse_text_add(text,
                          "<rect x=\"%lld\" y=\"%lld\" width=\"%lld\" height=\"%lld\" fill=\"#%06x\" stroke=\"#fff\" "
                          "stroke-width=\".6\">",
                          (long long)(x + c * TILE / shown[1]), (long long)(y + r * TILE / shown[0]),
                          (long long)((c + 1) * TILE / shown[1] - c * TILE / shown[1]),
                          (long long)((r + 1) * TILE / shown[0] - r * TILE / shown[0]),
                          colour((r * shown[1] + c) * 300 / cells + 200));
            if (is_whole && plan->mesh.used <= MOST_RANKS)
                add_holders(text, plan, layout, axis, r, c);
            fuse_text_add(text, "</rect>");
        }
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

static void add_lines(struct fuse_text *text, const struct fuse_plan_graph *g, int o, int x, int y) {
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
    else if (g->nowhere[value])
        fuse_text_add(text, "where it is needed");
    else if (!fuse_is_relation(plan->ir, value)) {
        fuse_layout_print(&layout, &plan->layout[value], &plan->mesh, v->rank, NULL);
        add_escaped(text, layout.at);
    }
    fuse_text_add(text, "</text><text x=\"%d\" y=\"%d\">", x, y + 67);
    if (g->own_ps[o] > 0)
        add_seconds(text, g->own_ps[o]);
    fuse_text_add(text, "</text>\n");
}

static void add_node(struct fuse_text *text, const struct fuse_plan_graph *g, int o) {
    const struct fuse_plan *plan = g->plan;
    const struct fuse_op *op = plan->ir->ops.at[o];
    int x = g->left[o], y = fuse_plan_graph_top(g->layer[o]), value = op->out >= 0 ? op->out : op->input[0].value;
    struct fuse_text print = {.arena = g->arena};
    fuse_ir_print_op(&print, plan->ir, o);
    fuse_text_add(text, "<g><title>");
    add_escaped(text, print.at);
    fuse_text_add(text, "</title><rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"5\"/>",
                  g->critical[o] ? "node hot" : "node", x, y, FUSE_GRAPH_WIDTH, FUSE_GRAPH_HEIGHT);
    bool has_board = !fuse_is_relation(plan->ir, value) && !g->nowhere[value];
    if (has_board)
        add_board(text, plan, &plan->layout[value], plan->ir->values.at[value].rank, x + 8, y + 24);
    add_lines(text, g, o, x + (has_board ? TILE + 18 : 10), y);
    fuse_text_add(text, "</g>\n");
}

static void add_graph(struct fuse_text *text, const struct fuse_plan_graph *g) {
    const struct fuse_ir *ir = g->plan->ir;
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
        g->width, g->height, g->width, g->height);
    for (int o = 0; o < ir->ops.n; o++)
        for (int k = 0; k < ir->ops.at[o]->inputs; k++)
            add_edge(text, g, o, k);
    for (int o = 0; o < ir->ops.n; o++)
        for (int k = 0; k < ir->ops.at[o]->inputs; k++)
            add_bytes(text, g, o, k);
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

static void add_summary(struct fuse_text *text, const struct fuse_plan *plan, const struct fuse_plan_graph *g) {
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
    struct fuse_plan_graph g = fuse_plan_graph_make(text->arena, plan);
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
    struct fuse_plan_graph g = fuse_plan_graph_make(text->arena, plan);
    add_graph(text, &g);
}
