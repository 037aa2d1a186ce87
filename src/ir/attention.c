/* Softmax attention becomes one operation, so that no scores are ever formed:
 *
 *   score  = einsum  q k                         summed over depth, the first index
 *   most   = map max s(score, ..)                over the keys
 *   total  = map sum w                           w = exp(s - most), or select(c, exp(s - most), 0) where s is -inf unless c
 *   weight = map     w / total, or w
 *   out    = einsum  weight v                    summed over the keys
 *   result = map     out / total                 if weight was w; or select(total == 0, 0, out / total)
 *
 * What is between score and weight may be maps of their own. Nothing but these operations may read what is between q and out.
 * Bodies are compared after they have been written into one builder, in the indices of `out` and one for depth. */
#include "ir/ir.h"

#include "ir/rewrite.h"

#include <math.h>
#include <string.h>

#define MOST_WIDTH 1024
#define MOST_DEEP 8 /* maps between score and weight */

enum { SCORE, MOST, TOTAL, WEIGHT, LOADS }; /* what LOADs stand for; LOADS + n: further input n */
enum { FIRST = 3 };                         /* the number of further input 0 in the new operation */

struct matcher {
    struct fuse_ir *ir;
    struct fuse_body body;
    const struct fuse_op *out;      /* the product of weights and values */
    int number;                     /* of `out` */
    int value[LOADS];               /* -1: not known yet */
    int axes[LOADS][FUSE_MAX_AXES]; /* what the new operation's indices call theirs */
    int key, depth;                 /* indices of the new operation */
    bool *inside;                   /* [values] between q and out, made by operations that go */
    bool *of_scores;                /* [values] made from the scores */
    struct fuse_use input[FUSE_FUSED_INPUTS];
    int inputs; /* beside queries, keys and values */
};

static const struct fuse_op *maker(const struct matcher *m, int value) {
    return m->ir->ops.at[m->ir->values.at[value].op];
}

static bool is_plain_map(const struct fuse_op *op) {
    return op->kind == FUSE_OP_MAP && op->reduce == FUSE_REDUCE_NONE && !op->overflow;
}

/* The numbers of the new operation's indices along the axes of a value that is read position by position; false when it is
 * read in another way. `index` says what the reader's indices are called. */
static bool read_axes(int axes[FUSE_MAX_AXES], const struct matcher *m, const struct fuse_op *reader,
                      const struct fuse_use *use, const int *index) {
    const struct fuse_value *value = &m->ir->values.at[use->value];
    for (int a = 0; a < use->access.rank; a++) {
        const struct fuse_access_axis *at = &use->access.at[a];
        if (at->index < 0 || at->stride != 1 || at->offset != 0 || fuse_access_is_paired(at) ||
            reader->extent[at->index] != value->extent[a])
            return false;
        axes[a] = index[at->index];
        for (int b = 0; b < a; b++)
            if (axes[b] == axes[a])
                return false;
    }
    return true;
}

/* The indices of the operation that makes a value, once its axes are known; the projected one, if there is one, is `other`. */
static bool name_indices(int index[FUSE_MAX_AXES], const struct matcher *m, const struct fuse_op *op, const int *axes,
                         int other) {
    int rank = m->ir->values.at[op->out].rank;
    for (int x = 0; x < op->indices; x++)
        index[x] = other;
    for (int a = 0; a < rank; a++)
        index[op->out_index[a]] = axes[a];
    return op->indices <= rank + (other >= 0);
}

static int add_input(struct matcher *m, const struct fuse_use *use, const int *index) {
    struct fuse_use own = *use;
    for (int a = 0; a < own.access.rank; a++)
        if (own.access.at[a].index >= 0)
            own.access.at[a].index = index[own.access.at[a].index];
    for (int k = 0; k < m->inputs; k++)
        if (m->input[k].value == own.value && fuse_access_equal(&m->input[k].access, &own.access))
            return LOADS + k;
    if (m->inputs == FUSE_FUSED_INPUTS - FIRST)
        return -1;
    m->input[m->inputs] = own;
    return LOADS + m->inputs++;
}

