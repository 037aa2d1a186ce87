/* Tensors that depend on themselves: how a component is iterated, and what about it has no meaning (language.md 6). */
#include "lang/check.h"

static bool is_member(const struct fuse_checker *c, const struct fuse_tensor *tensor, int other) {
    return tensor->recursive && c->tensors.at[other]->component == tensor->component;
}

static const char *kind_of(const struct fuse_tensor *tensor) {
    static const char *const kind[] = {
        [FUSE_ASSIGN_SUM] = "a sum", [FUSE_ASSIGN_ADD] = "a sum",  [FUSE_ASSIGN_MAX] = "max=",
        [FUSE_ASSIGN_MIN] = "min=",  [FUSE_ASSIGN_PROD] = "prod=", [FUSE_ASSIGN_AVG] = "avg="};
    return tensor->boolean ? "Boolean" : kind[tensor->assign];
}

static int line_of(const struct fuse_checker *c, struct fuse_span span) {
    int line = 0, column;
    if (span.file >= 0)
        fuse_locate(&c->files->list.at[span.file], span.begin, &line, &column);
    return line;
}

/* ---- cycles ---- */

/* Why a tensor is on the way: an equation of `from` mentions it. */
struct way {
    const struct fuse_equation *equation;
    int from;
};

/* The fewest equations that lead from a tensor back to `target`, as "B (line 4) -> .. -> A". */
static void add_way(struct fuse_checker *c, struct fuse_text *text, int from, int target) {
    struct way *way = FUSE_NEW_ARRAY(c->arena, struct way, c->tensors.n);
    FUSE_VEC(int) wave = {0};
    fuse_vec_push(c->arena, &wave, from);
    for (int w = 0; w < wave.n && from != target && !way[target].equation; w++) {
        const struct fuse_tensor *tensor = c->tensors.at[wave.at[w]];
        for (int e = 0; e < tensor->contributions.n; e++) {
            const struct fuse_equation *eq = c->equations.at[tensor->contributions.at[e]];
            for (int m = 0; m < eq->mentions.n; m++) {
                int next = eq->mentions.at[m];
                if (next == from || way[next].equation || !is_member(c, tensor, next))
                    continue;
                way[next] = (struct way){eq, wave.at[w]};
                fuse_vec_push(c->arena, &wave, next);
            }
        }
    }
    FUSE_VEC(int) path = {0};
    for (int t = target; t != from; t = way[t].from)
        fuse_vec_push(c->arena, &path, t);
    fuse_text_add(text, "%s", c->tensors.at[from]->name);
    for (int k = path.n - 1; k >= 0; k--)
        fuse_text_add(text, " (line %d) -> %s", line_of(c, way[path.at[k]].equation->item->span),
                      c->tensors.at[path.at[k]]->name);
}

/* ---- negation ---- */

struct walk {
    struct fuse_checker *c;
    struct fuse_equation *eq;
    const struct fuse_tensor *tensor;
};

static void complain_negation(struct walk *w, const struct fuse_node *ref) {
    struct fuse_checker *c = w->c;
    struct fuse_text text = {.arena = c->arena};
    const char *of = w->tensor->boolean ? "its own negation" : "itself where more is not better";
    fuse_text_add(&text, "%s (line %d) -> ", w->tensor->name, line_of(c, w->eq->item->span));
    fuse_text_add(&text, "%s", w->tensor->boolean ? "not " : "");
    add_way(c, &text, ref->tensor, w->eq->tensor);
    struct fuse_diagnostic *d = fuse_complain(c, ref->span, "'%s' depends on %s: %s", w->tensor->name, of, text.at);
    if (w->tensor->boolean)
        fuse_advise(
            c, d,
            "what is negated, compared or counted is known before: in a recursion tensors stand in products, sums, "
            "&&, ||, values of a choice and reduce(any, ..)");
    else
        fuse_advise(
            c, d,
            "in a recursion with min= or max= the value may be added to, multiplied, and passed through minimum and "
            "maximum; guards and conditions are of other tensors");
    w->eq->bad = true;
}

static bool is_monotone_reduce(const struct fuse_builtin *builtin) {
    switch (builtin->code) {
    case FUSE_BUILTIN_SUM:
    case FUSE_BUILTIN_MAX:
    case FUSE_BUILTIN_AMAX:
    case FUSE_BUILTIN_ANY: return true;
    default: return false;
    }
}

