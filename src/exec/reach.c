#include "exec/reach.h"

#include "backend/closure.h"
#include "core/box.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define REDUCED 65536 /* numbers at a time */

struct fuse_reach {
    struct fuse_reach_request request;
    struct fuse_closure *closure;
    struct fuse_closure_result *result;
    int64_t count, base_pairs, step_pairs; /* on all ranks */
    /* Before the sort of this rank's blocks, then of all. */
    int64_t *row_count;  /* [classes] */
    int64_t *first;      /* [rows + 1]: the place of each x's first pair */
    int64_t begin, end;  /* the places that this rank has */
    char **arrived;      /* [ranks]: rows of each rank's blocks, one behind the other */
    const char **row_at; /* [classes]: there; NULL: in a block of this rank, or of no use */
    int64_t arrived_bytes;
    int64_t next, x; /* the place that the last read ended at, in the row of x */
    uint64_t at;     /* in the row: a bit or an id */
};

/* ---- relations to every rank ----------------------------------------------------------------------------------------- */

/* All ranks' columns one behind the other; begin[r], [ranks + 1]: where rank r's part is. */
static enum fuse_status gather_column(struct fuse_comm *comm, int64_t *all, const int64_t *mine, const int64_t *begin,
                                      struct fuse_message *message, struct fuse_error *err) {
    struct fuse_message *receive = message + comm->size;
    const int64_t n = begin[comm->rank + 1] - begin[comm->rank];
    int peers = 0;
    if (n > 0)
        memcpy(all + begin[comm->rank], mine, (size_t)n * sizeof *mine);
    for (int r = 0; r < comm->size; r++) {
        if (r == comm->rank)
            continue;
        message[peers] = (struct fuse_message){r, all + begin[comm->rank], (size_t)n * sizeof *mine};
        receive[peers++] = (struct fuse_message){r, all + begin[r], (size_t)(begin[r + 1] - begin[r]) * sizeof *all};
    }
    enum fuse_status status = comm->ops->exchange_start(comm, 0, NULL, message, peers, receive, peers, err);
    if (status == FUSE_EMEMORY || status == FUSE_EBUG)
        fuse_comm_abort(comm, (int)status);
    const enum fuse_status waited = comm->ops->exchange_wait(comm, 0, err);
    return fuse_agree(comm, status != FUSE_OK ? status : waited, err);
}

/* Collective. A status of MEMORY is a reason to give up this way, and no failure. */
static enum fuse_status agree_on_memory(struct fuse_reach *reach, enum fuse_status status, bool *fits,
                                        struct fuse_error *err) {
    struct fuse_comm *comm = reach->request.comm;
    int64_t lacks = status == FUSE_EMEMORY;
    if (status == FUSE_EMEMORY)
        *err = (struct fuse_error){0};
    FUSE_TRY(comm->ops->reduce_int64(comm, FUSE_REDUCE_SUM, &lacks, 1, err));
    *fits = lacks == 0;
    return fuse_agree(comm, status == FUSE_EMEMORY ? FUSE_OK : status, err);
}

static enum fuse_status gather(struct fuse_reach *reach, struct fuse_adjacency *out,
                               const struct fuse_reach_pairs *mine, int64_t rows, bool *fits, struct fuse_error *err) {
    struct fuse_comm *comm = reach->request.comm;
    int64_t *begin = calloc((size_t)comm->size + 1, sizeof *begin), total, *from = NULL, *to = NULL;
    struct fuse_message *message = calloc(2 * (size_t)comm->size, sizeof *message);
    enum fuse_status status = FUSE_OK;
    if (begin == NULL || message == NULL)
        status = FUSE_EMEMORY;
    FUSE_TRY_GOTO(status, agree_on_memory(reach, status, fits, err), free_all);
    if (!*fits)
        goto free_all;
    begin[comm->rank + 1] = mine->n;
    FUSE_TRY_GOTO(status, comm->ops->reduce_int64(comm, FUSE_REDUCE_SUM, begin + 1, comm->size, err), free_all);
    for (int r = 0; r < comm->size; r++)
        begin[r + 1] += begin[r];
    total = begin[comm->size];
    from = malloc(((size_t)total + 1) * sizeof *from);
    to = malloc(((size_t)total + 1) * sizeof *to);
    FUSE_TRY_GOTO(status, agree_on_memory(reach, from == NULL || to == NULL ? FUSE_EMEMORY : FUSE_OK, fits, err),
                  free_all);
    if (!*fits)
        goto free_all;
    FUSE_TRY_GOTO(status, gather_column(comm, from, mine->from, begin, message, err), free_all);
    FUSE_TRY_GOTO(status, gather_column(comm, to, mine->to, begin, message, err), free_all);
    status = fuse_adjacency_open(out, rows, reach->request.columns, total, from, to, err);
    status = agree_on_memory(reach, status, fits, err);
free_all:
    free(begin);
    free(message);
    free(from);
    free(to);
    return status;
}

