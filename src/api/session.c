#include "api/cache.h"
#include "api/packed.h"
#include "api/policy_apply.h"
#include "api/program.h"
#include "api/run_progress.h"
#include "api/watchdog.h"
#include "api/weights.h"
#include "core/hash.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define STALL_SECONDS 1800
#define MOST_ROUNDS 10000 /* turns of a recursion */

/* ---- messages and statuses ---- */

const struct fuse_files *fuse_api_shown_files(const struct fuse_dist_program *program) {
    return program->converted_to ? NULL : &program->files;
}

void fuse_api_render(struct fuse_dist_program *program) {
    for (; program->reported < program->diagnostics.list.n; program->reported++)
        fuse_diagnostic_print(&program->messages, fuse_api_shown_files(program),
                              &program->diagnostics.list.at[program->reported]);
}

enum fuse_status fuse_api_end_stage(struct fuse_dist_program *program, enum fuse_status local, struct fuse_error *err) {
    struct fuse_comm *comm = program->job->comm;
    enum fuse_status st = fuse_agree(comm, local, err);
    fuse_api_render(program);
    if (st != FUSE_OK)
        fuse_error_print(&program->messages, fuse_api_shown_files(program), err);
    program->status = st;
    return st;
}

/* The diagnostics are the same on every rank; that their status is, is agreed all the same. */
static enum fuse_status end_with_diagnostics(struct fuse_dist_program *program, struct fuse_error *err) {
    enum fuse_status st = FUSE_OK;
    for (int i = 0; i < program->diagnostics.list.n; i++) {
        struct fuse_diagnostic *d = &program->diagnostics.list.at[i];
        if (d->span.file >= program->first_query && d->span.file < program->end_query)
            d->status = FUSE_EUSAGE;
        /* Of files alone there is no program that could be wrong. */
        if ((program->converted_to || program->files.list.n == 0) && d->status == FUSE_EPROGRAM)
            d->status = FUSE_EUSAGE;
        /* That a program is wrong matters more than that its inputs are missing. */
        if (d->severity == FUSE_SEVERITY_ERROR && (st == FUSE_OK || (st == FUSE_EINPUT && d->status == FUSE_EPROGRAM)))
            st = d->status;
    }
    struct fuse_comm *comm = program->job->comm;
    bool same;
    enum fuse_status compared = fuse_api_same(comm, &same, (uint64_t)st, err);
    if (compared == FUSE_OK && !same)
        compared = fuse_fail(err, FUSE_EBUG, "the ranks judge the program differently");
    if (compared != FUSE_OK)
        return fuse_api_end_stage(program, compared, err);
    fuse_api_render(program);
    int untold = program->diagnostics.errors - 100;
    if (untold > 0)
        fuse_text_add(&program->messages, "note: %d more error%s\n", untold, untold == 1 ? "" : "s");
    untold = program->diagnostics.others - 100;
    if (untold > 0)
        fuse_text_add(&program->messages, "note: %d more warning%s and notes\n", untold, untold == 1 ? "" : "s");
    program->status = st;
    return st;
}

/* ---- opening ---- */

static uint64_t hash_text(uint64_t hash, const char *text) {
    return fuse_hash_string(fuse_hash_int(hash, text != NULL), text ? text : "");
}

