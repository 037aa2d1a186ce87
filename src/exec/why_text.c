/* Answers as text and as JSON. Rank 0 writes them; names of ids come from whoever has them. */
#include "core/text.h"
#include "exec/id_names.h"
#include "exec/why_internal.h"
#include "io/decimal.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#define INDENTED 32 /* levels that are indented; deeper ones have their number in front */

/* What is written: ids, and then their names. */
struct writer {
    struct fuse_why *why;
    struct fuse_text text;
    struct fuse_id_names names;
};

/* ---- names ---- */

static void want_id(struct writer *w, const struct fuse_why_relation *relation, int column, int64_t id) {
    fuse_id_names_want(&w->names, relation->rule->table[column], id);
}

/* The id of an atom's column under a binding; -1: none. */
static int64_t term_id(const struct fuse_rule_term *term, uint64_t bound, const int64_t *variable) {
    if (term->variable < 0)
        return term->offset;
    return bound >> term->variable & 1 ? variable[term->variable] + term->offset : -1;
}

static void want_atom(struct writer *w, const struct fuse_why_rule *rule, int a, uint64_t bound,
                      const int64_t *variable) {
    const struct fuse_why_relation *relation = fuse_why_of_atom(w->why, rule, a);
    for (int c = 0; c < relation->rule->columns; c++)
        want_id(w, relation, c, term_id(&rule->rule->atom[a].term[c], bound, variable));
}

static void want_fact(struct writer *w, int relation, const int64_t *id) {
    for (int c = 0; c < w->why->relation[relation].rule->columns; c++)
        want_id(w, &w->why->relation[relation], c, id[c]);
}

static void add_id(struct writer *w, const struct fuse_why_relation *relation, int column, int64_t id, bool json) {
    if (id < 0)
        fuse_text_add(&w->text, json ? "null" : "_");
    else
        fuse_id_names_add(&w->text, &w->names, relation->rule->table[column], id);
}

/* ---- pieces ---- */

static void add_value(struct writer *w, enum fuse_dtype dtype, int64_t word, bool json) {
    char digits[FUSE_DECIMAL_BYTES];
    double real;
    memcpy(&real, &word, sizeof real);
    if (dtype != FUSE_I64 && !isfinite(real)) {
        fuse_text_add(&w->text, json ? "null" : "%s", real > 0 ? "inf" : "-inf");
        return;
    }
    const size_t n = dtype == FUSE_I64   ? fuse_decimal_write_i64(digits, word)
                     : dtype == FUSE_F32 ? fuse_decimal_write_f32(digits, (float)real)
                                         : fuse_decimal_write_f64(digits, real);
    fuse_text_add_bytes(&w->text, digits, n);
}

/* Of a condition over dense tensors, which has no name, where it stands. */
static const char *name_of(const struct writer *w, const struct fuse_why_relation *relation) {
    const struct fuse_exec_request *request = w->why->exec->request;
    struct fuse_cited cited = {.file = "", .text = ""};
    if (relation->rule->name[0] != '%' || relation->input < 0 || !request->cite)
        return relation->rule->name;
    request->cite(request->context_of_cite, &cited, request->plan->ir->values.at[relation->input].span);
    return fuse_arena_printf(w->why->arena, "computed in %s:%d ", cited.file, cited.line);
}

/* "Path(3, 5)", or in JSON the relation and its arguments. */
static void add_tuple(struct writer *w, const struct fuse_why_relation *relation, const int64_t *id, bool json) {
    if (json) {
        fuse_text_add(&w->text, "\"relation\":");
        fuse_text_add_json_string(&w->text, name_of(w, relation));
        fuse_text_add(&w->text, ",\"arguments\":[");
    } else
        fuse_text_add(&w->text, "%s%s", name_of(w, relation), relation->rule->dtype == FUSE_BOOL ? "(" : "[");
    for (int c = 0; c < relation->rule->columns; c++) {
        fuse_text_add(&w->text, "%s", c == 0 ? "" : json ? "," : ", ");
        add_id(w, relation, c, id[c], json);
    }
    fuse_text_add(&w->text, "%s", json || relation->rule->dtype != FUSE_BOOL ? "]" : ")");
}

static void add_fact(struct writer *w, const struct fuse_why_fact *fact, bool json) {
    const struct fuse_why_relation *relation = &w->why->relation[fact->relation];
    add_tuple(w, relation, &w->why->id.at[fact->ids], json);
    if (relation->rule->dtype == FUSE_BOOL)
        return;
    fuse_text_add(&w->text, json ? ",\"value\":" : " = ");
    add_value(w, relation->rule->dtype, fact->value, json);
    if (fact->is_bettered)
        fuse_text_add(&w->text, json ? ",\"bettered\":true" : ", bettered later");
}

