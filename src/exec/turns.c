/* Recursions: turns until nothing moves, counted the same on every rank. One reduction a turn carries how far every tensor
 * still moves, and whether a rank has failed. */
#include "exec/internal.h"

#include <math.h>
#include <string.h>

static enum fuse_status take(const struct fuse_exec_pass *pass, const struct fuse_box *box,
                             const struct fuse_view *view, struct fuse_error *err) {
    double moves;
    (void)box;
    (void)err;
    memcpy(&moves, view->data, sizeof moves);
    /* Doubles that are not below 0 are in the order of their bits; what has no cells moves by -inf. */
    if (!(moves <= 0))
        memcpy(&pass->exec->moves[1 + pass->step->op], &moves, sizeof moves);
    return FUSE_OK;
}

void fuse_exec_settle_tensor(struct fuse_exec *exec, const struct fuse_step *step) {
    struct fuse_exec_pass pass = {.exec = exec, .step = step, .buffer = step->from, .host = take};
    if (exec->status == FUSE_OK)
        fuse_exec_pass_boxes(&pass, &step->have);
}

/* The tensor that decides what becomes of the turn: one that has become NaN or infinite, else the one that moves most; -1: all
 * are settled. The operations are neighbours. */
static int worst_of(const struct fuse_exec *exec, int first, int last) {
    int worst = -1;
    for (int o = first; o <= last; o++)
        if (exec->moves[1 + o] > (worst < 0 ? 0 : exec->moves[1 + worst]))
            worst = o;
    return worst;
}

static void fail(struct fuse_exec *exec, int number, int64_t turns) {
    const struct fuse_op *op = exec->plan->ir->ops.at[number];
    struct fuse_error err = {0};
    enum fuse_status status;
    double moves;
    memcpy(&moves, &exec->moves[1 + number], sizeof moves);
    if (isinf(moves)) {
        status = fuse_fail(&err, FUSE_EDIVERGED, "'%s' has become NaN in turn %lld of its recursion", op->owner,
                           (long long)turns);
        fuse_hint(&err, turns == 1
                            ? "all tensors of a recursion are 0 when its first turn begins: what may not be 0 there "
                              "is best written into the equation that uses it"
                            : "0 divided by 0 and infinities that cancel make NaN; --max-iters and "
                              "--allow-nonconverged show what the tensors were before");
    } else if (moves == FUSE_UNTIL_OVERFLOW) {
        status = fuse_fail(&err, FUSE_EDIVERGED, "'%s' has become infinite in turn %lld of its recursion", op->owner,
                           (long long)turns);
        fuse_hint(&err, "its values grow from turn to turn without end: damp them, or give the recursion another form");
    } else {
        status = fuse_fail(&err, FUSE_EDIVERGED, "'%s' has not converged after %lld turn%s: it still moves by %.3g",
                           op->owner, (long long)turns, turns == 1 ? "" : "s", moves);
        fuse_hint(&err, "--max-iters gives it more turns, --tol says how much it may move; --allow-nonconverged takes "
                        "what there is");
    }
    (void)fuse_exec_blame(op, status, &err);
    fuse_exec_fail(exec, status, &err);
}

bool fuse_exec_is_settled(struct fuse_exec *exec, const struct fuse_region *loop, int64_t turns) {
    const struct fuse_ir *ir = exec->plan->ir;
    struct fuse_error err = {0};
    int last = loop->op, first = last;
    while (first > 0 && ir->ops.at[first - 1]->kind == FUSE_OP_FIXPOINT &&
           ir->ops.at[first - 1]->until == ir->ops.at[last]->until)
        first--;
    /* The place before those of the tensors is nobody's. */
    exec->moves[first] = exec->status != FUSE_OK;
    enum fuse_status status =
        exec->comm->ops->reduce_int64(exec->comm, FUSE_REDUCE_MAX, &exec->moves[first], last - first + 2, &err);
    if (status != FUSE_OK)
        fuse_exec_fail(exec, status, &err);
    bool failed = exec->moves[first] > 0 || status != FUSE_OK;
    int worst = failed ? -1 : worst_of(exec, first, last);
    double moves = 0;
    if (worst >= 0)
        memcpy(&moves, &exec->moves[1 + worst], sizeof moves);
    memset(&exec->moves[first], 0, (size_t)(last - first + 2) * sizeof *exec->moves);
    if (worst < 0)
        return true;
    bool is_last = turns >= exec->request->iteration.max_rounds;
    if (moves < FUSE_UNTIL_OVERFLOW && !is_last)
        return false;
    if (moves < FUSE_UNTIL_OVERFLOW && exec->request->iteration.may_stop_early) {
        exec->derived.stopped_early = true;
        return true;
    }
    memcpy(&exec->moves[1 + worst], &moves, sizeof moves);
    fail(exec, worst, turns);
    return true;
}