static uint64_t hash_options(const struct fuse_dist_options *options) {
    uint64_t hash = FUSE_HASH_SEED;
    hash = hash_text(hash, options->root);
    hash = hash_text(hash, options->output_root);
    hash = hash_text(hash, options->policy);
    hash = hash_text(hash, options->machine);
    hash = hash_text(hash, options->backend);
    hash = hash_text(hash, options->precision);
    hash = hash_text(hash, options->validate);
    hash = fuse_hash_int(fuse_hash_int(hash_text(hash, options->projection), options->samples), options->seed);
    hash = fuse_hash_int(hash, options->warnings_are_errors);
    for (int i = 0; i < options->includes; i++)
        hash = hash_text(hash, options->include[i]);
    hash = hash_text(hash, options->fault);
    hash = hash_text(hash, options->isa);
    hash = fuse_hash_int(hash, options->threads);
    hash = fuse_hash_int(hash, options->memory_bytes);
    hash = fuse_hash_int(hash, options->ranks);
    hash = fuse_hash_int(hash, options->panels);
    hash = fuse_hash_int(hash, options->deterministic);
    hash = fuse_hash_int(hash, options->replicate_below);
    hash = fuse_hash_int(hash, options->slab_bytes);
    hash = fuse_hash_int(hash, options->stream_bytes);
    hash = fuse_hash_int(hash, options->workspace_bytes);
    hash = fuse_hash_int(hash, options->stall_seconds);
    hash = fuse_hash_int(hash, options->file_unit_bytes);
    hash = hash_text(hash, options->mode);
    for (int i = 0; i < options->queries; i++)
        hash = hash_text(hash, options->query[i]);
    for (int i = 0; i < options->counts; i++)
        hash = hash_text(hash, options->count[i]);
    hash = hash_text(hash_text(hash, options->tol), options->rtol);
    for (int i = 0; i < options->questions; i++)
        hash = fuse_hash_int(hash_text(hash, options->question[i].fact), options->question[i].why_not);
    hash = fuse_hash_int(hash, options->answers_json);
    hash = fuse_hash_int(hash, options->explain_all);
    hash = fuse_hash_int(hash_text(hash, options->fixpoint), options->max_iters);
    hash = fuse_hash_int(hash, options->allow_nonconverged);
    hash = hash_text(hash_text(hash, options->out), options->dtype);
    hash = hash_text(hash, options->cache);
    hash = hash_text(hash, options->weights);
    hash = fuse_hash_int(hash, options->weights_anywhere);
    hash = hash_text(hash, options->weights_cache);
    hash = fuse_hash_int(fuse_hash_int(hash, options->weights_cache_bytes), options->weights_timeout);
    for (int i = 0; i < options->adapters; i++)
        hash = hash_text(hash_text(hash, options->adapter[i].name), options->adapter[i].value);
    for (int i = 0; i < options->inputs; i++)
        hash = hash_text(hash_text(hash, options->input[i].name), options->input[i].value);
    for (int i = 0; i < options->defines; i++)
        hash = hash_text(hash_text(hash, options->define[i].name), options->define[i].value);
    return hash;
}

/* A rank with another program or other options would wait for messages that never come. */
static enum fuse_status compare_ranks(struct fuse_dist_program *program, struct fuse_error *err) {
    const struct {
        const char *what;
        uint64_t hash;
    } facts[] = {
        {"versions of fuse-dist", fuse_hash_string(FUSE_HASH_SEED, fuse_dist_version())},
        {"programs", fuse_hash_string(FUSE_HASH_SEED, program->path)},
        {"options", hash_text(hash_options(&program->options), program->converted_to)},
    };
    enum fuse_status st = FUSE_OK;
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
        bool same;
        FUSE_TRY(fuse_api_same(program->job->comm, &same, facts[i].hash, err));
        if (!same)
            st = fuse_fail(err, FUSE_EUSAGE, "the ranks were started with different %s", facts[i].what);
    }
    return st;
}

/* NULL: 0. */
static enum fuse_status tolerance_of(double *out, const char *text, struct fuse_error *err) {
    char *end = NULL;
    *out = text ? strtod(text, &end) : 0;
    if (!text || (end != text && *end == '\0' && *out >= 0 && isfinite(*out)))
        return FUSE_OK;
    enum fuse_status st = fuse_fail(err, FUSE_EUSAGE, "'%s' is no tolerance", text);
    fuse_hint(err, "a number that is not negative, as in --tol 1e-9");
    return st;
}

/* false when there is no such precision. */
static bool precision_of(enum fuse_dtype *out, const char *name) {
    static const struct {
        const char *name;
        enum fuse_dtype dtype;
    } known[] = {{"fp32", FUSE_F32}, {"fp64", FUSE_F64}, {"bf16", FUSE_BF16}, {"fp16", FUSE_F16}};
    for (size_t k = 0; k < sizeof known / sizeof *known; k++)
        if (strcmp(known[k].name, name) == 0) {
            *out = known[k].dtype;
            return true;
        }
    return false;
}

static bool is_demand(const struct fuse_dist_options *options) {
    return options->mode && strcmp(options->mode, "demand") == 0;
}

static bool is_single(const struct fuse_dist_options *options) {
    return options->mode && strcmp(options->mode, "single") == 0;
}

static enum fuse_status check_mode(const struct fuse_dist_options *options, struct fuse_error *err) {
    if (options->mode && strcmp(options->mode, "all") != 0 && strcmp(options->mode, "fixpoint") != 0 &&
        !is_single(options) && !is_demand(options)) {
        fuse_fail(err, FUSE_EUSAGE, "there is no mode '%s'", options->mode);
        fuse_hint(err, "the modes are all, demand, fixpoint and single");
        return FUSE_EUSAGE;
    }
    if (is_demand(options) && options->queries == 0) {
        fuse_fail(err, FUSE_EUSAGE, "--mode demand computes queries, and there is none");
        fuse_hint(err, "say what is wanted: --query 'Y[3,:]'");
        return FUSE_EUSAGE;
    }
    if (!is_demand(options) && options->queries > 0) {
        fuse_fail(err, FUSE_EUSAGE, "--query goes with --mode demand");
        fuse_hint(err, "write --mode demand --query '%s'", options->query[0]);
        return FUSE_EUSAGE;
    }
    return FUSE_OK;
}

