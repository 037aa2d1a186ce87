/* Rules in words and numbers: in which order their atoms are joined and by which indexes, what is asked of which relation, and how many
 * tuples relations can have beside the budget that is left for them. */
#include "plan/plan.h"

#include "core/linear.h"

#include <inttypes.h>

/* What is known of a RULES operation before it runs. */
struct known {
    const struct fuse_rules *rules;
    const int64_t *bound; /* [relations] tuples at most */
    int64_t
        *sizes; /* [relations] as the evaluation sees them: what is not there yet is as large as the largest that is */
};

static struct known look_at(const struct fuse_plan *plan, const struct fuse_op *op, struct fuse_arena *arena) {
    struct known k = {.rules = op->rules};
    int64_t *most = FUSE_NEW_ARRAY(arena, int64_t, op->rules->relations + 1), largest = 1;
    for (int i = 0; i < op->inputs; i++) {
        const struct fuse_value *v = &plan->ir->values.at[op->input[i].value];
        const struct fuse_box whole = fuse_box_full(v->rank, v->extent);
        most[op->feed[i]] = fuse_sat_add(most[op->feed[i]], fuse_relation_most(plan->ir, op->input[i].value, &whole));
    }
    k.bound = fuse_rules_bound(arena, op->rules, most);
    k.sizes = FUSE_NEW_ARRAY(arena, int64_t, op->rules->relations + 1);
    for (int r = 0; r < op->rules->relations; r++)
        if (op->rules->relation[r].stratum < 0 && k.bound[r] > largest)
            largest = k.bound[r];
    for (int r = 0; r < op->rules->relations; r++)
        k.sizes[r] = k.bound[r] < largest ? k.bound[r] : largest;
    return k;
}

static int positive_atoms(const struct fuse_rule *rule) {
    int n = 0;
    for (int a = 0; a < rule->atoms; a++)
        n += !rule->atom[a].is_negated;
    return n;
}

/* One line for each atom that may have something new, or one for all. */
static int ways(int way[FUSE_RULE_ATOMS], const struct fuse_rules *rules, const struct fuse_rule *rule) {
    int n = 0;
    for (int a = 0; a < rule->atoms; a++)
        if (!rule->atom[a].is_negated &&
            rules->relation[rule->atom[a].relation].stratum == rules->relation[rule->head].stratum)
            way[n++] = a;
    if (n == 0)
        way[n++] = -1;
    return n;
}

static void explain(struct fuse_text *text, const struct known *k, const struct fuse_rule *rule, int first) {
    const int stratum = k->rules->relation[rule->head].stratum;
    int64_t *sizes = FUSE_NEW_ARRAY(text->arena, int64_t, k->rules->relations + 1), largest = 1;
    for (int r = 0; r < k->rules->relations; r++)
        if (k->rules->relation[r].stratum < stratum && k->sizes[r] > largest)
            largest = k->sizes[r];
    for (int r = 0; r < k->rules->relations; r++)
        sizes[r] = k->rules->relation[r].stratum < stratum ? k->sizes[r] : largest;
    fuse_rule_explain(text, k->rules, rule, first, sizes);
}

static const char *kind_of(const struct fuse_rules *rules, int stratum) {
    struct fuse_linear linear;
    if (!fuse_rules_find_linear(&linear, rules, stratum))
        return "";
    return linear.kind == FUSE_LINEAR_TWO_SIDED ? ", on rows of bits while they fit"
                                                : ", on blocks of bits while they fit";
}

static void print_rule(struct fuse_text *text, const struct known *k, const struct fuse_rule *rule) {
    int way[FUSE_RULE_ATOMS];
    const bool is_recursive = fuse_rule_is_recursive(k->rules, rule);
    const int stratum = k->rules->relation[rule->head].stratum, n = ways(way, k->rules, rule);
    fuse_text_add(text, "\n           stratum %d%s%s: ", stratum, is_recursive ? ", recursive" : "",
                  is_recursive ? kind_of(k->rules, stratum) : "");
    fuse_rule_print(text, k->rules, rule);
    if (positive_atoms(rule) == rule->atoms && rule->atoms < 2)
        return;
    for (int i = 0; i < n; i++) {
        fuse_text_add(text, "\n             joins ");
        explain(text, k, rule, way[i]);
    }
}

/* The relation that a relation says of where it is asked, and the columns. */
static void print_asked(struct fuse_text *text, const struct fuse_rules *rules, int r) {
    const struct fuse_rule_relation *asked = &rules->relation[r];
    fuse_text_add(text, "\n           %s is explored only where its column", rules->relation[asked->asks - 1].name);
    fuse_text_add(text, "%s", __builtin_popcountll(asked->asked_columns) > 1 ? "s" : "");
    for (int c = 0, n = 0; c < FUSE_MAX_AXES; c++)
        if (asked->asked_columns >> c & 1)
            fuse_text_add(text, "%s %d", n++ > 0 ? "," : "", c);
    fuse_text_add(text, " %s in '%s'", __builtin_popcountll(asked->asked_columns) > 1 ? "are" : "is", asked->name);
}

static int64_t row_bytes(const struct fuse_rule_relation *relation) {
    return 8 * (fuse_rule_pack(relation->columns, relation->extent).words + (relation->dtype != FUSE_BOOL));
}

/* The ids and the turn of each fact that has proofs; 0: sums and products have none, and what is only asked for. */
static int64_t stage_bytes(const struct fuse_plan *plan, const struct fuse_rule_relation *relation, int64_t tuples) {
    const bool has_proofs =
        relation->stratum >= 0 &&
        (relation->dtype == FUSE_BOOL || relation->combine == FUSE_REDUCE_MIN || relation->combine == FUSE_REDUCE_MAX);
    if (!plan->request.keeps_stages || !has_proofs)
        return 0;
    return fuse_sat_mul(tuples, 8 * (fuse_rule_pack(relation->columns, relation->extent).words + 1));
}

