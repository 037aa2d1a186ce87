#include "api/policy_apply.h"
#include "api/plan_page.h"
#include "api/program.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

static const char *const phase_name[FUSE_PHASES] = {"load", "run", "store"};

/* ---- events ---- */

void fuse_api_add_event(struct fuse_dist_program *program, const char *kind, const char *format, ...) {
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    struct fuse_api_event event = {.kind = kind, .text = fuse_arena_printf(program->arena, "%s", line)};
    fuse_vec_push(program->arena, &program->events, event);
}

static void explain_events(struct fuse_text *text, const struct fuse_dist_program *program) {
    if (program->events.n > 0)
        fuse_text_add(text, "events\n");
    for (int i = 0; i < program->events.n; i++)
        fuse_text_add(text, "  %-6s %s\n", program->events.at[i].kind, program->events.at[i].text);
}

static void add_events(struct fuse_text *text, const struct fuse_dist_program *program) {
    fuse_text_add(text, ",\"events\":[");
    for (int i = 0; i < program->events.n; i++) {
        fuse_text_add(text, "%s{\"kind\":", i ? "," : "");
        fuse_text_add_json_string(text, program->events.at[i].kind);
        fuse_text_add(text, ",\"text\":");
        fuse_text_add_json_string(text, program->events.at[i].text);
        fuse_text_add(text, "}");
    }
    fuse_text_add(text, "]");
}

/* ---- explain ---- */

static void add_size(struct fuse_text *text, const char *what, int64_t bytes) {
    fuse_text_add(text, "  %-36s %16" PRId64 "  ", what, bytes);
    fuse_text_add_size(text, bytes);
    fuse_text_add(text, "\n");
}

static void explain(struct fuse_text *text, const struct fuse_dist_program *program) {
    const struct fuse_plan *plan = program->plan;
    const struct fuse_exec_report *report = &program->report;
    fuse_plan_print(text, plan);
    fuse_api_describe_cost(text, program);
    explain_events(text, program);
    int per_node = program->job->ranks_per_node;
    fuse_text_add(text, "\nmeasured: %d rank%s, ", plan->mesh.ranks, plan->mesh.ranks == 1 ? "" : "s");
    if (per_node)
        fuse_text_add(text, "%d on each of %d node%s, ", per_node, plan->mesh.ranks / per_node,
                      plan->mesh.ranks == per_node ? "" : "s");
    else
        fuse_text_add(text, "unevenly on the nodes, ");
    fuse_text_add(text, "%d used, %d thread%s each, back end %s\n", plan->mesh.used, program->threads,
                  program->threads == 1 ? "" : "s", program->backend->name);
    fuse_text_add(text, "  %-6s %12s %18s %18s %18s %18s\n", "phase", "seconds", "received, busiest", "planned",
                  "received, all", "planned");
    for (int p = 0; p < FUSE_PHASES; p++) {
        fuse_text_add(text, "  %-6s %12.6f %18" PRId64 " %18" PRId64 " %18" PRId64 " %18" PRId64 "\n", phase_name[p],
                      report->seconds[p], report->received_bytes_max[p], plan->received_bytes_max[p],
                      report->received_bytes_total[p], plan->received_bytes_total[p]);
    }
    fuse_text_add(text,
                  "  compile %.6f s, wall %.6f s; of the busiest rank: %" PRId64 " messages, %" PRId64
                  " control bytes, %" PRId64 " kernel calls, %" PRId64 " of BLAS, %" PRId64 " bytes packed\n",
                  program->compile_seconds, program->wall_seconds, report->messages_max, report->control_bytes_max,
                  report->kernel_calls, report->blas_calls, report->packed_bytes);
    if (report->epilogue_bytes > 0)
        fuse_text_add(text, "  maps of %" PRId64 " bytes of products' results were run in the products' pass\n",
                      report->epilogue_bytes);
    fuse_text_add(text, "  read from files: %" PRId64 " bytes, %" PRId64 " of them by the busiest rank\n",
                  report->file_bytes_total, report->file_bytes_max);
    if (report->rounds > 0)
        fuse_text_add(text, "  recursions of tensors: %" PRId64 " turns; planned are the bytes of one of each\n",
                      report->rounds);
    fuse_text_add(text, "  memory that ranks of a node move data in: %s\n", report->node_memory);
    fuse_text_add(text, "memory of a rank, bytes\n");
    add_size(text, "planned buffers", plan->peak_bytes);
    add_size(text, "mapped for them", report->arena_bytes);
    add_size(text, "base: libraries, MPI, the program", FUSE_PLAN_BASE_BYTES);
    if (fuse_plan_rules_bytes(plan->ir, &plan->request) > 0)
        add_size(text, "rules, to begin with", fuse_plan_rules_bytes(plan->ir, &plan->request));
    add_size(text, "resident, high-water", report->resident_bytes);
    if (plan->request.memory_bytes > 0)
        add_size(text, "limit", plan->request.memory_bytes);
}

