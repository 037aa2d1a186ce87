#include "exec/reach_internal.h"

#include "core/box.h"

#include <stdlib.h>
#include <string.h>

#define SUMMED 65536 /* numbers at a time */

/* ---- relations to every rank ----------------------------------------------------------------------------------------- */

static bool is_taker(const bool *takes, int rank) {
    return takes == NULL || takes[rank];
}

/* All ranks' columns one behind the other, on ranks that take them; begin[r], [ranks + 1]: where rank r's part is. */
static enum fuse_status gather_column(struct fuse_comm *comm, int64_t *all, const bool *takes, const int64_t *mine,
                                      const int64_t *begin, struct fuse_message *message, struct fuse_error *err) {
    struct fuse_message *receive = message + comm->size;
    const int64_t n = begin[comm->rank + 1] - begin[comm->rank];
    int sends = 0, receives = 0;
    if (n > 0 && is_taker(takes, comm->rank))
        memcpy(all + begin[comm->rank], mine, (size_t)n * sizeof *mine);
    for (int r = 0; r < comm->size; r++) {
        if (r == comm->rank)
            continue;
        if (is_taker(takes, r))
            message[sends++] =
                (struct fuse_message){.peer = r, .data = (void *)mine, .bytes = (size_t)n * sizeof *mine};
        if (is_taker(takes, comm->rank))
            receive[receives++] = (struct fuse_message){
                .peer = r, .data = all + begin[r], .bytes = (size_t)(begin[r + 1] - begin[r]) * sizeof *all};
    }
    enum fuse_status status = comm->ops->exchange_start(comm, 0, NULL, message, sends, receive, receives, err);
    if (status == FUSE_EMEMORY || status == FUSE_EBUG)
        fuse_comm_abort(comm, (int)status);
    const enum fuse_status waited = comm->ops->exchange_wait(comm, 0, err);
    return fuse_agree(comm, status != FUSE_OK ? status : waited, err);
}

enum fuse_status fuse_reach_fits(bool *fits, struct fuse_reach *reach, enum fuse_status status,
                                 struct fuse_error *err) {
    struct fuse_comm *comm = reach->request.comm;
    int64_t lacks = status == FUSE_EMEMORY;
    if (status == FUSE_EMEMORY)
        *err = (struct fuse_error){0};
    FUSE_TRY(comm->ops->reduce_int64(comm, FUSE_REDUCE_SUM, &lacks, 1, err));
    *fits = lacks == 0;
    return fuse_agree(comm, status == FUSE_EMEMORY ? FUSE_OK : status, err);
}

enum fuse_status fuse_reach_gather(struct fuse_adjacency *out, struct fuse_reach *reach, const bool *takes,
                                   const struct fuse_reach_pairs *mine, int64_t rows, int64_t columns, bool *fits,
                                   struct fuse_error *err) {
    struct fuse_comm *comm = reach->request.comm;
    int64_t *begin = calloc((size_t)comm->size + 1, sizeof *begin), total, *from = NULL, *to = NULL;
    size_t room;
    struct fuse_message *message = calloc(2 * (size_t)comm->size, sizeof *message);
    enum fuse_status status = FUSE_OK;
    if (begin == NULL || message == NULL)
        status = FUSE_EMEMORY;
    FUSE_TRY_GOTO(status, fuse_reach_fits(fits, reach, status, err), free_all);
    if (!*fits)
        goto free_all;
    begin[comm->rank + 1] = mine->n;
    FUSE_TRY_GOTO(status, comm->ops->reduce_int64(comm, FUSE_REDUCE_SUM, begin + 1, comm->size, err), free_all);
    for (int r = 0; r < comm->size; r++)
        begin[r + 1] += begin[r];
    total = begin[comm->size];
    room = is_taker(takes, comm->rank) ? (size_t)total : 0;
    from = malloc((room + 1) * sizeof *from);
    to = malloc((room + 1) * sizeof *to);
    FUSE_TRY_GOTO(status, fuse_reach_fits(fits, reach, from == NULL || to == NULL ? FUSE_EMEMORY : FUSE_OK, err),
                  free_all);
    if (!*fits)
        goto free_all;
    FUSE_TRY_GOTO(status, gather_column(comm, from, takes, mine->from, begin, message, err), free_all);
    FUSE_TRY_GOTO(status, gather_column(comm, to, takes, mine->to, begin, message, err), free_all);
    if (is_taker(takes, comm->rank))
        status = fuse_adjacency_open(out, rows, columns, total, from, to, err);
    status = fuse_reach_fits(fits, reach, status, err);
free_all:
    free(begin);
    free(message);
    free(from);
    free(to);
    return status;
}

