/* What nobody reads is not computed: every value shrinks to the bounding box of the elements that its users read, its
 * operation to the iterations that make them, and a source to that part of its file.
 *
 * Boxes flow from sinks to sources through the index maps; then everything is rewritten to coordinates that start at the
 * boxes. Projected indices keep their extents, and relations all their tuples. Elements keep their numbers: a generator's index becomes index + begin. */
#include "ir/ir.h"

#include "ir/rewrite.h"

#include <string.h>

struct shrinker {
    struct fuse_ir *ir;
    struct fuse_box *box; /* [values] what is read of it; nothing: lo > hi */
    struct fuse_body body;
};

/* true when the axes of the output are indices that it is computed for. */
static bool is_computed(const struct fuse_op *op) {
    return op->kind == FUSE_OP_EINSUM || op->kind == FUSE_OP_MAP || op->kind == FUSE_OP_JOIN;
}

static void read_nothing(struct fuse_box *box, int rank) {
    box->rank = rank;
    for (int a = 0; a < rank; a++) {
        box->lo[a] = INT64_MAX;
        box->hi[a] = INT64_MIN;
    }
}

static void read_also(struct fuse_box *box, const struct fuse_box *part) {
    for (int a = 0; a < box->rank; a++) {
        box->lo[a] = part->lo[a] < box->lo[a] ? part->lo[a] : box->lo[a];
        box->hi[a] = part->hi[a] > box->hi[a] ? part->hi[a] : box->hi[a];
    }
}

/* The elements of an input that an iteration box reads, inside the value; false: none. */
static bool find_read(struct fuse_box *out, const struct fuse_ir *ir, const struct fuse_use *use,
                      const struct fuse_box *iteration) {
    const struct fuse_value *value = &ir->values.at[use->value];
    struct fuse_box whole = fuse_box_full(value->rank, value->extent);
    if (fuse_box_is_empty(iteration))
        return false;
    *out = fuse_access_box(&use->access, iteration);
    return fuse_box_intersect(out, out, &whole);
}

/* true when the index may begin at `begin`: half of a pair is read whole, and offsets stay addressable. */
static bool may_begin_at(const struct fuse_op *op, int index, int64_t begin) {
    for (int k = 0; k < op->inputs; k++)
        for (int a = 0; a < op->input[k].access.rank; a++) {
            const struct fuse_access_axis *at = &op->input[k].access.at[a];
            int64_t shift;
            if (at->index != index)
                continue;
            if (fuse_access_is_paired(at) || __builtin_mul_overflow(at->stride, begin, &shift) ||
                __builtin_add_overflow(at->offset, shift, &shift) || shift < -FUSE_MAX_COORDINATE ||
                shift > FUSE_MAX_COORDINATE)
                return false;
        }
    return true;
}

/* The box of an operation's output, when its users have said what they read: at least one element of a value that has any,
 * and all of an axis that cannot shrink. */
static void settle_box(struct fuse_box *box, const struct fuse_ir *ir, const struct fuse_op *op) {
    const struct fuse_value *value = &ir->values.at[op->out];
    bool is_whole = fuse_value_elems(value) == 0 || value->storage == FUSE_STORAGE_RELATION ||
                    op->kind == FUSE_OP_CARRY || op->kind == FUSE_OP_FIXPOINT;
    for (int a = 0; a < value->rank; a++) {
        if (box->lo[a] > box->hi[a]) {
            box->lo[a] = 0;
            box->hi[a] = 1;
        }
        if (is_whole || (is_computed(op) && !may_begin_at(op, op->out_index[a], box->lo[a]))) {
            box->lo[a] = 0;
            box->hi[a] = value->extent[a];
        }
    }
}

static struct fuse_box iteration_of(const struct shrinker *s, const struct fuse_op *op) {
    struct fuse_box box = fuse_box_full(op->indices, op->extent);
    if (!is_computed(op))
        return box;
    for (int a = 0; a < s->box[op->out].rank; a++) {
        box.lo[op->out_index[a]] = s->box[op->out].lo[a];
        box.hi[op->out_index[a]] = s->box[op->out].hi[a];
    }
    return box;
}

/* A pair of axes that is read as one is whole, even where other axes are read outside the value. */
static void read_pairs(struct fuse_box *box, const struct fuse_ir *ir, const struct fuse_use *use) {
    for (int a = 0; a < use->access.rank; a++) {
        if (!fuse_access_is_paired(&use->access.at[a]))
            continue;
        box->lo[a] = 0;
        box->hi[a] = ir->values.at[use->value].extent[a];
    }
}

static void find_boxes(struct shrinker *s) {
    const struct fuse_ir *ir = s->ir;
    for (int v = 0; v < ir->values.n; v++)
        read_nothing(&s->box[v], ir->values.at[v].rank);
    for (int o = ir->ops.n - 1; o >= 0; o--) {
        const struct fuse_op *op = ir->ops.at[o];
        if (op->out >= 0)
            settle_box(&s->box[op->out], ir, op);
        struct fuse_box iteration = iteration_of(s, op), read;
        for (int k = 0; k < op->inputs && op->kind != FUSE_OP_SOURCE; k++) {
            if (find_read(&read, ir, &op->input[k], &iteration))
                read_also(&s->box[op->input[k].value], &read);
            read_pairs(&s->box[op->input[k].value], ir, &op->input[k]);
        }
    }
}