/* ---- times ---- */

static void add_number(struct fuse_text *text, const char *key, int64_t value) {
    fuse_text_add(text, ",\"%s\":%" PRId64, key, value);
}

static void times(struct fuse_text *text, const struct fuse_dist_program *program) {
    const struct fuse_plan *plan = program->plan;
    const struct fuse_exec_report *report = &program->report;
    fuse_text_add(text, "{\"ranks\":%d,\"ranks_per_node\":%d,\"used\":%d,\"threads\":%d,\"backend\":", plan->mesh.ranks,
                  program->job->ranks_per_node, plan->mesh.used, program->threads);
    fuse_text_add_json_string(text, program->backend->name);
    fuse_text_add(text, ",\"node_memory\":");
    fuse_text_add_json_string(text, report->node_memory);
    for (int p = 0; p < FUSE_PHASES; p++)
        fuse_text_add(text, ",\"%s\":%.9f", phase_name[p], report->seconds[p]);
    fuse_text_add(text, ",\"memory\":%.9f,\"waiting\":%.9f", report->memory_seconds, report->waiting[FUSE_PHASE_RUN]);
    fuse_text_add(text, ",\"wall\":%.9f,\"compile\":%.9f,\"scan\":%.9f", program->wall_seconds,
                  program->compile_seconds, program->scan_seconds);
    if (program->options.questions > 0)
        fuse_text_add(text, ",\"answers\":%.9f,\"stages\":%.9f", report->answer_seconds, report->stage_seconds);
    add_number(text, "received_bytes_max", report->received_bytes_max[FUSE_PHASE_RUN]);
    add_number(text, "received_bytes_total", report->received_bytes_total[FUSE_PHASE_RUN]);
    add_number(text, "load_received_bytes_max", report->received_bytes_max[FUSE_PHASE_LOAD]);
    add_number(text, "load_received_bytes_total", report->received_bytes_total[FUSE_PHASE_LOAD]);
    add_number(text, "store_received_bytes_max", report->received_bytes_max[FUSE_PHASE_STORE]);
    add_number(text, "store_received_bytes_total", report->received_bytes_total[FUSE_PHASE_STORE]);
    add_number(text, "planned_received_bytes_max", plan->received_bytes_max[FUSE_PHASE_RUN]);
    add_number(text, "planned_received_bytes_total", plan->received_bytes_total[FUSE_PHASE_RUN]);
    add_number(text, "planned_load_received_bytes_total", plan->received_bytes_total[FUSE_PHASE_LOAD]);
    add_number(text, "planned_store_received_bytes_total", plan->received_bytes_total[FUSE_PHASE_STORE]);
    add_number(text, "messages_max", report->messages_max);
    add_number(text, "control_bytes_max", report->control_bytes_max);
    add_number(text, "arena_bytes", report->arena_bytes);
    add_number(text, "peak_bytes", plan->peak_bytes);
    add_number(text, "base_bytes", FUSE_PLAN_BASE_BYTES);
    add_number(text, "resident_bytes", report->resident_bytes);
    add_number(text, "memory_limit_bytes", plan->request.memory_bytes);
    add_number(text, "file_bytes_max", report->file_bytes_max);
    add_number(text, "file_bytes_total", report->file_bytes_total);
    add_number(text, "flops_max", plan->flops_max);
    add_number(text, "blas_calls", report->blas_calls);
    add_number(text, "packed_bytes", report->packed_bytes);
    add_number(text, "kernel_calls", report->kernel_calls);
    add_number(text, "epilogue_bytes", report->epilogue_bytes);
    add_number(text, "scores_max", report->scores_max);
    add_number(text, "scores_total", report->scores_total);
    fuse_text_add(text, ",\"plan_hash\":\"%016" PRIx64 "\"", plan->hash);
    fuse_api_add_cost_json(text, program);
    add_events(text, program);
    fuse_text_add(text, "}\n");
}

/* A job knows which ranks share a node and plans accordingly; of one that is only imagined the machine file may say it. */
static void describe_unknown_nodes(struct fuse_text *text, const struct fuse_dist_program *program) {
    if (program->options.ranks > 1 && program->plan->request.machine.ranks_per_node == 0)
        fuse_text_add(text, "\nnodes are not known, so that a run may be planned otherwise: \"ranks_per_node\" in the "
                            "file of --machine\n");
}