static bool is_estimating(const struct fuse_dist_options *options) {
    return options->projection && strcmp(options->projection, "monte_carlo") == 0;
}

static enum fuse_status check_projection(const struct fuse_dist_options *options, struct fuse_error *err) {
    if (options->projection && !is_estimating(options) && strcmp(options->projection, "exact") != 0)
        return fuse_fail(err, FUSE_EUSAGE, "there is no projection '%s'", options->projection);
    if (is_estimating(options) && options->samples <= 0) {
        fuse_fail(err, FUSE_EUSAGE, "--projection monte_carlo without --samples: how many points?");
        fuse_hint(err, "the error of a sum shrinks as 1 / sqrt(N): --samples 10000");
        return FUSE_EUSAGE;
    }
    if (!is_estimating(options) && (options->samples > 0 || options->seed > 0)) {
        fuse_fail(err, FUSE_EUSAGE, "--samples and --seed go with --projection monte_carlo");
        fuse_hint(err, "without it every sum is exact");
        return FUSE_EUSAGE;
    }
    return FUSE_OK;
}

/* Local and pure: every rank comes to the same verdict. */
static enum fuse_status check_options(struct fuse_dist_program *program, struct fuse_error *err) {
    const struct fuse_dist_options *options = &program->options;
    const char *backend = options->backend ? options->backend : "cpu";
    program->backend = fuse_backend_find(backend);
    if (!program->backend)
        return fuse_fail(err, FUSE_EUSAGE, "there is no back end '%s'", backend);
    if (options->threads < 0 || options->memory_bytes < 0 || options->ranks < 0 || options->panels < 0 ||
        options->workspace_bytes < 0 || options->file_unit_bytes < 0)
        return fuse_fail(err, FUSE_EUSAGE,
                         "threads, memory, ranks, panels, workspace and file unit may not be negative");
    for (const char *at = options->validate ? options->validate : ""; *at; at += strcspn(at, ","), at += *at == ',') {
        size_t n = strcspn(at, ",");
        bool known = (n == 6 && (strncmp(at, "shapes", n) == 0 || strncmp(at, "finite", n) == 0 ||
                                 strncmp(at, "bounds", n) == 0));
        if (!known) {
            enum fuse_status st = fuse_fail(err, FUSE_EUSAGE, "there is nothing called '%.*s' to validate", (int)n, at);
            fuse_hint(err, "what can be validated: shapes, finite, bounds");
            return st;
        }
    }
    if (options->deterministic && program->backend != &fuse_backend_cpu) {
        enum fuse_status st = fuse_fail(err, FUSE_EUSAGE, "results of back end '%s' are not deterministic", backend);
        fuse_hint(err, "--deterministic computes on back end cpu");
        return st;
    }
    FUSE_TRY(check_mode(options, err));
    double tolerance;
    FUSE_TRY(tolerance_of(&tolerance, options->tol, err));
    FUSE_TRY(tolerance_of(&tolerance, options->rtol, err));
    FUSE_TRY(check_projection(options, err));
    enum fuse_dtype dtype;
    if (options->precision && strcmp(options->precision, "auto") != 0 && !precision_of(&dtype, options->precision))
        return fuse_fail(err, FUSE_EUSAGE, "there is no precision '%s'", options->precision);
    if (options->fault)
        return fuse_api_parse_fault(&program->fault, &program->perturb, options->fault, err);
    return FUSE_OK;
}

static enum fuse_status open_watchdog(struct fuse_dist_program *program, struct fuse_error *err) {
    const struct fuse_dist_options *options = &program->options;
    int64_t seconds = options->stall_seconds ? options->stall_seconds : STALL_SECONDS;
    if (seconds < 0 || !options->stalled || program->job->comm->size == 1)
        return FUSE_OK;
    return fuse_watchdog_open(&program->watchdog, program->job->comm, seconds, options->stalled, options->context, err);
}

