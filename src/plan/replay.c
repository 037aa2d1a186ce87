/* A plan carried out on element numbers. A buffer's cell holds which element of its tensor it is (1 + its position in C
 * order; 0 for padding outside the tensor, -1 for nothing) and how many terms have been summed into it.
 *
 * Buffers of two halves are read into a turn early, as soon as the step of the turn before is reached, and written to their
 * files a turn late; panels come as early as there is a half for them: what an executor that does so beside its computing might
 * get wrong is wrong here. */
#include "plan/plan.h"

#include <stdlib.h>
#include <string.h>

struct cell {
    int64_t element, terms;
};

struct replay {
    const struct fuse_plan *plan;
    struct cell **cells; /* [rank * buffers + buffer] */
    int64_t *received;   /* [rank], in the step at hand */
    int64_t turn;
    uint8_t **written; /* [ops] per element of a sink */
    uint8_t **loaded;  /* [steps] per element of a source, how often a READ has read it in its region */
    int64_t *brought;  /* [steps * ranks] turns of a MOVE whose panels have come */
    int *late;         /* WRITE steps whose last turn is still to be written, in the order in which they were begun */
    int lates;
    struct fuse_error *err;
};

static const struct fuse_value *value_of(const struct replay *r, int value) {
    return &r->plan->ir->values.at[value];
}

/* Of a buffer of two halves, those of the turn. */
static struct cell *cells_of(const struct replay *r, int rank, int buffer) {
    const struct fuse_buffer *b = &r->plan->buffers.at[buffer];
    int64_t half =
        b->doubled ? fuse_plan_half(r->plan, buffer, rank, r->turn) * fuse_holding_max_elems(r->plan, &b->holding) : 0;
    return r->cells[(size_t)rank * (size_t)r->plan->buffers.n + (size_t)buffer] + half;
}

/* What a rank holds in a buffer at the turn at hand, and where. */
struct window {
    int boxes;
    struct fuse_box box[FUSE_MAX_RANGE_BOXES];
    int64_t stride[FUSE_MAX_RANGE_BOXES][FUSE_MAX_AXES], base[FUSE_MAX_RANGE_BOXES];
    struct cell *cells;
};

/* A step without a buffer has nothing. */
static void open_window(struct window *w, const struct replay *r, int rank, int buffer) {
    w->boxes = 0;
    if (buffer < 0)
        return;
    const struct fuse_holding *holding = &r->plan->buffers.at[buffer].holding;
    int64_t base = 0;
    w->boxes = fuse_holding_boxes(w->box, r->plan, holding, rank, r->turn);
    for (int i = 0; i < w->boxes; i++) {
        fuse_box_strides(w->stride[i], &w->box[i], holding->reversed);
        w->base[i] = base;
        base += fuse_box_elems(&w->box[i]);
    }
    w->cells = cells_of(r, rank, buffer);
}

/* Of a buffer whose turn may find what it needs where it lies already. */
static void open_read_window(struct window *w, const struct replay *r, int rank, int buffer) {
    bool in_place = buffer >= 0 && fuse_plan_reads_in_place(r->plan, buffer, rank, r->turn);
    open_window(w, r, rank, in_place ? r->plan->buffers.at[buffer].resident : buffer);
}

/* Position of a coordinate in the buffer, -1 when it is not held. */
static int64_t position(const struct window *w, const int64_t *at) {
    for (int i = 0; i < w->boxes; i++) {
        const struct fuse_box *box = &w->box[i];
        int64_t offset = w->base[i];
        bool inside = true;
        for (int a = 0; a < box->rank; a++) {
            inside &= at[a] >= box->lo[a] && at[a] < box->hi[a];
            offset += (at[a] - box->lo[a]) * w->stride[i][a];
        }
        if (inside)
            return offset;
    }
    return -1;
}

static struct cell *cell_at(const struct window *w, const int64_t *at) {
    int64_t p = position(w, at);
    return p < 0 ? NULL : &w->cells[p];
}

/* 1 + position in C order, 0 outside the tensor. */
static int64_t element_number(const struct fuse_value *value, const int64_t *at) {
    int64_t n = 0;
    for (int a = 0; a < value->rank; a++) {
        if (at[a] < 0 || at[a] >= value->extent[a])
            return 0;
        n = n * value->extent[a] + at[a];
    }
    return n + 1;
}

