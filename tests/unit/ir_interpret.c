#include "ir_interpret.h"

#include <math.h>
#include <string.h>

int build_source(struct fuse_ir *ir, const char *name, enum fuse_dtype dtype, int rank, const int64_t *extent) {
    struct fuse_op op = {.kind = FUSE_OP_SOURCE, .span = FUSE_NO_SPAN, .path = name};
    op.out = fuse_ir_add_value(ir, name, FUSE_NO_SPAN, dtype, rank, extent);
    op.probe.rank = rank;
    op.probe.file_dtype = dtype;
    for (int a = 0; a < rank; a++)
        op.probe.extent[a] = extent[a];
    fuse_ir_add_op(ir, &op);
    return op.out;
}

int build_literal(struct fuse_ir *ir, enum fuse_dtype dtype, int rank, const int64_t *extent, const void *data) {
    struct fuse_op op = {.kind = FUSE_OP_LITERAL, .span = FUSE_NO_SPAN, .data = data};
    op.out = fuse_ir_add_value(ir, NULL, FUSE_NO_SPAN, dtype, rank, extent);
    fuse_ir_add_op(ir, &op);
    return op.out;
}

int build_sink(struct fuse_ir *ir, const char *path, int value) {
    struct fuse_use use = {.value = value, .access = fuse_access_identity(ir->values.at[value].rank)};
    struct fuse_op op = {.kind = FUSE_OP_SINK, .span = FUSE_NO_SPAN, .path = path, .inputs = 1, .input = &use};
    return fuse_ir_add_op(ir, &op);
}

static int build(struct fuse_ir *ir, struct fuse_op *op, enum fuse_dtype dtype, const char *out, const char *indices,
                 const int64_t *extent, int inputs, const struct build_use *input) {
    int64_t out_extent[FUSE_MAX_AXES];
    int rank = (int)strlen(out);
    op->span = FUSE_NO_SPAN;
    op->indices = (int)strlen(indices);
    for (int x = 0; x < op->indices; x++) {
        op->extent[x] = extent[x];
        op->index_name[x] = fuse_arena_strndup(ir->arena, indices + x, 1);
    }
    for (int a = 0; a < rank; a++) {
        op->out_index[a] = (int)(strchr(indices, out[a]) - indices);
        out_extent[a] = extent[op->out_index[a]];
    }
    op->inputs = inputs;
    op->input = FUSE_NEW_ARRAY(ir->arena, struct fuse_use, inputs);
    for (int k = 0; k < inputs; k++) {
        op->input[k].value = input[k].value;
        op->input[k].access.rank = (int)strlen(input[k].at);
        for (int a = 0; a < op->input[k].access.rank; a++) {
            struct fuse_access_axis *axis = &op->input[k].access.at[a];
            const char *found = strchr(indices, input[k].at[a]);
            axis->index = found ? (int)(found - indices) : -1;
            axis->stride = found ? 1 : 0;
        }
    }
    op->out = fuse_ir_add_value(ir, NULL, FUSE_NO_SPAN, dtype, rank, out_extent);
    fuse_ir_add_op(ir, op);
    return op->out;
}

int build_product(struct fuse_ir *ir, enum fuse_dtype dtype, const char *out, const char *indices,
                  const int64_t *extent, int inputs, const struct build_use *input) {
    struct fuse_op op = {.kind = FUSE_OP_EINSUM};
    op.reduce = strlen(out) < strlen(indices) ? FUSE_REDUCE_SUM : FUSE_REDUCE_NONE;
    return build(ir, &op, dtype, out, indices, extent, inputs, input);
}

int build_map(struct fuse_ir *ir, enum fuse_dtype dtype, const char *out, const char *indices, const int64_t *extent,
              int inputs, const struct build_use *input, enum fuse_reduce reduce, const struct fuse_scalar *body) {
    struct fuse_op op = {.kind = FUSE_OP_MAP, .reduce = reduce, .body = body};
    return build(ir, &op, dtype, out, indices, extent, inputs, input);
}

static int add_node(struct build_body *body, struct fuse_scalar_node node) {
    fuse_vec_push(body->arena, &body->nodes, node);
    return body->nodes.n - 1;
}

int body_load(struct build_body *body, int input, enum fuse_dtype dtype) {
    return add_node(body, (struct fuse_scalar_node){FUSE_SCALAR_LOAD, dtype, -1, -1, -1, input, 0, 0});
}

int body_iota(struct build_body *body, int index) {
    return add_node(body, (struct fuse_scalar_node){FUSE_SCALAR_IOTA, FUSE_I64, -1, -1, -1, index, 0, 0});
}

