/* Weights with low-rank adapters: in a product that sums an axis of such a weight, W stands for W + factor B A, and the
 * product becomes two, by linearity:
 *
 *     sum_i W[o,i] X[b,i]   ->   sum_i W[o,i] X[b,i] + sum_r B[o,r] (factor sum_i A[r,i] X[b,i])
 *
 * The inner sum takes all factors that have the index, so that B and A never meet. Between the sums and the dependencies
 * pass, on nodes. */
#include "lang/check.h"

struct adapted {
    int tensor, a, b; /* tensors: [out,in], [rank,in], [out,rank] */
    double factor;
};

struct adapting {
    struct fuse_checker *c;
    FUSE_VEC(struct adapted) list;
    struct fuse_equation *eq;
};

/* ---- nodes ---- */

static struct fuse_node *copy_node(struct adapting *w, const struct fuse_node *node) {
    struct fuse_node *copy = FUSE_NEW(w->c->arena, struct fuse_node);
    *copy = *node;
    return copy;
}

/* Without arguments yet, for at most n of them. */
static struct fuse_node *open_node(struct adapting *w, enum fuse_node_kind kind, struct fuse_span span, int n) {
    struct fuse_node *node = FUSE_NEW(w->c->arena, struct fuse_node);
    *node = (struct fuse_node){.kind = kind, .span = span, .index = -1};
    node->arg = FUSE_NEW_ARRAY(w->c->arena, struct fuse_node *, n);
    node->inverse = FUSE_NEW_ARRAY(w->c->arena, bool, n);
    node->whole = FUSE_NEW_ARRAY(w->c->arena, struct fuse_span, n);
    return node;
}

static void add_argument(struct fuse_node *node, struct fuse_node *arg, bool inverse, struct fuse_span whole) {
    node->inverse[node->n] = inverse;
    node->whole[node->n] = whole;
    node->arg[node->n++] = arg;
    node->uses |= arg->uses;
    node->axes |= arg->axes;
}

static void sum_at(struct fuse_node *node, uint64_t set) {
    node->sum = set & node->axes;
    node->axes &= ~node->sum;
}

static uint64_t index_set(const struct fuse_position *at) {
    return at->index >= 0 ? FUSE_BIT(at->index) : 0;
}

/* A or B: one axis as the weight's is read, the other through the new index. */
static struct fuse_node *refer(struct adapting *w, const struct fuse_node *weight, int tensor, int axis, int rank) {
    struct fuse_node *ref = copy_node(w, weight);
    ref->tensor = tensor;
    ref->sum = 0;
    ref->adapted = true;
    ref->at = FUSE_NEW_ARRAY(w->c->arena, struct fuse_position, 2);
    ref->at[axis] = weight->at[axis];
    ref->at[axis].domain = w->c->tensors.at[tensor]->domain[axis];
    ref->at[1 - axis] = (struct fuse_position){
        .index = rank, .domain = w->c->tensors.at[tensor]->domain[1 - axis], .span = weight->span};
    ref->uses = ref->axes = FUSE_BIT(rank) | index_set(&ref->at[axis]);
    return ref;
}

/* ---- a product ---- */

static const struct adapted *find_adapted(const struct adapting *w, const struct fuse_node *node) {
    for (int k = 0; node->kind == FUSE_NODE_REF && !node->adapted && k < w->list.n; k++)
        if (w->list.at[k].tensor == node->tensor)
            return &w->list.at[k];
    return NULL;
}

static int add_rank_index(struct adapting *w, const struct adapted *weight, struct fuse_span span) {
    struct fuse_equation *eq = w->eq;
    if (eq->indices == FUSE_MAX_INDICES) {
        fuse_complain(w->c, span, "this equation has more than %d indices with those of its adapters",
                      FUSE_MAX_INDICES);
        eq->bad = true;
        return -1;
    }
    const struct fuse_tensor *a = w->c->tensors.at[weight->a];
    eq->index =
        fuse_arena_grow(w->c->arena, eq->index, (size_t)eq->indices, (size_t)eq->indices + 1, sizeof *eq->index);
    eq->index[eq->indices] = (struct fuse_equation_index){
        .name = fuse_arena_printf(w->c->arena, "%s.rank", w->c->tensors.at[weight->tensor]->name),
        .span = span,
        .domain = a->domain[0],
        .sliced = true};
    fuse_vec_push(w->c->arena, &eq->mentions, weight->a);
    fuse_vec_push(w->c->arena, &eq->mentions, weight->b);
    return eq->indices++;
}

/* Other factors of a product that is made twice: references are marked, so each product has its own. */
static struct fuse_node *own_factor(struct adapting *w, struct fuse_node *factor) {
    return find_adapted(w, factor) ? copy_node(w, factor) : factor;
}

static struct fuse_node *number_node(struct adapting *w, double value, struct fuse_span span) {
    struct fuse_node *node = open_node(w, FUSE_NODE_NUMBER, span, 0);
    node->number = (struct fuse_number){.dtype = FUSE_F64, .real = value};
    return node;
}

/* The product with B A instead of factor k. near: the axis of the weight that is summed first, together with all factors
 * that have its index. */
