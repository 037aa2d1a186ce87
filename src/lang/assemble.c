/* Tensors are put together from their contributions, sinks from their expressions. */
#include "lang/lower.h"

#include <math.h>
#include <string.h>
#include <strings.h>

#define SUM_WEIGHT 400

void fuse_open_equation(struct fuse_lowering *l, struct fuse_checker *c, struct fuse_equation *eq) {
    *l = (struct fuse_lowering){.c = c, .eq = eq, .span = eq->item->span, .here = eq->item->span};
    for (int k = 0; k < eq->indices; k++) {
        l->extent[k] = fuse_domain_of(c, eq->index[k].domain)->extent;
        l->name[k] = eq->index[k].name;
    }
    l->owner = eq->tensor >= 0 ? c->tensors.at[eq->tensor]->name : NULL;
    /* Terms are marked with epochs; no two lowerings of one term may share one. */
    l->epoch = 0;
}

static enum fuse_dtype wanted(const struct fuse_type *type) {
    return type->dtype == FUSE_F64 ? FUSE_F64 : FUSE_F32;
}

static bool is_identity(const struct fuse_lowering *l, const struct fuse_term *term, int rank) {
    if (fuse_whole_value(l, term) < 0 || term->use->access.rank != rank)
        return false;
    for (int a = 0; a < rank; a++)
        if (term->use->access.at[a].index != a)
            return false;
    return true;
}

/* ---- where a contribution lands --------------------------------------------------------------------------------- */

static struct fuse_term *both(struct fuse_lowering *l, struct fuse_term *a, struct fuse_term *b) {
    return a ? fuse_term_op(l, FUSE_SCALAR_AND, a, b, NULL) : b;
}

/* The cells of `to` that the left side reaches: fixed positions, the diagonal, shifted indices; NULL: all. Fills in how
 * the indices of the equation become axes. */
static struct fuse_term *left_reach(struct fuse_lowering *to, const struct fuse_lowering *from,
                                    int map[FUSE_MAX_INDICES], int64_t shift[FUSE_MAX_INDICES]) {
    const struct fuse_equation *eq = from->eq;
    struct fuse_term *reached = NULL;
    for (int k = 0; k < FUSE_MAX_INDICES; k++) {
        map[k] = -1;
        shift[k] = 0;
    }
    for (int a = 0; a < eq->lefts; a++) {
        const struct fuse_position *at = &eq->left[a];
        struct fuse_term *here = fuse_term_iota(to, a);
        if (at->index < 0) {
            int64_t fixed = at->offset < 0 ? at->offset + to->extent[a] : at->offset;
            reached = both(to, reached, fuse_term_op(to, FUSE_SCALAR_EQ, here, fuse_term_integer(to, fixed), NULL));
            continue;
        }
        if (at->offset) /* the equation's index at this place */
            here = fuse_term_op(to, FUSE_SCALAR_SUB, here, fuse_term_integer(to, at->offset), NULL);
        if (map[at->index] < 0) {
            map[at->index] = a;
            shift[at->index] = at->offset;
            if (at->offset > 0)
                reached = both(to, reached, fuse_term_op(to, FUSE_SCALAR_LE, fuse_term_integer(to, 0), here, NULL));
            if (at->offset < 0)
                reached =
                    both(to, reached,
                         fuse_term_op(to, FUSE_SCALAR_LT, here, fuse_term_integer(to, from->extent[at->index]), NULL));
            continue;
        }
        struct fuse_term *first = fuse_term_iota(to, map[at->index]);
        if (shift[at->index])
            first = fuse_term_op(to, FUSE_SCALAR_SUB, first, fuse_term_integer(to, shift[at->index]), NULL);
        reached = both(to, reached, fuse_term_op(to, FUSE_SCALAR_EQ, here, first, NULL));
    }
    return reached;
}

