/* Element-wise MAPs become part of the MAP that reads them: no tensor in between. */
#include "ir/ir.h"

#include "ir/rewrite.h"

#include <string.h>

/* A producer that more than one operation reads, or that a larger space reads, is computed several times: at most this
 * many nodes of it, none of them expensive. */
#define REPEATED_NODES 16

struct fuser {
    struct fuse_ir *ir;
    int *users;  /* per value: live operations that read it */
    int *others; /* of those, the ones that are no MAP and keep it materialised */
    struct fuse_body body;
};

static bool is_expensive(enum fuse_scalar_op op) {
    return fuse_scalar_is_transcendental(op) || op == FUSE_SCALAR_DIV || op == FUSE_SCALAR_SQRT ||
           op == FUSE_SCALAR_RSQRT || op == FUSE_SCALAR_UNIFORM;
}

static bool is_cheap(const struct fuse_scalar *body) {
    for (int i = 0; i < body->n; i++)
        if (is_expensive(body->node[i].op))
            return false;
    return body->n <= REPEATED_NODES;
}

/* true when scalar operations can say what a store of one type to another does: not for narrow integers. */
static bool can_convert(enum fuse_dtype from, enum fuse_dtype out) {
    bool is_small_integer = fuse_dtype_compute(out) == FUSE_I64 && out != FUSE_I64;
    bool is_half = out == FUSE_F16 || out == FUSE_BF16;
    return from == out || from == FUSE_BOOL || (!is_small_integer && !(is_half && from == FUSE_I64));
}

/* The node that a LOAD of the producer's output would give: the store's conversion without the store. */
static int convert(struct fuse_body *body, int node, enum fuse_dtype out) {
    enum fuse_dtype from = body->nodes.at[node].dtype, to = fuse_dtype_compute(out);
    if (from == out)
        return node;
    if (from == FUSE_BOOL)
        return fuse_body_unary(body, FUSE_SCALAR_CAST, to, node);
    if (out == FUSE_BOOL)
        return fuse_body_binary(body, FUSE_SCALAR_NE, FUSE_BOOL, node, fuse_body_integer(body, from, 0));
    if (out == FUSE_F16 || out == FUSE_BF16) {
        node = fuse_body_add(
            body, (struct fuse_scalar_node){
                      .op = FUSE_SCALAR_NARROW, .dtype = from, .a = node, .b = -1, .c = -1, .arg = (int)out});
        return fuse_body_unary(body, FUSE_SCALAR_CAST, to, node);
    }
    return fuse_body_unary(body, FUSE_SCALAR_CAST, to, node);
}

static int64_t space(const struct fuse_op *op) {
    int64_t points = 1;
    for (int x = 0; x < op->indices; x++)
        points = fuse_sat_mul(points, op->extent[x]);
    return points;
}

/* A body so small that reading its input again costs what reading its output would. */
static bool is_trivial(const struct fuse_ir *ir, const struct fuse_op *op) {
    if (op->inputs == 0)
        return is_cheap(op->body);
    return op->inputs == 1 && op->body->n <= 3 && is_cheap(op->body) &&
           fuse_dtype_bytes(ir->values.at[op->input[0].value].dtype) <= fuse_dtype_bytes(ir->values.at[op->out].dtype);
}

static bool has_pair(const struct fuse_access *access) {
    bool pair = false;
    for (int a = 0; a < access->rank; a++)
        pair |= fuse_access_is_paired(&access->at[a]);
    return pair;
}

/* How often the operation reads the value, through different index maps; 0 when one of them leaves it, or reads a pair of
 * axes as one, which bodies have no operation for. */
static int count_reads(const struct fuse_ir *ir, const struct fuse_op *op, int value) {
    int reads = 0;
    for (int k = 0; k < op->inputs; k++) {
        if (op->input[k].value != value)
            continue;
        if (!fuse_use_in_bounds(ir, op, k) || has_pair(&op->input[k].access))
            return 0;
        reads++;
    }
    return reads;
}

static bool is_worth_it(const struct fuser *f, const struct fuse_op *op, const struct fuse_op *producer) {
    const struct fuse_ir *ir = f->ir;
    int value = producer->out;
    if (producer->kind != FUSE_OP_MAP || producer->reduce != FUSE_REDUCE_NONE || ir->values.at[value].pin > 0 ||
        !can_convert(producer->body->node[producer->body->n - 1].dtype, ir->values.at[value].dtype))
        return false;
    bool alone = f->users[value] == 1;
    bool generated = producer->inputs == 0 && is_cheap(producer->body);
    if (!alone && !generated && !(f->others[value] == 0 && is_trivial(ir, producer)))
        return false;
    int reads = count_reads(ir, op, value);
    if (reads == 0)
        return false;
    if (fuse_sat_mul(space(op), reads) > space(producer) && !is_cheap(producer->body))
        return false;
    int inputs = op->inputs + reads * (producer->inputs - 1);
    return inputs <= FUSE_FUSED_INPUTS || producer->inputs <= 1;
}

/* The inputs of a MAP while a producer is taken into it. */
struct target {
    FUSE_VEC(struct fuse_use) inputs;
};

static int find_input(struct target *target, struct fuse_arena *arena, const struct fuse_use *use) {
    for (int k = 0; k < target->inputs.n; k++)
        if (target->inputs.at[k].value == use->value && fuse_access_equal(&target->inputs.at[k].access, &use->access))
            return k;
    fuse_vec_push(arena, &target->inputs, *use);
    return target->inputs.n - 1;
}

