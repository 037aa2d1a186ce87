/* Tuples of a relation come from its files to where a join needs them. Every rank reads a share of the rows and sends each row
 * to the ranks whose iteration box it lies in, a bounded number at a time; then each sorts what came. */
#include "exec/internal.h"

#include <stdlib.h>
#include <string.h>

#define ROWS 1024    /* read at a time */
#define KEYS 65536   /* sorted at a time, of one compressed row */
#define INSERTION 32 /* so many are sorted by insertion */

/* A relation's files: its source and those whose rows it takes in. */
struct files {
    int n, *op; /* [ops] */
};

/* Where rows go. */
struct route {
    const struct fuse_plan *plan;
    const struct fuse_op *op;
    const struct fuse_layout *partition;
    struct fuse_tuples tuples;
    /* Per relation index: its mesh dimensions from the innermost on, and what one step along each adds to the rank. */
    int64_t parts[FUSE_MAX_AXES];
    int dims[FUSE_MAX_AXES], dim[FUSE_MAX_AXES][FUSE_MESH_MAX], weight[FUSE_MESH_MAX];
    int copies, *copy; /* what the other dimensions add to the rank */
};

/* Rows that come in and go out; all in the step's staging. */
struct traffic {
    struct fuse_exec *exec;
    const struct fuse_step *step;
    int64_t row_bytes;
    int64_t *sending, *receiving; /* [ranks] rows */
    char *send, *receive;         /* [ranks] pieces of step->piece_bytes */
    struct fuse_message *message; /* [2 * ranks] */
    char *rows;                   /* that have come */
    uint32_t *order;
    uint64_t *key; /* [KEYS] */
    int64_t count, most;
};

static void keep(struct fuse_exec *exec, enum fuse_status status, const struct fuse_error *err) {
    if (status != FUSE_OK)
        fuse_exec_fail(exec, status, err);
}

/* ---- routes ---- */

static bool open_route(struct route *r, struct fuse_exec *exec, const struct fuse_step *step) {
    const struct fuse_mesh *mesh = &exec->plan->mesh;
    *r = (struct route){.plan = exec->plan, .op = exec->plan->ir->ops.at[step->op], .partition = &step->partition};
    r->tuples = fuse_plan_tuples(exec->plan, step->op, &step->partition);
    bool decided[FUSE_MESH_MAX] = {false};
    for (int d = mesh->dims - 1, weight = 1; d >= 0; weight *= mesh->dim[d--])
        r->weight[d] = weight;
    for (int k = 0; k < r->tuples.indices; k++) {
        r->parts[k] = fuse_layout_parts(r->partition, mesh, r->tuples.index[k]);
        for (int level = mesh->dims - 1; level >= 0; level--)
            for (int d = 0; d < mesh->dims; d++)
                if (r->partition->axis[d] == r->tuples.index[k] && r->partition->level[d] == level) {
                    r->dim[k][r->dims[k]++] = d;
                    decided[d] = true;
                }
    }
    r->copies = 1;
    for (int d = 0; d < mesh->dims; d++)
        r->copies *= decided[d] ? 1 : mesh->dim[d];
    r->copy = calloc((size_t)r->copies, sizeof *r->copy);
    for (int d = 0, n = 1; r->copy && d < mesh->dims; d++) {
        for (int c = 1; !decided[d] && c < mesh->dim[d]; c++)
            for (int i = 0; i < n; i++)
                r->copy[c * n + i] = r->copy[i] + c * r->weight[d];
        n *= decided[d] ? 1 : mesh->dim[d];
    }
    return r->copy != NULL;
}

/* The position of a row along the indices of the relation; false when the operation does not read it. */
static bool find_position(int64_t position[FUSE_MAX_AXES], const struct route *r, const struct fuse_rows *rows,
                          int64_t row) {
    const struct fuse_access *access = &r->op->input[0].access;
    uint64_t found = 0; /* a bit an index */
    for (int a = 0; a < access->rank; a++) {
        const struct fuse_access_axis *at = &access->at[a];
        int64_t steps = rows->id[a][row] - at->offset;
        if (at->index < 0) {
            if (steps != 0)
                return false;
            continue;
        }
        int k = 0;
        while (r->tuples.index[k] != at->index)
            k++;
        if (at->stride != 1) {
            if (steps % at->stride != 0)
                return false;
            steps /= at->stride;
        }
        if (steps < 0 || steps >= r->op->extent[at->index] || ((found >> k & 1) && position[k] != steps))
            return false;
        position[k] = steps;
        found |= (uint64_t)1 << k;
    }
    return true;
}

