#include "core/rules.h"

#include <inttypes.h>

static int id_bits(int64_t extent) {
    return extent <= 1 ? 0 : 64 - __builtin_clzll((uint64_t)extent - 1);
}

struct fuse_rule_packing fuse_rule_pack(int columns, const int64_t *extent) {
    struct fuse_rule_packing packing = {.columns = columns};
    int first = 0;
    while (first < columns || packing.words == 0) {
        int end = first, bits = 0;
        while (end < columns && bits + id_bits(extent[end]) < 64)
            bits += id_bits(extent[end++]);
        for (int c = first; c < end; c++) {
            bits -= id_bits(extent[c]);
            packing.word[c] = packing.words;
            packing.shift[c] = bits;
            packing.mask[c] = ((uint64_t)1 << id_bits(extent[c])) - 1;
        }
        packing.words++;
        first = end;
    }
    return packing;
}

bool fuse_rule_is_recursive(const struct fuse_rules *rules, const struct fuse_rule *rule) {
    for (int a = 0; a < rule->atoms; a++)
        if (!rule->atom[a].is_negated &&
            rules->relation[rule->atom[a].relation].stratum == rules->relation[rule->head].stratum)
            return true;
    return false;
}

static uint64_t variables_of(const struct fuse_rule_term *term, int columns) {
    uint64_t set = 0;
    for (int c = 0; c < columns; c++)
        if (term[c].variable >= 0)
            set |= (uint64_t)1 << term[c].variable;
    return set;
}

uint64_t fuse_rule_atom_variables(const struct fuse_rules *rules, const struct fuse_rule_atom *atom) {
    return variables_of(atom->term, rules->relation[atom->relation].columns);
}

uint64_t fuse_rule_bound_variables(const struct fuse_rules *rules, const struct fuse_rule *rule) {
    uint64_t set = 0;
    for (int a = 0; a < rule->atoms; a++)
        if (!rule->atom[a].is_negated)
            set |= fuse_rule_atom_variables(rules, &rule->atom[a]);
    return set;
}

/* ---- order ---- */

/* Expected tuples of an atom for one binding of the variables in `bound`. */
static double expected_matches(const struct fuse_rules *rules, const struct fuse_rule_atom *atom, uint64_t bound,
                               const int64_t *sizes) {
    const struct fuse_rule_relation *relation = &rules->relation[atom->relation];
    double matches = (double)sizes[atom->relation];
    for (int c = 0; c < relation->columns; c++) {
        int v = atom->term[c].variable;
        if ((v < 0 || (bound >> v & 1)) && relation->extent[c] > 1)
            matches /= (double)relation->extent[c];
        if (v >= 0)
            bound |= (uint64_t)1 << v; /* the second place of a variable is a test */
    }
    return matches;
}

#define INDEXED 4 /* what it takes to put a tuple into an index, against reading one */

/* Fills the order from its first atom on; what all its prefixes are expected to leave, together, and the indexes that it takes. */
static double order_from(int *order, int n, const int *positive, const struct fuse_rules *rules,
                         const struct fuse_rule *rule, int first, const int64_t *sizes) {
    uint64_t bound = 0;
    uint32_t done = 0;
    double bindings = 1, cost = 0;
    for (int k = 0; k < n; k++) {
        int best = -1;
        double least = 0;
        for (int i = 0; i < n; i++) {
            int a = positive[i];
            if ((done >> a & 1) || (k == 0 && a != first))
                continue;
            double matches = expected_matches(rules, &rule->atom[a], bound, sizes);
            if (best < 0 || matches < least) {
                best = a;
                least = matches;
            }
        }
        order[k] = best;
        done |= (uint32_t)1 << best;
        bound |= fuse_rule_atom_variables(rules, &rule->atom[best]);
        bindings *= least;
        cost += bindings;
        cost += (k > 0 ? INDEXED : 1) * (double)sizes[rule->atom[best].relation];
    }
    return cost;
}