enum fuse_status fuse_reach_sum(struct fuse_comm *comm, int64_t *values, int64_t n, struct fuse_error *err) {
    for (int64_t k = 0; k < n; k += SUMMED) {
        const int some = n - k > SUMMED ? SUMMED : (int)(n - k);
        FUSE_TRY(comm->ops->reduce_int64(comm, FUSE_REDUCE_SUM, values + k, some, err));
    }
    return FUSE_OK;
}

/* ---- open, close ----------------------------------------------------------------------------------------------------- */

enum fuse_status fuse_reach_open(struct fuse_reach **out, const struct fuse_reach_request *request,
                                 struct fuse_error *err) {
    struct fuse_reach *reach = calloc(1, sizeof *reach);
    FUSE_TRY(fuse_agree(request->comm,
                        reach != NULL ? FUSE_OK : fuse_fail(err, FUSE_EMEMORY, "no memory for a closure"), err));
    reach->request = *request;
    bool fits = true;
    enum fuse_status status =
        request->is_two_sided ? fuse_reach_open_sides(reach, &fits, err) : fuse_reach_open_blocks(reach, &fits, err);
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
    free(reach->owner);
    fuse_two_sided_close(&reach->sides);
    free(reach);
}

int64_t fuse_reach_count(const struct fuse_reach *reach) {
    return reach->count;
}

int64_t fuse_reach_table_bytes(const struct fuse_reach *reach) {
    const int64_t classes = reach->closure != NULL ? fuse_closure_classes(reach->closure) : 0;
    return (reach->request.rows + 1 + 2 * classes) * (int64_t)sizeof(int64_t);
}

int64_t fuse_reach_bytes(const struct fuse_reach *reach) {
    const size_t rows = reach->closure != NULL ? fuse_closure_result_bytes(reach->result) : reach->sides.bytes;
    return (int64_t)rows + fuse_reach_table_bytes(reach) + reach->arrived_bytes;
}

/* ---- reading --------------------------------------------------------------------------------------------------------- */

int64_t fuse_reach_held(const struct fuse_reach *reach) {
    return reach->end - reach->begin;
}

int64_t fuse_reach_x_at(const struct fuse_reach *reach, int64_t place) {
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

bool fuse_reach_is_bits(const struct fuse_reach *reach, int64_t class) {
    return reach->row_count[class] >= 2 * fuse_closure_row_words(reach->closure);
}

static int64_t row_words(const struct fuse_reach *reach) {
    return reach->closure != NULL ? fuse_closure_row_words(reach->closure) : (int64_t)reach->sides.words;
}

static struct fuse_closure_row row_of(const struct fuse_reach *reach, int64_t x) {
    if (reach->closure == NULL)
        return (struct fuse_closure_row){.n = reach->first[x + 1] - reach->first[x],
                                         .bits = fuse_two_sided_row(&reach->sides, x)};
    const int64_t class = fuse_closure_class_of(reach->closure, x);
    if (class < 0)
        return (struct fuse_closure_row){0};
    const char *at = reach->row_at[class];
    if (at == NULL)
        return fuse_closure_row_of_class(reach->result, class);
    if (fuse_reach_is_bits(reach, class))
        return (struct fuse_closure_row){.n = reach->row_count[class], .bits = (const uint64_t *)at};
    return (struct fuse_closure_row){.n = reach->row_count[class], .id = (const uint32_t *)at};
}

/* Goes to a place: its x, and behind what comes before it in the row. */
static void seek(struct fuse_reach *reach, int64_t place) {
    reach->x = fuse_reach_x_at(reach, place);
    reach->at = 0;
    reach->next = place;
    fuse_closure_row_skip(&reach->at, row_of(reach, reach->x), row_words(reach), place - reach->first[reach->x]);
}

void fuse_reach_read(struct fuse_reach *reach, int64_t begin, int64_t n, int64_t *x, int64_t *z) {
    if (n <= 0)
        return;
    if (reach->next != reach->begin + begin)
        seek(reach, reach->begin + begin);
    const int64_t words = row_words(reach);
    for (int64_t got = 0; got < n;) {
        const int64_t some = fuse_closure_row_read(z + got, &reach->at, row_of(reach, reach->x), words, n - got);
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
