#include "ir/rewrite.h"

#include <math.h>
#include <string.h>

static bool is_real(enum fuse_dtype dtype) {
    return dtype == FUSE_F32 || dtype == FUSE_F64;
}

void fuse_body_reset(struct fuse_body *body) {
    body->nodes.n = 0;
    if (body->slots)
        memset(body->slots, 0, (size_t)body->slot_count * sizeof *body->slots);
}

static uint64_t bits_of(double real) {
    uint64_t bits;
    memcpy(&bits, &real, sizeof bits);
    return bits;
}

static uint64_t mix(uint64_t hash, uint64_t value) {
    hash = (hash ^ value) * 0x9e3779b97f4a7c15ULL;
    return hash ^ hash >> 29;
}

static uint64_t hash_node(const struct fuse_scalar_node *node) {
    uint64_t hash = mix(FUSE_SCALAR_OPS, (uint64_t)node->op << 8 | (uint64_t)node->dtype);
    hash = mix(hash, (uint64_t)(uint32_t)node->a << 32 | (uint32_t)node->b);
    hash = mix(hash, (uint64_t)(uint32_t)node->c << 32 | (uint32_t)node->arg);
    return mix(mix(hash, (uint64_t)node->integer), bits_of(node->real));
}

static bool is_same_node(const struct fuse_scalar_node *a, const struct fuse_scalar_node *b) {
    return a->op == b->op && a->dtype == b->dtype && a->a == b->a && a->b == b->b && a->c == b->c && a->arg == b->arg &&
           a->integer == b->integer && bits_of(a->real) == bits_of(b->real);
}

static int32_t *find_slot(struct fuse_body *body, const struct fuse_scalar_node *node) {
    uint32_t mask = (uint32_t)body->slot_count - 1;
    uint32_t at = (uint32_t)hash_node(node) & mask;
    while (body->slots[at] && !is_same_node(&body->nodes.at[body->slots[at] - 1], node))
        at = (at + 1) & mask;
    return &body->slots[at];
}

static int intern(struct fuse_body *body, const struct fuse_scalar_node *node) {
    if (2 * (body->nodes.n + 1) > body->slot_count) {
        body->slot_count = body->slot_count ? 2 * body->slot_count : 64;
        body->slots = FUSE_NEW_ARRAY(body->arena, int32_t, body->slot_count);
        for (int i = 0; i < body->nodes.n; i++)
            *find_slot(body, &body->nodes.at[i]) = i + 1;
    }
    int32_t *slot = find_slot(body, node);
    if (*slot == 0) {
        fuse_vec_push(body->arena, &body->nodes, *node);
        *slot = body->nodes.n;
    }
    return *slot - 1;
}

static const struct fuse_scalar_node *at(const struct fuse_body *body, int node) {
    return &body->nodes.at[node];
}

static bool is_const(const struct fuse_body *body, int node) {
    return at(body, node)->op == FUSE_SCALAR_CONST;
}

static bool is_integer(const struct fuse_body *body, int node, int64_t integer) {
    return is_const(body, node) && !is_real(at(body, node)->dtype) && at(body, node)->integer == integer;
}

/* The very bits: -0.0 is not 0.0. */
static bool is_number(const struct fuse_body *body, int node, double real) {
    return is_const(body, node) && is_real(at(body, node)->dtype) && bits_of(at(body, node)->real) == bits_of(real);
}

static bool is_one(const struct fuse_body *body, int node) {
    return is_integer(body, node, 1) || is_number(body, node, 1);
}

static int add_const(struct fuse_body *body, enum fuse_dtype dtype, union fuse_scalar_value value) {
    struct fuse_scalar_node node = {.op = FUSE_SCALAR_CONST, .dtype = dtype, .a = -1, .b = -1, .c = -1};
    if (is_real(dtype))
        node.real = value.real;
    else
        node.integer = value.integer;
    return intern(body, &node);
}

int fuse_body_integer(struct fuse_body *body, enum fuse_dtype dtype, int64_t integer) {
    union fuse_scalar_value value = {0};
    if (dtype == FUSE_F32)
        value.real = (double)(float)integer;
    else if (dtype == FUSE_F64)
        value.real = (double)integer;
    else
        value.integer = integer;
    return add_const(body, dtype, value);
}

