/* Where sums land: language.md 5.2. Each node learns which indices are summed at it; nothing about extents or types. */
#include "lang/check.h"

#include <string.h>

/* The innermost operand that closes. Outside of all, sums may land anywhere. */
struct region {
    bool closing;
    struct fuse_span construct; /* `X[i,j] ** 2`, `exp(X[i,j])` */
    bool is_operator;           /* the construct needs parentheses to be a factor */
    bool logical;               /* an operand of ! && || */
};

struct placer {
    struct fuse_checker *c;
    struct fuse_equation *eq;
    bool joint; /* one expression over all its axes: nothing is summed in it but what `!` and constructs take */
};

static void place(struct placer *p, struct fuse_node *node, uint64_t kept, const struct region *region);

/* "(a + b)": one pair of parentheses around everything. */
static bool is_wrapped(const char *text) {
    int depth = 0;
    if (text[0] != '(')
        return false;
    for (; *text; text++) {
        depth += (*text == '(') - (*text == ')');
        if (depth == 0 && text[1])
            return false;
    }
    return true;
}

/* "(reduce(sum, j) X[i,j])" in the place of X[i,j] in the construct, and reduce around the construct. */
static void spell_both(struct placer *p, struct fuse_diagnostic *d, const struct fuse_node *node, uint64_t set,
                       const struct region *region) {
    for (int k = 0; k < p->eq->indices; k++)
        if ((set & FUSE_BIT(k)) && strchr(p->eq->index[k].name, ':')) {
            fuse_advise(p->c, d, "the axis of a slice is named by its text; to align it with others name it: i=%s",
                        p->eq->index[k].name);
            return;
        }
    const char *construct = fuse_excerpt(p->c, region->construct), *operand = fuse_excerpt(p->c, node->span);
    struct fuse_span whole = region->construct, part = node->span;
    struct fuse_text names = {.arena = p->c->arena};
    for (int k = 0; k < p->eq->indices; k++)
        if (set & FUSE_BIT(k))
            fuse_text_add(&names, ", %s", p->eq->index[k].name);
    if (!construct || !operand || part.begin < whole.begin || part.end > whole.end) {
        fuse_advise(p->c, d, "say where the sum is taken with reduce(sum%s) ..", names.at);
        return;
    }
    int before = (int)(part.begin - whole.begin), after = (int)(part.end - whole.begin);
    bool bracketed = before > 0 && construct[before - 1] == '(' && construct[after] == ')';
    bool loose = node->kind == FUSE_NODE_SUM || node->kind == FUSE_NODE_COMPARE || node->kind == FUSE_NODE_CHOICE ||
                 node->kind == FUSE_NODE_AND || node->kind == FUSE_NODE_OR;
    bool wrap = region->is_operator && !is_wrapped(construct);
    loose &= !is_wrapped(operand);
    fuse_advise(p->c, d, "write `reduce(sum%s) %s%s%s` or `%.*s%sreduce(sum%s) %s%s%s%s%s`", names.at, wrap ? "(" : "",
                construct, wrap ? ")" : "", before, construct, bracketed ? "" : "(", names.at, loose ? "(" : "",
                operand, loose ? ")" : "", bracketed ? "" : ")", construct + after);
}

/* Sums `set` at the node; in an operand of ! && || it is an OR. In another closing operand only a product of factors that
 * share the index may be summed. */
static void land(struct placer *p, struct fuse_node *node, uint64_t set, uint64_t shared, const struct region *region) {
    node->sum = set;
    node->any = set && region->logical;
    node->axes &= ~set;
    if (!region->closing || region->logical || !(set & ~shared) || p->eq->bad)
        return;
    set &= ~shared;
    struct fuse_diagnostic *d =
        fuse_complain(p->c, node->span, "%s would be summed here: is the sum inside or outside?",
                      fuse_quote_indices(p->c, p->eq, set));
    spell_both(p, d, node, set, region);
    p->eq->bad = true;
}