static int write_body(struct matcher *m, const struct fuse_op *op, const int *index, int deep);

/* What a LOAD of the input stands for, in the builder; -1: nothing that can be part of an attention. */
static int write_load(struct matcher *m, const struct fuse_op *op, const struct fuse_use *use, const int *index,
                      int deep) {
    const struct fuse_value *value = &m->ir->values.at[use->value];
    const struct fuse_op *producer = maker(m, use->value);
    int axes[FUSE_MAX_AXES], inner[FUSE_MAX_AXES];
    for (int what = 0; what < LOADS; what++)
        if (m->value[what] == use->value)
            return read_axes(axes, m, op, use, index) &&
                           memcmp(axes, m->axes[what], (size_t)value->rank * sizeof *axes) == 0
                       ? fuse_body_load(&m->body, what, fuse_dtype_compute(value->dtype))
                       : -1;
    if (!m->of_scores[use->value]) {
        int number = add_input(m, use, index);
        return number < 0 ? -1 : fuse_body_load(&m->body, number, fuse_dtype_compute(value->dtype));
    }
    if (deep == MOST_DEEP || !is_plain_map(producer) || value->pin > 0 ||
        value->dtype != producer->body->node[producer->body->n - 1].dtype || !read_axes(axes, m, op, use, index) ||
        !name_indices(inner, m, producer, axes, -1))
        return -1;
    m->inside[use->value] = true;
    return write_body(m, producer, inner, deep + 1);
}

static int write_body(struct matcher *m, const struct fuse_op *op, const int *index, int deep) {
    int *number = FUSE_NEW_ARRAY(m->ir->arena, int, op->body->n);
    for (int i = 0; i < op->body->n; i++) {
        struct fuse_scalar_node node = op->body->node[i];
        int *argument[3] = {&node.a, &node.b, &node.c};
        if (node.op == FUSE_SCALAR_LOAD) {
            number[i] = write_load(m, op, &op->input[node.arg], index, deep);
            if (number[i] < 0)
                return -1;
            continue;
        }
        if (node.op == FUSE_SCALAR_IOTA)
            node.arg = index[node.arg];
        for (int k = 0; k < fuse_scalar_arity(node.op); k++)
            *argument[k] = number[*argument[k]];
        number[i] = fuse_body_add(&m->body, node);
    }
    return number[op->body->n - 1];
}

/* ---- shapes of bodies -------------------------------------------------------------------------------------------- */

static const struct fuse_scalar_node *at(const struct matcher *m, int node) {
    return &m->body.nodes.at[node];
}

static bool is_op(const struct matcher *m, int node, enum fuse_scalar_op op) {
    return node >= 0 && at(m, node)->op == op;
}

static bool is_load(const struct matcher *m, int node, int what) {
    return is_op(m, node, FUSE_SCALAR_LOAD) && at(m, node)->arg == what;
}

static bool is_real(const struct matcher *m, int node, double real) {
    return is_op(m, node, FUSE_SCALAR_CONST) && at(m, node)->real == real &&
           (at(m, node)->dtype == FUSE_F32 || at(m, node)->dtype == FUSE_F64);
}

/* exp(x - most), or that where `test` holds and 0 elsewhere; divided by total or not. */
struct weight {
    int test, x; /* test -1: none */
    bool divided;
};

static bool read_weight(struct weight *out, const struct matcher *m, int node) {
    *out = (struct weight){.test = -1};
    if (is_op(m, node, FUSE_SCALAR_SELECT) && is_real(m, at(m, node)->c, 0)) {
        out->test = at(m, node)->a;
        node = at(m, node)->b;
    }
    if (is_op(m, node, FUSE_SCALAR_DIV) && is_load(m, at(m, node)->b, TOTAL)) {
        out->divided = true;
        node = at(m, node)->a;
        if (out->test < 0 && is_op(m, node, FUSE_SCALAR_SELECT) && is_real(m, at(m, node)->c, 0)) {
            out->test = at(m, node)->a;
            node = at(m, node)->b;
        }
    }
    if (!is_op(m, node, FUSE_SCALAR_EXP))
        return false;
    node = at(m, node)->a;
    if (!is_op(m, node, FUSE_SCALAR_SUB) || !is_load(m, at(m, node)->b, MOST))
        return false;
    out->x = at(m, node)->a;
    return true;
}