/* Global coordinate of the producer's index `index` when the target reads its output through `access`. */
static int coordinate(struct fuse_body *body, const struct fuse_op *producer, int index,
                      const struct fuse_access *access) {
    int a = 0;
    while (producer->out_index[a] != index)
        a++;
    int offset = fuse_body_integer(body, FUSE_I64, access->at[a].offset);
    if (access->at[a].index < 0 || access->at[a].stride == 0)
        return offset;
    int iota = fuse_body_add(
        body, (struct fuse_scalar_node){
                  .op = FUSE_SCALAR_IOTA, .dtype = FUSE_I64, .a = -1, .b = -1, .c = -1, .arg = access->at[a].index});
    int stride = fuse_body_integer(body, FUSE_I64, access->at[a].stride);
    int scaled = fuse_body_binary(body, FUSE_SCALAR_MUL, FUSE_I64, iota, stride);
    return fuse_body_binary(body, FUSE_SCALAR_ADD, FUSE_I64, scaled, offset);
}

/* Adds the producer's body, which `user` reads through `access`, and its inputs. -1 when an index map does not compose. */
static int inline_body(struct fuser *f, struct target *target, const struct fuse_op *user,
                       const struct fuse_op *producer, const struct fuse_access *access) {
    struct fuse_arena *arena = f->ir->arena;
    const struct fuse_scalar *body = producer->body;
    int *number = FUSE_NEW_ARRAY(arena, int, body->n);
    int *input = FUSE_NEW_ARRAY(arena, int, producer->inputs);
    for (int k = 0; k < producer->inputs; k++) {
        struct fuse_use use = {.value = producer->input[k].value};
        if (!fuse_access_compose(&use.access, user, access, producer, &producer->input[k].access))
            return -1;
        input[k] = find_input(target, arena, &use);
    }
    for (int i = 0; i < body->n; i++) {
        struct fuse_scalar_node node = body->node[i];
        int *argument[3] = {&node.a, &node.b, &node.c};
        if (node.op == FUSE_SCALAR_IOTA) {
            number[i] = coordinate(&f->body, producer, node.arg, access);
            continue;
        }
        if (node.op == FUSE_SCALAR_LOAD)
            node.arg = input[node.arg];
        for (int k = 0; k < fuse_scalar_arity(node.op); k++)
            *argument[k] = number[*argument[k]];
        number[i] = fuse_body_add(&f->body, node);
    }
    return convert(&f->body, number[body->n - 1], f->ir->values.at[producer->out].dtype);
}

/* Readers of a value are counted once an operation, however often it reads. */
static void count_inputs(struct fuser *f, const struct fuse_op *op, int change) {
    for (int k = 0; k < op->inputs; k++) {
        bool again = false;
        for (int j = 0; j < k && !again; j++)
            again = op->input[j].value == op->input[k].value;
        if (again)
            continue;
        f->users[op->input[k].value] += change;
        if (op->kind != FUSE_OP_MAP)
            f->others[op->input[k].value] += change;
    }
}

/* Replaces every read of the producer's output in the target's operation. */
static bool take_in(struct fuser *f, struct fuse_op *op, const struct fuse_op *producer) {
    struct fuse_ir *ir = f->ir;
    struct target target = {0};
    /* An overflow that stands for something else must not be mistaken for another one. */
    if (op->overflow || producer->overflow || !is_worth_it(f, op, producer))
        return false;
    for (int k = 0; k < op->inputs; k++)
        fuse_vec_push(ir->arena, &target.inputs, op->input[k]);

    int *number = FUSE_NEW_ARRAY(ir->arena, int, op->body->n);
    fuse_body_reset(&f->body);
    for (int i = 0; i < op->body->n; i++) {
        struct fuse_scalar_node node = op->body->node[i];
        int *argument[3] = {&node.a, &node.b, &node.c};
        if (node.op == FUSE_SCALAR_LOAD && op->input[node.arg].value == producer->out) {
            number[i] = inline_body(f, &target, op, producer, &op->input[node.arg].access);
            if (number[i] < 0)
                return false;
            continue;
        }
        for (int k = 0; k < fuse_scalar_arity(node.op); k++)
            *argument[k] = number[*argument[k]];
        number[i] = fuse_body_add(&f->body, node);
    }
    const struct fuse_scalar *body = fuse_body_finish(&f->body, number[op->body->n - 1]);
    if (body->n > FUSE_FUSED_NODES && body->n > op->body->n)
        return false;

    count_inputs(f, op, -1);
    if (f->users[producer->out] == 0)
        count_inputs(f, producer, -1);
    op->input = target.inputs.at;
    op->inputs = target.inputs.n;
    op->body = body;
    fuse_ir_fold_map(ir, op, &f->body);
    count_inputs(f, op, 1);
    return true;
}

void fuse_ir_fuse(struct fuse_ir *ir) {
    struct fuser f = {.ir = ir, .body.arena = ir->arena};
    f.users = FUSE_NEW_ARRAY(ir->arena, int, ir->values.n);
    f.others = FUSE_NEW_ARRAY(ir->arena, int, ir->values.n);
    for (int i = 0; i < ir->ops.n; i++)
        count_inputs(&f, ir->ops.at[i], 1);
    for (int i = 0; i < ir->ops.n; i++) {
        struct fuse_op *op = ir->ops.at[i];
        /* What a producer brings along may be worth taking in as well: start over, the body grows to its bound at most. */
        for (int k = 0; op->kind == FUSE_OP_MAP && k < op->inputs; k++)
            if (take_in(&f, op, ir->ops.at[ir->values.at[op->input[k].value].op]))
                k = -1;
    }
}
