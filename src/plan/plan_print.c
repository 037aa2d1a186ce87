#include "plan/again.h"
#include "plan/cost.h"

static void print_value_name(struct fuse_text *text, const struct fuse_plan *plan, int value) {
    const struct fuse_value *v = &plan->ir->values.at[value];
    if (v->name)
        fuse_text_add(text, "%s", v->name);
    else
        fuse_text_add(text, "%%%d", value);
}

/* The axes of a layout whose other dimensions of the mesh have a part each of one of them. */
static void print_dealt_layout(struct fuse_text *text, const struct fuse_plan *plan, const struct fuse_holding *h) {
    fuse_text_add(text, "[");
    for (int a = 0; a < plan->ir->values.at[h->value].rank; a++) {
        int64_t split = fuse_layout_parts(&h->layout, &plan->mesh, a);
        fuse_text_add(text, "%s%d", a ? "," : "", a);
        if (split > 1)
            fuse_text_add(text, "/%lld", (long long)split);
        if (a == h->dealt - 1)
            fuse_text_add(text, " in %lld parts", (long long)fuse_holding_dealt_parts(plan, h));
    }
    fuse_text_add(text, "]");
}

static void print_holding(struct fuse_text *text, const struct fuse_plan *plan, const struct fuse_holding *h) {
    switch (h->kind) {
    case FUSE_HOLDING_LAYOUT:
        if (h->dealt == 0)
            fuse_layout_print(text, &h->layout, &plan->mesh, plan->ir->values.at[h->value].rank, NULL);
        else
            print_dealt_layout(text, plan, h);
        break;
    case FUSE_HOLDING_NEED: {
        const struct fuse_op *op = plan->ir->ops.at[h->op];
        fuse_text_add(text, "what ");
        fuse_layout_print(text, &h->layout, &plan->mesh, op->indices, op->index_name);
        fuse_text_add(text, " needs");
        if (h->dealt > 0)
            fuse_text_add(text, ", axis %d in %lld parts", h->dealt - 1, (long long)fuse_holding_dealt_parts(plan, h));
        break;
    }
    case FUSE_HOLDING_RANGES:
        fuse_text_add(text, "%d file range%s", h->aggregators, h->aggregators == 1 ? "" : "s");
        break;
    }
}

static const char *const step_name[] = {"read",  "literal", "move", "reduce", "contract", "map",  "tuples",   "join",
                                        "write", "print",   "feed", "settle", "rules",    "list", "attention"};

/* Where there are several nodes, also what all ranks receive from other nodes. */
static void print_received(struct fuse_text *text, const struct fuse_plan *plan, const struct fuse_step *step) {
    fuse_text_add(text, "  receives %lld bytes (all ranks %lld", (long long)step->received_bytes_max,
                  (long long)step->received_bytes_total);
    if (fuse_cost_has_nodes(plan))
        fuse_text_add(text, ", %lld from other nodes", (long long)fuse_cost_from_other_nodes(plan, step).bytes_total);
    fuse_text_add(text, ")");
}