/* The scores s that the maximum is taken of are x, or x where the test holds and -inf elsewhere. */
static bool is_score(const struct matcher *m, const struct weight *w, int s) {
    bool masked = is_op(m, s, FUSE_SCALAR_SELECT) && is_real(m, at(m, s)->c, -INFINITY);
    if (w->test < 0)
        return w->x == s;
    return masked && at(m, s)->a == w->test && (w->x == s || at(m, s)->b == w->x);
}

/* ---- the operations ---------------------------------------------------------------------------------------------- */

/* An operation that projects one index, which is *index. */
static bool projects_one(const struct matcher *m, const struct fuse_op *op, int *index) {
    const int rank = m->ir->values.at[op->out].rank;
    for (int x = 0; x < op->indices; x++) {
        bool kept = false;
        for (int a = 0; a < rank; a++)
            kept |= op->out_index[a] == x;
        if (!kept)
            *index = x;
    }
    return op->indices == rank + 1;
}

static bool reads(const struct fuse_use *use, int index) {
    for (int a = 0; a < use->access.rank; a++)
        if (use->access.at[a].index == index)
            return true;
    return false;
}

static void find_what_comes_of(struct matcher *m, int value) {
    memset(m->of_scores, 0, (size_t)m->ir->values.n * sizeof *m->of_scores);
    m->of_scores[value] = true;
    for (int o = m->ir->values.at[value].op + 1; o < m->ir->ops.n; o++) {
        const struct fuse_op *op = m->ir->ops.at[o];
        for (int k = 0; op->out >= 0 && k < op->inputs; k++)
            m->of_scores[op->out] |= m->of_scores[op->input[k].value];
    }
}

/* The body of a reduction over the keys of a known value, -1: it is none. */
static int write_reduction(struct matcher *m, int what, enum fuse_reduce reduce) {
    const struct fuse_op *op = maker(m, m->value[what]);
    int projected = 0, index[FUSE_MAX_AXES];
    if (op->kind != FUSE_OP_MAP || op->reduce != reduce || op->overflow || !projects_one(m, op, &projected) ||
        op->extent[projected] != m->out->extent[m->key] || !name_indices(index, m, op, m->axes[what], m->key))
        return -1;
    return write_body(m, op, index, 0);
}

/* The product that a map is made of by maps, read along the keys; *axes are those along which it is read. */
static int find_score(int axes[FUSE_MAX_AXES], const struct matcher *m, const struct fuse_op *op, const int *index,
                      int deep) {
    for (int k = 0; k < op->inputs; k++) {
        const struct fuse_op *producer = maker(m, op->input[k].value);
        int inner[FUSE_MAX_AXES], own[FUSE_MAX_AXES];
        bool has_key = false;
        if (!read_axes(own, m, op, &op->input[k], index))
            continue;
        for (int a = 0; a < op->input[k].access.rank; a++)
            has_key |= own[a] == m->key;
        int found = -1;
        if (has_key && producer->kind == FUSE_OP_EINSUM && producer->inputs == 2) {
            memcpy(axes, own, sizeof own);
            return producer->out;
        }
        if (has_key && is_plain_map(producer) && deep < MOST_DEEP && name_indices(inner, m, producer, own, -1))
            found = find_score(axes, m, producer, inner, deep + 1);
        if (found >= 0)
            return found;
    }
    return -1;
}

/* The input of a map that a reduction of the scores makes. */
static bool find_reduction(struct matcher *m, int what, const struct fuse_op *op, const int *index,
                           enum fuse_reduce reduce) {
    for (int k = 0; k < op->inputs; k++) {
        const struct fuse_op *producer = maker(m, op->input[k].value);
        if (producer->kind == FUSE_OP_MAP && producer->reduce == reduce && m->of_scores[op->input[k].value] &&
            read_axes(m->axes[what], m, op, &op->input[k], index)) {
            m->value[what] = op->input[k].value;
            return true;
        }
    }
    return false;
}