int body_int(struct build_body *body, enum fuse_dtype dtype, int64_t integer) {
    return add_node(body, (struct fuse_scalar_node){FUSE_SCALAR_CONST, dtype, -1, -1, -1, 0, integer, 0});
}

int body_real(struct build_body *body, enum fuse_dtype dtype, double real) {
    return add_node(body, (struct fuse_scalar_node){FUSE_SCALAR_CONST, dtype, -1, -1, -1, 0, 0, real});
}

int body_op(struct build_body *body, enum fuse_scalar_op op, enum fuse_dtype dtype, int a, int b, int c) {
    return add_node(body, (struct fuse_scalar_node){op, dtype, a, b, c, 0, 0, 0});
}

const struct fuse_scalar *body_end(struct build_body *body) {
    struct fuse_scalar *scalar = FUSE_NEW(body->arena, struct fuse_scalar);
    scalar->n = body->nodes.n;
    scalar->node = body->nodes.at;
    return scalar;
}

int build_carry(struct fuse_ir *ir, enum fuse_dtype dtype, int rank, const int64_t *extent) {
    struct build_body zero = {.arena = ir->arena};
    body_real(&zero, dtype, 0);
    int value =
        build_map(ir, dtype, "abc" + 3 - rank, "abc" + 3 - rank, extent, 0, NULL, FUSE_REDUCE_NONE, body_end(&zero));
    ir->ops.at[ir->values.at[value].op]->kind = FUSE_OP_CARRY;
    return value;
}

int build_moves(struct fuse_ir *ir, int before, int after, const char *indices) {
    struct build_body body = {.arena = ir->arena};
    const enum fuse_dtype dtype = ir->values.at[before].dtype;
    int load[2];
    for (int k = 0; k < 2; k++) {
        load[k] = body_load(&body, k, dtype);
        if (dtype != FUSE_F64)
            load[k] = body_op(&body, FUSE_SCALAR_CAST, FUSE_F64, load[k], -1, -1);
    }
    body_op(&body, FUSE_SCALAR_ABS, FUSE_F64, body_op(&body, FUSE_SCALAR_SUB, FUSE_F64, load[0], load[1], -1), -1, -1);
    return build_map(ir, FUSE_F64, "", indices, ir->values.at[before].extent, 2,
                     (struct build_use[]){{before, indices}, {after, indices}}, FUSE_REDUCE_MAX, body_end(&body));
}

int build_fixpoint(struct fuse_ir *ir, int before, int after, int moves) {
    const struct fuse_op *carry = ir->ops.at[ir->values.at[before].op];
    struct fuse_op op = *carry;
    struct fuse_use use[3] = {{before, fuse_access_identity(op.indices)},
                              {after, fuse_access_identity(op.indices)},
                              {moves, fuse_access_identity(0)}};
    op.kind = FUSE_OP_FIXPOINT;
    op.body = NULL;
    op.inputs = 3;
    op.input = use;
    op.out = fuse_ir_add_value(ir, NULL, op.span, ir->values.at[before].dtype, op.indices, carry->extent);
    fuse_ir_add_op(ir, &op);
    return op.out;
}

static bool is_real(enum fuse_dtype dtype) {
    return dtype == FUSE_F32 || dtype == FUSE_F64;
}

static union fuse_scalar_value read_element(const void *data, enum fuse_dtype dtype, int64_t at) {
    const char *element = (const char *)data + (size_t)at * fuse_dtype_bytes(dtype);
    union fuse_scalar_value value = {0};
    if (is_real(fuse_dtype_compute(dtype)))
        (void)fuse_dtype_convert(&value.real, FUSE_F64, element, dtype, 1);
    else
        (void)fuse_dtype_convert(&value.integer, FUSE_I64, element, dtype, 1);
    return value;
}

static void write_element(void *data, enum fuse_dtype dtype, int64_t at, enum fuse_dtype from,
                          union fuse_scalar_value value) {
    char *element = (char *)data + (size_t)at * fuse_dtype_bytes(dtype);
    if (is_real(from))
        (void)fuse_dtype_convert(element, dtype, &value.real, FUSE_F64, 1);
    else
        (void)fuse_dtype_convert(element, dtype, &value.integer, FUSE_I64, 1);
}