int fuse_rule_order(int order[FUSE_RULE_ATOMS], const struct fuse_rules *rules, const struct fuse_rule *rule, int first,
                    const int64_t *sizes) {
    int positive[FUSE_RULE_ATOMS], n = 0;
    for (int a = 0; a < rule->atoms; a++)
        if (!rule->atom[a].is_negated)
            positive[n++] = a;
    if (first < 0) {
        double least = 0;
        for (int i = 0; i < n; i++) {
            double cost = order_from(order, n, positive, rules, rule, positive[i], sizes);
            if (first < 0 || cost < least) {
                first = positive[i];
                least = cost;
            }
        }
    }
    order_from(order, n, positive, rules, rule, first, sizes);
    return n;
}

/* ---- verify ---- */

static enum fuse_status verify_relation(const struct fuse_rules *rules, const struct fuse_rule_relation *relation,
                                        struct fuse_error *err) {
    const bool is_facts = relation->dtype == FUSE_BOOL;
    if (!relation->name)
        return fuse_fail(err, FUSE_EBUG, "a relation without a name");
    if (relation->columns < 0 || relation->columns > FUSE_MAX_AXES)
        return fuse_fail(err, FUSE_EBUG, "relation '%s': %d columns", relation->name, relation->columns);
    int bits = 0;
    for (int c = 0; c < relation->columns; c++) {
        if (relation->extent[c] < 0 || relation->extent[c] > FUSE_MAX_EXTENT)
            return fuse_fail(err, FUSE_EBUG, "relation '%s': column %d has an extent of %" PRId64, relation->name, c,
                             relation->extent[c]);
        bits += id_bits(relation->extent[c]);
    }
    if (relation->dtype != FUSE_BOOL && relation->dtype != FUSE_I64 && relation->dtype != FUSE_F32 &&
        relation->dtype != FUSE_F64)
        return fuse_fail(err, FUSE_EBUG, "relation '%s': %s is no compute dtype", relation->name,
                         fuse_dtype_name(relation->dtype));
    if (is_facts != (relation->combine == FUSE_REDUCE_OR) ||
        (!is_facts && (relation->combine < FUSE_REDUCE_SUM || relation->combine > FUSE_REDUCE_MAX)))
        return fuse_fail(err, FUSE_EBUG, "relation '%s': %s does not combine %s", relation->name,
                         fuse_reduce_name(relation->combine), fuse_dtype_name(relation->dtype));
    if (relation->mean &&
        (relation->combine != FUSE_REDUCE_SUM || relation->dtype == FUSE_BOOL || relation->dtype == FUSE_I64))
        return fuse_fail(err, FUSE_EBUG, "relation '%s': a mean is a sum of reals", relation->name);
    if (relation->stratum < -1 || relation->stratum >= rules->strata)
        return fuse_fail(err, FUSE_EBUG, "relation '%s': there is no stratum %d", relation->name, relation->stratum);
    if (relation->asks < 0 || relation->asks > rules->relations ||
        relation->asked_columns >> (relation->asks > 0 ? rules->relation[relation->asks - 1].columns : 0) != 0)
        return fuse_fail(err, FUSE_EBUG, "relation '%s' asks for columns that there are not", relation->name);
    if (fuse_rule_pack(relation->columns, relation->extent).words > FUSE_RULE_WORDS) {
        fuse_fail(err, FUSE_EPROGRAM, "a tuple of relation '%s' is too wide: its %d ids take %d bits", relation->name,
                  relation->columns, bits);
        fuse_hint(err, "ids of a tuple may take up to %d words of 64 bits, and none is split; split the relation",
                  FUSE_RULE_WORDS);
        return err->status;
    }
    return FUSE_OK;
}

static enum fuse_status verify_terms(const struct fuse_rule *rule, const struct fuse_rule_relation *relation,
                                     const struct fuse_rule_term *term, struct fuse_error *err) {
    for (int c = 0; c < relation->columns; c++)
        if (term[c].variable < -1 || term[c].variable >= rule->variables)
            return fuse_fail_at(err, FUSE_EBUG, rule->span, "a rule has no variable %d, which is column %d of '%s'",
                                term[c].variable, c, relation->name);
        else if (term[c].offset < -FUSE_MAX_EXTENT || term[c].offset > FUSE_MAX_EXTENT)
            return fuse_fail_at(err, FUSE_EBUG, rule->span, "column %d of '%s' is too far away: %" PRId64, c,
                                relation->name, term[c].offset);
    return FUSE_OK;
}

