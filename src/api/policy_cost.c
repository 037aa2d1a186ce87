/* What a policy's layouts, or sums in a fixed order, cost: the same program is planned once more without. */
#include "api/policy_apply.h"

#include <inttypes.h>

static int64_t sum(const int64_t bytes[FUSE_PHASES]) {
    int64_t all = 0;
    for (int p = 0; p < FUSE_PHASES; p++)
        all = fuse_sat_add(all, bytes[p]);
    return all;
}

static struct fuse_policy_cost cost_of(const struct fuse_plan *plan) {
    return (struct fuse_policy_cost){.time_ps = plan->time_ps,
                                     .received_bytes_max = sum(plan->received_bytes_max),
                                     .received_bytes_total = sum(plan->received_bytes_total),
                                     .peak_bytes = plan->peak_bytes};
}

bool fuse_api_is_constrained(const struct fuse_dist_program *program) {
    return program->is_constrained || program->pins.n > 0 || program->policy.mesh.n > 0;
}

enum fuse_status fuse_api_simplify_free(struct fuse_dist_program *program, struct fuse_error *err) {
    if (!fuse_api_is_constrained(program))
        return FUSE_OK;
    program->free_ir.arena = program->arena;
    fuse_ir_copy(&program->free_ir, &program->ir);
    for (int v = 0; v < program->free_ir.values.n; v++)
        program->free_ir.values.at[v].pin = 0;
    return program->options.deterministic ? fuse_ir_simplify_in_order(&program->free_ir, err)
                                          : fuse_ir_simplify(&program->free_ir, err);
}

void fuse_api_plan_free(struct fuse_dist_program *program, const struct fuse_plan_request *request) {
    struct fuse_error unheard = {0};
    if (!fuse_api_is_constrained(program))
        return;
    struct fuse_plan_request free_request = *request;
    struct fuse_plan *plan = NULL;
    free_request.mesh_sizes = 0;
    free_request.pin = NULL;
    struct fuse_arena_mark mark = fuse_arena_mark(program->arena);
    enum fuse_status st = fuse_plan_make(&plan, program->arena, &program->free_ir, &free_request, &unheard);
    program->free_fits = st == FUSE_OK;
    if (program->free_fits)
        program->free_cost = cost_of(plan);
    fuse_arena_rewind(program->arena, mark);
}

void fuse_api_plan_in_any_order(struct fuse_dist_program *program, const struct fuse_plan_request *request) {
    struct fuse_error unheard = {0};
    struct fuse_plan_request any = *request;
    struct fuse_plan *plan = NULL;
    any.chunk = 0;
    if (request->chunk == 0)
        return;
    struct fuse_arena_mark mark = fuse_arena_mark(program->arena);
    program->any_order_fits = fuse_plan_make(&plan, program->arena, &program->ir, &any, &unheard) == FUSE_OK;
    if (program->any_order_fits)
        program->any_order_cost = cost_of(plan);
    fuse_arena_rewind(program->arena, mark);
}

void fuse_api_blame_policy(const struct fuse_dist_program *program, struct fuse_error *err) {
    struct fuse_text size = {.arena = program->arena};
    if (!fuse_api_is_constrained(program) || !program->free_fits)
        return;
    fuse_text_add_size(&size, fuse_sat_add(program->free_cost.peak_bytes, FUSE_PLAN_BASE_BYTES));
    fuse_note(err, "without the layouts of policy '%s' it would fit, in %s per rank", program->policy.path, size.at);
}

static void add_held(struct fuse_text *text, const struct fuse_plan *plan, int value) {
    const struct fuse_value *v = &plan->ir->values.at[value];
    fuse_text_add(text, "  %s ", v->name ? v->name : "%");
    fuse_layout_print(text, &plan->layout[value], &plan->mesh, v->rank, NULL);
    struct fuse_holding holding = {
        .kind = FUSE_HOLDING_LAYOUT, .value = value, .layout = plan->layout[value], .op = -1, .input = -1, .loop = -1};
    fuse_text_add(text, ", ");
    fuse_text_add_size(text, fuse_sat_mul(fuse_holding_max_elems(plan, &holding), (int64_t)fuse_dtype_bytes(v->dtype)));
    fuse_text_add(text, " a rank\n");
}

static void add_row(struct fuse_text *text, const char *what, int64_t is, int64_t free) {
    fuse_text_add(text, "  %-28s %20" PRId64 " %20" PRId64 " %+20" PRId64 "\n", what, is, free, is - free);
}

static void add_rows(struct fuse_text *text, const struct fuse_plan *plan, const struct fuse_policy_cost *free) {
    struct fuse_policy_cost is = cost_of(plan);
    add_row(text, "modelled time, ns", is.time_ps / 1000, free->time_ps / 1000);
    add_row(text, "received, busiest, bytes", is.received_bytes_max, free->received_bytes_max);
    add_row(text, "received, all, bytes", is.received_bytes_total, free->received_bytes_total);
    add_row(text, "peak of a rank, bytes", is.peak_bytes, free->peak_bytes);
}

static void describe_order(struct fuse_text *text, const struct fuse_dist_program *program) {
    if (!program->plan || program->plan->request.chunk == 0)
        return;
    fuse_text_add(text, "\nsums of reals in chunks of %" PRId64 " and a fixed tree\n  %-28s %20s %20s %20s\n",
                  program->plan->request.chunk, "", "deterministic", "in any order", "difference");
    if (program->any_order_fits)
        add_rows(text, program->plan, &program->any_order_cost);
}

void fuse_api_describe_cost(struct fuse_text *text, const struct fuse_dist_program *program) {
    describe_order(text, program);
    if (!fuse_api_is_constrained(program) || !program->plan)
        return;
    int ranks = program->plan->mesh.ranks;
    fuse_text_add(text, "\nlayouts of the policy on %d rank%s\n  %-28s %20s %20s %20s\n", ranks, ranks == 1 ? "" : "s",
                  "", "with the policy", "planner's choice", "difference");
    if (program->free_fits) {
        add_rows(text, program->plan, &program->free_cost);
    } else {
        fuse_text_add(text, "  the planner alone finds no layouts that fit in memory\n");
    }
    for (int v = 0; v < program->plan->ir->values.n; v++)
        if (program->plan->ir->values.at[v].pin > 0)
            add_held(text, program->plan, v);
}

void fuse_api_add_cost_json(struct fuse_text *text, const struct fuse_dist_program *program) {
    const struct fuse_policy_cost *free = &program->free_cost;
    if (!fuse_api_is_constrained(program) || !program->free_fits)
        return;
    fuse_text_add(text,
                  ",\"without_policy\":{\"modelled_ps\":%" PRId64 ",\"received_bytes_max\":%" PRId64
                  ",\"received_bytes_total\":%" PRId64 ",\"peak_bytes\":%" PRId64 "}",
                  free->time_ps, free->received_bytes_max, free->received_bytes_total, free->peak_bytes);
}
