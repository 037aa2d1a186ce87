/* Tuples of a relation come from its files, or from the rules that derive it, to where a join needs them. Every rank has a share
 * of the rows and sends each row to the ranks whose iteration box it lies in, a bounded number at a time; there they are sorted. */
#include "exec/internal.h"
#include "exec/tuple_sort.h"

#include <stdlib.h>
#include <string.h>

enum { ROWS = FUSE_EXEC_ROWS, TABLE_BITS = 10 };

/* How the positions along one index of the relation are dealt out: into parts, part p from begin[p] on, for the ranks to whose
 * numbers part p contributes rank[p]. */
struct lane {
    int64_t parts, *begin; /* [parts + 1] */
    int *rank;             /* [parts] */
    int shift, *guess;     /* [1 << TABLE_BITS]: the part of the first position of each 1 << shift of them */
};

/* Where rows go. */
struct route {
    const struct fuse_plan *plan;
    const struct fuse_op *op;
    struct fuse_tuples tuples;
    struct lane lane[FUSE_MAX_AXES]; /* per relation index */
    int copies, *copy;               /* what mesh dimensions that divide none of them add to the rank */
    /* Of the rows at hand. */
    int64_t position[FUSE_MAX_AXES][ROWS];
    uint64_t row[ROWS * (FUSE_MAX_AXES + 1)]; /* as they travel */
    bool is_out[ROWS];                        /* the operation does not read it */
    int to[ROWS];                             /* the first of the ranks */
};

/* Rows that come in and go out; all in the step's staging. */
struct traffic {
    struct fuse_exec *exec;
    const struct fuse_step *step;
    int64_t row_bytes, capacity;  /* rows of a piece */
    int64_t *sending, *receiving; /* [ranks] rows */
    char *send, *receive;         /* [ranks] pieces of step->piece_bytes */
    int64_t fullest;              /* at least the rows of any piece that goes out */
    struct fuse_message *message; /* [2 * ranks] */
    struct fuse_tuple_sort sort;
};

static void keep(struct fuse_exec *exec, enum fuse_status status, const struct fuse_error *err) {
    if (status != FUSE_OK)
        fuse_exec_fail(exec, status, err);
}

/* ---- routes ---- */

static bool open_lane(struct lane *lane, const struct route *r, const struct fuse_layout *partition, int index,
                      const int weight[FUSE_MESH_MAX]) {
    const struct fuse_mesh *mesh = &r->plan->mesh;
    int64_t extent = r->op->extent[index];
    lane->parts = fuse_layout_parts(partition, mesh, index);
    lane->begin = calloc((size_t)lane->parts + 1, sizeof *lane->begin);
    lane->rank = calloc((size_t)lane->parts, sizeof *lane->rank);
    lane->guess = calloc((size_t)1 << TABLE_BITS, sizeof *lane->guess);
    if (!lane->begin || !lane->rank || !lane->guess)
        return false;
    for (int64_t p = 0; p <= lane->parts; p++)
        lane->begin[p] = fuse_split_begin(extent, lane->parts, p);
    while (extent >> lane->shift > 1 << TABLE_BITS)
        lane->shift++;
    for (int64_t bin = 0, part = 0; bin < 1 << TABLE_BITS; bin++) {
        while (part + 1 < lane->parts && lane->begin[part + 1] <= bin << lane->shift)
            part++;
        lane->guess[bin] = (int)part;
    }
    /* The innermost mesh dimension counts parts one by one. */
    int64_t steps = 1;
    for (int level = mesh->dims - 1; level >= 0; level--)
        for (int d = 0; d < mesh->dims; d++)
            if (partition->axis[d] == index && partition->level[d] == level) {
                for (int64_t p = 0; p < lane->parts; p++)
                    lane->rank[p] += (int)(p / steps % mesh->dim[d]) * weight[d];
                steps *= mesh->dim[d];
            }
    return true;
}

