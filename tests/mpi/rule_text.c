#include "rule_text.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reader {
    struct fuse_arena *arena;
    const char *at;
    struct fuse_rules *rules;
    FUSE_VEC(struct fuse_rule_relation) relation;
    FUSE_VEC(struct fuse_rule) rule;
    uint32_t free; /* letters */
    /* Of the rule that is read. */
    int variable[128]; /* by letter */
    FUSE_VEC(struct fuse_rule_variable) variables;
    FUSE_VEC(struct fuse_rule_atom) atoms;
    FUSE_VEC(struct fuse_scalar_node) nodes;
};

static _Noreturn void wrong(const struct reader *r, const char *what) {
    fprintf(stderr, "rules: %s before \"%.40s\"\n", what, r->at);
    abort();
}

static void skip(struct reader *r) {
    while (*r->at == ' ' || *r->at == ',')
        r->at++;
}

static bool take(struct reader *r, const char *text) {
    skip(r);
    if (strncmp(r->at, text, strlen(text)) != 0)
        return false;
    r->at += strlen(text);
    return true;
}

static const char *name(struct reader *r) {
    skip(r);
    const char *from = r->at;
    while (isalnum((unsigned char)*r->at) || *r->at == '_')
        r->at++;
    if (from == r->at)
        wrong(r, "a name is missing");
    return fuse_arena_strndup(r->arena, from, (size_t)(r->at - from));
}

static int64_t integer(struct reader *r) {
    char *end;
    skip(r);
    int64_t value = strtoll(r->at, &end, 10);
    if (end == r->at)
        wrong(r, "a number is missing");
    r->at = end;
    return value;
}

int relation_named(const struct fuse_rules *rules, const char *name) {
    for (int k = 0; k < rules->relations; k++)
        if (strcmp(rules->relation[k].name, name) == 0)
            return k;
    return -1;
}

static void read_relation(struct reader *r) {
    static const struct {
        const char *name;
        enum fuse_dtype dtype;
        enum fuse_reduce op;
        bool mean;
    } kinds[] = {
        {"bool", FUSE_BOOL, FUSE_REDUCE_OR, false},   {"imin", FUSE_I64, FUSE_REDUCE_MIN, false},
        {"imax", FUSE_I64, FUSE_REDUCE_MAX, false},   {"isum", FUSE_I64, FUSE_REDUCE_SUM, false},
        {"iprod", FUSE_I64, FUSE_REDUCE_PROD, false}, {"min", FUSE_F64, FUSE_REDUCE_MIN, false},
        {"max", FUSE_F64, FUSE_REDUCE_MAX, false},    {"sum", FUSE_F64, FUSE_REDUCE_SUM, false},
        {"prod", FUSE_F64, FUSE_REDUCE_PROD, false},  {"mean", FUSE_F64, FUSE_REDUCE_SUM, true},
    };
    struct fuse_rule_relation relation = {.name = name(r)};
    const char *kind = name(r);
    size_t k = 0;
    while (k < sizeof kinds / sizeof *kinds && strcmp(kinds[k].name, kind) != 0)
        k++;
    if (k == sizeof kinds / sizeof *kinds)
        wrong(r, "an unknown kind");
    relation.dtype = kinds[k].dtype;
    relation.combine = kinds[k].op;
    relation.mean = kinds[k].mean;
    relation.stratum = (int)integer(r);
    if (relation.stratum >= r->rules->strata)
        r->rules->strata = relation.stratum + 1;
    for (skip(r); isdigit((unsigned char)*r->at); skip(r))
        relation.extent[relation.columns++] = integer(r);
    fuse_vec_push(r->arena, &r->relation, relation);
}

static int variable(struct reader *r, int64_t extent) {
    int letter = (unsigned char)*r->at++;
    if (!islower(letter))
        wrong(r, "a variable is missing");
    if (r->variable[letter] < 0) {
        struct fuse_rule_variable made = {.extent = extent, .is_free = r->free >> (letter - 'a') & 1};
        made.name = fuse_arena_printf(r->arena, "%c", letter);
        r->variable[letter] = r->variables.n;
        fuse_vec_push(r->arena, &r->variables, made);
    }
    return r->variable[letter];
}

static int known(struct reader *r) {
    skip(r);
    if (r->variable[(unsigned char)*r->at] < 0)
        wrong(r, "a variable that no atom has");
    return variable(r, 0);
}

static int read_terms(struct reader *r, struct fuse_rule_term **term) {
    const char *called = name(r);
    int k = 0;
    while (k < r->relation.n && strcmp(r->relation.at[k].name, called) != 0)
        k++;
    if (k == r->relation.n || !take(r, "("))
        wrong(r, "an unknown relation");
    const struct fuse_rule_relation *relation = &r->relation.at[k];
    *term = FUSE_NEW_ARRAY(r->arena, struct fuse_rule_term, relation->columns + 1);
    for (int c = 0; c < relation->columns; c++) {
        skip(r);
        (*term)[c].variable = -1;
        if (islower((unsigned char)*r->at))
            (*term)[c].variable = variable(r, relation->extent[c]);
        if ((*term)[c].variable < 0 || *r->at == '+' || *r->at == '-')
            (*term)[c].offset = integer(r);
    }
    if (!take(r, ")"))
        wrong(r, "the relation has another number of columns");
    return k;
}

static int push(struct reader *r, struct fuse_scalar_node node) {
    fuse_vec_push(r->arena, &r->nodes, node);
    return r->nodes.n - 1;
}

static struct fuse_scalar *scalar(struct reader *r) {
    struct fuse_scalar *made = FUSE_NEW(r->arena, struct fuse_scalar);
    made->n = r->nodes.n;
    made->node = r->nodes.at;
    memset(&r->nodes, 0, sizeof r->nodes);
    return made;
}