static enum fuse_status prepare(struct fuse_dist_program *program, struct fuse_error *err) {
    FUSE_TRY(fuse_agree(program->job->comm, open_watchdog(program, err), err));
    FUSE_TRY(compare_ranks(program, err));
    FUSE_TRY(check_options(program, err));
    FUSE_TRY(fuse_api_read_machine(&program->machine, program, err));
    struct fuse_program_file file = {0};
    if (program->converted_to)
        FUSE_TRY(fuse_api_make_conversion(&file, program, err));
    else if (fuse_api_is_pack(program->path))
        FUSE_TRY(fuse_api_open_pack(&file, program, err));
    else
        FUSE_TRY(fuse_api_read_text(&file, program, "program", program->path, err));
    fuse_vec_push(program->arena, &program->files.list, file);
    return FUSE_OK;
}

/* --werror: what was warned of is wrong. */
static void promote_warnings(struct fuse_diagnostics *diagnostics) {
    for (int k = 0; k < diagnostics->list.n; k++) {
        struct fuse_diagnostic *d = &diagnostics->list.at[k];
        if (d->severity != FUSE_SEVERITY_WARNING)
            continue;
        d->severity = FUSE_SEVERITY_ERROR;
        d->status = FUSE_EPROGRAM;
        diagnostics->errors++;
        diagnostics->others--;
    }
}

static bool check(struct fuse_dist_program *program) {
    const struct fuse_dist_options *options = &program->options;
    struct fuse_define *define = FUSE_NEW_ARRAY(program->arena, struct fuse_define, options->defines);
    for (int i = 0; i < options->defines; i++)
        define[i] = (struct fuse_define){.name = options->define[i].name, .value = options->define[i].value};
    struct fuse_settings settings = {.define = define, .defines = options->defines};
    struct fuse_error ignored = {0};
    if (program->weights) {
        settings.adapter = program->weights->adapters.at;
        settings.adapters = program->weights->adapters.n;
    }
    struct fuse_symbol_loader symbols = {
        .load = fuse_api_load_symbols, .nearest = fuse_api_nearest_symbol, .context = program};
    settings.symbols = &symbols;
    settings.demand = is_demand(options);
    settings.count = options->count;
    settings.counts = options->counts;
    settings.question = program->question;
    settings.questions = options->questions;
    settings.samples = is_estimating(options) ? options->samples : 0;
    settings.seed = options->seed;
    settings.finite = options->validate && strstr(options->validate, "finite");
    settings.has_tolerance = options->tol || options->rtol;
    if (tolerance_of(&settings.tolerance, options->tol, &ignored) != FUSE_OK ||
        tolerance_of(&settings.relative, options->rtol, &ignored) != FUSE_OK)
        settings.has_tolerance = false; /* not reached: options are looked at first */
    settings.has_precision = options->precision && strcmp(options->precision, "auto") != 0;
    if (settings.has_precision)
        (void)precision_of(&settings.precision, options->precision);
    return fuse_check(&program->ir, program->arena, &program->ast, &program->sources, &settings, &program->files,
                      &program->diagnostics);
}

/* Whether proofs are to be found. */
static bool is_asked(const struct fuse_dist_options *options) {
    return options->questions > 0 || options->explain_all;
}

/* Rules are evaluated as they are written where turns are counted, everything is joined in each, or proofs are to show them. */
static bool asks_rules(const struct fuse_dist_options *options) {
    return options->max_iters == 0 && !is_asked(options) && !options->allow_nonconverged && !is_single(options) &&
           !(options->fixpoint && strcmp(options->fixpoint, "naive") == 0);
}

static enum fuse_status simplify(struct fuse_dist_program *program, struct fuse_error *err) {
    FUSE_TRY(fuse_ir_verify(&program->ir, err));
    FUSE_TRY(fuse_api_simplify_free(program, err));
    FUSE_TRY(program->options.deterministic ? fuse_ir_simplify_in_order(&program->ir, err)
                                            : fuse_ir_simplify(&program->ir, err));
    if (asks_rules(&program->options))
        fuse_ir_ask(&program->ir);
    return fuse_ir_verify(&program->ir, err);
}

/* Collective. What asks for the plan; *share is what the machine gives, when nobody says how much memory a rank has. */
static enum fuse_status make_request(struct fuse_plan_request *out, struct fuse_memory *share,
                                     struct fuse_dist_program *program, struct fuse_error *err) {
    const struct fuse_dist_options *options = &program->options;
    *share = (struct fuse_memory){0};
    *out = (struct fuse_plan_request){
        .ranks = options->ranks ? options->ranks : program->job->comm->size,
        .memory_bytes = options->memory_bytes,
        .machine = program->machine,
        .panels = options->panels,
        .chunk = options->deterministic ? FUSE_CHUNK : 0,
        /* The planner's 0 means that nothing is small; its own choice is a negative number. */
        .replicate_below = options->replicate_below < 0    ? 0
                           : options->replicate_below == 0 ? -1
                                                           : options->replicate_below,
        .slab_bytes = options->slab_bytes,
        .stream_bytes = options->stream_bytes,
        .workspace_bytes = options->workspace_bytes,
        .file_unit_bytes = options->file_unit_bytes,
        .keeps_stages = options->explain_all,
        .perturb = program->perturb,
    };
    if (program->backend->kind == FUSE_MEM_DEVICE)
        out->machine.kind = FUSE_MEM_DEVICE;
    /* Of a job that is only imagined, nothing is known but its size. */
    if (options->ranks)
        return FUSE_OK;
    out->machine.ranks_per_node = program->job->ranks_per_node;
    if (out->memory_bytes)
        return FUSE_OK;
    FUSE_TRY(fuse_api_share_memory(share, program->job, options->node_memory_bytes, err));
    out->memory_bytes = share->bytes;
    return FUSE_OK;
}

