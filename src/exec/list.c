/* Derived relations to files and to the screen, in the order of their ids; no rank sees more of them than its share, but for the few
 * tuples that are printed. */
#include "core/text.h"
#include "exec/id_names.h"
#include "exec/why.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define ROWS 4096 /* written at a time */

enum {
    PRINT_TUPLES = 20, /* all of them are printed up to here */
    ENDS = 3           /* tuples of a larger relation at each of its ends */
};

static void keep(struct fuse_exec *exec, enum fuse_status status, const struct fuse_error *err) {
    if (status != FUSE_OK)
        fuse_exec_fail(exec, status, err);
}

/* A derived relation, sorted: this rank has tuples [first, first + held) of `total`. */
struct listed {
    struct fuse_exec *exec;
    const struct fuse_op *op;
    const struct fuse_value *value;
    struct fuse_logic *logic;
    int relation;
    int64_t total, first, held;
};

static enum fuse_status bring_in_order(struct listed *l, struct fuse_error *err) {
    FUSE_TRY(fuse_logic_count(&l->total, l->logic, l->relation, err));
    if (l->op->counts)
        return FUSE_OK;
    FUSE_TRY(fuse_logic_sort(l->logic, l->relation, err));
    l->first = fuse_split_begin(l->total, l->exec->comm->size, l->exec->comm->rank);
    l->held = fuse_logic_held(l->logic, l->relation);
    return FUSE_OK;
}

/* ---- files ---- */

struct block {
    int64_t *id[FUSE_MAX_AXES]; /* [ROWS] */
    int64_t *value;             /* [ROWS], of 8 bytes whatever they are */
    void *converted;
};

static bool open_block(struct block *block, int rank) {
    bool fine = true;
    for (int a = 0; a < rank; a++) {
        block->id[a] = malloc(ROWS * sizeof(int64_t));
        fine &= block->id[a] != NULL;
    }
    block->value = malloc(ROWS * sizeof *block->value);
    block->converted = malloc(ROWS * sizeof(double));
    return fine && block->value && block->converted;
}

static void close_block(struct block *block) {
    for (int a = 0; a < FUSE_MAX_AXES; a++)
        free(block->id[a]);
    free(block->value);
    free(block->converted);
}

static enum fuse_status write_block(const struct listed *l, struct block *block, int64_t begin, int64_t n,
                                    struct fuse_error *err) {
    struct fuse_exec *exec = l->exec;
    enum fuse_dtype dtype = l->value->dtype;
    struct fuse_tuple_rows rows = {.n = n};
    int op = 0;
    while (exec->plan->ir->ops.at[op] != l->op)
        op++;
    const struct fuse_exec_place *place = &exec->place[op];
    if (n > 0)
        fuse_logic_read(l->logic, l->relation, begin, n, block->id, block->value, NULL);
    for (int a = 0; a < l->value->rank; a++)
        rows.id[a] = block->id[a];
    if (dtype != FUSE_BOOL) {
        (void)fuse_dtype_convert(block->converted, dtype, block->value, dtype == FUSE_I64 ? FUSE_I64 : FUSE_F64,
                                 (size_t)n);
        rows.value = block->converted;
    }
    if (fuse_exec_fault(exec, FUSE_FAULT_WRITE))
        return fuse_fail(err, FUSE_EIO, "%s: writing failed (planted fault)", exec->request->path[op]);
    return exec->format[place->file]->sink_tuples(exec->sink[place->file], place->member, l->first + begin, l->total,
                                                  &rows, err);
}

static enum fuse_status write_tuples(const struct listed *l, struct fuse_error *err) {
    struct block block = {{0}, NULL, NULL};
    enum fuse_status status = FUSE_OK;
    if (!open_block(&block, l->value->rank))
        status = fuse_fail(err, FUSE_EMEMORY, "no memory to write tuples");
    int64_t at = 0;
    do { /* once also for a rank without any */
        int64_t n = l->held - at < ROWS ? l->held - at : ROWS;
        if (status == FUSE_OK)
            status = write_block(l, &block, at, n, err);
        at += n;
    } while (at < l->held && status == FUSE_OK);
    close_block(&block);
    return fuse_exec_blame(l->op, status, err);
}

/* ---- the screen ---- */

/* Tuples that are printed, an int64 for each id and value: each comes from the rank that has it. */
struct shown {
    int n;
    int64_t word[PRINT_TUPLES][FUSE_MAX_AXES + 1];
};

static int64_t shown_tuple(const struct listed *l, int i) {
    return l->total <= PRINT_TUPLES || i < ENDS ? i : l->total - 2 * ENDS + i;
}

