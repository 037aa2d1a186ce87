#include "exec/exec.h"

#include "exec/internal.h"
#include "exec/why.h"
#include "io/rawfile.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define BORDER_PS ((int64_t)1000000000000) /* modelled time between two borders in a loop */

void fuse_exec_fail(struct fuse_exec *exec, enum fuse_status status, const struct fuse_error *err) {
    if (exec->status != FUSE_OK)
        return;
    exec->status = status;
    exec->error = *err;
}

bool fuse_exec_fault(struct fuse_exec *exec, enum fuse_fault_kind kind) {
#ifdef FUSE_FAULTS
    const struct fuse_fault *fault = &exec->request->fault;
    if (fault->n == 0 || fault->kind != kind || (fault->rank != exec->comm->rank && kind != FUSE_FAULT_PROGRESS))
        return false;
    exec->events++;
    return exec->events == fault->n || (kind == FUSE_FAULT_PROGRESS && exec->events > fault->n);
#else
    (void)exec;
    (void)kind;
    return false;
#endif
}

static char *data_at(const struct fuse_exec *exec, int buffer, int64_t turn) {
    const struct fuse_buffer *b = &exec->plan->buffers.at[buffer];
    if (exec->own[buffer].at)
        return exec->own[buffer].at;
    int64_t half = b->resident >= 0 ? exec->panel[buffer].half : turn % 2;
    return (char *)exec->base[b->kind] + b->offset + (b->doubled ? half * (b->bytes / 2) : 0);
}

int fuse_exec_reads(const struct fuse_exec *exec, int buffer) {
    int resident = exec->plan->buffers.at[buffer].resident;
    return resident >= 0 && exec->panel[buffer].in_place ? resident : buffer;
}

char *fuse_exec_data(const struct fuse_exec *exec, int buffer) {
    return data_at(exec, buffer, exec->turn);
}

struct fuse_view fuse_exec_view(const struct fuse_exec *exec, int buffer, const struct fuse_box *part) {
    return fuse_exec_view_at(exec, buffer, part, exec->turn);
}

struct fuse_view fuse_exec_view_in(char *data, const struct fuse_plan *plan, const struct fuse_holding *holding,
                                   int rank, int64_t turn, const struct fuse_box *part) {
    struct fuse_box box[FUSE_MAX_RANGE_BOXES];
    int boxes = fuse_holding_boxes(box, plan, holding, rank, turn);
    enum fuse_dtype dtype = plan->ir->values.at[holding->value].dtype;
    for (int i = 0; i < boxes; i++) {
        if (fuse_box_contains(&box[i], part))
            return fuse_box_view(data, dtype, &box[i], holding->reversed, part);
        data += fuse_box_elems(&box[i]) * (int64_t)fuse_dtype_bytes(dtype);
    }
    /* Not reached for a valid plan; an empty view keeps a wrong one from touching memory. */
    struct fuse_view none = {.data = data, .dtype = dtype, .rank = part->rank};
    return none;
}

struct fuse_view fuse_exec_view_at(const struct fuse_exec *exec, int buffer, const struct fuse_box *part,
                                   int64_t turn) {
    return fuse_exec_view_in(data_at(exec, buffer, turn), exec->plan, &exec->plan->buffers.at[buffer].holding,
                             exec->comm->rank, turn, part);
}