/* From the indices of the equation to the axes of the tensor, which `to` stands for. */
static struct fuse_cells place_cells(struct fuse_lowering *to, const struct fuse_lowering *from,
                                     struct fuse_cells cells, enum fuse_assign assign) {
    int map[FUSE_MAX_INDICES];
    int64_t shift[FUSE_MAX_INDICES];
    struct fuse_term *reached = left_reach(to, from, map, shift);
    struct fuse_cells placed = {.value = fuse_term_move(to, cells.value, map, shift)};
    if (cells.reached)
        placed.reached = fuse_term_move(to, cells.reached, map, shift);
    if (reached) {
        placed.value = fuse_term_op(to, FUSE_SCALAR_SELECT, reached, placed.value,
                                    fuse_assign_neutral(to, assign, placed.value->node.dtype));
        placed.reached = both(to, placed.reached, reached);
    }
    return placed;
}

/* ---- tensors ---------------------------------------------------------------------------------------------------- */

/* A file of rows that is not all of the tensor: its cells. */
static struct fuse_term *lower_rows(struct fuse_lowering *l, const struct fuse_tensor *whole) {
    struct fuse_tensor *tensor = FUSE_NEW(l->c->arena, struct fuse_tensor);
    struct fuse_access access = fuse_access_identity(whole->rank);
    *tensor = *whole;
    tensor->contributions.at = FUSE_NEW(l->c->arena, int);
    *tensor->contributions.at = l->eq->number;
    tensor->contributions.n = tensor->contributions.cap = 1;
    if (fuse_source_relation(l->eq) == FUSE_FACTS)
        tensor->type.dtype = FUSE_BOOL;
    fuse_lower_files(l->c, tensor);
    return fuse_term_load(l, fuse_lower_contributed_cells(l, tensor), &access);
}

int fuse_lower_source(struct fuse_lowering *l, const struct fuse_tensor *tensor, bool alone) {
    const struct fuse_equation *eq = l->eq;
    const struct fuse_probe *probe = &eq->source->probe;
    struct fuse_op op = {.kind = FUSE_OP_SOURCE, .span = eq->item->span, .path = eq->item->text, .probe = *probe};
    enum fuse_dtype dtype = fuse_dtype_resident(probe->file_dtype);
    op.out = fuse_ir_add_value(l->c->ir, alone && dtype == tensor->type.dtype ? tensor->name : NULL, tensor->span,
                               dtype, probe->rank, probe->extent);
    fuse_ir_add_op(l->c->ir, &op);
    return op.out;
}

/* A value of the compute type of the tensor. */
static struct fuse_cells lower_contribution(struct fuse_lowering *l, const struct fuse_tensor *tensor, bool alone) {
    enum fuse_dtype compute = fuse_dtype_compute(tensor->type.dtype);
    struct fuse_cells cells = {0};
    if (l->eq->kind == FUSE_EQUATION_SOURCE && l->eq->source->probe.tally) {
        cells.value = lower_rows(l, tensor);
    } else if (l->eq->kind == FUSE_EQUATION_SOURCE) {
        struct fuse_access access = fuse_access_identity(tensor->rank);
        cells.value = fuse_term_load(l, fuse_lower_source(l, tensor, alone), &access);
    } else if (tensor->assign != FUSE_ASSIGN_SUM) {
        cells = fuse_lower_joint(l, tensor, compute, wanted(&tensor->type));
    } else {
        cells.value = fuse_lower_node(l, l->eq->root, wanted(&tensor->type));
    }
    cells.value = fuse_term_cast(l, cells.value, compute);
    return cells;
}

/* Integers have no infinity for a cell that nothing reaches: with max= and min= that is an error. */
static bool has_no_empty_value(const struct fuse_tensor *tensor, enum fuse_dtype compute) {
    return compute == FUSE_I64 && (tensor->assign == FUSE_ASSIGN_MAX || tensor->assign == FUSE_ASSIGN_MIN);
}

