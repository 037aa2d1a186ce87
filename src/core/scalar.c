#include "core/scalar.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct {
    int arity;
    const char *name;
} ops[FUSE_SCALAR_OPS] = {
#define FUSE_SCALAR(NAME, args, text, doc) [FUSE_SCALAR_##NAME] = {args, text},
#include "core/scalar.def"
#undef FUSE_SCALAR
};

int fuse_scalar_arity(enum fuse_scalar_op op) {
    return ops[op].arity;
}

bool fuse_scalar_is_transcendental(enum fuse_scalar_op op) {
    switch (op) {
    case FUSE_SCALAR_POW:
    case FUSE_SCALAR_EXP:
    case FUSE_SCALAR_LOG:
    case FUSE_SCALAR_LOG1P:
    case FUSE_SCALAR_SIN:
    case FUSE_SCALAR_COS:
    case FUSE_SCALAR_TANH:
    case FUSE_SCALAR_ERF:
    case FUSE_SCALAR_SIGMOID:
    case FUSE_SCALAR_NORMAL: return true;
    default: return false;
    }
}

const char *fuse_scalar_name(enum fuse_scalar_op op) {
    return (unsigned)op < FUSE_SCALAR_OPS ? ops[op].name : "unknown";
}

static bool is_real(enum fuse_dtype dtype) {
    return dtype == FUSE_F32 || dtype == FUSE_F64;
}
static bool is_number(enum fuse_dtype dtype) {
    return dtype == FUSE_I64 || is_real(dtype);
}

/* What is wrong with a node whose arguments exist and have the dtypes a, b and c; NULL when nothing is. */
static const char *node_fault(const struct fuse_scalar_node *node, enum fuse_dtype a, enum fuse_dtype b,
                              enum fuse_dtype c, int operands, int indices) {
    enum fuse_dtype dtype = node->dtype;
    switch (node->op) {
    case FUSE_SCALAR_LOAD: return node->arg >= 0 && node->arg < operands ? NULL : "no such operand";
    case FUSE_SCALAR_IOTA:
        if (node->arg < 0 || node->arg >= indices)
            return "no such iteration index";
        return dtype == FUSE_I64 ? NULL : "the result is I64";
    case FUSE_SCALAR_CONST:
        return dtype != FUSE_BOOL || node->integer == 0 || node->integer == 1 ? NULL : "a BOOL is 0 or 1";
    case FUSE_SCALAR_CAST: return NULL;
    case FUSE_SCALAR_NARROW:
        if (node->arg != FUSE_F16 && node->arg != FUSE_BF16 && node->arg != FUSE_F32)
            return "arg is F16, BF16 or F32";
        return is_real(dtype) && a == dtype ? NULL : "argument and result are of one real dtype";
    case FUSE_SCALAR_ADD:
    case FUSE_SCALAR_SUB:
    case FUSE_SCALAR_MUL:
    case FUSE_SCALAR_POW:
    case FUSE_SCALAR_MINIMUM:
    case FUSE_SCALAR_MAXIMUM:
        return is_number(dtype) && a == dtype && b == dtype ? NULL : "arguments and result are numbers of one dtype";
    case FUSE_SCALAR_DIV:
        return is_real(dtype) && a == dtype && b == dtype ? NULL : "arguments and result are of one real dtype";
    case FUSE_SCALAR_LT:
    case FUSE_SCALAR_LE:
    case FUSE_SCALAR_EQ:
    case FUSE_SCALAR_NE: return dtype == FUSE_BOOL && a == b ? NULL : "BOOL from two arguments of one dtype";
    case FUSE_SCALAR_AND:
    case FUSE_SCALAR_OR:
        return dtype == FUSE_BOOL && a == FUSE_BOOL && b == FUSE_BOOL ? NULL : "arguments and result are BOOL";
    case FUSE_SCALAR_NOT: return dtype == FUSE_BOOL && a == FUSE_BOOL ? NULL : "argument and result are BOOL";
    case FUSE_SCALAR_SELECT:
        return a == FUSE_BOOL && b == dtype && c == dtype ? NULL : "a is BOOL, b and c have the result's dtype";
    case FUSE_SCALAR_NEG:
    case FUSE_SCALAR_ABS:
    case FUSE_SCALAR_SIGN:
        return is_number(dtype) && a == dtype ? NULL : "argument and result are numbers of one dtype";
    case FUSE_SCALAR_FLOOR:
    case FUSE_SCALAR_CEIL:
    case FUSE_SCALAR_ROUND:
    case FUSE_SCALAR_EXP:
    case FUSE_SCALAR_LOG:
    case FUSE_SCALAR_LOG1P:
    case FUSE_SCALAR_SQRT:
    case FUSE_SCALAR_RSQRT:
    case FUSE_SCALAR_SIN:
    case FUSE_SCALAR_COS:
    case FUSE_SCALAR_TANH:
    case FUSE_SCALAR_ERF:
    case FUSE_SCALAR_SIGMOID: return is_real(dtype) && a == dtype ? NULL : "argument and result are of one real dtype";
    case FUSE_SCALAR_ISNAN: return dtype == FUSE_BOOL && is_real(a) ? NULL : "BOOL from a real";
    case FUSE_SCALAR_UNIFORM:
    case FUSE_SCALAR_NORMAL: return is_real(dtype) && a == FUSE_I64 ? NULL : "a real from an I64";
    case FUSE_SCALAR_OPS: break;
    }
    return "unknown op";
}