/* Terms that a finished element of a value is the sum of. */
static int64_t complete_terms(const struct replay *r, int value) {
    const struct fuse_op *op = r->plan->ir->ops.at[value_of(r, value)->op];
    int64_t terms = 1;
    for (int i = 0; i < op->indices; i++) {
        bool kept = false;
        for (int a = 0; a < value_of(r, value)->rank; a++)
            kept |= op->out_index[a] == i;
        if (!kept)
            terms *= op->extent[i];
    }
    return terms;
}

/* Steps an odometer over a box; false after the last point. */
static bool advance(int64_t *at, const struct fuse_box *box) {
    for (int a = box->rank - 1; a >= 0; a--) {
        if (++at[a] < box->hi[a])
            return true;
        at[a] = box->lo[a];
    }
    return false;
}

#define EACH(at, box)                                                                             \
    for (bool more_ = (memcpy((at), (box)->lo, sizeof(box)->lo), !fuse_box_is_empty(box)); more_; \
         more_ = advance((at), (box)))

static enum fuse_status wrong(const struct replay *r, const struct fuse_step *step, int rank, const char *what) {
    return fuse_fail(r->err, FUSE_EVERIFY, "step %d, rank %d, turn %lld: %s", (int)(step - r->plan->steps.at), rank,
                     (long long)r->turn, what);
}

/* terms: those of a finished element of the value. */
static enum fuse_status check_finished(const struct replay *r, const struct fuse_step *step, int rank,
                                       const struct window *window, int value, int64_t terms, const int64_t *at) {
    const struct cell *cell = cell_at(window, at);
    int64_t element = element_number(value_of(r, value), at);
    if (!cell)
        return wrong(r, step, rank, "an element is read that the buffer does not hold");
    if (cell->element != element)
        return wrong(r, step, rank,
                     cell->element < 0 ? "an element is read that was never written"
                                       : "another element is read than was meant");
    if (element > 0 && cell->terms != terms)
        return wrong(r, step, rank, "an element is read whose terms have not all been summed");
    return FUSE_OK;
}

static enum fuse_status fill(struct replay *r, const struct fuse_step *step, int rank) {
    struct fuse_box box[FUSE_MAX_RANGE_BOXES];
    struct window window;
    int64_t at[FUSE_MAX_AXES];
    int boxes = fuse_holding_boxes(box, r->plan, &step->need, rank, r->turn);
    open_window(&window, r, rank, step->to);
    for (int i = 0; i < boxes; i++)
        EACH(at, &box[i]) {
            struct cell *cell = cell_at(&window, at);
            if (!cell)
                return wrong(r, step, rank, "an element is loaded that the buffer does not hold");
            *cell = (struct cell){element_number(value_of(r, step->need.value), at), 1};
            if (step->kind == FUSE_STEP_READ && r->loaded[step - r->plan->steps.at][cell->element - 1]++)
                return wrong(r, step, rank, "an element of a file is read twice");
        }
    return FUSE_OK;
}

