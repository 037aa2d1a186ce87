/* Making a plan: which ranks to use, how careful to be with memory, and what to say when nothing fits. */
#include "plan/plan.h"

#include "plan/build.h"
#include "plan/chain.h"
#include "plan/cost.h"
#include "plan/memo.h"
#include "plan/ordered.h"

#include <string.h>

#define LADDER_STEPS 48
#define STREAM_STEPS 24
#define WORKSPACE_MAX ((int64_t)4 << 20)
#define WORKSPACE_MIN ((int64_t)64 << 10)
#define SLAB_BYTES ((int64_t)64 << 20) /* of an intermediate in one rank: worth a chain even when there is room */
#define SLAB_CHOICES 3                 /* numbers of mesh dimensions tried for a chain's axis, beside all */
#define WIDEST_DIMENSION 61            /* members of a group that a reduction step may have */
#define RANKS_MAX 4096                 /* tried when looking for the smallest number that fits */
#define COARSE 4                       /* steps of the ladder at a time in that search, which makes many plans */
#define FILLING_TRIES 3                /* budgets between a step of the ladder that fits and the room there is */

struct fuse_machine fuse_machine_default(void) {
    return (struct fuse_machine){
#define FUSE_MACHINE(field, standard, meaning) .field = standard,
#include "plan/machine.def"
#undef FUSE_MACHINE
        .kind = FUSE_MEM_HOST};
}

/* A plan with its mesh, chains and order. */
static struct fuse_plan *start_plan(struct fuse_arena *arena, const struct fuse_ir *ir,
                                    const struct fuse_plan_request *request, int used,
                                    const struct fuse_plan_effort *effort) {
    struct fuse_plan *plan = FUSE_NEW(arena, struct fuse_plan);
    plan->arena = arena;
    plan->ir = ir;
    plan->request = *request;
    if (request->replicate_below < 0)
        plan->request.replicate_below = FUSE_PLAN_SMALL_BYTES;
    if (request->file_unit_bytes == 0)
        plan->request.file_unit_bytes = FUSE_PLAN_FILE_UNIT_BYTES;
    plan->mesh = request->mesh_sizes > 0 ? fuse_mesh_make_sized(request->ranks, request->mesh_size, request->mesh_sizes)
                                         : fuse_mesh_make(request->ranks, used, request->machine.ranks_per_node);
    fuse_cost_choose_samples(plan);
    plan->exchanges = fuse_memo_open(arena, plan->mesh.dims);
    const struct fuse_chain_limits limits = {effort->slab_bytes, effort->stream_bytes, effort->slabs_worth_it,
                                             effort->slab_dims, effort->repeats_scores};
    fuse_plan_find_chains(plan, &limits);
    return plan;
}

static struct fuse_plan *try_plan(struct fuse_arena *arena, const struct fuse_ir *ir,
                                  const struct fuse_plan_request *request, int used,
                                  const struct fuse_plan_effort *effort) {
    struct fuse_plan *plan = start_plan(arena, ir, request, used, effort);
    plan->layout = FUSE_NEW_ARRAY(arena, struct fuse_layout, ir->values.n + 1);
    plan->partition = FUSE_NEW_ARRAY(arena, struct fuse_layout, ir->ops.n + 1);
    struct fuse_plan_choice *choice = FUSE_NEW_ARRAY(arena, struct fuse_plan_choice, ir->ops.n + 1);
    fuse_plan_search(plan, effort, choice);
    fuse_plan_build(plan, effort, choice);
    fuse_plan_place_buffers(plan);
    return plan;
}

/* What plans are compared by: modelled time, with the exchanges of loads and stores at the side of their files, as the search
 * reckons (search.c). */