/* Collective. */
static enum fuse_status load_plan(bool *hit, struct fuse_dist_program *program, struct fuse_error *err) {
    struct fuse_plan_request request;
    struct fuse_memory share;
    *hit = false;
    bool wanted = program->options.cache || program->options.packing || program->packed;
    if (!wanted || is_asked(&program->options))
        return FUSE_OK;
    FUSE_TRY(make_request(&request, &share, program, err));
    return fuse_api_load_plan(hit, program, &request, err);
}

/* Collective: what rows of symbols take already is not there for the plan. */
static enum fuse_status leave_room(int64_t *memory_bytes, struct fuse_dist_program *program, struct fuse_error *err) {
    if (!program->symbols || *memory_bytes <= 0)
        return FUSE_OK;
    struct fuse_comm *comm = program->job->comm;
    int64_t held = fuse_symbols_bytes(program->symbols);
    FUSE_TRY(comm->ops->reduce_int64(comm, FUSE_REDUCE_MAX, &held, 1, err));
    *memory_bytes = *memory_bytes > held ? *memory_bytes - held : 1;
    return FUSE_OK;
}

/* Collective. The request of a program that is checked. */
static enum fuse_status complete_request(struct fuse_plan_request *out, struct fuse_memory *share,
                                         struct fuse_dist_program *program, struct fuse_error *err) {
    FUSE_TRY(make_request(out, share, program, err));
    FUSE_TRY(fuse_api_constrain(out, program, err));
    return leave_room(&out->memory_bytes, program, err);
}

/* Collective. What is wrong with the request is told when the plan is made. */
static enum fuse_status load_checked_plan(bool *hit, struct fuse_dist_program *program, struct fuse_error *err) {
    struct fuse_plan_request request;
    struct fuse_memory share;
    *hit = false;
    if (!program->cache_key || (!program->symbols && !program->weights) ||
        complete_request(&request, &share, program, err) != FUSE_OK)
        return FUSE_OK;
    return fuse_api_load_checked_plan(hit, program, &request, err);
}

static enum fuse_status open_program(struct fuse_dist_program *program) {
    struct fuse_error err = {0};
    enum fuse_status st = prepare(program, &err);
    FUSE_TRY(fuse_api_end_stage(program, st, &err));
    if (program->diagnostics.errors > 0)
        return end_with_diagnostics(program, &err);

    bool hit;
    st = load_plan(&hit, program, &err);
    program->is_checked = hit;
    if (st != FUSE_OK || hit)
        return fuse_api_end_stage(program, st, &err);

    struct fuse_loader loader = {.find = fuse_api_find_import, .context = program};
    st = fuse_parse_program(&program->ast, &program->is_parsed, program->arena, &program->files, &loader,
                            &program->diagnostics, &err);
    if (st != FUSE_OK)
        return fuse_api_end_stage(program, st, &err);
    if (!program->is_parsed)
        return end_with_diagnostics(program, &err);