/* What one rank gets in a MOVE. */
static enum fuse_status move_to(struct replay *r, const struct fuse_step *step, int to) {
    int64_t at[FUSE_MAX_AXES], size = (int64_t)fuse_dtype_bytes(value_of(r, step->have.value)->dtype);
    const struct fuse_value *value = value_of(r, step->need.value);
    int64_t terms_before = complete_terms(r, step->have.value), terms = complete_terms(r, step->need.value);
    struct fuse_box box[FUSE_MAX_RANGE_BOXES];
    struct window source_window, target_window;
    open_window(&target_window, r, to, step->to);
    const bool begins = step->need.kind == FUSE_HOLDING_NEED && !fuse_plan_collects(step);
    int boxes = begins ? fuse_holding_boxes(box, r->plan, &r->plan->buffers.at[step->to].holding, to, r->turn) : 0;
    for (int i = 0; i < boxes; i++)
        EACH(at, &box[i]) {
            struct cell *cell = cell_at(&target_window, at);
            if (!cell)
                return wrong(r, step, to, "a needed element has no place in the buffer");
            *cell = (struct cell){element_number(value, at) == 0 ? 0 : -1, 1};
        }
    for (int from = 0; from < r->plan->mesh.ranks; from++) {
        struct fuse_pieces walk = {.plan = r->plan, .step = step, .sender = from, .receiver = to, .turn = r->turn};
        struct fuse_piece piece;
        bool is_open = false;
        while (fuse_pieces_next(&piece, &walk)) {
            if (!is_open)
                open_window(&source_window, r, from, step->from);
            is_open = true;
            if (from != to)
                r->received[to] += fuse_box_elems(&piece.box) * size;
            if (fuse_box_elems(&piece.box) * size > step->piece_bytes && fuse_box_elems(&piece.box) > 1)
                return wrong(r, step, to, "a piece is larger than the staging allows");
            EACH(at, &piece.box) {
                const struct cell *source = cell_at(&source_window, at);
                struct cell *target = cell_at(&target_window, at);
                if (!source || !target)
                    return wrong(r, step, to, "a message carries an element that a buffer does not hold");
                if (source->element != element_number(value, at) || source->terms != terms_before)
                    return wrong(r, step, from, "a message carries an element that is not there yet");
                *target = (struct cell){source->element, terms};
            }
        }
    }
    return FUSE_OK;
}

/* Panels that a rank is brought at turns before this one. */
static int64_t arrivals(const struct replay *r, int buffer, int rank, int64_t turn) {
    int64_t n = 0;
    for (int64_t t = 0; t < turn; t++)
        n += !fuse_plan_reads_in_place(r->plan, buffer, rank, t);
    return n;
}

/* The turn's panel, and those after it for which there is a half. */
static enum fuse_status move_early(struct replay *r, const struct fuse_step *step, int to) {
    int64_t now = r->turn, turns = r->plan->regions.at[step->loop].turns, used = arrivals(r, step->to, to, now);
    int64_t *next = &r->brought[(int64_t)(step - r->plan->steps.at) * r->plan->mesh.ranks + to];
    enum fuse_status status = FUSE_OK;
    for (; *next < turns && status == FUSE_OK; ++*next) {
        bool in_place = fuse_plan_reads_in_place(r->plan, step->to, to, *next);
        if (*next > now && !in_place && arrivals(r, step->to, to, *next) > used + 1)
            break;
        r->turn = *next;
        status = in_place ? FUSE_OK : move_to(r, step, to);
    }
    r->turn = now;
    return status;
}

static enum fuse_status move(struct replay *r, const struct fuse_step *step) {
    bool panels = fuse_plan_brings_panels(r->plan, step);
    for (int to = 0; to < r->plan->mesh.ranks; to++)
        FUSE_TRY(panels ? move_early(r, step, to) : move_to(r, step, to));
    return FUSE_OK;
}

static enum fuse_status reduce(struct replay *r, const struct fuse_step *step) {
    int ranks = r->plan->mesh.ranks;
    int64_t at[FUSE_MAX_AXES], size = (int64_t)fuse_dtype_bytes(value_of(r, step->have.value)->dtype);
    const struct fuse_buffer *b = &r->plan->buffers.at[step->to];
    int64_t elems = fuse_holding_max_elems(r->plan, &b->holding);
    /* All ranks send what they had before the step. */
    struct cell *old = malloc(((size_t)ranks * (size_t)elems + 1) * sizeof *old);
    if (!old)
        return fuse_fail(r->err, FUSE_EMEMORY, "no memory for the replay");
    for (int rank = 0; rank < ranks; rank++)
        memcpy(old + (size_t)rank * (size_t)elems, cells_of(r, rank, step->to), (size_t)elems * sizeof *old);
    enum fuse_status status = FUSE_OK;
    struct window source_window, target_window;
    for (int to = 0; to < ranks && status == FUSE_OK; to++) {
        open_window(&target_window, r, to, step->to);
        for (int from = 0; from < ranks && status == FUSE_OK; from++) {
            struct fuse_pieces walk = {.plan = r->plan, .step = step, .sender = from, .receiver = to, .turn = r->turn};
            struct fuse_piece piece;
            bool is_open = false;
            while (from != to && status == FUSE_OK && fuse_pieces_next(&piece, &walk)) {
                if (!is_open)
                    open_window(&source_window, r, from, step->from);
                is_open = true;
                r->received[to] += fuse_box_elems(&piece.box) * size;
                EACH(at, &piece.box) {
                    int64_t p = position(&source_window, at);
                    struct cell *target = cell_at(&target_window, at);
                    if (p < 0 || !target || old[(int64_t)from * elems + p].element != target->element) {
                        status = wrong(r, step, to, "partial results of different elements are combined");
                        break;
                    }
                    target->terms += old[(int64_t)from * elems + p].terms;
                }
            }
        }
    }
    free(old);
    return status;
}

