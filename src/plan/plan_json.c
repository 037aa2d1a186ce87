/* A plan as one JSON object, for other programs. */
#include "plan/again.h"
#include "plan/cost.h"

#include <string.h>

static void add_string(struct fuse_text *text, const char *key, const char *string) {
    fuse_text_add(text, ",\"%s\":", key);
    fuse_text_add_json_string(text, string);
}

static void add_number(struct fuse_text *text, const char *key, int64_t number) {
    fuse_text_add(text, ",\"%s\":%lld", key, (long long)number);
}

static void add_value(struct fuse_text *text, const char *key, const struct fuse_plan *plan, int value) {
    struct fuse_text name = {.arena = text->arena};
    if (value < 0)
        return;
    fuse_plan_print_value(&name, plan, value);
    add_string(text, key, name.at);
}

/* Per axis, the sizes of the mesh's dimensions that split it, outermost first: [[2,2],[],[4]]. */
static void add_splits(struct fuse_text *text, const struct fuse_plan *plan, const struct fuse_layout *layout,
                       int rank) {
    fuse_text_add(text, ",\"split\":[");
    for (int a = 0; a < rank; a++) {
        fuse_text_add(text, a ? ",[" : "[");
        bool more = true;
        for (int level = 0; more; level++) {
            more = false;
            for (int d = 0; d < plan->mesh.dims && !more; d++)
                if (layout->axis[d] == a && layout->level[d] == level) {
                    fuse_text_add(text, "%s%d", level ? "," : "", plan->mesh.dim[d]);
                    more = true;
                }
        }
        fuse_text_add(text, "]");
    }
    fuse_text_add(text, "]");
    add_number(text, "copies", fuse_layout_parts(layout, &plan->mesh, FUSE_REPLICATED));
}

static void add_tensor(struct fuse_text *text, const struct fuse_plan *plan, int v, const bool *again_only) {
    const struct fuse_value *value = &plan->ir->values.at[v];
    fuse_text_add(text, "{\"value\":%d", v);
    add_value(text, "name", plan, v);
    add_string(text, "dtype", fuse_dtype_name(value->dtype));
    fuse_text_add(text, ",\"extent\":[");
    for (int a = 0; a < value->rank; a++)
        fuse_text_add(text, "%s%lld", a ? "," : "", (long long)value->extent[a]);
    fuse_text_add(text, "]");
    if (fuse_is_relation(plan->ir, v)) {
        fuse_text_add(text, ",\"tuples\":true}");
    } else if (again_only[v]) {
        fuse_text_add(text, ",\"again\":true}"); /* computed where it is needed */
    } else {
        add_splits(text, plan, &plan->layout[v], value->rank);
        fuse_text_add(text, "}");
    }
}

static void add_step(struct fuse_text *text, const struct fuse_plan *plan, int number) {
    static const char *const phases[FUSE_PHASES] = {"load", "run", "store"};
    const struct fuse_step *step = &plan->steps.at[number];
    const struct fuse_op *op = plan->ir->ops.at[step->op];
    struct fuse_text line = {.arena = text->arena};
    fuse_plan_print_step(&line, plan, number);
    line.at[strcspn(line.at, "\n")] = '\0';
    fuse_text_add(text, "{\"step\":%d,\"op\":%d", number, step->op);
    add_string(text, "kind", fuse_step_kind_name(step->kind));
    add_string(text, "phase", phases[step->phase]);
    add_value(text, "makes", plan, op->out);
    if (op->path)
        add_string(text, "file", op->path);
    add_string(text, "text", line.at);
    add_number(text, "turns", step->loop >= 0 ? plan->regions.at[step->loop].turns : 1);
    add_number(text, "received_bytes_max", step->received_bytes_max);
    add_number(text, "received_bytes_total", step->received_bytes_total);
    if ((step->kind == FUSE_STEP_MOVE || step->kind == FUSE_STEP_REDUCE) && fuse_cost_has_nodes(plan)) {
        const struct fuse_cost_far far = fuse_cost_from_other_nodes(plan, step);
        add_number(text, "network_bytes_max", far.bytes_max);
        add_number(text, "network_bytes_total", far.bytes_total);
    }
    if (fuse_plan_shares(step) || fuse_plan_collects(step))
        add_string(text, "stage", fuse_plan_shares(step) ? "between nodes" : "within nodes");
    add_number(text, "flops_max", step->flops_max);
    add_number(text, "time_ps", step->time_ps);
    add_number(text, "hidden_ps", step->hidden_ps);
    if (step->kind == FUSE_STEP_RULES) {
        fuse_text_add(text, ",\"rules\":");
        fuse_plan_print_rules_json(text, plan, op);
    }
    fuse_text_add(text, "}");
}