/* The first of the ranks that have this position in their iteration box. */
static int find_rank(const struct route *r, const int64_t position[FUSE_MAX_AXES]) {
    int rank = 0;
    for (int k = 0; k < r->tuples.indices; k++) {
        int64_t n = r->op->extent[r->tuples.index[k]];
        if (r->parts[k] == 1)
            continue;
        /* The last part that begins at or before the position. */
        __int128 end = (__int128)(position[k] + 1) * r->parts[k];
        int64_t part = (int64_t)((end + n - 1) / n) - 1;
        for (int i = 0; i < r->dims[k]; i++) {
            int d = r->dim[k][i], size = r->plan->mesh.dim[d];
            rank += (int)(part % size) * r->weight[d];
            part /= size;
        }
    }
    return rank;
}

/* ---- rounds of messages ---- */

static void add_row(struct traffic *t, const char *row) {
    struct fuse_error err = {0};
    if (t->count >= t->most) {
        keep(t->exec,
             fuse_fail(&err, FUSE_EINPUT, "%s changed after it was probed", t->exec->request->path[t->step->op]), &err);
        return;
    }
    memcpy(t->rows + t->count++ * t->row_bytes, row, (size_t)t->row_bytes);
}

/* Sends the rows of the round and takes in those of the others. *more: in, whether this rank has more; out, whether any. */
static void exchange(struct traffic *t, bool *more) {
    struct fuse_exec *exec = t->exec;
    struct fuse_comm *comm = exec->comm;
    struct fuse_error err = {0};
    int sends = 0, receives = 0, ranks = comm->size;
    struct fuse_message *out = t->message, *in = t->message + ranks;
    for (int i = 1; i < ranks; i++) {
        int to = (comm->rank + i) % ranks, from = (comm->rank + ranks - i) % ranks;
        out[sends++] = (struct fuse_message){.peer = to, .data = &t->sending[to], .bytes = sizeof *t->sending};
        in[receives++] =
            (struct fuse_message){.peer = from, .data = &t->receiving[from], .bytes = sizeof *t->receiving};
    }
    keep(exec, comm->ops->exchange_start(comm, 0, NULL, out, sends, in, receives, &err), &err);
    keep(exec, comm->ops->exchange_wait(comm, 0, &err), &err);
    t->receiving[comm->rank] = t->sending[comm->rank];
    sends = receives = 0;
    for (int i = 1; i < ranks; i++) {
        int to = (comm->rank + i) % ranks, from = (comm->rank + ranks - i) % ranks;
        if (t->sending[to] > 0)
            out[sends++] = (struct fuse_message){.peer = to,
                                                 .data = t->send + to * t->step->piece_bytes,
                                                 .bytes = (size_t)(t->sending[to] * t->row_bytes)};
        if (t->receiving[from] > 0)
            in[receives++] = (struct fuse_message){.peer = from,
                                                   .data = t->receive + from * t->step->piece_bytes,
                                                   .bytes = (size_t)(t->receiving[from] * t->row_bytes)};
    }
    keep(exec, comm->ops->exchange_start(comm, 0, NULL, out, sends, in, receives, &err), &err);
    keep(exec, comm->ops->exchange_wait(comm, 0, &err), &err);
    if (fuse_exec_fault(exec, FUSE_FAULT_MESSAGE)) {
        struct fuse_error planted = {0};
        keep(exec, fuse_fail(&planted, FUSE_EIO, "a message was lost (planted fault)"), &planted);
    }
    for (int from = 0; from < ranks; from++) {
        const char *rows = (from == comm->rank ? t->send : t->receive) + from * t->step->piece_bytes;
        for (int64_t i = 0; i < t->receiving[from] && exec->status == FUSE_OK; i++)
            add_row(t, rows + i * t->row_bytes);
    }
    memset(t->sending, 0, (size_t)ranks * sizeof *t->sending);
    int64_t any = *more;
    keep(exec, comm->ops->reduce_int64(comm, FUSE_REDUCE_MAX, &any, 1, &err), &err);
    *more = any != 0 && err.status == FUSE_OK;
}

