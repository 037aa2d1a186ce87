/* A policy in words. */
#include "api/policy_apply.h"

#include <inttypes.h>
#include <string.h>

static void add_axis(struct fuse_text *text, const struct fuse_policy_tensor *tensor, int axis) {
    if (tensor->axis[axis])
        fuse_text_add(text, "%s", tensor->axis[axis]);
    else
        fuse_text_add(text, "axis %d", axis);
}

static void add_tensor(struct fuse_text *text, const struct fuse_policy_tensor *tensor) {
    fuse_text_add(text, "%s", tensor->name);
    for (int a = 0; a < tensor->rank; a++) {
        fuse_text_add(text, a == 0 ? "[" : ",");
        if (tensor->axis[a])
            fuse_text_add(text, "%s", tensor->axis[a]);
        else
            fuse_text_add(text, "%d", a);
    }
    fuse_text_add(text, tensor->rank > 0 ? "]" : "");
}

/* "i over data and model, j whole" */
static void add_layout(struct fuse_text *text, const struct fuse_policy *policy, const struct fuse_plan_pin *pin,
                       const struct fuse_policy_tensor *tensor) {
    bool split = pin->all >= 0;
    if (split) {
        add_axis(text, tensor, pin->all);
        fuse_text_add(text, " over all ranks that compute");
    }
    for (int a = 0; pin->all < 0 && a < tensor->rank; a++) {
        int dims = 0;
        for (int k = 0; k < pin->splits; k++) {
            if (pin->split[k].axis != a)
                continue;
            if (dims == 0) {
                fuse_text_add(text, split ? ", " : "");
                add_axis(text, tensor, a);
            }
            fuse_text_add(text, dims++ ? ", then %s" : " over %s", policy->mesh.at[pin->split[k].dim].name);
            split = true;
        }
    }
    fuse_text_add(text, split ? "" : "a copy on every rank that computes");
}

static void open_rule(struct fuse_text *text, const struct fuse_dist_program *program,
                      const struct fuse_policy_text *pattern) {
    int line, column;
    fuse_locate(&program->files.list.at[pattern->span.file], pattern->span.begin, &line, &column);
    fuse_text_add(text, "  \"%s\" (line %d)\n", pattern->at, line);
}

static void describe_mesh(struct fuse_text *text, const struct fuse_policy *policy) {
    bool rest = false;
    int64_t ranks = 1;
    fuse_text_add(text, "mesh\n  ");
    for (int i = 0; i < policy->mesh.n; i++) {
        const struct fuse_policy_mesh *dim = &policy->mesh.at[i];
        fuse_text_add(text, "%s%s ", i ? " x " : "", dim->name);
        if (dim->size == 0)
            fuse_text_add(text, "*");
        else
            fuse_text_add(text, "%" PRId64, dim->size);
        rest |= dim->size == 0;
        ranks = fuse_sat_mul(ranks, dim->size == 0 ? 1 : dim->size);
    }
    if (rest)
        fuse_text_add(text, ": as many ranks as there are, in multiples of %" PRId64 "\n", ranks);
    else
        fuse_text_add(text, ": %" PRId64 " rank%s; others only read, write and agree\n", ranks, ranks == 1 ? "" : "s");
}

static void describe_sharding(struct fuse_text *text, const struct fuse_dist_program *program) {
    const struct fuse_policy *policy = &program->policy;
    const struct fuse_policy_program *known = &program->policy_program;
    fuse_text_add(text, "sharding\n");
    for (int r = 0; r < policy->sharding.n; r++) {
        const struct fuse_policy_text *pattern = &policy->sharding.at[r].pattern;
        int matches = 0;
        open_rule(text, program, pattern);
        for (int t = 0; t < known->tensors.n; t++) {
            const struct fuse_policy_tensor *tensor = &known->tensors.at[t];
            if (!fuse_policy_lays_out(pattern->at, tensor))
                continue;
            struct fuse_policy_choice choice =
                fuse_policy_choose(policy->sharding.at, policy->sharding.n, sizeof *policy->sharding.at, tensor->name);
            matches++;
            fuse_text_add(text, "    ");
            add_tensor(text, tensor);
            fuse_text_add(text, ": ");
            if (tensor->is_relation)
                fuse_text_add(text, "tuples, which have no layout");
            else if (choice.rule == r && tensor->pin > 0 && !tensor->is_computed)
                fuse_text_add(text, "is not computed in this run");
            else if (choice.rule == r && tensor->pin > 0)
                add_layout(text, policy, &program->pins.at[tensor->pin - 1], tensor);
            else
                fuse_text_add(text, "\"%s\" decides", policy->sharding.at[choice.rule].pattern.at);
            fuse_text_add(text, "\n");
        }
        if (matches == 0)
            fuse_text_add(text, "    matches nothing\n");
    }
}