static bool open_route(struct route *r, struct fuse_exec *exec, const struct fuse_step *step) {
    const struct fuse_mesh *mesh = &exec->plan->mesh;
    int weight[FUSE_MESH_MAX];
    r->plan = exec->plan;
    r->op = exec->plan->ir->ops.at[step->op];
    r->tuples = fuse_plan_tuples(exec->plan, step->op, &step->partition);
    for (int d = mesh->dims - 1, n = 1; d >= 0; n *= mesh->dim[d--])
        weight[d] = n;
    bool fine = true, decided[FUSE_MESH_MAX] = {false};
    for (int k = 0; k < r->tuples.indices; k++) {
        fine &= open_lane(&r->lane[k], r, &step->partition, r->tuples.index[k], weight);
        for (int d = 0; d < mesh->dims; d++)
            decided[d] |= step->partition.axis[d] == r->tuples.index[k];
    }
    r->copies = 1;
    for (int d = 0; d < mesh->dims; d++)
        r->copies *= decided[d] ? 1 : mesh->dim[d];
    r->copy = calloc((size_t)r->copies, sizeof *r->copy);
    for (int d = 0, n = 1; r->copy && d < mesh->dims; d++) {
        for (int c = 1; !decided[d] && c < mesh->dim[d]; c++)
            for (int i = 0; i < n; i++)
                r->copy[c * n + i] = r->copy[i] + c * weight[d];
        n *= decided[d] ? 1 : mesh->dim[d];
    }
    return fine && r->copy;
}

static void close_route(struct route *r) {
    for (int k = 0; r && k < FUSE_MAX_AXES; k++) {
        free(r->lane[k].begin);
        free(r->lane[k].rank);
        free(r->lane[k].guess);
    }
    if (r)
        free(r->copy);
    free(r);
}

/* The positions of n rows along the indices of the relation, 0 in those that the operation does not read. */
static void find_positions(struct route *r, const struct fuse_rows *rows, int64_t from, int64_t n) {
    const struct fuse_access *access = &r->op->input[0].access;
    uint64_t found = 0; /* a bit an index */
    memset(r->is_out, 0, (size_t)n * sizeof *r->is_out);
    for (int a = 0; a < access->rank; a++) {
        const struct fuse_access_axis *at = &access->at[a];
        const int64_t *id = rows->id[a] + from;
        if (at->index < 0) {
            for (int64_t i = 0; i < n; i++)
                r->is_out[i] |= id[i] != at->offset;
            continue;
        }
        int k = 0;
        while (r->tuples.index[k] != at->index)
            k++;
        int64_t *position = r->position[k], extent = r->op->extent[at->index];
        bool again = found >> k & 1;
        for (int64_t i = 0; i < n; i++) {
            int64_t steps = id[i] - at->offset;
            if (at->stride != 1) {
                r->is_out[i] |= steps % at->stride != 0;
                steps /= at->stride;
            }
            bool is_out = steps < 0 || steps >= extent || (again && position[i] != steps);
            r->is_out[i] |= is_out;
            position[i] = is_out ? 0 : steps;
        }
        found |= (uint64_t)1 << k;
    }
}

/* The ranks that n rows go to, and their keys. */
static void find_ranks(struct route *r, int64_t n) {
    const struct fuse_tuples *t = &r->tuples;
    int words = (int)(t->row_bytes / (int64_t)sizeof *r->row);
    memset(r->to, 0, (size_t)n * sizeof *r->to);
    memset(r->row, 0, (size_t)(n * t->row_bytes));
    for (int k = 0; k < t->indices; k++) {
        const struct lane *lane = &r->lane[k];
        const int64_t *position = r->position[k];
        uint64_t *key = r->row + t->word[k];
        if (lane->parts == 1) {
            for (int64_t i = 0; i < n; i++)
                key[i * words] |= (uint64_t)position[i] << t->shift[k];
            continue;
        }
        for (int64_t i = 0; i < n; i++) {
            int part = lane->guess[position[i] >> lane->shift];
            while (lane->begin[part + 1] <= position[i])
                part++;
            r->to[i] += lane->rank[part];
            key[i * words] |= (uint64_t)(position[i] - lane->begin[part]) << t->shift[k];
        }
    }
}

/* ---- rounds of messages ---- */

static void add_rows(struct traffic *t, const uint64_t *row, int64_t n) {
    struct fuse_error err = {0};
    if (t->exec->status == FUSE_OK && !fuse_tuple_sort_add(&t->sort, row, n))
        keep(t->exec,
             fuse_fail(&err, FUSE_EINPUT, "a source of '%s' changed after it was probed",
                       t->exec->plan->ir->values.at[t->exec->plan->ir->ops.at[t->step->op]->input[0].value].name),
             &err);
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
    for (int from = 0; from < ranks; from++)
        if (from != comm->rank)
            add_rows(t, (const uint64_t *)(t->receive + from * t->step->piece_bytes), t->receiving[from]);
    memset(t->sending, 0, (size_t)ranks * sizeof *t->sending);
    t->fullest = 0;
    int64_t any = *more;
    keep(exec, comm->ops->reduce_int64(comm, FUSE_REDUCE_MAX, &any, 1, &err), &err);
    *more = any != 0 && err.status == FUSE_OK;
}