/* Puts a row into the pieces of all ranks that need it; false when one of them is full. */
static bool send_row(struct traffic *t, const struct route *r, const struct fuse_rows *rows, int64_t row) {
    int64_t position[FUSE_MAX_AXES], most = t->step->piece_bytes / t->row_bytes;
    if (!find_position(position, r, rows, row))
        return true;
    int first = find_rank(r, position);
    for (int c = 0; c < r->copies; c++)
        if (t->sending[first + r->copy[c]] == most)
            return false;
    for (int c = 0; c < r->copies; c++) {
        int to = first + r->copy[c];
        char *at = t->send + to * t->step->piece_bytes + t->sending[to]++ * t->row_bytes;
        memcpy(at, position, (size_t)r->tuples.indices * sizeof *position);
        if (r->tuples.dtype != FUSE_BOOL)
            memcpy(at + r->tuples.indices * (int64_t)sizeof *position, &rows->value[row], sizeof(double));
    }
    return true;
}

/* ---- reading ---- */

struct reader {
    struct files files;
    int file; /* the one that is open, or files.n */
    struct fuse_row_source *source;
    struct fuse_rows rows;
    int64_t next;  /* of rows */
    int64_t drawn; /* of this rank's share of drawn points */
};

static void list_files(struct files *files, const struct fuse_ir *ir, int value) {
    int op = ir->values.at[value].op;
    for (int k = 0; k < ir->ops.at[op]->inputs; k++)
        list_files(files, ir, ir->ops.at[op]->input[k].value);
    files->op[files->n++] = op;
}

static enum fuse_status open_file(struct reader *reader, struct fuse_exec *exec, struct fuse_error *err) {
    int o = reader->files.op[reader->file];
    const struct fuse_op *op = exec->plan->ir->ops.at[o];
    const char *part = exec->request->part ? exec->request->part[o] : NULL;
    bool has_value = op->probe.tally->columns > exec->plan->ir->values.at[op->out].rank;
    enum fuse_status st = exec->format[o]->rows_open(&reader->source, exec->request->path[o], part, &op->probe,
                                                     has_value, exec->comm->rank, exec->comm->size, err);
    return fuse_exec_blame(op, st, err);
}

/* The next drawn points of this rank's share. */
static void draw_rows(struct reader *reader, const struct fuse_exec *exec, const struct fuse_draw *draw) {
    int64_t begin = fuse_split_begin(draw->rows, exec->comm->size, exec->comm->rank);
    int64_t end = fuse_split_begin(draw->rows, exec->comm->size, exec->comm->rank + 1), id[FUSE_MAX_AXES + 1];
    struct fuse_rows *rows = &reader->rows;
    for (rows->n = 0; rows->n < rows->most && begin + reader->drawn < end; rows->n++) {
        fuse_draw_row(id, draw, begin + reader->drawn++);
        for (int c = 0; c < rows->columns; c++)
            rows->id[c][rows->n] = id[c];
    }
}