static const char *initial_value_hint(struct fuse_checker *c, const struct fuse_tensor *tensor) {
    return fuse_arena_printf(c->arena, "integers have no infinity for them: give them an initial value, %s[..] %s 0",
                             tensor->name, tensor->assign == FUSE_ASSIGN_MAX ? "max=" : "min=");
}

/* true when it can only be known during the run whether every cell is reached. */
static bool must_check_cells(struct fuse_checker *c, const struct fuse_tensor *tensor) {
    enum fuse_coverage coverage = fuse_tensor_coverage(c, tensor);
    if (coverage == FUSE_NOT_COVERED) {
        struct fuse_diagnostic *d =
            fuse_complain(c, tensor->span, "no contribution reaches some cells of '%s'", tensor->name);
        fuse_advise(c, d, "%s", initial_value_hint(c, tensor));
    }
    return coverage == FUSE_PERHAPS_COVERED;
}

/* One more than the neutral value, away from 0, is beyond 64 bits: the overflow that a kernel reports stands for it. */
static int emit_checked_cells(struct fuse_lowering *l, const struct fuse_tensor *tensor, struct fuse_cells cells,
                              const int *axes) {
    struct fuse_checker *c = l->c;
    struct fuse_term *beyond = fuse_term_integer(l, tensor->assign == FUSE_ASSIGN_MAX ? -1 : 1);
    struct fuse_term *reached = fuse_materialise(l, cells.reached), *value = fuse_materialise(l, cells.value);
    beyond = fuse_term_op(l, FUSE_SCALAR_SELECT, reached, fuse_term_integer(l, 0), beyond);
    int out = fuse_emit_map(l, fuse_term_op(l, FUSE_SCALAR_ADD, value, beyond, NULL), axes, tensor->rank, 0,
                            FUSE_REDUCE_NONE, tensor->type.dtype, tensor->name);
    if (out < 0)
        return out;
    struct fuse_op *op = c->ir->ops.at[c->ir->values.at[out].op];
    op->overflow = fuse_arena_printf(c->arena, "no contribution reaches some cells of '%s'", tensor->name);
    op->overflow_hint = initial_value_hint(c, tensor);
    return out;
}

static struct fuse_cells combine(struct fuse_lowering *l, const struct fuse_tensor *tensor, struct fuse_cells a,
                                 struct fuse_cells b) {
    struct fuse_cells both = {0};
    enum fuse_scalar_op op = tensor->boolean ? FUSE_SCALAR_OR : fuse_assign_combine(tensor->assign);
    both.value = fuse_term_op(l, op, a.value, b.value, NULL);
    both.value = fuse_settle(l, both.value, SUM_WEIGHT);
    if (a.reached && b.reached)
        both.reached = fuse_settle(l, fuse_term_op(l, FUSE_SCALAR_OR, a.reached, b.reached, NULL), SUM_WEIGHT);
    return both;
}

/* The names of the tensor's axes, for printing: the first left side's. */
static void open_tensor(struct fuse_lowering *l, struct fuse_checker *c, const struct fuse_tensor *tensor) {
    const struct fuse_equation *first = c->equations.at[tensor->contributions.at[0]];
    *l = (struct fuse_lowering){.c = c, .span = first->item->span, .here = tensor->span, .owner = tensor->name};
    for (int a = 0; a < tensor->rank; a++) {
        int index = first->left[a].index;
        l->extent[a] = fuse_domain_of(c, tensor->domain[a])->extent;
        l->name[a] = index >= 0 ? first->index[index].name : fuse_arena_printf(c->arena, "axis%d", a);
    }
}

/* The value itself, unless it has infinities or NaN: then their number is added to the largest integer, and that overflow
 * is the error. Comparing the sum with 0 makes the value depend on it. */