bool fuse_exec_box(const struct fuse_exec *exec, int buffer, struct fuse_box *out) {
    struct fuse_box box[FUSE_MAX_RANGE_BOXES];
    if (fuse_holding_boxes(box, exec->plan, &exec->plan->buffers.at[buffer].holding, exec->comm->rank, exec->turn) == 0)
        return false;
    *out = box[0];
    return true;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double cpu_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- opening and closing -------------------------------------------------------------------------------------- */

static enum fuse_status open_local(struct fuse_exec *exec, struct fuse_exec_report *report, struct fuse_error *err) {
    const struct fuse_exec_request *request = exec->request;
    const struct fuse_plan *plan = exec->plan;
    struct fuse_backend_options options = {
        .threads = request->threads, .isa = request->isa, .deterministic = plan->request.chunk > 0};
    FUSE_TRY(request->backend->open(&exec->backend, &options, err));
    FUSE_TRY(request->backend->queue_open(exec->backend, &exec->queue, err));
    FUSE_TRY(fuse_exec_panels_open(exec, err));
    fuse_exec_note_rules(exec);
    fuse_exec_note_order(exec);
    FUSE_TRY(fuse_exec_open_sources(exec, err));
    double start = now();
    for (int kind = 0; kind < FUSE_MEM_KINDS; kind++)
        if (kind == FUSE_MEM_HOST && plan->arena_bytes[kind] > 0)
            FUSE_TRY(fuse_exec_map_arena(exec, err));
        else if (plan->arena_bytes[kind] > 0)
            FUSE_TRY(request->backend->memory_open(exec->backend, &exec->base[kind], (enum fuse_memkind)kind,
                                                   (size_t)plan->arena_bytes[kind], err));
    report->memory_seconds = now() - start;
    return FUSE_OK;
}

static void close_all(struct fuse_exec *exec) {
    fuse_exec_return(exec);
    fuse_exec_background_close(exec);
    fuse_exec_why_close(exec);
    if (exec->source && exec->sink && exec->format && exec->place)
        fuse_exec_close_files(exec);
    if (exec->logic && exec->own)
        fuse_exec_release(exec, INT_MAX);
    fuse_exec_panels_close(exec);
    if (exec->queue)
        exec->queue->ops->close(exec->queue);
    for (int kind = 0; kind < FUSE_MEM_KINDS; kind++)
        if (exec->base[kind])
            exec->backend->ops->memory_close(exec->backend, exec->base[kind], (enum fuse_memkind)kind,
                                             (size_t)exec->plan->arena_bytes[kind]);
    if (exec->backend)
        exec->backend->ops->close(exec->backend);
    free(exec->source);
    free(exec->sink);
    free(exec->format);
    free(exec->place);
    free(exec->logic);
    free(exec->own);
    free(exec->moves);
    free(exec->following);
    free(exec->is_ahead);
}

/* ---- walking the plan ----------------------------------------------------------------------------------------- */

/* For whoever watches: the tensor or the file that a step serves. */
static const char *subject(const struct fuse_ir *ir, const struct fuse_op *op) {
    return op->path ? op->path : ir->values.at[op->out >= 0 ? op->out : op->input[0].value].name;
}

void fuse_exec_begin_step(struct fuse_exec *exec, int number) {
    const struct fuse_step *step = &exec->plan->steps.at[number];
    if (exec->request->progress)
        exec->request->progress(exec->request->progress_context, number);
    atomic_store(&exec->comm->wait.at_work_for, subject(exec->plan->ir, exec->plan->ir->ops.at[step->op]));
}

static void run_step(struct fuse_exec *exec, int number) {
    const struct fuse_step *step = &exec->plan->steps.at[number];
    const bool is_done = exec->is_ahead[number];
    fuse_exec_begin_step(exec, number);
    exec->is_ahead[number] = false;
    if (is_done)
        return;
    switch (step->kind) {
    case FUSE_STEP_READ: fuse_exec_read(exec, step); break;
    case FUSE_STEP_LITERAL: fuse_exec_literal(exec, step); break;
    case FUSE_STEP_MOVE:
        if (fuse_plan_brings_panels(exec->plan, step))
            fuse_exec_panels_turn(exec, step);
        else
            fuse_exec_move(exec, step);
        break;
    case FUSE_STEP_REDUCE: fuse_exec_reduce(exec, step); break;
    case FUSE_STEP_TUPLES: fuse_exec_tuples(exec, step); break;
    case FUSE_STEP_FEED: fuse_exec_feed(exec, step); break;
    case FUSE_STEP_RULES: fuse_exec_rules(exec, step); break;
    case FUSE_STEP_LIST: fuse_exec_list(exec, step); break;
    case FUSE_STEP_CONTRACT:
    case FUSE_STEP_JOIN:
    case FUSE_STEP_ATTENTION:
    case FUSE_STEP_MAP: fuse_exec_compute(exec, step); break;
    case FUSE_STEP_WRITE:
        fuse_exec_unify_nans(exec, step);
        fuse_exec_write(exec, step);
        break;
    case FUSE_STEP_PRINT: fuse_exec_print(exec, step); break;
    case FUSE_STEP_SETTLE: fuse_exec_settle_tensor(exec, step); break;
    }
}

/* Everything enqueued is done, and one rank's failure is everybody's. */
static enum fuse_status border(struct fuse_exec *exec, struct fuse_error *err) {
    struct fuse_error late = {0};
    enum fuse_status status = exec->queue->ops->wait(exec->queue, FUSE_QUEUE_ALL, &late);
    if (status != FUSE_OK)
        fuse_exec_fail(exec, status, &late);
    if (exec->status != FUSE_OK)
        *err = exec->error;
    return fuse_agree(exec->comm, exec->status, err);
}

/* Turns of a loop between two borders: about a second of modelled time, so that a failure is not noticed after hours. */
static int64_t turns_to_border(const struct fuse_plan *plan, const struct fuse_region *loop) {
    int64_t time_ps = 0;
    for (int i = 0; i < loop->count; i++)
        time_ps = fuse_sat_add(time_ps, plan->steps.at[plan->regions.at[plan->child.at[loop->first + i]].step].time_ps);
    int64_t borders = time_ps / BORDER_PS + 1;
    return loop->turns / borders > 0 ? loop->turns / borders : 1;
}

static enum fuse_status run_region(struct fuse_exec *exec, int number, struct fuse_error *err);

/* A failure that is not yet everybody's ends the loop at the end of a turn, where it becomes so. */
static enum fuse_status run_until(struct fuse_exec *exec, const struct fuse_region *loop, struct fuse_error *err) {
    bool is_settled = false;
    for (int64_t turns = 1; !is_settled; turns++) {
        for (int i = 0; i < loop->count; i++)
            FUSE_TRY(run_region(exec, exec->plan->child.at[loop->first + i], err));
        is_settled = fuse_exec_is_settled(exec, loop, turns);
        exec->rounds++;
    }
    return border(exec, err);
}

static enum fuse_status run_region(struct fuse_exec *exec, int number, struct fuse_error *err) {
    const struct fuse_plan *plan = exec->plan;
    const struct fuse_region *region = &plan->regions.at[number];
    if (region->kind == FUSE_REGION_STEP) {
        run_step(exec, region->step);
        return FUSE_OK;
    }
    if (region->kind == FUSE_REGION_LOOP && region->loop == FUSE_LOOP_UNTIL)
        return run_until(exec, region, err);
    int64_t turns = turns_to_border(plan, region);
    enum fuse_status status = FUSE_OK;
    fuse_exec_panels_begin(exec, region);
    for (int64_t turn = 0; turn < region->turns && status == FUSE_OK; turn++) {
        exec->turn = turn;
        for (int i = 0; i < region->count && status == FUSE_OK; i++)
            status = run_region(exec, plan->child.at[region->first + i], err);
        if (status == FUSE_OK && turn % turns == turns - 1)
            status = border(exec, err);
    }
    fuse_exec_panels_end(exec, status);
    fuse_exec_background_drain(exec);
    exec->turn = 0;
    return status;
}

static enum fuse_phase region_phase(const struct fuse_plan *plan, int number) {
    const struct fuse_region *region = &plan->regions.at[number];
    while (region->kind != FUSE_REGION_STEP)
        region = &plan->regions.at[plan->child.at[region->first]];
    return plan->steps.at[region->step].phase;
}

static enum fuse_status walk(struct fuse_exec *exec, struct fuse_exec_report *report, struct fuse_error *err) {
    const struct fuse_plan *plan = exec->plan;
    const struct fuse_region *root = &plan->regions.at[plan->root];
    struct fuse_comm_counters before = exec->comm->counters;
    double start = now(), cpu_start = cpu_now();
    int finished = -1; /* the last child whose sources are finished with */
    int done = 0;      /* children that have run */
    for (int i = 0; i < root->count; i++) {
        int child = plan->child.at[root->first + i];
        enum fuse_phase phase = region_phase(plan, child);
        if (done <= i)
            done = i + fuse_exec_run_rows(exec, &plan->child.at[root->first + i], root->count - i);
        if (done <= i)
            FUSE_TRY(run_region(exec, child, err));
        fuse_exec_release(exec, i);
        bool last = i + 1 == root->count;
        bool border_here = last || region_phase(plan, plan->child.at[root->first + i + 1]) != phase;
        if (border_here || plan->regions.at[child].kind == FUSE_REGION_LOOP)
            FUSE_TRY(border(exec, err));
        if (border_here) {
            FUSE_TRY(fuse_exec_finish_sources(exec, finished, i, err));
            finished = i;
            double end = now(), cpu_end = cpu_now();
            report->seconds[phase] += end - start;
            report->cpu_seconds[phase] += cpu_end - cpu_start;
            report->waiting[phase] += (double)(exec->comm->counters.waited_ns - before.waited_ns) * 1e-9;
            report->received_bytes_max[phase] += exec->comm->counters.received_bytes - before.received_bytes;
            start = end;
            cpu_start = cpu_end;
            before = exec->comm->counters;
        }
    }
    return FUSE_OK;
}

/* High water of this process's resident set. What getrusage knows is older than the program that runs: it begins with the process
 * that started it. */
static int64_t resident_bytes(void) {
    char line[256];
    long long kib = -1;
    FILE *file = fopen("/proc/self/status", "re");
    while (file && kib < 0 && fgets(line, sizeof line, file))
        sscanf(line, "VmHWM: %lld", &kib);
    if (file)
        fclose(file);
    if (kib < 0) {
        struct rusage usage;
        getrusage(RUSAGE_SELF, &usage);
        kib = usage.ru_maxrss;
    }
    return (int64_t)kib * 1024;
}

/* From this rank's figures to the busiest rank's, the same everywhere. */
static enum fuse_status share_report(struct fuse_exec *exec, struct fuse_exec_report *report, struct fuse_error *err) {
    int64_t most[3 * FUSE_PHASES + 12], total[2 * FUSE_PHASES + 2];
    int n = 0;
    for (int p = 0; p < FUSE_PHASES; p++) {
        most[n++] = (int64_t)(report->seconds[p] * 1e9);
        most[n++] = (int64_t)(report->cpu_seconds[p] * 1e9);
        total[p] = most[n++] = report->received_bytes_max[p];
        total[FUSE_PHASES + p] = (int64_t)(report->waiting[p] * 1e9);
    }
    most[n++] = (int64_t)(exec->answer_seconds * 1e9);
    most[n++] = (int64_t)(exec->stage_seconds * 1e9);
    most[n++] = (int64_t)(report->memory_seconds * 1e9);
    most[n++] = exec->comm->counters.messages;
    most[n++] = exec->comm->counters.control_bytes;
    most[n++] = resident_bytes();
    most[n++] = exec->backend->blas_calls;
    most[n++] = exec->backend->packed_bytes;
    most[n++] = exec->backend->kernel_calls;
    most[n++] = exec->backend->epilogue_bytes;
    most[n++] = total[2 * FUSE_PHASES] = report->file_bytes_max;
    most[n++] = total[2 * FUSE_PHASES + 1] = exec->backend->scores;
    FUSE_TRY(exec->comm->ops->reduce_int64(exec->comm, FUSE_REDUCE_MAX, most, n, err));
    FUSE_TRY(exec->comm->ops->reduce_int64(exec->comm, FUSE_REDUCE_SUM, total, 2 * FUSE_PHASES + 2, err));
    n = 0;
    for (int p = 0; p < FUSE_PHASES; p++) {
        report->seconds[p] = (double)most[n++] * 1e-9;
        report->cpu_seconds[p] = (double)most[n++] * 1e-9;
        report->received_bytes_max[p] = most[n++];
        report->received_bytes_total[p] = total[p];
        report->waiting[p] = (double)total[FUSE_PHASES + p] * 1e-9 / exec->comm->size;
    }
    report->answer_seconds = (double)most[n++] * 1e-9;
    report->stage_seconds = (double)most[n++] * 1e-9;
    report->memory_seconds = (double)most[n++] * 1e-9;
    report->messages_max = most[n++];
    report->control_bytes_max = most[n++];
    report->resident_bytes = most[n++];
    report->blas_calls = most[n++];
    report->packed_bytes = most[n++];
    report->kernel_calls = most[n++];
    report->epilogue_bytes = most[n++];
    report->file_bytes_max = most[n++];
    report->file_bytes_total = total[2 * FUSE_PHASES];
    report->scores_max = most[n++];
    report->scores_total = total[2 * FUSE_PHASES + 1];
    report->rule_turns = exec->derived.turns;
    report->rounds = exec->rounds;
    report->derived = exec->derived.derived;
    report->rule_sent_bytes = exec->derived.sent_bytes;
    report->rule_bytes = exec->derived.peak_bytes;
    report->stopped_early = exec->derived.stopped_early;
    for (int kind = 0; kind < FUSE_MEM_KINDS; kind++)
        report->arena_bytes += exec->plan->arena_bytes[kind];
    return FUSE_OK;
}

enum fuse_status fuse_execute(const struct fuse_exec_request *request, struct fuse_exec_report *report,
                              struct fuse_error *err) {
    struct fuse_exec exec = {.request = request, .plan = request->plan, .comm = request->comm, .arena_file = -1};
    size_t ops = (size_t)request->plan->ir->ops.n + 1;
    *report = (struct fuse_exec_report){0};
    exec.source = calloc(ops, sizeof *exec.source);
    exec.sink = calloc(ops, sizeof *exec.sink);
    exec.format = calloc(ops, sizeof *exec.format);
    exec.place = calloc(ops, sizeof *exec.place);
    exec.logic = calloc(ops, sizeof *exec.logic);
    exec.own = calloc((size_t)request->plan->buffers.n + 1, sizeof *exec.own);
    exec.moves = calloc(ops + 1, sizeof *exec.moves);
    exec.following = calloc((size_t)request->plan->steps.n + 1, sizeof *exec.following);
    exec.is_ahead = calloc((size_t)request->plan->steps.n + 1, sizeof *exec.is_ahead);
    enum fuse_status status = FUSE_OK;
    if (!exec.following || !exec.is_ahead || !exec.source || !exec.sink || !exec.format || !exec.place || !exec.logic ||
        !exec.own || !exec.moves)
        status = fuse_fail(err, FUSE_EMEMORY, "out of memory");
    if (status == FUSE_OK)
        status = open_local(&exec, report, err);
    FUSE_TRY_GOTO(status, fuse_agree(exec.comm, status, err), close_everything);
    FUSE_TRY_GOTO(status, fuse_exec_lend(&exec, report, err), close_everything);
    FUSE_TRY_GOTO(status, fuse_exec_open_sinks(&exec, err), close_everything);
    int64_t read_before = fuse_rawfile_bytes_read();
    FUSE_TRY_GOTO(status, walk(&exec, report, err), close_everything);
    report->file_bytes_max = fuse_rawfile_bytes_read() - read_before;
    double start = now();
    FUSE_TRY_GOTO(status, fuse_exec_commit_sinks(&exec, err), close_everything);
    report->seconds[FUSE_PHASE_STORE] += now() - start;
    FUSE_TRY_GOTO(status, share_report(&exec, report, err), close_everything);
close_everything:
    atomic_store(&exec.comm->wait.at_work_for, NULL); /* names live as long as the plan */
    close_all(&exec);
    return status;
}