static enum fuse_status compute_half(struct replay *r, const struct fuse_step *step, int rank, int half) {
    const struct fuse_op *op = r->plan->ir->ops.at[step->op];
    const struct fuse_value *out = value_of(r, op->out);
    struct fuse_box iteration =
        fuse_iteration_box(r->plan, step->op, &step->partition, step->loop, step->cut, rank, r->turn, half);
    struct window window;
    int64_t at[FUSE_MAX_AXES];
    for (int k = 0; k < op->inputs && !fuse_box_is_empty(&iteration); k++) {
        const struct fuse_use *use = &op->input[k];
        if (fuse_is_relation(r->plan->ir, use->value))
            continue; /* its tuples have no element numbers */
        int64_t finished = complete_terms(r, use->value);
        open_read_window(&window, r, rank, step->in[k]);
        EACH(at, &iteration) {
            int64_t read[FUSE_MAX_AXES] = {0};
            for (int a = 0; a < use->access.rank; a++)
                read[a] = fuse_access_coordinate(&use->access.at[a],
                                                 use->access.at[a].index < 0 ? 0 : at[use->access.at[a].index]);
            FUSE_TRY(check_finished(r, step, rank, &window, use->value, finished, read));
        }
    }
    struct fuse_box out_box = {.rank = out->rank};
    int64_t terms = 1;
    bool kept[FUSE_MAX_AXES] = {false};
    for (int a = 0; a < out->rank; a++) {
        out_box.lo[a] = iteration.lo[op->out_index[a]];
        out_box.hi[a] = iteration.hi[op->out_index[a]];
        kept[op->out_index[a]] = true;
    }
    for (int i = 0; i < op->indices; i++)
        if (!kept[i])
            terms *= iteration.hi[i] > iteration.lo[i] ? iteration.hi[i] - iteration.lo[i] : 0;
    open_window(&window, r, rank, step->to);
    EACH(at, &out_box) {
        struct cell *cell = cell_at(&window, at);
        if (!cell)
            return wrong(r, step, rank, "a result has no place in the buffer");
        if (step->accumulate && r->turn > 0)
            cell->terms += terms;
        else
            *cell = (struct cell){element_number(out, at), terms};
    }
    return FUSE_OK;
}

static enum fuse_status compute(struct replay *r, const struct fuse_step *step, int rank) {
    for (int half = 0; rank < r->plan->mesh.used && half < fuse_layout_halves(&step->partition); half++)
        FUSE_TRY(compute_half(r, step, rank, half));
    return FUSE_OK;
}

/* Rules are fed with what every rank has of a dense value, which must be finished; so must what ends a recursion. */
static enum fuse_status feed(struct replay *r, const struct fuse_step *step, int rank) {
    struct fuse_box box[FUSE_MAX_RANGE_BOXES];
    struct window window;
    int64_t at[FUSE_MAX_AXES], finished = complete_terms(r, step->have.value);
    int boxes = fuse_holding_boxes(box, r->plan, &step->have, rank, r->turn);
    open_read_window(&window, r, rank, step->from);
    for (int i = 0; i < boxes; i++)
        EACH(at, &box[i]) {
            FUSE_TRY(check_finished(r, step, rank, &window, step->have.value, finished, at));
        }
    return FUSE_OK;
}