static void add_atom(struct writer *w, const struct fuse_why_rule *rule, int a, uint64_t bound, const int64_t *variable,
                     bool json) {
    const struct fuse_why_relation *relation = fuse_why_of_atom(w->why, rule, a);
    int64_t id[FUSE_MAX_AXES];
    for (int c = 0; c < relation->rule->columns; c++)
        id[c] = term_id(&rule->rule->atom[a].term[c], bound, variable);
    add_tuple(w, relation, id, json);
}

/* The equation on one line. */
static struct fuse_cited cite(const struct writer *w, const struct fuse_rule *rule) {
    const struct fuse_exec_request *request = w->why->exec->request;
    struct fuse_cited cited = {.file = "", .text = ""};
    if (request->cite)
        request->cite(request->context_of_cite, &cited, rule->span);
    return cited;
}

static void add_rule(struct writer *w, const struct fuse_rule *rule) {
    const struct fuse_cited cited = cite(w, rule);
    fuse_text_add(&w->text, "%s:%d: %s", cited.file, cited.line, cited.text);
}

static void add_json_rule(struct writer *w, const struct fuse_rule *rule) {
    const struct fuse_cited cited = cite(w, rule);
    fuse_text_add(&w->text, "\"rule\":{\"file\":");
    fuse_text_add_json_string(&w->text, cited.file);
    fuse_text_add(&w->text, ",\"line\":%d,\"equation\":", cited.line);
    fuse_text_add_json_string(&w->text, cited.text);
    fuse_text_add(&w->text, "}");
}

/* Sources are lines. */
static void add_sources(struct writer *w, const char *sources, bool json) {
    const char *at = sources ? sources : "";
    for (int k = 0; *at; k++) {
        const size_t n = strcspn(at, "\n");
        fuse_text_add(&w->text, "%s", k == 0 ? "" : json ? "," : " or ");
        fuse_text_add_json_string(&w->text, fuse_arena_strndup(w->why->arena, at, n));
        at += n + (at[n] == '\n');
    }
}

static void add_variables(struct writer *w, const struct fuse_why_rule *rule, uint64_t bound, const int64_t *variable) {
    const struct fuse_rule *r = rule->rule;
    bool any = false;
    fuse_text_add(&w->text, "\"variables\":{");
    for (int v = 0; v < r->variables; v++) {
        const struct fuse_why_relation *relation = NULL;
        int column = -1;
        if (!(bound >> v & 1) || !r->variable[v].name)
            continue;
        /* What names it has is known of a column that it stands in. */
        for (int a = -1; a < r->atoms && column < 0; a++) {
            const struct fuse_why_relation *of =
                a < 0 ? &w->why->relation[rule->first_relation + r->head] : fuse_why_of_atom(w->why, rule, a);
            const struct fuse_rule_term *term = a < 0 ? r->term : r->atom[a].term;
            for (int c = 0; c < of->rule->columns && column < 0; c++)
                if (term[c].variable == v && term[c].offset == 0) {
                    relation = of;
                    column = c;
                }
        }
        fuse_text_add(&w->text, "%s", any ? "," : "");
        fuse_text_add_json_string(&w->text, r->variable[v].name);
        fuse_text_add(&w->text, ":");
        if (relation)
            add_id(w, relation, column, variable[v], true);
        else
            fuse_text_add(&w->text, "%" PRId64, variable[v]);
        any = true;
    }
    fuse_text_add(&w->text, "}");
}

static enum fuse_status print(struct writer *w, enum fuse_status status) {
    const struct fuse_exec_request *request = w->why->exec->request;
    if (status == FUSE_OK && w->why->comm->rank == 0 && request->print)
        request->print(request->context, w->text.at);
    fuse_id_names_close(&w->names);
    return status;
}

/* ---- proofs ---- */

/* Variables that an instance has ids for: all but those of negated atoms alone. */
static uint64_t bound_in(const struct fuse_why_rule *rule) {
    uint64_t bound = fuse_rule_bound_variables(rule->rules, rule->rule);
    for (int v = 0; v < rule->rule->variables; v++)
        bound |= rule->rule->variable[v].is_free ? (uint64_t)1 << v : 0;
    return bound;
}