/* Small integers, some fractions, some negative: products and sums of a few stay exact in F32. */
static void fill_source(void *data, const struct fuse_value *value, const struct fuse_op *op) {
    uint64_t state = 1469598103934665603u;
    for (const char *c = op->path; *c; c++)
        state = (state ^ (unsigned char)*c) * 1099511628211u;
    int64_t in_file = 1, at[FUSE_MAX_AXES] = {0}; /* position in the file, of which the value may be a part */
    for (int a = 0; a < value->rank; a++)
        in_file *= op->probe.extent[a];
    for (int64_t i = 0; i < in_file; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        union fuse_scalar_value number = {.real = (double)((int64_t)(state >> 33) % 7 - 3)};
        if (fuse_dtype_class(value->dtype) == FUSE_CLASS_REAL && state >> 20 & 1)
            number.real += 0.5;
        if (value->dtype == FUSE_BOOL || fuse_dtype_class(value->dtype) == FUSE_CLASS_UINT)
            number.real = fabs(number.real);
        int64_t element = 0;
        bool is_inside = true;
        for (int a = 0; a < value->rank; a++) {
            int64_t x = at[a] - op->begin[a];
            is_inside = is_inside && x >= 0 && x < value->extent[a];
            element = element * value->extent[a] + x;
        }
        if (is_inside)
            write_element(data, value->dtype, element, FUSE_F64, number);
        for (int a = value->rank - 1; a >= 0 && ++at[a] == op->probe.extent[a]; a--)
            at[a] = 0;
    }
}

struct state {
    const struct fuse_ir *ir;
    struct fuse_arena *arena;
    void **data;
    bool overflow, is_scored;
    double score; /* what LOAD(0) of an attention's body is then */
};

static union fuse_scalar_value load(const struct state *s, const struct fuse_use *use, const int64_t *point) {
    const struct fuse_value *value = &s->ir->values.at[use->value];
    int64_t at = 0;
    for (int a = 0; a < value->rank; a++) {
        const struct fuse_access_axis *axis = &use->access.at[a];
        int64_t x = fuse_access_coordinate(axis, axis->index < 0 ? 0 : point[axis->index]);
        if (x < 0 || x >= value->extent[a])
            return (union fuse_scalar_value){0};
        at = at * value->extent[a] + x;
    }
    return read_element(s->data[use->value], value->dtype, at);
}

static union fuse_scalar_value evaluate(struct state *s, const struct fuse_op *op, const int64_t *point) {
    union fuse_scalar_value node[1024], none = {0};
    const struct fuse_scalar *body = op->body;
    for (int i = 0; i < body->n; i++) {
        const struct fuse_scalar_node *n = &body->node[i];
        if (n->op == FUSE_SCALAR_LOAD)
            node[i] = s->is_scored && n->arg == 0 ? (union fuse_scalar_value){.real = s->score}
                                                  : load(s, &op->input[n->arg], point);
        else if (n->op == FUSE_SCALAR_IOTA)
            node[i].integer = point[n->arg];
        else
            node[i] = fuse_scalar_eval(n, n->a >= 0 ? body->node[n->a].dtype : n->dtype, n->a >= 0 ? node[n->a] : none,
                                       n->b >= 0 ? node[n->b] : none, n->c >= 0 ? node[n->c] : none, &s->overflow);
    }
    return node[body->n - 1];
}

static union fuse_scalar_value product(struct state *s, const struct fuse_op *op, const int64_t *point,
                                       enum fuse_dtype dtype) {
    union fuse_scalar_value result = {.integer = 1};
    if (is_real(dtype))
        result.real = 1;
    for (int k = 0; k < op->inputs; k++) {
        union fuse_scalar_value x = load(s, &op->input[k], point);
        bool real = is_real(fuse_dtype_compute(s->ir->values.at[op->input[k].value].dtype));
        if (is_real(dtype))
            result.real *= real ? x.real : (double)x.integer;
        else
            s->overflow |= __builtin_mul_overflow(result.integer, real ? (int64_t)x.real : x.integer, &result.integer);
    }
    return result;
}

static union fuse_scalar_value neutral(enum fuse_reduce reduce, enum fuse_dtype dtype) {
    union fuse_scalar_value value = {0};
    switch (reduce) {
    case FUSE_REDUCE_NONE:
    case FUSE_REDUCE_SUM:
    case FUSE_REDUCE_OR: return value;
    case FUSE_REDUCE_PROD:
    case FUSE_REDUCE_AND:
        if (is_real(dtype))
            value.real = 1;
        else
            value.integer = 1;
        return value;
    case FUSE_REDUCE_MIN:
    case FUSE_REDUCE_MAX:
        if (is_real(dtype))
            value.real = reduce == FUSE_REDUCE_MIN ? INFINITY : -INFINITY;
        else
            value.integer = reduce == FUSE_REDUCE_MIN ? INT64_MAX : INT64_MIN;
        return value;
    }
    return value;
}