/* The next rows of this rank's share of all files; rows.n 0 at the end. */
static enum fuse_status read_rows(struct reader *reader, struct fuse_exec *exec, struct fuse_error *err) {
    reader->next = reader->rows.n = 0;
    while (reader->file < reader->files.n) {
        int o = reader->files.op[reader->file];
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

/* Fills pieces until one is full; returns whether there is more to send. */
static bool fill_pieces(struct traffic *t, const struct route *r, struct reader *reader) {
    struct fuse_error err = {0};
    while (t->exec->status == FUSE_OK) {
        for (; reader->next < reader->rows.n; reader->next++)
            if (!send_row(t, r, &reader->rows, reader->next))
                return true;
        keep(t->exec, read_rows(reader, t->exec, &err), &err);
        if (reader->rows.n == 0)
            return false;
    }
    return false;
}

static bool open_reader(struct reader *reader, const struct fuse_exec *exec, int value) {
    const struct fuse_value *relation = &exec->plan->ir->values.at[value];
    reader->files.op = calloc((size_t)exec->plan->ir->ops.n, sizeof *reader->files.op);
    if (!reader->files.op)
        return false;
    list_files(&reader->files, exec->plan->ir, value);
    bool has_value = false;
    for (int f = 0; f < reader->files.n; f++)
        has_value |= exec->plan->ir->ops.at[reader->files.op[f]]->probe.tally->columns > relation->rank;
    reader->rows.columns = relation->rank;
    reader->rows.most = ROWS;
    bool fine = true;
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

static void close_reader(struct reader *reader, const struct fuse_exec *exec) {
    if (reader->source)
        exec->format[reader->files.op[reader->file]]->rows_close(reader->source);
    for (int c = 0; c < reader->rows.columns; c++)
        free(reader->rows.id[c]);
    free(reader->rows.value);
    free(reader->files.op);
}

/* ---- sorting ---- */

struct order {
    const char *rows;
    int64_t row_bytes;
    int indices;
    bool has_value;
};

static const int64_t *position_of(const struct order *o, uint32_t row) {
    return (const int64_t *)(o->rows + (int64_t)row * o->row_bytes);
}

static double value_of(const struct order *o, uint32_t row) {
    double value;
    memcpy(&value, position_of(o, row) + o->indices, sizeof value);
    return value;
}

/* Behind the row; equal tuples by value, so that their sum does not depend on how they came. */
static int compare_rows(const void *a, const void *b, void *context) {
    const struct order *o = context;
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    const int64_t *p = position_of(o, x), *q = position_of(o, y);
    for (int k = 1; k < o->indices; k++)
        if (p[k] != q[k])
            return p[k] < q[k] ? -1 : 1;
    if (!o->has_value)
        return 0;
    double v = value_of(o, x), w = value_of(o, y);
    return v < w ? -1 : v > w ? 1 : (v != v) - (w != w);
}

static int compare_keys(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Sorts what came of one compressed row: by the position along index 1, which is looked up once, and only what agrees there by
 * the rest. A row that is too long for `key` is sorted where it is. */
static void sort_row(uint32_t *row, uint32_t n, uint64_t key[KEYS], const struct order *o, uint64_t low) {
    if (o->indices < 2 || n > KEYS) {
        qsort_r(row, n, sizeof *row, compare_rows, (void *)o);
        return;
    }
    for (uint32_t i = 0; i < n; i++)
        key[i] = ((uint64_t)position_of(o, row[i])[1] - low) << 32 | row[i];
    if (n > INSERTION)
        qsort(key, n, sizeof *key, compare_keys);
    else
        for (uint32_t i = 1; i < n; i++) {
            uint64_t moved = key[i];
            uint32_t to = i;
            for (; to > 0 && key[to - 1] > moved; to--)
                key[to] = key[to - 1];
            key[to] = moved;
        }
    for (uint32_t i = 0; i < n; i++)
        row[i] = (uint32_t)key[i];
    for (uint32_t from = 0, to; from < n; from = to) {
        for (to = from + 1; to < n && key[to] >> 32 == key[from] >> 32;)
            to++;
        if (to - from > 1)
            qsort_r(row + from, to - from, sizeof *row, compare_rows, (void *)o);
    }
}

static bool same_tuple(const struct order *o, uint32_t x, uint32_t y) {
    return memcmp(position_of(o, x), position_of(o, y), (size_t)o->indices * sizeof(int64_t)) == 0;
}

static double combine(enum fuse_reduce op, double a, double b) {
    switch (op) {
    case FUSE_REDUCE_PROD: return a * b;
    case FUSE_REDUCE_MIN: return a < b || a != a ? a : b;
    case FUSE_REDUCE_MAX: return a > b || a != a ? a : b;
    default: return a + b;
    }
}

static void store_value(char *to, enum fuse_dtype dtype, int64_t n, double value) {
    if (dtype == FUSE_F32)
        ((float *)to)[n] = (float)value;
    else
        ((double *)to)[n] = value;
}

/* What came, dealt out to the compressed rows: row k is t->order[begin[k - 1] .. begin[k]), of begin[-1] = 0. Of facts with two
 * indices the column itself is dealt, of others the number of what came. Returns the number of compressed rows. */
static int64_t deal(uint32_t *begin, const struct traffic *t, const struct fuse_tuples *tuples,
                    const struct fuse_box *box, const struct order *order, bool is_pairs) {
    int first = tuples->indices > 0 ? tuples->index[0] : -1;
    int64_t low = first >= 0 ? box->lo[first] : 0, rows = 1;
    if (first >= 0)
        rows = box->hi[first] > low ? box->hi[first] - low : 0;
    memset(begin, 0, (size_t)(rows + 1) * sizeof *begin);
    for (int64_t i = 0; i < t->count; i++)
        begin[first >= 0 ? position_of(order, (uint32_t)i)[0] - low + 1 : 1]++;
    for (int64_t row = 0; row < rows; row++)
        begin[row + 1] += begin[row];
    int64_t second = is_pairs ? box->lo[tuples->index[1]] : 0;
    for (int64_t i = 0; i < t->count; i++) {
        const int64_t *position = position_of(order, (uint32_t)i);
        uint32_t dealt = is_pairs ? (uint32_t)(position[1] - second) : (uint32_t)i;
        t->order[begin[first >= 0 ? position[0] - low : 0]++] = dealt;
    }
    return rows;
}

static int compare_columns(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void merge_pairs(uint32_t *begin, uint32_t *column, uint32_t *dealt, int64_t rows) {
    uint32_t n = 0, from = 0;
    for (int64_t row = 0; row < rows; row++) {
        uint32_t end = begin[row], first = n;
        if (end - from > INSERTION)
            qsort(dealt + from, end - from, sizeof *dealt, compare_columns);
        else
            for (uint32_t i = from + 1; i < end; i++) {
                uint32_t moved = dealt[i], to = i;
                for (; to > from && dealt[to - 1] > moved; to--)
                    dealt[to] = dealt[to - 1];
                dealt[to] = moved;
            }
        begin[row] = first;
        for (; from < end; from++)
            if (n == first || column[n - 1] != dealt[from])
                column[n++] = dealt[from];
    }
    begin[rows] = n;
}

/* Sorts what came into compressed rows at `to`; equal tuples become one. */
static void compress(const struct traffic *t, const struct route *r, const struct fuse_box *box,
                     const struct fuse_op *source, char *to) {
    const struct fuse_tuples *tuples = &r->tuples;
    struct order order = {t->rows, t->row_bytes, tuples->indices, tuples->dtype != FUSE_BOOL};
    bool is_pairs = tuples->indices == 2 && !order.has_value;
    uint32_t *begin = (uint32_t *)to, n = 0, from = 0;
    /* Dealing the rows out moves each row's beginning to its end; they are put back as the tuples are written. */
    int64_t rows = deal(begin, t, tuples, box, &order, is_pairs);
    if (is_pairs) {
        merge_pairs(begin, (uint32_t *)(to + tuples->column_offset[1]), t->order, rows);
        return;
    }
    uint64_t second = tuples->indices > 1 ? (uint64_t)box->lo[tuples->index[1]] : 0;
    for (int64_t row = 0; row < rows; row++) {
        uint32_t end = begin[row];
        sort_row(t->order + from, end - from, t->key, &order, second);
        begin[row] = n;
        while (from < end) {
            uint32_t x = t->order[from++];
            double value = order.has_value ? value_of(&order, x) : 1, equal = 1;
            for (; from < end && same_tuple(&order, x, t->order[from]); from++, equal++)
                if (order.has_value)
                    value = combine(source->reduce, value, value_of(&order, t->order[from]));
            if (source->mean)
                value /= equal;
            for (int k = 1; k < tuples->indices; k++)
                ((uint32_t *)(to + tuples->column_offset[k]))[n] =
                    (uint32_t)(position_of(&order, x)[k] - box->lo[tuples->index[k]]);
            if (order.has_value)
                store_value(to + tuples->value_offset, tuples->dtype, n, value);
            n++;
        }
    }
    begin[rows] = n;
}

/* ---- the step ---- */

static bool open_traffic(struct traffic *t, struct fuse_exec *exec, const struct fuse_step *step,
                         const struct fuse_tuples *tuples) {
    int64_t ranks = exec->comm->size;
    char *at = fuse_exec_data(exec, step->staging);
    *t = (struct traffic){.exec = exec, .step = step, .row_bytes = tuples->row_bytes, .most = tuples->most};
    t->sending = (int64_t *)at;
    t->receiving = t->sending + ranks;
    t->send = (char *)(t->receiving + ranks);
    t->receive = t->send + ranks * step->piece_bytes;
    at += (2 * ranks * (step->piece_bytes + (int64_t)sizeof(int64_t)) + 63) / 64 * 64;
    t->rows = at;
    t->order = (uint32_t *)(at + t->most * t->row_bytes);
    memset(t->sending, 0, 2 * (size_t)ranks * sizeof *t->sending);
    t->message = calloc(2 * (size_t)ranks, sizeof *t->message);
    t->key = malloc(KEYS * sizeof *t->key);
    return t->message && t->key;
}

static void store_tuples(struct fuse_exec *exec, const struct fuse_step *step, struct traffic *t,
                         const struct route *r) {
    struct fuse_error err = {0};
    const struct fuse_ir *ir = exec->plan->ir;
    struct fuse_box box = fuse_iteration_box(exec->plan, step->op, &step->partition, -1, -1, exec->comm->rank, 0);
    bool empty = exec->comm->rank >= exec->plan->mesh.used || fuse_box_is_empty(&box);
    for (int i = 0; empty && i < box.rank; i++)
        box.lo[i] = box.hi[i] = 0;
    t->count = empty ? 0 : t->count;
    for (int k = 0; k < r->tuples.indices; k++)
        if (box.hi[r->tuples.index[k]] - box.lo[r->tuples.index[k]] > UINT32_MAX) {
            fuse_fail_at(&err, FUSE_EFAILED, r->op->span,
                         "a rank has more than 2^32 positions of one index of a relation");
            fuse_hint(&err, "use more ranks");
            fuse_exec_fail(exec, FUSE_EFAILED, &err);
            return;
        }
    if (t->count > UINT32_MAX) {
        fuse_fail_at(&err, FUSE_EFAILED, r->op->span, "a rank has more than 2^32 tuples of a relation");
        fuse_hint(&err, "use more ranks");
        fuse_exec_fail(exec, FUSE_EFAILED, &err);
        return;
    }
    const struct fuse_op *source = ir->ops.at[ir->values.at[r->op->input[0].value].op];
    char *to = fuse_exec_data(exec, step->pinned >= 0 ? step->pinned : step->to);
    compress(t, r, &box, source, to);
    if (step->pinned >= 0)
        keep(exec,
             exec->backend->ops->transfer(exec->queue, fuse_exec_data(exec, step->to), FUSE_MEM_DEVICE, to,
                                          FUSE_MEM_PINNED, (size_t)r->tuples.bytes, &err),
             &err);
}

void fuse_exec_tuples(struct fuse_exec *exec, const struct fuse_step *step) {
    struct fuse_error err = {0};
    struct route route = {0};
    struct traffic traffic = {0};
    struct reader reader = {0};
    /* The staging may be in use by transfers of earlier steps. */
    keep(exec, exec->queue->ops->wait(exec->queue, FUSE_QUEUE_ALL, &err), &err);
    bool fine = open_route(&route, exec, step);
    fine &= open_traffic(&traffic, exec, step, &route.tuples);
    if (!fine) /* the others wait for messages */
        fuse_comm_abort(exec->comm, FUSE_EMEMORY);
    if (!open_reader(&reader, exec, route.op->input[0].value))
        keep(exec, fuse_fail(&err, FUSE_EMEMORY, "no memory to read rows"), &err);
    bool more = true;
    while (more) {
        more = fill_pieces(&traffic, &route, &reader);
        exchange(&traffic, &more);
    }
    if (exec->status == FUSE_OK)
        store_tuples(exec, step, &traffic, &route);
    close_reader(&reader, exec);
    free(route.copy);
    free(traffic.message);
    free(traffic.key);
}
