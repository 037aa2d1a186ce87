#include "rule_oracle.h"

#include <stdio.h>
#include <string.h>

static uint64_t random_state;

void start_drawing(uint64_t seed) {
    random_state = 88172645463325252u + seed * 7919;
    for (int warm = 0; warm < 10; warm++)
        draw(2);
}

int64_t draw(int64_t below) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (int64_t)(random_state >> 1) % below;
}

/* ---- the oracle: relations as arrays of all their cells ---- */

int cell_of(const struct fuse_rule_relation *relation, const struct fuse_rule_term *term, const int64_t *bind) {
    int64_t cell = 0;
    for (int c = 0; c < relation->columns; c++) {
        int64_t id = term[c].offset + (term[c].variable < 0 ? 0 : bind[term[c].variable]);
        if (id < 0 || id >= relation->extent[c])
            return -1;
        cell = cell * relation->extent[c] + id;
    }
    return (int)cell;
}

int cells_of(const struct fuse_rule_relation *relation) {
    int n = 1;
    for (int c = 0; c < relation->columns; c++)
        n *= (int)relation->extent[c];
    return n;
}

struct oracle {
    const struct fuse_rules *rules;
    const struct fuse_rule *rule;
    struct cells *cells;
    uint64_t local; /* variables that only a negated atom has */
    int64_t bind[FUSE_RULE_VARIABLES];
    double load[FUSE_RULE_ATOMS];
};

static double compute(const struct oracle *o, const struct fuse_scalar *scalar) {
    double at[64];
    for (int i = 0; i < scalar->n; i++) {
        const struct fuse_scalar_node *node = &scalar->node[i];
        const double a = node->a < 0 ? 0 : at[node->a], b = node->b < 0 ? 0 : at[node->b];
        switch (node->op) {
        case FUSE_SCALAR_LOAD: at[i] = o->load[node->arg]; break;
        case FUSE_SCALAR_IOTA: at[i] = (double)o->bind[node->arg]; break;
        case FUSE_SCALAR_CONST: at[i] = node->dtype == FUSE_F64 ? node->real : (double)node->integer; break;
        case FUSE_SCALAR_ADD: at[i] = a + b; break;
        case FUSE_SCALAR_MUL: at[i] = a * b; break;
        case FUSE_SCALAR_MINIMUM: at[i] = a < b ? a : b; break;
        case FUSE_SCALAR_MAXIMUM: at[i] = a > b ? a : b; break;
        case FUSE_SCALAR_LT: at[i] = a < b; break;
        case FUSE_SCALAR_LE: at[i] = a <= b; break;
        case FUSE_SCALAR_EQ: at[i] = a == b; break;
        case FUSE_SCALAR_NE: at[i] = a != b; break;
        case FUSE_SCALAR_AND: at[i] = a != 0 && b != 0; break;
        default: at[i] = a;
        }
    }
    return at[scalar->n - 1];
}

static void contribute(const struct fuse_rule_relation *relation, struct cells *to, int cell, double value) {
    if (to->count[cell] == 0 && !to->next[cell])
        to->next_value[cell] = value;
    else if (relation->combine == FUSE_REDUCE_MIN)
        to->next_value[cell] = value < to->next_value[cell] ? value : to->next_value[cell];
    else if (relation->combine == FUSE_REDUCE_MAX)
        to->next_value[cell] = value > to->next_value[cell] ? value : to->next_value[cell];
    else if (relation->combine == FUSE_REDUCE_SUM)
        to->next_value[cell] += value;
    else if (relation->combine == FUSE_REDUCE_PROD)
        to->next_value[cell] *= value;
    to->next[cell] = true;
    to->count[cell]++;
}