static int emit_finite(struct fuse_lowering *l, int value, const int *axes, const char *name) {
    const struct fuse_value v = l->c->ir->values.at[value];
    enum fuse_dtype compute = fuse_dtype_compute(v.dtype);
    struct fuse_access access = fuse_access_identity(v.rank);
    uint64_t all = 0;
    for (int a = 0; a < v.rank; a++) {
        access.at[a].index = axes[a];
        all |= FUSE_BIT(axes[a]);
    }
    struct fuse_term *x = fuse_term_load(l, value, &access);
    struct fuse_term *size = fuse_term_op(l, FUSE_SCALAR_ABS, x, NULL, NULL);
    struct fuse_term *good = fuse_term_op(l, FUSE_SCALAR_LT, size, fuse_term_real(l, compute, INFINITY), NULL);
    struct fuse_term *bad = fuse_term_cast(l, fuse_term_op(l, FUSE_SCALAR_NOT, good, NULL, NULL), FUSE_I64);
    struct fuse_term *count = fuse_project(l, bad, all, FUSE_REDUCE_SUM);
    int sum = fuse_emit_map(l, fuse_term_op(l, FUSE_SCALAR_ADD, fuse_term_integer(l, INT64_MAX), count, NULL), NULL, 0,
                            0, FUSE_REDUCE_NONE, FUSE_I64, NULL);
    if (sum < 0)
        return value;
    struct fuse_op *op = l->c->ir->ops.at[l->c->ir->values.at[sum].op];
    op->overflow = name ? fuse_arena_printf(l->c->arena, "'%s' has infinite values or NaN", name)
                        : "this sink has infinite values or NaN";
    op->overflow_hint =
        "a divisor of 0, the logarithm of 0, or an exponential beyond the type makes them; else a source has them";
    struct fuse_access whole = fuse_access_identity(0);
    struct fuse_term *never =
        fuse_term_op(l, FUSE_SCALAR_LT, fuse_term_load(l, sum, &whole), fuse_term_integer(l, 0), NULL);
    x = fuse_term_op(l, FUSE_SCALAR_SELECT, never, fuse_term_real(l, compute, 0), x);
    int checked = fuse_emit_map(l, x, axes, v.rank, 0, FUSE_REDUCE_NONE, v.dtype, name);
    return checked < 0 ? value : checked;
}

static bool must_be_finite(const struct fuse_checker *c, enum fuse_dtype dtype) {
    return c->settings.finite && fuse_dtype_class(dtype) == FUSE_CLASS_REAL;
}

bool fuse_lower_tensor(struct fuse_checker *c, struct fuse_tensor *tensor) {
    struct fuse_lowering whole, part;
    struct fuse_cells all = {0};
    enum fuse_dtype compute = fuse_dtype_compute(tensor->type.dtype);
    bool alone = tensor->contributions.n == 1;
    if (fuse_tensor_relation(c, tensor) != FUSE_NO_RELATION) {
        fuse_lower_files(c, tensor);
        return true;
    }
    int first_value = c->ir->values.n, axes[FUSE_MAX_AXES];
    open_tensor(&whole, c, tensor);
    for (int k = 0; k < tensor->contributions.n; k++) {
        struct fuse_equation *eq = c->equations.at[tensor->contributions.at[k]];
        fuse_open_equation(&part, c, eq);
        part.epoch = whole.epoch;
        struct fuse_cells cells = lower_contribution(&part, tensor, alone);
        whole.epoch = part.epoch;
        if (part.failed) {
            eq->bad = true;
            return false;
        }
        if (!eq->plain_left)
            cells = place_cells(&whole, &part, cells, tensor->assign);
        all = k == 0 ? cells : combine(&whole, tensor, all, cells);
    }
    for (int a = 0; a < tensor->rank; a++)
        axes[a] = a;

    if (has_no_empty_value(tensor, compute) && must_check_cells(c, tensor)) {
        tensor->value = emit_checked_cells(&whole, tensor, all, axes);
        return !whole.failed;
    }

    /* A value that was made for this tensor alone is the tensor. */
    struct fuse_value *value = fuse_is_load(all.value) ? &c->ir->values.at[all.value->use->value] : NULL;
    bool made_here = value && all.value->use->value >= first_value && (!value->name || alone);
    if (made_here && value->dtype == tensor->type.dtype && is_identity(&whole, all.value, tensor->rank)) {
        value->name = tensor->name;
        value->span = tensor->span;
        tensor->value = all.value->use->value;
    } else {
        tensor->value =
            fuse_emit_map(&whole, all.value, axes, tensor->rank, 0, FUSE_REDUCE_NONE, tensor->type.dtype, tensor->name);
    }
    /* What becomes of a recursion is looked at in every turn of it. */
    if (tensor->value >= 0 && must_be_finite(c, tensor->type.dtype) && !whole.failed && !tensor->recursive)
        tensor->value = emit_finite(&whole, tensor->value, axes, tensor->name);
    return !whole.failed;
}