/* The only reader of a value beside `except`. */
static struct fuse_op *find_reader(const struct matcher *m, int value, const struct fuse_op *except) {
    struct fuse_op *found = NULL;
    for (int o = 0; o < m->ir->ops.n; o++) {
        struct fuse_op *op = m->ir->ops.at[o];
        for (int k = 0; op != except && k < op->inputs; k++) {
            if (op->input[k].value != value || op == found)
                continue;
            if (found)
                return NULL;
            found = op;
        }
    }
    return found;
}

/* The sum of weights that are not divided yet: the only other operation that reads them. */
static bool find_sum(struct matcher *m) {
    const struct fuse_op *sum = find_reader(m, m->value[WEIGHT], m->out);
    int index[FUSE_MAX_AXES], own[FUSE_MAX_AXES], named[FUSE_MAX_AXES];
    for (int x = 0; x < FUSE_MAX_AXES; x++)
        own[x] = x;
    if (!sum || sum->kind != FUSE_OP_MAP || sum->reduce != FUSE_REDUCE_SUM || sum->inputs != 1 || sum->body->n != 1 ||
        !read_axes(index, m, sum, &sum->input[0], own))
        return false;
    for (int a = 0; a < sum->input[0].access.rank; a++)
        named[index[a]] = m->axes[WEIGHT][a];
    const struct fuse_value *value = &m->ir->values.at[sum->out];
    for (int a = 0; a < value->rank; a++) {
        m->axes[TOTAL][a] = named[sum->out_index[a]];
        if (m->axes[TOTAL][a] == m->key)
            return false;
    }
    m->value[TOTAL] = sum->out;
    return sum->indices == value->rank + 1;
}

/* The depth's name, which an index of the values may have too. */
static const char *free_name(const struct matcher *m, const char *name) {
    for (int n = 1;; n++) {
        const char *tried = n == 1 ? name : fuse_arena_printf(m->ir->arena, "%s%d", name, n);
        bool is_free = true;
        for (int x = 0; x < m->out->indices; x++)
            is_free &= strcmp(m->out->index_name[x], tried) != 0;
        if (is_free)
            return tried;
    }
}

/* Queries and keys become the first inputs of the new operation. */
static bool take_product(struct matcher *m, struct fuse_op *new) {
    const struct fuse_op *op = maker(m, m->value[SCORE]);
    int projected = 0, index[FUSE_MAX_AXES];
    if (!projects_one(m, op, &projected) || op->extent[projected] > MOST_WIDTH ||
        !name_indices(index, m, op, m->axes[SCORE], m->depth))
        return false;
    new->extent[m->depth] = op->extent[projected];
    new->index_name[m->depth] = free_name(m, op->index_name[projected]);
    struct fuse_use use[2] = {op->input[0], op->input[1]};
    for (int k = 0; k < 2; k++)
        for (int a = 0; a < use[k].access.rank; a++)
            if (use[k].access.at[a].index >= 0)
                use[k].access.at[a].index = index[use[k].access.at[a].index];
    int first = reads(&use[0], m->key);
    new->input[0] = use[first];
    new->input[1] = use[!first];
    bool has_rows = false;
    for (int x = 0; x < m->out->indices; x++)
        has_rows |= reads(&new->input[0], x) && !reads(&new->input[1], x) && !reads(&new->input[2], x);
    return has_rows && !reads(&new->input[0], m->key) && reads(&new->input[1], m->key) &&
           reads(&new->input[0], m->depth) && reads(&new->input[1], m->depth);
}

/* Nobody but operations that go reads what is between, and nothing is said about its layout. */
static bool is_private(const struct matcher *m, const struct fuse_op *division) {
    const struct fuse_ir *ir = m->ir;
    for (int v = 0; v < ir->values.n; v++)
        if (m->inside[v] && ir->values.at[v].pin > 0)
            return false;
    for (int o = 0; o < ir->ops.n; o++) {
        const struct fuse_op *op = ir->ops.at[o];
        if (op == m->out || op == division || (op->out >= 0 && m->inside[op->out]))
            continue;
        for (int k = 0; k < op->inputs; k++)
            if (m->inside[op->input[k].value])
                return false;
    }
    return true;
}