/* ---- blocks ---------------------------------------------------------------------------------------------------------- */

/* Bytes that every rank takes before there is a block; SIZE_MAX: beyond what this way can do. */
static size_t bytes_before(const struct fuse_reach *reach) {
    const struct fuse_reach_request *q = &reach->request;
    const int64_t base = q->base_is_step ? 0 : reach->base_pairs, step = reach->step_pairs;
    if (q->rows >= UINT32_MAX || q->columns >= UINT32_MAX)
        return SIZE_MAX;
    const int64_t most = base > step ? base : step;
    return fuse_adjacency_bytes(q->columns, step) + fuse_adjacency_bytes(q->base_is_step ? 0 : q->rows, base) +
           (size_t)most * 16 + fuse_closure_open_bytes(q->rows, q->columns, q->base_is_step ? step : base, step);
}

static int owner_of(const struct fuse_reach *reach, int64_t class) {
    return (int)(class / FUSE_CLOSURE_BLOCK % reach->request.comm->size);
}

static void place_rows(struct fuse_reach *reach) {
    for (int64_t x = 0; x < reach->request.rows; x++) {
        const int64_t class = fuse_closure_class_of(reach->closure, x);
        reach->first[x + 1] = reach->first[x] + (class < 0 ? 0 : reach->row_count[class]);
    }
}

static int64_t table_bytes(const struct fuse_reach *reach) {
    return (reach->request.rows + 1 + 2 * fuse_closure_classes(reach->closure)) * (int64_t)sizeof(int64_t);
}

/* What this rank has is what its blocks have. */
static enum fuse_status place_own_rows(struct fuse_reach *reach, struct fuse_error *err) {
    const size_t classes = (size_t)fuse_closure_classes(reach->closure) + 1;
    reach->row_count = calloc(classes, sizeof *reach->row_count);
    reach->first = calloc((size_t)reach->request.rows + 1, sizeof *reach->first);
    reach->row_at = calloc(classes, sizeof *reach->row_at);
    reach->arrived = calloc((size_t)reach->request.comm->size, sizeof *reach->arrived);
    if (!reach->row_count || !reach->first || !reach->row_at || !reach->arrived)
        return fuse_fail(err, FUSE_EMEMORY, "no memory for the rows of a closure");
    for (int64_t k = 0; k < fuse_closure_classes(reach->closure); k++)
        if (owner_of(reach, k) == reach->request.comm->rank)
            reach->row_count[k] = fuse_closure_row_of_class(reach->result, k).n;
    place_rows(reach);
    reach->end = reach->first[reach->request.rows];
    reach->next = -1;
    return FUSE_OK;
}

static enum fuse_status compute(struct fuse_reach *reach, const struct fuse_adjacency *base,
                                const struct fuse_adjacency *step, size_t before, struct fuse_error *err) {
    const struct fuse_reach_request *q = &reach->request;
    const struct fuse_closure_question question = {.step = step, .base = q->base_is_step ? NULL : base};
    FUSE_TRY(fuse_closure_open(&reach->closure, &question, err));
    const size_t taken = before + (size_t)table_bytes(reach);
    if (q->memory_bytes > 0 && taken >= (size_t)q->memory_bytes)
        return FUSE_EMEMORY;
    const struct fuse_closure_options options = {
        .threads = q->threads, .budget_bytes = q->memory_bytes > 0 ? (size_t)q->memory_bytes - taken : 0};
    FUSE_TRY(fuse_closure_result_open(&reach->result, reach->closure, &options, err));
    FUSE_TRY(
        fuse_closure_compute(reach->result, q->comm->rank, fuse_closure_blocks(reach->closure), q->comm->size, err));
    fuse_closure_result_finish(reach->result);
    return place_own_rows(reach, err);
}