static bool makes_axis(const struct fuse_node *node) {
    switch (node->kind) {
    case FUSE_NODE_ONE_HOT:
    case FUSE_NODE_CONCAT:
    case FUSE_NODE_MERGE:
    case FUSE_NODE_STACK:
    case FUSE_NODE_TOPK: return true;
    default: return false;
    }
}

static struct region operand_of(const struct fuse_node *node, int k) {
    struct region region = {.closing = true, .construct = node->span};
    region.is_operator = node->kind != FUSE_NODE_ELEMENT && node->kind != FUSE_NODE_NORMALISE &&
                         node->kind != FUSE_NODE_REDUCE && node->kind != FUSE_NODE_LEFT && !makes_axis(node) &&
                         node->kind != FUSE_NODE_ATTENTION;
    region.logical = node->kind == FUSE_NODE_AND || node->kind == FUSE_NODE_OR || node->kind == FUSE_NODE_NOT;
    if (node->kind == FUSE_NODE_PRODUCT)
        region.construct = node->whole[k];
    return region;
}

static bool closes(const struct fuse_node *node, int k) {
    switch (node->kind) {
    case FUSE_NODE_SUM: return false;
    case FUSE_NODE_PRODUCT: return node->inverse[k];
    case FUSE_NODE_CHOICE: return k % 2 == 0 && k != node->n - 1; /* conditions; values do not close */
    default: return true;
    }
}

/* "There is no y": the operand of ! in a joint expression. */
static void none_of(struct fuse_node *operand, uint64_t kept) {
    operand->sum = operand->axes & ~kept;
    operand->any = operand->sum != 0;
    operand->axes &= kept;
}

/* What is to be summed at a node that has all its arguments' axes. */
static uint64_t missing(const struct placer *p, const struct fuse_node *node, uint64_t kept) {
    return p->joint ? 0 : node->axes & ~kept;
}

/* Places the arguments, each with what the others use and what it has for itself kept besides `kept`, and unites what is
 * left of their axes. */
static void place_arguments(struct placer *p, struct fuse_node *node, uint64_t kept, const struct region *region) {
    bool together = node->kind != FUSE_NODE_SUM || p->joint;
    uint64_t *after = FUSE_NEW_ARRAY(p->c->arena, uint64_t, node->n + 1), before = 0;
    for (int k = node->n - 1; k >= 0; k--)
        after[k] = after[k + 1] | (node->arg[k] ? node->arg[k]->uses : 0);
    for (int k = 0; k < node->n; k++) {
        struct fuse_node *arg = node->arg[k];
        if (!arg)
            continue;
        uint64_t own = node->own ? node->own[k] : 0, others = (together ? before | after[k + 1] : 0) | own;
        if (closes(node, k)) {
            struct region inner = operand_of(node, k);
            place(p, arg, kept | others, &inner);
            if (p->joint && node->kind == FUSE_NODE_NOT)
                none_of(arg, kept | others);
        } else {
            place(p, arg, kept | others, region);
        }
        before |= arg->uses;
        node->axes |= arg->axes & ~own;
    }
}

/* Indices that two or more factors have after their own sums. */
static uint64_t shared_by_factors(const struct fuse_node *node) {
    uint64_t seen = 0, shared = 0;
    for (int k = 0; k < node->n; k++) {
        shared |= seen & node->arg[k]->axes;
        seen |= node->arg[k]->axes;
    }
    return shared;
}

/* What a product sums when `taken` is summed on demand (sum(..), reduce(sum, ..)): those need not be shared. */
static void place_product(struct placer *p, struct fuse_node *node, uint64_t kept, uint64_t taken,
                          const struct region *region) {
    node->taken = taken;
    place_arguments(p, node, kept | taken, region);
    land(p, node, missing(p, node, kept) | (node->axes & taken), shared_by_factors(node) | taken, region);
}