static int64_t elapsed_ps(const struct fuse_plan *plan) {
    int64_t run = 0, file[FUSE_PHASES] = {0}, exchange[FUSE_PHASES] = {0};
    for (int i = 0; i < plan->steps.n; i++) {
        const struct fuse_step *step = &plan->steps.at[i];
        bool moves = step->kind == FUSE_STEP_MOVE;
        int64_t *sum = step->phase == FUSE_PHASE_RUN ? &run : moves ? &exchange[step->phase] : &file[step->phase];
        *sum = fuse_sat_add(*sum, step->time_ps - step->hidden_ps);
    }
    for (int phase = 0; phase < FUSE_PHASES; phase++)
        run = fuse_sat_add(run, file[phase] > exchange[phase] ? file[phase] : exchange[phase]);
    return run;
}

/* Without files and what moves at their side. */
static int64_t run_ps(const struct fuse_plan *plan) {
    int64_t run = 0;
    for (int i = 0; i < plan->steps.n; i++)
        if (plan->steps.at[i].phase == FUSE_PHASE_RUN)
            run = fuse_sat_add(run, plan->steps.at[i].time_ps - plan->steps.at[i].hidden_ps);
    return run;
}

/* ---- ranks ---------------------------------------------------------------------------------------------------- */

static bool has_factors_up_to(int n, int largest) {
    for (int p = 2; p <= largest; p++)
        while (n % p == 0)
            n /= p;
    return n == 1;
}

static bool has_small_factors(int n) {
    return has_factors_up_to(n, 7);
}

/* All ranks, or the largest number from 7/8 of them on that makes a good grid, whichever the model prefers. */
static int choose_used(struct fuse_arena *arena, const struct fuse_ir *ir, const struct fuse_plan_request *request,
                       const struct fuse_plan_effort *effort) {
    int all = request->ranks;
    if (request->mesh_sizes > 0 || has_small_factors(all))
        return all;
    int fewer = all;
    while (8 * (int64_t)fewer >= 7 * (int64_t)all && !has_small_factors(fewer))
        fewer--;
    if (8 * (int64_t)fewer < 7 * (int64_t)all)
        return all;
    if (!has_factors_up_to(all, WIDEST_DIMENSION))
        return fewer;
    struct fuse_arena_mark mark = fuse_arena_mark(arena);
    int64_t with_all = run_ps(try_plan(arena, ir, request, all, effort));
    int64_t with_fewer = run_ps(try_plan(arena, ir, request, fewer, effort));
    fuse_arena_rewind(arena, mark);
    return with_fewer < with_all ? fewer : all;
}

/* ---- memory --------------------------------------------------------------------------------------------------- */

static const struct fuse_plan_effort no_care = {.budget_bytes = INT64_MAX,
                                                .workspace_bytes = WORKSPACE_MAX,
                                                .slab_bytes = SLAB_BYTES,
                                                .stream_bytes = -1,
                                                .slabs_worth_it = true,
                                                .slab_dims = FUSE_MESH_MAX};

static void keep_to(struct fuse_plan_effort *effort, int64_t budget) {
    int64_t workspace = budget / 64 < WORKSPACE_MIN ? WORKSPACE_MIN : budget / 64;
    effort->budget_bytes = budget;
    effort->workspace_bytes = workspace < effort->workspace_bytes ? workspace : effort->workspace_bytes;
}

struct climb {
    struct fuse_arena *arena;
    const struct fuse_ir *ir;
    const struct fuse_plan_request *request;
    int used;
    int stride;          /* steps of the ladder that are taken at a time */
    bool repeats_scores; /* see struct fuse_plan_effort */
    int64_t room, least; /* least: smallest need of all that were tried */
    struct fuse_plan_effort best;
    int64_t best_ps;        /* -1: nothing fits yet */
    struct fuse_plan *plan; /* that of `best`, when it is at hand */
    int64_t peak;           /* of the last try */
    int chains, dims;
    int whole_value, whole_op; /* of the last try; see struct fuse_plan */
};

/* Step k of the ladder: no care at all, then late loading, then ever smaller budgets; in `pressed` steps chains are made
 * of whatever is large for the budget. The ladder depends on the program and the ranks only, never on the limit, so that
 * what fits in M fits in every M' > M. */