/* Whether an atom of the rule has a tuple, for some ids of the local variables from v on. */
static bool has_some(struct oracle *o, const struct fuse_rule_atom *atom, int v) {
    const struct fuse_rule_relation *relation = &o->rules->relation[atom->relation];
    uint64_t here = fuse_rule_atom_variables(o->rules, atom);
    while (v < o->rule->variables && !((o->local & here) >> v & 1))
        v++;
    if (v < o->rule->variables) {
        for (o->bind[v] = 0; o->bind[v] < o->rule->variable[v].extent; o->bind[v]++)
            if (has_some(o, atom, v + 1))
                return true;
        return false;
    }
    int cell = cell_of(relation, atom->term, o->bind);
    return cell >= 0 && o->cells[atom->relation].has[cell];
}

static void assign(struct oracle *o, int v) {
    const struct fuse_rule *rule = o->rule;
    while (v < rule->variables && (o->local >> v & 1))
        v++;
    if (v < rule->variables) {
        for (o->bind[v] = 0; o->bind[v] < rule->variable[v].extent; o->bind[v]++)
            assign(o, v + 1);
        return;
    }
    for (int a = 0; a < rule->atoms; a++) {
        const struct fuse_rule_atom *atom = &rule->atom[a];
        if (has_some(o, atom, 0) == atom->is_negated)
            return;
        o->load[a] = 1;
        if (!atom->is_negated && !atom->is_support && o->rules->relation[atom->relation].dtype != FUSE_BOOL)
            o->load[a] =
                o->cells[atom->relation].value[cell_of(&o->rules->relation[atom->relation], atom->term, o->bind)];
    }
    if (rule->guard && compute(o, rule->guard) == 0)
        return;
    int cell = cell_of(&o->rules->relation[rule->head], rule->term, o->bind);
    if (cell >= 0)
        contribute(&o->rules->relation[rule->head], &o->cells[rule->head], cell,
                   rule->value ? compute(o, rule->value) : 0);
}

static void find_local(struct oracle *o) {
    uint64_t used = fuse_rule_bound_variables(o->rules, o->rule);
    for (int v = 0; v < o->rule->variables; v++)
        used |= (uint64_t)o->rule->variable[v].is_free << v;
    o->local = (((uint64_t)1 << o->rule->variables) - 1) & ~used;
}

/* One turn: everything from what there was before. Whether something changed. */
static bool take_turn(struct oracle *o, const struct cells *given, int stratum, int stage) {
    const struct fuse_rules *rules = o->rules;
    bool changed = false;
    for (int r = 0; r < rules->relations; r++)
        if (rules->relation[r].stratum == stratum) {
            memset(o->cells[r].next, 0, sizeof o->cells[r].next);
            memset(o->cells[r].count, 0, sizeof o->cells[r].count);
            for (int c = 0; c < cells_of(&rules->relation[r]); c++)
                if (given[r].has[c])
                    contribute(&rules->relation[r], &o->cells[r], c, given[r].value[c]);
        }
    for (int k = 0; k < rules->rules; k++)
        if (rules->relation[rules->rule[k].head].stratum == stratum) {
            o->rule = &rules->rule[k];
            find_local(o);
            assign(o, 0);
        }
    for (int r = 0; r < rules->relations; r++)
        for (int c = 0; rules->relation[r].stratum == stratum && c < cells_of(&rules->relation[r]); c++) {
            struct cells *to = &o->cells[r];
            if (!to->next[c])
                continue;
            if (rules->relation[r].mean)
                to->next_value[c] /= to->count[c];
            if (to->has[c] && to->value[c] == to->next_value[c])
                continue;
            if (rules->relation[r].dtype != FUSE_BOOL || !to->has[c]) {
                to->stage[c] = stage;
                /* Sums are never recursive. */
                changed |=
                    rules->relation[r].combine != FUSE_REDUCE_SUM && rules->relation[r].combine != FUSE_REDUCE_PROD;
            }
            to->has[c] = true;
            to->value[c] = to->next_value[c];
        }
    return changed;
}