static bool sums(const struct fuse_node *node) {
    switch (node->builtin->code) {
    case FUSE_BUILTIN_SUM:
    case FUSE_BUILTIN_MEAN:
    case FUSE_BUILTIN_AVG: return true;
    default: return false;
    }
}

static void place(struct placer *p, struct fuse_node *node, uint64_t kept, const struct region *region) {
    node->axes = node->uses;
    switch (node->kind) {
    case FUSE_NODE_NUMBER:
    case FUSE_NODE_LIST:
    case FUSE_NODE_REF:
    case FUSE_NODE_INDEX: land(p, node, missing(p, node, kept), 0, region); return;
    case FUSE_NODE_SUM:
        node->axes = 0;
        place_arguments(p, node, kept, region);
        return;
    case FUSE_NODE_PRODUCT:
        node->axes = 0;
        place_product(p, node, kept, 0, region);
        return;
    case FUSE_NODE_TRUTH: /* part of the reference */
        place(p, node->arg[0], ~(uint64_t)0, &(struct region){.closing = false});
        land(p, node, missing(p, node, kept), 0, region);
        return;
    case FUSE_NODE_GUARD: place(p, node->arg[0], ~(uint64_t)0, &(struct region){.closing = false}); return;
    case FUSE_NODE_REDUCE: {
        struct region inner = operand_of(node, 0);
        struct fuse_node *arg = node->arg[0];
        if (arg->kind == FUSE_NODE_PRODUCT && sums(node)) {
            arg->axes = 0;
            place_product(p, arg, kept & ~node->taken, node->taken, &inner);
        } else {
            place(p, arg, kept | node->taken, &inner);
        }
        node->axes = arg->axes & ~node->taken;
        return;
    }
    case FUSE_NODE_NORMALISE:
        node->axes = 0;
        place_arguments(p, node, kept | node->taken, region);
        break;
    case FUSE_NODE_ONE_HOT:
    case FUSE_NODE_CONCAT:
    case FUSE_NODE_MERGE:
    case FUSE_NODE_STACK:
    case FUSE_NODE_TOPK:
        node->axes = FUSE_BIT(node->index);
        place_arguments(p, node, kept, region);
        break;
    case FUSE_NODE_LEFT:
        node->axes = 0;
        for (int a = 0; a < node->positions; a++)
            node->axes |= node->at[a].index >= 0 ? FUSE_BIT(node->at[a].index) : 0;
        place_arguments(p, node, kept | node->axes, region);
        break;
    default: node->axes = 0; place_arguments(p, node, kept, region);
    }
    land(p, node, missing(p, node, kept), 0, region);
}

/* A mean of a product without a guard is the sum of that product, which may be a contraction, divided. */
static void place_joint(struct placer *p) {
    struct fuse_equation *eq = p->eq;
    struct region open = {.closing = false};
    p->joint = true;
    place(p, eq->root, eq->left_set | (eq->guard ? eq->guard->uses : 0), &open);
    eq->projected = eq->root->axes & ~eq->left_set;
    if (eq->guard) {
        place(p, eq->guard, 0, &open);
        eq->projected |= eq->guard->axes & ~eq->left_set;
    } else if (p->c->tensors.at[eq->tensor]->assign == FUSE_ASSIGN_AVG && eq->root->kind == FUSE_NODE_PRODUCT) {
        eq->root->sum = eq->projected;
        eq->root->axes &= ~eq->projected;
    }
}

void fuse_place_sums(struct fuse_checker *c, struct fuse_equation *eq) {
    struct placer p = {.c = c, .eq = eq};
    struct region open = {.closing = false, .logical = eq->logical};
    if (fuse_is_joint(c, eq))
        place_joint(&p);
    else
        place(&p, eq->root, eq->kind == FUSE_EQUATION_SINK ? ~(uint64_t)0 : eq->left_set, &open);
}