static void take_shown(const struct listed *l, struct shown *shown) {
    shown->n = l->total <= PRINT_TUPLES ? (int)l->total : 2 * ENDS;
    for (int i = 0; i < shown->n; i++) {
        int64_t at = shown_tuple(l, i) - l->first, *id[FUSE_MAX_AXES];
        for (int a = 0; a < l->value->rank; a++)
            id[a] = &shown->word[i][a];
        if (at >= 0 && at < l->held)
            fuse_logic_read(l->logic, l->relation, at, 1, id, &shown->word[i][l->value->rank], NULL);
    }
}

static void add_tuple(struct fuse_text *text, const struct listed *l, const struct fuse_id_names *names,
                      const int64_t *word) {
    fuse_text_add(text, "  (");
    for (int a = 0; a < l->value->rank; a++) {
        fuse_text_add(text, "%s", a ? ", " : "");
        fuse_id_names_add(text, names, l->op->table[a], word[a]);
    }
    fuse_text_add(text, ")");
    if (l->value->dtype == FUSE_I64) {
        fuse_text_add(text, " %" PRId64, word[l->value->rank]);
    } else if (l->value->dtype != FUSE_BOOL) {
        double real;
        memcpy(&real, &word[l->value->rank], sizeof real);
        fuse_text_add(text, l->value->dtype == FUSE_F64 ? " %.15g" : " %.7g", real);
    }
    fuse_text_add(text, "\n");
}

static void print(const struct listed *l, const struct shown *shown, const struct fuse_id_names *names) {
    struct fuse_text text = {.arena = names->arena};
    if (l->op->counts)
        fuse_text_add(&text, "%s: %" PRId64 " tuple%s\n", l->op->part, l->total, l->total == 1 ? "" : "s");
    else
        fuse_text_add(&text, "%s = relation [", l->op->part);
    for (int a = 0; a < l->value->rank && !l->op->counts; a++)
        fuse_text_add(&text, "%s%" PRId64, a ? ", " : "", l->value->extent[a]);
    if (!l->op->counts)
        fuse_text_add(&text, "], %" PRId64 " tuple%s\n", l->total, l->total == 1 ? "" : "s");
    for (int i = 0; i < shown->n; i++) {
        if (i == ENDS && l->total > PRINT_TUPLES)
            fuse_text_add(&text, "  ...\n");
        add_tuple(&text, l, names, shown->word[i]);
    }
    l->exec->request->print(l->exec->request->context, text.at);
}

/* Collective: every rank knows the tuples, and wants the names of their ids. */
static enum fuse_status print_named(const struct listed *l, const struct shown *shown, struct fuse_error *err) {
    struct fuse_comm *comm = l->exec->comm;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    if (!arena)
        fuse_comm_abort(comm, FUSE_EMEMORY); /* peers send names */
    struct fuse_id_names names = {.arena = arena};
    for (int i = 0; i < shown->n; i++)
        for (int a = 0; a < l->value->rank; a++)
            fuse_id_names_want(&names, l->op->table[a], shown->word[i][a]);
    enum fuse_status status = fuse_id_names_find(&names, l->exec->request->symbols, comm, err);
    if (status == FUSE_OK && comm->rank == 0 && l->exec->request->print)
        print(l, shown, &names);
    fuse_id_names_close(&names);
    fuse_arena_close(arena);
    return status;
}

static enum fuse_status show(struct listed *l, struct fuse_error *err) {
    struct fuse_comm *comm = l->exec->comm;
    struct shown shown = {0};
    if (!l->op->counts)
        take_shown(l, &shown);
    FUSE_TRY(
        comm->ops->reduce_int64(comm, FUSE_REDUCE_SUM, &shown.word[0][0], PRINT_TUPLES * (FUSE_MAX_AXES + 1), err));
    return print_named(l, &shown, err);
}

/* ---- the step ---- */

void fuse_exec_list(struct fuse_exec *exec, const struct fuse_step *step) {
    const struct fuse_ir *ir = exec->plan->ir;
    const struct fuse_op *op = ir->ops.at[step->op];
    const struct fuse_op *derived = ir->ops.at[ir->values.at[op->input[0].value].op];
    struct fuse_error err = {0};
    struct listed l = {
        .exec = exec, .op = op, .value = &ir->values.at[op->input[0].value], .relation = derived->derived};
    l.logic = exec->logic[ir->values.at[derived->input[0].value].op].rules;
    if (!op->path && !exec->request->prints && op->asks == 0)
        return;
    enum fuse_status status = fuse_agree(exec->comm, exec->status, &exec->error);
    if (status != FUSE_OK) {
        keep(exec, status, &exec->error);
        return;
    }
    if (op->asks > 0) {
        keep(exec, fuse_exec_why(exec, op, &err), &err);
        return;
    }
    status = bring_in_order(&l, &err);
    if (status == FUSE_OK)
        status = op->path ? write_tuples(&l, &err) : show(&l, &err);
    keep(exec, status, &err);
}