static bool has_one_type(const struct matcher *m, const struct fuse_op *new) {
    const enum fuse_dtype type = m->ir->values.at[m->out->out].dtype;
    bool same = type == FUSE_F32 || type == FUSE_F64;
    for (int what = 0; what < LOADS; what++)
        same &= m->ir->values.at[m->value[what]].dtype == type;
    for (int k = 0; k < FIRST; k++) {
        same &= m->ir->values.at[new->input[k].value].dtype == type;
        for (int a = 0; a < new->input[k].access.rank; a++)
            same &= !fuse_access_is_paired(&new->input[k].access.at[a]);
    }
    return same;
}

/* ---- the division ------------------------------------------------------------------------------------------------ */

/* out / total, or select(total == 0, 0, out / total). */
static bool is_mean(const struct fuse_op *op, int node, int total, int out, bool *guarded) {
    const struct fuse_scalar_node *body = op->body->node, *n = &body[node];
    *guarded = n->op == FUSE_SCALAR_SELECT;
    if (*guarded) {
        const struct fuse_scalar_node *test = &body[n->a], *zero = &body[n->b];
        if (test->op != FUSE_SCALAR_EQ || body[test->a].op != FUSE_SCALAR_LOAD || body[test->a].arg != total ||
            body[test->b].op != FUSE_SCALAR_CONST || body[test->b].real != 0 || zero->op != FUSE_SCALAR_CONST ||
            zero->real != 0)
            return false;
        n = &body[n->c];
    }
    return n->op == FUSE_SCALAR_DIV && body[n->a].op == FUSE_SCALAR_LOAD && body[n->b].op == FUSE_SCALAR_LOAD &&
           body[n->a].arg == out && body[n->b].arg == total;
}

/* The inputs of the map through which it reads out and total, once each, at the same points; false otherwise. */
static bool find_inputs(const struct matcher *m, const struct fuse_op *op, int *out, int *total) {
    const struct fuse_value *value = &m->ir->values.at[m->out->out];
    int own[FUSE_MAX_AXES], axes[FUSE_MAX_AXES], named[FUSE_MAX_AXES];
    *out = *total = -1;
    for (int x = 0; x < FUSE_MAX_AXES; x++)
        own[x] = x;
    for (int k = 0; k < op->inputs; k++) {
        int *input = op->input[k].value == m->out->out ? out : op->input[k].value == m->value[TOTAL] ? total : NULL;
        if (input && *input >= 0)
            return false;
        if (input)
            *input = k;
    }
    if (*out < 0 || *total < 0 || !read_axes(axes, m, op, &op->input[*out], own))
        return false;
    for (int a = 0; a < value->rank; a++)
        named[m->out->out_index[a]] = axes[a];
    if (!read_axes(axes, m, op, &op->input[*total], own))
        return false;
    for (int a = 0; a < op->input[*total].access.rank; a++)
        if (axes[a] != named[m->axes[TOTAL][a]])
            return false;
    return true;
}

/* The body without the division, its inputs as before; NULL when it uses out or total in another way. */
static const struct fuse_scalar *without_division(struct matcher *m, const struct fuse_op *op, bool *guarded) {
    int out, total, mean = -1;
    if (!find_inputs(m, op, &out, &total))
        return NULL;
    for (int i = op->body->n - 1; i >= 0 && mean < 0; i--)
        if (is_mean(op, i, total, out, guarded))
            mean = i;
    if (mean < 0)
        return NULL;
    int *number = FUSE_NEW_ARRAY(m->ir->arena, int, op->body->n), mark = op->inputs;
    fuse_body_reset(&m->body);
    for (int i = 0; i < op->body->n; i++) {
        struct fuse_scalar_node node = op->body->node[i];
        int *argument[3] = {&node.a, &node.b, &node.c};
        for (int k = 0; k < fuse_scalar_arity(node.op); k++)
            *argument[k] = number[*argument[k]];
        number[i] = i == mean ? fuse_body_load(&m->body, mark, node.dtype) : fuse_body_add(&m->body, node);
    }
    const struct fuse_scalar *body = fuse_body_finish(&m->body, number[op->body->n - 1]);
    for (int i = 0; i < body->n; i++) {
        struct fuse_scalar_node *node = &body->node[i];
        if (node->op != FUSE_SCALAR_LOAD)
            continue;
        if (node->arg == out || node->arg == total)
            return NULL;
        node->arg = node->arg == mark ? out : node->arg;
    }
    return body;
}