/* Where the next row for a rank goes. */
static inline char *place_row(struct traffic *t, int to) {
    return t->send + to * t->step->piece_bytes + t->sending[to]++ * t->row_bytes;
}

static void put_rows(struct traffic *t, const struct route *r, int64_t n) {
    int me = t->exec->comm->rank, words = (int)(t->row_bytes / (int64_t)sizeof(uint64_t));
    /* Rows of this rank take the place of a piece, which is emptied at once. */
    char *own = t->send + me * t->step->piece_bytes;
    for (int64_t i = 0; i < n; i++) {
        if (r->is_out[i])
            continue;
        for (int c = 0; c < r->copies; c++) {
            char *at = place_row(t, r->to[i] + r->copy[c]);
            if (words == 1)
                memcpy(at, &r->row[i], sizeof *r->row);
            else
                memcpy(at, &r->row[i * words], (size_t)t->row_bytes);
        }
    }
    add_rows(t, (const uint64_t *)own, t->sending[me]);
    t->sending[me] = 0;
    t->fullest += n;
}

/* So many rows fit into every piece. */
static int64_t room(struct traffic *t) {
    if (t->fullest + ROWS > t->capacity) {
        t->fullest = 0;
        for (int to = 0; to < t->exec->comm->size; to++)
            t->fullest = t->sending[to] > t->fullest ? t->sending[to] : t->fullest;
    }
    return t->capacity - t->fullest;
}

/* Puts rows [from, ..) into the pieces of all ranks that need them; returns the first that is left: not all fit. */
static int64_t send_rows(struct traffic *t, struct route *r, const struct fuse_rows *rows, int64_t from) {
    const struct fuse_tuples *tuples = &r->tuples;
    int64_t n, words = t->row_bytes / (int64_t)sizeof(uint64_t), few = t->capacity < ROWS ? t->capacity : ROWS;
    for (; from < rows->n; from += n) {
        int64_t fit = room(t);
        n = rows->n - from < few ? rows->n - from : few;
        if (fit < n)
            break;
        find_positions(r, rows, from, n);
        find_ranks(r, n);
        for (int64_t i = 0; i < n && tuples->dtype != FUSE_BOOL; i++)
            r->row[i * words + tuples->words] = tuples->dtype == FUSE_I64
                                                    ? fuse_tuple_order_integer(((const int64_t *)rows->value)[from + i])
                                                    : fuse_tuple_order_value(rows->value[from + i]);
        put_rows(t, r, n);
    }
    return from;
}

/* Fills pieces until one is full; returns whether there is more to send. */
static bool fill_pieces(struct traffic *t, struct route *r, struct fuse_exec_rows *reader) {
    struct fuse_error err = {0};
    while (t->exec->status == FUSE_OK) {
        reader->next = send_rows(t, r, &reader->rows, reader->next);
        if (reader->next < reader->rows.n)
            return true;
        keep(t->exec, fuse_exec_rows_next(reader, t->exec, &err), &err);
        if (reader->rows.n == 0)
            return false;
    }
    return false;
}

/* ---- the step ---- */

/* `own`: memory for the rows that come of a derived relation, beside the plan's; NULL: they lie in the staging. */
static bool open_traffic(struct traffic *t, struct fuse_exec *exec, const struct fuse_step *step,
                         const struct fuse_tuples *tuples, char *own) {
    int64_t ranks = exec->comm->size;
    struct fuse_error err = {0};
    char *at = fuse_exec_data(exec, step->staging);
    *t = (struct traffic){.exec = exec, .step = step, .row_bytes = tuples->row_bytes};
    t->capacity = step->piece_bytes / t->row_bytes;
    t->sending = (int64_t *)at;
    t->receiving = t->sending + ranks;
    t->send = (char *)(t->receiving + ranks);
    t->receive = t->send + ranks * step->piece_bytes;
    at += (2 * ranks * (step->piece_bytes + (int64_t)sizeof(int64_t)) + 63) / 64 * 64;
    memset(t->sending, 0, 2 * (size_t)ranks * sizeof *t->sending);
    t->message = calloc(2 * (size_t)ranks, sizeof *t->message);
    return fuse_tuple_sort_open(&t->sort, tuples, own ? own : at, &err) == FUSE_OK && t->message;
}