static struct fuse_scalar *read_tests(struct reader *r) {
    static const struct {
        const char *text;
        enum fuse_scalar_op op;
    } ops[] = {{"<=", FUSE_SCALAR_LE}, {"<", FUSE_SCALAR_LT}, {"==", FUSE_SCALAR_EQ}, {"!=", FUSE_SCALAR_NE}};
    int all = -1;
    for (skip(r); islower((unsigned char)*r->at) && strncmp(r->at, "value", 5) != 0; skip(r)) {
        int a = push(r, (struct fuse_scalar_node){FUSE_SCALAR_IOTA, FUSE_I64, -1, -1, -1, known(r), 0, 0});
        size_t k = 0;
        while (k < 4 && !take(r, ops[k].text))
            k++;
        if (k == 4)
            wrong(r, "a comparison is missing");
        skip(r);
        int b = islower((unsigned char)*r->at)
                    ? push(r, (struct fuse_scalar_node){FUSE_SCALAR_IOTA, FUSE_I64, -1, -1, -1, known(r), 0, 0})
                    : push(r, (struct fuse_scalar_node){FUSE_SCALAR_CONST, FUSE_I64, -1, -1, -1, 0, integer(r), 0});
        int test = push(r, (struct fuse_scalar_node){ops[k].op, FUSE_BOOL, a, b, -1, 0, 0, 0});
        all = all < 0 ? test : push(r, (struct fuse_scalar_node){FUSE_SCALAR_AND, FUSE_BOOL, all, test, -1, 0, 0, 0});
    }
    return scalar(r);
}

static struct fuse_scalar *read_value(struct reader *r, enum fuse_dtype dtype) {
    int stack[32], n = 0;
    for (skip(r); *r->at && *r->at != '\n'; skip(r)) {
        struct fuse_scalar_node node = {.op = FUSE_SCALAR_OPS, .dtype = dtype, .a = -1, .b = -1, .c = -1};
        if (take(r, "@")) {
            node.op = FUSE_SCALAR_LOAD;
            node.arg = (int)integer(r);
        } else if (take(r, "#")) {
            node.op = FUSE_SCALAR_IOTA;
            node.dtype = FUSE_I64;
            node.arg = known(r);
        } else if (take(r, "+"))
            node.op = FUSE_SCALAR_ADD;
        else if (take(r, "*"))
            node.op = FUSE_SCALAR_MUL;
        else if (take(r, "min"))
            node.op = FUSE_SCALAR_MINIMUM;
        else if (take(r, "max"))
            node.op = FUSE_SCALAR_MAXIMUM;
        else {
            node.op = FUSE_SCALAR_CONST;
            node.integer = integer(r);
            node.real = (double)node.integer;
        }
        if (fuse_scalar_arity(node.op) == 2) {
            if (n < 2)
                wrong(r, "a value is missing");
            node.b = stack[--n];
            node.a = stack[--n];
        }
        int made = push(r, node);
        if (node.op == FUSE_SCALAR_IOTA && dtype != FUSE_I64)
            made = push(r, (struct fuse_scalar_node){FUSE_SCALAR_CAST, dtype, made, -1, -1, 0, 0, 0});
        if (n == 32)
            wrong(r, "too deep");
        stack[n++] = made;
    }
    if (n != 1)
        wrong(r, "not one value");
    return scalar(r);
}

static void read_rule(struct reader *r) {
    struct fuse_rule rule = {.span = FUSE_NO_SPAN};
    for (int k = 0; k < 128; k++)
        r->variable[k] = -1;
    memset(&r->variables, 0, sizeof r->variables);
    memset(&r->atoms, 0, sizeof r->atoms);
    rule.head = read_terms(r, &rule.term);
    if (!take(r, "="))
        wrong(r, "= is missing");
    for (skip(r); *r->at == '!' || *r->at == '?' || isupper((unsigned char)*r->at); skip(r)) {
        struct fuse_rule_atom atom = {.is_negated = take(r, "!"), .is_support = take(r, "?")};
        atom.relation = read_terms(r, &atom.term);
        fuse_vec_push(r->arena, &r->atoms, atom);
    }
    if (take(r, "when"))
        rule.guard = read_tests(r);
    if (take(r, "value"))
        rule.value = read_value(r, r->relation.at[rule.head].dtype);
    rule.variables = r->variables.n;
    rule.variable = r->variables.at;
    rule.atoms = r->atoms.n;
    rule.atom = r->atoms.at;
    fuse_vec_push(r->arena, &r->rule, rule);
}

struct fuse_rules *rules_of_text(struct fuse_arena *arena, const char *text) {
    struct reader r = {.arena = arena, .at = text, .rules = FUSE_NEW(arena, struct fuse_rules)};
    struct fuse_error err = {0};
    for (; *r.at; r.at++) {
        skip(&r);
        if (take(&r, "rel "))
            read_relation(&r);
        else if (take(&r, "free ")) {
            for (skip(&r); islower((unsigned char)*r.at); skip(&r))
                r.free |= (uint32_t)1 << (*r.at++ - 'a');
        } else if (*r.at != '\n' && *r.at)
            read_rule(&r);
        skip(&r);
        if (*r.at != '\n')
            wrong(&r, "the line goes on");
    }
    r.rules->relations = r.relation.n;
    r.rules->relation = r.relation.at;
    r.rules->rules = r.rule.n;
    r.rules->rule = r.rule.at;
    if (fuse_rules_verify(r.rules, &err) != FUSE_OK) {
        fprintf(stderr, "rules: %s\n%s", err.message, text);
        abort();
    }
    return r.rules;
}