enum fuse_status fuse_scalar_verify(const struct fuse_scalar *scalar, int operands, int indices,
                                    struct fuse_error *err) {
    if (scalar->n < 1)
        return fuse_fail(err, FUSE_EBUG, "a scalar expression without nodes");
    for (int i = 0; i < scalar->n; i++) {
        const struct fuse_scalar_node *node = &scalar->node[i];
        if ((unsigned)node->op >= FUSE_SCALAR_OPS)
            return fuse_fail(err, FUSE_EBUG, "scalar node %d: unknown op %d", i, (int)node->op);
        const char *name = ops[node->op].name;
        if (node->dtype != FUSE_BOOL && !is_number(node->dtype))
            return fuse_fail(err, FUSE_EBUG, "scalar node %d (%s): %s is no compute dtype", i, name,
                             fuse_dtype_name(node->dtype));
        const int argument[3] = {node->a, node->b, node->c};
        enum fuse_dtype dtype[3] = {FUSE_BOOL, FUSE_BOOL, FUSE_BOOL};
        for (int k = 0; k < 3; k++) {
            bool used = k < ops[node->op].arity;
            if (used ? argument[k] < 0 || argument[k] >= i : argument[k] != -1)
                return fuse_fail(err, FUSE_EBUG, "scalar node %d (%s): argument %c is %d", i, name, "abc"[k],
                                 argument[k]);
            if (used)
                dtype[k] = scalar->node[argument[k]].dtype;
        }
        const char *fault = node_fault(node, dtype[0], dtype[1], dtype[2], operands, indices);
        if (fault)
            return fuse_fail(err, FUSE_EBUG, "scalar node %d (%s, %s): %s", i, name, fuse_dtype_name(node->dtype),
                             fault);
    }
    return FUSE_OK;
}

/* The shortest decimal that reads back as the same value of the dtype; always recognisable as a real. */
static void print_real(struct fuse_text *text, enum fuse_dtype dtype, double value) {
    if (isnan(value)) {
        fuse_text_add(text, "nan");
        return;
    }
    if (isinf(value)) {
        fuse_text_add(text, value < 0 ? "-inf" : "inf");
        return;
    }
    char digits[40] = "";
    for (int precision = 1; precision <= 17; precision++) {
        snprintf(digits, sizeof digits, "%.*g", precision, value);
        double back = 0;
        sscanf(digits, "%lf", &back);
        if (back == value || (dtype == FUSE_F32 && (float)back == (float)value))
            break;
    }
    fuse_text_add(text, "%s%s", digits, strpbrk(digits, ".e") ? "" : ".0");
}

