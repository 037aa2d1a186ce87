/* Rules in a plan: fed with relations and the cells of dense values, evaluated, and given back when nobody reads them any more. */
#include "exec/internal.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define CELLS 1024 /* fed at a time */

static void keep(struct fuse_exec *exec, enum fuse_status status, const struct fuse_error *err) {
    if (status != FUSE_OK)
        fuse_exec_fail(exec, status, err);
}

/* ---- memory ---- */

/* The RULES operation behind a derived value, or -1. */
static int rules_of(const struct fuse_ir *ir, int value) {
    const struct fuse_op *op = ir->ops.at[ir->values.at[value].op];
    return op->kind == FUSE_OP_DERIVED ? ir->values.at[op->input[0].value].op : -1;
}

/* The relation that a step reads of rules, or -1. */
static int derived_of(const struct fuse_ir *ir, const struct fuse_step *step) {
    const struct fuse_op *op = ir->ops.at[step->op];
    int value = step->kind == FUSE_STEP_FEED                                     ? op->input[step->input].value
                : step->kind == FUSE_STEP_TUPLES || step->kind == FUSE_STEP_LIST ? op->input[0].value
                                                                                 : -1;
    return value >= 0 && rules_of(ir, value) >= 0 ? value : -1;
}

static void note(struct fuse_exec *exec, int number, int child) {
    const struct fuse_region *region = &exec->plan->regions.at[number];
    for (int i = 0; region->kind != FUSE_REGION_STEP && i < region->count; i++)
        note(exec, exec->plan->child.at[region->first + i], child);
    if (region->kind != FUSE_REGION_STEP)
        return;
    const struct fuse_step *step = &exec->plan->steps.at[region->step];
    int value = derived_of(exec->plan->ir, step);
    if (step->kind == FUSE_STEP_RULES)
        exec->logic[step->op].last = fuse_exec_is_asked(exec) ? INT_MAX : child;
    if (value >= 0 && !fuse_exec_is_asked(exec))
        exec->logic[rules_of(exec->plan->ir, value)].last = child;
}

void fuse_exec_note_rules(struct fuse_exec *exec) {
    const struct fuse_region *root = &exec->plan->regions.at[exec->plan->root];
    for (int o = 0; o < exec->plan->ir->ops.n; o++)
        exec->logic[o].last = -1;
    for (int i = 0; i < root->count; i++)
        note(exec, exec->plan->child.at[root->first + i], i);
}

/* What is enqueued may read what is about to go. */
static void finish_queue(struct fuse_exec *exec) {
    struct fuse_error err = {0};
    enum fuse_status st = exec->queue->ops->wait(exec->queue, FUSE_QUEUE_ALL, &err);
    if (st != FUSE_OK)
        fuse_exec_fail(exec, st, &err);
}

void fuse_exec_release(struct fuse_exec *exec, int child) {
    const struct fuse_plan *plan = exec->plan;
    bool is_finished = false;
    for (struct fuse_exec_logic **at = &exec->opened, *logic; (logic = *at);) {
        if (logic->last > child) {
            at = &logic->next;
            continue;
        }
        fuse_logic_close(logic->rules);
        logic->rules = NULL;
        *at = logic->next;
    }
    for (struct fuse_exec_own **at = &exec->held, *own; (own = *at);) {
        const struct fuse_buffer *buffer = &plan->buffers.at[own - exec->own];
        if (buffer->last > child) {
            at = &own->next;
            continue;
        }
        if (!is_finished && exec->queue)
            finish_queue(exec);
        is_finished = true;
        exec->backend->ops->memory_close(exec->backend, own->at, buffer->kind, own->bytes);
        exec->relation_bytes -= (int64_t)own->bytes;
        own->at = NULL;
        *at = own->next;
    }
}

int64_t fuse_exec_relation_room(const struct fuse_exec *exec) {
    int64_t bytes = fuse_plan_relation_bytes(exec->plan);
    if (bytes == 0)
        return INT64_MAX;
    bytes -= exec->relation_bytes;
    for (const struct fuse_exec_logic *logic = exec->opened; logic; logic = logic->next)
        bytes -= fuse_logic_bytes(logic->rules);
    return bytes > 1 ? bytes : 1;
}

/* ---- feeding ---- */