    st = fuse_api_read_policy(program, &err);
    if (st != FUSE_OK)
        return fuse_api_end_stage(program, st, &err);
    st = fuse_api_read_manifest(program, &err);
    if (st != FUSE_OK)
        return fuse_api_end_stage(program, st, &err);
    fuse_api_take_queries(program);
    fuse_api_take_inputs(program);
    fuse_api_find_weights(program);
    fuse_api_follow_policy(program);
    if (program->diagnostics.errors > 0)
        return end_with_diagnostics(program, &err);
    st = fuse_api_take_weights(program, &err);
    if (st != FUSE_OK)
        return fuse_api_end_stage(program, st, &err);
    if (program->diagnostics.errors > 0)
        return end_with_diagnostics(program, &err);
    fuse_list_sources(&program->sources, program->arena, &program->ast);
    double probing = fuse_api_seconds();
    st = fuse_api_probe_sources(program, &err);
    program->scan_seconds += fuse_api_seconds() - probing;
    program->compile_seconds -= program->scan_seconds;
    if (st != FUSE_OK)
        return fuse_api_end_stage(program, st, &err);
    st = fuse_api_check_sinks(program, &err);
    if (st != FUSE_OK)
        return fuse_api_end_stage(program, st, &err);
    program->is_checked = check(program) && program->diagnostics.errors == 0;
    if (program->symbols_status != FUSE_OK)
        return fuse_api_end_stage(program, program->symbols_status, &program->symbols_error);
    if (program->is_checked)
        fuse_api_check_sink_types(program);
    if (program->is_checked)
        fuse_api_pin_values(program);
    if (program->options.warnings_are_errors && program->diagnostics.warnings > 0) {
        promote_warnings(&program->diagnostics);
        program->is_checked = false;
    }
    FUSE_TRY(end_with_diagnostics(program, &err));
    st = fuse_api_export_to_file(program, &err);
    if (st != FUSE_OK)
        return fuse_api_end_stage(program, st, &err);
    if (program->policy.io.n > 0) {
        fuse_api_choose_storage(program);
        FUSE_TRY(end_with_diagnostics(program, &err));
    }
    st = load_checked_plan(&hit, program, &err);
    if (st == FUSE_OK && !hit)
        st = simplify(program, &err);
    return fuse_api_end_stage(program, st, &err);
}

static enum fuse_status new_program(fuse_dist_program **out, fuse_dist_job *job, const char *path,
                                    const struct fuse_dist_options *options) {
    *out = NULL;
    struct fuse_arena *arena = fuse_arena_open(fuse_api_out_of_memory);
    struct fuse_error err = {0};
    enum fuse_status st = arena ? FUSE_OK : FUSE_EMEMORY;
    st = fuse_agree(job->comm, st, &err);
    if (st != FUSE_OK) {
        fuse_arena_close(arena);
        return st;
    }
    struct fuse_dist_program *program = FUSE_NEW(arena, struct fuse_dist_program);
    program->job = job;
    program->arena = arena;
    program->path = fuse_arena_strndup(arena, path, strlen(path));
    if (options)
        program->options = *options;
    if (is_asked(&program->options))
        program->options.cache = NULL; /* what is asked is no part of a plan that others could use */
    program->messages.arena = arena;
    program->files.arena = arena;
    program->diagnostics.arena = arena;
    program->ir.arena = arena;
    *out = program;
    return FUSE_OK;
}

static enum fuse_status open_timed(struct fuse_dist_program *program) {
    double start = fuse_api_seconds();
    enum fuse_status st = open_program(program);
    program->compile_seconds += fuse_api_seconds() - start;
    return st;
}

int fuse_dist_open(fuse_dist_program **out, fuse_dist_job *job, const char *path,
                   const struct fuse_dist_options *options) {
    FUSE_TRY(new_program(out, job, path, options));
    return open_timed(*out);
}

int fuse_dist_open_convert(fuse_dist_program **out, fuse_dist_job *job, const char *from, const char *to,
                           const struct fuse_dist_options *options) {
    FUSE_TRY(new_program(out, job, from, options));
    (*out)->converted_to = fuse_arena_printf((*out)->arena, "%s", to);
    return open_timed(*out);
}

int fuse_dist_open_file(fuse_dist_program **out, fuse_dist_job *job, const char *path,
                        const struct fuse_dist_options *options) {
    FUSE_TRY(new_program(out, job, path, options));
    struct fuse_dist_program *program = *out;
    struct fuse_error err = {0};
    FUSE_TRY(fuse_api_end_stage(program, fuse_api_list_contents(program, path, &err), &err));
    return end_with_diagnostics(program, &err);
}

const char *fuse_dist_messages(fuse_dist_program *program) {
    return program->messages.at ? program->messages.at : "";
}

void fuse_dist_close(fuse_dist_program *program) {
    if (!program)
        return;
    fuse_watchdog_close(program->watchdog);
    fuse_api_close_pack(program);
    fuse_symbols_close(program->symbols);
    fuse_arena_close(program->arena);
}

/* ---- planning ---- */

/* Nobody said how much memory a rank has: what the plan does not fit in is somebody else's limit. */
static void note_limit(struct fuse_dist_program *program, const struct fuse_memory *share, struct fuse_error *err) {
    struct fuse_text size = {.arena = program->arena};
    fuse_text_add_size(&size, share->bytes);
    fuse_note(err, "a rank may use %s because of %s; --mem-per-rank says otherwise", size.at,
              fuse_api_memory_limit_text(share->limit));
}