int fuse_body_element(struct fuse_body *body, const void *element, enum fuse_dtype from) {
    enum fuse_dtype dtype = fuse_dtype_compute(from);
    union fuse_scalar_value value = {0};
    if (is_real(dtype))
        (void)fuse_dtype_convert(&value.real, FUSE_F64, element, from, 1);
    else
        (void)fuse_dtype_convert(&value.integer, FUSE_I64, element, from, 1);
    return add_const(body, dtype, value);
}

int fuse_body_unary(struct fuse_body *body, enum fuse_scalar_op op, enum fuse_dtype dtype, int a) {
    return fuse_body_add(body, (struct fuse_scalar_node){.op = op, .dtype = dtype, .a = a, .b = -1, .c = -1});
}

int fuse_body_binary(struct fuse_body *body, enum fuse_scalar_op op, enum fuse_dtype dtype, int a, int b) {
    return fuse_body_add(body, (struct fuse_scalar_node){.op = op, .dtype = dtype, .a = a, .b = b, .c = -1});
}

int fuse_body_load(struct fuse_body *body, int input, enum fuse_dtype dtype) {
    return fuse_body_add(body, (struct fuse_scalar_node){
                                   .op = FUSE_SCALAR_LOAD, .dtype = dtype, .a = -1, .b = -1, .c = -1, .arg = input});
}

/* Every rank folds by itself and all must get the same bits, so the functions of the mathematical library, whose last
 * bit depends on the processor, are left to the kernels. */
static bool is_reproducible(const struct fuse_scalar_node *node) {
    return !fuse_scalar_is_transcendental(node->op) || !is_real(node->dtype);
}

static int fold_constants(struct fuse_body *body, const struct fuse_scalar_node *node) {
    int arity = fuse_scalar_arity(node->op);
    const int argument[3] = {node->a, node->b, node->c};
    union fuse_scalar_value value[3] = {{0}};
    if (arity == 0 || !is_reproducible(node))
        return -1;
    for (int k = 0; k < arity; k++) {
        if (!is_const(body, argument[k]))
            return -1;
        if (is_real(at(body, argument[k])->dtype))
            value[k].real = at(body, argument[k])->real;
        else
            value[k].integer = at(body, argument[k])->integer;
    }
    bool overflow = false;
    union fuse_scalar_value result =
        fuse_scalar_eval(node, at(body, node->a)->dtype, value[0], value[1], value[2], &overflow);
    return overflow ? -1 : add_const(body, node->dtype, result);
}

/* 1 / real when that is a power of two too, far from the ends of the range; else 0. */
static double exact_reciprocal(double real) {
    int exponent;
    double fraction = frexp(real, &exponent);
    return fabs(fraction) == 0.5 && exponent > -100 && exponent < 100 ? 1 / real : 0;
}

static int simplify_cast(struct fuse_body *body, const struct fuse_scalar_node *node) {
    const struct fuse_scalar_node *a = at(body, node->a);
    if (a->dtype == node->dtype)
        return node->a;
    if (a->op != FUSE_SCALAR_CAST)
        return -1;
    enum fuse_dtype from = at(body, a->a)->dtype;
    /* The inner cast loses nothing. */
    if (from == FUSE_BOOL || (from == FUSE_F32 && a->dtype == FUSE_F64))
        return fuse_body_unary(body, FUSE_SCALAR_CAST, node->dtype, a->a);
    return -1;
}

static int simplify_narrow(struct fuse_body *body, const struct fuse_scalar_node *node) {
    const struct fuse_scalar_node *a = at(body, node->a);
    if (node->arg == FUSE_F32 && node->dtype == FUSE_F32)
        return node->a;
    if (a->op == FUSE_SCALAR_NARROW && a->arg == node->arg)
        return node->a;
    if (a->op == FUSE_SCALAR_CAST &&
        (at(body, a->a)->dtype == FUSE_BOOL || (at(body, a->a)->dtype == FUSE_F32 && node->arg == FUSE_F32)))
        return node->a;
    return -1;
}

static int simplify_not(struct fuse_body *body, const struct fuse_scalar_node *node) {
    const struct fuse_scalar_node *a = at(body, node->a);
    if (a->op == FUSE_SCALAR_NOT)
        return a->a;
    if (a->op == FUSE_SCALAR_EQ)
        return fuse_body_binary(body, FUSE_SCALAR_NE, FUSE_BOOL, a->a, a->b);
    if (a->op == FUSE_SCALAR_NE)
        return fuse_body_binary(body, FUSE_SCALAR_EQ, FUSE_BOOL, a->a, a->b);
    return -1;
}