static enum fuse_status write_out(struct replay *r, const struct fuse_step *step, int rank) {
    struct fuse_box box[FUSE_MAX_RANGE_BOXES];
    struct window window;
    int64_t at[FUSE_MAX_AXES], finished = complete_terms(r, step->have.value);
    int boxes = fuse_holding_boxes(box, r->plan, &step->have, rank, r->turn);
    open_read_window(&window, r, rank, step->from);
    for (int i = 0; i < boxes; i++)
        EACH(at, &box[i]) {
            FUSE_TRY(check_finished(r, step, rank, &window, step->have.value, finished, at));
            int64_t e = element_number(value_of(r, step->have.value), at) - 1;
            if (r->written[step->op][e]++)
                return wrong(r, step, rank, "an element of a sink is written twice");
        }
    return FUSE_OK;
}

static enum fuse_status on_all_ranks(struct replay *r, const struct fuse_step *step,
                                     enum fuse_status (*act)(struct replay *, const struct fuse_step *, int)) {
    for (int rank = 0; rank < r->plan->mesh.ranks; rank++)
        FUSE_TRY(act(r, step, rank));
    return FUSE_OK;
}

/* The files get what was begun a turn ago, in that order; `upto` is the last step of which they do, or all with -1. */
static enum fuse_status write_late(struct replay *r, int upto, int64_t turn) {
    int64_t now = r->turn;
    int found = upto < 0 ? r->lates : 0;
    for (int i = 0; i < r->lates && found == 0; i++)
        found = r->late[i] == upto ? i + 1 : 0;
    r->turn = turn;
    for (int i = 0; i < found; i++)
        FUSE_TRY(on_all_ranks(r, &r->plan->steps.at[r->late[i]], write_out));
    r->turn = now;
    r->lates -= found;
    memmove(r->late, r->late + found, (size_t)r->lates * sizeof *r->late);
    return FUSE_OK;
}

/* The next turn's part of a file, which may come as soon as this turn's is there; what was begun before is done by then. */
static enum fuse_status read_early(struct replay *r, const struct fuse_step *step) {
    if (r->turn == 0)
        FUSE_TRY(on_all_ranks(r, step, fill));
    FUSE_TRY(write_late(r, -1, r->turn - 1));
    if (r->turn + 1 == r->plan->regions.at[step->loop].turns)
        return FUSE_OK;
    r->turn++;
    enum fuse_status status = on_all_ranks(r, step, fill);
    r->turn--;
    return status;
}

static enum fuse_status run_turn(struct replay *r, const struct fuse_step *step) {
    if (step->kind == FUSE_STEP_READ && r->plan->buffers.at[step->to].doubled)
        return read_early(r, step);
    if (step->kind == FUSE_STEP_WRITE && r->plan->buffers.at[step->from].doubled) {
        FUSE_TRY(write_late(r, (int)(step - r->plan->steps.at), r->turn - 1));
        r->late[r->lates++] = (int)(step - r->plan->steps.at);
        return FUSE_OK;
    }
    if (step->kind == FUSE_STEP_MOVE)
        return move(r, step);
    if (step->kind == FUSE_STEP_REDUCE)
        return reduce(r, step);
    for (int rank = 0; rank < r->plan->mesh.ranks; rank++) {
        if (step->kind == FUSE_STEP_READ || step->kind == FUSE_STEP_LITERAL)
            FUSE_TRY(fill(r, step, rank));
        else if (step->kind == FUSE_STEP_CONTRACT || step->kind == FUSE_STEP_MAP || step->kind == FUSE_STEP_JOIN ||
                 step->kind == FUSE_STEP_ATTENTION)
            FUSE_TRY(compute(r, step, rank));
        else if (step->kind == FUSE_STEP_WRITE)
            FUSE_TRY(write_out(r, step, rank));
        else if ((step->kind == FUSE_STEP_FEED && step->from >= 0) || step->kind == FUSE_STEP_SETTLE)
            FUSE_TRY(feed(r, step, rank));
    }
    return FUSE_OK;
}

/* Bytes that travelled in a step over all its turns, against the planned ones. */
static enum fuse_status check_bytes(const struct replay *r, const struct fuse_step *step, const int64_t *received) {
    int64_t most = 0, total = 0;
    for (int rank = 0; rank < r->plan->mesh.ranks; rank++) {
        most = received[rank] > most ? received[rank] : most;
        total += received[rank];
    }
    if (most != step->received_bytes_max || total != step->received_bytes_total)
        return fuse_fail(r->err, FUSE_EVERIFY,
                         "step %d: %lld bytes travel (busiest rank %lld), planned were %lld (busiest rank %lld)",
                         (int)(step - r->plan->steps.at), (long long)total, (long long)most,
                         (long long)step->received_bytes_total, (long long)step->received_bytes_max);
    return FUSE_OK;
}