static enum fuse_status make_plan(struct fuse_dist_program *program, struct fuse_error *err) {
    struct fuse_comm *comm = program->job->comm;
    struct fuse_memory share;
    struct fuse_plan_request request;
    FUSE_TRY(complete_request(&request, &share, program, err));
    struct fuse_plan *plan = NULL;
    enum fuse_status st = fuse_plan_make(&plan, program->arena, &program->ir, &request, err);
    fuse_api_plan_free(program, &request);
    fuse_api_plan_in_any_order(program, &request);
    if (st == FUSE_EMEMORY)
        fuse_api_blame_policy(program, err);
    if (st == FUSE_EMEMORY && share.bytes > 0)
        note_limit(program, &share, err);
    FUSE_TRY(fuse_agree(comm, st, err));
    bool same;
    FUSE_TRY(fuse_api_same(comm, &same, plan->hash, err));
    if (!same)
        return fuse_fail(err, FUSE_EBUG, "the ranks made different plans");
    program->plan = plan;
    fuse_api_add_policy_events(program);
    return fuse_api_keep_plan(program, err);
}

int fuse_dist_plan(fuse_dist_program *program) {
    if (program->status != FUSE_OK || program->plan)
        return program->status;
    struct fuse_error err = {0};
    double start = fuse_api_seconds();
    enum fuse_status st = fuse_api_end_stage(program, make_plan(program, &err), &err);
    program->compile_seconds += fuse_api_seconds() - start;
    return st;
}

/* ---- running ---- */

struct resolved {
    const char **path, **part; /* [ops] */
};

static struct resolved resolve_places(struct fuse_dist_program *program) {
    const struct fuse_ir *ir = &program->ir;
    struct resolved out = {.path = FUSE_NEW_ARRAY(program->arena, const char *, ir->ops.n),
                           .part = FUSE_NEW_ARRAY(program->arena, const char *, ir->ops.n)};
    for (int i = 0; i < ir->ops.n; i++) {
        const struct fuse_op *op = ir->ops.at[i];
        if (op->kind == FUSE_OP_SOURCE && op->path)
            fuse_api_source_place(&out.path[i], &out.part[i], program, op->path);
        else if (op->kind == FUSE_OP_SINK && op->path)
            fuse_api_sink_place(&out.path[i], &out.part[i], program, op->path);
    }
    return out;
}

/* "fnv1a64:0123456789abcdef" of the texts of the program's files, wherever they lie. */
static const char *program_digest(struct fuse_dist_program *program) {
    uint64_t digest = FUSE_HASH_SEED;
    for (int i = 0; i < program->files.list.n; i++) {
        const struct fuse_program_file *file = &program->files.list.at[i];
        digest = fuse_hash_bytes(fuse_hash_int(digest, (int64_t)file->bytes), file->text, file->bytes);
    }
    return fuse_arena_printf(program->arena, "fnv1a64:%016llx", (unsigned long long)digest);
}

/* Turns that a recursion of rules may take. One of facts ends when no tuple is new; one of values that get better and better may not,
 * and is given up when it has had a turn for each of its cells. */
static int64_t most_turns(const struct fuse_dist_program *program) {
    const struct fuse_dist_options *options = &program->options;
    int64_t most = MOST_ROUNDS;
    if (is_single(options) || options->max_iters > 0)
        return is_single(options) ? 1 : options->max_iters;
    for (int o = 0; o < program->ir.ops.n; o++) {
        const struct fuse_rules *rules = program->ir.ops.at[o]->rules;
        for (int r = 0; rules && r < rules->relations; r++) {
            int64_t cells = 1;
            for (int c = 0; c < rules->relation[r].columns; c++)
                cells = fuse_sat_mul(cells, rules->relation[r].extent[c]);
            most = rules->relation[r].stratum >= 0 ? fuse_sat_add(most, cells) : most;
        }
    }
    return most;
}

static void warn_of_early_stop(struct fuse_dist_program *program, int64_t turns) {
    struct fuse_diagnostic *d =
        fuse_report(&program->diagnostics, FUSE_SEVERITY_WARNING, FUSE_NO_SPAN,
                    "a recursion was not at its end after %lld turns: results are what there was", (long long)turns);
    if (d)
        d->hint = "--max-iters gives it more turns";
}