static int simplify_logic(struct fuse_body *body, const struct fuse_scalar_node *node) {
    bool is_and = node->op == FUSE_SCALAR_AND;
    if (node->a == node->b || is_integer(body, node->b, is_and))
        return node->a;
    return is_integer(body, node->b, !is_and) ? node->b : -1;
}

static int simplify_equality(struct fuse_body *body, const struct fuse_scalar_node *node) {
    enum fuse_dtype dtype = at(body, node->a)->dtype;
    bool is_eq = node->op == FUSE_SCALAR_EQ;
    if (node->a == node->b && !is_real(dtype))
        return fuse_body_integer(body, FUSE_BOOL, is_eq);
    if (dtype != FUSE_BOOL || !is_const(body, node->b))
        return -1;
    if (is_integer(body, node->b, is_eq))
        return node->a;
    return fuse_body_unary(body, FUSE_SCALAR_NOT, FUSE_BOOL, node->a);
}

static int simplify_select(struct fuse_body *body, const struct fuse_scalar_node *node) {
    const struct fuse_scalar_node *a = at(body, node->a);
    if (node->b == node->c)
        return node->b;
    if (a->op == FUSE_SCALAR_CONST)
        return a->integer ? node->b : node->c;
    if (a->op == FUSE_SCALAR_NOT) {
        struct fuse_scalar_node turned = *node;
        turned.a = a->a;
        turned.b = node->c;
        turned.c = node->b;
        return fuse_body_add(body, turned);
    }
    return -1;
}

static int simplify_sum(struct fuse_body *body, const struct fuse_scalar_node *node) {
    const struct fuse_scalar_node *a = at(body, node->a), *b = at(body, node->b);
    bool is_add = node->op == FUSE_SCALAR_ADD;
    /* The real zero that changes nothing, not even another zero's sign. */
    if (is_integer(body, node->b, 0) || is_number(body, node->b, is_add ? -0.0 : 0.0))
        return node->a;
    if (node->dtype == FUSE_I64)
        return !is_add && node->a == node->b ? fuse_body_integer(body, FUSE_I64, 0) : -1;
    if (b->op == FUSE_SCALAR_NEG)
        return fuse_body_binary(body, is_add ? FUSE_SCALAR_SUB : FUSE_SCALAR_ADD, node->dtype, node->a, b->a);
    if (is_add && a->op == FUSE_SCALAR_NEG)
        return fuse_body_binary(body, FUSE_SCALAR_SUB, node->dtype, node->b, a->a);
    return -1;
}

static int simplify_product(struct fuse_body *body, const struct fuse_scalar_node *node) {
    if (is_one(body, node->b))
        return node->a;
    if (node->op == FUSE_SCALAR_DIV) {
        double reciprocal = is_const(body, node->b) ? exact_reciprocal(at(body, node->b)->real) : 0;
        if (reciprocal == 0)
            return -1;
        union fuse_scalar_value value = {.real = reciprocal};
        int factor = add_const(body, node->dtype, value);
        return fuse_body_binary(body, FUSE_SCALAR_MUL, node->dtype, node->a, factor);
    }
    if (is_integer(body, node->b, 0))
        return node->b;
    if (is_integer(body, node->b, -1) || is_number(body, node->b, -1))
        return fuse_body_unary(body, FUSE_SCALAR_NEG, node->dtype, node->a);
    return -1;
}

static int simplify_power(struct fuse_body *body, const struct fuse_scalar_node *node) {
    if (!is_const(body, node->b))
        return -1;
    double exponent = node->dtype == FUSE_I64 ? (double)at(body, node->b)->integer : at(body, node->b)->real;
    if (exponent == 0)
        return fuse_body_integer(body, node->dtype, 1);
    if (exponent == 1)
        return node->a;
    if (exponent == 2)
        return fuse_body_binary(body, FUSE_SCALAR_MUL, node->dtype, node->a, node->a);
    if (exponent == 3 && node->dtype == FUSE_I64) {
        int square = fuse_body_binary(body, FUSE_SCALAR_MUL, node->dtype, node->a, node->a);
        return fuse_body_binary(body, FUSE_SCALAR_MUL, node->dtype, square, node->a);
    }
    if (exponent == -1 && is_real(node->dtype))
        return fuse_body_binary(body, FUSE_SCALAR_DIV, node->dtype, fuse_body_integer(body, node->dtype, 1), node->a);
    return -1;
}