static struct fuse_plan_effort ladder(const struct climb *c, int k, bool pressed, int64_t lazy_peak) {
    const struct fuse_plan_request *request = c->request;
    struct fuse_plan_effort effort = no_care;
    effort.repeats_scores = c->repeats_scores;
    if (request->workspace_bytes > 0)
        effort.workspace_bytes = request->workspace_bytes;
    if (request->slab_bytes != 0) {
        effort.slab_bytes = request->slab_bytes;
        effort.slabs_worth_it = false;
    }
    if (request->stream_bytes > 0) {
        effort.stream_bytes = request->stream_bytes;
        effort.slab_bytes = request->slab_bytes == 0 ? request->stream_bytes : request->slab_bytes;
        effort.slabs_worth_it = false;
    }
    if (k == 0)
        return effort;
    effort.lazy = true;
    if (k == 1)
        return effort;
    int64_t budget = lazy_peak;
    for (int i = 1; i < k; i++)
        budget -= budget / 10;
    keep_to(&effort, budget);
    if (pressed) {
        effort.slab_bytes = budget / 16;
        effort.slabs_worth_it = false;
    }
    return effort;
}

static void attempt(struct climb *c, const struct fuse_plan_effort *effort) {
    struct fuse_arena_mark mark = fuse_arena_mark(c->arena);
    struct fuse_plan *plan = try_plan(c->arena, c->ir, c->request, c->used, effort);
    c->peak = plan->peak_bytes;
    c->chains = plan->chains.n;
    c->dims = plan->mesh.dims;
    c->whole_value = plan->whole_value;
    c->whole_op = plan->whole_op;
    c->least = c->peak < c->least ? c->peak : c->least;
    int64_t elapsed = elapsed_ps(plan);
    if (c->peak <= c->room && (c->best_ps < 0 || elapsed < c->best_ps)) {
        c->best = *effort;
        c->best_ps = elapsed;
        /* Without chains nothing else is tried. */
        c->plan = plan->chains.n == 0 ? plan : NULL;
    }
    if (!c->plan)
        fuse_arena_rewind(c->arena, mark);
}

static int count_chains(const struct climb *c, const struct fuse_plan_effort *effort) {
    struct fuse_arena_mark mark = fuse_arena_mark(c->arena);
    struct fuse_plan *plan = start_plan(c->arena, c->ir, c->request, c->used, effort);
    int chains = plan->chains.n;
    fuse_arena_rewind(c->arena, mark);
    return chains;
}

/* One step of the ladder; with chains, for several numbers of mesh dimensions along their axes. Returns the smallest
 * peak. */
static int64_t attempt_all(struct climb *c, struct fuse_plan_effort effort) {
    int64_t least = c->least;
    c->least = INT64_MAX;
    attempt(c, &effort);
    for (int i = 1; c->chains > 0 && i <= SLAB_CHOICES && i <= c->dims; i++) {
        int choices = c->dims < SLAB_CHOICES ? c->dims : SLAB_CHOICES;
        effort.slab_dims = c->dims - c->dims * i / choices;
        attempt(c, &effort);
    }
    int64_t lowest = c->least;
    c->least = lowest < least ? lowest : least;
    return lowest;
}

/* There is a file that is worth slabs. */
static bool has_large_files(const struct climb *c) {
    int64_t small = c->request->replicate_below < 0 ? FUSE_PLAN_SMALL_BYTES : c->request->replicate_below;
    for (int o = 0; o < c->ir->ops.n; o++) {
        const struct fuse_op *op = c->ir->ops.at[o];
        int value = op->kind == FUSE_OP_SOURCE             ? op->out
                    : op->kind == FUSE_OP_SINK && op->path ? op->input[0].value
                                                           : -1;
        if (value >= 0 && !fuse_is_relation(c->ir, value) && fuse_value_bytes(&c->ir->values.at[value]) > small)
            return true;
    }
    return false;
}

/* Nothing fits as long as sources are whole: they are streamed, and intermediates come in slabs, ever more of them. */
static void climb_streaming(struct climb *c) {
    int stuck = 0;
    int64_t budget = c->least;
    for (int k = 0; k < STREAM_STEPS && stuck < 4 && c->best_ps < 0; k++) {
        int64_t before = c->least;
        struct fuse_plan_effort effort = ladder(c, 1, false, 0);
        keep_to(&effort, budget);
        effort.slabs_worth_it = false;
        effort.slab_bytes = effort.stream_bytes = budget / 16;
        int64_t peak = attempt_all(c, effort);
        budget = (peak < budget ? peak : budget) / 3 * 2;
        stuck = c->least < before ? 0 : stuck + 1;
    }
}