/* ---- sinks ------------------------------------------------------------------------------------------------------ */

/* "top.jsonl" = topk(..): such a file has positions beside the values. */
static bool is_ranking(const struct fuse_equation *eq) {
    size_t bytes = strlen(eq->item->text);
    return eq->root->kind == FUSE_NODE_TOPK && eq->root->builtin->code == FUSE_BUILTIN_TOPK && bytes >= 6 &&
           strcasecmp(eq->item->text + bytes - 6, ".jsonl") == 0;
}

/* The sink's indices in their order; the ranking's own is the last. */
static void lower_ranking(struct fuse_lowering *l, struct fuse_equation *eq, const struct fuse_type *type) {
    int axes[FUSE_MAX_INDICES], rank = 0, pair = eq->indices;
    if (pair == FUSE_MAX_INDICES) {
        fuse_complain(l->c, eq->item->span, "this equation has more than %d indices", FUSE_MAX_INDICES - 1);
        return;
    }
    l->extent[pair] = 2;
    l->name[pair] = "pair";
    struct fuse_term *term = fuse_lower_ranking(l, eq->root, pair, wanted(type));
    for (int k = 0; k < eq->indices; k++)
        if (eq->root->axes & FUSE_BIT(k))
            axes[rank++] = k;
    axes[rank++] = pair;
    int value = l->failed ? -1 : fuse_emit_map(l, term, axes, rank, 0, FUSE_REDUCE_NONE, term->node.dtype, NULL);
    if (value < 0 || l->failed)
        return;
    struct fuse_op *sink = fuse_emit_sink(l, value, eq->item->text, NULL, axes);
    for (int a = 0; a + 1 < rank; a++)
        sink->table[a] = 1 + fuse_domain_of(l->c, eq->index[axes[a]].domain)->table;
    sink->ranking = true;
    sink->ranked = type->dtype;
}

/* A sink of tuples: the relation as it is. */
static void lower_relation_sink(struct fuse_checker *c, struct fuse_equation *eq, const struct fuse_tensor *tensor) {
    struct fuse_lowering l;
    int axes[FUSE_MAX_INDICES], rank = 0;
    if (tensor->value < 0)
        return;
    fuse_open_equation(&l, c, eq);
    for (int k = 0; k < eq->indices; k++)
        if (eq->root->axes & FUSE_BIT(k))
            axes[rank++] = k;
    struct fuse_op *sink = fuse_emit_sink(&l, tensor->value, eq->item->text, NULL, axes);
    for (int a = 0; a < rank; a++)
        sink->table[a] = 1 + fuse_domain_of(c, eq->index[axes[a]].domain)->table;
}