/* ---- all together ------------------------------------------------------------------------------------------------ */

static bool names_everything(struct matcher *m, int input) {
    const struct fuse_op *out = m->out, *weight = maker(m, out->input[input].value);
    int own[FUSE_MAX_AXES], index[FUSE_MAX_AXES];
    for (int x = 0; x < FUSE_MAX_AXES; x++)
        own[x] = x;
    for (int what = 0; what < LOADS; what++)
        m->value[what] = -1;
    if (!is_plain_map(weight) || !reads(&out->input[input], m->key) || !reads(&out->input[!input], m->key) ||
        !read_axes(m->axes[WEIGHT], m, out, &out->input[input], own) ||
        !name_indices(index, m, weight, m->axes[WEIGHT], -1))
        return false;
    m->value[WEIGHT] = weight->out;
    m->value[SCORE] = find_score(m->axes[SCORE], m, weight, index, 0);
    if (m->value[SCORE] < 0)
        return false;
    find_what_comes_of(m, m->value[SCORE]);
    return find_reduction(m, MOST, weight, index, FUSE_REDUCE_MAX) &&
           (find_reduction(m, TOTAL, weight, index, FUSE_REDUCE_SUM) || find_sum(m));
}

/* The body of the scores, or -1 when weights are not a softmax of them. */
static int write_scores(struct matcher *m, bool *divided, bool *guarded) {
    struct weight weight, sum;
    int index[FUSE_MAX_AXES];
    const struct fuse_op *op = maker(m, m->value[WEIGHT]);
    int known = m->value[WEIGHT];
    fuse_body_reset(&m->body);
    m->inputs = 0;
    int s = write_reduction(m, MOST, FUSE_REDUCE_MAX);
    m->value[WEIGHT] = -1; /* while its own body is written */
    if (s < 0 || !name_indices(index, m, op, m->axes[WEIGHT], -1))
        return -1;
    int w = write_body(m, op, index, 0);
    m->value[WEIGHT] = known;
    if (w < 0 || !read_weight(&weight, m, w) || !is_score(m, &weight, s))
        return -1;
    *divided = weight.divided;
    *guarded = weight.test >= 0;
    int t = write_reduction(m, TOTAL, FUSE_REDUCE_SUM);
    if (t < 0)
        return -1;
    if (!weight.divided)
        return is_load(m, t, WEIGHT) ? s : -1;
    bool same = read_weight(&sum, m, t) && !sum.divided && sum.x == weight.x && sum.test == weight.test;
    return same ? s : -1;
}

static void finish_body(struct matcher *m, struct fuse_op *new, int root) {
    const struct fuse_scalar *body = fuse_body_finish(&m->body, root);
    for (int i = 0; i < body->n; i++)
        if (body->node[i].op == FUSE_SCALAR_LOAD && body->node[i].arg >= LOADS)
            body->node[i].arg += FIRST - LOADS;
    new->body = body;
}