static void print_step(struct fuse_text *text, const struct fuse_plan *plan, int number, int indent) {
    const struct fuse_step *step = &plan->steps.at[number];
    const struct fuse_op *op = plan->ir->ops.at[step->op];
    fuse_text_add(text, "%*s%-8s ", indent, "", step_name[step->kind]);
    switch (step->kind) {
    case FUSE_STEP_READ:
    case FUSE_STEP_LITERAL:
        print_value_name(text, plan, op->out);
        if (op->path)
            fuse_text_add(text, " \"%s\"", op->path);
        fuse_text_add(text, " as ");
        print_holding(text, plan, &step->need);
        break;
    case FUSE_STEP_WRITE:
    case FUSE_STEP_PRINT:
        print_value_name(text, plan, op->input[0].value);
        if (op->path)
            fuse_text_add(text, " \"%s\"", op->path);
        fuse_text_add(text, " from ");
        print_holding(text, plan, &step->have);
        break;
    case FUSE_STEP_MOVE:
    case FUSE_STEP_REDUCE:
        print_value_name(text, plan, step->have.value);
        fuse_text_add(text, " ");
        print_holding(text, plan, &step->have);
        fuse_text_add(text, " -> ");
        print_holding(text, plan, &step->need);
        if (fuse_plan_shares(step) || fuse_plan_collects(step))
            fuse_text_add(text, fuse_plan_shares(step) ? ", between nodes first" : ", within nodes");
        break;
    case FUSE_STEP_TUPLES:
        print_value_name(text, plan, op->input[0].value);
        fuse_text_add(text, " what ");
        fuse_layout_print(text, &step->partition, &plan->mesh, op->indices, op->index_name);
        fuse_text_add(text, " needs, at most %lld a rank",
                      (long long)fuse_plan_tuples(plan, step->op, &step->partition).most);
        break;
    case FUSE_STEP_FEED:
        print_value_name(text, plan, op->input[step->input].value);
        fuse_text_add(text, " as %s", op->rules->relation[op->feed[step->input]].name);
        if (step->from >= 0) {
            fuse_text_add(text, " from ");
            print_holding(text, plan, &step->have);
        }
        break;
    case FUSE_STEP_SETTLE:
        print_value_name(text, plan, step->have.value);
        fuse_text_add(text, " of all ranks, until it is not above 0");
        break;
    case FUSE_STEP_RULES: fuse_plan_print_rules(text, plan, op); break;
    case FUSE_STEP_LIST:
        print_value_name(text, plan, op->input[0].value);
        if (op->path)
            fuse_text_add(text, " \"%s\"", op->path);
        break;
    case FUSE_STEP_CONTRACT:
    case FUSE_STEP_JOIN:
    case FUSE_STEP_MAP:
    case FUSE_STEP_ATTENTION:
        print_value_name(text, plan, op->out);
        if (step->kind == FUSE_STEP_MAP && step->need.value >= 0) {
            fuse_text_add(text, " again, for ");
            print_value_name(text, plan, plan->ir->ops.at[step->need.op]->out);
            fuse_text_add(text, ",");
        }
        fuse_text_add(text, " over ");
        fuse_layout_print(text, &step->partition, &plan->mesh, op->indices, op->index_name);
        for (int k = 0; k < op->inputs; k++) {
            fuse_text_add(text, k ? ", " : " from ");
            print_value_name(text, plan, op->input[k].value);
        }
        break;
    }
    if (step->kind == FUSE_STEP_MOVE || step->kind == FUSE_STEP_REDUCE)
        print_received(text, plan, step);
    if (step->flops_max > 0)
        fuse_text_add(text, "  flops %lld", (long long)step->flops_max);
    int64_t balance = step->kind == FUSE_STEP_ATTENTION ? fuse_cost_balance(plan, step->op, &step->partition) : 1000;
    if (balance > 1000 || step->partition.zigzag > 0)
        fuse_text_add(text, ", %lld.%03lld x the mean", (long long)balance / 1000, (long long)balance % 1000);
    if (step->slices > 1)
        fuse_text_add(text, " in %lld slices a turn", (long long)step->slices);
    fuse_text_add(text, "\n");
}

/* true when panels of the loop are brought while it computes with others. */
static bool is_ahead(const struct fuse_plan *plan, const struct fuse_region *loop) {
    bool any = false;
    for (int i = 0; i < loop->count; i++) {
        const struct fuse_step *step = &plan->steps.at[plan->regions.at[plan->child.at[loop->first + i]].step];
        any |= fuse_plan_brings_panels(plan, step);
    }
    return any;
}

/* The tensors of a recursion. */
static void print_until(struct fuse_text *text, const struct fuse_plan *plan, const struct fuse_region *loop,
                        int indent) {
    const struct fuse_ir *ir = plan->ir;
    int until = ir->ops.at[loop->op]->until;
    fuse_text_add(text, "%*sloop     until", indent, "");
    for (int o = 0, n = 0; o < ir->ops.n; o++)
        if (ir->ops.at[o]->kind == FUSE_OP_FIXPOINT && ir->ops.at[o]->until == until) {
            fuse_text_add(text, n++ ? ", " : " ");
            print_value_name(text, plan, ir->ops.at[o]->out);
        }
    fuse_text_add(text, " moves no more; bytes and flops are those of one turn\n");
}