/* Index x of the new body is x + begin of the old one, and an input that is read outside its value alone is 0. */
static void move_body(struct shrinker *s, struct fuse_op *op, const struct fuse_box *iteration, const bool *outside) {
    struct fuse_body *body = &s->body;
    int *number = FUSE_NEW_ARRAY(s->ir->arena, int, op->body->n);
    fuse_body_reset(body);
    for (int i = 0; i < op->body->n; i++) {
        struct fuse_scalar_node node = op->body->node[i];
        int *argument[3] = {&node.a, &node.b, &node.c};
        for (int k = 0; k < fuse_scalar_arity(node.op); k++)
            *argument[k] = number[*argument[k]];
        if (node.op == FUSE_SCALAR_LOAD && outside[node.arg]) {
            number[i] = fuse_body_integer(body, node.dtype, 0);
            continue;
        }
        number[i] = fuse_body_add(body, node);
        if (node.op == FUSE_SCALAR_IOTA && iteration->lo[node.arg] != 0)
            number[i] = fuse_body_binary(body, FUSE_SCALAR_ADD, FUSE_I64, number[i],
                                         fuse_body_integer(body, FUSE_I64, iteration->lo[node.arg]));
    }
    op->body = fuse_body_finish(body, number[op->body->n - 1]);
    fuse_ir_fold_map(s->ir, op, body);
}

/* The elements of a box of a literal, packed. */
static void cut_literal(struct fuse_ir *ir, struct fuse_op *op, const struct fuse_box *part) {
    const struct fuse_value *value = &ir->values.at[op->out];
    size_t bytes = fuse_dtype_bytes(value->dtype);
    struct fuse_box whole = fuse_box_full(value->rank, value->extent);
    if (fuse_box_equal(&whole, part) || fuse_box_is_empty(&whole))
        return;
    struct fuse_view view = fuse_box_view((void *)op->data, value->dtype, &whole, false, part);
    int64_t elems = fuse_box_elems(part), at[FUSE_MAX_AXES] = {0};
    char *data = fuse_arena_alloc(ir->arena, (size_t)elems * bytes);
    for (int64_t n = 0; n < elems; n++) {
        int64_t from = 0;
        for (int a = 0; a < value->rank; a++)
            from += at[a] * view.stride[a];
        memcpy(data + (size_t)n * bytes, (const char *)view.data + from * (int64_t)bytes, bytes);
        for (int a = value->rank - 1; a >= 0 && ++at[a] == view.extent[a]; a--)
            at[a] = 0;
    }
    op->data = data;
}

/* Coordinates of what it reads and of what it makes begin at the boxes. */
static void rewrite(struct shrinker *s, struct fuse_op *op) {
    struct fuse_ir *ir = s->ir;
    struct fuse_box iteration = iteration_of(s, op), read;
    bool *outside = FUSE_NEW_ARRAY(ir->arena, bool, op->inputs), changed = false;
    for (int k = 0; k < op->inputs && op->kind != FUSE_OP_SOURCE; k++) {
        struct fuse_use *use = &op->input[k];
        const struct fuse_value *value = &ir->values.at[use->value];
        /* The value has its new extents already: the box begins where it did. */
        struct fuse_use moved = *use;
        for (int a = 0; a < use->access.rank; a++)
            moved.access.at[a].offset -= s->box[use->value].lo[a];
        outside[k] =
            fuse_value_elems(value) > 0 && !fuse_box_is_empty(&iteration) && !find_read(&read, ir, &moved, &iteration);
        changed |= outside[k];
        for (int a = 0; a < use->access.rank; a++) {
            struct fuse_access_axis *at = &use->access.at[a];
            at->offset = moved.access.at[a].offset;
            if (at->index >= 0 && !fuse_access_is_paired(at))
                at->offset += at->stride * iteration.lo[at->index];
        }
    }
    for (int x = 0; x < op->indices; x++) {
        changed |= iteration.lo[x] != 0;
        op->extent[x] = iteration.hi[x] - iteration.lo[x];
    }
    if (op->kind == FUSE_OP_MAP && changed)
        move_body(s, op, &iteration, outside);
    if (op->out < 0)
        return;
    const struct fuse_box *box = &s->box[op->out];
    if (op->kind == FUSE_OP_LITERAL)
        cut_literal(ir, op, box);
    for (int a = 0; a < box->rank; a++) {
        op->begin[a] += op->kind == FUSE_OP_SOURCE ? box->lo[a] : 0;
        ir->values.at[op->out].extent[a] = box->hi[a] - box->lo[a];
    }
}

void fuse_ir_shrink(struct fuse_ir *ir) {
    fuse_ir_sweep(ir); /* what is dead reads nothing */
    struct shrinker s = {.ir = ir, .box = FUSE_NEW_ARRAY(ir->arena, struct fuse_box, ir->values.n)};
    s.body.arena = ir->arena;
    find_boxes(&s);
    for (int o = 0; o < ir->ops.n; o++)
        rewrite(&s, ir->ops.at[o]);
}