static struct fuse_node *thin_product(struct adapting *w, const struct fuse_node *product, int k,
                                      const struct adapted *weight, int near, int rank) {
    const struct fuse_node *ref = product->arg[k];
    struct fuse_node *inner = open_node(w, FUSE_NODE_PRODUCT, product->span, product->n + 1);
    struct fuse_node *outer = open_node(w, FUSE_NODE_PRODUCT, product->span, product->n + 1);
    struct fuse_node *first = refer(w, ref, near == 1 ? weight->a : weight->b, near, rank);
    struct fuse_node *last = refer(w, ref, near == 1 ? weight->b : weight->a, 1 - near, rank);
    uint64_t summed = index_set(&ref->at[near]), elsewhere = last->uses;
    add_argument(inner, first, false, ref->span);
    add_argument(outer, last, false, ref->span);
    for (int j = 0; j < product->n; j++) {
        struct fuse_node *factor = product->arg[j];
        bool is_inner = (factor->axes & summed) != 0;
        if (j == k)
            continue;
        add_argument(is_inner ? inner : outer, own_factor(w, factor), product->inverse[j], product->whole[j]);
        elsewhere |= is_inner ? 0 : factor->axes;
    }
    if (weight->factor != 1)
        add_argument(inner, number_node(w, weight->factor, ref->span), false, ref->span);
    sum_at(inner, product->sum & ~elsewhere);
    add_argument(outer, inner, false, product->span);
    sum_at(outer, product->sum | FUSE_BIT(rank));
    return outer;
}

static void adapt(struct adapting *w, struct fuse_node *node);

static void refuse(struct adapting *w, struct fuse_span span, const struct adapted *weight) {
    struct fuse_diagnostic *d =
        fuse_complain(w->c, span, "'%s' has an adapter, and this is no product that sums one of its axes",
                      w->c->tensors.at[weight->tensor]->name);
    fuse_advise(w->c, d, "here the whole matrix is needed: \"merge\": true in the manifest makes it");
    w->eq->bad = true;
}

/* Turns the first adapted factor of a product into a sum of two products, and goes on in both. */
static bool adapt_product(struct adapting *w, struct fuse_node *product) {
    const struct adapted *weight = NULL;
    int k = 0, near;
    while (k < product->n && !(weight = find_adapted(w, product->arg[k])))
        k++;
    if (!weight)
        return false;
    struct fuse_node *ref = product->arg[k];
    uint64_t sum = product->sum;
    near = sum & index_set(&ref->at[1]) ? 1 : sum & index_set(&ref->at[0]) ? 0 : -1;
    if (near < 0 || product->inverse[k] || product->logical || product->any || ref->sum) {
        refuse(w, ref->span, weight);
        return true;
    }
    int rank = add_rank_index(w, weight, ref->span);
    if (rank < 0)
        return true;
    struct fuse_node *thin = thin_product(w, product, k, weight, near, rank), *whole = copy_node(w, product);
    struct fuse_node *both = open_node(w, FUSE_NODE_SUM, product->span, 2);
    ref->adapted = true;
    whole->taken = 0;
    add_argument(both, whole, false, product->span);
    add_argument(both, thin, false, product->span);
    both->uses = product->uses;
    both->axes = product->axes;
    product->arg = FUSE_NEW_ARRAY(w->c->arena, struct fuse_node *, 1);
    product->arg[0] = both;
    product->inverse = FUSE_NEW_ARRAY(w->c->arena, bool, 1);
    product->n = 1;
    product->sum = 0;
    adapt(w, whole);
    adapt(w, thin);
    return true;
}

/* sum_i W[o,i] without other factors is a product of one. */
static void make_product(struct adapting *w, struct fuse_node *ref) {
    struct fuse_node *factor = copy_node(w, ref), *product = open_node(w, FUSE_NODE_PRODUCT, ref->span, 1);
    factor->sum = 0;
    factor->axes = factor->uses;
    add_argument(product, factor, false, ref->span);
    product->sum = ref->sum;
    product->any = ref->any;
    product->axes = ref->axes;
    *ref = *product;
}

static void adapt(struct adapting *w, struct fuse_node *node) {
    const struct adapted *weight = find_adapted(w, node);
    if (weight && node->sum) {
        make_product(w, node);
    } else if (weight) {
        refuse(w, node->span, weight);
        return;
    }
    if (node->kind == FUSE_NODE_PRODUCT && adapt_product(w, node))
        return;
    for (int k = 0; k < node->n; k++)
        if (node->arg[k] && !w->eq->bad)
            adapt(w, node->arg[k]);
}

/* ---- the program ---- */

static int tensor_of(const struct fuse_checker *c, const char *name) {
    const struct fuse_symbol *symbol = fuse_find_symbol(c, 0, name);
    return symbol && symbol->kind == FUSE_SYMBOL_TENSOR ? symbol->tensor : -1;
}

static void list_adapted(struct adapting *w) {
    struct fuse_checker *c = w->c;
    for (int k = 0; k < c->settings.adapters; k++) {
        const struct fuse_adapter *adapter = &c->settings.adapter[k];
        struct adapted adapted = {.tensor = tensor_of(c, adapter->weight),
                                  .a = tensor_of(c, adapter->a),
                                  .b = tensor_of(c, adapter->b),
                                  .factor = adapter->factor};
        if (adapted.tensor >= 0 && adapted.a >= 0 && adapted.b >= 0)
            fuse_vec_push(c->arena, &w->list, adapted);
    }
}

void fuse_apply_adapters(struct fuse_checker *c) {
    struct adapting w = {.c = c};
    list_adapted(&w);
    for (int e = 0; e < c->equations.n && w.list.n > 0; e++) {
        w.eq = c->equations.at[e];
        if (w.eq->root && !w.eq->bad)
            adapt(&w, w.eq->root);
        if (w.eq->guard && !w.eq->bad)
            adapt(&w, w.eq->guard);
    }
    for (int k = 0; k < c->exports.n; k++)
        for (int i = 0; i < w.list.n; i++)
            if (c->exports.at[k].tensor == w.list.at[i].tensor) {
                struct fuse_equation none = {0};
                w.eq = &none;
                refuse(&w, c->exports.at[k].span, &w.list.at[i]);
            }
}