static enum fuse_status open_blocks(struct fuse_reach *reach, bool *fits, struct fuse_error *err) {
    const struct fuse_reach_request *q = &reach->request;
    struct fuse_adjacency base = {0}, step = {0};
    int64_t n[2] = {q->base_is_step ? 0 : q->base.n, q->step.n};
    FUSE_TRY(q->comm->ops->reduce_int64(q->comm, FUSE_REDUCE_SUM, n, 2, err));
    reach->base_pairs = n[0];
    reach->step_pairs = n[1];
    const size_t before = bytes_before(reach);
    const bool lacks = before == SIZE_MAX || (q->memory_bytes > 0 && before >= (size_t)q->memory_bytes);
    FUSE_TRY(agree_on_memory(reach, lacks ? FUSE_EMEMORY : FUSE_OK, fits, err));
    enum fuse_status status = FUSE_OK;
    if (*fits)
        status = gather(reach, &step, &q->step, q->columns, fits, err);
    if (status == FUSE_OK && *fits && !q->base_is_step)
        status = gather(reach, &base, &q->base, q->rows, fits, err);
    if (status == FUSE_OK && *fits)
        status = agree_on_memory(reach, compute(reach, &base, &step, before, err), fits, err);
    fuse_adjacency_close(&base);
    fuse_adjacency_close(&step);
    if (status != FUSE_OK || !*fits)
        return status;
    reach->count = fuse_closure_count(reach->result);
    return q->comm->ops->reduce_int64(q->comm, FUSE_REDUCE_SUM, &reach->count, 1, err);
}

enum fuse_status fuse_reach_open(struct fuse_reach **out, const struct fuse_reach_request *request,
                                 struct fuse_error *err) {
    struct fuse_reach *reach = calloc(1, sizeof *reach);
    FUSE_TRY(fuse_agree(request->comm,
                        reach != NULL ? FUSE_OK : fuse_fail(err, FUSE_EMEMORY, "no memory for a closure"), err));
    reach->request = *request;
    bool fits = true;
    enum fuse_status status = open_blocks(reach, &fits, err);
    if (status != FUSE_OK || !fits) {
        fuse_reach_close(reach);
        reach = NULL;
    }
    if (status == FUSE_OK)
        *out = reach;
    return status;
}

void fuse_reach_close(struct fuse_reach *reach) {
    if (reach == NULL)
        return;
    for (int r = 0; reach->arrived != NULL && r < reach->request.comm->size; r++)
        free(reach->arrived[r]);
    free(reach->arrived);
    free(reach->row_at);
    free(reach->row_count);
    free(reach->first);
    fuse_closure_result_close(reach->result);
    fuse_closure_close(reach->closure);
    free(reach);
}

int64_t fuse_reach_count(const struct fuse_reach *reach) {
    return reach->count;
}

int64_t fuse_reach_bytes(const struct fuse_reach *reach) {
    return (int64_t)fuse_closure_result_bytes(reach->result) + table_bytes(reach) + reach->arrived_bytes;
}

/* ---- the sort -------------------------------------------------------------------------------------------------------- */

static bool is_bits(const struct fuse_reach *reach, int64_t class) {
    return reach->row_count[class] >= 2 * fuse_closure_row_words(reach->closure);
}

/* Of a row on its way: bits, or ids, whichever takes less. */
static int64_t row_bytes(const struct fuse_reach *reach, int64_t class) {
    return 8 * (is_bits(reach, class) ? fuse_closure_row_words(reach->closure) : (reach->row_count[class] + 1) / 2);
}

