/* Rows of relations: this rank's share of files, of drawn points, and what it holds of what rules derived. */
#include "exec/internal.h"

#include <stdlib.h>

enum { ROWS = FUSE_EXEC_ROWS };

static void list_files(struct fuse_exec_rows *reader, const struct fuse_ir *ir, int value) {
    int op = ir->values.at[value].op;
    for (int k = 0; k < ir->ops.at[op]->inputs; k++)
        list_files(reader, ir, ir->ops.at[op]->input[k].value);
    reader->op[reader->files++] = op;
}

static enum fuse_status open_file(struct fuse_exec_rows *reader, struct fuse_exec *exec, struct fuse_error *err) {
    int o = reader->op[reader->file];
    const struct fuse_op *op = exec->plan->ir->ops.at[o];
    const char *part = exec->request->part ? exec->request->part[o] : NULL;
    bool has_value = op->probe.tally->columns > exec->plan->ir->values.at[op->out].rank;
    enum fuse_status st = exec->format[o]->rows_open(&reader->source, exec->request->path[o], part, &op->probe,
                                                     has_value, exec->comm->rank, exec->comm->size, err);
    return fuse_exec_blame(op, st, err);
}

/* The next drawn points of this rank's share. */
static void draw_rows(struct fuse_exec_rows *reader, const struct fuse_exec *exec, const struct fuse_draw *draw) {
    int64_t begin = fuse_split_begin(draw->rows, exec->comm->size, exec->comm->rank);
    int64_t end = fuse_split_begin(draw->rows, exec->comm->size, exec->comm->rank + 1), id[FUSE_MAX_AXES + 1];
    struct fuse_rows *rows = &reader->rows;
    for (rows->n = 0; rows->n < rows->most && begin + reader->drawn < end; rows->n++) {
        fuse_draw_row(id, draw, begin + reader->drawn++);
        for (int c = 0; c < rows->columns; c++)
            rows->id[c][rows->n] = id[c];
    }
}

/* The next tuples of those that this rank holds. */
static void read_derived(struct fuse_exec_rows *reader) {
    struct fuse_rows *rows = &reader->rows;
    int64_t left = fuse_logic_held(reader->logic, reader->relation) - reader->drawn;
    rows->n = left < rows->most ? left : rows->most;
    if (rows->n > 0)
        fuse_logic_read(reader->logic, reader->relation, reader->drawn, rows->n, rows->id, rows->value, NULL);
    reader->drawn += rows->n;
}

enum fuse_status fuse_exec_rows_next(struct fuse_exec_rows *reader, struct fuse_exec *exec, struct fuse_error *err) {
    reader->next = reader->rows.n = 0;
    if (reader->logic)
        read_derived(reader);
    while (reader->file < reader->files) {
        int o = reader->op[reader->file];
        if (exec->plan->ir->ops.at[o]->draw) {
            draw_rows(reader, exec, exec->plan->ir->ops.at[o]->draw);
            reader->file += reader->rows.n == 0;
            return FUSE_OK;
        }
        if (fuse_exec_fault(exec, FUSE_FAULT_READ))
            return fuse_exec_blame(
                exec->plan->ir->ops.at[o],
                fuse_fail(err, FUSE_EIO, "%s: reading failed (planted fault)", exec->request->path[o]), err);
        if (!reader->source)
            FUSE_TRY(open_file(reader, exec, err));
        FUSE_TRY(fuse_exec_blame(exec->plan->ir->ops.at[o],
                                 exec->format[o]->rows_next(reader->source, &reader->rows, err), err));
        if (reader->rows.n > 0)
            return FUSE_OK;
        exec->format[o]->rows_close(reader->source);
        reader->source = NULL;
        reader->file++;
    }
    return FUSE_OK;
}

bool fuse_exec_rows_open(struct fuse_exec_rows *reader, const struct fuse_exec *exec, int value) {
    const struct fuse_ir *ir = exec->plan->ir;
    const struct fuse_value *relation = &ir->values.at[value];
    const struct fuse_op *op = ir->ops.at[relation->op];
    bool has_value = false, fine = true;
    *reader = (struct fuse_exec_rows){.rows = {.columns = relation->rank, .most = ROWS}};
    if (op->kind == FUSE_OP_DERIVED) {
        reader->logic = exec->logic[ir->values.at[op->input[0].value].op].rules;
        reader->relation = op->derived;
        has_value = relation->dtype != FUSE_BOOL;
    } else {
        reader->op = calloc((size_t)ir->ops.n, sizeof *reader->op);
        if (!reader->op)
            return false;
        list_files(reader, ir, value);
        for (int f = 0; f < reader->files; f++)
            has_value |= ir->ops.at[reader->op[f]]->probe.tally->columns > relation->rank;
    }
    for (int c = 0; c < relation->rank; c++) {
        reader->rows.id[c] = malloc(ROWS * sizeof(int64_t));
        fine &= reader->rows.id[c] != NULL;
    }
    if (has_value) {
        reader->rows.value = malloc(ROWS * sizeof(double));
        fine &= reader->rows.value != NULL;
    }
    return fine;
}

void fuse_exec_rows_close(struct fuse_exec_rows *reader, const struct fuse_exec *exec) {
    if (reader->source)
        exec->format[reader->op[reader->file]]->rows_close(reader->source);
    for (int c = 0; c < reader->rows.columns; c++)
        free(reader->rows.id[c]);
    free(reader->rows.value);
    free(reader->op);
}