/* true when more of argument k makes no less of the node. */
static bool keeps(const struct walk *w, const struct fuse_node *node, int k) {
    bool truths = w->tensor->boolean;
    switch (node->kind) {
    case FUSE_NODE_SUM: return !node->inverse || !node->inverse[k];
    case FUSE_NODE_PRODUCT:
        for (int j = 0; j < node->n; j++)
            if (node->inverse && node->inverse[j])
                return false;
        return true;
    case FUSE_NODE_CHOICE: return k % 2 == 1 || k == node->n - 1;
    case FUSE_NODE_AND:
    case FUSE_NODE_OR:
    case FUSE_NODE_TRUTH:
    case FUSE_NODE_GUARD: return truths;
    case FUSE_NODE_REDUCE: return truths && is_monotone_reduce(node->builtin);
    case FUSE_NODE_ELEMENT:
        return !truths && (node->builtin->code == FUSE_BUILTIN_MINIMUM || node->builtin->code == FUSE_BUILTIN_MAXIMUM);
    default: return false;
    }
}

static void look(struct walk *w, const struct fuse_node *node, bool positive) {
    if (node->kind == FUSE_NODE_REF && !positive && !w->eq->bad && is_member(w->c, w->tensor, node->tensor))
        complain_negation(w, node);
    for (int k = 0; k < node->n; k++)
        if (node->arg[k])
            look(w, node->arg[k], positive && keeps(w, node, k));
}

static void check_equation(struct fuse_checker *c, struct fuse_equation *eq, const struct fuse_tensor *tensor) {
    struct walk w = {.c = c, .eq = eq, .tensor = tensor};
    if (eq->bad || eq->kind != FUSE_EQUATION_EXPR)
        return;
    look(&w, eq->root, true);
    if (eq->guard && !eq->bad)
        look(&w, eq->guard, false);
}

/* ---- kinds ---- */

static void complain_mixture(struct fuse_checker *c, struct fuse_equation *eq, const struct fuse_tensor *tensor,
                             int other) {
    const struct fuse_tensor *second = c->tensors.at[other];
    struct fuse_text text = {.arena = c->arena};
    fuse_text_add(&text, "%s (line %d) -> ", tensor->name, line_of(c, eq->item->span));
    add_way(c, &text, other, eq->tensor);
    struct fuse_diagnostic *d =
        fuse_complain(c, eq->item->lhs.name_span, "'%s' is %s and depends on '%s', which is %s, in a recursion: %s",
                      tensor->name, kind_of(tensor), second->name, kind_of(second), text.at);
    fuse_point_to(d, second->span, "the other one");
    fuse_advise(c, d, "a recursion is all Boolean, all min=, all max=, or all sums");
    eq->bad = true;
}

static void check_kind(struct fuse_checker *c, const struct fuse_tensor *tensor) {
    struct fuse_equation *first = c->equations.at[tensor->contributions.at[0]];
    for (int e = 0; e < tensor->contributions.n; e++) {
        struct fuse_equation *eq = c->equations.at[tensor->contributions.at[e]];
        for (int m = 0; m < eq->mentions.n && !eq->bad; m++) {
            const struct fuse_tensor *other = c->tensors.at[eq->mentions.at[m]];
            if (is_member(c, tensor, eq->mentions.at[m]) &&
                (other->boolean != tensor->boolean || other->assign != tensor->assign)) {
                complain_mixture(c, eq, tensor, eq->mentions.at[m]);
                return;
            }
        }
    }
    if (first->bad || tensor->boolean || tensor->assign == FUSE_ASSIGN_MIN || tensor->assign == FUSE_ASSIGN_MAX ||
        tensor->assign == FUSE_ASSIGN_SUM)
        return;
    struct fuse_diagnostic *d = fuse_complain(
        c, first->item->lhs.name_span, "'%s' is defined with %s and depends on itself", tensor->name, kind_of(tensor));
    fuse_advise(c, d, "a recursion is all Boolean, all min=, all max=, or all sums");
    first->bad = true;
}

void fuse_check_recursion(struct fuse_checker *c) {
    int told = -1; /* one message for a component of a kind that is none */
    for (int k = 0; k < c->order.n; k++) {
        const struct fuse_tensor *tensor = c->tensors.at[c->order.at[k]];
        if (!tensor->recursive || tensor->bad || tensor->component == told)
            continue;
        int errors = c->diagnostics->errors;
        check_kind(c, tensor);
        if (c->diagnostics->errors > errors) {
            told = tensor->component;
            continue;
        }
        /* Of sums nothing needs to get better: they are assigned again and again. */
        for (int e = 0; e < tensor->contributions.n && (tensor->boolean || tensor->assign != FUSE_ASSIGN_SUM); e++)
            check_equation(c, c->equations.at[tensor->contributions.at[e]], tensor);
    }
}
