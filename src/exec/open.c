/* Files from their opening to their end. Sinks of one path are members of one file. */
#include "exec/internal.h"
#include "io/output_file.h"
#include "io/shards.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *part_of(const struct fuse_exec *exec, int op) {
    return exec->request->part ? exec->request->part[op] : NULL;
}

enum fuse_status fuse_exec_blame(const struct fuse_op *op, enum fuse_status status, struct fuse_error *err) {
    if (status != FUSE_OK && !err->has_span) {
        err->span = op->span;
        err->has_span = op->span.file >= 0;
    }
    return status;
}

/* ---- sources -------------------------------------------------------------------------------------------------- */

/* Notes for every source below a region that it is read in this child of the root. */
static void note_reads(struct fuse_exec *exec, int number, int child) {
    const struct fuse_plan *plan = exec->plan;
    const struct fuse_region *region = &plan->regions.at[number];
    if (region->kind != FUSE_REGION_STEP) {
        for (int i = 0; i < region->count; i++)
            note_reads(exec, plan->child.at[region->first + i], child);
        return;
    }
    const struct fuse_step *step = &plan->steps.at[region->step];
    if (step->kind == FUSE_STEP_READ)
        exec->place[step->op].last_read = child;
}

enum fuse_status fuse_exec_open_sources(struct fuse_exec *exec, struct fuse_error *err) {
    const struct fuse_exec_request *request = exec->request;
    const struct fuse_plan *plan = exec->plan;
    const struct fuse_region *root = &plan->regions.at[plan->root];
    for (int o = 0; o < plan->ir->ops.n; o++)
        exec->place[o].last_read = -1;
    for (int i = 0; i < root->count; i++)
        note_reads(exec, plan->child.at[root->first + i], i);
    for (int o = 0; o < plan->ir->ops.n; o++) {
        const struct fuse_op *op = plan->ir->ops.at[o];
        if (op->kind != FUSE_OP_SOURCE)
            continue;
        exec->format[o] = op->probe.shards ? &fuse_format_shards : fuse_format_of(request->path[o], part_of(exec, o));
        enum fuse_status status = FUSE_OK;
        if (!exec->format[o])
            status = fuse_fail(err, FUSE_EBUG, "%s: no format reads this", request->path[o]);
        else if (fuse_exec_fault(exec, FUSE_FAULT_OPEN))
            status = fuse_fail(err, FUSE_EINPUT, "%s: cannot be opened (planted fault)", request->path[o]);
        else if (!op->probe.tally) /* files of rows are opened whenever they are read */
            status =
                exec->format[o]->source_open(&exec->source[o], request->path[o], part_of(exec, o), &op->probe, err);
        FUSE_TRY(fuse_exec_blame(op, status, err));
    }
    return FUSE_OK;
}

enum fuse_status fuse_exec_finish_sources(struct fuse_exec *exec, int after, int upto, struct fuse_error *err) {
    enum fuse_status status = FUSE_OK;
    bool is_any = false;
    for (int o = 0; o < exec->plan->ir->ops.n; o++) {
        int last = exec->place[o].last_read;
        if (!exec->source[o] || last <= after || last > upto || !exec->format[o]->source_finish)
            continue;
        /* What is checked at the end is a property of all of a file: it says nothing about a part. */
        if (!fuse_source_is_whole(exec->plan->ir, exec->plan->ir->ops.at[o]))
            continue;
        /* Each has messages that all ranks take part in, whatever the ones before brought. */
        struct fuse_error mine = {0};
        enum fuse_status st = exec->format[o]->source_finish(exec->source[o], exec->comm, &mine);
        fuse_exec_blame(exec->plan->ir->ops.at[o], st, &mine);
        if (status == FUSE_OK && st != FUSE_OK) {
            status = st;
            *err = mine;
        }
        is_any = true;
    }
    return is_any ? fuse_agree(exec->comm, status, err) : FUSE_OK;
}

/* ---- sinks ---------------------------------------------------------------------------------------------------- */

static bool is_file_sink(const struct fuse_op *op) {
    return op->kind == FUSE_OP_SINK && op->path;
}

/* Names are told of until all files of the run have their own: a rank that survives the one that renames removes them. */
static void keep_temporary(void *context, const char *temporary) {
    struct fuse_exec *exec = context;
    struct fuse_exec_name *name = malloc(sizeof *name + strlen(temporary) + 1);
    if (!name)
        return;
    strcpy(name->text, temporary);
    name->next = exec->temporary;
    exec->temporary = name;
    exec->request->temporary(exec->request->context, temporary, 1);
}

static void forget_temporary(struct fuse_exec *exec) {
    for (struct fuse_exec_name *name = exec->temporary, *next; name; name = next) {
        next = name->next;
        exec->request->temporary(exec->request->context, name->text, 0);
        free(name);
    }
    exec->temporary = NULL;
}

