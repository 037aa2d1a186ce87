/* Rules meet the program. A rule is checked against every tensor that it decides about; what is wrong with it is said at
 * its place in the policy, once. */
#include "api/policy_apply.h"
#include "io/format.h"

#include <string.h>

#define WIDEST_DIMENSION 61 /* as in policy.c: the rest of the ranks may not make a wider one */
#define CHUNK_BYTES ((int64_t)1 << 20)

/* ---- reading ---- */

/* The command line knows better than the document. */
static void take_output_root(struct fuse_dist_program *program) {
    const struct fuse_policy_text *root = &program->policy.output_root;
    if (!root->at)
        return;
    if (!program->options.output_root)
        program->options.output_root = root->at;
    else if (strcmp(program->options.output_root, root->at) != 0)
        fuse_report(&program->diagnostics, FUSE_SEVERITY_NOTE, root->span, "--output-root %s is taken instead of '%s'",
                    program->options.output_root, root->at);
}

/* What has no meaning without the manifest that it is about. */
static void check_weights(struct fuse_dist_program *program) {
    const struct fuse_policy *policy = &program->policy;
    const struct {
        const char *key;
        struct fuse_span span;
        bool given;
    } others[] = {
        {"strict_weights", policy->strict_weights.span, policy->strict_weights.given},
        {"strict_mmap", policy->strict_mmap.span, policy->strict_mmap.given},
        {"quantization", policy->quantization_span, policy->quantization_given},
        {"lora", policy->lora_span, policy->lora_given},
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (others[i].given && !policy->weights.at && !program->options.weights)
            fuse_report(&program->diagnostics, FUSE_SEVERITY_ERROR, others[i].span,
                        "'%s' is about weights, and there are none", others[i].key);
}

enum fuse_status fuse_api_read_policy(struct fuse_dist_program *program, struct fuse_error *err) {
    struct fuse_program_file file = program->policy_file;
    if (!program->options.policy)
        return FUSE_OK;
    if (!file.path)
        FUSE_TRY(fuse_api_read_text(&file, program, "policy", program->options.policy, err));
    fuse_vec_push(program->arena, &program->files.list, file);
    FUSE_TRY(fuse_policy_parse(&program->policy, program->arena, &program->files, program->files.list.n - 1,
                               &program->diagnostics, err));
    take_output_root(program);
    check_weights(program);
    return FUSE_OK;
}

/* ---- rules in general ---- */

static void advise(struct fuse_diagnostic *d, const char *hint) {
    if (d && hint)
        d->hint = hint;
}

/* For names that do not exist: the nearest that does. */
struct nearest {
    const char *wanted, *best;
    int distance;
};

static void offer(struct nearest *nearest, const char *name) {
    int limit = ((int)strlen(nearest->wanted) + 2) / 3;
    int distance = fuse_text_distance(nearest->wanted, name, limit < 3 ? limit : 3);
    if (distance <= limit && distance < nearest->distance) {
        nearest->distance = distance;
        nearest->best = name;
    }
}

static bool is_cold(const struct fuse_policy_tensor *tensor) {
    return tensor->cold_calls > 0;
}

/* What rules of a section match. */
struct matched {
    const char *what;                                      /* "tensor of the program" */
    bool (*fits)(const struct fuse_policy_tensor *tensor); /* whether its name may have been meant */
    const char *instead; /* why the name of a tensor is none of them: a hint with that name in it; or NULL */
};

static const struct matched of_layouts = {"tensor of the program", fuse_policy_is_tensor, NULL},
                            of_temperatures = {"tensor whose equations call sig without T", is_cold,
                                               "the equations of '%s' have no call that the temperature is for: sig(x) "
                                               "takes it, sig(x, T=..) keeps its own"},
                            of_storage = {"sink of the program", fuse_policy_is_tensor,
                                          "no sink writes '%s' as it is; the place of a sink is a pattern too: "
                                          "\"*.h5\""};

static void report_idle(struct fuse_dist_program *program, const struct fuse_policy_text *pattern,
                        const struct matched *matched) {
    struct nearest nearest = {.wanted = pattern->at, .distance = 4};
    const struct fuse_policy_program *known = &program->policy_program;
    const char *hint = NULL;
    if (program->options.policy_report)
        return;
    for (int t = 0; t < known->tensors.n; t++) {
        const struct fuse_policy_tensor *tensor = &known->tensors.at[t];
        if (strcmp(tensor->name, pattern->at) == 0 && fuse_policy_is_tensor(tensor) && matched->instead)
            hint = fuse_arena_printf(program->arena, matched->instead, tensor->name);
        else if (matched->fits(tensor))
            offer(&nearest, tensor->name);
    }
    if (!hint && nearest.best)
        hint = fuse_arena_printf(program->arena, "did you mean '%s'?", nearest.best);
    advise(fuse_report(&program->diagnostics, FUSE_SEVERITY_ERROR, pattern->span, "'%s' matches no %s", pattern->at,
                       matched->what),
           hint);
}

static void report_tie(struct fuse_dist_program *program, const struct fuse_policy_text *one,
                       const struct fuse_policy_text *other, const char *name) {
    struct fuse_diagnostic *d = fuse_report(&program->diagnostics, FUSE_SEVERITY_ERROR, other->span,
                                            "'%s' and '%s' say different things about '%s'", one->at, other->at, name);
    if (d) {
        d->other = one->span;
        d->other_message = "the other rule is here";
        d->hint = fuse_arena_printf(program->arena,
                                    "the more specific pattern decides, and these are equally specific: add a rule "
                                    "for \"%s\" itself",
                                    name);
    }
}

/* ---- layouts ---- */

static const char *list_axes(struct fuse_dist_program *program, const struct fuse_policy_tensor *tensor) {
    struct fuse_text text = {.arena = program->arena};
    if (tensor->rank == 0)
        return "it is a single number, and can only be replicated";
    for (int a = 0; a < tensor->rank; a++) {
        fuse_text_add(&text, "%s", a == 0 ? "its axes are " : a + 1 < tensor->rank ? ", " : " and ");
        if (tensor->axis[a])
            fuse_text_add(&text, "%s", tensor->axis[a]);
        else
            fuse_text_add(&text, "%d", a);
    }
    fuse_text_add(&text, "; a number counts them from 0");
    return text.at;
}

static void report_axis(struct fuse_dist_program *program, const struct fuse_policy_tensor *tensor, const char *axis,
                        struct fuse_span span) {
    advise(fuse_report(&program->diagnostics, FUSE_SEVERITY_ERROR, span, "tensor '%s' has no axis '%s'", tensor->name,
                       axis),
           list_axes(program, tensor));
}

/* An axis may be called by its name and by its number; the order of the two would decide. */
static bool check_named_once(struct fuse_dist_program *program, const struct fuse_policy_sharding *rule, int number,
                             const struct fuse_policy_tensor *tensor) {
    const struct fuse_policy_text *axis = &rule->split[number].axis;
    for (int k = 0; k < number; k++)
        if (fuse_policy_axis(tensor, rule->split[k].axis.at) == fuse_policy_axis(tensor, axis->at)) {
            advise(fuse_report(&program->diagnostics, FUSE_SEVERITY_ERROR, axis->span,
                               "'%s' and '%s' are the same axis of tensor '%s'", rule->split[k].axis.at, axis->at,
                               tensor->name),
                   "give all dimensions of an axis in one list");
            return false;
        }
    return true;
}

/* Every dimension of the mesh splits one axis at most. Only the tensor tells whether two axes of the rule are two. */
static bool check_dimensions(struct fuse_dist_program *program, const struct fuse_policy_sharding *rule, int number) {
    const struct fuse_policy_split *split = &rule->split[number];
    for (int k = 0; k < number; k++) {
        const struct fuse_policy_split *other = &rule->split[k];
        const char *shared = fuse_policy_shared_dimension(&program->policy, other, split);
        if (!shared)
            continue;
        struct fuse_diagnostic *d = fuse_report(&program->diagnostics, FUSE_SEVERITY_ERROR, split->span,
                                                "mesh dimension '%s' is used twice by this rule", shared);
        if (d) {
            d->other = other->span;
            d->other_message = "it is used here already";
        }
        return false;
    }
    return true;
}

static bool pin_split(struct fuse_dist_program *program, struct fuse_plan_pin *pin,
                      const struct fuse_policy_tensor *tensor, const struct fuse_policy_sharding *rule, int number) {
    const struct fuse_policy_split *split = &rule->split[number];
    int axis = fuse_policy_axis(tensor, split->axis.at);
    if (axis < 0) {
        report_axis(program, tensor, split->axis.at, split->axis.span);
        return false;
    }
    if (!check_named_once(program, rule, number, tensor) || !check_dimensions(program, rule, number))
        return false;
    if (split->all)
        pin->all = axis;
    for (int k = 0; k < split->dims; k++) {
        pin->split[pin->splits].axis = axis;
        pin->split[pin->splits++].dim = split->dim[k];
    }
    return true;
}

static bool make_pin(struct fuse_dist_program *program, struct fuse_plan_pin *pin,
                     const struct fuse_policy_sharding *rule, const struct fuse_policy_tensor *tensor) {
    *pin = (struct fuse_plan_pin){.all = -1};
    switch (rule->shape) {
    case FUSE_POLICY_REPLICATED: return true;
    case FUSE_POLICY_ROW:
    case FUSE_POLICY_COLUMN:
        if (tensor->rank > (rule->shape == FUSE_POLICY_COLUMN)) {
            pin->all = rule->shape == FUSE_POLICY_COLUMN ? tensor->rank - 1 : 0;
            return true;
        }
        advise(fuse_report(&program->diagnostics, FUSE_SEVERITY_ERROR, rule->pattern.span,
                           "tensor '%s' of rank %d has no %s", tensor->name, tensor->rank,
                           rule->shape == FUSE_POLICY_ROW ? "rows" : "columns"),
               list_axes(program, tensor));
        return false;
    case FUSE_POLICY_AXES: break;
    }
    for (int k = 0; k < rule->splits; k++)
        if (!pin_split(program, pin, tensor, rule, k))
            return false;
    return true;
}

/* Number of the pin of each tensor plus one. */
static void pin_tensors(struct fuse_dist_program *program) {
    const struct fuse_policy *policy = &program->policy;
    struct fuse_policy_program *known = &program->policy_program;
    bool *matched = FUSE_NEW_ARRAY(program->arena, bool, policy->sharding.n + 1);
    bool *wrong = FUSE_NEW_ARRAY(program->arena, bool, policy->sharding.n + 1); /* said of an earlier tensor */
    for (int t = 0; t < known->tensors.n; t++) {
        struct fuse_policy_tensor *tensor = &known->tensors.at[t];
        struct fuse_policy_choice choice =
            fuse_policy_choose(policy->sharding.at, policy->sharding.n, sizeof *policy->sharding.at, tensor->name);
        for (int r = 0; r < policy->sharding.n; r++)
            matched[r] |= fuse_policy_lays_out(policy->sharding.at[r].pattern.at, tensor);
        if (choice.rule < 0 || !fuse_policy_lays_out(policy->sharding.at[choice.rule].pattern.at, tensor))
            continue;
        const struct fuse_policy_sharding *rule = &policy->sharding.at[choice.rule];
        if (choice.rival >= 0 &&
            !(rule->shape != FUSE_POLICY_AXES && rule->shape == policy->sharding.at[choice.rival].shape)) {
            report_tie(program, &rule->pattern, &policy->sharding.at[choice.rival].pattern, tensor->name);
            continue;
        }
        struct fuse_plan_pin pin;
        if (wrong[choice.rule] || !make_pin(program, &pin, rule, tensor)) {
            wrong[choice.rule] = true;
            continue;
        }
        fuse_vec_push(program->arena, &program->pins, pin);
        tensor->pin = program->pins.n;
    }
    for (int r = 0; r < policy->sharding.n; r++)
        if (!matched[r])
            report_idle(program, &policy->sharding.at[r].pattern, &of_layouts);
}

/* A pattern may mean the other tensors that it matches; a name means this one. */
static void refuse_relation(struct fuse_dist_program *program, const struct fuse_policy_tensor *tensor) {
    const struct fuse_policy *policy = &program->policy;
    struct fuse_policy_choice choice =
        fuse_policy_choose(policy->sharding.at, policy->sharding.n, sizeof *policy->sharding.at, tensor->name);
    const struct fuse_policy_text *pattern = &policy->sharding.at[choice.rule].pattern;
    if (strcmp(pattern->at, tensor->name) == 0 && !tensor->is_relation)
        fuse_report(&program->diagnostics, FUSE_SEVERITY_ERROR, pattern->span,
                    "'%s' is a relation of tuples, which has no layout", tensor->name);
}

void fuse_api_pin_values(struct fuse_dist_program *program) {
    const struct fuse_policy_program *known = &program->policy_program;
    for (int v = 0; program->pins.n > 0 && v < program->ir.values.n; v++) {
        struct fuse_value *value = &program->ir.values.at[v];
        int64_t number;
        if (!value->name || !fuse_map_get(&known->number_of, value->name, &number))
            continue;
        struct fuse_policy_tensor *tensor = &known->tensors.at[number];
        bool is_relation = value->storage == FUSE_STORAGE_RELATION;
        if (tensor->pin > 0 && is_relation)
            refuse_relation(program, tensor);
        else if (tensor->pin > 0 && value->rank == tensor->rank)
            value->pin = tensor->pin;
        tensor->is_relation |= is_relation;
        tensor->is_computed = true;
    }
    /* What a recursion turns over lies as its result does. */
    for (int o = 0; program->pins.n > 0 && o < program->ir.ops.n; o++) {
        const struct fuse_op *op = program->ir.ops.at[o];
        for (int k = 0; op->kind == FUSE_OP_FIXPOINT && k < 2; k++)
            program->ir.values.at[op->input[k].value].pin = program->ir.values.at[op->out].pin;
    }
}

/* ---- the mesh ---- */

static bool is_narrow(int64_t n) {
    for (int p = 2; p <= WIDEST_DIMENSION; p++)
        while (n % p == 0)
            n /= p;
    return n == 1;
}

/* "*" takes as many ranks as the other dimensions leave. */
enum fuse_status fuse_api_constrain(struct fuse_plan_request *request, struct fuse_dist_program *program,
                                    struct fuse_error *err) {
    const struct fuse_policy *policy = &program->policy;
    int64_t fixed = 1, rest = request->ranks;
    for (int i = 0; i < policy->mesh.n; i++)
        if (policy->mesh.at[i].size > 0)
            fixed = fuse_sat_mul(fixed, policy->mesh.at[i].size);
    if (fixed > request->ranks) {
        fuse_fail_at(err, FUSE_EPROGRAM, policy->mesh_span, "this mesh is of %lld ranks or more, and there %s %d",
                     (long long)fixed, request->ranks == 1 ? "is" : "are", request->ranks);
        fuse_hint(err, "start as many, or let one dimension take what there is: \"*\"");
        return FUSE_EPROGRAM;
    }
    for (rest /= fixed; !is_narrow(rest);)
        rest--;
    for (int i = 0; i < policy->mesh.n; i++)
        request->mesh_size[request->mesh_sizes++] = (int)(policy->mesh.at[i].size > 0 ? policy->mesh.at[i].size : rest);
    request->pin = program->pins.at;
    return FUSE_OK;
}

/* ---- temperatures ---- */

static void set_temperatures(struct fuse_dist_program *program) {
    const struct fuse_policy *policy = &program->policy;
    struct fuse_policy_program *known = &program->policy_program;
    bool *matched = FUSE_NEW_ARRAY(program->arena, bool, policy->temperatures.n + 1);
    const double **temperature = FUSE_NEW_ARRAY(program->arena, const double *, known->tensors.n + 1);
    for (int t = 0; t < known->tensors.n; t++) {
        struct fuse_policy_tensor *tensor = &known->tensors.at[t];
        if (tensor->cold_calls == 0)
            continue;
        struct fuse_policy_choice choice = fuse_policy_choose(policy->temperatures.at, policy->temperatures.n,
                                                              sizeof *policy->temperatures.at, tensor->name);
        for (int r = 0; r < policy->temperatures.n; r++)
            matched[r] |= fuse_policy_fit(policy->temperatures.at[r].pattern.at, tensor->name) > 0;
        if (choice.rule < 0)
            continue;
        const struct fuse_policy_temperature *rule = &policy->temperatures.at[choice.rule];
        if (choice.rival >= 0)
            report_tie(program, &rule->pattern, &policy->temperatures.at[choice.rival].pattern, tensor->name);
        else if (rule->kind != FUSE_POLICY_CONSTANT && !fuse_policy_has_turns(known, t))
            fuse_report(&program->diagnostics, FUSE_SEVERITY_ERROR, rule->span,
                        "a schedule changes from turn to turn of a recursion, and '%s' is computed once", tensor->name);
        else if (rule->kind != FUSE_POLICY_CONSTANT)
            fuse_report(&program->diagnostics, FUSE_SEVERITY_ERROR, rule->span,
                        "the schedule of '%s' is right, but schedules cannot be run yet", tensor->name);
        else
            temperature[t] = &rule->point[0].temperature;
    }
    for (int r = 0; r < policy->temperatures.n; r++)
        if (!matched[r])
            report_idle(program, &policy->temperatures.at[r].pattern, &of_temperatures);
    fuse_policy_set_temperatures(known, &program->ast, temperature);
}

void fuse_api_follow_policy(struct fuse_dist_program *program) {
    if (!program->policy.path)
        return;
    fuse_policy_survey(&program->policy_program, program->arena, &program->ast);
    pin_tensors(program);
    set_temperatures(program);
}

/* ---- how sinks are stored ---- */

/* The tensor that a sink of the program writes as it is, or NULL. */
static const char *written_tensor(const struct fuse_item *sink) {
    const struct fuse_expr *expr = sink->value;
    if (expr->kind == FUSE_EXPR_REF)
        return expr->ref.name;
    return expr->kind == FUSE_EXPR_APPLY && expr->apply.is_ref ? expr->apply.name : NULL;
}

static const struct fuse_item *find_sink(struct fuse_item *const *item, int items, const char *text) {
    for (int i = 0; i < items; i++) {
        if (item[i]->kind == FUSE_ITEM_SINK && !item[i]->query && strcmp(item[i]->text, text) == 0)
            return item[i];
        const struct fuse_item *inside =
            item[i]->kind == FUSE_ITEM_BLOCK ? find_sink(item[i]->body, item[i]->bodies, text) : NULL;
        if (inside)
            return inside;
    }
    return NULL;
}

/* An export that is written to a file has the tensor's name as its part. */
static const char *sink_tensor(const struct fuse_dist_program *program, const struct fuse_op *sink) {
    const struct fuse_item *item = find_sink(program->ast.item, program->ast.items, sink->path);
    return sink->part ? sink->part : item ? written_tensor(item) : NULL;
}

int fuse_api_storage_rule(const struct fuse_dist_program *program, const struct fuse_op *sink, int *rival) {
    const struct fuse_policy *policy = &program->policy;
    const char *tensor = sink_tensor(program, sink);
    struct fuse_policy_choice place, name = {-1, -1};
    place = fuse_policy_choose(policy->io.at, policy->io.n, sizeof *policy->io.at, sink->path);
    if (tensor)
        name = fuse_policy_choose(policy->io.at, policy->io.n, sizeof *policy->io.at, tensor);
    int place_fit = place.rule < 0 ? 0 : fuse_policy_fit(policy->io.at[place.rule].pattern.at, sink->path);
    int name_fit = name.rule < 0 ? 0 : fuse_policy_fit(policy->io.at[name.rule].pattern.at, tensor);
    struct fuse_policy_choice best = place_fit >= name_fit ? place : name;
    *rival = best.rival;
    if (place_fit == name_fit && place.rule != name.rule)
        *rival = name.rule;
    return best.rule;
}

static void mark(const struct fuse_dist_program *program, bool *matched, const char *place, const char *tensor) {
    const struct fuse_policy *policy = &program->policy;
    for (int r = 0; r < policy->io.n; r++)
        matched[r] |= fuse_policy_fit(policy->io.at[r].pattern.at, place) > 0 ||
                      (tensor && fuse_policy_fit(policy->io.at[r].pattern.at, tensor) > 0);
}

/* Sinks of the program, also those that this run does not write. */
static void mark_sinks(const struct fuse_dist_program *program, bool *matched, struct fuse_item *const *item,
                       int items) {
    for (int i = 0; i < items; i++) {
        if (item[i]->kind == FUSE_ITEM_SINK && !item[i]->query)
            mark(program, matched, item[i]->text, written_tensor(item[i]));
        else if (item[i]->kind == FUSE_ITEM_BLOCK)
            mark_sinks(program, matched, item[i]->body, item[i]->bodies);
    }
}

static void check_storage(struct fuse_dist_program *program, const struct fuse_op *sink,
                          const struct fuse_policy_io *rule) {
    const char *path, *part;
    fuse_api_split_place(&path, &part, program->arena, sink->path);
    const struct fuse_format *format = fuse_format_of(path, part);
    int rank = program->ir.values.at[sink->input[0].value].rank;
    const struct fuse_policy_text *key = rule->chunks.at ? &rule->chunks : &rule->gzip;
    if (key->at && !(format && format->stores_chunks)) {
        fuse_report(&program->diagnostics, FUSE_SEVERITY_ERROR, key->span, "'%s' has no option '%s'", sink->path,
                    key->at);
        return;
    }
    if (rule->chunk_rank > 0 && rule->chunk_rank != rank)
        fuse_report(&program->diagnostics, FUSE_SEVERITY_ERROR, rule->chunks.span,
                    "a chunk has %d extents here, and what '%s' holds has rank %d", rule->chunk_rank, sink->path, rank);
}

void fuse_api_choose_storage(struct fuse_dist_program *program) {
    const struct fuse_policy *policy = &program->policy;
    bool *matched = FUSE_NEW_ARRAY(program->arena, bool, policy->io.n + 1);
    if (policy->io.n == 0)
        return;
    mark_sinks(program, matched, program->ast.item, program->ast.items);
    for (int o = 0; o < program->ir.ops.n; o++) {
        const struct fuse_op *op = program->ir.ops.at[o];
        int rival;
        if (op->kind != FUSE_OP_SINK || !op->path)
            continue;
        mark(program, matched, op->path, sink_tensor(program, op));
        int rule = fuse_api_storage_rule(program, op, &rival);
        if (rule >= 0 && rival >= 0)
            report_tie(program, &policy->io.at[rule].pattern, &policy->io.at[rival].pattern, op->path);
        else if (rule >= 0)
            check_storage(program, op, &policy->io.at[rule]);
    }
    for (int r = 0; r < policy->io.n; r++)
        if (!matched[r])
            report_idle(program, &policy->io.at[r].pattern, &of_storage);
}

/* Whole rows where they fit: the same for every number of ranks. */
static void choose_chunk(struct fuse_sink_storage *out, const struct fuse_value *value) {
    int64_t left = CHUNK_BYTES / (int64_t)fuse_dtype_bytes(value->dtype);
    for (int a = value->rank - 1; a >= 0; a--) {
        int64_t extent = value->extent[a] > 0 ? value->extent[a] : 1;
        out->chunk[a] = left < 1 ? 1 : left < extent ? left : extent;
        left /= out->chunk[a];
    }
}

const struct fuse_sink_storage *fuse_api_storage(struct fuse_dist_program *program) {
    const struct fuse_policy *policy = &program->policy;
    if (program->storage || policy->io.n == 0)
        return program->storage;
    struct fuse_sink_storage *storage = FUSE_NEW_ARRAY(program->arena, struct fuse_sink_storage, program->ir.ops.n + 1);
    for (int o = 0; o < program->ir.ops.n; o++) {
        const struct fuse_op *op = program->ir.ops.at[o];
        int rival, rule = op->kind == FUSE_OP_SINK && op->path ? fuse_api_storage_rule(program, op, &rival) : -1;
        const struct fuse_value *value = rule < 0 ? NULL : &program->ir.values.at[op->input[0].value];
        if (rule < 0 || value->rank == 0)
            continue;
        const struct fuse_policy_io *io = &policy->io.at[rule];
        storage[o].gzip = io->gzip_level;
        if (io->chunks_auto)
            choose_chunk(&storage[o], value);
        for (int a = 0; a < io->chunk_rank; a++)
            storage[o].chunk[a] = io->chunk[a] < value->extent[a] ? io->chunk[a]
                                  : value->extent[a]              ? value->extent[a]
                                                                  : 1;
    }
    return storage;
}