static const struct fuse_why_rule *rule_of(const struct writer *w, const struct fuse_why_fact *fact,
                                           const int64_t **variable) {
    const struct fuse_why_instance *instance = &w->why->instances.at[fact->chosen];
    *variable = &w->why->binding.at[instance->bindings];
    return &w->why->rule[instance->rule];
}

static void want_proof(struct writer *w) {
    for (int f = 0; f < w->why->facts.n; f++) {
        const struct fuse_why_fact *fact = &w->why->facts.at[f];
        const int64_t *variable;
        if (!fact->is_shown)
            continue;
        want_fact(w, fact->relation, &w->why->id.at[fact->ids]);
        if (fact->chosen < 0)
            continue;
        const struct fuse_why_rule *rule = rule_of(w, fact, &variable);
        for (int a = 0; a < rule->rule->atoms; a++)
            if (rule->rule->atom[a].is_negated)
                want_atom(w, rule, a, bound_in(rule), variable);
    }
}

/* A line of the tree: a fact, or a negated atom of the fact's rule. */
struct line {
    int fact, atom, depth; /* atom -1: the fact */
};

static void indent(struct writer *w, int depth) {
    if (depth > INDENTED)
        fuse_text_add(&w->text, "%*s[%d] ", 2 * INDENTED, "", depth);
    else
        fuse_text_add(&w->text, "%*s", 2 * depth, "");
}

static void add_leaf(struct writer *w, const struct fuse_why_fact *fact) {
    const struct fuse_why_relation *relation = &w->why->relation[fact->relation];
    if (relation->rule->stratum >= 0 && relation->given == 0)
        fuse_text_add(&w->text, "  computed from all of its contributions");
    else if (relation->sources && relation->rule->name[0] != '%') {
        fuse_text_add(&w->text, "  from ");
        add_sources(w, relation->sources, false);
    }
    fuse_text_add(&w->text, "\n");
}

/* What is below a fact, in the order of the rule, goes onto the stack from its end. */
static void add_below(struct writer *w, struct line *stack, int *n, int f, int depth) {
    const struct fuse_why_fact *fact = &w->why->facts.at[f];
    const int64_t *variable;
    const struct fuse_why_rule *rule = rule_of(w, fact, &variable);
    int premise = w->why->instances.at[fact->chosen].premises + rule->positives;
    for (int a = rule->rule->atoms - 1; a >= 0; a--)
        stack[(*n)++] = rule->rule->atom[a].is_negated ? (struct line){f, a, depth}
                                                       : (struct line){w->why->premise.at[--premise], -1, depth};
}

static void add_tree(struct writer *w, int goal) {
    const struct fuse_why *why = w->why;
    bool *told = FUSE_NEW_ARRAY(why->arena, bool, why->facts.n);
    int most = 1, n = 0;
    for (int f = 0; f < why->facts.n; f++)
        if (why->facts.at[f].is_shown && why->facts.at[f].chosen >= 0)
            most += why->rule[why->instances.at[why->facts.at[f].chosen].rule].rule->atoms;
    struct line *stack = FUSE_NEW_ARRAY(why->arena, struct line, most);
    stack[n++] = (struct line){goal, -1, 0};
    while (n > 0) {
        const struct line line = stack[--n];
        const struct fuse_why_fact *fact = &why->facts.at[line.fact];
        const int64_t *variable;
        indent(w, line.depth);
        if (line.atom >= 0) {
            const struct fuse_why_rule *rule = rule_of(w, fact, &variable);
            fuse_text_add(&w->text, "no ");
            add_atom(w, rule, line.atom, bound_in(rule), variable, false);
            fuse_text_add(&w->text, "\n");
            continue;
        }
        add_fact(w, fact, false);
        if (fact->chosen < 0) {
            add_leaf(w, fact);
        } else if (told[line.fact]) {
            fuse_text_add(&w->text, "  (see above)\n");
        } else {
            told[line.fact] = true;
            fuse_text_add(&w->text, "  by ");
            add_rule(w, rule_of(w, fact, &variable)->rule);
            fuse_text_add(&w->text, "\n");
            add_below(w, stack, &n, line.fact, line.depth + 1);
        }
    }
}