/* A pass over a source reads all of it. */
static enum fuse_status check_read(const struct replay *r, const struct fuse_step *step) {
    int number = (int)(step - r->plan->steps.at);
    for (int64_t e = 0; e < fuse_value_elems(value_of(r, step->need.value)); e++)
        if (r->loaded[number][e] != 1)
            return fuse_fail(r->err, FUSE_EVERIFY, "step %d: element %lld of the file is not read", number,
                             (long long)e);
    return FUSE_OK;
}

static enum fuse_status run_region(struct replay *r, int number);

/* Two turns of a recursion: what the first leaves is what the second begins with. */
static enum fuse_status run_until(struct replay *r, const struct fuse_region *region) {
    enum fuse_status status = FUSE_OK;
    for (int i = 0; i < 2 * region->count && status == FUSE_OK; i++)
        status = run_region(r, r->plan->child.at[region->first + i % region->count]);
    return status;
}

static enum fuse_status run_region(struct replay *r, int number) {
    const struct fuse_plan *plan = r->plan;
    const struct fuse_region *region = &plan->regions.at[number];
    if (region->kind == FUSE_REGION_LOOP && region->loop == FUSE_LOOP_UNTIL)
        return run_until(r, region);
    int ranks = plan->mesh.ranks;
    int steps = region->kind == FUSE_REGION_LOOP ? region->count : 1;
    int64_t turns = region->kind == FUSE_REGION_LOOP ? region->turns : 1;
    int64_t *sum = calloc((size_t)ranks * (size_t)steps, sizeof *sum);
    if (!sum)
        return fuse_fail(r->err, FUSE_EMEMORY, "no memory for the replay");
    enum fuse_status status = FUSE_OK;
    for (int i = 0; i < steps; i++) { /* a loop in a recursion begins anew */
        int child = region->kind == FUSE_REGION_LOOP ? plan->child.at[region->first + i] : number;
        memset(&r->brought[plan->regions.at[child].step * ranks], 0, (size_t)ranks * sizeof *r->brought);
    }
    for (r->turn = 0; r->turn < turns && status == FUSE_OK; r->turn++)
        for (int i = 0; i < steps && status == FUSE_OK; i++) {
            int child = region->kind == FUSE_REGION_LOOP ? plan->child.at[region->first + i] : number;
            memset(r->received, 0, (size_t)ranks * sizeof *r->received);
            status = run_turn(r, &plan->steps.at[plan->regions.at[child].step]);
            for (int rank = 0; rank < ranks; rank++)
                sum[i * ranks + rank] += r->received[rank];
        }
    if (status == FUSE_OK)
        status = write_late(r, -1, turns - 1);
    r->turn = 0;
    for (int i = 0; i < steps && status == FUSE_OK; i++) {
        int child = region->kind == FUSE_REGION_LOOP ? plan->child.at[region->first + i] : number;
        const struct fuse_step *step = &plan->steps.at[plan->regions.at[child].step];
        status = check_bytes(r, step, sum + i * ranks);
        if (status == FUSE_OK && step->kind == FUSE_STEP_READ)
            status = check_read(r, step);
    }
    free(sum);
    return status;
}

/* Buffers that share bytes are never alive together. */
static enum fuse_status check_places(const struct replay *r) {
    const struct fuse_plan *plan = r->plan;
    for (int i = 0; i < plan->buffers.n; i++) {
        const struct fuse_buffer *x = &plan->buffers.at[i];
        if (x->offset < 0 || x->offset + x->bytes > plan->arena_bytes[x->kind])
            return fuse_fail(r->err, FUSE_EVERIFY, "buffer %d lies outside its arena", i);
        for (int j = 0; j < i; j++) {
            const struct fuse_buffer *y = &plan->buffers.at[j];
            if (x->kind == y->kind && x->offset < y->offset + y->bytes && y->offset < x->offset + x->bytes &&
                x->first <= y->last && y->first <= x->last)
                return fuse_fail(r->err, FUSE_EVERIFY, "buffers %d and %d share bytes while both are in use", j, i);
        }
    }
    return FUSE_OK;
}