static void lower_sink(struct fuse_checker *c, struct fuse_equation *eq) {
    struct fuse_lowering l;
    if (eq->whole) {
        lower_relation_sink(c, eq, c->tensors.at[eq->whole - 1]);
        return;
    }
    fuse_type_equation(c, eq);
    fuse_open_equation(&l, c, eq);
    struct fuse_type type = fuse_kept_type(c, eq->root->type);
    if (c->settings.has_precision && type.dtype == FUSE_BF16)
        type.dtype = FUSE_F32; /* few files hold it */
    if (is_ranking(eq)) {
        lower_ranking(&l, eq, &type);
        return;
    }
    struct fuse_term *term = fuse_lower_node(&l, eq->root, wanted(&type));
    if (l.failed)
        return;
    int axes[FUSE_MAX_INDICES], rank = 0;
    for (int k = 0; k < eq->indices; k++)
        if (eq->root->axes & FUSE_BIT(k))
            axes[rank++] = k;
    int value = fuse_whole_value(&l, term);
    if (value < 0 || c->ir->values.at[value].dtype != type.dtype || c->ir->values.at[value].rank != rank)
        value = fuse_emit_map(&l, fuse_term_cast(&l, term, fuse_dtype_compute(type.dtype)), axes, rank, 0,
                              FUSE_REDUCE_NONE, type.dtype, NULL);
    if (value >= 0 && !l.failed && must_be_finite(c, type.dtype) && eq->root->kind != FUSE_NODE_REF)
        value = emit_finite(&l, value, axes, NULL);
    if (value < 0 || l.failed)
        return;
    struct fuse_op *sink = fuse_emit_sink(&l, value, eq->item->query ? NULL : eq->item->text,
                                          eq->item->query ? eq->item->text : NULL, axes);
    for (int a = 0; a < rank; a++)
        sink->table[a] = 1 + fuse_domain_of(c, eq->index[axes[a]].domain)->table;
    const struct fuse_tensor *tensor = fuse_reads_cells_alone(eq->root) ? c->tensors.at[eq->root->tensor] : NULL;
    if (tensor && fuse_dtype_class(tensor->type.dtype) == FUSE_CLASS_REAL && fuse_is_best_of_tuples(c, tensor))
        sink->reduce = tensor->assign == FUSE_ASSIGN_MIN ? FUSE_REDUCE_MIN : FUSE_REDUCE_MAX;
}

static void lower_exports(struct fuse_checker *c, bool query) {
    for (int k = 0; k < c->exports.n; k++) {
        if (c->exports.at[k].query != query)
            continue;
        struct fuse_tensor *tensor = c->tensors.at[c->exports.at[k].tensor];
        struct fuse_lowering l;
        int axes[FUSE_MAX_AXES];
        if (tensor->bad || tensor->value < 0)
            continue;
        open_tensor(&l, c, tensor);
        l.span = l.here = c->exports.at[k].span;
        for (int a = 0; a < tensor->rank; a++)
            axes[a] = a;
        int value = tensor->value;
        if (fuse_is_relation(c->ir, value) && !tensor->derived)
            value = fuse_lower_cells(&l, tensor);
        struct fuse_op *sink = fuse_emit_sink(&l, value, NULL, tensor->name, axes);
        for (int a = 0; a < tensor->rank; a++)
            sink->table[a] = 1 + fuse_domain_of(c, tensor->domain[a])->table;
    }
}

/* What depends on something bad is bad, of the tensors that rules of one level derive. */
static void spread_to(struct fuse_checker *c, int level) {
    for (bool changed = true; changed;) {
        changed = false;
        for (int k = 0; k < c->order.n; k++) {
            struct fuse_tensor *tensor = c->tensors.at[c->order.at[k]];
            bool bad = tensor->bad;
            for (int e = 0; tensor->derived && tensor->level == level && !bad && e < tensor->contributions.n; e++) {
                const struct fuse_equation *eq = c->equations.at[tensor->contributions.at[e]];
                for (int m = 0; m < eq->mentions.n; m++)
                    bad |= c->tensors.at[eq->mentions.at[m]]->bad;
            }
            changed |= bad != tensor->bad;
            tensor->bad = bad;
        }
    }
}