void fuse_plan_print_rules(struct fuse_text *text, const struct fuse_plan *plan, const struct fuse_op *op) {
    const struct fuse_rules *rules = op->rules;
    const struct known k = look_at(plan, op, text->arena);
    const int64_t budget = fuse_plan_relation_bytes(plan);
    fuse_text_add(text, "%d rule%s in %d strat%s", rules->rules, rules->rules == 1 ? "" : "s", rules->strata,
                  rules->strata == 1 ? "um" : "a");
    if (budget > 0) {
        fuse_text_add(text, ", at most ");
        fuse_text_add_size(text, budget);
        fuse_text_add(text, " a rank");
    }
    for (int r = 0; r < rules->relations; r++)
        if (rules->relation[r].asks > 0)
            print_asked(text, rules, r);
    for (int s = 0; s < rules->strata; s++)
        for (int r = 0; r < rules->rules; r++)
            if (rules->relation[rules->rule[r].head].stratum == s)
                print_rule(text, &k, &rules->rule[r]);
    for (int r = 0; r < rules->relations; r++) {
        if (rules->relation[r].stratum < 0)
            continue;
        fuse_text_add(text, "\n           %s has at most %" PRId64 " tuple%s, ", rules->relation[r].name, k.bound[r],
                      k.bound[r] == 1 ? "" : "s");
        fuse_text_add_size(text, fuse_sat_mul(k.bound[r], row_bytes(&rules->relation[r])));
        const int64_t stages = stage_bytes(plan, &rules->relation[r], k.bound[r]);
        if (stages > 0) {
            fuse_text_add(text, ", and ");
            fuse_text_add_size(text, stages);
            fuse_text_add(text, " of stages for proofs");
        }
    }
}

static void add_text(struct fuse_text *text, const char *key, const struct fuse_text *string) {
    fuse_text_add(text, "\"%s\":", key);
    fuse_text_add_json_string(text, string->at ? string->at : "");
}

static void add_rule(struct fuse_text *text, const struct known *k, const struct fuse_rule *rule) {
    int way[FUSE_RULE_ATOMS];
    struct fuse_text line = {.arena = text->arena};
    const int n = ways(way, k->rules, rule);
    fuse_rule_print(&line, k->rules, rule);
    fuse_text_add(text, "{\"stratum\":%d,\"recursive\":%s,", k->rules->relation[rule->head].stratum,
                  fuse_rule_is_recursive(k->rules, rule) ? "true" : "false");
    add_text(text, "rule", &line);
    fuse_text_add(text, ",\"joins\":[");
    for (int i = 0; i < n; i++) {
        struct fuse_text join = {.arena = text->arena};
        explain(&join, k, rule, way[i]);
        fuse_text_add(text, "%s", i > 0 ? "," : "");
        fuse_text_add_json_string(text, join.at ? join.at : "");
    }
    fuse_text_add(text, "]}");
}

void fuse_plan_print_rules_json(struct fuse_text *text, const struct fuse_plan *plan, const struct fuse_op *op) {
    const struct fuse_rules *rules = op->rules;
    const struct known k = look_at(plan, op, text->arena);
    fuse_text_add(text, "{\"budget_bytes\":%" PRId64 ",\"relations\":[", fuse_plan_relation_bytes(plan));
    for (int r = 0; r < rules->relations; r++) {
        fuse_text_add(text, "%s{\"name\":", r > 0 ? "," : "");
        fuse_text_add_json_string(text, rules->relation[r].name);
        fuse_text_add(text, ",\"stratum\":%d,\"tuples_max\":%" PRId64 ",\"bytes_max\":%" PRId64,
                      rules->relation[r].stratum, k.bound[r], fuse_sat_mul(k.bound[r], row_bytes(&rules->relation[r])));
        if (plan->request.keeps_stages)
            fuse_text_add(text, ",\"stage_bytes_max\":%" PRId64, stage_bytes(plan, &rules->relation[r], k.bound[r]));
        if (rules->relation[r].asks > 0) {
            fuse_text_add(text, ",\"asks\":");
            fuse_text_add_json_string(text, rules->relation[rules->relation[r].asks - 1].name);
            fuse_text_add(text, ",\"asked_columns\":[");
            for (int c = 0, n = 0; c < FUSE_MAX_AXES; c++)
                if (rules->relation[r].asked_columns >> c & 1)
                    fuse_text_add(text, "%s%d", n++ > 0 ? "," : "", c);
            fuse_text_add(text, "]");
        }
        fuse_text_add(text, "}");
    }
    fuse_text_add(text, "],\"rules\":[");
    for (int r = 0; r < rules->rules; r++) {
        fuse_text_add(text, "%s", r > 0 ? "," : "");
        add_rule(text, &k, &rules->rule[r]);
    }
    fuse_text_add(text, "]}");
}

int64_t fuse_plan_given_bytes(const struct fuse_ir *ir, const struct fuse_op *op, int ranks) {
    int64_t bytes = 0;
    for (int i = 0; i < op->inputs; i++) {
        const struct fuse_value *v = &ir->values.at[op->input[i].value];
        const struct fuse_box whole = fuse_box_full(v->rank, v->extent);
        if (ir->ops.at[v->op]->kind == FUSE_OP_SOURCE)
            bytes = fuse_sat_add(bytes, fuse_sat_mul(fuse_relation_most(ir, op->input[i].value, &whole),
                                                     row_bytes(&op->rules->relation[op->feed[i]])));
    }
    return bytes / ranks;
}