/* An attention that ends in the product `number`, with its weights as that input; true when it has become one operation. */
static bool match(struct matcher *m, int input) {
    struct fuse_ir *ir = m->ir;
    struct fuse_op *new = FUSE_NEW(ir->arena, struct fuse_op), *division = NULL;
    const struct fuse_scalar *rest = NULL;
    bool divided, guarded;
    memset(m->inside, 0, (size_t)ir->values.n * sizeof *m->inside);
    *new = *m->out;
    if (!names_everything(m, input))
        return false;
    int root = write_scores(m, &divided, &guarded);
    if (root < 0)
        return false;
    new->kind = FUSE_OP_ATTENTION;
    new->reduce = FUSE_REDUCE_SUM;
    new->indices = m->out->indices + 1;
    new->guarded = guarded;
    new->inputs = FIRST + m->inputs;
    new->input = FUSE_NEW_ARRAY(ir->arena, struct fuse_use, new->inputs);
    memcpy(new->input + FIRST, m->input, (size_t)m->inputs * sizeof *m->input);
    new->input[2] = m->out->input[!input];
    finish_body(m, new, root);
    for (int what = 0; what < LOADS; what++)
        m->inside[m->value[what]] = true;
    if (!take_product(m, new) || !has_one_type(m, new) || new->body->n > FUSE_FUSED_NODES)
        return false;
    if (!divided) {
        division = find_reader(m, m->out->out, NULL);
        if (!division || !is_plain_map(division) || ir->values.at[m->out->out].pin > 0)
            return false;
        rest = without_division(m, division, &guarded);
        if (!rest)
            return false;
        new->guarded = guarded;
    }
    if (!is_private(m, division))
        return false;
    ir->ops.at[m->number] = new;
    if (division) {
        struct fuse_body scratch = {.arena = ir->arena};
        division->body = rest;
        fuse_ir_fold_map(ir, division, &scratch);
    }
    return true;
}

/* A map that does nothing but hand on the result is the result. */
static void hand_on(struct fuse_ir *ir, int number) {
    struct fuse_op *op = ir->ops.at[number];
    struct matcher m = {.ir = ir};
    struct fuse_op *map = find_reader(&m, op->out, NULL);
    int own[FUSE_MAX_AXES], axes[FUSE_MAX_AXES];
    for (int x = 0; x < FUSE_MAX_AXES; x++)
        own[x] = x;
    if (!map || !is_plain_map(map) || map->inputs != 1 || map->body->n != 1 ||
        ir->values.at[map->out].dtype != ir->values.at[op->out].dtype || map->indices != ir->values.at[op->out].rank ||
        !read_axes(axes, &m, map, &map->input[0], own))
        return;
    int named[FUSE_MAX_AXES], place = ir->values.at[map->out].op;
    for (int a = 0; a < map->indices; a++)
        named[axes[a]] = op->out_index[a];
    struct fuse_op *moved = FUSE_NEW(ir->arena, struct fuse_op);
    *moved = *op;
    moved->out = map->out;
    moved->span = map->span;
    moved->owner = map->owner;
    for (int a = 0; a < map->indices; a++)
        moved->out_index[a] = named[map->out_index[a]];
    ir->ops.at[place] = moved;
}

void fuse_ir_attention(struct fuse_ir *ir) {
    struct matcher m = {.ir = ir, .body.arena = ir->arena};
    bool found = false;
    /* The order of operations says what a recursion's turns compute: those programs stay as they are. */
    for (int o = 0; o < ir->ops.n; o++)
        if (ir->ops.at[o]->kind == FUSE_OP_CARRY)
            return;
    for (int o = 0; o < ir->ops.n; o++) {
        const struct fuse_op *op = ir->ops.at[o];
        if (op->kind != FUSE_OP_EINSUM || op->inputs != 2 || op->indices >= FUSE_MAX_AXES ||
            fuse_is_relation(ir, op->input[0].value) || !projects_one(&m, op, &m.key))
            continue;
        if (!m.inside) {
            m.inside = FUSE_NEW_ARRAY(ir->arena, bool, ir->values.n);
            m.of_scores = FUSE_NEW_ARRAY(ir->arena, bool, ir->values.n);
        }
        m.out = op;
        m.number = o;
        m.depth = op->indices;
        for (int input = 0; input < 2; input++)
            if (match(&m, input)) {
                hand_on(ir, o);
                found = true;
                break;
            }
    }
    if (found)
        fuse_ir_sweep(ir);
}