static union fuse_scalar_value combine(struct state *s, enum fuse_reduce reduce, enum fuse_dtype dtype,
                                       union fuse_scalar_value a, union fuse_scalar_value b) {
    static const enum fuse_scalar_op op[] = {
        [FUSE_REDUCE_SUM] = FUSE_SCALAR_ADD,     [FUSE_REDUCE_PROD] = FUSE_SCALAR_MUL,
        [FUSE_REDUCE_MIN] = FUSE_SCALAR_MINIMUM, [FUSE_REDUCE_MAX] = FUSE_SCALAR_MAXIMUM,
        [FUSE_REDUCE_OR] = FUSE_SCALAR_OR,       [FUSE_REDUCE_AND] = FUSE_SCALAR_AND,
    };
    /* F32 sums are accumulated in F64. */
    enum fuse_dtype in = dtype == FUSE_F32 && reduce == FUSE_REDUCE_SUM ? FUSE_F64 : dtype;
    struct fuse_scalar_node node = {.op = op[reduce], .dtype = in};
    return fuse_scalar_eval(&node, in, a, b, b, &s->overflow);
}

static void run_loop(struct state *s, const struct fuse_op *op) {
    const struct fuse_value *out = &s->ir->values.at[op->out];
    enum fuse_dtype dtype = op->kind == FUSE_OP_EINSUM ? out->dtype : op->body->node[op->body->n - 1].dtype;
    int64_t elems = fuse_value_elems(out), points = 1;
    union fuse_scalar_value *sum = FUSE_NEW_ARRAY(s->arena, union fuse_scalar_value, elems);
    for (int64_t i = 0; i < elems; i++)
        sum[i] = neutral(op->reduce, dtype);
    for (int x = 0; x < op->indices; x++)
        points *= op->extent[x];
    for (int64_t p = 0; p < points; p++) {
        int64_t point[FUSE_MAX_AXES], rest = p, at = 0;
        for (int x = op->indices - 1; x >= 0; x--) {
            point[x] = rest % op->extent[x];
            rest /= op->extent[x];
        }
        for (int a = 0; a < out->rank; a++)
            at = at * out->extent[a] + point[op->out_index[a]];
        union fuse_scalar_value x = op->kind == FUSE_OP_EINSUM ? product(s, op, point, dtype) : evaluate(s, op, point);
        sum[at] = op->reduce == FUSE_REDUCE_NONE ? x : combine(s, op->reduce, dtype, sum[at], x);
    }
    for (int64_t i = 0; i < elems; i++) {
        union fuse_scalar_value x = sum[i];
        if (dtype == FUSE_F32)
            x.real = (double)(float)x.real;
        write_element(s->data[op->out], out->dtype, i, dtype, x);
    }
}

/* The last FIXPOINT of a recursion, whose first turn has been run. */
static void run_recursion(struct state *s, int last) {
    const struct fuse_ir *ir = s->ir;
    const struct fuse_op *op = ir->ops.at[last];
    const int *recursion = fuse_ir_recursions(ir, s->arena);
    if (last + 1 < ir->ops.n && recursion[last + 1] == op->until)
        return;
    for (bool settled = false; !settled;) {
        settled = true;
        for (int o = 0; o <= last; o++) {
            const struct fuse_op *at = ir->ops.at[o];
            if (at->kind != FUSE_OP_FIXPOINT || at->until != op->until)
                continue;
            size_t bytes = (size_t)fuse_value_bytes(&ir->values.at[at->out]);
            settled &= !(read_element(s->data[at->input[2].value], FUSE_F64, 0).real > 0);
            memcpy(s->data[at->input[0].value], s->data[at->input[1].value], bytes);
            memcpy(s->data[at->out], s->data[at->input[1].value], bytes);
        }
        for (int o = 0; o < last && !settled; o++)
            if (recursion[o] == op->until &&
                (ir->ops.at[o]->kind == FUSE_OP_EINSUM || ir->ops.at[o]->kind == FUSE_OP_MAP))
                run_loop(s, ir->ops.at[o]);
    }
}