int run_oracle(const struct fuse_rules *rules, struct cells *cells, const struct cells *given) {
    struct oracle o = {.rules = rules, .cells = cells};
    int turns = 0;
    for (int r = 0; r < rules->relations; r++)
        if (rules->relation[r].stratum < 0)
            cells[r] = given[r];
    for (int s = 0; s < rules->strata; s++) {
        bool recursive = false;
        for (int k = 0; k < rules->rules; k++)
            recursive |=
                rules->relation[rules->rule[k].head].stratum == s && fuse_rule_is_recursive(rules, &rules->rule[k]);
        for (int r = 0; r < rules->relations; r++) /* what is given is there before the first turn */
            for (int c = 0; rules->relation[r].stratum == s && c < cells_of(&rules->relation[r]); c++)
                if (given[r].has[c] && rules->relation[r].combine != FUSE_REDUCE_SUM &&
                    rules->relation[r].combine != FUSE_REDUCE_PROD) {
                    cells[r].has[c] = true;
                    cells[r].value[c] = given[r].value[c];
                    cells[r].stage[c] = turns;
                }
        do
            turns++;
        while (take_turn(&o, given, s, turns) && recursive);
    }
    return turns;
}

/* ---- random rule sets ---- */

enum { INPUTS = DRAWN_INPUTS, DERIVED = DRAWN_RELATIONS - DRAWN_INPUTS, STRATA = 3 };

struct drawn {
    char kind[INPUTS + DERIVED][8];
    int columns[INPUTS + DERIVED], stratum[INPUTS + DERIVED];
};

static void put_terms(struct fuse_text *text, const struct drawn *drawn, int relation, const char *letters,
                      char *seen) {
    const int64_t n = (int64_t)strlen(letters);
    fuse_text_add(text, "R%d(", relation);
    for (int c = 0; c < drawn->columns[relation]; c++) {
        if (c > 0)
            fuse_text_add(text, ",");
        if (n == 0 || draw(10) == 0) {
            fuse_text_add(text, "%d", (int)draw(4));
            continue;
        }
        char letter = letters[draw(n)];
        fuse_text_add(text, "%c", letter);
        if (draw(15) == 0)
            fuse_text_add(text, "%s", draw(2) ? "+1" : "-1");
        if (seen && !strchr(seen, letter)) {
            size_t end = strlen(seen);
            seen[end] = letter;
            seen[end + 1] = 0;
        }
    }
    fuse_text_add(text, ")");
}

static bool is_numeric(const struct drawn *drawn, int relation) {
    return strcmp(drawn->kind[relation], "bool") != 0;
}