/* Sharing can make the written form exponentially longer than the list. */
#define LONGEST_PRINT 20000

static void print_node(struct fuse_text *text, const struct fuse_scalar *scalar, int at, int *printed) {
    const struct fuse_scalar_node *node = &scalar->node[at];
    if (++*printed > LONGEST_PRINT) {
        fuse_text_add(text, "...");
        return;
    }
    fuse_text_add(text, "%s(", ops[node->op].name);
    const char *separator = "";
    switch (node->op) {
    case FUSE_SCALAR_LOAD:
    case FUSE_SCALAR_IOTA: fuse_text_add(text, "%d", node->arg); break;
    case FUSE_SCALAR_CONST:
        if (node->dtype == FUSE_BOOL)
            fuse_text_add(text, node->integer ? "true" : "false");
        else if (node->dtype == FUSE_I64)
            fuse_text_add(text, "%" PRId64, node->integer);
        else
            print_real(text, node->dtype, node->real);
        break;
    case FUSE_SCALAR_CAST:
        fuse_text_add(text, "%s", fuse_dtype_name(node->dtype));
        separator = ", ";
        break;
    case FUSE_SCALAR_NARROW:
        fuse_text_add(text, "%s", fuse_dtype_name((enum fuse_dtype)node->arg));
        separator = ", ";
        break;
    case FUSE_SCALAR_UNIFORM:
    case FUSE_SCALAR_NORMAL:
        fuse_text_add(text, "%" PRId64, node->integer);
        separator = ", ";
        break;
    default: break;
    }
    const int argument[3] = {node->a, node->b, node->c};
    for (int k = 0; k < ops[node->op].arity; k++) {
        fuse_text_add(text, "%s", separator);
        print_node(text, scalar, argument[k], printed);
        separator = ", ";
    }
    fuse_text_add(text, ")");
}

void fuse_scalar_print(struct fuse_text *text, const struct fuse_scalar *scalar) {
    int printed = 0;
    if (scalar->n > 0)
        print_node(text, scalar, scalar->n - 1, &printed);
}

/* b >= 0. A square that overflows is used by a higher bit of b, so the power overflows too. */
static int64_t power(int64_t a, int64_t b, bool *overflow) {
    int64_t result = 1, square = a;
    while (b > 0) {
        if (b & 1)
            *overflow |= __builtin_mul_overflow(result, square, &result);
        b >>= 1;
        if (b > 0)
            *overflow |= __builtin_mul_overflow(square, square, &square);
    }
    return result;
}

static int64_t eval_integer(enum fuse_scalar_op op, int64_t a, int64_t b, bool *overflow) {
    int64_t result = 0;
    switch (op) {
    case FUSE_SCALAR_ADD: *overflow |= __builtin_add_overflow(a, b, &result); return result;
    case FUSE_SCALAR_SUB: *overflow |= __builtin_sub_overflow(a, b, &result); return result;
    case FUSE_SCALAR_MUL: *overflow |= __builtin_mul_overflow(a, b, &result); return result;
    case FUSE_SCALAR_NEG: *overflow |= __builtin_sub_overflow(0, a, &result); return result;
    case FUSE_SCALAR_ABS:
        if (a >= 0)
            return a;
        *overflow |= __builtin_sub_overflow(0, a, &result);
        return result;
    case FUSE_SCALAR_POW:
        if (b >= 0)
            return power(a, b, overflow);
        *overflow = true;
        return 0;
    case FUSE_SCALAR_MINIMUM: return b < a ? b : a;
    case FUSE_SCALAR_MAXIMUM: return b > a ? b : a;
    case FUSE_SCALAR_SIGN: return (a > 0) - (a < 0);
    default: return 0;
    }
}

static double sigmoid(double x) {
    if (x >= 0)
        return 1 / (1 + exp(-x));
    double e = exp(x);
    return e / (1 + e);
}

/* In double. The caller rounds for F32, which gives the correctly rounded float for + - * / and sqrt, because double
 * has more than twice the digits. */