/* The last x whose first pair is at `place` or before. */
static int64_t x_at(const struct fuse_reach *reach, int64_t place) {
    int64_t low = 0, high = reach->request.rows;
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (reach->first[middle + 1] <= place)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Marks the classes of the rows that a rank has after the sort. */
static void mark_rows(bool *marked, const struct fuse_reach *reach, int rank) {
    const int64_t begin = fuse_split_begin(reach->count, reach->request.comm->size, rank),
                  end = fuse_split_begin(reach->count, reach->request.comm->size, rank + 1);
    memset(marked, 0, (size_t)fuse_closure_classes(reach->closure) * sizeof *marked);
    for (int64_t x = x_at(reach, begin); x < reach->request.rows && reach->first[x] < end; x++) {
        const int64_t class = fuse_closure_class_of(reach->closure, x);
        if (class >= 0)
            marked[class] = true;
    }
}

static int64_t marked_bytes(const struct fuse_reach *reach, const bool *marked, int owner) {
    int64_t bytes = 0;
    for (int64_t k = 0; k < fuse_closure_classes(reach->closure); k++)
        if (marked[k] && owner_of(reach, k) == owner)
            bytes += row_bytes(reach, k);
    return bytes;
}

static void pack_rows(char *to, const struct fuse_reach *reach, const bool *marked) {
    const int64_t words = fuse_closure_row_words(reach->closure);
    for (int64_t k = 0; k < fuse_closure_classes(reach->closure); k++) {
        if (!marked[k] || owner_of(reach, k) != reach->request.comm->rank)
            continue;
        const struct fuse_closure_row row = fuse_closure_row_of_class(reach->result, k);
        if (is_bits(reach, k) && row.bits != NULL)
            memcpy(to, row.bits, (size_t)words * 8);
        else if (!is_bits(reach, k) && row.id != NULL)
            memcpy(to, row.id, (size_t)row.n * 4);
        else if (row.id != NULL) {
            memset(to, 0, (size_t)words * 8);
            for (int64_t i = 0; i < row.n; i++)
                ((uint64_t *)to)[row.id[i] >> 6] |= (uint64_t)1 << (row.id[i] & 63);
        } else {
            uint32_t *id = (uint32_t *)to;
            for (int64_t p = 0; p < words; p++)
                for (uint64_t bits = row.bits[p]; bits != 0; bits &= bits - 1)
                    *id++ = (uint32_t)(p << 6) | (uint32_t)__builtin_ctzll(bits);
        }
        to += row_bytes(reach, k);
    }
}

/* Where each row is among those that have arrived from its owner. */
static void find_rows(struct fuse_reach *reach, const bool *marked, int owner) {
    const char *at = reach->arrived[owner];
    for (int64_t k = 0; k < fuse_closure_classes(reach->closure); k++)
        if (marked[k] && owner_of(reach, k) == owner) {
            reach->row_at[k] = at;
            at += row_bytes(reach, k);
        }
}

/* One peer to send to and one to receive from at a time: a rank has one peer's rows twice at most. */
static enum fuse_status exchange_rows(struct fuse_reach *reach, bool *marked, int64_t room, struct fuse_error *err) {
    struct fuse_comm *comm = reach->request.comm;
    for (int turn = 1; turn < comm->size; turn++) {
        const int to = (comm->rank + turn) % comm->size, from = (comm->rank + comm->size - turn) % comm->size;
        mark_rows(marked, reach, to);
        const int64_t send = marked_bytes(reach, marked, comm->rank);
        char *packed = reach->arrived_bytes + send > room ? NULL : malloc((size_t)send + 8);
        if (packed != NULL)
            pack_rows(packed, reach, marked);
        mark_rows(marked, reach, comm->rank);
        const int64_t receive = marked_bytes(reach, marked, from);
        if (reach->arrived_bytes + send + receive <= room)
            reach->arrived[from] = malloc((size_t)receive + 8);
        enum fuse_status status = FUSE_OK;
        if (packed == NULL || reach->arrived[from] == NULL)
            status =
                fuse_fail(err, FUSE_EMEMORY, "not enough memory to sort %" PRId64 " pairs of a closure", reach->count);
        status = fuse_agree(comm, status, err);
        if (status == FUSE_OK) {
            const struct fuse_message out = {to, packed, (size_t)send},
                                      in = {from, reach->arrived[from], (size_t)receive};
            status = comm->ops->exchange_start(comm, 0, NULL, &out, 1, &in, 1, err);
            if (status == FUSE_EMEMORY || status == FUSE_EBUG)
                fuse_comm_abort(comm, (int)status);
            const enum fuse_status waited = comm->ops->exchange_wait(comm, 0, err);
            reach->arrived_bytes += receive;
            find_rows(reach, marked, from);
            status = fuse_agree(comm, status != FUSE_OK ? status : waited, err);
        }
        free(packed);
        FUSE_TRY(status);
    }
    return FUSE_OK;
}

/* Collective. From counts of this rank's rows to those of all. */
static enum fuse_status share_counts(struct fuse_reach *reach, struct fuse_error *err) {
    struct fuse_comm *comm = reach->request.comm;
    const int64_t classes = fuse_closure_classes(reach->closure);
    for (int64_t k = 0; k < classes; k += REDUCED) {
        const int some = classes - k > REDUCED ? REDUCED : (int)(classes - k);
        FUSE_TRY(comm->ops->reduce_int64(comm, FUSE_REDUCE_SUM, reach->row_count + k, some, err));
    }
    place_rows(reach);
    return FUSE_OK;
}

enum fuse_status fuse_reach_sort(struct fuse_reach *reach, struct fuse_error *err) {
    struct fuse_comm *comm = reach->request.comm;
    const int64_t limit = reach->request.memory_bytes > 0 ? reach->request.memory_bytes : INT64_MAX;
    if (comm->size == 1)
        return FUSE_OK;
    bool *marked = malloc(((size_t)fuse_closure_classes(reach->closure) + 1) * sizeof *marked);
    enum fuse_status status = FUSE_OK;
    if (!marked || fuse_reach_bytes(reach) > limit)
        status = fuse_fail(err, FUSE_EMEMORY, "not enough memory to sort %" PRId64 " pairs of a closure", reach->count);
    FUSE_TRY_GOTO(status, fuse_agree(comm, status, err), free_marked);
    FUSE_TRY_GOTO(status, share_counts(reach, err), free_marked);
    reach->begin = fuse_split_begin(reach->count, comm->size, comm->rank);
    reach->end = fuse_split_begin(reach->count, comm->size, comm->rank + 1);
    reach->next = -1;
    status = exchange_rows(reach, marked, limit - fuse_reach_bytes(reach), err);
free_marked:
    free(marked);
    return status;
}

int64_t fuse_reach_held(const struct fuse_reach *reach) {
    return reach->end - reach->begin;
}

static struct fuse_closure_row row_of(const struct fuse_reach *reach, int64_t class) {
    const char *at = reach->row_at[class];
    if (at == NULL)
        return fuse_closure_row_of_class(reach->result, class);
    if (is_bits(reach, class))
        return (struct fuse_closure_row){.n = reach->row_count[class], .bits = (const uint64_t *)at};
    return (struct fuse_closure_row){.n = reach->row_count[class], .id = (const uint32_t *)at};
}

/* Goes to a place: its x, and behind what comes before it in the row. */
static void seek(struct fuse_reach *reach, int64_t place) {
    reach->x = x_at(reach, place);
    reach->at = 0;
    reach->next = place;
    const int64_t class = fuse_closure_class_of(reach->closure, reach->x);
    if (class >= 0)
        fuse_closure_row_skip(&reach->at, reach->closure, row_of(reach, class), place - reach->first[reach->x]);
}

void fuse_reach_read(struct fuse_reach *reach, int64_t begin, int64_t n, int64_t *x, int64_t *z) {
    if (n <= 0)
        return;
    if (reach->next != reach->begin + begin)
        seek(reach, reach->begin + begin);
    for (int64_t got = 0; got < n;) {
        const int64_t class = fuse_closure_class_of(reach->closure, reach->x);
        int64_t some = 0;
        if (class >= 0)
            some = fuse_closure_row_read(z + got, &reach->at, reach->closure, row_of(reach, class), n - got);
        for (int64_t i = 0; i < some; i++)
            x[got + i] = reach->x;
        got += some;
        reach->next += some;
        if (got < n) {
            reach->x++;
            reach->at = 0;
        }
    }
}