static void put_rule(struct fuse_text *text, const struct drawn *drawn, int head) {
    char seen[16] = "", with_free[20];
    struct fuse_text body = {.arena = text->arena};
    const int positive = (int)draw(8) == 0 ? 0 : 1 + (int)draw(3);
    int value[3], values = 0, atoms = 0;
    const bool is_best =
        is_numeric(drawn, head) && (strcmp(drawn->kind[head], "min") == 0 || strcmp(drawn->kind[head], "max") == 0 ||
                                    strcmp(drawn->kind[head], "imin") == 0);
    for (int a = 0; a < positive; a++) {
        int r;
        do { /* of its own stratum only what may be recursive with it */
            r = draw(3) == 0 ? head : (int)draw(INPUTS + DERIVED);
        } while (drawn->stratum[r] > drawn->stratum[head] ||
                 (drawn->stratum[r] == drawn->stratum[head] &&
                  (strcmp(drawn->kind[r], drawn->kind[head]) != 0 || (is_numeric(drawn, head) && !is_best))));
        /* Means are fractions, whose sums depend on their order. */
        const bool support = is_numeric(drawn, r) && (draw(4) == 0 || strcmp(drawn->kind[r], "mean") == 0);
        fuse_text_add(&body, support ? " ?" : " ");
        put_terms(&body, drawn, r, "xyzw", seen);
        if (is_numeric(drawn, r) && !support)
            value[values++] = atoms;
        atoms++;
    }
    snprintf(with_free, sizeof with_free, "%s%s", seen, draw(6) == 0 || positive == 0 ? "f" : "");
    struct fuse_text first = {.arena = text->arena};
    char used[20] = "";
    put_terms(&first, drawn, head, with_free, used);
    if (strchr(used, 'f') && !strchr(seen, 'f'))
        strcat(seen, "f");
    for (int a = draw(3) == 0 ? 1 + (int)draw(2) : 0; a > 0; a--) {
        int r;
        do
            r = (int)draw(INPUTS + DERIVED);
        while (drawn->stratum[r] >= drawn->stratum[head]);
        char letters[24];
        snprintf(letters, sizeof letters, "%s%s", seen, draw(3) == 0 ? (a == 1 ? "u" : "v") : "");
        fuse_text_add(&body, " !");
        put_terms(&body, drawn, r, letters, NULL);
    }
    fuse_text_add(text, "%s =%s", first.at, body.at ? body.at : "");
    if (seen[0] && draw(3) == 0) {
        static const char *const ops[] = {"<", "<=", "==", "!=", "!="};
        fuse_text_add(text, " when");
        for (int k = 1 + (int)draw(2); k > 0; k--) {
            fuse_text_add(text, " %c%s", seen[draw((int64_t)strlen(seen))], ops[draw(5)]);
            if (draw(2))
                fuse_text_add(text, "%d", (int)draw(4));
            else
                fuse_text_add(text, "%c", seen[draw((int64_t)strlen(seen))]);
        }
    }
    if (is_numeric(drawn, head)) {
        /* Largest values only ever become smaller on the way: they converge. */
        const bool shrinks = strcmp(drawn->kind[head], "max") == 0;
        fuse_text_add(text, " value");
        if (strcmp(drawn->kind[head], "prod") == 0)
            values = 0; /* powers of two are exact */
        for (int k = 0; k < values; k++)
            fuse_text_add(text, " @%d", value[k]);
        fuse_text_add(text, " %d", 1 << draw(3));
        for (int k = 0; k < values; k++)
            fuse_text_add(text, shrinks ? " min" : " +");
    }
    fuse_text_add(text, "\n");
}

const char *draw_rules(struct fuse_arena *arena) {
    static const char *const kinds[] = {"bool", "bool", "bool", "min", "max", "imin", "isum", "sum", "mean", "prod"};
    struct fuse_text text = {.arena = arena};
    struct drawn drawn;
    fuse_text_add(&text, "free f\n");
    for (int r = 0; r < INPUTS + DERIVED; r++) {
        drawn.stratum[r] = r < INPUTS ? -1 : (int)draw(STRATA);
        drawn.columns[r] = draw(12) == 0 ? 0 : 1 + (int)draw(3);
        strcpy(drawn.kind[r], r < INPUTS ? (draw(3) ? "bool" : draw(2) ? "min" : "sum") : kinds[draw(10)]);
        fuse_text_add(&text, "rel R%d %s %d", r, drawn.kind[r], drawn.stratum[r]);
        for (int c = 0; c < drawn.columns[r]; c++)
            fuse_text_add(&text, " %d", draw(10) == 0 ? (int)draw(3) : 3 + (int)draw(3));
        fuse_text_add(&text, "\n");
    }
    for (int r = INPUTS; r < INPUTS + DERIVED; r++)
        for (int k = 1 + (int)draw(3); k > 0; k--)
            put_rule(&text, &drawn, r);
    return text.at;
}

void draw_given(const struct fuse_rules *rules, struct cells *given) {
    for (int r = 0; r < rules->relations; r++)
        for (int c = 0; c < cells_of(&rules->relation[r]); c++)
            if (draw(100) < (rules->relation[r].stratum < 0 ? 30 : 4)) {
                given[r].has[c] = true;
                given[r].value[c] = rules->relation[r].dtype == FUSE_BOOL ? 0 : (double)(1 << draw(4));
            }
}