/* An equation as it stands in the program, its blanks, line ends and comments as single blanks. */
static void cite(void *context, struct fuse_cited *out, struct fuse_span span) {
    struct fuse_dist_program *program = context;
    struct fuse_text text = {.arena = program->arena};
    if (span.file < 0 || span.file >= program->files.list.n)
        return;
    const struct fuse_program_file *file = &program->files.list.at[span.file];
    bool in_string = false, has_gap = false;
    int column;
    fuse_locate(file, span.begin, &out->line, &column);
    for (uint32_t i = span.begin; i < span.end; i++) {
        const char c = file->text[i];
        in_string ^= c == '"' && (i == span.begin || file->text[i - 1] != '\\');
        if (c == '#' && !in_string)
            while (i + 1 < span.end && file->text[i + 1] != '\n')
                i++;
        else if (in_string || !strchr(" \t\r\n", c)) {
            fuse_text_add(&text, has_gap && text.bytes > 0 ? " " : "");
            fuse_text_add_bytes(&text, &c, 1);
            has_gap = false;
            continue;
        }
        has_gap = true;
    }
    out->file = file->path;
    out->text = text.at ? text.at : "";
}

static const struct fuse_question *list_questions(struct fuse_dist_program *program) {
    const int n = program->options.questions;
    struct fuse_question *question = FUSE_NEW_ARRAY(program->arena, struct fuse_question, n);
    for (int k = 0; k < n; k++) {
        question[k] = (struct fuse_question){.text = program->options.question[k].fact,
                                             .why_not = program->options.question[k].why_not};
        memcpy(question[k].id, program->question[k].id, sizeof question[k].id);
    }
    return question;
}

static enum fuse_status run(struct fuse_dist_program *program, struct fuse_error *err) {
    struct fuse_comm *comm = program->job->comm;
    const struct fuse_dist_options *options = &program->options;
    if (program->plan->mesh.ranks != comm->size)
        return fuse_fail(err, FUSE_EUSAGE, "the program was planned for %d rank%s, and the job has %d",
                         program->plan->mesh.ranks, program->plan->mesh.ranks == 1 ? "" : "s", comm->size);
    program->threads = program->options.threads;
    if (!program->threads)
        FUSE_TRY(fuse_api_cores(&program->threads, program->job, err));
    struct resolved place = resolve_places(program);
    int64_t prints = program->options.print != NULL; /* of those that speak for the others, one is enough */
    FUSE_TRY(comm->ops->reduce_int64(comm, FUSE_REDUCE_MAX, &prints, 1, err));
    struct fuse_exec_request request = {
        .plan = program->plan,
        .comm = comm,
        .backend = program->backend,
        .threads = program->threads,
        .isa = program->options.isa,
        .path = place.path,
        .part = place.part,
        .storage = fuse_api_storage(program),
        .program = program_digest(program),
        .version = fuse_dist_version(),
        .symbols = program->symbols,
        .iteration = {.max_turns = most_turns(program),
                      .may_stop_early = options->allow_nonconverged || is_single(options),
                      .max_rounds = is_single(options)       ? 1
                                    : options->max_iters > 0 ? options->max_iters
                                                             : MOST_ROUNDS,
                      .is_naive = options->fixpoint && strcmp(options->fixpoint, "naive") == 0},
        .question = list_questions(program),
        .questions = options->questions,
        .explains_all = options->explain_all,
        .answers_json = options->answers_json,
        .cite = cite,
        .context_of_cite = program,
        .prints = prints != 0,
        .print = comm->rank == 0 ? program->options.print : NULL,
        .progress = program->options.progress ? fuse_progress_step : NULL,
        .temporary = program->options.temporary,
        .context = program->options.context,
        .share_bytes = options->share_bytes > 0    ? options->share_bytes
                       : options->share_bytes == 0 ? FUSE_SHARE_BYTES
                                                   : 0,
        .fault = program->fault,
    };
    if (request.progress)
        request.progress_context =
            fuse_progress_new(program->arena, program->plan, program->options.progress, program->options.context);
    enum fuse_status st = fuse_execute(&request, &program->report, err);
    if (st == FUSE_OK && program->report.stopped_early && !is_single(options))
        warn_of_early_stop(program, options->max_iters > 0 ? options->max_iters : MOST_ROUNDS);
    if (st != FUSE_OK && comm->size > 1 && err->rank >= 0)
        fuse_note(err, program->job->local_size < comm->size ? "on rank %d of %d, host %s" : "on rank %d of %d",
                  err->rank, comm->size, err->host);
    return st;
}

int fuse_dist_run(fuse_dist_program *program) {
    int planned = fuse_dist_plan(program);
    if (planned != FUSE_OK)
        return planned;
    struct fuse_error err = {0};
    enum fuse_status st = fuse_api_end_stage(program, run(program, &err), &err);
    program->has_run = st == FUSE_OK;
    program->wall_seconds = fuse_api_seconds() - program->job->opened_seconds;
    return st;
}