/* The ladder's steps are wide, and what the search reckons is not what buffers take in the end: once a step fits, budgets between
 * it and the room there is may have a faster plan. What is too large says by how much. */
static void fill_room(struct climb *c) {
    struct fuse_plan_effort effort = c->best;
    const int64_t least = effort.budget_bytes;
    effort.budget_bytes = c->room;
    for (int i = 0; i < FILLING_TRIES && effort.budget_bytes > least; i++) {
        attempt(c, &effort);
        if (c->peak <= c->room)
            break;
        effort.budget_bytes -= c->peak - c->room;
    }
}

/* The first step of the ladder with a plan that needs at most c->room bytes, of its plans the fastest: c->best. */
static bool climb_ladder(struct climb *c) {
    const int64_t least = c->least;
    int64_t lazy_peak = 0;
    int stuck = 0;
    c->least = INT64_MAX;
    c->best_ps = -1;
    for (int k = 0; k < LADDER_STEPS && stuck * c->stride < 12 && c->best_ps < 0; k += k <= 1 ? 1 : c->stride) {
        int64_t before = c->least;
        struct fuse_plan_effort effort = ladder(c, k, false, lazy_peak);
        int64_t peak = attempt_all(c, effort);
        if (k <= 1)
            lazy_peak = peak;
        if (k > 1 && c->best_ps < 0 && c->request->slab_bytes == 0) {
            int chains = c->chains;
            effort = ladder(c, k, true, lazy_peak);
            if (count_chains(c, &effort) > chains)
                attempt_all(c, effort);
        }
        if (k > 1 && c->best_ps >= 0 && c->stride == 1)
            fill_room(c);
        stuck = c->least < before ? 0 : stuck + 1;
    }
    if (c->best_ps < 0 && c->request->slab_bytes >= 0 && c->request->stream_bytes == 0 && has_large_files(c))
        climb_streaming(c);
    c->least = least < c->least ? least : c->least;
    return c->best_ps >= 0;
}

/* Attention whose rows of values come in parts computes all scores at every turn, which is little for two turns of long rows and may
 * be all there is to do for hundreds: where memory is short, the faster of a plan with such loops and one without. */
static bool climb(struct climb *c) {
    bool attends = false;
    for (int o = 0; o < c->ir->ops.n; o++)
        attends |= c->ir->ops.at[o]->kind == FUSE_OP_ATTENTION;
    c->least = INT64_MAX;
    c->repeats_scores = false;
    const bool fits = climb_ladder(c);
    if (!attends || (fits && c->best.budget_bytes == INT64_MAX))
        return fits;
    const struct climb without = *c;
    c->plan = NULL;
    c->repeats_scores = true;
    if (climb_ladder(c) && !(fits && without.best_ps <= c->best_ps))
        return true;
    c->best = without.best;
    c->best_ps = without.best_ps;
    c->plan = NULL;
    return fits;
}

static const char *value_name(struct fuse_text *text, const struct fuse_ir *ir, int value) {
    if (ir->values.at[value].name)
        return ir->values.at[value].name;
    char *at = fuse_arena_printf(text->arena, "%%%d", value);
    return at;
}

/* A source that would have to be whole, and the equation that reads it so. */
static void note_whole(struct fuse_error *err, struct fuse_arena *arena, const struct climb *c) {
    const struct fuse_ir *ir = c->ir;
    struct fuse_text text = {.arena = arena}, name = {.arena = arena};
    if (c->whole_value < 0)
        return;
    const struct fuse_op *op = ir->ops.at[c->whole_op];
    fuse_text_add_size(&text, fuse_value_bytes(&ir->values.at[c->whole_value]));
    const char *source = value_name(&name, ir, c->whole_value);
    if (op->owner)
        fuse_note(err, "%s (%s) cannot be read slab by slab: the equation of %s needs it whole", source, text.at,
                  op->owner);
    else
        fuse_note(err, "%s (%s) cannot be read slab by slab: its export needs it whole", source, text.at);
    err->span = op->span;
    err->has_span = op->span.file >= 0;
}

