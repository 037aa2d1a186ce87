/* Panels of a loop's operands, brought while the loop computes. A rank runs through the turns of a MOVE step by itself: the
 * exchange of a turn is begun as soon as the one before is done and there is a half for what it brings. It is at most a
 * few turns ahead of its kernels, and waits only for the panel that they need next. Messages move when MPI is called, so kernels
 * come in slices with fuse_exec_panels_progress between. Every exchange has the turn's place in the order on all ranks, and
 * the earliest one that is not done is never held back by a later one: there is no deadlock. */
#include "exec/internal.h"

#include <stdlib.h>
#include <time.h>

#define LOOK_NS 100000 /* after messages, between two slices of a kernel */
#define AHEAD \
    3 /* turns, also when all of them are read in place: what is sent too early lies in the way at its receiver */

_Static_assert(FUSE_PLAN_FLIGHTS < FUSE_COMM_SLOTS, "slot 0 is for exchanges that are waited for");

static void keep(struct fuse_exec *exec, enum fuse_status status, const struct fuse_error *err) {
    if (status != FUSE_OK)
        fuse_exec_fail(exec, status, err);
}

enum fuse_status fuse_exec_panels_open(struct fuse_exec *exec, struct fuse_error *err) {
    bool any = false;
    for (int i = 0; i < exec->plan->buffers.n; i++)
        any |= exec->plan->buffers.at[i].resident >= 0;
    if (!any)
        return FUSE_OK;
    exec->panel = calloc((size_t)exec->plan->buffers.n, sizeof *exec->panel);
    bool all = exec->panel != NULL;
    for (int i = 0; i < FUSE_PLAN_FLIGHTS; i++) {
        exec->flight[i].walk = fuse_exec_walk_new();
        all &= exec->flight[i].walk != NULL;
    }
    if (!all)
        return fuse_fail(err, FUSE_EMEMORY, "no memory for messages");
    return exec->backend->ops->queue_open(exec->backend, &exec->mover, err);
}

void fuse_exec_panels_close(struct fuse_exec *exec) {
    if (exec->mover)
        exec->mover->ops->close(exec->mover);
    for (int i = 0; i < FUSE_PLAN_FLIGHTS; i++)
        free(exec->flight[i].walk);
    free(exec->panel);
}

static bool is_in_place(const struct fuse_exec *exec, const struct fuse_exec_flight *flight, int64_t turn) {
    return fuse_plan_reads_in_place(exec->plan, flight->step->to, exec->comm->rank, turn);
}

static char *half_of(const struct fuse_exec *exec, int buffer, int64_t number) {
    const struct fuse_buffer *b = &exec->plan->buffers.at[buffer];
    return (char *)exec->base[b->kind] + b->offset + number % 2 * (b->bytes / 2);
}

static void begin(struct fuse_exec *exec, struct fuse_exec_flight *flight) {
    struct fuse_error err = {0};
    char *to = NULL;
    if (!is_in_place(exec, flight, flight->next)) {
        to = half_of(exec, flight->step->to, flight->brought);
        keep(exec, exec->queue->ops->wait(exec->queue, flight->until[flight->brought % 2], &err), &err);
    }
    fuse_exec_walk_begin(flight->walk, exec, flight->step, flight->next, to, 1 + (int)(flight - exec->flight));
    flight->has_begun = true;
}

/* All turns up to `upto`, and `ahead` of that as far as there are halves and messages have come. */
static void advance(struct fuse_exec *exec, struct fuse_exec_flight *flight, int64_t upto, bool ahead) {
    int64_t turns = exec->plan->regions.at[flight->step->loop].turns;
    while (flight->next < turns && (ahead || flight->next <= upto)) {
        bool in_place = is_in_place(exec, flight, flight->next), is_due = flight->next <= upto;
        if (!flight->has_begun && !is_due &&
            (flight->next > exec->turn + AHEAD || (!in_place && flight->brought > flight->used + 1)))
            return;
        if (!flight->has_begun)
            begin(exec, flight);
        if (!fuse_exec_walk_on(flight->walk, is_due))
            return;
        flight->has_begun = false;
        flight->brought += !in_place;
        flight->next++;
    }
}

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* One call of MPI moves what fits in a fragment, and a slice of a kernel takes as long as many of them. */
void fuse_exec_panels_progress(struct fuse_exec *exec) {
    bool any = true;
    for (int64_t end = now_ns() + LOOK_NS; any; any &= now_ns() < end) {
        any = false;
        for (int i = 0; i < FUSE_PLAN_FLIGHTS; i++) {
            if (exec->flight[i].step)
                advance(exec, &exec->flight[i], -1, true);
            any |= exec->flight[i].has_begun;
        }
    }
}

void fuse_exec_panels_begin(struct fuse_exec *exec, const struct fuse_region *loop) {
    const struct fuse_plan *plan = exec->plan;
    struct fuse_error err = {0};
    int flights = 0;
    for (int i = 0; i < loop->count; i++) {
        const struct fuse_region *child = &plan->regions.at[plan->child.at[loop->first + i]];
        if (child->kind != FUSE_REGION_STEP || !fuse_plan_brings_panels(plan, &plan->steps.at[child->step]) ||
            flights == FUSE_PLAN_FLIGHTS)
            continue;
        struct fuse_exec_walk *walk = exec->flight[flights].walk;
        exec->flight[flights++] = (struct fuse_exec_flight){.step = &plan->steps.at[child->step], .walk = walk};
    }
    /* What is sent has been made on the other queue. */
    if (flights > 0)
        keep(exec, exec->queue->ops->wait(exec->queue, FUSE_QUEUE_ALL, &err), &err);
}

void fuse_exec_panels_turn(struct fuse_exec *exec, const struct fuse_step *step) {
    struct fuse_exec_flight *flight = exec->flight;
    while (flight->step != step)
        flight++;
    struct fuse_exec_panel *panel = &exec->panel[step->to];
    struct fuse_error err = {0};
    if (exec->turn > 0 && !panel->in_place) { /* what was computed with the last one has been enqueued */
        flight->until[panel->half] = exec->queue->ops->signal(exec->queue);
        flight->used++;
    }
    panel->in_place = is_in_place(exec, flight, exec->turn);
    panel->half = (int)(flight->used % 2);
    advance(exec, flight, exec->turn, true);
    keep(exec, exec->mover->ops->wait(exec->mover, FUSE_QUEUE_ALL, &err), &err);
    fuse_exec_panels_progress(exec);
}

void fuse_exec_panels_end(struct fuse_exec *exec, enum fuse_status status) {
    for (int i = 0; i < FUSE_PLAN_FLIGHTS && exec->flight[i].step; i++) {
        struct fuse_exec_flight *flight = &exec->flight[i];
        struct fuse_error err = {0};
        int64_t begun = flight->next + flight->has_begun;
        /* Without an answer there is nobody left to finish anything with. */
        if (status != FUSE_OK && exec->comm->ops->reduce_int64(exec->comm, FUSE_REDUCE_MAX, &begun, 1, &err) == FUSE_OK)
            advance(exec, flight, begun - 1, false);
        flight->step = NULL;
    }
}