static double eval_real(enum fuse_scalar_op op, double a, double b) {
    switch (op) {
    case FUSE_SCALAR_ADD: return a + b;
    case FUSE_SCALAR_SUB: return a - b;
    case FUSE_SCALAR_MUL: return a * b;
    case FUSE_SCALAR_DIV: return a / b;
    case FUSE_SCALAR_POW: return pow(a, b);
    case FUSE_SCALAR_MINIMUM: return a != a ? a : b != b ? b : b < a ? b : a;
    case FUSE_SCALAR_MAXIMUM: return a != a ? a : b != b ? b : b > a ? b : a;
    case FUSE_SCALAR_NEG: return -a;
    case FUSE_SCALAR_ABS: return fabs(a);
    case FUSE_SCALAR_SIGN: return a != a ? a : (double)((a > 0) - (a < 0));
    case FUSE_SCALAR_FLOOR: return floor(a);
    case FUSE_SCALAR_CEIL: return ceil(a);
    case FUSE_SCALAR_ROUND: return nearbyint(a);
    case FUSE_SCALAR_EXP: return exp(a);
    case FUSE_SCALAR_LOG: return log(a);
    case FUSE_SCALAR_LOG1P: return log1p(a);
    case FUSE_SCALAR_SQRT: return sqrt(a);
    case FUSE_SCALAR_RSQRT: return 1 / sqrt(a);
    case FUSE_SCALAR_SIN: return sin(a);
    case FUSE_SCALAR_COS: return cos(a);
    case FUSE_SCALAR_TANH: return tanh(a);
    case FUSE_SCALAR_ERF: return erf(a);
    case FUSE_SCALAR_SIGMOID: return sigmoid(a);
    default: return 0;
    }
}

static bool compare(enum fuse_scalar_op op, enum fuse_dtype dtype, union fuse_scalar_value a,
                    union fuse_scalar_value b) {
    bool real = is_real(dtype);
    switch (op) {
    case FUSE_SCALAR_LT: return real ? a.real < b.real : a.integer < b.integer;
    case FUSE_SCALAR_LE: return real ? a.real <= b.real : a.integer <= b.integer;
    case FUSE_SCALAR_EQ: return real ? a.real == b.real : a.integer == b.integer;
    default: return real ? a.real != b.real : a.integer != b.integer;
    }
}

static double uniform53(uint32_t high, uint32_t low) {
    return (double)((((uint64_t)high << 32) | low) >> 11) * 0x1p-53;
}

static double draw_uniform(enum fuse_dtype dtype, int64_t counter, int64_t seed) {
    uint32_t x[4];
    fuse_philox(x, (uint64_t)counter, (uint64_t)seed);
    return dtype == FUSE_F32 ? (double)(x[0] >> 8) * 0x1p-24 : uniform53(x[0], x[1]);
}

static double draw_normal(int64_t counter, int64_t seed) {
    const double two_pi = 6.283185307179586476925286766559;
    uint32_t x[4];
    fuse_philox(x, (uint64_t)counter, (uint64_t)seed);
    double u1 = uniform53(x[0], x[1]), u2 = uniform53(x[2], x[3]);
    return sqrt(-2 * log(1 - u1)) * cos(two_pi * u2);
}

static union fuse_scalar_value cast(enum fuse_dtype to, enum fuse_dtype from, union fuse_scalar_value a) {
    union fuse_scalar_value value = {0};
    if (to == FUSE_BOOL)
        value.integer = is_real(from) ? a.real > 0 : a.integer > 0;
    else if (to == FUSE_I64 && is_real(from))
        fuse_dtype_convert(&value.integer, FUSE_I64, &a.real, FUSE_F64, 1);
    else if (to == FUSE_I64)
        value.integer = a.integer;
    else if (is_real(from))
        value.real = to == FUSE_F32 ? (double)(float)a.real : a.real;
    else /* straight to float: a detour through double would round twice */
        value.real = to == FUSE_F32 ? (double)(float)a.integer : (double)a.integer;
    return value;
}