/* At each point of the result: the scores of all keys, then their weights. */
static void run_attention(struct state *s, const struct fuse_op *op) {
    const struct fuse_value *out = &s->ir->values.at[op->out];
    int key, depth;
    int64_t point[FUSE_MAX_AXES] = {0};
    fuse_attention_indices(s->ir, op, &key, &depth);
    double *score = FUSE_NEW_ARRAY(s->arena, double, op->extent[key] + 1);
    for (int64_t i = 0; i < fuse_value_elems(out); i++) {
        int64_t rest = i;
        for (int a = out->rank - 1; a >= 0; a--) {
            point[op->out_index[a]] = rest % out->extent[a];
            rest /= out->extent[a];
        }
        double most = -INFINITY, total = 0, sum = 0;
        for (point[key] = 0; point[key] < op->extent[key]; point[key]++) {
            s->score = 0;
            for (point[depth] = 0; point[depth] < op->extent[depth]; point[depth]++)
                s->score += load(s, &op->input[0], point).real * load(s, &op->input[1], point).real;
            point[depth] = 0;
            s->is_scored = true;
            double x = evaluate(s, op, point).real;
            s->is_scored = false;
            score[point[key]] = x;
            most = x > most ? x : most;
        }
        for (point[key] = 0; point[key] < op->extent[key]; point[key]++) {
            double weight = exp(score[point[key]] - most);
            weight = op->guarded && score[point[key]] == -INFINITY ? 0 : weight;
            total += weight;
            sum += weight * load(s, &op->input[2], point).real;
        }
        point[key] = 0;
        union fuse_scalar_value x = {.real = op->guarded && total == 0 ? 0 : sum / total};
        write_element(s->data[op->out], out->dtype, i, fuse_dtype_compute(out->dtype), x);
    }
}

bool interpret(struct interpreted *out, struct fuse_arena *arena, const struct fuse_ir *ir) {
    struct state s = {.ir = ir, .arena = arena};
    *out = (struct interpreted){0};
    out->sink = FUSE_NEW_ARRAY(arena, const void *, ir->ops.n);
    out->value = FUSE_NEW_ARRAY(arena, const struct fuse_value *, ir->ops.n);
    s.data = FUSE_NEW_ARRAY(arena, void *, ir->values.n);
    for (int v = 0; v < ir->values.n; v++)
        s.data[v] = fuse_arena_alloc(arena, (size_t)fuse_value_bytes(&ir->values.at[v]));
    for (int i = 0; i < ir->ops.n; i++) {
        const struct fuse_op *op = ir->ops.at[i];
        switch (op->kind) {
        case FUSE_OP_SOURCE: fill_source(s.data[op->out], &ir->values.at[op->out], op); break;
        case FUSE_OP_LITERAL:
            memcpy(s.data[op->out], op->data, (size_t)fuse_value_bytes(&ir->values.at[op->out]));
            break;
        case FUSE_OP_JOIN:
        case FUSE_OP_SPARSIFY:
        case FUSE_OP_RULES:
        case FUSE_OP_DERIVED: return false; /* random programs have no relations */
        case FUSE_OP_EINSUM:
        case FUSE_OP_CARRY:
        case FUSE_OP_MAP: run_loop(&s, op); break;
        case FUSE_OP_FIXPOINT: run_recursion(&s, i); break;
        case FUSE_OP_ATTENTION: run_attention(&s, op); break;
        case FUSE_OP_SINK:
            out->value[out->sinks] = &ir->values.at[op->input[0].value];
            out->sink[out->sinks++] = s.data[op->input[0].value];
            break;
        }
    }
    return !s.overflow;
}

static bool is_close(double a, double b, double tolerance) {
    if (isnan(a) || isnan(b))
        return isnan(a) && isnan(b);
    if (isinf(a) || isinf(b))
        return a == b;
    return fabs(a - b) <= tolerance * fmax(1, fmax(fabs(a), fabs(b)));
}

bool interpreted_equal(const struct interpreted *a, const struct interpreted *b, double tolerance) {
    if (a->sinks != b->sinks)
        return false;
    for (int k = 0; k < a->sinks; k++) {
        const struct fuse_value *x = a->value[k], *y = b->value[k];
        if (x->dtype != y->dtype || x->rank != y->rank)
            return false;
        for (int d = 0; d < x->rank; d++)
            if (x->extent[d] != y->extent[d])
                return false;
        for (int64_t i = 0; i < fuse_value_elems(x); i++) {
            union fuse_scalar_value p = read_element(a->sink[k], x->dtype, i);
            union fuse_scalar_value q = read_element(b->sink[k], y->dtype, i);
            if (is_real(fuse_dtype_compute(x->dtype)) ? !is_close(p.real, q.real, tolerance) : p.integer != q.integer)
                return false;
        }
    }
    return true;
}