/* Operations whose file is that of operation `file`, as its members. Returns their number. */
static int list_members(const struct fuse_exec *exec, struct fuse_sink_member *out, int file) {
    const struct fuse_ir *ir = exec->plan->ir;
    int members = 0;
    for (int o = file; o < ir->ops.n; o++) {
        if (!is_file_sink(ir->ops.at[o]) || exec->place[o].file != file)
            continue;
        const struct fuse_value *value = &ir->values.at[ir->ops.at[o]->input[0].value];
        struct fuse_sink_member *member = &out[members];
        *member = (struct fuse_sink_member){.part = part_of(exec, o),
                                            .dtype = value->dtype,
                                            .rank = value->rank,
                                            .ranking = ir->ops.at[o]->ranking,
                                            .ranked = ir->ops.at[o]->ranked,
                                            .tensor = value->name ? value->name : ir->ops.at[o]->part};
        memcpy(member->extent, value->extent, (size_t)value->rank * sizeof *value->extent);
        memcpy(member->axis, ir->ops.at[o]->index_name, sizeof member->axis);
        member->symbols = exec->request->symbols;
        memcpy(member->table, ir->ops.at[o]->table, sizeof member->table);
        member->is_tuples = fuse_is_relation(ir, ir->ops.at[o]->input[0].value);
        if (ir->ops.at[o]->reduce != FUSE_REDUCE_NONE)
            member->absent = ir->ops.at[o]->reduce == FUSE_REDUCE_MIN ? INFINITY : -INFINITY;
        if (exec->request->storage)
            member->storage = exec->request->storage[o];
        exec->place[o].member = members++;
    }
    return members;
}

static enum fuse_status open_sink(struct fuse_exec *exec, int file, struct fuse_error *err) {
    const char *path = exec->request->path[file];
    exec->format[file] = fuse_format_of(path, part_of(exec, file));
    if (!exec->format[file])
        return fuse_fail(err, FUSE_EBUG, "%s: no format writes this", path);
    struct fuse_sink_member *member = calloc((size_t)exec->plan->ir->ops.n, sizeof *member);
    enum fuse_status status = member ? FUSE_OK : fuse_fail(err, FUSE_EMEMORY, "no memory to open %s", path);
    FUSE_TRY_GOTO(status, fuse_agree(exec->comm, status, err), free_member);
    struct fuse_sink_file want = {.path = path,
                                  .member = member,
                                  .members = list_members(exec, member, file),
                                  .program = exec->request->program,
                                  .version = exec->request->version};
    status = exec->format[file]->sink_open(&exec->sink[file], exec->comm, &want, err);
free_member:
    free(member);
    return status;
}

static enum fuse_status open_sinks(struct fuse_exec *exec, struct fuse_error *err) {
    const struct fuse_ir *ir = exec->plan->ir;
    for (int o = 0; o < ir->ops.n; o++) {
        if (!is_file_sink(ir->ops.at[o]))
            continue;
        int file = 0;
        while (!is_file_sink(ir->ops.at[file]) || strcmp(exec->request->path[file], exec->request->path[o]) != 0)
            file++;
        exec->place[o].file = file;
    }
    for (int o = 0; o < ir->ops.n; o++) {
        if (!is_file_sink(ir->ops.at[o]) || exec->place[o].file != o)
            continue;
        FUSE_TRY(fuse_exec_blame(ir->ops.at[o], open_sink(exec, o, err), err));
    }
    return FUSE_OK;
}

enum fuse_status fuse_exec_open_sinks(struct fuse_exec *exec, struct fuse_error *err) {
    if (exec->request->temporary)
        fuse_output_file_announce(keep_temporary, exec);
    enum fuse_status status = open_sinks(exec, err);
    fuse_output_file_announce(NULL, NULL);
    return status;
}

/* All sinks are finished everywhere before the first gets its name. */
enum fuse_status fuse_exec_commit_sinks(struct fuse_exec *exec, struct fuse_error *err) {
    int ops = exec->plan->ir->ops.n;
    enum fuse_status status = FUSE_OK;
    for (int o = 0; o < ops; o++)
        if (exec->sink[o]) {
            status = exec->format[o]->sink_finish(exec->sink[o], exec->comm, err);
            FUSE_TRY(fuse_exec_blame(exec->plan->ir->ops.at[o], fuse_agree(exec->comm, status, err), err));
        }
    for (int o = 0; o < ops && status == FUSE_OK; o++)
        if (exec->sink[o]) {
            status = fuse_sink_commit(exec->format[o], exec->sink[o], err);
            exec->sink[o] = NULL;
        }
    return fuse_agree(exec->comm, status, err);
}

void fuse_exec_close_files(struct fuse_exec *exec) {
    for (int o = 0; o < exec->plan->ir->ops.n; o++) {
        if (exec->source[o])
            exec->format[o]->source_close(exec->source[o]);
        if (exec->sink[o])
            fuse_sink_discard(exec->format[o], exec->sink[o]);
    }
    forget_temporary(exec);
}