static void print_region(struct fuse_text *text, const struct fuse_plan *plan, int number, int indent) {
    const struct fuse_region *region = &plan->regions.at[number];
    if (region->kind == FUSE_REGION_STEP) {
        print_step(text, plan, region->step, indent);
        return;
    }
    if (region->kind == FUSE_REGION_LOOP) {
        if (region->loop == FUSE_LOOP_UNTIL)
            print_until(text, plan, region, indent);
        else if (region->loop == FUSE_LOOP_PANEL)
            fuse_text_add(text, "%*sloop     panel(%s) %lld turns%s%s\n", indent, "",
                          plan->ir->ops.at[region->op]->index_name[region->index], (long long)region->turns,
                          region->owners > 0        ? ", each rank from its own block on, blocks in rotation"
                          : region->skew_input >= 0 ? ", each rank from its own block on"
                                                    : "",
                          is_ahead(plan, region) ? ", panels a turn ahead" : "");
        else
            fuse_text_add(text, "%*sloop     slab(%s) %lld turns\n", indent, "",
                          region->op < 0 ? "file" : plan->ir->ops.at[region->op]->index_name[region->index],
                          (long long)region->turns);
        indent += 2;
    }
    for (int i = 0; i < region->count; i++)
        print_region(text, plan, plan->child.at[region->first + i], indent);
}

/* The axis that the loop of a slab cuts, as the operations there call it. */
static const char *slab_axis_name(const struct fuse_plan *plan, const struct fuse_holding *slab) {
    const struct fuse_region *loop = &plan->regions.at[slab->loop];
    return plan->ir->ops.at[loop->op]->index_name[loop->index];
}

/* Sources and sinks that pass through loops, and what all reading of files comes to. */
static void print_streams(struct fuse_text *text, const struct fuse_plan *plan) {
    int64_t bytes = 0;
    bool any = false;
    for (int i = 0; i < plan->steps.n; i++) {
        const struct fuse_step *step = &plan->steps.at[i];
        bool reads = step->kind == FUSE_STEP_READ;
        const struct fuse_holding *slab = reads ? &step->need : &step->have;
        const struct fuse_op *op = plan->ir->ops.at[step->op];
        if (reads)
            bytes = fuse_sat_add(bytes, fuse_sat_mul(fuse_value_elems(&plan->ir->values.at[op->out]),
                                                     (int64_t)fuse_dtype_bytes(op->probe.file_dtype)));
        if ((!reads && step->kind != FUSE_STEP_WRITE) || slab->kind != FUSE_HOLDING_LAYOUT || slab->loop < 0 ||
            plan->regions.at[slab->loop].op < 0)
            continue;
        fuse_text_add(text, any ? "" : "\nslabs of files\n");
        any = true;
        fuse_text_add(text, "  stream ");
        print_value_name(text, plan, slab->value);
        const struct fuse_buffer *buffer = &plan->buffers.at[reads ? step->to : step->from];
        int64_t held = fuse_sat_mul(fuse_holding_max_elems(plan, slab), (int64_t)fuse_dtype_bytes(buffer->dtype));
        fuse_text_add(text, " along %s in %lld slabs of ", slab_axis_name(plan, slab),
                      (long long)plan->regions.at[slab->loop].turns);
        fuse_text_add_size(text, held);
        fuse_text_add(text, " a rank, %s%s\n", reads ? "read" : "written",
                      !buffer->doubled ? ""
                      : reads          ? " a turn ahead"
                                       : " a turn behind");
    }
    if (any)
        fuse_text_add(text, "  files are read for %lld bytes by all ranks\n", (long long)bytes);
}

static void print_total(struct fuse_text *text, const char *name, int64_t bytes) {
    fuse_text_add(text, "%s %lld bytes (", name, (long long)bytes);
    fuse_text_add_size(text, bytes);
    fuse_text_add(text, ")");
}

