/* Equalities in guards become what they say: in "Q(y) = Path(x, y) when x == 3" the atom is Path(3, y). */
#include "core/rules.h"

/* A variable gives way to another one, or to a constant. */
struct substitution {
    int variable, by; /* by < 0: the constant */
    int64_t constant;
};

static bool is_id(const struct fuse_scalar_node *node) {
    return node->op == FUSE_SCALAR_IOTA && node->dtype == FUSE_I64;
}

static bool is_constant(const struct fuse_scalar_node *node) {
    return node->op == FUSE_SCALAR_CONST && node->dtype == FUSE_I64;
}

/* Whether a node says so of variables that have the same ids, or of an id that there is. */
static bool find_substitution(struct substitution *out, const struct fuse_rule *rule, int at) {
    const struct fuse_scalar_node *node = &rule->guard->node[at];
    if (node->op != FUSE_SCALAR_EQ)
        return false;
    const struct fuse_scalar_node *a = &rule->guard->node[node->a], *b = &rule->guard->node[node->b];
    if (is_constant(a)) {
        const struct fuse_scalar_node *swap = a;
        a = b;
        b = swap;
    }
    if (!is_id(a) || (!is_id(b) && !is_constant(b)))
        return false;
    *out = (struct substitution){.variable = a->arg, .by = is_id(b) ? b->arg : -1, .constant = b->integer};
    const int64_t extent = rule->variable[a->arg].extent;
    return out->by < 0 ? out->constant >= 0 && out->constant < extent
                       : out->by != out->variable && rule->variable[out->by].extent == extent;
}

/* The first part of the guard's conjunction, from a node on, that does. */
static int find_equality(struct substitution *out, const struct fuse_rule *rule, int at) {
    const struct fuse_scalar_node *node = &rule->guard->node[at];
    if (node->op != FUSE_SCALAR_AND)
        return find_substitution(out, rule, at) ? at : -1;
    const int first = find_equality(out, rule, node->a);
    return first >= 0 ? first : find_equality(out, rule, node->b);
}

struct copy {
    struct fuse_arena *arena;
    const struct fuse_scalar *from;
    const struct substitution *by;
    int dropped; /* part of the conjunction, -1: none */
    int *moved;  /* [from->n] one more than the node's new number */
    struct fuse_scalar *to;
};

static int copy_node(struct copy *c, int at) {
    if (c->moved[at] > 0)
        return c->moved[at] - 1;
    struct fuse_scalar_node node = c->from->node[at];
    node.a = node.a < 0 ? -1 : copy_node(c, node.a);
    node.b = node.b < 0 ? -1 : copy_node(c, node.b);
    node.c = node.c < 0 ? -1 : copy_node(c, node.c);
    if (node.op == FUSE_SCALAR_IOTA && node.arg == c->by->variable) {
        node.arg = c->by->by;
        if (c->by->by < 0)
            node = (struct fuse_scalar_node){
                .op = FUSE_SCALAR_CONST, .dtype = FUSE_I64, .a = -1, .b = -1, .c = -1, .integer = c->by->constant};
    }
    c->to->node[c->to->n] = node;
    c->moved[at] = ++c->to->n;
    return c->to->n - 1;
}

/* -1: nothing is left of it. */
static int copy_conjunction(struct copy *c, int at) {
    struct fuse_scalar_node node = c->from->node[at];
    if (at == c->dropped)
        return -1;
    if (node.op != FUSE_SCALAR_AND)
        return copy_node(c, at);
    node.a = copy_conjunction(c, node.a);
    node.b = copy_conjunction(c, node.b);
    if (node.a < 0 || node.b < 0)
        return node.a < 0 ? node.b : node.a;
    c->to->node[c->to->n] = node;
    return c->to->n++;
}

static const struct fuse_scalar *copy_scalar(struct fuse_arena *arena, const struct fuse_scalar *from,
                                             const struct substitution *by, int dropped) {
    if (!from)
        return NULL;
    struct copy c = {.arena = arena, .from = from, .by = by, .dropped = dropped};
    c.moved = FUSE_NEW_ARRAY(arena, int, from->n);
    c.to = FUSE_NEW(arena, struct fuse_scalar);
    c.to->node = FUSE_NEW_ARRAY(arena, struct fuse_scalar_node, 2 * (size_t)from->n);
    const int root = copy_conjunction(&c, from->n - 1);
    if (root >= 0)
        c.to->n = root + 1;
    return root < 0 ? NULL : c.to;
}

static struct fuse_rule_term *copy_terms(struct fuse_arena *arena, const struct fuse_rule_term *from, int columns,
                                         const struct substitution *by) {
    struct fuse_rule_term *term = FUSE_NEW_ARRAY(arena, struct fuse_rule_term, columns);
    for (int c = 0; c < columns; c++) {
        term[c] = from[c];
        if (from[c].variable != by->variable)
            continue;
        term[c].variable = by->by;
        term[c].offset += by->by < 0 ? by->constant : 0;
    }
    return term;
}

static void substitute(struct fuse_rule *rule, struct fuse_arena *arena, const struct fuse_rules *rules,
                       const struct substitution *by, int dropped) {
    struct fuse_rule_atom *atom = FUSE_NEW_ARRAY(arena, struct fuse_rule_atom, rule->atoms);
    struct fuse_rule_variable *variable = FUSE_NEW_ARRAY(arena, struct fuse_rule_variable, rule->variables);
    for (int a = 0; a < rule->atoms; a++) {
        atom[a] = rule->atom[a];
        atom[a].term = copy_terms(arena, atom[a].term, rules->relation[atom[a].relation].columns, by);
    }
    for (int v = 0; v < rule->variables; v++)
        variable[v] = rule->variable[v];
    if (by->by >= 0) /* bound where one of them was */
        variable[by->by].is_free = variable[by->by].is_free && variable[by->variable].is_free;
    variable[by->variable].is_free = false;
    rule->term = copy_terms(arena, rule->term, rules->relation[rule->head].columns, by);
    rule->guard = copy_scalar(arena, rule->guard, by, dropped);
    rule->value = copy_scalar(arena, rule->value, by, -1);
    rule->atom = atom;
    rule->variable = variable;
}

const struct fuse_rules *fuse_rules_fix(struct fuse_arena *arena, const struct fuse_rules *rules) {
    struct fuse_rules *made = FUSE_NEW(arena, struct fuse_rules);
    *made = *rules;
    made->rule = FUSE_NEW_ARRAY(arena, struct fuse_rule, rules->rules);
    for (int k = 0; k < rules->rules; k++) {
        struct fuse_rule *rule = &made->rule[k];
        struct substitution by;
        *rule = rules->rule[k];
        for (int at; rule->guard && (at = find_equality(&by, rule, rule->guard->n - 1)) >= 0;)
            substitute(rule, arena, made, &by, at);
    }
    return made;
}