/* Facts are numbered as they are met, the question's first, so that a fact that is met twice is written once. */
static void add_json_fact(struct writer *w, int f, int *number, int *order, int *n) {
    struct fuse_why *why = w->why;
    const struct fuse_why_fact *fact = &why->facts.at[f];
    const int64_t *variable;
    fuse_text_add(&w->text, "{");
    add_fact(w, fact, true);
    fuse_text_add(&w->text, ",\"height\":%d", fact->height);
    if (fact->chosen < 0) {
        fuse_text_add(&w->text, ",\"sources\":[");
        add_sources(w, why->relation[fact->relation].sources, true);
        fuse_text_add(&w->text, "]}");
        return;
    }
    const struct fuse_why_rule *rule = rule_of(w, fact, &variable);
    const struct fuse_why_instance *instance = &why->instances.at[fact->chosen];
    fuse_text_add(&w->text, ",");
    add_json_rule(w, rule->rule);
    fuse_text_add(&w->text, ",");
    add_variables(w, rule, bound_in(rule), variable);
    fuse_text_add(&w->text, ",\"premises\":[");
    for (int k = 0; k < rule->positives; k++) {
        const int premise = why->premise.at[instance->premises + k];
        if (number[premise] < 0) {
            number[premise] = *n;
            order[(*n)++] = premise;
        }
        fuse_text_add(&w->text, "%s%d", k ? "," : "", number[premise]);
    }
    fuse_text_add(&w->text, "],\"absent\":[");
    for (int a = 0, k = 0; a < rule->rule->atoms; a++)
        if (rule->rule->atom[a].is_negated) {
            fuse_text_add(&w->text, "%s{", k++ ? "," : "");
            add_atom(w, rule, a, bound_in(rule), variable, true);
            fuse_text_add(&w->text, "}");
        }
    fuse_text_add(&w->text, "]}");
}

static void add_json_proof(struct writer *w, const struct fuse_question *question, int goal) {
    struct fuse_why *why = w->why;
    int *number = FUSE_NEW_ARRAY(why->arena, int, why->facts.n), *order = FUSE_NEW_ARRAY(why->arena, int, why->facts.n);
    int n = 0;
    for (int f = 0; f < why->facts.n; f++)
        number[f] = -1;
    number[goal] = n;
    order[n++] = goal;
    fuse_text_add(&w->text, "{\"why\":");
    fuse_text_add_json_string(&w->text, question->text);
    fuse_text_add(&w->text, ",\"height\":%d,\"facts\":[", why->facts.at[goal].height);
    for (int k = 0; k < n; k++) {
        fuse_text_add(&w->text, "%s", k ? "," : "");
        add_json_fact(w, order[k], number, order, &n);
    }
    fuse_text_add(&w->text, "]}\n");
}

enum fuse_status fuse_why_print_proof(struct fuse_why *why, const struct fuse_question *question, int fact,
                                      struct fuse_error *err) {
    struct writer w = {.why = why, .text = {.arena = why->arena}, .names = {.arena = why->arena}};
    want_proof(&w);
    enum fuse_status status = fuse_id_names_find(&w.names, why->exec->request->symbols, why->comm, err);
    if (status == FUSE_OK && why->comm->rank == 0) {
        if (why->exec->request->answers_json)
            add_json_proof(&w, question, fact);
        else
            add_tree(&w, fact);
    }
    return print(&w, status);
}

/* ---- what is missing ---- */

/* An atom that holds, with its value. */
static void add_holding(struct writer *w, const struct fuse_why_lack *lack, int a, const int64_t *variable, bool json) {
    const struct fuse_why_rule *rule = &w->why->rule[lack->rule];
    const struct fuse_why_relation *relation = fuse_why_of_atom(w->why, rule, a);
    add_atom(w, rule, a, lack->bound, variable, json);
    if (relation->at_work->values == 0 || rule->rule->atom[a].is_negated)
        return;
    fuse_text_add(&w->text, json ? ",\"value\":" : " = ");
    add_value(w, relation->rule->dtype, (int64_t)lack->binding[fuse_why_value(rule->rule, a)], json);
}

/* The ids that a guard looks at: " for x = 3, n = 40". */
static void add_guarded(struct writer *w, const struct fuse_why_rule *rule, const int64_t *variable) {
    const struct fuse_scalar *guard = rule->rule->guard;
    uint64_t read = 0;
    bool any = false;
    for (int i = 0; i < guard->n; i++)
        read |= guard->node[i].op == FUSE_SCALAR_IOTA ? (uint64_t)1 << guard->node[i].arg : 0;
    for (int v = 0; v < rule->rule->variables; v++) {
        if (!(read >> v & 1) || !rule->rule->variable[v].name)
            continue;
        fuse_text_add(&w->text, "%s%s = %" PRId64, any ? ", " : " for ", rule->rule->variable[v].name, variable[v]);
        any = true;
    }
}

static const int64_t *variables_of(const struct fuse_why_lack *lack) {
    return (const int64_t *)&lack->binding[fuse_why_variable(0)];
}