static enum fuse_status check_written(const struct replay *r) {
    const struct fuse_ir *ir = r->plan->ir;
    for (int o = 0; o < ir->ops.n; o++) {
        const struct fuse_op *op = ir->ops.at[o];
        for (int64_t e = 0; r->written[o] && op->path && e < fuse_value_elems(value_of(r, op->input[0].value)); e++)
            if (r->written[o][e] != 1)
                return fuse_fail(r->err, FUSE_EVERIFY, "element %lld of sink \"%s\" is not written", (long long)e,
                                 op->path);
    }
    return FUSE_OK;
}

static enum fuse_status allocate(struct replay *r) {
    const struct fuse_plan *plan = r->plan;
    size_t buffers = (size_t)plan->buffers.n, ranks = (size_t)plan->mesh.ranks;
    r->cells = calloc(buffers * ranks + 1, sizeof *r->cells);
    r->received = calloc(ranks, sizeof *r->received);
    r->written = calloc((size_t)plan->ir->ops.n + 1, sizeof *r->written);
    r->loaded = calloc((size_t)plan->steps.n + 1, sizeof *r->loaded);
    r->late = calloc((size_t)plan->steps.n + 1, sizeof *r->late);
    r->brought = calloc((size_t)plan->steps.n * ranks + 1, sizeof *r->brought);
    if (!r->cells || !r->received || !r->written || !r->loaded || !r->late || !r->brought)
        return fuse_fail(r->err, FUSE_EMEMORY, "no memory for the replay");
    for (int i = 0; i < plan->steps.n; i++)
        if (plan->steps.at[i].kind == FUSE_STEP_READ) {
            r->loaded[i] = calloc((size_t)fuse_value_elems(value_of(r, plan->steps.at[i].need.value)) + 1, 1);
            if (!r->loaded[i])
                return fuse_fail(r->err, FUSE_EMEMORY, "no memory for the replay");
        }
    for (size_t i = 0; i < buffers * ranks; i++) {
        const struct fuse_buffer *b = &plan->buffers.at[i % buffers];
        int64_t elems = b->value < 0 ? 0 : fuse_holding_max_elems(plan, &b->holding) * (b->doubled ? 2 : 1);
        r->cells[i] = malloc(((size_t)elems + 1) * sizeof **r->cells);
        if (!r->cells[i])
            return fuse_fail(r->err, FUSE_EMEMORY, "no memory for the replay");
        for (int64_t e = 0; e < elems; e++)
            r->cells[i][e] = (struct cell){-1, 0};
    }
    for (int o = 0; o < plan->ir->ops.n; o++)
        if (plan->ir->ops.at[o]->kind == FUSE_OP_SINK &&
            !fuse_is_relation(plan->ir, plan->ir->ops.at[o]->input[0].value)) {
            r->written[o] = calloc((size_t)fuse_value_elems(value_of(r, plan->ir->ops.at[o]->input[0].value)) + 1, 1);
            if (!r->written[o])
                return fuse_fail(r->err, FUSE_EMEMORY, "no memory for the replay");
        }
    return FUSE_OK;
}

enum fuse_status fuse_plan_replay(const struct fuse_plan *plan, struct fuse_error *err) {
    struct replay r = {.plan = plan, .err = err};
    const struct fuse_region *root = &plan->regions.at[plan->root];
    enum fuse_status status = allocate(&r);
    if (status == FUSE_OK)
        status = check_places(&r);
    for (int i = 0; i < root->count && status == FUSE_OK; i++)
        status = run_region(&r, plan->child.at[root->first + i]);
    if (status == FUSE_OK)
        status = check_written(&r);
    for (size_t i = 0; r.cells && i < (size_t)plan->buffers.n * (size_t)plan->mesh.ranks; i++)
        free(r.cells[i]);
    for (int o = 0; r.written && o < plan->ir->ops.n; o++)
        free(r.written[o]);
    for (int i = 0; r.loaded && i < plan->steps.n; i++)
        free(r.loaded[i]);
    free(r.cells);
    free(r.late);
    free(r.brought);
    free(r.loaded);
    free(r.received);
    free(r.written);
    return status;
}