static void add_buffer(struct fuse_text *text, const struct fuse_plan *plan, int number) {
    const struct fuse_buffer *buffer = &plan->buffers.at[number];
    fuse_text_add(text, "{\"buffer\":%d", number);
    add_value(text, "of", plan, buffer->value);
    fuse_text_add(text, ",\"role\":\"%c\"", buffer->role);
    add_string(text, "memory", fuse_memkind_name(buffer->kind));
    add_number(text, "offset", buffer->offset);
    add_number(text, "bytes", buffer->bytes);
    add_number(text, "first", buffer->first);
    add_number(text, "last", buffer->last);
    fuse_text_add(text, "}");
}

#define ADD_LIST(text, name, plan, n, add)                \
    do {                                                  \
        fuse_text_add((text), ",\n\"" name "\":[");       \
        for (int i_ = 0; i_ < (n); i_++) {                \
            fuse_text_add((text), i_ ? ",\n  " : "\n  "); \
            add((text), (plan), i_);                      \
        }                                                 \
        fuse_text_add((text), "]");                       \
    } while (0)

void fuse_plan_print_json(struct fuse_text *text, const struct fuse_plan *plan) {
    int64_t received = 0, total = 0, network = 0;
    for (int p = 0; p < FUSE_PHASES; p++) {
        network = fuse_sat_add(network, fuse_cost_network_total(plan, (enum fuse_phase)p));
        received = fuse_sat_add(received, plan->received_bytes_max[p]);
        total = fuse_sat_add(total, plan->received_bytes_total[p]);
    }
    fuse_text_add(text, "{\"schema\":\"fuse.plan\",\"version\":1,\"ranks\":%d,\"used\":%d,\"mesh\":[", plan->mesh.ranks,
                  plan->mesh.used);
    for (int d = 0; d < plan->mesh.dims; d++)
        fuse_text_add(text, "%s%d", d ? "," : "", plan->mesh.dim[d]);
    fuse_text_add(text, "],\"hash\":\"%016llx\"", (unsigned long long)plan->hash);
    add_number(text, "time_ps", plan->time_ps);
    add_number(text, "peak_bytes", plan->peak_bytes);
    add_number(text, "base_bytes", FUSE_PLAN_BASE_BYTES);
    add_number(text, "rules_bytes", fuse_plan_rules_bytes(plan->ir, &plan->request));
    add_number(text, "flops_max", plan->flops_max);
    add_number(text, "received_bytes_max", received);
    add_number(text, "received_bytes_total", total);
    if (fuse_cost_has_nodes(plan))
        add_number(text, "network_bytes_total", network);
    const bool *again_only = fuse_again_only(plan, text->arena);
    fuse_text_add(text, ",\n\"tensors\":[");
    for (int v = 0; v < plan->ir->values.n; v++) {
        fuse_text_add(text, v ? ",\n  " : "\n  ");
        add_tensor(text, plan, v, again_only);
    }
    fuse_text_add(text, "]");
    ADD_LIST(text, "steps", plan, plan->steps.n, add_step);
    ADD_LIST(text, "buffers", plan, plan->buffers.n, add_buffer);
    fuse_text_add(text, "}\n");
}