/* pinned: where they are made when the plan has no place for that and theirs is a device's; else NULL. */
static void store_tuples(struct fuse_exec *exec, const struct fuse_step *step, struct traffic *t, const struct route *r,
                         char *pinned) {
    struct fuse_error err = {0};
    const struct fuse_ir *ir = exec->plan->ir;
    struct fuse_box box = fuse_iteration_box(exec->plan, step->op, &step->partition, -1, -1, exec->comm->rank, 0, 0);
    bool empty = exec->comm->rank >= exec->plan->mesh.used;
    for (int k = 0; k < r->tuples.indices; k++)
        if (!empty && box.hi[r->tuples.index[k]] - box.lo[r->tuples.index[k]] > UINT32_MAX) {
            fuse_fail_at(&err, FUSE_EFAILED, r->op->span,
                         "a rank has more than 2^32 positions of one index of a relation");
            fuse_hint(&err, "use more ranks");
            fuse_exec_fail(exec, FUSE_EFAILED, &err);
            return;
        }
    if (t->sort.count > UINT32_MAX) {
        fuse_fail_at(&err, FUSE_EFAILED, r->op->span, "a rank has more than 2^32 tuples of a relation");
        fuse_hint(&err, "use more ranks");
        fuse_exec_fail(exec, FUSE_EFAILED, &err);
        return;
    }
    const struct fuse_op *source = ir->ops.at[ir->values.at[r->op->input[0].value].op];
    char *to = pinned ? pinned : fuse_exec_data(exec, step->pinned >= 0 ? step->pinned : step->to);
    int first = r->tuples.indices > 0 ? r->tuples.index[0] : -1;
    if (!empty)
        fuse_tuple_sort_write(&t->sort, first < 0 ? 1 : box.hi[first] - box.lo[first], source->reduce, source->mean,
                              to);
    if (pinned || step->pinned >= 0)
        keep(exec,
             exec->backend->ops->transfer(exec->queue, fuse_exec_data(exec, step->to), FUSE_MEM_DEVICE, to,
                                          FUSE_MEM_PINNED, (size_t)r->tuples.bytes, &err),
             &err);
}

/* ---- tuples of which nobody knew how many there are ---- */

/* Memory beside the plan's. */
struct extra {
    char *rows, *pinned; /* unsorted; sorted, for a device */
    size_t rows_bytes, pinned_bytes;
};

/* Collective. Sets the number of tuples that will come to this rank. */
static enum fuse_status count_tuples(struct route *r, struct fuse_exec *exec, struct fuse_error *err) {
    int ranks = exec->comm->size;
    int64_t *to = calloc((size_t)ranks, sizeof *to);
    struct fuse_exec_rows reader;
    bool fine = fuse_exec_rows_open(&reader, exec, r->op->input[0].value) && to;
    enum fuse_status st = fine ? FUSE_OK : fuse_fail(err, FUSE_EMEMORY, "no memory to count tuples");
    while (st == FUSE_OK && (st = fuse_exec_rows_next(&reader, exec, err)) == FUSE_OK && reader.rows.n > 0) {
        find_positions(r, &reader.rows, 0, reader.rows.n);
        find_ranks(r, reader.rows.n);
        for (int64_t i = 0; i < reader.rows.n; i++)
            for (int c = 0; c < r->copies && !r->is_out[i]; c++)
                to[r->to[i] + r->copy[c]]++;
    }
    fuse_exec_rows_close(&reader, exec);
    st = fuse_agree(exec->comm, st, err);
    if (st == FUSE_OK)
        st = exec->comm->ops->reduce_int64(exec->comm, FUSE_REDUCE_SUM, to, ranks, err);
    if (st == FUSE_OK)
        r->tuples.most = to[exec->comm->rank];
    free(to);
    return st;
}