/* Through the narrow dtype and back. */
static double narrow(enum fuse_dtype through, double value) {
    uint32_t bits = 0;
    fuse_dtype_convert(&bits, through, &value, FUSE_F64, 1);
    fuse_dtype_convert(&value, FUSE_F64, &bits, through, 1);
    return value;
}

union fuse_scalar_value fuse_scalar_eval(const struct fuse_scalar_node *node, enum fuse_dtype argument_dtype,
                                         union fuse_scalar_value a, union fuse_scalar_value b,
                                         union fuse_scalar_value c, bool *overflow) {
    union fuse_scalar_value value = {0};
    switch (node->op) {
    case FUSE_SCALAR_CONST:
        if (is_real(node->dtype))
            value.real = node->real;
        else
            value.integer = node->integer;
        break;
    case FUSE_SCALAR_CAST: return cast(node->dtype, argument_dtype, a);
    case FUSE_SCALAR_NARROW: value.real = narrow((enum fuse_dtype)node->arg, a.real); break;
    case FUSE_SCALAR_LT:
    case FUSE_SCALAR_LE:
    case FUSE_SCALAR_EQ:
    case FUSE_SCALAR_NE: value.integer = compare(node->op, argument_dtype, a, b); return value;
    case FUSE_SCALAR_AND: value.integer = a.integer && b.integer; return value;
    case FUSE_SCALAR_OR: value.integer = a.integer || b.integer; return value;
    case FUSE_SCALAR_NOT: value.integer = !a.integer; return value;
    case FUSE_SCALAR_SELECT: return a.integer ? b : c;
    case FUSE_SCALAR_ISNAN: value.integer = isnan(a.real) != 0; return value;
    case FUSE_SCALAR_UNIFORM: value.real = draw_uniform(node->dtype, a.integer, node->integer); break;
    case FUSE_SCALAR_NORMAL: value.real = draw_normal(a.integer, node->integer); break;
    default:
        if (is_real(node->dtype))
            value.real = eval_real(node->op, a.real, b.real);
        else
            value.integer = eval_integer(node->op, a.integer, b.integer, overflow);
    }
    if (node->dtype == FUSE_F32)
        value.real = (double)(float)value.real;
    return value;
}

/* ---- what a body says -------------------------------------------------------------------------------------------- */

static bool is_iota(const struct fuse_scalar *scalar, int node, int index) {
    return scalar->node[node].op == FUSE_SCALAR_IOTA && scalar->node[node].arg == index;
}

/* key <= row + shift, or key < row + shift + 1. */
static bool is_causal_test(const struct fuse_scalar *scalar, int test, int key, int row, int64_t *shift) {
    const struct fuse_scalar_node *t = &scalar->node[test];
    if ((t->op != FUSE_SCALAR_LE && t->op != FUSE_SCALAR_LT) || !is_iota(scalar, t->a, key))
        return false;
    const struct fuse_scalar_node *b = &scalar->node[t->b];
    *shift = t->op == FUSE_SCALAR_LT ? -1 : 0;
    if (is_iota(scalar, t->b, row))
        return true;
    if (b->op != FUSE_SCALAR_ADD || !is_iota(scalar, b->a, row) || scalar->node[b->b].op != FUSE_SCALAR_CONST)
        return false;
    *shift += scalar->node[b->b].integer;
    return true;
}

bool fuse_scalar_is_causal(const struct fuse_scalar *scalar, int key, int row, int64_t *shift, bool *alone) {
    const struct fuse_scalar_node *root = &scalar->node[scalar->n - 1];
    *alone = false;
    if (row < 0 || root->op != FUSE_SCALAR_SELECT || scalar->node[root->c].op != FUSE_SCALAR_CONST ||
        scalar->node[root->c].real != -INFINITY)
        return false;
    *alone = is_causal_test(scalar, root->a, key, row, shift);
    const struct fuse_scalar_node *test = &scalar->node[root->a];
    return *alone || (test->op == FUSE_SCALAR_AND && (is_causal_test(scalar, test->a, key, row, shift) ||
                                                      is_causal_test(scalar, test->b, key, row, shift)));
}