/* Of relations tuples are kept, not cells. */
static int64_t dense_bytes(const struct fuse_ir *ir, int value) {
    return value < 0 || fuse_is_relation(ir, value) ? 0 : fuse_value_bytes(&ir->values.at[value]);
}

static void note_largest(struct fuse_error *err, struct fuse_arena *arena, const struct fuse_ir *ir) {
    bool *told = FUSE_NEW_ARRAY(arena, bool, ir->values.n + 1);
    struct fuse_text text = {.arena = arena};
    for (int i = 0; i < 3; i++) {
        int largest = -1;
        for (int v = 0; v < ir->values.n; v++)
            if (!told[v] && !fuse_is_relation(ir, v) &&
                (largest < 0 || fuse_value_bytes(&ir->values.at[v]) > fuse_value_bytes(&ir->values.at[largest])))
                largest = v;
        if (largest < 0)
            break;
        told[largest] = true;
        fuse_text_add(&text, "%s%s ", i ? ", " : "", value_name(&text, ir, largest));
        fuse_text_add_size(&text, fuse_value_bytes(&ir->values.at[largest]));
    }
    if (text.at)
        fuse_note(err, "the largest tensors are %s", text.at);
    int heavy = -1;
    int64_t most = 0;
    for (int o = 0; o < ir->ops.n; o++) {
        const struct fuse_op *op = ir->ops.at[o];
        int64_t bytes = dense_bytes(ir, op->out);
        for (int k = 0; k < op->inputs; k++)
            bytes = fuse_sat_add(bytes, dense_bytes(ir, op->input[k].value));
        if (bytes > most && op->inputs > 0) {
            most = bytes;
            heavy = o;
        }
    }
    if (heavy >= 0) {
        struct fuse_text line = {.arena = arena};
        const struct fuse_op *op = ir->ops.at[heavy];
        for (int k = 0; k < op->inputs; k++)
            fuse_text_add(&line, "%s%s", k ? ", " : "", value_name(&line, ir, op->input[k].value));
        err->span = op->span;
        err->has_span = op->span.file >= 0;
        if (op->out >= 0)
            fuse_note(err, "%s is computed from %s", value_name(&line, ir, op->out), line.at ? line.at : "nothing");
    }
}

static bool fits_at(struct fuse_arena *arena, const struct fuse_ir *ir, const struct fuse_plan_request *request,
                    int64_t room) {
    struct climb c = {.arena = arena, .ir = ir, .request = request, .room = room, .stride = COARSE};
    struct fuse_arena_mark mark = fuse_arena_mark(arena);
    c.used = choose_used(arena, ir, request, &no_care);
    bool fits = climb(&c);
    fuse_arena_rewind(arena, mark);
    return fits;
}

/* They end at single ranks up to 512 of them, and within a hundredth of the number beyond. */
#define RANKS_TRIES 8 /* halvings */

/* The smallest number of ranks, by doubling and then halving the gap, at which the program fits. */
static int ranks_that_fit(struct fuse_arena *arena, const struct fuse_ir *ir, struct fuse_plan_request request,
                          int64_t room) {
    int low = request.ranks, high = low;
    do {
        if (high >= RANKS_MAX)
            return 0;
        low = high;
        high = 2 * high < RANKS_MAX ? 2 * high : RANKS_MAX;
        request.ranks = high;
    } while (!fits_at(arena, ir, &request, room));
    for (int tries = 0; high - low > 1 && tries < RANKS_TRIES; tries++) {
        request.ranks = low + (high - low) / 2;
        if (fits_at(arena, ir, &request, room))
            high = request.ranks;
        else
            low = request.ranks;
    }
    return high;
}