static bool mentions_bad(const struct fuse_checker *c, const struct fuse_tensor *tensor) {
    bool bad = tensor->bad;
    for (int e = 0; e < tensor->contributions.n; e++) {
        const struct fuse_equation *eq = c->equations.at[tensor->contributions.at[e]];
        for (int m = 0; m < eq->mentions.n; m++)
            bad |= c->tensors.at[eq->mentions.at[m]]->bad;
    }
    return bad;
}

/* The tensors of a recursion stand together; from place k of the order on. */
static int count_members(const struct fuse_checker *c, int k) {
    const struct fuse_tensor *tensor = c->tensors.at[c->order.at[k]];
    int n = 1;
    while (tensor->recursive && k + n < c->order.n && c->tensors.at[c->order.at[k + n]]->component == tensor->component)
        n++;
    return n;
}

/* Types and operations of the tensors that are needed, or of the others. */
static void lower_tensors(struct fuse_checker *c, bool needed) {
    int level = -1;
    for (int k = 0; k < c->order.n; k++) {
        struct fuse_tensor *tensor = c->tensors.at[c->order.at[k]];
        if (tensor->derived && !tensor->bad && tensor->level != level) {
            level = tensor->level; /* the first of them: all are lowered together */
            spread_to(c, level);
            fuse_lower_rules(c, level, needed);
        }
        if (tensor->derived || tensor->needed != needed || tensor->bad)
            continue;
        int members = count_members(c, k);
        for (int j = k; j < k + members; j++)
            tensor->bad |= mentions_bad(c, c->tensors.at[c->order.at[j]]);
        if (tensor->recursive) {
            fuse_lower_recursion(c, &c->order.at[k], members, tensor->bad);
            k += members - 1;
            continue;
        }
        if (tensor->bad)
            continue;
        fuse_type_tensor(c, tensor);
        if (!fuse_lower_tensor(c, tensor))
            tensor->bad = true;
    }
}

/* Sinks and exports: the queries, or those of the program. */
static void lower_outlets(struct fuse_checker *c, bool query) {
    fuse_spread_bad(c);
    for (int e = 0; e < c->equations.n; e++) {
        struct fuse_equation *eq = c->equations.at[e];
        if (eq->kind == FUSE_EQUATION_SINK && !eq->bad && eq->item->query == query)
            lower_sink(c, eq);
    }
    lower_exports(c, query);
}

static void lower_counts(struct fuse_checker *c) {
    for (int k = 0; k < c->counts.n; k++) {
        const struct fuse_tensor *tensor = c->tensors.at[c->counts.at[k]];
        struct fuse_lowering l;
        if (tensor->bad || tensor->value < 0)
            continue;
        open_tensor(&l, c, tensor);
        fuse_emit_sink(&l, fuse_lower_counted(c, tensor), NULL, tensor->name, NULL)->counts = true;
    }
}

static void lower_questions(struct fuse_checker *c) {
    for (int k = 0; k < c->questions.n; k++) {
        const struct fuse_question_asked *question = c->questions.at[k];
        struct fuse_lowering l;
        if (question->tensor < 0 || c->tensors.at[question->tensor]->bad || c->tensors.at[question->tensor]->value < 0)
            continue;
        const struct fuse_tensor *tensor = c->tensors.at[question->tensor];
        open_tensor(&l, c, tensor);
        fuse_emit_sink(&l, fuse_lower_counted(c, tensor), NULL, tensor->name, NULL)->asks = k + 1;
        memcpy(c->settings.question[k].id, question->id, sizeof question->id);
    }
}

void fuse_lower(struct fuse_checker *c) {
    lower_tensors(c, true);
    lower_counts(c);
    lower_questions(c);
    lower_outlets(c, c->settings.demand);
    /* What nothing needs does not run, but what is wrong with it is said: lower it and drop the result. */
    int values = c->ir->values.n, ops = c->ir->ops.n;
    lower_tensors(c, false);
    if (c->settings.demand)
        lower_outlets(c, false);
    c->ir->values.n = values;
    c->ir->ops.n = ops;
}
