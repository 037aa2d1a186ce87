/* How a rule is evaluated, in words: "new Path(x, y), then E by y, then no F by (x, z)". */
#include "core/rules.h"

#include <inttypes.h>

static void add_term(struct fuse_text *text, const struct fuse_rule *rule, const struct fuse_rule_term *term) {
    if (term->variable < 0) {
        fuse_text_add(text, "%" PRId64, term->offset);
        return;
    }
    if (rule->variable[term->variable].name)
        fuse_text_add(text, "%s", rule->variable[term->variable].name);
    else
        fuse_text_add(text, "v%d", term->variable);
    if (term->offset != 0)
        fuse_text_add(text, "%+" PRId64, term->offset);
}

/* The columns of an atom by which it is looked up. */
static void add_key(struct fuse_text *text, const struct fuse_rules *rules, const struct fuse_rule *rule,
                    const struct fuse_rule_atom *atom, uint64_t bound) {
    const int columns = rules->relation[atom->relation].columns;
    int n = 0;
    for (int c = 0; c < columns; c++) {
        const int v = atom->term[c].variable;
        if (v >= 0 && !(bound >> v & 1))
            continue;
        fuse_text_add(text, n++ == 0 ? " by (" : ", ");
        add_term(text, rule, &atom->term[c]);
    }
    fuse_text_add(text, n > 0 ? ")" : columns > 0 ? " as a whole" : "");
}

static void add_first(struct fuse_text *text, const struct fuse_rules *rules, const struct fuse_rule *rule,
                      const struct fuse_rule_atom *atom, bool is_new) {
    fuse_text_add(text, "%s%s(", is_new ? "new " : "", rules->relation[atom->relation].name);
    for (int c = 0; c < rules->relation[atom->relation].columns; c++) {
        fuse_text_add(text, "%s", c > 0 ? ", " : "");
        add_term(text, rule, &atom->term[c]);
    }
    fuse_text_add(text, ")");
}

void fuse_rule_explain(struct fuse_text *text, const struct fuse_rules *rules, const struct fuse_rule *rule, int first,
                       const int64_t *sizes) {
    int order[FUSE_RULE_ATOMS];
    const int n = fuse_rule_order(order, rules, rule, first, sizes);
    uint64_t bound = 0;
    for (int k = 0; k < n; k++) {
        const struct fuse_rule_atom *atom = &rule->atom[order[k]];
        if (k == 0)
            add_first(text, rules, rule, atom, first >= 0);
        else {
            fuse_text_add(text, ", then %s", rules->relation[atom->relation].name);
            add_key(text, rules, rule, atom, bound);
        }
        bound |= fuse_rule_atom_variables(rules, atom);
    }
    for (int v = 0; v < rule->variables; v++)
        if (rule->variable[v].is_free && !(bound >> v & 1)) {
            fuse_text_add(text, "%sall %s", n > 0 || bound ? ", then " : "",
                          rule->variable[v].name ? rule->variable[v].name : "ids");
            bound |= (uint64_t)1 << v;
        }
    for (int a = 0; a < rule->atoms; a++)
        if (rule->atom[a].is_negated) {
            fuse_text_add(text, "%sno %s", bound || n > 0 ? ", then " : "",
                          rules->relation[rule->atom[a].relation].name);
            add_key(text, rules, rule, &rule->atom[a], bound);
        }
}