static void add_lack(struct writer *w, const struct fuse_why_lack *lack) {
    const struct fuse_why_rule *rule = &w->why->rule[lack->rule];
    const int64_t *variable = variables_of(lack);
    fuse_text_add(&w->text, "  ");
    add_rule(w, rule->rule);
    fuse_text_add(&w->text, "\n");
    for (int a = 0; a < rule->rule->atoms; a++) {
        const bool is_negated = rule->rule->atom[a].is_negated;
        if (a == lack->atom || is_negated ||
            (lack->atom >= 0 && !rule->rule->atom[lack->atom].is_negated && a > lack->atom))
            continue;
        fuse_text_add(&w->text, "    ");
        add_holding(w, lack, a, variable, false);
        fuse_text_add(&w->text, " holds\n");
    }
    fuse_text_add(&w->text, "    ");
    if (lack->atom < 0) {
        fuse_text_add(&w->text, "its guard does not hold");
        add_guarded(w, rule, variable);
        fuse_text_add(&w->text, "\n");
        return;
    }
    add_atom(w, rule, lack->atom, lack->bound, variable, false);
    fuse_text_add(&w->text, rule->rule->atom[lack->atom].is_negated ? " holds, and must not\n" : " is missing\n");
}

static void add_json_lack(struct writer *w, const struct fuse_why_lack *lack) {
    const struct fuse_why_rule *rule = &w->why->rule[lack->rule];
    const int64_t *variable = variables_of(lack);
    bool any = false;
    fuse_text_add(&w->text, ",");
    add_json_rule(w, rule->rule);
    fuse_text_add(&w->text, ",");
    add_variables(w, rule, lack->bound, variable);
    fuse_text_add(&w->text, ",\"holding\":[");
    for (int a = 0; a < rule->rule->atoms; a++) {
        if (a == lack->atom || rule->rule->atom[a].is_negated ||
            (lack->atom >= 0 && !rule->rule->atom[lack->atom].is_negated && a > lack->atom))
            continue;
        fuse_text_add(&w->text, "%s{", any ? "," : "");
        add_holding(w, lack, a, variable, true);
        fuse_text_add(&w->text, "}");
        any = true;
    }
    fuse_text_add(&w->text, "]");
    if (lack->atom < 0) {
        fuse_text_add(&w->text, ",\"guard\":false");
        return;
    }
    fuse_text_add(&w->text, rule->rule->atom[lack->atom].is_negated ? ",\"present\":{" : ",\"missing\":{");
    add_atom(w, rule, lack->atom, lack->bound, variable, true);
    fuse_text_add(&w->text, "}");
}

enum fuse_status fuse_why_print_lack(struct fuse_why *why, const struct fuse_question *question, int relation,
                                     const struct fuse_why_lack *lack, struct fuse_error *err) {
    struct writer w = {.why = why, .text = {.arena = why->arena}, .names = {.arena = why->arena}};
    const bool json = why->exec->request->answers_json;
    want_fact(&w, relation, question->id);
    for (int a = 0; lack->rule >= 0 && a < why->rule[lack->rule].rule->atoms; a++)
        want_atom(&w, &why->rule[lack->rule], a, lack->bound, variables_of(lack));
    enum fuse_status status = fuse_id_names_find(&w.names, why->exec->request->symbols, why->comm, err);
    if (status == FUSE_OK && why->comm->rank == 0 && json) {
        fuse_text_add(&w.text, "{\"why_not\":");
        fuse_text_add_json_string(&w.text, question->text);
        fuse_text_add(&w.text, ",\"sources\":[");
        add_sources(&w, why->relation[relation].sources, true);
        fuse_text_add(&w.text, "]");
        if (lack->rule >= 0)
            add_json_lack(&w, lack);
        fuse_text_add(&w.text, "}\n");
    } else if (status == FUSE_OK && why->comm->rank == 0) {
        add_tuple(&w, &why->relation[relation], question->id, false);
        fuse_text_add(&w.text, " does not hold");
        if (why->relation[relation].sources) {
            fuse_text_add(&w.text, "; it is not in ");
            add_sources(&w, why->relation[relation].sources, false);
        }
        fuse_text_add(&w.text, "%s\n",
                      lack->rule >= 0                              ? "; the best rule:"
                      : why->relation[relation].rule->stratum >= 0 ? "; no rule's left side fits"
                                                                   : "");
        if (lack->rule >= 0)
            add_lack(&w, lack);
    }
    return print(&w, status);
}