void fuse_plan_print(struct fuse_text *text, const struct fuse_plan *plan) {
    const struct fuse_ir *ir = plan->ir;
    const bool *again_only = fuse_again_only(plan, text->arena);
    fuse_text_add(text, "plan for %d rank%s, %d used, mesh", plan->mesh.ranks, plan->mesh.ranks == 1 ? "" : "s",
                  plan->mesh.used);
    for (int d = 0; d < plan->mesh.dims; d++)
        fuse_text_add(text, "%s%d", d ? " x " : " ", plan->mesh.dim[d]);
    if (plan->mesh.dims == 0)
        fuse_text_add(text, " 1");
    fuse_text_add(text, ", hash %016llx\n\nlayouts ([axis/parts], xN copies)\n", (unsigned long long)plan->hash);
    for (int v = 0; v < ir->values.n; v++) {
        const struct fuse_value *value = &ir->values.at[v];
        fuse_text_add(text, "  ");
        print_value_name(text, plan, v);
        fuse_text_add(text, " %s[", fuse_dtype_name(value->dtype));
        for (int a = 0; a < value->rank; a++)
            fuse_text_add(text, "%s%lld", a ? "," : "", (long long)value->extent[a]);
        fuse_text_add(text, "] ");
        if (fuse_is_relation(ir, v)) {
            fuse_text_add(text, "tuples\n");
            continue;
        }
        if (again_only[v])
            fuse_text_add(text, "computed where it is needed");
        else
            fuse_layout_print(text, &plan->layout[v], &plan->mesh, value->rank, NULL);
        fuse_text_add(text, "\n");
    }
    fuse_text_add(text, "\nsteps\n");
    print_region(text, plan, plan->root, 2);
    print_streams(text, plan);
    static const char *const phase_name[FUSE_PHASES] = {"load", "run", "store"};
    fuse_text_add(text, "\nper rank\n");
    for (int p = 0; p < FUSE_PHASES; p++) {
        fuse_text_add(text, "  %-5s ", phase_name[p]);
        print_total(text, "receives at most", plan->received_bytes_max[p]);
        fuse_text_add(text, ", all ranks %lld", (long long)plan->received_bytes_total[p]);
        if (fuse_cost_has_nodes(plan))
            fuse_text_add(text, ", %lld from other nodes",
                          (long long)fuse_cost_network_total(plan, (enum fuse_phase)p));
        fuse_text_add(text, "\n");
    }
    fuse_text_add(text, "  flops at most %lld\n", (long long)plan->flops_max);
    for (int k = 0; k < FUSE_MEM_KINDS; k++)
        if (plan->arena_bytes[k] > 0) {
            fuse_text_add(text, "  ");
            print_total(text, fuse_memkind_name((enum fuse_memkind)k), plan->arena_bytes[k]);
            fuse_text_add(text, "\n");
        }
    fuse_text_add(text, "  ");
    print_total(text, "peak", plan->peak_bytes);
    fuse_text_add(text, " of planned buffers, and a base of ");
    fuse_text_add_size(text, FUSE_PLAN_BASE_BYTES);
    const int64_t rules = fuse_plan_rules_bytes(ir, &plan->request);
    if (rules > 0) {
        fuse_text_add(text, "\n  rules need ");
        fuse_text_add_size(text, rules);
        fuse_text_add(text, " more to begin with, and memory and messages for what they derive, which the data decide");
    }
    fuse_text_add(text, "\n  modelled time %lld.%06lld s\n", (long long)(plan->time_ps / 1000000000000),
                  (long long)(plan->time_ps / 1000000 % 1000000));
}

const char *fuse_step_kind_name(enum fuse_step_kind kind) {
    return step_name[kind];
}

void fuse_plan_print_value(struct fuse_text *text, const struct fuse_plan *plan, int value) {
    print_value_name(text, plan, value);
}

void fuse_plan_print_step(struct fuse_text *text, const struct fuse_plan *plan, int step) {
    print_step(text, plan, step, 0);
}