static enum fuse_status take_memory(struct fuse_exec *exec, const struct fuse_step *step, const struct route *r,
                                    struct extra *extra, struct fuse_error *err) {
    struct fuse_exec_own *own = &exec->own[step->to];
    const struct fuse_backend_ops *ops = exec->backend->ops;
    enum fuse_memkind kind = exec->plan->buffers.at[step->to].kind;
    extra->rows_bytes = ((size_t)r->tuples.unsorted_bytes + 64) / 64 * 64;
    extra->pinned_bytes = kind == FUSE_MEM_DEVICE ? (size_t)r->tuples.bytes : 0;
    int64_t need = fuse_sat_add((int64_t)(extra->rows_bytes + extra->pinned_bytes), r->tuples.bytes);
    if (need > fuse_exec_relation_room(exec)) {
        fuse_fail_at(err, FUSE_EMEMORY, r->op->span,
                     "a rank needs %lld MiB for its %lld tuples of '%s', more than --mem-per-rank leaves",
                     (long long)(need >> 20), (long long)r->tuples.most,
                     exec->plan->ir->values.at[r->op->input[0].value].name);
        fuse_hint(err, "use more ranks, or more memory for each");
        return err->status;
    }
    void *at = NULL;
    FUSE_TRY(ops->memory_open(exec->backend, &at, kind, (size_t)r->tuples.bytes, err));
    *own = (struct fuse_exec_own){.at = at, .bytes = (size_t)r->tuples.bytes, .tuples = r->tuples, .next = exec->held};
    exec->held = own;
    exec->relation_bytes += r->tuples.bytes;
    extra->rows = aligned_alloc(64, extra->rows_bytes);
    if (!extra->rows)
        return fuse_fail(err, FUSE_EMEMORY, "no memory for tuples");
    if (extra->pinned_bytes > 0) {
        FUSE_TRY(ops->memory_open(exec->backend, &at, FUSE_MEM_PINNED, extra->pinned_bytes, err));
        extra->pinned = at;
    }
    return FUSE_OK;
}

/* Collective: false when they cannot be brought, on every rank alike. */
static bool prepare_derived(struct fuse_exec *exec, const struct fuse_step *step, struct route *r,
                            struct extra *extra) {
    struct fuse_error err = {0};
    enum fuse_status st = fuse_agree(exec->comm, exec->status, &exec->error);
    if (st != FUSE_OK) {
        keep(exec, st, &exec->error);
        return false;
    }
    st = count_tuples(r, exec, &err);
    if (st == FUSE_OK) {
        fuse_tuples_place(&r->tuples);
        st = fuse_agree(exec->comm, take_memory(exec, step, r, extra, &err), &err);
    }
    keep(exec, st, &err);
    return st == FUSE_OK;
}

void fuse_exec_tuples(struct fuse_exec *exec, const struct fuse_step *step) {
    struct fuse_error err = {0};
    struct traffic traffic = {0};
    struct fuse_exec_rows reader = {0};
    struct extra extra = {0};
    /* The staging may be in use by transfers of earlier steps. */
    keep(exec, exec->queue->ops->wait(exec->queue, FUSE_QUEUE_ALL, &err), &err);
    struct route *route = calloc(1, sizeof *route);
    if (!route || !open_route(route, exec, step)) /* the others wait for messages */
        fuse_comm_abort(exec->comm, FUSE_EMEMORY);
    bool derived = fuse_is_derived(exec->plan->ir, route->op->input[0].value);
    if (derived && !prepare_derived(exec, step, route, &extra))
        goto close_it;
    if (!open_traffic(&traffic, exec, step, &route->tuples, extra.rows))
        fuse_comm_abort(exec->comm, FUSE_EMEMORY);
    if (!fuse_exec_rows_open(&reader, exec, route->op->input[0].value))
        keep(exec, fuse_fail(&err, FUSE_EMEMORY, "no memory to read rows"), &err);
    bool more = true;
    while (more) {
        more = fill_pieces(&traffic, route, &reader);
        exchange(&traffic, &more);
    }
    if (exec->status == FUSE_OK)
        store_tuples(exec, step, &traffic, route, extra.pinned);
    if (extra.pinned) { /* until the transfer is done */
        keep(exec, exec->queue->ops->wait(exec->queue, FUSE_QUEUE_ALL, &err), &err);
        exec->backend->ops->memory_close(exec->backend, extra.pinned, FUSE_MEM_PINNED, extra.pinned_bytes);
    }
    fuse_exec_rows_close(&reader, exec);
close_it:
    fuse_tuple_sort_close(&traffic.sort);
    free(extra.rows);
    free(traffic.message);
    close_route(route);
}