static int simplify_sign(struct fuse_body *body, const struct fuse_scalar_node *node) {
    const struct fuse_scalar_node *a = at(body, node->a);
    if (node->op == FUSE_SCALAR_ABS && a->op == FUSE_SCALAR_ABS)
        return node->a;
    if (a->op != FUSE_SCALAR_NEG || !is_real(node->dtype))
        return -1;
    return node->op == FUSE_SCALAR_NEG ? a->a : fuse_body_unary(body, FUSE_SCALAR_ABS, node->dtype, a->a);
}

/* A node of the same value that is already there or simpler, or -1. */
static int simplify(struct fuse_body *body, const struct fuse_scalar_node *node) {
    switch (node->op) {
    case FUSE_SCALAR_CAST: return simplify_cast(body, node);
    case FUSE_SCALAR_NARROW: return simplify_narrow(body, node);
    case FUSE_SCALAR_NOT: return simplify_not(body, node);
    case FUSE_SCALAR_AND:
    case FUSE_SCALAR_OR: return simplify_logic(body, node);
    case FUSE_SCALAR_EQ:
    case FUSE_SCALAR_NE: return simplify_equality(body, node);
    case FUSE_SCALAR_SELECT: return simplify_select(body, node);
    case FUSE_SCALAR_ADD:
    case FUSE_SCALAR_SUB: return simplify_sum(body, node);
    case FUSE_SCALAR_MUL:
    case FUSE_SCALAR_DIV: return simplify_product(body, node);
    case FUSE_SCALAR_POW: return simplify_power(body, node);
    case FUSE_SCALAR_NEG:
    case FUSE_SCALAR_ABS: return simplify_sign(body, node);
    case FUSE_SCALAR_MINIMUM:
    case FUSE_SCALAR_MAXIMUM: return node->a == node->b ? node->a : -1;
    default: return -1;
    }
}

static bool is_commutative(enum fuse_scalar_op op) {
    return op == FUSE_SCALAR_ADD || op == FUSE_SCALAR_MUL || op == FUSE_SCALAR_EQ || op == FUSE_SCALAR_NE ||
           op == FUSE_SCALAR_AND || op == FUSE_SCALAR_OR;
}

int fuse_body_add(struct fuse_body *body, struct fuse_scalar_node node) {
    /* Unused fields would make equal nodes differ. */
    bool has_arg = node.op == FUSE_SCALAR_LOAD || node.op == FUSE_SCALAR_IOTA || node.op == FUSE_SCALAR_NARROW;
    bool is_draw = node.op == FUSE_SCALAR_UNIFORM || node.op == FUSE_SCALAR_NORMAL;
    bool is_immediate = node.op == FUSE_SCALAR_CONST;
    node.arg = has_arg ? node.arg : 0;
    node.integer = is_draw || (is_immediate && !is_real(node.dtype)) ? node.integer : 0;
    node.real = is_immediate && is_real(node.dtype) ? node.real : 0;
    if (is_immediate && node.dtype == FUSE_F32)
        node.real = (double)(float)node.real;

    if (is_commutative(node.op)) {
        bool a_const = is_const(body, node.a), b_const = is_const(body, node.b);
        if (a_const != b_const ? a_const : node.a > node.b) {
            int a = node.a;
            node.a = node.b;
            node.b = a;
        }
    }
    int found = fold_constants(body, &node);
    if (found < 0)
        found = simplify(body, &node);
    return found >= 0 ? found : intern(body, &node);
}

const struct fuse_scalar *fuse_body_finish(struct fuse_body *body, int root) {
    int n = root + 1, kept = 0;
    int *number = FUSE_NEW_ARRAY(body->arena, int, n);
    number[root] = 1;
    for (int i = root; i >= 0; i--) {
        const struct fuse_scalar_node *node = at(body, i);
        const int argument[3] = {node->a, node->b, node->c};
        if (!number[i])
            continue;
        kept++;
        for (int k = 0; k < fuse_scalar_arity(node->op); k++)
            number[argument[k]] = 1;
    }
    struct fuse_scalar *result = FUSE_NEW(body->arena, struct fuse_scalar);
    result->node = FUSE_NEW_ARRAY(body->arena, struct fuse_scalar_node, kept);
    for (int i = 0; i < n; i++) {
        if (!number[i])
            continue;
        struct fuse_scalar_node node = *at(body, i);
        int *argument[3] = {&node.a, &node.b, &node.c};
        for (int k = 0; k < fuse_scalar_arity(node.op); k++)
            *argument[k] = number[*argument[k]];
        number[i] = result->n;
        result->node[result->n++] = node;
    }
    return result;
}
