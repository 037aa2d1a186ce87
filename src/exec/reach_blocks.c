#include "exec/reach_internal.h"

#include <stdlib.h>

/* Bytes that every rank takes before there is a block; SIZE_MAX: beyond what this way can do. */
static size_t bytes_before(const struct fuse_reach_request *q, int64_t base, int64_t step) {
    if (q->rows >= UINT32_MAX || q->columns >= UINT32_MAX)
        return SIZE_MAX;
    const int64_t most = base > step ? base : step;
    return fuse_adjacency_bytes(q->columns, step) + fuse_adjacency_bytes(q->base_is_step ? 0 : q->rows, base) +
           (size_t)most * 16 + fuse_closure_open_bytes(q->rows, q->columns, q->base_is_step ? step : base, step);
}

int fuse_reach_owner(const struct fuse_reach *reach, int64_t class) {
    return (int)(class / FUSE_CLOSURE_BLOCK % reach->request.comm->size);
}

void fuse_reach_place(struct fuse_reach *reach) {
    for (int64_t x = 0; x < reach->request.rows; x++) {
        const int64_t class = fuse_closure_class_of(reach->closure, x);
        reach->first[x + 1] = reach->first[x] + (class < 0 ? 0 : reach->row_count[class]);
    }
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
        if (fuse_reach_owner(reach, k) == reach->request.comm->rank)
            reach->row_count[k] = fuse_closure_row_of_class(reach->result, k).n;
    fuse_reach_place(reach);
    reach->end = reach->first[reach->request.rows];
    reach->next = -1;
    return FUSE_OK;
}

static enum fuse_status compute(struct fuse_reach *reach, const struct fuse_adjacency *base,
                                const struct fuse_adjacency *step, size_t before, struct fuse_error *err) {
    const struct fuse_reach_request *q = &reach->request;
    const struct fuse_closure_question question = {.step = step, .base = q->base_is_step ? NULL : base};
    FUSE_TRY(fuse_closure_open(&reach->closure, &question, err));
    const size_t taken = before + (size_t)fuse_reach_table_bytes(reach);
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

enum fuse_status fuse_reach_open_blocks(struct fuse_reach *reach, bool *fits, struct fuse_error *err) {
    const struct fuse_reach_request *q = &reach->request;
    struct fuse_adjacency base = {0}, step = {0};
    int64_t n[2] = {q->base_is_step ? 0 : q->base.n, q->step.n};
    FUSE_TRY(q->comm->ops->reduce_int64(q->comm, FUSE_REDUCE_SUM, n, 2, err));
    const size_t before = bytes_before(q, n[0], n[1]);
    const bool lacks = before == SIZE_MAX || (q->memory_bytes > 0 && before >= (size_t)q->memory_bytes);
    FUSE_TRY(fuse_reach_fits(fits, reach, lacks ? FUSE_EMEMORY : FUSE_OK, err));
    enum fuse_status status = FUSE_OK;
    if (*fits)
        status = fuse_reach_gather(&step, reach, &q->step, q->columns, q->columns, fits, err);
    if (status == FUSE_OK && *fits && !q->base_is_step)
        status = fuse_reach_gather(&base, reach, &q->base, q->rows, q->columns, fits, err);
    if (status == FUSE_OK && *fits)
        status = fuse_reach_fits(fits, reach, compute(reach, &base, &step, before, err), err);
    fuse_adjacency_close(&base);
    fuse_adjacency_close(&step);
    if (status != FUSE_OK || !*fits)
        return status;
    reach->count = fuse_closure_count(reach->result);
    return q->comm->ops->reduce_int64(q->comm, FUSE_REDUCE_SUM, &reach->count, 1, err);
}