static struct fuse_logic *open_rules(struct fuse_exec *exec, int op) {
    struct fuse_error err = {0};
    struct fuse_exec_logic *logic = &exec->logic[op];
    int64_t room = fuse_exec_relation_room(exec);
    const struct fuse_exec_request *request = exec->request;
    struct fuse_logic_request wanted = {.rules = exec->plan->ir->ops.at[op]->rules,
                                        .comm = exec->comm,
                                        .memory_bytes = room == INT64_MAX ? 0 : room,
                                        .threads = request->threads,
                                        .max_turns = request->iteration.max_turns,
                                        .may_stop_early = request->iteration.may_stop_early,
                                        .is_naive = request->iteration.is_naive,
                                        .keeps_given = fuse_exec_is_asked(exec)};
    for (int k = 0; k < request->questions; k++)
        wanted.keeps_rows |= request->question[k].why_not;
    if (logic->rules)
        return logic->rules;
    keep(exec, fuse_logic_open(&logic->rules, &wanted, &err), &err);
    if (logic->rules) {
        logic->next = exec->opened;
        exec->opened = logic;
    }
    return logic->rules;
}

/* Ids that the scan has not seen. */
static bool is_inside(const struct fuse_rule_relation *relation, const struct fuse_rows *rows) {
    for (int c = 0; c < rows->columns; c++)
        for (int64_t i = 0; i < rows->n; i++)
            if (rows->id[c][i] >= relation->extent[c])
                return false;
    return true;
}

/* Rows of files and of other rules. */
static enum fuse_status feed_rows(struct fuse_exec *exec, struct fuse_logic *logic, const struct fuse_op *op, int input,
                                  struct fuse_error *err) {
    struct fuse_exec_rows reader;
    int value = op->input[input].value, relation = op->feed[input];
    enum fuse_status status = FUSE_OK;
    if (!fuse_exec_rows_open(&reader, exec, value))
        status = fuse_fail(err, FUSE_EMEMORY, "no memory to read rows");
    while (status == FUSE_OK) {
        status = fuse_exec_rows_next(&reader, exec, err);
        if (status != FUSE_OK || reader.rows.n == 0)
            break;
        struct fuse_logic_rows rows = {.n = reader.rows.n, .value = reader.rows.value};
        for (int c = 0; c < reader.rows.columns; c++)
            rows.id[c] = reader.rows.id[c];
        if (!is_inside(&op->rules->relation[relation], &reader.rows))
            status = fuse_fail(err, FUSE_EINPUT, "a source of '%s' changed after it was probed",
                               op->rules->relation[relation].name);
        else
            status = fuse_logic_add(logic, relation, &rows, err);
    }
    fuse_exec_rows_close(&reader, exec);
    return status;
}

struct cells {
    struct fuse_logic *logic;
    int relation;
    enum fuse_dtype dtype; /* of the relation */
    int64_t n, id[FUSE_MAX_AXES][CELLS];
    union {
        int64_t integer[CELLS];
        double real[CELLS];
    } value;
};

static enum fuse_status flush(struct cells *cells, int rank, struct fuse_error *err) {
    struct fuse_logic_rows rows = {.n = cells->n, .value = cells->dtype == FUSE_BOOL ? NULL : &cells->value};
    for (int a = 0; a < rank; a++)
        rows.id[a] = cells->id[a];
    cells->n = 0;
    return rows.n > 0 ? fuse_logic_add(cells->logic, cells->relation, &rows, err) : FUSE_OK;
}

/* The true cells of a box, or all with their numbers. */
static enum fuse_status feed_box(const struct fuse_exec_pass *pass, const struct fuse_box *box,
                                 const struct fuse_view *view, struct fuse_error *err) {
    struct cells *cells = pass->context;
    size_t size = fuse_dtype_bytes(view->dtype);
    int64_t elems = fuse_box_elems(box), at[FUSE_MAX_AXES] = {0}, offset = 0;
    for (int64_t n = 0; n < elems; n++) {
        const char *element = (const char *)view->data + offset * (int64_t)size;
        bool is_set = true;
        if (cells->dtype == FUSE_BOOL)
            (void)fuse_dtype_convert(&is_set, FUSE_BOOL, element, view->dtype, 1);
        else if (cells->dtype == FUSE_I64)
            (void)fuse_dtype_convert(&cells->value.integer[cells->n], FUSE_I64, element, view->dtype, 1);
        else
            (void)fuse_dtype_convert(&cells->value.real[cells->n], FUSE_F64, element, view->dtype, 1);
        for (int a = 0; is_set && a < box->rank; a++)
            cells->id[a][cells->n] = box->lo[a] + at[a];
        cells->n += is_set;
        if (cells->n == CELLS)
            FUSE_TRY(flush(cells, box->rank, err));
        for (int a = box->rank - 1; a >= 0; a--) {
            offset += view->stride[a];
            if (++at[a] < view->extent[a])
                break;
            offset -= at[a] * view->stride[a];
            at[a] = 0;
        }
    }
    return FUSE_OK;
}