static void add_temperature(struct fuse_text *text, const struct fuse_policy_temperature *rule) {
    const struct fuse_policy_point *last = &rule->point[rule->points - 1];
    switch (rule->kind) {
    case FUSE_POLICY_CONSTANT: fuse_text_add(text, "T = %.9g", last->temperature); break;
    case FUSE_POLICY_LINEAR:
        fuse_text_add(text, "T from %.9g to %.9g in %" PRId64 " turns, in equal steps, then %.9g",
                      rule->point[0].temperature, last->temperature, last->step, last->temperature);
        break;
    case FUSE_POLICY_PIECEWISE:
        fuse_text_add(text, "T");
        for (int i = 0; i < rule->points; i++)
            fuse_text_add(text, "%s %.9g at turn %" PRId64, i ? "," : "", rule->point[i].temperature,
                          rule->point[i].step);
        fuse_text_add(text, ", on a line between them, and %.9g from then on", last->temperature);
        break;
    }
}

static void describe_temperatures(struct fuse_text *text, const struct fuse_dist_program *program) {
    const struct fuse_policy *policy = &program->policy;
    const struct fuse_policy_program *known = &program->policy_program;
    fuse_text_add(text, "temperatures\n");
    for (int r = 0; r < policy->temperatures.n; r++) {
        const struct fuse_policy_temperature *rule = &policy->temperatures.at[r];
        int matches = 0;
        open_rule(text, program, &rule->pattern);
        for (int t = 0; t < known->tensors.n; t++) {
            const struct fuse_policy_tensor *tensor = &known->tensors.at[t];
            if (tensor->cold_calls == 0 || fuse_policy_fit(rule->pattern.at, tensor->name) == 0)
                continue;
            struct fuse_policy_choice choice = fuse_policy_choose(policy->temperatures.at, policy->temperatures.n,
                                                                  sizeof *policy->temperatures.at, tensor->name);
            matches++;
            fuse_text_add(text, "    %s, %d call%s of sig: ", tensor->name, tensor->cold_calls,
                          tensor->cold_calls == 1 ? "" : "s");
            if (choice.rule == r)
                add_temperature(text, rule);
            else
                fuse_text_add(text, "\"%s\" decides", policy->temperatures.at[choice.rule].pattern.at);
            fuse_text_add(text, "\n");
        }
        if (matches == 0)
            fuse_text_add(text, "    matches nothing\n");
    }
}

static void add_storage(struct fuse_text *text, const struct fuse_policy_io *rule) {
    if (rule->chunks_auto)
        fuse_text_add(text, "chunks of about 1 MiB");
    for (int a = 0; a < rule->chunk_rank; a++)
        fuse_text_add(text, "%s%" PRId64, a ? " x " : "chunks of ", rule->chunk[a]);
    if (rule->gzip.at)
        fuse_text_add(text, rule->gzip_level ? "%sgzip %d" : "%snot compressed", rule->chunks.at ? ", " : "",
                      rule->gzip_level);
    else if (!rule->chunks.at)
        fuse_text_add(text, "as the format likes it");
}

static void describe_io(struct fuse_text *text, const struct fuse_dist_program *program) {
    const struct fuse_policy *policy = &program->policy;
    fuse_text_add(text, "io\n");
    for (int r = 0; r < policy->io.n; r++) {
        int matches = 0, rival;
        open_rule(text, program, &policy->io.at[r].pattern);
        for (int o = 0; o < program->ir.ops.n; o++) {
            const struct fuse_op *op = program->ir.ops.at[o];
            if (op->kind != FUSE_OP_SINK || !op->path || fuse_api_storage_rule(program, op, &rival) != r)
                continue;
            matches++;
            fuse_text_add(text, "    \"%s\": ", op->path);
            add_storage(text, &policy->io.at[r]);
            fuse_text_add(text, "\n");
        }
        if (matches == 0)
            fuse_text_add(text, "    decides about nothing\n");
    }
}