static enum fuse_status verify_atom(const struct fuse_rules *rules, const struct fuse_rule *rule,
                                    const struct fuse_rule_atom *atom, struct fuse_error *err) {
    if (atom->relation < 0 || atom->relation >= rules->relations)
        return fuse_fail_at(err, FUSE_EBUG, rule->span, "a rule uses relation %d, which there is not", atom->relation);
    const struct fuse_rule_relation *relation = &rules->relation[atom->relation], *head = &rules->relation[rule->head];
    FUSE_TRY(verify_terms(rule, relation, atom->term, err));
    if (relation->stratum > head->stratum || (atom->is_negated && relation->stratum == head->stratum))
        return fuse_fail_at(err, FUSE_EBUG, rule->span, "a rule of '%s' (stratum %d) %s '%s' (stratum %d)", head->name,
                            head->stratum, atom->is_negated ? "negates" : "uses", relation->name, relation->stratum);
    if (relation->stratum == head->stratum &&
        (head->combine == FUSE_REDUCE_SUM || head->combine == FUSE_REDUCE_PROD ||
         relation->combine == FUSE_REDUCE_SUM || relation->combine == FUSE_REDUCE_PROD))
        return fuse_fail_at(err, FUSE_EBUG, rule->span, "a %s of '%s' is recursive", fuse_reduce_name(head->combine),
                            head->name);
    return FUSE_OK;
}

/* What an expression of a rule reads. */
static enum fuse_status verify_scalar(const struct fuse_rules *rules, const struct fuse_rule *rule,
                                      const struct fuse_scalar *scalar, enum fuse_dtype dtype, uint64_t *variables,
                                      struct fuse_error *err) {
    FUSE_TRY(fuse_scalar_verify(scalar, rule->atoms, rule->variables, err));
    for (int i = 0; i < scalar->n; i++) {
        const struct fuse_scalar_node *node = &scalar->node[i];
        if (node->op == FUSE_SCALAR_IOTA)
            *variables |= (uint64_t)1 << node->arg;
        else if (node->op == FUSE_SCALAR_LOAD && rule->atom[node->arg].is_negated)
            return fuse_fail_at(err, FUSE_EBUG, rule->span, "a rule of '%s' reads the value of a negated atom",
                                rules->relation[rule->head].name);
    }
    if (scalar->node[scalar->n - 1].dtype != dtype)
        return fuse_fail_at(err, FUSE_EBUG, rule->span, "a rule of '%s' computes %s where %s belongs",
                            rules->relation[rule->head].name, fuse_dtype_name(scalar->node[scalar->n - 1].dtype),
                            fuse_dtype_name(dtype));
    return FUSE_OK;
}

static enum fuse_status verify_rule(const struct fuse_rules *rules, const struct fuse_rule *rule,
                                    struct fuse_error *err) {
    if (rule->head < 0 || rule->head >= rules->relations || rules->relation[rule->head].stratum < 0)
        return fuse_fail_at(err, FUSE_EBUG, rule->span, "a rule derives relation %d, which has no stratum", rule->head);
    const struct fuse_rule_relation *head = &rules->relation[rule->head];
    if (rule->atoms < 0 || rule->atoms > FUSE_RULE_ATOMS || rule->variables < 0 ||
        rule->variables > FUSE_RULE_VARIABLES) {
        fuse_fail_at(err, FUSE_EPROGRAM, rule->span, "this rule of '%s' has %d atoms and %d variables", head->name,
                     rule->atoms, rule->variables);
        fuse_hint(err, "a rule may have %d atoms and %d variables; name a part of it as a relation of its own",
                  FUSE_RULE_ATOMS, FUSE_RULE_VARIABLES);
        return err->status;
    }
    for (int v = 0; v < rule->variables; v++)
        if (rule->variable[v].extent < 0 || rule->variable[v].extent > FUSE_MAX_EXTENT)
            return fuse_fail_at(err, FUSE_EBUG, rule->span, "variable %d of a rule of '%s' has an extent of %" PRId64,
                                v, head->name, rule->variable[v].extent);
    FUSE_TRY(verify_terms(rule, head, rule->term, err));
    uint64_t used = variables_of(rule->term, head->columns), negated = 0;
    for (int a = 0; a < rule->atoms; a++) {
        FUSE_TRY(verify_atom(rules, rule, &rule->atom[a], err));
        if (rule->atom[a].is_negated) {
            uint64_t here = fuse_rule_atom_variables(rules, &rule->atom[a]);
            used |= here & negated; /* in two of them: local to none */
            negated |= here;
        }
    }
    if (rule->guard)
        FUSE_TRY(verify_scalar(rules, rule, rule->guard, FUSE_BOOL, &used, err));
    if ((rule->value == NULL) != (head->dtype == FUSE_BOOL))
        return fuse_fail_at(err, FUSE_EBUG, rule->span, "a rule of '%s' has %s value", head->name,
                            rule->value ? "a" : "no");
    if (rule->value)
        FUSE_TRY(verify_scalar(rules, rule, rule->value, head->dtype, &used, err));
    for (int v = 0; v < rule->variables; v++)
        used &= ~(rule->variable[v].is_free ? (uint64_t)1 << v : 0);
    used &= ~fuse_rule_bound_variables(rules, rule);
    if (used != 0)
        return fuse_fail_at(err, FUSE_EBUG, rule->span, "variable %d of a rule of '%s' is bound by nothing",
                            __builtin_ctzll(used), head->name);
    return FUSE_OK;
}