static enum fuse_status feed_cells(struct fuse_exec *exec, struct fuse_logic *logic, const struct fuse_step *step,
                                   struct fuse_error *err) {
    const struct fuse_op *op = exec->plan->ir->ops.at[step->op];
    struct cells *cells = calloc(1, sizeof *cells);
    if (!cells)
        return fuse_fail(err, FUSE_EMEMORY, "no memory to read cells");
    cells->logic = logic;
    cells->relation = op->feed[step->input];
    cells->dtype = op->rules->relation[cells->relation].dtype;
    struct fuse_exec_pass pass = {.exec = exec, .step = step, .buffer = step->from, .host = feed_box, .context = cells};
    if (fuse_exec_is_owner(exec, &step->have.layout))
        fuse_exec_pass_boxes(&pass, &step->have);
    enum fuse_status status = FUSE_OK;
    if (exec->status == FUSE_OK)
        status = flush(cells, exec->plan->ir->values.at[step->have.value].rank, err);
    free(cells);
    return status;
}

void fuse_exec_feed(struct fuse_exec *exec, const struct fuse_step *step) {
    struct fuse_error err = {0};
    const struct fuse_op *op = exec->plan->ir->ops.at[step->op];
    struct fuse_logic *logic = exec->status == FUSE_OK ? open_rules(exec, step->op) : NULL;
    if (exec->status != FUSE_OK)
        return;
    enum fuse_status status =
        step->from >= 0 ? feed_cells(exec, logic, step, &err) : feed_rows(exec, logic, op, step->input, &err);
    keep(exec, fuse_exec_blame(op, status, &err), &err);
}

/* ---- evaluation ---- */

/* Relations that no step reads, of those that rules derive or are fed with. */
static void drop_unread(struct fuse_exec *exec, int number) {
    const struct fuse_plan *plan = exec->plan;
    const struct fuse_rules *rules = plan->ir->ops.at[number]->rules;
    for (int r = 0; r < rules->relations; r++) {
        bool read = false;
        for (int i = 0; i < plan->steps.n && !read; i++) {
            int value = derived_of(plan->ir, &plan->steps.at[i]);
            read = value >= 0 && rules_of(plan->ir, value) == number &&
                   plan->ir->ops.at[plan->ir->values.at[value].op]->derived == r;
        }
        if (!read)
            fuse_logic_drop(exec->logic[number].rules, r);
    }
}

void fuse_exec_rules(struct fuse_exec *exec, const struct fuse_step *step) {
    struct fuse_error err = {0};
    struct fuse_logic_report report = {0};
    const struct fuse_op *op = exec->plan->ir->ops.at[step->op];
    if (exec->status == FUSE_OK)
        (void)open_rules(exec, step->op);
    /* What failed while feeding is everybody's before the ranks talk about the rules. */
    enum fuse_status status = fuse_agree(exec->comm, exec->status, &exec->error);
    if (status != FUSE_OK) {
        keep(exec, status, &exec->error);
        return;
    }
    status = fuse_logic_run(exec->logic[step->op].rules, &report, &err);
    if (status == FUSE_EDIVERGED)
        fuse_hint(&err,
                  "--max-iters gives it more turns; --allow-nonconverged takes what there is; where values get better "
                  "for ever, as on a cycle of negative length, there is no end");
    exec->logic[step->op].has_run = true;
    keep(exec, fuse_exec_blame(op, status, &err), &err);
    exec->derived.turns += report.turns;
    exec->derived.derived += report.derived;
    exec->derived.sent_bytes += report.sent_bytes;
    exec->derived.stopped_early |= report.stopped_early;
    exec->derived.peak_bytes =
        report.peak_bytes > exec->derived.peak_bytes ? report.peak_bytes : exec->derived.peak_bytes;
    if (status == FUSE_OK && !fuse_exec_is_asked(exec))
        drop_unread(exec, step->op);
}