static void describe_weights(struct fuse_text *text, const struct fuse_dist_program *program) {
    const struct fuse_policy *policy = &program->policy;
    fuse_text_add(text, "weights\n");
    if (policy->weights.at)
        fuse_text_add(text, "  tensors that the program uses and does not define come from %s\n", policy->weights.at);
    if (policy->strict_weights.given)
        fuse_text_add(text, policy->strict_weights.on
                                ? "  strict: every weight must be used, typed and shaped as declared\n"
                                : "  not strict: weights may be left unused, and are converted\n");
    if (policy->strict_mmap.given)
        fuse_text_add(text, policy->strict_mmap.on
                                ? "  strict: weights are read in place, none is copied or converted\n"
                                : "  weights may be copied\n");
    for (int i = 0; i < policy->quantization.n; i++)
        fuse_text_add(text, "  \"%s\" is quantised as this policy says\n", policy->quantization.at[i].pattern.at);
    for (int i = 0; i < policy->lora.n; i++) {
        const struct fuse_policy_lora *rule = &policy->lora.at[i];
        if (rule->adapter.at)
            fuse_text_add(text, "  slot \"%s\" has adapter \"%s\"\n", rule->slot.at, rule->adapter.at);
        else
            fuse_text_add(text, "  slot \"%s\" has no adapter\n", rule->slot.at);
    }
    fuse_api_describe_weights(text, program);
}

void fuse_api_describe_policy(struct fuse_text *text, const struct fuse_dist_program *program) {
    const struct fuse_policy *policy = &program->policy;
    fuse_text_add(text, "policy %s for %s\n", policy->path, program->path);
    if (policy->mesh.n > 0)
        describe_mesh(text, policy);
    if (policy->sharding.n > 0)
        describe_sharding(text, program);
    if (policy->weights.at || policy->strict_weights.given || policy->strict_mmap.given || policy->quantization.n > 0 ||
        policy->lora.n > 0)
        describe_weights(text, program);
    if (policy->temperatures.n > 0)
        describe_temperatures(text, program);
    if (policy->output_root.at)
        fuse_text_add(text, "output_root\n  sinks stay in %s\n", program->options.output_root);
    if (policy->io.n > 0)
        describe_io(text, program);
}

/* ---- beside the steps of a plan ---- */

static void add_mesh_event(struct fuse_dist_program *program) {
    const struct fuse_policy *policy = &program->policy;
    const struct fuse_plan *plan = program->plan;
    struct fuse_text text = {.arena = program->arena};
    for (int i = 0; i < policy->mesh.n; i++)
        fuse_text_add(&text, "%s%s %d", i ? " x " : "", policy->mesh.at[i].name, plan->request.mesh_size[i]);
    fuse_api_add_event(program, "policy", "mesh %s: %d of %d rank%s compute", text.at, plan->mesh.used,
                       plan->mesh.ranks, plan->mesh.ranks == 1 ? "" : "s");
}

void fuse_api_add_policy_events(struct fuse_dist_program *program) {
    const struct fuse_policy *policy = &program->policy;
    const struct fuse_policy_program *known = &program->policy_program;
    if (policy->mesh.n > 0)
        add_mesh_event(program);
    for (int t = 0; t < known->tensors.n; t++) {
        const struct fuse_policy_tensor *tensor = &known->tensors.at[t];
        struct fuse_text text = {.arena = program->arena};
        add_tensor(&text, tensor);
        if (tensor->pin > 0 && tensor->is_computed && !tensor->is_relation) {
            fuse_text_add(&text, ": ");
            add_layout(&text, policy, &program->pins.at[tensor->pin - 1], tensor);
            fuse_api_add_event(program, "policy", "%s", text.at);
        }
        struct fuse_policy_choice choice = fuse_policy_choose(policy->temperatures.at, policy->temperatures.n,
                                                              sizeof *policy->temperatures.at, tensor->name);
        if (tensor->cold_calls == 0 || choice.rule < 0)
            continue;
        text = (struct fuse_text){.arena = program->arena};
        add_temperature(&text, &policy->temperatures.at[choice.rule]);
        fuse_api_add_event(program, "policy", "%s: sig with %s", tensor->name, text.at);
    }
}