enum fuse_status fuse_rules_verify(const struct fuse_rules *rules, struct fuse_error *err) {
    for (int r = 0; r < rules->relations; r++)
        FUSE_TRY(verify_relation(rules, &rules->relation[r], err));
    for (int r = 0; r < rules->rules; r++)
        FUSE_TRY(verify_rule(rules, &rules->rule[r], err));
    return FUSE_OK;
}

/* ---- print ---- */

static void print_terms(struct fuse_text *text, const struct fuse_rule *rule, const struct fuse_rule_relation *relation,
                        const struct fuse_rule_term *term) {
    fuse_text_add(text, "%s(", relation->name);
    for (int c = 0; c < relation->columns; c++) {
        fuse_text_add(text, "%s", c > 0 ? ", " : "");
        if (term[c].variable < 0)
            fuse_text_add(text, "%" PRId64, term[c].offset);
        else if (rule->variable[term[c].variable].name)
            fuse_text_add(text, "%s", rule->variable[term[c].variable].name);
        else
            fuse_text_add(text, "v%d", term[c].variable);
        if (term[c].variable >= 0 && term[c].offset != 0)
            fuse_text_add(text, "%+" PRId64, term[c].offset);
    }
    fuse_text_add(text, ")");
}

void fuse_rule_print(struct fuse_text *text, const struct fuse_rules *rules, const struct fuse_rule *rule) {
    print_terms(text, rule, &rules->relation[rule->head], rule->term);
    fuse_text_add(text, " =");
    for (int a = 0; a < rule->atoms; a++) {
        fuse_text_add(text, " %s%s", rule->atom[a].is_negated ? "!" : "", rule->atom[a].is_support ? "?" : "");
        print_terms(text, rule, &rules->relation[rule->atom[a].relation], rule->atom[a].term);
    }
    for (int v = 0; v < rule->variables; v++)
        if (rule->variable[v].is_free)
            fuse_text_add(text, " free v%d:%" PRId64, v, rule->variable[v].extent);
    if (rule->guard) {
        fuse_text_add(text, " when ");
        fuse_scalar_print(text, rule->guard);
    }
    if (rule->value) {
        fuse_text_add(text, " value ");
        fuse_scalar_print(text, rule->value);
    }
}

void fuse_rules_print(struct fuse_text *text, const struct fuse_rules *rules) {
    for (int r = 0; r < rules->relations; r++) {
        const struct fuse_rule_relation *relation = &rules->relation[r];
        fuse_text_add(text, "relation %s[", relation->name);
        for (int c = 0; c < relation->columns; c++)
            fuse_text_add(text, "%s%" PRId64, c > 0 ? ", " : "", relation->extent[c]);
        fuse_text_add(text, "] %s %s", fuse_dtype_name(relation->dtype),
                      relation->mean ? "mean" : fuse_reduce_name(relation->combine));
        if (relation->stratum >= 0)
            fuse_text_add(text, " stratum %d", relation->stratum);
        fuse_text_add(text, "\n");
    }
    for (int r = 0; r < rules->rules; r++) {
        fuse_text_add(text, "rule ");
        fuse_rule_print(text, rules, &rules->rule[r]);
        fuse_text_add(text, "\n");
    }
}