const char *fuse_dist_text(fuse_dist_program *program, enum fuse_dist_text what) {
    struct fuse_text text = {.arena = program->arena};
    /* A later failure does not take away what an earlier stage made. */
    switch (what) {
    case FUSE_DIST_AST:
        if (!program->is_parsed)
            return NULL;
        fuse_ast_print(&text, &program->ast);
        break;
    case FUSE_DIST_IR:
        if (!program->is_checked)
            return NULL;
        fuse_ir_print(&text, &program->ir);
        break;
    case FUSE_DIST_SUMMARY:
        if (program->status != FUSE_OK)
            return NULL;
        fuse_api_summarise(&text, program);
        break;
    case FUSE_DIST_POLICY:
        if (program->status != FUSE_OK || !program->policy.path)
            return NULL;
        fuse_api_describe_policy(&text, program);
        fuse_api_describe_cost(&text, program);
        break;
    case FUSE_DIST_PLAN:
        if (!program->plan)
            return NULL;
        fuse_plan_print(&text, program->plan);
        describe_unknown_nodes(&text, program);
        fuse_api_describe_cost(&text, program);
        break;
    case FUSE_DIST_PLAN_JSON:
        if (!program->plan)
            return NULL;
        fuse_plan_print_json(&text, program->plan);
        break;
    case FUSE_DIST_PLAN_HTML:
        if (!program->plan)
            return NULL;
        fuse_api_plan_page(&text, program->plan, program->path);
        break;
    case FUSE_DIST_PLAN_SVG:
        if (!program->plan)
            return NULL;
        fuse_api_plan_picture(&text, program->plan);
        break;
    case FUSE_DIST_EXPLAIN:
        if (!program->has_run)
            return NULL;
        explain(&text, program);
        break;
    case FUSE_DIST_TIMES:
        if (!program->has_run)
            return NULL;
        times(&text, program);
        break;
    case FUSE_DIST_CONTENTS:
    case FUSE_DIST_CONTENTS_JSON:
        if (!program->contents)
            return NULL;
        fuse_api_print_contents(&text, program, what == FUSE_DIST_CONTENTS_JSON);
        break;
    }
    return text.at ? text.at : "";
}

/* What of a step's time is what: kernels, messages or files. */
static double *part_of(struct fuse_dist_plan_summary *sum, enum fuse_step_kind kind) {
    switch (kind) {
    case FUSE_STEP_MOVE:
    case FUSE_STEP_REDUCE: return &sum->message_seconds;
    case FUSE_STEP_READ:
    case FUSE_STEP_WRITE:
    case FUSE_STEP_TUPLES: return &sum->file_seconds;
    default: return &sum->kernel_seconds;
    }
}

int fuse_dist_summarise_plan(struct fuse_dist_plan_summary *out, fuse_dist_program *program) {
    const struct fuse_plan *plan = program->plan;
    *out = (struct fuse_dist_plan_summary){0};
    if (!plan)
        return 0;
    int longest = -1;
    for (int s = 0; s < plan->steps.n; s++) {
        const struct fuse_step *step = &plan->steps.at[s];
        *part_of(out, step->kind) += 1e-12 * (double)(step->time_ps - step->hidden_ps);
        if (longest < 0 || step->time_ps > plan->steps.at[longest].time_ps)
            longest = s;
    }
    out->ranks = plan->mesh.ranks;
    out->used = plan->mesh.used;
    out->seconds = 1e-12 * (double)plan->time_ps;
    out->peak_bytes = plan->peak_bytes;
    for (int p = 0; p < FUSE_PHASES; p++) {
        out->received_bytes_max = fuse_sat_add(out->received_bytes_max, plan->received_bytes_max[p]);
        out->received_bytes_total = fuse_sat_add(out->received_bytes_total, plan->received_bytes_total[p]);
    }
    out->longest = "nothing";
    if (longest < 0)
        return 1;
    const struct fuse_step *step = &plan->steps.at[longest];
    const struct fuse_op *op = plan->ir->ops.at[step->op];
    bool moves = step->kind == FUSE_STEP_MOVE || step->kind == FUSE_STEP_REDUCE;
    struct fuse_text name = {.arena = program->arena};
    fuse_text_add(&name, "%s ", fuse_step_kind_name(step->kind));
    fuse_plan_print_value(&name, plan, moves ? step->have.value : op->out >= 0 ? op->out : op->input[0].value);
    out->longest = name.at;
    out->longest_seconds = 1e-12 * (double)step->time_ps;
    return 1;
}