int64_t fuse_plan_rules_bytes(const struct fuse_ir *ir, const struct fuse_plan_request *request) {
    int64_t given = -1;
    for (int o = 0; o < ir->ops.n; o++)
        if (ir->ops.at[o]->kind == FUSE_OP_RULES) {
            const int64_t bytes = fuse_plan_given_bytes(ir, ir->ops.at[o], request->ranks);
            const int64_t twice =
                request->keeps_stages ? fuse_sat_mul(2, bytes) : bytes; /* stages are counted from them */
            given = twice > given ? twice : given;
        }
    return given < 0 ? 0 : fuse_sat_add(FUSE_PLAN_RULES_BYTES, given);
}

/* What is not for planned buffers. */
static int64_t kept_bytes(const struct fuse_ir *ir, const struct fuse_plan_request *request) {
    return fuse_sat_add(FUSE_PLAN_BASE_BYTES, fuse_plan_rules_bytes(ir, request));
}

static void note_rules(struct fuse_error *err, struct fuse_arena *arena, const struct fuse_ir *ir,
                       const struct fuse_plan_request *request) {
    struct fuse_text bytes = {.arena = arena};
    const int64_t rules = fuse_plan_rules_bytes(ir, request);
    if (rules == 0)
        return;
    fuse_text_add_size(&bytes, rules);
    fuse_note(err, "rules need %s of it to begin with, and more for what they derive", bytes.at);
}

static enum fuse_status refuse(struct fuse_arena *arena, const struct fuse_ir *ir,
                               const struct fuse_plan_request *request, int64_t room, const struct climb *climb,
                               struct fuse_error *err) {
    struct fuse_text need = {.arena = arena}, given = {.arena = arena};
    int64_t whole = fuse_sat_add(climb->least, kept_bytes(ir, request));
    fuse_text_add_size(&need, whole);
    fuse_text_add_size(&given, request->memory_bytes);
    enum fuse_status status =
        fuse_fail(err, FUSE_EMEMORY, "the program does not fit in %s per rank on %d rank%s: it needs at least %s",
                  given.at, request->ranks, request->ranks == 1 ? "" : "s", need.at);
    note_largest(err, arena, ir);
    note_rules(err, arena, ir, request);
    note_whole(err, arena, climb);
    int ranks = ir->ops.n <= 80 && room > 0 && request->mesh_sizes == 0 ? ranks_that_fit(arena, ir, *request, room) : 0;
    int64_t mib = (whole + ((int64_t)1 << 20) - 1) >> 20;
    if (ranks > 0)
        fuse_hint(err, "give it --mem-per-rank %lldM, or at least %d ranks", (long long)mib, ranks);
    else
        fuse_hint(err, "give it --mem-per-rank %lldM (%lld bytes)", (long long)mib, (long long)whole);
    return status;
}

enum fuse_status fuse_plan_make(struct fuse_plan **out, struct fuse_arena *arena, const struct fuse_ir *ir,
                                const struct fuse_plan_request *request, struct fuse_error *err) {
    int64_t room = request->memory_bytes == 0 ? INT64_MAX : request->memory_bytes - kept_bytes(ir, request);
    struct climb c = {.arena = arena, .ir = ir, .request = request, .room = room > 0 ? room : 0, .stride = 1};
    for (int o = 0; o < ir->ops.n; o++)
        if (ir->ops.at[o]->kind != FUSE_OP_RULES && ir->ops.at[o]->inputs > FUSE_MAX_INPUTS)
            return fuse_fail_at(err, FUSE_EPROGRAM, ir->ops.at[o]->span, "more than %d tensors in one expression",
                                FUSE_MAX_INPUTS);
    if (request->chunk > 0)
        FUSE_TRY(fuse_ordered_check(ir, err));
    c.used = choose_used(arena, ir, request, &no_care);
    if (!climb(&c) || room < 0)
        return refuse(arena, ir, request, room, &c, err);
    struct fuse_plan *plan = c.plan ? c.plan : try_plan(arena, ir, request, c.used, &c.best);
    plan->hash = fuse_plan_hash(plan);
    *out = plan;
    return FUSE_OK;
}
